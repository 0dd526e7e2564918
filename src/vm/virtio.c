#include "vm/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

#define FEATURE(n) (1ull << (n))

static void kick_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_kick *k = container_of(w, struct vm_kick, watch);
	uint64_t count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) != sizeof(count))
		return;
	vm_device_run(k->device, k->queue);
}

int vm_device_init(struct vm_device *d, const struct vm_device_ops *ops,
	const struct vm_memory *mem, struct loop *loop, struct err *e)
{
	*d = (struct vm_device){.ops = ops, .loop = loop, .irq_fd = -1};
	d->features = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX) |
		      FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	for (unsigned int i = 0; i < VM_DEVICE_QUEUES_MAX; i++)
		d->kick[i].watch.fd = d->call_fd[i] = -1;
	d->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->irq_fd < 0)
		return err_sys(e, "cannot make an interrupt for device '%s'", ops->name);
	for (unsigned int i = 0; i < ops->n_queues; i++) {
		d->queue[i] = (struct vm_queue){.mem = mem, .size_max = ops->queue_size};
		d->kick[i] =
			(struct vm_kick){.watch = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
						 .ready = kick_ready},
				.device = d,
				.queue = i};
		if (d->kick[i].watch.fd < 0)
			return err_sys(e, "cannot make a doorbell for device '%s'", ops->name);
		if (loop_add(loop, &d->kick[i].watch, EPOLLIN, e) < 0)
			return -e->code;
	}
	return 0;
}

void vm_device_release(struct vm_device *d)
{
	if (!d->ops)
		return;
	if (d->ops->reset)
		d->ops->reset(d);
	for (unsigned int i = 0; i < VM_DEVICE_QUEUES_MAX; i++) {
		int fd = d->kick[i].watch.fd;

		loop_remove(d->loop, &d->kick[i].watch);
		fd_close(&fd);
		fd_close(&d->call_fd[i]);
	}
	fd_close(&d->irq_fd);
	d->ops = NULL;
}

static void interrupt(struct vm_device *d, unsigned int reason)
{
	uint64_t one = 1;

	/* The reason first: the guest reads it when the interrupt comes. */
	atomic_fetch_or(&d->interrupt_status, reason);
	if (write(d->irq_fd, &one, sizeof(one)) < 0)
		return; /* full: an interrupt is pending already */
}

bool vm_device_live(const struct vm_device *d)
{
	return (d->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(d->status & VIRTIO_CONFIG_S_FAILED) &&
	       !d->broken;
}

void vm_device_break(struct vm_device *d)
{
	if (d->broken)
		return;
	d->broken = true;
	d->breaks++;
	d->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (d->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(d, VIRTIO_MMIO_INT_CONFIG);
}

static void reset(struct vm_device *d)
{
	d->resets++;
	if (d->ops->reset)
		d->ops->reset(d);
	for (unsigned int i = 0; i < d->ops->n_queues; i++)
		vm_queue_reset(&d->queue[i]);
	d->status = 0;
	d->broken = false;
	d->driver_features = 0;
	d->features_sel = d->driver_features_sel = d->queue_sel = 0;
	atomic_store(&d->interrupt_status, 0);
}

/* FEATURES_OK stands only when the driver took nothing that was not offered (3.1.1 step 5). */
static bool features_acceptable(const struct vm_device *d)
{
	return !(d->driver_features & ~d->features) && vm_device_has(d, VIRTIO_F_VERSION_1);
}

void vm_device_set_status(struct vm_device *d, uint8_t status)
{
	uint8_t new = status &(uint8_t)~d->status;

	if (!status) {
		reset(d);
		return;
	}
	/* Bits are only ever added (2.1.1); NEEDS_RESET is ours. */
	if ((d->status & ~status & ~VIRTIO_CONFIG_S_NEEDS_RESET) || d->broken)
		return;
	if ((new &VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(d))
		new &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	d->status |= new &(uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (!(new &VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (!(d->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		d->status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
		vm_device_break(d);
	} else if (d->ops->activate) {
		d->ops->activate(d);
	}
}

void vm_device_set_features(struct vm_device *d, unsigned int half, uint32_t bits)
{
	if (half > 1 || (d->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	d->driver_features &= ~(0xffffffffull << (32 * half));
	d->driver_features |= (uint64_t)bits << (32 * half);
}

void vm_device_set_ready(struct vm_device *d, unsigned int nr, bool ready)
{
	struct vm_queue *q = &d->queue[nr];

	if (!ready) {
		q->ready = false;
		return;
	}
	if (q->ready || !(d->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
		(d->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (vm_queue_enable(q, vm_device_has(d, VIRTIO_RING_F_INDIRECT_DESC),
		    vm_device_has(d, VIRTIO_RING_F_EVENT_IDX)) < 0)
		vm_device_break(d);
}

void vm_device_run(struct vm_device *d, unsigned int nr)
{
	if (vm_device_live(d) && d->queue[nr].ready && d->ops->notify(d, nr) < 0)
		vm_device_break(d);
}

void vm_device_signal(struct vm_device *d, unsigned int nr)
{
	uint64_t one = 1;

	if (!vm_queue_must_signal(&d->queue[nr]))
		return;
	if (d->call_fd[nr] < 0)
		interrupt(d, VIRTIO_MMIO_INT_VRING);
	else if (write(d->call_fd[nr], &one, sizeof(one)) < 0)
		return; /* full, as above */
}

void vm_device_config_changed(struct vm_device *d)
{
	d->config_generation++;
	if (vm_device_live(d))
		interrupt(d, VIRTIO_MMIO_INT_CONFIG);
}

void vm_device_again(struct vm_device *d, unsigned int nr)
{
	uint64_t one = 1;

	if (write(d->kick[nr].watch.fd, &one, sizeof(one)) < 0)
		return; /* full: it will be served */
}
