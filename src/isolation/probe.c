/*
 * The table of probes, and the probes that are a few lines each.
 */
#include "isolation/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/cgroup.h"
#include "isolation/confine.h"
#include "isolation/probe_int.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum {
	NOBODY = 65534,
	SUBIDS_WANTED = 65536,
	SUBIDS_FIRST = 100000, /* SUB_UID_MIN of login.defs(5) */
	TABLE_BYTES_MAX = 1 << 20,
	KERNEL_MAJOR = 5,
	KERNEL_MINOR = 12, /* mount_setattr; openat2 and clone3 are older */
};

void probe_say(struct iso_probe_result *ret, enum iso_probe_state state, const char *fmt, ...)
{
	va_list ap;

	ret->state = state;
	va_start(ap, fmt);
	vsnprintf(ret->found, sizeof(ret->found), fmt, ap);
	va_end(ap);
}

void probe_remedy(struct iso_probe_result *ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret->remedy, sizeof(ret->remedy), fmt, ap);
	va_end(ap);
}

/* --- Children --- */

static int wait_child(int pidfd, const int32_t *result)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	uint64_t deadline = time_mono_ms() + ISO_PROBE_TIMEOUT_MS, now;
	int status, r;

	do {
		now = time_mono_ms();
		r = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);
	} while (r < 0 && errno == EINTR);
	if (r <= 0)
		proc_signal(pidfd, SIGKILL);
	proc_wait(pidfd, &status);
	if (r <= 0)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? *result : -ECHILD;
}

int probe_child(int (*body)(struct probe_note *note), struct probe_note *note)
{
	/* Shared, so that what a killed child had found out is not lost. */
	struct shared {
		struct probe_note note;
		int32_t result;
	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	AUTO_FD int pidfd = -1;
	int r;
	pid_t pid;

	if (s == MAP_FAILED)
		return -errno;
	s->note = *note;
	s->result = -ECHILD;
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		s->result = body(&s->note);
		_exit(0);
	}
	r = pid < 0 ? pid : wait_child(pidfd, &s->result);
	*note = s->note;
	munmap(s, sizeof(*s));
	return r;
}

/* For most: it works, or it fails with an errno. */
static void say_errno(struct iso_probe_result *ret, int r, const char *what, const char *remedy)
{
	if (r >= 0) {
		probe_say(ret, ISO_PROBE_OK, "%s: works", what);
		return;
	}
	probe_say(ret, ISO_PROBE_MISSING, "%s: %s", what, strerrordesc_np(-r));
	probe_remedy(ret, "%s", remedy);
}

static int body_write(const char *path, const char *text)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, n) == (ssize_t)n ? 0 : -errno;
}

/* Root becomes a plain user first, to find out what such users can do. */
static int become_plain_user(void)
{
	if (geteuid() != 0)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) < 0 ||
		syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
		syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	/* The change made /proc/self root's. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Into a user namespace in which the caller is root, with further namespaces. */
static int enter_userns(uint64_t flags)
{
	uint32_t uid = geteuid(), gid = getegid();
	char map[48];
	int r;

	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	r = body_write("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!r)
		r = body_write("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (!r)
		r = body_write("/proc/self/gid_map", map);
	if (r < 0)
		return r;
	return flags && unshare((int)flags) < 0 ? -errno : 0;
}

/* --- Kernel, namespaces --- */

static void probe_kernel(const struct iso_probe *self, struct iso_probe_result *ret)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	(void)self;
	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		u.release[0] = '\0';
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR)) {
		probe_say(ret, ISO_PROBE_OK, "Linux %.64s on %.32s", u.release, u.machine);
		return;
	}
	probe_say(ret, ISO_PROBE_MISSING, "Linux %.64s", u.release);
	probe_remedy(ret, "Linux %d.%d or newer is needed", KERNEL_MAJOR, KERNEL_MINOR);
}

static int body_namespace(struct probe_note *n)
{
	/* As root the way root's jails are made, else the only way there is. */
	if (geteuid() != 0)
		return enter_userns(n->flags);
	return unshare((int)n->flags) < 0 ? -errno : 0;
}

