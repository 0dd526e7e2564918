/*
 * One more program in a live jail.
 *
 *	P   the caller, outside.
 *	J0  its child, in the jail's cgroup already: joins every namespace at once through the
 *	    pidfd of the jail's init, so that no name or number can be swapped in between.
 *	X   J0's child, born as P's: inside the pid namespace.  It is visible to the jail's
 *	    processes from its birth on, and non-dumpable until exec: its memory belongs to the
 *	    host's user namespace, so that nothing inside may trace it or look at its files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/stages.h"

enum { JOIN_TIMEOUT_MS = 10000 };

static uint64_t jail_namespaces(const struct spec *spec)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < spec->linux.n_namespaces; i++)
		flags |= ns_flag((enum spec_ns_kind)spec->linux.namespaces[i].type);
	return flags;
}

static int join(const struct start *s, struct err *e)
{
	const struct iso_exec_opts *x = s->x;
	int r = proc_set_title(s->proc_fd, "jail-exec");

	if (r < 0)
		return err_set(e, -r, "cannot hide the command line: %s", strerrordesc_np(-r));
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, "cannot become unreadable");
	if (x->ns_fds && x->ns_fds[SPEC_NS_USER] >= 0) {
		/* A plain user's: the host's other namespaces stay. */
		if (proc_signal(x->jail_pidfd, 0) < 0)
			return err_set(e, ESRCH, "the jail is not running");
		if (ns_join_fds(x->ns_fds, e) < 0)
			return -e->code;
	} else if (setns(x->jail_pidfd, (int)jail_namespaces(x->spec)) < 0)
		return errno == ESRCH ? err_set(e, ESRCH, "the jail is not running") : err_sys(e, "cannot join the jail's namespaces");
	if (spec_ns(x->spec, SPEC_NS_USER)) {
		/* Root inside, where there is one; where the only id is another, nothing to change. */
		if (syscall(SYS_setresgid, 0, 0, 0) < 0 && errno != EINVAL)
			return err_sys(e, "cannot become group 0 of the jail");
		if (syscall(SYS_setresuid, 0, 0, 0) < 0 && errno != EINVAL)
			return err_sys(e, "cannot become user 0 of the jail");
	}
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? err_sys(e, "cannot become unreadable") : 0;
}

/* The jail's own devpts, proven to be one: its /dev is the jail's to arrange. */
static int find_devpts(struct start *s, struct err *e)
{
	struct statfs fs;

	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, "cannot open '/'");
	s->devpts_fd = path_open(root, "/dev/pts", O_PATH | O_DIRECTORY, PATH_IN_ROOT, e);
	if (s->devpts_fd < 0)
		return err_prefix(e, "cannot give a terminal");
	if (fstatfs(s->devpts_fd, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(e, EXDEV, "cannot give a terminal: '/dev/pts' of the jail is not a devpts");
	return 0;
}

static void __attribute__((noreturn)) joiner(struct start *s)
{
	struct err e = {0};

	if ((s->process->terminal && (find_devpts(s, &e) < 0 || console_make(s, &e) < 0)) ||
		stage_run(s, STAGE_CONFINE, &e) < 0)
		program_fail(s, &e);
	program_exec(s);
}

static void __attribute__((noreturn)) first_joiner(struct start *s)
{
	struct sync_msg msg = {.kind = SYNC_GO};
	struct err e = {0};
	int pidfd = -1;
	pid_t pid;

	fd_close(&s->p_sync);
	if (sync_recv(s->c_sync, &msg, NULL) != SYNC_GO)
		_exit(ERR_EXIT_TOOL);
	if ((s->x->cgroup && iso_cgroup_enter(s->x->cgroup, &e) < 0) || join(s, &e) < 0)
		program_fail(s, &e);
	pid = proc_clone(CLONE_PARENT, -1, &pidfd);
	if (pid == 0)
		joiner(s);
	if (pid < 0) {
		err_set(&e, -pid, "cannot start a process in the jail: %s", strerrordesc_np(-pid));
		if (pid == -EAGAIN)
			err_hint(&e, "its limit on processes is reached");
		if (pid == -ENOMEM)
			err_hint(&e, "the jail's init has ended");
		program_fail(s, &e);
	}
	msg.kind = SYNC_CREATED;
	msg.value = pid;
	fd_send(s->c_sync, &msg, sizeof(msg), &pidfd, 1);
	_exit(0);
}

/* Waits for a word with a deadline: a jail that hangs its joiners must not hang the host. */
static int recv_in_time(int sock, uint64_t deadline_ms, struct sync_msg *msg, int *ret_fd, struct err *e)
{
	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		uint64_t now = time_mono_ms();
		int r = now >= deadline_ms ? 0 : poll(&p, 1, (int)MIN(deadline_ms - now, 60000u));

		if (r > 0)
			return sync_recv(sock, msg, ret_fd);
		if (r < 0 && errno != EINTR)
			return err_sys(e, "cannot wait for the jail");
		if (r == 0 && time_mono_ms() >= deadline_ms)
			return err_set(e, ETIMEDOUT, "the program did not start in time: the jail may be frozen (see jail resume) or out of memory");
	}
}

