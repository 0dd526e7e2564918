/*
 * Times whole processes of several programs in turn.
 *
 *	driver ROUNDS WARMUP < plan > samples
 *
 * The plan is lines of tab-separated words; "column" opens a column:
 *	column	NAME
 *	ns	PID		its commands run in that process's mount namespace
 *	before	PROGRAM	ARG...	not timed
 *	run	PROGRAM	ARG...	timed: posix_spawn until it has been waited for
 *	after	PROGRAM	ARG...	not timed
 * Every round runs each column once, beginning with another one each time, so that whatever
 * else the machine does meets all alike.  Samples: "NAME<tab>STATUS<tab>NANOSECONDS" a line.
 *
 * Each column has a worker process of its own, which enters the namespace once, before the
 * first round; the clock is read in the worker.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS_MAX = 64, WORDS_MAX = 128, LINE_MAX_BYTES = 16384 };
enum step { BEFORE, RUN, AFTER, STEPS };

struct column {
	char *name;
	char **argv[STEPS]; /* NULL: nothing */
	pid_t ns;
	int ask[2], answer[2];
};

struct sample {
	uint64_t ns;
	int status;
};

extern char **environ;

static void die(const char *what)
{
	fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int run(char **argv)
{
	posix_spawn_file_actions_t fa;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	if (getenv("BENCH_QUIET"))
		posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	errno = posix_spawn(&pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (errno)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void enter(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		die(path);
	close(fd);
}

static void work(const struct column *c)
{
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (c->ns)
		enter(c->ns);
	while (read(c->ask[0], &go, 1) == 1) {
		struct sample s = {0};
		uint64_t begin;

		if (c->argv[BEFORE])
			run(c->argv[BEFORE]);
		begin = now_ns();
		s.status = run(c->argv[RUN]);
		s.ns = now_ns() - begin;
		if (c->argv[AFTER])
			run(c->argv[AFTER]);
		if (write(c->answer[1], &s, sizeof(s)) != sizeof(s))
			_exit(1);
	}
	_exit(0);
}

static void start(struct column *c)
{
	pid_t pid;

	if (pipe2(c->ask, O_CLOEXEC) < 0 || pipe2(c->answer, O_CLOEXEC) < 0)
		die("pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(c->ask[1]);
		close(c->answer[0]);
		work(c);
	}
	close(c->ask[0]);
	close(c->answer[1]);
}

static char **words(char *line)
{
	char **v = calloc(WORDS_MAX + 1, sizeof(*v)), *save = NULL;
	int n = 0;

	for (char *w = strtok_r(line, "\t\n", &save); w && n < WORDS_MAX; w = strtok_r(NULL, "\t\n", &save))
		v[n++] = strdup(w);
	return v;
}

static size_t read_plan(struct column *columns)
{
	static const char *const steps[STEPS] = {"before", "run", "after"};
	static char line[LINE_MAX_BYTES];
	size_t n = 0;

	while (fgets(line, sizeof(line), stdin)) {
		char **v = words(line);
		struct column *c = n ? &columns[n - 1] : NULL;

		if (!v[0])
			continue;
		if (!strcmp(v[0], "column") && v[1] && n < COLUMNS_MAX) {
			columns[n++].name = v[1];
			continue;
		}
		if (c && !strcmp(v[0], "ns") && v[1])
			c->ns = (pid_t)strtol(v[1], NULL, 10);
		for (int i = 0; c && i < STEPS; i++)
			if (!strcmp(v[0], steps[i]))
				c->argv[i] = v + 1;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct column columns[COLUMNS_MAX];
	long rounds = argc == 3 ? strtol(argv[1], NULL, 10) : 0, warmup = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	size_t n = read_plan(columns);

	if (rounds <= 0 || !n) {
		fprintf(stderr, "usage: driver ROUNDS WARMUP < plan > samples\n");
		return 2;
	}
	for (size_t i = 0; i < n; i++)
		start(&columns[i]);
	for (long r = 0; r < rounds + warmup; r++)
		for (size_t i = 0; i < n; i++) {
			struct column *c = &columns[((size_t)r + i) % n];
			struct sample s;

			if (write(c->ask[1], "g", 1) != 1 || read(c->answer[0], &s, sizeof(s)) != sizeof(s))
				die(c->name);
			if (r >= warmup)
				printf("%s\t%d\t%llu\n", c->name, s.status, (unsigned long long)s.ns);
		}
	return 0;
}
