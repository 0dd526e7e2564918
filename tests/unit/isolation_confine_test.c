#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/confine.h"
#include "test.h"

/* All of these change the process for good, so each runs in a child of its own. */
static struct err err;

#define BIT(n) ((uint64_t)1 << (n))
#define EXPECT(c)                                                                                  \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			dprintf(1, "# %s:%d: %s (%s)\n", __FILE__, __LINE__, #c, err.text);        \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(60);
		body();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid ? proc_exit_code(status) : -1;
}

#define CHILD_TEST(name)                                                                           \
	static void body_##name(void);                                                             \
	TEST(name)                                                                                 \
	{                                                                                          \
		CHECK_INT(in_child(body_##name), 0);                                               \
	}                                                                                          \
	static void body_##name(void)

/* A value of /proc/self/status in base 16 or 10. */
static uint64_t status_value(const char *key, int base)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[512];
	uint64_t v = UINT64_MAX;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			v = strtoull(line + strlen(key) + 1, NULL, base);
	if (f)
		fclose(f);
	return v;
}

/* Into a user namespace of its own with one id, as a plain user would. */
static void enter_userns(uint32_t inside)
{
	char map[64];
	int fd;

	EXPECT(unshare(CLONE_NEWUSER) == 0);
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	EXPECT(fd >= 0 && write(fd, "deny", 4) == 4);
	close(fd);
	for (int i = 0; i < 2; i++) {
		int n = snprintf(map, sizeof(map), "%u 0 1", inside);

		fd = open(i ? "/proc/self/gid_map" : "/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		EXPECT(fd >= 0 && write(fd, map, (size_t)n) == n);
		close(fd);
	}
}

/* --- Capabilities and ids --- */

static const uint64_t some_caps = BIT(CAP_CHOWN) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE);

CHILD_TEST(five_sets_as_asked_for_root)
{
	struct spec_capabilities c = {
		.bounding = some_caps | BIT(CAP_SETUID),
		.permitted = some_caps,
		.effective = BIT(CAP_CHOWN) | BIT(CAP_KILL),
		.inheritable = BIT(CAP_KILL),
		.ambient = BIT(CAP_KILL),
	};
	struct spec_user u = {0};

	EXPECT(iso_caps_check(&c, &err) == 0);
	EXPECT(iso_bounding_apply(&c, &err) == 0);
	EXPECT(iso_ids_apply(&u, &err) == 0);
	EXPECT(iso_caps_apply(&c, &err) == 0);
	EXPECT(status_value("CapBnd", 16) == c.bounding);
	EXPECT(status_value("CapPrm", 16) == c.permitted);
	EXPECT(status_value("CapEff", 16) == c.effective);
	EXPECT(status_value("CapInh", 16) == c.inheritable);
	EXPECT(status_value("CapAmb", 16) == c.ambient);
}

CHILD_TEST(a_plain_user_keeps_what_the_spec_gives)
{
	struct spec_capabilities c = {
		.bounding = some_caps,
		.permitted = some_caps,
		.effective = some_caps,
		.inheritable = BIT(CAP_KILL),
		.ambient = BIT(CAP_KILL),
	};
	uint32_t groups[] = {2001, 2002};
	struct spec_user u = {
		.uid = 1234, .gid = 1235, .additional_gids = groups, .n_additional_gids = 2};
	gid_t got[8];
	uid_t ruid, euid, suid;

	EXPECT(iso_bounding_apply(&c, &err) == 0);
	EXPECT(iso_ids_apply(&u, &err) == 0);
	/* What still has to be done before exec can be done: everything permitted is effective. */
	EXPECT(status_value("CapEff", 16) == status_value("CapPrm", 16));
	EXPECT(status_value("CapPrm", 16) & BIT(CAP_SYS_ADMIN));
	EXPECT(iso_caps_apply(&c, &err) == 0);
	EXPECT(getresuid(&ruid, &euid, &suid) == 0 && ruid == 1234 && euid == 1234 && suid == 1234);
	EXPECT(getgid() == 1235 && getegid() == 1235);
	EXPECT(getgroups(8, got) == 2 && got[0] == 2001 && got[1] == 2002);
	EXPECT(status_value("CapEff", 16) == some_caps);
	EXPECT(status_value("CapAmb", 16) == BIT(CAP_KILL));
	EXPECT(prctl(PR_GET_KEEPCAPS) == 0);
	EXPECT(setuid(0) < 0);
}

CHILD_TEST(null_is_nothing_at_all)
{
	struct spec_user u = {.uid = 1234, .gid = 1235};

	EXPECT(iso_caps_check(NULL, &err) == 0);
	EXPECT(iso_bounding_apply(NULL, &err) == 0);
	EXPECT(iso_ids_apply(&u, &err) == 0);
	EXPECT(iso_caps_apply(NULL, &err) == 0);
	EXPECT(status_value("CapBnd", 16) == 0 && status_value("CapPrm", 16) == 0);
	EXPECT(status_value("CapInh", 16) == 0 && status_value("CapAmb", 16) == 0);
	EXPECT(getgroups(0, NULL) == 0);
}

CHILD_TEST(what_is_not_held_is_named)
{
	struct spec_capabilities lost = {.bounding = BIT(CAP_SYS_TIME) | BIT(CAP_CHOWN)};
	struct spec_capabilities few = {
		.bounding = some_caps, .permitted = some_caps, .effective = some_caps};
	struct spec_capabilities more = {.permitted = some_caps | BIT(CAP_SYS_PTRACE)};
	struct spec_capabilities unknown = {.permitted = BIT(63)};
	struct spec_capabilities ambient = {.permitted = BIT(CAP_KILL), .ambient = BIT(CAP_KILL)};

	EXPECT(iso_caps_check(&unknown, &err) == -EPERM && strstr(err.text, "63"));
	EXPECT(iso_caps_check(&ambient, &err) == -EPERM && strstr(err.text, "CAP_KILL"));
	EXPECT(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME) == 0);
	EXPECT(iso_caps_check(&lost, &err) == -EPERM);
	EXPECT(strstr(err.text, "CAP_SYS_TIME") && strstr(err.text, "bounding"));
	EXPECT(iso_caps_apply(&few, &err) == 0);
	EXPECT(iso_caps_check(&more, &err) == -EPERM && strstr(err.text, "CAP_SYS_PTRACE"));
	EXPECT(iso_caps_apply(&more, &err) == -EPERM && strstr(err.text, "CAP_SYS_PTRACE"));
	/* Without CAP_SETPCAP nothing can be dropped; what is not there need not be. */
	EXPECT(iso_bounding_apply(&few, &err) == -EPERM && strstr(err.text, "CAP_SETPCAP"));
}

