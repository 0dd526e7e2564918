#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

#include "base/file.h"
#include "spec/spec.h"

#define BUNDLES "tests/data/oci-bundles"

static struct buf slurp(const char *name)
{
	struct buf text = {0};
	struct err e = {0};
	int dir = open(BUNDLES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(file_read(dir, name, 1 << 20, &text, &e), 0);
	CHECK_STR(e.text, "");
	close(dir);
	return text;
}

/* text -> struct -> text -> struct -> text: the two texts are the same. */
static void round_trip(const struct json_table *t, const struct buf *text, void *p, void *q)
{
	struct err e = {0};
	char *first, *second;

	CHECK_INT(json_read_text(t, text->p, text->n, NULL, p, &e), 0);
	CHECK_STR(e.text, "");
	first = json_print_text(t, p, JSON_PRETTY);
	CHECK_INT(json_read_text(t, first, strlen(first), NULL, q, &e), 0);
	CHECK_STR(e.text, "");
	second = json_print_text(t, q, JSON_PRETTY);
	CHECK_STR(second, first);
	free(first);
	free(second);
}

TEST(real_engines_bundles)
{
	DIR *d = opendir(BUNDLES);
	struct dirent *entry;
	int n = 0;

	CHECK(d != NULL);
	while (d && (entry = readdir(d))) {
		struct spec_process process = {0}, process2 = {0};
		struct spec spec = {0}, spec2 = {0};
		struct err e = {0};
		struct buf text;

		if (!str_ends(entry->d_name, ".json"))
			continue;
		n++;
		text = slurp(entry->d_name);
		if (str_ends(entry->d_name, "process.json")) {
			round_trip(&spec_process_table, &text, &process, &process2);
			CHECK_INT(spec_process_check(&process, &e), 0);
			CHECK(process.args.n > 0);
		} else {
			round_trip(&spec_table, &text, &spec, &spec2);
			CHECK_INT(spec_check(&spec, &e), 0);
			CHECK(spec.process && spec.n_mounts > 5 && spec.linux.resources);
		}
		CHECK_STR(e.text, "");
		spec_process_release(&process);
		spec_process_release(&process2);
		spec_release(&spec);
		spec_release(&spec2);
		buf_release(&text);
	}
	CHECK(n >= 9);
	if (d)
		closedir(d);
}

TEST(values_of_a_real_bundle)
{
	struct buf text = slurp("podman-5.8-config.json");
	struct spec spec = {0}, copy = {0};
	struct err e = {0};

	CHECK_INT(spec_load(text.p, text.n, &spec, &e), 0);
	spec_copy(&copy, &spec);
	spec_release(&spec);
	CHECK(copy.process->capabilities->bounding & 1ull << CAP_NET_BIND_SERVICE);
	CHECK(!(copy.process->capabilities->bounding & 1ull << CAP_SYS_ADMIN));
	CHECK(copy.has_linux && copy.linux.seccomp && copy.linux.seccomp->n_syscalls > 5);
	CHECK_INT(copy.linux.seccomp->default_action, SPEC_ACT_ERRNO);
	CHECK(spec_ns(&copy, SPEC_NS_MOUNT) && !spec_ns(&copy, SPEC_NS_TIME));
	spec_release(&copy);
	buf_release(&text);
}

/* Everything of the specification once, in our own printing order. */
static const char full[] =
	"{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"ro\"],"
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}]}],"
	"\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},\"user\":{\"uid\":1,\"gid\":2,\"umask\":0,"
	"\"additionalGids\":[3]},\"args\":[\"sh\"],\"env\":[\"A=b\"],\"cwd\":\"/\",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\"],"
	"\"effective\":[\"CAP_CHOWN\"],\"inheritable\":[\"CAP_CHOWN\"],\"permitted\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_CHOWN\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":0,\"hard\":1}],\"noNewPrivileges\":true,\"apparmorProfile\":\"a\","
	"\"selinuxLabel\":\"s\",\"oomScoreAdj\":0,\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":-1,\"priority\":2,"
	"\"flags\":[\"SCHED_FLAG_DL_OVERRUN\"],\"runtime\":1,\"deadline\":2,\"period\":3},"
	"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":4},\"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"0-1\"}},"
	"\"hooks\":{\"prestart\":[{\"path\":\"/a\",\"args\":[\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],\"createRuntime\":[{\"path\":\"/b\"}],"
	"\"createContainer\":[{\"path\":\"/c\"}],\"startContainer\":[{\"path\":\"/d\"}],\"poststart\":[{\"path\":\"/e\"}],\"poststop\":[{\"path\":\"/f\"}]},"
	"\"hostname\":\"h\",\"domainname\":\"d\",\"annotations\":{\"a.b/c\":\"\"},"
	"\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":2}],"
	"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"resources\":{\"devices\":[{\"allow\":false,\"type\":\"c\",\"major\":-1,\"minor\":0,\"access\":\"rwm\"}],"
	"\"memory\":{\"limit\":-1,\"reservation\":0,\"swap\":1,\"kernel\":2,\"kernelTCP\":3,\"swappiness\":0,\"disableOOMKiller\":true,\"useHierarchy\":true,\"checkBeforeUpdate\":true},"
	"\"cpu\":{\"shares\":0,\"quota\":-1,\"burst\":0,\"period\":1,\"realtimeRuntime\":0,\"realtimePeriod\":0,\"cpus\":\"0\",\"mems\":\"0\",\"idle\":0},"
	"\"pids\":{\"limit\":0},\"blockIO\":{\"weight\":10,\"leafWeight\":0,\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":0,\"leafWeight\":1}],"
	"\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1}],\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":2}],"
	"\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":3}],\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":4}]},"
	"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0}],\"network\":{\"classID\":0,\"priorities\":[{\"name\":\"eth0\",\"priority\":0}]},"
	"\"unified\":{\"memory.high\":\"1\"},\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":0}}},"
	"\"cgroupsPath\":\"/a/b\",\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/n\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
	"{\"type\":\"user\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}],\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":1,\"minor\":3,\"fileMode\":438,\"uid\":0,\"gid\":0}],"
	"\"netDevices\":{\"eth0\":{\"name\":\"in0\"},\"eth1\":{}},\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":0,\"architectures\":[\"SCMP_ARCH_X86\"],"
	"\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/s\",\"listenerMetadata\":\"m\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\","
	"\"errnoRet\":0,\"args\":[{\"index\":0,\"value\":18446744073709551615,\"valueTwo\":1,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]},"
	"\"rootfsPropagation\":\"rslave\",\"maskedPaths\":[\"/a\"],\"readonlyPaths\":[\"/b\"],\"mountLabel\":\"l\","
	"\"intelRdt\":{\"closID\":\"c\",\"l3CacheSchema\":\"l\",\"memBwSchema\":\"m\",\"schemata\":[\"s\"],\"enableMonitoring\":true},"
	"\"personality\":{\"domain\":\"LINUX32\"},\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"MPOL_F_STATIC_NODES\"]},"
	"\"timeOffsets\":{\"monotonic\":{\"secs\":-1,\"nanosecs\":2},\"boottime\":{\"secs\":3}}},"
	"\"vm\":{\"hypervisor\":{\"path\":\"/h\",\"parameters\":[\"p\"]},\"kernel\":{\"path\":\"/k\",\"parameters\":[\"q\"],\"initrd\":\"/i\"},"
	"\"image\":{\"path\":\"/r\",\"format\":\"raw\"},\"hwConfig\":{\"vcpus\":2,\"memory\":1048576}}}";

