/*
 * nf_tables objects as messages of a netlink batch: tables, sets, elements, chains, rules.
 * Known to this room only.
 *
 *	nft_begin(&b);
 *	nft_table_new(&b, "jail");
 *	nft_set_new(&b, "jail", &set);
 *	nft_chain_new(&b, "jail", &chain);
 *	nft_rule_add(&b, "jail", "forward", ops, n);
 *	nft_commit(&b);
 *	r = nl_exec(&nl, &b, e);	all of it, or nothing (one transaction)
 *
 * A rule is an array of struct nft_op, each one expression of the kernel's little machine:
 * load something into registers, compare or look it up, end with a verdict.  The macros below
 * make such an array read like the rule it is:
 *
 *	{NFT_IIFGROUP(0), NFT_EQ32(0, GROUP), NFT_VERDICT(NF_DROP)}
 *
 * Registers are numbered in units of 4 bytes, 0 to 15; an interface name takes four of them,
 * an IPv4 address one, an IPv6 address four, a port or protocol one.  Values that stand next to
 * each other make the key of a concatenation.
 *
 * Own code rather than libnftnl: what is used of nf_tables is a dozen expressions as constant
 * tables, the library's setters are as many lines, and it would be loaded at every start.
 */
#ifndef JAIL_NET_NFT_H
#define JAIL_NET_NFT_H

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* After <netinet/in.h>: the kernel's headers give way to it, not the other way round. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "net/netlink.h"

enum nft_op_kind {
	NFT_OP_META, /* reg = meta key */
	NFT_OP_META_SET, /* meta key = reg */
	NFT_OP_PAYLOAD, /* reg = len bytes at offset of base */
	NFT_OP_CT, /* reg = conntrack key */
	NFT_OP_FIB, /* reg = type of the destination address */
	NFT_OP_CMP, /* go on when reg (cmp) data */
	NFT_OP_BITWISE, /* reg = (reg & data) ^ xor */
	NFT_OP_LOOKUP, /* go on when reg.. is in set; with to >= 0 the value goes there */
	NFT_OP_LOAD, /* reg = data */
	NFT_OP_VMAP, /* verdict from a map */
	NFT_OP_VERDICT, /* code, chain */
	NFT_OP_DNAT, /* destination = address at reg, port at to (< 0: unchanged) */
	NFT_OP_SNAT, /* source = address at reg */
	NFT_OP_MASQ, /* source = the output link's address */
	NFT_OP_REJECT, /* administratively prohibited, by ICMP of the family */
	NFT_OP_LOG, /* copy to a netlink log group */
	NFT_OP_LIMIT, /* go on at most key times a second */
	NFT_OP_COUNTER,
};

struct nft_op {
	enum nft_op_kind kind;
	int reg, to;
	uint32_t key, base, offset, len;
	bool invert;
	const char *name; /* of a set or chain */
	int code;
	uint32_t data[4], mask[4];
};

/* Four bytes in the order in which they stand in a packet, as one word of this machine. */
#if __BYTE_ORDER == __LITTLE_ENDIAN
#define NFT_BYTES(a, b, c, d)                                                                      \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#else
#define NFT_BYTES(a, b, c, d)                                                                      \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#endif

#define NFT_META_LOAD(k, r)                                                                        \
	{                                                                                          \
		.kind = NFT_OP_META, .key = NFT_META_##k, .reg = (r)                               \
	}
#define NFT_MARK_SAVE(r)                                                                           \
	{                                                                                          \
		.kind = NFT_OP_META_SET, .key = NFT_META_MARK, .reg = (r)                          \
	}
#define NFT_FIELD(b, o, n, r)                                                                      \
	{                                                                                          \
		.kind = NFT_OP_PAYLOAD, .base = (b), .offset = (o), .len = (n), .reg = (r)         \
	}
#define NFT_IP_SADDR(r)  NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 12, 4, r)
#define NFT_IP_DADDR(r)  NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, r)
#define NFT_IP6_SADDR(r) NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 8, 16, r)
#define NFT_IP6_DADDR(r) NFT_FIELD(NFT_PAYLOAD_NETWORK_HEADER, 24, 16, r)
#define NFT_DPORT(r)     NFT_FIELD(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, r)
#define NFT_CT_LOAD(k, r)                                                                          \
	{                                                                                          \
		.kind = NFT_OP_CT, .key = NFT_CT_##k, .reg = (r)                                   \
	}
#define NFT_DADDR_TYPE(r)                                                                          \
	{                                                                                          \
		.kind = NFT_OP_FIB, .reg = (r)                                                     \
	}
#define NFT_CMP(r, c, n, ...)                                                                      \
	{                                                                                          \
		.kind = NFT_OP_CMP, .reg = (r), .key = (c), .len = (n), .data = { __VA_ARGS__ }    \
	}
#define NFT_EQ32(r, v)    NFT_CMP(r, NFT_CMP_EQ, 4, v)
#define NFT_NE32(r, v)    NFT_CMP(r, NFT_CMP_NEQ, 4, v)
#define NFT_EQ8(r, v)     NFT_CMP(r, NFT_CMP_EQ, 1, NFT_BYTES(v, 0, 0, 0))
#define NFT_EQ_PORT(r, p) NFT_CMP(r, NFT_CMP_EQ, 2, NFT_BYTES((p) >> 8, (p)&255, 0, 0))
#define NFT_AND_XOR(r, m, x)                                                                       \
	{                                                                                          \
		.kind = NFT_OP_BITWISE, .reg = (r), .len = 4, .mask = {m}, .data = { x }           \
	}
#define NFT_IN(r, s)                                                                               \
	{                                                                                          \
		.kind = NFT_OP_LOOKUP, .reg = (r), .to = -1, .name = (s)                           \
	}
