/*
 * A tar stream becomes a directory, with nothing outside touched whatever the archive says.
 *
 *	struct img_unpack_opts o = {.root_fd = fd, .what = "layer"};
 *	struct img_unpack_stats stats = {0};
 *	r = img_unpack(stream, &o, &stats, e);	-EBADMSG, "layer: entry 'a/b': why"
 *	img_unpack_stats_release(&stats);
 *
 * libarchive reads headers; names and writes are ours.  A name is checked as text (no "..", bounded
 * length and depth), then each directory on its way is opened by openat2 from the one above, which
 * refuses symlinks, mount points and ways out, and everything is made by descriptor and last
 *component with O_EXCL.  So an archive can write only into directories that it has itself made.
 *
 * Whiteouts (image-spec layer.md "Whiteouts") become overlayfs's: a character device 0:0, and an
 * "opaque" attribute, set both as trusted.overlay. and user.overlay. where the caller may, so the
 * layer serves mounts with and without "userxattr".
 */
#ifndef JAIL_IMAGE_UNPACK_H
#define JAIL_IMAGE_UNPACK_H

#include "image/stream.h"

struct img_unpack_opts {
	int root_fd; /* an empty directory of ours; borrowed */
	const char *what; /* for errors */
	uint64_t max_bytes; /* of file contents; 0: IMG_LAYER_MAX_BYTES */
	uint64_t max_entries; /* 0: IMG_LAYER_MAX_ENTRIES */
	uint64_t reserve_bytes; /* to be left free on the filesystem; 0: IMG_RESERVE_BYTES */
	void (*progress)(void *ctx, uint64_t in_bytes); /* may be NULL; every MiB or so */
	void *ctx;
};
enum {
	IMG_LAYER_MAX_ENTRIES = 2000000,
	IMG_PATH_MAX_DEPTH = 256,
	IMG_LAYER_MAX_IMPLIED = 8 << 20, /* bytes of names */
	IMG_RESERVE_BYTES = 64 << 20,
};

struct img_unpack_stats {
	uint64_t entries, file_bytes;
	uint64_t devices; /* device entries that became empty files */
	uint64_t dropped_xattrs; /* attributes that have no business in an image */
	bool opaque_root; /* the layer hides everything below it */
	struct strv implied; /* directories the archive uses without holding them */
};
int img_unpack(struct img_stream *s, const struct img_unpack_opts *o, struct img_unpack_stats *ret,
	struct err *e) __attribute__((nonnull));
void img_unpack_stats_release(struct img_unpack_stats *st) __attribute__((nonnull));

/*
 * Makes an archive's name canonical in ret: no leading or double slashes, no ".", "" for the root.
 * Returns its length, or -errno for "..", components beyond 255 bytes, or a name that is too
 * long or deep.
 */
enum { IMG_NAME_BYTES = 4096 };
int img_tar_name(const char *raw, char ret[static IMG_NAME_BYTES], struct err *e)
	__attribute__((nonnull));

/* Marks the directory fd opaque for overlayfs. */
int img_set_opaque(int fd, struct err *e) __attribute__((nonnull));

#endif
