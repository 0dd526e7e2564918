/*
 * The manager: named jails on this host.  It keeps their definitions and their state, composes
 * a runtime-spec out of what people say, brings jails up and down by two mirrored tables, and
 * leaves one small supervisor process per running jail.  There is no daemon.
 *
 *	struct jail_env env = JAIL_ENV_INIT;
 *	struct jail_def def = JAIL_DEF_INIT;
 *
 *	strv_add(&def.args, "/usr/bin/redis-server");
 *	if (jail_env_open(&env, &e) < 0 || jail_create(&env, "cache", &def, &e) < 0 ||
 *	    jail_start(&env, "cache", &(struct jail_start_opts){0}, NULL, &e) < 0)
 *		...print e.text...
 *	jail_stop(&env, "cache", &(struct jail_stop_opts){0}, &e);
 *	jail_destroy(&env, "cache", 0, &e);
 *	jail_def_release(&def);
 *	jail_env_release(&env);
 *
 * Nothing here prints.  Every function returns >= 0 or -errno with the record filled, and every
 * one that takes `which` accepts a name or a jid in decimal.  Each begins by repairing what a
 * killed command or supervisor may have left of that jail.  Errors with a meaning:
 *	-ENOENT	 no such jail		-EEXIST	 the name is taken
 *	-EBUSY	 it is being changed by another command, or runs and must not
 *	-ESRCH	 it does not run	-EUCLEAN its definition is damaged (destroy still works)
 *	-ETIMEDOUT  it, or its supervisor, did not answer in time
 *
 * A process that calls jail_start or jail_run forks; it must have one thread.
 */
#ifndef JAIL_JAIL_JAIL_H
#define JAIL_JAIL_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

enum { JAIL_NAME_MAX = 64 };

/* ---- Where things are ---------------------------------------------------------------- */

struct jail_index;

/*
 * Root: /var/lib/jail, /run/jail, /etc/jail.  Others: $XDG_DATA_HOME/jail, $XDG_RUNTIME_DIR/jail,
 * $XDG_CONFIG_HOME/jail, with the defaults of the XDG specification.  JAIL_STATE_DIR and
 * JAIL_RUN_DIR in the environment move the first two; a directory that is not the caller's, or
 * that others may write, is refused.  All are made with mode 0700.
 */
struct jail_env {
	char *state_dir, *run_dir, *conf_dir; /* owned, absolute; conf_dir may not exist */
	int state_fd, run_fd, jails_fd; /* owned; jails_fd is state_dir/jails */
	uid_t uid;
	gid_t gid;
	bool root; /* the caller is the host's root */
	char cgroup_base[32]; /* before the jail's name in the name of its control group */
	struct jail_index *index; /* owned */
};
#define JAIL_ENV_INIT                                                                              \
	{                                                                                          \
		.state_fd = -1, .run_fd = -1, .jails_fd = -1                                       \
	}

int jail_env_open(struct jail_env *ret, struct err *e) __attribute__((nonnull));
void jail_env_release(struct jail_env *env) __attribute__((nonnull));

/* ---- What a jail is: the definition -------------------------------------------------- */

enum jail_root_kind {
	JAIL_ROOT_HOST, /* the host's own tree, read-only, home and secrets hidden */
	JAIL_ROOT_DIR, /* a directory */
	JAIL_ROOT_IMAGE, /* an OCI image (refused until the image room is there) */
};
struct jail_root {
	int kind; /* enum jail_root_kind */
	char *path; /* JAIL_ROOT_DIR: absolute; JAIL_ROOT_IMAGE: the reference */
	bool rw; /* JAIL_ROOT_DIR: written in place, no layer above it */
	char *work; /* JAIL_ROOT_HOST: the folder seen read-write at its own path, or NULL */
};

struct jail_volume {
	char *source, *destination; /* absolute */
	bool ro; /* recursive */
	bool dev, suid, noexec; /* nodev and nosuid unless said */
	bool no_map; /* ids as they are on the host instead of the jail's */
};
struct jail_tmpfs {
	char *destination;
	uint64_t size_bytes; /* 0: 64 MiB */
	uint32_t mode; /* 0: 01777 */
	bool exec; /* noexec unless said */
};
struct jail_device {
	char *source, *destination; /* a host device node; destination NULL: the same path */
	char *access; /* of "rwm"; NULL: "rw" */
};
struct jail_rlimit {
	int type; /* RLIMIT_ number */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};
