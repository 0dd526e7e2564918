#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "jail/internal.h"
#include "spec/spec.h"

/* jail.json, table by table.  What is absent keeps its default and is not printed. */

static const char *const root_kinds[] = {"host", "dir", "image", NULL};
static const char *const net_modes[] = {"none", "host", NULL};
static const char *const restarts[] = {"no", "on-failure", "always", NULL};
static const char *const tiers[] = {"jail", "auto", "vm", NULL};
static const char *const sys_modes[] = {"none", "ro", NULL};

#define F                    JSON_FIELD
#define STRICT(type, fields) JSON_TABLE(type, fields, .flags = JSON_STRICT)

static const struct json_field root_fields[] = {
	F(struct jail_root, kind, "kind", JSON_ENUM, .names = root_kinds),
	F(struct jail_root, path, "path", JSON_STR),
	F(struct jail_root, rw, "rw", JSON_BOOL),
	F(struct jail_root, work, "work", JSON_STR, .flags = JSON_ABSOLUTE),
};
static const struct json_table root_table = STRICT(struct jail_root, root_fields);

static const struct json_field volume_fields[] = {
	F(struct jail_volume, source, "source", JSON_STR, .flags = JSON_REQUIRED | JSON_ABSOLUTE),
	F(struct jail_volume, destination, "destination", JSON_STR,
		.flags = JSON_REQUIRED | JSON_ABSOLUTE),
	F(struct jail_volume, ro, "ro", JSON_BOOL),
	F(struct jail_volume, dev, "dev", JSON_BOOL),
	F(struct jail_volume, suid, "suid", JSON_BOOL),
	F(struct jail_volume, noexec, "noexec", JSON_BOOL),
	F(struct jail_volume, no_map, "nomap", JSON_BOOL),
};
static const struct json_table volume_table = STRICT(struct jail_volume, volume_fields);

static const struct json_field tmpfs_fields[] = {
	F(struct jail_tmpfs, destination, "destination", JSON_STR,
		.flags = JSON_REQUIRED | JSON_ABSOLUTE),
	F(struct jail_tmpfs, size_bytes, "size", JSON_U64),
	F(struct jail_tmpfs, mode, "mode", JSON_U32, .min = 0, .max = 07777),
	F(struct jail_tmpfs, exec, "exec", JSON_BOOL),
};
static const struct json_table tmpfs_table = STRICT(struct jail_tmpfs, tmpfs_fields);

static const struct json_field device_fields[] = {
	F(struct jail_device, source, "source", JSON_STR, .flags = JSON_REQUIRED | JSON_ABSOLUTE),
	F(struct jail_device, destination, "destination", JSON_STR, .flags = JSON_ABSOLUTE),
	F(struct jail_device, access, "access", JSON_STR),
};
static const struct json_table device_table = STRICT(struct jail_device, device_fields);

static const struct json_field rlimit_fields[] = {
	F(struct jail_rlimit, type, "type", JSON_ENUM, .names = spec_rlimit_names,
		.flags = JSON_REQUIRED),
	F(struct jail_rlimit, soft, "soft", JSON_U64, .flags = JSON_REQUIRED),
	F(struct jail_rlimit, hard, "hard", JSON_U64, .flags = JSON_REQUIRED),
};
static const struct json_table rlimit_table = STRICT(struct jail_rlimit, rlimit_fields);

static const struct json_field io_fields[] = {
	F(struct jail_io_rate, device, "device", JSON_STR, .flags = JSON_REQUIRED | JSON_ABSOLUTE),
	F(struct jail_io_rate, rate, "rate", JSON_U64, .flags = JSON_REQUIRED),
};
static const struct json_table io_table = STRICT(struct jail_io_rate, io_fields);

#define L(member, key) JSON_FIELD_HAS(struct jail_limits, member, key, JSON_U64)
#define IO(member, key)                                                                            \
	JSON_FIELD_ARRAY(struct jail_limits, member, key, JSON_ARRAY, .table = &io_table)
static const struct json_field limits_fields[] = {
	L(memory_bytes, "memory"),
	L(swap_bytes, "swap"),
	L(pids, "pids"),
	L(cpu_weight, "cpuWeight"),
	L(cpu_milli, "cpuMilli"),
	L(io_weight, "ioWeight"),
	L(wall_ms, "wallMs"),
	F(struct jail_limits, cpus, "cpus", JSON_STR),
	F(struct jail_limits, mems, "mems", JSON_STR),
	IO(read_bps, "readBps"),
	IO(write_bps, "writeBps"),
	IO(read_iops, "readIops"),
	IO(write_iops, "writeIops"),
	JSON_FIELD_ARRAY(
		struct jail_limits, rlimits, "rlimits", JSON_ARRAY, .table = &rlimit_table),
};
#undef IO
#undef L
const struct json_table jail_limits_table = STRICT(struct jail_limits, limits_fields);

struct restart_part {
	int policy;
	uint64_t max_retries;
};
static const struct json_field restart_fields[] = {
	F(struct restart_part, policy, "policy", JSON_ENUM, .names = restarts),
	F(struct restart_part, max_retries, "maxRetries", JSON_U64),
};
static const struct json_table restart_table = STRICT(struct restart_part, restart_fields);
_Static_assert(
	sizeof(struct restart_part) == sizeof(((struct jail_def *)0)->restart), "same layout");

struct log_part {
	bool none;
	uint64_t max_bytes;
	uint32_t files;
};
static const struct json_field log_fields[] = {
	F(struct log_part, none, "none", JSON_BOOL),
	F(struct log_part, max_bytes, "maxBytes", JSON_U64),
	F(struct log_part, files, "files", JSON_U32),
};
static const struct json_table log_table = STRICT(struct log_part, log_fields);
_Static_assert(sizeof(struct log_part) == sizeof(((struct jail_def *)0)->log), "same layout");