TEST(every_property_round_trips)
{
	struct spec spec = {0}, copy = {0};
	struct err e = {0};
	char *text;

	CHECK_INT(spec_load(full, sizeof(full) - 1, &spec, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_INT(spec_check(&spec, &e), 0);
	CHECK_STR(e.text, "");
	spec_copy(&copy, &spec);
	spec_release(&spec);
	text = spec_print(&copy, JSON_COMPACT);
	CHECK_STR(text, full);
	spec_release(&copy);
	free(text);
}

/* Absent presence flags: printing a spec that was composed by hand adds nothing. */
TEST(composed_spec)
{
	struct spec spec = {0};
	char *text;

	spec.oci_version = str_dup(SPEC_OCI_VERSION);
	spec.root.path = str_dup("/r");
	spec.process = mem_new(sizeof(*spec.process));
	spec.process->cwd = str_dup("/");
	strv_add(&spec.process->args, "true");
	spec_add_mount(&spec, "/proc", "proc", NULL, (const char *const[]){"nosuid", "noexec", NULL});
	spec_add_mount(&spec, "/x", NULL, "/y", NULL);
	spec_add_ns(&spec, SPEC_NS_PID, NULL);
	spec_add_ns(&spec, SPEC_NS_MOUNT, "/proc/1/ns/mnt");
	spec_add_rlimit(spec.process, 7, 1024, 4096);
	text = spec_print(&spec, JSON_COMPACT);
	CHECK_STR(text, "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"/r\"},\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
			"\"options\":[\"nosuid\",\"noexec\"]},{\"destination\":\"/x\",\"source\":\"/y\"}],\"process\":{\"user\":{\"uid\":0,\"gid\":0},"
			"\"args\":[\"true\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":4096}]},"
			"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\",\"path\":\"/proc/1/ns/mnt\"}]}}");
	CHECK_STR(spec_ns(&spec, SPEC_NS_MOUNT)->path, "/proc/1/ns/mnt");
	free(text);
	spec_release(&spec);
}

