#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "isolation/mount_opts.h"
#include "oci/internal.h"

static char dir[] = "/tmp/oci-state-test.XXXXXX";

static struct oci open_root(void)
{
	struct oci o = OCI_INIT;
	struct err e = {0};

	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(oci_open(&o, dir, &e), 0);
	return o;
}

static void close_root(struct oci *o)
{
	struct err e = {0};

	AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	oci_close(o);
	CHECK_INT(path_rmtree(tmp, dir + strlen("/tmp/"), &e), 0);
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
}

static void fill(struct container *c, struct oci *o, const char *id)
{
	c->o = o;
	c->rec.id = str_dup(id);
	c->rec.bundle = str_dup("/bundle");
	c->rec.rootfs = str_dup("/bundle/rootfs");
	c->rec.created = str_dup("2026-01-01T00:00:00.000000000Z");
	strmap_set(&c->rec.annotations, "k", "v");
}

static const struct buf config = {.p = (char *)"{}", .n = 2};

TEST(ids)
{
	static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "a b", "\x1b[2J", "a\n"};
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(id_check(bad[i], &e), -EINVAL);
	CHECK_INT(id_check("a-B_1.2+x", &e), 0);
}

TEST(claim_once_and_find_again)
{
	struct oci o = open_root();
	AUTO_CONTAINER struct container c = CONTAINER_INIT, again = CONTAINER_INIT;
	struct oci_state s = {0};
	struct err e = {0};

	fill(&c, &o, "one");
	CHECK_INT(container_claim(&c, &config, NULL, &e), 0);
	CHECK_INT(container_status(&c), OCI_STOPPED); /* nobody else works on it */
	fill(&again, &o, "one");
	CHECK_INT(container_claim(&again, &config, NULL, &e), -EEXIST);
	CHECK(again.dir_fd < 0 && again.lock_fd < 0);
	container_set_process(&c, getpid());
	c.rec.phase = PHASE_CREATED;
	CHECK_INT(container_save(&c, &e), 0);
	CHECK_INT(oci_state(&o, "one", &s, &e), 0);
	CHECK_INT(s.status, OCI_RUNNING);
	CHECK_INT(s.pid, getpid());
	CHECK_STR(strmap_get(&s.annotations, "k"), "v");
	oci_state_release(&s);
	CHECK_INT(container_remove(&c, &e), 0);
	CHECK_INT(oci_state(&o, "one", &s, &e), -ENOENT);
	CHECK_STR(e.text, "container 'one' does not exist");
	close_root(&o);
}

/* The number of a process is not the process: start time and boot id have to agree. */
TEST(another_process_of_that_number)
{
	struct oci o = open_root();
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct err e = {0};
	AUTO_FD int fd = -1;

	fill(&c, &o, "one");
	CHECK_INT(container_claim(&c, &config, NULL, &e), 0);
	c.rec.phase = PHASE_CREATED;
	container_set_process(&c, getpid());
	fd = container_pidfd(&c);
	CHECK(fd >= 0);
	c.rec.start_ticks++;
	CHECK_INT(container_pidfd(&c), -ESRCH);
	CHECK_INT(container_status(&c), OCI_STOPPED);
	c.rec.start_ticks--;
	str_set(&c.rec.boot_id, "another boot");
	CHECK_INT(container_pidfd(&c), -ESRCH);
	close_root(&o);
}

TEST(a_listener_means_created)
{
	struct oci o = open_root();
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	struct err e = {0};
	int start_fd = -1;

	fill(&c, &o, "one");
	CHECK_INT(container_claim(&c, &config, &start_fd, &e), 0);
	container_set_process(&c, getpid());
	c.rec.phase = PHASE_CREATED;
	CHECK_INT(container_status(&c), OCI_CREATED);
	CHECK_INT(container_status(&c), OCI_CREATED); /* to ask is not to start */
	c.rec.paused = true;
	fd_close(&start_fd);
	CHECK_INT(container_status(&c), OCI_PAUSED);
	close_root(&o);
}

