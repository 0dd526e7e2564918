/*
 * A virtio device as its transport and its own file see it.
 *
 *	static const struct vm_device_ops rng_ops = {.id = VIRTIO_ID_RNG, .n_queues = 1, .notify =
 *rng_notify}; struct vm_rng { struct vm_device dev; ... }; vm_device_init(&rng->dev, &rng_ops,
 *&mem, &loop);
 *
 * The state machine of virtio 1.2, 2.1 and 3.1, is here; the transport (mmio.h) only decodes
 * addresses.  Everything runs under the loop's lock: on a processor's thread for registers, on
 * the loop's for queues.  Requests are served whole before the lock is given up, so a reset
 * never meets one in flight.
 *
 * A guest that breaks the rules gets DEVICE_NEEDS_RESET and its device is dead until it is
 * reset; nothing else of it or of us is touched.
 */
#ifndef JAIL_VM_VIRTIO_H
#define JAIL_VM_VIRTIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "vm/queue.h"

enum {
	VM_DEVICE_QUEUES_MAX = 4,
	VM_DEVICE_CONFIG_MAX = 128,
};

struct vm_device;

struct vm_device_ops {
	const char *name;
	uint32_t id; /* VIRTIO_ID_ */
	unsigned int n_queues;
	uint16_t queue_size;
	/* Serves queue nr; -EPROTO when the guest broke the rules. */
	int (*notify)(struct vm_device *d, unsigned int nr);
	/* Features have been agreed on and the queues are there; may be NULL. */
	void (*activate)(struct vm_device *d);
	/* Forgets everything of the guest's; may be NULL. */
	void (*reset)(struct vm_device *d);
	/* The guest wrote n bytes at offset of the configuration; may be NULL: ignored. */
	void (*config_written)(struct vm_device *d, size_t offset, const void *p, size_t n);
};

struct vm_kick {
	struct loop_watch watch;
	struct vm_device *device;
	unsigned int queue;
};

struct vm_device {
	const struct vm_device_ops *ops;
	struct loop *loop;
	uint64_t features; /* offered; VERSION_1, EVENT_IDX and INDIRECT_DESC are added */
	uint8_t config[VM_DEVICE_CONFIG_MAX];
	size_t config_bytes;
	uint32_t config_generation;

	uint64_t driver_features;
	uint8_t status;
	bool broken; /* until reset */
	struct vm_queue queue[VM_DEVICE_QUEUES_MAX];
	struct vm_kick kick[VM_DEVICE_QUEUES_MAX]; /* doorbells: eventfds, owned */
	atomic_uint interrupt_status;
	int irq_fd; /* eventfd, owned */
	int call_fd[VM_DEVICE_QUEUES_MAX]; /* vhost: instead of it; owned */

	/* The transport's selectors. */
	uint32_t features_sel, driver_features_sel, queue_sel;
	uint64_t resets, breaks; /* counted, for the tests and the statistics */
};

/* Makes the events and watches them; d's features and config are set by the caller after. */
int vm_device_init(struct vm_device *d, const struct vm_device_ops *ops,
	const struct vm_memory *mem, struct loop *loop, struct err *e) __attribute__((nonnull));
void vm_device_release(struct vm_device *d) __attribute__((nonnull));

/* The driver writes the status register. */
void vm_device_set_status(struct vm_device *d, uint8_t status) __attribute__((nonnull));
/* The driver agrees to features: half 0 is bits 0 to 31. */
void vm_device_set_features(struct vm_device *d, unsigned int half, uint32_t bits)
	__attribute__((nonnull));
/* Queue nr is switched on or off. */
void vm_device_set_ready(struct vm_device *d, unsigned int nr, bool ready) __attribute__((nonnull));

static inline bool vm_device_has(const struct vm_device *d, unsigned int feature)
{
	return d->driver_features >> feature & 1;
}
/* True while the driver may use the device. */
bool vm_device_live(const struct vm_device *d) __attribute__((nonnull));
/* The guest broke the rules. */
void vm_device_break(struct vm_device *d) __attribute__((nonnull));
/* Interrupts the guest when it wants to know of what was done in queue nr. */
void vm_device_signal(struct vm_device *d, unsigned int nr) __attribute__((nonnull));
/* The configuration has changed. */
void vm_device_config_changed(struct vm_device *d) __attribute__((nonnull));
/* Has queue nr served once more after other events had their turn. */
void vm_device_again(struct vm_device *d, unsigned int nr) __attribute__((nonnull));
/* Serves queue nr now, as if the guest had rung: for events from our side. */
void vm_device_run(struct vm_device *d, unsigned int nr) __attribute__((nonnull));

#endif
