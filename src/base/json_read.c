/*
 * Text to structs.  The tokenizer is our own: json-c (0.16) lets the last of two equal keys
 * win, takes NaN and 'single quotes' even when strict, saturates numbers that do not fit and
 * builds a tree of everything first.  Reading straight into the struct, by the table, needs no
 * tree, sees each of these, and keeps the limits while it reads.
 *
 * Bytes >= 0x80 are taken as they are: paths and arguments on Linux are bytes, and a state
 * file has to give back what went into it.
 */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_impl.h"

enum { DEFAULT_DEPTH = 64, DEFAULT_ITEMS = 65536, SHOWN_BYTES = 64 };
#define DEFAULT_BYTES ((size_t)16 << 20)

/* Where we are, from the inside out; lives on the C stack. */
struct place {
	const struct place *up;
	const char *key; /* NULL: an element, by index */
	size_t index;
};

struct reader {
	const char *text, *p, *end;
	struct json_limits limits;
	unsigned int depth;
	struct err *e;
};

/* The keys of one object, to find duplicates. */
struct keys {
	struct strmap_entry *v; /* key owned, value NULL */
	size_t n, cap;
};

static void place_add(const struct place *at, struct buf *b)
{
	AUTO_FREE char *shown = NULL;

	if (!at)
		return;
	place_add(at->up, b);
	if (!at->key) {
		buf_addf(b, "[%zu]", at->index);
		return;
	}
	shown = str_visible(at->key);
	if (at->key[strcspn(at->key, ". []'\\")])
		buf_addf(b, "['%.*s']", SHOWN_BYTES, shown);
	else
		buf_addf(b, "%s%.*s", b->n ? "." : "", SHOWN_BYTES, shown);
}

static int __attribute__((format(printf, 4, 5)))
fail(struct reader *r, int code, const struct place *at, const char *fmt, ...)
{
	AUTO_BUF struct buf where = {0};
	AUTO_FREE char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	place_add(at, &where);
	return err_set(r->e, code, "%s%s%s", where.n ? where.p : "", where.n ? ": " : "",
		what ? what : "not valid");
}

/* Not JSON at all: says where in the text, since there may be no path yet. */
static int bad_text(struct reader *r, const struct place *at, const char *expected)
{
	size_t line = 1, column = 1;
	char found[32];

	for (const char *p = r->text; p < r->p; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	if (r->p >= r->end)
		snprintf(found, sizeof(found), "the end");
	else if (*r->p > 0x20 && *r->p < 0x7f)
		snprintf(found, sizeof(found), "'%c'", *r->p);
	else
		snprintf(found, sizeof(found), "byte 0x%02x", (unsigned char)*r->p);
	return fail(r, EINVAL, at, "not JSON at line %zu, column %zu: expected %s, found %s", line,
		column, expected, found);
}

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

static int peek(struct reader *r)
{
	skip_space(r);
	return r->p < r->end ? (unsigned char)*r->p : -1;
}

static bool take(struct reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->p++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n))
		return false;
	r->p += n;
	return true;
}

static int hex4(struct reader *r, const struct place *at, unsigned int *ret)
{
	unsigned int v = 0;

	for (int i = 0; i < 4; i++, r->p++) {
		char c = r->p < r->end ? *r->p : 0;
		unsigned int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10;
		else
			return bad_text(r, at, "four hexadecimal digits");
		v = v << 4 | digit;
	}
	*ret = v;
	return 0;
}

