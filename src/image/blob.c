/* Blobs get in: written aside under a lock, hashed on the way, renamed when they are right. */
#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"

/* Hashes what an earlier command left, so that the download can go on behind it. */
static int take_over(struct img_blob_writer *w, struct err *e)
{
	AUTO_FREE char *chunk = mem_new(1 << 16);
	ssize_t n;

	while ((n = fd_read_full(w->fd, chunk, 1 << 16)) > 0) {
		img_hash_add(&w->hash, chunk, (size_t)n);
		w->size += (uint64_t)n;
	}
	if (n < 0)
		return err_set(e, (int)-n, "cannot read '%s/partial/%s'", w->store->path, w->name);
	return w->size > w->max_bytes ? img_blob_restart(w, e) : 0;
}

int img_blob_begin(struct img_store *s, const struct img_digest *want, bool resume,
	uint64_t max_bytes, struct img_blob_writer *w, struct err *e)
{
	uint64_t salt;

	*w = (struct img_blob_writer){.store = s, .fd = -EBADF, .max_bytes = max_bytes};
	if (want) {
		w->want = *want;
		w->has_want = true;
		snprintf(w->name, sizeof(w->name), "%.64s", want->hex);
	} else {
		if (getrandom(&salt, sizeof(salt), 0) < 0)
			return err_sys(e, "cannot get random bytes");
		snprintf(w->name, sizeof(w->name), "new-%016llx", (unsigned long long)salt);
	}
	if (want && img_blob_has(s, want))
		return 1;
	w->fd = img_lock_file(s, s->partial_fd, w->name, e);
	if (w->fd < 0)
		return w->fd;
	/* Another command may have finished it while this one waited. */
	if (want && img_blob_has(s, want)) {
		unlinkat(s->partial_fd, w->name, 0);
		fd_close(&w->fd);
		return 1;
	}
	img_hash_init(&w->hash);
	if (resume)
		return take_over(w, e);
	return img_blob_restart(w, e);
}

int img_blob_write(struct img_blob_writer *w, const void *p, size_t n, struct err *e)
{
	int r;

	if (n > w->max_bytes || w->size > w->max_bytes - n)
		return err_set(e, EFBIG, "blob '%s' is larger than the %llu bytes announced",
			w->name, (unsigned long long)w->max_bytes);
	img_hash_add(&w->hash, p, n);
	r = fd_write_full(w->fd, p, n);
	if (r < 0)
		return err_set(e, -r, "cannot write '%s/partial/%s': %s", w->store->path, w->name,
			strerrordesc_np(-r));
	w->size += n;
	return 0;
}

int img_blob_restart(struct img_blob_writer *w, struct err *e)
{
	if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
		return err_sys(e, "cannot truncate '%s/partial/%s'", w->store->path, w->name);
	img_hash_release(&w->hash);
	img_hash_init(&w->hash);
	w->size = 0;
	return 0;
}

static void discard(struct img_blob_writer *w)
{
	unlinkat(w->store->partial_fd, w->name, 0);
	fd_close(&w->fd);
	img_hash_release(&w->hash);
}

int img_blob_commit(
	struct img_blob_writer *w, uint64_t want_size, struct img_digest *ret, struct err *e)
{
	struct img_digest got;
	int r = 0;

	img_hash_end(&w->hash, &got);
	if (want_size != UINT64_MAX && w->size != want_size)
		r = err_set(e, EBADMSG, "blob 'sha256:%s' has %llu bytes, its descriptor says %llu",
			got.hex, (unsigned long long)w->size, (unsigned long long)want_size);
	else if (w->has_want)
		r = img_digest_expect("blob", &w->want, &got, e);
	if (r >= 0 && !img_blob_has(w->store, &got)) {
		r = img_unsynced_add(w->store, IMG_BLOB, &got, e);
		if (r >= 0 &&
			renameat(w->store->partial_fd, w->name, w->store->blobs_fd, got.hex) < 0)
			r = err_sys(e, "cannot store blob 'sha256:%s'", got.hex);
	}
	discard(w);
	if (r >= 0 && ret)
		*ret = got;
	return r;
}

void img_blob_release(struct img_blob_writer *w)
{
	if (w->fd >= 0 && !(w->has_want && w->size))
		discard(w);
	fd_close(&w->fd);
	img_hash_release(&w->hash);
}

int img_blob_put(struct img_store *s, const void *p, size_t n, const struct img_digest *want,
	struct img_digest *ret, struct err *e)
{
	AUTO_IMG_BLOB_WRITER struct img_blob_writer w = IMG_BLOB_WRITER_INIT;
	struct img_digest d;

	img_digest_of(p, n, &d);
	if (want && img_digest_expect("blob", want, &d, e) < 0)
		return -e->code;
	if (ret)
		*ret = d;
	switch (img_blob_begin(s, &d, false, n, &w, e)) {
	case 0:
		if (img_blob_write(&w, p, n, e) < 0)
			return -e->code;
		return img_blob_commit(&w, n, NULL, e);
	case 1:
		return 0;
	default:
		return -e->code;
	}
}

int img_blob_read(const struct img_store *s, const struct img_digest *d, size_t max_bytes,
	struct buf *ret, struct err *e)
{
	AUTO_FD int fd = img_blob_open(s, d, NULL, e);
	AUTO_BUF struct buf b = {0};
	struct img_digest got;

	if (fd < 0)
		return fd;
	if (file_read_fd(fd, d->hex, max_bytes, &b, e) < 0)
		return -e->code;
	img_digest_of(b.p, b.n, &got);
	if (img_digest_expect("blob", d, &got, e) < 0)
		return -e->code;
	buf_release(ret);
	*ret = b;
	b = (struct buf){0};
	return 0;
}
