#include "vm/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "base/mem.h"

static int rng_notify(struct vm_device *d, unsigned int nr)
{
	struct vm_queue *q = &d->queue[nr];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < q->size && (r = vm_queue_next(q, &c)) > 0; i++) {
		uint8_t bytes[VM_RNG_REQUEST_MAX];
		size_t n = MIN(c.in_bytes, sizeof(bytes));

		if (!n)
			return -EPROTO;
		if (getrandom(bytes, n, 0) != (ssize_t)n)
			n = 0;
		vm_iov_write(c.in, c.n_in, 0, bytes, n);
		vm_queue_done(q, &c, (uint32_t)n);
	}
	vm_device_signal(d, nr);
	if (r > 0)
		vm_device_again(d, nr);
	return MIN(r, 0);
}

static const struct vm_device_ops rng_ops = {
	.name = "rng", .id = VIRTIO_ID_RNG, .n_queues = 1, .queue_size = 16, .notify = rng_notify};

int vm_rng_init(struct vm_rng *r, const struct vm_memory *mem, struct loop *loop, struct err *e)
{
	return vm_device_init(&r->dev, &rng_ops, mem, loop, e);
}
