#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/flows.h"
#include "net/host.h"
#include "net/inner.h"
#include "net/net.h"
#include "net/rt.h"
#include "net/shape.h"
#include "net/table.h"

/* The two sockets that every operation of a routed link needs. */
struct wires {
	struct nl route, nft;
};
#define WIRES_INIT                                                                                 \
	{                                                                                          \
		.route = NL_INIT, .nft = NL_INIT                                                   \
	}

static void wires_close(struct wires *w)
{
	nl_close(&w->route);
	nl_close(&w->nft);
}
#define AUTO_WIRES __attribute__((cleanup(wires_close)))

static int wires_open(struct wires *w, struct err *e)
{
	if (nl_open(&w->route, NETLINK_ROUTE, -1, e) < 0 ||
		nl_open(&w->nft, NETLINK_NETFILTER, -1, e) < 0)
		return -e->code;
	return 0;
}

/* --- nat: rules first --- */

static int remove_link(struct nl_batch *b, const struct plan *p, struct err *e)
{
	(void)e;
	table_link_del(b, p);
	return 0;
}

static int exec_link_rules(struct nl *nft, const struct plan *p,
	int (*fill)(struct nl_batch *b, const struct plan *p, struct err *e), struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};

	nft_begin(&b);
	if (fill(&b, p, e) < 0)
		return -e->code;
	nft_commit(&b);
	return nl_exec(nft, &b, e);
}

/* A key that is there with another value: the only maps that two links can meet in are ports. */
static int rules_failed(const struct plan *p, int r, const struct err *why, struct err *e)
{
	if ((r == -EEXIST || r == -EBUSY) && table_ports(p->link))
		return err_set(e, EADDRINUSE,
			"cannot publish a port of '%s': another jail has published the same one",
			p->link->owner);
	*e = *why;
	return r;
}

/* Returns NET_TOLD_TABLE when the table had to be made. */
static int add_rules(struct wires *w, const struct plan *p, struct err *e)
{
	struct err first = {0};
	int r = exec_link_rules(&w->nft, p, table_link_add, &first);

	if (r == -ENOENT) {
		r = host_make(&w->route, &w->nft, e);
		if (r < 0)
			return r;
		r = exec_link_rules(&w->nft, p, table_link_add, &first);
		return r < 0 ? rules_failed(p, r, &first, e) : NET_TOLD_TABLE;
	}
	return r < 0 ? rules_failed(p, r, &first, e) : r;
}

/* --- nat: then the link --- */

