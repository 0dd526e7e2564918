#include "net/netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

int nl_in_netns(int netns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	int r;

	if (netns_fd < 0)
		return fn(arg, e);
	AUTO_FD int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_sys(e, "cannot open the caller's network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_sys(e, "cannot enter the jail's network namespace");
	r = fn(arg, e);
	/* Whatever this process did next would be done to the jail's network: there is no going on.
	 */
	if (setns(home, CLONE_NEWNET) < 0)
		abort();
	return r;
}

struct open_request {
	int bus;
	struct mnl_socket *socket;
};

static int open_here(void *arg, struct err *e)
{
	struct open_request *o = arg;

	o->socket = mnl_socket_open2(o->bus, SOCK_CLOEXEC);
	return o->socket ? 0 : err_sys(e, "cannot open a netlink socket");
}

int nl_open(struct nl *ret, int bus, int netns_fd, struct err *e)
{
	struct open_request o = {.bus = bus};
	int on = 1, r = nl_in_netns(netns_fd, open_here, &o, e);

	if (r < 0)
		return r;
	if (mnl_socket_bind(o.socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		r = err_sys(e, "cannot bind a netlink socket");
		mnl_socket_close(o.socket);
		return r;
	}
	/* The kernel's own sentence, and not our request back: both are comfort, not needed. */
	mnl_socket_setsockopt(o.socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(o.socket, NETLINK_CAP_ACK, &on, sizeof(on));
	*ret = (struct nl){.socket = o.socket, .seq = 1};
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->socket)
		mnl_socket_close(nl->socket);
	nl->socket = NULL;
}

/* --- building --- */

static struct nlmsghdr *current(struct nl_batch *b)
{
	return (struct nlmsghdr *)(b->bytes.p + b->current);
}

/* Grows the buffer so that one whole message fits behind the bytes already there. */
static void reserve(struct nl_batch *b)
{
	b->bytes.p = mem_grow(b->bytes.p, &b->bytes.cap, b->bytes.n + NL_MESSAGE_BYTES, 1);
}

struct nlmsghdr *nl_begin(
	struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb, const char *object)
{
	struct nlmsghdr *h;

	if (b->n)
		b->bytes.n = b->current + MNL_ALIGN(current(b)->nlmsg_len);
	reserve(b);
	b->current = b->bytes.n;
	b->notes = mem_grow(b->notes, &b->cap, b->n + 1, sizeof(*b->notes));
	b->notes[b->n] = (struct nl_note){.verb = verb};
	snprintf(b->notes[b->n].object, sizeof(b->notes[b->n].object), "%s", object);
	b->n++;
	h = mnl_nlmsg_put_header(b->bytes.p + b->current);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return h;
}

void *nl_extra(struct nl_batch *b, size_t n)
{
	return mnl_nlmsg_put_extra_header(current(b), n);
}

void nl_tolerate(struct nl_batch *b, int code)
{
	int *t = b->notes[b->n - 1].tolerate;

	t[t[0] ? 1 : 0] = code;
}

void nl_put(struct nl_batch *b, uint16_t type, const void *p, size_t n)
{
	if (n > NL_MESSAGE_BYTES || !mnl_attr_put_check(current(b), NL_MESSAGE_BYTES, type, n, p))
		b->overflow = true;
}

void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t v)
{
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_u16(struct nl_batch *b, uint16_t type, uint16_t v)
{
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	v = htonl(v);
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_be64(struct nl_batch *b, uint16_t type, uint64_t v)
{
	v = htobe64(v);
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_str(struct nl_batch *b, uint16_t type, const char *s)
{
	nl_put(b, type, s, strlen(s) + 1);
}

size_t nl_nest(struct nl_batch *b, uint16_t type)
{
	size_t at = b->current + MNL_ALIGN(current(b)->nlmsg_len);

	if (!mnl_attr_nest_start_check(current(b), NL_MESSAGE_BYTES, type))
		b->overflow = true;
	return at;
}

void nl_end(struct nl_batch *b, size_t nest)
{
	if (!b->overflow)
		mnl_attr_nest_end(current(b), (struct nlattr *)(b->bytes.p + nest));
}

void nl_batch_release(struct nl_batch *b)
{
	free(b->notes);
	buf_release(&b->bytes);
	*b = (struct nl_batch){0};
}

static void batch_reset(struct nl_batch *b)
{
	b->bytes.n = 0;
	b->current = 0;
	b->n = 0;
	b->overflow = false;
}

/* --- answers --- */

int nl_attrs(const struct nlmsghdr *h, size_t extra_bytes, const struct nlattr **ret, uint16_t max)
{
	size_t at = MNL_NLMSG_HDRLEN + MNL_ALIGN(extra_bytes);

	memset(ret, 0, (max + 1u) * sizeof(*ret));
	while (at + sizeof(struct nlattr) <= h->nlmsg_len) {
		const struct nlattr *a = (const struct nlattr *)((const char *)h + at);

		if (!mnl_attr_ok(a, (int)(h->nlmsg_len - at)))
			return -EPROTO;
		if (mnl_attr_get_type(a) <= max)
			ret[mnl_attr_get_type(a)] = a;
		at += MNL_ALIGN(a->nla_len);
	}
	return 0;
}

int nl_nested(const struct nlattr *nest, const struct nlattr **ret, uint16_t max)
{
	size_t at = 0, n = nest ? mnl_attr_get_payload_len(nest) : 0;

	memset(ret, 0, (max + 1u) * sizeof(*ret));
	while (at + sizeof(struct nlattr) <= n) {
		const struct nlattr *a =
			(const struct nlattr *)((const char *)mnl_attr_get_payload(nest) + at);

		if (!mnl_attr_ok(a, (int)(n - at)))
			return -EPROTO;
		if (mnl_attr_get_type(a) <= max)
			ret[mnl_attr_get_type(a)] = a;
		at += MNL_ALIGN(a->nla_len);
	}
	return 0;
}

static bool attr_copy(const struct nlattr *a, void *ret, size_t n)
{
	if (!a || mnl_attr_get_payload_len(a) < n)
		return false;
	memcpy(ret, mnl_attr_get_payload(a), n);
	return true;
}

uint8_t nl_u8(const struct nlattr *a, uint8_t absent)
{
	uint8_t v;

	return attr_copy(a, &v, sizeof(v)) ? v : absent;
}

uint32_t nl_u32(const struct nlattr *a, uint32_t absent)
{
	uint32_t v;

	return attr_copy(a, &v, sizeof(v)) ? v : absent;
}

uint32_t nl_be32(const struct nlattr *a, uint32_t absent)
{
	uint32_t v;

	return attr_copy(a, &v, sizeof(v)) ? ntohl(v) : absent;
}

uint64_t nl_be64(const struct nlattr *a, uint64_t absent)
{
	uint64_t v;

	return attr_copy(a, &v, sizeof(v)) ? be64toh(v) : absent;
}

uint64_t nl_u64(const struct nlattr *a, uint64_t absent)
{
	uint64_t v;

	return attr_copy(a, &v, sizeof(v)) ? v : absent;
}

const char *nl_str(const struct nlattr *a)
{
	size_t n = a ? mnl_attr_get_payload_len(a) : 0;

	return n && memchr(mnl_attr_get_payload(a), '\0', n) ? mnl_attr_get_payload(a) : NULL;
}

/* The extended acknowledgement's sentence: behind the echoed header (NETLINK_CAP_ACK). */
static const char *ext_ack_text(const struct nlmsghdr *h)
{
	const struct nlattr *a[NLMSGERR_ATTR_MSG + 1];

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || !(h->nlmsg_flags & NLM_F_CAPPED) ||
		nl_attrs(h, sizeof(struct nlmsgerr), a, NLMSGERR_ATTR_MSG) < 0)
		return NULL;
	return nl_str(a[NLMSGERR_ATTR_MSG]);
}

static int read_error(const struct nlmsghdr *h, const struct nl_answer *a)
{
	const struct nlmsgerr *m = mnl_nlmsg_get_payload(h);
	int r;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->error > 0 || m->error < -4095)
		return -EPROTO;
	r = a->failed(a->self, h->nlmsg_seq - a->expect.first_seq, -m->error, ext_ack_text(h));
	if (r < 0)
		return r;
	return h->nlmsg_seq == a->expect.last_seq ? NL_COMPLETE : NL_MORE;
}

static int read_done(const struct nlmsghdr *h, const struct nl_answer *a)
{
	int32_t code = 0;

	/* The end of a dump carries its result. */
	if (mnl_nlmsg_get_payload_len(h) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(h), sizeof(code));
	if (code > 0 || code < -4095)
		return -EPROTO;
	if (code < 0) {
		int r = a->failed(a->self, h->nlmsg_seq - a->expect.first_seq, -code, NULL);

		if (r < 0)
			return r;
	}
	return NL_COMPLETE;
}

static int read_message(const struct nlmsghdr *h, const struct nl_answer *a)
{
	int r;

	/* Not for us, or the late answer to a request that was given up: not believed, skipped. */
	if (h->nlmsg_pid != a->expect.port ||
		h->nlmsg_seq - a->expect.first_seq > a->expect.last_seq - a->expect.first_seq)
		return NL_MORE;
	if (h->nlmsg_type == NLMSG_ERROR)
		return read_error(h, a);
	if (h->nlmsg_type == NLMSG_DONE)
		return read_done(h, a);
	if (h->nlmsg_type == NLMSG_OVERRUN)
		return -ENOBUFS;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EAGAIN;
	if (h->nlmsg_type < NLMSG_MIN_TYPE || !a->fn)
		return NL_MORE;
	r = a->fn(h, a->arg);
	return r < 0 ? r : NL_MORE;
}

int nl_read(const void *p, size_t n, const struct nl_answer *a)
{
	size_t at = 0;
	int r = NL_MORE;

	while (at < n && r == NL_MORE) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)((const char *)p + at);

		if (n - at < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n - at)
			return -EPROTO;
		r = read_message(h, a);
		at += MNL_ALIGN(h->nlmsg_len);
	}
	return r;
}

