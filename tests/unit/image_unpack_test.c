#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "image/unpack.h"
#include "tar.h"

/* One archive unpacked into a directory of its own, beside a file that must survive. */
struct bed {
	char dir[64];
	int top, root;
	struct buf tar;
	struct img_unpack_stats st;
	struct img_sums sums;
	struct img_unpack_opts o;
	struct img_stream_limits limits;
	struct err e;
};

static void bed_make(struct bed *b)
{
	struct err e;

	*b = (struct bed){0};
	snprintf(b->dir, sizeof(b->dir), "%s", "jail-unpack-XXXXXX");
	b->top = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(b->top >= 0 && !fchdir(b->top) && mkdtemp(b->dir));
	close(b->top);
	b->top = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(!mkdirat(b->top, "root", 0700));
	CHECK_INT(file_replace(b->top, "canary", "alive", 5, 0644, 0, &e), 0);
	b->root = openat(b->top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int memfd_of(const void *p, size_t n)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(fd_write_full(fd, p, n), 0);
	return fd;
}

static int bed_run_bytes(struct bed *b, const void *p, size_t n)
{
	AUTO_FD int fd = memfd_of(p, n);
	struct img_stream *s = NULL;
	int r = img_stream_open(fd, &b->limits, &s, &b->e);

	b->o.root_fd = b->root;
	b->o.what = "layer";
	if (r >= 0)
		r = img_unpack(s, &b->o, &b->st, &b->e);
	if (r >= 0)
		r = img_stream_finish(s, &b->sums, &b->e);
	img_stream_free(s);
	return r;
}

static int bed_run(struct bed *b)
{
	tar_end(&b->tar);
	return bed_run_bytes(b, b->tar.p, b->tar.n);
}

static void bed_end(struct bed *b)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int parent = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	struct err e;

	/* Whatever the archive said, nothing beside root/ was touched. */
	CHECK_INT(file_read(b->top, "canary", 100, &text, &e), 0);
	CHECK_STR(text.p, "alive");
	CHECK(!fstatat(b->top, "canary", &st, 0) && st.st_nlink == 1 &&
		(st.st_mode & 07777) == 0644);
	fd_close(&b->root);
	fd_close(&b->top);
	CHECK_INT(path_rmtree(parent, b->dir, &e), 0);
	buf_release(&b->tar);
	img_unpack_stats_release(&b->st);
}

