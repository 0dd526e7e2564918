#include "image/registry.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/auth.h"
#include "image/conf.h"
#include "image/http.h"

enum { RETRIES = 5, BACKOFF_MS = 200, BACKOFF_MAX_MS = 8000, RETRY_AFTER_MAX_S = 60 };

/* One host to talk to.  The tokens change under the lock; the rest is set when it is opened. */
struct endpoint {
	char *host, *repository, *base; /* base: "https://host/v2/repository" */
	struct http_client http;
	struct img_credentials cred;
	bool has_cred, insecure, may_try_http;
	bool settled; /* base has answered: it does not change any more */
	pthread_mutex_t lock;
	char *authorization; /* header line, or NULL */
};
struct registry {
	struct img_ref ref;
	unsigned int retries;
	const char *actions; /* "pull" or "pull,push" */
	struct endpoint *v;
	size_t n, used; /* used: the one that answered */
};

static bool is_loopback(const char *host)
{
	AUTO_FREE char *name =
		str_dup_n(host, *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":"));

	return !strcmp(name, "localhost") || !strcmp(name, "[::1]") ||
	       (str_starts(name, "127.") && strspn(name, "0123456789.") == strlen(name));
}

static const char *api_host(const char *host)
{
	return strcmp(host, IMG_DEFAULT_REGISTRY) ? host : "registry-1.docker.io";
}

static void set_base(struct endpoint *ep, const char *scheme)
{
	free(ep->base);
	ep->base = str_fmt("%s://%s/v2/%s", scheme, api_host(ep->host), ep->repository);
}

/* certs.d/HOST: any *.crt is a CA; a *.cert and *.key are ours (containers-certs.d(5)). */
static void find_certs(struct endpoint *ep, const char *dir)
{
	const struct {
		const char *suffix;
		char **where;
	} kinds[] = {{".crt", &ep->http.ca_file}, {".cert", &ep->http.cert_file},
		{".key", &ep->http.key_file}};
	DIR *d = opendir(dir);
	struct dirent *de;

	while (d && (de = readdir(d)))
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (str_ends(de->d_name, kinds[i].suffix) && !*kinds[i].where)
				*kinds[i].where = str_fmt("%s/%s", dir, de->d_name);
	if (d)
		closedir(d);
}

static int open_endpoint(struct endpoint *ep, const struct img_endpoint *place,
	const struct img_registry_opts *o, struct err *e)
{
	static const char *const cert_dirs[] = {"/etc/containers/certs.d", "/etc/docker/certs.d"};
	int r;

	ep->host = str_dup(place->host);
	ep->repository = str_dup(place->repository);
	ep->insecure = place->insecure || o->insecure;
	ep->may_try_http = ep->insecure || is_loopback(ep->host);
	ep->http.verify = !ep->insecure;
	ep->http.allow_http = ep->may_try_http;
	pthread_mutex_init(&ep->lock, NULL);
	set_base(ep, "https");
	if (o->certs_dir)
		find_certs(ep, o->certs_dir);
	for (size_t i = 0; !o->certs_dir && i < ARRAY_SIZE(cert_dirs); i++) {
		AUTO_FREE char *dir = str_fmt("%s/%s", cert_dirs[i], ep->host);

		find_certs(ep, dir);
	}
	r = o->creds_file
		    ? img_credentials_read(o->creds_file, &ep->cred, e)
		    : img_credentials_find(o->authfile, ep->host, ep->repository, &ep->cred, e);
	ep->has_cred = r > 0 || (o->creds_file && !r);
	return r < 0 ? r : 0;
}

static char *basic_line(const struct img_credentials *c)
{
	AUTO_FREE char *pair = str_fmt("%s:%s", c->user, c->password),
		       *b64 = img_base64(pair, strlen(pair));

	explicit_bzero(pair, strlen(pair));
	return str_fmt("Authorization: Basic %s", b64);
}

static void add_query(struct buf *url, char *sep, const char *key, const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, (int)strlen(value));

	buf_addf(url, "%c%s=%s", *sep, key, escaped);
	curl_free(escaped);
	*sep = '&';
}

struct token_json {
	char *token, *access_token;
};
static const struct json_field token_fields[] = {
	JSON_FIELD(struct token_json, token, "token", JSON_STR),
	JSON_FIELD(struct token_json, access_token, "access_token", JSON_STR),
};
static const struct json_table token_table = JSON_TABLE(struct token_json, token_fields);

