#include "agent/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"

static int lost(struct err *e, int r)
{
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "the guest's agent does not answer");
	if (r == -EPROTO)
		return err_set(e, EPROTO, "the guest's agent does not keep to the protocol");
	return err_set(e, -r, "cannot talk to the guest's agent: %s", strerrordesc_np(-r));
}

/* The monitor's answer to "port": four zero bytes, or the end. */
static int await_stream(int fd, int timeout_ms, struct err *e)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t answer[4];
	ssize_t n;

	if (poll(&p, 1, timeout_ms) < 1)
		return lost(e, -ETIMEDOUT);
	n = fd_read_full(fd, answer, sizeof(answer));
	if (n != sizeof(answer))
		return err_set(e, ECONNREFUSED, "the guest's agent is not up");
	return 0;
}

/* A stream to the agent's port, through the monitor. */
static int open_stream(const char *path, int timeout_ms, struct err *e)
{
	static const uint8_t port[4] = {WIRE_PORT & 0xff, WIRE_PORT >> 8};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, "cannot make a socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ENAMETOOLONG, "the socket's path '%s' is too long", path);
	memcpy(addr.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "cannot reach the machine at '%s'", path);
	if (fd_write_full(fd, port, sizeof(port)) < 0)
		return lost(e, -ECONNRESET);
	if (await_stream(fd, timeout_ms, e) < 0)
		return -e->code;
	return fd_take(&fd);
}

static int next_frame(struct agent_session *s, int timeout_ms, struct err *e)
{
	int r = wire_recv(s->fd, &s->in, &s->frame, timeout_ms);

	return r < 0 ? lost(e, r) : 0;
}

static int greet(struct agent_session *s, struct err *e)
{
	int r = wire_send(s->fd, &(struct wire_frame){.type = WIRE_HELLO, .arg = WIRE_VERSION});

	if (r < 0)
		return lost(e, r);
	if (next_frame(s, s->timeout_ms, e) < 0)
		return -e->code;
	if (s->frame.type != WIRE_HELLO || s->frame.arg != WIRE_VERSION)
		return err_set(e, EPROTO,
			"the guest's agent speaks version %u, we speak %d; make its kernel's files "
			"anew: jail kernel add",
			s->frame.arg, WIRE_VERSION);
	return 0;
}

int agent_adopt(struct agent_session *s, int fd, const char *path, int timeout_ms, struct err *e)
{
	*s = (struct agent_session){.fd = fd, .path = str_dup(path), .timeout_ms = timeout_ms};
	if (greet(s, e) < 0) {
		agent_session_release(s);
		return -e->code;
	}
	return 0;
}

int agent_dial(struct agent_session *s, const char *path, int timeout_ms, struct err *e)
{
	int fd = open_stream(path, timeout_ms, e);

	return fd < 0 ? fd : agent_adopt(s, fd, path, timeout_ms, e);
}

void agent_session_release(struct agent_session *s)
{
	fd_close(&s->fd);
	free(s->path);
	s->path = NULL;
	buf_release(&s->in);
}

/* The next frame that is an answer; news of an end are kept for agent_wait. */
static int await_answer(struct agent_session *s, struct err *e)
{
	for (;;) {
		if (next_frame(s, s->timeout_ms, e) < 0)
			return -e->code;
		if (s->frame.type == WIRE_EXITED) {
			s->exited = true;
			s->exited_id = s->frame.id;
			s->exited_status = s->frame.arg;
			continue;
		}
		if (s->frame.type != WIRE_ERROR)
			return 0;
		wire_get_error(&s->frame, e);
		return err_prefix(e, "in the guest");
	}
}

int agent_request(struct agent_session *s, const struct wire_frame *f, struct err *e)
{
	int r = wire_send(s->fd, f);

	return r < 0 ? lost(e, r) : await_answer(s, e);
}

static int attach_streams(
	struct agent_session *s, unsigned int streams, struct agent_job *job, struct err *e)
{
	if (streams & WIRE_TERMINAL)
		streams = WIRE_STDIN; /* one stream, number 0 */
	for (unsigned int i = 0; i < 3; i++) {
		int r;

		if (!(streams & 1u << i))
			continue;
		job->stream_fd[i] = open_stream(s->path, s->timeout_ms, e);
		if (job->stream_fd[i] < 0)
			return -e->code;
		r = wire_send(job->stream_fd[i],
			&(struct wire_frame){.type = WIRE_ATTACH, .id = job->id, .arg = i});
		if (r < 0)
			return lost(e, r);
	}
	return 0;
}

int agent_open(struct agent_session *s, enum wire_type type, const char *json, unsigned int streams,
	struct agent_job *ret, struct err *e)
{
	struct agent_job job = AGENT_JOB_INIT;
	struct wire_frame f = {.type = (uint16_t)type,
		.flags = (uint16_t)streams,
		.body = json,
		.body_bytes = (uint32_t)strlen(json)};

	if (strlen(json) > WIRE_BODY_MAX)
		return err_set(
			e, E2BIG, "the specification is larger than %d bytes", WIRE_BODY_MAX);
	if (agent_request(s, &f, e) < 0)
		return -e->code;
	if (s->frame.type != WIRE_OPENED)
		return lost(e, -EPROTO);
	job.id = s->frame.id;
	if (attach_streams(s, streams, &job, e) < 0 || await_answer(s, e) < 0) {
		agent_job_release(&job);
		return -e->code;
	}
	job.guest_pid = s->frame.arg;
	*ret = job;
	return 0;
}

int agent_wait(struct agent_session *s, const struct agent_job *job, int timeout_ms,
	int *ret_status, struct err *e)
{
	while (!s->exited || s->exited_id != job->id) {
		if (next_frame(s, timeout_ms, e) < 0)
			return -e->code;
		if (s->frame.type == WIRE_EXITED) {
			s->exited = true;
			s->exited_id = s->frame.id;
			s->exited_status = s->frame.arg;
		}
	}
	s->exited = false;
	*ret_status = (int)s->exited_status;
	return 0;
}

void agent_job_release(struct agent_job *job)
{
	for (int i = 0; i < 3; i++)
		fd_close(&job->stream_fd[i]);
}
