#include "image/conf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

enum { CONF_MAX_BYTES = 1 << 20 };

/* The part of TOML that the format uses: tables, strings, booleans, arrays of strings. */
struct toml {
	struct img_conf *c;
	const char *p, *what;
	unsigned int line;
	char *table;
	struct err *e;
};

static int bad(struct toml *t, const char *why)
{
	return err_set(t->e, EINVAL, "'%s', line %u: %s", t->what, t->line, why);
}

static void blank(struct toml *t, bool newlines)
{
	for (;; t->p++) {
		if (*t->p == '#')
			t->p += strcspn(t->p, "\n");
		if (*t->p == '\n' && newlines)
			t->line++;
		else if (*t->p != ' ' && *t->p != '\t' && *t->p != '\r')
			return;
	}
}

/* "basic" with escapes, or 'literal'; NULL when malformed. */
static char *toml_string(struct toml *t)
{
	AUTO_BUF struct buf b = {0};
	char quote = *t->p;

	buf_adds(&b, "");
	for (t->p++; *t->p && *t->p != quote && *t->p != '\n'; t->p++) {
		if (quote == '"' && *t->p == '\\') {
			t->p++;
			if (*t->p != '"' && *t->p != '\\')
				return NULL;
		}
		buf_add(&b, t->p, 1);
	}
	if (*t->p != quote)
		return NULL;
	t->p++;
	return mem_take(&b.p);
}

static int toml_array(struct toml *t, struct strv *ret)
{
	t->p++;
	for (;;) {
		char *s;

		blank(t, true);
		if (*t->p == ']') {
			t->p++;
			return 0;
		}
		s = *t->p == '"' || *t->p == '\'' ? toml_string(t) : NULL;
		if (!s)
			return bad(t, "expected a list of strings");
		strv_take(ret, s);
		blank(t, true);
		if (*t->p == ',')
			t->p++;
		else if (*t->p != ']')
			return bad(t, "expected ',' or ']'");
	}
}

struct value {
	char *s;
	bool is_bool, b;
	struct strv list;
};

static void value_release(struct value *v)
{
	free(v->s);
	strv_release(&v->list);
}

static int toml_value(struct toml *t, struct value *v)
{
	if (*t->p == '"' || *t->p == '\'') {
		v->s = toml_string(t);
		return v->s ? 0 : bad(t, "a string does not end");
	}
	if (*t->p == '[')
		return toml_array(t, &v->list);
	v->is_bool = true;
	v->b = str_starts(t->p, "true");
	if (!v->b && !str_starts(t->p, "false"))
		v->is_bool = false; /* numbers and dates: nothing that is read here */
	t->p += strcspn(t->p, " \t\r\n#");
	return 0;
}

static struct img_conf_registry *last_registry(struct img_conf *c)
{
	return c->n_registries ? &c->registries[c->n_registries - 1] : NULL;
}

static int set_registry(struct toml *t, const char *key, struct value *v)
{
	struct img_conf_registry *r = last_registry(t->c);

	if (!strcmp(key, "prefix"))
		str_set(&r->prefix, v->s);
	else if (!strcmp(key, "location"))
		str_set(&r->location, v->s);
	else if (!strcmp(key, "insecure"))
		r->insecure = v->b;
	else if (!strcmp(key, "blocked"))
		r->blocked = v->b;
	return 0;
}

static int set_mirror(struct toml *t, const char *key, struct value *v)
{
	struct img_conf_registry *r = last_registry(t->c);
	struct img_conf_place *m = &r->mirrors[r->n_mirrors - 1];

	if (!strcmp(key, "location"))
		str_set(&m->location, v->s);
	else if (!strcmp(key, "insecure"))
		m->insecure = v->b;
	return 0;
}

static int set_alias(struct toml *t, const char *key, struct value *v)
{
	if (!v->s)
		return bad(t, "expected a string");
	strmap_set(&t->c->aliases, key, v->s);
	return 0;
}

static int set_top(struct toml *t, const char *key, struct value *v)
{
	if (strcmp(key, "unqualified-search-registries"))
		return 0;
	strv_release(&t->c->search);
	strv_copy(&t->c->search, &v->list);
	return 0;
}

