/*
 * Filesystems by the new mount API (fsopen, fsconfig, fsmount; Linux 5.2): each option is its
 * own key and value, so no option text can smuggle in another, and the result is a detached
 * mount, attached by descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "isolation/stages.h"

/* The kernel says what was wrong with an option in a log that is read from the context. */
static int explain(int fs, const char *type, const char *what, int code, struct err *e)
{
	char line[256];
	ssize_t n = read(fs, line, sizeof(line) - 1);

	if (n > 2) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		AUTO_FREE char *shown = str_visible(line + 2); /* "e " before the text */
		return err_set(e, code, "cannot mount %s: %s: %.160s", type, what, shown);
	}
	return err_set(e, code, "cannot mount %s: %s: %s", type, what, strerrordesc_np(code));
}

static int set_option(int fs, const char *option)
{
	const char *eq = strchr(option, '=');
	AUTO_FREE char *key = NULL;

	if (!eq)
		return fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	key = str_dup_n(option, (size_t)(eq - option));
	return fsconfig(fs, FSCONFIG_SET_STRING, key, eq + 1, 0);
}

int fs_mount(const char *type, const char *source, const struct strv *data, uint64_t attr, struct err *e)
{
	AUTO_FD int fs = fsopen(type, FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0)
		return err_set(e, errno, "cannot mount %s: %s", type,
			errno == ENODEV ? "this kernel has no such filesystem" : strerrordesc_np(errno));
	if (source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return explain(fs, type, source, errno, e);
	for (size_t i = 0; data && i < data->n; i++)
		if (set_option(fs, data->v[i]) < 0)
			return explain(fs, type, data->v[i], errno, e);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		explain(fs, type, "creating it", errno, e);
		if (e->code == EPERM && (!strcmp(type, "proc") || !strcmp(type, "sysfs")))
			return err_hint(e, "a container around us hides parts of /%s; a new one would show them",
				strcmp(type, "proc") ? "sys" : "proc");
		return -e->code;
	}
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)attr);
	return mnt < 0 ? explain(fs, type, "attaching it", errno, e) : mnt;
}

int mount_attach(int fd, int target, const char *what, struct err *e)
{
	if (!move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return 0;
	if (errno == ENOTDIR || errno == EINVAL)
		return err_set(e, ENOTDIR, "cannot mount on '%s': one of the two is a directory and the other is not", what);
	return err_sys(e, "cannot mount on '%s'", what);
}

int mount_set_attr(int fd, bool recursive, uint64_t set, uint64_t clear, const char *what, struct err *e)
{
	struct mount_attr attr = {.attr_set = set, .attr_clr = clear};

	if (!set && !clear)
		return 0;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0)
		return err_sys(e, "cannot set the mount options of '%s'", what);
	return 0;
}
