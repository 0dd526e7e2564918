#include "vm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"

enum { TIMEOUT_MS = 15 * 60 * 1000, BLOCK = 4096, BLANK_MIN = 8 << 20 };

const char *const vm_image_types[] = {"erofs", "ext4", NULL};
static const char mkfs_erofs[] = "/usr/bin/mkfs.erofs";
static const char mke2fs[] = "/usr/sbin/mke2fs";

int vm_image_best(struct err *e)
{
	if (access(mkfs_erofs, X_OK) == 0)
		return VM_IMAGE_EROFS;
	if (access(mke2fs, X_OK) == 0)
		return VM_IMAGE_EXT4;
	return err_set(e, ENOENT,
		"cannot build a guest's root: neither '%s' nor '%s' is there; install erofs-utils",
		mkfs_erofs, mke2fs);
}

static int run(const char *program, char *const *argv, struct err *e)
{
	AUTO_BUF struct buf said = {0};
	struct proc_cmd cmd = {
		.path = program, .argv = argv, .output = &said, .timeout_ms = TIMEOUT_MS};
	int status = 0;
	AUTO_FREE char *text = NULL;

	if (proc_run(&cmd, &status, e) < 0)
		return err_prefix(e, "cannot build a guest's disk");
	if (proc_exit_code(status) == 0)
		return 0;
	text = str_visible(said.p ? said.p : "");
	return err_set(e, EIO, "cannot build a guest's disk: %s says: %.500s", argv[0], text);
}

/*
 * Bytes for a tree in an ext4: its blocks and inodes, and a quarter more for what the file
 * system needs itself.  The file is sparse: too much costs nothing.
 */
static int tree_bytes(const char *root, uint64_t *ret, struct err *e)
{
	char *const paths[] = {(char *)root, NULL};
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	uint64_t bytes = 16 << 20;
	FTSENT *f;

	if (!tree)
		return err_sys(e, "cannot read '%s'", root);
	while ((f = fts_read(tree)))
		if (f->fts_info != FTS_DP && f->fts_statp)
			bytes += ((uint64_t)f->fts_statp->st_size + 2 * BLOCK - 1) &
				 ~(uint64_t)(BLOCK - 1);
	fts_close(tree);
	*ret = bytes + bytes / 4;
	return 0;
}

static int make_file(const char *path, uint64_t bytes, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return err_sys(e, "cannot create '%s'", path);
	return ftruncate(fd, (off_t)bytes) < 0 ? err_sys(e, "cannot size '%s'", path) : 0;
}

static int make_erofs(const char *root, const char *path, struct err *e)
{
	char *const argv[] = {"mkfs.erofs", (char *)path, (char *)root, NULL};

	return run(mkfs_erofs, argv, e);
}

/* No journal in what is only read; no lazy work left for the guest. */
static int make_ext4(const char *root, const char *path, struct err *e)
{
	char *const argv[] = {"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
		"-E", "lazy_itable_init=0", "-d", (char *)root, (char *)path, NULL};
	uint64_t bytes = 0;

	if (tree_bytes(root, &bytes, e) < 0 || make_file(path, bytes, e) < 0)
		return -e->code;
	return run(mke2fs, argv, e);
}

static int finish(int r, const char *work, const char *path, struct err *e)
{
	if (r >= 0 && rename(work, path) < 0)
		r = err_sys(e, "cannot put '%s' in place", path);
	if (r < 0)
		unlink(work);
	return r;
}

int vm_image_build(const char *root, const char *path, enum vm_image_type type, struct err *e)
{
	AUTO_FREE char *work = str_fmt("%s.%d", path, getpid());
	struct stat st;

	if (stat(root, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(
			e, ENOTDIR, "cannot build a guest's root: '%s' is no directory", root);
	unlink(work);
	return finish(type == VM_IMAGE_EROFS ? make_erofs(root, work, e) : make_ext4(root, work, e),
		work, path, e);
}

int vm_image_blank(const char *path, uint64_t bytes, struct err *e)
{
	AUTO_FREE char *work = str_fmt("%s.%d", path, getpid());
	char *const argv[] = {"mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", work, NULL};
	int r;

	if (bytes < BLANK_MIN || bytes % BLOCK)
		return err_set(e, EINVAL,
			"a disk of %" PRIu64
			" bytes is not possible; expected 8 MiB or more, in blocks of 4 KiB",
			bytes);
	unlink(work);
	r = make_file(work, bytes, e);
	if (r >= 0)
		r = run(mke2fs, argv, e);
	return finish(r, work, path, e);
}
