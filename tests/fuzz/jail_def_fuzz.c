/* jail.json: what loads is checked without a crash, and survives a print and another load. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jail/jail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jail_def def = JAIL_DEF_INIT, again = JAIL_DEF_INIT;
	struct strv wider AUTO_STRV = {0};
	struct err e = {0};
	char *text, *text2;

	if (jail_def_load((const char *)data, n, &def, &e) < 0)
		return 0;
	if (jail_def_check(&def, &e) == 0)
		jail_def_widenings(&def, &wider);
	text = jail_def_print(&def, JSON_COMPACT);
	if (jail_def_load(text, strlen(text), &again, &e) < 0)
		abort();
	text2 = jail_def_print(&again, JSON_COMPACT);
	if (strcmp(text, text2))
		abort();
	free(text);
	free(text2);
	jail_def_release(&def);
	jail_def_release(&again);
	return 0;
}