/* The reverse path must be the one that the mark opens; 127/8 may come back translated. */
static const struct rt_conf host_end_conf[] = {
	{IPV4_DEVCONF_FORWARDING, 1},
	{IPV4_DEVCONF_RP_FILTER, 1},
	{IPV4_DEVCONF_SRC_VMARK, 1},
	{IPV4_DEVCONF_ROUTE_LOCALNET, 1},
	{IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
	{IPV4_DEVCONF_SEND_REDIRECTS, 0},
	{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0},
};

static struct rt_route jail_route(const struct plan *p, int f)
{
	return (struct rt_route){.dst = p->addr[f],
		.from = p->gateway[f],
		.index = p->link->index,
		.table = TABLE_ROUTES};
}

/*
 * Both ends at once, the jail's born in its namespace.  Both are down: a veth end can only be
 * raised when it has its peer, and IPv6 must be settled before.
 */
static int make_pair(struct nl *route, const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	const struct net_link *l = p->link;
	struct rt_link inside = {.name = l->jail_if,
		.index = l->index,
		.noarp = true,
		.mtu = l->mtu,
		.mac = p->mac,
		.netns_fd = netns_fd,
		.queues = 1};
	struct rt_link outside = {.kind = RT_VETH,
		.name = l->host_if,
		.index = l->index,
		.noarp = true,
		.mtu = l->mtu,
		.mac = p->host_mac,
		.group = TABLE_GROUP,
		.peer = &inside,
		.queues = 1};

	for (int f = 0; f < 2; f++) {
		if (p->subnet[f].family)
			host_network_up(&b, &p->subnet[f], &p->gateway[f]);
	}
	rt_link_new(&b, &outside);
	return nl_exec(route, &b, e);
}

/* The host's end: no router or address of its own making, then up, then the way to the jail. */
static int furnish_host_end(struct nl *route, const struct plan *p, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	const struct net_link *l = p->link;
	bool v6 = p->addr[1].family;

	if (host_link_sysctl(
		    AF_INET6, l->host_if, v6 ? "accept_ra" : "disable_ipv6", v6 ? "0" : "1", e) < 0)
		return -e->code;
	rt_link_conf4(&b, l->index, host_end_conf, ARRAY_SIZE(host_end_conf));
	rt_link_no_autoconf6(&b, l->index);
	rt_link_set(&b, l->index, &(struct rt_link){.up = true});
	for (int f = 0; f < 2; f++) {
		struct rt_route in = jail_route(p, f);

		if (!p->addr[f].family)
			continue;
		rt_neigh_add(&b, l->index, &p->addr[f], p->mac);
		rt_route_add(&b, &in);
	}
	return nl_exec(route, &b, e);
}

/* Seen from inside: one address, one neighbour, one way. */
static int furnish_jail_end(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	uint32_t index = p->link->index;

	if (nl_open(&nl, NETLINK_ROUTE, netns_fd, e) < 0)
		return -e->code;
	rt_link_no_autoconf6(&b, index);
	rt_link_set(&b, index, &(struct rt_link){.up = true});
	for (int f = 0; f < 2; f++) {
		struct rt_route out = {
			.dst = {.family = p->addr[f].family}, .via = p->gateway[f], .index = index};

		if (!p->addr[f].family)
			continue;
		rt_addr_add(&b, index, &p->addr[f]);
		rt_neigh_add(&b, index, &p->gateway[f], p->host_mac);
		rt_route_add(&b, &out);
	}
	if (nl_exec(&nl, &b, e) < 0)
		return -e->code;
	return rt_link_ready(&nl, index, e);
}

/* A link that never had a limit needs none taken off. */
static int limit(struct nl *route, const struct net_link *l, struct err *e)
{
	return l->rate_in || l->rate_out ? shape_set(route, l, e) : 0;
}

static int attach_nat(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_WIRES struct wires w = WIRES_INIT;
	int told, r;

	if (wires_open(&w, e) < 0)
		return -e->code;
	r = add_rules(&w, p, e);
	if (r < 0)
		return r;
	told = r;
	r = host_forward(p, e);
	if (r < 0)
		return r;
	told |= r;
	if (make_pair(&w.route, p, netns_fd, e) < 0 || furnish_host_end(&w.route, p, e) < 0 ||
		furnish_jail_end(p, netns_fd, e) < 0 ||
		(inner_wanted(p->link) && inner_set(p->link, netns_fd, e) < 0) ||
		limit(&w.route, p->link, e) < 0 || rt_link_ready(&w.route, p->link->index, e) < 0)
		return -e->code;
	return told;
}

/* Each port by itself: when another jail has published it since, the others go all the same. */
static int remove_ports(struct nl *nft, const struct plan *p, struct err *e)
{
	for (size_t i = 0; i < table_ports(p->link); i++) {
		AUTO_NL_BATCH struct nl_batch b = {0};
		struct err why = {0};
		int r;

		nft_begin(&b);
		if (table_port_del(&b, p, i, e) < 0)
			return -e->code;
		nft_commit(&b);
		r = nl_exec(nft, &b, &why);
		if (r < 0 && r != -ENOENT && r != -EEXIST && r != -EBUSY) {
			*e = why;
			return r;
		}
	}
	return 0;
}

static int detach_nat(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_WIRES struct wires w = WIRES_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct err why = {0};
	int r;

	(void)netns_fd;
	if (wires_open(&w, e) < 0)
		return -e->code;
	rt_link_del(&b, 0, p->link->host_if);
	shape_remove(&b, p->link);
	if (nl_exec(&w.route, &b, e) < 0)
		return -e->code;
	r = exec_link_rules(&w.nft, p, remove_link, &why);
	if (r < 0 && r != -ENOENT) {
		*e = why;
		return r;
	}
	return r == -ENOENT ? 0 : remove_ports(&w.nft, p, e);
}

/* --- bridge, macvlan, a moved interface: the segment is somebody else's --- */

/* Addresses with their prefix, a default route where one was given. */
static int furnish_plain(const struct plan *p, int netns_fd, uint32_t index, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};

	if (nl_open(&nl, NETLINK_ROUTE, netns_fd, e) < 0)
		return -e->code;
	rt_link_set(&b, index, &(struct rt_link){.up = true});
	for (int f = 0; f < 2; f++) {
		struct rt_route out = {.dst = {.family = p->gateway[f].family},
			.via = p->gateway[f],
			.index = index};

		if (p->addr[f].family)
			rt_addr_add(&b, index, &p->addr[f]);
		if (p->gateway[f].family)
			rt_route_add(&b, &out);
	}
	return nl_exec(&nl, &b, e);
}

