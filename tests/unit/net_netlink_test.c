#include "test.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include "net/netlink.h"
#include "net/rt.h"

/* What nl_read told its caller. */
struct heard {
	int calls, code, data;
	size_t index;
	char text[64];
};

static int hear_failure(void *self, size_t index, int code, const char *text)
{
	struct heard *h = self;

	h->calls++;
	h->code = code;
	h->index = index;
	snprintf(h->text, sizeof(h->text), "%s", text ? text : "");
	return 0;
}

static int hear_data(const struct nlmsghdr *m, void *arg)
{
	(void)m;
	((struct heard *)arg)->data++;
	return 0;
}

static union {
	uint64_t align;
	char p[1024];
	struct nlmsghdr h;
} packet;

static void error_message(uint32_t port, uint32_t seq, int code)
{
	struct nlmsgerr *m;

	memset(&packet, 0, sizeof(packet));
	mnl_nlmsg_put_header(packet.p);
	packet.h.nlmsg_type = NLMSG_ERROR;
	packet.h.nlmsg_pid = port;
	packet.h.nlmsg_seq = seq;
	m = mnl_nlmsg_put_extra_header(&packet.h, sizeof(*m));
	m->error = code;
}

static int hear(size_t n, struct heard *h)
{
	struct nl_answer a = {.expect = {.port = 77, .first_seq = 10, .last_seq = 12},
		.fn = hear_data,
		.arg = h,
		.failed = hear_failure,
		.self = h};

	*h = (struct heard){0};
	return nl_read(packet.p, n, &a);
}

TEST(an_error_is_laid_at_its_message)
{
	struct heard h;

	error_message(77, 11, -EEXIST);
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_MORE);
	CHECK_INT(h.code, EEXIST);
	CHECK_INT(h.index, 1);
	error_message(77, 12, 0);
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_COMPLETE);
	CHECK_INT(h.calls, 1);
	CHECK_INT(h.code, 0);
}

TEST(answers_for_others_are_not_believed)
{
	struct heard h;

	error_message(78, 12, -EPERM);
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_MORE);
	CHECK_INT(h.calls, 0);
	error_message(77, 13, -EPERM);
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_MORE);
	error_message(77, 9, -EPERM);
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_MORE);
	CHECK_INT(h.calls, 0);
}

TEST(lengths_that_do_not_hold_are_refused)
{
	struct heard h;
	uint32_t whole;

	error_message(77, 12, -EPERM);
	whole = packet.h.nlmsg_len;
	for (size_t n = 1; n < whole; n++)
		CHECK_INT(hear(n, &h), -EPROTO);
	packet.h.nlmsg_len = 0;
	CHECK_INT(hear(whole, &h), -EPROTO);
	packet.h.nlmsg_len = UINT32_MAX;
	CHECK_INT(hear(whole, &h), -EPROTO);
	packet.h.nlmsg_len = MNL_NLMSG_HDRLEN + 2; /* an error without room for its number */
	CHECK_INT(hear(packet.h.nlmsg_len, &h), -EPROTO);
	error_message(77, 12, 5); /* errors are negative */
	CHECK_INT(hear(packet.h.nlmsg_len, &h), -EPROTO);
	CHECK_INT(h.calls, 0);
}

TEST(the_kernels_sentence_is_read_with_bounds)
{
	struct heard h;

	error_message(77, 11, -EINVAL);
	packet.h.nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
	mnl_attr_put_strz(&packet.h, NLMSGERR_ATTR_MSG, "no such thing");
	CHECK_INT(hear(packet.h.nlmsg_len, &h), NL_MORE);
	CHECK_STR(h.text, "no such thing");
	/* Not terminated: not a string. */
	error_message(77, 11, -EINVAL);
	packet.h.nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
	mnl_attr_put(&packet.h, NLMSGERR_ATTR_MSG, 4, "abcd");
	hear(packet.h.nlmsg_len, &h);
	CHECK_STR(h.text, "");
	CHECK_INT(h.code, EINVAL);
}

TEST(a_link_message_is_read_with_bounds)
{
	struct rt_info info;
	uint32_t whole;

	memset(&packet, 0, sizeof(packet));
	mnl_nlmsg_put_header(packet.p);
	packet.h.nlmsg_type = RTM_NEWLINK;
	((struct ifinfomsg *)mnl_nlmsg_put_extra_header(&packet.h, sizeof(struct ifinfomsg)))
		->ifi_index = 7;
	mnl_attr_put_strz(&packet.h, IFLA_IFNAME, "a-name-that-is-longer-than-any");
	mnl_attr_put(&packet.h, IFLA_MTU, 2, "xx"); /* too short for a number */
	CHECK_INT(rt_info_read(&packet.h, &info), 0);
	CHECK_INT(info.index, 7);
	CHECK_INT(info.mtu, 0);
	CHECK_INT(strlen(info.name), 15);
	whole = packet.h.nlmsg_len;
	((struct nlattr *)(packet.p + MNL_NLMSG_HDRLEN + sizeof(struct ifinfomsg)))->nla_len = 3;
	CHECK_INT(rt_info_read(&packet.h, &info), -EPROTO);
	packet.h.nlmsg_len = MNL_NLMSG_HDRLEN + 4;
	CHECK_INT(rt_info_read(&packet.h, &info), -EPROTO);
	packet.h.nlmsg_len = whole;
}

TEST(a_failing_message_names_its_object_and_spares_the_rest)
{
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct rt_info info;
	struct err e = {0};

	CHECK_INT(unshare(CLONE_NEWNET), 0);
	CHECK_INT(nl_open(&nl, NETLINK_ROUTE, -1, &e), 0);
	rt_link_new(&b, &(struct rt_link){.kind = RT_BRIDGE, .name = "one"});
	rt_link_new(&b, &(struct rt_link){.kind = RT_BRIDGE, .name = "one"});
	rt_link_new(&b, &(struct rt_link){.kind = RT_BRIDGE, .name = "two"});
	CHECK_INT(nl_exec(&nl, &b, &e), -EEXIST);
	CHECK(strstr(e.text, "cannot make link 'one': File exists"));
	CHECK_INT(rt_link_get(&nl, 0, "two", &info, &e), 0);
	CHECK_STR(info.kind, "bridge");
	CHECK_INT(rt_link_get(&nl, 0, "three", &info, &e), -ENODEV);
	/* Tolerated: what is not there cannot be removed. */
	rt_link_del(&b, 0, "three");
	CHECK_INT(nl_exec(&nl, &b, &e), 0);
	nl_batch_release(&b);
	nl_close(&nl);
}

TEST(a_message_that_grows_too_large_is_not_sent)
{
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};
	char page[4096] = {0};

	CHECK_INT(nl_open(&nl, NETLINK_ROUTE, -1, &e), 0);
	nl_begin(&b, RTM_NEWLINK, 0, "try", "it");
	nl_extra(&b, sizeof(struct ifinfomsg));
	for (int i = 0; i < 8; i++)
		nl_put(&b, IFLA_IFALIAS, page, sizeof(page));
	CHECK_INT(nl_exec(&nl, &b, &e), -EMSGSIZE);
	/* The batch is empty again and works. */
	rt_link_set(&b, 1, &(struct rt_link){.up = true});
	CHECK_INT(nl_exec(&nl, &b, &e), 0);
	nl_batch_release(&b);
	nl_close(&nl);
}

TEST_MAIN
