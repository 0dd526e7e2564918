/*
 * Namespaces: which are new, which are joined, the birth of C, and the id maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "isolation/stages.h"

enum { MAP_EXTENTS_MAX = 340, MAP_TOOL_TIMEOUT_MS = 10000 };

static const struct {
	uint64_t flag;
	const char *proc_name;
} kinds[SPEC_NS_KINDS] = {
	[SPEC_NS_PID] = {CLONE_NEWPID, "pid"},
	[SPEC_NS_NETWORK] = {CLONE_NEWNET, "net"},
	[SPEC_NS_MOUNT] = {CLONE_NEWNS, "mnt"},
	[SPEC_NS_IPC] = {CLONE_NEWIPC, "ipc"},
	[SPEC_NS_UTS] = {CLONE_NEWUTS, "uts"},
	[SPEC_NS_USER] = {CLONE_NEWUSER, "user"},
	[SPEC_NS_CGROUP] = {CLONE_NEWCGROUP, "cgroup"},
	[SPEC_NS_TIME] = {CLONE_NEWTIME, "time"},
};

uint64_t ns_flag(enum spec_ns_kind kind)
{
	return kinds[kind].flag;
}

static int open_joined(struct start *s, const struct spec_namespace *ns, struct err *e)
{
	int fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int type;

	if (fd < 0)
		return err_sys(e, "cannot open %s namespace '%s'", spec_ns_names[ns->type], ns->path);
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type != (int)kinds[ns->type].flag) {
		close(fd);
		return err_set(e, EINVAL, "'%s' is not a %s namespace", ns->path, spec_ns_names[ns->type]);
	}
	s->ns_join[ns->type] = fd;
	return 0;
}

int ns_plan(struct start *s, struct err *e)
{
	const struct spec_linux *l = &s->spec->linux;

	for (size_t i = 0; i < l->n_namespaces; i++) {
		const struct spec_namespace *ns = &l->namespaces[i];

		if (!ns->path)
			s->ns_new |= kinds[ns->type].flag;
		else if (open_joined(s, ns, e) < 0)
			return -e->code;
	}
	s->new_user = s->ns_new & CLONE_NEWUSER;
	if (!(s->ns_new & CLONE_NEWNS) && s->ns_join[SPEC_NS_MOUNT] < 0)
		return err_set(e, EINVAL, "linux.namespaces: a mount namespace is needed to build the root in");
	return 0;
}

/* "inside outside count" lines for the kernel (user_namespaces(7)). */
static char *map_text(const struct spec_id_mapping *m, size_t n)
{
	struct buf b = {0};

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%u %u %u\n", m[i].container_id, m[i].host_id, m[i].size);
	return b.p;
}

/* Whether a plain user may write the map itself: one id, its own. */
static bool is_own_id(const struct spec_id_mapping *m, size_t n, uint32_t own)
{
	return n == 1 && m[0].size == 1 && m[0].host_id == own;
}

static int run_map_tool(const char *tool, pid_t pid, const struct spec_id_mapping *m, size_t n, struct err *e)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_BUF struct buf output = {0};
	int status, r;

	strv_add(&argv, tool);
	strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; i < n; i++) {
		strv_addf(&argv, "%u", m[i].container_id);
		strv_addf(&argv, "%u", m[i].host_id);
		strv_addf(&argv, "%u", m[i].size);
	}
	r = proc_run(&(struct proc_cmd){.path = tool, .argv = argv.v, .output = &output, .timeout_ms = MAP_TOOL_TIMEOUT_MS},
		&status, e);
	if (r < 0)
		return err_hint(e, "a plain user's id ranges need the package 'uidmap'");
	if (status != 0) {
		AUTO_FREE char *said = str_visible(output.n ? output.p : "");

		return err_set(e, EPERM, "'%s' refused the id map: %.200s; check /etc/subuid and /etc/subgid", tool, said);
	}
	return 0;
}

struct map_kind {
	const char *file, *tool;
	const struct spec_id_mapping *m;
	size_t n;
	uint32_t own;
};

static int write_map(struct start *s, const struct map_kind *k, struct err *e)
{
	AUTO_FREE char *path = str_fmt("%d/%s", (int)s->jail->pid, k->file);
	AUTO_FREE char *text = NULL;

	if (k->n > MAP_EXTENTS_MAX)
		return err_set(e, EINVAL, "id map has %zu extents; the kernel takes %d", k->n, MAP_EXTENTS_MAX);
	if (geteuid() != 0 && !is_own_id(k->m, k->n, k->own))
		return run_map_tool(k->tool, s->jail->pid, k->m, k->n, e);
	text = map_text(k->m, k->n);
	if (file_write_kernel(s->proc_fd, path, FILE_PROC, text, e) < 0)
		return err_prefix(e, "cannot map the jail's ids");
	return 0;
}

