#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"

/* An open directory on the way to the current one; level 0 is the root of the layer. */
struct level {
	int fd;
	size_t end; /* of its name in path */
	struct timespec mtime;
	bool restore; /* its mtime must be put back when it is left */
	bool setgid; /* what is made in it gets its group, not ours */
};

struct unpack {
	const struct img_unpack_opts *o;
	struct img_unpack_stats *st;
	struct img_stream *stream;
	struct err *e;
	struct err stream_err; /* libarchive cannot carry ours */
	struct archive *a;
	bool single_owner; /* only one id is ours: everything belongs to it */
	uid_t uid;
	gid_t gid;
	uint64_t max_bytes, max_entries;
	uint64_t declared, since_check, implied_bytes;
	char path[IMG_NAME_BYTES]; /* the directory that levels lead to */
	struct level levels[IMG_PATH_MAX_DEPTH + 1];
	int depth;
};

/* The entry in hand. */
struct item {
	struct archive_entry *ae;
	char name[IMG_NAME_BYTES]; /* canonical */
	const char *base; /* its last component */
	int dir; /* its parent directory; borrowed */
	mode_t mode; /* permission bits */
	uid_t uid;
	gid_t gid;
	bool inherits_group; /* from a set-group-id directory */
	struct timespec mtime;
};

/* Names the entry in front of what went wrong; the name is a stranger's. */
static int bad(struct unpack *u, const char *name, int code, const char *why)
{
	AUTO_FREE char *seen = str_visible(name);

	return err_set(u->e, code, "%s: entry '%.200s': %s", u->o->what, *seen ? seen : "/", why);
}

static int bad_sys(struct unpack *u, const char *name, const char *doing)
{
	int code = errno;
	AUTO_FREE char *why = str_fmt("%s: %s", doing, strerrordesc_np(code));

	return bad(u, name, code, why);
}

int img_tar_name(const char *raw, char ret[static IMG_NAME_BYTES], struct err *e)
{
	size_t n = 0;
	int depth = 0;

	for (const char *p = raw; *p;) {
		size_t len = strcspn(p, "/");

		if (!len || (len == 1 && *p == '.')) {
			p += len + (p[len] == '/');
			continue;
		}
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return err_set(e, EBADMSG, "its name leads out of the image by '..'");
		if (len > 255)
			return err_set(
				e, ENAMETOOLONG, "a part of its name is longer than 255 bytes");
		if (++depth > IMG_PATH_MAX_DEPTH || n + len + 2 > IMG_NAME_BYTES)
			return err_set(e, ENAMETOOLONG,
				"its name is longer than %d bytes or %d levels", IMG_NAME_BYTES,
				IMG_PATH_MAX_DEPTH);
		if (n)
			ret[n++] = '/';
		memcpy(ret + n, p, len);
		n += len;
		p += len + (p[len] == '/');
	}
	ret[n] = '\0';
	return (int)n;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int img_set_opaque(int fd, struct err *e)
{
	int trusted = fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0);
	int user = fsetxattr(fd, "user.overlay.opaque", "y", 1, 0);

	return trusted && user ? err_sys(e, "cannot mark a directory as opaque") : 0;
}

static void leave_level(struct unpack *u)
{
	struct level *l = &u->levels[u->depth];
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, l->mtime};

	/* A directory's time changes with everything made in it: set when it is left. */
	if (l->restore)
		futimens(l->fd, ts);
	fd_close(&l->fd);
	u->depth--;
	u->path[u->levels[u->depth].end] = '\0';
}

/* Leaves all directories that do not lead to dir. */
static void leave_to(struct unpack *u, const char *dir)
{
	int keep = 0;

	while (keep < u->depth) {
		size_t end = u->levels[keep + 1].end;

		if (strncmp(u->path, dir, end) || (dir[end] && dir[end] != '/'))
			break;
		keep++;
	}
	while (u->depth > keep)
		leave_level(u);
}

/* Takes an open directory as the new innermost level; takes fd. */
static struct level *push_level(struct unpack *u, int fd, const char *name, size_t n)
{
	size_t at = u->levels[u->depth].end;
	struct level *l = &u->levels[++u->depth];

