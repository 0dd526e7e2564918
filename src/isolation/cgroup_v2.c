/* Control groups version 2: the kernel's Documentation/admin-guide/cgroup-v2.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/proc.h"
#include "isolation/cgroup_int.h"

static int read_controllers(int dir_fd, const char *file, unsigned int *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	int r = cgroup_read(dir_fd, file, &text, e);

	if (r >= 0)
		*ret = cgroup_controllers_parse(text.p, 2);
	return r;
}

static int explain_subtree(int code, const char *parent, struct err *e)
{
	const char *why = strerrordesc_np(code);

	if (code == EBUSY)
		why = "processes are in it, which v2 allows in leaf groups only; move them into a child group "
		      "(systemd: DelegateSubgroup=)";
	else if (code == EOPNOTSUPP)
		why = "it is threaded, and jails need a domain";
	else if (code == EACCES || code == EPERM)
		why = "it is not delegated to this user (systemd: Delegate=yes)";
	return err_set(e, code, "cgroup '/%.80s' cannot hand controllers down: %s", parent, why);
}

/*
 * What a group can limit its parent must have handed down.  All at once first; when the kernel
 * refuses (one controller may be tied up elsewhere) those that can be had.
 */
static int v2_before(struct cgroup_hier *h, int parent_fd, const char *parent, unsigned int want, struct err *e)
{
	unsigned int can = 0, have = 0, missing;
	AUTO_BUF struct buf all = {0};
	int r = read_controllers(parent_fd, "cgroup.controllers", &can, e);

	if (r >= 0)
		r = read_controllers(parent_fd, "cgroup.subtree_control", &have, e);
	missing = want & can & ~have;
	if (r < 0 || !missing)
		return r;
	for (unsigned int bit = 1; bit <= missing; bit <<= 1)
		if (missing & bit)
			buf_addf(&all, "+%s ", cgroup_controller_name(bit, 2));
	r = file_write_kernel(parent_fd, "cgroup.subtree_control", h->ops->fs, all.p, e);
	for (unsigned int bit = 1; r < 0 && bit <= missing; bit <<= 1) {
		char one[32];
		struct err ignored = {0};

		snprintf(one, sizeof(one), "+%s", cgroup_controller_name(bit, 2));
		if (missing & bit)
			file_write_kernel(parent_fd, "cgroup.subtree_control", h->ops->fs, one, &ignored);
	}
	return r < 0 ? explain_subtree(-r, parent, e) : 0;
}

static int v2_after(struct cgroup_hier *h, int parent_fd, int dir_fd, struct err *e)
{
	(void)parent_fd;
	int r = read_controllers(dir_fd, "cgroup.controllers", &h->ctl, e);

	if (r < 0)
		return r;
	h->ctl |= ISO_CTL_FREEZER; /* of the core since Linux 5.2 */
	return 0;
}

static int plan_cpuset(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	return cgroup_v1_ops.plan[CGROUP_CPUSET](res, now, p, e); /* the same files in both */
}

/*
 * Shares count from 2 to 262144 with 1024 for everybody who says nothing, weights from 1 to
 * 10000 with 100.  Keeping the ratios keeps what was meant: half the default stays half the
 * default.
 */
static uint64_t shares_to_weight(uint64_t shares)
{
	uint64_t weight = (MIN(shares, 262144) * 100 + 512) / 1024;

	return weight < 1 ? 1 : MIN(weight, 10000);
}

static int plan_cpu_max(const struct spec_cpu *c, const struct cgroup_hier *now, struct cgroup_plan *p, struct err *e)
{
	bool has_quota = c->has_quota && c->quota, has_period = c->has_period && c->period;
	char quota[24] = "max";

	if (has_quota && c->quota > 0) {
		snprintf(quota, sizeof(quota), "%" PRId64, c->quota);
	} else if (!has_quota && has_period && now) { /* the file takes no period alone */
		AUTO_BUF struct buf text = {0};
		int r = cgroup_read(now->dir_fd, "cpu.max", &text, e);

		if (r < 0)
			return r;
		snprintf(quota, sizeof(quota), "%.*s", (int)strcspn(text.p, " \n"), text.p);
	}
	if (has_period)
		cgroup_plan_add(p, ISO_CTL_CPU, CGROUP_OR_AFTER_NEXT, "cpu.max", "%s %" PRIu64, quota, c->period);
	else if (has_quota)
		cgroup_plan_add(p, ISO_CTL_CPU, CGROUP_OR_AFTER_NEXT, "cpu.max", "%s", quota);
	return 0;
}