struct jail_io_rate {
	char *device; /* host path of a block device */
	uint64_t rate;
};

/* What is absent (has_ false) has the default in parentheses.  UINT64_MAX: unlimited. */
struct jail_limits {
	uint64_t memory_bytes; /* (the lesser of 1 GiB and half of the host's memory) */
	uint64_t swap_bytes; /* beyond memory (0) */
	uint64_t pids; /* (512) */
	uint64_t cpu_weight; /* 1..10000 (100) */
	uint64_t cpu_milli; /* thousandths of one CPU per time (unlimited) */
	uint64_t io_weight; /* 1..10000 (100) */
	uint64_t wall_ms; /* running time, then stop (unlimited) */
	bool has_memory_bytes, has_swap_bytes, has_pids, has_cpu_weight, has_cpu_milli,
		has_io_weight, has_wall_ms;
	char *cpus, *mems; /* lists such as "0-3,7", or NULL */
	struct jail_io_rate *read_bps, *write_bps, *read_iops, *write_iops;
	size_t n_read_bps, n_write_bps, n_read_iops, n_write_iops;
	struct jail_rlimit *rlimits; /* (nofile 1024:20000 within the caller's own, core 0) */
	size_t n_rlimits;
};

enum jail_net_mode { JAIL_NET_NONE, JAIL_NET_HOST };
enum jail_restart { JAIL_RESTART_NO, JAIL_RESTART_ON_FAILURE, JAIL_RESTART_ALWAYS };
enum jail_tier { JAIL_TIER_JAIL, JAIL_TIER_AUTO, JAIL_TIER_VM };
enum jail_sys { JAIL_SYS_NONE, JAIL_SYS_RO };

/*
 * jails/NAME/jail.json is this struct by a strict table.  Strings and arrays are owned.
 * `made` is filled by jail_create and ignored in what it is given.
 */
struct jail_def {
	uint32_t version; /* of the format; 1 */
	struct jail_root root;
	struct strv args; /* the program, absolute or looked up in the jail's PATH */
	struct strv env; /* NAME=VALUE; PATH, HOME, TERM are added when missing */
	char *cwd; /* (root.work, else "/") */
	char *user; /* "user[:group]" by name or number (root) */
	char *hostname; /* (the jail's name) */
	bool terminal;
	bool init, has_init; /* PID 1 is our reaper and the program its child (yes) */
	bool persist; /* lives on without a program */
	struct jail_volume *volumes;
	size_t n_volumes;
	struct jail_tmpfs *tmpfs;
	size_t n_tmpfs;
	struct strv masks; /* absolute paths inside that are made empty */
	struct strv readonly; /* absolute paths inside that are made read-only */
	struct jail_device *devices;
	size_t n_devices;
	struct strv cap_add, cap_drop; /* "CAP_NET_RAW" or "net_raw"; "all" */
	char *seccomp; /* "default" (NULL too), "unconfined", or a profile's absolute path */
	struct strv allow; /* widenings by word: jail_allow_word() */
	int sys; /* enum jail_sys: what /sys shows */
	struct jail_limits limits;
	int net; /* enum jail_net_mode */
	struct {
		int policy; /* enum jail_restart */
		uint64_t max_retries; /* JAIL_RESTART_ON_FAILURE; 0: no bound */
	} restart;
	struct {
		bool none; /* keep no log */
		uint64_t max_bytes; /* of one file; 0: 10 MiB */
		uint32_t files; /* 0: 2 */
	} log;
	int32_t stop_signal; /* 0: SIGTERM */
	uint64_t stop_timeout_ms; /* then SIGKILL (10 s) */
	bool has_stop_timeout_ms;
	struct strmap labels;
	int tier; /* enum jail_tier */
	struct jail_made {
		uint32_t jid;
		uint32_t id_base, id_count; /* host ids of this jail; 0: the caller's own */
		uint64_t created_ms; /* since the epoch */
	} made;
};
#define JAIL_DEF_INIT                                                                              \
	{                                                                                          \
		.version = 1                                                                       \
	}

