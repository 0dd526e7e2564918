/*
 * jail oci: the commands of an OCI runtime with the options of runc and crun.
 */
#include "cli/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/opt.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/oci_follow.h"
#include "oci/oci.h"

enum { EXIT_RUNTIME = 1, RESOURCES_MAX_BYTES = 1 << 20 };

/* ---- options before the command ---- */

struct front {
	struct oci oci;
	char *root, *log, *criu, *rootless;
	int log_format, cgroup_manager;
	bool systemd_cgroup, debug, version;
};

enum { LOG_TEXT, LOG_JSON };
static const char *const log_formats[] = {"text", "json", NULL};
enum { MANAGER_CGROUPFS, MANAGER_SYSTEMD, MANAGER_DISABLED };
static const char *const managers[] = {"cgroupfs", "systemd", "disabled", NULL};

static const struct opt front_options[] = {
	OPT(struct front, root, 0, "root", OPT_STRING, "DIR",
		"where the containers' state is kept"),
	OPT(struct front, log, 0, "log", OPT_STRING, "FILE",
		"where errors are written, besides standard error"),
	OPT(struct front, log_format, 0, "log-format", OPT_CHOICE, "FORMAT", "text or json",
		.choices = log_formats),
	OPT(struct front, systemd_cgroup, 0, "systemd-cgroup", OPT_FLAG, NULL,
		"cgroups are made by systemd"),
	OPT(struct front, cgroup_manager, 0, "cgroup-manager", OPT_CHOICE, "MANAGER",
		"cgroupfs, systemd or disabled", .choices = managers),
	OPT(struct front, criu, 0, "criu", OPT_STRING, "FILE", "the criu program"),
	OPT(struct front, rootless, 0, "rootless", OPT_STRING, "WORD",
		"taken for compatibility; found out by itself"),
	OPT(struct front, debug, 0, "debug", OPT_FLAG, NULL, "taken for compatibility"),
	OPT(struct front, version, 'v', "version", OPT_FLAG, NULL, "tell the versions"),
	OPT_END,
};

/* ---- the log ---- */

static char *now_text(void)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return str_dup(text);
}

static char *log_line(int format, const char *level, const char *msg)
{
	AUTO_FREE char *now = now_text();
	struct buf b = {0};

	buf_addf(&b, format == LOG_JSON ? "{\"level\":\"%s\",\"msg\":" : "level=%s msg=", level);
	json_add_string(&b, msg);
	buf_addf(&b, format == LOG_JSON ? ",\"time\":\"%s\"}\n" : " time=\"%s\"\n", now);
	return b.p;
}

/* Engines look for these as Go programs write them, and make exit codes 126 and 127 of them. */
static char *as_engines_read(const char *msg)
{
	static const char *const phrases[] = {
		"No such file or directory", "Permission denied", "Operation not permitted"};
	char *copy = str_dup(msg);

	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		for (char *p = strstr(copy, phrases[i]); p; p = strstr(p, phrases[i]))
			*p |= 0x20;
	return copy;
}

/* To the log, where engines look, and to standard error, where people look. */
static void say(const struct front *f, const char *level, const char *msg)
{
	AUTO_FREE char *text = as_engines_read(msg);
	AUTO_FREE char *shown = str_visible(text);
	AUTO_FREE char *line = log_line(f->log_format, level, text);
	AUTO_FREE char *plain =
		str_fmt("jail-oci: %s%s\n", strcmp(level, "error") ? "warning: " : "", shown);
	AUTO_FD int fd =
		f->log ? open(f->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644)
		       : -1;

	/* Nothing can be done when even this cannot be written. */
	if (fd >= 0)
		(void)fd_write_full(fd, line, strlen(line));
	/* With a log, standard error may be the container's own: only the end of all is told there. */
	if (!f->log || (strcmp(f->log, "/dev/stderr") != 0 && !strcmp(level, "error")))
		(void)fd_write_full(STDERR_FILENO, plain, strlen(plain));
}

static int print(const char *text, struct err *e)
{
	int r = fd_write_full(STDOUT_FILENO, text, strlen(text));

	return r < 0 ? err_set(e, -r, "cannot write to standard output: %s", strerrordesc_np(-r))
		     : 0;
}

/* ---- the commands ---- */

