#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void __attribute__((noreturn, cold)) out_of_memory(void)
{
	static const char text[] = "jail: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(125);
	_exit(125);
}

static void *check(void *p)
{
	if (!p)
		out_of_memory();
	return p;
}

void mem_free_cleanup(void *pp)
{
	void *p;

	memcpy(&p, pp, sizeof(p));
	free(p);
}

void *mem_new(size_t size)
{
	return check(calloc(1, size ? size : 1));
}

void *mem_new_array(size_t n, size_t size)
{
	return check(calloc(n ? n : 1, size ? size : 1));
}

void *mem_grow(void *p, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap;

	if (p && n <= want)
		return p;
	while (want < n || !want)
		want = want ? want * 2 : 8;
	p = check(reallocarray(p, want, size));
	memset((char *)p + *cap * size, 0, (want - *cap) * size);
	*cap = want;
	return p;
}

void *mem_dup(const void *p, size_t n)
{
	void *copy = check(malloc(n ? n : 1));

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *str_dup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *str_dup_n(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = check(malloc(len + 1));

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *str_fmt(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return s;
}

void str_set(char **pp, const char *s)
{
	char *copy = str_dup(s);

	free(*pp);
	*pp = copy;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !memcmp(s + n - m, suffix, m);
}

/* The length of the well-formed UTF-8 sequence at s (RFC 3629 section 4), or 0. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	/* C1 control characters steer terminals just as C0 does. */
	return s[0] == 0xc2 && s[1] < 0xa0 ? 0 : n;
}

char *str_visible(const char *s)
{
	struct buf out = {0};

	buf_adds(&out, "");
	for (const unsigned char *p = (const unsigned char *)s; *p;) {
		size_t n = utf8_len(p);

		if (n && *p >= 0x20 && *p != 0x7f) {
			buf_add(&out, p, n);
			p += n;
		} else {
			buf_addf(&out, "\\x%02x", *p++);
		}
	}
	return out.p;
}

void strv_take(struct strv *sv, char *s)
{
	sv->v = mem_grow(sv->v, &sv->cap, sv->n + 2, sizeof(*sv->v));
	sv->v[sv->n++] = s;
	sv->v[sv->n] = NULL;
}

void strv_add(struct strv *sv, const char *s)
{
	strv_take(sv, str_dup(s));
}

void strv_addf(struct strv *sv, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	strv_take(sv, s);
}

static size_t env_find(const struct strv *sv, const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; i < sv->n; i++)
		if (!strncmp(sv->v[i], name, len) && sv->v[i][len] == '=')
			break;
	return i;
}

void strv_setenv(struct strv *sv, const char *name, const char *value)
{
	size_t i = env_find(sv, name);
	char *entry = str_fmt("%s=%s", name, value);

	if (i == sv->n) {
		strv_take(sv, entry);
		return;
	}
	free(sv->v[i]);
	sv->v[i] = entry;
}

const char *strv_getenv(const struct strv *sv, const char *name)
{
	size_t i = env_find(sv, name);

	return i == sv->n ? NULL : sv->v[i] + strlen(name) + 1;
}

bool strv_has(const struct strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcmp(sv->v[i], s))
			return true;
	return false;
}

void strv_copy(struct strv *dst, const struct strv *src)
{
	for (size_t i = 0; i < src->n; i++)
		strv_add(dst, src->v[i]);
}

void strv_release(struct strv *sv)
{
	for (size_t i = 0; i < sv->n; i++)
		free(sv->v[i]);
	free(sv->v);
	*sv = (struct strv){0};
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	b->p = mem_grow(b->p, &b->cap, b->n + n + 1, 1);
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	buf_add(b, s, (size_t)n);
	free(s);
}

void buf_release(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}
