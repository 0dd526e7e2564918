/*
 * IPv4 and IPv6 addresses with a prefix length, and hardware addresses.
 *
 *	struct net_addr a;
 *	r = net_addr_parse("10.88.0.7/32", &a, e);
 */
#ifndef JAIL_NET_ADDR_H
#define JAIL_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct net_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t prefix; /* bits */
	uint8_t bytes[16];
};

enum { NET_ADDR_TEXT_BYTES = 64, NET_MAC_BYTES = 6, NET_MAC_TEXT_BYTES = 18 };

/* "10.0.0.1", "10.0.0.0/8", "fd00::1/64", "[::1]"; without a prefix it is the whole address. */
int net_addr_parse(const char *s, struct net_addr *ret, struct err *e) __attribute__((nonnull));
/* With "/prefix" unless it is the whole address; "" for none.  Returns buf. */
const char *net_addr_print(const struct net_addr *a, char buf[static NET_ADDR_TEXT_BYTES])
	__attribute__((nonnull));
/* Bytes in the address: 4, 16, or 0 for none. */
size_t net_addr_size(const struct net_addr *a) __attribute__((nonnull));
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b) __attribute__((nonnull));
/* True when a lies in the network of b (same family, b's prefix). */
bool net_addr_within(const struct net_addr *a, const struct net_addr *b) __attribute__((nonnull));
/* True for 127/8 and ::1. */
bool net_addr_is_loopback(const struct net_addr *a) __attribute__((nonnull));
/* The nth address of a network as a whole address; n is added to its last 64 bits. */
struct net_addr net_addr_nth(const struct net_addr *net, uint64_t n) __attribute__((nonnull));

/* "02:00:5e:10:00:01"; multicast and all-zero addresses are refused. */
int net_mac_parse(const char *s, uint8_t ret[static NET_MAC_BYTES], struct err *e)
	__attribute__((nonnull));
const char *net_mac_print(
	const uint8_t mac[static NET_MAC_BYTES], char buf[static NET_MAC_TEXT_BYTES]);

#endif
