/*
 * The runtime front: containers with an id and a bundle, as the OCI runtime-spec's runtime.md
 * has them, kept in one directory of state.
 *
 *	struct oci o = OCI_INIT;
 *	struct oci_create_opts c = {.bundle = "/b", .pid_file = "/b/pid"};
 *
 *	if (oci_open(&o, NULL, &e) < 0 || oci_create(&o, "web", &c, &e) < 0 ||
 *	    oci_start(&o, "web", &e) < 0)
 *		...print e.text...
 *	oci_kill(&o, "web", SIGTERM, 0, &e);
 *	oci_delete(&o, "web", false, &e);
 *	oci_close(&o);
 *
 * Nothing here prints; what is worth saying though nothing failed is in o.warnings.  Every
 * function returns >= 0 or -errno with the record filled.  Errors with a meaning:
 *	-ENOENT	"container 'x' does not exist"	-EEXIST	the id is taken
 *	-ESRCH	"container not running"		-EBUSY	its state forbids it, or it is being changed
 *
 * State: ROOT/ID/state.json (internal.h), config.json as it was at create, and while the
 * container is created but not started, the socket `start` that its first process listens on.
 * Nothing in there is believed without the kernel: a process by pid, start time and boot id,
 * "created" by the listening socket.  A command may be killed at any instruction: what it
 * leaves is a container that oci_delete removes whole.
 */
#ifndef JAIL_OCI_OCI_H
#define JAIL_OCI_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

struct oci {
	char *root; /* owned, absolute */
	int root_fd; /* owned */
	bool systemd_cgroup; /* cgroupsPath is "slice:prefix:name", made by systemd */
	bool no_cgroup; /* touch no cgroups at all (crun's --cgroup-manager=disabled) */
	struct strv warnings;
};
#define OCI_INIT                                                                                   \
	{                                                                                          \
		.root = NULL, .root_fd = -1                                                        \
	}

/*
 * root NULL: /run/jail/oci for the host's root; for others, also for root of a user namespace,
 * $XDG_RUNTIME_DIR/jail/oci, or /run/user/UID/jail/oci when that is unset or empty.  Made with
 * mode 0700 when missing.
 */
int oci_open(struct oci *o, const char *root, struct err *e) __attribute__((nonnull(1, 3)));
void oci_close(struct oci *o) __attribute__((nonnull));

