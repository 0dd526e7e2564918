#include "test.h"

#include <errno.h>
#include <signal.h>

#include "base/mem.h"
#include "base/opt.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/proc.h"

TEST(size_has_units)
{
	struct err e = {0};
	uint64_t v = 0;

	CHECK_INT(parse_size("512M", &v, &e), 0);
	CHECK_INT(v, 512ll << 20);
	CHECK_INT(parse_size("2gib", &v, &e), 0);
	CHECK_INT(v, 2ll << 30);
	CHECK_INT(parse_size("max", &v, &e), 0);
	CHECK(v == PARSE_UNLIMITED);
	CHECK_INT(parse_size("12x", &v, &e), -EINVAL);
	CHECK_STR(e.text, "'12x' is not a size such as 512M, 2G or max");
	CHECK_INT(parse_size("18446744073709551615", &v, &e), -ERANGE);
	CHECK_INT(parse_size("99999999999999999999", &v, &e), -ERANGE);
	CHECK_INT(parse_size("-1", &v, &e), -EINVAL);
}

TEST(ids_never_wrap)
{
	struct err e = {0};
	uint32_t id = 7;

	CHECK_INT(parse_id("4294967295", &id, &e), -ERANGE);
	CHECK_INT(parse_id("4294967296", &id, &e), -ERANGE);
	CHECK_INT(parse_id("-1", &id, &e), -EINVAL);
	CHECK_INT(parse_id("1 ", &id, &e), -EINVAL);
	CHECK_INT(id, 7);
	CHECK_INT(parse_id("4294967294", &id, &e), 0);
}

TEST(signals_by_name_and_number)
{
	struct err e = {0};
	int s = 0;

	CHECK_INT(parse_signal("sigterm", &s, &e), 0);
	CHECK_INT(s, SIGTERM);
	CHECK_INT(parse_signal("RTMIN+3", &s, &e), 0);
	CHECK_INT(s, SIGRTMIN + 3);
	CHECK_INT(parse_signal("9", &s, &e), 0);
	CHECK_INT(parse_signal("0", &s, &e), -ERANGE);
	CHECK_INT(parse_signal("SIGFOO", &s, &e), -EINVAL);
}

TEST(names_are_strict)
{
	struct err e = {0};
	char longest[66];

	CHECK_INT(parse_name("jail", "web-1.a_b", &e), 0);
	CHECK_INT(parse_name("jail", "", &e), -EINVAL);
	CHECK_INT(parse_name("jail", "../x", &e), -EINVAL);
	CHECK_INT(parse_name("jail", "-rf", &e), -EINVAL);
	CHECK_INT(parse_name("jail", "a\nb", &e), -EINVAL);
	CHECK(strstr(e.text, "'a\\x0ab'") != NULL);
	memset(longest, 'a', 65);
	longest[65] = 0;
	CHECK_INT(parse_name("jail", longest, &e), -EINVAL);
	longest[64] = 0;
	CHECK_INT(parse_name("jail", longest, &e), 0);
}

TEST(visible_text_holds_no_escape)
{
	char *s = str_visible("a\033[31m\xc3\xa9\xc2\x9b\xff");

	CHECK_STR(s, "a\\x1b[31m\xc3\xa9\\xc2\\x9b\\xff");
	free(s);
}

TEST(paths_are_cleaned_lexically)
{
	static const char *const cases[][2] = {{"/", "/"}, {"//a/./b/", "/a/b"}, {"/a/../../b", "/b"}, {"a/b", "/a/b"}, {"", "/"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *c = path_clean(cases[i][0]);

		CHECK_STR(c, cases[i][1]);
		free(c);
	}
	CHECK(path_is_below("/a/b", "/a"));
	CHECK(!path_is_below("/ab", "/a"));
}

struct demo {
	bool detach;
	char *name;
	uint64_t memory;
	bool has_memory;
	struct strv env;
};
static const struct opt demo_table[] = {
	OPT(struct demo, detach, 'd', "detach", OPT_FLAG, NULL, "return at once"),
	OPT(struct demo, name, 'n', "name", OPT_STRING, "NAME", "name it"),
	OPT_HAS(struct demo, memory, 'm', "memory", OPT_SIZE, "SIZE", "limit memory"),
	OPT(struct demo, env, 'e', "env", OPT_LIST, "NAME=VALUE", "set in the environment"),
	OPT_END,
};

TEST(options_by_table)
{
	struct demo o = {0};
	struct err e = {0};
	char *argv[] = {"x", "-dm1G", "--env", "A=1", "-e=B=2", "word", "--name", "n", NULL};
	int i = opt_parse(demo_table, &o, 8, argv, OPT_STOP_AT_WORD, &e);

	CHECK_INT(i, 5);
	CHECK(o.detach && o.has_memory && o.memory == 1ull << 30 && o.env.n == 2 && !o.name);
	opt_release(demo_table, &o);
	memset(&o, 0, sizeof(o));
	i = opt_parse(demo_table, &o, 8, argv, OPT_PERMUTE, &e);
	CHECK_INT(i, 7);
	CHECK_STR(argv[7], "word");
	CHECK_STR(o.name, "n");
	opt_release(demo_table, &o);
}

TEST(unknown_option_offers_the_nearest)
{
	struct demo o = {0};
	struct err e = {0};
	char *argv[] = {"x", "--memroy=1", NULL};

	CHECK_INT(opt_parse(demo_table, &o, 2, argv, OPT_PERMUTE, &e), -EINVAL);
	CHECK_STR(e.text, "unknown option '--memroy=1'; see --help");
	argv[1] = "--memor";
	CHECK_INT(opt_parse(demo_table, &o, 2, argv, OPT_PERMUTE, &e), -EINVAL);
	CHECK_STR(e.text, "unknown option '--memor'; did you mean '--memory'?");
}

/* A helper may end without having read its input: no SIGPIPE, and its status is told. */
TEST(helper_that_ignores_its_input)
{
	char *const argv[] = {"true", NULL};
	size_t n = 1 << 20;
	char *input = mem_new(n + 1);
	struct err e = {0};
	int status = -1;

	memset(input, 'x', n);
	CHECK_INT(proc_run(&(struct proc_cmd){.path = "/bin/true", .argv = argv, .input = input, .timeout_ms = 20000},
			  &status, &e), 0);
	CHECK_INT(status, 0);
	free(input);
}

TEST_MAIN
