/*
 * Who a user is by passwd and group files that strangers wrote.  Input: the question, a zero
 * byte, passwd, a zero byte, group.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "isolation/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Cuts up to the next zero byte off the input; owned copy, so that reading past it is seen. */
static struct buf cut(const uint8_t **data, size_t *n)
{
	const uint8_t *end = *n ? memchr(*data, 0, *n) : NULL;
	size_t len = end ? (size_t)(end - *data) : *n;
	struct buf b = {.p = malloc(len + !len), .n = len};

	if (len)
		memcpy(b.p, *data, len);
	*data += len + (end != NULL);
	*n -= len + (end != NULL);
	return b;
}

static void check(const char *text, const struct spec_user *u)
{
	size_t digits = strspn(text, "0123456789");

	if (u->uid == UINT32_MAX || u->gid == UINT32_MAX)
		abort();
	/* A number is that number, whatever the files say. */
	if (digits && (!text[digits] || text[digits] == ':') && strtoull(text, NULL, 10) != u->uid)
		abort();
	if (!u->n_additional_gids || u->additional_gids[0] != u->gid)
		abort();
	for (size_t i = 1; i < u->n_additional_gids; i++)
		if (u->additional_gids[i] == u->gid ||
			(i > 1 && u->additional_gids[i] <= u->additional_gids[i - 1]))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf question = cut(&data, &n), passwd = cut(&data, &n);
	struct buf group = {.p = malloc(n + !n), .n = n};
	char *text = str_dup_n(question.p, question.n), *home = NULL;
	struct spec_user u = {.uid = UINT32_MAX};
	struct err e = {0};

	if (n)
		memcpy(group.p, data, n);
	if (iso_user_find(&passwd, &group, text, &u, &home, &e) >= 0)
		check(text, &u);
	else if (u.uid != UINT32_MAX || u.additional_gids || home || !e.code || !e.text[0])
		abort();
	if (home && home[0] != '/')
		abort();
	free(home);
	free(u.additional_gids);
	free(text);
	free(question.p);
	free(passwd.p);
	free(group.p);
	return 0;
}
