/*
 * Images: what a registry, an archive or a directory holds becomes a stack of read-only
 * directories that an overlay is mounted over.
 *
 *	AUTO_IMG_STORE struct img_store store = IMG_STORE_INIT;
 *	AUTO_IMG_IMAGE struct img_image image = {0};
 *
 *	r = img_store_open("/var/lib/jail/images", 0, &store, e);
 *	r = img_image_open(&store, "alpine:3.20", "jail-web", &image, e);   pinned for that jail
 *	...mount an overlay: lowerdir = image.lower, topmost first; process from image.config...
 *	img_unpin(&store, "jail-web", e);                                  when the jail is gone
 *
 * Only this half of the room is linked into jail; it reads what was verified and stored before.
 * What strangers wrote (manifests, compressed tar streams, HTTP) is parsed by jail-image alone,
 * through ops.h.
 *
 * Formats: OCI image-spec 1.1 (descriptor.md, manifest.md, image-index.md, config.md, layer.md,
 * image-layout.md), distribution-spec 1.1, Docker image manifest version 2 schema 2.
 */
#ifndef JAIL_IMAGE_IMAGE_H
#define JAIL_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/*
 * A digest (descriptor.md "Digests"), of the one algorithm that is accepted.  The type exists so
 * that no path is ever joined from a string that was not checked: it is 64 lower-case hex digits.
 */
struct img_digest {
	char hex[65];
};
/* "sha256:" and 64 lower-case hex digits, nothing else; -EINVAL otherwise. */
int img_digest_parse(const char *s, struct img_digest *ret, struct err *e) __attribute__((nonnull));
bool img_digest_eq(const struct img_digest *a, const struct img_digest *b) __attribute__((nonnull));
/* Writes "sha256:..." and returns buf. */
enum { IMG_DIGEST_TEXT = 72 };
char *img_digest_print(const struct img_digest *d, char buf[static IMG_DIGEST_TEXT])
	__attribute__((nonnull));

/*
 * A reference: [docker://][REGISTRY/]REPOSITORY[:TAG][@DIGEST].  The first component is a registry
 * when it holds a '.' or ':' or is "localhost"; otherwise the name is short and registry is NULL.
 * A reference without tag and digest means the tag "latest".
 */
struct img_ref {
	char *registry; /* "docker.io", "127.0.0.1:5000", "[::1]:5000"; NULL: short name */
	char *repository; /* "library/alpine" */
	char *tag; /* NULL when only a digest was given */
	bool has_digest;
	struct img_digest digest;
};
enum { IMG_REF_MAX = 240 };
#define IMG_DEFAULT_REGISTRY "docker.io"
/* At most IMG_REF_MAX bytes; -EINVAL names what is wrong with it. */
int img_ref_parse(const char *s, struct img_ref *ret, struct err *e) __attribute__((nonnull));
/* Makes a short name whole: with registry, and "library/" where docker.io wants it. */
void img_ref_qualify(struct img_ref *r, const char *registry) __attribute__((nonnull));
/* "registry/repository:tag" or "...@sha256:..." as the store keeps it; owned. */
char *img_ref_print(const struct img_ref *r) __attribute__((malloc, returns_nonnull, nonnull));
void img_ref_copy(struct img_ref *dst, const struct img_ref *src) __attribute__((nonnull));
void img_ref_release(struct img_ref *r) __attribute__((nonnull));
#define AUTO_IMG_REF __attribute__((cleanup(img_ref_release)))

/*
 * The store: one directory (mode 0700) of one user.
 *
 *	blobs/sha256/HEX	manifests, configurations and compressed layers, as they came
 *	layers/HEX/fs		an unpacked layer, HEX being its diff_id; overlay whiteouts inside
 *	images/HEX.json		a manifest's layers, topmost first: an image ready to mount
 *	refs/NAME.json		a name and the manifest it stands for
 *	pins/NAME		a manifest that somebody (a jail) uses
 *	partial/HEX		a download that was interrupted and can be resumed
 *	unsynced/BOOT-b-HEX	a blob (b) or layer (l) that is not yet known to be on the disk
 *	tmp/			work of a running command; of a dead one when nobody holds the lock
 *	lock			flock: shared by those who add, exclusive by those who remove
 *
 * A thing appears under its digest by one rename, after its bytes were verified.  A process that is
 * killed leaves something in tmp/, which the next command removes.  Durability costs one
 * syncfs after the command has answered: until then the thing has a record in unsynced/, and
 * a record of another boot means that the power failed first and the thing is dropped.
 */
