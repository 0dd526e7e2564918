#include "jail/super.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "jail/super_int.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 60000,
	STABLE_MS = 10000,
	NUDGE_MS = 200,
	NUDGE_SLOW_MS = 1000,
	STOP_DEFAULT_MS = 10000,
	KILL_AGAIN_MS = 1000
};

/* ---- sources ---- */

int source_add(struct super *s, struct source *src, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = src};

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
		return -errno;
	src->events = events;
	return 0;
}

void source_set(struct super *s, struct source *src, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = src};

	if (src->fd < 0 || src->events == events)
		return;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, src->fd, &ev) == 0)
		src->events = events;
}

/* Closing alone would not do: a copy of the descriptor may live on in a child. */
void source_close(struct super *s, struct source *src)
{
	if (src->fd < 0)
		return;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	fd_close(&src->fd);
}

/* ---- the record ---- */

/* A copy of the record, for an index that somebody damages under us. */
static void remember(struct super *s)
{
	idx_read(s->up.env->index, s->up.slot, &s->own);
}

void super_state(struct super *s, enum jail_state state)
{
	struct idx_record *r = idx_edit(s->up.env->index, s->up.slot);

	r->state = state;
	idx_done(s->up.env->index, s->up.slot);
	remember(s);
}

void super_event(struct super *s, enum jail_event_kind kind, int value, const char *detail)
{
	AUTO_FREE char *shown = detail ? str_visible(detail) : NULL;

	if (!s->visit)
		idx_event(s->up.env->index, kind, s->name, s->jid, value, shown);
}

static void record_up(struct super *s)
{
	struct idx_record *r = idx_edit(s->up.env->index, s->up.slot);

	r->state = JAIL_RUNNING;
	r->started_ms = time_wall_ms();
	r->stopped_ms = 0;
	r->exit_code = 0;
	r->restarts = s->restarts;
	r->flags &= ~(uint32_t)IDX_OOM;
	idx_done(s->up.env->index, s->up.slot);
	remember(s);
}

/* last.json: how it ended, for an index that is lost or of the next boot. */
static void keep_last(struct super *s)
{
	char text[160];
	struct err e = {0};
	AUTO_FD int dir = env_jail_dir(s->up.env, s->name, &e);
	int n = snprintf(text, sizeof(text),
		"{\"exitCode\": %d, \"stoppedMs\": %llu, \"oom\": %s}\n", s->code,
		(unsigned long long)time_wall_ms(), s->oom_killed ? "true" : "false");

	if (dir >= 0)
		file_replace(dir, LAST_FILE, text, (size_t)n, 0600, 0, &e);
}

/* The last thing that this process does to the index; afterwards the record is not its own. */
static void record_end(struct super *s)
{
	struct jail_index *ix = s->up.env->index;
	struct err e = {0};

	if (s->ephemeral) {
		if (idx_reopen(s->up.env, &e) == 0 && idx_lock(ix, &e) == 0) {
			idx_free(ix, s->up.slot);
			idx_unlock(ix);
		}
		idx_event(ix, JAIL_EV_DESTROY, s->name, s->jid, 0, NULL);
		return;
	}
	record_stopped(ix, s->up.slot, s->code, s->oom_killed);
	idx_disown(ix, s->up.slot);
}

/* ---- up ---- */

static void sources_init(struct super *s)
{
	struct source *all[] = {&s->listener, &s->init, &s->signals, &s->oom, &s->out[0],
		&s->out[1], &s->master, &s->data};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->fd = -1;
}

/* Only what this process needs, so that no descriptor of the caller's reaches the jail. */
static int shed_descriptors(const struct super_start *st, struct err *e)
{
	const struct jail_env *env = st->env;
	const int keep[] = {env->state_fd, env->run_fd, env->jails_fd, st->channel, st->stdio[0],
		st->stdio[1], st->stdio[2]};

	fd_close(&st->env->index->fd);
	return fd_close_others(keep, ARRAY_SIZE(keep), e);
}

static int null_stdio(struct err *e)
{
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (null < 0)
		return err_sys(e, "cannot open '/dev/null'");
	for (int i = 0; i < 3; i++)
		if (dup2(null, i) < 0)
			return err_sys(e, "cannot let go of the caller's descriptors");
	return 0;
}