int ns_write_maps(struct start *s, struct err *e)
{
	const struct spec_linux *l = &s->spec->linux;
	const struct map_kind maps[] = {
		{"gid_map", "/usr/bin/newgidmap", l->gid_mappings, l->n_gid_mappings, getegid()},
		{"uid_map", "/usr/bin/newuidmap", l->uid_mappings, l->n_uid_mappings, geteuid()},
	};

	if (!s->new_user)
		return 0;
	if (!l->n_uid_mappings || !l->n_gid_mappings)
		return err_set(e, EINVAL, "linux.uidMappings and linux.gidMappings: a new user namespace needs both");
	/* An unprivileged writer of gid_map must give setgroups up first; user_namespaces(7). */
	if (geteuid() != 0 && is_own_id(l->gid_mappings, l->n_gid_mappings, getegid())) {
		AUTO_FREE char *path = str_fmt("%d/setgroups", (int)s->jail->pid);

		if (file_write_kernel(s->proc_fd, path, FILE_PROC, "deny", e) < 0)
			return -e->code;
	}
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		if (write_map(s, &maps[i], e) < 0)
			return -e->code;
	return 0;
}

static int explain_birth(int code, struct err *e)
{
	err_set(e, code, "cannot create the jail's namespaces: %s", strerrordesc_np(code));
	switch (code) {
	case EPERM:
		return err_hint(e, "the host refuses user namespaces to this caller "
				   "(chroot, AppArmor or kernel.unprivileged_userns_clone); see jail doctor");
	case ENOSPC:
		return err_hint(e, "a limit in /proc/sys/user/max_*_namespaces is reached");
	case EAGAIN:
		return err_hint(e, "the limit on processes of this user or cgroup is reached");
	case EINVAL:
		return err_hint(e, "this kernel lacks one of them; see jail doctor");
	default:
		return -code;
	}
}

/*
 * The kernel charges what a user namespace's members use (inotify instances, pending signals,
 * and so on) to the euid that created it.  For root's jails that must be the jail's own host
 * id, else one jail can take root's whole budget.  The raw call changes this thread only, and
 * the bit keeps capabilities through the change.
 */
static int assume_creator(uint32_t id)
{
	if (!id)
		return 0;
	if (prctl(PR_SET_SECUREBITS, 1u << 2 /* SECBIT_NO_SETUID_FIXUP */) < 0)
		return -errno;
	return syscall(SYS_setresuid, -1, id, -1) < 0 ? -errno : 0;
}

static void drop_creator(uint32_t id)
{
	if (!id)
		return;
	if (syscall(SYS_setresuid, -1, getuid(), -1) < 0)
		abort();
	prctl(PR_SET_SECUREBITS, 0);
}

static uint64_t birth_flags(const struct start *s)
{
	const struct spec_linux *l = &s->spec->linux;
	uint64_t flags = s->ns_new;

	/* Offsets can be set only while nobody is inside: then C makes it (ns_time_offsets). */
	if (l->monotonic || l->boottime)
		flags &= ~(uint64_t)CLONE_NEWTIME;
	/* Its root is the group that the maker is in at that moment: C makes it once it has entered. */
	if (s->o && s->o->cgroup)
		flags &= ~(uint64_t)CLONE_NEWCGROUP;
	return flags;
}

static pid_t clone_child(struct start *s, uint64_t extra, int cgroup_fd, int *ret_pidfd)
{
	uint32_t creator = s->new_user ? s->o->creator_id : 0;
	int r = assume_creator(creator);
	pid_t pid;

	if (r < 0)
		return r;
	pid = proc_clone(birth_flags(s) | extra, cgroup_fd, ret_pidfd);
	/* In C the new namespace has reset both, and no id is mapped yet. */
	if (pid != 0)
		drop_creator(creator);
	return pid;
}

/* M: enters what is joined and gives birth to C as P's child.  Returns in C only. */
static void middle(struct start *s)
{
	struct sync_msg msg = {.kind = SYNC_GO};
	struct err e = {0};
	int pidfd = -1;
	pid_t pid;

	if (ns_join_fds(s->ns_join, &e) < 0) {
		sync_send_err(s->c_sync, &e);
		_exit(1);
	}
	pid = clone_child(s, CLONE_PARENT, -1, &pidfd);
	if (pid == 0)
		return;
	if (pid < 0) {
		explain_birth(-pid, &e);
		sync_send_err(s->c_sync, &e);
		_exit(1);
	}
	msg.value = pid;
	fd_send(s->c_sync, &msg, sizeof(msg), &pidfd, 1);
	_exit(0);
}

