#include "jail/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "isolation/seccomp.h"
#include "jail/internal.h"

#define MEMORY_DEFAULT_MAX (1ull << 30)
#define TMPFS_DEFAULT      (64ull << 20)
#define LAYER_DEFAULT      (2ull << 30)
#define PATH_DEFAULT       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
enum { NOFILE_SOFT = 1024, NOFILE_HARD = 20000, PROFILE_BYTES_MAX = 4 << 20 };

/* ---- namespaces and ids ---- */

static void add_namespaces(const struct jail_def *def, struct spec *spec)
{
	static const enum spec_ns_kind kinds[] = {SPEC_NS_USER, SPEC_NS_MOUNT, SPEC_NS_PID,
		SPEC_NS_IPC, SPEC_NS_UTS, SPEC_NS_CGROUP, SPEC_NS_TIME};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		spec_add_ns(spec, kinds[i], NULL);
	if (def->net == JAIL_NET_NONE)
		spec_add_ns(spec, SPEC_NS_NETWORK, NULL);
}

static void map_range(struct spec_linux *l, uint32_t base, uint32_t count)
{
	const struct spec_id_mapping m = {.container_id = 0, .host_id = base, .size = count};

	l->uid_mappings = mem_dup(&m, sizeof(m));
	l->gid_mappings = mem_dup(&m, sizeof(m));
	l->n_uid_mappings = l->n_gid_mappings = 1;
}

/* ---- mounts ---- */

static void add_standard_mounts(const struct jail_def *def, struct spec *spec, bool has_tty_gid)
{
	static const char *const proc[] = {"nosuid", "nodev", "noexec", NULL};
	static const char *const dev[] = {"nosuid", "strictatime", "mode=0755", "size=64k", NULL};
	static const char *const pts[] = {
		"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", NULL};
	static const char *const pts_one_id[] = {
		"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", NULL};
	static const char *const shm[] = {
		"nosuid", "nodev", "noexec", "mode=1777", "size=64m", NULL};
	static const char *const sys[] = {"nosuid", "nodev", "noexec", "ro", NULL};

	spec_add_mount(spec, "/proc", "proc", "proc", proc);
	spec_add_mount(spec, "/dev", "tmpfs", "tmpfs", dev);
	spec_add_mount(spec, "/dev/pts", "devpts", "devpts", has_tty_gid ? pts : pts_one_id);
	spec_add_mount(spec, "/dev/shm", "tmpfs", "tmpfs", shm);
	if (def->sys == JAIL_SYS_RO && def->net == JAIL_NET_NONE)
		spec_add_mount(spec, "/sys", "sysfs", "sysfs", sys);
	else
		strv_add(&spec->linux.masked_paths, "/sys"); /* an empty folder, and no mount for it */
}

