/*
 * The terminal and the log.  Nothing is kept beyond one buffer for each direction: who does not
 * read stops the one who writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/super_int.h"

/* ---- pipes to the log ---- */

static void on_output(struct super *s, struct source *src, uint32_t events)
{
	int stream = (int)(src - s->out);
	ssize_t n = read(src->fd, s->to_client, sizeof(s->to_client));

	(void)events;
	if (n > 0 && s->up.log)
		log_add(s->up.log, stream, s->to_client, (uint32_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		source_close(s, src);
}

void logs_open(struct super *s)
{
	for (int i = 0; i < LOG_STREAMS; i++) {
		if (s->up.out_fd[i] < 0)
			continue;
		s->out[i] = (struct source){.on = on_output, .fd = fd_take(&s->up.out_fd[i])};
		source_add(s, &s->out[i], EPOLLIN);
	}
}

/* What lies in the pipes when the program has ended is its last words. */
void logs_close(struct super *s)
{
	for (int i = 0; i < LOG_STREAMS; i++) {
		/* Somebody else may hold the pipe and write for ever: 1 MiB is words enough. */
		for (int k = 0; s->out[i].fd >= 0 && k < 128; k++) {
			ssize_t n = read(s->out[i].fd, s->to_client, sizeof(s->to_client));

			if (n <= 0)
				break;
			if (s->up.log)
				log_add(s->up.log, i, s->to_client, (uint32_t)n);
		}
		source_close(s, &s->out[i]);
	}
}

/* ---- the terminal ---- */

/* Watches exactly what can make progress. */
static void rewatch(struct super *s)
{
	bool held = s->data.fd >= 0;

	source_set(
		s, &s->master, (s->n_to_client ? 0 : EPOLLIN) | (s->n_to_program ? EPOLLOUT : 0));
	if (held)
		source_set(s, &s->data,
			(s->n_to_program ? 0 : EPOLLIN) | (s->n_to_client ? EPOLLOUT : 0));
}

static void flush_to_client(struct super *s)
{
	while (s->n_to_client) {
		ssize_t n = s->data.fd < 0 ? (ssize_t)s->n_to_client
					   : send(s->data.fd, s->to_client + s->at_to_client,
						     s->n_to_client, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			term_detach(s, false);
			continue;
		}
		s->at_to_client += (uint32_t)n;
		s->n_to_client -= (uint32_t)n;
	}
	s->at_to_client = 0;
}

static void flush_to_program(struct super *s)
{
	while (s->n_to_program && s->master.fd >= 0) {
		ssize_t n = write(s->master.fd, s->to_program + s->at_to_program, s->n_to_program);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			n = (ssize_t)s->n_to_program; /* nobody reads: the program has closed it */
		s->at_to_program += (uint32_t)n;
		s->n_to_program -= (uint32_t)n;
	}
	s->n_to_program = s->at_to_program = 0;
}

/* False when there is nothing more. */
static bool read_master(struct super *s)
{
	ssize_t n = read(s->master.fd, s->to_client, sizeof(s->to_client));

	if (n <= 0)
		return false;
	if (s->up.log)
		log_add(s->up.log, LOG_STDOUT, s->to_client, (uint32_t)n);
	s->at_to_client = 0;
	s->n_to_client = (uint32_t)n;
	flush_to_client(s);
	return true;
}

static void on_master(struct super *s, struct source *src, uint32_t events)
{
	if (events & EPOLLOUT)
		flush_to_program(s);
	if ((events & (EPOLLIN | EPOLLHUP)) && !s->n_to_client && !read_master(s) &&
		(events & EPOLLHUP)) {
		/*
		 * Every slave is closed.  A program may open /dev/console again, but EPOLLHUP would
		 * be reported without end: it is watched again when somebody attaches.
		 */
		source_set(s, src, 0);
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
		return;
	}
	rewatch(s);
}

static void on_data(struct super *s, struct source *src, uint32_t events)
{
	if (events & EPOLLOUT)
		flush_to_client(s);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t n = s->n_to_program ? -1
					    : recv(src->fd, s->to_program, sizeof(s->to_program),
						      MSG_DONTWAIT);

		if (n == 0 || (events & EPOLLERR)) {
			term_detach(s, false);
			rewatch(s);
			return;
		}
		if (n > 0) {
			s->at_to_program = 0;
			s->n_to_program = (uint32_t)n;
			flush_to_program(s);
		}
	}
	rewatch(s);
}

int term_open(struct super *s, struct err *e)
{
	s->master = (struct source){.on = on_master, .fd = fd_take(&s->up.jail.console_fd)};
	s->n_to_client = s->n_to_program = 0;
	if (s->master.fd < 0)
		return 0;
	if (fd_set_nonblock(s->master.fd, 1) < 0 || source_add(s, &s->master, EPOLLIN) < 0)
		return err_set(e, EIO, "cannot watch the jail's terminal");
	return 0;
}

void term_resize(struct super *s, uint16_t rows, uint16_t cols)
{
	struct winsize w = {.ws_row = rows, .ws_col = cols};

	if (s->master.fd >= 0 && rows && cols)
		ioctl(s->master.fd, TIOCSWINSZ, &w);
}

int term_attach(
	struct super *s, struct conn *c, uint16_t rows, uint16_t cols, int *ret_fd, struct err *e)
{
	struct winsize now = {0};
	int pair[2];

	if (s->master.fd < 0)
		return err_set(e, ENOTTY,
			"jail '%s' has no terminal; give it one with --terminal, or use 'jail "
			"exec'",
			s->name);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, "cannot attach to the terminal");
	term_detach(s, true);
	s->data = (struct source){.on = on_data, .fd = pair[0]};
	s->holder = c;
	source_add(s, &s->data, EPOLLIN);
	s->master.events = 0;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->master.fd, NULL);
	source_add(s, &s->master, EPOLLIN);
	/* Equal sizes send no SIGWINCH, and without one a full-screen program does not redraw. */
	if (ioctl(s->master.fd, TIOCGWINSZ, &now) == 0 && now.ws_row == rows &&
		now.ws_col == cols && rows > 1)
		term_resize(s, (uint16_t)(rows - 1), cols);
	term_resize(s, rows, cols);
	rewatch(s);
	*ret_fd = pair[1];
	return 0;
}

void term_detach(struct super *s, bool tell)
{
	if (s->data.fd < 0)
		return;
	source_close(s, &s->data);
	if (tell && s->holder)
		send_msg(s, s->holder, MSG_DETACHED, 0, -1);
	s->holder = NULL;
}

/* The program has ended: its last output goes to who holds the terminal, within a second. */
void term_close(struct super *s)
{
	for (int i = 0; s->master.fd >= 0 && i < 1000; i++) {
		flush_to_client(s);
		if (s->n_to_client)
			usleep(1000);
		else if (!read_master(s))
			break;
	}
	source_close(s, &s->master);
}
