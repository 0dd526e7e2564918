/*
 * The host's own tree as a jail's root: what packages brought is there to use, everything
 * personal or private is not.
 *
 * The private layer lets the jail's root change what it sees, so host files must appear as its
 * own (an id-mapped mount), and then file modes no longer protect what only the host's root
 * may read.  So that is masked by rule: whatever a stranger of the host could not read in
 * /etc (at every depth) and in the upper levels of /var, and all of what is not of the system.
 * For plain users nothing is mapped, and the kernel itself applies the rule.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "jail/compose.h"

enum { MOUNTINFO_BYTES_MAX = 4 << 20, ETC_DEPTH = 16, MASKS_MAX = 2000 };

/* Writable and empty. */
static const char *const emptied[] = {"/home", "/root", "/tmp", "/run", "/var/tmp"};
/* The system's own folders, which stay.  What else stands in / is somebody's, and is hidden. */
static const char *const system_dirs[] = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt",
	"proc", "sbin", "sys", "usr", "var"};
/* In /var: what people and services leave behind. */
static const char *const private_var[] = {"/var/log", "/var/spool", "/var/mail", "/var/backups", "/var/crash"};

struct scan {
	struct spec *spec;
	const char *work; /* borrowed or NULL */
	struct err *e;
};

static bool in_list(const char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], s))
			return true;
	return false;
}

static void mask(struct scan *s, const char *path)
{
	strv_add(&s->spec->linux.masked_paths, path);
}

static void add_tmpfs(struct spec *spec, const char *path, const char *mode)
{
	const char *const options[] = {"nosuid", "nodev", mode, "size=64m", NULL};

	spec_add_mount(spec, path, "tmpfs", "tmpfs", options);
}

/* Hides a folder: a mask, or an empty tmpfs when the working folder must be shown below it. */
static void hide(struct scan *s, const char *path)
{
	if (s->work && path_is_below(s->work, path))
		add_tmpfs(s->spec, path, "mode=0755");
	else
		mask(s, path);
}

static bool stranger_reads(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return (st->st_mode & 05) == 05;
	return S_ISLNK(st->st_mode) || (st->st_mode & 04);
}

static int scan_dir(struct scan *s, int parent, const char *name, const char *path, int depth);

static int scan_entry(struct scan *s, DIR *d, const char *dir, const struct dirent *de, int depth)
{
	AUTO_FREE char *path = str_fmt("%s/%s", dir, de->d_name);
	struct stat st;

	if (in_list(private_var, ARRAY_SIZE(private_var), path) || de->d_type == DT_LNK)
		return 0;
	if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(s->e, "cannot examine '%s'", path);
	if (!stranger_reads(&st)) {
		if (s->spec->linux.masked_paths.n >= MASKS_MAX)
			return err_set(s->e, E2BIG, "cannot hide what is private in '%s': there is too much of it; use --root",
				dir);
		hide(s, path);
		return 0;
	}
	/* A service's own data: its files are mapped too, whatever their modes. */
	if (S_ISDIR(st.st_mode) && st.st_uid != 0 && path_is_below(path, "/var")) {
		hide(s, path);
		return 0;
	}
	return S_ISDIR(st.st_mode) && depth ? scan_dir(s, dirfd(d), de->d_name, path, depth - 1) : 0;
}

static int scan_dir(struct scan *s, int parent, const char *name, const char *path, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	struct dirent *de;
	DIR *d;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : err_sys(s->e, "cannot list '%s'", path);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(s->e, "cannot list '%s'", path);
	}
	while (r >= 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = scan_entry(s, d, path, de, depth);
	closedir(d);
	return r;
}

/* Folders in / that no system has: hidden, whatever they are. */
static int hide_foreign(struct scan *s)
{
	struct dirent *de;
	DIR *d = opendir("/");

	if (!d)
		return err_sys(s->e, "cannot list '/'");
	while ((de = readdir(d))) {
		AUTO_FREE char *path = str_fmt("/%s", de->d_name);
		struct stat st;

		if (de->d_name[0] == '.' && (!de->d_name[1] || !strcmp(de->d_name, "..")))
			continue;
		if (in_list(system_dirs, ARRAY_SIZE(system_dirs), de->d_name) ||
			in_list(emptied, ARRAY_SIZE(emptied), path) ||
			fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode) || !stranger_reads(&st))
			hide(s, path);
	}
	closedir(d);
	return 0;
}

static int hide_private(struct scan *s, bool mapped)
{
	static const struct {
		const char *name, *path;
		int depth;
	} rules[] = {{"etc", "/etc", ETC_DEPTH}, {"var", "/var", 2}, {"opt", "/opt", 1}, {"boot", "/boot", 1}};
	int r = hide_foreign(s);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(private_var); i++)
		if (faccessat(AT_FDCWD, private_var[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			hide(s, private_var[i]);
	if (!mapped)
		return 0;
	AUTO_FD int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(s->e, "cannot open '/'");
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		r = scan_dir(s, root, rules[i].name, rules[i].path, rules[i].depth);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Undoes mountinfo's escapes (proc(5)) in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to = (char)(((s[1] - '0') << 6) | ((s[2] - '0') << 3) | (s[3] - '0'));
			s += 3;
		} else {
			*to = *s;
		}
	}
	*to = '\0';
}

static bool wanted_submount(const char *path)
{
	static const char *const below[] = {"/usr", "/boot", "/opt", "/etc", "/var", "/lib", "/bin", "/sbin"};

	for (size_t i = 0; i < ARRAY_SIZE(private_var); i++)
		if (path_is_below(path, private_var[i]))
			return false;
	if (path_is_below(path, "/var/tmp") || path_is_below(path, "/var/run"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		if (path_is_below(path, below[i]))
			return true;
	return false;
}

/* An overlay shows one filesystem; the system's other ones are bound over it, read-only. */
static int bind_submounts(struct scan *s, bool mapped)
{
	const char *const plain[] = {"bind", "ro", "nosuid", "nodev", mapped ? "idmap" : NULL, NULL};
	AUTO_FD int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	AUTO_BUF struct buf b = {0};
	char *save = NULL;
	int r = fd < 0 ? err_sys(s->e, "cannot open '/proc/self/mountinfo'") :
			 file_read_fd(fd, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &b, s->e);

	if (r < 0)
		return r;
	for (char *line = strtok_r(b.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char point[4097];

		if (sscanf(line, "%*s %*s %*s %*s %4096s", point) != 1)
			continue;
		unescape(point);
		if (wanted_submount(point))
			spec_add_mount(s->spec, point, "bind", point, plain);
	}
	return 0;
}

int compose_host_root(const struct jail_env *env, const struct jail_def *def, struct spec *spec, struct err *e)
{
	struct scan s = {.spec = spec, .work = def->root.work, .e = e};
	bool mapped = env->root;

	if (bind_submounts(&s, mapped) < 0 || hide_private(&s, mapped) < 0)
		return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(emptied); i++)
		if (access(emptied[i], F_OK) == 0)
			add_tmpfs(spec, emptied[i], strstr(emptied[i], "tmp") ? "mode=1777" : "mode=0755");
	if (def->root.work) {
		const char *const options[] = {"rbind", "nosuid", "nodev", mapped ? "ridmap" : NULL, NULL};

		spec_add_mount(spec, def->root.work, "bind", def->root.work, options);
	}
	return 0;
}
