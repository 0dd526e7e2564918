#include "test.h"

#include <errno.h>

#include "image/auth.h"
#include "image/conf.h"

TEST(challenges)
{
	struct img_challenge c = {0};
	struct err e = {0};

	CHECK_INT(img_challenge_parse("Bearer "
				      "realm=\"https://auth.example/"
				      "token\",service=\"reg\",scope=\"repository:a:pull\"",
			  &c, &e),
		0);
	CHECK_INT(c.scheme, IMG_AUTH_BEARER);
	CHECK_STR(c.realm, "https://auth.example/token");
	CHECK_STR(c.service, "reg");
	CHECK_STR(c.scopes.v[0], "repository:a:pull");
	img_challenge_release(&c);
	/* Several challenges, odd spacing, quoted commas, a scope given twice. */
	CHECK_INT(img_challenge_parse("basic realm=\"a, b\\\"c\" ,  BEARER Realm = \"https://x\" , "
				      "scope=\"s t s\"",
			  &c, &e),
		0);
	CHECK_INT(c.scheme, IMG_AUTH_BEARER);
	CHECK_STR(c.realm, "https://x");
	CHECK_INT(c.scopes.n, 2);
	img_challenge_release(&c);
	CHECK_INT(img_challenge_parse("Negotiate, Basic realm=x", &c, &e), 0);
	CHECK_INT(c.scheme, IMG_AUTH_BASIC);
	CHECK_STR(c.realm, "x");
	img_challenge_release(&c);
	CHECK_INT(img_challenge_parse("Negotiate", &c, &e), -ENOTSUP);
	CHECK_INT(img_challenge_parse("", &c, &e), -ENOTSUP);
	CHECK_INT(img_challenge_parse("Bearer realm=\"https://x", &c, &e), -EINVAL);
	CHECK_INT(img_challenge_parse("Bearer realm=\"a\nb\"", &c, &e), -EINVAL);
	CHECK_INT(img_challenge_parse("=,=", &c, &e), -EINVAL);
	CHECK(!c.realm);
}

TEST(base64_both_ways)
{
	static const char *const plain[] = {"", "a", "ab", "abc", "alice:secret"};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		AUTO_FREE char *b64 = img_base64(plain[i], strlen(plain[i]));
		AUTO_FREE char *back = img_unbase64(b64);

		CHECK_STR(back, plain[i]);
	}
	AUTO_FREE char *known = img_base64("alice:secret", 12);
	CHECK_STR(known, "YWxpY2U6c2VjcmV0");
	CHECK(!img_unbase64("a"));
	CHECK(!img_unbase64("a b="));
	CHECK(!img_unbase64("AAAA"));
	CHECK(!img_unbase64("YQ==YQ=="));
}

TEST(the_longest_key_of_auth_json_wins)
{
	static const char text[] =
		"{\"auths\":{\"quay.io\":{\"auth\":\"YTph\"},\"quay.io/org\":{\"auth\":\"Yjpi\"},"
		"\"https://index.docker.io/v1/"
		"\":{\"auth\":\"Yzpj\"},\"id.example\":{\"identitytoken\":\"t\"},"
		"\"bad.example\":{\"auth\":\"!!\"}},\"credHelpers\":{\"helped.example\":\"pass\"},"
		"\"credsStore\":\"all\"}";
	static const struct {
		const char *registry, *repository, *user, *helper;
	} cases[] = {
		{"quay.io", "other/x", "a", NULL},
		{"quay.io", "org/x", "b", NULL},
		{"quay.io", "organisation/x", "a", NULL},
		{"docker.io", "library/alpine", "c", NULL},
		{"helped.example", "x", NULL, "pass"},
		{"unknown.example", "x", NULL, "all"},
	};
	struct img_credentials c = {0};
	AUTO_FREE char *helper = NULL;
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		str_set(&helper, NULL);
		CHECK_INT(img_auth_parse(text, strlen(text), cases[i].registry, cases[i].repository,
				  &c, &helper, &e),
			cases[i].user != NULL);
		CHECK_STR(c.user, cases[i].user);
		CHECK_STR(helper, cases[i].helper);
		img_credentials_release(&c);
	}
	CHECK_INT(img_auth_parse(text, strlen(text), "id.example", "x", &c, &helper, &e), 1);
	CHECK_STR(c.identity_token, "t");
	img_credentials_release(&c);
	CHECK_INT(img_auth_parse(text, strlen(text), "bad.example", "x", &c, &helper, &e), -EINVAL);
	CHECK(!strstr(e.text, "!!"));
}

