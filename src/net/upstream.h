/*
 * Questions on their way to the host's name servers.  Known to this room only.
 *
 * Each has a socket of its own, connected to the server, from a port and with an id that nobody
 * can guess: an answer from elsewhere, or to something else, is not one.
 */
#ifndef JAIL_NET_UPSTREAM_H
#define JAIL_NET_UPSTREAM_H

#include <poll.h>
#include <sys/socket.h>

#include "net/dns.h"

enum {
	UPSTREAM_PENDING_MAX = 256,
	UPSTREAM_PER_CLIENT_MAX = 32,
	UPSTREAM_QUERY_BYTES = 512,
	UPSTREAM_SERVERS_MAX = 3,
	UPSTREAM_TRY_MS = 2000,
};

struct upstream_question {
	int fd; /* -1: free */
	struct dns_question q; /* with the id towards the server */
	uint8_t query[UPSTREAM_QUERY_BYTES];
	size_t n;
	size_t server; /* which of the servers is being asked */
	uint64_t deadline_ms;
	/* Whom it is for. */
	uint16_t client_id;
	struct sockaddr_storage client;
	socklen_t client_bytes;
	int client_fd; /* the socket that it came in by */
};

struct upstream {
	struct upstream_question asked[UPSTREAM_PENDING_MAX];
	struct net_addr servers[UPSTREAM_SERVERS_MAX];
	size_t n_servers;
};

void upstream_init(struct upstream *u) __attribute__((nonnull));
void upstream_release(struct upstream *u) __attribute__((nonnull));
/* Takes the nameserver lines of a resolv.conf; keeps what it had when there are none. */
void upstream_servers(struct upstream *u, const char *resolv_conf) __attribute__((nonnull));
/* Sends it on; -EAGAIN when too many are under way, or another errno when no server can be reached.
 */
int upstream_ask(struct upstream *u, const uint8_t *query, size_t n, const struct dns_question *q,
	int client_fd, const struct sockaddr_storage *client, socklen_t client_bytes)
	__attribute__((nonnull));
/* Asks the next server; -ETIMEDOUT when there is none left. */
int upstream_ask_next(struct upstream *u, struct upstream_question *asked) __attribute__((nonnull));
/* A connection to a server, each of whose steps takes at most so long; owned, or -errno. */
int upstream_connect(const struct net_addr *server, int patience_s) __attribute__((nonnull));
/* Sends an answer (or a failure) to the client and forgets the question. */
void upstream_answer(struct upstream_question *asked, uint8_t *p, size_t n)
	__attribute__((nonnull));
void upstream_fail(struct upstream_question *asked) __attribute__((nonnull));

#endif
