#include <stdlib.h>

#include "cli/attached.h"
#include "cli/commands.h"

struct console_opts {
	char *detach_keys;
};

const struct opt cmd_console_options[] = {
	OPT_DETACH_KEYS(struct console_opts),
	OPT_END,
};

static int console(const char *which, const struct console_opts *o, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_ATTACH struct jail_attach a = JAIL_ATTACH_INIT;
	uint16_t rows, cols;

	attached_size(&rows, &cols);
	if (jail_env_open(&env, e) < 0 || jail_console(&env, which, rows, cols, &a, e) < 0)
		return -e->code;
	return attached_loop(&a, which, o->detach_keys, e);
}

int cmd_console_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct console_opts o = {0};
	int r = cli_parse(cmd, &o, argc, argv, e), first = r;

	if (r >= 0)
		r = cli_operands(cmd, argc - first, 1, 1, e);
	if (r >= 0)
		r = console(argv[first], &o, e);
	free(o.detach_keys);
	return r == CLI_DONE ? 0 : r;
}
