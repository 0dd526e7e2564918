#include "jail/updown.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"

enum { KILL_WAIT_MS = 10000, LISTEN_BACKLOG = 64 };

static void undo_failed(struct up *u, const struct err *e)
{
	if (u->undo_err && !u->undo_err->code)
		*u->undo_err = *e;
}

/* ---- the folder of running state ---- */

static int run_dir_do(struct up *u, struct err *e)
{
	char path[JAIL_NAME_MAX + 8];

	snprintf(path, sizeof(path), RUN_JAILS "/%s", u->name);
	if (mkdirat(u->env->run_fd, path, 0700) == 0)
		return 0;
	if (errno == ENOENT && (mkdirat(u->env->run_fd, RUN_JAILS, 0700) == 0 || errno == EEXIST) &&
		mkdirat(u->env->run_fd, path, 0700) == 0)
		return 0;
	return err_sys(e, "cannot make '%s/%s'", u->env->run_dir, path);
}

static void run_dir_undo(struct up *u)
{
	struct err e = {0};
	AUTO_FD int jails =
		path_try(u->env->run_fd, RUN_JAILS, O_RDONLY | O_DIRECTORY, PATH_NO_SYMLINKS);

	if (jails >= 0 && path_rmtree(jails, u->name, &e) < 0)
		undo_failed(u, &e);
}

/* ---- the writable layer on disk ---- */

static bool has_layer(const struct up *u)
{
	return !u->ephemeral && !u->def->root.rw;
}

static int make_owned_dir(int at, const char *name, mode_t mode, uid_t id, struct err *e)
{
	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make the writable layer '%s'", name);
	AUTO_FD int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open the writable layer '%s'", name);
	if (id != (uid_t)-1 && fchown(fd, id, id) < 0)
		return err_sys(e, "cannot give the writable layer '%s' to the jail", name);
	return 0;
}

