/*
 * A directory becomes a tar stream: a root directory, or the upper directory of an overlay, whose
 * deletions become whiteouts (image-spec layer.md).
 *
 *	struct img_pack_opts o = {.upper = true};
 *	r = img_pack_layer(store, root_fd, &o, &layer, e);	into the store, as gzip
 *	r = img_pack_fd(root_fd, &o, out_fd, e);		as plain tar
 *
 * The directory may be another's and may change meanwhile: everything in it is reached by
 *descriptors and never followed; FIFOs and devices are described, not opened.
 */
#ifndef JAIL_IMAGE_PACK_H
#define JAIL_IMAGE_PACK_H

#include "image/ops.h"

struct img_pack_opts {
	bool upper; /* of an overlay: 0:0 devices and opaque directories are deletions */
	/* Owners on the disk from id_base on are the image's from 0 on; id_count 0: as they are. */
	uint32_t id_base, id_count;
	struct strv leave_out; /* borrowed: paths at the top, as "proc", whose contents stay out */
};
/* Packs, compresses, hashes and stores; does not unpack. */
int img_pack_layer(struct img_store *s, int root_fd, const struct img_pack_opts *o,
	struct img_new_layer *ret, struct err *e) __attribute__((nonnull));
int img_pack_fd(int root_fd, const struct img_pack_opts *o, int out_fd, struct err *e)
	__attribute__((nonnull));

/*
 * commit: base's layers (base NULL: none) and what root_fd holds are image name; config gives what
 * differs from base's and may be changed.
 */
int img_commit(const struct img_job *job, const char *base, int root_fd,
	const struct img_pack_opts *o, struct img_config *config, const char *name,
	struct img_name *ret, struct err *e) __attribute__((nonnull(1, 4, 5, 6, 7, 8)));

/* The image as one archive that skopeo, podman and docker load read: an OCI layout with docker's
 * manifest.json. */
int img_export(const struct img_job *job, const char *text, int out_fd, struct err *e)
	__attribute__((nonnull));

#endif
