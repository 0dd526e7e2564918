/* Sweeping and checking: from the names and pins to everything they lead to; the rest goes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "image/ops.h"

/* What is reached, as sorted lists of hex digits. */
struct marks {
	struct strv blobs, layers, images;
};

static void marks_release(struct marks *m)
{
	strv_release(&m->blobs);
	strv_release(&m->layers);
	strv_release(&m->images);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(char *), by_text);
}

static bool has(const struct strv *sorted, const char *s)
{
	return sorted->n && bsearch(&s, sorted->v, sorted->n, sizeof(char *), by_text);
}

static const char *hex_of(const char *digest_text)
{
	return digest_text + strlen("sha256:");
}

/* A document's blobs; what cannot be read leads nowhere. */
static void mark_doc(struct img_store *s, const struct img_digest *d, struct marks *m)
{
	AUTO_IMG_DOC struct img_doc doc = {0};
	AUTO_BUF struct buf text = {0};
	struct err ignored;

	strv_add(&m->blobs, d->hex);
	if (img_blob_read(s, d, IMG_DOC_MAX_BYTES, &text, &ignored) < 0 ||
		img_doc_parse(text.p, text.n, NULL, &doc, &ignored) < 0)
		return;
	if (doc.config)
		strv_add(&m->blobs, doc.config->digest.hex);
	for (size_t i = 0; i < doc.n_layers; i++)
		strv_add(&m->blobs, doc.layers[i].digest.hex);
}

static void mark_image(struct img_store *s, const struct img_digest *manifest, struct marks *m)
{
	struct img_record rec = {0};
	struct err ignored;

	mark_doc(s, manifest, m);
	strv_add(&m->images, manifest->hex);
	if (img_record_read(s, manifest, &rec, &ignored) < 0)
		return;
	strv_add(&m->blobs, hex_of(rec.config));
	for (size_t i = 0; i < rec.layers.n; i++)
		strv_add(&m->layers, hex_of(rec.layers.v[i]));
	img_record_release(&rec);
}

static int mark(struct img_store *s, struct marks *m, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};
	AUTO_STRV struct strv pins = {0};
	struct img_digest d;

	if (img_names_list(s, &names, e) < 0 || img_pins_list(s, &pins, e) < 0)
		return -e->code;
	for (size_t i = 0; i < names.n; i++) {
		strv_add(&m->blobs, names.v[i].target.hex);
		mark_image(s, &names.v[i].manifest, m);
	}
	for (size_t i = 0; i < pins.n; i++)
		if (img_digest_parse(pins.v[i], &d, e) >= 0)
			mark_image(s, &d, m);
	sort(&m->blobs);
	sort(&m->layers);
	sort(&m->images);
	return 0;
}

static int each_entry(
	int dirfd, int (*f)(const char *name, void *ctx, struct err *e), void *ctx, struct err *e)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, "cannot list a directory of the image store");
	while (r >= 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = f(de->d_name, ctx, e);
	closedir(d);
	return r;
}

struct sweep {
	struct img_store *s;
	const struct marks *m;
	struct img_gc_result *ret;
	int dirfd;
};

