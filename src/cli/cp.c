/*
 * jail cp: exactly one of the two names a jail, as JAIL:PATH.
 */
#include <errno.h>

#include "cli/attached.h"
#include "cli/commands.h"

struct cp_opts {
	bool owners;
	uint64_t timeout_ms;
};

const struct opt cmd_cp_options[] = {
	OPT(struct cp_opts, owners, 'a', "owners", OPT_FLAG, NULL,
		"out of a jail, as root: keep owners as the jail sees them"),
	OPT(struct cp_opts, timeout_ms, 't', "timeout", OPT_DURATION, "DURATION",
		"give up when nothing moves for that long (30s)"),
	OPT_END,
};

/*
 * The ':' of "web:/etc/hosts", or NULL for a path of the host: one with a '/' before the ':',
 * as "./a:b", never names a jail.
 */
static const char *jail_colon(const char *s)
{
	const char *colon = strchr(s, ':'), *slash = strchr(s, '/');

	return colon && colon > s && (!slash || colon < slash) ? colon : NULL;
}

int cmd_cp_run(const struct command *cmd, int argc, char **argv, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	AUTO_FREE char *which = NULL;
	struct cp_opts o = {0};
	struct jail_cp_opts cp;
	const char *from, *to;
	int first = cli_parse(cmd, &o, argc, argv, e);

	if (first < 0)
		return first == CLI_DONE ? 0 : first;
	if (cli_operands(cmd, argc - first, 2, 2, e) < 0)
		return -e->code;
	from = jail_colon(argv[first]);
	to = jail_colon(argv[first + 1]);
	if (!from == !to)
		return err_set(e, EINVAL,
			"cp: one of '%s' and '%s' must be in a jail, as JAIL:PATH, and the other "
			"on the host; a host path with ':' is written './a:b'",
			argv[first], argv[first + 1]);
	cp = (struct jail_cp_opts){
		.in = to != NULL, .owners = o.owners, .timeout_ms = o.timeout_ms};
	cp.jail_path = (to ? to : from) + 1;
	cp.host_path = to ? argv[first] : argv[first + 1];
	which = str_dup_n(to ? argv[first + 1] : argv[first],
		(size_t)(cp.jail_path - 1 - (to ? argv[first + 1] : argv[first])));
	if (cp.jail_path[0] != '/')
		return err_set(e, EINVAL, "cp: path '%s' in jail '%s' must begin with '/'",
			cp.jail_path, which);
	if (jail_env_open(&env, e) < 0)
		return -e->code;
	if (jail_cp(&env, which, &cp, NULL, e) < 0)
		return err_prefix(e, "cannot copy '%s' to '%s'", argv[first], argv[first + 1]);
	return 0;
}
