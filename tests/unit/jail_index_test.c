#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "jail/index.h"

static char top[] = "/tmp/jail-index-XXXXXX";

static struct jail_env open_env(void)
{
	struct jail_env env = JAIL_ENV_INIT;
	struct err e = {0};

	CHECK_INT(jail_env_open(&env, &e), 0);
	CHECK_STR(e.text, "");
	return env;
}

static uint32_t claim(struct jail_env *env, const char *name, uint32_t base)
{
	struct idx_record want = {
		.state = JAIL_CREATED, .id_base = base, .id_count = base ? IDX_ID_RANGE : 0};
	uint32_t slot = IDX_NONE;
	struct err e = {0};

	if (env->root)
		want.id_count = IDX_ID_RANGE;
	snprintf(want.name, sizeof(want.name), "%s", name);
	CHECK_INT(idx_lock(env->index, &e), 0);
	idx_claim(env->index, &want, &slot, &e);
	idx_unlock(env->index);
	return slot;
}

static void give_back(struct jail_env *env, uint32_t slot)
{
	struct err e = {0};

	CHECK_INT(idx_lock(env->index, &e), 0);
	idx_free(env->index, slot);
	idx_unlock(env->index);
}

TEST(begin)
{
	AUTO_FREE char *state = NULL, *run = NULL;

	CHECK(mkdtemp(top) != NULL);
	state = str_fmt("%s/state", top);
	run = str_fmt("%s/run", top);
	setenv("JAIL_STATE_DIR", state, 1);
	setenv("JAIL_RUN_DIR", run, 1);
}

TEST(names_are_found_and_freed)
{
	struct jail_env env = open_env();
	uint32_t slots[300];

	/* Enough to make runs of full buckets; freeing in another order must not break them. */
	for (int i = 0; i < 300; i++) {
		AUTO_FREE char *name = str_fmt("j%d", i);

		slots[i] = claim(&env, name, 0);
		CHECK(slots[i] != IDX_NONE);
	}
	CHECK_INT(claim(&env, "j7", 0), IDX_NONE);
	for (int i = 0; i < 300; i += 3)
		give_back(&env, slots[i]);
	for (int i = 0; i < 300; i++) {
		AUTO_FREE char *name = str_fmt("j%d", i);

		CHECK_INT(idx_find(env.index, name), i % 3 ? slots[i] : IDX_NONE);
	}
	for (int i = 0; i < 300; i++)
		if (i % 3)
			give_back(&env, slots[i]);
	CHECK_INT(env.index->map->h.count, 0);
	jail_env_release(&env);
}

TEST(ranges_are_disjoint_and_come_back)
{
	struct jail_env env = open_env();
	struct idx_record a, b, c;
	uint32_t sa = claim(&env, "a", 0), sb = claim(&env, "b", 0), sc;

	CHECK(idx_read(env.index, sa, &a) && idx_read(env.index, sb, &b));
	if (env.root) {
		CHECK(a.id_base != b.id_base);
		CHECK_INT(a.id_base % IDX_ID_RANGE, 0);
	}
	CHECK(a.jid != b.jid);
	/* A range that is not its slot's, as from a copied definition, is kept clear of. */
	give_back(&env, sa);
	sa = claim(&env, "a", b.id_base + 5 * IDX_ID_RANGE + 4096);
	for (int i = 0; env.root && i < 8; i++) {
		AUTO_FREE char *name = str_fmt("c%d", i);

		sc = claim(&env, name, 0);
		CHECK(idx_read(env.index, sc, &c) && idx_read(env.index, sa, &a));
		CHECK(c.id_base + c.id_count <= a.id_base || a.id_base + a.id_count <= c.id_base);
		give_back(&env, sc);
	}
	give_back(&env, sa);
	give_back(&env, sb);
	jail_env_release(&env);
}

