#include "net/helper.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/dns.h"
#include "net/refusals.h"
#include "net/table.h"
#include "net/upstream.h"

enum {
	RECORD_BYTES_MAX = 1 << 20,
	LINKS_MAX = 65536,
	NAMES_KEPT = 512,
	LOCAL_TTL_S = 5, /* jails come and go */
	OPEN_MS_MIN = 5 * 1000, /* an allowed address stays open at least so long */
	OPEN_MS_MAX = 24 * 3600 * 1000,
	OPEN_GRACE_MS = 5 * 1000, /* between the answer and the connection */
	STREAMS_MAX = 16, /* connections being served, each by a child */
	STREAM_S = 5, /* for each step of one */
	QUERIES_AT_ONCE = 64, /* from one socket, before the others get their turn */
};

struct door { /* a socket on a network's gateway */
	int fd, stream_fd; /* datagrams, connections */
	uint32_t network_id;
	struct net_addr gateway;
};

struct helper {
	int dir, inotify;
	const char *resolv_conf;
	struct net_link *links;
	size_t n_links, cap_links;
	struct net_network *networks;
	size_t n_networks, cap_networks;
	struct door *doors;
	size_t n_doors, cap_doors;
	struct upstream upstream;
	struct nl nft, log, events;
	struct { /* what addresses were lately called */
		struct net_addr addr;
		char name[DNS_NAME_BYTES];
	} names[NAMES_KEPT];
	size_t next_name;
	int streams; /* children */
};

/* --- what the manager keeps in the directory --- */

/* Calls take with each record of the subdirectory; one that cannot be read is left out. */
static int each_record(struct helper *h, const char *sub,
	void (*take)(struct helper *h, const char *text, size_t n), struct err *e)
{
	int fd = openat(h->dir, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		fd_close(&fd);
		return err_sys(e, "cannot open '%s'", sub);
	}
	while ((entry = readdir(d))) {
		AUTO_BUF struct buf text = {0};
		struct err ignored = {0};

		/* A record that is being written has a name that begins with a dot. */
		if (entry->d_name[0] == '.' || !str_ends(entry->d_name, ".json"))
			continue;
		if (file_read(dirfd(d), entry->d_name, RECORD_BYTES_MAX, &text, &ignored) >= 0)
			take(h, text.p, text.n);
	}
	closedir(d);
	return 0;
}

static void take_link(struct helper *h, const char *text, size_t n)
{
	struct net_link l = {0};
	struct err ignored = {0};

	if (json_read_text(&net_link_table, text, n, NULL, &l, &ignored) < 0)
		return;
	if (l.mode != NET_NAT || !l.host_if || !l.owner || h->n_links >= LINKS_MAX) {
		net_link_release(&l);
		return;
	}
	h->links = mem_grow(h->links, &h->cap_links, h->n_links + 1, sizeof(*h->links));
	h->links[h->n_links++] = l;
}

static void take_network(struct helper *h, const char *text, size_t n)
{
	struct net_network net = {0};
	struct err ignored = {0};

	if (json_read_text(&net_network_table, text, n, NULL, &net, &ignored) < 0)
		return;
	h->networks =
		mem_grow(h->networks, &h->cap_networks, h->n_networks + 1, sizeof(*h->networks));
	h->networks[h->n_networks++] = net;
}

static void forget_records(struct helper *h)
{
	for (size_t i = 0; i < h->n_links; i++)
		net_link_release(&h->links[i]);
	for (size_t i = 0; i < h->n_networks; i++)
		net_network_release(&h->networks[i]);
	h->n_links = h->n_networks = 0;
}

/* --- the sockets on the gateways --- */

/* A socket of that type on port 53 of the address. */
static int listen_at(const struct net_addr *a, int type, struct err *e)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	bool v4 = a->family == AF_INET;
	AUTO_FD int fd = socket(a->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char text[NET_ADDR_TEXT_BYTES];
	int on = 1;

	memcpy(&in.sin_addr, a->bytes, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, a->bytes, sizeof(in6.sin6_addr));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* The address comes with the network's first jail: it need not be there yet. */
	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
		sizeof(on));
	if (fd < 0 ||
		bind(fd, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6,
			v4 ? sizeof(in) : sizeof(in6)) < 0 ||
		(type == SOCK_STREAM && listen(fd, STREAMS_MAX) < 0))
		return err_sys(e, "cannot listen on '%s' port 53", net_addr_print(a, text));
	return fd_take(&fd);
}

