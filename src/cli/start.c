/*
 * jail start: detached, each under its own supervisor; with --attach one, held from here.
 */
#include <stdlib.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each.h"

struct start_opts {
	bool attach;
	char *detach_keys, *trace;
};

const struct opt cmd_start_options[] = {
	OPT(struct start_opts, attach, 'a', "attach", OPT_FLAG, NULL,
		"hold its program from here; its output is not logged"),
	OPT_DETACH_KEYS(struct start_opts),
	OPT(struct start_opts, trace, 0, "trace", OPT_STRING, "FILE",
		"write the stages of the start, with times, to FILE"),
	OPT_END,
};

static int start_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	const struct start_opts *o = ctx;

	return jail_start(env, which, &(struct jail_start_opts){.trace = o->trace}, NULL, e);
}

static int start_attached(const char *which, const struct start_opts *o, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_ATTACH struct jail_attach a = JAIL_ATTACH_INIT;
	struct jail_start_opts start = {.trace = o->trace};

	attached_size(&start.rows, &start.cols);
	if (jail_env_open(&env, e) < 0 || jail_start(&env, which, &start, &a, e) < 0)
		return -e->code;
	return attached_loop(&a, which, o->detach_keys, e);
}

int cmd_start_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct start_opts o = {0};
	int r = cli_parse(cmd, &o, argc, argv, e), first = r;

	if (r >= 0)
		r = cli_operands(cmd, argc - first, 1, o.attach ? 1 : -1, e);
	if (r >= 0)
		r = o.attach ? start_attached(argv[first], &o, e)
			     : each_jail(argc - first, argv + first, start_one, &o, e);
	free(o.detach_keys);
	free(o.trace);
	return r == CLI_DONE ? 0 : r;
}
