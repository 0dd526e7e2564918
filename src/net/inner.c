#include "net/inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>

#include "net/nft.h"
#include "net/rt.h"

#define INNER_TABLE "jail_inner"

static const struct nft_set ports = {"ports", {NFT_TYPE_PROTO, NFT_TYPE_PORT}};
static const struct nft_chain chain = {"arrive", "nat", NF_INET_PRE_ROUTING, -100};
static const struct nft_op to_loopback[] = {
	NFT_META_LOAD(NFPROTO, 15),
	NFT_EQ8(15, NFPROTO_IPV4),
	NFT_DADDR_TYPE(15),
	NFT_EQ32(15, RTN_LOCAL),
	NFT_META_LOAD(L4PROTO, 0),
	NFT_DPORT(1),
	NFT_IN(0, "ports"),
	NFT_LOAD(8, 4, NFT_BYTES(127, 0, 0, 1)),
	NFT_DNAT_TO(NFPROTO_IPV4, 8, -1),
};

bool inner_wanted(const struct net_link *l)
{
	for (size_t i = 0; i < l->n_ports; i++) {
		if (l->ports[i].inner_loopback)
			return true;
	}
	return false;
}

static void add_ports(struct nl_batch *b, const struct net_link *l)
{
	for (size_t i = 0; i < l->n_ports; i++) {
		struct nft_elem el = {.set = ports.name};
		uint8_t proto = l->ports[i].proto == NET_UDP ? IPPROTO_UDP : IPPROTO_TCP;
		uint16_t port = htons((uint16_t)l->ports[i].jail_port);

		if (!l->ports[i].inner_loopback)
			continue;
		nft_key(&el, &proto, sizeof(proto));
		nft_key(&el, &port, sizeof(port));
		nft_elem_add(b, INNER_TABLE, &el);
	}
}

static int route_loopback(const struct net_link *l, int netns_fd, bool on, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct rt_conf conf = {IPV4_DEVCONF_ROUTE_LOCALNET, on};

	if (nl_open(&nl, NETLINK_ROUTE, netns_fd, e) < 0)
		return -e->code;
	rt_link_conf4(&b, l->index, &conf, 1);
	return nl_exec(&nl, &b, e);
}

int inner_set(const struct net_link *l, int netns_fd, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	bool on = inner_wanted(l);

	if (netns_fd < 0)
		return err_set(
			e, EBADF, "ports on the loopback inside need the jail's network namespace");
	if (nl_open(&nl, NETLINK_NETFILTER, netns_fd, e) < 0)
		return -e->code;
	nft_begin(&b);
	nft_table_del(&b, INNER_TABLE);
	if (on) {
		nft_table_new(&b, INNER_TABLE);
		nft_set_new(&b, INNER_TABLE, &ports, 1);
		nft_chain_new(&b, INNER_TABLE, &chain);
		nft_rule_add(&b, INNER_TABLE, chain.name, to_loopback, ARRAY_SIZE(to_loopback));
		add_ports(&b, l);
	}
	nft_commit(&b);
	if (nl_exec(&nl, &b, e) < 0)
		return -e->code;
	return route_loopback(l, netns_fd, on, e);
}
