/*
 * What is the same for every hierarchy: making groups in all of them, bringing values to the
 * hierarchy that serves them, and the life of the processes inside.
 */
#include "isolation/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/cgroup_int.h"

/* The parent of our groups on v2: made with the first and removed with the last. */
#define PARENT "jail"

enum {
	TAKE_OVER_MS = 200, /* for what is just exiting in a group of the wanted name */
	PARENT_RETRIES = 64,
	MOVE_PASSES = 64,
	SIGNAL_BATCH = 256,
	INIT_USER_NS_INO = 0xEFFFFFFD, /* PROC_USER_INIT_INO in linux/proc_ns.h of the kernel */
};

/* ---- plans ---- */

static struct cgroup_write *plan_row(struct cgroup_plan *p, unsigned int ctl, unsigned int flags)
{
	struct cgroup_write *w;

	p->w = mem_grow(p->w, &p->cap, p->n + 1, sizeof(*p->w));
	w = &p->w[p->n++];
	*w = (struct cgroup_write){.ctl = ctl, .flags = flags};
	return w;
}

void cgroup_plan_add(struct cgroup_plan *p, unsigned int ctl, unsigned int flags, const char *file, const char *fmt, ...)
{
	struct cgroup_write *w = plan_row(p, ctl, flags);
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->file = file;
	w->value = str_dup(text);
}

void cgroup_plan_add_named(struct cgroup_plan *p, unsigned int ctl, unsigned int flags, const char *file,
	const char *value)
{
	struct cgroup_write *w = plan_row(p, ctl, flags);

	w->file = w->owned = str_dup(file);
	w->value = str_dup(value);
}

void cgroup_plan_release(struct cgroup_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->w[i].value);
		free(p->w[i].owned);
	}
	free(p->w);
	*p = (struct cgroup_plan){0};
}

int cgroup_device_check(const struct spec_device_rule *rule, struct cgroup_device *ret, struct err *e)
{
	static const char letters[] = "mrw";
	struct cgroup_device d = {.type = 'a', .major = -1, .minor = -1, .allow = rule->allow};

	if (rule->type && *rule->type) {
		if (!strchr("abc", *rule->type) || rule->type[1])
			return err_set(e, EINVAL, "device rule: type '%.20s' is none of a, b, c", rule->type);
		d.type = *rule->type;
	}
	if (rule->has_major)
		d.major = rule->major;
	if (rule->has_minor)
		d.minor = rule->minor;
	/* dev_t of the kernel: 12 bits of major, 20 of minor. */
	if (d.major < -1 || d.major > 0xfff || d.minor < -1 || d.minor > 0xfffff)
		return err_set(e, EINVAL, "device rule: there is no device %" PRId64 ":%" PRId64, d.major, d.minor);
	for (const char *c = rule->access ? rule->access : ""; *c; c++) {
		const char *at = strchr(letters, *c);

		if (!at)
			return err_set(e, EINVAL, "device rule: access '%.20s' is not made of r, w, m", rule->access);
		d.access |= 1u << (at - letters);
	}
	if (!d.access)
		d.access = CGROUP_DEV_ALL;
	*ret = d;
	return 0;
}

/* ---- which values there are, and who serves them ---- */

static bool wants_cpuset(const struct spec_resources *res)
{
	return res->cpu && (res->cpu->cpus || res->cpu->mems);
}

static bool wants_cpu(const struct spec_resources *res)
{
	const struct spec_cpu *c = res->cpu;

	return c && ((c->has_shares && c->shares) || (c->has_quota && c->quota) || c->has_burst ||
			    (c->has_period && c->period) || (c->has_realtime_runtime && c->realtime_runtime) ||
			    (c->has_realtime_period && c->realtime_period) || c->has_idle);
}

static bool wants_memory(const struct spec_resources *res)
{
	const struct spec_memory *m = res->memory;

	return m && ((m->has_limit && m->limit) || (m->has_swap && m->swap) || (m->has_reservation && m->reservation) ||
			    (m->has_kernel && m->kernel) || (m->has_kernel_tcp && m->kernel_tcp) ||
			    m->has_swappiness || m->disable_oom_killer);
}

static bool wants_pids(const struct spec_resources *res)
{
	return res->has_pids && res->pids_limit;
}

static bool wants_io(const struct spec_resources *res)
{
	const struct spec_block_io *b = res->block_io;

	return b && ((b->has_weight && b->weight) || (b->has_leaf_weight && b->leaf_weight) || b->n_weight_device ||
			    b->n_read_bps || b->n_write_bps || b->n_read_iops || b->n_write_iops);
}

static bool wants_hugetlb(const struct spec_resources *res)
{
	return res->n_hugepage_limits > 0;
}

static bool wants_rdma(const struct spec_resources *res)
{
	return res->n_rdma > 0;
}

static bool wants_net(const struct spec_resources *res)
{
	return res->network && ((res->network->has_class_id && res->network->class_id) || res->network->n_priorities);
}

static const struct {
	unsigned int ctl;
	bool (*wanted)(const struct spec_resources *res);
} kinds[CGROUP_KINDS] = {
	[CGROUP_CPUSET] = {ISO_CTL_CPUSET, wants_cpuset},
	[CGROUP_CPU] = {ISO_CTL_CPU, wants_cpu},
	[CGROUP_MEMORY] = {ISO_CTL_MEMORY, wants_memory},
	[CGROUP_PIDS] = {ISO_CTL_PIDS, wants_pids},
	[CGROUP_IO] = {ISO_CTL_IO, wants_io},
	[CGROUP_HUGETLB] = {ISO_CTL_HUGETLB, wants_hugetlb},
	[CGROUP_RDMA] = {ISO_CTL_RDMA, wants_rdma},
	[CGROUP_NET] = {ISO_CTL_NET, wants_net},
};