struct verb {
	const char *name, *operands, *summary;
	enum opt_mode mode;
	const struct opt *options;
	size_t size; /* of the options' struct */
	int min, max; /* operands; max -1: any number */
	int (*run)(struct front *f, const void *opts, int n, char **words, struct err *e);
};

struct create_opts {
	char *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	uint64_t preserve_fds;
	bool ignored, detach, keep;
	/* restore */
	char *image_path, *work_path, *cgroups_mode, *ignored_text;
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup;
};

#define CREATE_OPTIONS(type)                                                                       \
	OPT(type, bundle, 'b', "bundle", OPT_STRING, "DIR", "the bundle (the current directory)"), \
		OPT(type, config, 'f', "config", OPT_STRING, "FILE",                               \
			"its configuration (config.json)"),                                        \
		OPT(type, console_socket, 0, "console-socket", OPT_STRING, "SOCKET",               \
			"receives the terminal's master"),                                         \
		OPT(type, pid_file, 0, "pid-file", OPT_STRING, "FILE", "receives the process id"), \
		OPT(type, pidfd_socket, 0, "pidfd-socket", OPT_STRING, "SOCKET",                   \
			"receives a pidfd"),                                                       \
		OPT(type, preserve_fds, 0, "preserve-fds", OPT_UINT, "N",                          \
			"hand descriptors 3 to 3+N-1 on"),                                         \
		OPT(type, ignored, 0, "no-pivot", OPT_FLAG, NULL, "taken for compatibility"),      \
		OPT(type, ignored, 0, "no-new-keyring", OPT_FLAG, NULL,                            \
			"taken for compatibility: keyrings are always new"),                       \
		OPT(type, ignored, 0, "no-subreaper", OPT_FLAG, NULL, "taken for compatibility")

#define CRIU_OPTIONS(type)                                                                         \
	OPT(type, image_path, 0, "image-path", OPT_STRING, "DIR", "the images (./checkpoint)"),    \
		OPT(type, work_path, 0, "work-path", OPT_STRING, "DIR", "criu's logs"),            \
		OPT(type, cgroups_mode, 0, "manage-cgroups-mode", OPT_STRING, "MODE",              \
			"soft, full, strict or ignore"),                                           \
		OPT(type, tcp_established, 0, "tcp-established", OPT_FLAG, NULL,                   \
			"allow open connections"),                                                 \
		OPT(type, ext_unix_sk, 0, "ext-unix-sk", OPT_FLAG, NULL,                           \
			"allow outside unix sockets"),                                             \
		OPT(type, shell_job, 0, "shell-job", OPT_FLAG, NULL, "allow shell jobs"),          \
		OPT(type, file_locks, 0, "file-locks", OPT_FLAG, NULL, "allow file locks"),        \
		OPT(type, auto_dedup, 0, "auto-dedup", OPT_FLAG, NULL, "store equal pages once")

static const struct opt create_options[] = {CREATE_OPTIONS(struct create_opts), OPT_END};
static const struct opt run_options[] = {
	CREATE_OPTIONS(struct create_opts),
	OPT(struct create_opts, detach, 'd', "detach", OPT_FLAG, NULL, "return when it runs"),
	OPT(struct create_opts, keep, 0, "keep", OPT_FLAG, NULL, "do not delete it after its end"),
	OPT_END,
};
static const struct opt restore_options[] = {
	CREATE_OPTIONS(struct create_opts),
	CRIU_OPTIONS(struct create_opts),
	OPT(struct create_opts, detach, 'd', "detach", OPT_FLAG, NULL, "return when it runs"),
	OPT(struct create_opts, ignored_text, 0, "lsm-profile", OPT_STRING, "TYPE:NAME",
		"taken for compatibility"),
	OPT(struct create_opts, ignored_text, 0, "lsm-mount-context", OPT_STRING, "TEXT",
		"taken for compatibility"),
	OPT_END,
};

static struct oci_create_opts to_create(const struct create_opts *o)
{
	return (struct oci_create_opts){.bundle = o->bundle,
		.config = o->config,
		.console_socket = o->console_socket,
		.pid_file = o->pid_file,
		.pidfd_socket = o->pidfd_socket,
		.preserve_fds = o->preserve_fds};
}

