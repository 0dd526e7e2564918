/*
 * jail doctor: each thing that jails may need of this host, tried now, grouped by who needs it.
 * The status is 0 when every jail can run here, else 1.
 */
#include <stdlib.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "jail/jail.h"

struct doctor_opts {
	int format;
};

const struct opt cmd_doctor_options[] = {
	OPT_FORMAT(struct doctor_opts),
	OPT_END,
};

struct doctor_row {
	const char *name, *tier, *state, *purpose;
	char *found, *remedy;
};
static const struct column columns[] = {
	COLUMN(struct doctor_row, name, NULL, "name", COL_STR),
	COLUMN(struct doctor_row, tier, NULL, "tier", COL_STR),
	COLUMN(struct doctor_row, state, NULL, "state", COL_STR),
	COLUMN(struct doctor_row, purpose, NULL, "purpose", COL_STR),
	COLUMN(struct doctor_row, found, NULL, "found", COL_STR),
	COLUMN(struct doctor_row, remedy, NULL, "remedy", COL_STR),
	COLUMN_END,
};

/* A tier's word is for programs; people get a heading. */
static const char *heading(const char *tier)
{
	static const struct {
		const char *tier, *text;
	} headings[] = {
		{"all", "What every jail needs"},
		{"rootless", "Jails of plain users"},
		{"vm", "Micro-VMs"},
		{"optional", "What makes something better"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
		if (str_eq(tier, headings[i].tier))
			return headings[i].text;
	return tier;
}

/* The probes stand tier by tier in their table; a new tier begins a new heading. */
static void add_people(struct buf *b, const struct doctor_row *rows, size_t n)
{
	const char *tier = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct doctor_row *row = &rows[i];
		AUTO_FREE char *found = str_visible(row->found), *remedy = str_visible(row->remedy);

		if (!str_eq(tier, row->tier))
			buf_addf(b, "%s%s\n", tier ? "\n" : "", heading(row->tier));
		tier = row->tier;
		buf_addf(b, "  %-8s %-16s %s\n", row->state, row->name, row->purpose);
		buf_addf(b, "  %-8s %-16s   %s\n", "", "", found);
		if (*remedy)
			buf_addf(b, "  %-8s %-16s   -> %s\n", "", "", remedy);
	}
}

struct doctor_table {
	struct doctor_row *rows;
	size_t n, cap;
	bool unfit; /* something that every jail needs is not there */
};

static void collect(struct doctor_table *t)
{
	struct jail_check c;

	for (size_t i = 0; jail_doctor(i, &c); i++) {
		t->rows = mem_grow(t->rows, &t->cap, t->n + 1, sizeof(*t->rows));
		t->rows[t->n++] = (struct doctor_row){c.name, c.tier, c.state_name, c.purpose,
			str_dup(c.found), str_dup(c.remedy)};
		/* The first tier is that of every jail. */
		t->unfit |= str_eq(c.tier, t->rows[0].tier) && c.state == JAIL_CHECK_MISSING;
	}
}

int cmd_doctor_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	struct doctor_table t = {0};
	struct doctor_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e), r;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 0, 0, e) < 0)
		return -e->code;
	collect(&t);
	if (o.format == FORMAT_JSON)
		table_add(columns, t.rows, t.n, sizeof(*t.rows), FORMAT_JSON, &b);
	else
		add_people(&b, t.rows, t.n);
	r = cli_print(&b, e);
	for (size_t i = 0; i < t.n; i++) {
		free(t.rows[i].found);
		free(t.rows[i].remedy);
	}
	free(t.rows);
	return r < 0 ? r : t.unfit;
}
