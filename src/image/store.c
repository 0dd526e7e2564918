/*
 * The store's directories, lock, temporary places and records of what is not yet on the disk.
 * Linked into jail too: nothing here knows curl, OpenSSL or libarchive.
 */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"

static const char version_text[] = "jail image store 1\n";

static const struct store_dir {
	const char *name;
	size_t offset;
} store_dirs[] = {
	{"blobs", 0},
	{"blobs/sha256", offsetof(struct img_store, blobs_fd)},
	{"layers", offsetof(struct img_store, layers_fd)},
	{"images", offsetof(struct img_store, images_fd)},
	{"refs", offsetof(struct img_store, refs_fd)},
	{"pins", offsetof(struct img_store, pins_fd)},
	{"partial", offsetof(struct img_store, partial_fd)},
	{"unsynced", offsetof(struct img_store, unsynced_fd)},
	{"tmp", offsetof(struct img_store, tmp_fd)},
};

static int read_boot_id(char ret[static 33], struct err *e)
{
	AUTO_BUF struct buf b = {0};
	size_t n = 0;

	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &b, e) < 0)
		return -e->code;
	for (size_t i = 0; i < b.n && n < 32; i++)
		if (b.p[i] != '-' && b.p[i] != '\n')
			ret[n++] = b.p[i];
	ret[n] = '\0';
	return n == 32 ? 0 : err_set(e, EIO, "cannot read the boot id: it has %zu digits", n);
}

static int check_version(struct img_store *s, int flags, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	struct err ignored;

	if (file_read(s->root_fd, "version", 64, &b, &ignored) >= 0) {
		if (!strcmp(b.p, version_text))
			return 0;
		return err_set(e, EINVAL,
			"'%s' is not an image store of this version: 'version' says '%.40s'",
			s->path, b.p);
	}
	if (!(flags & IMG_STORE_CREATE))
		return err_set(e, ENOENT,
			"there is no image store at '%s'; pull or import an image first", s->path);
	return file_replace(
		s->root_fd, "version", version_text, sizeof(version_text) - 1, 0600, 0, e);
}

static int open_dirs(struct img_store *s, int flags, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(store_dirs); i++) {
		const struct store_dir *d = &store_dirs[i];
		int fd;

		if (flags & IMG_STORE_CREATE && mkdirat(s->root_fd, d->name, 0700) < 0 &&
			errno != EEXIST)
			return err_sys(e, "cannot make '%s/%s'", s->path, d->name);
		if (!d->offset)
			continue;
		fd = path_open(s->root_fd, d->name, O_RDONLY | O_DIRECTORY, PATH_NO_SYMLINKS, e);
		if (fd < 0)
			return err_prefix(e, "image store '%s'", s->path);
		*(int *)((char *)s + d->offset) = fd;
	}
	return 0;
}

