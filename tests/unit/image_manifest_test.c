#include "test.h"

#include <errno.h>

#include "image/manifest.h"

#define D1     "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2     "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG "{\"mediaType\":\"" IMG_TYPE_OCI_CONFIG "\",\"digest\":\"" D1 "\",\"size\":2}"
#define LAYER_OF(type, digest, size)                                                               \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define LAYER LAYER_OF(IMG_TYPE_OCI_LAYER "+gzip", D2, "7")
#define MANIFEST(config, layers, more)                                                             \
	"{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]" more "}"

static int parse(const char *text, const char *type, struct img_doc *d, struct err *e)
{
	*d = (struct img_doc){0};
	*e = (struct err){0};
	return img_doc_parse(text, strlen(text), type, d, e);
}

TEST(a_manifest_is_read)
{
	struct img_doc d;
	struct err e;

	CHECK_INT(parse(MANIFEST(CONFIG, LAYER, ",\"annotations\":{\"a\":\"b\"}"),
			  IMG_TYPE_OCI_MANIFEST "; charset=utf-8", &d, &e),
		0);
	CHECK_STR(e.text, "");
	CHECK_INT(d.kind, IMG_DOC_MANIFEST);
	CHECK_INT(d.n_layers, 1);
	CHECK_INT(d.layers[0].size, 7);
	CHECK_STR(d.layers[0].digest.hex, &D2[7]);
	AUTO_FREE char *again = img_doc_print(&d);
	struct img_doc d2;
	CHECK_INT(parse(again, NULL, &d2, &e), 0);
	CHECK_STR(d2.config->digest_text, D1);
	img_doc_release(&d2);
	img_doc_release(&d);
}

