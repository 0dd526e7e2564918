/*
 * Commands on several jails: operands are names, jids or patterns ("web*", quoted), each
 * handled in turn.
 *
 *	return each_jail(cmd, argc - first, argv + first, stop_one, &o, e);
 */
#ifndef JAIL_CLI_EACH_H
#define JAIL_CLI_EACH_H

#include "cli/cli.h"
#include "jail/jail.h"

typedef int each_fn(struct jail_env *env, const char *which, void *ctx, struct err *e);

/*
 * Opens the environment and calls fn for every operand.  A failure does not keep the others from
 * their turn: each is reported on a line of its own, and the result is 125.
 */
int each_jail(int n, char **operands, each_fn *fn, void *ctx, struct err *e)
	__attribute__((nonnull(3, 5)));
/* The same with an environment at hand; n == 0 means every jail. */
int each_of(struct jail_env *env, int n, char **operands, each_fn *fn, void *ctx, struct err *e)
	__attribute__((nonnull(1, 4, 6)));

/*
 * The infos of all jails, or of those named, in the order of their jids; *ret is owned.  running
 * leaves out the others.
 */
int each_info(struct jail_env *env, int n, char **operands, bool running, struct jail_info **ret,
	size_t *ret_n, struct err *e) __attribute__((nonnull(1, 5, 6, 7)));
bool info_is_up(const struct jail_info *info) __attribute__((nonnull));

#endif
