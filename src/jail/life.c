/* Create, start, run, rename, destroy: what changes which jails there are and whether they run. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/proc.h"
#include "jail/client.h"
#include "jail/compose.h"
#include "jail/super.h"

/* ---- records ---- */

static void shorten(const char *text, char *ret, size_t room)
{
	AUTO_FREE char *shown = str_visible(text);
	size_t n = strlen(shown);

	memset(ret, 0, room);
	if (n < room) {
		memcpy(ret, shown, n);
		return;
	}
	/* Cut before a UTF-8 character, never in it. */
	n = room - 4;
	while (n && ((unsigned char)shown[n] & 0xc0) == 0x80)
		n--;
	memcpy(ret, shown, n);
	memcpy(ret + n, "...", 3);
}

void record_from_def(const char *name, const struct jail_def *def, struct idx_record *ret)
{
	AUTO_BUF struct buf command = {0};

	*ret = (struct idx_record){.state = JAIL_CREATED,
		.jid = def->made.jid,
		.id_base = def->made.id_base,
		.id_count = def->made.id_count,
		.created_ms = def->made.created_ms,
		.tier = JAIL_TIER_JAIL,
		.flags = (def->persist ? IDX_PERSIST : 0) | (def->terminal ? IDX_TERMINAL : 0)};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	buf_adds(&command, "");
	for (size_t i = 0; i < def->args.n && command.n < 2 * sizeof(ret->command); i++)
		buf_addf(&command, "%s%.200s", i ? " " : "", def->args.v[i]);
	shorten(command.p, ret->command, sizeof(ret->command));
	shorten(def->root.kind == JAIL_ROOT_HOST ? "host" : def->root.path, ret->root,
		sizeof(ret->root));
}

/* Takes jid and ids from the record that was claimed for it. */
static void def_from_record(const struct idx_record *r, struct jail_def *def)
{
	def->made.jid = r->jid;
	def->made.id_base = r->id_base;
	def->made.id_count = r->id_count;
	def->made.created_ms = r->created_ms;
}

static int check_name(const char *name, struct err *e)
{
	size_t digits = strspn(name, "0123456789");

	if (parse_name("jail", name, e) < 0)
		return -e->code;
	/* "jail stop 7" means the jid. */
	if (!name[digits])
		return err_set(e, EINVAL,
			"jail name '%s' is a number, which would be taken for a jid; put a letter "
			"in it",
			name);
	return 0;
}

/* Claims a record, locks its slot and owns it.  name NULL: "run-JID". */
static int claim(struct jail_env *env, const char *name, struct idx_record *want,
	uint32_t *ret_slot, struct err *e)
{
	struct jail_index *ix = env->index;
	int r;

	want->id_count = env->root ? IDX_ID_RANGE : 0;
	want->created_ms = time_wall_ms();
	r = idx_lock(ix, e);
	if (r < 0)
		return r;
	if (!name) {
		want->jid = ix->map->h.next_jid;
		snprintf(want->name, sizeof(want->name), "run-%u", want->jid);
	}
	r = idx_claim(ix, want, ret_slot, e);
	if (!r)
		r = idx_slot_lock(ix, *ret_slot, HOLD_WAIT_MS, e);
	if (!r && idx_own(ix, *ret_slot, e) < 0) {
		idx_free(ix, *ret_slot);
		idx_slot_unlock(ix, *ret_slot);
		r = -e->code;
	}
	idx_unlock(ix);
	if (!r)
		idx_read(ix, *ret_slot, want);
	return r;
}

/* A name that an interrupted command left half-way is free again once that is repaired. */
static int claim_repaired(struct jail_env *env, const char *name, struct idx_record *want,
	uint32_t *ret_slot, struct err *e)
{
	struct idx_record old;
	struct err none = {0};
	uint32_t slot;

	if (name && (slot = idx_find(env->index, name)) != IDX_NONE &&
		idx_read(env->index, slot, &old) && idx_orphan(&old) &&
		hold_slot(env, name, &slot, &old, &none) == 0)
		idx_slot_unlock(env->index, slot);
	return claim(env, name, want, ret_slot, e);
}

