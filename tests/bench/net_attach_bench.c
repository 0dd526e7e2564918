/*
 * What attaching a jail to a nat network costs, with few and with many jails there already.
 *
 *	net_attach_bench [JAILS]
 *	(gcc -D_GNU_SOURCE -Isrc -Itests/unit, with libnet.a libbase.a -lmnl -ljson-c)
 *
 * Prints the median and the least time of 20 attaches for each filling.  Everything happens in
 *network namespaces of its own.
 */
#include "net_world.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const struct net_network *n, int jails)
{
	enum { RUNS = 20 };
	uint64_t up[RUNS], down[RUNS];
	struct err e = {0};
	int pool = pool_dir(n->name);

	for (int i = 0; i < RUNS; i++) {
		struct tenant t = {
			.link = {.mode = NET_NAT, .owner = str_fmt("probe%d", i)}, .ns = ns_new()};
		uint64_t start = time_mono_ns();

		must(net_plan(&t.link, n, pool, &e), &e);
		must(net_attach(&t.link, t.ns, &e), &e);
		up[i] = time_mono_ns() - start;
		start = time_mono_ns();
		must(net_detach(&t.link, t.ns, NULL, &e), &e);
		must(net_release(&t.link, pool, &e), &e);
		down[i] = time_mono_ns() - start;
		close(t.ns);
		net_link_release(&t.link);
	}
	qsort(up, RUNS, sizeof(*up), by_value);
	qsort(down, RUNS, sizeof(*down), by_value);
	printf("%5d jails: attach %.3f ms (least %.3f), detach %.3f ms\n", jails,
		(double)up[RUNS / 2] / 1e6, (double)up[0] / 1e6, (double)down[RUNS / 2] / 1e6);
	close(pool);
}

int main(int argc, char **argv)
{
	int jails = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000, n = 0;
	struct net_network net;
	const struct net_link **kept = NULL;
	size_t cap = 0;
	uint64_t start;
	struct err e = {0};

	world_new();
	net = network_new("bench", "10.88.0.0/16", NULL);
	for (int at = 10; at <= jails; at *= 10) {
		for (; n < at; n++) {
			struct tenant t = {0};
			char owner[16];

			snprintf(owner, sizeof(owner), "jail%d", n);
			tenant_up(&t, &net, owner);
			kept = mem_grow(kept, &cap, (size_t)n + 1, sizeof(*kept));
			kept[n] = mem_dup(&t.link, sizeof(t.link));
		}
		measure(&net, n);
		start = time_mono_ns();
		must(net_restore(kept, (size_t)n, &e), &e);
		printf("%5d jails: restore %.3f ms\n", n, (double)(time_mono_ns() - start) / 1e6);
	}
	return 0;
}