	if (at)
		u->path[at++] = '/';
	memcpy(u->path + at, name, n);
	u->path[at + n] = '\0';
	*l = (struct level){.fd = fd, .end = at + n};
	return l;
}

static int open_dir(int parent, const char *name)
{
	return path_try(parent, name, O_RDONLY | O_DIRECTORY, PATH_STRICT);
}

/* A directory that was asked for and is not in the way: whiteouts give way, and make it opaque. */
static int make_dir(struct unpack *u, int parent, const char *name, mode_t mode, const char *entry)
{
	struct stat st;
	bool opaque = false;
	int fd;

	if (mkdirat(parent, name, mode) < 0) {
		if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return bad_sys(u, entry, "cannot make directory");
		opaque = is_whiteout(&st);
		if (!S_ISDIR(st.st_mode)) {
			if (unlinkat(parent, name, 0) < 0 || mkdirat(parent, name, mode) < 0)
				return bad_sys(u, entry, "cannot make directory");
		}
	}
	fd = open_dir(parent, name);
	if (fd < 0) {
		errno = -fd;
		return bad_sys(u, entry, "cannot open the directory just made");
	}
	if (opaque && img_set_opaque(fd, u->e) < 0) {
		close(fd);
		return err_prefix(u->e, "%s", u->o->what);
	}
	return fd;
}

/* A directory on the way that the archive never mentioned: 0755 and root's, until known better. */
static int imply_dir(
	struct unpack *u, const char *dir, size_t end, const char *name, const char *entry)
{
	AUTO_FREE char *path = str_dup_n(dir, end);

	u->implied_bytes += end + 1;
	if (u->implied_bytes > IMG_LAYER_MAX_IMPLIED)
		return bad(u, entry, E2BIG,
			"the archive uses too many directories that it does not hold");
	strv_add(&u->st->implied, path);
	return make_dir(u, u->levels[u->depth].fd, name, 0755, entry);
}

static int enter_one(
	struct unpack *u, const char *dir, size_t end, const char *name, const char *entry)
{
	int parent = u->levels[u->depth].fd, fd = open_dir(parent, name);
	struct stat st;
	struct level *l;

	if (fd == -ENOTDIR && !fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) && is_whiteout(&st))
		fd = -ENOENT;
	switch (fd) {
	case -ENOENT:
		fd = imply_dir(u, dir, end, name, entry);
		if (fd < 0)
			return fd;
		break;
	case -ELOOP:
		return bad(u, entry, ELOOP,
			"it would be written through a symbolic link of the same archive");
	case -ENOTDIR:
		return bad(u, entry, ENOTDIR,
			"a directory on its way is something else in the same archive");
	}
	if (fd < 0) {
		errno = -fd;
		return bad_sys(u, entry, "cannot open a directory on its way");
	}
	l = push_level(u, fd, name, strlen(name));
	if (fstat(fd, &st) < 0)
		return bad_sys(u, entry, "cannot examine a directory on its way");
	l->mtime = st.st_mtim;
	l->restore = true;
	l->setgid = st.st_mode & S_ISGID;
	return 0;
}

/* Makes dir ("" for the root) the innermost level; entry is for errors. */
static int enter(struct unpack *u, const char *dir, const char *entry)
{
	size_t at;

	leave_to(u, dir);
	at = u->levels[u->depth].end;
	while (dir[at]) {
		char name[256];
		size_t n;

		at += dir[at] == '/';
		n = strcspn(dir + at, "/");
		memcpy(name, dir + at, n);
		name[n] = '\0';
		at += n;
		if (enter_one(u, dir, at, name, entry) < 0)
			return -u->e->code;
	}
	return 0;
}

/* Removes what an earlier entry of the same name made. */
static int clear_way(struct unpack *u, const struct item *it)
{
	struct err e;

	if (path_rmtree(it->dir, it->base, &e) < 0)
		return bad(u, it->name, e.code, e.text);
	return 0;
}

enum xattr_fate { XATTR_KEEP, XATTR_DROP, XATTR_CAPABILITY };
static const struct {
	const char *prefix;
	enum xattr_fate fate;
} xattr_rules[] = {
	/* Overlay would take these for its own: whiteouts, redirects, metadata of other files. */
	{"user.overlay.", XATTR_DROP},
	{"user.", XATTR_KEEP},
	{"security.capability", XATTR_CAPABILITY},
	/* trusted., system., other security.: the host's business. */
	{"", XATTR_DROP},
};

