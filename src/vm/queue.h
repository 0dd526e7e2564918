/*
 * The split virtqueue (virtio 1.2, 2.7), whatever transport it came by: indirect descriptors
 * and event indices included.
 *
 *	while ((r = vm_queue_next(q, &chain)) > 0) {
 *		... read chain.out, fill chain.in ...
 *		vm_queue_done(q, &chain, bytes_written);
 *	}
 *	if (r < 0)
 *		the guest broke the rules: its device needs a reset
 *
 * The guest may write its rings while we read them.  Every field is fetched once into memory of
 * ours, checked there, and used from there; a walk is bounded by the queue's size; all that a
 * device sees are pointers into guest RAM, whole, and their sum fits 32 bits.
 */
#ifndef JAIL_VM_QUEUE_H
#define JAIL_VM_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "vm/memory.h"

enum {
	VM_QUEUE_SIZE_MAX = 256,
	VM_CHAIN_PARTS_MAX = 130, /* descriptors of one request: 128 of data, header and status */
};

struct vm_queue {
	const struct vm_memory *mem;
	uint16_t size_max; /* what we offer */
	/* Set by the driver while !ready. */
	uint16_t size;
	uint64_t desc, avail, used; /* guest-physical */
	bool ready;
	/* Ours, from vm_queue_enable on. */
	bool indirect, event_idx; /* negotiated */
	uint8_t *desc_at, *avail_at, *used_at;
	uint16_t base; /* vhost: where a queue goes on */
	uint16_t next_avail, next_used, signalled;
};

/* One request: parts that the device reads, then parts that it writes. */
struct vm_chain {
	uint16_t head;
	unsigned int n_out, n_in;
	uint32_t out_bytes, in_bytes;
	struct iovec out[VM_CHAIN_PARTS_MAX], in[VM_CHAIN_PARTS_MAX];
};

/*
 * Checks size (a power of two up to size_max), alignment and place of the rings, and starts at
 * index 0.  -EINVAL: not like this.
 */
int vm_queue_enable(struct vm_queue *q, bool indirect, bool event_idx) __attribute__((nonnull));
void vm_queue_reset(struct vm_queue *q) __attribute__((nonnull));

/*
 * The next request: 1; 0 when there is none, and the driver has then been asked to ring; -EPROTO
 * when the rings are not to be trusted.
 */
int vm_queue_next(struct vm_queue *q, struct vm_chain *ret) __attribute__((nonnull));
/* Whether there is a request, without taking it or asking the driver to ring. */
bool vm_queue_pending(const struct vm_queue *q) __attribute__((nonnull));
/* Puts the last request taken by vm_queue_next back, to be taken again. */
void vm_queue_unget(struct vm_queue *q) __attribute__((nonnull));
/* Gives a request back with the number of bytes written into its .in parts. */
void vm_queue_done(struct vm_queue *q, const struct vm_chain *c, uint32_t written)
	__attribute__((nonnull));
/* Whether the driver wants an interrupt for what was done since this was last asked. */
bool vm_queue_must_signal(struct vm_queue *q) __attribute__((nonnull));

/* Copies at an offset of the parts; returns the bytes copied, less than n at their end. */
size_t vm_iov_read(const struct iovec *iov, unsigned int n_iov, size_t offset, void *p, size_t n)
	__attribute__((nonnull));
size_t vm_iov_write(const struct iovec *iov, unsigned int n_iov, size_t offset, const void *p,
	size_t n) __attribute__((nonnull));
/* The parts that make up [offset, offset + n); returns how many. */
unsigned int vm_iov_slice(const struct iovec *iov, unsigned int n_iov, size_t offset, size_t n,
	struct iovec ret[VM_CHAIN_PARTS_MAX]) __attribute__((nonnull));

#endif
