#include "vm/acpi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	HEADER_BYTES = 36,
	FADT_BYTES = 276,
	RSDP_BYTES = 36,
	RSDP_SPACE = 0x40,
	AML_DEVICES_MAX = 64,
};

static void put(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	buf_add(b, le, bytes);
}

static void put_at(char *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (char)(v >> (8 * i));
}

static uint8_t checksum(const char *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + (uint8_t)*p++);
	return (uint8_t)-sum;
}

/* A table's common header (5.2.6); length and checksum are filled in by finish(). */
static size_t begin(struct buf *b, const char *signature, uint8_t revision)
{
	size_t at;

	while (b->n % 16)
		put(b, 0, 1);
	at = b->n;
	buf_add(b, signature, 4);
	put(b, 0, 4);
	put(b, revision, 1);
	put(b, 0, 1);
	buf_add(b, "JAIL  JAILVMM ", 14);
	put(b, 1, 4);
	buf_add(b, "JAIL", 4);
	put(b, 1, 4);
	return at;
}

static uint64_t finish(struct buf *b, size_t at)
{
	put_at(b->p + at + 4, b->n - at, 4);
	b->p[at + 9] = (char)checksum(b->p + at, b->n - at);
	return VM_ACPI_BASE + at;
}

/* AML PkgLength (20.2.4), always in the two-byte form: up to 4095 bytes, itself included. */
static void put_package(struct buf *b, const char *op, size_t op_bytes, const struct buf *body)
{
	size_t n = body->n + 2;

	buf_add(b, op, op_bytes);
	put(b, 0x40 | (n & 15), 1);
	put(b, n >> 4, 1);
	buf_add(b, body->p, body->n);
}

static void put_name(struct buf *b, const char *name4)
{
	put(b, 0x08, 1);
	buf_add(b, name4, 4);
}

static void put_byte_name(struct buf *b, const char *name4, uint8_t v)
{
	put_name(b, name4);
	put(b, 0x0a, 1);
	put(b, v, 1);
}

/* Name(_CRS, Buffer(n){resources, end tag}) */
static void put_crs(struct buf *b, struct buf *res)
{
	AUTO_BUF struct buf body = {0};

	put(res, 0x0079, 2); /* end tag, checksum 0: not checked */
	put(&body, 0x0a, 1);
	put(&body, res->n, 1);
	buf_add(&body, res->p, res->n);
	put_name(b, "_CRS");
	put_package(b, "\x11", 1, &body);
}

/* Extended Interrupt (6.4.3.6): consumer, edge, active high, exclusive. */
static void put_interrupt(struct buf *b, uint32_t gsi)
{
	put(b, 0x89, 1);
	put(b, 6, 2);
	put(b, 0x03, 1);
	put(b, 1, 1);
	put(b, gsi, 4);
}

static void put_serial(struct buf *scope)
{
	AUTO_BUF struct buf dev = {0}, res = {0};

	buf_add(&dev, "COM1", 4);
	put_name(&dev, "_HID");
	put(&dev, 0x0c, 1); /* dword: the packed EISA id PNP0501 */
	put(&dev, 0x0105d041, 4);
	put_byte_name(&dev, "_UID", 0);
	put(&res, 0x47, 1); /* I/O port (6.4.2.5), 16-bit decode */
	put(&res, 1, 1);
	put(&res, VM_SERIAL_PORT, 2);
	put(&res, VM_SERIAL_PORT, 2);
	put(&res, 1, 1);
	put(&res, 8, 1);
	put_interrupt(&res, VM_SERIAL_GSI);
	put_crs(&dev, &res);
	put_package(scope, "\x5b\x82", 2, &dev);
}

static void put_virtio(struct buf *scope, unsigned int nr, const struct vm_acpi_device *d)
{
	AUTO_BUF struct buf dev = {0}, res = {0};
	char name[5];

	snprintf(name, sizeof(name), "V%03u", nr % 1000);
	buf_add(&dev, name, 4);
	put_name(&dev, "_HID");
	put(&dev, 0x0d, 1); /* string: drivers/virtio/virtio_mmio.c binds to it */
	buf_add(&dev, "LNRO0005", 9);
	put_byte_name(&dev, "_UID", (uint8_t)nr);
	put_byte_name(&dev, "_CCA", 1);
	put(&res, 0x86, 1); /* 32-bit fixed memory (6.4.3.4), writable */
	put(&res, 9, 2);
	put(&res, 1, 1);
	put(&res, d->base, 4);
	put(&res, VM_MMIO_BYTES, 4);
	put_interrupt(&res, d->gsi);
	put_crs(&dev, &res);
	put_package(scope, "\x5b\x82", 2, &dev);
}

