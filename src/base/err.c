#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put(struct err *e, int code, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_BYTES];

	/* Formatted aside first: an argument may be the old text of the same record. */
	vsnprintf(text, sizeof(text), fmt, ap);
	e->code = code > 0 ? code : EINVAL;
	e->exit_code = ERR_EXIT_TOOL;
	memcpy(e->text, text, sizeof(text));
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(e, code, fmt, ap);
	va_end(ap);
	return -e->code;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int code = errno;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	put(e, code, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerrordesc_np(e->code));
	return -e->code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", e->text);
	memcpy(e->text, text, sizeof(text));
	return -e->code;
}

int err_hint(struct err *e, const char *fmt, ...)
{
	size_t n = strlen(e->text);
	va_list ap;

	if (n + 3 < sizeof(e->text)) {
		memcpy(e->text + n, "; ", 3);
		va_start(ap, fmt);
		vsnprintf(e->text + n + 2, sizeof(e->text) - n - 2, fmt, ap);
		va_end(ap);
	}
	return -e->code;
}

int err_exit(struct err *e, int exit_code)
{
	e->exit_code = exit_code;
	return -e->code;
}

void err_sanitize(struct err *e)
{
	e->text[sizeof(e->text) - 1] = '\0';
	if (e->code <= 0 || e->code > 4095)
		e->code = EIO;
	if (e->exit_code != ERR_EXIT_CANNOT_RUN && e->exit_code != ERR_EXIT_NOT_FOUND)
		e->exit_code = ERR_EXIT_TOOL;
}
