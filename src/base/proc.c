#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

enum { OUTPUT_KEPT_BYTES = 64 * 1024 };

pid_t proc_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
	int pidfd = -1;
	/* A sibling ends with the signal of who gave birth to the caller; clone(2). */
	struct clone_args args = {.flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD};
	long pid;

	if (ret_pidfd) {
		args.flags |= CLONE_PIDFD;
		args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	}
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return -errno;
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

int proc_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int proc_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int proc_wait(int pidfd, int *ret_status)
{
	siginfo_t si = {0};
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	*ret_status = si.si_code == CLD_EXITED ? W_EXITCODE(si.si_status, 0) : si.si_status;
	return 0;
}

int proc_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

enum { ARGUMENTS_MAX = 1 << 20, STAT_START_TIME = 22, STAT_ARG_START = 48, STAT_ARG_END = 49 };

/* Field number n (proc(5), from 1) of the stat file that fd reads, for n > 2. */
static int stat_field(int fd, int n, uint64_t *ret)
{
	char text[1024], *p;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len < 0)
		return -errno;
	text[len] = '\0';
	/* The command name may hold spaces and parentheses; the last ')' ends it. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < n; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -EPROTO;
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

int proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : stat_field(fd, STAT_START_TIME, ret_ticks);
}

/*
 * The kernel lays the arguments out in one piece with the environment behind them, and libc
 * keeps a pointer to the first.  Where somebody has moved the environment procfs tells.
 */
static int argument_area(int proc_fd, uint64_t *ret_start, uint64_t *ret_end)
{
	const char *start = program_invocation_name, *end = environ ? environ[0] : NULL;
	AUTO_FD int fd = -1;

	if (end > start && end - start < ARGUMENTS_MAX && !end[-1]) {
		*ret_start = (uint64_t)(uintptr_t)start;
		*ret_end = (uint64_t)(uintptr_t)end;
		return 0;
	}
	fd = openat(proc_fd, "self/stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (stat_field(fd, STAT_ARG_START, ret_start) < 0 || stat_field(fd, STAT_ARG_END, ret_end) < 0 || *ret_end <= *ret_start)
		return -EPROTO;
	return 0;
}

int proc_set_title(int proc_fd, const char *title)
{
	uint64_t start = 0, end = 0;
	size_t n = strlen(title);
	int r = argument_area(proc_fd, &start, &end);

	if (r < 0)
		return r;
	memset((void *)(uintptr_t)start, 0, end - start);
	memcpy((void *)(uintptr_t)start, title, MIN(n, end - start - 1));
	prctl(PR_SET_NAME, title);
	return 0;
}

uint64_t time_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint64_t time_mono_ms(void)
{
	return time_mono_ns() / 1000000;
}

/* Runs in the child: only async-signal-safe calls, and no return. */
static void __attribute__((noreturn)) exec_helper(const struct proc_cmd *cmd, int in, int out, int status_fd)
{
	static char *const default_env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	struct err e = {0};
	sigset_t none;
	int keep[FD_PASS_MAX + 1], code;
	size_t n = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		goto fail;
	for (; n < cmd->n_keep_fds && n < FD_PASS_MAX; n++) {
		keep[n] = cmd->keep_fds[n];
		fd_set_cloexec(keep[n], 0);
	}
	keep[n++] = status_fd;
	if (fd_close_others(keep, n, &e) < 0)
		goto fail;
	execve(cmd->path, cmd->argv, cmd->envp ? cmd->envp : default_env);
fail:
	code = errno;
	if (write(status_fd, &code, sizeof(code)) < 0)
		_exit(ERR_EXIT_TOOL);
	_exit(ERR_EXIT_TOOL);
}

struct helper_io {
	int in, out;	/* our ends; -1 when not used */
	size_t sent;
	const struct proc_cmd *cmd;
};

/* A helper that does not read its input closes the pipe; its caller must not die of that. */
static ssize_t write_no_sigpipe(int fd, const void *p, size_t n)
{
	sigset_t pipe_only, old, pending;
	bool was_pending;
	ssize_t r;
	int code;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, &old);
	r = write(fd, p, n);
	code = errno;
	if (r < 0 && code == EPIPE && !was_pending)
		sigtimedwait(&pipe_only, NULL, &(struct timespec){0});
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = code;
	return r;
}

