/*
 * create, start and run (runtime.md "Lifecycle").
 *
 * P is this command.  It claims the id, makes the cgroup, and has the engine build the
 * container; its first process then waits on the socket `start` in the state directory, and P
 * may end.  `start` is another command that connects to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "oci/internal.h"

#define NOTIFY_INSIDE "/run/notify/notify.sock"

/* Everything that one creation holds. */
struct creation {
	struct container c;
	const struct oci_create_opts *opts;
	struct buf config;
	struct iso_cgroup cgroup;
	struct iso_filter filter;
	struct iso_jail jail;
	char *hook_state;
	int *fds;
	size_t n_fds;
	int start_fd;
	bool claimed, born;
	bool leaves; /* the command does not stay with the container */
};

static void creation_init(struct creation *cr, struct oci *o, const struct oci_create_opts *opts)
{
	*cr = (struct creation){.c = CONTAINER_INIT,
		.opts = opts,
		.cgroup = ISO_CGROUP_INIT,
		.jail = ISO_JAIL_INIT,
		.start_fd = -1};
	cr->c.o = o;
}

static void creation_release(struct creation *cr)
{
	container_release(&cr->c);
	buf_release(&cr->config);
	iso_cgroup_release(&cr->cgroup);
	iso_filter_release(&cr->filter);
	iso_jail_release(&cr->jail);
	free(cr->hook_state);
	free(cr->fds);
	fd_close(&cr->start_fd);
}

/* RFC 3339 with nanoseconds, as Go programs read it. */
static char *now_text(void)
{
	struct timespec ts;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return str_fmt("%s.%09ldZ", text, ts.tv_nsec);
}

static int load_bundle(struct creation *cr, struct err *e)
{
	const char *bundle = cr->opts->bundle ? cr->opts->bundle : ".";
	const char *config = cr->opts->config ? cr->opts->config : CONFIG_FILE;
	struct record *rec = &cr->c.rec;
	AUTO_FD int dir = -1;

	rec->bundle = realpath(bundle, NULL);
	if (!rec->bundle)
		return err_sys(e, "cannot open bundle '%s'", bundle);
	dir = open(rec->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "cannot open bundle '%s'", rec->bundle);
	if (file_read(dir, config, CONFIG_MAX_BYTES, &cr->config, e) < 0)
		return err_prefix(e, "bundle '%s'", rec->bundle);
	if (spec_load(cr->config.p, cr->config.n, &cr->c.spec, e) < 0 ||
		spec_check(&cr->c.spec, e) < 0)
		return err_prefix(e, "'%s/%s'", rec->bundle, config);
	cr->c.has_spec = true;
	return 0;
}

/* What this command needs beyond what the specification demands. */
static int check_spec(const struct creation *cr, struct err *e)
{
	const struct spec *spec = &cr->c.spec;
	const struct spec_seccomp *s = spec->linux.seccomp;
	bool terminal;

	if (spec->vm)
		return err_set(e, EOPNOTSUPP,
			"vm: this runtime starts no virtual machines yet; remove the section for a "
			"jail on the host's kernel");
	if (!spec->process)
		return err_set(e, EINVAL, "process: required to create a container, but missing");
	if (!spec->process->args.n)
		return err_set(
			e, EINVAL, "process.args: required to create a container, but missing");
	if (!spec_ns(spec, SPEC_NS_MOUNT))
		return err_set(
			e, EINVAL, "linux.namespaces: a namespace of type 'mount' is required");
	for (size_t i = 0; s && i < s->n_syscalls; i++)
		if (s->syscalls[i].action == SPEC_ACT_NOTIFY && !s->listener_path)
			return err_set(e, EINVAL,
				"linux.seccomp.listenerPath: required with 'SCMP_ACT_NOTIFY', but "
				"missing");
	terminal = spec->process->terminal;
	if (cr->opts->console_socket && !terminal)
		return err_set(e, EINVAL, "process.terminal: must be true with --console-socket");
	if (terminal && cr->leaves && !cr->opts->console_socket)
		return err_set(e, EINVAL,
			"process.terminal: needs --console-socket, since this command does not "
			"stay");
	return 0;
}

/* Relative sources are the bundle's (config.md "Mounts"). */
static void make_sources_absolute(struct spec *spec, const char *bundle)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		struct spec_mount *m = &spec->mounts[i];
		bool bind = strv_has(&m->options, "bind") || strv_has(&m->options, "rbind") ||
			    str_eq(m->type, "bind");

		if (bind && m->source && *m->source && *m->source != '/') {
			char *full = str_fmt("%s/%s", bundle, m->source);

			free(m->source);
			m->source = full;
		}
	}
}

/*
 * Without a cgroup namespace of its own a user namespace may not mount cgroups (EPERM): then it
 * sees the host's, read-only, as rootless engines on cgroup v1 expect.
 */
