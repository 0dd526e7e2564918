/*
 * jail ls, and jls with FreeBSD's columns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/table.h"
#include "cli/when.h"

struct ls_opts {
	bool quiet, running;
	int format;
};

const struct opt cmd_ls_options[] = {
	OPT(struct ls_opts, running, 'r', "running", OPT_FLAG, NULL, "only those that run"),
	OPT(struct ls_opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "names only, one on a line"),
	OPT_FORMAT(struct ls_opts),
	OPT_END,
};

struct ls_row {
	const char *name, *tier, *state, *root, *command;
	char shown_state[32];
	const char *shown;
	uint32_t jid, restarts;
	int32_t pid, supervisor, exit_code;
	uint64_t age_s, created_ms, started_ms, stopped_ms;
	bool ephemeral, persist, terminal, oom, soft;
};

static const struct column ls_columns[] = {
	COLUMN(struct ls_row, name, "NAME", "name", COL_STR),
	COLUMN(struct ls_row, jid, "JID", "jid", COL_U32),
	COLUMN(struct ls_row, shown, "STATE", NULL, COL_STR),
	COLUMN(struct ls_row, state, NULL, "state", COL_STR),
	COLUMN(struct ls_row, tier, "TIER", "tier", COL_STR),
	COLUMN(struct ls_row, pid, "PID", "pid", COL_I32),
	COLUMN(struct ls_row, age_s, "SINCE", NULL, COL_AGE),
	COLUMN(struct ls_row, root, "ROOT", "root", COL_STR),
	COLUMN(struct ls_row, command, "COMMAND", "command", COL_STR),
	COLUMN(struct ls_row, supervisor, NULL, "supervisor_pid", COL_I32),
	COLUMN(struct ls_row, exit_code, NULL, "exit_code", COL_I32),
	COLUMN(struct ls_row, restarts, NULL, "restarts", COL_U32),
	COLUMN(struct ls_row, ephemeral, NULL, "ephemeral", COL_BOOL),
	COLUMN(struct ls_row, persist, NULL, "persist", COL_BOOL),
	COLUMN(struct ls_row, terminal, NULL, "terminal", COL_BOOL),
	COLUMN(struct ls_row, oom, NULL, "oom_killed", COL_BOOL),
	COLUMN(struct ls_row, soft, NULL, "soft_limits", COL_BOOL),
	COLUMN(struct ls_row, created_ms, NULL, "created_ms", COL_U64),
	COLUMN(struct ls_row, started_ms, NULL, "started_ms", COL_U64),
	COLUMN(struct ls_row, stopped_ms, NULL, "stopped_ms", COL_U64),
	COLUMN_END,
};

/* Since when it is what it is: running, stopped, or only made. */
static uint64_t age_s(const struct jail_info *info, uint64_t now)
{
	uint64_t then = info->created_ms;

	if (info_is_up(info) && info->started_ms)
		then = info->started_ms;
	else if (info->stopped_ms)
		then = info->stopped_ms;
	return then && then <= now ? (now - then) / 1000 : UINT64_MAX;
}

static void fill(struct ls_row *row, const struct jail_info *info, uint64_t now)
{
	bool ended = info->state == JAIL_STOPPED;

	*row = (struct ls_row){.name = info->name,
		.tier = jail_tier_name(info->tier),
		.state = jail_state_name(info->state),
		.root = info->root,
		.command = info->command,
		.jid = info->jid,
		.restarts = info->restarts,
		.pid = info->init_pid > 0 ? info->init_pid : -1,
		.supervisor = info->supervisor_pid > 0 ? info->supervisor_pid : -1,
		.exit_code = ended ? info->exit_code : -1,
		.age_s = age_s(info, now),
		.created_ms = info->created_ms ? info->created_ms : UINT64_MAX,
		.started_ms = info->started_ms ? info->started_ms : UINT64_MAX,
		.stopped_ms = info->stopped_ms ? info->stopped_ms : UINT64_MAX,
		.ephemeral = info->ephemeral,
		.persist = info->persist,
		.terminal = info->terminal,
		.oom = info->oom,
		.soft = info->soft_limits};
	row->shown = row->state;
	if (!ended && !info->oom)
		return;
	if (ended)
		snprintf(row->shown_state, sizeof(row->shown_state), "%s (%d)%s", row->state,
			info->exit_code, info->oom ? " oom" : "");
	else
		snprintf(row->shown_state, sizeof(row->shown_state), "%s oom", row->state);
	row->shown = row->shown_state;
}

/* What the table asks for its rows, from jails that were looked up... */
struct listed {
	const struct jail_info *infos;
	size_t n;
	uint64_t now;
	struct ls_row row;
};

static const void *listed_row(void *ctx, size_t i)
{
	struct listed *l = ctx;

	if (i >= l->n)
		return NULL;
	fill(&l->row, &l->infos[i], l->now);
	return &l->row;
}

/* ...or from the index itself: a thousand jails are not worth an array of a thousand. */
struct streamed {
	struct jail_env *env;
	bool running, disordered;
	uint32_t cursor, last_jid;
	uint64_t now;
	struct jail_info info;
	struct ls_row row;
	struct err *e;
	int result;
};

