/*
 * Which hierarchies are mounted, and where in them we may make groups.  This is on the path of
 * every start, so it is one read of mountinfo and two system calls for each hierarchy; a plain
 * user costs one more read, of /proc/self/cgroup.
 */
#include <errno.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/cgroup_int.h"

static const struct {
	unsigned int bit;
	const char *v1, *v2; /* NULL: that version has no such controller */
} controllers[] = {
	{ISO_CTL_CPU, "cpu", "cpu"},
	{ISO_CTL_CPUSET, "cpuset", "cpuset"},
	{ISO_CTL_MEMORY, "memory", "memory"},
	{ISO_CTL_PIDS, "pids", "pids"},
	{ISO_CTL_IO, "blkio", "io"},
	{ISO_CTL_DEVICES, "devices", NULL},
	{ISO_CTL_FREEZER, "freezer", NULL},
	{ISO_CTL_HUGETLB, "hugetlb", "hugetlb"},
	{ISO_CTL_CPUACCT, "cpuacct", NULL},
	{ISO_CTL_RDMA, "rdma", "rdma"},
	{ISO_CTL_NET, "net_cls", NULL},
	{ISO_CTL_NET, "net_prio", NULL},
};

const char *cgroup_controller_name(unsigned int bit, int version)
{
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (controllers[i].bit == bit && (version == 1 || controllers[i].v2))
			return version == 1 ? controllers[i].v1 : controllers[i].v2;
	return "?";
}

static unsigned int controller_bit(const char *word, size_t n, int version)
{
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		const char *name = version == 1 ? controllers[i].v1 : controllers[i].v2;

		if (name && strlen(name) == n && !memcmp(name, word, n))
			return controllers[i].bit;
	}
	return 0;
}

unsigned int cgroup_controllers_parse(const char *list, int version)
{
	unsigned int bits = 0;

	while (*list) {
		size_t n = strcspn(list, ", \n");

		bits |= controller_bit(list, n, version);
		list += n;
		list += strspn(list, ", \n");
	}
	return bits;
}

int cgroup_path_check(const char *path, char **ret, struct err *e)
{
	const char *p = path + (*path == '/');

	if (strlen(p) >= PATH_MAX / 2)
		return err_set(e, ENAMETOOLONG, "cgroup path '%.40s...' is longer than %d bytes", path, PATH_MAX / 2);
	for (const char *c = p;; c++) {
		size_t n = strcspn(c, "/");

		if (!n || (n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.') || n > NAME_MAX)
			return err_set(e, EINVAL,
				"cgroup path '%s': each component must be a plain name (no \"\", \".\", \"..\")", path);
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)c[i] < 0x20 || c[i] == 0x7f)
				return err_set(e, EINVAL, "cgroup path '%.200s' contains a control character", path);
		c += n;
		if (!*c)
			break;
	}
	*ret = str_dup(p);
	return 0;
}

/* mountinfo writes blanks and backslashes as \ooo; proc(5). */
static bool is_escape(const char *s, size_t n)
{
	return n >= 4 && s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		s[3] <= '7';
}

static char *unescape(const char *s, size_t n)
{
	char *out = mem_new(n + 1), *w = out;

	while (n) {
		size_t used = is_escape(s, n) ? 4 : 1;

		*w++ = used == 4 ? (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0')) : *s;
		s += used;
		n -= used;
	}
	return out;
}

/* The words of one mountinfo line that matter here. */
struct mount_line {
	const char *root, *point, *type, *super;
	size_t root_n, point_n, type_n, super_n;
};

static const char *next_word(const char **p, const char *end, size_t *ret_n)
{
	const char *w = *p;
	const char *blank = memchr(w, ' ', (size_t)(end - w));

	*ret_n = (size_t)((blank ? blank : end) - w);
	*p = blank ? blank + 1 : end;
	return w;
}

/* ID PARENT DEV ROOT POINT OPTS [FIELDS...] - TYPE SOURCE SUPER */
static bool mount_line_split(const char *p, const char *end, struct mount_line *ret)
{
	const char *w;
	size_t n;

	for (int i = 0; i < 3; i++)
		next_word(&p, end, &n);
	ret->root = next_word(&p, end, &ret->root_n);
	ret->point = next_word(&p, end, &ret->point_n);
	do {
		w = next_word(&p, end, &n);
	} while (p < end && !(n == 1 && *w == '-'));
	ret->type = next_word(&p, end, &ret->type_n);
	next_word(&p, end, &n);
	ret->super = next_word(&p, end, &ret->super_n);
	return p == end && ret->super_n;
}

static bool word_is(const char *w, size_t n, const char *s)
{
	return strlen(s) == n && !memcmp(w, s, n);
}

/*
 * Of a v1 mount's options "rw,xattr,cpu,cpuacct" or "rw,name=systemd" those that say which
 * hierarchy it is: the same words as in /proc/self/cgroup.
 */
static char *v1_name(const char *super, size_t n)
{
	static const char *const noise[] = {"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode",
		"favordynmods"};
	AUTO_FREE char *copy = str_dup_n(super, n);
	struct buf out = {0};
	char *save = NULL;

	buf_adds(&out, "");
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		bool skip = str_starts(w, "release_agent=");

		for (size_t i = 0; !skip && i < ARRAY_SIZE(noise); i++)
			skip = !strcmp(w, noise[i]);
		if (!skip)
			buf_addf(&out, "%s%s", out.n ? "," : "", w);
	}
	return out.p;
}

