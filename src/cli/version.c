#include "cli/commands.h"
#include "cli/table.h"

struct version_opts {
	int format;
};

const struct opt cmd_version_options[] = {
	OPT_FORMAT(struct version_opts),
	OPT_END,
};

struct version_row {
	const char *version, *oci_version, *compiler;
};
static const struct column columns[] = {
	COLUMN(struct version_row, version, NULL, "version", COL_STR),
	COLUMN(struct version_row, oci_version, NULL, "oci_version", COL_STR),
	COLUMN(struct version_row, compiler, NULL, "compiler", COL_STR),
	COLUMN_END,
};

int cmd_version_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	static const struct version_row row = {JAIL_VERSION, "1.3.0", __VERSION__};
	AUTO_BUF struct buf b = {0};
	struct version_opts o = {0};
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 0, 0, e) < 0)
		return -e->code;
	if (o.format == FORMAT_JSON)
		table_add_object(columns, &row, &b);
	else
		buf_addf(&b, "jail %s (OCI runtime-spec %s)", row.version, row.oci_version);
	buf_adds(&b, "\n");
	return cli_print(&b, e);
}
