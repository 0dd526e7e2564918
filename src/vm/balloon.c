#include "vm/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { INFLATE, DEFLATE, REPORTING, QUEUES };
enum { PAGE = 4096, QUEUE_SIZE = 128, PFNS_MAX = 256 };
enum { NUM_PAGES_AT = 0, ACTUAL_AT = 4, CONFIG_BYTES = 8 };

/* Gives whole pages of guest memory back; what the guest reads there next is zeros. */
static void give_back(struct vm_balloon *b, void *p, size_t bytes)
{
	uintptr_t start = ((uintptr_t)p + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	uintptr_t end = ((uintptr_t)p + bytes) & ~(uintptr_t)(PAGE - 1);

	if (start < end && madvise((void *)start, end - start, MADV_DONTNEED) == 0)
		b->returned_bytes += end - start;
}

/* An array of page numbers. */
static int inflate(struct vm_balloon *b, const struct vm_memory *mem, const struct vm_chain *c)
{
	uint32_t pfn[PFNS_MAX];

	if (c->out_bytes % sizeof(pfn[0]) || c->out_bytes > sizeof(pfn))
		return -EPROTO;
	vm_iov_read(c->out, c->n_out, 0, pfn, c->out_bytes);
	for (size_t i = 0; i < c->out_bytes / sizeof(pfn[0]); i++) {
		void *p = vm_memory_at(mem, (uint64_t)pfn[i] * PAGE, PAGE);

		if (!p)
			return -EPROTO;
		give_back(b, p, PAGE);
	}
	return 0;
}

static void report(struct vm_balloon *b, const struct vm_chain *c)
{
	for (unsigned int i = 0; i < c->n_in; i++)
		give_back(b, c->in[i].iov_base, c->in[i].iov_len);
}

/* A page that is deflated is simply used again: nothing to do for us. */
static int serve(struct vm_balloon *b, unsigned int nr, const struct vm_memory *mem,
	const struct vm_chain *c)
{
	if (nr == INFLATE)
		return inflate(b, mem, c);
	if (nr == REPORTING)
		report(b, c);
	return 0;
}

static int balloon_notify(struct vm_device *d, unsigned int nr)
{
	struct vm_balloon *b = container_of(d, struct vm_balloon, dev);
	struct vm_queue *q = &d->queue[nr];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < QUEUE_SIZE && (r = vm_queue_next(q, &c)) > 0; i++) {
		if (serve(b, nr, q->mem, &c) < 0)
			return -EPROTO;
		vm_queue_done(q, &c, 0);
	}
	vm_device_signal(d, nr);
	if (r > 0)
		vm_device_again(d, nr);
	return MIN(r, 0);
}

static void config_written(struct vm_device *d, size_t offset, const void *p, size_t n)
{
	if (offset == ACTUAL_AT && n == sizeof(uint32_t))
		memcpy(d->config + ACTUAL_AT, p, n);
}

static const struct vm_device_ops balloon_ops = {.name = "balloon",
	.id = VIRTIO_ID_BALLOON,
	.n_queues = QUEUES,
	.queue_size = QUEUE_SIZE,
	.notify = balloon_notify,
	.config_written = config_written};

int vm_balloon_init(
	struct vm_balloon *b, const struct vm_memory *mem, struct loop *loop, struct err *e)
{
	b->returned_bytes = 0;
	if (vm_device_init(&b->dev, &balloon_ops, mem, loop, e) < 0)
		return -e->code;
	/* No statistics and no hinting queue: reporting is the third queue then (5.5.2). */
	b->dev.features |=
		1ull << VIRTIO_BALLOON_F_REPORTING | 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	b->dev.config_bytes = CONFIG_BYTES;
	return 0;
}

void vm_balloon_set(struct vm_balloon *b, uint32_t pages)
{
	memcpy(b->dev.config + NUM_PAGES_AT, &pages, sizeof(pages));
	vm_device_config_changed(&b->dev);
}

uint32_t vm_balloon_actual(const struct vm_balloon *b)
{
	uint32_t pages;

	memcpy(&pages, b->dev.config + ACTUAL_AT, sizeof(pages));
	return pages;
}
