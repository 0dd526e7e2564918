/*
 * jail destroy: definition, writable layer and log go; what is mounted into the jail stays.
 */
#include "cli/commands.h"
#include "cli/each.h"

struct destroy_opts {
	bool force;
};

const struct opt cmd_destroy_options[] = {
	OPT(struct destroy_opts, force, 'f', "force", OPT_FLAG, NULL, "kill it first when it runs"),
	OPT_END,
};

static int destroy_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	const struct destroy_opts *o = ctx;

	return jail_destroy(env, which, o->force ? JAIL_FORCE : 0, e);
}

int cmd_destroy_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct destroy_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	return each_jail(argc - first, argv + first, destroy_one, &o, e);
}
