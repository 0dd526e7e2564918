#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/path.h"
#include "net/net.h"
#include "net/pool.h"

static const char *round_trip(const char *s)
{
	static char text[NET_ADDR_TEXT_BYTES];
	static struct err e;
	struct net_addr a;

	return net_addr_parse(s, &a, &e) < 0 ? e.text : net_addr_print(&a, text);
}

TEST(addresses_read_and_print)
{
	CHECK_STR(round_trip("10.0.0.1"), "10.0.0.1");
	CHECK_STR(round_trip("10.0.0.0/8"), "10.0.0.0/8");
	CHECK_STR(round_trip("10.0.0.1/32"), "10.0.0.1");
	CHECK_STR(round_trip("[::1]"), "::1");
	CHECK_STR(round_trip("FD00::1/64"), "fd00::1/64");
	CHECK_STR(round_trip("10.0.0"),
		"'10.0.0' is not an address such as 10.0.0.1, 10.0.0.0/8 or fd00::1/64");
	CHECK_STR(
		round_trip(""), "'' is not an address such as 10.0.0.1, 10.0.0.0/8 or fd00::1/64");
	CHECK(strstr(round_trip("10.0.0.0/33"), "prefix length of '10.0.0.0/33': "));
	CHECK(strstr(round_trip("1::1::1"), "is not an address"));
}

static bool within(const char *a, const char *b)
{
	struct net_addr x, y;
	struct err e = {0};

	return net_addr_parse(a, &x, &e) >= 0 && net_addr_parse(b, &y, &e) >= 0 &&
	       net_addr_within(&x, &y);
}

TEST(networks_contain)
{
	CHECK(within("10.1.2.3", "10.0.0.0/8"));
	CHECK(!within("11.1.2.3", "10.0.0.0/8"));
	CHECK(within("172.31.255.255", "172.16.0.0/12"));
	CHECK(!within("172.32.0.0", "172.16.0.0/12"));
	CHECK(within("1.2.3.4", "0.0.0.0/0"));
	CHECK(!within("::1", "0.0.0.0/0"));
	CHECK(within("fd00::5", "fd00::/64"));
	CHECK(within("10.0.0.1", "10.0.0.1"));
}

TEST(hardware_addresses_are_strict)
{
	uint8_t mac[NET_MAC_BYTES];
	char text[NET_MAC_TEXT_BYTES];
	struct err e = {0};

	CHECK_INT(net_mac_parse("02:00:5e:10:00:AB", mac, &e), 0);
	CHECK_STR(net_mac_print(mac, text), "02:00:5e:10:00:ab");
	CHECK_INT(net_mac_parse("01:00:5e:10:00:01", mac, &e), -EINVAL);
	CHECK(strstr(e.text, "group address"));
	CHECK_INT(net_mac_parse("00:00:00:00:00:00", mac, &e), -EINVAL);
	CHECK_INT(net_mac_parse("02:00:5e:10:00", mac, &e), -EINVAL);
	CHECK_INT(net_mac_parse("02:00:5e:10:00:0g", mac, &e), -EINVAL);
	CHECK_INT(net_mac_parse("0:02:00:5e:10:000", mac, &e), -EINVAL);
}

static void check_port(const char *s, int proto, const char *address, uint32_t host, uint32_t jail)
{
	struct net_port p = {0};
	struct err e = {0};

	CHECK_INT(net_port_parse(s, &p, &e), 0);
	CHECK_INT(p.proto, proto);
	CHECK(str_eq(p.address, address));
	CHECK_INT(p.host_port, host);
	CHECK_INT(p.jail_port, jail);
	free(p.address);
}

TEST(ports_as_users_write_them)
{
	struct net_port p = {0};
	struct err e = {0};

	check_port("8080:80", NET_TCP, NULL, 8080, 80);
	check_port("3000", NET_TCP, NULL, 3000, 3000);
	check_port("5353:53/udp", NET_UDP, NULL, 5353, 53);
	check_port("*:80:8080", NET_TCP, "*", 80, 8080);
	check_port("0.0.0.0:80:8080/tcp", NET_TCP, "*", 80, 8080);
	check_port("192.0.2.1:80:80", NET_TCP, "192.0.2.1", 80, 80);
	check_port("[2001:db8::1]:80:80", NET_TCP, "2001:db8::1", 80, 80);
	check_port("[::]:80:80", NET_TCP, "*", 80, 80);
	CHECK_INT(net_port_parse("[::1]:80:80", &p, &e), -EOPNOTSUPP);
	CHECK_INT(net_port_parse("80:0", &p, &e), -ERANGE);
	CHECK_INT(net_port_parse("65536", &p, &e), -ERANGE);
	CHECK_INT(net_port_parse("", &p, &e), -EINVAL);
	CHECK(strstr(e.text, "port ''"));
	CHECK_INT(net_port_parse("80:80/sctp", &p, &e), -EINVAL);
	CHECK_INT(net_port_parse("10.0.0.0/8:80:80", &p, &e), -EINVAL);
	CHECK_INT(net_port_parse("host:80:80", &p, &e), -EINVAL);
}

static void check_egress(
	const char *s, const char *to, uint32_t min, uint32_t max, int proto, bool refuse)
{
	struct net_egress x = {0};
	struct err e = {0};

	CHECK_INT(net_egress_parse(s, &x, &e), 0);
	CHECK_STR(x.to, to);
	CHECK_INT(x.port_min, min);
	CHECK_INT(x.port_max, max);
	CHECK_INT(x.proto, proto);
	CHECK_INT(x.refuse, refuse);
	free(x.to);
}

