/*
 * The store from the inside: how blobs and layers get in, whole or not at all.
 *
 *	r = img_blob_begin(store, &digest, &w, e);	1: it is there already; 0: write it
 *	r = img_blob_write(&w, p, n, e);		...repeatedly
 *	r = img_blob_commit(&w, size, &got, e);		verified, then visible
 *	img_blob_release(&w);
 */
#ifndef JAIL_IMAGE_STORE_H
#define JAIL_IMAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "image/hash.h"
#include "image/image.h"

/* A fresh directory of this command in tmp/; returns an owned descriptor, its name in ret. */
enum { IMG_TMP_NAME = 24 };
int img_tmp_new(struct img_store *s, char ret_name[static IMG_TMP_NAME], struct err *e)
	__attribute__((nonnull));
/* Removes it with everything inside; what cannot be removed stays for img_gc. */
void img_tmp_drop(struct img_store *s, const char *name) __attribute__((nonnull));
/* Removes everything in tmp/: only under the exclusive lock. */
int img_tmp_sweep(struct img_store *s, struct err *e) __attribute__((nonnull));

/* Kinds of things with a record in unsynced/. */
enum img_kind { IMG_BLOB = 'b', IMG_LAYER = 'l' };
/* Writes the record; before the rename that makes the thing visible. */
int img_unsynced_add(struct img_store *s, enum img_kind kind, const struct img_digest *d,
	struct err *e) __attribute__((nonnull));
/* Brings to the disk what has a record, then removes the records. */
int img_store_sync(struct img_store *s, struct err *e) __attribute__((nonnull));
bool img_store_unsynced(struct img_store *s) __attribute__((nonnull));

/*
 * A lock file in partial/ or tmp/ (dirfd): one writer of the same thing at a time.  Waits; returns
 * the owned descriptor of the file, which in partial/ may hold what an interrupted download left.
 */
int img_lock_file(struct img_store *s, int dirfd, const char *name, struct err *e)
	__attribute__((nonnull));

/* Opens a stored blob: a regular file, no symlink, FIFO or device (-EINVAL); -ENOENT. */
int img_blob_open(const struct img_store *s, const struct img_digest *d, uint64_t *ret_size,
	struct err *e) __attribute__((nonnull(1, 2, 4)));
bool img_blob_has(const struct img_store *s, const struct img_digest *d) __attribute__((nonnull));
/* Reads a small blob (a manifest, a configuration) and verifies its digest. */
int img_blob_read(const struct img_store *s, const struct img_digest *d, size_t max_bytes,
	struct buf *ret, struct err *e) __attribute__((nonnull));
bool img_layer_has(const struct img_store *s, const struct img_digest *diff_id)
	__attribute__((nonnull));
/* Takes the thing out of sight by one rename, then removes it. */
int img_layer_remove(struct img_store *s, const char *hex, struct err *e) __attribute__((nonnull));

struct img_blob_writer {
	struct img_store *store;
	struct img_digest want;
	bool has_want;
	char name[IMG_DIGEST_TEXT]; /* in partial/ */
	int fd;
	uint64_t size; /* bytes in the file so far */
	uint64_t max_bytes; /* more is refused */
	struct img_hash hash;
};
#define IMG_BLOB_WRITER_INIT                                                                       \
	{                                                                                          \
		.fd = -EBADF                                                                       \
	}
/*
 * Starts a blob whose digest is known, or (want NULL) is to be found.  Returns 1 when the store
 * has it.  With resume, what an interrupted download left is kept and w->size says how much.
 */
int img_blob_begin(struct img_store *s, const struct img_digest *want, bool resume,
	uint64_t max_bytes, struct img_blob_writer *w, struct err *e)
	__attribute__((nonnull(1, 5, 6)));
int img_blob_write(struct img_blob_writer *w, const void *p, size_t n, struct err *e)
	__attribute__((nonnull));
/* Starts over: what was written is thrown away. */
int img_blob_restart(struct img_blob_writer *w, struct err *e) __attribute__((nonnull));
/*
 * Verifies digest and size (want_size; UINT64_MAX: unknown) and makes the blob visible.  A
 * mismatch is -EBADMSG and the bytes are removed.
 */
int img_blob_commit(struct img_blob_writer *w, uint64_t want_size, struct img_digest *ret,
	struct err *e) __attribute__((nonnull(1, 4)));
/* Without a commit: keeps the bytes when they can be resumed, removes them otherwise. */
void img_blob_release(struct img_blob_writer *w) __attribute__((nonnull));
#define AUTO_IMG_BLOB_WRITER __attribute__((cleanup(img_blob_release)))
/* Stores bytes from memory. */
int img_blob_put(struct img_store *s, const void *p, size_t n, const struct img_digest *want,
	struct img_digest *ret, struct err *e) __attribute__((nonnull(1, 6)));

/* What the store knows of an assembled image: images/MANIFEST.json. */
struct img_record {
	char *config; /* digest of the configuration blob */
	struct strv layers; /* ids in layers/, topmost first, "sha256:..." */
	uint64_t size_bytes;
};
int img_record_read(const struct img_store *s, const struct img_digest *manifest,
	struct img_record *ret, struct err *e) __attribute__((nonnull));
int img_record_write(struct img_store *s, const struct img_digest *manifest,
	const struct img_record *rec, struct err *e) __attribute__((nonnull));
void img_record_release(struct img_record *rec) __attribute__((nonnull));

/*
 * Makes name stand for manifest.  An existing name that stands for something else is replaced only
 * with replace (-EEXIST otherwise): an archive does not get to redefine a name.
 */
int img_name_set(struct img_store *s, const struct img_name *n, bool replace, struct err *e)
	__attribute__((nonnull));

/* Every pinned manifest; *ret holds "sha256:...". */
int img_pins_list(const struct img_store *s, struct strv *ret, struct err *e)
	__attribute__((nonnull));

#endif
