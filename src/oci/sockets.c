/*
 * What a new process is announced through: console, pid file, pidfd and seccomp listener.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "oci/internal.h"

enum { HANDED_MAX = 1024 };

/* sun_path holds 107 bytes, and engines' directories are longer: by way of the directory's fd. */
static int address(const char *path, struct sockaddr_un *addr, int *ret_dir, struct err *e)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *dir = slash ? str_dup_n(path, (size_t)(slash - path)) : str_dup(".");
	const char *base = slash ? slash + 1 : path;
	int n;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, strlen(path) + 1);
		return 0;
	}
	*ret_dir = open(*dir ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return err_sys(e, "cannot open directory '%s'", dir);
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", *ret_dir, base);
	if (n >= (int)sizeof(addr->sun_path))
		return err_set(e, ENAMETOOLONG, "socket name '%s' is too long", base);
	return 0;
}

int socket_connect(const char *path, int type, struct err *e)
{
	AUTO_FD int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	AUTO_FD int dir = -1;
	struct sockaddr_un addr;

	if (sock < 0)
		return err_sys(e, "cannot make a socket");
	if (address(path, &addr, &dir, e) < 0)
		return -e->code;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "cannot connect to socket '%s'", path);
	return fd_take(&sock);
}

int socket_listen(int dir_fd, const char *name, struct err *e)
{
	AUTO_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (sock < 0)
		return err_sys(e, "cannot make a socket");
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(sock, 1) < 0)
		return err_sys(e, "cannot listen on socket '%s'", name);
	return fd_take(&sock);
}

int socket_send_fd(const char *path, const char *text, int fd, const char *what, struct err *e)
{
	AUTO_FD int sock = socket_connect(path, SOCK_STREAM, e);
	int r;

	if (sock < 0)
		return err_prefix(e, "cannot send the %s", what);
	r = fd_send(sock, text, strlen(text), &fd, 1);
	return r < 0 ? err_set(e, -r, "cannot send the %s to socket '%s': %s", what, path,
			       strerrordesc_np(-r))
		     : 0;
}

int write_pid_file(const char *path, pid_t pid, struct err *e)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *dir = slash ? str_dup_n(path, (size_t)(slash - path) + 1) : str_dup(".");
	AUTO_FREE char *text = str_fmt("%d", (int)pid);
	AUTO_FD int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "cannot open directory '%s' of the pid file", dir);
	return file_replace(fd, slash ? slash + 1 : path, text, strlen(text), 0644, 0, e);
}

int announce_process(const char *console_socket, const char *pid_file, const char *pidfd_socket,
	const struct iso_jail *j, struct err *e)
{
	/* The name is what containerd and conmon show in logs; the descriptor is what counts. */
	if (console_socket && j->console_fd >= 0 &&
		socket_send_fd(console_socket, "/dev/ptmx", j->console_fd, "console", e) < 0)
		return -e->code;
	if (pidfd_socket && socket_send_fd(pidfd_socket, "pidfd", j->pidfd, "pidfd", e) < 0)
		return -e->code;
	return pid_file ? write_pid_file(pid_file, j->pid, e) : 0;
}

/* config-linux.md "The Container Process State". */
struct process_state {
	char *oci_version;
	struct strv fds;
	int32_t pid;
	char *metadata, *state;
};
static const struct json_field process_state_fields[] = {
	JSON_FIELD(struct process_state, oci_version, "ociVersion", JSON_STR),
	JSON_FIELD(struct process_state, fds, "fds", JSON_STRV),
	JSON_FIELD(struct process_state, pid, "pid", JSON_I32),
	JSON_FIELD(struct process_state, metadata, "metadata", JSON_STR),
	JSON_FIELD(struct process_state, state, "state", JSON_RAW),
};
static const struct json_table process_state_table =
	JSON_TABLE(struct process_state, process_state_fields);

int send_seccomp_listener(
	const struct container *c, int fd, pid_t pid, enum oci_status status, struct err *e)
{
	const struct spec_seccomp *s = c->spec.linux.seccomp;
	struct process_state ps = {.pid = (int32_t)pid};
	AUTO_FREE char *text = NULL;

	if (fd < 0 || !s || !s->listener_path)
		return 0;
	ps.oci_version = str_dup(SPEC_OCI_VERSION);
	strv_add(&ps.fds, "seccompFd");
	ps.metadata = str_dup(s->listener_metadata);
	ps.state = state_for_hooks(c, status, c->rec.pid);
	text = json_print_text(&process_state_table, &ps, JSON_COMPACT);
	json_release(&process_state_table, &ps);
	return socket_send_fd(s->listener_path, text, fd, "seccomp listener", e);
}

static uint64_t listen_fds(void)
{
	const char *text = getenv("LISTEN_FDS");
	struct err ignored;
	uint64_t n = 0;

	return text && parse_u64(text, 0, HANDED_MAX, &n, &ignored) >= 0 ? n : 0;
}

int handed_fds(uint64_t preserve, struct strv *env, int **ret, size_t *ret_n, struct err *e)
{
	uint64_t listening = listen_fds(), n = listening + preserve;
	AUTO_FREE int *fds = NULL;

	if (preserve > HANDED_MAX)
		return err_set(e, EINVAL, "--preserve-fds %llu: at most %d",
			(unsigned long long)preserve, HANDED_MAX);
	fds = mem_new_array(n, sizeof(*fds));
	for (uint64_t i = 0; i < n; i++) {
		fds[i] = 3 + (int)i;
		if (fcntl(fds[i], F_GETFD) < 0)
			return err_sys(
				e, "descriptor %d, which is to be handed on, is not open", fds[i]);
	}
	if (listening) {
		AUTO_FREE char *count = str_fmt("%llu", (unsigned long long)listening);

		/* sd_listen_fds(3): the number is that of the reader, 1 inside. */
		strv_setenv(env, "LISTEN_FDS", count);
		strv_setenv(env, "LISTEN_PID", "1");
	}
	*ret = mem_take(&fds);
	*ret_n = n;
	return 0;
}
