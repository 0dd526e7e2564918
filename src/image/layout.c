/* An OCI image layout (image-layout.md) as a source of images. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "image/ops.h"

struct layout {
	int dir;
	struct img_desc *chosen; /* in index */
	struct img_doc index;
};

/* Opens a file of the layout: regular, and reached without symlinks; a FIFO must not hang us. */
static int open_file(int dir, const char *name, struct err *e)
{
	AUTO_FD int fd = path_open(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, PATH_STRICT, e);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "'%s' is not a regular file", name);
	return fd_take(&fd);
}

static int read_small(int dir, const char *name, struct buf *ret, struct err *e)
{
	AUTO_FD int fd = open_file(dir, name, e);

	return fd < 0 ? fd : file_read_fd(fd, name, IMG_DOC_MAX_BYTES, ret, e);
}

static int layout_manifest(
	void *ctx, const struct img_digest *digest, struct buf *ret, char **ret_type, struct err *e)
{
	struct layout *l = ctx;
	const struct img_digest *d = digest ? digest : &l->chosen->digest;
	AUTO_FREE char *name = str_fmt("blobs/sha256/%s", d->hex);
	struct img_digest got;

	if (read_small(l->dir, name, ret, e) < 0)
		return -e->code;
	if (!digest)
		str_set(ret_type, l->chosen->media_type);
	img_digest_of(ret->p, ret->n, &got);
	return img_digest_expect("manifest", d, &got, e);
}

static int layout_blob(void *ctx, const struct img_job *job, const struct img_desc *d,
	struct img_blob_writer *w, const bool *stop, struct err *e)
{
	struct layout *l = ctx;
	AUTO_FREE char *name = str_fmt("blobs/sha256/%s", d->digest.hex), *chunk = mem_new(1 << 18);
	AUTO_FD int fd = open_file(l->dir, name, e);
	ssize_t n;

	if (fd < 0)
		return fd;
	/* Copying is cheaper than trusting what an earlier command left. */
	if (img_blob_restart(w, e) < 0)
		return -e->code;
	while ((n = fd_read_full(fd, chunk, 1 << 18)) > 0) {
		if (*stop)
			return err_set(e, ECANCELED, "stopped");
		if (img_blob_write(w, chunk, (size_t)n, e) < 0)
			return -e->code;
		img_report(job, &(struct img_event){.stage = "fetch",
					.digest = d->digest_text,
					.done_bytes = w->size,
					.total_bytes = d->size});
	}
	return n < 0 ? err_set(e, (int)-n, "cannot read '%s'", name) : 0;
}

static void layout_release(void *ctx)
{
	struct layout *l = ctx;

	fd_close(&l->dir);
	img_doc_release(&l->index);
	free(l);
}

struct version_json {
	char *version;
};
static const struct json_field version_fields[] = {
	JSON_FIELD(struct version_json, version, "imageLayoutVersion", JSON_STR,
		.flags = JSON_REQUIRED),
};
static const struct json_table version_table = JSON_TABLE(struct version_json, version_fields);

static int check_version(struct layout *l, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	struct version_json v = {0};
	bool known;

	if (read_small(l->dir, "oci-layout", &text, e) < 0)
		return err_prefix(e, "this is no OCI image layout");
	if (json_read_text(&version_table, text.p, text.n, NULL, &v, e) < 0)
		return err_prefix(e, "'oci-layout' is not valid");
	known = !strcmp(v.version, "1.0.0");
	json_release(&version_table, &v);
	return known ? 0
		     : err_set(e, EINVAL, "the OCI image layout is of another version than 1.0.0");
}

static int choose(struct layout *l, const char *tag, struct err *e)
{
	static const char key[] = "org.opencontainers.image.ref.name";

	for (size_t i = 0; i < l->index.n_manifests; i++) {
		struct img_desc *d = &l->index.manifests[i];

		if (tag ? str_eq(strmap_get(&d->annotations, key), tag)
			: l->index.n_manifests == 1) {
			l->chosen = d;
			return 0;
		}
	}
	if (tag)
		return err_set(
			e, ENOENT, "the OCI image layout holds no image named '%.128s'", tag);
	return err_set(e, ENOENT,
		"the OCI image layout holds %zu images; say which, as in oci:DIRECTORY:NAME",
		l->index.n_manifests);
}

int img_source_layout(int dir_fd, const char *tag, struct img_source *ret, struct err *e)
{
	struct layout *l = mem_new(sizeof(*l));
	AUTO_BUF struct buf text = {0};
	int r;

	l->dir = dir_fd;
	r = check_version(l, e);
	if (r >= 0)
		r = read_small(l->dir, "index.json", &text, e);
	if (r >= 0)
		r = img_doc_parse(text.p, text.n, NULL, &l->index, e);
	if (r >= 0 && l->index.kind != IMG_DOC_INDEX)
		r = err_set(e, EBADMSG, "'index.json' is not an index");
	if (r >= 0)
		r = choose(l, tag, e);
	if (r < 0) {
		layout_release(l);
		return r;
	}
	*ret = (struct img_source){.ctx = l,
		.manifest = layout_manifest,
		.blob = layout_blob,
		.release = layout_release};
	return 0;
}
