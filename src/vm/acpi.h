/*
 * The five ACPI tables of our hardware-reduced machine: RSDP, XSDT, FADT, MADT, DSDT.
 *
 *	struct vm_acpi_device dev[] = {{.base = 0xd0000000, .gsi = 5}};
 *	n = vm_acpi_build(&(struct vm_acpi){.n_cpus = 2, .devices = dev, .n_devices = 1}, out, e);
 *
 * ACPI 6.5: 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.12 (MADT), 4.1 (hardware-reduced),
 * 20.2 (AML), 6.4 (resources).  Pure.
 */
#ifndef JAIL_VM_ACPI_H
#define JAIL_VM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	VM_ACPI_BASE = 0xe0000, /* where a PC's kernel looks for the RSDP without being told */
	VM_ACPI_BYTES = 0x8000,
	VM_ACPI_RESET_PORT = 0x600, /* 1 written: reset */
	VM_ACPI_SLEEP_PORT = 0x601, /* SLEEP_CONTROL: bit 5 enables, bits 2-4 the type */
	VM_ACPI_STATUS_PORT = 0x602, /* SLEEP_STATUS */
	VM_ACPI_S5_TYPE = 5,
	VM_SERIAL_PORT = 0x3f8,
	VM_SERIAL_GSI = 4,
	VM_MMIO_BYTES = 0x1000, /* one virtio-mmio window */
};
#define VM_IOAPIC_BASE 0xfec00000u
#define VM_LAPIC_BASE  0xfee00000u

struct vm_acpi_device {
	uint32_t base, gsi;
};

struct vm_acpi {
	unsigned int n_cpus; /* 1 to 254, APIC ids counted from 0 */
	const struct vm_acpi_device *devices;
	size_t n_devices; /* at most 64 */
};

/* Appends all tables, for VM_ACPI_BASE and linked with each other, RSDP first; -E2BIG. */
int vm_acpi_build(const struct vm_acpi *a, struct buf *ret, struct err *e) __attribute__((nonnull));

#endif
