#include "agent/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/proc.h"

static void put_le(uint8_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_le(const uint8_t *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

int wire_parse(const void *p, size_t n, struct wire_frame *ret)
{
	const uint8_t *b = p;
	uint32_t body_bytes, type;

	if (n < WIRE_HEADER_BYTES)
		return 0;
	body_bytes = get_le(b, 4);
	type = get_le(b + 4, 2);
	if (body_bytes > WIRE_BODY_MAX || !type)
		return -EPROTO;
	if (n - WIRE_HEADER_BYTES < body_bytes)
		return 0;
	*ret = (struct wire_frame){.type = (uint16_t)type,
		.flags = (uint16_t)get_le(b + 6, 2),
		.id = get_le(b + 8, 4),
		.arg = get_le(b + 12, 4),
		.body = (const char *)b + WIRE_HEADER_BYTES,
		.body_bytes = body_bytes};
	return (int)(WIRE_HEADER_BYTES + body_bytes);
}

void wire_put(struct buf *b, const struct wire_frame *f)
{
	uint8_t h[WIRE_HEADER_BYTES];

	put_le(h, f->body_bytes, 4);
	put_le(h + 4, f->type, 2);
	put_le(h + 6, f->flags, 2);
	put_le(h + 8, f->id, 4);
	put_le(h + 12, f->arg, 4);
	buf_add(b, h, sizeof(h));
	if (f->body_bytes)
		buf_add(b, f->body, f->body_bytes);
}

int wire_send(int fd, const struct wire_frame *f)
{
	AUTO_BUF struct buf b = {0};

	if (f->body_bytes > WIRE_BODY_MAX)
		return -EMSGSIZE;
	wire_put(&b, f);
	for (size_t done = 0; done < b.n;) {
		ssize_t r = send(fd, b.p + done, b.n - done, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

/* The frame that was handed out last is dropped when the next is asked for. */
static void drop_last(struct buf *in, const struct wire_frame *f)
{
	size_t used;

	if (!f->body || f->body != in->p + WIRE_HEADER_BYTES)
		return;
	used = WIRE_HEADER_BYTES + f->body_bytes;
	memmove(in->p, in->p + used, in->n - used + 1);
	in->n -= used;
}

int wire_recv(int fd, struct buf *in, struct wire_frame *f, int timeout_ms)
{
	uint64_t deadline = time_mono_ms() + (uint64_t)MAX(timeout_ms, 0);

	drop_last(in, f);
	*f = (struct wire_frame){0};
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = time_mono_ms();
		char bytes[4096];
		ssize_t n;
		int r = wire_parse(in->p ? in->p : "", in->n, f);

		if (r)
			return r < 0 ? r : 0;
		if (timeout_ms >= 0 && now >= deadline)
			return -ETIMEDOUT;
		if (poll(&p, 1, timeout_ms < 0 ? -1 : (int)(deadline - now)) < 1)
			continue;
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		buf_add(in, bytes, (size_t)n);
	}
}

void wire_put_error(struct buf *b, uint32_t id, const struct err *e)
{
	wire_put(b, &(struct wire_frame){.type = WIRE_ERROR,
			    .flags = (uint16_t)e->code,
			    .id = id,
			    .arg = (uint32_t)e->exit_code,
			    .body = e->text,
			    .body_bytes = (uint32_t)strlen(e->text)});
}

int wire_get_error(const struct wire_frame *f, struct err *e)
{
	AUTO_FREE char *text = str_dup_n(f->body, MIN(f->body_bytes, (uint32_t)ERR_TEXT_BYTES - 1));
	AUTO_FREE char *shown = str_visible(text);

	err_set(e, f->flags ? f->flags : EIO, "%s", shown);
	e->exit_code = (int32_t)f->arg;
	err_sanitize(e);
	return e->code ? -e->code : -EIO;
}