/*
 * File capabilities (capabilities(7)) are kept as revision 2, which holds only for the root of
 * whatever namespace the layer is shown to; revision 3 names a root of its own and is not the
 * archive's to say.
 */
static int set_capability(int fd, const unsigned char *v, size_t n)
{
	unsigned char cap[20];

	if ((n != 20 && n != 24) || (v[3] != 2 && v[3] != 3))
		return -EINVAL;
	memcpy(cap, v, sizeof(cap));
	cap[3] = 2;
	return fsetxattr(fd, "security.capability", cap, sizeof(cap), 0) < 0 ? -errno : 0;
}

static int set_xattrs(struct unpack *u, const struct item *it, int fd)
{
	const char *name;
	const void *value;
	size_t n, seen = 0;

	archive_entry_xattr_reset(it->ae);
	while (archive_entry_xattr_next(it->ae, &name, &value, &n) == ARCHIVE_OK) {
		size_t i = 0;
		int r = -EPERM;

		if (++seen > 128 || n > 65536 || !name)
			return bad(u, it->name, E2BIG,
				"it has too many or too large extended attributes");
		while (!str_starts(name, xattr_rules[i].prefix))
			i++;
		if (xattr_rules[i].fate == XATTR_KEEP)
			r = fsetxattr(fd, name, value, n, 0) < 0 ? -errno : 0;
		else if (xattr_rules[i].fate == XATTR_CAPABILITY)
			r = set_capability(fd, value, n);
		if (r == -ENOSPC || r == -EDQUOT || r == -EIO) {
			errno = -r;
			return bad_sys(u, it->name, "cannot set an extended attribute");
		}
		u->st->dropped_xattrs += r < 0;
	}
	return 0;
}

static bool must_chown(const struct unpack *u, const struct item *it)
{
	return !u->single_owner && (it->uid != u->uid || it->gid != u->gid || it->inherits_group);
}

static const char chown_says[] = "cannot give it its owner; a plain user needs a range of ids in "
				 "/etc/subuid and /etc/subgid";

/* Owner, mode beyond what creation gave, and attributes, in the order in which they survive each
 * other. */
static int set_metadata(struct unpack *u, const struct item *it, int fd)
{
	bool chown = must_chown(u, it);

	if (chown && fchown(fd, it->uid, it->gid) < 0)
		return bad_sys(u, it->name, chown_says);
	if (it->mode & 07000 && fchmod(fd, it->mode) < 0)
		return bad_sys(u, it->name, "cannot set its mode");
	return set_xattrs(u, it, fd);
}

static int check_space(struct unpack *u, const struct item *it, size_t n)
{
	uint64_t reserve = u->o->reserve_bytes ? u->o->reserve_bytes : (uint64_t)IMG_RESERVE_BYTES;
	struct statvfs v;

	u->since_check += n;
	if (u->since_check < 16 << 20)
		return 0;
	u->since_check = 0;
	if (!fstatvfs(u->levels[0].fd, &v) && (uint64_t)v.f_bavail * v.f_frsize < reserve)
		return bad(u, it->name, ENOSPC, "the filesystem of the image store is full");
	return 0;
}

