/* The posture of a composed spec: what is there by default, and that widening takes a word. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "jail/compose.h"
#include "jail/internal.h"

static char top[] = "/tmp/jail-compose-XXXXXX";
static struct jail_env env = JAIL_ENV_INIT;
static char *run_path, *root_path;

TEST(begin)
{
	AUTO_FREE char *etc = NULL;
	struct err e = {0};

	CHECK(mkdtemp(top) != NULL);
	env.root = true;
	env.state_dir = str_dup(top);
	env.state_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	run_path = str_fmt("%s/run", top);
	root_path = str_fmt("%s/root", top);
	etc = str_fmt("%s/root/etc", top);
	CHECK_INT(mkdir(run_path, 0700), 0);
	CHECK_INT(mkdir(root_path, 0755), 0);
	CHECK_INT(mkdir(etc, 0755), 0);
	CHECK_STR(e.text, "");
}

static struct jail_def dir_def(void)
{
	struct jail_def def = JAIL_DEF_INIT;

	def.root.kind = JAIL_ROOT_DIR;
	def.root.path = str_dup(root_path);
	strv_add(&def.args, "true");
	def.made.id_base = 0x70000000;
	def.made.id_count = 65536;
	return def;
}

static struct composed *make(const struct jail_def *def)
{
	struct composed *c = mem_new(sizeof(*c));
	struct err e = {0};

	CHECK_INT(compose(&env, "web", def, run_path, NULL, c, &e), 0);
	CHECK_STR(e.text, "");
	return c;
}

static void drop(struct composed *c)
{
	composed_release(c);
	free(c);
}

static const struct spec_mount *mount_at(const struct composed *c, const char *path)
{
	const struct spec_mount *found = NULL;

	for (size_t i = 0; i < c->spec.n_mounts; i++)
		if (!strcmp(c->spec.mounts[i].destination, path))
			found = &c->spec.mounts[i];
	return found;
}

TEST(the_default_posture)
{
	struct jail_def def = dir_def();
	struct composed *c = make(&def);
	const struct spec_process *p = c->spec.process;

	for (int k = 0; k < SPEC_NS_KINDS; k++)
		CHECK(spec_ns(&c->spec, (enum spec_ns_kind)k) != NULL);
	CHECK_INT(c->spec.linux.uid_mappings[0].host_id, 0x70000000);
	CHECK_INT(c->opts.creator_id, 0x70000000);
	CHECK(p->no_new_privileges && c->has_filter);
	CHECK_INT(p->capabilities->bounding, 0x4fb);
	CHECK_INT(p->capabilities->effective, 0x4fb);
	CHECK_INT(p->capabilities->inheritable | p->capabilities->ambient, 0);
	CHECK_INT(c->resources->pids_limit, 512);
	CHECK(c->resources->memory->limit > 0 && c->resources->memory->limit <= 1 << 30);
	/* No swap: memory and swap together are the memory. */
	CHECK_INT(c->resources->memory->swap, c->resources->memory->limit);
	/* No sysfs: an empty folder. */
	CHECK(!mount_at(c, "/sys") && strv_has(&c->spec.linux.masked_paths, "/sys"));
	CHECK_INT(c->opts.n_files, 2);
	CHECK_STR(c->opts.files[0].destination, "/etc/hosts");
	CHECK_STR(c->spec.hostname, "web");
	CHECK(c->opts.overlay && !c->overlay.layer && c->opts.map_root && c->opts.die_with_parent &&
		c->opts.init);
	drop(c);
	jail_def_release(&def);
}

