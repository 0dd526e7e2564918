#include "vm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "vm/confine.h"

enum { KICK_SIGNAL = SIGUSR1, THREAD_STACK = 64 << 10 };

/*
 * Always: end instead of hanging after a panic, no self-tests of ciphers (half of the boot's
 * instructions), no search for a PCI bus that is not there.
 */
static const char base_command_line[] = "panic=-1 cryptomgr.notests pci=off random.trust_cpu=on";
static const char no_serial[] = " 8250.nr_uarts=0";
static const char with_serial[] = " console=ttyS0 8250.nr_uarts=1";

struct cpu_thread {
	struct vm_machine *m;
	struct vm_cpu cpu;
	pthread_t thread;
	bool started;
};

struct vm_machine {
	struct vm_memory mem;
	struct vm_kvm kvm;
	int kvm_fd;
	struct loop loop;
	struct vm_serial serial;
	bool has_serial;
	int serial_irq;
	struct vm_device *devices[VM_MMIO_DEVICES_MAX]; /* by slot; parts of what follows */
	unsigned int n_devices;
	struct vm_rng rng;
	struct vm_balloon balloon;
	struct vm_net net;
	struct vm_vsock vsock;
	struct vm_blk *blks;
	size_t n_blks;
	struct cpu_thread *cpus;
	unsigned int n_cpus;
	/* The first end wins, and wakes the loop. */
	pthread_mutex_t end_lock;
	atomic_int end;
	struct err end_error;
	struct loop_watch end_watch;
	int end_event;
	struct loop_watch owner_watch; /* its end is ours */
	struct loop_watch signal_watch;
	int signal_fd;
	struct vm_filter cpu_filter, loop_filter;
};

static void machine_end(struct vm_machine *m, enum vm_end end, const struct err *e)
{
	uint64_t one = 1;

	pthread_mutex_lock(&m->end_lock);
	if (atomic_load(&m->end) == VM_END_NONE) {
		if (e)
			m->end_error = *e;
		atomic_store(&m->end, end);
		if (write(m->end_event, &one, sizeof(one)) < 0)
			abort(); /* an eventfd written once cannot be full */
	}
	pthread_mutex_unlock(&m->end_lock);
}

static enum vm_end sleep_port(uint8_t v)
{
	if (v & 0x20 && (v >> 2 & 7) == VM_ACPI_S5_TYPE)
		return VM_END_POWEROFF;
	return VM_END_NONE;
}

/* Ports that nothing answers read as ones, as on a bus, but for the keyboard's status: busy for
 * ever in the eyes of a kernel that tries to reset through it. */
static enum vm_end on_port(void *ctx, uint16_t port, uint8_t *data, size_t n, bool is_write)
{
	struct vm_machine *m = ctx;

	if (m->has_serial && n == 1 && port >= VM_SERIAL_PORT && port < VM_SERIAL_PORT + 8) {
		vm_serial_io(&m->serial, port - VM_SERIAL_PORT, data, is_write);
		return VM_END_NONE;
	}
	if (!is_write) {
		memset(data, port == 0x64 || port == VM_ACPI_STATUS_PORT ? 0 : 0xff, n);
		return VM_END_NONE;
	}
	if (port == VM_ACPI_RESET_PORT && *data == 1)
		return VM_END_RESET;
	return port == VM_ACPI_SLEEP_PORT ? sleep_port(*data) : VM_END_NONE;
}

/* Addresses at which there is nothing read as ones, as the ports. */
static void on_mmio(void *ctx, uint64_t gpa, uint8_t *data, size_t n, bool is_write)
{
	struct vm_machine *m = ctx;
	uint64_t slot = (gpa - VM_MMIO_FIRST_BASE) / VM_MMIO_BYTES;

	if (gpa >= VM_MMIO_FIRST_BASE && slot < m->n_devices)
		vm_mmio_access(m->devices[slot], gpa % VM_MMIO_BYTES, data, n, is_write);
	else if (!is_write)
		memset(data, 0xff, n);
}

static bool on_stopping(void *ctx)
{
	struct vm_machine *m = ctx;

	return atomic_load(&m->end) != VM_END_NONE;
}

