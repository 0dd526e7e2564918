#include "net/rt.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/proc.h"

static const char *const kind_names[] = {
	[RT_ANY] = "",
	[RT_VETH] = "veth",
	[RT_BRIDGE] = "bridge",
	[RT_MACVLAN] = "macvlan",
	[RT_DUMMY] = "dummy",
	[RT_IFB] = "ifb",
};

/* --- links --- */

static void fill_ifinfo(struct ifinfomsg *ifi, const struct rt_link *l)
{
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)l->index;
	ifi->ifi_flags = (l->up ? IFF_UP : 0u) | (l->noarp ? IFF_NOARP : 0u);
	ifi->ifi_change = ifi->ifi_flags;
}

static void put_link_attrs(struct nl_batch *b, const struct rt_link *l)
{
	if (l->name)
		nl_put_str(b, IFLA_IFNAME, l->name);
	if (l->mtu)
		nl_put_u32(b, IFLA_MTU, l->mtu);
	if (l->mac)
		nl_put(b, IFLA_ADDRESS, l->mac, NET_MAC_BYTES);
	if (l->group)
		nl_put_u32(b, IFLA_GROUP, l->group);
	if (l->master)
		nl_put_u32(b, IFLA_MASTER, l->master);
	if (l->parent)
		nl_put_u32(b, IFLA_LINK, l->parent);
	if (l->netns_fd > 0)
		nl_put_u32(b, IFLA_NET_NS_FD, (uint32_t)l->netns_fd);
	if (l->queues) {
		nl_put_u32(b, IFLA_NUM_TX_QUEUES, l->queues);
		nl_put_u32(b, IFLA_NUM_RX_QUEUES, l->queues);
	}
}

/* The other end of a veth pair is a whole link message inside the attribute. */
static void put_peer(struct nl_batch *b, const struct rt_link *peer)
{
	size_t info = nl_nest(b, VETH_INFO_PEER);
	struct ifinfomsg *ifi = nl_extra(b, sizeof(*ifi));

	fill_ifinfo(ifi, peer);
	put_link_attrs(b, peer);
	nl_end(b, info);
}

void rt_link_new(struct nl_batch *b, const struct rt_link *l)
{
	size_t info, data;

	nl_begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make link", l->name);
	fill_ifinfo(nl_extra(b, sizeof(struct ifinfomsg)), l);
	put_link_attrs(b, l);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_str(b, IFLA_INFO_KIND, kind_names[l->kind]);
	data = nl_nest(b, IFLA_INFO_DATA);
	if (l->kind == RT_VETH)
		put_peer(b, l->peer);
	if (l->kind == RT_MACVLAN)
		nl_put_u32(b, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
	nl_end(b, data);
	nl_end(b, info);
}

static void object_of_index(uint32_t index, char buf[static 16])
{
	snprintf(buf, 16, "link %u", index);
}

void rt_link_set(struct nl_batch *b, uint32_t index, const struct rt_link *l)
{
	char object[16];
	struct rt_link numbered = *l;

	object_of_index(index, object);
	numbered.index = index;
	nl_begin(b, RTM_NEWLINK, 0, "change", l->name ? l->name : object);
	fill_ifinfo(nl_extra(b, sizeof(struct ifinfomsg)), &numbered);
	put_link_attrs(b, &numbered);
}

void rt_link_down(struct nl_batch *b, uint32_t index)
{
	struct ifinfomsg *ifi;
	char object[16];

	object_of_index(index, object);
	nl_begin(b, RTM_NEWLINK, 0, "set down", object);
	ifi = nl_extra(b, sizeof(*ifi));
	ifi->ifi_index = (int)index;
	ifi->ifi_change = IFF_UP;
}

void rt_link_unmaster(struct nl_batch *b, uint32_t index)
{
	char object[16];

	object_of_index(index, object);
	nl_begin(b, RTM_NEWLINK, 0, "take from its bridge", object);
	((struct ifinfomsg *)nl_extra(b, sizeof(struct ifinfomsg)))->ifi_index = (int)index;
	nl_put_u32(b, IFLA_MASTER, 0);
}

void rt_link_del(struct nl_batch *b, uint32_t index, const char *name)
{
	char object[16];

	object_of_index(index, object);
	nl_begin(b, RTM_DELLINK, 0, "remove link", name ? name : object);
	nl_tolerate(b, ENODEV);
	((struct ifinfomsg *)nl_extra(b, sizeof(struct ifinfomsg)))->ifi_index = (int)index;
	if (!index && name)
		nl_put_str(b, IFLA_IFNAME, name);
}

void rt_link_conf4(struct nl_batch *b, uint32_t index, const struct rt_conf *conf, size_t n)
{
	size_t spec, inet, list;
	char object[16];

	object_of_index(index, object);
	nl_begin(b, RTM_SETLINK, 0, "set the IPv4 options of", object);
	((struct ifinfomsg *)nl_extra(b, sizeof(struct ifinfomsg)))->ifi_index = (int)index;
	spec = nl_nest(b, IFLA_AF_SPEC);
	inet = nl_nest(b, AF_INET);
	list = nl_nest(b, IFLA_INET_CONF);
	for (size_t i = 0; i < n; i++)
		nl_put_u32(b, conf[i].id, conf[i].value);
	nl_end(b, list);
	nl_end(b, inet);
	nl_end(b, spec);
}

void rt_link_no_autoconf6(struct nl_batch *b, uint32_t index)
{
	size_t spec, inet6;
	char object[16];

	object_of_index(index, object);
	nl_begin(b, RTM_SETLINK, 0, "set the IPv6 options of", object);
	nl_tolerate(b, EAFNOSUPPORT); /* a host without IPv6 has nothing to shut */
	((struct ifinfomsg *)nl_extra(b, sizeof(struct ifinfomsg)))->ifi_index = (int)index;
	spec = nl_nest(b, IFLA_AF_SPEC);
	inet6 = nl_nest(b, AF_INET6);
	nl_put_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nl_end(b, inet6);
	nl_end(b, spec);
}

/* --- addresses and neighbours --- */

static void put_addr(struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb,
	uint32_t index, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT_BYTES];
	struct ifaddrmsg *m;

	nl_begin(b, type, flags, verb, net_addr_print(a, text));
	m = nl_extra(b, sizeof(*m));
	m->ifa_family = a->family;
	m->ifa_prefixlen = a->prefix;
	m->ifa_index = index;
	m->ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
	nl_put(b, IFA_LOCAL, a->bytes, net_addr_size(a));
	nl_put(b, IFA_ADDRESS, a->bytes, net_addr_size(a));
}

