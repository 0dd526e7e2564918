#include "agent/netcfg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/route.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/parse.h"

static const struct json_field netcfg_fields[] = {
	JSON_FIELD(struct netcfg, interface, "interface", JSON_STR, .flags = JSON_NONEMPTY),
	JSON_FIELD(struct netcfg, addresses, "addresses", JSON_STRV),
	JSON_FIELD(struct netcfg, gateways, "gateways", JSON_STRV),
	JSON_FIELD(struct netcfg, mtu, "mtu", JSON_U32, .min = 0, .max = 65535),
};
const struct json_table netcfg_table =
	JSON_TABLE(struct netcfg, netcfg_fields, .flags = JSON_STRICT);

int netcfg_parse_address(
	const char *text, unsigned char ret_address[16], unsigned int *ret_prefix, struct err *e)
{
	AUTO_FREE char *copy = str_dup(text);
	char *slash = strchr(copy, '/');
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint64_t widest = family == AF_INET ? 32 : 128, prefix = widest;
	unsigned char address[16] = {0};

	if (slash)
		*slash++ = '\0';
	if (inet_pton(family, copy, address) != 1 ||
		(slash && parse_u64(slash, 0, widest, &prefix, e) < 0))
		return err_set(e, EINVAL, "'%.64s' is not an address such as 10.0.0.2/24", text);
	memcpy(ret_address, address, sizeof(address));
	*ret_prefix = (unsigned int)prefix;
	return family;
}

static int request(
	int sock, unsigned long what, void *p, const char *name, const char *doing, struct err *e)
{
	if (ioctl(sock, what, p) < 0 && errno != EEXIST)
		return err_sys(e, "cannot %s interface '%s'", doing, name);
	return 0;
}

static struct ifreq named(const char *name)
{
	struct ifreq r = {0};

	memcpy(r.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return r;
}

static void put_ipv4(struct sockaddr *to, const void *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
	memcpy(to, &in, sizeof(in));
}

static int raise(int sock, const char *name, struct err *e)
{
	struct ifreq r = named(name);

	if (request(sock, SIOCGIFFLAGS, &r, name, "look at", e) < 0)
		return -e->code;
	r.ifr_flags |= IFF_UP;
	return request(sock, SIOCSIFFLAGS, &r, name, "raise", e);
}

static int add_ipv4(int sock, const char *name, const unsigned char *address, unsigned int prefix,
	struct err *e)
{
	uint32_t mask = htonl(prefix ? ~0u << (32 - prefix) : 0);
	struct ifreq r = named(name);

	put_ipv4(&r.ifr_addr, address);
	if (request(sock, SIOCSIFADDR, &r, name, "give an address to", e) < 0)
		return -e->code;
	put_ipv4(&r.ifr_netmask, &mask);
	return request(sock, SIOCSIFNETMASK, &r, name, "set the netmask of", e);
}

static int add_ipv6(int sock, const char *name, const unsigned char *address, unsigned int prefix,
	struct err *e)
{
	struct in6_ifreq r = {.ifr6_prefixlen = prefix, .ifr6_ifindex = (int)if_nametoindex(name)};

	memcpy(&r.ifr6_addr, address, sizeof(r.ifr6_addr));
	return request(sock, SIOCSIFADDR, &r, name, "give an IPv6 address to", e);
}

static int add_address(const int socks[2], const char *name, const char *text, struct err *e)
{
	unsigned char address[16];
	unsigned int prefix;
	int family = netcfg_parse_address(text, address, &prefix, e);

	if (family < 0)
		return family;
	return family == AF_INET ? add_ipv4(socks[0], name, address, prefix, e)
				 : add_ipv6(socks[1], name, address, prefix, e);
}

static int add_gateway(const int socks[2], const char *name, const char *text, struct err *e)
{
	struct in6_rtmsg six = {.rtmsg_flags = RTF_UP | RTF_GATEWAY, .rtmsg_metric = 1024};
	struct rtentry four = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = (char *)name};
	static const uint32_t any;
	unsigned char address[16];
	unsigned int prefix;
	int family = netcfg_parse_address(text, address, &prefix, e);

	if (family < 0)
		return family;
	if (family == AF_INET6) {
		memcpy(&six.rtmsg_gateway, address, sizeof(six.rtmsg_gateway));
		six.rtmsg_ifindex = (int)if_nametoindex(name);
		return request(socks[1], SIOCADDRT, &six, name, "add the IPv6 default route of", e);
	}
	put_ipv4(&four.rt_dst, &any);
	put_ipv4(&four.rt_genmask, &any);
	put_ipv4(&four.rt_gateway, address);
	return request(socks[0], SIOCADDRT, &four, name, "add the default route of", e);
}

static int find_interface(char ret[IF_NAMESIZE], struct err *e)
{
	struct if_nameindex *all = if_nameindex();
	bool found = false;

	for (struct if_nameindex *i = all; i && i->if_index && !found; i++)
		if (strcmp(i->if_name, "lo") != 0) {
			memcpy(ret, i->if_name, strnlen(i->if_name, IF_NAMESIZE - 1) + 1);
			found = true;
		}
	if (all)
		if_freenameindex(all);
	return found ? 0 : err_set(e, ENODEV, "the guest has no network interface");
}

static int apply(const struct netcfg *c, const int socks[2], const char *name, struct err *e)
{
	struct ifreq mtu = named(name);

	mtu.ifr_mtu = (int)c->mtu;
	if (c->mtu && request(socks[0], SIOCSIFMTU, &mtu, name, "set the MTU of", e) < 0)
		return -e->code;
	if (raise(socks[0], "lo", e) < 0 || raise(socks[0], name, e) < 0)
		return -e->code;
	for (size_t i = 0; i < c->addresses.n; i++)
		if (add_address(socks, name, c->addresses.v[i], e) < 0)
			return -e->code;
	for (size_t i = 0; i < c->gateways.n; i++)
		if (add_gateway(socks, name, c->gateways.v[i], e) < 0)
			return -e->code;
	return 0;
}

int netcfg_apply(const struct netcfg *c, struct err *e)
{
	AUTO_FD int four = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	AUTO_FD int six = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[IF_NAMESIZE] = "";

	if (four < 0)
		return err_sys(e, "cannot make a socket");
	if (c->interface && (strlen(c->interface) >= sizeof(name) || !if_nametoindex(c->interface)))
		return err_set(
			e, ENODEV, "the guest has no network interface '%.32s'", c->interface);
	if (c->interface)
		memcpy(name, c->interface, strlen(c->interface) + 1);
	else if (find_interface(name, e) < 0)
		return -e->code;
	return apply(c, (const int[2]){four, six}, name, e);
}
