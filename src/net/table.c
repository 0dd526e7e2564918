#include "net/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

/* Not in linux-libc-dev by a name that is safe to include beside <netinet/in.h>. */
enum { CT_ESTABLISHED_RELATED = 2 | 4, CT_STATUS_DNAT = 1 << 5 };

#define IP            NFT_META_LOAD(NFPROTO, 15), NFT_EQ8(15, NFPROTO_IPV4)
#define IP6           NFT_META_LOAD(NFPROTO, 15), NFT_EQ8(15, NFPROTO_IPV6)
#define FROM_JAIL     NFT_META_LOAD(IIFGROUP, 15), NFT_EQ32(15, TABLE_GROUP)
#define NOT_FROM_JAIL NFT_META_LOAD(IIFGROUP, 15), NFT_NE32(15, TABLE_GROUP)
#define TO_JAIL       NFT_META_LOAD(OIFGROUP, 15), NFT_EQ32(15, TABLE_GROUP)
#define NOT_TO_JAIL   NFT_META_LOAD(OIFGROUP, 15), NFT_NE32(15, TABLE_GROUP)
#define SET_MARK                                                                                   \
	NFT_META_LOAD(MARK, 15), NFT_AND_XOR(15, ~(uint32_t)TABLE_MARK, TABLE_MARK),               \
		NFT_MARK_SAVE(15)
#define KNOWN_CONNECTION                                                                           \
	NFT_CT_LOAD(STATE, 15), NFT_AND_XOR(15, CT_ESTABLISHED_RELATED, 0), NFT_NE32(15, 0)
#define PUBLISHED         NFT_CT_LOAD(STATUS, 15), NFT_AND_XOR(15, CT_STATUS_DNAT, 0), NFT_NE32(15, 0)
#define NOT_FROM_LO       NFT_META_LOAD(IIF, 15), NFT_NE32(15, 1) /* the kernel's LOOPBACK_IFINDEX */
#define TO_HOST           NFT_DADDR_TYPE(15), NFT_EQ32(15, RTN_LOCAL)
#define TO_LOOPBACK4(r)   NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 16, 1, r), NFT_EQ8(r, 127)
#define FROM_LOOPBACK4(r) NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 12, 1, r), NFT_EQ8(r, 127)
#define DPORT_IS(proto, port)                                                                      \
	NFT_META_LOAD(L4PROTO, 15), NFT_EQ8(15, proto), NFT_DPORT(15), NFT_EQ_PORT(15, port)
/* As the gateway of the network that it goes to. */
#define AS_GATEWAY4 NFT_IP_DADDR(0), NFT_MAP(0, "gate_of4", 8), NFT_SNAT_TO(NFPROTO_IPV4, 8)
#define AS_GATEWAY6 NFT_IP6_DADDR(0), NFT_MAP(0, "gate_of6", 8), NFT_SNAT_TO(NFPROTO_IPV6, 8)
#define ACCEPT      NFT_VERDICT(NF_ACCEPT)
#define DROP        NFT_VERDICT(NF_DROP)