static void *cpu_main(void *arg)
{
	struct cpu_thread *t = arg;
	const struct vm_cpu_handlers h = {
		.ctx = t->m, .port = on_port, .mmio = on_mmio, .stopping = on_stopping};
	struct err e = {0};
	enum vm_end end;

	if (vm_filter_apply(&t->m->cpu_filter, &e) < 0)
		end = VM_END_KVM;
	else
		end = vm_cpu_run(&t->cpu, &h, &e);
	if (end != VM_END_STOPPED)
		machine_end(t->m, end, e.code ? &e : NULL);
	return NULL;
}

static void on_kick(int sig)
{
	(void)sig; /* only interrupts KVM_RUN */
}

static void end_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_machine *m = container_of(w, struct vm_machine, end_watch);

	(void)events;
	m->loop.stop = true;
}

static void owner_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_machine *m = container_of(w, struct vm_machine, owner_watch);

	(void)events;
	loop_remove(&m->loop, w);
	machine_end(m, VM_END_STOPPED, NULL);
}

static void signal_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_machine *m = container_of(w, struct vm_machine, signal_watch);
	struct signalfd_siginfo si;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) == sizeof(si))
		machine_end(m, VM_END_STOPPED, NULL);
}

static int open_file(const char *path, const char *what, int flags, struct err *e)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? err_sys(e, "cannot open %s '%s'", what, path) : fd;
}

static uint32_t slot_base(unsigned int slot)
{
	return VM_MMIO_FIRST_BASE + slot * VM_MMIO_BYTES;
}

static uint32_t slot_gsi(unsigned int slot)
{
	return VM_MMIO_FIRST_GSI + slot;
}

/* Gives a device the next slot: a window, an interrupt, and doorbells that cost us no exit. */
static int attach(struct vm_machine *m, struct vm_device *d, struct err *e)
{
	unsigned int slot = m->n_devices;

	if (slot == VM_MMIO_DEVICES_MAX)
		return err_set(e, E2BIG, "a machine has at most %d devices", VM_MMIO_DEVICES_MAX);
	if (vm_kvm_irqfd(&m->kvm, d->irq_fd, slot_gsi(slot), e) < 0)
		return -e->code;
	for (unsigned int i = 0; i < d->ops->n_queues; i++)
		if (vm_kvm_ioeventfd(&m->kvm, d->kick[i].watch.fd,
			    slot_base(slot) + VIRTIO_MMIO_QUEUE_NOTIFY, i, e) < 0)
			return -e->code;
	m->devices[m->n_devices++] = d;
	return 0;
}

static int make_disks(struct vm_machine *m, const struct vm_config *c, struct err *e)
{
	if (c->n_disks)
		m->blks = mem_new_array(c->n_disks, sizeof(*m->blks));
	for (; m->n_blks < c->n_disks; m->n_blks++) {
		const struct vm_config_disk *disk = &c->disks[m->n_blks];
		char id[21];
		int fd = open_file(disk->path, "disk", disk->read_only ? O_RDONLY : O_RDWR, e);

		if (fd < 0)
			return fd;
		snprintf(id, sizeof(id), "disk%zu", m->n_blks);
		if (vm_blk_init(&m->blks[m->n_blks],
			    &(struct vm_blk_disk){.fd = fd, .read_only = disk->read_only, .id = id},
			    &m->mem, &m->loop, e) < 0)
			return err_prefix(e, "disk '%s'", disk->path);
		if (attach(m, &m->blks[m->n_blks].dev, e) < 0) {
			vm_blk_release(&m->blks[m->n_blks]);
			return -e->code;
		}
	}
	return 0;
}

static int make_devices(struct vm_machine *m, const struct vm_config *c, struct err *e)
{
	if (vm_rng_init(&m->rng, &m->mem, &m->loop, e) < 0 || attach(m, &m->rng.dev, e) < 0)
		return -e->code;
	if (vm_balloon_init(&m->balloon, &m->mem, &m->loop, e) < 0 ||
		attach(m, &m->balloon.dev, e) < 0)
		return -e->code;
	if (c->network.fd >= 0 && (vm_net_init(&m->net, &c->network, &m->mem, &m->loop, e) < 0 ||
					  attach(m, &m->net.dev, e) < 0))
		return -e->code;
	if (c->vsock_listen_fd >= 0 || c->vsock_owner_fd >= 0) {
		struct vm_vsock_ends ends = {.cid = VM_VSOCK_GUEST_CID,
			.listen_fd = c->vsock_listen_fd,
			.owner_fd = c->vsock_owner_fd};

		if (vm_vsock_init(&m->vsock, &ends, &m->mem, &m->loop, e) < 0 ||
			attach(m, &m->vsock.dev, e) < 0)
			return -e->code;
		m->owner_watch = (struct loop_watch){.fd = c->vsock_owner_fd, .ready = owner_ready};
		if (c->vsock_owner_fd >= 0 && loop_add(&m->loop, &m->owner_watch, 0, e) < 0)
			return -e->code;
	}
	return make_disks(m, c, e);
}

