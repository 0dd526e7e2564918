/*
 * The isolation engine: a spec becomes a confined process.  It knows nothing of names, images,
 * networks, VMs, JSON, the user's terminal, or the host it runs on; the same code runs on the
 * host and as part of PID 1 of a micro-VM.
 *
 *	struct iso_jail j = ISO_JAIL_INIT;
 *	struct iso_opts o = {.spec = &spec, .bundle_fd = fd, .cgroup = &cg, ...};
 *
 *	if (iso_create(&o, &j, e) < 0)		 everything but the exec; the init waits
 *		return -e->code;		 (on failure nothing is left behind)
 *	...attach a network to j.pid...
 *	if (iso_start(&j, e) < 0)		 the init executes the program
 *		...
 *	proc_wait(j.pidfd, &status);
 *	iso_cgroup_destroy(&cg, e);
 *	iso_jail_release(&j);
 *
 * Processes: P, the caller, keeps its privilege and prepares what needs it; C, the child, is
 * born in the new namespaces, builds its own world out of what P hands it, gives every
 * privilege up and executes.  The stages of both are rows of one table (stages.h), which
 * drives the start, the trace, the process title and the fault-injection test.
 */
#ifndef JAIL_ISOLATION_ISOLATION_H
#define JAIL_ISOLATION_ISOLATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "isolation/cgroup.h"
#include "isolation/confine.h"
#include "spec/spec.h"

/* A running (or created) jail as its parent sees it. */
struct iso_jail {
	pid_t pid;	 /* of its init, in the caller's pid namespace */
	int pidfd;	 /* owned */
	int sync_fd;	 /* owned: P's end of the sync socket until the program runs; else -1 */
	int console_fd;	 /* owned: the pty master when process.terminal; else -1 */
	int notify_fd;	 /* owned: the seccomp listener when the profile asks for one; else -1 */
	/*
	 * Owned, a plain user's: its new namespaces by enum spec_ns_kind, for iso_exec.  The init
	 * is undumpable, so later only root could open them.  -1: none.
	 */
	int ns_fds[SPEC_NS_KINDS];
};
#define ISO_JAIL_INIT                                                                              \
	{                                                                                          \
		.pid = -1, .pidfd = -1, .sync_fd = -1, .console_fd = -1, .notify_fd = -1,          \
		.ns_fds = {-1, -1, -1, -1, -1, -1, -1, -1}                                         \
	}

/* One thing that the engine cannot express in the spec because it is about the caller. */
struct iso_opts {
	const struct spec *spec;
	const char *root;	 /* the root directory as the host sees it; absolute */
	struct iso_cgroup *cgroup; /* made (iso_cgroup_create) by the caller, or NULL: stay */
	const struct iso_filter *filter; /* compiled seccomp program, or NULL: none */
	int stdio[3];		 /* become 0, 1, 2; -1 inherits the caller's */
	const int *extra_fds;	 /* handed on as 3, 4, ... (LISTEN_FDS, --preserve-fds) */
	size_t n_extra_fds;
	int start_socket_fd;	 /* a listening unix socket on which another process will start it, or -1 */
	/*
	 * The caller has nothing to do between create and start: the program is executed at once,
	 * iso_create returns when it has been, and iso_start is not called.  One turn less.
	 */
	bool start_now;
	bool init;		 /* PID 1 is a reaper of ours and the program its child */
	bool persist;		 /* with init: lives on when there is no program, or it has ended */
	bool die_with_parent;	 /* SIGKILL when P dies */
	/*
	 * Root's jails: the host id that shall create the user namespace, so that the kernel
	 * charges inotify and other per-user budgets to it and not to root; 0: the caller's own.
	 */
	uint32_t creator_id;
	/* A private writable layer over root. */
	struct iso_overlay {
		/*
		 * Host directory that holds "upper" and "work" (one mount must hold both), owned by
		 * the host ids of the jail's root; NULL: a tmpfs of the jail's own.
		 */
		const char *layer;
		uint64_t tmpfs_bytes; /* size of that tmpfs; 0: the kernel's default */
		struct strv lower;    /* more lower directories below root, topmost first */
	} *overlay;		      /* NULL: the root as it is */
	/*
	 * Small read-only files of the caller's making (hosts, hostname), which live in the jail's
	 * scratch area: nothing to write, to mount from or to remove on the host.
	 */
	const struct iso_file {
		const char *destination, *text;
	} *files;
	size_t n_files;
	bool map_root;		/* show root's files through the jail's id map (idmapped mount) */
	/* Hooks that run while P and C are half-way (config.md "POSIX-platform Hooks"). */
	const char *hook_state;	 /* JSON on the standard input of createContainer and startContainer */
	int (*runtime_hooks)(void *ctx, pid_t pid, struct err *e); /* by P before pivot_root, or NULL */
	void *hook_ctx;
	struct iso_landlock landlock; /* a second lock; what the kernel lacks is no error */
	bool clamp_rlimits; /* limits are defaults of ours: set as high as the caller may */
	const char *trace;	/* path for --trace lines, or NULL */
};