static char *endpoints_of(const struct img_conf *c, const char *name)
{
	AUTO_IMG_REF struct img_ref ref = {0};
	struct img_endpoints p = {0};
	struct buf b = {0};
	struct err e = {0};

	buf_adds(&b, "");
	if (img_ref_parse(name, &ref, &e) < 0 || img_conf_endpoints(c, &ref, &p, &e) < 0)
		buf_addf(&b, "error: %s", e.text);
	for (size_t i = 0; i < p.n; i++)
		buf_addf(&b, "%s%s %s%s", i ? ", " : "", p.v[i].host, p.v[i].repository,
			p.v[i].insecure ? " insecure" : "");
	img_endpoints_release(&p);
	return b.p;
}

TEST(registries_conf)
{
	static const char text[] =
		"# comment\nunqualified-search-registries = ['one.example',\n  \"two.example\", # "
		"more\n]\n"
		"short-name-mode=\"enforcing\"\nsome-number = 5\n[aliases]\n\"nick\" = "
		"\"three.example/a/b\"\n"
		"[[registry]]\nprefix = \"*.corp.example\"\nlocation = "
		"\"proxy.example/corp\"\ninsecure = true\n"
		"[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = "
		"\"mirror.example:5000/hub\"\n"
		"[[registry]]\nprefix = \"blocked.example/x\"\nblocked = true\n";
	static const struct {
		const char *name, *want;
	} cases[] = {
		{"plain.example/a", "plain.example a"},
		{"git.corp.example/a", "proxy.example corp/a insecure"},
		{"docker.io/alpine",
			"mirror.example:5000 hub/library/alpine, docker.io library/alpine"},
		{"blocked.example/y", "blocked.example y"},
		{"blocked.example/x/z",
			"error: registry 'blocked.example' is blocked by registries.conf"},
	};
	AUTO_IMG_REF struct img_ref ref = {0};
	AUTO_STRV struct strv names = {0}, alias = {0};
	struct img_conf c = {0};
	struct err e = {0};

	CHECK_INT(img_conf_parse(&c, text, "registries.conf", &e), 0);
	CHECK_STR(e.text, "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *got = endpoints_of(&c, cases[i].name);

		CHECK_STR(got, cases[i].want);
	}
	CHECK_INT(img_ref_parse("app:2", &ref, &e), 0);
	CHECK_INT(img_conf_short(&c, &ref, &names, &e), 0);
	CHECK(names.n == 2 && !strcmp(names.v[0], "one.example/app:2") &&
		!strcmp(names.v[1], "two.example/app:2"));
	CHECK_INT(img_ref_parse("nick:2", &ref, &e), 0);
	CHECK_INT(img_conf_short(&c, &ref, &alias, &e), 0);
	CHECK(alias.n == 1 && !strcmp(alias.v[0], "three.example/a/b:2"));
	img_conf_release(&c);
}

TEST(damaged_registries_conf_names_the_line)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"a = \"x\nb = 1\n", "line 1: a string does not end"},
		{"\n\nunqualified-search-registries = [5]\n", "line 3: expected a list of strings"},
		{"[[registry.mirror]]\n", "line 1: a mirror without a registry"},
		{"[registry\n", "line 1: expected ']'"},
		{"x\n", "line 1: expected '='"},
		{"x", "line 1: expected '='"},
		{"a = \"b\" c\n", "line 1: something follows"},
		{"a = [\"b\"", "line 1: expected ','"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct img_conf c = {0};
		struct err e = {0};

		CHECK_INT(img_conf_parse(&c, cases[i].text, "conf", &e), -EINVAL);
		if (!strstr(e.text, cases[i].why))
			printf("# case %zu: '%s' lacks '%s'\n", i, e.text, cases[i].why),
				test_failures++;
		img_conf_release(&c);
	}
}

TEST_MAIN
