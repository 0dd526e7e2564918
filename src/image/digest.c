#include "image/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* OpenSSL fails here only without memory, or without SHA-256: both end the process (ADR 0002). */
static void must(int ok)
{
	if (ok)
		return;
	fputs("jail-image: OpenSSL cannot compute SHA-256\n", stderr);
	_Exit(ERR_EXIT_TOOL);
}

void img_hash_init(struct img_hash *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
	h->ctx = ctx;
}

void img_hash_add(struct img_hash *h, const void *p, size_t n)
{
	must(EVP_DigestUpdate(h->ctx, p, n));
}

void img_hash_end(struct img_hash *h, struct img_digest *ret)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char md[EVP_MAX_MD_SIZE];

	must(EVP_DigestFinal_ex(h->ctx, md, NULL));
	for (size_t i = 0; i < 32; i++) {
		ret->hex[2 * i] = digits[md[i] >> 4];
		ret->hex[2 * i + 1] = digits[md[i] & 15];
	}
	ret->hex[64] = '\0';
	img_hash_release(h);
}

void img_hash_release(struct img_hash *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

void img_digest_of(const void *p, size_t n, struct img_digest *ret)
{
	struct img_hash h;

	img_hash_init(&h);
	img_hash_add(&h, p, n);
	img_hash_end(&h, ret);
}

int img_digest_expect(const char *what, const struct img_digest *want, const struct img_digest *got,
	struct err *e)
{
	if (img_digest_eq(want, got))
		return 0;
	return err_set(e, EBADMSG,
		"%s: its digest is sha256:%s, expected sha256:%s; it was damaged or replaced on "
		"the way",
		what, got->hex, want->hex);
}
