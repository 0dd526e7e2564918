/* Streams between guest and host, and case 21 of the hostile guest. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/mem.h"
#include "vm/vsock.h"
#include "vm_rig.h"

enum { RX, TX, W = VRING_DESC_F_WRITE, N = VRING_DESC_F_NEXT };
enum { RX_BUFFERS = 8, RX_BYTES = 4096, RX_AT = 0x400000, TX_AT = 0x600000 };
enum { HEADER = sizeof(struct virtio_vsock_hdr), AGENT_PORT = 1024, GUEST_PORT = 5000 };

static struct rig g;
static struct vm_vsock v;
static struct err e;
static int owner; /* our end */
static int owner_vmm; /* the monitor's */
static int listener;
static struct sockaddr_un address;
static uint16_t seen; /* of the RX used ring */

static void give_buffers(unsigned int n)
{
	while (n--) {
		unsigned int i = g.avail[RX] % RX_BUFFERS;

		rig_desc(&g, RX, i, RX_AT + i * RX_BYTES, RX_BYTES, W, 0);
		rig_post(&g, RX, (uint16_t)i);
	}
}

static void start(void)
{
	int pair[2];
	socklen_t n = sizeof(address);

	rig_init(&g);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	owner = pair[0];
	owner_vmm = pair[1];
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* An address that the kernel chooses: no file to clean up. */
	CHECK_INT(bind(listener, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)), 0);
	getsockname(listener, (struct sockaddr *)&address, &n);
	CHECK_INT(listen(listener, 300), 0);
	CHECK_INT(vm_vsock_init(
			  &v, &(struct vm_vsock_ends){3, listener, owner_vmm}, &g.mem, &g.loop, &e),
		0);
	rig_start(&g, &v.dev, 0);
	seen = 0;
	give_buffers(RX_BUFFERS);
	CHECK(rig_kick(&g, RX));
}

static void stop(void)
{
	vm_vsock_release(&v);
	close(owner);
	close(owner_vmm);
	rig_release(&g);
}

static struct virtio_vsock_hdr header(
	uint16_t op, uint32_t host_port, uint32_t guest_port, uint32_t len)
{
	return (struct virtio_vsock_hdr){.src_cid = 3,
		.dst_cid = 2,
		.src_port = guest_port,
		.dst_port = host_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1 << 16};
}

/* The guest sends a packet; data may be NULL for zeros. */
static void send_packet(struct virtio_vsock_hdr h, const void *data, uint32_t bytes)
{
	memcpy(rig_at(&g, TX_AT, HEADER), &h, HEADER);
	if (data)
		memcpy(rig_at(&g, TX_AT + HEADER, bytes), data, bytes);
	rig_desc(&g, TX, 0, TX_AT, HEADER, bytes ? N : 0, 1);
	rig_desc(&g, TX, 1, TX_AT + HEADER, bytes, 0, 0);
	rig_post(&g, TX, 0);
	CHECK(rig_kick(&g, TX));
}

/* The next packet that the guest received; its buffer is given back. */
static bool receive(struct virtio_vsock_hdr *h, char *data)
{
	struct vring_used_elem el;
	const char *p;

	if (rig_used(&g, RX) == seen)
		return false;
	el = rig_used_elem(&g, RX, seen++);
	p = rig_at(&g, RX_AT + el.id * RX_BYTES, RX_BYTES);
	memcpy(h, p, HEADER);
	CHECK_INT(el.len, HEADER + h->len);
	if (data)
		memcpy(data, p + HEADER, h->len);
	give_buffers(1);
	CHECK(rig_kick(&g, RX));
	return true;
}

static int expect(uint16_t op, struct virtio_vsock_hdr *h, char *data)
{
	if (!receive(h, data)) {
		printf("# nothing received, expected operation %d\n", op);
		test_failures++;
		return -1;
	}
	CHECK_INT(h->op, op);
	return 0;
}