CHILD_TEST(in_a_user_namespace_all_are_held)
{
	struct spec_capabilities c = {.bounding = BIT(CAP_SYS_RESOURCE) | some_caps,
		.permitted = BIT(CAP_SYS_RESOURCE) | some_caps,
		.effective = BIT(CAP_SYS_RESOURCE) | some_caps};
	uint32_t other[] = {5};
	struct spec_user u = {0}, v = {.additional_gids = other, .n_additional_gids = 1};

	enter_userns(0);
	EXPECT(iso_caps_check(&c, &err) == 0);
	EXPECT(iso_bounding_apply(&c, &err) == 0);
	/* setgroups is denied here: none, or the primary alone, is accepted; others are not. */
	EXPECT(iso_ids_apply(&v, &err) == -EPERM && strstr(err.text, "additional"));
	other[0] = 0;
	EXPECT(iso_ids_apply(&v, &err) == 0);
	EXPECT(iso_ids_apply(&u, &err) == 0);
	EXPECT(iso_caps_apply(&c, &err) == 0);
	EXPECT(status_value("CapPrm", 16) == c.permitted);
	EXPECT(status_value("CapBnd", 16) == c.bounding);
}

CHILD_TEST(ids_without_a_mapping_are_named)
{
	struct spec_user u = {.uid = 4711}, g = {.gid = 4712};

	enter_userns(0);
	EXPECT(iso_ids_apply(&u, &err) == -EINVAL && strstr(err.text, "4711") &&
		strstr(err.text, "mapping"));
	EXPECT(iso_ids_apply(&g, &err) == -EINVAL && strstr(err.text, "4712"));
}

