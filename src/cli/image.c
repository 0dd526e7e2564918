/*
 * jail image: hands the work to jail-image and shows what it says.  The worker parses what
 * strangers wrote; here only its own lines of JSON are read, by a table, and text in them is made
 * visible.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/proc.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/table.h"

enum { LINE_MAX_BYTES = 4 << 20, BARS_MAX = 128, BAR_CELLS = 24, REDRAW_MS = 100 };

struct image_opts {
	int format;
	bool quiet;
};
const struct opt cmd_image_options[] = {
	OPT_FORMAT(struct image_opts),
	OPT(struct image_opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "only names and errors"),
	OPT_END,
};

/* One line of the worker; absent members stay as they are. */
struct event {
	char *event, *stage, *digest, *text, *name, *manifest;
	uint64_t done, total, size, layers, images, blobs, blob_bytes, layer_bytes;
	int64_t pulled;
	int32_t code;
};
static const struct json_field event_fields[] = {
	JSON_FIELD(struct event, event, "event", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct event, stage, "stage", JSON_STR),
	JSON_FIELD(struct event, digest, "digest", JSON_STR),
	JSON_FIELD(struct event, text, "text", JSON_STR),
	JSON_FIELD(struct event, name, "name", JSON_STR),
	JSON_FIELD(struct event, manifest, "manifest", JSON_STR),
	JSON_FIELD(struct event, done, "done", JSON_U64),
	JSON_FIELD(struct event, total, "total", JSON_U64),
	JSON_FIELD(struct event, size, "size", JSON_U64),
	JSON_FIELD(struct event, layers, "layers", JSON_U64),
	JSON_FIELD(struct event, images, "images", JSON_U64),
	JSON_FIELD(struct event, blobs, "blobs", JSON_U64),
	JSON_FIELD(struct event, blob_bytes, "blob_bytes", JSON_U64),
	JSON_FIELD(struct event, layer_bytes, "layer_bytes", JSON_U64),
	JSON_FIELD(struct event, pulled, "pulled", JSON_I64),
	JSON_FIELD(struct event, code, "code", JSON_I32),
};
static const struct json_table event_table = JSON_TABLE(struct event, event_fields);

/* A row of jail image ls. */
struct row {
	char *name, *digest;
	uint64_t size, layers, age;
};
static const struct column columns[] = {
	COLUMN(struct row, name, "NAME", "name", COL_STR),
	COLUMN(struct row, digest, "DIGEST", "digest", COL_STR),
	COLUMN(struct row, size, "SIZE", "size_bytes", COL_SIZE),
	COLUMN(struct row, layers, "LAYERS", "layers", COL_U64),
	COLUMN(struct row, age, "AGE", "age_s", COL_AGE),
	COLUMN_END,
};

struct bar {
	char digest[24];
	const char *stage; /* one of stages */
	uint64_t done, total;
};
struct view {
	const struct image_opts *o;
	const char *command;
	bool terminal; /* bars on standard error */
	struct bar bars[BARS_MAX];
	size_t n_bars, drawn;
	uint64_t start_ms, last_ms;
	struct row *rows;
	size_t n_rows, cap_rows;
	struct buf out; /* what standard output gets in the end */
	struct err *e;
	int result;
};

static const char *const stages[] = {
	"fetch", "unpack", "push", "exists", "done", "retry", "resolve", "bootstrap", NULL};

static const char *known_stage(const char *s)
{
	for (size_t i = 0; s && stages[i]; i++)
		if (!strcmp(stages[i], s))
			return stages[i];
	return "work";
}

static struct bar *bar_of(struct view *v, const char *digest)
{
	AUTO_FREE char *seen = str_visible(str_starts(digest, "sha256:") ? digest + 7 : digest);

	seen[MIN(strlen(seen), (size_t)12)] = '\0';
	for (size_t i = 0; i < v->n_bars; i++)
		if (!strcmp(v->bars[i].digest, seen))
			return &v->bars[i];
	if (v->n_bars == BARS_MAX)
		return &v->bars[BARS_MAX - 1];
	snprintf(v->bars[v->n_bars].digest, sizeof(v->bars[0].digest), "%s", seen);
	return &v->bars[v->n_bars++];
}

static void draw_bar(const struct bar *b, struct buf *out)
{
	size_t full = b->total ? (size_t)(MIN(b->done, b->total) * BAR_CELLS / b->total) : 0;
	char done[24], total[24];

	buf_addf(out, "\033[2K%-12s %-7s [", b->digest, b->stage);
	for (size_t i = 0; i < BAR_CELLS; i++)
		buf_adds(out, i < full ? "#" : ".");
	buf_addf(out, "] %s/%s\n", print_size(b->done, done), print_size(b->total, total));
}

