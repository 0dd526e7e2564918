/*
 * jail run: create, start, attach and destroy in one.  Without a root it is the host's own tree,
 * read-only, with the current folder visible: for a command that one does not trust with the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/options.h"

struct run_opts {
	struct jail_def def;
	bool detach, terminal, has_terminal;
	char *name, *detach_keys, *trace;
};

const struct opt cmd_run_options[] = {
	OPT(struct run_opts, name, 'n', "name", OPT_STRING, "NAME", "name it (run-JID)"),
	OPT(struct run_opts, detach, 'd', "detach", OPT_FLAG, NULL,
		"print its name and return at once"),
	OPT_HAS(struct run_opts, terminal, 't', "tty", OPT_FLAG, NULL,
		"give it a terminal (when there is one here); --no-tty: pipes"),
	OPT_DETACH_KEYS(struct run_opts),
	OPT(struct run_opts, trace, 0, "trace", OPT_STRING, "FILE",
		"write the stages of the start, with times, to FILE"),
	DEFINE_OPTIONS(struct run_opts,
		"the host's own tree, read-only, home hidden, changes in a private layer (the "
		"default)",
		"with --host: show the folder DIR, to read and write (the current one); or none"),
	OPT_END,
};

static int choose_terminal(struct run_opts *o, struct err *e)
{
	bool given = o->has_terminal && o->terminal;

	if (o->detach && given)
		return err_set(e, EINVAL,
			"run: --detach and --tty exclude each other; create a jail with --tty and "
			"use jail console");
	o->def.terminal = o->has_terminal ? o->terminal : !o->detach && attached_is_tty();
	return 0;
}

static int launch(struct jail_env *env, const struct run_opts *o, struct err *e)
{
	AUTO_ATTACH struct jail_attach a = JAIL_ATTACH_INIT;
	struct jail_start_opts start = {.trace = o->trace};
	char name[JAIL_NAME_MAX + 1];
	AUTO_BUF struct buf b = {0};
	int r;

	attached_size(&start.rows, &start.cols);
	r = jail_run(env, o->name, &o->def, &start, o->detach ? NULL : &a, name, e);
	if (r < 0)
		return r;
	if (!o->detach)
		return attached_loop(&a, name, o->detach_keys, e);
	buf_addf(&b, "%s\n", name);
	return cli_print(&b, e);
}

static int run(const struct command *cmd, struct run_opts *o, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	int first = cli_parse(cmd, o, argc, argv, e);

	if (first < 0)
		return first;
	for (int i = first; i < argc; i++)
		strv_add(&o->def.args, argv[i]);
	if (!o->def.args.n && !o->def.persist)
		strv_add(&o->def.args, "/bin/sh");
	if (choose_terminal(o, e) < 0 || options_default_work(&o->def, e) < 0 ||
		options_finish(&o->def, e) < 0 || jail_env_open(&env, e) < 0)
		return -e->code;
	return launch(&env, o, e);
}

int cmd_run_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct run_opts o = {.def = JAIL_DEF_INIT};
	int r = run(cmd, &o, argc, argv, e);

	free(o.name);
	free(o.detach_keys);
	free(o.trace);
	jail_def_release(&o.def);
	return r == CLI_DONE ? 0 : r;
}
