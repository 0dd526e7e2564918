#include "vm/vhost.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24,
	REQUESTS = 25,
};

enum {
	VERSION = 1,
	REPLY = 4,
	PAYLOAD_MAX = 512,
	FDS_MAX = 8,
	RING_INDEX = 0xff, /* of the kick, call and err requests */
	RING_NO_FD = 0x100,
};
#define F_PROTOCOL_FEATURES (1ull << 30)
#define PROTOCOL_CONFIG     (1ull << 9)

struct head {
	uint32_t request, flags, bytes;
};

struct message {
	struct head head;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} address;
		struct {
			uint32_t n, padding;
			struct {
				uint64_t gpa, bytes, user, offset;
			} region[VM_REGIONS_MAX];
		} memory;
		struct {
			uint32_t offset, bytes, flags;
			uint8_t data[256];
		} config;
		uint8_t bytes[PAYLOAD_MAX];
	} u;
	int fd[FDS_MAX]; /* owned until taken */
	size_t n_fds;
};

static int wrong(struct err *e, const char *what)
{
	return err_set(e, EPROTO, "the other monitor does not keep to vhost-user: %s", what);
}

static int reply(struct vm_vhost *v, struct message *m, uint32_t bytes, struct err *e)
{
	uint8_t out[sizeof(m->head) + PAYLOAD_MAX];
	int r;

	m->head.flags = VERSION | REPLY;
	m->head.bytes = bytes;
	memcpy(out, &m->head, sizeof(m->head));
	memcpy(out + sizeof(m->head), &m->u, bytes);
	r = fd_write_full(v->watch.fd, out, sizeof(m->head) + bytes);
	return r < 0 ? err_set(e, -r, "cannot answer the other monitor") : 0;
}

static int get_features(struct vm_vhost *v, struct message *m, struct err *e)
{
	m->u.u64 = v->dev->features | F_PROTOCOL_FEATURES;
	return reply(v, m, sizeof(m->u.u64), e);
}

static int set_features(struct vm_vhost *v, struct message *m, struct err *e)
{
	(void)e;
	v->dev->driver_features = m->u.u64 & v->dev->features;
	return 0;
}

static int get_protocol_features(struct vm_vhost *v, struct message *m, struct err *e)
{
	m->u.u64 = PROTOCOL_CONFIG;
	return reply(v, m, sizeof(m->u.u64), e);
}

static int nothing(struct vm_vhost *v, struct message *m, struct err *e)
{
	(void)v;
	(void)m;
	(void)e;
	return 0;
}

static void forget_memory(struct vm_vhost *v)
{
	for (unsigned int i = 0; i < v->mem->n_regions; i++)
		munmap(v->mem->region[i].host + v->mem->region[i].bytes - v->mapped_bytes[i],
			v->mapped_bytes[i]);
	v->mem->n_regions = 0;
}

static int set_memory(struct vm_vhost *v, struct message *m, struct err *e)
{
	forget_memory(v);
	if (m->u.memory.n > VM_REGIONS_MAX || m->u.memory.n != m->n_fds)
		return wrong(e, "its memory table");
	for (uint32_t i = 0; i < m->u.memory.n; i++) {
		uint64_t offset = m->u.memory.region[i].offset, bytes = m->u.memory.region[i].bytes,
			 whole;
		uint8_t *p;

		if (__builtin_add_overflow(offset, bytes, &whole))
			return wrong(e, "a memory region");
		p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd[i], 0);
		if (p == MAP_FAILED)
			return err_sys(e, "cannot map the other monitor's memory");
		v->user_address[i] = m->u.memory.region[i].user;
		v->mapped_bytes[i] = whole;
		v->mem->region[i] =
			(struct vm_region){m->u.memory.region[i].gpa, bytes, p + offset};
		v->mem->n_regions++;
	}
	return 0;
}

/* An address of the other monitor's to the guest's. */
static uint64_t to_guest(const struct vm_vhost *v, uint64_t user)
{
	for (unsigned int i = 0; i < v->mem->n_regions; i++)
		if (user >= v->user_address[i] &&
			user - v->user_address[i] < v->mem->region[i].bytes)
			return v->mem->region[i].start + (user - v->user_address[i]);
	return UINT64_MAX;
}

static struct vm_queue *queue_of(struct vm_vhost *v, uint64_t index, struct err *e)
{
	if (index >= v->dev->ops->n_queues) {
		wrong(e, "a queue's number");
		return NULL;
	}
	return &v->dev->queue[index];
}

static int set_num(struct vm_vhost *v, struct message *m, struct err *e)
{
	struct vm_queue *q = queue_of(v, m->u.state.index, e);

	if (!q)
		return -e->code;
	q->size = (uint16_t)MIN(m->u.state.num, UINT16_MAX);
	return 0;
}

static int set_address(struct vm_vhost *v, struct message *m, struct err *e)
{
	struct vm_queue *q = queue_of(v, m->u.address.index, e);

	if (!q)
		return -e->code;
	q->desc = to_guest(v, m->u.address.desc);
	q->avail = to_guest(v, m->u.address.avail);
	q->used = to_guest(v, m->u.address.used);
	return 0;
}

static int set_base(struct vm_vhost *v, struct message *m, struct err *e)
{
	struct vm_queue *q = queue_of(v, m->u.state.index, e);

	if (!q)
		return -e->code;
	q->base = (uint16_t)m->u.state.num;
	return 0;
}

