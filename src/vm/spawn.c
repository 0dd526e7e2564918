/* Starts and ends the monitor's process; runs in the runtime front, not in the monitor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "vm/exit.h"
#include "vm/vm.h"

static const struct {
	int code;
	const char *text;
} status_texts[] = {
	{VM_EXIT_POWEROFF, "the guest switched itself off"},
	{VM_EXIT_RESET, "the guest's kernel panicked or rebooted"},
	{VM_EXIT_FAULT, "the guest's processor gave up (triple fault)"},
	{VM_EXIT_KVM, "KVM could not go on"},
	{VM_EXIT_STOPPED, "the machine was stopped"},
	{ERR_EXIT_TOOL, "the machine could not be made"},
	{128 + SIGSYS, "the monitor was ended by its own confinement"},
	{128 + SIGKILL, "the monitor was killed"},
};

const char *vm_status_text(int status)
{
	int code = proc_exit_code(status);

	for (size_t i = 0; i < ARRAY_SIZE(status_texts); i++)
		if (status_texts[i].code == code)
			return status_texts[i].text;
	return "the monitor ended for a reason unknown to us";
}

static int listen_at(const char *path, struct err *e)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ENAMETOOLONG, "the socket's path '%s' is longer than %zu bytes",
			path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "cannot make the machine's socket '%s'", path);
	if (listen(fd, 64) < 0) {
		unlink(path);
		return err_sys(e, "cannot listen at '%s'", path);
	}
	return fd_take(&fd);
}

static void add_option(struct strv *argv, const char *name, const char *value)
{
	strv_add(argv, name);
	strv_add(argv, value);
}

static void add_number(struct strv *argv, const char *name, uint64_t v)
{
	strv_add(argv, name);
	strv_addf(argv, "%llu", (unsigned long long)v);
}

static void build_argv(const struct vm_start *o, int listen_fd, int owner_fd, struct strv *argv)
{
	AUTO_FREE char *kernel = str_fmt("%s/vmlinux", o->kernel_dir);
	AUTO_FREE char *modules = str_fmt("%s/modules.cpio", o->kernel_dir);

	strv_add(argv, o->program);
	add_option(argv, "--kernel", kernel);
	add_option(argv, "--initrd", modules);
	add_option(argv, "--initrd", o->agent_archive);
	add_number(argv, "--memory", o->memory_bytes);
	add_number(argv, "--cpus", o->n_cpus);
	for (size_t i = 0; i < o->n_disks; i++) {
		strv_add(argv, "--disk");
		strv_addf(argv, "%s%s", o->disks[i].path, o->disks[i].read_only ? ",ro" : "");
	}
	if (o->append)
		add_option(argv, "--append", o->append);
	if (o->engine)
		add_option(argv, "--engine", o->engine);
	if (o->tap_fd >= 0) {
		const uint8_t *m = o->tap_mac;

		strv_add(argv, "--tap");
		strv_addf(argv, "%d,%02x:%02x:%02x:%02x:%02x:%02x", o->tap_fd, m[0], m[1], m[2],
			m[3], m[4], m[5]);
	}
	add_number(argv, "--vsock-listen", (uint64_t)listen_fd);
	add_number(argv, "--vsock-owner", (uint64_t)owner_fd);
	if (o->serial_fd >= 0)
		add_number(argv, "--serial", (uint64_t)o->serial_fd);
}

/* In the child: nothing but its own descriptors, no environment, and the program. */
static void __attribute__((noreturn))
exec_monitor(const struct vm_start *o, int listen_fd, int owner_fd)
{
	static char *const no_environment[] = {NULL};
	AUTO_STRV struct strv argv = {0};
	int keep[4] = {listen_fd, owner_fd, o->serial_fd, o->tap_fd};
	int null_fd;
	sigset_t none;
	struct err e;

	build_argv(o, listen_fd, owner_fd, &argv);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null_fd, 0);
	if (o->serial_fd != 1)
		dup2(null_fd, 1);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
		if (keep[i] >= 0)
			fd_set_cloexec(keep[i], 0);
	if (o->stderr_fd >= 0)
		dup2(o->stderr_fd, 2);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd_close_others(keep, ARRAY_SIZE(keep), &e) >= 0)
		execve(o->program, argv.v, no_environment);
	_exit(errno == ENOENT ? ERR_EXIT_NOT_FOUND : ERR_EXIT_CANNOT_RUN);
}

int vm_start(const struct vm_start *o, struct vm_handle *ret, struct err *e)
{
	AUTO_FD int listen_fd = listen_at(o->socket_path, e);
	AUTO_FD int ours = -EBADF;
	AUTO_FD int theirs = -EBADF;
	int pair[2], pidfd;
	pid_t pid;

	if (listen_fd < 0)
		return listen_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		unlink(o->socket_path);
		return err_sys(e, "cannot make the monitor's socket");
	}
	ours = pair[0];
	theirs = pair[1];
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0)
		exec_monitor(o, listen_fd, theirs);
	if (pid < 0) {
		unlink(o->socket_path);
		return err_set(e, -pid, "cannot start the monitor: %s", strerrordesc_np(-pid));
	}
	*ret = (struct vm_handle){.pid = pid,
		.pidfd = pidfd,
		.owner_fd = fd_take(&ours),
		.socket_path = str_dup(o->socket_path)};
	return 0;
}

static int monitor_ended(struct vm_handle *h, struct err *e)
{
	int status = 0;

	proc_wait(h->pidfd, &status);
	fd_close(&h->pidfd);
	return err_set(e, ECHILD, "the guest did not start: %s", vm_status_text(status));
}

int vm_await_guest(struct vm_handle *h, int timeout_ms, struct err *e)
{
	uint64_t deadline = time_mono_ms() + (uint64_t)timeout_ms;

	for (;;) {
		struct pollfd p[2] = {
			{.fd = h->owner_fd, .events = POLLIN}, {.fd = h->pidfd, .events = POLLIN}};
		uint64_t now = time_mono_ms();
		uint32_t ports[2];
		size_t n_fds = 1;
		int fd = -1;

		if (now >= deadline)
			return err_set(e, ETIMEDOUT, "the guest's agent did not call within %d s",
				timeout_ms / 1000);
		if (poll(p, 2, (int)(deadline - now)) < 0)
			continue;
		if ((p[0].revents & POLLIN) &&
			fd_recv(h->owner_fd, ports, sizeof(ports), &fd, &n_fds) > 0 && n_fds == 1) {
			if (ports[0] == VM_AGENT_PORT)
				return fd;
			fd_close(&fd); /* a call to a port that nobody here serves */
			continue;
		}
		if (p[1].revents)
			return monitor_ended(h, e);
	}
}

int vm_stop(struct vm_handle *h, int timeout_ms, struct err *e)
{
	struct pollfd p = {.fd = h->pidfd, .events = POLLIN};
	int status, r;

	if (h->pidfd < 0)
		return 0;
	proc_signal(h->pidfd, SIGTERM);
	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		proc_signal(h->pidfd, SIGKILL);
	r = proc_wait(h->pidfd, &status);
	fd_close(&h->pidfd);
	return r < 0 ? err_set(e, -r, "cannot wait for the monitor: %s", strerrordesc_np(-r)) : 0;
}

void vm_handle_release(struct vm_handle *h)
{
	fd_close(&h->owner_fd);
	fd_close(&h->pidfd);
	if (h->socket_path)
		unlink(h->socket_path);
	free(h->socket_path);
	h->socket_path = NULL;
}
