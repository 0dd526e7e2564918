/*
 * Runs a command and strikes one of its processes at its n-th system call.
 *
 *	inject count CMD...			   prints "PROC CALLS" for every process by birth
 *	inject kill PROC N CMD...		   SIGKILL at entry of call N of process PROC
 *	inject fail ERRNO PROC N CMD...		   that call returns -ERRNO without being made
 *
 * PROC counts from 0 in order of birth; process 0 is the command itself.  Processes that outlive
 * the command are let go once it has ended and they have been quiet for QUIET_MS.
 * Exit status: that of the command, 128+signal, or 99 when the point was never reached.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCS = 64, QUIET_MS = 150, LONGEST_MS = 20000 };

struct proc {
	pid_t pid;
	long calls;
	bool inside; /* between a call's entry and its exit */
	bool failing;
	bool gone;
};

static struct proc procs[MAX_PROCS];
static int n_procs;
static struct {
	enum { COUNT, KILL, FAIL } what;
	int proc, error;
	long call;
	bool struck;
} plan;

static struct proc *find(pid_t pid)
{
	for (int i = 0; i < n_procs; i++)
		if (procs[i].pid == pid && !procs[i].gone)
			return &procs[i];
	if (n_procs == MAX_PROCS) {
		fprintf(stderr, "inject: more than %d processes\n", MAX_PROCS);
		exit(98);
	}
	procs[n_procs] = (struct proc){.pid = pid};
	return &procs[n_procs++];
}

static void fail_call(pid_t pid, long result, bool entry)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, pid, 0, &r) < 0)
		return;
	if (entry)
		r.orig_rax = (unsigned long long)-1;
	else
		r.rax = (unsigned long long)result;
	ptrace(PTRACE_SETREGS, pid, 0, &r);
}

static void on_call(struct proc *p)
{
	p->inside = !p->inside;
	if (!p->inside) {
		if (p->failing)
			fail_call(p->pid, -plan.error, false);
		p->failing = false;
		return;
	}
	p->calls++;
	if (plan.what == COUNT || plan.struck || p - procs != plan.proc || p->calls != plan.call)
		return;
	plan.struck = true;
	if (plan.what == KILL) {
		kill(p->pid, SIGKILL);
	} else {
		p->failing = true;
		fail_call(p->pid, 0, true);
	}
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void on_stop(pid_t pid, int status)
{
	struct proc *p = find(pid);
	int sig = WSTOPSIG(status), event = status >> 16;

	if (sig == (SIGTRAP | 0x80)) {
		on_call(p);
		sig = 0;
	} else if (event == PTRACE_EVENT_STOP) {
		/* A real group stop must stay one; the first stop of a new process must not. */
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
			ptrace(PTRACE_LISTEN, pid, 0, 0);
			return;
		}
		sig = 0;
	} else if (event) {
		sig = 0;
	}
	ptrace(PTRACE_SYSCALL, pid, 0, sig);
}

static int trace(pid_t main_pid)
{
	long started = now_ms(), quiet_since = started;
	int main_status = -1;

	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
		long now = now_ms();

		if (now - started > LONGEST_MS) {
			fprintf(stderr, "inject: the command took more than %d ms\n", LONGEST_MS);
			return main_status < 0 ? 97 << 8 : main_status;
		}
		if (pid < 0)
			return main_status;
		if (pid == 0) {
			if (main_status >= 0 && now - quiet_since > QUIET_MS)
				return main_status; /* what lives on is let go as we exit */
			usleep(200);
			continue;
		}
		quiet_since = now;
		if (WIFSTOPPED(status)) {
			on_stop(pid, status);
			continue;
		}
		find(pid)->gone = true;
		if (pid == main_pid)
			main_status = status;
	}
}

static pid_t launch(char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
	int go[2];
	char c;

	if (pipe(go) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			execvp(argv[0], argv);
		fprintf(stderr, "inject: cannot execute '%s': %s\n", argv[0], strerror(errno));
		_exit(98);
	}
	close(go[0]);
	if (pid < 0 || ptrace(PTRACE_SEIZE, pid, 0, options) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
		return -1;
	find(pid);
	if (write(go[1], "g", 1) != 1)
		return -1;
	close(go[1]);
	return pid;
}

int main(int argc, char **argv)
{
	int i = 1, status;
	pid_t pid;

	if (argc > 2 && !strcmp(argv[1], "count")) {
		i = 2;
	} else if (argc > 4 && !strcmp(argv[1], "kill")) {
		plan.what = KILL;
		plan.proc = (int)strtol(argv[2], NULL, 10);
		plan.call = strtol(argv[3], NULL, 10);
		i = 4;
	} else if (argc > 5 && !strcmp(argv[1], "fail")) {
		plan.what = FAIL;
		plan.error = (int)strtol(argv[2], NULL, 10);
		plan.proc = (int)strtol(argv[3], NULL, 10);
		plan.call = strtol(argv[4], NULL, 10);
		i = 5;
	} else {
		fprintf(stderr, "usage: inject count|kill PROC N|fail ERRNO PROC N CMD...\n");
		return 98;
	}
	pid = launch(argv + i);
	if (pid < 0) {
		perror("inject");
		return 98;
	}
	status = trace(pid);
	if (plan.what == COUNT) {
		for (int k = 0; k < n_procs; k++)
			fprintf(stderr, "%d %ld\n", k, procs[k].calls);
		return 0;
	}
	if (!plan.struck)
		return 99;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
