/* Control groups version 1: the kernel's Documentation/admin-guide/cgroup-v1. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/cgroup_int.h"

/*
 * A new cpuset group has neither cpus nor memory nodes, and nothing may enter it; cpusets.rst
 * 1.9.  Take the parent's, unless it has clone_children and the kernel did so.
 */
static int cpuset_inherit(int parent_fd, int dir_fd, const char *file, struct err *e)
{
	AUTO_BUF struct buf have = {0}, from = {0};
	int r = cgroup_read(dir_fd, file, &have, e);

	if (r < 0 || have.n > 1)
		return r;
	r = cgroup_read(parent_fd, file, &from, e);
	return r < 0 ? r : file_write_kernel(dir_fd, file, FILE_CGROUP1, from.p, e);
}

static int v1_before(struct cgroup_hier *h, int parent_fd, const char *parent, unsigned int want, struct err *e)
{
	(void)h, (void)parent_fd, (void)parent, (void)want, (void)e;
	return 0;
}

static int v1_after(struct cgroup_hier *h, int parent_fd, int dir_fd, struct err *e)
{
	int r;

	if (!(h->ctl & ISO_CTL_CPUSET))
		return 0;
	r = cpuset_inherit(parent_fd, dir_fd, "cpuset.cpus", e);
	return r < 0 ? r : cpuset_inherit(parent_fd, dir_fd, "cpuset.mems", e);
}

static int plan_cpuset(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)now, (void)e;
	if (res->cpu->cpus)
		cgroup_plan_add(p, ISO_CTL_CPUSET, 0, "cpuset.cpus", "%s", res->cpu->cpus);
	if (res->cpu->mems)
		cgroup_plan_add(p, ISO_CTL_CPUSET, 0, "cpuset.mems", "%s", res->cpu->mems);
	return 0;
}

/*
 * Period, quota and burst bound each other (quota / period by the parent's, burst by quota), so
 * which goes first depends on where they come from; see CGROUP_OR_AFTER_NEXT.
 */
static int plan_cpu(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_cpu *c = res->cpu;

	(void)now, (void)e;
	if (c->has_shares && c->shares)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.shares", "%" PRIu64, c->shares);
	if (c->has_period && c->period)
		cgroup_plan_add(p, ISO_CTL_CPU, CGROUP_OR_AFTER_NEXT, "cpu.cfs_period_us", "%" PRIu64, c->period);
	if (c->has_quota && c->quota)
		cgroup_plan_add(p, ISO_CTL_CPU, CGROUP_OR_AFTER_NEXT, "cpu.cfs_quota_us", "%" PRId64,
			c->quota < 0 ? -1 : c->quota);
	if (c->has_burst)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.cfs_burst_us", "%" PRIu64, c->burst);
	if (c->has_realtime_period && c->realtime_period)
		cgroup_plan_add(p, ISO_CTL_CPU, CGROUP_OR_AFTER_NEXT, "cpu.rt_period_us", "%" PRIu64,
			c->realtime_period);
	if (c->has_realtime_runtime)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.rt_runtime_us", "%" PRId64, c->realtime_runtime);
	if (c->has_idle)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.idle", "%" PRId64, c->idle);
	return 0;
}

static int64_t unlimited(int64_t v)
{
	return v < 0 ? -1 : v;
}

/*
 * memory + swap must never be less than memory: to raise both, memory + swap goes first; to
 * lower both, memory does.  Unlimited memory needs unlimited memory + swap.
 */
