/*
 * jail logs: the program's lines, its two streams on ours.  What a jail wrote is hostile: for
 * people all but printable text and tabs is made visible, --raw gives the bytes.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/when.h"

struct logs_opts {
	bool follow, raw, times;
	uint64_t tail, since_ms;
	bool has_tail, has_since_ms;
	int format;
};

const struct opt cmd_logs_options[] = {
	OPT(struct logs_opts, follow, 'f', "follow", OPT_FLAG, NULL,
		"go on with what comes, until the jail has stopped"),
	OPT_HAS(struct logs_opts, tail, 'n', "tail", OPT_UINT, "N", "the last N lines only"),
	OPT_HAS(struct logs_opts, since_ms, 's', "since", OPT_DURATION, "DURATION",
		"only what is not older, as 10m"),
	OPT(struct logs_opts, times, 't', "times", OPT_FLAG, NULL, "the time before each line"),
	OPT(struct logs_opts, raw, 0, "raw", OPT_FLAG, NULL,
		"the bytes as they were written, escapes included"),
	OPT_FORMAT(struct logs_opts),
	OPT_END,
};

static void add_visible(struct buf *b, const char *text, size_t n)
{
	while (n > 0) {
		const char *end = memchr(text, '\t', n);
		size_t part = end ? (size_t)(end - text) : n;
		AUTO_FREE char *piece = str_dup_n(text, part);
		size_t seen = strlen(piece);
		AUTO_FREE char *shown = str_visible(piece);

		buf_adds(b, shown);
		if (seen < part) { /* a NUL byte, which str_visible cannot see */
			buf_adds(b, "\\x00");
			part = seen + 1;
		} else if (end) {
			buf_adds(b, "\t");
			part++;
		}
		text += part;
		n -= part;
	}
}

static void add_json(struct buf *b, const struct jail_log_line *l)
{
	AUTO_BUF struct buf text = {0};

	add_visible(&text, l->text, l->n);
	buf_addf(b, "{\"time_ns\": %llu, \"stream\": \"%s\", \"partial\": %s, \"text\": ",
		(unsigned long long)l->time_ns, l->is_stderr ? "stderr" : "stdout",
		l->partial ? "true" : "false");
	json_add_string(b, text.n ? text.p : "");
	buf_adds(b, "}\n");
}

static void add_line(
	struct buf *b, const struct jail_log_line *l, const struct logs_opts *o, bool goes_on)
{
	if (o->times && !goes_on) {
		when_add(b, l->time_ns / 1000000);
		buf_adds(b, " ");
	}
	if (o->raw)
		buf_add(b, l->text, l->n);
	else
		add_visible(b, l->text, l->n);
	if (!l->partial)
		buf_adds(b, "\n");
}

static int put(const struct buf *b, int fd, struct err *e)
{
	int r = b->n ? fd_write_full(fd, b->p, b->n) : 0;

	if (r == 0)
		return 0;
	errno = -r;
	return err_sys(e, "cannot write the log to descriptor %d", fd);
}

static int show(struct jail_logs *logs, const struct logs_opts *o, struct err *e)
{
	bool goes_on[2] = {false, false};
	struct jail_log_line l;
	int r;

	while ((r = jail_logs_next(logs, &l, e)) > 0) {
		AUTO_BUF struct buf b = {0};

		if (o->format == FORMAT_JSON)
			add_json(&b, &l);
		else
			add_line(&b, &l, o, goes_on[l.is_stderr]);
		goes_on[l.is_stderr] = l.partial;
		r = put(&b, o->format != FORMAT_JSON && l.is_stderr ? STDERR_FILENO : STDOUT_FILENO,
			e);
		if (r < 0)
			return r;
	}
	return r;
}

int cmd_logs_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	struct logs_opts o = {.tail = UINT64_MAX};
	struct jail_logs_opts lo;
	struct jail_logs *logs = NULL;
	int first = cli_parse(cmd, &o, argc, argv, e), r;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, 1, e) < 0)
		return -e->code;
	lo = (struct jail_logs_opts){.follow = o.follow, .tail = o.tail};
	if (o.has_since_ms)
		lo.since_ms = o.since_ms < when_now_ms() ? when_now_ms() - o.since_ms : 0;
	if (jail_env_open(&env, e) < 0 || jail_logs_open(&env, argv[first], &lo, &logs, e) < 0)
		return -e->code;
	r = show(logs, &o, e);
	jail_logs_free(logs);
	return r < 0 ? r : 0;
}