static void probe_namespace(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {.flags = self->flags};
	int r = probe_child(body_namespace, &n);

	say_errno(ret, r, "a new namespace",
		"build the kernel with this namespace, or run where it is allowed");
	if (r == -ENOSPC)
		probe_remedy(
			ret, "raise sysctl user.max_%s_namespaces", self->name + strlen("ns-"));
}

/* Whether capabilities in a new user namespace are real. */
static int body_userns(struct probe_note *n)
{
	int r;

	if (n->flags) {
		r = become_plain_user();
		if (r < 0)
			return r;
	}
	n->step = 1;
	r = enter_userns(0);
	if (r < 0)
		return r;
	n->step = 2;
	if (unshare(CLONE_NEWUTS | CLONE_NEWNS) < 0 || sethostname("probe", 5) < 0)
		return -errno;
	n->step = 3;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k") < 0)
		return -errno;
	return 0;
}

/* A sysctl's value, or fallback when there is no such. */
static int64_t sysctl_value(const char *path, int64_t fallback)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return fallback;
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

static void userns_remedy(struct iso_probe_result *ret, int step)
{
	if (sysctl_value("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
		probe_remedy(ret, "sysctl kernel.unprivileged_userns_clone=1");
	else if (sysctl_value("/proc/sys/user/max_user_namespaces", 1) == 0)
		probe_remedy(ret, "raise sysctl user.max_user_namespaces");
	else if (sysctl_value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
		probe_remedy(ret,
			"AppArmor takes the capabilities away: install a profile for jail that "
			"allows "
			"userns, or sysctl kernel.apparmor_restrict_unprivileged_userns=0");
	else if (step >= 3)
		probe_remedy(ret,
			"an outer container or security module forbids mounts in user namespaces");
	else
		probe_remedy(ret,
			"an outer container, seccomp filter or security module forbids it, or the "
			"kernel lacks CONFIG_USER_NS");
}

static void probe_userns(const struct iso_probe *self, struct iso_probe_result *ret)
{
	static const char *const steps[] = {"becoming a plain user", "a new user namespace",
		"capabilities in a user namespace", "mounts in a user namespace"};
	struct probe_note n = {.flags = self->flags};
	int r = probe_child(body_userns, &n);

	if (r >= 0) {
		probe_say(ret, ISO_PROBE_OK, "%suser namespaces work, with their capabilities",
			self->flags ? "plain users' " : "");
		return;
	}
	probe_say(ret, n.step >= 2 ? ISO_PROBE_LIMITED : ISO_PROBE_MISSING, "%s: %s", steps[n.step],
		strerrordesc_np(-r));
	userns_remedy(ret, n.step);
}

/* --- Processes and paths --- */

static int body_openat2(struct probe_note *n)
{
	int fd = path_try(AT_FDCWD, "/", O_PATH | O_DIRECTORY, PATH_IN_ROOT);

	(void)n;
	if (fd < 0)
		return fd;
	/* A magic link must be refused, not only the call be known. */
	fd = path_try(fd, "/proc/self/exe", O_PATH, PATH_NO_SYMLINKS);
	return fd == -ELOOP || fd == -ENOENT ? 0 : fd < 0 ? fd : -EINVAL;
}

static void probe_openat2(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};

	(void)self;
	say_errno(ret, probe_child(body_openat2, &n), "openat2 with its policies",
		"Linux 5.6 or newer, and an outer seccomp filter that allows it");
}

/* A child is joined, signalled and reaped by pidfd alone, as exec and kill do it. */
static int body_pidfd(struct probe_note *n)
{
	int pidfd = -1, status, r = 0;
	pid_t pid = proc_clone(0, -1, &pidfd);

	(void)n;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	if (pid < 0)
		return pid;
	/* Without privilege the join is refused, but not for its descriptor. */
	if (setns(pidfd, CLONE_NEWUTS) < 0 && errno != EPERM)
		r = -errno;
	if (proc_signal(pidfd, SIGKILL) < 0) {
		kill(pid, SIGKILL);
		return -ENOSYS;
	}
	return r < 0 ? r : proc_wait(pidfd, &status);
}

static void probe_pidfd(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};

	(void)self;
	say_errno(ret, probe_child(body_pidfd, &n),
		"clone3, pidfd signals and waits, setns by pidfd",
		"Linux 5.8 or newer, and an outer seccomp filter that allows clone3");
}

/* The caller's own cgroup v2 directory, or -errno. */
static int own_cgroup2(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	AUTO_BUF struct buf text = {0};
	AUTO_FD int self = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	struct err ignored;
	struct statfs fs;
	char *line, *end;

	if (self < 0 ||
		file_read_fd(self, "/proc/self/cgroup", TABLE_BYTES_MAX, &text, &ignored) < 0)
		return -ENOENT;
	line = str_starts(text.p, "0::") ? text.p : strstr(text.p, "\n0::");
	if (!line)
		return -ENOENT;
	line = strchr(line, '/');
	end = line ? strchr(line, '\n') : NULL;
	if (!end)
		return -ENOENT;
	*end = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		AUTO_FREE char *path = str_fmt("%s%s", mounts[i], line);
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return fd;
		fd_close(&fd);
	}
	return -ENOENT;
}

