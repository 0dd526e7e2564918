/*
 * A seccomp profile to a BPF program, through libseccomp.  Kernel-independent: the same
 * profile gives the same program wherever it is compiled with the same library.
 *
 *	AUTO_BUF struct buf prog = {0};		 an array of struct sock_filter
 *	r = iso_filter_compile(profile, &prog, &notify, e);
 */
#ifndef JAIL_ISOLATION_SECCOMP_COMPILE_H
#define JAIL_ISOLATION_SECCOMP_COMPILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "spec/spec.h"

/* Increased by every change of seccomp_compile.c or seccomp_fold.c that changes a program: part of the cache key. */
enum { ISO_COMPILE_VERSION = 3 };

/*
 * What the runtime-spec leaves open is done as users of other runtimes expect it: names that no
 * architecture knows are skipped; conditions on one argument given twice are alternatives;
 * system calls newer than libseccomp get ENOSYS when the default is to refuse.
 */
int iso_filter_compile(const struct spec_seccomp *profile, struct buf *ret, bool *ret_notify,
	struct err *e) __attribute__((nonnull));
/* SECCOMP_FILTER_FLAG_ bits of the profile's flags; -EINVAL names an unknown one. */
int iso_filter_flags(const struct spec_seccomp *profile, uint32_t *ret, struct err *e)
	__attribute__((nonnull));

#endif
