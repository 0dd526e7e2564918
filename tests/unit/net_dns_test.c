#include "test.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/dns.h"

/* example.org, A, IN, id 0x1234, recursion desired */
static const uint8_t query[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'E', 'x', 'a', 'm',
	'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1};

TEST(a_question_is_read)
{
	struct dns_question q = {0};

	CHECK_INT(dns_question_read(query, sizeof(query), &q), 0);
	CHECK_STR(q.name, "example.org");
	CHECK_INT(q.type, DNS_A);
	CHECK_INT(q.id, 0x1234);
	CHECK_INT(q.end, sizeof(query));
	for (size_t n = 0; n < sizeof(query); n++)
		CHECK(dns_question_read(query, n, &q) < 0);
}

TEST(questions_that_are_none)
{
	struct dns_question q = {0};
	uint8_t p[sizeof(query)];

	memcpy(p, query, sizeof(p));
	p[2] = 0x81; /* an answer: never to be answered, or two of us would talk for ever */
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EPROTO);
	p[2] = 0x29; /* another operation */
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EOPNOTSUPP);
	memcpy(p, query, sizeof(p));
	p[5] = 2;
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EINVAL);
	memcpy(p, query, sizeof(p));
	p[14] = '.'; /* a dot inside a label would make another name of it */
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EINVAL);
	p[14] = 0;
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EINVAL);
	memcpy(p, query, sizeof(p));
	p[12] = 0xc0, p[13] = 12; /* a pointer to itself */
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EINVAL);
	p[13] = 14; /* forwards */
	CHECK_INT(dns_question_read(p, sizeof(p), &q), -EINVAL);
}

static void add(uint8_t *p, size_t *n, const void *bytes, size_t size)
{
	memcpy(p + *n, bytes, size);
	*n += size;
}

/* The answer: example.org is an alias of cdn, whose address is 192.0.2.7; and a stowaway. */
static size_t make_answer(uint8_t *p)
{
	static const uint8_t alias[] = {
		0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 5, 3, 'c', 'd', 'n', 0};
	static const uint8_t addr[] = {
		3, 'c', 'd', 'n', 0, 0, 1, 0, 1, 0, 0, 0, 99, 0, 4, 192, 0, 2, 7};
	static const uint8_t stowaway[] = {1, 'x', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1};
	size_t n = 0;

	add(p, &n, query, sizeof(query));
	p[2] = 0x81, p[3] = 0x80, p[7] = 3;
	add(p, &n, alias, sizeof(alias));
	add(p, &n, addr, sizeof(addr));
	add(p, &n, stowaway, sizeof(stowaway));
	return n;
}

TEST(addresses_of_an_answer_follow_aliases_only)
{
	struct dns_address a[4];
	struct dns_question q = {0};
	char text[NET_ADDR_TEXT_BYTES];
	uint8_t p[256];
	size_t n = make_answer(p);

	CHECK_INT(dns_question_read(query, sizeof(query), &q), 0);
	CHECK_INT(dns_answer_read(p, n, &q, a, 4), 1);
	CHECK_STR(net_addr_print(&a[0].addr, text), "192.0.2.7");
	CHECK_INT(a[0].ttl_s, 99);
	for (size_t k = 0; k < n; k++)
		CHECK_INT(dns_answer_read(p, k, &q, a, 4), -EPROTO);
	q.id++;
	CHECK_INT(dns_answer_read(p, n, &q, a, 4), -EPROTO);
	q.id--;
	q.name[0] = 'f';
	CHECK_INT(dns_answer_read(p, n, &q, a, 4), -EPROTO);
}

TEST(what_we_answer_is_read_back)
{
	struct net_addr addrs[2] = {{AF_INET, 32, {10, 0, 0, 1}}, {AF_INET, 32, {10, 0, 0, 2}}};
	struct dns_address a[4];
	struct dns_question q = {0};
	uint8_t out[DNS_UDP_PLAIN_BYTES];
	size_t n;

	CHECK_INT(dns_question_read(query, sizeof(query), &q), 0);
	n = dns_reply_write(out, sizeof(out), query, &q, DNS_OK, addrs, 2, 5);
	CHECK_INT(dns_answer_read(out, n, &q, a, 4), 2);
	CHECK(net_addr_equal(&a[1].addr, &addrs[1]));
	CHECK_INT(a[1].ttl_s, 5);
	n = dns_reply_write(out, sizeof(out), query, &q, DNS_NO_SUCH_NAME, NULL, 0, 0);
	CHECK_INT(n, sizeof(query));
	CHECK_INT(out[3] & 15, DNS_NO_SUCH_NAME);
	CHECK_INT(dns_reply_write(out, sizeof(query) + 20, query, &q, DNS_OK, addrs, 2, 5),
		sizeof(query) + 16);
}

TEST(names_match_whole_or_below)
{
	CHECK(dns_name_matches("example.org", "Example.ORG"));
	CHECK(!dns_name_matches("www.example.org", "example.org"));
	CHECK(dns_name_matches("www.example.org", "*.example.org"));
	CHECK(dns_name_matches("a.b.example.org", "*.example.org"));
	CHECK(!dns_name_matches("example.org", "*.example.org"));
	CHECK(!dns_name_matches("badexample.org", "*.example.org"));
	CHECK(!dns_name_matches("example.org.evil.net", "example.org"));
}

TEST_MAIN