static const void *streamed_row(void *ctx, size_t i)
{
	struct streamed *s = ctx;

	if (i == 0)
		s->cursor = s->last_jid = 0;
	do
		s->result = jail_next(s->env, &s->cursor, &s->info, s->e);
	while (s->result > 0 && s->running && !info_is_up(&s->info));
	if (s->result <= 0)
		return NULL;
	s->disordered |= s->info.jid < s->last_jid;
	s->last_jid = s->info.jid;
	fill(&s->row, &s->info, s->now);
	return &s->row;
}

/* All of them as they come; 0 when that was not the order of their jids. */
static int add_streamed(struct jail_env *env, const struct ls_opts *o, struct buf *b, struct err *e)
{
	struct streamed s = {.env = env, .running = o->running, .now = when_now_ms(), .e = e};
	const struct table_source from = {streamed_row, &s};

	table_add_from(ls_columns, &from, o->format, b);
	if (s.result < 0)
		return s.result;
	if (s.disordered)
		b->n = 0;
	return !s.disordered;
}

static int add_listed(struct jail_env *env, const struct ls_opts *o, int n, char **names,
	struct buf *b, struct err *e)
{
	AUTO_FREE struct jail_info *infos = NULL;
	struct listed l = {.now = when_now_ms()};
	const struct table_source from = {listed_row, &l};
	int r = each_info(env, n, names, o->running, &infos, &l.n, e);

	if (r < 0)
		return r;
	l.infos = infos;
	if (!o->quiet)
		table_add_from(ls_columns, &from, o->format, b);
	for (size_t i = 0; o->quiet && i < l.n; i++)
		buf_addf(b, "%s\n", infos[i].name);
	return 0;
}

int cmd_ls_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_BUF struct buf b = {0};
	struct ls_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e), r = 0;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (jail_env_open(&env, e) < 0)
		return -e->code;
	if (first == argc && !o.quiet)
		r = add_streamed(&env, &o, &b, e);
	if (r == 0)
		r = add_listed(&env, &o, argc - first, argv + first, &b, e);
	return r < 0 ? r : cli_print(&b, e);
}

struct jls_opts {
	bool names, quiet;
	char *jail;
	int format;
};

const struct opt cmd_jls_options[] = {
	OPT(struct jls_opts, jail, 'j', "jail", OPT_STRING, "JAIL", "only this one"),
	OPT(struct jls_opts, names, 'N', "names", OPT_FLAG, NULL, "names instead of jids"),
	OPT(struct jls_opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "only the first column"),
	OPT_FORMAT(struct jls_opts),
	OPT_END,
};

struct jls_row {
	const char *name, *ip, *path;
	char *hostname;
	uint32_t jid;
};
static const struct column jls_columns[] = {
	COLUMN(struct jls_row, jid, "JID", "jid", COL_U32),
	COLUMN(struct jls_row, ip, "IP Address", "ipv4", COL_STR),
	COLUMN(struct jls_row, hostname, "Hostname", "hostname", COL_STR),
	COLUMN(struct jls_row, path, "Path", "path", COL_STR),
	COLUMN_END,
};
static const struct column jls_name_columns[] = {
	COLUMN(struct jls_row, name, "JID", "name", COL_STR),
	COLUMN(struct jls_row, ip, "IP Address", "ipv4", COL_STR),
	COLUMN(struct jls_row, hostname, "Hostname", "hostname", COL_STR),
	COLUMN(struct jls_row, path, "Path", "path", COL_STR),
	COLUMN_END,
};

/* The host name stands in the definition; a jail of jail_run may have gone meanwhile. */
static char *hostname_of(struct jail_env *env, const struct jail_info *info)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct err ignored = {0};
	char *name = NULL;

	if (jail_definition(env, info->name, &def, &ignored) >= 0)
		name = str_dup(def.hostname);
	jail_def_release(&def);
	return name ? name : str_dup(info->name);
}

static int jls_print(const struct jls_opts *o, struct jls_row *rows, size_t n, struct err *e)
{
	AUTO_BUF struct buf b = {0};

	for (size_t i = 0; o->quiet && i < n; i++) {
		if (o->names)
			buf_addf(&b, "%s\n", rows[i].name);
		else
			buf_addf(&b, "%u\n", rows[i].jid);
	}
	if (!o->quiet)
		table_add(o->names ? jls_name_columns : jls_columns, rows, n, sizeof(*rows),
			o->format, &b);
	return cli_print(&b, e);
}

static int jls(struct jls_opts *o, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_FREE struct jail_info *infos = NULL;
	AUTO_FREE struct jls_row *rows = NULL;
	size_t n = 0;
	int r;

	if (jail_env_open(&env, e) < 0 ||
		each_info(&env, o->jail ? 1 : 0, &o->jail, true, &infos, &n, e) < 0)
		return -e->code;
	rows = mem_new_array(n + 1, sizeof(*rows));
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct jls_row){.name = infos[i].name,
			.path = infos[i].root,
			.jid = infos[i].jid,
			.hostname = hostname_of(&env, &infos[i])};
	r = jls_print(o, rows, n, e);
	for (size_t i = 0; i < n; i++)
		free(rows[i].hostname);
	return r;
}

int cmd_jls_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct jls_opts o = {0};
	int r = cli_parse(cmd, &o, argc, argv, e);

	if (r >= 0)
		r = cli_operands(cmd, argc - r, 0, 0, e);
	if (r >= 0)
		r = jls(&o, e);
	free(o.jail);
	return r == CLI_DONE ? 0 : r;
}
