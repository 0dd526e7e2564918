/*
 * Links, addresses, neighbours, routes and rules as messages of a netlink batch (rtnetlink(7)).
 * Known to this room only.
 *
 *	rt_link_new(&b, &(struct rt_link){.kind = RT_VETH, .name = "jv1a2b", .index = i, .up = true,
 *		.peer = &(struct rt_link){.name = "eth0", .index = i, .netns_fd = fd, .up = true}});
 *	rt_addr_add(&b, i, &addr);
 *	r = nl_exec(&nl, &b, e);
 *
 * A link may be given its index at birth, so that everything that belongs to it fits into the
 * same batch.
 */
#ifndef JAIL_NET_RT_H
#define JAIL_NET_RT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/netlink.h"

enum rt_kind { RT_ANY, RT_VETH, RT_BRIDGE, RT_MACVLAN, RT_DUMMY, RT_IFB };

struct rt_link {
	enum rt_kind kind;
	const char *name;
	uint32_t index; /* 0: the kernel chooses (new), or found by name (set, del) */
	bool up, noarp;
	uint32_t mtu; /* 0: the kind's own */
	const uint8_t *mac; /* or NULL */
	uint32_t group;
	uint32_t queues; /* 0: the kernel's default, one for each CPU for a veth */
	uint32_t master; /* index of the bridge it joins; 0: none */
	uint32_t parent; /* macvlan: index of the lower link */
	int netns_fd; /* where it is born; <= 0: where the socket is */
	const struct rt_link *peer; /* RT_VETH: the other end */
};

void rt_link_new(struct nl_batch *b, const struct rt_link *l) __attribute__((nonnull));
/* Changes what is set in l: up, mtu, mac, master, and the namespace with the name it takes there.
 */
void rt_link_set(struct nl_batch *b, uint32_t index, const struct rt_link *l)
	__attribute__((nonnull));
void rt_link_down(struct nl_batch *b, uint32_t index) __attribute__((nonnull));
/* Leaves its bridge. */
void rt_link_unmaster(struct nl_batch *b, uint32_t index) __attribute__((nonnull));
/* By index, or by name when it is 0.  A link that is not there is no failure. */
void rt_link_del(struct nl_batch *b, uint32_t index, const char *name) __attribute__((nonnull(1)));

/* IPv4 settings of one link (net.ipv4.conf.IF.*) without a sysctl file: {IPV4_DEVCONF_x, value}. */
struct rt_conf {
	uint16_t id;
	uint32_t value;
};
void rt_link_conf4(struct nl_batch *b, uint32_t index, const struct rt_conf *conf, size_t n)
	__attribute__((nonnull));
/* No link-local address of the kernel's own making (IN6_ADDR_GEN_MODE_NONE). */
void rt_link_no_autoconf6(struct nl_batch *b, uint32_t index) __attribute__((nonnull));

/* An address that is there stays.  IPv6 addresses come without duplicate address detection: they
 * are usable at once. */
void rt_addr_add(struct nl_batch *b, uint32_t index, const struct net_addr *a)
	__attribute__((nonnull));
void rt_addr_del(struct nl_batch *b, uint32_t index, const struct net_addr *a)
	__attribute__((nonnull));
/* A permanent entry: no ARP or neighbour discovery for it. */
void rt_neigh_add(struct nl_batch *b, uint32_t index, const struct net_addr *a, const uint8_t *mac)
	__attribute__((nonnull));

struct rt_route {
	struct net_addr dst; /* prefix 0 of a family: the default route */
	struct net_addr via; /* gateway, or none */
	struct net_addr from; /* preferred source, or none */
	uint32_t index; /* output link; 0: none (unreachable) */
	uint32_t table; /* 0: main */
	uint8_t type; /* RTN_; 0: RTN_UNICAST */
};
void rt_route_add(struct nl_batch *b, const struct rt_route *route) __attribute__((nonnull));
void rt_route_del(struct nl_batch *b, const struct rt_route *route) __attribute__((nonnull));

/* A policy rule: at this priority, what matches is looked up in table. */
struct rt_rule {
	uint8_t family;
	uint32_t priority, table;
	uint32_t mark, mark_mask; /* 0: any */
	const char *iif; /* "lo": what this host itself sends; NULL: any */
	uint8_t ip_proto; /* 0: any */
	struct net_addr src;
	uint8_t action; /* FR_ACT_; 0: FR_ACT_TO_TBL */
};
void rt_rule_add(struct nl_batch *b, const struct rt_rule *rule) __attribute__((nonnull));
void rt_rule_del(struct nl_batch *b, const struct rt_rule *rule) __attribute__((nonnull));

/* What the kernel says of a link. */
struct rt_info {
	uint32_t index;
	char name[16];
	char kind[16];
	uint8_t mac[NET_MAC_BYTES];
	uint32_t mtu, flags, group;
	uint32_t master;
	uint8_t operstate; /* IF_OPER_ */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
};
/* By index or, when it is 0, by name; -ENODEV when there is none. */
int rt_link_get(struct nl *nl, uint32_t index, const char *name, struct rt_info *ret, struct err *e)
	__attribute__((nonnull(1, 4, 5)));
/*
 * Waits until a link whose peer was raised after it really sends.  Till the kernel's link watch
 * has run, which is some time later, such a link drops every packet; asking for the link makes it
 * run at once (Linux 6.8), and before that one has to wait.  At most a second.
 */
int rt_link_ready(struct nl *nl, uint32_t index, struct err *e) __attribute__((nonnull));
/* Reads one RTM_NEWLINK message; pure.  -EPROTO when it does not hold. */
int rt_info_read(const struct nlmsghdr *h, struct rt_info *ret) __attribute__((nonnull));

/* Calls fn with every global address of the host, or every route's destination of the main table.
 */
typedef int rt_addr_fn(const struct net_addr *a, uint32_t index, void *arg);
int rt_addrs(struct nl *nl, uint32_t index, rt_addr_fn *fn, void *arg, struct err *e)
	__attribute__((nonnull(1, 3, 5)));
int rt_routes(struct nl *nl, uint8_t family, rt_addr_fn *fn, void *arg, struct err *e)
	__attribute__((nonnull(1, 3, 5)));

#endif
