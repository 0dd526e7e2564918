#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/isolation.h"
#include "test.h"

static struct err err;

/* A root directory with the two files. */
struct root {
	char path[32];
	int fd;
};

static void put(const struct root *r, const char *name, const char *text, size_t n)
{
	AUTO_FD int fd = openat(r->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK_INT(fd_write_full(fd, text, n), 0);
}

static struct root root_new(const char *passwd, const char *group)
{
	struct root r = {.path = "/tmp/iso-user.XXXXXX", .fd = -1};

	CHECK(mkdtemp(r.path) != NULL);
	r.fd = open(r.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(mkdirat(r.fd, "etc", 0755), 0);
	if (passwd)
		put(&r, "etc/passwd", passwd, strlen(passwd));
	if (group)
		put(&r, "etc/group", group, strlen(group));
	return r;
}

static void root_release(struct root *r)
{
	/* From the directory itself: /tmp may be a mount of its own. */
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e;

	close(r->fd);
	CHECK_INT(path_rmtree(tmp, r->path + strlen("/tmp/"), &e), 0);
}
#define AUTO_ROOT __attribute__((cleanup(root_release)))

static void user_release(struct spec_user *u)
{
	free(u->additional_gids);
}
#define AUTO_USER __attribute__((cleanup(user_release)))

static const char passwd_text[] = "root:x:0:0:root:/root:/bin/sh\n"
				  "# a comment\n"
				  "\n"
				  "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
				  "1000:x:0:0:evil:/root:/bin/sh\n"
				  "broken:x:abc:0::/:\n"
				  "short:x\n"
				  "wrap:x:4294967296:0::/:\n"
				  "alice:x:1001:1002::/home/alice:/bin/sh\n"
				  "rel:x:1003:1003::not/absolute:\n"
				  "+::::::\n"
				  "last:x:1004:1004::/l";
static const char group_text[] = "root:x:0:\n"
				 "1002:x:0:\n"
				 "users:x:100:alice,bob\n"
				 "wheel:x:10:bob,alice\n"
				 "twice:x:10:alice\n"
				 "mine:x:1002:alice\n"
				 "none:x:77:\n"
				 "alicex:x:78:alicex,xalice\n"
				 "bad:x:-1:alice\n"
				 "docker:x:999";

TEST(who_is_who)
{
	static const struct {
		const char *text;
		uint32_t uid, gid;
		size_t n_gids;
		uint32_t gids[4];
		const char *home;
	} rows[] = {
		{"root", 0, 0, 1, {0}, "/root"},
		{"0", 0, 0, 1, {0}, "/root"},
		{"alice", 1001, 1002, 3, {1002, 10, 100}, "/home/alice"},
		{"1001", 1001, 1002, 3, {1002, 10, 100}, "/home/alice"},
		{"alice:users", 1001, 100, 1, {100}, "/home/alice"},
		{"alice:5", 1001, 5, 1, {5}, "/home/alice"},
		{"4242", 4242, 0, 1, {0}, NULL},
		{"4242:users", 4242, 100, 1, {100}, NULL},
		{"4242:4243", 4242, 4243, 1, {4243}, NULL},
		{"rel", 1003, 1003, 1, {1003}, NULL},
		{"last", 1004, 1004, 1, {1004}, "/l"},
		{"root:docker", 0, 999, 1, {999}, "/root"},
		{"4294967294", 4294967294, 0, 1, {0}, NULL},
		/* A number is a number, whatever a line is called. */
		{"1000", 1000, 0, 1, {0}, NULL},
		{"root:1002", 0, 1002, 1, {1002}, "/root"},
	};
	AUTO_ROOT struct root r = root_new(passwd_text, group_text);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_USER struct spec_user u = {0};
		AUTO_FREE char *home = NULL;

		CHECK_INT(iso_user_lookup(r.fd, rows[i].text, &u, &home, &err), 0);
		if (u.uid != rows[i].uid || u.gid != rows[i].gid)
			printf("# '%s'\n", rows[i].text);
		CHECK_INT(u.uid, rows[i].uid);
		CHECK_INT(u.gid, rows[i].gid);
		CHECK_INT(u.n_additional_gids, rows[i].n_gids);
		for (size_t k = 0; k < u.n_additional_gids && k < rows[i].n_gids; k++)
			CHECK_INT(u.additional_gids[k], rows[i].gids[k]);
		CHECK_STR(home, rows[i].home);
	}
}

TEST(odd_ones_are_refused)
{
	static const char *const texts[] = {"", "nobody-here", "4294967295", "4294967296",
		"18446744073709551616", "99999999999999999999999999999999", "-1", "0:4294967296",
		"0:-1", "root:", ":0", ":", "a:b:c", "root:root:", "root::root", " root", "root ",
		"+", "0x0", "1e3", "root:nosuch", "broken", "short", "wrap", "bad", "root\n",
		"\xd9\xa1", "# a comment"};
	AUTO_ROOT struct root r = root_new(passwd_text, group_text);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct spec_user u = {.uid = 7, .gid = 8};
		char *home = NULL;

		if (iso_user_lookup(r.fd, texts[i], &u, &home, &err) >= 0)
			printf("# '%s' was accepted\n", texts[i]);
		CHECK(err.code > 0);
		CHECK(u.uid == 7 && u.gid == 8 && !u.additional_gids && !home);
	}
}