static struct door *find_door(struct helper *h, const struct net_addr *gateway)
{
	for (size_t i = 0; i < h->n_doors; i++) {
		if (net_addr_equal(&h->doors[i].gateway, gateway))
			return &h->doors[i];
	}
	return NULL;
}

static void keep_door(struct helper *h, const char *subnet_text, uint32_t id)
{
	struct net_addr subnet, gateway;
	struct err ignored = {0};
	struct door *door;
	AUTO_FD int fd = -EBADF, stream_fd = -EBADF;

	if (!subnet_text || net_addr_parse(subnet_text, &subnet, &ignored) < 0)
		return;
	gateway = net_addr_nth(&subnet, 1);
	door = find_door(h, &gateway);
	if (door) {
		door->network_id = id;
		return;
	}
	fd = listen_at(&gateway, SOCK_DGRAM, &ignored);
	stream_fd = listen_at(&gateway, SOCK_STREAM, &ignored);
	if (fd < 0 || stream_fd < 0)
		return;
	h->doors = mem_grow(h->doors, &h->cap_doors, h->n_doors + 1, sizeof(*h->doors));
	h->doors[h->n_doors++] = (struct door){.fd = fd_take(&fd),
		.stream_fd = fd_take(&stream_fd),
		.network_id = id,
		.gateway = gateway};
}

/* Questions under way lose their way back with the socket that they came in by. */
static void close_door(struct helper *h, size_t i)
{
	for (size_t k = 0; k < UPSTREAM_PENDING_MAX; k++) {
		if (h->upstream.asked[k].fd >= 0 &&
			h->upstream.asked[k].client_fd == h->doors[i].fd)
			fd_close(&h->upstream.asked[k].fd);
	}
	fd_close(&h->doors[i].fd);
	fd_close(&h->doors[i].stream_fd);
	h->doors[i] = h->doors[--h->n_doors];
}

static const struct net_network *find_network(const struct helper *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_networks; i++) {
		if (h->networks[i].id == id)
			return &h->networks[i];
	}
	return NULL;
}

static void settle_doors(struct helper *h)
{
	for (size_t i = h->n_doors; i-- > 0;) {
		if (!find_network(h, h->doors[i].network_id))
			close_door(h, i);
	}
	for (size_t i = 0; i < h->n_networks; i++) {
		keep_door(h, h->networks[i].subnet4, h->networks[i].id);
		keep_door(h, h->networks[i].subnet6, h->networks[i].id);
	}
}

static int load(struct helper *h, struct err *e)
{
	forget_records(h);
	if (each_record(h, "networks", take_network, e) < 0 ||
		each_record(h, "links", take_link, e) < 0)
		return -e->code;
	settle_doors(h);
	upstream_servers(&h->upstream, h->resolv_conf);
	return 0;
}

/* --- names --- */

static const struct net_link *link_of_address(const struct helper *h, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT_BYTES];

	net_addr_print(a, text);
	for (size_t i = 0; i < h->n_links; i++) {
		const struct net_link *l = &h->links[i];

		if (str_eq(a->family == AF_INET ? l->addr4 : l->addr6, text))
			return l;
	}
	return NULL;
}

static const struct net_link *link_of_index(const struct helper *h, uint32_t index)
{
	for (size_t i = 0; i < h->n_links; i++) {
		if (h->links[i].index == index)
			return &h->links[i];
	}
	return NULL;
}

/* The jail called name, as seen from asker (NULL: the host); names of one label or below "jail". */
static const struct net_link *link_of_name(
	const struct helper *h, const char *name, const struct net_link *asker, bool *ret_ours)
{
	AUTO_FREE char *bare = str_dup(name);

	*ret_ours = !strchr(bare, '.');
	if (str_ends(bare, ".jail")) {
		bare[strlen(bare) - strlen(".jail")] = '\0';
		*ret_ours = true;
	}
	for (size_t i = 0; *ret_ours && i < h->n_links; i++) {
		const struct net_link *l = &h->links[i];

		if (!strcasecmp(l->owner, bare) && (!asker || asker->network_id == l->network_id))
			return l;
	}
	return NULL;
}

static bool may_look_up(const struct net_link *l, const char *name)
{
	if (!l->egress_only)
		return true;
	for (size_t i = 0; i < l->n_egress; i++) {
		const struct net_egress *rule = &l->egress[i];

		if (!rule->refuse && (str_eq(rule->to, "*") || dns_name_matches(name, rule->to)))
			return true;
	}
	return false;
}

