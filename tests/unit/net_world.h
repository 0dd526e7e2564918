/*
 * A small world of network namespaces for the net room's tests, in one process:
 *
 *	world_new();			 the caller's namespace is a fresh "host"
 *	int jail = ns_new();
 *	int net = world_uplink("192.0.2.1/24", "192.0.2.2/24");	 a peer behind a veth
 *	CHECK(udp_says(jail, "192.0.2.2", 53, net, from));	 a real packet, and its source seen
 */
#ifndef JAIL_TESTS_UNIT_NET_WORLD_H
#define JAIL_TESTS_UNIT_NET_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/addr.h"
#include "net/net.h"
#include "net/rt.h"
#include "test.h"

enum { WORLD_WAIT_MS = 5000, WORLD_SILENCE_MS = 250 };

static inline void must(int r, const struct err *e)
{
	if (r >= 0)
		return;
	printf("Bail out! %s\n", e->text);
	exit(1);
}

static inline int ns_here(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline void lo_up(void)
{
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};

	must(nl_open(&nl, NETLINK_ROUTE, -1, &e), &e);
	rt_link_set(&b, 1, &(struct rt_link){.up = true});
	must(nl_exec(&nl, &b, &e), &e);
	nl_batch_release(&b);
	nl_close(&nl);
}

/* A new namespace with its loopback up; the caller stays where it is. */
static inline int ns_new(void)
{
	int home = ns_here(), ns;

	if (unshare(CLONE_NEWNET) < 0) {
		printf("Bail out! cannot make a network namespace: %s\n", strerror(errno));
		exit(1);
	}
	lo_up();
	ns = ns_here();
	if (setns(home, CLONE_NEWNET) < 0)
		abort();
	close(home);
	return ns;
}

/* The caller moves into a fresh namespace, which is the host from now on. */
static inline void world_new(void)
{
	int ns = ns_new();

	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
	close(ns);
}

struct end {
	const char *addr; /* with prefix */
	const char *addr6;
	uint32_t index;
	const char *via, *via6;
	const char *neigh, *neigh6; /* the other end's addresses: no ARP in the way of a test */
	const uint8_t *neigh_mac;
	bool wait; /* the peer is up already: until this end is, too */
};

static inline int end_up(void *arg, struct err *e)
{
	const struct end *end = arg;
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct net_addr a;
	int r;

	must(nl_open(&nl, NETLINK_ROUTE, -1, e), e);
	rt_link_set(&b, end->index, &(struct rt_link){.up = true});
	if (end->addr) {
		must(net_addr_parse(end->addr, &a, e), e);
		rt_addr_add(&b, end->index, &a);
	}
	if (end->addr6) {
		must(net_addr_parse(end->addr6, &a, e), e);
		rt_addr_add(&b, end->index, &a);
	}
	for (int i = 0; i < 2; i++) {
		const char *neigh = i ? end->neigh6 : end->neigh;

		if (!neigh)
			continue;
		must(net_addr_parse(neigh, &a, e), e);
		rt_neigh_add(&b, end->index, &a, end->neigh_mac);
	}
	for (int i = 0; i < 2; i++) {
		struct rt_route route = {.index = end->index};

		if (!(i ? end->via6 : end->via))
			continue;
		must(net_addr_parse(i ? end->via6 : end->via, &route.via, e), e);
		route.dst.family = route.via.family;
		rt_route_add(&b, &route);
	}
	r = nl_exec(&nl, &b, e);
	if (end->wait)
		must(rt_link_ready(&nl, end->index, e), e);
	nl_batch_release(&b);
	nl_close(&nl);
	return r;
}

/* A neighbour of the host on a link of its own; returns its namespace. */
static inline int world_link(const char *name, uint32_t index, const char *host, const char *peer,
	const char *host6, const char *peer6)
{
	int ns = ns_new();
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};
	static const uint8_t outer_mac[] = {2, 0, 0, 0, 0, 1}, inner_mac[] = {2, 0, 0, 0, 0, 2};
	struct end outside = {.addr = host,
		.addr6 = host6,
		.index = index,
		.neigh = peer,
		.neigh6 = peer6,
		.neigh_mac = inner_mac};
	struct end inside = {.addr = peer,
		.addr6 = peer6,
		.index = index,
		.neigh = host,
		.neigh6 = host6,
		.neigh_mac = outer_mac,
		.wait = true};

	must(nl_open(&nl, NETLINK_ROUTE, -1, &e), &e);
	rt_link_new(&b,
		&(struct rt_link){.kind = RT_VETH,
			.name = name,
			.index = index,
			.mac = outer_mac,
			.peer = &(struct rt_link){
				.name = "eth0", .index = index, .mac = inner_mac, .netns_fd = ns}});
	must(nl_exec(&nl, &b, &e), &e);
	must(end_up(&outside, &e), &e);
	must(nl_in_netns(ns, end_up, &inside, &e), &e);
	must(rt_link_ready(&nl, index, &e), &e);
	nl_batch_release(&b);
	nl_close(&nl);
	return ns;
}

