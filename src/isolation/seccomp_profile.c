/*
 * Our default seccomp profile: an allow-list, smaller than those of other engines, with which
 * web servers, databases, package managers, compilers and the usual languages run.
 *
 * Unknown calls get ENOSYS, so that a libc that probes for a new call falls back.  Calls that
 * are known and refused get EPERM, because ENOSYS would say that the kernel lacks them.  Four
 * calls depend on their arguments.  clone3 hides its flags in memory where no filter can
 * look: ENOSYS makes libc use clone.  Entries by another architecture's door (int 0x80, x32)
 * are killed: a second table of calls is a second set of bugs, and no image needs it.
 *
 * What is refused can be given back, each under a word that says what it risks.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "isolation/isolation.h"
#include "isolation/seccomp.h"

static const char allowed_calls[] =
	"accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir "
	"chmod chown chroot clock_getres clock_gettime clock_nanosleep close close_range "
	"connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 "
	"epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat "
	"exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat "
	"fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork "
	"fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue "
	"futex_wait futex_waitv futex_wake futimesat get_robust_list getcpu getcwd "
	"getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername "
	"getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid "
	"getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid "
	"getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
	"ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset "
	"landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr "
	"lremovexattr lseek lsetxattr lstat madvise membarrier memfd_create mincore "
	"mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mremap mseal "
	"msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep "
	"newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 "
	"pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 "
	"prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat "
	"readv recvfrom recvmmsg recvmsg removexattr rename renameat renameat2 "
	"restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask "
	"rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo "
	"sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr "
	"sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity "
	"sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select "
	"semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list "
	"set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid "
	"setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt "
	"setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd "
	"signalfd4 splice stat statfs statx symlink symlinkat sync sync_file_range "
	"syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun "
	"timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime "
	"times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork "
	"wait4 waitid write writev";

static const char refused_calls[] =
	"_sysctl acct add_key adjtimex afs_syscall bpf clock_adjtime clock_settime "
	"create_module delete_module fanotify_init fanotify_mark finit_module fsconfig "
	"fsmount fsopen fspick get_kernel_syms get_mempolicy get_thread_area getpmsg "
	"init_module io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit "
	"io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp "
	"kexec_file_load kexec_load keyctl lookup_dcookie map_shadow_stack mbind "
	"memfd_secret migrate_pages modify_ldt mount mount_setattr move_mount move_pages "
	"mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink "
	"name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open "
	"pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv "
	"process_vm_writev ptrace putpmsg query_module quotactl quotactl_fd reboot "
	"remap_file_pages request_key security set_mempolicy set_mempolicy_home_node "
	"set_thread_area setdomainname sethostname setns settimeofday stime swapoff "
	"swapon sysfs syslog tuxcall umount umount2 unshare uselib userfaultfd ustat "
	"vhangup vmsplice vserver";

#if defined(__x86_64__)
static const char native_arch[] = "SCMP_ARCH_X86_64";
static const char *const compat_arches[] = {"SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
static const char native_arch[] = "SCMP_ARCH_AARCH64";
static const char *const compat_arches[] = {"SCMP_ARCH_ARM"};
#elif defined(__riscv) && __riscv_xlen == 64
static const char native_arch[] = "SCMP_ARCH_RISCV64";
static const char *const compat_arches[] = {NULL};
#else
#error "name this architecture as libseccomp does, and those that its kernel also runs"
#endif

/* The new-namespace flags that clone(2) takes; CLONE_NEWTIME shares its bit with the signal. */
static const uint64_t namespace_flags[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
	CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

/*
 * Terminal requests that act on others: typing into the terminal of the caller, pasting,
 * changing the line discipline (a large and old attack surface), taking the console.
 */
static const uint32_t refused_ioctls[] = {TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD};

static struct spec_seccomp_rule *rule_new(struct spec_seccomp *p, int action)
{
	size_t cap = p->n_syscalls;
	struct spec_seccomp_rule *r;

	p->syscalls = mem_grow(p->syscalls, &cap, p->n_syscalls + 1, sizeof(*p->syscalls));
	r = &p->syscalls[p->n_syscalls++];
	*r = (struct spec_seccomp_rule){.action = action};
	if (action == SPEC_ACT_ERRNO) {
		r->errno_ret = EPERM;
		r->has_errno_ret = true;
	}
	return r;
}

static struct spec_seccomp_rule *rule_of(struct spec_seccomp *p, int action, const char *call)
{
	struct spec_seccomp_rule *r = rule_new(p, action);

	strv_add(&r->names, call);
	return r;
}

/* Of several conditions on one argument, any one suffices. */
static void rule_arg(
	struct spec_seccomp_rule *r, uint32_t index, int op, uint64_t value, uint64_t two)
{
	size_t cap = r->n_args;

	r->args = mem_grow(r->args, &cap, r->n_args + 1, sizeof(*r->args));
	r->args[r->n_args++] = (struct spec_seccomp_arg){
		.index = index, .op = op, .value = value, .value_two = two};
}

static void rule_names(struct spec_seccomp_rule *r, const char *words)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (n)
			strv_take(&r->names, str_dup_n(words, n));
		words += n + (words[n] == ' ');
	}
}

