/* Tar archives for tests, byte by byte, so that they can say what no tar program would write. */
#ifndef JAIL_TESTS_UNIT_TAR_H
#define JAIL_TESTS_UNIT_TAR_H

#include <stdio.h>

#include "base/mem.h"

struct tar_entry {
	const char *name;
	char type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6'
		      FIFO */
	unsigned int mode, uid, gid;
	const char *link, *data;
	unsigned int major, minor;
	unsigned long long mtime;
	size_t size; /* when it shall not be that of data */
};

static inline void tar_header_sum(char h[static 512])
{
	unsigned int sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
}

static inline void tar_add(struct buf *b, const struct tar_entry *t)
{
	static const char zeros[512];
	size_t n = t->data ? strlen(t->data) : 0;
	char h[512] = {0};

	snprintf(h, 100, "%s", t->name);
	snprintf(h + 100, 8, "%07o", t->mode);
	snprintf(h + 108, 8, "%07o", t->uid);
	snprintf(h + 116, 8, "%07o", t->gid);
	snprintf(h + 124, 12, "%011zo", t->size ? t->size : n);
	snprintf(h + 136, 12, "%011llo", t->mtime);
	h[156] = t->type;
	if (t->link)
		snprintf(h + 157, 100, "%s", t->link);
	memcpy(h + 257, "ustar\00000", 8);
	snprintf(h + 329, 8, "%07o", t->major);
	snprintf(h + 337, 8, "%07o", t->minor);
	tar_header_sum(h);
	buf_add(b, h, sizeof(h));
	if (n) {
		buf_add(b, t->data, n);
		buf_add(b, zeros, (512 - n % 512) % 512);
	}
}

/* A pax extended header (pax(1)) of one record for the entry that follows. */
static inline void tar_add_pax(struct buf *b, const char *key, const char *value, size_t n_value)
{
	static const char zeros[512];
	AUTO_BUF struct buf rec = {0};
	size_t n = strlen(key) + n_value + 3, len = n + 1;
	char h[512] = {0};

	while (len != n + (size_t)snprintf(NULL, 0, "%zu", len))
		len++;
	buf_addf(&rec, "%zu %s=", len, key);
	buf_add(&rec, value, n_value);
	buf_adds(&rec, "\n");
	snprintf(h, 100, "PaxHeaders/x");
	snprintf(h + 100, 8, "%07o", 0644);
	snprintf(h + 108, 8, "%07o", 0);
	snprintf(h + 116, 8, "%07o", 0);
	snprintf(h + 124, 12, "%011zo", rec.n);
	snprintf(h + 136, 12, "%011o", 0);
	h[156] = 'x';
	memcpy(h + 257, "ustar\00000", 8);
	tar_header_sum(h);
	buf_add(b, h, sizeof(h));
	buf_add(b, rec.p, rec.n);
	buf_add(b, zeros, (512 - rec.n % 512) % 512);
}

static inline void tar_end(struct buf *b)
{
	static const char zeros[1024];

	buf_add(b, zeros, sizeof(zeros));
}

#endif