bool cgroup_mount_next(const char **text, struct cgroup_mount *ret)
{
	while (**text) {
		const char *line = *text, *end = strchrnul(line, '\n');
		struct mount_line m;
		int version;

		*text = end + (*end == '\n');
		/* Most lines are not ours, and there may be thousands. */
		if (!memmem(line, (size_t)(end - line), " - cgroup", 9) || !mount_line_split(line, end, &m))
			continue;
		version = word_is(m.type, m.type_n, "cgroup2") ? 2 : word_is(m.type, m.type_n, "cgroup");
		if (!version)
			continue;
		*ret = (struct cgroup_mount){.version = version, .root = unescape(m.root, m.root_n),
			.point = unescape(m.point, m.point_n),
			.name = version == 2 ? str_dup("unified") : v1_name(m.super, m.super_n)};
		return true;
	}
	return false;
}

void cgroup_mount_release(struct cgroup_mount *m)
{
	free(m->root);
	free(m->point);
	free(m->name);
	*m = (struct cgroup_mount){0};
}

static void hier_release(struct cgroup_hier *h)
{
	fd_close(&h->top_fd);
	fd_close(&h->dir_fd);
	fd_close(&h->tasks_fd);
	free(h->name);
	free(h->point);
	free(h->base);
	free(h->path);
	*h = (struct cgroup_hier){.top_fd = -EBADF, .dir_fd = -EBADF, .tasks_fd = -EBADF};
}

void cgroup_set_release(struct cgroup_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		hier_release(&set->h[i]);
	set->n = 0;
	set->v2 = NULL;
}

char *cgroup_own_path(const char *proc_self_cgroup, const char *name)
{
	for (const char *line = proc_self_cgroup; *line;) {
		size_t n = strcspn(line, "\n");
		const char *ctl = memchr(line, ':', n);
		const char *path = ctl ? memchr(ctl + 1, ':', n - (size_t)(ctl + 1 - line)) : NULL;

		if (path && word_is(ctl + 1, (size_t)(path - ctl - 1), name))
			return str_dup_n(path + 1, n - (size_t)(path + 1 - line));
		line += n;
		line += *line == '\n';
	}
	return NULL;
}

static bool may_make_groups(const struct cgroup_hier *h, int dir)
{
	return !faccessat(dir, ".", W_OK, AT_EACCESS) && !faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) &&
		(h->ops->version == 1 || !faccessat(dir, "cgroup.subtree_control", W_OK, AT_EACCESS));
}

/*
 * The topmost group at or above our own in which we may make groups, relative to the mount; to
 * move a process the kernel wants write access to the common ancestor of both groups, so a
 * group that is not an ancestor is of no use (cgroups(7), "Delegation containment").
 */
static char *delegated_base(const struct cgroup_hier *h, const char *own, const char *mount_root)
{
	size_t skip = strcmp(mount_root, "/") ? strlen(mount_root) : 0;
	AUTO_FREE char *path = NULL;

	if (strncmp(own, mount_root, skip) || strstr(own, "/.."))
		return NULL;
	path = str_dup(own + skip + (own[skip] == '/'));
	for (char *p = path; *p;) {
		char *slash = strchrnul(p, '/');
		char keep = *slash;

		*slash = '\0';
		AUTO_FD int dir = path_try(h->top_fd, path, O_PATH | O_DIRECTORY, PATH_NO_XDEV);
		if (dir >= 0 && may_make_groups(h, dir))
			return str_dup(path);
		*slash = keep;
		p = slash + (keep == '/');
	}
	return NULL;
}

struct find {
	struct cgroup_set *set;
	struct buf own; /* /proc/self/cgroup, read when the first plain answer needs it */
};

