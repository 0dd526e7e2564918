/*
 * Control groups: v2, v1 and hybrid behind one interface.
 *
 *	struct iso_cgroup cg = ISO_CGROUP_INIT;
 *	r = iso_cgroup_create("jail/web", resources, &cg, e);	made, limits set
 *	...  iso_cgroup_attach(&cg, pid, e), or born inside by iso_cgroup_fd ...
 *	iso_cgroup_kill(&cg, e);	SIGKILL to everything inside, and gone before it returns
 *	iso_cgroup_destroy(&cg, e);	removes the directories
 *
 * Every write is proven to land in cgroupfs.  The same relative path is used in every
 * hierarchy.  On a host without a writable cgroup of ours (plain users without delegation)
 * create succeeds with hard == 0 and says in soft_reason why.
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

struct iso_cgroup {
	enum iso_cgroup_mode mode;
	char *path;	   /* owned: relative to the hierarchy's root, no leading slash */
	int dir_fd;	   /* v2: the cgroup's directory, to be born in; -1 on v1 */
	unsigned int hard; /* ISO_CTL_ bits whose limits really hold */
	char soft_reason[256]; /* why not all do; "" when they do */
};
#define ISO_CGROUP_INIT {.mode = ISO_CGROUP_NONE, .path = NULL, .dir_fd = -1}

/* What this host offers to the caller: mode, and the controllers in which it may make groups. */
enum iso_cgroup_mode iso_cgroup_probe(unsigned int *ret_controllers, struct err *e);

/*
 * Makes the group path in every hierarchy that a limit needs, sets resources (may be NULL),
 * and installs the device rules (v1 devices, v2 BPF).  An existing empty group of that path is
 * taken over; one with processes in it is -EBUSY.  On failure nothing is left.  A limit that
 * is asked for explicitly and cannot be set is an error naming file, value and remedy.
 */
int iso_cgroup_create(const char *path, const struct spec_resources *res, struct iso_cgroup *ret, struct err *e)
	__attribute__((nonnull(1, 3, 4)));
/* Opens an existing one, for attach, update, stats, kill, destroy. */
int iso_cgroup_open(const char *path, struct iso_cgroup *ret, struct err *e) __attribute__((nonnull));
int iso_cgroup_attach(const struct iso_cgroup *cg, pid_t pid, struct err *e) __attribute__((nonnull));
/* Changes limits of a live group; absent values stay as they are. */
int iso_cgroup_update(const struct iso_cgroup *cg, const struct spec_resources *res, struct err *e)
	__attribute__((nonnull));
int iso_cgroup_freeze(const struct iso_cgroup *cg, bool frozen, struct err *e) __attribute__((nonnull));
/* Sends sig to every process inside, also in child groups; SIGKILL is cgroup.kill where there is one. */
int iso_cgroup_signal(const struct iso_cgroup *cg, int sig, struct err *e) __attribute__((nonnull));
/* SIGKILL, thaws, and waits (at most timeout_ms) until the group is empty. */
int iso_cgroup_kill(const struct iso_cgroup *cg, uint64_t timeout_ms, struct err *e) __attribute__((nonnull));
/* The pids inside, child groups included; *ret is owned. */
int iso_cgroup_pids(const struct iso_cgroup *cg, pid_t **ret, size_t *ret_n, struct err *e) __attribute__((nonnull));
/* Removes the group and child groups in every hierarchy; missing is success; idempotent. */
int iso_cgroup_destroy(struct iso_cgroup *cg, struct err *e) __attribute__((nonnull));
/* The same by path alone, for repair. */
int iso_cgroup_destroy_path(const char *path, struct err *e) __attribute__((nonnull));
void iso_cgroup_release(struct iso_cgroup *cg) __attribute__((nonnull));

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
