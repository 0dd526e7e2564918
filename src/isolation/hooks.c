/*
 * The hooks that run in the jail's namespaces (config.md "POSIX-platform Hooks"): the state as
 * JSON on standard input, no environment but the hook's own, its time limit kept.
 */
#include <errno.h>

#include "base/proc.h"
#include "isolation/stages.h"

static int run_one(const struct spec_hook *h, const char *kind, const char *state, struct err *e)
{
	AUTO_BUF struct buf output = {0};
	char *const no_env[] = {NULL};
	char *const only_name[] = {h->path, NULL};
	const struct proc_cmd cmd = {
		.path = h->path,
		.argv = h->args.n ? h->args.v : only_name,
		.envp = h->env.n ? h->env.v : no_env,
		.input = state,
		.output = &output,
		.timeout_ms = h->has_timeout && h->timeout > 0 ? (uint64_t)h->timeout * 1000 : 0,
	};
	int status;

	if (proc_run(&cmd, &status, e) < 0)
		return err_prefix(e, "%s hook", kind);
	if (status != 0) {
		AUTO_FREE char *said = str_visible(output.n ? output.p : "");

		return err_set(e, ECHILD, "%s hook '%s' ended with %d: %.200s", kind, h->path, proc_exit_code(status), said);
	}
	return 0;
}

int hooks_run(const struct spec *spec, enum spec_hook_kind kind, const char *state, struct err *e)
{
	const struct spec_hook_list *list = &spec->hooks.list[kind];

	for (size_t i = 0; i < list->n_items; i++)
		if (run_one(&list->items[i], spec_hook_names[kind], state ? state : "{}", e) < 0)
			return -e->code;
	return 0;
}
