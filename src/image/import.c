/*
 * Archives and directories become images.  An archive of images is first unpacked like a layer,
 * with the same care, into a temporary directory, and read from there: its own names and links can
 * then lead nowhere else.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "image/pack.h"

int img_add_layer(const struct img_job *job, int fd, const char *what,
	const struct img_digest *diff_id, struct img_new_layer *ret, struct err *e)
{
	AUTO_IMG_BLOB_WRITER struct img_blob_writer w = IMG_BLOB_WRITER_INIT;
	AUTO_FREE char *chunk = mem_new(1 << 18);
	struct img_layer_opts o = {.max_bytes = job->max_layer_bytes};
	struct img_sums sums = {0};
	ssize_t n;
	int r = img_blob_begin(job->store, NULL, false, IMG_BLOB_MAX_BYTES, &w, e);

	if (r < 0)
		return r;
	while ((n = fd_read_full(fd, chunk, 1 << 18)) > 0) {
		if (img_blob_write(&w, chunk, (size_t)n, e) < 0)
			return -e->code;
		if (w.size == (uint64_t)n)
			ret->compression = img_compression_of(chunk, (size_t)n);
		img_report(job, &(struct img_event){
					.stage = "fetch", .digest = what, .done_bytes = w.size});
	}
	if (n < 0)
		return err_set(e, (int)-n, "cannot read '%s'", what);
	ret->size = w.size;
	if (img_blob_commit(&w, UINT64_MAX, &ret->blob, e) < 0)
		return -e->code;
	r = img_layer_unpack(job->store, &ret->blob, diff_id, &o, &sums, e);
	if (r < 0)
		return r;
	ret->diff_id = diff_id ? *diff_id : sums.digest;
	img_report(job, &(struct img_event){.stage = r ? "exists" : "done",
				.digest = what,
				.done_bytes = ret->size,
				.total_bytes = ret->size});
	return 0;
}

static void names_take(struct img_names *names, struct img_name *n)
{
	names->v = mem_grow(names->v, &names->cap, names->n + 1, sizeof(*names->v));
	names->v[names->n++] = *n;
	*n = (struct img_name){0};
}

/* The canonical form of a name that an archive claims (docker.io's) or the user gives
 * (localhost's). */
static int whole_name(const char *text, const char *registry, char **ret, struct err *e)
{
	AUTO_IMG_REF struct img_ref ref = {0};

	if (img_ref_parse(text, &ref, e) < 0)
		return -e->code;
	if (!ref.registry)
		img_ref_qualify(&ref, registry);
	*ret = img_ref_print(&ref);
	return 0;
}

static int import_root(const struct img_job *job, int fd, const char *name,
	struct img_config *config, struct img_names *ret, struct err *e)
{
	struct img_new_layer layer = {0};
	struct img_name n = {0};

	if (!name)
		return err_set(
			e, EINVAL, "a root directory has no name of its own; give one with --name");
	if (img_add_layer(job, fd, "root archive", NULL, &layer, e) < 0 ||
		img_compose(job, config, NULL, NULL, &layer, 1, name, &n, e) < 0)
		return -e->code;
	names_take(ret, &n);
	return 0;
}

static int import_layout(const struct img_job *job, int dir, const char *tag, const char *name,
	struct img_names *ret, struct err *e)
{
	AUTO_IMG_SOURCE struct img_source src = {0};
	AUTO_FREE char *own = NULL;
	AUTO_FD int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	struct img_name n = {0};

	if (copy < 0)
		return err_sys(e, "cannot duplicate a descriptor");
	if (!name && !tag)
		return err_set(e, EINVAL, "give the image a name with --name");
	if (!name && whole_name(tag, IMG_DEFAULT_REGISTRY, &own, e) < 0)
		return err_hint(e, "give another with --name");
	if (img_source_layout(fd_take(&copy), tag, &src, e) < 0 ||
		img_pull(job, &src, name ? name : own, NULL, &n, e) < 0)
		return -e->code;
	names_take(ret, &n);
	return 0;
}

/* Opens a path that the archive's own list gives: links inside stay inside. */
static int open_member(int dir, const char *path, struct err *e)
{
	AUTO_FD int fd = path_open(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, PATH_IN_ROOT, e);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "'%.200s' is not a regular file", path);
	return fd_take(&fd);
}

static int read_member(int dir, const char *path, size_t max, struct buf *ret, struct err *e)
{
	AUTO_FD int fd = open_member(dir, path, e);

	return fd < 0 ? fd : file_read_fd(fd, path, max, ret, e);
}