/* The guest calls the agent's port of the host; returns the owner's new descriptor. */
static int guest_calls(uint32_t guest_port)
{
	struct virtio_vsock_hdr h;
	uint32_t ports[2] = {0};
	size_t n = 1;
	int fd = -1;

	send_packet(header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, guest_port, 0), NULL, 0);
	expect(VIRTIO_VSOCK_OP_RESPONSE, &h, NULL);
	CHECK_INT(h.dst_port, guest_port);
	CHECK_INT(h.buf_alloc, VM_VSOCK_BUFFER);
	CHECK_INT(fd_recv(owner, ports, sizeof(ports), &fd, &n), sizeof(ports));
	CHECK_INT(ports[0], AGENT_PORT);
	CHECK_INT(ports[1], guest_port);
	return fd;
}

TEST(guest_calls_host)
{
	struct virtio_vsock_hdr h;
	char data[RX_BYTES] = "";
	int fd;

	start();
	fd = guest_calls(GUEST_PORT);
	send_packet(header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, 5), "hello", 5);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), 5);
	CHECK(!memcmp(data, "hello", 5));
	CHECK_INT(send(fd, "world", 5, 0), 5);
	CHECK(rig_settle(&g));
	expect(VIRTIO_VSOCK_OP_RW, &h, data);
	CHECK_INT(h.len, 5);
	CHECK(!memcmp(data, "world", 5));
	CHECK_INT(h.fwd_cnt, 5);
	/* Half-close by the host, then by the guest: a reset ends it. */
	shutdown(fd, SHUT_WR);
	CHECK(rig_settle(&g));
	expect(VIRTIO_VSOCK_OP_SHUTDOWN, &h, NULL);
	CHECK_INT(h.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_packet(header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, 4), "last", 4);
	h = header(VIRTIO_VSOCK_OP_SHUTDOWN, AGENT_PORT, GUEST_PORT, 0);
	h.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	send_packet(h, NULL, 0);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), 4);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), 0);
	expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	CHECK_INT(v.n_streams, 0);
	close(fd);
	stop();
}

static int client(uint32_t port)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t hello[4] = {(uint8_t)port, (uint8_t)(port >> 8), 0, 0};

	CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + 6), 0);
	CHECK_INT(send(fd, hello, sizeof(hello), 0), 4);
	CHECK(rig_settle(&g));
	return fd;
}

TEST(host_calls_guest)
{
	struct virtio_vsock_hdr h, r;
	char data[RX_BYTES];
	int fd;

	start();
	fd = client(GUEST_PORT);
	expect(VIRTIO_VSOCK_OP_REQUEST, &h, NULL);
	CHECK_INT(h.dst_port, GUEST_PORT);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), -1);
	send_packet(header(VIRTIO_VSOCK_OP_RESPONSE, h.src_port, GUEST_PORT, 0), NULL, 0);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), 4);
	CHECK_INT(send(fd, "abc", 3, 0), 3);
	CHECK(rig_settle(&g));
	expect(VIRTIO_VSOCK_OP_RW, &r, data);
	CHECK(!memcmp(data, "abc", 3));
	/* The client goes: what it sent last still arrives before the end. */
	CHECK_INT(send(fd, "xyz", 3, 0), 3);
	close(fd);
	CHECK(rig_settle(&g));
	expect(VIRTIO_VSOCK_OP_RW, &r, data);
	CHECK(!memcmp(data, "xyz", 3));
	expect(VIRTIO_VSOCK_OP_SHUTDOWN, &r, NULL);
	CHECK_INT(r.flags, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
	CHECK_INT(v.n_streams, 0);
	/* Refused: end of file. */
	fd = client(GUEST_PORT + 1);
	expect(VIRTIO_VSOCK_OP_REQUEST, &h, NULL);
	send_packet(header(VIRTIO_VSOCK_OP_RST, h.src_port, GUEST_PORT + 1, 0), NULL, 0);
	CHECK_INT(recv(fd, data, sizeof(data), MSG_DONTWAIT), 0);
	close(fd);
	/* A client that loses patience. */
	fd = client(GUEST_PORT + 2);
	expect(VIRTIO_VSOCK_OP_REQUEST, &h, NULL);
	close(fd);
	CHECK(rig_settle(&g));
	expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	CHECK_INT(v.n_streams, 0);
	stop();
}