static int plan_memory(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_memory *m = res->memory;
	bool limit = m->has_limit && m->limit, swap = m->has_swap && m->swap;

	(void)now;
	if (limit && swap && m->swap >= 0 && (m->limit < 0 || m->swap < m->limit))
		return err_set(e, EINVAL,
			"memory and swap together are limited to %" PRId64 " bytes, memory alone to %" PRId64
			"; the first must not be less", m->swap, m->limit);
	if (limit)
		cgroup_plan_add(p, ISO_CTL_MEMORY, CGROUP_OR_AFTER_NEXT, "memory.limit_in_bytes", "%" PRId64,
			unlimited(m->limit));
	if (swap)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.memsw.limit_in_bytes", "%" PRId64, unlimited(m->swap));
	else if (limit && m->limit < 0)
		cgroup_plan_add(p, ISO_CTL_MEMORY, CGROUP_OPTIONAL, "memory.memsw.limit_in_bytes", "-1");
	if (m->has_reservation && m->reservation)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.soft_limit_in_bytes", "%" PRId64,
			unlimited(m->reservation));
	if (m->has_kernel && m->kernel > 0 && !limit)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.kmem.limit_in_bytes", "%" PRId64, m->kernel);
	if (m->has_kernel_tcp && m->kernel_tcp)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.kmem.tcp.limit_in_bytes", "%" PRId64,
			unlimited(m->kernel_tcp));
	if (m->has_swappiness)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.swappiness", "%" PRIu64, m->swappiness);
	if (m->disable_oom_killer)
		cgroup_plan_add(p, ISO_CTL_MEMORY, 0, "memory.oom_control", "1");
	return 0;
}

static int plan_pids(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)now, (void)e;
	if (res->pids_limit > 0)
		cgroup_plan_add(p, ISO_CTL_PIDS, 0, "pids.max", "%" PRId64, res->pids_limit);
	else if (res->pids_limit < 0)
		cgroup_plan_add(p, ISO_CTL_PIDS, 0, "pids.max", "max");
	return 0;
}

static void plan_throttle(struct cgroup_plan *p, const char *file, const struct spec_throttle_device *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cgroup_plan_add(p, ISO_CTL_IO, 0, file, "%" PRId64 ":%" PRId64 " %" PRIu64, d[i].major, d[i].minor,
			d[i].rate);
}

/* blkio.weight belonged to CFQ, gone since Linux 5.0; BFQ has the same under its own name. */
static int plan_io(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_block_io *b = res->block_io;

	(void)now, (void)e;
	if (b->has_weight && b->weight) {
		cgroup_plan_add(p, ISO_CTL_IO, CGROUP_OR_NEXT, "blkio.weight", "%" PRIu32, b->weight);
		cgroup_plan_add(p, ISO_CTL_IO, 0, "blkio.bfq.weight", "%" PRIu32, b->weight);
	}
	if (b->has_leaf_weight && b->leaf_weight)
		cgroup_plan_add(p, ISO_CTL_IO, 0, "blkio.leaf_weight", "%" PRIu32, b->leaf_weight);
	for (size_t i = 0; i < b->n_weight_device; i++) {
		const struct spec_weight_device *w = &b->weight_device[i];

		if (w->has_weight) {
			cgroup_plan_add(p, ISO_CTL_IO, CGROUP_OR_NEXT, "blkio.weight_device",
				"%" PRId64 ":%" PRId64 " %" PRIu32, w->major, w->minor, w->weight);
			cgroup_plan_add(p, ISO_CTL_IO, 0, "blkio.bfq.weight_device",
				"%" PRId64 ":%" PRId64 " %" PRIu32, w->major, w->minor, w->weight);
		}
		if (w->has_leaf_weight)
			cgroup_plan_add(p, ISO_CTL_IO, 0, "blkio.leaf_weight_device",
				"%" PRId64 ":%" PRId64 " %" PRIu32, w->major, w->minor, w->leaf_weight);
	}
	plan_throttle(p, "blkio.throttle.read_bps_device", b->read_bps, b->n_read_bps);
	plan_throttle(p, "blkio.throttle.write_bps_device", b->write_bps, b->n_write_bps);
	plan_throttle(p, "blkio.throttle.read_iops_device", b->read_iops, b->n_read_iops);
	plan_throttle(p, "blkio.throttle.write_iops_device", b->write_iops, b->n_write_iops);
	return 0;
}

