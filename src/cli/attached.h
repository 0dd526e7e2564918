/*
 * What run, start, exec and console do with a program that they hold: the person's terminal or
 * pipes are joined to it until it ends or the person detaches.
 */
#ifndef JAIL_CLI_ATTACHED_H
#define JAIL_CLI_ATTACHED_H

#include "cli/cli.h"
#include "jail/jail.h"

#define AUTO_ENV    __attribute__((cleanup(jail_env_release)))
#define AUTO_ATTACH __attribute__((cleanup(jail_attach_release)))

/* Standard input and output are both a terminal. */
bool attached_is_tty(void);
/* The size of the person's terminal; 0 0 when there is none. */
void attached_size(uint16_t *ret_rows, uint16_t *ret_cols) __attribute__((nonnull));
/*
 * Carries it to its end; returns the program's exit status, or 0 after a detach, which is said
 * on standard error with the way back to the jail called name (NULL: there is none).
 */
int attached_loop(struct jail_attach *a, const char *name, const char *detach_keys, struct err *e)
	__attribute__((nonnull(1, 4)));

#define OPT_DETACH_KEYS(type)                                                                      \
	OPT(type, detach_keys, 0, "detach-keys", OPT_STRING, "KEYS",                               \
		"keys that leave it running (ctrl-p,ctrl-q); '' for none")

#endif
