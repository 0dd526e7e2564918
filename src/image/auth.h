/*
 * Who asks: challenges of registries, and the credentials kept in auth.json.
 *
 *	struct img_challenge c = {0};
 *	r = img_challenge_parse("Bearer realm=\"https://auth/token\",service=\"x\"", &c, e);
 *	r = img_credentials_find(path, "quay.io", "org/app", &cred, e);	1: found, 0: none
 *
 * RFC 9110 section 11 (challenges), distribution's token authentication, containers-auth.json(5).
 */
#ifndef JAIL_IMAGE_AUTH_H
#define JAIL_IMAGE_AUTH_H

#include "base/err.h"
#include "base/mem.h"

enum img_scheme { IMG_AUTH_OTHER, IMG_AUTH_BASIC, IMG_AUTH_BEARER };
struct img_challenge {
	enum img_scheme scheme;
	char *realm, *service;
	struct strv scopes; /* each once */
};
/*
 * Reads one WWW-Authenticate value, which may hold several challenges; the first Bearer wins, then
 * Basic.  -EINVAL: malformed, or neither of them (-ENOTSUP).
 */
int img_challenge_parse(const char *text, struct img_challenge *ret, struct err *e)
	__attribute__((nonnull));
void img_challenge_release(struct img_challenge *c) __attribute__((nonnull));

struct img_credentials {
	char *user, *password;
	char *identity_token; /* to be exchanged for a token; then user and password are NULL */
};
/*
 * Looks a registry and repository up: the longest key of "auths" that matches, or the helper of
 * "credHelpers".  path NULL: the usual files in their order.  Returns 1 when found, 0 when not.
 */
int img_credentials_find(const char *path, const char *registry, const char *repository,
	struct img_credentials *ret, struct err *e) __attribute__((nonnull(2, 3, 4, 5)));
void img_credentials_release(struct img_credentials *c) __attribute__((nonnull));
/* One auth.json's text, without helpers; *ret_helper is owned or NULL. */
int img_auth_parse(const char *text, size_t n, const char *registry, const char *repository,
	struct img_credentials *ret, char **ret_helper, struct err *e) __attribute__((nonnull));
/* "user:password" from a file of mode 0600 or a pipe. */
int img_credentials_read(const char *path, struct img_credentials *ret, struct err *e)
	__attribute__((nonnull));

/* RFC 4648 section 4; owned.  Decoding gives NULL for what is not base64 or holds NUL. */
char *img_base64(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
char *img_unbase64(const char *s) __attribute__((malloc, nonnull));

#endif
