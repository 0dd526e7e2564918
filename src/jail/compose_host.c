/*
 * The host's own tree as a jail's root: what packages brought is there to use, everything
 * personal or private is not.
 *
 * The private layer lets the jail's root change what it sees of "/", /usr and /etc, so the
 * files there must appear as its own (an id-mapped mount), and then file modes no longer
 * protect what only the host's root may read.  So that is masked by rule: whatever in /etc, at
 * every depth, a stranger of the host could not read.  /var, /opt and /boot are shown
 * read-only with the ids that they have, so that there the kernel itself applies the rule; and
 * what stands in "/" and is not of the system is not shown.  Plain users have nothing mapped
 * anywhere (plain_view).
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
#include "jail/internal.h"

enum { SCAN_DEPTH = 64, MASKS_MAX = 2000 };

/* Writable and empty. */
static const char *const emptied[] = {"/home", "/root", "/tmp", "/run", "/var/tmp"};
/* The system's own folders, which stay.  What else stands in / is somebody's, and is hidden. */
static const char *const system_dirs[] = {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64",
	"libx32", "opt", "proc", "sbin", "sys", "usr", "var"};
/* Where anybody's secrets may lie at any depth, and packages little that a program must change. */
static const char *const unmapped[] = {"/var", "/opt", "/boot"};
/* In /var: what people and services leave behind. */
static const char *const private_var[] = {
	"/var/log", "/var/spool", "/var/mail", "/var/backups", "/var/crash"};

struct scan {
	struct spec *spec;
	const char *work; /* borrowed or NULL */
	struct buf path; /* while scanning */
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

static int scan_dir(struct scan *s, int parent, const char *name, int depth);

/* s->path is the folder's; the entry's name is put behind it for as long as it is looked at. */
static int scan_entry(struct scan *s, DIR *d, const struct dirent *de, int depth)
{
	size_t before = s->path.n;
	struct stat st;
	int r = 0;

	if (de->d_type == DT_LNK)
		return 0;
	if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : err_sys(s->e, "cannot examine '%s' in '%s'", de->d_name,
						 s->path.p);
	buf_add(&s->path, "/", 1);
	buf_adds(&s->path, de->d_name);
	if (stranger_reads(&st))
		r = S_ISDIR(st.st_mode) && depth ? scan_dir(s, dirfd(d), de->d_name, depth - 1) : 0;
	else if (s->spec->linux.masked_paths.n >= MASKS_MAX)
		r = err_set(s->e, E2BIG, "cannot hide '%s': too much is private here; use --root",
			s->path.p);
	else
		hide(s, s->path.p);
	s->path.p[s->path.n = before] = '\0';
	return r;
}

static int scan_dir(struct scan *s, int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	struct dirent *de;
	DIR *d;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
			       ? 0
			       : err_sys(s->e, "cannot list '%s'", s->path.p);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(s->e, "cannot list '%s'", s->path.p);
	}
	while (r >= 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = scan_entry(s, d, de, depth);
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
			fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode) || !stranger_reads(&st))
			hide(s, path);
	}
	closedir(d);
	return 0;
}

