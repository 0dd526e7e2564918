/*
 * virtio block (virtio 1.2, 5.2) on a raw file or block device: read, write, flush, discard,
 * write zeroes, id.
 *
 *	r = vm_blk_init(&blk, &(struct vm_blk_disk){.fd = fd, .read_only = true, .id = "root"},
 *&mem, &loop, e);
 *
 * Requests are served in order and whole, by preadv and pwritev straight between the file and
 * guest memory.  A file that shrinks under us gives the guest an I/O error.
 */
#ifndef JAIL_VM_BLK_H
#define JAIL_VM_BLK_H

#include "vm/virtio.h"

struct vm_blk_disk {
	int fd; /* taken */
	bool read_only;
	const char *id; /* serial number that the guest sees, at most 20 bytes */
};

struct vm_blk {
	struct vm_device dev;
	int fd; /* owned */
	bool read_only, is_file;
	uint64_t sectors;
	char id[20];
};

/* The descriptor is the device's from here on, also on failure. */
int vm_blk_init(struct vm_blk *b, const struct vm_blk_disk *disk, const struct vm_memory *mem,
	struct loop *loop, struct err *e) __attribute__((nonnull));
void vm_blk_release(struct vm_blk *b) __attribute__((nonnull));

#endif
