/*
 * What a process does to itself on its way to exec: each privilege it gives up is one function
 * here and one row in the stage table.
 *
 * The order is not free.  A row that needs a privilege must come before the row that gives it
 * away:
 *
 *	iso_signals_reset(e);			needs nothing
 *	iso_keyring_new(&made, e);		before the ids: the keyring belongs to who makes it
 *	iso_oom_score_apply(proc, -500, false, e);  lowering needs CAP_SYS_RESOURCE
 *	iso_rlimits_apply(...);			raising needs CAP_SYS_RESOURCE
 *	iso_scheduler_apply(...);		real-time classes need CAP_SYS_NICE
 *	iso_io_priority_apply, iso_memory_policy_apply, iso_cpu_affinity_apply,
 *iso_personality_apply iso_exec_label_apply(proc, ...);	takes effect at exec; while procfs
 *is reachable iso_caps_check(caps, e);		all that is asked for is held: before anything is
 *lost iso_bounding_apply(caps, e);		needs CAP_SETPCAP iso_ids_apply(user, e);
 *needs CAP_SETUID, CAP_SETGID; keeps capabilities iso_umask_apply(user); iso_no_new_privs(e);
 *never taken back iso_landlock_apply(&ll, &got, e);	needs no_new_privs or CAP_SYS_ADMIN
 *	iso_caps_apply(caps, e);		from here on only what the spec allows
 *	iso_filter_apply(filter, true, &fd, e); last: its own calls are filtered from here on
 *	execve(...)
 *
 * Without no_new_privs in the spec, Landlock and the filter need CAP_SYS_ADMIN: then they go
 * before iso_caps_apply, and the profile must allow capset and prctl.
 *
 * No function here allocates, so all may run between fork and exec.  Each acts on the calling
 * thread, which must be the only one.  Errors name what was asked, why not, and the remedy.
 */
#ifndef JAIL_ISOLATION_CONFINE_H
#define JAIL_ISOLATION_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "spec/spec.h"

struct iso_filter;

/* All signals unblocked and at their default disposition, as a fresh login has them. */
int iso_signals_reset(struct err *e) __attribute__((nonnull));

/*
 * A new anonymous session keyring, so that the caller's keys cannot be reached.  *ret_made is
 * false where the kernel has no keyrings or refuses keyctl: nothing can be reached then either.
 */
int iso_keyring_new(bool *ret_made, struct err *e) __attribute__((nonnull));

/*
 * Resource limits.  clamp is for the manager's own defaults: what may not be raised is set as
 * high as may be.  Without it (OCI) that is -EPERM naming limit, value and ceiling.
 *
 * Raising needs CAP_SYS_RESOURCE on the host, which no process in a user namespace has: its
 * parent, who may have it, raises them by pid.
 */
int iso_rlimits_set(pid_t pid, const struct spec_rlimit *limits, size_t n, bool clamp,
	struct err *e) __attribute__((nonnull(5)));
/* The caller's own. */
int iso_rlimits_apply(const struct spec_rlimit *limits, size_t n, bool clamp, struct err *e)
	__attribute__((nonnull(4)));

/*
 * proc_fd is the root of a procfs (verified here, by its magic, at each write).  score is
 * -1000 .. 1000; with clamp, a score below what the caller may set leaves it as it is.
 *
 * In a user namespace neither works for oneself: lowering needs CAP_SYS_RESOURCE on the host,
 * and a process that made itself undumpable may not even open its file.  So the parent sets it,
 * by pid, while the child still waits to be mapped.
 */
int iso_oom_score_set(int proc_fd, pid_t pid, int score, bool clamp, struct err *e)
	__attribute__((nonnull));
/* The caller's own. */
int iso_oom_score_apply(int proc_fd, int score, bool clamp, struct err *e) __attribute__((nonnull));

/*
 * The security label that exec shall switch to, written to a proven procfs.  NULL or "" asks
 * for none.  A label asked for where its module is not active: -EOPNOTSUPP.
 */
