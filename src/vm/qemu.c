#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "vm/confine.h"
#include "vm/vhost.h"

static const char qemu_path[] = "/usr/bin/qemu-system-x86_64";
/* As of our own machine, but with the PCI bus that QEMU's devices are on. */
static const char base_command_line[] = "panic=-1 cryptomgr.notests random.trust_cpu=on JAIL_PCI=1";

enum { NOBODY = 65534, DISKS_MAX = 16 };

struct qemu {
	struct loop loop;
	struct vm_memory mem;
	struct vm_vsock vsock;
	struct vm_vhost vhost;
	struct loop_watch process_watch, signal_watch, owner_watch;
	int pidfd, signal_fd, kernel_fd, initrd_fd, vhost_ours, vhost_theirs; /* owned */
	int disk_fd[DISKS_MAX];
	size_t n_disks;
	enum vm_end end;
};

/* Files one after the other, each at a multiple of four bytes, in memory that QEMU may open. */
static int gather(const char *const *paths, size_t n, const char *what, struct err *e)
{
	AUTO_FD int fd = memfd_create(what, MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "cannot make room for the %s", what);
	for (size_t i = 0; i < n; i++) {
		AUTO_FD int in = open(paths[i], O_RDONLY | O_CLOEXEC);
		off_t at = lseek(fd, 0, SEEK_END);
		ssize_t r = 1;

		if (in < 0)
			return err_sys(e, "cannot open %s '%s'", what, paths[i]);
		if (ftruncate(fd, (at + 3) & ~(off_t)3) < 0 || lseek(fd, 0, SEEK_END) < 0)
			return err_sys(e, "cannot make room for the %s", what);
		while (r > 0)
			r = sendfile(fd, in, NULL, 1 << 30);
		if (r < 0)
			return err_sys(e, "cannot read %s '%s'", what, paths[i]);
	}
	/* QEMU, which is nobody, opens it anew through /proc. */
	return fchmod(fd, 0444) < 0 ? err_sys(e, "cannot share the %s", what) : fd_take(&fd);
}

