/*
 * `features` (features.md) and `spec`: what this runtime can, and a configuration to begin with.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "oci/internal.h"

struct flag {
	bool enabled;
};
struct features {
	char *version_min, *version_max;
	struct strv hooks, mount_options;
	struct {
		struct strv namespaces, capabilities;
		bool cgroup_v1, cgroup_v2, cgroup_systemd, cgroup_systemd_user, cgroup_rdma;
		struct {
			bool enabled;
			struct strv actions, operators, archs, known_flags, supported_flags;
		} seccomp;
		struct flag apparmor, selinux, intel_rdt, idmap, net_devices;
		struct strv policy_modes, policy_flags;
	} linux;
	struct strmap annotations;
	struct strv unsafe_annotations;
};

/* Scalars of strict tables are printed when false, too: "no" is an answer here. */
#define BOOL_TABLE(name, ...)                                                                      \
	static const struct json_field name##_fields[] = {__VA_ARGS__};                            \
	static const struct json_table name##_table =                                              \
		JSON_TABLE(struct features, name##_fields, .flags = JSON_STRICT)
#define BOOL(member, key) JSON_FIELD(struct features, linux.member, key, JSON_BOOL)
#define LIST(member, key) JSON_FIELD(struct features, member, key, JSON_STRV)
#define PART(key, part)                                                                            \
	{                                                                                          \
		.name = (key), .kind = JSON_OBJECT, .has_offset = JSON_NO_OFFSET,                  \
		.table = &part##_table                                                             \
	}

BOOL_TABLE(cgroup, BOOL(cgroup_v1, "v1"), BOOL(cgroup_v2, "v2"), BOOL(cgroup_systemd, "systemd"),
	BOOL(cgroup_systemd_user, "systemdUser"), BOOL(cgroup_rdma, "rdma"));
BOOL_TABLE(seccomp, BOOL(seccomp.enabled, "enabled"), LIST(linux.seccomp.actions, "actions"),
	LIST(linux.seccomp.operators, "operators"), LIST(linux.seccomp.archs, "archs"),
	LIST(linux.seccomp.known_flags, "knownFlags"),
	LIST(linux.seccomp.supported_flags, "supportedFlags"));
BOOL_TABLE(apparmor, BOOL(apparmor.enabled, "enabled"));
BOOL_TABLE(selinux, BOOL(selinux.enabled, "enabled"));
BOOL_TABLE(intel_rdt, BOOL(intel_rdt.enabled, "enabled"));
BOOL_TABLE(idmap, BOOL(idmap.enabled, "enabled"));
BOOL_TABLE(net_devices, BOOL(net_devices.enabled, "enabled"));
BOOL_TABLE(mount_extensions, PART("idmap", idmap));
BOOL_TABLE(memory_policy, LIST(linux.policy_modes, "modes"), LIST(linux.policy_flags, "flags"));
BOOL_TABLE(linux, LIST(linux.namespaces, "namespaces"), LIST(linux.capabilities, "capabilities"),
	PART("cgroup", cgroup), PART("seccomp", seccomp), PART("apparmor", apparmor),
	PART("selinux", selinux), PART("intelRdt", intel_rdt),
	PART("mountExtensions", mount_extensions), PART("netDevices", net_devices),
	PART("memoryPolicy", memory_policy));
BOOL_TABLE(features, JSON_FIELD(struct features, version_min, "ociVersionMin", JSON_STR),
	JSON_FIELD(struct features, version_max, "ociVersionMax", JSON_STR), LIST(hooks, "hooks"),
	LIST(mount_options, "mountOptions"), PART("linux", linux),
	JSON_FIELD(struct features, annotations, "annotations", JSON_MAP),
	LIST(unsafe_annotations, "potentiallyUnsafeConfigAnnotations"));

/* What the engine's mount_opts.c reads; a unit test holds the two together. */
static const char *const mount_options[] = {"async", "atime", "bind", "defaults", "dev", "diratime",
	"dirsync", "exec", "idmap", "iversion", "lazytime", "loud", "mand", "noatime", "nodev",
	"nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
	"nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime",
	"remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnorelatime",
	"rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime", "rro", "rrw",
	"rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared",
	"silent", "slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup", "unbindable",
	NULL};
static const char *const seccomp_archs[] = {"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32",
	"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
	"SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", NULL};
static const char *const seccomp_flags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL};
static const char *const policy_modes[] = {"MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND",
	"MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE", NULL};
static const char *const policy_flags[] = {
	"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES", "MPOL_F_NUMA_BALANCING", NULL};

static void add_all(struct strv *to, const char *const *words)
{
	for (; *words; words++)
		strv_add(to, *words);
}