static int plan_hugetlb(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)now, (void)e;
	for (size_t i = 0; i < res->n_hugepage_limits; i++) {
		const struct spec_hugepage_limit *l = &res->hugepage_limits[i];
		AUTO_FREE char *used = str_fmt("hugetlb.%s.limit_in_bytes", l->page_size);
		AUTO_FREE char *reserved = str_fmt("hugetlb.%s.rsvd.limit_in_bytes", l->page_size);
		AUTO_FREE char *bytes = str_fmt("%" PRIu64, l->limit);

		cgroup_plan_add_named(p, ISO_CTL_HUGETLB, 0, used, bytes);
		cgroup_plan_add_named(p, ISO_CTL_HUGETLB, CGROUP_OPTIONAL, reserved, bytes);
	}
	return 0;
}

static int plan_rdma(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	return cgroup_v2_ops.plan[CGROUP_RDMA](res, now, p, e); /* the same file in both */
}

static int plan_net(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_network *n = res->network;

	(void)now, (void)e;
	if (n->has_class_id && n->class_id)
		cgroup_plan_add(p, ISO_CTL_NET, 0, "net_cls.classid", "%" PRIu32, n->class_id);
	for (size_t i = 0; i < n->n_priorities; i++)
		cgroup_plan_add(p, ISO_CTL_NET, 0, "net_prio.ifpriomap", "%s %" PRIu32, n->priorities[i].name,
			n->priorities[i].priority);
	return 0;
}

static void device_line(const struct cgroup_device *d, char type, char buf[64])
{
	char number[2][24] = {"*", "*"};

	if (d->major >= 0)
		snprintf(number[0], sizeof(number[0]), "%" PRId64, d->major);
	if (d->minor >= 0)
		snprintf(number[1], sizeof(number[1]), "%" PRId64, d->minor);
	snprintf(buf, 64, "%c %s:%s %s%s%s", type, number[0], number[1], d->access & CGROUP_DEV_READ ? "r" : "",
		d->access & CGROUP_DEV_WRITE ? "w" : "", d->access & CGROUP_DEV_MKNOD ? "m" : "");
}

/*
 * "a" on v1 means everything and forgets all rules before, whatever numbers follow it; so only
 * a rule that does mean everything is written as "a", and others once for each type.
 */