CHILD_TEST(no_new_privs_and_securebits)
{
	EXPECT(iso_no_new_privs(&err) == 0);
	EXPECT(status_value("NoNewPrivs", 10) == 1);
	EXPECT(iso_securebits_apply(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, &err) == 0);
	EXPECT(prctl(PR_GET_SECUREBITS) == (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
	EXPECT(iso_securebits_apply(0, &err) == -EPERM);
	EXPECT(iso_securebits_apply(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, &err) == 0);
}

CHILD_TEST(umask_of_the_spec_or_022)
{
	struct spec_user u = {0}, v = {.umask = 0077, .has_umask = true};

	umask(0);
	iso_umask_apply(&u);
	EXPECT(umask(0) == 0022);
	iso_umask_apply(&v);
	EXPECT(umask(0) == 0077);
}

/* --- A clean slate --- */

CHILD_TEST(signals_are_as_after_login)
{
	sigset_t all;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	EXPECT(iso_signals_reset(&err) == 0);
	EXPECT(status_value("SigBlk", 16) == 0);
	EXPECT(status_value("SigIgn", 16) == 0);
	EXPECT(status_value("SigCgt", 16) == 0);
}

CHILD_TEST(session_keyring_is_new)
{
	bool made = false;
	long before = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);

	EXPECT(iso_keyring_new(&made, &err) == 0);
	if (made)
		EXPECT(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) !=
			before);
	else
		EXPECT(before < 0);
}

/* --- Limits and priorities --- */

CHILD_TEST(rlimits_down_and_up)
{
	struct spec_rlimit down = {RLIMIT_NOFILE, 100, 200}, up = {RLIMIT_NOFILE, 300, 400};
	struct spec_capabilities none = {0};
	struct rlimit now;

	EXPECT(iso_rlimits_apply(&down, 1, false, &err) == 0);
	EXPECT(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 100 && now.rlim_max == 200);
	EXPECT(iso_caps_apply(&none, &err) == 0);
	EXPECT(iso_rlimits_apply(&up, 1, false, &err) == -EPERM);
	EXPECT(strstr(err.text, "RLIMIT_NOFILE") && strstr(err.text, "400") &&
		strstr(err.text, "200"));
	EXPECT(strstr(err.text, "CAP_SYS_RESOURCE") != NULL);
	EXPECT(iso_rlimits_apply(&up, 1, true, &err) == 0);
	EXPECT(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 200 && now.rlim_max == 200);
	down = (struct spec_rlimit){RLIMIT_CORE, RLIM_INFINITY, 5};
	EXPECT(iso_rlimits_apply(&down, 1, false, &err) == -EINVAL &&
		strstr(err.text, "RLIMIT_CORE"));
	down.type = 77;
	EXPECT(iso_rlimits_apply(&down, 1, false, &err) == -EINVAL && strstr(err.text, "77"));
}

