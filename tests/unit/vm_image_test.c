#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "vm/image.h"

static char dir[] = "/tmp/image.XXXXXX";
static struct err e;

/* Where each file system keeps its magic number. */
static unsigned int magic_of(const char *path, off_t at, size_t n)
{
	unsigned int v = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_INT(pread(fd, &v, n, at), n);
	close(fd);
	return v;
}

TEST(directories_become_disks)
{
	AUTO_FREE char *root = NULL, *file = NULL, *out = NULL;
	struct stat st;
	int fd;

	CHECK(mkdtemp(dir) != NULL);
	root = str_fmt("%s/root", dir);
	file = str_fmt("%s/root/file", dir);
	CHECK_INT(mkdir(root, 0755), 0);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	CHECK_INT(ftruncate(fd, 5 << 20), 0);
	fd_close(&fd);
	for (int type = VM_IMAGE_EROFS; type <= VM_IMAGE_EXT4; type++) {
		AUTO_FREE char *path = str_fmt("%s/root.%s", dir, vm_image_types[type]);

		CHECK_INT(vm_image_build(root, path, (enum vm_image_type)type, &e), 0);
		CHECK_INT(stat(path, &st), 0);
		if (type == VM_IMAGE_EROFS)
			CHECK_INT(magic_of(path, 1024, 4), 0xe0f5e1e2);
		else
			CHECK_INT(magic_of(path, 1024 + 56, 2), 0xef53);
	}
	CHECK(vm_image_best(&e) >= 0);
	out = str_fmt("%s/layer", dir);
	CHECK_INT(vm_image_blank(out, 64 << 20, &e), 0);
	CHECK_INT(stat(out, &st), 0);
	CHECK_INT(st.st_size, 64 << 20);
	CHECK(st.st_blocks * 512 < 16 << 20);
	CHECK_INT(magic_of(out, 1024 + 56, 2), 0xef53);
}

TEST(what_cannot_be_built_leaves_nothing)
{
	AUTO_FREE char *path = str_fmt("%s/bad", dir), *no_dir = str_fmt("%s/none/bad", dir);

	CHECK_INT(vm_image_build("/nonesuch", path, VM_IMAGE_EROFS, &e), -ENOTDIR);
	CHECK(vm_image_build(dir, no_dir, VM_IMAGE_EXT4, &e) < 0);
	CHECK(vm_image_build(dir, no_dir, VM_IMAGE_EROFS, &e) < 0);
	CHECK_INT(vm_image_blank(path, 100, &e), -EINVAL);
	CHECK(access(path, F_OK) < 0);
}

TEST(clean_up)
{
	int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(path_rmtree(tmp, dir + strlen("/tmp/"), &e), 0);
	close(tmp);
}

TEST_MAIN