static int hide_private(struct scan *s)
{
	static const char *const scanned[] = {"/etc", "/usr/local/etc"};
	int r = hide_foreign(s);

	for (size_t i = 0; i < ARRAY_SIZE(private_var); i++)
		if (faccessat(AT_FDCWD, private_var[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			hide(s, private_var[i]);
	for (size_t i = 0; i < ARRAY_SIZE(scanned) && r >= 0; i++) {
		s->path.n = 0;
		buf_adds(&s->path, scanned[i]);
		r = scan_dir(s, AT_FDCWD, scanned[i], SCAN_DEPTH);
	}
	return r;
}

/* Shown with the ids that they have: nobody inside is more than a stranger there. */
static void bind_unmapped(struct scan *s)
{
	static const char *const options[] = {"rbind", "rro", "rnosuid", "rnodev", NULL};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(unmapped); i++)
		if (lstat(unmapped[i], &st) == 0 && S_ISDIR(st.st_mode))
			spec_add_mount(s->spec, unmapped[i], "bind", unmapped[i], options);
}

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' &&
	       s[2] <= '7';
}

void mountinfo_unescape(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		if (s[0] == '\\' && is_octal(s + 1)) {
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
	static const char *const below[] = {"/usr", "/etc", "/lib", "/bin", "/sbin"};

	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		if (path_is_below(path, below[i]))
			return true;
	return false;
}

/* An overlay shows one filesystem; the system's other ones are bound over it, read-only. */
static int bind_submounts(struct scan *s)
{
	const char *const plain[] = {"bind", "ro", "nosuid", "nodev", "idmap", NULL};
	AUTO_FD int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	AUTO_BUF struct buf b = {0};
	char *save = NULL;
	int r = fd < 0 ? err_sys(s->e, "cannot open '/proc/self/mountinfo'")
		       : file_read_fd(fd, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &b, s->e);

	if (r < 0)
		return r;
	for (char *line = strtok_r(b.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char point[4097];

		if (sscanf(line, "%*s %*s %*s %*s %4096s", point) != 1)
			continue;
		mountinfo_unescape(point);
		if (wanted_submount(point))
			spec_add_mount(s->spec, point, "bind", point, plain);
	}
	return 0;
}

/*
 * A plain user's view: the system's folders bound read-only into a tree of our own, skeleton,
 * which holds nothing but mount points and the links that stand in "/".  An overlay over "/"
 * itself is refused in a user namespace, because mounts lie on it that this namespace may not
 * take away; and a layer over the system would be of no use, since what the host's root owns
 * belongs to nobody inside.
 */
static int bind_system(struct scan *s, int skeleton)
{
	static const char *const options[] = {"rbind", "rro", "rnosuid", "rnodev", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(system_dirs); i++) {
		AUTO_FREE char *path = str_fmt("/%s", system_dirs[i]);
		char target[4096];
		struct stat st;
		ssize_t n;

		if (lstat(path, &st) < 0)
			continue;
		if (S_ISLNK(st.st_mode)) {
			n = readlink(path, target, sizeof(target) - 1);
			target[MAX(n, 0)] = '\0';
			if (n < 0 || (symlinkat(target, skeleton, system_dirs[i]) < 0 &&
					     errno != EEXIST))
				return err_sys(s->e, "cannot make link '%s' for the jail", path);
			continue;
		}
		if (mkdirat(skeleton, system_dirs[i], 0755) < 0 && errno != EEXIST)
			return err_sys(s->e, "cannot make '%s' for the jail", path);
		if (S_ISDIR(st.st_mode) && strcmp(path, "/dev") && strcmp(path, "/proc") &&
			strcmp(path, "/sys"))
			spec_add_mount(s->spec, path, "bind", path, options);
	}
	return 0;
}

static int plain_view(struct scan *s, const char *run_path, char **ret_root)
{
	AUTO_FREE char *root = str_fmt("%s/root", run_path);

	if (mkdir(root, 0755) < 0 && errno != EEXIST)
		return err_sys(s->e, "cannot make '%s'", root);
	AUTO_FD int skeleton = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (skeleton < 0)
		return err_sys(s->e, "cannot open '%s'", root);
	if (bind_system(s, skeleton) < 0)
		return -s->e->code;
	for (size_t i = 0; i < ARRAY_SIZE(private_var); i++)
		if (faccessat(AT_FDCWD, private_var[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			hide(s, private_var[i]);
	free(*ret_root);
	*ret_root = mem_take(&root);
	return 0;
}

int compose_host_root(const struct jail_env *env, const struct jail_def *def, const char *run_path,
	struct spec *spec, char **ret_root, struct err *e)
{
	struct scan s = {.spec = spec, .work = def->root.work, .e = e};
	const char *const work[] = {
		"rbind", "rnosuid", "rnodev", env->root ? "ridmap" : NULL, NULL};

	if (!env->root && plain_view(&s, run_path, ret_root) < 0)
		return -e->code;
	if (env->root) {
		int r = bind_submounts(&s);

		bind_unmapped(&s);
		if (!r)
			r = hide_private(&s);
		buf_release(&s.path);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(emptied); i++)
		if (access(emptied[i], F_OK) == 0)
			add_tmpfs(spec, emptied[i],
				strstr(emptied[i], "tmp") ? "mode=1777" : "mode=0755");
	if (def->root.work)
		spec_add_mount(spec, def->root.work, "bind", def->root.work, work);
	return 0;
}
