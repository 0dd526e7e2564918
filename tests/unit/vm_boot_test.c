#include "test.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <lzma.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "vm/acpi.h"
#include "vm/boot.h"
#include "vm/kernel.h"
#include "vm/memory.h"
#include "vm/serial.h"

static struct err e;

/* A small kernel: one segment of 4096 bytes at 16 MiB, and the PVH note. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Nhdr note;
	char name[4];
	uint64_t entry;
	char pad[4096 - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr) - sizeof(Elf64_Nhdr) - 12];
	char text[4096];
};

static struct image good_image(void)
{
	struct image i = {.eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
				  .e_machine = EM_X86_64,
				  .e_phoff = offsetof(struct image, ph),
				  .e_phentsize = sizeof(Elf64_Phdr),
				  .e_phnum = 2},
		.ph = {{.p_type = PT_LOAD,
			       .p_offset = offsetof(struct image, text),
			       .p_paddr = 16 << 20,
			       .p_filesz = 4096,
			       .p_memsz = 8192},
			{.p_type = PT_NOTE,
				.p_offset = offsetof(struct image, note),
				.p_filesz = sizeof(Elf64_Nhdr) + 12,
				.p_memsz = sizeof(Elf64_Nhdr) + 12}},
		.note = {4, 8, 18},
		.name = "Xen",
		.entry = (16 << 20) + 64};

	memset(i.text, 'k', sizeof(i.text));
	return i;
}

TEST(elf_is_read)
{
	struct image i = good_image();
	struct vm_elf elf;

	CHECK_INT(vm_elf_parse(&i, sizeof(i), &elf, &e), 0);
	CHECK_INT(elf.n_segments, 1);
	CHECK_INT(elf.pvh_entry, (16 << 20) + 64);
	CHECK_INT(elf.segment[0].paddr, 16 << 20);
	CHECK_INT(elf.end, (16 << 20) + 8192);
}

TEST(elf_that_lies_is_refused)
{
	struct image i, ok = good_image();
	struct vm_elf elf = {.n_segments = 77};

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		i = ok;                                                                            \
		change;                                                                            \
		CHECK_INT(vm_elf_parse(&i, sizeof(i), &elf, &e), -ENOEXEC);                        \
	} while (0)
	REFUSED(i.eh.e_ident[0] = 0);
	REFUSED(i.eh.e_machine = EM_AARCH64);
	REFUSED(i.eh.e_phoff = UINT64_MAX);
	REFUSED(i.eh.e_phoff = sizeof(i) - 8);
	REFUSED(i.eh.e_phnum = 0xffff);
	REFUSED(i.eh.e_phentsize = 1);
	REFUSED(i.ph[0].p_offset = UINT64_MAX - 100);
	REFUSED(i.ph[0].p_filesz = UINT64_MAX);
	REFUSED(i.ph[0].p_memsz = 4095);
	REFUSED(i.ph[0].p_memsz = UINT64_MAX);
	REFUSED(i.ph[0].p_paddr = UINT64_MAX - 4096);
	REFUSED(i.ph[0].p_paddr = 0x1000);
	REFUSED(i.ph[0].p_paddr = (1ull << 32) - 4096);
	REFUSED(i.entry = 1 << 20);
	REFUSED(i.note.n_namesz = 0xffffffff);
	REFUSED(i.note.n_descsz = 0xffffffff);
	REFUSED(i.note.n_descsz = 2);
	REFUSED(i.note.n_type = 17);
	REFUSED(i.ph[1].p_type = PT_NULL);
	CHECK_INT(vm_elf_parse(&ok, 10, &elf, &e), -ENOEXEC);
	CHECK_INT(elf.n_segments, 77);
}

static void add_gzip(struct buf *b, const void *p, size_t n)
{
	z_stream z = {.next_in = (uint8_t *)p, .avail_in = (uInt)n};
	char out[16384];

	deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	z.next_out = (uint8_t *)out;
	z.avail_out = sizeof(out);
	CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(b, out, sizeof(out) - z.avail_out);
	deflateEnd(&z);
}

static void add_xz(struct buf *b, const void *p, size_t n)
{
	uint8_t out[16384];
	size_t n_out = 0;

	CHECK_INT(
		lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, p, n, out, &n_out, sizeof(out)),
		LZMA_OK);
	buf_add(b, out, n_out);
}

static void add_zstd(struct buf *b, const void *p, size_t n)
{
	char out[16384];

	buf_add(b, out, ZSTD_compress(out, sizeof(out), p, n, 3));
}

static void add_lz4(struct buf *b, const void *p, size_t n)
{
	char out[16384];
	uint32_t packed = (uint32_t)LZ4_compress_default(p, out, (int)n, sizeof(out));

	buf_add(b, "\x02\x21\x4c\x18", 4);
	buf_add(b, &packed, 4);
	buf_add(b, out, packed);
}

static void add_plain(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

static const struct {
	void (*add)(struct buf *b, const void *p, size_t n);
	enum vm_packing packing;
	bool append_size;
} packers[] = {
	{add_gzip, VM_PACK_GZIP, false},
	{add_xz, VM_PACK_XZ, true},
	{add_zstd, VM_PACK_ZSTD, true},
	{add_lz4, VM_PACK_LZ4, true},
	{add_plain, VM_PACK_NONE, false},
};

static void make_bzimage(struct buf *b, size_t packer, const struct image *i, uint32_t size)
{
	char setup[1024] = {0};
	uint32_t version = 0x20f, offset = 0, length;

	memcpy(setup + 0x202, "HdrS", 4);
	memcpy(setup + 0x206, &version, 2);
	setup[0x1f1] = 1;
	memcpy(setup + 0x248, &offset, 4);
	buf_add(b, setup, sizeof(setup));
	packers[packer].add(b, i, sizeof(*i));
	if (packers[packer].append_size)
		buf_add(b, &size, 4);
	length = (uint32_t)(b->n - sizeof(setup));
	memcpy(b->p + 0x24c, &length, 4);
}

TEST(bzimage_is_unpacked)
{
	struct image i = good_image();

	for (size_t k = 0; k < ARRAY_SIZE(packers); k++) {
		AUTO_BUF struct buf bz = {0}, flat = {0};
		struct vm_payload pl;

		make_bzimage(&bz, k, &i, sizeof(i));
		CHECK_INT(vm_bzimage_payload(bz.p, bz.n, &pl, &e), 0);
		CHECK_INT(pl.packing, packers[k].packing);
		CHECK_INT(vm_kernel_flatten(bz.p, bz.n, &flat, &e), 0);
		CHECK_INT(flat.n, sizeof(i));
		CHECK(flat.n == sizeof(i) && !memcmp(flat.p, &i, sizeof(i)));
	}
}

TEST(bzimage_that_lies_is_refused)
{
	struct image i = good_image();

	for (size_t k = 0; k + 1 < ARRAY_SIZE(packers); k++) {
		AUTO_BUF struct buf bz = {0}, flat = {0}, small = {0};
		struct vm_payload pl;

		make_bzimage(&bz, k, &i, sizeof(i));
		CHECK_INT(vm_bzimage_payload(bz.p, bz.n, &pl, &e), 0);
		CHECK_INT(vm_unpack(pl.packing, bz.p + pl.offset, pl.bytes, sizeof(i) - 1, &small,
				  &e),
			-EFBIG);
		/* Every cut is found out, none is read past. */
		for (size_t n = 0; n < pl.bytes; n++) {
			AUTO_FREE char *cut = mem_dup(bz.p + pl.offset, n);
			AUTO_BUF struct buf out = {0};
			int r = vm_unpack(packers[k].packing, cut, n, 1 << 20, &out, &e);

			CHECK(r < 0 || out.n < sizeof(i));
		}
		bz.p[bz.n - 1 - (packers[k].append_size ? 0 : 4)] ^= 0x55;
		CHECK_INT(vm_kernel_flatten(bz.p, bz.n, &flat, &e), -EBADMSG);
	}
	{
		AUTO_BUF struct buf bz = {0}, flat = {0};

		make_bzimage(&bz, 0, &i, sizeof(i));
		memset(bz.p + 0x24c, 0xff, 4);
		CHECK_INT(vm_kernel_flatten(bz.p, bz.n, &flat, &e), -ENOEXEC);
		memset(bz.p + 0x202, 0, 4);
		CHECK_INT(vm_kernel_flatten(bz.p, bz.n, &flat, &e), -ENOEXEC);
		CHECK_STR(e.text, "kernel is neither an ELF image nor a bzImage");
	}
}