/* Scope(\_SB){...}: its PkgLength needs three bytes, for up to 64 devices. */
static uint64_t put_dsdt(struct buf *b, const struct vm_acpi *a)
{
	AUTO_BUF struct buf sb = {0};
	size_t at = begin(b, "DSDT", 2), n;
	static const char s5[] = "\x08_S5_\x12\x07\x04\x0a\x05\x00\x00\x00";

	buf_add(&sb, "\\_SB_", 5);
	put_serial(&sb);
	for (size_t i = 0; i < a->n_devices; i++)
		put_virtio(&sb, (unsigned int)i, &a->devices[i]);
	n = sb.n + 3;
	put(b, 0x10, 1);
	put(b, 0x80 | (n & 15), 1);
	put(b, n >> 4, 2);
	buf_add(b, sb.p, sb.n);
	buf_add(b, s5, sizeof(s5) - 1);
	return finish(b, at);
}

static void put_gas(char *p, uint16_t port)
{
	put_at(p, 1, 1); /* system I/O */
	put_at(p + 1, 8, 1);
	put_at(p + 3, 1, 1); /* byte access */
	put_at(p + 4, port, 8);
}

static uint64_t put_fadt(struct buf *b, uint64_t dsdt)
{
	size_t at = begin(b, "FACP", 6);
	char *t;

	for (size_t i = HEADER_BYTES; i < FADT_BYTES; i++)
		put(b, 0, 1);
	t = b->p + at;
	put_at(t + 40, dsdt, 4);
	put_at(t + 109, 1 << 2 | 1 << 5, 2); /* no VGA, no CMOS clock */
	put_at(t + 112, 1u << 20 | 1 << 10 | 1 << 4 | 1 << 5,
		4); /* hw-reduced, reset, no buttons */
	put_gas(t + 116, VM_ACPI_RESET_PORT);
	put_at(t + 128, 1, 1);
	put_at(t + 140, dsdt, 8);
	put_gas(t + 244, VM_ACPI_SLEEP_PORT);
	put_gas(t + 256, VM_ACPI_STATUS_PORT);
	return finish(b, at);
}

static uint64_t put_madt(struct buf *b, unsigned int n_cpus)
{
	size_t at = begin(b, "APIC", 5);

	put(b, VM_LAPIC_BASE, 4);
	put(b, 0, 4); /* no 8259 pair */
	for (unsigned int i = 0; i < n_cpus; i++) {
		put(b, 0, 1);
		put(b, 8, 1);
		put(b, i, 1);
		put(b, i, 1);
		put(b, 1, 4);
	}
	put(b, 1, 1); /* the I/O APIC, id n_cpus, from GSI 0 */
	put(b, 12, 1);
	put(b, n_cpus, 2);
	put(b, VM_IOAPIC_BASE, 4);
	put(b, 0, 4);
	return finish(b, at);
}

static void fill_rsdp(char *p, uint64_t xsdt)
{
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "JAIL  ", 6);
	p[15] = 2;
	put_at(p + 20, RSDP_BYTES, 4);
	put_at(p + 24, xsdt, 8);
	p[8] = (char)checksum(p, 20);
	p[32] = (char)checksum(p, RSDP_BYTES);
}

int vm_acpi_build(const struct vm_acpi *a, struct buf *ret, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	uint64_t dsdt, fadt, madt;
	size_t xsdt;

	if (!a->n_cpus || a->n_cpus > 254 || a->n_devices > AML_DEVICES_MAX)
		return err_set(e, E2BIG, "too many processors or devices for the ACPI tables");
	for (size_t i = 0; i < RSDP_SPACE; i++)
		put(&b, 0, 1);
	dsdt = put_dsdt(&b, a);
	fadt = put_fadt(&b, dsdt);
	madt = put_madt(&b, a->n_cpus);
	xsdt = begin(&b, "XSDT", 1);
	put(&b, fadt, 8);
	put(&b, madt, 8);
	fill_rsdp(b.p, finish(&b, xsdt));
	if (b.n > VM_ACPI_BYTES)
		return err_set(e, E2BIG, "ACPI tables take %zu bytes", b.n);
	buf_add(ret, b.p, b.n);
	return 0;
}