/* ---- create ---- */

static int write_new(
	struct jail_env *env, const char *name, const struct jail_def *def, struct err *e)
{
	AUTO_FREE char *tmp = str_fmt(".%s.new", name);
	AUTO_FREE char *text = jail_def_print(def, JSON_PRETTY);
	AUTO_FREE char *line = str_fmt("%s\n", text);
	AUTO_FD int dir = -1;

	if (remove_leftovers(env, name, e) < 0)
		return -e->code;
	if (mkdirat(env->jails_fd, tmp, 0700) < 0)
		return err_sys(e, "cannot make '%s/jails/%s'", env->state_dir, tmp);
	dir = openat(env->jails_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "cannot open '%s/jails/%s'", env->state_dir, tmp);
	if (file_replace(dir, DEF_FILE, line, strlen(line), 0600, FILE_SYNC, e) < 0)
		return -e->code;
	/* Only now has it its name: half a jail is never seen. */
	if (renameat2(env->jails_fd, tmp, env->jails_fd, name, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST)
			return err_set(e, EEXIST,
				"cannot keep jail '%s': '%s/jails/%s' is there already", name,
				env->state_dir, name);
		return err_sys(e, "cannot keep jail '%s'", name);
	}
	return fsync(env->jails_fd) < 0 ? err_sys(e, "cannot keep jail '%s'", name) : 0;
}

/* What the definition alone cannot say, before anything is made. */
static int check_host(const struct jail_def *def, struct err *e)
{
	struct stat st;

	if (def->root.kind != JAIL_ROOT_DIR)
		return 0;
	if (stat(def->root.path, &st) < 0)
		return err_sys(e, "cannot use '%s' as the root", def->root.path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "cannot use '%s' as the root: it is not a directory",
			def->root.path);
	return 0;
}

int jail_create(struct jail_env *env, const char *name, const struct jail_def *given, struct err *e)
{
	struct jail_index *ix = env->index;
	struct jail_def def = JAIL_DEF_INIT;
	struct idx_record want;
	struct err none = {0};
	uint32_t slot;
	int r;

	if (check_name(name, e) < 0 || jail_def_check(given, e) < 0 || check_host(given, e) < 0)
		return -e->code;
	jail_def_copy(&def, given);
	def.made = (struct jail_made){0};
	record_from_def(name, &def, &want);
	want.flags |= IDX_MAKING;
	r = claim_repaired(env, name, &want, &slot, e);
	if (!r) {
		def_from_record(&want, &def);
		r = idx_lock(ix, e);
		if (!r) {
			r = write_new(env, name, &def, e);
			if (r < 0) {
				remove_leftovers(env, name, &none);
				idx_free(ix, slot);
			} else {
				idx_edit(ix, slot)->flags &= ~(uint32_t)IDX_MAKING;
				idx_done(ix, slot);
			}
			idx_in_step(env);
			idx_unlock(ix);
		}
		idx_disown(ix, slot);
		idx_slot_unlock(ix, slot);
	}
	jail_def_release(&def);
	if (!r)
		idx_event(ix, JAIL_EV_CREATE, name, want.jid, 0, NULL);
	return r < 0 ? err_prefix(e, "cannot create jail '%s'", name), r : 0;
}

/* ---- start ---- */

struct starting {
	struct jail_env *env;
	uint32_t slot;
	const char *name;
	const struct jail_def *def;
	const struct jail_start_opts *o;
	bool ephemeral, attached, visit;
};

