/*
 * What a process is given besides privilege: limits, priorities, places to run, and a clean
 * slate of signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "isolation/confine.h"

enum {
	SIGNALS = 64,
	SIGSET_BYTES = SIGNALS / 8,
	CPUS_MAX = 8192, /* as many as any kernel can be built for */
	NODES_MAX = 1024, /* likewise */
	OOM_SCORE_MAX = 1000,
};

/* The kernel's own struct, which all zero means SIG_DFL with nothing masked. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

int iso_signals_reset(struct err *e)
{
	static const struct kernel_sigaction by_default;
	static const uint64_t none;

	/* Directly, because glibc hides the two signals that it uses itself. */
	for (int s = 1; s <= SIGNALS; s++)
		if (s != SIGKILL && s != SIGSTOP &&
			syscall(SYS_rt_sigaction, s, &by_default, NULL, SIGSET_BYTES) < 0)
			return err_sys(e, "cannot reset signal %d", s);
	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGSET_BYTES) < 0)
		return err_sys(e, "cannot unblock the signals");
	return 0;
}

static const char *limit_text(uint64_t v, char buf[static 24])
{
	if (v == RLIM_INFINITY)
		return "unlimited";
	snprintf(buf, 24, "%llu", (unsigned long long)v);
	return buf;
}

static int limit_refused(const struct spec_rlimit *l, uint64_t ceiling, struct err *e)
{
	char asked[24], have[24];
	const char *name = spec_rlimit_names[l->type];

	err_set(e, EPERM,
		"cannot set '%s' to %s: the hard limit is %s and raising it needs CAP_SYS_RESOURCE "
		"on the host",
		name, limit_text(l->hard, asked), limit_text(ceiling, have));
	if (l->type == RLIMIT_NOFILE && l->hard > ceiling)
		return err_hint(e,
			"ask for at most that, raise the caller's limit, or see sysctl fs.nr_open");
	return err_hint(e, "ask for at most that, or raise the caller's limit");
}

static int set_limit(pid_t pid, const struct spec_rlimit *l, bool clamp, struct err *e)
{
	struct rlimit want = {.rlim_cur = l->soft, .rlim_max = l->hard}, now;
	int resource = l->type;

	if (syscall(SYS_prlimit64, pid, resource, &want, &now) == 0)
		return 0;
	if (errno == EPERM && syscall(SYS_prlimit64, pid, resource, NULL, &now) == 0) {
		if (!clamp)
			return limit_refused(l, now.rlim_max, e);
		want.rlim_max = MIN(want.rlim_max, now.rlim_max);
		want.rlim_cur = MIN(want.rlim_cur, want.rlim_max);
		if (syscall(SYS_prlimit64, pid, resource, &want, NULL) == 0)
			return 0;
	}
	return err_sys(e, "cannot set '%s' to %llu:%llu", spec_rlimit_names[l->type],
		(unsigned long long)l->soft, (unsigned long long)l->hard);
}

int iso_rlimits_set(
	pid_t pid, const struct spec_rlimit *limits, size_t n, bool clamp, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		if (limits[i].type < 0 || limits[i].type >= RLIM_NLIMITS)
			return err_set(
				e, EINVAL, "unknown resource limit number %d", limits[i].type);
		r = set_limit(pid, &limits[i], clamp, e);
	}
	return r;
}

int iso_rlimits_apply(const struct spec_rlimit *limits, size_t n, bool clamp, struct err *e)
{
	return iso_rlimits_set(0, limits, n, clamp, e);
}

static int open_oom_score(int proc_fd, pid_t pid, struct err *e)
{
	char path[40] = "self/oom_score_adj";
	AUTO_FD int fd = -1;
	int r;

	if (pid)
		snprintf(path, sizeof(path), "%d/oom_score_adj", (int)pid);
	fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0) {
		err_sys(e, "cannot open '%s' of procfs", path);
		if (e->code == EACCES)
			return err_hint(e, "a process that is not dumpable belongs to root there");
		return -e->code;
	}
	r = file_check_fs(fd, FILE_PROC, path, e);
	return r < 0 ? r : fd_take(&fd);
}

