/*
 * Up and down are two mirrored tables: each row makes one thing and knows how to undo it.
 *
 *	struct up u = {...};
 *	r = up_run(&u, UP_FIRST, e);	 rows forwards; a failure undoes what was done
 *	down_run(&u, UP_FIRST);		 rows backwards, down to UP_FIRST; every undo is idempotent
 *
 * Repair runs down_run with nothing but a name: every undo must then find its object by it.
 */
#ifndef JAIL_JAIL_UPDOWN_H
#define JAIL_JAIL_UPDOWN_H

#include "jail/compose.h"
#include "jail/internal.h"
#include "jail/log.h"

enum up_row {
	UP_RUN_DIR,
	UP_LAYER,
	UP_CONTROL,
	UP_COMPOSE,
	UP_LOG,
	UP_CGROUP,
	UP_CREATE,
	UP_START,
	UP_ROWS,
	UP_FIRST = 0
};

struct up {
	struct jail_env *env; /* borrowed */
	const char *name; /* borrowed */
	const struct jail_def *def; /* borrowed; NULL in repair */
	bool ephemeral;
	uint32_t slot;
	/* What the program gets as 0, 1, 2 when it is attached without a terminal; else -1. */
	int stdio[3];
	bool attached;
	uint16_t rows, cols;
	const char *trace;

	int listen_fd; /* owned: ctl.sock */
	struct composed *c; /* owned */
	struct log_writer *log; /* owned; NULL: none */
	int out_fd[LOG_STREAMS]; /* owned: our ends of the program's output, or -1 */
	int program_fd[3]; /* owned: the program's, until it has started */
	struct iso_cgroup cg;
	struct iso_jail jail;
	uint64_t init_start; /* repair: to know the init again */
	pid_t init_pid;
	struct err *undo_err; /* repair: the first undo that failed */
};
#define UP_INIT(env_, name_, slot_)                                                                \
	{                                                                                          \
		.env = (env_), .name = (name_), .slot = (slot_), .stdio = {-1, -1, -1},            \
		.listen_fd = -1, .out_fd = {-1, -1}, .program_fd = {-1, -1, -1},                   \
		.cg = ISO_CGROUP_INIT, .jail = ISO_JAIL_INIT, .init_pid = -1                       \
	}

const char *up_row_name(enum up_row row);
int up_run(struct up *u, enum up_row from, struct err *e) __attribute__((nonnull));
void down_run(struct up *u, enum up_row to) __attribute__((nonnull));

#endif
