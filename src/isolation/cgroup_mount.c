/*
 * A mount of type "cgroup": what the jail sees of its own control groups (config-linux.md
 * "Default Filesystems").  With a cgroup namespace the kernel shows just the jail's subtree.
 * On a v1 or hybrid host it is a folder with a mount for every hierarchy.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "isolation/stages.h"

enum { CGROUP_TEXT_MAX = 64 * 1024 };

/* One line of /proc/self/cgroup (cgroups(7)): "id:controllers:path". */
struct hierarchy {
	const char *controllers; /* "" for v2, "name=x" for a named one */
	const char *path;
};

static bool next_line(char **text, struct hierarchy *ret)
{
	char *line = *text, *end = strchr(line, '\n'), *c, *p;

	if (!end)
		return false;
	*end = '\0';
	*text = end + 1;
	c = strchr(line, ':');
	p = c ? strchr(c + 1, ':') : NULL;
	if (!p)
		return false;
	*p = '\0';
	*ret = (struct hierarchy){.controllers = c + 1, .path = p + 1};
	return true;
}

static int mount_v2(uint64_t attr, struct err *e)
{
	return fs_mount("cgroup2", "cgroup", NULL, attr, e);
}

/* "cpu,cpuacct" is an option each; a named hierarchy has no controllers. */
static int mount_v1(const char *controllers, uint64_t attr, struct err *e)
{
	AUTO_STRV struct strv data = {0};
	AUTO_FREE char *copy = str_dup(controllers);
	char *save = NULL;

	if (str_starts(controllers, "name=")) {
		strv_add(&data, "none");
		strv_add(&data, controllers);
	} else {
		for (char *c = strtok_r(copy, ",", &save); c; c = strtok_r(NULL, ",", &save))
			strv_add(&data, c);
	}
	return fs_mount("cgroup", "cgroup", &data, attr, e);
}

static int mount_hierarchy(int top, const struct hierarchy *h, uint64_t attr, struct err *e)
{
	const char *name = !*h->controllers ? "unified" :
		str_starts(h->controllers, "name=") ? h->controllers + 5 : h->controllers;
	AUTO_FD int at = -1;
	AUTO_FD int mnt = *h->controllers ? mount_v1(h->controllers, attr, e) : mount_v2(attr, e);

	if (mnt < 0)
		return mnt;
	if (mkdirat(top, name, 0555) < 0)
		return err_sys(e, "cannot make '%s' among the control groups", name);
	at = openat(top, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0)
		return err_sys(e, "cannot open '%s' among the control groups", name);
	return mount_attach(mnt, at, name, e);
}

/* "cpu" for a hierarchy that is called "cpu,cpuacct": programs look for both. */
static void link_names(int top, const char *controllers)
{
	AUTO_FREE char *copy = str_dup(controllers);
	char *save = NULL;

	if (!strchr(controllers, ','))
		return;
	for (char *c = strtok_r(copy, ",", &save); c; c = strtok_r(NULL, ",", &save))
		if (symlinkat(controllers, top, c) < 0)
			return;
}

static int mount_all_v1(char *text, int target, const struct mount_plan *p, struct err *e)
{
	AUTO_STRV struct strv data = {0};
	uint64_t attr = p->opts.set | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	struct hierarchy h;
	AUTO_FD int top = -1;

	strv_add(&data, "mode=0755");
	top = fs_mount("tmpfs", "cgroup", &data, attr & ~(uint64_t)MOUNT_ATTR_RDONLY, e);
	if (top < 0 || mount_attach(top, target, p->m->destination, e) < 0)
		return -e->code;
	while (next_line(&text, &h)) {
		if (mount_hierarchy(top, &h, attr, e) < 0)
			return -e->code;
		link_names(top, h.controllers);
	}
	return mount_set_attr(top, false, p->opts.set & MOUNT_ATTR_RDONLY, 0, p->m->destination, e);
}

int cgroup_mount(struct start *s, struct mount_plan *p, struct err *e)
{
	AUTO_FD int target = root_target(s, p, true, e);
	AUTO_FD int fd = openat(s->proc_fd, "self/cgroup", O_RDONLY | O_CLOEXEC);
	AUTO_BUF struct buf text = {0};
	AUTO_FD int mnt = -1;

	if (target < 0)
		return target;
	if (fd < 0)
		return err_sys(e, "cannot open '/proc/self/cgroup'");
	if (file_read_fd(fd, "/proc/self/cgroup", CGROUP_TEXT_MAX, &text, e) < 0)
		return -e->code;
	/* On a pure v2 host the one line is "0::/path". */
	if (!str_starts(text.p, "0::"))
		return mount_all_v1(text.p, target, p, e) < 0 ? err_prefix(e, "mount on '%s'", p->m->destination) : 0;
	mnt = mount_v2(p->opts.set, e);
	if (mnt < 0)
		return err_prefix(e, "mount on '%s'", p->m->destination);
	return mount_attach(mnt, target, p->m->destination, e);
}