static int saved_layers(const struct img_job *job, int dir, const struct img_saved *saved,
	const struct img_config *config, struct img_new_layer *layers, struct err *e)
{
	for (size_t i = 0; i < saved->layers.n; i++) {
		AUTO_FREE char *seen = str_visible(saved->layers.v[i]);
		AUTO_FD int fd = open_member(dir, saved->layers.v[i], e);
		struct img_digest diff_id;

		if (fd < 0)
			return fd;
		if (img_digest_parse(config->diff_ids.v[i], &diff_id, e) < 0 ||
			img_add_layer(job, fd, seen, &diff_id, &layers[i], e) < 0)
			return -e->code;
	}
	return 0;
}

static int saved_names(
	const struct img_saved *saved, const char *name, struct strv *ret, struct err *e)
{
	if (name) {
		strv_add(ret, name);
		return 0;
	}
	for (size_t i = 0; i < saved->repo_tags.n; i++) {
		char *whole = NULL;

		if (whole_name(saved->repo_tags.v[i], IMG_DEFAULT_REGISTRY, &whole, e) < 0)
			return err_prefix(e, "the archive's name for it");
		strv_take(ret, whole);
	}
	return ret->n ? 0
		      : err_set(e, EINVAL,
				"the archive gives the image no name; give one with --name");
}

static int import_saved(const struct img_job *job, int dir, const struct img_saved *saved,
	const char *name, struct img_names *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	AUTO_STRV struct strv names = {0};
	AUTO_FREE struct img_new_layer *layers = NULL;
	struct img_config config = {0};
	int r;

	if (saved_names(saved, name, &names, e) < 0 ||
		read_member(dir, saved->config, IMG_CONFIG_MAX_BYTES, &text, e) < 0 ||
		img_config_parse(text.p, text.n, saved->layers.n, &config, e) < 0)
		return -e->code;
	layers = mem_new_array(saved->layers.n, sizeof(*layers));
	r = saved_layers(job, dir, saved, &config, layers, e);
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		struct img_name n = {0};

		r = img_compose(
			job, &config, text.p, NULL, layers, saved->layers.n, names.v[i], &n, e);
		if (r >= 0)
			names_take(ret, &n);
	}
	img_config_release(&config);
	return r;
}

static bool is_wanted(const struct img_saved *saved, const char *tag)
{
	return !tag || strv_has(&saved->repo_tags, tag);
}

static int import_docker(const struct img_job *job, int dir, const char *tag, const char *name,
	struct img_names *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	struct img_saved_list list = {0};
	size_t wanted = 0;
	int r;

	if (read_member(dir, "manifest.json", IMG_DOC_MAX_BYTES, &text, e) < 0 ||
		img_saved_parse(text.p, text.n, &list, e) < 0)
		return -e->code;
	for (size_t i = 0; i < list.n; i++)
		wanted += is_wanted(&list.v[i], tag);
	r = wanted && (wanted == 1 || !name) ? 0
	    : wanted                         ? err_set(e, EINVAL,
						       "the archive holds %zu images; --name can be given to one only",
						       wanted)
		     : err_set(e, ENOENT, "the archive holds no image '%.128s'", tag ? tag : "");
	for (size_t i = 0; r >= 0 && i < list.n; i++)
		if (is_wanted(&list.v[i], tag))
			r = import_saved(job, dir, &list.v[i], name, ret, e);
	img_saved_release(&list);
	return r;
}

static bool has_file(int dir, const char *name)
{
	AUTO_FD int fd = path_try(dir, name, O_PATH | O_NOFOLLOW, PATH_STRICT);

	return fd >= 0;
}

/* docker save has written oci-layout beside manifest.json since 2023: names are in manifest.json.
 */
static enum img_import_kind kind_of_dir(int dir)
{
	return has_file(dir, "manifest.json") ? IMG_IMPORT_DOCKER
	       : has_file(dir, "oci-layout")  ? IMG_IMPORT_OCI
					      : IMG_IMPORT_ROOT;
}

static int import_dir(const struct img_job *job, int dir, enum img_import_kind kind,
	const char *tag, const char *name, struct img_names *ret, struct err *e)
{
	switch (kind == IMG_IMPORT_AUTO ? kind_of_dir(dir) : kind) {
	case IMG_IMPORT_OCI:
		return import_layout(job, dir, tag, name, ret, e);
	case IMG_IMPORT_DOCKER:
		return import_docker(job, dir, tag, name, ret, e);
	default:
		return -ENOTSUP;
	}
}

/* The first entry tells an archive of images from the archive of a root directory. */
static enum img_import_kind kind_of_first(const char *name)
{
	static const char *const members[] = {
		"oci-layout", "index.json", "manifest.json", "repositories"};
	size_t hex;

