/* Asking a running jail's supervisor: stop, kill, pause, set, wait. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/cgroup.h"
#include "jail/client.h"
#include "jail/compose.h"

enum { STOP_GRACE_MS = 15000 };

/* One request to a running jail. */
static int ask(struct jail_env *env, const char *which, const struct msg *m, struct err *e)
{
	struct idx_record rec;
	struct msg answer;
	AUTO_FD int sock = client_open(env, which, &rec, e);

	if (sock < 0)
		return sock;
	return client_request(sock, m, NULL, 0, NULL, 0, &answer, NULL, e);
}

static void receive_timeout(int sock, uint64_t ms)
{
	const struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/* The supervisor itself hangs or is stopped: without it the jail is an orphan, and that can be
 * repaired. */
static int end_supervisor(
	struct jail_env *env, const char *which, struct idx_record *rec, struct err *e)
{
	pid_t pid = (pid_t)(rec->owner & 0x3fffffff);
	AUTO_FD int pidfd = proc_pidfd(pid);
	struct idx_record now;
	uint32_t slot;

	if (find_slot(env, which, &slot, &now, e) < 0)
		return -e->code;
	/* Still the owner while we hold a descriptor of it: the number is not another's by now. */
	if (pidfd >= 0 && now.jid == rec->jid && now.owner == rec->owner) {
		proc_signal(pidfd, SIGKILL);
		for (int i = 0; i < 1000 && find_slot(env, which, &slot, &now, e) == 0 &&
				now.owner == rec->owner;
			i++)
			usleep(5000);
	}
	if (hold_slot(env, which, &slot, &now, e) < 0)
		return e->code == ENOENT && (rec->flags & IDX_EPHEMERAL) ? 0 : -e->code;
	idx_slot_unlock(env->index, slot);
	return 0;
}

int jail_stop(
	struct jail_env *env, const char *which, const struct jail_stop_opts *o, struct err *e)
{
	const struct msg m = {.kind = MSG_STOP,
		.value = o->signal,
		.time_ms = o->timeout_ms,
		.flag = o->has_timeout_ms};
	struct jail_def def = JAIL_DEF_INIT;
	uint64_t patience = o->timeout_ms;
	struct idx_record rec;
	struct msg answer;
	struct err none = {0};
	AUTO_FD int sock = client_open(env, which, &rec, e);
	int r;

	if (sock < 0)
		return sock;
	if (!o->has_timeout_ms) {
		patience = 10000;
		if (!(rec.flags & IDX_EPHEMERAL) && def_read(env, rec.name, &def, &none) == 0 &&
			def.has_stop_timeout_ms)
			patience = def.stop_timeout_ms;
		jail_def_release(&def);
	}
	/* The supervisor kills in time; only if it hangs itself is more needed. */
	receive_timeout(sock, patience > UINT32_MAX ? 0 : patience + STOP_GRACE_MS);
	r = client_request(sock, &m, NULL, 0, NULL, 0, &answer, NULL, e);
	if (r == -ETIMEDOUT || r == -EPIPE)
		r = end_supervisor(env, rec.name, &rec, e);
	return r < 0 ? err_prefix(e, "cannot stop jail '%s'", rec.name), r : 0;
}

int jail_kill(struct jail_env *env, const char *which, int sig, struct err *e)
{
	const struct msg m = {.kind = MSG_KILL, .value = sig};

	return ask(env, which, &m, e);
}

int jail_pause(struct jail_env *env, const char *which, struct err *e)
{
	return ask(env, which, &(struct msg){.kind = MSG_PAUSE}, e);
}

int jail_resume(struct jail_env *env, const char *which, struct err *e)
{
	return ask(env, which, &(struct msg){.kind = MSG_RESUME}, e);
}

int jail_restart(
	struct jail_env *env, const char *which, const struct jail_stop_opts *o, struct err *e)
{
	static const struct jail_start_opts plain;
	struct idx_record rec;
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	if (rec.flags & IDX_EPHEMERAL)
		return err_set(e, EOPNOTSUPP,
			"cannot restart jail '%s': it is of 'jail run' and goes when it ends; use "
			"create",
			rec.name);
	r = jail_stop(env, rec.name, o, e);
	if (r < 0 && r != -ESRCH)
		return r;
	return jail_start(env, rec.name, &plain, NULL, e);
}

/* ---- wait ---- */

static int ended(const struct idx_record *rec, int *ret_exit_code)
{
	*ret_exit_code = rec->exit_code;
	return 0;
}

int jail_wait(struct jail_env *env, const char *which, uint64_t timeout_ms, int *ret_exit_code,
	struct err *e)
{
	const struct msg m = {.kind = MSG_WAIT};
	struct idx_record rec;
	struct msg answer;
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	AUTO_FD int sock = client_open(env, rec.name, &rec, e);
	if (sock == -ESRCH && find_slot(env, rec.name, &slot, &rec, e) == 0)
		return ended(&rec, ret_exit_code);
	if (sock < 0)
		return sock;
	receive_timeout(sock, timeout_ms);
	r = client_request(sock, &m, NULL, 0, NULL, 0, &answer, NULL, e);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "jail '%s' still runs", rec.name);
	if (r == -EPIPE) {
		*ret_exit_code = 137;
		return hold_slot(env, rec.name, &slot, &rec, e) < 0
			       ? (e->code == ENOENT ? 0 : -e->code)
			       : (idx_slot_unlock(env->index, slot), ended(&rec, ret_exit_code));
	}
	if (r < 0)
		return r;
	*ret_exit_code = answer.value;
	return 0;
}

/* ---- set ---- */