static int open_files(struct qemu *q, const struct vm_config *c, struct err *e)
{
	int pair[2];

	q->kernel_fd = gather(&c->kernel, 1, "kernel", e);
	if (q->kernel_fd < 0)
		return q->kernel_fd;
	q->initrd_fd = gather(c->initrds, c->n_initrds, "initramfs", e);
	if (q->initrd_fd < 0)
		return q->initrd_fd;
	if (c->n_disks > DISKS_MAX)
		return err_set(e, E2BIG, "a machine has at most %d disks", DISKS_MAX);
	for (; q->n_disks < c->n_disks; q->n_disks++) {
		const struct vm_config_disk *d = &c->disks[q->n_disks];
		int fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

		if (fd < 0)
			return err_sys(e, "cannot open disk '%s'", d->path);
		q->disk_fd[q->n_disks] = fd;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket");
	q->vhost_ours = pair[0];
	q->vhost_theirs = pair[1];
	return 0;
}

static void add_devices(const struct qemu *q, const struct vm_config *c, struct strv *a)
{
	strv_add(a, "-device");
	strv_add(a, "virtio-rng-pci");
	for (size_t i = 0; i < q->n_disks; i++) {
		strv_add(a, "-add-fd");
		strv_addf(a, "fd=%d,set=%zu", q->disk_fd[i], i + 1);
		strv_add(a, "-drive");
		strv_addf(a,
			"file=/dev/fdset/"
			"%zu,format=raw,if=none,id=disk%zu,discard=unmap,readonly=%s",
			i + 1, i, c->disks[i].read_only ? "on" : "off");
		strv_add(a, "-device");
		strv_addf(a, "virtio-blk-pci,drive=disk%zu,serial=disk%zu", i, i);
	}
	if (c->network.fd >= 0) {
		const uint8_t *m = c->network.mac;

		strv_add(a, "-netdev");
		strv_addf(a, "tap,id=net,fd=%d", c->network.fd);
		strv_add(a, "-device");
		strv_addf(a, "virtio-net-pci,netdev=net,romfile=,mac=%02x:%02x:%02x:%02x:%02x:%02x",
			m[0], m[1], m[2], m[3], m[4], m[5]);
	}
	strv_add(a, "-chardev");
	strv_addf(a, "socket,id=vsock,fd=%d", q->vhost_theirs);
	strv_add(a, "-device");
	strv_add(a, "vhost-user-vsock-pci,chardev=vsock");
	if (c->serial_fd < 0)
		return;
	strv_add(a, "-chardev");
	strv_add(a, "stdio,id=serial,signal=off");
	strv_add(a, "-serial");
	strv_add(a, "chardev:serial");
}

static void build_argv(const struct qemu *q, const struct vm_config *c, struct strv *a)
{
	static const char *const fixed[] = {"qemu", "-nodefaults", "-no-user-config", "-display",
		"none", "-no-reboot", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-M",
		"q35,memory-backend=mem,usb=off,graphics=off", "-accel",
		"tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off"};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		strv_add(a, fixed[i]);
	strv_add(a, "-m");
	strv_addf(a, "%" PRIu64, c->memory_bytes >> 20);
	strv_add(a, "-object");
	strv_addf(
		a, "memory-backend-memfd,id=mem,share=on,size=%" PRIu64 "M", c->memory_bytes >> 20);
	strv_add(a, "-smp");
	strv_addf(a, "%u", c->n_cpus);
	strv_add(a, "-kernel");
	strv_addf(a, "/proc/self/fd/%d", q->kernel_fd);
	strv_add(a, "-initrd");
	strv_addf(a, "/proc/self/fd/%d", q->initrd_fd);
	strv_add(a, "-append");
	strv_addf(a, "%s%s %s", base_command_line,
		c->serial_fd < 0 ? " 8250.nr_uarts=0" : " console=ttyS0", c->command_line);
	add_devices(q, c, a);
}

/* In the child: nobody, without a network, and gone when its parent is. */
static void __attribute__((noreturn)) exec_qemu(const struct qemu *q, const struct vm_config *c)
{
	static char *const environment[] = {NULL};
	int keep[DISKS_MAX + 4] = {q->kernel_fd, q->initrd_fd, q->vhost_theirs, c->network.fd};
	size_t n = c->network.fd < 0 ? 3 : 4;
	AUTO_STRV struct strv argv = {0};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;
	struct err e;

	build_argv(q, c, &argv);
	for (size_t i = 0; i < q->n_disks; i++)
		keep[n++] = q->disk_fd[i];
	for (size_t i = 0; i < n; i++)
		fd_set_cloexec(keep[i], 0);
	dup2(null_fd, 0);
	dup2(c->serial_fd < 0 ? null_fd : c->serial_fd, 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (geteuid() == 0 &&
		(unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
			setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(ERR_EXIT_TOOL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
		fd_close_others(keep, n, &e) < 0)
		_exit(ERR_EXIT_TOOL);
	execve(qemu_path, argv.v, environment);
	_exit(ERR_EXIT_NOT_FOUND);
}

static int start_qemu(struct qemu *q, const struct vm_config *c, struct err *e)
{
	pid_t pid;

	if (access(qemu_path, X_OK) < 0)
		return err_set(e, ENOENT,
			"cannot find '%s'; install it: apt-get install qemu-system-x86", qemu_path);
	pid = proc_clone(0, -1, &q->pidfd);
	if (pid == 0)
		exec_qemu(q, c);
	fd_close(&q->vhost_theirs);
	return pid < 0 ? err_set(e, -pid, "cannot start QEMU: %s", strerrordesc_np(-pid)) : 0;
}

static void stop(struct qemu *q, enum vm_end end)
{
	if (q->end == VM_END_NONE)
		q->end = end;
	q->loop.stop = true;
}

/* QEMU has one status for power-off and reset. */
static void process_ready(struct loop_watch *w, uint32_t events)
{
	struct qemu *q = container_of(w, struct qemu, process_watch);
	int status = 0;

	(void)events;
	proc_wait(w->fd, &status);
	stop(q, status == 0 ? VM_END_POWEROFF : VM_END_KVM);
}

static void signal_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	stop(container_of(w, struct qemu, signal_watch), VM_END_STOPPED);
}

static void owner_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	stop(container_of(w, struct qemu, owner_watch), VM_END_STOPPED);
}

/* QEMU hangs up when it ends; its status comes after. */
static void vhost_ended(struct vm_vhost *v)
{
	(void)v;
}

static int watch_all(struct qemu *q, const struct vm_config *c, struct err *e)
{
	struct vm_vsock_ends ends = {.cid = VM_VSOCK_GUEST_CID,
		.listen_fd = c->vsock_listen_fd,
		.owner_fd = c->vsock_owner_fd};

	q->vhost.ended = vhost_ended;
	if (vm_vsock_init(&q->vsock, &ends, &q->mem, &q->loop, e) < 0 ||
		vm_vhost_init(&q->vhost, &q->vsock.dev, q->vhost_ours, &q->mem, e) < 0)
		return -e->code;
	q->process_watch = (struct loop_watch){.fd = q->pidfd, .ready = process_ready};
	q->signal_watch = (struct loop_watch){.fd = q->signal_fd, .ready = signal_ready};
	q->owner_watch = (struct loop_watch){.fd = c->vsock_owner_fd, .ready = owner_ready};
	if (loop_add(&q->loop, &q->process_watch, EPOLLIN, e) < 0 ||
		loop_add(&q->loop, &q->signal_watch, EPOLLIN, e) < 0 ||
		(c->vsock_owner_fd >= 0 && loop_add(&q->loop, &q->owner_watch, 0, e) < 0))
		return -e->code;
	return 0;
}

static int take_signals(struct qemu *q, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	q->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return q->signal_fd < 0 ? err_sys(e, "cannot receive signals") : 0;
}

static int run(struct qemu *q, const struct vm_config *c, struct err *e)
{
	struct vm_filter filter = {0};
	int r;

	if (loop_init(&q->loop, e) < 0 || take_signals(q, e) < 0 || open_files(q, c, e) < 0 ||
		start_qemu(q, c, e) < 0 || watch_all(q, c, e) < 0)
		return -e->code;
	r = vm_filter_build(VM_THREAD_LOOP, &filter, e);
	if (r >= 0)
		r = vm_confine(e);
	if (r >= 0)
		r = vm_filter_apply(&filter, e);
	vm_filter_release(&filter);
	if (r >= 0)
		r = loop_run(&q->loop, e);
	if (r >= 0 && q->end == VM_END_KVM)
		err_set(e, EIO, "QEMU ended with an error");
	return r < 0 ? r : (int)q->end;
}

static void release(struct qemu *q)
{
	if (q->pidfd >= 0)
		proc_signal(q->pidfd, SIGKILL); /* our end would do it as well */
	vm_vhost_release(&q->vhost);
	vm_vsock_release(&q->vsock);
	for (size_t i = 0; i < q->n_disks; i++)
		fd_close(&q->disk_fd[i]);
	fd_close(&q->kernel_fd);
	fd_close(&q->initrd_fd);
	fd_close(&q->vhost_ours);
	fd_close(&q->vhost_theirs);
	fd_close(&q->signal_fd);
	fd_close(&q->pidfd);
	loop_release(&q->loop);
}

int vm_qemu_run(const struct vm_config *c, struct err *e)
{
	struct qemu q = {.loop = {.epoll_fd = -1},
		.pidfd = -1,
		.signal_fd = -1,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.vhost_ours = -1,
		.vhost_theirs = -1,
		.vsock = {.listen_fd = -1, .listen_watch = {.fd = -1}}};
	int r = run(&q, c, e);

	release(&q);
	return r;
}
