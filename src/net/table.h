/*
 * The table `inet jail`: its layout, and what one link has in it.  Known to this room only.
 *
 *	nft_begin(&b);
 *	table_make(&b);
 *	table_link_add(&b, &p);
 *	nft_commit(&b);
 */
#ifndef JAIL_NET_TABLE_H
#define JAIL_NET_TABLE_H

#include "net/net.h"
#include "net/nft.h"

#define TABLE_NAME "jail"

enum {
	TABLE_GROUP = 0x6a61696c, /* "jail": the link group of the host's ends */
	TABLE_MARK = 0x10000000, /* the bit of the packet mark that opens the routes to jails */
	TABLE_ROUTES = 0x6a61696c, /* the routing table with those routes */
	TABLE_RULE_PRIORITY = 5200,
	TABLE_LOG_GROUP = 27244, /* netlink log group of refusals */
};

/* A link with its texts read. */
struct plan {
	const struct net_link *link;
	struct net_addr addr[2], gateway[2], subnet[2]; /* IPv4, IPv6; family 0: none */
	uint8_t mac[NET_MAC_BYTES], host_mac[NET_MAC_BYTES];
};
int plan_read(const struct net_link *l, struct plan *ret, struct err *e) __attribute__((nonnull));

/* Whether the link's mode can hold what is asked of it: nothing asked for is left out in silence.
 */
int plan_check(const struct net_link *l, struct err *e) __attribute__((nonnull));

/* The whole layout, without any jail's elements. */
void table_make(struct nl_batch *b) __attribute__((nonnull));
/*
 * The elements and chain of one link, and their removal.  Ports are removed one by one (index
 * below table_ports): the key of one may by now be another jail's, with another value, which
 * fails the transaction that it is in.
 */
int table_link_add(struct nl_batch *b, const struct plan *p, struct err *e)
	__attribute__((nonnull));
void table_link_del(struct nl_batch *b, const struct plan *p) __attribute__((nonnull));
size_t table_ports(const struct net_link *l) __attribute__((nonnull));
int table_port_del(struct nl_batch *b, const struct plan *p, size_t index, struct err *e)
	__attribute__((nonnull));
/* Of these, what may change in a link's life: egress policy, allowances, and (add only) ports. */
int table_policy_add(struct nl_batch *b, const struct plan *p, struct err *e)
	__attribute__((nonnull));
void table_policy_del(struct nl_batch *b, const struct plan *p) __attribute__((nonnull));
/* What the links of a network have in common goes with the network; IPv4 and IPv6. */
void table_network_del(struct nl_batch *b, const struct net_addr *subnets,
	const struct net_addr *gateways) __attribute__((nonnull));
/* The keys under which a link's packets are counted: 0 from, 1 to; of family index f. */
struct nft_elem table_counter_key(const struct plan *p, int to, int f) __attribute__((nonnull));
/* An address that a name of the egress policy now means: for this link, for so long. */
void table_name_add(struct nl_batch *b, const char *host_if, const struct net_addr *a,
	const struct net_egress *rule, uint64_t ttl_ms) __attribute__((nonnull));
/* Whether an address is none of the internet's: private, link-local, metadata and so on. */
bool table_addr_is_lan(const struct net_addr *a) __attribute__((nonnull));

#endif
