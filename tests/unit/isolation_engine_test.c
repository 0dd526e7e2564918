/*
 * The engine on a real kernel, without a manager: a busybox tree in a temporary folder, a spec
 * composed in memory, and what the program inside says and leaves.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/cgroup_int.h"
#include "isolation/isolation.h"

enum { ID_BASE = 0x70000000, IDS = 65536 };

static char top[64];

static void copy_busybox(const char *root)
{
	static const char *const applets[] = {"sh", "ls", "cat", "id", "ps", "true", "mount", "sleep", "touch", "stat",
		"readlink", "hostname", "echo", "kill", "mkdir", "tty", "stty", "test", "ip", "umount", "grep", "head"};
	AUTO_FREE char *bin = str_fmt("%s/bin", root);
	AUTO_FREE char *to = str_fmt("%s/bin/busybox", root);
	AUTO_FD int in = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	AUTO_BUF struct buf b = {0};
	struct err e = {0};

	mkdir(root, 0755);
	mkdir(bin, 0755);
	if (in < 0 || file_read_fd(in, "busybox", 16 << 20, &b, &e) < 0)
		abort();
	AUTO_FD int dir = open(bin, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (file_replace(dir, "busybox", b.p, b.n, 0755, 0, &e) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++)
		if (symlinkat("busybox", dir, applets[i]) < 0)
			abort();
	(void)to;
}

static void remove_top(void)
{
	AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	if (path_rmtree(tmp, top + 5, &e) < 0)
		printf("# %s\n", e.text);
}

static const char *root_dir(void)
{
	static char root[80];

	if (!*top) {
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		snprintf(top, sizeof(top), "/tmp/jailtest.%d.%ld", (int)getpid(), ts.tv_nsec);
		if (mkdir(top, 0711) < 0)
			abort();
		snprintf(root, sizeof(root), "%s/root", top);
		copy_busybox(root);
		atexit(remove_top);
	}
	return root;
}

struct fixture {
	struct spec spec;
	struct iso_opts o;
	struct iso_overlay overlay;
	int out[2];
	struct err e;
};

static void map_ids(struct spec_linux *l)
{
	l->uid_mappings = mem_new(sizeof(*l->uid_mappings));
	l->gid_mappings = mem_new(sizeof(*l->gid_mappings));
	*l->uid_mappings = *l->gid_mappings = (struct spec_id_mapping){0, ID_BASE, IDS};
	l->n_uid_mappings = l->n_gid_mappings = 1;
}

/* script NULL: no program. */
static void setup(struct fixture *f, const char *script)
{
	static const enum spec_ns_kind all[] = {SPEC_NS_PID, SPEC_NS_NETWORK, SPEC_NS_MOUNT, SPEC_NS_IPC, SPEC_NS_UTS,
		SPEC_NS_USER, SPEC_NS_CGROUP, SPEC_NS_TIME};
	static const char *const proc[] = {"nosuid", "nodev", "noexec", NULL};
	static const char *const dev[] = {"nosuid", "noexec", "mode=755", "size=64k", NULL};
	static const char *const pts[] = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", NULL};

	memset(f, 0, sizeof(*f));
	if (pipe2(f->out, O_CLOEXEC) < 0)
		abort();
	f->spec.has_linux = true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		spec_add_ns(&f->spec, all[i], NULL);
	map_ids(&f->spec.linux);
	spec_add_mount(&f->spec, "/proc", "proc", "proc", proc);
	spec_add_mount(&f->spec, "/dev", "tmpfs", "tmpfs", dev);
	spec_add_mount(&f->spec, "/dev/pts", "devpts", "devpts", pts);
	f->spec.hostname = str_dup("inside");
	f->spec.process = mem_new(sizeof(*f->spec.process));
	f->spec.process->cwd = str_dup("/");
	f->spec.process->no_new_privileges = true;
	f->spec.process->capabilities = mem_new(sizeof(struct spec_capabilities));
	f->spec.process->capabilities->bounding = f->spec.process->capabilities->effective =
		f->spec.process->capabilities->permitted = 0x4fb;
	strv_add(&f->spec.process->env, "PATH=/bin");
	if (script) {
		strv_add(&f->spec.process->args, "/bin/sh");
		strv_add(&f->spec.process->args, "-c");
		strv_add(&f->spec.process->args, script);
	}
	f->o = (struct iso_opts){.spec = &f->spec, .root = root_dir(), .stdio = {-1, f->out[1], f->out[1]},
		.start_socket_fd = -1, .die_with_parent = true, .creator_id = ID_BASE, .overlay = &f->overlay,
		.map_root = true};
}

