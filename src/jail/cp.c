/*
 * Files in and out.  The jail's side is done by a visitor: a child of this process that joins
 * the jail's user and mount namespaces by the init's pidfd, keeps four file capabilities over
 * the jail's own ids, and talks to us by one socket.  It is in no pid namespace of the jail's,
 * so nothing inside can see, stop or trace it; and whatever it is made to do, it can only do to
 * the jail's own files.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/confine.h"
#include "jail/client.h"
#include "jail/stream.h"

enum { PROGRESS_MS = 30000 };

/* Where something is: the directory that holds it, and its name there. */
struct place {
	int dir;
	char *name;
};

static void place_release(struct place *p)
{
	fd_close(&p->dir);
	free(p->name);
}
#define AUTO_PLACE __attribute__((cleanup(place_release)))

static int open_dir(int root, const char *path, struct err *e)
{
	int fd;

	if (root >= 0)
		return path_open(root, *path ? path : "/", O_RDONLY | O_DIRECTORY, PATH_IN_ROOT, e);
	fd = open(*path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "cannot open '%s'", path) : fd;
}

/* root < 0: a path of the host's, by the caller's own rights. */
static int find_source(int root, const char *path, struct place *ret, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	const char *base;

	if (path_split(path, &dir, &base, e) < 0)
		return err_prefix(e, "cannot copy '%s'", path);
	ret->name = str_dup_n(base, strcspn(base, "/"));
	ret->dir = open_dir(root, dir, e);
	return ret->dir < 0 ? err_prefix(e, "cannot copy '%s'", path) : 0;
}

/* An existing directory is copied into; else the last component is the new name. */
static int find_target(
	int root, const char *path, const char *source_name, struct place *ret, struct err *e)
{
	struct err none = {0};

	ret->dir = open_dir(root, path, &none);
	if (ret->dir >= 0) {
		ret->name = str_dup(source_name);
		return 0;
	}
	if (str_ends(path, "/"))
		return err_set(e, ENOENT, "cannot copy to '%s': there is no such folder", path);
	if (find_source(root, path, ret, e) < 0)
		return err_prefix(e, "cannot copy to '%s'", path);
	return 0;
}

static const char *last_component(const char *path, char *buf, size_t room)
{
	size_t n = strlen(path), at;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (at = n; at && path[at - 1] != '/'; at--)
		;
	n = MIN(n - at, room - 1);
	memcpy(buf, path + at, n);
	buf[n] = '\0';
	return buf;
}

/* ---- the visitor ---- */

/* A plain user's jail is entered by the two namespaces that were opened at its birth. */
static int join(const struct entry_fds *in)
{
	if (in->user >= 0)
		return setns(in->user, CLONE_NEWUSER) < 0 ? -1 : setns(in->mnt, CLONE_NEWNS);
	return setns(in->pidfd, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS);
}

static int enter(const struct entry_fds *in, struct err *e)
{
	static const struct spec_capabilities files = {
		.bounding = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER |
			    1u << CAP_DAC_READ_SEARCH,
		.effective = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER |
			     1u << CAP_DAC_READ_SEARCH,
		.permitted = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER |
			     1u << CAP_DAC_READ_SEARCH};
	const struct rlimit no_core = {0};

	setrlimit(RLIMIT_CORE, &no_core);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "cannot prepare to enter the jail");
	if (join(in) < 0)
		return errno == ESRCH ? err_set(e, ESRCH, "the jail has ended")
				      : err_sys(e, "cannot enter the jail");
	/* Where the one id inside is not 0 there is nothing to change, nor groups to drop. */
	if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
		return err_sys(e, "cannot drop groups");
	if ((syscall(SYS_setresgid, 0, 0, 0) < 0 && errno != EINVAL) ||
		(syscall(SYS_setresuid, 0, 0, 0) < 0 && errno != EINVAL))
		return err_sys(e, "cannot become the jail's root");
	if (iso_bounding_apply(&files, e) < 0 || iso_no_new_privs(e) < 0 ||
		iso_caps_apply(&files, e) < 0)
		return -e->code;
	umask(022);
	return chdir("/") < 0 ? err_sys(e, "cannot enter the jail's root") : 0;
}

static int visit(const struct entry_fds *in, int sock, const struct jail_cp_opts *o, struct err *e)
{
	struct place p AUTO_PLACE = {.dir = -1};
	AUTO_FD int root = -1;
	const int keep[] = {in->pidfd, in->user, in->mnt, sock};
	char name[256];
	uint64_t bytes;
	uint32_t skipped;

	if (fd_close_others(keep, ARRAY_SIZE(keep), e) < 0 || enter(in, e) < 0)
		return -e->code;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, "cannot open the jail's root");
	if (!o->in)
		return find_source(root, o->jail_path, &p, e) < 0
			       ? -e->code
			       : stream_send(sock, p.dir, p.name, e);
	if (find_target(root, o->jail_path, last_component(o->host_path, name, sizeof(name)), &p,
		    e) < 0)
		return -e->code;
	return stream_receive(sock, p.dir, p.name, &(struct stream_opts){0}, &bytes, &skipped, e);
}

