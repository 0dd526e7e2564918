/*
 * /dev and the console (config-linux.md "Default Devices").
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/stages.h"

static const struct {
	const char *path;
	unsigned int major, minor;
} defaults[] = {
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static const struct {
	const char *name, *target;
} links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
};

/* The host's /dev bound in is somebody's decision: nothing is made in it. */
static bool dev_is_bound(const struct start *s)
{
	for (size_t i = 0; i < s->n_mounts; i++)
		if (!strcmp(s->mounts[i].m->destination, "/dev") && s->mounts[i].opts.bind)
			return true;
	return false;
}

static bool planned(const struct start *s, const char *path)
{
	for (size_t i = 0; i < s->n_devices; i++)
		if (!strcmp(s->devices[i].path, path))
			return true;
	return false;
}

static struct device_plan device_of(const struct spec_device *d)
{
	return (struct device_plan){
		.path = d->path,
		.type = d->type[0] == 'b' ? S_IFBLK : d->type[0] == 'p' ? S_IFIFO : S_IFCHR,
		.rdev = makedev((unsigned int)d->major, (unsigned int)d->minor),
		.mode = d->has_file_mode ? d->file_mode & 07777 : 0666,
		.uid = d->uid,
		.gid = d->gid,
		.source_fd = -1,
	};
}

int devices_plan(struct start *s, struct err *e)
{
	const struct spec_linux *l = &s->spec->linux;

	(void)e;
	s->devices = mem_new_array(l->n_devices + ARRAY_SIZE(defaults), sizeof(*s->devices));
	for (size_t i = 0; i < l->n_devices; i++)
		s->devices[s->n_devices++] = device_of(&l->devices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(defaults) && !dev_is_bound(s); i++)
		if (!planned(s, defaults[i].path))
			s->devices[s->n_devices++] = (struct device_plan){.path = defaults[i].path,
				.type = S_IFCHR,
				.rdev = makedev(defaults[i].major, defaults[i].minor),
				.mode = 0666,
				.source_fd = -1};
	return 0;
}

static int bind_device(struct start *s, const struct device_plan *d, struct err *e)
{
	AUTO_FD int target = path_mkfile(s->new_root_fd, d->path, 0600, e);

	if (target < 0)
		return err_prefix(e, "device '%s'", d->path);
	return mount_attach(d->source_fd, target, d->path, e);
}

static int make_node(struct start *s, const struct device_plan *d, struct err *e)
{
	AUTO_FREE char *dir = NULL;
	const char *base;
	struct stat st;

	if (path_split(d->path, &dir, &base, e) < 0)
		return -e->code;
	AUTO_FD int parent = path_mkdirs(s->new_root_fd, dir, 0755, e);
	if (parent < 0)
		return err_prefix(e, "device '%s'", d->path);
	if (mknodat(parent, base, d->type | d->mode, d->rdev) < 0) {
		if (errno != EEXIST)
			return err_sys(e, "cannot make device '%s'", d->path);
		if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & S_IFMT) != d->type ||
			(d->type != S_IFIFO && st.st_rdev != d->rdev))
			return err_set(e, EEXIST, "cannot make device '%s': the root has something else there", d->path);
	}
	if (fchownat(parent, base, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "cannot give device '%s' its owner", d->path);
	/* mknod was subject to the umask; nobody else is in this mount yet. */
	if (fchmodat(parent, base, d->mode, 0) < 0)
		return err_sys(e, "cannot give device '%s' its mode", d->path);
	return 0;
}

/*
 * The caller may be root of a user namespace already (rootless engines): mknod says EPERM, and
 * the host's node of that name is bound, when it is the device that was asked for.
 */
static int bind_host_node(struct start *s, struct device_plan *d, struct err *e)
{
	struct stat st;

	d->source_fd = source_open_tree(d->path, false, NULL, e);
	if (d->source_fd < 0)
		return err_prefix(e, "device '%s'", d->path);
	if (fstat(d->source_fd, &st) < 0 || (st.st_mode & S_IFMT) != d->type || st.st_rdev != d->rdev)
		return err_set(e, EPERM, "cannot make device '%s', and the host's file of that name is another", d->path);
	return bind_device(s, d, e);
}

static void make_links(int dev)
{
	/* A root that ships its own entries keeps them: they are only names. */
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0)
			continue;
}

int devices_make(struct start *s, struct err *e)
{
	for (size_t i = 0; i < s->n_devices; i++) {
		struct device_plan *d = &s->devices[i];
		int r = d->source_fd >= 0 ? bind_device(s, d, e) : make_node(s, d, e);

		if (r == -EPERM && d->source_fd < 0 && d->type != S_IFIFO)
			r = bind_host_node(s, d, e);
		if (r < 0)
			return r;
	}
	if (dev_is_bound(s))
		return 0;
	AUTO_FD int dev = path_mkdirs(s->new_root_fd, "dev", 0755, e);
	if (dev < 0)
		return dev;
	make_links(dev);
	if (s->devpts_fd >= 0 && symlinkat("pts/ptmx", dev, "ptmx") < 0 && errno != EEXIST)
		return err_sys(e, "cannot make '/dev/ptmx'");
	return 0;
}

/*
 * The jail's terminal: a pair of our own devpts mount, opened through the descriptor of that
 * mount and never by a path that the root could have put something on.
 */
int console_make(struct start *s, struct err *e)
{
	struct winsize size = {0};
	int unlock = 0;

	if (!s->process || !s->process->terminal)
		return 0;
	if (s->devpts_fd < 0)
		return err_set(e, EINVAL, "process.terminal: no devpts is among the mounts");
	AUTO_FD int master = openat(s->devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, "cannot open a terminal");
	s->pty_slave_fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->pty_slave_fd < 0)
		return err_sys(e, "cannot open the terminal's other side");
	size.ws_row = (unsigned short)s->process->console_size.height;
	size.ws_col = (unsigned short)s->process->console_size.width;
	if (size.ws_row && ioctl(master, TIOCSWINSZ, &size) < 0)
		return err_sys(e, "cannot set the terminal's size");
	if (s->o) {
		AUTO_FD int target = path_mkfile(s->new_root_fd, "/dev/console", 0600, e);
		AUTO_FD int mnt = -1;

		if (target < 0)
			return target;
		mnt = open_tree(s->pty_slave_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		if (mnt < 0)
			return err_sys(e, "cannot bind the console");
		if (mount_attach(mnt, target, "/dev/console", e) < 0)
			return -e->code;
	}
	return sync_send(s->c_sync, SYNC_CONSOLE, master) < 0 ? err_set(e, EPIPE, "cannot hand the terminal over") : 0;
}