static void teardown(struct fixture *f)
{
	close(f->out[0]);
	if (f->out[1] >= 0)
		close(f->out[1]);
	spec_release(&f->spec);
}

/* What was written to the pipe, which must have no other writer by now. */
static char *said(struct fixture *f)
{
	AUTO_BUF struct buf b = {0};
	struct err e = {0};

	fd_close(&f->out[1]);
	if (file_read_fd(f->out[0], "pipe", 1 << 20, &b, &e) < 0)
		printf("# %s\n", e.text);
	return str_dup(b.p ? b.p : "");
}

/* Runs to the end; the exit code, or minus the error's exit code. */
static int run(struct fixture *f)
{
	struct iso_jail j = ISO_JAIL_INIT;
	int status = 0, r;

	if (iso_create(&f->o, &j, &f->e) < 0)
		return -f->e.exit_code;
	if (iso_start(&j, &f->e) < 0) {
		proc_signal(j.pidfd, SIGKILL);
		proc_wait(j.pidfd, &status);
		iso_jail_release(&j);
		return -f->e.exit_code;
	}
	r = proc_wait(j.pidfd, &status);
	iso_jail_release(&j);
	return r < 0 ? r : proc_exit_code(status);
}

static int run_script(const char *script, char **ret_said)
{
	struct fixture f;
	int r;

	setup(&f, script);
	r = run(&f);
	if (r < 0)
		printf("# %s\n", f.e.text);
	*ret_said = said(&f);
	teardown(&f);
	return r;
}

TEST(a_program_runs_as_root_of_its_own_world)
{
	AUTO_FREE char *out = NULL;

	CHECK_INT(run_script("id -u; hostname; echo $$; cat /proc/self/uid_map; exit 7", &out), 7);
	CHECK_STR(out, "0\ninside\n1\n         0 1879048192      65536\n");
}

TEST(the_hosts_tree_is_gone)
{
	AUTO_FREE char *out = NULL;

	CHECK_INT(run_script("ls -id / /.. | while read i n; do echo $i; done; cat /proc/self/mountinfo", &out), 0);
	char *second = strchr(out, '\n');
	CHECK(second && !strncmp(out, second + 1, (size_t)(second - out + 1)));
	CHECK(!strstr(out, " /sys/fs/cgroup"));
	CHECK(!strstr(out, "/root "));
}

TEST(only_the_standard_descriptors_are_open)
{
	AUTO_FREE char *out = NULL;
	int leak = open("/", O_RDONLY | O_DIRECTORY); /* no close-on-exec: a careless caller */

	CHECK_INT(run_script("cd /proc/self/fd; echo *", &out), 0);
	/* The shell's glob holds one descriptor of its own while it lists. */
	CHECK(!strcmp(out, "0 1 2\n") || !strcmp(out, "0 1 2 3\n"));
	CHECK_INT(run_script("for f in /proc/self/fd/*; do test -d $f/ && test $f -ef /proc/self/fd/0 && echo leak; done; test -e /proc/self/fd/9 && echo leak; true", &out), 0);
	close(leak);
}

TEST(changes_stay_in_the_private_layer)
{
	AUTO_FREE char *out = NULL;
	AUTO_FREE char *path = str_fmt("%s/new", root_dir());

	CHECK_INT(run_script("echo x > /new && stat -c %u:%g /new /bin/busybox", &out), 0);
	CHECK_STR(out, "0:0\n0:0\n");
	CHECK(access(path, F_OK) < 0);
}