/* --- sending and receiving --- */

/* One datagram from the kernel; -EAGAIN when there is none. */
static ssize_t receive(const struct nl *nl, void *p, size_t n)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {.iov_base = p, .iov_len = n};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	for (;;) {
		r = recvmsg(mnl_socket_get_fd(nl->socket), &msg, MSG_DONTWAIT);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (msg.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		/* Any process may send to our port; only the kernel is port 0. */
		if (msg.msg_namelen == sizeof(from) && from.nl_family == AF_NETLINK &&
			from.nl_pid == 0)
			return r;
	}
}

int nl_events(struct nl *nl, nl_message_fn *fn, void *arg)
{
	AUTO_FREE uint64_t *space = mem_new(NL_RECEIVE_BYTES);
	int count = 0;

	for (;;) {
		ssize_t n = receive(nl, space, NL_RECEIVE_BYTES);

		if (n < 0)
			return n == -EAGAIN ? count : (int)n;
		for (size_t at = 0; at + sizeof(struct nlmsghdr) <= (size_t)n;) {
			const struct nlmsghdr *h =
				(const struct nlmsghdr *)((const char *)space + at);

			if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > (size_t)n - at)
				return -EPROTO;
			if (h->nlmsg_type >= NLMSG_MIN_TYPE)
				fn(h, arg);
			count++;
			at += MNL_ALIGN(h->nlmsg_len);
		}
	}
}

