#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum { OPENAT2_RETRIES = 128, RMTREE_DEPTH_MAX = 4096 };

static const uint64_t resolve_flags[] = {
	[PATH_IN_ROOT] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	[PATH_BENEATH] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	[PATH_NO_SYMLINKS] = RESOLVE_NO_SYMLINKS,
	[PATH_NO_XDEV] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	[PATH_STRICT] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
};

int path_try(int dirfd, const char *path, int flags, enum path_policy policy)
{
	struct open_how how = {.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? 0600 : 0,
		.resolve = resolve_flags[policy]};

	/* ".." under IN_ROOT and BENEATH gives EAGAIN when a rename runs beside it; openat2(2). */
	for (int i = 0;; i++) {
		int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0)
			return fd;
		if ((errno != EAGAIN && errno != EINTR) || i == OPENAT2_RETRIES)
			return -errno;
	}
}

int path_open(int dirfd, const char *path, int flags, enum path_policy policy, struct err *e)
{
	int fd = path_try(dirfd, path, flags, policy);

	if (fd >= 0)
		return fd;
	errno = -fd;
	if (fd == -ENOSYS)
		return err_set(e, ENOSYS, "cannot open '%s': this kernel has no openat2; Linux 5.6 or newer is needed", path);
	return err_sys(e, "cannot open '%s'", path);
}

int path_split(const char *path, char **ret_dir, const char **ret_base, struct err *e)
{
	const char *end = path + strlen(path), *base;

	while (end > path && end[-1] == '/')
		end--;
	for (base = end; base > path && base[-1] != '/'; base--)
		;
	if (base == end || *end == '/' || !strcmp(base, ".") || !strcmp(base, ".."))
		return err_set(e, EINVAL, "path '%s' has no usable last component", path);
	*ret_dir = str_dup_n(path, (size_t)(base - path));
	*ret_base = base;
	return 0;
}

static int mkdirs_slow(int root, const char *path, mode_t mode, struct err *e)
{
	AUTO_FREE char *done = str_dup("");
	AUTO_FREE char *rest = str_dup(path);
	char *save = NULL;
	AUTO_FD int fd = path_open(root, ".", O_PATH | O_DIRECTORY, PATH_IN_ROOT, e);

	if (fd < 0)
		return fd;
	for (char *name = strtok_r(rest, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		char *next = str_fmt("%s/%s", done, name);
		int child;

		free(done);
		done = next;
		/* Resolved from the root each time, so an inner symlink or ".." stays inside it. */
		child = path_try(root, done, O_PATH | O_DIRECTORY, PATH_IN_ROOT);
		if (child == -ENOENT) {
			if (!strcmp(name, ".") || !strcmp(name, ".."))
				return err_set(e, ENOENT, "cannot make directory '%s': parent is missing", done);
			if (mkdirat(fd, name, mode) < 0 && errno != EEXIST)
				return err_sys(e, "cannot make directory '%s'", done);
			child = path_try(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, PATH_BENEATH);
		}
		if (child < 0)
			return err_set(e, -child, "cannot make directory '%s': %s", done, strerrordesc_np(-child));
		fd_close(&fd);
		fd = child;
	}
	return fd_take(&fd);
}

int path_mkdirs(int root, const char *path, mode_t mode, struct err *e)
{
	int fd = path_try(root, *path ? path : ".", O_PATH | O_DIRECTORY, PATH_IN_ROOT);

	return fd >= 0 ? fd : mkdirs_slow(root, path, mode, e);
}

int path_mkfile(int root, const char *path, mode_t mode, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	const char *base;
	int r = path_try(root, path, O_PATH, PATH_IN_ROOT);

	if (r >= 0)
		return r;
	if (path_split(path, &dir, &base, e) < 0)
		return -e->code;
	AUTO_FD int parent = path_mkdirs(root, dir, 0755, e);
	if (parent < 0)
		return parent;
	AUTO_FD int fd = openat(parent, base, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0 && errno != EEXIST)
		return err_sys(e, "cannot make file '%s'", path);
	return path_open(root, path, O_PATH, PATH_IN_ROOT, e);
}

struct rmtree {
	uint64_t mnt_id;
	const char *top;
	struct err *e;
};

static int rm_dir(const struct rmtree *rt, int parent, const char *name, unsigned int depth);

static int rm_entry(const struct rmtree *rt, int dirfd, const char *name, unsigned char type, unsigned int depth)
{
	if (type != DT_DIR) {
		if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
			return 0;
		if (errno == EBUSY)
			return err_set(rt->e, EBUSY, "cannot remove '%s': something is mounted on '%s' in it", rt->top, name);
		if (errno != EISDIR)
			return err_sys(rt->e, "cannot remove '%s' in '%s'", name, rt->top);
	}
	return rm_dir(rt, dirfd, name, depth + 1);
}

static int rm_children(const struct rmtree *rt, DIR *d, const char *name, unsigned int depth)
{
	struct dirent *de;

	while ((errno = 0, de = readdir(d))) {
		int r;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		r = rm_entry(rt, dirfd(d), de->d_name, de->d_type, depth);
		if (r < 0)
			return r;
	}
	return errno ? err_sys(rt->e, "cannot list '%s' in '%s'", name, rt->top) : 0;
}

static int rm_dir(const struct rmtree *rt, int parent, const char *name, unsigned int depth)
{
	struct statx st;
	DIR *d;
	int fd, r;

	if (depth > RMTREE_DEPTH_MAX)
		return err_set(rt->e, ELOOP, "cannot remove '%s': more than %d levels deep", rt->top, RMTREE_DEPTH_MAX);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(rt->e, "cannot remove '%s' in '%s'", name, rt->top);
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || st.stx_mnt_id != rt->mnt_id) {
		close(fd);
		return err_set(rt->e, EBUSY, "cannot remove '%s': something is mounted on '%s' in it", rt->top, name);
	}
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(rt->e, "cannot list '%s' in '%s'", name, rt->top);
	}
	r = rm_children(rt, d, name, depth);
	closedir(d);
	if (r < 0)
		return r;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(rt->e, "cannot remove directory '%s' in '%s'", name, rt->top);
	return 0;
}

int path_rmtree(int dirfd, const char *name, struct err *e)
{
	struct statx st;
	struct rmtree rt = {.top = name, .e = e};

	if (statx(dirfd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return err_sys(e, "cannot examine the folder of '%s'", name);
	rt.mnt_id = st.stx_mnt_id;
	return rm_entry(&rt, dirfd, name, DT_UNKNOWN, 0);
}

char *path_clean(const char *path)
{
	AUTO_FREE char *copy = str_dup(path);
	struct buf out = {0};
	char *save = NULL;

	buf_adds(&out, "");
	for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
		if (!strcmp(c, "."))
			continue;
		if (!strcmp(c, "..")) {
			while (out.n && out.p[--out.n] != '/')
				;
			out.p[out.n] = '\0';
			continue;
		}
		buf_addf(&out, "/%s", c);
	}
	if (!out.n)
		buf_adds(&out, "/");
	return out.p;
}

bool path_is_below(const char *path, const char *base)
{
	size_t n = strlen(base);

	if (!strcmp(base, "/"))
		return true;
	return !strncmp(path, base, n) && (path[n] == '/' || !path[n]);
}

char *path_of_fd(int fd, char buf[static 32])
{
	snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return buf;
}
