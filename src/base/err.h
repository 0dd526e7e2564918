/*
 * One error record for every room.
 *
 *	static int open_log(const char *path, struct err *e)
 *	{
 *		int fd = open(path, O_WRONLY | O_CLOEXEC);
 *		return fd < 0 ? err_sys(e, "cannot open log '%s'", path) : fd;
 *	}
 *
 * A function that can fail returns >= 0, or a negative errno with the caller's record filled.
 * The record is flat and owns no heap, so it crosses the sync socket, the control socket and
 * the guest channel byte for byte.  It is set where the failure happens, prefixed where
 * context is known, and printed once, in cli.
 */
#ifndef JAIL_BASE_ERR_H
#define JAIL_BASE_ERR_H

#include <stdarg.h>
#include <stdint.h>

/* Exit codes of the jail command; a program's own code and 128+signal pass through. */
enum {
	ERR_EXIT_TOOL = 125,	   /* jail itself failed */
	ERR_EXIT_CANNOT_RUN = 126, /* the program exists but cannot be executed */
	ERR_EXIT_NOT_FOUND = 127,  /* the program does not exist */
};

enum { ERR_TEXT_BYTES = 1016 };

struct err {
	int32_t code;		   /* positive errno, 0 when unset */
	int32_t exit_code;	   /* an ERR_EXIT_ value; 0 means ERR_EXIT_TOOL */
	char text[ERR_TEXT_BYTES]; /* what failed, 'the object', the cause; the remedy */
};

/* Sets the record to errno value code (positive) and the formatted sentence; returns -code. */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), nonnull(1, 3), cold));

/* As err_set with the calling thread's errno, and ": strerror" appended; returns -errno. */
int err_sys(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), nonnull(1, 2), cold));

/* Puts "context: " before the sentence; returns the record's -code. */
int err_prefix(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), nonnull(1, 2), cold));

/* Appends "; remedy" to the sentence; returns the record's -code. */
int err_hint(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), nonnull(1, 2), cold));

/* Marks the record as ERR_EXIT_CANNOT_RUN or ERR_EXIT_NOT_FOUND; returns its -code. */
int err_exit(struct err *e, int exit_code) __attribute__((nonnull(1), cold));

/* Makes a record that came over a socket safe to use: text terminated, codes in range. */
void err_sanitize(struct err *e) __attribute__((nonnull(1)));

#endif
