/*
 * What the files cgroup*.c share; nobody else includes this.
 *
 * A host has one or more hierarchies: v1 ones, each with some controllers or a name, and at
 * most one v2.  Each is a row of struct cgroup_set with the table of operations for its
 * version, so that "hybrid" is no third case: it is a set with rows of both kinds.
 */
#ifndef JAIL_ISOLATION_CGROUP_INT_H
#define JAIL_ISOLATION_CGROUP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "isolation/cgroup.h"
#include "spec/spec.h"

enum {
	CGROUP_HIERS_MAX = 24,
	CGROUP_FILE_MAX = 1 << 20, /* bytes of any control file that is read */
	CGROUP_DEPTH_MAX = 64,	   /* levels of child groups below one of ours */
	CGROUP_WAIT_MS = 2000,	   /* for exiting processes, when a group is removed */
	CGROUP_FREEZE_MS = 10000,
};

struct cgroup_ops;

struct cgroup_hier {
	const struct cgroup_ops *ops;
	unsigned int ctl; /* ISO_CTL_ bits that it can limit for our group */
	char *name;	  /* owned; "memory", "cpu,cpuacct", "name=systemd", "unified" */
	char *point;	  /* owned; where it is mounted, for messages */
	char *base;	  /* owned; "" or the delegated subtree, relative to the mount */
	char *path;	  /* owned; our group relative to the mount, or NULL */
	int top_fd;	  /* owned; the mount's root, proven to be cgroupfs */
	int dir_fd;	  /* owned; our group, or -EBADF */
	int tasks_fd;	  /* owned; v1: where a thread writes "0" to join */
	bool made;	  /* by this call: to be undone when it fails */
};

struct cgroup_set {
	struct cgroup_hier h[CGROUP_HIERS_MAX];
	size_t n;
	struct cgroup_hier *v2; /* the row of the v2 hierarchy, or NULL */
	char why_not[256]; /* why there is no hierarchy, or not every controller */
};

/* One write to one control file. */
enum cgroup_write_flag {
	CGROUP_OR_AFTER_NEXT = 1, /* refused now, the kernel may take it after the next one */
	CGROUP_OR_NEXT = 2,	  /* where the file is missing the next row is its other name */
	CGROUP_OPTIONAL = 4,	  /* a missing file is fine */
};
struct cgroup_write {
	const char *file; /* a literal, or .owned */
	char *value;	  /* owned */
	unsigned int flags;
	unsigned int ctl;
	char *owned; /* a file name that had to be made */
};
struct cgroup_plan {
	struct cgroup_write *w;
	size_t n, cap;
};
void cgroup_plan_add(struct cgroup_plan *p, unsigned int ctl, unsigned int flags, const char *file,
	const char *fmt, ...) __attribute__((format(printf, 5, 6), nonnull));
/* The same where the file's name is made up; file is copied. */
void cgroup_plan_add_named(struct cgroup_plan *p, unsigned int ctl, unsigned int flags,
	const char *file, const char *value) __attribute__((nonnull));
void cgroup_plan_release(struct cgroup_plan *p) __attribute__((nonnull));
#define AUTO_PLAN __attribute__((cleanup(cgroup_plan_release)))

/*
 * Turns the values of one kind into writes; pure but for now, which is the group as it is
 * (an update may need the present value) or NULL for a new one.  An inexpressible value is an
 * error.
 */
typedef int cgroup_plan_fn(const struct spec_resources *res, const struct cgroup_hier *now,
	struct cgroup_plan *p, struct err *e);

/* The kinds of values; each hierarchy version has one plan function for each. */
enum cgroup_kind {
	CGROUP_CPUSET,
	CGROUP_CPU,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_IO,
	CGROUP_HUGETLB,
	CGROUP_RDMA,
	CGROUP_NET,
	CGROUP_KINDS,
};

struct cgroup_stat_row {
	unsigned int ctl; /* 0: the file is there without any controller (v2 cpu.stat) */
	const char *file, *key; /* key NULL: the file is one number */
	size_t offset;		/* in struct iso_stats */
	uint64_t mul, div;	/* to the struct's unit; 0 means 1 */
};

