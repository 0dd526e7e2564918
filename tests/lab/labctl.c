/*
 * The lab machine's end of its control port: PID 1 that runs the commands sent to it.
 *
 * The port is a virtio-serial one called lab.ctl.  A message is a type, a length (4 bytes,
 * little endian) and that many bytes.  To us: 'T' set the clock (8 bytes, ns since 1970),
 * 'M' mount the share, 'C' run a command line.  From us: 'o' and 'e' what it prints, 'x' its
 * wait status (4 bytes).  lab.py is the other end.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 32768, COMMAND_MAX = 1 << 20, LINGER_MS = 200 };

struct command {
	pid_t pid;	/* 0: none */
	int out[2];	/* what it prints: standard output and error; -1 when closed */
	int status;
	int ended;
};

static void die(const char *what)
{
	fprintf(stderr, "labctl: %s: %s\n", what, strerror(errno));
	for (;;) /* PID 1 that exits panics the kernel and loses the message */
		pause();
}

/* The port blocks while the host does not listen; a short transfer is not an error. */
static void transfer(int fd, void *buf, size_t n, int writing)
{
	char *p = buf;

	while (n) {
		ssize_t k = writing ? write(fd, p, n) : read(fd, p, n);

		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (k == 0 || errno == EAGAIN) { /* nobody at the other end: before the first command */
			usleep(10000);
		} else if (errno != EINTR) {
			die("control port");
		}
	}
}

static void send_message(int fd, char type, const void *data, uint32_t n)
{
	char head[5] = {type};

	memcpy(head + 1, &n, 4);
	transfer(fd, head, sizeof(head), 1);
	transfer(fd, (void *)data, n, 1);
}

static int open_port(void)
{
	for (int i = 0; i < 1000; i++, usleep(10000)) {
		DIR *d = opendir("/sys/class/virtio-ports");
		struct dirent *de;

		while (d && (de = readdir(d))) {
			char path[300], name[32] = "";
			FILE *f;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", de->d_name);
			f = de->d_name[0] == '.' ? NULL : fopen(path, "re");
			if (f) {
				if (!fgets(name, sizeof(name), f))
					name[0] = '\0';
				fclose(f);
			}
			if (strcmp(name, "lab.ctl\n"))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", de->d_name);
			closedir(d);
			return open(path, O_RDWR | O_CLOEXEC);
		}
		if (d)
			closedir(d);
	}
	errno = ENODEV;
	return -1;
}

static void set_clock(const char *data)
{
	uint64_t ns;

	memcpy(&ns, data, sizeof(ns));
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	clock_settime(CLOCK_REALTIME, &ts);
}

static void run(struct command *c, const char *line, const sigset_t *unblock)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		die("pipe");
	c->pid = fork();
	if (c->pid < 0)
		die("fork");
	if (!c->pid) {
		sigprocmask(SIG_UNBLOCK, unblock, NULL);
		setsid();
		dup2(out[1], 1);
		dup2(err[1], 2);
		clearenv();
		setenv("HOME", "/root", 1);
		setenv("USER", "root", 1);
		setenv("LANG", "C.UTF-8", 1);
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		if (chdir("/root") < 0)
			_exit(125);
		execl("/bin/bash", "bash", "-c", line, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	c->out[0] = out[0];
	c->out[1] = err[0];
	c->ended = 0;
}

static void reap(struct command *c, int signal_fd)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == c->pid) {
			c->status = status;
			c->ended = 1;
		}
}

static void relay(struct command *c, int port, int which)
{
	char buf[CHUNK];
	ssize_t n = read(c->out[which], buf, sizeof(buf));

	if (n > 0) {
		send_message(port, which ? 'e' : 'o', buf, (uint32_t)n);
	} else if (n == 0 || errno != EINTR) {
		close(c->out[which]);
		c->out[which] = -1;
	}
}

static void finish(struct command *c, int port)
{
	for (int i = 0; i < 2; i++) {
		if (c->out[i] >= 0)
			close(c->out[i]);
		c->out[i] = -1;
	}
	sync();
	umount2("/share", MNT_DETACH); /* what the share's cache holds is on the host by then */
	send_message(port, 'x', &c->status, sizeof(c->status));
	c->pid = 0;
	c->ended = 0;
}

static void receive(struct command *c, int port, const sigset_t *unblock)
{
	char head[5], *data;
	uint32_t n;

	transfer(port, head, sizeof(head), 0);
	memcpy(&n, head + 1, 4);
	if (n > COMMAND_MAX) {
		errno = EMSGSIZE;
		die("control port");
	}
	data = calloc(1, n + 1);
	if (!data)
		die("memory");
	transfer(port, data, n, 0);
	if (head[0] == 'T' && n == 8)
		set_clock(data);
	else if (head[0] == 'M')
		mount("share", "/share", "9p", 0, "trans=virtio,version=9p2000.L,msize=524288,cache=loose");
	else if (head[0] == 'C' && !c->pid)
		run(c, data, unblock);
	free(data);
}

static void serve(int port, int signal_fd, const sigset_t *signals)
{
	struct command c = {.out = {-1, -1}};

	for (;;) {
		struct pollfd p[4] = {{port, POLLIN, 0}, {signal_fd, POLLIN, 0}, {c.out[0], POLLIN, 0}, {c.out[1], POLLIN, 0}};
		/* A daemon that the command left may hold its pipes for ever. */
		int n = poll(p, 4, c.ended ? LINGER_MS : -1);

		for (int i = 0; i < 2; i++)
			if (p[2 + i].revents)
				relay(&c, port, i);
		if (p[1].revents)
			reap(&c, signal_fd);
		if (c.ended && (n == 0 || (c.out[0] < 0 && c.out[1] < 0)))
			finish(&c, port);
		if (p[0].revents & POLLIN)
			receive(&c, port, signals);
		else if (p[0].revents & POLLHUP)
			usleep(10000); /* the host's end is closed: before and between commands */
	}
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int port, signal_fd;

	if (argc != 2 || strcmp(argv[1], "agent")) {
		fprintf(stderr, "usage: labctl agent\n");
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	port = open_port();
	if (signal_fd < 0 || port < 0)
		die("start");
	serve(port, signal_fd, &signals);
}
