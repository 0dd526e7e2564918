/* Connections and requests. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "jail/super_int.h"

/* A client that does not read its answers is not waited for. */
static void send_bytes(struct super *s, struct conn *c, const void *p, size_t n, int fd)
{
	int flags_before = fd_set_nonblock(c->src.fd, 1);

	if (flags_before < 0 || fd_send(c->src.fd, p, n, &fd, fd >= 0) < 0)
		conn_drop(s, c);
}

void send_msg(struct super *s, struct conn *c, enum msg_kind kind, int value, int fd)
{
	const struct msg m = {.kind = kind, .value = value};

	send_bytes(s, c, &m, sizeof(m), fd);
}

void send_error(struct super *s, struct conn *c, const struct err *e)
{
	struct msg_error m = {.m = {.kind = MSG_ERROR}, .err = *e};

	send_bytes(s, c, &m, sizeof(m), -1);
}

static void signal_program(struct super *s, struct conn *c, int sig)
{
	int pidfd = c->exec ? c->exec->src.fd : c->main ? s->up.jail.pidfd : -1;

	if (pidfd >= 0 && sig > 0 && sig <= SIGRTMAX)
		proc_signal(pidfd, sig);
}

static int serve_kill(struct super *s, const struct msg *m, struct err *e)
{
	int r;

	if (s->up.jail.pidfd < 0)
		return err_set(e, ESRCH, "jail '%s' is not running", s->name);
	if (m->value < 1 || m->value > SIGRTMAX)
		return err_set(e, EINVAL, "signal %d does not exist", m->value);
	r = proc_signal(s->up.jail.pidfd, m->value);
	if (r < 0)
		return err_set(e, -r, "cannot signal jail '%s': %s", s->name, strerrordesc_np(-r));
	super_event(s, JAIL_EV_KILL, m->value, NULL);
	return 0;
}

static int serve_freeze(struct super *s, bool freeze, struct err *e)
{
	if (s->phase != PHASE_UP)
		return err_set(e, ESRCH, "jail '%s' is not running", s->name);
	if (s->up.cg.mode == ISO_CGROUP_NONE)
		return err_set(e, EOPNOTSUPP, "cannot pause jail '%s': %s", s->name,
			s->up.cg.soft_reason[0] ? s->up.cg.soft_reason : "it has no control group");
	if (iso_cgroup_freeze(&s->up.cg, freeze, e) < 0)
		return -e->code;
	super_state(s, freeze ? JAIL_PAUSED : JAIL_RUNNING);
	super_event(s, freeze ? JAIL_EV_PAUSE : JAIL_EV_RESUME, 0, NULL);
	return 0;
}

static int serve_console(
	struct super *s, struct conn *c, const struct msg *m, int *ret_fd, struct err *e)
{
	if (s->phase == PHASE_BACKOFF || s->phase == PHASE_ENDED)
		return err_set(e, ESRCH, "jail '%s' is not running", s->name);
	if (term_attach(s, c, m->rows, m->cols, ret_fd, e) < 0)
		return -e->code;
	c->main = true;
	return 0;
}

/* The index was made anew: this jail's record is elsewhere now. */
static int serve_adopt(struct super *s, const struct msg *m, struct err *e)
{
	struct jail_index *old = s->up.env->index, *ix;

	if (m->value < 0 || m->value >= IDX_CAPACITY)
		return err_set(e, EPROTO, "the index slot is out of range");
	ix = idx_map_again(s->up.env, e);
	if (!ix)
		return -e->code;
	s->up.env->index = ix;
	s->up.slot = (uint32_t)m->value;
	idx_close(old);
	return idx_own(ix, s->up.slot, e);
}

/* The namespaces of a plain user's jail could be opened at its birth only. */
static int send_entry(struct super *s, struct conn *c, struct err *e)
{
	const struct iso_jail *j = &s->up.jail;
	const int fds[] = {j->pidfd, j->ns_fds[SPEC_NS_USER], j->ns_fds[SPEC_NS_MOUNT]};
	const struct msg m = {.kind = MSG_OK, .value = (int)j->pid};

	if (j->pidfd < 0)
		return err_set(e, ESRCH, "jail '%s' is not running", s->name);
	if (fd_send(c->src.fd, &m, sizeof(m), fds, fds[1] >= 0 && fds[2] >= 0 ? 3 : 1) < 0)
		conn_drop(s, c);
	return 1;
}

static void send_record(struct super *s, struct conn *c)
{
	/* Whoever asks has lost the index: what is in our place by now may be anything. */
	const struct msg_record m = {.m = {.kind = MSG_OK}, .rec = s->own};

	send_bytes(s, c, &m, sizeof(m), -1);
}

static void serve_stop(struct super *s, struct conn *c, const struct msg *m)
{
	c->stops = true;
	super_begin_stop(s, m->value, m->flag ? m->time_ms : s->stop_timeout_ms);
}

