/*
 * DNS messages (RFC 1035, 3596), as much as a resolver for jails needs: the question of a
 * query, the addresses in an answer, and answers of our own.  Pure, bounded, fuzzed.
 *
 *	r = dns_question_read(p, n, &q);
 *	n = dns_reply_write(out, sizeof(out), p, &q, DNS_OK, addrs, n_addrs, ttl);
 */
#ifndef JAIL_NET_DNS_H
#define JAIL_NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum {
	DNS_HEADER_BYTES = 12,
	DNS_NAME_BYTES = 256, /* text, with the final 0 */
	DNS_UDP_BYTES = 4096, /* the largest datagram that is taken */
	DNS_UDP_PLAIN_BYTES = 512, /* without EDNS (4.2.1) */
	DNS_ADDRESSES_MAX = 64,
};
enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_AAAA = 28 };
enum dns_code {
	DNS_OK = 0,
	DNS_FORMAT_ERROR = 1,
	DNS_SERVER_FAILURE = 2,
	DNS_NO_SUCH_NAME = 3,
	DNS_NOT_IMPLEMENTED = 4,
	DNS_REFUSED = 5,
};

struct dns_question {
	uint16_t id;
	char name[DNS_NAME_BYTES]; /* lower case, no final dot; "" is the root */
	uint16_t type, klass;
	size_t end; /* of the question, in the message */
};

/*
 * Reads a query with one question.  -EPROTO: not to be answered (too short, or an answer itself);
 * -EINVAL: a format error; -EOPNOTSUPP: another operation.  With the latter two, ret->id is set.
 * A name with other bytes than letters, digits, '-' and '_' is -EINVAL.
 */
int dns_question_read(const uint8_t *p, size_t n, struct dns_question *ret)
	__attribute__((nonnull));

struct dns_address {
	struct net_addr addr;
	uint32_t ttl_s;
};
/*
 * Checks that the message answers q (same id, same question) and collects the addresses of its
 * answer section that belong to the name asked for or to what it is an alias of.  Returns how many
 * (at most max), or -EPROTO when it is not an answer to q or does not hold together.
 */
int dns_answer_read(const uint8_t *p, size_t n, const struct dns_question *q,
	struct dns_address *ret, size_t max) __attribute__((nonnull));

/*
 * Writes an answer to query: its question, the code, and address records of q's type.  Returns
 * its size; what does not fit in max is left out.
 */
size_t dns_reply_write(uint8_t *out, size_t max, const uint8_t *query, const struct dns_question *q,
	enum dns_code code, const struct net_addr *addrs, size_t n_addrs, uint32_t ttl_s)
	__attribute__((nonnull(1, 3, 4)));

/* Whether name is pattern, or for "*.x" below x.  Case does not matter. */
bool dns_name_matches(const char *name, const char *pattern) __attribute__((nonnull));

#endif