TEST(a_missing_program_is_127_and_a_folder_126)
{
	struct fixture f;

	setup(&f, NULL);
	strv_add(&f.spec.process->args, "nosuch");
	CHECK_INT(run(&f), -127);
	CHECK_STR(f.e.text, "cannot execute 'nosuch': executable file not found in $PATH");
	teardown(&f);
	setup(&f, NULL);
	strv_add(&f.spec.process->args, "/nosuch");
	CHECK_INT(run(&f), -127);
	CHECK_STR(f.e.text, "cannot execute '/nosuch': No such file or directory");
	teardown(&f);
	setup(&f, NULL);
	strv_add(&f.spec.process->args, "/bin");
	CHECK_INT(run(&f), -126);
	CHECK_STR(f.e.text, "cannot execute '/bin': Permission denied");
	teardown(&f);
}

TEST(started_at_once_it_is_told_all_the_same)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT;
	int status = 0;

	setup(&f, "exit 3");
	f.o.start_now = true;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(j.sync_fd, -1);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	CHECK_INT(proc_exit_code(status), 3);
	iso_jail_release(&j);
	teardown(&f);
	setup(&f, NULL);
	strv_add(&f.spec.process->args, "nosuch");
	f.o.start_now = f.o.init = true;
	CHECK(iso_create(&f.o, &j, &f.e) < 0);
	CHECK_INT(f.e.exit_code, 127);
	teardown(&f);
	setup(&f, NULL);
	f.o.start_now = f.o.init = f.o.persist = true;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	proc_signal(j.pidfd, SIGTERM);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	iso_jail_release(&j);
	teardown(&f);
}

TEST(a_missing_root_is_named)
{
	struct fixture f;

	setup(&f, "true");
	f.o.root = "/nosuch/root";
	CHECK_INT(run(&f), -125);
	CHECK_STR(f.e.text, "root of the jail: cannot use '/nosuch/root': No such file or directory");
	teardown(&f);
}

/* Case B1: the image's /dev points outside; case B5: its /proc does. */
TEST(symlinks_of_the_root_lead_nowhere)
{
	AUTO_FREE char *evil = str_fmt("%s/evil", top);
	AUTO_FREE char *dev = str_fmt("%s/dev", evil);
	AUTO_FREE char *proc = str_fmt("%s/proc", evil);
	AUTO_FREE char *outside = str_fmt("%s/outside", top);
	AUTO_FREE char *made = str_fmt("%s/null", outside);
	struct fixture f;

	copy_busybox(evil);
	mkdir(outside, 0755);
	CHECK_INT(symlink(outside, dev), 0);
	setup(&f, "true");
	f.o.root = evil;
	f.o.overlay = NULL;
	f.o.map_root = true;
	CHECK_INT(run(&f), -125);
	CHECK_STR(f.e.text, "mount point '/dev': cannot make directory '/dev': Not a directory");
	CHECK(access(made, F_OK) < 0);
	teardown(&f);

	rmdir(proc);
	CHECK_INT(symlink("/bin", proc), 0);
	setup(&f, "true");
	f.o.root = evil;
	CHECK_INT(run(&f), -125);
	CHECK_STR(f.e.text, "cannot mount proc on '/proc': the root has a symlink or a file there");
	teardown(&f);
}

TEST(masks_hide_and_cannot_be_taken_off)
{
	struct fixture f;
	AUTO_FREE char *out = NULL;

	setup(&f, "cat /proc/version; ls /proc/fs; umount /proc/version 2>/dev/null; echo $?; "
		  "echo 1 > /proc/sys/kernel/panic; echo $?");
	strv_add(&f.spec.linux.masked_paths, "/proc/version");
	strv_add(&f.spec.linux.masked_paths, "/proc/fs");
	strv_add(&f.spec.linux.masked_paths, "/proc/not-there");
	strv_add(&f.spec.linux.readonly_paths, "/proc/sys");
	CHECK_INT(run(&f), 0);
	out = said(&f);
	CHECK_STR(out, "1\n/bin/sh: can't create /proc/sys/kernel/panic: Read-only file system\n1\n");
	CHECK(strstr(out, "Read-only file system") != NULL);
	teardown(&f);
}

