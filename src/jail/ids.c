#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "jail/internal.h"

enum { SUBID_BYTES_MAX = 1 << 20 };

/* "jail:BASE:COUNT" in text, when it can hold a fair number of ranges; 0 when there is none. */
static uint32_t pool_in(const char *text)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		unsigned long long base, count;
		char *end;

		if (strncmp(line, "jail:", 5))
			continue;
		base = strtoull(line + 5, &end, 10);
		if (*end != ':')
			continue;
		count = strtoull(end + 1, &end, 10);
		if (base >= IDX_ID_RANGE && count >= IDX_ID_RANGE && base + count <= UINT32_MAX &&
			base + (unsigned long long)IDX_CAPACITY * IDX_ID_RANGE <= UINT32_MAX)
			return (uint32_t)base;
	}
	return 0;
}

/*
 * An entry "jail" in /etc/subuid says where this host's administrator wants the ranges.  Our own
 * pool starts far above what useradd gives to people (100000 upwards) and below the 31st bit.
 */
uint32_t ids_pool(void)
{
	AUTO_FD int fd = open("/etc/subuid", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_BUF struct buf b = {0};
	struct err e = {0};
	uint32_t base = 0;

	if (fd >= 0 && file_read_fd(fd, "/etc/subuid", SUBID_BYTES_MAX, &b, &e) == 0)
		base = pool_in(b.p);
	return base ? base : IDX_ID_POOL;
}
