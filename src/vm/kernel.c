#include "vm/kernel.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOTE_PVH_ENTRY = 18, /* XEN_ELFNOTE_PHYS32_ENTRY */
	LOW_LIMIT = 1 << 20, /* below lie our tables and what a PC keeps there */
	BZ_SETUP_SECTS = 0x1f1,
	BZ_MAGIC = 0x202, /* "HdrS" */
	BZ_VERSION = 0x206,
	BZ_PAYLOAD_OFFSET = 0x248, /* since protocol 2.08 */
	BZ_PAYLOAD_LENGTH = 0x24c,
	BZ_HEADER_BYTES = 0x250,
};

static bool range_ok(uint64_t offset, uint64_t bytes, uint64_t limit)
{
	return offset <= limit && bytes <= limit - offset;
}

/* Looks for the PVH entry in one PT_NOTE; returns whether it was there. */
static bool find_pvh_note(const uint8_t *p, size_t n, uint32_t *ret_entry)
{
	Elf64_Nhdr h;

	while (n >= sizeof(h)) {
		uint64_t name_bytes, desc_bytes;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		n -= sizeof(h);
		name_bytes = ((uint64_t)h.n_namesz + 3) & ~3ull;
		desc_bytes = ((uint64_t)h.n_descsz + 3) & ~3ull;
		if (name_bytes > n || desc_bytes > n - name_bytes)
			return false;
		if (h.n_type == NOTE_PVH_ENTRY && h.n_namesz == 4 && !memcmp(p, "Xen", 4) &&
			h.n_descsz >= 4) {
			memcpy(ret_entry, p + name_bytes, 4);
			return true;
		}
		p += name_bytes + desc_bytes;
		n -= (size_t)(name_bytes + desc_bytes);
	}
	return false;
}

static int add_segment(struct vm_elf *elf, const Elf64_Phdr *ph, unsigned int nr, struct err *e)
{
	struct vm_elf_segment s = {.paddr = ph->p_paddr,
		.file_offset = ph->p_offset,
		.file_bytes = ph->p_filesz,
		.mem_bytes = ph->p_memsz};

	if (!s.mem_bytes)
		return 0;
	if (elf->n_segments == VM_ELF_SEGMENTS_MAX)
		return err_set(
			e, E2BIG, "kernel has more than %d load segments", VM_ELF_SEGMENTS_MAX);
	if (s.mem_bytes < s.file_bytes || s.paddr < LOW_LIMIT ||
		!range_ok(s.paddr, s.mem_bytes, 1ull << 32))
		return err_set(
			e, ENOEXEC, "kernel segment %u does not lie between 1 MiB and 4 GiB", nr);
	elf->segment[elf->n_segments++] = s;
	elf->end = MAX(elf->end, s.paddr + s.mem_bytes);
	return 0;
}

static bool entry_is_loaded(const struct vm_elf *elf)
{
	for (unsigned int i = 0; i < elf->n_segments; i++)
		if (elf->pvh_entry >= elf->segment[i].paddr &&
			elf->pvh_entry - elf->segment[i].paddr < elf->segment[i].file_bytes)
			return true;
	return false;
}

static int check_header(const Elf64_Ehdr *eh, size_t n, struct err *e)
{
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(e, ENOEXEC, "kernel is no ELF image");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64)
		return err_set(e, ENOEXEC, "kernel is no x86-64 image");
	if (eh->e_phentsize != sizeof(Elf64_Phdr) ||
		!range_ok(eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr), n))
		return err_set(e, ENOEXEC, "kernel's program headers lie outside the file");
	return 0;
}

