#include "vm/queue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/mem.h"

enum { DESC_BYTES = 16, USED_BYTES = 8 };
/* Layout of the rings (2.7.6, 2.7.8): flags, idx, ring[size], then the event index. */
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };

static uint16_t load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELEASE);
}

static uint8_t *avail_event_at(const struct vm_queue *q)
{
	return q->used_at + RING_ENTRIES + USED_BYTES * q->size;
}

static const uint8_t *used_event_at(const struct vm_queue *q)
{
	return q->avail_at + RING_ENTRIES + 2 * q->size;
}

int vm_queue_enable(struct vm_queue *q, bool indirect, bool event_idx)
{
	uint32_t size = q->size;

	if (!size || size > q->size_max || (size & (size - 1)))
		return -EINVAL;
	if (q->desc % 16 || q->avail % 2 || q->used % 4)
		return -EINVAL;
	q->desc_at = vm_memory_at(q->mem, q->desc, (uint64_t)size * DESC_BYTES);
	q->avail_at = vm_memory_at(q->mem, q->avail, RING_ENTRIES + 2ull * size + 2);
	q->used_at = vm_memory_at(q->mem, q->used, RING_ENTRIES + (uint64_t)USED_BYTES * size + 2);
	if (!q->desc_at || !q->avail_at || !q->used_at)
		return -EINVAL;
	q->indirect = indirect;
	q->event_idx = event_idx;
	q->next_avail = q->next_used = q->signalled = 0;
	q->ready = true;
	return 0;
}

void vm_queue_reset(struct vm_queue *q)
{
	*q = (struct vm_queue){.mem = q->mem, .size_max = q->size_max};
}

/* Adds one descriptor's memory to the request. */
static int add_part(const struct vm_queue *q, struct vm_chain *c, const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	uint32_t *bytes = in ? &c->in_bytes : &c->out_bytes;
	void *p = vm_memory_at(q->mem, d->addr, d->len);

	if (!in && c->n_in) /* what is read comes first (2.7.4.2) */
		return -EPROTO;
	if (!p || c->n_in + c->n_out == VM_CHAIN_PARTS_MAX ||
		__builtin_add_overflow(*bytes, d->len, bytes))
		return -EPROTO;
	if (!d->len)
		return 0;
	if (in)
		c->in[c->n_in++] = (struct iovec){p, d->len};
	else
		c->out[c->n_out++] = (struct iovec){p, d->len};
	return 0;
}

/* Walks a table of n descriptors from index i; nested says that it is an indirect one. */
static int walk(const struct vm_queue *q, struct vm_chain *c, const uint8_t *table, uint32_t n,
	uint32_t i, bool nested)
{
	for (uint32_t steps = 0; steps < n; steps++) {
		struct vring_desc d;

		if (i >= n)
			return -EPROTO;
		memcpy(&d, table + (size_t)i * DESC_BYTES, sizeof(d));
		if (d.flags & VRING_DESC_F_INDIRECT) {
			const uint8_t *inner;

			if (nested || !q->indirect || (d.flags & VRING_DESC_F_NEXT) || !d.len ||
				d.len % DESC_BYTES || d.len / DESC_BYTES > VM_CHAIN_PARTS_MAX)
				return -EPROTO;
			inner = vm_memory_at(q->mem, d.addr, d.len);
			return inner ? walk(q, c, inner, d.len / DESC_BYTES, 0, true) : -EPROTO;
		}
		if (add_part(q, c, &d) < 0)
			return -EPROTO;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	return -EPROTO; /* longer than its table: a loop */
}

bool vm_queue_pending(const struct vm_queue *q)
{
	return q->ready && load16(q->avail_at + RING_IDX) != q->next_avail;
}

int vm_queue_next(struct vm_queue *q, struct vm_chain *ret)
{
	uint16_t idx, head;

	if (!q->ready)
		return 0;
	idx = load16(q->avail_at + RING_IDX);
	if (idx == q->next_avail) {
		if (!q->event_idx)
			return 0;
		/* Ask for a ring of the bell, then look again: it may have come in between. */
		store16(avail_event_at(q), q->next_avail);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		idx = load16(q->avail_at + RING_IDX);
		if (idx == q->next_avail)
			return 0;
	}
	if ((uint16_t)(idx - q->next_avail) > q->size)
		return -EPROTO;
	head = load16(q->avail_at + RING_ENTRIES + 2 * (q->next_avail & (q->size - 1)));
	if (head >= q->size)
		return -EPROTO;
	ret->head = head;
	ret->n_out = ret->n_in = 0;
	ret->out_bytes = ret->in_bytes = 0;
	if (walk(q, ret, q->desc_at, q->size, head, false) < 0)
		return -EPROTO;
	q->next_avail++;
	return 1;
}

void vm_queue_unget(struct vm_queue *q)
{
	q->next_avail--;
}

void vm_queue_done(struct vm_queue *q, const struct vm_chain *c, uint32_t written)
{
	struct vring_used_elem el = {.id = c->head, .len = written};

	memcpy(q->used_at + RING_ENTRIES + USED_BYTES * (q->next_used & (q->size - 1)), &el,
		sizeof(el));
	q->next_used++;
	store16(q->used_at + RING_IDX, q->next_used);
}

bool vm_queue_must_signal(struct vm_queue *q)
{
	uint16_t old = q->signalled, new = q->next_used;

	if (!q->ready || old == new)
		return false;
	q->signalled = new;
	/* Our index must be seen before the driver's wish is read (2.7.7.2). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(load16(q->avail_at + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	return (uint16_t)(new - load16(used_event_at(q)) - 1) < (uint16_t)(new - old);
}

static size_t iov_copy(
	const struct iovec *iov, unsigned int n_iov, size_t offset, void *p, size_t n, bool to_iov)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n_iov && done < n; i++) {
		size_t k;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		k = MIN(iov[i].iov_len - offset, n - done);
		if (to_iov)
			memcpy((char *)iov[i].iov_base + offset, (char *)p + done, k);
		else
			memcpy((char *)p + done, (char *)iov[i].iov_base + offset, k);
		done += k;
		offset = 0;
	}
	return done;
}

size_t vm_iov_read(const struct iovec *iov, unsigned int n_iov, size_t offset, void *p, size_t n)
{
	return iov_copy(iov, n_iov, offset, p, n, false);
}

size_t vm_iov_write(
	const struct iovec *iov, unsigned int n_iov, size_t offset, const void *p, size_t n)
{
	return iov_copy(iov, n_iov, offset, (void *)p, n, true);
}

unsigned int vm_iov_slice(const struct iovec *iov, unsigned int n_iov, size_t offset, size_t n,
	struct iovec ret[VM_CHAIN_PARTS_MAX])
{
	unsigned int n_ret = 0;

	for (unsigned int i = 0; i < n_iov && n; i++) {
		size_t k;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		k = MIN(iov[i].iov_len - offset, n);
		ret[n_ret++] = (struct iovec){(char *)iov[i].iov_base + offset, k};
		n -= k;
		offset = 0;
	}
	return n_ret;
}