/*
 * The kernel looks at the low 32 bits of these arguments only, and so must the filter, or a
 * set bit in the high half passes.
 */
static void rule_is_u32(struct spec_seccomp_rule *r, uint32_t index, uint32_t value)
{
	rule_arg(r, index, SPEC_CMP_MASKED_EQ, 0xffffffff, value);
}

/* Takes a call out of every rule; a rule without names is removed. */
static void forget_call(struct spec_seccomp *p, const char *call, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_syscalls; i++) {
		struct spec_seccomp_rule r = p->syscalls[i];
		struct strv names = {0};

		for (size_t k = 0; k < r.names.n; k++)
			if (strncmp(r.names.v[k], call, len) || r.names.v[k][len])
				strv_add(&names, r.names.v[k]);
		strv_release(&r.names);
		r.names = names;
		if (names.n)
			p->syscalls[kept++] = r;
		else
			free(r.args);
	}
	p->n_syscalls = kept;
}

static bool any_has_prefix(const uint32_t *v, size_t n, uint32_t mask, uint32_t prefix)
{
	for (size_t i = 0; i < n; i++)
		if ((v[i] & mask) == prefix)
			return true;
	return false;
}

/*
 * "None of these values" as alternatives that never overlap: filters have no masked
 * inequality, and what happens where rules overlap is not defined.  The numbers that agree
 * with the values above the lowest n_bits bits are split by leading bits until a half holds
 * none of the values; each such half is one condition, at most n_bits for each value.
 */
static void rule_is_none_of(struct spec_seccomp_rule *r, uint32_t index, const uint32_t *v,
	size_t n, unsigned int n_bits)
{
	for (unsigned int bit = n_bits; bit-- > 0;) {
		uint32_t mask = ~(((uint32_t)1 << bit) - 1);

		for (size_t i = 0; i < n; i++) {
			uint32_t other = (v[i] & mask) ^ (uint32_t)1 << bit;

			/* Each half once, by the first value that is its sibling. */
			if (!any_has_prefix(v, n, mask, other) &&
				!any_has_prefix(v, i, mask, v[i] & mask))
				rule_arg(r, index, SPEC_CMP_MASKED_EQ, mask, other);
		}
	}
}

static void add_clone(struct spec_seccomp *p)
{
	struct spec_seccomp_rule *r;
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(namespace_flags); i++)
		all |= namespace_flags[i];
	r = rule_of(p, SPEC_ACT_ALLOW, "clone");
	rule_arg(r, 0, SPEC_CMP_MASKED_EQ, all, 0);
	r = rule_of(p, SPEC_ACT_ERRNO, "clone");
	for (size_t i = 0; i < ARRAY_SIZE(namespace_flags); i++)
		rule_arg(r, 0, SPEC_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]);
	rule_of(p, SPEC_ACT_ERRNO, "clone3")->errno_ret = ENOSYS;
}

static void add_ioctl(struct spec_seccomp *p, const uint32_t *refused, size_t n)
{
	struct spec_seccomp_rule *r = rule_of(p, SPEC_ACT_ALLOW, "ioctl");

	rule_is_none_of(r, 1, refused, n, 32);
	r = rule_of(p, SPEC_ACT_ERRNO, "ioctl");
	for (size_t i = 0; i < n; i++)
		rule_is_u32(r, 1, refused[i]);
}

/*
 * What is allowed is exact.  What is refused with EPERM are the numbers that mean something;
 * the rest gets the default, and the program stays short.
 */
enum { FAMILY_BITS = 8, PROTOCOL_BITS = 8, PERSONALITY_BITS = 31 };

