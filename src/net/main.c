/*
 * jail-net DIRECTORY: the resolver of jails' networks; see helper.h.
 *
 * It reads what jails send (DNS questions, and the heads of refused packets) and what the world
 * answers, so it holds little: CAP_NET_ADMIN to open an allowed name's addresses in the table
 * and to put the table back when somebody flushes it, CAP_NET_BIND_SERVICE for port 53 of
 * networks that are made later.  It starts no program, and may not.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "net/helper.h"

static int keep_two_capabilities(struct err *e)
{
	static const cap_value_t kept[] = {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE};
	cap_t caps = cap_init();
	int r = 0;

	for (int cap = 0; cap <= cap_max_bits(); cap++) {
		if (cap != CAP_NET_ADMIN && cap != CAP_NET_BIND_SERVICE)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* beyond the kernel's last: EINVAL */
	}
	if (!caps || cap_set_flag(caps, CAP_PERMITTED, ARRAY_SIZE(kept), kept, CAP_SET) < 0 ||
		cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_SIZE(kept), kept, CAP_SET) < 0 ||
		cap_set_proc(caps) < 0)
		r = err_sys(e, "cannot give privileges up");
	cap_free(caps);
	if (!r && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = err_sys(e, "cannot forgo new privileges");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

static int stop_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_sys(e, "cannot listen to signals") : fd;
}

static int run(const char *dir, struct err *e)
{
	AUTO_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int stop_fd = -EBADF;

	if (dir_fd < 0)
		return err_sys(e, "cannot open '%s'", dir);
	stop_fd = stop_signals(e);
	if (stop_fd < 0 || keep_two_capabilities(e) < 0)
		return -e->code;
	return net_helper_run(&(struct net_helper_opts){.dir_fd = dir_fd, .stop_fd = stop_fd}, e);
}

int main(int argc, char **argv)
{
	struct err e = {0};

	if (argc != 2) {
		fprintf(stderr, "usage: jail-net DIRECTORY\n");
		return ERR_EXIT_TOOL;
	}
	if (run(argv[1], &e) < 0) {
		fprintf(stderr, "jail-net: %s\n", e.text);
		return ERR_EXIT_TOOL;
	}
	return 0;
}
