/*
 * The addresses of a network: a directory with one symbolic link for each that is taken.
 *
 *	10.88.3.17 -> web
 *
 *	r = net_pool_claim(dir, &subnet, "web", NULL, &a, e);	 the same one as last time, when
 *free r = net_pool_release(dir, &a, "web", e);
 *
 * Making the link is the claim: one system call, atomic, with its owner in it, and the price
 * does not depend on how many there are.  A crash leaves a claim that its owner's next claim finds
 * again.  The search begins at a place computed from the owner's name, so that a jail keeps its
 * address over restarts.
 */
#ifndef JAIL_NET_POOL_H
#define JAIL_NET_POOL_H

#include "net/addr.h"

/*
 * Claims an address of subnet for owner: wanted when not NULL, else a free one.  The first two
 * (network, gateway) and the last are never given.  -EADDRINUSE: wanted is another's;
 * -ENOSPC: none is free.
 */
int net_pool_claim(int dirfd, const struct net_addr *subnet, const char *owner,
	const struct net_addr *wanted, struct net_addr *ret, struct err *e)
	__attribute__((nonnull(2, 3, 5, 6)));
/* Gives it back if it is owner's; what is another's or free is left alone. */
int net_pool_release(int dirfd, const struct net_addr *a, const char *owner, struct err *e)
	__attribute__((nonnull));

#endif