static void add_netlink(struct spec_seccomp *p)
{
	static const uint32_t route[] = {NETLINK_ROUTE};
	struct spec_seccomp_rule none = {0}, *r = rule_of(p, SPEC_ACT_ALLOW, "socket");

	rule_is_u32(r, 0, AF_NETLINK);
	rule_is_u32(r, 2, NETLINK_ROUTE);
	/* Conditions on two arguments hold together, so each alternative is a rule. */
	rule_is_none_of(&none, 2, route, ARRAY_SIZE(route), PROTOCOL_BITS);
	for (size_t i = 0; i < none.n_args; i++) {
		r = rule_of(p, SPEC_ACT_ERRNO, "socket");
		rule_is_u32(r, 0, AF_NETLINK);
		rule_arg(r, 2, none.args[i].op, none.args[i].value, none.args[i].value_two);
	}
	free(none.args);
}

static void add_sockets(struct spec_seccomp *p)
{
	static const uint32_t judged[] = {AF_NETLINK, AF_UNIX, AF_INET, AF_INET6};
	struct spec_seccomp_rule *r = rule_of(p, SPEC_ACT_ALLOW, "socket");

	for (size_t i = 1; i < ARRAY_SIZE(judged); i++)
		rule_is_u32(r, 0, judged[i]);
	r = rule_of(p, SPEC_ACT_ERRNO, "socket");
	rule_is_none_of(r, 0, judged, ARRAY_SIZE(judged), FAMILY_BITS);
	add_netlink(p);
	/* Other families make pairs too (AF_TIPC), and load their module for it. */
	r = rule_of(p, SPEC_ACT_ALLOW, "socketpair");
	rule_is_u32(r, 0, AF_UNIX);
	r = rule_of(p, SPEC_ACT_ERRNO, "socketpair");
	rule_is_none_of(r, 0, &judged[1], 1, FAMILY_BITS);
}

/* Others turn address randomisation off, or make all that is readable executable. */
static void add_personality(struct spec_seccomp *p)
{
	static const uint32_t plain = 0, query = 0xffffffff;
	struct spec_seccomp_rule *r = rule_of(p, SPEC_ACT_ALLOW, "personality");

	rule_is_u32(r, 0, plain);
	rule_is_u32(r, 0, query);
	r = rule_of(p, SPEC_ACT_ERRNO, "personality");
	rule_is_none_of(r, 0, &plain, 1, PERSONALITY_BITS);
}

void iso_seccomp_default(struct spec_seccomp *ret)
{
	*ret = (struct spec_seccomp){
		.default_action = SPEC_ACT_ERRNO,
		.default_errno_ret = ENOSYS,
		.has_default_errno_ret = true,
	};
	strv_add(&ret->architectures, native_arch);
	rule_names(rule_new(ret, SPEC_ACT_ALLOW), allowed_calls);
	rule_names(rule_new(ret, SPEC_ACT_ERRNO), refused_calls);
	add_clone(ret);
	add_ioctl(ret, refused_ioctls, ARRAY_SIZE(refused_ioctls));
	add_sockets(ret);
	add_personality(ret);
}

static void widen_tiocsti(struct spec_seccomp *p)
{
	uint32_t still[ARRAY_SIZE(refused_ioctls)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(refused_ioctls); i++)
		if (refused_ioctls[i] != TIOCSTI)
			still[n++] = refused_ioctls[i];
	forget_call(p, "ioctl", strlen("ioctl"));
	add_ioctl(p, still, n);
}

static void widen_compat(struct spec_seccomp *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(compat_arches); i++)
		if (compat_arches[i] && !strv_has(&p->architectures, compat_arches[i]))
			strv_add(&p->architectures, compat_arches[i]);
}

