/* An image of the store, ready to be mounted: what a jail's start needs, and no more. */
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/fd.h"
#include "base/file.h"
#include "image/manifest.h"
#include "image/store.h"

/* The configuration was verified when it was stored: a start does not hash it again. */
static int read_config(const struct img_store *s, const struct img_digest *d,
	struct img_config *ret, struct err *e)
{
	AUTO_FD int fd = img_blob_open(s, d, NULL, e);
	AUTO_BUF struct buf b = {0};

	if (fd < 0)
		return fd;
	if (file_read_fd(fd, "image configuration", IMG_CONFIG_MAX_BYTES, &b, e) < 0)
		return -e->code;
	return img_config_parse(b.p, b.n, SIZE_MAX, ret, e);
}

static int take_layers(
	const struct img_store *s, const struct img_record *rec, struct img_image *i, struct err *e)
{
	for (size_t k = 0; k < rec->layers.n; k++) {
		struct img_digest d;

		if (img_digest_parse(rec->layers.v[k], &d, e) < 0)
			return -e->code;
		if (!img_layer_has(s, &d))
			return err_set(e, ENODATA, "image '%s' lacks its layer %s; pull it again",
				i->name ? i->name : i->manifest.hex, rec->layers.v[k]);
		strv_addf(&i->lower, "%s/layers/%s/fs", s->path, d.hex);
	}
	return 0;
}

static int open_locked(
	struct img_store *s, const char *text, const char *pin, struct img_image *i, struct err *e)
{
	struct img_name n = {0};
	struct img_record rec = {0};
	int r = img_name_find(s, text, &n, e);

	if (r < 0)
		return r;
	i->name = n.name;
	i->manifest = n.manifest;
	r = img_record_read(s, &i->manifest, &rec, e);
	if (r == -ENOENT)
		return err_set(e, ENODATA, "image '%s' is incomplete; pull it again", i->name);
	if (r < 0)
		return r;
	r = img_digest_parse(rec.config, &i->config_digest, e);
	if (r >= 0)
		r = take_layers(s, &rec, i, e);
	if (r >= 0)
		r = read_config(s, &i->config_digest, &i->config, e);
	i->size_bytes = rec.size_bytes;
	if (r >= 0 && pin)
		r = img_pin(s, pin, &i->manifest, e);
	img_record_release(&rec);
	return r;
}

int img_image_open(struct img_store *s, const char *text, const char *pin, struct img_image *ret,
	struct err *e)
{
	AUTO_IMG_IMAGE struct img_image i = {0};
	int r = img_store_lock(s, IMG_LOCK_SHARED, e);

	/* Under the lock: img_gc must see the pin, or not have begun. */
	if (r >= 0)
		r = open_locked(s, text, pin, &i, e);
	img_store_unlock(s);
	if (r < 0)
		return r;
	*ret = i;
	i = (struct img_image){0};
	return 0;
}

void img_image_release(struct img_image *i)
{
	free(i->name);
	img_config_release(&i->config);
	strv_release(&i->lower);
	*i = (struct img_image){0};
}