TEST(renaming_keeps_the_record)
{
	struct jail_env env = open_env();
	uint32_t slot = claim(&env, "old", 0), other = claim(&env, "other", 0);
	struct err e = {0};
	struct idx_record r;

	CHECK_INT(idx_rename(env.index, slot, "other", &e), -EEXIST);
	CHECK_INT(idx_rename(env.index, slot, "new", &e), 0);
	CHECK_INT(idx_find(env.index, "old"), IDX_NONE);
	CHECK_INT(idx_find(env.index, "new"), slot);
	CHECK(idx_read(env.index, slot, &r));
	CHECK_STR(r.name, "new");
	give_back(&env, slot);
	give_back(&env, other);
	jail_env_release(&env);
}

/* The kernel marks the record of an owner that dies, however it dies. */
TEST(a_killed_owner_is_seen)
{
	struct jail_env env = open_env();
	uint32_t slot = claim(&env, "owned", 0);
	struct idx_record r;
	struct err e = {0};
	int ready[2], status;
	char c;
	pid_t pid;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	idx_edit(env.index, slot)->state = JAIL_RUNNING;
	idx_done(env.index, slot);
	pid = fork();
	if (!pid) {
		if (idx_own(env.index, slot, &e) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &c, 1), 1);
	CHECK(idx_read(env.index, slot, &r) && !idx_orphan(&r));
	CHECK_INT(r.owner, pid);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(idx_read(env.index, slot, &r) && idx_orphan(&r));
	CHECK(r.owner & FUTEX_OWNER_DIED);
	close(ready[0]);
	give_back(&env, slot);
	jail_env_release(&env);
}

/* A writer killed between idx_edit and idx_done leaves an odd number: readers get through. */
TEST(a_torn_record_is_read_as_died)
{
	struct jail_env env = open_env();
	uint32_t slot = claim(&env, "torn", 0);
	struct idx_record r;
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct err e = {0};

		idx_own(env.index, slot, &e);
		memset(idx_edit(env.index, slot)->command, 'x', sizeof(r.command));
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	CHECK(idx_read(env.index, slot, &r));
	CHECK_INT(r.state, JAIL_DIED);
	CHECK_INT(strlen(r.command), sizeof(r.command) - 1);
	give_back(&env, slot);
	jail_env_release(&env);
}