CHILD_TEST(rlimits_of_a_child)
{
	struct spec_rlimit l = {RLIMIT_NOFILE, 100, 200};
	struct rlimit now;
	int pidfd = -1, status;
	pid_t pid = proc_clone(CLONE_NEWUSER, -1, &pidfd);

	if (!pid) {
		pause();
		_exit(0);
	}
	EXPECT(pid > 0);
	EXPECT(iso_rlimits_set(pid, &l, 1, false, &err) == 0);
	EXPECT(prlimit(pid, RLIMIT_NOFILE, NULL, &now) == 0 && now.rlim_cur == 100 &&
		now.rlim_max == 200);
	EXPECT(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max > 200);
	EXPECT(proc_signal(pidfd, SIGKILL) == 0 && proc_wait(pidfd, &status) == 0);
	EXPECT(iso_rlimits_set(pid, &l, 1, false, &err) == -ESRCH);
}

CHILD_TEST(oom_score_only_on_procfs)
{
	struct spec_user u = {.uid = 1234, .gid = 1234};
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int tmp;
	char dir[] = "/tmp/iso-proc.XXXXXX", text[16] = "";

	EXPECT(iso_oom_score_apply(proc, 500, false, &err) == 0);
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	EXPECT(read(fd, text, sizeof(text) - 1) > 0 && !strcmp(text, "500\n"));
	EXPECT(iso_oom_score_apply(proc, 1001, false, &err) == -ERANGE);
	/* Something else in procfs's place is found out. */
	EXPECT(mkdtemp(dir) != NULL);
	tmp = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EXPECT(mkdirat(tmp, "self", 0755) == 0);
	close(openat(tmp, "self/oom_score_adj", O_CREAT | O_WRONLY, 0644));
	EXPECT(iso_oom_score_apply(tmp, 500, false, &err) == -EXDEV);
	EXPECT(unlinkat(tmp, "self/oom_score_adj", 0) == 0 &&
		unlinkat(tmp, "self", AT_REMOVEDIR) == 0);
	EXPECT(rmdir(dir) == 0);
	/* Lowering what a privileged process set needs the privilege. */
	EXPECT(iso_bounding_apply(NULL, &err) == 0 && iso_ids_apply(&u, &err) == 0);
	EXPECT(iso_caps_apply(NULL, &err) == 0);
	EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0);
	EXPECT(iso_oom_score_apply(proc, -900, true, &err) == 0);
	EXPECT(iso_oom_score_apply(proc, -900, false, &err) < 0 &&
		strstr(err.text, "CAP_SYS_RESOURCE"));
}

static void write_proc(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A parent sets it for a child in a user namespace, which could not do so itself. */
CHILD_TEST(oom_score_by_the_parent)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), pidfd = -1, status;
	char path[64], text[16] = "";
	int pipes[2], fd;
	pid_t pid;

	EXPECT(pipe(pipes) == 0);
	pid = proc_clone(CLONE_NEWUSER, -1, &pidfd);
	if (!pid) {
		close(pipes[1]);
		EXPECT(read(pipes[0], text, 1) == 1);
		EXPECT(setgid(0) == 0 && setuid(0) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0);
		EXPECT(iso_oom_score_apply(proc, 500, true, &err) == -EACCES);
		EXPECT(strstr(err.text, "dumpable") != NULL);
		_exit(0);
	}
	EXPECT(pid > 0);
	EXPECT(iso_oom_score_set(proc, pid, 300, false, &err) == 0);
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(read(fd, text, sizeof(text) - 1) > 0 && !strcmp(text, "300\n"));
	write_proc(pid, "uid_map", "0 100000 10");
	write_proc(pid, "gid_map", "0 100000 10");
	EXPECT(write(pipes[1], "x", 1) == 1);
	EXPECT(proc_wait(pidfd, &status) == 0 && status == 0);
	EXPECT(iso_oom_score_set(proc, pid, 300, false, &err) < 0);
}

