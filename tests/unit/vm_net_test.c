/* Network and balloon; cases 20 and 24 of the hostile guest. */
#include "test.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "vm/balloon.h"
#include "vm/net.h"
#include "vm_rig.h"

enum { RX, TX, W = VRING_DESC_F_WRITE, N = VRING_DESC_F_NEXT };
enum { FRAME_AT = RIG_DATA, BUFFERS_AT = 0x400000 };

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static struct rig g;
static struct vm_net net;
static struct vm_balloon balloon;
static struct err e;
static int wire;

/* A socket that keeps messages apart stands for the tap. */
static void start(void)
{
	struct vm_net_link link = {0};
	int pair[2];

	rig_init(&g);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wire = pair[0];
	link.fd = pair[1];
	memcpy(link.mac, mac, sizeof(mac));
	CHECK_INT(vm_net_init(&net, &link, &g.mem, &g.loop, &e), 0);
	rig_start(&g, &net.dev, 0);
}

static void stop(void)
{
	vm_net_release(&net);
	close(wire);
	rig_release(&g);
}

static void send_frame(const uint8_t *source, uint32_t bytes)
{
	uint8_t *p = rig_at(&g, FRAME_AT, 80000);

	memset(p, 0, VM_NET_HEADER);
	memcpy(p + VM_NET_HEADER + 6, source, 6);
	rig_desc(&g, TX, 0, FRAME_AT, bytes, 0, 0);
	rig_post(&g, TX, 0);
	CHECK(rig_kick(&g, TX));
}

static void give_buffer(unsigned int i, uint32_t bytes)
{
	rig_desc(&g, RX, i, BUFFERS_AT + i * 4096, bytes, W, 0);
	rig_post(&g, RX, (uint16_t)i);
	CHECK(rig_kick(&g, RX));
}

TEST(frames_go_out_and_come_in)
{
	char frame[2000] = "";
	const uint8_t *p;

	start();
	send_frame(mac, VM_NET_HEADER + 60);
	CHECK_INT(recv(wire, frame, sizeof(frame), MSG_DONTWAIT), VM_NET_HEADER + 60);
	CHECK(!memcmp(frame + VM_NET_HEADER + 6, mac, 6));
	/* A frame waits until there is a buffer for it. */
	memset(frame, 0, VM_NET_HEADER);
	memset(frame + VM_NET_HEADER, 'f', 100);
	CHECK_INT(send(wire, frame, VM_NET_HEADER + 100, 0), VM_NET_HEADER + 100);
	CHECK(rig_settle(&g));
	CHECK_INT(rig_used(&g, RX), 0);
	give_buffer(0, 2048);
	CHECK_INT(rig_used(&g, RX), 1);
	CHECK_INT(rig_used_elem(&g, RX, 0).len, VM_NET_HEADER + 100);
	p = rig_at(&g, BUFFERS_AT, 200);
	CHECK_INT(p[10], 1);
	CHECK_INT(p[VM_NET_HEADER], 'f');
	/* And the next when another comes. */
	give_buffer(1, 2048);
	CHECK_INT(send(wire, frame, VM_NET_HEADER + 50, 0), VM_NET_HEADER + 50);
	CHECK(rig_settle(&g));
	CHECK_INT(rig_used(&g, RX), 2);
	stop();
}

TEST(case_20_frames_of_impossible_sizes)
{
	static const uint32_t sizes[] = {1, VM_NET_HEADER - 1, VM_NET_HEADER, VM_NET_HEADER + 13,
		VM_NET_HEADER + VM_NET_FRAME_MAX + 1, 70000};
	char frame[100];

	start();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		send_frame(mac, sizes[i]);
	CHECK_INT(net.dropped, ARRAY_SIZE(sizes));
	CHECK_INT(recv(wire, frame, sizeof(frame), MSG_DONTWAIT), -1);
	CHECK(!rig_broken(&g));
	send_frame(mac, VM_NET_HEADER + 60);
	CHECK_INT(recv(wire, frame, sizeof(frame), MSG_DONTWAIT), VM_NET_HEADER + 60);
	stop();
}

TEST(case_20_foreign_addresses_are_dropped)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 2};
	char frame[100];

	start();
	send_frame(other, VM_NET_HEADER + 60);
	CHECK_INT(recv(wire, frame, sizeof(frame), MSG_DONTWAIT), -1);
	CHECK_INT(net.dropped, 1);
	stop();
}

