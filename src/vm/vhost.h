/*
 * One of our devices served to another monitor, by the vhost-user protocol: QEMU runs the
 * processors and the registers, we the queues.  That is how a guest under QEMU has the same
 * sockets, the same agent and the same bounds as one under our own monitor.
 *
 *	r = vm_vhost_init(&vh, &vsock.dev, sock_fd, &mem, e);
 *
 * QEMU docs/interop/vhost-user.rst.  mem is empty at first: the other monitor tells what it is.
 * QEMU is ours and trusted to keep to the protocol, but not its guest, whose rings are checked
 * as ever; what QEMU says wrongly ends the machine.
 */
#ifndef JAIL_VM_VHOST_H
#define JAIL_VM_VHOST_H

#include "vm/virtio.h"

struct vm_vhost {
	struct loop_watch watch; /* of the protocol's socket */
	struct loop *loop;
	struct vm_device *dev;
	struct vm_memory *mem;
	uint64_t user_address[VM_REGIONS_MAX]; /* of each region, in the other monitor */
	uint64_t mapped_bytes[VM_REGIONS_MAX];
	bool failed; /* the other side hung up, or made no sense */
	struct err why;
	void (*ended)(struct vm_vhost *v); /* told once when failed is set */
};

/* sock_fd stays the caller's. */
int vm_vhost_init(struct vm_vhost *v, struct vm_device *dev, int sock_fd, struct vm_memory *mem,
	struct err *e) __attribute__((nonnull));
void vm_vhost_release(struct vm_vhost *v) __attribute__((nonnull));

#endif
