/* Case 29: what a taken-over monitor could still do. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

#include "base/mem.h"
#include "base/proc.h"
#include "vm/confine.h"

static void do_open(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void do_openat2(void)
{
	syscall(SYS_openat2, AT_FDCWD, "/", NULL, 0);
}

static void do_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	syscall(SYS_connect, 0, &a, sizeof(a));
}

static void do_exec(void)
{
	syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void do_fork(void)
{
	if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0)
		_exit(0);
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, 1, 0, 0);
}

static void do_kill(void)
{
	syscall(SYS_kill, getppid(), 0);
}

static void do_tgkill_another(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void do_map_code(void)
{
	syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_terminal_input(void)
{
	syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}

static void do_mount(void)
{
	syscall(SYS_mount, "x", "/", "tmpfs", 0, 0);
}

static void do_unshare(void)
{
	syscall(SYS_unshare, 0x10000000);
}

static void do_bpf(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
}

static void do_sendto_address(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	syscall(SYS_sendto, 0, "x", 1, 0, &a, sizeof(a));
}

static void do_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void (*const forbidden[])(void) = {do_open, do_openat2, do_socket, do_connect, do_exec,
	do_fork, do_ptrace, do_kill, do_tgkill_another, do_map_code, do_terminal_input, do_mount,
	do_unshare, do_bpf, do_sendto_address, do_io_uring};

static void use_what_is_left(void)
{
	void *p = malloc(1 << 20);

	memset(p, 1, 1 << 20);
	free(p);
	if (write(2, "", 0) < 0)
		_exit(7);
}

/* Runs act in a child behind the filter of kind; returns its wait status. */
static int behind(enum vm_thread kind, void (*act)(void))
{
	struct vm_filter f = {0};
	struct err e;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (vm_filter_build(kind, &f, &e) < 0 ||
			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || vm_filter_apply(&f, &e) < 0)
			_exit(99);
		act();
		syscall(SYS_exit_group, 0);
	}
	waitpid(pid, &status, 0);
	return status;
}

TEST(case_29_calls_that_end_the_monitor)
{
/* Builds with a sanitizer log instead: its own calls are not ours to list. */
#ifndef SANITIZED
	for (int kind = VM_THREAD_CPU; kind <= VM_THREAD_UNPACK; kind++)
		for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
			int status = behind((enum vm_thread)kind, forbidden[i]);

			CHECK(WIFSIGNALED(status));
			CHECK_INT(WTERMSIG(status), SIGSYS);
			if (!WIFSIGNALED(status))
				printf("# kind %d, call %zu\n", kind, i);
		}
#else
	(void)forbidden;
#endif
	for (int kind = VM_THREAD_CPU; kind <= VM_THREAD_UNPACK; kind++)
		CHECK_INT(behind((enum vm_thread)kind, use_what_is_left), 0);
}

static int entries_of_root(void)
{
	DIR *d = opendir("/");
	int n = -2;

	while (d && readdir(d))
		n++;
	return n;
}

/* In a child, as root: each thing that is not as it should be has its number. */
static int confined(void)
{
	struct err e = {0};

	if (vm_confine(&e) < 0) {
		printf("# %s\n", e.text);
		return 1;
	}
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		return 2;
	if (entries_of_root() != 0)
		return 3;
	if (open("/x", O_CREAT | O_WRONLY, 0600) >= 0 || chdir("..") < 0 || entries_of_root() != 0)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 5;
	for (int cap = 0; cap < 40; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 6;
	if (chroot("/") == 0 || setuid(0) == 0)
		return 7;
	return 0;
}

TEST(the_monitor_is_in_an_empty_jail)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(confined());
	waitpid(pid, &status, 0);
	CHECK_INT(proc_exit_code(status), 0);
}

TEST_MAIN
