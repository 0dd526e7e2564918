/*
 * The jail command.  It is dispatched by its own name (jls, jexec: FreeBSD's words) or by its
 * first argument, through the one table in commands.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/cli.h"

/* Descriptors 0, 1 and 2 are always there, so that no file of ours is ever written as one. */
static int guard_stdio(struct err *e)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			continue;
		if (open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			return err_sys(e, "cannot open '/dev/null' as descriptor %d", fd);
	}
	return 0;
}

static void report(const struct err *e)
{
	AUTO_FREE char *text = str_visible(e->text);
	AUTO_FREE char *line = str_fmt("jail: %s\n", text);

	/* Nothing can be done when even this cannot be written. */
	(void)fd_write_full(STDERR_FILENO, line, strlen(line));
}

static int overview(struct err *e)
{
	AUTO_BUF struct buf b = {0};

	help_overview(&b);
	return cli_print(&b, e);
}

/* argv[0] of "jls" or "/usr/bin/jexec": the command is the program's name. */
static const struct command *by_program_name(const char *argv0)
{
	const char *slash, *name;
	const struct command *cmd;

	if (!argv0)
		return NULL;
	slash = strrchr(argv0, '/');
	name = slash ? slash + 1 : argv0;
	cmd = command_find(name);
	return cmd && cmd->group == GROUP_HIDDEN ? cmd : NULL;
}

static int dispatch(int argc, char **argv, struct err *e)
{
	const struct command *cmd = by_program_name(argc > 0 ? argv[0] : NULL);
	char version[] = "version";

	if (cmd)
		return cmd->run(cmd, argc, argv, e);
	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
		(!strcmp(argv[1], "help") && argc == 2))
		return overview(e);
	if (!strcmp(argv[1], "help")) {
		char word[] = "--help", *help[] = {argv[2], word, NULL};

		return command_require(argv[2], &cmd, e) < 0 ? -EINVAL : cmd->run(cmd, 2, help, e);
	}
	if (!strcmp(argv[1], "--complete-table")) {
		AUTO_BUF struct buf b = {0};

		help_tables(&b);
		return cli_print(&b, e);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		argv[1] = version;
	if (command_require(argv[1], &cmd, e) < 0)
		return -EINVAL;
	return cmd->run(cmd, argc - 1, argv + 1, e);
}

int main(int argc, char **argv)
{
	struct err e = {0};
	int r;

	r = guard_stdio(&e);
	if (r >= 0)
		r = dispatch(argc, argv, &e);
	if (r >= 0)
		return r;
	report(&e);
	return e.exit_code ? e.exit_code : ERR_EXIT_TOOL;
}
