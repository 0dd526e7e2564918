/*
 * jail stop and jail restart: the definition's signal, a wait, SIGKILL to what is left.
 */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/options.h"

struct stop_opts {
	int32_t signal;
	uint64_t timeout_ms;
	bool has_timeout_ms;
};

#define STOP_OPTIONS                                                                               \
	OPT(struct stop_opts, signal, 's', "signal", OPT_CALL, "SIGNAL",                           \
		"signal that asks it to end (the jail's)", .set = options_set_signal),             \
		OPT_HAS(struct stop_opts, timeout_ms, 't', "timeout", OPT_DURATION, "DURATION",    \
			"time it has for that, then it is killed (the jail's; 0: killed at "       \
			"once)"),                                                                  \
		OPT_END

const struct opt cmd_stop_options[] = {STOP_OPTIONS};
const struct opt cmd_restart_options[] = {STOP_OPTIONS};

static struct jail_stop_opts as_jail_opts(const struct stop_opts *o)
{
	return (struct jail_stop_opts){.signal = o->signal,
		.timeout_ms = o->timeout_ms,
		.has_timeout_ms = o->has_timeout_ms};
}

static int stop_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	struct jail_stop_opts o = as_jail_opts(ctx);

	return jail_stop(env, which, &o, e);
}

static int restart_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	struct jail_stop_opts o = as_jail_opts(ctx);

	return jail_restart(env, which, &o, e);
}

static int parse_and_do(
	const struct command *cmd, int argc, char **argv, each_fn *fn, struct err *e)
{
	struct stop_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	return each_jail(argc - first, argv + first, fn, &o, e);
}

int cmd_stop_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return parse_and_do(cmd, argc, argv, stop_one, e);
}

int cmd_restart_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return parse_and_do(cmd, argc, argv, restart_one, e);
}