void rt_addr_add(struct nl_batch *b, uint32_t index, const struct net_addr *a)
{
	put_addr(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "add address", index, a);
	nl_tolerate(b, EEXIST);
}

void rt_addr_del(struct nl_batch *b, uint32_t index, const struct net_addr *a)
{
	put_addr(b, RTM_DELADDR, 0, "remove address", index, a);
	nl_tolerate(b, EADDRNOTAVAIL);
	nl_tolerate(b, ENODEV);
}

void rt_neigh_add(struct nl_batch *b, uint32_t index, const struct net_addr *a, const uint8_t *mac)
{
	char text[NET_ADDR_TEXT_BYTES];
	struct ndmsg *m;

	nl_begin(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add neighbour",
		net_addr_print(a, text));
	m = nl_extra(b, sizeof(*m));
	m->ndm_family = a->family;
	m->ndm_ifindex = (int)index;
	m->ndm_state = NUD_PERMANENT;
	nl_put(b, NDA_DST, a->bytes, net_addr_size(a));
	nl_put(b, NDA_LLADDR, mac, NET_MAC_BYTES);
}

/* --- routes and rules --- */

static void put_route(struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb,
	const struct rt_route *r)
{
	char text[NET_ADDR_TEXT_BYTES];
	struct rtmsg *m;

	nl_begin(b, type, flags, verb, net_addr_print(&r->dst, text));
	m = nl_extra(b, sizeof(*m));
	m->rtm_family = r->dst.family;
	m->rtm_dst_len = r->dst.prefix;
	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = r->type ? r->type : RTN_UNICAST;
	m->rtm_scope =
		r->via.family || m->rtm_type != RTN_UNICAST ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	nl_put_u32(b, RTA_TABLE, r->table ? r->table : RT_TABLE_MAIN);
	if (r->dst.prefix)
		nl_put(b, RTA_DST, r->dst.bytes, net_addr_size(&r->dst));
	if (r->via.family) {
		nl_put(b, RTA_GATEWAY, r->via.bytes, net_addr_size(&r->via));
		/* The gateway of a routed link is on no subnet of ours. */
		m->rtm_flags = RTNH_F_ONLINK;
	}
	if (r->from.family)
		nl_put(b, RTA_PREFSRC, r->from.bytes, net_addr_size(&r->from));
	if (r->index)
		nl_put_u32(b, RTA_OIF, r->index);
}

