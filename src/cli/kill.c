/*
 * jail kill: a signal for the program; SIGKILL, the default, for everything inside.
 */
#include <signal.h>

#include "cli/commands.h"
#include "cli/each.h"
#include "cli/options.h"

struct kill_opts {
	int32_t signal;
};

const struct opt cmd_kill_options[] = {
	OPT(struct kill_opts, signal, 's', "signal", OPT_CALL, "SIGNAL",
		"signal by name or number (KILL, which goes to everything inside)",
		.set = options_set_signal),
	OPT_END,
};

static int kill_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	const struct kill_opts *o = ctx;

	return jail_kill(env, which, o->signal, e);
}

int cmd_kill_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct kill_opts o = {.signal = SIGKILL};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	return each_jail(argc - first, argv + first, kill_one, &o, e);
}
