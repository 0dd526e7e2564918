#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/parse.h"

enum { GAP = 2 };

static bool is_end(const struct column *c)
{
	return !c->title && !c->key;
}

static bool is_number(enum column_kind kind)
{
	return kind != COL_STR && kind != COL_STRV && kind != COL_ENUM && kind != COL_BOOL;
}

static uint64_t as_u64(const struct column *c, const void *at)
{
	if (c->kind == COL_U32)
		return *(const uint32_t *)at;
	if (c->kind == COL_I32)
		return *(const int32_t *)at < 0 ? UINT64_MAX : (uint64_t) * (const int32_t *)at;
	return *(const uint64_t *)at;
}

/* Columns on the terminal: code points, which is right for all but wide scripts. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Decimal digits of v, at most 20, into p; returns their number. */
static size_t digits(uint64_t v, char *p)
{
	char text[20];
	size_t n = 0;

	do {
		text[sizeof(text) - ++n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	memcpy(p, text + sizeof(text) - n, n);
	return n;
}

enum { NUMBER_BYTES = 40 };

static size_t age(uint64_t s, char *text)
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t i = 0, n;

	while (i + 1 < ARRAY_SIZE(units) && s < 2 * units[i].seconds)
		i++;
	n = digits(s / units[i].seconds, text);
	text[n] = units[i].unit;
	return n + 1;
}

static size_t number(const struct column *c, uint64_t v, char text[static NUMBER_BYTES])
{
	char size[24];

	if (v == UINT64_MAX) {
		bool limit = c->kind == COL_LIMIT || c->kind == COL_SIZE_MAX;

		return (size_t)snprintf(text, NUMBER_BYTES, "%s", limit ? "max" : "-");
	}
	switch (c->kind) {
	case COL_SIZE:
	case COL_SIZE_MAX:
		return (size_t)snprintf(text, NUMBER_BYTES, "%s", print_size(v, size));
	case COL_USEC:
		return (size_t)snprintf(text, NUMBER_BYTES, "%" PRIu64 ".%02" PRIu64 "s",
			v / 1000000, v % 1000000 / 10000);
	case COL_AGE:
		return age(v, text);
	default:
		return digits(v, text);
	}
}

static char *joined(const struct strv *sv)
{
	AUTO_BUF struct buf b = {0};

	for (size_t i = 0; i < sv->n; i++)
		buf_addf(&b, "%s%s", i ? "," : "", sv->v[i]);
	return str_visible(b.n ? b.p : "-");
}

/* One value for people.  Most need no memory: `ls` of a thousand jails has nine thousand. */
struct cell {
	const char *p;
	size_t n, width;
	char *owned;
	char text[NUMBER_BYTES];
};

/* The bytes of s when all of it is printable ASCII, which is also its width; else SIZE_MAX. */
static size_t plain(const char *s)
{
	const char *p = s;

	while (*p >= 0x20 && *p < 0x7f)
		p++;
	return *p ? SIZE_MAX : (size_t)(p - s);
}

static void cell_text(struct cell *ret, const char *s)
{
	ret->p = s;
	ret->n = ret->width = plain(s);
	if (ret->n != SIZE_MAX)
		return;
	ret->p = ret->owned = str_visible(s);
	ret->n = strlen(ret->p);
	ret->width = width(ret->p);
}

static void cell_get(struct cell *ret, const struct column *c, const void *row)
{
	const void *at = (const char *)row + c->offset;
	const char *s;

	ret->owned = NULL;
	switch (c->kind) {
	case COL_STR:
		s = *(char *const *)at;
		cell_text(ret, s && *s ? s : "-");
		return;
	case COL_BOOL:
		cell_text(ret, *(const bool *)at ? "yes" : "no");
		return;
	case COL_ENUM:
		cell_text(ret, c->names[*(const int *)at]);
		return;
	case COL_STRV:
		ret->p = ret->owned = joined(at);
		ret->n = strlen(ret->p);
		ret->width = width(ret->p);
		return;
	default:
		ret->p = ret->text;
		ret->n = ret->width = number(c, as_u64(c, at), ret->text);
	}
}

static void add_json_value(const struct column *c, const void *row, struct buf *b)
{
	const void *at = (const char *)row + c->offset;
	const struct strv *sv;
	uint64_t v;

	switch (c->kind) {
	case COL_STR:
		if (*(char *const *)at)
			json_add_string(b, *(char *const *)at);
		else
			buf_adds(b, "null");
		return;
	case COL_BOOL:
		buf_adds(b, *(const bool *)at ? "true" : "false");
		return;
	case COL_ENUM:
		json_add_string(b, c->names[*(const int *)at]);
		return;
	case COL_STRV:
		sv = at;
		buf_adds(b, "[");
		for (size_t i = 0; i < sv->n; i++) {
			buf_adds(b, i ? ", " : "");
			json_add_string(b, sv->v[i]);
		}
		buf_adds(b, "]");
		return;
	default:
		v = as_u64(c, at);
		if (v == UINT64_MAX)
			buf_adds(b, "null");
		else
			buf_addf(b, "%" PRIu64, v);
	}
}

void table_add_object(const struct column *columns, const void *row, struct buf *b)
{
	const char *comma = "";

	buf_adds(b, "{");
	for (const struct column *c = columns; !is_end(c); c++) {
		if (!c->key)
			continue;
		buf_adds(b, comma);
		json_add_string(b, c->key);
		buf_adds(b, ": ");
		add_json_value(c, row, b);
		comma = ", ";
	}
	buf_adds(b, "}");
}

static void add_json(const struct column *columns, const struct table_source *from, struct buf *b)
{
	const void *row;
	size_t n = 0;

	buf_adds(b, "[");
	for (; (row = from->row(from->ctx, n)); n++) {
		buf_adds(b, n ? ",\n " : "\n ");
		table_add_object(columns, row, b);
	}
	buf_adds(b, n ? "\n]\n" : "]\n");
}

/* A column that is shown, and how wide it is. */
struct shown {
	const struct column *c;
	size_t width;
	bool right, last;
};

enum { SHOWN_MAX = 32 };

/* Returns the number of columns; *ret_bytes is what the whole table will need, or nearly. */
static size_t measure(struct shown shown[static SHOWN_MAX], const struct column *columns,
	const struct table_source *from, size_t *ret_bytes)
{
	size_t n_shown = 0, n = 0, line = 0, extra = 0;
	const void *row;

	for (const struct column *c = columns; !is_end(c) && n_shown < SHOWN_MAX; c++)
		if (c->title)
			shown[n_shown++] = (struct shown){
				.c = c, .width = width(c->title), .right = is_number(c->kind)};
	shown[n_shown - 1].last = true;
	for (; (row = from->row(from->ctx, n)); n++)
		for (size_t k = 0; k < n_shown; k++) {
			struct cell cell;

			cell_get(&cell, shown[k].c, row);
			shown[k].width = MAX(shown[k].width, cell.width);
			extra += cell.n - cell.width;
			free(cell.owned);
		}
	for (size_t k = 0; k < n_shown; k++)
		line += shown[k].width + GAP;
	*ret_bytes = line * (n + 1) + extra;
	return n_shown;
}

/*
 * Puts one cell at p; the last of a line is not padded, so that nothing trails.  A row may have
 * grown since it was measured: then it sticks out.
 */
static char *put_cell(char *p, const struct shown *s, const struct cell *cell)
{
	size_t fill = s->width > cell->width ? s->width - cell->width : 0;

	if (s->right) {
		memset(p, ' ', fill);
		p += fill;
	}
	memcpy(p, cell->p, cell->n);
	p += cell->n;
	if (s->last) {
		*p++ = '\n';
		return p;
	}
	fill = (s->right ? 0 : fill) + GAP;
	memset(p, ' ', fill);
	return p + fill;
}

static void put_line(struct buf *b, const struct shown *shown, size_t n_shown, struct cell *cells)
{
	size_t need = 1;
	char *p;

	for (size_t k = 0; k < n_shown; k++)
		need += shown[k].width + cells[k].n + GAP;
	if (b->n + need > b->cap)
		b->p = mem_grow(b->p, &b->cap, b->n + need, 1);
	p = b->p + b->n;
	for (size_t k = 0; k < n_shown; k++) {
		p = put_cell(p, &shown[k], &cells[k]);
		free(cells[k].owned);
	}
	*p = 0;
	b->n = (size_t)(p - b->p);
}

static void add_text(const struct column *columns, const struct table_source *from, struct buf *b)
{
	struct shown shown[SHOWN_MAX];
	struct cell cells[SHOWN_MAX];
	size_t bytes, n_shown = measure(shown, columns, from, &bytes);
	const void *row;

	/* Room for most of it at once; put_line looks after the rest. */
	b->p = mem_grow(b->p, &b->cap, b->n + bytes + 256, 1);
	for (size_t k = 0; k < n_shown; k++) {
		cells[k].owned = NULL;
		cell_text(&cells[k], shown[k].c->title);
	}
	put_line(b, shown, n_shown, cells);
	for (size_t i = 0; (row = from->row(from->ctx, i)); i++) {
		for (size_t k = 0; k < n_shown; k++)
			cell_get(&cells[k], shown[k].c, row);
		put_line(b, shown, n_shown, cells);
	}
}

void table_add_from(const struct column *columns, const struct table_source *from,
	enum cli_format format, struct buf *b)
{
	if (format == FORMAT_JSON)
		add_json(columns, from, b);
	else
		add_text(columns, from, b);
}

struct array {
	const char *rows;
	size_t n, size;
};

static const void *array_row(void *ctx, size_t i)
{
	const struct array *a = ctx;

	return i < a->n ? a->rows + i * a->size : NULL;
}

void table_add(const struct column *columns, const void *rows, size_t n, size_t size,
	enum cli_format format, struct buf *b)
{
	struct array a = {rows, n, size};
	const struct table_source from = {array_row, &a};

	table_add_from(columns, &from, format, b);
}