static int body_into_cgroup(struct probe_note *n)
{
	int fd = own_cgroup2(), pidfd = -1, status;
	pid_t pid;

	if (fd < 0)
		return fd;
	n->step = 1;
	pid = proc_clone(0, fd, &pidfd);
	if (pid == 0)
		_exit(0);
	return pid < 0 ? pid : proc_wait(pidfd, &status);
}

static void probe_into_cgroup(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};
	int r = probe_child(body_into_cgroup, &n);

	(void)self;
	say_errno(ret, r, n.step ? "being born in a cgroup" : "a mounted cgroup v2",
		"nothing to do: processes are moved into their cgroup instead");
}

/* --- Control groups --- */

static const struct {
	unsigned int bit;
	const char *name;
} controllers[] = {
	{ISO_CTL_MEMORY, "memory"},
	{ISO_CTL_PIDS, "pids"},
	{ISO_CTL_CPU, "cpu"},
	{ISO_CTL_CPUSET, "cpuset"},
	{ISO_CTL_IO, "io"},
	{ISO_CTL_DEVICES, "devices"},
	{ISO_CTL_FREEZER, "freezer"},
	{ISO_CTL_HUGETLB, "hugetlb"},
	{ISO_CTL_RDMA, "rdma"},
};

static void probe_cgroup(const struct iso_probe *self, struct iso_probe_result *ret)
{
	static const char *const modes[] = {
		[ISO_CGROUP_NONE] = "none",
		[ISO_CGROUP_V1] = "v1",
		[ISO_CGROUP_HYBRID] = "v1 with v2 beside it",
		[ISO_CGROUP_V2] = "v2",
	};
	unsigned int can = 0, needed = ISO_CTL_MEMORY | ISO_CTL_PIDS | ISO_CTL_CPU;
	enum iso_cgroup_mode mode;
	char list[128] = "";
	struct err e;

	(void)self;
	mode = iso_cgroup_probe(&can, &e);
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (can & controllers[i].bit) {
			size_t n = strlen(list);

			snprintf(list + n, sizeof(list) - n, " %s", controllers[i].name);
		}
	if (mode == ISO_CGROUP_NONE || !can) {
		probe_say(ret, ISO_PROBE_MISSING, "%s that the caller may use",
			mode == ISO_CGROUP_NONE ? "no control group" : "no controller");
		probe_remedy(ret,
			"as a plain user, run under a user manager that delegates (systemd: "
			"Delegate=yes); else mount cgroup v2 at '/sys/fs/cgroup'");
		return;
	}
	probe_say(ret, (can & needed) == needed ? ISO_PROBE_OK : ISO_PROBE_LIMITED, "%s:%s",
		modes[mode], list);
	if ((can & needed) != needed)
		probe_remedy(ret,
			"have memory, pids and cpu delegated (systemd: Delegate=memory pids cpu)");
}

/* --- Filesystems --- */

static int new_tmpfs(void)
{
	int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), fd;

	if (fs < 0)
		return -errno;
	fd = -1;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
	if (fd < 0)
		fd = -errno;
	close(fs);
	return fd;
}