TEST(host_respects_the_guests_credit)
{
	AUTO_FREE char *much = mem_new(100000);
	struct virtio_vsock_hdr h;
	uint32_t got = 0;
	int fd;

	start();
	fd = guest_calls(GUEST_PORT);
	h = header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, AGENT_PORT, GUEST_PORT, 0);
	h.buf_alloc = 10000;
	send_packet(h, NULL, 0);
	CHECK(send(fd, much, 100000, MSG_DONTWAIT) > 20000);
	CHECK(rig_settle(&g));
	while (receive(&h, NULL))
		got += h.len;
	CHECK_INT(got, 10000);
	h = header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, AGENT_PORT, GUEST_PORT, 0);
	h.buf_alloc = 10000;
	h.fwd_cnt = 7000;
	send_packet(h, NULL, 0);
	while (receive(&h, NULL))
		got += h.len;
	CHECK_INT(got, 17000);
	/* Credit that counts backwards is no credit. */
	h = header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, AGENT_PORT, GUEST_PORT, 0);
	h.buf_alloc = 0;
	h.fwd_cnt = 0x80000000;
	send_packet(h, NULL, 0);
	CHECK(!receive(&h, NULL));
	close(fd);
	stop();
}

TEST(slow_reader_is_bounded_and_loses_nothing)
{
	AUTO_FREE char *out = mem_new(1 << 20);
	char data[2048], *p = out;
	struct virtio_vsock_hdr h;
	uint32_t sent = 0, told = 0, n;
	ssize_t r;
	int fd;

	start();
	fd = guest_calls(GUEST_PORT);
	/* As much as credit allows, the reader asleep; then it wakes up. */
	for (int round = 0; round < 2000 && sent < 600000; round++) {
		while (sent - told + sizeof(data) <= VM_VSOCK_BUFFER) {
			for (n = 0; n < sizeof(data); n++)
				data[n] = (char)(sent + n);
			send_packet(
				header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, sizeof(data)),
				data, sizeof(data));
			sent += sizeof(data);
		}
		r = recv(fd, p, 30000, MSG_DONTWAIT);
		p += r > 0 ? r : 0;
		CHECK(rig_settle(&g));
		while (receive(&h, NULL))
			told = h.fwd_cnt;
	}
	CHECK(sent >= 600000);
	while ((r = recv(fd, p, 30000, MSG_DONTWAIT)) > 0) {
		p += r;
		CHECK(rig_settle(&g));
	}
	CHECK_INT(p - out, sent);
	for (n = 0; n < sent; n++)
		if (out[n] != (char)n)
			break;
	CHECK_INT(n, sent);
	close(fd);
	stop();
}

TEST(case_21_lengths)
{
	struct virtio_vsock_hdr h;
	int fd;

	/* More announced than there is. */
	start();
	fd = guest_calls(GUEST_PORT);
	send_packet(header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, 100), "x", 1);
	CHECK(rig_broken(&g));
	close(fd);
	stop();
	/* Half a header; a header in a writable part; a receive buffer without room. */
	for (int shape = 0; shape < 3; shape++) {
		start();
		if (shape < 2) {
			h = header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, GUEST_PORT, 0);
			memcpy(rig_at(&g, TX_AT, HEADER), &h, HEADER);
			rig_desc(&g, TX, 0, TX_AT, shape ? HEADER : HEADER - 1, shape ? W : 0, 0);
			rig_post(&g, TX, 0);
			CHECK(rig_kick(&g, TX));
		} else {
			rig_start(&g, &v.dev, 0);
			rig_desc(&g, RX, 0, RX_AT, HEADER, W, 0);
			rig_post(&g, RX, 0);
			CHECK(rig_kick(&g, RX));
		}
		CHECK(rig_broken(&g));
		stop();
	}
	/* More than the credit: that stream is reset, the device lives. */
	start();
	fd = guest_calls(GUEST_PORT);
	for (int i = 0; i < 4000 && v.n_streams; i++)
		send_packet(header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, 4096), NULL, 4096);
	CHECK_INT(v.n_streams, 0);
	CHECK(!rig_broken(&g));
	close(fd);
	stop();
}