static void draw(struct view *v, bool always)
{
	AUTO_BUF struct buf b = {0};
	uint64_t now = time_mono_ms(), sum = 0;
	char rate[24];

	if (!v->n_bars || (!always && now - v->last_ms < REDRAW_MS))
		return;
	v->last_ms = now;
	if (v->drawn)
		buf_addf(&b, "\033[%zuA", v->drawn);
	for (size_t i = 0; i < v->n_bars; i++) {
		draw_bar(&v->bars[i], &b);
		sum += v->bars[i].done;
	}
	buf_addf(&b, "\033[2K%s/s\n",
		print_size(sum * 1000 / MAX(now - v->start_ms, (uint64_t)1), rate));
	v->drawn = v->n_bars + 1;
	(void)fd_write_full(STDERR_FILENO, b.p, b.n);
}

/* Without a terminal: a line when a layer begins, ends, or something is odd. */
static void say(const struct event *ev, const struct bar *b, bool news)
{
	AUTO_FREE char *text = ev->text ? str_visible(ev->text) : NULL;
	char total[24];

	if (!news)
		return;
	fprintf(stderr, "%s %s", b ? b->digest : "image", known_stage(ev->stage));
	if (ev->total)
		fprintf(stderr, " %s", print_size(ev->total, total));
	fprintf(stderr, "%s%s\n", text ? ": " : "", text ? text : "");
}

static void show_progress(struct view *v, const struct event *ev)
{
	const char *stage = known_stage(ev->stage);
	struct bar *b = ev->digest ? bar_of(v, ev->digest) : NULL;
	bool news = !b || !b->stage || strcmp(b->stage, stage);

	if (b) {
		b->stage = stage;
		b->done = strcmp(stage, "exists") ? ev->done : ev->total;
		b->total = ev->total;
	}
	if (v->o->quiet || v->o->format == FORMAT_JSON)
		return;
	if (v->terminal && b)
		draw(v, news);
	else
		say(ev, b, news);
}

static void take_image(struct view *v, struct event *ev)
{
	int64_t age = (int64_t)time(NULL) - ev->pulled;
	const char *digest =
		ev->manifest && str_starts(ev->manifest, "sha256:") ? ev->manifest + 7 : "";

	v->rows = mem_grow(v->rows, &v->cap_rows, v->n_rows + 1, sizeof(*v->rows));
	v->rows[v->n_rows++] = (struct row){.name = mem_take(&ev->name),
		.digest = str_dup_n(digest, MIN(strlen(digest), (size_t)12)),
		.size = ev->size,
		.layers = ev->layers,
		.age = age > 0 ? (uint64_t)age : 0};
}

static void show_gc(struct view *v, struct event *ev)
{
	char size[24];

	if (!v->o->quiet)
		buf_addf(&v->out, "removed %llu images, %llu layers, %llu blobs (%s)\n",
			(unsigned long long)ev->images, (unsigned long long)ev->layers,
			(unsigned long long)ev->blobs, print_size(ev->blob_bytes, size));
}

static void show_usage(struct view *v, struct event *ev)
{
	char blobs[24], layers[24];

	if (!v->o->quiet && isatty(STDOUT_FILENO))
		buf_addf(&v->out, "%llu layers unpacked: %s; %llu blobs: %s\n",
			(unsigned long long)ev->layers, print_size(ev->layer_bytes, layers),
			(unsigned long long)ev->blobs, print_size(ev->blob_bytes, blobs));
}

static void show_name(struct view *v, struct event *ev)
{
	AUTO_FREE char *seen = str_visible(ev->name ? ev->name : "");

	buf_addf(&v->out, "%s\n", seen);
}

static void show_fault(struct view *v, struct event *ev)
{
	AUTO_FREE char *seen = str_visible(ev->text ? ev->text : "");

	buf_addf(&v->out, "%s\n", seen);
}

static void take_error(struct view *v, struct event *ev)
{
	AUTO_FREE char *seen = str_visible(ev->text ? ev->text : "jail-image failed");

	/* The worker made names visible already: its backslashes would be doubled. */
	v->result = err_set(v->e, ev->code > 0 ? ev->code : EIO, "%s",
		strchr(seen, '\\') && ev->text ? ev->text : seen);
}

static const struct {
	const char *event;
	void (*take)(struct view *v, struct event *ev);
} takers[] = {
	{"image", take_image},
	{"removed", show_name},
	{"pushed", show_name},
	{"exported", show_name},
	{"fault", show_fault},
	{"gc", show_gc},
	{"usage", show_usage},
};