enum oci_status { OCI_CREATING, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
extern const char *const oci_status_names[];

/* runtime.md "State", with what runc adds. */
struct oci_state {
	char *oci_version, *id;
	int status; /* enum oci_status */
	int32_t pid; /* 0 when stopped */
	char *bundle, *rootfs;
	char *created; /* RFC 3339 */
	uint32_t owner_uid;
	char *owner; /* its name, or the number */
	struct strmap annotations;
};
extern const struct json_table oci_state_table;

struct oci_create_opts {
	const char *bundle; /* NULL: the current directory */
	const char *config; /* name of the configuration; NULL: config.json of the bundle */
	const char *console_socket, *pid_file, *pidfd_socket; /* NULL: none */
	uint64_t preserve_fds; /* 3 .. 3+N-1 are handed on, after $LISTEN_FDS of them */
};

/* create (runtime.md "Create"): everything but the program's exec, hooks included. */
int oci_create(struct oci *o, const char *id, const struct oci_create_opts *c, struct err *e)
	__attribute__((nonnull));
/* start: returns when the program has been executed and the poststart hooks have run. */
int oci_start(struct oci *o, const char *id, struct err *e) __attribute__((nonnull));

/* A process that the caller has to wait for: `run`, and `exec` without detaching. */
struct oci_running {
	pid_t pid;
	int pidfd; /* owned */
	int console_fd; /* owned: the terminal's master when there is one and no console socket */
};
#define OCI_RUNNING_INIT                                                                           \
	{                                                                                          \
		.pid = -1, .pidfd = -1, .console_fd = -1                                           \
	}
void oci_running_release(struct oci_running *r) __attribute__((nonnull));

/* create and start in one; with detach, a terminal needs a console socket. */
int oci_run(struct oci *o, const char *id, const struct oci_create_opts *c, bool detach,
	struct oci_running *ret, struct err *e) __attribute__((nonnull));

/* One more program.  What is NULL, empty or false is the container's own. */
struct oci_exec_opts {
	const char *process; /* a process.json, or NULL: the container's, changed by what follows */
	const struct strv *args;
	const struct strv *env; /* added */
	const struct strv *caps; /* added to every set but the ambient one */
	const struct strv *additional_gids;
	const char *cwd, *user; /* "uid[:gid]" */
	const char *apparmor, *process_label;
	const char *cgroup; /* below the container's */
	bool tty, no_new_privs, ignore_paused, detach;
	const char *console_socket, *pid_file, *pidfd_socket;
	uint64_t preserve_fds;
};
int oci_exec(struct oci *o, const char *id, const struct oci_exec_opts *x, struct oci_running *ret,
	struct err *e) __attribute__((nonnull));

int oci_state(struct oci *o, const char *id, struct oci_state *ret, struct err *e)
	__attribute__((nonnull));
void oci_state_release(struct oci_state *s) __attribute__((nonnull));
/* All containers, by name; *ret is an owned array of owned states. */
int oci_list(struct oci *o, struct oci_state **ret, size_t *ret_n, struct err *e)
	__attribute__((nonnull));

/*
 * Sends sig to the container's first process; with all, to every process of its cgroup, and
 * having none left is success.
 */
int oci_kill(struct oci *o, const char *id, int sig, bool all, struct err *e)
	__attribute__((nonnull));
/*
 * Removes what create made, runs the poststop hooks.  A running container is -EBUSY unless
 * force, which kills it first; then also a missing one is success.
 */
int oci_delete(struct oci *o, const char *id, bool force, struct err *e) __attribute__((nonnull));

int oci_pause(struct oci *o, const char *id, struct err *e) __attribute__((nonnull));
int oci_resume(struct oci *o, const char *id, struct err *e) __attribute__((nonnull));

/* Changes limits: text is the spec's linux.resources as JSON. */
int oci_update(struct oci *o, const char *id, const char *text, size_t n, struct err *e)
	__attribute__((nonnull));
/* The same from single values, for the options of update; absent ones stay. */
struct oci_limits {
	int64_t memory, memory_reservation, memory_swap, cpu_quota, cpu_rt_runtime, pids;
	uint64_t cpu_shares, cpu_period, cpu_burst, cpu_rt_period, blkio_weight;
	int64_t cpu_idle;
	bool has_memory, has_memory_reservation, has_memory_swap, has_cpu_quota, has_cpu_rt_runtime,
		has_pids, has_cpu_shares, has_cpu_period, has_cpu_burst, has_cpu_rt_period,
		has_blkio_weight, has_cpu_idle;
	char *cpus, *mems;
};
int oci_update_limits(struct oci *o, const char *id, const struct oci_limits *l, struct err *e)
	__attribute__((nonnull));

/* The processes inside, in the caller's pid namespace; *ret is owned. */
int oci_pids(struct oci *o, const char *id, pid_t **ret, size_t *ret_n, struct err *e)
	__attribute__((nonnull));
/* What runc's `events --stats` prints: one line of JSON, owned. */
int oci_stats(struct oci *o, const char *id, char **ret, struct err *e) __attribute__((nonnull));

/* features.md; owned. */
char *oci_features(void) __attribute__((malloc, returns_nonnull));
/* A config.json to begin with; owned.  rootless: a user namespace for the caller's own id. */
char *oci_spec_template(bool rootless) __attribute__((malloc, returns_nonnull));

/* Checkpoint and restore by the program criu (4 or newer), when it is installed. */
struct oci_criu_opts {
	const char *criu; /* absolute path; NULL: /usr/sbin/criu or /usr/bin/criu */
	const char *image_path, *work_path, *parent_path;
	const char *cgroups_mode; /* soft, full, strict, ignore */
	bool leave_running, tcp_established, ext_unix_sk, shell_job, file_locks, pre_dump,
		auto_dedup;
};
int oci_checkpoint(struct oci *o, const char *id, const struct oci_criu_opts *x, struct err *e)
	__attribute__((nonnull));
int oci_restore(struct oci *o, const char *id, const struct oci_create_opts *c,
	const struct oci_criu_opts *x, struct oci_running *ret, struct err *e)
	__attribute__((nonnull));

#endif
