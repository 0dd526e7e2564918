#include "net/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"

#define IPV4_FORWARD "/proc/sys/net/ipv4/ip_forward"
#define IPV6_FORWARD "/proc/sys/net/ipv6/conf/all/forwarding"

/*
 * Routes to jails are found by packets with the mark, which only the table gives, and by what
 * the host's own sockets send.  The latter is told apart by "iif lo" and a protocol: the reverse
 * path filter asks as the host too, but (in fib_validate_source()) without a protocol.
 */
static const struct rt_rule routing_rules[] = {
	{AF_INET, TABLE_RULE_PRIORITY, TABLE_ROUTES, TABLE_MARK, TABLE_MARK},
	{AF_INET, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_TCP},
	{AF_INET, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_UDP},
	{AF_INET, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_ICMP},
	{AF_INET6, TABLE_RULE_PRIORITY, TABLE_ROUTES, TABLE_MARK, TABLE_MARK},
	{AF_INET6, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_TCP},
	{AF_INET6, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_UDP},
	{AF_INET6, TABLE_RULE_PRIORITY + 1, TABLE_ROUTES, .iif = "lo", .ip_proto = IPPROTO_ICMPV6},
};

void host_rules_add(struct nl_batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(routing_rules); i++)
		rt_rule_add(b, &routing_rules[i]);
}

void host_rules_del(struct nl_batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(routing_rules); i++)
		rt_rule_del(b, &routing_rules[i]);
}

/* IPv6 has no reverse path filter: what comes from the subnet without the mark goes nowhere. */
static struct rt_rule unmarked_rule(const struct net_addr *subnet)
{
	return (struct rt_rule){.family = AF_INET6,
		.priority = TABLE_RULE_PRIORITY + 2,
		.mark = 0,
		.mark_mask = TABLE_MARK,
		.src = *subnet,
		.action = FR_ACT_PROHIBIT};
}

enum { LOOPBACK_INDEX = 1 }; /* in every network namespace */

void host_network_up(
	struct nl_batch *b, const struct net_addr *subnet, const struct net_addr *gateway)
{
	struct rt_route route = {.dst = *subnet, .type = RTN_UNREACHABLE};
	struct rt_rule rule = unmarked_rule(subnet);

	rt_addr_add(b, LOOPBACK_INDEX, gateway);
	rt_route_add(b, &route);
	if (subnet->family == AF_INET6)
		rt_rule_add(b, &rule);
}

void host_network_down(struct nl_batch *b, const struct net_addr *subnet)
{
	struct rt_route route = {.dst = *subnet, .type = RTN_UNREACHABLE};
	struct rt_rule rule = unmarked_rule(subnet);
	struct net_addr gateway = net_addr_nth(subnet, 1);

	rt_addr_del(b, LOOPBACK_INDEX, &gateway);
	rt_route_del(b, &route);
	if (subnet->family == AF_INET6)
		rt_rule_del(b, &rule);
}

int host_make(struct nl *route, struct nl *nft, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	int r;

	host_rules_add(&b);
	r = nl_exec(route, &b, e);
	if (r < 0)
		return r;
	nft_begin(&b);
	table_make(&b);
	nft_commit(&b);
	r = nl_exec(nft, &b, e);
	return r == -EEXIST ? 0 : r;
}

/* --- forwarding --- */

/* 1 when the file's value begins with '0'. */
static int is_off(const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd < 0 || read(fd, &c, 1) != 1)
		return err_sys(e, "cannot read '%s'", path);
	return c == '0';
}

static int switch_on(const char *path, struct err *e)
{
	int r = is_off(path, e);

	if (r <= 0)
		return r;
	r = file_write_kernel(AT_FDCWD, path, FILE_PROC, "1", e);
	return r < 0 ? err_hint(e, "jails in mode 'nat' need the host to forward packets") : 1;
}

/*
 * A host that forwards IPv6 no longer listens to its router's advertisements, and would lose its
 * own way out when the present one ends; with accept_ra 2 it listens all the same.
 */
static void keep_router_advertisements(void)
{
	DIR *d = opendir("/proc/sys/net/ipv6/conf");
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		AUTO_FREE char *path =
			str_fmt("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
		struct err ignored = {0};
		char c = 0;
		AUTO_FD int fd = -EBADF;

		if (entry->d_name[0] == '.' || str_eq(entry->d_name, "all"))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, &c, 1) == 1 && c == '1')
			file_write_kernel(AT_FDCWD, path, FILE_PROC, "2", &ignored);
	}
	if (d)
		closedir(d);
}

int host_forward(const struct plan *p, struct err *e)
{
	int told = 0, r;

	if (p->addr[0].family) {
		r = switch_on(IPV4_FORWARD, e);
		if (r < 0)
			return r;
		told |= r ? NET_TOLD_FORWARD4 : 0;
	}
	if (p->addr[1].family) {
		r = is_off(IPV6_FORWARD, e);
		if (r > 0)
			keep_router_advertisements();
		if (r >= 0)
			r = switch_on(IPV6_FORWARD, e);
		if (r < 0)
			return r;
		told |= r ? NET_TOLD_FORWARD6 : 0;
	}
	return told;
}

int host_link_sysctl(
	int family, const char *link, const char *key, const char *value, struct err *e)
{
	AUTO_FREE char *path = str_fmt(
		"/proc/sys/net/%s/conf/%s/%s", family == AF_INET ? "ipv4" : "ipv6", link, key);
	struct err why = {0};
	int r = file_write_kernel(AT_FDCWD, path, FILE_PROC, value, &why);

	if (r < 0 && r != -ENOENT)
		*e = why;
	return r == -ENOENT ? 0 : r;
}