static void feed(struct helper_io *io)
{
	size_t left = strlen(io->cmd->input) - io->sent;
	ssize_t n = left ? write_no_sigpipe(io->in, io->cmd->input + io->sent, left) : 0;

	if (n > 0)
		io->sent += (size_t)n;
	if ((size_t)MAX(n, 0) == left || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&io->in);
}

static void drain(struct helper_io *io)
{
	char chunk[4096];
	ssize_t n = read(io->out, chunk, sizeof(chunk));

	if (n > 0 && io->cmd->output->n < OUTPUT_KEPT_BYTES)
		buf_add(io->cmd->output, chunk, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&io->out);
}

/* Feeds input and gathers output until the helper has ended or its time is up. */
static int attend(struct helper_io *io, int pidfd)
{
	uint64_t deadline = io->cmd->timeout_ms ? time_mono_ms() + io->cmd->timeout_ms : UINT64_MAX;

	for (;;) {
		struct pollfd fds[3] = {{.fd = pidfd, .events = POLLIN},
			{.fd = io->out, .events = POLLIN}, {.fd = io->in, .events = POLLOUT}};
		uint64_t now = time_mono_ms();
		int wait_ms = deadline == UINT64_MAX ? -1 : now >= deadline ? 0 : (int)MIN(deadline - now, 60000u);
		int r = poll(fds, 3, wait_ms);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && time_mono_ms() >= deadline)
			return -ETIMEDOUT;
		if (r > 0 && fds[2].revents)
			feed(io);
		if (r > 0 && fds[1].revents)
			drain(io);
		else if (r > 0 && fds[0].revents)
			return 0;
	}
}

int proc_run(const struct proc_cmd *cmd, int *ret_status, struct err *e)
{
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO_FD int status_r = -1, status_w = -1, in_r = -1, out_w = -1, pidfd = -1;
	struct helper_io io = {.in = -1, .out = -1, .cmd = cmd};
	int pipe_fds[2], code, r;
	pid_t pid;

	if (null < 0)
		return err_sys(e, "cannot open '/dev/null'");
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	status_r = pipe_fds[0], status_w = pipe_fds[1];
	if (cmd->input && !cmd->stdin_fd) {
		if (pipe2(pipe_fds, O_CLOEXEC) < 0)
			return err_sys(e, "cannot make a pipe");
		in_r = pipe_fds[0], io.in = pipe_fds[1];
		fd_set_nonblock(io.in, 1);
	}
	if (cmd->output) {
		if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
			fd_close(&io.in);
			return err_sys(e, "cannot make a pipe");
		}
		io.out = pipe_fds[0], out_w = pipe_fds[1];
		fd_set_nonblock(io.out, 1);
	}
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0)
		exec_helper(cmd, cmd->stdin_fd > 0 ? cmd->stdin_fd : in_r >= 0 ? in_r : null,
			out_w >= 0 ? out_w : null, status_w);
	fd_close(&status_w);
	fd_close(&in_r);
	fd_close(&out_w);
	r = pid < 0 ? err_set(e, -pid, "cannot start '%s': %s", cmd->path, strerrordesc_np(-pid)) : 0;
	if (!r && fd_read_full(status_r, &code, sizeof(code)) == sizeof(code))
		r = err_set(e, code, "cannot start '%s': %s", cmd->path, strerrordesc_np(code));
	if (!r) {
		r = attend(&io, pidfd);
		if (r < 0)
			err_set(e, -r, "'%s' did not finish: %s", cmd->path, strerrordesc_np(-r));
	}
	if (pid > 0) {
		if (r < 0)
			proc_signal(pidfd, SIGKILL);
		proc_wait(pidfd, ret_status);
	}
	fd_close(&io.in);
	fd_close(&io.out);
	return r;
}
