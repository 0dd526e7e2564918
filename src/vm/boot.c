#include "vm/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vm/kernel.h"

enum {
	MODULES_AT = 0x6040,
	MEMORY_MAP_AT = 0x7000,
	COMMAND_LINE_AT = 0x20000,
	RESET_VECTOR = 0xffff0, /* where a kernel jumps that reboots "through the BIOS" */
	LOW_RAM_END = 0x9fc00, /* above: what a PC's firmware would keep */
	HIGH_RAM_START = 0x100000,
	RAM = 1,
	RESERVED = 2,
	PAGE = 4096,
};
#define START_MAGIC 0x336ec578u

struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};
struct start_module {
	uint64_t at, bytes, command_line, reserved;
};
struct start_memory {
	uint64_t at, bytes;
	uint32_t type, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "start_info is an ABI");
_Static_assert(sizeof(struct start_module) == 32, "start_module is an ABI");
_Static_assert(sizeof(struct start_memory) == 24, "start_memory is an ABI");

/*
 * All the firmware there is: Linux without DMI tables reboots by jumping to the reset vector in
 * real mode, and would run through zeros for ever.  mov $0x600,%dx; mov $1,%al; out %al,(%dx);
 * hlt; jmp back to the hlt.
 */
static const uint8_t reset_code[] = {
	0xba, VM_ACPI_RESET_PORT & 0xff, VM_ACPI_RESET_PORT >> 8, 0xb0, 1, 0xee, 0xf4, 0xeb, 0xfd};

static int put(const struct vm_memory *mem, uint64_t at, const void *p, size_t n, struct err *e)
{
	if (vm_memory_write(mem, at, p, n) < 0)
		return err_set(e, EFAULT, "guest memory has no place at %#" PRIx64, at);
	return 0;
}

static int file_bytes(int fd, const char *what, uint64_t *ret, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot look at the %s", what);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(e, EINVAL, "the %s is empty or no regular file", what);
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int load_kernel(
	const struct vm_boot *b, const struct vm_memory *mem, struct vm_elf *elf, struct err *e)
{
	uint64_t bytes;
	void *p;
	int r;

	if (file_bytes(b->kernel_fd, "kernel", &bytes, e) < 0)
		return -e->code;
	p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, b->kernel_fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "cannot map the kernel");
	r = vm_elf_parse(p, bytes, elf, e);
	munmap(p, bytes);
	for (unsigned int i = 0; r >= 0 && i < elf->n_segments; i++) {
		const struct vm_elf_segment *s = &elf->segment[i];

		if (!vm_memory_at(mem, s->paddr, s->mem_bytes))
			return err_set(e, ENOMEM,
				"the kernel needs memory up to %" PRIu64
				" MiB; give the guest more memory",
				(s->paddr + s->mem_bytes + (1 << 20) - 1) >> 20);
		if (s->file_bytes)
			r = vm_memory_load(
				mem, s->paddr, b->kernel_fd, s->file_offset, s->file_bytes, e);
	}
	return r;
}

/* All archives become one module, each at a page, so that each can be mapped. */
static int load_initrds(const struct vm_boot *b, const struct vm_memory *mem, uint64_t kernel_end,
	struct start_module *m, struct err *e)
{
	uint64_t bytes[VM_BOOT_INITRDS_MAX], total = 0, at;

	for (size_t i = 0; i < b->n_initrds; i++) {
		if (file_bytes(b->initrd_fd[i], "initramfs", &bytes[i], e) < 0)
			return -e->code;
		total += (bytes[i] + PAGE - 1) & ~(uint64_t)(PAGE - 1);
		m->bytes = total;
	}
	if (kernel_end + total > mem->region[0].bytes)
		return err_set(e, ENOMEM,
			"kernel and initramfs need %" PRIu64 " MiB; give the guest more memory",
			(kernel_end + total) >> 20);
	m->at = (mem->region[0].bytes - total) & ~(uint64_t)(PAGE - 1);
	at = m->at;
	for (size_t i = 0; i < b->n_initrds; i++) {
		if (vm_memory_load(mem, at, b->initrd_fd[i], 0, bytes[i], e) < 0)
			return err_prefix(e, "initramfs");
		at += (bytes[i] + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	}
	return 0;
}

static int put_memory_map(const struct vm_memory *mem, struct start_info *info, struct err *e)
{
	struct start_memory map[4] = {
		{0, LOW_RAM_END, RAM, 0},
		{LOW_RAM_END, HIGH_RAM_START - LOW_RAM_END, RESERVED, 0},
		{HIGH_RAM_START, mem->region[0].bytes - HIGH_RAM_START, RAM, 0},
	};
	uint32_t n = 3;

	if (mem->n_regions > 1)
		map[n++] =
			(struct start_memory){mem->region[1].start, mem->region[1].bytes, RAM, 0};
	info->memory_map = MEMORY_MAP_AT;
	info->memory_map_entries = n;
	return put(mem, MEMORY_MAP_AT, map, n * sizeof(map[0]), e);
}

static int put_command_line(const struct vm_boot *b, const struct vm_memory *mem, struct err *e)
{
	size_t n = strlen(b->command_line) + 1;

	if (n > VM_BOOT_COMMAND_LINE_MAX)
		return err_set(e, E2BIG, "kernel command line is longer than %d bytes",
			VM_BOOT_COMMAND_LINE_MAX - 1);
	return put(mem, COMMAND_LINE_AT, b->command_line, n, e);
}

int vm_boot_load(
	const struct vm_boot *b, const struct vm_memory *mem, uint32_t *ret_entry, struct err *e)
{
	AUTO_BUF struct buf acpi = {0};
	struct vm_elf elf = {0};
	struct start_module module = {0};
	struct start_info info = {.magic = START_MAGIC,
		.version = 1,
		.n_modules = b->n_initrds ? 1 : 0,
		.modules = MODULES_AT,
		.command_line = COMMAND_LINE_AT,
		.rsdp = VM_ACPI_BASE};

	if (load_kernel(b, mem, &elf, e) < 0 || load_initrds(b, mem, elf.end, &module, e) < 0 ||
		put_memory_map(mem, &info, e) < 0 || put_command_line(b, mem, e) < 0 ||
		vm_acpi_build(&b->acpi, &acpi, e) < 0 ||
		put(mem, VM_ACPI_BASE, acpi.p, acpi.n, e) < 0 ||
		put(mem, RESET_VECTOR, reset_code, sizeof(reset_code), e) < 0 ||
		put(mem, MODULES_AT, &module, sizeof(module), e) < 0 ||
		put(mem, VM_BOOT_START_INFO, &info, sizeof(info), e) < 0)
		return -e->code;
	*ret_entry = elf.pvh_entry;
	return 0;
}