/* Makes the store's own directory and, for a plain user's first image, the two above it. */
static int make_root(const char *path, struct err *e)
{
	AUTO_FREE char *p = path_clean(path);

	for (char *slash = strchr(p + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(p, 0700) < 0 && errno != EEXIST)
			return err_sys(e, "cannot make '%s'", p);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

static int open_root(const char *path, int flags, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT && !(flags & IMG_STORE_CREATE))
		return err_set(e, ENOENT,
			"there is no image store at '%s'; pull or import an image first", path);
	if (fd < 0 && errno == ENOENT) {
		if (make_root(path, e) < 0)
			return -e->code;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return err_sys(e, "cannot open image store '%s'", path);
	/* Layers hold set-user-id programs and what other users must not see. */
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
		close(fd);
		return err_set(
			e, EPERM, "image store '%s' must belong to you and have mode 0700", path);
	}
	return fd;
}

static bool is_record(const char *name)
{
	return strlen(name) == 32 + 3 + 64 && name[32] == '-' && name[34] == '-' &&
	       strspn(name + 35, "0123456789abcdef") == 64;
}

static bool has_foreign_records(struct img_store *s)
{
	DIR *d = fdopendir(openat(s->unsynced_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;
	bool found = false;

	while (d && !found && (de = readdir(d)))
		found = is_record(de->d_name) && memcmp(de->d_name, s->boot_id, 32);
	if (d)
		closedir(d);
	return found;
}

static int drop_one(struct img_store *s, const char *record, struct err *e)
{
	const char *hex = record + 35;

	if (record[33] == IMG_LAYER) {
		if (img_layer_remove(s, hex, e) < 0)
			return -e->code;
	} else if (unlinkat(s->blobs_fd, hex, 0) < 0 && errno != ENOENT) {
		return err_sys(e, "cannot remove blob '%s'", hex);
	}
	return unlinkat(s->unsynced_fd, record, 0) < 0 ? err_sys(e, "cannot remove '%s'", record)
						       : 0;
}

/* The power failed before these were written out: they are gone, or worse, half there. */
static int drop_unsynced_of_other_boots(struct img_store *s, struct err *e)
{
	DIR *d;
	struct dirent *de;
	int r = 0;

	if (!has_foreign_records(s))
		return 0;
	r = img_store_lock(s, IMG_LOCK_EXCLUSIVE, e);
	d = r < 0 ? NULL
		  : fdopendir(openat(s->unsynced_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (d && r >= 0 && (de = readdir(d)))
		if (is_record(de->d_name) && memcmp(de->d_name, s->boot_id, 32))
			r = drop_one(s, de->d_name, e);
	if (d)
		closedir(d);
	img_store_unlock(s);
	return r;
}

int img_store_open(const char *path, int flags, struct img_store *ret, struct err *e)
{
	AUTO_IMG_STORE struct img_store s = IMG_STORE_INIT;

	if (path[0] != '/')
		return err_set(e, EINVAL, "image store '%s' must be an absolute path", path);
	s.path = path_clean(path);
	s.root_fd = open_root(s.path, flags, e);
	if (s.root_fd < 0)
		return s.root_fd;
	if (check_version(&s, flags, e) < 0 || open_dirs(&s, flags, e) < 0 ||
		read_boot_id(s.boot_id, e) < 0 || drop_unsynced_of_other_boots(&s, e) < 0)
		return -e->code;
	*ret = s;
	s = (struct img_store)IMG_STORE_INIT;
	return 0;
}

void img_store_release(struct img_store *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(store_dirs); i++)
		if (store_dirs[i].offset)
			fd_close((int *)((char *)s + store_dirs[i].offset));
	fd_close(&s->root_fd);
	fd_close(&s->lock_fd);
	free(s->path);
	*s = (struct img_store)IMG_STORE_INIT;
}

int img_store_lock(struct img_store *s, enum img_lock mode, struct err *e)
{
	static const int ops[] = {
		[IMG_LOCK_SHARED] = LOCK_SH,
		[IMG_LOCK_EXCLUSIVE] = LOCK_EX,
		[IMG_LOCK_TRY] = LOCK_EX | LOCK_NB,
	};
	int r;

	if (s->lock_fd < 0) {
		s->lock_fd =
			openat(s->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->lock_fd < 0)
			return err_sys(e, "cannot open the lock of image store '%s'", s->path);
	}
	do
		r = flock(s->lock_fd, ops[mode]);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EWOULDBLOCK)
		return err_set(e, EAGAIN, "image store '%s' is in use by another command", s->path);
	return r < 0 ? err_sys(e, "cannot lock image store '%s'", s->path) : 0;
}

void img_store_unlock(struct img_store *s)
{
	fd_close(&s->lock_fd);
}

int img_tmp_new(struct img_store *s, char ret_name[static IMG_TMP_NAME], struct err *e)
{
	uint64_t salt;
	int fd;

	if (getrandom(&salt, sizeof(salt), 0) < 0)
		return err_sys(e, "cannot get random bytes");
	snprintf(ret_name, IMG_TMP_NAME, "%016llx", (unsigned long long)salt);
	if (mkdirat(s->tmp_fd, ret_name, 0700) < 0)
		return err_sys(e, "cannot make '%s/tmp/%s'", s->path, ret_name);
	fd = path_open(s->tmp_fd, ret_name, O_RDONLY | O_DIRECTORY, PATH_NO_SYMLINKS, e);
	if (fd < 0)
		unlinkat(s->tmp_fd, ret_name, AT_REMOVEDIR);
	return fd;
}

void img_tmp_drop(struct img_store *s, const char *name)
{
	struct err ignored;

	path_rmtree(s->tmp_fd, name, &ignored);
}

int img_tmp_sweep(struct img_store *s, struct err *e)
{
	DIR *d = fdopendir(openat(s->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, "cannot list '%s/tmp'", s->path);
	while (r >= 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = path_rmtree(s->tmp_fd, de->d_name, e);
	closedir(d);
	return r;
}

int img_unsynced_add(
	struct img_store *s, enum img_kind kind, const struct img_digest *d, struct err *e)
{
	AUTO_FREE char *name = str_fmt("%s-%c-%s", s->boot_id, kind, d->hex);
	AUTO_FD int fd =
		openat(s->unsynced_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(e, "cannot write '%s/unsynced/%s'", s->path, name) : 0;
}

static void list_records(struct img_store *s, struct strv *ret)
{
	DIR *d = fdopendir(openat(s->unsynced_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (is_record(de->d_name) && !memcmp(de->d_name, s->boot_id, 32))
			strv_add(ret, de->d_name);
	if (d)
		closedir(d);
}

bool img_store_unsynced(struct img_store *s)
{
	AUTO_STRV struct strv records = {0};

	list_records(s, &records);
	return records.n > 0;
}

int img_store_sync(struct img_store *s, struct err *e)
{
	AUTO_STRV struct strv records = {0};

	/* Listed first: a record that comes during the syncfs belongs to a thing it may miss. */
	list_records(s, &records);
	if (!records.n)
		return 0;
	if (syncfs(s->root_fd) < 0)
		return err_sys(e, "cannot bring image store '%s' to the disk", s->path);
	for (size_t i = 0; i < records.n; i++)
		if (unlinkat(s->unsynced_fd, records.v[i], 0) < 0 && errno != ENOENT)
			return err_sys(e, "cannot remove '%s/unsynced/%s'", s->path, records.v[i]);
	return 0;
}

/* Whether the file behind fd is still the one called name: its last owner may have renamed it. */
static bool still_there(int dirfd, const char *name, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(dirfd, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int img_lock_file(struct img_store *s, int dirfd, const char *name, struct err *e)
{
	for (;;) {
		AUTO_FD int fd = openat(
			dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		struct stat st;
		int r;

		if (fd < 0)
			return err_sys(e, "cannot open '%s' of image store '%s'", name, s->path);
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			return err_set(e, EINVAL, "'%s' of image store '%s' is not a regular file",
				name, s->path);
		do
			r = flock(fd, LOCK_EX);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return err_sys(e, "cannot lock '%s' of image store '%s'", name, s->path);
		if (still_there(dirfd, name, fd))
			return fd_take(&fd);
	}
}

int img_blob_open(
	const struct img_store *s, const struct img_digest *d, uint64_t *ret_size, struct err *e)
{
	AUTO_FD int fd = openat(
		s->blobs_fd, d->hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "cannot open blob 'sha256:%s'", d->hex);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "blob 'sha256:%s' is not a regular file", d->hex);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return fd_take(&fd);
}

bool img_blob_has(const struct img_store *s, const struct img_digest *d)
{
	struct stat st;

	return !fstatat(s->blobs_fd, d->hex, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode);
}

bool img_layer_has(const struct img_store *s, const struct img_digest *diff_id)
{
	AUTO_FREE char *p = str_fmt("%s/fs", diff_id->hex);
	struct stat st;

	return !fstatat(s->layers_fd, p, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

int img_layer_remove(struct img_store *s, const char *hex, struct err *e)
{
	char tmp[IMG_TMP_NAME];
	AUTO_FD int fd = img_tmp_new(s, tmp, e);

	if (fd < 0)
		return fd;
	if (renameat(s->layers_fd, hex, fd, "gone") < 0 && errno != ENOENT) {
		err_sys(e, "cannot remove layer '%s'", hex);
		unlinkat(s->tmp_fd, tmp, AT_REMOVEDIR);
		return -e->code;
	}
	return path_rmtree(s->tmp_fd, tmp, e);
}
