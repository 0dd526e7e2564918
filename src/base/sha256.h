/*
 * SHA-256 (FIPS 180-4), for naming things by their content where no linked library has it.
 *
 *	struct sha256 s;
 *	uint8_t digest[SHA256_BYTES];
 *
 *	sha256_init(&s);
 *	sha256_add(&s, p, n);
 *	sha256_end(&s, digest);
 *	sha256_hex(digest, name);
 */
#ifndef JAIL_BASE_SHA256_H
#define JAIL_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65 };

struct sha256 {
	uint32_t h[8];
	uint64_t n; /* bytes taken in */
	uint8_t block[64]; /* n % 64 of them wait here */
};

void sha256_init(struct sha256 *s) __attribute__((nonnull));
void sha256_add(struct sha256 *s, const void *p, size_t n) __attribute__((nonnull(1)));
void sha256_end(struct sha256 *s, uint8_t digest[static SHA256_BYTES]) __attribute__((nonnull));
/* 64 lower-case digits and a 0. */
void sha256_hex(const uint8_t digest[static SHA256_BYTES], char hex[static SHA256_HEX_BYTES])
	__attribute__((nonnull));

#endif