static int verb_create(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct oci_create_opts c = to_create(opts);

	(void)n;
	return oci_create(&f->oci, words[0], &c, e);
}

static int verb_start(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	(void)opts;
	(void)n;
	return oci_start(&f->oci, words[0], e);
}

/* Until its end, and then away with it. */
static int stay(struct front *f, const char *id, struct oci_running *r, bool keep, struct err *e)
{
	int code = follow(r, e);

	if (!keep && oci_delete(&f->oci, id, true, e) < 0)
		return -e->code;
	return code;
}

static int verb_run(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct create_opts *o = opts;
	const struct oci_create_opts c = to_create(o);
	struct oci_running r = OCI_RUNNING_INIT;
	int code = oci_run(&f->oci, words[0], &c, o->detach, &r, e);

	(void)n;
	if (code >= 0 && !o->detach)
		code = stay(f, words[0], &r, o->keep, e);
	oci_running_release(&r);
	return code;
}

static int verb_restore(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct create_opts *o = opts;
	const struct oci_create_opts c = to_create(o);
	const struct oci_criu_opts x = {.criu = f->criu,
		.image_path = o->image_path,
		.work_path = o->work_path,
		.cgroups_mode = o->cgroups_mode,
		.tcp_established = o->tcp_established,
		.ext_unix_sk = o->ext_unix_sk,
		.shell_job = o->shell_job,
		.file_locks = o->file_locks,
		.auto_dedup = o->auto_dedup};
	struct oci_running r = OCI_RUNNING_INIT;
	int code = oci_restore(&f->oci, words[0], &c, &x, &r, e);

	(void)n;
	if (code >= 0 && !o->detach)
		code = stay(f, words[0], &r, false, e);
	oci_running_release(&r);
	return code;
}

struct checkpoint_opts {
	char *image_path, *work_path, *parent_path, *cgroups_mode, *ignored_text;
	bool leave_running, pre_dump, ignored;
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup;
};
static const struct opt checkpoint_options[] = {
	CRIU_OPTIONS(struct checkpoint_opts),
	OPT(struct checkpoint_opts, parent_path, 0, "parent-path", OPT_STRING, "DIR",
		"images of an earlier pre-dump"),
	OPT(struct checkpoint_opts, leave_running, 0, "leave-running", OPT_FLAG, NULL,
		"do not end it"),
	OPT(struct checkpoint_opts, pre_dump, 0, "pre-dump", OPT_FLAG, NULL,
		"memory only, and leave it running"),
	OPT_END,
};

static int verb_checkpoint(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct checkpoint_opts *o = opts;
	const struct oci_criu_opts x = {.criu = f->criu,
		.image_path = o->image_path,
		.work_path = o->work_path,
		.parent_path = o->parent_path,
		.cgroups_mode = o->cgroups_mode,
		.leave_running = o->leave_running,
		.tcp_established = o->tcp_established,
		.ext_unix_sk = o->ext_unix_sk,
		.shell_job = o->shell_job,
		.file_locks = o->file_locks,
		.pre_dump = o->pre_dump,
		.auto_dedup = o->auto_dedup};

	(void)n;
	return oci_checkpoint(&f->oci, words[0], &x, e);
}

