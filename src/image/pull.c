/*
 * An image comes in from a source: documents first, then layers, several fetched at a time by
 * threads while this one unpacks those that have come.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "image/ops.h"

enum { FETCHERS = 3 };

void img_report(const struct img_job *job, const struct img_event *ev)
{
	if (job->report)
		job->report(job->ctx, ev);
}

void img_source_release(struct img_source *src)
{
	if (src->release)
		src->release(src->ctx);
	*src = (struct img_source){0};
}

enum state { WAITING, FETCHED, FAILED };
struct fetch {
	const struct img_desc *desc;
	struct img_digest diff_id;
	enum state state;
	struct err err;
};
struct fetches {
	const struct img_job *job;
	const struct img_source *src;
	struct fetch *v;
	size_t n, next; /* next: the first that no thread has taken */
	bool stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static int fetch_once(const struct img_job *job, const struct img_source *src,
	const struct img_desc *d, bool resume, const bool *stop, bool *ret_resumed, struct err *e)
{
	AUTO_IMG_BLOB_WRITER struct img_blob_writer w = IMG_BLOB_WRITER_INIT;
	int r = img_blob_begin(job->store, &d->digest, resume, d->size, &w, e);

	*ret_resumed = w.size > 0;
	if (r)
		return r < 0 ? r : 0;
	if (w.size < d->size || !d->size) {
		r = src->blob(src->ctx, job, d, &w, stop, e);
		if (r < 0)
			return r;
	}
	return img_blob_commit(&w, d->size, NULL, e);
}

static int fetch_blob(const struct img_job *job, const struct img_source *src,
	const struct img_desc *d, const bool *stop, struct err *e)
{
	bool resumed;
	int r = fetch_once(job, src, d, true, stop, &resumed, e);

	/* What an earlier command left may be what is wrong: once more, from the beginning. */
	if (r == -EBADMSG && resumed)
		r = fetch_once(job, src, d, false, stop, &resumed, e);
	return r;
}

static void fetch_one(struct fetches *f, struct fetch *one)
{
	struct img_event ev = {
		.stage = "fetch", .digest = one->desc->digest_text, .total_bytes = one->desc->size};
	int r = 0;

	if (!img_layer_has(f->job->store, &one->diff_id)) {
		img_report(f->job, &ev);
		r = fetch_blob(f->job, f->src, one->desc, &f->stop, &one->err);
	}
	pthread_mutex_lock(&f->lock);
	one->state = r < 0 ? FAILED : FETCHED;
	f->stop |= r < 0;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void *fetch_thread(void *arg)
{
	struct fetches *f = arg;

	for (;;) {
		struct fetch *one = NULL;

		pthread_mutex_lock(&f->lock);
		if (!f->stop && f->next < f->n)
			one = &f->v[f->next++];
		pthread_mutex_unlock(&f->lock);
		if (!one)
			return NULL;
		fetch_one(f, one);
	}
}

struct unpack_progress {
	const struct img_job *job;
	const struct img_desc *desc;
};

static void unpack_progress(void *ctx, uint64_t in_bytes)
{
	const struct unpack_progress *p = ctx;

	img_report(p->job, &(struct img_event){.stage = "unpack",
				   .digest = p->desc->digest_text,
				   .done_bytes = in_bytes,
				   .total_bytes = p->desc->size});
}

static int unpack_one(struct fetches *f, struct fetch *one, struct err *e)
{
	struct unpack_progress p = {f->job, one->desc};
	struct img_layer_opts o = {
		.max_bytes = f->job->max_layer_bytes, .progress = unpack_progress, .ctx = &p};
	int r = img_layer_unpack(f->job->store, &one->desc->digest, &one->diff_id, &o, NULL, e);

	if (r >= 0)
		img_report(f->job, &(struct img_event){.stage = r ? "exists" : "done",
					   .digest = one->desc->digest_text,
					   .done_bytes = one->desc->size,
					   .total_bytes = one->desc->size});
	return r;
}

/* Waits for each layer in turn and unpacks it; the first failure of any ends it all. */
static int unpack_all(struct fetches *f, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fetch *failed = NULL;

		pthread_mutex_lock(&f->lock);
		while (f->v[i].state == WAITING && !f->stop)
			pthread_cond_wait(&f->changed, &f->lock);
		for (size_t k = 0; f->stop && k < f->n && !failed; k++)
			if (f->v[k].state == FAILED)
				failed = &f->v[k];
		pthread_mutex_unlock(&f->lock);
		if (failed) {
			*e = failed->err;
			return -e->code;
		}
		if (unpack_one(f, &f->v[i], e) < 0)
			return -e->code;
	}
	return 0;
}

