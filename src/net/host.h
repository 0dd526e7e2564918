/*
 * What the host needs once for all jails: routing rules, the table, forwarding.  Known to this
 * room only.
 */
#ifndef JAIL_NET_HOST_H
#define JAIL_NET_HOST_H

#include "net/rt.h"
#include "net/table.h"

/* Adds the routing rules that look jails' routes up; what is there stays. */
void host_rules_add(struct nl_batch *b) __attribute__((nonnull));
void host_rules_del(struct nl_batch *b) __attribute__((nonnull));
/*
 * Of one network and family: the gateway's address, which stands on the loopback link once
 * instead of on each jail's (the kernel keeps the holders of an address in a list that it
 * walks: the thousandth jail would pay for the others), and the subnet, which is unreachable but
 * by the routes to its jails.
 */
void host_network_up(struct nl_batch *b, const struct net_addr *subnet,
	const struct net_addr *gateway) __attribute__((nonnull));
void host_network_down(struct nl_batch *b, const struct net_addr *subnet) __attribute__((nonnull));
/* Rules and table, when the table is not there; a race with another maker is no failure. */
int host_make(struct nl *route, struct nl *nft, struct err *e) __attribute__((nonnull));
/* Lets the host forward for the families that p has; returns NET_TOLD_ bits of what was changed. */
int host_forward(const struct plan *p, struct err *e) __attribute__((nonnull));
/* One setting of one link, as in net.ipv6.conf.LINK.KEY; a host without the family has none. */
int host_link_sysctl(int family, const char *link, const char *key, const char *value,
	struct err *e) __attribute__((nonnull));

#endif