static bool has_joins(const struct start *s)
{
	for (int k = 0; k < SPEC_NS_KINDS; k++)
		if (s->ns_join[k] >= 0)
			return true;
	return false;
}

static int birth_through_middle(struct start *s, int cgroup_fd, struct err *e)
{
	AUTO_FD int m_pidfd = -1;
	struct sync_msg msg;
	pid_t m = proc_clone(0, cgroup_fd, &m_pidfd);
	int status, r;

	if (m == 0) {
		middle(s);
		return 1;
	}
	if (m < 0)
		return explain_birth(-m, e);
	r = sync_recv(s->p_sync, &msg, &s->jail->pidfd);
	proc_wait(m_pidfd, &status);
	if (r == SYNC_ERROR) {
		*e = msg.err;
		return -e->code;
	}
	if (r != SYNC_GO || s->jail->pidfd < 0)
		return err_set(e, ECHILD, "the process that joins namespaces died (status %#x)", status);
	s->jail->pid = msg.value;
	return 0;
}

int ns_birth(struct start *s, struct err *e)
{
	int cgroup_fd = s->o->cgroup ? s->o->cgroup->dir_fd : -1;
	pid_t pid;

	if (has_joins(s))
		return birth_through_middle(s, cgroup_fd, e);
	pid = clone_child(s, 0, cgroup_fd, &s->jail->pidfd);
	if (pid == 0)
		return 1;
	if (pid < 0)
		return explain_birth(-pid, e);
	s->jail->pid = pid;
	return 0;
}

/* C: a time namespace with offsets is made, set while it is empty, and then entered. */
int ns_time_offsets(struct start *s, struct err *e)
{
	const struct spec_time_offset *offsets[] = {s->spec->linux.monotonic, s->spec->linux.boottime};
	static const char *const clocks[] = {"monotonic", "boottime"};

	if (!(s->ns_new & CLONE_NEWTIME) || (!offsets[0] && !offsets[1]))
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(e, "cannot create the time namespace");
	/* An unreadable process may not write its own entries of /proc: for these two lines it is not. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return err_sys(e, "cannot set the time offsets");
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		AUTO_FREE char *line = NULL;

		if (!offsets[i])
			continue;
		line = str_fmt("%s %lld %u", clocks[i], (long long)offsets[i]->secs, offsets[i]->nanosecs);
		if (file_write_kernel(s->proc_fd, "self/timens_offsets", FILE_PROC, line, e) < 0)
			return err_prefix(e, "linux.timeOffsets.%s", clocks[i]);
	}
	AUTO_FD int fd = openat(s->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return err_sys(e, "cannot enter the new time namespace");
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? err_sys(e, "cannot become unreadable") : 0;
}

/*
 * P, a plain user: keeps hold of the new namespaces while C can still be looked at.  From the
 * time when C makes itself undumpable only a capability over the host's user namespace could.
 */
int ns_keep(struct start *s, struct err *e)
{
	for (int k = 0; k < SPEC_NS_KINDS && !s->privileged; k++) {
		AUTO_FREE char *path = str_fmt("%d/ns/%s", (int)s->jail->pid, kinds[k].proc_name);

		if (!(birth_flags(s) & kinds[k].flag))
			continue;
		s->jail->ns_fds[k] = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
		if (s->jail->ns_fds[k] < 0)
			return err_sys(e, "cannot keep the jail's %s namespace", spec_ns_names[k]);
	}
	return 0;
}

/* User first: it gives the capabilities that entering the others takes. */
static const enum spec_ns_kind join_order[] = {SPEC_NS_USER, SPEC_NS_MOUNT, SPEC_NS_NETWORK, SPEC_NS_IPC, SPEC_NS_UTS,
	SPEC_NS_CGROUP, SPEC_NS_TIME, SPEC_NS_PID};

int ns_join_fds(const int fds[SPEC_NS_KINDS], struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(join_order); i++) {
		int fd = fds[join_order[i]];

		if (fd >= 0 && setns(fd, (int)kinds[join_order[i]].flag) < 0)
			return err_sys(e, "cannot join the %s namespace", spec_ns_names[join_order[i]]);
	}
	return 0;
}