static void settle(const char *name)
{
	AUTO_FREE char *title = str_fmt("jail: %s", name);
	AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	sigset_t all;

	/* Every signal is blocked; those that mean something come by signalfd. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	umask(022);
	if (chdir("/") < 0)
		abort();
	prctl(PR_SET_NAME, "jail-supervise");
	if (proc >= 0)
		proc_set_title(proc, title);
}

static void take_policy(struct super *s, const struct jail_def *def)
{
	const struct jail_limits *l = &def->limits;

	s->persist = def->persist;
	s->terminal = def->terminal;
	s->restart = def->restart.policy;
	s->restart_max = (uint32_t)MIN(def->restart.max_retries, UINT32_MAX);
	s->stop_signal = def->stop_signal ? def->stop_signal : SIGTERM;
	s->stop_timeout_ms = def->has_stop_timeout_ms ? def->stop_timeout_ms : STOP_DEFAULT_MS;
	s->wall_ms = l->has_wall_ms ? l->wall_ms : NEVER;
}

/*
 * The code of a start, which a supervisor that only waits will not run again.  It is in the
 * page cache and comes back by itself; counted against this process it need not be.
 */
static void drop_code(void)
{
	extern const char __executable_start[], etext[];
	uintptr_t from = (uintptr_t)__executable_start, to = (uintptr_t)etext & ~(uintptr_t)4095;

	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

/* What a start needed and nothing later does; the rest of the spec is exec's policy. */
static void slim(struct super *s)
{
	struct spec rest = {0}, *spec = &s->up.c->spec;

	s->caps = spec->process->capabilities->bounding;
	rest.mounts = spec->mounts, rest.n_mounts = spec->n_mounts;
	rest.linux.masked_paths = spec->linux.masked_paths;
	rest.linux.readonly_paths = spec->linux.readonly_paths;
	rest.linux.resources = spec->linux.resources;
	spec->mounts = NULL, spec->n_mounts = 0;
	spec->linux.masked_paths = spec->linux.readonly_paths = (struct strv){0};
	spec->linux.resources = s->up.c->resources = NULL;
	spec_release(&rest);
	malloc_trim(0);
	if (!s->ephemeral)
		drop_code();
}

static void on_init_end(struct super *s, struct source *src, uint32_t events);

static void on_oom(struct super *s, struct source *src, uint32_t events)
{
	uint64_t count;
	struct err e = {0};

	(void)events;
	if (read(src->fd, &count, sizeof(count)) < 0)
		return;
	/* v1 kills one process; a jail that lost one of its own at random is worse than none. */
	s->oom_killed = true;
	super_event(s, JAIL_EV_OOM, 0, NULL);
	/* Without waiting: the init ends when what this very process has to reap has ended. */
	iso_cgroup_signal(&s->up.cg, SIGKILL, &e);
}

/* The rows are up: watch what they made. */
static int watch(struct super *s, struct err *e)
{
	struct err none = {0};
	int fd;

	if (s->listener.fd < 0) {
		s->listener = (struct source){.on = conn_accept, .fd = fd_take(&s->up.listen_fd)};
		if (source_add(s, &s->listener, EPOLLIN) < 0)
			return err_set(e, EIO, "cannot watch the control socket");
	}
	s->init = (struct source){.on = on_init_end, .fd = dup(s->up.jail.pidfd)};
	if (s->init.fd < 0 || source_add(s, &s->init, EPOLLIN) < 0)
		return err_set(e, EIO, "cannot watch the jail's init");
	fd = iso_cgroup_oom_eventfd(&s->up.cg, &none);
	if (fd >= 0) {
		s->oom = (struct source){.on = on_oom, .fd = fd};
		source_add(s, &s->oom, EPOLLIN);
	}
	logs_open(s);
	if (term_open(s, e) < 0)
		return -e->code;
	s->started_mono_ms = time_mono_ms();
	s->wall_at = s->wall_ms == NEVER ? NEVER : s->started_mono_ms + s->wall_ms;
	s->phase = PHASE_UP;
	s->oom_killed = false;
	s->code = 0;
	record_up(s);
	super_event(s, JAIL_EV_START, 0, NULL);
	return 0;
}

/* ---- the end, and beginning again ---- */

static void unwatch(struct super *s)
{
	source_close(s, &s->init);
	source_close(s, &s->oom);
	logs_close(s);
	term_close(s);
	s->kill_at = s->nudge_at = s->wall_at = NEVER;
}

static bool shall_restart(const struct super *s)
{
	if (s->phase == PHASE_STOPPING || s->restart == JAIL_RESTART_NO)
		return false;
	if (s->restart == JAIL_RESTART_ON_FAILURE &&
		(s->code == 0 || (s->restart_max && s->restarts >= s->restart_max)))
		return false;
	return true;
}

static void note_oom(struct super *s)
{
	struct iso_stats st;
	struct err e = {0};

	if (s->oom_killed || iso_cgroup_stats(&s->up.cg, &st, &e) < 0 ||
		st.oom_kills == UINT64_MAX || !st.oom_kills)
		return;
	s->oom_killed = true;
	super_event(s, JAIL_EV_OOM, 0, NULL);
}

static void on_init_end(struct super *s, struct source *src, uint32_t events)
{
	int status = 0;
	bool stable = time_mono_ms() - s->started_mono_ms >= STABLE_MS;

	(void)src;
	(void)events;
	if (proc_wait(s->up.jail.pidfd, &status) == 0)
		s->code = proc_exit_code(status);
	fd_close(&s->up.jail.pidfd);
	note_oom(s);
	unwatch(s);
	super_event(s, JAIL_EV_EXIT, s->code, NULL);
	if (!shall_restart(s)) {
		s->phase = PHASE_ENDED;
		return;
	}
	down_run(&s->up, UP_COMPOSE);
	s->backoff_ms = stable || !s->backoff_ms ? BACKOFF_FIRST_MS
						 : MIN(s->backoff_ms * 2, BACKOFF_MAX_MS);
	if (stable)
		s->restarts = 0;
	s->restart_at = time_mono_ms() + s->backoff_ms;
	s->phase = PHASE_BACKOFF;
	super_state(s, JAIL_RESTARTING);
}

static void begin_again(struct super *s)
{
	struct err e = {0};
	struct jail_def fresh = JAIL_DEF_INIT;

	s->restart_at = NEVER;
	s->restarts++;
	if (!s->ephemeral && def_read(s->up.env, s->name, &fresh, &e) == 0) {
		jail_def_release(&s->def);
		s->def = fresh;
		take_policy(s, &s->def);
	}
	super_event(s, JAIL_EV_RESTART, (int)s->restarts, NULL);
	if (up_run(&s->up, UP_COMPOSE, &e) < 0 || watch(s, &e) < 0) {
		super_event(s, JAIL_EV_EXIT, ERR_EXIT_TOOL, e.text);
		s->code = ERR_EXIT_TOOL;
		s->phase = PHASE_ENDED;
		return;
	}
	slim(s);
}

void super_begin_stop(struct super *s, int signal, uint64_t timeout_ms)
{
	uint64_t now = time_mono_ms();
	struct err e = {0};
	struct idx_record r;

	if (s->phase == PHASE_BACKOFF) {
		s->phase = PHASE_ENDED;
		return;
	}
	if (s->phase == PHASE_ENDED)
		return;
	if (idx_read(s->up.env->index, s->up.slot, &r) && r.state == JAIL_PAUSED)
		iso_cgroup_freeze(&s->up.cg, false, &e);
	super_state(s, JAIL_STOPPING);
	super_event(s, JAIL_EV_STOP, signal ? signal : s->stop_signal, NULL);
	if (timeout_ms)
		proc_signal(s->up.jail.pidfd, signal ? signal : s->stop_signal);
	/* A second stop may shorten the first one's patience, never lengthen it. */
	s->kill_at = MIN(s->phase == PHASE_STOPPING ? s->kill_at : NEVER,
		timeout_ms > NEVER - now - 1 ? NEVER : now + timeout_ms);
	s->nudge_at = s->persist ? now + NUDGE_MS : NEVER;
	s->phase = PHASE_STOPPING;
}

/*
 * The init of a persistent jail hands the first signal to the program and stays.  Once it is
 * alone, a second one is for itself.
 */
static void nudge(struct super *s)
{
	pid_t *pids = NULL;
	size_t n = 0;
	struct err e = {0};
	bool known =
		s->up.cg.mode != ISO_CGROUP_NONE && iso_cgroup_pids(&s->up.cg, &pids, &n, &e) == 0;

	free(pids);
	if (!known || n <= 1)
		proc_signal(s->up.jail.pidfd, SIGTERM);
	s->nudge_at = time_mono_ms() + (known ? NUDGE_MS : NUDGE_SLOW_MS);
}

static void kill_now(struct super *s)
{
	struct err e = {0};

	proc_signal(s->up.jail.pidfd, SIGKILL);
	iso_cgroup_signal(&s->up.cg, SIGKILL, &e);
	s->kill_at = time_mono_ms() + KILL_AGAIN_MS;
}

static void on_signal(struct super *s, struct source *src, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(src->fd, &si, sizeof(si)) == sizeof(si))
		super_begin_stop(s, 0, s->stop_timeout_ms);
}

/* ---- the loop ---- */

static uint64_t next_deadline(const struct super *s)
{
	return MIN(MIN(s->kill_at, s->nudge_at), MIN(s->restart_at, s->wall_at));
}

static void deadlines(struct super *s)
{
	uint64_t now = time_mono_ms();

	if (now >= s->restart_at && s->phase == PHASE_BACKOFF)
		begin_again(s);
	if (now >= s->wall_at && s->phase == PHASE_UP) {
		s->wall_at = NEVER;
		super_event(s, JAIL_EV_STOP, 0, "the wall-clock limit is reached");
		super_begin_stop(s, 0, s->stop_timeout_ms);
	}
	if (now >= s->kill_at && s->phase == PHASE_STOPPING)
		kill_now(s);
	if (now >= s->nudge_at && s->phase == PHASE_STOPPING)
		nudge(s);
}

static void loop(struct super *s)
{
	while (s->phase != PHASE_ENDED) {
		struct epoll_event ev;
		uint64_t at = next_deadline(s), now = time_mono_ms();
		int wait_ms = at == NEVER ? -1 : at <= now ? 0 : (int)MIN(at - now, 3600000u);
		/* One at a time: a handler may close what the next event is about. */
		int n = epoll_wait(s->epoll_fd, &ev, 1, wait_ms);
		struct source *src = ev.data.ptr;

		if (n > 0)
			src->on(s, src, ev.events);
		deadlines(s);
		conn_sweep(s);
	}
}

static void tell_end(struct super *s)
{
	for (struct conn *c = s->conns; c; c = c->next) {
		if (!c->gone && c->stops)
			send_msg(s, c, MSG_OK, s->code, -1);
		else if (!c->gone && (c->waits || c->main || c->exec))
			send_msg(s, c, MSG_EXIT, c->exec ? 128 + SIGKILL : s->code, -1);
	}
}

/* ---- begin ---- */

static int open_loop(struct super *s, struct err *e)
{
	sigset_t set;

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return err_sys(e, "cannot make the supervisor's loop");
	s->reserve_fd = dup(s->epoll_fd);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	s->signals = (struct source){
		.on = on_signal, .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
	if (s->signals.fd < 0 || source_add(s, &s->signals, EPOLLIN) < 0)
		return err_sys(e, "cannot make the supervisor's loop");
	return 0;
}

static int begin(struct super *s, const struct super_start *st, struct err *e)
{
	if (shed_descriptors(st, e) < 0 || open_loop(s, e) < 0)
		return -e->code;
	/* No child of ours, the jail's init least of all, shall have the index mapped. */
	if (madvise(st->env->index->map, sizeof(*st->env->index->map), MADV_DONTFORK) < 0)
		return err_sys(e, "cannot keep the index from the jail");
	if (idx_own(st->env->index, st->slot, e) < 0)
		return -e->code;
	return up_run(&s->up, UP_FIRST, e);
}

/* Tells the starter that it is up, and gives it the terminal when it attached. */
static int report(struct super *s, struct conn *c, const struct super_start *st, struct err *e)
{
	int fd = -1;

	if (st->attached && s->terminal && term_attach(s, c, st->rows, st->cols, &fd, e) < 0)
		return -e->code;
	c->main = st->attached;
	send_msg(s, c, MSG_OK, (int)getpid(), fd);
	fd_close(&fd);
	return 0;
}

static void let_go(struct super *s)
{
	struct err e = {0};

	/* Only a restart without a terminal needs the caller's descriptors once more. */
	null_stdio(&e);
	if (s->restart != JAIL_RESTART_NO)
		return;
	for (int i = 0; i < 3; i++)
		fd_close(&s->up.stdio[i]);
	s->up.def = NULL;
	jail_def_release(&s->def);
}

void super_main(const struct super_start *st)
{
	struct super *s = mem_new(sizeof(*s));
	struct err e = {0};
	struct conn *c;

	sources_init(s);
	s->up = (struct up)UP_INIT(st->env, s->name, st->slot);
	s->epoll_fd = s->reserve_fd = -1;
	s->kill_at = s->nudge_at = s->restart_at = s->wall_at = NEVER;
	s->ephemeral = s->up.ephemeral = st->ephemeral;
	s->visit = st->visit;
	s->up.attached = st->attached;
	s->up.rows = st->rows, s->up.cols = st->cols;
	s->up.trace = st->trace;
	memcpy(s->up.stdio, st->stdio, sizeof(st->stdio));
	snprintf(s->name, sizeof(s->name), "%s", st->name);
	s->jid = st->def->made.jid;
	jail_def_copy(&s->def, st->def);
	s->up.def = &s->def;
	take_policy(s, &s->def);
	settle(s->name);
	c = NULL;
	if (begin(s, st, &e) == 0 &&
		(watch(s, &e) < 0 || !(c = conn_add(s, st->channel)) || report(s, c, st, &e) < 0)) {
		unwatch(s);
		down_run(&s->up, UP_FIRST);
	}
	if (e.code) {
		struct msg_error m = {.m = {.kind = MSG_ERROR}, .err = e};

		/* The starter puts the record right: it holds the slot's lock. */
		fd_send(st->channel, &m, sizeof(m), NULL, 0);
		_exit(ERR_EXIT_TOOL);
	}
	let_go(s);
	slim(s);
	loop(s);
	if (s->phase == PHASE_ENDED && s->up.jail.pidfd >= 0)
		unwatch(s);
	down_run(&s->up, UP_FIRST);
	if (!s->ephemeral && !s->visit)
		keep_last(s);
	record_end(s);
	tell_end(s);
	_exit(0);
}
