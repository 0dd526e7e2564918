#include "vm/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };

/* Reserves space with inaccessible pages on both sides, the usable part aligned to 2 MiB. */
static int add_region(struct vm_memory *mem, uint64_t start, uint64_t bytes, struct err *e)
{
	uint64_t reserve = bytes + 2 * HUGE_PAGE;
	uint8_t *base, *host;

	base = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return err_sys(e, "cannot reserve %" PRIu64 " MiB for the guest", bytes >> 20);
	host = (uint8_t *)(((uintptr_t)base + HUGE_PAGE) & ~(uintptr_t)(HUGE_PAGE - 1));
	munmap(base, (size_t)(host - base) - PAGE);
	munmap(host + bytes + PAGE, (size_t)(base + reserve - (host + bytes + PAGE)));
	mem->region[mem->n_regions++] = (struct vm_region){start, bytes, host};
	if (mprotect(host, bytes, PROT_READ | PROT_WRITE) < 0)
		return err_sys(e, "cannot make %" PRIu64 " MiB of guest memory", bytes >> 20);
	madvise(host, bytes, MADV_HUGEPAGE); /* fewer faults; merely advice */
	madvise(host, bytes, MADV_DONTDUMP); /* a guest's secrets stay out of our core files */
	madvise(host, bytes, MADV_DONTFORK);
	return 0;
}

int vm_memory_init(struct vm_memory *mem, uint64_t bytes, struct err *e)
{
	uint64_t low = MIN(bytes, VM_HOLE_START);

	if (bytes < VM_MEMORY_MIN || bytes > VM_MEMORY_MAX || bytes % PAGE)
		return err_set(e, EINVAL,
			"guest memory of %" PRIu64
			" bytes is not possible; expected 64 MiB to 1 TiB in whole pages",
			bytes);
	if (add_region(mem, 0, low, e) < 0 ||
		(bytes > low && add_region(mem, VM_HOLE_END, bytes - low, e) < 0)) {
		vm_memory_release(mem);
		return -e->code;
	}
	return 0;
}

void vm_memory_release(struct vm_memory *mem)
{
	for (unsigned int i = 0; i < mem->n_regions; i++)
		munmap(mem->region[i].host - PAGE, mem->region[i].bytes + 2 * PAGE);
	mem->n_regions = 0;
}

void *vm_memory_at(const struct vm_memory *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct vm_region *r = &mem->region[i];

		if (gpa >= r->start && gpa - r->start <= r->bytes &&
			len <= r->bytes - (gpa - r->start))
			return r->host + (gpa - r->start);
	}
	return NULL;
}

int vm_memory_read(const struct vm_memory *mem, uint64_t gpa, void *p, size_t n)
{
	const void *from = vm_memory_at(mem, gpa, n);

	if (!from)
		return -EFAULT;
	memcpy(p, from, n);
	return 0;
}

int vm_memory_write(const struct vm_memory *mem, uint64_t gpa, const void *p, size_t n)
{
	void *to = vm_memory_at(mem, gpa, n);

	if (!to)
		return -EFAULT;
	memcpy(to, p, n);
	return 0;
}

static int read_at(int fd, uint8_t *to, uint64_t offset, uint64_t n, struct err *e)
{
	while (n) {
		ssize_t r = pread(fd, to, n, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "cannot read into guest memory");
		if (!r)
			return err_set(
				e, EIO, "cannot read into guest memory: the file is cut short");
		to += r;
		offset += (uint64_t)r;
		n -= (uint64_t)r;
	}
	return 0;
}

int vm_memory_load(const struct vm_memory *mem, uint64_t gpa, int fd, uint64_t offset, uint64_t n,
	struct err *e)
{
	uint8_t *to = vm_memory_at(mem, gpa, n);
	uint64_t mapped = 0;

	if (!to)
		return err_set(e, ENOMEM,
			"guest memory is too small: %#" PRIx64 " bytes at %#" PRIx64
			" do not fit; give it more memory",
			n, gpa);
	if (!(gpa % PAGE) && !(offset % PAGE) && n >= PAGE) {
		mapped = n - n % PAGE;
		if (mmap(to, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			    (off_t)offset) == MAP_FAILED)
			return err_sys(e, "cannot map a file into guest memory");
		madvise(to, mapped, MADV_DONTFORK);
	}
	return read_at(fd, to + mapped, offset + mapped, n - mapped, e);
}
