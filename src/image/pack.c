#include "image/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

enum { OUT_BYTES = 256 << 10, XATTR_LIST_BYTES = 16384 };

/* A file that has several names: where its first name was. */
struct linked {
	dev_t dev;
	ino_t ino;
	char *path;
};

struct pack {
	const struct img_pack_opts *o;
	struct err *e, sink_err;
	struct archive *a;
	char *chunk;
	struct linked *links;
	size_t n_links, cap_links;
	int depth;

	/* Where the tar goes: hashed, compressed and stored, or plainly to a descriptor. */
	int out_fd;
	struct img_blob_writer *w;
	struct img_hash hash;
	struct isal_zstream *z;
	uint8_t *out, *level;
};

static int fail(struct pack *p, const char *path, const char *doing)
{
	AUTO_FREE char *seen = str_visible(*path ? path : "/");

	return err_sys(p->e, "cannot %s '%.300s'", doing, seen);
}

static int deflate_some(struct pack *p, const void *in, size_t n, bool end)
{
	p->z->next_in = (uint8_t *)in;
	p->z->avail_in = (uint32_t)n;
	p->z->end_of_stream = end;
	do {
		p->z->next_out = p->out;
		p->z->avail_out = OUT_BYTES;
		if (isal_deflate(p->z) != COMP_OK)
			return err_set(&p->sink_err, EIO, "cannot compress");
		if (img_blob_write(p->w, p->out, OUT_BYTES - p->z->avail_out, &p->sink_err) < 0)
			return -p->sink_err.code;
	} while (p->z->avail_in || p->z->avail_out == 0 ||
		 (end && p->z->internal_state.state != ZSTATE_END));
	return 0;
}

static la_ssize_t sink(struct archive *a, void *ctx, const void *in, size_t n)
{
	struct pack *p = ctx;
	int r;

	if (p->w) {
		img_hash_add(&p->hash, in, n);
		r = deflate_some(p, in, n, false);
	} else {
		r = fd_write_full(p->out_fd, in, n);
		if (r < 0)
			err_set(&p->sink_err, -r, "cannot write the archive: %s",
				strerrordesc_np(-r));
	}
	if (r < 0)
		archive_set_error(a, -r, "%s", "cannot write");
	return r < 0 ? -1 : (la_ssize_t)n;
}

static int archive_failed(struct pack *p, const char *path)
{
	AUTO_FREE char *seen = str_visible(path);
	const char *s = archive_error_string(p->a);

	if (p->sink_err.code) {
		*p->e = p->sink_err;
		return -p->e->code;
	}
	return err_set(p->e, EIO, "cannot pack '%.300s': %s", seen, s ? s : "unknown error");
}

/* libarchive warns in the C locale that it cannot convert names, and writes their bytes. */
static int write_header(struct pack *p, struct archive_entry *ae)
{
	return archive_write_header(p->a, ae) < ARCHIVE_WARN
		       ? archive_failed(p, archive_entry_pathname(ae))
		       : 0;
}

static uint32_t map_id(const struct pack *p, uint32_t id)
{
	if (!p->o->id_count)
		return id;
	return id >= p->o->id_base && id - p->o->id_base < p->o->id_count ? id - p->o->id_base
									  : 65534;
}

static void fill_entry(
	struct pack *p, struct archive_entry *ae, const char *path, const struct stat *st)
{
	struct stat mapped = *st;

	mapped.st_uid = map_id(p, st->st_uid);
	mapped.st_gid = map_id(p, st->st_gid);
	archive_entry_copy_stat(ae, &mapped);
	archive_entry_unset_atime(ae);
	archive_entry_unset_ctime(ae);
	archive_entry_unset_birthtime(ae);
	archive_entry_set_pathname(ae, path);
}

static bool may_keep(const char *name)
{
	return (str_starts(name, "user.") && !str_starts(name, "user.overlay.")) ||
	       !strcmp(name, "security.capability");
}

