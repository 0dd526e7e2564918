/* The life of real jails, on the kernel, as root: a copy of this very program is what runs. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "jail/internal.h"

static char top[] = "/tmp/jail-life-XXXXXX";
static struct jail_env env = JAIL_ENV_INIT;

static void fresh_env(void)
{
	struct err e = {0};

	jail_env_release(&env);
	CHECK_INT(jail_env_open(&env, &e), 0);
	CHECK_STR(e.text, "");
}

/* A root with the static busybox as sh, cat, sleep and so on. */
static void make_root(void)
{
	static const char *const dirs[] = {
		"root", "root/bin", "root/etc", "root/tmp", "state", "run"};
	static const char *const names[] = {"sh", "cat", "sleep", "true", "false", "id", "echo",
		"kill", "ls", "touch", "stty", "mkfifo"};
	struct buf b = {0};
	struct err e = {0};
	int bin, fd;

	CHECK(mkdtemp(top) != NULL);
	chmod(top, 0755);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		AUTO_FREE char *path = str_fmt("%s/%s", top, dirs[i]);

		mkdir(path, i < 4 ? 0755 : 0700);
	}
	AUTO_FREE char *bin_path = str_fmt("%s/root/bin", top);
	bin = open(bin_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(file_read_fd(fd, "busybox", 16 << 20, &b, &e), 0);
	CHECK_INT(file_replace(bin, "busybox", b.p, b.n, 0755, 0, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_INT(symlinkat("busybox", bin, names[i]), 0);
	AUTO_FREE char *passwd = str_fmt("%s/root/etc/passwd", top);
	FILE *f = fopen(passwd, "w");
	fputs("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n", f);
	fclose(f);
	AUTO_FREE char *state = str_fmt("%s/state", top);
	AUTO_FREE char *run = str_fmt("%s/run", top);
	setenv("JAIL_STATE_DIR", state, 1);
	setenv("JAIL_RUN_DIR", run, 1);
	close(fd);
	close(bin);
	buf_release(&b);
}

static struct jail_def def_sh(const char *script)
{
	struct jail_def def = JAIL_DEF_INIT;

	def.root.kind = JAIL_ROOT_DIR;
	def.root.path = str_fmt("%s/root", top);
	strv_add(&def.args, "/bin/sh");
	strv_add(&def.args, "-c");
	strv_add(&def.args, script);
	return def;
}

/* Runs a program attached to a pipe; its output and exit code. */
static int run_output(const struct jail_def *def, char *out, size_t room)
{
	struct jail_attach a = JAIL_ATTACH_INIT;
	struct jail_start_opts o = {0};
	char name[JAIL_NAME_MAX + 1];
	struct err e = {0};
	int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), code = -1;
	ssize_t n;

	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	o.stdio[0] = null, o.stdio[1] = p[1], o.stdio[2] = p[1];
	if (jail_run(&env, NULL, def, &o, &a, name, &e) < 0) {
		printf("# %s\n", e.text);
		close(p[0]);
		close(p[1]);
		close(null);
		return -e.code;
	}
	close(p[1]);
	n = fd_read_full(p[0], out, room - 1);
	out[n > 0 ? n : 0] = '\0';
	CHECK_INT(jail_attach_loop(&a,
			  &(struct jail_attach_opts){
				  .in_fd = null, .out_fd = null, .no_signals = true},
			  &code, &e),
		JAIL_ATTACH_EXITED);
	jail_attach_release(&a);
	close(p[0]);
	close(null);
	return code;
}

static int exec_output(
	const char *name, const char *script, const char *user, char *out, size_t room)
{
	struct jail_attach a = JAIL_ATTACH_INIT;
	struct jail_exec_opts o = {.user = user};
	struct err e = {0};
	int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), code = -1, r;
	ssize_t n;

	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	strv_add(&o.args, "sh");
	strv_add(&o.args, "-c");
	strv_add(&o.args, script);
	o.stdio[0] = null, o.stdio[1] = p[1], o.stdio[2] = p[1];
	r = jail_exec(&env, name, &o, &a, &e);
	strv_release(&o.args);
	close(p[1]);
	if (r < 0) {
		snprintf(out, room, "%s", e.text);
		close(p[0]);
		close(null);
		return r;
	}
	n = fd_read_full(p[0], out, room - 1);
	out[n > 0 ? n : 0] = '\0';
	CHECK_INT(jail_attach_loop(&a,
			  &(struct jail_attach_opts){
				  .in_fd = null, .out_fd = null, .no_signals = true},
			  &code, &e),
		JAIL_ATTACH_EXITED);
	jail_attach_release(&a);
	close(p[0]);
	close(null);
	return code;
}