static void add_utf8(struct buf *b, unsigned int c)
{
	char s[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1)
		s[0] = (char)c;
	else
		s[0] = (char)((0xf00 >> n & 0xff) | c >> 6 * (n - 1));
	for (size_t i = 1; i < n; i++)
		s[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
	buf_add(b, s, n);
}

/* After "\u": a code point, of two halves where it is beyond 16 bits (RFC 8259 section 7). */
static int read_code_point(struct reader *r, const struct place *at, struct buf *b)
{
	unsigned int c, low;

	if (hex4(r, at, &c) < 0)
		return -EINVAL;
	if (c >= 0xdc00 && c < 0xe000)
		return bad_text(r, at, "the first half of a surrogate pair before");
	if (c >= 0xd800 && c < 0xdc00) {
		if (!take_word(r, "\\u"))
			return bad_text(r, at, "the second half of a surrogate pair");
		if (hex4(r, at, &low) < 0)
			return -EINVAL;
		if (low < 0xdc00 || low >= 0xe000)
			return bad_text(r, at, "the second half of a surrogate pair before");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (!c)
		return fail(r, EINVAL, at, "a string may not contain a NUL byte");
	add_utf8(b, c);
	return 0;
}

static int read_escape(struct reader *r, const struct place *at, struct buf *b)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;

	r->p++;
	if (r->p < r->end && *r->p == 'u') {
		r->p++;
		return read_code_point(r, at, b);
	}
	hit = r->p < r->end && *r->p ? strchr(from, *r->p) : NULL;
	if (!hit)
		return bad_text(r, at, "an escape such as \\n or \\u0041");
	buf_add(b, &to[hit - from], 1);
	r->p++;
	return 0;
}

/* At the opening quote; *ret is owned. */
static int read_string(struct reader *r, const struct place *at, char **ret)
{
	AUTO_BUF struct buf b = {0};
	int err;

	for (r->p++;;) {
		const char *start = r->p;

		while (r->p < r->end && *r->p != '"' && *r->p != '\\' &&
			(unsigned char)*r->p >= 0x20)
			r->p++;
		buf_add(&b, start, (size_t)(r->p - start));
		if (r->p >= r->end)
			return bad_text(r, at, "the end of a string");
		if (*r->p == '"')
			break;
		if (*r->p != '\\')
			return bad_text(r, at, "control characters as \\u escapes");
		err = read_escape(r, at, &b);
		if (err < 0)
			return err;
	}
	r->p++;
	*ret = mem_take(&b.p);
	return 0;
}

static size_t digits(struct reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return (size_t)(r->p - start);
}

/* RFC 8259 section 6.  Copies the number's text; one that does not fit is cut, and too big anyway.
 */
static int read_number(
	struct reader *r, const struct place *at, char text[static 64], bool *ret_integer)
{
	const char *start = r->p;
	bool integer = true, zero;
	size_t n;

	r->p += r->p < r->end && *r->p == '-';
	zero = r->p < r->end && *r->p == '0';
	n = digits(r);
	if (!n || (zero && n > 1))
		return bad_text(r, at, zero ? "a number without leading zeros" : "a digit");
	if (r->p < r->end && *r->p == '.') {
		integer = false;
		r->p++;
		if (!digits(r))
			return bad_text(r, at, "a digit");
	}
	if (r->p < r->end && (*r->p | 0x20) == 'e') {
		integer = false;
		r->p++;
		r->p += r->p < r->end && (*r->p == '+' || *r->p == '-');
		if (!digits(r))
			return bad_text(r, at, "a digit");
	}
	n = MIN((size_t)(r->p - start), (size_t)63);
	memcpy(text, start, n);
	text[n] = '\0';
	*ret_integer = integer;
	return 0;
}

static int enter(struct reader *r, const struct place *at)
{
	if (++r->depth > r->limits.max_depth)
		return fail(r, EFBIG, at, "nested deeper than %u levels", r->limits.max_depth);
	return 0;
}

static int count_item(struct reader *r, const struct place *at, size_t n)
{
	if (n >= r->limits.max_items)
		return fail(r, EFBIG, at, "more than %zu elements", r->limits.max_items);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

static void keys_release(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->v[i].key);
	free(k->v);
}

static void keys_add(struct keys *k, char *key)
{
	k->v = mem_grow(k->v, &k->cap, k->n + 1, sizeof(*k->v));
	k->v[k->n++].key = key;
}

/* Sorts, so that a hostile object of many keys costs n log n. */
static int keys_check(struct reader *r, const struct place *at, struct keys *k)
{
	if (k->n > 1)
		qsort(k->v, k->n, sizeof(*k->v), by_key);
	for (size_t i = 1; i < k->n; i++)
		if (!strcmp(k->v[i - 1].key, k->v[i].key)) {
			struct place here = {at, k->v[i].key, 0};

			return fail(r, EINVAL, &here, "given twice");
		}
	return 0;
}

/*
 * The loop over one object or array: each() reads one value.  Keys are owned by the loop, and
 * stay valid until it ends.
 */
struct visit {
	int (*each)(struct reader *r, const struct place *at, struct visit *v, const char *key);
	const struct json_field *field; /* what each() needs */
	const struct json_table *table;
	char *base;
	uint64_t seen;
	size_t n;
};

static int read_member(struct reader *r, const struct place *at, struct visit *v, struct keys *k)
{
	struct place here = {at, NULL, 0};
	char *key = NULL;
	int err;

	if (peek(r) != '"')
		return bad_text(
			r, at, k->n ? "a key in double quotes" : "a key in double quotes or '}'");
	err = read_string(r, at, &key);
	if (err < 0)
		return err;
	keys_add(k, key);
	here.key = key;
	if (!take(r, ':'))
		return bad_text(r, &here, "':'");
	return v->each(r, &here, v, key);
}

static int visit_object(struct reader *r, const struct place *at, struct visit *v)
{
	struct keys k = {0};
	int err = enter(r, at);

	r->p++;
	if (err >= 0 && !take(r, '}'))
		for (;;) {
			err = count_item(r, at, k.n);
			if (err >= 0)
				err = read_member(r, at, v, &k);
			if (err < 0)
				break;
			if (take(r, ','))
				continue;
			if (!take(r, '}'))
				err = bad_text(r, at, "',' or '}'");
			break;
		}
	if (err >= 0)
		err = keys_check(r, at, &k);
	keys_release(&k);
	r->depth--;
	return err < 0 ? err : 0;
}

static int visit_array(struct reader *r, const struct place *at, struct visit *v)
{
	struct place here = {at, NULL, 0};
	int err = enter(r, at);

	r->p++;
	if (err >= 0 && !take(r, ']'))
		for (;; here.index++) {
			err = count_item(r, at, here.index);
			if (err >= 0)
				err = v->each(r, &here, v, NULL);
			if (err < 0)
				break;
			if (take(r, ','))
				continue;
			if (!take(r, ']'))
				err = bad_text(r, at, "',' or ']'");
			break;
		}
	r->depth--;
	return err < 0 ? err : 0;
}

static int skip_value(struct reader *r, const struct place *at);

static int skip_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	(void)v;
	(void)key;
	return skip_value(r, at);
}

