/*
 * What lies in a Debian package: ar members, one of which is a packed tar archive.
 *
 *	AUTO_BUF struct buf tar = {0};
 *	r = vm_deb_data(file, n, &tar, e);		the unpacked data.tar
 *	struct vm_tar t = {.p = tar.p, .n = tar.n};
 *	while ((r = vm_tar_next(&t, &entry, e)) > 0)
 *		... entry.name, entry.p, entry.n ...
 *
 * deb(5), ar(5), tar(5) (ustar, GNU long names, pax paths).  Pure; a package is a stranger's.
 */
#ifndef JAIL_VM_PACKAGE_H
#define JAIL_VM_PACKAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { VM_TAR_NAME_MAX = 512 };

/* Unpacks the data archive of a .deb; -ENOEXEC: no package, -EBADMSG: a damaged one. */
int vm_deb_data(const void *p, size_t n, struct buf *ret, struct err *e) __attribute__((nonnull));

struct vm_tar {
	const char *p;
	size_t n, at; /* at: how far it has been read */
	char long_name[VM_TAR_NAME_MAX];
};

struct vm_tar_entry {
	char name[VM_TAR_NAME_MAX]; /* without a leading "./" or "/" */
	char type; /* '0' regular, '5' directory, '2' symbolic link, ... */
	const char *p; /* contents, in the archive */
	size_t n;
};

/* The next entry: 1, 0 at the end, -EBADMSG when it is damaged. */
int vm_tar_next(struct vm_tar *t, struct vm_tar_entry *ret, struct err *e) __attribute__((nonnull));

#endif