struct exec_opts {
	char *process, *cwd, *user, *apparmor, *process_label, *cgroup, *console_socket, *pid_file,
		*pidfd_socket;
	struct strv env, caps, additional_gids;
	bool tty, no_new_privs, ignore_paused, detach;
	uint64_t preserve_fds;
};
static const struct opt exec_options[] = {
	OPT(struct exec_opts, process, 'p', "process", OPT_STRING, "FILE", "a process.json"),
	OPT(struct exec_opts, cwd, 0, "cwd", OPT_STRING, "DIR", "folder to start in"),
	OPT(struct exec_opts, env, 'e', "env", OPT_LIST, "NAME=VALUE", "set a variable"),
	OPT(struct exec_opts, tty, 't', "tty", OPT_FLAG, NULL, "give it a terminal"),
	OPT(struct exec_opts, user, 'u', "user", OPT_STRING, "UID[:GID]", "user and group"),
	OPT(struct exec_opts, additional_gids, 'g', "additional-gids", OPT_LIST, "GID",
		"one more group"),
	OPT(struct exec_opts, detach, 'd', "detach", OPT_FLAG, NULL, "return when it runs"),
	OPT(struct exec_opts, console_socket, 0, "console-socket", OPT_STRING, "SOCKET",
		"receives the terminal's master"),
	OPT(struct exec_opts, pid_file, 0, "pid-file", OPT_STRING, "FILE",
		"receives the process id"),
	OPT(struct exec_opts, pidfd_socket, 0, "pidfd-socket", OPT_STRING, "SOCKET",
		"receives a pidfd"),
	OPT(struct exec_opts, process_label, 0, "process-label", OPT_STRING, "LABEL",
		"SELinux label"),
	OPT(struct exec_opts, apparmor, 0, "apparmor", OPT_STRING, "PROFILE", "AppArmor profile"),
	OPT(struct exec_opts, no_new_privs, 0, "no-new-privs", OPT_FLAG, NULL, "set no_new_privs"),
	OPT(struct exec_opts, caps, 'c', "cap", OPT_LIST, "CAP", "one more capability"),
	OPT(struct exec_opts, preserve_fds, 0, "preserve-fds", OPT_UINT, "N",
		"hand descriptors 3 to 3+N-1 on"),
	OPT(struct exec_opts, cgroup, 0, "cgroup", OPT_STRING, "PATH",
		"below the container's cgroup"),
	OPT(struct exec_opts, ignore_paused, 0, "ignore-paused", OPT_FLAG, NULL,
		"also in a paused container"),
	OPT_END,
};

static int verb_exec(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct exec_opts *o = opts;
	struct strv args = {0};
	const struct oci_exec_opts x = {.process = o->process,
		.args = &args,
		.env = &o->env,
		.caps = &o->caps,
		.additional_gids = &o->additional_gids,
		.cwd = o->cwd,
		.user = o->user,
		.apparmor = o->apparmor,
		.process_label = o->process_label,
		.cgroup = o->cgroup,
		.tty = o->tty,
		.no_new_privs = o->no_new_privs,
		.ignore_paused = o->ignore_paused,
		.detach = o->detach,
		.console_socket = o->console_socket,
		.pid_file = o->pid_file,
		.pidfd_socket = o->pidfd_socket,
		.preserve_fds = o->preserve_fds};
	struct oci_running r = OCI_RUNNING_INIT;
	int code;

	for (int i = 1; i < n; i++)
		strv_add(&args, words[i]);
	code = oci_exec(&f->oci, words[0], &x, &r, e);
	if (code >= 0 && !o->detach)
		code = follow(&r, e);
	oci_running_release(&r);
	strv_release(&args);
	return code;
}

static int verb_state(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	AUTO_FREE char *json = NULL, *line = NULL;
	struct oci_state s = {0};

	(void)opts;
	(void)n;
	if (oci_state(&f->oci, words[0], &s, e) < 0)
		return -e->code;
	json = json_print_text(&oci_state_table, &s, JSON_PRETTY);
	oci_state_release(&s);
	line = str_fmt("%s\n", json);
	return print(line, e);
}

struct kill_opts {
	bool all;
};
static const struct opt kill_options[] = {
	OPT(struct kill_opts, all, 'a', "all", OPT_FLAG, NULL, "to every process inside"),
	OPT_END,
};

static int verb_kill(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	int sig = SIGTERM;

	if (n > 1 && parse_signal(words[1], &sig, e) < 0)
		return -e->code;
	return oci_kill(&f->oci, words[0], sig, ((const struct kill_opts *)opts)->all, e);
}

struct delete_opts {
	bool force;
};
static const struct opt delete_options[] = {
	OPT(struct delete_opts, force, 'f', "force", OPT_FLAG, NULL,
		"kill it first; a missing one is no error"),
	OPT_END,
};

static int verb_delete(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	(void)n;
	return oci_delete(&f->oci, words[0], ((const struct delete_opts *)opts)->force, e);
}

static int verb_pause(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	(void)opts;
	(void)n;
	return oci_pause(&f->oci, words[0], e);
}

static int verb_resume(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	(void)opts;
	(void)n;
	return oci_resume(&f->oci, words[0], e);
}

