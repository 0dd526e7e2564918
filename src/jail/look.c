/* Looking at jails: list, inspect, stats. */
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/proc.h"
#include "isolation/cgroup.h"
#include "isolation/probe.h"
#include "jail/client.h"
#include "jail/compose.h"

const char *jail_state_name(enum jail_state s)
{
	static const char *const names[] = {"created", "starting", "running", "paused",
		"restarting", "stopping", "stopped", "died", "broken"};

	return (unsigned int)s < JAIL_STATES ? names[s] : "unknown";
}

const char *jail_event_name(enum jail_event_kind k)
{
	static const char *const names[] = {"create", "start", "exit", "stop", "kill", "pause",
		"resume", "set", "rename", "destroy", "exec", "oom", "restart", "repair"};

	return (unsigned int)k < JAIL_EV_KINDS ? names[k] : "unknown";
}

static void fill_info(const struct idx_record *r, struct jail_info *ret)
{
	bool died = idx_orphan(r) && (r->owner & FUTEX_OWNER_DIED);

	*ret = (struct jail_info){.jid = r->jid,
		.state = died ? JAIL_DIED : (enum jail_state)r->state,
		.tier = (enum jail_tier)MIN(r->tier, (uint32_t)JAIL_TIER_VM),
		.init_pid = died ? 0 : r->init_pid,
		.supervisor_pid = is_up(r) ? (pid_t)(r->owner & FUTEX_TID_MASK) : 0,
		.exit_code = r->exit_code,
		.ephemeral = r->flags & IDX_EPHEMERAL,
		.persist = r->flags & IDX_PERSIST,
		.terminal = r->flags & IDX_TERMINAL,
		.oom = r->flags & IDX_OOM,
		.soft_limits = r->flags & IDX_SOFT,
		.restarts = r->restarts,
		.id_base = r->id_base,
		.id_count = r->id_count,
		.created_ms = r->created_ms,
		.started_ms = r->started_ms,
		.stopped_ms = r->stopped_ms};
	memcpy(ret->name, r->name, JAIL_NAME_MAX);
	memcpy(ret->root, r->root, sizeof(ret->root));
	memcpy(ret->command, r->command, sizeof(ret->command));
}

int jail_next(struct jail_env *env, uint32_t *cursor, struct jail_info *ret, struct err *e)
{
	uint32_t high = MIN(env->index->map->h.high, (uint32_t)IDX_CAPACITY);
	struct idx_record r;

	(void)e;
	while (*cursor < high) {
		/* One that is only being made is not there yet. */
		if (!idx_read(env->index, (*cursor)++, &r) || (r.flags & IDX_MAKING))
			continue;
		fill_info(&r, ret);
		return 1;
	}
	return 0;
}

int jail_find(struct jail_env *env, const char *which, struct jail_info *ret, struct err *e)
{
	struct idx_record r;
	uint32_t slot;

	if (find_slot(env, which, &slot, &r, e) < 0)
		return -e->code;
	fill_info(&r, ret);
	return 0;
}

int jail_definition(struct jail_env *env, const char *which, struct jail_def *ret, struct err *e)
{
	struct idx_record r;
	uint32_t slot;

	if (find_slot(env, which, &slot, &r, e) < 0)
		return -e->code;
	if (r.flags & IDX_EPHEMERAL)
		return err_set(e, ENOENT,
			"jail '%s' is of 'jail run' and has no definition on disk", r.name);
	return def_read(env, r.name, ret, e);
}

/* ---- stats ---- */

static int open_group(struct jail_env *env, const char *which, struct idx_record *rec,
	struct iso_cgroup *cg, struct err *e)
{
	AUTO_FREE char *path = NULL;
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, rec, e) < 0)
		return -e->code;
	if (!is_up(rec))
		return err_set(e, ESRCH, "jail '%s' is not running", rec->name);
	path = env_cgroup(env, rec->name);
	r = iso_cgroup_open(path, cg, e);
	return r == -ENOENT ? err_set(e, EOPNOTSUPP,
				      "jail '%s' has no control group on this host: its use cannot "
				      "be told",
				      rec->name)
			    : r;
}

int jail_stats(struct jail_env *env, const char *which, struct jail_stats *ret, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct idx_record rec;
	struct iso_stats s;
	int r = open_group(env, which, &rec, &cg, e);

	if (r < 0)
		return r;
	r = iso_cgroup_stats(&cg, &s, e);
	iso_cgroup_release(&cg);
	if (r < 0)
		return r;
	*ret = (struct jail_stats){.cpu_usec = s.cpu_usage_usec,
		.cpu_user_usec = s.cpu_user_usec,
		.cpu_system_usec = s.cpu_system_usec,
		.cpu_throttled_usec = s.cpu_throttled_usec,
		.memory_bytes = s.memory_bytes,
		.memory_peak_bytes = s.memory_peak_bytes,
		.memory_limit_bytes = s.memory_limit_bytes,
		.memory_swap_bytes = s.memory_swap_bytes,
		.oom_kills = s.oom_kills,
		.pids = s.pids,
		.pids_limit = s.pids_limit,
		.io_read_bytes = s.io_read_bytes,
		.io_write_bytes = s.io_write_bytes,
		.time_ns = time_mono_ns()};
	/* Control groups of version 1 count the processor's time in a hierarchy that costs a start
	   too much to join: what the processes and those they reaped used is the same sum. */
	if (ret->cpu_usec == UINT64_MAX &&
		ps_cpu(env, which, &ret->cpu_user_usec, &ret->cpu_system_usec, e) == 0)
		ret->cpu_usec = ret->cpu_user_usec + ret->cpu_system_usec;
	return 0;
}

