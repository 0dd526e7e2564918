#include "agent/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

struct relay {
	struct loop *loop;
	int in_fd, out_fd; /* owned */
	struct loop_watch in, out; /* fd -1 while not watched */
	size_t start, n;
	char bytes[RELAY_BYTES];
};

static void relay_end(struct relay *r)
{
	loop_remove(r->loop, &r->in);
	loop_remove(r->loop, &r->out);
	shutdown(r->out_fd, SHUT_WR); /* ENOTSOCK for the others, which closing tells */
	fd_close(&r->in_fd);
	fd_close(&r->out_fd);
	free(r);
}

/*
 * Exactly one side is watched at a time: a hang-up of the other cannot be switched off in epoll
 * and would wake us for ever.
 */
static bool relay_watch(struct relay *r)
{
	struct err e = {0};
	struct loop_watch *on = r->n ? &r->out : &r->in, *off = r->n ? &r->in : &r->out;

	loop_remove(r->loop, off);
	if (on->fd >= 0)
		return true;
	on->fd = r->n ? r->out_fd : r->in_fd;
	return loop_add(r->loop, on, r->n ? EPOLLOUT : EPOLLIN, &e) >= 0;
}

/* Returns false when nothing more can be written. */
static bool relay_write(struct relay *r)
{
	while (r->n) {
		ssize_t n = write(r->out_fd, r->bytes + r->start, r->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		r->start += (size_t)n;
		r->n -= (size_t)n;
	}
	return true;
}

static void in_ready(struct loop_watch *w, uint32_t events)
{
	struct relay *r = container_of(w, struct relay, in);
	ssize_t n = read(r->in_fd, r->bytes, sizeof(r->bytes));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* EIO is how the master side of a terminal tells that nobody has it open any more. */
	if (n <= 0) {
		relay_end(r);
		return;
	}
	r->start = 0;
	r->n = (size_t)n;
	if (!relay_write(r) || !relay_watch(r))
		relay_end(r);
}

static void out_ready(struct loop_watch *w, uint32_t events)
{
	struct relay *r = container_of(w, struct relay, out);

	(void)events;
	if (!relay_write(r) || !relay_watch(r))
		relay_end(r);
}

int relay_start(struct loop *loop, int in_fd, int out_fd, struct err *e)
{
	struct relay *r = mem_new(sizeof(*r));

	r->loop = loop;
	r->in_fd = in_fd;
	r->out_fd = out_fd;
	r->in = (struct loop_watch){.fd = -1, .ready = in_ready};
	r->out = (struct loop_watch){.fd = -1, .ready = out_ready};
	if (fd_set_nonblock(in_fd, 1) < 0 || fd_set_nonblock(out_fd, 1) < 0 || !relay_watch(r)) {
		relay_end(r);
		return err_set(e, EBADF, "cannot relay a stream");
	}
	return 0;
}