static int layer_do(struct up *u, struct err *e)
{
	uid_t id = u->env->root ? u->def->made.id_base : (uid_t)-1;
	AUTO_FD int dir = -1;
	AUTO_FD int layer = -1;

	if (!has_layer(u))
		return 0;
	dir = env_jail_dir(u->env, u->name, e);
	/* Only what lies inside belongs to the jail: no mapped id owns the folder (E10). */
	if (dir < 0 || make_owned_dir(dir, "layer", 0711, (uid_t)-1, e) < 0)
		return -e->code;
	layer = openat(dir, "layer", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (layer < 0)
		return err_sys(e, "cannot open the writable layer");
	if (faccessat(layer, "upper", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
		faccessat(layer, "work", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (make_owned_dir(layer, "upper", 0755, id, e) < 0 ||
		make_owned_dir(layer, "work", 0700, id, e) < 0)
		return -e->code;
	return 0;
}

/* ---- the control socket ---- */

static int control_do(struct up *u, struct err *e)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	AUTO_FD int dir = env_run_dir(u->env, u->name, e);
	mode_t mask;
	int r;

	if (dir < 0)
		return dir;
	if (fd < 0)
		return err_sys(e, "cannot make the control socket");
	/* By descriptor: run_dir may be longer than the 107 bytes that an address holds. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/ctl.sock", dir);
	/* A socket's mode is the umask's at bind; fchmod on it would change nothing. */
	mask = umask(077);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (r < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return err_sys(e, "cannot make the control socket");
	u->listen_fd = fd_take(&fd);
	return 0;
}

static void control_undo(struct up *u)
{
	fd_close(&u->listen_fd);
}

/* ---- the spec ---- */

static int compose_do(struct up *u, struct err *e)
{
	AUTO_FREE char *run = str_fmt("%s/" RUN_JAILS "/%s", u->env->run_dir, u->name);
	AUTO_FREE char *layer =
		has_layer(u) ? str_fmt("%s/jails/%s/layer", u->env->state_dir, u->name) : NULL;

	u->c = mem_new(sizeof(*u->c));
	return compose(u->env, u->name, u->def, run, layer, u->c, e);
}

static void compose_undo(struct up *u)
{
	if (u->c)
		composed_release(u->c);
	free(u->c);
	u->c = NULL;
}

/* ---- where output goes ---- */

/* A program that opens /dev/stdout again does so with its own ids. */
static void give_pipe(const struct up *u, int fd)
{
	const struct spec_user *user = &u->c->spec.process->user;
	uint32_t base = u->def->made.id_base;

	if (u->env->root && base && fchown(fd, base + user->uid, base + user->gid) < 0)
		return; /* it can write what it has open all the same */
}

static int open_log(struct up *u, struct err *e)
{
	AUTO_FD int dir =
		u->ephemeral ? env_run_dir(u->env, u->name, e) : env_jail_dir(u->env, u->name, e);

	if (dir < 0)
		return dir;
	u->log = mem_new(sizeof(*u->log));
	return log_open(u->log, dir, u->def->log.max_bytes, u->def->log.files, e);
}

static int log_do(struct up *u, struct err *e)
{
	bool logs = !u->def->log.none && (!u->attached || u->def->terminal) &&
		    !(u->attached && u->ephemeral);

	if (logs && !u->log && open_log(u, e) < 0)
		return -e->code;
	if (u->attached || u->def->terminal) {
		for (int i = 0; i < 3; i++)
			u->program_fd[i] =
				u->stdio[i] >= 0 ? fcntl(u->stdio[i], F_DUPFD_CLOEXEC, 3) : -1;
		if (!u->def->terminal)
			return 0;
	}
	for (int i = 0; i < 3; i++) {
		int pipe_fds[2];

		fd_close(&u->program_fd[i]);
		if (i == 0 || !logs || u->def->terminal) {
			u->program_fd[i] = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
			if (u->program_fd[i] < 0)
				return err_sys(e, "cannot open '/dev/null'");
			continue;
		}
		if (pipe2(pipe_fds, O_CLOEXEC) < 0)
			return err_sys(e, "cannot make a pipe");
		u->out_fd[i - 1] = pipe_fds[0];
		u->program_fd[i] = pipe_fds[1];
		fd_set_nonblock(pipe_fds[0], 1);
		give_pipe(u, pipe_fds[1]);
	}
	return 0;
}

static void log_undo(struct up *u)
{
	for (int i = 0; i < 3; i++)
		fd_close(&u->program_fd[i]);
	for (int i = 0; i < LOG_STREAMS; i++)
		fd_close(&u->out_fd[i]);
	if (u->log)
		log_close(u->log);
	free(u->log);
	u->log = NULL;
}

/* ---- the control group ---- */

static int cgroup_do(struct up *u, struct err *e)
{
	AUTO_FREE char *path = env_cgroup(u->env, u->name);
	struct idx_record *r;

	if (iso_cgroup_create(path, u->c->resources, ISO_CGROUP_LEAN, &u->cg, e) < 0)
		return -e->code;
	r = idx_edit(u->env->index, u->slot);
	r->flags = u->cg.soft_reason[0] ? r->flags | IDX_SOFT : r->flags & ~(uint32_t)IDX_SOFT;
	idx_done(u->env->index, u->slot);
	return 0;
}

static void cgroup_undo(struct up *u)
{
	AUTO_FREE char *path = env_cgroup(u->env, u->name);
	struct err e = {0};
	int r;

	if (!u->cg.path) {
		r = iso_cgroup_open(path, &u->cg, &e);
		if (r < 0) {
			if (r != -ENOENT)
				undo_failed(u, &e);
			return;
		}
	}
	if (iso_cgroup_kill(&u->cg, KILL_WAIT_MS, &e) < 0 || iso_cgroup_destroy(&u->cg, &e) < 0)
		undo_failed(u, &e);
	iso_cgroup_release(&u->cg);
	u->cg = (struct iso_cgroup)ISO_CGROUP_INIT;
}

/* ---- the processes ---- */

static int create_do(struct up *u, struct err *e)
{
	struct iso_opts *o = &u->c->opts;
	struct idx_record *r;
	uint64_t started = 0;

	o->cgroup = &u->cg;
	o->trace = u->trace;
	/* Nothing is attached between the two yet: start does the rest. */
	o->start_now = true;
	for (int i = 0; i < 3; i++)
		o->stdio[i] = u->program_fd[i];
	u->c->spec.process->console_size.height = u->rows ? u->rows : 24;
	u->c->spec.process->console_size.width = u->cols ? u->cols : 80;
	if (iso_create(o, &u->jail, e) < 0)
		return -e->code;
	proc_start_time(u->jail.pid, &started);
	r = idx_edit(u->env->index, u->slot);
	r->init_pid = u->jail.pid;
	r->init_start = started;
	idx_done(u->env->index, u->slot);
	return 0;
}

static void create_undo(struct up *u)
{
	int status;

	if (u->jail.pidfd >= 0) {
		/* With the init its whole pid namespace goes. */
		proc_signal(u->jail.pidfd, SIGKILL);
		proc_wait(u->jail.pidfd, &status);
		iso_jail_release(&u->jail);
		return;
	}
	/* Repair: the init dies with its supervisor, but may still be about it. */
	if (u->init_pid > 0) {
		AUTO_FD int pidfd = proc_pidfd(u->init_pid);
		uint64_t started;

		if (pidfd >= 0 && proc_start_time(u->init_pid, &started) == 0 &&
			started == u->init_start)
			proc_signal(pidfd, SIGKILL);
	}
}

static int start_do(struct up *u, struct err *e)
{
	int r = u->c->opts.start_now ? 0 : iso_start(&u->jail, e);

	/* The program holds its own copies now; ours would keep its pipes from ending. */
	for (int i = 0; i < 3; i++)
		fd_close(&u->program_fd[i]);
	return r;
}

/* ---- the tables ---- */

static const struct row {
	const char *name;
	int (*run)(struct up *u, struct err *e);
	void (*undo)(struct up *u);
} rows[UP_ROWS] = {
	[UP_RUN_DIR] = {"run-dir", run_dir_do, run_dir_undo},
	[UP_LAYER] = {"layer", layer_do, NULL}, /* what the jail wrote stays until destroy */
	[UP_CONTROL] = {"control", control_do, control_undo},
	[UP_COMPOSE] = {"compose", compose_do, compose_undo},
	[UP_LOG] = {"log", log_do, log_undo},
	[UP_CGROUP] = {"cgroup", cgroup_do, cgroup_undo},
	[UP_CREATE] = {"create", create_do, create_undo},
	[UP_START] = {"start", start_do, NULL}, /* create's undo ends what runs */
};

const char *up_row_name(enum up_row row)
{
	return rows[row].name;
}

#ifdef JAIL_FAULT
/* JAIL_FAULT_STAGE="up:ROW:kill", "up:ROW:fail" or "down:ROW:kill": test builds only. */
static int fault(const char *way, const char *name, struct err *e)
{
	const char *want = getenv("JAIL_FAULT_STAGE");
	AUTO_FREE char *prefix = str_fmt("%s:%s:", way, name);

	if (!want || !str_starts(want, prefix))
		return 0;
	if (!strcmp(want + strlen(prefix), "kill"))
		kill(getpid(), SIGKILL);
	return err_set(e, EIO, "fault injected at %s row '%s'", way, name);
}
#else
static int fault(const char *way, const char *name, struct err *e)
{
	(void)way;
	(void)name;
	(void)e;
	return 0;
}
#endif

int up_run(struct up *u, enum up_row from, struct err *e)
{
	for (int i = (int)from; i < UP_ROWS; i++) {
		int r = fault("up", rows[i].name, e);

		if (!r)
			r = rows[i].run(u, e);
		if (r < 0) {
			down_run(u, from);
			return r;
		}
	}
	return 0;
}

void down_run(struct up *u, enum up_row to)
{
	struct err none = {0};

	for (int i = UP_ROWS - 1; i >= (int)to; i--) {
		fault("down", rows[i].name, &none);
		if (rows[i].undo)
			rows[i].undo(u);
	}
}
