/*
 * The other engine: QEMU by emulation, where KVM cannot serve.  The same kernel, agent and disks,
 * and the same sockets: they are ours, served to it by vhost-user.
 *
 *	end = vm_qemu_run(&config, e);	an enum vm_end, or -errno
 *
 * QEMU runs beside this process: as nobody where that was root, without network and with its
 * own filter (-sandbox), holding nothing but descriptors that we opened.  It dies with us.
 */
#ifndef JAIL_VM_QEMU_H
#define JAIL_VM_QEMU_H

#include "vm/machine.h"

int vm_qemu_run(const struct vm_config *c, struct err *e) __attribute__((nonnull));

#endif
