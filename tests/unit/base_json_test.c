#include "test.h"

#include <errno.h>

#include "base/json.h"

static const char *const color_names[] = {"", "red", "green", NULL};
struct inner {
	char *key;
	int32_t a;
	uint64_t b;
};
struct outer {
	char *s, *path, *raw;
	bool flag;
	int32_t i32;
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	double d;
	struct strv words;
	struct strmap map;
	int color;
	uint64_t colors;
	struct inner embedded;
	struct inner *optional;
	struct inner *list, *keyed;
	size_t n_list, n_keyed;
	uint32_t *ids;
	size_t n_ids;
	int64_t ranged;
	bool has_ranged;
};
static const struct json_field inner_fields[] = {
	JSON_FIELD(struct inner, a, "a", JSON_I32, .flags = JSON_REQUIRED),
	JSON_FIELD(struct inner, b, "b", JSON_U64),
};
static const struct json_table inner_table = JSON_TABLE(struct inner, inner_fields);
static const struct json_field outer_fields[] = {
	JSON_FIELD(struct outer, s, "s", JSON_STR, .flags = JSON_NONEMPTY),
	JSON_FIELD(struct outer, path, "path", JSON_STR, .flags = JSON_ABSOLUTE),
	JSON_FIELD(struct outer, raw, "raw", JSON_RAW),
	JSON_FIELD(struct outer, flag, "flag", JSON_BOOL),
	JSON_FIELD(struct outer, i32, "i32", JSON_I32),
	JSON_FIELD(struct outer, u32, "u32", JSON_U32),
	JSON_FIELD(struct outer, i64, "i64", JSON_I64),
	JSON_FIELD(struct outer, u64, "u64", JSON_U64),
	JSON_FIELD(struct outer, d, "d", JSON_DOUBLE),
	JSON_FIELD(struct outer, words, "words", JSON_STRV, .flags = JSON_NONEMPTY),
	JSON_FIELD(struct outer, map, "map", JSON_MAP),
	JSON_FIELD(struct outer, color, "color", JSON_ENUM, .names = color_names),
	JSON_FIELD(struct outer, colors, "colors", JSON_SET, .names = color_names),
	JSON_FIELD(struct outer, embedded, "embedded", JSON_OBJECT, .table = &inner_table),
	JSON_FIELD(struct outer, optional, "optional", JSON_OPTIONAL, .table = &inner_table),
	JSON_FIELD_ARRAY(struct outer, list, "list", JSON_ARRAY, .table = &inner_table),
	JSON_FIELD_ARRAY(struct outer, keyed, "keyed", JSON_KEYED, .table = &inner_table),
	JSON_FIELD_ARRAY(struct outer, ids, "ids", JSON_U32_ARRAY),
	JSON_FIELD_HAS(struct outer, ranged, "ranged", JSON_I64, .min = -5, .max = 5),
};
static const struct json_table outer_table = JSON_TABLE(struct outer, outer_fields);
static const struct json_table strict_table = JSON_TABLE(struct inner, inner_fields, .flags = JSON_STRICT);

static int read_outer(const char *text, struct outer *o, struct err *e)
{
	/* A copy of exact size on the heap: a read beyond it is seen by the sanitizer. */
	size_t n = strlen(text);
	char *copy = mem_dup(text, n);
	int r = json_read_text(&outer_table, copy, n, NULL, o, e);

	free(copy);
	return r;
}

static const char everything[] =
	"{\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\",\"path\":\"/x\",\"raw\":{\"any\": [1, null]},\"flag\":true,"
	"\"i32\":-2147483648,\"u32\":4294967295,\"i64\":-9223372036854775808,"
	"\"u64\":18446744073709551615,\"d\":-1.5,\"words\":[\"\",\"b\"],\"map\":{\"k\":\"v\",\"l\":\"\"},"
	"\"color\":\"green\",\"colors\":[\"red\",\"green\"],\"embedded\":{\"a\":0},"
	"\"optional\":{\"a\":1,\"b\":2},\"list\":[{\"a\":3},{\"a\":4}],"
	"\"keyed\":{\"x.y\":{\"a\":5},\"z\":{\"a\":6}},\"ids\":[0,7],\"ranged\":0}";

