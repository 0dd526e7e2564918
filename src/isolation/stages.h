/*
 * The start of a jail, and the joining of one, as rows of one table.
 *
 *	P  the caller.  Keeps its privilege, and does for C what only the host's side can do.
 *	C  the child.  Born in the new namespaces; builds its own world with the capabilities it
 *	   has there, then gives them up.
 *	M  in between, only when namespaces are joined: enters them and gives birth to C as a
 *	   sibling.  No row: it does nothing else (ns.c).
 *	X  the process that executes the program: C itself, or C's child when PID 1 is our own
 *	   init, or a joiner (exec.c).  The same rows in every case, so that an exec cannot have
 *	   more than the init has.
 *
 * A row's `holds` says which privilege the process still has while it runs and why.
 */
#ifndef JAIL_ISOLATION_STAGES_H
#define JAIL_ISOLATION_STAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "isolation/isolation.h"
#include "isolation/mount_opts.h"
#include "spec/spec.h"

/* One mount of the spec, one device node, or one mask, on its way into the new root. */
struct mount_plan {
	const struct spec_mount *m;
	struct mount_opts opts;
	int source_fd; /* of a bind: a detached copy of the source; or -1 */
	bool source_is_dir;
};

/* A device node: made in C, or bound from the host's where C may not make any. */
struct device_plan {
	const char *path;
	mode_t type; /* S_IFCHR, S_IFBLK or S_IFIFO */
	dev_t rdev;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int source_fd;
};

struct start {
	const struct iso_opts *o; /* NULL for a joiner */
	const struct iso_exec_opts *x; /* NULL for a start */
	const struct spec *spec;
	const struct spec_process *process; /* NULL: no program */
	const struct iso_filter *filter;
	struct iso_jail *jail; /* P's view */

	/* P, before birth */
	uint64_t ns_new;	      /* CLONE_NEW flags to be born with */
	int ns_join[SPEC_NS_KINDS];   /* descriptors to enter, or -1 */
	bool new_user;
	bool privileged;	      /* P has CAP_SYS_ADMIN: it opens the mounts for C */
	int proc_fd;		      /* the host's procfs, proven to be it */
	int p_sync, c_sync;	      /* the two ends of the sync socket */
	int root_fd;		      /* detached copy of the root, or -1: C opens it */
	int layer_fd, *lower_fds;
	struct mount_plan *mounts;
	size_t n_mounts;
	struct device_plan *devices;  /* the specification's defaults and linux.devices */
	size_t n_devices;

	/* C */
	int scratch_fd;	  /* our tmpfs, below the old root: mount points, masks, upper layer */
	int new_root_fd;  /* the new root, and after pivot_root still it */
	int mask_fd;	  /* read-only, with an empty file "f" and an empty directory "d" */
	int devpts_fd;	  /* our devpts mount, or -1 */
	int proc_mnt_fd;  /* our procfs on /proc, or -1 */
	int pty_slave_fd; /* becomes the controlling terminal, or -1 */
	bool bounded;	  /* the bounding set is what the program is to have */
	bool filtered;	  /* the seccomp filter is in force */
	char *exec_path;  /* the program, found and checked; owned */
	const char *stage; /* that runs now, for errors and the trace */
	uint64_t stage_began_ns;
	int trace_fd;
};

enum stage_role { STAGE_PREPARE, STAGE_SERVE, STAGE_BUILD, STAGE_CONFINE };

struct stage {
	const char *name;
	enum stage_role role;
	int (*run)(struct start *s, struct err *e);
	const char *holds;
};
extern const struct stage iso_stages[];
extern const size_t iso_n_stages;

/* Runs the rows of one role in order; a failure is prefixed with nothing: rows name their objects. */
int stage_run(struct start *s, enum stage_role role, struct err *e);

void start_init(struct start *s);
void start_release(struct start *s);

