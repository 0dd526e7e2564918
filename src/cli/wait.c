#include "cli/attached.h"
#include "cli/commands.h"
#include "cli/table.h"

struct wait_opts {
	uint64_t timeout_ms;
	int format;
};

const struct opt cmd_wait_options[] = {
	OPT(struct wait_opts, timeout_ms, 't', "timeout", OPT_DURATION, "DURATION",
		"give up after that long, with status 125 (never)"),
	OPT_FORMAT(struct wait_opts),
	OPT_END,
};

struct wait_row {
	const char *name;
	int32_t exit_code;
};
static const struct column columns[] = {
	COLUMN(struct wait_row, name, NULL, "name", COL_STR),
	COLUMN(struct wait_row, exit_code, NULL, "exit_code", COL_I32),
	COLUMN_END,
};

int cmd_wait_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_BUF struct buf b = {0};
	struct wait_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e), code = 0;
	struct wait_row row;

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 1, 1, e) < 0 || jail_env_open(&env, e) < 0 ||
		jail_wait(&env, argv[first], o.timeout_ms, &code, e) < 0)
		return -e->code;
	if (o.format != FORMAT_JSON)
		return code;
	row = (struct wait_row){argv[first], code};
	table_add_object(columns, &row, &b);
	buf_adds(&b, "\n");
	return cli_print(&b, e) < 0 ? -e->code : code;
}