static unsigned int wanted_controllers(const struct spec_resources *res)
{
	unsigned int bits = 0;

	for (size_t i = 0; res && i < CGROUP_KINDS; i++)
		if (kinds[i].wanted(res))
			bits |= kinds[i].ctl;
	return bits;
}

/* net_cls and net_prio share a bit but may be two hierarchies; the file's prefix tells. */
static const struct cgroup_hier *serving(const struct cgroup_set *set, unsigned int ctl, const char *file)
{
	size_t prefix = file ? strcspn(file, ".") : 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct cgroup_hier *h = &set->h[i];

		if (h->dir_fd < 0 || !(h->ctl & ctl))
			continue;
		if (ctl != ISO_CTL_NET || !file || memmem(h->name, strlen(h->name), file, prefix))
			return h;
	}
	return NULL;
}

/* Root of the host, who is to get every limit that was asked for, or an error. */
static bool is_host_root(void)
{
	struct stat st;

	return !geteuid() && !stat("/proc/self/ns/user", &st) && st.st_ino == INIT_USER_NS_INO;
}

static void soften(struct iso_cgroup *cg, const char *reason)
{
	size_t n = strlen(cg->soft_reason);

	if (!strstr(cg->soft_reason, reason))
		snprintf(cg->soft_reason + n, sizeof(cg->soft_reason) - n, "%s%s", n ? "; " : "", reason);
}

static int unserved(struct iso_cgroup *cg, unsigned int ctl, struct err *e)
{
	const char *name = cgroup_controller_name(ctl, cg->mode == ISO_CGROUP_V2 ? 2 : 1);
	char reason[128];

	if (is_host_root()) {
		err_set(e, ENODEV, "cannot limit '%s': no control group of this host has that controller", name);
		return err_hint(e, "%s", cg->set->why_not[0] ? cg->set->why_not : "see jail doctor");
	}
	snprintf(reason, sizeof(reason), "controller '%s' is not delegated to this user", name);
	if (cg->set->why_not[0])
		soften(cg, cg->set->why_not);
	soften(cg, reason);
	return 0;
}

/* ---- writing values ---- */

static int explain_write(const struct cgroup_hier *h, struct err *e)
{
	static const struct {
		int code;
		const char *remedy;
	} remedies[] = {
		{ENOENT, "this kernel has no such control"},
		{EOPNOTSUPP, "this kernel does not support it"},
		{EINVAL, "the value is out of range, or more than the parent group allows"},
		{ERANGE, "the value is out of range"},
		{EBUSY, "more than that is in use now"},
		{ENODEV, "there is no such device"},
		{EACCES, "the group is not delegated to this user"},
		{EPERM, "the group is not delegated to this user"},
		{ENOSPC, "none of these processors or memory nodes is available"},
	};

	err_prefix(e, "cgroup '%s'", h->path);
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (remedies[i].code == e->code)
			return err_hint(e, "%s", remedies[i].remedy);
	return -e->code;
}

static void write_swap(struct cgroup_write *a, struct cgroup_write *b)
{
	struct cgroup_write keep = *a;

	*a = *b;
	*b = keep;
}

static int plan_apply(const struct cgroup_set *set, struct cgroup_plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		struct cgroup_write *w = &p->w[i];
		const struct cgroup_hier *h = serving(set, w->ctl, w->file);
		int r;

		if (!h)
			return err_set(e, ENODEV, "cannot set '%s': no control group of this host has its controller", w->file);
		r = file_write_kernel(h->dir_fd, w->file, h->ops->fs, w->value, e);
		if (r == -ENOENT && w->flags & (CGROUP_OPTIONAL | CGROUP_OR_NEXT))
			continue;
		if (r == -EINVAL && w->flags & CGROUP_OR_AFTER_NEXT && i + 1 < p->n) {
			w->flags &= ~(unsigned int)CGROUP_OR_AFTER_NEXT;
			write_swap(w, w + 1);
			i--;
			continue;
		}
		if (r < 0)
			return explain_write(h, e);
		if (w->flags & CGROUP_OR_NEXT)
			i++;
	}
	return 0;
}

/* "unified": file names and values for v2, as they are. */
static int plan_unified(const struct cgroup_set *set, const struct strmap *unified, struct cgroup_plan *p, struct err *e)
{
	for (size_t i = 0; i < unified->n; i++) {
		const char *file = unified->v[i].key;

		if (!set->v2 || set->v2->dir_fd < 0)
			return err_set(e, EOPNOTSUPP, "resources.unified '%.80s': this host has no cgroup v2", file);
		if (strchr(file, '/') || !strchr(file, '.') || *file == '.')
			return err_set(e, EINVAL, "resources.unified '%.80s' is not the name of a control file", file);
		if (str_starts(file, "cgroup."))
			return err_set(e, EPERM, "resources.unified '%.80s': processes and structure of a group are not limits",
				file);
		cgroup_plan_add_named(p, 0, 0, file, unified->v[i].value);
	}
	return 0;
}

static int apply_unified(const struct cgroup_set *set, const struct strmap *unified, struct err *e)
{
	AUTO_PLAN struct cgroup_plan plan = {0};
	int r = plan_unified(set, unified, &plan, e);

	for (size_t i = 0; r >= 0 && i < plan.n; i++) {
		r = file_write_kernel(set->v2->dir_fd, plan.w[i].file, set->v2->ops->fs, plan.w[i].value, e);
		if (r < 0)
			return explain_write(set->v2, e);
	}
	return r;
}

static int page_size_check(const struct spec_resources *res, struct err *e)
{
	for (size_t i = 0; i < res->n_hugepage_limits; i++) {
		const char *s = res->hugepage_limits[i].page_size;
		size_t digits = s ? strspn(s, "0123456789") : 0;

		if (!digits || digits > 9 || (strcmp(s + digits, "KB") && strcmp(s + digits, "MB") && strcmp(s + digits, "GB")))
			return err_set(e, EINVAL, "hugepageLimits: page size '%.20s' is not like \"2MB\"", s ? s : "");
	}
	return 0;
}

