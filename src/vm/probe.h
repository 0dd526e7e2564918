/*
 * Whether this host's KVM can run an ordinary kernel.
 *
 *	r = vm_kvm_probe(e);	0: it can; -ENOENT, -EACCES, -ENOTSUP, -ETIMEDOUT: why not
 *
 * /dev/kvm and its capabilities prove little: on hosts that are guests themselves it may be a
 * software KVM which answers every question well and then cannot execute a breakpoint.  So a
 * guest in long mode runs what kernels run (locked 16-byte exchange, bit counting, FPU state,
 * a trap and the return from it) and a million turns of a loop, which are timed against the
 * same loop here.  It takes a few milliseconds, in a child, so nothing can hang the caller.
 */
#ifndef JAIL_VM_PROBE_H
#define JAIL_VM_PROBE_H

#include "base/err.h"

int vm_kvm_probe(struct err *e) __attribute__((nonnull));

#endif
