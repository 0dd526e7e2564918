#include "net/dns.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/mem.h"

enum {
	FLAG_ANSWER = 0x8000,
	FLAG_RECURSION_DESIRED = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	OPCODE_MASK = 0x7800,
	CLASS_IN = 1,
	LABEL_MAX = 63,
	ALIASES_MAX = 16,
	RECORDS_MAX = 256,
	RECORD_FIXED_BYTES = 10, /* type, class, ttl, length */
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* The one form in which names are compared; 0 for a byte that no host name has. */
static char plain(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 'a' - 'A');
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? (char)c
											: 0;
}

static int add_label(char *text, size_t *len, const uint8_t *label, size_t n)
{
	if (*len + n + 1 >= DNS_NAME_BYTES)
		return -EPROTO;
	if (*len)
		text[(*len)++] = '.';
	for (size_t i = 0; i < n; i++) {
		char c = plain(label[i]);

		if (!c)
			return -EINVAL;
		text[(*len)++] = c;
	}
	return 0;
}

/*
 * Reads the name at *at and moves *at behind it.  A pointer (4.1.4) must go back before the
 * place where this piece of the name began: so it ends.
 */
static int read_name(const uint8_t *p, size_t n, size_t *at, char text[static DNS_NAME_BYTES])
{
	size_t i = *at, limit = *at, len = 0;
	bool jumped = false;
	int r = 0, bad = 0;

	for (;;) {
		if (i >= n)
			return -EPROTO;
		if ((p[i] & 0xc0) == 0xc0) {
			size_t to;

			if (i + 1 >= n)
				return -EPROTO;
			to = get16(p + i) & 0x3fff;
			if (!jumped)
				*at = i + 2;
			if (to >= limit)
				return -EPROTO;
			jumped = true;
			limit = i = to;
			continue;
		}
		if (p[i] > LABEL_MAX || i + 1 + p[i] > n)
			return -EPROTO;
		if (!p[i])
			break;
		r = add_label(text, &len, p + i + 1, p[i]);
		if (r == -EPROTO)
			return r;
		bad = r < 0 ? r : bad;
		i += 1u + p[i];
	}
	if (!jumped)
		*at = i + 1;
	text[len] = '\0';
	return bad;
}

int dns_question_read(const uint8_t *p, size_t n, struct dns_question *ret)
{
	struct dns_question q = {0};
	int r;

	if (n < DNS_HEADER_BYTES || get16(p + 2) & FLAG_ANSWER)
		return -EPROTO;
	ret->id = q.id = get16(p);
	ret->end = q.end = DNS_HEADER_BYTES;
	if (get16(p + 2) & OPCODE_MASK)
		return -EOPNOTSUPP;
	if (get16(p + 4) != 1)
		return -EINVAL;
	r = read_name(p, n, &q.end, q.name);
	if (r < 0 || n - q.end < 4)
		return -EINVAL;
	q.type = get16(p + q.end);
	q.klass = get16(p + q.end + 2);
	q.end += 4;
	*ret = q;
	return 0;
}

/* What a walk over an answer section knows: the names that count, and what was found. */
struct walk {
	char names[ALIASES_MAX][DNS_NAME_BYTES];
	size_t n_names;
	struct dns_address *ret;
	size_t n, max;
};

static bool counts(const struct walk *w, const char *name)
{
	for (size_t i = 0; i < w->n_names; i++) {
		if (!strcmp(w->names[i], name))
			return true;
	}
	return false;
}

static int take_alias(struct walk *w, const uint8_t *p, size_t n, size_t at)
{
	char target[DNS_NAME_BYTES];
	int r = read_name(p, n, &at, target);

	if (r == -EPROTO)
		return r;
	if (!r && w->n_names < ALIASES_MAX && !counts(w, target))
		memcpy(w->names[w->n_names++], target, sizeof(target));
	return 0;
}

