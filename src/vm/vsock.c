#include "vm/vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum { RX, TX, EVENT, QUEUES };
enum { HEADER = sizeof(struct virtio_vsock_hdr), FIRST_PORT = 0x40000000 };
_Static_assert(sizeof(struct virtio_vsock_hdr) == 44, "the header is an ABI");

enum state {
	HELLO, /* a client of ours has yet to say which port it wants */
	CONNECTING, /* the guest was asked */
	OPEN,
};

/* What the guest is still to be told of a stream. */
enum { TELL_REQUEST = 1, TELL_RESPONSE = 2, TELL_CREDIT = 4, TELL_SHUTDOWN = 8 };

struct vm_stream {
	struct vm_stream *next;
	struct vm_vsock *v;
	struct loop_watch watch;
	int fd; /* owned, non-blocking; the watch's may be -1 */
	enum state state;
	uint32_t host_port, guest_port;
	uint8_t hello[4];
	size_t n_hello;
	unsigned int tell;
	bool readable; /* fd has something for the guest, or its end */
	bool eof; /* nothing more will come from fd */
	bool hung_up; /* fd takes nothing more */
	bool guest_ends; /* the guest sends nothing more */
	/* Credit (5.10.6.3): counters wrap. */
	uint32_t peer_buffer, peer_forwarded, sent, forwarded, forwarded_told;
	uint8_t *buffer; /* guest to host, when the reader is slow */
	size_t n_buffer;
};

static struct vm_stream *find(struct vm_vsock *v, uint32_t host_port, uint32_t guest_port)
{
	for (struct vm_stream *s = v->streams; s; s = s->next)
		if (s->state != HELLO && s->host_port == host_port && s->guest_port == guest_port)
			return s;
	return NULL;
}

/* A guest that makes us refuse faster than it listens is not told of all of it. */
static void refuse(struct vm_vsock *v, uint32_t host_port, uint32_t guest_port)
{
	if (v->n_resets < VM_VSOCK_RESETS_MAX)
		v->resets[v->n_resets++] = (struct vm_vsock_reset){host_port, guest_port};
}

static void stream_free(struct vm_stream *s)
{
	struct vm_stream **pp = &s->v->streams;

	while (*pp != s)
		pp = &(*pp)->next;
	*pp = s->next;
	s->v->n_streams--;
	loop_remove(s->v->dev.loop, &s->watch);
	fd_close(&s->fd);
	free(s->buffer);
	free(s);
}

static void stream_refuse(struct vm_stream *s)
{
	refuse(s->v, s->host_port, s->guest_port);
	stream_free(s);
}

/* Waits for what can be used: input only until some is known to be there. */
static void stream_wait(struct vm_stream *s)
{
	uint32_t events = 0;

	if (!s->readable && !s->eof && s->state != CONNECTING)
		events |= EPOLLIN;
	if (s->n_buffer)
		events |= EPOLLOUT;
	if (s->watch.fd >= 0)
		loop_change(s->v->dev.loop, &s->watch, events);
}

static void stream_ready(struct loop_watch *w, uint32_t events);

/* Takes fd. */
static struct vm_stream *stream_new(struct vm_vsock *v, int fd, enum state state)
{
	struct vm_stream *s;
	struct err e = {0};

	if (v->n_streams == VM_VSOCK_STREAMS_MAX || fd_set_nonblock(fd, 1) < 0) {
		fd_close(&fd);
		return NULL;
	}
	s = mem_new(sizeof(*s));
	*s = (struct vm_stream){.next = v->streams,
		.v = v,
		.watch = {.fd = fd, .ready = stream_ready},
		.fd = fd,
		.state = state};
	v->streams = s;
	v->n_streams++;
	if (loop_add(v->dev.loop, &s->watch, EPOLLIN, &e) < 0) {
		s->watch.fd = -1;
		stream_free(s);
		return NULL;
	}
	return s;
}

/* Sends what was kept; when all is gone, also the end that the guest announced. */
static void stream_drain(struct vm_stream *s)
{
	while (s->n_buffer && !s->hung_up) {
		ssize_t n = send(s->fd, s->buffer, s->n_buffer, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			s->hung_up = true;
			break;
		}
		memmove(s->buffer, s->buffer + n, s->n_buffer - (size_t)n);
		s->n_buffer -= (size_t)n;
		s->forwarded += (uint32_t)n;
	}
	if (s->hung_up) { /* nobody will read it: as good as forwarded */
		s->forwarded += (uint32_t)s->n_buffer;
		s->n_buffer = 0;
	}
	if (s->forwarded - s->forwarded_told >= VM_VSOCK_BUFFER / 2)
		s->tell |= TELL_CREDIT;
	if (!s->n_buffer && s->guest_ends)
		shutdown(s->fd, SHUT_WR);
}

