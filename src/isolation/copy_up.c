/*
 * The mount option "tmpcopyup": a tmpfs starts with a copy of the folder that it hides.
 * Both sides are walked by descriptor; links are copied, never followed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "isolation/stages.h"

enum { DEPTH_MAX = 64, CHUNK_BYTES = 1 << 20 };

struct copy {
	const char *what;
	struct err *e;
};

static int copy_dir(const struct copy *c, int from, int to, unsigned int depth);

static int fail(const struct copy *c, const char *name)
{
	return err_sys(c->e, "cannot copy '%s' of '%s'", name, c->what);
}

static int copy_file(const struct copy *c, int from, int to, const char *name, const struct stat *st)
{
	AUTO_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_FD int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		return fail(c, name);
	while ((n = sendfile(out, in, NULL, CHUNK_BYTES)) > 0)
		;
	if (n < 0 || fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
		return fail(c, name);
	return 0;
}

static int copy_link(const struct copy *c, int from, int to, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail(c, name);
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0 || fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(c, name);
	return 0;
}

static int copy_subdir(const struct copy *c, int from, int to, const char *name, const struct stat *st, unsigned int depth)
{
	AUTO_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FD int out = -1;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return fail(c, name);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return fail(c, name);
	if (copy_dir(c, in, out, depth + 1) < 0)
		return -c->e->code;
	if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
		return fail(c, name);
	return 0;
}

static int copy_entry(const struct copy *c, int from, int to, const char *name, unsigned int depth)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(c, name);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(c, from, to, name, &st);
	case S_IFLNK:
		return copy_link(c, from, to, name, &st);
	case S_IFDIR:
		return copy_subdir(c, from, to, name, &st, depth);
	default:
		return 0; /* sockets, pipes and nodes mean nothing in a fresh tmpfs */
	}
}

static int copy_dir(const struct copy *c, int from, int to, unsigned int depth)
{
	struct dirent *de;
	DIR *d;
	int fd, r = 0;

	if (depth > DEPTH_MAX)
		return err_set(c->e, ELOOP, "cannot copy '%s': more than %d levels deep", c->what, DEPTH_MAX);
	fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(&fd);
		return fail(c, ".");
	}
	while (!r && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = copy_entry(c, from, to, de->d_name, depth);
	closedir(d);
	return r;
}

int copy_up(int from, int to, const char *what, struct err *e)
{
	const struct copy c = {.what = what, .e = e};

	return copy_dir(&c, from, to, 0);
}
