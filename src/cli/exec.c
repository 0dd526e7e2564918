/*
 * jail exec, and jexec with FreeBSD's options: one more program in a running jail, under the
 * jail's whole policy.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/options.h"

struct exec_opts {
	struct strv env;
	char *user, *cwd, *detach_keys, *host_user;
	bool terminal, has_terminal, clean;
};

const struct opt cmd_exec_options[] = {
	OPT_HAS(struct exec_opts, terminal, 't', "tty", OPT_FLAG, NULL,
		"give it a terminal (when there is one here); --no-tty: pipes"),
	OPT(struct exec_opts, env, 'e', "env", OPT_CALL, "NAME[=VALUE]",
		"set a variable; NAME alone takes the caller's value", .set = options_set_env),
	OPT(struct exec_opts, user, 'u', "user", OPT_STRING, "USER[:GROUP]",
		"user of the jail, by name or number (the jail's)"),
	OPT(struct exec_opts, cwd, 0, "cwd", OPT_STRING, "DIR", "folder to start in (the jail's)"),
	OPT_DETACH_KEYS(struct exec_opts),
	OPT_END,
};

const struct opt cmd_jexec_options[] = {
	OPT(struct exec_opts, clean, 'l', "login", OPT_FLAG, NULL,
		"a clean environment, which is the default here"),
	OPT(struct exec_opts, cwd, 'd', "directory", OPT_STRING, "DIR", "folder to start in"),
	OPT(struct exec_opts, host_user, 'u', "host-user", OPT_STRING, "USER",
		"user as the host's passwd numbers it"),
	OPT(struct exec_opts, user, 'U', "jail-user", OPT_STRING, "USER",
		"user as the jail's passwd numbers it"),
	OPT_END,
};

/* The host's name for a user becomes the numbers that the jail is given. */
static int resolve_host_user(struct exec_opts *o, struct err *e)
{
	const struct passwd *pw;

	if (!o->host_user)
		return 0;
	if (o->user)
		return err_set(e, EINVAL, "jexec: -u and -U exclude each other");
	errno = 0;
	pw = getpwnam(o->host_user);
	if (!pw)
		return err_set(e, ENOENT, "jexec: the host has no user '%.64s'", o->host_user);
	o->user = str_fmt("%u:%u", pw->pw_uid, pw->pw_gid);
	return 0;
}

static int join(const char *which, const struct exec_opts *o, int n, char **words, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_ATTACH struct jail_attach a = JAIL_ATTACH_INIT;
	struct jail_exec_opts x = {.env = o->env,
		.user = o->user,
		.cwd = o->cwd,
		.terminal = o->has_terminal ? o->terminal : attached_is_tty()};
	int r = jail_env_open(&env, e);

	if (r < 0)
		return r;
	for (int i = 0; i < n; i++)
		strv_add(&x.args, words[i]);
	if (!n)
		strv_add(&x.args, "/bin/sh");
	if (x.terminal)
		attached_size(&x.rows, &x.cols);
	r = jail_exec(&env, which, &x, &a, e);
	strv_release(&x.args);
	return r < 0 ? r : attached_loop(&a, NULL, o->detach_keys, e);
}

static int parse_and_join(
	const struct command *cmd, struct exec_opts *o, int argc, char **argv, struct err *e)
{
	int first = cli_parse(cmd, o, argc, argv, e), more;

	if (first < 0)
		return first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	/* Options may stand before and after the jail; the command ends them. */
	more = cli_parse(cmd, o, argc - first, argv + first, e);
	if (more < 0)
		return more;
	/* An empty one is a variable that was not set in somebody's script: not root by chance. */
	if (o->user && !*o->user)
		return err_set(
			e, EINVAL, "%s: the user is empty; USER[:GROUP] is wanted", cmd->name);
	if (resolve_host_user(o, e) < 0)
		return -e->code;
	return join(argv[first], o, argc - first - more, argv + first + more, e);
}

static int exec_with(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct exec_opts o = {0};
	const char *term = getenv("TERM");
	int r;

	if (attached_is_tty() && term && *term && strlen(term) < 64)
		strv_setenv(&o.env, "TERM", term);
	r = parse_and_join(cmd, &o, argc, argv, e);
	strv_release(&o.env);
	free(o.user);
	free(o.cwd);
	free(o.detach_keys);
	free(o.host_user);
	return r == CLI_DONE ? 0 : r;
}

int cmd_exec_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return exec_with(cmd, argc, argv, e);
}

int cmd_jexec_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	return exec_with(cmd, argc, argv, e);
}
