/* The client's side of a program: run, exec, console. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "jail/client.h"

enum { KEYS_MAX = 8, PUMP_BYTES = 16384, DRAIN_MS = 1000 };

void jail_attach_release(struct jail_attach *a)
{
	fd_close(&a->ctl_fd);
	fd_close(&a->data_fd);
	*a = (struct jail_attach)JAIL_ATTACH_INIT;
}

/* ---- exec and console ---- */

static int pack(const struct jail_exec_opts *o, struct buf *ret, struct err *e)
{
	if (!o->args.n || !*o->args.v[0])
		return err_set(e, EINVAL, "there is no program to run in the jail");
	if (o->args.n + o->env.n + 2 > MSG_STRINGS_MAX)
		return err_set(e, E2BIG, "%zu arguments are too many; at most %d fit", o->args.n,
			MSG_STRINGS_MAX - 2);
	for (size_t i = 0; i < o->args.n; i++)
		buf_add(ret, o->args.v[i], strlen(o->args.v[i]) + 1);
	for (size_t i = 0; i < o->env.n; i++) {
		if (!strchr(o->env.v[i], '=') || o->env.v[i][0] == '=')
			return err_set(e, EINVAL,
				"environment entry '%.64s' is not of the form NAME=VALUE",
				o->env.v[i]);
		buf_add(ret, o->env.v[i], strlen(o->env.v[i]) + 1);
	}
	buf_add(ret, o->user ? o->user : "", o->user ? strlen(o->user) + 1 : 1);
	buf_add(ret, o->cwd ? o->cwd : "", o->cwd ? strlen(o->cwd) + 1 : 1);
	if (ret->n + sizeof(struct msg) > MSG_BYTES_MAX)
		return err_set(e, E2BIG,
			"the command line and environment have %zu bytes; at most %zu fit", ret->n,
			(size_t)MSG_BYTES_MAX - sizeof(struct msg));
	return 0;
}

static void no_timeout(int sock)
{
	const struct timeval tv = {0};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

int jail_exec(struct jail_env *env, const char *which, const struct jail_exec_opts *o,
	struct jail_attach *ret, struct err *e)
{
	bool own = !o->stdio[0] && !o->stdio[1] && !o->stdio[2];
	const int fds[3] = {own ? 0 : o->stdio[0], own ? 1 : o->stdio[1], own ? 2 : o->stdio[2]};
	struct msg answer, m = {.kind = MSG_EXEC,
				   .terminal = o->terminal,
				   .rows = o->rows,
				   .cols = o->cols,
				   .n_args = (uint16_t)o->args.n,
				   .n_env = (uint16_t)o->env.n};
	AUTO_BUF struct buf strings = {0};
	struct idx_record rec;
	AUTO_FD int sock = -1;
	int terminal = -1;

	/* An empty one would mean the jail's own: a script's unset variable is not to become root. */
	if (o->user && !*o->user)
		return err_set(e, EINVAL, "the user to run as is empty");
	if (pack(o, &strings, e) < 0)
		return -e->code;
	sock = client_open(env, which, &rec, e);
	if (sock < 0)
		return sock;
	/*
	 * Descriptors that wait in the socket of a supervisor which hangs would stay open when this
	 * process has given up, and with them the pipes of whoever reads our output.
	 */
	if (!o->terminal && client_request(sock, &(struct msg){.kind = MSG_PING}, NULL, 0, NULL, 0,
				    &answer, NULL, e) < 0)
		return -e->code;
	if (client_request(sock, &m, strings.p, strings.n, fds, o->terminal ? 0 : 3, &answer,
		    &terminal, e) < 0)
		return -e->code;
	no_timeout(sock);
	*ret = (struct jail_attach){.ctl_fd = fd_take(&sock), .data_fd = terminal, .exec = true};
	return 0;
}

int jail_console(struct jail_env *env, const char *which, uint16_t rows, uint16_t cols,
	struct jail_attach *ret, struct err *e)
{
	const struct msg m = {
		.kind = MSG_CONSOLE, .rows = rows ? rows : 24, .cols = cols ? cols : 80};
	struct idx_record rec;
	struct msg answer;
	AUTO_FD int sock = client_open(env, which, &rec, e);
	int terminal = -1;

	if (sock < 0)
		return sock;
	if (client_request(sock, &m, NULL, 0, NULL, 0, &answer, &terminal, e) < 0)
		return -e->code;
	no_timeout(sock);
	*ret = (struct jail_attach){.ctl_fd = fd_take(&sock), .data_fd = terminal};
	return 0;
}

/* ---- the loop ---- */

struct keys {
	unsigned char seq[KEYS_MAX];
	size_t n, matched;
};

struct pump {
	struct jail_attach *a;
	const struct jail_attach_opts *o;
	struct keys keys;
	int signal_fd;
	bool in_open, raw;
	struct termios saved;
	sigset_t old_mask;
	int out_flags;
	/* What goes to the program and has not gone yet. */
	char in[PUMP_BYTES];
	size_t n_in, at_in;
	int code;
};

/* "ctrl-p,ctrl-q", or plain characters. */
static int keys_parse(
	const char *text, unsigned char ret[static KEYS_MAX], size_t *ret_n, struct err *e)
{
	size_t n = 0;

	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ",");

		if (n == KEYS_MAX)
			return err_set(
				e, EINVAL, "detach keys '%s' are more than %d", text, KEYS_MAX);
		if (len == 6 && !strncasecmp(p, "ctrl-", 5) && isalpha((unsigned char)p[5]))
			ret[n++] = (unsigned char)(tolower((unsigned char)p[5]) - 'a' + 1);
		else if (len == 6 && !strncasecmp(p, "ctrl-", 5) && strchr("@[\\]^_", p[5]))
			ret[n++] = (unsigned char)(p[5] & 0x1f);
		else if (len == 1)
			ret[n++] = (unsigned char)*p;
		else
			return err_set(e, EINVAL,
				"detach keys '%s' are not a list such as ctrl-p,ctrl-q", text);
		p += len + (p[len] == ',');
	}
	*ret_n = n;
	return 0;
}