static const struct json_field made_fields[] = {
	F(struct jail_made, jid, "jid", JSON_U32),
	F(struct jail_made, id_base, "idBase", JSON_U32),
	F(struct jail_made, id_count, "idCount", JSON_U32),
	F(struct jail_made, created_ms, "createdMs", JSON_U64),
};
static const struct json_table made_table = STRICT(struct jail_made, made_fields);

#define D(member, key, kind, ...) F(struct jail_def, member, key, kind, ##__VA_ARGS__)
#define A(member, key, t)         JSON_FIELD_ARRAY(struct jail_def, member, key, JSON_ARRAY, .table = &t)
static const struct json_field def_fields[] = {
	D(version, "version", JSON_U32, .flags = JSON_REQUIRED, .min = 1, .max = 1000),
	D(root, "root", JSON_OBJECT, .table = &root_table),
	D(args, "args", JSON_STRV),
	D(env, "env", JSON_STRV),
	D(cwd, "cwd", JSON_STR),
	D(user, "user", JSON_STR),
	D(hostname, "hostname", JSON_STR),
	D(terminal, "terminal", JSON_BOOL),
	JSON_FIELD_HAS(struct jail_def, init, "init", JSON_BOOL),
	D(persist, "persist", JSON_BOOL),
	A(volumes, "volumes", volume_table),
	A(tmpfs, "tmpfs", tmpfs_table),
	D(masks, "masks", JSON_STRV),
	D(readonly, "readonly", JSON_STRV),
	A(devices, "devices", device_table),
	D(cap_add, "capAdd", JSON_STRV),
	D(cap_drop, "capDrop", JSON_STRV),
	D(seccomp, "seccomp", JSON_STR),
	D(allow, "allow", JSON_STRV),
	D(sys, "sys", JSON_ENUM, .names = sys_modes),
	D(limits, "limits", JSON_OBJECT, .table = &jail_limits_table),
	D(net, "net", JSON_ENUM, .names = net_modes),
	D(restart, "restart", JSON_OBJECT, .table = &restart_table),
	D(log, "log", JSON_OBJECT, .table = &log_table),
	D(stop_signal, "stopSignal", JSON_I32, .min = 0, .max = 64),
	JSON_FIELD_HAS(struct jail_def, stop_timeout_ms, "stopTimeoutMs", JSON_U64),
	D(labels, "labels", JSON_MAP),
	D(tier, "tier", JSON_ENUM, .names = tiers),
	D(made, "made", JSON_OBJECT, .table = &made_table),
};
#undef A
#undef D
const struct json_table jail_def_table = STRICT(struct jail_def, def_fields);

static const struct json_limits def_limits = {
	.max_bytes = DEF_BYTES_MAX, .max_depth = 8, .max_items = 4096};

int jail_def_load(const char *text, size_t n, struct jail_def *ret, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	int r = json_read_text(&jail_def_table, text, n, &def_limits, &def, e);

	if (r < 0)
		return r;
	if (def.version != 1) {
		r = err_set(e, EINVAL,
			"version %u of the definition is newer than this program knows",
			def.version);
		jail_def_release(&def);
		return r;
	}
	*ret = def;
	return 0;
}

char *jail_def_print(const struct jail_def *def, enum json_style style)
{
	return json_print_text(&jail_def_table, def, style);
}

void jail_def_copy(struct jail_def *dst, const struct jail_def *src)
{
	struct jail_def copy = {0};

	json_copy(&jail_def_table, &copy, src);
	*dst = copy;
}

void jail_def_release(struct jail_def *def)
{
	json_release(&jail_def_table, def);
	*def = (struct jail_def)JAIL_DEF_INIT;
}

void jail_limits_release(struct jail_limits *l)
{
	json_release(&jail_limits_table, l);
}

const char *jail_tier_name(enum jail_tier t)
{
	return tiers[t];
}

int def_read(const struct jail_env *env, const char *name, struct jail_def *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int dir = env_jail_dir(env, name, e);
	int r = dir;

	if (r >= 0)
		r = file_read(dir, DEF_FILE, DEF_BYTES_MAX, &text, e);
	if (r >= 0)
		r = jail_def_load(text.p, text.n, ret, e);
	if (r >= 0)
		return 0;
	err_prefix(e, "the definition of jail '%s' is damaged", name);
	err_hint(e, "mend '%s/jails/%s/" DEF_FILE "', or remove the jail with 'jail destroy %s'",
		env->state_dir, name, name);
	e->code = EUCLEAN;
	return -EUCLEAN;
}

int def_write(
	const struct jail_env *env, const char *name, const struct jail_def *def, struct err *e)
{
	AUTO_FREE char *text = jail_def_print(def, JSON_PRETTY);
	AUTO_FREE char *line = str_fmt("%s\n", text);
	AUTO_FD int dir = env_jail_dir(env, name, e);

	if (dir < 0)
		return dir;
	if (file_replace(dir, DEF_FILE, line, strlen(line), 0600, FILE_SYNC, e) < 0)
		return err_prefix(e, "cannot keep the definition of jail '%s'", name);
	return 0;
}

bool def_keeps_no_log(const struct jail_env *env, const char *name, struct err *e)
{
	struct jail_def def = JAIL_DEF_INIT;
	bool none = def_read(env, name, &def, e) == 0 && def.log.none;

	jail_def_release(&def);
	return none;
}