static int run_fetches(struct fetches *f, struct err *e)
{
	pthread_t threads[FETCHERS];
	int started = 0, r = 0;

	while (r >= 0 && started < FETCHERS && (size_t)started < f->n) {
		r = pthread_create(&threads[started], NULL, fetch_thread, f);
		if (r)
			r = err_set(e, r, "cannot start a thread");
		else
			started++;
	}
	if (r >= 0)
		r = unpack_all(f, e);
	pthread_mutex_lock(&f->lock);
	f->stop |= r < 0;
	pthread_mutex_unlock(&f->lock);
	while (started)
		pthread_join(threads[--started], NULL);
	return r;
}

static int get_layers(const struct img_job *job, const struct img_source *src,
	const struct img_doc *doc, const struct img_config *config, struct err *e)
{
	struct fetches f = {.job = job, .src = src, .n = doc->n_layers};
	int r = 0;

	f.v = mem_new_array(f.n, sizeof(*f.v));
	for (size_t i = 0; i < f.n && r >= 0; i++) {
		f.v[i].desc = &doc->layers[i];
		r = img_digest_parse(config->diff_ids.v[i], &f.v[i].diff_id, e);
	}
	pthread_mutex_init(&f.lock, NULL);
	pthread_cond_init(&f.changed, NULL);
	if (r >= 0)
		r = run_fetches(&f, e);
	pthread_cond_destroy(&f.changed);
	pthread_mutex_destroy(&f.lock);
	free(f.v);
	return r;
}

/* A document by its digest (or the source's own), verified, stored and parsed. */
static int get_doc(const struct img_job *job, const struct img_source *src,
	const struct img_desc *d, const struct img_digest *want, struct img_digest *ret_digest,
	struct img_doc *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *type = NULL;

	if (!want || !img_blob_has(job->store, want) ||
		img_blob_read(job->store, want, IMG_DOC_MAX_BYTES, &text, e) < 0) {
		if (src->manifest(src->ctx, want, &text, &type, e) < 0)
			return -e->code;
		if (d && d->size != text.n)
			return err_set(e, EBADMSG,
				"manifest sha256:%s has %zu bytes, the index says %llu", want->hex,
				text.n, (unsigned long long)d->size);
	}
	if (img_blob_put(job->store, text.p, text.n, want, ret_digest, e) < 0)
		return err_prefix(e, "manifest");
	return img_doc_parse(text.p, text.n, d && d->media_type ? d->media_type : type, ret, e);
}

static int get_config(const struct img_job *job, const struct img_source *src,
	const struct img_doc *doc, struct img_config *ret, struct err *e)
{
	static const bool never;
	AUTO_BUF struct buf text = {0};

	if (fetch_blob(job, src, doc->config, &never, e) < 0)
		return err_prefix(e, "the image's configuration");
	if (img_blob_read(job->store, &doc->config->digest, IMG_CONFIG_MAX_BYTES, &text, e) < 0)
		return -e->code;
	return img_config_parse(text.p, text.n, doc->n_layers, ret, e);
}

static uint64_t layers_size(const struct img_doc *doc)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < doc->n_layers; i++)
		sum += doc->layers[i].size;
	return sum;
}

/* The id of the layer that img_layer_fixup may add: of this stack of layers and no other. */
static void fixup_id(const struct strv *diff_ids, struct img_digest *ret)
{
	AUTO_BUF struct buf b = {0};

	buf_adds(&b, "jail fixup layer\n");
	for (size_t i = 0; i < diff_ids->n; i++)
		buf_addf(&b, "%s\n", diff_ids->v[i]);
	img_digest_of(b.p, b.n, ret);
}

/* Topmost first, down to a layer that hides all below it. */
static int stack_layers(
	struct img_store *s, const struct strv *diff_ids, struct img_record *rec, struct err *e)
{
	struct img_digest id;
	char text[IMG_DIGEST_TEXT];
	int r;

	fixup_id(diff_ids, &id);
	r = img_layer_fixup(s, diff_ids, &id, e);
	if (r < 0)
		return r;
	if (r)
		strv_add(&rec->layers, img_digest_print(&id, text));
	for (size_t i = diff_ids->n; i-- > 0;) {
		if (img_digest_parse(diff_ids->v[i], &id, e) < 0)
			return -e->code;
		/* The same layer twice: overlay refuses it, and the upper one is all that is seen.
		 */
		if (!strv_has(&rec->layers, diff_ids->v[i]))
			strv_add(&rec->layers, diff_ids->v[i]);
		if (img_layer_is_opaque(s, &id))
			break;
	}
	return 0;
}

