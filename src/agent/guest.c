#include "agent/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"

enum { MODULE_LIST_MAX = 64 << 10 };

static const char root_dir[] = "/jail/root";

static int mount_at(const char *type, const char *source, const char *target, unsigned long flags,
	const char *options, struct err *e)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make '%s'", target);
	if (mount(source, target, type, flags, options) < 0)
		return err_sys(e, "cannot mount %s on '%s'", type, target);
	return 0;
}

static const struct {
	const char *type, *target;
	unsigned long flags;
	const char *options;
} kernel_mounts[] = {
	{"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
};

static int mount_kernel(struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(kernel_mounts); i++)
		if (mount_at(kernel_mounts[i].type, kernel_mounts[i].type, kernel_mounts[i].target,
			    kernel_mounts[i].flags, kernel_mounts[i].options, e) < 0)
			return -e->code;
	return 0;
}

/*
 * The initramfs is the one mount that can be neither unmounted nor pivoted away from, and the
 * engine pivots: a tmpfs is moved over it, and is the root from then on.
 */
static int leave_initramfs(struct err *e)
{
	if (mount_at("tmpfs", "root", "/new", 0, "mode=0755", e) < 0)
		return -e->code;
	if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		return err_sys(e, "cannot leave the initramfs");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "cannot make the mounts private");
	return 0;
}

static int insert_module(int initramfs, const char *name, struct err *e)
{
	AUTO_FREE char *path = str_fmt("lib/modules/%s", name);
	AUTO_FD int fd = openat(initramfs, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_sys(e, "cannot open module '%s'", name);
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return err_sys(e, "cannot insert module '%s'", name);
	return 0;
}

/* A list: file names below lib/modules, one a line, what depends after what it needs. */
static int insert_modules(int initramfs, const char *name, struct err *e)
{
	AUTO_BUF struct buf list = {0};

	if (faccessat(initramfs, name, F_OK, 0) < 0)
		return 0; /* a kernel that has everything built in */
	if (file_read(initramfs, name, MODULE_LIST_MAX, &list, e) < 0)
		return err_prefix(e, "cannot read the list of modules");
	for (char *p = list.p, *end; p && *p; p = end) {
		end = strchrnul(p, '\n');
		if (*end)
			*end++ = '\0';
		/* JAIL_PCI=1 on the kernel's command line: that is how QEMU's devices come. */
		if (str_starts(p, "virtio_pci") && !getenv("JAIL_PCI"))
			continue;
		if (*p && insert_module(initramfs, p, e) < 0)
			return -e->code;
	}
	return 0;
}

int guest_boot(int *ret_initramfs, struct err *e)
{
	AUTO_FD int initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	umask(022);
	if (initramfs < 0)
		return err_sys(e, "cannot open the initramfs");
	if (insert_modules(initramfs, "modules", e) < 0 || leave_initramfs(e) < 0 ||
		mount_kernel(e) < 0)
		return -e->code;
	if (sethostname("jail", 4) < 0)
		return err_sys(e, "cannot set the host name");
	*ret_initramfs = fd_take(&initramfs);
	return 0;
}

int guest_finish_boot(int initramfs, struct err *e)
{
	if (insert_modules(initramfs, "modules.later", e) < 0)
		return -e->code;
	unlinkat(initramfs, "init", 0); /* this program keeps its own until it ends */
	return path_rmtree(initramfs, "lib", e);
}

static int mount_layer(const struct agent_root *root, struct err *e)
{
	static const char options[] =
		"lowerdir=/jail/lower,upperdir=/jail/layer/upper,workdir=/jail/layer/work";
	int r;

	if (root->layer_device)
		r = mount_at("ext4", root->layer_device, "/jail/layer", MS_NODEV, "discard", e);
	else
		r = mount_at("tmpfs", "layer", "/jail/layer", MS_NODEV, "mode=0755", e);
	if (r < 0)
		return r;
	if ((mkdir("/jail/layer/upper", 0755) < 0 && errno != EEXIST) ||
		(mkdir("/jail/layer/work", 0755) < 0 && errno != EEXIST))
		return err_sys(e, "cannot prepare the writable layer");
	return mount_at("overlay", "overlay", root_dir, MS_NODEV, options, e);
}

int guest_mount_root(const struct agent_root *root, char **ret_path, struct err *e)
{
	bool layer = root->layer || root->layer_device;

	if (!root->device)
		return err_set(e, EINVAL, "the guest was told no device for its root");
	if (mkdir("/jail", 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make '/jail'");
	if (mount_at(root->type ? root->type : "ext4", root->device,
		    layer ? "/jail/lower" : root_dir,
		    MS_NODEV | (root->readonly || layer ? MS_RDONLY : 0), NULL, e) < 0)
		return -e->code;
	if (layer && mount_layer(root, e) < 0)
		return -e->code;
	if (root->hostname && sethostname(root->hostname, strlen(root->hostname)) < 0)
		return err_sys(e, "cannot set the host name '%s'", root->hostname);
	*ret_path = str_dup(root_dir);
	return 0;
}

int guest_listen(struct err *e)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_port = WIRE_PORT, .svm_cid = VMADDR_CID_ANY};
	AUTO_FD int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0)
		return err_sys(e, "cannot listen for the host");
	return fd_take(&fd);
}

int guest_call_owner(struct err *e)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_port = WIRE_PORT, .svm_cid = VMADDR_CID_HOST};
	AUTO_FD int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(e, "cannot call the host");
	return fd_take(&fd);
}

void guest_poweroff(void)
{
	sync();
	/* What is still mounted writable gets a clean end; what is busy was synced above. */
	umount2(root_dir, MNT_DETACH);
	umount2("/jail/layer", 0);
	umount2("/jail/lower", 0);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