static int get_base(struct vm_vhost *v, struct message *m, struct err *e)
{
	struct vm_queue *q = queue_of(v, m->u.state.index, e);

	if (!q)
		return -e->code;
	m->u.state.num = q->next_avail;
	q->ready = false;
	return reply(v, m, sizeof(m->u.state), e);
}

/* Where the guest's kicks for a queue come from; without one it is polled, which we do not do. */
static int set_kick(struct vm_vhost *v, struct message *m, struct err *e)
{
	uint64_t nr = m->u.u64 & RING_INDEX;
	struct vm_kick *k;
	int old;

	if (!queue_of(v, nr, e))
		return -e->code;
	if ((m->u.u64 & RING_NO_FD) || m->n_fds != 1)
		return wrong(e, "a kick without a descriptor");
	k = &v->dev->kick[nr];
	old = k->watch.fd;
	loop_remove(v->loop, &k->watch);
	fd_close(&old);
	k->watch.fd = fd_take(&m->fd[0]);
	return loop_add(v->loop, &k->watch, EPOLLIN, e);
}

static int set_call(struct vm_vhost *v, struct message *m, struct err *e)
{
	uint64_t nr = m->u.u64 & RING_INDEX;

	if (!queue_of(v, nr, e))
		return -e->code;
	fd_close(&v->dev->call_fd[nr]);
	if (m->n_fds == 1)
		v->dev->call_fd[nr] = fd_take(&m->fd[0]);
	return 0;
}

static int set_enable(struct vm_vhost *v, struct message *m, struct err *e)
{
	struct vm_queue *q = queue_of(v, m->u.state.index, e);
	struct vm_device *d = v->dev;

	if (!q)
		return -e->code;
	if (!m->u.state.num) {
		q->ready = false;
		return 0;
	}
	if (q->ready)
		return 0;
	if (vm_queue_enable(q, vm_device_has(d, VIRTIO_RING_F_INDIRECT_DESC),
		    vm_device_has(d, VIRTIO_RING_F_EVENT_IDX)) < 0) {
		vm_device_break(d);
		return 0;
	}
	q->next_avail = q->next_used = q->signalled = q->base;
	d->status = VIRTIO_CONFIG_S_DRIVER_OK;
	vm_device_again(d, m->u.state.index);
	return 0;
}

static int get_config(struct vm_vhost *v, struct message *m, struct err *e)
{
	uint32_t n = m->u.config.bytes;

	if (m->u.config.offset || n > v->dev->config_bytes || n > sizeof(m->u.config.data))
		return wrong(e, "a part of the configuration");
	memcpy(m->u.config.data, v->dev->config, n);
	return reply(v, m, 12 + n, e);
}

static int (*const requests[REQUESTS])(struct vm_vhost *v, struct message *m, struct err *e) = {
	[GET_FEATURES] = get_features,
	[SET_FEATURES] = set_features,
	[SET_OWNER] = nothing,
	[SET_MEM_TABLE] = set_memory,
	[SET_VRING_NUM] = set_num,
	[SET_VRING_ADDR] = set_address,
	[SET_VRING_BASE] = set_base,
	[GET_VRING_BASE] = get_base,
	[SET_VRING_KICK] = set_kick,
	[SET_VRING_CALL] = set_call,
	[SET_VRING_ERR] = nothing,
	[GET_PROTOCOL_FEATURES] = get_protocol_features,
	[SET_PROTOCOL_FEATURES] = nothing,
	[SET_VRING_ENABLE] = set_enable,
	[GET_CONFIG] = get_config,
};

static int receive(struct vm_vhost *v, struct message *m, struct err *e)
{
	ssize_t n;

	m->n_fds = FDS_MAX;
	n = fd_recv(v->watch.fd, &m->head, sizeof(m->head), m->fd, &m->n_fds);
	if (n <= 0) {
		m->n_fds = 0;
		return err_set(e, ECONNRESET, "the other monitor has ended");
	}
	if (n != sizeof(m->head) || m->head.bytes > sizeof(m->u) || m->head.request >= REQUESTS ||
		!requests[m->head.request])
		return wrong(e, "a request");
	memset(&m->u, 0, sizeof(m->u));
	if (fd_read_full(v->watch.fd, &m->u, m->head.bytes) != (ssize_t)m->head.bytes)
		return wrong(e, "a request cut short");
	return 0;
}

static void vhost_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_vhost *v = container_of(w, struct vm_vhost, watch);
	struct message m;

	(void)events;
	if (receive(v, &m, &v->why) < 0 || requests[m.head.request](v, &m, &v->why) < 0) {
		v->failed = true;
		loop_remove(v->loop, w);
	}
	for (size_t i = 0; i < m.n_fds; i++)
		fd_close(&m.fd[i]);
	if (v->failed)
		v->ended(v);
}

int vm_vhost_init(struct vm_vhost *v, struct vm_device *dev, int sock_fd, struct vm_memory *mem,
	struct err *e)
{
	*v = (struct vm_vhost){.watch = {.fd = sock_fd, .ready = vhost_ready},
		.loop = dev->loop,
		.dev = dev,
		.mem = mem,
		.ended = v->ended};
	return loop_add(v->loop, &v->watch, EPOLLIN, e);
}

void vm_vhost_release(struct vm_vhost *v)
{
	if (!v->mem)
		return;
	loop_remove(v->loop, &v->watch);
	forget_memory(v);
}
