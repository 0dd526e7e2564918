/*
 * virtio over MMIO, version 2 (virtio 1.2, 4.2): register accesses become calls on a device.
 *
 *	vm_mmio_access(dev, gpa - base, data, n, write);	 from any processor's thread
 *
 * Registers are 32 bits wide and aligned; other accesses to them read as zeros and write
 * nothing.  The configuration space, from 0x100 on, takes any width.
 */
#ifndef JAIL_VM_MMIO_H
#define JAIL_VM_MMIO_H

#include "vm/virtio.h"

enum {
	VM_MMIO_FIRST_GSI = 5,
	VM_MMIO_DEVICES_MAX = 18, /* GSIs 5 to 22: the I/O APIC ends at 23 */
};
#define VM_MMIO_FIRST_BASE 0xd0000000u

void vm_mmio_access(struct vm_device *d, uint64_t offset, uint8_t *data, size_t n, bool write)
	__attribute__((nonnull));

#endif