/* --- packets --- */

struct sock {
	int type;
	const char *addr; /* to bind or to send to; NULL: any of family */
	int family;
	uint16_t port;
	bool server;
	int fd;
	int error; /* connect's */
};

static inline socklen_t fill_sockaddr(
	const char *addr, int family, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (addr)
		family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		in->sin_port = htons(port);
		if (addr)
			inet_pton(AF_INET, addr, &in->sin_addr);
		return sizeof(*in);
	}
	in6->sin6_port = htons(port);
	if (addr)
		inet_pton(AF_INET6, addr, &in6->sin6_addr);
	return sizeof(*in6);
}

static inline int sock_open(void *arg, struct err *e)
{
	struct sock *s = arg;
	struct sockaddr_storage ss;
	socklen_t n = fill_sockaddr(s->addr, s->family, s->port, &ss);
	int on = 1;

	(void)e;
	s->fd = socket(ss.ss_family, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	s->error = 0;
	if (s->server) {
		if (bind(s->fd, (struct sockaddr *)&ss, n) < 0 ||
			(s->type == SOCK_STREAM && listen(s->fd, 8) < 0))
			s->error = errno;
	} else if (connect(s->fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS) {
		s->error = errno;
	}
	return 0;
}

static inline struct sock sock_in(
	int ns, int type, const char *addr, int family, uint16_t port, bool server)
{
	struct sock s = {.type = type,
		.addr = addr,
		.family = family,
		.port = port,
		.server = server,
		.fd = -1};
	struct err e = {0};

	must(nl_in_netns(ns, sock_open, &s, &e), &e);
	return s;
}

static inline void peer_text(const struct sockaddr_storage *ss, char *ret)
{
	if (ss->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)ss)->sin_addr, ret,
			NET_ADDR_TEXT_BYTES);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)ss)->sin6_addr, ret,
			NET_ADDR_TEXT_BYTES);
}

/* How long to try: what must work may take its time on a busy machine, what must not cannot be
 * waited out. */
enum patience { PATIENT = 40, BRIEF = 2 };

/*
 * Sends datagrams from ns to addr:port while a server listens in to_ns at port (any address, or
 * at); true when one comes through and the answer comes back.  from gets the source that the
 * server saw.
 */
static inline bool udp_at(int ns, const char *addr, uint16_t port, int to_ns, const char *at,
	uint16_t to_port, char *from, enum patience tries)
{
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	struct sock server = sock_in(to_ns, SOCK_DGRAM, at, family, to_port, true);
	struct sock client = sock_in(ns, SOCK_DGRAM, addr, 0, port, false);
	struct pollfd fds[2] = {
		{.fd = server.fd, .events = POLLIN}, {.fd = client.fd, .events = POLLIN}};
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	bool ok = false;
	char byte, text[NET_ADDR_TEXT_BYTES];

	for (int i = 0; i < (int)tries && !ok && !server.error && !client.error; i++) {
		byte = 'q';
		/* A refusal by ICMP is the result of the next call: then there is nothing to wait
		 * for. */
		if (send(client.fd, &byte, 1, 0) != 1 || poll(fds, 1, WORLD_SILENCE_MS / 2) != 1 ||
			recvfrom(server.fd, &byte, 1, 0, (struct sockaddr *)&ss, &n) != 1)
			continue;
		peer_text(&ss, from ? from : text);
		byte = 'a';
		sendto(server.fd, &byte, 1, 0, (struct sockaddr *)&ss, n);
		ok = poll(fds + 1, 1, WORLD_SILENCE_MS) == 1 && recv(client.fd, &byte, 1, 0) == 1 &&
		     byte == 'a';
	}
	close(server.fd);
	close(client.fd);
	return ok;
}

static inline bool udp_says(int ns, const char *addr, uint16_t port, int to_ns, char *from)
{
	return udp_at(ns, addr, port, to_ns, NULL, port, from, PATIENT);
}

