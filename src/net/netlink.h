/*
 * Netlink requests in batches, over libmnl.  Known to this room only.
 *
 *	struct nl nl = NL_INIT;
 *	struct nl_batch b = {0};
 *
 *	r = nl_open(&nl, NETLINK_ROUTE, netns_fd, e);	 a socket inside that namespace
 *	h = nl_begin(&b, RTM_NEWADDR, NLM_F_CREATE, "add address", "eth0");
 *	mnl_nlmsg_put_extra_header(...), nl_put(...) ...
 *	r = nl_exec(&nl, &b, e);			 one send, and every answer judged
 *	nl_batch_release(&b);
 *	nl_close(&nl);
 *
 * One send(2) carries the whole batch.  The kernel works on it inside that call, so the
 * answers are there when it returns and nothing here ever waits.  Only the last message asks
 * for an acknowledgement; a message that fails answers in any case.
 *
 * What is believed: a datagram whose sender is the kernel (nl_pid 0), with our port id, with a
 * sequence number of this batch, and lengths that hold.  All else is -EPROTO or skipped.
 */
#ifndef JAIL_NET_NETLINK_H
#define JAIL_NET_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct nl {
	struct mnl_socket *socket;
	uint32_t seq;
};
#define NL_INIT                                                                                    \
	{                                                                                          \
		.socket = NULL, .seq = 0                                                           \
	}

enum {
	NL_MESSAGE_BYTES = 16 * 1024, /* the largest single message that is built */
	NL_RECEIVE_BYTES = 64 * 1024, /* the kernel never sends a larger datagram */
	NL_OBJECT_BYTES = 40,
};

/* What a message was about: for its error, and for errors that do not matter. */
struct nl_note {
	const char *verb; /* "add address"; static */
	char object[NL_OBJECT_BYTES]; /* "eth0" */
	int tolerate[2]; /* errno values that are no failure; 0: none */
};

struct nl_batch {
	struct buf bytes;
	size_t current; /* offset of the message being built */
	struct nl_note *notes; /* one per message */
	size_t n, cap;
	bool overflow; /* an attribute did not fit: nl_exec refuses */
};

/* Opens a socket of that bus in the namespace netns_fd, or in the caller's own when < 0. */
int nl_open(struct nl *ret, int bus, int netns_fd, struct err *e) __attribute__((nonnull));
void nl_close(struct nl *nl) __attribute__((nonnull));
#define AUTO_NL __attribute__((cleanup(nl_close)))

/*
 * Runs fn in the network namespace netns_fd and comes back.  Only the calling thread moves;
 * every process of ours that does this is single-threaded.
 */
int nl_in_netns(int netns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
	__attribute__((nonnull(2, 4)));

/* Starts a message; the header is valid until the next nl_begin.  NLM_F_REQUEST is implied. */
struct nlmsghdr *nl_begin(struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb,
	const char *object) __attribute__((nonnull));
/* Adds the fixed header that follows the netlink header; zeroed. */
void *nl_extra(struct nl_batch *b, size_t n) __attribute__((nonnull, returns_nonnull));
/* The message being built need not succeed with this errno. */
void nl_tolerate(struct nl_batch *b, int code) __attribute__((nonnull));

void nl_put(struct nl_batch *b, uint16_t type, const void *p, size_t n) __attribute__((nonnull(1)));
void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t v) __attribute__((nonnull));
void nl_put_u16(struct nl_batch *b, uint16_t type, uint16_t v) __attribute__((nonnull));
void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t v) __attribute__((nonnull));
void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t v) __attribute__((nonnull));
void nl_put_be64(struct nl_batch *b, uint16_t type, uint64_t v) __attribute__((nonnull));
void nl_put_str(struct nl_batch *b, uint16_t type, const char *s) __attribute__((nonnull));
/* Nested attributes; the result goes to nl_end.  Offsets, because the buffer may move. */
size_t nl_nest(struct nl_batch *b, uint16_t type) __attribute__((nonnull));
void nl_end(struct nl_batch *b, size_t nest) __attribute__((nonnull));
void nl_batch_release(struct nl_batch *b) __attribute__((nonnull));
#define AUTO_NL_BATCH __attribute__((cleanup(nl_batch_release)))

/*
 * Sends the batch and judges the answers; the first error that is not tolerated is the result,
 * with the kernel's own sentence when it gave one.  The batch is empty afterwards.
 */
int nl_exec(struct nl *nl, struct nl_batch *b, struct err *e) __attribute__((nonnull));

/* One message of an answer: called with a whole message of at least min_bytes of payload. */
typedef int nl_message_fn(const struct nlmsghdr *h, void *arg);
/* Sends the one message of b and hands every part of the answer (or dump) to fn, unless NULL. */
int nl_query(struct nl *nl, struct nl_batch *b, nl_message_fn *fn, void *arg, struct err *e)
	__attribute__((nonnull(1, 2, 5)));

/*
 * For sockets that hear events: hands every message that has come to fn, without waiting.
 * Returns how many; -ENOBUFS: some were lost.
 */
int nl_events(struct nl *nl, nl_message_fn *fn, void *arg) __attribute__((nonnull(1, 2)));

/* --- answers: pure, and fuzzed --- */

/* Who and what an answer must be from and for. */
struct nl_expect {
	uint32_t port; /* our port id */
	uint32_t first_seq, last_seq;
};
enum nl_verdict {
	NL_MORE, /* go on receiving */
	NL_COMPLETE, /* the last message was acknowledged, or the dump is done */
};
struct nl_answer {
	struct nl_expect expect;
	nl_message_fn *fn; /* data messages, or NULL: they are skipped */
	void *arg;
	/* error answers: index in the batch, positive errno (0: acknowledged), kernel's sentence or
	 * NULL */
	int (*failed)(void *self, size_t index, int code, const char *text);
	void *self;
};
/* Reads one datagram; returns an nl_verdict or -errno: -EPROTO for lengths that do not hold. */
int nl_read(const void *p, size_t n, const struct nl_answer *a) __attribute__((nonnull));

/*
 * Attributes of a message (after extra_bytes of fixed header) or of a nest, by type: ret[0..max]
 * are NULL when absent.  Returns 0 or -EPROTO when a length does not hold.
 */
int nl_attrs(const struct nlmsghdr *h, size_t extra_bytes, const struct nlattr **ret, uint16_t max)
	__attribute__((nonnull));
int nl_nested(const struct nlattr *nest, const struct nlattr **ret, uint16_t max)
	__attribute__((nonnull(2)));
/* Values, only when the attribute is there and long enough; else the default. */
uint8_t nl_u8(const struct nlattr *a, uint8_t absent);
uint32_t nl_u32(const struct nlattr *a, uint32_t absent);
uint32_t nl_be32(const struct nlattr *a, uint32_t absent);
uint64_t nl_be64(const struct nlattr *a, uint64_t absent);
uint64_t nl_u64(const struct nlattr *a, uint64_t absent);
/* A terminated string inside the attribute, or NULL; borrowed from the message. */
const char *nl_str(const struct nlattr *a);

#endif
