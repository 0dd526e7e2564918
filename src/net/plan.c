#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "net/net.h"
#include "net/pool.h"
#include "net/rt.h"
#include "net/table.h"

const char *const net_mode_names[] = {
	"none", "nat", "bridge", "macvlan", "host", "jail", "interface", NULL};
const char *const net_proto_names[] = {"tcp", "udp", NULL};

/* --- what is kept: one table reads, prints, copies and frees --- */

static const struct json_field port_fields[] = {
	JSON_FIELD(struct net_port, proto, "proto", JSON_ENUM, .names = net_proto_names),
	JSON_FIELD(struct net_port, address, "address", JSON_STR),
	JSON_FIELD(struct net_port, host_port, "hostPort", JSON_U32, .flags = JSON_REQUIRED,
		.min = 1, .max = 65535),
	JSON_FIELD(struct net_port, jail_port, "jailPort", JSON_U32, .flags = JSON_REQUIRED,
		.min = 1, .max = 65535),
	JSON_FIELD(struct net_port, inner_loopback, "innerLoopback", JSON_BOOL),
};
static const struct json_table port_table =
	JSON_TABLE(struct net_port, port_fields, .flags = JSON_STRICT);

static const struct json_field egress_fields[] = {
	JSON_FIELD(struct net_egress, to, "to", JSON_STR, .flags = JSON_REQUIRED | JSON_NONEMPTY),
	JSON_FIELD(struct net_egress, port_min, "portMin", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD(struct net_egress, port_max, "portMax", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD(struct net_egress, proto, "proto", JSON_ENUM, .names = net_proto_names),
	JSON_FIELD(struct net_egress, refuse, "refuse", JSON_BOOL),
};
static const struct json_table egress_table =
	JSON_TABLE(struct net_egress, egress_fields, .flags = JSON_STRICT);

static const struct json_field link_fields[] = {
	JSON_FIELD(struct net_link, mode, "mode", JSON_ENUM, .names = net_mode_names),
	JSON_FIELD(struct net_link, owner, "owner", JSON_STR),
	JSON_FIELD(struct net_link, jail_if, "jailInterface", JSON_STR),
	JSON_FIELD(struct net_link, parent, "parent", JSON_STR),
	JSON_FIELD(struct net_link, addr4, "address4", JSON_STR),
	JSON_FIELD(struct net_link, addr6, "address6", JSON_STR),
	JSON_FIELD(struct net_link, gateway4, "gateway4", JSON_STR),
	JSON_FIELD(struct net_link, gateway6, "gateway6", JSON_STR),
	JSON_FIELD(struct net_link, mac, "mac", JSON_STR),
	JSON_FIELD(struct net_link, mtu, "mtu", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD(struct net_link, allow_lan, "allowLan", JSON_BOOL),
	JSON_FIELD(struct net_link, allow_host, "allowHost", JSON_BOOL),
	JSON_FIELD(struct net_link, egress_only, "egressOnly", JSON_BOOL),
	JSON_FIELD_ARRAY(struct net_link, egress, "egress", JSON_ARRAY, .table = &egress_table),
	JSON_FIELD_ARRAY(struct net_link, ports, "ports", JSON_ARRAY, .table = &port_table),
	JSON_FIELD_ARRAY(
		struct net_link, host_ports, "hostPorts", JSON_ARRAY, .table = &port_table),
	JSON_FIELD(struct net_link, rate_in, "rateIn", JSON_U64),
	JSON_FIELD(struct net_link, rate_out, "rateOut", JSON_U64),
	JSON_FIELD(struct net_link, host_if, "hostInterface", JSON_STR),
	JSON_FIELD(struct net_link, host_mac, "hostMac", JSON_STR),
	JSON_FIELD(struct net_link, index, "index", JSON_U32),
	JSON_FIELD(struct net_link, network_id, "networkId", JSON_U32),
	JSON_FIELD(struct net_link, subnet4, "subnet4", JSON_STR),
	JSON_FIELD(struct net_link, subnet6, "subnet6", JSON_STR),
	JSON_FIELD(struct net_link, internal, "internal", JSON_BOOL),
};
const struct json_table net_link_table =
	JSON_TABLE(struct net_link, link_fields, .flags = JSON_STRICT);

static const struct json_field network_fields[] = {
	JSON_FIELD(
		struct net_network, name, "name", JSON_STR, .flags = JSON_REQUIRED | JSON_NONEMPTY),
	JSON_FIELD(struct net_network, id, "id", JSON_U32, .flags = JSON_REQUIRED),
	JSON_FIELD(struct net_network, subnet4, "subnet4", JSON_STR),
	JSON_FIELD(struct net_network, subnet6, "subnet6", JSON_STR),
	JSON_FIELD(struct net_network, internal, "internal", JSON_BOOL),
	JSON_FIELD(struct net_network, mtu, "mtu", JSON_U32, .min = 0, .max = 65535),
};
const struct json_table net_network_table =
	JSON_TABLE(struct net_network, network_fields, .flags = JSON_STRICT);

void net_link_release(struct net_link *l)
{
	json_release(&net_link_table, l);
}

void net_network_release(struct net_network *n)
{
	json_release(&net_network_table, n);
}

/* --- what users write --- */

/* Cuts "/udp" or "/tcp" off the end of text; true when there was one. */
static bool cut_proto(char *text, int *ret)
{
	for (int i = 0; net_proto_names[i]; i++) {
		AUTO_FREE char *suffix = str_fmt("/%s", net_proto_names[i]);

		if (str_ends(text, suffix)) {
			text[strlen(text) - strlen(suffix)] = '\0';
			*ret = i;
			return true;
		}
	}
	return false;
}

static int parse_port(const char *s, uint32_t *ret, struct err *e)
{
	uint64_t v;
	int r = parse_u64(s, 1, 65535, &v, e);

	if (r >= 0)
		*ret = (uint32_t)v;
	return r;
}

/* "*", "0.0.0.0", "::", "10.0.0.1" or "[::1]" as it is kept: NULL or canonical text. */
static int parse_listen(const char *s, char **ret, struct err *e)
{
	static const uint8_t zero[16];
	char text[NET_ADDR_TEXT_BYTES];
	struct net_addr a;

	if (str_eq(s, "*")) {
		*ret = str_dup("*");
		return 0;
	}
	if (net_addr_parse(s, &a, e) < 0)
		return -e->code;
	if (a.prefix != 8 * net_addr_size(&a))
		return err_set(e, EINVAL, "'%s' is a network, not an address to listen on", s);
	/* The kernel keeps ::1 on the loopback link even when it is translated. */
	if (a.family == AF_INET6 && net_addr_is_loopback(&a))
		return err_set(e, EOPNOTSUPP, "ports cannot be published on '::1'; use 127.0.0.1");
	*ret = str_dup(memcmp(a.bytes, zero, net_addr_size(&a)) ? net_addr_print(&a, text) : "*");
	return 0;
}

int net_port_parse(const char *s, struct net_port *ret, struct err *e)
{
	AUTO_FREE char *text = str_dup(s), *address = NULL;
	struct net_port p = {.proto = NET_TCP};
	char *jail = NULL, *host = text;

	cut_proto(text, &p.proto);
	jail = strrchr(text, ':');
	if (jail) {
		char *second;

		*jail++ = '\0';
		second = strrchr(text, ':');
		if (second) {
			*second = '\0';
			host = second + 1;
			if (parse_listen(text, &address, e) < 0)
				return err_prefix(e, "port '%.80s'", s);
		}
	}
	if (parse_port(host, &p.host_port, e) < 0 ||
		parse_port(jail ? jail : host, &p.jail_port, e) < 0)
		return err_prefix(e, "port '%.80s'", s);
	p.address = mem_take(&address);
	*ret = p;
	return 0;
}

/* A domain name, perhaps with "*." before it (RFC 1035 2.3.4: labels of 63, 253 in all). */
static bool is_domain(const char *s)
{
	size_t label = 0;

	if (str_starts(s, "*."))
		s += 2;
	if (!*s || strlen(s) > 253)
		return false;
	for (; *s; s++) {
		bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || *s == '-' || *s == '_';

		if (*s == '.' ? !label : !word || ++label > 63)
			return false;
		if (*s == '.')
			label = 0;
	}
	return true;
}

static int parse_port_range(const char *s, struct net_egress *ret, struct err *e)
{
	AUTO_FREE char *text = str_dup(s);
	char *dash = strchr(text, '-');

	if (dash)
		*dash++ = '\0';
	if (parse_port(text, &ret->port_min, e) < 0 ||
		parse_port(dash ? dash : text, &ret->port_max, e) < 0)
		return -e->code;
	if (ret->port_min > ret->port_max)
		return err_set(
			e, EINVAL, "'%s' is not a range of ports: it ends before it begins", s);
	return 0;
}

/* Each address of a name has one element for each port. */
enum { NAME_PORTS_MAX = 16 };

int net_egress_parse(const char *s, struct net_egress *ret, struct err *e)
{
	AUTO_FREE char *text = str_dup(s);
	struct net_egress x = {.proto = NET_TCP};
	struct net_addr a;
	struct err ignored = {0};
	char *to = text, *colon, canonical[NET_ADDR_TEXT_BYTES];
	bool proto;

	if (*to == '!') {
		x.refuse = true;
		to++;
	}
	proto = cut_proto(to, &x.proto);
	colon = *to == '[' ? strstr(to, "]:") : strchr(to, ':');
	if (colon && *colon == ']')
		colon++;
	/* More than one colon and no brackets: an IPv6 address without a port. */
	if (colon && *to != '[' && strchr(colon + 1, ':'))
		colon = NULL;
	if (colon) {
		*colon = '\0';
		if (parse_port_range(colon + 1, &x, e) < 0)
			return err_prefix(e, "egress rule '%.80s'", s);
	} else if (proto) {
		return err_set(e, EINVAL,
			"egress rule '%.80s': a protocol needs a port, as in example.org:53/udp",
			s);
	}
	if (x.port_max - x.port_min >= NAME_PORTS_MAX && is_domain(to) &&
		net_addr_parse(to, &a, &ignored) < 0)
		return err_set(e, EINVAL,
			"egress rule '%.80s': with a name at most %d ports; write several rules", s,
			NAME_PORTS_MAX);
	if (net_addr_parse(to, &a, &ignored) >= 0)
		x.to = str_dup(net_addr_print(&a, canonical));
	else if (str_eq(to, "*") || (is_domain(to) && !x.refuse))
		x.to = str_dup(to);
	else
		return err_set(e, EINVAL,
			"egress rule '%.80s': '%.80s' is not an address, a network, %s*", s, to,
			x.refuse ? "or " : "a domain name or ");
	*ret = x;
	return 0;
}

/* --- choosing --- */

static int random_bytes(void *p, size_t n, struct err *e)
{
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : err_sys(e, "cannot get random bytes");
}

struct overlap {
	struct net_addr subnet;
	bool found;
};

static int look_for_overlap(const struct net_addr *a, uint32_t index, void *arg)
{
	struct overlap *o = arg;

	(void)index;
	o->found |= net_addr_within(a, &o->subnet) || (a->prefix && net_addr_within(&o->subnet, a));
	return 0;
}

/* True when no address or route of this host touches the subnet. */
static int subnet_is_free(struct nl *nl, const struct net_addr *subnet, struct err *e)
{
	struct overlap o = {.subnet = *subnet};

	if (rt_addrs(nl, 0, look_for_overlap, &o, e) < 0 ||
		rt_routes(nl, subnet->family, look_for_overlap, &o, e) < 0)
		return -e->code;
	return !o.found;
}

enum { SUBNET_TRIES = 256 };

/* 10.64.0.0/10 has 1024 networks of /20; begin at the one that the name says. */
static int choose_subnet4(struct net_network *n, struct nl *nl, struct err *e)
{
	uint32_t h = 2166136261u;
	char text[NET_ADDR_TEXT_BYTES];

	for (const char *s = n->name; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	for (uint32_t i = 0; i < SUBNET_TRIES; i++) {
		uint32_t k = (h + i) % 1024;
		struct net_addr a = {
			AF_INET, 20, {10, (uint8_t)(64 + (k >> 4)), (uint8_t)((k & 15) << 4)}};
		int r = subnet_is_free(nl, &a, e);

		if (r < 0)
			return r;
		if (r) {
			str_set(&n->subnet4, net_addr_print(&a, text));
			return 0;
		}
	}
	return err_set(e, ENOSPC,
		"cannot find a free private subnet for network '%s'; give one with subnet=",
		n->name);
}

/* RFC 4193 3.2: fd00::/8 and 40 random bits, subnet 0. */
static int choose_subnet6(struct net_network *n, struct err *e)
{
	struct net_addr a = {.family = AF_INET6, .prefix = 64, .bytes = {0xfd}};
	char text[NET_ADDR_TEXT_BYTES];

	if (random_bytes(a.bytes + 1, 5, e) < 0)
		return -e->code;
	str_set(&n->subnet6, net_addr_print(&a, text));
	return 0;
}

static int check_subnet(const char *s, int family, uint8_t longest, struct err *e)
{
	struct net_addr a, first;

	if (net_addr_parse(s, &a, e) < 0)
		return -e->code;
	if (a.family != family)
		return err_set(e, EINVAL, "subnet '%s' is not an IPv%d network", s,
			family == AF_INET ? 4 : 6);
	if (a.prefix < 8 || a.prefix > longest)
		return err_set(
			e, EINVAL, "subnet '%s': its prefix length must be 8 to %u", s, longest);
	first = a;
	for (unsigned int i = a.prefix; i < 8 * net_addr_size(&a); i++)
		first.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	if (memcmp(first.bytes, a.bytes, sizeof(a.bytes)))
		return err_set(e, EINVAL, "subnet '%s' has bits set behind its prefix", s);
	return 0;
}

int net_network_plan(struct net_network *n, bool ipv6, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;

	if (n->subnet4 && check_subnet(n->subnet4, AF_INET, 29, e) < 0)
		return -e->code;
	if (n->subnet6 && check_subnet(n->subnet6, AF_INET6, 124, e) < 0)
		return -e->code;
	while (!n->id) {
		if (random_bytes(&n->id, sizeof(n->id), e) < 0)
			return -e->code;
	}
	if (ipv6 && !n->subnet6 && choose_subnet6(n, e) < 0)
		return -e->code;
	if (n->subnet4)
		return 0;
	if (nl_open(&nl, NETLINK_ROUTE, -1, e) < 0)
		return -e->code;
	return choose_subnet4(n, &nl, e);
}

/*
 * Names and numbers that nobody can guess (a jail's owner could otherwise take them first).
 * The index is above all that the kernel counts up to by itself.
 */
static int choose_names(struct net_link *l, struct err *e)
{
	struct {
		uint32_t name, index;
		uint8_t mac[2][NET_MAC_BYTES];
	} dice;
	char text[NET_MAC_TEXT_BYTES];

	if (random_bytes(&dice, sizeof(dice), e) < 0)
		return -e->code;
	for (int i = 0; i < 2; i++)
		dice.mac[i][0] =
			(uint8_t)((dice.mac[i][0] & 0xfc) | 0x02); /* locally administered */
	l->index = (dice.index & 0x3fffffff) | 0x40000000;
	free(l->host_if);
	l->host_if = str_fmt("jl%08x", dice.name);
	str_set(&l->host_mac, net_mac_print(dice.mac[0], text));
	if (!l->mac)
		l->mac = str_dup(net_mac_print(dice.mac[1], text));
	if (!l->jail_if)
		l->jail_if = str_dup("eth0");
	return 0;
}

static int claim_family(struct net_link *l, const char *subnet_text, char **addr, char **gateway,
	int pool_fd, struct err *e)
{
	struct net_addr subnet, wanted, got;
	char text[NET_ADDR_TEXT_BYTES];

	if (net_addr_parse(subnet_text, &subnet, e) < 0 ||
		(*addr && net_addr_parse(*addr, &wanted, e) < 0))
		return -e->code;
	if (net_pool_claim(pool_fd, &subnet, l->owner, *addr ? &wanted : NULL, &got, e) < 0)
		return -e->code;
	str_set(addr, net_addr_print(&got, text));
	got = net_addr_nth(&subnet, 1);
	str_set(gateway, net_addr_print(&got, text));
	return 0;
}

static int plan_nat(struct net_link *l, const struct net_network *n, int pool_fd, struct err *e)
{
	l->network_id = n->id;
	l->internal = n->internal;
	if (!l->mtu)
		l->mtu = n->mtu;
	str_set(&l->subnet4, n->subnet4);
	str_set(&l->subnet6, n->subnet6);
	if (!n->subnet4 && !n->subnet6)
		return err_set(e, EINVAL, "network '%s' has no subnet", n->name);
	if (n->subnet4 && claim_family(l, n->subnet4, &l->addr4, &l->gateway4, pool_fd, e) < 0)
		return -e->code;
	if (n->subnet6 && claim_family(l, n->subnet6, &l->addr6, &l->gateway6, pool_fd, e) < 0)
		return -e->code;
	return 0;
}

int plan_check(const struct net_link *l, struct err *e)
{
	const char *mode = net_mode_names[l->mode];
	bool host_end = l->mode == NET_NAT || l->mode == NET_BRIDGE;

	if (l->mode != NET_NAT && (l->n_ports || l->n_host_ports))
		return err_set(e, EOPNOTSUPP,
			"ports cannot be published in network mode '%s'; use 'nat'", mode);
	if (l->mode != NET_NAT && l->mode != NET_NONE && l->egress_only)
		return err_set(e, EOPNOTSUPP,
			"egress rules cannot be held in network mode '%s'; use 'nat'", mode);
	if (l->n_egress && !l->egress_only)
		return err_set(
			e, EINVAL, "egress rules without refusing the rest would allow everything");
	if (!host_end && (l->rate_in || l->rate_out))
		return err_set(e, EOPNOTSUPP, "rates cannot be limited in network mode '%s'", mode);
	return 0;
}

int net_plan(struct net_link *l, const struct net_network *network, int pool_fd, struct err *e)
{
	uint8_t mac[NET_MAC_BYTES];
	bool needs_parent =
		l->mode == NET_BRIDGE || l->mode == NET_MACVLAN || l->mode == NET_INTERFACE;

	if (plan_check(l, e) < 0 || (l->mac && net_mac_parse(l->mac, mac, e) < 0))
		return -e->code;
	if (l->jail_if &&
		(!*l->jail_if || strlen(l->jail_if) >= IFNAMSIZ || strpbrk(l->jail_if, "/: \t\n%")))
		return err_set(e, EINVAL, "'%.40s' is not a name for an interface", l->jail_if);
	if (needs_parent && !l->parent)
		return err_set(e, EINVAL, "network mode '%s' needs the name of an existing link",
			net_mode_names[l->mode]);
	if (l->mode == NET_NONE || l->mode == NET_HOST || l->mode == NET_JAIL)
		return 0;
	if (l->mode == NET_NAT && !network)
		return err_set(e, EINVAL, "network mode 'nat' needs a network");
	if (l->mode == NET_INTERFACE && !l->jail_if)
		l->jail_if = str_dup(l->parent);
	if (choose_names(l, e) < 0)
		return -e->code;
	return l->mode == NET_NAT ? plan_nat(l, network, pool_fd, e) : 0;
}

int net_release(const struct net_link *l, int pool_fd, struct err *e)
{
	const char *const texts[] = {l->addr4, l->addr6};
	struct net_addr a;

	for (size_t i = 0; l->mode == NET_NAT && i < ARRAY_SIZE(texts); i++) {
		if (texts[i] && (net_addr_parse(texts[i], &a, e) < 0 ||
					net_pool_release(pool_fd, &a, l->owner, e) < 0))
			return -e->code;
	}
	return 0;
}
