/*
 * SHA-256 while streaming, by OpenSSL (1.3 GB/s and more with the processor's instructions).
 *
 *	struct img_hash h;
 *	img_hash_init(&h);
 *	while (...) img_hash_add(&h, p, n);
 *	img_hash_end(&h, &digest);
 */
#ifndef JAIL_IMAGE_HASH_H
#define JAIL_IMAGE_HASH_H

#include <stddef.h>

#include "image/image.h"

struct img_hash {
	void *ctx; /* EVP_MD_CTX */
};
void img_hash_init(struct img_hash *h) __attribute__((nonnull));
void img_hash_add(struct img_hash *h, const void *p, size_t n) __attribute__((nonnull(1)));
/* Finishes and releases. */
void img_hash_end(struct img_hash *h, struct img_digest *ret) __attribute__((nonnull));
/* Releases without a result; an unused or finished one too. */
void img_hash_release(struct img_hash *h) __attribute__((nonnull));
#define AUTO_IMG_HASH __attribute__((cleanup(img_hash_release)))

/* The digest of bytes in memory. */
void img_digest_of(const void *p, size_t n, struct img_digest *ret) __attribute__((nonnull(3)));
/*
 * Compares what was announced with what came; -EBADMSG "what: digest is ..., expected ..." when
 * they differ.
 */
int img_digest_expect(const char *what, const struct img_digest *want, const struct img_digest *got,
	struct err *e) __attribute__((nonnull));

#endif
