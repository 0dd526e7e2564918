#include "isolation/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"

void start_init(struct start *s)
{
	*s = (struct start){.proc_fd = -1, .p_sync = -1, .c_sync = -1, .root_fd = -1, .layer_fd = -1,
		.scratch_fd = -1, .new_root_fd = -1, .mask_fd = -1, .devpts_fd = -1, .proc_mnt_fd = -1, .pty_slave_fd = -1,
		.trace_fd = -1};
	for (int k = 0; k < SPEC_NS_KINDS; k++)
		s->ns_join[k] = -1;
}

void start_release(struct start *s)
{
	int *fds[] = {&s->proc_fd, &s->p_sync, &s->c_sync, &s->root_fd, &s->layer_fd, &s->scratch_fd,
		&s->new_root_fd, &s->mask_fd, &s->devpts_fd, &s->proc_mnt_fd, &s->pty_slave_fd, &s->trace_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	for (int k = 0; k < SPEC_NS_KINDS; k++)
		fd_close(&s->ns_join[k]);
	for (size_t i = 0; s->lower_fds && i < s->o->overlay->lower.n; i++)
		fd_close(&s->lower_fds[i]);
	for (size_t i = 0; i < s->n_devices; i++)
		fd_close(&s->devices[i].source_fd);
	for (size_t i = 0; i < s->n_mounts; i++) {
		fd_close(&s->mounts[i].source_fd);
		mount_opts_release(&s->mounts[i].opts);
	}
	free(s->lower_fds);
	free(s->devices);
	free(s->mounts);
	free(s->exec_path);
}

int sync_send(int sock, enum sync_kind kind, int fd)
{
	const struct sync_msg msg = {.kind = kind};

	return fd_send(sock, &msg, offsetof(struct sync_msg, err), &fd, fd >= 0);
}

int sync_send_err(int sock, const struct err *err)
{
	struct sync_msg msg = {.kind = SYNC_ERROR, .err = *err};

	return fd_send(sock, &msg, sizeof(msg), NULL, 0);
}

int sync_recv(int sock, struct sync_msg *ret, int *ret_fd)
{
	size_t n_fds = ret_fd ? 1 : 0;
	int fd = -1;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	n = fd_recv(sock, ret, sizeof(*ret), &fd, &n_fds);
	if (n <= 0)
		return n == -ECONNRESET ? 0 : (int)n;
	if ((size_t)n < offsetof(struct sync_msg, err) || (ret->kind == SYNC_ERROR && (size_t)n != sizeof(*ret))) {
		fd_close(&fd);
		return -EPROTO;
	}
	if (ret->kind == SYNC_ERROR)
		err_sanitize(&ret->err);
	if (ret_fd)
		*ret_fd = n_fds ? fd : -1;
	return (int)ret->kind;
}

/* P, before birth. */

static bool has_cap(unsigned int cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return !syscall(SYS_capget, &head, data) && data[cap / 32].effective & 1u << cap % 32;
}

static int prepare_host(struct start *s, struct err *e)
{
	int socks[2];

	s->privileged = has_cap(CAP_SYS_ADMIN);
	s->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0)
		return err_sys(e, "cannot open '/proc'");
	if (file_check_fs(s->proc_fd, FILE_PROC, "/proc", e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return err_sys(e, "cannot make the sync socket");
	s->p_sync = socks[0];
	s->c_sync = socks[1];
	return 0;
}

static int prepare_mounts(struct start *s, struct err *e)
{
	s->mounts = mem_new_array(s->spec->n_mounts, sizeof(*s->mounts));
	for (size_t i = 0; i < s->spec->n_mounts; i++) {
		struct mount_plan *p = &s->mounts[s->n_mounts];

		*p = (struct mount_plan){.m = &s->spec->mounts[i], .source_fd = -1};
		if (mount_opts_parse(p->m, &p->opts, e) < 0)
			return -e->code;
		s->n_mounts++;
		if (p->opts.idmap && !s->privileged)
			return err_set(e, EPERM, "mount on '%s': id-mapped mounts need root", p->m->destination);
		if (p->opts.bind ? !p->m->source : !p->m->type)
			return err_set(e, EINVAL, "mount on '%s' has no %s", p->m->destination, p->opts.bind ? "source" : "type");
	}
	return devices_plan(s, e);
}

static int prepare_sources(struct start *s, struct err *e)
{
	return s->privileged ? sources_open(s, e) : 0;
}

/* P, after birth. */

/*
 * No process of a user namespace may raise a limit of the host's, and an undumpable one may not
 * even open its own OOM score.  Ceilings are raised here; the limits themselves X sets, last.
 */
int serve_limits(struct start *s, pid_t pid, struct err *e)
{
	const struct spec_process *p = s->process;
	bool clamp = s->o ? s->o->clamp_rlimits : s->x->clamp_rlimits;

	if (!p)
		return 0;
	for (size_t i = 0; has_cap(CAP_SYS_RESOURCE) && i < p->n_rlimits; i++) {
		struct rlimit now;

		if (prlimit(pid, (enum __rlimit_resource)p->rlimits[i].type, NULL, &now) < 0 || now.rlim_max >= p->rlimits[i].hard)
			continue;
		now.rlim_max = p->rlimits[i].hard;
		prlimit(pid, (enum __rlimit_resource)p->rlimits[i].type, &now, NULL); /* X will say if not */
	}
	return p->has_oom_score_adj ? iso_oom_score_set(s->proc_fd, pid, p->oom_score_adj, clamp, e) : 0;
}

static int serve_child_limits(struct start *s, struct err *e)
{
	return serve_limits(s, s->jail->pid, e);
}

static int serve_go(struct start *s, struct err *e)
{
	return sync_send(s->p_sync, SYNC_GO, -1) < 0 ? err_set(e, EPIPE, "the jail's first process died at birth") : 0;
}

/* C. */

static int build_wait(struct start *s, struct err *e)
{
	struct sync_msg msg;

	(void)e;
	fd_close(&s->p_sync);
	if (sync_recv(s->c_sync, &msg, NULL) != SYNC_GO)
		_exit(ERR_EXIT_TOOL); /* P has gone or failed; it knows why */
	return 0;
}

/* On v2 it was born inside; moving it from outside would wait for RCU, see isolation/cgroup.h. */
static int build_cgroup(struct start *s, struct err *e)
{
	if (!s->o->cgroup)
		return 0;
	if (iso_cgroup_enter(s->o->cgroup, e) < 0)
		return -e->code;
	if (s->ns_new & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, "cannot create the cgroup namespace");
	return 0;
}

/* Where P could not copy mounts, C does in its own namespace: before anything is covered. */
static int build_sources(struct start *s, struct err *e)
{
	return s->privileged ? 0 : sources_open(s, e);
}

static int build_hooks(struct start *s, struct err *e)
{
	struct sync_msg msg;

	if (s->o->runtime_hooks) {
		if (sync_send(s->c_sync, SYNC_HOOKS, -1) < 0 || sync_recv(s->c_sync, &msg, NULL) != SYNC_GO)
			_exit(ERR_EXIT_TOOL);
	}
	return hooks_run(s->spec, SPEC_HOOK_CREATE_CONTAINER, s->o->hook_state, e);
}

/* X. */

static int confine_signals(struct start *s, struct err *e)
{
	(void)s;
	return iso_signals_reset(e);
}

static int confine_keyring(struct start *s, struct err *e)
{
	bool made;

	(void)s;
	return iso_keyring_new(&made, e);
}

static int confine_limits(struct start *s, struct err *e)
{
	const struct spec_process *p = s->process;

	return iso_rlimits_apply(p->rlimits, p->n_rlimits, s->o ? s->o->clamp_rlimits : s->x->clamp_rlimits, e);
}

static int confine_scheduling(struct start *s, struct err *e)
{
	const struct spec_process *p = s->process;
	const struct spec_cpu_affinity *a = p->exec_cpu_affinity;

	if (iso_scheduler_apply(p->scheduler, e) < 0 || iso_io_priority_apply(p->io_priority, e) < 0 ||
		iso_memory_policy_apply(s->spec->linux.memory_policy, e) < 0)
		return -e->code;
	return s->x && a ? iso_cpu_affinity_apply(a->final ? a->final : a->initial, e) : 0;
}

static int confine_labels(struct start *s, struct err *e)
{
	if (iso_personality_apply(s->spec->linux.personality, e) < 0)
		return -e->code;
	return iso_exec_label_apply(s->proc_fd, s->process->apparmor_profile, s->process->selinux_label, e);
}

/* A joiner that names no capabilities of its own has the jail's. */
static const struct spec_capabilities *caps_of(const struct start *s)
{
	if (s->process->capabilities || !s->x || !s->spec->process)
		return s->process->capabilities;
	return s->spec->process->capabilities;
}

static int confine_bounding(struct start *s, struct err *e)
{
	if (iso_caps_check(caps_of(s), e) < 0)
		return -e->code;
	return s->bounded ? 0 : iso_bounding_apply(caps_of(s), e);
}

static int confine_ids(struct start *s, struct err *e)
{
	if (iso_ids_apply(&s->process->user, e) < 0)
		return -e->code;
	iso_umask_apply(&s->process->user);
	/* The change of ids made it so once more; whoever it may be now, nobody inside may look. */
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? err_sys(e, "cannot become unreadable") : 0;
}

static int confine_start_hooks(struct start *s, struct err *e)
{
	return s->o ? hooks_run(s->spec, SPEC_HOOK_START_CONTAINER, s->o->hook_state, e) : 0;
}

static int confine_locks(struct start *s, struct err *e)
{
	struct iso_landlock got;
	const struct iso_landlock *ask = s->o ? &s->o->landlock : &s->x->landlock;

	if (s->process->no_new_privileges && iso_no_new_privs(e) < 0)
		return -e->code;
	if (!ask->scope && !ask->deny_bind && !ask->deny_connect)
		return 0;
	return iso_landlock_apply(ask, &got, e);
}

/*
 * Without no_new_privs only CAP_SYS_ADMIN may install a filter, so it goes in before the
 * capabilities are given up; its profile must then allow capset.
 */
static int confine_caps(struct start *s, struct err *e)
{
	if (!s->process->no_new_privileges && program_filter(s, e) < 0)
		return -e->code;
	if (iso_caps_apply(caps_of(s), e) < 0)
		return -e->code;
	/* Losing capabilities cleared it. */
	if (s->o && s->o->die_with_parent && !s->o->init && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "cannot ask to die with the parent");
	return 0;
}

const struct stage iso_stages[] = {
	{"namespaces", STAGE_PREPARE, ns_plan, "P: the caller's; opens what is joined"},
	{"host", STAGE_PREPARE, prepare_host, "P: the caller's; opens procfs"},
	{"mount plan", STAGE_PREPARE, prepare_mounts, "P: none"},
	{"sources", STAGE_PREPARE, prepare_sources, "P: CAP_SYS_ADMIN, to copy mounts; reads what only the caller may"},

	{"id maps", STAGE_SERVE, ns_write_maps, "P: CAP_SETUID and CAP_SETGID, to map ids that are not its own"},
	{"ceilings", STAGE_SERVE, serve_child_limits, "P: CAP_SYS_RESOURCE where a limit is raised"},
	{"id-mapped mounts", STAGE_SERVE, sources_idmap, "P: CAP_SYS_ADMIN over the filesystems"},
	{"hold", STAGE_SERVE, ns_keep, "P: none; C is still its own process to look at"},
	{"go", STAGE_SERVE, serve_go, "P: none"},

	{"wait", STAGE_BUILD, build_wait, "C: all, in the new user namespace; over the host none"},
	{"cgroup", STAGE_BUILD, build_cgroup, "C: CAP_SYS_ADMIN, for the namespace; the groups' files are P's"},
	{"identity", STAGE_BUILD, identity_root, "C: CAP_SETUID, CAP_SETGID inside"},
	{"time", STAGE_BUILD, ns_time_offsets, "C: CAP_SYS_TIME inside, for the offsets"},
	{"names", STAGE_BUILD, identity_names, "C: CAP_SYS_ADMIN for the names, CAP_NET_ADMIN for lo"},
	{"own sources", STAGE_BUILD, build_sources, "C: a plain user's: CAP_SYS_ADMIN inside, to copy mounts"},
	{"scratch", STAGE_BUILD, root_scratch, "C: CAP_SYS_ADMIN, to mount"},
	{"root", STAGE_BUILD, root_make, "C: CAP_SYS_ADMIN, to mount"},
	{"mounts", STAGE_BUILD, root_mounts, "C: CAP_SYS_ADMIN, to mount"},
	{"files", STAGE_BUILD, root_files, "C: CAP_SYS_ADMIN, to mount"},
	{"devices", STAGE_BUILD, devices_make, "C: CAP_MKNOD where it has it; else nodes are bound"},
	{"console", STAGE_BUILD, console_make, "C: CAP_SYS_ADMIN, to bind it"},
	{"masks", STAGE_BUILD, root_masks, "C: CAP_SYS_ADMIN, to mount"},
	{"hooks", STAGE_BUILD, build_hooks, "C: as the specification demands"},
	{"pivot", STAGE_BUILD, root_pivot, "C: CAP_SYS_ADMIN; the host's tree is gone after it"},
	{"sysctl", STAGE_BUILD, identity_sysctl, "C: owner of the namespaces"},
	{"read-only", STAGE_BUILD, root_read_only, "C: CAP_SYS_ADMIN, for the last time"},
	{"init", STAGE_BUILD, init_split, "C as PID 1 of ours: CAP_KILL from here on"},

	{"signals", STAGE_CONFINE, confine_signals, "X: all, inside"},
	{"session", STAGE_CONFINE, program_session, "X: none needed"},
	{"stdio", STAGE_CONFINE, program_stdio, "X: CAP_CHOWN inside, for the terminal"},
	{"keyring", STAGE_CONFINE, confine_keyring, "X: none needed; before the ids change"},
	{"limits", STAGE_CONFINE, confine_limits, "X: none needed to lower them"},
	{"scheduling", STAGE_CONFINE, confine_scheduling, "X: CAP_SYS_NICE where asked for"},
	{"labels", STAGE_CONFINE, confine_labels, "X: none needed; takes effect at exec"},
	{"working folder", STAGE_CONFINE, program_cwd, "X: CAP_DAC_OVERRIDE inside, to make it"},
	{"bounding set", STAGE_CONFINE, confine_bounding, "X: CAP_SETPCAP"},
	{"ids", STAGE_CONFINE, confine_ids, "X: CAP_SETUID, CAP_SETGID, the last time"},
	{"program", STAGE_CONFINE, program_find, "X: looks with the program's own ids"},
	{"created", STAGE_CONFINE, program_created, "X: waits"},
	{"start hooks", STAGE_CONFINE, confine_start_hooks, "X: as the specification demands"},
	{"locks", STAGE_CONFINE, confine_locks, "X: none needed with no_new_privs"},
	{"capabilities", STAGE_CONFINE, confine_caps, "X: only what the spec grants from here on"},
};
const size_t iso_n_stages = ARRAY_SIZE(iso_stages);

static void trace(struct start *s, const char *name)
{
	uint64_t now;

	s->stage = name;
	if (s->trace_fd < 0)
		return;
	now = time_mono_ns();
	dprintf(s->trace_fd, "%d %s %llu us\n", (int)getpid(), name,
		(unsigned long long)(now - s->stage_began_ns) / 1000);
	s->stage_began_ns = now;
}

#ifdef JAIL_FAULT
/* JAIL_FAULT_STAGE="name:kill" or "name:fail": test builds only (make fault). */
static int fault(const char *name, struct err *e)
{
	const char *want = getenv("JAIL_FAULT_STAGE");
	size_t n = strlen(name);

	if (!want || strncmp(want, name, n) || want[n] != ':')
		return 0;
	if (!strcmp(want + n + 1, "kill"))
		kill(getpid(), SIGKILL);
	return err_set(e, EIO, "fault injected at stage '%s'", name);
}
#else
static int fault(const char *name, struct err *e)
{
	(void)name;
	(void)e;
	return 0;
}
#endif

int stage_run(struct start *s, enum stage_role role, struct err *e)
{
	for (size_t i = 0; i < iso_n_stages; i++) {
		const struct stage *st = &iso_stages[i];
		int r;

		if (st->role != role)
			continue;
		r = fault(st->name, e);
		if (!r)
			r = st->run(s, e);
		if (r < 0)
			return r;
		trace(s, st->name);
	}
	return 0;
}
