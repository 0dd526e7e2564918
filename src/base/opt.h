/*
 * Command-line options by table: parsing, --help, the manual's SYNOPSIS and the completions
 * all come from it.
 *
 *	struct run_opts { bool detach; char *name; uint64_t memory_bytes; struct strv env; };
 *	static const struct opt run_table[] = {
 *		OPT(struct run_opts, detach, 'd', "detach", OPT_FLAG, NULL, "return at once"),
 *		OPT(struct run_opts, memory_bytes, 'm', "memory", OPT_SIZE, "SIZE", "limit memory"),
 *		OPT_END,
 *	};
 *	r = opt_parse(run_table, &o, argc, argv, OPT_STOP_AT_WORD, e);  -> index of the first operand
 *
 * Long options take "--name value" or "--name=value", flags also "--no-name"; short ones may
 * be bundled.  "--" ends the options.  An unknown option is an error that offers the nearest
 * name.
 */
#ifndef JAIL_BASE_OPT_H
#define JAIL_BASE_OPT_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

enum opt_kind {
	OPT_FLAG,	 /* bool */
	OPT_STRING,	 /* char *, owned; the last one wins */
	OPT_LIST,	 /* struct strv; may be repeated */
	OPT_UINT,	 /* uint64_t */
	OPT_INT,	 /* int64_t */
	OPT_SIZE,	 /* uint64_t bytes (parse_size) */
	OPT_DURATION,	 /* uint64_t milliseconds (parse_duration_ms) */
	OPT_MILLI,	 /* uint64_t thousandths (parse_milli) */
	OPT_BOOL,	 /* bool from a word: yes, no */
	OPT_CHOICE,	 /* int: index of the word in .choices */
	OPT_CALL,	 /* set() does it */
	OPT_GROUP,	 /* a heading for --help: name */
};

struct opt {
	const char *name;
	char letter; /* 0: none */
	enum opt_kind kind;
	size_t offset;
	size_t seen_offset;		/* of a bool set when given; (size_t)-1: none */
	const char *arg;		/* metavariable; names what completion offers (JAIL, FILE, SIZE ...) */
	const char *help;		/* one line, lower case, no full stop */
	const char *const *choices;	/* OPT_CHOICE; NULL-terminated */
	int (*set)(const struct opt *opt, void *opts, const char *value, struct err *e);
};

#define OPT(type, member, letter_, name_, kind_, arg_, help_, ...)                           \
	{                                                                                    \
		.name = (name_), .letter = (letter_), .kind = (kind_),                       \
		.offset = offsetof(type, member), .seen_offset = (size_t)-1, .arg = (arg_),  \
		.help = (help_), ##__VA_ARGS__                                               \
	}
/* Where it matters whether the option was given: sets the bool member has_<member>. */
#define OPT_HAS(type, member, letter_, name_, kind_, arg_, help_, ...)                       \
	{                                                                                    \
		.name = (name_), .letter = (letter_), .kind = (kind_),                       \
		.offset = offsetof(type, member),                                            \
		.seen_offset = offsetof(type, has_##member), .arg = (arg_), .help = (help_), \
		##__VA_ARGS__                                                                \
	}
#define OPT_HEADING(text)                   \
	{                                   \
		.name = (text), .kind = OPT_GROUP \
	}
#define OPT_END  \
	{        \
		0 \
	}

enum opt_mode {
	OPT_PERMUTE,	  /* options may follow operands; operands are moved to the end */
	OPT_STOP_AT_WORD, /* the first operand ends the options: "run [opts] NAME cmd -x" */
};

/*
 * Parses argv[1..argc).  Returns the index in argv of the first operand (argc for none) or
 * -EINVAL.  "--help" and "-h" return OPT_HELP.
 */
enum { OPT_HELP = -100000 };
int opt_parse(const struct opt *table, void *opts, int argc, char **argv, enum opt_mode mode, struct err *e)
	__attribute__((nonnull));
/* Adds the table as indented help text to b. */
void opt_help(const struct opt *table, struct buf *b) __attribute__((nonnull));
/* Frees what the table's strings and lists own in opts. */
void opt_release(const struct opt *table, void *opts) __attribute__((nonnull));
/* The nearest of n words to word (edit distance at most 2), or NULL: for "did you mean". */
const char *opt_nearest(const char *word, const char *(*nth)(const void *ctx, size_t i), const void *ctx, size_t n);

#endif
