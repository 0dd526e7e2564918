/* The store of kernels: directories that appear whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/proc.h"
#include "vm/vm.h"

enum { TIMEOUT_MS = 10 * 60 * 1000, RELEASE_MAX = 64 };

static int read_kernel(const char *program, const char *file, const char *dir, struct err *e)
{
	char *const argv[] = {"jail-vmm", "kernel", (char *)file, (char *)dir, NULL};
	AUTO_BUF struct buf said = {0};
	struct proc_cmd cmd = {
		.path = program, .argv = argv, .output = &said, .timeout_ms = TIMEOUT_MS};
	AUTO_FREE char *text = NULL;
	const char *why;
	int status = 0;

	if (proc_run(&cmd, &status, e) < 0)
		return err_prefix(e, "cannot add kernel '%s'", file);
	if (proc_exit_code(status) == 0)
		return 0;
	text = str_visible(said.p ? said.p : vm_status_text(status));
	why = str_starts(text, "jail-vmm: ") ? text + strlen("jail-vmm: ") : text;
	return err_set(e, ENOEXEC, "cannot add kernel '%s': %.600s", file, why);
}

/* The release that the package told: a name of ours before it becomes a path. */
static int read_release(int store_fd, const char *work, char **ret, struct err *e)
{
	AUTO_FREE char *path = str_fmt("%s/release", work);
	AUTO_BUF struct buf text = {0};

	if (file_read(store_fd, path, RELEASE_MAX, &text, e) < 0)
		return -e->code;
	/* Debian's backports have a '+' in theirs. */
	for (char *p = text.p; p && *p; p++)
		if (*p == '+')
			*p = '_';
	if (parse_name("kernel release", text.p ? text.p : "", e) < 0)
		return -e->code;
	*ret = str_dup(text.p);
	return 0;
}

/* An older directory of that name goes when the new one is in its place. */
static int put_in_place(int store_fd, const char *work, const char *name, struct err *e)
{
	if (renameat2(store_fd, work, store_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST || renameat2(store_fd, work, store_fd, name, RENAME_EXCHANGE) < 0)
		return err_sys(e, "cannot put kernel '%s' in place", name);
	return path_rmtree(store_fd, work, e);
}

int vm_kernel_add(
	const char *program, const char *file, const char *store, char **ret_dir, struct err *e)
{
	AUTO_FD int store_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *work = str_fmt(".new.%d", getpid());
	AUTO_FREE char *dir = str_fmt("%s/%s", store, work);
	AUTO_FREE char *name = NULL;
	struct err ignored;
	int r;

	if (store_fd < 0)
		return err_sys(e, "cannot open the store of kernels '%s'", store);
	if (mkdirat(store_fd, work, 0755) < 0)
		return err_sys(e, "cannot make '%s'", dir);
	r = read_kernel(program, file, dir, e);
	if (r >= 0)
		r = read_release(store_fd, work, &name, e);
	if (r >= 0)
		r = put_in_place(store_fd, work, name, e);
	if (r < 0) {
		path_rmtree(store_fd, work, &ignored);
		return r;
	}
	*ret_dir = str_fmt("%s/%s", store, name);
	return 0;
}
