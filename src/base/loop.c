#include "base/loop.h"

#include <errno.h>
#include <poll.h>

#include "base/fd.h"

int loop_init(struct loop *l, struct err *e)
{
	*l = (struct loop){
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .lock = PTHREAD_MUTEX_INITIALIZER};
	return l->epoll_fd < 0 ? err_sys(e, "cannot make an epoll set") : 0;
}

void loop_release(struct loop *l)
{
	fd_close(&l->epoll_fd);
}

int loop_add(struct loop *l, struct loop_watch *w, uint32_t events, struct err *e)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0)
		return err_sys(e, "cannot watch descriptor %d", w->fd);
	return 0;
}

void loop_change(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_remove(struct loop *l, struct loop_watch *w)
{
	if (w->fd >= 0)
		epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
}

int loop_once(struct loop *l, int timeout_ms, struct err *e)
{
	struct pollfd p = {.fd = l->epoll_fd, .events = POLLIN};
	struct epoll_event ev;
	int n;

	n = poll(&p, 1, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : err_sys(e, "cannot wait for events");
	if (!n)
		return 0;
	pthread_mutex_lock(&l->lock);
	n = epoll_wait(l->epoll_fd, &ev, 1, 0);
	if (n == 1) {
		struct loop_watch *w = ev.data.ptr;

		w->ready(w, ev.events);
	}
	pthread_mutex_unlock(&l->lock);
	return n == 1;
}

int loop_run(struct loop *l, struct err *e)
{
	while (!l->stop)
		if (loop_once(l, -1, e) < 0)
			return -e->code;
	return 0;
}
