#include "agent/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/netcfg.h"
#include "agent/relay.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/proc.h"
#include "isolation/isolation.h"

enum { STREAMS = 3 };

static const struct json_field root_fields[] = {
	JSON_FIELD(struct agent_root, device, "device", JSON_STR, .flags = JSON_ABSOLUTE),
	JSON_FIELD(struct agent_root, type, "type", JSON_STR),
	JSON_FIELD(struct agent_root, readonly, "readonly", JSON_BOOL),
	JSON_FIELD(
		struct agent_root, layer_device, "layerDevice", JSON_STR, .flags = JSON_ABSOLUTE),
	JSON_FIELD(struct agent_root, layer, "layer", JSON_BOOL),
	JSON_FIELD(struct agent_root, hostname, "hostname", JSON_STR),
	JSON_FIELD(struct agent_root, path, "path", JSON_STR, .flags = JSON_ABSOLUTE),
};
const struct json_table agent_root_table =
	JSON_TABLE(struct agent_root, root_fields, .flags = JSON_STRICT);

/* A connection: nothing yet, then a session; or a stream, which leaves this list. */
struct connection {
	struct connection *next;
	struct agent_server *s;
	struct loop_watch watch;
	int fd; /* owned */
	bool greeted, owner;
	struct buf in;
};

enum job_state { OPENED, CREATED, RUNNING };

/* A program: the jail's own, or one executed in it. */
struct job {
	struct job *next;
	uint32_t id;
	enum job_state state;
	bool is_jail;
	unsigned int streams; /* wire_stream bits */
	unsigned int attached; /* the same, as they come */
	int stream_fd[STREAMS]; /* owned, until the program has them */
	struct connection *owner; /* hears of it; NULL when that session has ended */
	struct spec_process process; /* of an EXEC */
	struct iso_jail iso;
};

struct agent_server {
	struct loop loop;
	struct agent_hooks hooks;
	struct loop_watch listen_watch, signal_watch;
	int signal_fd;
	struct connection *connections;
	unsigned int n_connections;
	struct job *jobs;
	unsigned int n_jobs;
	uint32_t last_id;
	char *root_path;
	struct spec spec;
	bool has_spec;
};

/* --- answers -------------------------------------------------------------------------- */

/* A session whose host does not read is over: it is shut down and ends at its next event. */
static void answer(struct connection *c, const struct wire_frame *f)
{
	AUTO_BUF struct buf b = {0};

	if (!c)
		return;
	wire_put(&b, f);
	if (send(c->fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)b.n)
		shutdown(c->fd, SHUT_RDWR);
}

static void answer_error(struct connection *c, uint32_t id, const struct err *e)
{
	answer(c, &(struct wire_frame){.type = WIRE_ERROR,
			  .flags = (uint16_t)e->code,
			  .id = id,
			  .arg = (uint32_t)e->exit_code,
			  .body = e->text,
			  .body_bytes = (uint32_t)strlen(e->text)});
}

static void answer_job(struct job *j, enum wire_type type, uint32_t arg)
{
	answer(j->owner, &(struct wire_frame){.type = (uint16_t)type, .id = j->id, .arg = arg});
}

/* --- jobs ----------------------------------------------------------------------------- */

static void job_free(struct agent_server *s, struct job *j)
{
	struct job **pp = &s->jobs;

	while (*pp != j)
		pp = &(*pp)->next;
	*pp = j->next;
	s->n_jobs--;
	for (int i = 0; i < STREAMS; i++)
		fd_close(&j->stream_fd[i]);
	spec_process_release(&j->process);
	iso_jail_release(&j->iso);
	free(j);
}

static struct job *job_find(struct agent_server *s, uint32_t id)
{
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->id == id)
			return j;
	return NULL;
}

static struct job *jail_job(struct agent_server *s)
{
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->is_jail && j->state != OPENED)
			return j;
	return NULL;
}

static struct job *job_new(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct job *j;

	if (s->n_jobs == AGENT_JOBS_MAX) {
		err_set(e, EAGAIN, "the guest runs %d programs already", AGENT_JOBS_MAX);
		return NULL;
	}
	j = mem_new(sizeof(*j));
	*j = (struct job){.next = s->jobs,
		.id = ++s->last_id,
		.streams = f->flags & (WIRE_STDIN | WIRE_STDOUT | WIRE_STDERR | WIRE_TERMINAL),
		.stream_fd = {-1, -1, -1},
		.owner = c,
		.iso = ISO_JAIL_INIT};
	if (j->streams & WIRE_TERMINAL)
		j->streams = WIRE_TERMINAL;
	s->jobs = j;
	s->n_jobs++;
	return j;
}

