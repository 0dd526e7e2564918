/*
 * Structs to text, release and copy, by the same tables that json_read.c reads with.
 */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_impl.h"

void strmap_set(struct strmap *m, const char *key, const char *value)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].key, key)) {
			str_set(&m->v[i].value, value);
			return;
		}
	m->v = mem_grow(m->v, &m->cap, m->n + 1, sizeof(*m->v));
	m->v[m->n++] = (struct strmap_entry){str_dup(key), str_dup(value)};
}

const char *strmap_get(const struct strmap *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].key, key))
			return m->v[i].value;
	return NULL;
}

bool strmap_remove(struct strmap *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].key, key)) {
			free(m->v[i].key);
			free(m->v[i].value);
			memmove(&m->v[i], &m->v[i + 1], (--m->n - i) * sizeof(*m->v));
			return true;
		}
	return false;
}

void strmap_copy(struct strmap *dst, const struct strmap *src)
{
	for (size_t i = 0; i < src->n; i++)
		strmap_set(dst, src->v[i].key, src->v[i].value);
}

void strmap_release(struct strmap *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].key);
		free(m->v[i].value);
	}
	free(m->v);
	*m = (struct strmap){0};
}

/* The bytes that a member takes in the struct itself; 0 for what is embedded. */
static size_t member_size(const struct json_field *f)
{
	static const size_t size[] = {
		[JSON_STR] = sizeof(char *),
		[JSON_BOOL] = sizeof(bool),
		[JSON_I32] = sizeof(int32_t),
		[JSON_U32] = sizeof(uint32_t),
		[JSON_I64] = sizeof(int64_t),
		[JSON_U64] = sizeof(uint64_t),
		[JSON_DOUBLE] = sizeof(double),
		[JSON_STRV] = sizeof(struct strv),
		[JSON_MAP] = sizeof(struct strmap),
		[JSON_ENUM] = sizeof(int),
		[JSON_SET] = sizeof(uint64_t),
		[JSON_OPTIONAL] = sizeof(void *),
		[JSON_ARRAY] = sizeof(void *),
		[JSON_U32_ARRAY] = sizeof(void *),
		[JSON_RAW] = sizeof(char *),
		[JSON_KEYED] = sizeof(void *),
	};

	return size[f->kind];
}

static bool is_scalar(enum json_kind kind)
{
	return (kind >= JSON_BOOL && kind <= JSON_DOUBLE) || kind == JSON_ENUM;
}

static size_t *count_of(const struct json_field *f, const void *base)
{
	return (size_t *)((char *)base + f->count_offset);
}

bool json_field_is_zero(const struct json_field *f, const void *base)
{
	static const char zero[sizeof(struct strmap)];
	const void *p = (const char *)base + f->offset;

	switch (f->kind) {
	case JSON_OBJECT:
		return false;
	case JSON_STRV:
		return !((const struct strv *)p)->n;
	case JSON_MAP:
		return !((const struct strmap *)p)->n;
	case JSON_ARRAY:
	case JSON_KEYED:
	case JSON_U32_ARRAY:
		return !*count_of(f, base);
	default:
		return !memcmp(p, zero, member_size(f));
	}
}

static void object_release(const struct json_table *t, void *base)
{
	for (size_t i = 0; i < t->n_fields; i++)
		json_field_release(&t->fields[i], base);
}

static void items_release(const struct json_field *f, void *base)
{
	size_t *n = count_of(f, base);
	char *items = *(char **)((char *)base + f->offset);

	for (size_t i = 0; i < *n && f->kind != JSON_U32_ARRAY; i++) {
		if (f->kind == JSON_KEYED)
			free(*(char **)(items + i * f->table->size));
		object_release(f->table, items + i * f->table->size);
	}
	free(items);
	*n = 0;
}

void json_field_release(const struct json_field *f, void *base)
{
	void *p = (char *)base + f->offset;

	switch (f->kind) {
	case JSON_OBJECT:
		object_release(f->table, p);
		break;
	case JSON_STR:
	case JSON_RAW:
		free(*(char **)p);
		break;
	case JSON_STRV:
		strv_release(p);
		break;
	case JSON_MAP:
		strmap_release(p);
		break;
	case JSON_OPTIONAL:
		if (*(void **)p)
			object_release(f->table, *(void **)p);
		free(*(void **)p);
		break;
	case JSON_ARRAY:
	case JSON_KEYED:
	case JSON_U32_ARRAY:
		items_release(f, base);
		break;
	default:
		break;
	}
	memset(p, 0, member_size(f));
}

