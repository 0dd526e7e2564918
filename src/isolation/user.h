/*
 * The pure half of iso_user_lookup: texts in, numbers out.
 */
#ifndef JAIL_ISOLATION_USER_H
#define JAIL_ISOLATION_USER_H

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

/*
 * As iso_user_lookup (isolation.h), with the contents of the two files, which may be empty and
 * hold any bytes.  Neither is changed.
 */
int iso_user_find(const struct buf *passwd, const struct buf *group, const char *text,
	struct spec_user *ret, char **ret_home, struct err *e)
	__attribute__((nonnull(1, 2, 3, 4, 6)));

#endif
