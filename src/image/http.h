/*
 * One HTTP request by libcurl, with what registries need: bodies that stream both ways, a few
 *headers of the answer, redirects that leave credentials behind.
 *
 *	struct http_request q = {.method = "GET", .url = url, .sink = take, .ctx = &x};
 *	struct http_answer a = {0};
 *	r = http_do(&client, &q, &a, e);	an answer of any status is no error
 *	http_answer_release(&a);
 */
#ifndef JAIL_IMAGE_HTTP_H
#define JAIL_IMAGE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct http_client {
	bool verify; /* the peer's certificate */
	bool allow_http; /* plain HTTP, for this host and its redirects */
	char *ca_file, *cert_file, *key_file; /* or NULL */
};
struct http_request {
	const char *method; /* GET, HEAD, POST, PUT */
	const char *url;
	const char *authorization; /* a whole header line, or NULL; stays with the URL's host */
	struct strv headers; /* borrowed lines */
	uint64_t range_from; /* > 0: ask for the bytes from there on */
	/* A body: from memory or from a file of body_bytes. */
	const char *body;
	int body_fd; /* used when body is NULL and body_bytes > 0 */
	uint64_t body_bytes;
	/*
	 * Gets a 2xx answer's body; status 200 or 206 tells whether the range was honoured.
	 * Negative: stop. Without it, and for other statuses, up to 1 MiB of the body is kept in
	 * the answer.
	 */
	int (*sink)(void *ctx, long status, const void *p, size_t n);
	void (*progress)(void *ctx, uint64_t sent);
	void *ctx;
	const bool *stop; /* or NULL: give up when it becomes true */
};
struct http_answer {
	long status;
	struct buf body;
	char *content_type, *location, *authenticate, *digest;
	uint64_t retry_after_s;
	bool plain_http_peer; /* the connection failed because the peer speaks no TLS */
};
/* Transport failures: -EIO and the like; -ECANCELED after stop or a negative sink. */
int http_do(const struct http_client *c, const struct http_request *q, struct http_answer *ret,
	struct err *e) __attribute__((nonnull));
void http_answer_release(struct http_answer *a) __attribute__((nonnull));
void http_client_release(struct http_client *c) __attribute__((nonnull));

#endif
