/*
 * jail stats: what jails use against what they may; with --watch again and again, with the
 * processor's share since the last reading.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/table.h"

struct stats_opts {
	uint64_t watch_ms;
	int format;
};

const struct opt cmd_stats_options[] = {
	OPT(struct stats_opts, watch_ms, 'w', "watch", OPT_DURATION, "DURATION",
		"read again after every DURATION, until interrupted"),
	OPT_FORMAT(struct stats_opts),
	OPT_END,
};

struct stats_row {
	char name[JAIL_NAME_MAX + 1];
	const char *shown;
	struct jail_stats s;
	char share_text[16];
	const char *share;
	uint64_t share_milli;
};

static const struct column columns[] = {
	COLUMN(struct stats_row, shown, "NAME", "name", COL_STR),
	COLUMN(struct stats_row, share, "CPU%", NULL, COL_STR),
	COLUMN(struct stats_row, share_milli, NULL, "cpu_permille", COL_U64),
	COLUMN(struct stats_row, s.cpu_usec, "CPU", "cpu_usec", COL_USEC),
	COLUMN(struct stats_row, s.cpu_user_usec, NULL, "cpu_user_usec", COL_U64),
	COLUMN(struct stats_row, s.cpu_system_usec, NULL, "cpu_system_usec", COL_U64),
	COLUMN(struct stats_row, s.cpu_throttled_usec, NULL, "cpu_throttled_usec", COL_U64),
	COLUMN(struct stats_row, s.memory_bytes, "MEMORY", "memory_bytes", COL_SIZE),
	COLUMN(struct stats_row, s.memory_peak_bytes, "PEAK", "memory_peak_bytes", COL_SIZE),
	COLUMN(struct stats_row, s.memory_limit_bytes, "LIMIT", "memory_limit_bytes", COL_SIZE_MAX),
	COLUMN(struct stats_row, s.memory_swap_bytes, NULL, "memory_swap_bytes", COL_SIZE),
	COLUMN(struct stats_row, s.pids, "PIDS", "pids", COL_U64),
	COLUMN(struct stats_row, s.pids_limit, "LIMIT", "pids_limit", COL_LIMIT),
	COLUMN(struct stats_row, s.io_read_bytes, "READ", "io_read_bytes", COL_SIZE),
	COLUMN(struct stats_row, s.io_write_bytes, "WRITTEN", "io_write_bytes", COL_SIZE),
	COLUMN(struct stats_row, s.oom_kills, "OOM", "oom_kills", COL_U64),
	COLUMN_END,
};

struct reading {
	struct stats_row *rows;
	size_t n;
};

/* Share of one processor between two readings of the same jail; unknown for a new one. */
static void fill_share(struct stats_row *row, const struct reading *before)
{
	row->share_milli = UINT64_MAX;
	row->shown = row->name;
	for (size_t i = 0; i < before->n; i++) {
		const struct stats_row *old = &before->rows[i];
		uint64_t ns = row->s.time_ns - old->s.time_ns;

		if (strcmp(old->name, row->name) || row->s.cpu_usec == UINT64_MAX ||
			old->s.cpu_usec == UINT64_MAX || row->s.cpu_usec < old->s.cpu_usec || !ns)
			continue;
		row->share_milli = (row->s.cpu_usec - old->s.cpu_usec) * 1000000 / ns;
		snprintf(row->share_text, sizeof(row->share_text), "%u.%u",
			(unsigned int)(row->share_milli / 10),
			(unsigned int)(row->share_milli % 10));
		row->share = row->share_text;
	}
}

static int read_all(struct jail_env *env, int n_names, char **names, const struct reading *before,
	struct reading *ret, struct err *e)
{
	AUTO_FREE struct jail_info *infos = NULL;
	size_t n = 0;
	int r = each_info(env, n_names, names, n_names == 0, &infos, &n, e);

	if (r < 0)
		return r;
	*ret = (struct reading){mem_new_array(n + 1, sizeof(*ret->rows)), 0};
	for (size_t i = 0; i < n; i++) {
		struct stats_row *row = &ret->rows[ret->n];
		struct err own = {0};

		if (jail_stats(env, infos[i].name, &row->s, &own) >= 0) {
			memcpy(row->name, infos[i].name, sizeof(row->name));
			fill_share(row, before);
			ret->n++;
		} else if (n_names || (own.code != ESRCH && own.code != ENOENT)) {
			*e = own;
			free(ret->rows);
			return -e->code;
		}
	}
	return 0;
}

static int show(const struct reading *now, const struct stats_opts *o, struct err *e)
{
	AUTO_BUF struct buf b = {0};

	if (o->watch_ms && o->format == FORMAT_TABLE && isatty(STDOUT_FILENO))
		buf_adds(&b, "\033[H\033[J");
	if (o->watch_ms && o->format == FORMAT_JSON)
		for (size_t i = 0; i < now->n; i++) {
			table_add_object(columns, &now->rows[i], &b);
			buf_adds(&b, "\n");
		}
	else
		table_add(columns, now->rows, now->n, sizeof(*now->rows), o->format, &b);
	return cli_print(&b, e);
}

static int watch(
	struct jail_env *env, const struct stats_opts *o, int n, char **names, struct err *e)
{
	const struct timespec pause = {
		(time_t)(o->watch_ms / 1000), (long)(o->watch_ms % 1000) * 1000000};
	struct reading before = {0}, now = {0};
	int r;

	for (;;) {
		r = read_all(env, n, names, &before, &now, e);
		free(before.rows);
		if (r < 0)
			return r;
		r = show(&now, o, e);
		before = now;
		if (r < 0 || !o->watch_ms)
			break;
		nanosleep(&pause, NULL);
	}
	free(before.rows);
	return r;
}

int cmd_stats_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	struct stats_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (jail_env_open(&env, e) < 0)
		return -e->code;
	return watch(&env, &o, argc - first, argv + first, e);
}
