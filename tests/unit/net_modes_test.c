#include "net_world.h"

static int internet, here;

static void begin(void)
{
	world_new();
	here = ns_here();
	internet = world_link(
		"inet0", 100, "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64");
}

static void end(void)
{
	close(internet);
	close(here);
}

static void up(struct tenant *t, int mode, const char *owner, const char *parent, const char *addr4)
{
	struct err e = {0};

	t->link.mode = mode;
	t->link.owner = str_dup(owner);
	t->link.parent = str_dup(parent);
	t->link.addr4 = str_dup(addr4);
	t->ns = ns_new();
	must(net_plan(&t->link, NULL, -1, &e), &e);
	must(net_attach(&t->link, t->ns, &e), &e);
}

static void down(struct tenant *t)
{
	struct err e = {0};

	must(net_detach(&t->link, t->ns, NULL, &e), &e);
	must(net_detach(&t->link, t->ns, NULL, &e), &e);
	close(t->ns);
	net_link_release(&t->link);
}

static bool link_exists(const char *name)
{
	struct nl nl = NL_INIT;
	struct rt_info info;
	struct err e = {0};
	int r;

	must(nl_open(&nl, NETLINK_ROUTE, -1, &e), &e);
	r = rt_link_get(&nl, 0, name, &info, &e);
	nl_close(&nl);
	return r >= 0;
}

static void make_bridge(void)
{
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct net_addr a;
	struct err e = {0};

	must(net_addr_parse("10.50.0.1/24", &a, &e), &e);
	must(nl_open(&nl, NETLINK_ROUTE, -1, &e), &e);
	rt_link_new(
		&b, &(struct rt_link){.kind = RT_BRIDGE, .name = "br0", .index = 200, .up = true});
	rt_addr_add(&b, 200, &a);
	must(nl_exec(&nl, &b, &e), &e);
	nl_batch_release(&b);
	nl_close(&nl);
}

TEST(none_host_and_anothers_attach_nothing)
{
	static const int modes[] = {NET_NONE, NET_HOST, NET_JAIL};
	struct err e = {0};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct net_link l = {.mode = modes[i], .owner = str_dup("a")};

		CHECK_INT(net_plan(&l, NULL, -1, &e), 0);
		CHECK_INT(net_attach(&l, -1, &e), 0);
		CHECK_INT(net_detach(&l, -1, NULL, &e), 0);
		net_link_release(&l);
	}
	CHECK_INT(net_table_present(&e), 0);
	end();
}

TEST(jails_on_a_bridge_share_its_segment)
{
	struct tenant a = {0}, b = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	make_bridge();
	a.link.gateway4 = str_dup("10.50.0.1");
	up(&a, NET_BRIDGE, "a", "br0", "10.50.0.2/24");
	up(&b, NET_BRIDGE, "b", "br0", "10.50.0.3/24");
	CHECK(udp_says(a.ns, "10.50.0.3", 7, b.ns, from));
	CHECK_STR(from, "10.50.0.2");
	CHECK(udp_says(a.ns, "10.50.0.1", 7, here, NULL));
	CHECK(tcp_says(a.ns, "192.0.2.1", 7, here, NULL)); /* by the default route */
	CHECK(link_exists(a.link.host_if));
	down(&a);
	down(&b);
	end();
}

TEST(a_bridge_must_be_one)
{
	struct net_link l = {.mode = NET_BRIDGE, .owner = str_dup("a"), .parent = str_dup("inet0")};
	struct err e = {0};
	int ns;

	begin();
	ns = ns_new();
	CHECK_INT(net_plan(&l, NULL, -1, &e), 0);
	CHECK_INT(net_attach(&l, ns, &e), -EINVAL);
	CHECK_STR(e.text, "network of jail 'a': link 'inet0' is not a bridge");
	str_set(&l.parent, "nowhere");
	CHECK_INT(net_attach(&l, ns, &e), -ENODEV);
	CHECK(strstr(e.text, "'nowhere'") && strstr(e.text, "needs an existing one"));
	CHECK(!link_exists(l.host_if));
	close(ns);
	net_link_release(&l);
	end();
}

TEST(a_macvlan_jail_is_on_the_parents_segment)
{
	struct tenant a = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	a.link.mac = str_dup("02:00:5e:10:00:77");
	up(&a, NET_MACVLAN, "a", "inet0", "192.0.2.9/24");
	CHECK(udp_says(a.ns, "192.0.2.2", 7, internet, from));
	CHECK_STR(from, "192.0.2.9");
	down(&a);
	end();
}

