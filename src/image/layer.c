#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"

enum { IMPLIED_FILE_MAX = 64 << 20 };

/* A layer that is being made: tmp/NAME with fs/ and its notes. */
struct draft {
	struct img_store *store;
	char name[IMG_TMP_NAME];
	int fd, root_fd;
};

static int draft_begin(struct img_store *s, struct draft *d, struct err *e)
{
	*d = (struct draft){.store = s, .fd = -EBADF, .root_fd = -EBADF};
	d->fd = img_tmp_new(s, d->name, e);
	if (d->fd < 0)
		return d->fd;
	if (mkdirat(d->fd, "fs", 0755) < 0)
		return err_sys(e, "cannot make '%s/tmp/%s/fs'", s->path, d->name);
	d->root_fd = path_open(d->fd, "fs", O_RDONLY | O_DIRECTORY, PATH_STRICT, e);
	return d->root_fd < 0 ? d->root_fd : 0;
}

/* The one moment at which the layer comes into being. */
static int draft_publish(struct draft *d, const struct img_digest *id, struct err *e)
{
	if (img_unsynced_add(d->store, IMG_LAYER, id, e) < 0)
		return -e->code;
	if (renameat(d->store->tmp_fd, d->name, d->store->layers_fd, id->hex) < 0 &&
		errno != EEXIST && errno != ENOTEMPTY)
		return err_sys(e, "cannot store layer 'sha256:%s'", id->hex);
	return 0;
}

static void draft_end(struct draft *d)
{
	fd_close(&d->root_fd);
	if (d->fd >= 0)
		img_tmp_drop(d->store, d->name); /* published: the name is free already */
	fd_close(&d->fd);
}
#define AUTO_DRAFT __attribute__((cleanup(draft_end)))

static int write_notes(struct draft *d, const struct img_unpack_stats *st, struct err *e)
{
	AUTO_BUF struct buf b = {0};

	if (st->opaque_root && file_replace(d->fd, "opaque", "", 0, 0600, 0, e) < 0)
		return -e->code;
	if (!st->implied.n)
		return 0;
	for (size_t i = 0; i < st->implied.n; i++)
		buf_add(&b, st->implied.v[i], strlen(st->implied.v[i]) + 1);
	return file_replace(d->fd, "implied", b.p, b.n, 0600, 0, e);
}

static int unpack_into(struct draft *d, int blob_fd, const struct img_digest *diff_id,
	const char *what, const struct img_layer_opts *o, struct img_sums *ret_sums, struct err *e)
{
	struct img_unpack_opts uo = {.root_fd = d->root_fd,
		.what = what,
		.max_bytes = o->max_bytes,
		.max_entries = o->max_entries,
		.progress = o->progress,
		.ctx = o->ctx};
	struct img_stream_limits limits = {.max_bytes = o->max_bytes};
	struct img_unpack_stats st = {0};
	struct img_stream *stream = NULL;
	int r = img_stream_open(blob_fd, &limits, &stream, e);

	if (r >= 0)
		r = img_unpack(stream, &uo, &st, e);
	if (r >= 0) {
		r = img_stream_finish(stream, ret_sums, e);
		if (r < 0)
			err_prefix(e, "%s", what);
	}
	if (r >= 0 && diff_id)
		r = img_digest_expect(what, diff_id, &ret_sums->digest, e);
	if (r >= 0)
		r = write_notes(d, &st, e);
	img_stream_free(stream);
	img_unpack_stats_release(&st);
	return r;
}

/* Serialises those who unpack the same layer; the file goes when its last user is done. */
static int lock_layer(
	struct img_store *s, const struct img_digest *id, char name[static 80], struct err *e)
{
	snprintf(name, 80, "%s.layer", id->hex);
	return img_lock_file(s, s->tmp_fd, name, e);
}

int img_layer_unpack(struct img_store *s, const struct img_digest *blob,
	const struct img_digest *diff_id, const struct img_layer_opts *o, struct img_sums *ret_sums,
	struct err *e)
{
	AUTO_DRAFT struct draft d = {.fd = -EBADF, .root_fd = -EBADF};
	AUTO_FREE char *what = str_fmt("layer sha256:%.12s", blob->hex);
	struct img_sums sums = {0};
	char lock_name[80];
	AUTO_FD int lock = -EBADF, fd = -EBADF;
	int r;

