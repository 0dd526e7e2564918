/*
 * jail-image: the worker that parses what strangers wrote.  The product runs it confined, with
 * the store, the sources and, for registries, the network as all it can reach.
 *
 *	jail-image COMMAND --store DIR [options] [operands]
 *
 * Standard output is one JSON object per line: {"event": "layer" | "resolve" | "image" | ... |
 * "error"}.  Exit: 0, or 125 with an error line last.  Standard error is for the sanitizers.
 *
 * Privilege: owner of the store.  CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE and CAP_SETFCAP where layers
 * keep their owners; nothing else.  No new privileges, no core dumps, no set-user-id programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/opt.h"
#include "image/ops.h"

struct opts {
	char *store, *platform, *name, *tag;
	int kind, sync;
	bool replace, repair, quiet;
	uint64_t max_layer_bytes;
	struct strv cmd, entrypoint, env, labels;
	char *user, *working_dir;
};

static const char *const kind_words[] = {"auto", "oci", "docker", "root", NULL};
enum { SYNC_LATER, SYNC_NOW, SYNC_NEVER };
static const char *const sync_words[] = {"later", "now", "never", NULL};

#define STORE_OPTS                                                                                 \
	OPT(struct opts, store, 0, "store", OPT_STRING, "DIR", "the image store"),                 \
		OPT(struct opts, sync, 0, "sync", OPT_CHOICE, "WHEN",                              \
			"bring the store to the disk: later (after answering), now, never",        \
			.choices = sync_words)

static const struct opt store_table[] = {
	STORE_OPTS,
	OPT_END,
};
static const struct opt check_table[] = {
	STORE_OPTS,
	OPT(struct opts, repair, 0, "repair", OPT_FLAG, NULL, "remove what is broken"),
	OPT_END,
};
static const struct opt import_table[] = {
	STORE_OPTS,
	OPT(struct opts, platform, 0, "platform", OPT_STRING, "OS/ARCH", "of an image for several"),
	OPT(struct opts, name, 0, "name", OPT_STRING, "NAME", "name the image"),
	OPT(struct opts, tag, 0, "tag", OPT_STRING, "NAME", "take only this image of the archive"),
	OPT(struct opts, kind, 0, "kind", OPT_CHOICE, "KIND", "auto, oci, docker or root",
		.choices = kind_words),
	OPT(struct opts, replace, 0, "replace", OPT_FLAG, NULL, "let it take an existing name"),
	OPT(struct opts, max_layer_bytes, 0, "max-layer-size", OPT_SIZE, "SIZE",
		"refuse layers that unpack to more"),
	OPT(struct opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "no progress"),
	OPT_HEADING("What the image of a root directory says"),
	OPT(struct opts, cmd, 0, "cmd", OPT_LIST, "WORD", "command, one word each time"),
	OPT(struct opts, entrypoint, 0, "entrypoint", OPT_LIST, "WORD", "entrypoint"),
	OPT(struct opts, env, 'e', "env", OPT_LIST, "NAME=VALUE", "variable"),
	OPT(struct opts, labels, 0, "label", OPT_LIST, "KEY=VALUE", "label"),
	OPT(struct opts, user, 'u', "user", OPT_STRING, "USER", "user"),
	OPT(struct opts, working_dir, 'w', "workdir", OPT_STRING, "DIR", "working directory"),
	OPT_END,
};

struct run {
	struct opts *o;
	const struct opt *table;
	struct img_store store;
	struct img_platform platform;
	struct img_job job;
	pthread_mutex_t out_lock;
	struct timespec last;
	const char *words[8]; /* operands */
	int n_words;
};

/* One line, whole: several threads report. */
static void emit(struct run *run, struct buf *line)
{
	buf_adds(line, "}\n");
	pthread_mutex_lock(&run->out_lock);
	fwrite(line->p, 1, line->n, stdout);
	fflush(stdout);
	pthread_mutex_unlock(&run->out_lock);
}

