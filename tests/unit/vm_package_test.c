/* Kernel packages: what a guest boots from, out of a stranger's archive. */
#include "test.h"

#include <elf.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "vm/initramfs.h"
#include "vm/package.h"

static struct err e;

static void add_tar(struct buf *b, const char *name, char type, const void *p, size_t n)
{
	char h[512] = "", size[16], sum_text[16];
	unsigned int sum = 0;

	memcpy(h, name, strnlen(name, 100));
	snprintf(size, sizeof(size), "%011zo", n);
	memcpy(h + 124, size, 12);
	memset(h + 148, ' ', 8);
	h[156] = type;
	memcpy(h + 257,
		"ustar\0"
		"00",
		8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(sum_text, sizeof(sum_text), "%06o", sum);
	memcpy(h + 148, sum_text, 7);
	buf_add(b, h, sizeof(h));
	if (n)
		buf_add(b, p, n);
	while (b->n % 512)
		buf_add(b, "", 1);
}

static void end_tar(struct buf *b)
{
	char zeros[1024] = "";

	buf_add(b, zeros, sizeof(zeros));
}

static void add_ar(struct buf *b, const char *name, const struct buf *data)
{
	if (!b->n)
		buf_adds(b, "!<arch>\n");
	buf_addf(b, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "100644", data->n);
	buf_add(b, data->p, data->n);
	if (data->n % 2)
		buf_adds(b, "\n");
}

TEST(tar_is_read)
{
	struct vm_tar t = {0};
	struct vm_tar_entry en;
	AUTO_BUF struct buf b = {0};
	char longest[600];

	memset(longest, 'l', sizeof(longest));
	add_tar(&b, "./boot/vmlinuz-1", '0', "kernel", 6);
	add_tar(&b, "/abs", '5', NULL, 0);
	add_tar(&b, "././@LongLink", 'L', "a/very/long/name", 17);
	add_tar(&b, "a/very", '0', "x", 1);
	add_tar(&b, "pax", 'x', "18 path=pax/name2\n", 18);
	add_tar(&b, "short", '0', "y", 1);
	add_tar(&b, "././@LongLink", 'L', longest, sizeof(longest));
	add_tar(&b, "cut", '0', "z", 1);
	end_tar(&b);
	t.p = b.p;
	t.n = b.n;
	CHECK_INT(vm_tar_next(&t, &en, &e), 1);
	CHECK_STR(en.name, "boot/vmlinuz-1");
	CHECK(en.n == 6 && !memcmp(en.p, "kernel", 6));
	CHECK_INT(vm_tar_next(&t, &en, &e), 1);
	CHECK_STR(en.name, "abs");
	CHECK_INT(en.type, '5');
	CHECK_INT(vm_tar_next(&t, &en, &e), 1);
	CHECK_STR(en.name, "a/very/long/name");
	CHECK_INT(vm_tar_next(&t, &en, &e), 1);
	CHECK_STR(en.name, "pax/name2");
	CHECK_INT(vm_tar_next(&t, &en, &e), 1);
	CHECK_INT(strlen(en.name), VM_TAR_NAME_MAX - 1);
	CHECK_INT(vm_tar_next(&t, &en, &e), 0);
}

TEST(tar_that_lies)
{
	AUTO_BUF struct buf b = {0};
	struct vm_tar_entry en;

	add_tar(&b, "file", '0', "abc", 3);
	for (size_t i = 0; i < 512; i++) {
		struct vm_tar t = {.p = b.p, .n = b.n};

		b.p[i] ^= 0x20;
		CHECK(vm_tar_next(&t, &en, &e) != 1 || i == 154 || i == 155); /* blank or NUL */
		b.p[i] ^= 0x20;
	}
	for (size_t n = 0; n < b.n; n++) {
		struct vm_tar t = {.p = b.p, .n = n};
		int r = vm_tar_next(&t, &en, &e);

		CHECK(r <= 0 || n >= 515);
	}
}

/* The least that is a kernel with a PVH note; vm_boot_test has the parser's cases. */
static void make_kernel(struct buf *b)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		Elf64_Nhdr note;
		char name[4];
		uint64_t entry;
		char text[64];
	} k = {.eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
		       .e_machine = EM_X86_64,
		       .e_phoff = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2},
		.ph = {{.p_type = PT_LOAD, .p_paddr = 16 << 20, .p_filesz = 64, .p_memsz = 64},
			{.p_type = PT_NOTE,
				.p_offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr),
				.p_filesz = sizeof(Elf64_Nhdr) + 12}},
		.note = {4, 8, 18},
		.name = "Xen",
		.entry = 16 << 20};

	buf_add(b, &k, sizeof(k));
}

