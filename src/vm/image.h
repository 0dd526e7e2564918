/*
 * A directory becomes a block image that guests share: built once per image, read-only.
 *
 *	r = vm_image_build("/var/lib/jail/roots/debian", "/var/lib/jail/vm/debian.erofs",
 *VM_IMAGE_EROFS, e); r = vm_image_blank("/var/lib/jail/jails/web/layer.ext4", 10ull << 30, e);
 *
 * By the distribution's own programs (mkfs.erofs, mke2fs), which run in a child with a time
 * limit.  A file appears under its name only when it is whole.  EROFS is smaller and faster to
 * build and to read; ext4 is there where erofs-utils is not.
 */
#ifndef JAIL_VM_IMAGE_H
#define JAIL_VM_IMAGE_H

#include <stdint.h>

#include "base/err.h"

enum vm_image_type { VM_IMAGE_EROFS, VM_IMAGE_EXT4 };
extern const char *const vm_image_types[]; /* "erofs", "ext4": as mount(2) has them */

/* What this host can build: VM_IMAGE_EROFS when it is there, else VM_IMAGE_EXT4; -ENOENT. */
int vm_image_best(struct err *e) __attribute__((nonnull));
/* From the directory root, with its owners and modes, to a new file path. */
int vm_image_build(const char *root, const char *path, enum vm_image_type type, struct err *e)
	__attribute__((nonnull));
/* An empty ext4 of so many bytes (at least 8 MiB), sparse: a jail's writable layer. */
int vm_image_blank(const char *path, uint64_t bytes, struct err *e) __attribute__((nonnull));

#endif