static void start(struct buf *line, const char *event)
{
	buf_adds(line, "{\"event\":");
	json_add_string(line, event);
}

static void add_string(struct buf *line, const char *key, const char *value)
{
	if (!value)
		return;
	buf_addf(line, ",\"%s\":", key);
	json_add_string(line, value);
}

static void add_u64(struct buf *line, const char *key, uint64_t v)
{
	buf_addf(line, ",\"%s\":%llu", key, (unsigned long long)v);
}

static void add_digest(struct buf *line, const char *key, const struct img_digest *d)
{
	char text[IMG_DIGEST_TEXT];

	add_string(line, key, img_digest_print(d, text));
}

static void add_list(struct buf *line, const char *key, const struct strv *sv)
{
	buf_addf(line, ",\"%s\":[", key);
	for (size_t i = 0; i < sv->n; i++) {
		if (i)
			buf_adds(line, ",");
		json_add_string(line, sv->v[i]);
	}
	buf_adds(line, "]");
}

/* At most 20 progress lines a second; beginnings and ends always. */
static bool too_soon(struct run *run, const struct img_event *ev)
{
	struct timespec now;
	bool soon;

	if (strcmp(ev->stage, "fetch") && strcmp(ev->stage, "unpack") && strcmp(ev->stage, "push"))
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&run->out_lock);
	soon = ev->done_bytes && (now.tv_sec - run->last.tv_sec) * 1000000000ll + now.tv_nsec - run->last.tv_nsec < 50000000;
	if (!soon)
		run->last = now;
	pthread_mutex_unlock(&run->out_lock);
	return soon;
}

static void report(void *ctx, const struct img_event *ev)
{
	struct run *run = ctx;
	AUTO_BUF struct buf line = {0};

	if (run->o->quiet || too_soon(run, ev))
		return;
	start(&line, "progress");
	add_string(&line, "stage", ev->stage);
	add_string(&line, "digest", ev->digest);
	add_string(&line, "text", ev->text);
	add_u64(&line, "done", ev->done_bytes);
	add_u64(&line, "total", ev->total_bytes);
	emit(run, &line);
}

static void emit_name(struct run *run, const char *event, const struct img_name *n)
{
	AUTO_BUF struct buf line = {0};
	struct img_record rec = {0};
	struct err ignored;
	bool whole = img_record_read(&run->store, &n->manifest, &rec, &ignored) >= 0;

	start(&line, event);
	add_string(&line, "name", n->name);
	add_digest(&line, "digest", &n->target);
	add_digest(&line, "manifest", &n->manifest);
	buf_addf(&line, ",\"pulled\":%lld", (long long)n->pulled);
	add_u64(&line, "size", rec.size_bytes);
	add_u64(&line, "layers", rec.layers.n);
	buf_addf(&line, ",\"complete\":%s", whole ? "true" : "false");
	emit(run, &line);
	img_record_release(&rec);
}

static int cmd_import(struct run *run, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};
	struct img_config config = {.architecture = str_dup(run->platform.architecture), .os = str_dup(run->platform.os),
		.variant = str_dup(run->platform.variant), .user = str_dup(run->o->user),
		.working_dir = str_dup(run->o->working_dir)};
	AUTO_FD int fd = open(run->words[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	strv_copy(&config.cmd, &run->o->cmd);
	strv_copy(&config.entrypoint, &run->o->entrypoint);
	strv_copy(&config.env, &run->o->env);
	strv_copy(&config.labels, &run->o->labels);
	r = fd < 0 ? err_sys(e, "cannot open '%s'", run->words[0]) :
		     img_import(&run->job, fd, (enum img_import_kind)run->o->kind, run->o->tag, run->o->name, &config, &names, e);
	for (size_t i = 0; i < names.n && r >= 0; i++)
		emit_name(run, "image", &names.v[i]);
	img_config_release(&config);
	return r;
}

static int cmd_ls(struct run *run, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};
	AUTO_BUF struct buf line = {0};
	struct img_usage u;

	if (img_names_list(&run->store, &names, e) < 0)
		return -e->code;
	for (size_t i = 0; i < names.n; i++)
		emit_name(run, "image", &names.v[i]);
	if (img_store_usage(&run->store, &u, e) < 0)
		return -e->code;
	start(&line, "usage");
	add_u64(&line, "blobs", u.blobs);
	add_u64(&line, "blob_bytes", u.blob_bytes);
	add_u64(&line, "layers", u.layers);
	add_u64(&line, "layer_bytes", u.layer_bytes);
	emit(run, &line);
	return 0;
}