/* --- to the guest --------------------------------------------------------------------- */

static void put_header(struct vm_vsock *v, const struct vm_chain *c, struct virtio_vsock_hdr h)
{
	h.src_cid = VM_VSOCK_HOST_CID;
	h.dst_cid = v->cid;
	h.type = VIRTIO_VSOCK_TYPE_STREAM;
	vm_iov_write(c->in, c->n_in, 0, &h, sizeof(h));
}

static void put_stream_header(
	struct vm_stream *s, const struct vm_chain *c, uint16_t op, uint32_t len, uint32_t flags)
{
	put_header(s->v, c,
		(struct virtio_vsock_hdr){.src_port = s->host_port,
			.dst_port = s->guest_port,
			.op = op,
			.len = len,
			.flags = flags,
			.buf_alloc = VM_VSOCK_BUFFER,
			.fwd_cnt = s->forwarded});
	s->forwarded_told = s->forwarded;
	s->tell &= ~(unsigned int)TELL_CREDIT; /* every header tells it */
}

static bool stream_tell(struct vm_stream *s, const struct vm_chain *c)
{
	static const struct {
		unsigned int what;
		uint16_t op;
	} tells[] = {{TELL_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
		{TELL_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
		{TELL_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE}};

	for (size_t i = 0; i < ARRAY_SIZE(tells); i++)
		if (s->tell & tells[i].what) {
			s->tell &= ~tells[i].what;
			put_stream_header(s, c, tells[i].op, 0, 0);
			return true;
		}
	return false;
}

/* Bytes from the descriptor straight into guest memory; 0 when there is nothing to tell. */
static uint32_t stream_read(struct vm_stream *s, const struct vm_chain *c)
{
	uint32_t credit = s->peer_buffer - (s->sent - s->peer_forwarded);
	struct iovec iov[VM_CHAIN_PARTS_MAX];
	unsigned int n_iov;
	ssize_t n;

	if (s->state != OPEN || !s->readable || s->eof || !credit || credit > s->peer_buffer)
		return 0;
	n_iov = vm_iov_slice(c->in, c->n_in, HEADER, MIN(credit, c->in_bytes - HEADER), iov);
	do
		n = readv(s->fd, iov, (int)n_iov);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		s->sent += (uint32_t)n;
		put_stream_header(s, c, VIRTIO_VSOCK_OP_RW, (uint32_t)n, 0);
		return HEADER + (uint32_t)n;
	}
	if (n < 0 && errno == EAGAIN) {
		s->readable = false;
	} else {
		s->eof = true;
		s->tell |= TELL_SHUTDOWN;
	}
	stream_wait(s);
	return 0;
}

/*
 * The end of what we send, after its last byte; with both directions gone the stream is over,
 * and what the guest may still say of it is answered by a reset.
 */
static void stream_end(struct vm_stream *s, const struct vm_chain *c)
{
	bool over = s->hung_up || s->guest_ends;

	s->tell &= ~(unsigned int)TELL_SHUTDOWN;
	put_stream_header(s, c, VIRTIO_VSOCK_OP_SHUTDOWN, 0,
		VIRTIO_VSOCK_SHUTDOWN_SEND | (over ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0));
	if (s->hung_up)
		stream_free(s);
}

/* Fills one buffer of the guest's; returns its length, 0 when there is nothing to say. */
static uint32_t fill(struct vm_vsock *v, const struct vm_chain *c)
{
	if (v->n_resets) {
		struct vm_vsock_reset r = v->resets[0];

		memmove(v->resets, v->resets + 1, --v->n_resets * sizeof(v->resets[0]));
		put_header(v, c,
			(struct virtio_vsock_hdr){.src_port = r.host_port,
				.dst_port = r.guest_port,
				.op = VIRTIO_VSOCK_OP_RST});
		return HEADER;
	}
	for (struct vm_stream *s = v->streams; s; s = s->next) {
		uint32_t n;

		if (stream_tell(s, c))
			return HEADER;
		n = stream_read(s, c);
		if (n)
			return n;
		if (s->tell & TELL_SHUTDOWN) {
			stream_end(s, c);
			return HEADER;
		}
	}
	return 0;
}

/* The stream that was served first goes last, so that none starves the others. */
static void rotate(struct vm_vsock *v)
{
	struct vm_stream *first = v->streams, **pp = &v->streams;

	if (!first || !first->next)
		return;
	while (*pp)
		pp = &(*pp)->next;
	*pp = first;
	v->streams = first->next;
	first->next = NULL;
}

static int pump(struct vm_vsock *v)
{
	struct vm_queue *q = &v->dev.queue[RX];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < VM_VSOCK_QUEUE && (r = vm_queue_next(q, &c)) > 0; i++) {
		uint32_t n;

		if (c.in_bytes <= HEADER)
			return -EPROTO;
		n = fill(v, &c);
		if (!n) {
			vm_queue_unget(q);
			r = 0;
			break;
		}
		vm_queue_done(q, &c, n);
		rotate(v);
	}
	vm_device_signal(&v->dev, RX);
	if (r > 0)
		vm_device_again(&v->dev, RX);
	return MIN(r, 0);
}

