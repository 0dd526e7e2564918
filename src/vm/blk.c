#include "vm/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum {
	SECTOR = 512,
	QUEUE_SIZE = 128,
	SEGMENTS_MAX = VM_CHAIN_PARTS_MAX - 2,
	RANGE_SECTORS_MAX = 1 << 22, /* 2 GiB in one discard */
	RANGES_MAX = 16,
	SERVED_MAX = 2 * QUEUE_SIZE, /* requests per ring of the bell: others get their turn */
};

/* Whether [sector, sector + n) lies on the disk. */
static bool on_disk(const struct vm_blk *b, uint64_t sector, uint64_t n)
{
	return sector <= b->sectors && n <= b->sectors - sector;
}

/* Moves all bytes of iov at offset; a file's end or an error is an I/O error for the guest. */
static uint8_t transfer(
	struct vm_blk *b, struct iovec *iov, unsigned int n_iov, uint64_t offset, bool write)
{
	while (n_iov) {
		ssize_t r = write ? pwritev(b->fd, iov, (int)n_iov, (off_t)offset)
				  : preadv(b->fd, iov, (int)n_iov, (off_t)offset);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return VIRTIO_BLK_S_IOERR;
		offset += (uint64_t)r;
		while (n_iov && (size_t)r >= iov->iov_len) {
			r -= (ssize_t)iov->iov_len;
			iov++;
			n_iov--;
		}
		if (n_iov) {
			iov->iov_base = (char *)iov->iov_base + r;
			iov->iov_len -= (size_t)r;
		}
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t do_read(
	struct vm_blk *b, const struct vm_chain *c, uint64_t sector, uint32_t *written)
{
	struct iovec iov[VM_CHAIN_PARTS_MAX];
	uint32_t n = c->in_bytes - 1; /* the last byte is the status */
	uint8_t status;

	if (n % SECTOR || !on_disk(b, sector, n / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	status = transfer(b, iov, vm_iov_slice(c->in, c->n_in, 0, n, iov), sector * SECTOR, false);
	if (status == VIRTIO_BLK_S_OK)
		*written += n;
	return status;
}

static uint8_t do_write(struct vm_blk *b, const struct vm_chain *c, uint64_t sector)
{
	struct iovec iov[VM_CHAIN_PARTS_MAX];
	uint32_t header = sizeof(struct virtio_blk_outhdr), n = c->out_bytes - header;

	if (b->read_only || n % SECTOR || !on_disk(b, sector, n / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	return transfer(
		b, iov, vm_iov_slice(c->out, c->n_out, header, n, iov), sector * SECTOR, true);
}

static uint8_t do_flush(struct vm_blk *b)
{
	return b->read_only || fdatasync(b->fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t punch(
	struct vm_blk *b, const struct virtio_blk_discard_write_zeroes *range, bool zeroes)
{
	uint64_t span[2] = {range->sector * SECTOR, (uint64_t)range->num_sectors * SECTOR};
	int mode = FALLOC_FL_KEEP_SIZE |
		   (zeroes && !(range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
				   ? FALLOC_FL_ZERO_RANGE
				   : FALLOC_FL_PUNCH_HOLE);
	int r;

	if (b->is_file)
		r = fallocate(b->fd, mode, (off_t)span[0], (off_t)span[1]);
	else
		r = ioctl(b->fd, zeroes ? BLKZEROOUT : BLKDISCARD, span);
	if (r == 0)
		return VIRTIO_BLK_S_OK;
	/* A discard is a wish; zeroes are a promise. */
	return zeroes || errno != EOPNOTSUPP ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t do_ranges(struct vm_blk *b, const struct vm_chain *c, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes range[RANGES_MAX];
	size_t bytes = c->out_bytes - sizeof(struct virtio_blk_outhdr),
	       n = bytes / sizeof(range[0]);

	if (b->read_only || !n || bytes % sizeof(range[0]) || n > RANGES_MAX)
		return VIRTIO_BLK_S_IOERR;
	vm_iov_read(c->out, c->n_out, sizeof(struct virtio_blk_outhdr), range, bytes);
	for (size_t i = 0; i < n; i++) {
		uint8_t status;

		if (range[i].flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
			return VIRTIO_BLK_S_UNSUPP;
		if (range[i].num_sectors > RANGE_SECTORS_MAX ||
			!on_disk(b, range[i].sector, range[i].num_sectors))
			return VIRTIO_BLK_S_IOERR;
		status = range[i].num_sectors ? punch(b, &range[i], zeroes) : VIRTIO_BLK_S_OK;
		if (status != VIRTIO_BLK_S_OK)
			return status;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t do_id(struct vm_blk *b, const struct vm_chain *c, uint32_t *written)
{
	size_t n = MIN(sizeof(b->id), (size_t)c->in_bytes - 1);

	*written += (uint32_t)vm_iov_write(c->in, c->n_in, 0, b->id, n);
	return VIRTIO_BLK_S_OK;
}

static uint8_t serve(struct vm_blk *b, const struct vm_chain *c, const struct virtio_blk_outhdr *h,
	uint32_t *written)
{
	switch (h->type) {
	case VIRTIO_BLK_T_IN:
		return do_read(b, c, h->sector, written);
	case VIRTIO_BLK_T_OUT:
		return do_write(b, c, h->sector);
	case VIRTIO_BLK_T_FLUSH:
		return do_flush(b);
	case VIRTIO_BLK_T_DISCARD:
		return do_ranges(b, c, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_ranges(b, c, true);
	case VIRTIO_BLK_T_GET_ID:
		return do_id(b, c, written);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static int blk_notify(struct vm_device *d, unsigned int nr)
{
	struct vm_blk *b = container_of(d, struct vm_blk, dev);
	struct vm_queue *q = &d->queue[nr];
	struct vm_chain c;
	int r = 0;

	for (unsigned int i = 0; i < SERVED_MAX && (r = vm_queue_next(q, &c)) > 0; i++) {
		struct virtio_blk_outhdr h;
		uint32_t written = 1;
		uint8_t status;

		/* Without a header or a place for the status there is nothing to answer with. */
		if (vm_iov_read(c.out, c.n_out, 0, &h, sizeof(h)) < sizeof(h) || !c.in_bytes)
			return -EPROTO;
		status = serve(b, &c, &h, &written);
		vm_iov_write(c.in, c.n_in, c.in_bytes - 1, &status, 1);
		vm_queue_done(q, &c, written);
	}
	vm_device_signal(d, nr);
	if (r > 0)
		vm_device_again(d, nr);
	return MIN(r, 0);
}

static const struct vm_device_ops blk_ops = {.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.n_queues = 1,
	.queue_size = QUEUE_SIZE,
	.notify = blk_notify};

static int find_size(struct vm_blk *b, struct err *e)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(b->fd, &st) < 0)
		return err_sys(e, "cannot look at the disk");
	b->is_file = S_ISREG(st.st_mode);
	bytes = (uint64_t)st.st_size;
	if (!b->is_file && (!S_ISBLK(st.st_mode) || ioctl(b->fd, BLKGETSIZE64, &bytes) < 0))
		return err_set(e, EINVAL, "the disk is neither a regular file nor a block device");
	b->sectors = bytes / SECTOR;
	if (!b->sectors)
		return err_set(e, EINVAL, "the disk is empty");
	return 0;
}

static void set_config(struct vm_blk *b)
{
	struct virtio_blk_config c = {.capacity = b->sectors,
		.seg_max = SEGMENTS_MAX,
		.blk_size = SECTOR,
		.max_discard_sectors = RANGE_SECTORS_MAX,
		.max_discard_seg = RANGES_MAX,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = RANGE_SECTORS_MAX,
		.max_write_zeroes_seg = RANGES_MAX,
		.write_zeroes_may_unmap = 1};

	_Static_assert(sizeof(c) <= VM_DEVICE_CONFIG_MAX, "configuration fits");
	memcpy(b->dev.config, &c, sizeof(c));
	b->dev.config_bytes = sizeof(c);
	b->dev.features |= 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			   1ull << VIRTIO_BLK_F_FLUSH;
	b->dev.features |=
		b->read_only ? 1ull << VIRTIO_BLK_F_RO
			     : 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

int vm_blk_init(struct vm_blk *b, const struct vm_blk_disk *disk, const struct vm_memory *mem,
	struct loop *loop, struct err *e)
{
	*b = (struct vm_blk){.fd = disk->fd, .read_only = disk->read_only};
	memcpy(b->id, disk->id, strnlen(disk->id, sizeof(b->id)));
	if (find_size(b, e) < 0 || vm_device_init(&b->dev, &blk_ops, mem, loop, e) < 0) {
		vm_blk_release(b);
		return -e->code;
	}
	set_config(b);
	return 0;
}

void vm_blk_release(struct vm_blk *b)
{
	vm_device_release(&b->dev);
	fd_close(&b->fd);
}
