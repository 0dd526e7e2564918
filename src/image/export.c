/* An image as one file: an OCI layout in a tar, with docker's list of it beside. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/pack.h"

struct out {
	struct archive *a;
	struct strv seen; /* blobs that are in already: two layers may be the same */
	struct err *e;
};

static int out_failed(struct out *o)
{
	const char *s = archive_error_string(o->a);

	return err_set(o->e, archive_errno(o->a) > 0 ? archive_errno(o->a) : EIO,
		"cannot write the archive: %s", s ? s : "unknown error");
}

static int add_header(struct out *o, const char *path, uint64_t size)
{
	struct archive_entry *ae = archive_entry_new();
	int r;

	archive_entry_set_pathname(ae, path);
	archive_entry_set_filetype(ae, AE_IFREG);
	archive_entry_set_perm(ae, 0644);
	archive_entry_set_size(ae, (int64_t)size);
	archive_entry_set_mtime(ae, 0, 0);
	r = archive_write_header(o->a, ae);
	archive_entry_free(ae);
	return r == ARCHIVE_OK ? 0 : out_failed(o);
}

static int add_text(struct out *o, const char *path, const char *text)
{
	size_t n = strlen(text);

	if (add_header(o, path, n) < 0)
		return -o->e->code;
	return archive_write_data(o->a, text, n) == (la_ssize_t)n ? 0 : out_failed(o);
}

static int add_blob(struct out *o, struct img_store *s, const struct img_digest *d)
{
	AUTO_FREE char *path = str_fmt("blobs/sha256/%s", d->hex), *chunk = mem_new(1 << 18);
	uint64_t size;
	AUTO_FD int fd = -EBADF;
	ssize_t n;

	if (strv_has(&o->seen, d->hex))
		return 0;
	strv_add(&o->seen, d->hex);
	fd = img_blob_open(s, d, &size, o->e);
	if (fd < 0)
		return err_hint(o->e, "it is not kept here; pull the image again into an empty "
				      "store to export it");
	if (add_header(o, path, size) < 0)
		return -o->e->code;
	while ((n = fd_read_full(fd, chunk, 1 << 18)) > 0)
		if (archive_write_data(o->a, chunk, (size_t)n) != (la_ssize_t)n)
			return out_failed(o);
	return n < 0 ? err_set(o->e, (int)-n, "cannot read blob 'sha256:%s'", d->hex) : 0;
}

static char *index_text(const struct img_name *n, const struct img_doc *doc, size_t size)
{
	struct buf b = {0};

	buf_addf(&b,
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"sha256:%"
		"s\",\"size\":%zu,"
		"\"annotations\":{\"org.opencontainers.image.ref.name\":",
		doc->media_type ? doc->media_type : IMG_TYPE_OCI_MANIFEST, n->manifest.hex, size);
	json_add_string(&b, n->name);
	buf_adds(&b, "}}]}");
	return b.p;
}

static char *saved_text(const struct img_name *n, const struct img_doc *doc)
{
	struct buf b = {0};

	buf_addf(&b, "[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[", doc->config->digest.hex);
	json_add_string(&b, n->name);
	buf_adds(&b, "],\"Layers\":[");
	for (size_t i = 0; i < doc->n_layers; i++)
		buf_addf(&b, "%s\"blobs/sha256/%s\"", i ? "," : "", doc->layers[i].digest.hex);
	buf_adds(&b, "]}]");
	return b.p;
}

static int add_all(struct out *o, struct img_store *s, const struct img_name *n,
	const struct img_doc *doc, size_t size)
{
	AUTO_FREE char *index = index_text(n, doc, size), *saved = saved_text(n, doc);

	if (add_text(o, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}") < 0 ||
		add_text(o, "index.json", index) < 0 || add_text(o, "manifest.json", saved) < 0 ||
		add_blob(o, s, &n->manifest) < 0 || add_blob(o, s, &doc->config->digest) < 0)
		return -o->e->code;
	for (size_t i = 0; i < doc->n_layers; i++)
		if (add_blob(o, s, &doc->layers[i].digest) < 0)
			return -o->e->code;
	return archive_write_close(o->a) == ARCHIVE_OK ? 0 : out_failed(o);
}

int img_export(const struct img_job *job, const char *text, int out_fd, struct err *e)
{
	AUTO_IMG_DOC struct img_doc doc = {0};
	AUTO_BUF struct buf b = {0};
	struct img_name n = {0};
	struct out o = {.e = e};
	int r = img_name_find(job->store, text, &n, e);

	if (r >= 0)
		r = img_blob_read(job->store, &n.manifest, IMG_DOC_MAX_BYTES, &b, e);
	if (r >= 0)
		r = img_doc_parse(b.p, b.n, NULL, &doc, e);
	if (r >= 0) {
		o.a = archive_write_new();
		if (archive_write_set_format_ustar(o.a) != ARCHIVE_OK ||
			archive_write_open_fd(o.a, out_fd) != ARCHIVE_OK)
			r = out_failed(&o);
		else
			r = add_all(&o, job->store, &n, &doc, b.n);
		archive_write_free(o.a);
	}
	strv_release(&o.seen);
	img_name_release(&n);
	return r;
}