TEST(case_21_strangers)
{
	struct virtio_vsock_hdr h;
	int fd;

	start();
	/* Wrong addresses are ignored, unknown streams and types are reset, resets are not. */
	h = header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, GUEST_PORT, 0);
	h.src_cid = 4;
	send_packet(h, NULL, 0);
	h = header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, GUEST_PORT, 0);
	h.dst_cid = 1;
	send_packet(h, NULL, 0);
	send_packet(header(VIRTIO_VSOCK_OP_RST, AGENT_PORT, GUEST_PORT, 0), NULL, 0);
	CHECK(!receive(&h, NULL));
	for (uint16_t op = 2; op < 10; op++) {
		if (op == VIRTIO_VSOCK_OP_RST)
			continue;
		send_packet(header(op, AGENT_PORT, GUEST_PORT, 0), NULL, 0);
		expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	}
	h = header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, GUEST_PORT, 0);
	h.type = 2;
	send_packet(h, NULL, 0);
	expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	/* A second request for an open stream, data after the end. */
	fd = guest_calls(GUEST_PORT);
	send_packet(header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, GUEST_PORT, 0), NULL, 0);
	expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	close(fd);
	fd = guest_calls(GUEST_PORT);
	h = header(VIRTIO_VSOCK_OP_SHUTDOWN, AGENT_PORT, GUEST_PORT, 0);
	h.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	send_packet(h, NULL, 0);
	send_packet(header(VIRTIO_VSOCK_OP_RW, AGENT_PORT, GUEST_PORT, 1), "x", 1);
	expect(VIRTIO_VSOCK_OP_RST, &h, NULL);
	CHECK_INT(v.n_streams, 0);
	close(fd);
	CHECK(!rig_broken(&g));
	stop();
}

TEST(case_21_requests_without_end)
{
	int kept[VM_VSOCK_STREAMS_MAX];
	struct virtio_vsock_hdr h;
	unsigned int resets = 0, n_kept = 0;

	start();
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t ports[2];
		size_t n = 1;
		int fd = -1;

		send_packet(header(VIRTIO_VSOCK_OP_REQUEST, AGENT_PORT, 10000 + i, 0), NULL, 0);
		if (recv(owner, ports, sizeof(ports), MSG_PEEK | MSG_DONTWAIT) > 0 &&
			fd_recv(owner, ports, sizeof(ports), &fd, &n) > 0 &&
			n_kept < VM_VSOCK_STREAMS_MAX)
			kept[n_kept++] = fd;
		while (receive(&h, NULL))
			resets += h.op == VIRTIO_VSOCK_OP_RST;
	}
	CHECK_INT(n_kept, VM_VSOCK_STREAMS_MAX);
	CHECK_INT(v.n_streams, VM_VSOCK_STREAMS_MAX);
	CHECK_INT(resets, 5000 - VM_VSOCK_STREAMS_MAX);
	/* A reset of the device closes them all. */
	rig_set(&g, VIRTIO_MMIO_STATUS, 0);
	CHECK_INT(v.n_streams, 0);
	for (unsigned int i = 0; i < n_kept; i++) {
		char c;

		CHECK_INT(recv(kept[i], &c, 1, MSG_DONTWAIT), 0);
		close(kept[i]);
	}
	rig_start(&g, &v.dev, 0);
	seen = 0;
	give_buffers(RX_BUFFERS);
	close(guest_calls(GUEST_PORT));
	stop();
}

TEST_MAIN