static int cmd_inspect(struct run *run, struct err *e)
{
	AUTO_IMG_IMAGE struct img_image i = {0};
	AUTO_BUF struct buf line = {0};
	const struct img_config *c = &i.config;

	if (img_image_open(&run->store, run->words[0], NULL, &i, e) < 0)
		return -e->code;
	start(&line, "image");
	add_string(&line, "name", i.name);
	add_digest(&line, "manifest", &i.manifest);
	add_digest(&line, "config", &i.config_digest);
	add_u64(&line, "size", i.size_bytes);
	add_string(&line, "os", c->os);
	add_string(&line, "architecture", c->architecture);
	add_string(&line, "variant", c->variant);
	add_string(&line, "created", c->created);
	add_string(&line, "user", c->user);
	add_string(&line, "workdir", c->working_dir);
	add_string(&line, "stop_signal", c->stop_signal);
	add_list(&line, "entrypoint", &c->entrypoint);
	add_list(&line, "cmd", &c->cmd);
	add_list(&line, "env", &c->env);
	add_list(&line, "volumes", &c->volumes);
	add_list(&line, "ports", &c->exposed_ports);
	add_list(&line, "labels", &c->labels);
	add_list(&line, "diff_ids", &c->diff_ids);
	add_list(&line, "lower", &i.lower);
	emit(run, &line);
	return 0;
}

static int cmd_gc(struct run *run, struct err *e)
{
	struct img_gc_result g;
	AUTO_BUF struct buf line = {0};

	img_store_unlock(&run->store);
	if (img_gc(&run->store, &g, e) < 0)
		return -e->code;
	start(&line, "gc");
	add_u64(&line, "images", g.images);
	add_u64(&line, "layers", g.layers);
	add_u64(&line, "blobs", g.blobs);
	add_u64(&line, "blob_bytes", g.bytes);
	emit(run, &line);
	return 0;
}

static int cmd_rm(struct run *run, struct err *e)
{
	for (int i = 0; i < run->n_words; i++) {
		AUTO_BUF struct buf line = {0};

		if (img_name_remove(&run->store, run->words[i], e) < 0)
			return -e->code;
		start(&line, "removed");
		add_string(&line, "name", run->words[i]);
		emit(run, &line);
	}
	/* Others may be pulling: what this name held goes with the next sweep then. */
	if (img_store_lock(&run->store, IMG_LOCK_TRY, e) < 0)
		return 0;
	return cmd_gc(run, e);
}

static void found(void *ctx, const char *text)
{
	AUTO_BUF struct buf line = {0};

	start(&line, "fault");
	add_string(&line, "text", text);
	emit(ctx, &line);
}

static int cmd_check(struct run *run, struct err *e)
{
	AUTO_BUF struct buf line = {0};
	int r;

	img_store_unlock(&run->store);
	r = img_check(&run->store, run->o->repair, found, run, e);
	if (r > 0 && !run->o->repair)
		return err_set(e, EUCLEAN, "the image store has %d faults; --repair removes what is broken", r);
	if (r < 0)
		return r;
	start(&line, "checked");
	add_u64(&line, "faults", (uint64_t)r);
	emit(run, &line);
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(struct run *run, struct err *e);
	const struct opt *table;
	int min_words, max_words;
	bool create; /* makes the store */
} commands[] = {
	{"import", cmd_import, import_table, 1, 1, true},
	{"ls", cmd_ls, store_table, 0, 0, false},
	{"inspect", cmd_inspect, store_table, 1, 1, false},
	{"rm", cmd_rm, store_table, 1, 8, false},
	{"gc", cmd_gc, store_table, 0, 0, false},
	{"check", cmd_check, check_table, 0, 0, false},
};

