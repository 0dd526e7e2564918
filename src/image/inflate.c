#include "image/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"

enum { ZSTD_WINDOW_LOG_MAX = 25 };

static void gzip_start(struct img_inflate *z)
{
	if (!z->state)
		z->state = mem_new(sizeof(struct inflate_state));
	isal_inflate_init(z->state);
	((struct inflate_state *)z->state)->crc_flag = ISAL_GZIP;
	z->between = true;
}

static void gzip_stop(struct img_inflate *z)
{
	free(z->state);
}

static const char *gzip_says(int r)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ISAL_INVALID_BLOCK, "a block is damaged"},
		{ISAL_INVALID_SYMBOL, "a symbol is damaged"},
		{ISAL_INVALID_LOOKBACK, "it refers to before its beginning"},
		{ISAL_INVALID_WRAPPER, "its header is damaged, or something follows its end"},
		{ISAL_UNSUPPORTED_METHOD, "its method is not deflate"},
		{ISAL_INCORRECT_CHECKSUM, "its checksum is wrong"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].code == r)
			return texts[i].text;
	return "it is damaged";
}

static int gzip_step(struct img_inflate *z, struct img_io *io, struct err *e)
{
	struct inflate_state *s = z->state;
	int r = ISAL_DECOMP_OK;

	s->next_in = (uint8_t *)io->in;
	s->avail_in = (uint32_t)MIN(io->n_in, UINT32_MAX);
	s->next_out = io->out;
	s->avail_out = (uint32_t)MIN(io->n_out, UINT32_MAX);
	/* A full output may leave more inside the state: the caller comes back for it. */
	while (s->avail_out && r == ISAL_DECOMP_OK) {
		uint32_t in = s->avail_in, out = s->avail_out;

		if (s->block_state == ISAL_BLOCK_FINISH) {
			if (!s->avail_in)
				break;
			isal_inflate_reset(s);
			s->crc_flag = ISAL_GZIP;
		}
		r = isal_inflate(s);
		z->between = s->block_state == ISAL_BLOCK_FINISH;
		if (s->avail_in == in && s->avail_out == out)
			break;
	}
	io->in = s->next_in;
	io->n_in = s->avail_in;
	io->out = s->next_out;
	io->n_out = s->avail_out;
	if (r < 0 || r == ISAL_NEED_DICT)
		return err_set(e, EBADMSG, "cannot decompress gzip data: %s", gzip_says(r));
	return 0;
}

static void zstd_start(struct img_inflate *z)
{
	ZSTD_DStream *s = ZSTD_createDStream();

	if (!s)
		abort();
	ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	z->state = s;
	z->between = true;
}

static void zstd_stop(struct img_inflate *z)
{
	ZSTD_freeDStream(z->state);
}

static int zstd_step(struct img_inflate *z, struct img_io *io, struct err *e)
{
	ZSTD_inBuffer in = {io->in, io->n_in, 0};
	ZSTD_outBuffer out = {io->out, io->n_out, 0};

	while (out.pos < out.size) {
		size_t was_in = in.pos, was_out = out.pos,
		       r = ZSTD_decompressStream(z->state, &out, &in);

		if (ZSTD_isError(r))
			return err_set(e, EBADMSG, "cannot decompress zstd data: %s",
				ZSTD_getErrorName(r));
		if (in.pos != was_in || out.pos != was_out)
			z->between = r == 0;
		if (in.pos == in.size && out.pos < out.size)
			break;
		if (in.pos == was_in && out.pos == was_out)
			break;
	}
	io->in += in.pos;
	io->n_in -= in.pos;
	io->out += out.pos;
	io->n_out -= out.pos;
	return 0;
}

static void plain_start(struct img_inflate *z)
{
	z->between = true;
}

static void plain_stop(struct img_inflate *z)
{
	(void)z;
}

static int plain_step(struct img_inflate *z, struct img_io *io, struct err *e)
{
	size_t n = MIN(io->n_in, io->n_out);

	(void)z;
	(void)e;
	memcpy(io->out, io->in, n);
	io->in += n;
	io->n_in -= n;
	io->out += n;
	io->n_out -= n;
	return 0;
}

static const struct {
	const char *name;
	uint8_t magic[4];
	uint8_t mask[4];
	void (*start)(struct img_inflate *z);
	int (*step)(struct img_inflate *z, struct img_io *io, struct err *e);
	void (*stop)(struct img_inflate *z);
} kinds[] = {
	[IMG_PLAIN] = {"plain", {0}, {0}, plain_start, plain_step, plain_stop},
	[IMG_GZIP] = {"gzip", {0x1f, 0x8b, 8}, {0xff, 0xff, 0xff}, gzip_start, gzip_step,
		gzip_stop},
	[IMG_ZSTD] = {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, {0xff, 0xff, 0xff, 0xff}, zstd_start,
		zstd_step, zstd_stop},
};

/* RFC 8878, 3.1.2: a zstd stream may begin with a frame to be skipped. */
static bool is_skippable(const uint8_t *b)
{
	return (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18;
}

enum img_compression img_compression_of(const void *p, size_t n)
{
	const uint8_t *b = p;

	if (n < 4)
		return IMG_PLAIN;
	for (enum img_compression c = IMG_GZIP; c < ARRAY_SIZE(kinds); c++) {
		bool same = true;

		for (int i = 0; i < 4; i++)
			same &= (b[i] & kinds[c].mask[i]) == kinds[c].magic[i];
		if (same)
			return c;
	}
	return is_skippable(b) ? IMG_ZSTD : IMG_PLAIN;
}

const char *img_compression_name(enum img_compression c)
{
	return kinds[c].name;
}

void img_inflate_init(struct img_inflate *z, enum img_compression kind)
{
	*z = (struct img_inflate){.kind = kind};
	kinds[kind].start(z);
}

int img_inflate_step(struct img_inflate *z, struct img_io *io, struct err *e)
{
	return kinds[z->kind].step(z, io, e);
}

int img_inflate_end(const struct img_inflate *z, struct err *e)
{
	if (z->between)
		return 0;
	return err_set(e, EBADMSG, "the %s data is cut off before its end", kinds[z->kind].name);
}

void img_inflate_release(struct img_inflate *z)
{
	if (z->state)
		kinds[z->kind].stop(z);
	*z = (struct img_inflate){0};
}
