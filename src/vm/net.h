/*
 * virtio network (virtio 1.2, 5.1) on a tap device.
 *
 *	r = vm_net_init(&net, &(struct vm_net_link){.fd = tap_fd, .mac = mac, .offload = true},
 *&mem, &loop, e);
 *
 * The tap was made by somebody who may (IFF_TAP, IFF_NO_PI, IFF_VNET_HDR) and handed over.  One
 * frame is one write and one read, with the virtio header before it, which the kernel checks
 * again.  Frames from any other address than the device's own are dropped, as are those that the
 * tap does not take at once: a network may lose, but never wait for, a guest.
 */
#ifndef JAIL_VM_NET_H
#define JAIL_VM_NET_H

#include "vm/virtio.h"

enum { VM_NET_HEADER = 12, VM_NET_QUEUE = 256, VM_NET_FRAME_MAX = 65535 + 14 };

struct vm_net_link {
	int fd; /* taken */
	uint8_t mac[6];
	bool offload; /* a tap: checksums and segmentation are left to it */
};

struct vm_net {
	struct vm_device dev;
	struct loop_watch watch;
	int fd; /* owned */
	uint8_t mac[6];
	bool offload, has_buffers;
	uint64_t dropped;
};

int vm_net_init(struct vm_net *n, const struct vm_net_link *link, const struct vm_memory *mem,
	struct loop *loop, struct err *e) __attribute__((nonnull));
void vm_net_release(struct vm_net *n) __attribute__((nonnull));

#endif
