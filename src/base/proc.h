/*
 * Processes: clone3 with every flag, pidfds, and helpers that we run.
 *
 *	struct proc p;
 *	r = proc_run(&(struct proc_cmd){.path = "/usr/bin/newuidmap", .argv = argv,
 *		.timeout_ms = 5000}, &status, e);
 */
#ifndef JAIL_BASE_PROC_H
#define JAIL_BASE_PROC_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

/*
 * fork by clone3(2): flags are CLONE_ flags (the time namespace's included), cgroup_fd a
 * cgroup v2 directory to be born in, or -1.  *ret_pidfd may be NULL; owned by the caller.
 * Returns the child's pid in the parent, 0 in the child, -errno on failure.
 */
pid_t proc_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);

/* An owned pidfd, or -errno. */
int proc_pidfd(pid_t pid);
/* Sends a signal by pidfd; 0 or -errno (-ESRCH when it has gone). */
int proc_signal(int pidfd, int sig);
/* Waits for a child by pidfd; returns its wait status as waitpid gives it, or -errno. */
int proc_wait(int pidfd, int *ret_status);
/* A wait status to an exit code: the program's own, or 128 + signal. */
int proc_exit_code(int status);
/* Start time of a process in clock ticks since boot (proc(5), stat field 22), or -errno. */
int proc_start_time(pid_t pid, uint64_t *ret_ticks);

/*
 * What ps and /proc/PID/cmdline show of this process, cut to the room that its arguments have.
 * They are world-readable, and a jail's init would show the host's command line inside.
 * proc_fd is the root of a procfs.
 */
int proc_set_title(int proc_fd, const char *title);

/* A helper program: absolute path, explicit argv and environment, nothing else inherited. */
struct proc_cmd {
	const char *path;	/* absolute */
	char *const *argv;	/* NULL-terminated */
	char *const *envp;	/* NULL: PATH=/usr/sbin:/usr/bin:/sbin:/bin and LC_ALL=C only */
	const int *keep_fds;	/* inherited under their own numbers, besides 0-2 */
	size_t n_keep_fds;
	int stdin_fd;		/* 0: /dev/null */
	const char *input;	/* written to its standard input when stdin_fd is 0; or NULL */
	struct buf *output;	/* its standard output and error are added here (64 KiB kept); or NULL */
	uint64_t timeout_ms;	/* 0: none; on expiry it is killed and the result is -ETIMEDOUT */
};
/* Runs to the end.  *ret_status is a wait status.  Starting failed: -errno and a record. */
int proc_run(const struct proc_cmd *cmd, int *ret_status, struct err *e) __attribute__((nonnull));

/* CLOCK_MONOTONIC, in milliseconds and nanoseconds. */
uint64_t time_mono_ms(void);
uint64_t time_mono_ns(void);

#endif