TEST(errors_hold_the_question_and_nothing_of_the_files)
{
	AUTO_ROOT struct root r =
		root_new("secret:x:abc:SECRET::/SECRET:\nsecret", "SECRET:SECRET:SECRET:SECRET");
	struct spec_user u = {0};

	CHECK_INT(iso_user_lookup(r.fd, "who\033[2J", &u, NULL, &err), -ENOENT);
	CHECK(strstr(err.text, "who") && !strstr(err.text, "SECRET") && !strchr(err.text, 033));
}

TEST(no_files_at_all)
{
	AUTO_ROOT struct root r = root_new(NULL, NULL);
	AUTO_USER struct spec_user u = {0};

	CHECK_INT(iso_user_lookup(r.fd, "1000:1001", &u, NULL, &err), 0);
	CHECK_INT(u.uid, 1000);
	CHECK_INT(u.gid, 1001);
	CHECK_INT(iso_user_lookup(r.fd, "root", &u, NULL, &err), -ENOENT);
}

static void make_fifo(const struct root *r)
{
	CHECK_INT(mkfifoat(r->fd, "etc/passwd", 0644), 0);
}

static void make_device(const struct root *r)
{
	CHECK_INT(mknodat(r->fd, "etc/passwd", S_IFCHR | 0644, makedev(1, 5)), 0); /* zero */
}

static void make_directory(const struct root *r)
{
	CHECK_INT(mkdirat(r->fd, "etc/passwd", 0755), 0);
}

static void make_huge(const struct root *r)
{
	AUTO_FD int fd = openat(r->fd, "etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK_INT(ftruncate(fd, 20ll << 30), 0);
}

static void make_loop(const struct root *r)
{
	CHECK_INT(symlinkat("passwd", r->fd, "etc/passwd"), 0);
}

/* A magic link would leave the root. */
static void make_magic(const struct root *r)
{
	CHECK_INT(symlinkat("/proc/self/fd/0", r->fd, "etc/passwd"), 0);
}

TEST(passwd_that_is_no_file)
{
	static void (*const makers[])(const struct root *) = {
		make_fifo, make_device, make_directory, make_huge, make_loop};
	uint64_t before = time_mono_ms();

	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		AUTO_ROOT struct root r = root_new(NULL, group_text);
		struct spec_user u = {0};

		makers[i](&r);
		CHECK(iso_user_lookup(r.fd, "root", &u, NULL, &err) < 0);
		CHECK(strstr(err.text, "/etc/passwd") != NULL);
		/* By number it can still be used; a group by name needs its own file. */
		CHECK_INT(iso_user_lookup(r.fd, "1000:users", &u, NULL, &err), 0);
		CHECK(u.uid == 1000 && u.gid == 100 && u.n_additional_gids == 1);
		CHECK_INT(unlinkat(r.fd, "etc/group", 0), 0);
		CHECK_INT(renameat(r.fd, "etc/passwd", r.fd, "etc/group"), 0);
		CHECK(iso_user_lookup(r.fd, "1000:users", &u, NULL, &err) < 0);
		CHECK(strstr(err.text, "/etc/group") != NULL);
		CHECK_INT(iso_user_lookup(r.fd, "7:8", &u, NULL, &err), 0);
		CHECK(u.uid == 7 && u.gid == 8);
		free(u.additional_gids);
	}
	CHECK(time_mono_ms() - before < 60000); /* none of them blocks */
}