TEST(a_killed_holder_frees_its_locks)
{
	struct jail_env env = open_env();
	uint32_t slot = claim(&env, "locked", 0);
	struct err e = {0};
	int ready[2], status;
	char c;
	pid_t pid;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		struct jail_env own = JAIL_ENV_INIT;

		if (jail_env_open(&own, &e) < 0 || idx_lock(own.index, &e) < 0 ||
			idx_slot_lock(own.index, slot, 0, &e) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK_INT(read(ready[0], &c, 1), 1);
	CHECK_INT(idx_slot_lock(env.index, slot, 20, &e), -EBUSY);
	AUTO_FREE char *want =
		str_fmt("jail 'locked' is being changed by process %d; try again when it is done",
			(int)pid);
	CHECK_STR(e.text, want);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK_INT(idx_slot_lock(env.index, slot, 5000, &e), 0);
	idx_slot_unlock(env.index, slot);
	close(ready[0]);
	close(ready[1]);
	give_back(&env, slot);
	jail_env_release(&env);
}

/* A child that keeps the mapping, as a supervisor does, does not keep its dead parent's lock. */
TEST(a_mapping_holds_no_lock)
{
	struct jail_env env = open_env();
	uint32_t slot = claim(&env, "mapped", 0);
	struct err e = {0};
	int ready[2], status;
	pid_t pid, heir = 0;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		struct jail_env own = JAIL_ENV_INIT;

		if (jail_env_open(&own, &e) < 0 || idx_slot_lock(own.index, slot, 0, &e) < 0)
			_exit(1);
		heir = fork();
		if (!heir) {
			fd_close(&own.index->fd);
			heir = getpid();
			if (write(ready[1], &heir, sizeof(heir)) != sizeof(heir))
				_exit(1);
			pause();
		}
		pause();
	}
	CHECK_INT(fd_read_full(ready[0], &heir, sizeof(heir)), sizeof(heir));
	CHECK_INT(idx_slot_lock(env.index, slot, 0, &e), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK_INT(idx_slot_lock(env.index, slot, 0, &e), 0);
	CHECK(kill(heir, 0) == 0);
	kill(heir, SIGKILL);
	idx_slot_unlock(env.index, slot);
	close(ready[0]);
	close(ready[1]);
	give_back(&env, slot);
	jail_env_release(&env);
}

static void spoil(struct jail_env *env, const char *bytes, off_t at)
{
	int fd = openat(env->run_fd, "index", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && pwrite(fd, bytes, strlen(bytes), at) == (ssize_t)strlen(bytes));
	close(fd);
}

static void write_def(struct jail_env *env, const char *name)
{
	static const char text[] =
		"{\"version\":1,\"root\":{\"kind\":\"host\"},\"args\":[\"true\"]}";
	struct err e = {0};

	CHECK_INT(mkdirat(env->jails_fd, name, 0700), 0);
	AUTO_FD int dir = openat(env->jails_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(file_replace(dir, "jail.json", text, strlen(text), 0600, 0, &e), 0);
}

/* Definitions are the truth: whatever becomes of the index, they are found again. */
TEST(a_damaged_index_is_rebuilt)
{
	static const struct {
		const char *bytes;
		off_t at;
	} damage[] = {{"garbage!", 0}, {"\377\377\377\377", 8}, {"\377\377\377\377", 20},
		{"nonsense", 72}};

	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		struct jail_env env = open_env();
		AUTO_FREE char *name = str_fmt("kept%zu", i);
		struct jail_info info;
		struct err e = {0};

		write_def(&env, name);
		spoil(&env, damage[i].bytes, damage[i].at);
		jail_env_release(&env);
		env = open_env();
		CHECK_INT(jail_find(&env, name, &info, &e), 0);
		CHECK_INT(info.state, JAIL_CREATED);
		jail_env_release(&env);
	}
}

TEST(an_index_of_another_kind_is_replaced)
{
	for (int kind = 0; kind < 4; kind++) {
		struct jail_env env = open_env();
		struct jail_info info;
		struct err e = {0};

		CHECK_INT(unlinkat(env.run_fd, "index", 0), 0);
		if (kind == 0)
			CHECK_INT(mkfifoat(env.run_fd, "index", 0600), 0);
		else if (kind == 1)
			CHECK_INT(symlinkat("/etc/passwd", env.run_fd, "index"), 0);
		else if (kind == 2)
			CHECK_INT(mkdirat(env.run_fd, "index", 0700), 0);
		else
			CHECK_INT(file_replace(env.run_fd, "index", "short", 5, 0600, 0, &e), 0);
		jail_env_release(&env);
		env = open_env();
		CHECK_INT(jail_find(&env, "kept0", &info, &e), 0);
		jail_env_release(&env);
	}
}

TEST(changes_by_hand_are_seen)
{
	struct jail_env env = open_env();
	struct jail_info info;
	struct err e = {0};

	/* Removed behind our back: the folder's time says so. */
	CHECK_INT(path_rmtree(env.jails_fd, "kept0", &e), 0);
	jail_env_release(&env);
	env = open_env();
	CHECK_INT(jail_find(&env, "kept0", &info, &e), -ENOENT);
	CHECK_STR(e.text, "there is no jail 'kept0'; 'jail ls' lists them");
	/* What an interrupted command left is gone with it. */
	CHECK_INT(mkdirat(env.jails_fd, ".x.new", 0700), 0);
	CHECK_INT(mkdirat(env.jails_fd, ".y.gone", 0700), 0);
	jail_env_release(&env);
	env = open_env();
	CHECK(faccessat(env.jails_fd, ".x.new", F_OK, 0) < 0);
	CHECK(faccessat(env.jails_fd, ".y.gone", F_OK, 0) < 0);
	jail_env_release(&env);
}

/* N2: a state file that is a FIFO, a link or garbage neither hangs nor crashes anything. */
TEST(a_broken_definition_is_listed_and_destroyed)
{
	for (int kind = 0; kind < 3; kind++) {
		struct jail_env env = open_env();
		struct jail_def def = JAIL_DEF_INIT;
		struct jail_info info;
		struct err e = {0};

		CHECK_INT(mkdirat(env.jails_fd, "bad", 0700), 0);
		AUTO_FD int dir = openat(env.jails_fd, "bad", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (kind == 0)
			CHECK_INT(mkfifoat(dir, "jail.json", 0600), 0);
		else if (kind == 1)
			CHECK_INT(symlinkat("/dev/zero", dir, "jail.json"), 0);
		else
			CHECK_INT(file_replace(dir, "jail.json", "{\"version\":1,\"nope\":2}", 22,
					  0600, 0, &e),
				0);
		jail_env_release(&env);
		env = open_env();
		CHECK_INT(jail_find(&env, "bad", &info, &e), 0);
		CHECK_INT(info.state, JAIL_BROKEN);
		CHECK_INT(jail_definition(&env, "bad", &def, &e), -EUCLEAN);
		CHECK_INT(jail_destroy(&env, "bad", 0, &e), 0);
		CHECK_INT(jail_find(&env, "bad", &info, &e), -ENOENT);
		CHECK(faccessat(env.jails_fd, "bad", F_OK, 0) < 0);
		jail_env_release(&env);
	}
}

TEST(events_are_kept_in_order_and_bounded)
{
	struct jail_env env = open_env();
	struct jail_event ev;
	uint64_t cursor = JAIL_EVENTS_NOW;
	struct err e = {0};
	int n = 0;

	CHECK_INT(jail_event_next(&env, &cursor, 0, &ev, &e), 0);
	idx_event(env.index, JAIL_EV_START, "one", 7, 3, "detail");
	CHECK_INT(jail_event_next(&env, &cursor, 0, &ev, &e), 1);
	CHECK_INT(ev.kind, JAIL_EV_START);
	CHECK_STR(ev.name, "one");
	CHECK_STR(ev.detail, "detail");
	CHECK_INT(ev.jid, 7);
	CHECK_INT(ev.value, 3);
	for (int i = 0; i < 3 * IDX_EVENTS; i++)
		idx_event(env.index, JAIL_EV_EXIT, "many", 1, i, NULL);
	cursor = 0;
	while (jail_event_next(&env, &cursor, 0, &ev, &e) == 1)
		n++;
	CHECK_INT(n, IDX_EVENTS);
	CHECK_INT(ev.value, 3 * IDX_EVENTS - 1);
	jail_env_release(&env);
}

TEST(directories_of_others_are_refused)
{
	struct jail_env env = JAIL_ENV_INIT;
	AUTO_FREE char *open_dir = str_fmt("%s/open", top), *state = str_fmt("%s/state", top);
	struct err e = {0};

	mkdir(open_dir, 0777);
	chmod(open_dir, 0777);
	setenv("JAIL_STATE_DIR", open_dir, 1);
	CHECK_INT(jail_env_open(&env, &e), -EPERM);
	CHECK(strstr(e.text, "others may write it (mode 0777)") != NULL);
	setenv("JAIL_STATE_DIR", "relative", 1);
	CHECK_INT(jail_env_open(&env, &e), -EINVAL);
	setenv("JAIL_STATE_DIR", state, 1);
}

TEST(end)
{
	struct err e = {0};
	AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(path_rmtree(tmp, top + 5, &e), 0);
}

TEST_MAIN
