/*
 * The kernel's floor: the same eight namespaces as a jail, its ids mapped, the root pivoted, the
 * program executed and waited for, and nothing else: no limits, no filter, no /proc, no
 * writable layer, no error text.
 *
 *	floor ROOT PROGRAM
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(125);
	}
}

static void map_ids(pid_t pid, const char *which)
{
	static const char map[] = "0 0 65536";
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && write(fd, map, sizeof(map) - 1) == sizeof(map) - 1, path);
	close(fd);
}

static void child(const char *root, char *program, int go)
{
	char *argv[] = {program, NULL}, *envp[] = {NULL}, c;

	must(read(go, &c, 1) == 1, "read");
	must(!mount(root, root, NULL, MS_BIND | MS_REC, NULL), "bind");
	must(!chdir(root), root);
	must(!syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(!umount2(".", MNT_DETACH), "umount");
	execve(program, argv, envp);
	must(0, program);
}

int main(int argc, char **argv)
{
	struct clone_args ca = {.exit_signal = SIGCHLD,
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			CLONE_NEWCGROUP | CLONE_NEWTIME};
	int go[2], status = 0;
	pid_t pid;

	must(argc == 3 && !pipe2(go, O_CLOEXEC), "usage: floor ROOT PROGRAM");
	pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
	must(pid >= 0, "clone3");
	if (!pid)
		child(argv[1], argv[2], go[0]);
	map_ids(pid, "uid_map");
	map_ids(pid, "gid_map");
	must(write(go[1], "g", 1) == 1, "write");
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
