#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"

int file_read_fd(int fd, const char *what, size_t max_bytes, struct buf *ret, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	char chunk[4096];

	buf_adds(&b, "");
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "cannot read '%s'", what);
		if (!n)
			break;
		if (b.n + (size_t)n > max_bytes)
			return err_set(e, EFBIG, "cannot read '%s': larger than the limit of %zu bytes", what, max_bytes);
		buf_add(&b, chunk, (size_t)n);
	}
	buf_release(ret);
	*ret = b;
	b = (struct buf){0};
	return 0;
}

int file_read(int dirfd, const char *name, size_t max_bytes, struct buf *ret, struct err *e)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", name);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine '%s'", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "cannot read '%s': not a regular file", name);
	return file_read_fd(fd, name, max_bytes, ret, e);
}

static int write_new(int dirfd, const char *tmp, const void *p, size_t n, mode_t mode, int flags)
{
	AUTO_FD int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, p, n);
	if (!r && fchmod(fd, mode) < 0)
		r = -errno;
	if (!r && (flags & FILE_SYNC) && fsync(fd) < 0)
		r = -errno;
	return r;
}

int file_replace(int dirfd, const char *name, const void *p, size_t n, mode_t mode, int flags, struct err *e)
{
	AUTO_FREE char *tmp = NULL;
	uint64_t salt = 0;
	int r;

	if (getrandom(&salt, sizeof(salt), 0) < 0)
		return err_sys(e, "cannot get random bytes");
	tmp = str_fmt(".%s.%016llx.tmp", name, (unsigned long long)salt);
	r = write_new(dirfd, tmp, p, n, mode, flags);
	if (!r && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (!r && (flags & FILE_SYNC)) {
		AUTO_FD int dir = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0 || fsync(dir) < 0)
			r = -errno;
	}
	if (r < 0) {
		unlinkat(dirfd, tmp, 0);
		return err_set(e, -r, "cannot write '%s': %s", name, strerrordesc_np(-r));
	}
	return 0;
}

int file_check_fs(int fd, enum file_kernel_fs fs, const char *what, struct err *e)
{
	static const struct {
		long magic;
		const char *name;
	} kinds[] = {
		[FILE_PROC] = {PROC_SUPER_MAGIC, "procfs"},
		[FILE_CGROUP1] = {CGROUP_SUPER_MAGIC, "cgroup v1"},
		[FILE_CGROUP2] = {CGROUP2_SUPER_MAGIC, "cgroup v2"},
		[FILE_SYSFS] = {SYSFS_MAGIC, "sysfs"},
	};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return err_sys(e, "cannot examine the filesystem of '%s'", what);
	if ((long)st.f_type != kinds[fs].magic)
		return err_set(e, EXDEV, "'%s' is not on %s: something else is mounted there", what, kinds[fs].name);
	return 0;
}

int file_write_kernel(int dirfd, const char *path, enum file_kernel_fs fs, const char *text, struct err *e)
{
	AUTO_FD int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	size_t n = strlen(text);
	ssize_t w;
	int r;

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", path);
	r = file_check_fs(fd, fs, path, e);
	if (r < 0)
		return r;
	/* One write: kernel files take a value whole and never half. */
	do
		w = write(fd, text, n);
	while (w < 0 && errno == EINTR);
	if (w < 0)
		return err_sys(e, "cannot write '%.80s' to '%s'", text, path);
	if ((size_t)w != n)
		return err_set(e, EIO, "cannot write '%.80s' to '%s': the kernel took only a part", text, path);
	return 0;
}
