/*
 * X, the process that executes the program: the rows from its session to the exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/stages.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int program_session(struct start *s, struct err *e)
{
	/* A session of its own: the caller's terminal cannot be reached by TIOCSTI or signals. */
	if (setsid() < 0 && errno != EPERM)
		return err_sys(e, "cannot make a session");
	if (s->pty_slave_fd >= 0 && ioctl(s->pty_slave_fd, TIOCSCTTY, 0) < 0)
		return err_sys(e, "cannot take the terminal as controlling terminal");
	return 0;
}

static const int *given_stdio(const struct start *s)
{
	return s->o ? s->o->stdio : s->x->stdio;
}

/* Extra descriptors become 3, 4, ...; moved high first, since they may overlap. */
static int place_extra(struct start *s, int *ret_n, struct err *e)
{
	const int *fds = s->o ? s->o->extra_fds : s->x->extra_fds;
	size_t n = s->o ? s->o->n_extra_fds : s->x->n_extra_fds;
	int base = 3 + (int)n;

	*ret_n = (int)n;
	if (!n)
		return 0;
	if (s->c_sync < base) {
		int moved = fcntl(s->c_sync, F_DUPFD_CLOEXEC, base);

		if (moved < 0)
			return err_sys(e, "cannot place descriptors");
		s->c_sync = moved;
	}
	AUTO_FREE int *high = mem_new_array(n, sizeof(*high));
	for (size_t i = 0; i < n; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, base);
		if (high[i] < 0)
			return err_sys(e, "cannot pass descriptor %d on", fds[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (dup2(high[i], 3 + (int)i) < 0)
			return err_sys(e, "cannot place descriptors");
		close(high[i]);
	}
	return 0;
}

int program_stdio(struct start *s, struct err *e)
{
	const int *given = given_stdio(s);
	struct stat st;

	for (int i = 0; i < 3; i++) {
		int fd = s->pty_slave_fd >= 0 ? s->pty_slave_fd : given[i];

		/* A folder of the host's as standard input would be a way out. */
		if (!fstat(fd >= 0 ? fd : i, &st) && S_ISDIR(st.st_mode))
			return err_set(e, EISDIR, "descriptor %d is a directory; give a file, a pipe or a terminal", i);
		if (fd >= 0 && fd != i && dup2(fd, i) < 0)
			return err_sys(e, "cannot place descriptor %d", i);
		if (fd >= 0)
			fd_set_cloexec(i, 0);
	}
	if (s->pty_slave_fd >= 0) {
		/* The jail's user owns its terminal, as login would have it. */
		if (fchown(s->pty_slave_fd, s->process->user.uid, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)
			return err_sys(e, "cannot give the terminal to the program's user");
		fd_close(&s->pty_slave_fd);
	}
	return 0;
}

/*
 * The working folder is opened inside the root, without magic links, and entered by
 * descriptor; getcwd then proves that it has a name there (CVE-2024-21626 is what happens
 * when it has not).
 */
int program_cwd(struct start *s, struct err *e)
{
	const char *cwd = s->process->cwd;
	char path[4096];
	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int fd = -1;

	if (root < 0)
		return err_sys(e, "cannot open '/'");
	if (!cwd || cwd[0] != '/')
		return err_set(e, EINVAL, "working folder '%s' is not an absolute path", cwd ? cwd : "");
	fd = s->o ? path_mkdirs(root, cwd, 0755, e) : path_open(root, cwd, O_PATH | O_DIRECTORY, PATH_IN_ROOT, e);
	if (fd < 0 || fchdir(fd) < 0)
		return fd < 0 ? err_prefix(e, "working folder '%s'", cwd) : err_sys(e, "cannot enter the working folder '%s'", cwd);
	if (!getcwd(path, sizeof(path)) || path[0] != '/')
		return err_set(e, EXDEV, "working folder '%s' is outside the jail's root", cwd);
	return 0;
}

static int check_executable(int root, const char *path)
{
	AUTO_FD int fd = path_try(root, path, O_PATH, PATH_IN_ROOT);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	/* AT_EACCESS: by the ids that the program will have. */
	return faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) < 0 ? -errno : 0;
}

static int cannot_execute(const char *path, int code, struct err *e)
{
	err_set(e, code, "cannot execute '%s': %s", path, strerrordesc_np(code));
	if (code == ENOENT || code == ENOTDIR)
		return err_exit(e, ERR_EXIT_NOT_FOUND);
	return err_exit(e, ERR_EXIT_CANNOT_RUN);
}

/* A name without '/' is looked for along PATH; the best error is kept: found but not allowed. */
static int search_path(struct start *s, int root, const char *name, struct err *e)
{
	const char *path = strv_getenv(&s->process->env, "PATH");
	AUTO_FREE char *copy = str_dup(path && *path ? path : DEFAULT_PATH);
	char *save = NULL;
	int worst = ENOENT;

	for (char *dir = strtok_r(copy, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		AUTO_FREE char *full = str_fmt("%s/%s", dir, name);
		int r = check_executable(root, full);

		if (!r) {
			s->exec_path = mem_take(&full);
			return 0;
		}
		if (r == -EACCES)
			worst = EACCES;
	}
	if (worst == EACCES)
		return cannot_execute(name, EACCES, e);
	err_set(e, ENOENT, "cannot execute '%s': executable file not found in $PATH", name);
	return err_exit(e, ERR_EXIT_NOT_FOUND);
}

/* Before "created" is said: the engines that drive us expect a missing program at create. */
int program_find(struct start *s, struct err *e)
{
	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *name;
	int r;

	if (!s->process->args.n)
		return err_set(e, EINVAL, "process.args is empty: there is no program to execute");
	name = s->process->args.v[0];
	if (!*name)
		return cannot_execute(name, ENOENT, e);
	if (!strchr(name, '/'))
		return search_path(s, root, name, e);
	if (name[0] == '/') {
		r = check_executable(root, name);
	} else {
		/* Relative to the working folder; may climb inside the root only. */
		AUTO_FREE char *full = str_fmt("%s/%s", s->process->cwd, name);

		r = check_executable(root, full);
	}
	if (r < 0)
		return cannot_execute(name, -r, e);
	s->exec_path = str_dup(name);
	return 0;
}

/* Waits on a socket of the state directory for the process that will say "start". */
static int wait_on_socket(struct start *s, struct err *e)
{
	int conn;

	do
		conn = accept4(s->o->start_socket_fd, NULL, NULL, SOCK_CLOEXEC);
	while (conn < 0 && errno == EINTR);
	if (conn < 0)
		return err_sys(e, "cannot wait to be started");
	fd_close(&s->c_sync);
	s->c_sync = conn;
	return 0;
}

/* Says "created" to P and waits for "go": from P, or from whoever connects. */
int program_created(struct start *s, struct err *e)
{
	struct sync_msg msg;

	if (s->x || s->o->start_now)
		return 0;
	if (sync_send(s->c_sync, SYNC_CREATED, -1) < 0)
		_exit(ERR_EXIT_TOOL);
	if (s->o->start_socket_fd >= 0 && wait_on_socket(s, e) < 0)
		return -e->code;
	/* End of file: P has gone before it said go. */
	if (sync_recv(s->c_sync, &msg, NULL) != SYNC_GO)
		_exit(ERR_EXIT_TOOL);
	return 0;
}

void program_fail(struct start *s, const struct err *e)
{
	sync_send_err(s->c_sync, e);
	_exit(e->exit_code ? e->exit_code : ERR_EXIT_TOOL);
}

int program_filter(struct start *s, struct err *e)
{
	int listener = -1;

	if (!s->filter || s->filtered)
		return 0;
	if (iso_filter_apply(s->filter, s->filter->notify, &listener, e) < 0)
		return -e->code;
	if (listener >= 0 && sync_send(s->c_sync, SYNC_NOTIFY, listener) < 0)
		return err_set(e, EPIPE, "cannot hand the seccomp listener over");
	fd_close(&listener);
	s->filtered = true;
	return 0;
}

static int close_inherited(const struct start *s, int from, struct err *e)
{
	if ((s->c_sync > from && close_range((unsigned int)from, (unsigned int)s->c_sync - 1, 0) < 0) ||
		close_range((unsigned int)s->c_sync + 1, UINT_MAX, 0) < 0)
		return err_sys(e, "cannot close inherited descriptors");
	return 0;
}

void program_exec(struct start *s)
{
	struct err e = {0};
	char *const none[] = {NULL};
	int n_extra = 0, code;

	if (place_extra(s, &n_extra, &e) < 0)
		program_fail(s, &e);
	/* All else is close-on-exec already; this is the second lock on that door. */
	if (close_inherited(s, 3 + n_extra, &e) < 0)
		program_fail(s, &e);
	if (program_filter(s, &e) < 0)
		program_fail(s, &e);
	execve(s->exec_path, s->process->args.v, s->process->env.v ? s->process->env.v : none);
	code = errno;
	cannot_execute(s->process->args.v[0], code, &e);
	if (code == ENOENT)
		err_hint(&e, "the file exists, so its interpreter or loader is missing in the root");
	if (code == ENOEXEC)
		err_hint(&e, "it is no program for this machine");
	program_fail(s, &e);
}
