/*
 * The few rtnetlink messages that moving an interface takes (rtnetlink(7), RFC 3549), without
 * libmnl: Debian has no archive of it, and jail has no shared library (docs/adr/0003).
 *
 *	struct nl_msg m;
 *	struct ifinfomsg *ifi = nl_begin(&m, RTM_NEWLINK, NLM_F_ACK, sizeof(*ifi));
 *	nl_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
 *	r = nl_talk(&m, NULL, NULL);
 */
#ifndef JAIL_OCI_NETDEV_MSG_H
#define JAIL_OCI_NETDEV_MSG_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

enum { NL_MSG_BYTES = 1024 };

struct nl_msg {
	struct nlmsghdr h;
	char body[NL_MSG_BYTES];
};

/* Starts a message with a zeroed family header of that size (at most 64), which it returns. */
void *nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, size_t header_bytes);
/* Adds an attribute; the caller adds few and short ones, and too much ends the process. */
void nl_put(struct nl_msg *m, uint16_t type, const void *data, size_t n);

/*
 * Sends it and reads the answers, each of which is checked to come from the kernel and to be
 * whole.  each (may be NULL) gets every message of a dump.  Returns 0 or -errno.
 */
int nl_talk(struct nl_msg *m, void (*each)(const struct nlmsghdr *h, void *data), void *data);

#endif
