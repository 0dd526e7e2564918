#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "isolation/confine.h"
#include "isolation/isolation.h"
#include "isolation/seccomp.h"
#include "test.h"

static struct err err;

static void profile_release(struct spec_seccomp *p)
{
	for (size_t i = 0; i < p->n_syscalls; i++) {
		strv_release(&p->syscalls[i].names);
		free(p->syscalls[i].args);
	}
	free(p->syscalls);
	strv_release(&p->architectures);
	strv_release(&p->flags);
	*p = (struct spec_seccomp){0};
}
#define AUTO_PROFILE  __attribute__((cleanup(profile_release)))
#define AUTO_FILTER   __attribute__((cleanup(iso_filter_release)))
#define RET_ERRNO(n)  (SECCOMP_RET_ERRNO | (n))
#define NEVER_A_CALL  9999
#define X32_BIT       0x40000000
#define NATIVE_IS_X86 (seccomp_arch_native() == SCMP_ARCH_X86_64)

#if defined(__x86_64__)
enum { NATIVE_AUDIT = AUDIT_ARCH_X86_64 };
#else
enum { NATIVE_AUDIT = AUDIT_ARCH_AARCH64 };
#endif

/* --- The program run in this process: what would the kernel answer? --- */

static uint32_t run_jump(const struct sock_filter *i, uint32_t a)
{
	uint32_t k = i->k;
	int taken;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		return k;
	case BPF_JEQ:
		taken = a == k;
		break;
	case BPF_JGT:
		taken = a > k;
		break;
	case BPF_JGE:
		taken = a >= k;
		break;
	case BPF_JSET:
		taken = (a & k) != 0;
		break;
	default:
		abort();
	}
	return taken ? i->jt : i->jf;
}

static uint32_t run(const struct iso_filter *f, const struct seccomp_data *d)
{
	const struct sock_filter *insns = f->insns;
	uint32_t a = 0;

	for (uint32_t pc = 0; pc < f->n_insns; pc++) {
		const struct sock_filter *i = &insns[pc];

		if (i->code == (BPF_LD | BPF_W | BPF_ABS) && i->k + 4 <= sizeof(*d))
			memcpy(&a, (const char *)d + i->k, 4);
		else if (i->code == (BPF_ALU | BPF_AND | BPF_K))
			a &= i->k;
		else if (i->code == (BPF_RET | BPF_K))
			return i->k;
		else if (BPF_CLASS(i->code) == BPF_JMP)
			pc += run_jump(i, a);
		else
			abort();
	}
	abort(); /* fell off the end: the kernel would have refused it */
}

static uint32_t ask(
	const struct iso_filter *f, uint32_t arch, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = {.nr = (int)nr, .arch = arch, .args = {a0, a1, a2}};

	return run(f, &d);
}

static uint32_t native(const struct iso_filter *f, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return ask(f, NATIVE_AUDIT, nr, a0, a1, a2);
}

static uint32_t by_name(const struct iso_filter *f, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr < 0 ? UINT32_MAX : native(f, nr, 0, 0, 0);
}

static int default_filter(struct iso_filter *f)
{
	AUTO_PROFILE struct spec_seccomp p = {0};

	iso_seccomp_default(&p);
	return iso_filter_get(&p, -1, f, &err);
}

/* The calls that were validated with servers, languages and package managers. */
static const char validated[] =
#include "isolation_seccomp_validated.inc"
	;

TEST(default_allows_what_was_validated_and_nothing_else)
{
	static const char *const by_argument[] = {
		"clone", "ioctl", "socket", "socketpair", "personality"};
	AUTO_FILTER struct iso_filter f = {0};
	struct strv names = {0};
	size_t allowed = 0;

	CHECK_INT(default_filter(&f), 0);
	for (const char *p = validated; *p;) {
		size_t n = strcspn(p, " ");

		strv_take(&names, str_dup_n(p, n));
		p += n + (p[n] == ' ');
	}
	CHECK_INT(names.n, 272);
	for (int nr = 0; nr < 600; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		uint32_t got = native(&f, nr, 0, 0, 0);
		bool conditional = false;

		if (!name)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(by_argument); i++)
			conditional |= !strcmp(by_argument[i], name);
		if (!conditional && (got == SECCOMP_RET_ALLOW) != strv_has(&names, name)) {
			printf("# %s: %#x\n", name, got);
			CHECK(!"the list and the filter agree");
		}
		if (got != SECCOMP_RET_ALLOW && got != RET_ERRNO(EPERM) &&
			got != RET_ERRNO(ENOSYS)) {
			printf("# %s: %#x\n", name, got);
			CHECK(!"allowed, EPERM or ENOSYS");
		}
		allowed += got == SECCOMP_RET_ALLOW;
		free(name);
	}
	printf("# %zu calls, %u instructions\n", allowed, f.n_insns);
	strv_release(&names);
}

