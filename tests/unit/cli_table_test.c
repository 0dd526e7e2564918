#include "cli/table.h"

#include "test.h"

struct row {
	const char *name;
	int32_t pid;
	uint64_t memory, limit, used_usec, age;
	bool on;
	struct strv tags;
};

static const struct column columns[] = {
	COLUMN(struct row, name, "NAME", "name", COL_STR),
	COLUMN(struct row, pid, "PID", "pid", COL_I32),
	COLUMN(struct row, memory, "MEMORY", "memory_bytes", COL_SIZE),
	COLUMN(struct row, limit, "LIMIT", "limit_bytes", COL_SIZE_MAX),
	COLUMN(struct row, used_usec, "CPU", "cpu_usec", COL_USEC),
	COLUMN(struct row, age, "AGE", NULL, COL_AGE),
	COLUMN(struct row, on, NULL, "on", COL_BOOL),
	COLUMN(struct row, tags, "TAGS", "tags", COL_STRV),
	COLUMN_END,
};

static char *show(const struct row *rows, size_t n, enum cli_format format)
{
	struct buf b = {0};

	table_add(columns, rows, n, sizeof(*rows), format, &b);
	return b.p;
}

TEST(columns_are_aligned_and_lines_do_not_trail)
{
	const struct row rows[] = {
		{.name = "a",
			.pid = 1,
			.memory = 1536,
			.limit = UINT64_MAX,
			.used_usec = 1250000,
			.age = 30},
		{.name = "longer", .pid = -1, .memory = UINT64_MAX, .limit = 1 << 20, .age = 7200},
	};
	AUTO_FREE char *text = show(rows, 2, FORMAT_TABLE);

	CHECK_STR(text, "NAME    PID  MEMORY  LIMIT    CPU  AGE  TAGS\n"
			"a         1    1.5K    max  1.25s  30s  -\n"
			"longer    -       -     1M  0.00s   2h  -\n");
}

TEST(no_rows_is_a_heading_or_an_empty_array)
{
	AUTO_FREE char *text = show(&(struct row){0}, 0, FORMAT_TABLE);
	AUTO_FREE char *json = show(&(struct row){0}, 0, FORMAT_JSON);

	CHECK_STR(text, "NAME  PID  MEMORY  LIMIT  CPU  AGE  TAGS\n");
	CHECK_STR(json, "[]\n");
}

TEST(json_has_types_and_null_for_what_is_not_known)
{
	struct row row = {.name = "a", .pid = -1, .memory = 5, .limit = UINT64_MAX, .on = true};
	AUTO_FREE char *json = NULL;

	strv_add(&row.tags, "x");
	strv_add(&row.tags, "y");
	json = show(&row, 1, FORMAT_JSON);
	CHECK_STR(json,
		"[\n {\"name\": \"a\", \"pid\": null, \"memory_bytes\": 5, \"limit_bytes\": null, "
		"\"cpu_usec\": 0, \"on\": true, \"tags\": [\"x\", \"y\"]}\n]\n");
	strv_release(&row.tags);
}

TEST(what_a_jail_writes_cannot_reach_the_terminal)
{
	const struct row row = {.name = "\033[2Jx\n\"y"};
	AUTO_FREE char *text = show(&row, 1, FORMAT_TABLE);
	AUTO_FREE char *json = show(&row, 1, FORMAT_JSON);

	CHECK(!strchr(text, '\033'));
	CHECK(strstr(text, "\\x1b[2Jx\\x0a\"y") != NULL);
	CHECK(!strchr(json, '\033'));
	CHECK(strstr(json, "\\n\\\"y") != NULL);
}

TEST(wide_text_counts_in_characters)
{
	const struct row rows[] = {{.name = "\xc3\xbc\xc3\xbc"}, {.name = "ab"}};
	AUTO_FREE char *text = show(rows, 2, FORMAT_TABLE);
	const char *first = strchr(text, '\n') + 1, *second = strchr(first, '\n') + 1;

	/* Two letters of two bytes each: the line is two bytes longer and no wider. */
	CHECK_INT(second - first, (long)strlen(second) + 2);
}

TEST_MAIN
