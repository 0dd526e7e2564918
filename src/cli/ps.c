/*
 * jail ps: processes as the host and as the jail number them.
 */
#include <errno.h>
#include <stdlib.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/table.h"

struct ps_opts {
	int format;
};

const struct opt cmd_ps_options[] = {
	OPT_FORMAT(struct ps_opts),
	OPT_END,
};

struct ps_row {
	const char *jail, *command;
	char state_text[2];
	const char *state;
	int32_t pid, inner_pid, parent_pid;
	uint32_t uid, inner_uid;
	uint64_t cpu_usec, cpu_ms, rss_bytes, started_ms;
};

static const struct column columns[] = {
	COLUMN(struct ps_row, jail, "JAIL", "jail", COL_STR),
	COLUMN(struct ps_row, pid, "PID", "pid", COL_I32),
	COLUMN(struct ps_row, inner_pid, "INSIDE", "inner_pid", COL_I32),
	COLUMN(struct ps_row, parent_pid, NULL, "parent_pid", COL_I32),
	COLUMN(struct ps_row, inner_uid, "UID", "inner_uid", COL_U32),
	COLUMN(struct ps_row, uid, "HOST-UID", "uid", COL_U32),
	COLUMN(struct ps_row, state, "S", "state", COL_STR),
	COLUMN(struct ps_row, cpu_usec, "CPU", NULL, COL_USEC),
	COLUMN(struct ps_row, cpu_ms, NULL, "cpu_ms", COL_U64),
	COLUMN(struct ps_row, rss_bytes, "MEMORY", "rss_bytes", COL_SIZE),
	COLUMN(struct ps_row, started_ms, NULL, "started_ms", COL_U64),
	COLUMN(struct ps_row, command, "COMMAND", "command", COL_STR),
	COLUMN_END,
};

struct ps_table {
	struct ps_row *rows;
	size_t n, cap;
	struct strv commands; /* what rows point to */
};

static int add_jail(
	struct jail_env *env, const struct jail_info *info, struct ps_table *t, struct err *e)
{
	AUTO_FREE struct jail_proc *procs = NULL;
	size_t n = 0;
	int r = jail_ps(env, info->name, &procs, &n, e);

	if (r < 0)
		return r;
	t->rows = mem_grow(t->rows, &t->cap, t->n + n + 1, sizeof(*t->rows));
	for (size_t i = 0; i < n; i++) {
		const struct jail_proc *p = &procs[i];

		strv_add(&t->commands, p->command);
		t->rows[t->n++] = (struct ps_row){.jail = info->name,
			.command = t->commands.v[t->commands.n - 1],
			.state_text = {p->state},
			.pid = p->pid,
			.inner_pid = p->inner_pid,
			.parent_pid = p->parent_pid,
			.uid = p->uid,
			.inner_uid = p->inner_uid,
			.cpu_usec = p->cpu_ms * 1000,
			.cpu_ms = p->cpu_ms,
			.rss_bytes = p->rss_bytes,
			.started_ms = p->started_ms};
	}
	return 0;
}

/* With no jail named, one that ends meanwhile is no error. */
static int collect(struct jail_env *env, const struct jail_info *infos, size_t n, bool named,
	struct ps_table *t, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct err own = {0};

		if (add_jail(env, &infos[i], t, &own) >= 0)
			continue;
		if (named || (own.code != ESRCH && own.code != ENOENT)) {
			*e = own;
			return -e->code;
		}
	}
	/* The rows do not move any more. */
	for (size_t i = 0; i < t->n; i++)
		t->rows[i].state = t->rows[i].state_text;
	return 0;
}

int cmd_ps_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_FREE struct jail_info *infos = NULL;
	AUTO_BUF struct buf b = {0};
	struct ps_table t = {0};
	struct ps_opts o = {0};
	size_t n = 0;
	int first = cli_parse(cmd, &o, argc, argv, e), r;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (jail_env_open(&env, e) < 0 ||
		each_info(&env, argc - first, argv + first, argc == first, &infos, &n, e) < 0)
		return -e->code;
	r = collect(&env, infos, n, argc > first, &t, e);
	if (r >= 0) {
		table_add(columns, t.rows ? t.rows : &(struct ps_row){0}, t.n, sizeof(*t.rows),
			o.format, &b);
		r = cli_print(&b, e);
	}
	free(t.rows);
	strv_release(&t.commands);
	return r;
}