int iso_create(const struct iso_opts *o, struct iso_jail *ret, struct err *e) __attribute__((nonnull));
/* Lets the init execute the program; returns when it has been executed, or why not. */
int iso_start(struct iso_jail *j, struct err *e) __attribute__((nonnull));
/* The same by another process, through the socket given as start_socket_fd. */
int iso_start_by_socket(const char *path, struct err *e) __attribute__((nonnull));
void iso_jail_release(struct iso_jail *j) __attribute__((nonnull));

/*
 * Runs one more program in a jail under its whole policy.  spec is the jail's own; process
 * says what to run (capabilities NULL: the jail's).  The joiner is non-dumpable until exec,
 * joins all namespaces by pidfd at once, and holds no capability that the jail lacks by the
 * time it is visible inside.  ret->pid is a child of the caller.
 */
struct iso_exec_opts {
	const struct spec *spec;
	const struct spec_process *process;
	int jail_pidfd;		   /* the init's */
	const int *ns_fds;	   /* iso_jail's; NULL or all -1: by jail_pidfd */
	struct iso_cgroup *cgroup; /* of the jail, or NULL: stay */
	const struct iso_filter *filter;
	int stdio[3];
	const int *extra_fds;
	size_t n_extra_fds;
	struct iso_landlock landlock; /* as the jail's own */
	bool clamp_rlimits;
	uint64_t timeout_ms;	   /* for the joining, not the program; 0: 10 s */
};
int iso_exec(const struct iso_exec_opts *o, struct iso_jail *ret, struct err *e) __attribute__((nonnull));

/*
 * For programs that start or enter jails as the host's root without a user namespace: runs the
 * calling program again, with argv, from a read-only view of its file, so that nothing inside
 * can write to it through /proc/PID/exe.  Returns 0 in that second run; call it first thing.
 */
int iso_protect_self(char **argv, struct err *e) __attribute__((nonnull));

/*
 * Looks a user up in the jail's own /etc/passwd and /etc/group, read inside root_fd with
 * bounds (docs: E3-E6 in SECURITY.md).  text is "user", "user:group", "uid", "uid:gid" or
 * a mixture; numbers win over names.  Fills uid, gid and additional_gids; *ret_home is owned
 * or NULL.
 */
int iso_user_lookup(int root_fd, const char *text, struct spec_user *ret, char **ret_home, struct err *e)
	__attribute__((nonnull(2, 3, 5)));

/*
 * seccomp.  The filter is compiled once and cached by content; the start path only maps it.
 */
struct iso_filter {
	const void *insns; /* struct sock_filter array */
	uint16_t n_insns;
	uint32_t flags;	   /* SECCOMP_FILTER_FLAG_ */
	bool notify;	   /* a listener is wanted */
	void *map;	   /* what iso_filter_release undoes */
	size_t map_bytes;
};
/* Our own default profile, written into a spec; see seccomp_profile.c for what and why. */
void iso_seccomp_default(struct spec_seccomp *ret) __attribute__((nonnull));
/*
 * The compiled form of profile; looked up by content in the directory cache_fd (-1: no cache)
 * and added there when missing.  A damaged cache entry is replaced, never trusted.
 */
int iso_filter_get(const struct spec_seccomp *profile, int cache_fd, struct iso_filter *ret, struct err *e)
	__attribute__((nonnull));
void iso_filter_release(struct iso_filter *f) __attribute__((nonnull));

#endif
