/*
 * What P opens for C: detached copies of the root, of bind sources and of device nodes, as
 * descriptors that C inherits.  C could not reach them by path (folders of root's alone), nor
 * copy a part of a tree whose mounts are locked in its less privileged namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "isolation/stages.h"

int source_open_tree(const char *path, bool recursive, bool *ret_is_dir, struct err *e)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
	AUTO_FD int fd = open_tree(AT_FDCWD, path, flags);
	struct stat st;

	if (fd < 0 && errno == EINVAL && !recursive)
		fd = open_tree(AT_FDCWD, path, flags | AT_RECURSIVE); /* mounts below are locked */
	if (fd < 0) {
		err_sys(e, "cannot use '%s'", path);
		return e->code == EPERM ? err_hint(e, "mounting needs privilege in this mount namespace") : -e->code;
	}
	if (ret_is_dir) {
		if (fstat(fd, &st) < 0)
			return err_sys(e, "cannot examine '%s'", path);
		*ret_is_dir = S_ISDIR(st.st_mode);
	}
	return fd_take(&fd);
}

/*
 * A copy is a peer of the original: where the host shares its mounts (as service managers set
 * it up), what the jail mounts inside the copy would appear on the host, and stay there.
 */
static int cut_off(int fd, const char *path, struct err *e)
{
	struct mount_attr attr = {.propagation = MS_SLAVE};

	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_sys(e, "cannot separate '%s' from the host's mounts", path);
	return fd;
}

/* As source_open_tree, and nothing that is mounted inside comes back to the host. */
static int open_separate(const char *path, bool recursive, bool *ret_is_dir, struct err *e)
{
	AUTO_FD int fd = source_open_tree(path, recursive, ret_is_dir, e);

	return fd < 0 || cut_off(fd, path, e) < 0 ? -e->code : fd_take(&fd);
}

static int open_mount_sources(struct start *s, struct err *e)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		struct mount_plan *p = &s->mounts[i];

		if (!p->opts.bind || p->opts.remount)
			continue;
		/* "shared" asks for exactly what the others must not have. */
		p->source_fd = p->opts.propagation == MS_SHARED ?
			source_open_tree(p->m->source, p->opts.recursive, &p->source_is_dir, e) :
			open_separate(p->m->source, p->opts.recursive, &p->source_is_dir, e);
		if (p->source_fd < 0)
			return err_prefix(e, "mount on '%s'", p->m->destination);
	}
	return 0;
}

/* In a user namespace nodes cannot be made: the host's are bound. */
static int open_device_sources(struct start *s, struct err *e)
{
	if (!s->new_user && s->ns_join[SPEC_NS_USER] < 0)
		return 0;
	for (size_t i = 0; i < s->n_devices; i++) {
		struct device_plan *d = &s->devices[i];

		d->source_fd = source_open_tree(d->path, false, NULL, e);
		if (d->source_fd < 0)
			return err_prefix(e, "device '%s'", d->path);
	}
	return 0;
}

static int open_layers(struct start *s, struct err *e)
{
	const struct iso_overlay *ov = s->o->overlay;

	if (!ov)
		return 0;
	if (ov->layer) {
		s->layer_fd = open_separate(ov->layer, false, NULL, e);
		if (s->layer_fd < 0)
			return err_prefix(e, "writable layer");
	}
	s->lower_fds = mem_new_array(ov->lower.n, sizeof(*s->lower_fds));
	for (size_t i = 0; i < ov->lower.n; i++)
		s->lower_fds[i] = -1;
	for (size_t i = 0; i < ov->lower.n; i++) {
		s->lower_fds[i] = open_separate(ov->lower.v[i], false, NULL, e);
		if (s->lower_fds[i] < 0)
			return err_prefix(e, "lower layer");
	}
	return 0;
}

int sources_open(struct start *s, struct err *e)
{
	bool is_dir = false;

	s->root_fd = open_separate(s->o->root, !s->o->overlay, &is_dir, e);
	if (s->root_fd < 0)
		return err_prefix(e, "root of the jail");
	if (!is_dir)
		return err_set(e, ENOTDIR, "root of the jail '%s' is not a directory", s->o->root);
	if (open_layers(s, e) < 0 || open_mount_sources(s, e) < 0 || open_device_sources(s, e) < 0)
		return -e->code;
	return 0;
}

