/*
 * The network of a jail.
 *
 *	struct net_link l = {.mode = NET_NAT, .owner = str_dup("web")};
 *	...ports, egress, rates as the user asked...
 *
 *	r = net_plan(&l, &network, pool_fd, e);	   names, addresses: nothing is made yet
 *	...write l to the jail's state (net_link_table): from here on it can be undone...
 *	r = net_attach(&l, netns_fd, e);	   between OCI create and start
 *	...
 *	net_detach(&l, &counters, e);		   any number of times, from any half-way state
 *	net_release(&l, pool_fd, e);		   the address may be given to another
 *	net_link_release(&l);
 *
 * A link is planned first and made second, and everything made hangs from two things: the veth
 * pair, which the kernel removes with the jail's network namespace (its addresses, routes and
 * neighbours with it), and the elements of our one nftables table, whose keys the record tells.
 * So a SIGKILL anywhere leaves nothing that net_detach of the record does not undo.
 *
 * How NET_NAT holds (docs: K1-K6, K11 in SECURITY.md).  Each jail has a routed link of its own:
 * a /32 and /128, permanent neighbours and no ARP, so there is no shared segment to listen on or
 * to spoof.  One table, `inet jail`, holds sets and maps that every jail has one element in.
 * Packets of jails' links that the table knows are marked; the routes to jails stand in a
 * routing table that is looked up only for marked packets and for what the host sends itself,
 * and the network's whole subnet is unreachable in the main table.  Reverse path filtering on
 * the jail's link follows the mark.  Hence, when somebody flushes the rules, no packet of a jail
 * goes anywhere, neither out nor into the host, until net_restore has put them back: a lost rule
 * means no way out.  (IPv6 has no reverse path filter of its own: there, what is lost with the
 * table is the ban on single datagrams to the host's own addresses; nothing comes back.)
 *
 * All functions act on the caller's network namespace, need CAP_NET_ADMIN (net_attach also
 * CAP_SYS_ADMIN) and must be called from a single-threaded process: they visit the jail's
 *namespace.
 */
#ifndef JAIL_NET_NET_H
#define JAIL_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/addr.h"

enum net_mode {
	NET_NONE, /* loopback only */
	NET_NAT, /* a routed link of its own, hidden behind the host's address */
	NET_BRIDGE, /* a veth end in the existing bridge .parent */
	NET_MACVLAN, /* an own MAC on the existing link .parent */
	NET_HOST, /* the host's stack: nothing is attached */
	NET_JAIL, /* another jail's stack: nothing is attached */
	NET_INTERFACE, /* the existing link .parent is moved in, and given back */
};
extern const char *const net_mode_names[]; /* by enum net_mode; NULL-terminated */

enum net_proto { NET_TCP, NET_UDP };
extern const char *const net_proto_names[];

/* A published port. */
struct net_port {
	int proto; /* enum net_proto */
	char *address; /* of the host; NULL: 127.0.0.1; "*": all but ::1 */
	uint32_t host_port; /* 1..65535 */
	uint32_t jail_port;
	bool inner_loopback; /* the service inside listens on 127.0.0.1 only */
};

/*
 * One line of an egress policy.  Lines with addresses are judged in order, the first that matches
 * decides; then those with names (so a refused network stays refused, whatever a name means);
 * what nothing matches is refused.  "*" is every address of the internet, private ones only with
 * allow_lan.
 */
struct net_egress {
	char *to; /* "10.0.0.0/8", "2001:db8::/32", "example.org", "*.example.org", "*" */
	uint32_t port_min; /* 0: any port and protocol */
	uint32_t port_max;
	int proto; /* enum net_proto, when there is a port */
	bool refuse;
};

/* A named network: jails of one see each other, those of different ones do not. */
struct net_network {
	char *name;
	uint32_t id; /* random, not 0 */
	char *subnet4; /* "10.88.0.0/16"; its first address is the gateway's */
	char *subnet6; /* "fd…::/64", or NULL: no IPv6 */
	bool internal; /* no way out: its jails see each other only */
	uint32_t mtu; /* 0: 1500 */
};

struct net_link {
	/* Asked for; set before net_plan. */
	int mode; /* enum net_mode */
	char *owner; /* the jail's name */
	char *jail_if; /* name inside; NULL: "eth0", or .parent's of a moved one */
	char *parent; /* bridge, lower link, or interface to move */
	char *addr4, *addr6; /* fixed address, with a prefix for bridge and macvlan; NULL: from the
				pool (nat) or none */
	char *gateway4, *gateway6; /* default route, for bridge, macvlan, interface; NULL: none */
	char *mac; /* NULL: random */
	uint32_t mtu; /* 0: the network's, or the parent's */
	bool allow_lan; /* private, link-local and metadata addresses too */
	bool allow_host; /* the host's own addresses too */
	bool egress_only; /* only what .egress allows; else everything public */
	struct net_egress *egress;
	size_t n_egress;
	struct net_port *ports; /* from the host (or further) to the jail */
	size_t n_ports;
	struct net_port
		*host_ports; /* the host's loopback port host_port, inside at gateway:jail_port */
	size_t n_host_ports;
	uint64_t rate_in, rate_out; /* bytes per second into and out of the jail; 0: no limit */