TEST(a_volume_shows_its_owner_through_the_id_map)
{
	AUTO_FREE char *vol = str_fmt("%s/vol", top);
	AUTO_FREE char *file = str_fmt("%s/vol/made", top);
	static const char *const opts[] = {"rbind", "idmap", "nosuid", "nodev", NULL};
	struct fixture f;
	AUTO_FREE char *out = NULL;
	struct stat st = {0};

	mkdir(vol, 0700);
	setup(&f, "echo x > /mnt/vol/made; stat -c %u /mnt/vol /mnt/vol/made");
	spec_add_mount(&f.spec, "/mnt/vol", "bind", vol, opts);
	CHECK_INT(run(&f), 0);
	out = said(&f);
	CHECK_STR(out, "0\n0\n");
	CHECK_INT(stat(file, &st), 0);
	CHECK_INT(st.st_uid, 0);
	teardown(&f);
}

TEST(init_reaps_passes_signals_on_and_keeps_the_code)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT;
	char byte;
	int status = 0;

	setup(&f, "trap 'exit 9' TERM; echo; while :; do sleep 0.1; done");
	f.o.init = true;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(iso_start(&j, &f.e), 0);
	CHECK_INT(read(f.out[0], &byte, 1), 1); /* the trap is set */
	CHECK_INT(proc_signal(j.pidfd, SIGTERM), 0);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	CHECK_INT(proc_exit_code(status), 9);
	iso_jail_release(&j);
	teardown(&f);
}

TEST(a_persistent_jail_lives_without_a_program_and_takes_execs)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT, x = ISO_JAIL_INIT;
	struct spec_process p = {0};
	AUTO_FREE char *out = NULL;
	int status = 0;

	setup(&f, NULL);
	f.o.init = f.o.persist = true;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(iso_start(&j, &f.e), 0);
	p = *f.spec.process;
	p.capabilities = NULL;
	p.args = (struct strv){0};
	strv_add(&p.args, "sh");
	strv_add(&p.args, "-c");
	strv_add(&p.args, "hostname; id -u; head -c 4 /proc/1/cmdline; grep CapEff /proc/self/status; cd /proc/self/fd; echo *; exit 4");
	struct iso_exec_opts xo = {.spec = &f.spec, .process = &p, .jail_pidfd = j.pidfd, .stdio = {-1, f.out[1], f.out[1]}};
	int r = iso_exec(&xo, &x, &f.e);
	CHECK_INT(r, 0);
	if (r < 0)
		printf("# %s\n", f.e.text);
	CHECK_INT(proc_wait(x.pidfd, &status), 0);
	CHECK_INT(proc_exit_code(status), 4);
	iso_jail_release(&x);
	strv_release(&p.args);
	proc_signal(j.pidfd, SIGTERM);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	iso_jail_release(&j);
	out = said(&f);
	CHECK(str_starts(out, "inside\n0\njailCapEff"));
	CHECK(strstr(out, "CapEff:\t00000000000004fb\n") != NULL);
	CHECK(strstr(out, "\n0 1 2") != NULL);
	teardown(&f);
}

/* Every line of text ends with suffix. */
static bool all_end(char *text, const char *suffix, size_t *ret_lines)
{
	char *save = NULL;
	bool all = true;

	*ret_lines = 0;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save), ++*ret_lines)
		all &= str_ends(l, suffix);
	return all;
}

static bool comes_to_run(pid_t pid, const char *comm)
{
	AUTO_FREE char *path = str_fmt("/proc/%d/comm", (int)pid);
	struct err e = {0};

	for (uint64_t end = time_mono_ms() + 20000; time_mono_ms() < end; sched_yield()) {
		AUTO_BUF struct buf b = {0};

		if (file_read(AT_FDCWD, path, 64, &b, &e) < 0)
			return false;
		if (!strcmp(b.p, comm))
			return true;
	}
	return false;
}