struct img_store {
	int root_fd, blobs_fd, layers_fd, images_fd, refs_fd, pins_fd, partial_fd, unsynced_fd,
		tmp_fd;
	int lock_fd; /* held while >= 0 */
	char *path; /* absolute */
	char boot_id[33];
};
#define IMG_STORE_INIT                                                                             \
	{                                                                                          \
		.root_fd = -EBADF, .blobs_fd = -EBADF, .layers_fd = -EBADF, .images_fd = -EBADF,   \
		.refs_fd = -EBADF, .pins_fd = -EBADF, .partial_fd = -EBADF, .unsynced_fd = -EBADF, \
		.tmp_fd = -EBADF, .lock_fd = -EBADF                                                \
	}
enum img_store_flag {
	IMG_STORE_CREATE = 1, /* make it when it is missing */
};
/* Opens the store at path (absolute), and repairs what a power failure left. */
int img_store_open(const char *path, int flags, struct img_store *ret, struct err *e)
	__attribute__((nonnull));
void img_store_release(struct img_store *s) __attribute__((nonnull));
#define AUTO_IMG_STORE __attribute__((cleanup(img_store_release)))

enum img_lock {
	IMG_LOCK_SHARED, /* adding: several at once */
	IMG_LOCK_EXCLUSIVE, /* removing: alone; waits */
	IMG_LOCK_TRY, /* exclusive or -EAGAIN at once */
};
/* Takes the store's lock, replacing the one held.  Ends with the process, whatever kills it. */
int img_store_lock(struct img_store *s, enum img_lock mode, struct err *e) __attribute__((nonnull));
void img_store_unlock(struct img_store *s) __attribute__((nonnull));

/* What an image says about the process to run (config.md); data, never commands. */
struct img_config {
	char *architecture, *os, *variant, *user, *working_dir, *stop_signal, *created, *author;
	struct strv env; /* NAME=VALUE */
	struct strv entrypoint, cmd;
	struct strv volumes; /* absolute, clean; never /, /proc, /sys, /dev or below those */
	struct strv exposed_ports; /* "80/tcp" */
	struct strv labels; /* KEY=VALUE */
	struct strv diff_ids; /* "sha256:..." lowest first; checked */
};
void img_config_release(struct img_config *c) __attribute__((nonnull));

/* A name in the store. */
struct img_name {
	char *name; /* as img_ref_print gives it */
	struct img_digest target; /* what the registry called it: a manifest or an index */
	struct img_digest manifest; /* the manifest of this machine's platform */
	int64_t pulled; /* seconds since the epoch */
};
struct img_names {
	struct img_name *v;
	size_t n, cap;
};
void img_names_release(struct img_names *n) __attribute__((nonnull));
#define AUTO_IMG_NAMES __attribute__((cleanup(img_names_release)))
/* Every name, sorted. */
int img_names_list(const struct img_store *s, struct img_names *ret, struct err *e)
	__attribute__((nonnull));
/*
 * Looks text up: a name, a short name (first under localhost/, then docker.io, then wherever it
 * is the only one), "sha256:..." or at least 12 digits of a manifest's digest.  *ret is owned
 * by the caller, who gives it to img_name_release.  -ENOENT: no such image.
 */
int img_name_find(const struct img_store *s, const char *text, struct img_name *ret, struct err *e)
	__attribute__((nonnull));
void img_name_release(struct img_name *n) __attribute__((nonnull));

/* An image ready to be mounted. */
struct img_image {
	char *name; /* NULL when found by digest alone */
	struct img_digest manifest, config_digest;
	struct img_config config;
	struct strv lower; /* absolute directories for overlay's lowerdir, topmost first */
	uint64_t size_bytes; /* of the compressed layers, as the manifest states */
};
/*
 * Finds the image as img_name_find does and checks that all its layers are there.  pin (or NULL)
 * keeps it from img_gc until img_unpin, also across restarts.  -ENOENT: no such image; -ENODATA:
 * some layer is missing and must be pulled again.
 */
int img_image_open(struct img_store *s, const char *text, const char *pin, struct img_image *ret,
	struct err *e) __attribute__((nonnull(1, 2, 4, 5)));
void img_image_release(struct img_image *i) __attribute__((nonnull));
#define AUTO_IMG_IMAGE __attribute__((cleanup(img_image_release)))

/* pin is a name as parse_name takes it.  Both are idempotent. */
int img_pin(struct img_store *s, const char *pin, const struct img_digest *manifest, struct err *e)
	__attribute__((nonnull));
int img_unpin(struct img_store *s, const char *pin, struct err *e) __attribute__((nonnull));

/* Takes a name away; what nothing refers to any more goes with the next img_gc.  -ENOENT. */
int img_name_remove(struct img_store *s, const char *text, struct err *e) __attribute__((nonnull));

#endif