/*
 * Takes the detach keys out of what was typed; a beginning that turns out to be none is given
 * on.  Returns the bytes kept in out (room for n + KEYS_MAX), and sets *detach.
 */
static size_t filter_keys(struct keys *k, const char *in, size_t n, char *out, bool *detach)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (k->n && (unsigned char)in[i] == k->seq[k->matched]) {
			if (++k->matched == k->n) {
				*detach = true;
				return kept;
			}
			continue;
		}
		memcpy(out + kept, k->seq, k->matched);
		kept += k->matched;
		k->matched = k->n && (unsigned char)in[i] == k->seq[0];
		if (!k->matched)
			out[kept++] = in[i];
	}
	return kept;
}

static void send_size(struct pump *p)
{
	struct winsize w;
	struct msg m = {.kind = MSG_RESIZE};

	if (p->a->data_fd < 0 || ioctl(p->o->in_fd, TIOCGWINSZ, &w) < 0)
		return;
	/* An exec's terminal is in our hands; the jail's own is the supervisor's. */
	if (p->a->exec) {
		ioctl(p->a->data_fd, TIOCSWINSZ, &w);
		return;
	}
	m.rows = w.ws_row;
	m.cols = w.ws_col;
	fd_send(p->a->ctl_fd, &m, sizeof(m), NULL, 0);
}

/*
 * False when the person's terminal has gone: that is a detach and not a signal for the program.
 * What dropping the attachment means to the program is the supervisor's business.
 */
static bool on_signals(struct pump *p)
{
	struct signalfd_siginfo si;

	while (read(p->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		const struct msg m = {.kind = MSG_SIGNAL, .value = (int32_t)si.ssi_signo};

		if (si.ssi_signo == SIGHUP && p->raw)
			return false;
		if (si.ssi_signo == SIGWINCH)
			send_size(p);
		else
			fd_send(p->a->ctl_fd, &m, sizeof(m), NULL, 0);
	}
	return true;
}

/* Bytes of the program to the person; false at the end. */
static bool pump_out(struct pump *p)
{
	char buf[PUMP_BYTES];
	ssize_t n = read(p->a->data_fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false; /* EIO: the last process closed the terminal */
	for (size_t at = 0; at < (size_t)n;) {
		ssize_t w = write(p->o->out_fd, buf + at, (size_t)n - at);

		if (w < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = p->o->out_fd, .events = POLLOUT}, 1, 1000);
			continue;
		}
		if (w < 0 && errno != EINTR)
			return true; /* nobody listens any more: the program goes on all the same */
		at += (size_t)MAX(w, 0);
	}
	return true;
}

static void flush_in(struct pump *p)
{
	while (p->n_in) {
		ssize_t n = write(p->a->data_fd, p->in + p->at_in, p->n_in);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			n = (ssize_t)p->n_in;
		p->at_in += (size_t)n;
		p->n_in -= (size_t)n;
	}
	p->at_in = 0;
}

/* False when the person detached. */
static bool pump_in(struct pump *p)
{
	char buf[PUMP_BYTES - KEYS_MAX];
	ssize_t n = read(p->o->in_fd, buf, sizeof(buf));
	bool detach = false;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		/* The end of a pipe is what a terminal's user types for it: ctrl-d. */
		p->in_open = false;
		p->in[0] = 4;
		p->n_in = !p->raw;
	} else {
		p->n_in = filter_keys(&p->keys, buf, (size_t)n, p->in, &detach);
	}
	p->at_in = 0;
	flush_in(p);
	return !detach;
}