static int find_parent(
	struct nl *route, const struct net_link *l, struct rt_info *ret, struct err *e)
{
	int r = rt_link_get(route, 0, l->parent, ret, e);

	return r == -ENODEV ? err_hint(e, "network mode '%s' needs an existing one",
				      net_mode_names[l->mode])
			    : r;
}

static int attach_bridge(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl route = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	const struct net_link *l = p->link;
	struct rt_info bridge;
	struct rt_link inside = {.name = l->jail_if,
		.index = l->index,
		.mtu = l->mtu,
		.mac = p->mac,
		.netns_fd = netns_fd};
	struct rt_link outside = {.kind = RT_VETH,
		.name = l->host_if,
		.index = l->index,
		.up = true,
		.mtu = l->mtu,
		.mac = p->host_mac,
		.peer = &inside};

	if (nl_open(&route, NETLINK_ROUTE, -1, e) < 0 || find_parent(&route, l, &bridge, e) < 0)
		return -e->code;
	if (!str_eq(bridge.kind, "bridge"))
		return err_set(e, EINVAL, "link '%s' is not a bridge", l->parent);
	/* A bridge takes the smallest MTU of its ports: do not lower it for the others. */
	if (!l->mtu)
		inside.mtu = outside.mtu = bridge.mtu;
	outside.master = bridge.index;
	rt_link_new(&b, &outside);
	rt_link_no_autoconf6(&b, l->index);
	if (nl_exec(&route, &b, e) < 0 || furnish_plain(p, netns_fd, l->index, e) < 0 ||
		limit(&route, l, e) < 0)
		return -e->code;
	return rt_link_ready(&route, l->index, e);
}

static int detach_host_end(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl route = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};

	(void)netns_fd;
	if (nl_open(&route, NETLINK_ROUTE, -1, e) < 0)
		return -e->code;
	rt_link_del(&b, 0, p->link->host_if);
	shape_remove(&b, p->link);
	return nl_exec(&route, &b, e);
}

static int attach_macvlan(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl route = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	const struct net_link *l = p->link;
	struct rt_info parent;

	if (nl_open(&route, NETLINK_ROUTE, -1, e) < 0 || find_parent(&route, l, &parent, e) < 0)
		return -e->code;
	rt_link_new(&b, &(struct rt_link){.kind = RT_MACVLAN,
				.name = l->jail_if,
				.index = l->index,
				.mtu = l->mtu,
				.mac = p->mac,
				.parent = parent.index,
				.netns_fd = netns_fd});
	if (nl_exec(&route, &b, e) < 0)
		return -e->code;
	return furnish_plain(p, netns_fd, l->index, e);
}

/* A macvlan link goes with its namespace; while that is there, it can be taken out of it. */
static int detach_macvlan(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl inside = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};

	if (netns_fd < 0)
		return 0;
	if (nl_open(&inside, NETLINK_ROUTE, netns_fd, e) < 0)
		return -e->code;
	rt_link_del(&b, p->link->index, NULL);
	return nl_exec(&inside, &b, e);
}

static int attach_interface(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_NL struct nl route = NL_INIT;
	AUTO_NL struct nl inside = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	const struct net_link *l = p->link;
	struct rt_info info;

	if (nl_open(&route, NETLINK_ROUTE, -1, e) < 0 || find_parent(&route, l, &info, e) < 0)
		return -e->code;
	/* A link is renamed only when it is down. */
	rt_link_down(&b, info.index);
	rt_link_set(&b, info.index,
		&(struct rt_link){.name = l->jail_if, .netns_fd = netns_fd, .mtu = l->mtu});
	if (nl_exec(&route, &b, e) < 0 || nl_open(&inside, NETLINK_ROUTE, netns_fd, e) < 0 ||
		rt_link_get(&inside, 0, l->jail_if, &info, e) < 0)
		return -e->code;
	return furnish_plain(p, netns_fd, info.index, e);
}

/* Back to the caller's namespace under its old name.  One that is not inside stays where it is. */
static int detach_interface(const struct plan *p, int netns_fd, struct err *e)
{
	AUTO_FD int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	AUTO_NL struct nl inside = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct err why = {0};
	struct rt_info info;
	int r;

	if (netns_fd < 0)
		return 0;
	if (home < 0)
		return err_sys(e, "cannot open the caller's network namespace");
	if (nl_open(&inside, NETLINK_ROUTE, netns_fd, e) < 0)
		return -e->code;
	r = rt_link_get(&inside, 0, p->link->jail_if, &info, &why);
	if (r == -ENODEV)
		return 0;
	if (r < 0) {
		*e = why;
		return r;
	}
	rt_link_down(&b, info.index);
	rt_link_set(&b, info.index, &(struct rt_link){.name = p->link->parent, .netns_fd = home});
	return nl_exec(&inside, &b, e);
}