/* The program, and one that joins, are in the group everywhere, and see it as the top. */
TEST(the_jail_is_in_its_control_groups)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT, x = ISO_JAIL_INIT;
	struct iso_cgroup cg = ISO_CGROUP_INIT, again = ISO_CGROUP_INIT;
	struct spec_resources res = {.has_pids = true, .pids_limit = 20};
	AUTO_FREE char *path = str_fmt("jailtest-%d-engine", (int)getpid());
	AUTO_FREE char *out = NULL;
	struct spec_process p;
	pid_t *pids = NULL;
	size_t n = 0, lines;
	int status = 0;

	setup(&f, "cat /proc/self/cgroup; exec sleep 60");
	p = *f.spec.process;
	p.args = (struct strv){0};
	strv_add(&p.args, "/bin/cat");
	strv_add(&p.args, "/proc/self/cgroup");
	CHECK_INT(iso_cgroup_create(path, &res, 0, &cg, &f.e), 0);
	f.o.cgroup = &cg;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(iso_start(&j, &f.e), 0);
	CHECK(comes_to_run(j.pid, "sleep\n"));
	CHECK_INT(iso_cgroup_pids(&cg, &pids, &n, &f.e), 0);
	CHECK(n == 1 && pids[0] == j.pid);
	free(pids);
	CHECK_INT(iso_cgroup_open(cg.path, &again, &f.e), 0);
	struct iso_exec_opts xo = {.spec = &f.spec, .process = &p, .jail_pidfd = j.pidfd, .cgroup = &again,
		.stdio = {-1, f.out[1], f.out[1]}};
	CHECK_INT(iso_exec(&xo, &x, &f.e), 0);
	CHECK_INT(proc_wait(x.pidfd, &status), 0);
	iso_jail_release(&x);
	CHECK_INT(iso_cgroup_kill(&cg, 20000, &f.e), 0);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	CHECK_INT(iso_cgroup_destroy(&cg, &f.e), 0);
	iso_jail_release(&j);
	strv_release(&p.args);
	out = said(&f);
	CHECK(all_end(out, ":/", &lines));
	CHECK_INT(lines, 2 * cg.set->n);
	iso_cgroup_release(&cg);
	iso_cgroup_release(&again);
	teardown(&f);
}

/*
 * Where the host's mounts are shared, nothing that the jail mounts into its root or into a
 * volume comes back.
 */
TEST(no_mount_reaches_a_host_that_shares_its_mounts)
{
	static const char *const bind[] = {"rbind", NULL};
	AUTO_FREE char *data = str_fmt("%s/data", top);
	AUTO_FREE char *own = str_fmt("%s/own", top);
	AUTO_BUF struct buf before = {0}, after = {0};
	struct fixture f;
	int status = 0;

	copy_busybox(own);
	mkdir(data, 0755);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		test_failures = 0;
		CHECK(!unshare(CLONE_NEWNS));
		CHECK(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		CHECK(!mount("none", data, "tmpfs", 0, NULL));
		CHECK(!mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
		AUTO_FREE char *sub = str_fmt("%s/sub", data);
		mkdir(sub, 0755);
		CHECK_INT(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &before, &f.e), 0);
		setup(&f, "mount | grep -c -e ' /proc ' -e ' /vol/sub '");
		f.o.root = own;
		f.o.overlay = NULL;
		spec_add_mount(&f.spec, "/vol", "bind", data, bind);
		spec_add_mount(&f.spec, "/vol/sub", "tmpfs", "tmpfs", NULL);
		CHECK_INT(run(&f), 0);
		AUTO_FREE char *out = said(&f);
		CHECK_STR(out, "2\n");
		teardown(&f);
		CHECK_INT(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &after, &f.e), 0);
		CHECK_STR(after.p, before.p);
		fflush(stdout);
		_exit(test_failures != 0);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

TEST(a_terminal_is_the_jails_own)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT;
	char text[256] = "";
	int status = 0;

	setup(&f, "tty; stty size; test -c /dev/console && echo console");
	f.spec.process->terminal = true;
	f.spec.process->console_size.height = 33;
	f.spec.process->console_size.width = 77;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK(j.console_fd >= 0);
	CHECK_INT(iso_start(&j, &f.e), 0);
	for (size_t n = 0; n < sizeof(text) - 1;) {
		ssize_t r = read(j.console_fd, text + n, sizeof(text) - 1 - n);

		if (r <= 0)
			break; /* EIO: the last of the other side has closed */
		n += (size_t)r;
	}
	CHECK_STR(text, "/dev/pts/0\r\n33 77\r\nconsole\r\n");
	proc_wait(j.pidfd, &status);
	iso_jail_release(&j);
	teardown(&f);
}

