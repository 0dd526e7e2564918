#include "vm/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"

/* The sanitizers' own calls are not ours to list: builds with them log instead of killing. */
#if defined(__SANITIZE_ADDRESS__)
#define DEFAULT_ACTION SCMP_ACT_LOG
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DEFAULT_ACTION SCMP_ACT_LOG
#endif
#endif
#ifndef DEFAULT_ACTION
#define DEFAULT_ACTION SCMP_ACT_KILL_PROCESS
#endif

enum { NOBODY = 65534, FILTER_BYTES_MAX = 64 << 10 };
enum { CPU = 1 << VM_THREAD_CPU, LOOP = 1 << VM_THREAD_LOOP, UNPACK = 1 << VM_THREAD_UNPACK };
enum { ALL = CPU | LOOP | UNPACK };

/*
 * No new pid namespace: it would hold for children only, of which there will be none, and a
 * process that asked for one can start no threads.
 */
enum { NAMESPACES = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP };

/* What each kind of thread may call; an argument is compared as mask and value. */
static const struct {
	int nr;
	unsigned int threads;
	int arg; /* -1: any */
	uint64_t mask, value;
} allowed[] = {
	/* memory: never executable */
	{SCMP_SYS(brk), ALL, -1, 0, 0},
	{SCMP_SYS(mmap), ALL, 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), ALL, 2, PROT_EXEC, 0},
	{SCMP_SYS(mremap), ALL, -1, 0, 0},
	{SCMP_SYS(munmap), ALL, -1, 0, 0},
	{SCMP_SYS(madvise), ALL, -1, 0, 0},
	/* threads and signals; the only target of a signal is this process */
	{SCMP_SYS(futex), ALL, -1, 0, 0},
	{SCMP_SYS(rt_sigreturn), ALL, -1, 0, 0},
	{SCMP_SYS(rt_sigprocmask), ALL, -1, 0, 0},
	{SCMP_SYS(gettid), ALL, -1, 0, 0},
	{SCMP_SYS(getpid), ALL, -1, 0, 0},
	{SCMP_SYS(sched_yield), ALL, -1, 0, 0},
	{SCMP_SYS(restart_syscall), ALL, -1, 0, 0},
	{SCMP_SYS(clock_gettime), ALL, -1, 0, 0},
	{SCMP_SYS(exit), ALL, -1, 0, 0},
	{SCMP_SYS(exit_group), ALL, -1, 0, 0},
	{SCMP_SYS(prctl), ALL, 0, ~0ull, PR_SET_SECCOMP}, /* a thread's own filter, later */
	/* what is open */
	{SCMP_SYS(read), ALL, -1, 0, 0},
	{SCMP_SYS(write), ALL, -1, 0, 0},
	{SCMP_SYS(close), ALL, -1, 0, 0},
	{SCMP_SYS(newfstatat), ALL, 3, ~0ull, 0x1000}, /* AT_EMPTY_PATH: stdio looks at its own */
	{SCMP_SYS(fstat), ALL, -1, 0, 0},
	{SCMP_SYS(lseek), ALL, -1, 0, 0},
	{SCMP_SYS(poll), CPU | LOOP, -1, 0, 0},
	{SCMP_SYS(ioctl), CPU, 1, ~0ull, KVM_RUN},
	{SCMP_SYS(ioctl), CPU, 1, ~0ull, KVM_GET_REGS},
	{SCMP_SYS(readv), LOOP, -1, 0, 0},
	{SCMP_SYS(writev), LOOP, -1, 0, 0},
	{SCMP_SYS(preadv), LOOP, -1, 0, 0},
	{SCMP_SYS(pwritev), LOOP, -1, 0, 0},
	{SCMP_SYS(fdatasync), LOOP, -1, 0, 0},
	{SCMP_SYS(fallocate), LOOP, -1, 0, 0},
	{SCMP_SYS(ioctl), LOOP, 1, ~0ull, BLKDISCARD},
	{SCMP_SYS(ioctl), LOOP, 1, ~0ull, BLKZEROOUT},
	{SCMP_SYS(ioctl), CPU, 1, ~0ull, TUNSETOFFLOAD}, /* when a driver starts */
	{SCMP_SYS(epoll_wait), LOOP, -1, 0, 0},
	{SCMP_SYS(epoll_pwait), LOOP, -1, 0, 0},
	{SCMP_SYS(epoll_ctl), CPU | LOOP, -1, 0, 0}, /* a driver resets its device */
	{SCMP_SYS(getrandom), LOOP, -1, 0, 0},
	/* sockets: those that come in, and pairs; none that could go out */
	{SCMP_SYS(accept4), LOOP, -1, 0, 0},
	{SCMP_SYS(socketpair), LOOP, 0, ~0ull, AF_UNIX},
	{SCMP_SYS(sendmsg), LOOP, -1, 0, 0},
	{SCMP_SYS(sendto), LOOP, 4, ~0ull, 0}, /* no address */
	{SCMP_SYS(recvfrom), LOOP, -1, 0, 0},
	{SCMP_SYS(recvmsg), LOOP, -1, 0, 0},
	{SCMP_SYS(shutdown), LOOP, -1, 0, 0},
	{SCMP_SYS(fcntl), LOOP, -1, 0, 0},
	/* QEMU, when it is the engine: the only child there is */
	{SCMP_SYS(waitid), LOOP, -1, 0, 0},
	{SCMP_SYS(pidfd_send_signal), LOOP, 1, ~0ull, SIGKILL},
};

