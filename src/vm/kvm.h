/*
 * KVM, and nothing of devices: a virtual machine, its processors, and why they stopped.
 *
 *	struct vm_kvm kvm = VM_KVM_INIT;
 *	vm_kvm_init(&kvm, kvm_fd, &mem, e);
 *	vm_kvm_add_cpu(&kvm, 0, n_cpus, &cpu, e);
 *	vm_cpu_set_pvh(&cpu, entry, start_info, e);	 processor 0; others wait for its call
 *	end = vm_cpu_run(&cpu, &handlers, e);		 each in its own thread, until it ends
 *
 * Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 3 for the registers.
 */
#ifndef JAIL_VM_KVM_H
#define JAIL_VM_KVM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/memory.h"

enum { VM_CPUS_MAX = 32 };

/* Why a virtual machine is no more. */
enum vm_end {
	VM_END_NONE, /* it runs */
	VM_END_POWEROFF, /* the guest switched itself off */
	VM_END_RESET, /* the guest asked for a reset: reboot, or a panic with panic=-1 */
	VM_END_FAULT, /* triple fault: the guest's processor gave up */
	VM_END_KVM, /* KVM could not go on */
	VM_END_STOPPED, /* we were asked to stop it */
};
extern const char *const vm_end_names[]; /* by enum vm_end */

struct vm_kvm {
	int kvm_fd; /* borrowed */
	int vm_fd; /* owned */
	size_t run_bytes;
};
#define VM_KVM_INIT                                                                                \
	{                                                                                          \
		.kvm_fd = -1, .vm_fd = -1                                                          \
	}

struct kvm_run;
struct vm_cpu {
	unsigned int id;
	int fd; /* owned */
	struct kvm_run *run; /* owned mapping */
	size_t run_bytes;
	_Atomic uint64_t exits; /* to us, of any kind */
};

/* What a processor's accesses reach.  data is n bytes (1, 2, 4 or 8), in or out. */
struct vm_cpu_handlers {
	void *ctx;
	/* Returns other than VM_END_NONE to end the machine. */
	enum vm_end (*port)(void *ctx, uint16_t port, uint8_t *data, size_t n, bool write);
	void (*mmio)(void *ctx, uint64_t gpa, uint8_t *data, size_t n, bool write);
	bool (*stopping)(void *ctx); /* asked after each interruption by a signal */
};

/*
 * Makes the machine on an open /dev/kvm: memory, local APICs and I/O APIC in the kernel, and
 * no PIT.  -ENOTSUP names a capability that this KVM lacks.
 */
int vm_kvm_init(struct vm_kvm *k, int kvm_fd, const struct vm_memory *mem, struct err *e)
	__attribute__((nonnull));
void vm_kvm_release(struct vm_kvm *k) __attribute__((nonnull));

/* eventfd -> interrupt gsi, without us; the eventfd stays the caller's. */
int vm_kvm_irqfd(struct vm_kvm *k, int event_fd, uint32_t gsi, struct err *e)
	__attribute__((nonnull));
/* A 4-byte write of value at gpa -> eventfd, without us. */
int vm_kvm_ioeventfd(struct vm_kvm *k, int event_fd, uint64_t gpa, uint32_t value, struct err *e)
	__attribute__((nonnull));

/* A processor with CPUID and MSRs set; id counts from 0 up to n_cpus - 1. */
int vm_kvm_add_cpu(struct vm_kvm *k, unsigned int id, unsigned int n_cpus, struct vm_cpu *ret,
	struct err *e) __attribute__((nonnull));
void vm_cpu_release(struct vm_cpu *c) __attribute__((nonnull));

/* PVH start state: 32-bit protected mode, flat segments, EBX = start_info. */
int vm_cpu_set_pvh(struct vm_cpu *c, uint32_t entry, uint32_t start_info, struct err *e)
	__attribute__((nonnull));

/* Runs until the machine ends; VM_END_KVM fills the record. */
enum vm_end vm_cpu_run(struct vm_cpu *c, const struct vm_cpu_handlers *h, struct err *e)
	__attribute__((nonnull));
/* Makes a running vm_cpu_run return to ask stopping(); signal the thread afterwards. */
void vm_cpu_interrupt(struct vm_cpu *c) __attribute__((nonnull));

#endif