/* While one process creates, another sees "creating"; when it dies, "stopped". */
TEST(lock_goes_with_its_process)
{
	struct oci o = open_root();
	struct oci_state s = {0};
	struct err e = {0};
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK_INT(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct container c = CONTAINER_INIT;

		fill(&c, &o, "one");
		_exit(container_claim(&c, &config, NULL, &e) < 0 || write(ready[1], "x", 1) != 1 || pause());
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	CHECK_INT(oci_state(&o, "one", &s, &e), 0);
	CHECK_INT(s.status, OCI_CREATING);
	oci_state_release(&s);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(oci_state(&o, "one", &s, &e), 0);
	CHECK_INT(s.status, OCI_STOPPED);
	oci_state_release(&s);
	close(ready[0]);
	close(ready[1]);
	close_root(&o);
}

struct feature_list {
	struct strv mount_options;
};
static const struct json_field feature_fields[] = {
	JSON_FIELD(struct feature_list, mount_options, "mountOptions", JSON_STRV, .flags = JSON_REQUIRED | JSON_NONEMPTY),
};
static const struct json_table feature_table = JSON_TABLE(struct feature_list, feature_fields);

/* What `features` says of mount options is what the engine takes. */
TEST(features_are_true)
{
	char *text = oci_features();
	struct feature_list f = {0};
	struct err e = {0};

	CHECK_INT(json_read_text(&feature_table, text, strlen(text), NULL, &f, &e), 0);
	CHECK_STR(e.text, "");
	for (size_t i = 0; i < f.mount_options.n; i++) {
		struct spec_mount m = {.destination = (char *)"/x", .source = (char *)"/y", .type = (char *)"tmpfs"};
		const char *word = f.mount_options.v[i];
		struct mount_opts o = {0};

		/* A word that the engine does not know is left to the filesystem, except for these. */
		strv_add(&m.options, word);
		if (str_ends(word, "idmap"))
			strv_add(&m.options, "bind");
		if (mount_opts_parse(&m, &o, &e) < 0)
			CHECK_STR(e.text, "");
		if (!str_eq(word, "sync") && !str_eq(word, "dirsync") && !str_eq(word, "lazytime"))
			CHECK_INT(o.data.n, 0);
		mount_opts_release(&o);
		strv_release(&m.options);
	}
	json_release(&feature_table, &f);
	free(text);
}

TEST(templates_are_right)
{
	for (int rootless = 0; rootless < 2; rootless++) {
		char *text = oci_spec_template(rootless);
		struct spec spec = {0};
		struct err e = {0};

		CHECK_INT(spec_load(text, strlen(text), &spec, &e), 0);
		CHECK_INT(spec_check(&spec, &e), 0);
		CHECK_STR(e.text, "");
		CHECK(!spec_ns(&spec, SPEC_NS_USER) == !rootless);
		spec_release(&spec);
		free(text);
	}
}

TEST(cgroup_paths)
{
	static const struct {
		const char *given, *expected;
	} cases[] = {
		{NULL, "jail-oci/x"}, {"", "jail-oci/x"}, {"/a/b", "a/b"}, {"a//b/", "a/b"}, {"/", NULL}, {"a:b:c", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec spec = {.linux = {.cgroups_path = (char *)cases[i].given}};
		struct oci o = OCI_INIT;
		struct err e = {0};
		char *path = NULL, *scope = NULL;

		CHECK_INT(cgroup_path(&o, "x", &spec, &path, &scope, &e), cases[i].expected ? 0 : -EINVAL);
		CHECK_STR(path, cases[i].expected);
		free(path);
		o.no_cgroup = true;
		CHECK_INT(cgroup_path(&o, "x", &spec, &path, &scope, &e), 0);
		CHECK_STR(path, NULL);
	}
}

TEST_MAIN
