/*
 * P's side of a start: prepare, give birth, serve, and listen until the jail is created.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/stages.h"

static void __attribute__((noreturn)) child(struct start *s)
{
	struct err e = {0};

	if (stage_run(s, STAGE_BUILD, &e) < 0 || stage_run(s, STAGE_CONFINE, &e) < 0)
		program_fail(s, &e);
	program_exec(s);
}

/* C or X ended without a word: say how. */
static int died(const struct iso_jail *j, struct err *e)
{
	int status = 0;

	proc_signal(j->pidfd, SIGKILL);
	if (proc_wait(j->pidfd, &status) < 0)
		return err_set(e, ECHILD, "the jail's first process ended before it was ready");
	return err_set(e, ECHILD, "the jail's first process ended before it was ready (exit code %d)%s", proc_exit_code(status),
		proc_exit_code(status) == 128 + SIGKILL ? "; the memory limit may be too small to start in" : "");
}

/* Answers C until it says that it is created, or has executed the program. */
static int listen_until_created(struct start *s, struct err *e)
{
	for (;;) {
		struct sync_msg msg;
		int fd = -1, kind = sync_recv(s->p_sync, &msg, &fd);

		switch (kind) {
		case SYNC_CREATED:
			return 0;
		case SYNC_CONSOLE:
			fd_close(&s->jail->console_fd);
			s->jail->console_fd = fd;
			break;
		case SYNC_NOTIFY:
			fd_close(&s->jail->notify_fd);
			s->jail->notify_fd = fd;
			break;
		case SYNC_HOOKS:
			fd_close(&fd);
			if (s->o->runtime_hooks(s->o->hook_ctx, s->jail->pid, e) < 0)
				return -e->code;
			if (sync_send(s->p_sync, SYNC_GO, -1) < 0)
				return died(s->jail, e);
			break;
		case SYNC_ERROR:
			fd_close(&fd);
			*e = msg.err;
			return -e->code;
		case 0: /* end of file: the exec has closed the socket */
			if (s->o->start_now)
				return 0;
			return died(s->jail, e);
		default:
			fd_close(&fd);
			return died(s->jail, e);
		}
	}
}

static int open_trace(struct start *s, struct err *e)
{
	if (!s->o->trace)
		return 0;
	s->trace_fd = open(s->o->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->trace_fd < 0)
		return err_sys(e, "cannot open the trace '%s'", s->o->trace);
	s->stage_began_ns = time_mono_ns();
	return 0;
}

/* Everything that iso_create did is undone: C dies, and with it its namespaces. */
static void undo(struct iso_jail *j)
{
	int status;

	if (j->pidfd >= 0) {
		proc_signal(j->pidfd, SIGKILL);
		proc_wait(j->pidfd, &status);
	}
	iso_jail_release(j);
}

static int create(struct start *s, struct err *e)
{
	int r;

	if (open_trace(s, e) < 0 || stage_run(s, STAGE_PREPARE, e) < 0)
		return -e->code;
	r = ns_birth(s, e);
	if (r > 0)
		child(s);
	if (r < 0)
		return r;
	fd_close(&s->c_sync);
	if (stage_run(s, STAGE_SERVE, e) < 0)
		return -e->code;
	return listen_until_created(s, e);
}

static bool has_program(const struct iso_opts *o)
{
	return o->spec->process && (o->spec->process->args.n || !(o->init && o->persist));
}

int iso_create(const struct iso_opts *o, struct iso_jail *ret, struct err *e)
{
	struct iso_jail j = ISO_JAIL_INIT;
	struct start s;
	int r;

	start_init(&s);
	s.o = o;
	s.spec = o->spec;
	s.process = has_program(o) ? o->spec->process : NULL;
	s.filter = o->filter;
	s.jail = &j;
	if (!s.process && !(o->init && o->persist))
		return err_set(e, EINVAL, "process is missing: there is nothing to run");
	r = create(&s, e);
	if (r < 0) {
		undo(&j);
	} else {
		if (!o->start_now)
			j.sync_fd = fd_take(&s.p_sync);
		*ret = j;
	}
	start_release(&s);
	return r;
}

/* "go", then end of file when the program runs, or the reason why it does not. */
static int go(int sock, int *ret_notify, struct err *e)
{
	struct sync_msg msg;
	int fd = -1, kind;

	if (sync_send(sock, SYNC_GO, -1) < 0)
		return err_set(e, ESRCH, "the jail's first process has ended");
	for (;;) {
		kind = sync_recv(sock, &msg, &fd);
		if (kind == SYNC_NOTIFY && ret_notify) {
			fd_close(ret_notify);
			*ret_notify = fd;
			fd = -1; /* not ours any more when end of file leaves it as it is */
			continue;
		}
		fd_close(&fd);
		if (kind == SYNC_ERROR) {
			*e = msg.err;
			return -e->code;
		}
		return kind < 0 ? err_set(e, -kind, "cannot hear from the jail's first process: %s", strerrordesc_np(-kind)) : 0;
	}
}

int iso_start(struct iso_jail *j, struct err *e)
{
	int r = go(j->sync_fd, &j->notify_fd, e);

	fd_close(&j->sync_fd);
	return r;
}

int iso_start_by_socket(const char *path, struct err *e)
{
	AUTO_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (sock < 0)
		return err_sys(e, "cannot make a socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ENAMETOOLONG, "socket path '%s' is too long", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "cannot reach the jail's first process at '%s'", path);
	return go(sock, NULL, e);
}

void iso_jail_release(struct iso_jail *j)
{
	fd_close(&j->pidfd);
	fd_close(&j->sync_fd);
	fd_close(&j->console_fd);
	fd_close(&j->notify_fd);
	for (int k = 0; k < SPEC_NS_KINDS; k++)
		fd_close(&j->ns_fds[k]);
	j->pid = -1;
}