/* Joins one standard stream to the program: gives its end, and starts the relay of ours. */
static int open_stream(struct agent_server *s, struct job *j, int nr, struct err *e)
{
	int p[2], theirs;

	if (j->stream_fd[nr] < 0) {
		theirs = open("/dev/null", (nr ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		return theirs < 0 ? err_sys(e, "cannot open '/dev/null'") : theirs;
	}
	/* A pipe, because programs open /dev/stdout, and a socket cannot be opened. */
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	theirs = nr ? p[1] : p[0];
	if (nr ? relay_start(&s->loop, p[0], fd_take(&j->stream_fd[nr]), e) < 0
	       : relay_start(&s->loop, fd_take(&j->stream_fd[nr]), p[1], e) < 0) {
		fd_close(&theirs);
		return -e->code;
	}
	return theirs;
}

static int open_streams(struct agent_server *s, struct job *j, int stdio[STREAMS], struct err *e)
{
	for (int i = 0; i < STREAMS; i++) {
		stdio[i] = open_stream(s, j, i, e);
		if (stdio[i] < 0)
			return stdio[i];
	}
	return 0;
}

/* The terminal's master to the stream and back; each relay owns descriptors of its own. */
static int join_terminal(struct agent_server *s, struct job *j, struct err *e)
{
	int stream = fd_take(&j->stream_fd[0]), stream2 = -1, master = -1, master2 = -1;

	if (j->iso.console_fd < 0 || stream < 0) {
		fd_close(&stream);
		return 0;
	}
	stream2 = fcntl(stream, F_DUPFD_CLOEXEC, 3);
	master = fcntl(j->iso.console_fd, F_DUPFD_CLOEXEC, 3);
	master2 = fcntl(j->iso.console_fd, F_DUPFD_CLOEXEC, 3);
	if (relay_start(&s->loop, stream, master, e) < 0)
		return -e->code;
	return relay_start(&s->loop, master2, stream2, e);
}

static int create_jail(struct agent_server *s, struct job *j, struct err *e)
{
	struct iso_opts o = {.spec = &s->spec,
		.root = s->root_path,
		.stdio = {-1, -1, -1},
		.start_socket_fd = -1,
		.init = true};
	struct iso_filter filter = {0};
	int r = 0;

	if (s->spec.linux.seccomp)
		r = iso_filter_get(s->spec.linux.seccomp, -1, &filter, e);
	if (s->spec.linux.seccomp)
		o.filter = &filter;
	if (r >= 0 && !(j->streams & WIRE_TERMINAL))
		r = open_streams(s, j, o.stdio, e);
	if (r >= 0)
		r = iso_create(&o, &j->iso, e);
	for (int i = 0; i < STREAMS; i++)
		fd_close(&o.stdio[i]);
	iso_filter_release(&filter);
	return r;
}

static int exec_in_jail(struct agent_server *s, struct job *j, struct err *e)
{
	struct job *jail = jail_job(s);
	struct iso_exec_opts x = {.spec = &s->spec, .process = &j->process, .stdio = {-1, -1, -1}};
	struct iso_filter filter = {0};
	int r = 0;

	if (!jail)
		return err_set(e, ESRCH, "the jail is not running");
	x.jail_pidfd = jail->iso.pidfd;
	x.ns_fds = jail->iso.ns_fds;
	if (s->spec.linux.seccomp)
		r = iso_filter_get(s->spec.linux.seccomp, -1, &filter, e);
	if (s->spec.linux.seccomp)
		x.filter = &filter;
	if (r >= 0 && !(j->streams & WIRE_TERMINAL))
		r = open_streams(s, j, x.stdio, e);
	if (r >= 0)
		r = iso_exec(&x, &j->iso, e);
	for (int i = 0; i < STREAMS; i++)
		fd_close(&x.stdio[i]);
	iso_filter_release(&filter);
	return r;
}

/* Every stream is there: the program can be made. */
static void job_ready(struct agent_server *s, struct job *j)
{
	struct err e = {0};
	int r = j->is_jail ? create_jail(s, j, &e) : exec_in_jail(s, j, &e);

	if (r >= 0)
		r = join_terminal(s, j, &e);
	if (r < 0) {
		answer_error(j->owner, j->id, &e);
		if (j->iso.pidfd >= 0)
			proc_signal(j->iso.pidfd, SIGKILL);
		job_free(s, j);
		return;
	}
	j->state = j->is_jail ? CREATED : RUNNING;
	answer_job(j, j->is_jail ? WIRE_CREATED : WIRE_STARTED, (uint32_t)j->iso.pid);
}

static void attach(struct agent_server *s, struct connection *c, const struct wire_frame *f)
{
	struct job *j = job_find(s, f->id);
	unsigned int bit = f->arg < STREAMS ? 1u << f->arg : 0;

	if (j && (j->streams & WIRE_TERMINAL) && f->arg == 0)
		bit = WIRE_TERMINAL;
	/* Bytes before the program has its streams would have nowhere to go. */
	if (!j || j->state != OPENED || !(j->streams & bit & ~j->attached) || c->in.n)
		return;
	j->attached |= bit;
	j->stream_fd[f->arg] = fd_take(&c->fd);
	if (j->attached == j->streams)
		job_ready(s, j);
}

static void job_exited(struct agent_server *s, struct job *j)
{
	int status = 0;

	proc_wait(j->iso.pidfd, &status);
	answer_job(j, WIRE_EXITED, (uint32_t)status);
	job_free(s, j);
}

/* --- requests ------------------------------------------------------------------------- */

static int on_root(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct agent_root root = {0};
	int r = json_read_text(&agent_root_table, f->body, f->body_bytes, NULL, &root, e);

	if (r >= 0 && s->root_path)
		r = err_set(e, EBUSY, "the guest has a root already");
	if (r >= 0)
		r = s->hooks.root(&root, &s->root_path, e);
	json_release(&agent_root_table, &root);
	if (r >= 0)
		answer(c, &(struct wire_frame){.type = WIRE_OK});
	return r;
}

static void opened(struct agent_server *s, struct job *j)
{
	answer_job(j, WIRE_OPENED, 0);
	if (!j->streams)
		job_ready(s, j);
}

static int on_create(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct spec spec = {0};
	struct job *j;

	if (!s->root_path)
		return err_set(e, EINVAL, "the guest has no root yet");
	if (s->has_spec)
		return err_set(e, EBUSY, "the guest has its jail already");
	if (spec_load(f->body, f->body_bytes, &spec, e) < 0)
		return -e->code;
	if (spec_check(&spec, e) < 0 || !(j = job_new(s, c, f, e))) {
		spec_release(&spec);
		return -e->code;
	}
	s->spec = spec;
	s->has_spec = true;
	j->is_jail = true;
	opened(s, j);
	return 0;
}

static int on_exec(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct spec_process process = {0};
	struct job *j;

	if (!jail_job(s))
		return err_set(e, ESRCH, "the jail is not running");
	if (spec_process_load(f->body, f->body_bytes, &process, e) < 0)
		return -e->code;
	if (spec_process_check(&process, e) < 0 || !(j = job_new(s, c, f, e))) {
		spec_process_release(&process);
		return -e->code;
	}
	j->process = process;
	opened(s, j);
	return 0;
}

static int on_start(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct job *j = job_find(s, f->id);

	(void)c;
	if (!j || j->state != CREATED)
		return err_set(e, ESRCH, "there is no created jail with number %u", f->id);
	if (iso_start(&j->iso, e) < 0)
		return -e->code;
	j->state = RUNNING;
	answer_job(j, WIRE_STARTED, (uint32_t)j->iso.pid);
	return 0;
}

static int on_signal(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct job *j = job_find(s, f->id);
	int r;

	if (!j || j->iso.pidfd < 0)
		return err_set(e, ESRCH, "there is no program with number %u", f->id);
	r = proc_signal(j->iso.pidfd, (int)f->arg);
	if (r < 0)
		return err_set(e, -r, "cannot send signal %u: %s", f->arg, strerrordesc_np(-r));
	answer(c, &(struct wire_frame){.type = WIRE_OK, .id = f->id});
	return 0;
}

static int on_resize(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct job *j = job_find(s, f->id);
	struct winsize ws = {.ws_row = (uint16_t)(f->arg >> 16), .ws_col = (uint16_t)f->arg};

	if (!j || j->iso.console_fd < 0)
		return err_set(e, ENOTTY, "program %u has no terminal", f->id);
	if (ioctl(j->iso.console_fd, TIOCSWINSZ, &ws) < 0)
		return err_sys(e, "cannot resize a terminal");
	answer(c, &(struct wire_frame){.type = WIRE_OK, .id = f->id});
	return 0;
}

static int on_time(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct timespec ts;
	uint64_t ns;

	(void)s;
	if (f->body_bytes != sizeof(ns))
		return err_set(e, EPROTO, "TIME takes %zu bytes", sizeof(ns));
	memcpy(&ns, f->body, sizeof(ns));
	ts = (struct timespec){
		.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		return err_sys(e, "cannot set the clock");
	answer(c, &(struct wire_frame){.type = WIRE_OK});
	return 0;
}

static int on_net(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	struct netcfg net = {0};
	int r = json_read_text(&netcfg_table, f->body, f->body_bytes, NULL, &net, e);

	(void)s;
	if (r >= 0)
		r = netcfg_apply(&net, e);
	json_release(&netcfg_table, &net);
	if (r >= 0)
		answer(c, &(struct wire_frame){.type = WIRE_OK});
	return r;
}

static int on_ping(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	(void)s;
	(void)e;
	answer(c, &(struct wire_frame){.type = WIRE_OK, .arg = f->arg});
	return 0;
}

static int on_poweroff(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e)
{
	(void)f;
	(void)e;
	answer(c, &(struct wire_frame){.type = WIRE_OK});
	s->loop.stop = true;
	return 0;
}

static int (*const requests[WIRE_TYPES])(
	struct agent_server *s, struct connection *c, const struct wire_frame *f, struct err *e) = {
	[WIRE_ROOT] = on_root,
	[WIRE_CREATE] = on_create,
	[WIRE_EXEC] = on_exec,
	[WIRE_START] = on_start,
	[WIRE_SIGNAL] = on_signal,
	[WIRE_RESIZE] = on_resize,
	[WIRE_TIME] = on_time,
	[WIRE_NET] = on_net,
	[WIRE_PING] = on_ping,
	[WIRE_POWEROFF] = on_poweroff,
};

/* --- connections ---------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	struct agent_server *s = c->s;
	struct connection **pp = &s->connections;

	while (*pp != c)
		pp = &(*pp)->next;
	*pp = c->next;
	s->n_connections--;
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->owner == c)
			j->owner = NULL;
	loop_remove(&s->loop, &c->watch);
	if (c->owner)
		s->loop.stop = true; /* nobody is left to live for */
	fd_close(&c->fd);
	buf_release(&c->in);
	free(c);
}

static void greet(struct connection *c)
{
	answer(c, &(struct wire_frame){.type = WIRE_HELLO, .arg = WIRE_VERSION});
}

/* The first frame says what a connection is.  Returns false when it is over here. */
static bool on_first(struct connection *c, const struct wire_frame *f)
{
	if (f->type == WIRE_HELLO && f->arg == WIRE_VERSION) {
		c->greeted = true;
		if (!c->owner) /* which was greeted when it was opened */
			greet(c);
		return true;
	}
	return false;
}

static void on_request(struct connection *c, const struct wire_frame *f)
{
	struct err e = {0};

	if (f->type >= WIRE_TYPES || !requests[f->type])
		err_set(&e, EOPNOTSUPP, "the guest's agent knows no request %u", f->type);
	else if (requests[f->type](c->s, c, f, &e) >= 0)
		return;
	answer_error(c, f->id, &e);
}

/* Takes the frames that have come; returns false when the connection is over. */
static bool take_frames(struct connection *c)
{
	struct wire_frame f;
	int r;

	while ((r = wire_parse(c->in.p ? c->in.p : "", c->in.n, &f)) > 0) {
		AUTO_FREE char *frame = mem_dup(c->in.p, (size_t)r + 1);

		frame[r] = '\0';
		wire_parse(frame, (size_t)r, &f);
		c->in.n -= (size_t)r;
		memmove(c->in.p, c->in.p + r, c->in.n);
		if (!c->greeted && f.type == WIRE_ATTACH) {
			loop_remove(&c->s->loop, &c->watch);
			attach(c->s, c, &f);
			return false;
		}
		if (c->greeted)
			on_request(c, &f);
		else if (!on_first(c, &f))
			return false;
	}
	return r >= 0;
}

static void connection_ready(struct loop_watch *w, uint32_t events)
{
	struct connection *c = container_of(w, struct connection, watch);
	char bytes[4096];
	/* Of a stream not one byte too many is read: what follows its frame is the program's. */
	size_t want = c->greeted || c->in.n >= WIRE_HEADER_BYTES ? sizeof(bytes)
								 : WIRE_HEADER_BYTES - c->in.n;
	ssize_t n = recv(c->fd, bytes, want, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_add(&c->in, bytes, (size_t)n);
	if (n <= 0 || !take_frames(c))
		connection_free(c);
}

/* Takes fd. */
static struct connection *connection_new(struct agent_server *s, int fd, struct err *e)
{
	struct connection *c;

	if (s->n_connections == AGENT_CONNECTIONS_MAX) {
		fd_close(&fd);
		err_set(e, EAGAIN, "the guest has %d connections already", AGENT_CONNECTIONS_MAX);
		return NULL;
	}
	c = mem_new(sizeof(*c));
	*c = (struct connection){.next = s->connections,
		.s = s,
		.fd = fd,
		.watch = {.fd = fd, .ready = connection_ready}};
	s->connections = c;
	s->n_connections++;
	if (loop_add(&s->loop, &c->watch, EPOLLIN, e) < 0) {
		c->watch.fd = -1;
		connection_free(c);
		return NULL;
	}
	return c;
}

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct agent_server *s = container_of(w, struct agent_server, listen_watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
	struct err e;

	(void)events;
	if (fd >= 0)
		connection_new(s, fd, &e);
}

/* Looks at each child that has ended before taking it: a job's status is told, an orphan's not. */
static void signal_ready(struct loop_watch *w, uint32_t events)
{
	struct agent_server *s = container_of(w, struct agent_server, signal_watch);
	struct signalfd_siginfo si;
	siginfo_t child;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) < 0)
		return;
	for (;;) {
		struct job *j = s->jobs;

		child.si_pid = 0;
		if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 || !child.si_pid)
			return;
		while (j && j->iso.pid != child.si_pid)
			j = j->next;
		if (j)
			job_exited(s, j);
		else
			waitpid(child.si_pid, NULL, WNOHANG);
	}
}

