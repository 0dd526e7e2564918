/*
 * jail-agent: PID 1 of a micro-VM.  It holds every privilege there is in the guest and none
 * outside; what it runs for the host is confined by src/isolation as on a host.
 *
 * Whatever goes wrong is said on the serial console and ends the machine: a guest without its
 * agent is of no use to anybody.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/guest.h"
#include "agent/server.h"
#include "base/fd.h"

static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		fd_close(&fd);
}

static int serve(int initramfs, struct err *e)
{
	const struct agent_hooks hooks = {.root = guest_mount_root};
	struct agent_server *s;
	int listen_fd, owner_fd, r;

	listen_fd = guest_listen(e);
	if (listen_fd < 0)
		return listen_fd;
	if (agent_server_new(&hooks, &s, e) < 0 || agent_server_listen(s, listen_fd, e) < 0)
		return -e->code;
	owner_fd = guest_call_owner(e);
	if (owner_fd < 0 || agent_server_session(s, owner_fd, true, e) < 0)
		return -e->code;
	/* The host has been greeted; what it asks for first is read after this. */
	if (guest_finish_boot(initramfs, e) < 0)
		return -e->code;
	r = agent_server_run(s, e);
	agent_server_free(s);
	return r;
}

int main(void)
{
	struct err e = {0};
	int initramfs = -1;

	if (getpid() != 1) {
		fprintf(stderr, "jail-agent: it is the first process of a micro-VM and does "
				"nothing elsewhere\n");
		return 2;
	}
	open_console();
	if (guest_boot(&initramfs, &e) < 0 || serve(initramfs, &e) < 0)
		fprintf(stderr, "jail-agent: %s\n", e.text);
	guest_poweroff();
}
