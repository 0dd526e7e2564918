/*
 * procfs by allow-list.  The kernel lists its own entries before the processes, so the listing
 * stops at the first of these and its cost does not grow with what runs on the host.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "jail/compose.h"

static const char *const shown[] = {"cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version",
	"filesystems", "mounts", "net", "sys", "swaps", "vmstat", "cgroups", "sysvipc", "self",
	"thread-self"};

static bool is_shown(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (!strcmp(shown[i], name))
			return true;
	return false;
}

struct entry { /* linux_dirent64, getdents64(2) */
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/*
 * procfs belongs to the host's root, who is nobody in a jail: what only its owner may look into
 * is out of reach without a mount over it.
 */
static bool owner_only(int proc, const char *name)
{
	struct stat st;

	return !fstatat(proc, name, &st, AT_SYMLINK_NOFOLLOW) && !st.st_uid && !(st.st_mode & 077);
}

/* False at the first process. */
static bool add_masks(struct spec *spec, int proc, const char *buf, ssize_t n)
{
	for (ssize_t at = 0; at < n;) {
		const struct entry *d = (const void *)(buf + at);

		at += d->reclen;
		if (d->name[0] >= '0' && d->name[0] <= '9')
			return false;
		if (d->name[0] != '.' && !is_shown(d->name) && !owner_only(proc, d->name))
			strv_addf(&spec->linux.masked_paths, "/proc/%s", d->name);
	}
	return true;
}

int compose_proc(struct spec *spec, struct err *e)
{
	AUTO_FD int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char buf[1536] __attribute__((aligned(8)));
	ssize_t n;

	if (fd < 0)
		return err_sys(e, "cannot open '/proc'");
	if (file_check_fs(fd, FILE_PROC, "/proc", e) < 0)
		return -e->code;
	do
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	while (n > 0 && add_masks(spec, fd, buf, n));
	if (n < 0)
		return err_sys(e, "cannot list '/proc'");
	strv_add(&spec->linux.readonly_paths, "/proc/sys");
	strv_add(&spec->linux.readonly_paths, "/proc/sysvipc");
	return 0;
}