char *oci_features(void)
{
	struct features f = {
		.version_min = str_dup("1.0.0"),
		.version_max = str_dup(SPEC_OCI_VERSION),
		.linux = {.cgroup_v1 = true,
			.cgroup_v2 = true,
			.cgroup_rdma = true,
			.seccomp.enabled = true,
			.apparmor.enabled = true,
			.selinux.enabled = true,
			.idmap.enabled = true,
			.net_devices.enabled = true},
	};
	char *text;

	add_all(&f.hooks, spec_hook_names);
	add_all(&f.mount_options, mount_options);
	add_all(&f.linux.namespaces, spec_ns_names);
	add_all(&f.linux.capabilities, spec_capability_names);
	add_all(&f.linux.seccomp.actions, spec_action_names);
	add_all(&f.linux.seccomp.operators, spec_op_names);
	add_all(&f.linux.seccomp.archs, seccomp_archs);
	add_all(&f.linux.seccomp.known_flags, seccomp_flags);
	add_all(&f.linux.seccomp.supported_flags, seccomp_flags);
	add_all(&f.linux.policy_modes, policy_modes);
	add_all(&f.linux.policy_flags, policy_flags);
	strmap_set(&f.annotations, "org.jail.version", JAIL_VERSION);
	text = json_print_text(&features_table, &f, JSON_PRETTY);
	json_release(&features_table, &f);
	return text;
}

/* ---- spec ---- */

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void add_mounts(struct spec *s, bool rootless)
{
	spec_add_mount(s, "/proc", "proc", "proc", NULL);
	spec_add_mount(s, "/dev", "tmpfs", "tmpfs",
		OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
	spec_add_mount(s, "/dev/pts", "devpts", "devpts",
		rootless ? OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
			 : OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
				   "gid=5"));
	spec_add_mount(s, "/dev/shm", "tmpfs", "shm",
		OPTIONS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"));
	spec_add_mount(s, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
	if (rootless)
		spec_add_mount(s, "/sys", NULL, "/sys",
			OPTIONS("rbind", "nosuid", "noexec", "nodev", "ro"));
	else
		spec_add_mount(
			s, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", "ro"));
	if (!rootless)
		spec_add_mount(s, "/sys/fs/cgroup", "cgroup", "cgroup",
			OPTIONS("nosuid", "noexec", "nodev", "relatime", "ro"));
}

static uint64_t template_caps(void)
{
	static const char *const names[] = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
	uint64_t set = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (int bit = 0; spec_capability_names[bit]; bit++)
			if (!strcmp(spec_capability_names[bit], names[i]))
				set |= UINT64_C(1) << bit;
	return set;
}

static void add_process(struct spec *s)
{
	enum { NOFILE = 7 }; /* RLIMIT_NOFILE, index in spec_rlimit_names */
	struct spec_process *p = mem_new(sizeof(*p));
	uint64_t caps = template_caps();

	p->terminal = true;
	p->cwd = str_dup("/");
	p->no_new_privileges = true;
	strv_add(&p->args, "sh");
	strv_add(&p->env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(&p->env, "TERM=xterm");
	p->capabilities = mem_new(sizeof(*p->capabilities));
	p->capabilities->bounding = p->capabilities->effective = p->capabilities->permitted = caps;
	spec_add_rlimit(p, NOFILE, 1024, 1024);
	s->process = p;
}

static void add_mapping(struct spec_id_mapping **m, size_t *n, uint32_t host)
{
	*m = mem_new(sizeof(**m));
	**m = (struct spec_id_mapping){.container_id = 0, .host_id = host, .size = 1};
	*n = 1;
}

static void add_confinement(struct spec *s)
{
	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore",
		"/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/sys/firmware", "/proc/scsi", "/proc/interrupts",
		"/sys/devices/virtual/powercap", NULL};
	static const char *const read_only[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};

	add_all(&s->linux.masked_paths, masked);
	add_all(&s->linux.readonly_paths, read_only);
}

char *oci_spec_template(bool rootless)
{
	static const enum spec_ns_kind kinds[] = {SPEC_NS_PID, SPEC_NS_NETWORK, SPEC_NS_IPC,
		SPEC_NS_UTS, SPEC_NS_MOUNT, SPEC_NS_CGROUP};
	struct spec s = {.oci_version = str_dup(SPEC_OCI_VERSION), .has_linux = true};
	char *text;

	s.root.path = str_dup("rootfs");
	s.root.readonly = true;
	s.hostname = str_dup("jail");
	add_process(&s);
	add_mounts(&s, rootless);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!rootless || kinds[i] != SPEC_NS_NETWORK)
			spec_add_ns(&s, kinds[i], NULL);
	if (rootless) {
		spec_add_ns(&s, SPEC_NS_USER, NULL);
		add_mapping(&s.linux.uid_mappings, &s.linux.n_uid_mappings, geteuid());
		add_mapping(&s.linux.gid_mappings, &s.linux.n_gid_mappings, getegid());
	} else {
		s.linux.resources = mem_new(sizeof(*s.linux.resources));
		s.linux.resources->devices = mem_new(sizeof(*s.linux.resources->devices));
		s.linux.resources->devices->access = str_dup("rwm"); /* allow: false */
		s.linux.resources->n_devices = 1;
	}
	add_confinement(&s);
	text = spec_print(&s, JSON_PRETTY);
	spec_release(&s);
	return text;
}