static char *find_base(struct find *f, const struct cgroup_hier *h, const char *mount_root)
{
	AUTO_FREE char *own = NULL;
	struct err ignored = {0};

	/* The usual case first, and the only one for root: the whole hierarchy is ours. */
	if (!faccessat(h->top_fd, ".", W_OK, AT_EACCESS))
		return str_dup("");
	if (!f->own.p && file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_MAX, &f->own, &ignored) < 0)
		return NULL;
	own = cgroup_own_path(f->own.p, h->ops->version == 2 ? "" : h->name);
	return own ? delegated_base(h, own, mount_root) : NULL;
}

static bool set_has(const struct cgroup_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(set->h[i].name, name))
			return true;
	return false;
}

static void why_not(struct cgroup_set *set, const char *fmt, const char *point)
{
	if (!set->why_not[0])
		snprintf(set->why_not, sizeof(set->why_not), fmt, point);
}

static void find_mount(struct find *f, struct cgroup_mount *m)
{
	struct cgroup_set *set = f->set;
	struct cgroup_hier *h = &set->h[set->n];
	struct err ignored = {0};

	*h = (struct cgroup_hier){.ops = m->version == 2 ? &cgroup_v2_ops : &cgroup_v1_ops,
		.top_fd = -EBADF, .dir_fd = -EBADF, .tasks_fd = -EBADF,
		.name = mem_take(&m->name), .point = mem_take(&m->point)};
	if (!*h->name || set_has(set, h->name))
		goto drop;
	h->top_fd = open(h->point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->top_fd < 0)
		goto drop;
	/* What mountinfo lists may be covered by a later mount: believe the descriptor only. */
	if (file_check_fs(h->top_fd, h->ops->fs, h->point, &ignored) < 0) {
		why_not(set, "something that is no cgroup filesystem is mounted over '%.120s'", h->point);
		goto drop;
	}
	h->base = find_base(f, h, m->root);
	if (!h->base) {
		why_not(set, "no group of '%.120s' is writable for this user", h->point);
		goto drop;
	}
	h->ctl = m->version == 1 ? cgroup_controllers_parse(h->name, 1) : 0;
	set->n++;
	return;
drop:
	hier_release(h);
}

static void find_at(struct find *f, int version, char *name, char *point)
{
	struct cgroup_mount m = {.version = version, .name = name, .point = point, .root = str_dup("/")};

	find_mount(f, &m);
	cgroup_mount_release(&m);
}

/*
 * Where every distribution mounts them, for root, who needs nothing of mountinfo but the
 * places: that file is made anew, with a line for every mount of the host, each time it is
 * read.  False when it is not as usual.
 */
static bool find_usual(struct find *f)
{
	AUTO_FD int fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs st;
	struct dirent *de;
	DIR *d;

	if (geteuid() || fd < 0 || fstatfs(fd, &st) < 0)
		return false;
	if (st.f_type == CGROUP2_SUPER_MAGIC) {
		find_at(f, 2, str_dup("unified"), str_dup("/sys/fs/cgroup"));
		return f->set->n == 1;
	}
	d = st.f_type == TMPFS_MAGIC ? fdopendir(fd) : NULL;
	if (!d)
		return false;
	fd_take(&fd);
	while ((de = readdir(d)) && f->set->n < CGROUP_HIERS_MAX) {
		bool v2 = !strcmp(de->d_name, "unified");

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		find_at(f, v2 ? 2 : 1,
			v2 || cgroup_controllers_parse(de->d_name, 1) ? str_dup(de->d_name) : str_fmt("name=%s", de->d_name),
			str_fmt("/sys/fs/cgroup/%s", de->d_name));
	}
	closedir(d);
	return f->set->n > 0 && !f->set->why_not[0];
}

int cgroup_set_find(struct cgroup_set *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	struct cgroup_set set = {0};
	struct find f = {.set = &set};
	struct cgroup_mount m = {0};
	int r = 0;

	if (!find_usual(&f)) {
		cgroup_set_release(&set);
		set = (struct cgroup_set){0};
		r = file_read(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &text, e);
		if (r < 0)
			return r;
		for (const char *rest = text.p; set.n < CGROUP_HIERS_MAX && cgroup_mount_next(&rest, &m); cgroup_mount_release(&m))
			find_mount(&f, &m);
		cgroup_mount_release(&m);
	}
	buf_release(&f.own);
	if (!set.n)
		why_not(&set, "no cgroup filesystem is mounted%s", "");
	*ret = set;
	for (size_t i = 0; i < ret->n; i++)
		if (ret->h[i].ops->version == 2)
			ret->v2 = &ret->h[i];
	return 0;
}