static mode_t mode_of(struct bed *b, const char *name)
{
	struct stat st;

	return fstatat(b->root, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_mode;
}

static bool is_wh(struct bed *b, const char *name)
{
	struct stat st;

	return !fstatat(b->root, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISCHR(st.st_mode) &&
	       !st.st_rdev;
}

static bool is_opaque(struct bed *b, const char *name)
{
	AUTO_FD int fd = openat(b->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char y[2] = "";

	return fgetxattr(fd, "user.overlay.opaque", y, 1) == 1 && *y == 'y';
}

TEST(ordinary_entries)
{
	struct bed b;
	struct stat st;
	AUTO_BUF struct buf text = {0};

	bed_make(&b);
	tar_add(&b.tar, &(struct tar_entry){"./", '5', 0700, .mtime = 77});
	tar_add(&b.tar, &(struct tar_entry){"d/", '5', 02775, 0, 50, .mtime = 1000});
	tar_add(&b.tar, &(struct tar_entry){"d/f", '0', 04755, .data = "hello", .mtime = 2000});
	tar_add(&b.tar,
		&(struct tar_entry){"d/l", '2', 0777, .link = "/etc/passwd", .mtime = 3000});
	tar_add(&b.tar, &(struct tar_entry){"d/h", '1', 0644, .link = "d/f"});
	tar_add(&b.tar, &(struct tar_entry){"/abs//./x", '0', 0600, 1000, 1001, .data = "y"});
	tar_add(&b.tar, &(struct tar_entry){"fifo", '6', 0640});
	tar_add(&b.tar, &(struct tar_entry){"null", '3', 0666, .major = 1, .minor = 3});
	CHECK_INT(bed_run(&b), 0);
	CHECK_STR(b.e.text, "");
	CHECK_INT(b.st.entries, 8);
	CHECK(!fstatat(b.root, "d", &st, 0) && (st.st_mode & 07777) == 02775 &&
		st.st_mtime == 1000);
	CHECK(!fstatat(b.root, "d/f", &st, 0) && (st.st_mode & 07777) == 04755 &&
		st.st_mtime == 2000);
	CHECK_INT(st.st_gid, 0);
	CHECK_INT(st.st_nlink, 2);
	CHECK(!fstatat(b.root, "d/l", &st, AT_SYMLINK_NOFOLLOW) && st.st_mtime == 3000);
	CHECK(!fstatat(b.root, "abs/x", &st, 0) && st.st_uid == 1000 && st.st_gid == 1001);
	CHECK(S_ISFIFO(mode_of(&b, "fifo")));
	CHECK_INT(mode_of(&b, "null"), S_IFREG);
	CHECK_INT(b.st.devices, 1);
	CHECK(!fstat(b.root, &st) && (st.st_mode & 07777) == 0755 && st.st_mtime == 77);
	CHECK_INT(file_read(b.root, "d/h", 100, &text, &b.e), 0);
	CHECK_STR(text.p, "hello");
	CHECK_INT(b.st.implied.n, 1);
	CHECK(b.st.implied.n == 1 && !strcmp(b.st.implied.v[0], "abs"));
	bed_end(&b);
}

/* Each archive is refused with a line that names its last entry. */
TEST(hostile_entries_are_refused)
{
	static const struct {
		const char *why;
		struct tar_entry t[3];
	} cases[] = {
		{"'..'", {{"../canary", '0', 0644, .data = "dead"}}},
		{"'..'", {{"a/../../canary", '0', 0644, .data = "dead"}}},
		{"'..'", {{"..", '5', 0777}}},
		{"'..'", {{"a/..", '5', 0777}}},
		{"symbolic link of the same archive",
			{{"s", '2', 0777, .link = ".."}, {"s/canary", '0', 0644, .data = "dead"}}},
		{"symbolic link of the same archive",
			{{"s", '2', 0777, .link = "/"}, {"s/a/b", '5', 0755}}},
		{"symbolic link of the same archive",
			{{"d", '5', 0755}, {"s", '2', 0777, .link = "d"}, {"s/f", '0', 0644}}},
		{"symbolic link of the same archive",
			{{"s", '2', 0777, .link = ".."}, {"s/.wh.canary", '0', 0644}}},
		{"symbolic link of the same archive",
			{{"s", '2', 0777, .link = ".."}, {"s/.wh..wh..opq", '0', 0644}}},
		{"through a symbolic link",
			{{"s", '2', 0777, .link = ".."}, {"h", '1', 0644, .link = "s/canary"}}},
		{"'..'", {{"h", '1', 0644, .link = "../canary"}}},
		{"does not hold", {{"h", '1', 0644, .link = "/etc/passwd"}}},
		{"to itself", {{"f", '0', 0644}, {"f", '1', 0644, .link = "./f"}}},
		{"not a file", {{"d", '5', 0755}, {"h", '1', 0644, .link = "d"}}},
		{"not a file", {{".wh.x", '0', 0644}, {"h", '1', 0644, .link = "x"}}},
		{"to the root", {{"h", '1', 0644, .link = "./"}}},
		{"root of the image must be a directory", {{".", '2', 0777, .link = "/etc"}}},
		{"root of the image must be a directory", {{".", '0', 0644, .data = "x"}}},
		{"something else", {{"f", '0', 0644}, {"f/x", '0', 0644}}},
		{"0:0", {{"c", '3', 0, .major = 0, .minor = 0}}},
		{"whiteout of no file", {{".wh.", '0', 0644}}},
		{"whiteout of no file", {{"d/.wh..", '0', 0644}}},
		{"whiteout of no file", {{"d/.wh...", '0', 0644}}},
		{"is a whiteout", {{".wh.a/b", '0', 0644}}},
		{"whiteout and a directory", {{".wh.a", '5', 0755}}},
		{"symbolic link to nothing", {{"s", '2', 0777, .link = ""}}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tar_entry *last = NULL;
		AUTO_FREE char *name = NULL;
		struct bed b;

		bed_make(&b);
		for (int k = 0; k < 3 && cases[i].t[k].name; k++)
			tar_add(&b.tar, last = &cases[i].t[k]);
		CHECK(bed_run(&b) < 0);
		name = str_fmt("layer: entry '%s'", last->name);
		for (size_t n = strlen(name);
			n > 2 && (str_ends(name, "/'") || str_ends(name, ".'")) && n; n--)
			break;
		if (!strstr(b.e.text, cases[i].why))
			printf("# case %zu: '%s' lacks '%s'\n", i, b.e.text, cases[i].why),
				test_failures++;
		if (!strstr(cases[i].why, "root of"))
			CHECK(str_starts(b.e.text, name));
		bed_end(&b);
	}
}

TEST(later_entries_replace_earlier_ones)
{
	struct bed b;
	struct stat st;

	bed_make(&b);
	tar_add(&b.tar, &(struct tar_entry){"d/", '5', 0755});
	tar_add(&b.tar, &(struct tar_entry){"d/f", '0', 0644, .data = "x"});
	tar_add(&b.tar, &(struct tar_entry){"d", '2', 0777, .link = "../.."});
	tar_add(&b.tar, &(struct tar_entry){"d/", '5', 0700});
	tar_add(&b.tar, &(struct tar_entry){"d/canary", '0', 0600, .data = "y"});
	tar_add(&b.tar, &(struct tar_entry){"l", '2', 0777, .link = "../canary"});
	tar_add(&b.tar, &(struct tar_entry){"l", '0', 0600, .data = "not the canary"});
	tar_add(&b.tar, &(struct tar_entry){"m", '2', 0777, .link = "../canary"});
	tar_add(&b.tar, &(struct tar_entry){"n", '1', 0777, .link = "m"});
	tar_add(&b.tar, &(struct tar_entry){"n", '0', 0600, .data = "not the canary"});
	CHECK_INT(bed_run(&b), 0);
	CHECK_STR(b.e.text, "");
	CHECK_INT(mode_of(&b, "d"), S_IFDIR | 0700);
	CHECK_INT(mode_of(&b, "d/f"), 0);
	CHECK_INT(mode_of(&b, "d/canary"), S_IFREG | 0600);
	CHECK(!fstatat(b.root, "l", &st, AT_SYMLINK_NOFOLLOW) && st.st_size == 14);
	CHECK(S_ISLNK(mode_of(&b, "m")));
	bed_end(&b);
}

TEST(whiteouts_for_overlayfs)
{
	struct bed b;

	bed_make(&b);
	tar_add(&b.tar, &(struct tar_entry){"d/", '5', 0755});
	tar_add(&b.tar, &(struct tar_entry){"d/.wh.gone", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"o/.wh..wh..opq", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"kept", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){".wh.kept", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"again/", '5', 0755});
	tar_add(&b.tar, &(struct tar_entry){".wh.again", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){".wh.anew", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"anew/", '5', 0711});
	tar_add(&b.tar, &(struct tar_entry){".wh.way", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"way/f", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){".wh..wh.plnk/7.9", '0', 0644, .data = "aufs"});
	tar_add(&b.tar, &(struct tar_entry){".wh..wh.aufs", '0', 0644});
	CHECK_INT(bed_run(&b), 0);
	CHECK_STR(b.e.text, "");
	CHECK(is_wh(&b, "d/gone"));
	CHECK(is_opaque(&b, "o"));
	CHECK(!b.st.opaque_root);
	CHECK_INT(mode_of(&b, "kept"), S_IFREG | 0644);
	CHECK(is_opaque(&b, "again"));
	CHECK(is_opaque(&b, "anew"));
	CHECK_INT(mode_of(&b, "anew"), S_IFDIR | 0711);
	CHECK(is_opaque(&b, "way"));
	CHECK_INT(mode_of(&b, "way/f"), S_IFREG | 0644);
	CHECK_INT(mode_of(&b, ".wh..wh.plnk"), 0);
	CHECK_INT(mode_of(&b, ".wh..wh.aufs"), 0);
	bed_end(&b);
}

TEST(attributes_are_filtered)
{
	static const unsigned char cap3[24] = {1, 0, 0, 3, 0, 4, 0, 0, [20] = 0xe8, [21] = 3};
	static const struct {
		const char *name, *value;
		size_t n;
	} x[] = {
		{"SCHILY.xattr.user.mine", "ok", 2},
		{"SCHILY.xattr.user.overlay.opaque", "y", 1},
		{"SCHILY.xattr.trusted.overlay.redirect", "/etc", 4},
		{"SCHILY.xattr.trusted.x", "y", 1},
		{"SCHILY.xattr.security.selinux", "y", 1},
		{"SCHILY.xattr.security.capability", (const char *)cap3, sizeof(cap3)},
	};
	struct bed b;
	char names[512] = "", cap[64];

	bed_make(&b);
	for (size_t i = 0; i < ARRAY_SIZE(x); i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%zu", i);
		tar_add_pax(&b.tar, x[i].name, x[i].value, x[i].n);
		tar_add(&b.tar, &(struct tar_entry){name, '0', 0755, .data = "x"});
	}
	tar_add(&b.tar, &(struct tar_entry){"last", '0', 0755});
	CHECK_INT(bed_run(&b), 0);
	CHECK_STR(b.e.text, "");
	CHECK_INT(b.st.dropped_xattrs, 4);
	for (size_t i = 0; i < ARRAY_SIZE(x); i++) {
		char name[8];
		AUTO_FD int fd = -EBADF;

		snprintf(name, sizeof(name), "f%zu", i);
		fd = openat(b.root, name, O_RDONLY | O_CLOEXEC);
		memset(names, 0, sizeof(names));
		CHECK_INT(flistxattr(fd, names, sizeof(names)) > 0, i == 0 || i == 5);
		if (i == 5) {
			CHECK_INT(fgetxattr(fd, "security.capability", cap, sizeof(cap)), 20);
			CHECK_INT(cap[3], 2);
		}
	}
	bed_end(&b);
}

TEST(names_stay_as_they_are)
{
	/* Decomposed e-acute by a pax header, a Latin-1 byte and controls in a plain one. */
	static const char nfd[] = "e\xcc\x81.txt", latin[] = "caf\xe9\n\033[31m";
	struct bed b;

	bed_make(&b);
	tar_add_pax(&b.tar, "path", nfd, sizeof(nfd) - 1);
	tar_add(&b.tar, &(struct tar_entry){"short", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){latin, '0', 0644});
	tar_add_pax(&b.tar, "linkpath", nfd, sizeof(nfd) - 1);
	tar_add(&b.tar, &(struct tar_entry){"hard", '1', 0644, .link = "x"});
	tar_add(&b.tar, &(struct tar_entry){"\033]0;x", '3', 0});
	CHECK(bed_run(&b) < 0);
	CHECK(strstr(b.e.text, "\\x1b]0;x") && !strchr(b.e.text, '\033'));
	CHECK_INT(mode_of(&b, nfd), S_IFREG | 0644);
	CHECK_INT(mode_of(&b, latin), S_IFREG | 0644);
	CHECK_INT(mode_of(&b, "hard"), S_IFREG | 0644);
	bed_end(&b);
}

TEST(limits_hold)
{
	struct bed b;
	AUTO_BUF struct buf deep = {0};

	bed_make(&b);
	b.o.max_entries = 2;
	for (int i = 0; i < 3; i++)
		tar_add(&b.tar, &(struct tar_entry){"f", '0', 0644});
	CHECK_INT(bed_run(&b), -E2BIG);
	bed_end(&b);

	bed_make(&b);
	b.o.max_bytes = 3;
	tar_add(&b.tar, &(struct tar_entry){"big", '0', 0644, .data = "1234"});
	CHECK_INT(bed_run(&b), -EFBIG);
	CHECK(strstr(b.e.text, "entry 'big'"));
	bed_end(&b);

	bed_make(&b);
	for (int i = 0; i < 1000; i++)
		buf_adds(&deep, "a/");
	tar_add_pax(&b.tar, "path", deep.p, deep.n);
	tar_add(&b.tar, &(struct tar_entry){"x", '5', 0755});
	CHECK_INT(bed_run(&b), -ENAMETOOLONG);
	bed_end(&b);

	bed_make(&b);
	b.limits.max_bytes = 4096;
	for (int i = 0; i < 20; i++)
		tar_add(&b.tar, &(struct tar_entry){"f", '0', 0644});
	CHECK_INT(bed_run(&b), -EFBIG);
	bed_end(&b);
}

TEST(damage_is_found)
{
	struct bed b;
	AUTO_FREE char *noise = mem_new(100000);

	bed_make(&b); /* the header says 700 bytes, five and the end follow */
	tar_add(&b.tar, &(struct tar_entry){"f", '0', 0644, .data = "12345", .size = 70000});
	CHECK_INT(bed_run(&b), -EBADMSG);
	bed_end(&b);

	bed_make(&b);
	tar_add(&b.tar, &(struct tar_entry){"f", '0', 0644});
	tar_add(&b.tar, &(struct tar_entry){"g", '0', 0644});
	b.tar.p[512] ^= 1; /* the second header's checksum is wrong now */
	CHECK_INT(bed_run(&b), -EBADMSG);
	bed_end(&b);

	bed_make(&b);
	for (int i = 0; i < 100000; i++)
		noise[i] = (char)(i * 7919 >> 3);
	CHECK_INT(bed_run_bytes(&b, noise, 100000), -EBADMSG);
	bed_end(&b);

	bed_make(&b); /* nothing at all is an empty layer */
	CHECK_INT(bed_run(&b), 0);
	CHECK_INT(b.st.entries, 0);
	bed_end(&b);
}

TEST(compressed_streams)
{
	AUTO_FREE char *z = mem_new(1 << 20);
	AUTO_FREE char *zeros = mem_new(8 << 20);
	size_t n;
	struct bed b;

	bed_make(&b);
	tar_add(&b.tar, &(struct tar_entry){"f", '0', 0644, .data = "zstd"});
	tar_end(&b.tar);
	n = ZSTD_compress(z, 1 << 20, b.tar.p, b.tar.n, 3);
	CHECK_INT(bed_run_bytes(&b, z, n), 0);
	CHECK_STR(b.e.text, "");
	CHECK_INT(b.sums.compression, IMG_ZSTD);
	CHECK_INT(b.sums.out_bytes, b.tar.n);
	CHECK_INT(mode_of(&b, "f"), S_IFREG | 0644);
	CHECK_INT(bed_run_bytes(&b, z, n - 3), -EBADMSG);
	bed_end(&b);

	bed_make(&b); /* 8 MiB of zeros in less than a KiB */
	b.limits.free_bytes = 1 << 20;
	n = ZSTD_compress(z, 1 << 20, zeros, 8 << 20, 3);
	CHECK_INT(bed_run_bytes(&b, z, n), 0 - EFBIG);
	CHECK(strstr(b.e.text, "bomb"));
	bed_end(&b);
}

TEST_MAIN
