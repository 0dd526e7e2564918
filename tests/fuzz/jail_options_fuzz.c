/* The small languages of options, and a log's lines: any text gives a value or one sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jail/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = str_dup_n((const char *)data, n);
	struct jail_def def = JAIL_DEF_INIT;
	struct jail_log_line line;
	struct err e = {0};

	jail_def_add_volume(&def, text, &e);
	jail_def_add_tmpfs(&def, text, &e);
	jail_def_add_device(&def, text, &e);
	jail_def_set_restart(&def, text, &e);
	jail_def_set_root(&def, text, &e);
	jail_def_set_log(&def, text, &e);
	jail_limits_add_rlimit(&def.limits, text, &e);
	jail_limits_add_io(&def.limits, "read-bps", text, &e);
	jail_def_check(&def, &e);
	if (log_line_parse((const char *)data, n, &line) && line.n > n)
		abort();
	mountinfo_unescape(text);
	jail_def_release(&def);
	free(text);
	return 0;
}