int iso_oom_score_set(int proc_fd, pid_t pid, int score, bool clamp, struct err *e)
{
	AUTO_FD int fd = -1;
	char text[16];
	int n;

	if (score < -OOM_SCORE_MAX || score > OOM_SCORE_MAX)
		return err_set(e, ERANGE, "oom score %d is not in -1000..1000", score);
	fd = open_oom_score(proc_fd, pid, e);
	if (fd < 0)
		return fd;
	n = snprintf(text, sizeof(text), "%d", score);
	if (write(fd, text, (size_t)n) == n)
		return 0;
	/* Only lowering is refused, so what it is now is the lowest that is sure to be allowed. */
	if (clamp && (errno == EACCES || errno == EPERM))
		return 0;
	err_sys(e, "cannot set the oom score to %d", score);
	if (e->code == EACCES || e->code == EPERM)
		return err_hint(e, "lowering it needs CAP_SYS_RESOURCE on the host");
	return -e->code;
}

int iso_oom_score_apply(int proc_fd, int score, bool clamp, struct err *e)
{
	return iso_oom_score_set(proc_fd, 0, score, clamp, e);
}

int iso_scheduler_apply(const struct spec_scheduler *s, struct err *e)
{
	struct sched_attr a;

	if (!s)
		return 0;
	a = (struct sched_attr){
		.size = sizeof(a),
		.sched_policy = (uint32_t)s->policy,
		.sched_flags = s->flags,
		.sched_nice = s->nice,
		.sched_priority = (uint32_t)s->priority,
		.sched_runtime = s->runtime,
		.sched_deadline = s->deadline,
		.sched_period = s->period,
	};
	if (syscall(SYS_sched_setattr, 0, &a, 0) == 0)
		return 0;
	err_sys(e, "cannot set the scheduler to policy '%s', nice %d, priority %d",
		spec_sched_names[s->policy], s->nice, s->priority);
	if (e->code == EPERM)
		return err_hint(e, "real-time policies and raising the priority need CAP_SYS_NICE "
				   "on the host");
	return -e->code;
}

int iso_io_priority_apply(const struct spec_io_priority *p, struct err *e)
{
	if (!p)
		return 0;
	if (p->priority < 0 || p->priority > 7)
		return err_set(e, ERANGE, "io priority %d is not in 0..7", p->priority);
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    p->io_class << IOPRIO_CLASS_SHIFT | p->priority) == 0)
		return 0;
	err_sys(e, "cannot set the io priority to class '%s', level %d",
		spec_ioprio_names[p->io_class], p->priority);
	if (e->code == EPERM)
		return err_hint(e, "the real-time class needs CAP_SYS_NICE on the host");
	return -e->code;
}

static int list_number(const char **p, unsigned long *ret)
{
	char *end;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return errno ? -ERANGE : 0;
}

/* "N" or "N-M" into the map. */
static int list_range(const char **p, uint64_t *map, size_t n_bits, unsigned long *ret_last)
{
	unsigned long first, last;
	int r = list_number(p, &first);

	last = first;
	if (!r && **p == '-') {
		(*p)++;
		r = list_number(p, &last);
	}
	if (r < 0)
		return r;
	if (last < first)
		return -EINVAL;
	if (last >= n_bits)
		return -ERANGE;
	for (unsigned long i = first; i <= last; i++)
		map[i / 64] |= (uint64_t)1 << i % 64;
	*ret_last = last;
	return 0;
}

int iso_list_parse(const char *text, uint64_t *map, size_t n_bits, struct err *e)
{
	const char *p = text;
	unsigned long last = 0;
	int n = 0, r;

	memset(map, 0, (n_bits + 63) / 64 * sizeof(*map));
	do {
		r = list_range(&p, map, n_bits, &last);
		n = MAX(n, (int)last + 1);
	} while (!r && *p == ',' && *++p);
	if (!r && *p)
		r = -EINVAL;
	if (!r && p > text && p[-1] == ',')
		r = -EINVAL;
	if (r == -ERANGE)
		return err_set(
			e, ERANGE, "list '%.100s' has a number of %zu or more", text, n_bits);
	if (r < 0)
		return err_set(e, EINVAL, "'%.100s' is not a list such as 0-3,7", text);
	return n;
}

