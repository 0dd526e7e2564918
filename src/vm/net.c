#include "vm/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/mem.h"

enum { RX, TX, QUEUES };
enum { ETHERNET = 14, SOURCE_AT = VM_NET_HEADER + 6, NUM_BUFFERS_AT = 10 };
_Static_assert(sizeof(struct virtio_net_hdr_v1) == VM_NET_HEADER, "the header is an ABI");

#define FEATURE(n) (1ull << (n))

/* What the guest may leave to us, and may be left to it, when the other side is a tap. */
static const struct {
	unsigned int feature, tap; /* TUN_F_ bit that it switches on; 0: of the guest's sending */
} offloads[] = {
	{VIRTIO_NET_F_CSUM, 0},
	{VIRTIO_NET_F_HOST_TSO4, 0},
	{VIRTIO_NET_F_HOST_TSO6, 0},
	{VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM},
	{VIRTIO_NET_F_GUEST_TSO4, TUN_F_CSUM | TUN_F_TSO4},
	{VIRTIO_NET_F_GUEST_TSO6, TUN_F_CSUM | TUN_F_TSO6},
};

/* The tap is watched only while there is somewhere to put a frame. */
static void want_frames(struct vm_net *n, bool want)
{
	n->has_buffers = want;
	if (n->watch.fd >= 0)
		loop_change(n->dev.loop, &n->watch, want ? EPOLLIN : 0);
}

/* Returns 1 for a frame delivered, 0 when there is none, -EPROTO. */
static int receive_one(struct vm_net *n, struct vm_queue *q)
{
	static const uint16_t one_buffer = 1;
	struct vm_chain c;
	ssize_t bytes;
	int r = vm_queue_next(q, &c);

	if (r <= 0) {
		want_frames(n, false);
		return r;
	}
	if (c.in_bytes <= VM_NET_HEADER)
		return -EPROTO;
	do
		bytes = readv(n->fd, c.in, (int)c.n_in);
	while (bytes < 0 && errno == EINTR);
	if (bytes <= VM_NET_HEADER) {
		vm_queue_unget(q);
		want_frames(n, bytes < 0 && errno == EAGAIN);
		return 0;
	}
	/* Without merged buffers a frame takes one, and the driver insists on reading so. */
	vm_iov_write(c.in, c.n_in, NUM_BUFFERS_AT, &one_buffer, sizeof(one_buffer));
	vm_queue_done(q, &c, (uint32_t)bytes);
	return 1;
}

static int receive(struct vm_net *n)
{
	struct vm_queue *q = &n->dev.queue[RX];
	int r = 1;

	for (unsigned int i = 0; i < VM_NET_QUEUE && r > 0; i++)
		r = receive_one(n, q);
	vm_device_signal(&n->dev, RX);
	return MIN(r, 0);
}

static bool may_send(const struct vm_net *n, const struct vm_chain *c)
{
	uint8_t source[6];

	if (c->out_bytes < VM_NET_HEADER + ETHERNET ||
		c->out_bytes > VM_NET_HEADER + VM_NET_FRAME_MAX)
		return false;
	vm_iov_read(c->out, c->n_out, SOURCE_AT, source, sizeof(source));
	return !memcmp(source, n->mac, sizeof(source));
}

static int transmit(struct vm_net *n)
{
	struct vm_queue *q = &n->dev.queue[TX];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < VM_NET_QUEUE && (r = vm_queue_next(q, &c)) > 0; i++) {
		if (!may_send(n, &c) || writev(n->fd, c.out, (int)c.n_out) < 0)
			n->dropped++;
		vm_queue_done(q, &c, 0);
	}
	vm_device_signal(&n->dev, TX);
	if (r > 0)
		vm_device_again(&n->dev, TX);
	return MIN(r, 0);
}

static int net_notify(struct vm_device *d, unsigned int nr)
{
	struct vm_net *n = container_of(d, struct vm_net, dev);

	if (nr == TX)
		return transmit(n);
	want_frames(n, true);
	return receive(n);
}

static void tap_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_net *n = container_of(w, struct vm_net, watch);

	if (!vm_device_live(&n->dev) || !n->dev.queue[RX].ready) {
		want_frames(n, false);
	} else if (receive(n) < 0) {
		vm_device_break(&n->dev);
		want_frames(n, false);
	}
	if ((events & (EPOLLHUP | EPOLLERR)) && !n->has_buffers)
		loop_remove(n->dev.loop, w); /* the link is gone, and epoll would say so for ever */
}

static void net_activate(struct vm_device *d)
{
	struct vm_net *n = container_of(d, struct vm_net, dev);
	unsigned int tap = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if (vm_device_has(d, offloads[i].feature))
			tap |= offloads[i].tap;
	/* What was promised and cannot be had is not papered over. */
	if (n->offload && ioctl(n->fd, TUNSETOFFLOAD, tap) < 0)
		vm_device_break(d);
}

static void net_reset(struct vm_device *d)
{
	want_frames(container_of(d, struct vm_net, dev), false);
}

static const struct vm_device_ops net_ops = {.name = "net",
	.id = VIRTIO_ID_NET,
	.n_queues = QUEUES,
	.queue_size = VM_NET_QUEUE,
	.notify = net_notify,
	.activate = net_activate,
	.reset = net_reset};

static int prepare_link(struct vm_net *n, struct loop *loop, struct err *e)
{
	int header = VM_NET_HEADER;

	if (fd_set_nonblock(n->fd, 1) < 0)
		return err_set(
			e, EBADF, "descriptor %d given as the guest's network is not open", n->fd);
	if (n->offload && ioctl(n->fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_sys(e,
			"descriptor %d given as the guest's network is no tap with headers", n->fd);
	n->watch = (struct loop_watch){.fd = n->fd, .ready = tap_ready};
	return loop_add(loop, &n->watch, 0, e);
}

int vm_net_init(struct vm_net *n, const struct vm_net_link *link, const struct vm_memory *mem,
	struct loop *loop, struct err *e)
{
	*n = (struct vm_net){.fd = link->fd, .offload = link->offload, .watch = {.fd = -1}};
	memcpy(n->mac, link->mac, sizeof(n->mac));
	if (vm_device_init(&n->dev, &net_ops, mem, loop, e) < 0 || prepare_link(n, loop, e) < 0) {
		vm_net_release(n);
		return -e->code;
	}
	memcpy(n->dev.config, n->mac, sizeof(n->mac));
	n->dev.config_bytes = sizeof(n->mac);
	n->dev.features |= FEATURE(VIRTIO_NET_F_MAC);
	for (size_t i = 0; n->offload && i < ARRAY_SIZE(offloads); i++)
		n->dev.features |= FEATURE(offloads[i].feature);
	return 0;
}

void vm_net_release(struct vm_net *n)
{
	vm_device_release(&n->dev);
	if (n->watch.fd >= 0)
		loop_remove(n->dev.loop, &n->watch);
	fd_close(&n->fd);
}
