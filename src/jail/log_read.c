/* Reading a log back; what the program wrote is data here and stays so. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/internal.h"
#include "jail/log.h"

enum { READ_BYTES = 64 * 1024, FILES_MAX = 100 };

struct jail_logs {
	struct jail_env *env; /* borrowed */
	char name[JAIL_NAME_MAX + 1];
	uint32_t jid;
	int dir_fd, fd, notify_fd;
	int file; /* number of the file being read; 0 is "log" */
	bool follow, ended;
	uint64_t since_ns, skip;
	char buf[READ_BYTES];
	size_t at, n;
};

static void file_name(int k, char ret[static 16])
{
	snprintf(ret, 16, k ? "log.%d" : "log", k);
}

static int open_number(struct jail_logs *l, int k)
{
	char name[16];
	struct stat st;

	file_name(k, name);
	AUTO_FD int fd =
		openat(l->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	return fd_take(&fd);
}

/* Opens the oldest file that there is. */
static void open_oldest(struct jail_logs *l)
{
	for (l->file = FILES_MAX; l->file >= 0; l->file--) {
		l->fd = open_number(l, l->file);
		if (l->fd >= 0)
			return;
	}
	l->file = 0;
}

static int two(const char *p)
{
	return (p[0] - '0') * 10 + (p[1] - '0');
}

/* "2026-01-02T03:04:05.123456789Z stdout F text" -> line; false for what we did not write. */
bool log_line_parse(const char *p, size_t n, struct jail_log_line *ret)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ std??? ? ";
	struct tm tm = {0};
	uint64_t ns = 0;

	if (n < sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] == 'd' && i < 30 ? p[i] < '0' || p[i] > '9'
					     : form[i] != '?' && p[i] != form[i])
			return false;
	tm = (struct tm){.tm_year = two(p) * 100 + two(p + 2) - 1900,
		.tm_mon = two(p + 5) - 1,
		.tm_mday = two(p + 8),
		.tm_hour = two(p + 11),
		.tm_min = two(p + 14),
		.tm_sec = two(p + 17)};
	for (int i = 20; i < 29; i++)
		ns = ns * 10 + (uint64_t)(p[i] - '0');
	ret->time_ns = (uint64_t)timegm(&tm) * 1000000000 + ns;
	ret->is_stderr = !memcmp(p + 34, "err", 3);
	ret->partial = p[38] == 'P';
	ret->text = p + sizeof(form) - 1;
	ret->n = n - (sizeof(form) - 1);
	return (ret->is_stderr || !memcmp(p + 34, "out", 3)) && (p[38] == 'P' || p[38] == 'F');
}

/* The next raw line in the buffer, filling it from the file; 0 at the file's end. */
static int raw_line(struct jail_logs *l, const char **ret, size_t *ret_n)
{
	for (;;) {
		char *nl = memchr(l->buf + l->at, '\n', l->n - l->at);
		ssize_t r;

		if (nl) {
			*ret = l->buf + l->at;
			*ret_n = (size_t)(nl - *ret);
			l->at += *ret_n + 1;
			return 1;
		}
		memmove(l->buf, l->buf + l->at, l->n - l->at);
		l->n -= l->at;
		l->at = 0;
		if (l->n == sizeof(l->buf))
			l->n = 0; /* no line of ours is that long: damaged */
		r = l->fd < 0 ? 0 : read(l->fd, l->buf + l->n, sizeof(l->buf) - l->n);
		if (r <= 0)
			return r < 0 ? -errno : 0;
		l->n += (size_t)r;
	}
}

/* Goes to the next newer file; false when the newest is being read already. */
static bool next_file(struct jail_logs *l)
{
	struct stat now, open_one;
	int fd;

	if (l->file > 0) {
		fd = open_number(l, --l->file);
	} else {
		/* Rotated since: what we hold is log.1 by now. */
		if (fstatat(l->dir_fd, "log", &now, AT_SYMLINK_NOFOLLOW) < 0 ||
			(l->fd >= 0 &&
				(fstat(l->fd, &open_one) < 0 || now.st_ino == open_one.st_ino)))
			return false;
		fd = open_number(l, 0);
		if (fd < 0)
			return false;
	}
	fd_close(&l->fd);
	l->fd = fd;
	l->at = l->n = 0;
	return true;
}

