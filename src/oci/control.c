/*
 * Commands on a container that exists: kill, delete, pause, resume, update, ps, stats.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "oci/internal.h"

/* Text that the engines above look for, so it stays as it is. */
static int not_running(struct err *e)
{
	return err_set(e, ESRCH, "container not running");
}

static int signal_all(const struct container *c, int sig, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	int r = iso_cgroup_open(c->rec.cgroup, &cg, e);

	if (r >= 0)
		r = iso_cgroup_signal(&cg, sig, e);
	iso_cgroup_release(&cg);
	/* Nobody left to tell. */
	return r == -ENOENT || r == -ESRCH ? 0 : r;
}

int oci_kill(struct oci *o, const char *id, int sig, bool all, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	AUTO_FD int pidfd = -1;
	int r;

	if (container_open(o, id, CONTAINER_READ, &c, e) < 0)
		return -e->code;
	if (all && c.rec.cgroup)
		return signal_all(&c, sig, e);
	pidfd = container_pidfd(&c);
	if (pidfd < 0)
		return all ? 0 : not_running(e);
	r = proc_signal(pidfd, sig);
	if (r == -ESRCH)
		return all ? 0 : not_running(e);
	return r < 0 ? err_set(e, -r, "cannot signal container '%s': %s", id, strerrordesc_np(-r))
		     : 0;
}

/* It may be nobody's child: a pidfd tells of its end all the same. */
static int wait_gone(int pidfd, const char *id, struct err *e)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	uint64_t deadline = time_mono_ms() + KILL_TIMEOUT_MS;

	for (;;) {
		uint64_t now = time_mono_ms();
		int r = now < deadline ? poll(&p, 1, (int)(deadline - now)) : 0;

		if (r > 0)
			return 0;
		if (r == 0)
			return err_set(e, ETIMEDOUT,
				"container '%s' did not end within %d ms of SIGKILL", id,
				KILL_TIMEOUT_MS);
		if (errno != EINTR)
			return err_sys(e, "cannot wait for container '%s'", id);
	}
}

/*
 * By its cgroup, which also holds what has left the pid namespace; else its first process.
 * The cgroup is opened once for both: on v1 that is ten hierarchies.
 */
static int end_all(const struct container *c, struct iso_cgroup *cg, struct err *e)
{
	AUTO_FD int pidfd = container_pidfd(c);

	if (pidfd >= 0)
		proc_signal(pidfd, SIGKILL);
	if (cg && iso_cgroup_kill(cg, KILL_TIMEOUT_MS, e) < 0)
		return -e->code;
	if (pidfd >= 0 && wait_gone(pidfd, c->rec.id, e) < 0)
		return -e->code;
	return cg ? iso_cgroup_destroy(cg, e) : 0;
}

static int end_container(const struct container *c, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	int r;

	if (!c->rec.cgroup)
		return end_all(c, NULL, e);
	r = iso_cgroup_open(c->rec.cgroup, &cg, e);
	/* Gone in part or in whole: a delete that was cut off, or a create. */
	if (r == -ENOENT)
		r = end_all(c, NULL, e) < 0 ? -e->code : iso_cgroup_destroy_path(c->rec.cgroup, e);
	else if (r >= 0)
		r = end_all(c, &cg, e);
	iso_cgroup_release(&cg);
	return r;
}

static int may_delete(const struct container *c, bool force, struct err *e)
{
	enum oci_status status = container_status(c);

	if (force || status == OCI_STOPPED || status == OCI_CREATED)
		return 0;
	return err_set(e, EBUSY, "cannot delete container '%s' that is not stopped: %s", c->rec.id,
		oci_status_names[status]);
}

