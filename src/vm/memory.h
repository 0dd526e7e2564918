/*
 * Guest memory: one or two regions of anonymous memory, between pages that fault.
 *
 *	struct vm_memory mem = {0};
 *	r = vm_memory_init(&mem, bytes, e);
 *	void *p = vm_memory_at(&mem, gpa, len);	 NULL unless all of it is RAM
 *
 * Nothing else turns a guest-physical address into a pointer, so no device can be talked into
 * reading its own registers or our memory.  What a pointer shows may change under us at any
 * time (the guest has other processors): copy once, check the copy, use the copy.
 */
#ifndef JAIL_VM_MEMORY_H
#define JAIL_VM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VM_HOLE_START 0xc0000000ull /* 3 GiB: devices and interrupt controllers live here */
#define VM_HOLE_END   0x100000000ull /* RAM goes on at 4 GiB */
#define VM_MEMORY_MIN (64ull << 20)
#define VM_MEMORY_MAX (1ull << 40)

struct vm_region {
	uint64_t start, bytes; /* guest-physical */
	uint8_t *host;
};

enum { VM_REGIONS_MAX = 8 }; /* ours has at most two; another monitor's may have more */

struct vm_memory {
	struct vm_region region[VM_REGIONS_MAX];
	unsigned int n_regions;
};

/* Makes bytes (a multiple of 4096, VM_MEMORY_MIN to VM_MEMORY_MAX) of zeroed guest memory. */
int vm_memory_init(struct vm_memory *mem, uint64_t bytes, struct err *e) __attribute__((nonnull));
void vm_memory_release(struct vm_memory *mem) __attribute__((nonnull));

/* The host address of [gpa, gpa + len), or NULL when not all of it is RAM of one region. */
void *vm_memory_at(const struct vm_memory *mem, uint64_t gpa, uint64_t len)
	__attribute__((nonnull));

/* Copies in and out; 0, or -EFAULT and nothing copied. */
int vm_memory_read(const struct vm_memory *mem, uint64_t gpa, void *p, size_t n)
	__attribute__((nonnull));
int vm_memory_write(const struct vm_memory *mem, uint64_t gpa, const void *p, size_t n)
	__attribute__((nonnull));

/*
 * Puts n bytes of file fd, from offset, at gpa: whole pages are mapped privately when both
 * sides are page-aligned (a kernel of 44 MiB in 20 us, and shared through the page cache until
 * written), the rest is read.
 */
int vm_memory_load(const struct vm_memory *mem, uint64_t gpa, int fd, uint64_t offset, uint64_t n,
	struct err *e) __attribute__((nonnull));

#endif
