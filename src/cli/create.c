/*
 * jail create: a definition is kept under a name; nothing runs yet.
 */
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/options.h"

struct create_opts {
	struct jail_def def;
};

const struct opt cmd_create_options[] = {
	OPT(struct create_opts, def.terminal, 't', "tty", OPT_FLAG, NULL,
		"its program has a terminal; see jail console"),
	DEFINE_OPTIONS(struct create_opts,
		"the host's own tree, read-only, home hidden, changes in a private layer (the "
		"default)",
		"with --host: show the folder DIR, to read and write"),
	OPT_END,
};

static int create(
	const struct command *cmd, struct create_opts *o, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	int first = cli_parse(cmd, o, argc, argv, e), more;

	if (first < 0)
		return first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	/* Options may stand before and after the name; the command ends them. */
	more = cli_parse(cmd, o, argc - first, argv + first, e);
	if (more < 0)
		return more;
	for (int i = first + more; i < argc; i++)
		strv_add(&o->def.args, argv[i]);
	if (options_finish(&o->def, e) < 0 || jail_env_open(&env, e) < 0)
		return -e->code;
	return jail_create(&env, argv[first], &o->def, e);
}

int cmd_create_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct create_opts o = {.def = JAIL_DEF_INIT};
	int r = create(cmd, &o, argc, argv, e);

	jail_def_release(&o.def);
	return r == CLI_DONE ? 0 : r;
}
