/* The copy's stream, from the side of somebody who means harm. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "jail/stream.h"

static char top[] = "/tmp/jail-stream-XXXXXX";
static int dir = -1;

TEST(begin)
{
	CHECK(mkdtemp(top) != NULL);
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(dir, "in", 0755);
}

static void add_entry(
	struct buf *b, enum stream_kind kind, uint32_t mode, const char *name, const char *link)
{
	const struct stream_head h = {.kind = kind,
		.mode = mode,
		.name_bytes = name ? (uint32_t)strlen(name) : 0,
		.link_bytes = link ? (uint32_t)strlen(link) : 0};

	buf_add(b, &h, sizeof(h));
	if (name)
		buf_adds(b, name);
	if (link)
		buf_adds(b, link);
}

static void add_content(struct buf *b, const char *text)
{
	uint32_t n = (uint32_t)strlen(text), zero = 0;

	buf_add(b, &n, sizeof(n));
	buf_adds(b, text);
	buf_add(b, &zero, sizeof(zero));
}

/* Whatever an earlier case left in the target goes. */
static void fresh(void)
{
	struct err e = {0};
	AUTO_FD int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(path_rmtree(in, "copy", &e), 0);
}

static int feed(const struct buf *b, struct err *e)
{
	AUTO_FD int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes;
	uint32_t skipped;
	int pair[2], r;

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(fd_write_full(pair[0], b->p, b->n), 0);
	close(pair[0]);
	r = stream_receive(pair[1], in, "copy", &(struct stream_opts){0}, &bytes, &skipped, e);
	close(pair[1]);
	return r;
}

