/*
 * mountinfo and /proc/PID/cgroup: the kernel writes them, but mount points, roots and group names
 * in them are what others chose.
 */
#include <stdlib.h>
#include <string.h>

#include "isolation/cgroup_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = str_dup_n((const char *)data, size);
	AUTO_FREE char *own = cgroup_own_path(text, "name=systemd");
	AUTO_FREE char *v2 = cgroup_own_path(text, "");
	AUTO_FREE char *path = NULL;
	struct cgroup_mount m = {0};
	struct err e = {0};

	for (const char *rest = text; cgroup_mount_next(&rest, &m); cgroup_mount_release(&m)) {
		/* An escape makes text shorter, never longer, and ends it never early or late. */
		if (strlen(m.point) > size || strlen(m.root) > size || strlen(m.name) > size)
			abort();
		(void)cgroup_controllers_parse(m.name, m.version);
	}
	if (cgroup_path_check(text, &path, &e) >= 0 && (strstr(path, "//") || strstr(path, "/../") || *path == '/'))
		abort();
	return 0;
}