void json_release(const struct json_table *t, void *p)
{
	if (!p)
		return;
	object_release(t, p);
	memset(p, 0, t->size);
}

static void object_copy(const struct json_table *t, char *base);

static void items_copy(const struct json_field *f, char *base)
{
	size_t n = *count_of(f, base);
	size_t size = f->kind == JSON_U32_ARRAY ? sizeof(uint32_t) : f->table->size;
	char **items = (char **)(base + f->offset);

	*items = n ? mem_dup(*items, n * size) : NULL;
	for (size_t i = 0; i < n && f->kind != JSON_U32_ARRAY; i++) {
		char *item = *items + i * size;

		if (f->kind == JSON_KEYED)
			*(char **)item = str_dup(*(char **)item);
		object_copy(f->table, item);
	}
}

/* The member holds what memcpy left there, owned by another: replaced by a copy of our own. */
static void field_copy(const struct json_field *f, char *base)
{
	void *p = base + f->offset;
	struct strmap map;
	struct strv sv;

	switch (f->kind) {
	case JSON_OBJECT:
		object_copy(f->table, p);
		break;
	case JSON_STR:
	case JSON_RAW:
		*(char **)p = str_dup(*(char **)p);
		break;
	case JSON_STRV:
		sv = *(struct strv *)p;
		*(struct strv *)p = (struct strv){0};
		strv_copy(p, &sv);
		break;
	case JSON_MAP:
		map = *(struct strmap *)p;
		*(struct strmap *)p = (struct strmap){0};
		strmap_copy(p, &map);
		break;
	case JSON_OPTIONAL:
		if (!*(void **)p)
			break;
		*(void **)p = mem_dup(*(void **)p, f->table->size);
		object_copy(f->table, *(void **)p);
		break;
	case JSON_ARRAY:
	case JSON_KEYED:
	case JSON_U32_ARRAY:
		items_copy(f, base);
		break;
	default:
		break;
	}
}

static void object_copy(const struct json_table *t, char *base)
{
	for (size_t i = 0; i < t->n_fields; i++)
		field_copy(&t->fields[i], base);
}

void json_copy(const struct json_table *t, void *dst, const void *src)
{
	memcpy(dst, src, t->size);
	object_copy(t, dst);
}

void json_add_string(struct buf *b, const char *s)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";

	buf_add(b, "\"", 1);
	while (*s) {
		size_t plain = 0;
		const char *hit;

		while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\' &&
			s[plain] != 0x7f)
			plain++;
		buf_add(b, s, plain);
		s += plain;
		if (!*s)
			break;
		hit = strchr(from, *s);
		if (hit)
			buf_add(b, (char[]){'\\', to[hit - from]}, 2);
		else
			buf_addf(b, "\\u%04x", (unsigned char)*s);
		s++;
	}
	buf_add(b, "\"", 1);
}

struct printer {
	struct buf b;
	enum json_style style;
	unsigned int depth;
	bool first; /* nothing printed yet at this level */
};

static void new_line(struct printer *w)
{
	if (w->style == JSON_PRETTY)
		buf_addf(&w->b, "\n%*s", (int)w->depth * 2, "");
}

static void open_level(struct printer *w, const char *bracket)
{
	buf_adds(&w->b, bracket);
	w->depth++;
	w->first = true;
}

static void close_level(struct printer *w, const char *bracket)
{
	w->depth--;
	if (!w->first)
		new_line(w);
	buf_adds(&w->b, bracket);
	w->first = false;
}

/* Before each element, and before each member, which has a key. */
static void next_item(struct printer *w, const char *key)
{
	if (!w->first)
		buf_adds(&w->b, ",");
	w->first = false;
	new_line(w);
	if (!key)
		return;
	json_add_string(&w->b, key);
	buf_adds(&w->b, w->style == JSON_PRETTY ? ": " : ":");
}

static void print_object(struct printer *w, const struct json_table *t, const void *base);

static void print_items(struct printer *w, const struct json_field *f, const void *base)
{
	const char *items = *(char *const *)((const char *)base + f->offset);
	size_t n = *count_of(f, base);

	open_level(w, f->kind == JSON_KEYED ? "{" : "[");
	for (size_t i = 0; i < n; i++) {
		const char *item = f->kind == JSON_U32_ARRAY ? NULL : items + i * f->table->size;

		next_item(w, f->kind == JSON_KEYED ? *(char *const *)item : NULL);
		if (item)
			print_object(w, f->table, item);
		else
			buf_addf(&w->b, "%" PRIu32, ((const uint32_t *)(const void *)items)[i]);
	}
	close_level(w, f->kind == JSON_KEYED ? "}" : "]");
}

