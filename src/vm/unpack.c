/* The decompressors that Linux images and Debian packages use, bounded, behind one call. */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "vm/kernel.h"

enum {
	CHUNK_BYTES = 1 << 20,
	LZ4_BLOCK_BYTES = 8 << 20, /* of the legacy frame */
	LZ4_LEGACY_MAGIC = 0x184c2102,
	XZ_MEMORY_MAX = 256 << 20,
};

static int damaged(struct err *e, const char *format)
{
	return err_set(e, EBADMSG, "%s data is damaged or cut short", format);
}

static int too_large(struct err *e, size_t max_bytes)
{
	return err_set(e, EFBIG, "unpacks to more than %zu bytes", max_bytes);
}

static int unpack_none(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e)
{
	if (n > max_bytes)
		return too_large(e, max_bytes);
	buf_add(ret, p, n);
	return 0;
}

static int unpack_gzip(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e)
{
	AUTO_FREE uint8_t *out = mem_new(CHUNK_BYTES);
	z_stream z = {.next_in = (uint8_t *)p, .avail_in = (uInt)n};
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return err_set(e, ENOMEM, "cannot start unpacking gzip data");
	do {
		z.next_out = out;
		z.avail_out = CHUNK_BYTES;
		r = inflate(&z, Z_NO_FLUSH);
		if (r == Z_OK || r == Z_STREAM_END)
			buf_add(ret, out, CHUNK_BYTES - z.avail_out);
	} while (r == Z_OK && ret->n <= max_bytes);
	inflateEnd(&z);
	if (ret->n > max_bytes)
		return too_large(e, max_bytes);
	return r == Z_STREAM_END ? 0 : damaged(e, "gzip");
}

static int unpack_xz(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e)
{
	AUTO_FREE uint8_t *out = mem_new(CHUNK_BYTES);
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret r;

	if (lzma_stream_decoder(&s, XZ_MEMORY_MAX, 0) != LZMA_OK)
		return err_set(e, ENOMEM, "cannot start unpacking xz data");
	s.next_in = p;
	s.avail_in = n;
	do {
		s.next_out = out;
		s.avail_out = CHUNK_BYTES;
		r = lzma_code(&s, LZMA_FINISH);
		if (r == LZMA_OK || r == LZMA_STREAM_END)
			buf_add(ret, out, CHUNK_BYTES - s.avail_out);
	} while (r == LZMA_OK && ret->n <= max_bytes);
	lzma_end(&s);
	if (ret->n > max_bytes)
		return too_large(e, max_bytes);
	return r == LZMA_STREAM_END ? 0 : damaged(e, "xz");
}

static int unpack_zstd(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e)
{
	AUTO_FREE uint8_t *chunk = mem_new(CHUNK_BYTES);
	ZSTD_DStream *s = ZSTD_createDStream();
	ZSTD_inBuffer in = {p, n, 0};
	size_t r = 1;

	if (!s)
		return err_set(e, ENOMEM, "cannot start unpacking zstd data");
	/* The kernel is packed with a window of 128 MiB ("zstd -22 --ultra"). */
	ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, 27);
	while (r && ret->n <= max_bytes) {
		ZSTD_outBuffer out = {chunk, CHUNK_BYTES, 0};
		size_t before = in.pos;

		r = ZSTD_decompressStream(s, &out, &in);
		if (ZSTD_isError(r) || (r && in.pos == before && !out.pos))
			break;
		buf_add(ret, chunk, out.pos);
	}
	ZSTD_freeDStream(s);
	if (ret->n > max_bytes)
		return too_large(e, max_bytes);
	return r ? damaged(e, "zstd") : 0;
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Legacy frame: the magic, then blocks of {u32 packed size, data} of 8 MiB each, unpacked. */
static int unpack_lz4(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e)
{
	AUTO_FREE char *out = mem_new(LZ4_BLOCK_BYTES);

	if (n < 4 || get_le32(p) != LZ4_LEGACY_MAGIC)
		return damaged(e, "lz4");
	for (p += 4, n -= 4; n;) {
		uint32_t block;
		int r;

		if (n < 4)
			return damaged(e, "lz4");
		block = get_le32(p);
		p += 4;
		n -= 4;
		if (block == LZ4_LEGACY_MAGIC) /* frames may follow each other */
			continue;
		if (!block || block > n || block > LZ4_COMPRESSBOUND(LZ4_BLOCK_BYTES))
			return damaged(e, "lz4");
		r = LZ4_decompress_safe((const char *)p, out, (int)block, LZ4_BLOCK_BYTES);
		if (r < 0)
			return damaged(e, "lz4");
		if ((size_t)r > max_bytes - ret->n)
			return too_large(e, max_bytes);
		buf_add(ret, out, (size_t)r);
		p += block;
		n -= block;
	}
	return 0;
}

static const struct {
	uint8_t magic[6];
	size_t n;
	int (*unpack)(const uint8_t *p, size_t n, size_t max_bytes, struct buf *ret, struct err *e);
} packings[] = {
	[VM_PACK_NONE] = {{0}, 0, unpack_none},
	[VM_PACK_GZIP] = {{0x1f, 0x8b}, 2, unpack_gzip},
	[VM_PACK_XZ] = {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
	[VM_PACK_ZSTD] = {{0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
	[VM_PACK_LZ4] = {{0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
};

enum vm_packing vm_packing_of(const void *p, size_t n)
{
	for (size_t i = 1; i < ARRAY_SIZE(packings); i++)
		if (n >= packings[i].n && !memcmp(p, packings[i].magic, packings[i].n))
			return (enum vm_packing)i;
	return VM_PACK_NONE;
}

int vm_unpack(enum vm_packing packing, const void *p, size_t n, size_t max_bytes, struct buf *ret,
	struct err *e)
{
	AUTO_BUF struct buf out = {0};

	if (n > VM_KERNEL_BYTES_MAX)
		return too_large(e, VM_KERNEL_BYTES_MAX);
	if (packings[packing].unpack(p, n, max_bytes, &out, e) < 0)
		return -e->code;
	buf_release(ret);
	*ret = out;
	out = (struct buf){0};
	return 0;
}
