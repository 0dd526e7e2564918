/*
 * jail pause and jail resume: the freezer of the jail's control group.
 */
#include "cli/commands.h"
#include "cli/each.h"

const struct opt cmd_pause_options[] = {OPT_END};
const struct opt cmd_resume_options[] = {OPT_END};

static int pause_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	(void)ctx;
	return jail_pause(env, which, e);
}

static int resume_one(struct jail_env *env, const char *which, void *ctx, struct err *e)
{
	(void)ctx;
	return jail_resume(env, which, e);
}

static int parse_and_do(
	const struct command *cmd, int argc, char **argv, each_fn *fn, struct err *e)
{
	int first = cli_parse(cmd, &(char){0}, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	return each_jail(argc - first, argv + first, fn, NULL, e);
}

int cmd_pause_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return parse_and_do(cmd, argc, argv, pause_one, e);
}

int cmd_resume_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return parse_and_do(cmd, argc, argv, resume_one, e);
}
