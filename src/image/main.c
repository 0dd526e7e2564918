/*
 * jail-image: the worker that parses what strangers wrote.  The product runs it confined, with
 * the store, the sources and, for registries, the network as all it can reach.
 *
 *	jail-image COMMAND --store DIR [options] [operands]
 *
 * Standard output is one JSON object per line: {"event": "layer" | "resolve" | "image" | ... |
 * "error"}.  Exit: 0, or 125 with an error line last.  Standard error is for the sanitizers.
 *
 * Privilege: owner of the store.  CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE and CAP_SETFCAP where
 *layers keep their owners; nothing else.  No new privileges, no core dumps, no set-user-id
 *programs.
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
#include "image/conf.h"
#include "image/ops.h"
#include "image/pack.h"
#include "image/registry.h"

struct opts {
	char *store, *platform, *name, *tag;
	int kind, sync;
	bool replace, repair, quiet;
	uint64_t max_layer_bytes;
	struct strv cmd, entrypoint, env, labels;
	char *user, *working_dir, *base;
	uint64_t id_base, id_count;
	char *variant;
	struct strv include, mirrors;
	char *authfile, *creds_file, *cert_dir, *conf;
	bool insecure;
};

static const char *const kind_words[] = {"auto", "oci", "docker", "root", NULL};
enum { SYNC_LATER, SYNC_NOW, SYNC_NEVER };
static const char *const sync_words[] = {"later", "now", "never", NULL};

#define STORE_OPTS                                                                                 \
	OPT(struct opts, store, 0, "store", OPT_STRING, "DIR", "the image store"),                 \
		OPT(struct opts, sync, 0, "sync", OPT_CHOICE, "WHEN",                              \
			"bring the store to the disk: later (after answering), now, never",        \
			.choices = sync_words)

#define REGISTRY_OPTS                                                                              \
	OPT(struct opts, authfile, 0, "authfile", OPT_STRING, "FILE",                              \
		"credentials as in auth.json"),                                                    \
		OPT(struct opts, creds_file, 0, "creds-file", OPT_STRING, "FILE",                  \
			"a file that holds USER:PASSWORD"),                                        \
		OPT(struct opts, cert_dir, 0, "cert-dir", OPT_STRING, "DIR",                       \
			"*.crt, *.cert and *.key for this registry"),                              \
		OPT(struct opts, conf, 0, "registries-conf", OPT_STRING, "FILE",                   \
			"short names, mirrors, what is blocked"),                                  \
		OPT(struct opts, insecure, 0, "insecure", OPT_FLAG, NULL,                          \
			"do not verify TLS, or do without"),                                       \
		OPT(struct opts, quiet, 'q', "quiet", OPT_FLAG, NULL, "no progress")

#define CONFIG_OPTS                                                                                \
	OPT_HEADING("What the image says"),                                                        \
		OPT(struct opts, cmd, 0, "cmd", OPT_LIST, "WORD", "command, one word each time"),  \
		OPT(struct opts, entrypoint, 0, "entrypoint", OPT_LIST, "WORD", "entrypoint"),     \
		OPT(struct opts, env, 'e', "env", OPT_LIST, "NAME=VALUE", "variable"),             \
		OPT(struct opts, labels, 0, "label", OPT_LIST, "KEY=VALUE", "label"),              \
		OPT(struct opts, user, 'u', "user", OPT_STRING, "USER", "user"),                   \
		OPT(struct opts, working_dir, 'w', "workdir", OPT_STRING, "DIR",                   \
			"working directory")

static const struct opt pull_table[] = {
	STORE_OPTS,
	REGISTRY_OPTS,
	OPT(struct opts, platform, 0, "platform", OPT_STRING, "OS/ARCH",
		"other than this machine's"),
	OPT(struct opts, max_layer_bytes, 0, "max-layer-size", OPT_SIZE, "SIZE",
		"refuse layers that unpack to more"),
	OPT_END,
};
static const struct opt push_table[] = {
	STORE_OPTS,
	REGISTRY_OPTS,
	OPT_END,
};
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
	CONFIG_OPTS,
	OPT_END,
};
static const struct opt bootstrap_table[] = {
	STORE_OPTS,
	OPT(struct opts, name, 0, "name", OPT_STRING, "NAME", "name the image"),
	OPT(struct opts, variant, 0, "variant", OPT_STRING, "VARIANT",
		"of mmdebstrap: minbase, apt, essential ..."),
	OPT(struct opts, include, 0, "include", OPT_LIST, "PACKAGE", "one more package"),
	OPT(struct opts, mirrors, 0, "mirror", OPT_LIST, "MIRROR",
		"a mirror or a line of sources.list"),
	OPT(struct opts, replace, 0, "replace", OPT_FLAG, NULL, "let it take an existing name"),
	CONFIG_OPTS,
	OPT_END,
};
static const struct opt commit_table[] = {
	STORE_OPTS,
	OPT(struct opts, base, 0, "base", OPT_STRING, "IMAGE", "the image whose changes DIR holds"),
	OPT(struct opts, id_base, 0, "id-base", OPT_UINT, "ID",
		"the id on the disk that is the image's 0"),
	OPT(struct opts, id_count, 0, "id-count", OPT_UINT, "N", "how many ids from there on"),
	OPT(struct opts, replace, 0, "replace", OPT_FLAG, NULL, "let it take an existing name"),
	CONFIG_OPTS,
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
	soon = ev->done_bytes &&
	       (now.tv_sec - run->last.tv_sec) * 1000000000ll + now.tv_nsec - run->last.tv_nsec <
		       50000000;
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

static int check_pairs(const struct strv *pairs, const char *what, struct err *e)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (!strchr(pairs->v[i], '=') || pairs->v[i][0] == '=')
			return err_set(
				e, EINVAL, "--%s '%.100s' is not NAME=VALUE", what, pairs->v[i]);
	return 0;
}

/* The configuration that the options describe. */
static int make_config(const struct run *run, struct img_config *ret, struct err *e)
{
	const struct opts *o = run->o;

	if (check_pairs(&o->env, "env", e) < 0 || check_pairs(&o->labels, "label", e) < 0)
		return -e->code;
	*ret = (struct img_config){.architecture = str_dup(run->platform.architecture),
		.os = str_dup(run->platform.os),
		.variant = str_dup(run->platform.variant),
		.user = str_dup(o->user),
		.working_dir = str_dup(o->working_dir)};
	strv_copy(&ret->cmd, &o->cmd);
	strv_copy(&ret->entrypoint, &o->entrypoint);
	strv_copy(&ret->env, &o->env);
	strv_copy(&ret->labels, &o->labels);
	return 0;
}

