#include "image/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

enum { SLOTS = 8, SLOT_BYTES = 256 << 10, INPUT_BYTES = 256 << 10 };

struct slot {
	uint8_t *p;
	size_t n;
};

struct img_stream {
	int fd;
	struct img_stream_limits limits;
	pthread_t thread;
	bool joined;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct slot slots[SLOTS];
	unsigned int filled, taken; /* running counts; slot = count % SLOTS */
	bool ended, stop;
	int failed; /* 0 or -errno with err */
	struct err err;
	uint64_t in_bytes;

	/* The reading thread's own. */
	struct img_inflate z;
	struct img_hash hash;
	uint64_t out_bytes;
	uint8_t *input;
	struct img_io io;
	bool eof;

	bool holding; /* the caller's: it works on a slot */
};

static int refill(struct img_stream *s, struct err *e)
{
	ssize_t n;

	do
		n = pread(s->fd, s->input, INPUT_BYTES, (off_t)s->in_bytes);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "cannot read the compressed data");
	s->eof = !n;
	s->io.in = s->input;
	s->io.n_in = (size_t)n;
	pthread_mutex_lock(&s->lock);
	s->in_bytes += (uint64_t)n;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int check_limits(struct img_stream *s, struct err *e)
{
	if (s->out_bytes > s->limits.max_bytes)
		return err_set(e, EFBIG, "it holds more than the limit of %llu bytes when unpacked",
			(unsigned long long)s->limits.max_bytes);
	if (s->out_bytes > s->limits.free_bytes && s->out_bytes / s->limits.ratio > s->in_bytes)
		return err_set(e, EFBIG,
			"it grows more than %llu-fold when unpacked: it looks like a decompression "
			"bomb",
			(unsigned long long)s->limits.ratio);
	return 0;
}

/* Fills one slot as far as the input reaches; 0 bytes mean the end. */
static int fill(struct img_stream *s, struct slot *slot, struct err *e)
{
	s->io.out = slot->p;
	s->io.n_out = SLOT_BYTES;
	while (s->io.n_out) {
		size_t left = s->io.n_out, in;

		if (!s->io.n_in && !s->eof && refill(s, e) < 0)
			return -e->code;
		in = s->io.n_in;
		if (img_inflate_step(&s->z, &s->io, e) < 0)
			return -e->code;
		if (in && in == s->io.n_in && left == s->io.n_out)
			return err_set(e, EBADMSG, "the compressed data makes no progress");
		if (s->eof && s->io.n_out == left) {
			if (img_inflate_end(&s->z, e) < 0)
				return -e->code;
			break;
		}
	}
	slot->n = SLOT_BYTES - s->io.n_out;
	s->out_bytes += slot->n;
	img_hash_add(&s->hash, slot->p, slot->n);
	return check_limits(s, e);
}

static struct slot *wait_for_room(struct img_stream *s)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&s->lock);
	while (!s->stop && s->filled - s->taken == SLOTS)
		pthread_cond_wait(&s->changed, &s->lock);
	if (!s->stop)
		slot = &s->slots[s->filled % SLOTS];
	pthread_mutex_unlock(&s->lock);
	return slot;
}

static void *read_thread(void *arg)
{
	struct img_stream *s = arg;
	struct err e = {0};
	struct slot *slot;
	bool more = true;

	while (more && (slot = wait_for_room(s))) {
		int r = fill(s, slot, &e);

		more = r >= 0 && slot->n;
		pthread_mutex_lock(&s->lock);
		if (r < 0) {
			s->failed = r;
			s->err = e;
		}
		if (more)
			s->filled++;
		else
			s->ended = true;
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

static void set_limits(struct img_stream *s, const struct img_stream_limits *limits)
{
	if (limits)
		s->limits = *limits;
	if (!s->limits.max_bytes)
		s->limits.max_bytes = IMG_LAYER_MAX_BYTES;
	if (!s->limits.free_bytes)
		s->limits.free_bytes = IMG_RATIO_FREE_BYTES;
	if (!s->limits.ratio)
		s->limits.ratio = IMG_RATIO_MAX;
}

int img_stream_open(
	int fd, const struct img_stream_limits *limits, struct img_stream **ret, struct err *e)
{
	struct img_stream *s = mem_new(sizeof(*s));
	int r;

	s->fd = fd;
	set_limits(s, limits);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->input = mem_new(INPUT_BYTES);
	for (int i = 0; i < SLOTS; i++)
		s->slots[i].p = mem_new(SLOT_BYTES);
	img_hash_init(&s->hash);
	s->joined = true;
	r = refill(s, e);
	if (r >= 0) {
		img_inflate_init(&s->z, img_compression_of(s->input, s->io.n_in));
		r = pthread_create(&s->thread, NULL, read_thread, s);
		s->joined = r;
		if (r)
			r = err_set(e, r, "cannot start a thread");
	}
	if (r < 0) {
		img_stream_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

ssize_t img_stream_next(struct img_stream *s, const void **ret, struct err *e)
{
	ssize_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->holding) {
		s->taken++;
		s->holding = false;
		pthread_cond_signal(&s->changed);
	}
	while (s->filled == s->taken && !s->ended)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->filled != s->taken) {
		struct slot *slot = &s->slots[s->taken % SLOTS];

		*ret = slot->p;
		n = (ssize_t)slot->n;
		s->holding = true;
	} else if (s->failed) {
		*e = s->err;
		n = s->failed;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

int img_stream_finish(struct img_stream *s, struct img_sums *ret, struct err *e)
{
	const void *p;
	ssize_t n;

	while ((n = img_stream_next(s, &p, e)) > 0)
		;
	if (n < 0)
		return (int)n;
	pthread_join(s->thread, NULL);
	s->joined = true;
	ret->in_bytes = s->in_bytes;
	ret->out_bytes = s->out_bytes;
	ret->compression = s->z.kind;
	img_hash_end(&s->hash, &ret->digest);
	return 0;
}

uint64_t img_stream_position(struct img_stream *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->in_bytes;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void img_stream_free(struct img_stream *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (!s->joined)
		pthread_join(s->thread, NULL);
	for (int i = 0; i < SLOTS; i++)
		free(s->slots[i].p);
	free(s->input);
	img_inflate_release(&s->z);
	img_hash_release(&s->hash);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}
