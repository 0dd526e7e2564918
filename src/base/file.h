/*
 * Whole files: bounded reads, atomic writes, and writes into kernel filesystems that are
 * proven to land there.
 *
 *	AUTO_BUF struct buf text = {0};
 *	r = file_read(dirfd, "jail.json", 1 << 20, &text, e);
 */
#ifndef JAIL_BASE_FILE_H
#define JAIL_BASE_FILE_H

#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

/*
 * Reads the regular file name below dirfd, without following a final symlink; more than
 * max_bytes is -EFBIG, a FIFO, device or directory -EINVAL (never blocks).
 */
int file_read(int dirfd, const char *name, size_t max_bytes, struct buf *ret, struct err *e)
	__attribute__((nonnull));
/* The same from an open descriptor of any kind, from its current offset. */
int file_read_fd(int fd, const char *what, size_t max_bytes, struct buf *ret, struct err *e)
	__attribute__((nonnull));

/*
 * Replaces name below dirfd: a new file with a unique name, written, synced (FILE_SYNC),
 * renamed over, directory synced.  A crash leaves the old or the new content, never a mixture.
 */
enum { FILE_SYNC = 1 };
int file_replace(int dirfd, const char *name, const void *p, size_t n, mode_t mode, int flags,
	struct err *e) __attribute__((nonnull));

/* Kinds of kernel filesystem that a write is proven to land in (fstatfs magic). */
enum file_kernel_fs { FILE_PROC, FILE_CGROUP1, FILE_CGROUP2, FILE_SYSFS };
/* Returns 0 when fd is on that filesystem; -EXDEV otherwise. */
int file_check_fs(int fd, enum file_kernel_fs fs, const char *what, struct err *e)
	__attribute__((nonnull));
/* One write(2) of text to path below dirfd, on that filesystem or not at all. */
int file_write_kernel(int dirfd, const char *path, enum file_kernel_fs fs, const char *text,
	struct err *e) __attribute__((nonnull));

#endif