/* The source of a datagram, as one of our addresses. */
static struct net_addr source_of(const struct sockaddr_storage *ss)
{
	struct net_addr a = {.family = (uint8_t)ss->ss_family};

	a.prefix = (uint8_t)(8 * net_addr_size(&a));
	if (a.family == AF_INET)
		memcpy(a.bytes, &((const struct sockaddr_in *)ss)->sin_addr, 4);
	else
		memcpy(a.bytes, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
	return a;
}

/* A query being answered. */
struct inquiry {
	const struct door *door;
	struct sockaddr_storage from;
	socklen_t from_bytes;
	uint8_t query[DNS_UDP_BYTES];
	size_t n;
	struct dns_question q;
};

static void reply(const struct inquiry *in, enum dns_code code, const struct net_addr *addr)
{
	uint8_t out[DNS_UDP_PLAIN_BYTES];
	size_t n = dns_reply_write(
		out, sizeof(out), in->query, &in->q, code, addr, addr ? 1 : 0, LOCAL_TTL_S);

	if (n)
		sendto(in->door->fd, out, n, MSG_NOSIGNAL | MSG_DONTWAIT,
			(const struct sockaddr *)&in->from, in->from_bytes);
}

enum { FORWARD = -1 };

/*
 * What to say to from: a code, with the address in *ret_addr when there is one, or FORWARD.  A
 * jail without an address of the family asked for has an empty answer, not a missing name.
 */
static int decide(struct helper *h, const struct door *door, const struct net_addr *from,
	const struct dns_question *q, struct net_addr *ret_addr)
{
	const struct net_link *asker = link_of_address(h, from), *named;
	const char *text;
	struct err ignored = {0};
	bool ours;

	*ret_addr = (struct net_addr){0};
	if (asker && asker->network_id != door->network_id)
		return DNS_REFUSED;
	named = link_of_name(h, q->name, asker, &ours);
	if (named) {
		text = q->type == DNS_A ? named->addr4 : q->type == DNS_AAAA ? named->addr6 : NULL;
		if (text)
			net_addr_parse(text, ret_addr, &ignored);
		return DNS_OK;
	}
	if (ours)
		return DNS_NO_SUCH_NAME;
	if (asker && asker->internal)
		return DNS_REFUSED;
	if (asker && !may_look_up(asker, q->name)) {
		refusal_write_name(h->dir, asker->owner, q->name, &ignored);
		return DNS_REFUSED;
	}
	return FORWARD;
}

static void answer(struct helper *h, const struct inquiry *in)
{
	struct net_addr from = source_of(&in->from), addr;
	int code = decide(h, in->door, &from, &in->q, &addr);

	if (code != FORWARD)
		reply(in, (enum dns_code)code, addr.family ? &addr : NULL);
	else if (upstream_ask(&h->upstream, in->query, in->n, &in->q, in->door->fd, &in->from,
			 in->from_bytes) < 0)
		reply(in, DNS_SERVER_FAILURE, NULL);
}

static void serve_door(struct helper *h, const struct door *door)
{
	struct inquiry in = {.door = door};

	for (int i = 0; i < QUERIES_AT_ONCE; i++) {
		ssize_t n;
		int r;

		in.from_bytes = sizeof(in.from);
		n = recvfrom(door->fd, in.query, sizeof(in.query), 0, (struct sockaddr *)&in.from,
			&in.from_bytes);
		if (n < 0)
			return;
		in.n = (size_t)n;
		in.q = (struct dns_question){0};
		r = dns_question_read(in.query, in.n, &in.q);
		if (r >= 0)
			answer(h, &in);
		else if (r != -EPROTO)
			reply(&in, r == -EOPNOTSUPP ? DNS_NOT_IMPLEMENTED : DNS_FORMAT_ERROR, NULL);
	}
}

/* --- what names mean --- */

static void remember(struct helper *h, const struct net_addr *a, const char *name)
{
	size_t i = h->next_name++ % NAMES_KEPT;

	h->names[i].addr = *a;
	memcpy(h->names[i].name, name, sizeof(h->names[i].name));
}

static const char *name_of(const struct helper *h, const struct net_addr *a)
{
	for (size_t i = 0; i < MIN(h->next_name, (size_t)NAMES_KEPT); i++) {
		if (net_addr_equal(&h->names[i].addr, a))
			return h->names[i].name;
	}
	return NULL;
}

/* The rules that name it open each of its addresses, for as long as the answer says. */
static void open_addresses(struct helper *h, const struct net_link *l, const char *name,
	const struct dns_address *a, size_t n)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct err ignored = {0};

