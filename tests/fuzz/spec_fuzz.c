/*
 * The parser of config.json, process.json and resources.json.  What it accepts must print to
 * something that reads and prints the same again, and survive a copy and the checks.
 * Seeds: tests/data/oci-bundles.
 */
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_one(const struct json_table *t, const char *text, size_t n)
{
	void *p = mem_new(t->size), *q = mem_new(t->size), *copy = mem_new(t->size);
	struct err e = {0};
	char *first, *second;

	if (json_read_text(t, text, n, NULL, p, &e) >= 0) {
		first = json_print_text(t, p, JSON_PRETTY);
		if (json_read_text(t, first, strlen(first), NULL, q, &e) < 0)
			abort();
		json_copy(t, copy, q);
		second = json_print_text(t, copy, JSON_PRETTY);
		if (strcmp(first, second))
			abort();
		free(first);
		free(second);
		if (t == &spec_table)
			(void)spec_check(p, &e);
	} else if (!e.code || !e.text[0]) {
		abort();
	}
	json_release(t, p);
	json_release(t, q);
	json_release(t, copy);
	free(p);
	free(q);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* A copy without a final NUL: the reader may not look past the end. */
	char *text = mem_dup(data, n);

	read_one(&spec_table, text, n);
	read_one(&spec_process_table, text, n);
	read_one(&spec_resources_table, text, n);
	free(text);
	return 0;
}