/* A token is a word of visible characters: nothing that could end a header line. */
static int take_token(struct endpoint *ep, const struct http_answer *a, struct err *e)
{
	struct token_json t = {0};
	const char *s;
	int r;

	if (a->status != 200)
		return err_set(e, EACCES,
			"the token service of '%s' says %ld: the credentials are wrong or do not "
			"suffice",
			ep->host, a->status);
	r = json_read_text(&token_table, a->body.p ? a->body.p : "", a->body.n, NULL, &t, e);
	if (r < 0)
		return err_prefix(e, "the token service of '%s'", ep->host);
	s = t.token && *t.token ? t.token : t.access_token;
	if (!s || !*s)
		r = err_set(e, EBADMSG, "the token service of '%s' sent no token", ep->host);
	for (const char *p = s; r >= 0 && *p; p++)
		if (*p <= ' ' || *p > '~')
			r = err_set(e, EBADMSG,
				"the token service of '%s' sent something that is no token",
				ep->host);
	if (r >= 0) {
		free(ep->authorization);
		ep->authorization = str_fmt("Authorization: Bearer %s", s);
	}
	json_release(&token_table, &t);
	return r;
}

/* The realm is the registry's word: it must be TLS where the registry has to be. */
static int check_realm(const struct endpoint *ep, const char *realm, struct err *e)
{
	if (realm && str_starts(realm, "https://"))
		return 0;
	if (realm && str_starts(realm, "http://") && ep->may_try_http)
		return 0;
	return err_set(e, EPROTO,
		"registry '%s' names a token service that is not reached over TLS", ep->host);
}

/* OAuth 2 with the refresh token of a login (distribution's oauth.md). */
static int get_oauth(
	struct endpoint *ep, const struct img_challenge *c, struct http_answer *a, struct err *e)
{
	AUTO_BUF struct buf body = {0};
	AUTO_STRV struct strv headers = {0};
	char sep = '&';

	buf_adds(&body, "grant_type=refresh_token&client_id=jail");
	if (c->service)
		add_query(&body, &sep, "service", c->service);
	for (size_t i = 0; i < c->scopes.n; i++)
		add_query(&body, &sep, "scope", c->scopes.v[i]);
	add_query(&body, &sep, "refresh_token", ep->cred.identity_token);
	strv_add(&headers, "Content-Type: application/x-www-form-urlencoded");
	return http_do(&ep->http,
		&(struct http_request){.method = "POST",
			.url = c->realm,
			.headers = headers,
			.body = body.p,
			.body_bytes = body.n},
		a, e);
}

static int get_simple(
	struct endpoint *ep, const struct img_challenge *c, struct http_answer *a, struct err *e)
{
	AUTO_BUF struct buf url = {0};
	AUTO_FREE char *line = ep->has_cred ? basic_line(&ep->cred) : NULL;
	char sep = strchr(c->realm, '?') ? '&' : '?';

	buf_adds(&url, c->realm);
	if (c->service)
		add_query(&url, &sep, "service", c->service);
	for (size_t i = 0; i < c->scopes.n; i++)
		add_query(&url, &sep, "scope", c->scopes.v[i]);
	return http_do(&ep->http,
		&(struct http_request){.method = "GET", .url = url.p, .authorization = line}, a, e);
}

static int answer_challenge(
	struct registry *reg, struct endpoint *ep, const char *text, struct err *e)
{
	struct img_challenge c = {0};
	struct http_answer a = {0};
	int r = img_challenge_parse(text ? text : "", &c, e);

	if (r < 0)
		return err_prefix(e, "registry '%s'", ep->host);
	if (c.scheme == IMG_AUTH_BASIC) {
		if (ep->has_cred && ep->cred.user) {
			free(ep->authorization);
			ep->authorization = basic_line(&ep->cred);
		} else {
			r = err_set(e, EACCES,
				"registry '%s' wants a user and a password; give --creds-file or "
				"write them to auth.json",
				ep->host);
		}
	} else {
		if (!c.scopes.n)
			strv_addf(&c.scopes, "repository:%s:%s", ep->repository, reg->actions);
		r = check_realm(ep, c.realm, e);
		if (r >= 0)
			r = ep->has_cred && ep->cred.identity_token ? get_oauth(ep, &c, &a, e)
								    : get_simple(ep, &c, &a, e);
		if (r >= 0)
			r = take_token(ep, &a, e);
	}
	http_answer_release(&a);
	img_challenge_release(&c);
	return r;
}