/* Private mounts of its own, for root and for others. */
static int enter_mounts(bool plain_user)
{
	int r = plain_user ? become_plain_user() : 0;

	if (!r && geteuid() != 0)
		r = enter_userns(CLONE_NEWNS);
	else if (!r && unshare(CLONE_NEWNS) < 0)
		r = -errno;
	if (!r && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		r = -errno;
	return r;
}

static int body_mount_api(struct probe_note *n)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int fd, tree, r = enter_mounts(false);

	(void)n;
	if (r < 0)
		return r;
	fd = new_tmpfs();
	if (fd < 0)
		return fd;
	if (mkdirat(fd, "d", 0755) < 0)
		return -errno;
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	tree = (int)syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
	if (tree < 0 ||
		syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return mkdirat(tree, "e", 0755) < 0 && errno == EROFS ? 0 : -EINVAL;
}

static void probe_mount_api(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};

	(void)self;
	say_errno(ret, probe_child(body_mount_api, &n),
		"fsopen, open_tree, move_mount and mount_setattr",
		"Linux 5.12 or newer, and an outer container that allows mounts");
}

/* Lower, upper and merged on a tmpfs; what is written must arrive in upper. */
static int body_overlay(struct probe_note *n)
{
	static const char *const dirs[] = {"l", "u", "w", "m", "l/from-lower"};
	char options[128], merged[32];
	int fd, r = enter_mounts(n->flags != 0);

	if (r < 0)
		return r;
	fd = new_tmpfs();
	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(fd, dirs[i], 0755) < 0)
			return -errno;
	if (fd < 0)
		return fd;
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		fchdir(fd) < 0)
		return -errno;
	n->step = 1;
	snprintf(merged, sizeof(merged), "m");
	snprintf(options, sizeof(options), "lowerdir=l,upperdir=u,workdir=w%s",
		geteuid() == 0 && !n->flags ? "" : ",userxattr");
	if (mount("overlay", merged, "overlay", 0, options) < 0)
		return -errno;
	if (mkdirat(fd, "m/new", 0755) < 0 || faccessat(fd, "u/new", F_OK, 0) < 0 ||
		faccessat(fd, "m/from-lower", F_OK, 0) < 0)
		return -errno;
	return 0;
}

static void probe_overlay(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {.flags = self->flags};
	int r = probe_child(body_overlay, &n);

	say_errno(ret, r, n.step ? "an overlay" : "a mount namespace for an overlay",
		self->flags ? "Linux 5.11 or newer, and user namespaces; else images are copied"
			    : "load the overlay module; else images are copied");
}

/* A user namespace to map through, held open by a child that waits. */
static int other_userns(void)
{
	int pidfd = -1, sync[2], status, ended, fd = -1;
	char path[48], c;
	pid_t pid;

	if (pipe(sync) < 0)
		return -errno;
	pid = proc_clone(CLONE_NEWUSER, -1, &pidfd);
	if (pid == 0) {
		close(sync[1]);
		_exit(read(sync[0], &c, 1) < 0);
	}
	if (pid < 0)
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	status = body_write(path, "0 100000 65536");
	snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
	if (!status)
		status = body_write(path, "0 100000 65536");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (!status)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && !status)
		status = -errno;
	proc_signal(pidfd, SIGKILL);
	proc_wait(pidfd, &ended);
	return fd < 0 ? status : fd;
}