	nft_begin(&b);
	for (size_t i = 0; i < n; i++) {
		uint64_t ms = MIN(MAX(a[i].ttl_s * UINT64_C(1000), (uint64_t)OPEN_MS_MIN),
			(uint64_t)OPEN_MS_MAX);

		if (table_addr_is_lan(&a[i].addr) && !l->allow_lan)
			continue;
		for (size_t k = 0; k < l->n_egress; k++) {
			if (!l->egress[k].refuse && dns_name_matches(name, l->egress[k].to))
				table_name_add(&b, l->host_if, &a[i].addr, &l->egress[k],
					ms + OPEN_GRACE_MS);
		}
	}
	nft_commit(&b);
	nl_exec(&h->nft, &b, &ignored);
}

static void take_answer(struct helper *h, struct upstream_question *asked)
{
	struct dns_address found[DNS_ADDRESSES_MAX];
	struct net_addr from = source_of(&asked->client);
	const struct net_link *l = link_of_address(h, &from);
	uint8_t p[DNS_UDP_BYTES];
	ssize_t n = recv(asked->fd, p, sizeof(p), 0);
	int count;

	if (n < 0) { /* refused by ICMP */
		if (upstream_ask_next(&h->upstream, asked) < 0)
			upstream_fail(asked);
		return;
	}
	count = dns_answer_read(p, (size_t)n, &asked->q, found, DNS_ADDRESSES_MAX);
	if (count < 0)
		return; /* not the answer: the right one may still come */
	for (int i = 0; i < count; i++)
		remember(h, &found[i].addr, asked->q.name);
	if (l && l->egress_only)
		open_addresses(h, l, asked->q.name, found, (size_t)count);
	upstream_answer(asked, p, (size_t)n);
}

/* --- questions by TCP (RFC 7766): rare, and each served by a child that may simply wait --- */

static void set_patience(int fd)
{
	struct timeval tv = {.tv_sec = STREAM_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* A message behind its length; returns its size or -EPROTO. */
static ssize_t read_message(int fd, uint8_t *p, size_t max)
{
	uint8_t size[2];
	size_t n;

	if (fd_read_full(fd, size, 2) != 2)
		return -EPROTO;
	n = (size_t)size[0] << 8 | size[1];
	return n > max || fd_read_full(fd, p, n) != (ssize_t)n ? -EPROTO : (ssize_t)n;
}

static int write_message(int fd, const uint8_t *p, size_t n)
{
	uint8_t size[2] = {(uint8_t)(n >> 8), (uint8_t)n};

	/* In one segment, as clients like it. */
	return send(fd, size, 2, MSG_MORE | MSG_NOSIGNAL) != 2 ? -EPROTO : fd_write_full(fd, p, n);
}

/* Asks one server after the other; the size of the answer, which belongs to q, or -ETIMEDOUT. */
static ssize_t ask_by_stream(const struct helper *h, const uint8_t *query, size_t n,
	const struct dns_question *q, uint8_t *p, size_t max)
{
	struct dns_address found[DNS_ADDRESSES_MAX];

	for (size_t i = 0; i < h->upstream.n_servers; i++) {
		AUTO_FD int fd = upstream_connect(&h->upstream.servers[i], STREAM_S);
		ssize_t got =
			fd < 0 || write_message(fd, query, n) < 0 ? -1 : read_message(fd, p, max);

		if (got >= 0 && dns_answer_read(p, (size_t)got, q, found, DNS_ADDRESSES_MAX) >= 0)
			return got;
	}
	return -ETIMEDOUT;
}

/* In the child: its copy of the records is as old as the question. */
static void answer_stream(
	struct helper *h, const struct door *door, int fd, const struct net_addr *from)
{
	AUTO_FREE uint8_t *p = mem_new(UINT16_MAX);
	const struct net_link *l = link_of_address(h, from);
	struct dns_address found[DNS_ADDRESSES_MAX];
	uint8_t query[UPSTREAM_QUERY_BYTES];
	struct dns_question q = {0};
	struct net_addr addr;
	ssize_t n = read_message(fd, query, sizeof(query)), got = -1;
	int code;

	if (n < 0 || dns_question_read(query, (size_t)n, &q) < 0)
		return;
	code = decide(h, door, from, &q, &addr);
	if (code == FORWARD) {
		got = ask_by_stream(h, query, (size_t)n, &q, p, UINT16_MAX);
		code = DNS_SERVER_FAILURE;
	}
	if (got < 0)
		got = (ssize_t)dns_reply_write(p, UINT16_MAX, query, &q, (enum dns_code)code, &addr,
			addr.family != 0, LOCAL_TTL_S);
	else if (l && l->egress_only)
		open_addresses(h, l, q.name, found,
			(size_t)dns_answer_read(p, (size_t)got, &q, found, DNS_ADDRESSES_MAX));
	write_message(fd, p, (size_t)got);
}

static void serve_stream(struct helper *h, const struct door *door)
{
	struct sockaddr_storage ss;
	socklen_t size = sizeof(ss);
	AUTO_FD int fd = accept4(door->stream_fd, (struct sockaddr *)&ss, &size, SOCK_CLOEXEC);
	struct net_addr from;
	struct err ignored = {0};
	pid_t pid;

	if (fd < 0 || h->streams >= STREAMS_MAX)
		return;
	from = source_of(&ss);
	pid = proc_clone(0, -1, NULL);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(4 * STREAM_S);
		set_patience(fd);
		/* A socket of its own: answers to two that share one would be mixed up. */
		nl_close(&h->nft);
		if (nl_open(&h->nft, NETLINK_NETFILTER, -1, &ignored) >= 0)
			answer_stream(h, door, fd, &from);
		_exit(0);
	}
	h->streams += pid > 0;
}

static void reap_streams(struct helper *h)
{
	while (h->streams && waitpid(-1, NULL, WNOHANG) > 0)
		h->streams--;
}

static void give_up_late(struct helper *h)
{
	uint64_t now = time_mono_ms();

	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++) {
		struct upstream_question *asked = &h->upstream.asked[i];

		if (asked->fd >= 0 && now >= asked->deadline_ms &&
			upstream_ask_next(&h->upstream, asked) < 0)
			upstream_fail(asked);
	}
}

