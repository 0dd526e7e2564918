#include "jail/stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* ---- sending ---- */

struct sender {
	int sock;
	uint32_t skipped;
	struct err *e;
	char chunk[STREAM_CHUNK_MAX];
};

static int put(struct sender *s, const void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t w = send(s->sock, (const char *)p + done, n - done, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN)
			return err_set(s->e, ETIMEDOUT, "the copy made no progress");
		if (w < 0)
			return err_sys(s->e, "cannot send the copy");
		done += (size_t)w;
	}
	return 0;
}

static int put_head(struct sender *s, enum stream_kind kind, const struct stat *st,
	const char *name, const char *link)
{
	const struct stream_head h = {.kind = kind,
		.mode = st ? st->st_mode & 07777 : 0,
		.uid = st ? st->st_uid : 0,
		.gid = st ? st->st_gid : 0,
		.name_bytes = name ? (uint32_t)strlen(name) : 0,
		.link_bytes = link ? (uint32_t)strlen(link) : 0,
		.mtime_s = st ? st->st_mtim.tv_sec : 0,
		.mtime_ns = st ? (uint32_t)st->st_mtim.tv_nsec : 0,
		.skipped = kind == STREAM_END ? s->skipped : 0};

	if (put(s, &h, sizeof(h)) < 0 || (name && put(s, name, h.name_bytes) < 0))
		return -s->e->code;
	return link ? put(s, link, h.link_bytes) : 0;
}

static int send_file(struct sender *s, int at, const char *name)
{
	/* It may have become something else since it was looked at. */
	AUTO_FD int fd =
		openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	uint32_t n;
	ssize_t r;

	if (fd < 0)
		return err_sys(s->e, "cannot open '%s'", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(
			s->e, EINVAL, "cannot copy '%s': it changed while it was copied", name);
	if (put_head(s, STREAM_FILE, &st, name, NULL) < 0)
		return -s->e->code;
	do {
		r = read(fd, s->chunk, sizeof(s->chunk));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(s->e, "cannot read '%s'", name);
		n = (uint32_t)r;
		if (put(s, &n, sizeof(n)) < 0 || (n && put(s, s->chunk, n) < 0))
			return -s->e->code;
	} while (r);
	return 0;
}

static int send_entry(struct sender *s, int at, const char *name, unsigned int depth);

static int send_dir(struct sender *s, int at, const char *name, unsigned int depth)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
	struct dirent *de;
	struct stat st;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		err_sys(s->e, "cannot list '%s'", name);
		fd_close(&fd);
		return -s->e->code;
	}
	if (depth >= STREAM_DEPTH_MAX)
		r = err_set(s->e, ELOOP, "cannot copy '%s': more than %d levels deep", name,
			STREAM_DEPTH_MAX);
	else
		r = fstat(fd, &st) < 0 ? err_sys(s->e, "cannot examine '%s'", name)
				       : put_head(s, STREAM_DIR, &st, name, NULL);
	while (r >= 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = send_entry(s, dirfd(d), de->d_name, depth + 1);
	closedir(d);
	return r < 0 ? r : put_head(s, STREAM_UP, NULL, NULL, NULL);
}

static int send_link(struct sender *s, int at, const char *name, const struct stat *st)
{
	char target[STREAM_LINK_MAX + 1];
	ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(s->e, "cannot read symlink '%s'", name);
	target[n] = '\0';
	return put_head(s, STREAM_LINK, st, name, target);
}

static int send_entry(struct sender *s, int at, const char *name, unsigned int depth)
{
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && depth ? 0 : err_sys(s->e, "cannot copy '%s'", name);
	if (S_ISREG(st.st_mode))
		return send_file(s, at, name);
	if (S_ISDIR(st.st_mode))
		return send_dir(s, at, name, depth);
	if (S_ISLNK(st.st_mode))
		return send_link(s, at, name, &st);
	if (!depth)
		return err_set(
			s->e, EINVAL, "cannot copy '%s': it is a device, a FIFO or a socket", name);
	s->skipped++;
	return 0;
}