TEST(case_20_receive_buffers_too_small)
{
	static const uint32_t sizes[] = {1, VM_NET_HEADER};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		start();
		give_buffer(0, sizes[i]);
		CHECK(rig_broken(&g));
		rig_start(&g, &net.dev, 0);
		give_buffer(0, 2048);
		CHECK(!rig_broken(&g));
		stop();
	}
}

TEST(case_20_nobody_takes_the_frames)
{
	start();
	for (int i = 0; i < 5000; i++)
		send_frame(mac, VM_NET_HEADER + 1500);
	CHECK(net.dropped > 0);
	CHECK(!rig_broken(&g));
	/* And a link that goes away does not keep the loop busy. */
	shutdown(wire, SHUT_RDWR);
	CHECK(rig_settle(&g));
	stop();
}

enum { INFLATE, DEFLATE, REPORTING };

static void start_balloon(void)
{
	rig_init(&g);
	CHECK_INT(vm_balloon_init(&balloon, &g.mem, &g.loop, &e), 0);
	rig_start(&g, &balloon.dev, 0);
}

static void stop_balloon(void)
{
	vm_device_release(&balloon.dev);
	rig_release(&g);
}

static void inflate(const uint32_t *pfn, uint32_t bytes)
{
	memcpy(rig_at(&g, RIG_DATA, bytes), pfn, bytes);
	rig_desc(&g, INFLATE, 0, RIG_DATA, bytes, 0, 0);
	rig_post(&g, INFLATE, 0);
	CHECK(rig_kick(&g, INFLATE));
}

TEST(memory_goes_back)
{
	uint32_t pfn[2] = {0x1000, 0x1001}, four = 4;
	uint8_t *p;

	start_balloon();
	p = rig_at(&g, 0x1000000, 3 * 4096);
	memset(p, 'x', 3 * 4096);
	inflate(pfn, sizeof(pfn));
	CHECK_INT(balloon.returned_bytes, 8192);
	CHECK_INT(p[0] | p[8191], 0);
	CHECK_INT(p[8192], 'x');
	/* Reported: only whole pages, the rest is kept. */
	memset(p, 'x', 3 * 4096);
	rig_desc(&g, REPORTING, 0, 0x1000000 + 100, 2 * 4096, W, 0);
	rig_post(&g, REPORTING, 0);
	CHECK(rig_kick(&g, REPORTING));
	CHECK_INT(p[0], 'x');
	CHECK_INT(p[4096], 0);
	CHECK_INT(p[8192], 'x');
	/* What we ask for, and what the guest says. */
	vm_balloon_set(&balloon, 7);
	CHECK_INT(rig_get(&g, VIRTIO_MMIO_CONFIG), 7);
	CHECK(rig_get(&g, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	vm_mmio_access(&balloon.dev, VIRTIO_MMIO_CONFIG + 4, (uint8_t *)&four, 4, true);
	CHECK_INT(vm_balloon_actual(&balloon), 4);
	vm_mmio_access(&balloon.dev, VIRTIO_MMIO_CONFIG, (uint8_t *)&four, 4, true);
	CHECK_INT(rig_get(&g, VIRTIO_MMIO_CONFIG), 7); /* ours to write */
	stop_balloon();
}

TEST(case_24_pages_that_are_none)
{
	static const uint32_t bad[] = {RIG_MEMORY / 4096, 0xc0000, 0xd0000, UINT32_MAX};
	uint32_t many[300] = {0}, twice[2] = {0, 0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start_balloon();
		inflate(&bad[i], sizeof(bad[i]));
		CHECK(rig_broken(&g));
		CHECK_INT(balloon.returned_bytes, 0);
		stop_balloon();
	}
	start_balloon();
	inflate(many, sizeof(many));
	CHECK(rig_broken(&g));
	stop_balloon();
	start_balloon();
	inflate(many, 5);
	CHECK(rig_broken(&g));
	stop_balloon();
	/* Its own first page, twice: its own loss. */
	start_balloon();
	inflate(twice, sizeof(twice));
	CHECK(!rig_broken(&g));
	stop_balloon();
}

TEST_MAIN