static bool exists(const char *fmt, const char *name)
{
	AUTO_FREE char *rel = str_fmt(fmt, name);
	AUTO_FREE char *path = str_fmt("%s/%s", top, rel);

	return access(path, F_OK) == 0;
}

TEST(begin)
{
	make_root();
	fresh_env();
}

TEST(run_gives_output_and_exit_code)
{
	struct jail_def def = def_sh("echo hello; id -u; exit 7");
	char out[256];

	CHECK_INT(run_output(&def, out, sizeof(out)), 7);
	CHECK_STR(out, "hello\n0\n");
	CHECK(!exists("run/j/%s", "run-1"));
	jail_def_release(&def);
}

TEST(run_of_what_is_not_there)
{
	struct jail_def def = def_sh("");
	struct jail_start_opts o = {0};
	struct jail_attach a = JAIL_ATTACH_INIT;
	char name[JAIL_NAME_MAX + 1];
	struct err e = {0};
	struct jail_info info;
	uint32_t cursor = 0;

	strv_release(&def.args);
	strv_add(&def.args, "nosuch");
	CHECK_INT(jail_run(&env, "gone", &def, &o, &a, name, &e), -ENOENT);
	CHECK_INT(e.exit_code, ERR_EXIT_NOT_FOUND);
	CHECK(!exists("run/j/%s", "gone"));
	CHECK_INT(jail_next(&env, &cursor, &info, &e), 0);
	jail_def_release(&def);
}

