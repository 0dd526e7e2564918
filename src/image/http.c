#include "image/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { KEPT_BODY_BYTES = (1 << 20) + 4096, REDIRECTS_MAX = 5, CONNECT_S = 20, STALL_S = 60 };

struct transfer {
	CURL *curl;
	const struct http_request *q;
	struct http_answer *a;
	uint64_t sent;
	bool too_large;
};

static void take_header(struct http_answer *a, const char *line, size_t n)
{
	const struct {
		const char *name;
		char **where;
	} wanted[] = {
		{"content-type:", &a->content_type},
		{"location:", &a->location},
		{"docker-content-digest:", &a->digest},
	};
	AUTO_FREE char *text = str_dup_n(line, n);
	char *value = strchr(text, ':');

	text[strcspn(text, "\r\n")] = '\0';
	if (!value)
		return;
	value += 1 + strspn(value + 1, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!strncasecmp(text, wanted[i].name, strlen(wanted[i].name)))
			str_set(wanted[i].where, value);
	if (!strncasecmp(text, "retry-after:", 12))
		a->retry_after_s = strtoul(value, NULL, 10);
	/* Several lines mean the same as one with commas (RFC 9110, 5.3). */
	if (!strncasecmp(text, "www-authenticate:", 17)) {
		char *all = a->authenticate ? str_fmt("%s, %s", a->authenticate, value)
					    : str_dup(value);

		free(a->authenticate);
		a->authenticate = all;
	}
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;

	/* A new status line: what came before belonged to a redirect or "100 Continue". */
	if (size * n > 5 && !strncmp(p, "HTTP/", 5)) {
		http_answer_release(t->a);
		return size * n;
	}
	if (size * n <= 16384)
		take_header(t->a, p, size * n);
	return size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	long status = 0;

	n *= size;
	if (t->q->stop && *t->q->stop)
		return 0;
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->q->sink && status >= 200 && status < 300)
		return t->q->sink(t->q->ctx, status, p, n) < 0 ? 0 : n;
	if (t->a->body.n + n > KEPT_BODY_BYTES) {
		t->too_large = true;
		return 0;
	}
	buf_add(&t->a->body, p, n);
	return n;
}

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	uint64_t left = t->q->body_bytes - t->sent;
	ssize_t r;

	n = MIN(size * n, (size_t)left);
	if (t->q->stop && *t->q->stop)
		return CURL_READFUNC_ABORT;
	if (t->q->body) {
		memcpy(p, t->q->body + t->sent, n);
		r = (ssize_t)n;
	} else {
		r = pread(t->q->body_fd, p, n, (off_t)t->sent);
		if (r < 0 || (n && !r))
			return CURL_READFUNC_ABORT;
	}
	t->sent += (uint64_t)r;
	if (t->q->progress)
		t->q->progress(t->q->ctx, t->sent);
	return (size_t)r;
}

/* libcurl rewinds the body when a redirect or a fresh connection asks for it again. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct transfer *t = ctx;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->q->body_bytes)
		return CURL_SEEKFUNC_CANTSEEK;
	t->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_tick(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct transfer *t = ctx;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return t->q->stop && *t->q->stop;
}

static void set_up_body(CURL *curl, struct transfer *t)
{
	const struct http_request *q = t->q;

	if (!strcmp(q->method, "HEAD"))
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	if (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD"))
		return;
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, t);
	curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(curl, CURLOPT_SEEKDATA, t);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_bytes);
}

static void set_up(CURL *curl, const struct http_client *c, struct transfer *t,
	struct curl_slist *headers, char *error)
{
	const char *protocols = c->allow_http ? "http,https" : "https";

	curl_easy_setopt(curl, CURLOPT_URL, t->q->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "jail/" JAIL_VERSION);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	/* A redirect goes on without our Authorization line when host, port or protocol differ. */
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, t->q->body_bytes || t->q->body ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, c->verify ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, c->verify ? 2L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_file);
	if (c->cert_file && c->key_file) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, c->cert_file);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, c->key_file);
	}
	if (t->q->range_from)
		curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->q->range_from);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	set_up_body(curl, t);
}

/* The errno that says best what to do about it: -EIO may be worth another try, the rest is not. */
static int code_of(CURLcode r)
{
	static const struct {
		CURLcode from;
		int to;
	} codes[] = {
		{CURLE_PEER_FAILED_VERIFICATION, EKEYREJECTED},
		{CURLE_SSL_CACERT_BADFILE, ENOENT},
		{CURLE_SSL_CERTPROBLEM, EKEYREJECTED},
		{CURLE_URL_MALFORMAT, EINVAL},
		{CURLE_UNSUPPORTED_PROTOCOL, EPROTONOSUPPORT},
		{CURLE_TOO_MANY_REDIRECTS, ELOOP},
		{CURLE_SSL_CONNECT_ERROR, EPROTO},
		{CURLE_WRITE_ERROR, ECANCELED},
		{CURLE_ABORTED_BY_CALLBACK, ECANCELED},
		{CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH},
		{CURLE_COULDNT_CONNECT, ECONNREFUSED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].from == r)
			return codes[i].to;
	return EIO;
}

static struct curl_slist *make_headers(const struct http_request *q)
{
	struct curl_slist *l = NULL;

	for (size_t i = 0; i < q->headers.n; i++)
		l = curl_slist_append(l, q->headers.v[i]);
	if (q->authorization)
		l = curl_slist_append(l, q->authorization);
	return curl_slist_append(l, "Expect:"); /* no waiting for "100 Continue" */
}

int http_do(const struct http_client *c, const struct http_request *q, struct http_answer *ret,
	struct err *e)
{
	struct transfer t = {.curl = curl_easy_init(), .q = q, .a = ret};
	char why[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers;
	CURLcode r;

	if (!t.curl)
		return err_set(e, ENOMEM, "cannot set libcurl up");
	headers = make_headers(q);
	set_up(t.curl, c, &t, headers, why);
	r = curl_easy_perform(t.curl);
	curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(t.curl);
	if (r == CURLE_OK)
		return 0;
	ret->plain_http_peer = r == CURLE_SSL_CONNECT_ERROR;
	if (t.too_large)
		return err_set(e, EFBIG, "the answer of '%.200s' is larger than 1 MiB", q->url);
	return err_set(e, code_of(r), "cannot reach '%.200s': %s", q->url,
		*why ? why : curl_easy_strerror(r));
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->body);
	free(a->content_type);
	free(a->location);
	free(a->authenticate);
	free(a->digest);
	*a = (struct http_answer){0};
}

void http_client_release(struct http_client *c)
{
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	*c = (struct http_client){0};
}