static int listen_until_exec(struct start *s, uint64_t deadline_ms, struct err *e)
{
	for (;;) {
		struct sync_msg msg = {0};
		int fd = -1, kind = recv_in_time(s->p_sync, deadline_ms, &msg, &fd, e);

		switch (kind) {
		case SYNC_CREATED:
			s->jail->pid = msg.value;
			s->jail->pidfd = fd;
			break;
		case SYNC_CONSOLE:
			fd_close(&s->jail->console_fd);
			s->jail->console_fd = fd;
			break;
		case SYNC_NOTIFY:
			fd_close(&s->jail->notify_fd);
			s->jail->notify_fd = fd;
			break;
		case SYNC_ERROR:
			*e = msg.err;
			return -e->code;
		case 0:
			return s->jail->pidfd >= 0 ? 0 : err_set(e, ECHILD, "the process that joins the jail died");
		default:
			fd_close(&fd);
			return kind < 0 && e->code ? -e->code : err_set(e, EPROTO, "the process that joins the jail talks nonsense");
		}
	}
}

static int join_and_exec(struct start *s, struct err *e)
{
	const struct iso_exec_opts *x = s->x;
	uint64_t deadline = time_mono_ms() + (x->timeout_ms ? x->timeout_ms : JOIN_TIMEOUT_MS);
	AUTO_FD int j0 = -1;
	int socks[2], status, r;
	pid_t pid;

	s->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0)
		return err_sys(e, "cannot open '/proc'");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return err_sys(e, "cannot make the sync socket");
	s->p_sync = socks[0];
	s->c_sync = socks[1];
	if (x->cgroup && iso_cgroup_ready(x->cgroup, e) < 0)
		return -e->code;
	pid = proc_clone(0, x->cgroup ? x->cgroup->dir_fd : -1, &j0);
	if (pid == 0)
		first_joiner(s);
	if (pid < 0)
		return err_set(e, -pid, "cannot start a process: %s", strerrordesc_np(-pid));
	fd_close(&s->c_sync);
	/* What its namespace will not let it raise; the joiner that it makes inherits it. */
	r = serve_limits(s, pid, e);
	if (r >= 0 && sync_send(s->p_sync, SYNC_GO, -1) < 0)
		r = err_set(e, EPIPE, "the process that joins the jail died");
	if (r >= 0)
		r = listen_until_exec(s, deadline, e);
	if (r < 0)
		proc_signal(j0, SIGKILL);
	proc_wait(j0, &status);
	return r;
}

int iso_exec(const struct iso_exec_opts *x, struct iso_jail *ret, struct err *e)
{
	struct iso_jail j = ISO_JAIL_INIT;
	struct start s;
	int status, r;

	start_init(&s);
	s.x = x;
	s.spec = x->spec;
	s.process = x->process;
	s.filter = x->filter;
	s.jail = &j;
	r = join_and_exec(&s, e);
	if (r < 0) {
		/* A joiner that the jail holds stopped can be killed, but not waited for without end. */
		if (j.pidfd >= 0 && proc_signal(j.pidfd, SIGKILL) == 0 && r != -ETIMEDOUT)
			proc_wait(j.pidfd, &status);
		iso_jail_release(&j);
	} else {
		*ret = j;
	}
	start_release(&s);
	return r;
}
