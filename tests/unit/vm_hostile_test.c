/*
 * What a hostile guest may try against the transport, the queues, entropy and disks.  The
 * numbers are those of the list of thirty cases in the facts on micro-VMs.  Passing means: the
 * monitor lives, the work is bounded, the device says NEEDS_RESET or the request fails, and a
 * reset brings the device back.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/mem.h"
#include "vm/blk.h"
#include "vm/rng.h"
#include "vm_rig.h"

enum { W = VRING_DESC_F_WRITE, N = VRING_DESC_F_NEXT, I = VRING_DESC_F_INDIRECT };
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT    (1ull << VIRTIO_RING_F_EVENT_IDX)

static struct rig g;
static struct vm_rng rng;
static struct err e;

static void start_rng(uint64_t features)
{
	rig_init(&g);
	CHECK_INT(vm_rng_init(&rng, &g.mem, &g.loop, &e), 0);
	rig_start(&g, &rng.dev, features);
}

/* The device must work after a reset, whatever was done to it. */
static void works_after_reset(uint64_t features)
{
	uint8_t *data = rig_at(&g, RIG_DATA, 64), sum = 0;

	rig_start(&g, &rng.dev, features);
	memset(data, 0, 64);
	rig_desc(&g, 0, 0, RIG_DATA, 64, W, 0);
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK(!rig_broken(&g));
	CHECK_INT(rig_used(&g, 0), 1);
	CHECK_INT(rig_used_elem(&g, 0, 0).len, 64);
	for (int i = 0; i < 64; i++)
		sum |= data[i];
	CHECK(sum);
}

static void end_rng(void)
{
	vm_device_release(&rng.dev);
	rig_release(&g);
}

/* Posts head 0, kicks, and expects the device to have given up; then that it recovers. */
static void expect_break(uint64_t features)
{
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK(rig_broken(&g));
	CHECK_INT(rig_used(&g, 0), 0);
	CHECK(rig_get(&g, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	works_after_reset(features);
	end_rng();
}

TEST(case_01_chains_that_loop)
{
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W | N, 0);
	expect_break(0);
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W | N, 1);
	rig_desc(&g, 0, 1, RIG_DATA, 16, W | N, 0);
	expect_break(0);
	start_rng(INDIRECT);
	rig_desc(&g, 0, 0, rig_ring(0, 3), 32, I, 0);
	rig_desc_at(&g, rig_ring(0, 3), 0, RIG_DATA, 16, W | N, 1);
	rig_desc_at(&g, rig_ring(0, 3), 1, RIG_DATA, 16, W | N, 0);
	expect_break(INDIRECT);
}

TEST(case_02_indices_outside_the_ring)
{
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W | N, RIG_SIZE);
	expect_break(0);
	for (unsigned int head = RIG_SIZE; head <= 0xffff; head += 0x3fef) {
		start_rng(0);
		rig_post(&g, 0, (uint16_t)head);
		CHECK(rig_kick(&g, 0));
		CHECK(rig_broken(&g));
		works_after_reset(0);
		end_rng();
	}
}

TEST(case_03_addresses_that_are_no_memory)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {{RIG_MEMORY, 16}, {RIG_MEMORY - 8, 16}, {0xc0000000, 16}, {0xd0000000, 16},
		{0xfee00000, 16}, {0x100000000, 16}, {UINT64_MAX, 1}, {UINT64_MAX - 7, 16},
		{1ull << 63, 16}, {RIG_DATA, 0xffffffff}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start_rng(0);
		rig_desc(&g, 0, 0, bad[i].addr, bad[i].len, W, 0);
		expect_break(0);
	}
}

TEST(case_04_lengths)
{
	/* Nothing to write to: no request. */
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 0, W, 0);
	expect_break(0);
	/* Sixteen times 32 MiB is allowed; the sum of 130 times 63 MiB leaves 32 bits. */
	start_rng(INDIRECT);
	for (unsigned int i = 0; i < VM_CHAIN_PARTS_MAX; i++)
		rig_desc_at(&g, rig_ring(0, 3), i, 0, 63 << 20,
			W | (i < VM_CHAIN_PARTS_MAX - 1 ? N : 0), (uint16_t)(i + 1));
	rig_desc(&g, 0, 0, rig_ring(0, 3), VM_CHAIN_PARTS_MAX * 16, I, 0);
	expect_break(INDIRECT);
	/* What is read after what is written. */
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W | N, 1);
	rig_desc(&g, 0, 1, RIG_DATA, 16, 0, 0);
	expect_break(0);
}