static void take_line(struct view *v, const char *line, size_t n)
{
	struct event ev = {0};
	struct err ignored;

	/* inspect is for programs; so is everything with --format json; help is plain text. */
	if (n && (line[0] != '{' ||
			 json_read_text(&event_table, line, n, NULL, &ev, &ignored) < 0)) {
		buf_addf(&v->out, "%.*s\n", (int)n, line);
		return;
	}
	if (!n || !ev.event)
		return;
	if (!strcmp(ev.event, "error")) {
		take_error(v, &ev);
	} else if (!strcmp(ev.event, "progress")) {
		show_progress(v, &ev);
	} else if (v->o->format == FORMAT_JSON || !strcmp(v->command, "inspect")) {
		buf_addf(&v->out, "%.*s\n", (int)n, line);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(takers); i++)
			if (!strcmp(takers[i].event, ev.event))
				takers[i].take(v, &ev);
	}
	json_release(&event_table, &ev);
}

static int read_lines(struct view *v, int fd, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	char chunk[16384];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		size_t at = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "cannot read what jail-image says");
		buf_add(&b, chunk, (size_t)n);
		for (char *nl; (nl = memchr(b.p + at, '\n', b.n - at)); at = (size_t)(nl - b.p) + 1)
			take_line(v, b.p + at, (size_t)(nl - b.p) - at);
		memmove(b.p, b.p + at, b.n - at);
		b.n -= at;
		if (b.n > LINE_MAX_BYTES)
			return err_set(e, EFBIG, "jail-image says a line without an end");
	}
	return 0;
}

/* Beside jail itself in a build tree, else where it is installed. */
static char *worker_path(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	self[MAX(n, 0)] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		path = str_fmt("%.*s/jail-image", (int)(slash - self), self);
		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return str_dup(JAIL_LIBEXECDIR "/jail-image");
}

static void worker_env(struct strv *env)
{
	static const char *const names[] = {"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
		"http_proxy", "https_proxy", "no_proxy"};

	strv_add(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (getenv(names[i]))
			strv_addf(env, "%s=%s", names[i], getenv(names[i]));
}

static int run_worker(struct view *v, const struct strv *argv, struct err *e)
{
	AUTO_FREE char *path = worker_path();
	AUTO_STRV struct strv env = {0};
	AUTO_FD int pidfd = -EBADF, out = -EBADF;
	int pipes[2], status, r;
	pid_t pid;

	worker_env(&env);
	if (access(path, X_OK) < 0)
		return err_sys(e, "cannot run '%s'", path);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	out = pipes[0];
	pid = proc_clone(0, -1, &pidfd);
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		execve(path, argv->v, env.v);
		_exit(ERR_EXIT_CANNOT_RUN);
	}
	close(pipes[1]);
	if (pid < 0)
		return err_set(e, -pid, "cannot start '%s'", path);
	r = read_lines(v, out, e);
	if (r < 0)
		proc_signal(pidfd, SIGTERM);
	if (proc_wait(pidfd, &status) < 0 || (r >= 0 && v->result >= 0 && proc_exit_code(status)))
		return r < 0 ? r
			     : err_set(e, EIO, "'%s' ended with %d", path, proc_exit_code(status));
	return r < 0 ? r : v->result;
}

static void add_rows(struct view *v)
{
	AUTO_BUF struct buf b = {0};
	bool list = !strcmp(v->command, "ls");

	if (list && !v->o->quiet && v->o->format == FORMAT_TABLE)
		table_add(columns, v->rows, v->n_rows, sizeof(*v->rows), v->o->format, &b);
	else
		for (size_t i = 0; i < v->n_rows; i++)
			buf_addf(&b, "%s\n", v->rows[i].name);
	if (v->out.n)
		buf_add(&b, v->out.p, v->out.n);
	buf_release(&v->out);
	v->out = b;
	b = (struct buf){0};
}

static int run_image(const struct image_opts *o, char **words, int n, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	struct view v = {.o = o,
		.command = words[0],
		.terminal = isatty(STDERR_FILENO),
		.e = e,
		.start_ms = time_mono_ms()};
	AUTO_STRV struct strv argv = {0};
	int r;

	if (jail_env_open(&env, e) < 0)
		return -e->code;
	strv_add(&argv, "jail-image");
	strv_add(&argv, words[0]);
	strv_addf(&argv, "--store=%s/images", env.state_dir);
	for (int i = 1; i < n; i++)
		strv_add(&argv, words[i]);
	r = run_worker(&v, &argv, e);
	if (v.terminal && v.drawn)
		draw(&v, true);
	add_rows(&v);
	if (v.out.n) {
		struct err ignored;
		int p = cli_print(&v.out, r < 0 ? &ignored : e);

		r = r < 0 ? r : p;
	}
	for (size_t i = 0; i < v.n_rows; i++) {
		free(v.rows[i].name);
		free(v.rows[i].digest);
	}
	free(v.rows);
	buf_release(&v.out);
	return r < 0 ? r : 0;
}

int cmd_image_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	struct image_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, -1, e) < 0)
		return -e->code;
	return run_image(&o, argv + first, argc - first, e);
}
