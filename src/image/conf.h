/*
 * registries.conf (containers-registries.conf(5), version 2): short names, mirrors, what is
 * insecure or blocked.
 *
 *	struct img_conf conf = {0};
 *	r = img_conf_load(NULL, &conf, e);
 *	r = img_conf_short(&conf, &ref, &candidates, e);
 *	r = img_conf_endpoints(&conf, &ref, &endpoints, e);
 *	img_conf_release(&conf);
 */
#ifndef JAIL_IMAGE_CONF_H
#define JAIL_IMAGE_CONF_H

#include "base/json.h"
#include "image/image.h"

struct img_conf_place {
	char *location;
	bool insecure;
};
struct img_conf_registry {
	char *prefix, *location;
	bool insecure, blocked;
	struct img_conf_place *mirrors;
	size_t n_mirrors, cap_mirrors;
};
struct img_conf {
	struct strv search; /* unqualified-search-registries */
	struct strmap aliases;
	struct img_conf_registry *registries;
	size_t n_registries, cap_registries;
};
/* path NULL: /etc/containers/registries.conf and registries.conf.d, where they are. */
int img_conf_load(const char *path, struct img_conf *ret, struct err *e)
	__attribute__((nonnull(2, 3)));
/* Adds one file's text; what is for this file's errors. */
int img_conf_parse(struct img_conf *c, const char *text, const char *what, struct err *e)
	__attribute__((nonnull));
void img_conf_release(struct img_conf *c) __attribute__((nonnull));

/* The whole names that a short one may stand for, in order; docker.io when nothing else is said. */
int img_conf_short(const struct img_conf *c, const struct img_ref *ref, struct strv *ret,
	struct err *e) __attribute__((nonnull));

/* Where to ask for an image: mirrors first. */
struct img_endpoint {
	char *host; /* host[:port] */
	char *repository;
	bool insecure; /* TLS may be unverified, or absent */
};
struct img_endpoints {
	struct img_endpoint *v;
	size_t n, cap;
};
/* -EPERM: blocked by the configuration. */
int img_conf_endpoints(const struct img_conf *c, const struct img_ref *ref,
	struct img_endpoints *ret, struct err *e) __attribute__((nonnull));
void img_endpoints_release(struct img_endpoints *p) __attribute__((nonnull));

#endif
