/*
 * A jail's log, as its supervisor writes it: lines "TIME STREAM P|F TEXT" in the file "log" of
 * one directory, size-capped and rotated to log.1, log.2, ...
 *
 *	struct log_writer w;
 *	log_open(&w, dirfd, 10 << 20, 2, e);
 *	log_add(&w, LOG_STDOUT, bytes, n);	never blocks on a reader, never fails
 *	log_close(&w);
 *
 * A full disk loses lines, not the program: what was lost is counted and said in the log when
 * there is room again.
 */
#ifndef JAIL_JAIL_LOG_H
#define JAIL_JAIL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { LOG_STDOUT, LOG_STDERR, LOG_STREAMS };
enum {
	LOG_LINE_BYTES = 16384,
	LOG_OUT_BYTES = LOG_LINE_BYTES + 64,
	LOG_MAX_BYTES = 10 << 20,
	LOG_FILES = 2
};

struct log_writer {
	int dir_fd; /* owned */
	int fd; /* owned; -1: nothing is kept */
	uint64_t size, max_bytes, lost_bytes;
	uint32_t files;
	bool mid_line[LOG_STREAMS];
	/* In place of a buffer on the heap: one supervisor has one log. */
	char out[LOG_OUT_BYTES];
	uint32_t n_out;
};

/* dir_fd is duplicated.  max_bytes and files 0: the defaults.  files counts "log" itself. */
int log_open(struct log_writer *w, int dir_fd, uint64_t max_bytes, uint32_t files, struct err *e)
	__attribute__((nonnull));
void log_add(struct log_writer *w, int stream, const char *p, uint32_t n) __attribute__((nonnull));
void log_close(struct log_writer *w) __attribute__((nonnull));

#endif
