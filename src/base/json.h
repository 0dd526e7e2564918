/*
 * JSON to C structs and back, by tables of typed fields.
 *
 *	struct point { int32_t x, y; char *label; };
 *	static const struct json_field point_fields[] = {
 *		JSON_FIELD(struct point, x, "x", JSON_I32, .flags = JSON_REQUIRED),
 *		JSON_FIELD(struct point, y, "y", JSON_I32),
 *		JSON_FIELD(struct point, label, "label", JSON_STR),
 *	};
 *	static const struct json_table point_table = JSON_TABLE(struct point, point_fields);
 *
 *	r = json_read_text(&point_table, text, len, &limits, &p, e);	 -> bytes to struct
 *	char *s = json_print_text(&point_table, &p);			 -> struct to bytes
 *	json_release(&point_table, &p);					 -> frees what it owns
 *
 * One table drives reading, printing and releasing, so the three cannot drift apart.  Reading
 * is pure: bytes in, struct or error out.  An error names the path of the value and what was
 * expected: "linux.resources.pids.limit: expected an integer, found a string".
 *
 * Printing leaves out what is absent, so it round-trips: NULL and empty lists; has_ flag false;
 * and, without a has_ flag, 0 and false.  JSON_REQUIRED members are always printed, and so are
 * numbers, booleans and enums of JSON_STRICT tables (whose readers may start from defaults
 * other than 0).  On reading, null is the same as absent, as programs in Go write it.
 *
 * A table of part of a struct at the same offset flattens an object:
 *	{"pids": {"limit": 5}} into .pids_limit by a JSON_OBJECT field of offset 0.
 */
#ifndef JAIL_BASE_JSON_H
#define JAIL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum json_kind {
	JSON_STR,      /* char *, owned; NULL when absent.  NUL bytes inside are refused */
	JSON_BOOL,     /* bool */
	JSON_I32,      /* int32_t */
	JSON_U32,      /* uint32_t */
	JSON_I64,      /* int64_t */
	JSON_U64,      /* uint64_t */
	JSON_DOUBLE,   /* double */
	JSON_STRV,     /* struct strv */
	JSON_MAP,      /* struct strmap: an object whose values are strings */
	JSON_ENUM,     /* int: the index in .names (NULL-terminated) of the string */
	JSON_SET,      /* uint64_t: array of strings, bit i for .names[i]; unknown: error */
	JSON_OBJECT,   /* the struct itself, embedded; .table */
	JSON_OPTIONAL, /* pointer to a heap struct, NULL when absent; .table */
	JSON_ARRAY,    /* T *items at .offset, size_t count at .count_offset; .table */
	JSON_U32_ARRAY, /* uint32_t *items at .offset, size_t count at .count_offset */
	JSON_RAW,      /* char *, owned: the value as JSON text, whatever it is */
	/*
	 * An object of objects: as JSON_ARRAY, and each element's key is kept in the struct's
	 * first member, which must be a char *.
	 */
	JSON_KEYED,
};

enum json_flag {
	JSON_REQUIRED = 1,  /* absent is an error */
	JSON_NONEMPTY = 2,  /* an empty string or array is an error */
	JSON_ABSOLUTE = 4,  /* a string that must start with '/' */
	JSON_LENIENT = 8,   /* a set ignores names that it does not know */
};

enum json_table_flag {
	JSON_STRICT = 1,    /* unknown keys are errors (our own formats); else ignored (OCI) */
};

struct json_table;

struct json_field {
	const char *name;
	enum json_kind kind;
	unsigned int flags;
	size_t offset;
	size_t has_offset;		/* of a bool set when present; NO_OFFSET for none */
	size_t count_offset;		/* arrays: of the size_t count */
	const struct json_table *table; /* objects and arrays of objects */
	const char *const *names;	/* enums and sets; NULL-terminated */
	int64_t min, max;		/* integers, when min < max */
};

struct json_table {
	const struct json_field *fields;
	size_t n_fields; /* at most 64 */
	size_t size;	 /* of the struct */
	unsigned int flags;
};

#define JSON_NO_OFFSET ((size_t)-1)
#define JSON_FIELD(type, member, key, kind_, ...)                                    \
	{                                                                            \
		.name = (key), .kind = (kind_), .offset = offsetof(type, member),    \
		.has_offset = JSON_NO_OFFSET, ##__VA_ARGS__                          \
	}
/* As JSON_FIELD where presence matters: sets the bool member has_<member>. */
#define JSON_FIELD_HAS(type, member, key, kind_, ...)                                \
	{                                                                            \
		.name = (key), .kind = (kind_), .offset = offsetof(type, member),    \
		.has_offset = offsetof(type, has_##member), ##__VA_ARGS__            \
	}
/* An array of structs or numbers with its count in n_<member>. */
#define JSON_FIELD_ARRAY(type, member, key, kind_, ...)                              \
	{                                                                            \
		.name = (key), .kind = (kind_), .offset = offsetof(type, member),    \
		.count_offset = offsetof(type, n_##member),                          \
		.has_offset = JSON_NO_OFFSET, ##__VA_ARGS__                          \
	}
#define JSON_TABLE(type, fields_, ...)                                               \
	{                                                                            \
		.fields = (fields_), .n_fields = ARRAY_SIZE(fields_),                \
		.size = sizeof(type), ##__VA_ARGS__                                  \
	}

/* An ordered string map.  Keys are unique; both strings owned. */
struct strmap {
	struct strmap_entry {
		char *key, *value;
	} *v;
	size_t n, cap;
};
void strmap_set(struct strmap *m, const char *key, const char *value) __attribute__((nonnull));
const char *strmap_get(const struct strmap *m, const char *key) __attribute__((nonnull));
bool strmap_remove(struct strmap *m, const char *key) __attribute__((nonnull));
void strmap_copy(struct strmap *dst, const struct strmap *src) __attribute__((nonnull));
void strmap_release(struct strmap *m) __attribute__((nonnull));

/* Bounds on what is read; 0 means the default in parentheses. */
struct json_limits {
	size_t max_bytes;  /* (16 MiB) */
	unsigned int max_depth; /* (64) */
	size_t max_items;  /* elements of one array or object (65536) */
};

/*
 * Reads text into *ret, which must be zeroed (or hold defaults that absent fields keep).
 * On failure *ret is released and zeroed.  Errors: -EINVAL with the path of the value,
 * -EFBIG beyond a limit.  Duplicate keys, trailing text, NaN and comments are refused
 * (RFC 8259).  limits may be NULL.
 */
int json_read_text(const struct json_table *t, const char *text, size_t n,
	const struct json_limits *limits, void *ret, struct err *e)
	__attribute__((nonnull(1, 2, 5, 6)));

enum json_style { JSON_COMPACT, JSON_PRETTY };
/* Prints as JSON; owned, without a final newline. */
char *json_print_text(const struct json_table *t, const void *p, enum json_style style)
	__attribute__((malloc, returns_nonnull, nonnull));

/* Frees everything the struct owns and zeroes it. */
void json_release(const struct json_table *t, void *p) __attribute__((nonnull(1)));
/* Deep copy: *dst must be zeroed.  Members that no field names are copied as they are. */
void json_copy(const struct json_table *t, void *dst, const void *src) __attribute__((nonnull));

/* Appends s as a JSON string literal, quotes included, to b: for streams written by hand. */
void json_add_string(struct buf *b, const char *s) __attribute__((nonnull));

#endif