TEST(create_start_exec_stop_destroy)
{
	struct jail_def def = def_sh("echo up; exec sleep 1000");
	struct jail_stop_opts now = {.has_timeout_ms = true, .timeout_ms = 3000};
	struct err e = {0};
	struct jail_info info;
	char out[512];
	int code = -1;

	CHECK_INT(jail_create(&env, "one", &def, &e), 0);
	CHECK_INT(jail_create(&env, "one", &def, &e), -EEXIST);
	CHECK_INT(jail_find(&env, "one", &info, &e), 0);
	CHECK_INT(info.state, JAIL_CREATED);
	CHECK_INT(jail_start(&env, "one", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_STR(e.text, "cannot create jail 'one': jail 'one' exists already; choose another "
			  "name or destroy it");
	CHECK_INT(jail_find(&env, "one", &info, &e), 0);
	CHECK_INT(info.state, JAIL_RUNNING);
	CHECK_INT(jail_start(&env, "one", &(struct jail_start_opts){0}, NULL, &e), -EBUSY);
	CHECK_INT(exec_output("one", "echo in; exit 3", NULL, out, sizeof(out)), 3);
	CHECK_STR(out, "in\n");
	CHECK_INT(exec_output("one", "id -un; id -u", "web", out, sizeof(out)), 0);
	CHECK_STR(out, "web\n33\n");
	CHECK_INT(exec_output("one", "true", "nobody", out, sizeof(out)), -ENOENT);
	CHECK_INT(exec_output("one", "echo kept >/kept; touch /tmp/x", NULL, out, sizeof(out)), 0);
	CHECK_INT(jail_destroy(&env, "one", 0, &e), -EBUSY);
	CHECK_INT(jail_stop(&env, "one", &now, &e), 0);
	CHECK_INT(jail_wait(&env, "one", 0, &code, &e), 0);
	CHECK_INT(code, 128 + SIGTERM);
	CHECK_INT(jail_stop(&env, "one", &now, &e), -ESRCH);
	CHECK(!exists("run/j/%s", "one"));
	CHECK(exists("state/jails/%s/layer/upper/kept", "one"));
	CHECK_INT(jail_start(&env, "one", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(exec_output("one", "cat /kept", NULL, out, sizeof(out)), 0);
	CHECK_STR(out, "kept\n");
	CHECK_INT(jail_destroy(&env, "one", JAIL_FORCE, &e), 0);
	CHECK(!exists("state/jails/%s", "one"));
	CHECK_INT(jail_find(&env, "one", &info, &e), -ENOENT);
	jail_def_release(&def);
}

TEST(supervisor_killed_is_repaired)
{
	struct jail_def def = def_sh("exec sleep 1000");
	struct err e = {0};
	struct jail_info info;

	CHECK_INT(jail_create(&env, "orphan", &def, &e), 0);
	CHECK_INT(jail_start(&env, "orphan", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(jail_find(&env, "orphan", &info, &e), 0);
	CHECK(info.supervisor_pid > 0);
	kill(info.supervisor_pid, SIGKILL);
	waitpid(info.supervisor_pid, NULL, 0);
	CHECK_INT(jail_find(&env, "orphan", &info, &e), 0);
	CHECK_INT(info.state, JAIL_DIED);
	CHECK_INT(jail_start(&env, "orphan", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(jail_find(&env, "orphan", &info, &e), 0);
	CHECK_INT(info.state, JAIL_RUNNING);
	CHECK_INT(jail_destroy(&env, "orphan", JAIL_FORCE, &e), 0);
	CHECK(!exists("run/j/%s", "orphan"));
	jail_def_release(&def);
}

TEST(index_lost_while_one_runs)
{
	struct jail_def def = def_sh("exec sleep 1000");
	struct err e = {0};
	struct jail_info info;
	char out[64];

	CHECK_INT(jail_create(&env, "lost", &def, &e), 0);
	CHECK_INT(jail_create(&env, "idle", &def, &e), 0);
	CHECK_INT(jail_start(&env, "lost", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(unlinkat(env.run_fd, "index", 0), 0);
	fresh_env();
	CHECK_INT(jail_find(&env, "idle", &info, &e), 0);
	CHECK_INT(info.state, JAIL_CREATED);
	CHECK_INT(jail_find(&env, "lost", &info, &e), 0);
	CHECK_INT(info.state, JAIL_RUNNING);
	CHECK_INT(exec_output("lost", "echo still", NULL, out, sizeof(out)), 0);
	CHECK_STR(out, "still\n");
	kill(info.supervisor_pid, SIGKILL);
	waitpid(info.supervisor_pid, NULL, 0);
	CHECK_INT(jail_find(&env, "lost", &info, &e), 0);
	CHECK_INT(info.state, JAIL_DIED);
	CHECK_INT(jail_destroy(&env, "lost", 0, &e), 0);
	CHECK_INT(jail_destroy(&env, "idle", 0, &e), 0);
	jail_def_release(&def);
}

/* Truncated under the supervisor's feet: it lives on, or dies and is repaired; never half. */
TEST(index_overwritten_while_one_runs)
{
	struct jail_def def = def_sh("exec sleep 1000");
	struct err e = {0};
	struct jail_info info;

	CHECK_INT(jail_create(&env, "over", &def, &e), 0);
	CHECK_INT(jail_start(&env, "over", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(jail_find(&env, "over", &info, &e), 0);
	pid_t supervisor = info.supervisor_pid, init = info.init_pid;
	AUTO_FD int fd = openat(env.run_fd, "index", O_WRONLY | O_CLOEXEC);
	jail_env_release(&env);
	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK_INT(write(fd, "rubbish", 7), 7);
	fresh_env();
	CHECK_INT(jail_find(&env, "over", &info, &e), 0);
	CHECK_INT(jail_destroy(&env, "over", JAIL_FORCE, &e), 0);
	waitpid(supervisor, NULL, 0);
	CHECK(kill(init, 0) < 0);
	CHECK(!exists("run/j/%s", "over"));
	jail_def_release(&def);
}

TEST(logs_are_kept)
{
	struct jail_def def = def_sh("echo out; echo err >&2; echo -n tail");
	struct err e = {0};
	struct jail_logs *l = NULL;
	struct jail_log_line line;
	AUTO_BUF struct buf all = {0};
	int code, r;

	CHECK_INT(jail_create(&env, "talker", &def, &e), 0);
	CHECK_INT(jail_start(&env, "talker", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(jail_wait(&env, "talker", 20000, &code, &e), 0);
	CHECK_INT(code, 0);
	CHECK_INT(jail_logs_open(&env, "talker",
			  &(struct jail_logs_opts){.tail = UINT64_MAX, .follow = true}, &l, &e),
		0);
	while ((r = jail_logs_next(l, &line, &e)) > 0)
		buf_addf(&all, "%s%.*s%s|", line.is_stderr ? "2:" : "1:", (int)line.n, line.text,
			line.partial ? "+" : "");
	CHECK_INT(r, 0);
	jail_logs_free(l);
	CHECK(strstr(all.p, "1:out|") != NULL);
	CHECK(strstr(all.p, "2:err|") != NULL);
	CHECK(strstr(all.p, "1:tail+|") != NULL);
	CHECK_INT(jail_destroy(&env, "talker", 0, &e), 0);
	jail_def_release(&def);
}

TEST(limits_change_live)
{
	struct jail_def def = def_sh("exec sleep 1000");
	struct jail_limits l = {
		.pids = 40, .has_pids = true, .memory_bytes = 64 << 20, .has_memory_bytes = true};
	struct jail_def kept = JAIL_DEF_INIT;
	struct jail_stats st;
	struct err e = {0};

	CHECK_INT(jail_create(&env, "limits", &def, &e), 0);
	CHECK_INT(jail_start(&env, "limits", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(jail_stats(&env, "limits", &st, &e), 0);
	CHECK_INT(st.pids_limit, 512);
	CHECK_INT(jail_set(&env, "limits", &l, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_INT(jail_stats(&env, "limits", &st, &e), 0);
	CHECK_INT(st.pids_limit, 40);
	CHECK_INT(st.memory_limit_bytes, 64 << 20);
	CHECK_INT(jail_definition(&env, "limits", &kept, &e), 0);
	CHECK_INT(kept.limits.pids, 40);
	jail_def_release(&kept);
	CHECK_INT(jail_pause(&env, "limits", &e), 0);
	CHECK_INT(jail_resume(&env, "limits", &e), 0);
	CHECK_STR(e.text, "");
	CHECK_INT(jail_destroy(&env, "limits", JAIL_FORCE, &e), 0);
	jail_def_release(&def);
}

static char *slurp(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf b = {0};
	struct err e = {0};

	if (fd < 0 || file_read_fd(fd, path, 1 << 20, &b, &e) < 0)
		buf_adds(&b, "(none)");
	return b.p;
}

static int copy(const char *name, bool in, const char *inside, const char *host, struct err *e)
{
	const struct jail_cp_opts o = {.in = in, .jail_path = inside, .host_path = host};
	uint64_t bytes = 0;

	return jail_cp(&env, name, &o, &bytes, e);
}

TEST(files_go_in_and_out)
{
	struct jail_def def = def_sh("exec sleep 1000");
	AUTO_FREE char *host = str_fmt("%s/file", top), *back = str_fmt("%s/back", top);
	AUTO_FREE char *in_tree = str_fmt("%s/etc/passwd", top), *evil = str_fmt("%s/evil", top);
	struct err e = {0};
	struct jail_info info;
	char out[256];
	FILE *f = fopen(host, "w");

	fputs("from the host\n", f);
	fclose(f);
	CHECK_INT(jail_create(&env, "cp", &def, &e), 0);
	/* Not running: it is entered all the same, and is as before afterwards. */
	CHECK_INT(copy("cp", true, host + 0, host, &e), -ENOENT);
	CHECK_INT(copy("cp", true, "/new", host, &e), 0);
	CHECK_INT(jail_find(&env, "cp", &info, &e), 0);
	CHECK_INT(info.state, JAIL_CREATED);
	CHECK_INT(jail_start(&env, "cp", &(struct jail_start_opts){0}, NULL, &e), 0);
	CHECK_INT(exec_output("cp", "cat /new; echo changed >/new; cd /tmp; echo -n x >a; mkfifo p",
			  NULL, out, sizeof(out)),
		0);
	CHECK_STR(out, "from the host\n");
	CHECK_INT(copy("cp", false, "/new", back, &e), 0);
	AUTO_FREE char *got = slurp(back);
	CHECK_STR(got, "changed\n");
	CHECK_INT(copy("cp", false, "/etc", top, &e), 0);
	AUTO_FREE char *passwd = slurp(in_tree);
	CHECK(strstr(passwd, "web:x:33") != NULL);
	/* A FIFO is told, not waited for. */
	CHECK_INT(copy("cp", false, "/tmp/p", back, &e), -EINVAL);
	/* What the jail links to elsewhere stays a link, and a path through it stays inside. */
	CHECK_INT(exec_output("cp", "ln -s /etc/passwd /leak; ln -s / /r", NULL, out, sizeof(out)),
		0);
	CHECK_INT(copy("cp", false, "/leak", evil, &e), 0);
	CHECK(readlink(evil, out, sizeof(out)) == 11);
	CHECK_INT(copy("cp", true, "/r/../../new2", host, &e), 0);
	CHECK_INT(exec_output("cp", "cat /new2", NULL, out, sizeof(out)), 0);
	CHECK_STR(out, "from the host\n");
	CHECK(access("/new2", F_OK) < 0);
	CHECK_INT(copy("cp", false, "/nosuch", back, &e), -ENOENT);
	CHECK_INT(jail_destroy(&env, "cp", JAIL_FORCE, &e), 0);
	jail_def_release(&def);
}

TEST(end)
{
	struct err e = {0};
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	jail_env_release(&env);
	CHECK_INT(path_rmtree(tmp, top + 5, &e), 0);
}

TEST_MAIN