/* What sysfs tells of the host that is none of a jail's business. */
static void mask_sys(struct spec *spec)
{
	static const char *const paths[] = {"/sys/firmware", "/sys/kernel", "/sys/fs",
		"/sys/module", "/sys/power", "/sys/devices/virtual/powercap",
		"/sys/devices/virtual/dmi", "/sys/class/powercap", "/sys/class/dmi",
		"/sys/hypervisor", "/sys/dev/block", "/sys/block"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		strv_add(&spec->linux.masked_paths, paths[i]);
}

static int add_volume(
	const struct jail_env *env, const struct jail_volume *v, struct spec *spec, struct err *e)
{
	const char *options[8];
	size_t n = 0;
	struct stat st;

	if (stat(v->source, &st) < 0)
		return err_sys(e, "cannot use '%s' as a volume", v->source);
	options[n++] = S_ISDIR(st.st_mode) ? "rbind" : "bind";
	if (v->ro)
		options[n++] = "rro"; /* what is mounted below it too */
	if (!v->suid)
		options[n++] = "rnosuid";
	if (!v->dev)
		options[n++] = "rnodev";
	if (v->noexec)
		options[n++] = "rnoexec";
	if (env->root && !v->no_map)
		options[n++] = S_ISDIR(st.st_mode) ? "ridmap" : "idmap";
	options[n] = NULL;
	spec_add_mount(spec, v->destination, "bind", v->source, options);
	return 0;
}

static void add_tmpfs(const struct jail_tmpfs *t, struct spec *spec)
{
	AUTO_FREE char *size = str_fmt(
		"size=%llu", (unsigned long long)(t->size_bytes ? t->size_bytes : TMPFS_DEFAULT));
	AUTO_FREE char *mode = str_fmt("mode=%04o", t->mode ? t->mode : 01777);
	const char *const options[] = {"nosuid", "nodev", mode,
		t->size_bytes == UINT64_MAX ? "size=0" : size, t->exec ? NULL : "noexec", NULL};

	spec_add_mount(spec, t->destination, "tmpfs", "tmpfs", options);
}

/*
 * /etc/hosts and /etc/hostname are read-only files that the engine makes: never written through
 * a path of the root's, and nothing inside can grow them.  Roots without /etc get none.
 */
static int add_generated(const struct jail_env *env, const char *hostname, struct composed *c, struct err *e)
{
	static const char *const destinations[COMPOSED_FILES] = {"/etc/hosts", "/etc/hostname"};
	AUTO_FD int root_fd = open(c->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int etc = root_fd < 0 ? -1 : path_try(root_fd, "etc", O_PATH | O_DIRECTORY, PATH_IN_ROOT);

	if (root_fd < 0)
		return err_sys(e, "cannot use '%s' as the root", c->root);
	if (etc < 0)
		return 0;
	c->texts[0] = str_fmt("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t%s\n", hostname);
	c->texts[1] = str_fmt("%s\n", hostname);
	for (size_t i = 0; i < COMPOSED_FILES; i++) {
		AUTO_FD int there = path_try(root_fd, destinations[i], O_PATH, PATH_IN_ROOT);

		/* A plain user cannot make a mount point in a folder of somebody else's. */
		if (there >= 0 || env->root)
			c->files[c->opts.n_files++] = (struct iso_file){destinations[i], c->texts[i]};
	}
	c->opts.files = c->files;
	return 0;
}

/* ---- devices ---- */

static void add_rule(struct spec_resources *r, bool allow, const char *type, int64_t major,
	int64_t minor, const char *access)
{
	size_t cap = r->n_devices;

	r->devices = mem_grow(r->devices, &cap, r->n_devices + 1, sizeof(*r->devices));
	r->devices[r->n_devices++] = (struct spec_device_rule){.allow = allow,
		.type = str_dup(type),
		.major = major,
		.minor = minor,
		.has_major = major >= 0,
		.has_minor = minor >= 0,
		.access = str_dup(access)};
}

/* No "m" anywhere: not even a node of an allowed device can be made. */
static void add_device_rules(struct spec_resources *r)
{
	static const int16_t allowed[][2] = {
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {136, -1}};

	add_rule(r, false, "a", -1, -1, "rwm");
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		add_rule(r, true, "c", allowed[i][0], allowed[i][1], "rw");
}

/*
 * Inside a user namespace nobody can make a node, and the kernel opens none on an overlay or
 * tmpfs mounted there.  Nodes can only come from a folder of the host that is mounted as it
 * is: then the control group decides too.
 */
static bool wants_device_rules(const struct jail_def *def)
{
	for (size_t i = 0; i < def->n_volumes; i++)
		if (def->volumes[i].dev)
			return true;
	return def->n_devices || def->root.rw;
}

static int add_device(
	const struct jail_device *d, struct spec *spec, struct spec_resources *r, struct err *e)
{
	static const char *const options[] = {"bind", "nosuid", "noexec", NULL};
	struct stat st;

	if (stat(d->source, &st) < 0)
		return err_sys(e, "cannot use device '%s'", d->source);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(
			e, EINVAL, "cannot use device '%s': it is not a device node", d->source);
	spec_add_mount(
		spec, d->destination ? d->destination : d->source, "bind", d->source, options);
	add_rule(r, true, S_ISCHR(st.st_mode) ? "c" : "b", major(st.st_rdev), minor(st.st_rdev),
		d->access ? d->access : "rw");
	return 0;
}

/* ---- limits ---- */

static uint64_t default_memory(void)
{
	struct sysinfo si;

	if (sysinfo(&si) < 0)
		return MEMORY_DEFAULT_MAX;
	return MIN((uint64_t)si.totalram * si.mem_unit / 2, MEMORY_DEFAULT_MAX);
}

static int64_t signed_limit(uint64_t v)
{
	return v == UINT64_MAX ? -1 : (int64_t)v;
}

/* The OCI wants v1 shares, 2..262144; the engine turns them into a weight on v2 by the inverse. */
static uint64_t shares_of_weight(uint64_t weight)
{
	return weight == 100 ? 1024 : 2 + ((weight - 1) * 262142) / 9999;
}

static void limit_memory(const struct jail_limits *l, bool defaults, struct spec_resources *r)
{
	uint64_t memory = l->has_memory_bytes ? l->memory_bytes : default_memory();
	uint64_t swap = l->has_swap_bytes ? l->swap_bytes : 0;
	struct spec_memory *m;

	if (!defaults && !l->has_memory_bytes && !l->has_swap_bytes)
		return;
	m = r->memory = mem_new(sizeof(*m));
	m->has_limit = m->has_swap = true;
	m->limit = signed_limit(memory);
	/* The OCI's "swap" is memory and swap together. */
	m->swap = memory == UINT64_MAX || swap == UINT64_MAX ? -1 : (int64_t)(memory + swap);
}

static void limit_cpu(const struct jail_limits *l, bool defaults, struct spec_resources *r)
{
	struct spec_cpu *c;

	if (!defaults && !l->has_cpu_weight && !l->has_cpu_milli && !l->cpus && !l->mems)
		return;
	c = r->cpu = mem_new(sizeof(*c));
	if (defaults || l->has_cpu_weight) {
		c->has_shares = true;
		c->shares = shares_of_weight(l->has_cpu_weight ? l->cpu_weight : 100);
	}
	if (l->has_cpu_milli) {
		c->has_quota = c->has_period = true;
		c->period = 100000;
		c->quota = l->cpu_milli == UINT64_MAX ? -1 : (int64_t)(l->cpu_milli * 100);
	}
	c->cpus = str_dup(l->cpus);
	c->mems = str_dup(l->mems);
}

static int limit_rates(const struct jail_io_rate *rates, size_t n,
	struct spec_throttle_device **ret, size_t *ret_n, struct err *e)
{
	if (!n)
		return 0;
	*ret = mem_new_array(n, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (stat(rates[i].device, &st) < 0)
			return err_sys(e, "cannot limit device '%s'", rates[i].device);
		if (!S_ISBLK(st.st_mode))
			return err_set(e, ENOTBLK,
				"cannot limit device '%s': it is not a block device",
				rates[i].device);
		(*ret)[(*ret_n)++] = (struct spec_throttle_device){.major = major(st.st_rdev),
			.minor = minor(st.st_rdev),
			/* 0 is "no limit" in v1; the engine writes "max" for it on v2. */
			.rate = rates[i].rate == UINT64_MAX ? 0 : rates[i].rate};
	}
	return 0;
}

static int limit_io(const struct jail_limits *l, struct spec_resources *r, struct err *e)
{
	struct spec_block_io *b;

	if (!l->has_io_weight && !l->n_read_bps && !l->n_write_bps && !l->n_read_iops &&
		!l->n_write_iops)
		return 0;
	b = r->block_io = mem_new(sizeof(*b));
	if (l->has_io_weight) {
		/* 1..10000 here, 10..1000 in the OCI (v1's scale). */
		b->has_weight = true;
		b->weight = (uint32_t)(10 + (MIN(l->io_weight, 10000ull) - 1) * 990 / 9999);
	}
	if (limit_rates(l->read_bps, l->n_read_bps, &b->read_bps, &b->n_read_bps, e) < 0 ||
		limit_rates(l->write_bps, l->n_write_bps, &b->write_bps, &b->n_write_bps, e) < 0 ||
		limit_rates(l->read_iops, l->n_read_iops, &b->read_iops, &b->n_read_iops, e) < 0 ||
		limit_rates(l->write_iops, l->n_write_iops, &b->write_iops, &b->n_write_iops, e) <
			0)
		return -e->code;
	return 0;
}

int compose_limits(
	const struct jail_limits *l, bool defaults, struct spec_resources *ret, struct err *e)
{
	limit_memory(l, defaults, ret);
	limit_cpu(l, defaults, ret);
	if (defaults || l->has_pids) {
		ret->has_pids = true;
		ret->pids_limit = l->has_pids ? signed_limit(l->pids) : DEFAULT_PIDS;
	}
	return limit_io(l, ret, e);
}

static void add_rlimits(const struct jail_limits *l, struct spec_process *p)
{
	bool nofile = false, core = false;

	for (size_t i = 0; i < l->n_rlimits; i++) {
		const struct jail_rlimit *r = &l->rlimits[i];

		nofile |= r->type == RLIMIT_NOFILE;
		core |= r->type == RLIMIT_CORE;
		spec_add_rlimit(p, r->type, r->soft, r->hard);
	}
	if (!nofile)
		spec_add_rlimit(p, RLIMIT_NOFILE, NOFILE_SOFT, NOFILE_HARD);
	if (!core)
		spec_add_rlimit(p, RLIMIT_CORE, 0, 0);
}

/* ---- process ---- */

static uint64_t caps_of(const struct jail_def *def)
{
	uint64_t caps = DEFAULT_CAPS, all = 0;

	for (int i = 0; spec_capability_names[i]; i++)
		all |= 1ull << i;
	for (size_t i = 0; i < def->cap_drop.n; i++)
		caps = !strcasecmp(def->cap_drop.v[i], "all")
			       ? 0
			       : caps & ~(1ull << cap_number(def->cap_drop.v[i]));
	for (size_t i = 0; i < def->cap_add.n; i++)
		caps |= !strcasecmp(def->cap_add.v[i], "all")
				? all
				: 1ull << cap_number(def->cap_add.v[i]);
	return caps;
}

/* A user that is not root holds nothing; the set it could never regain is still the jail's. */
static void compose_caps(const struct jail_def *def, struct spec_process *p)
{
	struct spec_capabilities *c = mem_new(sizeof(*c));
	uint64_t caps = caps_of(def);

	c->bounding = caps;
	if (p->user.uid == 0)
		c->effective = c->permitted = caps;
	p->capabilities = c;
}

static int find_user(const struct jail_def *def, const char *root, const char *layer,
	struct spec_process *p, char **ret_home, struct err *e)
{
	AUTO_FREE char *upper = layer ? str_fmt("%s/upper", layer) : NULL;
	AUTO_FD int top = -1;
	AUTO_FD int fd = -1;
	struct err none = {0};

	if (!def->user)
		return 0;
	/* What was changed inside lies in the layer; a whiteout or a symlink there finds nothing.
	 */
	top = upper ? open(upper, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (top >= 0) {
		AUTO_FD int passwd = path_try(top, "etc/passwd", O_PATH, PATH_IN_ROOT);

		if (passwd >= 0 && iso_user_lookup(top, def->user, &p->user, ret_home, &none) == 0)
			return 0;
	}
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot use '%s' as the root", root);
	return iso_user_lookup(fd, def->user, &p->user, ret_home, e);
}

static void add_env(const struct jail_def *def, const char *home, struct spec_process *p)
{
	const char *term = getenv("TERM");

	strv_copy(&p->env, &def->env);
	if (!strv_getenv(&p->env, "PATH"))
		strv_setenv(&p->env, "PATH", PATH_DEFAULT);
	if (!strv_getenv(&p->env, "HOME"))
		strv_setenv(&p->env, "HOME", home ? home : p->user.uid == 0 ? "/root" : "/");
	if (def->terminal && !strv_getenv(&p->env, "TERM"))
		strv_setenv(&p->env, "TERM", term && *term && strlen(term) < 64 ? term : "xterm");
}

static int make_process(const struct jail_env *env, const struct jail_def *def, bool root_inside,
	struct composed *c, struct err *e)
{
	struct spec_process *p = c->spec.process = mem_new(sizeof(*p));
	AUTO_FREE char *home = NULL;

	if (!root_inside) {
		p->user.uid = env->uid;
		p->user.gid = env->gid;
	}
	if (find_user(def, c->root, c->layer, p, &home, e) < 0)
		return err_prefix(e, "cannot run as user '%s'", def->user);
	if (!root_inside &&
		(p->user.uid != env->uid || p->user.gid != env->gid || p->user.n_additional_gids))
		return err_set(e, EPERM,
			"cannot run as user '%s': this host gives you no other ids than your own; "
			"add a line for you to /etc/subuid and /etc/subgid",
			def->user);
	p->terminal = def->terminal;
	strv_copy(&p->args, &def->args);
	p->cwd = str_dup(def->cwd ? def->cwd : def->root.work ? def->root.work : "/");
	add_env(def, home, p);
	compose_caps(def, p);
	add_rlimits(&def->limits, p);
	p->no_new_privileges = true;
	/* Where the host runs out of memory, it is to take a jail before anything of its own. */
	p->has_oom_score_adj = true;
	p->oom_score_adj = JAIL_OOM_SCORE;
	return 0;
}

/*
 * A second stop behind the filter: inside there is room for no further user namespace, and
 * without one no process holds the capability for the other kinds.
 */
static void forbid_namespaces(const struct jail_def *def, struct spec *spec)
{
	if (!strv_has(&def->allow, "userns"))
		strmap_set(&spec->linux.sysctl, "user.max_user_namespaces", "0");
}

/* ---- seccomp ---- */

static int load_profile(const char *path, struct spec_seccomp *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO_BUF struct buf b = {0};
	int r = fd < 0 ? err_sys(e, "cannot open seccomp profile '%s'", path)
		       : file_read_fd(fd, path, PROFILE_BYTES_MAX, &b, e);

	if (!r)
		r = json_read_text(&spec_seccomp_table, b.p, b.n, NULL, ret, e);
	return r < 0 ? err_prefix(e, "seccomp profile '%s'", path) : 0;
}

static int make_filter(
	const struct jail_env *env, const struct jail_def *def, struct composed *c, struct err *e)
{
	struct spec_seccomp *p;
	int r = 0;

	if (def->seccomp && !strcmp(def->seccomp, "unconfined"))
		return 0;
	AUTO_FD int cache = env_filter_cache(env, e);
	if (cache < 0)
		return cache;
	p = mem_new(sizeof(*p));
	if (def->seccomp && def->seccomp[0] == '/')
		r = load_profile(def->seccomp, p, e);
	else
		iso_seccomp_default(p);
	for (size_t i = 0; !r && i < def->allow.n; i++)
		r = iso_seccomp_allow(p, def->allow.v[i], e);
	if (!r)
		r = iso_filter_get(p, cache, &c->filter, e);
	c->has_filter = !r;
	/* The compiled form is all that is needed from here on, and it is shared by all jails. */
	json_release(&spec_seccomp_table, p);
	free(p);
	return r;
}

/* ---- all of it ---- */

static int make_root(const struct jail_env *env, const struct jail_def *def, const char *layer_path,
	struct composed *c, struct err *e)
{
	struct stat st;

	c->root = str_dup(def->root.kind == JAIL_ROOT_HOST ? "/" : def->root.path);
	c->layer = str_dup(layer_path);
	if (stat(c->root, &st) < 0)
		return err_sys(e, "cannot use '%s' as the root", c->root);
	if (!S_ISDIR(st.st_mode))
		return err_set(
			e, ENOTDIR, "cannot use '%s' as the root: it is not a directory", c->root);
	c->opts.map_root = env->root;
	if (!def->root.rw) {
		c->overlay.layer = c->layer;
		c->overlay.tmpfs_bytes = LAYER_DEFAULT;
		c->opts.overlay = &c->overlay;
	}
	return 0;
}

static int make_mounts(const struct jail_env *env, const struct jail_def *def, const char *hostname,
	const char *run_path, bool has_tty_gid, struct composed *c, struct err *e)
{
	add_standard_mounts(def, &c->spec, has_tty_gid);
	if (def->root.kind == JAIL_ROOT_HOST &&
		compose_host_root(env, def, run_path, &c->spec, &c->root, e) < 0)
		return -e->code;
	if (add_generated(env, hostname, c, e) < 0)
		return -e->code;
	for (size_t i = 0; i < def->n_tmpfs; i++)
		add_tmpfs(&def->tmpfs[i], &c->spec);
	for (size_t i = 0; i < def->n_volumes; i++)
		if (add_volume(env, &def->volumes[i], &c->spec, e) < 0)
			return -e->code;
	for (size_t i = 0; i < def->n_devices; i++)
		if (add_device(&def->devices[i], &c->spec, c->resources, e) < 0)
			return -e->code;
	if (compose_proc(&c->spec, e) < 0)
		return -e->code;
	if (def->sys == JAIL_SYS_RO)
		mask_sys(&c->spec);
	for (size_t i = 0; i < def->masks.n; i++)
		strv_add(&c->spec.linux.masked_paths, def->masks.v[i]);
	for (size_t i = 0; i < def->readonly.n; i++)
		strv_add(&c->spec.linux.readonly_paths, def->readonly.v[i]);
	return 0;
}

static int build(const struct jail_env *env, const char *name, const struct jail_def *def,
	const char *run_path, const char *layer_path, struct composed *c, struct err *e)
{
	struct spec *spec = &c->spec;
	const char *hostname = def->hostname ? def->hostname : name;
	bool root_inside = true;

	spec->oci_version = str_dup(SPEC_OCI_VERSION);
	spec->has_linux = true;
	spec->hostname = str_dup(hostname);
	spec->linux.rootfs_propagation = str_dup("private");
	c->resources = spec->linux.resources = mem_new(sizeof(*spec->linux.resources));
	add_namespaces(def, spec);
	if (env->root)
		map_range(&spec->linux, def->made.id_base, def->made.id_count);
	else
		ids_user_map(spec, env->uid, env->gid, &root_inside);
	if (wants_device_rules(def))
		add_device_rules(c->resources);
	if (make_root(env, def, layer_path, c, e) < 0 ||
		compose_limits(&def->limits, true, c->resources, e) < 0 ||
		make_mounts(env, def, hostname, run_path, root_inside, c, e) < 0 ||
		make_process(env, def, root_inside, c, e) < 0 || make_filter(env, def, c, e) < 0)
		return -e->code;
	forbid_namespaces(def, spec);
	c->opts.spec = spec;
	c->opts.root = c->root;
	c->opts.filter = c->has_filter ? &c->filter : NULL;
	c->opts.stdio[0] = c->opts.stdio[1] = c->opts.stdio[2] = -1;
	c->opts.start_socket_fd = -1;
	c->opts.init = !def->has_init || def->init;
	c->opts.persist = def->persist;
	c->opts.die_with_parent = true;
	c->opts.creator_id = env->root ? def->made.id_base : 0;
	c->opts.clamp_rlimits = true;
	/*
	 * Abstract sockets and signals are per network and pid namespace already.  With the host's
	 * network the first is not, and there Landlock is the one lock: programs of exec are in a
	 * Landlock domain of their own, so the init's abstract sockets are out of their reach.
	 */
	if (def->net == JAIL_NET_HOST)
		c->opts.landlock.scope = ISO_LANDLOCK_SCOPE_ABSTRACT;
	return 0;
}

int compose(const struct jail_env *env, const char *name, const struct jail_def *def,
	const char *run_path, const char *layer_path, struct composed *ret, struct err *e)
{
	int r = build(env, name, def, run_path, layer_path, ret, e);

	if (!r)
		r = spec_check(&ret->spec, e);
	if (r < 0)
		composed_release(ret);
	return r;
}

void composed_release(struct composed *c)
{
	spec_release(&c->spec);
	if (c->has_filter)
		iso_filter_release(&c->filter);
	strv_release(&c->overlay.lower);
	for (size_t i = 0; i < COMPOSED_FILES; i++)
		free(c->texts[i]);
	free(c->root);
	free(c->layer);
	*c = (struct composed){0};
}
