/*
 * Paths inside a tree that somebody else controls.  The policy is part of every call, the
 * kernel enforces it (openat2, Linux 5.6), and the result is a descriptor: the string is never
 * resolved again.  There is no fallback where openat2 is missing.
 *
 *	AUTO_FD int fd = path_open(root_fd, "/etc/passwd", O_RDONLY, PATH_IN_ROOT, e);
 */
#ifndef JAIL_BASE_PATH_H
#define JAIL_BASE_PATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum path_policy {
	/* dirfd is the root: absolute paths, ".." and symlinks stay inside; no magic links. */
	PATH_IN_ROOT,
	/* The path must stay beneath dirfd; leaving it is -EXDEV; no magic links. */
	PATH_BENEATH,
	/* No component, the last included, may be a symlink. */
	PATH_NO_SYMLINKS,
	/* As PATH_BENEATH and no mount point may be crossed. */
	PATH_NO_XDEV,
	/* All of it: beneath dirfd, on its mount, and no symlink on the way. */
	PATH_STRICT,
};

/* O_CLOEXEC is implied.  For O_CREAT the mode is 0600; returns an owned fd or -errno. */
int path_open(int dirfd, const char *path, int flags, enum path_policy policy, struct err *e)
	__attribute__((nonnull));
/* As path_open, without a record: for probing. */
int path_try(int dirfd, const char *path, int flags, enum path_policy policy)
	__attribute__((nonnull));

/*
 * Opens the directory path inside root (PATH_IN_ROOT), making missing components with mode.
 * Returns an owned O_PATH descriptor.  A component that exists and is no directory: -ENOTDIR.
 */
int path_mkdirs(int root, const char *path, mode_t mode, struct err *e) __attribute__((nonnull));
/*
 * As path_mkdirs for the parent, then makes the last component an empty regular file when it
 * is missing; returns an owned O_PATH descriptor of whatever is there (symlinks followed
 * inside the root).
 */
int path_mkfile(int root, const char *path, mode_t mode, struct err *e) __attribute__((nonnull));

/*
 * Splits into parent and last component.  *ret_dir is owned ("" for none).  "", "/", and paths
 * that end in "." or ".." give -EINVAL.
 */
int path_split(const char *path, char **ret_dir, const char **ret_base, struct err *e)
	__attribute__((nonnull));

/*
 * Removes name below dirfd with everything in it, without following symlinks and without ever
 * crossing a mount point: a mount inside is -EBUSY and names it, and what was mounted there is
 * untouched.  Missing is success.
 */
int path_rmtree(int dirfd, const char *name, struct err *e) __attribute__((nonnull));

/* A canonical absolute path without "", "." and ".." components, lexically; owned. */
char *path_clean(const char *path) __attribute__((malloc, returns_nonnull, nonnull));
/* True when path is base or below it; both clean. */
bool path_is_below(const char *path, const char *base) __attribute__((nonnull));
/* "/proc/self/fd/N" in a small buffer: for calls that only take paths.  Returns buf. */
char *path_of_fd(int fd, char buf[static 32]);

#endif