CHILD_TEST(scheduler_and_io_priority)
{
	struct spec_scheduler batch = {.policy = SCHED_BATCH, .nice = 5},
			      bad = {.policy = SCHED_FIFO};
	struct spec_io_priority idle = {.io_class = 3, .priority = 0},
				best = {.io_class = 2, .priority = 6};
	struct spec_io_priority high = {.io_class = 2, .priority = 8};

	EXPECT(iso_scheduler_apply(NULL, &err) == 0 && iso_io_priority_apply(NULL, &err) == 0);
	EXPECT(iso_scheduler_apply(&batch, &err) == 0);
	EXPECT(sched_getscheduler(0) == SCHED_BATCH && getpriority(PRIO_PROCESS, 0) == 5);
	EXPECT(iso_scheduler_apply(&bad, &err) < 0 && strstr(err.text, "SCHED_FIFO"));
	EXPECT(iso_io_priority_apply(&best, &err) == 0);
	EXPECT(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6));
	EXPECT(iso_io_priority_apply(&idle, &err) == 0);
	EXPECT(syscall(SYS_ioprio_get, 1, 0) == 3 << 13);
	EXPECT(iso_io_priority_apply(&high, &err) == -ERANGE);
}

CHILD_TEST(cpu_affinity_by_list)
{
	cpu_set_t set;

	EXPECT(iso_cpu_affinity_apply(NULL, &err) == 0 && iso_cpu_affinity_apply("", &err) == 0);
	EXPECT(iso_cpu_affinity_apply("0", &err) == 0);
	EXPECT(sched_getaffinity(0, sizeof(set), &set) == 0);
	EXPECT(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
	EXPECT(iso_cpu_affinity_apply("8000-8191", &err) == -EINVAL &&
		strstr(err.text, "8000-8191"));
	EXPECT(iso_cpu_affinity_apply("9000", &err) == -ERANGE);
}

CHILD_TEST(memory_policy)
{
	struct spec_memory_policy m = {.mode = "MPOL_BIND", .nodes = "0"}, bad = {.mode = "MPOL_X"};
	int mode = -1;

	EXPECT(iso_memory_policy_apply(NULL, &err) == 0);
	EXPECT(iso_memory_policy_apply(&bad, &err) == -EINVAL && strstr(err.text, "MPOL_X"));
	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) < 0 && errno == ENOSYS) {
		EXPECT(iso_memory_policy_apply(&m, &err) == -ENOSYS &&
			strstr(err.text, "CONFIG_NUMA"));
		return;
	}
	EXPECT(iso_memory_policy_apply(&m, &err) == 0);
	EXPECT(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == 2);
	m = (struct spec_memory_policy){.mode = "MPOL_DEFAULT"};
	EXPECT(iso_memory_policy_apply(&m, &err) == 0);
	m = (struct spec_memory_policy){.mode = "MPOL_BIND", .nodes = "1000"};
	EXPECT(iso_memory_policy_apply(&m, &err) < 0 && strstr(err.text, "1000"));
}

CHILD_TEST(personality_linux32)
{
	struct spec_personality p = {.domain = "LINUX32"}, bad = {.domain = "SOLARIS"};

	EXPECT(iso_personality_apply(&bad, &err) == -EINVAL && strstr(err.text, "SOLARIS"));
	EXPECT(iso_personality_apply(&p, &err) == 0);
	EXPECT(personality(0xffffffff) == PER_LINUX32);
}

CHILD_TEST(labels_need_their_module)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	EXPECT(iso_exec_label_apply(proc, NULL, "", &err) == 0);
	if (access("/sys/kernel/security/apparmor", F_OK) < 0) {
		EXPECT(iso_exec_label_apply(proc, "no-such-profile", NULL, &err) < 0);
		EXPECT(strstr(err.text, "AppArmor") && strstr(err.text, "no-such-profile"));
	} else {
		EXPECT(iso_exec_label_apply(proc, "unconfined", NULL, &err) == 0);
		EXPECT(iso_exec_label_apply(proc, "no-such-profile", NULL, &err) < 0);
		EXPECT(strstr(err.text, "no-such-profile") != NULL);
	}
	if (access("/sys/fs/selinux/enforce", F_OK) < 0) {
		EXPECT(iso_exec_label_apply(proc, NULL, "a:b:c:d", &err) < 0);
		EXPECT(strstr(err.text, "SELinux") != NULL);
	}
	EXPECT(iso_exec_label_apply(root, "x", NULL, &err) < 0);
}

