/*
 * A tree of files as a stream between two processes that do not trust each other: one name at a
 * time, never a path, so that there is no path to be wrong about.
 *
 *	stream_send(&s, dirfd, "etc", e);		on one side
 *	stream_receive(&s, dirfd, "copy", &opts, e);	on the other
 *
 * The receiver makes every entry relative to a directory that it holds open, follows no
 * symlink, makes no device and no set-id file, and changes nothing of folders that were there.
 */
#ifndef JAIL_JAIL_STREAM_H
#define JAIL_JAIL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum stream_kind { STREAM_FILE = 1, STREAM_DIR, STREAM_UP, STREAM_LINK, STREAM_END, STREAM_ERROR };

struct stream_head {
	uint32_t kind; /* enum stream_kind */
	uint32_t mode, uid, gid;
	uint32_t name_bytes, link_bytes;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t skipped; /* END: special files that were left out */
};

enum {
	STREAM_DEPTH_MAX = 256,
	STREAM_NAME_MAX = 255,
	STREAM_LINK_MAX = 4095,
	STREAM_CHUNK_MAX = 65536
};

struct stream_opts {
	bool owners; /* give the files the ids that came with them */
};

/* sock is a stream socket with timeouts set; both return 0, or -errno with a record. */
int stream_send(int sock, int dirfd, const char *name, struct err *e) __attribute__((nonnull));
int stream_send_error(int sock, const struct err *e) __attribute__((nonnull));
int stream_receive(int sock, int dirfd, const char *name, const struct stream_opts *o,
	uint64_t *ret_bytes, uint32_t *ret_skipped, struct err *e) __attribute__((nonnull));

#endif