int iso_cpu_affinity_apply(const char *cpus, struct err *e)
{
	uint64_t map[CPUS_MAX / 64];
	int n;

	if (!cpus || !*cpus)
		return 0;
	n = iso_list_parse(cpus, map, CPUS_MAX, e);
	if (n < 0)
		return err_prefix(e, "cannot choose cpus");
	if (syscall(SYS_sched_setaffinity, 0, sizeof(map), map) == 0)
		return 0;
	err_sys(e, "cannot run on cpus '%.100s'", cpus);
	if (e->code == EINVAL)
		return err_hint(e, "none of them is online and in the cgroup's cpuset");
	return -e->code;
}

struct word {
	const char *name;
	int value;
};

static const struct word memory_modes[] = {
	{"MPOL_DEFAULT", 0},
	{"MPOL_PREFERRED", 1},
	{"MPOL_BIND", 2},
	{"MPOL_INTERLEAVE", 3},
	{"MPOL_LOCAL", 4},
	{"MPOL_PREFERRED_MANY", 5},
	{"MPOL_WEIGHTED_INTERLEAVE", 6},
};
static const struct word memory_flags[] = {
	{"MPOL_F_NUMA_BALANCING", 1 << 13},
	{"MPOL_F_RELATIVE_NODES", 1 << 14},
	{"MPOL_F_STATIC_NODES", 1 << 15},
};

static int word_value(
	const struct word *words, size_t n, const char *name, const char *what, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(words[i].name, name))
			return words[i].value;
	return err_set(e, EINVAL, "unknown %s '%.64s'", what, name ? name : "");
}

int iso_memory_policy_apply(const struct spec_memory_policy *m, struct err *e)
{
	uint64_t map[NODES_MAX / 64];
	bool nodes;
	int mode, flag;

	if (!m)
		return 0;
	mode = word_value(memory_modes, ARRAY_SIZE(memory_modes), m->mode, "memory policy mode", e);
	for (size_t i = 0; i < m->flags.n && mode >= 0; i++) {
		flag = word_value(memory_flags, ARRAY_SIZE(memory_flags), m->flags.v[i],
			"memory policy flag", e);
		mode = flag < 0 ? flag : mode | flag;
	}
	if (mode < 0)
		return mode;
	nodes = m->nodes && *m->nodes;
	if (nodes && iso_list_parse(m->nodes, map, NODES_MAX, e) < 0)
		return err_prefix(e, "cannot choose memory nodes");
	/* The kernel takes one bit less than it is told. */
	if (syscall(SYS_set_mempolicy, mode, nodes ? map : NULL, nodes ? NODES_MAX + 1 : 0) == 0)
		return 0;
	err_sys(e, "cannot set memory policy '%s' on nodes '%.100s'", m->mode,
		nodes ? m->nodes : "");
	if (e->code == ENOSYS)
		return err_hint(e, "the kernel is built without CONFIG_NUMA");
	return -e->code;
}

int iso_personality_apply(const struct spec_personality *p, struct err *e)
{
	static const struct word domains[] = {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}};
	int domain;

	if (!p)
		return 0;
	domain = word_value(domains, ARRAY_SIZE(domains), p->domain, "personality domain", e);
	if (domain < 0)
		return domain;
	/* config-linux.md "Personality": no flag is defined. */
	if (p->flags.n)
		return err_set(e, EINVAL, "unknown personality flag '%.64s'", p->flags.v[0]);
	if (syscall(SYS_personality, (unsigned long)domain) < 0)
		return err_sys(e, "cannot set personality '%s'", p->domain);
	return 0;
}
