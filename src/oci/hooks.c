/*
 * The hooks that run in the runtime's namespaces, with the state on their standard input.
 */
#include "isolation/stages.h"
#include "oci/internal.h"

int run_hooks(
	const struct container *c, enum spec_hook_kind kind, enum oci_status status, struct err *e)
{
	AUTO_FREE char *state = NULL;

	if (!c->spec.hooks.list[kind].n_items)
		return 0;
	state = state_for_hooks(c, status, status == OCI_STOPPED ? 0 : c->rec.pid);
	return hooks_run(&c->spec, kind, state, e);
}

void run_poststop_hooks(struct container *c)
{
	const struct spec_hook_list all = c->spec.hooks.list[SPEC_HOOK_POSTSTOP];
	struct spec one = {.hooks = c->spec.hooks};
	AUTO_FREE char *state = NULL;

	if (!all.n_items)
		return;
	state = state_for_hooks(c, OCI_STOPPED, 0);
	/* One by one: the failure of one does not keep the next from running. */
	for (size_t i = 0; i < all.n_items; i++) {
		struct err e = {0};

		one.hooks.list[SPEC_HOOK_POSTSTOP] = (struct spec_hook_list){&all.items[i], 1};
		if (hooks_run(&one, SPEC_HOOK_POSTSTOP, state, &e) < 0)
			strv_add(&c->o->warnings, e.text);
	}
}
