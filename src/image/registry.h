/*
 * A registry (distribution-spec 1.1) as a source of images, and as a place to push them to.
 *
 *	struct img_registry_opts o = {.authfile = NULL};
 *	r = img_source_registry(&ref, &o, &src, e);	then img_pull
 *	r = img_push(&job, &manifest, &ref, &o, &digest, e);
 *
 * TLS is verified, always, unless registries.conf or the caller calls the registry insecure;
 *loopback may speak plain HTTP.  Credentials go to the registry that they are for, and to the token
 *service it names over TLS; never along with a redirect to another host.
 */
#ifndef JAIL_IMAGE_REGISTRY_H
#define JAIL_IMAGE_REGISTRY_H

#include "image/ops.h"

struct img_registry_opts {
	const char *authfile; /* NULL: the usual places */
	const char *creds_file; /* "user:password"; NULL: from authfile */
	const char *certs_dir; /* ca.crt, client.cert, client.key; NULL: certs.d of the registry */
	const char *conf; /* registries.conf; NULL: the usual places */
	bool insecure;
	unsigned int retries; /* of one request; 0: 5 */
};
/* ref must be whole (img_ref_qualify). */
int img_source_registry(const struct img_ref *ref, const struct img_registry_opts *o,
	struct img_source *ret, struct err *e) __attribute__((nonnull));
/* Pushes the image that manifest names and gives it ref's tag there. */
int img_push(const struct img_job *job, const struct img_digest *manifest,
	const struct img_ref *ref, const struct img_registry_opts *o, struct err *e)
	__attribute__((nonnull));

#endif
