#include "test.h"

#include <errno.h>

#include "net/tls.h"

/* Builds a hello as a client would send it, in records of at most cut bytes. */
static size_t make_hello(uint8_t *out, const char *name, bool twice, size_t cut)
{
	uint8_t m[1024] = {1}, *p = m + 4;
	size_t host = strlen(name), n, at = 0;

	*p++ = 3, *p++ = 3;
	memset(p, 0xaa, 32), p += 32;
	*p++ = 0; /* session */
	*p++ = 0, *p++ = 2, *p++ = 0x13, *p++ = 1; /* ciphers */
	*p++ = 1, *p++ = 0; /* compression */
	n = host ? (size_t)(9 + host) * (twice ? 2 : 1) : 0;
	*p++ = (uint8_t)((n + 4) >> 8), *p++ = (uint8_t)(n + 4);
	*p++ = 0xff, *p++ = 1, *p++ = 0, *p++ = 0; /* some other extension */
	for (int i = 0; host && i < (twice ? 2 : 1); i++) {
		*p++ = 0, *p++ = 0, *p++ = 0, *p++ = (uint8_t)(host + 5);
		*p++ = 0, *p++ = (uint8_t)(host + 3), *p++ = 0, *p++ = 0, *p++ = (uint8_t)host;
		memcpy(p, name, host), p += host;
	}
	n = (size_t)(p - m);
	m[2] = (uint8_t)((n - 4) >> 8), m[3] = (uint8_t)(n - 4);
	for (size_t done = 0; done < n;) {
		size_t piece = n - done < cut ? n - done : cut;

		out[at++] = 22, out[at++] = 3, out[at++] = 1;
		out[at++] = (uint8_t)(piece >> 8), out[at++] = (uint8_t)piece;
		memcpy(out + at, m + done, piece);
		at += piece;
		done += piece;
	}
	return at;
}

TEST(the_server_name_is_found)
{
	struct tls_hello h = {0};
	uint8_t p[8192];
	size_t n = make_hello(p, "WWW.Example.org", false, 1000);

	CHECK_INT(tls_hello_read(p, n, &h), 0);
	CHECK_STR(h.name, "www.example.org");
	CHECK(!h.encrypted);
	for (size_t k = 0; k < n; k++)
		CHECK_INT(tls_hello_read(p, k, &h), -EAGAIN);
}

TEST(however_it_is_cut_into_records)
{
	struct tls_hello h;
	uint8_t p[8192];

	for (size_t cut = 1; cut < 40; cut++) {
		size_t n = make_hello(p, "a.example.org", false, cut);

		h = (struct tls_hello){0};
		CHECK_INT(tls_hello_read(p, n, &h), 0);
		CHECK_STR(h.name, "a.example.org");
	}
}

TEST(no_name_is_an_answer_too)
{
	struct tls_hello h = {.name = "x"};
	uint8_t p[8192];

	CHECK_INT(tls_hello_read(p, make_hello(p, "", false, 1000), &h), 0);
	CHECK_STR(h.name, "");
}

TEST(what_is_no_hello_is_refused)
{
	struct tls_hello h = {0};
	uint8_t p[8192];
	size_t n = make_hello(p, "a.example.org", true, 1000); /* two names */

	CHECK_INT(tls_hello_read(p, n, &h), -EPROTO);
	CHECK_INT(tls_hello_read((const uint8_t *)"GET / HTTP/1.1\r\n", 16, &h), -EPROTO);
	CHECK_INT(tls_hello_read((const uint8_t *)"SSH-2.0-x\r\n", 11, &h), -EPROTO);
	n = make_hello(p, "a b", false, 1000);
	CHECK_INT(tls_hello_read(p, n, &h), -EPROTO);
	n = make_hello(p, "a.example.org", false, 1000);
	p[5] = 2; /* a server's hello */
	CHECK_INT(tls_hello_read(p, n, &h), -EPROTO);
	n = make_hello(p, "a.example.org", false, 1000);
	p[6] = 1; /* longer than any hello may be */
	CHECK_INT(tls_hello_read(p, n, &h), -EPROTO);
	n = make_hello(p, "a.example.org", false, 1000);
	p[n - 14]++; /* the name reaches beyond its extension */
	CHECK_INT(tls_hello_read(p, n, &h), -EPROTO);
}

TEST_MAIN