/* --- from the guest ------------------------------------------------------------------- */

static void on_request(struct vm_vsock *v, const struct virtio_vsock_hdr *h)
{
	uint32_t ports[2] = {h->dst_port, h->src_port};
	struct vm_stream *s;
	int pair[2];

	if (v->owner_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		refuse(v, h->dst_port, h->src_port);
		return;
	}
	s = stream_new(v, pair[0], OPEN);
	/* An owner that does not keep up is not waited for. */
	if (!s || fd_set_nonblock(v->owner_fd, 1) < 0 ||
		fd_send(v->owner_fd, ports, sizeof(ports), &pair[1], 1) < 0) {
		refuse(v, h->dst_port, h->src_port);
		if (s)
			stream_free(s);
	} else {
		s->host_port = h->dst_port;
		s->guest_port = h->src_port;
		s->peer_buffer = h->buf_alloc;
		s->peer_forwarded = h->fwd_cnt;
		s->tell = TELL_RESPONSE;
	}
	fd_close(&pair[1]);
}

static void on_response(struct vm_stream *s)
{
	static const uint8_t accepted[4];

	if (s->state != CONNECTING || send(s->fd, accepted, sizeof(accepted),
					      MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(accepted)) {
		stream_refuse(s);
		return;
	}
	s->state = OPEN;
}

static void on_shutdown(struct vm_stream *s, uint32_t flags)
{
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
		s->eof = true; /* nobody reads what would come */
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		s->guest_ends = true;
		stream_drain(s);
	}
	/* Both: over, once the reader has had all; a reset is the answer (5.10.6.6.1). */
	if (s->eof && s->guest_ends && !s->n_buffer)
		stream_refuse(s);
}

static void on_data(struct vm_stream *s, const struct vm_chain *c, uint32_t n)
{
	if (s->state != OPEN || s->guest_ends || n > VM_VSOCK_BUFFER - s->n_buffer) {
		stream_refuse(s); /* more than its credit */
		return;
	}
	if (!s->buffer)
		s->buffer = mem_new(VM_VSOCK_BUFFER);
	vm_iov_read(c->out, c->n_out, HEADER, s->buffer + s->n_buffer, n);
	s->n_buffer += n;
	stream_drain(s);
}

static void on_packet(
	struct vm_vsock *v, const struct vm_chain *c, const struct virtio_vsock_hdr *h)
{
	struct vm_stream *s = find(v, h->dst_port, h->src_port);

	if (!s) {
		if (h->op == VIRTIO_VSOCK_OP_REQUEST)
			on_request(v, h);
		else if (h->op != VIRTIO_VSOCK_OP_RST)
			refuse(v, h->dst_port, h->src_port);
		return;
	}
	s->peer_buffer = h->buf_alloc;
	s->peer_forwarded = h->fwd_cnt;
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		on_response(s);
		break;
	case VIRTIO_VSOCK_OP_RST:
		stream_free(s);
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		on_shutdown(s, h->flags);
		break;
	case VIRTIO_VSOCK_OP_RW:
		on_data(s, c, h->len);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		s->tell |= TELL_CREDIT;
		break;
	default: /* REQUEST among them: it is open already */
		stream_refuse(s);
		return;
	}
	s = find(v, h->dst_port, h->src_port);
	if (s)
		stream_wait(s);
}

static int from_guest(struct vm_vsock *v)
{
	struct vm_queue *q = &v->dev.queue[TX];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < VM_VSOCK_QUEUE && (r = vm_queue_next(q, &c)) > 0; i++) {
		struct virtio_vsock_hdr h;

		if (vm_iov_read(c.out, c.n_out, 0, &h, sizeof(h)) < sizeof(h) ||
			h.len > c.out_bytes - HEADER)
			return -EPROTO;
		if (h.src_cid == v->cid && h.dst_cid == VM_VSOCK_HOST_CID) {
			if (h.type == VIRTIO_VSOCK_TYPE_STREAM)
				on_packet(v, &c, &h);
			else if (h.op != VIRTIO_VSOCK_OP_RST)
				refuse(v, h.dst_port, h.src_port);
		}
		vm_queue_done(q, &c, 0);
	}
	vm_device_signal(&v->dev, TX);
	if (r > 0)
		vm_device_again(&v->dev, TX);
	return r < 0 ? r : pump(v);
}

