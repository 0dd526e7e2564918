/*
 * The monitor's own jail.  Everything is opened first; then
 *
 *	vm_filter_build(VM_THREAD_CPU, &filter, e);	for each kind of thread
 *	vm_confine(e);					once, while there is one thread
 *	vm_filter_apply(&filter, e);			in each thread, its last step before work
 *
 * leaves: an empty root directory, namespaces of its own (mounts, network, IPC, names, control
 * groups; and users, for a plain user), user nobody where it was root, no capabilities,
 * no_new_privs, and no system call that opens, connects, executes or forks.  A plain user with
 * access to /dev/kvm can do all of it; where the kernel refuses him namespaces it is an error,
 * not a weaker monitor.
 */
#ifndef JAIL_VM_CONFINE_H
#define JAIL_VM_CONFINE_H

#include <stddef.h>

#include "base/err.h"

enum vm_thread {
	VM_THREAD_CPU, /* runs a processor: KVM_RUN, events, the serial port's output */
	VM_THREAD_LOOP, /* devices: reads and writes what is open */
	VM_THREAD_UNPACK, /* reads strangers' kernels: memory, read and write only */
};

struct sock_filter;
struct vm_filter {
	struct sock_filter *insns; /* owned */
	size_t n;
};

int vm_filter_build(enum vm_thread kind, struct vm_filter *ret, struct err *e)
	__attribute__((nonnull));
int vm_filter_apply(const struct vm_filter *f, struct err *e) __attribute__((nonnull));
void vm_filter_release(struct vm_filter *f) __attribute__((nonnull));

int vm_confine(struct err *e) __attribute__((nonnull));

#endif
