/*
 * Bandwidth limits of a link's host end, by tc(8)'s means over netlink.  Known to this room only.
 *
 * Towards the jail, a token bucket on the end's own queue.  From the jail, arriving packets are
 * turned aside into an ifb link with a token bucket and come back behind it, as if from the jail's
 * link: a policer would do with less but drop whatever comes in bursts.  Both stand on the host's
 * side, where a jail with CAP_NET_ADMIN over its own stack cannot take them off.
 */
#ifndef JAIL_NET_SHAPE_H
#define JAIL_NET_SHAPE_H

#include "net/net.h"
#include "net/rt.h"

/* Makes the limits what l says; 0 takes one off.  For links that have a host end. */
int shape_set(struct nl *route, const struct net_link *l, struct err *e) __attribute__((nonnull));
/* The ifb link does not go with the jail: removes it. */
void shape_remove(struct nl_batch *b, const struct net_link *l) __attribute__((nonnull));

#endif