TEST(another_process_may_start_it_by_socket)
{
	AUTO_FREE char *path = str_fmt("%s/start", top);
	AUTO_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT;
	AUTO_FREE char *out = NULL;
	int status = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CHECK_INT(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_INT(listen(sock, 1), 0);
	setup(&f, "echo started");
	f.o.start_socket_fd = sock;
	f.o.die_with_parent = false;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(iso_start_by_socket(path, &f.e), 0);
	CHECK_INT(proc_wait(j.pidfd, &status), 0);
	iso_jail_release(&j);
	out = said(&f);
	CHECK_STR(out, "started\n");
	teardown(&f);
}

TEST(joined_namespaces_are_entered)
{
	struct fixture f, g;
	struct iso_jail j = ISO_JAIL_INIT;
	AUTO_FREE char *out = NULL;
	AUTO_FREE char *net = NULL, *user = NULL, *pid = NULL, *want = NULL;
	char link[64] = "";
	int status = 0;

	setup(&f, NULL);
	f.o.init = f.o.persist = true;
	CHECK_INT(iso_create(&f.o, &j, &f.e), 0);
	CHECK_INT(iso_start(&j, &f.e), 0);
	net = str_fmt("/proc/%d/ns/net", (int)j.pid);
	user = str_fmt("/proc/%d/ns/user", (int)j.pid);
	pid = str_fmt("/proc/%d/ns/pid", (int)j.pid);
	CHECK(readlink(net, link, sizeof(link) - 1) > 0);

	setup(&g, "readlink /proc/self/ns/net; head -c 4 /proc/1/cmdline");
	for (size_t i = 0; i < g.spec.linux.n_namespaces; i++) {
		struct spec_namespace *ns = &g.spec.linux.namespaces[i];

		if (ns->type == SPEC_NS_NETWORK)
			ns->path = str_dup(net);
		if (ns->type == SPEC_NS_USER)
			ns->path = str_dup(user);
		if (ns->type == SPEC_NS_PID)
			ns->path = str_dup(pid);
	}
	int r = run(&g);
	CHECK_INT(r, 0);
	if (r < 0)
		printf("# %s\n", g.e.text);
	out = said(&g);
	want = str_fmt("%s\njail", link);
	CHECK(str_starts(out, want));
	teardown(&g);
	proc_signal(j.pidfd, SIGKILL);
	proc_wait(j.pidfd, &status);
	iso_jail_release(&j);
	teardown(&f);
}

TEST(time_offsets_and_sysctls_hold_inside_only)
{
	struct fixture f;
	AUTO_FREE char *out = NULL;

	setup(&f, "cat /proc/self/timens_offsets; cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
	f.spec.linux.boottime = mem_new(sizeof(*f.spec.linux.boottime));
	f.spec.linux.boottime->secs = 1000000;
	strmap_set(&f.spec.linux.sysctl, "net.ipv4.ip_unprivileged_port_start", "77");
	int r = run(&f);
	CHECK_INT(r, 0);
	if (r < 0)
		printf("# %s\n", f.e.text);
	out = said(&f);
	CHECK(strstr(out, "1000000") != NULL);
	CHECK(strstr(out, "\n77\n") != NULL);
	teardown(&f);
}

TEST(a_jail_dies_with_its_parent)
{
	struct fixture f;
	struct iso_jail j = ISO_JAIL_INIT;
	int fds[2], pidfd = -1, status = 0;
	size_t n = 1;
	char c = 0;

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	setup(&f, "sleep 100");
	f.o.init = true;
	pid_t parent = proc_clone(0, -1, NULL);
	if (parent == 0) {
		if (iso_create(&f.o, &j, &f.e) < 0 || iso_start(&j, &f.e) < 0)
			_exit(1);
		fd_send(fds[1], &c, 1, &j.pidfd, 1);
		pause();
		_exit(0);
	}
	CHECK_INT(fd_recv(fds[0], &c, 1, &pidfd, &n), 1);
	kill(parent, SIGKILL);
	waitpid(parent, &status, 0);
	/* End of the jail: signals can no longer be sent to it. */
	uint64_t deadline = time_mono_ms() + 10000;
	while (proc_signal(pidfd, 0) == 0 && time_mono_ms() < deadline)
		usleep(1000);
	CHECK_INT(proc_signal(pidfd, 0), -ESRCH);
	close(pidfd);
	close(fds[0]);
	close(fds[1]);
	teardown(&f);
}

TEST_MAIN