static int sweep_blob(const char *name, void *ctx, struct err *e)
{
	struct sweep *w = ctx;
	struct stat st;

	if (has(&w->m->blobs, name))
		return 0;
	if (!fstatat(w->s->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		w->ret->bytes += (uint64_t)st.st_blocks * 512;
	w->ret->blobs++;
	return path_rmtree(w->s->blobs_fd, name, e);
}

static int sweep_layer(const char *name, void *ctx, struct err *e)
{
	struct sweep *w = ctx;

	if (has(&w->m->layers, name))
		return 0;
	w->ret->layers++;
	return img_layer_remove(w->s, name, e);
}

static int sweep_image(const char *name, void *ctx, struct err *e)
{
	struct sweep *w = ctx;
	AUTO_FREE char *hex = str_dup_n(name, strcspn(name, "."));

	if (has(&w->m->images, hex))
		return 0;
	w->ret->images++;
	return unlinkat(w->s->images_fd, name, 0) < 0 ? err_sys(e, "cannot remove '%s'", name) : 0;
}

/* Interrupted downloads, and files that a killed file_replace left. */
static int sweep_all(const char *name, void *ctx, struct err *e)
{
	struct sweep *w = ctx;

	return path_rmtree(w->dirfd, name, e);
}

static int sweep_dotted(const char *name, void *ctx, struct err *e)
{
	return name[0] == '.' ? sweep_all(name, ctx, e) : 0;
}

int img_gc(struct img_store *s, struct img_gc_result *ret, struct err *e)
{
	__attribute__((cleanup(marks_release))) struct marks m = {0};
	struct sweep w = {.s = s, .m = &m, .ret = ret};
	const struct {
		int dirfd;
		int (*f)(const char *name, void *ctx, struct err *e);
	} steps[] = {
		/* Images first: a record that is gone cannot lead to a layer that is half gone. */
		{s->images_fd, sweep_image},
		{s->layers_fd, sweep_layer},
		{s->blobs_fd, sweep_blob},
		{s->partial_fd, sweep_all},
		{s->refs_fd, sweep_dotted},
		{s->pins_fd, sweep_dotted},
	};
	int r = img_store_lock(s, IMG_LOCK_EXCLUSIVE, e);

	*ret = (struct img_gc_result){0};
	if (r >= 0)
		r = img_tmp_sweep(s, e);
	if (r >= 0)
		r = mark(s, &m, e);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++) {
		w.dirfd = steps[i].dirfd;
		r = each_entry(w.dirfd, steps[i].f, &w, e);
	}
	img_store_unlock(s);
	return r;
}

struct check {
	struct img_store *s;
	bool repair;
	void (*found)(void *ctx, const char *line);
	void *ctx;
	int faults;
};

static void __attribute__((format(printf, 2, 3))) fault(struct check *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->faults++;
	if (c->found)
		c->found(c->ctx, line);
}

static int hash_file(int fd, struct img_digest *ret)
{
	AUTO_IMG_HASH struct img_hash h = {0};
	AUTO_FREE char *chunk = mem_new(1 << 18);
	ssize_t n;

	img_hash_init(&h);
	while ((n = fd_read_full(fd, chunk, 1 << 18)) > 0)
		img_hash_add(&h, chunk, (size_t)n);
	img_hash_end(&h, ret);
	return (int)n;
}

static int check_blob(const char *name, void *ctx, struct err *e)
{
	struct check *c = ctx;
	AUTO_FREE char *text = str_fmt("sha256:%s", name), *seen = str_visible(name);
	struct img_digest d, got;
	struct err why = {0};
	bool good = false;

	if (img_digest_parse(text, &d, &why) >= 0) {
		AUTO_FD int fd = img_blob_open(c->s, &d, NULL, &why);

		good = fd >= 0 && hash_file(fd, &got) >= 0 &&
		       img_digest_expect("blob", &d, &got, &why) >= 0;
	}
	if (good)
		return 0;
	fault(c, "blob '%.80s': %s", seen, why.code ? why.text : "it cannot be read");
	return c->repair ? path_rmtree(c->s->blobs_fd, name, e) : 0;
}

static int check_layer(const char *name, void *ctx, struct err *e)
{
	struct check *c = ctx;
	AUTO_FREE char *text = str_fmt("sha256:%s", name), *seen = str_visible(name);
	struct img_digest d;
	struct err ignored;

	if (img_digest_parse(text, &d, &ignored) >= 0 && img_layer_has(c->s, &d))
		return 0;
	fault(c, "layer '%.80s' is no layer", seen);
	return c->repair ? path_rmtree(c->s->layers_fd, name, e) : 0;
}

static void check_name(struct check *c, const struct img_name *n)
{
	struct img_record rec = {0};
	struct img_digest d;
	struct err why;

	if (img_record_read(c->s, &n->manifest, &rec, &why) < 0) {
		fault(c, "image '%s' is incomplete: %s", n->name, why.text);
		return;
	}
	for (size_t i = 0; i < rec.layers.n; i++)
		if (img_digest_parse(rec.layers.v[i], &d, &why) >= 0 && !img_layer_has(c->s, &d))
			fault(c, "image '%s' lacks its layer %s", n->name, rec.layers.v[i]);
	if (img_digest_parse(rec.config, &d, &why) >= 0 && !img_blob_has(c->s, &d))
		fault(c, "image '%s' lacks its configuration %s", n->name, rec.config);
	img_record_release(&rec);
}

static int check_all(struct check *c, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};

	if (each_entry(c->s->blobs_fd, check_blob, c, e) < 0 ||
		each_entry(c->s->layers_fd, check_layer, c, e) < 0)
		return -e->code;
	if (img_names_list(c->s, &names, e) < 0)
		return -e->code;
	for (size_t i = 0; i < names.n; i++)
		check_name(c, &names.v[i]);
	return 0;
}

int img_check(struct img_store *s, bool repair, void (*found)(void *ctx, const char *line),
	void *ctx, struct err *e)
{
	struct check c = {.s = s, .repair = repair, .found = found, .ctx = ctx};
	int r = img_store_lock(s, repair ? IMG_LOCK_EXCLUSIVE : IMG_LOCK_SHARED, e);

	if (r >= 0 && repair)
		r = img_tmp_sweep(s, e);
	if (r >= 0)
		r = check_all(&c, e);
	img_store_unlock(s);
	return r < 0 ? r : c.faults;
}

struct usage_walk {
	struct img_usage *u;
	uint64_t *bytes;
	int dirfd, depth;
};

static int usage_entry(const char *name, void *ctx, struct err *e)
{
	struct usage_walk *w = ctx, inner = *w;
	AUTO_FD int fd = -EBADF;
	struct stat st;

	if (fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	/* A file of several names counts as one of them each time. */
	*w->bytes += (uint64_t)st.st_blocks * 512 /
		     (S_ISDIR(st.st_mode) ? 1 : MAX(st.st_nlink, (nlink_t)1));
	if (!S_ISDIR(st.st_mode) || w->depth > IMG_PATH_MAX_DEPTH + 4)
		return 0;
	fd = path_try(w->dirfd, name, O_RDONLY | O_DIRECTORY, PATH_STRICT);
	if (fd < 0)
		return 0;
	inner.dirfd = fd;
	inner.depth++;
	return each_entry(fd, usage_entry, &inner, e);
}

static int count_entry(const char *name, void *ctx, struct err *e)
{
	(void)name;
	(void)e;
	++*(uint64_t *)ctx;
	return 0;
}

int img_store_usage(struct img_store *s, struct img_usage *ret, struct err *e)
{
	struct usage_walk blobs = {.u = ret, .bytes = &ret->blob_bytes, .dirfd = s->blobs_fd};
	struct usage_walk layers = {.u = ret, .bytes = &ret->layer_bytes, .dirfd = s->layers_fd};

	*ret = (struct img_usage){0};
	if (each_entry(s->blobs_fd, count_entry, &ret->blobs, e) < 0 ||
		each_entry(s->layers_fd, count_entry, &ret->layers, e) < 0 ||
		each_entry(s->blobs_fd, usage_entry, &blobs, e) < 0)
		return -e->code;
	return each_entry(s->layers_fd, usage_entry, &layers, e);
}