static int write_at(int fd, const char *p, size_t n, off_t at)
{
	while (n) {
		ssize_t w = pwrite(fd, p, n, at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
		at += w;
	}
	return 0;
}

static int archive_says(struct unpack *u, const char *name)
{
	const char *s = archive_error_string(u->a);
	AUTO_FREE char *seen = str_visible(s ? s : "it is damaged");

	if (u->stream_err.code)
		return err_set(u->e, u->stream_err.code, "%s: %s", u->o->what, u->stream_err.text);
	if (!name)
		return err_set(u->e, EBADMSG,
			"%s: the tar archive is damaged after %llu entries: %s", u->o->what,
			(unsigned long long)u->st->entries, seen);
	return bad(u, name, EBADMSG, seen);
}

static int write_data(struct unpack *u, const struct item *it, int fd)
{
	int64_t size = archive_entry_size(it->ae), end = 0, offset;
	const void *p;
	size_t n;
	int r;

	while ((r = archive_read_data_block(u->a, &p, &n, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || n > INT64_MAX || offset > size - (int64_t)n)
			return bad(u, it->name, EBADMSG, "it has data beyond its size");
		if (check_space(u, it, n) < 0)
			return -u->e->code;
		r = write_at(fd, p, n, offset);
		if (r < 0) {
			errno = -r;
			return bad_sys(u, it->name, "cannot write it");
		}
		end = MAX(end, offset + (int64_t)n);
		u->st->file_bytes += n;
	}
	if (r != ARCHIVE_EOF)
		return archive_says(u, it->name);
	/* A hole at the end of a sparse file. */
	if (end < size && ftruncate(fd, size) < 0)
		return bad_sys(u, it->name, "cannot set its size");
	return 0;
}

static int make_file(struct unpack *u, struct item *it)
{
	static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, it->mtime};
	AUTO_FD int fd = openat(it->dir, it->base, flags, it->mode & 0777);
	int64_t size = archive_entry_size(it->ae);

	if (fd < 0 && errno == EEXIST) {
		if (clear_way(u, it) < 0)
			return -u->e->code;
		fd = openat(it->dir, it->base, flags, it->mode & 0777);
	}
	if (fd < 0)
		return bad_sys(u, it->name, "cannot make file");
	if (size < 0 || (uint64_t)size > u->max_bytes - u->declared)
		return bad(u, it->name, EFBIG, "its size is beyond what one layer may hold");
	u->declared += (uint64_t)size;
	if (size && write_data(u, it, fd) < 0)
		return -u->e->code;
	if (set_metadata(u, it, fd) < 0)
		return -u->e->code;
	return futimens(fd, ts) < 0 ? bad_sys(u, it->name, "cannot set its time") : 0;
}

static int make_directory(struct unpack *u, struct item *it)
{
	struct level *l;
	int fd = make_dir(u, it->dir, it->base, it->mode & 01777, it->name);

	if (fd < 0)
		return fd;
	l = push_level(u, fd, it->base, strlen(it->base));
	l->mtime = it->mtime;
	l->restore = true;
	l->setgid = it->mode & S_ISGID;
	/* It may have been implied before: its mode is this entry's now. */
	if (fchmod(fd, it->mode) < 0)
		return bad_sys(u, it->name, "cannot set its mode");
	return set_metadata(u, it, fd);
}

/* For what has no descriptor of its own: symlinks, FIFOs. */
static int set_metadata_at(struct unpack *u, const struct item *it)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, it->mtime};

	if (must_chown(u, it) &&
		fchownat(it->dir, it->base, it->uid, it->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return bad_sys(u, it->name, chown_says);
	if (utimensat(it->dir, it->base, ts, AT_SYMLINK_NOFOLLOW) < 0)
		return bad_sys(u, it->name, "cannot set its time");
	return 0;
}

static int make_symlink(struct unpack *u, struct item *it)
{
	const char *target = archive_entry_symlink(it->ae);

	if (!target || !*target)
		return bad(u, it->name, EBADMSG, "it is a symbolic link to nothing");
	if (strlen(target) >= IMG_NAME_BYTES)
		return bad(u, it->name, ENAMETOOLONG, "its target is too long");
	/* The target is only text: where it leads is decided inside the jail. */
	if (symlinkat(target, it->dir, it->base) < 0) {
		if (errno != EEXIST)
			return bad_sys(u, it->name, "cannot make symbolic link");
		if (clear_way(u, it) < 0)
			return -u->e->code;
		if (symlinkat(target, it->dir, it->base) < 0)
			return bad_sys(u, it->name, "cannot make symbolic link");
	}
	return set_metadata_at(u, it);
}

static int make_fifo(struct unpack *u, struct item *it)
{
	if (mkfifoat(it->dir, it->base, it->mode & 0777) < 0) {
		if (errno != EEXIST)
			return bad_sys(u, it->name, "cannot make FIFO");
		if (clear_way(u, it) < 0)
			return -u->e->code;
		if (mkfifoat(it->dir, it->base, it->mode & 0777) < 0)
			return bad_sys(u, it->name, "cannot make FIFO");
	}
	return set_metadata_at(u, it);
}

/*
 * A jail gets its devices from the engine, never from an image: an empty file that nobody may
 * open keeps the name.  0:0 is what overlayfs takes for a deletion: no archive has a use for it.
 */
static int make_device(struct unpack *u, struct item *it)
{
	if (archive_entry_filetype(it->ae) == AE_IFCHR &&
		archive_entry_rdev(it->ae) == makedev(0, 0))
		return bad(u, it->name, EBADMSG,
			"it is the character device 0:0, which would delete a file of the layer "
			"below");
	u->st->devices++;
	it->mode = 0;
	archive_entry_set_size(it->ae, 0);
	archive_entry_xattr_clear(it->ae);
	return make_file(u, it);
}

/* Opens the directory of a hard link's target, which must be in this archive already. */
static int open_target_dir(
	struct unpack *u, const struct item *it, char *target, const char **ret_base)
{
	char *slash = strrchr(target, '/');
	int fd;

	*ret_base = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	fd = path_try(u->levels[0].fd, slash ? target : ".", O_PATH | O_DIRECTORY, PATH_STRICT);
	if (fd == -ELOOP)
		return bad(u, it->name, ELOOP,
			"it is a hard link through a symbolic link of the same archive");
	if (fd < 0)
		return bad(u, it->name, -fd,
			"it is a hard link to a file that the archive does not hold before it");
	return fd;
}

static int make_hardlink(struct unpack *u, struct item *it)
{
	char target[IMG_NAME_BYTES];
	const char *base;
	struct err why;
	struct stat st;
	int n = img_tar_name(archive_entry_hardlink(it->ae), target, &why);

	if (n < 0) {
		AUTO_FREE char *text =
			str_fmt("it is a hard link whose target is refused: %s", why.text);

		return bad(u, it->name, -n, text);
	}
	if (!n)
		return bad(u, it->name, EBADMSG, "it is a hard link to the root");
	if (!strcmp(target, it->name))
		return bad(u, it->name, EBADMSG, "it is a hard link to itself");
	AUTO_FD int dir = open_target_dir(u, it, target, &base);
	if (dir < 0)
		return dir;
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return bad(u, it->name, errno,
			"it is a hard link to a file that the archive does not hold before it");
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISFIFO(st.st_mode))
		return bad(
			u, it->name, EBADMSG, "it is a hard link to something that is not a file");
	/* No AT_SYMLINK_FOLLOW: a symlink is linked itself, not what it points to. */
	if (!linkat(dir, base, it->dir, it->base, 0))
		return 0;
	if (errno == EEXIST) {
		if (clear_way(u, it) < 0)
			return -u->e->code;
		if (!linkat(dir, base, it->dir, it->base, 0))
			return 0;
	}
	return bad_sys(u, it->name, "cannot make hard link");
}

