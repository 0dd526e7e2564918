/*
 * The guest's network interfaces: addresses and routes as the host says, by the kernel's old
 * ioctls (netdevice(7)), which is all that one interface needs.
 *
 *	r = netcfg_apply(&config, e);
 */
#ifndef JAIL_AGENT_NETCFG_H
#define JAIL_AGENT_NETCFG_H

#include "base/err.h"
#include "base/json.h"

/* NET: {"interface": "eth0", "addresses": ["10.0.0.2/24", "fd00::2/64"], "gateways": ["10.0.0.1"]}
 */
struct netcfg {
	char *interface; /* NULL: the first that is not lo */
	struct strv addresses; /* with their prefix length */
	struct strv gateways; /* default routes, one per family */
	uint32_t mtu; /* 0: as it is */
};
extern const struct json_table netcfg_table;

/* Raises lo and the interface and sets what is asked for. */
int netcfg_apply(const struct netcfg *c, struct err *e) __attribute__((nonnull));

/* "10.0.0.2/24" in its parts.  Returns AF_INET or AF_INET6, or -EINVAL.  Pure. */
int netcfg_parse_address(const char *text, unsigned char ret_address[16], unsigned int *ret_prefix,
	struct err *e) __attribute__((nonnull));

#endif
