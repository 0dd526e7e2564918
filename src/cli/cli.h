/*
 * What the commands of jail share.  One file per command; this is the only room that prints.
 *
 *	static const struct opt ls_options[] = { ..., OPT_END };
 *
 *	static int ls_run(const struct command *cmd, int argc, char **argv, struct err *e)
 *	{
 *		AUTO_OPTIONS...
 *		int first = cli_parse(cmd, &o, argc, argv, e);
 *		...
 *		return 0;
 *	}
 *
 * A command returns the exit status 0..255 of the process, or -errno with the record filled;
 * main prints the record once, as one line "jail: ...", and ends with 125, 126 or 127.
 */
#ifndef JAIL_CLI_CLI_H
#define JAIL_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/opt.h"

/* The headings under which `jail` alone lists its commands: what people do. */
enum command_group {
	GROUP_RUN,
	GROUP_LIFE,
	GROUP_LOOK,
	GROUP_CHANGE,
	GROUP_HOST,
	GROUP_HIDDEN, /* aliases: dispatched, completed nowhere, listed nowhere */
	GROUP_COUNT,
};

struct command {
	const char *name;
	const char *operands; /* as in the SYNOPSIS: "JAIL [CMD [ARG...]]" */
	const char *summary; /* one line, lower case, no full stop */
	enum command_group group;
	enum opt_mode mode; /* OPT_STOP_AT_WORD where a program's own options follow */
	const struct opt *options;
	int (*run)(const struct command *cmd, int argc, char **argv, struct err *e);
};

/* Ends with a row whose name is NULL. */
extern const struct command commands[];
extern const char *const command_group_titles[GROUP_COUNT];

/* The row of that name, or NULL. */
const struct command *command_find(const char *name) __attribute__((nonnull));
/* The row; when there is none, -EINVAL with the nearest name and NULL in *ret. */
int command_require(const char *name, const struct command **ret, struct err *e)
	__attribute__((nonnull));

/*
 * Parses with the command's own table.  Returns the index of the first operand, -EINVAL, or
 * CLI_DONE after --help was printed: the command then returns 0.
 */
enum { CLI_DONE = OPT_HELP };
int cli_parse(const struct command *cmd, void *opts, int argc, char **argv, struct err *e)
	__attribute__((nonnull));
/* Checks the number of operands; max < 0: any number. */
int cli_operands(const struct command *cmd, int n, int min, int max, struct err *e)
	__attribute__((nonnull));

/* Writes b to standard output; a full disk or a closed pipe is an error like any other. */
int cli_print(const struct buf *b, struct err *e) __attribute__((nonnull));
/* One line "jail: ..." on standard error: for what the user should know but that is no failure. */
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The texts: `jail`, `jail CMD --help`, and the tables for the completions and the tests. */
void help_overview(struct buf *b) __attribute__((nonnull));
void help_command(const struct command *cmd, struct buf *b) __attribute__((nonnull));
void help_tables(struct buf *b) __attribute__((nonnull));

/* --format of every command that shows something. */
enum cli_format { FORMAT_TABLE, FORMAT_JSON };
extern const char *const cli_format_names[]; /* NULL-terminated, by enum cli_format */
#define OPT_FORMAT(type)                                                                           \
	OPT(type, format, 0, "format", OPT_CHOICE, "FORMAT",                                       \
		"'table' for people, 'json' for programs", .choices = cli_format_names)

#endif