TEST(a_tree_arrives_without_set_id_bits)
{
	AUTO_BUF struct buf b = {0};
	struct err e = {0};
	struct stat st;

	add_entry(&b, STREAM_DIR, 07777, "whatever", NULL);
	add_entry(&b, STREAM_FILE, 06755, "file", NULL);
	add_content(&b, "hello");
	add_entry(&b, STREAM_LINK, 0777, "link", "/etc/passwd");
	add_entry(&b, STREAM_UP, 0, NULL, NULL);
	add_entry(&b, STREAM_END, 0, NULL, NULL);
	CHECK_INT(feed(&b, &e), 0);
	CHECK_INT(fstatat(dir, "in/copy", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0777);
	CHECK_INT(fstatat(dir, "in/copy/file", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK_INT(st.st_size, 5);
	CHECK_INT(fstatat(dir, "in/copy/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(S_ISLNK(st.st_mode));
}

TEST(names_cannot_lead_out)
{
	static const char *const names[] = {"..", ".", "a/b", "/etc", "../x", ""};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO_BUF struct buf b = {0};
		struct err e = {0};

		add_entry(&b, STREAM_DIR, 0755, "top", NULL);
		add_entry(&b, STREAM_FILE, 0644, names[i], NULL);
		add_content(&b, "evil");
		add_entry(&b, STREAM_UP, 0, NULL, NULL);
		add_entry(&b, STREAM_END, 0, NULL, NULL);
		CHECK_INT(feed(&b, &e), -EPROTO);
	}
	CHECK(faccessat(dir, "x", F_OK, 0) < 0);
}

/* H2: a link first, then something through it. */
TEST(links_are_not_followed)
{
	AUTO_BUF struct buf b = {0}, f = {0};
	struct err e = {0};
	struct stat st;

	mkdirat(dir, "outside", 0755);
	AUTO_FREE char *target = str_fmt("%s/outside", top);
	add_entry(&b, STREAM_DIR, 0755, "top", NULL);
	add_entry(&b, STREAM_LINK, 0777, "d", target);
	add_entry(&b, STREAM_DIR, 0755, "d", NULL);
	add_entry(&b, STREAM_FILE, 0644, "escaped", NULL);
	add_content(&b, "evil");
	CHECK(feed(&b, &e) < 0);
	CHECK(faccessat(dir, "outside/escaped", F_OK, 0) < 0);
	/* A file in place of the link replaces the link. */
	add_entry(&f, STREAM_DIR, 0755, "top", NULL);
	add_entry(&f, STREAM_FILE, 0644, "d", NULL);
	add_content(&f, "plain");
	add_entry(&f, STREAM_UP, 0, NULL, NULL);
	add_entry(&f, STREAM_END, 0, NULL, NULL);
	CHECK_INT(feed(&f, &e), 0);
	CHECK_INT(fstatat(dir, "in/copy/d", &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(S_ISREG(st.st_mode));
}

TEST(nonsense_is_refused)
{
	struct err e = {0};
	AUTO_BUF struct buf up = {0}, unknown = {0}, two = {0}, deep = {0}, cut = {0},
			    open_end = {0}, chunk = {0};
	uint32_t huge = UINT32_MAX;

	add_entry(&up, STREAM_UP, 0, NULL, NULL);
	fresh();
	CHECK_INT(feed(&up, &e), -EPROTO);
	add_entry(&unknown, (enum stream_kind)99, 0, "x", NULL);
	fresh();
	CHECK_INT(feed(&unknown, &e), -EPROTO);
	add_entry(&two, STREAM_LINK, 0, "x", "y");
	add_entry(&two, STREAM_LINK, 0, "z", "y");
	fresh();
	CHECK_INT(feed(&two, &e), -EPROTO);
	for (int i = 0; i < 300; i++)
		add_entry(&deep, STREAM_DIR, 0755, "d", NULL);
	fresh();
	CHECK_INT(feed(&deep, &e), -EPROTO);
	add_entry(&cut, STREAM_FILE, 0644, "file", NULL);
	fresh();
	CHECK_INT(feed(&cut, &e), -EPIPE);
	add_entry(&open_end, STREAM_DIR, 0755, "top", NULL);
	add_entry(&open_end, STREAM_END, 0, NULL, NULL);
	fresh();
	CHECK_INT(feed(&open_end, &e), -EPROTO);
	add_entry(&chunk, STREAM_FILE, 0644, "file", NULL);
	buf_add(&chunk, &huge, sizeof(huge));
	fresh();
	CHECK(feed(&chunk, &e) < 0);
	/* No half file under its name, and no temporary one. */
	AUTO_FD int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(path_rmtree(in, "copy", &e), 0);
	CHECK_INT(unlinkat(dir, "in", AT_REMOVEDIR), 0);
	mkdirat(dir, "in", 0755);
}

TEST(errors_of_the_other_side_are_shown_safely)
{
	struct err theirs = {.code = 5, .text = "bad \033[31m name"}, e = {0};
	AUTO_FD int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes;
	uint32_t skipped;
	int pair[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(stream_send_error(pair[0], &theirs), 0);
	close(pair[0]);
	CHECK_INT(
		stream_receive(pair[1], in, "copy", &(struct stream_opts){0}, &bytes, &skipped, &e),
		-5);
	CHECK(!strchr(e.text, '\033'));
	close(pair[1]);
}

TEST(what_is_sent_is_received)
{
	AUTO_FD int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};
	uint64_t bytes = 0;
	uint32_t skipped = 0;
	int pair[2], status;
	pid_t pid;

	mkdirat(dir, "tree", 0755);
	mkdirat(dir, "tree/sub", 0700);
	mkfifoat(dir, "tree/fifo", 0600);
	AUTO_FD int sub = openat(dir, "tree/sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *big = mem_new(200000);
	memset(big, 'b', 200000);
	CHECK_INT(file_replace(sub, "big", big, 200000, 0640, 0, &e), 0);
	CHECK_INT(symlinkat("sub/big", dir, "tree/l"), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (!pid)
		_exit(stream_send(pair[0], dir, "tree", &e) < 0);
	close(pair[0]);
	CHECK_INT(stream_receive(
			  pair[1], in, "tree2", &(struct stream_opts){0}, &bytes, &skipped, &e),
		0);
	CHECK_STR(e.text, "");
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	CHECK_INT(bytes, 200000);
	CHECK_INT(skipped, 1);
	struct stat st;
	CHECK_INT(fstatat(dir, "in/tree2/sub/big", &st, 0), 0);
	CHECK_INT(st.st_size, 200000);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_INT(fstatat(dir, "in/tree2/sub", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	close(pair[1]);
}

TEST(end)
{
	struct err e = {0};
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(dir);
	CHECK_INT(path_rmtree(tmp, top + 5, &e), 0);
}

TEST_MAIN