static int load(struct vm_machine *m, const struct vm_config *c, struct err *e)
{
	AUTO_FREE char *line =
		str_fmt("%s%s%s%s", base_command_line, m->has_serial ? with_serial : no_serial,
			*c->command_line ? " " : "", c->command_line);
	struct vm_acpi_device at[VM_MMIO_DEVICES_MAX];
	struct vm_boot boot = {.command_line = line,
		.acpi = {.n_cpus = c->n_cpus, .devices = at, .n_devices = m->n_devices}};
	AUTO_FD int kernel_fd = open_file(c->kernel, "kernel", O_RDONLY, e);
	uint32_t entry = 0;
	int r = kernel_fd;

	for (unsigned int i = 0; i < m->n_devices; i++)
		at[i] = (struct vm_acpi_device){slot_base(i), slot_gsi(i)};
	boot.kernel_fd = kernel_fd;
	for (size_t i = 0; r >= 0 && i < c->n_initrds; i++) {
		r = boot.initrd_fd[i] = open_file(c->initrds[i], "initramfs", O_RDONLY, e);
		boot.n_initrds += r >= 0;
	}
	if (r >= 0)
		r = vm_boot_load(&boot, &m->mem, &entry, e);
	for (size_t i = 0; i < boot.n_initrds; i++)
		fd_close(&boot.initrd_fd[i]);
	return r < 0 ? r : vm_cpu_set_pvh(&m->cpus[0].cpu, entry, VM_BOOT_START_INFO, e);
}

static int make_cpus(struct vm_machine *m, unsigned int n, struct err *e)
{
	m->cpus = mem_new_array(n, sizeof(*m->cpus));
	for (; m->n_cpus < n; m->n_cpus++) {
		m->cpus[m->n_cpus].m = m;
		if (vm_kvm_add_cpu(&m->kvm, m->n_cpus, n, &m->cpus[m->n_cpus].cpu, e) < 0)
			return -e->code;
	}
	return 0;
}

static int make_serial(struct vm_machine *m, const struct vm_config *c, struct err *e)
{
	if (c->serial_fd < 0)
		return 0;
	m->has_serial = true;
	m->serial_irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->serial_irq < 0)
		return err_sys(e, "cannot make an event");
	vm_serial_init(&m->serial, c->serial_fd, m->serial_irq);
	return vm_kvm_irqfd(&m->kvm, m->serial_irq, VM_SERIAL_GSI, e);
}

/* TERM and INT end the machine in order; they are read by the loop and by nobody else. */
static int make_loop(struct vm_machine *m, struct err *e)
{
	struct sigaction kick = {.sa_handler = on_kick};
	sigset_t set;

	if (loop_init(&m->loop, e) < 0)
		return -e->code;
	m->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->end_event < 0)
		return err_sys(e, "cannot make an event");
	sigaction(KICK_SIGNAL, &kick, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->signal_fd < 0)
		return err_sys(e, "cannot receive signals");
	m->end_watch = (struct loop_watch){.fd = m->end_event, .ready = end_ready};
	m->signal_watch = (struct loop_watch){.fd = m->signal_fd, .ready = signal_ready};
	if (loop_add(&m->loop, &m->end_watch, EPOLLIN, e) < 0 ||
		loop_add(&m->loop, &m->signal_watch, EPOLLIN, e) < 0)
		return -e->code;
	return 0;
}

