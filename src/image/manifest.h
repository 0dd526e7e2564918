/*
 * What registries say about images: index, manifest, configuration.  Pure: bytes in, structs or an
 * error out.  The bytes must have been verified against their digest before.
 *
 *	struct img_doc doc = {0};
 *	r = img_doc_parse(text, n, media_type, &doc, e);
 *	if (doc.kind == IMG_DOC_INDEX)
 *		d = img_index_choose(&doc, &platform, e);	...fetch d, parse again...
 *	else
 *		...doc.config, doc.layers...
 *	img_doc_release(&doc);
 *
 * Refused (SECURITY I): what is index and manifest at once, duplicate keys, digests other than
 * sha256, sizes that are negative or absurd, layers that live at a URL of their own, more than
 * IMG_LAYERS_MAX layers, anything that is not an image.
 */
#ifndef JAIL_IMAGE_MANIFEST_H
#define JAIL_IMAGE_MANIFEST_H

#include "base/json.h"
#include "image/image.h"

enum {
	IMG_DOC_MAX_BYTES = 1 << 20, /* manifest, index */
	IMG_CONFIG_MAX_BYTES = 2 << 20,
	IMG_LAYERS_MAX = 127,
	IMG_INDEX_MAX = 1024,
	IMG_ENV_MAX = 4096,
};
#define IMG_BLOB_MAX_BYTES (1ull << 40)

#define IMG_TYPE_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define IMG_TYPE_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define IMG_TYPE_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define IMG_TYPE_OCI_LAYER       "application/vnd.oci.image.layer.v1.tar"
#define IMG_TYPE_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define IMG_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct img_platform {
	char *architecture, *os, *variant;
};
/* descriptor.md */
struct img_desc {
	char *media_type, *digest_text;
	struct img_digest digest; /* digest_text, checked */
	uint64_t size;
	struct strv urls;
	struct strmap annotations;
	struct img_platform *platform; /* NULL when absent */
};
enum img_doc_kind { IMG_DOC_MANIFEST, IMG_DOC_INDEX };
struct img_doc {
	enum img_doc_kind kind;
	uint32_t schema_version;
	char *media_type;
	struct img_desc *config;
	struct img_desc *layers, *manifests;
	size_t n_layers, n_manifests;
	bool has_layers, has_manifests;
	char *fs_layers; /* of schema 1, which has no digests worth the name */
	struct strmap annotations;
};
/* media_type is what the descriptor or the registry called it, or NULL. */
int img_doc_parse(const char *text, size_t n, const char *media_type, struct img_doc *ret,
	struct err *e) __attribute__((nonnull(1, 4, 5)));
void img_doc_release(struct img_doc *d) __attribute__((nonnull));
#define AUTO_IMG_DOC __attribute__((cleanup(img_doc_release)))
/* A new manifest as JSON; owned. */
char *img_doc_print(const struct img_doc *d) __attribute__((malloc, returns_nonnull, nonnull));

/* The platform of this machine (GOARCH words), or of "os/arch[/variant]"; ret is owned. */
int img_platform_parse(const char *text, struct img_platform *ret, struct err *e)
	__attribute__((nonnull(2, 3)));
void img_platform_release(struct img_platform *p) __attribute__((nonnull));
/* The manifest for the platform; borrowed from doc.  -ENOENT names what there is instead. */
int img_index_choose(const struct img_doc *doc, const struct img_platform *p,
	const struct img_desc **ret, struct err *e) __attribute__((nonnull));

/*
 * The configuration; n_layers as the manifest has them (SIZE_MAX: unknown).  The image's
 * variables, volumes and working folder are checked here (SECURITY I10).
 */
int img_config_parse(const char *text, size_t n, size_t n_layers, struct img_config *ret,
	struct err *e) __attribute__((nonnull));
/* As JSON, for images made here; owned. */
char *img_config_print(const struct img_config *c)
	__attribute__((malloc, returns_nonnull, nonnull));

/* docker save's manifest.json: one element per image. */
struct img_saved {
	char *config; /* a path in the archive */
	struct strv repo_tags;
	struct strv layers; /* paths in the archive, lowest first */
};
struct img_saved_list {
	struct img_saved *v;
	size_t n;
};
int img_saved_parse(const char *text, size_t n, struct img_saved_list *ret, struct err *e)
	__attribute__((nonnull));
void img_saved_release(struct img_saved_list *l) __attribute__((nonnull));

#endif
