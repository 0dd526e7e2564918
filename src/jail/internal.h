/*
 * What the files of this room share.  The flow of a start:
 *
 *	life.c	  claims or finds the record, forks the supervisor, waits for its word
 *	updown.c  the table of rows that the supervisor runs forwards (up) and backwards (down)
 *	compose.c definition -> runtime-spec
 *	super.c	  the supervisor's loop; proto.h what it says
 *	repair.c  what a killed command or supervisor left
 */
#ifndef JAIL_JAIL_INTERNAL_H
#define JAIL_JAIL_INTERNAL_H

#include "jail/index.h"
#include "jail/jail.h"

#define DEF_FILE "jail.json"
enum { DEF_BYTES_MAX = 1 << 20 };

/* env.c: the folder of one jail's definition, or of its running state; owned, or -errno. */
int env_jail_dir(const struct jail_env *env, const char *name, struct err *e)
	__attribute__((nonnull));
int env_run_dir(const struct jail_env *env, const char *name, struct err *e)
	__attribute__((nonnull));
/* run_dir/j, which holds one folder per jail that is up. */
#define RUN_JAILS "j"
/* The directory of compiled seccomp filters; owned. */
int env_filter_cache(const struct jail_env *env, struct err *e) __attribute__((nonnull));
/* The path for iso_cgroup_*; owned. */
char *env_cgroup(const struct jail_env *env, const char *name) __attribute__((nonnull));

/* ids.c: first host id of root's pool of ranges. */
uint32_t ids_pool(void);

/* repair.c */
#define LAST_FILE "last.json"
/* Brings the index in step with definitions and supervisors; the table is locked. */
int idx_rebuild(struct jail_env *env, struct err *e) __attribute__((nonnull));
/* Takes down what a dead supervisor left; the slot is locked.  -ENOENT: it was all there was. */
int repair_locked(struct jail_env *env, uint32_t slot, struct err *e) __attribute__((nonnull));
void record_stopped(struct jail_index *ix, uint32_t slot, int code, bool oom)
	__attribute__((nonnull));
int remove_leftovers(struct jail_env *env, const char *name, struct err *e)
	__attribute__((nonnull));

/* compose_host.c: undoes mountinfo's escapes (proc(5)) in place. */
enum { MOUNTINFO_BYTES_MAX = 16 << 20 };
void mountinfo_unescape(char *s) __attribute__((nonnull));

/* life.c */
void record_from_def(const char *name, const struct jail_def *def, struct idx_record *ret)
	__attribute__((nonnull));
/* Removes jails/NAME whoever owns what is in it; missing is success. */
int remove_tree(struct jail_env *env, const char *name, struct err *e) __attribute__((nonnull));

struct entry_fds;

/* The default posture (SECURITY.md): 8 capabilities, 512 processes. */
#define DEFAULT_CAPS 0x4fbull
enum { DEFAULT_PIDS = 512, JAIL_OOM_SCORE = 200 };

/*
 * life.c: brings a jail that does not run up without its program, calls fn with the
 * descriptors to enter by, and takes it down again; its state is as before.
 */
int jail_visit(struct jail_env *env, const char *which,
	int (*fn)(const struct entry_fds *in, const struct jail_cp_opts *o, uint64_t *ret_bytes,
		struct err *e),
	const struct jail_cp_opts *o, uint64_t *ret_bytes, struct err *e)
	__attribute__((nonnull(1, 2, 3, 4, 6)));

/* def_check.c: the number of "CAP_X", "cap_x" or "x", or -1. */
int cap_number(const char *name) __attribute__((nonnull));
int limits_check(const struct jail_limits *l, struct err *e) __attribute__((nonnull));
/* control.c: what l gives replaces what to has. */
void limits_merge(struct jail_limits *to, const struct jail_limits *l) __attribute__((nonnull));

/* def.c */
extern const struct json_table jail_def_table, jail_limits_table;
int def_read(const struct jail_env *env, const char *name, struct jail_def *ret, struct err *e)
	__attribute__((nonnull));
bool def_keeps_no_log(const struct jail_env *env, const char *name, struct err *e)
	__attribute__((nonnull));
int def_write(const struct jail_env *env, const char *name, const struct jail_def *def,
	struct err *e) __attribute__((nonnull));

/* log_read.c: pure; false for a line that is not of our form. */
bool log_line_parse(const char *p, size_t n, struct jail_log_line *ret) __attribute__((nonnull));

#endif