int iso_exec_label_apply(int proc_fd, const char *apparmor, const char *selinux, struct err *e)
	__attribute__((nonnull(4)));

/* Each NULL is success without doing anything. */
int iso_scheduler_apply(const struct spec_scheduler *s, struct err *e) __attribute__((nonnull(2)));
int iso_io_priority_apply(const struct spec_io_priority *p, struct err *e)
	__attribute__((nonnull(2)));
int iso_memory_policy_apply(const struct spec_memory_policy *m, struct err *e)
	__attribute__((nonnull(2)));
/* A list of cpus, "0-3,7" (cpuset(7) "List format"). */
int iso_cpu_affinity_apply(const char *cpus, struct err *e) __attribute__((nonnull(2)));
int iso_personality_apply(const struct spec_personality *p, struct err *e)
	__attribute__((nonnull(2)));

/*
 * Bits of a list as in cpuset(7) "List format" into map (bit i of map[i / 64]), which is
 * cleared first.  Returns the highest bit + 1; -EINVAL on bad text, -ERANGE when it does not
 * fit.  Pure.
 */
int iso_list_parse(const char *text, uint64_t *map, size_t n_bits, struct err *e)
	__attribute__((nonnull));

/*
 * Everything that caps asks for is held by the caller and known to the kernel: -EPERM names
 * the first capability that is not.  NULL asks for none at all.
 */
int iso_caps_check(const struct spec_capabilities *caps, struct err *e) __attribute__((nonnull(2)));
/* Drops every capability from the bounding set that caps does not name; needs CAP_SETPCAP. */
int iso_bounding_apply(const struct spec_capabilities *caps, struct err *e)
	__attribute__((nonnull(2)));
/* Effective, permitted, inheritable and ambient become exactly what caps says; NULL: empty. */
int iso_caps_apply(const struct spec_capabilities *caps, struct err *e) __attribute__((nonnull(2)));
/* Securebits (capabilities(7)); no privilege is needed when they are so already. */
int iso_securebits_apply(unsigned int bits, struct err *e) __attribute__((nonnull));
int iso_no_new_privs(struct err *e) __attribute__((nonnull));

/*
 * Supplementary groups, gid and uid, in that order.  Capabilities stay permitted for
 * iso_caps_apply (PR_SET_KEEPCAPS).  Where setgroups is denied (user namespaces with a single
 * id, user_namespaces(7)) an empty list, or the primary gid alone, is accepted, and any other
 * is -EPERM.
 */
int iso_ids_apply(const struct spec_user *user, struct err *e) __attribute__((nonnull));
/* The spec's umask, or 0022. */
void iso_umask_apply(const struct spec_user *user) __attribute__((nonnull));

/* Landlock as a second lock on what namespaces already keep apart (landlock(7)). */
enum {
	ISO_LANDLOCK_SCOPE_ABSTRACT = 1 << 0, /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, ABI 6 */
	ISO_LANDLOCK_SCOPE_SIGNAL = 1 << 1, /* LANDLOCK_SCOPE_SIGNAL, ABI 6 */
};
struct iso_landlock {
	uint64_t scope; /* ISO_LANDLOCK_SCOPE_ bits */
	bool deny_bind; /* no TCP bind, ABI 4 */
	bool deny_connect; /* no TCP connect, ABI 4 */
};
/* The kernel's Landlock ABI, 0 when there is none or it is not enabled at boot. */
int iso_landlock_abi(void);
/*
 * Locks what the kernel can lock of what is asked; *ret_got says what that was.  What an older
 * ABI lacks is no error: the namespaces hold without it.
 */
int iso_landlock_apply(const struct iso_landlock *ask, struct iso_landlock *ret_got, struct err *e)
	__attribute__((nonnull));

/*
 * Installs the filter by seccomp(2).  With need_listener, *ret_listener is the owned
 * notification descriptor (close-on-exec); else it is untouched and may be NULL.
 */
int iso_filter_apply(const struct iso_filter *f, bool need_listener, int *ret_listener,
	struct err *e) __attribute__((nonnull(1, 4)));

#endif
