#include "net/tls.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_HEADER_BYTES = 5,
	HANDSHAKE_CLIENT_HELLO = 1,
	HANDSHAKE_HEADER_BYTES = 4,
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_ENCRYPTED_HELLO = 0xfe0d,
	NAME_HOST = 0,
	HELLO_FIXED_BYTES = 2 + 32, /* version, random */
};

/* What is left of a message; every taking is checked, and once broken it stays so. */
struct rest {
	const uint8_t *p;
	size_t n;
	bool broken;
};

static uint32_t take_number(struct rest *r, size_t bytes)
{
	uint32_t v = 0;

	if (r->broken || r->n < bytes) {
		r->broken = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | r->p[i];
	r->p += bytes;
	r->n -= bytes;
	return v;
}

static struct rest take_bytes(struct rest *r, size_t n)
{
	struct rest part = {.p = r->p, .n = n};

	if (r->broken || r->n < n) {
		r->broken = true;
		return (struct rest){.broken = true};
	}
	r->p += n;
	r->n -= n;
	return part;
}

/* A vector: its length in so many bytes, then itself (RFC 8446 3.4). */
static struct rest take_vector(struct rest *r, size_t length_bytes)
{
	return take_bytes(r, take_number(r, length_bytes));
}

static bool read_host(struct rest name, struct tls_hello *h)
{
	if (!name.n || name.n >= TLS_NAME_BYTES)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		bool upper = c >= 'A' && c <= 'Z';

		if (!upper && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			!strchr("-_.", c ? c : ' '))
			return false;
		h->name[i] = (char)(upper ? c + 'a' - 'A' : c);
	}
	h->name[name.n] = '\0';
	return true;
}

static bool read_server_name(struct rest data, struct tls_hello *h)
{
	struct rest list = take_vector(&data, 2);

	/* One name of each type at most: a second host name could fool whoever looks at the other.
	 */
	while (!list.broken && list.n) {
		uint32_t type = take_number(&list, 1);
		struct rest name = take_vector(&list, 2);

		if (list.broken || (type == NAME_HOST && (*h->name || !read_host(name, h))))
			return false;
	}
	return !list.broken && !data.n;
}

static bool read_extensions(struct rest all, struct tls_hello *h)
{
	bool named = false;

	while (!all.broken && all.n) {
		uint32_t type = take_number(&all, 2);
		struct rest data = take_vector(&all, 2);

		if (all.broken)
			return false;
		if (type == EXTENSION_SERVER_NAME) {
			if (named || !read_server_name(data, h))
				return false;
			named = true;
		}
		h->encrypted |= type == EXTENSION_ENCRYPTED_HELLO;
	}
	return !all.broken;
}

static int read_hello(struct rest body, struct tls_hello *ret)
{
	struct tls_hello h = {0};

	take_bytes(&body, HELLO_FIXED_BYTES);
	take_vector(&body, 1); /* session */
	take_vector(&body, 2); /* ciphers */
	take_vector(&body, 1); /* compression */
	if (body.broken)
		return -EPROTO;
	if (body.n) {
		struct rest extensions = take_vector(&body, 2);

		if (body.broken || body.n || !read_extensions(extensions, &h))
			return -EPROTO;
	}
	*ret = h;
	return 0;
}

/*
 * The handshake's bytes out of the records that carry it: a hello may be cut anywhere.
 * Returns how many were gathered, -EAGAIN, or -EPROTO.
 */
static int gather(struct rest stream, uint8_t *to, size_t max)
{
	size_t n = 0, want = HANDSHAKE_HEADER_BYTES;

	while (n < want) {
		struct rest record;
		size_t length;

		if (stream.n < RECORD_HEADER_BYTES)
			return -EAGAIN;
		if (stream.p[0] != RECORD_HANDSHAKE || stream.p[1] != 3)
			return -EPROTO;
		length = (size_t)stream.p[3] << 8 | stream.p[4];
		take_bytes(&stream, RECORD_HEADER_BYTES);
		if (!length || n + length > max)
			return -EPROTO;
		record = take_bytes(&stream, MIN(length, stream.n));
		memcpy(to + n, record.p, record.n);
		n += record.n;
		if (n && to[0] != HANDSHAKE_CLIENT_HELLO)
			return -EPROTO;
		if (n >= HANDSHAKE_HEADER_BYTES)
			want = HANDSHAKE_HEADER_BYTES +
			       ((size_t)to[1] << 16 | (size_t)to[2] << 8 | to[3]);
		if (want > max)
			return -EPROTO;
		if (record.n < length && n < want)
			return -EAGAIN;
	}
	return (int)want;
}

int tls_hello_read(const uint8_t *p, size_t n, struct tls_hello *ret)
{
	uint8_t hello[TLS_HELLO_BYTES_MAX];
	struct rest stream = {.p = p, .n = MIN(n, (size_t)TLS_HELLO_BYTES_MAX)}, body;
	int size;

	if (n && p[0] != RECORD_HANDSHAKE)
		return -EPROTO;
	size = gather(stream, hello, sizeof(hello));
	if (size == -EAGAIN && n >= TLS_HELLO_BYTES_MAX)
		return -EPROTO;
	if (size < 0)
		return size;
	body = (struct rest){
		.p = hello + HANDSHAKE_HEADER_BYTES, .n = (size_t)size - HANDSHAKE_HEADER_BYTES};
	return read_hello(body, ret);
}