static int add_xattrs(struct pack *p, struct archive_entry *ae, int fd, const char *path)
{
	char names[XATTR_LIST_BYTES];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : fail(p, path, "list the attributes of");
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		char value[4096];
		ssize_t len;

		if (str_ends(names + at, ".overlay.redirect") ||
			str_ends(names + at, ".overlay.metacopy")) {
			errno = ENOTSUP;
			return fail(p, path, "pack, since overlay keeps it partly elsewhere,");
		}
		if (!may_keep(names + at))
			continue;
		len = fgetxattr(fd, names + at, value, sizeof(value));
		if (len >= 0)
			archive_entry_xattr_add_entry(ae, names + at, value, (size_t)len);
	}
	return 0;
}

/* What shrinks meanwhile is filled with zeros, what grows is cut: the header has said the size. */
static int write_data(struct pack *p, int fd, uint64_t size, const char *path)
{
	while (size) {
		size_t want = (size_t)MIN(size, (uint64_t)OUT_BYTES);
		ssize_t n = fd_read_full(fd, p->chunk, want);

		if (n < 0) {
			errno = (int)-n;
			return fail(p, path, "read");
		}
		memset(p->chunk + n, 0, want - (size_t)n);
		if (archive_write_data(p->a, p->chunk, want) != (la_ssize_t)want)
			return archive_failed(p, path);
		size -= want;
	}
	return 0;
}

/* An empty file: how layers say that something is gone. */
static int write_mark(struct pack *p, const char *dir, const char *prefix, const char *name)
{
	struct archive_entry *ae = archive_entry_new();
	AUTO_FREE char *path = str_fmt("%s%s%s%s", dir, *dir ? "/" : "", prefix, name);
	int r;

	archive_entry_set_pathname(ae, path);
	archive_entry_set_filetype(ae, AE_IFREG);
	archive_entry_set_perm(ae, 0644);
	archive_entry_set_size(ae, 0);
	archive_entry_set_mtime(ae, 0, 0);
	r = write_header(p, ae);
	archive_entry_free(ae);
	return r;
}

static const char *first_name(struct pack *p, const struct stat *st, const char *path)
{
	for (size_t i = 0; i < p->n_links; i++)
		if (p->links[i].ino == st->st_ino && p->links[i].dev == st->st_dev)
			return p->links[i].path;
	p->links = mem_grow(p->links, &p->cap_links, p->n_links + 1, sizeof(*p->links));
	p->links[p->n_links++] = (struct linked){st->st_dev, st->st_ino, str_dup(path)};
	return NULL;
}

static int pack_file(
	struct pack *p, struct archive_entry *ae, int dir, const char *name, const char *path)
{
	AUTO_FD int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *first;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(p, path, "open");
	if (!S_ISREG(st.st_mode)) {
		errno = ESTALE;
		return fail(p, path, "pack, since it changes meanwhile,");
	}
	fill_entry(p, ae, path, &st);
	first = st.st_nlink > 1 ? first_name(p, &st, path) : NULL;
	if (first) {
		archive_entry_set_hardlink(ae, first);
		archive_entry_unset_size(ae);
		return write_header(p, ae);
	}
	if (add_xattrs(p, ae, fd, path) < 0 || write_header(p, ae) < 0)
		return -p->e->code;
	return write_data(p, fd, (uint64_t)st.st_size, path);
}

static int pack_symlink(
	struct pack *p, struct archive_entry *ae, int dir, const char *name, const char *path)
{
	char target[4096];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail(p, path, "read the link");
	target[n] = '\0';
	archive_entry_set_symlink(ae, target);
	return write_header(p, ae);
}

static int pack_dir(struct pack *p, int fd, const char *path);

static int pack_subdir(
	struct pack *p, struct archive_entry *ae, int dir, const char *name, const char *path)
{
	AUTO_FD int fd = path_open(dir, name, O_RDONLY | O_DIRECTORY, PATH_STRICT, p->e);
	char y = 0;
	bool opaque;

	if (fd < 0)
		return fd;
	if (add_xattrs(p, ae, fd, path) < 0 || write_header(p, ae) < 0)
		return -p->e->code;
	opaque = (fgetxattr(fd, "trusted.overlay.opaque", &y, 1) == 1 ||
			 fgetxattr(fd, "user.overlay.opaque", &y, 1) == 1) &&
		 y == 'y';
	if (p->o->upper && opaque && write_mark(p, path, ".wh..wh..opq", "") < 0)
		return -p->e->code;
	return strv_has(&p->o->leave_out, path) ? 0 : pack_dir(p, fd, path);
}