static const struct nft_set sets[] = {
	/* Who may send from which address, and whose address it is; both count. */
	{"from4", {NFT_TYPE_IFNAME, NFT_TYPE_IPADDR}, .counter = true},
	{"from6", {NFT_TYPE_IFNAME, NFT_TYPE_IP6ADDR}, .counter = true},
	{"to4", {NFT_TYPE_IPADDR}, .counter = true},
	{"to6", {NFT_TYPE_IP6ADDR}, .counter = true},
	/* The pairs of subnets whose jails may talk, and the links without a way out. */
	{"peers4", {NFT_TYPE_IPADDR, NFT_TYPE_IPADDR}, .interval = true},
	{"peers6", {NFT_TYPE_IP6ADDR, NFT_TYPE_IP6ADDR}, .interval = true},
	{"internal", {NFT_TYPE_IFNAME}},
	/* The gateways: the host's own addresses towards jails. */
	{"gates4", {NFT_TYPE_IPADDR}},
	{"gates6", {NFT_TYPE_IP6ADDR}},
	{"gate_of4", {NFT_TYPE_IPADDR}, .data = {NFT_TYPE_IPADDR}, .interval = true},
	{"gate_of6", {NFT_TYPE_IP6ADDR}, .data = {NFT_TYPE_IP6ADDR}, .interval = true},
	/* Private, link-local, metadata and other addresses that are not the internet. */
	{"lan4", {NFT_TYPE_IPADDR}, .interval = true, .constant = true},
	{"lan6", {NFT_TYPE_IP6ADDR}, .interval = true, .constant = true},
	{"lan_ok", {NFT_TYPE_IFNAME}},
	{"host_ok", {NFT_TYPE_IFNAME}},
	/* Jails with an egress policy of their own, and what its names mean at present. */
	{"egress", {NFT_TYPE_IFNAME}, .data = {NFT_TYPE_VERDICT}},
	{"names4", {NFT_TYPE_IFNAME, NFT_TYPE_IPADDR, NFT_TYPE_PROTO, NFT_TYPE_PORT},
		.timeout = true},
	{"names6", {NFT_TYPE_IFNAME, NFT_TYPE_IP6ADDR, NFT_TYPE_PROTO, NFT_TYPE_PORT},
		.timeout = true},
	{"names4_all", {NFT_TYPE_IFNAME, NFT_TYPE_IPADDR}, .timeout = true},
	{"names6_all", {NFT_TYPE_IFNAME, NFT_TYPE_IP6ADDR}, .timeout = true},
	/* Published ports: on one address of the host, on all of them; the host's own, let in. */
	{"pub4", {NFT_TYPE_IPADDR, NFT_TYPE_PROTO, NFT_TYPE_PORT},
		.data = {NFT_TYPE_IPADDR, NFT_TYPE_PORT}},
	{"pub6", {NFT_TYPE_IP6ADDR, NFT_TYPE_PROTO, NFT_TYPE_PORT},
		.data = {NFT_TYPE_IP6ADDR, NFT_TYPE_PORT}},
	{"pub4_all", {NFT_TYPE_PROTO, NFT_TYPE_PORT}, .data = {NFT_TYPE_IPADDR, NFT_TYPE_PORT}},
	{"pub6_all", {NFT_TYPE_PROTO, NFT_TYPE_PORT}, .data = {NFT_TYPE_IP6ADDR, NFT_TYPE_PORT}},
	{"let_in", {NFT_TYPE_IFNAME, NFT_TYPE_PROTO, NFT_TYPE_PORT}, .data = {NFT_TYPE_PORT}},
};

/*
 * Where a packet passes.  Filters come after users' own (priority 0), so that theirs may
 * refuse first.  Marks must be there before routing; loopback destinations are looked at
 * before connection tracking turns a reply's gateway address back into 127.0.0.1 (-100).
 */
static const struct nft_chain chains[] = {
	{"refuse"},
	{"between"},
	{"from_jail"},
	{"to_jail"},
	{"to_host"},
	{"arrive", "filter", NF_INET_PRE_ROUTING, -150},
	{"publish", "nat", NF_INET_PRE_ROUTING, -99},
	{"arrived", "filter", NF_INET_PRE_ROUTING, -90},
	{"input", "filter", NF_INET_LOCAL_IN, 1},
	{"forward", "filter", NF_INET_FORWARD, 1},
	{"depart", "filter", NF_INET_LOCAL_OUT, -150},
	{"publish_local", "nat", NF_INET_LOCAL_OUT, -99},
	{"source", "nat", NF_INET_POST_ROUTING, 101},
};

enum { RULE_OPS = 12 };
struct rule {
	const char *chain;
	struct nft_op ops[RULE_OPS];
	size_t n;
};
#define RULE(chain_, ...)                                                                          \
	{                                                                                          \
		.chain = (chain_), .ops = {__VA_ARGS__},                                           \
		.n = sizeof((struct nft_op[]){__VA_ARGS__}) / sizeof(struct nft_op)                \
	}

