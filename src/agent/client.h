/*
 * The host's side of the wire.
 *
 *	struct agent_session s = AGENT_SESSION_INIT;
 *	agent_adopt(&s, fd, "/run/jail/web/vsock", 30000, e);	the guest's own call: it is up
 *	agent_request(&s, &(struct wire_frame){.type = WIRE_ROOT, .body = json, ...}, e);
 *	agent_open(&s, WIRE_CREATE, config_json, WIRE_STDOUT | WIRE_STDERR, &job, e);
 *	agent_request(&s, &(struct wire_frame){.type = WIRE_START, .id = job.id}, e);
 *	... read job.stream_fd[1] ...
 *	agent_wait(&s, &job, -1, &status, e);
 *
 * and for one more program, from any process that may reach the socket:
 *
 *	agent_dial(&s, "/run/jail/web/vsock", 10000, e);
 *	agent_open(&s, WIRE_EXEC, process_json, WIRE_TERMINAL, &job, e);
 */
#ifndef JAIL_AGENT_CLIENT_H
#define JAIL_AGENT_CLIENT_H

#include <stdbool.h>

#include "agent/wire.h"

struct agent_session {
	int fd; /* owned */
	char *path; /* owned: of the monitor's listening socket, where streams are opened */
	int timeout_ms; /* for each answer */
	struct buf in;
	struct wire_frame frame;
	/* The program that ended while something else was waited for. */
	bool exited;
	uint32_t exited_id, exited_status;
};
#define AGENT_SESSION_INIT                                                                         \
	{                                                                                          \
		.fd = -1                                                                           \
	}

struct agent_job {
	uint32_t id;
	uint32_t guest_pid;
	int stream_fd[3]; /* owned: sockets; 0 to write, 1 and 2 to read; a terminal is 0, both ways
			   */
};
#define AGENT_JOB_INIT                                                                             \
	{                                                                                          \
		.stream_fd = { -1, -1, -1 }                                                        \
	}

/* Connects through the monitor's socket to the agent and greets.  -ECONNREFUSED: not up (yet). */
int agent_dial(struct agent_session *s, const char *path, int timeout_ms, struct err *e)
	__attribute__((nonnull));
/* Takes fd, the stream that the guest opened when it was up, and greets. */
int agent_adopt(struct agent_session *s, int fd, const char *path, int timeout_ms, struct err *e)
	__attribute__((nonnull));
void agent_session_release(struct agent_session *s) __attribute__((nonnull));

/*
 * Sends a request and waits for its answer, which is in s->frame until the next call.  An ERROR
 * from the guest becomes the record, "in the guest: " before it.
 */
int agent_request(struct agent_session *s, const struct wire_frame *f, struct err *e)
	__attribute__((nonnull));

/*
 * CREATE or EXEC with json, and the streams that it asks for.  Returns when the jail is created
 * or the program runs.
 */
int agent_open(struct agent_session *s, enum wire_type type, const char *json, unsigned int streams,
	struct agent_job *ret, struct err *e) __attribute__((nonnull));
/* Waits for the end of a job of this session; -ETIMEDOUT.  *ret_status as of waitpid. */
int agent_wait(struct agent_session *s, const struct agent_job *job, int timeout_ms,
	int *ret_status, struct err *e) __attribute__((nonnull));
void agent_job_release(struct agent_job *job) __attribute__((nonnull));

#endif
