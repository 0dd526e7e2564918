/*
 * What a supervisor and its clients say to each other: one struct per message on a
 * SOCK_SEQPACKET unix socket, run_dir/j/NAME/ctl.sock (mode 0600, peer's uid checked), or on
 * the socket pair that a start leaves.  Both ends are the same program, but a message is
 * checked as if it were not.
 *
 * A client asks one thing at a time and gets OK or ERROR; programs' ends (EXIT) and the loss of
 * the terminal (DETACHED) come by themselves.
 */
#ifndef JAIL_JAIL_PROTO_H
#define JAIL_JAIL_PROTO_H

#include "jail/index.h"

enum msg_kind {
	/* to the supervisor */
	MSG_EXEC = 1, /* struct msg, then argv\0..., env\0..., user\0, cwd\0; 3 descriptors without
			 a terminal */
	MSG_PING, /* are you there: OK */
	MSG_CONSOLE, /* rows, cols: become the terminal's holder */
	MSG_SIGNAL, /* value: to this connection's program */
	MSG_RESIZE, /* rows, cols */
	MSG_STOP, /* value: signal or 0; time_ms when flag */
	MSG_KILL, /* value: signal, to the program; SIGKILL: to all */
	MSG_PAUSE,
	MSG_RESUME,
	MSG_WAIT,
	MSG_WALL, /* time_ms: the new wall-clock limit; UINT64_MAX: none */
	MSG_PIDFD, /* what one enters by: the init, and for plain users two namespaces */
	MSG_HELLO, /* the record, for an index that was lost */
	MSG_ADOPT, /* value: your slot in the new index */
	/* from it */
	MSG_OK, /* value; PIDFD and terminals: one descriptor; HELLO: struct msg_record */
	MSG_ERROR, /* struct msg_error */
	MSG_EXIT, /* value: exit code of this connection's program, or of the jail */
	MSG_DETACHED, /* somebody else took the terminal */
};

struct msg {
	uint32_t kind;
	int32_t value;
	uint64_t time_ms;
	uint16_t rows, cols;
	uint8_t flag, terminal; /* EXEC: with a terminal */
	uint16_t n_args, n_env; /* EXEC */
	uint16_t reserved[3];
};
struct msg_error {
	struct msg m;
	struct err err;
};
struct msg_record {
	struct msg m;
	struct idx_record rec;
};

enum { MSG_BYTES_MAX = 160 * 1024, MSG_STRINGS_MAX = 4096 };

/* The descriptors that PIDFD is answered with: all owned; user and mnt -1 when pidfd will do. */
struct entry_fds {
	int pidfd, user, mnt;
};

#endif
