/* References and digests: text to structs that are safe to make paths and URLs of. */
#include "image/image.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"

static bool is_lower_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

int img_digest_parse(const char *s, struct img_digest *ret, struct err *e)
{
	static const char prefix[] = "sha256:";
	const char *hex = s + sizeof(prefix) - 1;
	size_t n = 0;

	if (str_starts(s, prefix))
		while (n < 65 && is_lower_hex(hex[n]))
			n++;
	if (n != 64 || hex[n]) {
		AUTO_FREE char *seen = str_visible(s);

		return err_set(e, EINVAL,
			"'%.100s' is not a digest: expected 'sha256:' and 64 lower-case hex digits",
			seen);
	}
	memcpy(ret->hex, hex, 65);
	return 0;
}

bool img_digest_eq(const struct img_digest *a, const struct img_digest *b)
{
	return !memcmp(a->hex, b->hex, sizeof(a->hex));
}

char *img_digest_print(const struct img_digest *d, char buf[static IMG_DIGEST_TEXT])
{
	snprintf(buf, IMG_DIGEST_TEXT, "sha256:%.64s", d->hex);
	return buf;
}

static int bad_ref(const char *s, struct err *e, const char *why)
{
	AUTO_FREE char *seen = str_visible(s);

	return err_set(e, EINVAL, "'%.300s' is not an image reference: %s", seen, why);
}

static bool is_alnum_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* distribution-spec: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool component_ok(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t start = i;

		while (i < n && is_alnum_lower(s[i]))
			i++;
		if (i == start)
			return false;
		if (i == n)
			return true;
		if (s[i] == '-') {
			while (i < n && s[i] == '-')
				i++;
		} else if (s[i] == '.') {
			i++;
		} else if (s[i] == '_') {
			i += i + 1 < n && s[i + 1] == '_' ? 2 : 1;
		} else {
			return false;
		}
	}
	return false;
}

static bool repository_ok(const char *s)
{
	for (;;) {
		const char *slash = strchr(s, '/');

		if (!component_ok(s, slash ? (size_t)(slash - s) : strlen(s)))
			return false;
		if (!slash)
			return true;
		s = slash + 1;
	}
}

static bool tag_ok(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > 128 || *s == '.' || *s == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return true;
}

static bool port_ok(const char *s)
{
	struct err e;
	uint64_t v;

	return parse_u64(s, 1, 65535, &v, &e) >= 0;
}

/* host, host:port, [v6] or [v6]:port */
static bool registry_ok(const char *s)
{
	const char *end;

	if (*s == '[') {
		end = s + 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (*end != ']' || end == s + 1)
			return false;
		end++;
	} else {
		for (end = s; isalnum((unsigned char)*end) || *end == '-' || *end == '.'; end++)
			if ((end == s || end[-1] == '.') && !isalnum((unsigned char)*end))
				return false;
		if (end == s || !isalnum((unsigned char)end[-1]))
			return false;
	}
	return !*end || (*end == ':' && port_ok(end + 1));
}

static bool looks_like_registry(const char *s, size_t n)
{
	return memchr(s, '.', n) || memchr(s, ':', n) || (n == 9 && !memcmp(s, "localhost", 9));
}

/* Splits tag and digest off the end of text, which is changed. */
static int split_suffixes(const char *whole, char *text, struct img_ref *r, struct err *e)
{
	char *at = strchr(text, '@'), *colon;

	if (at) {
		*at = '\0';
		if (img_digest_parse(at + 1, &r->digest, e) < 0)
			return err_prefix(e, "reference '%.100s'", text);
		r->has_digest = true;
	}
	colon = strrchr(text, ':');
	if (colon && !strchr(colon, '/') && !(text[0] == '[' && !strchr(text, '/'))) {
		*colon = '\0';
		if (!tag_ok(colon + 1))
			return bad_ref(whole, e,
				"the tag must be 1 to 128 of A-Z a-z 0-9 _ . - and not begin with "
				". or -");
		r->tag = str_dup(colon + 1);
	}
	if (!r->tag && !r->has_digest)
		r->tag = str_dup("latest");
	return 0;
}

int img_ref_parse(const char *s, struct img_ref *ret, struct err *e)
{
	AUTO_IMG_REF struct img_ref r = {0};
	AUTO_FREE char *text = NULL;
	char *name, *slash;

	if (strlen(s) > IMG_REF_MAX)
		return bad_ref(s, e, "it is longer than 240 bytes");
	if (str_starts(s, "docker://"))
		s += strlen("docker://");
	text = str_dup(s);
	if (split_suffixes(s, text, &r, e) < 0)
		return -e->code;
	name = text;
	slash = strchr(text, '/');
	if (slash && looks_like_registry(text, (size_t)(slash - text))) {
		*slash = '\0';
		if (!registry_ok(text))
			return bad_ref(s, e,
				"its registry is not a host name or address with an optional port");
		r.registry = str_dup(text);
		name = slash + 1;
	}
	if (!repository_ok(name))
		return bad_ref(s, e,
			"the name must be lower-case words of a-z 0-9, joined by . _ - and /");
	r.repository = str_dup(name);
	if (r.registry)
		img_ref_qualify(&r, r.registry);
	img_ref_release(ret);
	*ret = r;
	r = (struct img_ref){0};
	return 0;
}

void img_ref_qualify(struct img_ref *r, const char *registry)
{
	AUTO_FREE char *old = NULL;
	AUTO_FREE char *host = str_dup(registry);

	if (!strcmp(host, "index.docker.io"))
		str_set(&host, IMG_DEFAULT_REGISTRY);
	str_set(&r->registry, host);
	if (strcmp(host, IMG_DEFAULT_REGISTRY) || strchr(r->repository, '/'))
		return;
	old = r->repository;
	r->repository = str_fmt("library/%s", old);
}

char *img_ref_print(const struct img_ref *r)
{
	struct buf b = {0};

	if (r->registry)
		buf_addf(&b, "%s/", r->registry);
	buf_adds(&b, r->repository);
	if (r->tag)
		buf_addf(&b, ":%s", r->tag);
	if (r->has_digest)
		buf_addf(&b, "@sha256:%s", r->digest.hex);
	return b.p;
}

void img_ref_copy(struct img_ref *dst, const struct img_ref *src)
{
	*dst = (struct img_ref){.registry = str_dup(src->registry),
		.repository = str_dup(src->repository),
		.tag = str_dup(src->tag),
		.has_digest = src->has_digest,
		.digest = src->digest};
}

void img_ref_release(struct img_ref *r)
{
	free(r->registry);
	free(r->repository);
	free(r->tag);
	*r = (struct img_ref){0};
}