static inline bool udp_tries(int ns, const char *addr, uint16_t port, int to_ns)
{
	return udp_at(ns, addr, port, to_ns, NULL, port, NULL, BRIEF);
}

/* The same by a TCP connection; *error gets the client's error when it was refused. */
static inline bool tcp_at(int ns, const char *addr, uint16_t port, int to_ns, const char *at,
	uint16_t to_port, char *from, int *error, enum patience tries)
{
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	struct sock server = sock_in(to_ns, SOCK_STREAM, at, family, to_port, true);
	struct sock client = sock_in(ns, SOCK_STREAM, addr, 0, port, false);
	struct pollfd fds[2] = {
		{.fd = server.fd, .events = POLLIN}, {.fd = client.fd, .events = POLLOUT}};
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	bool ok = false;
	char text[NET_ADDR_TEXT_BYTES];
	int code = client.error, fd;
	socklen_t code_n = sizeof(code);

	if (!server.error && !client.error) {
		poll(fds + 1, 1, WORLD_SILENCE_MS / 2 * (int)tries);
		getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &code, &code_n);
		if ((fds[1].revents & POLLOUT) && !code) {
			poll(fds, 1, WORLD_WAIT_MS);
			fd = accept4(server.fd, (struct sockaddr *)&ss, &n, SOCK_CLOEXEC);
			if (fd >= 0) {
				peer_text(&ss, from ? from : text);
				ok = true;
				close(fd);
			}
		}
	}
	if (error)
		*error = code ? code : server.error;
	close(server.fd);
	close(client.fd);
	return ok;
}

static inline bool tcp_says(int ns, const char *addr, uint16_t port, int to_ns, char *from)
{
	return tcp_at(ns, addr, port, to_ns, NULL, port, from, NULL, PATIENT);
}

static inline bool tcp_tries(int ns, const char *addr, uint16_t port, int to_ns)
{
	return tcp_at(ns, addr, port, to_ns, NULL, port, NULL, NULL, BRIEF);
}

/* True when the connection was refused at once, as unreachable, and not by a timeout. */
static inline bool tcp_refused(int ns, const char *addr, uint16_t port, int to_ns)
{
	int error = 0;

	return !tcp_at(ns, addr, port, to_ns, NULL, port, NULL, &error, PATIENT) &&
	       (error == EHOSTUNREACH || error == EACCES);
}

/* --- jails --- */

struct tenant {
	struct net_link link;
	int ns;
};

/* One directory for every pool of the test program, removed at its end. */
static char pool_path[] = "/run/net-pool-XXXXXX";
static inline void pool_remove(void)
{
	AUTO_FD int top = open("/run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e;

	/* From its own folder: a removal does not cross mounts. */
	path_rmtree(top, pool_path + strlen("/run/"), &e);
}
static inline int pool_dir(const char *network)
{
	static bool made;
	int top, fd;

	if (!made) {
		if (!mkdtemp(pool_path))
			exit(1);
		made = true;
		atexit(pool_remove);
	}
	top = open(pool_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(top, network, 0700);
	fd = openat(top, network, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(top);
	return fd;
}

static inline struct net_network network_new(
	const char *name, const char *subnet4, const char *subnet6)
{
	struct net_network n = {
		.name = str_dup(name), .subnet4 = str_dup(subnet4), .subnet6 = str_dup(subnet6)};
	struct err e = {0};

	must(net_network_plan(&n, false, &e), &e);
	return n;
}

/* Plans and attaches t->link; what was asked for is in it already. */
static inline int tenant_try(
	struct tenant *t, const struct net_network *n, const char *owner, struct err *e)
{
	int pool = pool_dir(n->name), r;

	t->link.mode = NET_NAT;
	t->link.owner = str_dup(owner);
	t->ns = ns_new();
	r = net_plan(&t->link, n, pool, e);
	close(pool);
	return r < 0 ? r : net_attach(&t->link, t->ns, e);
}

static inline int tenant_up(struct tenant *t, const struct net_network *n, const char *owner)
{
	struct err e = {0};
	int r = tenant_try(t, n, owner, &e);

	must(r, &e);
	return r;
}

static inline void tenant_down(struct tenant *t, const struct net_network *n)
{
	struct err e = {0};
	int pool = pool_dir(n->name);

	must(net_detach(&t->link, t->ns, NULL, &e), &e);
	must(net_release(&t->link, pool, &e), &e);
	close(pool);
	close(t->ns);
	net_link_release(&t->link);
}

#endif
