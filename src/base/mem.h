/*
 * Memory, strings and growable things.
 *
 *	AUTO_FREE char *path = str_fmt("%s/%s", dir, name);
 *	struct strv args = {0};
 *	strv_add(&args, "sh");
 *	...
 *	strv_release(&args);
 *
 * Memory that cannot be had ends the process (docs/adr/0002): every process of jail may be
 * killed at any instruction anyway, and the next command repairs what it left.
 */
#ifndef JAIL_BASE_MEM_H
#define JAIL_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

void mem_free_cleanup(void *pp);
#define AUTO_FREE __attribute__((cleanup(mem_free_cleanup)))

/* Never return NULL; zeroed.  n * size is checked for overflow. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_new_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
/* Grows an array to hold at least n elements, doubling *cap; new space is zeroed. */
void *mem_grow(void *p, size_t *cap, size_t n, size_t size) __attribute__((returns_nonnull));
void *mem_dup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
/* Gives an owned pointer away: returns *pp and sets it to NULL. */
#define mem_take(pp)                     \
	({                               \
		__auto_type taken_ = *(pp); \
		*(pp) = NULL;            \
		taken_;                  \
	})

char *str_dup(const char *s) __attribute__((malloc)); /* NULL gives NULL */
char *str_dup_n(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *str_fmt(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), malloc, returns_nonnull));
/* Replaces an owned string (frees the old one); s may be NULL. */
void str_set(char **pp, const char *s) __attribute__((nonnull(1)));
static inline bool str_eq(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}
bool str_ends(const char *s, const char *suffix) __attribute__((nonnull));
/* Writes s with control bytes, escapes and invalid UTF-8 made visible (\xNN): for terminals. */
char *str_visible(const char *s) __attribute__((malloc, returns_nonnull, nonnull));

/* A vector of owned strings; v is always NULL-terminated once something was added. */
struct strv {
	char **v;
	size_t n, cap;
};
void strv_add(struct strv *sv, const char *s) __attribute__((nonnull));
void strv_take(struct strv *sv, char *s) __attribute__((nonnull)); /* takes s */
void strv_addf(struct strv *sv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For NAME=VALUE vectors: replaces the value of NAME or adds it. */
void strv_setenv(struct strv *sv, const char *name, const char *value) __attribute__((nonnull));
/* The VALUE of NAME in a NAME=VALUE vector, or NULL; borrowed. */
const char *strv_getenv(const struct strv *sv, const char *name) __attribute__((nonnull));
bool strv_has(const struct strv *sv, const char *s) __attribute__((nonnull));
void strv_copy(struct strv *dst, const struct strv *src) __attribute__((nonnull));
void strv_release(struct strv *sv) __attribute__((nonnull));
#define AUTO_STRV __attribute__((cleanup(strv_release)))

/* A growable byte buffer; p[n] is always 0 once something was added, and is not counted. */
struct buf {
	char *p;
	size_t n, cap;
};
void buf_add(struct buf *b, const void *p, size_t n) __attribute__((nonnull(1)));
void buf_adds(struct buf *b, const char *s) __attribute__((nonnull));
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_release(struct buf *b) __attribute__((nonnull));
#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
