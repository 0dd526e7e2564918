/*
 * What PID 1 of a guest does before it can serve: the kernel's own file systems, the modules,
 * a root that can be left, and the jail's root.
 *
 *	guest_boot(&initramfs, e);
 *	agent_server_new(&(struct agent_hooks){.root = guest_mount_root}, &s, e);
 */
#ifndef JAIL_AGENT_GUEST_H
#define JAIL_AGENT_GUEST_H

#include "agent/server.h"

/*
 * Inserts the modules that /modules lists, in its order, moves out of the initramfs (nothing can
 * pivot away from that) and mounts /proc, /sys, /dev, /run and control groups.  *ret_initramfs
 * is an owned descriptor of what was left.
 */
int guest_boot(int *ret_initramfs, struct err *e) __attribute__((nonnull));
/* Inserts what /modules.later lists and frees the memory that the initramfs takes. */
int guest_finish_boot(int initramfs, struct err *e) __attribute__((nonnull));
int guest_mount_root(const struct agent_root *root, char **ret_path, struct err *e)
	__attribute__((nonnull));
/* A listening vsock socket, and the call to the owner; owned. */
int guest_listen(struct err *e) __attribute__((nonnull));
int guest_call_owner(struct err *e) __attribute__((nonnull));
/* Writes everything back and switches the machine off. */
void guest_poweroff(void) __attribute__((noreturn));

#endif
