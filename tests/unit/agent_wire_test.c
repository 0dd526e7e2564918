#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/wire.h"
#include "base/mem.h"

TEST(frames_round_trip)
{
	struct wire_frame f = {.type = WIRE_CREATE,
		.flags = 7,
		.id = 0xdeadbeef,
		.arg = 5,
		.body = "spec",
		.body_bytes = 4};
	struct wire_frame g = {0};
	AUTO_BUF struct buf b = {0};

	wire_put(&b, &f);
	CHECK_INT(b.n, WIRE_HEADER_BYTES + 4);
	for (size_t n = 0; n < b.n; n++)
		CHECK_INT(wire_parse(b.p, n, &g), 0);
	CHECK_INT(wire_parse(b.p, b.n, &g), (int)b.n);
	CHECK_INT(g.type, WIRE_CREATE);
	CHECK_INT(g.flags, 7);
	CHECK_INT(g.id, 0xdeadbeef);
	CHECK_INT(g.arg, 5);
	CHECK(g.body_bytes == 4 && !memcmp(g.body, "spec", 4));
}

TEST(frames_that_lie)
{
	unsigned char h[WIRE_HEADER_BYTES] = {0xff, 0xff, 0xff, 0xff, 1};
	struct wire_frame f;

	CHECK_INT(wire_parse(h, sizeof(h), &f), -EPROTO);
	memset(h, 0, sizeof(h));
	CHECK_INT(wire_parse(h, sizeof(h), &f), -EPROTO); /* type 0 */
	h[4] = 1;
	h[2] = 0x10; /* 1 MiB exactly: allowed, not there yet */
	CHECK_INT(wire_parse(h, sizeof(h), &f), 0);
	h[0] = 1;
	CHECK_INT(wire_parse(h, sizeof(h), &f), -EPROTO);
}

TEST(frames_over_a_socket)
{
	AUTO_BUF struct buf in = {0};
	struct wire_frame f = {0};
	int p[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	CHECK_INT(wire_recv(p[1], &in, &f, 0), -ETIMEDOUT);
	for (uint32_t i = 1; i <= 3; i++)
		CHECK_INT(wire_send(p[0], &(struct wire_frame){.type = WIRE_PING,
						  .arg = i,
						  .body = "xyz",
						  .body_bytes = i}),
			0);
	for (uint32_t i = 1; i <= 3; i++) {
		CHECK_INT(wire_recv(p[1], &in, &f, 1000), 0);
		CHECK_INT(f.arg, i);
		CHECK(f.body_bytes == i && !memcmp(f.body, "xyz", i));
	}
	CHECK_INT(wire_recv(p[1], &in, &f, 0), -ETIMEDOUT);
	close(p[0]);
	CHECK_INT(wire_recv(p[1], &in, &f, 1000), -ECONNRESET);
	close(p[1]);
}

TEST(errors_cross_the_wire)
{
	struct err e = {0}, back = {0};
	AUTO_BUF struct buf b = {0};
	struct wire_frame f;

	err_set(&e, ENOENT, "cannot execute '%s'", "x");
	err_exit(&e, ERR_EXIT_NOT_FOUND);
	wire_put_error(&b, 9, &e);
	CHECK(wire_parse(b.p, b.n, &f) > 0);
	CHECK_INT(wire_get_error(&f, &back), -ENOENT);
	CHECK_STR(back.text, "cannot execute 'x'");
	CHECK_INT(back.exit_code, ERR_EXIT_NOT_FOUND);
	/* A guest's text does not reach a terminal as it is, nor does its number. */
	f = (struct wire_frame){
		.type = WIRE_ERROR, .arg = 77777, .body = "\033[2Jgone", .body_bytes = 8};
	CHECK_INT(wire_get_error(&f, &back), -EIO);
	CHECK(!strchr(back.text, '\033'));
	CHECK(back.exit_code >= 0 && back.exit_code <= 255);
}

TEST_MAIN
