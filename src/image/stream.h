/*
 * A compressed file as a stream of plain bytes.  A second thread reads, decompresses and hashes
 * while the caller works on what came before, with a fixed number of buffers between them.
 *
 *	r = img_stream_open(fd, "layer", &limits, &s, e);
 *	while ((n = img_stream_next(s, &p, e)) > 0)
 *		...n bytes at p, until the next call...
 *	r = img_stream_finish(s, &sums, e);	reads what is left and gives the digest
 *	img_stream_free(s);
 */
#ifndef JAIL_IMAGE_STREAM_H
#define JAIL_IMAGE_STREAM_H

#include <sys/types.h>

#include "image/hash.h"
#include "image/inflate.h"

struct img_stream;

/* Bounds against decompression bombs (SECURITY H14). */
struct img_stream_limits {
	uint64_t max_bytes; /* of plain bytes; 0: IMG_LAYER_MAX_BYTES */
	/* Beyond free_bytes of output, more than ratio times the input is refused; 0: defaults. */
	uint64_t free_bytes, ratio;
};
#define IMG_LAYER_MAX_BYTES  (64ull << 30)
#define IMG_RATIO_FREE_BYTES (1ull << 30)
#define IMG_RATIO_MAX        200ull

struct img_sums {
	struct img_digest digest; /* of the plain bytes: an OCI diff_id */
	uint64_t in_bytes, out_bytes;
	enum img_compression compression;
};

/* fd is borrowed, read from its offset 0 with pread.  limits may be NULL. */
int img_stream_open(int fd, const struct img_stream_limits *limits, struct img_stream **ret,
	struct err *e) __attribute__((nonnull(3, 4)));
/* Bytes at *ret, 0 at the end, or the error of the reading thread. */
ssize_t img_stream_next(struct img_stream *s, const void **ret, struct err *e)
	__attribute__((nonnull));
int img_stream_finish(struct img_stream *s, struct img_sums *ret, struct err *e)
	__attribute__((nonnull));
/* Input bytes read so far: for progress. */
uint64_t img_stream_position(struct img_stream *s) __attribute__((nonnull));
void img_stream_free(struct img_stream *s);

#endif
