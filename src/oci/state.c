/*
 * The directory of state: claiming an id, finding a container again, and what the kernel says
 * about it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "oci/internal.h"

/* Containers on their way in and out: outside the names that commands look for. */
#define TRANSIT ".transit"
enum { TRANSIT_STALE_S = 60, LOCK_POLL_MS = 5, FORMAT_VERSION = 1 };

const char *const oci_status_names[] = {
	"creating", "created", "running", "paused", "stopped", NULL};

static const char *const phase_names[] = {"creating", "created", NULL};
static const struct json_field record_fields[] = {
	JSON_FIELD(struct record, version, "version", JSON_U32, .flags = JSON_REQUIRED, .min = 1,
		.max = FORMAT_VERSION + 1),
	JSON_FIELD(struct record, id, "id", JSON_STR, .flags = JSON_REQUIRED | JSON_NONEMPTY),
	JSON_FIELD(
		struct record, bundle, "bundle", JSON_STR, .flags = JSON_REQUIRED | JSON_ABSOLUTE),
	JSON_FIELD(
		struct record, rootfs, "rootfs", JSON_STR, .flags = JSON_REQUIRED | JSON_ABSOLUTE),
	JSON_FIELD(struct record, created, "created", JSON_STR, .flags = JSON_REQUIRED),
	JSON_FIELD(struct record, owner, "owner", JSON_U32),
	JSON_FIELD(struct record, phase, "phase", JSON_ENUM, .flags = JSON_REQUIRED,
		.names = phase_names),
	JSON_FIELD(struct record, pid, "pid", JSON_I32, .min = 0, .max = INT32_MAX),
	JSON_FIELD(struct record, start_ticks, "startTicks", JSON_U64),
	JSON_FIELD(struct record, boot_id, "bootId", JSON_STR),
	JSON_FIELD(struct record, cgroup, "cgroup", JSON_STR),
	JSON_FIELD(struct record, scope, "scope", JSON_STR),
	JSON_FIELD(struct record, paused, "paused", JSON_BOOL),
	JSON_FIELD(struct record, annotations, "annotations", JSON_MAP),
};
static const struct json_table record_table =
	JSON_TABLE(struct record, record_fields, .flags = JSON_STRICT);

static const struct json_field state_fields[] = {
	JSON_FIELD(struct oci_state, oci_version, "ociVersion", JSON_STR),
	JSON_FIELD(struct oci_state, id, "id", JSON_STR),
	JSON_FIELD(struct oci_state, pid, "pid", JSON_I32, .flags = JSON_REQUIRED),
	JSON_FIELD(struct oci_state, status, "status", JSON_ENUM, .flags = JSON_REQUIRED,
		.names = oci_status_names),
	JSON_FIELD(struct oci_state, bundle, "bundle", JSON_STR),
	JSON_FIELD(struct oci_state, rootfs, "rootfs", JSON_STR),
	JSON_FIELD(struct oci_state, created, "created", JSON_STR),
	JSON_FIELD(struct oci_state, annotations, "annotations", JSON_MAP),
	JSON_FIELD(struct oci_state, owner, "owner", JSON_STR),
};
const struct json_table oci_state_table = JSON_TABLE(struct oci_state, state_fields);

/* ---- the root directory ---- */

/* Root of a user namespace may write to /run as little as its owner may. */
bool caller_is_host_root(void)
{
	AUTO_BUF struct buf map = {0};
	struct err ignored;
	unsigned int inside, outside, count;

	if (geteuid() != 0)
		return false;
	return file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map, &ignored) < 0 ||
	       (sscanf(map.p, "%u %u %u", &inside, &outside, &count) == 3 && count == UINT32_MAX);
}

/* The uid that the host knows the caller by. */
static uid_t host_uid(void)
{
	AUTO_BUF struct buf map = {0};
	struct err ignored;
	unsigned int inside, outside, count;

	if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map, &ignored) >= 0 &&
		sscanf(map.p, "%u %u %u", &inside, &outside, &count) == 3 && inside == geteuid())
		return outside;
	return geteuid();
}

