/*
 * What json_read.c and json.c share; nobody else includes this.
 */
#ifndef JAIL_BASE_JSON_IMPL_H
#define JAIL_BASE_JSON_IMPL_H

#include "base/json.h"

/* Frees what one field of the struct at base owns, and clears it; embedded structs recursively. */
void json_field_release(const struct json_field *f, void *base) __attribute__((nonnull));
/* True when the member is 0, NULL, or an empty list; never for an embedded struct. */
bool json_field_is_zero(const struct json_field *f, const void *base) __attribute__((nonnull));

#endif
