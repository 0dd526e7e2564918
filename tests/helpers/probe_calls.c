/*
 * Tries what the default filter must refuse, with arguments that can do no harm where it does
 * not.  One line per attempt: "NAME ERRNO", 0 for success.
 *	probe_calls refused|unknown|sockets|ioctls|clones|compat|stack
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BAD ((long)-1)

static const struct {
	const char *name;
	long nr, a[6];
} refused[] = {
	{"add_key", SYS_add_key, {BAD, BAD, BAD, BAD, BAD}},
	{"request_key", SYS_request_key, {BAD, BAD, BAD, BAD}},
	{"keyctl", SYS_keyctl, {BAD}},
	{"bpf", SYS_bpf, {BAD, 0, 0}},
	{"perf_event_open", SYS_perf_event_open, {0, 0, BAD, BAD, 0}},
	{"io_uring_setup", SYS_io_uring_setup, {1, 0}},
	{"io_uring_enter", SYS_io_uring_enter, {BAD}},
	{"io_uring_register", SYS_io_uring_register, {BAD, BAD}},
	{"userfaultfd", SYS_userfaultfd, {BAD}},
	{"ptrace", SYS_ptrace, {BAD, BAD}},
	{"process_vm_readv", SYS_process_vm_readv, {BAD, 0, 0, 0, 0, BAD}},
	{"process_vm_writev", SYS_process_vm_writev, {BAD, 0, 0, 0, 0, BAD}},
	{"kcmp", SYS_kcmp, {BAD, BAD, BAD}},
	{"mount", SYS_mount, {0, BAD, 0, 0, 0}},
	{"umount2", SYS_umount2, {BAD, BAD}},
	{"pivot_root", SYS_pivot_root, {BAD, BAD}},
	{"swapon", SYS_swapon, {BAD, 0}},
	{"swapoff", SYS_swapoff, {BAD}},
	{"reboot", SYS_reboot, {0, 0, 0}},
	{"kexec_load", SYS_kexec_load, {0, BAD, 0, BAD}},
	{"kexec_file_load", SYS_kexec_file_load, {BAD, BAD, 0, 0, BAD}},
	{"init_module", SYS_init_module, {0, 0, BAD}},
	{"finit_module", SYS_finit_module, {BAD, BAD, BAD}},
	{"delete_module", SYS_delete_module, {BAD, 0}},
	{"setns", SYS_setns, {BAD, 0}},
	{"unshare-user", SYS_unshare, {CLONE_NEWUSER | CLONE_SIGHAND}},
	{"unshare-mount", SYS_unshare, {CLONE_NEWNS | (1 << 30)}},
	{"open_by_handle_at", SYS_open_by_handle_at, {BAD, BAD, 0}},
	{"name_to_handle_at", SYS_name_to_handle_at, {BAD, BAD, BAD, BAD, 0}},
	{"fanotify_init", SYS_fanotify_init, {BAD, 0}},
	{"fanotify_mark", SYS_fanotify_mark, {BAD, 0, 0, BAD, 0}},
	{"quotactl", SYS_quotactl, {BAD, BAD, 0, 0}},
	{"acct", SYS_acct, {BAD}},
	{"syslog", SYS_syslog, {99, 0, 0}},
	{"settimeofday", SYS_settimeofday, {BAD, 0}},
	{"clock_settime", SYS_clock_settime, {0, BAD}},
	{"adjtimex", SYS_adjtimex, {BAD}},
	{"clock_adjtime", SYS_clock_adjtime, {0, BAD}},
	{"iopl", SYS_iopl, {99}},
	{"ioperm", SYS_ioperm, {0, 0x7fffffff, 1}},
	{"modify_ldt", SYS_modify_ldt, {BAD, 0, 0}},
	{"lookup_dcookie", SYS_lookup_dcookie, {0, 0, 0}},
	{"move_pages", SYS_move_pages, {BAD, 0, 0, 0, 0, BAD}},
	{"migrate_pages", SYS_migrate_pages, {BAD, 0, 0, 0}},
	{"mbind", SYS_mbind, {0, 0, BAD, 0, 0, BAD}},
	{"set_mempolicy", SYS_set_mempolicy, {BAD, 0, 0}},
	{"fsopen", SYS_fsopen, {BAD, BAD}},
	{"fsconfig", SYS_fsconfig, {BAD, BAD}},
	{"fsmount", SYS_fsmount, {BAD, BAD}},
	{"fspick", SYS_fspick, {BAD, BAD, BAD}},
	{"open_tree", SYS_open_tree, {BAD, BAD, BAD}},
	{"move_mount", SYS_move_mount, {BAD, BAD, BAD, BAD, BAD}},
	{"mount_setattr", SYS_mount_setattr, {BAD, BAD, BAD, BAD, BAD}},
	{"personality", SYS_personality, {READ_IMPLIES_EXEC}},
	{"vmsplice", SYS_vmsplice, {BAD, 0, 0, BAD}},
	{"remap_file_pages", SYS_remap_file_pages, {1, 1, 1, 1, 1}},
	{"memfd_secret", 447, {BAD}},
	{"mq_open", SYS_mq_open, {BAD, 0, 0, 0}},
	{"io_setup", SYS_io_setup, {0, BAD}},
	{"pidfd_getfd", SYS_pidfd_getfd, {BAD, BAD, BAD}},
	{"process_madvise", SYS_process_madvise, {BAD, 0, 0, 0, BAD}},
	{"sethostname", SYS_sethostname, {BAD, BAD}},
	{"setdomainname", SYS_setdomainname, {BAD, BAD}},
	{"quotactl_fd", 443, {BAD, BAD, 0, 0}},
	{"clone3", SYS_clone3, {0, 0}},
};

static void say(const char *name, long r)
{
	printf("%s %d\n", name, r < 0 ? errno : 0);
	fflush(stdout);
}

static void try_refused(void)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const long *a = refused[i].a;

		/* Each in a child: a filter may kill, and personality must not stick. */
		pid_t pid = fork();
		if (pid == 0) {
			say(refused[i].name, syscall(refused[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]));
			_exit(0);
		}
		int status = 0;
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			printf("%s killed\n", refused[i].name);
		fflush(stdout);
	}
}