/* A value that nobody wants still has to be JSON. */
static int skip_value(struct reader *r, const struct place *at)
{
	struct visit v = {.each = skip_each};
	AUTO_FREE char *s = NULL;
	char number[64];
	bool integer;
	int c = peek(r);

	if (c == '{')
		return visit_object(r, at, &v);
	if (c == '[')
		return visit_array(r, at, &v);
	if (c == '"')
		return read_string(r, at, &s);
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(r, at, number, &integer);
	if (take_word(r, "true") || take_word(r, "false") || take_word(r, "null"))
		return 0;
	return bad_text(r, at, "a value");
}

/* Says what stands where something else was expected. */
static int mismatch(struct reader *r, const struct place *at, const char *expected)
{
	const char *start;
	char c;
	int err;

	skip_space(r);
	start = r->p;
	c = r->p < r->end ? *r->p : 0;
	err = skip_value(r, at);
	if (err < 0)
		return err;
	if (c == '{' || c == '[' || c == '"')
		return fail(r, EINVAL, at, "expected %s, found %s", expected,
			c == '{'   ? "an object"
			: c == '[' ? "an array"
				   : "a string");
	return fail(r, EINVAL, at, "expected %s, found %.*s", expected,
		(int)MIN(r->p - start, (ptrdiff_t)SHOWN_BYTES), start);
}

static int expected_found(
	struct reader *r, const struct place *at, const char *expected, const char *found)
{
	AUTO_FREE char *shown = str_visible(found);

	return fail(r, EINVAL, at, "expected %s, found '%.*s'", expected, SHOWN_BYTES, shown);
}

static int read_str(struct reader *r, const struct place *at, unsigned int flags, char **ret)
{
	AUTO_FREE char *s = NULL;
	int err;

	if (peek(r) != '"')
		return mismatch(r, at, "a string");
	err = read_string(r, at, &s);
	if (err < 0)
		return err;
	if ((flags & JSON_NONEMPTY) && !*s)
		return fail(r, EINVAL, at, "expected a string that is not empty");
	if ((flags & JSON_ABSOLUTE) && *s != '/')
		return expected_found(r, at, "an absolute path", s);
	free(*ret);
	*ret = mem_take(&s);
	return 0;
}

