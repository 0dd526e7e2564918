#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/cgroup.h"
#include "jail/internal.h"

/* The value of an environment variable that names a directory, or NULL. */
static const char *dir_from_env(const char *name)
{
	const char *v = getenv(name);

	/* The XDG specification: a relative path is to be ignored. */
	return v && v[0] == '/' ? v : NULL;
}

/* Makes path and its missing parents; existing ones are left as they are. */
static int make_dirs(const char *path, struct err *e)
{
	AUTO_FREE char *p = str_dup(path);

	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "cannot make directory '%s'", p);
		*s = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make directory '%s'", path);
	return 0;
}

/* Opens a directory that only the caller may write, making it when it is missing. */
static int open_own_dir(const char *path, const char *what, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		if (make_dirs(path, e) < 0)
			return -e->code;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(e, "cannot open the %s directory '%s'", what, path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine '%s'", path);
	if (st.st_uid != geteuid())
		return err_set(e, EPERM,
			"cannot use the %s directory '%s': it belongs to user %u, not to %u", what,
			path, st.st_uid, geteuid());
	if (st.st_mode & 022)
		return err_set(e, EPERM,
			"cannot use the %s directory '%s': others may write it (mode %04o); chmod "
			"go-w it",
			what, path, st.st_mode & 07777);
	return fd_take(&fd);
}

static int open_below(int dirfd, const char *name, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
			return err_sys(e, "cannot make directory '%s'", name);
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	}
	return fd < 0 ? err_sys(e, "cannot open directory '%s'", name) : fd;
}

static int user_dirs(struct jail_env *env, struct err *e)
{
	const char *home = dir_from_env("HOME"), *data = dir_from_env("XDG_DATA_HOME"),
		   *run = dir_from_env("XDG_RUNTIME_DIR"), *conf = dir_from_env("XDG_CONFIG_HOME");

	if (!home && (!data || !conf))
		return err_set(e, ENOENT,
			"cannot tell where to keep jails: HOME is not set; set HOME or "
			"XDG_DATA_HOME");
	env->state_dir = data ? str_fmt("%s/jail", data) : str_fmt("%s/.local/share/jail", home);
	env->conf_dir = conf ? str_fmt("%s/jail", conf) : str_fmt("%s/.config/jail", home);
	/* Without a runtime directory the state lies on disk; the boot id in the index dates it. */
	env->run_dir = run ? str_fmt("%s/jail", run) : str_fmt("%s/run", env->state_dir);
	return 0;
}

static int choose_dirs(struct jail_env *env, struct err *e)
{
	const char *state = getenv("JAIL_STATE_DIR"), *run = getenv("JAIL_RUN_DIR");

	if ((state && state[0] != '/') || (run && run[0] != '/'))
		return err_set(e, EINVAL, "JAIL_STATE_DIR and JAIL_RUN_DIR must be absolute paths");
	if (env->root) {
		env->state_dir = str_dup("/var/lib/jail");
		env->run_dir = str_dup("/run/jail");
		env->conf_dir = str_dup("/etc/jail");
	} else if (!(state && run) && user_dirs(env, e) < 0) {
		return -e->code;
	}
	if (state)
		str_set(&env->state_dir, state);
	if (run) {
		str_set(&env->run_dir, run);
	} else if (state) {
		/* A state of one's own is not to share its index with another. */
		free(env->run_dir);
		env->run_dir = str_fmt("%s/run", state);
	}
	if (!env->conf_dir)
		env->conf_dir = str_fmt("%s/etc", env->state_dir);
	return 0;
}

/* Environments that share a host must not share control groups. */
static void name_cgroup_base(struct jail_env *env)
{
	uint32_t h = 2166136261u;

	if (env->root && !strcmp(env->run_dir, "/run/jail")) {
		env->cgroup_base[0] = '\0';
		return;
	}
	for (const char *p = env->run_dir; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	snprintf(env->cgroup_base, sizeof(env->cgroup_base), "%u-%08x~", env->uid,
		h); /* no name has a '~' */
}

int jail_env_open(struct jail_env *ret, struct err *e)
{
	struct jail_env env = JAIL_ENV_INIT;

	env.uid = geteuid();
	env.gid = getegid();
	env.root = !env.uid;
	if (choose_dirs(&env, e) < 0 ||
		(env.state_fd = open_own_dir(env.state_dir, "state", e)) < 0 ||
		(env.run_fd = open_own_dir(env.run_dir, "run", e)) < 0 ||
		(env.jails_fd = open_below(env.state_fd, "jails", e)) < 0)
		goto fail;
	name_cgroup_base(&env);
	if (idx_open(&env, e) < 0)
		goto fail;
	*ret = env;
	return 0;
fail:
	jail_env_release(&env);
	return -e->code;
}

void jail_env_release(struct jail_env *env)
{
	idx_close(env->index);
	fd_close(&env->state_fd);
	fd_close(&env->run_fd);
	fd_close(&env->jails_fd);
	free(env->state_dir);
	free(env->run_dir);
	free(env->conf_dir);
	*env = (struct jail_env)JAIL_ENV_INIT;
}

int env_jail_dir(const struct jail_env *env, const char *name, struct err *e)
{
	int fd = openat(env->jails_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(e, "cannot open '%s/jails/%s'", env->state_dir, name) : fd;
}

int env_run_dir(const struct jail_env *env, const char *name, struct err *e)
{
	char path[JAIL_NAME_MAX + 8];
	int fd;

	snprintf(path, sizeof(path), RUN_JAILS "/%s", name);
	fd = path_try(env->run_fd, path, O_RDONLY | O_DIRECTORY, PATH_NO_SYMLINKS);
	return fd < 0 ? err_set(e, -fd, "cannot open '%s/%s': %s", env->run_dir, path,
				strerrordesc_np(-fd))
		      : fd;
}

char *env_cgroup(const struct jail_env *env, const char *name)
{
	AUTO_FREE char *own = str_fmt("%s%s", env->cgroup_base, name);

	return iso_cgroup_path(own);
}

int env_filter_cache(const struct jail_env *env, struct err *e)
{
	return open_below(env->state_fd, "filters", e);
}
