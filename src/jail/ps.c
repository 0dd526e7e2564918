/* The processes of a jail, from procfs; everything in them is the jail's to choose. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "isolation/cgroup.h"
#include "jail/client.h"

enum { PROC_BYTES_MAX = 64 * 1024 };

/* A file of /proc/PID as text; false when the process has gone. */
static bool read_proc(int dir, const char *name, struct buf *ret)
{
	struct err none = {0};
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && file_read_fd(fd, name, PROC_BYTES_MAX, ret, &none) == 0;
}

/* proc(5): the name in parentheses may hold anything, the last ')' ends it. */
static bool parse_stat(const char *text, struct jail_proc *p, uint64_t boot_ms)
{
	const char *s = strrchr(text, ')');
	long ticks = sysconf(_SC_CLK_TCK);
	unsigned long utime, stime;
	unsigned long long start;
	long rss;
	int ppid;

	if (!s || sscanf(s + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
			  &p->state, &ppid, &utime, &stime, &start, &rss) != 6)
		return false;
	p->parent_pid = ppid;
	p->cpu_ms = (utime + stime) * 1000 / (unsigned long)ticks;
	p->rss_bytes = (uint64_t)MAX(rss, 0) * (uint64_t)sysconf(_SC_PAGESIZE);
	p->started_ms = boot_ms + start * 1000 / (unsigned long)ticks;
	return true;
}

static uint32_t inner_id(uint32_t id, const struct idx_record *rec)
{
	return rec->id_count && id >= rec->id_base && id - rec->id_base < rec->id_count ? id - rec->id_base : id;
}

static void parse_status(const char *text, struct jail_proc *p, const struct idx_record *rec)
{
	const char *uid = strstr(text, "\nUid:"), *nspid = strstr(text, "\nNSpid:"), *end;

	p->uid = uid ? (uint32_t)strtoul(uid + 5, NULL, 10) : UINT32_MAX;
	p->inner_uid = inner_id(p->uid, rec);
	p->inner_pid = p->pid;
	if (!nspid)
		return;
	/* Host first, the innermost namespace last. */
	end = strchr(nspid + 1, '\n');
	for (const char *s = nspid + 7; s && s < end;) {
		char *next;
		long v = strtol(s, &next, 10);

		if (next == s || (end && next > end))
			break;
		p->inner_pid = (pid_t)v;
		s = next;
	}
}

static void command_of(int dir, const char *stat, struct jail_proc *p)
{
	AUTO_BUF struct buf b = {0};
	AUTO_FREE char *shown = NULL;
	const char *open, *close;

	if (read_proc(dir, "cmdline", &b) && b.n) {
		for (size_t i = 0; i + 1 < b.n; i++)
			if (!b.p[i])
				b.p[i] = ' ';
		shown = str_visible(b.p);
		snprintf(p->command, sizeof(p->command), "%s", shown);
		return;
	}
	open = strchr(stat, '(');
	close = strrchr(stat, ')');
	if (open && close && close > open) {
		AUTO_FREE char *name = str_dup_n(open + 1, (size_t)(close - open - 1));

		shown = str_visible(name);
		snprintf(p->command, sizeof(p->command), "[%s]", shown);
	}
}

static bool look(pid_t pid, const struct idx_record *rec, uint64_t boot_ms, struct jail_proc *ret)
{
	AUTO_BUF struct buf stat = {0}, status = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	/* One descriptor for all files: the number cannot become another process's in between. */
	AUTO_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret = (struct jail_proc){.pid = pid};
	if (dir < 0 || !read_proc(dir, "stat", &stat) || !parse_stat(stat.p, ret, boot_ms) ||
		!read_proc(dir, "status", &status))
		return false;
	parse_status(status.p, ret, rec);
	command_of(dir, stat.p, ret);
	return true;
}

static void add_proc(struct jail_proc **list, size_t *n, size_t *cap, const struct jail_proc *p)
{
	*list = mem_grow(*list, cap, *n + 1, sizeof(**list));
	(*list)[(*n)++] = *p;
}

/* Without a control group: whoever is in the pid namespace of the init. */
static int pids_by_namespace(pid_t init, pid_t **ret, size_t *ret_n, struct err *e)
{
	AUTO_FREE char *init_ns = str_fmt("/proc/%d/ns/pid", (int)init);
	DIR *d = opendir("/proc");
	struct stat own, other;
	struct dirent *de;
	size_t cap = 0;

	if (!d)
		return err_sys(e, "cannot list '/proc'");
	if (stat(init_ns, &own) < 0) {
		err_sys(e, "cannot examine the jail's init");
		closedir(d);
		return -e->code;
	}
	while ((de = readdir(d))) {
		char path[300];

		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/ns/pid", de->d_name);
		if (fstatat(dirfd(d), path, &other, 0) < 0 || other.st_ino != own.st_ino || other.st_dev != own.st_dev)
			continue;
		*ret = mem_grow(*ret, &cap, *ret_n + 1, sizeof(**ret));
		(*ret)[(*ret_n)++] = (pid_t)strtol(de->d_name, NULL, 10);
	}
	closedir(d);
	return 0;
}

int jail_ps(struct jail_env *env, const char *which, struct jail_proc **ret, size_t *ret_n, struct err *e)
{
	uint64_t boot_ms = time_wall_ms() - time_mono_ms();
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	AUTO_FREE pid_t *pids = NULL;
	struct jail_proc *list = NULL;
	size_t n_pids = 0, n = 0, cap = 0;
	struct idx_record rec;
	struct err none = {0};
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, &rec, e) < 0)
		return -e->code;
	if (!is_up(&rec))
		return err_set(e, ESRCH, "jail '%s' is not running", rec.name);
	AUTO_FREE char *path = env_cgroup(env, rec.name);
	if (iso_cgroup_open(path, &cg, &none) == 0 && cg.mode != ISO_CGROUP_NONE)
		r = iso_cgroup_pids(&cg, &pids, &n_pids, e);
	else
		r = pids_by_namespace(rec.init_pid, &pids, &n_pids, e);
	iso_cgroup_release(&cg);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_pids; i++) {
		struct jail_proc p;

		if (look(pids[i], &rec, boot_ms, &p))
			add_proc(&list, &n, &cap, &p);
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
