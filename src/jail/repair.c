/*
 * Setting right: one jail that its supervisor or a command left in the middle, and an index
 * that is lost, damaged, of another boot, or out of step with the definitions.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/path.h"
#include "jail/client.h"
#include "jail/updown.h"

enum { EXIT_KILLED = 137, HELLO_MS = 1000, LAST_BYTES_MAX = 4096 };

void record_stopped(struct jail_index *ix, uint32_t slot, int code, bool oom)
{
	struct idx_record *r = idx_edit(ix, slot);

	r->state = JAIL_STOPPED;
	r->exit_code = code;
	r->stopped_ms = time_wall_ms();
	r->init_pid = 0;
	r->init_start = 0;
	r->flags = (r->flags & ~(uint32_t)IDX_OOM) | (oom ? IDX_OOM : 0);
	idx_done(ix, slot);
}

/* ---- one jail ---- */

/* jail_create was killed: the folder has its name only when it is complete. */
static int repair_making(
	struct jail_env *env, uint32_t slot, const struct idx_record *rec, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct idx_record *r;
	struct err none = {0};
	int n;

	if (idx_lock(env->index, e) < 0)
		return -e->code;
	n = remove_leftovers(env, rec->name, e);
	if (n == 0 && def_read(env, rec->name, &def, &none) == 0) {
		r = idx_edit(env->index, slot);
		r->flags &= ~(uint32_t)IDX_MAKING;
		r->owner = 0;
		idx_done(env->index, slot);
	} else if (n == 0) {
		idx_free(env->index, slot);
		n = -ENOENT;
	}
	jail_def_release(&def);
	idx_in_step(env);
	idx_unlock(env->index);
	return n == -ENOENT
		       ? err_set(e, ENOENT, "there is no jail '%s': its creation was interrupted",
				 rec->name)
		       : n;
}

int repair_locked(struct jail_env *env, uint32_t slot, struct err *e)
{
	struct err undo = {0};
	struct idx_record rec;
	struct up u;

	if (!idx_read(env->index, slot, &rec) || !idx_orphan(&rec))
		return 0;
	if (rec.flags & IDX_MAKING)
		return repair_making(env, slot, &rec, e);
	u = (struct up)UP_INIT(env, rec.name, slot);
	u.ephemeral = rec.flags & IDX_EPHEMERAL;
	u.init_pid = rec.init_pid;
	u.init_start = rec.init_start;
	u.undo_err = &undo;
	down_run(&u, UP_FIRST);
	if (undo.code) {
		*e = undo;
		return err_prefix(e, "cannot repair jail '%s'", rec.name);
	}
	idx_event(
		env->index, JAIL_EV_REPAIR, rec.name, rec.jid, 0, "its supervisor had been killed");
	if (u.ephemeral) {
		if (idx_lock(env->index, e) < 0)
			return -e->code;
		idx_free(env->index, slot);
		idx_unlock(env->index);
		return err_set(e, ENOENT,
			"there is no jail '%s' any more: its supervisor was killed, and what it "
			"left is removed",
			rec.name);
	}
	record_stopped(env->index, slot,
		rec.state == JAIL_STARTING && !rec.started_ms ? ERR_EXIT_TOOL : EXIT_KILLED, false);
	__atomic_store_n(&env->index->map->records[slot].owner, 0, __ATOMIC_RELEASE);
	return 0;
}

/* ---- the definitions ---- */

/* What interrupted commands leave in jails/: made but not named, or unnamed but not yet gone. */
int remove_leftovers(struct jail_env *env, const char *name, struct err *e)
{
	AUTO_FREE char *making = str_fmt(".%s.new", name), *going = str_fmt(".%s.gone", name);

	if (remove_tree(env, making, e) < 0)
		return -e->code;
	return remove_tree(env, going, e);
}

struct last {
	int32_t exit_code;
	uint64_t stopped_ms;
	bool oom;
};
static const struct json_field last_fields[] = {
	JSON_FIELD(struct last, exit_code, "exitCode", JSON_I32, .flags = JSON_REQUIRED),
	JSON_FIELD(struct last, stopped_ms, "stoppedMs", JSON_U64),
	JSON_FIELD(struct last, oom, "oom", JSON_BOOL),
};
static const struct json_table last_table = JSON_TABLE(struct last, last_fields);

static bool read_last(struct jail_env *env, const char *name, struct last *ret)
{
	AUTO_BUF struct buf b = {0};
	struct err e = {0};
	AUTO_FD int dir = env_jail_dir(env, name, &e);

	return dir >= 0 && file_read(dir, LAST_FILE, LAST_BYTES_MAX, &b, &e) == 0 &&
	       json_read_text(&last_table, b.p, b.n, NULL, ret, &e) == 0;
}