	if (diff_id && img_layer_has(s, diff_id))
		return 1;
	lock = lock_layer(s, diff_id ? diff_id : blob, lock_name, e);
	if (lock < 0)
		return lock;
	if (diff_id && img_layer_has(s, diff_id)) {
		unlinkat(s->tmp_fd, lock_name, 0);
		return 1;
	}
	fd = img_blob_open(s, blob, NULL, e);
	r = fd < 0 ? fd : draft_begin(s, &d, e);
	if (r >= 0)
		r = unpack_into(&d, fd, diff_id, what, o, &sums, e);
	if (r >= 0)
		r = draft_publish(&d, &sums.digest, e);
	unlinkat(s->tmp_fd, lock_name, 0);
	if (r >= 0 && ret_sums)
		*ret_sums = sums;
	return r < 0 ? r : 0;
}

bool img_layer_is_opaque(const struct img_store *s, const struct img_digest *diff_id)
{
	AUTO_FREE char *p = str_fmt("%s/opaque", diff_id->hex);

	return !faccessat(s->layers_fd, p, F_OK, AT_SYMLINK_NOFOLLOW);
}

int img_layer_implied(const struct img_store *s, const struct img_digest *diff_id, struct strv *ret,
	struct err *e)
{
	AUTO_FREE char *p = str_fmt("%s/implied", diff_id->hex);
	AUTO_BUF struct buf b = {0};

	if (faccessat(s->layers_fd, p, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (file_read(s->layers_fd, p, IMPLIED_FILE_MAX, &b, e) < 0)
		return -e->code;
	for (size_t at = 0; at < b.n; at += strlen(b.p + at) + 1)
		strv_add(ret, b.p + at);
	return 0;
}

/* What layers[0..n) show at path. */
enum sight { SIGHT_NOTHING, SIGHT_DIRECTORY, SIGHT_HIDDEN };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* implied is sorted by stack_open. */
static bool is_implied(const struct strv *implied, const char *path)
{
	return implied->n && bsearch(&path, implied->v, implied->n, sizeof(char *), by_text);
}

/* Looks at one layer; an implied directory of it says nothing of its own. */
static enum sight look(int layer_fs, const struct strv *implied, const char *path, int *ret_fd)
{
	AUTO_FD int fd = path_try(layer_fs, path, O_RDONLY | O_DIRECTORY, PATH_STRICT);
	char y;

	if (fd == -ENOENT)
		return SIGHT_NOTHING;
	/* A whiteout, a file, a symlink, here or on the way: nothing below is seen. */
	if (fd < 0)
		return SIGHT_HIDDEN;
	if (is_implied(implied, path)) {
		bool opaque = fgetxattr(fd, "trusted.overlay.opaque", &y, 1) == 1 ||
			      fgetxattr(fd, "user.overlay.opaque", &y, 1) == 1;

		return opaque ? SIGHT_HIDDEN : SIGHT_NOTHING;
	}
	*ret_fd = fd_take(&fd);
	return SIGHT_DIRECTORY;
}

struct stack {
	size_t n;
	int *fs;
	struct strv *implied;
};

static void stack_release(struct stack *st)
{
	for (size_t i = 0; i < st->n; i++) {
		fd_close(&st->fs[i]);
		strv_release(&st->implied[i]);
	}
	free(st->fs);
	free(st->implied);
}

static int stack_open(
	struct img_store *s, const struct strv *diff_ids, struct stack *st, struct err *e)
{
	st->fs = mem_new_array(diff_ids->n, sizeof(int));
	st->implied = mem_new_array(diff_ids->n, sizeof(struct strv));
	for (st->n = 0; st->n < diff_ids->n;) {
		struct img_digest id;
		AUTO_FREE char *p = NULL;

		if (img_digest_parse(diff_ids->v[st->n], &id, e) < 0)
			return -e->code;
		p = str_fmt("%s/fs", id.hex);
		st->fs[st->n] = path_open(s->layers_fd, p, O_RDONLY | O_DIRECTORY, PATH_STRICT, e);
		st->n++;
		if (st->fs[st->n - 1] < 0 ||
			img_layer_implied(s, &id, &st->implied[st->n - 1], e) < 0)
			return -e->code;
		if (st->implied[st->n - 1].n)
			qsort(st->implied[st->n - 1].v, st->implied[st->n - 1].n, sizeof(char *),
				by_text);
	}
	return 0;
}

/* The directory at path in the highest layer below top that really holds it; -ENOENT for none. */
static int real_dir(const struct stack *st, size_t top, const char *path)
{
	int fd = -ENOENT;

	for (size_t i = top; i-- > 0;)
		switch (look(st->fs[i], &st->implied[i], path, &fd)) {
		case SIGHT_DIRECTORY:
			return fd;
		case SIGHT_HIDDEN:
			return -ENOENT;
		case SIGHT_NOTHING:
			break;
		}
	return -ENOENT;
}

/* Whether a layer above top says something of its own about path, so that nothing is to be mended.
 */
static bool overruled(const struct stack *st, size_t top, const char *path)
{
	for (size_t i = top + 1; i < st->n; i++) {
		int fd = -EBADF;

		if (look(st->fs[i], &st->implied[i], path, &fd) != SIGHT_NOTHING) {
			fd_close(&fd);
			return true;
		}
	}
	return false;
}

static bool differs(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	return (st.st_mode & 07777) != 0755 || st.st_uid != geteuid() || st.st_gid != getegid() ||
	       flistxattr(fd, NULL, 0) > 0;
}

static void copy_user_xattrs(int from, int to)
{
	char names[4096], value[4096];
	ssize_t n = flistxattr(from, names, sizeof(names));

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t len;

		if (!str_starts(names + at, "user.") || str_starts(names + at, "user.overlay."))
			continue;
		len = fgetxattr(from, names + at, value, sizeof(value));
		if (len >= 0)
			fsetxattr(to, names + at, value, (size_t)len, 0);
	}
}

static int copy_attributes(int from, int to)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
		fchown(to, st.st_uid, st.st_gid) < 0)
		return -errno;
	if (fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	copy_user_xattrs(from, to);
	ts[1] = st.st_mtim;
	return futimens(to, ts) < 0 ? -errno : 0;
}