TEST(case_05_available_index_jumps)
{
	static const uint16_t jumps[] = {RIG_SIZE + 1, 0x7fff, 0xffff, 0x8000};

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		start_rng(0);
		rig_desc(&g, 0, 0, RIG_DATA, 16, W, 0);
		*rig_avail_idx(&g, 0) = jumps[i];
		CHECK(rig_kick(&g, 0));
		CHECK(rig_broken(&g));
		/* Dead until reset: another kick does nothing. */
		*rig_avail_idx(&g, 0) = 1;
		CHECK(rig_kick(&g, 0));
		CHECK_INT(rig_used(&g, 0), 0);
		CHECK_INT(rng.dev.breaks, 1);
		works_after_reset(0);
		end_rng();
	}
}

TEST(case_06_same_head_many_times)
{
	start_rng(0);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W, 0);
	for (int i = 0; i < RIG_SIZE; i++)
		rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK(!rig_broken(&g));
	CHECK_INT(rig_used(&g, 0), RIG_SIZE);
	end_rng();
}

/* A processor of the guest's that rings, rewrites descriptors and resets, while the loop works. */
static void *other_processor(void *done)
{
	uint32_t seed = 1;

	for (int i = 0; i < 30000; i++) {
		seed = seed * 1664525 + 1013904223;
		rig_desc(&g, 0, seed >> 8 & 15, seed & 16 ? RIG_DATA : (uint64_t)seed << 8,
			seed >> 12 & 0xffff, (uint16_t)(seed >> 28 & 3),
			(uint16_t)(seed >> 20 & 31));
		*rig_avail_idx(&g, 0) = (uint16_t)(seed >> 5 & 15);
		rig_set(&g, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		rig_set(&g, VIRTIO_MMIO_INTERRUPT_ACK, 3);
		if (seed >> 24 == 7)
			rig_set(&g, VIRTIO_MMIO_STATUS, 0);
		if (rig_broken(&g) || !rig_get(&g, VIRTIO_MMIO_STATUS))
			rig_start(&g, &rng.dev, seed & 32 ? EVENT | INDIRECT : 0);
	}
	atomic_store((atomic_bool *)done, true);
	return NULL;
}

TEST(case_07_and_13_other_processors)
{
	atomic_bool done = false;
	pthread_t thread;

	start_rng(0);
	CHECK_INT(pthread_create(&thread, NULL, other_processor, &done), 0);
	while (!atomic_load(&done))
		loop_once(&g.loop, 1, &e);
	pthread_join(thread, NULL);
	CHECK(rng.dev.resets > 100);
	CHECK(rig_settle(&g));
	works_after_reset(0);
	end_rng();
}

TEST(case_08_queue_changed_after_it_is_on)
{
	start_rng(0);
	rig_place(&g, 0, 0, 0, 0, 0);
	rig_place(&g, 0, 8192, 1, 1, 1);
	CHECK_INT(rng.dev.queue[0].size, RIG_SIZE);
	CHECK_INT(rng.dev.queue[0].desc, rig_ring(0, 0));
	/* Off is allowed; on again, or changed while the driver runs, is not. */
	rig_set(&g, VIRTIO_MMIO_QUEUE_READY, 0);
	CHECK_INT(rig_get(&g, VIRTIO_MMIO_QUEUE_READY), 0);
	rig_place(&g, 0, 8, rig_ring(1, 0), rig_ring(1, 1), rig_ring(1, 2));
	CHECK_INT(rig_get(&g, VIRTIO_MMIO_QUEUE_READY), 0);
	CHECK_INT(rng.dev.queue[0].size, RIG_SIZE);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W, 0);
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK_INT(rig_used(&g, 0), 0);
	works_after_reset(0);
	end_rng();
}

