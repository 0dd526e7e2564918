/* The processes of a jail, from procfs; everything in them is the jail's to choose. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
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

	if (!s || sscanf(s + 1,
			  " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d "
			  "%*d %llu %*u %ld",
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
	return rec->id_count && id >= rec->id_base && id - rec->id_base < rec->id_count
		       ? id - rec->id_base
		       : id;
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
		/* A process that has set its title leaves the room behind it as blanks. */
		for (size_t i = strlen(b.p); i > 0 && b.p[i - 1] == ' '; i--)
			b.p[i - 1] = 0;
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

struct family {
	pid_t pid, parent;
	bool member;
};

static int list_all(struct family **ret, size_t *ret_n, struct err *e)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	size_t cap = 0;

	if (!d)
		return err_sys(e, "cannot list '/proc'");
	while ((de = readdir(d))) {
		AUTO_BUF struct buf b = {0};
		char path[300];
		struct jail_proc p;

		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/stat", de->d_name);
		if (!read_proc(dirfd(d), path, &b) || !parse_stat(b.p, &p, 0))
			continue;
		*ret = mem_grow(*ret, &cap, *ret_n + 1, sizeof(**ret));
		(*ret)[(*ret_n)++] =
			(struct family){(pid_t)strtol(de->d_name, NULL, 10), p.parent_pid, false};
	}
	closedir(d);
	return 0;
}

/*
 * Without a control group: everything that descends from the supervisor.  Whoever loses its
 * parent inside gets the jail's init for one, and that is the supervisor's child, as every exec
 * is; so nothing can leave the family.
 */
static int pids_by_family(pid_t supervisor, pid_t **ret, size_t *ret_n, struct err *e)
{
	AUTO_FREE struct family *all = NULL;
	size_t n = 0;
	bool grown = true;

	if (list_all(&all, &n, e) < 0)
		return -e->code;
	*ret = mem_new_array(n + 1, sizeof(**ret));
	while (grown) {
		grown = false;
		for (size_t i = 0; i < n; i++) {
			if (all[i].member)
				continue;
			all[i].member = all[i].parent == supervisor;
			for (size_t k = 0; k < *ret_n && !all[i].member; k++)
				all[i].member = (*ret)[k] == all[i].parent;
			if (!all[i].member)
				continue;
			(*ret)[(*ret_n)++] = all[i].pid;
			grown = true;
		}
	}
	return 0;
}

/* The pids in a running jail, and its record; *ret is owned. */
static int pids_of(struct jail_env *env, const char *which, struct idx_record *ret_rec, pid_t **ret,
	size_t *ret_n, struct err *e)
{
	struct iso_cgroup cg = ISO_CGROUP_INIT;
	struct err none = {0};
	uint32_t slot;
	int r;

	if (find_slot(env, which, &slot, ret_rec, e) < 0)
		return -e->code;
	if (!is_up(ret_rec))
		return err_set(e, ESRCH, "jail '%s' is not running", ret_rec->name);
	AUTO_FREE char *path = env_cgroup(env, ret_rec->name);
	if (iso_cgroup_open(path, &cg, &none) == 0 && cg.mode != ISO_CGROUP_NONE)
		r = iso_cgroup_pids(&cg, ret, ret_n, e);
	else
		r = pids_by_family((pid_t)(ret_rec->owner & FUTEX_TID_MASK), ret, ret_n, e);
	iso_cgroup_release(&cg);
	return r;
}

int jail_ps(struct jail_env *env, const char *which, struct jail_proc **ret, size_t *ret_n,
	struct err *e)
{
	uint64_t boot_ms = time_wall_ms() - time_mono_ms();
	AUTO_FREE pid_t *pids = NULL;
	struct jail_proc *list = NULL;
	size_t n_pids = 0, n = 0, cap = 0;
	struct idx_record rec;
	int r = pids_of(env, which, &rec, &pids, &n_pids, e);

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

int ps_cpu(struct jail_env *env, const char *which, uint64_t *ret_user_usec,
	uint64_t *ret_system_usec, struct err *e)
{
	uint64_t user = 0, system = 0, ticks = (uint64_t)sysconf(_SC_CLK_TCK);
	AUTO_FREE pid_t *pids = NULL;
	struct idx_record rec;
	size_t n = 0;
	int r = pids_of(env, which, &rec, &pids, &n, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		unsigned long utime, stime, cutime, cstime;
		AUTO_BUF struct buf b = {0};
		char path[32];
		const char *s;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
		if (!read_proc(AT_FDCWD, path, &b) || !(s = strrchr(b.p, ')')) ||
			sscanf(s + 1,
				" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu",
				&utime, &stime, &cutime, &cstime) != 4)
			continue;
		user += utime + cutime;
		system += stime + cstime;
	}
	*ret_user_usec = user * 1000000 / ticks;
	*ret_system_usec = system * 1000000 / ticks;
	return 0;
}