static void bind_cgroups(struct spec *spec)
{
	const struct spec_namespace *ns = spec_ns(spec, SPEC_NS_CGROUP);

	if ((ns && !ns->path) || caller_is_host_root())
		return;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		struct spec_mount *m = &spec->mounts[i];

		if (!str_eq(m->type, "cgroup") && !str_eq(m->type, "cgroup2"))
			continue;
		str_set(&m->type, "bind");
		str_set(&m->source, "/sys/fs/cgroup");
		strv_release(&m->options);
		strv_add(&m->options, "rbind");
		strv_add(&m->options, "rro");
		strv_add(&m->options, "rnosuid");
		strv_add(&m->options, "rnodev");
		strv_add(&m->options, "rnoexec");
	}
}

/* sd_notify(3): the service manager's socket is shown inside, under a name of its own. */
static void add_notify_socket(struct spec *spec)
{
	static const char *const options[] = {"bind", "nosuid", "nodev", "noexec", NULL};
	const char *path = getenv("NOTIFY_SOCKET");

	if (!path || *path != '/')
		return;
	spec_add_mount(spec, NOTIFY_INSIDE, "bind", path, options);
	strv_setenv(&spec->process->env, "NOTIFY_SOCKET", NOTIFY_INSIDE);
}

/*
 * What every container may use: making any node (which opens none), the devices that config.md
 * "Default Devices" puts into it, and terminals.  After the rules of the spec, as runc and crun
 * have it, since engines begin theirs with "deny all".
 */
static const struct {
	int64_t type, major, minor; /* -1: any */
	const char *access;
} default_rules[] = {
	{'c', -1, -1, "m"}, {'b', -1, -1, "m"}, {'c', 1, 3, "rwm"}, /* null */
	{'c', 1, 5, "rwm"}, /* zero */
	{'c', 1, 7, "rwm"}, /* full */
	{'c', 1, 8, "rwm"}, /* random */
	{'c', 1, 9, "rwm"}, /* urandom */
	{'c', 5, 0, "rwm"}, /* tty */
	{'c', 5, 1, "rwm"}, /* console */
	{'c', 5, 2, "rwm"}, /* ptmx */
	{'c', 136, -1, "rwm"}, /* pts */
};

static void allow_default_devices(struct spec_resources *r)
{
	size_t cap = 0;

	if (!r || !r->n_devices)
		return;
	cap = r->n_devices;
	r->devices = mem_grow(
		r->devices, &cap, r->n_devices + ARRAY_SIZE(default_rules), sizeof(*r->devices));
	for (size_t i = 0; i < ARRAY_SIZE(default_rules); i++)
		r->devices[r->n_devices++] = (struct spec_device_rule){
			.allow = true,
			.type = str_fmt("%c", (char)default_rules[i].type),
			.major = default_rules[i].major,
			.minor = default_rules[i].minor,
			.has_major = true,
			.has_minor = true,
			.access = str_dup(default_rules[i].access),
		};
}

