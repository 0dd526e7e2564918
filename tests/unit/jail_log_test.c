#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "jail/log.h"

static char top[] = "/tmp/jail-log-XXXXXX";
static int dir = -1;

TEST(begin)
{
	CHECK(mkdtemp(top) != NULL);
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static char *content(const char *name)
{
	struct buf b = {0};
	struct err e = {0};

	if (file_read(dir, name, 1 << 20, &b, &e) < 0)
		buf_adds(&b, "");
	return b.p;
}

TEST(lines_and_parts)
{
	struct log_writer w;
	struct err e = {0};

	CHECK_INT(log_open(&w, dir, 0, 0, &e), 0);
	log_add(&w, LOG_STDOUT, "one\ntwo\nthr", 11);
	log_add(&w, LOG_STDERR, "oops\n", 5);
	log_add(&w, LOG_STDOUT, "ee\n\n", 4);
	log_close(&w);
	AUTO_FREE char *text = content("log");
	static const char *const want[] = {" stdout F one\n", " stdout F two\n", " stdout P thr\n",
		" stderr F oops\n", " stdout F ee\n", " stdout F \n"};
	const char *at = text;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		at = at ? strstr(at, want[i]) : NULL;
		CHECK(at != NULL);
	}
	unlinkat(dir, "log", 0);
}

TEST(size_is_capped_by_rotation)
{
	struct log_writer w;
	struct err e = {0};
	struct stat st;
	char line[101];

	memset(line, 'x', 99);
	line[99] = '\n';
	CHECK_INT(log_open(&w, dir, 8192, 3, &e), 0);
	for (int i = 0; i < 1000; i++)
		log_add(&w, LOG_STDOUT, line, 100);
	log_close(&w);
	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *name = i ? str_fmt("log.%d", i) : str_dup("log");

		CHECK_INT(fstatat(dir, name, &st, 0), 0);
		CHECK(st.st_size <= 8192 && st.st_size > 0);
	}
	CHECK(fstatat(dir, "log.3", &st, 0) < 0);
	/* A line longer than a part may be is cut into parts, each of a bounded size. */
	CHECK_INT(log_open(&w, dir, 1 << 20, 1, &e), 0);
	AUTO_FREE char *big = mem_new(100001);
	memset(big, 'y', 100000);
	big[100000] = '\n';
	log_add(&w, LOG_STDOUT, big, 100001);
	log_close(&w);
	AUTO_FREE char *text = content("log");
	CHECK(strstr(text, " stdout P yyy") != NULL);
	for (char *l = text, *n; (n = strchr(l, '\n')); l = n + 1)
		CHECK(n - l <= LOG_OUT_BYTES);
}

TEST(nothing_else_in_its_place_is_written)
{
	struct log_writer w;
	struct err e = {0};

	unlinkat(dir, "log", 0);
	CHECK_INT(symlinkat("elsewhere", dir, "log"), 0);
	CHECK_INT(log_open(&w, dir, 0, 0, &e), -ELOOP);
	CHECK(faccessat(dir, "elsewhere", F_OK, 0) < 0);
	unlinkat(dir, "log", 0);
	CHECK_INT(mkfifoat(dir, "log", 0600), 0);
	CHECK(log_open(&w, dir, 0, 0, &e) < 0);
	unlinkat(dir, "log", 0);
	CHECK_INT(file_replace(dir, "log", "a", 1, 0600, 0, &e), 0);
	CHECK_INT(linkat(dir, "log", dir, "second", 0), 0);
	CHECK_INT(log_open(&w, dir, 0, 0, &e), -EINVAL);
	unlinkat(dir, "log", 0);
	unlinkat(dir, "second", 0);
}

/* A full disk loses lines, never the program; what was lost is said when there is room. */
TEST(a_full_disk_is_survived)
{
	AUTO_FREE char *mnt = str_fmt("%s/small", top);
	struct log_writer w;
	struct err e = {0};
	char line[1001];

	if (geteuid() != 0 || mkdir(mnt, 0700) < 0 ||
		mount("none", mnt, "tmpfs", 0, "size=16k") < 0)
		return;
	AUTO_FD int small = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memset(line, 'z', 999);
	line[999] = '\n';
	CHECK_INT(log_open(&w, small, 1 << 20, 2, &e), 0);
	for (int i = 0; i < 100; i++)
		log_add(&w, LOG_STDOUT, line, 1000);
	CHECK(w.lost_bytes > 0);
	CHECK_INT(ftruncate(w.fd, 0), 0);
	w.size = 0;
	log_add(&w, LOG_STDOUT, "back\n", 5);
	CHECK_INT(w.lost_bytes, 0);
	log_close(&w);
	struct buf b = {0};
	CHECK_INT(file_read(small, "log", 1 << 20, &b, &e), 0);
	CHECK(strstr(b.p, "bytes of the log were lost]\n") != NULL);
	CHECK(strstr(b.p, " stdout F back\n") != NULL);
	buf_release(&b);
	fd_close(&small);
	umount2(mnt, MNT_DETACH);
	rmdir(mnt);
}

TEST(end)
{
	struct err e = {0};
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(dir);
	CHECK_INT(path_rmtree(tmp, top + 5, &e), 0);
}

TEST_MAIN