static const char *const needed[] = {"virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "vsock",
	"vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "failover",
	"net_failover", "virtio_net", "erofs", "overlay"};

static void make_deb(struct buf *deb, const char *without)
{
	AUTO_BUF struct buf tar = {0}, kernel = {0}, version = {0};
	static const char builtin[] = "kernel/fs/ext4/ext4.ko\nkernel/lib/crc16.ko\n";

	make_kernel(&kernel);
	add_tar(&tar, "./boot/vmlinuz-6.1-test", '0', kernel.p, kernel.n);
	add_tar(&tar, "./lib/modules/6.1-test/modules.builtin", '0', builtin, sizeof(builtin) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		AUTO_FREE char *path =
			str_fmt("./usr/lib/modules/6.1-test/kernel/d/%s.ko", needed[i]);

		if (strcmp(needed[i], without) != 0)
			add_tar(&tar, path, '0', needed[i], strlen(needed[i]));
	}
	end_tar(&tar);
	buf_adds(&version, "2.0\n");
	add_ar(deb, "debian-binary", &version);
	add_ar(deb, "data.tar", &tar);
}

TEST(package_becomes_what_a_guest_boots)
{
	AUTO_BUF struct buf deb = {0};
	struct vm_kernel_files k = {0};

	make_deb(&deb, "");
	CHECK_INT(vm_kernel_files_read(deb.p, deb.n, &k, &e), 0);
	CHECK_STR(k.release, "6.1-test");
	CHECK(k.flat.n > 64);
	CHECK(k.modules.n && !memcmp(k.modules.p, "070701", 6));
	CHECK(k.modules.n && memmem(k.modules.p, k.modules.n,
				     "virtio_ring.ko\nvirtio.ko\nvirtio_mmio.ko\n", 40) != NULL);
	CHECK(k.modules.n && !memmem(k.modules.p, k.modules.n, "ext4.ko", 7));
	CHECK(k.modules.n && memmem(k.modules.p, k.modules.n, "TRAILER!!!", 11) != NULL);
	CHECK_INT(k.modules.n % 4, 0);
	vm_kernel_files_release(&k);
}

TEST(package_without_a_needed_module)
{
	AUTO_BUF struct buf deb = {0};
	struct vm_kernel_files k = {0};

	make_deb(&deb, "overlay");
	CHECK_INT(vm_kernel_files_read(deb.p, deb.n, &k, &e), -ENOENT);
	CHECK(strstr(e.text, "'overlay'") != NULL);
	CHECK(!k.flat.p && !k.release);
}

TEST(package_that_lies)
{
	AUTO_BUF struct buf deb = {0}, out = {0};
	struct vm_kernel_files k = {0};

	make_deb(&deb, "");
	for (size_t n = 0; n < deb.n; n += n < 300 ? 1 : 509) {
		AUTO_FREE char *cut = mem_dup(deb.p, n);

		if (vm_kernel_files_read(cut, n, &k, &e) >= 0)
			vm_kernel_files_release(&k);
	}
	memset(deb.p + 8 + 48, '9', 10);
	CHECK_INT(vm_deb_data(deb.p, deb.n, &out, &e), -EBADMSG);
	CHECK_INT(vm_deb_data("nothing at all", 14, &out, &e), -ENOEXEC);
	CHECK(!out.p);
}

/* The fields that the kernel's unpacker reads, by their place. */
TEST(agent_archive_is_a_cpio)
{
	AUTO_BUF struct buf b = {0};
	const char *p;
	unsigned int mode, bytes;

	vm_agent_archive("#!agent", 7, &b);
	CHECK_INT(b.n % 4, 0);
	p = memmem(b.p, b.n, "init", 5);
	CHECK(p != NULL);
	p -= 110;
	CHECK(!memcmp(p, "070701", 6));
	CHECK_INT(sscanf(p + 14, "%8X", &mode), 1);
	CHECK_INT(mode, S_IFREG | 0755);
	CHECK_INT(sscanf(p + 54, "%8X", &bytes), 1);
	CHECK_INT(bytes, 7);
	CHECK(!memcmp(p + 116, "#!agent", 7));
}

TEST_MAIN