static int apply_kind(struct iso_cgroup *cg, enum cgroup_kind kind, const struct spec_resources *res, bool live,
	struct err *e)
{
	const struct cgroup_hier *h = serving(cg->set, kinds[kind].ctl, NULL);
	AUTO_PLAN struct cgroup_plan plan = {0};
	int r;

	if (!h)
		return unserved(cg, kinds[kind].ctl, e);
	r = h->ops->plan[kind](res, live ? h : NULL, &plan, e);
	if (r >= 0 && live && kind == CGROUP_MEMORY && res->memory->has_limit && res->memory->limit > 0 && h->ops->shrink)
		r = h->ops->shrink(h, res->memory->limit, e);
	return r < 0 ? r : plan_apply(cg->set, &plan, e);
}

static int apply_devices(struct iso_cgroup *cg, const struct spec_resources *res, struct err *e)
{
	const struct cgroup_hier *h = serving(cg->set, ISO_CTL_DEVICES, NULL);
	int r;

	if (!h)
		h = cg->set->v2 && cg->set->v2->dir_fd >= 0 ? cg->set->v2 : NULL;
	if (!h)
		return unserved(cg, ISO_CTL_DEVICES, e);
	r = h->ops->devices(h, res->devices, res->n_devices, e);
	if (r >= 0) {
		cg->hard |= ISO_CTL_DEVICES;
		return 0;
	}
	/*
	 * Whoever may not install a filter may not make device nodes either: a plain user's jail
	 * has the nodes that were put into it, with the user's own rights on them.
	 */
	if ((r == -EPERM || r == -EACCES) && !is_host_root()) {
		soften(cg, "device rules need root");
		return 0;
	}
	return err_prefix(e, "cgroup '%s'", h->path);
}

static int apply(struct iso_cgroup *cg, const struct spec_resources *res, bool live, struct err *e)
{
	int r = page_size_check(res, e);

	for (size_t i = 0; r >= 0 && i < CGROUP_KINDS; i++)
		if (kinds[i].wanted(res))
			r = apply_kind(cg, (enum cgroup_kind)i, res, live, e);
	if (r >= 0 && res->unified.n)
		r = apply_unified(cg->set, &res->unified, e);
	if (r >= 0 && res->n_devices)
		r = apply_devices(cg, res, e);
	return r;
}

/* ---- making and opening ---- */

char *iso_cgroup_path(const char *name)
{
	struct statfs st;

	if (!statfs("/sys/fs/cgroup", &st) && st.f_type == CGROUP2_SUPER_MAGIC)
		return str_fmt(PARENT "/%s", name);
	return str_fmt(PARENT "-%s", name);
}

static int make_last(int parent_fd, const char *name, const char *path, struct err *e)
{
	int r;

	if (!mkdirat(parent_fd, name, 0755))
		return 0;
	if (errno != EEXIST)
		return -errno;
	/* What is left of an earlier one has limits that nobody remembers: begin anew. */
	r = cgroup_tree_remove(parent_fd, name, time_mono_ms() + TAKE_OVER_MS, e);
	if (r == -EBUSY) {
		err_prefix(e, "cgroup '%s' exists and is in use", path);
		return r;
	}
	if (r < 0)
		return r;
	return mkdirat(parent_fd, name, 0755) < 0 ? -errno : 0;
}

/* Makes one component below *fd (-EBADF: the top) and moves *fd on to it. */
static int make_component(struct cgroup_set *set, struct cgroup_hier *h, int *fd, const char *at, unsigned int want,
	struct err *e)
{
	int parent = *fd < 0 ? h->top_fd : *fd;
	size_t n = strcspn(at, "/");
	bool last = !at[n];
	AUTO_FREE char *name = str_dup_n(at, n);
	AUTO_FREE char *above = str_dup_n(h->path, (size_t)(at - h->path));
	AUTO_FD int child = -EBADF;
	struct err soft = {0};
	int r;

	/* What is missing here is missed, and said, only if a limit needs it. */
	if (h->ops->before(h, parent, above, want, &soft) < 0)
		snprintf(set->why_not, sizeof(set->why_not), "%.*s", (int)sizeof(set->why_not) - 1, soft.text);
	if (last)
		r = make_last(parent, name, h->path, e);
	else
		r = mkdirat(parent, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
	if (r < 0)
		return r;
	h->made |= last;
	child = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (child < 0)
		return -errno;
	r = h->ops->after(h, parent, child, e);
	if (r < 0)
		return r;
	fd_close(fd);
	*fd = fd_take(&child);
	return 0;
}

static int make_once(struct cgroup_set *set, struct cgroup_hier *h, unsigned int want, struct err *e)
{
	AUTO_FD int fd = -EBADF;
	const char *at = h->path + (*h->base ? strlen(h->base) + 1 : 0);
	int r = 0;

	if (*h->base)
		r = fd = path_try(h->top_fd, h->base, O_PATH | O_DIRECTORY, PATH_NO_XDEV);
	while (r >= 0 && *at) {
		r = make_component(set, h, &fd, at, want, e);
		at += strcspn(at, "/");
		at += *at == '/';
	}
	if (r < 0)
		return r;
	r = file_check_fs(fd, h->ops->fs, h->path, e);
	if (r < 0)
		return r;
	h->dir_fd = fd_take(&fd);
	return 0;
}

static int make_group(struct cgroup_set *set, struct cgroup_hier *h, const char *path, unsigned int want, struct err *e)
{
	int r;

	h->path = *h->base ? str_fmt("%s/%s", h->base, path) : str_dup(path);
	/* Another command may remove the common parent, with its last child, between two steps. */
	for (int i = 0; i < PARENT_RETRIES; i++) {
		e->code = 0;
		r = make_once(set, h, want, e);
		if (r != -ENOENT && r != -ENODEV) /* ENODEV: reading a file of what is being removed */
			break;
	}
	if (r >= 0 || e->code)
		return r;
	err_set(e, -r, "cannot make cgroup '%s' in '%s': %s", h->path, h->point, strerrordesc_np(-r));
	if (r == -EAGAIN)
		err_hint(e, "a group above it has reached cgroup.max.descendants or cgroup.max.depth");
	return r;
}

static enum iso_cgroup_mode set_mode(const struct cgroup_set *set)
{
	bool v1 = false;