TEST(memory_has_edges)
{
	struct vm_memory mem = {0};

	CHECK_INT(vm_memory_init(&mem, 1 << 20, &e), -EINVAL);
	CHECK_INT(vm_memory_init(&mem, (128 << 20) + 1, &e), -EINVAL);
	CHECK_INT(vm_memory_init(&mem, 4ull << 30, &e), 0);
	CHECK_INT(mem.n_regions, 2);
	CHECK(vm_memory_at(&mem, 0, 1) != NULL);
	CHECK(vm_memory_at(&mem, VM_HOLE_START - 1, 1) != NULL);
	CHECK(!vm_memory_at(&mem, VM_HOLE_START - 1, 2));
	CHECK(!vm_memory_at(&mem, VM_HOLE_START, 1));
	CHECK(!vm_memory_at(&mem, VM_HOLE_END - 1, 2));
	CHECK(vm_memory_at(&mem, VM_HOLE_END, 1 << 30) != NULL);
	CHECK(!vm_memory_at(&mem, VM_HOLE_END, (1 << 30) + 1));
	CHECK(!vm_memory_at(&mem, UINT64_MAX, 1));
	CHECK(!vm_memory_at(&mem, 0, UINT64_MAX));
	CHECK(!vm_memory_at(&mem, 4096, UINT64_MAX - 100));
	vm_memory_release(&mem);
	CHECK(!vm_memory_at(&mem, 0, 1));
}