	/* Chosen by net_plan. */
	char *host_if; /* "jl" and 8 random hex digits */
	char *host_mac;
	uint32_t index; /* of both ends, each in its namespace */
	uint32_t network_id;
	char *subnet4, *subnet6; /* the network's */
	bool internal;
};

extern const struct json_table net_link_table, net_network_table;
#define AUTO_NET_LINK __attribute__((cleanup(net_link_release)))
void net_link_release(struct net_link *l) __attribute__((nonnull));
void net_network_release(struct net_network *n) __attribute__((nonnull));

/*
 * "[addr:]host:jail[/udp]", "port[/udp]" (both sides), addr also "[2001:db8::1]", "*" or "0.0.0.0".
 * Without addr it is 127.0.0.1; ::1 is -EOPNOTSUPP.
 */
int net_port_parse(const char *s, struct net_port *ret, struct err *e) __attribute__((nonnull));
/* "example.org:443", "10.0.0.0/8", "[2001:db8::1]:22", "1.1.1.1:53/udp", "name:8000-8010"; "!"
 * before it refuses. */
int net_egress_parse(const char *s, struct net_egress *ret, struct err *e) __attribute__((nonnull));

/*
 * Fills a new network's id and, where NULL, its subnet: a private /20 that no address or route of
 * this host touches, chosen by name so that it is the same again next time.  With ipv6 also an
 * fd00::/8 subnet.  Given subnets are checked.
 */
int net_network_plan(struct net_network *n, bool ipv6, struct err *e) __attribute__((nonnull));

/*
 * Chooses what net_attach will make and, for NET_NAT, claims addresses in the pool directory
 * pool_fd (one per network; see pool.h).  network is for NET_NAT, else NULL.  A fixed address
 * that another jail holds is -EADDRINUSE, naming it; a full pool -ENOSPC.
 */
int net_plan(struct net_link *l, const struct net_network *network, int pool_fd, struct err *e)
	__attribute__((nonnull(1, 4)));

/* What an attach changed of the host, for the caller to tell; or'ed into the result. */
enum net_told {
	NET_TOLD_FORWARD4 = 1, /* net.ipv4.ip_forward was 0 and is 1 */
	NET_TOLD_FORWARD6 = 2, /* net.ipv6.conf.all.forwarding likewise */
	NET_TOLD_TABLE =
		4, /* the table was not there: others' rules are gone too, call net_restore */
};
/*
 * Makes the link: rules first, routes second.  Returns net_told bits, or -errno with nothing
 * left behind.
 */
int net_attach(const struct net_link *l, int netns_fd, struct err *e) __attribute__((nonnull));

struct net_counters {
	uint64_t in_bytes, in_packets; /* towards the jail */
	uint64_t out_bytes, out_packets; /* from it; refused ones count too */
};
/* Of NET_NAT, also after the jail's end, until net_detach. */
int net_counters(const struct net_link *l, struct net_counters *ret, struct err *e)
	__attribute__((nonnull));

/*
 * Undoes net_attach; what is not there is no failure.  netns_fd is the jail's namespace while
 * there still is one (NET_INTERFACE needs it to give the interface back), else -1.  ret, when
 * not NULL, gets the last counters.
 */
int net_detach(const struct net_link *l, int netns_fd, struct net_counters *ret, struct err *e)
	__attribute__((nonnull(1, 4)));
/* Gives the addresses back to the pool. */
int net_release(const struct net_link *l, int pool_fd, struct err *e) __attribute__((nonnull));

/*
 * Changes ports, egress, allowances and rates of a live link from was to now, the rules in one
 * transaction.  Connections that the new policy may not allow are cut.  netns_fd is the jail's
 * namespace, needed for ports with inner_loopback only, else -1.
 */
int net_update(const struct net_link *was, const struct net_link *now, int netns_fd, struct err *e)
	__attribute__((nonnull(1, 2, 4)));

/* 1 when our table is there, 0 when somebody removed it, -errno. */
int net_table_present(struct err *e) __attribute__((nonnull));
/*
 * Removes whatever is left of our table, rules and routes and makes them again for exactly these
 * links, in one transaction: there is no moment without rules.  Returns net_told bits.
 */
int net_restore(const struct net_link *const *links, size_t n, struct err *e)
	__attribute__((nonnull(3)));
/*
 * Removes what a network itself has on the host (made with its first link): its gateway
 * addresses on the loopback link, its unreachable route, its elements.  Its jails must be detached.
 */
int net_network_down(const struct net_network *n, struct err *e) __attribute__((nonnull));
/* Removes the table, the routing rules, and all that net_network_down does of these networks. */
int net_teardown(const struct net_network *const *networks, size_t n, struct err *e)
	__attribute__((nonnull(3)));

/*
 * A tap link in the namespace netns_fd (-1: the caller's), raised, in the bridge named bridge there
 * unless NULL: what a virtual machine's network card is wired to.  Frames carry struct
 * virtio_net_hdr. Returns the owned descriptor, with which the link goes.
 */
int net_tap_open(int netns_fd, const char *name, const char *bridge, struct err *e)
	__attribute__((nonnull(2, 4)));

#endif
