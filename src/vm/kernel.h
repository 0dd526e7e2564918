/*
 * Kernel files: what a user or a distribution's package hands us becomes a flat ELF image that
 * the monitor can map.  All of it is pure, bytes in and struct or error out, because a kernel
 * file is a stranger's.
 *
 *	AUTO_BUF struct buf flat = {0};
 *	r = vm_kernel_flatten(file, n, &flat, e);	 bzImage or ELF -> ELF
 *	r = vm_elf_parse(flat.p, flat.n, &elf, e);	 what to load where, where to start
 *
 * Formats: Linux Documentation/arch/x86/boot.rst (bzImage), ELF-64, and the Xen PVH start
 * (docs/misc/pvh.pandoc in Xen: note type 18, XEN_ELFNOTE_PHYS32_ENTRY).
 */
#ifndef JAIL_VM_KERNEL_H
#define JAIL_VM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	VM_ELF_SEGMENTS_MAX = 16,
	VM_ELF_NOTE_BYTES_MAX = 1 << 16,
	VM_KERNEL_BYTES_MAX = 512 << 20, /* of an image, packed or flat */
};

/* One PT_LOAD: file_bytes from file_offset go to guest-physical paddr, zeros up to mem_bytes. */
struct vm_elf_segment {
	uint64_t paddr, file_offset, file_bytes, mem_bytes;
};

struct vm_elf {
	struct vm_elf_segment segment[VM_ELF_SEGMENTS_MAX];
	unsigned int n_segments;
	uint32_t pvh_entry; /* guest-physical, 32-bit protected mode */
	uint64_t end; /* first guest-physical byte above all segments */
};

/*
 * Reads the headers of a flat ELF image.  Every segment lies in the file and at 1 MiB to 4 GiB
 * of guest memory.  -ENOEXEC: no x86-64 ELF, or no PVH note (the kernel needs CONFIG_PVH).
 */
int vm_elf_parse(const void *p, size_t n, struct vm_elf *ret, struct err *e)
	__attribute__((nonnull));

enum vm_packing { VM_PACK_NONE, VM_PACK_GZIP, VM_PACK_XZ, VM_PACK_ZSTD, VM_PACK_LZ4 };

struct vm_payload {
	size_t offset, bytes;
	enum vm_packing packing;
	uint32_t flat_bytes; /* as the file says; checked when unpacking */
};

/* Finds the packed ELF in a bzImage (boot protocol 2.08 or later). */
int vm_bzimage_payload(const void *p, size_t n, struct vm_payload *ret, struct err *e)
	__attribute__((nonnull));

/* The packing that the first bytes announce. */
enum vm_packing vm_packing_of(const void *p, size_t n) __attribute__((nonnull));

/*
 * Unpacks n bytes into ret, at most max_bytes of output: -EFBIG beyond, -EBADMSG when damaged.
 * lz4 is the legacy frame, as Linux uses it.
 */
int vm_unpack(enum vm_packing packing, const void *p, size_t n, size_t max_bytes, struct buf *ret,
	struct err *e) __attribute__((nonnull));

/* A bzImage is unpacked, an ELF copied; the result is known to pass vm_elf_parse. */
int vm_kernel_flatten(const void *p, size_t n, struct buf *ret, struct err *e)
	__attribute__((nonnull));

#endif