static int range_error(
	struct reader *r, const struct place *at, const struct json_field *f, const char *found)
{
	static const char *const range[] = {
		[JSON_I32] = "an integer from -2147483648 to 2147483647",
		[JSON_U32] = "an integer from 0 to 4294967295",
		[JSON_I64] = "an integer from -9223372036854775808 to 9223372036854775807",
		[JSON_U64] = "an integer from 0 to 18446744073709551615",
	};

	if (f->min < f->max)
		return fail(r, EINVAL, at,
			"expected an integer from %" PRId64 " to %" PRId64 ", found %s", f->min,
			f->max, found);
	return fail(r, EINVAL, at, "expected %s, found %s",
		range[f->kind == JSON_U32_ARRAY ? JSON_U32 : f->kind], found);
}

/* Stores the integer when it fits the member and the field's range. */
static bool store_integer(const struct json_field *f, void *p, bool negative, uint64_t magnitude)
{
	static const uint64_t top[] = {[JSON_I32] = INT32_MAX,
		[JSON_U32] = UINT32_MAX,
		[JSON_I64] = INT64_MAX,
		[JSON_U64] = UINT64_MAX,
		[JSON_U32_ARRAY] = UINT32_MAX};
	bool is_signed = f->kind == JSON_I32 || f->kind == JSON_I64;
	uint64_t limit = top[f->kind];
	int64_t value;

	if (negative && magnitude)
		limit = is_signed ? limit + 1 : 0;
	if (magnitude > limit)
		return false;
	value = (int64_t)(negative ? 0 - magnitude : magnitude);
	if (f->min < f->max &&
		((!negative && magnitude > INT64_MAX) || value < f->min || value > f->max))
		return false;
	if (f->kind == JSON_I64 || f->kind == JSON_U64)
		memcpy(p, &value, sizeof(value));
	else
		memcpy(p, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
	return true;
}

static int read_integer(
	struct reader *r, const struct place *at, const struct json_field *f, void *p)
{
	char text[64];
	bool integer, negative;
	uint64_t v;
	int c = peek(r), err;

	if (c != '-' && !(c >= '0' && c <= '9'))
		return mismatch(r, at, "an integer");
	err = read_number(r, at, text, &integer);
	if (err < 0)
		return err;
	if (!integer)
		return fail(r, EINVAL, at, "expected an integer, found %s", text);
	negative = text[0] == '-';
	errno = 0;
	v = strtoull(text + negative, NULL, 10);
	if (errno || !store_integer(f, p, negative, v))
		return range_error(r, at, f, text);
	return 0;
}

static int read_double(struct reader *r, const struct place *at, double *ret)
{
	char text[64];
	bool integer;
	double v;
	int c = peek(r), err;

	if (c != '-' && !(c >= '0' && c <= '9'))
		return mismatch(r, at, "a number");
	err = read_number(r, at, text, &integer);
	if (err < 0)
		return err;
	v = strtod(text, NULL);
	if (!isfinite(v) || strlen(text) == 63)
		return fail(r, EINVAL, at, "expected a number that fits a double, found %s", text);
	*ret = v;
	return 0;
}

static int read_bool(struct reader *r, const struct place *at, bool *ret)
{
	skip_space(r);
	if (take_word(r, "true"))
		*ret = true;
	else if (take_word(r, "false"))
		*ret = false;
	else
		return mismatch(r, at, "true or false");
	return 0;
}

static int name_index(const char *const *names, const char *s)
{
	for (int i = 0; names[i]; i++)
		if (*s && !strcmp(names[i], s)) /* "" stands for a gap in the numbers */
			return i;
	return -1;
}

static int bad_name(
	struct reader *r, const struct place *at, const struct json_field *f, const char *found)
{
	AUTO_BUF struct buf b = {0};

	buf_adds(&b, "one of ");
	for (size_t i = 0, shown = 0; f->names[i]; i++)
		if (*f->names[i])
			buf_addf(&b, "%s'%s'", shown++ ? ", " : "", f->names[i]);
	return expected_found(r, at, b.n > 600 ? "a known name" : b.p, found);
}

static int read_enum(struct reader *r, const struct place *at, const struct json_field *f, int *ret)
{
	AUTO_FREE char *s = NULL;
	int err = read_str(r, at, 0, &s), i;

	if (err < 0)
		return err;
	i = name_index(f->names, s);
	if (i < 0)
		return bad_name(r, at, f, s);
	*ret = i;
	return 0;
}

static int set_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	AUTO_FREE char *s = NULL;
	int err = read_str(r, at, 0, &s), i;

	(void)key;
	if (err < 0)
		return err;
	i = name_index(v->field->names, s);
	if (i < 0 || i > 63)
		return v->field->flags & JSON_LENIENT ? 0 : bad_name(r, at, v->field, s);
	v->seen |= UINT64_C(1) << i;
	return 0;
}

