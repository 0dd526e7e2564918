/*
 * What jail-image does: images come in, go out, and are swept away.
 *
 *	struct img_job job = {.store = &store, .report = print, .platform = &platform};
 *	AUTO_IMG_SOURCE struct img_source src = {0};
 *
 *	r = img_source_layout(dirfd, "web:1", &src, e);		or img_source_registry(...)
 *	r = img_pull(&job, &src, "localhost/web:1", &result, e);
 *
 * A source only hands over bytes; everything is verified here, the same for all of them.
 */
#ifndef JAIL_IMAGE_OPS_H
#define JAIL_IMAGE_OPS_H

#include "image/layer.h"
#include "image/manifest.h"
#include "image/store.h"

/* Something to tell: a layer's progress.  Called from several threads, one at a time. */
struct img_event {
	const char *stage; /* "resolve", "fetch", "unpack", "push", "exists", "done", "retry",
			      "bootstrap" */
	const char *digest; /* "sha256:...", or NULL */
	uint64_t done_bytes, total_bytes;
	const char *text; /* for "retry" and "resolve", or NULL */
};
struct img_job {
	struct img_store *store;
	void (*report)(void *ctx, const struct img_event *ev); /* may be NULL */
	void *ctx;
	const struct img_platform *platform;
	uint64_t max_layer_bytes; /* unpacked; 0: the default */
	bool replace; /* let an import redefine a name */
};
void img_report(const struct img_job *job, const struct img_event *ev) __attribute__((nonnull));

struct img_source {
	void *ctx;
	/* The document called by digest, or (NULL) the one that was asked for; unverified. */
	int (*manifest)(void *ctx, const struct img_digest *digest, struct buf *ret,
		char **ret_type, struct err *e);
	/*
	 * Writes the bytes of d into w, from w->size on when it can, after img_blob_restart when it
	 * cannot.  Called from several threads.  stop: somebody else failed, give up.
	 */
	int (*blob)(void *ctx, const struct img_job *job, const struct img_desc *d,
		struct img_blob_writer *w, const bool *stop, struct err *e);
	void (*release)(void *ctx);
};
void img_source_release(struct img_source *src) __attribute__((nonnull));
#define AUTO_IMG_SOURCE __attribute__((cleanup(img_source_release)))

/* An OCI image layout in the directory fd (takes it); tag NULL: its only image. */
int img_source_layout(int dir_fd, const char *tag, struct img_source *ret, struct err *e)
	__attribute__((nonnull(3, 4)));

/*
 * Fetches, verifies and unpacks an image and gives it name (as img_ref_print writes it; NULL for
 * none).  want: the digest that the caller asked for, or NULL.
 */
int img_pull(const struct img_job *job, const struct img_source *src, const char *name,
	const struct img_digest *want, struct img_name *ret, struct err *e)
	__attribute__((nonnull(1, 2, 5, 6)));

/*
 * Makes an image of layers that are in the store already: writes configuration (diff_ids are set
 * here, behind those of base where there is one; with config_text those bytes are taken, which
 * config was read from) and manifest, and gives it name.
 */
struct img_new_layer {
	struct img_digest blob, diff_id;
	uint64_t size;
	enum img_compression compression;
};
int img_compose(const struct img_job *job, struct img_config *config, const char *config_text,
	const struct img_doc *base, const struct img_new_layer *layers, size_t n, const char *name,
	struct img_name *ret, struct err *e) __attribute__((nonnull(1, 2, 8, 9)));
/*
 * Puts the record of an image whose layers are all unpacked, then its name; the last step of
 * every way in.
 */
int img_finish(const struct img_job *job, const struct img_digest *target,
	const struct img_digest *manifest, const struct img_doc *doc,
	const struct img_config *config, const char *name, struct img_name *ret, struct err *e)
	__attribute__((nonnull(1, 2, 3, 4, 5, 7, 8)));

/*
 * Archives.  path is a file: an OCI archive, what docker save wrote, or the tar of a root
 * directory, each plain or compressed; or a directory: an OCI layout or a root directory.  fd is
 * borrowed.  tag chooses one of several images; name NULL: the archive's own names.  config is what
 * a root directory's image shall say (diff_ids are filled in).
 */
enum img_import_kind { IMG_IMPORT_AUTO, IMG_IMPORT_OCI, IMG_IMPORT_DOCKER, IMG_IMPORT_ROOT };
int img_import(const struct img_job *job, int fd, enum img_import_kind kind, const char *tag,
	const char *name, struct img_config *config, struct img_names *ret, struct err *e)
	__attribute__((nonnull(1, 6, 7, 8)));

/* A distribution by mmdebstrap, apt's verification kept. */
struct img_bootstrap {
	const char *what; /* "debian:bookworm" */
	const char *variant; /* of mmdebstrap; NULL: minbase */
	struct strv include, mirrors; /* borrowed */
};
/* name NULL: what, as localhost/debian:bookworm. */
int img_bootstrap(const struct img_job *job, const struct img_bootstrap *b, const char *name,
	struct img_config *config, struct img_names *ret, struct err *e)
	__attribute__((nonnull(1, 2, 4, 5, 6)));

/* The next layer of an image that is made here: a tar, plain or compressed, from fd. */
int img_add_layer(const struct img_job *job, int fd, const char *what,
	const struct img_digest *diff_id, struct img_new_layer *ret, struct err *e)
	__attribute__((nonnull(1, 3, 5, 6)));

/* What keeps the store small, and whole. */
struct img_gc_result {
	uint64_t blobs, layers, images, bytes;
};
/* Removes what no name and no pin leads to; under the exclusive lock, which it takes. */
int img_gc(struct img_store *s, struct img_gc_result *ret, struct err *e) __attribute__((nonnull));
/*
 * Verifies every blob's digest and every name's way to its layers.  found() gets a line per fault;
 * with repair what is broken is removed.  Returns the number of faults or -errno.
 */
int img_check(struct img_store *s, bool repair, void (*found)(void *ctx, const char *line),
	void *ctx, struct err *e) __attribute__((nonnull(1, 3, 5)));
/* Bytes on the disk of blobs and layers. */
struct img_usage {
	uint64_t blob_bytes, layer_bytes, blobs, layers;
};
int img_store_usage(struct img_store *s, struct img_usage *ret, struct err *e)
	__attribute__((nonnull));

#endif
