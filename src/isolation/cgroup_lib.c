/*
 * The one file that uses libcgroup: which controllers are mounted, for doctor.
 *
 * The start path does not come here: cgroup_init alone costs more than making and removing a
 * group does by hand, and the library has no descriptors, no device filter on v2, no birth
 * inside a group, no kill; docs/adr/0004 has the numbers.  Only what libcgroup 2.0 (Debian 12)
 * and 3.x (Debian 13) both declare is used.
 */
#include <errno.h>
#include <libcgroup.h>

#include "isolation/cgroup_int.h"

static int failed(int code, struct err *e)
{
	const char *why = code == ECGOTHER ? strerrordesc_np(cgroup_get_last_errno()) : cgroup_strerror(code);

	return err_set(e, EIO, "libcgroup cannot list the mounted controllers: %s", why ? why : "unknown error");
}

int cgroup_lib_controllers(unsigned int *ret, struct err *e)
{
	struct cgroup_mount_point mount;
	void *handle = NULL;
	unsigned int bits = 0;
	int r = cgroup_init();

	if (r == ECGROUPNOTMOUNTED) { /* also what 2.0 says of a v2 mount without controllers */
		*ret = 0;
		return 0;
	}
	if (r)
		return failed(r, e);
	for (r = cgroup_get_controller_begin(&handle, &mount); !r; r = cgroup_get_controller_next(&handle, &mount))
		bits |= cgroup_controllers_parse(mount.name, 1) | cgroup_controllers_parse(mount.name, 2);
	cgroup_get_controller_end(&handle);
	if (r != ECGEOF)
		return failed(r, e);
	*ret = bits;
	return 0;
}