/* What the registry says about its refusal (distribution-spec "Error Codes"). */
struct fault_json {
	char *code, *message;
};
struct faults_json {
	struct fault_json *v;
	size_t n_v;
};
static const struct json_field fault_fields[] = {
	JSON_FIELD(struct fault_json, code, "code", JSON_STR),
	JSON_FIELD(struct fault_json, message, "message", JSON_STR),
};
static const struct json_table fault_table = JSON_TABLE(struct fault_json, fault_fields);
static const struct json_field faults_fields[] = {
	JSON_FIELD_ARRAY(struct faults_json, v, "errors", JSON_ARRAY, .table = &fault_table),
};
static const struct json_table faults_table = JSON_TABLE(struct faults_json, faults_fields);

static int refused(
	const struct endpoint *ep, const struct http_answer *a, const char *what, struct err *e)
{
	static const struct {
		long status;
		int code;
	} codes[] = {{401, EACCES}, {403, EACCES}, {404, ENOENT}, {405, ENOTSUP}, {429, EAGAIN}};
	struct faults_json f = {0};
	struct err ignored;
	AUTO_FREE char *seen = NULL;
	int code = EIO;

	if (a->body.n)
		json_read_text(&faults_table, a->body.p, a->body.n, NULL, &f, &ignored);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].status == a->status)
			code = codes[i].code;
	if (f.n_v)
		seen = str_fmt(": %s (%s)", f.v[0].message ? f.v[0].message : "",
			f.v[0].code ? f.v[0].code : "");
	if (seen) {
		char *visible = str_visible(seen);

		free(seen);
		seen = visible;
	}
	err_set(e, code, "registry '%s' answers %ld to %s%.300s", ep->host, a->status, what,
		seen ? seen : "");
	json_release(&faults_table, &f);
	return -e->code;
}

static char *copy_authorization(struct endpoint *ep)
{
	char *s;

	pthread_mutex_lock(&ep->lock);
	s = str_dup(ep->authorization);
	pthread_mutex_unlock(&ep->lock);
	return s;
}

/* Another thread may have got a fresh token meanwhile: then that one is tried first. */
static int authorize(struct registry *reg, struct endpoint *ep, const char *used,
	const char *challenge, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&ep->lock);
	if (str_eq(used, ep->authorization))
		r = answer_challenge(reg, ep, challenge, e);
	pthread_mutex_unlock(&ep->lock);
	return r;
}

/* A request with authorization, asked for once when it is refused; tail is behind base, or a whole
 * URL. */
static int ask(struct registry *reg, struct endpoint *ep, struct http_request *q, const char *tail,
	struct http_answer *a, struct err *e)
{
	for (int attempt = 0;; attempt++) {
		AUTO_FREE char *line = copy_authorization(ep),
			       *url = str_starts(tail, "http") ? str_dup(tail)
							       : str_fmt("%s%s", ep->base, tail);
		int r;

		q->url = url;
		q->authorization = line;
		http_answer_release(a);
		r = http_do(&ep->http, q, a, e);
		/* Before any thread is started: the first request of all settles it. */
		if (r < 0 && !ep->settled && a->plain_http_peer && ep->may_try_http &&
			str_starts(ep->base, "https:")) {
			set_base(ep, "http");
			continue;
		}
		if (r >= 0 && !ep->settled)
			ep->settled = true;
		if (r < 0 || a->status != 401 || attempt >= 2)
			return r;
		r = authorize(reg, ep, line, a->authenticate, e);
		if (r < 0)
			return r;
	}
}

static bool worth_retrying(int r, long status)
{
	return r == -EIO || r == -ECONNREFUSED ||
	       (!r && (status == 429 || status == 408 || status >= 500));
}

