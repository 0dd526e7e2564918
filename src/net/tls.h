/*
 * The name that a TLS client asks for (RFC 8446 4.1.2, RFC 6066 3), from the first bytes of its
 * stream.  Pure, bounded, fuzzed.
 *
 *	r = tls_hello_read(p, n, &hello);
 *	r == -EAGAIN: more bytes are needed (never more than TLS_HELLO_BYTES_MAX)
 */
#ifndef JAIL_NET_TLS_H
#define JAIL_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_HELLO_BYTES_MAX = 16 * 1024, TLS_NAME_BYTES = 256 };

struct tls_hello {
	char name[TLS_NAME_BYTES]; /* lower case; "" when the client names no server */
	bool encrypted; /* it also has an encrypted hello, whose name is hidden: RFC 9849 */
};

/* 0, -EAGAIN, or -EPROTO: not a client's hello, or one that does not hold together. */
int tls_hello_read(const uint8_t *p, size_t n, struct tls_hello *ret) __attribute__((nonnull));

#endif
