/*
 * jail inspect: for people what matters, in lines; for programs everything.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/when.h"

struct inspect_opts {
	int format;
};

const struct opt cmd_inspect_options[] = {
	OPT_FORMAT(struct inspect_opts),
	OPT_END,
};

static void line(struct buf *b, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(struct buf *b, const char *key, const char *fmt, ...)
{
	AUTO_FREE char *shown = NULL;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	shown = str_visible(text);
	buf_addf(b, "%-14s%s\n", key, shown);
}

static void add_time(struct buf *b, const char *key, uint64_t ms)
{
	if (!ms)
		return;
	buf_addf(b, "%-14s", key);
	when_add(b, ms);
	buf_adds(b, "\n");
}

static void add_state(struct buf *b, const struct jail_info *info)
{
	line(b, "name", "%s", info->name);
	line(b, "jid", "%u", info->jid);
	if (info->state == JAIL_STOPPED)
		line(b, "state", "%s, exit status %d", jail_state_name(info->state),
			info->exit_code);
	else
		line(b, "state", "%s", jail_state_name(info->state));
	if (info->init_pid > 0)
		line(b, "processes", "init %d, supervisor %d", info->init_pid,
			info->supervisor_pid);
	line(b, "isolation", "%s", jail_tier_name(info->tier));
	if (info->id_count)
		line(b, "host ids", "%u to %u", info->id_base, info->id_base + info->id_count - 1);
	if (info->restarts)
		line(b, "restarts", "%u", info->restarts);
	add_time(b, "created", info->created_ms);
	add_time(b, "started", info->started_ms);
	add_time(b, "stopped", info->stopped_ms);
}

static void add_words(struct buf *b, const char *key, const struct strv *sv)
{
	AUTO_BUF struct buf all = {0};

	for (size_t i = 0; i < sv->n; i++)
		buf_addf(&all, "%s%s", i ? " " : "", sv->v[i]);
	if (all.n)
		line(b, key, "%s", all.p);
}

static void add_definition(struct buf *b, const struct jail_def *def)
{
	static const char *const kinds[] = {"the host's own tree", "directory", "image"};

	line(b, "root", "%s%s%s%s", kinds[def->root.kind], def->root.path ? " " : "",
		def->root.path ? def->root.path : "",
		def->root.rw ? ", written in place" : ", with a private writable layer");
	if (def->root.work)
		line(b, "work folder", "%s", def->root.work);
	for (size_t i = 0; i < def->n_volumes; i++)
		line(b, "volume", "%s on %s%s", def->volumes[i].source, def->volumes[i].destination,
			def->volumes[i].ro ? ", read-only" : "");
	add_words(b, "program", &def->args);
	if (def->user)
		line(b, "user", "%s", def->user);
	if (def->cwd)
		line(b, "folder", "%s", def->cwd);
	line(b, "network", "%s", def->net == JAIL_NET_HOST ? "host" : "none");
}

static const char *limit_text(uint64_t v, bool given, char text[static 24])
{
	return given ? print_size(v, text) : "default";
}

static void add_limits(struct buf *b, const struct jail_limits *l)
{
	char memory[24], swap[24];

	line(b, "memory", "%s, swap %s", limit_text(l->memory_bytes, l->has_memory_bytes, memory),
		limit_text(l->swap_bytes, l->has_swap_bytes, swap));
	if (l->has_pids && l->pids != UINT64_MAX)
		line(b, "pids", "%llu", (unsigned long long)l->pids);
	else
		line(b, "pids", "%s", l->has_pids ? "max" : "default");
	if (l->has_cpu_milli && l->cpu_milli != UINT64_MAX)
		line(b, "cpu", "%llu.%03llu", (unsigned long long)l->cpu_milli / 1000,
			(unsigned long long)l->cpu_milli % 1000);
}

static void add_widenings(struct buf *b, const struct jail_def *def, const struct jail_info *info)
{
	AUTO_STRV struct strv wider = {0};

	jail_def_widenings(def, &wider);
	if (!wider.n)
		line(b, "wider", "nothing: it may do no more than the default");
	for (size_t i = 0; i < wider.n; i++)
		line(b, "wider", "%s", wider.v[i]);
	if (info->soft_limits)
		line(b, "soft limits",
			"some limits do not hold here; --format json and jail doctor "
			"tell which and why");
}

static int show(struct jail_env *env, const char *which, struct buf *b, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct jail_info info;
	int r = jail_find(env, which, &info, e);

	if (r < 0)
		return r;
	add_state(b, &info);
	r = jail_definition(env, which, &def, e);
	if (r >= 0) {
		add_definition(b, &def);
		add_limits(b, &def.limits);
		add_widenings(b, &def, &info);
	}
	jail_def_release(&def);
	return r;
}

int cmd_inspect_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_FREE char *json = NULL;
	AUTO_BUF struct buf b = {0};
	struct inspect_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e), r;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, 1, e) < 0 || jail_env_open(&env, e) < 0)
		return -e->code;
	if (o.format == FORMAT_JSON) {
		r = jail_inspect(&env, argv[first], &json, e);
		if (r >= 0)
			buf_addf(&b, "%s\n", json);
	} else {
		r = show(&env, argv[first], &b, e);
	}
	return r < 0 ? r : cli_print(&b, e);
}