static void supervisor(const struct starting *g, int channel, const char *trace)
{
	struct super_start st = {.env = g->env,
		.slot = g->slot,
		.name = g->name,
		.def = g->def,
		.ephemeral = g->ephemeral,
		.visit = g->visit,
		.attached = g->attached,
		.rows = g->o->rows,
		.cols = g->o->cols,
		.trace = trace,
		.channel = channel};
	bool own = !g->o->stdio[0] && !g->o->stdio[1] && !g->o->stdio[2];

	for (int i = 0; i < 3; i++)
		st.stdio[i] = g->attached ? (own ? i : g->o->stdio[i]) : -1;
	super_main(&st);
}

/* Waits for the supervisor's word; *ret_fd is the terminal's, when it has one. */
static int await(int channel, int *ret_fd, struct err *e)
{
	struct msg m;

	if (client_answer(channel, &m, ret_fd, e) < 0)
		return -e->code;
	return m.kind == MSG_OK ? 0 : err_set(e, EPROTO, "the supervisor talks nonsense");
}

static char *absolute(const char *path)
{
	char *cwd = path && path[0] != '/' ? get_current_dir_name() : NULL;
	char *full = cwd ? str_fmt("%s/%s", cwd, path) : str_dup(path);

	free(cwd);
	return full;
}

