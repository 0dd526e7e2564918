#include "net/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

enum { DNS_PORT = 53, RESOLV_CONF_BYTES = 64 * 1024 };

void upstream_init(struct upstream *u)
{
	u->n_servers = 0;
	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++)
		u->asked[i].fd = -1;
}

void upstream_release(struct upstream *u)
{
	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++)
		fd_close(&u->asked[i].fd);
}

/* One line: "nameserver ADDRESS". */
static void take_line(struct upstream *u, char *line)
{
	static const char word[] = "nameserver";
	struct net_addr a;
	struct err ignored = {0};

	line += strspn(line, " \t");
	if (!str_starts(line, word) || !strchr(" \t", line[sizeof(word) - 1]))
		return;
	line += sizeof(word) - 1;
	line += strspn(line, " \t");
	line[strcspn(line, " \t\r%#;")] = '\0';
	if (u->n_servers < UPSTREAM_SERVERS_MAX && net_addr_parse(line, &a, &ignored) >= 0)
		u->servers[u->n_servers++] = a;
}

void upstream_servers(struct upstream *u, const char *resolv_conf)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = open(resolv_conf, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct err ignored = {0};
	char *line, *end;

	if (fd < 0 || file_read_fd(fd, resolv_conf, RESOLV_CONF_BYTES, &text, &ignored) < 0)
		return;
	u->n_servers = 0;
	for (line = text.p; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		take_line(u, line);
	}
}

static socklen_t server_address(const struct net_addr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = a->family;
	if (a->family == AF_INET) {
		in->sin_port = htons(DNS_PORT);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_port = htons(DNS_PORT);
	memcpy(&in6->sin6_addr, a->bytes, 16);
	return sizeof(*in6);
}

int upstream_connect(const struct net_addr *server, int patience_s)
{
	struct timeval tv = {.tv_sec = patience_s};
	struct sockaddr_storage ss;
	socklen_t n = server_address(server, &ss);
	AUTO_FD int fd = socket(server->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ||
		connect(fd, (struct sockaddr *)&ss, n) < 0)
		return -errno;
	return fd_take(&fd);
}

static int send_to(struct upstream_question *asked, const struct net_addr *server)
{
	struct sockaddr_storage ss;
	socklen_t n = server_address(server, &ss);
	AUTO_FD int fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint16_t id;

	if (fd < 0 || getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -errno;
	memcpy(asked->query, &id, sizeof(id));
	asked->q.id = ntohs(id);
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 ||
		send(fd, asked->query, asked->n, MSG_NOSIGNAL) < 0)
		return -errno;
	fd_close(&asked->fd);
	asked->fd = fd_take(&fd);
	asked->deadline_ms = time_mono_ms() + UPSTREAM_TRY_MS;
	return 0;
}

/* From asked->server on, the first that a datagram can be sent to. */
static int try_servers(struct upstream *u, struct upstream_question *asked)
{
	int r = -ETIMEDOUT;

	for (; asked->server < u->n_servers; asked->server++) {
		r = send_to(asked, &u->servers[asked->server]);
		if (!r)
			return 0;
	}
	return r;
}

int upstream_ask_next(struct upstream *u, struct upstream_question *asked)
{
	asked->server++;
	return try_servers(u, asked);
}

/* Without its port: the whole of a jail has one share. */
static bool same_client(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		&((const struct sockaddr_in6 *)b)->sin6_addr, 16);
}

static struct upstream_question *free_place(
	struct upstream *u, const struct sockaddr_storage *client)
{
	struct upstream_question *place = NULL;
	size_t theirs = 0;

	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++) {
		if (u->asked[i].fd < 0)
			place = place ? place : &u->asked[i];
		else if (same_client(&u->asked[i].client, client))
			theirs++;
	}
	return theirs < UPSTREAM_PER_CLIENT_MAX ? place : NULL;
}

int upstream_ask(struct upstream *u, const uint8_t *query, size_t n, const struct dns_question *q,
	int client_fd, const struct sockaddr_storage *client, socklen_t client_bytes)
{
	struct upstream_question *asked = free_place(u, client);

	if (!asked || n > sizeof(asked->query))
		return -EAGAIN;
	*asked = (struct upstream_question){.fd = -1,
		.q = *q,
		.n = n,
		.client_id = q->id,
		.client = *client,
		.client_bytes = client_bytes,
		.client_fd = client_fd};
	memcpy(asked->query, query, n);
	return try_servers(u, asked);
}

void upstream_answer(struct upstream_question *asked, uint8_t *p, size_t n)
{
	uint16_t id = htons(asked->client_id);

	memcpy(p, &id, sizeof(id));
	/* A client that has gone is no matter of ours. */
	sendto(asked->client_fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT,
		(struct sockaddr *)&asked->client, asked->client_bytes);
	fd_close(&asked->fd);
}

void upstream_fail(struct upstream_question *asked)
{
	uint8_t out[UPSTREAM_QUERY_BYTES];
	size_t n = dns_reply_write(
		out, sizeof(out), asked->query, &asked->q, DNS_SERVER_FAILURE, NULL, 0, 0);

	upstream_answer(asked, out, n);
}