static int plan_cpu(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_cpu *c = res->cpu;
	int r;

	if (c->has_realtime_runtime && c->realtime_runtime > 0)
		return err_set(e, EOPNOTSUPP,
			"cgroup v2 has no limit for real-time scheduling; leave cpu.realtimeRuntime out");
	if (c->has_shares && c->shares)
		cgroup_plan_add(p, ISO_CTL_CPU, c->has_idle ? CGROUP_OR_AFTER_NEXT : 0, "cpu.weight", "%" PRIu64,
			shares_to_weight(c->shares));
	if (c->has_idle)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.idle", "%" PRId64, c->idle);
	r = plan_cpu_max(c, now, p, e);
	if (r >= 0 && c->has_burst)
		cgroup_plan_add(p, ISO_CTL_CPU, 0, "cpu.max.burst", "%" PRIu64, c->burst);
	return r;
}

static void add_bytes(struct cgroup_plan *p, unsigned int flags, const char *file, int64_t bytes)
{
	if (bytes < 0)
		cgroup_plan_add(p, ISO_CTL_MEMORY, flags, file, "max");
	else
		cgroup_plan_add(p, ISO_CTL_MEMORY, flags, file, "%" PRId64, bytes);
}

/* The specification counts memory and swap together, v2 counts swap alone. */
static int plan_swap(const struct spec_memory *m, const struct cgroup_hier *now, struct cgroup_plan *p, struct err *e)
{
	int64_t limit = m->has_limit ? m->limit : 0;

	if (m->swap < 0) {
		add_bytes(p, CGROUP_OPTIONAL, "memory.swap.max", -1);
		return 0;
	}
	if (!limit && now) {
		AUTO_BUF struct buf text = {0};
		int r = cgroup_read(now->dir_fd, "memory.max", &text, e);

		if (r < 0)
			return r;
		limit = str_starts(text.p, "max") ? -1 : strtoll(text.p, NULL, 10);
	}
	if (limit <= 0)
		return err_set(e, EINVAL, "memory and swap together can be limited only where memory is; set a memory limit");
	if (m->swap < limit)
		return err_set(e, EINVAL,
			"memory and swap together are limited to %" PRId64 " bytes, memory alone to %" PRId64
			"; the first must not be less", m->swap, limit);
	add_bytes(p, 0, "memory.swap.max", m->swap - limit);
	return 0;
}

static uint64_t read_number(int dir_fd, const char *file)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored = {0};

	return cgroup_read(dir_fd, file, &text, &ignored) < 0 ? 0 : strtoull(text.p, NULL, 10);
}

/*
 * v2 takes any memory.max at once and kills what does not fit; v1 refuses with EBUSY when it
 * cannot reclaim enough.  Nobody who lowers a limit means to kill the jail: do as v1 does.
 * memory.reclaim is there since Linux 5.19; its EAGAIN says that not all could be had.
 */
static int v2_shrink(const struct cgroup_hier *h, int64_t limit_bytes, struct err *e)
{
	uint64_t limit = (uint64_t)limit_bytes, used = read_number(h->dir_fd, "memory.current");
	struct err ignored = {0};

	for (int i = 0; i < 4 && used > limit; i++) {
		char more[24];

		snprintf(more, sizeof(more), "%" PRIu64, used - limit);
		file_write_kernel(h->dir_fd, "memory.reclaim", h->ops->fs, more, &ignored);
		used = read_number(h->dir_fd, "memory.current");
	}
	if (used <= limit)
		return 0;
	return err_set(e, EBUSY, "cannot lower the memory limit to %" PRIu64 " bytes: %" PRIu64 " bytes are in use", limit,
		used);
}

static int plan_memory(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_memory *m = res->memory;
	bool limit = m->has_limit && m->limit;

	if (m->has_swappiness)
		return err_set(e, EOPNOTSUPP, "cgroup v2 has no swappiness of a group; leave memory.swappiness out");
	if (m->disable_oom_killer)
		return err_set(e, EOPNOTSUPP, "cgroup v2 cannot disable the OOM killer; leave memory.disableOOMKiller out");
	if ((m->has_kernel && m->kernel > 0 && !limit) || (m->has_kernel_tcp && m->kernel_tcp > 0 && !limit))
		return err_set(e, EOPNOTSUPP,
			"cgroup v2 counts kernel memory with all other: limit memory, not kernel memory alone");
	if (limit)
		add_bytes(p, 0, "memory.max", m->limit);
	/* One process killed leaves a jail that limps; the jail as a whole can be started again. */
	if (limit && m->limit > 0 && !now)
		cgroup_plan_add(p, ISO_CTL_MEMORY, CGROUP_OPTIONAL, "memory.oom.group", "1");
	if (m->has_reservation && m->reservation)
		add_bytes(p, 0, "memory.low", m->reservation);
	return m->has_swap && m->swap ? plan_swap(m, now, p, e) : 0;
}

