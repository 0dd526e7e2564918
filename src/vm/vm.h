/*
 * A machine from outside: what the runtime front starts, holds and ends.
 *
 *	struct vm_handle h = VM_HANDLE_INIT;
 *	struct vm_start o = {.program = "/usr/libexec/jail/jail-vmm",
 *		.kernel_dir = ".../kernels/6.1", .agent_archive = ".../agent.cpio",
 *		.memory_bytes = 256 << 20, .n_cpus = 1,
 *		.socket_path = "/run/jail/web/vsock", .serial_fd = -1, .tap_fd = -1,
 *		.stderr_fd = -1};
 *
 *	r = vm_start(&o, &h, e);		the monitor runs
 *	fd = vm_await_guest(&h, 30000, e);	the agent has called: give fd to agent_adopt
 *	...
 *	vm_stop(&h, 5000, e);
 *	vm_handle_release(&h);
 *
 * The machine lives as long as its owner: when owner_fd is closed, also by SIGKILL, the monitor
 * ends, and the guest with it.  Other processes open streams to the guest through socket_path
 * (vsock.h), which is removed by vm_handle_release.
 */
#ifndef JAIL_VM_VM_H
#define JAIL_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { VM_AGENT_PORT = 1024 }; /* the guest's call to its owner */

struct vm_disk {
	const char *path;
	bool read_only;
};

struct vm_start {
	const char *program; /* jail-vmm, absolute */
	const char *kernel_dir; /* has vmlinux and modules.cpio (jail kernel add) */
	const char *agent_archive; /* cpio with our agent */
	const char *append; /* more for the kernel's command line, or NULL */
	uint64_t memory_bytes; /* from 64 MiB on, whole pages */
	unsigned int n_cpus; /* 1 to 32 */
	const struct vm_disk *disks; /* vda, vdb, ... */
	size_t n_disks;
	int tap_fd; /* the guest's network, an open tap with IFF_VNET_HDR; -1: none */
	uint8_t tap_mac[6]; /* of the guest's interface */
	const char *engine; /* "kvm", "qemu", or NULL: kvm where it can run a kernel */
	const char *socket_path; /* made here; at most 107 bytes */
	int serial_fd; /* receives the serial port's output; -1: no serial port */
	int stderr_fd; /* of the monitor; -1: the caller's */
};

struct vm_handle {
	pid_t pid;
	int pidfd, owner_fd; /* owned */
	char *socket_path; /* owned */
};
#define VM_HANDLE_INIT                                                                             \
	{                                                                                          \
		.pid = -1, .pidfd = -1, .owner_fd = -1                                             \
	}

int vm_start(const struct vm_start *o, struct vm_handle *ret, struct err *e)
	__attribute__((nonnull));
/*
 * The stream that the guest's agent opens when it is up; owned.  -ECHILD: the monitor has
 * ended, and the record says how; -ETIMEDOUT.
 */
int vm_await_guest(struct vm_handle *h, int timeout_ms, struct err *e) __attribute__((nonnull));
/* Ends the machine: SIGTERM to the monitor, SIGKILL after timeout_ms; waits. */
int vm_stop(struct vm_handle *h, int timeout_ms, struct err *e) __attribute__((nonnull));
/* Closes and removes; a machine that still runs ends. */
void vm_handle_release(struct vm_handle *h) __attribute__((nonnull));

/*
 * Makes what a guest boots from out of a Debian kernel package, a bzImage or an ELF kernel: a
 * directory below store, named after the kernel's release, that vm_start takes as kernel_dir.
 * The file is read by program (jail-vmm), which confines itself first.  *ret_dir is owned.
 */
int vm_kernel_add(const char *program, const char *file, const char *store, char **ret_dir,
	struct err *e) __attribute__((nonnull));

/* The sentence for a monitor's wait status: "the guest switched itself off". */
const char *vm_status_text(int status);

#endif