static char *default_root(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (caller_is_host_root())
		return str_dup("/run/jail/oci");
	if (run && *run == '/')
		return str_fmt("%s/jail/oci", run);
	return str_fmt("/run/user/%u/jail/oci", host_uid());
}

static int make_root(const char *path, struct err *e)
{
	AUTO_FD int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD int dir = -1;
	struct stat st;
	int fd;

	if (slash < 0)
		return err_sys(e, "cannot open '/'");
	/* The caller chose it: its symlinks (/var/run) are its own affair. */
	dir = path_mkdirs(slash, path, 0700, e);
	if (dir < 0)
		return err_prefix(e, "cannot make the state directory '%s'", path);
	if (fstat(dir, &st) < 0)
		return err_sys(e, "cannot examine '%s'", path);
	if (st.st_mode & 0002 || (st.st_uid != geteuid() && st.st_uid != 0))
		return err_set(e, EPERM,
			"state directory '%s' belongs to others or may be written by them; give "
			"--root",
			path);
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "cannot open the state directory '%s'", path) : fd;
}

int oci_open(struct oci *o, const char *root, struct err *e)
{
	AUTO_FREE char *path = root ? NULL : default_root();
	int fd;

	if (root && *root != '/') {
		AUTO_FREE char *cwd = realpath(".", NULL);

		if (!cwd)
			return err_sys(e, "cannot find the current directory");
		path = str_fmt("%s/%s", cwd, root);
	} else if (root) {
		path = str_dup(root);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = make_root(path, e);
	if (fd < 0)
		return fd;
	o->root = mem_take(&path);
	o->root_fd = fd;
	return 0;
}

void oci_close(struct oci *o)
{
	free(o->root);
	fd_close(&o->root_fd);
	strv_release(&o->warnings);
	o->root = NULL;
}

int id_check(const char *id, struct err *e)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
	AUTO_FREE char *shown = str_visible(id);

	if (!*id)
		return err_set(e, EINVAL, "container id is empty");
	if (strlen(id) > ID_MAX || id[strspn(id, letters)] || *id == '.')
		return err_set(e, EINVAL,
			"container id '%.80s' is not valid: up to %d letters, digits and _+-., no "
			"'.' first",
			shown, ID_MAX);
	return 0;
}

/* ---- processes ---- */

static char *boot_id(void)
{
	AUTO_BUF struct buf b = {0};
	struct err ignored;

	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &b, &ignored) < 0)
		return str_dup("");
	return str_dup_n(b.p, strcspn(b.p, "\n"));
}

/* One that has ended and only waits for its parent has ended. */
static bool is_zombie(pid_t pid)
{
	char path[32], text[512];
	ssize_t n;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return true;
	text[n] = '\0';
	p = strrchr(text, ')');
	return !p || strchr("ZX", p[2]);
}

void container_set_process(struct container *c, pid_t pid)
{
	free(c->rec.boot_id);
	c->rec.boot_id = boot_id();
	c->rec.pid = pid;
	if (proc_start_time(pid, &c->rec.start_ticks) < 0)
		c->rec.start_ticks = 0;
}

int container_pidfd(const struct container *c)
{
	AUTO_FREE char *boot = boot_id();
	AUTO_FD int fd = -1;
	uint64_t ticks;

	if (c->rec.pid <= 0 || !str_eq(boot, c->rec.boot_id))
		return -ESRCH;
	/* First held, then compared: the number cannot be given to another in between. */
	fd = proc_pidfd(c->rec.pid);
	if (fd < 0)
		return -ESRCH;
	if (proc_start_time(c->rec.pid, &ticks) < 0 || ticks != c->rec.start_ticks ||
		is_zombie(c->rec.pid))
		return -ESRCH;
	return fd_take(&fd);
}

