/*
 * PID 1 of a jail that the manager made: it reaps whatever is orphaned, passes signals on to
 * the program (which PID 1 itself would ignore), and holds a persistent jail open when there is
 * no program.  It runs no code of the jail's: it is this process, with everything given up
 * but CAP_KILL.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/stages.h"

struct init {
	pid_t main;  /* the program's, or -1 when it has ended or never was */
	int code;    /* what to exit with */
	bool persist;
};

static void reap(struct init *in)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
		if (pid == in->main) {
			in->main = -1;
			in->code = proc_exit_code(status);
		}
}

static void __attribute__((noreturn)) loop(struct init *in)
{
	sigset_t all;
	siginfo_t si;

	sigfillset(&all);
	for (;;) {
		int sig;

		if (in->main < 0 && !in->persist)
			_exit(in->code);
		sig = sigwaitinfo(&all, &si);
		if (sig < 0)
			continue;
		if (sig == SIGCHLD)
			reap(in);
		else if (in->main > 0)
			kill(in->main, sig);
		else if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP || sig == SIGQUIT)
			_exit(in->code);
	}
}

static int give_up(struct start *s, struct err *e)
{
	static const struct spec_capabilities kill_only = {
		.bounding = 1u << CAP_KILL, .effective = 1u << CAP_KILL, .permitted = 1u << CAP_KILL};

	if (iso_no_new_privs(e) < 0 || iso_caps_apply(&kill_only, e) < 0)
		return -e->code;
	return s->filter && !s->filter->notify ? iso_filter_apply(s->filter, false, NULL, e) : 0;
}

static void __attribute__((noreturn)) become_init(struct start *s, pid_t program)
{
	struct init in = {.main = program, .persist = s->o->persist};
	struct err e = {0};

	if (setsid() < 0 && errno != EPERM)
		_exit(ERR_EXIT_TOOL);
	if (give_up(s, &e) < 0)
		program_fail(s, &e);
	/* A persistent jail without a program is as much created as it will be. */
	if (program < 0 && program_created(s, &e) < 0)
		program_fail(s, &e);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || (s->o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
		_exit(ERR_EXIT_TOOL);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	fd_close_others(NULL, 0, &e);
	loop(&in);
}

/*
 * Dropped once for both processes: forty calls that the program's need not make again, unless
 * init's own capability is one too many for it.
 */
static int bound_both(struct start *s, struct err *e)
{
	const uint64_t own = 1u << CAP_KILL;
	const struct spec_capabilities *caps = s->process ? s->process->capabilities : NULL;
	struct spec_capabilities both = caps ? *caps : (struct spec_capabilities){0};

	both.bounding |= own;
	s->bounded = caps && caps->bounding & own;
	return iso_bounding_apply(&both, e);
}

int init_split(struct start *s, struct err *e)
{
	sigset_t all, old;
	pid_t pid;

	if (!s->o->init)
		return 0;
	if (bound_both(s, e) < 0)
		return -e->code;
	/* Blocked before there is a child, so that no SIGCHLD is lost; init never unblocks. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	if (!s->process)
		become_init(s, -1);
	pid = proc_clone(0, -1, NULL);
	if (pid < 0)
		return err_set(e, -pid, "cannot start the program's process: %s", strerrordesc_np(-pid));
	if (pid > 0)
		become_init(s, pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return 0;
}
