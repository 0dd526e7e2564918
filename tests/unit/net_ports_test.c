#include "net_world.h"

static int internet, here;
static struct net_network blue, red;

static void begin(void)
{
	world_new();
	here = ns_here();
	internet = world_link(
		"inet0", 100, "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64");
	blue = network_new("blue", "10.88.0.0/24", "fd12:3456::/64");
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
	close(here);
}

static void publish(struct tenant *t, const char *text)
{
	struct net_link *l = &t->link;
	struct net_port *more = mem_new_array(l->n_ports + 1, sizeof(*more));
	struct err e = {0};

	if (l->n_ports)
		memcpy(more, l->ports, l->n_ports * sizeof(*more));
	free(l->ports);
	l->ports = more;
	must(net_port_parse(text, &l->ports[l->n_ports++], &e), &e);
}

/* A connection or datagrams to where port to_port of the jail should answer. */
static bool tcp_to(int ns, const char *addr, uint16_t port, int jail, uint16_t to_port, char *from)
{
	return tcp_at(ns, addr, port, jail, NULL, to_port, from, NULL, PATIENT);
}

static bool udp_to(int ns, const char *addr, uint16_t port, int jail, uint16_t to_port, char *from)
{
	return udp_at(ns, addr, port, jail, NULL, to_port, from, PATIENT);
}

TEST(a_published_port_shows_the_clients_address_inside)
{
	struct tenant a = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	publish(&a, "*:8080:80");
	publish(&a, "*:5353:53/udp");
	tenant_up(&a, &blue, "a");
	CHECK(tcp_to(internet, "192.0.2.1", 8080, a.ns, 80, from));
	CHECK_STR(from, "192.0.2.2");
	CHECK(udp_to(internet, "192.0.2.1", 5353, a.ns, 53, from));
	CHECK_STR(from, "192.0.2.2");
	CHECK(tcp_to(internet, "2001:db8::1", 8080, a.ns, 80, from));
	CHECK_STR(from, "2001:db8::2");
	CHECK(udp_to(internet, "2001:db8::1", 5353, a.ns, 53, from));
	CHECK_STR(from, "2001:db8::2");
	/* What is not published is not there, and neither is the jail's own address. */
	CHECK(!tcp_at(internet, "192.0.2.1", 8081, a.ns, NULL, 80, NULL, NULL, BRIEF));
	CHECK(!udp_at(internet, "192.0.2.1", 8080, a.ns, NULL, 80, NULL, BRIEF));
	tenant_down(&a, &blue);
	CHECK(!tcp_at(internet, "192.0.2.1", 8080, here, NULL, 80, NULL, NULL, BRIEF));
	end();
}