/* The record that a definition on disk stands for. */
static void record_from_disk(struct jail_env *env, const char *name, struct idx_record *ret)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct err e = {0};
	struct last last = {0};

	*ret = (struct idx_record){.state = JAIL_BROKEN};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	if (def_read(env, name, &def, &e) == 0) {
		record_from_def(name, &def, ret);
		if (read_last(env, name, &last)) {
			ret->state = JAIL_STOPPED;
			ret->exit_code = last.exit_code;
			ret->stopped_ms = last.stopped_ms;
			ret->flags |= last.oom ? IDX_OOM : 0;
		}
	}
	jail_def_release(&def);
}

static int add_missing(struct jail_env *env, const char *name, struct err *e)
{
	struct idx_record want;
	uint32_t slot;
	int r;

	if (idx_find(env->index, name) != IDX_NONE)
		return 0;
	record_from_disk(env, name, &want);
	/* Somebody copied a definition: two jails never have one jid or one range of ids. */
	if (want.jid && idx_find_jid(env->index, want.jid) != IDX_NONE)
		want.jid = 0;
	r = idx_claim(env->index, &want, &slot, e);
	return r == -EEXIST ? 0 : r;
}

static int each_name(int dirfd, int (*fn)(struct jail_env *env, const char *name, struct err *e),
	struct jail_env *env, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		fd_close(&fd);
		return err_sys(e, "cannot list the jails");
	}
	while (r >= 0 && (de = readdir(d))) {
		struct err none = {0};

		if (de->d_name[0] == '.') {
			if (str_ends(de->d_name, ".new") || str_ends(de->d_name, ".gone"))
				remove_tree(env, de->d_name, &none);
		} else if (parse_name("jail", de->d_name, &none) == 0) {
			r = fn(env, de->d_name, e);
		}
	}
	closedir(d);
	return r;
}

/* ---- what runs ---- */

static int ask_running(struct jail_env *env, const char *name, struct err *e)
{
	struct msg_record hello = {0};
	struct err none = {0};
	struct msg adopt = {.kind = MSG_ADOPT}, answer;
	AUTO_FD int sock = client_connect(env, name, HELLO_MS, &none);
	uint32_t slot = idx_find(env->index, name);
	struct idx_record *r;

	if (sock < 0 || client_hello(sock, &hello, &none) < 0 || strcmp(hello.rec.name, name)) {
		/* A folder of state whose supervisor has gone: an orphan for repair to take down.
		 */
		if (slot == IDX_NONE) {
			hello.rec = (struct idx_record){.state = JAIL_DIED, .flags = IDX_EPHEMERAL};
			snprintf(hello.rec.name, sizeof(hello.rec.name), "%s", name);
			return idx_claim(env->index, &hello.rec, &slot, e);
		}
		r = idx_edit(env->index, slot);
		r->state = JAIL_DIED;
		idx_done(env->index, slot);
		return 0;
	}
	if (slot != IDX_NONE)
		idx_free(env->index, slot);
	if (idx_claim(env->index, &hello.rec, &slot, e) < 0)
		return -e->code;
	adopt.value = (int32_t)slot;
	client_request(sock, &adopt, NULL, 0, NULL, 0, &answer, NULL, &none);
	return 0;
}

static void drop_vanished(struct jail_env *env)
{
	for (uint32_t s = 0; s < env->index->map->h.high; s++) {
		struct idx_record r;
		struct stat st;

		if (!idx_read(env->index, s, &r) || (r.flags & IDX_EPHEMERAL) ||
			((r.owner & FUTEX_TID_MASK) && !(r.owner & FUTEX_OWNER_DIED)))
			continue;
		if (fstatat(env->jails_fd, r.name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno == ENOENT && !idx_orphan(&r))
			idx_free(env->index, s);
	}
}

int idx_rebuild(struct jail_env *env, struct err *e)
{
	bool empty = !env->index->map->h.count;
	AUTO_FD int run =
		path_try(env->run_fd, RUN_JAILS, O_RDONLY | O_DIRECTORY, PATH_NO_SYMLINKS);

	drop_vanished(env);
	if (each_name(env->jails_fd, add_missing, env, e) < 0)
		return -e->code;
	if (empty && run >= 0 && each_name(run, ask_running, env, e) < 0)
		return -e->code;
	idx_in_step(env);
	return 0;
}
