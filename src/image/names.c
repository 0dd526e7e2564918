/* Names, pins and records of the store: small JSON files that are replaced whole. */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parse.h"

enum { RECORD_MAX_BYTES = 65536, MIN_HEX = 12 };

struct name_json {
	char *name, *target, *manifest;
	int64_t pulled;
};
static const struct json_field name_fields[] = {
	JSON_FIELD(struct name_json, name, "name", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct name_json, target, "target", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct name_json, manifest, "manifest", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct name_json, pulled, "pulled", JSON_I64),
};
static const struct json_table name_table =
	JSON_TABLE(struct name_json, name_fields, .flags = JSON_STRICT);

static const struct json_field record_fields[] = {
	JSON_FIELD(struct img_record, config, "config", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_record, layers, "layers", JSON_STRV, .flags = JSON_REQUIRED),
	JSON_FIELD(struct img_record, size_bytes, "size", JSON_U64),
};
static const struct json_table record_table =
	JSON_TABLE(struct img_record, record_fields, .flags = JSON_STRICT);

/* A reference holds '/', a file name may not; '%' is in no reference. */
static char *file_of(const char *name)
{
	char *f = str_fmt("%s.json", name);

	for (char *p = f; *p; p++)
		if (*p == '/')
			*p = '%';
	return f;
}

static int name_read(
	const struct img_store *s, const char *file, struct img_name *ret, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	struct name_json j = {0};
	int r;

	if (file_read(s->refs_fd, file, RECORD_MAX_BYTES, &b, e) < 0)
		return -e->code;
	if (json_read_text(&name_table, b.p, b.n, NULL, &j, e) < 0)
		return err_prefix(e, "'%s/refs/%s' is damaged", s->path, file);
	r = img_digest_parse(j.target, &ret->target, e);
	if (r >= 0)
		r = img_digest_parse(j.manifest, &ret->manifest, e);
	if (r < 0)
		err_prefix(e, "'%s/refs/%s' is damaged", s->path, file);
	ret->pulled = j.pulled;
	ret->name = r < 0 ? NULL : mem_take(&j.name);
	json_release(&name_table, &j);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct img_name *)a)->name, ((const struct img_name *)b)->name);
}

int img_names_list(const struct img_store *s, struct img_names *ret, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};
	DIR *d = fdopendir(openat(s->refs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, "cannot list '%s/refs'", s->path);
	while (r >= 0 && (de = readdir(d))) {
		struct img_name n = {0};

		if (de->d_name[0] == '.' || !str_ends(de->d_name, ".json"))
			continue;
		r = name_read(s, de->d_name, &n, e);
		if (r == -ENOENT)
			r = 0; /* removed meanwhile */
		if (!n.name)
			continue;
		names.v = mem_grow(names.v, &names.cap, names.n + 1, sizeof(*names.v));
		names.v[names.n++] = n;
	}
	closedir(d);
	if (r < 0)
		return r;
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), by_name);
	*ret = names;
	names = (struct img_names){0};
	return 0;
}

void img_name_release(struct img_name *n)
{
	free(n->name);
	*n = (struct img_name){0};
}

void img_names_release(struct img_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		img_name_release(&n->v[i]);
	free(n->v);
	*n = (struct img_names){0};
}

static int read_exact(const struct img_store *s, const char *name, struct img_name *ret)
{
	AUTO_FREE char *file = file_of(name);
	struct err ignored;

	return name_read(s, file, ret, &ignored);
}

static int not_found(const struct img_store *s, const char *text, struct err *e)
{
	return err_set(e, ENOENT,
		"there is no image '%.200s' in '%s'; see jail image ls, or pull it", text, s->path);
}

/* By at least MIN_HEX digits of the manifest's or the index's digest. */
static int find_hex(const struct img_store *s, const char *hex, struct img_name *ret, struct err *e)
{
	AUTO_IMG_NAMES struct img_names all = {0};
	const struct img_name *hit = NULL;

	if (img_names_list(s, &all, e) < 0)
		return -e->code;
	for (size_t i = 0; i < all.n; i++) {
		if (!str_starts(all.v[i].manifest.hex, hex) &&
			!str_starts(all.v[i].target.hex, hex))
			continue;
		if (hit && !img_digest_eq(&hit->manifest, &all.v[i].manifest))
			return err_set(e, ENOTUNIQ,
				"'%.70s' begins more than one image's digest; give more digits",
				hex);
		hit = &all.v[i];
	}
	if (!hit)
		return -ENOENT;
	*ret = *hit;
	ret->name = str_dup(hit->name);
	return 0;
}

static bool is_hex(const char *s)
{
	size_t n = strlen(s);

	return n >= MIN_HEX && n <= 64 && strspn(s, "0123456789abcdef") == n;
}

static int find_short(const struct img_store *s, const struct img_ref *ref, const char *text,
	struct img_name *ret, struct err *e)
{
	static const char *const first[] = {"localhost", IMG_DEFAULT_REGISTRY};
	AUTO_IMG_NAMES struct img_names all = {0};
	AUTO_FREE char *tail = NULL;
	const struct img_name *hit = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		AUTO_IMG_REF struct img_ref whole = {0};
		AUTO_FREE char *name = NULL;

		img_ref_copy(&whole, ref);
		img_ref_qualify(&whole, first[i]);
		name = img_ref_print(&whole);
		if (read_exact(s, name, ret) >= 0)
			return 0;
	}
	if (img_names_list(s, &all, e) < 0)
		return -e->code;
	tail = img_ref_print(ref);
	for (size_t i = 0; i < all.n; i++) {
		const char *slash = strchr(all.v[i].name, '/');

		if (!slash || strcmp(slash + 1, tail))
			continue;
		if (hit)
			return err_set(e, ENOTUNIQ,
				"'%.200s' could be '%s' or '%s'; name the registry", text,
				hit->name, all.v[i].name);
		hit = &all.v[i];
	}
	if (!hit)
		return not_found(s, text, e);
	*ret = *hit;
	ret->name = str_dup(hit->name);
	return 0;
}