int agent_server_new(const struct agent_hooks *hooks, struct agent_server **ret, struct err *e)
{
	struct agent_server *s = mem_new(sizeof(*s));
	sigset_t set;

	*s = (struct agent_server){.hooks = *hooks,
		.loop = {.epoll_fd = -1},
		.listen_watch = {.fd = -1, .ready = listen_ready},
		.signal_watch = {.fd = -1, .ready = signal_ready},
		.signal_fd = -1};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		err_sys(e, "cannot hear of children");
	s->signal_watch.fd = s->signal_fd;
	if (s->signal_fd < 0 || loop_init(&s->loop, e) < 0 ||
		loop_add(&s->loop, &s->signal_watch, EPOLLIN, e) < 0) {
		agent_server_free(s);
		return -e->code;
	}
	*ret = s;
	return 0;
}

int agent_server_listen(struct agent_server *s, int fd, struct err *e)
{
	s->listen_watch.fd = fd;
	return fd_set_nonblock(fd, 1) < 0 ? err_sys(e, "cannot listen")
					  : loop_add(&s->loop, &s->listen_watch, EPOLLIN, e);
}

int agent_server_session(struct agent_server *s, int fd, bool owner, struct err *e)
{
	struct connection *c = connection_new(s, fd, e);

	if (!c)
		return -e->code;
	c->owner = owner;
	greet(c);
	return 0;
}

int agent_server_run(struct agent_server *s, struct err *e)
{
	return loop_run(&s->loop, e);
}

void agent_server_free(struct agent_server *s)
{
	if (!s)
		return;
	while (s->jobs) {
		if (s->jobs->iso.pidfd >= 0)
			proc_signal(s->jobs->iso.pidfd, SIGKILL);
		job_free(s, s->jobs);
	}
	while (s->connections)
		connection_free(s->connections);
	if (s->has_spec)
		spec_release(&s->spec);
	free(s->root_path);
	fd_close(&s->signal_fd);
	loop_release(&s->loop);
	free(s);
}
