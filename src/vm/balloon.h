/*
 * virtio balloon (virtio 1.2, 5.5): memory that the guest does not need goes back to the host.
 *
 *	r = vm_balloon_init(&b, &mem, &loop, e);
 *	vm_balloon_set(&b, pages);	ask the guest to give up so many pages, or fewer
 *
 * With free-page reporting the guest tells by itself which pages it has free, and they are given
 * back at once; they come back as zeros when it touches them.  Pages that a guest names are RAM
 * and whole, or its device is broken: it can only ever lose memory of its own.
 */
#ifndef JAIL_VM_BALLOON_H
#define JAIL_VM_BALLOON_H

#include "vm/virtio.h"

struct vm_balloon {
	struct vm_device dev;
	uint64_t returned_bytes; /* to the host, in all */
};

int vm_balloon_init(struct vm_balloon *b, const struct vm_memory *mem, struct loop *loop,
	struct err *e) __attribute__((nonnull));
/* How many pages of 4 KiB the balloon is to hold. */
void vm_balloon_set(struct vm_balloon *b, uint32_t pages) __attribute__((nonnull));
/* How many it holds, as the guest says. */
uint32_t vm_balloon_actual(const struct vm_balloon *b) __attribute__((nonnull));

#endif