static uint8_t sum(const char *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + (uint8_t)*p++);
	return s;
}

static uint64_t le(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/* Follows the tables as a kernel does, and checks each sum. */
TEST(acpi_tables_lead_to_each_other)
{
	struct vm_acpi_device dev[64];
	AUTO_BUF struct buf b = {0};
	const char *xsdt, *fadt, *madt, *dsdt;

	for (uint32_t i = 0; i < 64; i++)
		dev[i] = (struct vm_acpi_device){0xd0000000 + i * 0x1000, 5 + i};
	CHECK_INT(vm_acpi_build(&(struct vm_acpi){32, dev, 64}, &b, &e), 0);
	CHECK(!memcmp(b.p, "RSD PTR ", 8));
	CHECK_INT(sum(b.p, 20), 0);
	CHECK_INT(sum(b.p, 36), 0);
	xsdt = b.p + (le(b.p + 24, 8) - VM_ACPI_BASE);
	CHECK(!memcmp(xsdt, "XSDT", 4));
	CHECK_INT(sum(xsdt, le(xsdt + 4, 4)), 0);
	fadt = b.p + (le(xsdt + 36, 8) - VM_ACPI_BASE);
	madt = b.p + (le(xsdt + 44, 8) - VM_ACPI_BASE);
	CHECK(!memcmp(fadt, "FACP", 4));
	CHECK_INT(le(fadt + 4, 4), 276);
	CHECK_INT(sum(fadt, 276), 0);
	CHECK_INT(le(fadt + 248, 8), VM_ACPI_SLEEP_PORT);
	CHECK(!memcmp(madt, "APIC", 4));
	CHECK_INT(le(madt + 4, 4), 44 + 32 * 8 + 12);
	CHECK_INT(sum(madt, le(madt + 4, 4)), 0);
	dsdt = b.p + (le(fadt + 140, 8) - VM_ACPI_BASE);
	CHECK(!memcmp(dsdt, "DSDT", 4));
	CHECK_INT(sum(dsdt, le(dsdt + 4, 4)), 0);
	CHECK(memmem(dsdt, le(dsdt + 4, 4), "V063", 4) != NULL);
	CHECK_INT(vm_acpi_build(&(struct vm_acpi){0, dev, 1}, &b, &e), -E2BIG);
	CHECK_INT(vm_acpi_build(&(struct vm_acpi){1, dev, 65}, &b, &e), -E2BIG);
}

static int memfile(const void *p, size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	CHECK_INT(fd_write_full(fd, p, n), 0);
	return fd;
}

TEST(guest_memory_is_filled)
{
	struct image i = good_image();
	struct vm_memory mem = {0};
	AUTO_FD int kernel = memfile(&i, sizeof(i));
	AUTO_FD int a = memfile("first", 5), b = memfile("second", 6);
	struct vm_boot boot = {.kernel_fd = kernel,
		.initrd_fd = {a, b},
		.n_initrds = 2,
		.command_line = "quiet",
		.acpi = {.n_cpus = 1}};
	AUTO_FREE char *too_long = mem_new(VM_BOOT_COMMAND_LINE_MAX + 1);
	uint32_t entry = 0;
	uint64_t info[7], module[4];

	CHECK_INT(vm_memory_init(&mem, 64 << 20, &e), 0);
	CHECK_INT(vm_boot_load(&boot, &mem, &entry, &e), 0);
	CHECK_INT(entry, (16 << 20) + 64);
	CHECK(!memcmp(vm_memory_at(&mem, 16 << 20, 4096), i.text, 4096));
	vm_memory_read(&mem, VM_BOOT_START_INFO, info, sizeof(info));
	CHECK_INT((uint32_t)info[0], 0x336ec578);
	CHECK_INT(info[1] >> 32, 1); /* modules */
	CHECK_STR(vm_memory_at(&mem, info[3], 6), "quiet");
	CHECK(!memcmp(vm_memory_at(&mem, info[4], 8), "RSD PTR ", 8));
	vm_memory_read(&mem, info[2], module, sizeof(module));
	CHECK_INT(module[0], (64 << 20) - 8192);
	CHECK_INT(module[1], 8192);
	CHECK(!memcmp(vm_memory_at(&mem, module[0], 5), "first", 5));
	CHECK(!memcmp(vm_memory_at(&mem, module[0] + 4096, 6), "second", 6));
	memset(too_long, 'x', VM_BOOT_COMMAND_LINE_MAX);
	boot.command_line = too_long;
	CHECK_INT(vm_boot_load(&boot, &mem, &entry, &e), -E2BIG);
	vm_memory_release(&mem);
}

static uint8_t reg(struct vm_serial *s, unsigned int r)
{
	uint8_t v = 0xaa;

	vm_serial_io(s, r, &v, false);
	return v;
}

static void set_reg(struct vm_serial *s, unsigned int r, uint8_t v)
{
	vm_serial_io(s, r, &v, true);
}

TEST(serial_sends_and_receives)
{
	struct vm_serial s;
	char out[16] = "";
	int p[2];

	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	vm_serial_init(&s, p[1], -1);
	for (const char *c = "hi\n"; *c; c++)
		set_reg(&s, 0, (uint8_t)*c);
	CHECK_INT(read(p[0], out, sizeof(out)), 3);
	CHECK(!memcmp(out, "hi\n", 3));
	CHECK_INT(reg(&s, 5), 0x60);
	CHECK_INT(vm_serial_input(&s, (const uint8_t *)"ab", 2), 2);
	CHECK_INT(reg(&s, 5), 0x61);
	CHECK_INT(reg(&s, 0), 'a');
	CHECK_INT(reg(&s, 0), 'b');
	CHECK_INT(reg(&s, 5), 0x60);
	/* The divisor and the loopback, which drivers probe. */
	set_reg(&s, 3, 0x80);
	set_reg(&s, 0, 12);
	CHECK_INT(reg(&s, 0), 12);
	set_reg(&s, 3, 3);
	set_reg(&s, 4, 0x1a);
	CHECK_INT(reg(&s, 6) & 0xf0, 0x90);
	close(p[0]);
	close(p[1]);
}

TEST(case_26_serial_flood_with_nobody_reading)
{
	struct vm_serial s;
	int p[2];

	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	vm_serial_init(&s, p[1], -1);
	for (int i = 0; i < 1 << 20; i++)
		set_reg(&s, 0, (uint8_t)i);
	CHECK(s.dropped > 900000);
	for (unsigned int v = 0; v < 256; v++)
		for (unsigned int r = 0; r < 8; r++) {
			set_reg(&s, r, (uint8_t)v);
			reg(&s, r);
			vm_serial_input(&s, (const uint8_t *)"xxxxxxxx", 8);
		}
	CHECK(s.n_in <= VM_SERIAL_FIFO);
	close(p[0]);
	close(p[1]);
}

TEST_MAIN
