/*
 * How probes try things: in a child that may die, hang or lose every privilege.
 *
 *	static int body(struct probe_note *n) { ...; return 0 or -errno; }
 *
 *	struct probe_note n;
 *	int r = probe_child(body, &n);		-ETIMEDOUT: it was killed
 */
#ifndef JAIL_ISOLATION_PROBE_INT_H
#define JAIL_ISOLATION_PROBE_INT_H

#include <stdarg.h>
#include <stdint.h>

#include "isolation/probe.h"

/* What the child found, visible to the parent at once, also when the child does not end. */
struct probe_note {
	uint64_t flags; /* in: for the body */
	int32_t step; /* how far it got */
	int32_t detail[2];
	uint64_t nanoseconds[2];
	char text[128];
};

/* Returns what the body returned, or -ECHILD when it died by a signal. */
int probe_child(int (*body)(struct probe_note *note), struct probe_note *note);

void probe_say(struct iso_probe_result *ret, enum iso_probe_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void probe_remedy(struct iso_probe_result *ret, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
