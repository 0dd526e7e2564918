/* Directories of groups, and the processes in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/cgroup_int.h"

int cgroup_read(int dir_fd, const char *file, struct buf *ret, struct err *e)
{
	AUTO_FD int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", file);
	return file_read_fd(fd, file, CGROUP_FILE_MAX, ret, e);
}

static int add_pids(int dir_fd, struct cgroup_pids *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	int r = cgroup_read(dir_fd, "cgroup.procs", &text, e);

	/* A v2 group in threaded mode has no list of processes; its domain's list has them. */
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return r;
	for (char *p = text.p; *p;) {
		long pid = strtol(p, &p, 10);

		/* 0 stands for a process outside our pid namespace: nothing we could signal. */
		if (pid > 0) {
			ret->v = mem_grow(ret->v, &ret->cap, ret->n + 1, sizeof(*ret->v));
			ret->v[ret->n++] = (pid_t)pid;
		}
		p += strspn(p, "\n ");
	}
	return 0;
}

/* Calls fn for each child group; owns nothing of the directory afterwards. */
static int each_child(int dir_fd, int (*fn)(int dir_fd, const char *name, void *ctx), void *ctx, struct err *e)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *de;
	DIR *d;

	if (fd < 0)
		return err_sys(e, "cannot open a cgroup's directory");
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(e, "cannot list a cgroup's directory");
	}
	while (!r && (de = readdir(d)))
		if (de->d_type == DT_DIR && strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = fn(fd, de->d_name, ctx);
	closedir(d);
	return r;
}

struct pids_walk {
	struct cgroup_pids *ret;
	struct err *e;
	int depth;
};

static int pids_walk(int dir_fd, struct pids_walk *w);

static int pids_child(int dir_fd, const char *name, void *ctx)
{
	struct pids_walk *w = ctx;
	AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0) /* gone meanwhile */
		return 0;
	w->depth++;
	r = pids_walk(fd, w);
	w->depth--;
	return r;
}

static int pids_walk(int dir_fd, struct pids_walk *w)
{
	int r = add_pids(dir_fd, w->ret, w->e);

	if (r == -ENODEV) /* removed meanwhile */
		return 0;
	if (r < 0)
		return r;
	if (w->depth >= CGROUP_DEPTH_MAX)
		return err_set(w->e, ELOOP, "a cgroup has child groups more than %d levels deep", CGROUP_DEPTH_MAX);
	return each_child(dir_fd, pids_child, w, w->e);
}

static int pid_compare(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int cgroup_tree_pids(int dir_fd, struct cgroup_pids *ret, struct err *e)
{
	struct pids_walk w = {.ret = ret, .e = e};
	int r = pids_walk(dir_fd, &w);
	size_t n = 0;

	if (r < 0 || !ret->n)
		return r;
	qsort(ret->v, ret->n, sizeof(*ret->v), pid_compare);
	for (size_t i = 0; i < ret->n; i++)
		if (!i || ret->v[i] != ret->v[i - 1])
			ret->v[n++] = ret->v[i];
	ret->n = n;
	return 0;
}

static void nap(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

bool cgroup_pids_wait(const struct cgroup_pids *pids, uint64_t deadline_ms)
{
	uint64_t now = time_mono_ms();
	int fd = -ESRCH;

	if (now >= deadline_ms)
		return false;
	for (size_t i = 0; i < pids->n && fd < 0; i++)
		fd = proc_pidfd(pids->v[i]);
	if (fd < 0) {
		/*
		 * All are past the point where they can be named but still hold the group: the
		 * kernel tells nobody when they let go.
		 */
		nap();
		return true;
	}
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t left = deadline_ms - now;

	poll(&p, 1, (int)MIN(left, 60000));
	close(fd);
	return true;
}

struct remove_walk {
	uint64_t deadline_ms;
	struct err *e;
	int depth;
};

static int remove_group(int parent_fd, const char *name, struct remove_walk *w);

static int remove_child(int dir_fd, const char *name, void *ctx)
{
	struct remove_walk *w = ctx;
	int r;

	if (w->depth >= CGROUP_DEPTH_MAX)
		return err_set(w->e, ELOOP, "cannot remove cgroup '%s': more than %d levels deep", name, CGROUP_DEPTH_MAX);
	w->depth++;
	r = remove_group(dir_fd, name, w);
	w->depth--;
	return r;
}

/* rmdir said EBUSY: child groups, processes, or processes that are just exiting. */
static int remove_busy(int parent_fd, const char *name, struct remove_walk *w)
{
	AUTO_FD int dir = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct cgroup_pids pids = {0};
	int r;

	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(w->e, "cannot open cgroup '%s'", name);
	r = each_child(dir, remove_child, w, w->e);
	if (r < 0)
		return r;
	r = add_pids(dir, &pids, w->e);
	if (r >= 0 && !cgroup_pids_wait(&pids, w->deadline_ms))
		r = pids.n ? err_set(w->e, EBUSY, "cannot remove cgroup '%s': process %d is in it", name, (int)pids.v[0])
			   : err_set(w->e, EBUSY, "cannot remove cgroup '%s': the kernel says it is in use", name);
	free(pids.v);
	return r == -ENODEV ? 0 : r;
}

static int remove_group(int parent_fd, const char *name, struct remove_walk *w)
{
	for (;;) {
		int r;

		if (!unlinkat(parent_fd, name, AT_REMOVEDIR) || errno == ENOENT)
			return 0;
		if (errno != EBUSY && errno != ENOTEMPTY)
			return err_sys(w->e, "cannot remove cgroup '%s'", name);
		r = remove_busy(parent_fd, name, w);
		if (r < 0)
			return r;
	}
}

int cgroup_tree_remove(int parent_fd, const char *name, uint64_t deadline_ms, struct err *e)
{
	struct remove_walk w = {.deadline_ms = deadline_ms, .e = e};

	return remove_group(parent_fd, name, &w);
}
