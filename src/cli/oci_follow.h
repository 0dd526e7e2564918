/*
 * Staying with a process of a container: its terminal, our signals, its exit status.
 */
#ifndef JAIL_CLI_OCI_FOLLOW_H
#define JAIL_CLI_OCI_FOLLOW_H

#include "base/err.h"
#include "oci/oci.h"

/* Returns the exit status (128 + signal), or -errno. */
int follow(struct oci_running *r, struct err *e) __attribute__((nonnull));

#endif