static int make(struct vm_machine *m, const struct vm_config *c, struct err *e)
{
	if (!c->n_cpus || c->n_cpus > VM_CPUS_MAX)
		return err_set(e, EINVAL, "a machine has 1 to %d processors, not %u", VM_CPUS_MAX,
			c->n_cpus);
	if (c->n_initrds > VM_BOOT_INITRDS_MAX)
		return err_set(e, E2BIG, "a machine takes at most %d initramfs archives",
			VM_BOOT_INITRDS_MAX);
	m->kvm_fd = open_file("/dev/kvm", "device", O_RDWR, e);
	if (m->kvm_fd < 0)
		return -e->code;
	if (make_loop(m, e) < 0 || vm_memory_init(&m->mem, c->memory_bytes, e) < 0 ||
		vm_kvm_init(&m->kvm, m->kvm_fd, &m->mem, e) < 0 || make_serial(m, c, e) < 0 ||
		make_devices(m, c, e) < 0 || make_cpus(m, c->n_cpus, e) < 0 || load(m, c, e) < 0)
		return -e->code;
	return 0;
}

int vm_machine_new(const struct vm_config *c, struct vm_machine **ret, struct err *e)
{
	struct vm_machine *m = mem_new(sizeof(*m));

	*m = (struct vm_machine){.kvm = VM_KVM_INIT,
		.kvm_fd = -1,
		.loop = {.epoll_fd = -1},
		.serial_irq = -1,
		.net = {.fd = -1, .watch = {.fd = -1}},
		.vsock = {.listen_fd = -1, .listen_watch = {.fd = -1}},
		.end_lock = PTHREAD_MUTEX_INITIALIZER,
		.end_event = -1,
		.signal_fd = -1};
	if (make(m, c, e) < 0) {
		vm_machine_free(m);
		return -e->code;
	}
	*ret = m;
	return 0;
}

static int start_threads(struct vm_machine *m, struct err *e)
{
	pthread_attr_t attr;
	int r = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	for (unsigned int i = 0; !r && i < m->n_cpus; i++) {
		r = pthread_create(&m->cpus[i].thread, &attr, cpu_main, &m->cpus[i]);
		m->cpus[i].started = !r;
	}
	pthread_attr_destroy(&attr);
	return r ? err_set(e, r, "cannot start a processor's thread: %s", strerror(r)) : 0;
}

static void join_threads(struct vm_machine *m)
{
	for (unsigned int i = 0; i < m->n_cpus; i++) {
		if (!m->cpus[i].started)
			continue;
		vm_cpu_interrupt(&m->cpus[i].cpu);
		pthread_kill(m->cpus[i].thread, KICK_SIGNAL);
	}
	for (unsigned int i = 0; i < m->n_cpus; i++)
		if (m->cpus[i].started)
			pthread_join(m->cpus[i].thread, NULL);
}

/* From here on nothing is opened: threads are started unfiltered and filter themselves. */
static int confine_and_start(struct vm_machine *m, struct err *e)
{
	if (vm_filter_build(VM_THREAD_CPU, &m->cpu_filter, e) < 0 ||
		vm_filter_build(VM_THREAD_LOOP, &m->loop_filter, e) < 0 || vm_confine(e) < 0 ||
		start_threads(m, e) < 0)
		return -e->code;
	return vm_filter_apply(&m->loop_filter, e);
}

int vm_machine_run(struct vm_machine *m, struct err *e)
{
	int r = confine_and_start(m, e);

	if (r >= 0)
		r = loop_run(&m->loop, e);
	if (r < 0)
		machine_end(m, VM_END_STOPPED, e);
	join_threads(m);
	if (m->has_serial)
		vm_serial_flush(&m->serial);
	if (r < 0)
		return r;
	if (m->end_error.code)
		*e = m->end_error;
	return atomic_load(&m->end);
}

uint64_t vm_machine_exits(const struct vm_machine *m)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < m->n_cpus; i++)
		n += atomic_load(&m->cpus[i].cpu.exits);
	return n;
}

void vm_machine_free(struct vm_machine *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_blks; i++)
		vm_blk_release(&m->blks[i]);
	free(m->blks);
	vm_vsock_release(&m->vsock);
	vm_net_release(&m->net);
	vm_device_release(&m->balloon.dev);
	vm_device_release(&m->rng.dev);
	for (unsigned int i = 0; i < m->n_cpus; i++)
		vm_cpu_release(&m->cpus[i].cpu);
	free(m->cpus);
	vm_kvm_release(&m->kvm);
	fd_close(&m->kvm_fd);
	vm_memory_release(&m->mem);
	fd_close(&m->serial_irq);
	fd_close(&m->end_event);
	fd_close(&m->signal_fd);
	vm_filter_release(&m->cpu_filter);
	vm_filter_release(&m->loop_filter);
	loop_release(&m->loop);
	free(m);
}