static void wait_before(unsigned int attempt, uint64_t retry_after_s, const bool *stop)
{
	uint64_t ms = MIN((uint64_t)BACKOFF_MS << attempt, (uint64_t)BACKOFF_MAX_MS);

	if (retry_after_s)
		ms = MIN(retry_after_s, (uint64_t)RETRY_AFTER_MAX_S) * 1000;
	for (; ms && !(stop && *stop); ms -= MIN(ms, (uint64_t)50))
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

/* As ask, with patience for servers that are busy or restart. */
static int ask_patiently(struct registry *reg, struct endpoint *ep, struct http_request *q,
	const char *tail, struct http_answer *a, struct err *e)
{
	for (unsigned int i = 0;; i++) {
		int r = ask(reg, ep, q, tail, a, e);

		if (!worth_retrying(r, a->status) || i + 1 >= reg->retries || (q->stop && *q->stop))
			return r;
		wait_before(i, a->retry_after_s, q->stop);
	}
}

static int fetch_manifest(struct registry *reg, struct endpoint *ep,
	const struct img_digest *digest, struct buf *ret, char **ret_type, struct err *e)
{
	AUTO_FREE char *tail = digest ? str_fmt("/manifests/sha256:%s", digest->hex)
			       : reg->ref.has_digest
				       ? str_fmt("/manifests/sha256:%s", reg->ref.digest.hex)
				       : str_fmt("/manifests/%s", reg->ref.tag);
	AUTO_STRV struct strv headers = {0};
	struct http_request q = {.method = "GET"};
	struct http_answer a = {0};
	int r;

	/* Without it, registries answer 404 for what they hold in another format. */
	strv_add(&headers, "Accept: " IMG_TYPE_OCI_INDEX ", " IMG_TYPE_OCI_MANIFEST
			   ", " IMG_TYPE_DOCKER_LIST ", " IMG_TYPE_DOCKER_MANIFEST);
	q.headers = headers;
	r = ask_patiently(reg, ep, &q, tail, &a, e);
	if (r >= 0 && a.status != 200)
		r = refused(ep, &a, "the request for the manifest", e);
	if (r >= 0) {
		*ret = a.body;
		a.body = (struct buf){0};
		buf_adds(ret, "");
		str_set(ret_type, a.content_type);
	}
	http_answer_release(&a);
	return r;
}

/* Mirrors first; the first that has it serves the rest of the image. */
static int registry_manifest(
	void *ctx, const struct img_digest *digest, struct buf *ret, char **ret_type, struct err *e)
{
	struct registry *reg = ctx;
	int r = -ENOENT;

	for (size_t i = reg->used; i < reg->n; i++) {
		r = fetch_manifest(reg, &reg->v[i], digest, ret, ret_type, e);
		if (r >= 0) {
			reg->used = i;
			return r;
		}
	}
	return r;
}

struct download {
	const struct img_job *job;
	const struct img_desc *desc;
	struct img_blob_writer *w;
	struct err err;
	bool first;
};

static int take_blob(void *ctx, long status, const void *p, size_t n)
{
	struct download *d = ctx;

	/* Asked for the rest and got all of it. */
	if (d->first && status == 200 && d->w->size && img_blob_restart(d->w, &d->err) < 0)
		return -1;
	d->first = false;
	if (img_blob_write(d->w, p, n, &d->err) < 0)
		return -1;
	img_report(d->job, &(struct img_event){.stage = "fetch",
				   .digest = d->desc->digest_text,
				   .done_bytes = d->w->size,
				   .total_bytes = d->desc->size});
	return 0;
}

/* One attempt; returns 1 when another, from where it stopped, makes sense. */
static int download_once(struct registry *reg, struct endpoint *ep, struct download *d,
	const bool *stop, uint64_t *ret_wait_s, struct err *e)
{
	AUTO_FREE char *tail = str_fmt("/blobs/sha256:%s", d->desc->digest.hex);
	struct http_request q = {.method = "GET",
		.range_from = d->w->size,
		.sink = take_blob,
		.ctx = d,
		.stop = stop};
	struct http_answer a = {0};
	int r;

	d->first = true;
	d->err = (struct err){0};
	r = ask(reg, ep, &q, tail, &a, e);
	*ret_wait_s = a.retry_after_s;
	if (d->err.code) {
		*e = d->err;
		r = -e->code;
	} else if (r >= 0 && a.status == 416) {
		r = img_blob_restart(d->w, e);
		r = r < 0 ? r : 1;
	} else if (worth_retrying(r, a.status)) {
		if (r >= 0)
			refused(ep, &a, "the request for a layer", e);
		r = 1;
	} else if (r >= 0 && a.status != 200 && a.status != 206) {
		r = refused(ep, &a, "the request for a layer", e);
	} else if (r >= 0 && d->w->size < d->desc->size) {
		err_set(e, EIO, "registry '%s' ended a layer early", ep->host);
		r = 1;
	}
	http_answer_release(&a);
	return r;
}

static int download(struct registry *reg, struct endpoint *ep, struct download *d, const bool *stop,
	struct err *e)
{
	uint64_t wait_s = 0;

	for (unsigned int tries = 0;;) {
		uint64_t before = d->w->size;
		int r = download_once(reg, ep, d, stop, &wait_s, e);

		if (r <= 0)
			return r;
		/* Patience is for servers that give nothing: progress starts it anew. */
		tries = d->w->size > before ? 0 : tries + 1;
		if (tries >= reg->retries || *stop)
			return -e->code;
		img_report(d->job, &(struct img_event){.stage = "retry",
					   .digest = d->desc->digest_text,
					   .text = e->text,
					   .done_bytes = d->w->size,
					   .total_bytes = d->desc->size});
		wait_before(tries, wait_s, stop);
	}
}

static int registry_blob(void *ctx, const struct img_job *job, const struct img_desc *desc,
	struct img_blob_writer *w, const bool *stop, struct err *e)
{
	struct registry *reg = ctx;
	struct download d = {.job = job, .desc = desc, .w = w};
	int r = -ENOENT;

	/* A mirror that lacks a blob does not lose the image. */
	for (size_t i = reg->used; i < reg->n && !*stop; i++) {
		r = download(reg, &reg->v[i], &d, stop, e);
		if (r >= 0)
			return r;
	}
	return r;
}

static void endpoint_release(struct endpoint *ep)
{
	free(ep->host);
	free(ep->repository);
	free(ep->base);
	if (ep->authorization)
		explicit_bzero(ep->authorization, strlen(ep->authorization));
	free(ep->authorization);
	http_client_release(&ep->http);
	img_credentials_release(&ep->cred);
	pthread_mutex_destroy(&ep->lock);
}

static void registry_release(void *ctx)
{
	struct registry *reg = ctx;

	for (size_t i = 0; i < reg->n; i++)
		endpoint_release(&reg->v[i]);
	free(reg->v);
	img_ref_release(&reg->ref);
	free(reg);
}

static int open_registry(const struct img_ref *ref, const struct img_registry_opts *o,
	const char *actions, struct registry **ret, struct err *e)
{
	struct registry *reg = mem_new(sizeof(*reg));
	struct img_conf conf = {0};
	struct img_endpoints places = {0};
	int r;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	img_ref_copy(&reg->ref, ref);
	reg->retries = o->retries ? o->retries : RETRIES;
	reg->actions = actions;
	r = img_conf_load(o->conf, &conf, e);
	if (r >= 0)
		r = img_conf_endpoints(&conf, ref, &places, e);
	reg->v = mem_new_array(places.n, sizeof(*reg->v));
	while (r >= 0 && reg->n < places.n) {
		r = open_endpoint(&reg->v[reg->n], &places.v[reg->n], o, e);
		reg->n++;
	}
	img_endpoints_release(&places);
	img_conf_release(&conf);
	if (r < 0) {
		registry_release(reg);
		return r;
	}
	*ret = reg;
	return 0;
}

int img_source_registry(const struct img_ref *ref, const struct img_registry_opts *o,
	struct img_source *ret, struct err *e)
{
	struct registry *reg = NULL;
	int r = open_registry(ref, o, "pull", &reg, e);

	if (r < 0)
		return r;
	*ret = (struct img_source){.ctx = reg,
		.manifest = registry_manifest,
		.blob = registry_blob,
		.release = registry_release};
	return 0;
}

struct upload {
	const struct img_job *job;
	const struct img_desc *desc;
};

static void on_sent(void *ctx, uint64_t sent)
{
	const struct upload *u = ctx;

	img_report(u->job, &(struct img_event){.stage = "push",
				   .digest = u->desc->digest_text,
				   .done_bytes = sent,
				   .total_bytes = u->desc->size});
}

/* Location may be relative to the host, and may have a query already. */
static char *upload_url(const struct endpoint *ep, const char *location, const struct img_digest *d)
{
	size_t scheme = strcspn(ep->base, ":") + 3, host = scheme + strcspn(ep->base + scheme, "/");
	char sep = strchr(location, '?') ? '&' : '?';

	if (str_starts(location, "/"))
		return str_fmt(
			"%.*s%s%cdigest=sha256:%s", (int)host, ep->base, location, sep, d->hex);
	return str_fmt("%s%cdigest=sha256:%s", location, sep, d->hex);
}

/* An upload's place that is another host gets the blob, but not our credentials. */
static bool same_host(const struct endpoint *ep, const char *url)
{
	size_t scheme = strcspn(ep->base, ":") + 3, host = scheme + strcspn(ep->base + scheme, "/");

	return !strncmp(url, ep->base, host) && (url[host] == '/' || url[host] == '?');
}

static int put_blob(struct registry *reg, struct endpoint *ep, const struct upload *u,
	const char *location, struct err *e)
{
	AUTO_FREE char *url = upload_url(ep, location, &u->desc->digest);
	AUTO_FD int fd = img_blob_open(u->job->store, &u->desc->digest, NULL, e);
	AUTO_STRV struct strv headers = {0};
	struct http_request q = {.method = "PUT",
		.body_fd = fd,
		.body_bytes = u->desc->size,
		.progress = on_sent,
		.ctx = (void *)u};
	struct http_answer a = {0};
	int r;

	if (fd < 0)
		return err_hint(e,
			"it is not kept here; pull the image again into an empty store to push it");
	strv_add(&headers, "Content-Type: application/octet-stream");
	q.headers = headers;
	q.url = url;
	r = same_host(ep, url) ? ask(reg, ep, &q, url, &a, e) : http_do(&ep->http, &q, &a, e);
	if (r >= 0 && a.status != 201 && a.status != 204)
		r = refused(ep, &a, "the upload of a layer", e);
	http_answer_release(&a);
	return r;
}

static int push_blob(struct registry *reg, struct endpoint *ep, const struct img_job *job,
	const struct img_desc *desc, struct err *e)
{
	AUTO_FREE char *tail = str_fmt("/blobs/sha256:%s", desc->digest.hex);
	struct upload u = {job, desc};
	struct http_request head = {.method = "HEAD"}, post = {.method = "POST", .body = ""};
	struct http_answer a = {0};
	int r = ask_patiently(reg, ep, &head, tail, &a, e);

	if (r >= 0 && a.status == 200) {
		http_answer_release(&a);
		img_report(job, &(struct img_event){.stage = "exists",
					.digest = desc->digest_text,
					.total_bytes = desc->size});
		return 0;
	}
	if (r >= 0)
		r = ask_patiently(reg, ep, &post, "/blobs/uploads/", &a, e);
	if (r >= 0 && (a.status != 202 || !a.location))
		r = refused(ep, &a, "the request to upload", e);
	if (r >= 0)
		r = put_blob(reg, ep, &u, a.location, e);
	http_answer_release(&a);
	if (r >= 0)
		img_report(job, &(struct img_event){.stage = "done",
					.digest = desc->digest_text,
					.done_bytes = desc->size,
					.total_bytes = desc->size});
	return r;
}

static int push_manifest(struct registry *reg, struct endpoint *ep, const struct img_doc *doc,
	const struct buf *text, const struct img_digest *digest, struct err *e)
{
	AUTO_FREE char *tail = reg->ref.tag ? str_fmt("/manifests/%s", reg->ref.tag)
					    : str_fmt("/manifests/sha256:%s", digest->hex);
	AUTO_STRV struct strv headers = {0};
	struct http_request q = {.method = "PUT", .body = text->p, .body_bytes = text->n};
	struct http_answer a = {0};
	int r;

	strv_addf(&headers, "Content-Type: %s",
		doc->media_type ? doc->media_type : IMG_TYPE_OCI_MANIFEST);
	q.headers = headers;
	r = ask_patiently(reg, ep, &q, tail, &a, e);
	if (r >= 0 && a.status != 201)
		r = refused(ep, &a, "the manifest", e);
	http_answer_release(&a);
	return r;
}

int img_push(const struct img_job *job, const struct img_digest *manifest,
	const struct img_ref *ref, const struct img_registry_opts *o, struct err *e)
{
	AUTO_IMG_DOC struct img_doc doc = {0};
	AUTO_BUF struct buf text = {0};
	struct registry *reg = NULL;
	struct endpoint *ep;
	int r;

	if (img_blob_read(job->store, manifest, IMG_DOC_MAX_BYTES, &text, e) < 0 ||
		img_doc_parse(text.p, text.n, NULL, &doc, e) < 0 ||
		open_registry(ref, o, "pull,push", &reg, e) < 0)
		return -e->code;
	ep = &reg->v[reg->n - 1]; /* mirrors are for reading */
	r = push_blob(reg, ep, job, doc.config, e);
	for (size_t i = 0; r >= 0 && i < doc.n_layers; i++)
		r = push_blob(reg, ep, job, &doc.layers[i], e);
	if (r >= 0)
		r = push_manifest(reg, ep, &doc, &text, manifest, e);
	registry_release(reg);
	return r;
}
