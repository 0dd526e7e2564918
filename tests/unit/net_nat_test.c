#include "net_world.h"

#include "net/host.h"

/* The world of most tests: the internet behind one link, a LAN behind another. */
static int internet, lan;
static struct net_network blue, red;

static void begin(const char *subnet6)
{
	world_new();
	internet = world_link(
		"inet0", 100, "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64");
	lan = world_link(
		"lan0", 101, "192.168.77.1/24", "192.168.77.2/24", "fd99::1/64", "fd99::2/64");
	blue = network_new("blue", "10.88.0.0/24", subnet6);
	red = network_new("red", "10.89.0.0/24", NULL);
}

static void end(void)
{
	const struct net_network *all[] = {&blue, &red};
	struct err e = {0};

	CHECK_INT(net_teardown(all, 2, &e), 0);
	net_network_release(&blue);
	net_network_release(&red);
	close(internet);
	close(lan);
}

TEST(a_jail_reaches_the_internet_under_the_hosts_address)
{
	struct tenant a = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";
	int told;

	begin(NULL);
	told = tenant_up(&a, &blue, "a");
	CHECK_INT(told, NET_TOLD_TABLE | NET_TOLD_FORWARD4);
	CHECK(udp_says(a.ns, "192.0.2.2", 5353, internet, from));
	CHECK_STR(from, "192.0.2.1");
	CHECK(tcp_says(a.ns, "192.0.2.2", 80, internet, from));
	CHECK_STR(from, "192.0.2.1");
	tenant_down(&a, &blue);
	end();
}

TEST(the_lan_and_the_host_are_refused_unless_asked)
{
	struct tenant a = {0}, b = {.link = {.allow_lan = true, .allow_host = true}};
	int here;

	begin(NULL);
	here = ns_here();
	tenant_up(&a, &blue, "a");
	CHECK(tcp_refused(a.ns, "192.168.77.2", 80, lan));
	CHECK(tcp_refused(a.ns, "192.0.2.1", 22, here));
	CHECK(tcp_refused(a.ns, a.link.gateway4, 22, here));
	CHECK(!udp_tries(a.ns, "192.168.77.1", 22, here));
	/* The gateway's resolver is the exception. */
	CHECK(udp_says(a.ns, a.link.gateway4, 53, here, NULL));
	CHECK(tcp_says(a.ns, a.link.gateway4, 53, here, NULL));
	tenant_up(&b, &blue, "b");
	CHECK(tcp_says(b.ns, "192.168.77.2", 80, lan, NULL));
	CHECK(tcp_says(b.ns, "192.0.2.1", 22, here, NULL));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
	close(here);
}

TEST(the_host_reaches_its_jails)
{
	struct tenant a = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";
	int here;

	begin(NULL);
	here = ns_here();
	tenant_up(&a, &blue, "a");
	CHECK(udp_says(here, a.link.addr4, 7, a.ns, from));
	CHECK_STR(from, "10.88.0.1");
	CHECK(tcp_says(here, a.link.addr4, 8, a.ns, from));
	tenant_down(&a, &blue);
	end();
	close(here);
}

TEST(jails_of_one_network_see_each_other_and_no_other_network)
{
	struct tenant a = {0}, b = {0}, c = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin(NULL);
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	tenant_up(&c, &red, "c");
	CHECK(tcp_says(a.ns, b.link.addr4, 80, b.ns, from));
	CHECK_STR(from, a.link.addr4);
	CHECK(udp_says(b.ns, a.link.addr4, 80, a.ns, from));
	CHECK_STR(from, b.link.addr4);
	CHECK(tcp_refused(a.ns, c.link.addr4, 80, c.ns));
	CHECK(!udp_tries(c.ns, b.link.addr4, 80, b.ns));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	tenant_down(&c, &red);
	end();
}

static int add_address(void *arg, struct err *e)
{
	const struct tenant *t = arg;
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct net_addr a;
	int r;

	must(net_addr_parse("10.88.0.200", &a, e), e);
	must(nl_open(&nl, NETLINK_ROUTE, -1, e), e);
	rt_addr_add(&b, t->link.index, &a);
	/* The stolen address becomes the one that is used. */
	rt_route_add(&b, &(struct rt_route){.dst = {.family = AF_INET},
				 .via = {AF_INET, 32, {10, 88, 0, 1}},
				 .from = a,
				 .index = t->link.index});
	r = nl_exec(&nl, &b, e);
	nl_batch_release(&b);
	nl_close(&nl);
	return r;
}

TEST(a_jail_cannot_send_from_an_address_that_is_not_its_own)
{
	struct tenant a = {0}, b = {0};
	struct err e = {0};

	begin(NULL);
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	must(nl_in_netns(a.ns, add_address, &a, &e), &e);
	CHECK(!udp_tries(a.ns, "192.0.2.2", 9, internet));
	CHECK(!udp_tries(a.ns, b.link.addr4, 9, b.ns));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

static void delete_table(void)
{
	struct nl nft = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};

	must(nl_open(&nft, NETLINK_NETFILTER, -1, &e), &e);
	nft_begin(&b);
	nft_table_del(&b, TABLE_NAME);
	nft_commit(&b);
	must(nl_exec(&nft, &b, &e), &e);
	nl_batch_release(&b);
	nl_close(&nft);
}