struct judgement {
	const struct nl_batch *batch;
	struct err *e;
	int result;
};

static int judge(void *self, size_t index, int code, const char *text)
{
	struct judgement *j = self;
	const struct nl_note *note = &j->batch->notes[index];

	if (!code || code == note->tolerate[0] || code == note->tolerate[1] || j->result < 0)
		return 0;
	j->result = err_set(j->e, code, "cannot %s '%s': %s%s%s%s", note->verb, note->object,
		strerrordesc_np(code) ? strerrordesc_np(code) : "unknown error", text ? " (" : "",
		text ? text : "", text ? ")" : "");
	return 0;
}

/* Closes the last message, numbers all, and asks for one acknowledgement of the last acked. */
static void seal(struct nl *nl, struct nl_batch *b, uint16_t ack_flag, size_t ack_index)
{
	size_t at = 0;

	b->bytes.n = b->current + MNL_ALIGN(current(b)->nlmsg_len);
	for (size_t i = 0; i < b->n; i++) {
		struct nlmsghdr *h = (struct nlmsghdr *)(b->bytes.p + at);

		h->nlmsg_seq = nl->seq++;
		if (i == ack_index)
			h->nlmsg_flags |= ack_flag;
		at += MNL_ALIGN(h->nlmsg_len);
	}
}

