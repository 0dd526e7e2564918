#include "net_world.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/file.h"
#include "net/dns.h"
#include "net/helper.h"
#include "net/table.h"

/*
 * The resolver runs in a child; the "internet" namespace has a name server at 192.0.2.2 that
 * this process plays: every name but "missing" has address 192.0.2.2, "inside" has a private one.
 */
static int internet, here, dir_fd, server_fd, stop[2];
static char dir_path[64], conf_path[96];
static pid_t child;
static struct net_network blue, red;

static void begin(void)
{
	world_new();
	here = ns_here();
	internet = world_link("inet0", 100, "192.0.2.1/24", "192.0.2.2/24", NULL, NULL);
	blue = network_new("blue", "10.88.0.0/24", NULL);
	red = network_new("red", "10.89.0.0/24", NULL);
	snprintf(dir_path, sizeof(dir_path), "/tmp/net-helper-XXXXXX");
	if (!mkdtemp(dir_path))
		exit(1);
	dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(dir_fd, "links", 0700);
	mkdirat(dir_fd, "networks", 0700);
	snprintf(conf_path, sizeof(conf_path), "%s/resolv.conf", dir_path);
}

static void write_record(
	const char *sub, const char *name, const struct json_table *t, const void *p)
{
	AUTO_FREE char *text = json_print_text(t, p, JSON_PRETTY), *file = str_fmt("%s.json", name);
	AUTO_FD int fd = openat(dir_fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	must(file_replace(fd, file, text, strlen(text), 0600, 0, &e), &e);
}

static void start_helper(void)
{
	static const char conf[] = "# no server here\nnameserver 192.0.2.2\n";
	struct err e = {0};

	write_record("networks", "blue", &net_network_table, &blue);
	write_record("networks", "red", &net_network_table, &red);
	must(file_replace(dir_fd, "resolv.conf", conf, sizeof(conf) - 1, 0600, 0, &e), &e);
	server_fd = sock_in(internet, SOCK_DGRAM, "192.0.2.2", 0, 53, true).fd;
	if (pipe2(stop, O_CLOEXEC) < 0)
		exit(1);
	child = fork();
	if (!child) {
		struct net_helper_opts o = {
			.dir_fd = dir_fd, .stop_fd = stop[0], .resolv_conf = conf_path};

		close(stop[1]);
		_exit(net_helper_run(&o, &e) < 0);
	}
	close(stop[0]);
}

static void end(void)
{
	const struct net_network *all[] = {&blue, &red};
	struct err e = {0};
	int status = -1, top;

	close(stop[1]);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
	CHECK_INT(net_teardown(all, 2, &e), 0);
	net_network_release(&blue);
	net_network_release(&red);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(path_rmtree(top, dir_path + strlen("/tmp/"), &e), 0);
	close(top);
	close(dir_fd);
	close(server_fd);
	close(internet);
	close(here);
}

/* --- a name server, and a client --- */

static void play_server(void)
{
	static const struct net_addr public = {AF_INET, 32, {192, 0, 2, 2}},
				     private = {AF_INET, 32, {192, 168, 77, 7}};
	uint8_t p[512], out[512];
	struct sockaddr_storage ss;
	socklen_t size = sizeof(ss);
	struct dns_question q = {0};
	ssize_t n = recvfrom(server_fd, p, sizeof(p), 0, (struct sockaddr *)&ss, &size);
	bool inside;

	if (n < 0 || dns_question_read(p, (size_t)n, &q) < 0)
		return;
	inside = !strcmp(q.name, "inside.example.org");
	n = (ssize_t)dns_reply_write(out, sizeof(out), p, &q,
		strcmp(q.name, "missing.example.org") ? DNS_OK : DNS_NO_SUCH_NAME,
		inside ? &private : &public,
		q.type == DNS_A && strcmp(q.name, "missing.example.org"), 60);
	sendto(server_fd, out, (size_t)n, 0, (struct sockaddr *)&ss, size);
}

static size_t make_query(uint8_t *p, const char *name, uint16_t type)
{
	static const uint8_t head[] = {0x55, 0xaa, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	size_t n = sizeof(head);

	memcpy(p, head, n);
	while (*name) {
		size_t label = strcspn(name, ".");

		p[n++] = (uint8_t)label;
		memcpy(p + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	p[n++] = 0;
	p[n++] = 0, p[n++] = (uint8_t)type;
	p[n++] = 0, p[n++] = 1;
	return n;
}

/* Asks gateway from ns; returns the code, or -1 without an answer; text gets the address. */
static int ask(int ns, const char *gateway, const char *name, uint16_t type, char *text)
{
	uint8_t p[512], query[300];
	size_t query_n = make_query(query, name, type);
	struct sock client = sock_in(ns, SOCK_DGRAM, gateway, 0, 53, false);
	uint64_t deadline = time_mono_ms() + WORLD_WAIT_MS, again = 0;
	struct dns_question q = {0};
	struct dns_address a[4];
	int code = -1, count;

	*text = '\0';
	dns_question_read(query, query_n, &q);
	while (code < 0 && time_mono_ms() < deadline) {
		struct pollfd fds[2] = {
			{.fd = client.fd, .events = POLLIN}, {.fd = server_fd, .events = POLLIN}};
		ssize_t n;

		if (time_mono_ms() >= again) { /* the helper may still be starting */
			if (send(client.fd, query, query_n, 0) < 0)
				(void)recv(client.fd, p, sizeof(p), 0);
			again = time_mono_ms() + 200;
		}
		poll(fds, 2, 50);
		if (fds[1].revents)
			play_server();
		n = recv(client.fd, p, sizeof(p), 0);
		if (n < 0)
			continue;
		code = p[3] & 15;
		count = dns_answer_read(p, (size_t)n, &q, a, 4);
		CHECK(count >= 0);
		if (count > 0)
			net_addr_print(&a[0].addr, text);
	}
	close(client.fd);
	return code;
}

TEST(jails_find_each_other_by_name_and_nobody_elses)
{
	struct tenant a = {0}, b = {0}, c = {0};
	char text[NET_ADDR_TEXT_BYTES];

	begin();
	tenant_up(&a, &blue, "alpha");
	tenant_up(&b, &blue, "beta");
	tenant_up(&c, &red, "gamma");
	write_record("links", "alpha", &net_link_table, &a.link);
	write_record("links", "gamma", &net_link_table, &c.link);
	start_helper();
	CHECK_INT(ask(a.ns, "10.88.0.1", "alpha", DNS_A, text), DNS_OK);
	CHECK_STR(text, a.link.addr4);
	/* A jail that comes later is found, too. */
	write_record("links", "beta", &net_link_table, &b.link);
	for (int i = 0; i < 100 && ask(a.ns, "10.88.0.1", "beta", DNS_A, text) != DNS_OK; i++)
		poll(NULL, 0, 20);
	CHECK_STR(text, b.link.addr4);
	CHECK_INT(ask(a.ns, "10.88.0.1", "BETA.jail", DNS_A, text), DNS_OK);
	CHECK_STR(text, b.link.addr4);
	CHECK_INT(ask(a.ns, "10.88.0.1", "beta", DNS_AAAA, text), DNS_OK);
	CHECK_STR(text, "");
	CHECK_INT(ask(a.ns, "10.88.0.1", "gamma", DNS_A, text), DNS_NO_SUCH_NAME);
	CHECK_INT(ask(here, "10.88.0.1", "gamma.jail", DNS_A, text), DNS_OK);
	CHECK_STR(text, c.link.addr4);
	/* All else goes to the host's servers. */
	CHECK_INT(ask(a.ns, "10.88.0.1", "www.example.org", DNS_A, text), DNS_OK);
	CHECK_STR(text, "192.0.2.2");
	CHECK_INT(ask(a.ns, "10.88.0.1", "missing.example.org", DNS_A, text), DNS_NO_SUCH_NAME);
	/* Another network's resolver is not this jail's. */
	CHECK_INT(ask(a.ns, "10.89.0.1", "www.example.org", DNS_A, text), DNS_REFUSED);
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	tenant_down(&c, &red);
	end();
}

/* The same by TCP, playing the name server's side of it, too. */
static int ask_stream(int ns, const char *gateway, const char *name, char *text)
{
	uint8_t p[600], query[302];
	size_t n = make_query(query + 2, name, DNS_A);
	struct sock client, server = sock_in(internet, SOCK_STREAM, "192.0.2.2", 0, 53, true);
	uint64_t deadline = time_mono_ms() + WORLD_WAIT_MS;
	struct dns_question q = {0};
	struct dns_address a[4];
	size_t got = 0;
	ssize_t r;

	*text = '\0';
	query[0] = 0, query[1] = (uint8_t)n;
	dns_question_read(query + 2, n, &q);
	client = sock_in(ns, SOCK_STREAM, gateway, 0, 53, false);
	poll(&(struct pollfd){.fd = client.fd, .events = POLLOUT}, 1, WORLD_WAIT_MS);
	CHECK_INT(send(client.fd, query, n + 2, MSG_NOSIGNAL), n + 2);
	while ((got < 2 || got < 2u + p[1]) && time_mono_ms() < deadline) {
		struct pollfd fds[2] = {
			{.fd = client.fd, .events = POLLIN}, {.fd = server.fd, .events = POLLIN}};
		int fd;

		poll(fds, 2, 100);
		if (fds[1].revents && (fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			struct net_addr addr = {AF_INET, 32, {192, 0, 2, 2}};
			struct dns_question asked = {0};
			uint8_t in[512], out[514];
			size_t size;

			CHECK_INT(fd_read_full(fd, in, n + 2), n + 2);
			CHECK_INT(dns_question_read(in + 2, n, &asked), 0);
			size = dns_reply_write(out + 2, 512, in + 2, &asked, DNS_OK, &addr, 1, 60);
			out[0] = (uint8_t)(size >> 8), out[1] = (uint8_t)size;
			fd_write_full(fd, out, size + 2);
			close(fd);
		}
		if (fds[0].revents)
			r = recv(client.fd, p + got, sizeof(p) - got, 0),
			got += r > 0 ? (size_t)r : 0;
	}
	close(client.fd);
	close(server.fd);
	if (got < 14)
		return -1;
	if (dns_answer_read(p + 2, got - 2, &q, a, 4) > 0)
		net_addr_print(&a[0].addr, text);
	return p[5] & 15;
}

static bool file_says(const char *what)
{
	for (int i = 0; i < 100; i++) {
		AUTO_BUF struct buf text = {0};
		struct err e = {0};

		if (file_read(dir_fd, "refused.jsonl", 1 << 20, &text, &e) >= 0 &&
			strstr(text.p, what))
			return true;
		poll(NULL, 0, 50);
	}
	return false;
}

static void allow(struct tenant *t, const char *rule)
{
	struct net_link *l = &t->link;
	struct err e = {0};
	size_t cap = l->n_egress;

	l->egress_only = true;
	l->egress = mem_grow(l->egress, &cap, l->n_egress + 1, sizeof(*l->egress));
	must(net_egress_parse(rule, &l->egress[l->n_egress++], &e), &e);
}

TEST(an_allowed_name_opens_its_address_and_nothing_else_does)
{
	struct tenant a = {0}, b = {0};
	char text[NET_ADDR_TEXT_BYTES];

	begin();
	allow(&a, "www.example.org:443");
	allow(&a, "*.example.org:8443");
	tenant_up(&a, &blue, "alpha");
	tenant_up(&b, &blue, "beta");
	write_record("links", "alpha", &net_link_table, &a.link);
	write_record("links", "beta", &net_link_table, &b.link);
	start_helper();
	/* A literal address: refused, and recorded with the line that would allow it. */
	CHECK_INT(ask(b.ns, "10.88.0.1", "alpha", DNS_A, text), DNS_OK); /* it is running */
	CHECK(tcp_refused(a.ns, "192.0.2.2", 443, internet));
	CHECK(file_says(
		"\"jail\":\"alpha\",\"protocol\":\"tcp\",\"address\":\"192.0.2.2\",\"port\":443"));
	CHECK(file_says("\"allow\":\"192.0.2.2:443\""));
	/* By its name: open, at that port, for this jail. */
	CHECK_INT(ask(a.ns, "10.88.0.1", "www.example.org", DNS_A, text), DNS_OK);
	CHECK(tcp_says(a.ns, "192.0.2.2", 443, internet, NULL));
	CHECK(tcp_says(a.ns, "192.0.2.2", 8443, internet, NULL));
	CHECK(tcp_refused(a.ns, "192.0.2.2", 80, internet));
	CHECK(!udp_tries(a.ns, "192.0.2.2", 443, internet));
	CHECK(file_says("\"name\":\"www.example.org\",\"allow\":\"www.example.org:80\""));
	/* By TCP, the same. */
	CHECK_INT(ask_stream(a.ns, "10.88.0.1", "alpha.jail", text), DNS_OK);
	CHECK_STR(text, a.link.addr4);
	CHECK_INT(ask_stream(a.ns, "10.88.0.1", "tcp.example.org", text), DNS_OK);
	CHECK_STR(text, "192.0.2.2");
	CHECK_INT(ask_stream(a.ns, "10.88.0.1", "tcp.example.net", text), DNS_REFUSED);
	/* Another name is not even looked up, and a private address opens nothing. */
	CHECK_INT(ask(a.ns, "10.88.0.1", "secrets.example.net", DNS_A, text), DNS_REFUSED);
	CHECK(file_says("\"protocol\":\"dns\",\"name\":\"secrets.example.net\",\"allow\":\"secrets."
			"example.net\""));
	CHECK_INT(ask(a.ns, "10.88.0.1", "inside.example.org", DNS_A, text), DNS_OK);
	CHECK_STR(text, "192.168.77.7");
	CHECK(!tcp_tries(a.ns, "192.168.77.7", 8443, internet));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

TEST(an_internal_network_has_names_and_no_way_out)
{
	struct tenant a = {0}, b = {0};
	char text[NET_ADDR_TEXT_BYTES];

	begin();
	blue.internal = true;
	tenant_up(&a, &blue, "alpha");
	tenant_up(&b, &blue, "beta");
	write_record("links", "alpha", &net_link_table, &a.link);
	write_record("links", "beta", &net_link_table, &b.link);
	start_helper();
	CHECK_INT(ask(a.ns, "10.88.0.1", "beta", DNS_A, text), DNS_OK);
	CHECK(tcp_says(a.ns, text, 80, b.ns, NULL));
	CHECK_INT(ask(a.ns, "10.88.0.1", "www.example.org", DNS_A, text), DNS_REFUSED);
	CHECK(tcp_refused(a.ns, "192.0.2.2", 80, internet));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

TEST(a_flushed_table_is_put_back)
{
	struct tenant a = {0};
	struct nl nft = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};
	char text[NET_ADDR_TEXT_BYTES];
	uint64_t deadline = time_mono_ms() + WORLD_WAIT_MS;

	begin();
	tenant_up(&a, &blue, "alpha");
	write_record("links", "alpha", &net_link_table, &a.link);
	start_helper();
	CHECK_INT(ask(a.ns, "10.88.0.1", "alpha", DNS_A, text), DNS_OK);
	must(nl_open(&nft, NETLINK_NETFILTER, -1, &e), &e);
	nft_begin(&b);
	nft_table_del(&b, TABLE_NAME);
	nft_commit(&b);
	must(nl_exec(&nft, &b, &e), &e);
	while (net_table_present(&e) == 0 && time_mono_ms() < deadline)
		poll(NULL, 0, 10);
	CHECK_INT(net_table_present(&e), 1);
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	nl_batch_release(&b);
	nl_close(&nft);
	tenant_down(&a, &blue);
	end();
}

TEST_MAIN