/* Whoever runs alone tidies up after those who were killed; then all work side by side. */
static int enter_store(struct run *run, struct err *e)
{
	struct err ignored;

	if (img_store_lock(&run->store, IMG_LOCK_TRY, &ignored) >= 0 && img_tmp_sweep(&run->store, e) < 0)
		return -e->code;
	return img_store_lock(&run->store, IMG_LOCK_SHARED, e);
}

/*
 * Durability after the answer.  A process that is killed here loses nothing: the records in unsynced/
 * stay, and the next command of this boot brings them to the disk.
 */
static void sync_store(struct run *run)
{
	struct err ignored;

	if (run->o->sync == SYNC_NEVER || !img_store_unsynced(&run->store))
		return;
	if (run->o->sync == SYNC_LATER) {
		if (fork())
			return;
		setsid();
		close(0);
		close(1);
		close(2);
	}
	img_store_sync(&run->store, &ignored);
	if (run->o->sync == SYNC_LATER)
		_exit(0);
}

static int run_command(struct run *run, const struct command *c, struct err *e)
{
	int r;

	if (!run->o->store)
		return err_set(e, EINVAL, "jail-image %s needs --store DIR", c->name);
	if (img_platform_parse(run->o->platform, &run->platform, e) < 0 ||
		img_store_open(run->o->store, c->create ? IMG_STORE_CREATE : 0, &run->store, e) < 0 || enter_store(run, e) < 0)
		return -e->code;
	run->job = (struct img_job){.store = &run->store, .report = report, .ctx = run, .platform = &run->platform,
		.max_layer_bytes = run->o->max_layer_bytes, .replace = run->o->replace};
	r = c->run(run, e);
	img_store_unlock(&run->store);
	sync_store(run);
	return r;
}

static int parse_and_run(struct run *run, int argc, char **argv, struct err *e)
{
	const struct command *c = NULL;
	int at;

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, argv[1]))
			c = &commands[i];
	if (!c)
		return err_set(e, EINVAL, "jail-image knows import, ls, inspect, rm, gc and check; it is run by jail image");
	run->table = c->table;
	at = opt_parse(c->table, run->o, argc - 1, argv + 1, OPT_PERMUTE, e);
	if (at == OPT_HELP) {
		AUTO_BUF struct buf help = {0};

		opt_help(c->table, &help);
		fwrite(help.p, 1, help.n, stdout);
		return 0;
	}
	if (at < 0)
		return at;
	run->n_words = argc - 1 - at;
	if (run->n_words < c->min_words || run->n_words > c->max_words)
		return err_set(e, EINVAL, "jail-image %s takes %d to %d operands, not %d", c->name, c->min_words, c->max_words,
			run->n_words);
	for (int i = 0; i < run->n_words; i++)
		run->words[i] = argv[1 + at + i];
	return run_command(run, c, e);
}

static void harden(void)
{
	struct rlimit none = {0, 0};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct opts o = {0};
	struct run run = {.o = &o, .store = IMG_STORE_INIT, .out_lock = PTHREAD_MUTEX_INITIALIZER};
	struct err e = {0};
	int r;

	harden();
	r = parse_and_run(&run, argc, argv, &e);
	if (r < 0) {
		AUTO_BUF struct buf line = {0};

		start(&line, "error");
		buf_addf(&line, ",\"code\":%d", e.code);
		add_string(&line, "text", e.text);
		emit(&run, &line);
	}
	if (run.table)
		opt_release(run.table, &o);
	img_platform_release(&run.platform);
	img_store_release(&run.store);
	return r < 0 ? ERR_EXIT_TOOL : 0;
}
