/* The store of kernels, with a script in the monitor's place. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "vm/vm.h"

static char dir[] = "/tmp/kernels.XXXXXX";
static struct err e;

static char *script(const char *text)
{
	char *path = str_fmt("%s/script", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	CHECK_INT(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = -2;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

TEST(kernels_are_added_whole_and_replaced)
{
	AUTO_FREE char *store = NULL;

	CHECK(mkdtemp(dir) != NULL);
	store = str_fmt("%s/store", dir);
	CHECK_INT(mkdir(store, 0755), 0);
	for (int i = 0; i < 2; i++) {
		AUTO_FREE char *program =
			script("#!/bin/sh\n[ \"$1\" = kernel ] && [ \"$2\" = /a/package ] && "
			       "printf 6.12.1+deb12-cloud >\"$3/release\" && : >\"$3/vmlinux\"\n");
		AUTO_FREE char *ret = NULL, *vmlinux = NULL;

		CHECK_INT(vm_kernel_add(program, "/a/package", store, &ret, &e), 0);
		CHECK(ret && str_ends(ret, "/store/6.12.1_deb12-cloud"));
		vmlinux = str_fmt("%s/vmlinux", ret ? ret : "");
		CHECK_INT(access(vmlinux, F_OK), 0);
		CHECK_INT(entries(store), 1);
	}
}

TEST(what_fails_leaves_nothing_and_says_why)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"#!/bin/sh\necho 'jail-vmm: no PVH note' >&2; exit 125\n",
			"cannot add kernel '/p': no PVH note"},
		{"#!/bin/sh\nprintf '../../etc' >\"$3/release\"\n", "kernel release"},
		{"#!/bin/sh\nexit 0\n", "release"},
	};
	AUTO_FREE char *store = str_fmt("%s/store", dir);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO_FREE char *program = script(bad[i].text), *ret = NULL;

		CHECK(vm_kernel_add(program, "/p", store, &ret, &e) < 0);
		CHECK(strstr(e.text, bad[i].says) != NULL);
		CHECK(!ret);
		CHECK_INT(entries(store), 1);
	}
}

TEST(clean_up)
{
	int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(path_rmtree(tmp, dir + strlen("/tmp/"), &e), 0);
	close(tmp);
}

TEST_MAIN