TEST(case_09_and_10_rings_in_impossible_places)
{
	static const struct {
		uint32_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{0, 0x100000, 0x101000, 0x102000},
		{3, 0x100000, 0x101000, 0x102000},
		{32, 0x100000, 0x101000, 0x102000}, /* more than is offered */
		{129, 0x100000, 0x101000, 0x102000},
		{65535, 0x100000, 0x101000, 0x102000},
		{65536 + 16, 0x100000, 0x101000, 0x102000},
		{16, 0x100001, 0x101000, 0x102000},
		{16, 0x100000, 0x101001, 0x102000},
		{16, 0x100000, 0x101000, 0x102002},
		{16, 0xd0000000, 0x101000, 0x102000}, /* the device's own registers */
		{16, 0x100000, 0xd0000000, 0x102000},
		{16, 0x100000, 0x101000, 0xd0000000},
		{16, RIG_MEMORY - 16, 0x101000, 0x102000},
		{16, 0x100000, RIG_MEMORY - 4, 0x102000},
		{16, 0x100000, 0x101000, RIG_MEMORY - 4},
		{16, 0xfffffffffffffff0, 0xfffffffffffffffe, 0xfffffffffffffffc},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_init(&g);
		CHECK_INT(vm_rng_init(&rng, &g.mem, &g.loop, &e), 0);
		rig_negotiate(&g, &rng.dev, 0);
		rig_place(&g, 0, bad[i].size, bad[i].desc, bad[i].avail, bad[i].used);
		CHECK_INT(rig_get(&g, VIRTIO_MMIO_QUEUE_READY), 0);
		CHECK(rig_broken(&g));
		rig_set(&g, VIRTIO_MMIO_STATUS, 15);
		CHECK(rig_kick(&g, 0));
		works_after_reset(0);
		end_rng();
	}
	/* Rings on top of each other are the guest's own business: no harm to us. */
	rig_init(&g);
	CHECK_INT(vm_rng_init(&rng, &g.mem, &g.loop, &e), 0);
	rig_negotiate(&g, &rng.dev, EVENT);
	rig_place(&g, 0, RIG_SIZE, rig_ring(0, 0), rig_ring(0, 0), rig_ring(0, 0));
	rig_set(&g, VIRTIO_MMIO_STATUS, 15);
	memset(rig_at(&g, rig_ring(0, 0), 512), 1, 512);
	CHECK(rig_kick(&g, 0));
	works_after_reset(0);
	end_rng();
}

TEST(case_11_kicks_at_the_wrong_time)
{
	rig_init(&g);
	CHECK_INT(vm_rng_init(&rng, &g.mem, &g.loop, &e), 0);
	rig_negotiate(&g, &rng.dev, 0);
	CHECK(rig_kick(&g, 0));
	rig_set(&g, VIRTIO_MMIO_STATUS, 11 | VIRTIO_CONFIG_S_FAILED);
	CHECK(rig_kick(&g, 0));
	rig_set(&g, VIRTIO_MMIO_STATUS, 0);
	CHECK(rig_kick(&g, 0));
	works_after_reset(0);
	for (uint32_t i = 0; i < 100000; i++)
		rig_set(&g, VIRTIO_MMIO_QUEUE_NOTIFY, i % 3 ? 0 : i);
	CHECK(rig_settle(&g));
	CHECK(!rig_broken(&g));
	end_rng();
}

