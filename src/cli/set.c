/*
 * jail set: limits, in the definition and in the running jail; all of them or none.
 */
#include <errno.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/options.h"

struct set_opts {
	struct jail_limits limits;
};

const struct opt cmd_set_options[] = {
	LIMIT_OPTIONS(struct set_opts, limits),
	OPT_END,
};

static bool is_empty(const struct jail_limits *l)
{
	return !l->has_memory_bytes && !l->has_swap_bytes && !l->has_pids && !l->has_cpu_milli &&
	       !l->has_cpu_weight && !l->has_io_weight && !l->has_wall_ms && !l->cpus && !l->mems &&
	       !l->n_read_bps && !l->n_write_bps && !l->n_read_iops && !l->n_write_iops &&
	       !l->n_rlimits;
}

static int set(const struct command *cmd, struct set_opts *o, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	int first = cli_parse(cmd, o, argc, argv, e);

	if (first < 0)
		return first;
	if (cli_operands(cmd, argc - first, 1, 1, e) < 0)
		return -e->code;
	if (is_empty(&o->limits))
		return err_set(e, EINVAL, "set: no limit is given for '%s'; see jail set --help",
			argv[first]);
	if (jail_env_open(&env, e) < 0)
		return -e->code;
	return jail_set(&env, argv[first], &o->limits, e);
}

int cmd_set_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct set_opts o = {0};
	int r = set(cmd, &o, argc, argv, e);

	jail_limits_release(&o.limits);
	return r == CLI_DONE ? 0 : r;
}