struct cgroup_ops {
	int version; /* 1 or 2 */
	enum file_kernel_fs fs;
	/*
	 * A new directory parent_fd/name was, or is to be, made: v2 hands the controllers in want
	 * down before, v1 fills the cpuset after.
	 */
	int (*before)(struct cgroup_hier *h, int parent_fd, const char *parent, unsigned int want, struct err *e);
	int (*after)(struct cgroup_hier *h, int parent_fd, int dir_fd, struct err *e);
	cgroup_plan_fn *plan[CGROUP_KINDS];
	int (*devices)(const struct cgroup_hier *h, const struct spec_device_rule *rules, size_t n, struct err *e);
	int (*freeze)(const struct cgroup_hier *h, bool frozen, uint64_t deadline_ms, struct err *e);
	/* Makes room for a lower memory limit, or refuses; NULL where the kernel does so itself. */
	int (*shrink)(const struct cgroup_hier *h, int64_t limit_bytes, struct err *e);
	const struct cgroup_stat_row *stats;
	size_t n_stats;
	void (*stats_io)(const struct cgroup_hier *h, struct iso_stats *ret);
};
extern const struct cgroup_ops cgroup_v1_ops, cgroup_v2_ops;

/* cgroup_find.c: what is mounted, and where in it we may make groups. */
int cgroup_set_find(struct cgroup_set *ret, struct err *e) __attribute__((nonnull));
void cgroup_set_release(struct cgroup_set *set) __attribute__((nonnull));
/*
 * The next cgroup mount of a mountinfo text (proc(5)), *text moved behind it; false at the end.
 * Pure; *ret is owned.
 */
struct cgroup_mount {
	int version; /* 1 or 2 */
	char *root, *point;
	char *name; /* as in /proc/PID/cgroup: "memory", "cpu,cpuacct", "name=systemd"; v2: "unified" */
};
bool cgroup_mount_next(const char **text, struct cgroup_mount *ret) __attribute__((nonnull));
void cgroup_mount_release(struct cgroup_mount *m) __attribute__((nonnull));
/* The group in the hierarchy called name ("": v2) by a /proc/PID/cgroup text; owned, or NULL. */
char *cgroup_own_path(const char *proc_cgroup, const char *name) __attribute__((nonnull));
unsigned int cgroup_controllers_parse(const char *list, int version) __attribute__((nonnull));
const char *cgroup_controller_name(unsigned int bit, int version);
/* Checks and copies a group's path without leading slash; owned. */
int cgroup_path_check(const char *path, char **ret, struct err *e) __attribute__((nonnull));

/* cgroup_tree.c: directories of groups and the processes in them. */
int cgroup_tree_remove(int parent_fd, const char *name, uint64_t deadline_ms, struct err *e)
	__attribute__((nonnull));
struct cgroup_pids {
	pid_t *v;
	size_t n, cap;
};
/* Adds the processes of dir_fd and of its child groups. */
int cgroup_tree_pids(int dir_fd, struct cgroup_pids *ret, struct err *e) __attribute__((nonnull));
/* Sleeps until one of pids has ended, or the time is over; false when it is over. */
bool cgroup_pids_wait(const struct cgroup_pids *pids, uint64_t deadline_ms) __attribute__((nonnull));
/* One control file of a group, as text. */
int cgroup_read(int dir_fd, const char *file, struct buf *ret, struct err *e) __attribute__((nonnull));

/*
 * cgroup_bpf.c: the device filter of a v2 group.  Rules are as in the specification: in order,
 * the last one that speaks about an access decides, none allows (as v1 does).
 */
int cgroup_bpf_set_devices(int dir_fd, const struct spec_device_rule *rules, size_t n, struct err *e)
	__attribute__((nonnull(4)));

/* cgroup_lib.c: the file that uses libcgroup. */
int cgroup_lib_controllers(unsigned int *ret, struct err *e) __attribute__((nonnull));

/* What a device rule says, checked: used by both versions. */
struct cgroup_device {
	char type; /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1: any */
	unsigned int access;  /* CGROUP_DEV_ bits */
	bool allow;
};
enum { CGROUP_DEV_MKNOD = 1, CGROUP_DEV_READ = 2, CGROUP_DEV_WRITE = 4, CGROUP_DEV_ALL = 7 };
int cgroup_device_check(const struct spec_device_rule *rule, struct cgroup_device *ret, struct err *e)
	__attribute__((nonnull));

#endif