static int cmd_commit(struct run *run, struct err *e)
{
	struct img_pack_opts po = {.upper = run->o->base,
		.id_base = (uint32_t)run->o->id_base,
		.id_count = (uint32_t)run->o->id_count};
	AUTO_FD int fd = open(run->words[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_IMG_REF struct img_ref ref = {0};
	AUTO_FREE char *name = NULL;
	struct img_config config = {0};
	struct img_name n = {0};
	int r = fd < 0 ? err_sys(e, "cannot open '%s'", run->words[0])
		       : img_ref_parse(run->words[1], &ref, e);

	if (r >= 0 && !ref.registry)
		img_ref_qualify(&ref, "localhost");
	if (r >= 0)
		r = make_config(run, &config, e);
	if (r >= 0) {
		name = img_ref_print(&ref);
		r = img_commit(&run->job, run->o->base, fd, &po, &config, name, &n, e);
	}
	if (r >= 0)
		emit_name(run, "image", &n);
	img_name_release(&n);
	img_config_release(&config);
	return r;
}

static int cmd_bootstrap(struct run *run, struct err *e)
{
	struct img_bootstrap b = {.what = run->words[0],
		.variant = run->o->variant,
		.include = run->o->include,
		.mirrors = run->o->mirrors};
	AUTO_IMG_NAMES struct img_names names = {0};
	struct img_config config = {0};
	int r;

	if (make_config(run, &config, e) < 0)
		return -e->code;
	r = img_bootstrap(&run->job, &b, run->o->name, &config, &names, e);
	for (size_t i = 0; i < names.n && r >= 0; i++)
		emit_name(run, "image", &names.v[i]);
	img_config_release(&config);
	return r;
}

/* export IMAGE FILE: the file must not exist; "-" is standard output's neighbour, descriptor 3. */
static int cmd_export(struct run *run, struct err *e)
{
	bool passed = !strcmp(run->words[1], "-");
	AUTO_FD int fd =
		passed ? fcntl(3, F_DUPFD_CLOEXEC, 4)
		       : open(run->words[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	AUTO_BUF struct buf line = {0};
	int r;

	if (fd < 0)
		return err_sys(e, "cannot make '%s'", passed ? "descriptor 3" : run->words[1]);
	r = img_export(&run->job, run->words[0], fd, e);
	if (r < 0 && !passed)
		unlink(run->words[1]);
	if (r < 0)
		return r;
	start(&line, "exported");
	add_string(&line, "name", run->words[0]);
	emit(run, &line);
	return 0;
}

static int cmd_import(struct run *run, struct err *e)
{
	AUTO_IMG_NAMES struct img_names names = {0};
	struct img_config config = {0};
	AUTO_FD int fd = open(run->words[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (make_config(run, &config, e) < 0)
		return -e->code;
	r = fd < 0 ? err_sys(e, "cannot open '%s'", run->words[0])
		   : img_import(&run->job, fd, (enum img_import_kind)run->o->kind, run->o->tag,
			     run->o->name, &config, &names, e);
	for (size_t i = 0; i < names.n && r >= 0; i++)
		emit_name(run, "image", &names.v[i]);
	img_config_release(&config);
	return r;
}

static struct img_registry_opts registry_opts(const struct opts *o)
{
	return (struct img_registry_opts){.authfile = o->authfile,
		.creds_file = o->creds_file,
		.certs_dir = o->cert_dir,
		.conf = o->conf,
		.insecure = o->insecure};
}

static int pull_one(struct run *run, const char *name, struct err *e)
{
	struct img_registry_opts ro = registry_opts(run->o);
	AUTO_IMG_SOURCE struct img_source src = {0};
	AUTO_IMG_REF struct img_ref ref = {0};
	struct img_name got = {0};

	run->job.replace = true; /* the registry says what its names stand for */
	if (img_ref_parse(name, &ref, e) < 0 || img_source_registry(&ref, &ro, &src, e) < 0 ||
		img_pull(&run->job, &src, name, ref.has_digest ? &ref.digest : NULL, &got, e) < 0)
		return -e->code;
	emit_name(run, "image", &got);
	img_name_release(&got);
	return 0;
}

/* A short name may mean several: the first registry that has it. */
static int cmd_pull(struct run *run, struct err *e)
{
	struct img_conf conf = {0};
	AUTO_STRV struct strv names = {0};
	AUTO_IMG_REF struct img_ref ref = {0};
	int r = img_ref_parse(run->words[0], &ref, e);

	if (r >= 0 && ref.registry) {
		strv_take(&names, img_ref_print(&ref));
	} else if (r >= 0) {
		r = img_conf_load(run->o->conf, &conf, e);
		if (r >= 0)
			r = img_conf_short(&conf, &ref, &names, e);
	}
	img_conf_release(&conf);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.n; i++) {
		r = pull_one(run, names.v[i], e);
		if (r != -ENOENT && r != -EACCES && r != -EHOSTUNREACH)
			return r;
		err_prefix(e, "cannot pull '%s'", names.v[i]);
	}
	return r;
}

/* push IMAGE [AS]: the image of the store, under its own name or another. */
static int cmd_push(struct run *run, struct err *e)
{
	struct img_registry_opts ro = registry_opts(run->o);
	AUTO_IMG_REF struct img_ref ref = {0};
	struct img_name n = {0};
	int r = img_name_find(&run->store, run->words[0], &n, e);

	if (r >= 0)
		r = img_ref_parse(run->n_words > 1 ? run->words[1] : n.name, &ref, e);
	if (r >= 0 && !ref.registry)
		img_ref_qualify(&ref, IMG_DEFAULT_REGISTRY);
	if (r >= 0)
		r = img_push(&run->job, &n.manifest, &ref, &ro, e);
	if (r >= 0) {
		AUTO_BUF struct buf line = {0};
		AUTO_FREE char *name = img_ref_print(&ref);

		start(&line, "pushed");
		add_string(&line, "name", name);
		add_digest(&line, "digest", &n.manifest);
		emit(run, &line);
	}
	img_name_release(&n);
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
		return err_set(e, EUCLEAN,
			"the image store has %d faults; --repair removes what is broken", r);
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
	{"pull", cmd_pull, pull_table, 1, 1, true},
	{"push", cmd_push, push_table, 1, 2, false},
	{"import", cmd_import, import_table, 1, 1, true},
	{"bootstrap", cmd_bootstrap, bootstrap_table, 1, 1, true},
	{"commit", cmd_commit, commit_table, 2, 2, true},
	{"export", cmd_export, store_table, 2, 2, false},
	{"ls", cmd_ls, store_table, 0, 0, true},
	{"inspect", cmd_inspect, store_table, 1, 1, false},
	{"rm", cmd_rm, store_table, 1, 8, false},
	{"gc", cmd_gc, store_table, 0, 0, false},
	{"check", cmd_check, check_table, 0, 0, false},
};

/* Whoever runs alone tidies up after those who were killed; then all work side by side. */
static int enter_store(struct run *run, struct err *e)
{
	struct err ignored;

	if (img_store_lock(&run->store, IMG_LOCK_TRY, &ignored) >= 0 &&
		img_tmp_sweep(&run->store, e) < 0)
		return -e->code;
	return img_store_lock(&run->store, IMG_LOCK_SHARED, e);
}

/*
 * Durability after the answer.  A process that is killed here loses nothing: the records in
 * unsynced/ stay, and the next command of this boot brings them to the disk.
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
		img_store_open(run->o->store, c->create ? IMG_STORE_CREATE : 0, &run->store, e) <
			0 ||
		enter_store(run, e) < 0)
		return -e->code;
	run->job = (struct img_job){.store = &run->store,
		.report = report,
		.ctx = run,
		.platform = &run->platform,
		.max_layer_bytes = run->o->max_layer_bytes,
		.replace = run->o->replace};
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
		return err_set(e, EINVAL,
			"jail-image knows pull, push, import, bootstrap, commit, export, ls, "
			"inspect, rm, gc and check; it is run by jail image");
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
		return err_set(e, EINVAL, "jail-image %s takes %d to %d operands, not %d", c->name,
			c->min_words, c->max_words, run->n_words);
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
