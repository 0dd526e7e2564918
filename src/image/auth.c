#include "image/auth.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"

enum { AUTH_MAX_BYTES = 1 << 20, CHALLENGE_MAX = 8192, HELPER_TIMEOUT_MS = 30000 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *img_base64(const void *p, size_t n)
{
	const unsigned char *b = p;
	struct buf out = {0};

	buf_adds(&out, "");
	for (size_t i = 0; i < n; i += 3) {
		unsigned int v = (unsigned int)b[i] << 16 | (i + 1 < n ? b[i + 1] << 8 : 0) |
				 (i + 2 < n ? b[i + 2] : 0);
		char q[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
			i + 1 < n ? alphabet[v >> 6 & 63] : '=',
			i + 2 < n ? alphabet[v & 63] : '='};

		buf_add(&out, q, 4);
	}
	return out.p;
}

char *img_unbase64(const char *s)
{
	AUTO_BUF struct buf out = {0};
	unsigned int v = 0, bits = 0;
	size_t n = strcspn(s, "=");

	buf_adds(&out, "");
	if (strspn(s + n, "=") != strlen(s + n) || n % 4 == 1)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *hit = strchr(alphabet, s[i]);

		if (!hit || !s[i])
			return NULL;
		v = v << 6 | (unsigned int)(hit - alphabet);
		bits += 6;
		if (bits >= 8) {
			char c = (char)(v >> (bits -= 8) & 255);

			if (!c)
				return NULL;
			buf_add(&out, &c, 1);
		}
	}
	return mem_take(&out.p);
}

static bool is_token(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip(const char *p, const char *set)
{
	return p + strspn(p, set);
}

/* A token or a quoted string; NULL when there is neither. */
static char *take_value(const char **pp)
{
	struct buf b = {0};
	const char *p = *pp;

	buf_adds(&b, "");
	if (*p == '"') {
		for (p++; *p && *p != '"'; p++) {
			if (*p == '\\' && p[1])
				p++;
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				break;
			buf_add(&b, p, 1);
		}
		if (*p != '"') {
			buf_release(&b);
			return NULL;
		}
		p++;
	} else {
		/* token68 characters too, for schemes that are not read here */
		for (; is_token(*p) || (*p && strchr("/=:", *p)); p++)
			buf_add(&b, p, 1);
	}
	*pp = p;
	return b.p;
}

static void add_scopes(struct img_challenge *c, const char *text)
{
	AUTO_FREE char *copy = str_dup(text);
	char *save = NULL;

	/* Some registries send the same scope again and again. */
	for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save))
		if (!strv_has(&c->scopes, s) && c->scopes.n < 16)
			strv_add(&c->scopes, s);
}

static void set_param(struct img_challenge *c, const char *name, size_t n, const char *value)
{
	if (n == 5 && !strncasecmp(name, "realm", n))
		str_set(&c->realm, value);
	else if (n == 7 && !strncasecmp(name, "service", n))
		str_set(&c->service, value);
	else if (n == 5 && !strncasecmp(name, "scope", n))
		add_scopes(c, value);
}

/* name=value pairs up to the next scheme; false when malformed. */
static bool take_params(const char **pp, struct img_challenge *c)
{
	for (const char *p = skip(*pp, " ,\t"); *p; p = skip(p, " ,\t")) {
		const char *name = p;
		size_t n;
		AUTO_FREE char *value = NULL;

		while (is_token(*p))
			p++;
		n = (size_t)(p - name);
		if (!n)
			return false;
		p = skip(p, " \t");
		if (*p != '=') {
			*pp = name; /* a word that is no parameter: the next scheme */
			return true;
		}
		p = skip(p + 1, " \t");
		value = take_value(&p);
		if (!value)
			return false;
		set_param(c, name, n, value);
		*pp = p;
	}
	*pp += strlen(*pp);
	return true;
}