TEST(when_the_rules_are_flushed_there_is_no_way_out_until_they_are_restored)
{
	struct tenant a = {0}, b = {0};
	const struct net_link *links[] = {&a.link, &b.link};
	struct err e = {0};
	int here;

	begin("fd12:3456::/64");
	here = ns_here();
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	CHECK(udp_says(a.ns, "2001:db8::2", 9, internet, NULL));
	CHECK_INT(net_table_present(&e), 1);
	delete_table();
	CHECK_INT(net_table_present(&e), 0);
	CHECK(!udp_tries(a.ns, "192.0.2.2", 9, internet));
	CHECK(!udp_tries(a.ns, "2001:db8::2", 9, internet));
	CHECK(!udp_tries(a.ns, "192.168.77.2", 9, lan));
	CHECK(!udp_tries(a.ns, b.link.addr4, 9, b.ns));
	CHECK(!udp_tries(a.ns, "10.88.0.1", 9, here));
	CHECK(!udp_tries(a.ns, "192.0.2.1", 9, here));
	CHECK(!tcp_tries(a.ns, "192.0.2.1", 9, here));
	CHECK_INT(net_restore(links, 2, &e), 0);
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	CHECK(udp_says(a.ns, "2001:db8::2", 9, internet, NULL));
	CHECK(udp_says(a.ns, b.link.addr4, 9, b.ns, NULL));
	CHECK(!udp_tries(a.ns, "192.168.77.2", 9, lan));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
	close(here);
}

static char first_byte(const char *path)
{
	char c = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c;
}

TEST(no_ipv6_unless_asked_and_no_router_from_a_jail)
{
	struct tenant a = {0}, b = {0};
	AUTO_FREE char *off = NULL, *ra = NULL;

	begin("fd12:3456::/64");
	tenant_up(&a, &red, "a");
	tenant_up(&b, &blue, "b");
	off = str_fmt("/proc/sys/net/ipv6/conf/%s/disable_ipv6", a.link.host_if);
	ra = str_fmt("/proc/sys/net/ipv6/conf/%s/accept_ra", b.link.host_if);
	CHECK_INT(first_byte(off), '1');
	CHECK_INT(first_byte(ra), '0');
	tenant_down(&a, &red);
	tenant_down(&b, &blue);
	end();
}

TEST(a_loose_reverse_path_of_the_hosts_choice_opens_nothing)
{
	struct tenant a = {0};
	struct err e = {0};
	int here;

	begin(NULL);
	here = ns_here();
	/* The kernel takes the larger of all and the link's own: 2, loose. */
	must(host_link_sysctl(AF_INET, "all", "rp_filter", "2", &e), &e);
	tenant_up(&a, &blue, "a");
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	delete_table();
	CHECK(!udp_tries(a.ns, "192.0.2.2", 9, internet));
	CHECK(!udp_tries(a.ns, "192.0.2.1", 9, here));
	tenant_down(&a, &blue);
	end();
	close(here);
}

TEST(ipv6_is_routed_and_hidden_like_ipv4)
{
	struct tenant a = {0}, b = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin("fd12:3456::/64");
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	CHECK(tcp_says(a.ns, "2001:db8::2", 80, internet, from));
	CHECK_STR(from, "2001:db8::1");
	CHECK(tcp_says(a.ns, b.link.addr6, 80, b.ns, from));
	CHECK_STR(from, a.link.addr6);
	CHECK(!udp_tries(a.ns, "fd99::2", 80, lan));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

TEST(counters_hold_until_detach)
{
	struct tenant a = {0};
	struct net_counters c = {0};
	struct err e = {0};

	begin(NULL);
	tenant_up(&a, &blue, "a");
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	close(a.ns); /* the jail ends: its link goes with the namespace */
	a.ns = -1;
	CHECK_INT(net_detach(&a.link, -1, &c, &e), 0);
	CHECK(c.out_packets >= 1 && c.in_packets >= 1);
	CHECK_INT(c.out_bytes, 29 * c.out_packets); /* IP and UDP headers and one byte */
	CHECK_INT(net_detach(&a.link, -1, NULL, &e), 0);
	net_link_release(&a.link);
	end();
}

static int count_links(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/net/dev", "re");
	int n = -2; /* two lines of heading */

	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

TEST(two_hundred_attached_and_detached_leave_nothing)
{
	struct err e = {0};
	struct tenant t[4] = {0};
	int links;

	begin(NULL);
	tenant_up(&t[0], &blue, "first");
	links = count_links();
	for (int i = 0; i < 200; i += 3) {
		for (int k = 1; k < 4; k++) {
			t[k].link.egress_only = true;
			t[k].link.ports = mem_new(sizeof(struct net_port));
			t[k].link.n_ports = 1;
			t[k].link.ports[0] = (struct net_port){
				.host_port = (uint32_t)(8000 + k), .jail_port = 80};
			tenant_up(&t[k], &blue, k == 1 ? "x" : k == 2 ? "y" : "z");
		}
		for (int k = 1; k < 4; k++) {
			tenant_down(&t[k], &blue);
			t[k] = (struct tenant){0};
		}
	}
	CHECK_INT(count_links(), links);
	tenant_down(&t[0], &blue);
	CHECK_INT(count_links(), links - 1);
	CHECK_INT(net_table_present(&e), 1);
	end();
	CHECK_INT(net_table_present(&e), 0);
}

TEST_MAIN