TEST(refused_calls_say_eperm)
{
	static const char *const refused[] = {"mount", "umount2", "pivot_root", "unshare", "setns",
		"bpf", "perf_event_open", "keyctl", "add_key", "request_key", "io_uring_setup",
		"io_uring_enter", "io_uring_register", "ptrace", "process_vm_readv",
		"process_vm_writev", "kexec_load", "init_module", "finit_module", "delete_module",
		"open_by_handle_at", "name_to_handle_at", "userfaultfd", "swapon", "reboot",
		"settimeofday", "clock_settime", "syslog", "acct", "vmsplice", "quotactl", "mbind",
		"fanotify_init", "sethostname", "fsopen", "open_tree", "move_mount",
		"mount_setattr", "pidfd_getfd", "process_madvise", "io_setup", "mq_open",
		"personality"};
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		int nr = seccomp_syscall_resolve_name(refused[i]);

		if (native(&f, nr, 1, 0, 0) != RET_ERRNO(EPERM))
			printf("# %s\n", refused[i]);
		CHECK_INT(native(&f, nr, 1, 0, 0), RET_ERRNO(EPERM));
	}
}

TEST(unknown_numbers_say_enosys)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(native(&f, NEVER_A_CALL, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(native(&f, 470, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(native(&f, SYS_clone3, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(native(&f, 457 /* statmount */, 0, 0, 0), RET_ERRNO(ENOSYS));
}

TEST(calls_newer_than_the_library_are_honoured)
{
	AUTO_FILTER struct iso_filter f = {0};
	static const long numbers[] = {451, 452, 454, 455, 456, 462};

	CHECK_INT(default_filter(&f), 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		CHECK_INT(native(&f, numbers[i], 0, 0, 0), SECCOMP_RET_ALLOW);
}

TEST(other_architectures_are_killed)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(ask(&f, AUDIT_ARCH_I386, 20, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	CHECK_INT(ask(&f, AUDIT_ARCH_I386, NEVER_A_CALL, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	CHECK_INT(ask(&f, AUDIT_ARCH_ARM, 20, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	if (NATIVE_IS_X86) {
		CHECK_INT(native(&f, X32_BIT | SYS_getpid, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
		CHECK_INT(native(&f, X32_BIT | NEVER_A_CALL, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
		CHECK_INT(native(&f, X32_BIT, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	}
}

TEST(ioctl_compares_the_low_half)
{
	static const uint32_t refused[] = {TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS};
	static const uint64_t halves[] = {0, 1, 0xffffffff, 0x80000000};
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	for (size_t h = 0; h < ARRAY_SIZE(halves); h++) {
		for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
			CHECK_INT(native(&f, SYS_ioctl, 0, halves[h] << 32 | refused[i], 0),
				RET_ERRNO(EPERM));
		/* All neighbours, and every number that differs from a refused one in a bit or two.
		 */
		for (uint32_t v = 0; v < 0x10000; v++) {
			bool bad = v == TIOCSTI || v == TIOCLINUX || v == TIOCSETD || v == TIOCCONS;

			if ((native(&f, SYS_ioctl, 0, halves[h] << 32 | v, 0) ==
				    SECCOMP_RET_ALLOW) == bad)
				CHECK_INT(v, -1);
		}
		for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
			for (unsigned int b = 16; b < 32; b++)
				CHECK_INT(native(&f, SYS_ioctl, 0,
						  halves[h] << 32 | (refused[i] ^ (uint32_t)1 << b),
						  0),
					SECCOMP_RET_ALLOW);
	}
}

TEST(sockets_of_four_families)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	for (uint64_t family = 0; family < 70; family++) {
		bool plain = family == AF_UNIX || family == AF_INET || family == AF_INET6;

		for (uint64_t protocol = 0; protocol < 24; protocol++)
			CHECK_INT(native(&f, SYS_socket, family, SOCK_STREAM, protocol),
				plain || (family == AF_NETLINK && protocol == NETLINK_ROUTE)
					? SECCOMP_RET_ALLOW
					: RET_ERRNO(EPERM));
		CHECK_INT(native(&f, SYS_socketpair, family, SOCK_STREAM, 0),
			family == AF_UNIX ? SECCOMP_RET_ALLOW : RET_ERRNO(EPERM));
	}
	CHECK_INT(native(&f, SYS_socket, AF_ALG | (uint64_t)1 << 32, SOCK_SEQPACKET, 0),
		RET_ERRNO(EPERM));
	/* An int argument may come with anything in its high half. */
	CHECK_INT(native(&f, SYS_socket, AF_INET | (uint64_t)1 << 32, SOCK_STREAM, 0),
		SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE | (uint64_t)1 << 32),
		SECCOMP_RET_ALLOW);
	for (unsigned int b = 8; b < 32; b++) {
		CHECK(native(&f, SYS_socket, AF_INET | (uint64_t)1 << b, 0, 0) !=
			SECCOMP_RET_ALLOW);
		CHECK(native(&f, SYS_socket, AF_NETLINK, 0, (uint64_t)1 << b) != SECCOMP_RET_ALLOW);
		CHECK(native(&f, SYS_socketpair, AF_UNIX | (uint64_t)1 << b, 0, 0) !=
			SECCOMP_RET_ALLOW);
	}
}

TEST(clone_without_new_namespaces)
{
	static const uint64_t flags[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
		CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(native(&f, SYS_clone, SIGCHLD, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_clone,
			  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0),
		SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		for (size_t k = 0; k < ARRAY_SIZE(flags); k++)
			CHECK_INT(native(&f, SYS_clone, flags[i] | flags[k] | SIGCHLD, 0, 0),
				RET_ERRNO(EPERM));
}

TEST(personality_zero_and_query)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(native(&f, SYS_personality, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_personality, 0xffffffff, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_personality, UINT64_MAX, 0, 0), SECCOMP_RET_ALLOW);
	for (unsigned int b = 0; b < 32; b++) {
		CHECK_INT(native(&f, SYS_personality, (uint64_t)1 << b, 0, 0),
			RET_ERRNO(b < 31 ? EPERM : ENOSYS));
		CHECK(native(&f, SYS_personality, 0xffffffff ^ (uint64_t)1 << b, 0, 0) !=
			SECCOMP_RET_ALLOW);
	}
}

/* --- In children: the kernel itself. --- */

/* Runs body in a child under f; its exit code, 128 + signal, or -1. */
static int under(const struct iso_filter *f, int (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct err e;

		alarm(30);
		if (iso_no_new_privs(&e) < 0 || iso_filter_apply(f, false, NULL, &e) < 0)
			_exit(99);
		_exit(body());
	}
	return waitpid(pid, &status, 0) == pid ? proc_exit_code(status) : -1;
}

/* The errno of a call that must fail, 0 when it does not. */
static int fails(long nr, long a, long b, long c)
{
	return syscall(nr, a, b, c, 0L) < 0 ? errno : 0;
}

static int body_refused(void)
{
	static const long calls[] = {SYS_unshare, SYS_mount, SYS_bpf, SYS_keyctl,
		SYS_io_uring_setup, SYS_perf_event_open, SYS_ptrace, SYS_setns, SYS_userfaultfd,
		SYS_pivot_root};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (fails(calls[i], 0, 0, 0) != EPERM)
			return (int)i + 1;
	return 0;
}

static int body_arguments(void)
{
	char c = 'x';

	if (fails(SYS_ioctl, 0, TIOCSTI, (long)&c) != EPERM)
		return 1;
	if (fails(SYS_ioctl, 0, TIOCSTI | 1L << 32, (long)&c) != EPERM)
		return 2;
	if (fails(SYS_socket, AF_ALG, SOCK_SEQPACKET, 0) != EPERM)
		return 3;
	if (fails(SYS_socket, AF_UNIX, SOCK_STREAM, 0))
		return 4;
	if (fails(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT) != EPERM)
		return 5;
	if (fails(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE))
		return 6;
	if (fails(SYS_personality, 0x0400000, 0, 0) != EPERM)
		return 7;
	if (fails(SYS_personality, 0xffffffff, 0, 0))
		return 8;
	if (fails(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0) != EPERM)
		return 9;
	if (fails(SYS_clone3, 0, 0, 0) != ENOSYS || fails(NEVER_A_CALL, 0, 0, 0) != ENOSYS)
		return 10;
	return 0;
}

static int body_allowed(void)
{
	int fds[2], status;
	pid_t pid = fork();

	if (!pid)
		_exit(7);
	if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		return 1;
	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		return 2;
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

TEST(children_see_what_the_table_says)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(under(&f, body_refused), 0);
	CHECK_INT(under(&f, body_arguments), 0);
	CHECK_INT(under(&f, body_allowed), 0);
}

#if defined(__x86_64__)
static int body_int80(void)
{
	long r = 20; /* getpid of i386 */

	__asm__ volatile("int $0x80" : "+a"(r)::"memory");
	return 1;
}

static int body_x32(void)
{
	syscall(X32_BIT | SYS_getpid);
	return 1;
}

TEST(children_by_other_doors_die)
{
	AUTO_FILTER struct iso_filter f = {0};

	CHECK_INT(default_filter(&f), 0);
	CHECK_INT(under(&f, body_int80), 128 + SIGSYS);
	CHECK_INT(under(&f, body_x32), 128 + SIGSYS);
}
#endif

/* --- Profiles of others. --- */

static struct spec_seccomp_rule *rule(
	struct spec_seccomp *p, int action, const char *call, size_t n_args)
{
	struct spec_seccomp_rule *r;

	p->syscalls = realloc(p->syscalls, (p->n_syscalls + 1) * sizeof(*p->syscalls));
	r = &p->syscalls[p->n_syscalls++];
	*r = (struct spec_seccomp_rule){.action = action, .n_args = n_args};
	r->args = calloc(n_args + 1, sizeof(*r->args));
	strv_add(&r->names, call);
	return r;
}

TEST(every_action)
{
	static const struct {
		int action;
		uint32_t errno_ret, want;
	} rows[] = {
		{SPEC_ACT_KILL, 0, SECCOMP_RET_KILL_THREAD},
		{SPEC_ACT_KILL_PROCESS, 0, SECCOMP_RET_KILL_PROCESS},
		{SPEC_ACT_KILL_THREAD, 0, SECCOMP_RET_KILL_THREAD},
		{SPEC_ACT_TRAP, 0, SECCOMP_RET_TRAP},
		{SPEC_ACT_ERRNO, 0, RET_ERRNO(EPERM)},
		{SPEC_ACT_ERRNO, EROFS, RET_ERRNO(EROFS)},
		{SPEC_ACT_TRACE, 7, SECCOMP_RET_TRACE | 7},
		{SPEC_ACT_LOG, 0, SECCOMP_RET_LOG},
		{SPEC_ACT_NOTIFY, 0, SECCOMP_RET_USER_NOTIF},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ALLOW};
		AUTO_FILTER struct iso_filter f = {0};
		struct spec_seccomp_rule *r = rule(&p, rows[i].action, "mkdirat", 0);

		r->errno_ret = rows[i].errno_ret;
		r->has_errno_ret = rows[i].errno_ret != 0;
		CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
		CHECK_INT(by_name(&f, "mkdirat"), rows[i].want);
		CHECK_INT(by_name(&f, "read"), SECCOMP_RET_ALLOW);
		/* A permissive default stays so for calls that nobody knows. */
		CHECK_INT(native(&f, NEVER_A_CALL, 0, 0, 0), SECCOMP_RET_ALLOW);
		CHECK_INT(f.notify, rows[i].action == SPEC_ACT_NOTIFY);
	}
}

TEST(every_operator)
{
	static const struct {
		int op;
		uint64_t value, two, yes, no;
	} rows[] = {
		{SPEC_CMP_NE, 5, 0, 6, 5},
		{SPEC_CMP_LT, 5, 0, 4, 5},
		{SPEC_CMP_LE, 5, 0, 5, 6},
		{SPEC_CMP_EQ, 5, 0, 5, 6},
		{SPEC_CMP_GE, 5, 0, 5, 4},
		{SPEC_CMP_GT, 5, 0, 6, 5},
		{SPEC_CMP_MASKED_EQ, 0xf0, 0x50, 0x5f, 0x6f},
		{SPEC_CMP_EQ, 0x100000005, 0, 0x100000005, 5},
		{SPEC_CMP_GT, 0x100000005, 0, 0x200000000, 0xffffffff},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ERRNO};
		AUTO_FILTER struct iso_filter f = {0};
		struct spec_seccomp_rule *r = rule(&p, SPEC_ACT_ALLOW, "dup", 1);

		r->args[0] = (struct spec_seccomp_arg){2, rows[i].value, rows[i].two, rows[i].op};
		CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
		CHECK_INT(native(&f, SYS_dup, 0, 0, rows[i].yes), SECCOMP_RET_ALLOW);
		CHECK_INT(native(&f, SYS_dup, 0, 0, rows[i].no), RET_ERRNO(EPERM));
	}
}

TEST(two_conditions_on_one_argument_are_alternatives)
{
	AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ERRNO};
	AUTO_FILTER struct iso_filter f = {0};
	struct spec_seccomp_rule *r = rule(&p, SPEC_ACT_ALLOW, "dup", 2);

	r->args[0] = (struct spec_seccomp_arg){0, 1, 0, SPEC_CMP_EQ};
	r->args[1] = (struct spec_seccomp_arg){0, 9, 0, SPEC_CMP_EQ};
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK_INT(native(&f, SYS_dup, 1, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_dup, 9, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_dup, 5, 0, 0), RET_ERRNO(EPERM));
}

TEST(conditions_on_two_arguments_hold_together)
{
	AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ERRNO};
	AUTO_FILTER struct iso_filter f = {0};
	struct spec_seccomp_rule *r = rule(&p, SPEC_ACT_ALLOW, "dup", 2);

	r->args[0] = (struct spec_seccomp_arg){0, 1, 0, SPEC_CMP_EQ};
	r->args[1] = (struct spec_seccomp_arg){1, 9, 0, SPEC_CMP_EQ};
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK_INT(native(&f, SYS_dup, 1, 9, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_dup, 1, 8, 0), RET_ERRNO(EPERM));
	CHECK_INT(native(&f, SYS_dup, 2, 9, 0), RET_ERRNO(EPERM));
}

TEST(new_calls_on_every_architecture)
{
	AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ERRNO};
	AUTO_FILTER struct iso_filter f = {0};

	strv_add(&p.architectures, "SCMP_ARCH_X86_64");
	strv_add(&p.architectures, "SCMP_ARCH_X86");
	strv_add(&p.architectures, "SCMP_ARCH_X32");
	rule(&p, SPEC_ACT_ALLOW, "getpid", 0);
	rule(&p, SPEC_ACT_ALLOW, "cachestat", 0);
	rule(&p, SPEC_ACT_ALLOW, "no_such_call_anywhere", 0);
	if (!NATIVE_IS_X86)
		return;
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK_INT(native(&f, 39, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, X32_BIT | 39, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(ask(&f, AUDIT_ARCH_I386, 20, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, 451, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, X32_BIT | 451, 0, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(ask(&f, AUDIT_ARCH_I386, 451, 0, 0, 0), SECCOMP_RET_ALLOW);
	/* Known and not allowed: the profile's answer.  Unknown: ENOSYS. */
	CHECK_INT(native(&f, SYS_mount, 0, 0, 0), RET_ERRNO(EPERM));
	CHECK_INT(native(&f, NEVER_A_CALL, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(native(&f, X32_BIT | NEVER_A_CALL, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(ask(&f, AUDIT_ARCH_I386, NEVER_A_CALL, 0, 0, 0), RET_ERRNO(ENOSYS));
	CHECK_INT(ask(&f, AUDIT_ARCH_ARM, NEVER_A_CALL, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

TEST(a_deny_list_may_name_new_calls)
{
	AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ALLOW};
	AUTO_FILTER struct iso_filter f = {0};

	rule(&p, SPEC_ACT_ERRNO, "map_shadow_stack", 0);
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK_INT(native(&f, 453, 0, 0, 0), RET_ERRNO(EPERM));
	CHECK_INT(native(&f, 452, 0, 0, 0), SECCOMP_RET_ALLOW);
}

TEST(every_architecture_of_the_spec)
{
	static const char *const little[] = {"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32",
		"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
		"SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64"};
	static const char *const big[] = {"SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
		"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_S390",
		"SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64"};

	for (size_t i = 0; i < ARRAY_SIZE(little) + ARRAY_SIZE(big); i++) {
		AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ERRNO};
		AUTO_FILTER struct iso_filter f = {0};
		bool alien = i >= ARRAY_SIZE(little);

		strv_add(&p.architectures, alien ? big[i - ARRAY_SIZE(little)] : little[i]);
		rule(&p, SPEC_ACT_ALLOW, "read", 0);
		/* The library cannot mix byte orders: said, not ignored. */
		CHECK_INT(iso_filter_get(&p, -1, &f, &err) < 0, alien);
	}
}

TEST(errors_name_what_is_wrong)
{
	static const struct {
		const char *arch, *flag;
		int action;
		uint32_t errno_ret, index;
		const char *says;
	} rows[] = {
		{"SCMP_ARCH_Z80", NULL, SPEC_ACT_ALLOW, 0, 0, "SCMP_ARCH_Z80"},
		{NULL, "SECCOMP_FILTER_FLAG_X", SPEC_ACT_ALLOW, 0, 0, "SECCOMP_FILTER_FLAG_X"},
		{NULL, NULL, 77, 0, 0, "77"},
		{NULL, NULL, SPEC_ACT_ERRNO, 5000, 0, "5000"},
		{NULL, NULL, SPEC_ACT_ALLOW, 0, 6, "6"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_KILL};
		struct iso_filter f = {0};
		struct spec_seccomp_rule *r = rule(&p, rows[i].action, "dup", 1);

		r->errno_ret = rows[i].errno_ret;
		r->has_errno_ret = true;
		r->args[0].index = rows[i].index;
		if (rows[i].arch)
			strv_add(&p.architectures, rows[i].arch);
		if (rows[i].flag)
			strv_add(&p.flags, rows[i].flag);
		CHECK_INT(iso_filter_get(&p, -1, &f, &err), -EINVAL);
		CHECK(strstr(err.text, rows[i].says) != NULL);
		CHECK(f.map == NULL);
	}
}

TEST(a_listener_is_told)
{
	AUTO_PROFILE struct spec_seccomp p = {.default_action = SPEC_ACT_ALLOW};
	AUTO_FILTER struct iso_filter f = {0};
	int pair[2], status, listener = -1;
	size_t n = 1;
	char c;
	pid_t pid;

	strv_add(&p.flags, "SECCOMP_FILTER_FLAG_TSYNC");
	strv_add(&p.flags, "SECCOMP_FILTER_FLAG_LOG");
	rule(&p, SPEC_ACT_NOTIFY, "getppid", 0);
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK(f.notify);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (!pid) {
		alarm(30);
		if (iso_no_new_privs(&err) < 0 || iso_filter_apply(&f, true, &listener, &err) < 0)
			_exit(99);
		if (fd_send(pair[1], "x", 1, &listener, 1) < 0)
			_exit(98);
		_exit(syscall(SYS_getppid) == 4242 ? 0 : 97);
	}
	close(pair[1]);
	CHECK_INT(fd_recv(pair[0], &c, 1, &listener, &n), 1);
	if (n == 1 && listener >= 0) {
		struct seccomp_notif req = {0};
		struct seccomp_notif_resp resp = {.val = 4242};

		CHECK_INT(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req), 0);
		CHECK_INT(req.data.nr, SYS_getppid);
		resp.id = req.id;
		CHECK_INT(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp), 0);
		close(listener);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(proc_exit_code(status), 0);
	close(pair[0]);
}

/* --- Words. --- */

TEST(every_word_allows_its_calls)
{
	for (size_t i = 0; i < iso_seccomp_word_count; i++) {
		const struct iso_seccomp_word *w = &iso_seccomp_words[i];
		AUTO_PROFILE struct spec_seccomp p = {0};
		AUTO_FILTER struct iso_filter f = {0};
		size_t rules;

		CHECK(*w->word && *w->allows && *w->risk && (*w->calls || w->widen));
		iso_seccomp_default(&p);
		CHECK_INT(iso_seccomp_allow(&p, w->word, &err), 0);
		rules = p.n_syscalls;
		CHECK_INT(iso_seccomp_allow(&p, w->word, &err), 0);
		CHECK_INT(p.n_syscalls, rules);
		CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
		for (const char *c = w->calls; *c;) {
			size_t n = strcspn(c, " ");
			AUTO_FREE char *name = str_dup_n(c, n);
			uint32_t got = by_name(&f, name);

			if (got != UINT32_MAX && got != SECCOMP_RET_ALLOW)
				printf("# %s does not allow %s\n", w->word, name);
			CHECK(got == UINT32_MAX || got == SECCOMP_RET_ALLOW);
			c += n + (c[n] == ' ');
		}
		/* It gives nothing else. */
		CHECK(!strcmp(w->word, "modules") ||
			by_name(&f, "init_module") == RET_ERRNO(EPERM));
		CHECK_INT(by_name(&f, "kexec_load"), RET_ERRNO(EPERM));
	}
}

TEST(words_for_arguments)
{
	AUTO_PROFILE struct spec_seccomp p = {0};
	AUTO_FILTER struct iso_filter f = {0};

	iso_seccomp_default(&p);
	CHECK_INT(iso_seccomp_allow(&p, "tiocsti", &err), 0);
	CHECK_INT(iso_seccomp_allow(&p, "userns", &err), 0);
	CHECK_INT(iso_seccomp_allow(&p, "sockets", &err), 0);
	CHECK_INT(iso_seccomp_allow(&p, "personality", &err), 0);
	CHECK_INT(iso_seccomp_allow(&p, "compat", &err), 0);
	CHECK_INT(iso_filter_get(&p, -1, &f, &err), 0);
	CHECK_INT(native(&f, SYS_ioctl, 0, TIOCSTI, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_ioctl, 0, TIOCLINUX, 0), RET_ERRNO(EPERM));
	CHECK_INT(native(&f, SYS_clone, CLONE_NEWUSER, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_socket, AF_PACKET, 0, 0), SECCOMP_RET_ALLOW);
	CHECK_INT(native(&f, SYS_personality, 0x0040000, 0, 0), SECCOMP_RET_ALLOW);
	if (NATIVE_IS_X86)
		CHECK_INT(ask(&f, AUDIT_ARCH_I386, 20, 0, 0, 0), SECCOMP_RET_ALLOW);
}

TEST(an_unknown_word_lists_the_words)
{
	AUTO_PROFILE struct spec_seccomp p = {0};

	iso_seccomp_default(&p);
	CHECK_INT(iso_seccomp_allow(&p, "everything", &err), -ENOENT);
	CHECK(strstr(err.text, "everything") && strstr(err.text, " debug") &&
		strstr(err.text, " compat"));
}

/* --- The cache. --- */

static int cache_open(char dir[static 32])
{
	strncpy(dir, "/tmp/iso-cache.XXXXXX", 32);
	return mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* The only entry's name; owned. */
static char *cache_entry(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *de;
	char *name = NULL;

	while ((de = readdir(d)))
		if (de->d_name[0] != '.') {
			CHECK(name == NULL);
			free(name);
			name = str_dup(de->d_name);
		}
	closedir(d);
	return name;
}

static ino_t inode(int dir, const char *name)
{
	struct stat st = {0};

	fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	return S_ISREG(st.st_mode) ? st.st_ino : 0;
}

static void damage_truncate(int dir, const char *name)
{
	AUTO_FD int fd = openat(dir, name, O_WRONLY);

	CHECK_INT(ftruncate(fd, 100), 0);
}

static void damage_bit(int dir, const char *name)
{
	AUTO_FD int fd = openat(dir, name, O_RDWR);
	struct stat st;
	char c;

	fstat(fd, &st);
	CHECK_INT(pread(fd, &c, 1, st.st_size - 5), 1);
	c ^= 4;
	CHECK_INT(pwrite(fd, &c, 1, st.st_size - 5), 1);
}

static void damage_header(int dir, const char *name)
{
	AUTO_FD int fd = openat(dir, name, O_RDWR);

	CHECK_INT(pwrite(fd, "\x7f", 1, 8), 1);
}

static void damage_mode(int dir, const char *name)
{
	CHECK_INT(fchmodat(dir, name, 0666, 0), 0);
}

static void damage_owner(int dir, const char *name)
{
	CHECK_INT(fchownat(dir, name, 12345, 0, 0), 0);
}

static void damage_symlink(int dir, const char *name)
{
	CHECK_INT(renameat(dir, name, dir, ".moved"), 0);
	CHECK_INT(symlinkat(".moved", dir, name), 0);
}

static void damage_fifo(int dir, const char *name)
{
	CHECK_INT(unlinkat(dir, name, 0), 0);
	CHECK_INT(mkfifoat(dir, name, 0600), 0);
}

static void damage_empty(int dir, const char *name)
{
	AUTO_FD int fd = openat(dir, name, O_WRONLY | O_TRUNC);

	CHECK(fd >= 0);
}

TEST(the_cache_is_used_and_damage_is_replaced)
{
	static void (*const damage[])(int, const char *) = {damage_truncate, damage_bit,
		damage_header, damage_mode, damage_owner, damage_symlink, damage_fifo,
		damage_empty};
	AUTO_PROFILE struct spec_seccomp p = {0};
	AUTO_FILTER struct iso_filter first = {0};
	char dir[32];
	AUTO_FD int cache = cache_open(dir);
	AUTO_FREE char *name = NULL;
	ino_t before;

	CHECK(cache >= 0);
	iso_seccomp_default(&p);
	CHECK_INT(iso_filter_get(&p, cache, &first, &err), 0);
	name = cache_entry(cache);
	CHECK(name && strlen(name) == 68 && str_ends(name, ".bpf"));
	before = inode(cache, name);
	for (size_t i = 0; name && i <= ARRAY_SIZE(damage); i++) {
		AUTO_FILTER struct iso_filter f = {0};

		if (i)
			damage[i - 1](cache, name);
		CHECK_INT(iso_filter_get(&p, cache, &f, &err), 0);
		CHECK_INT(f.n_insns, first.n_insns);
		CHECK(f.n_insns == first.n_insns &&
			!memcmp(f.insns, first.insns, f.n_insns * sizeof(struct sock_filter)));
		CHECK_INT(f.flags, first.flags);
		/* Untouched: the same file.  Damaged: a new one that is sound. */
		if (!i)
			CHECK_INT(inode(cache, name), before);
		else
			CHECK(inode(cache, name) && inode(cache, name) != before);
		before = inode(cache, name);
		unlinkat(cache, ".moved", 0);
	}
	if (name)
		unlinkat(cache, name, 0);
	CHECK_INT(rmdir(dir), 0);
}

TEST(each_profile_has_its_own_entry)
{
	char dir[32];
	AUTO_FD int cache = cache_open(dir);
	AUTO_FREE char *names[2] = {NULL, NULL};

	for (int i = 0; i < 2; i++) {
		AUTO_PROFILE struct spec_seccomp p = {0};
		AUTO_FILTER struct iso_filter f = {0};

		iso_seccomp_default(&p);
		if (i)
			p.syscalls[1].errno_ret = EACCES;
		CHECK_INT(iso_filter_get(&p, cache, &f, &err), 0);
		CHECK_INT(native(&f, SYS_mount, 0, 0, 0), RET_ERRNO(i ? EACCES : EPERM));
		names[i] = cache_entry(cache);
		CHECK(names[i] != NULL);
		if (names[i])
			unlinkat(cache, names[i], 0);
	}
	CHECK(names[0] && names[1] && strcmp(names[0], names[1]) != 0);
	CHECK_INT(rmdir(dir), 0);
	free(names[1]);
}

TEST(a_cache_that_cannot_be_written_is_no_error)
{
	AUTO_PROFILE struct spec_seccomp p = {0};
	AUTO_FILTER struct iso_filter f = {0};
	AUTO_FD int proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	iso_seccomp_default(&p);
	CHECK_INT(iso_filter_get(&p, proc, &f, &err), 0);
	CHECK(f.n_insns > 0);
}

TEST_MAIN
