/*
 * Runs one program in a micro-VM and relays its output: the machine, the agent and the engine
 * together, without a manager.
 *
 *	jail-test-guest VMM KERNEL-DIR AGENT-CPIO ROOT-IMAGE TYPE MEMORY-MIB CPUS [exec] PROGRAM
 *[ARGUMENT...]
 *
 * The serial port goes to standard error.  With "exec" the jail's own program is "sleep" and
 * PROGRAM is executed beside it; with "tty" it gets a terminal.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/proc.h"
#include "spec/spec.h"
#include "vm/vm.h"

static const char *const proc_options[] = {"nosuid", "noexec", "nodev", NULL};
static const char *const tmp_options[] = {"nosuid", "nodev", "mode=1777", NULL};
static const char *const dev_options[] = {"nosuid", "strictatime", "mode=755", "size=65536k", NULL};
static const char *const pts_options[] = {
	"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", NULL};

static void fill_process(struct spec_process *p, char **argv, bool terminal)
{
	for (; *argv; argv++)
		strv_add(&p->args, *argv);
	strv_add(&p->env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(&p->env, "TERM=xterm");
	p->cwd = str_dup("/");
	p->terminal = terminal;
	p->no_new_privileges = true;
}

static void fill_spec(struct spec *s, char **argv, bool terminal)
{
	s->oci_version = str_dup(SPEC_OCI_VERSION);
	s->root.path = str_dup("rootfs");
	s->process = mem_new(sizeof(*s->process));
	fill_process(s->process, argv, terminal);
	s->hostname = str_dup("guest");
	spec_add_mount(s, "/proc", "proc", "proc", proc_options);
	spec_add_mount(s, "/dev", "tmpfs", "tmpfs", dev_options);
	spec_add_mount(s, "/dev/pts", "devpts", "devpts", pts_options);
	spec_add_mount(s, "/tmp", "tmpfs", "tmpfs", tmp_options);
	for (int k = SPEC_NS_PID; k < SPEC_NS_KINDS; k++)
		if (k != SPEC_NS_NETWORK && k != SPEC_NS_USER && k != SPEC_NS_TIME)
			spec_add_ns(s, (enum spec_ns_kind)k, NULL);
	s->has_linux = true;
}

static void copy(int from, int to)
{
	char b[65536];
	ssize_t n;

	while ((n = read(from, b, sizeof(b))) > 0)
		if (fd_write_full(to, b, (size_t)n) < 0)
			return;
}

/* Our input to the program in a process of its own; both outputs here, one after the other. */
static void relay(struct agent_job *job, bool terminal)
{
	pid_t pid = fork();

	if (pid == 0) {
		copy(0, job->stream_fd[0]);
		shutdown(job->stream_fd[0], SHUT_WR);
		_exit(0);
	}
	copy(job->stream_fd[terminal ? 0 : 1], 1);
	if (!terminal)
		copy(job->stream_fd[2], 2);
	kill(pid, SIGKILL);
}

static int request(
	struct agent_session *s, enum wire_type type, uint32_t id, const char *body, struct err *e)
{
	return agent_request(s,
		&(struct wire_frame){.type = (uint16_t)type,
			.id = id,
			.body = body,
			.body_bytes = body ? (uint32_t)strlen(body) : 0},
		e);
}

static int create(struct agent_session *s, const char *type, char **argv, unsigned int streams,
	struct agent_job *job, struct err *e)
{
	AUTO_FREE char *root = str_fmt(
		"{\"device\":\"/dev/vda\",\"type\":\"%s\",\"readonly\":true,\"layer\":true}", type);
	AUTO_FREE char *json = NULL;
	struct spec spec = {0};
	int r;

	fill_spec(&spec, argv, streams & WIRE_TERMINAL);
	json = spec_print(&spec, JSON_COMPACT);
	spec_release(&spec);
	r = getenv("GUEST_NET") ? request(s, WIRE_NET, 0, getenv("GUEST_NET"), e) : 0;
	if (r >= 0)
		r = request(s, WIRE_ROOT, 0, root, e);
	if (r >= 0)
		r = agent_open(s, WIRE_CREATE, json, streams, job, e);
	if (r >= 0)
		r = request(s, WIRE_START, job->id, NULL, e);
	return r;
}

