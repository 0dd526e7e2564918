#include "test.h"

#include <errno.h>
#include <signal.h>

#include "jail/internal.h"
#include "jail/jail.h"
#include "spec/spec.h"

static struct jail_def host_def(void)
{
	struct jail_def def = JAIL_DEF_INIT;

	strv_add(&def.args, "true");
	return def;
}

static int load(const char *text, struct jail_def *def, struct err *e)
{
	return jail_def_load(text, strlen(text), def, e);
}

TEST(everything_survives_print_and_load)
{
	struct jail_def def = host_def(), again = JAIL_DEF_INIT;
	struct err e = {0};

	def.root.kind = JAIL_ROOT_DIR;
	def.root.path = str_dup("/srv/r");
	strv_add(&def.env, "A=b c");
	def.init = false, def.has_init = true;
	CHECK_INT(jail_def_add_volume(&def, "/a:/b:ro,noexec,dev", &e), 0);
	CHECK_INT(jail_def_add_tmpfs(&def, "/t:size=1M,mode=0700,exec", &e), 0);
	CHECK_INT(jail_def_add_device(&def, "/dev/fuse:/dev/f:rw", &e), 0);
	CHECK_INT(jail_limits_add_rlimit(&def.limits, "nofile=10:20", &e), 0);
	CHECK_INT(jail_limits_add_io(&def.limits, "read-bps", "/dev/vda:10M", &e), 0);
	CHECK_INT(jail_def_set_restart(&def, "on-failure:3", &e), 0);
	CHECK_INT(jail_def_set_log(&def, "1M:5", &e), 0);
	def.limits.memory_bytes = UINT64_MAX, def.limits.has_memory_bytes = true;
	def.stop_signal = SIGQUIT;
	def.stop_timeout_ms = 0, def.has_stop_timeout_ms = true;
	strmap_set(&def.labels, "k", "v");
	def.net = JAIL_NET_HOST;
	def.made = (struct jail_made){7, 0x70000000, 65536, 1234567890123};
	AUTO_FREE char *text = jail_def_print(&def, JSON_PRETTY);
	CHECK_INT(load(text, &again, &e), 0);
	CHECK_STR(e.text, "");
	AUTO_FREE char *text2 = jail_def_print(&again, JSON_PRETTY);
	CHECK_STR(text2, text);
	CHECK(again.has_init && !again.init && again.has_stop_timeout_ms);
	CHECK(again.limits.memory_bytes == UINT64_MAX);
	CHECK(again.volumes[0].ro && again.volumes[0].noexec && again.volumes[0].dev &&
		!again.volumes[0].suid);
	CHECK_INT(again.tmpfs[0].mode, 0700);
	CHECK_INT(again.log.files, 5);
	CHECK_INT(jail_def_check(&again, &e), 0);
	jail_def_release(&def);
	jail_def_release(&again);
}

TEST(wrong_definitions_are_told)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"{\"version\":1,\"nope\":1}", "nope"},
		{"{}", "version"},
		{"{\"version\":2}", "newer"},
		{"{\"version\":1,\"root\":{\"kind\":\"moon\"}}", "root.kind"},
		{"{\"version\":1,\"args\":\"x\"}", "args"},
		{"{\"version\":1,\"limits\":{\"pids\":-1}}", "limits.pids"},
		{"{\"version\":1,\"version\":1}", "version"},
		{"{\"version\":1} x", ""},
		{"", ""},
		{"[]", ""},
		{"{\"version\":1,\"volumes\":[{\"source\":\"a\",\"destination\":\"/b\"}]}",
			"volumes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jail_def def = JAIL_DEF_INIT;
		struct err e = {0};

		CHECK(load(cases[i].text, &def, &e) < 0);
		CHECK(strstr(e.text, cases[i].part) != NULL);
		jail_def_release(&def);
	}
}

TEST(small_languages_are_strict)
{
	static const struct {
		int (*fn)(struct jail_def *, const char *, struct err *);
		const char *text;
	} bad[] = {
		{jail_def_add_volume, "/a"},
		{jail_def_add_volume, ":/b"},
		{jail_def_add_volume, "/a:b"},
		{jail_def_add_volume, "name:/b"},
		{jail_def_add_volume, "/a:/b:rx"},
		{jail_def_add_tmpfs, "t"},
		{jail_def_add_tmpfs, "/t:size=1X"},
		{jail_def_add_tmpfs, "/t:mode=9"},
		{jail_def_add_tmpfs, "/t:huge"},
		{jail_def_add_device, ""},
		{jail_def_add_device, "/dev/x:y"},
		{jail_def_set_restart, "sometimes"},
		{jail_def_set_restart, "on-failure:"},
		{jail_def_set_restart, "on-failure:0"},
		{jail_def_set_restart, "on-failure:-1"},
		{jail_def_set_log, "much"},
		{jail_def_set_log, "1M:0"},
		{jail_def_set_root, ""},
	};
	struct jail_def def = JAIL_DEF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = {0};

		CHECK(bad[i].fn(&def, bad[i].text, &e) < 0);
		CHECK(e.text[0]);
	}
	CHECK_INT(def.n_volumes + def.n_tmpfs + def.n_devices, 0);
	jail_def_release(&def);
}