static int next_record(struct jail_logs *l, struct jail_log_line *ret, struct err *e)
{
	const char *p = NULL;
	size_t n = 0;
	int r;

	for (;;) {
		r = raw_line(l, &p, &n);
		if (r < 0)
			return err_set(e, -r, "cannot read the log of jail '%s': %s", l->name,
				strerrordesc_np(-r));
		if (!r && !next_file(l))
			return 0;
		if (r && log_line_parse(p, n, ret) && ret->time_ns >= l->since_ns)
			return 1;
	}
}

static bool still_up(struct jail_logs *l)
{
	struct idx_record r;
	uint32_t slot = idx_find(l->env->index, l->name);

	return slot != IDX_NONE && idx_read(l->env->index, slot, &r) && r.jid == l->jid &&
	       !idx_orphan(&r) && r.state != JAIL_CREATED && r.state != JAIL_STOPPED &&
	       r.state != JAIL_BROKEN && r.state != JAIL_DIED;
}

static int wait_for_more(struct jail_logs *l, struct err *e)
{
	struct pollfd p = {.fd = l->notify_fd, .events = POLLIN};
	char drain[4096];

	/* The second bounds how late the jail's end is seen; without inotify it is shorter. */
	if (poll(&p, 1, l->notify_fd >= 0 ? 1000 : 100) < 0)
		return errno == EINTR ? err_set(e, EINTR, "interrupted")
				      : err_sys(e, "cannot wait for the log");
	if (p.revents && read(l->notify_fd, drain, sizeof(drain)) < 0 && errno != EAGAIN)
		fd_close(&l->notify_fd);
	return 0;
}

int jail_logs_next(struct jail_logs *l, struct jail_log_line *ret, struct err *e)
{
	for (;;) {
		int r = next_record(l, ret, e);

		if (r > 0 && l->skip) {
			l->skip -= !ret->partial;
			continue;
		}
		if (r || !l->follow || l->ended)
			return r;
		/* One more look after the end was seen: the last lines may have come before it. */
		l->ended = !still_up(l);
		if (!l->ended && wait_for_more(l, e) < 0)
			return -e->code;
	}
}

/* How many whole lines there are, to skip all but the last tail of them. */
static int count_lines(struct jail_logs *l, uint64_t *ret, struct err *e)
{
	struct jail_log_line line;
	int r;

	*ret = 0;
	open_oldest(l);
	while ((r = next_record(l, &line, e)) > 0)
		*ret += !line.partial;
	fd_close(&l->fd);
	l->at = l->n = 0;
	return r;
}

int jail_logs_open(struct jail_env *env, const char *which, const struct jail_logs_opts *o,
	struct jail_logs **ret, struct err *e)
{
	struct jail_info info;
	struct jail_logs *l;
	uint64_t lines = 0;
	struct err none = {0};

	if (jail_find(env, which, &info, e) < 0)
		return -e->code;
	l = mem_new(sizeof(*l));
	*l = (struct jail_logs){.env = env,
		.jid = info.jid,
		.fd = -1,
		.notify_fd = -1,
		.follow = o->follow,
		.since_ns =
			o->since_ms > UINT64_MAX / 1000000 ? UINT64_MAX : o->since_ms * 1000000};
	memcpy(l->name, info.name, sizeof(l->name));
	/* A jail of jail_run has no folder on disk: its log is with its running state. */
	l->dir_fd =
		info.ephemeral ? env_run_dir(env, info.name, e) : env_jail_dir(env, info.name, e);
	if (l->dir_fd < 0 || (o->tail != UINT64_MAX && count_lines(l, &lines, e) < 0)) {
		jail_logs_free(l);
		return -e->code;
	}
	l->skip = o->tail != UINT64_MAX && lines > o->tail ? lines - o->tail : 0;
	open_oldest(l);
	if (l->fd < 0 && !o->follow && !info.ephemeral && def_keeps_no_log(env, info.name, &none)) {
		jail_logs_free(l);
		return err_set(e, ENOENT, "jail '%s' keeps no log (--log none)", info.name);
	}
	if (o->follow) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", l->dir_fd);
		l->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (l->notify_fd >= 0)
			inotify_add_watch(l->notify_fd, path,
				IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF);
	}
	*ret = l;
	return 0;
}

void jail_logs_free(struct jail_logs *l)
{
	if (!l)
		return;
	fd_close(&l->dir_fd);
	fd_close(&l->fd);
	fd_close(&l->notify_fd);
	free(l);
}
