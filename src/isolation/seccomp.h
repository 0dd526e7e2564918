/*
 * Widening our default seccomp profile, one named word at a time.
 *
 *	struct spec_seccomp p = {0};
 *	iso_seccomp_default(&p);
 *	r = iso_seccomp_allow(&p, "debug", e);	 ptrace and process_vm_* from now on
 *
 * The words are a table, for help, doctor and inspect: each says what it allows and what that
 * costs.
 */
#ifndef JAIL_ISOLATION_SECCOMP_H
#define JAIL_ISOLATION_SECCOMP_H

#include <stddef.h>

#include "base/err.h"
#include "spec/spec.h"

struct iso_seccomp_word {
	const char *word;
	const char *allows; /* one line */
	const char *risk; /* one line */
	const char *calls; /* names separated by single spaces, which become allowed whole */
	void (*widen)(struct spec_seccomp *p); /* for what is not whole calls; or NULL */
};

extern const struct iso_seccomp_word iso_seccomp_words[];
extern const size_t iso_seccomp_word_count;

/*
 * Allows what word stands for, also in profiles that are not our default.  Twice is as once.
 * -ENOENT: no such word; the error lists them.
 */
int iso_seccomp_allow(struct spec_seccomp *p, const char *word, struct err *e)
	__attribute__((nonnull));

#endif