int img_name_find(const struct img_store *s, const char *text, struct img_name *ret, struct err *e)
{
	AUTO_IMG_REF struct img_ref ref = {0};
	AUTO_FREE char *name = NULL;
	struct img_digest d;
	struct err ignored;
	const char *hex = img_digest_parse(text, &d, &ignored) >= 0 ? d.hex
			  : is_hex(text)                            ? text
								    : NULL;
	int r;

	if (hex) {
		r = find_hex(s, hex, ret, e);
		if (r != -ENOENT)
			return r;
	}
	if (img_ref_parse(text, &ref, e) < 0)
		return hex ? not_found(s, text, e) : -e->code;
	/* With a digest the tag does not matter: the bytes are the same. */
	if (ref.has_digest) {
		r = find_hex(s, ref.digest.hex, ret, e);
		return r == -ENOENT ? not_found(s, text, e) : r;
	}
	if (!ref.registry)
		return find_short(s, &ref, text, ret, e);
	name = img_ref_print(&ref);
	return read_exact(s, name, ret) < 0 ? not_found(s, text, e) : 0;
}

int img_name_set(struct img_store *s, const struct img_name *n, bool replace, struct err *e)
{
	AUTO_FREE char *file = file_of(n->name), *text = NULL;
	char target[IMG_DIGEST_TEXT], manifest[IMG_DIGEST_TEXT];
	struct name_json j = {.name = n->name,
		.target = img_digest_print(&n->target, target),
		.manifest = img_digest_print(&n->manifest, manifest),
		.pulled = n->pulled};
	struct img_name old = {0};

	if (!replace && read_exact(s, n->name, &old) >= 0) {
		bool same = img_digest_eq(&old.manifest, &n->manifest);

		img_name_release(&old);
		if (!same)
			return err_set(e, EEXIST,
				"the name '%s' stands for another image already; give another "
				"name, or --replace",
				n->name);
	}
	text = json_print_text(&name_table, &j, JSON_COMPACT);
	return file_replace(s->refs_fd, file, text, strlen(text), 0600, FILE_SYNC, e);
}

int img_name_remove(struct img_store *s, const char *text, struct err *e)
{
	struct img_name n = {0};
	AUTO_FREE char *file = NULL;
	int r = img_name_find(s, text, &n, e);

	if (r < 0)
		return r;
	file = file_of(n.name);
	img_name_release(&n);
	return unlinkat(s->refs_fd, file, 0) < 0 && errno != ENOENT
		       ? err_sys(e, "cannot remove '%s/refs/%s'", s->path, file)
		       : 0;
}

int img_pin(struct img_store *s, const char *pin, const struct img_digest *manifest, struct err *e)
{
	char text[IMG_DIGEST_TEXT];

	if (parse_name("pin", pin, e) < 0)
		return -e->code;
	img_digest_print(manifest, text);
	return file_replace(s->pins_fd, pin, text, strlen(text), 0600, FILE_SYNC, e);
}

int img_unpin(struct img_store *s, const char *pin, struct err *e)
{
	if (parse_name("pin", pin, e) < 0)
		return -e->code;
	return unlinkat(s->pins_fd, pin, 0) < 0 && errno != ENOENT
		       ? err_sys(e, "cannot remove '%s/pins/%s'", s->path, pin)
		       : 0;
}

int img_pins_list(const struct img_store *s, struct strv *ret, struct err *e)
{
	DIR *d = fdopendir(openat(s->pins_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, "cannot list '%s/pins'", s->path);
	while (r >= 0 && (de = readdir(d))) {
		AUTO_BUF struct buf b = {0};
		struct img_digest digest;

		if (de->d_name[0] == '.')
			continue;
		r = file_read(s->pins_fd, de->d_name, 128, &b, e);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r >= 0 && img_digest_parse(b.p, &digest, e) < 0)
			r = err_prefix(e, "'%s/pins/%s' is damaged", s->path, de->d_name);
		if (r >= 0)
			strv_add(ret, b.p);
	}
	closedir(d);
	return r;
}

int img_record_read(const struct img_store *s, const struct img_digest *manifest,
	struct img_record *ret, struct err *e)
{
	AUTO_FREE char *file = str_fmt("%s.json", manifest->hex);
	AUTO_BUF struct buf b = {0};
	struct img_record rec = {0};
	struct img_digest d;
	int r;

	if (file_read(s->images_fd, file, RECORD_MAX_BYTES, &b, e) < 0)
		return -e->code;
	if (json_read_text(&record_table, b.p, b.n, NULL, &rec, e) < 0)
		return err_prefix(e, "'%s/images/%s' is damaged", s->path, file);
	r = img_digest_parse(rec.config, &d, e);
	for (size_t i = 0; r >= 0 && i < rec.layers.n; i++)
		r = img_digest_parse(rec.layers.v[i], &d, e);
	if (r < 0) {
		img_record_release(&rec);
		return err_prefix(e, "'%s/images/%s' is damaged", s->path, file);
	}
	*ret = rec;
	return 0;
}

int img_record_write(struct img_store *s, const struct img_digest *manifest,
	const struct img_record *rec, struct err *e)
{
	AUTO_FREE char *file = str_fmt("%s.json", manifest->hex),
		       *text = json_print_text(&record_table, rec, JSON_COMPACT);

	return file_replace(s->images_fd, file, text, strlen(text), 0600, FILE_SYNC, e);
}

void img_record_release(struct img_record *rec)
{
	json_release(&record_table, rec);
}
