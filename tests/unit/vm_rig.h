/*
 * A guest driver for tests, as well-behaved or as hostile as a test wants: it writes rings into
 * guest memory and registers through vm_mmio_access, and needs no KVM.
 *
 *	struct rig g;
 *	rig_init(&g);
 *	vm_rng_init(&rng, &g.mem, &g.loop, &e);
 *	rig_start(&g, &rng.dev, 0);
 *	rig_desc(&g, 0, 0, RIG_DATA, 16, VRING_DESC_F_WRITE, 0);
 *	rig_post(&g, 0, 0);
 *	rig_kick(&g, 0);
 */
#ifndef JAIL_TESTS_UNIT_VM_RIG_H
#define JAIL_TESTS_UNIT_VM_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "vm/mmio.h"

enum {
	RIG_SIZE = 16, /* entries of each queue */
	RIG_RINGS = 0x100000, /* queue n: desc, avail, used, indirect at + n * 0x4000 */
	RIG_DATA = 0x200000, /* buffers */
	RIG_MEMORY = 64 << 20,
};

struct rig {
	struct vm_memory mem;
	struct loop loop;
	struct vm_device *dev;
	uint16_t avail[VM_DEVICE_QUEUES_MAX];
};

static inline void rig_init(struct rig *g)
{
	struct err e = {0};

	memset(g, 0, sizeof(*g));
	if (vm_memory_init(&g->mem, RIG_MEMORY, &e) < 0 || loop_init(&g->loop, &e) < 0) {
		printf("Bail out! %s\n", e.text);
		exit(1);
	}
}

static inline void rig_release(struct rig *g)
{
	loop_release(&g->loop);
	vm_memory_release(&g->mem);
}

static inline void rig_set(struct rig *g, uint64_t reg, uint32_t v)
{
	vm_mmio_access(g->dev, reg, (uint8_t *)&v, sizeof(v), true);
}

static inline uint32_t rig_get(struct rig *g, uint64_t reg)
{
	uint32_t v = 0;

	vm_mmio_access(g->dev, reg, (uint8_t *)&v, sizeof(v), false);
	return v;
}

static inline uint64_t rig_ring(unsigned int queue, unsigned int part)
{
	return RIG_RINGS + queue * 0x4000 + part * 0x1000;
}

static inline void *rig_at(struct rig *g, uint64_t gpa, size_t n)
{
	void *p = vm_memory_at(&g->mem, gpa, n);

	if (!p)
		abort();
	return p;
}

static inline void rig_place(struct rig *g, unsigned int queue, uint32_t size, uint64_t desc,
	uint64_t avail, uint64_t used)
{
	rig_set(g, VIRTIO_MMIO_QUEUE_SEL, queue);
	rig_set(g, VIRTIO_MMIO_QUEUE_NUM, size);
	rig_set(g, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	rig_set(g, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
	rig_set(g, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
	rig_set(g, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
	rig_set(g, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	rig_set(g, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
	rig_set(g, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* Up to FEATURES_OK with VERSION_1 and features. */
static inline void rig_negotiate(struct rig *g, struct vm_device *d, uint64_t features)
{
	g->dev = d;
	features |= 1ull << VIRTIO_F_VERSION_1;
	rig_set(g, VIRTIO_MMIO_STATUS, 0);
	rig_set(g, VIRTIO_MMIO_STATUS, 1);
	rig_set(g, VIRTIO_MMIO_STATUS, 3);
	for (unsigned int half = 0; half < 2; half++) {
		rig_set(g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		rig_set(g, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * half)));
	}
	rig_set(g, VIRTIO_MMIO_STATUS, 11);
	memset(rig_at(g, RIG_RINGS, 0x10000), 0, 0x10000);
	memset(g->avail, 0, sizeof(g->avail));
}

/* All the way to DRIVER_OK. */
static inline void rig_start(struct rig *g, struct vm_device *d, uint64_t features)
{
	rig_negotiate(g, d, features);
	for (unsigned int i = 0; i < d->ops->n_queues; i++)
		rig_place(g, i, RIG_SIZE, rig_ring(i, 0), rig_ring(i, 1), rig_ring(i, 2));
	rig_set(g, VIRTIO_MMIO_STATUS, 15);
}

static inline void rig_desc_at(struct rig *g, uint64_t table, unsigned int i, uint64_t addr,
	uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = {.addr = addr, .len = len, .flags = flags, .next = next};

	memcpy(rig_at(g, table + i * sizeof(d), sizeof(d)), &d, sizeof(d));
}

static inline void rig_desc(struct rig *g, unsigned int queue, unsigned int i, uint64_t addr,
	uint32_t len, uint16_t flags, uint16_t next)
{
	rig_desc_at(g, rig_ring(queue, 0), i, addr, len, flags, next);
}

static inline uint16_t *rig_avail_idx(struct rig *g, unsigned int queue)
{
	return rig_at(g, rig_ring(queue, 1) + 2, 2);
}

static inline void rig_post(struct rig *g, unsigned int queue, uint16_t head)
{
	uint16_t *ring = rig_at(g, rig_ring(queue, 1) + 4, 2 * RIG_SIZE);

	ring[g->avail[queue]++ % RIG_SIZE] = head;
	*rig_avail_idx(g, queue) = g->avail[queue];
}

static inline uint16_t rig_used(struct rig *g, unsigned int queue)
{
	return *(uint16_t *)rig_at(g, rig_ring(queue, 2) + 2, 2);
}

static inline struct vring_used_elem rig_used_elem(
	struct rig *g, unsigned int queue, unsigned int i)
{
	struct vring_used_elem el;

	memcpy(&el, rig_at(g, rig_ring(queue, 2) + 4 + (i % RIG_SIZE) * sizeof(el), sizeof(el)),
		sizeof(el));
	return el;
}

/* Runs the loop until nothing is ready; bounded, so that a device that spins is caught. */
static inline bool rig_settle(struct rig *g)
{
	struct err e = {0};

	for (int i = 0; i < 10000; i++)
		if (loop_once(&g->loop, 0, &e) <= 0)
			return true;
	return false;
}

/* Rings and serves; true when the loop came to rest. */
static inline bool rig_kick(struct rig *g, unsigned int queue)
{
	rig_set(g, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	return rig_settle(g);
}

static inline bool rig_broken(struct rig *g)
{
	return rig_get(g, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

#endif
