#include "net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>

static void begin(
	struct nl_batch *b, uint16_t message, uint16_t flags, const char *verb, const char *object)
{
	struct nfgenmsg *g;

	nl_begin(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags, verb, object);
	g = nl_extra(b, sizeof(*g));
	g->nfgen_family = NFPROTO_INET;
	g->version = NFNETLINK_V0;
}

static void batch_mark(struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *g;

	nl_begin(b, type, 0, "change", "nftables");
	g = nl_extra(b, sizeof(*g));
	g->version = NFNETLINK_V0;
	g->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

void nft_begin(struct nl_batch *b)
{
	batch_mark(b, NFNL_MSG_BATCH_BEGIN);
}

void nft_commit(struct nl_batch *b)
{
	batch_mark(b, NFNL_MSG_BATCH_END);
}

/* --- tables, sets, chains --- */

void nft_table_new(struct nl_batch *b, const char *table)
{
	begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, "make nftables table", table);
	nl_put_str(b, NFTA_TABLE_NAME, table);
	nl_put_be32(b, NFTA_TABLE_FLAGS, 0);
}

void nft_table_del(struct nl_batch *b, const char *table)
{
	begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, "make nftables table", table);
	nl_put_str(b, NFTA_TABLE_NAME, table);
	nl_put_be32(b, NFTA_TABLE_FLAGS, 0);
	begin(b, NFT_MSG_DELTABLE, 0, "remove nftables table", table);
	nl_put_str(b, NFTA_TABLE_NAME, table);
}

static const uint8_t type_bytes[] = {
	[NFT_TYPE_IPADDR] = 4,
	[NFT_TYPE_IP6ADDR] = 16,
	[NFT_TYPE_PROTO] = 1,
	[NFT_TYPE_PORT] = 2,
	[NFT_TYPE_MARK] = 4,
	[NFT_TYPE_IFNAME] = 16,
};

struct set_shape {
	uint32_t type; /* 6 bits for each part */
	uint32_t bytes; /* parts padded to registers when there are several */
};

static struct set_shape shape_of(const uint8_t *types, size_t max)
{
	struct set_shape s = {0};
	size_t n = 0;

	while (n < max && types[n])
		n++;
	for (size_t i = 0; i < n; i++) {
		s.type = s.type << 6 | types[i];
		s.bytes += n > 1 ? (type_bytes[types[i]] + 3u) & ~3u : type_bytes[types[i]];
	}
	return s;
}

static void put_counter_expr(struct nl_batch *b, uint16_t type)
{
	size_t expr = nl_nest(b, type), data;

	nl_put_str(b, NFTA_EXPR_NAME, "counter");
	data = nl_nest(b, NFTA_EXPR_DATA);
	nl_end(b, data);
	nl_end(b, expr);
}

/* Ranges of concatenations: the kernel must know where one part ends. */
static void put_parts(struct nl_batch *b, const struct nft_set *set)
{
	size_t desc = nl_nest(b, NFTA_SET_DESC), list = nl_nest(b, NFTA_SET_DESC_CONCAT);

	for (size_t i = 0; i < sizeof(set->key) && set->key[i]; i++) {
		size_t one = nl_nest(b, NFTA_LIST_ELEM);

		nl_put_be32(b, NFTA_SET_FIELD_LEN, type_bytes[set->key[i]]);
		nl_end(b, one);
	}
	nl_end(b, list);
	nl_end(b, desc);
}

static uint32_t set_flags(const struct nft_set *set)
{
	return (set->data[0] ? NFT_SET_MAP : 0u) | (set->interval ? NFT_SET_INTERVAL : 0u) |
	       (set->interval && set->key[1] ? NFT_SET_CONCAT : 0u) |
	       (set->constant ? NFT_SET_CONSTANT : 0u) | (set->timeout ? NFT_SET_TIMEOUT : 0u);
}

void nft_set_new(struct nl_batch *b, const char *table, const struct nft_set *set, uint32_t id)
{
	struct set_shape key = shape_of(set->key, sizeof(set->key)),
			 data = shape_of(set->data, sizeof(set->data));
	bool verdicts = set->data[0] == NFT_TYPE_VERDICT, map = set->data[0];

	begin(b, NFT_MSG_NEWSET, NLM_F_CREATE, "make nftables set", set->name);
	nl_put_str(b, NFTA_SET_TABLE, table);
	nl_put_str(b, NFTA_SET_NAME, set->name);
	nl_put_be32(b, NFTA_SET_ID, id);
	nl_put_be32(b, NFTA_SET_FLAGS, set_flags(set));
	nl_put_be32(b, NFTA_SET_KEY_TYPE, key.type);
	nl_put_be32(b, NFTA_SET_KEY_LEN, key.bytes);
	if (map) {
		nl_put_be32(b, NFTA_SET_DATA_TYPE, verdicts ? NFT_DATA_VERDICT : data.type);
		nl_put_be32(b, NFTA_SET_DATA_LEN, verdicts ? 16 : data.bytes);
	}
	if (set->interval && set->key[1])
		put_parts(b, set);
	if (set->counter)
		put_counter_expr(b, NFTA_SET_EXPR);
}