/* Makes path in the new layer, each directory on the way with the attributes that are seen there.
 */
static int mend(const struct stack *st, int root, size_t top, const char *path, struct err *e)
{
	AUTO_FREE char *part = str_dup(path);

	for (char *slash = part;;) {
		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		if (mkdirat(root, part, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "cannot make '%s' in a layer", part);
		AUTO_FD int to = path_open(root, part, O_RDONLY | O_DIRECTORY, PATH_STRICT, e);
		AUTO_FD int from = real_dir(st, slash ? st->n : top, part);
		if (to < 0)
			return to;
		if (from >= 0) {
			int r = copy_attributes(from, to);

			if (r < 0)
				return err_set(e, -r, "cannot copy the attributes of '%s'", part);
		}
		if (!slash)
			return 0;
		*slash++ = '/';
	}
}

static int mend_all(const struct stack *st, int root, struct err *e)
{
	int mended = 0;

	for (size_t i = st->n; i-- > 0;)
		for (size_t k = 0; k < st->implied[i].n; k++) {
			const char *path = st->implied[i].v[k];
			AUTO_FD int fd = -EBADF;

			if (look(st->fs[i], &st->implied[i], path, &fd) == SIGHT_HIDDEN ||
				overruled(st, i, path))
				continue;
			fd = real_dir(st, i, path);
			if (fd < 0 || !differs(fd))
				continue;
			if (mend(st, root, i, path, e) < 0)
				return -e->code;
			mended = 1;
		}
	return mended;
}

int img_layer_fixup(struct img_store *s, const struct strv *diff_ids, const struct img_digest *id,
	struct err *e)
{
	AUTO_DRAFT struct draft d = {.fd = -EBADF, .root_fd = -EBADF};
	__attribute__((cleanup(stack_release))) struct stack st = {0};
	bool any = false;
	int r;

	if (img_layer_has(s, id))
		return 1;
	r = stack_open(s, diff_ids, &st, e);
	for (size_t i = 1; r >= 0 && i < st.n; i++)
		any |= st.implied[i].n > 0;
	if (r < 0 || !any)
		return r;
	r = draft_begin(s, &d, e);
	if (r >= 0)
		r = mend_all(&st, d.root_fd, e);
	if (r > 0 && draft_publish(&d, id, e) < 0)
		return -e->code;
	return r;
}