static const struct {
	const char *table;
	int (*set)(struct toml *t, const char *key, struct value *v);
} sections[] = {
	{"", set_top},
	{"[registry]", set_registry},
	{"[registry.mirror]", set_mirror},
	{"aliases", set_alias},
};

static int open_table(struct toml *t)
{
	size_t n = strcspn(t->p, "\n#");
	struct img_conf *c = t->c;
	struct img_conf_registry *r;

	while (n && strchr(" \t\r", t->p[n - 1]))
		n--;
	if (n < 2 || t->p[n - 1] != ']')
		return bad(t, "expected ']'");
	free(t->table);
	t->table = str_dup_n(t->p + 1, n - 2);
	t->p += n;
	if (!strcmp(t->table, "[registry]")) {
		c->registries = mem_grow(c->registries, &c->cap_registries, c->n_registries + 1,
			sizeof(*c->registries));
		c->registries[c->n_registries++] = (struct img_conf_registry){0};
	} else if (!strcmp(t->table, "[registry.mirror]")) {
		r = last_registry(c);
		if (!r)
			return bad(t, "a mirror without a registry");
		r->mirrors = mem_grow(
			r->mirrors, &r->cap_mirrors, r->n_mirrors + 1, sizeof(*r->mirrors));
		r->mirrors[r->n_mirrors++] = (struct img_conf_place){0};
	}
	return 0;
}

static int take_pair(struct toml *t)
{
	__attribute__((cleanup(value_release))) struct value v = {0};
	AUTO_FREE char *key = NULL;

	if (*t->p == '"' || *t->p == '\'') {
		key = toml_string(t);
	} else {
		size_t n = strspn(
			t->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

		key = n ? str_dup_n(t->p, n) : NULL;
		t->p += n;
	}
	if (!key)
		return bad(t, "expected a key");
	blank(t, false);
	if (*t->p != '=')
		return bad(t, "expected '='");
	t->p++;
	blank(t, false);
	if (toml_value(t, &v) < 0)
		return -t->e->code;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (!strcmp(sections[i].table, t->table))
			return sections[i].set(t, key, &v);
	return 0;
}

int img_conf_parse(struct img_conf *c, const char *text, const char *what, struct err *e)
{
	struct toml t = {.c = c, .p = text, .what = what, .line = 1, .table = str_dup(""), .e = e};
	int r = 0;

	for (blank(&t, true); r >= 0 && *t.p; blank(&t, true)) {
		r = *t.p == '[' ? open_table(&t) : take_pair(&t);
		if (r < 0)
			break;
		blank(&t, false);
		if (*t.p && *t.p != '\n')
			r = bad(&t, "something follows the value");
	}
	free(t.table);
	return r < 0 ? r : 0;
}

static int load_one(const char *path, struct img_conf *c, struct err *e)
{
	AUTO_BUF struct buf b = {0};

	if (file_read(AT_FDCWD, path, CONF_MAX_BYTES, &b, e) < 0)
		return -e->code;
	return img_conf_parse(c, b.p, path, e);
}

static int load_dir(const char *dir, struct img_conf *c, struct err *e)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, alphasort), r = 0;

	for (int i = 0; i < n; i++) {
		AUTO_FREE char *path = str_fmt("%s/%s", dir, list[i]->d_name);

		if (r >= 0 && str_ends(path, ".conf"))
			r = load_one(path, c, e);
		free(list[i]);
	}
	free(list);
	return r;
}

int img_conf_load(const char *path, struct img_conf *ret, struct err *e)
{
	static const char file[] = "/etc/containers/registries.conf";
	int r = 0;

	if (path)
		return load_one(path, ret, e);
	if (!access(file, F_OK))
		r = load_one(file, ret, e);
	return r < 0 ? r : load_dir("/etc/containers/registries.conf.d", ret, e);
}

void img_conf_release(struct img_conf *c)
{
	for (size_t i = 0; i < c->n_registries; i++) {
		struct img_conf_registry *r = &c->registries[i];

		for (size_t k = 0; k < r->n_mirrors; k++)
			free(r->mirrors[k].location);
		free(r->mirrors);
		free(r->prefix);
		free(r->location);
	}
	free(c->registries);
	strv_release(&c->search);
	strmap_release(&c->aliases);
	*c = (struct img_conf){0};
}