TEST(rlimits_by_name_the_last_one_wins)
{
	struct jail_limits l = {0};
	struct err e = {0};

	CHECK_INT(jail_limits_add_rlimit(&l, "NOFILE=100", &e), 0);
	CHECK_INT(jail_limits_add_rlimit(&l, "RLIMIT_nofile=5:max", &e), 0);
	CHECK_INT(l.n_rlimits, 1);
	CHECK_INT(l.rlimits[0].soft, 5);
	CHECK(l.rlimits[0].hard == UINT64_MAX);
	CHECK(jail_limits_add_rlimit(&l, "files=5", &e) < 0);
	CHECK(jail_limits_add_rlimit(&l, "nofile", &e) < 0);
	CHECK(jail_limits_add_io(&l, "read-bps", "vda:1", &e) < 0);
	CHECK(jail_limits_add_io(&l, "erase-bps", "/dev/vda:1", &e) < 0);
	jail_limits_release(&l);
}

static void set_nothing(struct jail_def *d)
{
	strv_release(&d->args);
}
static void set_env(struct jail_def *d)
{
	strv_add(&d->env, "novalue");
}
static void set_host_name(struct jail_def *d)
{
	d->hostname = str_dup("a b");
}
static void set_cap(struct jail_def *d)
{
	strv_add(&d->cap_add, "cap_fly");
}
static void set_allow(struct jail_def *d)
{
	strv_add(&d->allow, "everything");
}
static void set_proc_volume(struct jail_def *d)
{
	struct err e = {0};

	jail_def_add_volume(d, "/a:/proc/sys", &e);
}
static void set_two_volumes(struct jail_def *d)
{
	struct err e = {0};

	jail_def_add_volume(d, "/a:/x", &e);
	jail_def_add_volume(d, "/b:/x", &e);
}
static void set_work(struct jail_def *d)
{
	d->root.work = str_dup("/etc");
}
static void set_slash(struct jail_def *d)
{
	d->root.kind = JAIL_ROOT_DIR;
	d->root.path = str_dup("/");
}
static void set_memory(struct jail_def *d)
{
	d->limits.memory_bytes = 1000, d->limits.has_memory_bytes = true;
}
static void set_vm(struct jail_def *d)
{
	d->tier = JAIL_TIER_VM;
}
static void set_mask(struct jail_def *d)
{
	strv_add(&d->masks, "/a/../b");
}
static void set_persist(struct jail_def *d)
{
	d->persist = d->has_init = true;
}

TEST(contradictions_are_told)
{
	static const struct {
		void (*set)(struct jail_def *);
		const char *part;
	} cases[] = {{set_nothing, "no program"}, {set_env, "novalue"}, {set_host_name, "'a b'"},
		{set_cap, "cap_fly"}, {set_allow, "everything"}, {set_proc_volume, "/proc"},
		{set_two_volumes, "'/x'"}, {set_work, "'/etc'"}, {set_slash, "--host"},
		{set_memory, "memory"}, {set_vm, "kernel"}, {set_mask, ".."},
		{set_persist, "--no-init"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jail_def def = host_def();
		struct err e = {0};

		CHECK_INT(jail_def_check(&def, &e), 0);
		cases[i].set(&def);
		CHECK(jail_def_check(&def, &e) < 0);
		if (!strstr(e.text, cases[i].part))
			printf("# '%s' is not in: %s\n", cases[i].part, e.text);
		CHECK(strstr(e.text, cases[i].part) != NULL);
		jail_def_release(&def);
	}
}

TEST(the_default_is_no_widening)
{
	struct jail_def def = host_def();
	struct strv w AUTO_STRV = {0};

	jail_def_widenings(&def, &w);
	CHECK_INT(w.n, 0);
	strv_add(&def.cap_add, "net_raw");
	strv_add(&def.cap_add, "chown"); /* it has that anyway */
	strv_add(&def.allow, "debug");
	def.net = JAIL_NET_HOST;
	jail_def_widenings(&def, &w);
	CHECK_INT(w.n, 3);
	CHECK_STR(w.v[0], "capability CAP_NET_RAW");
	CHECK_STR(w.v[1], "allow debug");
	CHECK_STR(w.v[2], "net host");
	jail_def_release(&def);
}

TEST(merging_limits)
{
	struct jail_limits a = {.pids = 10, .has_pids = true},
			   b = {.memory_bytes = 5, .has_memory_bytes = true};
	struct err e = {0};

	jail_limits_add_io(&a, "read-bps", "/dev/vda:1", &e);
	jail_limits_add_io(&b, "read-bps", "/dev/vda:2", &e);
	jail_limits_add_io(&b, "read-bps", "/dev/vdb:3", &e);
	jail_limits_add_rlimit(&b, "nproc=5", &e);
	b.cpus = str_dup("0-1");
	limits_merge(&a, &b);
	CHECK_INT(a.pids, 10);
	CHECK_INT(a.memory_bytes, 5);
	CHECK_INT(a.n_read_bps, 2);
	CHECK_INT(a.read_bps[0].rate, 2);
	CHECK_STR(a.read_bps[1].device, "/dev/vdb");
	CHECK_INT(a.n_rlimits, 1);
	CHECK_STR(a.cpus, "0-1");
	jail_limits_release(&a);
	jail_limits_release(&b);
}

TEST(log_lines)
{
	static const char good[] = "2026-01-02T03:04:05.000000006Z stderr P some text";
	struct jail_log_line l;

	CHECK(log_line_parse(good, strlen(good), &l));
	CHECK(l.time_ns == 1767323045000000006ull);
	CHECK(l.is_stderr && l.partial);
	CHECK_INT(l.n, 9);
	CHECK(!log_line_parse(good, 39, &l));
	CHECK(!log_line_parse("2026-01-02 03:04:05.000000006Z stderr P some text", 48, &l));
	CHECK(!log_line_parse("2026-01-02T03:04:05.000000006Z stdxyz P some text", 48, &l));
}

TEST_MAIN