/*
 * Whether somebody listens on the start socket.  A connect with another type of socket tells
 * (unix(7): EPROTOTYPE when there is a listener, ECONNREFUSED when it has closed) and is not
 * noticed by the listener, which would take a connect for its start.
 */
static bool waits_for_start(const struct container *c)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" START_SOCKET, c->dir_fd);
	return sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 &&
	       errno == EPROTOTYPE;
}

/*
 * A record lock, not flock(2): the container's first process inherits our descriptors, and
 * must not hold the container locked for us until it executes its program.
 */
static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool is_locked_by_other(const struct container *c)
{
	AUTO_FD int fd = -1;
	struct flock l = whole_file();

	if (c->lock_fd >= 0)
		return false;
	fd = openat(c->dir_fd, LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

bool container_is_abandoned(const struct container *c)
{
	return c->rec.phase == PHASE_CREATING && !is_locked_by_other(c);
}

enum oci_status container_status(const struct container *c)
{
	AUTO_FD int pidfd = -1;

	if (c->rec.phase == PHASE_CREATING && is_locked_by_other(c))
		return OCI_CREATING;
	pidfd = container_pidfd(c);
	if (pidfd < 0 || c->rec.phase == PHASE_CREATING)
		return OCI_STOPPED;
	if (waits_for_start(c))
		return OCI_CREATED;
	return c->rec.paused ? OCI_PAUSED : OCI_RUNNING;
}

/* ---- one container ---- */

/* Returns an owned descriptor; the lock goes when it is closed, or with the process. */
static int lock_container(int dir_fd, const char *id, struct err *e)
{
	AUTO_FD int fd = openat(dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	uint64_t deadline = time_mono_ms() + LOCK_TIMEOUT_MS;
	const struct flock l = whole_file();

	if (fd < 0)
		return err_sys(e, "cannot lock container '%s'", id);
	while (fcntl(fd, F_SETLK, &l) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_sys(e, "cannot lock container '%s'", id);
		if (time_mono_ms() > deadline)
			return err_set(
				e, EBUSY, "container '%s' is being changed by another command", id);
		nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
	}
	return fd_take(&fd);
}

static int no_such(const char *id, struct err *e)
{
	return err_set(e, ENOENT, "container '%s' does not exist", id);
}

int container_open(struct oci *o, const char *id, enum container_open how, struct container *ret,
	struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	AUTO_BUF struct buf text = {0};

	if (id_check(id, e) < 0)
		return -e->code;
	c.o = o;
	c.dir_fd = openat(o->root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (c.dir_fd < 0)
		return errno == ENOENT ? no_such(id, e)
				       : err_sys(e, "cannot open container '%s'", id);
	if (how == CONTAINER_LOCK) {
		c.lock_fd = lock_container(c.dir_fd, id, e);
		if (c.lock_fd < 0)
			return e->code == ENOENT ? no_such(id, e) : -e->code;
	}
	if (file_read(c.dir_fd, STATE_FILE, STATE_MAX_BYTES, &text, e) < 0)
		/* Deleted while we waited for the lock. */
		return e->code == ENOENT ? no_such(id, e) : err_prefix(e, "container '%s'", id);
	if (json_read_text(&record_table, text.p, text.n, NULL, &c.rec, e) < 0) {
		err_prefix(e, "state of container '%s' is damaged", id);
		return err_hint(e, "delete --force removes it");
	}
	*ret = c;
	c = (struct container)CONTAINER_INIT;
	return 0;
}

int container_save(struct container *c, struct err *e)
{
	AUTO_FREE char *text = NULL;

	c->rec.version = FORMAT_VERSION;
	text = json_print_text(&record_table, &c->rec, JSON_COMPACT);
	return file_replace(c->dir_fd, STATE_FILE, text, strlen(text), 0600, 0, e);
}

int container_load_spec(struct container *c, struct err *e)
{
	AUTO_BUF struct buf text = {0};

	if (c->has_spec)
		return 0;
	if (file_read(c->dir_fd, CONFIG_FILE, CONFIG_MAX_BYTES, &text, e) < 0 ||
		spec_load(text.p, text.n, &c->spec, e) < 0)
		return err_prefix(e, "container '%s'", c->rec.id);
	c->has_spec = true;
	return 0;
}

void container_release(struct container *c)
{
	fd_close(&c->lock_fd);
	fd_close(&c->dir_fd);
	json_release(&record_table, &c->rec);
	spec_release(&c->spec);
	c->has_spec = false;
}

static int open_transit(const struct oci *o, struct err *e)
{
	int fd = openat(o->root_fd, TRANSIT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT &&
		(mkdirat(o->root_fd, TRANSIT, 0700) == 0 || errno == EEXIST))
		fd = openat(o->root_fd, TRANSIT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_sys(e, "cannot open '%s/%s'", o->root, TRANSIT) : fd;
}

/* What a killed command left half-way; young ones may have an owner who is about to lock them. */
static void sweep_transit(int transit)
{
	AUTO_FD int copy = openat(transit, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!d)
		return;
	copy = -EBADF; /* the stream's now */
	while ((entry = readdir(d))) {
		struct err ignored;
		struct stat st;

		if (entry->d_name[0] == '.' ||
			fstatat(transit, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			st.st_mtime + TRANSIT_STALE_S > time(NULL))
			continue;
		AUTO_CONTAINER struct container c = CONTAINER_INIT;
		c.dir_fd = openat(
			transit, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (c.dir_fd >= 0 && !is_locked_by_other(&c))
			path_rmtree(transit, entry->d_name, &ignored);
	}
	closedir(d);
}

static int transit_name(char name[static 32], struct err *e)
{
	uint64_t salt;

	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		return err_sys(e, "cannot get random bytes");
	snprintf(name, 32, "%016llx", (unsigned long long)salt);
	return 0;
}

static int fill_claim(struct container *c, int transit, const char *name, const struct buf *config,
	int *ret_start_fd, struct err *e)
{
	if (mkdirat(transit, name, 0700) < 0)
		return err_sys(e, "cannot make the state of container '%s'", c->rec.id);
	c->dir_fd = openat(transit, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (c->dir_fd < 0)
		return err_sys(e, "cannot make the state of container '%s'", c->rec.id);
	c->lock_fd = lock_container(c->dir_fd, c->rec.id, e);
	if (c->lock_fd < 0)
		return -e->code;
	if (file_replace(c->dir_fd, CONFIG_FILE, config->p, config->n, 0600, 0, e) < 0 ||
		container_save(c, e) < 0)
		return -e->code;
	if (ret_start_fd) {
		*ret_start_fd = socket_listen(c->dir_fd, START_SOCKET, e);
		if (*ret_start_fd < 0)
			return -e->code;
	}
	/* Complete, and only now under its name: nobody ever sees a part of it. */
	if (renameat2(transit, name, c->o->root_fd, c->rec.id, RENAME_NOREPLACE) < 0)
		return errno == EEXIST
			       ? err_set(e, EEXIST, "container with given ID already exists: '%s'",
					 c->rec.id)
			       : err_sys(e, "cannot make the state of container '%s'", c->rec.id);
	return 0;
}

int container_claim(struct container *c, const struct buf *config, int *ret_start_fd, struct err *e)
{
	AUTO_FD int transit = open_transit(c->o, e);
	struct err ignored;
	char name[32];
	int r;

	if (transit < 0 || transit_name(name, e) < 0)
		return -e->code;
	sweep_transit(transit);
	/* Cheap and frequent: known before anything is made. */
	if (faccessat(c->o->root_fd, c->rec.id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(
			e, EEXIST, "container with given ID already exists: '%s'", c->rec.id);
	r = fill_claim(c, transit, name, config, ret_start_fd, e);
	if (r < 0) {
		if (ret_start_fd)
			fd_close(ret_start_fd);
		path_rmtree(transit, name, &ignored);
		fd_close(&c->lock_fd);
		fd_close(&c->dir_fd);
	}
	return r;
}

int container_remove(struct container *c, struct err *e)
{
	AUTO_FD int transit = open_transit(c->o, e);
	char name[32];

	if (transit < 0 || transit_name(name, e) < 0)
		return -e->code;
	if (renameat2(c->o->root_fd, c->rec.id, transit, name, RENAME_NOREPLACE) < 0)
		return errno == ENOENT
			       ? 0
			       : err_sys(e, "cannot remove the state of container '%s'", c->rec.id);
	if (path_rmtree(transit, name, e) < 0)
		return -e->code;
	sweep_transit(transit);
	return 0;
}

/* ---- what others see ---- */

static char *user_name(uint32_t uid)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *want = str_fmt("%u", uid);
	struct err ignored;
	char *save = NULL;

	/* By hand: the C library's lookup loads modules, which a static program cannot. */
	if (file_read(AT_FDCWD, "/etc/passwd", 1 << 20, &text, &ignored) < 0)
		return mem_take(&want);
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *fields[3] = {line, NULL, NULL};

		for (int i = 1; i < 3 && fields[i - 1]; i++) {
			fields[i] = strchr(fields[i - 1], ':');
			if (fields[i])
				*fields[i]++ = '\0';
		}
		if (fields[2] && !strncmp(fields[2], want, strlen(want)) &&
			fields[2][strlen(want)] == ':')
			return str_dup(line);
	}
	return mem_take(&want);
}

void state_fill(const struct container *c, enum oci_status status, struct oci_state *ret)
{
	ret->oci_version = str_dup(SPEC_OCI_VERSION);
	ret->id = str_dup(c->rec.id);
	ret->status = status;
	ret->pid = status == OCI_STOPPED ? 0 : c->rec.pid;
	ret->bundle = str_dup(c->rec.bundle);
	ret->rootfs = str_dup(c->rec.rootfs);
	ret->created = str_dup(c->rec.created);
	ret->owner_uid = c->rec.owner;
	strmap_copy(&ret->annotations, &c->rec.annotations);
}

char *state_for_hooks(const struct container *c, enum oci_status status, pid_t pid)
{
	struct oci_state s = {0};
	char *text;

	state_fill(c, status, &s);
	s.pid = pid;
	text = json_print_text(&oci_state_table, &s, JSON_COMPACT);
	oci_state_release(&s);
	return text;
}

void oci_state_release(struct oci_state *s)
{
	json_release(&oci_state_table, s);
}

int oci_state(struct oci *o, const char *id, struct oci_state *ret, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;

	if (container_open(o, id, CONTAINER_READ, &c, e) < 0)
		return -e->code;
	state_fill(&c, container_status(&c), ret);
	ret->owner = user_name(c.rec.owner);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct oci_state *)a)->id, ((const struct oci_state *)b)->id);
}

int oci_list(struct oci *o, struct oci_state **ret, size_t *ret_n, struct err *e)
{
	int fd = openat(o->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct oci_state *all = NULL;
	size_t n = 0, cap = 0;
	struct dirent *entry;

	if (!d) {
		fd_close(&fd);
		return err_sys(e, "cannot read the state directory '%s'", o->root);
	}
	while ((entry = readdir(d))) {
		struct oci_state s = {0};
		struct err one = {0};

		if (entry->d_name[0] == '.')
			continue;
		if (oci_state(o, entry->d_name, &s, &one) < 0) {
			if (one.code != ENOENT)
				strv_add(&o->warnings, one.text);
			continue;
		}
		all = mem_grow(all, &cap, n + 1, sizeof(*all));
		all[n++] = s;
	}
	closedir(d);
	if (n)
		qsort(all, n, sizeof(*all), by_id);
	*ret = all;
	*ret_n = n;
	return 0;
}
