/*
 * A layer, plain or compressed, into a directory of its own.  Beside it lies a file that no archive
 * may touch, and the directory's parent may gain nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int count(int dirfd)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int n = 0;

	if (!d)
		abort();
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void check_canary(int top)
{
	struct stat st;

	if (fstatat(top, "canary", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != 5 ||
		st.st_nlink != 1 || (st.st_mode & 07777) != 0600)
		abort();
	if (count(top) != 4) /* ., .., canary, root */
		abort();
}

static int make_top(char dir[static 64])
{
	int top, fd;

	memcpy(dir, "/tmp/jail-fuzz-XXXXXX", sizeof("/tmp/jail-fuzz-XXXXXX"));
	if (!mkdtemp(dir))
		abort();
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(top, "canary", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (write(fd, "alive", 5) != 5)
		abort();
	close(fd);
	return top;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct img_stream_limits limits = {.max_bytes = 1 << 20};
	struct img_unpack_opts o = {.what = "layer", .max_bytes = 1 << 20, .max_entries = 200};
	struct img_unpack_stats st = {0};
	struct img_stream *s = NULL;
	struct img_sums sums;
	struct err e = {0};
	char dir[64];
	AUTO_FD int top = make_top(dir), fd = memfd_create("layer", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, data, n) < 0 || mkdirat(top, "root", 0700) < 0)
		abort();
	AUTO_FD int root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	o.root_fd = root;
	if (img_stream_open(fd, &limits, &s, &e) >= 0 && img_unpack(s, &o, &st, &e) >= 0)
		(void)img_stream_finish(s, &sums, &e);
	img_stream_free(s);
	img_unpack_stats_release(&st);
	check_canary(top);
	if (path_rmtree(AT_FDCWD, dir, &e) < 0)
		abort();
	return 0;
}
