#include "net/shape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <stdio.h>

enum {
	BURST_BYTES_MIN = 32 * 1024, /* some large packets: smaller ones are then segmented */
	BURST_MS = 20,
	QUEUE_MS = 100,
	ROOT_HANDLE = 1 << 16,
};

static void ifb_name(const struct net_link *l, char buf[static IFNAMSIZ])
{
	/* The same random digits as the host's end. */
	snprintf(buf, IFNAMSIZ, "jf%s", l->host_if + 2);
}

static uint32_t ifb_index(const struct net_link *l)
{
	return l->index ^ 1;
}

static struct tcmsg *begin(struct nl_batch *b, uint16_t type, uint16_t flags, const char *verb,
	const char *object, uint32_t index, uint32_t parent)
{
	struct tcmsg *t;

	nl_begin(b, type, flags, verb, object);
	t = nl_extra(b, sizeof(*t));
	t->tcm_ifindex = (int)index;
	t->tcm_parent = parent;
	return t;
}

static uint32_t clamp32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* tc-tbf(8).  Rates are bytes a second. */
static void token_bucket(struct nl_batch *b, const char *object, uint32_t index, uint64_t rate)
{
	uint32_t burst = clamp32(MAX(rate * BURST_MS / 1000, (uint64_t)BURST_BYTES_MIN));
	struct tc_tbf_qopt q = {
		.rate = {.rate = clamp32(rate), .linklayer = TC_LINKLAYER_ETHERNET},
		.limit = clamp32(rate * QUEUE_MS / 1000 + burst),
	};
	size_t options;

	begin(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, "limit", object, index, TC_H_ROOT)
		->tcm_handle = ROOT_HANDLE;
	nl_put_str(b, TCA_KIND, "tbf");
	options = nl_nest(b, TCA_OPTIONS);
	nl_put(b, TCA_TBF_PARMS, &q, sizeof(q));
	nl_put_u32(b, TCA_TBF_BURST, burst);
	if (rate > UINT32_MAX)
		nl_put(b, TCA_TBF_RATE64, &rate, sizeof(rate));
	nl_end(b, options);
}

static void no_queue(struct nl_batch *b, const char *object, uint32_t index, uint32_t parent)
{
	begin(b, RTM_DELQDISC, 0, "take the limit off", object, index, parent);
	nl_tolerate(b, ENOENT);
	nl_tolerate(b, EINVAL); /* what some kernels say when there is none */
}

/* What arrives on the link goes out by the ifb first. */
static void turn_aside(struct nl_batch *b, const struct net_link *l)
{
	/* One key with mask 0, which is every packet. */
	_Alignas(struct tc_u32_sel)
		uint8_t all[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = {0};
	struct tc_u32_sel *sel = (struct tc_u32_sel *)all;
	struct tc_mirred redirect = {
		.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = ifb_index(l)};
	size_t options, actions, action, values;

	sel->flags = TC_U32_TERMINAL;
	sel->nkeys = 1;
	begin(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, "limit", l->host_if, l->index,
		TC_H_INGRESS)
		->tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
	nl_tolerate(b, EEXIST);
	nl_put_str(b, TCA_KIND, "ingress");
	begin(b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, "limit", l->host_if, l->index,
		TC_H_MAKE(TC_H_INGRESS, 0))
		->tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL));
	nl_tolerate(b, EEXIST);
	nl_put_str(b, TCA_KIND, "u32");
	options = nl_nest(b, TCA_OPTIONS);
	nl_put(b, TCA_U32_SEL, all, sizeof(all));
	actions = nl_nest(b, TCA_U32_ACT);
	action = nl_nest(b, 1);
	nl_put_str(b, TCA_ACT_KIND, "mirred");
	values = nl_nest(b, TCA_ACT_OPTIONS);
	nl_put(b, TCA_MIRRED_PARMS, &redirect, sizeof(redirect));
	nl_end(b, values);
	nl_end(b, action);
	nl_end(b, actions);
	nl_end(b, options);
}

void shape_remove(struct nl_batch *b, const struct net_link *l)
{
	char name[IFNAMSIZ];

	ifb_name(l, name);
	rt_link_del(b, 0, name);
}

int shape_set(struct nl *route, const struct net_link *l, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	char name[IFNAMSIZ];

	ifb_name(l, name);
	no_queue(&b, l->host_if, l->index, TC_H_INGRESS);
	shape_remove(&b, l);
	if (l->rate_in)
		token_bucket(&b, l->host_if, l->index, l->rate_in);
	else
		no_queue(&b, l->host_if, l->index, TC_H_ROOT);
	if (l->rate_out) {
		rt_link_new(&b,
			&(struct rt_link){
				.kind = RT_IFB, .name = name, .index = ifb_index(l), .queues = 1});
		token_bucket(&b, name, ifb_index(l), l->rate_out);
		rt_link_set(&b, ifb_index(l), &(struct rt_link){.up = true});
		turn_aside(&b, l);
	}
	return nl_exec(route, &b, e);
}