static const struct rule rules[] = {
	/* Only known addresses on known links, and never for the host's loopback. */
	RULE("arrive", NOT_FROM_JAIL, ACCEPT),
	RULE("arrive", IP, TO_LOOPBACK4(0), DROP),
	RULE("arrive", IP, NFT_META_LOAD(IIFNAME, 0), NFT_IP_SADDR(4), NFT_IN(0, "from4"), SET_MARK,
		ACCEPT),
	RULE("arrive", IP6, NFT_META_LOAD(IIFNAME, 0), NFT_IP6_SADDR(4), NFT_IN(0, "from6"),
		SET_MARK, ACCEPT),
	RULE("arrive", DROP),

	/* A neighbour on the LAN may send to 127.0.0.1: that is not translated. */
	RULE("publish", IP, TO_LOOPBACK4(0), ACCEPT),
	RULE("publish", IP, NFT_IP_DADDR(0), NFT_META_LOAD(L4PROTO, 1), NFT_DPORT(2),
		NFT_MAP(0, "pub4", 8), NFT_DNAT_TO(NFPROTO_IPV4, 8, 9)),
	RULE("publish", IP, TO_HOST, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub4_all", 8), NFT_DNAT_TO(NFPROTO_IPV4, 8, 9)),
	RULE("publish", IP6, NFT_IP6_DADDR(0), NFT_META_LOAD(L4PROTO, 4), NFT_DPORT(5),
		NFT_MAP(0, "pub6", 8), NFT_DNAT_TO(NFPROTO_IPV6, 8, 12)),
	RULE("publish", IP6, TO_HOST, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub6_all", 8), NFT_DNAT_TO(NFPROTO_IPV6, 8, 12)),
	RULE("publish", IP, NFT_IP_DADDR(0), NFT_IN(0, "gates4"), NFT_META_LOAD(IIFNAME, 0),
		NFT_META_LOAD(L4PROTO, 4), NFT_DPORT(5), NFT_MAP(0, "let_in", 9),
		NFT_LOAD(8, 4, NFT_BYTES(127, 0, 0, 1)), NFT_DNAT_TO(NFPROTO_IPV4, 8, 9)),

	/* After translation: the route to a jail opens, and the packet counts. */
	RULE("arrived", IP, NFT_IP_DADDR(0), NFT_IN(0, "to4"), SET_MARK),
	RULE("arrived", IP6, NFT_IP6_DADDR(0), NFT_IN(0, "to6"), SET_MARK),

	/* The host itself: what it sends to a jail counts; what goes to a published port is marked.
	 */
	RULE("depart", IP, NFT_IP_DADDR(0), NFT_IN(0, "to4"), ACCEPT),
	RULE("depart", IP6, NFT_IP6_DADDR(0), NFT_IN(0, "to6"), ACCEPT),
	RULE("depart", IP, PUBLISHED, NFT_IP_DADDR(0), NFT_META_LOAD(L4PROTO, 1), NFT_DPORT(2),
		NFT_MAP(0, "pub4", 8), SET_MARK),
	RULE("depart", IP, PUBLISHED, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub4_all", 8), SET_MARK),
	RULE("depart", IP6, PUBLISHED, NFT_IP6_DADDR(0), NFT_META_LOAD(L4PROTO, 4), NFT_DPORT(5),
		NFT_MAP(0, "pub6", 8), SET_MARK),
	RULE("depart", IP6, PUBLISHED, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub6_all", 8), SET_MARK),
	/* The first packet of a connection: marked here, because translation routes it again at
	   once. */
	RULE("publish_local", IP, NFT_IP_DADDR(0), NFT_META_LOAD(L4PROTO, 1), NFT_DPORT(2),
		NFT_MAP(0, "pub4", 8), SET_MARK, NFT_DNAT_TO(NFPROTO_IPV4, 8, 9)),
	RULE("publish_local", IP, TO_HOST, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub4_all", 8), SET_MARK, NFT_DNAT_TO(NFPROTO_IPV4, 8, 9)),
	RULE("publish_local", IP6, NFT_IP6_DADDR(0), NFT_META_LOAD(L4PROTO, 4), NFT_DPORT(5),
		NFT_MAP(0, "pub6", 8), SET_MARK, NFT_DNAT_TO(NFPROTO_IPV6, 8, 12)),
	RULE("publish_local", IP6, TO_HOST, NFT_META_LOAD(L4PROTO, 0), NFT_DPORT(1),
		NFT_MAP(0, "pub6_all", 8), SET_MARK, NFT_DNAT_TO(NFPROTO_IPV6, 8, 12)),

	/* Out under the host's address.  A loopback client, or a jail at its own published port,
	   gets the gateway's: its own address would not find the way back. */
	RULE("source", FROM_JAIL, NOT_TO_JAIL, NFT_MASQUERADE),
	RULE("source", IP, TO_JAIL, FROM_LOOPBACK4(0), AS_GATEWAY4),
	RULE("source", IP, TO_JAIL, NFT_META_LOAD(OIFNAME, 0), NFT_IP_SADDR(4), NFT_IN(0, "from4"),
		AS_GATEWAY4),
	RULE("source", IP6, TO_JAIL, NFT_META_LOAD(OIFNAME, 0), NFT_IP6_SADDR(4),
		NFT_IN(0, "from6"), AS_GATEWAY6),

	RULE("forward", FROM_JAIL, NFT_GO("from_jail")),
	RULE("forward", TO_JAIL, NFT_GO("to_jail")),
	RULE("from_jail", KNOWN_CONNECTION, ACCEPT),
	RULE("from_jail", TO_JAIL, NFT_GO("between")),
	RULE("from_jail", NFT_META_LOAD(IIFNAME, 0), NFT_IN(0, "internal"), NFT_GO("refuse")),
	RULE("from_jail", NFT_META_LOAD(IIFNAME, 0), NFT_VMAP(0, "egress")),
	RULE("from_jail", IP, NFT_IP_DADDR(0), NFT_IN(0, "lan4"), NFT_META_LOAD(IIFNAME, 0),
		NFT_NOT_IN(0, "lan_ok"), NFT_GO("refuse")),
	RULE("from_jail", IP6, NFT_IP6_DADDR(0), NFT_IN(0, "lan6"), NFT_META_LOAD(IIFNAME, 0),
		NFT_NOT_IN(0, "lan_ok"), NFT_GO("refuse")),
	RULE("from_jail", ACCEPT),
	RULE("between", PUBLISHED, ACCEPT),
	RULE("between", IP, NFT_IP_SADDR(0), NFT_IP_DADDR(1), NFT_IN(0, "peers4"), ACCEPT),
	RULE("between", IP6, NFT_IP6_SADDR(0), NFT_IP6_DADDR(4), NFT_IN(0, "peers6"), ACCEPT),
	RULE("between", NFT_GO("refuse")),
	RULE("to_jail", KNOWN_CONNECTION, ACCEPT),
	RULE("to_jail", PUBLISHED, ACCEPT),
	RULE("to_jail", DROP),

	/* The host: its resolver, what was let in, and nothing else.  Gateways answer jails only.
	 */
	RULE("input", FROM_JAIL, NFT_GO("to_host")),
	RULE("input", IP, NOT_FROM_LO, NFT_IP_DADDR(0), NFT_IN(0, "gates4"), DROP),
	RULE("input", IP6, NOT_FROM_LO, NFT_IP6_DADDR(0), NFT_IN(0, "gates6"), DROP),
	RULE("to_host", KNOWN_CONNECTION, ACCEPT),
	RULE("to_host", PUBLISHED, ACCEPT),
	RULE("to_host", IP, DPORT_IS(IPPROTO_UDP, 53), NFT_IP_DADDR(0), NFT_IN(0, "gates4"),
		ACCEPT),
	RULE("to_host", IP, DPORT_IS(IPPROTO_TCP, 53), NFT_IP_DADDR(0), NFT_IN(0, "gates4"),
		ACCEPT),
	RULE("to_host", IP6, DPORT_IS(IPPROTO_UDP, 53), NFT_IP6_DADDR(0), NFT_IN(0, "gates6"),
		ACCEPT),
	RULE("to_host", IP6, DPORT_IS(IPPROTO_TCP, 53), NFT_IP6_DADDR(0), NFT_IN(0, "gates6"),
		ACCEPT),
	RULE("to_host", NFT_META_LOAD(IIFNAME, 0), NFT_IN(0, "host_ok"), ACCEPT),
	RULE("to_host", NFT_GO("refuse")),

	RULE("refuse", NFT_AT_MOST(50), NFT_LOG_TO(TABLE_LOG_GROUP, "refused")),
	RULE("refuse", NFT_REFUSE),
};

/* First addresses of ranges and the first behind them, in order; an odd end reaches to the last. */
static const uint32_t lan4[] = {
	0x00000000, 0x01000000, /* 0/8: this network */
	0x0a000000, 0x0b000000, /* 10/8 */
	0x64400000, 0x64800000, /* 100.64/10: carriers' own; a cloud's metadata */
	0x7f000000, 0x80000000, /* 127/8 */
	0xa83f8110, 0xa83f8111, /* 168.63.129.16: a cloud's metadata */
	0xa9fe0000, 0xa9ff0000, /* 169.254/16: link-local; clouds' metadata */
	0xac100000, 0xac200000, /* 172.16/12 */
	0xc0000000, 0xc0000100, /* 192.0.0/24 */
	0xc0a80000, 0xc0a90000, /* 192.168/16 */
	0xc6120000, 0xc6140000, /* 198.18/15: benchmarks */
	0xe0000000, /* 224/3: multicast, reserved, broadcast */
};
/* All but global unicast, 2000::/3, and of that not 6to4, which carries IPv4 addresses. */
static const uint16_t lan6[] = {0x0000, 0x2000, 0x2002, 0x2003, 0x4000};

static void add_ranges(struct nl_batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(lan4); i++) {
		struct nft_elem el = {.set = "lan4", .interval_end = i & 1};
		uint32_t v = htonl(lan4[i]);

		nft_key(&el, &v, sizeof(v));
		nft_elem_add(b, TABLE_NAME, &el);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lan6); i++) {
		struct nft_elem el = {.set = "lan6", .interval_end = i & 1};
		uint16_t v[8] = {htons(lan6[i])};

		nft_key(&el, v, sizeof(v));
		nft_elem_add(b, TABLE_NAME, &el);
	}
}

void table_make(struct nl_batch *b)
{
	nft_table_new(b, TABLE_NAME);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		nft_set_new(b, TABLE_NAME, &sets[i], (uint32_t)i + 1);
	add_ranges(b); /* a constant set is closed once a rule uses it */
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		nft_chain_new(b, TABLE_NAME, &chains[i]);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		nft_rule_add(b, TABLE_NAME, rules[i].chain, rules[i].ops, rules[i].n);
}

/* --- what one link has in it --- */

static int read_addr(const char *s, int family, struct net_addr *ret, struct err *e)
{
	if (!s)
		return 0;
	if (net_addr_parse(s, ret, e) < 0)
		return -e->code;
	if (ret->family != family)
		return err_set(
			e, EINVAL, "'%s' is not an IPv%d address", s, family == AF_INET ? 4 : 6);
	return 0;
}

int plan_read(const struct net_link *l, struct plan *ret, struct err *e)
{
	struct plan p = {.link = l};

	if (read_addr(l->addr4, AF_INET, &p.addr[0], e) < 0 ||
		read_addr(l->addr6, AF_INET6, &p.addr[1], e) < 0 ||
		read_addr(l->gateway4, AF_INET, &p.gateway[0], e) < 0 ||
		read_addr(l->gateway6, AF_INET6, &p.gateway[1], e) < 0 ||
		read_addr(l->subnet4, AF_INET, &p.subnet[0], e) < 0 ||
		read_addr(l->subnet6, AF_INET6, &p.subnet[1], e) < 0)
		return -e->code;
	if ((l->mac && net_mac_parse(l->mac, p.mac, e) < 0) ||
		(l->host_mac && net_mac_parse(l->host_mac, p.host_mac, e) < 0))
		return -e->code;
	*ret = p;
	return 0;
}

typedef void elem_fn(struct nl_batch *b, const char *table, const struct nft_elem *elem);

static void addr_key(struct nft_elem *el, const struct net_addr *a)
{
	nft_key(el, a->bytes, net_addr_size(a));
}

struct nft_elem table_counter_key(const struct plan *p, int to, int f)
{
	static const char *const names[2][2] = {{"from4", "from6"}, {"to4", "to6"}};
	struct nft_elem el = {.set = names[to][f]};

	if (!to)
		nft_key_ifname(&el, p->link->host_if);
	addr_key(&el, &p->addr[f]);
	return el;
}

static void ifname_elem(struct nl_batch *b, elem_fn *fn, const char *set, const struct plan *p)
{
	struct nft_elem el = {.set = set};

	nft_key_ifname(&el, p->link->host_if);
	fn(b, TABLE_NAME, &el);
}

static void basic_elems(struct nl_batch *b, elem_fn *fn, const struct plan *p)
{
	const struct net_link *l = p->link;

	for (int f = 0; f < 2; f++) {
		for (int to = 0; to < 2 && p->addr[f].family; to++) {
			struct nft_elem el = table_counter_key(p, to, f);

			fn(b, TABLE_NAME, &el);
		}
	}
	if (l->internal)
		ifname_elem(b, fn, "internal", p);
}

static void allowance_elems(struct nl_batch *b, elem_fn *fn, const struct plan *p)
{
	if (p->link->allow_lan)
		ifname_elem(b, fn, "lan_ok", p);
	if (p->link->allow_host)
		ifname_elem(b, fn, "host_ok", p);
}

/* The last address of a network. */
static struct net_addr last_of(const struct net_addr *subnet)
{
	struct net_addr a = *subnet;

	for (unsigned int i = a.prefix; i < 8 * net_addr_size(&a); i++)
		a.bytes[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return a;
}

static void peers_elem(struct nl_batch *b, elem_fn *fn, const struct net_addr *subnet)
{
	struct nft_elem el = {
		.set = subnet->family == AF_INET ? "peers4" : "peers6", .has_end = true};
	struct net_addr last = last_of(subnet);
	size_t n = net_addr_size(subnet);

	addr_key(&el, subnet);
	addr_key(&el, subnet);
	memcpy(el.key_end, last.bytes, n);
	memcpy(el.key_end + n, last.bytes, n);
	fn(b, TABLE_NAME, &el);
}

/* A range is two elements: its first address with the value, and the one behind its last. */
static void gate_of_elems(
	struct nl_batch *b, elem_fn *fn, const struct net_addr *subnet, const struct net_addr *gate)
{
	const char *set = subnet->family == AF_INET ? "gate_of4" : "gate_of6";
	struct nft_elem first = {.set = set}, behind = {.set = set, .interval_end = true};
	struct net_addr next = last_of(subnet);

	for (size_t i = net_addr_size(&next); i-- > 0 && !++next.bytes[i];)
		;
	addr_key(&first, subnet);
	nft_value(&first, gate->bytes, net_addr_size(gate));
	addr_key(&behind, &next);
	fn(b, TABLE_NAME, &first);
	fn(b, TABLE_NAME, &behind);
}

/* What the whole network shares: added by each of its links, removed with the network. */
static void network_elems(struct nl_batch *b, elem_fn *fn, const struct net_addr *subnets,
	const struct net_addr *gateways)
{
	static const char *const gates[] = {"gates4", "gates6"};

	for (int f = 0; f < 2; f++) {
		struct nft_elem gate = {.set = gates[f]};

		if (!subnets[f].family)
			continue;
		addr_key(&gate, &gateways[f]);
		fn(b, TABLE_NAME, &gate);
		peers_elem(b, fn, &subnets[f]);
		gate_of_elems(b, fn, &subnets[f], &gateways[f]);
	}
}

void table_network_del(
	struct nl_batch *b, const struct net_addr *subnets, const struct net_addr *gateways)
{
	network_elems(b, nft_elem_del, subnets, gateways);
}

static void proto_port_key(struct nft_elem *el, int proto, uint32_t port)
{
	uint8_t number = proto == NET_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	uint16_t be = htons((uint16_t)port);

	nft_key(el, &number, sizeof(number));
	nft_key(el, &be, sizeof(be));
}

static void port_elem(struct nl_batch *b, elem_fn *fn, const struct plan *p,
	const struct net_port *port, const struct net_addr *host, int f)
{
	static const char *const names[2][2] = {{"pub4_all", "pub6_all"}, {"pub4", "pub6"}};
	struct nft_elem el = {.set = names[host != NULL][f]};
	uint16_t to = htons((uint16_t)port->jail_port);

	if (!p->addr[f].family)
		return;
	if (host)
		addr_key(&el, host);
	proto_port_key(&el, port->proto, port->host_port);
	nft_value(&el, p->addr[f].bytes, net_addr_size(&p->addr[f]));
	nft_value(&el, &to, sizeof(to));
	fn(b, TABLE_NAME, &el);
}

static int one_port(struct nl_batch *b, elem_fn *fn, const struct plan *p,
	const struct net_port *port, struct err *e)
{
	struct net_addr host;

	if (str_eq(port->address, "*")) {
		port_elem(b, fn, p, port, NULL, 0);
		port_elem(b, fn, p, port, NULL, 1);
		return 0;
	}
	if (net_addr_parse(port->address ? port->address : "127.0.0.1", &host, e) < 0)
		return -e->code;
	port_elem(b, fn, p, port, &host, host.family == AF_INET6);
	return 0;
}

static void let_in_elem(
	struct nl_batch *b, elem_fn *fn, const struct plan *p, const struct net_port *port)
{
	struct nft_elem el = {.set = "let_in"};
	uint16_t to = htons((uint16_t)port->host_port);

	nft_key_ifname(&el, p->link->host_if);
	proto_port_key(&el, port->proto, port->jail_port);
	nft_value(&el, &to, sizeof(to));
	el.data_bytes = sizeof(to); /* alone it is not padded */
	fn(b, TABLE_NAME, &el);
}

size_t table_ports(const struct net_link *l)
{
	return l->n_ports + l->n_host_ports;
}

static int port_at(struct nl_batch *b, elem_fn *fn, const struct plan *p, size_t i, struct err *e)
{
	const struct net_link *l = p->link;

	if (i < l->n_ports)
		return one_port(b, fn, p, &l->ports[i], e);
	let_in_elem(b, fn, p, &l->host_ports[i - l->n_ports]);
	return 0;
}

int table_port_del(struct nl_batch *b, const struct plan *p, size_t index, struct err *e)
{
	return port_at(b, nft_elem_del, p, index, e);
}

/* --- the egress policy of one link: a chain of its own, reached through a map --- */

static void egress_chain_name(const struct plan *p, char buf[static 32])
{
	snprintf(buf, 32, "egress_%s", p->link->host_if);
}

static size_t match_ports(struct nft_op *ops, const struct net_egress *rule)
{
	uint8_t number = rule->proto == NET_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	const struct nft_op match[] = {
		NFT_META_LOAD(L4PROTO, 15),
		NFT_EQ8(15, number),
		NFT_DPORT(15),
		NFT_CMP(15, NFT_CMP_GTE, 2,
			NFT_BYTES(rule->port_min >> 8, rule->port_min & 255, 0, 0)),
		NFT_CMP(15, NFT_CMP_LTE, 2,
			NFT_BYTES(rule->port_max >> 8, rule->port_max & 255, 0, 0)),
	};

	if (!rule->port_min)
		return 0;
	memcpy(ops, match, sizeof(match));
	return ARRAY_SIZE(match);
}

/* The destination lies in a network: load it, mask it, compare. */
static size_t match_network(struct nft_op *ops, const struct net_addr *a)
{
	bool v4 = a->family == AF_INET;
	const struct nft_op family[] = {
		NFT_META_LOAD(NFPROTO, 15), NFT_EQ8(15, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6)};
	const struct nft_op load4[] = {NFT_IP_DADDR(0)}, load6[] = {NFT_IP6_DADDR(0)};
	struct nft_op mask = {.kind = NFT_OP_BITWISE, .len = (uint32_t)net_addr_size(a)};
	struct nft_op compare = {
		.kind = NFT_OP_CMP, .key = NFT_CMP_EQ, .len = (uint32_t)net_addr_size(a)};

	for (unsigned int i = 0; i < a->prefix; i++)
		((uint8_t *)mask.mask)[i / 8] |= (uint8_t)(0x80 >> i % 8);
	for (size_t i = 0; i < net_addr_size(a); i++)
		((uint8_t *)compare.data)[i] = a->bytes[i] & ((uint8_t *)mask.mask)[i];
	memcpy(ops, family, sizeof(family));
	memcpy(ops + 2, v4 ? load4 : load6, sizeof(load4));
	ops[3] = mask;
	ops[4] = compare;
	return 5;
}

/* Everywhere means the internet: private addresses are opened by allow_lan or by their network. */
static void add_everywhere(struct nl_batch *b, const char *chain, const struct net_egress *rule)
{
	static const struct rule public[] = {
		RULE("", IP, NFT_IP_DADDR(0), NFT_NOT_IN(0, "lan4")),
		RULE("", IP6, NFT_IP6_DADDR(0), NFT_NOT_IN(0, "lan6")),
	};
	static const struct nft_op accept = ACCEPT;

	for (size_t i = 0; i < ARRAY_SIZE(public); i++) {
		struct nft_op ops[RULE_OPS];
		size_t n = public[i].n;

		memcpy(ops, public[i].ops, sizeof(ops));
		n += match_ports(ops + n, rule);
		ops[n++] = accept;
		nft_rule_add(b, TABLE_NAME, chain, ops, n);
	}
}

static void add_egress_rule(struct nl_batch *b, const struct net_link *l, const char *chain,
	const struct net_egress *rule)
{
	const struct nft_op accept[] = {ACCEPT}, refuse[] = {NFT_GO("refuse")};
	bool everywhere = str_eq(rule->to, "*");
	struct nft_op ops[RULE_OPS];
	struct net_addr a;
	struct err ignored = {0};
	size_t n = 0;

	if (everywhere && !rule->refuse && !l->allow_lan) {
		add_everywhere(b, chain, rule);
		return;
	}
	if (!everywhere) {
		/* A name: its addresses come and go in the sets of names. */
		if (net_addr_parse(rule->to, &a, &ignored) < 0)
			return;
		n = match_network(ops, &a);
	}
	n += match_ports(ops + n, rule);
	ops[n++] = rule->refuse ? refuse[0] : accept[0];
	nft_rule_add(b, TABLE_NAME, chain, ops, n);
}

static void add_egress_chain(struct nl_batch *b, const struct plan *p)
{
	static const struct rule names[] = {
		RULE("", IP, NFT_META_LOAD(IIFNAME, 0), NFT_IP_DADDR(4), NFT_IN(0, "names4_all"),
			ACCEPT),
		RULE("", IP, NFT_META_LOAD(IIFNAME, 0), NFT_IP_DADDR(4), NFT_META_LOAD(L4PROTO, 5),
			NFT_DPORT(6), NFT_IN(0, "names4"), ACCEPT),
		RULE("", IP6, NFT_META_LOAD(IIFNAME, 0), NFT_IP6_DADDR(4), NFT_IN(0, "names6_all"),
			ACCEPT),
		RULE("", IP6, NFT_META_LOAD(IIFNAME, 0), NFT_IP6_DADDR(4),
			NFT_META_LOAD(L4PROTO, 8), NFT_DPORT(9), NFT_IN(0, "names6"), ACCEPT),
	};
	static const struct nft_op refuse[] = {NFT_GO("refuse")};
	char chain[32];

	egress_chain_name(p, chain);
	nft_chain_new(b, TABLE_NAME, &(struct nft_chain){.name = chain});
	nft_chain_flush(b, TABLE_NAME, chain);
	for (size_t i = 0; i < p->link->n_egress; i++)
		add_egress_rule(b, p->link, chain, &p->link->egress[i]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		nft_rule_add(b, TABLE_NAME, chain, names[i].ops, names[i].n);
	nft_rule_add(b, TABLE_NAME, chain, refuse, 1);
}

static void egress_elem(struct nl_batch *b, elem_fn *fn, const struct plan *p)
{
	struct nft_elem el = {.set = "egress"};
	char chain[32];

	egress_chain_name(p, chain);
	nft_key_ifname(&el, p->link->host_if);
	el.chain = chain;
	fn(b, TABLE_NAME, &el);
}

int table_policy_add(struct nl_batch *b, const struct plan *p, struct err *e)
{
	allowance_elems(b, nft_elem_add, p);
	if (p->link->egress_only) {
		add_egress_chain(b, p);
		egress_elem(b, nft_elem_add, p);
	}
	for (size_t i = 0; i < table_ports(p->link); i++) {
		if (port_at(b, nft_elem_add, p, i, e) < 0)
			return -e->code;
	}
	return 0;
}

void table_policy_del(struct nl_batch *b, const struct plan *p)
{
	char chain[32];

	if (p->link->egress_only) {
		egress_chain_name(p, chain);
		/* The chain may be gone already: make sure that it is there, for the map's element.
		 */
		nft_chain_new(b, TABLE_NAME, &(struct nft_chain){.name = chain});
		egress_elem(b, nft_elem_del, p);
		nft_chain_flush(b, TABLE_NAME, chain);
		nft_chain_del(b, TABLE_NAME, chain);
	}
	allowance_elems(b, nft_elem_del, p);
}

int table_link_add(struct nl_batch *b, const struct plan *p, struct err *e)
{
	network_elems(b, nft_elem_add, p->subnet, p->gateway);
	basic_elems(b, nft_elem_add, p);
	return table_policy_add(b, p, e);
}

void table_link_del(struct nl_batch *b, const struct plan *p)
{
	table_policy_del(b, p);
	basic_elems(b, nft_elem_del, p);
}

/* An element's time cannot be prolonged on older kernels: it is replaced, in one transaction. */
static void refresh(struct nl_batch *b, const struct nft_elem *el)
{
	nft_elem_del(b, TABLE_NAME, el);
	nft_elem_add(b, TABLE_NAME, el);
}

void table_name_add(struct nl_batch *b, const char *host_if, const struct net_addr *a,
	const struct net_egress *rule, uint64_t ttl_ms)
{
	bool v6 = a->family == AF_INET6;
	struct nft_elem el = {.timeout_ms = ttl_ms};

	el.set = rule->port_min ? (v6 ? "names6" : "names4") : (v6 ? "names6_all" : "names4_all");
	nft_key_ifname(&el, host_if);
	addr_key(&el, a);
	for (uint32_t port = rule->port_min; port && port <= rule->port_max; port++) {
		struct nft_elem one = el;

		proto_port_key(&one, rule->proto, port);
		refresh(b, &one);
	}
	if (!rule->port_min)
		refresh(b, &el);
}

bool table_addr_is_lan(const struct net_addr *a)
{
	size_t i = 0;
	uint32_t v4;
	uint16_t v6;

	/* An odd count of bounds at or below it: inside one of the ranges. */
	if (a->family == AF_INET) {
		memcpy(&v4, a->bytes, sizeof(v4));
		while (i < ARRAY_SIZE(lan4) && ntohl(v4) >= lan4[i])
			i++;
	} else {
		memcpy(&v6, a->bytes, sizeof(v6));
		while (i < ARRAY_SIZE(lan6) && ntohs(v6) >= lan6[i])
			i++;
	}
	return i & 1;
}