TEST(case_12_resets_by_the_thousand)
{
	start_rng(0);
	for (int i = 0; i < 1000; i++) {
		rig_desc(&g, 0, 0, RIG_DATA, 16, W, 0);
		for (int k = 0; k < RIG_SIZE; k++)
			rig_post(&g, 0, 0);
		rig_set(&g, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		rig_set(&g, VIRTIO_MMIO_STATUS, 0);
		CHECK(rig_settle(&g));
		CHECK_INT(rig_used(&g, 0), 0);
		rig_start(&g, &rng.dev, 0);
	}
	works_after_reset(0);
	end_rng();
}

TEST(case_14_features_never_offered)
{
	rig_init(&g);
	CHECK_INT(vm_rng_init(&rng, &g.mem, &g.loop, &e), 0);
	for (unsigned int bit = 0; bit < 64; bit++) {
		bool offered = rng.dev.features >> bit & 1;

		rig_negotiate(&g, &rng.dev, 1ull << bit);
		CHECK_INT(
			!!(rig_get(&g, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK), offered);
		rig_set(&g, VIRTIO_MMIO_STATUS, 15);
		CHECK_INT(rig_broken(&g), !offered);
	}
	for (uint32_t sel = 2; sel; sel <<= 1) {
		rig_set(&g, VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
		CHECK_INT(rig_get(&g, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	}
	/* Not after FEATURES_OK. */
	rig_start(&g, &rng.dev, 0);
	rig_set(&g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	rig_set(&g, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	CHECK_INT(rng.dev.driver_features, 1ull << VIRTIO_F_VERSION_1);
	/* Without VERSION_1, and without FEATURES_OK. */
	rig_set(&g, VIRTIO_MMIO_STATUS, 0);
	rig_set(&g, VIRTIO_MMIO_STATUS, 11);
	CHECK_INT(rig_get(&g, VIRTIO_MMIO_STATUS), 3);
	rig_set(&g, VIRTIO_MMIO_STATUS, 7);
	CHECK(rig_broken(&g));
	works_after_reset(0);
	end_rng();
}

TEST(case_15_accesses_of_every_width_at_every_offset)
{
	start_rng(0);
	for (int is_write = 0; is_write < 2; is_write++)
		for (uint64_t offset = 0; offset < 0x1000; offset++)
			for (size_t n = 1; n <= 8; n *= 2) {
				uint8_t data[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

				vm_mmio_access(&rng.dev, offset, data, n, is_write);
			}
	CHECK(rig_settle(&g));
	works_after_reset(0);
	end_rng();
}

TEST(case_16_indirect_tables)
{
	static const struct {
		uint64_t features, addr;
		uint32_t len;
		uint16_t flags, inner_flags;
	} bad[] = {
		{0, 0x103000, 16, I, W}, /* not negotiated */
		{INDIRECT, 0x103000, 16, I, I}, /* nested */
		{INDIRECT, 0x103000, 0, I, W},
		{INDIRECT, 0x103000, 24, I, W}, /* no multiple of 16 */
		{INDIRECT, 0x103000, 1 << 28, I, W},
		{INDIRECT, 0x103000, (VM_CHAIN_PARTS_MAX + 1) * 16, I, W},
		{INDIRECT, 0x103000, 16, I | N, W}, {INDIRECT, RIG_MEMORY - 8, 16, I, W},
		{INDIRECT, 0xd0000000, 16, I, W},
		{INDIRECT, 0x103000, 16, I, W | N}, /* next outside the table */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start_rng(bad[i].features);
		rig_desc(&g, 0, 0, bad[i].addr, bad[i].len, bad[i].flags, 0);
		rig_desc_at(&g, 0x103000, 0, RIG_DATA, 16, bad[i].inner_flags, 1);
		expect_break(bad[i].features);
	}
	start_rng(INDIRECT);
	rig_desc(&g, 0, 0, rig_ring(0, 3), 32, I | W, 0); /* WRITE means nothing here */
	rig_desc_at(&g, rig_ring(0, 3), 0, RIG_DATA, 8, W | N, 1);
	rig_desc_at(&g, rig_ring(0, 3), 1, RIG_DATA + 100, 8, W, 0);
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK(!rig_broken(&g));
	CHECK_INT(rig_used_elem(&g, 0, 0).len, 16);
	end_rng();
}

TEST(case_17_event_index_wraps)
{
	unsigned int signals = 0;

	start_rng(EVENT);
	rig_desc(&g, 0, 0, RIG_DATA, 16, W, 0);
	for (uint32_t i = 0; i < 70000; i++) {
		uint16_t *used_event = rig_at(&g, rig_ring(0, 1) + 4 + 2 * RIG_SIZE, 2);
		uint64_t count;

		*used_event = (uint16_t)i; /* an interrupt for each */
		rig_post(&g, 0, 0);
		vm_device_run(&rng.dev, 0);
		signals += read(rng.dev.irq_fd, &count, sizeof(count)) == sizeof(count);
		if (rig_broken(&g))
			break;
	}
	CHECK(!rig_broken(&g));
	CHECK_INT(rig_used(&g, 0), (uint16_t)70000);
	CHECK_INT(signals, 70000);
	/* An event index that lies: fewer interrupts, nothing else. */
	*(uint16_t *)rig_at(&g, rig_ring(0, 1) + 4 + 2 * RIG_SIZE, 2) = 0x1234;
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK(!rig_broken(&g));
	end_rng();
}

TEST(case_23_entropy_is_bounded)
{
	start_rng(0);
	for (int i = 0; i < RIG_SIZE; i++)
		rig_desc(&g, 0, (unsigned int)i, 0x400000, 32 << 20, W, 0);
	for (int i = 0; i < RIG_SIZE; i++)
		rig_post(&g, 0, (uint16_t)i);
	CHECK(rig_kick(&g, 0));
	CHECK_INT(rig_used(&g, 0), RIG_SIZE);
	CHECK_INT(rig_used_elem(&g, 0, 3).len, VM_RNG_REQUEST_MAX);
	end_rng();
}

/* --- disks --------------------------------------------------------------------------- */

static struct vm_blk blk;
static int disk_fd;
enum { HEADER = RIG_DATA, STATUS = RIG_DATA + 0x100, BUFFER = RIG_DATA + 0x1000, SECTORS = 64 };

static void start_blk(bool read_only, uint64_t features)
{
	rig_init(&g);
	disk_fd = memfd_create("disk", MFD_CLOEXEC);
	CHECK_INT(ftruncate(disk_fd, SECTORS * 512), 0);
	CHECK_INT(vm_blk_init(&blk,
			  &(struct vm_blk_disk){
				  .fd = dup(disk_fd), .read_only = read_only, .id = "disk0"},
			  &g.mem, &g.loop, &e),
		0);
	rig_start(&g, &blk.dev, features);
}

static void end_blk(void)
{
	vm_blk_release(&blk);
	fd_close(&disk_fd);
	rig_release(&g);
}

static void set_header(uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr h = {.type = type, .sector = sector};

	memcpy(rig_at(&g, HEADER, sizeof(h)), &h, sizeof(h));
	*(uint8_t *)rig_at(&g, STATUS, 1) = 0xee;
}

/* One request of the usual three parts; returns its status byte, 0xee for none. */
static int request(uint32_t type, uint64_t sector, uint32_t bytes)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	set_header(type, sector);
	rig_desc(&g, 0, 0, HEADER, 16, N, bytes ? 1 : 2);
	rig_desc(&g, 0, 1, BUFFER, bytes, N | (in ? W : 0), 2);
	rig_desc(&g, 0, 2, STATUS, 1, W, 0);
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	return *(uint8_t *)rig_at(&g, STATUS, 1);
}

TEST(disk_reads_and_writes)
{
	char *buffer;

	start_blk(false, 0);
	buffer = rig_at(&g, BUFFER, 4096);
	memset(buffer, 'x', 1024);
	CHECK_INT(request(VIRTIO_BLK_T_OUT, 3, 1024), VIRTIO_BLK_S_OK);
	memset(buffer, 0, 4096);
	CHECK_INT(request(VIRTIO_BLK_T_IN, 2, 2048), VIRTIO_BLK_S_OK);
	CHECK_INT(buffer[511], 0);
	CHECK_INT(buffer[512], 'x');
	CHECK_INT(buffer[1535], 'x');
	CHECK_INT(buffer[1536], 0);
	CHECK_INT(rig_used_elem(&g, 0, 1).len, 2049);
	CHECK_INT(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	CHECK_INT(request(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	CHECK_STR(buffer, "disk0");
	end_blk();
}

TEST(case_18_disk_requests_out_of_the_ordinary)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t bytes;
		int status;
	} odd[] = {
		{VIRTIO_BLK_T_IN, SECTORS, 512, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX, 512, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_IN, 0, 511, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_OUT, UINT64_MAX - 1, 1024, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_OUT, SECTORS, 512, VIRTIO_BLK_S_IOERR},
		{99, 0, 512, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_DISCARD, 0, 15, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 0, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 17 * 16, VIRTIO_BLK_S_IOERR},
	};

	start_blk(false, 0);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		CHECK_INT(request(odd[i].type, odd[i].sector, odd[i].bytes), odd[i].status);
		CHECK(!rig_broken(&g));
	}
	end_blk();
	start_blk(true, 0);
	CHECK_INT(request(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	CHECK_INT(request(VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	CHECK_INT(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	end_blk();
}

TEST(case_18_disk_ranges)
{
	static const struct {
		uint32_t type, n, flags;
		uint64_t sector;
		int status;
	} ranges[] = {
		{VIRTIO_BLK_T_DISCARD, SECTORS, 0, 0, VIRTIO_BLK_S_OK},
		{VIRTIO_BLK_T_DISCARD, 0, 0, 0, VIRTIO_BLK_S_OK},
		{VIRTIO_BLK_T_DISCARD, 1, 0, SECTORS, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, UINT32_MAX, 0, 0, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, 1, 0, UINT64_MAX, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, 1, 1, 0, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 8, VIRTIO_BLK_S_OK},
		{VIRTIO_BLK_T_WRITE_ZEROES, 1, 2, 0, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_WRITE_ZEROES, 2, 0, SECTORS - 1, VIRTIO_BLK_S_IOERR},
	};

	start_blk(false, 0);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct virtio_blk_discard_write_zeroes *r = rig_at(&g, BUFFER, sizeof(*r));

		*r = (struct virtio_blk_discard_write_zeroes){.sector = ranges[i].sector,
			.num_sectors = ranges[i].n,
			.flags = ranges[i].flags};
		CHECK_INT(request(ranges[i].type, 0, sizeof(*r)), ranges[i].status);
	}
	CHECK(!rig_broken(&g));
	end_blk();
}

TEST(case_18_disk_requests_without_a_shape)
{
	/* A header in sixteen parts of one byte is a header. */
	start_blk(false, INDIRECT);
	set_header(VIRTIO_BLK_T_FLUSH, 0);
	for (unsigned int i = 0; i < 16; i++)
		rig_desc_at(&g, rig_ring(0, 3), i, HEADER + i, 1, N, (uint16_t)(i + 1));
	rig_desc_at(&g, rig_ring(0, 3), 16, STATUS, 1, W, 0);
	rig_desc(&g, 0, 0, rig_ring(0, 3), 17 * 16, I, 0);
	rig_post(&g, 0, 0);
	CHECK(rig_kick(&g, 0));
	CHECK_INT(*(uint8_t *)rig_at(&g, STATUS, 1), VIRTIO_BLK_S_OK);
	end_blk();
	/* No status byte; a status that is only readable; half a header. */
	for (int shape = 0; shape < 3; shape++) {
		start_blk(false, 0);
		set_header(VIRTIO_BLK_T_FLUSH, 0);
		rig_desc(&g, 0, 0, HEADER, shape == 2 ? 15 : 16, shape ? N : 0, 1);
		rig_desc(&g, 0, 1, STATUS, 1, shape == 2 ? W : 0, 0);
		rig_post(&g, 0, 0);
		CHECK(rig_kick(&g, 0));
		CHECK(rig_broken(&g));
		rig_start(&g, &blk.dev, 0);
		CHECK_INT(request(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
		end_blk();
	}
}

TEST(case_19_disk_that_shrinks_and_flush_storm)
{
	char *buffer;

	start_blk(false, 0);
	buffer = rig_at(&g, BUFFER, 64);
	memset(buffer, 'x', 64);
	CHECK_INT(request(VIRTIO_BLK_T_GET_ID, 0, 3), VIRTIO_BLK_S_OK);
	CHECK(!memcmp(buffer, "disx", 4));
	CHECK_INT(ftruncate(disk_fd, 0), 0);
	CHECK_INT(request(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_IOERR);
	rig_desc(&g, 0, 0, HEADER, 16, N, 2);
	rig_desc(&g, 0, 2, STATUS, 1, W, 0);
	set_header(VIRTIO_BLK_T_FLUSH, 0);
	for (int i = 0; i < 1024; i++) {
		rig_post(&g, 0, 0);
		if (i % RIG_SIZE == RIG_SIZE - 1)
			CHECK(rig_kick(&g, 0));
	}
	CHECK(!rig_broken(&g));
	CHECK_INT(rig_used(&g, 0), 1026);
	end_blk();
}

TEST_MAIN