void nft_chain_new(struct nl_batch *b, const char *table, const struct nft_chain *chain)
{
	size_t hook;

	begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "make nftables chain", chain->name);
	nl_put_str(b, NFTA_CHAIN_TABLE, table);
	nl_put_str(b, NFTA_CHAIN_NAME, chain->name);
	if (!chain->type)
		return;
	hook = nl_nest(b, NFTA_CHAIN_HOOK);
	nl_put_be32(b, NFTA_HOOK_HOOKNUM, chain->hook);
	nl_put_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)chain->priority);
	nl_end(b, hook);
	nl_put_str(b, NFTA_CHAIN_TYPE, chain->type);
	nl_put_be32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
}

void nft_chain_del(struct nl_batch *b, const char *table, const char *chain)
{
	begin(b, NFT_MSG_DELCHAIN, 0, "remove nftables chain", chain);
	nl_put_str(b, NFTA_CHAIN_TABLE, table);
	nl_put_str(b, NFTA_CHAIN_NAME, chain);
}

void nft_chain_flush(struct nl_batch *b, const char *table, const char *chain)
{
	begin(b, NFT_MSG_DELRULE, 0, "empty nftables chain", chain);
	nl_put_str(b, NFTA_RULE_TABLE, table);
	nl_put_str(b, NFTA_RULE_CHAIN, chain);
}

/* --- expressions --- */

static void put_reg(struct nl_batch *b, uint16_t type, int reg)
{
	nl_put_be32(b, type, NFT_REG32_00 + (uint32_t)reg);
}

static void put_value(struct nl_batch *b, uint16_t type, const void *p, size_t n)
{
	size_t nest = nl_nest(b, type);

	nl_put(b, NFTA_DATA_VALUE, p, n);
	nl_end(b, nest);
}

