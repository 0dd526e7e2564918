#include "jail/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* The log lies where only the caller writes; what is not a plain file of one name is not ours. */
static int open_file(struct log_writer *w, int extra, struct err *e)
{
	AUTO_FD int fd = openat(w->dir_fd, "log",
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			extra,
		0600);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "cannot open the jail's log");
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine the jail's log");
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return err_set(e, EINVAL,
			"cannot open the jail's log: something else stands in its place");
	w->size = (uint64_t)st.st_size;
	return fd_take(&fd);
}

int log_open(struct log_writer *w, int dir_fd, uint64_t max_bytes, uint32_t files, struct err *e)
{
	memset(w, 0, offsetof(struct log_writer, out));
	w->n_out = 0;
	w->max_bytes = max_bytes ? max_bytes : LOG_MAX_BYTES;
	w->files = files ? files : LOG_FILES;
	w->fd = -1;
	w->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	if (w->dir_fd < 0)
		return err_sys(e, "cannot open the jail's log");
	w->fd = open_file(w, 0, e);
	if (w->fd < 0)
		fd_close(&w->dir_fd);
	return w->fd < 0 ? -e->code : 0;
}

/* log.1 becomes log.2 and so on; the oldest goes. */
static void rotate(struct log_writer *w)
{
	char from[16], to[16];
	struct err e = {0};

	fd_close(&w->fd);
	for (uint32_t i = w->files - 1; i > 0; i--) {
		snprintf(to, sizeof(to), "log.%u", i);
		snprintf(from, sizeof(from), i > 1 ? "log.%u" : "log", i - 1);
		renameat(w->dir_fd, from, w->dir_fd, to);
	}
	if (w->files == 1)
		unlinkat(w->dir_fd, "log", 0);
	w->fd = open_file(w, 0, &e);
}

static void flush(struct log_writer *w)
{
	int r;

	if (!w->n_out)
		return;
	if (w->size && w->size + w->n_out > w->max_bytes)
		rotate(w);
	r = w->fd < 0 ? -EBADF : fd_write_full(w->fd, w->out, w->n_out);
	if (r < 0) {
		/* A torn line must not swallow the next one. */
		w->lost_bytes += w->n_out;
		if (w->fd >= 0 && ftruncate(w->fd, (off_t)w->size) < 0)
			fd_close(&w->fd);
	} else {
		w->size += w->n_out;
	}
	w->n_out = 0;
}

static void put_record(struct log_writer *w, const char *stamp, uint32_t n_stamp, int stream,
	bool ends, const char *p, uint32_t n)
{
	static const char *const names[] = {" stdout", " stderr"};

	if (w->n_out + n_stamp + n + 16 > sizeof(w->out))
		flush(w);
	memcpy(w->out + w->n_out, stamp, n_stamp);
	w->n_out += n_stamp;
	memcpy(w->out + w->n_out, names[stream], 7);
	memcpy(w->out + w->n_out + 7, ends ? " F " : " P ", 3);
	w->n_out += 10;
	memcpy(w->out + w->n_out, p, n);
	w->n_out += n;
	w->out[w->n_out++] = '\n';
}

static uint32_t stamp_now(char ret[static 40])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	return (uint32_t)n + (uint32_t)snprintf(ret + n, 40 - n, ".%09ldZ", ts.tv_nsec);
}

static void say_lost(struct log_writer *w, const char *stamp, uint32_t n_stamp)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "[jail: %llu bytes of the log were lost]",
		(unsigned long long)w->lost_bytes);
	uint64_t lost = w->lost_bytes;

	w->lost_bytes = 0;
	put_record(w, stamp, n_stamp, LOG_STDERR, true, text, (uint32_t)n);
	flush(w);
	if (w->lost_bytes)
		w->lost_bytes = lost; /* still no room: the notice itself does not count */
}

void log_add(struct log_writer *w, int stream, const char *p, uint32_t n)
{
	const uint32_t room = LOG_LINE_BYTES;
	char stamp[40];
	uint32_t n_stamp = stamp_now(stamp);

	if (w->dir_fd < 0)
		return;
	if (w->fd < 0) {
		struct err e = {0};

		w->fd = open_file(w, 0, &e);
	}
	if (w->lost_bytes)
		say_lost(w, stamp, n_stamp);
	while (n) {
		const char *nl = memchr(p, '\n', n);
		uint32_t len = nl ? (uint32_t)(nl - p) : n;
		bool ends = nl && len <= room;

		len = MIN(len, room);
		put_record(w, stamp, n_stamp, stream, ends, p, len);
		w->mid_line[stream] = !ends;
		p += len + ends;
		n -= len + ends;
	}
	flush(w);
}

void log_close(struct log_writer *w)
{
	fd_close(&w->fd);
	fd_close(&w->dir_fd);
}
