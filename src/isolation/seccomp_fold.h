/*
 * A seccomp program made small: same decisions, fewer instructions.
 *
 *	r = iso_filter_fold(&program, e);	 struct buf of struct sock_filter, in place
 *
 * The kernel checks, translates and pre-computes a filter each time one is installed, and that
 * grows with its length; libseccomp gives every call a comparison of its own.  Folding finds,
 * by running the program for every call number at which its answer can change, the ranges that
 * have one answer, and makes a binary search over those ranges.  Calls whose answer depends on
 * arguments keep the instructions that look at them.
 */
#ifndef JAIL_ISOLATION_SECCOMP_FOLD_H
#define JAIL_ISOLATION_SECCOMP_FOLD_H

#include "base/err.h"
#include "base/mem.h"

/*
 * Folds *program, or leaves it as it is when it does something with the call number or the
 * architecture that is no comparison, or when it would not become shorter.  Returns 1 when it
 * was folded, 0 when not; -EINVAL for a malformed program.  Pure.
 */
int iso_filter_fold(struct buf *program, struct err *e) __attribute__((nonnull));

#endif