static int strv_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	char *s = NULL;
	int err = read_str(r, at, 0, &s);

	(void)key;
	if (err >= 0)
		strv_take((struct strv *)v->base, s);
	return err;
}

static int map_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	struct strmap *m = (struct strmap *)v->base;
	char *s = NULL;
	int err = read_str(r, at, 0, &s);

	if (err < 0)
		return err;
	m->v = mem_grow(m->v, &m->cap, m->n + 1, sizeof(*m->v));
	m->v[m->n++] = (struct strmap_entry){str_dup(key), s};
	return 0;
}

static int u32_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	uint32_t **items = (uint32_t **)(v->base + v->field->offset);
	size_t *n = (size_t *)(v->base + v->field->count_offset);

	(void)key;
	*items = mem_grow(*items, &v->n, *n + 1, sizeof(**items));
	return read_integer(r, at, v->field, &(*items)[(*n)++]);
}

static int read_object(
	struct reader *r, const struct place *at, const struct json_table *t, char *base);

/* An element of an array, or a member of an object of objects, whose key comes first in the struct.
 */
static int item_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	size_t *n = (size_t *)(v->base + v->field->count_offset);
	size_t size = v->table->size;
	char **items = (char **)(v->base + v->field->offset);
	char *item;

	*items = mem_grow(*items, &v->n, *n + 1, size);
	item = *items + (*n)++ * size;
	memset(item, 0, size); /* mem_grow zeroes new space only */
	if (key)
		*(char **)item = str_dup(key);
	return read_object(r, at, v->table, item);
}

static int read_list(
	struct reader *r, const struct place *at, const struct json_field *f, char *base)
{
	static int (*const each[])(struct reader *, const struct place *, struct visit *,
		const char *) = {[JSON_SET] = set_each,
		[JSON_STRV] = strv_each,
		[JSON_U32_ARRAY] = u32_each,
		[JSON_ARRAY] = item_each};
	struct visit v = {.each = each[f->kind], .field = f, .table = f->table, .base = base};
	int err;

	if (peek(r) != '[')
		return mismatch(r, at, "an array");
	json_field_release(f, base);
	if (f->kind == JSON_STRV)
		v.base += f->offset;
	err = visit_array(r, at, &v);
	if (err < 0)
		return err;
	if (f->kind == JSON_SET)
		memcpy(base + f->offset, &v.seen, sizeof(v.seen));
	if ((f->flags & JSON_NONEMPTY) && json_field_is_zero(f, base))
		return fail(r, EINVAL, at, "expected an array that is not empty");
	return 0;
}

static int read_map(
	struct reader *r, const struct place *at, const struct json_field *f, char *base)
{
	struct visit v = {.each = f->kind == JSON_MAP ? map_each : item_each,
		.field = f,
		.table = f->table,
		.base = base};

	if (peek(r) != '{')
		return mismatch(r, at, "an object");
	json_field_release(f, base);
	if (f->kind == JSON_MAP)
		v.base += f->offset;
	return visit_object(r, at, &v);
}

static int read_optional(
	struct reader *r, const struct place *at, const struct json_field *f, char *base)
{
	if (peek(r) != '{')
		return mismatch(r, at, "an object");
	json_field_release(f, base);
	*(void **)(base + f->offset) = mem_new(f->table->size);
	return read_object(r, at, f->table, *(char **)(base + f->offset));
}