/* 1: ended, 2: taken over, 0: go on, < 0: the supervisor has gone. */
static int on_ctl(struct pump *p)
{
	struct msg m;
	ssize_t n = fd_recv(p->a->ctl_fd, &m, sizeof(m), NULL, NULL);

	if (n != (ssize_t)sizeof(m))
		return n == -EAGAIN || n == -EINTR ? 0 : -EPIPE;
	if (m.kind == MSG_EXIT) {
		p->code = m.value;
		return 1;
	}
	return m.kind == MSG_DETACHED ? 2 : 0;
}

/* What the program wrote last is on its way still; a background process may hold the terminal. */
static void drain(struct pump *p)
{
	uint64_t end = time_mono_ms() + DRAIN_MS;

	while (p->a->data_fd >= 0 && time_mono_ms() < end) {
		struct pollfd f = {.fd = p->a->data_fd, .events = POLLIN};

		if (poll(&f, 1, 0) <= 0 || !pump_out(p))
			return;
	}
}

static int run_pump(struct pump *p, struct err *e)
{
	for (;;) {
		struct pollfd f[4] = {
			{.fd = p->a->ctl_fd, .events = POLLIN},
			{.fd = p->signal_fd, .events = POLLIN},
			{.fd = p->a->data_fd, .events = (short)(POLLIN | (p->n_in ? POLLOUT : 0))},
			{.fd = p->a->data_fd >= 0 && p->in_open && !p->n_in ? p->o->in_fd : -1,
				.events = POLLIN},
		};

		if (poll(f, 4, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, "cannot wait for the program");
		}
		if (f[1].revents && !on_signals(p))
			return JAIL_ATTACH_DETACHED;
		if (f[2].revents & POLLOUT)
			flush_in(p);
		if ((f[2].revents & (POLLIN | POLLHUP | POLLERR)) && !pump_out(p))
			fd_close(&p->a->data_fd);
		if (f[3].revents && !pump_in(p))
			return JAIL_ATTACH_DETACHED;
		if (f[0].revents) {
			int r = on_ctl(p);

			if (r == 1) {
				drain(p);
				return JAIL_ATTACH_EXITED;
			}
			if (r == 2)
				return JAIL_ATTACH_DETACHED;
			if (r < 0)
				return err_set(e, EPIPE,
					"the supervisor of the jail died; its next command repairs "
					"it");
		}
	}
}

static void make_raw(struct pump *p)
{
	struct termios raw;

	if (p->a->data_fd < 0 || tcgetattr(p->o->in_fd, &p->saved) < 0)
		return;
	raw = p->saved;
	cfmakeraw(&raw);
	p->raw = tcsetattr(p->o->in_fd, TCSADRAIN, &raw) == 0;
}

static int take_signals(struct pump *p, struct err *e)
{
	static const int handed_on[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(handed_on); i++)
		sigaddset(&set, handed_on[i]);
	/* SIGPIPE would end us in the middle of a raw terminal. */
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, &p->old_mask);
	sigdelset(&set, SIGPIPE);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signal_fd < 0 ? err_sys(e, "cannot take signals") : 0;
}

/* The jail of jail_run or jail_start is this process's own grandchild's: its supervisor is reaped.
 */
static void reap_supervisor(const struct jail_attach *a)
{
	int status;

	while (a->supervisor > 0 && waitpid(a->supervisor, &status, 0) < 0 && errno == EINTR)
		;
}

int jail_attach_loop(
	struct jail_attach *a, const struct jail_attach_opts *o, int *ret_exit_code, struct err *e)
{
	struct pump p = {.a = a, .o = o, .signal_fd = -1, .in_open = true};
	int r;

	if (keys_parse(o->detach_keys ? o->detach_keys : "ctrl-p,ctrl-q", p.keys.seq, &p.keys.n,
		    e) < 0)
		return -e->code;
	if (!o->no_signals && take_signals(&p, e) < 0)
		return -e->code;
	if (a->data_fd >= 0)
		fd_set_nonblock(a->data_fd, 1);
	make_raw(&p);
	send_size(&p);
	r = run_pump(&p, e);
	if (p.raw)
		tcsetattr(o->in_fd, TCSADRAIN, &p.saved);
	if (!o->no_signals) {
		fd_close(&p.signal_fd);
		sigprocmask(SIG_SETMASK, &p.old_mask, NULL);
	}
	if (r == JAIL_ATTACH_EXITED) {
		*ret_exit_code = p.code;
		reap_supervisor(a);
	}
	return r;
}
