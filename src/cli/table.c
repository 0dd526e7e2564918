#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>

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

static char *age(uint64_t s)
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (s >= 2 * units[i].seconds)
			return str_fmt("%" PRIu64 "%c", s / units[i].seconds, units[i].unit);
	return str_fmt("%" PRIu64 "s", s);
}

static char *number(const struct column *c, uint64_t v)
{
	char text[24];

	if (v == UINT64_MAX)
		return str_dup(c->kind == COL_LIMIT || c->kind == COL_SIZE_MAX ? "max" : "-");
	switch (c->kind) {
	case COL_SIZE:
	case COL_SIZE_MAX:
		return str_dup(print_size(v, text));
	case COL_USEC:
		return str_fmt("%" PRIu64 ".%02" PRIu64 "s", v / 1000000, v % 1000000 / 10000);
	case COL_AGE:
		return age(v);
	default:
		return str_fmt("%" PRIu64, v);
	}
}

static char *joined(const struct strv *sv)
{
	AUTO_BUF struct buf b = {0};

	for (size_t i = 0; i < sv->n; i++)
		buf_addf(&b, "%s%s", i ? "," : "", sv->v[i]);
	return str_visible(b.n ? b.p : "-");
}

char *table_cell(const struct column *c, const void *row)
{
	const void *at = (const char *)row + c->offset;
	const char *s;

	switch (c->kind) {
	case COL_STR:
		s = *(char *const *)at;
		return str_visible(s && *s ? s : "-");
	case COL_BOOL:
		return str_dup(*(const bool *)at ? "yes" : "no");
	case COL_ENUM:
		return str_dup(c->names[*(const int *)at]);
	case COL_STRV:
		return joined(at);
	default:
		return number(c, as_u64(c, at));
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

static void add_json(
	const struct column *columns, const char *rows, size_t n, size_t size, struct buf *b)
{
	buf_adds(b, "[");
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? ",\n " : "\n ");
		table_add_object(columns, rows + i * size, b);
	}
	buf_adds(b, n ? "\n]\n" : "]\n");
}

static void pad(struct buf *b, size_t n)
{
	while (n-- > 0)
		buf_adds(b, " ");
}

/* One cell; the last of a line is not padded, so that nothing trails. */
static void add_cell(struct buf *b, const char *text, size_t column_width, bool right, bool last)
{
	size_t fill = column_width - width(text);

	if (right)
		pad(b, fill);
	buf_adds(b, text);
	if (!last)
		pad(b, (right ? 0 : fill) + GAP);
}

static void add_text(
	const struct column *columns, const char *rows, size_t n, size_t size, struct buf *b)
{
	const struct column *shown[32];
	size_t n_shown = 0, widths[ARRAY_SIZE(shown)];
	AUTO_STRV struct strv cells = {0};

	for (const struct column *c = columns; !is_end(c) && n_shown < ARRAY_SIZE(shown); c++)
		if (c->title)
			shown[n_shown++] = c;
	for (size_t k = 0; k < n_shown; k++)
		widths[k] = width(shown[k]->title);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_shown; k++) {
			char *cell = table_cell(shown[k], rows + i * size);

			widths[k] = MAX(widths[k], width(cell));
			strv_take(&cells, cell);
		}
	for (size_t i = 0; i <= n; i++) {
		for (size_t k = 0; k < n_shown; k++)
			add_cell(b, i ? cells.v[(i - 1) * n_shown + k] : shown[k]->title, widths[k],
				is_number(shown[k]->kind), k + 1 == n_shown);
		buf_adds(b, "\n");
	}
}

void table_add(const struct column *columns, const void *rows, size_t n, size_t size,
	enum cli_format format, struct buf *b)
{
	if (format == FORMAT_JSON)
		add_json(columns, rows, n, size, b);
	else
		add_text(columns, rows, n, size, b);
}