#define NFT_NOT_IN(r, s)                                                                           \
	{                                                                                          \
		.kind = NFT_OP_LOOKUP, .reg = (r), .to = -1, .name = (s), .invert = true           \
	}
#define NFT_MAP(r, s, t)                                                                           \
	{                                                                                          \
		.kind = NFT_OP_LOOKUP, .reg = (r), .to = (t), .name = (s)                          \
	}
#define NFT_VMAP(r, s)                                                                             \
	{                                                                                          \
		.kind = NFT_OP_VMAP, .reg = (r), .name = (s)                                       \
	}
#define NFT_LOAD(r, n, ...)                                                                        \
	{                                                                                          \
		.kind = NFT_OP_LOAD, .reg = (r), .len = (n), .data = { __VA_ARGS__ }               \
	}
#define NFT_VERDICT(c)                                                                             \
	{                                                                                          \
		.kind = NFT_OP_VERDICT, .code = (c)                                                \
	}
#define NFT_GO(ch)                                                                                 \
	{                                                                                          \
		.kind = NFT_OP_VERDICT, .code = NFT_GOTO, .name = (ch)                             \
	}
#define NFT_DNAT_TO(f, a, p)                                                                       \
	{                                                                                          \
		.kind = NFT_OP_DNAT, .base = (f), .reg = (a), .to = (p)                            \
	}
#define NFT_SNAT_TO(f, a)                                                                          \
	{                                                                                          \
		.kind = NFT_OP_SNAT, .base = (f), .reg = (a), .to = -1                             \
	}
#define NFT_MASQUERADE                                                                             \
	{                                                                                          \
		.kind = NFT_OP_MASQ                                                                \
	}
#define NFT_REFUSE                                                                                 \
	{                                                                                          \
		.kind = NFT_OP_REJECT                                                              \
	}
#define NFT_LOG_TO(g, p)                                                                           \
	{                                                                                          \
		.kind = NFT_OP_LOG, .key = (g), .name = (p)                                        \
	}
#define NFT_AT_MOST(n)                                                                             \
	{                                                                                          \
		.kind = NFT_OP_LIMIT, .key = (n)                                                   \
	}

/* Types as the nft program numbers them, so that its listing is readable. */
enum {
	NFT_TYPE_VERDICT = 1,
	NFT_TYPE_IPADDR = 7,
	NFT_TYPE_IP6ADDR = 8,
	NFT_TYPE_PROTO = 12,
	NFT_TYPE_PORT = 13,
	NFT_TYPE_MARK = 19,
	NFT_TYPE_IFNAME = 41,
};

struct nft_set {
	const char *name;
	uint8_t key[4]; /* NFT_TYPE_ of each part of the key; 0 ends */
	uint8_t data[2]; /* NFT_TYPE_ of the value, for maps */
	bool interval, constant, timeout, counter;
};

struct nft_chain {
	const char *name;
	const char *type; /* "filter", "nat", "route"; NULL: no hook, only jumped to */
	uint32_t hook;
	int32_t priority;
};

/* One element: the bytes of its parts, each padded to 4 bytes. */
struct nft_elem {
	const char *set;
	uint8_t key[48];
	size_t key_bytes;
	uint8_t key_end[48]; /* of a range of concatenations: its last key */
	bool has_end;
	uint8_t data[32]; /* the value of a map */
	size_t data_bytes;
	const char *chain; /* or a jump to that chain */
	bool interval_end;
	uint64_t timeout_ms; /* 0: none */
};

void nft_begin(struct nl_batch *b) __attribute__((nonnull));
void nft_commit(struct nl_batch *b) __attribute__((nonnull));
/* Fails with EEXIST when there is one, so that nobody's rules are doubled. */
void nft_table_new(struct nl_batch *b, const char *table) __attribute__((nonnull));
/* Makes sure that there is one, and removes it: a missing table is no failure. */
void nft_table_del(struct nl_batch *b, const char *table) __attribute__((nonnull));
void nft_set_new(struct nl_batch *b, const char *table, const struct nft_set *set, uint32_t id)
	__attribute__((nonnull));
void nft_chain_new(struct nl_batch *b, const char *table, const struct nft_chain *chain)
	__attribute__((nonnull));
void nft_chain_del(struct nl_batch *b, const char *table, const char *chain)
	__attribute__((nonnull));
void nft_chain_flush(struct nl_batch *b, const char *table, const char *chain)
	__attribute__((nonnull));
void nft_rule_add(struct nl_batch *b, const char *table, const char *chain,
	const struct nft_op *ops, size_t n) __attribute__((nonnull));
/* Adding what is there already (with the same value) is no failure. */
void nft_elem_add(struct nl_batch *b, const char *table, const struct nft_elem *elem)
	__attribute__((nonnull));
/* Added and removed in one transaction: an element that is not there is no failure, on any kernel.
 */
void nft_elem_del(struct nl_batch *b, const char *table, const struct nft_elem *elem)
	__attribute__((nonnull));

/* Appends a part to an element's key, padded to a register. */
void nft_key(struct nft_elem *elem, const void *p, size_t n) __attribute__((nonnull));
void nft_key_ifname(struct nft_elem *elem, const char *name) __attribute__((nonnull));
void nft_value(struct nft_elem *elem, const void *p, size_t n) __attribute__((nonnull));

/* Whether the table exists: 1, 0 or -errno. */
int nft_table_exists(struct nl *nl, const char *table, struct err *e) __attribute__((nonnull));
/* Packets and bytes counted at one element; absent: zero. */
int nft_elem_counter(struct nl *nl, const char *table, const struct nft_elem *elem,
	uint64_t *ret_packets, uint64_t *ret_bytes, struct err *e) __attribute__((nonnull));

#endif