struct list_opts {
	int format;
	bool quiet;
};
static const struct opt list_options[] = {
	OPT(struct list_opts, format, 'f', "format", OPT_CHOICE, "FORMAT", "table or json",
		.choices = cli_format_names),
	OPT(struct list_opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "ids only"),
	OPT_END,
};

static void list_table(struct buf *b, const struct oci_state *s, size_t n)
{
	int id = 2, bundle = 6;

	for (size_t i = 0; i < n; i++) {
		id = MAX(id, (int)strlen(s[i].id));
		bundle = MAX(bundle, (int)strlen(s[i].bundle));
	}
	buf_addf(b, "%-*s  %-8s  %-8s  %-*s  %-30s  %s\n", id, "ID", "PID", "STATUS", bundle,
		"BUNDLE", "CREATED", "OWNER");
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%-*s  %-8d  %-8s  %-*s  %-30s  %s\n", id, s[i].id, s[i].pid,
			oci_status_names[s[i].status], bundle, s[i].bundle, s[i].created,
			s[i].owner);
}

static void list_json(struct buf *b, const struct oci_state *s, size_t n)
{
	buf_adds(b, "[");
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *text = json_print_text(&oci_state_table, &s[i], JSON_COMPACT);

		buf_addf(b, "%s%s", i ? "," : "", text);
	}
	buf_adds(b, "]\n");
}

static int verb_list(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct list_opts *o = opts;
	AUTO_BUF struct buf b = {0};
	struct oci_state *all;
	size_t count;

	(void)n;
	(void)words;
	if (oci_list(&f->oci, &all, &count, e) < 0)
		return -e->code;
	buf_adds(&b, "");
	if (o->quiet)
		for (size_t i = 0; i < count; i++)
			buf_addf(&b, "%s\n", all[i].id);
	else if (o->format == FORMAT_JSON)
		list_json(&b, all, count);
	else
		list_table(&b, all, count);
	for (size_t i = 0; i < count; i++)
		oci_state_release(&all[i]);
	free(all);
	return print(b.p, e);
}

struct ps_opts {
	int format;
};
static const struct opt ps_options[] = {
	OPT(struct ps_opts, format, 'f', "format", OPT_CHOICE, "FORMAT", "table or json",
		.choices = cli_format_names),
	OPT_END,
};

/* One row; a process that has ended in between has none. */
static void ps_row(struct buf *b, pid_t pid)
{
	AUTO_FREE char *status_path = str_fmt("/proc/%d/status", (int)pid);
	AUTO_FREE char *cmd_path = str_fmt("/proc/%d/cmdline", (int)pid);
	AUTO_FREE char *shown = NULL;
	AUTO_BUF struct buf status = {0}, cmd = {0};
	struct err ignored;
	const char *ppid, *uid;

	if (file_read(AT_FDCWD, status_path, 1 << 16, &status, &ignored) < 0 ||
		file_read(AT_FDCWD, cmd_path, 1 << 20, &cmd, &ignored) < 0)
		return;
	ppid = strstr(status.p, "\nPPid:");
	uid = strstr(status.p, "\nUid:");
	for (size_t i = 0; i + 1 < cmd.n; i++)
		if (!cmd.p[i])
			cmd.p[i] = ' ';
	shown = str_visible(cmd.n ? cmd.p : "");
	buf_addf(b, "%-10ld %-10d %-10ld %s\n", uid ? strtol(uid + 5, NULL, 10) : -1, (int)pid,
		ppid ? strtol(ppid + 6, NULL, 10) : -1, shown);
}

static int verb_ps(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct ps_opts *o = opts;
	AUTO_BUF struct buf b = {0};
	AUTO_FREE pid_t *pids = NULL;
	size_t count = 0;

	(void)n;
	if (oci_pids(&f->oci, words[0], &pids, &count, e) < 0)
		return -e->code;
	if (o->format == FORMAT_JSON) {
		for (size_t i = 0; i < count; i++)
			buf_addf(&b, "%s%d", i ? "," : "[", (int)pids[i]);
		buf_adds(&b, count ? "]\n" : "[]\n");
		return print(b.p, e);
	}
	buf_addf(&b, "%-10s %-10s %-10s %s\n", "UID", "PID", "PPID", "CMD");
	for (size_t i = 0; i < count; i++)
		ps_row(&b, pids[i]);
	return print(b.p, e);
}

