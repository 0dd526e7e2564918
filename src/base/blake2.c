#include "base/blake2.h"

#include <endian.h>
#include <string.h>

static const uint64_t IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
	0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b,
	0x5be0cd19137e2179};

/* RFC 7693, 2.7; rounds 10 and 11 use the first two again. */
static const uint8_t SIGMA[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotr(uint64_t x, unsigned int n)
{
	return x >> n | x << (64 - n);
}

#define MIX(a, b, c, d, x, y)                                                                      \
	do {                                                                                       \
		a += b + (x);                                                                      \
		d = rotr(d ^ a, 32);                                                               \
		c += d;                                                                            \
		b = rotr(b ^ c, 24);                                                               \
		a += b + (y);                                                                      \
		d = rotr(d ^ a, 16);                                                               \
		c += d;                                                                            \
		b = rotr(b ^ c, 63);                                                               \
	} while (0)

static void compress(struct blake2 *s, uint64_t last)
{
	uint64_t m[16], v[16];

	for (int i = 0; i < 16; i++) {
		uint64_t le;

		memcpy(&le, s->block + 8 * i, 8);
		m[i] = le64toh(le);
		v[i] = i < 8 ? s->h[i] : IV[i - 8];
	}
	v[12] ^= s->n; /* the high half of the 128-bit count stays 0 */
	v[14] ^= last;
	for (int round = 0; round < 12; round++) {
		const uint8_t *k = SIGMA[round % 10];

		MIX(v[0], v[4], v[8], v[12], m[k[0]], m[k[1]]);
		MIX(v[1], v[5], v[9], v[13], m[k[2]], m[k[3]]);
		MIX(v[2], v[6], v[10], v[14], m[k[4]], m[k[5]]);
		MIX(v[3], v[7], v[11], v[15], m[k[6]], m[k[7]]);
		MIX(v[0], v[5], v[10], v[15], m[k[8]], m[k[9]]);
		MIX(v[1], v[6], v[11], v[12], m[k[10]], m[k[11]]);
		MIX(v[2], v[7], v[8], v[13], m[k[12]], m[k[13]]);
		MIX(v[3], v[4], v[9], v[14], m[k[14]], m[k[15]]);
	}
	for (int i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
}

void blake2_init(struct blake2 *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->h, IV, sizeof(IV));
	/* The parameter block: no key, fanout and depth 1 (RFC 7693, 2.5). */
	s->h[0] ^= 0x01010000 ^ BLAKE2_BYTES;
}

void blake2_add(struct blake2 *s, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n) {
		size_t take = BLAKE2_BLOCK_BYTES - s->held;

		/* A full block waits until more comes: the last one is compressed differently. */
		if (!take) {
			s->n += BLAKE2_BLOCK_BYTES;
			compress(s, 0);
			s->held = 0;
			continue;
		}
		if (take > n)
			take = n;
		memcpy(s->block + s->held, b, take);
		s->held += take, b += take, n -= take;
	}
}

void blake2_end(struct blake2 *s, uint8_t digest[static BLAKE2_BYTES])
{
	memset(s->block + s->held, 0, BLAKE2_BLOCK_BYTES - s->held);
	s->n += s->held;
	compress(s, UINT64_MAX);
	for (int i = 0; i < BLAKE2_BYTES / 8; i++) {
		uint64_t le = htole64(s->h[i]);

		memcpy(digest + 8 * i, &le, 8);
	}
}

void blake2_hex(const uint8_t digest[static BLAKE2_BYTES], char hex[static BLAKE2_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < BLAKE2_BYTES; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[2 * BLAKE2_BYTES] = '\0';
}