	for (size_t i = 0; i < set->n; i++)
		v1 |= set->h[i].ops->version == 1;
	if (!set->n)
		return ISO_CGROUP_NONE;
	return set->v2 ? v1 ? ISO_CGROUP_HYBRID : ISO_CGROUP_V2 : ISO_CGROUP_V1;
}

static int open_tasks(struct iso_cgroup *cg, struct err *e);

/* v2 hands controllers down on request; those with live limits are asked for beforehand. */
enum {
	ALWAYS_WANTED = ISO_CTL_CPU | ISO_CTL_CPUSET | ISO_CTL_MEMORY | ISO_CTL_PIDS | ISO_CTL_IO,
	V2_CONTROLLERS = ALWAYS_WANTED | ISO_CTL_HUGETLB | ISO_CTL_RDMA,
};

static int create_none(struct iso_cgroup *cg, const struct spec_resources *res, struct err *e)
{
	if (is_host_root() && (wanted_controllers(res) || (res && res->n_devices))) {
		err_set(e, ENODEV, "cannot limit anything: %s", cg->set->why_not);
		return err_hint(e, "mount one: mount -t cgroup2 none /sys/fs/cgroup");
	}
	soften(cg, cg->set->why_not);
	soften(cg, "limits of memory, processes and processors do not hold (systemd-run --user --scope "
		   "-p Delegate=yes gives a group)");
	return 0;
}

/*
 * What the v1 hierarchies do not serve falls to v2, whose own list of controllers is known only
 * where a group is.
 */
static bool serves(const struct cgroup_set *set, const struct cgroup_hier *h, unsigned int ctl)
{
	if (h->ops->version == 1)
		return h->ctl & ctl;
	for (size_t i = 0; i < set->n; i++)
		if (set->h[i].ops->version == 1)
			ctl &= ~set->h[i].ctl;
	return ctl;
}

/*
 * A lean group exists where a limit needs it, and where its processes can be listed.  Each
 * hierarchy more is a directory to make, to enter and to remove on every start.
 */
static bool is_needed(const struct cgroup_set *set, const struct cgroup_hier *h, const struct spec_resources *res)
{
	unsigned int needed = ISO_CTL_PIDS | wanted_controllers(res) | (res && res->n_devices ? ISO_CTL_DEVICES : 0);

	return serves(set, h, needed) || (h == set->v2 && res && res->unified.n);
}

static int create_all(struct iso_cgroup *cg, const char *path, const struct spec_resources *res, unsigned int flags,
	struct err *e)
{
	struct cgroup_set *set = cg->set;
	unsigned int want = ALWAYS_WANTED | wanted_controllers(res);

	for (size_t i = 0; i < set->n; i++) {
		struct cgroup_hier *h = &set->h[i];

		if (flags & ISO_CGROUP_LEAN && !is_needed(set, h, res)) {
			cg->hard |= h->ctl; /* update makes it */
			continue;
		}
		if (make_group(set, h, path, want, e) < 0)
			return -e->code;
		cg->hard |= h->ctl;
		if (!cg->path || h == set->v2)
			str_set(&cg->path, h->path);
	}
	cg->mode = set_mode(set);
	cg->dir_fd = set->v2 ? set->v2->dir_fd : -1;
	return res ? apply(cg, res, false, e) : 0;
}

static void remove_parent(const struct cgroup_hier *h)
{
	AUTO_FD int base = -EBADF;

	if (!str_starts(h->path + strlen(h->base) + (*h->base != '\0'), PARENT "/"))
		return;
	base = path_try(h->top_fd, *h->base ? h->base : ".", O_PATH | O_DIRECTORY, PATH_NO_XDEV);
	if (base >= 0)
		unlinkat(base, PARENT, AT_REMOVEDIR); /* refused while others are in it */
}

static int remove_group(struct cgroup_hier *h, uint64_t deadline_ms, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	AUTO_FD int parent = -EBADF;
	const char *name;
	int r = path_split(h->path, &dir, &name, e);

	if (r < 0)
		return r;
	fd_close(&h->dir_fd);
	fd_close(&h->tasks_fd);
	if (*dir) {
		parent = path_try(h->top_fd, dir, O_PATH | O_DIRECTORY, PATH_NO_XDEV);
		if (parent == -ENOENT)
			return 0;
		if (parent < 0)
			return err_set(e, -parent, "cannot open cgroup '%s': %s", dir, strerrordesc_np(-parent));
	}
	r = cgroup_tree_remove(*dir ? parent : h->top_fd, name, deadline_ms, e);
	if (r >= 0)
		remove_parent(h);
	return r;
}

static void create_undo(struct cgroup_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct err ignored = {0};

		if (set->h[i].made)
			remove_group(&set->h[i], time_mono_ms() + TAKE_OVER_MS, &ignored);
		else if (set->h[i].path)
			remove_parent(&set->h[i]);
	}
}