static int pack_one(
	struct pack *p, int dir, const char *name, const char *path, const struct stat *st)
{
	struct archive_entry *ae = archive_entry_new();
	int r = 0;

	fill_entry(p, ae, path, st);
	if (S_ISREG(st->st_mode))
		r = pack_file(p, ae, dir, name, path);
	else if (S_ISDIR(st->st_mode))
		r = pack_subdir(p, ae, dir, name, path);
	else if (S_ISLNK(st->st_mode))
		r = pack_symlink(p, ae, dir, name, path);
	else if (!S_ISSOCK(st->st_mode)) /* a socket lives as long as who listens */
		r = write_header(p, ae);
	archive_entry_free(ae);
	return r;
}

static int pack_entry(struct pack *p, int dir, const char *parent, const char *name)
{
	AUTO_FREE char *path = str_fmt("%s%s%s", parent, *parent ? "/" : "", name);
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(p, path, "examine");
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return p->o->upper ? write_mark(p, parent, ".wh.", name) : 0;
	if (str_starts(name, ".wh.")) {
		errno = EINVAL;
		return fail(p, path, "pack, since its name would mean a deletion,");
	}
	return pack_one(p, dir, name, path, &st);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that the same directory gives the same layer. */
static int list_dir(int fd, struct strv *ret)
{
	DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;

	if (!d)
		return -errno;
	while ((de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			strv_add(ret, de->d_name);
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(char *), by_text);
	return 0;
}

static int pack_dir(struct pack *p, int fd, const char *path)
{
	AUTO_STRV struct strv names = {0};
	int r = list_dir(fd, &names);

	if (r < 0) {
		errno = -r;
		return fail(p, path, "list");
	}
	if (++p->depth > IMG_PATH_MAX_DEPTH) {
		errno = ELOOP;
		return fail(p, path, "pack, since it is too deep,");
	}
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		r = pack_entry(p, fd, path, names.v[i]);
	p->depth--;
	return r;
}

static int pack_all(struct pack *p, int root_fd)
{
	AUTO_FD int fd = path_open(root_fd, ".", O_RDONLY | O_DIRECTORY, PATH_STRICT, p->e);
	int r = fd;

	p->a = archive_write_new();
	p->chunk = mem_new(OUT_BYTES);
	if (r >= 0 && (archive_write_set_format_pax_restricted(p->a) != ARCHIVE_OK ||
			      archive_write_set_bytes_per_block(p->a, OUT_BYTES) != ARCHIVE_OK ||
			      archive_write_set_bytes_in_last_block(p->a, 1) != ARCHIVE_OK ||
			      archive_write_open(p->a, p, NULL, sink, NULL) != ARCHIVE_OK))
		r = archive_failed(p, "");
	if (r >= 0)
		r = pack_dir(p, fd, "");
	if (r >= 0 && archive_write_close(p->a) != ARCHIVE_OK)
		r = archive_failed(p, "");
	archive_write_free(p->a);
	free(p->chunk);
	for (size_t i = 0; i < p->n_links; i++)
		free(p->links[i].path);
	free(p->links);
	return r;
}

int img_pack_fd(int root_fd, const struct img_pack_opts *o, int out_fd, struct err *e)
{
	struct pack p = {.o = o, .e = e, .out_fd = out_fd};

	return pack_all(&p, root_fd);
}

int img_pack_layer(struct img_store *s, int root_fd, const struct img_pack_opts *o,
	struct img_new_layer *ret, struct err *e)
{
	AUTO_IMG_BLOB_WRITER struct img_blob_writer w = IMG_BLOB_WRITER_INIT;
	AUTO_FREE struct isal_zstream *z = mem_new(sizeof(*z));
	AUTO_FREE uint8_t *out = mem_new(OUT_BYTES), *level = mem_new(ISAL_DEF_LVL1_DEFAULT);
	struct pack p = {.o = o, .e = e, .w = &w, .z = z, .out = out, .level = level};
	int r = img_blob_begin(s, NULL, false, IMG_BLOB_MAX_BYTES, &w, e);

	if (r < 0)
		return r;
	isal_deflate_init(z);
	z->level = 1;
	z->level_buf = level;
	z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	z->gzip_flag = IGZIP_GZIP;
	z->flush = NO_FLUSH;
	img_hash_init(&p.hash);
	r = pack_all(&p, root_fd);
	if (r >= 0 && deflate_some(&p, "", 0, true) < 0) {
		*e = p.sink_err;
		r = -e->code;
	}
	if (r < 0) {
		img_hash_release(&p.hash);
		return r;
	}
	img_hash_end(&p.hash, &ret->diff_id);
	ret->size = w.size;
	ret->compression = IMG_GZIP;
	return img_blob_commit(&w, UINT64_MAX, &ret->blob, e);
}

/* What config leaves open is base's. */
static void inherit(struct img_config *c, struct img_config *base)
{
	char **mine[] = {&c->architecture, &c->os, &c->variant, &c->user, &c->working_dir,
		&c->stop_signal, &c->author};
	char **theirs[] = {&base->architecture, &base->os, &base->variant, &base->user,
		&base->working_dir, &base->stop_signal, &base->author};

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		if (!*mine[i] || i < 3)
			str_set(mine[i], *theirs[i]);
	/* A new entrypoint makes the old command meaningless, as docker commit has it. */
	if (!c->cmd.n && !c->entrypoint.n)
		strv_copy(&c->cmd, &base->cmd);
	if (!c->entrypoint.n)
		strv_copy(&c->entrypoint, &base->entrypoint);
	if (!c->volumes.n)
		strv_copy(&c->volumes, &base->volumes);
	if (!c->exposed_ports.n)
		strv_copy(&c->exposed_ports, &base->exposed_ports);
	for (size_t i = 0; i < base->env.n; i++) {
		AUTO_FREE char *name = str_dup_n(base->env.v[i], strcspn(base->env.v[i], "="));

		if (!strv_getenv(&c->env, name))
			strv_add(&c->env, base->env.v[i]);
	}
	for (size_t i = 0; i < base->labels.n; i++) {
		AUTO_FREE char *key = str_dup_n(base->labels.v[i], strcspn(base->labels.v[i], "="));

		if (!strv_getenv(&c->labels, key))
			strv_add(&c->labels, base->labels.v[i]);
	}
	strv_release(&c->diff_ids);
	strv_copy(&c->diff_ids, &base->diff_ids);
}

static int read_base(const struct img_job *job, const char *base, struct img_config *c,
	struct img_doc *doc, struct err *e)
{
	AUTO_BUF struct buf text = {0}, config_text = {0};
	struct img_config theirs = {0};
	struct img_name n = {0};
	int r = img_name_find(job->store, base, &n, e);

	if (r >= 0)
		r = img_blob_read(job->store, &n.manifest, IMG_DOC_MAX_BYTES, &text, e);
	if (r >= 0)
		r = img_doc_parse(text.p, text.n, NULL, doc, e);
	if (r >= 0)
		r = img_blob_read(
			job->store, &doc->config->digest, IMG_CONFIG_MAX_BYTES, &config_text, e);
	if (r >= 0)
		r = img_config_parse(config_text.p, config_text.n, doc->n_layers, &theirs, e);
	if (r >= 0)
		inherit(c, &theirs);
	img_config_release(&theirs);
	img_name_release(&n);
	return r;
}

int img_commit(const struct img_job *job, const char *base, int root_fd,
	const struct img_pack_opts *o, struct img_config *config, const char *name,
	struct img_name *ret, struct err *e)
{
	AUTO_IMG_DOC struct img_doc doc = {0};
	struct img_layer_opts lo = {.max_bytes = job->max_layer_bytes};
	struct img_new_layer layer = {0};

	if (base && read_base(job, base, config, &doc, e) < 0)
		return -e->code;
	if (img_pack_layer(job->store, root_fd, o, &layer, e) < 0 ||
		img_layer_unpack(job->store, &layer.blob, &layer.diff_id, &lo, NULL, e) < 0)
		return -e->code;
	return img_compose(job, config, NULL, base ? &doc : NULL, &layer, 1, name, ret, e);
}