const struct iso_seccomp_word iso_seccomp_words[] = {
	{"debug", "ptrace, process_vm_readv and process_vm_writev, kcmp, pidfd_getfd: gdb, strace",
		"a process can hold one that joins the jail, and read what it brought along",
		"ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd", NULL},
	{"personality", "any personality: gdb and setarch turn address randomisation off",
		"exploits inside the jail get easier", "personality", NULL},
	{"userns", "unshare, setns, and clone with new namespaces: sandboxes inside the jail",
		"the kernel's network and filesystem code for namespace roots, a rich source of "
		"bugs",
		"unshare setns clone", NULL},
	{"mount", "mount and its newer forms, umount, pivot_root",
		"with CAP_SYS_ADMIN the jail's own masks and read-only mounts can be worked around",
		"mount umount umount2 pivot_root fsopen fsconfig fsmount fspick open_tree "
		"move_mount "
		"mount_setattr open_tree_attr statmount listmount",
		NULL},
	{"io_uring", "io_uring_setup, io_uring_enter, io_uring_register",
		"its operations pass by this filter, and it has had many kernel bugs",
		"io_uring_setup io_uring_enter io_uring_register", NULL},
	{"bpf", "bpf", "the kernel's verifier is attacked directly", "bpf", NULL},
	{"perf", "perf_event_open", "timing of others can be observed; a history of kernel bugs",
		"perf_event_open", NULL},
	{"keyctl", "add_key, request_key, keyctl",
		"kernel keyrings are only partly kept apart by namespaces",
		"add_key request_key keyctl", NULL},
	{"tiocsti", "the TIOCSTI ioctl",
		"with a shared terminal, keys can be typed into the shell outside", "",
		widen_tiocsti},
	{"sockets", "sockets of every family and netlink of every protocol",
		"rarely used network code, loaded on demand (packet, vsock, tipc, rxrpc, alg)",
		"socket socketpair", NULL},
	{"aio", "io_setup, io_submit, io_getevents and so on: native asynchronous I/O of databases",
		"old kernel code with few users",
		"io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents", NULL},
	{"mqueue", "POSIX message queues",
		"kernel memory that counts against the user, not the jail's memory limit",
		"mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr", NULL},
	{"numa", "memory policy and page migration: mbind, set_mempolicy, move_pages and so on",
		"memory placement escapes the operator's choice",
		"mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages "
		"move_pages",
		NULL},
	{"userfaultfd", "userfaultfd", "races in the kernel become easy to win", "userfaultfd",
		NULL},
	{"fanotify", "fanotify_init, fanotify_mark",
		"file accesses of a whole mount can be watched", "fanotify_init fanotify_mark",
		NULL},
	{"handles", "name_to_handle_at, open_by_handle_at",
		"with CAP_DAC_READ_SEARCH any file of the host's filesystem can be opened",
		"name_to_handle_at open_by_handle_at", NULL},
	{"hostname", "sethostname, setdomainname", "the jail can call itself anything",
		"sethostname setdomainname", NULL},
	{"time", "adjtimex, clock_adjtime, clock_settime, settimeofday",
		"with CAP_SYS_TIME the host's clock is changed",
		"adjtimex clock_adjtime clock_settime settimeofday stime", NULL},
	{"vmsplice", "vmsplice, process_madvise, remap_file_pages",
		"page sharing with pipes has had serious bugs",
		"vmsplice process_madvise remap_file_pages", NULL},
	{"ldt", "modify_ldt, get_thread_area, set_thread_area: Wine and old 32-bit programs",
		"old and rarely tested processor features",
		"modify_ldt get_thread_area set_thread_area", NULL},
	{"rawio", "ioperm, iopl", "with CAP_SYS_RAWIO hardware is reached directly", "ioperm iopl",
		NULL},
	{"modules", "init_module, finit_module, delete_module",
		"with CAP_SYS_MODULE the host's kernel is changed",
		"init_module finit_module delete_module", NULL},
	{"syslog", "syslog", "the kernel's log is read where dmesg_restrict is off", "syslog",
		NULL},
	{"swap", "swapon, swapoff", "with CAP_SYS_ADMIN the host's swap is changed",
		"swapon swapoff", NULL},
	{"quota", "quotactl, quotactl_fd", "with CAP_SYS_ADMIN limits on volumes are changed",
		"quotactl quotactl_fd", NULL},
	{"reboot", "reboot, which ends the jail in its own pid namespace",
		"without a pid namespace it ends the host", "reboot", NULL},
	{"compat", "32-bit programs", "a second table of system calls, less tested", "",
		widen_compat},
};
const size_t iso_seccomp_word_count = ARRAY_SIZE(iso_seccomp_words);

static int unknown_word(const char *word, struct err *e)
{
	err_set(e, ENOENT, "unknown seccomp word '%.64s'; the words are:", word);
	for (size_t i = 0; i < iso_seccomp_word_count; i++) {
		size_t n = strlen(e->text);

		snprintf(e->text + n, sizeof(e->text) - n, " %s", iso_seccomp_words[i].word);
	}
	return -e->code;
}

int iso_seccomp_allow(struct spec_seccomp *p, const char *word, struct err *e)
{
	const struct iso_seccomp_word *w = iso_seccomp_words;

	while (w < iso_seccomp_words + iso_seccomp_word_count && strcmp(w->word, word))
		w++;
	if (w == iso_seccomp_words + iso_seccomp_word_count)
		return unknown_word(word, e);
	for (const char *call = w->calls; *call;) {
		size_t n = strcspn(call, " ");

		forget_call(p, call, n);
		call += n + (call[n] == ' ');
	}
	if (*w->calls)
		rule_names(rule_new(p, SPEC_ACT_ALLOW), w->calls);
	if (w->widen)
		w->widen(p);
	return 0;
}