/*
 * The kernel takes a send as one piece, and by default at most some 200 KiB; an answer to each
 * message takes more room than the message.
 */
static void make_room(struct nl *nl, size_t n)
{
	int fd = mnl_socket_get_fd(nl->socket), send_bytes, receive_bytes;

	if (n < 64 * 1024)
		return;
	send_bytes = (int)MIN(2 * n, (size_t)INT_MAX / 2);
	receive_bytes = (int)MIN(16 * n, (size_t)INT_MAX / 2);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes));
}

static int gather(struct nl *nl, struct nl_answer *a, struct judgement *j)
{
	/* Answers are read in place as netlink headers: 8-byte alignment. */
	AUTO_FREE uint64_t *space = mem_new(NL_RECEIVE_BYTES);
	int r = NL_MORE;

	while (r == NL_MORE) {
		ssize_t n = receive(nl, space, NL_RECEIVE_BYTES);

		/* No acknowledgement, but an error: the batch was refused as a whole. */
		if (n == -EAGAIN && j->result < 0)
			return j->result;
		if (n == -EAGAIN)
			return err_set(j->e, EPROTO, "cannot %s '%s': the kernel did not answer",
				j->batch->notes[0].verb, j->batch->notes[0].object);
		r = n < 0 ? (int)n : nl_read(space, (size_t)n, a);
	}
	if (r < 0 && j->result >= 0)
		j->result = err_set(j->e, -r, "cannot %s '%s': %s", j->batch->notes[0].verb,
			j->batch->notes[0].object, strerrordesc_np(-r));
	return j->result;
}

static int transact(struct nl *nl, struct nl_batch *b, uint16_t ack_flag, size_t ack_index,
	nl_message_fn *fn, void *arg, struct err *e)
{
	struct judgement j = {.batch = b, .e = e};
	struct nl_answer a = {.fn = fn, .arg = arg, .failed = judge, .self = &j};
	int r;

	if (b->overflow) {
		batch_reset(b);
		return err_set(
			e, EMSGSIZE, "a netlink request is larger than %d bytes", NL_MESSAGE_BYTES);
	}
	a.expect.port = mnl_socket_get_portid(nl->socket);
	a.expect.first_seq = nl->seq;
	a.expect.last_seq = nl->seq + (uint32_t)ack_index;
	seal(nl, b, ack_flag, ack_index);
	make_room(nl, b->bytes.n);
	if (mnl_socket_sendto(nl->socket, b->bytes.p, b->bytes.n) < 0)
		r = err_sys(e, "cannot %s '%s'", b->notes[0].verb, b->notes[0].object);
	else
		r = gather(nl, &a, &j);
	batch_reset(b);
	return r;
}

int nl_exec(struct nl *nl, struct nl_batch *b, struct err *e)
{
	size_t last = b->n - 1;

	if (!b->n)
		return 0;
	/* The end of an nftables batch is acknowledged by new kernels only: ask the one before. */
	if (last && current(b)->nlmsg_type == NLMSG_MIN_TYPE + 1)
		last--;
	return transact(nl, b, NLM_F_ACK, last, NULL, NULL, e);
}

int nl_query(struct nl *nl, struct nl_batch *b, nl_message_fn *fn, void *arg, struct err *e)
{
	bool dump = current(b)->nlmsg_flags & NLM_F_DUMP;

	return transact(nl, b, dump ? 0 : NLM_F_ACK, b->n - 1, fn, arg, e);
}