static void take_address(struct walk *w, const uint8_t *data, size_t n, uint32_t ttl)
{
	struct dns_address a = {.ttl_s = ttl};

	a.addr.family = n == 4 ? AF_INET : AF_INET6;
	a.addr.prefix = (uint8_t)(8 * n);
	memcpy(a.addr.bytes, data, n);
	if (w->n < w->max)
		w->ret[w->n++] = a;
}

static int take_record(struct walk *w, const uint8_t *p, size_t n, size_t *at)
{
	char owner[DNS_NAME_BYTES];
	int bad = read_name(p, n, at, owner);
	uint16_t type, klass, length;
	size_t data;

	if (bad == -EPROTO || n - *at < RECORD_FIXED_BYTES)
		return -EPROTO;
	type = get16(p + *at);
	klass = get16(p + *at + 2);
	length = get16(p + *at + 8);
	data = *at + RECORD_FIXED_BYTES;
	if (n - data < length)
		return -EPROTO;
	if (!bad && klass == CLASS_IN && counts(w, owner)) {
		if (type == DNS_CNAME && take_alias(w, p, n, data) < 0)
			return -EPROTO;
		if ((type == DNS_A && length == 4) || (type == DNS_AAAA && length == 16))
			take_address(w, p + data, length, get32(p + *at + 4));
	}
	*at = data + length;
	return 0;
}

int dns_answer_read(const uint8_t *p, size_t n, const struct dns_question *q,
	struct dns_address *ret, size_t max)
{
	struct walk w = {.n_names = 1, .ret = ret, .max = max};
	char name[DNS_NAME_BYTES];
	size_t at = DNS_HEADER_BYTES, records;

	if (n < DNS_HEADER_BYTES || get16(p) != q->id || !(get16(p + 2) & FLAG_ANSWER) ||
		get16(p + 4) != 1)
		return -EPROTO;
	if (read_name(p, n, &at, name) < 0 || strcmp(name, q->name) || n - at < 4 ||
		get16(p + at) != q->type || get16(p + at + 2) != q->klass)
		return -EPROTO;
	at += 4;
	records = get16(p + 6);
	if (records > RECORDS_MAX)
		return -EPROTO;
	memcpy(w.names[0], q->name, sizeof(q->name));
	for (size_t i = 0; i < records; i++) {
		if (take_record(&w, p, n, &at) < 0)
			return -EPROTO;
	}
	return (int)w.n;
}

size_t dns_reply_write(uint8_t *out, size_t max, const uint8_t *query, const struct dns_question *q,
	enum dns_code code, const struct net_addr *addrs, size_t n_addrs, uint32_t ttl_s)
{
	size_t n = q->end, records = 0;

	if (n > max)
		return 0;
	memcpy(out, query, n);
	put16(out + 2, FLAG_ANSWER | FLAG_RECURSION_AVAILABLE |
			       (get16(query + 2) & (FLAG_RECURSION_DESIRED | OPCODE_MASK)) |
			       (unsigned int)code);
	put16(out + 4, n > DNS_HEADER_BYTES);
	memset(out + 6, 0, 6);
	for (size_t i = 0; i < n_addrs; i++) {
		size_t size = net_addr_size(&addrs[i]), whole = 2 + RECORD_FIXED_BYTES + size;

		if (n + whole > max)
			break;
		put16(out + n, 0xc000 | DNS_HEADER_BYTES); /* the name of the question */
		put16(out + n + 2, size == 4 ? DNS_A : DNS_AAAA);
		put16(out + n + 4, CLASS_IN);
		put32(out + n + 6, ttl_s);
		put16(out + n + 10, (unsigned int)size);
		memcpy(out + n + 12, addrs[i].bytes, size);
		n += whole;
		records++;
	}
	put16(out + 6, (unsigned int)records);
	return n;
}

bool dns_name_matches(const char *name, const char *pattern)
{
	size_t n = strlen(name), tail;

	if (!str_starts(pattern, "*."))
		return !strcasecmp(name, pattern);
	tail = strlen(pattern) - 1; /* ".x" */
	return n > tail && !strcasecmp(name + n - tail, pattern + 1);
}
