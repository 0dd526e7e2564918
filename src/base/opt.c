#include "base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"

enum { WORD_MAX = 32, NEAR = 2, HELP_COLUMN = 34 };

static const struct opt *find_long(const struct opt *table, const char *name, size_t n)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->kind != OPT_GROUP && strlen(o->name) == n && !strncmp(o->name, name, n))
			return o;
	return NULL;
}

static const struct opt *find_short(const struct opt *table, char letter)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->kind != OPT_GROUP && o->letter == letter)
			return o;
	return NULL;
}

static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], n = strlen(b);

	if (n > WORD_MAX || strlen(a) > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			best = MIN(best, up + 1);
			row[j] = MIN(best, row[j - 1] + 1);
			diagonal = up;
		}
	}
	return row[n];
}

const char *opt_nearest(const char *word, const char *(*nth)(const void *ctx, size_t i), const void *ctx, size_t n)
{
	const char *best = NULL;
	size_t least = NEAR + 1;

	for (size_t i = 0; i < n; i++) {
		const char *w = nth(ctx, i);
		size_t d = distance(word, w);

		/* Of a short word everything is near: at most half of it may differ. */
		if (d < least && d * 2 <= strlen(w)) {
			least = d;
			best = w;
		}
	}
	return best;
}

static const char *nth_option(const void *ctx, size_t i)
{
	return ((const struct opt *)ctx)[i].name;
}

static int unknown(const struct opt *table, const char *word, struct err *e)
{
	size_t n = 0;
	const char *near;
	AUTO_FREE char *shown = str_visible(word);

	while (table[n].name)
		n++;
	err_set(e, EINVAL, "unknown option '%.80s'", shown);
	near = opt_nearest(word + strspn(word, "-"), nth_option, table, n);
	return near ? err_hint(e, "did you mean '--%s'?", near) : err_hint(e, "see --help");
}

static int choose(const struct opt *o, const char *value, int *ret, struct err *e)
{
	AUTO_BUF struct buf all = {0};

	for (int i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], value)) {
			*ret = i;
			return 0;
		}
		buf_addf(&all, "%s%s", i ? ", " : "", o->choices[i]);
	}
	AUTO_FREE char *shown = str_visible(value);
	return err_set(e, EINVAL, "'%.64s' is not one of: %s", shown, all.p);
}

/* Stores value (NULL for flags) into the options struct. */
static int store(const struct opt *o, void *opts, const char *value, bool negated, struct err *e)
{
	void *at = (char *)opts + o->offset;
	int r = 0;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)at = !negated;
		break;
	case OPT_STRING:
		str_set(at, value);
		break;
	case OPT_LIST:
		strv_add(at, value);
		break;
	case OPT_UINT:
		r = parse_u64(value, 0, UINT64_MAX, at, e);
		break;
	case OPT_INT:
		r = parse_i64(value, INT64_MIN, INT64_MAX, at, e);
		break;
	case OPT_SIZE:
		r = parse_size(value, at, e);
		break;
	case OPT_DURATION:
		r = parse_duration_ms(value, at, e);
		break;
	case OPT_MILLI:
		r = parse_milli(value, at, e);
		break;
	case OPT_BOOL:
		r = parse_bool(value, at, e);
		break;
	case OPT_CHOICE:
		r = choose(o, value, at, e);
		break;
	case OPT_CALL:
		r = o->set(o, opts, value, e);
		break;
	case OPT_GROUP:
		break;
	}
	if (r < 0)
		return err_prefix(e, "option --%s", o->name);
	if (o->seen_offset != (size_t)-1)
		*(bool *)((char *)opts + o->seen_offset) = true;
	return 0;
}

static bool takes_value(const struct opt *o)
{
	return o->kind == OPT_CALL ? o->arg != NULL : o->kind != OPT_FLAG;
}

/* One "--name[=value]"; *i is moved past a separate value. */
static int parse_long(const struct opt *table, void *opts, int argc, char **argv, int *i, struct err *e)
{
	const char *word = argv[*i] + 2, *eq = strchr(word, '=');
	size_t n = eq ? (size_t)(eq - word) : strlen(word);
	const struct opt *o = find_long(table, word, n);
	bool negated = false;

	if (!o && n > 3 && !strncmp(word, "no-", 3)) {
		o = find_long(table, word + 3, n - 3);
		negated = true;
		if (o && o->kind != OPT_FLAG)
			o = NULL;
	}
	if (!o)
		return unknown(table, argv[*i], e);
	if (!takes_value(o))
		return eq ? err_set(e, EINVAL, "option --%s takes no value", o->name) : store(o, opts, NULL, negated, e);
	if (eq)
		return store(o, opts, eq + 1, false, e);
	if (*i + 1 >= argc)
		return err_set(e, EINVAL, "option --%s needs a value: %s", o->name, o->arg);
	return store(o, opts, argv[++*i], false, e);
}

/* One "-abc" or "-m512M". */
static int parse_short(const struct opt *table, void *opts, int argc, char **argv, int *i, struct err *e)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct opt *o = find_short(table, *p);
		int r;

		if (!o)
			return unknown(table, argv[*i], e);
		if (!takes_value(o)) {
			r = store(o, opts, NULL, false, e);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1])
			return store(o, opts, p[1] == '=' ? p + 2 : p + 1, false, e);
		if (*i + 1 >= argc)
			return err_set(e, EINVAL, "option -%c needs a value: %s", *p, o->arg);
		return store(o, opts, argv[++*i], false, e);
	}
	return 0;
}

int opt_parse(const struct opt *table, void *opts, int argc, char **argv, enum opt_mode mode, struct err *e)
{
	AUTO_FREE char **operands = mem_new_array((size_t)argc + 1, sizeof(*operands));
	int n = 0, i;

	for (i = 1; i < argc; i++) {
		const char *word = argv[i];
		int r;

		if (!strcmp(word, "--")) {
			i++;
			break;
		}
		if (word[0] != '-' || !word[1]) {
			if (mode == OPT_STOP_AT_WORD)
				break;
			operands[n++] = argv[i];
			continue;
		}
		if (!strcmp(word, "--help") || (!strcmp(word, "-h") && !find_short(table, 'h')))
			return OPT_HELP;
		r = word[1] == '-' ? parse_long(table, opts, argc, argv, &i, e) : parse_short(table, opts, argc, argv, &i, e);
		if (r < 0)
			return r;
	}
	/* Operands that stood between options go right before what follows them. */
	for (int k = n; k > 0; k--)
		argv[--i] = operands[k - 1];
	return i;
}

void opt_help(const struct opt *table, struct buf *b)
{
	for (const struct opt *o = table; o->name; o++) {
		char left[80];
		int n;

		if (o->kind == OPT_GROUP) {
			buf_addf(b, "\n%s:\n", o->name);
			continue;
		}
		n = o->letter ? snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name)
			      : snprintf(left, sizeof(left), "      --%s", o->name);
		if (takes_value(o) && n < (int)sizeof(left))
			snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->arg);
		if (strlen(left) >= HELP_COLUMN)
			buf_addf(b, "%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
		else
			buf_addf(b, "%-*s%s\n", HELP_COLUMN, left, o->help);
	}
}

void opt_release(const struct opt *table, void *opts)
{
	for (const struct opt *o = table; o->name; o++) {
		void *at = (char *)opts + o->offset;

		if (o->kind == OPT_STRING)
			str_set(at, NULL);
		else if (o->kind == OPT_LIST)
			strv_release(at);
	}
}