/* The record is ours and says "starting"; afterwards it is the supervisor's, or as before. */
static int bring_up(const struct starting *g, struct jail_attach *ret, struct err *e)
{
	AUTO_FREE char *trace = absolute(g->o->trace);
	AUTO_FD int channel = -1;
	int pair[2], fd = -1, status, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make the supervisor's socket");
	channel = pair[0];
	pid = proc_clone(0, -1, NULL);
	if (pid == 0) {
		fd_close(&channel);
		supervisor(g, pair[1], trace);
	}
	close(pair[1]);
	if (pid < 0)
		return err_set(e, -pid, "cannot start the supervisor: %s", strerrordesc_np(-pid));
	r = await(channel, &fd, e);
	if (r < 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	if (ret)
		*ret = (struct jail_attach){
			.ctl_fd = fd_take(&channel), .data_fd = fd, .supervisor = pid};
	else
		fd_close(&fd);
	return 0;
}

static int prepare_start(struct jail_env *env, uint32_t slot, const struct idx_record *rec,
	struct jail_def *def, struct err *e)
{
	struct idx_record *r;

	if (is_up(rec))
		return err_set(e, EBUSY, "jail '%s' runs already", rec->name);
	if (def_read(env, rec->name, def, e) < 0) {
		r = idx_edit(env->index, slot);
		r->state = JAIL_BROKEN;
		idx_done(env->index, slot);
		return -e->code;
	}
	if (jail_def_check(def, e) < 0)
		return err_prefix(e, "jail '%s'", rec->name);
	def_from_record(rec, def);
	r = idx_edit(env->index, slot);
	r->state = JAIL_STARTING;
	r->restarts = 0;
	idx_done(env->index, slot);
	return idx_own(env->index, slot, e);
}

int jail_start(struct jail_env *env, const char *which, const struct jail_start_opts *o,
	struct jail_attach *ret_attach, struct err *e)
{
	struct jail_index *ix = env->index;
	struct jail_def def = JAIL_DEF_INIT;
	struct starting g = {.env = env, .def = &def, .o = o, .attached = ret_attach};
	struct idx_record rec;
	struct err none = {0};
	int r;

	if (hold_slot(env, which, &g.slot, &rec, e) < 0)
		return -e->code;
	g.name = rec.name;
	r = prepare_start(env, g.slot, &rec, &def, e);
	if (!r) {
		r = bring_up(&g, ret_attach, e);
		if (r < 0) {
			/* The supervisor has undone its rows, or has died: then its orphan is
			 * repaired. */
			struct idx_record now;

			idx_own(ix, g.slot, &none);
			idx_disown(ix, g.slot);
			repair_locked(env, g.slot, &none);
			if (idx_read(ix, g.slot, &now)) {
				struct idx_record *w = idx_edit(ix, g.slot);

				w->state = rec.state == JAIL_BROKEN ? JAIL_CREATED : rec.state;
				w->exit_code = rec.exit_code;
				idx_done(ix, g.slot);
			}
			err_prefix(e, "cannot start jail '%s'", rec.name);
		}
	}
	jail_def_release(&def);
	idx_slot_unlock(ix, g.slot);
	return r;
}

int jail_run(struct jail_env *env, const char *name, const struct jail_def *given,
	const struct jail_start_opts *o, struct jail_attach *ret_attach,
	char ret_name[JAIL_NAME_MAX + 1], struct err *e)
{
	struct jail_index *ix = env->index;
	struct jail_def def = *given; /* shallow: only made.* is changed */
	struct starting g = {
		.env = env, .def = &def, .o = o, .ephemeral = true, .attached = ret_attach};
	struct idx_record rec;
	struct err none = {0};
	int r;

	if ((name && check_name(name, e) < 0) || jail_def_check(given, e) < 0 ||
		check_host(given, e) < 0)
		return -e->code;
	def.made = (struct jail_made){0};
	record_from_def(name ? name : "", &def, &rec);
	rec.state = JAIL_STARTING;
	rec.flags |= IDX_EPHEMERAL;
	if (claim_repaired(env, name, &rec, &g.slot, e) < 0)
		return -e->code;
	def_from_record(&rec, &def);
	g.name = rec.name;
	r = bring_up(&g, ret_attach, e);
	if (r < 0) {
		idx_own(ix, g.slot, &none);
		idx_disown(ix, g.slot);
		repair_locked(env, g.slot, &none);
	} else {
		memcpy(ret_name, rec.name, JAIL_NAME_MAX);
		ret_name[JAIL_NAME_MAX] = '\0';
	}
	idx_slot_unlock(ix, g.slot);
	return r;
}

/* ---- visit ---- */

/* The same tree and ids, but no program, no log, no policy: only somebody to enter by. */
static void make_quiet(struct jail_def *def)
{
	strv_release(&def->args);
	def->persist = def->init = true;
	def->has_init = false;
	def->terminal = false;
	def->log.none = true;
	def->restart.policy = JAIL_RESTART_NO;
	def->limits.has_wall_ms = false;
	def->net = JAIL_NET_NONE;
	def->has_stop_timeout_ms = true;
	def->stop_timeout_ms = 0;
}

static int visit_up(const struct starting *g,
	int (*fn)(const struct entry_fds *, const struct jail_cp_opts *, uint64_t *, struct err *),
	const struct jail_cp_opts *o, uint64_t *ret_bytes, struct err *e)
{
	struct jail_attach a = JAIL_ATTACH_INIT;
	struct msg answer;
	struct err none = {0};
	uint64_t bytes = 0;
	struct entry_fds in = {-1, -1, -1};
	int status, r;

	if (bring_up(g, &a, e) < 0)
		return -e->code;
	r = client_entry(a.ctl_fd, &in, e);
	if (!r)
		r = fn(&in, o, &bytes, e);
	entry_release(&in);
	if (client_request(a.ctl_fd, &(struct msg){.kind = MSG_STOP, .flag = 1}, NULL, 0, NULL, 0,
		    &answer, NULL, &none) == 0)
		while (waitpid(a.supervisor, &status, 0) < 0 && errno == EINTR)
			;
	jail_attach_release(&a);
	if (ret_bytes)
		*ret_bytes = bytes;
	return r;
}

int jail_visit(struct jail_env *env, const char *which,
	int (*fn)(const struct entry_fds *in, const struct jail_cp_opts *o, uint64_t *ret_bytes,
		struct err *e),
	const struct jail_cp_opts *o, uint64_t *ret_bytes, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct jail_start_opts quiet = {0};
	struct starting g = {.env = env, .def = &def, .o = &quiet, .visit = true};
	struct idx_record rec, now, *w;
	struct err none = {0};
	int r;

	if (hold_slot(env, which, &g.slot, &rec, e) < 0)
		return -e->code;
	g.name = rec.name;
	r = prepare_start(env, g.slot, &rec, &def, e);
	if (!r) {
		make_quiet(&def);
		r = visit_up(&g, fn, o, ret_bytes, e);
		idx_own(env->index, g.slot, &none);
		idx_disown(env->index, g.slot);
		repair_locked(env, g.slot, &none);
		if (idx_read(env->index, g.slot, &now)) {
			w = idx_edit(env->index, g.slot);
			w->state = rec.state;
			w->exit_code = rec.exit_code;
			w->started_ms = rec.started_ms;
			w->stopped_ms = rec.stopped_ms;
			w->flags = rec.flags;
			idx_done(env->index, g.slot);
		}
	}
	jail_def_release(&def);
	idx_slot_unlock(env->index, g.slot);
	return r;
}

/* ---- rename ---- */

int jail_rename(struct jail_env *env, const char *which, const char *new_name, struct err *e)
{
	struct jail_index *ix = env->index;
	struct idx_record rec;
	uint32_t slot;
	int r;

	if (check_name(new_name, e) < 0 || hold_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	if (is_up(&rec)) {
		r = err_set(e, EBUSY,
			"cannot rename jail '%s' while it runs; 'jail stop %s' stops it", rec.name,
			rec.name);
	} else {
		r = idx_lock(ix, e);
		if (!r && idx_find(ix, new_name) != IDX_NONE)
			r = err_set(e, EEXIST, "cannot rename jail '%s': jail '%s' exists already",
				rec.name, new_name);
		else if (!r && renameat2(env->jails_fd, rec.name, env->jails_fd, new_name,
				       RENAME_NOREPLACE) < 0)
			r = err_sys(e, "cannot rename jail '%s' to '%s'", rec.name, new_name);
		else if (!r)
			r = idx_rename(ix, slot, new_name, e);
		if (!r) {
			fsync(env->jails_fd);
			idx_in_step(env);
		}
		idx_unlock(ix);
	}
	idx_slot_unlock(ix, slot);
	if (!r)
		idx_event(ix, JAIL_EV_RENAME, new_name, rec.jid, 0, rec.name);
	return r;
}

/* ---- destroy ---- */

/* A process that holds what a plain user's jails wrote: their root, in their id map. */
static int remove_as_jail(struct jail_env *env, const char *name, struct err *e)
{
	struct spec maps = {0};
	bool root_inside;
	int go[2], status = 0, r;
	pid_t pid;
	char c;

	ids_user_map(&maps, env->uid, env->gid, &root_inside);
	if (!root_inside || pipe2(go, O_CLOEXEC) < 0) {
		spec_release(&maps);
		return -EPERM;
	}
	pid = proc_clone(CLONE_NEWUSER, -1, NULL);
	if (pid == 0) {
		close(go[1]);
		r = read(go[0], &c, 1) == 1 && setgid(0) == 0 && setuid(0) == 0
			    ? path_rmtree(env->jails_fd, name, e)
			    : -EPERM;
		_exit(r < 0);
	}
	close(go[0]);
	r = pid < 0 ? pid : ids_write_maps(pid, &maps.linux, e);
	if (!r && write(go[1], "", 1) != 1)
		r = -EPIPE;
	close(go[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	spec_release(&maps);
	return r < 0 ? r : status ? -EPERM : 0;
}

int remove_tree(struct jail_env *env, const char *name, struct err *e)
{
	struct err first = {0};

	if (path_rmtree(env->jails_fd, name, &first) == 0)
		return 0;
	if (!env->root && (first.code == EACCES || first.code == EPERM) &&
		remove_as_jail(env, name, e) == 0)
		return 0;
	*e = first;
	return -e->code;
}

/*
 * Something mounted in the jail's folder is somebody else's: told before anything is touched.
 * path_rmtree would stop at it too, but in the middle.
 */
static int check_mounts(struct jail_env *env, const char *name, struct err *e)
{
	AUTO_FD int info = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	AUTO_FD int dir =
		openat(env->jails_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_BUF struct buf b = {0};
	char link[32], own[4096], point[4097], *save = NULL;
	ssize_t n;

	if (dir < 0)
		return 0;
	if (info < 0)
		return err_sys(e, "cannot open '/proc/self/mountinfo'");
	n = readlink(path_of_fd(dir, link), own, sizeof(own) - 1);
	if (n < 0)
		return err_sys(e, "cannot examine the folder of jail '%s'", name);
	own[n] = '\0';
	if (file_read_fd(info, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &b, e) < 0)
		return -e->code;
	for (char *line = strtok_r(b.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%*s %*s %*s %*s %4096s", point) != 1)
			continue;
		mountinfo_unescape(point);
		if (path_is_below(point, own))
			return err_set(e, EBUSY,
				"cannot destroy jail '%s': something is mounted on '%s'; unmount "
				"it first",
				name, point);
	}
	return 0;
}

static int remove_jail(
	struct jail_env *env, uint32_t slot, const struct idx_record *rec, struct err *e)
{
	AUTO_FREE char *going = str_fmt(".%s.gone", rec->name);
	int r;

	if (check_mounts(env, rec->name, e) < 0)
		return -e->code;
	/* First out of sight in one step; what follows may be interrupted and is finished later. */
	if (remove_leftovers(env, rec->name, e) < 0)
		return err_prefix(e, "cannot destroy jail '%s'", rec->name);
	r = idx_lock(env->index, e);
	if (r < 0)
		return r;
	if (renameat(env->jails_fd, rec->name, env->jails_fd, going) < 0 && errno != ENOENT) {
		r = err_sys(e, "cannot destroy jail '%s'", rec->name);
		idx_unlock(env->index);
		return r;
	}
	idx_free(env->index, slot);
	idx_unlock(env->index);
	r = remove_tree(env, going, e);
	if (r < 0)
		return err_prefix(e,
			"jail '%s' is destroyed, but not all of its files could be removed",
			rec->name);
	if (idx_lock(env->index, e) == 0) {
		idx_in_step(env);
		idx_unlock(env->index);
	}
	return 0;
}

int jail_destroy(struct jail_env *env, const char *which, unsigned int flags, struct err *e)
{
	const struct jail_stop_opts now = {.has_timeout_ms = true};
	struct idx_record rec, before;
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, &before, e) < 0)
		return -e->code;
	if (is_up(&before)) {
		if (!(flags & JAIL_FORCE))
			return err_set(e, EBUSY,
				"cannot destroy jail '%s' while it runs; stop it first, or use "
				"--force",
				before.name);
		r = jail_stop(env, which, &now, e);
		if (r < 0 && r != -ESRCH && r != -ENOENT)
			return r;
	}
	r = hold_slot(env, which, &slot, &rec, e);
	/* Of a jail that was only running, nothing is left once it is down: that is what was asked.
	 */
	if (r == -ENOENT && (before.flags & (IDX_EPHEMERAL | IDX_MAKING)))
		return 0;
	if (r < 0)
		return r;
	if (is_up(&rec))
		r = err_set(
			e, EBUSY, "cannot destroy jail '%s': it has been started again", rec.name);
	else
		r = remove_jail(env, slot, &rec, e);
	idx_slot_unlock(env->index, slot);
	if (!r)
		idx_event(env->index, JAIL_EV_DESTROY, rec.name, rec.jid, 0, NULL);
	return r;
}

int jail_repair(struct jail_env *env, const char *which, struct err *e)
{
	struct idx_record rec;
	uint32_t slot;

	if (hold_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	idx_slot_unlock(env->index, slot);
	return 0;
}
