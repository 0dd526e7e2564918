#include "net/flows.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

enum { FLOWS_AT_ONCE = 4096 };

struct hunt {
	const struct plan *plan;
	struct nl_batch *doomed;
};

/* An address of a tuple, by the attribute of its family, is the link's. */
static bool is_own(const struct plan *p, const struct nlattr *const *ip, uint16_t v4, uint16_t v6)
{
	const struct nlattr *a[2] = {ip[v4], ip[v6]};

	for (int f = 0; f < 2; f++) {
		size_t n = net_addr_size(&p->addr[f]);

		if (n && a[f] && mnl_attr_get_payload_len(a[f]) == n &&
			!memcmp(mnl_attr_get_payload(a[f]), p->addr[f].bytes, n))
			return true;
	}
	return false;
}

/* The reply comes to who began, and from whom it was translated to. */
static bool concerns(const struct plan *p, const struct nlattr *orig, const struct nlattr *reply)
{
	const struct nlattr *tuple[CTA_TUPLE_IP + 1], *ip[CTA_IP_V6_DST + 1];

	if (nl_nested(orig, tuple, CTA_TUPLE_IP) >= 0 &&
		nl_nested(tuple[CTA_TUPLE_IP], ip, CTA_IP_V6_DST) >= 0 &&
		is_own(p, ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC))
		return true;
	return nl_nested(reply, tuple, CTA_TUPLE_IP) >= 0 &&
	       nl_nested(tuple[CTA_TUPLE_IP], ip, CTA_IP_V6_DST) >= 0 &&
	       is_own(p, ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
}

static int doom(const struct nlmsghdr *h, void *arg)
{
	struct hunt *hunt = arg;
	const struct nlattr *a[CTA_ID + 1];
	const struct nfgenmsg *from = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*from) ||
		nl_attrs(h, sizeof(*from), a, CTA_ID) < 0)
		return -EPROTO;
	if (!a[CTA_TUPLE_ORIG] || !a[CTA_ID] || hunt->doomed->n >= FLOWS_AT_ONCE ||
		!concerns(hunt->plan, a[CTA_TUPLE_ORIG], a[CTA_TUPLE_REPLY]))
		return 0;
	nl_begin(hunt->doomed, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, "cut",
		"connection");
	nl_tolerate(hunt->doomed, ENOENT);
	((struct nfgenmsg *)nl_extra(hunt->doomed, sizeof(*from)))->nfgen_family =
		from->nfgen_family;
	nl_put(hunt->doomed, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload(a[CTA_TUPLE_ORIG]),
		mnl_attr_get_payload_len(a[CTA_TUPLE_ORIG]));
	nl_put(hunt->doomed, CTA_ID, mnl_attr_get_payload(a[CTA_ID]),
		mnl_attr_get_payload_len(a[CTA_ID]));
	return 0;
}

int flows_cut(struct nl *nft, const struct plan *p, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch question = {0}, doomed = {0};
	struct hunt hunt = {.plan = p, .doomed = &doomed};
	int r;

	nl_begin(&question, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, "list",
		"connections");
	nl_extra(&question, sizeof(struct nfgenmsg));
	r = nl_query(nft, &question, doom, &hunt, e);
	return r < 0 ? r : nl_exec(nft, &doomed, e);
}
