#include "vm/kvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/mem.h"

/* Intel needs three pages for real mode emulation and one for its page table: in the hole. */
#define TSS_BASE      0xfffbd000ul
#define IDENTITY_BASE 0xfffbc000ull

const char *const vm_end_names[] = {
	"running", "power-off", "reset", "triple fault", "kvm failure", "stopped"};

static const struct {
	int number;
	const char *name;
} needed_caps[] = {
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

static int check_kvm(int kvm_fd, struct err *e)
{
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_sys(e, "cannot talk to KVM");
	if (version != KVM_API_VERSION)
		return err_set(e, ENOTSUP, "KVM speaks API version %d; expected %d", version,
			KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed_caps); i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed_caps[i].number) <= 0)
			return err_set(e, ENOTSUP, "this KVM lacks %s", needed_caps[i].name);
	return 0;
}

static int set_memory(struct vm_kvm *k, const struct vm_memory *mem, struct err *e)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		struct kvm_userspace_memory_region r = {.slot = i,
			.guest_phys_addr = mem->region[i].start,
			.memory_size = mem->region[i].bytes,
			.userspace_addr = (uintptr_t)mem->region[i].host};

		if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
			return err_sys(e, "cannot give guest memory to KVM");
	}
	return 0;
}

static int make_machine(struct vm_kvm *k, const struct vm_memory *mem, struct err *e)
{
	uint64_t identity = IDENTITY_BASE;
	int r;

	k->vm_fd = ioctl(k->kvm_fd, KVM_CREATE_VM, 0);
	if (k->vm_fd < 0)
		return err_sys(e, "cannot make a virtual machine");
	r = ioctl(k->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (int)sizeof(struct kvm_run))
		return err_set(e, EPROTO, "KVM gives a processor's shared page %d bytes", r);
	k->run_bytes = (size_t)r;
	if (ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
		ioctl(k->vm_fd, KVM_SET_TSS_ADDR, TSS_BASE) < 0)
		return err_sys(e, "cannot place KVM's own pages");
	if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_sys(e, "cannot make the interrupt controllers");
	return set_memory(k, mem, e);
}

int vm_kvm_init(struct vm_kvm *k, int kvm_fd, const struct vm_memory *mem, struct err *e)
{
	*k = (struct vm_kvm){.kvm_fd = kvm_fd, .vm_fd = -EBADF};
	if (check_kvm(kvm_fd, e) < 0)
		return -e->code;
	if (make_machine(k, mem, e) < 0) {
		vm_kvm_release(k);
		return -e->code;
	}
	return 0;
}

void vm_kvm_release(struct vm_kvm *k)
{
	fd_close(&k->vm_fd);
}

int vm_kvm_irqfd(struct vm_kvm *k, int event_fd, uint32_t gsi, struct err *e)
{
	struct kvm_irqfd irq = {.fd = (uint32_t)event_fd, .gsi = gsi};

	return ioctl(k->vm_fd, KVM_IRQFD, &irq) < 0
		       ? err_sys(e, "cannot tie an event to interrupt %u", gsi)
		       : 0;
}

int vm_kvm_ioeventfd(struct vm_kvm *k, int event_fd, uint64_t gpa, uint32_t value, struct err *e)
{
	struct kvm_ioeventfd io = {.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH};

	return ioctl(k->vm_fd, KVM_IOEVENTFD, &io) < 0
		       ? err_sys(e, "cannot tie a device's doorbell to an event")
		       : 0;
}

void vm_cpu_release(struct vm_cpu *c)
{
	if (c->run)
		munmap(c->run, c->run_bytes);
	c->run = NULL;
	fd_close(&c->fd);
}

void vm_cpu_interrupt(struct vm_cpu *c)
{
	/* KVM looks at the byte at each entry, so a signal that comes just before is not lost. */
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

static enum vm_end handle_port(struct vm_cpu *c, const struct vm_cpu_handlers *h)
{
	struct kvm_run *run = c->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		enum vm_end end = h->port(h->ctx, run->io.port, data, run->io.size,
			run->io.direction == KVM_EXIT_IO_OUT);

		if (end != VM_END_NONE)
			return end;
	}
	return VM_END_NONE;
}

static enum vm_end kvm_failed(struct vm_cpu *c, struct err *e)
{
	struct kvm_run *run = c->run;
	struct kvm_regs regs = {0};
	char bytes[3 * 15 + 1] = "";

	ioctl(c->fd, KVM_GET_REGS, &regs);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
		err_set(e, EIO,
			"processor %u cannot enter the guest at %#llx: hardware reason %#llx",
			c->id, regs.rip, run->fail_entry.hardware_entry_failure_reason);
		return VM_END_KVM;
	}
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
			run->internal.ndata >= 4)
			for (size_t i = 0; i < MIN(run->emulation_failure.insn_size, 15); i++)
				snprintf(bytes + 3 * i, 4, " %02x",
					run->emulation_failure.insn_bytes[i]);
		err_set(e, EIO,
			"KVM cannot go on with processor %u at %#llx: internal error %u%s%s", c->id,
			regs.rip, run->internal.suberror, *bytes ? ", instruction" : "", bytes);
		return VM_END_KVM;
	}
	err_set(e, EIO, "processor %u stopped at %#llx for a reason unknown to us: %u", c->id,
		regs.rip, run->exit_reason);
	return VM_END_KVM;
}

static enum vm_end system_event(struct vm_cpu *c, struct err *e)
{
	switch (c->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return VM_END_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return VM_END_RESET;
	default:
		return kvm_failed(c, e);
	}
}

static enum vm_end handle_exit(struct vm_cpu *c, const struct vm_cpu_handlers *h, struct err *e)
{
	struct kvm_run *run = c->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_port(c, h);
	case KVM_EXIT_MMIO:
		h->mmio(h->ctx, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			run->mmio.is_write);
		return VM_END_NONE;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT:
		return VM_END_NONE;
	case KVM_EXIT_SHUTDOWN:
		return VM_END_FAULT;
	case KVM_EXIT_SYSTEM_EVENT:
		return system_event(c, e);
	default:
		return kvm_failed(c, e);
	}
}

enum vm_end vm_cpu_run(struct vm_cpu *c, const struct vm_cpu_handlers *h, struct err *e)
{
	for (;;) {
		enum vm_end end;

		if (h->stopping(h->ctx))
			return VM_END_STOPPED;
		if (ioctl(c->fd, KVM_RUN, 0) < 0) {
			/* EAGAIN: a secondary processor's first run, after INIT; no exit to look
			 * at. */
			if (errno == EINTR || errno == EAGAIN)
				continue;
			err_sys(e, "cannot run processor %u", c->id);
			return VM_END_KVM;
		}
		atomic_fetch_add_explicit(&c->exits, 1, memory_order_relaxed);
		end = handle_exit(c, h, e);
		if (end != VM_END_NONE)
			return end;
	}
}