void rt_route_add(struct nl_batch *b, const struct rt_route *route)
{
	put_route(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "add route", route);
}

void rt_route_del(struct nl_batch *b, const struct rt_route *route)
{
	put_route(b, RTM_DELROUTE, 0, "remove route", route);
	nl_tolerate(b, ESRCH);
	nl_tolerate(b, ENODEV);
}

static void put_rule(struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb,
	const struct rt_rule *r)
{
	struct fib_rule_hdr *m;
	char object[24];

	snprintf(object, sizeof(object), "priority %u", r->priority);
	nl_begin(b, type, flags, verb, object);
	m = nl_extra(b, sizeof(*m));
	m->family = r->family;
	m->action = r->action ? r->action : FR_ACT_TO_TBL;
	m->src_len = r->src.family ? r->src.prefix : 0;
	nl_put_u32(b, FRA_PRIORITY, r->priority);
	if (r->table)
		nl_put_u32(b, FRA_TABLE, r->table);
	if (r->mark_mask) {
		nl_put_u32(b, FRA_FWMARK, r->mark);
		nl_put_u32(b, FRA_FWMASK, r->mark_mask);
	}
	if (r->iif)
		nl_put_str(b, FRA_IIFNAME, r->iif);
	if (r->ip_proto)
		nl_put_u8(b, FRA_IP_PROTO, r->ip_proto);
	if (r->src.family)
		nl_put(b, FRA_SRC, r->src.bytes, net_addr_size(&r->src));
}

void rt_rule_add(struct nl_batch *b, const struct rt_rule *rule)
{
	put_rule(b, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, "add routing rule", rule);
	nl_tolerate(b, EEXIST);
	nl_tolerate(b, EAFNOSUPPORT);
}

void rt_rule_del(struct nl_batch *b, const struct rt_rule *rule)
{
	put_rule(b, RTM_DELRULE, 0, "remove routing rule", rule);
	nl_tolerate(b, ENOENT);
	nl_tolerate(b, EAFNOSUPPORT);
}

/* --- questions --- */

static void copy_text(char *to, size_t n, const struct nlattr *a)
{
	const char *s = nl_str(a);

	snprintf(to, n, "%s", s ? s : "");
}

int rt_info_read(const struct nlmsghdr *h, struct rt_info *ret)
{
	const struct nlattr *a[IFLA_GROUP + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct rtnl_link_stats64 stats;

	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*ifi) ||
		nl_attrs(h, sizeof(*ifi), a, IFLA_GROUP) < 0 ||
		nl_nested(a[IFLA_LINKINFO], info, IFLA_INFO_KIND) < 0)
		return -EPROTO;
	*ret = (struct rt_info){
		.index = (uint32_t)ifi->ifi_index,
		.flags = ifi->ifi_flags,
		.mtu = nl_u32(a[IFLA_MTU], 0),
		.group = nl_u32(a[IFLA_GROUP], 0),
		.master = nl_u32(a[IFLA_MASTER], 0),
		.operstate = nl_u8(a[IFLA_OPERSTATE], IF_OPER_UNKNOWN),
	};
	copy_text(ret->name, sizeof(ret->name), a[IFLA_IFNAME]);
	copy_text(ret->kind, sizeof(ret->kind), info[IFLA_INFO_KIND]);
	if (a[IFLA_ADDRESS] && mnl_attr_get_payload_len(a[IFLA_ADDRESS]) == NET_MAC_BYTES)
		memcpy(ret->mac, mnl_attr_get_payload(a[IFLA_ADDRESS]), NET_MAC_BYTES);
	/* The structure has grown at its end over the years; its first four members suffice. */
	if (a[IFLA_STATS64] && mnl_attr_get_payload_len(a[IFLA_STATS64]) >= 4 * sizeof(uint64_t)) {
		memcpy(&stats, mnl_attr_get_payload(a[IFLA_STATS64]), 4 * sizeof(uint64_t));
		ret->rx_packets = stats.rx_packets, ret->tx_packets = stats.tx_packets;
		ret->rx_bytes = stats.rx_bytes, ret->tx_bytes = stats.tx_bytes;
	}
	return 0;
}

