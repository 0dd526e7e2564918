/*
 * An event loop: one thread, level-triggered epoll.
 *
 *	struct conn { struct loop_watch watch; ... };
 *	c->watch = (struct loop_watch){.fd = fd, .ready = conn_ready};
 *	r = loop_add(loop, &c->watch, EPOLLIN, e);
 *
 * One event is taken at a time, and taken under the lock that other threads hold to change what
 * is watched; so whoever holds the lock may free any watch, a handler its own, and no stale
 * event reaches it afterwards.
 */
#ifndef JAIL_BASE_LOOP_H
#define JAIL_BASE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

struct loop_watch {
	int fd; /* borrowed; -1 while not watched */
	void (*ready)(struct loop_watch *w, uint32_t events);
};

struct loop {
	int epoll_fd;
	bool stop;
	pthread_mutex_t lock; /* held while a handler runs; others take it to touch what those do */
};

int loop_init(struct loop *l, struct err *e) __attribute__((nonnull));
void loop_release(struct loop *l) __attribute__((nonnull));

int loop_add(struct loop *l, struct loop_watch *w, uint32_t events, struct err *e)
	__attribute__((nonnull));
/* Changes what is waited for; 0 keeps only errors and hang-ups. */
void loop_change(struct loop *l, struct loop_watch *w, uint32_t events) __attribute__((nonnull));
/* Forgets w; does not close its descriptor. */
void loop_remove(struct loop *l, struct loop_watch *w) __attribute__((nonnull));

/* Handles one event, waiting at most timeout_ms (-1: for ever); 1, 0 for none, or -errno. */
int loop_once(struct loop *l, int timeout_ms, struct err *e) __attribute__((nonnull));
/* Runs until a handler sets l->stop. */
int loop_run(struct loop *l, struct err *e) __attribute__((nonnull));

#endif
