/*
 * Connections that the kernel tracks (ctnetlink).  Known to this room only.
 */
#ifndef JAIL_NET_FLOWS_H
#define JAIL_NET_FLOWS_H

#include "net/table.h"

/*
 * Forgets every connection that one of the link's addresses has begun or received: their next
 * packets are judged anew.  Those still allowed go on, as the kernel picks up what it
 * sees half-way.  nft is any netfilter socket.
 */
int flows_cut(struct nl *nft, const struct plan *p, struct err *e) __attribute__((nonnull));

#endif
