#include "oci/netdev_msg.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

enum { ANSWER_BYTES = 32768, SEQUENCE = 1 };

void *nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, size_t header_bytes)
{
	memset(m, 0, sizeof(*m));
	m->h.nlmsg_type = type;
	m->h.nlmsg_flags = NLM_F_REQUEST | flags;
	m->h.nlmsg_seq = SEQUENCE;
	m->h.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(header_bytes));
	return m->body;
}

void nl_put(struct nl_msg *m, uint16_t type, const void *data, size_t n)
{
	const struct rtattr a = {.rta_len = (unsigned short)RTA_LENGTH(n), .rta_type = type};
	char *at = (char *)m + m->h.nlmsg_len;

	if (m->h.nlmsg_len + RTA_SPACE(n) > sizeof(*m))
		abort();
	memcpy(at, &a, sizeof(a));
	memcpy(at + RTA_LENGTH(0), data, n);
	m->h.nlmsg_len += (uint32_t)RTA_SPACE(n);
}

/* Handles one datagram; 1 while more is to come, 0 at the end, -errno. */
static int read_answer(const char *buf, size_t n, void (*each)(const struct nlmsghdr *h, void *data), void *data)
{
	while (n >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const void *)buf;
		const struct nlmsgerr *err = (const void *)(buf + NLMSG_HDRLEN);
		size_t step;

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n || h->nlmsg_seq != SEQUENCE)
			return -EPROTO;
		if (h->nlmsg_type == NLMSG_ERROR)
			return h->nlmsg_len < NLMSG_HDRLEN + sizeof(*err) ? -EPROTO : err->error;
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (each)
			each(h, data);
		step = NLMSG_ALIGN(h->nlmsg_len);
		if (step >= n)
			break;
		buf += step;
		n -= step;
	}
	return 1;
}

int nl_talk(struct nl_msg *m, void (*each)(const struct nlmsghdr *h, void *data), void *data)
{
	AUTO_FD int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	AUTO_FREE char *buf = mem_new(ANSWER_BYTES);
	int r = 1;

	if (sock < 0)
		return -errno;
	if (sendto(sock, m, m->h.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	while (r > 0) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(sock, buf, ANSWER_BYTES, MSG_TRUNC, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* A port of 0 is the kernel's; anybody else may send here too. */
		if (from_len != sizeof(from) || from.nl_pid)
			continue;
		r = n > ANSWER_BYTES ? -EMSGSIZE : read_answer(buf, (size_t)n, each, data);
	}
	return r;
}