/* --- the modes --- */

static int nothing(const struct plan *p, int netns_fd, struct err *e)
{
	(void)p;
	(void)netns_fd;
	(void)e;
	return 0;
}

static const struct {
	int (*attach)(const struct plan *p, int netns_fd, struct err *e);
	int (*detach)(const struct plan *p, int netns_fd, struct err *e);
} modes[] = {
	[NET_NONE] = {nothing, nothing},
	[NET_NAT] = {attach_nat, detach_nat},
	[NET_BRIDGE] = {attach_bridge, detach_host_end},
	[NET_MACVLAN] = {attach_macvlan, detach_macvlan},
	[NET_HOST] = {nothing, nothing},
	[NET_JAIL] = {nothing, nothing},
	[NET_INTERFACE] = {attach_interface, detach_interface},
};

int net_attach(const struct net_link *l, int netns_fd, struct err *e)
{
	struct err ignored = {0};
	struct plan p;
	int r = plan_read(l, &p, e);

	if (r < 0)
		return r;
	r = modes[l->mode].attach(&p, netns_fd, e);
	if (r < 0)
		modes[l->mode].detach(&p, netns_fd, &ignored);
	return r < 0 ? err_prefix(e, "network of jail '%s'", l->owner) : r;
}

static int read_counters(const struct plan *p, struct net_counters *ret, struct err *e)
{
	AUTO_NL struct nl nft = NL_INIT;
	struct net_counters c = {0};

	if (nl_open(&nft, NETLINK_NETFILTER, -1, e) < 0)
		return -e->code;
	for (int f = 0; f < 2; f++) {
		struct nft_elem out = table_counter_key(p, 0, f), in = table_counter_key(p, 1, f);
		uint64_t packets, bytes;

		if (!p->addr[f].family)
			continue;
		if (nft_elem_counter(&nft, TABLE_NAME, &out, &packets, &bytes, e) < 0)
			return -e->code;
		c.out_packets += packets, c.out_bytes += bytes;
		if (nft_elem_counter(&nft, TABLE_NAME, &in, &packets, &bytes, e) < 0)
			return -e->code;
		c.in_packets += packets, c.in_bytes += bytes;
	}
	*ret = c;
	return 0;
}

int net_counters(const struct net_link *l, struct net_counters *ret, struct err *e)
{
	struct plan p;

	if (plan_read(l, &p, e) < 0)
		return -e->code;
	if (l->mode == NET_NAT)
		return read_counters(&p, ret, e);
	*ret = (struct net_counters){0};
	return 0;
}

int net_detach(const struct net_link *l, int netns_fd, struct net_counters *ret, struct err *e)
{
	struct plan p;

	if (plan_read(l, &p, e) < 0)
		return -e->code;
	if (ret && net_counters(l, ret, e) < 0)
		return -e->code;
	return modes[l->mode].detach(&p, netns_fd, e);
}

/* --- live changes, repair, the end --- */

int net_update(const struct net_link *was, const struct net_link *now, int netns_fd, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	AUTO_WIRES struct wires w = WIRES_INIT;
	struct err why = {0};
	struct plan from, to;
	int r;

	if (plan_check(now, e) < 0 || plan_read(was, &from, e) < 0 || plan_read(now, &to, e) < 0)
		return -e->code;
	if (now->mode != NET_NAT)
		return err_set(e, EOPNOTSUPP,
			"ports and egress rules can be changed in network mode 'nat' only");
	if (wires_open(&w, e) < 0)
		return -e->code;
	nft_begin(&b);
	for (size_t i = 0; i < table_ports(was); i++) {
		if (table_port_del(&b, &from, i, e) < 0)
			return -e->code;
	}
	table_policy_del(&b, &from);
	if (table_policy_add(&b, &to, e) < 0)
		return -e->code;
	nft_commit(&b);
	r = nl_exec(&w.nft, &b, &why);
	if (r < 0)
		return rules_failed(&to, r, &why, e);
	if ((inner_wanted(was) || inner_wanted(now)) && inner_set(now, netns_fd, e) < 0)
		return -e->code;
	if ((was->rate_in != now->rate_in || was->rate_out != now->rate_out) &&
		shape_set(&w.route, now, e) < 0)
		return -e->code;
	return flows_cut(&w.nft, &to, e);
}