/* --- Landlock --- */

/* A TCP socket bound to any free port of this child's own network namespace. */
static int bind_tcp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int r = bind(fd, (struct sockaddr *)&a, sizeof(a));

	r = r < 0 ? -errno : 0;
	close(fd);
	return r;
}

CHILD_TEST(landlock_locks_what_it_can)
{
	struct iso_landlock ask = {
		.scope = ISO_LANDLOCK_SCOPE_ABSTRACT | ISO_LANDLOCK_SCOPE_SIGNAL | BIT(40),
		.deny_bind = true};
	struct iso_landlock got = {.scope = 99}, nothing = {0};
	int abi = iso_landlock_abi();

	EXPECT(unshare(CLONE_NEWNET) == 0);
	EXPECT(iso_landlock_apply(&nothing, &got, &err) == 0 && got.scope == 0);
	EXPECT(bind_tcp() == 0);
	EXPECT(kill(getppid(), 0) == 0);
	EXPECT(iso_no_new_privs(&err) == 0);
	EXPECT(iso_landlock_apply(&ask, &got, &err) == 0);
	EXPECT(got.deny_bind == (abi >= 4) && !got.deny_connect);
	EXPECT(got.scope == (abi >= 6 ? 3u : 0u));
	EXPECT(bind_tcp() == (abi >= 4 ? -EACCES : 0));
	EXPECT((kill(getppid(), 0) < 0) == (abi >= 6));
}

CHILD_TEST(landlock_needs_no_new_privs)
{
	struct iso_landlock ask = {.scope = ISO_LANDLOCK_SCOPE_SIGNAL}, got = {0};

	EXPECT(iso_caps_apply(NULL, &err) == 0);
	if (iso_landlock_abi() >= 6)
		EXPECT(iso_landlock_apply(&ask, &got, &err) == -EPERM &&
			strstr(err.text, "no_new_privs"));
	EXPECT(got.scope == 0);
}

/* --- Lists --- */

TEST(lists)
{
	static const struct {
		const char *text;
		int r;
		uint64_t low, high;
	} rows[] = {
		{"0", 1, 1, 0},
		{"0-3,7", 8, 0x8f, 0},
		{"63-64", 65, BIT(63), 1},
		{"127", 128, 0, BIT(63)},
		{"5,5,1-2", 6, 0x26, 0},
		{"0-127", 128, UINT64_MAX, UINT64_MAX},
		{"128", -ERANGE, 0, 0},
		{"0-99999999999999999999", -ERANGE, 0, 0},
		{"", -EINVAL, 0, 0},
		{",", -EINVAL, 0, 0},
		{"1,", -EINVAL, 0, 0},
		{",1", -EINVAL, 0, 0},
		{"3-1", -EINVAL, 0, 0},
		{"1-", -EINVAL, 0, 0},
		{"-1", -EINVAL, 0, 0},
		{" 1", -EINVAL, 0, 0},
		{"1 ", -EINVAL, 0, 0},
		{"+1", -EINVAL, 0, 0},
		{"0x1", -EINVAL, 0, 0},
		{"1--2", -EINVAL, 0, 0},
		{"1-2-3", -EINVAL, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t map[2] = {7, 7};
		int r = iso_list_parse(rows[i].text, map, 128, &err);

		if (r != rows[i].r)
			printf("# '%s'\n", rows[i].text);
		CHECK_INT(r, rows[i].r);
		if (r > 0) {
			CHECK_INT(map[0], rows[i].low);
			CHECK_INT(map[1], rows[i].high);
		}
	}
}

TEST_MAIN