static int run_exec(const char *path, char **argv, unsigned int streams, int *status, struct err *e)
{
	struct agent_session s = AGENT_SESSION_INIT;
	struct agent_job job = AGENT_JOB_INIT;
	struct spec_process p = {0};
	AUTO_FREE char *json = NULL;
	int r;

	fill_process(&p, argv, streams & WIRE_TERMINAL);
	json = json_print_text(&spec_process_table, &p, JSON_COMPACT);
	spec_process_release(&p);
	r = agent_dial(&s, path, 20000, e);
	if (r >= 0)
		r = agent_open(&s, WIRE_EXEC, json, streams, &job, e);
	if (r >= 0) {
		relay(&job, streams & WIRE_TERMINAL);
		r = agent_wait(&s, &job, 20000, status, e);
	}
	agent_job_release(&job);
	agent_session_release(&s);
	return r;
}

static int run(struct agent_session *s, const char *path, const char *type, char **argv,
	int *status, struct err *e)
{
	static char *sleeper[] = {"sleep", "1000", NULL};
	unsigned int streams = WIRE_STDIN | WIRE_STDOUT | WIRE_STDERR;
	struct agent_job job = AGENT_JOB_INIT;
	bool exec = !strcmp(argv[0], "exec");
	int r;

	argv += exec;
	if (!strcmp(argv[0], "tty")) {
		streams = WIRE_TERMINAL;
		argv++;
	}
	r = create(s, type, exec ? sleeper : argv, exec ? 0 : streams, &job, e);
	if (r < 0)
		return r;
	if (exec) {
		r = run_exec(path, argv, streams, status, e);
	} else {
		relay(&job, streams & WIRE_TERMINAL);
		r = agent_wait(s, &job, 20000, status, e);
	}
	agent_job_release(&job);
	return r;
}

int main(int argc, char **argv)
{
	struct vm_handle h = VM_HANDLE_INIT;
	struct agent_session s = AGENT_SESSION_INIT;
	AUTO_FREE char *path = str_fmt("/tmp/guest.%d", getpid());
	struct vm_disk disk = {.read_only = true};
	const char *tap = getenv("GUEST_TAP"); /* a descriptor */
	uint64_t mib, cpus, tap_number = 0;
	struct err e = {0};
	int fd, status = 0;

	if (argc < 9 || parse_u64(argv[6], 64, 65536, &mib, &e) < 0 ||
		parse_u64(argv[7], 1, 32, &cpus, &e) < 0) {
		fprintf(stderr, "guest: wrong arguments\n");
		return 2;
	}
	if (tap && parse_u64(tap, 0, 1023, &tap_number, &e) < 0)
		return 2;
	disk.path = argv[4];
	if (vm_start(&(struct vm_start){.program = argv[1],
			     .kernel_dir = argv[2],
			     .agent_archive = argv[3],
			     .append = getenv("GUEST_APPEND"),
			     .memory_bytes = mib << 20,
			     .n_cpus = (unsigned int)cpus,
			     .disks = &disk,
			     .n_disks = 1,
			     .socket_path = path,
			     .tap_fd = tap ? (int)tap_number : -1,
			     .tap_mac = {2, 0, 0, 0, 0, 1},
			     .serial_fd = 2,
			     .stderr_fd = -1},
		    &h, &e) < 0 ||
		(fd = vm_await_guest(&h, 120000, &e)) < 0 ||
		agent_adopt(&s, fd, path, 30000, &e) < 0 ||
		run(&s, path, argv[5], argv + 8, &status, &e) < 0)
		fprintf(stderr, "guest: %s\n", e.text);
	agent_session_release(&s);
	if (h.pidfd >= 0)
		vm_stop(&h, 5000, &e);
	vm_handle_release(&h);
	return e.code ? ERR_EXIT_TOOL : proc_exit_code(status);
}