static int vsock_notify(struct vm_device *d, unsigned int nr)
{
	struct vm_vsock *v = container_of(d, struct vm_vsock, dev);

	switch (nr) {
	case RX:
		return pump(v);
	case TX:
		return from_guest(v);
	default:
		return 0; /* events are told after a restore only */
	}
}

static void vsock_reset(struct vm_device *d)
{
	struct vm_vsock *v = container_of(d, struct vm_vsock, dev);

	while (v->streams)
		stream_free(v->streams);
	v->n_resets = 0;
}

/* --- from our side -------------------------------------------------------------------- */

static bool port_used(const struct vm_vsock *v, uint32_t port)
{
	for (const struct vm_stream *s = v->streams; s; s = s->next)
		if (s->state != HELLO && s->host_port == port)
			return true;
	return false;
}

static uint32_t new_port(struct vm_vsock *v)
{
	do
		v->next_port = v->next_port < FIRST_PORT || v->next_port == UINT32_MAX
				       ? FIRST_PORT
				       : v->next_port + 1;
	while (port_used(v, v->next_port));
	return v->next_port;
}

/* A client says which port it wants; false when it went away instead. */
static bool stream_hello(struct vm_stream *s)
{
	ssize_t n = recv(s->fd, s->hello + s->n_hello, sizeof(s->hello) - s->n_hello, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	s->n_hello += (size_t)n;
	if (s->n_hello < sizeof(s->hello))
		return true;
	s->guest_port = (uint32_t)s->hello[0] | (uint32_t)s->hello[1] << 8 |
			(uint32_t)s->hello[2] << 16 | (uint32_t)s->hello[3] << 24;
	s->host_port = new_port(s->v);
	s->state = CONNECTING;
	s->tell = TELL_REQUEST;
	stream_wait(s);
	return true;
}

static void stream_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_stream *s = container_of(w, struct vm_stream, watch);
	struct vm_vsock *v = s->v;

	if (s->state == HELLO) {
		if (!stream_hello(s))
			stream_free(s);
	} else if (s->state == CONNECTING && (events & (EPOLLHUP | EPOLLERR))) {
		stream_refuse(s); /* the client did not wait for the answer */
	} else {
		if (events & (EPOLLHUP | EPOLLERR)) {
			/* Told for ever: stop waiting; what is left to read is read by the pump. */
			s->hung_up = true;
			loop_remove(v->dev.loop, &s->watch);
			if (s->eof)
				s->tell |= TELL_SHUTDOWN;
		}
		s->readable |= !!(events & (EPOLLIN | EPOLLHUP | EPOLLERR));
		stream_drain(s);
		if (s->eof && s->guest_ends && !s->n_buffer)
			stream_refuse(s);
		else
			stream_wait(s);
	}
	vm_device_run(&v->dev, RX);
}

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct vm_vsock *v = container_of(w, struct vm_vsock, listen_watch);
	int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		stream_new(v, fd, HELLO);
}

static const struct vm_device_ops vsock_ops = {.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.n_queues = QUEUES,
	.queue_size = VM_VSOCK_QUEUE,
	.notify = vsock_notify,
	.reset = vsock_reset};

int vm_vsock_init(struct vm_vsock *v, const struct vm_vsock_ends *ends, const struct vm_memory *mem,
	struct loop *loop, struct err *e)
{
	*v = (struct vm_vsock){.cid = ends->cid,
		.listen_fd = ends->listen_fd,
		.owner_fd = ends->owner_fd,
		.listen_watch = {.fd = -1, .ready = listen_ready}};
	if (vm_device_init(&v->dev, &vsock_ops, mem, loop, e) < 0)
		goto fail;
	memcpy(v->dev.config, &v->cid, sizeof(v->cid));
	v->dev.config_bytes = sizeof(v->cid);
	if (v->listen_fd >= 0) {
		if (fd_set_nonblock(v->listen_fd, 1) < 0) {
			err_set(e, EBADF, "descriptor %d given for the guest's sockets is not open",
				v->listen_fd);
			goto fail;
		}
		v->listen_watch.fd = v->listen_fd;
		if (loop_add(loop, &v->listen_watch, EPOLLIN, e) < 0)
			goto fail;
	}
	return 0;
fail:
	vm_vsock_release(v);
	return -e->code;
}

void vm_vsock_release(struct vm_vsock *v)
{
	vm_device_release(&v->dev);
	if (v->listen_watch.fd >= 0)
		loop_remove(v->dev.loop, &v->listen_watch);
	fd_close(&v->listen_fd);
}