static int plan_pids(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	return cgroup_v1_ops.plan[CGROUP_PIDS](res, now, p, e); /* the same file in both */
}

static void plan_throttle(struct cgroup_plan *p, const char *key, const struct spec_throttle_device *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char rate[24] = "max"; /* 0 takes the limit away, as on v1 */

		if (d[i].rate)
			snprintf(rate, sizeof(rate), "%" PRIu64, d[i].rate);
		cgroup_plan_add(p, ISO_CTL_IO, 0, "io.max", "%" PRId64 ":%" PRId64 " %s=%s", d[i].major, d[i].minor,
			key, rate);
	}
}

/* 10..1000 of the specification to 1..10000 of io.weight, end to end. */
static uint32_t io_weight(uint32_t weight)
{
	weight = weight < 10 ? 10 : MIN(weight, 1000);
	return 1 + (weight - 10) * 9999 / 990;
}

static int plan_io(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	const struct spec_block_io *b = res->block_io;

	(void)now;
	if ((b->has_leaf_weight && b->leaf_weight))
		return err_set(e, EOPNOTSUPP, "cgroup v2 has no leaf weight; leave blockIO.leafWeight out");
	if (b->has_weight && b->weight) { /* BFQ's own scale is the specification's */
		cgroup_plan_add(p, ISO_CTL_IO, CGROUP_OR_NEXT, "io.bfq.weight", "%" PRIu32, b->weight);
		cgroup_plan_add(p, ISO_CTL_IO, 0, "io.weight", "default %" PRIu32, io_weight(b->weight));
	}
	for (size_t i = 0; i < b->n_weight_device; i++) {
		const struct spec_weight_device *w = &b->weight_device[i];

		if (!w->has_weight)
			continue;
		cgroup_plan_add(p, ISO_CTL_IO, CGROUP_OR_NEXT, "io.bfq.weight", "%" PRId64 ":%" PRId64 " %" PRIu32,
			w->major, w->minor, w->weight);
		cgroup_plan_add(p, ISO_CTL_IO, 0, "io.weight", "%" PRId64 ":%" PRId64 " %" PRIu32, w->major, w->minor,
			io_weight(w->weight));
	}
	plan_throttle(p, "rbps", b->read_bps, b->n_read_bps);
	plan_throttle(p, "wbps", b->write_bps, b->n_write_bps);
	plan_throttle(p, "riops", b->read_iops, b->n_read_iops);
	plan_throttle(p, "wiops", b->write_iops, b->n_write_iops);
	return 0;
}

static int plan_hugetlb(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)now, (void)e;
	for (size_t i = 0; i < res->n_hugepage_limits; i++) {
		const struct spec_hugepage_limit *l = &res->hugepage_limits[i];
		AUTO_FREE char *used = str_fmt("hugetlb.%s.max", l->page_size);
		AUTO_FREE char *reserved = str_fmt("hugetlb.%s.rsvd.max", l->page_size);
		AUTO_FREE char *bytes = str_fmt("%" PRIu64, l->limit);

		cgroup_plan_add_named(p, ISO_CTL_HUGETLB, 0, used, bytes);
		cgroup_plan_add_named(p, ISO_CTL_HUGETLB, CGROUP_OPTIONAL, reserved, bytes);
	}
	return 0;
}

static int plan_rdma(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)now, (void)e;
	for (size_t i = 0; i < res->n_rdma; i++) {
		const struct spec_rdma_entry *r = &res->rdma[i];
		AUTO_BUF struct buf line = {0};

		buf_adds(&line, r->device);
		if (r->limits.has_hca_handles)
			buf_addf(&line, " hca_handle=%" PRIu32, r->limits.hca_handles);
		if (r->limits.has_hca_objects)
			buf_addf(&line, " hca_object=%" PRIu32, r->limits.hca_objects);
		cgroup_plan_add(p, ISO_CTL_RDMA, 0, "rdma.max", "%s", line.p);
	}
	return 0;
}

static int plan_net(const struct spec_resources *res, const struct cgroup_hier *now, struct cgroup_plan *p,
	struct err *e)
{
	(void)res, (void)now, (void)p;
	return err_set(e, EOPNOTSUPP,
		"cgroup v2 has no network classes and priorities; nftables can match a cgroup by its path instead");
}