TEST(links_stay_inside_the_root)
{
	AUTO_ROOT struct root r = root_new(NULL, NULL), outside = root_new("eve:x:5:5::/:\n", NULL);
	AUTO_USER struct spec_user u = {0};
	char target[64];

	/* An absolute link to a file that exists outside, and by climbing: neither is found. */
	snprintf(target, sizeof(target), "%s/etc/passwd", outside.path);
	CHECK_INT(symlinkat(target, r.fd, "etc/passwd"), 0);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), -ENOENT);
	CHECK_INT(unlinkat(r.fd, "etc/passwd", 0), 0);
	snprintf(target, sizeof(target), "../../../../../../..%s/etc/passwd", outside.path);
	CHECK_INT(symlinkat(target, r.fd, "etc/passwd"), 0);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), -ENOENT);
	CHECK_INT(unlinkat(r.fd, "etc/passwd", 0), 0);
	make_magic(&r);
	CHECK(iso_user_lookup(r.fd, "eve", &u, NULL, &err) < 0);
	/* Inside, links are links: /etc/passwd -> /usr/etc/passwd is how some images come. */
	CHECK_INT(unlinkat(r.fd, "etc/passwd", 0), 0);
	put(&r, "real", "eve:x:6:6::/e:\n", 15);
	CHECK_INT(symlinkat("/real", r.fd, "etc/passwd"), 0);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), 0);
	CHECK_INT(u.uid, 6);
}

TEST(long_lines_and_zero_bytes)
{
	enum { LONG = 1 << 20 };
	AUTO_ROOT struct root r = root_new(NULL, NULL);
	AUTO_USER struct spec_user u = {0};
	AUTO_BUF struct buf text = {0};
	char *big = malloc(LONG);

	memset(big, 'a', LONG);
	buf_add(&text, big, LONG);
	buf_adds(&text, ":x:9:9::/:\n");
	buf_add(&text, "eve\0x:x:1:1::/:\neve:x:7:7::/\0:\n", 31);
	put(&r, "etc/passwd", text.p, text.n);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), 0);
	CHECK_INT(u.uid, 7);
	big[LONG - 1] = '\0';
	CHECK(iso_user_lookup(r.fd, big, &u, NULL, &err) < 0);
	free(big);
}

TEST(many_groups)
{
	AUTO_ROOT struct root r = root_new("eve:x:7:7::/:\n", NULL);
	AUTO_USER struct spec_user u = {0};
	AUTO_BUF struct buf text = {0};

	for (int i = 0; i < 70000; i++)
		buf_addf(&text, "g:x:%d:eve\n", 1000 + i % 60000);
	put(&r, "etc/group", text.p, text.n);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), -E2BIG);
	put(&r, "etc/group", text.p, text.n / 2);
	CHECK_INT(iso_user_lookup(r.fd, "eve", &u, NULL, &err), 0);
	CHECK(u.n_additional_gids > 30000 && u.n_additional_gids < 36000);
}

TEST_MAIN