/* --- refusals and flushes --- */

static int take_refusal(const struct nlmsghdr *m, void *arg)
{
	struct helper *h = arg;
	struct refusal r;
	struct err ignored = {0};
	const struct net_link *l;

	if (refusal_read(m, &r) < 0)
		return 0;
	l = link_of_index(h, r.index);
	if (l)
		refusal_write(h->dir, &r, l->owner, name_of(h, &r.to), &ignored);
	return 0;
}

static int ignore_event(const struct nlmsghdr *m, void *arg)
{
	(void)m;
	(void)arg;
	return 0;
}

/* Somebody changed some rules.  Ours are put back when they are gone. */
static void look_after_table(struct helper *h)
{
	AUTO_FREE const struct net_link **links = mem_new_array(h->n_links + 1, sizeof(*links));
	struct err ignored = {0};

	nl_events(&h->events, ignore_event, NULL);
	if (!h->n_links || nft_table_exists(&h->nft, TABLE_NAME, &ignored) != 0)
		return;
	for (size_t i = 0; i < h->n_links; i++)
		links[i] = &h->links[i];
	net_restore(links, h->n_links, &ignored);
}

/* --- the loop --- */

static int hear_events(struct helper *h, struct err *e)
{
	int group = NFNLGRP_NFTABLES;

	if (nl_open(&h->nft, NETLINK_NETFILTER, -1, e) < 0 ||
		nl_open(&h->events, NETLINK_NETFILTER, -1, e) < 0 || refusals_open(&h->log, e) < 0)
		return -e->code;
	if (mnl_socket_setsockopt(h->events.socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
		0)
		return err_sys(e, "cannot listen to changes of nftables");
	return 0;
}

static int watch(struct helper *h, struct err *e)
{
	static const char *const subs[] = {"networks", "links"};
	char at[32];

	h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (h->inotify < 0)
		return err_sys(e, "cannot watch the records of networks");
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		AUTO_FREE char *path = NULL;

		if (mkdirat(h->dir, subs[i], 0700) < 0 && errno != EEXIST)
			return err_sys(e, "cannot make '%s'", subs[i]);
		path = str_fmt("%s/%s", path_of_fd(h->dir, at), subs[i]);
		if (inotify_add_watch(h->inotify, path,
			    IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM) < 0)
			return err_sys(e, "cannot watch '%s'", subs[i]);
	}
	return 0;
}