static int idmap_of(const char *path, int fd, int userns)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
	int tree = path ? (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE) : fd;

	if (tree < 0 ||
		syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

static int body_idmap(struct probe_note *n)
{
	int userns, root, tmp, r;

	if (geteuid() != 0)
		return -EPERM;
	r = enter_mounts(false);
	userns = r < 0 ? r : other_userns();
	if (userns < 0)
		return userns;
	root = idmap_of("/", -1, userns);
	tmp = idmap_of(NULL, new_tmpfs(), userns);
	n->detail[0] = root;
	n->detail[1] = tmp;
	return root < 0 && tmp < 0 ? root : 0;
}

static void probe_idmap(const struct iso_probe *self, struct iso_probe_result *ret)
{
	static const char remedy[] = "nothing to do: ownership is shifted while unpacking instead";
	struct probe_note n = {0};
	int r = probe_child(body_idmap, &n);

	(void)self;
	if (r < 0) {
		say_errno(ret, r, "an idmapped mount", remedy);
		return;
	}
	if (!n.detail[0] && !n.detail[1]) {
		probe_say(ret, ISO_PROBE_OK,
			"idmapped mounts work, of the root filesystem and of tmpfs");
		return;
	}
	probe_say(ret, ISO_PROBE_LIMITED, "idmapped mounts work, but not of %s",
		n.detail[0] ? "the root filesystem" : "tmpfs");
	probe_remedy(ret, "%s", remedy);
}

/* --- Locks --- */

static int install_filter(uint32_t action, unsigned int flags)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = ARRAY_SIZE(insns), .filter = insns};
	struct err ignored;
	long r;

	if (iso_no_new_privs(&ignored) < 0)
		return -EPERM;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	return r < 0 ? -errno : (int)r;
}

static int body_seccomp(struct probe_note *n)
{
	int r = install_filter(SECCOMP_RET_ERRNO | EXDEV, 0);

	(void)n;
	if (r < 0)
		return r;
	return syscall(SYS_getppid) < 0 && errno == EXDEV ? 0 : -EINVAL;
}

static int body_notify(struct probe_note *n)
{
	(void)n;
	return install_filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

static void probe_seccomp(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};

	say_errno(ret, probe_child(self->flags ? body_notify : body_seccomp, &n),
		self->flags ? "a seccomp listener" : "a seccomp filter",
		"build the kernel with CONFIG_SECCOMP_FILTER (listeners: Linux 5.0)");
}

static void probe_landlock(const struct iso_probe *self, struct iso_probe_result *ret)
{
	int abi = iso_landlock_abi();

	(void)self;
	if (!abi) {
		probe_say(ret, ISO_PROBE_MISSING, "no Landlock");
		probe_remedy(ret, "Linux 6.12 or newer with 'landlock' in the lsm= boot parameter");
		return;
	}
	probe_say(ret, abi >= 6 ? ISO_PROBE_OK : ISO_PROBE_LIMITED, "Landlock ABI %d%s", abi,
		abi >= 6   ? ": TCP ports, abstract sockets, signals"
		: abi >= 4 ? ": TCP ports, but no scopes"
			   : ": neither TCP ports nor scopes");
	if (abi < 6)
		probe_remedy(ret, "Linux 6.12 or newer");
}

static void probe_apparmor(const struct iso_probe *self, struct iso_probe_result *ret)
{
	AUTO_FD int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
	char c = 'N';

	(void)self;
	if (fd >= 0 && fd_read_full(fd, &c, 1) == 1 && c == 'Y')
		probe_say(ret, ISO_PROBE_OK, "AppArmor is active");
	else
		probe_say(ret, ISO_PROBE_MISSING, "AppArmor is not active");
}

static void probe_selinux(const struct iso_probe *self, struct iso_probe_result *ret)
{
	int64_t enforce = sysctl_value("/sys/fs/selinux/enforce", -1);

	(void)self;
	if (enforce < 0)
		probe_say(ret, ISO_PROBE_MISSING, "SELinux is not active");
	else
		probe_say(ret, ISO_PROBE_OK, "SELinux is %s", enforce ? "enforcing" : "permissive");
}

static void probe_sys_resource(const struct iso_probe *self, struct iso_probe_result *ret)
{
	(void)self;
	if (prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1 && geteuid() == 0) {
		probe_say(ret, ISO_PROBE_OK, "CAP_SYS_RESOURCE is there: limits can be raised");
		return;
	}
	probe_say(ret, ISO_PROBE_LIMITED,
		"no CAP_SYS_RESOURCE: limits cannot be raised above the caller's");
	probe_remedy(ret, "raise the caller's hard limits, or ask for less");
}

/* --- What plain users need to have more than one id --- */

