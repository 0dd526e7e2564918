/*
 * The supervisor: one small process per running jail, forked by the command that starts it and
 * alone from then on.  It is the parent of the jail's init and of every exec, so that it knows
 * both by descriptors which nothing can make stale; it holds the policy in its memory, so that
 * nothing inside can change it; it keeps terminal, log, restart policy and control socket.
 */
#ifndef JAIL_JAIL_SUPER_H
#define JAIL_JAIL_SUPER_H

#include "jail/updown.h"

struct super_start {
	struct jail_env *env;
	uint32_t slot;
	const char *name;
	const struct jail_def *def; /* with made.* filled */
	bool ephemeral, attached;
	bool visit; /* for jail cp: leaves no trace in events and last.json */
	int stdio[3];
	uint16_t rows, cols;
	const char *trace; /* absolute, or NULL */
	int channel; /* our end of the pair whose other end the starter holds */
};

/* Brings the jail up, tells the starter, and serves until it is down. */
void super_main(const struct super_start *st) __attribute__((noreturn, nonnull));

#endif
