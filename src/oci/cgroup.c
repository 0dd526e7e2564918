/*
 * Where a container's control group is, and commands on it.
 */
#include <errno.h>
#include <stdio.h>

#include "base/path.h"
#include "oci/internal.h"

#define DEFAULT_PARENT "jail-oci"

int cgroup_path(const struct oci *o, const char *id, const struct spec *spec, char **ret_path,
	char **ret_scope, struct err *e)
{
	const char *path = spec->linux.cgroups_path;
	AUTO_FREE char *clean = NULL;

	*ret_path = NULL;
	*ret_scope = NULL;
	if (o->no_cgroup)
		return 0;
	if (o->systemd_cgroup)
		return err_set(e, EOPNOTSUPP,
			"--systemd-cgroup is not supported by this build; use the cgroupfs driver");
	if (!path || !*path) {
		*ret_path = str_fmt("%s/%s", DEFAULT_PARENT, id);
		return 0;
	}
	if (strchr(path, ':'))
		return err_set(e, EINVAL,
			"linux.cgroupsPath: '%s' is a path of the systemd driver; give "
			"--systemd-cgroup",
			path);
	clean = path_clean(path);
	if (!clean[1])
		return err_set(e, EINVAL, "linux.cgroupsPath: '%s' is everybody's cgroup", path);
	*ret_path = str_dup(clean + 1);
	return 0;
}

int cgroup_open_of(const struct container *c, struct iso_cgroup *ret, struct err *e)
{
	if (!c->rec.cgroup)
		return err_set(e, EOPNOTSUPP, "container '%s' has no cgroup of its own", c->rec.id);
	return iso_cgroup_open(c->rec.cgroup, ret, e);
}
