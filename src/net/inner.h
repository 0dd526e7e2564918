/*
 * Published services that listen on 127.0.0.1 inside only.  Known to this room only.
 *
 * A table of our own in the jail's namespace turns what comes for such a port to the loopback
 * address; the client's address stays.  A jail that may change its own rules can only harm itself.
 */
#ifndef JAIL_NET_INNER_H
#define JAIL_NET_INNER_H

#include "net/net.h"

/* Whether any port of the link is such a one. */
bool inner_wanted(const struct net_link *l) __attribute__((nonnull));
/* Makes the table inside say what l says, or be gone. */
int inner_set(const struct net_link *l, int netns_fd, struct err *e) __attribute__((nonnull));

#endif