static void put_verdict(struct nl_batch *b, uint16_t type, int code, const char *chain)
{
	size_t nest = nl_nest(b, type), verdict = nl_nest(b, NFTA_DATA_VERDICT);

	nl_put_be32(b, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		nl_put_str(b, NFTA_VERDICT_CHAIN, chain);
	nl_end(b, verdict);
	nl_end(b, nest);
}

static void put_meta(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_be32(b, NFTA_META_KEY, op->key);
	put_reg(b, op->kind == NFT_OP_META ? NFTA_META_DREG : NFTA_META_SREG, op->reg);
}

static void put_payload(struct nl_batch *b, const struct nft_op *op)
{
	put_reg(b, NFTA_PAYLOAD_DREG, op->reg);
	nl_put_be32(b, NFTA_PAYLOAD_BASE, op->base);
	nl_put_be32(b, NFTA_PAYLOAD_OFFSET, op->offset);
	nl_put_be32(b, NFTA_PAYLOAD_LEN, op->len);
}

static void put_ct(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_be32(b, NFTA_CT_KEY, op->key);
	put_reg(b, NFTA_CT_DREG, op->reg);
}

static void put_fib(struct nl_batch *b, const struct nft_op *op)
{
	put_reg(b, NFTA_FIB_DREG, op->reg);
	nl_put_be32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nl_put_be32(b, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
}

static void put_cmp(struct nl_batch *b, const struct nft_op *op)
{
	put_reg(b, NFTA_CMP_SREG, op->reg);
	nl_put_be32(b, NFTA_CMP_OP, op->key);
	put_value(b, NFTA_CMP_DATA, op->data, op->len);
}

static void put_bitwise(struct nl_batch *b, const struct nft_op *op)
{
	put_reg(b, NFTA_BITWISE_SREG, op->reg);
	put_reg(b, NFTA_BITWISE_DREG, op->reg);
	nl_put_be32(b, NFTA_BITWISE_LEN, op->len);
	put_value(b, NFTA_BITWISE_MASK, op->mask, op->len);
	put_value(b, NFTA_BITWISE_XOR, op->data, op->len);
}

static void put_lookup(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_str(b, NFTA_LOOKUP_SET, op->name);
	put_reg(b, NFTA_LOOKUP_SREG, op->reg);
	if (op->kind == NFT_OP_VMAP)
		nl_put_be32(b, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	else if (op->to >= 0)
		put_reg(b, NFTA_LOOKUP_DREG, op->to);
	if (op->invert)
		nl_put_be32(b, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

static void put_load(struct nl_batch *b, const struct nft_op *op)
{
	put_reg(b, NFTA_IMMEDIATE_DREG, op->reg);
	put_value(b, NFTA_IMMEDIATE_DATA, op->data, op->len);
}

static void put_op_verdict(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	put_verdict(b, NFTA_IMMEDIATE_DATA, op->code, op->name);
}

static void put_nat(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_be32(b, NFTA_NAT_TYPE, op->kind == NFT_OP_DNAT ? NFT_NAT_DNAT : NFT_NAT_SNAT);
	nl_put_be32(b, NFTA_NAT_FAMILY, op->base);
	put_reg(b, NFTA_NAT_REG_ADDR_MIN, op->reg);
	if (op->to >= 0)
		put_reg(b, NFTA_NAT_REG_PROTO_MIN, op->to);
}

static void put_nothing(struct nl_batch *b, const struct nft_op *op)
{
	(void)b;
	(void)op;
}

static void put_reject(struct nl_batch *b, const struct nft_op *op)
{
	(void)op;
	nl_put_be32(b, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nl_put_u8(b, NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

static void put_log(struct nl_batch *b, const struct nft_op *op)
{
	uint16_t group = htons((uint16_t)op->key);

	nl_put(b, NFTA_LOG_GROUP, &group, sizeof(group));
	nl_put_str(b, NFTA_LOG_PREFIX, op->name);
	nl_put_be32(b, NFTA_LOG_SNAPLEN, 128);
}

static void put_limit(struct nl_batch *b, const struct nft_op *op)
{
	nl_put_be64(b, NFTA_LIMIT_RATE, op->key);
	nl_put_be64(b, NFTA_LIMIT_UNIT, 1);
	nl_put_be32(b, NFTA_LIMIT_BURST, 2 * op->key);
	nl_put_be32(b, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
}

static const struct {
	const char *name;
	void (*put)(struct nl_batch *b, const struct nft_op *op);
} expressions[] = {
	[NFT_OP_META] = {"meta", put_meta},
	[NFT_OP_META_SET] = {"meta", put_meta},
	[NFT_OP_PAYLOAD] = {"payload", put_payload},
	[NFT_OP_CT] = {"ct", put_ct},
	[NFT_OP_FIB] = {"fib", put_fib},
	[NFT_OP_CMP] = {"cmp", put_cmp},
	[NFT_OP_BITWISE] = {"bitwise", put_bitwise},
	[NFT_OP_LOOKUP] = {"lookup", put_lookup},
	[NFT_OP_LOAD] = {"immediate", put_load},
	[NFT_OP_VMAP] = {"lookup", put_lookup},
	[NFT_OP_VERDICT] = {"immediate", put_op_verdict},
	[NFT_OP_DNAT] = {"nat", put_nat},
	[NFT_OP_SNAT] = {"nat", put_nat},
	[NFT_OP_MASQ] = {"masq", put_nothing},
	[NFT_OP_REJECT] = {"reject", put_reject},
	[NFT_OP_LOG] = {"log", put_log},
	[NFT_OP_LIMIT] = {"limit", put_limit},
	[NFT_OP_COUNTER] = {"counter", put_nothing},
};

void nft_rule_add(struct nl_batch *b, const char *table, const char *chain,
	const struct nft_op *ops, size_t n)
{
	size_t list, expr, data;

	begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add a rule to nftables chain",
		chain);
	nl_put_str(b, NFTA_RULE_TABLE, table);
	nl_put_str(b, NFTA_RULE_CHAIN, chain);
	list = nl_nest(b, NFTA_RULE_EXPRESSIONS);
	for (size_t i = 0; i < n; i++) {
		expr = nl_nest(b, NFTA_LIST_ELEM);
		nl_put_str(b, NFTA_EXPR_NAME, expressions[ops[i].kind].name);
		data = nl_nest(b, NFTA_EXPR_DATA);
		expressions[ops[i].kind].put(b, &ops[i]);
		nl_end(b, data);
		nl_end(b, expr);
	}
	nl_end(b, list);
}

/* --- elements --- */

static void append(uint8_t *to, size_t *at, size_t max, const void *p, size_t n)
{
	size_t padded = (n + 3) & ~(size_t)3;

	if (*at + padded > max)
		return;
	memset(to + *at, 0, padded);
	memcpy(to + *at, p, n);
	*at += padded;
}

void nft_key(struct nft_elem *elem, const void *p, size_t n)
{
	append(elem->key, &elem->key_bytes, sizeof(elem->key), p, n);
}

void nft_key_ifname(struct nft_elem *elem, const char *name)
{
	char padded[IFNAMSIZ] = {0};

	snprintf(padded, sizeof(padded), "%s", name);
	nft_key(elem, padded, sizeof(padded));
}

void nft_value(struct nft_elem *elem, const void *p, size_t n)
{
	append(elem->data, &elem->data_bytes, sizeof(elem->data), p, n);
}

static void put_elem(struct nl_batch *b, const struct nft_elem *elem)
{
	size_t one = nl_nest(b, NFTA_LIST_ELEM);

	put_value(b, NFTA_SET_ELEM_KEY, elem->key, elem->key_bytes);
	if (elem->has_end)
		put_value(b, NFTA_SET_ELEM_KEY_END, elem->key_end, elem->key_bytes);
	if (elem->interval_end)
		nl_put_be32(b, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	if (elem->chain)
		put_verdict(b, NFTA_SET_ELEM_DATA, NFT_GOTO, elem->chain);
	else if (elem->data_bytes)
		put_value(b, NFTA_SET_ELEM_DATA, elem->data, elem->data_bytes);
	if (elem->timeout_ms)
		nl_put_be64(b, NFTA_SET_ELEM_TIMEOUT, elem->timeout_ms);
	nl_end(b, one);
}

static void put_elem_message(struct nl_batch *b, uint16_t message, uint16_t flags, const char *verb,
	const char *table, const struct nft_elem *elem)
{
	size_t list;

	begin(b, message, flags, verb, elem->set);
	nl_put_str(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_put_str(b, NFTA_SET_ELEM_LIST_SET, elem->set);
	list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
	put_elem(b, elem);
	nl_end(b, list);
}

void nft_elem_add(struct nl_batch *b, const char *table, const struct nft_elem *elem)
{
	put_elem_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "add to nftables set", table, elem);
}

void nft_elem_del(struct nl_batch *b, const char *table, const struct nft_elem *elem)
{
	nft_elem_add(b, table, elem);
	put_elem_message(b, NFT_MSG_DELSETELEM, 0, "remove from nftables set", table, elem);
}

/* --- questions --- */

int nft_table_exists(struct nl *nl, const char *table, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct err why = {0};
	int r;

	begin(&b, NFT_MSG_GETTABLE, 0, "find nftables table", table);
	nl_put_str(&b, NFTA_TABLE_NAME, table);
	r = nl_query(nl, &b, NULL, NULL, &why);
	if (r < 0 && r != -ENOENT)
		*e = why;
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

struct counter {
	uint64_t packets, bytes;
};

/* elements -> the one element -> its expressions -> counter -> values */
static int take_counter(const struct nlmsghdr *h, void *arg)
{
	struct counter *c = arg;
	const struct nlattr *top[NFTA_SET_ELEM_LIST_ELEMENTS + 1], *list[NFTA_LIST_ELEM + 1];
	const struct nlattr *elem[NFTA_SET_ELEM_EXPR + 1], *expr[NFTA_EXPR_DATA + 1],
		*value[NFTA_COUNTER_PACKETS + 1];

	if (nl_attrs(h, sizeof(struct nfgenmsg), top, NFTA_SET_ELEM_LIST_ELEMENTS) < 0 ||
		nl_nested(top[NFTA_SET_ELEM_LIST_ELEMENTS], list, NFTA_LIST_ELEM) < 0 ||
		nl_nested(list[NFTA_LIST_ELEM], elem, NFTA_SET_ELEM_EXPR) < 0 ||
		nl_nested(elem[NFTA_SET_ELEM_EXPR], expr, NFTA_EXPR_DATA) < 0 ||
		nl_nested(expr[NFTA_EXPR_DATA], value, NFTA_COUNTER_PACKETS) < 0)
		return -EPROTO;
	c->packets = nl_be64(value[NFTA_COUNTER_PACKETS], 0);
	c->bytes = nl_be64(value[NFTA_COUNTER_BYTES], 0);
	return 0;
}

int nft_elem_counter(struct nl *nl, const char *table, const struct nft_elem *elem,
	uint64_t *ret_packets, uint64_t *ret_bytes, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	struct counter c = {0};
	struct nft_elem key = *elem;
	struct err why = {0};
	int r;

	key.data_bytes = 0;
	key.chain = NULL;
	put_elem_message(&b, NFT_MSG_GETSETELEM, 0, "read nftables set", table, &key);
	r = nl_query(nl, &b, take_counter, &c, &why);
	if (r < 0 && r != -ENOENT) {
		*e = why;
		return r;
	}
	*ret_packets = c.packets;
	*ret_bytes = c.bytes;
	return 0;
}
