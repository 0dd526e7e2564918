/*
 * The guest's side of the wire, without a guest: the server in a child process on a unix socket,
 * the engine beneath it for real, and a client that says what it likes.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/server.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "spec/spec.h"

enum { WAIT_MS = 20000 };

static char dir[] = "/tmp/agent.XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static pid_t server_pid;
static int owner; /* our end of the server's first session */

static int give_root(const struct agent_root *root, char **ret_path, struct err *e)
{
	if (root->device)
		return err_set(e, ENODEV, "no such device '%s'", root->device);
	*ret_path = str_fmt("%s/root", dir);
	return 0;
}

static void __attribute__((noreturn)) serve(int listen_fd, int session)
{
	const struct agent_hooks hooks = {.root = give_root};
	struct agent_server *s;
	struct err e = {0};

	/* Mounts of the engine's stay here. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(3);
	if (agent_server_new(&hooks, &s, &e) < 0 || agent_server_listen(s, listen_fd, &e) < 0 ||
		agent_server_session(s, session, true, &e) < 0 || agent_server_run(s, &e) < 0)
		_exit(4);
	agent_server_free(s);
	_exit(0);
}

static void start(void)
{
	int pair[2], fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	unlink(address.sun_path);
	CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_INT(listen(fd, 16), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	server_pid = fork();
	if (server_pid == 0) {
		close(pair[0]);
		serve(fd, pair[1]);
	}
	close(fd);
	close(pair[1]);
	owner = pair[0];
}

/* The server ends with its owner: its exit status. */
static int stop(void)
{
	int status = -1;

	close(owner);
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (waitpid(server_pid, &status, WNOHANG) == server_pid)
			return proc_exit_code(status);
		usleep(10000);
	}
	kill(server_pid, SIGKILL);
	waitpid(server_pid, &status, 0);
	return -1;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

struct talk {
	int fd;
	struct buf in;
	struct wire_frame f;
};

static void say(struct talk *t, enum wire_type type, uint32_t id, uint32_t arg, uint16_t flags,
	const char *body)
{
	CHECK_INT(wire_send(t->fd, &(struct wire_frame){.type = (uint16_t)type,
					   .id = id,
					   .arg = arg,
					   .flags = flags,
					   .body = body,
					   .body_bytes = body ? (uint32_t)strlen(body) : 0}),
		0);
}

static void hear(struct talk *t, enum wire_type type)
{
	int r = wire_recv(t->fd, &t->in, &t->f, WAIT_MS);

	CHECK_INT(r, 0);
	CHECK_INT(t->f.type, type);
	if (r == 0 && t->f.type == WIRE_ERROR && type != WIRE_ERROR)
		printf("# %.*s\n", (int)t->f.body_bytes, t->f.body);
}

static bool over(struct talk *t)
{
	return wire_recv(t->fd, &t->in, &t->f, WAIT_MS) == -ECONNRESET;
}

static void greet(struct talk *t, int fd)
{
	*t = (struct talk){.fd = fd};
	say(t, WIRE_HELLO, 0, WIRE_VERSION, 0, NULL);
	hear(t, WIRE_HELLO);
	CHECK_INT(t->f.arg, WIRE_VERSION);
}

static void end(struct talk *t)
{
	close(t->fd);
	buf_release(&t->in);
}

TEST(the_server_lives_as_long_as_its_owner)
{
	struct talk t;

	CHECK(mkdtemp(dir) != NULL);
	start();
	greet(&t, dup(owner));
	say(&t, WIRE_PING, 0, 77, 0, NULL);
	hear(&t, WIRE_OK);
	CHECK_INT(t.f.arg, 77);
	end(&t);
	CHECK_INT(stop(), 0);
	start();
	greet(&t, dup(owner));
	say(&t, WIRE_POWEROFF, 0, 0, 0, NULL);
	hear(&t, WIRE_OK);
	end(&t);
	CHECK_INT(stop(), 0);
}

TEST(requests_out_of_place_are_answered)
{
	static const struct {
		enum wire_type type;
		const char *body;
	} wrong[] = {
		{99, NULL},
		{WIRE_EXITED, NULL},
		{WIRE_ATTACH, NULL},
		{WIRE_CREATE, "{}"},
		{WIRE_ROOT, "not json"},
		{WIRE_ROOT, "{\"device\":\"/dev/nonesuch\"}"},
		{WIRE_ROOT, "{\"surprise\":1}"},
		{WIRE_EXEC, "{}"},
		{WIRE_EXEC, "{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}}"},
		{WIRE_START, NULL},
		{WIRE_SIGNAL, NULL},
		{WIRE_RESIZE, NULL},
		{WIRE_TIME, "x"},
	};
	struct talk t;

	start();
	greet(&t, dial());
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		say(&t, wrong[i].type, 5, 0, 0, wrong[i].body);
		hear(&t, WIRE_ERROR);
		CHECK(t.f.body_bytes > 0);
	}
	say(&t, WIRE_PING, 0, 1, 0, NULL);
	hear(&t, WIRE_OK);
	end(&t);
	CHECK_INT(stop(), 0);
}