int vm_elf_parse(const void *p, size_t n, struct vm_elf *ret, struct err *e)
{
	const uint8_t *bytes = p;
	struct vm_elf elf = {0};
	bool pvh = false;
	Elf64_Ehdr eh;

	if (n < sizeof(eh))
		return err_set(e, ENOEXEC, "kernel is no ELF image: too short");
	memcpy(&eh, p, sizeof(eh));
	if (check_header(&eh, n, e) < 0)
		return -e->code;
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, bytes + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE)
			continue;
		if (!range_ok(ph.p_offset, ph.p_filesz, n))
			return err_set(e, ENOEXEC, "kernel segment %u lies outside the file", i);
		if (ph.p_type == PT_LOAD && add_segment(&elf, &ph, i, e) < 0)
			return -e->code;
		if (ph.p_type == PT_NOTE && !pvh)
			pvh = find_pvh_note(bytes + ph.p_offset,
				MIN((size_t)ph.p_filesz, (size_t)VM_ELF_NOTE_BYTES_MAX),
				&elf.pvh_entry);
	}
	if (!pvh)
		return err_set(e, ENOEXEC,
			"kernel has no PVH entry note; it must be built with CONFIG_PVH, as "
			"distributions' are");
	if (!entry_is_loaded(&elf))
		return err_set(
			e, ENOEXEC, "kernel's PVH entry %#x lies in no segment", elf.pvh_entry);
	*ret = elf;
	return 0;
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int vm_bzimage_payload(const void *p, size_t n, struct vm_payload *ret, struct err *e)
{
	const uint8_t *b = p;
	uint64_t setup_sects, offset, bytes;

	if (n < BZ_HEADER_BYTES || memcmp(b + BZ_MAGIC, "HdrS", 4) != 0)
		return err_set(e, ENOEXEC, "kernel is neither an ELF image nor a bzImage");
	if ((get_le32(b + BZ_VERSION) & 0xffff) < 0x208)
		return err_set(e, ENOEXEC, "bzImage is older than boot protocol 2.08");
	setup_sects =
		b[BZ_SETUP_SECTS] ? b[BZ_SETUP_SECTS] : 4; /* 0 means 4, for the oldest loaders */
	offset = (setup_sects + 1) * 512 + get_le32(b + BZ_PAYLOAD_OFFSET);
	bytes = get_le32(b + BZ_PAYLOAD_LENGTH);
	if (bytes < 8 || !range_ok(offset, bytes, n))
		return err_set(e, ENOEXEC, "bzImage's payload lies outside the file");
	ret->packing = vm_packing_of(b + offset, (size_t)bytes);
	/* The build appends the size where the format does not end with it, as gzip does. */
	ret->flat_bytes = get_le32(b + offset + bytes - 4);
	ret->offset = (size_t)offset;
	ret->bytes =
		(size_t)(ret->packing == VM_PACK_GZIP || ret->packing == VM_PACK_NONE ? bytes
										      : bytes - 4);
	return 0;
}

int vm_kernel_flatten(const void *p, size_t n, struct buf *ret, struct err *e)
{
	const uint8_t *b = p;
	struct vm_payload pl;
	struct vm_elf elf;
	AUTO_BUF struct buf flat = {0};

	if (n > VM_KERNEL_BYTES_MAX)
		return err_set(e, EFBIG, "kernel is larger than %d MiB", VM_KERNEL_BYTES_MAX >> 20);
	if (n >= SELFMAG && !memcmp(p, ELFMAG, SELFMAG)) {
		buf_add(&flat, p, n);
	} else {
		if (vm_bzimage_payload(p, n, &pl, e) < 0)
			return -e->code;
		if (vm_unpack(pl.packing, b + pl.offset, pl.bytes, VM_KERNEL_BYTES_MAX, &flat, e) <
			0)
			return err_prefix(e, "cannot unpack bzImage");
		if (pl.packing != VM_PACK_NONE && flat.n != pl.flat_bytes)
			return err_set(e, EBADMSG, "bzImage announces %u bytes and holds %zu",
				pl.flat_bytes, flat.n);
	}
	if (vm_elf_parse(flat.p, flat.n, &elf, e) < 0)
		return -e->code;
	buf_release(ret);
	*ret = flat;
	flat = (struct buf){0};
	return 0;
}