static int add_rules(scmp_filter_ctx ctx, enum vm_thread kind)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(allowed); i++) {
		if (!(allowed[i].threads & 1u << kind))
			continue;
		if (allowed[i].arg < 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i].nr, 0);
		else
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i].nr, 1,
				SCMP_CMP((unsigned int)allowed[i].arg, SCMP_CMP_MASKED_EQ,
					allowed[i].mask, allowed[i].value));
	}
	/* The loop's thread wakes the processors' threads; they are of this process. */
	if (!r && kind == VM_THREAD_LOOP)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
			SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	return r;
}

int vm_filter_build(enum vm_thread kind, struct vm_filter *ret, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(DEFAULT_ACTION);
	AUTO_FD int fd = memfd_create("filter", MFD_CLOEXEC);
	AUTO_BUF struct buf program = {0};
	int r = ctx ? add_rules(ctx, kind) : -ENOMEM;

	if (!r && fd >= 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r < 0 || fd < 0)
		return err_set(
			e, r < 0 ? -r : EMFILE, "cannot compile the monitor's system call filter");
	lseek(fd, 0, SEEK_SET);
	if (file_read_fd(fd, "filter", FILTER_BYTES_MAX, &program, e) < 0)
		return -e->code;
	ret->n = program.n / sizeof(struct sock_filter);
	ret->insns = mem_dup(program.p, program.n);
	return 0;
}

int vm_filter_apply(const struct vm_filter *f, struct err *e)
{
	struct sock_fprog prog = {.len = (unsigned short)f->n, .filter = f->insns};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		return err_sys(e, "cannot confine the monitor: cannot set its system call filter");
	return 0;
}

void vm_filter_release(struct vm_filter *f)
{
	free(f->insns);
	f->insns = NULL;
}

static int own_namespaces(struct err *e)
{
	/* As root the others can be had without a user namespace, and some hosts allow none. */
	int flags = NAMESPACES | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

	if (unshare(flags) == 0)
		return 0;
	err_sys(e, "cannot confine the monitor: cannot make namespaces");
	return geteuid() == 0 ? -e->code
			      : err_hint(e, "allow user namespaces (sysctl "
					    "user.max_user_namespaces), or run it as root");
}

/* An empty tmpfs becomes the root.  It is mounted on /dev, which is where /dev/kvm was found. */
static int empty_root(struct err *e)
{
	static const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "cannot confine the monitor: cannot make its mounts private");
	if (mount("empty", "/dev", "tmpfs", flags, "mode=0555,size=4k,nr_inodes=1") < 0 ||
		chdir("/dev") < 0)
		return err_sys(e, "cannot confine the monitor: cannot make an empty root");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, "cannot confine the monitor: cannot leave the old root");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return err_sys(e, "cannot confine the monitor: cannot make its root read-only");
	return 0;
}

/* Files of root's are open already; what is left of root itself is of no use here. */
static int become_nobody(struct err *e)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return err_sys(e, "cannot confine the monitor: cannot stop being root");
	return 0;
}

/* While there is the privilege to do it: nothing executed could gain any of them again. */
static int empty_bounding_set(struct err *e)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return err_sys(
				e, "cannot confine the monitor: cannot drop capability %d", cap);
	return 0;
}

static int drop_capabilities(struct err *e)
{
	cap_t none = cap_init();
	int r = none ? cap_set_proc(none) : -1;

	cap_free(none);
	if (r < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, "cannot confine the monitor: cannot give capabilities up");
	return 0;
}

int vm_confine(struct err *e)
{
	if (own_namespaces(e) < 0 || empty_root(e) < 0 || empty_bounding_set(e) < 0 ||
		become_nobody(e) < 0 || drop_capabilities(e) < 0)
		return -e->code;
	/* No core file, no debugger: the guest's memory is mapped here. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "cannot confine the monitor: cannot set no_new_privs");
	return 0;
}
