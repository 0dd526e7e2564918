/*
 * The devices under a guest that does anything: the input is a program of register accesses and
 * writes into guest memory, and the memory itself.
 */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vm/balloon.h"
#include "vm/blk.h"
#include "vm/mmio.h"
#include "vm/net.h"
#include "vm/rng.h"
#include "vm/vsock.h"

enum { RINGS = 0x100000, RINGS_BYTES = 0x8000, DEVICES = 5, STEPS_MAX = 400 };

static struct vm_memory mem;
static struct loop loop;
static struct vm_rng rng;
static struct vm_blk blk;
static struct vm_vsock vsock;
static struct vm_net net;
static struct vm_balloon balloon;
static struct vm_device *devices[DEVICES];
static int owner[2];

static void once(void)
{
	struct err e;
	int disk, link[2];

	if (devices[0])
		return;
	disk = memfd_create("disk", MFD_CLOEXEC);
	if (vm_memory_init(&mem, 64 << 20, &e) < 0 || loop_init(&loop, &e) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, owner) < 0 ||
		ftruncate(disk, 64 * 512) < 0 || vm_rng_init(&rng, &mem, &loop, &e) < 0 ||
		vm_blk_init(&blk, &(struct vm_blk_disk){.fd = disk, .id = "fuzz"}, &mem, &loop,
			&e) < 0 ||
		vm_vsock_init(&vsock, &(struct vm_vsock_ends){3, -1, owner[0]}, &mem, &loop, &e) <
			0)
		abort();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0 ||
		vm_net_init(&net, &(struct vm_net_link){.fd = link[0], .mac = {2}}, &mem, &loop,
			&e) < 0 ||
		vm_balloon_init(&balloon, &mem, &loop, &e) < 0)
		abort();
	devices[3] = &net.dev;
	devices[4] = &balloon.dev;
	devices[0] = &rng.dev;
	devices[1] = &blk.dev;
	devices[2] = &vsock.dev;
}

static void set(struct vm_device *d, uint64_t reg, uint32_t v)
{
	vm_mmio_access(d, reg, (uint8_t *)&v, sizeof(v), true);
}

/* Most inputs would never get past the negotiation: they start behind it. */
static void start(struct vm_device *d, uint8_t features)
{
	set(d, 0x70, 0);
	set(d, 0x70, 3);
	set(d, 0x24, 0);
	set(d, 0x20, features & 1 ? 3u << 28 : 0);
	set(d, 0x24, 1);
	set(d, 0x20, 1);
	set(d, 0x70, 11);
	for (uint32_t i = 0; i < d->ops->n_queues; i++) {
		set(d, 0x30, i);
		set(d, 0x38, 16);
		set(d, 0x80, RINGS + i * 0x2000);
		set(d, 0x90, RINGS + i * 0x2000 + 0x400);
		set(d, 0xa0, RINGS + i * 0x2000 + 0x800);
		set(d, 0x44, 1);
	}
	set(d, 0x70, 15);
}

/* The owner hangs up on every call. */
static void refuse_calls(void)
{
	struct pollfd p = {.fd = owner[1], .events = POLLIN};

	while (poll(&p, 1, 0) == 1) {
		uint32_t ports[2];
		size_t n_fds = 1;
		int fd = -1;

		fd_recv(owner[1], ports, sizeof(ports), &fd, &n_fds);
		fd_close(&fd);
	}
}

static void settle(void)
{
	struct err e;

	/* Work that does not end by itself is a finding. */
	for (int i = 0; loop_once(&loop, 0, &e) > 0; i++)
		if (i > 5000)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct vm_device *d;

	once();
	if (n < 2)
		return 0;
	d = devices[p[0] % DEVICES];
	memset(vm_memory_at(&mem, RINGS, RINGS_BYTES), 0, RINGS_BYTES);
	start(d, p[1]);
	p += 2;
	n -= 2;
	for (int i = 0; n >= 8 && i < STEPS_MAX; i++, p += 8, n -= 8) {
		uint16_t at;

		memcpy(&at, p + 1, sizeof(at));
		if (p[0] & 1) { /* memory: four bytes somewhere near the rings */
			memcpy(vm_memory_at(&mem, RINGS + at % (RINGS_BYTES - 4), 4), p + 4, 4);
		} else {
			uint8_t data[8] = {p[4], p[5], p[6], p[7]};

			vm_mmio_access(d, at % 0x200, data, 1u << (p[0] >> 1 & 3), p[0] & 0x80);
		}
		if (p[0] & 0x40)
			set(d, 0x50, at % 4);
		if (p[0] & 0x20)
			settle();
	}
	settle();
	refuse_calls();
	settle();
	set(d, 0x70, 0);
	return 0;
}
