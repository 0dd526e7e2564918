/*
 * What a guest finds in its memory when it starts: kernel, initramfs, command line, memory map,
 * ACPI tables, and the PVH start_info that leads to them.
 *
 *	struct vm_boot boot = {.kernel_fd = fd, .command_line = "panic=-1", .acpi = {.n_cpus = 1}};
 *	r = vm_boot_load(&boot, &mem, &entry, e);
 *	vm_cpu_set_pvh(&cpu, entry, VM_BOOT_START_INFO, e);
 *
 * Layout (guest-physical): start_info 0x6000, memory map 0x7000, command line 0x20000, ACPI at
 * VM_ACPI_BASE, the kernel where its ELF says (16 MiB as a rule), the initramfs at the top of
 * the RAM below 3 GiB.  Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h.
 */
#ifndef JAIL_VM_BOOT_H
#define JAIL_VM_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/acpi.h"
#include "vm/memory.h"

enum {
	VM_BOOT_START_INFO = 0x6000,
	VM_BOOT_COMMAND_LINE_MAX = 2048, /* final NUL included: COMMAND_LINE_SIZE of x86 Linux */
	VM_BOOT_INITRDS_MAX = 4,
};

struct vm_boot {
	int kernel_fd; /* a flat ELF (vm_kernel_flatten), borrowed */
	/* cpio archives; the kernel unpacks one after the other.  Borrowed. */
	int initrd_fd[VM_BOOT_INITRDS_MAX];
	size_t n_initrds;
	const char *command_line;
	struct vm_acpi acpi;
};

/* Fills guest memory and returns the PVH entry in *ret_entry. */
int vm_boot_load(const struct vm_boot *b, const struct vm_memory *mem, uint32_t *ret_entry,
	struct err *e) __attribute__((nonnull));

#endif
