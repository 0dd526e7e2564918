/*
 * Every text of help, made from the tables of commands and options.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/cli.h"
#include "jail/jail.h"

const char *const cli_format_names[] = {"table", "json", NULL};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static const char *nth_command(const void *ctx, size_t i)
{
	(void)ctx;
	return commands[i].name;
}

int command_require(const char *name, const struct command **ret, struct err *e)
{
	AUTO_FREE char *shown = str_visible(name);
	const char *near;
	size_t n = 0;

	*ret = command_find(name);
	if (*ret)
		return 0;
	while (commands[n].name)
		n++;
	near = opt_nearest(name, nth_command, NULL, n);
	if (name[0] == '-')
		return err_set(e, EINVAL, "unknown option '%.80s'; see jail --help", shown);
	err_set(e, EINVAL, "unknown command '%.80s'", shown);
	return near ? err_hint(e, "did you mean '%s'?", near) : err_hint(e, "see jail --help");
}

void help_overview(struct buf *b)
{
	buf_adds(b,
		"usage: jail COMMAND [ARGUMENT...]\n"
		"\n"
		"Run programs in jails: confined and limited by default, leaving nothing behind.\n"
		"  jail run -- make test           this folder is visible, all else is protected\n"
		"  jail run --root ./debian sh     a directory as the root, never written to\n");
	for (int g = 0; g < GROUP_HIDDEN; g++) {
		buf_addf(b, "\n%s\n", command_group_titles[g]);
		for (const struct command *c = commands; c->name; c++)
			if ((int)c->group == g)
				buf_addf(b, "  %-10s%s\n", c->name, c->summary);
	}
	buf_adds(b,
		"\n'jail COMMAND --help' tells the options; the manual is jail(8).\n"
		"Exit status: the program's own, or 128+n when signal n ended it; 125 when jail\n"
		"itself failed, 126 when the program cannot be executed, 127 when it is "
		"missing.\n");
}

/* The words that --allow takes, for the commands that have it. */
static bool takes_allow(const struct opt *options)
{
	for (const struct opt *o = options; o->name; o++)
		if (o->kind == OPT_LIST && !strcmp(o->name, "allow"))
			return true;
	return false;
}

static void add_allow_words(struct buf *b)
{
	struct jail_allow_word w;

	buf_adds(b, "\nWords of --allow:\n");
	for (size_t i = 0; jail_allow_word(i, &w); i++)
		buf_addf(b, "  %-12s%s (%s)\n", w.word, w.allows, w.risk);
}

void help_command(const struct command *cmd, struct buf *b)
{
	bool alias = cmd->group == GROUP_HIDDEN;

	buf_addf(b, "usage: %s%s%s%s%s\n\n%s\n", alias ? "" : "jail ", cmd->name,
		cmd->options->name ? " [OPTION...]" : "", *cmd->operands ? " " : "", cmd->operands,
		cmd->summary);
	if (cmd->options->name && cmd->options->kind != OPT_GROUP)
		buf_adds(b, "\n");
	opt_help(cmd->options, b);
	if (takes_allow(cmd->options))
		add_allow_words(b);
}

/*
 * Lines of fields separated by tabs, for completions/generate.sh and the tests:
 *	command NAME GROUP OPERANDS SUMMARY
 *	option COMMAND --LONG -S METAVAR HELP		("-" where there is none)
 *	choice COMMAND --LONG WORD
 */
static void add_option_row(struct buf *b, const char *command, const struct opt *o)
{
	struct jail_allow_word w;
	char letter[3] = "-";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c", o->letter);
	buf_addf(b, "option\t%s\t--%s\t%s\t%s\t%s\n", command, o->name, letter,
		o->arg ? o->arg : "-", o->help);
	for (int i = 0; o->kind == OPT_CHOICE && o->choices[i]; i++)
		buf_addf(b, "choice\t%s\t--%s\t%s\n", command, o->name, o->choices[i]);
	for (size_t i = 0; !strcmp(o->name, "allow") && jail_allow_word(i, &w); i++)
		buf_addf(b, "choice\t%s\t--%s\t%s\n", command, o->name, w.word);
}

void help_tables(struct buf *b)
{
	for (const struct command *c = commands; c->name; c++) {
		buf_addf(b, "command\t%s\t%s\t%s\t%s\n", c->name, command_group_titles[c->group],
			*c->operands ? c->operands : "-", c->summary);
		for (const struct opt *o = c->options; o->name; o++)
			if (o->kind != OPT_GROUP)
				add_option_row(b, c->name, o);
	}
}

int cli_parse(const struct command *cmd, void *opts, int argc, char **argv, struct err *e)
{
	int r = opt_parse(cmd->options, opts, argc, argv, cmd->mode, e);
	AUTO_BUF struct buf b = {0};

	if (r != OPT_HELP)
		return r < 0 ? err_prefix(e, "%s", cmd->name) : r;
	help_command(cmd, &b);
	r = cli_print(&b, e);
	return r < 0 ? r : CLI_DONE;
}

int cli_operands(const struct command *cmd, int n, int min, int max, struct err *e)
{
	if (n >= min && (max < 0 || n <= max))
		return 0;
	return err_set(e, EINVAL, "%s: %s arguments; usage: %s%s %s", cmd->name,
		n < min ? "too few" : "too many", cmd->group == GROUP_HIDDEN ? "" : "jail ",
		cmd->name, cmd->operands);
}

int cli_print(const struct buf *b, struct err *e)
{
	int r = b->n ? fd_write_full(STDOUT_FILENO, b->p, b->n) : 0;

	if (r < 0) {
		errno = -r;
		return err_sys(e, "cannot write to standard output");
	}
	return 0;
}

void cli_warn(const char *fmt, ...)
{
	AUTO_BUF struct buf b = {0};
	char text[ERR_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	AUTO_FREE char *shown = str_visible(text);
	buf_addf(&b, "jail: %s\n", shown);
	(void)fd_write_full(STDERR_FILENO, b.p, b.n);
}