TEST(strangers_are_shown_out)
{
	struct talk t = {0};
	char junk[64];

	start();
	memset(junk, 0xff, sizeof(junk));
	t.fd = dial();
	CHECK_INT(fd_write_full(t.fd, junk, 16), 0);
	CHECK(over(&t));
	end(&t);
	/* Another version, another first frame, a stream of nobody's, one for a job that is not. */
	t = (struct talk){.fd = dial()};
	say(&t, WIRE_HELLO, 0, WIRE_VERSION + 1, 0, NULL);
	CHECK(over(&t));
	end(&t);
	t = (struct talk){.fd = dial()};
	say(&t, WIRE_PING, 0, 0, 0, NULL);
	CHECK(over(&t));
	end(&t);
	t = (struct talk){.fd = dial()};
	say(&t, WIRE_ATTACH, 12345, 0, 0, NULL);
	CHECK(over(&t));
	end(&t);
	/* Half a frame, then nothing: costs a connection and no more. */
	t = (struct talk){.fd = dial()};
	CHECK_INT(fd_write_full(t.fd, "\1\0", 2), 0);
	end(&t);
	CHECK_INT(stop(), 0);
}

static char *make_config(const char *const *args)
{
	struct spec s = {.oci_version = str_dup(SPEC_OCI_VERSION), .has_linux = true};
	char *json;

	s.root.path = str_dup("root");
	s.process = mem_new(sizeof(*s.process));
	for (; *args; args++)
		strv_add(&s.process->args, *args);
	strv_add(&s.process->env, "PATH=/bin");
	s.process->cwd = str_dup("/");
	spec_add_mount(&s, "/proc", "proc", "proc", NULL);
	spec_add_ns(&s, SPEC_NS_PID, NULL);
	spec_add_ns(&s, SPEC_NS_MOUNT, NULL);
	spec_add_ns(&s, SPEC_NS_IPC, NULL);
	json = spec_print(&s, JSON_COMPACT);
	spec_release(&s);
	return json;
}

static int stream(uint32_t job, uint32_t nr)
{
	struct talk t = {.fd = dial()};

	say(&t, WIRE_ATTACH, job, nr, 0, NULL);
	return t.fd;
}

static void make_root(void)
{
	AUTO_FREE char *busybox = str_fmt("%s/root/bin/busybox", dir);
	AUTO_FREE char *sh = str_fmt("%s/root/bin/sh", dir);
	AUTO_FD int base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err e;
	int fd, status;

	for (size_t i = 0; i < 3; i++) {
		fd = path_mkdirs(base,
			(const char *const[]){"root/bin", "root/proc", "root/dev"}[i], 0755, &e);
		fd_close(&fd);
	}
	CHECK_INT(proc_run(&(struct proc_cmd){.path = "/bin/cp",
				   .argv = (char *[]){"cp", "/bin/busybox", busybox, NULL},
				   .timeout_ms = WAIT_MS},
			  &status, &e),
		0);
	CHECK_INT(symlink("busybox", sh), 0);
}

