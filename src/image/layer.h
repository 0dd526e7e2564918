/*
 * A layer blob of the store becomes layers/DIFF_ID/fs, visible only when whole and verified.
 *
 *	r = img_layer_unpack(store, &blob, &diff_id, &opts, &stats, e);	1: was there already
 */
#ifndef JAIL_IMAGE_LAYER_H
#define JAIL_IMAGE_LAYER_H

#include "image/store.h"
#include "image/unpack.h"

struct img_layer_opts {
	uint64_t max_bytes, max_entries; /* 0: the defaults of unpack.h */
	void (*progress)(void *ctx, uint64_t in_bytes);
	void *ctx;
};
/*
 * Unpacks the blob (which must be in the store).  diff_id NULL: the digest of the plain tar is
 * taken as it comes out and given in *ret_sums.  Another process that unpacks the same layer is
 * waited for.  On failure nothing of it is left.
 */
int img_layer_unpack(struct img_store *s, const struct img_digest *blob,
	const struct img_digest *diff_id, const struct img_layer_opts *o, struct img_sums *ret_sums,
	struct err *e) __attribute__((nonnull(1, 2, 4, 6)));
/* True when the layer hides all below it. */
bool img_layer_is_opaque(const struct img_store *s, const struct img_digest *diff_id)
	__attribute__((nonnull));
/* Directories that the layer's archive used without holding them. */
int img_layer_implied(const struct img_store *s, const struct img_digest *diff_id, struct strv *ret,
	struct err *e) __attribute__((nonnull));
/*
 * The layers (lowest first) need one more on top when a directory that one of them only implied
 * has another mode, owner or attributes in a layer below: overlay would show the implied ones.
 * Makes that layer under the id *id when it is needed; returns 1 then, else 0.
 */
int img_layer_fixup(struct img_store *s, const struct strv *diff_ids, const struct img_digest *id,
	struct err *e) __attribute__((nonnull));

#endif
