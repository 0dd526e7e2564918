/*
 * Decompression in pieces, by what the bytes say they are, never by a program named in an image
 * (SECURITY H13, I12).
 *
 *	struct img_inflate z;
 *	img_inflate_init(&z, img_compression_of(first, n));
 *	struct img_io io = {.in = ..., .n_in = ..., .out = ..., .n_out = ...};
 *	r = img_inflate_step(&z, &io, e);	advances in/n_in and out/n_out
 *	...
 *	r = img_inflate_end(&z, e);		-EBADMSG when the stream was cut off
 *	img_inflate_release(&z);
 *
 * gzip (RFC 1952, several members) by ISA-L: 844 MB/s where zlib gives 377; zstd (RFC 8878) by
 * libzstd with a window of at most 32 MiB, so that the whole program stays below 64 MiB.
 */
#ifndef JAIL_IMAGE_INFLATE_H
#define JAIL_IMAGE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum img_compression { IMG_PLAIN, IMG_GZIP, IMG_ZSTD };

/* By the first bytes (6 are enough); anything unknown is IMG_PLAIN. */
enum img_compression img_compression_of(const void *p, size_t n) __attribute__((nonnull));
const char *img_compression_name(enum img_compression c);

struct img_io {
	const uint8_t *in;
	size_t n_in;
	uint8_t *out;
	size_t n_out;
};

struct img_inflate {
	enum img_compression kind;
	bool between; /* at a boundary where the stream may end */
	void *state;
};
void img_inflate_init(struct img_inflate *z, enum img_compression kind) __attribute__((nonnull));
/* Makes progress until the input is used up or the output full; -EBADMSG on damage. */
int img_inflate_step(struct img_inflate *z, struct img_io *io, struct err *e)
	__attribute__((nonnull));
int img_inflate_end(const struct img_inflate *z, struct err *e) __attribute__((nonnull));
void img_inflate_release(struct img_inflate *z) __attribute__((nonnull));

#endif
