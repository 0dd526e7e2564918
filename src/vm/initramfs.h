/*
 * What a guest boots from: a flat kernel, and archives of its modules and of our agent.
 *
 *	struct vm_kernel_files k = {0};
 *	r = vm_kernel_files_read(package, n, &k, e);	a .deb, a bzImage or an ELF -> in memory
 *	... k.release, k.flat, k.modules ...
 *
 * A kernel and its modules come from one package and are not changed, so what is signed stays
 * signed.  The agent has an archive of its own: it changes with us, the modules with Debian.
 * cpio "newc": Linux Documentation/driver-api/early-userspace/buffer-format.rst.  Pure.
 */
#ifndef JAIL_VM_INITRAMFS_H
#define JAIL_VM_INITRAMFS_H

#include "base/err.h"
#include "base/mem.h"

struct vm_kernel_files {
	char *release; /* "6.1.0-56-cloud-amd64"; "unknown" for a bare kernel */
	struct buf flat; /* ELF */
	struct buf modules; /* cpio archive: /modules, /modules.later, /lib/modules; empty for a bare kernel */
};

/*
 * Reads a Debian package of a kernel, or a bare kernel that has its drivers built in.  -ENOENT
 * names a module that a guest needs and that is neither there nor built in.
 */
int vm_kernel_files_read(const void *p, size_t n, struct vm_kernel_files *ret, struct err *e)
	__attribute__((nonnull));
void vm_kernel_files_release(struct vm_kernel_files *k) __attribute__((nonnull));

/* Appends an archive with the program as /init, and what its first moments need. */
void vm_agent_archive(const void *program, size_t n, struct buf *ret) __attribute__((nonnull));

/* One entry of a cpio archive, and its end; mode as of stat(2), device numbers for nodes. */
void vm_cpio_add(struct buf *b, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
	const void *p, size_t n) __attribute__((nonnull(1, 2)));
void vm_cpio_end(struct buf *b) __attribute__((nonnull));

#endif