/* In the child: the result goes to the parent as the stream's end or as an error. */
static void __attribute__((noreturn))
visitor(const struct entry_fds *in, int sock, const struct jail_cp_opts *o)
{
	struct err e = {0};
	sigset_t none;
	int r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	r = visit(in, sock, o, &e);
	if (r < 0)
		stream_send_error(sock, &e);
	else if (o->in && send(sock, "", 1, MSG_NOSIGNAL) != 1)
		r = -EPIPE;
	_exit(r < 0);
}

/* ---- our side ---- */

static int copy_out(int sock, const struct jail_cp_opts *o, uint64_t *ret_bytes, struct err *e)
{
	struct place p AUTO_PLACE = {.dir = -1};
	uint32_t skipped;
	char name[256];

	if (find_target(-1, o->host_path, last_component(o->jail_path, name, sizeof(name)), &p, e) <
			0 ||
		stream_receive(sock, p.dir, p.name, &(struct stream_opts){.owners = o->owners},
			ret_bytes, &skipped, e) < 0)
		return -e->code;
	if (skipped)
		return err_set(e, EOPNOTSUPP,
			"copied '%s', but left out %u devices, FIFOs or sockets in it",
			o->jail_path, skipped);
	return 0;
}

static int copy_in(int sock, const struct jail_cp_opts *o, uint64_t *ret_bytes, struct err *e)
{
	struct place p AUTO_PLACE = {.dir = -1};
	struct err sending = {0};
	struct stream_head answer = {0};
	int r;

	(void)ret_bytes;
	if (find_source(-1, o->host_path, &p, e) < 0)
		return -e->code;
	r = stream_send(sock, p.dir, p.name, &sending);
	if (r < 0 && sending.code != EPIPE && sending.code != ECONNRESET) {
		*e = sending;
		return r;
	}
	/* One byte when all is done, or why not. */
	if (fd_read_full(sock, &answer, 1) != 1)
		return r < 0 ? (*e = sending, r)
			     : err_set(e, EPIPE, "the process that writes in the jail died");
	if (!*(char *)&answer)
		return 0;
	if (fd_read_full(sock, (char *)&answer + 1, sizeof(answer) - 1) !=
			(ssize_t)sizeof(answer) - 1 ||
		answer.kind != STREAM_ERROR ||
		fd_read_full(sock, e, sizeof(*e)) != (ssize_t)sizeof(*e))
		return err_set(e, EPROTO, "the process that writes in the jail talks nonsense");
	err_sanitize(e);
	return -e->code;
}

static int set_timeouts(int sock, uint64_t ms)
{
	const struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	return setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int copy(const struct entry_fds *in, const struct jail_cp_opts *o, uint64_t *ret_bytes,
	struct err *e)
{
	AUTO_FD int pidfd = -1;
	AUTO_FD int sock = -1;
	int pair[2], status, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket");
	sock = pair[0];
	set_timeouts(pair[0], o->timeout_ms ? o->timeout_ms : PROGRESS_MS);
	set_timeouts(pair[1], o->timeout_ms ? o->timeout_ms : PROGRESS_MS);
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0)
		visitor(in, pair[1], o);
	close(pair[1]);
	if (pid < 0)
		return err_set(e, -pid, "cannot start a process: %s", strerrordesc_np(-pid));
	r = o->in ? copy_in(sock, o, ret_bytes, e) : copy_out(sock, o, ret_bytes, e);
	if (r < 0)
		proc_signal(pidfd, SIGKILL);
	proc_wait(pidfd, &status);
	return r;
}

static int check(const struct jail_cp_opts *o, struct err *e)
{
	if (!o->jail_path || o->jail_path[0] != '/')
		return err_set(e, EINVAL, "path '%s' in the jail is not absolute",
			o->jail_path ? o->jail_path : "");
	if (!o->host_path || !*o->host_path)
		return err_set(e, EINVAL, "the path on the host is empty");
	if (o->owners && (o->in || geteuid() != 0))
		return err_set(e, EPERM, "only root can keep owners, and only out of a jail");
	return 0;
}

int jail_cp(struct jail_env *env, const char *which, const struct jail_cp_opts *o,
	uint64_t *ret_bytes, struct err *e)
{
	struct idx_record rec;
	uint64_t bytes = 0;
	struct err up = {0};
	struct entry_fds in;
	int r;

	if (check(o, e) < 0)
		return -e->code;
	AUTO_FD int sock = client_open(env, which, &rec, &up);
	if (sock == -ESRCH)
		return jail_visit(env, which, copy, o, ret_bytes, e);
	if (sock < 0) {
		*e = up;
		return sock;
	}
	if (client_entry(sock, &in, e) < 0)
		return -e->code;
	r = copy(&in, o, &bytes, e);
	entry_release(&in);
	if (ret_bytes)
		*ret_bytes = bytes;
	return r;
}