/* ---- inspect ---- */

static void add_text(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "  \"%s\": ", key);
	json_add_string(b, value);
	buf_adds(b, ",\n");
}

static void add_state(struct buf *b, const struct jail_info *i)
{
	buf_addf(b, "  \"jid\": %u,\n", i->jid);
	add_text(b, "state", jail_state_name(i->state));
	add_text(b, "isolation", jail_tier_name(i->tier));
	if (i->state == JAIL_STOPPED)
		buf_addf(b, "  \"exitCode\": %d,\n", i->exit_code);
	if (i->init_pid)
		buf_addf(b, "  \"pid\": %d,\n  \"supervisorPid\": %d,\n", (int)i->init_pid,
			(int)i->supervisor_pid);
	buf_addf(b, "  \"ephemeral\": %s,\n  \"oom\": %s,\n  \"restarts\": %u,\n",
		i->ephemeral ? "true" : "false", i->oom ? "true" : "false", i->restarts);
	buf_addf(b, "  \"createdMs\": %llu,\n  \"startedMs\": %llu,\n  \"stoppedMs\": %llu,\n",
		(unsigned long long)i->created_ms, (unsigned long long)i->started_ms,
		(unsigned long long)i->stopped_ms);
	if (i->id_count)
		buf_addf(b, "  \"ids\": {\"base\": %u, \"count\": %u},\n", i->id_base, i->id_count);
}

static void add_list(struct buf *b, const char *key, const struct strv *list)
{
	buf_addf(b, "  \"%s\": [", key);
	for (size_t i = 0; i < list->n; i++) {
		buf_adds(b, i ? ", " : "");
		json_add_string(b, list->v[i]);
	}
	buf_adds(b, "],\n");
}

/* The limits as they are composed: what the definition says, and the defaults for the rest. */
static void add_limits(struct buf *b, const struct jail_def *def)
{
	struct spec_resources res = {0};
	struct err none = {0};
	char *text;

	if (compose_limits(&def->limits, true, &res, &none) == 0) {
		text = json_print_text(&spec_resources_table, &res, JSON_COMPACT);
		buf_addf(b, "  \"limits\": %s,\n", text);
		free(text);
	}
	spec_resources_release(&res);
}

static void add_soft(struct buf *b, struct jail_env *env, const struct jail_info *i)
{
	AUTO_FREE char *path = env_cgroup(env, i->name);
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err none = {0};

	if (!i->soft_limits)
		return;
	if (iso_cgroup_open(path, &cg, &none) == 0 && cg.soft_reason[0])
		add_text(b, "softLimits", cg.soft_reason);
	else
		add_text(b, "softLimits",
			none.code ? none.text : "some limits are not held on this host");
	iso_cgroup_release(&cg);
}

int jail_inspect(struct jail_env *env, const char *which, char **ret_json, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct strv wider AUTO_STRV = {0};
	struct jail_info info;
	struct buf b = {0};
	struct err damaged = {0};
	char *text;

	if (jail_find(env, which, &info, e) < 0)
		return -e->code;
	buf_adds(&b, "{\n");
	add_text(&b, "name", info.name);
	add_state(&b, &info);
	add_soft(&b, env, &info);
	if (info.ephemeral) {
		add_text(&b, "root", info.root);
		add_text(&b, "command", info.command);
	} else if (def_read(env, info.name, &def, &damaged) < 0) {
		add_text(&b, "error", damaged.text);
	} else {
		jail_def_widenings(&def, &wider);
		add_list(&b, "widenings", &wider);
		add_limits(&b, &def);
		text = jail_def_print(&def, JSON_COMPACT);
		buf_addf(&b, "  \"definition\": %s,\n", text);
		free(text);
		jail_def_release(&def);
	}
	/* The last comma goes. */
	b.n -= 2;
	b.p[b.n] = '\0';
	buf_adds(&b, "\n}");
	*ret_json = b.p;
	return 0;
}

/* ---- doctor ---- */

bool jail_doctor(size_t i, struct jail_check *ret)
{
	struct iso_probe_result r = {0};

	if (i >= iso_probe_count)
		return false;
	iso_probe_run(&iso_probes[i], &r);
	*ret = (struct jail_check){.name = iso_probes[i].name,
		.purpose = iso_probes[i].purpose,
		.tier = iso_probe_tier_names[iso_probes[i].tier],
		.state_name = iso_probe_state_names[r.state],
		.state = r.state == ISO_PROBE_OK        ? JAIL_CHECK_OK
			 : r.state == ISO_PROBE_LIMITED ? JAIL_CHECK_LIMITED
							: JAIL_CHECK_MISSING};
	memcpy(ret->found, r.found, sizeof(ret->found));
	memcpy(ret->remedy, r.remedy, sizeof(ret->remedy));
	return true;
}