/* What P and C say to each other over the sync socket. */
enum sync_kind { SYNC_GO = 1, SYNC_HOOKS, SYNC_CONSOLE, SYNC_NOTIFY, SYNC_CREATED, SYNC_ERROR };
struct sync_msg {
	uint32_t kind;
	int32_t value; /* M: C's pid */
	struct err err;
};
int sync_send(int sock, enum sync_kind kind, int fd);
int sync_send_err(int sock, const struct err *err);
/* Returns the kind, 0 at end of file, -errno; *ret_fd gets a passed descriptor or -1. */
int sync_recv(int sock, struct sync_msg *ret, int *ret_fd);

/* ns.c */
int ns_plan(struct start *s, struct err *e);
int ns_birth(struct start *s, struct err *e); /* returns 1 in C, 0 in P */
int ns_write_maps(struct start *s, struct err *e);
int ns_keep(struct start *s, struct err *e);
int ns_join_fds(const int fds[SPEC_NS_KINDS], struct err *e);
int ns_time_offsets(struct start *s, struct err *e);
uint64_t ns_flag(enum spec_ns_kind kind);

/* sources.c: what P opens for C */
int sources_open(struct start *s, struct err *e);
int sources_idmap(struct start *s, struct err *e);
int source_open_tree(const char *path, bool recursive, bool *ret_is_dir, struct err *e);

/* root.c: C builds its tree */
int root_scratch(struct start *s, struct err *e);
int root_make(struct start *s, struct err *e);
int root_mounts(struct start *s, struct err *e);
/* The descriptor to mount p on, made when missing; owned. */
int root_target(struct start *s, const struct mount_plan *p, bool dir, struct err *e);
int root_files(struct start *s, struct err *e);
int root_pivot(struct start *s, struct err *e);
int root_masks(struct start *s, struct err *e);
int root_read_only(struct start *s, struct err *e);
/* Attaches the detached mount fd on the descriptor target. */
int mount_attach(int fd, int target, const char *what, struct err *e);
int mount_set_attr(int fd, bool recursive, uint64_t set, uint64_t clear, const char *what, struct err *e);

/* fsmount.c: filesystems by the new mount API */
int fs_mount(const char *type, const char *source, const struct strv *data, uint64_t attr, struct err *e);

/* copy_up.c: tmpcopyup, a tmpfs that starts with a copy of what it hides */
int copy_up(int from, int to, const char *what, struct err *e);

/* cgroup_mount.c */
int cgroup_mount(struct start *s, struct mount_plan *p, struct err *e);

/* devices.c */
int devices_plan(struct start *s, struct err *e);
int devices_make(struct start *s, struct err *e);
int console_make(struct start *s, struct err *e);

/* P for C or a joiner: ceilings of limits and the OOM score, by pid */
int serve_limits(struct start *s, pid_t pid, struct err *e);

/* identity.c: what C is called and how it talks before it has a program */
int identity_root(struct start *s, struct err *e);
int identity_names(struct start *s, struct err *e);
int identity_sysctl(struct start *s, struct err *e);

/* init.c: PID 1 of ours; returns in the program's process only */
int init_split(struct start *s, struct err *e);

/* program.c: the rows of X */
int program_session(struct start *s, struct err *e);
int program_stdio(struct start *s, struct err *e);
int program_cwd(struct start *s, struct err *e);
int program_find(struct start *s, struct err *e);
int program_created(struct start *s, struct err *e);
/* Installs the filter once; later calls do nothing. */
int program_filter(struct start *s, struct err *e);
/* Filter and exec, the last two calls; on failure the reason goes to whoever started it. */
void __attribute__((noreturn)) program_exec(struct start *s);
/* Tells P (or who started it) why not, and ends. */
void __attribute__((noreturn)) program_fail(struct start *s, const struct err *e);

/* hooks.c: createContainer and startContainer, run in the jail's namespaces */
int hooks_run(const struct spec *spec, enum spec_hook_kind kind, const char *state, struct err *e);

#endif
