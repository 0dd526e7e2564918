/*
 * Mount options of the runtime-spec as typed values (config.md "Linux mount options").
 *
 *	struct mount_opts o;
 *	r = mount_opts_parse(m, &o, e);
 *	...
 *	mount_opts_release(&o);
 */
#ifndef JAIL_ISOLATION_MOUNT_OPTS_H
#define JAIL_ISOLATION_MOUNT_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

struct mount_opts {
	uint64_t set, clear;		/* MOUNT_ATTR_ bits for the mount itself */
	uint64_t rec_set, rec_clear;	/* the same for it and everything below */
	uint64_t propagation;		/* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0 */
	bool rec_propagation;
	bool bind, recursive;		/* bind or rbind */
	bool remount;
	bool idmap, rec_idmap;
	bool copy_up;			/* tmpcopyup: a tmpfs starts with what it hides */
	struct strv data;		/* filesystem's own: "key=value" or "flag" */
};

/* Unknown words are the filesystem's own options, except for binds, where they are errors. */
int mount_opts_parse(const struct spec_mount *m, struct mount_opts *ret, struct err *e)
	__attribute__((nonnull));
void mount_opts_release(struct mount_opts *o) __attribute__((nonnull));

#endif
