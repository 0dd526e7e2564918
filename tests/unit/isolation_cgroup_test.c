/*
 * Control groups against the host's real cgroup filesystems, in every view that a private mount
 * namespace can give: as it is, v1 alone, v2 alone.  Needs root; all groups are called
 * jailtest-PID-... and removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "isolation/cgroup.h"
#include "isolation/cgroup_int.h"
#include "test.h"

#define MIB (1 << 20)

static char *group(const char *what)
{
	return str_fmt("jailtest-%d-%s", (int)getpid(), what);
}

#define CHECK_OK(call, e)                                                   \
	do {                                                                \
		int ok_ = (call);                                           \
		if (ok_ < 0) {                                              \
			printf("# %s:%d: %s: %s\n", __FILE__, __LINE__, #call, (e).text); \
			test_failures++;                                    \
		}                                                           \
	} while (0)

/* Runs fn in a child of its own; its checks count as ours. */
static void in_child(void (*fn)(void))
{
	int status = 0;

	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		test_failures = 0;
		fn();
		fflush(stdout);
		_exit(test_failures != 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* A child inside the group, by the fast way: born in v2, then enters v1.  fn runs inside. */
static pid_t start(const struct iso_cgroup *cg, int (*fn)(void *), void *arg, int *ret_pidfd)
{
	struct err e = {0};
	pid_t pid = proc_clone(0, cg->dir_fd, ret_pidfd);

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (iso_cgroup_enter(cg, &e) < 0) {
			fprintf(stderr, "# %s\n", e.text);
			_exit(99);
		}
		_exit(fn(arg));
	}
	return pid;
}

static int do_pause(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

static int run(const struct iso_cgroup *cg, int (*fn)(void *), void *arg)
{
	int status = -1;
	pid_t pid = start(cg, fn, arg, NULL);

	CHECK(pid > 0);
	waitpid(pid, &status, 0);
	return status;
}

/* The value that a control file of the group holds; owned, "" where there is none. */
static char *value_of(const struct iso_cgroup *cg, const char *file)
{
	for (size_t i = 0; i < cg->set->n; i++) {
		AUTO_BUF struct buf b = {0};
		struct err e = {0};

		if (cgroup_read(cg->set->h[i].dir_fd, file, &b, &e) < 0)
			continue;
		return str_dup_n(b.p, strcspn(b.p, "\n"));
	}
	return str_dup("");
}

static bool exists_anywhere(const char *path)
{
	struct cgroup_set set = {0};
	struct err e = {0};
	bool any = false;

	cgroup_set_find(&set, &e);
	for (size_t i = 0; i < set.n; i++)
		any |= !faccessat(set.h[i].top_fd, path, F_OK, 0);
	cgroup_set_release(&set);
	return any;
}

static enum iso_cgroup_mode host_mode(unsigned int *ctl)
{
	struct err e = {0};
	enum iso_cgroup_mode mode = iso_cgroup_probe(ctl, &e);

	if (mode == ISO_CGROUP_NONE)
		printf("# %s\n", e.text);
	return mode;
}

static void finish(struct iso_cgroup *cg)
{
	struct err e = {0};
	AUTO_FREE char *path = str_dup(cg->path);

	CHECK_OK(iso_cgroup_kill(cg, 20000, &e), e);
	CHECK_OK(iso_cgroup_destroy(cg, &e), e);
	CHECK_OK(iso_cgroup_destroy(cg, &e), e); /* idempotent */
	CHECK(!exists_anywhere(path));
	iso_cgroup_release(cg);
	CHECK_OK(iso_cgroup_destroy_path(path, &e), e);
}

static bool has(const struct iso_cgroup *cg, unsigned int bits)
{
	return (cg->hard & bits) == bits;
}

TEST(paths_are_checked)
{
	static const char *const bad[] = {"", "/", "..", "a/..", "../a", "a//b", "a/", "./a", "a/.", "a\nb", "a\x7f", "//a"};
	static const char *const good[] = {"a", "/a", "a/b", "a/b/c.d-e_f", "...", "a..b", "a b"};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO_FREE char *path = NULL;

		CHECK_INT(cgroup_path_check(bad[i], &path, &e), -EINVAL);
		CHECK(!path);
		CHECK_INT(iso_cgroup_create(bad[i], NULL, 0, &cg, &e), -EINVAL);
		CHECK_INT(iso_cgroup_open(bad[i], &cg, &e), -EINVAL);
		CHECK_INT(iso_cgroup_destroy_path(bad[i], &e), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		AUTO_FREE char *path = NULL;

		CHECK_OK(cgroup_path_check(good[i], &path, &e), e);
		CHECK_STR(path, good[i] + (*good[i] == '/'));
	}
	char longest[300];
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	CHECK_INT(iso_cgroup_create(longest, NULL, 0, &cg, &e), -EINVAL);
}

TEST(controller_lists_parse)
{
	CHECK_INT(cgroup_controllers_parse("cpu,cpuacct", 1), ISO_CTL_CPU | ISO_CTL_CPUACCT);
	CHECK_INT(cgroup_controllers_parse("cpuset cpu io memory hugetlb pids rdma misc\n", 2),
		ISO_CTL_CPUSET | ISO_CTL_CPU | ISO_CTL_IO | ISO_CTL_MEMORY | ISO_CTL_HUGETLB | ISO_CTL_PIDS | ISO_CTL_RDMA);
	CHECK_INT(cgroup_controllers_parse("name=systemd", 1), 0);
	CHECK_INT(cgroup_controllers_parse("blkio", 2), 0);
	CHECK_INT(cgroup_controllers_parse("\n", 2), 0);
	CHECK_INT(cgroup_controllers_parse("", 1), 0);
}

TEST(mountinfo_parses)
{
	static const char text[] =
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct\n"
		"40 31 0:37 /sub /mnt/with\\040blank\\134 rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw,nsdelegate\n"
		"42 31 0:39 / /a - cgroupx none rw\n"
		"43 31 0:39 / /b rw - cgroup\n"
		"44 - cgroup";
	const char *rest = text;
	struct cgroup_mount m = {0};

	CHECK(cgroup_mount_next(&rest, &m) && m.version == 1);
	CHECK_STR(m.name, "cpu,cpuacct");
	CHECK_STR(m.point, "/sys/fs/cgroup/cpu,cpuacct");
	cgroup_mount_release(&m);
	CHECK(cgroup_mount_next(&rest, &m) && m.version == 1);
	CHECK_STR(m.name, "name=systemd");
	CHECK_STR(m.point, "/mnt/with blank\\");
	CHECK_STR(m.root, "/sub");
	cgroup_mount_release(&m);
	CHECK(cgroup_mount_next(&rest, &m) && m.version == 2);
	CHECK_STR(m.name, "unified");
	cgroup_mount_release(&m);
	CHECK(!cgroup_mount_next(&rest, &m));
	AUTO_FREE char *named = cgroup_own_path("9:name=systemd:/a:b\n0::/c\n", "name=systemd");
	AUTO_FREE char *v2 = cgroup_own_path("9:name=systemd:/a:b\n0::/c\n", "");
	CHECK_STR(named, "/a:b");
	CHECK_STR(v2, "/c");
	CHECK(!cgroup_own_path("x\n:\n::\n", "cpu"));
}

/* C6: in every hierarchy, and born or entered there, never attached. */
static void in_every_hierarchy(void)
{
	AUTO_FREE char *path = group("all");
	AUTO_FREE char *proc = NULL;
	AUTO_BUF struct buf text = {0};
	AUTO_FD int pidfd = -EBADF;
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	size_t lines = 0;
	char *save = NULL;

	CHECK_OK(iso_cgroup_create(path, NULL, 0, &cg, &e), e);
	pid_t pid = start(&cg, do_pause, NULL, &pidfd);
	proc = str_fmt("/proc/%d/cgroup", (int)pid);
	/* It enters on its own: look until it has. */
	for (uint64_t end = time_mono_ms() + 20000; time_mono_ms() < end;) {
		bool all = true;

		CHECK_OK(file_read(AT_FDCWD, proc, 1 << 16, &text, &e), e);
		for (size_t i = 0; i < cg.set->n; i++) {
			AUTO_FREE char *want = str_fmt(":%s:/%s\n", cg.set->h[i].ops->version == 2 ? "" : cg.set->h[i].name, path);

			all &= strstr(text.p, want) != NULL;
		}
		if (all) {
			lines = cg.set->n;
			break;
		}
	}
	CHECK(lines > 0);
	/* Nothing that is mounted was left out, except views of other groups. */
	lines = 0;
	for (char *l = strtok_r(text.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		lines += str_ends(l, path);
	CHECK_INT(lines, cg.set->n);
	pid_t *v = NULL;
	size_t n = 0;
	CHECK_OK(iso_cgroup_pids(&cg, &v, &n, &e), e);
	CHECK_INT(n, 1);
	CHECK(n == 1 && v[0] == pid);
	free(v);
	/* A group in use is not taken over. */
	struct iso_cgroup other = ISO_CGROUP_INIT;
	CHECK_INT(iso_cgroup_create(path, NULL, 0, &other, &e), -EBUSY);
	CHECK(strstr(e.text, path) != NULL);
	CHECK(!kill(pid, 0));
	finish(&cg);
	waitpid(pid, NULL, 0);
}

static void attaches(void)
{
	AUTO_FREE char *path = group("attach");
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	pid_t *v = NULL;
	size_t n = 0;

	CHECK_OK(iso_cgroup_create(path, NULL, 0, &cg, &e), e);
	pid_t pid = fork();
	if (!pid)
		_exit(do_pause(NULL));
	CHECK_OK(iso_cgroup_attach(&cg, pid, &e), e);
	CHECK_OK(iso_cgroup_pids(&cg, &v, &n, &e), e);
	CHECK(n == 1 && v[0] == pid);
	free(v);
	CHECK_INT(iso_cgroup_attach(&cg, 0x7ffffff0, &e), -ESRCH);
	CHECK_OK(iso_cgroup_signal(&cg, SIGUSR1, &e), e);
	int status = 0;
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	finish(&cg);
}

static int fork_bomb(void *arg)
{
	(void)arg;
	for (;;)
		if (fork() < 0 && errno != EAGAIN)
			return 1;
}

static void pids_limit_stops_fork_bomb(unsigned int flags)
{
	AUTO_FREE char *path = group("bomb");
	struct spec_resources res = {.has_pids = true, .pids_limit = 24};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct iso_stats st;
	struct err e = {0};

	CHECK_OK(iso_cgroup_create(path, &res, flags, &cg, &e), e);
	CHECK(has(&cg, ISO_CTL_PIDS));
	pid_t pid = start(&cg, fork_bomb, NULL, NULL);
	/* It reaches the limit and stays there. */
	uint64_t end = time_mono_ms() + 20000;
	do
		CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	while (st.pids < 24 && time_mono_ms() < end);
	CHECK_INT(st.pids, 24);
	CHECK_INT(st.pids_limit, 24);
	CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	waitpid(pid, NULL, 0);
	finish(&cg);
}

static int hog(void *arg)
{
	size_t n = *(size_t *)arg;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	return 0;
}

static void memory_limit_kills_hog(void)
{
	AUTO_FREE char *path = group("hog");
	struct spec_memory mem = {.has_limit = true, .limit = 32 * MIB};
	struct spec_resources res = {.memory = &mem};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct iso_stats st;
	struct err e = {0};
	size_t small = 8 * MIB, big = 256 * MIB;

	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	CHECK_INT(run(&cg, hog, &small), 0);
	AUTO_FD int oom = cg.mode == ISO_CGROUP_V2 ? -EBADF : iso_cgroup_oom_eventfd(&cg, &e);
	struct pollfd p = {.fd = oom, .events = POLLIN};
	if (cg.mode == ISO_CGROUP_V2)
		CHECK_INT(iso_cgroup_oom_eventfd(&cg, &e), -EOPNOTSUPP);
	else
		CHECK_INT(poll(&p, 1, 0), 0);
	int status = run(&cg, hog, &big);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (oom >= 0)
		CHECK_INT(poll(&p, 1, 20000), 1);
	CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	CHECK(st.oom_kills >= 1 && st.oom_kills != UINT64_MAX);
	CHECK_INT(st.memory_limit_bytes, 32 * MIB);
	CHECK(st.memory_peak_bytes >= 8 * MIB && st.memory_peak_bytes <= 33 * MIB);
	finish(&cg);
}

struct group_kill {
	size_t big;
	int ready; /* write end */
};

/* v2: one process asks for too much, and the others of the jail die with it. */
static int idle_and_hog(void *arg)
{
	struct group_kill *g = arg;
	pid_t pid = fork();

	if (!pid)
		return hog(&g->big);
	pause(); /* never killed by a signal of its own */
	return 0;
}

static void out_of_memory_kills_the_group(void)
{
	AUTO_FREE char *path = group("group");
	struct spec_memory mem = {.has_limit = true, .limit = 32 * MIB};
	struct spec_resources res = {.memory = &mem};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct group_kill g = {.big = 256 * MIB};
	struct err e = {0};

	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	AUTO_FD int oom = cg.mode == ISO_CGROUP_V2 ? -EBADF : iso_cgroup_oom_eventfd(&cg, &e);
	pid_t pid = start(&cg, idle_and_hog, &g, NULL);
	if (oom >= 0) { /* what the supervisor does on v1 */
		struct pollfd p = {.fd = oom, .events = POLLIN};

		CHECK_INT(poll(&p, 1, 20000), 1);
		CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	}
	int status = 0;
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	finish(&cg);
}

static volatile uint64_t *counter;

static int do_count(void *arg)
{
	(void)arg;
	while (++*counter)
		;
	return 0;
}

static void freeze_holds(void)
{
	AUTO_FREE char *path = group("freeze");
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	uint64_t before, end;

	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(iso_cgroup_create(path, NULL, 0, &cg, &e), e);
	pid_t pid = start(&cg, do_count, NULL, NULL);
	for (end = time_mono_ms() + 20000; !*counter && time_mono_ms() < end;)
		sched_yield();
	CHECK(*counter > 0);
	CHECK_OK(iso_cgroup_freeze(&cg, true, &e), e);
	before = *counter;
	usleep(50000);
	CHECK_INT(*counter, before);
	CHECK_OK(iso_cgroup_freeze(&cg, false, &e), e);
	for (end = time_mono_ms() + 20000; *counter == before && time_mono_ms() < end;)
		sched_yield();
	CHECK(*counter > before);
	/* A frozen group dies all the same. */
	CHECK_OK(iso_cgroup_freeze(&cg, true, &e), e);
	CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	waitpid(pid, NULL, 0);
	finish(&cg);
}

/* Child groups made inside: listed, killed and removed too. */
static void child_groups(void)
{
	AUTO_FREE char *path = group("nest");
	AUTO_FREE char *deep = str_fmt("%s/a/b", path);
	struct iso_cgroup cg = ISO_CGROUP_INIT, inner = ISO_CGROUP_INIT;
	struct err e = {0};
	pid_t *v = NULL;
	size_t n = 0;

	CHECK_OK(iso_cgroup_create(deep, NULL, 0, &inner, &e), e);
	pid_t pid = start(&inner, do_pause, NULL, NULL);
	CHECK_OK(iso_cgroup_open(path, &cg, &e), e);
	for (uint64_t end = time_mono_ms() + 20000; n != 1 && time_mono_ms() < end;) {
		free(v);
		v = NULL;
		CHECK_OK(iso_cgroup_pids(&cg, &v, &n, &e), e);
	}
	CHECK(n == 1 && v[0] == pid);
	free(v);
	CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	waitpid(pid, NULL, 0);
	iso_cgroup_release(&inner);
	finish(&cg);
}

static int try_devices(void *arg)
{
	int null = open("/dev/null", O_RDWR), zero;

	(void)arg;
	if (null < 0)
		return 1;
	zero = open("/dev/zero", O_RDONLY);
	if (zero >= 0 || errno != EPERM)
		return 2;
	if (open("/dev/full", O_RDONLY) < 0)
		return 3;
	if (open("/dev/full", O_RDWR) >= 0 || errno != EPERM)
		return 4;
	if (!mknod("/tmp/jailtest-node", S_IFCHR | 0600, makedev(1, 5)) || errno != EPERM)
		return 5;
	return 0;
}

static int zero_opens(void *arg)
{
	(void)arg;
	return open("/dev/zero", O_RDONLY) < 0;
}

static void device_rules_hold(void)
{
	AUTO_FREE char *path = group("devices");
	struct spec_device_rule rules[] = {
		{.allow = false},
		{.allow = true, .type = (char *)"c", .has_major = true, .major = 1, .has_minor = true, .minor = 3},
		{.allow = true, .type = (char *)"c", .has_major = true, .major = 1, .has_minor = true, .minor = 7,
			.access = (char *)"r"},
	};
	struct spec_device_rule wider[] = {
		{.allow = false, .type = (char *)"a", .access = (char *)"rwm"},
		{.allow = true, .type = (char *)"c", .has_major = true, .major = 1, .has_minor = true, .minor = -1,
			.access = (char *)"rw"},
	};
	struct spec_resources res = {.devices = rules, .n_devices = ARRAY_SIZE(rules)};
	struct spec_resources more = {.devices = wider, .n_devices = ARRAY_SIZE(wider)};
	struct spec_device_rule wrong = {.type = (char *)"x"};
	struct spec_resources bad = {.devices = &wrong, .n_devices = 1};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};

	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	CHECK(has(&cg, ISO_CTL_DEVICES));
	CHECK_INT(run(&cg, try_devices, NULL), 0);
	CHECK_OK(iso_cgroup_update(&cg, &more, &e), e);
	CHECK_INT(run(&cg, zero_opens, NULL), 0);
	CHECK_OK(iso_cgroup_update(&cg, &res, &e), e); /* replaced, not added: narrow again */
	CHECK_INT(run(&cg, try_devices, NULL), 0);
	CHECK_INT(iso_cgroup_update(&cg, &bad, &e), -EINVAL);
	CHECK_INT(run(&cg, try_devices, NULL), 0);
	finish(&cg);
}

static void leftovers_are_replaced(void)
{
	AUTO_FREE char *path = group("old");
	struct spec_resources res = {.has_pids = true, .pids_limit = 3};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct iso_stats st;
	struct err e = {0};

	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	iso_cgroup_release(&cg); /* as if its maker had been killed */
	CHECK_OK(iso_cgroup_create(path, NULL, 0, &cg, &e), e);
	CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	CHECK(st.pids_limit == UINT64_MAX);
	iso_cgroup_release(&cg);
	CHECK(exists_anywhere(path));
	CHECK_OK(iso_cgroup_destroy_path(path, &e), e);
	CHECK(!exists_anywhere(path));
	CHECK_INT(iso_cgroup_open(path, &cg, &e), -ENOENT);
}

static void failure_leaves_nothing(void)
{
	AUTO_FREE char *path = group("fail");
	struct spec_cpu cpu = {.cpus = (char *)"4000-5000"};
	struct spec_resources res = {.cpu = &cpu, .has_pids = true, .pids_limit = 10};
	struct spec_hugepage_limit huge = {.page_size = (char *)"../x", .limit = 1};
	struct spec_resources odd = {.hugepage_limits = &huge, .n_hugepage_limits = 1};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};

	CHECK(iso_cgroup_create(path, &res, 0, &cg, &e) < 0);
	CHECK(strstr(e.text, "cpuset.cpus") && strstr(e.text, "4000-5000"));
	CHECK(!exists_anywhere(path));
	CHECK(!cg.set && !cg.path);
	CHECK_INT(iso_cgroup_create(path, &odd, 0, &cg, &e), -EINVAL);
	CHECK(!exists_anywhere(path));
}

static void values_are_set_and_updated(void)
{
	AUTO_FREE char *path = group("set");
	struct spec_memory mem = {.has_limit = true, .limit = 64 * MIB, .has_swap = true, .swap = 96 * MIB,
		.has_reservation = true, .reservation = 16 * MIB};
	struct spec_cpu cpu = {.has_shares = true, .shares = 512, .has_quota = true, .quota = 20000, .has_period = true,
		.period = 50000, .has_burst = true, .burst = 5000, .cpus = (char *)"0", .mems = (char *)"0"};
	struct spec_resources res = {.memory = &mem, .cpu = &cpu, .has_pids = true, .pids_limit = 50};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};

	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	bool v2 = cg.mode == ISO_CGROUP_V2;
	struct {
		const char *v1, *v2, *first, *v2_first;
	} want[] = {
		{"memory.limit_in_bytes", "memory.max", "67108864", "67108864"},
		{"memory.memsw.limit_in_bytes", "memory.swap.max", "100663296", "33554432"},
		{"memory.soft_limit_in_bytes", "memory.low", "16777216", "16777216"},
		{"cpu.shares", "cpu.weight", "512", "50"},
		{"cpu.cfs_quota_us", "cpu.max", "20000", "20000 50000"},
		{"cpu.cfs_burst_us", "cpu.max.burst", "5000", "5000"},
		{"cpuset.cpus", "cpuset.cpus", "0", "0"},
		{"pids.max", "pids.max", "50", "50"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		AUTO_FREE char *is = value_of(&cg, v2 ? want[i].v2 : want[i].v1);

		CHECK_STR(is, v2 ? want[i].v2_first : want[i].first);
	}
	/* Up, beyond the old memory + swap; then down, below the old memory: each needs its order. */
	for (int i = 0; i < 2; i++) {
		struct spec_memory m = {.has_limit = true, .limit = i ? 32 * MIB : 256 * MIB, .has_swap = true,
			.swap = i ? 32 * MIB : 300 * MIB};
		struct spec_cpu c = {.has_quota = true, .quota = i ? 4000 : 90000, .has_burst = true, .burst = i ? 1000 : 50000};
		struct spec_resources r = {.memory = &m, .cpu = &c};
		AUTO_FREE char *limit = NULL;
		AUTO_FREE char *pids = NULL;

		CHECK_OK(iso_cgroup_update(&cg, &r, &e), e);
		limit = value_of(&cg, v2 ? "memory.max" : "memory.limit_in_bytes");
		CHECK_STR(limit, i ? "33554432" : "268435456");
		pids = value_of(&cg, "pids.max");
		CHECK_STR(pids, "50"); /* absent stays */
	}
	struct spec_cpu period = {.has_period = true, .period = 80000};
	struct spec_resources only_period = {.cpu = &period};
	CHECK_OK(iso_cgroup_update(&cg, &only_period, &e), e);
	AUTO_FREE char *max = value_of(&cg, v2 ? "cpu.max" : "cpu.cfs_period_us");
	CHECK_STR(max, v2 ? "4000 80000" : "80000");
	struct spec_memory none = {.has_limit = true, .limit = -1, .has_swap = true, .swap = -1};
	struct spec_resources unlimited = {.memory = &none, .has_pids = true, .pids_limit = -1};
	CHECK_OK(iso_cgroup_update(&cg, &unlimited, &e), e);
	struct iso_stats st;
	CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	CHECK(st.memory_limit_bytes == UINT64_MAX && st.pids_limit == UINT64_MAX);
	CHECK(st.cpu_usage_usec != UINT64_MAX && st.memory_bytes != UINT64_MAX && st.pids == 0);
	struct spec_memory less = {.has_limit = true, .limit = 64 * MIB, .has_swap = true, .swap = 32 * MIB};
	struct spec_resources wrong = {.memory = &less};
	CHECK_INT(iso_cgroup_update(&cg, &wrong, &e), -EINVAL);
	finish(&cg);
}

static int hold(void *arg)
{
	if (hog(arg))
		return 1;
	char *p = mmap(NULL, 48 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	*counter = p != MAP_FAILED;
	pause();
	return 0;
}

/* A limit below what is in use is refused and kills nobody. */
static void lower_limit_does_not_kill(void)
{
	AUTO_FREE char *path = group("lower");
	struct spec_memory mem = {.has_limit = true, .limit = 128 * MIB, .has_swap = true, .swap = 128 * MIB};
	struct spec_resources res = {.memory = &mem};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	size_t little = MIB;

	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	pid_t pid = start(&cg, hold, &little, NULL);
	for (uint64_t end = time_mono_ms() + 20000; !*counter && time_mono_ms() < end;)
		usleep(1000);
	mem.limit = mem.swap = 16 * MIB;
	CHECK_INT(iso_cgroup_update(&cg, &res, &e), -EBUSY);
	CHECK(waitpid(pid, NULL, WNOHANG) == 0);
	CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	waitpid(pid, NULL, 0);
	finish(&cg);
}

static void unified_values(void)
{
	AUTO_FREE char *path = group("unified");
	struct strmap_entry entries[] = {{(char *)"cgroup.procs", (char *)"0"}};
	struct spec_resources res = {.unified = {.v = entries, .n = 1}};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};

	CHECK(iso_cgroup_create(path, &res, 0, &cg, &e) < 0);
	entries[0].key = (char *)"../pids.max";
	CHECK(iso_cgroup_create(path, &res, 0, &cg, &e) < 0);
	entries[0].key = (char *)"nonsense.max";
	CHECK(iso_cgroup_create(path, &res, 0, &cg, &e) < 0);
	CHECK(strstr(e.text, "nonsense.max") != NULL);
	CHECK(!exists_anywhere(path));
}

/* The common parent goes with its last child while others are making theirs in it. */
static void parents_come_and_go(void)
{
	enum { MAKERS = 4, ROUNDS = 40 };
	pid_t pids[MAKERS];
	int status;

	fflush(stdout);
	for (int i = 0; i < MAKERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		AUTO_FREE char *path = str_fmt("jail/jailtest-%d", (int)getpid());
		struct spec_resources res = {.has_pids = true, .pids_limit = 9};
		struct iso_stats st;
		struct err e = {0};
		unsigned int ctl;
		int bad = 0;

		host_mode(&ctl);
		for (int k = 0; k < ROUNDS && !bad; k++) {
			struct iso_cgroup cg = ISO_CGROUP_INIT;

			if (iso_cgroup_create(path, ctl & ISO_CTL_PIDS ? &res : NULL, 0, &cg, &e) < 0 ||
				iso_cgroup_stats(&cg, &st, &e) < 0 || (ctl & ISO_CTL_PIDS && st.pids_limit != 9) ||
				iso_cgroup_destroy(&cg, &e) < 0) {
				printf("# round %d: %s\n", k, e.text);
				fflush(stdout);
				bad = 1;
			}
			iso_cgroup_release(&cg);
		}
		_exit(bad);
	}
	for (int i = 0; i < MAKERS; i++) {
		waitpid(pids[i], &status, 0);
		CHECK_INT(status, 0);
	}
}

/* ---- views ---- */

static void own_mounts(void)
{
	CHECK(!unshare(CLONE_NEWNS));
	CHECK(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void view_v1(void)
{
	own_mounts();
	umount2("/sys/fs/cgroup/unified", MNT_DETACH);
}

static void view_v2(void)
{
	own_mounts();
	umount2("/sys/fs/cgroup", MNT_DETACH);
	CHECK(!mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL));
}

/* A lean group is made in more hierarchies when a limit or a freeze asks, with all who are inside. */
static void lean_groups_grow(void)
{
	AUTO_FREE char *path = group("lean");
	struct spec_memory mem = {.has_limit = true, .limit = 64 * MIB};
	struct spec_cpu cpu = {.cpus = (char *)"0"};
	struct spec_hugepage_limit huge = {.page_size = (char *)"2MB", .limit = 0};
	struct spec_resources first = {.memory = &mem}, more = {.cpu = &cpu};
	struct spec_resources on_v2 = {.hugepage_limits = &huge, .n_hugepage_limits = 1};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	AUTO_BUF struct buf text = {0};
	struct err e = {0};
	unsigned int ctl;

	CHECK_OK(iso_cgroup_create(path, &first, ISO_CGROUP_LEAN, &cg, &e), e);
	CHECK(has(&cg, ISO_CTL_MEMORY | ISO_CTL_PIDS | ISO_CTL_CPU | ISO_CTL_CPUSET));
	pid_t pid = start(&cg, do_pause, NULL, NULL);
	AUTO_FREE char *proc = str_fmt("/proc/%d/cgroup", (int)pid);
	pid_t *v = NULL;
	size_t n = 0;
	for (uint64_t end = time_mono_ms() + 20000; n != 1 && time_mono_ms() < end;) {
		free(v);
		v = NULL;
		CHECK_OK(iso_cgroup_pids(&cg, &v, &n, &e), e);
	}
	free(v);
	CHECK_OK(iso_cgroup_update(&cg, &more, &e), e);
	AUTO_FREE char *cpus = value_of(&cg, "cpuset.cpus");
	CHECK_STR(cpus, "0");
	CHECK_OK(iso_cgroup_freeze(&cg, true, &e), e);
	CHECK_OK(iso_cgroup_freeze(&cg, false, &e), e);
	host_mode(&ctl);
	if (ctl & ISO_CTL_HUGETLB) {
		CHECK_OK(iso_cgroup_update(&cg, &on_v2, &e), e);
		AUTO_FREE char *max = value_of(&cg, cg.set->v2 ? "hugetlb.2MB.max" : "hugetlb.2MB.limit_in_bytes");
		CHECK_STR(max, "0");
	}
	CHECK_OK(file_read(AT_FDCWD, proc, 1 << 16, &text, &e), e);
	for (size_t i = 0; i < cg.set->n; i++) {
		AUTO_FREE char *want = str_fmt(":%s:/%s\n", cg.set->h[i].ops->version == 2 ? "" : cg.set->h[i].name, path);

		CHECK_INT(strstr(text.p, want) != NULL, cg.set->h[i].dir_fd >= 0);
	}
	finish(&cg);
	waitpid(pid, NULL, 0);
}

/* What needs memory, pids and cpu controllers. */
static void limits(void)
{
	pids_limit_stops_fork_bomb(0);
	pids_limit_stops_fork_bomb(ISO_CGROUP_LEAN);
	lean_groups_grow();
	memory_limit_kills_hog();
	out_of_memory_kills_the_group();
	leftovers_are_replaced();
	failure_leaves_nothing();
	values_are_set_and_updated();
	lower_limit_does_not_kill();
}

/* What needs none. */
static void life(void)
{
	in_every_hierarchy();
	attaches();
	freeze_holds();
	child_groups();
	device_rules_hold();
	unified_values();
	parents_come_and_go();
}

static void v1_only(void)
{
	unsigned int ctl;

	view_v1();
	CHECK_INT(host_mode(&ctl), ISO_CGROUP_V1);
	life();
	limits();
}

static void v2_only(void)
{
	unsigned int ctl;

	view_v2();
	CHECK_INT(host_mode(&ctl), ISO_CGROUP_V2);
	life();
}

TEST(probe_finds_controllers)
{
	unsigned int ctl = 0, need = ISO_CTL_MEMORY | ISO_CTL_PIDS | ISO_CTL_CPU | ISO_CTL_DEVICES | ISO_CTL_FREEZER;

	CHECK(host_mode(&ctl) != ISO_CGROUP_NONE);
	CHECK_INT(ctl & need, need);
}

TEST(life_of_processes)
{
	in_child(life);
}

TEST(limits_hold)
{
	in_child(limits);
}

TEST(v1_alone)
{
	unsigned int ctl;

	if (host_mode(&ctl) != ISO_CGROUP_V2) /* a v2 host has no v1 view; the lab runs the rest */
		in_child(v1_only);
}

TEST(v2_alone)
{
	in_child(v2_only);
}

static void tmpfs_over_all(void)
{
	AUTO_FREE char *path = group("fake");
	struct spec_resources res = {.has_pids = true, .pids_limit = 5};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	struct stat st;

	own_mounts();
	CHECK(!mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL));
	CHECK(!mkdir("/sys/fs/cgroup/pids", 0755) && !mkdir("/sys/fs/cgroup/unified", 0755));
	CHECK_INT(iso_cgroup_create(path, &res, 0, &cg, &e), -ENODEV);
	CHECK(chdir("/sys/fs/cgroup") == 0 && stat(path, &st) < 0);
	AUTO_FREE char *in_pids = str_fmt("pids/%s", path);
	CHECK(stat(in_pids, &st) < 0);
}

static void tmpfs_over_one(void)
{
	AUTO_FREE char *path = group("fake");
	struct spec_resources res = {.has_pids = true, .pids_limit = 5};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err e = {0};
	struct stat st;

	own_mounts();
	CHECK(!mount("none", "/sys/fs/cgroup/pids", "tmpfs", 0, NULL));
	CHECK_INT(iso_cgroup_create(path, &res, 0, &cg, &e), -ENODEV);
	CHECK(strstr(e.text, "mounted over") != NULL);
	CHECK(!exists_anywhere(path));
	AUTO_FREE char *in_pids = str_fmt("/sys/fs/cgroup/pids/%s", path);
	CHECK(stat(in_pids, &st) < 0);
	/* A file below one of ours that is not cgroupfs is not written either. */
	CHECK(!umount2("/sys/fs/cgroup/pids", MNT_DETACH));
	CHECK_OK(iso_cgroup_create(path, NULL, 0, &cg, &e), e);
	AUTO_FREE char *file = str_fmt("/sys/fs/cgroup/pids/%s/pids.max", path);
	CHECK(!mount("/etc/hostname", file, NULL, MS_BIND, NULL));
	CHECK_INT(iso_cgroup_update(&cg, &res, &e), -EXDEV);
	CHECK(!umount2(file, MNT_DETACH));
	finish(&cg);
}

TEST(tmpfs_is_no_cgroupfs)
{
	unsigned int ctl;

	in_child(tmpfs_over_all);
	if (host_mode(&ctl) != ISO_CGROUP_V2)
		in_child(tmpfs_over_one);
}

static void as_nobody(void)
{
	AUTO_FREE char *path = group("nobody");
	struct spec_memory mem = {.has_limit = true, .limit = 64 * MIB};
	struct spec_resources res = {.memory = &mem, .has_pids = true, .pids_limit = 5};
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct iso_stats st;
	struct err e = {0};

	CHECK(!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534));
	CHECK_OK(iso_cgroup_create(path, &res, 0, &cg, &e), e);
	CHECK_INT(cg.hard, 0);
	CHECK_INT(cg.mode, ISO_CGROUP_NONE);
	CHECK(strstr(cg.soft_reason, "writable") != NULL);
	CHECK_INT(cg.dir_fd, -1);
	CHECK_OK(iso_cgroup_enter(&cg, &e), e);
	CHECK_OK(iso_cgroup_attach(&cg, getpid(), &e), e);
	CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
	CHECK(st.pids == UINT64_MAX && st.memory_bytes == UINT64_MAX);
	CHECK_INT(iso_cgroup_update(&cg, &res, &e), -ENODEV);
	CHECK_OK(iso_cgroup_kill(&cg, 1000, &e), e);
	CHECK_OK(iso_cgroup_destroy(&cg, &e), e);
	iso_cgroup_release(&cg);
}

TEST(plain_user_without_delegation)
{
	in_child(as_nobody);
}

/* A v2 subtree given to a user, as a service manager does; see cgroups(7). */
static void delegated(void)
{
	AUTO_FREE char *base = group("user");
	struct iso_cgroup cg = ISO_CGROUP_INIT, own = ISO_CGROUP_INIT;
	struct err e = {0};
	unsigned int ctl;

	if (host_mode(&ctl) != ISO_CGROUP_V2)
		view_v2();
	AUTO_FREE char *session = str_fmt("%s/session", base);
	CHECK_OK(iso_cgroup_create(session, NULL, 0, &own, &e), e);
	for (const char *const *f = (const char *const[]){"", "/cgroup.procs", "/cgroup.subtree_control", "/session",
		     "/session/cgroup.procs", "/session/cgroup.subtree_control", NULL};
		*f; f++) {
		AUTO_FREE char *file = str_fmt("/sys/fs/cgroup/%s%s", base, *f);

		CHECK(!chown(file, 65534, 65534));
	}
	fflush(stdout);
	pid_t pid = proc_clone(0, own.dir_fd, NULL);
	if (!pid) {
		struct spec_resources res = {.has_pids = true, .pids_limit = 5};
		struct iso_stats st;
		AUTO_FREE char *want = str_fmt("%s/jail/web", base);

		CHECK(!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534));
		CHECK_OK(iso_cgroup_create("jail/web", &res, 0, &cg, &e), e);
		CHECK_STR(cg.path, want);
		if (has(&cg, ISO_CTL_PIDS)) {
			CHECK_OK(iso_cgroup_stats(&cg, &st, &e), e);
			CHECK_INT(st.pids_limit, 5);
			CHECK_STR(cg.soft_reason, "");
		} else {
			CHECK(strstr(cg.soft_reason, "'pids' is not delegated") != NULL);
		}
		pid_t child = start(&cg, do_pause, NULL, NULL);
		CHECK(child > 0);
		CHECK_OK(iso_cgroup_freeze(&cg, true, &e), e);
		CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
		waitpid(child, NULL, 0);
		iso_cgroup_release(&cg);
		CHECK_OK(iso_cgroup_open("jail/web", &cg, &e), e);
		CHECK_STR(cg.path, want);
		iso_cgroup_release(&cg);
		CHECK_OK(iso_cgroup_open(want, &cg, &e), e);
		finish(&cg);
		AUTO_FREE char *parent = str_fmt("/sys/fs/cgroup/%s/jail", base);
		CHECK(access(parent, F_OK) < 0); /* ours, and removed with its last child */
		fflush(stdout);
		_exit(test_failures != 0);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	finish(&own);
	CHECK_OK(iso_cgroup_destroy_path(base, &e), e);
}

TEST(plain_user_with_delegated_subtree)
{
	in_child(delegated);
}

/* Processes in the group above keep v2's controllers from being handed down: said, not guessed. */
static void inner_processes(void)
{
	AUTO_FREE char *base = group("busy");
	AUTO_FREE char *below = str_fmt("%s/leaf", base);
	struct spec_resources res = {.hugepage_limits = &(struct spec_hugepage_limit){.page_size = (char *)"2MB"},
		.n_hugepage_limits = 1};
	struct iso_cgroup cg = ISO_CGROUP_INIT, leaf = ISO_CGROUP_INIT;
	struct err e = {0};
	unsigned int ctl;

	if (host_mode(&ctl) != ISO_CGROUP_V2)
		view_v2();
	host_mode(&ctl);
	if (!(ctl & ISO_CTL_HUGETLB))
		return; /* the lab has it */
	CHECK_OK(iso_cgroup_create(base, &res, 0, &cg, &e), e);
	pid_t pid = start(&cg, do_pause, NULL, NULL);
	CHECK_INT(iso_cgroup_create(below, &res, 0, &leaf, &e), -ENODEV);
	CHECK(strstr(e.text, "leaf groups only") != NULL);
	CHECK_OK(iso_cgroup_kill(&cg, 20000, &e), e);
	waitpid(pid, NULL, 0);
	finish(&cg);
}

TEST(inner_processes_are_explained)
{
	in_child(inner_processes);
}

TEST(path_of_a_jail)
{
	AUTO_FREE char *path = iso_cgroup_path("web");

	CHECK(!strcmp(path, "jail/web") || !strcmp(path, "jail-web"));
}

TEST_MAIN
