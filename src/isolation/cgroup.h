/*
 * Control groups: v2, v1 and hybrid behind one interface.
 *
 *	struct iso_cgroup cg = ISO_CGROUP_INIT;
 *	AUTO_FREE char *path = iso_cgroup_path("web");
 *	r = iso_cgroup_create(path, resources, &cg, e);		made, limits set
 *	pid = proc_clone(flags, cg.dir_fd, &pidfd);		born in the v2 group, when there is one
 *	if (!pid)
 *		r = iso_cgroup_enter(&cg, e);			the child joins the v1 groups
 *	...
 *	iso_cgroup_kill(&cg, 5000, e);	SIGKILL to everything inside, and gone before it returns
 *	iso_cgroup_destroy(&cg, e);	removes the directories
 *	iso_cgroup_release(&cg);
 *
 * How a process gets in decides what a start costs.  Moving another process (iso_cgroup_attach,
 * a write to cgroup.procs) takes a lock that all forks of the host read; on an idle host the
 * kernel waits a whole RCU grace period for it, about 9 ms.  Being born inside
 * (CLONE_INTO_CGROUP) and a thread that moves only itself on v1 (iso_cgroup_enter) need no such
 * lock; docs/adr/0004 has the numbers.
 *
 * Every write is proven to land in cgroupfs.  The same relative path is used in every
 * hierarchy, and a jail is in its group in every hierarchy that is mounted, name=systemd and
 * the unified one of a hybrid host included.  On a host without a writable cgroup of ours
 * (plain users without delegation) create succeeds with hard == 0 and says in soft_reason why;
 * then attach, enter, update, freeze, kill and destroy have nothing to do and succeed.
 *
 * Threads: nothing here may run beside another thread that uses the same struct.
 */
#ifndef JAIL_ISOLATION_CGROUP_H
#define JAIL_ISOLATION_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "spec/spec.h"

enum iso_cgroup_mode { ISO_CGROUP_NONE, ISO_CGROUP_V1, ISO_CGROUP_HYBRID, ISO_CGROUP_V2 };

/* Controllers as bits. */
enum iso_controller {
	ISO_CTL_CPU = 1 << 0,
	ISO_CTL_CPUSET = 1 << 1,
	ISO_CTL_MEMORY = 1 << 2,
	ISO_CTL_PIDS = 1 << 3,
	ISO_CTL_IO = 1 << 4,
	ISO_CTL_DEVICES = 1 << 5,
	ISO_CTL_FREEZER = 1 << 6,
	ISO_CTL_HUGETLB = 1 << 7,
	ISO_CTL_CPUACCT = 1 << 8,
	ISO_CTL_RDMA = 1 << 9,
	ISO_CTL_NET = 1 << 10,	/* net_cls and net_prio, v1 only */
};

struct cgroup_set; /* descriptors of every hierarchy; private to cgroup*.c */

struct iso_cgroup {
	enum iso_cgroup_mode mode;
	char *path;	   /* owned: relative to the hierarchy's root, no leading slash; keep this one */
	int dir_fd;	   /* v2 and hybrid: the v2 directory, to be born in; else -1.  Borrowed */
	unsigned int hard; /* ISO_CTL_ bits whose limits really hold */
	char soft_reason[512]; /* why not all do; "" when they do */
	struct cgroup_set *set; /* owned */
};
#define ISO_CGROUP_INIT {.mode = ISO_CGROUP_NONE, .path = NULL, .dir_fd = -1, .set = NULL}

/*
 * What this host offers to the caller: mode, and the controllers in which it may make groups.
 * Asks libcgroup; for doctor, not for the start path.  ISO_CGROUP_NONE fills e with the reason.
 */
enum iso_cgroup_mode iso_cgroup_probe(unsigned int *ret_controllers, struct err *e);

/*
 * Where the group of the jail called name belongs on this host; owned.  v1 and hybrid: one
 * level ("jail-web"), because each level costs a directory in each of some ten hierarchies.
 * v2: below "jail" ("jail/web"), because a group whose controllers a child uses cannot have
 * them taken away by a service manager that tidies the root.  That parent is removed with its
 * last child.
 */
char *iso_cgroup_path(const char *name) __attribute__((malloc, returns_nonnull, nonnull));

/*
 * Makes the group path in every mounted hierarchy (ISO_CGROUP_LEAN: where a limit of res needs
 * it; update and freeze make it in more when they need one), sets resources (may be NULL), and installs
 * the device rules (v1 devices, v2 BPF).  A leading slash is accepted; "", "." and ".."
 * components are -EINVAL.  An existing empty group of that path is replaced by a new one; one
 * with processes in it is -EBUSY.  On failure nothing is left.  For root a limit that cannot be
 * set is an error naming file, value and remedy.  For plain users, whose subtree may lack a
 * controller, its bit is missing in ret->hard and soft_reason says why: the caller decides.
 */