TEST(by_default_a_port_is_the_hosts_loopback_only)
{
	struct tenant a = {0}, b = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	publish(&a, "3000");
	publish(&b, "127.0.0.2:3000:3000");
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	CHECK(tcp_to(here, "127.0.0.1", 3000, a.ns, 3000, from));
	CHECK_STR(from, "10.88.0.1");
	/* Two jails both listen on 3000. */
	CHECK(tcp_to(here, "127.0.0.2", 3000, b.ns, 3000, from));
	CHECK(!tcp_at(internet, "192.0.2.1", 3000, a.ns, NULL, 3000, NULL, NULL, BRIEF));
	/* Another jail has no business on the host's loopback. */
	CHECK(!tcp_at(b.ns, a.link.gateway4, 3000, a.ns, NULL, 3000, NULL, NULL, BRIEF));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

static int route_loopback_here(void *arg, struct err *e)
{
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct net_addr lo, gw;
	int r;

	(void)arg;
	must(net_addr_parse("127.0.0.0/8", &lo, e), e);
	must(net_addr_parse("192.0.2.1", &gw, e), e);
	must(nl_open(&nl, NETLINK_ROUTE, -1, e), e);
	/* Off the loopback link, and onto the wire: what a hostile neighbour does. */
	rt_addr_del(&b, 1, &(struct net_addr){AF_INET, 8, {127, 0, 0, 1}});
	rt_route_add(&b, &(struct rt_route){.dst = lo, .via = gw, .index = 100});
	r = nl_exec(&nl, &b, e);
	nl_batch_release(&b);
	nl_close(&nl);
	return r;
}

TEST(a_neighbour_that_sends_to_127_reaches_no_published_port)
{
	struct tenant a = {0};
	struct err e = {0};

	begin();
	publish(&a, "3000");
	publish(&a, "*:4000:3000");
	tenant_up(&a, &blue, "a");
	must(nl_in_netns(internet, route_loopback_here, NULL, &e), &e);
	CHECK(!udp_at(internet, "127.0.0.1", 3000, a.ns, NULL, 3000, NULL, BRIEF));
	CHECK(!tcp_at(internet, "127.0.0.1", 3000, a.ns, NULL, 3000, NULL, NULL, BRIEF));
	CHECK(!tcp_at(internet, "127.0.0.1", 4000, a.ns, NULL, 3000, NULL, NULL, BRIEF));
	CHECK(tcp_to(internet, "192.0.2.1", 4000, a.ns, 3000, NULL));
	tenant_down(&a, &blue);
	end();
}

TEST(a_jail_reaches_its_own_published_port)
{
	struct tenant a = {0}, c = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	publish(&a, "*:8080:80");
	tenant_up(&a, &blue, "a");
	tenant_up(&c, &red, "c");
	CHECK(tcp_to(a.ns, "192.0.2.1", 8080, a.ns, 80, from));
	CHECK_STR(from, "10.88.0.1");
	/* What is published for all is published for other networks, and shows who comes. */
	CHECK(tcp_to(c.ns, "192.0.2.1", 8080, a.ns, 80, from));
	CHECK_STR(from, c.link.addr4);
	CHECK(tcp_to(here, "192.0.2.1", 8080, a.ns, 80, from));
	tenant_down(&a, &blue);
	tenant_down(&c, &red);
	end();
}

TEST(one_port_of_the_hosts_loopback_is_let_in)
{
	struct tenant a = {0}, b = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	a.link.host_ports = mem_new(sizeof(*a.link.host_ports));
	a.link.host_ports[a.link.n_host_ports++] =
		(struct net_port){.proto = NET_TCP, .host_port = 5432, .jail_port = 15432};
	tenant_up(&a, &blue, "a");
	tenant_up(&b, &blue, "b");
	CHECK(tcp_at(a.ns, a.link.gateway4, 15432, here, "127.0.0.1", 5432, from, NULL, PATIENT));
	CHECK_STR(from, a.link.addr4);
	CHECK(!tcp_at(a.ns, a.link.gateway4, 5432, here, "127.0.0.1", 5432, NULL, NULL, BRIEF));
	CHECK(!tcp_at(b.ns, b.link.gateway4, 15432, here, "127.0.0.1", 5432, NULL, NULL, BRIEF));
	tenant_down(&a, &blue);
	tenant_down(&b, &blue);
	end();
}

TEST(a_service_on_the_loopback_inside_can_be_published)
{
	struct tenant a = {0};
	struct net_link now;
	struct net_port plain;
	struct err e = {0};
	char from[NET_ADDR_TEXT_BYTES] = "";

	begin();
	publish(&a, "*:8080:80");
	a.link.ports[0].inner_loopback = true;
	tenant_up(&a, &blue, "a");
	CHECK(tcp_at(internet, "192.0.2.1", 8080, a.ns, "127.0.0.1", 80, from, NULL, PATIENT));
	CHECK_STR(from, "192.0.2.2");
	CHECK(tcp_at(here, "192.0.2.1", 8080, a.ns, "127.0.0.1", 80, NULL, NULL, PATIENT));
	/* Only that one, and only while it is asked for. */
	CHECK(!tcp_at(here, a.link.addr4, 81, a.ns, "127.0.0.1", 81, NULL, NULL, BRIEF));
	now = a.link;
	plain = a.link.ports[0];
	plain.inner_loopback = false;
	now.ports = &plain;
	CHECK_INT(net_update(&a.link, &now, a.ns, &e), 0);
	CHECK(!tcp_at(internet, "192.0.2.1", 8080, a.ns, "127.0.0.1", 80, NULL, NULL, BRIEF));
	CHECK(tcp_to(internet, "192.0.2.1", 8080, a.ns, 80, NULL));
	tenant_down(&a, &blue);
	end();
}

/* A connection that stays open across a change of policy. */
TEST(a_revoked_permission_cuts_what_is_open)
{
	struct tenant a = {0};
	struct net_link now;
	struct sock server, client;
	struct pollfd p;
	struct err e = {0};
	char byte = 'x';
	int fd;

	begin();
	tenant_up(&a, &blue, "a");
	server = sock_in(internet, SOCK_STREAM, NULL, AF_INET, 80, true);
	client = sock_in(a.ns, SOCK_STREAM, "192.0.2.2", 0, 80, false);
	p = (struct pollfd){.fd = server.fd, .events = POLLIN};
	CHECK_INT(poll(&p, 1, WORLD_WAIT_MS), 1);
	fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	CHECK_INT(send(client.fd, &byte, 1, MSG_NOSIGNAL), 1);
	CHECK_INT(poll(&p, 1, WORLD_WAIT_MS), 1);
	CHECK_INT(recv(fd, &byte, 1, 0), 1);
	now = a.link;
	now.egress_only = true;
	CHECK_INT(net_update(&a.link, &now, -1, &e), 0);
	CHECK_INT(send(client.fd, &byte, 1, MSG_NOSIGNAL), 1);
	CHECK_INT(poll(&p, 1, WORLD_SILENCE_MS * 2), 0);
	CHECK_INT(net_update(&now, &a.link, -1, &e), 0);
	CHECK_INT(poll(&p, 1, WORLD_WAIT_MS), 1); /* sent again by TCP, and allowed again */
	close(fd);
	close(server.fd);
	close(client.fd);
	tenant_down(&a, &blue);
	end();
}

TEST(everywhere_means_the_internet)
{
	struct tenant a = {.link = {.egress_only = true}};
	struct err e = {0};
	int lan;

	begin();
	lan = world_link("lan0", 101, "192.168.77.1/24", "192.168.77.2/24", NULL, NULL);
	a.link.egress = mem_new_array(2, sizeof(*a.link.egress));
	must(net_egress_parse("!192.0.2.0/24:81", &a.link.egress[a.link.n_egress++], &e), &e);
	must(net_egress_parse("*", &a.link.egress[a.link.n_egress++], &e), &e);
	tenant_up(&a, &blue, "a");
	CHECK(tcp_says(a.ns, "192.0.2.2", 80, internet, NULL));
	CHECK(tcp_says(a.ns, "2001:db8::2", 80, internet, NULL));
	CHECK(tcp_refused(a.ns, "192.0.2.2", 81, internet));
	CHECK(tcp_refused(a.ns, "192.168.77.2", 80, lan));
	tenant_down(&a, &blue);
	close(lan);
	end();
}

TEST(a_port_that_is_taken_is_refused_and_its_holder_unharmed)
{
	struct tenant a = {0}, b = {0};
	struct err e = {0};
	int pool;

	begin();
	publish(&a, "*:8080:80");
	publish(&b, "*:8081:80");
	publish(&b, "*:8080:80");
	tenant_up(&a, &blue, "a");
	CHECK_INT(tenant_try(&b, &blue, "b", &e), -EADDRINUSE);
	CHECK(strstr(e.text, "another jail has published the same one"));
	CHECK(tcp_to(internet, "192.0.2.1", 8080, a.ns, 80, NULL));
	/* Nothing of the failed one is left, and undoing it again does not touch the other's. */
	CHECK_INT(net_detach(&b.link, b.ns, NULL, &e), 0);
	CHECK(tcp_to(internet, "192.0.2.1", 8080, a.ns, 80, NULL));
	pool = pool_dir("blue");
	CHECK_INT(net_release(&b.link, pool, &e), 0);
	close(pool);
	net_link_release(&b.link);
	close(b.ns);
	tenant_down(&a, &blue);
	end();
}

TEST(ports_and_egress_change_live)
{
	struct tenant a = {0};
	struct net_link now;
	struct net_egress rule;
	struct err e = {0};

	begin();
	publish(&a, "*:8080:80");
	tenant_up(&a, &blue, "a");
	CHECK(tcp_to(internet, "192.0.2.1", 8080, a.ns, 80, NULL));
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	now = a.link;
	now.ports = &(struct net_port){
		.proto = NET_TCP, .address = (char[]){"*"}, .host_port = 9090, .jail_port = 80};
	now.egress_only = true;
	must(net_egress_parse("192.0.2.0/24:443", &rule, &e), &e);
	now.egress = &rule;
	now.n_egress = 1;
	CHECK_INT(net_update(&a.link, &now, a.ns, &e), 0);
	CHECK(!tcp_at(internet, "192.0.2.1", 8080, a.ns, NULL, 80, NULL, NULL, BRIEF));
	CHECK(tcp_to(internet, "192.0.2.1", 9090, a.ns, 80, NULL));
	CHECK(!udp_tries(a.ns, "192.0.2.2", 9, internet));
	CHECK(tcp_refused(a.ns, "192.0.2.2", 80, internet));
	CHECK(tcp_says(a.ns, "192.0.2.2", 443, internet, NULL));
	/* Again from the changed state, and back. */
	CHECK_INT(net_update(&now, &now, a.ns, &e), 0);
	CHECK_INT(net_update(&now, &a.link, a.ns, &e), 0);
	CHECK(udp_says(a.ns, "192.0.2.2", 9, internet, NULL));
	free(rule.to);
	tenant_down(&a, &blue);
	end();
}

TEST_MAIN
