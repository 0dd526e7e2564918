/*
 * Refusals: what the table logged, as lines that say what would allow it.  Known to this room
 * only.
 *
 *	{"time":1763827200,"jail":"web","protocol":"tcp","address":"192.0.2.7","port":443,
 *	 "name":"example.org","allow":"example.org:443"}
 */
#ifndef JAIL_NET_REFUSALS_H
#define JAIL_NET_REFUSALS_H

#include "net/addr.h"
#include "net/netlink.h"

struct refusal {
	uint32_t index; /* of the link it came in by */
	uint8_t proto; /* IPPROTO_ */
	struct net_addr from, to;
	uint16_t port; /* 0: a protocol without ports */
};

/* Opens a socket that hears the table's log. */
int refusals_open(struct nl *ret, struct err *e) __attribute__((nonnull));
/* Reads one log message; pure.  -EPROTO when it is none or does not hold. */
int refusal_read(const struct nlmsghdr *h, struct refusal *ret) __attribute__((nonnull));
/* Appends a line to refused.jsonl in dir; name may be NULL.  The file is turned over at a MiB. */
int refusal_write(int dirfd, const struct refusal *r, const char *jail, const char *name,
	struct err *e) __attribute__((nonnull(2, 3, 5)));
/* A name that a jail may not look up. */
int refusal_write_name(int dirfd, const char *jail, const char *name, struct err *e)
	__attribute__((nonnull));

#endif
