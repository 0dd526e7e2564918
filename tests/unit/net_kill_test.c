#include "net_world.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "net/table.h"

static struct net_network blue;

static int count_list(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a[NFTA_SET_ELEM_LIST_ELEMENTS + 1];
	const struct nlattr *list;
	size_t at = 0, n;

	if (nl_attrs(h, 4, a, NFTA_SET_ELEM_LIST_ELEMENTS) < 0)
		return -EPROTO;
	list = a[NFTA_SET_ELEM_LIST_ELEMENTS];
	n = list ? mnl_attr_get_payload_len(list) : 0;
	while (at + sizeof(struct nlattr) <= n) {
		const struct nlattr *one =
			(const struct nlattr *)((const char *)mnl_attr_get_payload(list) + at);

		(*(int *)arg)++;
		at += MNL_ALIGN(one->nla_len);
	}
	return 0;
}

/* Elements of sets that belong to single jails. */
static int count_elements(void)
{
	static const char *const sets[] = {"from4", "from6", "to4", "to6", "egress", "pub4",
		"pub4_all", "let_in", "lan_ok", "host_ok", "names4"};
	struct nl nl = NL_INIT;
	struct nl_batch b = {0};
	struct err e = {0};
	int count = 0;

	must(nl_open(&nl, NETLINK_NETFILTER, -1, &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		uint8_t *g;

		nl_begin(&b, 10 << 8 | NFT_MSG_GETSETELEM, NLM_F_DUMP, "list", sets[i]);
		g = nl_extra(&b, 4);
		g[0] = NFPROTO_INET;
		nl_put_str(&b, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
		nl_put_str(&b, NFTA_SET_ELEM_LIST_SET, sets[i]);
		must(nl_query(&nl, &b, count_list, &count, &e), &e);
	}
	nl_batch_release(&b);
	nl_close(&nl);
	return count;
}

static int count_links(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/net/dev", "re");
	int n = -2; /* two lines of heading */

	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

static int count_routes(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/net/fib_trie", "re");
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "|-- ") != NULL;
	if (f)
		fclose(f);
	return n;
}

/* Kills a child at its nth stop at a system call; true when it got so far. */
static bool attach_until(const struct net_link *l, int ns, int stops)
{
	struct err e = {0};
	int status;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		net_attach(l, ns, &e);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	for (int i = 0; i < stops; i++) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) < 0 ||
			WIFEXITED(status))
			return false;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

static struct net_link full_link(int pool)
{
	struct net_link l = {.mode = NET_NAT,
		.owner = str_dup("victim"),
		.egress_only = true,
		.rate_out = 1000000,
		.allow_lan = true};
	struct err e = {0};

	l.ports = mem_new(sizeof(*l.ports));
	must(net_port_parse("*:8080:80", &l.ports[l.n_ports++], &e), &e);
	l.egress = mem_new(sizeof(*l.egress));
	must(net_egress_parse("192.0.2.0/24:443", &l.egress[l.n_egress++], &e), &e);
	must(net_plan(&l, &blue, pool, &e), &e);
	return l;
}

TEST(killed_at_any_system_call_it_is_undone_from_its_record)
{
	const struct net_network *all[] = {&blue};
	struct tenant first = {0};
	struct err e = {0};
	int pool, links, elements, routes, stops = 1;
	bool on = true;

	world_new();
	blue = network_new("blue", "10.88.0.0/24", NULL);
	pool = pool_dir("blue");
	tenant_up(&first, &blue, "first");
	links = count_links();
	elements = count_elements();
	routes = count_routes();
	for (; on; stops += 2) { /* the stops behind each call, from the first */
		struct net_link l = full_link(pool);
		int ns = ns_new();

		on = attach_until(&l, ns, stops);
		CHECK_INT(net_detach(&l, ns, NULL, &e), 0);
		CHECK_INT(net_release(&l, pool, &e), 0);
		CHECK_INT(count_links(), links);
		CHECK_INT(count_elements(), elements);
		CHECK_INT(count_routes(), routes);
		close(ns);
		net_link_release(&l);
	}
	printf("# %d system calls\n", stops / 2);
	CHECK(stops > 40);
	tenant_down(&first, &blue);
	CHECK_INT(count_elements(), 0);
	must(net_teardown(all, 1, &e), &e);
	net_network_release(&blue);
	close(pool);
}

TEST_MAIN
