#include "vm/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { MAGIC = 0x74726976, VERSION = 2, VENDOR = 0x4c49414a };

static struct vm_queue *selected(struct vm_device *d)
{
	return d->queue_sel < d->ops->n_queues ? &d->queue[d->queue_sel] : NULL;
}

static uint32_t read_register(struct vm_device *d, uint64_t offset)
{
	struct vm_queue *q = selected(d);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return d->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return d->features_sel > 1 ? 0 : (uint32_t)(d->features >> (32 * d->features_sel));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? q->size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->ready;
	case VIRTIO_MMIO_STATUS:
		return d->status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return d->config_generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return 0xffffffff; /* no shared memory region (4.2.2) */
	default:
		return 0;
	}
}

static void set_half(uint64_t *v, unsigned int half, uint32_t bits)
{
	*v = half ? (*v & 0xffffffffull) | (uint64_t)bits << 32 : (*v & ~0xffffffffull) | bits;
}

/* What describes a queue is frozen while it is on, and once the driver has started. */
static void write_queue(struct vm_device *d, uint64_t offset, uint32_t v)
{
	struct vm_queue *q = selected(d);

	if (!q || q->ready || (d->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = v > UINT16_MAX ? 0 : (uint16_t)v;
		return;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, v);
		return;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->avail, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, v);
		return;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&q->used, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, v);
		return;
	}
}

static void write_register(struct vm_device *d, uint64_t offset, uint32_t v)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		d->features_sel = v;
		return;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		d->driver_features_sel = v;
		return;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		vm_device_set_features(d, d->driver_features_sel, v);
		return;
	case VIRTIO_MMIO_QUEUE_SEL:
		d->queue_sel = v;
		return;
	case VIRTIO_MMIO_QUEUE_READY:
		if (d->queue_sel < d->ops->n_queues)
			vm_device_set_ready(d, d->queue_sel, v & 1);
		return;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		/* KVM rings the doorbell itself for a well-formed write; this is for the others. */
		if (v < d->ops->n_queues)
			vm_device_again(d, v);
		return;
	case VIRTIO_MMIO_STATUS:
		vm_device_set_status(d, (uint8_t)v);
		return;
	default:
		write_queue(d, offset, v);
	}
}

static void access_config(
	struct vm_device *d, uint64_t offset, uint8_t *data, size_t n, bool is_write)
{
	if (offset >= d->config_bytes || n > d->config_bytes - offset)
		return;
	if (!is_write)
		memcpy(data, d->config + offset, n);
	else if (d->ops->config_written)
		d->ops->config_written(d, (size_t)offset, data, n);
}

/* The two registers of every interrupt, without waiting for a device that is at work. */
static bool access_interrupt(struct vm_device *d, uint64_t offset, uint32_t *v, bool is_write)
{
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && !is_write)
		*v = atomic_load(&d->interrupt_status);
	else if (offset == VIRTIO_MMIO_INTERRUPT_ACK && is_write)
		atomic_fetch_and(&d->interrupt_status, ~*v);
	else
		return false;
	return true;
}

void vm_mmio_access(struct vm_device *d, uint64_t offset, uint8_t *data, size_t n, bool is_write)
{
	uint32_t v = 0;

	if (is_write && n == sizeof(v))
		memcpy(&v, data, sizeof(v));
	if (!is_write)
		memset(data, 0, n);
	if (offset < VIRTIO_MMIO_CONFIG && (n != sizeof(v) || offset % 4))
		return;
	if (offset < VIRTIO_MMIO_CONFIG && access_interrupt(d, offset, &v, is_write)) {
		memcpy(data, &v, sizeof(v));
		return;
	}
	pthread_mutex_lock(&d->loop->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		access_config(d, offset - VIRTIO_MMIO_CONFIG, data, n, is_write);
	} else if (is_write) {
		write_register(d, offset, v);
	} else {
		v = read_register(d, offset);
		memcpy(data, &v, sizeof(v));
	}
	pthread_mutex_unlock(&d->loop->lock);
}
