#include "jail/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/proc.h"

bool is_up(const struct idx_record *r)
{
	switch (r->state) {
	case JAIL_STARTING:
	case JAIL_RUNNING:
	case JAIL_PAUSED:
	case JAIL_RESTARTING:
	case JAIL_STOPPING:
		return !idx_orphan(r);
	default:
		return false;
	}
}

static int no_such(const char *which, struct err *e)
{
	AUTO_FREE char *shown = str_visible(which);

	return err_set(e, ENOENT, "there is no jail '%.64s'; 'jail ls' lists them", shown);
}

int find_slot(struct jail_env *env, const char *which, uint32_t *ret_slot, struct idx_record *ret,
	struct err *e)
{
	uint64_t jid;
	struct err none = {0};
	uint32_t slot;

	if (isdigit((unsigned char)which[0]) && parse_u64(which, 1, UINT32_MAX, &jid, &none) == 0)
		slot = idx_find_jid(env->index, (uint32_t)jid);
	else if (parse_name("jail", which, e) < 0)
		return -e->code;
	else
		slot = idx_find(env->index, which);
	if (slot == IDX_NONE || !idx_read(env->index, slot, ret))
		return no_such(which, e);
	*ret_slot = slot;
	return 0;
}

int hold_slot(struct jail_env *env, const char *which, uint32_t *ret_slot, struct idx_record *ret,
	struct err *e)
{
	struct idx_record before;
	uint32_t slot;

	if (find_slot(env, which, &slot, &before, e) < 0 ||
		idx_slot_lock(env->index, slot, HOLD_WAIT_MS, e) < 0)
		return -e->code;
	/* While this one waited for the lock the jail may have gone, and the slot been given on. */
	if (!idx_read(env->index, slot, ret) || ret->jid != before.jid ||
		strcmp(ret->name, before.name)) {
		idx_slot_unlock(env->index, slot);
		return no_such(which, e);
	}
	if (repair_locked(env, slot, e) < 0) {
		idx_slot_unlock(env->index, slot);
		return -e->code;
	}
	idx_read(env->index, slot, ret);
	*ret_slot = slot;
	return 0;
}

static void set_timeout(int sock, uint64_t timeout_ms)
{
	const struct timeval tv = {.tv_sec = (time_t)(timeout_ms / 1000),
		.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

int client_connect(struct jail_env *env, const char *name, uint64_t timeout_ms, struct err *e)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct err none = {0};
	AUTO_FD int dir = env_run_dir(env, name, &none);

	if (sock < 0)
		return err_sys(e, "cannot make a socket");
	if (dir >= 0) {
		snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/ctl.sock", dir);
		set_timeout(sock, timeout_ms);
		if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
			return fd_take(&sock);
		if (errno == EAGAIN)
			return err_set(
				e, ETIMEDOUT, "the supervisor of jail '%s' does not answer", name);
	}
	return err_set(e, ESRCH, "jail '%s' is not running; 'jail start %s' starts it", name, name);
}

int client_open(struct jail_env *env, const char *which, struct idx_record *ret, struct err *e)
{
	uint32_t slot;
	int sock;

	if (find_slot(env, which, &slot, ret, e) < 0)
		return -e->code;
	if (idx_orphan(ret)) {
		if (hold_slot(env, which, &slot, ret, e) < 0)
			return -e->code;
		idx_slot_unlock(env->index, slot);
	}
	if (!is_up(ret))
		return err_set(e, ESRCH, "jail '%s' is not running; 'jail start %s' starts it",
			ret->name, ret->name);
	sock = client_connect(env, ret->name, REQUEST_MS, e);
	/* It is just coming up, or just going: its command holds the lock until that is over. */
	if (sock == -ESRCH && idx_slot_lock(env->index, slot, HOLD_WAIT_MS, e) == 0) {
		idx_slot_unlock(env->index, slot);
		sock = client_connect(env, ret->name, REQUEST_MS, e);
	}
	return sock;
}

int client_answer(int sock, struct msg *ret, int *ret_fd, struct err *e)
{
	struct msg_error m = {0};
	int fd = -1;
	size_t n_fds = 1;
	ssize_t n = fd_recv(sock, &m, sizeof(m), &fd, &n_fds);

	if (n == -EAGAIN)
		return err_set(e, ETIMEDOUT, "the supervisor does not answer");
	if (n <= 0)
		return err_set(e, EPIPE, "the supervisor of the jail died");
	if (m.m.kind == MSG_ERROR && (size_t)n == sizeof(m)) {
		fd_close(&fd);
		*e = m.err;
		err_sanitize(e);
		return -e->code;
	}
	if ((size_t)n != sizeof(m.m)) {
		fd_close(&fd);
		return err_set(e, EPROTO,
			"the supervisor talks nonsense; was the program replaced while the jail "
			"ran?");
	}
	*ret = m.m;
	if (ret_fd)
		*ret_fd = n_fds ? fd : -1;
	else
		fd_close(&fd);
	return 0;
}

int client_request(int sock, const struct msg *m, const void *extra, size_t n_extra, const int *fds,
	size_t n_fds, struct msg *ret, int *ret_fd, struct err *e)
{
	AUTO_FREE char *all = NULL;
	int r;

	if (n_extra) {
		all = mem_new(sizeof(*m) + n_extra);
		memcpy(all, m, sizeof(*m));
		memcpy(all + sizeof(*m), extra, n_extra);
	}
	r = fd_send(sock, all ? (const void *)all : m, sizeof(*m) + n_extra, fds, n_fds);
	if (r == -EAGAIN)
		return err_set(e, ETIMEDOUT, "the supervisor does not answer");
	if (r < 0)
		return err_set(e, r == -EPIPE ? EPIPE : -r, "cannot ask the supervisor: %s",
			strerrordesc_np(-r));
	return client_answer(sock, ret, ret_fd, e);
}

int client_entry(int sock, struct entry_fds *ret, struct err *e)
{
	const struct msg ask = {.kind = MSG_PIDFD};
	struct msg_error m = {0};
	int fds[3] = {-1, -1, -1};
	size_t n_fds = 3;
	ssize_t n;

	if (fd_send(sock, &ask, sizeof(ask), NULL, 0) < 0)
		return err_set(e, EPIPE, "the supervisor does not answer");
	n = fd_recv(sock, &m, sizeof(m), fds, &n_fds);
	*ret = (struct entry_fds){fds[0], fds[1], fds[2]};
	if (n == (ssize_t)sizeof(m.m) && m.m.kind == MSG_OK && n_fds)
		return 0;
	entry_release(ret);
	if (n == (ssize_t)sizeof(m) && m.m.kind == MSG_ERROR) {
		*e = m.err;
		err_sanitize(e);
		return -e->code;
	}
	return err_set(e, n == -EAGAIN ? ETIMEDOUT : EPROTO, "the supervisor does not answer");
}

void entry_release(struct entry_fds *f)
{
	fd_close(&f->pidfd);
	fd_close(&f->user);
	fd_close(&f->mnt);
}

int client_hello(int sock, struct msg_record *ret, struct err *e)
{
	const struct msg m = {.kind = MSG_HELLO};
	ssize_t n;

	if (fd_send(sock, &m, sizeof(m), NULL, 0) < 0)
		return err_set(e, EPIPE, "the supervisor does not answer");
	n = fd_recv(sock, ret, sizeof(*ret), NULL, NULL);
	if (n != (ssize_t)sizeof(*ret) || ret->m.kind != MSG_OK)
		return err_set(e, EPROTO, "the supervisor does not answer");
	ret->rec.name[JAIL_NAME_MAX] = '\0';
	return 0;
}