	while (str_starts(name, "./"))
		name += 2;
	if (str_starts(name, "blobs/"))
		return IMG_IMPORT_AUTO;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!strcmp(name, members[i]))
			return IMG_IMPORT_AUTO;
	hex = strspn(name, "0123456789abcdef");
	return hex == 64 ? IMG_IMPORT_AUTO : IMG_IMPORT_ROOT;
}

struct peek {
	struct img_stream *stream;
	struct err err;
};

static la_ssize_t peek_read(struct archive *a, void *ctx, const void **ret)
{
	struct peek *p = ctx;
	ssize_t n = img_stream_next(p->stream, ret, &p->err);

	if (n < 0)
		archive_set_error(a, EBADMSG, "%s", p->err.text);
	return n < 0 ? ARCHIVE_FATAL : n;
}

static int peek_kind(int fd, enum img_import_kind *ret, struct err *e)
{
	struct peek p = {0};
	struct archive *a = archive_read_new();
	struct archive_entry *ae;
	int r = img_stream_open(fd, NULL, &p.stream, e);

	if (r >= 0) {
		archive_read_support_format_tar(a);
		if (archive_read_open(a, &p, NULL, peek_read, NULL) != ARCHIVE_OK ||
			archive_read_next_header(a, &ae) < ARCHIVE_WARN ||
			!archive_entry_pathname(ae))
			r = err_set(e, EBADMSG,
				"the file is no tar archive, plain or compressed by gzip or "
				"zstd%s%s",
				p.err.code ? ": " : "", p.err.code ? p.err.text : "");
		else
			*ret = kind_of_first(archive_entry_pathname(ae));
	}
	archive_read_free(a);
	img_stream_free(p.stream);
	return r;
}

static int unpack_archive(int fd, int root, struct err *e)
{
	struct img_unpack_opts o = {.root_fd = root, .what = "archive"};
	struct img_unpack_stats st = {0};
	struct img_stream *s = NULL;
	int r = img_stream_open(fd, NULL, &s, e);

	if (r >= 0)
		r = img_unpack(s, &o, &st, e);
	img_stream_free(s);
	img_unpack_stats_release(&st);
	return r;
}

static int import_archive(const struct img_job *job, int fd, enum img_import_kind kind,
	const char *tag, const char *name, struct img_names *ret, struct err *e)
{
	char tmp[IMG_TMP_NAME];
	AUTO_FD int dir = img_tmp_new(job->store, tmp, e);
	int r = dir;

	if (r >= 0)
		r = unpack_archive(fd, dir, e);
	if (r >= 0)
		r = import_dir(job, dir, kind, tag, name, ret, e);
	if (r == -ENOTSUP)
		err_set(e, EINVAL, "the archive holds neither manifest.json nor oci-layout");
	if (dir >= 0)
		img_tmp_drop(job->store, tmp);
	return r == -ENOTSUP ? -EINVAL : r;
}

static int import_tree(const struct img_job *job, int dir, const char *name,
	struct img_config *config, struct img_names *ret, struct err *e)
{
	static const char *const mounted[] = {"proc", "sys", "dev", "run"};
	struct img_pack_opts o = {0};
	struct img_name n = {0};
	int r;

	if (!name)
		return err_set(
			e, EINVAL, "a root directory has no name of its own; give one with --name");
	for (size_t i = 0; i < ARRAY_SIZE(mounted); i++)
		strv_add(&o.leave_out, mounted[i]);
	r = img_commit(job, NULL, dir, &o, config, name, &n, e);
	strv_release(&o.leave_out);
	if (r >= 0)
		names_take(ret, &n);
	return r;
}

int img_import(const struct img_job *job, int fd, enum img_import_kind kind, const char *tag,
	const char *name, struct img_config *config, struct img_names *ret, struct err *e)
{
	AUTO_FREE char *whole = NULL;
	struct stat st;
	int r;

	if (name && whole_name(name, "localhost", &whole, e) < 0)
		return -e->code;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine what is to be imported");
	if (S_ISDIR(st.st_mode)) {
		r = import_dir(job, fd, kind, tag, whole, ret, e);
		return r == -ENOTSUP ? import_tree(job, fd, whole, config, ret, e) : r;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "what is to be imported must be a file or a directory");
	if (kind == IMG_IMPORT_AUTO && peek_kind(fd, &kind, e) < 0)
		return -e->code;
	if (kind == IMG_IMPORT_ROOT)
		return import_root(job, fd, whole, config, ret, e);
	return import_archive(job, fd, kind, tag, whole, ret, e);
}