static int find_root(struct creation *cr, struct err *e)
{
	const char *path = cr->c.spec.root.path;
	AUTO_FREE char *full =
		*path == '/' ? str_dup(path) : str_fmt("%s/%s", cr->c.rec.bundle, path);
	struct stat st;

	cr->c.rec.rootfs = realpath(full, NULL);
	if (!cr->c.rec.rootfs)
		return err_sys(e, "root.path: cannot open '%s'", full);
	if (stat(cr->c.rec.rootfs, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "root.path: '%s' is not a directory", full);
	return 0;
}

/*
 * config.md "Linux Process": what cannot be granted is a warning and no failure.  A user
 * namespace, new or joined, gives the whole set inside (user_namespaces(7)).
 */
void drop_capabilities_not_held(struct container *c, struct spec_capabilities *caps)
{
	uint64_t missing = 0;

	if (!caps || spec_ns(&c->spec, SPEC_NS_USER))
		return;
	for (int i = 0; spec_capability_names[i]; i++) {
		AUTO_FREE char *text = NULL;

		if (!(caps->bounding >> i & 1) || prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			continue;
		missing |= UINT64_C(1) << i;
		text = str_fmt("process.capabilities: '%s' cannot be granted: this command does "
			       "not have it",
			spec_capability_names[i]);
		strv_add(&c->o->warnings, text);
	}
	caps->bounding &= ~missing;
	caps->effective &= ~missing;
	caps->permitted &= ~missing;
	caps->inheritable &= ~missing;
	caps->ambient &= ~missing;
}

static int filter_cache(const struct oci *o)
{
	int fd = openat(o->root_fd, ".seccomp", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT && mkdirat(o->root_fd, ".seccomp", 0700) == 0)
		fd = openat(
			o->root_fd, ".seccomp", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd;
}

int filter_of(const struct container *c, struct iso_filter *ret, struct err *e)
{
	AUTO_FD int cache = -1;

	if (!c->spec.linux.seccomp)
		return 0;
	cache = filter_cache(c->o);
	if (iso_filter_get(c->spec.linux.seccomp, cache, ret, e) < 0)
		return err_prefix(e, "linux.seccomp");
	return 0;
}

/* Nothing is made here: all that can be known to be wrong is found before the id is claimed. */
static int prepare(struct creation *cr, const char *id, struct err *e)
{
	struct container *c = &cr->c;

	if (id_check(id, e) < 0 || load_bundle(cr, e) < 0 || check_spec(cr, e) < 0 ||
		find_root(cr, e) < 0)
		return -e->code;
	c->rec.id = str_dup(id);
	c->rec.created = now_text();
	c->rec.owner = geteuid();
	strmap_copy(&c->rec.annotations, &c->spec.annotations);
	make_sources_absolute(&c->spec, c->rec.bundle);
	drop_capabilities_not_held(c, c->spec.process->capabilities);
	bind_cgroups(&c->spec);
	add_notify_socket(&c->spec);
	allow_default_devices(c->spec.linux.resources);
	if (handed_fds(cr->opts->preserve_fds, &c->spec.process->env, &cr->fds, &cr->n_fds, e) <
			0 ||
		cgroup_path(c->o, id, &c->spec, &c->rec.cgroup, &c->rec.scope, e) < 0)
		return -e->code;
	return filter_of(c, &cr->filter, e);
}

/* The engine calls this while the first process waits in its new namespaces. */
static int on_runtime_hooks(void *ctx, pid_t pid, struct err *e)
{
	struct creation *cr = ctx;

	cr->born = true;
	container_set_process(&cr->c, pid);
	if (net_devices_move(&cr->c.spec, pid, e) < 0)
		return -e->code;
	if (container_save(&cr->c, e) < 0 ||
		run_hooks(&cr->c, SPEC_HOOK_PRESTART, OCI_CREATING, e) < 0)
		return -e->code;
	return run_hooks(&cr->c, SPEC_HOOK_CREATE_RUNTIME, OCI_CREATING, e);
}

/* Hooks inside see the pid as the container does (config.md "POSIX-platform Hooks"). */
static pid_t pid_inside(const struct spec *spec)
{
	const struct spec_namespace *ns = spec_ns(spec, SPEC_NS_PID);

	return ns && !ns->path ? 1 : 0;
}

static int build(struct creation *cr, struct err *e)
{
	struct container *c = &cr->c;
	struct iso_opts o = {
		.spec = &c->spec,
		.root = c->rec.rootfs,
		.cgroup = c->rec.cgroup ? &cr->cgroup : NULL,
		.filter = c->spec.linux.seccomp ? &cr->filter : NULL,
		.stdio = {-1, -1, -1},
		.extra_fds = cr->fds,
		.n_extra_fds = cr->n_fds,
		.start_socket_fd = cr->start_fd,
		.runtime_hooks = on_runtime_hooks,
		.hook_ctx = cr,
	};

	if (c->rec.cgroup &&
		iso_cgroup_create(c->rec.cgroup, c->spec.linux.resources, 0, &cr->cgroup, e) < 0)
		return -e->code;
	/* A plain user without a group that is theirs to divide: limits that matter were refused.
	 */
	if (cr->cgroup.mode == ISO_CGROUP_NONE) {
		str_set(&c->rec.cgroup, NULL);
		o.cgroup = NULL;
	}
	cr->hook_state = state_for_hooks(c, OCI_CREATING, pid_inside(&c->spec));
	o.hook_state = cr->hook_state;
	return iso_create(&o, &cr->jail, e);
}

/* Back to nothing; the first error is the one that is told. */
static void undo(struct creation *cr)
{
	struct err ignored = {0};
	int status;

	if (cr->jail.pidfd >= 0) {
		proc_signal(cr->jail.pidfd, SIGKILL);
		proc_wait(cr->jail.pidfd, &status);
	}
	if (cr->born)
		run_poststop_hooks(&cr->c);
	if (cr->c.rec.cgroup)
		iso_cgroup_destroy(&cr->cgroup, &ignored);
	if (cr->claimed)
		container_remove(&cr->c, &ignored);
}

static int create(struct creation *cr, const char *id, bool with_socket, struct err *e)
{
	const struct oci_create_opts *opts = cr->opts;
	struct container *c = &cr->c;

	if (prepare(cr, id, e) < 0 ||
		container_claim(c, &cr->config, with_socket ? &cr->start_fd : NULL, e) < 0)
		return -e->code;
	cr->claimed = true;
	if (build(cr, e) < 0)
		return -e->code;
	if (announce_process(
		    opts->console_socket, opts->pid_file, opts->pidfd_socket, &cr->jail, e) < 0)
		return -e->code;
	c->rec.phase = PHASE_CREATED;
	return container_save(c, e);
}

int oci_create(struct oci *o, const char *id, const struct oci_create_opts *opts, struct err *e)
{
	struct creation cr;
	int r;

	creation_init(&cr, o, opts);
	cr.leaves = true;
	r = create(&cr, id, true, e);
	if (r < 0)
		undo(&cr);
	creation_release(&cr);
	return r;
}

/* runtime.md 9: "if any poststart hook fails, the runtime MUST ... stop the container". */
static int after_start(struct container *c, const struct iso_jail *j, struct err *e)
{
	AUTO_FD int pidfd = container_pidfd(c);

	if (send_seccomp_listener(c, j->notify_fd, c->rec.pid, OCI_RUNNING, e) >= 0 &&
		run_hooks(c, SPEC_HOOK_POSTSTART, OCI_RUNNING, e) >= 0)
		return 0;
	if (pidfd >= 0)
		proc_signal(pidfd, SIGKILL);
	return -e->code;
}

static int not_startable(enum oci_status status, const char *id, struct err *e)
{
	if (status == OCI_STOPPED)
		return err_set(e, EBUSY, "cannot start a container that has stopped: '%s'", id);
	return err_set(e, EBUSY, "cannot start container '%s' in the '%s' state", id,
		oci_status_names[status]);
}

int oci_start(struct oci *o, const char *id, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct iso_jail j = ISO_JAIL_INIT;
	AUTO_FREE char *path = NULL;
	enum oci_status status;
	int r;

	if (container_open(o, id, CONTAINER_LOCK, &c, e) < 0)
		return -e->code;
	status = container_status(&c);
	if (status != OCI_CREATED)
		return not_startable(status, id, e);
	if (container_load_spec(&c, e) < 0)
		return -e->code;
	path = str_fmt("/proc/self/fd/%d/" START_SOCKET, c.dir_fd);
	j.sync_fd = socket_connect(path, SOCK_SEQPACKET, e);
	if (j.sync_fd < 0)
		return -e->code;
	r = iso_start(&j, e);
	unlinkat(c.dir_fd, START_SOCKET, 0);
	if (r >= 0)
		r = after_start(&c, &j, e);
	iso_jail_release(&j);
	return r;
}

void oci_running_release(struct oci_running *r)
{
	fd_close(&r->pidfd);
	fd_close(&r->console_fd);
}

static int run(struct creation *cr, const char *id, struct err *e)
{
	if (create(cr, id, false, e) < 0)
		return -e->code;
	if (iso_start(&cr->jail, e) < 0)
		return -e->code;
	return after_start(&cr->c, &cr->jail, e);
}

int oci_run(struct oci *o, const char *id, const struct oci_create_opts *opts, bool detach,
	struct oci_running *ret, struct err *e)
{
	struct creation cr;
	int r;

	creation_init(&cr, o, opts);
	cr.leaves = detach;
	r = run(&cr, id, e);
	if (r < 0) {
		undo(&cr);
	} else {
		ret->pid = cr.jail.pid;
		ret->pidfd = fd_take(&cr.jail.pidfd);
		ret->console_fd = opts->console_socket ? -1 : fd_take(&cr.jail.console_fd);
	}
	creation_release(&cr);
	return r;
}

/* criu wants the root to be a mount: it becomes one that only this command sees. */
static int mount_root(const char *rootfs, struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, "cannot mount '%s' on itself", rootfs);
	return 0;
}

static int restore(
	struct creation *cr, const char *id, const struct oci_criu_opts *x, struct err *e)
{
	struct container *c = &cr->c;
	pid_t pid;

	if (prepare(cr, id, e) < 0 || container_claim(c, &cr->config, NULL, e) < 0)
		return -e->code;
	cr->claimed = true;
	if (mount_root(c->rec.rootfs, e) < 0 || criu_restore(c, x, &pid, e) < 0)
		return -e->code;
	container_set_process(c, pid);
	c->rec.phase = PHASE_CREATED;
	if (cr->opts->pid_file && write_pid_file(cr->opts->pid_file, pid, e) < 0)
		return -e->code;
	return container_save(c, e);
}

int oci_restore(struct oci *o, const char *id, const struct oci_create_opts *opts,
	const struct oci_criu_opts *x, struct oci_running *ret, struct err *e)
{
	struct creation cr;
	int r;

	creation_init(&cr, o, opts);
	r = restore(&cr, id, x, e);
	if (r < 0) {
		undo(&cr);
	} else {
		ret->pid = cr.c.rec.pid;
		ret->pidfd = container_pidfd(&cr.c);
	}
	creation_release(&cr);
	return r;
}