int stream_send(int sock, int at, const char *name, struct err *e)
{
	struct sender *s = mem_new(sizeof(*s));
	int r;

	s->sock = sock;
	s->e = e;
	r = send_entry(s, at, name, 0);
	if (!r)
		r = put_head(s, STREAM_END, NULL, NULL, NULL);
	free(s);
	return r;
}

int stream_send_error(int sock, const struct err *e)
{
	struct err none = {0};
	struct sender s = {.sock = sock, .e = &none};

	return put_head(&s, STREAM_ERROR, NULL, NULL, NULL) < 0 ? -EPIPE : put(&s, e, sizeof(*e));
}

/* ---- receiving ---- */

struct level {
	int fd;
	bool made; /* by us: gets the mode and time that came */
	struct stream_head head;
};

struct receiver {
	int sock;
	const struct stream_opts *o;
	struct level level[STREAM_DEPTH_MAX + 1];
	int depth;
	const char *top_name; /* the first entry's name here, whatever it was there */
	bool top_done;
	uint64_t bytes;
	uint32_t skipped;
	struct err *e;
	char name[STREAM_NAME_MAX + 1], link[STREAM_LINK_MAX + 1], chunk[STREAM_CHUNK_MAX];
};

static int get(struct receiver *r, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = recv(r->sock, (char *)p + done, n - done, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return err_set(r->e, ETIMEDOUT, "the copy made no progress");
		if (k < 0)
			return err_sys(r->e, "cannot receive the copy");
		if (!k)
			return err_set(r->e, EPIPE, "the copy ended in the middle");
		done += (size_t)k;
	}
	return 0;
}

static int malformed(struct receiver *r)
{
	return err_set(r->e, EPROTO, "the copy is malformed");
}

static int get_name(struct receiver *r, const struct stream_head *h)
{
	if (!h->name_bytes || h->name_bytes > STREAM_NAME_MAX || h->link_bytes > STREAM_LINK_MAX ||
		(h->kind == STREAM_LINK) != (h->link_bytes > 0))
		return malformed(r);
	if (get(r, r->name, h->name_bytes) < 0 || get(r, r->link, h->link_bytes) < 0)
		return -r->e->code;
	r->name[h->name_bytes] = r->link[h->link_bytes] = '\0';
	if (strlen(r->name) != h->name_bytes || strlen(r->link) != h->link_bytes ||
		strchr(r->name, '/') || !strcmp(r->name, ".") || !strcmp(r->name, ".."))
		return malformed(r);
	if (!r->depth) {
		/* One tree, under the name that was asked for. */
		if (r->top_done)
			return malformed(r);
		r->top_done = true;
		snprintf(r->name, sizeof(r->name), "%s", r->top_name);
	}
	return 0;
}

static void set_times(int fd, const char *name, const struct stream_head *h)
{
	const struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = h->mtime_s,
			.tv_nsec = h->mtime_ns < 1000000000 ? (long)h->mtime_ns : 0}};

	/* A time that this filesystem cannot hold is no reason to fail. */
	if (name ? utimensat(fd, name, ts, AT_SYMLINK_NOFOLLOW) : futimens(fd, ts))
		return;
}

static int finish(struct receiver *r, int fd, const struct stream_head *h)
{
	/* The ids first: giving a file away takes set-id bits off, and there are none to come. */
	if (r->o->owners && fchown(fd, h->uid, h->gid) < 0)
		return err_sys(r->e, "cannot give '%s' its owner", r->name);
	if (fchmod(fd, h->mode & 0777) < 0)
		return err_sys(r->e, "cannot give '%s' its mode", r->name);
	set_times(fd, NULL, h);
	return 0;
}

static int get_content(struct receiver *r, int fd)
{
	for (;;) {
		uint32_t n;
		int w;

		if (get(r, &n, sizeof(n)) < 0)
			return -r->e->code;
		if (!n)
			return 0;
		if (n > STREAM_CHUNK_MAX)
			return malformed(r);
		if (get(r, r->chunk, n) < 0)
			return -r->e->code;
		w = fd_write_full(fd, r->chunk, n);
		if (w < 0)
			return err_set(
				r->e, -w, "cannot write '%s': %s", r->name, strerrordesc_np(-w));
		r->bytes += n;
	}
}