static int add_short(const struct img_ref *ref, const char *registry, const char *repository,
	struct strv *ret, struct err *e)
{
	AUTO_IMG_REF struct img_ref whole = {0};
	AUTO_FREE char *text = NULL;

	text = registry ? str_fmt("%s/%s", registry, repository) : str_dup(repository);
	if (img_ref_parse(text, &whole, e) < 0)
		return err_prefix(e, "registries.conf");
	if (!whole.registry)
		return err_set(e, EINVAL, "registries.conf: '%s' has no registry", text);
	str_set(&whole.tag, ref->tag);
	whole.has_digest = ref->has_digest;
	whole.digest = ref->digest;
	strv_take(ret, img_ref_print(&whole));
	return 0;
}

int img_conf_short(
	const struct img_conf *c, const struct img_ref *ref, struct strv *ret, struct err *e)
{
	const char *alias = strmap_get(&c->aliases, ref->repository);

	if (alias)
		return add_short(ref, NULL, alias, ret, e);
	for (size_t i = 0; i < c->search.n; i++)
		if (add_short(ref, c->search.v[i], ref->repository, ret, e) < 0)
			return -e->code;
	if (!ret->n)
		return add_short(ref, IMG_DEFAULT_REGISTRY, ref->repository, ret, e);
	return 0;
}

/* Whether name ("host/repo") is prefix or below it; "*.host" stands for hosts below. */
static bool matches(const char *prefix, const char *name)
{
	size_t n;

	if (str_starts(prefix, "*.")) {
		size_t host = strcspn(name, "/"), want = strlen(prefix) - 1;

		return host > want && !strncmp(name + host - want, prefix + 1, want);
	}
	n = strlen(prefix);
	return !strncmp(name, prefix, n) && (!name[n] || name[n] == '/');
}

static const struct img_conf_registry *find(const struct img_conf *c, const char *name)
{
	const struct img_conf_registry *best = NULL;
	size_t best_n = 0;

	for (size_t i = 0; i < c->n_registries; i++) {
		const struct img_conf_registry *r = &c->registries[i];
		const char *prefix = r->prefix && *r->prefix ? r->prefix : r->location;

		if (prefix && matches(prefix, name) && strlen(prefix) >= best_n) {
			best = r;
			best_n = strlen(prefix);
		}
	}
	return best;
}

/* location + what of the name is beyond the prefix, split into host and repository. */
static int add_endpoint(struct img_endpoints *p, const char *location, const char *rest,
	bool insecure, struct err *e)
{
	AUTO_FREE char *whole = str_fmt("%s%s", location, rest);
	AUTO_IMG_REF struct img_ref check = {0};

	/* The same grammar as a reference: nothing else may become part of a URL. */
	if (img_ref_parse(whole, &check, e) < 0 || !check.registry)
		return err_set(e, EINVAL, "registries.conf: '%s' is not a place for images", whole);
	p->v = mem_grow(p->v, &p->cap, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = (struct img_endpoint){.host = mem_take(&check.registry),
		.repository = mem_take(&check.repository),
		.insecure = insecure};
	return 0;
}

int img_conf_endpoints(const struct img_conf *c, const struct img_ref *ref,
	struct img_endpoints *ret, struct err *e)
{
	AUTO_FREE char *name = str_fmt("%s/%s", ref->registry, ref->repository);
	const struct img_conf_registry *r = find(c, name);
	const char *prefix, *rest;

	if (!r)
		return add_endpoint(ret, name, "", false, e);
	if (r->blocked)
		return err_set(
			e, EPERM, "registry '%s' is blocked by registries.conf", ref->registry);
	prefix = r->prefix && *r->prefix ? r->prefix : r->location;
	rest = str_starts(prefix, "*.") ? strchr(name, '/') : name + strlen(prefix);
	for (size_t i = 0; i < r->n_mirrors; i++)
		if (r->mirrors[i].location && add_endpoint(ret, r->mirrors[i].location, rest,
						      r->mirrors[i].insecure, e) < 0)
			return -e->code;
	if (!r->location)
		return add_endpoint(ret, name, "", r->insecure, e);
	return add_endpoint(ret, r->location, rest, r->insecure, e);
}

void img_endpoints_release(struct img_endpoints *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].host);
		free(p->v[i].repository);
	}
	free(p->v);
	*p = (struct img_endpoints){0};
}
