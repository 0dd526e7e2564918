/* Queries of jails and answers of servers; what is written must be read back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dns_address found[DNS_ADDRESSES_MAX];
	struct dns_question q = {0}, again;
	uint8_t out[DNS_UDP_PLAIN_BYTES];
	struct net_addr a = {.family = 2, .prefix = 32, .bytes = {192, 0, 2, 1}};
	size_t size;
	int r;

	if (dns_question_read(p, n, &q) >= 0) {
		if (strlen(q.name) >= DNS_NAME_BYTES || q.end > n)
			abort();
		size = dns_reply_write(out, sizeof(out), p, &q, DNS_OK, &a, 1, 60);
		q.type = DNS_A;
		q.klass = 1;
		if (size > sizeof(out))
			abort();
		if (size)
			dns_answer_read(out, size, &q, found, DNS_ADDRESSES_MAX);
		again = q;
	} else {
		/* As an answer to a question that its own first bytes ask. */
		again = (struct dns_question){.type = DNS_A, .klass = 1, .name = "a"};
		if (n > 2)
			again.id = (uint16_t)(p[0] << 8 | p[1]);
	}
	r = dns_answer_read(p, n, &again, found, DNS_ADDRESSES_MAX);
	if (r > DNS_ADDRESSES_MAX)
		abort();
	return 0;
}
