#include "net/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	OWNER_BYTES = 256,
	FIRST_GIVEN = 2, /* after the network's own address and the gateway's */
	TRIES_MAX = 65536, /* of an IPv6 subnet, which nobody fills */
};

/* Taken and given back one at a time: the owner must not change between reading and removing. */
static int lock(int dirfd, int how, struct err *e)
{
	int r;

	do
		r = flock(dirfd, how);
	while (r < 0 && errno == EINTR);
	return r < 0 ? err_sys(e, "cannot lock the address pool") : 0;
}

/* FNV-1a: not for secrecy, only for spreading. */
static uint64_t spread(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	return h ^ h >> 29;
}

/* How many addresses of the subnet may be given. */
static uint64_t usable(const struct net_addr *subnet)
{
	unsigned int bits = 8u * (unsigned int)net_addr_size(subnet) - subnet->prefix;
	uint64_t all = bits >= 32 ? UINT32_MAX : UINT64_C(1) << bits;

	return all > FIRST_GIVEN + 1 ? all - FIRST_GIVEN - 1 : 0;
}

static bool owned_by(int dirfd, const char *name, const char *owner)
{
	char text[OWNER_BYTES];
	ssize_t n = readlinkat(dirfd, name, text, sizeof(text));

	return n >= 0 && (size_t)n == strlen(owner) && !memcmp(text, owner, (size_t)n);
}

/* 1: it is owner's now; 0: another's; -errno. */
static int try_claim(int dirfd, const struct net_addr *a, const char *owner)
{
	char name[NET_ADDR_TEXT_BYTES];

	net_addr_print(a, name);
	if (!symlinkat(owner, dirfd, name))
		return 1;
	if (errno != EEXIST)
		return -errno;
	return owned_by(dirfd, name, owner);
}

static int claim_wanted(int dirfd, const char *owner, const struct net_addr *wanted,
	struct net_addr *ret, struct err *e)
{
	char name[NET_ADDR_TEXT_BYTES], other[OWNER_BYTES] = "";
	struct net_addr a = *wanted;
	int r;

	a.prefix = (uint8_t)(8 * net_addr_size(&a));
	r = try_claim(dirfd, &a, owner);
	net_addr_print(&a, name);
	if (r < 0)
		return err_set(e, -r, "cannot claim address '%s': %s", name, strerrordesc_np(-r));
	if (!r) {
		if (readlinkat(dirfd, name, other, sizeof(other) - 1) < 0)
			other[0] = '\0';
		return err_set(e, EADDRINUSE, "cannot claim address '%s': it is taken by '%s'",
			name, other);
	}
	*ret = a;
	return 0;
}

static int claim_any(int dirfd, const struct net_addr *subnet, const char *owner,
	struct net_addr *ret, struct err *e)
{
	char name[NET_ADDR_TEXT_BYTES];
	uint64_t n = usable(subnet), at = n ? spread(owner) % n : 0;

	for (uint64_t i = 0; i < MIN(n, (uint64_t)TRIES_MAX); i++) {
		struct net_addr a = net_addr_nth(subnet, FIRST_GIVEN + (at + i) % n);
		int r = try_claim(dirfd, &a, owner);

		if (r < 0)
			return err_set(e, -r, "cannot claim address '%s': %s",
				net_addr_print(&a, name), strerrordesc_np(-r));
		if (r) {
			*ret = a;
			return 0;
		}
	}
	return err_set(e, ENOSPC, "no address of '%s' is free; make a larger network",
		net_addr_print(subnet, name));
}

static bool may_be_given(const struct net_addr *subnet, const struct net_addr *a)
{
	struct net_addr whole = *a;

	whole.prefix = (uint8_t)(8 * net_addr_size(&whole));
	for (uint64_t i = 0; i < FIRST_GIVEN; i++) {
		struct net_addr kept = net_addr_nth(subnet, i);

		if (net_addr_equal(&kept, &whole))
			return false;
	}
	return net_addr_within(&whole, subnet);
}

int net_pool_claim(int dirfd, const struct net_addr *subnet, const char *owner,
	const struct net_addr *wanted, struct net_addr *ret, struct err *e)
{
	char name[NET_ADDR_TEXT_BYTES], net[NET_ADDR_TEXT_BYTES];
	int r;

	if (wanted && !may_be_given(subnet, wanted))
		return err_set(e, EINVAL,
			"cannot claim address '%s': it is not one for jails of '%s'",
			net_addr_print(wanted, name), net_addr_print(subnet, net));
	if (lock(dirfd, LOCK_EX, e) < 0)
		return -e->code;
	r = wanted ? claim_wanted(dirfd, owner, wanted, ret, e)
		   : claim_any(dirfd, subnet, owner, ret, e);
	flock(dirfd, LOCK_UN);
	return r;
}

int net_pool_release(int dirfd, const struct net_addr *a, const char *owner, struct err *e)
{
	char name[NET_ADDR_TEXT_BYTES];
	struct net_addr whole = *a;
	int r = 0;

	whole.prefix = (uint8_t)(8 * net_addr_size(&whole));
	net_addr_print(&whole, name);
	if (lock(dirfd, LOCK_EX, e) < 0)
		return -e->code;
	if (owned_by(dirfd, name, owner) && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		r = err_sys(e, "cannot give address '%s' back", name);
	flock(dirfd, LOCK_UN);
	return r;
}