/* Returns 1 when the answer is sent or comes later, 0 for OK, or an error. */
static int serve(struct super *s, struct conn *c, const struct msg *m, char *text, size_t n,
	int *fds, size_t n_fds, int *ret_fd, struct err *e)
{
	switch (m->kind) {
	case MSG_EXEC:
		return super_exec(s, c, m, text, n, fds, n_fds, ret_fd, e);
	case MSG_PING:
		return 0;
	case MSG_CONSOLE:
		return serve_console(s, c, m, ret_fd, e);
	case MSG_SIGNAL:
		signal_program(s, c, m->value);
		return 1;
	case MSG_RESIZE:
		if (c == s->holder)
			term_resize(s, m->rows, m->cols);
		return 1;
	case MSG_STOP:
		serve_stop(s, c, m);
		return 1;
	case MSG_KILL:
		return serve_kill(s, m, e);
	case MSG_PAUSE:
	case MSG_RESUME:
		return serve_freeze(s, m->kind == MSG_PAUSE, e);
	case MSG_WAIT:
		c->waits = true;
		return 1;
	case MSG_WALL:
		s->wall_ms = m->time_ms;
		s->wall_at = m->time_ms == NEVER ? NEVER : s->started_mono_ms + m->time_ms;
		return 0;
	case MSG_PIDFD:
		return send_entry(s, c, e);
	case MSG_HELLO:
		send_record(s, c);
		return 1;
	case MSG_ADOPT:
		return serve_adopt(s, m, e);
	default:
		return err_set(e, EPROTO, "the supervisor does not know request %u", m->kind);
	}
}

static void handle(struct super *s, struct conn *c, char *buf, size_t n, int *fds, size_t n_fds)
{
	struct err e = {0};
	struct msg m;
	int fd = -1, r;

	if (n < sizeof(m)) {
		conn_drop(s, c);
		return;
	}
	memcpy(&m, buf, sizeof(m));
	r = serve(s, c, &m, buf + sizeof(m), n - sizeof(m), fds, n_fds, &fd, &e);
	if (r < 0)
		send_error(s, c, &e);
	else if (r == 0)
		send_msg(s, c, MSG_OK, 0, fd);
	fd_close(&fd);
}

static void on_conn(struct super *s, struct source *src, uint32_t events)
{
	struct conn *c = (struct conn *)src;
	int fds[3] = {-1, -1, -1};
	size_t n_fds = 3;
	ssize_t n = recv(src->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	size_t room = (size_t)MAX(n, 0) + 1;
	char *buf;

	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLHUP | EPOLLERR)))
		return;
	if (n <= 0 || n > MSG_BYTES_MAX) {
		conn_drop(s, c);
		return;
	}
	/* Mapped and unmapped: the heap of a process that lives for months stays as it is. */
	buf = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED) {
		conn_drop(s, c);
		return;
	}
	n = fd_recv(src->fd, buf, room, fds, &n_fds);
	if (n > 0)
		handle(s, c, buf, (size_t)n, fds, n_fds);
	else
		conn_drop(s, c);
	for (size_t i = 0; n > 0 && i < n_fds; i++)
		fd_close(&fds[i]);
	munmap(buf, room);
}

struct conn *conn_add(struct super *s, int fd)
{
	struct conn *c = mem_new(sizeof(*c));

	c->src = (struct source){.on = on_conn, .fd = fd};
	if (source_add(s, &c->src, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return NULL;
	}
	c->next = s->conns;
	s->conns = c;
	s->n_conns++;
	return c;
}

/* Marks only: the caller may still be using it; conn_sweep frees. */
void conn_drop(struct super *s, struct conn *c)
{
	if (c->gone)
		return;
	c->gone = true;
	if (s->holder == c) {
		s->holder = NULL;
		term_detach(s, false);
	}
	/* The program of an exec loses its terminal or its reader: as a hangup. */
	if (c->exec) {
		proc_signal(c->exec->src.fd, SIGHUP);
		c->exec->conn = NULL;
		c->exec = NULL;
	}
	source_close(s, &c->src);
}

void conn_sweep(struct super *s)
{
	struct conn **p = &s->conns;

	while (*p) {
		struct conn *c = *p;

		if (!c->gone) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		s->n_conns--;
		free(c);
	}
}

void conn_accept(struct super *s, struct source *src, uint32_t events)
{
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = {0};
	socklen_t n = sizeof(peer);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors: take it with the one in reserve, so that it does not ring for
		 * ever. */
		if ((errno == EMFILE || errno == ENFILE) && s->reserve_fd >= 0) {
			fd_close(&s->reserve_fd);
			fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
			fd_close(&fd);
			s->reserve_fd = dup(s->epoll_fd);
		}
		return;
	}
	/* The socket's folder is 0700; this is the second lock. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
		(peer.uid != 0 && peer.uid != geteuid()) || s->n_conns >= SUPER_CONNS_MAX) {
		close(fd);
		return;
	}
	conn_add(s, fd);
}