int net_table_present(struct err *e)
{
	AUTO_NL struct nl nft = NL_INIT;

	if (nl_open(&nft, NETLINK_NETFILTER, -1, e) < 0)
		return -e->code;
	return nft_table_exists(&nft, TABLE_NAME, e);
}

static int restore_routing(
	struct nl *route, const struct net_link *const *links, size_t n, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct net_addr done[2] = {0}; /* the network before: most often the same */
	struct plan p;

	host_rules_add(&b);
	for (size_t i = 0; i < n; i++) {
		if (links[i]->mode != NET_NAT)
			continue;
		if (plan_read(links[i], &p, e) < 0)
			return -e->code;
		for (int f = 0; f < 2; f++) {
			struct rt_route back = jail_route(&p, f);

			if (!p.addr[f].family)
				continue;
			if (!net_addr_equal(&done[f], &p.subnet[f]))
				host_network_up(&b, &p.subnet[f], &p.gateway[f]);
			done[f] = p.subnet[f];
			rt_route_add(&b, &back);
			nl_tolerate(&b, ENODEV); /* the jail has ended meanwhile */
		}
	}
	return nl_exec(route, &b, e);
}

int net_restore(const struct net_link *const *links, size_t n, struct err *e)
{
	AUTO_WIRES struct wires w = WIRES_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	int told = 0;

	if (wires_open(&w, e) < 0)
		return -e->code;
	nft_begin(&b);
	nft_table_del(&b, TABLE_NAME);
	table_make(&b);
	for (size_t i = 0; i < n; i++) {
		struct plan p;
		int r;

		if (links[i]->mode != NET_NAT)
			continue;
		if (plan_read(links[i], &p, e) < 0 || table_link_add(&b, &p, e) < 0)
			return -e->code;
		r = host_forward(&p, e);
		if (r < 0)
			return r;
		told |= r;
	}
	nft_commit(&b);
	if (nl_exec(&w.nft, &b, e) < 0 || restore_routing(&w.route, links, n, e) < 0)
		return -e->code;
	return told;
}

static int network_addrs(const struct net_network *n, struct net_addr *subnets,
	struct net_addr *gateways, struct err *e)
{
	const char *const texts[] = {n->subnet4, n->subnet6};

	for (int f = 0; f < 2; f++) {
		subnets[f] = gateways[f] = (struct net_addr){0};
		if (!texts[f])
			continue;
		if (net_addr_parse(texts[f], &subnets[f], e) < 0)
			return err_prefix(e, "network '%s'", n->name);
		gateways[f] = net_addr_nth(&subnets[f], 1);
	}
	return 0;
}

static int network_routing_down(struct nl *route, const struct net_addr *subnets, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};

	for (int f = 0; f < 2; f++) {
		if (subnets[f].family)
			host_network_down(&b, &subnets[f]);
	}
	return nl_exec(route, &b, e);
}

int net_network_down(const struct net_network *n, struct err *e)
{
	AUTO_WIRES struct wires w = WIRES_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct net_addr subnets[2], gateways[2];
	struct err why = {0};
	int r;

	if (network_addrs(n, subnets, gateways, e) < 0 || wires_open(&w, e) < 0 ||
		network_routing_down(&w.route, subnets, e) < 0)
		return -e->code;
	nft_begin(&b);
	table_network_del(&b, subnets, gateways);
	nft_commit(&b);
	r = nl_exec(&w.nft, &b, &why);
	if (r < 0 && r != -ENOENT)
		*e = why;
	return r == -ENOENT ? 0 : r;
}

int net_teardown(const struct net_network *const *networks, size_t n, struct err *e)
{
	AUTO_WIRES struct wires w = WIRES_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct net_addr subnets[2], gateways[2];

	if (wires_open(&w, e) < 0)
		return -e->code;
	for (size_t i = 0; i < n; i++) {
		if (network_addrs(networks[i], subnets, gateways, e) < 0 ||
			network_routing_down(&w.route, subnets, e) < 0)
			return -e->code;
	}
	host_rules_del(&b);
	if (nl_exec(&w.route, &b, e) < 0)
		return -e->code;
	nft_begin(&b);
	nft_table_del(&b, TABLE_NAME);
	nft_commit(&b);
	return nl_exec(&w.nft, &b, e);
}