/* The name of the user in '/etc/passwd', without asking any name service; owned, or NULL. */
static char *user_name(uint32_t uid)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	AUTO_FD int etc = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *rest, *line, *field[3];

	if (etc < 0 || file_read(etc, "passwd", TABLE_BYTES_MAX, &text, &ignored) < 0)
		return NULL;
	rest = text.p;
	while ((line = strsep(&rest, "\n"))) {
		uint32_t id;

		for (size_t i = 0; i < ARRAY_SIZE(field); i++)
			field[i] = strsep(&line, ":");
		if (field[2] && parse_id(field[2], &id, &ignored) == 0 && id == uid)
			return str_dup(field[0]);
	}
	return NULL;
}

struct subids {
	uint64_t count; /* of this user's */
	uint64_t next_free; /* after everybody's */
};

/* What a file of subordinate ids (subuid(5)) gives to the user. */
static struct subids subids_of(const char *file, const char *name, uint32_t uid)
{
	struct subids s = {.next_free = SUBIDS_FIRST};
	AUTO_BUF struct buf text = {0};
	AUTO_FD int etc = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *number = str_fmt("%u", uid);
	struct err ignored;
	uint64_t first, n;
	char *rest, *line, *field[3];

	if (etc < 0 || file_read(etc, file, TABLE_BYTES_MAX, &text, &ignored) < 0)
		return s;
	rest = text.p;
	while ((line = strsep(&rest, "\n"))) {
		for (size_t i = 0; i < ARRAY_SIZE(field); i++)
			field[i] = strsep(&line, ":");
		if (!field[2] || parse_u64(field[1], 0, UINT32_MAX, &first, &ignored) < 0 ||
			parse_u64(field[2], 0, UINT32_MAX, &n, &ignored) < 0)
			continue;
		s.next_free = MAX(s.next_free, first + n);
		if (str_eq(field[0], name) || str_eq(field[0], number))
			s.count += n;
	}
	return s;
}

static void probe_subids(const struct iso_probe *self, struct iso_probe_result *ret)
{
	uint32_t uid = getuid();
	AUTO_FREE char *name = user_name(uid);
	struct subids u = subids_of("subuid", name, uid), g = subids_of("subgid", name, uid);
	uint64_t least = MIN(u.count, g.count), next = MAX(u.next_free, g.next_free);

	(void)self;
	if (uid == 0) {
		probe_say(ret, ISO_PROBE_OK, "root maps ids itself");
		return;
	}
	probe_say(ret,
		least >= SUBIDS_WANTED ? ISO_PROBE_OK
		: least                ? ISO_PROBE_LIMITED
				       : ISO_PROBE_MISSING,
		"%llu subordinate uids and %llu gids, of %d wanted", (unsigned long long)u.count,
		(unsigned long long)g.count, SUBIDS_WANTED);
	/* A range that is nobody else's: shared ids are shared files and signals. */
	if (least < SUBIDS_WANTED)
		probe_remedy(ret, "usermod --add-subuids %llu-%llu --add-subgids %llu-%llu %.64s",
			(unsigned long long)next, (unsigned long long)next + SUBIDS_WANTED - 1,
			(unsigned long long)next, (unsigned long long)next + SUBIDS_WANTED - 1,
			name ? name : "USER");
}

/* The file exists and has the privilege that it needs: setuid root, or file capabilities. */
static bool is_privileged_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0)
		return false;
	return st.st_mode & S_ISUID || getxattr(path, "security.capability", NULL, 0) > 0;
}

static void probe_idmap_helpers(const struct iso_probe *self, struct iso_probe_result *ret)
{
	bool u = is_privileged_program("/usr/bin/newuidmap"),
	     g = is_privileged_program("/usr/bin/newgidmap");

	(void)self;
	if (u && g) {
		probe_say(ret, ISO_PROBE_OK,
			"'/usr/bin/newuidmap' and '/usr/bin/newgidmap' are privileged");
		return;
	}
	probe_say(ret, ISO_PROBE_MISSING, "'/usr/bin/%s' is missing or not privileged",
		u ? "newgidmap" : "newuidmap");
	probe_remedy(ret, "install the package uidmap (shadow-utils); without it plain users' "
			  "jails have one id");
}

/* --- The table: tier by tier, as doctor shows it --- */

