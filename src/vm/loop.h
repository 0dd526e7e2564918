/*
 * The monitor's event loop: one thread, level-triggered epoll.
 *
 *	struct conn { struct vm_watch watch; ... };
 *	c->watch = (struct vm_watch){.fd = fd, .ready = conn_ready};
 *	r = vm_loop_add(loop, &c->watch, EPOLLIN, e);
 *
 * One event is taken at a time, and taken under the lock that other threads hold to change what
 * is watched; so whoever holds the lock may free any watch, a handler its own, and no stale
 * event reaches it afterwards.
 */
#ifndef JAIL_VM_LOOP_H
#define JAIL_VM_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

struct vm_loop;

struct vm_watch {
	int fd; /* borrowed; -1 while not watched */
	void (*ready)(struct vm_watch *w, uint32_t events);
};

struct vm_loop {
	int epoll_fd;
	bool stop;
	pthread_mutex_t lock; /* held while a handler runs; others take it to touch what those do */
};

int vm_loop_init(struct vm_loop *l, struct err *e) __attribute__((nonnull));
void vm_loop_release(struct vm_loop *l) __attribute__((nonnull));

int vm_loop_add(struct vm_loop *l, struct vm_watch *w, uint32_t events, struct err *e)
	__attribute__((nonnull));
/* Changes what is waited for; 0 keeps only errors and hang-ups. */
void vm_loop_change(struct vm_loop *l, struct vm_watch *w, uint32_t events)
	__attribute__((nonnull));
/* Forgets w; does not close its descriptor. */
void vm_loop_remove(struct vm_loop *l, struct vm_watch *w) __attribute__((nonnull));

/* Handles one event, waiting at most timeout_ms (-1: for ever); 1, 0 for none, or -errno. */
int vm_loop_once(struct vm_loop *l, int timeout_ms, struct err *e) __attribute__((nonnull));
/* Runs until a handler sets l->stop. */
int vm_loop_run(struct vm_loop *l, struct err *e) __attribute__((nonnull));

#endif