TEST(a_tap_link_goes_with_its_descriptor)
{
	struct err e = {0};
	int fd;

	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("# no /dev/net/tun here: not tested\n");
		return;
	}
	begin();
	make_bridge();
	fd = net_tap_open(-1, "tap0", "br0", &e);
	CHECK(fd >= 0);
	CHECK(link_exists("tap0"));
	CHECK_INT(net_tap_open(-1, "tap1", "nowhere", &e), -ENODEV);
	CHECK(!link_exists("tap1"));
	CHECK_INT(net_tap_open(-1, "a-name-that-is-too-long", NULL, &e), -EINVAL);
	close(fd);
	CHECK(!link_exists("tap0"));
	end();
}

TEST(an_interface_moves_in_and_comes_back)
{
	struct tenant a = {0};

	begin();
	a.link.jail_if = str_dup("wan");
	up(&a, NET_INTERFACE, "a", "inet0", "192.0.2.7/24");
	CHECK(!link_exists("inet0"));
	CHECK(udp_says(a.ns, "192.0.2.2", 7, internet, NULL));
	down(&a);
	CHECK(link_exists("inet0"));
	end();
}

/* Moves n bytes over a connection from ns to addr and returns how long that took, or 0. */
static uint64_t pump_ns(int from_ns, const char *addr, int to_ns, size_t n)
{
	static char block[64 * 1024];
	struct sock server = sock_in(to_ns, SOCK_STREAM, NULL, AF_INET, 9000, true);
	struct sock client = sock_in(from_ns, SOCK_STREAM, addr, 0, 9000, false);
	struct pollfd p = {.fd = server.fd, .events = POLLIN};
	size_t sent = 0, got = 0;
	uint64_t start, deadline = time_mono_ms() + 30000;
	int fd = -1;

	if (poll(&p, 1, WORLD_WAIT_MS) == 1)
		fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	start = time_mono_ns();
	while (fd >= 0 && got < n && time_mono_ms() < deadline) {
		struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
			{.fd = client.fd, .events = sent < n ? POLLOUT : 0}};
		ssize_t r;

		poll(fds, 2, 100);
		r = sent < n ? send(client.fd, block, MIN(sizeof(block), n - sent), MSG_NOSIGNAL)
			     : 0;
		sent += r > 0 ? (size_t)r : 0;
		r = recv(fd, block, sizeof(block), 0);
		got += r > 0 ? (size_t)r : 0;
	}
	start = time_mono_ns() - start;
	close(fd);
	close(client.fd);
	close(server.fd);
	return got == n ? start : 0;
}

/* A busy machine may be slower than the limit, but never faster by more than the burst. */
static void check_limited(int from_ns, const char *addr, int to_ns, uint64_t rate)
{
	size_t n = (size_t)rate / 2;
	uint64_t took = pump_ns(from_ns, addr, to_ns, n);

	printf("# %zu bytes at a limit of %llu bytes/s: %.0f bytes/s\n", n,
		(unsigned long long)rate, took ? (double)n * 1e9 / (double)took : 0.0);
	CHECK(took > 0);
	CHECK((double)n * 1e9 / (double)MAX(took, (uint64_t)1) < (double)rate * 1.1);
}

TEST(bandwidth_is_limited_in_and_out_and_changes_live)
{
	struct tenant a = {.link = {.rate_in = 8000000, .rate_out = 4000000}};
	struct net_network n;
	const struct net_network *all[] = {&n};
	struct net_link now;
	struct err e = {0};
	AUTO_FREE char *ifb = NULL;

	begin();
	n = network_new("limits", "10.88.0.0/24", NULL);
	tenant_up(&a, &n, "a");
	ifb = str_fmt("jf%s", a.link.host_if + 2);
	CHECK(link_exists(ifb));
	check_limited(a.ns, "192.0.2.2", internet, 4000000);
	check_limited(here, a.link.addr4, a.ns, 8000000);
	now = a.link;
	now.rate_in = 0;
	now.rate_out = 6000000;
	CHECK_INT(net_update(&a.link, &now, -1, &e), 0);
	check_limited(a.ns, "192.0.2.2", internet, 6000000);
	/* A packet that took the detour is still the jail's own. */
	CHECK(tcp_refused(a.ns, "192.0.2.1", 80, here));
	tenant_down(&a, &n);
	CHECK(!link_exists(ifb));
	CHECK_INT(net_teardown(all, 1, &e), 0);
	net_network_release(&n);
	end();
}

TEST_MAIN
