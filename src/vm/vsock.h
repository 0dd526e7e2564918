/*
 * virtio socket (virtio 1.2, 5.10) in user space: streams between the guest and unix sockets.
 *
 *	r = vm_vsock_init(&v, &(struct vm_vsock_ends){.cid = 3, .listen_fd = fd, .owner_fd = owner},
 *...);
 *
 * From host to guest: a client connects to the listening unix socket and writes the guest's
 * port (4 bytes, little endian).  Four zero bytes come back when the guest has accepted, and
 * from there on it is the stream; end of file instead means that it has refused.
 *
 * From guest to host: the owner's SOCK_SEQPACKET socket receives {host port, guest port} (two
 * little-endian u32) with the stream's descriptor.  Who owns the machine decides what to do
 * with it; the monitor opens, connects to and accepts nothing that was not handed to it.
 *
 * Bounds: VM_VSOCK_STREAMS_MAX streams, VM_VSOCK_BUFFER bytes kept for each when its reader is
 * slow (which is the credit that the guest gets), VM_VSOCK_RESETS_MAX refusals waiting.
 */
#ifndef JAIL_VM_VSOCK_H
#define JAIL_VM_VSOCK_H

#include "vm/virtio.h"

enum {
	VM_VSOCK_STREAMS_MAX = 256,
	VM_VSOCK_BUFFER = 64 << 10,
	VM_VSOCK_RESETS_MAX = 64,
	VM_VSOCK_HOST_CID = 2,
	VM_VSOCK_GUEST_CID = 3,
	VM_VSOCK_QUEUE = 128,
};

struct vm_vsock_ends {
	uint64_t cid; /* of the guest, from 3 on */
	int listen_fd; /* taken; listening SOCK_STREAM unix socket, or -1 */
	int owner_fd; /* borrowed; SOCK_SEQPACKET, or -1: the guest's requests are refused */
};

struct vm_stream;
struct vm_vsock {
	struct vm_device dev;
	uint64_t cid;
	int listen_fd, owner_fd;
	struct loop_watch listen_watch;
	struct vm_stream *streams; /* a list; the next to be served first */
	unsigned int n_streams;
	uint32_t next_port;
	struct vm_vsock_reset {
		uint32_t host_port, guest_port;
	} resets[VM_VSOCK_RESETS_MAX]; /* to be told to the guest, oldest first */
	unsigned int n_resets;
};

int vm_vsock_init(struct vm_vsock *v, const struct vm_vsock_ends *ends, const struct vm_memory *mem,
	struct loop *loop, struct err *e) __attribute__((nonnull));
void vm_vsock_release(struct vm_vsock *v) __attribute__((nonnull));

#endif