/* "-1" or a size. */
static int set_bytes(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	int64_t *at = (int64_t *)((char *)opts + opt->offset);
	uint64_t bytes;

	if (!strcmp(value, "-1")) {
		*at = -1;
		return 0;
	}
	if (parse_size(value, &bytes, e) < 0)
		return -e->code;
	*at = bytes > INT64_MAX ? -1 : (int64_t)bytes;
	return 0;
}

struct update_opts {
	char *resources, *ignored;
	struct oci_limits limits;
};
#define LIMIT(member, name_, kind_, arg_, help_, ...)                                              \
	{                                                                                          \
		.name = (name_), .kind = (kind_),                                                  \
		.offset = offsetof(struct update_opts, limits.member),                             \
		.seen_offset = offsetof(struct update_opts, limits.has_##member), .arg = (arg_),   \
		.help = (help_), ##__VA_ARGS__                                                     \
	}
static const struct opt update_options[] = {
	OPT(struct update_opts, resources, 'r', "resources", OPT_STRING, "FILE",
		"linux.resources as JSON; - is standard input"),
	LIMIT(memory, "memory", OPT_CALL, "BYTES", "memory", .set = set_bytes),
	LIMIT(memory_reservation, "memory-reservation", OPT_CALL, "BYTES",
		"memory kept when it gets scarce", .set = set_bytes),
	LIMIT(memory_swap, "memory-swap", OPT_CALL, "BYTES",
		"memory and swap together; -1: unlimited", .set = set_bytes),
	LIMIT(cpu_shares, "cpu-share", OPT_UINT, "N", "share of busy processors"),
	LIMIT(cpu_quota, "cpu-quota", OPT_INT, "USEC", "time in each period"),
	LIMIT(cpu_period, "cpu-period", OPT_UINT, "USEC", "length of the period"),
	LIMIT(cpu_burst, "cpu-burst", OPT_UINT, "USEC", "time that may be saved up"),
	LIMIT(cpu_rt_runtime, "cpu-rt-runtime", OPT_INT, "USEC", "real-time in each period"),
	LIMIT(cpu_rt_period, "cpu-rt-period", OPT_UINT, "USEC", "length of that period"),
	LIMIT(cpu_idle, "cpu-idle", OPT_INT, "0|1", "only otherwise idle time"),
	OPT(struct update_opts, limits.cpus, 0, "cpuset-cpus", OPT_STRING, "LIST", "processors"),
	OPT(struct update_opts, limits.mems, 0, "cpuset-mems", OPT_STRING, "LIST", "memory nodes"),
	LIMIT(pids, "pids-limit", OPT_INT, "N", "processes and threads; -1: unlimited"),
	LIMIT(blkio_weight, "blkio-weight", OPT_UINT, "N", "share of busy disks, 10 to 1000"),
	OPT(struct update_opts, ignored, 0, "kernel-memory", OPT_STRING, "BYTES",
		"taken for compatibility: the kernel has it no more"),
	OPT(struct update_opts, ignored, 0, "kernel-memory-tcp", OPT_STRING, "BYTES",
		"taken for compatibility"),
	OPT_END,
};

static int verb_update(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct update_opts *o = opts;
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = -1;

	(void)n;
	if (!o->resources)
		return oci_update_limits(&f->oci, words[0], &o->limits, e);
	if (strcmp(o->resources, "-") != 0) {
		fd = open(o->resources, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return err_sys(e, "cannot open '%s'", o->resources);
	}
	if (file_read_fd(fd < 0 ? STDIN_FILENO : fd, o->resources, RESOURCES_MAX_BYTES, &text, e) <
		0)
		return -e->code;
	return oci_update(&f->oci, words[0], text.p, text.n, e);
}

struct events_opts {
	bool stats;
	uint64_t interval_ms;
};
static const struct opt events_options[] = {
	OPT(struct events_opts, stats, 0, "stats", OPT_FLAG, NULL, "once, then end"),
	OPT(struct events_opts, interval_ms, 0, "interval", OPT_DURATION, "DURATION",
		"between two (5s)"),
	OPT_END,
};

static int verb_events(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct events_opts *o = opts;
	uint64_t ms = o->interval_ms ? o->interval_ms : 5000;

	(void)n;
	for (bool first = true;; first = false) {
		AUTO_FREE char *json = NULL, *line = NULL;
		int r = oci_stats(&f->oci, words[0], &json, e);

		if (r == -ESRCH && !first)
			return 0; /* it has ended, and so have the events */
		if (r < 0)
			return r;
		line = str_fmt("%s\n", json);
		if (print(line, e) < 0)
			return -e->code;
		if (o->stats)
			return 0;
		nanosleep(
			&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
	}
}

struct spec_opts {
	char *bundle;
	bool rootless;
};
static const struct opt spec_options[] = {
	OPT(struct spec_opts, bundle, 'b', "bundle", OPT_STRING, "DIR",
		"where to write it (the current directory)"),
	OPT(struct spec_opts, rootless, 0, "rootless", OPT_FLAG, NULL, "for a plain user"),
	OPT_END,
};

static int verb_spec(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	const struct spec_opts *o = opts;
	AUTO_FREE char *text = oci_spec_template(o->rootless);
	AUTO_FREE char *path = str_fmt("%s/config.json", o->bundle ? o->bundle : ".");
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	(void)f;
	(void)n;
	(void)words;
	if (fd < 0)
		return errno == EEXIST ? err_set(e, EEXIST, "'%s' exists; remove it first", path)
				       : err_sys(e, "cannot write '%s'", path);
	if (fd_write_full(fd, text, strlen(text)) < 0 || fd_write_full(fd, "\n", 1) < 0)
		return err_sys(e, "cannot write '%s'", path);
	return 0;
}

static int verb_features(struct front *f, const void *opts, int n, char **words, struct err *e)
{
	AUTO_FREE char *json = oci_features();
	AUTO_FREE char *line = str_fmt("%s\n", json);

	(void)f;
	(void)opts;
	(void)n;
	(void)words;
	return print(line, e);
}

static const struct opt no_options[] = {OPT_END};

/* clang-format off: one row per command reads best as a table */
static const struct verb verbs[] = {
	{"create", "ID", "create a container from a bundle", OPT_PERMUTE, create_options,
		sizeof(struct create_opts), 1, 1, verb_create},
	{"start", "ID", "run a created container's program", OPT_PERMUTE, no_options, 1, 1, 1,
		verb_start},
	{"run", "ID", "create, start, wait and delete", OPT_PERMUTE, run_options,
		sizeof(struct create_opts), 1, 1, verb_run},
	{"exec", "ID [CMD [ARG...]]", "run one more program in it", OPT_STOP_AT_WORD, exec_options,
		sizeof(struct exec_opts), 1, -1, verb_exec},
	{"state", "ID", "print its state", OPT_PERMUTE, no_options, 1, 1, 1, verb_state},
	{"kill", "ID [SIGNAL]", "send a signal to it (TERM)", OPT_PERMUTE, kill_options,
		sizeof(struct kill_opts), 1, 2, verb_kill},
	{"delete", "ID", "remove a stopped container", OPT_PERMUTE, delete_options,
		sizeof(struct delete_opts), 1, 1, verb_delete},
	{"list", "", "list the containers", OPT_PERMUTE, list_options, sizeof(struct list_opts), 0,
		0, verb_list},
	{"ps", "ID [OPTION...]", "list its processes", OPT_PERMUTE, ps_options,
		sizeof(struct ps_opts), 1, -1, verb_ps},
	{"pause", "ID", "freeze its processes", OPT_PERMUTE, no_options, 1, 1, 1, verb_pause},
	{"resume", "ID", "let them go on", OPT_PERMUTE, no_options, 1, 1, 1, verb_resume},
	{"update", "ID", "change its limits", OPT_PERMUTE, update_options,
		sizeof(struct update_opts), 1, 1, verb_update},
	{"events", "ID", "print what it uses", OPT_PERMUTE, events_options,
		sizeof(struct events_opts), 1, 1, verb_events},
	{"spec", "", "write a config.json to begin with", OPT_PERMUTE, spec_options,
		sizeof(struct spec_opts), 0, 0, verb_spec},
	{"features", "", "print what this runtime can", OPT_PERMUTE, no_options, 1, 0, 0,
		verb_features},
	{"checkpoint", "ID", "save its processes to disk (criu)", OPT_PERMUTE, checkpoint_options,
		sizeof(struct checkpoint_opts), 1, 1, verb_checkpoint},
	{"restore", "ID", "bring them back (criu)", OPT_PERMUTE, restore_options,
		sizeof(struct create_opts), 1, 1, verb_restore},
};
/* clang-format on */

/* ---- dispatch ---- */

static const char *nth_verb(const void *ctx, size_t i)
{
	(void)ctx;
	return verbs[i].name;
}

static const struct verb *find_verb(const char *name, struct err *e)
{
	AUTO_FREE char *shown = str_visible(name);
	const char *near = opt_nearest(name, nth_verb, NULL, ARRAY_SIZE(verbs));

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	err_set(e, EINVAL, "unknown command '%.64s'", shown);
	if (near)
		err_hint(e, "did you mean '%s'?", near);
	else
		err_hint(e, "see --help");
	return NULL;
}

static int help_front(struct err *e)
{
	AUTO_BUF struct buf b = {0};

	buf_adds(&b,
		"usage: jail-oci [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n\n"
		"The OCI runtime: what podman, containerd and docker call to run a container.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		buf_addf(&b, "  %-12s%s\n", verbs[i].name, verbs[i].summary);
	buf_adds(&b, "\n");
	opt_help(front_options, &b);
	return print(b.p, e);
}

static int help_verb(const struct verb *v, struct err *e)
{
	AUTO_BUF struct buf b = {0};

	buf_addf(&b, "usage: jail-oci %s%s%s%s\n\n%s\n\n", v->name,
		v->options->name ? " [OPTION...]" : "", *v->operands ? " " : "", v->operands,
		v->summary);
	opt_help(v->options, &b);
	return print(b.p, e);
}

static int open_state(struct front *f, struct err *e)
{
	f->oci.systemd_cgroup = f->systemd_cgroup || f->cgroup_manager == MANAGER_SYSTEMD;
	f->oci.no_cgroup = f->cgroup_manager == MANAGER_DISABLED;
	return oci_open(&f->oci, f->root, e);
}

static bool needs_state(const struct verb *v)
{
	return v->run != verb_features && v->run != verb_spec;
}

static int run_verb(struct front *f, const struct verb *v, int argc, char **argv, struct err *e)
{
	AUTO_FREE void *opts = mem_new(v->size);
	int first = opt_parse(v->options, opts, argc, argv, v->mode, e), n, r;

	if (first == OPT_HELP)
		return help_verb(v, e);
	if (first < 0)
		return err_prefix(e, "%s", v->name);
	n = argc - first;
	if (n < v->min || (v->max >= 0 && n > v->max))
		r = err_set(e, EINVAL, "%s: expected %s; see jail-oci %s --help", v->name,
			*v->operands ? v->operands : "no arguments", v->name);
	else if (needs_state(v) && open_state(f, e) < 0)
		r = -e->code;
	else
		r = v->run(f, opts, n, argv + first, e);
	opt_release(v->options, opts);
	return r;
}

static int dispatch(struct front *f, int argc, char **argv, struct err *e)
{
	int first = opt_parse(front_options, f, argc, argv, OPT_STOP_AT_WORD, e);
	const struct verb *v;

	if (first == OPT_HELP || (first >= 0 && first == argc && !f->version))
		return help_front(e);
	if (first < 0)
		return first;
	if (f->version)
		return print("jail-oci version " JAIL_VERSION "\nspec: 1.3.0\n", e);
	v = find_verb(argv[first], e);
	return v ? run_verb(f, v, argc - first, argv + first, e) : -e->code;
}

int oci_front(int argc, char **argv)
{
	struct front f = {.oci = OCI_INIT};
	struct err e = {0};
	int r = dispatch(&f, argc, argv, &e);

	for (size_t i = 0; i < f.oci.warnings.n; i++)
		say(&f, "warning", f.oci.warnings.v[i]);
	if (r < 0) {
		say(&f, "error", e.text);
		r = EXIT_RUNTIME;
	}
	oci_close(&f.oci);
	opt_release(front_options, &f);
	return r;
}

const struct opt cmd_oci_options[] = {OPT_END};

int cmd_oci_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	(void)cmd;
	(void)e;
	return oci_front(argc, argv);
}