int img_finish(const struct img_job *job, const struct img_digest *target,
	const struct img_digest *manifest, const struct img_doc *doc,
	const struct img_config *config, const char *name, struct img_name *ret, struct err *e)
{
	struct img_record rec = {.size_bytes = layers_size(doc)};
	char text[IMG_DIGEST_TEXT];
	int r;

	rec.config = str_dup(img_digest_print(&doc->config->digest, text));
	r = stack_layers(job->store, &config->diff_ids, &rec, e);
	if (r >= 0)
		r = img_record_write(job->store, manifest, &rec, e);
	img_record_release(&rec);
	if (r < 0)
		return r;
	*ret = (struct img_name){.name = str_dup(name),
		.target = *target,
		.manifest = *manifest,
		.pulled = time(NULL)};
	r = name ? img_name_set(job->store, ret, job->replace, e) : 0;
	if (r < 0)
		img_name_release(ret);
	return r;
}

int img_pull(const struct img_job *job, const struct img_source *src, const char *name,
	const struct img_digest *want, struct img_name *ret, struct err *e)
{
	AUTO_IMG_DOC struct img_doc top = {0}, inner = {0};
	struct img_config config = {0};
	const struct img_doc *doc = &top;
	const struct img_desc *d;
	struct img_digest target, manifest;
	int r = get_doc(job, src, NULL, want, &target, &top, e);

	if (r < 0)
		return r;
	manifest = target;
	if (top.kind == IMG_DOC_INDEX) {
		if (img_index_choose(&top, job->platform, &d, e) < 0)
			return -e->code;
		if (get_doc(job, src, d, &d->digest, &manifest, &inner, e) < 0)
			return -e->code;
		if (inner.kind != IMG_DOC_MANIFEST)
			return err_set(e, EBADMSG, "the index leads to another index");
		doc = &inner;
	}
	img_report(job, &(struct img_event){.stage = "resolve",
				.digest = NULL,
				.text = manifest.hex,
				.total_bytes = layers_size(doc)});
	r = get_config(job, src, doc, &config, e);
	if (r >= 0)
		r = get_layers(job, src, doc, &config, e);
	if (r >= 0)
		r = img_finish(job, &target, &manifest, doc, &config, name, ret, e);
	img_config_release(&config);
	return r;
}

static const char *const layer_types[] = {
	[IMG_PLAIN] = IMG_TYPE_OCI_LAYER,
	[IMG_GZIP] = IMG_TYPE_OCI_LAYER "+gzip",
	[IMG_ZSTD] = IMG_TYPE_OCI_LAYER "+zstd",
};

static struct img_desc new_desc(const char *type, const struct img_digest *d, uint64_t size)
{
	char text[IMG_DIGEST_TEXT];

	return (struct img_desc){.media_type = str_dup(type),
		.digest_text = str_dup(img_digest_print(d, text)),
		.digest = *d,
		.size = size};
}

int img_compose(const struct img_job *job, struct img_config *config, const char *config_text,
	const struct img_doc *base, const struct img_new_layer *layers, size_t n, const char *name,
	struct img_name *ret, struct err *e)
{
	AUTO_IMG_DOC struct img_doc doc = {.schema_version = 2,
		.media_type = str_dup(IMG_TYPE_OCI_MANIFEST),
		.has_layers = true};
	AUTO_FREE char *printed_config = NULL, *text = NULL;
	struct img_digest digest;
	char printed[IMG_DIGEST_TEXT];

	if (!base)
		strv_release(&config->diff_ids);
	doc.layers = mem_new_array((base ? base->n_layers : 0) + n, sizeof(*doc.layers));
	for (size_t i = 0; base && i < base->n_layers; i++)
		doc.layers[doc.n_layers++] = new_desc(
			base->layers[i].media_type, &base->layers[i].digest, base->layers[i].size);
	if (doc.n_layers + n > IMG_LAYERS_MAX)
		return err_set(e, E2BIG, "the image would have %zu layers; the limit is %d",
			doc.n_layers + n, IMG_LAYERS_MAX);
	for (size_t i = 0; i < n; i++) {
		strv_add(&config->diff_ids, img_digest_print(&layers[i].diff_id, printed));
		doc.layers[doc.n_layers++] = new_desc(
			layer_types[layers[i].compression], &layers[i].blob, layers[i].size);
	}
	if (!config_text)
		config_text = printed_config = img_config_print(config);
	if (img_blob_put(job->store, config_text, strlen(config_text), NULL, &digest, e) < 0)
		return -e->code;
	doc.config = mem_new(sizeof(*doc.config));
	*doc.config = new_desc(IMG_TYPE_OCI_CONFIG, &digest, strlen(config_text));
	text = img_doc_print(&doc);
	if (img_blob_put(job->store, text, strlen(text), NULL, &digest, e) < 0)
		return -e->code;
	return img_finish(job, &digest, &digest, &doc, config, name, ret, e);
}