struct link_question {
	struct rt_info info;
	bool found;
};

static int take_link(const struct nlmsghdr *h, void *arg)
{
	struct link_question *q = arg;

	if (rt_info_read(h, &q->info) < 0)
		return -EPROTO;
	q->found = true;
	return 0;
}

int rt_link_get(struct nl *nl, uint32_t index, const char *name, struct rt_info *ret, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct link_question q = {0};
	char object[16];
	int r;

	object_of_index(index, object);
	nl_begin(&b, RTM_GETLINK, 0, "find link", name ? name : object);
	((struct ifinfomsg *)nl_extra(&b, sizeof(struct ifinfomsg)))->ifi_index = (int)index;
	if (!index && name)
		nl_put_str(&b, IFLA_IFNAME, name);
	r = nl_query(nl, &b, take_link, &q, e);
	if (r >= 0 && !q.found)
		r = err_set(e, ENODEV, "there is no link '%s'", name ? name : object);
	if (r >= 0)
		*ret = q.info;
	return r;
}

int rt_link_ready(struct nl *nl, uint32_t index, struct err *e)
{
	static const struct timespec pause = {.tv_nsec = 500000};
	uint64_t deadline = time_mono_ms() + 1000;
	struct rt_info info;

	for (;;) {
		if (rt_link_get(nl, index, NULL, &info, e) < 0)
			return -e->code;
		if (info.operstate == IF_OPER_UP)
			return 0;
		if (time_mono_ms() > deadline)
			return err_set(e, ETIMEDOUT, "link '%s' does not come up", info.name);
		nanosleep(&pause, NULL);
	}
}

struct addr_question {
	uint32_t index;
	rt_addr_fn *fn;
	void *arg;
};

/* An address attribute as struct net_addr; false when its size is not the family's. */
static bool read_addr(const struct nlattr *a, uint8_t family, uint8_t prefix, struct net_addr *ret)
{
	struct net_addr v = {.family = family, .prefix = prefix};

	if (!a || !net_addr_size(&v) || mnl_attr_get_payload_len(a) != net_addr_size(&v) ||
		prefix > 8 * net_addr_size(&v))
		return false;
	memcpy(v.bytes, mnl_attr_get_payload(a), net_addr_size(&v));
	*ret = v;
	return true;
}

static int take_addr(const struct nlmsghdr *h, void *arg)
{
	const struct addr_question *q = arg;
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a[IFA_LOCAL + 1];
	struct net_addr v;

	if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*m) ||
		nl_attrs(h, sizeof(*m), a, IFA_LOCAL) < 0)
		return -EPROTO;
	if ((q->index && m->ifa_index != q->index) || m->ifa_scope != RT_SCOPE_UNIVERSE)
		return 0;
	if (!read_addr(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], m->ifa_family,
		    m->ifa_prefixlen, &v))
		return 0;
	return q->fn(&v, m->ifa_index, q->arg);
}

int rt_addrs(struct nl *nl, uint32_t index, rt_addr_fn *fn, void *arg, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct addr_question q = {.index = index, .fn = fn, .arg = arg};

	nl_begin(&b, RTM_GETADDR, NLM_F_DUMP, "list", "addresses");
	nl_extra(&b, sizeof(struct ifaddrmsg));
	return nl_query(nl, &b, take_addr, &q, e);
}

static int take_route(const struct nlmsghdr *h, void *arg)
{
	const struct addr_question *q = arg;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a[RTA_TABLE + 1];
	struct net_addr v;

	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*m) ||
		nl_attrs(h, sizeof(*m), a, RTA_TABLE) < 0)
		return -EPROTO;
	if (nl_u32(a[RTA_TABLE], m->rtm_table) != RT_TABLE_MAIN || !m->rtm_dst_len ||
		!read_addr(a[RTA_DST], m->rtm_family, m->rtm_dst_len, &v))
		return 0;
	return q->fn(&v, nl_u32(a[RTA_OIF], 0), q->arg);
}

int rt_routes(struct nl *nl, uint8_t family, rt_addr_fn *fn, void *arg, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct addr_question q = {.fn = fn, .arg = arg};

	nl_begin(&b, RTM_GETROUTE, NLM_F_DUMP, "list", "routes");
	((struct rtmsg *)nl_extra(&b, sizeof(struct rtmsg)))->rtm_family = family;
	return nl_query(nl, &b, take_route, &q, e);
}