TEST(a_jail_and_a_program_beside_it)
{
	AUTO_FREE char *config =
		make_config((const char *const[]){"sh", "-c", "read x; echo got $x; exit 9", NULL});
	struct talk t, u;
	uint32_t jail;
	int in, out;
	char text[64] = "";

	make_root();
	start();
	greet(&t, dial());
	say(&t, WIRE_ROOT, 0, 0, 0, "{\"layer\":false}");
	hear(&t, WIRE_OK);
	say(&t, WIRE_ROOT, 0, 0, 0, "{}");
	hear(&t, WIRE_ERROR);
	say(&t, WIRE_CREATE, 0, 0, WIRE_STDIN | WIRE_STDOUT, config);
	hear(&t, WIRE_OPENED);
	jail = t.f.id;
	in = stream(jail, 0);
	out = stream(jail, 1);
	hear(&t, WIRE_CREATED);
	say(&t, WIRE_CREATE, 0, 0, 0, config);
	hear(&t, WIRE_ERROR); /* one jail per guest */
	say(&t, WIRE_START, jail, 0, 0, NULL);
	hear(&t, WIRE_STARTED);
	/* Another session executes; what it says and how it ends goes there. */
	greet(&u, dial());
	say(&u, WIRE_EXEC, 0, 0, 0,
		"{\"cwd\":\"/\",\"args\":[\"/bin/sh\",\"-c\",\"exit "
		"4\"],\"user\":{\"uid\":0,\"gid\":0}}");
	hear(&u, WIRE_OPENED);
	hear(&u, WIRE_STARTED);
	hear(&u, WIRE_EXITED);
	CHECK_INT(proc_exit_code((int)u.f.arg), 4);
	say(&u, WIRE_EXEC, 0, 0, 0,
		"{\"cwd\":\"/\",\"args\":[\"/bin/nonesuch\"],\"user\":{\"uid\":0,\"gid\":0}}");
	hear(&u, WIRE_OPENED);
	hear(&u, WIRE_ERROR);
	CHECK_INT(u.f.arg, ERR_EXIT_NOT_FOUND);
	end(&u);
	CHECK_INT(fd_write_full(in, "it\n", 3), 0);
	CHECK_INT(fd_read_full(out, text, sizeof(text)), 7);
	CHECK_STR(text, "got it\n");
	hear(&t, WIRE_EXITED);
	CHECK_INT(proc_exit_code((int)t.f.arg), 9);
	close(in);
	close(out);
	end(&t);
	CHECK_INT(stop(), 0);
}

TEST(the_end_is_told_while_streams_are_held_open)
{
	AUTO_FREE char *config =
		make_config((const char *const[]){"sh", "-c", "busybox sleep 1000 & exit 5", NULL});
	struct talk t;
	int out;

	start();
	greet(&t, dial());
	say(&t, WIRE_ROOT, 0, 0, 0, "{}");
	hear(&t, WIRE_OK);
	say(&t, WIRE_CREATE, 0, 0, WIRE_STDOUT, config);
	hear(&t, WIRE_OPENED);
	out = stream(t.f.id, 1);
	hear(&t, WIRE_CREATED);
	say(&t, WIRE_START, t.f.id, 0, 0, NULL);
	hear(&t, WIRE_STARTED);
	hear(&t, WIRE_EXITED);
	CHECK_INT(proc_exit_code((int)t.f.arg), 5);
	close(out);
	end(&t);
	CHECK_INT(stop(), 0);
}

TEST(clean_up)
{
	struct err e;
	int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(path_rmtree(tmp, dir + strlen("/tmp/"), &e), 0);
	close(tmp);
}

TEST_MAIN
