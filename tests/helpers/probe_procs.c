/*
 * Hostile and awkward processes.
 *	stubborn            ignores every signal it can, prints "ready", sleeps
 *	orphans N           N times: a child whose child outlives it; prints how many zombies are seen
 *	forks N             forks up to N sleepers, prints how many there were
 *	eat MB              touches memory 1 MB at a time, prints "ate MB" at the end
 *	spin                burns the processor for ever
 *	flood               writes "x" to standard output for ever
 *	line BYTES          one line of that many bytes
 *	watch SECONDS       for each process that appears: tries ptrace, /proc/PID/{mem,environ,fd,root,cwd}
 *	                    and prints "PID THING EXECUTABLE" for each success
 *	swap DIR A B        for ever exchanges DIR/A and DIR/B (RENAME_EXCHANGE)
 *	signal N            ends itself with that signal
 *	trap                prints "got TERM" and ends with 7 on SIGTERM; "got N" on USR1, USR2, WINCH
 *	size                prints the terminal's size now and on each SIGWINCH
 *	umask               prints umask, signal mask, ignored signals
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long number(const char *s)
{
	return strtol(s, NULL, 10);
}

static int do_stubborn(char **args)
{
	(void)args;
	for (int s = 1; s < 65; s++)
		signal(s, SIG_IGN);
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

static int count_zombies(void)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d))) {
		char path[300], text[512];
		int fd;
		ssize_t got;
		char *end;

		if (!strspn(de->d_name, "0123456789"))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", de->d_name);
		fd = open(path, O_RDONLY);
		got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (got <= 0)
			continue;
		text[got] = 0;
		end = strrchr(text, ')');
		n += end && end[1] == ' ' && end[2] == 'Z';
	}
	if (d)
		closedir(d);
	return n;
}

static int do_orphans(char **args)
{
	long n = number(args[0]);
	int zombies = 0;

	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (fork() == 0)
				usleep(1000);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	/* Given time, init reaps them all. */
	for (int tries = 0; tries < 200; tries++) {
		zombies = count_zombies();
		if (!zombies)
			break;
		usleep(20000);
	}
	printf("zombies %d\n", zombies);
	return 0;
}

static int do_forks(char **args)
{
	long n = number(args[0]), made = 0;

	while (made < n) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid == 0) {
			pause();
			_exit(0);
		}
		made++;
	}
	printf("made %ld\n", made);
	fflush(stdout);
	kill(0, SIGKILL);
	return 0;
}

static int do_eat(char **args)
{
	long mb = number(args[0]);

	for (long i = 0; i < mb; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			printf("refused at %ld\n", i);
			return 1;
		}
		memset(p, 1, 1 << 20);
	}
	printf("ate %ld\n", mb);
	return 0;
}

static int do_spin(char **args)
{
	(void)args;
	for (volatile unsigned long i = 0;; i++)
		;
}

static int do_flood(char **args)
{
	static char block[65536];

	(void)args;
	memset(block, 'x', sizeof(block));
	for (size_t i = 99; i < sizeof(block); i += 100)
		block[i] = '\n';
	while (write(1, block, sizeof(block)) > 0)
		;
	return 0;
}

static int do_line(char **args)
{
	long n = number(args[0]);

	while (n-- > 0)
		putchar('y');
	putchar('\n');
	return 0;
}

/* "PID THING EXECUTABLE": by the last one can tell a program of the jail from one that joins. */
static void tell(pid_t pid, const char *what)
{
	char path[64], exe[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n < 0 ? 0 : n] = 0;
	printf("%d %s %s\n", pid, what, n < 0 ? "/t/gone" : exe);
	fflush(stdout);
}

static void try_path(pid_t pid, const char *what, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = open(path, flags);
	if (fd < 0)
		return;
	tell(pid, what);
	close(fd);
}

static int do_watch(char **args)
{
	static char seen[1 << 22];
	time_t end = time(NULL) + number(args[0]);
	int first = 1;

	do {
		for (pid_t pid = 1; pid < 2000; pid++) {
			if (kill(pid, 0) < 0 && errno != EPERM) {
				seen[pid] = 0;
				continue;
			}
			if (seen[pid] || pid == getpid())
				continue;
			if (first) {
				seen[pid] = 1; /* was there before: not a joiner */
				continue;
			}
			if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
				tell(pid, "ptrace");
			try_path(pid, "mem", O_RDWR);
			try_path(pid, "root", O_PATH);
			try_path(pid, "cwd", O_PATH);
			try_path(pid, "fd/3", O_PATH);
			try_path(pid, "exe", O_PATH);
			seen[pid] = 1;
		}
		if (first) {
			puts("watching");
			fflush(stdout);
		}
		first = 0;
	} while (time(NULL) < end);
	return 0;
}

static int do_swap(char **args)
{
	int dir = open(args[0], O_RDONLY | O_DIRECTORY);

	for (;;)
		syscall(SYS_renameat2, dir, args[1], dir, args[2], 2 /* RENAME_EXCHANGE */);
}

static int do_signal(char **args)
{
	int sig = (int)number(args[0]);

	signal(sig, SIG_DFL);
	raise(sig);
	return 0;
}

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

static void catch(int sig)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(sig, &sa, NULL);
}

/* Signals stay blocked but in sigsuspend, so that none is missed. */
static int next_signal(void)
{
	sigset_t none;

	sigemptyset(&none);
	got = 0;
	sigsuspend(&none);
	return got;
}

static int do_trap(char **args)
{
	static const int all[] = {SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGHUP, SIGINT, SIGQUIT};
	sigset_t block;

	(void)args;
	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		catch (all[i]);
		sigaddset(&block, all[i]);
	}
	sigprocmask(SIG_BLOCK, &block, NULL);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int sig = next_signal();

		printf("got %s\n", sigabbrev_np(sig));
		fflush(stdout);
		if (sig == SIGTERM || sig == SIGINT)
			return 7;
	}
}

static int do_size(char **args)
{
	struct winsize w = {0};
	sigset_t block;

	(void)args;
	catch (SIGWINCH);
	catch (SIGTERM);
	sigemptyset(&block);
	sigaddset(&block, SIGWINCH);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	do {
		ioctl(0, TIOCGWINSZ, &w);
		printf("size %ux%u\n", w.ws_col, w.ws_row);
		fflush(stdout);
	} while (next_signal() != SIGTERM);
	return 0;
}

static int do_umask(char **args)
{
	mode_t m = umask(0);
	sigset_t mask;

	(void)args;
	printf("umask %03o\n", m);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int s = 1; s < 65; s++) {
		struct sigaction sa;

		if (s != 32 && s != 33 && sigismember(&mask, s) == 1)
			printf("blocked %d\n", s);
		if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			printf("ignored %d\n", s);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int n_args;
		int (*run)(char **args);
	} modes[] = {
		{"stubborn", 0, do_stubborn}, {"orphans", 1, do_orphans}, {"forks", 1, do_forks},
		{"eat", 1, do_eat},	      {"spin", 0, do_spin},	  {"flood", 0, do_flood},
		{"line", 1, do_line},	      {"watch", 1, do_watch},	  {"swap", 3, do_swap},
		{"signal", 1, do_signal},     {"trap", 0, do_trap},	  {"size", 0, do_size},
		{"umask", 0, do_umask},
	};

	for (size_t i = 0; argc >= 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name) && argc - 2 == modes[i].n_args)
			return modes[i].run(argv + 2);
	fprintf(stderr, "usage: %s MODE [ARG]\n", argv[0]);
	return 2;
}
