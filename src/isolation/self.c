/*
 * A jail without a user namespace of its own runs as the host's root, and could write to the
 * program that started it once it gets hold of /proc/PID/exe (CVE-2019-5736).  So that program
 * is run again from a read-only view of itself: whoever opens it that way gets EROFS for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "isolation/isolation.h"

int iso_protect_self(char **argv, struct err *e)
{
	const struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
	AUTO_FD int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	AUTO_FD int view = -1;
	struct statvfs st;

	if (exe < 0 || fstatvfs(exe, &st) < 0)
		return err_sys(e, "cannot examine '/proc/self/exe'");
	/* Read-only already: we are that second run.  No variable says so, so none can lie. */
	if (st.f_flag & ST_RDONLY)
		return 0;
	view = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (view < 0)
		return err_sys(e, "cannot make a read-only view of this program");
	if (mount_setattr(view, "", AT_EMPTY_PATH, (struct mount_attr *)&read_only, sizeof(read_only)) < 0)
		return err_sys(e, "cannot make the view of this program read-only");
	fexecve(view, argv, environ);
	return err_sys(e, "cannot run from a read-only view of this program");
}
