/*
 * The machine: memory, processors, serial port and devices put together, run, and ended.
 *
 *	struct vm_machine *m;
 *	r = vm_machine_new(&config, &m, e);	everything is opened and made here
 *	r = vm_machine_run(m, e);		threads and loop, until the guest ends
 *	vm_machine_free(m);
 *
 * Threads: one per processor, which runs the guest and answers its register accesses, and the
 * caller's, which runs the loop: everything that touches a queue or a descriptor.
 */
#ifndef JAIL_VM_MACHINE_H
#define JAIL_VM_MACHINE_H

#include <pthread.h>

#include "base/loop.h"
#include "base/mem.h"
#include "vm/balloon.h"
#include "vm/blk.h"
#include "vm/boot.h"
#include "vm/kvm.h"
#include "vm/memory.h"
#include "vm/mmio.h"
#include "vm/net.h"
#include "vm/rng.h"
#include "vm/serial.h"
#include "vm/vsock.h"

struct vm_config_disk {
	const char *path;
	bool read_only;
};

/* What a machine consists of; strings are the caller's. */
struct vm_config {
	const char *kernel; /* path of a flat ELF */
	const char *const *initrds; /* n_initrds paths of cpio archives */
	size_t n_initrds;
	const char *command_line; /* added to our own */
	uint64_t memory_bytes;
	unsigned int n_cpus;
	const struct vm_config_disk *disks; /* n_disks: vda, vdb, ... */
	size_t n_disks;
	struct vm_net_link network; /* its fd -1: none; taken */
	/* The guest's sockets (vsock.h); both -1: it has none. */
	int vsock_listen_fd; /* taken */
	int vsock_owner_fd; /* borrowed */
	int serial_fd; /* the guest's serial output; -1: the guest has no serial port */
};

struct vm_machine;

int vm_machine_new(const struct vm_config *c, struct vm_machine **ret, struct err *e)
	__attribute__((nonnull));
/* Confines the process (confine.h) and runs.  Returns an enum vm_end, or -errno; VM_END_KVM fills
 * the record. */
int vm_machine_run(struct vm_machine *m, struct err *e) __attribute__((nonnull));
void vm_machine_free(struct vm_machine *m);

/* Exits of all processors to us, so far. */
uint64_t vm_machine_exits(const struct vm_machine *m) __attribute__((nonnull));

#endif