int iso_cgroup_create(const char *path, const struct spec_resources *res, unsigned int flags, struct iso_cgroup *ret,
	struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	AUTO_FREE char *clean = NULL;
	int r = cgroup_path_check(path, &clean, e);

	if (r < 0)
		return r;
	cg.set = mem_new(sizeof(*cg.set));
	r = cgroup_set_find(cg.set, e);
	if (r >= 0 && !cg.set->n) {
		cg.path = str_dup(clean);
		r = create_none(&cg, res, e);
	} else if (r >= 0) {
		r = create_all(&cg, clean, res, flags, e);
		if (r >= 0)
			r = open_tasks(&cg, e);
		if (r < 0)
			create_undo(cg.set);
	}
	if (r < 0) {
		iso_cgroup_release(&cg);
		return r;
	}
	*ret = cg;
	return 0;
}

/* The group as create named it, or below the subtree that is ours now. */
static int open_group(struct cgroup_hier *h, const char *path, struct err *e)
{
	AUTO_FREE char *below = *h->base ? str_fmt("%s/%s", h->base, path) : NULL;
	const char *tries[] = {below, path};

	for (size_t i = below ? 0 : 1; i < ARRAY_SIZE(tries); i++) {
		h->dir_fd = path_try(h->top_fd, tries[i], O_RDONLY | O_DIRECTORY, PATH_NO_XDEV);
		if (h->dir_fd < 0)
			continue;
		str_set(&h->path, tries[i]);
		return file_check_fs(h->dir_fd, h->ops->fs, tries[i], e);
	}
	str_set(&h->path, below ? below : path);
	return -ENOENT;
}

static int open_all(struct iso_cgroup *cg, const char *path, struct err *e)
{
	struct cgroup_set *set = cg->set;
	size_t found = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct cgroup_hier *h = &set->h[i];
		int r = open_group(h, path, e);

		if (r == -ENOENT)
			continue;
		if (r >= 0 && h->ops->version == 2)
			r = h->ops->after(h, h->top_fd, h->dir_fd, e);
		if (r < 0)
			return r;
		cg->hard |= h->ctl;
		if (!found++ || h == set->v2)
			str_set(&cg->path, h->path);
	}
	cg->mode = set_mode(set);
	cg->dir_fd = set->v2 && set->v2->dir_fd >= 0 ? set->v2->dir_fd : -1;
	if (!found)
		return err_set(e, ENOENT, "there is no cgroup '%s'", path);
	return 0;
}

int iso_cgroup_open(const char *path, struct iso_cgroup *ret, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	AUTO_FREE char *clean = NULL;
	int r = cgroup_path_check(path, &clean, e);

	if (r < 0)
		return r;
	cg.set = mem_new(sizeof(*cg.set));
	r = cgroup_set_find(cg.set, e);
	if (r >= 0)
		r = open_all(&cg, clean, e);
	if (r < 0) {
		iso_cgroup_release(&cg);
		return r;
	}
	*ret = cg;
	return 0;
}

void iso_cgroup_release(struct iso_cgroup *cg)
{
	if (cg->set)
		cgroup_set_release(cg->set);
	free(cg->set);
	free(cg->path);
	*cg = (struct iso_cgroup)ISO_CGROUP_INIT;
}

