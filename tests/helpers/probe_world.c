/*
 * What a hostile program does to the world around it.
 *	fds                 descriptors open at the first instruction, "N TARGET"
 *	writable DIR        every file below DIR (one mount, no pid directories) that opens for writing
 *	raise               tries to gain: keepcaps, ambient, bounding; prints what is left
 *	handle              Shocker: open_by_handle_at on inode 2 of /
 *	abstract NAME       connects to an abstract unix socket: "0" or an errno
 *	inotify             takes inotify instances until refused, says how many, then waits
 *	nsparent            NS_GET_PARENT and NS_GET_USERNS of every namespace: errnos
 *	mknod               makes device nodes and tries to open them
 *	seccomp             the Seccomp mode before anything else is done
 *	passfd SOCKET       sends an O_PATH descriptor of / over a unix socket
 *	fetchfd SOCKET      receives one, opens "etc/hostname" and "../../etc/shadow" below it
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static int do_fds(char **args)
{
	(void)args;
	for (int fd = 0; fd < 4096; fd++) {
		char link[64], target[512];
		ssize_t n;

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = 0;
		printf("%d %s\n", fd, target);
	}
	return 0;
}

static void walk(int dirfd, const char *path, dev_t dev, int depth)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *de;

	if (!d)
		return;
	while ((de = readdir(d))) {
		char sub[1024];
		struct stat st;
		int fd;

		if (de->d_name[0] == '.' || (depth == 0 && strspn(de->d_name, "0123456789")) ||
			!strcmp(de->d_name, "self") || !strcmp(de->d_name, "thread-self"))
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name);
		if (fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (S_ISDIR(st.st_mode)) {
			fd = openat(dirfd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
			if (fd >= 0)
				walk(fd, sub, dev, depth + 1);
		} else if (S_ISREG(st.st_mode)) {
			fd = openat(dirfd, de->d_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
			if (fd >= 0) {
				puts(sub);
				close(fd);
			}
		}
	}
	closedir(d);
}

static int do_writable(char **args)
{
	struct stat st;
	int fd = open(args[0], O_RDONLY | O_DIRECTORY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	walk(fd, args[0], st.st_dev, 0);
	return 0;
}

static int do_raise(char **args)
{
	char line[256];
	FILE *f;

	(void)args;
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
	for (int cap = 0; cap < 64; cap++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Cap", 3) || !strncmp(line, "NoNewPrivs", 10))
			fputs(line, stdout);
	return 0;
}

static int do_handle(char **args)
{
	struct {
		struct file_handle h;
		unsigned char data[8];
	} fh = {.h = {.handle_bytes = 8, .handle_type = 1}, .data = {2}};
	int at = open("/", O_RDONLY), fd;

	(void)args;
	fd = open_by_handle_at(at, &fh.h, O_RDONLY);
	printf("%d\n", fd < 0 ? errno : 0);
	return 0;
}

static int do_abstract(char **args)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t n = strlen(args[0]);

	memcpy(sa.sun_path + 1, args[0], n);
	n += offsetof(struct sockaddr_un, sun_path) + 1;
	printf("%d\n", connect(fd, (void *)&sa, (socklen_t)n) < 0 ? errno : 0);
	return 0;
}

static int do_inotify(char **args)
{
	int n = 0;

	(void)args;
	while (n < 900 && inotify_init1(IN_CLOEXEC) >= 0)
		n++;
	printf("took %d\n", n);
	fflush(stdout);
	pause();
	return 0;
}

static int do_nsparent(char **args)
{
	static const char *const kinds[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};

	(void)args;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char path[64];
		int fd, r;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		fd = open(path, O_RDONLY);
		r = ioctl(fd, i < 2 ? NS_GET_PARENT : NS_GET_USERNS);
		printf("%s %d\n", kinds[i], r < 0 ? errno : 0);
		/* From the owning namespace, one further up must not be had. */
		if (r >= 0) {
			int up = ioctl(r, NS_GET_PARENT);

			printf("%s-above %d\n", kinds[i], up < 0 ? errno : 0);
		}
	}
	return 0;
}

static int do_mknod(char **args)
{
	static const struct {
		const char *name;
		mode_t type;
		unsigned int major, minor;
	} nodes[] = {
		{"tun", S_IFCHR, 10, 200}, {"mem", S_IFCHR, 1, 1},	{"kmsg", S_IFCHR, 1, 11},
		{"sda", S_IFBLK, 8, 0},	   {"vda", S_IFBLK, 254, 0},	{"kvm", S_IFCHR, 10, 232},
		{"fuse", S_IFCHR, 10, 229}, {"null", S_IFCHR, 1, 3},
	};

	(void)args;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char path[64];
		int r, fd;

		snprintf(path, sizeof(path), "/tmp/node-%s", nodes[i].name);
		r = mknod(path, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor));
		printf("mknod-%s %d\n", nodes[i].name, r < 0 ? errno : 0);
		if (r < 0)
			continue;
		fd = open(path, O_RDWR | O_NONBLOCK);
		printf("open-%s %d\n", nodes[i].name, fd < 0 ? errno : 0);
		unlink(path);
	}
	return 0;
}

static int do_seccomp(char **args)
{
	(void)args;
	printf("%d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	return 0;
}

static int unix_socket(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	strncpy(sa->sun_path, path, sizeof(sa->sun_path) - 1);
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int do_passfd(char **args)
{
	struct sockaddr_un sa;
	int s = unix_socket(args[0], &sa), fd = open("/", O_PATH | O_DIRECTORY), c;
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	unlink(args[0]);
	if (bind(s, (void *)&sa, sizeof(sa)) < 0 || chmod(args[0], 0777) < 0 || listen(s, 1) < 0)
		return 1;
	c = accept(s, NULL, NULL);
	*h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	return sendmsg(c, &m, 0) < 0;
}

static int do_fetchfd(char **args)
{
	struct sockaddr_un sa;
	int s = unix_socket(args[0], &sa), fd = -1;
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control)};

	if (connect(s, (void *)&sa, sizeof(sa)) < 0 || recvmsg(s, &m, 0) < 0 || !CMSG_FIRSTHDR(&m)) {
		printf("none %d\n", errno);
		return 1;
	}
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	printf("inside %d\n", openat(fd, "t/marker", O_RDONLY) < 0 ? errno : 0);
	printf("above %d\n", openat(fd, "../../../../host-marker", O_RDONLY) < 0 ? errno : 0);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int n_args;
		int (*run)(char **args);
	} modes[] = {
		{"fds", 0, do_fds},	      {"writable", 1, do_writable}, {"raise", 0, do_raise},
		{"handle", 0, do_handle},     {"abstract", 1, do_abstract}, {"inotify", 0, do_inotify},
		{"nsparent", 0, do_nsparent}, {"mknod", 0, do_mknod},	    {"seccomp", 0, do_seccomp},
		{"passfd", 1, do_passfd},     {"fetchfd", 1, do_fetchfd},
	};

	for (size_t i = 0; argc >= 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name) && argc - 2 == modes[i].n_args)
			return modes[i].run(argv + 2);
	fprintf(stderr, "usage: %s MODE [ARG]\n", argv[0]);
	return 2;
}
