#include "cli/oci_follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"

struct follow {
	struct oci_running *r;
	int signals; /* signalfd */
	bool stdin_open;
};

static void copy_size(int console)
{
	struct winsize ws;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0)
		ioctl(console, TIOCSWINSZ, &ws);
}

static void pass_signal(struct follow *f)
{
	struct signalfd_siginfo si;

	if (read(f->signals, &si, sizeof(si)) != sizeof(si) || si.ssi_signo == SIGCHLD)
		return;
	if (si.ssi_signo == SIGWINCH && f->r->console_fd >= 0)
		copy_size(f->r->console_fd);
	else
		proc_signal(f->r->pidfd, (int)si.ssi_signo);
}

/* Moves what is there; false at the end. */
static bool move(int from, int to)
{
	char chunk[8192];
	ssize_t n = read(from, chunk, sizeof(chunk));

	/* A terminal whose last process has closed it says EIO. */
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && fd_write_full(to, chunk, (size_t)n) == 0;
}

static int attend(struct follow *f, struct err *e)
{
	struct oci_running *r = f->r;

	for (;;) {
		struct pollfd p[] = {{.fd = r->pidfd, .events = POLLIN},
			{.fd = f->signals, .events = POLLIN},
			{.fd = r->console_fd, .events = POLLIN},
			{.fd = r->console_fd >= 0 && f->stdin_open ? STDIN_FILENO : -1,
				.events = POLLIN}};

		if (poll(p, 4, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, "cannot wait for the process");
		}
		if (p[1].revents)
			pass_signal(f);
		if (p[2].revents && !move(r->console_fd, STDOUT_FILENO))
			fd_close(&r->console_fd);
		if (p[3].revents)
			f->stdin_open = move(STDIN_FILENO, r->console_fd);
		/* Last, so that what it wrote before its end is shown. */
		if (p[0].revents && !(p[2].revents & POLLIN))
			return 0;
	}
}

static int exit_status(const struct oci_running *r, struct err *e)
{
	int status, err = proc_wait(r->pidfd, &status);

	if (err == -ECHILD)
		return 0; /* a restored one: not ours to ask */
	return err < 0 ? err_set(e, -err, "cannot wait for the process: %s", strerrordesc_np(-err))
		       : proc_exit_code(status);
}

int follow(struct oci_running *r, struct err *e)
{
	struct follow f = {.r = r, .signals = -1, .stdin_open = true};
	struct termios saved, raw;
	bool is_raw = false;
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	f.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->console_fd >= 0 && tcgetattr(STDIN_FILENO, &saved) == 0) {
		raw = saved;
		cfmakeraw(&raw);
		is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
		copy_size(r->console_fd);
	}
	err = f.signals < 0 ? err_sys(e, "cannot receive signals") : attend(&f, e);
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	fd_close(&f.signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err < 0 ? err : exit_status(r, e);
}