int img_challenge_parse(const char *text, struct img_challenge *ret, struct err *e)
{
	struct img_challenge best = {0};
	const char *p = skip(text, " ,\t");

	if (strlen(text) > CHALLENGE_MAX)
		return err_set(e, EINVAL, "the registry's challenge is too long");
	while (*p) {
		struct img_challenge c = {0};
		const char *word = p;
		size_t n;

		while (is_token(*p))
			p++;
		n = (size_t)(p - word);
		if (n == 6 && !strncasecmp(word, "bearer", n))
			c.scheme = IMG_AUTH_BEARER;
		else if (n == 5 && !strncasecmp(word, "basic", n))
			c.scheme = IMG_AUTH_BASIC;
		if (!n || !take_params(&p, &c)) {
			img_challenge_release(&c);
			img_challenge_release(&best);
			return err_set(e, EINVAL, "the registry's challenge is malformed");
		}
		if (c.scheme > best.scheme) {
			img_challenge_release(&best);
			best = c;
		} else {
			img_challenge_release(&c);
		}
	}
	if (best.scheme == IMG_AUTH_OTHER)
		return err_set(e, ENOTSUP,
			"the registry wants an authentication that is neither Basic nor Bearer");
	*ret = best;
	return 0;
}

void img_challenge_release(struct img_challenge *c)
{
	free(c->realm);
	free(c->service);
	strv_release(&c->scopes);
	*c = (struct img_challenge){0};
}

void img_credentials_release(struct img_credentials *c)
{
	char **all[] = {&c->user, &c->password, &c->identity_token};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (*all[i])
			explicit_bzero(*all[i], strlen(*all[i]));
		str_set(all[i], NULL);
	}
}

struct entry_json {
	char *key; /* first: JSON_KEYED */
	char *auth, *identity_token;
};
struct auth_json {
	struct entry_json *auths;
	size_t n_auths;
	struct strmap helpers;
	char *store;
};
static const struct json_field entry_fields[] = {
	JSON_FIELD(struct entry_json, auth, "auth", JSON_STR),
	JSON_FIELD(struct entry_json, identity_token, "identitytoken", JSON_STR),
};
static const struct json_table entry_table = JSON_TABLE(struct entry_json, entry_fields);
static const struct json_field auth_fields[] = {
	JSON_FIELD_ARRAY(struct auth_json, auths, "auths", JSON_KEYED, .table = &entry_table),
	JSON_FIELD(struct auth_json, helpers, "credHelpers", JSON_MAP),
	JSON_FIELD(struct auth_json, store, "credsStore", JSON_STR),
};
static const struct json_table auth_table = JSON_TABLE(struct auth_json, auth_fields);

/* Keys may have a scheme and a path of old: "https://index.docker.io/v1/". */
static char *clean_key(const char *key)
{
	AUTO_FREE char *k = NULL;
	size_t n;

	if (str_starts(key, "https://"))
		key += 8;
	else if (str_starts(key, "http://"))
		key += 7;
	k = str_dup(key);
	n = strlen(k);
	while (n && k[n - 1] == '/')
		k[--n] = '\0';
	if (!strcmp(k, "index.docker.io/v1") || !strcmp(k, "index.docker.io") ||
		!strcmp(k, "registry-1.docker.io"))
		str_set(&k, "docker.io");
	return mem_take(&k);
}

static bool covers(const char *key, const char *whole)
{
	size_t n = strlen(key);

	return !strncmp(key, whole, n) && (!whole[n] || whole[n] == '/');
}

static int take_entry(const struct entry_json *en, struct img_credentials *ret, struct err *e)
{
	AUTO_FREE char *plain = NULL;
	char *colon;

	if (en->identity_token && *en->identity_token) {
		ret->identity_token = str_dup(en->identity_token);
		return 1;
	}
	if (!en->auth || !*en->auth)
		return 0;
	plain = img_unbase64(en->auth);
	colon = plain ? strchr(plain, ':') : NULL;
	if (!colon)
		return err_set(e, EINVAL, "the entry for '%.200s' is not base64 of user:password",
			en->key);
	ret->user = str_dup_n(plain, (size_t)(colon - plain));
	ret->password = str_dup(colon + 1);
	explicit_bzero(plain, strlen(plain));
	return 1;
}

int img_auth_parse(const char *text, size_t n, const char *registry, const char *repository,
	struct img_credentials *ret, char **ret_helper, struct err *e)
{
	AUTO_FREE char *whole = str_fmt("%s/%s", registry, repository);
	const struct entry_json *best = NULL;
	struct auth_json a = {0};
	size_t best_n = 0;
	int r = json_read_text(&auth_table, text, n, NULL, &a, e);

