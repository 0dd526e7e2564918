/* A registry's challenge, auth.json and registries.conf: the first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "image/auth.h"
#include "image/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void challenge(const char *s)
{
	struct img_challenge c = {0};
	struct err e = {0};

	if (img_challenge_parse(s, &c, &e) < 0)
		return;
	/* Nothing that could end a header line or a URL gets through. */
	for (const char *p = c.realm; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			abort();
	img_challenge_release(&c);
}

static void auth(const char *s)
{
	struct img_credentials c = {0};
	AUTO_FREE char *helper = NULL;
	struct err e = {0};

	(void)img_auth_parse(s, strlen(s), "quay.io", "org/app", &c, &helper, &e);
	img_credentials_release(&c);
}

static void conf(const char *s)
{
	AUTO_IMG_REF struct img_ref ref = {0};
	AUTO_STRV struct strv names = {0};
	struct img_endpoints p = {0};
	struct img_conf c = {0};
	struct err e = {0};

	if (img_ref_parse("quay.io/org/app", &ref, &e) >= 0 &&
		img_conf_parse(&c, s, "conf", &e) >= 0) {
		(void)img_conf_short(&c, &ref, &names, &e);
		(void)img_conf_endpoints(&c, &ref, &p, &e);
	}
	img_endpoints_release(&p);
	img_conf_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static void (*const parsers[])(const char *) = {challenge, auth, conf};

	if (!n)
		return 0;
	char *text = str_dup_n((const char *)data + 1, n - 1);
	parsers[data[0] % 3](text);
	free(text);
	return 0;
}
