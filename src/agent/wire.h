/*
 * What host and guest say to each other: frames on a stream, and streams of bytes beside it.
 *
 * Every connection begins with a frame that says what it is:
 *	HELLO	a session: requests from the host, answers and news from the guest
 *	ATTACH	one standard stream of a program; after the frame it is bytes and nothing else
 *
 * A session, host (>) and guest (<), on the connection that the guest opens when it is up (that
 * call is the readiness) or on one that the host opens:
 *
 *	< HELLO  > HELLO
 *	> ROOT {"device": "/dev/vda", ...}		< OK
 *	> CREATE config.json, flags STDOUT		< OPENED job
 *	  (the host attaches stream 1 of that job)	< CREATED pid, or ERROR
 *	> START						< STARTED pid, or ERROR
 *	> SIGNAL 15					< EXITED wait status
 *
 * EXITED comes when the program has been waited for, whoever still holds its streams.  Frame:
 * 16 bytes of header, little endian, then the body.  Flow control and the end of a stream are
 * those of the socket.  An unknown type is answered by ERROR, a malformed frame ends the
 * connection.
 */
#ifndef JAIL_AGENT_WIRE_H
#define JAIL_AGENT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	WIRE_VERSION = 1,
	WIRE_HEADER_BYTES = 16,
	WIRE_BODY_MAX = 1 << 20,
	WIRE_PORT = 1024, /* of the agent in the guest, and of the owner on the host */
};

enum wire_type {
	WIRE_HELLO = 1, /* arg: version.  Both */
	WIRE_ATTACH, /* id: job, arg: stream 0 to 2.  Host, first frame of a stream */
	WIRE_ROOT, /* body: struct agent_root as JSON.  Host */
	WIRE_CREATE, /* body: config.json, flags: wire_stream bits.  Host */
	WIRE_EXEC, /* body: process.json, flags: wire_stream bits.  Host */
	WIRE_START, /* id: job.  Host */
	WIRE_SIGNAL, /* id: job, arg: signal.  Host */
	WIRE_RESIZE, /* id: job, arg: rows << 16 | columns.  Host */
	WIRE_TIME, /* body: u64 nanoseconds since 1970.  Host */
	WIRE_NET, /* body: struct netcfg as JSON.  Host */
	WIRE_PING, /* answered by OK with the same arg.  Host */
	WIRE_POWEROFF, /* the guest ends in order.  Host */
	WIRE_OK, /* Guest, as are the rest */
	WIRE_ERROR, /* id: job or 0, arg: exit code, flags: errno, body: text */
	WIRE_OPENED, /* id: job */
	WIRE_CREATED, /* id: job, arg: pid in the guest */
	WIRE_STARTED, /* id: job, arg: pid in the guest */
	WIRE_EXITED, /* id: job, arg: wait status */
	WIRE_TYPES,
};

/* Streams that the host will attach; the others are /dev/null. */
enum wire_stream {
	WIRE_STDIN = 1,
	WIRE_STDOUT = 2,
	WIRE_STDERR = 4,
	WIRE_TERMINAL = 8, /* stream 0 is the terminal, both ways */
};

struct wire_frame {
	uint16_t type, flags;
	uint32_t id, arg;
	const char *body; /* points into the bytes parsed; NULL-terminated there */
	uint32_t body_bytes;
};

/*
 * Reads one frame from the front of n bytes.  Returns the bytes it takes, 0 when more are
 * needed, -EPROTO when no frame begins here.  Pure.
 */
int wire_parse(const void *p, size_t n, struct wire_frame *ret) __attribute__((nonnull));

/* Appends a frame to b. */
void wire_put(struct buf *b, const struct wire_frame *f) __attribute__((nonnull));

/* Sends one frame whole; 0 or -errno.  Blocks as the socket does; no SIGPIPE. */
int wire_send(int fd, const struct wire_frame *f) __attribute__((nonnull));

/*
 * Receives one frame, keeping what follows in *in for the next call; f->body is valid until
 * then.  timeout_ms < 0 waits for ever.  -ETIMEDOUT, -ECONNRESET at the end of the stream.
 */
int wire_recv(int fd, struct buf *in, struct wire_frame *f, int timeout_ms)
	__attribute__((nonnull));

/* ERROR to a record and back; text from the other side is made safe to print. */
void wire_put_error(struct buf *b, uint32_t id, const struct err *e) __attribute__((nonnull));
int wire_get_error(const struct wire_frame *f, struct err *e) __attribute__((nonnull));

#endif