/* Pure: bytes to struct and back; strict.  *ret must be JAIL_DEF_INIT. */
int jail_def_load(const char *text, size_t n, struct jail_def *ret, struct err *e)
	__attribute__((nonnull));
char *jail_def_print(const struct jail_def *def, enum json_style style)
	__attribute__((malloc, returns_nonnull, nonnull));
/*
 * Everything that can be said without looking at the host: values in range, paths absolute and
 * without "..", unknown capabilities and words, contradictions.  One line names the option.
 */
int jail_def_check(const struct jail_def *def, struct err *e) __attribute__((nonnull));
void jail_def_copy(struct jail_def *dst, const struct jail_def *src) __attribute__((nonnull));
void jail_def_release(struct jail_def *def) __attribute__((nonnull));
void jail_limits_release(struct jail_limits *l) __attribute__((nonnull));

/*
 * The small languages of options, added to a definition; each error names the text and the form.
 *	volume	SRC:DST[:ro|rw|noexec|dev|suid|nomap,...]   SRC absolute, or relative to
 *cwd_of_caller tmpfs	DST[:size=SIZE,mode=MODE,exec] device	HOST[:DST[:rwm]] rlimit
 *NAME=SOFT[:HARD], as "nofile=1024:4096"; "max" is unlimited io	DEVICE:RATE; which is one of
 *"read-bps", "write-bps", "read-iops", "write-iops" restart	no | on-failure[:N] | always root
 *DIR | DIR:rw (JAIL_ROOT_DIR) log	none | SIZE[:FILES]
 */
