#include "cli/attached.h"
#include "cli/commands.h"

const struct opt cmd_rename_options[] = {OPT_END};

int cmd_rename_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	int first = cli_parse(cmd, &(char){0}, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 2, 2, e) < 0 || jail_env_open(&env, e) < 0)
		return -e->code;
	return jail_rename(&env, argv[first], argv[first + 1], e);
}