enum { ISO_CGROUP_LEAN = 1 };
int iso_cgroup_create(const char *path, const struct spec_resources *res, unsigned int flags, struct iso_cgroup *ret,
	struct err *e) __attribute__((nonnull(1, 4, 5)));
/*
 * Opens an existing one, for ready, attach, update, stats, kill, destroy; -ENOENT when no
 * hierarchy has it.  path is what create was given, or (better) the path that it left in the
 * struct: a plain user's is below the delegated subtree.
 */
int iso_cgroup_open(const char *path, struct iso_cgroup *ret, struct err *e) __attribute__((nonnull));
/*
 * Opens what iso_cgroup_enter writes to, with the caller's privilege, before a fork; create has
 * done it already.  For an exec: open, ready, clone, enter.
 */
int iso_cgroup_ready(struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));
/*
 * The calling process, which must have one thread and come from proc_clone(.., cg->dir_fd, ..)
 * of a process that holds cg ready, joins the v1 groups.  No privilege of its own is needed,
 * and no path is looked up, so it works after any namespace change.
 */
int iso_cgroup_enter(const struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));
/* Moves a whole process, in the caller's pid namespace.  Slow on an idle host; see above. */
int iso_cgroup_attach(const struct iso_cgroup *cg, pid_t pid, struct err *e) __attribute__((nonnull));
/* Changes limits of a live group; absent values stay as they are. */
int iso_cgroup_update(const struct iso_cgroup *cg, const struct spec_resources *res, struct err *e)
	__attribute__((nonnull));
/* Freezing returns when all are frozen, within 10 s; a failure thaws again. */
int iso_cgroup_freeze(const struct iso_cgroup *cg, bool frozen, struct err *e) __attribute__((nonnull));
/* Sends sig to every process inside, also in child groups; SIGKILL is cgroup.kill where there is one. */
int iso_cgroup_signal(const struct iso_cgroup *cg, int sig, struct err *e) __attribute__((nonnull));
/*
 * SIGKILL, thaws, and waits (at most timeout_ms) until the group is empty; -ETIMEDOUT.  Not for
 * the parent of a process inside that came by exec: the init of a pid namespace does not end
 * before all others in it have been reaped, so both would wait.  An event loop that reaps calls
 * iso_cgroup_signal with SIGKILL instead, which does not wait.
 */
int iso_cgroup_kill(const struct iso_cgroup *cg, uint64_t timeout_ms, struct err *e) __attribute__((nonnull));
/* The pids inside, child groups included; *ret is owned. */
int iso_cgroup_pids(const struct iso_cgroup *cg, pid_t **ret, size_t *ret_n, struct err *e) __attribute__((nonnull));
/*
 * Removes the group and child groups in every hierarchy; missing is success; idempotent.
 * Processes that are just exiting are waited for; living ones are -EBUSY after two seconds.
 */
int iso_cgroup_destroy(struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));
/* The same by path alone, for repair. */
int iso_cgroup_destroy_path(const char *path, struct err *e) __attribute__((nonnull));
void iso_cgroup_release(struct iso_cgroup *cg) __attribute__((nonnull));

/*
 * v1 has no group kill, so the supervisor does it: an owned eventfd that becomes readable when
 * the group runs out of memory, upon which it calls iso_cgroup_kill.  On v2 the kernel kills
 * the group itself (memory.oom.group, set with every memory limit): -EOPNOTSUPP.
 */
int iso_cgroup_oom_eventfd(const struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));
/*
 * v2 and hybrid: an owned descriptor of cgroup.events; poll it for POLLPRI, which comes when
 * "populated" or "frozen" in it changes.  -EOPNOTSUPP on v1.
 */
int iso_cgroup_events_fd(const struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));

/* Usage; a value that the host cannot tell is UINT64_MAX. */
struct iso_stats {
	uint64_t cpu_usage_usec, cpu_user_usec, cpu_system_usec;
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_usec;
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes, memory_swap_bytes;
	uint64_t memory_anon_bytes, memory_file_bytes, memory_kernel_bytes;
	uint64_t oom_kills;
	uint64_t pids, pids_limit;
	uint64_t io_read_bytes, io_write_bytes, io_reads, io_writes;
};
int iso_cgroup_stats(const struct iso_cgroup *cg, struct iso_stats *ret, struct err *e) __attribute__((nonnull));

#endif