#define MERGE_VALUE(member)                                                                        \
	do {                                                                                       \
		if (l->has_##member) {                                                             \
			to->member = l->member;                                                    \
			to->has_##member = true;                                                   \
		}                                                                                  \
	} while (0)

static void merge_rates(
	struct jail_io_rate **to, size_t *n_to, const struct jail_io_rate *from, size_t n_from)
{
	for (size_t i = 0; i < n_from; i++) {
		size_t k = 0, cap = *n_to;

		while (k < *n_to && strcmp((*to)[k].device, from[i].device))
			k++;
		if (k == *n_to) {
			*to = mem_grow(*to, &cap, *n_to + 1, sizeof(**to));
			(*to)[(*n_to)++] = (struct jail_io_rate){.device = str_dup(from[i].device)};
		}
		(*to)[k].rate = from[i].rate;
	}
}

void limits_merge(struct jail_limits *to, const struct jail_limits *l)
{
	MERGE_VALUE(memory_bytes);
	MERGE_VALUE(swap_bytes);
	MERGE_VALUE(pids);
	MERGE_VALUE(cpu_weight);
	MERGE_VALUE(cpu_milli);
	MERGE_VALUE(io_weight);
	MERGE_VALUE(wall_ms);
	if (l->cpus)
		str_set(&to->cpus, l->cpus);
	if (l->mems)
		str_set(&to->mems, l->mems);
	merge_rates(&to->read_bps, &to->n_read_bps, l->read_bps, l->n_read_bps);
	merge_rates(&to->write_bps, &to->n_write_bps, l->write_bps, l->n_write_bps);
	merge_rates(&to->read_iops, &to->n_read_iops, l->read_iops, l->n_read_iops);
	merge_rates(&to->write_iops, &to->n_write_iops, l->write_iops, l->n_write_iops);
	for (size_t i = 0; i < l->n_rlimits; i++) {
		size_t k = 0, cap = to->n_rlimits;

		while (k < to->n_rlimits && to->rlimits[k].type != l->rlimits[i].type)
			k++;
		if (k == to->n_rlimits) {
			to->rlimits = mem_grow(
				to->rlimits, &cap, to->n_rlimits + 1, sizeof(*to->rlimits));
			to->n_rlimits++;
		}
		to->rlimits[k] = l->rlimits[i];
	}
}

static bool changes_group(const struct jail_limits *l)
{
	return l->has_memory_bytes || l->has_swap_bytes || l->has_pids || l->has_cpu_weight ||
	       l->has_cpu_milli || l->has_io_weight || l->cpus || l->mems || l->n_read_bps ||
	       l->n_write_bps || l->n_read_iops || l->n_write_iops;
}

static int set_live(struct jail_env *env, const struct idx_record *rec, const struct jail_limits *l,
	struct err *e)
{
	AUTO_FREE char *path = env_cgroup(env, rec->name);
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct spec_resources res = {0};
	int r = compose_limits(l, false, &res, e);

	if (!r && changes_group(l)) {
		r = iso_cgroup_open(path, &cg, e);
		if (r == -ENOENT)
			r = err_set(e, EOPNOTSUPP,
				"cannot change the limits of jail '%s' while it runs: it has no "
				"control group",
				rec->name);
		if (!r)
			r = iso_cgroup_update(&cg, &res, e);
		iso_cgroup_release(&cg);
	}
	spec_resources_release(&res);
	if (!r && l->has_wall_ms)
		r = ask(env, rec->name, &(struct msg){.kind = MSG_WALL, .time_ms = l->wall_ms}, e);
	return r;
}

/* As it was before: also what was absent then, whose default it gets back. */
static void set_back(
	struct jail_env *env, const struct idx_record *rec, const struct jail_limits *old)
{
	struct spec_resources res = {0};
	AUTO_FREE char *path = env_cgroup(env, rec->name);
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err none = {0};

	if (compose_limits(old, true, &res, &none) == 0 && iso_cgroup_open(path, &cg, &none) == 0)
		iso_cgroup_update(&cg, &res, &none);
	iso_cgroup_release(&cg);
	spec_resources_release(&res);
}

int jail_set(struct jail_env *env, const char *which, const struct jail_limits *l, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct jail_limits old = {0}, live = {0};
	struct idx_record rec;
	uint32_t slot;
	bool kept;
	int r;

	if (limits_check(l, e) < 0 || hold_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	kept = !(rec.flags & IDX_EPHEMERAL);
	r = kept ? def_read(env, rec.name, &def, e) : 0;
	if (!r) {
		json_copy(&jail_limits_table, &old, &def.limits);
		limits_merge(&def.limits, l);
		json_copy(&jail_limits_table, &live, l);
		/* The kernel's swap limit is the sum: with one of them the other is written too. */
		if (kept && (l->has_memory_bytes || l->has_swap_bytes)) {
			live.memory_bytes = def.limits.memory_bytes,
			live.has_memory_bytes = def.limits.has_memory_bytes;
			live.swap_bytes = def.limits.swap_bytes,
			live.has_swap_bytes = def.limits.has_swap_bytes;
		}
		r = is_up(&rec) ? set_live(env, &rec, &live, e) : 0;
		if (!r && kept)
			r = def_write(env, rec.name, &def, e);
		if (r < 0 && kept && is_up(&rec))
			set_back(env, &rec, &old);
	}
	jail_limits_release(&old);
	jail_limits_release(&live);
	jail_def_release(&def);
	idx_slot_unlock(env->index, slot);
	if (!r)
		idx_event(env->index, JAIL_EV_SET, rec.name, rec.jid, 0, NULL);
	return r < 0 ? err_prefix(e, "cannot change the limits of jail '%s'", rec.name), r : 0;
}