static int v1_devices(const struct cgroup_hier *h, const struct spec_device_rule *rules, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct cgroup_device d;
		const char *file;
		char line[64];
		int r = cgroup_device_check(&rules[i], &d, e);

		if (r < 0)
			return r;
		file = d.allow ? "devices.allow" : "devices.deny";
		if (d.type == 'a' && d.major < 0 && d.minor < 0 && d.access == CGROUP_DEV_ALL) {
			r = file_write_kernel(h->dir_fd, file, FILE_CGROUP1, "a", e);
		} else {
			device_line(&d, d.type == 'a' ? 'b' : d.type, line);
			r = file_write_kernel(h->dir_fd, file, FILE_CGROUP1, line, e);
			if (r >= 0 && d.type == 'a') {
				device_line(&d, 'c', line);
				r = file_write_kernel(h->dir_fd, file, FILE_CGROUP1, line, e);
			}
		}
		if (r == -EPERM)
			return err_hint(e, "a group cannot allow what its parent denies");
		if (r == -EINVAL)
			return err_hint(e, "all devices at once can be changed only in a group without child groups");
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The kernel freezes while freezer.state is read, and tells nobody when it is done, so this is
 * the one place that has to look again and again; freezer-subsystem.rst.
 */
static int v1_freeze(const struct cgroup_hier *h, bool frozen, uint64_t deadline_ms, struct err *e)
{
	struct timespec nap = {.tv_nsec = 200000};
	int r = file_write_kernel(h->dir_fd, "freezer.state", FILE_CGROUP1, frozen ? "FROZEN" : "THAWED", e);

	while (r >= 0 && frozen) {
		AUTO_BUF struct buf state = {0};

		r = cgroup_read(h->dir_fd, "freezer.state", &state, e);
		if (r < 0 || str_starts(state.p, "FROZEN"))
			break;
		if (time_mono_ms() >= deadline_ms) {
			struct err ignored = {0};

			file_write_kernel(h->dir_fd, "freezer.state", FILE_CGROUP1, "THAWED", &ignored);
			return err_set(e, ETIMEDOUT,
				"cannot freeze: a process inside does not stop (it may wait for a disk or a debugger)");
		}
		nanosleep(&nap, NULL);
		nap.tv_nsec = MIN(nap.tv_nsec * 2, 20000000L);
	}
	return r;
}

#define STAT(ctl_, file_, key_, member_, ...) \
	{.ctl = (ctl_), .file = (file_), .key = (key_), .offset = offsetof(struct iso_stats, member_), ##__VA_ARGS__}
static const struct cgroup_stat_row v1_stats[] = {
	STAT(ISO_CTL_CPUACCT, "cpuacct.usage", NULL, cpu_usage_usec, .div = 1000),
	STAT(ISO_CTL_CPUACCT, "cpuacct.usage_user", NULL, cpu_user_usec, .div = 1000),
	STAT(ISO_CTL_CPUACCT, "cpuacct.usage_sys", NULL, cpu_system_usec, .div = 1000),
	STAT(ISO_CTL_CPU, "cpu.stat", "nr_periods", cpu_periods),
	STAT(ISO_CTL_CPU, "cpu.stat", "nr_throttled", cpu_throttled),
	STAT(ISO_CTL_CPU, "cpu.stat", "throttled_time", cpu_throttled_usec, .div = 1000),
	STAT(ISO_CTL_MEMORY, "memory.usage_in_bytes", NULL, memory_bytes),
	STAT(ISO_CTL_MEMORY, "memory.max_usage_in_bytes", NULL, memory_peak_bytes),
	STAT(ISO_CTL_MEMORY, "memory.limit_in_bytes", NULL, memory_limit_bytes),
	STAT(ISO_CTL_MEMORY, "memory.kmem.usage_in_bytes", NULL, memory_kernel_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "total_swap", memory_swap_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "total_rss", memory_anon_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "total_cache", memory_file_bytes),
	STAT(ISO_CTL_MEMORY, "memory.oom_control", "oom_kill", oom_kills),
	STAT(ISO_CTL_PIDS, "pids.current", NULL, pids),
	STAT(ISO_CTL_PIDS, "pids.max", NULL, pids_limit),
};

/* "8:0 Read 4096" for each device, and "Total 8192". */
static void add_io(int dir_fd, const char *file, uint64_t *reads, uint64_t *writes)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored = {0};
	char *save = NULL;

	if (cgroup_read(dir_fd, file, &text, &ignored) < 0)
		return;
	*reads = *writes = 0;
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char kind[16];
		uint64_t value;

		if (sscanf(line, "%*u:%*u %15s %" SCNu64, kind, &value) != 2)
			continue;
		if (!strcmp(kind, "Read"))
			*reads += value;
		else if (!strcmp(kind, "Write"))
			*writes += value;
	}
}

static void v1_stats_io(const struct cgroup_hier *h, struct iso_stats *ret)
{
	if (!(h->ctl & ISO_CTL_IO))
		return;
	add_io(h->dir_fd, "blkio.throttle.io_service_bytes_recursive", &ret->io_read_bytes, &ret->io_write_bytes);
	add_io(h->dir_fd, "blkio.throttle.io_serviced_recursive", &ret->io_reads, &ret->io_writes);
}

const struct cgroup_ops cgroup_v1_ops = {
	.version = 1,
	.fs = FILE_CGROUP1,
	.before = v1_before,
	.after = v1_after,
	.plan = {
		[CGROUP_CPUSET] = plan_cpuset,
		[CGROUP_CPU] = plan_cpu,
		[CGROUP_MEMORY] = plan_memory,
		[CGROUP_PIDS] = plan_pids,
		[CGROUP_IO] = plan_io,
		[CGROUP_HUGETLB] = plan_hugetlb,
		[CGROUP_RDMA] = plan_rdma,
		[CGROUP_NET] = plan_net,
	},
	.devices = v1_devices,
	.freeze = v1_freeze,
	.stats = v1_stats,
	.n_stats = ARRAY_SIZE(v1_stats),
	.stats_io = v1_stats_io,
};