static int v2_devices(const struct cgroup_hier *h, const struct spec_device_rule *rules, size_t n, struct err *e)
{
	return cgroup_bpf_set_devices(h->dir_fd, rules, n, e);
}

static bool is_frozen(int events_fd, struct err *e, int *ret)
{
	AUTO_BUF struct buf text = {0};

	*ret = lseek(events_fd, 0, SEEK_SET) < 0 ? err_sys(e, "cannot rewind 'cgroup.events'")
						  : file_read_fd(events_fd, "cgroup.events", CGROUP_FILE_MAX, &text, e);
	return *ret >= 0 && strstr(text.p, "frozen 1");
}

static int v2_freeze(const struct cgroup_hier *h, bool frozen, uint64_t deadline_ms, struct err *e)
{
	AUTO_FD int events = openat(h->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct err thaw = {0};
	int r;

	if (events < 0)
		return err_sys(e, "cannot open 'cgroup.events'");
	r = file_write_kernel(h->dir_fd, "cgroup.freeze", h->ops->fs, frozen ? "1" : "0", e);
	while (r >= 0 && frozen && !is_frozen(events, e, &r) && r >= 0) {
		struct pollfd p = {.fd = events, .events = POLLPRI};
		uint64_t now = time_mono_ms();

		if (now >= deadline_ms)
			r = err_set(e, ETIMEDOUT,
				"cannot freeze: a process inside does not stop (it may wait for a disk or a debugger)");
		else
			poll(&p, 1, (int)MIN(deadline_ms - now, 60000));
	}
	if (r < 0 && frozen)
		file_write_kernel(h->dir_fd, "cgroup.freeze", h->ops->fs, "0", &thaw);
	return r;
}

#define STAT(ctl_, file_, key_, member_) \
	{.ctl = (ctl_), .file = (file_), .key = (key_), .offset = offsetof(struct iso_stats, member_)}
static const struct cgroup_stat_row v2_stats[] = {
	STAT(0, "cpu.stat", "usage_usec", cpu_usage_usec),
	STAT(0, "cpu.stat", "user_usec", cpu_user_usec),
	STAT(0, "cpu.stat", "system_usec", cpu_system_usec),
	STAT(ISO_CTL_CPU, "cpu.stat", "nr_periods", cpu_periods),
	STAT(ISO_CTL_CPU, "cpu.stat", "nr_throttled", cpu_throttled),
	STAT(ISO_CTL_CPU, "cpu.stat", "throttled_usec", cpu_throttled_usec),
	STAT(ISO_CTL_MEMORY, "memory.current", NULL, memory_bytes),
	STAT(ISO_CTL_MEMORY, "memory.peak", NULL, memory_peak_bytes),
	STAT(ISO_CTL_MEMORY, "memory.max", NULL, memory_limit_bytes),
	STAT(ISO_CTL_MEMORY, "memory.swap.current", NULL, memory_swap_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "anon", memory_anon_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "file", memory_file_bytes),
	STAT(ISO_CTL_MEMORY, "memory.stat", "kernel", memory_kernel_bytes),
	STAT(ISO_CTL_MEMORY, "memory.events", "oom_kill", oom_kills),
	STAT(ISO_CTL_PIDS, "pids.current", NULL, pids),
	STAT(ISO_CTL_PIDS, "pids.max", NULL, pids_limit),
};

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" for each device. */
static void v2_stats_io(const struct cgroup_hier *h, struct iso_stats *ret)
{
	const struct {
		const char *key;
		uint64_t *sum;
	} keys[] = {{"rbytes=", &ret->io_read_bytes}, {"wbytes=", &ret->io_write_bytes}, {"rios=", &ret->io_reads},
		{"wios=", &ret->io_writes}};
	AUTO_BUF struct buf text = {0};
	struct err ignored = {0};
	char *save = NULL;

	if (!(h->ctl & ISO_CTL_IO) || cgroup_read(h->dir_fd, "io.stat", &text, &ignored) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		*keys[i].sum = 0;
	for (char *w = strtok_r(text.p, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (str_starts(w, keys[i].key))
				*keys[i].sum += strtoull(w + strlen(keys[i].key), NULL, 10);
}

const struct cgroup_ops cgroup_v2_ops = {
	.version = 2,
	.fs = FILE_CGROUP2,
	.before = v2_before,
	.after = v2_after,
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
	.devices = v2_devices,
	.freeze = v2_freeze,
	.shrink = v2_shrink,
	.stats = v2_stats,
	.n_stats = ARRAY_SIZE(v2_stats),
	.stats_io = v2_stats_io,
};