int jail_def_add_volume(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_def_add_tmpfs(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_def_add_device(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_def_set_restart(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_def_set_root(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_def_set_log(struct jail_def *def, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_limits_add_rlimit(struct jail_limits *l, const char *text, struct err *e)
	__attribute__((nonnull));
int jail_limits_add_io(struct jail_limits *l, const char *which, const char *text, struct err *e)
	__attribute__((nonnull));

/* The words of `allow`, each with what it widens and what that costs; false after the last. */
struct jail_allow_word {
	const char *word, *allows, *risk;
};
bool jail_allow_word(size_t i, struct jail_allow_word *ret) __attribute__((nonnull));
/* Adds one line for each way in which def is wider than the default; none by default. */
void jail_def_widenings(const struct jail_def *def, struct strv *ret) __attribute__((nonnull));

/* ---- Life ------------------------------------------------------------------------------ */

enum jail_state {
	JAIL_CREATED, /* defined, never ran since it was made or the host booted */
	JAIL_STARTING,
	JAIL_RUNNING,
	JAIL_PAUSED,
	JAIL_RESTARTING, /* waits for its back-off to pass */
	JAIL_STOPPING,
	JAIL_STOPPED, /* exit_code says how */
	JAIL_DIED, /* its supervisor was killed; the next command on it repairs */
	JAIL_BROKEN, /* its definition cannot be read; destroy works */
	JAIL_STATES,
};
/* "created", "starting", ... */
const char *jail_state_name(enum jail_state s) __attribute__((returns_nonnull));
const char *jail_tier_name(enum jail_tier t) __attribute__((returns_nonnull));

/* Keeps a definition under a new name; nothing runs.  Refuses what jail_def_check refuses. */
int jail_create(struct jail_env *env, const char *name, const struct jail_def *def, struct err *e)
	__attribute__((nonnull));

struct jail_attach;
struct jail_start_opts {
	/*
	 * Attached (ret_attach given) without a terminal: become the program's 0, 1, 2; nothing is
	 * logged.  0 0 0 means the caller's own 0, 1, 2.
	 */
	int stdio[3];
	uint16_t rows, cols; /* of the terminal; 0: 24 x 80 */
	const char *trace; /* file for the engine's trace lines, or NULL */
};
/* Brings it up; returns once the program has been executed.  ret_attach NULL: detached. */
int jail_start(struct jail_env *env, const char *which, const struct jail_start_opts *o,
	struct jail_attach *ret_attach, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
/*
 * Create, start, attach and destroy in one: nothing is written to disk, and all is gone when
 * the program ends (restart policy included).  name NULL: "run-JID".  The jail does not die
 * with its client.
 */
int jail_run(struct jail_env *env, const char *name, const struct jail_def *def,
	const struct jail_start_opts *o, struct jail_attach *ret_attach,
	char ret_name[JAIL_NAME_MAX + 1], struct err *e) __attribute__((nonnull(1, 3, 4, 6, 7)));

struct jail_stop_opts {
	int signal; /* 0: the definition's */
	uint64_t timeout_ms; /* to SIGKILL */
	bool has_timeout_ms; /* else the definition's */
};
/* Stops it and takes it down; returns when nothing of it runs.  Not running: -ESRCH. */
int jail_stop(struct jail_env *env, const char *which, const struct jail_stop_opts *o,
	struct err *e) __attribute__((nonnull));
/* Sends sig to the program (SIGKILL: to everything inside). */
int jail_kill(struct jail_env *env, const char *which, int sig, struct err *e)
	__attribute__((nonnull));
/* Stop when it runs, then start detached. */
int jail_restart(struct jail_env *env, const char *which, const struct jail_stop_opts *o,
	struct err *e) __attribute__((nonnull));
int jail_pause(struct jail_env *env, const char *which, struct err *e) __attribute__((nonnull));
int jail_resume(struct jail_env *env, const char *which, struct err *e) __attribute__((nonnull));
/*
 * Changes the limits that are given (has_, non-NULL, n_ > 0), in the definition and in the
 * running jail.  rlimits hold for programs started later.  All or nothing.
 */
int jail_set(struct jail_env *env, const char *which, const struct jail_limits *l, struct err *e)
	__attribute__((nonnull));
/* Only while it does not run. */
int jail_rename(struct jail_env *env, const char *which, const char *new_name, struct err *e)
	__attribute__((nonnull));
/*
 * Removes it with its writable layer; a running one is -EBUSY unless JAIL_FORCE, which kills it
 * first.  Volumes are untouched: a mount point is never crossed.
 */
enum { JAIL_FORCE = 1 };
int jail_destroy(struct jail_env *env, const char *which, unsigned int flags, struct err *e)
	__attribute__((nonnull));
/*
 * Waits until it does not run; *ret_exit_code is the program's, or 128 + signal.
 * timeout_ms 0: no bound.
 */
int jail_wait(struct jail_env *env, const char *which, uint64_t timeout_ms, int *ret_exit_code,
	struct err *e) __attribute__((nonnull));
/* Sets right whatever an interrupted command left of it; every function above does. */
int jail_repair(struct jail_env *env, const char *which, struct err *e) __attribute__((nonnull));

/* ---- Looking --------------------------------------------------------------------------- */

struct jail_info {
	char name[JAIL_NAME_MAX + 1];
	uint32_t jid;
	enum jail_state state;
	enum jail_tier tier;
	pid_t init_pid, supervisor_pid; /* 0: none */
	int exit_code; /* JAIL_STOPPED */
	bool ephemeral; /* of jail_run: goes when it ends */
	bool persist, terminal;
	bool oom; /* the kernel killed in it for memory since it started */
	bool soft_limits; /* some limits could not be set: jail_inspect says which */
	uint32_t restarts, id_base, id_count;
	uint64_t created_ms, started_ms, stopped_ms; /* since the epoch; 0: never */
	char root[48], command[72]; /* shortened, made visible: for tables */
};
/*
 * One jail after the other, in no order that means anything.  *cursor starts at 0; returns 1
 * with *ret filled, 0 at the end.  Costs no system call per jail.
 */
int jail_next(struct jail_env *env, uint32_t *cursor, struct jail_info *ret, struct err *e)
	__attribute__((nonnull));
int jail_find(struct jail_env *env, const char *which, struct jail_info *ret, struct err *e)
	__attribute__((nonnull));
/* State, definition, effective limits, widenings and what is soft, as JSON; owned. */
int jail_inspect(struct jail_env *env, const char *which, char **ret_json, struct err *e)
	__attribute__((nonnull));
/* The definition as it is kept (also of a running one); *ret must be JAIL_DEF_INIT. */
int jail_definition(struct jail_env *env, const char *which, struct jail_def *ret, struct err *e)
	__attribute__((nonnull));

/* A value that this host cannot tell is UINT64_MAX. */
struct jail_stats {
	uint64_t cpu_usec, cpu_user_usec, cpu_system_usec, cpu_throttled_usec;
	uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes, memory_swap_bytes;
	uint64_t oom_kills, pids, pids_limit;
	uint64_t io_read_bytes, io_write_bytes;
	uint64_t time_ns; /* CLOCK_MONOTONIC of the reading, for rates */
};
int jail_stats(struct jail_env *env, const char *which, struct jail_stats *ret, struct err *e)
	__attribute__((nonnull));

struct jail_proc {
	pid_t pid, inner_pid, parent_pid; /* of the host; inside; of the host */
	uint32_t uid, inner_uid;
	char state; /* R S D T Z ... as in proc(5) */
	uint64_t cpu_ms, rss_bytes;
	uint64_t started_ms; /* since the epoch */
	char command[256]; /* arguments joined, made visible */
};
/* The processes inside; *ret is owned (free). */
int jail_ps(struct jail_env *env, const char *which, struct jail_proc **ret, size_t *ret_n,
	struct err *e) __attribute__((nonnull));

enum jail_event_kind {
	JAIL_EV_CREATE,
	JAIL_EV_START,
	JAIL_EV_EXIT,
	JAIL_EV_STOP,
	JAIL_EV_KILL,
	JAIL_EV_PAUSE,
	JAIL_EV_RESUME,
	JAIL_EV_SET,
	JAIL_EV_RENAME,
	JAIL_EV_DESTROY,
	JAIL_EV_EXEC,
	JAIL_EV_OOM,
	JAIL_EV_RESTART,
	JAIL_EV_REPAIR,
	JAIL_EV_KINDS,
};
const char *jail_event_name(enum jail_event_kind k) __attribute__((returns_nonnull));
struct jail_event {
	uint64_t time_ms; /* since the epoch */
	int kind; /* enum jail_event_kind */
	uint32_t jid;
	int32_t value; /* exit code, signal; else 0 */
	char name[JAIL_NAME_MAX + 1];
	char detail[80]; /* made visible */
};
/*
 * The last few thousand events of this environment, kept while the host is up.  *cursor starts
 * at 0 (all that is kept) or JAIL_EVENTS_NOW; returns 1 with *ret, or 0 when there is none
 * within timeout_ms (0: at once; UINT64_MAX: waits, -EINTR on a signal).
 */
#define JAIL_EVENTS_NOW UINT64_MAX
int jail_event_next(struct jail_env *env, uint64_t *cursor, uint64_t timeout_ms,
	struct jail_event *ret, struct err *e) __attribute__((nonnull));

/* What this host offers, by trying it in throw-away children: rows for `jail doctor`. */
enum jail_check_state { JAIL_CHECK_OK, JAIL_CHECK_LIMITED, JAIL_CHECK_MISSING };
struct jail_check {
	const char *name, *purpose, *tier, *state_name;
	enum jail_check_state state;
	char found[256], remedy[256]; /* remedy "": nothing to do */
};
/* Runs the i-th check (at most 5 s); false after the last. */
bool jail_doctor(size_t i, struct jail_check *ret) __attribute__((nonnull));

/* ---- Attached: run, exec, console ------------------------------------------------------- */

/*
 * A program in a jail, held from here.  Dropping it (release, or death) leaves a jail's own
 * program running; a program of jail_exec gets SIGHUP.
 */
struct jail_attach {
	int ctl_fd; /* owned: the supervisor */
	int data_fd; /* owned: the terminal's bytes, or -1 when the program has the caller's stdio
		      */
	bool exec;
	pid_t supervisor; /* to be reaped by this process, or 0 */
};
#define JAIL_ATTACH_INIT                                                                           \
	{                                                                                          \
		.ctl_fd = -1, .data_fd = -1                                                        \
	}

struct jail_exec_opts {
	struct strv args; /* the program: absolute, or looked up in the jail's PATH */
	struct strv env; /* added to the jail's */
	const char *user; /* NULL: the jail's */
	const char *cwd; /* NULL: the jail's */
	bool terminal;
	int stdio[3]; /* without a terminal; 0 0 0: the caller's own 0, 1, 2 */
	uint16_t rows, cols; /* 0: 24 x 80 */
};
/*
 * Runs one more program in a running jail under its whole policy; returns when it has been
 * executed.  A program that is not there: e->exit_code is 127, not executable: 126.
 */
int jail_exec(struct jail_env *env, const char *which, const struct jail_exec_opts *o,
	struct jail_attach *ret, struct err *e) __attribute__((nonnull));
/* The terminal of a running jail that has one; takes it over from who holds it. */
int jail_console(struct jail_env *env, const char *which, uint16_t rows, uint16_t cols,
	struct jail_attach *ret, struct err *e) __attribute__((nonnull));

struct jail_attach_opts {
	int in_fd, out_fd; /* the person's terminal, or pipes */
	const char *detach_keys; /* "ctrl-p,ctrl-q" when NULL; "": none */
	bool no_signals; /* do not hand HUP INT QUIT TERM USR1 USR2 WINCH CONT TSTP on */
};
enum { JAIL_ATTACH_EXITED, JAIL_ATTACH_DETACHED };
/*
 * Carries bytes, signals and window sizes until the program ends or the person detaches.  Puts
 * in_fd into raw mode for the time when it is a terminal and the program has one.  Returns
 * JAIL_ATTACH_EXITED with *ret_exit_code, or JAIL_ATTACH_DETACHED.  The supervisor's death:
 * -EPIPE.
 */
int jail_attach_loop(struct jail_attach *a, const struct jail_attach_opts *o, int *ret_exit_code,
	struct err *e) __attribute__((nonnull));
void jail_attach_release(struct jail_attach *a) __attribute__((nonnull));

/* ---- Logs -------------------------------------------------------------------------------- */

/*
 * A log is lines "TIME STREAM P|F TEXT": TIME as RFC 3339 in UTC with nanoseconds, STREAM stdout
 * or stderr, P for a part of a line longer than 16 KiB, F for its end.
 */
struct jail_logs;
struct jail_logs_opts {
	bool follow;
	uint64_t tail; /* last lines only; UINT64_MAX: all */
	uint64_t since_ms; /* since the epoch; 0: all */
};
struct jail_log_line {
	uint64_t time_ns; /* since the epoch */
	bool is_stderr;
	bool partial; /* the line goes on */
	const char *text; /* n bytes as the program wrote them, no newline: escape before showing */
	size_t n; /* valid until the next call */
};
int jail_logs_open(struct jail_env *env, const char *which, const struct jail_logs_opts *o,
	struct jail_logs **ret, struct err *e) __attribute__((nonnull));
/* 1 with a line; 0 at the end (with follow: when the jail has stopped).  -EINTR on a signal. */
int jail_logs_next(struct jail_logs *l, struct jail_log_line *ret, struct err *e)
	__attribute__((nonnull));
void jail_logs_free(struct jail_logs *l);

/* ---- Files in and out -------------------------------------------------------------------- */

struct jail_cp_opts {
	bool in; /* host to jail; else jail to host */
	const char *jail_path; /* absolute, inside */
	const char *host_path;
	bool owners; /* out, root only: keep ids as the jail sees them */
	uint64_t timeout_ms; /* without progress; 0: 30 s */
};
/*
 * Copies a file or a tree.  The jail's side is read and written by a process that has entered
 * the jail's root and dropped everything; the host's side treats what comes as hostile: no
 * absolute names, no "..", nothing through a symlink, no devices.  An existing directory as the
 * target is copied into, as cp(1) does.  *ret_bytes (may be NULL) is the content copied.
 */
int jail_cp(struct jail_env *env, const char *which, const struct jail_cp_opts *o,
	uint64_t *ret_bytes, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));

#endif
