/*
 * File descriptors: ownership, whole reads and writes, and passing over sockets.
 *
 *	AUTO_FD int fd = path_open(root, "etc/passwd", O_RDONLY, PATH_IN_ROOT, e);
 *	if (fd < 0)
 *		return fd;
 *	return fd_take(&fd);
 */
#ifndef JAIL_BASE_FD_H
#define JAIL_BASE_FD_H

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

void fd_close(int *fd) __attribute__((nonnull)); /* closes when >= 0 and sets to -EBADF */
int fd_take(int *fd) __attribute__((nonnull));	 /* gives ownership to the caller */
#define AUTO_FD __attribute__((cleanup(fd_close)))

/* Reads exactly n bytes, or to end of file; returns the bytes read or -errno.  Restarts on EINTR. */
ssize_t fd_read_full(int fd, void *p, size_t n) __attribute__((nonnull));
/* Writes all n bytes; returns 0 or -errno.  Restarts on EINTR. */
int fd_write_full(int fd, const void *p, size_t n) __attribute__((nonnull));

enum { FD_PASS_MAX = 16 };

/* Sends one message with up to FD_PASS_MAX descriptors; returns 0 or -errno.  No SIGPIPE. */
int fd_send(int sock, const void *p, size_t n, const int *fds, size_t n_fds);
/*
 * Receives one message of at most n bytes and up to *n_fds descriptors, which the caller then
 * owns (CLOEXEC is set).  Returns the message's size, 0 at end of file, or -errno; a message
 * with more bytes or descriptors than asked for is refused whole with -EMSGSIZE.
 */
ssize_t fd_recv(int sock, void *p, size_t n, int *fds, size_t *n_fds);

int fd_set_cloexec(int fd, int on);
int fd_set_nonblock(int fd, int on);
/* Closes every descriptor >= 3 that is not in keep (ascending order not needed). */
int fd_close_others(const int *keep, size_t n, struct err *e);

#endif