TEST(egress_rules_as_users_write_them)
{
	struct net_egress x = {0};
	struct err e = {0};

	check_egress("example.org:443", "example.org", 443, 443, NET_TCP, false);
	check_egress("*.example.org", "*.example.org", 0, 0, NET_TCP, false);
	check_egress("10.0.0.0/8", "10.0.0.0/8", 0, 0, NET_TCP, false);
	check_egress("!10.0.0.0/8:22", "10.0.0.0/8", 22, 22, NET_TCP, true);
	check_egress("[2001:db8::1]:22", "2001:db8::1", 22, 22, NET_TCP, false);
	check_egress("2001:db8::/32", "2001:db8::/32", 0, 0, NET_TCP, false);
	check_egress("1.1.1.1:53/udp", "1.1.1.1", 53, 53, NET_UDP, false);
	check_egress("*:8000-8010", "*", 8000, 8010, NET_TCP, false);
	CHECK_INT(net_egress_parse("example.org/udp", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("exa mple.org", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("!example.org", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("example..org", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("example.org:90-80", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("", &x, &e), -EINVAL);
	CHECK_INT(net_egress_parse("*.", &x, &e), -EINVAL);
}

static int pool(char *path)
{
	return mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* From its own folder: a removal does not cross mounts. */
static int remove_pool(const char *path)
{
	int top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct err e = {0};

	r = path_rmtree(top, path + strlen("/tmp/"), &e);
	close(top);
	return r;
}

TEST(a_pool_gives_each_address_once_and_the_same_again)
{
	char path[] = "/tmp/net-pool-XXXXXX", owner[16];
	struct net_addr subnet, a, first, again;
	struct err e = {0};
	int fd = pool(path);

	CHECK_INT(net_addr_parse("10.9.0.0/29", &subnet, &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "web", NULL, &first, &e), 0);
	/* 5 addresses are for jails: not the network, the gateway, the last. */
	for (int i = 1; i < 5; i++) {
		snprintf(owner, sizeof(owner), "o%d", i);
		CHECK_INT(net_pool_claim(fd, &subnet, owner, NULL, &a, &e), 0);
		CHECK(!net_addr_equal(&a, &first));
	}
	CHECK_INT(net_pool_claim(fd, &subnet, "late", NULL, &a, &e), -ENOSPC);
	CHECK_STR(e.text, "no address of '10.9.0.0/29' is free; make a larger network");
	/* A claim is found again by its owner, kept from others, and only given back by its owner.
	 */
	CHECK_INT(net_pool_claim(fd, &subnet, "web", NULL, &again, &e), 0);
	CHECK(net_addr_equal(&again, &first));
	CHECK_INT(net_pool_claim(fd, &subnet, "late", &first, &a, &e), -EADDRINUSE);
	CHECK(strstr(e.text, "it is taken by 'web'"));
	CHECK_INT(net_pool_release(fd, &first, "late", &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "late", NULL, &a, &e), -ENOSPC);
	CHECK_INT(net_pool_release(fd, &first, "web", &e), 0);
	CHECK_INT(net_pool_release(fd, &first, "web", &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "late", NULL, &a, &e), 0);
	CHECK(net_addr_equal(&a, &first));
	CHECK_INT(net_addr_parse("10.9.0.1", &a, &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "web", &a, &again, &e), -EINVAL);
	close(fd);
	CHECK_INT(remove_pool(path), 0);
}

TEST(ipv6_pools_are_wide)
{
	char path[] = "/tmp/net-pool-XXXXXX";
	struct net_addr subnet, a, b;
	struct err e = {0};
	int fd = pool(path);

	CHECK_INT(net_addr_parse("fd12::/64", &subnet, &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "a", NULL, &a, &e), 0);
	CHECK_INT(net_pool_claim(fd, &subnet, "b", NULL, &b, &e), 0);
	CHECK(net_addr_within(&a, &subnet) && net_addr_within(&b, &subnet) &&
		!net_addr_equal(&a, &b));
	close(fd);
	CHECK_INT(remove_pool(path), 0);
}

TEST(plans_refuse_what_cannot_be)
{
	struct net_link l = {.mode = NET_BRIDGE, .owner = str_dup("a")};
	struct net_network n = {.name = str_dup("n"), .subnet4 = str_dup("10.0.0.1/24")};
	struct err e = {0};

	CHECK_INT(net_plan(&l, NULL, -1, &e), -EINVAL);
	CHECK_STR(e.text, "network mode 'bridge' needs the name of an existing link");
	l.rate_in = 1;
	l.mode = NET_MACVLAN;
	CHECK_INT(net_plan(&l, NULL, -1, &e), -EOPNOTSUPP);
	CHECK_STR(e.text, "rates cannot be limited in network mode 'macvlan'");
	l.rate_in = 0;
	l.egress_only = true;
	CHECK_INT(net_plan(&l, NULL, -1, &e), -EOPNOTSUPP);
	CHECK_STR(e.text, "egress rules cannot be held in network mode 'macvlan'; use 'nat'");
	l.egress_only = false;
	l.mode = NET_BRIDGE;
	str_set(&l.jail_if, "a/b");
	CHECK_INT(net_plan(&l, NULL, -1, &e), -EINVAL);
	str_set(&l.jail_if, "a234567890123456");
	CHECK_INT(net_plan(&l, NULL, -1, &e), -EINVAL);
	CHECK_INT(net_network_plan(&n, false, &e), -EINVAL);
	CHECK_STR(e.text, "subnet '10.0.0.1/24' has bits set behind its prefix");
	str_set(&n.subnet4, "10.0.0.0/30");
	CHECK_INT(net_network_plan(&n, false, &e), -EINVAL);
	net_link_release(&l);
	net_network_release(&n);
}

TEST_MAIN