static int read_raw(struct reader *r, const struct place *at, char **ret)
{
	const char *start;
	int err;

	skip_space(r);
	start = r->p;
	err = skip_value(r, at);
	if (err < 0)
		return err;
	free(*ret);
	*ret = str_dup_n(start, (size_t)(r->p - start));
	return 0;
}

static int read_value(
	struct reader *r, const struct place *at, const struct json_field *f, char *base)
{
	void *p = base + f->offset;

	switch (f->kind) {
	case JSON_STR:
		return read_str(r, at, f->flags, p);
	case JSON_BOOL:
		return read_bool(r, at, p);
	case JSON_I32:
	case JSON_U32:
	case JSON_I64:
	case JSON_U64:
		return read_integer(r, at, f, p);
	case JSON_DOUBLE:
		return read_double(r, at, p);
	case JSON_ENUM:
		return read_enum(r, at, f, p);
	case JSON_STRV:
	case JSON_SET:
	case JSON_ARRAY:
	case JSON_U32_ARRAY:
		return read_list(r, at, f, base);
	case JSON_MAP:
	case JSON_KEYED:
		return read_map(r, at, f, base);
	case JSON_OBJECT:
		return read_object(r, at, f->table, p);
	case JSON_OPTIONAL:
		return read_optional(r, at, f, base);
	case JSON_RAW:
		return read_raw(r, at, p);
	}
	return fail(r, EINVAL, at, "unknown kind of field %d", f->kind);
}

static const struct json_field *field_find(const struct json_table *t, const char *key)
{
	for (size_t i = 0; i < t->n_fields; i++)
		if (!strcmp(t->fields[i].name, key))
			return &t->fields[i];
	return NULL;
}

static int field_each(struct reader *r, const struct place *at, struct visit *v, const char *key)
{
	const struct json_field *f = field_find(v->table, key);
	int err;

	if (!f && (v->table->flags & JSON_STRICT))
		return fail(r, EINVAL, at, "unknown key");
	if (!f)
		return skip_value(r, at);
	skip_space(r);
	/* What Go programs write for an empty pointer or slice: the same as absent. */
	if (f->kind != JSON_RAW && take_word(r, "null"))
		return 0;
	err = read_value(r, at, f, v->base);
	if (err < 0)
		return err;
	v->seen |= UINT64_C(1) << (f - v->table->fields);
	if (f->has_offset != JSON_NO_OFFSET)
		*(bool *)(v->base + f->has_offset) = true;
	return 0;
}

static int read_object(
	struct reader *r, const struct place *at, const struct json_table *t, char *base)
{
	struct visit v = {.each = field_each, .table = t, .base = base};
	int err;

	if (peek(r) != '{')
		return mismatch(r, at, "an object");
	err = visit_object(r, at, &v);
	if (err < 0)
		return err;
	for (size_t i = 0; i < t->n_fields; i++)
		if ((t->fields[i].flags & JSON_REQUIRED) && !(v.seen >> i & 1)) {
			struct place here = {at, t->fields[i].name, 0};

			return fail(r, EINVAL, &here, "required, but missing");
		}
	return 0;
}

int json_read_text(const struct json_table *t, const char *text, size_t n,
	const struct json_limits *limits, void *ret, struct err *e)
{
	struct reader r = {.text = text, .p = text, .end = text + n, .e = e};
	int err;

	if (limits)
		r.limits = *limits;
	r.limits.max_bytes = r.limits.max_bytes ? r.limits.max_bytes : DEFAULT_BYTES;
	r.limits.max_depth = r.limits.max_depth ? r.limits.max_depth : DEFAULT_DEPTH;
	r.limits.max_items = r.limits.max_items ? r.limits.max_items : DEFAULT_ITEMS;
	if (n > r.limits.max_bytes)
		err = fail(&r, EFBIG, NULL, "%zu bytes of JSON are more than the %zu allowed", n,
			r.limits.max_bytes);
	else
		err = read_object(&r, NULL, t, ret);
	if (err >= 0 && peek(&r) >= 0)
		err = bad_text(&r, NULL, "nothing after the value");
	if (err < 0)
		json_release(t, ret);
	return err;
}
