/* What the supervisor's files share: super.c the loop, super_serve.c requests, super_term.c the
 * terminal and the log. */
#ifndef JAIL_JAIL_SUPER_INT_H
#define JAIL_JAIL_SUPER_INT_H

#include "jail/proto.h"
#include "jail/super.h"

enum { SUPER_IO_BYTES = 8192, SUPER_CONNS_MAX = 512 };
#define NEVER UINT64_MAX

struct super;

/* Something that epoll watches. */
struct source {
	void (*on)(struct super *s, struct source *src, uint32_t events);
	int fd; /* owned */
	uint32_t events;
};

struct conn {
	struct source src;
	struct conn *next;
	struct running *exec; /* the program that this connection holds, or NULL */
	bool main; /* it holds the jail's own program */
	bool waits; /* for the jail's end: EXIT */
	bool stops; /* for the jail's end: OK */
	bool gone; /* to be freed by the loop */
};

/* A program of exec. */
struct running {
	struct source src; /* pidfd */
	struct running *next;
	struct conn *conn; /* NULL: nobody waits for it any more */
};

enum phase { PHASE_UP, PHASE_STOPPING, PHASE_BACKOFF, PHASE_ENDED };

struct super {
	struct up up;
	struct jail_def def; /* for restarts only, else empty */
	int epoll_fd;
	int reserve_fd; /* given up for a moment when descriptors run out */
	struct source listener, init, signals, oom, out[LOG_STREAMS], master, data;
	struct conn *conns;
	unsigned int n_conns;
	struct running *execs;
	struct conn *holder; /* of the terminal */
	enum phase phase;
	int code; /* of the program, when it has ended */
	bool oom_killed, persist, terminal, ephemeral, visit;
	uint32_t restart_max, restarts;
	int restart; /* enum jail_restart */
	int stop_signal;
	uint64_t stop_timeout_ms, wall_ms;
	uint64_t started_mono_ms, backoff_ms;
	uint64_t kill_at, nudge_at, restart_at, wall_at; /* CLOCK_MONOTONIC ms or NEVER */
	uint64_t caps;
	char name[JAIL_NAME_MAX + 1];
	uint32_t jid;
	struct idx_record own; /* as it last stood in the index */
	/* The terminal's two directions. */
	char to_client[SUPER_IO_BYTES], to_program[SUPER_IO_BYTES];
	uint32_t n_to_client, at_to_client, n_to_program, at_to_program;
};

/* super.c */
int source_add(struct super *s, struct source *src, uint32_t events);
void source_set(struct super *s, struct source *src, uint32_t events);
void source_close(struct super *s, struct source *src);
void super_state(struct super *s, enum jail_state state);
void super_begin_stop(struct super *s, int signal, uint64_t timeout_ms);
void super_event(struct super *s, enum jail_event_kind kind, int value, const char *detail);

/* super_serve.c */
struct conn *conn_add(struct super *s, int fd);
void conn_drop(struct super *s, struct conn *c);
void conn_accept(struct super *s, struct source *src, uint32_t events);
void conn_sweep(struct super *s);
void send_msg(struct super *s, struct conn *c, enum msg_kind kind, int value, int fd);
void send_error(struct super *s, struct conn *c, const struct err *e);

/* super_term.c */
int term_open(struct super *s, struct err *e);
int term_attach(
	struct super *s, struct conn *c, uint16_t rows, uint16_t cols, int *ret_fd, struct err *e);
void term_detach(struct super *s, bool tell);
void term_resize(struct super *s, uint16_t rows, uint16_t cols);
void term_close(struct super *s);
void logs_open(struct super *s);
void logs_close(struct super *s);

/* super_exec.c */
int super_exec(struct super *s, struct conn *c, const struct msg *m, char *text, size_t n, int *fds,
	size_t n_fds, int *ret_terminal, struct err *e);

#endif
