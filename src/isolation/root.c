/*
 * C builds its tree.  Everything here works on descriptors below the new root; no path that the
 * root's owner controls is resolved twice, and no symlink leads out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/stages.h"

enum { OLD_ROOT_LAYERS_MAX = 64 };

static int make_dir(int at, const char *name, struct err *e)
{
	int fd;

	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make '%s' in the scratch area", name);
	fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "cannot open '%s' in the scratch area", name) : fd;
}

/* Something below a mount of ours attached at scratch/name: gives the directory to walk from. */
static int attach_in_scratch(struct start *s, int mnt, const char *name, struct err *e)
{
	AUTO_FD int at = make_dir(s->scratch_fd, name, e);

	return at < 0 ? at : mount_attach(mnt, at, name, e);
}

/*
 * What hides files and directories: one read-only mount with an empty file and an empty
 * directory, private to this jail and made by us, so that no image can choose the source.
 */
static int make_masks(struct start *s, struct err *e)
{
	AUTO_FD int dir = make_dir(s->scratch_fd, "masks", e);
	char path[32];

	if (dir < 0)
		return dir;
	if (mkdirat(dir, "d", 0555) < 0 || mknodat(dir, "f", S_IFREG | 0444, 0) < 0)
		return err_sys(e, "cannot make the masks");
	s->mask_fd = open_tree(AT_FDCWD, path_of_fd(dir, path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (s->mask_fd < 0)
		return err_sys(e, "cannot make the masks");
	if (mount_set_attr(s->mask_fd, false,
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, "masks", e) < 0)
		return -e->code;
	return mount_attach(s->mask_fd, dir, "masks", e);
}

/*
 * Where the scratch area can lie: any folder of the old root that everybody can reach and that
 * is not needed while the tree is built.  On "/" itself it would do too, but be one more mount
 * to take off, and each such call waits for the whole machine's RCU grace period.
 */
static int open_scratch_spot(void)
{
	static const char *const spots[] = {"/tmp", "/run", "/mnt", "/usr", "/"};
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < ARRAY_SIZE(spots); i++)
		fd = open(spots[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

/*
 * A tmpfs over a folder of the old root, reached by descriptor only: it holds mount points
 * while the tree is built, the masks, and the upper layer of a jail whose changes need not
 * last.  It goes with the old root.
 */
int root_scratch(struct start *s, struct err *e)
{
	const struct iso_overlay *ov = s->o->overlay;
	AUTO_STRV struct strv data = {0};
	AUTO_FD int spot = open_scratch_spot();
	uint64_t prop = s->new_user ? 0 : MS_SLAVE;

	if (spot < 0)
		return err_sys(e, "cannot open '/'");
	/* In a new user namespace the kernel has made every copied mount a slave already. */
	if (prop && mount(NULL, "/", NULL, prop | MS_REC, NULL) < 0)
		return err_sys(e, "cannot separate the mounts from the host's");
	strv_add(&data, "mode=0755");
	if (ov && !ov->layer && ov->tmpfs_bytes)
		strv_addf(&data, "size=%llu", (unsigned long long)ov->tmpfs_bytes);
	s->scratch_fd = fs_mount("tmpfs", "jail", &data, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, e);
	if (s->scratch_fd < 0 || mount_attach(s->scratch_fd, spot, "scratch area", e) < 0)
		return -e->code;
	return make_masks(s, e);
}

static void overlay_option(struct strv *data, const char *key, int dir, const char *below)
{
	strv_addf(data, "%s=/proc/self/fd/%d%s", key, dir, below);
}

/* "lowerdir+" takes one layer a time (Linux 6.5); older kernels take a list split at ':'. */
static void overlay_lowers(struct strv *data, const int *fds, size_t n)
{
	AUTO_BUF struct buf list = {0};

	for (size_t i = 0; i < n; i++)
		buf_addf(&list, "%s/proc/self/fd/%d", i ? ":" : "lowerdir=", fds[i]);
	strv_add(data, list.p);
}

static int make_overlay(struct start *s, struct err *e)
{
	const struct iso_overlay *ov = s->o->overlay;
	AUTO_FREE int *lower = mem_new_array(ov->lower.n + 1, sizeof(*lower));
	AUTO_STRV struct strv data = {0};
	size_t n = 0;

	/* Kernels before 6.15 take layers from attached mounts only. */
	for (size_t i = 0; i <= ov->lower.n; i++) {
		int fd = i < ov->lower.n ? s->lower_fds[i] : s->root_fd;
		AUTO_FREE char *name = str_fmt("lower%zu", i);

		if (attach_in_scratch(s, fd, name, e) < 0)
			return -e->code;
		lower[n++] = fd;
	}
	if (s->layer_fd >= 0) {
		if (attach_in_scratch(s, s->layer_fd, "layer", e) < 0)
			return -e->code;
	} else {
		s->layer_fd = make_dir(s->scratch_fd, "layer", e);
		if (s->layer_fd < 0 || mkdirat(s->layer_fd, "upper", 0755) < 0 || mkdirat(s->layer_fd, "work", 0700) < 0)
			return s->layer_fd < 0 ? -e->code : err_sys(e, "cannot make the writable layer");
	}
	overlay_lowers(&data, lower, n);
	overlay_option(&data, "upperdir", s->layer_fd, "/upper");
	overlay_option(&data, "workdir", s->layer_fd, "/work");
	/* A user namespace cannot write trusted.* attributes. */
	if (s->new_user || s->ns_join[SPEC_NS_USER] >= 0)
		strv_add(&data, "userxattr");
	s->new_root_fd = fs_mount("overlay", "jail", &data, 0, e);
	return s->new_root_fd < 0 ? -e->code : 0;
}

int root_make(struct start *s, struct err *e)
{
	if (s->o->overlay) {
		if (make_overlay(s, e) < 0)
			return err_prefix(e, "writable layer over '%s'", s->o->root);
	} else {
		s->new_root_fd = fd_take(&s->root_fd);
	}
	return attach_in_scratch(s, s->new_root_fd, "root", e);
}

static bool is_kernel_view(const char *type)
{
	return str_eq(type, "proc") || str_eq(type, "sysfs");
}

/* The descriptor to mount on; made when missing. */
int root_target(struct start *s, const struct mount_plan *p, bool dir, struct err *e)
{
	const char *dest = p->m->destination;
	int fd;

	/*
	 * Masks and sysctls are about the real procfs and sysfs: no symlink of the image may
	 * choose where they go.
	 */
	if (is_kernel_view(p->m->type)) {
		fd = path_try(s->new_root_fd, dest + strspn(dest, "/"), O_PATH | O_DIRECTORY, PATH_NO_SYMLINKS);
		if (fd == -ELOOP || fd == -ENOTDIR)
			return err_set(e, -fd, "cannot mount %s on '%s': the root has a symlink or a file there", p->m->type, dest);
		if (fd >= 0)
			return fd;
	}
	fd = dir ? path_mkdirs(s->new_root_fd, dest, 0755, e) : path_mkfile(s->new_root_fd, dest, 0644, e);
	return fd < 0 ? err_prefix(e, "mount point '%s'", dest) : fd;
}

static int set_propagation(const struct mount_plan *p, int fd, struct err *e)
{
	struct mount_attr attr = {.propagation = p->opts.propagation};

	if (attr.propagation && mount_setattr(fd, "", AT_EMPTY_PATH | (p->opts.rec_propagation ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0)
		return err_sys(e, "cannot set the propagation of '%s'", p->m->destination);
	return 0;
}

static int set_attrs(const struct mount_plan *p, int fd, struct err *e)
{
	const struct mount_opts *o = &p->opts;

	if (mount_set_attr(fd, false, o->set, o->clear, p->m->destination, e) < 0 ||
		mount_set_attr(fd, true, o->rec_set, o->rec_clear, p->m->destination, e) < 0)
		return -e->code;
	return 0;
}

static int mount_bind(struct start *s, struct mount_plan *p, struct err *e)
{
	AUTO_FD int target = root_target(s, p, p->source_is_dir, e);

	if (target < 0)
		return target;
	if (set_attrs(p, p->source_fd, e) < 0 || mount_attach(p->source_fd, target, p->m->destination, e) < 0)
		return -e->code;
	return set_propagation(p, p->source_fd, e);
}

static int mount_again(struct start *s, struct mount_plan *p, struct err *e)
{
	AUTO_FD int target = path_open(s->new_root_fd, p->m->destination, O_PATH, PATH_IN_ROOT, e);

	if (target < 0)
		return target;
	return set_attrs(p, target, e) < 0 ? -e->code : set_propagation(p, target, e);
}

static int mount_new(struct start *s, struct mount_plan *p, struct err *e)
{
	AUTO_FD int target = root_target(s, p, true, e);
	AUTO_FD int mnt = -1;
	AUTO_FD int lower = -1;

	if (target < 0)
		return target;
	mnt = fs_mount(p->m->type, p->m->source ? p->m->source : p->m->type, &p->opts.data, p->opts.set, e);
	if (mnt < 0)
		return err_prefix(e, "mount on '%s'", p->m->destination);
	if (p->opts.copy_up) {
		lower = path_open(target, ".", O_RDONLY | O_DIRECTORY, PATH_BENEATH, e);
		if (lower < 0 || copy_up(lower, mnt, p->m->destination, e) < 0)
			return err_prefix(e, "tmpcopyup");
	}
	if (mount_set_attr(mnt, true, p->opts.rec_set, 0, p->m->destination, e) < 0 ||
		mount_attach(mnt, target, p->m->destination, e) < 0 || set_propagation(p, mnt, e) < 0)
		return -e->code;
	if (!strcmp(p->m->type, "devpts") && s->devpts_fd < 0)
		s->devpts_fd = fd_take(&mnt);
	else if (!strcmp(p->m->type, "proc") && !strcmp(p->m->destination, "/proc"))
		s->proc_mnt_fd = fd_take(&mnt);
	return 0;
}

int root_mounts(struct start *s, struct err *e)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		struct mount_plan *p = &s->mounts[i];
		int r;

		if (p->opts.remount)
			r = mount_again(s, p, e);
		else if (p->opts.bind)
			r = mount_bind(s, p, e);
		else if (!strcmp(p->m->type, "cgroup") || !strcmp(p->m->type, "cgroup2"))
			r = cgroup_mount(s, p, e);
		else
			r = mount_new(s, p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_file(struct start *s, int dir, const struct iso_file *f, const char *name, struct err *e)
{
	const uint64_t attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	AUTO_FD int target = path_mkfile(s->new_root_fd, f->destination, 0644, e);
	AUTO_FD int fd = -1;
	AUTO_FD int mnt = -1;
	int r;

	if (target < 0)
		return err_prefix(e, "mount point '%s'", f->destination);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	r = fd < 0 ? -errno : fd_write_full(fd, f->text, strlen(f->text));
	if (r < 0)
		return err_set(e, -r, "cannot make '%s': %s", f->destination, strerrordesc_np(-r));
	mnt = open_tree(dir, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mnt < 0)
		return err_sys(e, "cannot mount '%s'", f->destination);
	if (mount_set_attr(mnt, false, attr, 0, f->destination, e) < 0)
		return -e->code;
	return mount_attach(mnt, target, f->destination, e);
}

int root_files(struct start *s, struct err *e)
{
	AUTO_FD int dir = -1;

	if (!s->o->n_files)
		return 0;
	dir = make_dir(s->scratch_fd, "files", e);
	for (size_t i = 0; dir >= 0 && i < s->o->n_files; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%zu", i);
		if (make_file(s, dir, &s->o->files[i], name, e) < 0)
			return -e->code;
	}
	return dir < 0 ? dir : 0;
}

static int mount_id(int dirfd, const char *path, uint64_t *ret, struct err *e)
{
	struct statx st;

	if (statx(dirfd, path, *path ? 0 : AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return err_sys(e, "cannot examine the new root");
	*ret = st.stx_mnt_id;
	return 0;
}

/*
 * After pivot_root(2) onto itself the old root lies on top of the new one, and the scratch area
 * on top of that.  Both are taken off, and it is proven that nothing is left: the way up from
 * "/" must end in the new root.
 */
static int drop_old_root(struct start *s, struct err *e)
{
	uint64_t own, top;

	if (mount_id(s->new_root_fd, "", &own, e) < 0)
		return -e->code;
	for (int i = 0; i < OLD_ROOT_LAYERS_MAX; i++) {
		if (mount_id(AT_FDCWD, "/..", &top, e) < 0)
			return -e->code;
		if (top == own)
			return 0;
		if (umount2("/..", MNT_DETACH) < 0)
			return err_sys(e, "cannot detach the old root");
	}
	return err_set(e, ELOOP, "cannot detach the old root: more than %d mounts lie on it", OLD_ROOT_LAYERS_MAX);
}

int root_pivot(struct start *s, struct err *e)
{
	if (fchdir(s->new_root_fd) < 0)
		return err_sys(e, "cannot enter the new root");
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		err_sys(e, "cannot pivot into the new root");
		return e->code == EINVAL ? err_hint(e, "the host's root is a ramfs or shared; see jail doctor") : -e->code;
	}
	if (drop_old_root(s, e) < 0)
		return -e->code;
	return chdir("/") < 0 ? err_sys(e, "cannot enter '/'") : 0;
}

/*
 * An entry of our own procfs: no symlink can be on the way, so it is named and not opened
 * first.  The kind is asked for, because a mask that did not fit and is closed again would
 * cost an RCU grace period of the whole machine.
 */
static int mask_proc_entry(struct start *s, const char *name, struct err *e)
{
	struct stat st;
	AUTO_FD int mask = -1;

	if (fstatat(s->proc_mnt_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "cannot mask '/proc/%s'", name);
	mask = open_tree(s->mask_fd, S_ISDIR(st.st_mode) ? "d" : "f", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mask < 0 || move_mount(mask, "", s->proc_mnt_fd, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, "cannot mask '/proc/%s'", name);
	return 0;
}

static int mask_one(struct start *s, const char *path, struct err *e)
{
	if (s->proc_mnt_fd >= 0 && str_starts(path, "/proc/") && path[6] && !strchr(path + 6, '/'))
		return mask_proc_entry(s, path + 6, e);
	AUTO_FD int target = path_try(s->new_root_fd, path, O_PATH, PATH_IN_ROOT);
	struct stat st;

	if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
		return 0; /* nothing to hide */
	if (target < 0)
		return err_set(e, -target, "cannot mask '%s': %s", path, strerrordesc_np(-target));
	if (fstat(target, &st) < 0)
		return err_sys(e, "cannot mask '%s'", path);
	AUTO_FD int mask = open_tree(s->mask_fd, S_ISDIR(st.st_mode) ? "d" : "f", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mask < 0)
		return err_sys(e, "cannot mask '%s'", path);
	return mount_attach(mask, target, path, e);
}

static int read_only_one(struct start *s, const char *path, struct err *e)
{
	AUTO_FD int target = path_try(s->new_root_fd, path, O_PATH, PATH_IN_ROOT);

	if (target == -ENOENT || target == -ENOTDIR || target == -EACCES)
		return 0;
	if (target < 0)
		return err_set(e, -target, "cannot make '%s' read-only: %s", path, strerrordesc_np(-target));
	AUTO_FD int mnt = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (mnt < 0)
		return err_sys(e, "cannot make '%s' read-only", path);
	if (mount_set_attr(mnt, true, MOUNT_ATTR_RDONLY, 0, path, e) < 0)
		return -e->code;
	return mount_attach(mnt, target, path, e);
}

/* Before the pivot: the masks are copied from the scratch area, which goes with the old root. */
int root_masks(struct start *s, struct err *e)
{
	const struct spec_linux *l = &s->spec->linux;

	for (size_t i = 0; i < l->readonly_paths.n; i++)
		if (read_only_one(s, l->readonly_paths.v[i], e) < 0)
			return -e->code;
	for (size_t i = 0; i < l->masked_paths.n; i++)
		if (mask_one(s, l->masked_paths.v[i], e) < 0)
			return -e->code;
	return 0;
}

int root_read_only(struct start *s, struct err *e)
{
	static const struct {
		const char *name;
		uint64_t flag;
	} kinds[] = {{"shared", MS_SHARED}, {"slave", MS_SLAVE}, {"private", MS_PRIVATE}, {"unbindable", MS_UNBINDABLE}};
	const char *want = s->spec->linux.rootfs_propagation;

	if (s->spec->root.readonly && mount_set_attr(s->new_root_fd, false, MOUNT_ATTR_RDONLY, 0, "/", e) < 0)
		return -e->code;
	for (size_t i = 0; want && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(want, kinds[i].name) && mount(NULL, "/", NULL, kinds[i].flag | MS_REC, NULL) < 0)
			return err_sys(e, "cannot make the root's propagation %s", want);
	return 0;
}