static void reload(struct helper *h)
{
	struct err ignored = {0};
	char events[4096];

	while (read(h->inotify, events, sizeof(events)) > 0)
		;
	load(h, &ignored);
}

enum { FIXED_FDS = 4 };

/* Fixed descriptors first, then doors, then questions under way. */
static size_t fill_poll(const struct helper *h, int stop_fd, struct pollfd *fds)
{
	size_t n = 0;

	fds[n++] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = h->inotify, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = mnl_socket_get_fd(h->log.socket), .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = mnl_socket_get_fd(h->events.socket), .events = POLLIN};
	for (size_t i = 0; i < h->n_doors; i++)
		fds[n++] = (struct pollfd){.fd = h->doors[i].fd, .events = POLLIN};
	for (size_t i = 0; i < h->n_doors; i++)
		fds[n++] = (struct pollfd){.fd = h->doors[i].stream_fd, .events = POLLIN};
	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++)
		fds[n++] = (struct pollfd){.fd = h->upstream.asked[i].fd, .events = POLLIN};
	return n;
}

static int next_timeout_ms(const struct helper *h)
{
	uint64_t now = time_mono_ms(), first = UINT64_MAX;

	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++) {
		if (h->upstream.asked[i].fd >= 0)
			first = MIN(first, h->upstream.asked[i].deadline_ms);
	}
	return first == UINT64_MAX ? -1 : first <= now ? 0 : (int)(first - now);
}

/* Records last: they change what the descriptors of this round stand for. */
static void serve_round(struct helper *h, const struct pollfd *fds)
{
	size_t doors = h->n_doors;

	reap_streams(h);
	if (fds[2].revents)
		nl_events(&h->log, take_refusal, h);
	for (size_t i = 0; i < UPSTREAM_PENDING_MAX; i++) {
		if (fds[FIXED_FDS + 2 * doors + i].revents &&
			h->upstream.asked[i].fd == fds[FIXED_FDS + 2 * doors + i].fd)
			take_answer(h, &h->upstream.asked[i]);
	}
	for (size_t i = 0; i < doors; i++) {
		if (fds[FIXED_FDS + i].revents)
			serve_door(h, &h->doors[i]);
		if (fds[FIXED_FDS + doors + i].revents)
			serve_stream(h, &h->doors[i]);
	}
	if (fds[3].revents)
		look_after_table(h);
	if (fds[1].revents)
		reload(h);
	give_up_late(h);
}

static int loop(struct helper *h, int stop_fd, struct err *e)
{
	for (;;) {
		AUTO_FREE struct pollfd *fds = mem_new_array(
			FIXED_FDS + 2 * h->n_doors + UPSTREAM_PENDING_MAX, sizeof(*fds));
		int r = poll(fds, fill_poll(h, stop_fd, fds), next_timeout_ms(h));

		if (r < 0 && errno != EINTR)
			return err_sys(e, "cannot wait for questions");
		if (r < 0)
			continue;
		if (fds[0].revents)
			return 0;
		serve_round(h, fds);
	}
}

static void helper_free(struct helper *h)
{
	forget_records(h);
	upstream_release(&h->upstream);
	for (size_t i = 0; i < h->n_doors; i++)
		fd_close(&h->doors[i].fd), fd_close(&h->doors[i].stream_fd);
	fd_close(&h->inotify);
	nl_close(&h->nft);
	nl_close(&h->log);
	nl_close(&h->events);
	free(h->links);
	free(h->networks);
	free(h->doors);
	free(h);
}

int net_helper_run(const struct net_helper_opts *o, struct err *e)
{
	AUTO_FD int lock =
		openat(o->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct helper *h;
	int r;

	if (lock < 0)
		return err_sys(e, "cannot open 'lock'");
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : err_sys(e, "cannot lock 'lock'");
	h = mem_new(sizeof(*h));
	h->dir = o->dir_fd;
	h->inotify = -1;
	h->resolv_conf = o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf";
	upstream_init(&h->upstream);
	r = hear_events(h, e);
	if (r >= 0)
		r = watch(h, e);
	if (r >= 0)
		r = load(h, e);
	if (r >= 0)
		r = loop(h, o->stop_fd, e);
	helper_free(h);
	return r;
}