/* The cases put one wrong part into a spec that is right without it. */
struct bad {
	const char *part, *expected;
};

static void check_bad(const char *format, const struct bad *bad)
{
	struct spec spec = {0};
	struct err e = {0};
	char *text = NULL;
	int r;

	if (asprintf(&text, format, bad->part) < 0)
		return;
	r = spec_load(text, strlen(text), &spec, &e);
	if (r >= 0)
		r = spec_check(&spec, &e);
	CHECK_INT(r, -EINVAL);
	CHECK_STR(e.text, bad->expected);
	spec_release(&spec);
	free(text);
}

TEST(bad_top_level)
{
	static const struct bad cases[] = {
		{"", "ociVersion: required, but missing"},
		{"\"ociVersion\":1", "ociVersion: expected a string, found 1"},
		{"\"ociVersion\":\"\"", "ociVersion: expected a string that is not empty"},
		{"\"ociVersion\":\"1.0.0\"", "root: required, but missing"},
		{"\"ociVersion\":\"2.0.0\",\"root\":{\"path\":\"r\"}", "ociVersion: expected 1.x.y, found '2.0.0'"},
		{"\"ociVersion\":\"1.0\",\"root\":{\"path\":\"r\"}", "ociVersion: expected 1.x.y, found '1.0'"},
		{"\"ociVersion\":\"1.0.0x\",\"root\":{\"path\":\"r\"}", "ociVersion: expected 1.x.y, found '1.0.0x'"},
		{"\"ociVersion\":\"1.0.0\",\"root\":\"r\"", "root: expected an object, found a string"},
		{"\"ociVersion\":\"1.0.0\",\"root\":{}", "root.path: required, but missing"},
		{"\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"\"}", "root.path: expected a string that is not empty"},
		{"\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\",\"readonly\":1}", "root.readonly: expected true or false, found 1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_bad("{%s}", &cases[i]);
}

TEST(bad_parts)
{
	static const struct bad cases[] = {
		{"\"mounts\":{}", "mounts: expected an array, found an object"},
		{"\"mounts\":[{\"type\":\"proc\"}]", "mounts[0].destination: required, but missing"},
		{"\"mounts\":[{\"destination\":\"/a/../../b\"}]", "mounts[0].destination: expected a path without '..', found '/a/../../b'"},
		{"\"mounts\":[{\"destination\":\"/a\",\"options\":\"ro\"}]", "mounts[0].options: expected an array, found a string"},
		{"\"mounts\":[{\"destination\":\"/a\",\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}]", "mounts[0].gidMappings: required with the other kind of mappings, but missing"},
		{"\"hostname\":\"h\"", "hostname: needs a namespace of type 'uts' in linux.namespaces"},
		{"\"hostname\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "hostname: expected at most 64 bytes, found 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"},
		{"\"annotations\":{\"\":\"x\"}", "annotations: a key may not be empty"},
		{"\"annotations\":{\"a\":1}", "annotations.a: expected a string, found 1"},
		{"\"hooks\":{\"poststop\":[{\"path\":\"rel\"}]}", "hooks.poststop[0].path: expected an absolute path, found 'rel'"},
		{"\"hooks\":{\"prestart\":[{\"path\":\"/x\",\"timeout\":0}]}", "hooks.prestart[0].timeout: expected an integer from 1 to 2147483647, found 0"},
		{"\"vm\":{}", "vm.kernel: required, but missing"},
		{"\"vm\":{\"kernel\":{\"path\":\"k\"}}", "vm.kernel.path: expected an absolute path, found 'k'"},
		{"\"process\":[]", "process: expected an object, found an array"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_bad("{\"ociVersion\":\"1.2.1\",\"root\":{\"path\":\"r\"},%s}", &cases[i]);
}

TEST(bad_process)
{
	static const struct bad cases[] = {
		{"", "process.cwd: required, but missing"},
		{"\"cwd\":\"rel\"", "process.cwd: expected an absolute path, found 'rel'"},
		{"\"cwd\":\"/\",\"args\":[\"\"]", "process.args[0]: expected a string that is not empty"},
		{"\"cwd\":\"/\",\"args\":[1]", "process.args[0]: expected a string, found 1"},
		{"\"cwd\":\"/\",\"user\":{\"gid\":0}", "process.user.uid: required, but missing"},
		{"\"cwd\":\"/\",\"user\":{\"uid\":-1,\"gid\":0}", "process.user.uid: expected an integer from 0 to 4294967295, found -1"},
		{"\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0,\"umask\":512}", "process.user.umask: expected an integer from 0 to 511, found 512"},
		{"\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_FOO\",\"soft\":1,\"hard\":1}]",
			"process.rlimits[0].type: expected one of 'RLIMIT_CPU', 'RLIMIT_FSIZE', 'RLIMIT_DATA', 'RLIMIT_STACK', 'RLIMIT_CORE', 'RLIMIT_RSS', 'RLIMIT_NPROC', 'RLIMIT_NOFILE', 'RLIMIT_MEMLOCK', 'RLIMIT_AS', 'RLIMIT_LOCKS', 'RLIMIT_SIGPENDING', 'RLIMIT_MSGQUEUE', 'RLIMIT_NICE', 'RLIMIT_RTPRIO', 'RLIMIT_RTTIME', found 'RLIMIT_FOO'"},
		{"\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]", "process.rlimits[0].soft: 2 is more than the hard limit 1"},
		{"\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]", "process.rlimits[1].type: 'RLIMIT_CPU' is given twice"},
		{"\"cwd\":\"/\",\"oomScoreAdj\":1001", "process.oomScoreAdj: expected an integer from -1000 to 1000, found 1001"},
		{"\"cwd\":\"/\",\"capabilities\":{\"effective\":[\"CAP_CHOWN\"]}", "process.capabilities.effective: has 'CAP_CHOWN', which is not in 'permitted'"},
		{"\"cwd\":\"/\",\"capabilities\":{\"ambient\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"]}", "process.capabilities.ambient: has 'CAP_KILL', which is not in both 'permitted' and 'inheritable'"},
		{"\"cwd\":\"/\",\"capabilities\":{\"bounding\":\"all\"}", "process.capabilities.bounding: expected an array, found a string"},
		{"\"cwd\":\"/\",\"scheduler\":{\"policy\":\"SCHED_X\"}", "process.scheduler.policy: expected one of 'SCHED_OTHER', 'SCHED_FIFO', 'SCHED_RR', 'SCHED_BATCH', 'SCHED_ISO', 'SCHED_IDLE', 'SCHED_DEADLINE', found 'SCHED_X'"},
		{"\"cwd\":\"/\",\"ioPriority\":{\"class\":\"\"}", "process.ioPriority.class: expected one of 'IOPRIO_CLASS_RT', 'IOPRIO_CLASS_BE', 'IOPRIO_CLASS_IDLE', found ''"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_bad("{\"ociVersion\":\"1.2.1\",\"root\":{\"path\":\"r\"},\"process\":{%s}}", &cases[i]);
}

TEST(bad_linux)
{
	static const struct bad cases[] = {
		{"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"x\"}]", "linux.namespaces[1].type: expected one of 'pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time', found 'x'"},
		{"\"namespaces\":[{\"path\":\"/x\"}]", "linux.namespaces[0].type: required, but missing"},
		{"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]", "linux.namespaces[1].type: 'pid' is given twice"},
		{"\"namespaces\":[{\"type\":\"pid\",\"path\":\"ns\"}]", "linux.namespaces[0].path: expected an absolute path, found 'ns'"},
		{"\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]", "linux.uidMappings: needs a namespace of type 'user' in linux.namespaces"},
		{"\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":0}]", "linux.uidMappings[0]: 0 ids from 0 and 0 are no range of ids"},
		{"\"namespaces\":[{\"type\":\"user\"}],\"gidMappings\":[{\"containerID\":0,\"hostID\":4294967295,\"size\":2}]", "linux.gidMappings[0]: 2 ids from 0 and 4294967295 are no range of ids"},
		{"\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,\"hostID\":10,\"size\":5},{\"containerID\":5,\"hostID\":14,\"size\":1}]", "linux.uidMappings[1]: overlaps with linux.uidMappings[0]"},
		{"\"uidMappings\":[{\"hostID\":0,\"size\":1}]", "linux.uidMappings[0].containerID: required, but missing"},
		{"\"sysctl\":{\"kernel.core_pattern\":\"|/x\"}", "linux.sysctl: expected a name that belongs to a namespace (net.*, fs.mqueue.*, kernel.shm*, ...), found 'kernel.core_pattern'"},
		{"\"sysctl\":{\"net/../kernel/core_pattern\":\"|/x\"}", "linux.sysctl: expected a name that belongs to a namespace (net.*, fs.mqueue.*, kernel.shm*, ...), found 'net/../kernel/core_pattern'"},
		{"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}", "linux.sysctl['net.ipv4.ip_forward']: needs a namespace of type 'network' in linux.namespaces"},
		{"\"sysctl\":{\"net.x\":1}", "linux.sysctl['net.x']: expected a string, found 1"},
		{"\"cgroupsPath\":\"/a/../b\"", "linux.cgroupsPath: expected a path without '..', found '/a/../b'"},
		{"\"resources\":{\"pids\":{\"limit\":\"5\"}}", "linux.resources.pids.limit: expected an integer, found a string"},
		{"\"resources\":{\"pids\":{}}", "linux.resources.pids.limit: required, but missing"},
		{"\"resources\":{\"memory\":{\"limit\":9223372036854775808}}", "linux.resources.memory.limit: expected an integer from -9223372036854775808 to 9223372036854775807, found 9223372036854775808"},
		{"\"resources\":{\"devices\":[{\"access\":\"rwm\"}]}", "linux.resources.devices[0].allow: required, but missing"},
		{"\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwx\"}]}", "linux.resources.devices[0].access: expected letters of 'rwm', found 'rwx'"},
		{"\"resources\":{\"devices\":[{\"allow\":true,\"type\":\"z\"}]}", "linux.resources.devices[0].type: expected one of 'a', 'b', 'c', found 'z'"},
		{"\"resources\":{\"unified\":{\"../x.y\":\"1\"}}", "linux.resources.unified: expected the name of a cgroup file, found '../x.y'"},
		{"\"resources\":{\"blockIO\":{\"weight\":65536}}", "linux.resources.blockIO.weight: expected an integer from 0 to 65535, found 65536"},
		{"\"resources\":{\"rdma\":{\"m\":{\"hcaHandles\":-1}}}", "linux.resources.rdma.m.hcaHandles: expected an integer from 0 to 4294967295, found -1"},
		{"\"devices\":[{\"type\":\"x\",\"path\":\"/dev/x\"}]", "linux.devices[0].type: expected one of 'c', 'b', 'u', 'p', found 'x'"},
		{"\"devices\":[{\"type\":\"c\",\"path\":\"/dev/../x\"}]", "linux.devices[0].path: expected a path without '..', found '/dev/../x'"},
		{"\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":4096}]", "linux.devices[0]: 4096:0 is no device number"},
		{"\"maskedPaths\":[\"proc/kcore\"]", "linux.maskedPaths[0]: expected an absolute path without '..', found 'proc/kcore'"},
		{"\"readonlyPaths\":[\"/proc\",\"/../x\"]", "linux.readonlyPaths[1]: expected an absolute path without '..', found '/../x'"},
		{"\"rootfsPropagation\":\"sharedd\"", "linux.rootfsPropagation: expected one of 'shared', 'slave', 'private', 'unbindable', found 'sharedd'"},
		{"\"timeOffsets\":{\"boottime\":{\"secs\":1}}", "linux.timeOffsets: needs a new namespace of type 'time' in linux.namespaces"},
		{"\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}", "linux.timeOffsets.boottime.nanosecs: expected an integer from 0 to 999999999, found 1000000000"},
		{"\"personality\":{\"domain\":\"BSD\"}", "linux.personality.domain: expected one of 'LINUX', 'LINUX32', found 'BSD'"},
		{"\"netDevices\":{\"eth0\":{}}", "linux.netDevices: needs a namespace of type 'network' in linux.namespaces"},
		{"\"namespaces\":[{\"type\":\"network\"}],\"netDevices\":{\"eth0\":{\"name\":\"a/b\"}}", "linux.netDevices: expected the name of a network interface, found 'a/b'"},
		{"\"seccomp\":{}", "linux.seccomp.defaultAction: required, but missing"},
		{"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "linux.seccomp.defaultAction: cannot be 'SCMP_ACT_NOTIFY'"},
		{"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]}", "linux.seccomp.syscalls[0].names: expected an array that is not empty"},
		{"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}", "linux.seccomp.syscalls[0].args[0].index: expected an integer from 0 to 5, found 6"},
		{"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"m\"}", "linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_bad("{\"ociVersion\":\"1.2.1\",\"root\":{\"path\":\"r\"},\"linux\":{%s}}", &cases[i]);
}

/* The specification wants what is unknown to be ignored, at every level. */
TEST(unknown_is_ignored)
{
	static const char text[] = "{\"ociVersion\":\"1.0.2-dev\",\"root\":{\"path\":\"r\",\"new\":[{}]},\"freebsd\":{\"jail\":{}},\"windows\":null,"
				   "\"process\":{\"cwd\":\"/\",\"commandLine\":\"x\",\"capabilities\":{\"bounding\":[\"CAP_OF_2040\",\"CAP_KILL\"]}}}";
	struct spec spec = {0};
	struct err e = {0};

	CHECK_INT(spec_load(text, sizeof(text) - 1, &spec, &e), 0);
	CHECK_INT(spec_check(&spec, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_INT(spec.process->capabilities->bounding, 1 << CAP_KILL);
	spec_release(&spec);
}

TEST(resources_and_process_alone)
{
	static const char resources[] = "{\"memory\":{\"limit\":1048576},\"pids\":{\"limit\":-1}}";
	struct spec_resources r = {0};
	struct spec_process p = {0}, copy = {0};
	struct err e = {0};

	CHECK_INT(spec_resources_load(resources, sizeof(resources) - 1, &r, &e), 0);
	CHECK(r.memory && r.memory->has_limit && !r.memory->has_swap && r.has_pids);
	CHECK_INT(r.memory->limit, 1048576);
	CHECK_INT(r.pids_limit, -1);
	spec_resources_release(&r);
	CHECK_INT(spec_process_load("{\"cwd\":1}", 9, &p, &e), -EINVAL);
	CHECK_STR(e.text, "cwd: expected a string, found 1");
	CHECK_INT(spec_process_load("{\"cwd\":\"/\"}", 11, &p, &e), 0);
	spec_process_copy(&copy, &p);
	spec_process_release(&p);
	CHECK_STR(copy.cwd, "/");
	spec_process_release(&copy);
}

TEST_MAIN