/* The state cannot be read: what the configuration and the id tell is killed and removed. */
static int delete_damaged(struct oci *o, const char *id, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;

	c.o = o;
	c.rec.id = str_dup(id);
	c.dir_fd = openat(o->root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (c.dir_fd < 0)
		return err_sys(e, "cannot open container '%s'", id);
	if (container_load_spec(&c, e) < 0)
		strv_add(&o->warnings, e->text);
	if (cgroup_path(o, id, &c.spec, &c.rec.cgroup, &c.rec.scope, e) < 0)
		strv_add(&o->warnings, e->text);
	if (c.rec.cgroup && end_container(&c, e) < 0)
		return -e->code;
	return container_remove(&c, e);
}

int oci_delete(struct oci *o, const char *id, bool force, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct err ignored = {0};
	int r = container_open(o, id, CONTAINER_LOCK, &c, e);

	if (r == -ENOENT && force)
		return 0;
	if (r == -EINVAL && force && id_check(id, &ignored) >= 0)
		return delete_damaged(o, id, e);
	if (r < 0)
		return r;
	if (may_delete(&c, force, e) < 0 || end_container(&c, e) < 0)
		return -e->code;
	if (container_load_spec(&c, &ignored) >= 0)
		run_poststop_hooks(&c);
	else
		strv_add(&o->warnings, ignored.text);
	return container_remove(&c, e);
}

static int freeze(struct container *c, bool frozen, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	int r = cgroup_open_of(c, &cg, e);

	if (r >= 0)
		r = iso_cgroup_freeze(&cg, frozen, e);
	iso_cgroup_release(&cg);
	return r;
}

int oci_pause(struct oci *o, const char *id, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct err ignored = {0};
	enum oci_status status;

	if (container_open(o, id, CONTAINER_LOCK, &c, e) < 0)
		return -e->code;
	status = container_status(&c);
	if (status != OCI_RUNNING)
		return status == OCI_STOPPED
			       ? not_running(e)
			       : err_set(e, EBUSY, "cannot pause container '%s' in the '%s' state",
					 id, oci_status_names[status]);
	/* Noted first: a frozen container that nobody calls paused could not be resumed. */
	c.rec.paused = true;
	if (container_save(&c, e) < 0)
		return -e->code;
	if (freeze(&c, true, e) >= 0)
		return 0;
	c.rec.paused = false;
	container_save(&c, &ignored);
	return -e->code;
}

int oci_resume(struct oci *o, const char *id, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	enum oci_status status;

	if (container_open(o, id, CONTAINER_LOCK, &c, e) < 0)
		return -e->code;
	status = container_status(&c);
	if (status == OCI_STOPPED)
		return not_running(e);
	if (status != OCI_PAUSED)
		return err_set(e, EBUSY, "container '%s' is not paused", id);
	if (freeze(&c, false, e) < 0)
		return -e->code;
	c.rec.paused = false;
	return container_save(&c, e);
}

static int update(struct oci *o, const char *id, const struct spec_resources *res, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	int r;

	if (spec_resources_check(res, e) < 0 || container_open(o, id, CONTAINER_LOCK, &c, e) < 0)
		return -e->code;
	if (container_status(&c) == OCI_STOPPED)
		return not_running(e);
	r = cgroup_open_of(&c, &cg, e);
	if (r >= 0)
		r = iso_cgroup_update(&cg, res, e);
	iso_cgroup_release(&cg);
	return r;
}

int oci_update(struct oci *o, const char *id, const char *text, size_t n, struct err *e)
{
	struct spec_resources res = {0};
	int r = spec_resources_load(text, n, &res, e);

	r = r < 0 ? err_prefix(e, "resources") : update(o, id, &res, e);
	spec_resources_release(&res);
	return r;
}

#define TAKE(to, member, value, given)                                                             \
	do {                                                                                       \
		(to).member = (value);                                                             \
		(to).has_##member = (given);                                                       \
	} while (0)

int oci_update_limits(struct oci *o, const char *id, const struct oci_limits *l, struct err *e)
{
	struct spec_resources res = {.pids_limit = l->pids, .has_pids = l->has_pids};
	struct spec_memory memory = {0};
	struct spec_cpu cpu = {.cpus = l->cpus, .mems = l->mems};
	struct spec_block_io block_io = {0};

	TAKE(memory, limit, l->memory, l->has_memory);
	TAKE(memory, reservation, l->memory_reservation, l->has_memory_reservation);
	TAKE(memory, swap, l->memory_swap, l->has_memory_swap);
	TAKE(cpu, shares, l->cpu_shares, l->has_cpu_shares);
	TAKE(cpu, quota, l->cpu_quota, l->has_cpu_quota);
	TAKE(cpu, period, l->cpu_period, l->has_cpu_period);
	TAKE(cpu, burst, l->cpu_burst, l->has_cpu_burst);
	TAKE(cpu, realtime_runtime, l->cpu_rt_runtime, l->has_cpu_rt_runtime);
	TAKE(cpu, realtime_period, l->cpu_rt_period, l->has_cpu_rt_period);
	TAKE(cpu, idle, l->cpu_idle, l->has_cpu_idle);
	if (l->has_blkio_weight && l->blkio_weight > 1000)
		return err_set(e, EINVAL, "--blkio-weight %" PRIu64 ": expected 10 to 1000",
			l->blkio_weight);
	TAKE(block_io, weight, (uint32_t)l->blkio_weight, l->has_blkio_weight);
	res.memory = &memory;
	res.cpu = &cpu;
	res.block_io = l->has_blkio_weight ? &block_io : NULL;
	return update(o, id, &res, e);
}

int oci_pids(struct oci *o, const char *id, pid_t **ret, size_t *ret_n, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	int r;

	if (container_open(o, id, CONTAINER_READ, &c, e) < 0)
		return -e->code;
	if (container_status(&c) == OCI_STOPPED)
		return not_running(e);
	if (!c.rec.cgroup) {
		*ret = mem_dup(&(pid_t){c.rec.pid}, sizeof(**ret));
		*ret_n = 1;
		return 0;
	}
	r = cgroup_open_of(&c, &cg, e);
	if (r >= 0)
		r = iso_cgroup_pids(&cg, ret, ret_n, e);
	iso_cgroup_release(&cg);
	return r;
}

/* One member of the statistics; what the host cannot tell is left out. */
static void add(struct buf *b, const char *key, uint64_t value)
{
	if (value == UINT64_MAX)
		return;
	if (b->p[b->n - 1] != '{')
		buf_adds(b, ",");
	buf_addf(b, "\"%s\":%" PRIu64, key, value);
}

static uint64_t ns(uint64_t usec)
{
	return usec > UINT64_MAX / 1000 ? UINT64_MAX : usec * 1000;
}

static void print_memory(struct buf *b, const struct iso_stats *s)
{
	buf_adds(b, "\"memory\":{");
	add(b, "cache", s->memory_file_bytes);
	buf_adds(b, b->p[b->n - 1] == '{' ? "\"usage\":{" : ",\"usage\":{");
	/* "No limit" is the largest number in what programs expect here. */
	buf_addf(b, "\"limit\":%" PRIu64, s->memory_limit_bytes);
	add(b, "usage", s->memory_bytes);
	add(b, "max", s->memory_peak_bytes);
	buf_adds(b, ",\"failcnt\":0},\"swap\":{");
	add(b, "usage", s->memory_swap_bytes);
	buf_adds(b, "},\"kernel\":{");
	add(b, "usage", s->memory_kernel_bytes);
	buf_adds(b, "},\"raw\":{");
	add(b, "anon", s->memory_anon_bytes);
	add(b, "file", s->memory_file_bytes);
	add(b, "oom_kill", s->oom_kills);
	buf_adds(b, "}},");
}

static void print_stats(struct buf *b, const char *id, const struct iso_stats *s)
{
	buf_adds(b, "{\"type\":\"stats\",\"id\":");
	json_add_string(b, id);
	buf_adds(b, ",\"data\":{\"cpu\":{\"usage\":{");
	add(b, "total", ns(s->cpu_usage_usec));
	add(b, "kernel", ns(s->cpu_system_usec));
	add(b, "user", ns(s->cpu_user_usec));
	buf_adds(b, "},\"throttling\":{");
	add(b, "periods", s->cpu_periods);
	add(b, "throttledPeriods", s->cpu_throttled);
	add(b, "throttledTime", ns(s->cpu_throttled_usec));
	buf_adds(b, "}},");
	print_memory(b, s);
	buf_adds(b, "\"pids\":{");
	add(b, "current", s->pids);
	add(b, "limit", s->pids_limit);
	buf_adds(b, "},\"io\":{");
	add(b, "readBytes", s->io_read_bytes);
	add(b, "writeBytes", s->io_write_bytes);
	add(b, "reads", s->io_reads);
	add(b, "writes", s->io_writes);
	buf_adds(b, "}}}");
}

int oci_stats(struct oci *o, const char *id, char **ret, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct iso_stats stats;
	struct buf b = {0};
	int r;

	if (container_open(o, id, CONTAINER_READ, &c, e) < 0)
		return -e->code;
	if (container_status(&c) == OCI_STOPPED)
		return not_running(e);
	r = cgroup_open_of(&c, &cg, e);
	if (r >= 0)
		r = iso_cgroup_stats(&cg, &stats, e);
	iso_cgroup_release(&cg);
	if (r < 0)
		return r;
	print_stats(&b, id, &stats);
	*ret = b.p;
	return 0;
}
