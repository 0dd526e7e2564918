/*
 * Times for people: "2026-05-01 12:00:00.123" in local time, and "so long ago" in options.
 */
#ifndef JAIL_CLI_WHEN_H
#define JAIL_CLI_WHEN_H

#include <stdint.h>

#include "base/mem.h"

/* Milliseconds since the epoch, now. */
uint64_t when_now_ms(void);
/* Adds it to b, with milliseconds. */
void when_add(struct buf *b, uint64_t epoch_ms) __attribute__((nonnull));

#endif