static int idmap(int fd, int userns_fd, bool recursive, const char *what, struct err *e)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd};

	if (!mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)))
		return 0;
	err_sys(e, "cannot map the ids of '%s'", what);
	if (e->code == EINVAL)
		return err_hint(e, "its filesystem has no id-mapped mounts (Linux 5.12 for ext4, 6.3 for tmpfs; "
				   "never overlayfs or 9p); put it on one that has, see jail doctor");
	return -e->code;
}

/*
 * A user namespace that holds the maps of one mount: made by a child that does nothing else,
 * and kept alive by the returned descriptor alone.
 */
static int userns_for(const struct start *s, const struct spec_mount *m, struct err *e)
{
	struct iso_jail child = ISO_JAIL_INIT;
	struct spec spec = {.has_linux = true};
	struct start maps = {.spec = &spec, .jail = &child, .new_user = true, .proc_fd = s->proc_fd};
	AUTO_FREE char *path = NULL;
	int pipe_fds[2], fd = -1, status, r;
	char c;

	spec.linux.uid_mappings = m->uid_mappings, spec.linux.n_uid_mappings = m->n_uid_mappings;
	spec.linux.gid_mappings = m->gid_mappings, spec.linux.n_gid_mappings = m->n_gid_mappings;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	child.pid = proc_clone(ns_flag(SPEC_NS_USER), -1, &child.pidfd);
	if (child.pid == 0) {
		close(pipe_fds[1]);
		_exit(read(pipe_fds[0], &c, 1) < 0);
	}
	close(pipe_fds[0]);
	r = child.pid < 0 ? err_set(e, -child.pid, "cannot create a user namespace: %s", strerrordesc_np(-child.pid))
			  : ns_write_maps(&maps, e);
	if (!r) {
		path = str_fmt("%d/ns/user", (int)child.pid);
		fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? err_sys(e, "cannot open the mount's user namespace") : 0;
	}
	close(pipe_fds[1]);
	if (child.pid > 0)
		proc_wait(child.pidfd, &status);
	fd_close(&child.pidfd);
	return r < 0 ? r : fd;
}

static int idmap_mount(const struct start *s, const struct mount_plan *p, int own_ns, struct err *e)
{
	AUTO_FD int ns = -1;

	if (!p->opts.idmap || p->source_fd < 0)
		return 0;
	if (p->m->n_uid_mappings || p->m->n_gid_mappings) {
		ns = userns_for(s, p->m, e);
		if (ns < 0)
			return err_prefix(e, "mount on '%s'", p->m->destination);
	} else if (own_ns < 0) {
		return err_set(e, EINVAL, "mount on '%s': 'idmap' needs mappings or a user namespace", p->m->destination);
	}
	return idmap(p->source_fd, ns >= 0 ? ns : own_ns, p->opts.rec_idmap, p->m->source, e);
}

int sources_idmap(struct start *s, struct err *e)
{
	AUTO_FREE char *path = NULL;
	AUTO_FD int ns = -1;

	if (!s->privileged)
		return 0;
	if (s->new_user || s->ns_join[SPEC_NS_USER] >= 0) {
		path = str_fmt("%d/ns/user", (int)s->jail->pid);
		ns = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
		if (ns < 0)
			return err_sys(e, "cannot open the jail's user namespace");
	}
	if (s->o->map_root && ns >= 0) {
		size_t n = s->o->overlay ? s->o->overlay->lower.n : 0;

		if (idmap(s->root_fd, ns, false, s->o->root, e) < 0)
			return -e->code;
		for (size_t i = 0; i < n; i++)
			if (idmap(s->lower_fds[i], ns, false, s->o->overlay->lower.v[i], e) < 0)
				return -e->code;
	}
	for (size_t i = 0; i < s->n_mounts; i++)
		if (idmap_mount(s, &s->mounts[i], ns, e) < 0)
			return -e->code;
	return 0;
}
