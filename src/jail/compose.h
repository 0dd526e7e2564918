/*
 * A definition becomes a runtime-spec, in memory: the default posture of SECURITY.md, widened
 * by exactly what the definition says.
 *
 *	struct composed c = {0};
 *	r = compose(env, "web", &def, run_path, &c, e);
 *	... c.opts is ready for iso_create but for cgroup and stdio ...
 *	composed_release(&c);
 */
#ifndef JAIL_JAIL_COMPOSE_H
#define JAIL_JAIL_COMPOSE_H

#include "isolation/isolation.h"
#include "jail/jail.h"
#include "spec/spec.h"

enum { COMPOSED_FILES = 2 };

struct composed {
	struct spec spec;
	struct spec_resources *resources; /* = spec.linux.resources */
	struct iso_filter filter;
	bool has_filter;
	struct iso_overlay overlay;
	struct iso_opts opts; /* points into this struct: do not move it */
	char *root, *layer; /* owned; what opts points to */
	char *texts[COMPOSED_FILES]; /* owned */
	struct iso_file files[COMPOSED_FILES];
};

/* run_path: the jail's folder of running state, which holds generated files.  layer_path: the
 * host directory for changes that last, or NULL: they go with the jail. */
int compose(const struct jail_env *env, const char *name, const struct jail_def *def,
	const char *run_path, const char *layer_path, struct composed *ret, struct err *e)
	__attribute__((nonnull(1, 2, 3, 4, 6, 7)));
void composed_release(struct composed *c) __attribute__((nonnull));

/* Limits as a spec has them, defaults filled in when `defaults`; for start, set and inspect. */
int compose_limits(const struct jail_limits *l, bool defaults, struct spec_resources *ret,
	struct err *e) __attribute__((nonnull));

/*
 * compose_host.c: the host's own tree.  For plain users *ret_root, owned, is replaced by a tree
 * of mount points in run_path.
 */
int compose_host_root(const struct jail_env *env, const struct jail_def *def, const char *run_path,
	struct spec *spec, char **ret_root, struct err *e) __attribute__((nonnull));
/* compose_proc.c: masks everything at the top of procfs that is not on the allow list. */
int compose_proc(struct spec *spec, struct err *e) __attribute__((nonnull));
/* ids.c: how a plain user's ids are mapped; *ret_root says whether id 0 exists inside. */
void ids_user_map(struct spec *spec, uint32_t uid, uint32_t gid, bool *ret_root)
	__attribute__((nonnull));
/* Writes the maps of a child in a new user namespace, with newuidmap; plain users only. */
int ids_write_maps(pid_t pid, const struct spec_linux *l, struct err *e) __attribute__((nonnull));

#endif