TEST(prints_what_it_read)
{
	struct outer o = {0}, copy = {0};
	struct err e = {0};
	char *text, *again;

	CHECK_INT(read_outer(everything, &o, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_STR(o.s, "a\"\\\n\001\xc3\xa9");
	CHECK(o.has_ranged && o.u64 == UINT64_MAX && o.colors == 6 && o.ids[1] == 7);
	CHECK_STR(o.keyed[0].key, "x.y");
	CHECK_STR(o.raw, "{\"any\": [1, null]}");
	text = json_print_text(&outer_table, &o, JSON_COMPACT);
	CHECK_STR(text, everything);
	json_copy(&outer_table, &copy, &o);
	json_release(&outer_table, &o);
	again = json_print_text(&outer_table, &copy, JSON_COMPACT);
	CHECK_STR(again, everything);
	free(text);
	text = json_print_text(&outer_table, &copy, JSON_PRETTY);
	json_release(&outer_table, &copy);
	CHECK_INT(read_outer(text, &copy, &e), 0);
	free(again);
	again = json_print_text(&outer_table, &copy, JSON_COMPACT);
	CHECK_STR(again, everything);
	json_release(&outer_table, &copy);
	free(text);
	free(again);
}

TEST(bad_text_is_one_line)
{
	static const struct {
		const char *json, *expected;
	} cases[] = {
		{"", "not JSON at line 1, column 1: expected a value, found the end"},
		{"[]", "expected an object, found an array"},
		{"{", "not JSON at line 1, column 2: expected a key in double quotes or '}', found the end"},
		{"{}x", "not JSON at line 1, column 3: expected nothing after the value, found 'x'"},
		{"{}\n{}", "not JSON at line 2, column 1: expected nothing after the value, found '{'"},
		{"{\"s\" 1}", "s: not JSON at line 1, column 6: expected ':', found '1'"},
		{"{\"s\":\"x\",}", "not JSON at line 1, column 10: expected a key in double quotes, found '}'"},
		{"{\"s\":\"x\"", "not JSON at line 1, column 9: expected ',' or '}', found the end"},
		{"{'s':1}", "not JSON at line 1, column 2: expected a key in double quotes or '}', found '''"},
		{"{\"d\":NaN}", "d: not JSON at line 1, column 6: expected a value, found 'N'"},
		{"{\"d\":-}", "d: not JSON at line 1, column 7: expected a digit, found '}'"},
		{"{\"u32\":01}", "u32: not JSON at line 1, column 10: expected a number without leading zeros, found '}'"},
		{"{\"d\":1.}", "d: not JSON at line 1, column 8: expected a digit, found '}'"},
		{"{\"d\":1e+}", "d: not JSON at line 1, column 9: expected a digit, found '}'"},
		{"{\"d\":1e999}", "d: expected a number that fits a double, found 1e999"},
		{"{\"s\":\"a\nb\"}", "s: not JSON at line 1, column 8: expected control characters as \\u escapes, found byte 0x0a"},
		{"{\"s\":\"\\x\"}", "s: not JSON at line 1, column 8: expected an escape such as \\n or \\u0041, found 'x'"},
		{"{\"s\":\"\\u12g4\"}", "s: not JSON at line 1, column 11: expected four hexadecimal digits, found 'g'"},
		{"{\"s\":\"\\ud800\"}", "s: not JSON at line 1, column 13: expected the second half of a surrogate pair, found '\"'"},
		{"{\"s\":\"\\udc00\"}", "s: not JSON at line 1, column 13: expected the first half of a surrogate pair before, found '\"'"},
		{"{\"s\":\"\\u0000\"}", "s: a string may not contain a NUL byte"},
		{"{\"s\":\"open", "s: not JSON at line 1, column 11: expected the end of a string, found the end"},
		{"{\"s\":tru}", "s: not JSON at line 1, column 6: expected a value, found 't'"},
		{"// no\n{}", "not JSON at line 1, column 1: expected a value, found '/'"},
		{"\xef\xbb\xbf{}", "not JSON at line 1, column 1: expected a value, found byte 0xef"},
		{"{\"s\":1}", "s: expected a string, found 1"},
		{"{\"s\":{\"a\":[]}}", "s: expected a string, found an object"},
		{"{\"s\":\"\"}", "s: expected a string that is not empty"},
		{"{\"path\":\"x\\u001b\"}", "path: expected an absolute path, found 'x\\x1b'"},
		{"{\"flag\":\"yes\"}", "flag: expected true or false, found a string"},
		{"{\"i32\":2147483648}", "i32: expected an integer from -2147483648 to 2147483647, found 2147483648"},
		{"{\"u32\":-1}", "u32: expected an integer from 0 to 4294967295, found -1"},
		{"{\"u64\":18446744073709551616}", "u64: expected an integer from 0 to 18446744073709551615, found 18446744073709551616"},
		{"{\"i64\":-9223372036854775809}", "i64: expected an integer from -9223372036854775808 to 9223372036854775807, found -9223372036854775809"},
		{"{\"i64\":1.0}", "i64: expected an integer, found 1.0"},
		{"{\"i64\":1e3}", "i64: expected an integer, found 1e3"},
		{"{\"i64\":true}", "i64: expected an integer, found true"},
		{"{\"ranged\":6}", "ranged: expected an integer from -5 to 5, found 6"},
		{"{\"words\":\"a\"}", "words: expected an array, found a string"},
		{"{\"words\":[]}", "words: expected an array that is not empty"},
		{"{\"words\":[\"a\",null]}", "words[1]: expected a string, found null"},
		{"{\"words\":[\"a\" \"b\"]}", "words: not JSON at line 1, column 15: expected ',' or ']', found '\"'"},
		{"{\"map\":[]}", "map: expected an object, found an array"},
		{"{\"map\":{\"a.b\":1}}", "map['a.b']: expected a string, found 1"},
		{"{\"color\":\"blue\"}", "color: expected one of 'red', 'green', found 'blue'"},
		{"{\"color\":\"\"}", "color: expected one of 'red', 'green', found ''"},
		{"{\"colors\":[\"red\",\"blue\"]}", "colors[1]: expected one of 'red', 'green', found 'blue'"},
		{"{\"list\":[{\"a\":1},{}]}", "list[1].a: required, but missing"},
		{"{\"list\":[{\"a\":null}]}", "list[0].a: required, but missing"},
		{"{\"list\":[1]}", "list[0]: expected an object, found 1"},
		{"{\"keyed\":{\"k\":{\"a\":\"x\"}}}", "keyed.k.a: expected an integer, found a string"},
		{"{\"optional\":[]}", "optional: expected an object, found an array"},
		{"{\"ids\":[1,-1]}", "ids[1]: expected an integer from 0 to 4294967295, found -1"},
		{"{\"s\":\"a\",\"s\":\"b\"}", "s: given twice"},
		{"{\"s\":\"a\",\"\\u0073\":\"b\"}", "s: given twice"},
		{"{\"nobody\":{\"k\":1,\"k\":2}}", "nobody.k: given twice"},
		{"{\"map\":{\"b\":\"\",\"a\":\"\",\"b\":\"\"}}", "map.b: given twice"},
		{"{\"keyed\":{\"b\":{\"a\":1},\"b\":{\"a\":1}}}", "keyed.b: given twice"},
		{"{\"optional\":{\"a\":1,\"a\":1}}", "optional.a: given twice"},
		{"{\"raw\":{\"a\":1,\"a\":1}}", "raw.a: given twice"},
		{"{\"nobody\":[1,]}", "nobody[1]: not JSON at line 1, column 14: expected a value, found ']'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static const struct outer empty;
		struct outer o = {0};
		struct err e = {0};

		CHECK_INT(read_outer(cases[i].json, &o, &e), -EINVAL);
		CHECK_STR(e.text, cases[i].expected);
		CHECK(!memcmp(&o, &empty, sizeof(o)));
	}
}

TEST(limits_hold)
{
	struct json_limits tight = {.max_bytes = 40, .max_depth = 3, .max_items = 2};
	static const struct {
		const char *json, *expected;
	} cases[] = {
		{"{\"nobody\":[[[1]]]}", "nobody[0][0]: nested deeper than 3 levels"},
		{"{\"ids\":[1,2,3]}", "ids: more than 2 elements"},
		{"{\"x\":1,\"y\":1,\"z\":1}", "more than 2 elements"},
		{"{\"s\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "48 bytes of JSON are more than the 40 allowed"},
	};
	struct buf deep = {0};
	struct outer o = {0};
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_INT(json_read_text(&outer_table, cases[i].json, strlen(cases[i].json), &tight, &o, &e), -EFBIG);
		CHECK_STR(e.text, cases[i].expected);
	}
	buf_adds(&deep, "{\"raw\":");
	for (int i = 0; i < 1000000; i++)
		buf_adds(&deep, "[");
	CHECK_INT(json_read_text(&outer_table, deep.p, deep.n, NULL, &o, &e), -EFBIG);
	buf_release(&deep);
}

TEST(null_is_absent_and_defaults_stay)
{
	struct outer o = {.i32 = 5, .s = str_dup("kept"), .path = str_dup("/old")};
	struct err e = {0};

	CHECK_INT(read_outer(" { \"s\" : null , \"path\":\"/new\", \"other\": [ ] } ", &o, &e), 0);
	CHECK_INT(o.i32, 5);
	CHECK_STR(o.s, "kept");
	CHECK_STR(o.path, "/new");
	json_release(&outer_table, &o);
}

TEST(strict_tables)
{
	struct inner in = {0};
	struct err e = {0};
	char *text;

	CHECK_INT(json_read_text(&strict_table, "{\"a\":1,\"c\":2}", 13, NULL, &in, &e), -EINVAL);
	CHECK_STR(e.text, "c: unknown key");
	text = json_print_text(&strict_table, &in, JSON_COMPACT);
	CHECK_STR(text, "{\"a\":0,\"b\":0}");
	free(text);
}

TEST(unicode_escapes)
{
	struct outer o = {0};
	struct err e = {0};

	CHECK_INT(read_outer("{\"s\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\/\"}", &o, &e), 0);
	CHECK_STR(o.s, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/");
	json_release(&outer_table, &o);
}

TEST(maps)
{
	struct strmap m = {0}, copy = {0};

	strmap_set(&m, "a", "1");
	strmap_set(&m, "b", "2");
	strmap_set(&m, "a", "3");
	CHECK_INT(m.n, 2);
	CHECK_STR(strmap_get(&m, "a"), "3");
	strmap_copy(&copy, &m);
	CHECK(strmap_remove(&m, "a") && !strmap_remove(&m, "a"));
	CHECK(!strmap_get(&m, "a"));
	CHECK_STR(strmap_get(&m, "b"), "2");
	strmap_release(&m);
	CHECK_STR(copy.v[0].key, "a");
	strmap_release(&copy);
}

/* Not a timing: a hostile object of many keys must not take quadratic time. */
TEST(many_keys_are_cheap)
{
	struct buf b = {0};
	struct outer o = {0};
	struct err e = {0};

	buf_adds(&b, "{\"map\":{\"k\":\"\"");
	for (int i = 0; i < 65535; i++)
		buf_addf(&b, ",\"%d\":\"\"", i);
	buf_adds(&b, "}}");
	CHECK_INT(json_read_text(&outer_table, b.p, b.n, NULL, &o, &e), 0);
	CHECK_INT(o.map.n, 65536);
	json_release(&outer_table, &o);
	buf_release(&b);
}

TEST_MAIN
