/*
 * jail events: what is kept of what happened, then, with --follow, what happens.
 */
#include <errno.h>

#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/table.h"
#include "cli/when.h"

struct events_opts {
	bool follow, only_new;
	uint64_t since_ms;
	bool has_since_ms;
	int format;
};

const struct opt cmd_events_options[] = {
	OPT(struct events_opts, follow, 'f', "follow", OPT_FLAG, NULL,
		"go on with what happens, until interrupted"),
	OPT(struct events_opts, only_new, 0, "new", OPT_FLAG, NULL,
		"with --follow: leave out what has happened"),
	OPT_HAS(struct events_opts, since_ms, 's', "since", OPT_DURATION, "DURATION",
		"only what is not older, as 10m"),
	OPT_FORMAT(struct events_opts),
	OPT_END,
};

struct event_row {
	const char *name, *event, *detail;
	uint64_t time_ms;
	uint32_t jid;
	int32_t value;
};
static const struct column columns[] = {
	COLUMN(struct event_row, time_ms, NULL, "time_ms", COL_U64),
	COLUMN(struct event_row, event, NULL, "event", COL_STR),
	COLUMN(struct event_row, name, NULL, "name", COL_STR),
	COLUMN(struct event_row, jid, NULL, "jid", COL_U32),
	COLUMN(struct event_row, value, NULL, "value", COL_I32),
	COLUMN(struct event_row, detail, NULL, "detail", COL_STR),
	COLUMN_END,
};

static bool has_value(int kind)
{
	return kind == JAIL_EV_EXIT || kind == JAIL_EV_KILL;
}

static void add_event(struct buf *b, const struct jail_event *ev, const struct events_opts *o)
{
	AUTO_FREE char *name = str_visible(ev->name), *detail = str_visible(ev->detail);
	const struct event_row row = {
		ev->name, jail_event_name(ev->kind), ev->detail, ev->time_ms, ev->jid, ev->value};

	if (o->format == FORMAT_JSON) {
		table_add_object(columns, &row, b);
		buf_adds(b, "\n");
		return;
	}
	when_add(b, ev->time_ms);
	buf_addf(b, "  %-8s  %s", row.event, name);
	if (has_value(ev->kind))
		buf_addf(b, "  %d", ev->value);
	buf_addf(b, "%s%s\n", *detail ? "  " : "", detail);
}

static bool wanted(const struct jail_event *ev, int n, char **names)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(ev->name, names[i]))
			return true;
	return n == 0;
}

static int show(
	struct jail_env *env, const struct events_opts *o, int n, char **names, struct err *e)
{
	uint64_t now = when_now_ms();
	uint64_t cursor = o->follow && o->only_new ? JAIL_EVENTS_NOW : 0;
	uint64_t oldest = o->has_since_ms && o->since_ms < now ? now - o->since_ms : 0;
	struct jail_event ev;
	int r;

	while ((r = jail_event_next(env, &cursor, o->follow ? UINT64_MAX : 0, &ev, e)) > 0) {
		AUTO_BUF struct buf b = {0};

		if (ev.time_ms < oldest || !wanted(&ev, n, names))
			continue;
		add_event(&b, &ev, o);
		r = cli_print(&b, e);
		if (r < 0)
			return r;
	}
	return r;
}

int cmd_events_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	struct events_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (jail_env_open(&env, e) < 0)
		return -e->code;
	return show(&env, &o, argc - first, argv + first, e);
}