TEST(procfs_is_an_allow_list)
{
	static const char *const hidden[] = {"/proc/kmsg", "/proc/kallsyms", "/proc/keys",
		"/proc/timer_list", "/proc/sysrq-trigger", "/proc/kcore", "/proc/interrupts",
		"/proc/acpi", "/proc/scsi", "/proc/pressure"};
	static const char *const shown[] = {
		"/proc/meminfo", "/proc/self", "/proc/sys", "/proc/stat", "/proc/1"};
	struct jail_def def = dir_def();
	struct composed *c = make(&def);

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
		struct stat st;

		/* What only the host's root may look into needs no mask: it is nobody inside. */
		CHECK(stat(hidden[i], &st) < 0 || (!st.st_uid && !(st.st_mode & 077)) ||
			strv_has(&c->spec.linux.masked_paths, hidden[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		CHECK(!strv_has(&c->spec.linux.masked_paths, shown[i]));
	CHECK(strv_has(&c->spec.linux.readonly_paths, "/proc/sys"));
	drop(c);
	jail_def_release(&def);
}

TEST(words_widen_and_nothing_else)
{
	struct jail_def def = dir_def();
	struct err e = {0};
	struct composed *c;

	strv_add(&def.cap_add, "net_raw");
	strv_add(&def.cap_drop, "CAP_CHOWN");
	def.net = JAIL_NET_HOST;
	def.user = str_dup("1000:1000");
	CHECK_INT(jail_def_add_volume(&def, "/usr:/v:ro", &e), 0);
	CHECK_INT(jail_limits_add_rlimit(&def.limits, "nofile=10:20", &e), 0);
	c = make(&def);
	CHECK_INT(c->spec.process->capabilities->bounding, (0x4fb & ~1) | 1 << 13);
	/* Not root: it holds nothing. */
	CHECK_INT(c->spec.process->capabilities->effective, 0);
	CHECK_INT(c->spec.process->user.uid, 1000);
	CHECK(!spec_ns(&c->spec, SPEC_NS_NETWORK));
	CHECK(c->opts.landlock.scope != 0);
	const struct spec_mount *v = mount_at(c, "/v");
	CHECK(v && strv_has(&v->options, "rro") && strv_has(&v->options, "rnosuid") &&
		strv_has(&v->options, "rnodev") && strv_has(&v->options, "ridmap"));
	CHECK_INT(c->spec.process->rlimits[0].type, RLIMIT_NOFILE);
	CHECK_INT(c->spec.process->rlimits[0].soft, 10);
	drop(c);
	jail_def_release(&def);
}

TEST(what_is_not_there_is_told)
{
	struct jail_def def = dir_def();
	struct composed c = {0};
	struct err e = {0};

	CHECK_INT(jail_def_add_volume(&def, "/no/such:/v", &e), 0);
	CHECK_INT(compose(&env, "web", &def, run_path, NULL, &c, &e), -ENOENT);
	CHECK_STR(e.text, "cannot use '/no/such' as a volume: No such file or directory");
	jail_def_release(&def);
	def = dir_def();
	str_set(&def.user, "nobody-here");
	CHECK(compose(&env, "web", &def, run_path, NULL, &c, &e) < 0);
	CHECK(strstr(e.text, "cannot run as user 'nobody-here'") != NULL);
	jail_def_release(&def);
	def = dir_def();
	CHECK_INT(jail_def_add_device(&def, "/etc/passwd", &e), 0);
	CHECK_INT(compose(&env, "web", &def, run_path, NULL, &c, &e), -EINVAL);
	jail_def_release(&def);
}

/* What only the host's root may read is masked wherever it lies in /etc. */
TEST(the_host_is_shown_to_strangers_only)
{
	struct jail_def def = JAIL_DEF_INIT;
	struct composed *c;
	struct stat st;

	strv_add(&def.args, "true");
	def.root.work = str_dup("/home/somebody/project");
	def.made.id_base = 0x70000000;
	def.made.id_count = 65536;
	c = make(&def);
	if (stat("/etc/shadow", &st) == 0 && !(st.st_mode & 04))
		CHECK(strv_has(&c->spec.linux.masked_paths, "/etc/shadow"));
	CHECK(!strv_has(&c->spec.linux.masked_paths, "/etc/passwd"));
	CHECK(mount_at(c, "/home") && !strcmp(mount_at(c, "/home")->type, "tmpfs"));
	CHECK(mount_at(c, "/root") && mount_at(c, "/tmp"));
	CHECK(mount_at(c, "/var") && !strv_has(&mount_at(c, "/var")->options, "idmap"));
	CHECK(mount_at(c, "/home/somebody/project") != NULL);
	CHECK_STR(c->spec.process->cwd, "/home/somebody/project");
	drop(c);
	jail_def_release(&def);
}

TEST(end)
{
	struct err e = {0};
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	free(run_path);
	free(root_path);
	jail_env_release(&env);
	CHECK_INT(path_rmtree(tmp, top + 5, &e), 0);
}

TEST_MAIN