/* The rows of cg in which the group exists. */
#define EACH_HIER(cg, h)                                                                            \
	for (struct cgroup_hier *h = (cg)->set ? (cg)->set->h : NULL,                               \
				*h##_end = h ? h + (cg)->set->n : NULL; h < h##_end; h++)            \
		if (h->dir_fd >= 0)

enum iso_cgroup_mode iso_cgroup_probe(unsigned int *ret_controllers, struct err *e)
{
	struct cgroup_set set = {0};
	unsigned int mounted = 0, bits = 0;
	enum iso_cgroup_mode mode;

	*ret_controllers = 0;
	if (cgroup_set_find(&set, e) < 0 || cgroup_lib_controllers(&mounted, e) < 0) {
		cgroup_set_release(&set);
		return ISO_CGROUP_NONE;
	}
	for (size_t i = 0; i < set.n; i++) {
		struct cgroup_hier *h = &set.h[i];
		AUTO_FD int base = path_try(h->top_fd, *h->base ? h->base : ".", O_PATH | O_DIRECTORY, PATH_NO_XDEV);
		struct err ignored = {0};

		if (h->ops->version == 2 && base >= 0) /* libcgroup knows what is mounted, not what is delegated */
			h->ops->after(h, h->top_fd, base, &ignored);
		bits |= h->ctl & (mounted | ISO_CTL_FREEZER);
		if (h->ops->version == 2 && is_host_root())
			bits |= ISO_CTL_DEVICES;
	}
	mode = set_mode(&set);
	if (mode == ISO_CGROUP_NONE)
		err_set(e, ENODEV, "%s", set.why_not);
	cgroup_set_release(&set);
	*ret_controllers = bits;
	return mode;
}

/* ---- getting in ---- */

static int open_tasks(struct iso_cgroup *cg, struct err *e)
{
	EACH_HIER(cg, h) {
		int r;

		if (h->ops->version == 2 || h->tasks_fd >= 0)
			continue;
		h->tasks_fd = openat(h->dir_fd, "tasks", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (h->tasks_fd < 0)
			return err_sys(e, "cannot open 'tasks' of cgroup '%s' in '%s'", h->path, h->point);
		r = file_check_fs(h->tasks_fd, h->ops->fs, "tasks", e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The group's path as create was given it, of any row in which it exists. */
static const char *group_name(const struct iso_cgroup *cg)
{
	EACH_HIER(cg, h)
		return h->path + (*h->base ? strlen(h->base) + 1 : 0);
	return NULL;
}

int iso_cgroup_ready(struct iso_cgroup *cg, struct err *e)
{
	const char *name = group_name(cg);

	/* Another command may have made a lean group in one more hierarchy since. */
	for (size_t i = 0; name && i < cg->set->n; i++) {
		struct cgroup_hier *h = &cg->set->h[i];

		if (h->dir_fd < 0 && open_group(h, name, e) < 0 && h->dir_fd >= 0)
			return -e->code;
	}
	cg->dir_fd = cg->set && cg->set->v2 && cg->set->v2->dir_fd >= 0 ? cg->set->v2->dir_fd : -1;
	return open_tasks(cg, e);
}

static int move_all(const struct iso_cgroup *cg, const struct cgroup_hier *h, struct err *e);

/* A v2 group has the controllers that were asked for when it was made: asks for more. */
static int hand_down(struct cgroup_set *set, struct cgroup_hier *h, unsigned int want, struct err *e)
{
	const char *at = h->path + (*h->base ? strlen(h->base) + 1 : 0);
	struct err soft = {0};

	do {
		AUTO_FREE char *above = str_dup_n(h->path, (size_t)(at - h->path));
		AUTO_FD int dir = path_try(h->top_fd, *above ? above : ".", O_PATH | O_DIRECTORY, PATH_NO_XDEV);

		if (dir < 0)
			return err_set(e, -dir, "cannot open cgroup '%s': %s", above, strerrordesc_np(-dir));
		if (h->ops->before(h, dir, above, want, &soft) < 0) /* missed, and said, where a limit needs it */
			snprintf(set->why_not, sizeof(set->why_not), "%.*s", (int)sizeof(set->why_not) - 1, soft.text);
		at += strcspn(at, "/");
		at += *at == '/';
	} while (*at);
	return h->ops->after(h, h->top_fd, h->dir_fd, e);
}

/* Makes a lean group in a hierarchy that serves ctl, and moves everything that is inside to it. */
static int ensure(const struct iso_cgroup *cg, unsigned int ctl, struct err *e)
{
	const char *name = group_name(cg);

	for (size_t i = 0; name && i < cg->set->n; i++) {
		struct cgroup_hier *h = &cg->set->h[i];

		if (!serves(cg->set, h, ctl))
			continue;
		if (h->dir_fd >= 0) {
			if (h == cg->set->v2 && ctl & ~h->ctl & V2_CONTROLLERS && hand_down(cg->set, h, ctl, e) < 0)
				return -e->code;
			continue;
		}
		if (open_group(h, name, e) >= 0)
			continue;
		if (make_group(cg->set, h, name, ctl, e) < 0 || move_all(cg, h, e) < 0)
			return -e->code;
	}
	return 0;
}

int iso_cgroup_enter(const struct iso_cgroup *cg, struct err *e)
{
	EACH_HIER(cg, h)
		if (h->tasks_fd >= 0 && write(h->tasks_fd, "0", 1) != 1)
			return err_sys(e, "cannot enter cgroup '%s' in '%s'", h->path, h->point);
	return 0;
}

int iso_cgroup_attach(const struct iso_cgroup *cg, pid_t pid, struct err *e)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	EACH_HIER(cg, h) {
		int r = file_write_kernel(h->dir_fd, "cgroup.procs", h->ops->fs, text, e);

		if (r == -EACCES)
			err_hint(e, "the process is in no group that was delegated to this user");
		if (r < 0)
			return err_prefix(e, "process %d cannot enter cgroup '%s' in '%s'", (int)pid, h->path, h->point);
	}
	return 0;
}

int iso_cgroup_update(const struct iso_cgroup *cg, const struct spec_resources *res, struct err *e)
{
	struct iso_cgroup now = *cg; /* bits and reasons of a live group do not change */

	if (!cg->set || !cg->set->n)
		return wanted_controllers(res) ? err_set(e, ENODEV, "cannot change limits: %s",
							 cg->soft_reason[0] ? cg->soft_reason : "there is no group")
					       : 0;
	now.soft_reason[0] = '\0';
	int r = ensure(cg, wanted_controllers(res) | (res->n_devices ? ISO_CTL_DEVICES : 0), e);
	if (r >= 0)
		r = apply(&now, res, true, e);
	if (r >= 0 && now.soft_reason[0])
		return err_set(e, ENODEV, "cannot change limits: %s", now.soft_reason);
	return r;
}

/* ---- the processes inside ---- */

/* The row that can freeze: v2's own, or v1's freezer. */
static const struct cgroup_hier *freezer(const struct iso_cgroup *cg)
{
	if (cg->dir_fd >= 0)
		return cg->set->v2;
	return cg->set ? serving(cg->set, ISO_CTL_FREEZER, NULL) : NULL;
}

int iso_cgroup_freeze(const struct iso_cgroup *cg, bool frozen, struct err *e)
{
	const struct cgroup_hier *h = freezer(cg);
	int r;

	if (!h) {
		r = ensure(cg, ISO_CTL_FREEZER, e);
		if (r < 0)
			return r;
		h = freezer(cg);
	}

	if (!h)
		return err_set(e, EOPNOTSUPP, "cannot %s: %s", frozen ? "freeze" : "thaw",
			cg->soft_reason[0] ? cg->soft_reason : "no group of this host can freeze");
	r = h->ops->freeze(h, frozen, time_mono_ms() + CGROUP_FREEZE_MS, e);
	return r < 0 ? err_prefix(e, "cgroup '%s'", h->path) : 0;
}

static int pid_compare(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Of all hierarchies: a process may have been in some only when its starter was killed. */
static int all_pids(const struct iso_cgroup *cg, struct cgroup_pids *ret, struct err *e)
{
	size_t n = 0;

	EACH_HIER(cg, h) {
		int r = cgroup_tree_pids(h->dir_fd, ret, e);

		if (r == -ENODEV || r == -ENOENT)
			continue;
		if (r < 0)
			return r;
	}
	if (!ret->n)
		return 0;
	qsort(ret->v, ret->n, sizeof(*ret->v), pid_compare);
	for (size_t i = 0; i < ret->n; i++)
		if (!i || ret->v[i] != ret->v[i - 1])
			ret->v[n++] = ret->v[i];
	ret->n = n;
	return 0;
}

/*
 * Moves every process of the group into h as well.  New ones may be born meanwhile where their
 * parent was: it is done when a whole pass has found nobody outside.
 */
static int move_all(const struct iso_cgroup *cg, const struct cgroup_hier *h, struct err *e)
{
	for (int pass = 0; pass < MOVE_PASSES; pass++) {
		struct cgroup_pids all = {0}, in = {0};
		int r = cgroup_tree_pids(h->dir_fd, &in, e); /* sorted */
		size_t outside = 0;

		if (r >= 0)
			r = all_pids(cg, &all, e);
		for (size_t i = 0; r >= 0 && i < all.n; i++) {
			char text[16];

			if (in.n && bsearch(&all.v[i], in.v, in.n, sizeof(pid_t), pid_compare))
				continue;
			outside++;
			snprintf(text, sizeof(text), "%d", (int)all.v[i]);
			r = file_write_kernel(h->dir_fd, "cgroup.procs", h->ops->fs, text, e);
			if (r == -ESRCH)
				r = 0;
		}
		free(all.v);
		free(in.v);
		if (r < 0 || !outside)
			return r < 0 ? err_prefix(e, "cgroup '%s'", h->path) : 0;
	}
	return err_set(e, EAGAIN, "cgroup '%s': processes are born faster than they can be moved; lower pids", h->path);
}

int iso_cgroup_pids(const struct iso_cgroup *cg, pid_t **ret, size_t *ret_n, struct err *e)
{
	struct cgroup_pids pids = {0};
	int r = all_pids(cg, &pids, e);

	if (r < 0) {
		free(pids.v);
		return r;
	}
	*ret = pids.v;
	*ret_n = pids.n;
	return 0;
}

/*
 * Signals the listed processes that are still inside.  A number may have passed to a stranger
 * since the list was made: take a pidfd of each, then list again.  Who is on the second list
 * was inside after its pidfd was taken, so the pidfd means the process that was inside.
 */
static int signal_batch(const struct iso_cgroup *cg, const pid_t *v, size_t n, int sig, struct err *e)
{
	struct cgroup_pids again = {0};
	int fds[SIGNAL_BATCH], r;

	for (size_t i = 0; i < n; i++)
		fds[i] = proc_pidfd(v[i]);
	r = all_pids(cg, &again, e);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (r >= 0 && again.n && bsearch(&v[i], again.v, again.n, sizeof(*again.v), pid_compare)) {
			int s = proc_signal(fds[i], sig);

			if (s < 0 && s != -ESRCH)
				r = err_set(e, -s, "cannot signal process %d: %s", (int)v[i], strerrordesc_np(-s));
		}
		close(fds[i]);
	}
	free(again.v);
	return r;
}

static int signal_pids(const struct iso_cgroup *cg, const struct cgroup_pids *pids, int sig, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < pids->n && r >= 0; i += SIGNAL_BATCH)
		r = signal_batch(cg, pids->v + i, MIN(pids->n - i, (size_t)SIGNAL_BATCH), sig, e);
	return r;
}

/* Linux 5.14: one write kills all, those that are being born included.  False: not to be had. */
static bool kill_at_once(const struct iso_cgroup *cg)
{
	struct err ignored = {0};

	return cg->dir_fd >= 0 && file_write_kernel(cg->dir_fd, "cgroup.kill", FILE_CGROUP2, "1", &ignored) >= 0;
}

/*
 * What keeps a group from growing while it is killed by list: v1's freezer (a child is born
 * frozen, and a frozen process dies when it thaws), or a limit of no process at all.
 */
struct stopper {
	const struct cgroup_hier *h;
	const char *file;
	char before[24]; /* what to write when it is over */
};

static struct stopper stop_growth(const struct iso_cgroup *cg)
{
	struct stopper s = {0};
	struct err ignored = {0};

	EACH_HIER(cg, h)
		if (h->ops->version == 1 && h->ctl & ISO_CTL_FREEZER)
			s = (struct stopper){.h = h, .file = "freezer.state", .before = "THAWED"};
	if (!s.h) {
		AUTO_BUF struct buf max = {0};

		s.h = cg->set ? serving(cg->set, ISO_CTL_PIDS, NULL) : NULL;
		s.file = "pids.max";
		if (s.h && cgroup_read(s.h->dir_fd, s.file, &max, &ignored) >= 0)
			snprintf(s.before, sizeof(s.before), "%s", max.p);
	}
	if (s.h)
		file_write_kernel(s.h->dir_fd, s.file, s.h->ops->fs, s.file[0] == 'f' ? "FROZEN" : "0", &ignored);
	return s;
}

static void allow_growth(const struct stopper *s)
{
	struct err ignored = {0};

	if (s->h && s->before[0])
		file_write_kernel(s->h->dir_fd, s->file, s->h->ops->fs, s->before, &ignored);
}

/* One round of killing by list.  Who was half born when growth stopped is for the next round. */
static int kill_listed(const struct iso_cgroup *cg, struct err *e)
{
	struct stopper s = stop_growth(cg);
	struct cgroup_pids pids = {0};
	int r = all_pids(cg, &pids, e);

	if (r >= 0)
		r = signal_pids(cg, &pids, SIGKILL, e);
	allow_growth(&s);
	free(pids.v);
	return r;
}

int iso_cgroup_signal(const struct iso_cgroup *cg, int sig, struct err *e)
{
	struct cgroup_pids pids = {0};
	int r;

	if (sig == SIGKILL) {
		kill_at_once(cg);
		return kill_listed(cg, e);
	}
	r = all_pids(cg, &pids, e);
	if (r >= 0)
		r = signal_pids(cg, &pids, sig, e);
	free(pids.v);
	return r;
}

int iso_cgroup_kill(const struct iso_cgroup *cg, uint64_t timeout_ms, struct err *e)
{
	uint64_t deadline = time_mono_ms() + timeout_ms;

	for (bool first = true;; first = false) {
		struct cgroup_pids pids = {0};
		bool more = true;
		int r = all_pids(cg, &pids, e);

		if (r >= 0 && !pids.n)
			return 0;
		/* The second round is for those who are in a v1 group but not in the v2 one. */
		if (r >= 0 && !(first && kill_at_once(cg)))
			r = kill_listed(cg, e);
		if (r >= 0)
			more = cgroup_pids_wait(&pids, deadline);
		if (!more)
			r = err_set(e, ETIMEDOUT, "cgroup '%s': process %d does not die (it may wait for a disk)", cg->path,
				(int)pids.v[0]);
		free(pids.v);
		if (r < 0)
			return r;
	}
}

/* ---- the end ---- */

static int destroy_set(struct cgroup_set *set, struct err *e)
{
	uint64_t deadline = time_mono_ms() + CGROUP_WAIT_MS;
	int first = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct err other = {0};
		int r = set->h[i].path ? remove_group(&set->h[i], deadline, first < 0 ? &other : e) : 0;

		if (r < 0 && !first)
			first = r;
	}
	return first;
}

int iso_cgroup_destroy(struct iso_cgroup *cg, struct err *e)
{
	AUTO_FREE char *name = str_dup(group_name(cg));

	cg->dir_fd = -1;
	/* Also where another command has made it since. */
	for (size_t i = 0; name && i < cg->set->n; i++) {
		struct cgroup_hier *h = &cg->set->h[i];

		if (!h->path)
			h->path = *h->base ? str_fmt("%s/%s", h->base, name) : str_dup(name);
	}
	return cg->set ? destroy_set(cg->set, e) : 0;
}

int iso_cgroup_destroy_path(const char *path, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	AUTO_FREE char *clean = NULL;
	int r = cgroup_path_check(path, &clean, e);

	if (r < 0)
		return r;
	cg.set = mem_new(sizeof(*cg.set));
	r = cgroup_set_find(cg.set, e);
	for (size_t i = 0; r >= 0 && i < cg.set->n; i++) {
		r = open_group(&cg.set->h[i], clean, e);
		if (r == -ENOENT)
			r = 0;
	}
	if (r >= 0)
		r = destroy_set(cg.set, e);
	iso_cgroup_release(&cg);
	return r;
}

/* ---- watching ---- */

int iso_cgroup_oom_eventfd(const struct iso_cgroup *cg, struct err *e)
{
	const struct cgroup_hier *h = cg->set ? serving(cg->set, ISO_CTL_MEMORY, NULL) : NULL;
	AUTO_FD int event = -EBADF;
	AUTO_FD int control = -EBADF;
	char line[32];
	int r;

	if (!h || h->ops->version == 2)
		return err_set(e, EOPNOTSUPP, "only a v1 memory group tells of being out of memory by an eventfd");
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return err_sys(e, "cannot make an eventfd");
	control = openat(h->dir_fd, "memory.oom_control", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (control < 0)
		return err_sys(e, "cannot open 'memory.oom_control' of cgroup '%s'", h->path);
	snprintf(line, sizeof(line), "%d %d", event, control);
	r = file_write_kernel(h->dir_fd, "cgroup.event_control", h->ops->fs, line, e);
	return r < 0 ? explain_write(h, e) : fd_take(&event);
}

int iso_cgroup_events_fd(const struct iso_cgroup *cg, struct err *e)
{
	int fd;

	if (cg->dir_fd < 0)
		return err_set(e, EOPNOTSUPP, "only a v2 group has 'cgroup.events'");
	fd = openat(cg->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_sys(e, "cannot open 'cgroup.events' of cgroup '%s'", cg->path) : fd;
}

/* ---- usage ---- */

/* The number after key at the start of a line; without key, of the whole text. */
static bool find_number(const char *text, const char *key, uint64_t *ret)
{
	size_t n = key ? strlen(key) : 0;

	for (const char *line = text; *line;) {
		if (!key || (!strncmp(line, key, n) && line[n] == ' ')) {
			const char *p = line + (key ? n + 1 : 0);

			*ret = str_starts(p, "max") ? UINT64_MAX : strtoull(p, NULL, 10);
			return true;
		}
		line = strchrnul(line, '\n');
		line += *line == '\n';
	}
	return false;
}

static void stats_row(const struct cgroup_stat_row *row, const char *text, struct iso_stats *ret)
{
	uint64_t value;

	if (!find_number(text, row->key, &value))
		return;
	if (value != UINT64_MAX)
		value = value * (row->mul ? row->mul : 1) / (row->div ? row->div : 1);
	memcpy((char *)ret + row->offset, &value, sizeof(value));
}

static void stats_hier(const struct cgroup_hier *h, struct iso_stats *ret)
{
	AUTO_BUF struct buf text = {0};
	const char *loaded = "";
	struct err ignored = {0};

	for (size_t i = 0; i < h->ops->n_stats; i++) {
		const struct cgroup_stat_row *row = &h->ops->stats[i];

		if (row->ctl && !(h->ctl & row->ctl))
			continue;
		if (strcmp(loaded, row->file)) { /* rows of one file stand together */
			buf_release(&text);
			loaded = row->file;
			cgroup_read(h->dir_fd, row->file, &text, &ignored);
		}
		if (text.p)
			stats_row(row, text.p, ret);
	}
	h->ops->stats_io(h, ret);
}

int iso_cgroup_stats(const struct iso_cgroup *cg, struct iso_stats *ret, struct err *e)
{
	struct iso_stats s;

	(void)e;
	memset(&s, 0xff, sizeof(s));
	EACH_HIER(cg, h)
		stats_hier(h, &s);
	/* v1 writes "unlimited" as the largest multiple of a page. */
	if (s.memory_limit_bytes >= (UINT64_C(1) << 62))
		s.memory_limit_bytes = UINT64_MAX;
	*ret = s;
	return 0;
}