	if (r < 0)
		return r;
	str_set(ret_helper, strmap_get(&a.helpers, registry));
	for (size_t i = 0; i < a.n_auths && !*ret_helper; i++) {
		AUTO_FREE char *key = clean_key(a.auths[i].key);

		if (covers(key, whole) && strlen(key) >= best_n) {
			best = &a.auths[i];
			best_n = strlen(key);
		}
	}
	r = best ? take_entry(best, ret, e) : 0;
	if (!r && !*ret_helper)
		str_set(ret_helper, a.store);
	json_release(&auth_table, &a);
	return r;
}

struct helped_json {
	char *user, *secret;
};
static const struct json_field helped_fields[] = {
	JSON_FIELD(struct helped_json, user, "Username", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct helped_json, secret, "Secret", JSON_STR, .flags = JSON_REQUIRED),
};
static const struct json_table helped_table = JSON_TABLE(struct helped_json, helped_fields);

static int take_helped(const char *text, size_t n, struct img_credentials *ret, struct err *e)
{
	struct helped_json h = {0};
	int r = json_read_text(&helped_table, text, n, NULL, &h, e);

	if (r < 0)
		return r;
	if (!strcmp(h.user, "<token>"))
		ret->identity_token = mem_take(&h.secret);
	else {
		ret->user = mem_take(&h.user);
		ret->password = mem_take(&h.secret);
	}
	json_release(&helped_table, &h);
	return 1;
}

/* docker-credential-NAME get: the registry on its input, JSON on its output.  From fixed places
 * only. */
static int run_helper(
	const char *name, const char *registry, struct img_credentials *ret, struct err *e)
{
	static const char *const dirs[] = {"/usr/bin", "/usr/local/bin", "/usr/libexec/docker"};

	if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
		return err_set(e, EINVAL, "credential helper '%.60s': not a plain word", name);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		AUTO_FREE char *path = str_fmt("%s/docker-credential-%s", dirs[i], name);
		char *argv[] = {path, (char *)"get", NULL};
		AUTO_BUF struct buf out = {0};
		int status;

		if (access(path, X_OK) < 0)
			continue;
		if (proc_run(&(struct proc_cmd){.path = path,
				     .argv = argv,
				     .input = registry,
				     .output = &out,
				     .timeout_ms = HELPER_TIMEOUT_MS},
			    &status, e) < 0)
			return err_prefix(e, "credential helper '%s'", path);
		if (proc_exit_code(status))
			return 0; /* it knows nothing of this registry */
		return take_helped(out.p, out.n, ret, e);
	}
	return err_set(e, ENOENT,
		"credential helper 'docker-credential-%s' is in none of /usr/bin, /usr/local/bin",
		name);
}

static int find_in(const char *path, const char *registry, const char *repository,
	struct img_credentials *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *helper = NULL;
	int r;

	if (access(path, F_OK) < 0)
		return 0;
	if (file_read(AT_FDCWD, path, AUTH_MAX_BYTES, &text, e) < 0)
		return -e->code;
	r = img_auth_parse(text.p, text.n, registry, repository, ret, &helper, e);
	if (!r && helper)
		r = run_helper(helper, registry, ret, e);
	return r < 0 ? err_prefix(e, "'%s'", path) : r;
}

int img_credentials_find(const char *path, const char *registry, const char *repository,
	struct img_credentials *ret, struct err *e)
{
	static const struct {
		const char *variable, *below;
	} places[] = {
		{"XDG_RUNTIME_DIR", "containers/auth.json"},
		{"XDG_CONFIG_HOME", "containers/auth.json"},
		{"HOME", ".config/containers/auth.json"},
		{"HOME", ".docker/config.json"},
	};

	if (path)
		return find_in(path, registry, repository, ret, e);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const char *dir = getenv(places[i].variable);
		AUTO_FREE char *file =
			dir && *dir == '/' ? str_fmt("%s/%s", dir, places[i].below) : NULL;
		int r = file ? find_in(file, registry, repository, ret, e) : 0;

		if (r)
			return r;
	}
	return 0;
}

int img_credentials_read(const char *path, struct img_credentials *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	AUTO_BUF struct buf b = {0};
	char *colon;

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", path);
	if (file_read_fd(fd, path, 65536, &b, e) < 0)
		return -e->code;
	b.p[strcspn(b.p, "\r\n")] = '\0';
	colon = strchr(b.p, ':');
	if (!colon)
		return err_set(e, EINVAL, "'%s' does not hold user:password", path);
	ret->user = str_dup_n(b.p, (size_t)(colon - b.p));
	ret->password = str_dup(colon + 1);
	explicit_bzero(b.p, b.n);
	return 0;
}
