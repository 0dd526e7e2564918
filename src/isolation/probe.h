/*
 * What this host offers, found out by trying it in throw-away children.
 *
 *	struct iso_probe_result r;
 *	for (size_t i = 0; i < iso_probe_count; i++) {
 *		iso_probe_run(&iso_probes[i], &r);
 *		... iso_probes[i].name, r.state, r.found, r.remedy ...
 *	}
 *	iso_probe_by_name("kvm", &r, e);	 one of them, for a decision
 *
 * A probe leaves nothing behind, changes nothing in the caller, and ends within
 * ISO_PROBE_TIMEOUT_MS: a child that hangs is killed and the result is "missing".  Nothing is
 * printed: that is cli's part.
 */
#ifndef JAIL_ISOLATION_PROBE_H
#define JAIL_ISOLATION_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { ISO_PROBE_TIMEOUT_MS = 5000 };

enum iso_probe_state {
	ISO_PROBE_OK,
	ISO_PROBE_LIMITED, /* works in part; found says which */
	ISO_PROBE_MISSING,
};

/* Who needs it. */
enum iso_probe_tier {
	ISO_PROBE_ALL, /* every jail: without it nothing runs */
	ISO_PROBE_ROOTLESS, /* jails of plain users */
	ISO_PROBE_VM, /* the micro-VM tier */
	ISO_PROBE_OPTIONAL, /* makes something better: what, stands in purpose */
};

struct iso_probe_result {
	enum iso_probe_state state;
	char found[256]; /* one line: what was tried and what came of it */
	char remedy[256]; /* one line: what to do; "" when there is nothing to do */
};

struct iso_probe {
	const char *name; /* "userns", "kvm", ...: stable, for scripts */
	enum iso_probe_tier tier;
	const char *purpose; /* what it is needed for, one line */
	void (*probe)(const struct iso_probe *self, struct iso_probe_result *ret);
	uint64_t flags; /* the probe function's own */
};

extern const struct iso_probe iso_probes[];
extern const size_t iso_probe_count;
extern const char *const iso_probe_state_names[]; /* by enum iso_probe_state */
extern const char *const iso_probe_tier_names[]; /* by enum iso_probe_tier */

void iso_probe_run(const struct iso_probe *p, struct iso_probe_result *ret)
	__attribute__((nonnull));
/* -ENOENT when there is no probe of that name. */
int iso_probe_by_name(const char *name, struct iso_probe_result *ret, struct err *e)
	__attribute__((nonnull));

/*
 * KVM that runs real guest code, not only a device node that opens: a VM of one page of code
 * in 64-bit mode does what an ordinary kernel does early (probe_kvm.c lists the
 * instructions).  Software KVMs exist that fail at some of them; found names the first.
 */
void iso_probe_kvm(const struct iso_probe *self, struct iso_probe_result *ret)
	__attribute__((nonnull(2)));

#endif