TEST(documents_that_are_refused)
{
	static const struct {
		const char *text, *type, *why;
	} cases[] = {
		{"", NULL, "not valid"},
		{"[]", NULL, "not valid"},
		{"{}", NULL, "schemaVersion"},
		{"{\"schemaVersion\":2}", NULL, "neither"},
		{"{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, "schema 1"},
		{"{\"schemaVersion\":3,\"manifests\":[]}", NULL, "schemaVersion 3"},
		{MANIFEST(CONFIG, LAYER, ",\"manifests\":[]"), NULL, "at once"},
		{MANIFEST(CONFIG, LAYER, ",\"layers\":[]"), NULL, "twice"},
		{MANIFEST(CONFIG, LAYER, ",\"mediaType\":\"" IMG_TYPE_OCI_INDEX "\""), NULL,
			"something else"},
		{MANIFEST(CONFIG, LAYER, ",\"mediaType\":\"text/plain\""), NULL, "something else"},
		{MANIFEST(CONFIG, LAYER, ""), IMG_TYPE_DOCKER_LIST, "something else"},
		{MANIFEST("null", LAYER, ""), NULL, "no config"},
		{"{\"schemaVersion\":2,\"config\":" CONFIG "}", NULL, "no layers"},
		{MANIFEST(LAYER, LAYER, ""), NULL, "some other artifact"},
		{MANIFEST(CONFIG, LAYER_OF("application/x-helm", D1, "1"), ""), NULL,
			"layer 1 has media type"},
		{MANIFEST(CONFIG, LAYER "," LAYER_OF(IMG_TYPE_OCI_LAYER, "sha256:../../../x", "1"),
			 ""),
			NULL, "layer 2"},
		{MANIFEST(CONFIG, LAYER_OF(IMG_TYPE_OCI_LAYER, D1, "-1"), ""), NULL, "size"},
		{MANIFEST(CONFIG, LAYER_OF(IMG_TYPE_OCI_LAYER, D1, "1e3"), ""), NULL, "size"},
		{MANIFEST(CONFIG, LAYER_OF(IMG_TYPE_OCI_LAYER, D1, "9223372036854775807"), ""),
			NULL, "more than any"},
		{MANIFEST(CONFIG,
			 LAYER_OF("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", D1,
				 "1"),
			 ""),
			NULL, "outside its registry"},
		{MANIFEST(CONFIG,
			 "{\"mediaType\":\"" IMG_TYPE_OCI_LAYER "\",\"digest\":\"" D1
			 "\",\"size\":1,\"urls\":[\"http://169.254.169.254/\"]}",
			 ""),
			NULL, "outside its registry"},
		{MANIFEST("{\"mediaType\":\"" IMG_TYPE_OCI_CONFIG "\",\"digest\":\"" D1
			  "\",\"size\":4294967296}",
			 LAYER, ""),
			NULL, "configuration has 4294967296 bytes"},
		{"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" IMG_TYPE_OCI_MANIFEST
		 "\",\"digest\":\"md5:x\",\"size\":1}]}",
			NULL, "not a digest"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct img_doc d;
		struct err e;

		CHECK(parse(cases[i].text, cases[i].type, &d, &e) < 0);
		if (!strstr(e.text, cases[i].why))
			printf("# case %zu: '%s' lacks '%s'\n", i, e.text, cases[i].why),
				test_failures++;
		CHECK(!d.layers && !d.config);
	}
}

TEST(too_many_layers_and_too_deep)
{
	AUTO_BUF struct buf many = {0}, deep = {0};
	struct img_doc d;
	struct err e;

	buf_adds(&many, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER);
	for (int i = 0; i < 127; i++)
		buf_adds(&many, "," LAYER);
	buf_adds(&many, "]}");
	CHECK_INT(parse(many.p, NULL, &d, &e), -E2BIG);
	buf_adds(&deep, "{\"schemaVersion\":2,\"x\":");
	for (int i = 0; i < 300000; i++)
		buf_adds(&deep, "[");
	CHECK(parse(deep.p, NULL, &d, &e) < 0);
	CHECK(strstr(e.text, "deeper"));
}

TEST(an_index_is_chosen_from)
{
#define M(digest, platform)                                                                        \
	"{\"mediaType\":\"" IMG_TYPE_OCI_MANIFEST "\",\"digest\":\"" digest                        \
	"\",\"size\":1" platform "}"
#define P(arch, variant) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"" variant "}"
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":[" M(D1, P("arm", ",\"variant\":\"v6\"")) "," M(
			D2, P("arm", ",\"variant\":\"v7\"")) "," M(D1, P("amd64", "")) "]}";
	struct img_platform p = {0};
	const struct img_desc *got = NULL;
	struct img_doc d;
	struct err e;

	CHECK_INT(parse(text, NULL, &d, &e), 0);
	CHECK_INT(img_platform_parse("linux/arm/v7", &p, &e), 0);
	CHECK_INT(img_index_choose(&d, &p, &got, &e), 0);
	CHECK_STR(got->digest_text, D2);
	img_platform_release(&p);
	CHECK_INT(img_platform_parse("linux/s390x", &p, &e), 0);
	CHECK_INT(img_index_choose(&d, &p, &got, &e), -ENOENT);
	CHECK(strstr(e.text, "linux/s390x; it exists for: arm, arm, amd64"));
	img_platform_release(&p);
	CHECK_INT(img_platform_parse("amd64", &p, &e), -EINVAL);
	CHECK_INT(img_platform_parse(NULL, &p, &e), 0);
	CHECK_STR(p.os, "linux");
	img_platform_release(&p);
	img_doc_release(&d);
}

TEST(a_configuration_is_read)
{
	static const char text[] =
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=b\",\"C=\"],"
		"\"Entrypoint\":null,"
		"\"Cmd\":[\"sh\"],\"Volumes\":{\"/data/\":{}},\"ExposedPorts\":{\"80/"
		"tcp\":{},\"53\":{}},\"WorkingDir\":\"srv\","
		"\"Labels\":{\"k\":\"v=w\"},\"StopSignal\":\"SIGQUIT\",\"User\":\"1:2\"},"
		"\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"" D1 "\"]},\"history\":[{\"created_by\":\"x\"}]}";
	struct img_config c = {0}, again = {0};
	struct err e = {0};

	CHECK_INT(img_config_parse(text, strlen(text), 1, &c, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_STR(c.working_dir, "/srv");
	CHECK_STR(c.volumes.v[0], "/data");
	CHECK_INT(c.exposed_ports.n, 2);
	CHECK_STR(c.labels.v[0], "k=v=w");
	CHECK_STR(c.stop_signal, "SIGQUIT");
	AUTO_FREE char *printed = img_config_print(&c);
	CHECK_INT(img_config_parse(printed, strlen(printed), 1, &again, &e), 0);
	CHECK_STR(again.user, "1:2");
	CHECK_STR(again.env.v[1], "C=");
	img_config_release(&c);
	img_config_release(&again);
	CHECK_INT(img_config_parse(text, strlen(text), 2, &c, &e), -EBADMSG);
}

TEST(configurations_that_are_refused)
{
	static const struct {
		const char *config, *diff_id, *why;
	} cases[] = {
		{"{\"Volumes\":{\"/\":{}}}", D1, "volume '/'"},
		{"{\"Volumes\":{\"/proc/x\":{}}}", D1, "cover /proc"},
		{"{\"Volumes\":{\"/a/../dev\":{}}}", D1, "'..'"},
		{"{\"Volumes\":{\"//./sys/\":{}}}", D1, "cover /proc"},
		{"{\"Volumes\":{\"data\":{}}}", D1, "absolute"},
		{"{\"Env\":[\"=x\"]}", D1, "NAME=VALUE"},
		{"{\"Env\":[\"x\"]}", D1, "NAME=VALUE"},
		{"{\"Env\":[\"a=\\u0000\"]}", D1, "NUL"},
		{"{\"ExposedPorts\":{\"80/tcp; reboot\":{}}}", D1, "port"},
		{"{\"User\":\"a\",\"User\":\"b\"}", D1, "twice"},
		{"{}", "sha256:../../x", "diff_id 1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *text = str_fmt(
			"{\"config\":%s,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
			cases[i].config, cases[i].diff_id);
		struct img_config c = {0};
		struct err e = {0};

		CHECK(img_config_parse(text, strlen(text), 1, &c, &e) < 0);
		if (!strstr(e.text, cases[i].why))
			printf("# case %zu: '%s' lacks '%s'\n", i, e.text, cases[i].why),
				test_failures++;
		CHECK(!c.env.v && !c.volumes.v);
	}
}

TEST(docker_saved_lists)
{
	static const char good[] =
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l/layer.tar\"]},"
		"{\"Config\":\"d.json\",\"RepoTags\":null,\"Layers\":[]}]";
	struct img_saved_list l = {0};
	struct err e = {0};

	CHECK_INT(img_saved_parse(good, strlen(good), &l, &e), 0);
	CHECK_INT(l.n, 2);
	CHECK_STR(l.v[0].repo_tags.v[0], "a:1");
	img_saved_release(&l);
	CHECK(img_saved_parse("{}", 2, &l, &e) < 0);
	CHECK(img_saved_parse("[]},{", 5, &l, &e) < 0);
	CHECK(img_saved_parse("[{\"Config\":1}]", 14, &l, &e) < 0);
}

TEST_MAIN
