/*
 * virtio entropy (virtio 1.2, 5.4): random bytes from the kernel, a bounded amount at a time.
 *
 *	r = vm_rng_init(&rng, &mem, &loop, e);
 */
#ifndef JAIL_VM_RNG_H
#define JAIL_VM_RNG_H

#include "vm/virtio.h"

enum { VM_RNG_REQUEST_MAX = 4096 }; /* bytes given for one request, however much it asks */

struct vm_rng {
	struct vm_device dev;
};

int vm_rng_init(struct vm_rng *r, const struct vm_memory *mem, struct loop *loop, struct err *e)
	__attribute__((nonnull));

#endif