static void print_strings(struct printer *w, const struct strv *sv)
{
	open_level(w, "[");
	for (size_t i = 0; i < sv->n; i++) {
		next_item(w, NULL);
		json_add_string(&w->b, sv->v[i]);
	}
	close_level(w, "]");
}

static void print_map(struct printer *w, const struct strmap *m)
{
	open_level(w, "{");
	for (size_t i = 0; i < m->n; i++) {
		next_item(w, m->v[i].key);
		json_add_string(&w->b, m->v[i].value);
	}
	close_level(w, "}");
}

static void print_set(struct printer *w, const struct json_field *f, uint64_t bits)
{
	open_level(w, "[");
	for (size_t i = 0; f->names[i]; i++)
		if (bits >> i & 1) {
			next_item(w, NULL);
			json_add_string(&w->b, f->names[i]);
		}
	close_level(w, "]");
}

/* Where the member is printed as a number or word: alone, without brackets. */
static void print_scalar(struct buf *b, const struct json_field *f, const void *p)
{
	switch (f->kind) {
	case JSON_BOOL:
		buf_adds(b, *(const bool *)p ? "true" : "false");
		break;
	case JSON_I32:
		buf_addf(b, "%" PRId32, *(const int32_t *)p);
		break;
	case JSON_U32:
		buf_addf(b, "%" PRIu32, *(const uint32_t *)p);
		break;
	case JSON_I64:
		buf_addf(b, "%" PRId64, *(const int64_t *)p);
		break;
	case JSON_U64:
		buf_addf(b, "%" PRIu64, *(const uint64_t *)p);
		break;
	case JSON_DOUBLE:
		buf_addf(b, "%.17g", *(const double *)p);
		break;
	case JSON_ENUM:
		json_add_string(b, f->names[*(const int *)p]);
		break;
	case JSON_RAW:
		buf_adds(b, *(char *const *)p ? *(char *const *)p : "null");
		break;
	default:
		json_add_string(b, *(char *const *)p ? *(char *const *)p : "");
		break;
	}
}

static void print_value(struct printer *w, const struct json_field *f, const void *base)
{
	const void *p = (const char *)base + f->offset;

	switch (f->kind) {
	case JSON_OBJECT:
		print_object(w, f->table, p);
		break;
	case JSON_OPTIONAL:
		print_object(w, f->table, *(void *const *)p);
		break;
	case JSON_ARRAY:
	case JSON_KEYED:
	case JSON_U32_ARRAY:
		print_items(w, f, base);
		break;
	case JSON_STRV:
		print_strings(w, p);
		break;
	case JSON_MAP:
		print_map(w, p);
		break;
	case JSON_SET:
		print_set(w, f, *(const uint64_t *)p);
		break;
	default:
		print_scalar(&w->b, f, p);
		break;
	}
}

static bool is_present(const struct json_table *t, const struct json_field *f, const void *base);

static bool is_object_present(const struct json_table *t, const void *base)
{
	for (size_t i = 0; i < t->n_fields; i++)
		if (is_present(t, &t->fields[i], base))
			return true;
	return false;
}

static bool is_present(const struct json_table *t, const struct json_field *f, const void *base)
{
	bool is_pointer = f->kind == JSON_OPTIONAL || f->kind == JSON_STR || f->kind == JSON_RAW;

	if (f->flags & JSON_REQUIRED)
		return !is_pointer || !json_field_is_zero(f, base);
	if (f->has_offset != JSON_NO_OFFSET)
		return *(const bool *)((const char *)base + f->has_offset);
	if (f->kind == JSON_OBJECT)
		return is_object_present(f->table, (const char *)base + f->offset);
	return !json_field_is_zero(f, base) || ((t->flags & JSON_STRICT) && is_scalar(f->kind));
}

static void print_object(struct printer *w, const struct json_table *t, const void *base)
{
	open_level(w, "{");
	for (size_t i = 0; i < t->n_fields; i++)
		if (is_present(t, &t->fields[i], base)) {
			next_item(w, t->fields[i].name);
			print_value(w, &t->fields[i], base);
		}
	close_level(w, "}");
}

char *json_print_text(const struct json_table *t, const void *p, enum json_style style)
{
	struct printer w = {.style = style, .first = true};

	print_object(&w, t, p);
	return w.b.p;
}