static void try_unknown(void)
{
	for (long nr = 470; nr < 1000; nr += 53) {
		char name[32];

		snprintf(name, sizeof(name), "nr-%ld", nr);
		say(name, syscall(nr, BAD, BAD, BAD, BAD, BAD, BAD));
	}
}

static void try_sockets(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} s[] = {
		{"ok-unix", AF_UNIX, SOCK_STREAM, 0},
		{"ok-inet", AF_INET, SOCK_STREAM, 0},
		{"ok-inet6", AF_INET6, SOCK_DGRAM, 0},
		{"ok-route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
		{"packet", AF_PACKET, SOCK_RAW, 0},
		{"raw", AF_INET, SOCK_RAW, 1},
		{"alg", AF_ALG, SOCK_SEQPACKET, 0},
		{"vsock", AF_VSOCK, SOCK_STREAM, 0},
		{"key", AF_KEY, SOCK_RAW, 2},
		{"rxrpc", AF_RXRPC, SOCK_DGRAM, AF_INET},
		{"tipc", AF_TIPC, SOCK_RDM, 0},
		{"xdp", 44, SOCK_RAW, 0},
		{"netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
		{"xfrm", AF_NETLINK, SOCK_RAW, NETLINK_XFRM},
		{"audit", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT},
		{"uevent", AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT},
		{"generic", AF_NETLINK, SOCK_RAW, NETLINK_GENERIC},
		{"can", AF_CAN, SOCK_RAW, 1},
		{"bluetooth", AF_BLUETOOTH, SOCK_RAW, 1},
	};

	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		int fd = socket(s[i].family, s[i].type, s[i].protocol);

		say(s[i].name, fd);
		if (fd >= 0)
			close(fd);
	}
}

static void try_ioctls(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	char c = 'x';

	if (master < 0)
		master = 0;
	say("TIOCSTI", syscall(SYS_ioctl, master, (long)TIOCSTI, &c));
	/* The kernel looks at the low 32 bits only; a filter that compares 64 lets this through. */
	say("TIOCSTI-high", syscall(SYS_ioctl, master, (long)TIOCSTI | (1L << 32), &c));
	say("TIOCLINUX", syscall(SYS_ioctl, master, (long)TIOCLINUX, &c));
	say("TIOCLINUX-high", syscall(SYS_ioctl, master, (long)TIOCLINUX | (7L << 33), &c));
	say("TIOCSETD", syscall(SYS_ioctl, master, (long)TIOCSETD, (void *)BAD));
	say("TIOCCONS", syscall(SYS_ioctl, master, (long)TIOCCONS, 0));
}

static void try_clones(void)
{
	static const struct {
		const char *name;
		unsigned long flags;
	} c[] = {
		{"newuser", CLONE_NEWUSER},
		{"newns", CLONE_NEWNS},
		{"newpid", CLONE_NEWPID},
		{"newnet", CLONE_NEWNET},
		{"newipc", CLONE_NEWIPC},
		{"newuts", CLONE_NEWUTS},
		{"newcgroup", CLONE_NEWCGROUP},
		{"ok-plain", 0},
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		long pid = syscall(SYS_clone, c[i].flags | SIGCHLD, 0, 0, 0, 0);

		if (pid == 0)
			_exit(0);
		say(c[i].name, pid);
		if (pid > 0)
			waitpid((pid_t)pid, NULL, 0);
	}
}

#if defined(__x86_64__)
/* The same kernel by its older doors: getpid by int 0x80 (20) and by the x32 table. */
static void try_compat(void)
{
	for (int which = 0; which < 2; which++) {
		pid_t pid = fork();

		if (pid == 0) {
			long r = 20;

			if (which == 0)
				__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
			else
				r = syscall(SYS_getpid | 0x40000000L);
			_exit(r > 0 ? 0 : 77);
		}
		int status = 0;
		waitpid(pid, &status, 0);
		printf("%s %s%d\n", which ? "x32" : "int80", WIFSIGNALED(status) ? "signal-" : "exit-",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		fflush(stdout);
	}
}
#else
static void try_compat(void)
{
	puts("int80 signal-31\nx32 signal-31");
}
#endif

/* A filter of the program's own that allows everything: later calls must stay refused. */
static void try_stack(void)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {1, all};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	say("ok-add-filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
	say("mount-after", syscall(SYS_mount, 0, BAD, 0, 0, 0));
	say("bpf-after", syscall(SYS_bpf, BAD, 0, 0));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{"refused", try_refused}, {"unknown", try_unknown}, {"sockets", try_sockets},
		{"ioctls", try_ioctls},	  {"clones", try_clones},   {"compat", try_compat},
		{"stack", try_stack},
	};

	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name)) {
			modes[i].run();
			return 0;
		}
	fprintf(stderr, "usage: %s MODE\n", argv[0]);
	return 2;
}
