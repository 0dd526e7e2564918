#include "net/addr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

size_t net_addr_size(const struct net_addr *a)
{
	return a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0;
}

static int bad_address(const char *s, struct err *e)
{
	return err_set(e, EINVAL,
		"'%.80s' is not an address such as 10.0.0.1, 10.0.0.0/8 or fd00::1/64", s);
}

int net_addr_parse(const char *s, struct net_addr *ret, struct err *e)
{
	struct net_addr a = {0};
	char text[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	uint64_t prefix;

	if (n >= 2 && s[0] == '[' && s[n - 1] == ']')
		s++, n -= 2;
	if (!n || n >= sizeof(text))
		return bad_address(s, e);
	memcpy(text, s, n);
	text[n] = '\0';
	a.family = memchr(text, ':', n) ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, text, a.bytes) != 1)
		return bad_address(s, e);
	prefix = 8 * net_addr_size(&a);
	if (slash && parse_u64(slash + 1, 0, prefix, &prefix, e) < 0)
		return err_prefix(e, "prefix length of '%.80s'", s);
	a.prefix = (uint8_t)prefix;
	*ret = a;
	return 0;
}

const char *net_addr_print(const struct net_addr *a, char buf[static NET_ADDR_TEXT_BYTES])
{
	size_t n;

	buf[0] = '\0';
	if (!a->family || !inet_ntop(a->family, a->bytes, buf, NET_ADDR_TEXT_BYTES))
		return buf;
	n = strlen(buf);
	if (a->prefix != 8 * net_addr_size(a))
		snprintf(buf + n, NET_ADDR_TEXT_BYTES - n, "/%u", a->prefix);
	return buf;
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, net_addr_size(a));
}

bool net_addr_within(const struct net_addr *a, const struct net_addr *b)
{
	size_t whole = b->prefix / 8;
	unsigned int rest = b->prefix % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (!a->family || a->family != b->family || memcmp(a->bytes, b->bytes, whole) != 0)
		return false;
	return !rest || !((a->bytes[whole] ^ b->bytes[whole]) & mask);
}

bool net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return a->family == AF_INET ? a->bytes[0] == 127
				    : a->family == AF_INET6 && !memcmp(a->bytes, v6, 16);
}

struct net_addr net_addr_nth(const struct net_addr *net, uint64_t n)
{
	struct net_addr a = *net;
	uint32_t low32;
	uint64_t low64;

	if (a.family == AF_INET) {
		memcpy(&low32, a.bytes, sizeof(low32));
		low32 = htobe32(be32toh(low32) + (uint32_t)n);
		memcpy(a.bytes, &low32, sizeof(low32));
	} else {
		memcpy(&low64, a.bytes + 8, sizeof(low64));
		low64 = htobe64(be64toh(low64) + n);
		memcpy(a.bytes + 8, &low64, sizeof(low64));
	}
	a.prefix = (uint8_t)(8 * net_addr_size(&a));
	return a;
}

int net_mac_parse(const char *s, uint8_t ret[static NET_MAC_BYTES], struct err *e)
{
	static const uint8_t zero[NET_MAC_BYTES];
	unsigned int v[NET_MAC_BYTES];
	uint8_t mac[NET_MAC_BYTES];
	int end = 0;

	if (strlen(s) != NET_MAC_TEXT_BYTES - 1 ||
		strspn(s, "0123456789abcdefABCDEF:") != NET_MAC_TEXT_BYTES - 1 ||
		sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
			&end) != 6 ||
		end != NET_MAC_TEXT_BYTES - 1)
		return err_set(e, EINVAL,
			"'%.40s' is not a hardware address such as 02:00:5e:10:00:01", s);
	for (size_t i = 0; i < NET_MAC_BYTES; i++)
		mac[i] = (uint8_t)v[i];
	if (mac[0] & 1 || !memcmp(mac, zero, sizeof(zero)))
		return err_set(e, EINVAL,
			"'%s' cannot be a link's own hardware address: it is a group address or "
			"zero",
			s);
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

const char *net_mac_print(
	const uint8_t mac[static NET_MAC_BYTES], char buf[static NET_MAC_TEXT_BYTES])
{
	snprintf(buf, NET_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	return buf;
}