static int make_file(struct receiver *r, const struct stream_head *h)
{
	int dir = r->level[r->depth].fd, n;
	uint64_t salt = 0;
	char tmp[40];

	if (getrandom(&salt, sizeof(salt), 0) < 0)
		return err_sys(r->e, "cannot get random bytes");
	/* Complete under its name or not there at all; a symlink in its place is replaced. */
	snprintf(tmp, sizeof(tmp), ".jail-cp.%016llx", (unsigned long long)salt);
	AUTO_FD int fd =
		openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(r->e, "cannot make '%s'", r->name);
	n = get_content(r, fd);
	if (!n)
		n = finish(r, fd, h);
	if (!n && renameat(dir, tmp, dir, r->name) < 0)
		n = err_sys(r->e, "cannot make '%s'", r->name);
	if (n < 0)
		unlinkat(dir, tmp, 0);
	return n;
}

static int make_dir(struct receiver *r, const struct stream_head *h)
{
	int dir = r->level[r->depth].fd, fd;
	bool made = mkdirat(dir, r->name, 0700) == 0;

	if (!made && errno != EEXIST)
		return err_sys(r->e, "cannot make folder '%s'", r->name);
	fd = openat(dir, r->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(r->e, "cannot copy into '%s'", r->name);
	if (r->depth == STREAM_DEPTH_MAX) {
		close(fd);
		return malformed(r);
	}
	r->level[++r->depth] = (struct level){.fd = fd, .made = made, .head = *h};
	return 0;
}

static int leave_dir(struct receiver *r)
{
	struct level *l = &r->level[r->depth];
	int n = 0;

	if (!r->depth)
		return malformed(r);
	if (l->made)
		n = finish(r, l->fd, &l->head);
	fd_close(&l->fd);
	r->depth--;
	return n;
}

static int make_link(struct receiver *r, const struct stream_head *h)
{
	int dir = r->level[r->depth].fd;

	if (symlinkat(r->link, dir, r->name) < 0 &&
		(errno != EEXIST || unlinkat(dir, r->name, 0) < 0 ||
			symlinkat(r->link, dir, r->name) < 0))
		return err_sys(r->e, "cannot make symlink '%s'", r->name);
	if (r->o->owners && fchownat(dir, r->name, h->uid, h->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(r->e, "cannot give '%s' its owner", r->name);
	set_times(dir, r->name, h);
	return 0;
}

static int other_side_failed(struct receiver *r)
{
	struct err theirs;

	if (get(r, &theirs, sizeof(theirs)) < 0)
		return -r->e->code;
	err_sanitize(&theirs);
	/* What the jail's side says is shown to people: it names files of the jail. */
	AUTO_FREE char *shown = str_visible(theirs.text);
	return err_set(r->e, theirs.code, "%s", shown);
}

/* 1 at the end. */
static int step(struct receiver *r)
{
	struct stream_head h;

	if (get(r, &h, sizeof(h)) < 0)
		return -r->e->code;
	switch (h.kind) {
	case STREAM_END:
		r->skipped = h.skipped;
		return r->depth || !r->top_done ? malformed(r) : 1;
	case STREAM_UP:
		return leave_dir(r);
	case STREAM_ERROR:
		return other_side_failed(r);
	case STREAM_FILE:
	case STREAM_DIR:
	case STREAM_LINK:
		break;
	default:
		return malformed(r);
	}
	if (get_name(r, &h) < 0)
		return -r->e->code;
	return h.kind == STREAM_FILE  ? make_file(r, &h)
	       : h.kind == STREAM_DIR ? make_dir(r, &h)
				      : make_link(r, &h);
}

int stream_receive(int sock, int dirfd, const char *name, const struct stream_opts *o,
	uint64_t *ret_bytes, uint32_t *ret_skipped, struct err *e)
{
	struct receiver *r = mem_new(sizeof(*r));
	int n;

	r->sock = sock;
	r->o = o;
	r->e = e;
	r->top_name = name;
	r->level[0].fd = dirfd;
	do
		n = step(r);
	while (!n);
	for (; r->depth; r->depth--)
		fd_close(&r->level[r->depth].fd);
	*ret_bytes = r->bytes;
	*ret_skipped = r->skipped;
	free(r);
	return n < 0 ? n : 0;
}
