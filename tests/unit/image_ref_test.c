#include "test.h"

#include <errno.h>

#include "image/hash.h"
#include "image/image.h"

static char *canon(const char *s)
{
	AUTO_IMG_REF struct img_ref r = {0};
	struct err e = {0};

	if (img_ref_parse(s, &r, &e) < 0)
		return str_fmt("error: %s", e.text);
	return img_ref_print(&r);
}

TEST(references_become_whole)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"alpine", "alpine:latest"},
		{"alpine:3.20", "alpine:3.20"},
		{"docker://alpine", "alpine:latest"},
		{"docker.io/alpine", "docker.io/library/alpine:latest"},
		{"index.docker.io/alpine", "docker.io/library/alpine:latest"},
		{"quay.io/a/b/c:v1", "quay.io/a/b/c:v1"},
		{"localhost/x", "localhost/x:latest"},
		{"localhost:5000/x", "localhost:5000/x:latest"},
		{"127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"},
		{"[::1]:5000/x:1", "[::1]:5000/x:1"},
		{"a/b", "a/b:latest"},
		{"a__b/c-d.e", "a__b/c-d.e:latest"},
		{"x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"x@sha256:"
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"x:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"x:1@sha256:"
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *got = canon(cases[i].in);

		CHECK_STR(got, cases[i].out);
	}
}

TEST(what_is_no_reference_is_refused)
{
	static const char *const cases[] = {"", "/", "a/", "/a", "a//b", "-a", "a-", "A", "a/B",
		"a..b", "a___b", "../a", "a/../b", "a:", "a:-x", "a:.x", "a:x/y", "a b", "a\nb",
		"a:x\033", "host:0/x", "host:99999/x", "host:5x/x", ".host/x", "ho..st/x", "[::1/x",
		"http://host/x", "a@sha256:12", "a@md5:d41d8cd98f00b204e9800998ecf8427e", "--help",
		"a@sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"};
	char longest[IMG_REF_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct img_ref r = {0};
		struct err e = {0};

		if (img_ref_parse(cases[i], &r, &e) != -EINVAL)
			printf("# accepted '%s'\n", cases[i]), test_failures++;
		CHECK(!r.repository && strlen(e.text) > 10 && !strchr(e.text, '\n') &&
			!strchr(e.text, '\033'));
		img_ref_release(&r);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	AUTO_FREE char *got = canon(longest);
	CHECK(strstr(got, "longer than 240"));
}

TEST(digests_are_strict)
{
	static const char *const bad[] = {"", "sha256:", "sha256:../../../../etc/passwd",
		"sha256:e3b0",
		"SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85G",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
		"sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
	struct img_digest d = {"untouched"}, h;
	struct err e = {0};
	char text[IMG_DIGEST_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(img_digest_parse(bad[i], &d, &e), -EINVAL);
	CHECK_STR(d.hex, "untouched");
	img_digest_of("", 0, &h);
	CHECK_STR(img_digest_print(&h, text),
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK_INT(img_digest_parse(text, &d, &e), 0);
	CHECK_INT(img_digest_expect("x", &d, &h, &e), 0);
	d.hex[0] = '0';
	CHECK_INT(img_digest_expect("blob", &d, &h, &e), -EBADMSG);
	CHECK(str_starts(e.text, "blob: its digest is sha256:e3b0"));
}

TEST_MAIN