const char *const iso_probe_state_names[] = {"ok", "limited", "missing", NULL};
const char *const iso_probe_tier_names[] = {"all", "rootless", "vm", "optional", NULL};

const struct iso_probe iso_probes[] = {
	{"kernel", ISO_PROBE_ALL, "system calls that nothing here works without", probe_kernel, 0},
	{"ns-mnt", ISO_PROBE_ALL, "a file tree of its own", probe_namespace, CLONE_NEWNS},
	{"ns-pid", ISO_PROBE_ALL, "processes of its own", probe_namespace, CLONE_NEWPID},
	{"ns-net", ISO_PROBE_ALL, "a network of its own", probe_namespace, CLONE_NEWNET},
	{"ns-ipc", ISO_PROBE_ALL, "System V IPC and message queues of its own", probe_namespace,
		CLONE_NEWIPC},
	{"ns-uts", ISO_PROBE_ALL, "a host name of its own", probe_namespace, CLONE_NEWUTS},
	{"ns-cgroup", ISO_PROBE_ALL, "a view of control groups of its own", probe_namespace,
		CLONE_NEWCGROUP},
	{"ns-user", ISO_PROBE_ALL, "root inside is nobody outside", probe_userns, 0},
	{"openat2", ISO_PROBE_ALL, "paths that cannot leave an image", probe_openat2, 0},
	{"mount-api", ISO_PROBE_ALL, "mounts by descriptor, without races", probe_mount_api, 0},
	{"pidfd", ISO_PROBE_ALL, "processes that cannot be mistaken", probe_pidfd, 0},
	{"seccomp", ISO_PROBE_ALL, "fewer system calls", probe_seccomp, 0},
	{"userns-plain", ISO_PROBE_ROOTLESS, "jails without root", probe_userns, 1},
	{"overlay-plain", ISO_PROBE_ROOTLESS, "images shared without root", probe_overlay, 1},
	{"newuidmap", ISO_PROBE_ROOTLESS, "more than one id without root", probe_idmap_helpers, 0},
	{"subids", ISO_PROBE_ROOTLESS, "ids for plain users' jails", probe_subids, 0},
	{"kvm", ISO_PROBE_VM, "micro-VMs at the speed of the machine", iso_probe_kvm, 0},
	{"ns-time", ISO_PROBE_OPTIONAL, "clock offsets", probe_namespace, CLONE_NEWTIME},
	{"seccomp-notify", ISO_PROBE_OPTIONAL, "profiles that ask another process", probe_seccomp,
		1},
	{"cgroup", ISO_PROBE_OPTIONAL, "limits of memory, processes and cpu that hold",
		probe_cgroup, 0},
	{"cgroup-birth", ISO_PROBE_OPTIONAL, "no instant outside the limits", probe_into_cgroup, 0},
	{"overlay", ISO_PROBE_OPTIONAL, "jails that share an image without copying it",
		probe_overlay, 0},
	{"idmap", ISO_PROBE_OPTIONAL, "one image for jails with different ids", probe_idmap, 0},
	{"landlock", ISO_PROBE_OPTIONAL, "a second lock on sockets and signals", probe_landlock, 0},
	{"apparmor", ISO_PROBE_OPTIONAL, "process.apparmorProfile", probe_apparmor, 0},
	{"selinux", ISO_PROBE_OPTIONAL, "process.selinuxLabel", probe_selinux, 0},
	{"cap-sys-resource", ISO_PROBE_OPTIONAL, "limits above the caller's", probe_sys_resource,
		0},
};
const size_t iso_probe_count = ARRAY_SIZE(iso_probes);

void iso_probe_run(const struct iso_probe *p, struct iso_probe_result *ret)
{
	*ret = (struct iso_probe_result){.state = ISO_PROBE_MISSING};
	p->probe(p, ret);
}

int iso_probe_by_name(const char *name, struct iso_probe_result *ret, struct err *e)
{
	for (size_t i = 0; i < iso_probe_count; i++)
		if (!strcmp(iso_probes[i].name, name)) {
			iso_probe_run(&iso_probes[i], ret);
			return 0;
		}
	return err_set(e, ENOENT, "no probe is called '%.64s'", name);
}
