#include "cli/each.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>

#define AUTO_ENV __attribute__((cleanup(jail_env_release)))

bool info_is_up(const struct jail_info *info)
{
	return info->state == JAIL_STARTING || info->state == JAIL_RUNNING ||
	       info->state == JAIL_PAUSED || info->state == JAIL_RESTARTING ||
	       info->state == JAIL_STOPPING;
}

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

static int by_jid(const void *a, const void *b)
{
	const struct jail_info *x = a, *y = b;

	return (x->jid > y->jid) - (x->jid < y->jid);
}

/* In the order in which they were made, which mostly is the order in which they come. */
static void sort(struct jail_info *rows, size_t n)
{
	size_t i = 1;

	while (i < n && rows[i - 1].jid < rows[i].jid)
		i++;
	if (i < n)
		qsort(rows, n, sizeof(*rows), by_jid);
}

static int collect(struct jail_env *env, const char *pattern, struct jail_info **rows, size_t *n,
	size_t *cap, struct err *e)
{
	struct jail_info info;
	uint32_t cursor = 0;
	size_t before = *n;
	int r;

	if (pattern && !is_pattern(pattern)) {
		r = jail_find(env, pattern, &info, e);
		if (r < 0)
			return r;
		*rows = mem_grow(*rows, cap, *n + 1, sizeof(info));
		(*rows)[(*n)++] = info;
		return 0;
	}
	while ((r = jail_next(env, &cursor, &info, e)) > 0) {
		if (pattern && fnmatch(pattern, info.name, 0) != 0)
			continue;
		*rows = mem_grow(*rows, cap, *n + 1, sizeof(info));
		(*rows)[(*n)++] = info;
	}
	if (r < 0)
		return r;
	if (*n > before)
		sort(*rows + before, *n - before);
	else if (pattern)
		return err_set(e, ENOENT, "no jail matches '%s'; see jail ls", pattern);
	return 0;
}

int each_info(struct jail_env *env, int n, char **operands, bool running, struct jail_info **ret,
	size_t *ret_n, struct err *e)
{
	AUTO_FREE struct jail_info *rows = NULL;
	size_t n_rows = 0, cap = 0, kept = 0;
	int r = 0;

	for (int i = 0; i < n && r >= 0; i++)
		r = collect(env, operands[i], &rows, &n_rows, &cap, e);
	if (n == 0)
		r = collect(env, NULL, &rows, &n_rows, &cap, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_rows; i++)
		if (!running || info_is_up(&rows[i]))
			rows[kept++] = rows[i];
	*ret = mem_take(&rows);
	*ret_n = kept;
	return 0;
}

/* The last failure goes to the caller's record when it is the only operand, else to stderr. */
static int one(struct jail_env *env, const char *which, each_fn *fn, void *ctx, bool alone,
	bool *failed, struct err *e)
{
	struct err own = {0};

	if (fn(env, which, ctx, &own) >= 0)
		return 0;
	*failed = true;
	if (alone) {
		*e = own;
		return -own.code;
	}
	cli_warn("%s", own.text);
	return 0;
}

static int names_of(
	struct jail_env *env, int n, char **operands, struct strv *ret, bool *failed, struct err *e)
{
	for (int i = 0; i < n || (n == 0 && i == 0); i++) {
		AUTO_FREE struct jail_info *rows = NULL;
		size_t n_rows = 0, cap = 0;

		if (n && !is_pattern(operands[i])) {
			strv_add(ret, operands[i]);
			continue;
		}
		if (collect(env, n ? operands[i] : NULL, &rows, &n_rows, &cap, e) < 0) {
			if (n <= 1)
				return -e->code;
			cli_warn("%s", e->text);
			*failed = true;
		}
		for (size_t k = 0; k < n_rows; k++)
			strv_add(ret, rows[k].name);
	}
	return 0;
}

int each_of(struct jail_env *env, int n, char **operands, each_fn *fn, void *ctx, struct err *e)
{
	AUTO_STRV struct strv names = {0};
	bool failed = false;
	int r;

	r = names_of(env, n, operands, &names, &failed, e);
	for (size_t i = 0; i < names.n && r >= 0; i++)
		r = one(env, names.v[i], fn, ctx, names.n == 1 && !failed, &failed, e);
	if (r < 0)
		return r;
	return failed ? ERR_EXIT_TOOL : 0;
}

int each_jail(int n, char **operands, each_fn *fn, void *ctx, struct err *e)
{
	AUTO_ENV struct jail_env env = JAIL_ENV_INIT;
	int r = jail_env_open(&env, e);

	return r < 0 ? r : each_of(&env, n, operands, fn, ctx, e);
}
