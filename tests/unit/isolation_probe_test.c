#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "isolation/probe.h"
#include "isolation/probe_int.h"
#include "test.h"

static struct err err;

TEST(the_table_is_complete)
{
	CHECK(iso_probe_count >= 20);
	for (size_t i = 0; i < iso_probe_count; i++) {
		CHECK(iso_probes[i].name && iso_probes[i].purpose && iso_probes[i].probe);
		CHECK(iso_probe_tier_names[iso_probes[i].tier] != NULL);
		CHECK(!i || iso_probes[i].tier >= iso_probes[i - 1].tier);
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(iso_probes[i].name, iso_probes[k].name) != 0);
	}
}

/* Mounts, descriptors and children of this process, before and after. */
static void footprint(char *text, size_t n)
{
	AUTO_BUF struct buf mounts = {0};
	struct stat st = {0};
	char ns[64] = "";
	size_t fds = 0;

	AUTO_FD int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	CHECK_INT(file_read_fd(fd, "mountinfo", 1 << 22, &mounts, &err), 0);
	for (int i = 0; i < 256; i++)
		fds += fcntl(i, F_GETFD) >= 0;
	CHECK(readlink("/proc/self/ns/user", ns, sizeof(ns) - 1) > 0);
	stat(".", &st);
	snprintf(text, n, "%zu bytes of mounts, %zu fds, user %s, cwd %llu, uid %u", mounts.n, fds,
		ns, (unsigned long long)st.st_ino, geteuid());
}

TEST(all_run_say_something_and_leave_nothing)
{
	char before[256], after[256];

	footprint(before, sizeof(before));
	for (size_t i = 0; i < iso_probe_count; i++) {
		struct iso_probe_result r;

		iso_probe_run(&iso_probes[i], &r);
		printf("# %-17s %-8s %s%s%s\n", iso_probes[i].name, iso_probe_state_names[r.state],
			r.found, *r.remedy ? " -> " : "", r.remedy);
		CHECK(r.found[0] != '\0');
		CHECK(r.state != ISO_PROBE_OK || !r.remedy[0]);
	}
	footprint(after, sizeof(after));
	CHECK_STR(after, before);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

TEST(what_every_test_machine_has)
{
	static const char *const names[] = {"kernel", "ns-mnt", "ns-pid", "ns-net", "ns-uts",
		"ns-user", "openat2", "mount-api", "pidfd", "seccomp"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct iso_probe_result r;

		CHECK_INT(iso_probe_by_name(names[i], &r, &err), 0);
		if (r.state != ISO_PROBE_OK)
			printf("# %s: %s\n", names[i], r.found);
		CHECK_INT(r.state, ISO_PROBE_OK);
	}
}

TEST(an_unknown_name)
{
	struct iso_probe_result r;

	CHECK_INT(iso_probe_by_name("teleport", &r, &err), -ENOENT);
	CHECK(strstr(err.text, "teleport") != NULL);
}

/* --- A probe that fails must say so: hosts that lack things, made for the purpose. --- */

static int in_child(int (*body)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(60);
		_exit(body());
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum iso_probe_state state_of(const char *name, struct iso_probe_result *r)
{
	return iso_probe_by_name(name, r, &err) < 0 ? (enum iso_probe_state)99 : r->state;
}

/* In a user namespace that may hold no further ones. */
static int body_no_namespaces(void)
{
	struct iso_probe_result r;
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 10;
	fd = open("/proc/self/uid_map", O_WRONLY);
	if (write(fd, "0 0 1", 5) != 5)
		return 11;
	fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return 12;
	fd = open("/proc/sys/user/max_net_namespaces", O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return 13;
	if (state_of("ns-net", &r) != ISO_PROBE_MISSING ||
		!strstr(r.remedy, "user.max_net_namespaces"))
		return 1;
	if (state_of("ns-user", &r) != ISO_PROBE_MISSING ||
		!strstr(r.remedy, "max_user_namespaces"))
		return 2;
	return 0;
}

static int body_no_kvm(void)
{
	struct iso_probe_result r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 10;
	if (mount("tmpfs", "/dev", "tmpfs", 0, NULL) < 0)
		return 11;
	if (state_of("kvm", &r) != ISO_PROBE_MISSING || !*r.remedy || !strstr(r.found, "/dev/kvm"))
		return 1;
	/* A node that is there and is no KVM. */
	if (mknod("/dev/kvm", S_IFREG | 0600, 0) < 0)
		return 12;
	if (state_of("kvm", &r) != ISO_PROBE_MISSING || !*r.remedy)
		return 2;
	return 0;
}

static int body_plain(void)
{
	struct iso_probe_result r;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 10;
	if (state_of("cap-sys-resource", &r) != ISO_PROBE_LIMITED)
		return 1;
	if (state_of("subids", &r) == ISO_PROBE_OK || !strstr(r.remedy, "usermod"))
		return 2;
	if (state_of("idmap", &r) != ISO_PROBE_MISSING)
		return 3;
	return 0;
}

TEST(what_is_missing_is_found_missing)
{
	CHECK_INT(in_child(body_no_namespaces), 0);
	CHECK_INT(in_child(body_no_kvm), 0);
	CHECK_INT(in_child(body_plain), 0);
}

/* --- The children themselves --- */

static int body_dies(struct probe_note *n)
{
	n->step = 7;
	raise(SIGKILL);
	return 0;
}

static int body_hangs(struct probe_note *n)
{
	n->step = 8;
	while (pause() < 0)
		;
	return 0;
}

static int body_answers(struct probe_note *n)
{
	n->step = (int)n->flags + 1;
	return -ENOTTY;
}

TEST(children_that_die_hang_or_answer)
{
	struct probe_note n = {.flags = 41};

	CHECK_INT(probe_child(body_answers, &n), -ENOTTY);
	CHECK_INT(n.step, 42);
	CHECK_INT(probe_child(body_dies, &n), -ECHILD);
	CHECK_INT(n.step, 7);
	CHECK_INT(probe_child(body_hangs, &n), -ETIMEDOUT);
	CHECK_INT(n.step, 8);
}

TEST_MAIN
