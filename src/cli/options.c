#include "cli/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/path.h"

const char *const options_net_names[] = {"none", "host", NULL};
const char *const options_tier_names[] = {"jail", "auto", "vm", NULL};
const char *const options_sys_names[] = {"none", "ro", NULL};

static void *target(const struct opt *opt, void *opts)
{
	return (char *)opts + opt->offset;
}

static int absolute(const char *path, char **ret, struct err *e)
{
	char cwd[PATH_MAX];
	AUTO_FREE char *joined = NULL;

	if (path[0] == '/') {
		*ret = path_clean(path);
		return 0;
	}
	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(
			e, "cannot tell the current folder, against which '%s' is meant", path);
	joined = str_fmt("%s/%s", cwd, path);
	*ret = path_clean(joined);
	return 0;
}

int options_set_host(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	struct jail_def *def = target(opt, opts);

	(void)value;
	(void)e;
	def->root.kind = JAIL_ROOT_HOST;
	def->root.rw = false;
	str_set(&def->root.path, NULL);
	return 0;
}

int options_set_root(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_set_root(target(opt, opts), value, e);
}

int options_set_work(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	struct jail_def *def = target(opt, opts);
	char *path;

	/* "none" is kept as "" until options_default_work or options_finish has seen it. */
	if (!strcmp(value, "none")) {
		str_set(&def->root.work, "");
		return 0;
	}
	if (absolute(value, &path, e) < 0)
		return -e->code;
	free(def->root.work);
	def->root.work = path;
	return 0;
}

int options_set_volume(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_add_volume(target(opt, opts), value, e);
}

int options_set_tmpfs(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_add_tmpfs(target(opt, opts), value, e);
}

int options_set_device(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_add_device(target(opt, opts), value, e);
}

int options_set_log(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_set_log(target(opt, opts), value, e);
}

int options_set_restart(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_def_set_restart(target(opt, opts), value, e);
}

int options_set_label(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	struct jail_def *def = target(opt, opts);
	const char *eq = strchr(value, '=');
	AUTO_FREE char *key = eq ? str_dup_n(value, (size_t)(eq - value)) : NULL;

	if (!key || !*key)
		return err_set(e, EINVAL, "'%.80s' is no label: KEY=VALUE is wanted", value);
	strmap_set(&def->labels, key, eq + 1);
	return 0;
}

int options_set_rlimit(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_limits_add_rlimit(target(opt, opts), value, e);
}

int options_set_io(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	return jail_limits_add_io(target(opt, opts), opt->name, value, e);
}

int options_set_env(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	const char *eq = strchr(value, '='), *own;
	AUTO_FREE char *name = eq ? str_dup_n(value, (size_t)(eq - value)) : str_dup(value);

	if (!*name)
		return err_set(e, EINVAL, "'%.80s' has no name: NAME=VALUE is wanted", value);
	own = eq ? eq + 1 : getenv(name);
	if (!own)
		return err_set(
			e, ENOENT, "variable '%.80s' is not set here; give NAME=VALUE", name);
	strv_setenv(target(opt, opts), name, own);
	return 0;
}

int options_set_signal(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	int sig;
	int r = parse_signal(value, &sig, e);

	if (r < 0)
		return r;
	*(int32_t *)target(opt, opts) = sig;
	return 0;
}

static bool is_max(const char *value)
{
	return !strcmp(value, "max") || !strcmp(value, "unlimited");
}

int options_set_count(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	uint64_t *at = target(opt, opts);

	if (is_max(value))
		*at = UINT64_MAX;
	else
		return parse_u64(value, 1, INT64_MAX, at, e);
	return 0;
}

int options_set_milli(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	uint64_t *at = target(opt, opts);

	if (is_max(value))
		*at = UINT64_MAX;
	else
		return parse_milli(value, at, e);
	return 0;
}

int options_set_duration(const struct opt *opt, void *opts, const char *value, struct err *e)
{
	uint64_t *at = target(opt, opts);

	if (is_max(value))
		*at = UINT64_MAX;
	else
		return parse_duration_ms(value, at, e);
	return 0;
}

int options_finish(struct jail_def *def, struct err *e)
{
	const char *term = getenv("TERM");
	char *path;

	if (def->root.work && !*def->root.work)
		str_set(&def->root.work, NULL);
	if (def->seccomp && strchr(def->seccomp, '/') && def->seccomp[0] != '/') {
		if (absolute(def->seccomp, &path, e) < 0)
			return -e->code;
		free(def->seccomp);
		def->seccomp = path;
	}
	if (def->terminal && term && *term && strlen(term) < 64 && !strv_getenv(&def->env, "TERM"))
		strv_setenv(&def->env, "TERM", term);
	return 0;
}

int options_default_work(struct jail_def *def, struct err *e)
{
	const char *home = getenv("HOME");
	AUTO_FREE char *clean_home = home && home[0] == '/' ? path_clean(home) : NULL;
	char cwd[PATH_MAX];

	if (def->root.kind != JAIL_ROOT_HOST || def->root.work)
		return 0;
	if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
		return err_sys(
			e, "cannot tell the current folder, which would be shown in the jail");
	if (!strcmp(cwd, "/") || (clean_home && path_is_below(clean_home, cwd))) {
		cli_warn("'%s' holds more than one project, so it is not shown in the jail; "
			 "--work DIR shows a folder",
			cwd);
		return 0;
	}
	str_set(&def->root.work, cwd);
	return 0;
}