/* ".wh.NAME": NAME of the layers below is gone. */
static int make_whiteout(struct unpack *u, const struct item *it, const char *name)
{
	struct stat st;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return bad(u, it->name, EBADMSG, "it is a whiteout of no file");
	/* Linux 5.8 and newer let everybody make this one device. */
	if (!mknodat(it->dir, name, S_IFCHR, makedev(0, 0)))
		return 0;
	if (errno != EEXIST || fstatat(it->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return bad_sys(u, it->name, "cannot make whiteout");
	if (!S_ISDIR(st.st_mode))
		return 0; /* this layer's own file hides it anyway */
	AUTO_FD int fd = open_dir(it->dir, name);
	if (fd < 0) {
		errno = -fd;
		return bad_sys(u, it->name, "cannot open the directory of the same name");
	}
	return img_set_opaque(fd, u->e);
}

/* Returns 1 when the entry is a whiteout, and handles it. */
static int try_whiteout(struct unpack *u, const struct item *it)
{
	static const char prefix[] = ".wh.", meta[] = ".wh..wh.";

	if (!str_starts(it->base, prefix))
		return 0;
	if (!strcmp(it->base, ".wh..wh..opq")) {
		if (u->depth == 0)
			u->st->opaque_root = true;
		if (img_set_opaque(it->dir, u->e) < 0)
			return bad(u, it->name, u->e->code, "cannot mark its directory as opaque");
		return 1;
	}
	if (str_starts(it->base, meta))
		return 1; /* aufs's own books: not part of any image */
	if (archive_entry_filetype(it->ae) == AE_IFDIR)
		return bad(u, it->name, EBADMSG, "it is a whiteout and a directory at once");
	return make_whiteout(u, it, it->base + sizeof(prefix) - 1) < 0 ? -u->e->code : 1;
}

static const struct {
	mode_t type;
	int (*make)(struct unpack *u, struct item *it);
} makers[] = {
	{AE_IFREG, make_file},
	{AE_IFDIR, make_directory},
	{AE_IFLNK, make_symlink},
	{AE_IFIFO, make_fifo},
	{AE_IFCHR, make_device},
	{AE_IFBLK, make_device},
};

static int make_item(struct unpack *u, struct item *it)
{
	mode_t type = archive_entry_filetype(it->ae);
	int r = try_whiteout(u, it);

	if (r)
		return r < 0 ? r : 0;
	if (archive_entry_hardlink(it->ae))
		return make_hardlink(u, it);
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++)
		if (makers[i].type == type)
			return makers[i].make(u, it);
	return bad(u, it->name, EBADMSG, "it is of a kind that images do not hold");
}

/* The root's own entry: only its time is taken.  Its mode and owner are the store's to say. */
static int root_item(struct unpack *u, const struct item *it)
{
	if (archive_entry_filetype(it->ae) != AE_IFDIR || archive_entry_hardlink(it->ae))
		return bad(u, "", EBADMSG, "the root of the image must be a directory");
	u->levels[0].mtime = it->mtime;
	u->levels[0].restore = true;
	return 0;
}

static int take_ids(struct unpack *u, struct item *it)
{
	int64_t uid = archive_entry_uid(it->ae), gid = archive_entry_gid(it->ae);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return bad(u, it->name, EBADMSG, "its owner is not between 0 and 4294967294");
	it->uid = (uid_t)uid;
	it->gid = (gid_t)gid;
	return 0;
}

/* True when some directory on the way is a whiteout name: aufs's books, or nonsense. */
static int check_whiteout_dirs(struct unpack *u, const struct item *it)
{
	for (const char *p = it->name; p < it->base; p += strcspn(p, "/") + 1) {
		if (str_starts(p, ".wh..wh."))
			return 1;
		if (str_starts(p, ".wh."))
			return bad(u, it->name, EBADMSG, "a directory on its way is a whiteout");
	}
	return 0;
}

static int one_entry(struct unpack *u, struct archive_entry *ae)
{
	struct item it = {.ae = ae, .mode = archive_entry_mode(ae) & 07777};
	const char *raw = archive_entry_pathname(ae);
	char dir[IMG_NAME_BYTES];
	struct err why;
	int n, r;

	if (!raw)
		return err_set(u->e, EBADMSG, "%s: entry %llu has no name", u->o->what,
			(unsigned long long)u->st->entries);
	n = img_tar_name(raw, it.name, &why);
	if (n < 0)
		return bad(u, raw, -n, why.text);
	it.mtime = (struct timespec){archive_entry_mtime(ae), archive_entry_mtime_nsec(ae)};
	if (take_ids(u, &it) < 0)
		return -u->e->code;
	if (!n)
		return root_item(u, &it);
	it.base = strrchr(it.name, '/');
	it.base = it.base ? it.base + 1 : it.name;
	r = check_whiteout_dirs(u, &it);
	if (r)
		return r < 0 ? r : 0;
	n = (int)(it.base - it.name) - (it.base > it.name);
	memcpy(dir, it.name, (size_t)n);
	dir[n] = '\0';
	if (enter(u, dir, it.name) < 0)
		return -u->e->code;
	it.dir = u->levels[u->depth].fd;
	it.inherits_group = u->levels[u->depth].setgid;
	return make_item(u, &it);
}

/*
 * libarchive runs in the C locale here, where it cannot convert UTF-8 names and says so with a
 * warning, then hands them over byte for byte: which is what is wanted.  Every other warning is
 * about something malformed.
 */
static bool only_about_names(struct archive *a)
{
	const char *s = archive_error_string(a);

	return s && strstr(s, "can't be converted from");
}

static int all_entries(struct unpack *u)
{
	struct archive_entry *ae;
	int r;

	while ((r = archive_read_next_header(u->a, &ae)) != ARCHIVE_EOF) {
		if (r != ARCHIVE_OK && !(r == ARCHIVE_WARN && only_about_names(u->a)))
			return archive_says(u, NULL);
		if (++u->st->entries > u->max_entries)
			return err_set(u->e, E2BIG, "%s: more than the limit of %llu entries",
				u->o->what, (unsigned long long)u->max_entries);
		if (one_entry(u, ae) < 0)
			return -u->e->code;
		if (u->o->progress && !(u->st->entries & 255))
			u->o->progress(u->o->ctx, img_stream_position(u->stream));
	}
	return u->stream_err.code ? archive_says(u, NULL) : 0;
}

static la_ssize_t read_chunk(struct archive *a, void *ctx, const void **ret)
{
	struct unpack *u = ctx;
	ssize_t n = img_stream_next(u->stream, ret, &u->stream_err);

	if (n < 0)
		archive_set_error(a, EBADMSG, "%s", "the stream under it failed");
	return n < 0 ? ARCHIVE_FATAL : n;
}

/* Whether more than one user id is ours to give (user_namespaces(7), uid_map). */
static bool has_one_id(void)
{
	AUTO_BUF struct buf b = {0};
	unsigned long long total = 0, first, outer, n;
	struct err ignored;
	int used;

	if (geteuid())
		return true;
	if (file_read(AT_FDCWD, "/proc/self/uid_map", 65536, &b, &ignored) < 0)
		return false;
	for (const char *p = b.p; sscanf(p, "%llu %llu %llu%n", &first, &outer, &n, &used) == 3;
		p += used)
		total += n;
	return total == 1;
}

static int prepare(struct unpack *u)
{
	static const struct timespec epoch = {0};
	int fd = open_dir(u->o->root_fd, ".");

	if (fd < 0)
		return err_set(u->e, -fd, "%s: cannot open its directory", u->o->what);
	u->levels[0] = (struct level){.fd = fd, .mtime = epoch, .restore = true};
	u->single_owner = has_one_id();
	u->uid = geteuid();
	u->gid = getegid();
	u->max_bytes = u->o->max_bytes ? u->o->max_bytes : IMG_LAYER_MAX_BYTES;
	u->max_entries = u->o->max_entries ? u->o->max_entries : (uint64_t)IMG_LAYER_MAX_ENTRIES;
	u->a = archive_read_new();
	if (!u->a || archive_read_support_format_tar(u->a) != ARCHIVE_OK ||
		archive_read_support_format_empty(u->a) != ARCHIVE_OK ||
		archive_read_open(u->a, u, NULL, read_chunk, NULL) != ARCHIVE_OK)
		return archive_says(u, NULL);
	return 0;
}

static int finish(struct unpack *u, int r)
{
	while (u->depth)
		leave_level(u);
	/* 0755 whatever the archive says: a world-writable or set-group-id root helps nobody. */
	if (r >= 0 && fchmod(u->levels[0].fd, 0755) < 0)
		r = err_sys(u->e, "%s: cannot set the mode of its root", u->o->what);
	if (u->levels[0].fd >= 0) {
		struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, u->levels[0].mtime};

		futimens(u->levels[0].fd, ts);
		close(u->levels[0].fd);
	}
	archive_read_free(u->a);
	return r;
}

int img_unpack(struct img_stream *s, const struct img_unpack_opts *o, struct img_unpack_stats *ret,
	struct err *e)
{
	AUTO_FREE struct unpack *u = mem_new(sizeof(*u));
	mode_t mask = umask(0); /* modes are the archive's */
	int r;

	*u = (struct unpack){.o = o, .st = ret, .stream = s, .e = e, .levels[0].fd = -EBADF};
	r = prepare(u);
	if (r >= 0)
		r = all_entries(u);
	r = finish(u, r);
	umask(mask);
	return r;
}

void img_unpack_stats_release(struct img_unpack_stats *st)
{
	strv_release(&st->implied);
	*st = (struct img_unpack_stats){0};
}
