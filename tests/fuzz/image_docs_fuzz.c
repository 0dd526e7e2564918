/*
 * Index, manifest, configuration, docker's list, references and digests: the first byte chooses.
 * What is accepted must print to something that is accepted again.
 */
#include <stdlib.h>
#include <string.h>

#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void doc(const char *text, size_t n)
{
	struct img_doc d = {0}, again = {0};
	struct img_platform p = {.os = (char *)"linux", .architecture = (char *)"amd64"};
	const struct img_desc *chosen;
	struct err e = {0};

	if (img_doc_parse(text, n, NULL, &d, &e) < 0)
		return;
	if (d.kind == IMG_DOC_INDEX) {
		(void)img_index_choose(&d, &p, &chosen, &e);
	} else {
		AUTO_FREE char *printed = img_doc_print(&d);

		/* An empty list is left out in print, and then it is no manifest. */
		if (d.n_layers && img_doc_parse(printed, strlen(printed), NULL, &again, &e) < 0)
			abort();
	}
	img_doc_release(&d);
	img_doc_release(&again);
}

static void config(const char *text, size_t n)
{
	struct img_config c = {0}, again = {0};
	struct err e = {0};

	if (img_config_parse(text, n, SIZE_MAX, &c, &e) < 0)
		return;
	AUTO_FREE char *printed = img_config_print(&c);
	if (img_config_parse(printed, strlen(printed), SIZE_MAX, &again, &e) < 0)
		abort();
	img_config_release(&c);
	img_config_release(&again);
}

static void saved(const char *text, size_t n)
{
	struct img_saved_list l = {0};
	struct err e = {0};

	if (img_saved_parse(text, n, &l, &e) >= 0)
		img_saved_release(&l);
}

static void reference(const char *text, size_t n)
{
	AUTO_FREE char *s = str_dup_n(text, n);
	AUTO_IMG_REF struct img_ref r = {0}, again = {0};
	struct img_digest d;
	struct err e = {0};

	(void)img_digest_parse(s, &d, &e);
	if (img_ref_parse(s, &r, &e) < 0)
		return;
	AUTO_FREE char *printed = img_ref_print(&r);
	if (strlen(printed) <= IMG_REF_MAX && img_ref_parse(printed, &again, &e) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static void (*const parsers[])(const char *, size_t) = {doc, config, saved, reference};

	if (!n)
		return 0;
	char *text = mem_dup(data + 1, n - 1);
	parsers[data[0] % 4](text, n - 1);
	free(text);
	return 0;
}
