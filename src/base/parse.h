/*
 * Text to typed values, strictly: the whole string must be the value, no sign where none
 * belongs, no wrap-around.  Errors name the text and what was expected; the caller prefixes
 * the option or key.
 *
 *	uint64_t bytes;
 *	r = parse_size("512M", &bytes, e);
 */
#ifndef JAIL_BASE_PARSE_H
#define JAIL_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define PARSE_UNLIMITED UINT64_MAX

/* Decimal integer in [min, max]. */
int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value, struct err *e)
	__attribute__((nonnull));
int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value, struct err *e)
	__attribute__((nonnull));
/* Octal file mode 0..07777. */
int parse_mode(const char *s, mode_t *ret_mode, struct err *e) __attribute__((nonnull));
/* Bytes with an optional K, M, G, T (1024-based; KiB, kB and so on accepted), or "max"/"unlimited". */
int parse_size(const char *s, uint64_t *ret_bytes, struct err *e) __attribute__((nonnull));
/* Milliseconds from "500ms", "10s", "5m", "2h", "1d", or plain seconds. */
int parse_duration_ms(const char *s, uint64_t *ret_ms, struct err *e) __attribute__((nonnull));
/* yes/no, true/false, on/off, 1/0. */
int parse_bool(const char *s, bool *ret_value, struct err *e) __attribute__((nonnull));
/* A user or group id: 0 .. 4294967294 ((uid_t)-1 means "unchanged" to the kernel). */
int parse_id(const char *s, uint32_t *ret_id, struct err *e) __attribute__((nonnull));
/* A decimal number with up to 3 decimals, in thousandths: "1.5" gives 1500. */
int parse_milli(const char *s, uint64_t *ret_milli, struct err *e) __attribute__((nonnull));
/* A signal by number (1..64) or name, with or without SIG, RTMIN+n included. */
int parse_signal(const char *s, int *ret_signal, struct err *e) __attribute__((nonnull));
/* A jail, network or image alias name: [a-z0-9A-Z][a-zA-Z0-9_.-]{0,63}. */
int parse_name(const char *what, const char *s, struct err *e) __attribute__((nonnull));

/* 1536 -> "1.5K"; PARSE_UNLIMITED -> "max".  Returns buf. */
char *print_size(uint64_t bytes, char buf[static 24]);

#endif
