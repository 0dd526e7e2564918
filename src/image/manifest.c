#include "image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "base/path.h"

static const struct json_field platform_fields[] = {
	JSON_FIELD(struct img_platform, architecture, "architecture", JSON_STR),
	JSON_FIELD(struct img_platform, os, "os", JSON_STR),
	JSON_FIELD(struct img_platform, variant, "variant", JSON_STR),
};
static const struct json_table platform_table = JSON_TABLE(struct img_platform, platform_fields);

static const struct json_field desc_fields[] = {
	JSON_FIELD(struct img_desc, media_type, "mediaType", JSON_STR),
	JSON_FIELD(struct img_desc, digest_text, "digest", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_desc, size, "size", JSON_U64, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_desc, urls, "urls", JSON_STRV),
	JSON_FIELD(struct img_desc, annotations, "annotations", JSON_MAP),
	JSON_FIELD(struct img_desc, platform, "platform", JSON_OPTIONAL, .table = &platform_table),
};
static const struct json_table desc_table = JSON_TABLE(struct img_desc, desc_fields);

/* A list whose presence matters even when it is empty. */
#define LIST(member, key)                                                                          \
	{                                                                                          \
		.name = (key), .kind = JSON_ARRAY, .offset = offsetof(struct img_doc, member),     \
		.count_offset = offsetof(struct img_doc, n_##member),                              \
		.has_offset = offsetof(struct img_doc, has_##member), .table = &desc_table         \
	}
static const struct json_field doc_fields[] = {
	JSON_FIELD(
		struct img_doc, schema_version, "schemaVersion", JSON_U32, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_doc, media_type, "mediaType", JSON_STR),
	JSON_FIELD(struct img_doc, config, "config", JSON_OPTIONAL, .table = &desc_table),
	LIST(layers, "layers"),
	LIST(manifests, "manifests"),
	JSON_FIELD(struct img_doc, fs_layers, "fsLayers", JSON_RAW),
	JSON_FIELD(struct img_doc, annotations, "annotations", JSON_MAP),
};
static const struct json_table doc_table = JSON_TABLE(struct img_doc, doc_fields);

/* Every media type that means something here, and what it may name. */
enum use { USE_INDEX, USE_MANIFEST, USE_CONFIG, USE_LAYER, USE_FOREIGN };
static const struct {
	const char *type;
	enum use use;
} media_types[] = {
	{IMG_TYPE_OCI_INDEX, USE_INDEX},
	{IMG_TYPE_DOCKER_LIST, USE_INDEX},
	{IMG_TYPE_OCI_MANIFEST, USE_MANIFEST},
	{IMG_TYPE_DOCKER_MANIFEST, USE_MANIFEST},
	{IMG_TYPE_OCI_CONFIG, USE_CONFIG},
	{"application/vnd.docker.container.image.v1+json", USE_CONFIG},
	{IMG_TYPE_OCI_LAYER, USE_LAYER},
	{IMG_TYPE_OCI_LAYER "+gzip", USE_LAYER},
	{IMG_TYPE_OCI_LAYER "+zstd", USE_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar", USE_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.gzip", USE_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.zstd", USE_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", USE_FOREIGN},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", USE_FOREIGN},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", USE_FOREIGN},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", USE_FOREIGN},
};

static int use_of(const char *type)
{
	for (size_t i = 0; type && i < ARRAY_SIZE(media_types); i++)
		if (!strcmp(media_types[i].type, type))
			return (int)media_types[i].use;
	return -1;
}

/* The type without parameters ("; charset=utf-8"), as registries send it. */
static int use_of_header(const char *type)
{
	AUTO_FREE char *bare = type ? str_dup_n(type, strcspn(type, "; ")) : NULL;

	return use_of(bare);
}

static int bad_type(const char *what, const char *type, const char *why, struct err *e)
{
	AUTO_FREE char *seen = str_visible(type ? type : "none");

	return err_set(e, EBADMSG, "%s has media type '%.120s': %s", what, seen, why);
}

static int check_desc(struct img_desc *d, const char *what, enum use use, struct err *e)
{
	int seen = use_of(d->media_type);

	if (img_digest_parse(d->digest_text, &d->digest, e) < 0)
		return err_prefix(e, "%s", what);
	if (d->size > IMG_BLOB_MAX_BYTES)
		return err_set(e, EFBIG, "%s: %llu bytes are more than any image may have", what,
			(unsigned long long)d->size);
	if (seen == USE_FOREIGN || d->urls.n)
		return err_set(e, EBADMSG,
			"%s lives at a URL outside its registry; such layers are not fetched",
			what);
	if (use == USE_CONFIG && seen != USE_CONFIG)
		return bad_type(what, d->media_type,
			"this is no container image but some other artifact", e);
	if (use == USE_LAYER && seen != USE_LAYER)
		return bad_type(
			what, d->media_type, "this is not a kind of layer that can be unpacked", e);
	return 0;
}

static int check_manifest(struct img_doc *d, struct err *e)
{
	if (!d->config || !d->has_layers)
		return err_set(
			e, EBADMSG, "the manifest has no %s", d->config ? "layers" : "config");
	if (d->n_layers > IMG_LAYERS_MAX)
		return err_set(e, E2BIG, "the manifest has %zu layers; the limit is %d",
			d->n_layers, IMG_LAYERS_MAX);
	if (check_desc(d->config, "the manifest's config", USE_CONFIG, e) < 0)
		return -e->code;
	if (d->config->size > IMG_CONFIG_MAX_BYTES)
		return err_set(e, EFBIG,
			"the image's configuration has %llu bytes; the limit is %d",
			(unsigned long long)d->config->size, IMG_CONFIG_MAX_BYTES);
	for (size_t i = 0; i < d->n_layers; i++) {
		char what[64];

		snprintf(what, sizeof(what), "the manifest's layer %zu", i + 1);
		if (check_desc(&d->layers[i], what, USE_LAYER, e) < 0)
			return -e->code;
	}
	return 0;
}

static int check_index(struct img_doc *d, struct err *e)
{
	if (d->n_manifests > IMG_INDEX_MAX)
		return err_set(e, E2BIG, "the index has %zu manifests; the limit is %d",
			d->n_manifests, IMG_INDEX_MAX);
	for (size_t i = 0; i < d->n_manifests; i++) {
		char what[64];

		snprintf(what, sizeof(what), "the index's manifest %zu", i + 1);
		if (check_desc(&d->manifests[i], what, USE_MANIFEST, e) < 0)
			return -e->code;
	}
	return 0;
}

/* One document, one meaning (CVE-2021-41190): its own type, the sender's type and its members
 * agree. */
static int classify(struct img_doc *d, const char *media_type, struct err *e)
{
	int own = use_of(d->media_type), sent = use_of_header(media_type);
	int want = d->has_manifests ? USE_INDEX : USE_MANIFEST;

	if (d->schema_version == 1 || d->fs_layers)
		return err_set(e, EBADMSG,
			"the image has a manifest of schema 1, which no tool has written since "
			"2017; push it again with a newer one");
	if (d->schema_version != 2)
		return err_set(e, EBADMSG, "the manifest says schemaVersion %u; only 2 is known",
			d->schema_version);
	if (d->has_manifests && (d->has_layers || d->config))
		return err_set(e, EBADMSG,
			"the manifest is an index and an image at once; it is refused because "
			"programs would differ about it");
	if (!d->has_manifests && !d->has_layers && !d->config)
		return err_set(
			e, EBADMSG, "the document is neither an image's manifest nor an index");
	if ((own >= 0 || d->media_type) && own != want)
		return bad_type(
			"the manifest", d->media_type, "its contents are something else", e);
	if (sent >= 0 && sent != want)
		return bad_type("the manifest", media_type, "its contents are something else", e);
	d->kind = d->has_manifests ? IMG_DOC_INDEX : IMG_DOC_MANIFEST;
	return 0;
}

int img_doc_parse(
	const char *text, size_t n, const char *media_type, struct img_doc *ret, struct err *e)
{
	static const struct json_limits limits = {
		.max_bytes = IMG_DOC_MAX_BYTES, .max_depth = 64, .max_items = 4096};
	AUTO_IMG_DOC struct img_doc d = {0};

	if (json_read_text(&doc_table, text, n, &limits, &d, e) < 0)
		return err_prefix(e, "the manifest is not valid");
	if (classify(&d, media_type, e) < 0)
		return -e->code;
	if ((d.kind == IMG_DOC_INDEX ? check_index(&d, e) : check_manifest(&d, e)) < 0)
		return -e->code;
	*ret = d;
	d = (struct img_doc){0};
	return 0;
}

void img_doc_release(struct img_doc *d)
{
	json_release(&doc_table, d);
}

char *img_doc_print(const struct img_doc *d)
{
	return json_print_text(&doc_table, d, JSON_COMPACT);
}

/* uname's word and Go's, which images use (config.md "architecture"). */
static const struct {
	const char *machine, *architecture, *variant;
} machines[] = {
	{"x86_64", "amd64", NULL},
	{"aarch64", "arm64", "v8"},
	{"armv7l", "arm", "v7"},
	{"armv6l", "arm", "v6"},
	{"i686", "386", NULL},
	{"i386", "386", NULL},
	{"riscv64", "riscv64", NULL},
	{"ppc64le", "ppc64le", NULL},
	{"s390x", "s390x", NULL},
	{"loongarch64", "loong64", NULL},
};

static void this_platform(struct img_platform *ret)
{
	struct utsname u;

	uname(&u);
	*ret = (struct img_platform){.os = str_dup("linux")};
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (!strcmp(machines[i].machine, u.machine)) {
			ret->architecture = str_dup(machines[i].architecture);
			ret->variant = str_dup(machines[i].variant);
			return;
		}
	ret->architecture = str_dup(u.machine);
}

int img_platform_parse(const char *text, struct img_platform *ret, struct err *e)
{
	AUTO_FREE char *copy = str_dup(text);
	char *parts[4] = {NULL}, *save = NULL;
	int n = 0;

	if (!text) {
		this_platform(ret);
		return 0;
	}
	for (char *p = strtok_r(copy, "/", &save); p && n < 4; p = strtok_r(NULL, "/", &save))
		parts[n++] = p;
	if (n < 2 || n > 3)
		return err_set(e, EINVAL,
			"'%.60s' is not a platform such as linux/amd64 or linux/arm/v7", text);
	*ret = (struct img_platform){.os = str_dup(parts[0]),
		.architecture = str_dup(parts[1]),
		.variant = str_dup(parts[2])};
	return 0;
}

void img_platform_release(struct img_platform *p)
{
	json_release(&platform_table, p);
}

/* 0: not for it; the more, the better it fits. */
static int fitness(const struct img_platform *have, const struct img_platform *want)
{
	if (!have || !str_eq(have->os, want->os) || !str_eq(have->architecture, want->architecture))
		return 0;
	if (str_eq(have->variant, want->variant))
		return 3;
	/* arm64 without a variant means v8; a wanted variant may be left out in the index. */
	return !have->variant ? 2 : !want->variant ? 1 : 0;
}

int img_index_choose(const struct img_doc *doc, const struct img_platform *p,
	const struct img_desc **ret, struct err *e)
{
	AUTO_BUF struct buf there = {0};
	const struct img_desc *best = NULL;
	int best_fit = 0;

	for (size_t i = 0; i < doc->n_manifests; i++) {
		const struct img_desc *d = &doc->manifests[i];
		int fit = fitness(d->platform, p);

		if (fit > best_fit) {
			best = d;
			best_fit = fit;
		}
		if (d->platform && d->platform->architecture && there.n < 200) {
			AUTO_FREE char *seen = str_visible(d->platform->architecture);

			buf_addf(&there, "%s%.20s", there.n ? ", " : "", seen);
		}
	}
	/* An index of one image that says nothing of platforms, as layouts often hold. */
	if (!best && doc->n_manifests == 1 && !doc->manifests[0].platform)
		best = &doc->manifests[0];
	if (!best)
		return err_set(e, ENOENT, "the image is not made for %s/%s; it exists for: %s",
			p->os, p->architecture, there.n ? there.p : "nothing");
	*ret = best;
	return 0;
}

/* The configuration as it stands in JSON (config.md); "config" has Go's capitals. */
struct key {
	char *name;
};
static const struct json_table key_table = {.size = sizeof(struct key)};
struct run_json {
	char *user, *working_dir, *stop_signal;
	struct strv env, entrypoint, cmd;
	struct key *volumes, *ports;
	size_t n_volumes, n_ports;
	struct strmap labels;
};
struct rootfs_json {
	char *type;
	struct strv diff_ids;
};
struct config_json {
	char *created, *author, *architecture, *os, *variant;
	struct run_json config;
	struct rootfs_json rootfs;
};

static const struct json_field run_fields[] = {
	JSON_FIELD(struct run_json, user, "User", JSON_STR),
	JSON_FIELD_ARRAY(struct run_json, ports, "ExposedPorts", JSON_KEYED, .table = &key_table),
	JSON_FIELD(struct run_json, env, "Env", JSON_STRV),
	JSON_FIELD(struct run_json, entrypoint, "Entrypoint", JSON_STRV),
	JSON_FIELD(struct run_json, cmd, "Cmd", JSON_STRV),
	JSON_FIELD_ARRAY(struct run_json, volumes, "Volumes", JSON_KEYED, .table = &key_table),
	JSON_FIELD(struct run_json, working_dir, "WorkingDir", JSON_STR),
	JSON_FIELD(struct run_json, labels, "Labels", JSON_MAP),
	JSON_FIELD(struct run_json, stop_signal, "StopSignal", JSON_STR),
};
static const struct json_table run_table = JSON_TABLE(struct run_json, run_fields);
static const struct json_field rootfs_fields[] = {
	JSON_FIELD(struct rootfs_json, type, "type", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct rootfs_json, diff_ids, "diff_ids", JSON_STRV, .flags = JSON_REQUIRED),
};
static const struct json_table rootfs_table = JSON_TABLE(struct rootfs_json, rootfs_fields);
static const struct json_field config_fields[] = {
	JSON_FIELD(struct config_json, created, "created", JSON_STR),
	JSON_FIELD(struct config_json, author, "author", JSON_STR),
	JSON_FIELD(struct config_json, architecture, "architecture", JSON_STR),
	JSON_FIELD(struct config_json, os, "os", JSON_STR),
	JSON_FIELD(struct config_json, variant, "variant", JSON_STR),
	JSON_FIELD(struct config_json, config, "config", JSON_OBJECT, .table = &run_table),
	JSON_FIELD(struct config_json, rootfs, "rootfs", JSON_OBJECT, .table = &rootfs_table,
		.flags = JSON_REQUIRED),
};
static const struct json_table config_table = JSON_TABLE(struct config_json, config_fields);

static int refuse(const char *what, const char *value, const char *why, struct err *e)
{
	AUTO_FREE char *seen = str_visible(value);

	return err_set(e, EBADMSG, "the image's %s '%.120s' %s", what, seen, why);
}

static int check_env(const struct strv *env, struct err *e)
{
	if (env->n > IMG_ENV_MAX)
		return err_set(e, E2BIG, "the image sets %zu variables; the limit is %d", env->n,
			IMG_ENV_MAX);
	for (size_t i = 0; i < env->n; i++)
		if (!strchr(env->v[i], '=') || env->v[i][0] == '=')
			return refuse("variable", env->v[i], "is not NAME=VALUE", e);
	return 0;
}

/* A volume may not cover what the engine relies on, nor lead anywhere by "..". */
static int take_volume(const char *v, struct img_config *c, struct err *e)
{
	static const char *const kept[] = {"/proc", "/sys", "/dev"};
	AUTO_FREE char *clean = path_clean(v);

	if (v[0] != '/' || !strcmp(clean, "/"))
		return refuse("volume", v, "is not an absolute path below the root", e);
	for (const char *p = strstr(v, ".."); p; p = strstr(p + 2, ".."))
		if (p[-1] == '/' && (!p[2] || p[2] == '/'))
			return refuse("volume", v, "holds '..'", e);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (path_is_below(clean, kept[i]))
			return refuse("volume", v, "would cover /proc, /sys or /dev", e);
	strv_add(&c->volumes, clean);
	return 0;
}

static int check_port(const char *port, struct err *e)
{
	size_t n = strspn(port, "0123456789"), tail = n + (port[n] == '-');

	tail += strspn(port + tail, "0123456789");
	if (!n || n > 5 || tail > 11 ||
		(port[tail] && strcmp(port + tail, "/tcp") && strcmp(port + tail, "/udp") &&
			strcmp(port + tail, "/sctp")))
		return refuse("port", port, "is not a number with /tcp or /udp", e);
	return 0;
}

static int check_diff_ids(const struct strv *ids, size_t n_layers, struct err *e)
{
	struct img_digest d;

	if (n_layers != SIZE_MAX && ids->n != n_layers)
		return err_set(e, EBADMSG,
			"the image's configuration names %zu layers, its manifest %zu", ids->n,
			n_layers);
	if (ids->n > IMG_LAYERS_MAX)
		return err_set(e, E2BIG, "the image has %zu layers; the limit is %d", ids->n,
			IMG_LAYERS_MAX);
	for (size_t i = 0; i < ids->n; i++)
		if (img_digest_parse(ids->v[i], &d, e) < 0)
			return err_prefix(e, "the image's configuration, diff_id %zu", i + 1);
	return 0;
}

static int take_config(struct config_json *j, size_t n_layers, struct img_config *c, struct err *e)
{
	struct run_json *run = &j->config;

	if (strcmp(j->rootfs.type, "layers"))
		return refuse("rootfs type", j->rootfs.type, "is not 'layers'", e);
	if (check_diff_ids(&j->rootfs.diff_ids, n_layers, e) < 0 || check_env(&run->env, e) < 0)
		return -e->code;
	for (size_t i = 0; i < run->n_volumes; i++)
		if (take_volume(run->volumes[i].name, c, e) < 0)
			return -e->code;
	for (size_t i = 0; i < run->n_ports; i++) {
		if (check_port(run->ports[i].name, e) < 0)
			return -e->code;
		strv_add(&c->exposed_ports, run->ports[i].name);
	}
	for (size_t i = 0; i < run->labels.n; i++)
		strv_addf(&c->labels, "%s=%s", run->labels.v[i].key, run->labels.v[i].value);
	if (run->working_dir && *run->working_dir)
		c->working_dir =
			str_fmt("%s%s", *run->working_dir == '/' ? "" : "/", run->working_dir);
	c->architecture = mem_take(&j->architecture);
	c->os = mem_take(&j->os);
	c->variant = mem_take(&j->variant);
	c->created = mem_take(&j->created);
	c->author = mem_take(&j->author);
	c->user = mem_take(&run->user);
	c->stop_signal = mem_take(&run->stop_signal);
	strv_copy(&c->env, &run->env);
	strv_copy(&c->entrypoint, &run->entrypoint);
	strv_copy(&c->cmd, &run->cmd);
	strv_copy(&c->diff_ids, &j->rootfs.diff_ids);
	return 0;
}

int img_config_parse(
	const char *text, size_t n, size_t n_layers, struct img_config *ret, struct err *e)
{
	static const struct json_limits limits = {
		.max_bytes = IMG_CONFIG_MAX_BYTES, .max_depth = 64, .max_items = 8192};
	struct config_json j = {0};
	struct img_config c = {0};
	int r = json_read_text(&config_table, text, n, &limits, &j, e);

	if (r < 0)
		return err_prefix(e, "the image's configuration is not valid");
	r = take_config(&j, n_layers, &c, e);
	json_release(&config_table, &j);
	if (r < 0)
		img_config_release(&c);
	else
		*ret = c;
	return r;
}

static struct key *keys_of(const struct strv *sv)
{
	struct key *k = mem_new_array(sv->n, sizeof(*k));

	for (size_t i = 0; i < sv->n; i++)
		k[i].name = str_dup(sv->v[i]);
	return k;
}

char *img_config_print(const struct img_config *c)
{
	struct config_json j = {.created = str_dup(c->created),
		.author = str_dup(c->author),
		.architecture = str_dup(c->architecture),
		.os = str_dup(c->os),
		.variant = str_dup(c->variant),
		.config = {.user = str_dup(c->user),
			.working_dir = str_dup(c->working_dir),
			.stop_signal = str_dup(c->stop_signal),
			.volumes = keys_of(&c->volumes),
			.n_volumes = c->volumes.n,
			.ports = keys_of(&c->exposed_ports),
			.n_ports = c->exposed_ports.n},
		.rootfs.type = str_dup("layers")};
	char *text;

	strv_copy(&j.config.env, &c->env);
	strv_copy(&j.config.entrypoint, &c->entrypoint);
	strv_copy(&j.config.cmd, &c->cmd);
	strv_copy(&j.rootfs.diff_ids, &c->diff_ids);
	for (size_t i = 0; i < c->labels.n; i++) {
		const char *eq = strchr(c->labels.v[i], '=');
		AUTO_FREE char *key = str_dup_n(c->labels.v[i], (size_t)(eq - c->labels.v[i]));

		strmap_set(&j.config.labels, key, eq + 1);
	}
	text = json_print_text(&config_table, &j, JSON_COMPACT);
	json_release(&config_table, &j);
	return text;
}

void img_config_release(struct img_config *c)
{
	char **strings[] = {&c->architecture, &c->os, &c->variant, &c->user, &c->working_dir,
		&c->stop_signal, &c->created, &c->author};
	struct strv *lists[] = {&c->env, &c->entrypoint, &c->cmd, &c->volumes, &c->exposed_ports,
		&c->labels, &c->diff_ids};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		str_set(strings[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		strv_release(lists[i]);
}

static const struct json_field saved_fields[] = {
	JSON_FIELD(struct img_saved, config, "Config", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_saved, repo_tags, "RepoTags", JSON_STRV),
	JSON_FIELD(struct img_saved, layers, "Layers", JSON_STRV, .flags = JSON_REQUIRED),
};
static const struct json_table saved_table = JSON_TABLE(struct img_saved, saved_fields);
static const struct json_field saved_list_fields[] = {
	{.name = "images",
		.kind = JSON_ARRAY,
		.offset = offsetof(struct img_saved_list, v),
		.count_offset = offsetof(struct img_saved_list, n),
		.has_offset = JSON_NO_OFFSET,
		.table = &saved_table},
};
static const struct json_table saved_list_table =
	JSON_TABLE(struct img_saved_list, saved_list_fields);

int img_saved_parse(const char *text, size_t n, struct img_saved_list *ret, struct err *e)
{
	static const struct json_limits limits = {
		.max_bytes = IMG_DOC_MAX_BYTES, .max_depth = 16, .max_items = 1024};
	AUTO_BUF struct buf b = {0};

	/* An array on its own: tables read objects. */
	buf_adds(&b, "{\"images\":");
	buf_add(&b, text, n);
	buf_adds(&b, "}");
	if (json_read_text(&saved_list_table, b.p, b.n, &limits, ret, e) < 0)
		return err_prefix(e, "manifest.json is not valid");
	for (size_t i = 0; i < ret->n; i++)
		if (ret->v[i].layers.n > IMG_LAYERS_MAX) {
			img_saved_release(ret);
			return err_set(
				e, E2BIG, "manifest.json: more than %d layers", IMG_LAYERS_MAX);
		}
	return 0;
}

void img_saved_release(struct img_saved_list *l)
{
	json_release(&saved_list_table, l);
}
