/*
 * Rows of structs shown as a table for people or as JSON for programs; one list of columns
 * drives both, so that they cannot drift apart.
 *
 *	static const struct column columns[] = {
 *		COLUMN(struct row, name, "NAME", "name", COL_STR),
 *		COLUMN(struct row, memory, "MEMORY", "memory_bytes", COL_SIZE),
 *		COLUMN_END,
 *	};
 *	table_add(columns, rows, n, sizeof(*rows), FORMAT_TABLE, &out);
 *
 * Text that a jail can influence is made visible (str_visible) in the table and escaped by the
 * rules of JSON in the other.  Nothing is cut off, piped or not.
 */
#ifndef JAIL_CLI_TABLE_H
#define JAIL_CLI_TABLE_H

#include <stdint.h>

#include "cli/cli.h"

enum column_kind {
	COL_STR, /* char *; NULL or "": "-" and null */
	COL_BOOL, /* bool: yes, no */
	COL_I32, /* int32_t (pids, exit codes); negative: "-" and null */
	COL_U32, /* uint32_t */
	COL_U64, /* uint64_t; UINT64_MAX: "-" and null */
	COL_LIMIT, /* uint64_t count; UINT64_MAX: "max" and null */
	COL_SIZE, /* uint64_t bytes; UINT64_MAX: "-" and null */
	COL_SIZE_MAX, /* uint64_t bytes of a limit; UINT64_MAX: "max" and null */
	COL_USEC, /* uint64_t microseconds: "1.25s"; UINT64_MAX: "-" and null */
	COL_AGE, /* uint64_t seconds: "3m"; UINT64_MAX: "-" and null */
	COL_STRV, /* struct strv: joined with ',', and an array */
	COL_ENUM, /* int: index in .names */
};

struct column {
	const char *title; /* for people; NULL: only for programs */
	const char *key; /* for programs; NULL: only for people */
	enum column_kind kind;
	size_t offset;
	const char *const *names; /* COL_ENUM */
};

#define COLUMN(type, member, title_, key_, kind_, ...)                                             \
	{                                                                                          \
		.title = (title_), .key = (key_), .kind = (kind_),                                 \
		.offset = offsetof(type, member), ##__VA_ARGS__                                    \
	}
#define COLUMN_END                                                                                 \
	{                                                                                          \
		NULL, NULL, COL_STR, 0, NULL                                                       \
	}

/* Adds n rows of size bytes each to b, with a heading or as an array of objects. */
void table_add(const struct column *columns, const void *rows, size_t n, size_t size,
	enum cli_format format, struct buf *b) __attribute__((nonnull(1, 6)));
/*
 * The same for rows that are made when they are asked for: row i, in turn from 0, NULL at the end;
 * a row is valid until the next is asked for.  A table asks twice, and the second time may differ.
 */
struct table_source {
	const void *(*row)(void *ctx, size_t i);
	void *ctx;
};
void table_add_from(const struct column *columns, const struct table_source *from,
	enum cli_format format, struct buf *b) __attribute__((nonnull));
/* One row as a JSON object on one line, without newline: for streams. */
void table_add_object(const struct column *columns, const void *row, struct buf *b)
	__attribute__((nonnull));

#endif
