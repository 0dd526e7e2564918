/*
 * The OCI runtime-spec (1.3) for Linux as a C struct: the only thing that manager and engine
 * share.
 *
 *	struct spec spec = {0};
 *	if (spec_load(text, n, &spec, e) < 0)	 bytes -> struct, each value typed and ranged
 *		return -e->code;
 *	if (spec_check(&spec, e) < 0)		 what the specification demands across values
 *		...
 *	spec_release(&spec);
 *
 * Field names follow the specification's, in snake case; the section is named where one would
 * look.  All pointers are owned by the struct.  Absent is NULL, 0 or has_x == false.
 */
#ifndef JAIL_SPEC_SPEC_H
#define JAIL_SPEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define SPEC_OCI_VERSION "1.3.0"

/* config.md "User" */
struct spec_user {
	uint32_t uid, gid;
	uint32_t umask;
	bool has_umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
	char *username; /* Windows only: kept, not used */
};

/*
 * config-linux.md "Capabilities": bit i is capability number i (linux/capability.h).  Names that
 * we do not know are left out, since the specification wants no failure for them.
 */
struct spec_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct spec_rlimit {
	int type; /* index in spec_rlimit_names, which is the RLIMIT_ number */
	uint64_t soft, hard;
};

struct spec_scheduler {
	int policy; /* index in spec_sched_names, which is the SCHED_ number */
	int32_t nice, priority;
	uint64_t flags; /* bit i: spec_sched_flag_names[i] == SCHED_FLAG_ 1 << i */
	uint64_t runtime, deadline, period;
};

struct spec_io_priority {
	int io_class; /* index in spec_ioprio_names: IOPRIO_CLASS_ number */
	int32_t priority;
};

struct spec_cpu_affinity {
	char *initial, *final; /* cpu lists, "0-3,7" */
};

/* config.md "Process" */
struct spec_process {
	bool terminal;
	struct {
		uint32_t height, width;
	} console_size;
	bool has_console_size;
	struct spec_user user;
	struct strv args, env;
	char *cwd;
	struct spec_capabilities *capabilities;
	struct spec_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	char *apparmor_profile, *selinux_label;
	int32_t oom_score_adj;
	bool has_oom_score_adj;
	struct spec_scheduler *scheduler;
	struct spec_io_priority *io_priority;
	struct spec_cpu_affinity *exec_cpu_affinity;
};

struct spec_id_mapping {
	uint32_t container_id, host_id, size;
};

/* config.md "Mounts"; options are parsed by the engine */
struct spec_mount {
	char *destination, *type, *source;
	struct strv options;
	struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
};

struct spec_hook {
	char *path;
	struct strv args, env;
	int32_t timeout; /* seconds */
	bool has_timeout;
};

enum spec_hook_kind {
	SPEC_HOOK_PRESTART,
	SPEC_HOOK_CREATE_RUNTIME,
	SPEC_HOOK_CREATE_CONTAINER,
	SPEC_HOOK_START_CONTAINER,
	SPEC_HOOK_POSTSTART,
	SPEC_HOOK_POSTSTOP,
	SPEC_HOOK_KINDS,
};
struct spec_hook_list {
	struct spec_hook *items;
	size_t n_items;
};
struct spec_hooks {
	struct spec_hook_list list[SPEC_HOOK_KINDS];
};

/* config-linux.md "Namespaces" */
enum spec_ns_kind {
	SPEC_NS_PID,
	SPEC_NS_NETWORK,
	SPEC_NS_MOUNT,
	SPEC_NS_IPC,
	SPEC_NS_UTS,
	SPEC_NS_USER,
	SPEC_NS_CGROUP,
	SPEC_NS_TIME,
	SPEC_NS_KINDS,
};
struct spec_namespace {
	int type;   /* enum spec_ns_kind */
	char *path; /* NULL: a new one; else the one to join */
};

struct spec_device {
	char *type; /* "c", "b", "u" or "p" */
	char *path;
	int64_t major, minor;
	uint32_t file_mode;
	bool has_file_mode;
	uint32_t uid, gid;
	bool has_uid, has_gid;
};

struct spec_device_rule {
	bool allow;
	char *type; /* "a", "b" or "c"; NULL is "a" */
	int64_t major, minor;
	bool has_major, has_minor; /* absent, or -1: any */
	char *access;		   /* of "rwm"; NULL: all */
};

/* config-linux.md "Memory" */
struct spec_memory {
	int64_t limit, reservation, swap, kernel, kernel_tcp; /* bytes; -1 unlimited */
	bool has_limit, has_reservation, has_swap, has_kernel, has_kernel_tcp;
	uint64_t swappiness;
	bool has_swappiness;
	bool disable_oom_killer, use_hierarchy, check_before_update;
};

struct spec_cpu {
	uint64_t shares;
	int64_t quota;
	uint64_t burst, period;
	int64_t realtime_runtime;
	uint64_t realtime_period;
	bool has_shares, has_quota, has_burst, has_period, has_realtime_runtime, has_realtime_period;
	char *cpus, *mems;
	int64_t idle;
	bool has_idle;
};

struct spec_weight_device {
	int64_t major, minor;
	uint32_t weight, leaf_weight;
	bool has_weight, has_leaf_weight;
};
struct spec_throttle_device {
	int64_t major, minor;
	uint64_t rate;
};
struct spec_block_io {
	uint32_t weight, leaf_weight;
	bool has_weight, has_leaf_weight;
	struct spec_weight_device *weight_device;
	size_t n_weight_device;
	struct spec_throttle_device *read_bps, *write_bps, *read_iops, *write_iops;
	size_t n_read_bps, n_write_bps, n_read_iops, n_write_iops;
};

struct spec_hugepage_limit {
	char *page_size;
	uint64_t limit;
};
struct spec_if_priority {
	char *name;
	uint32_t priority;
};
struct spec_network {
	uint32_t class_id;
	bool has_class_id;
	struct spec_if_priority *priorities;
	size_t n_priorities;
};
struct spec_rdma {
	uint32_t hca_handles, hca_objects;
	bool has_hca_handles, has_hca_objects;
};

/* config-linux.md "Control groups" */
struct spec_resources {
	struct spec_device_rule *devices;
	size_t n_devices;
	struct spec_memory *memory;
	struct spec_cpu *cpu;
	int64_t pids_limit;
	bool has_pids; /* the "pids" object was there */
	struct spec_block_io *block_io;
	struct spec_hugepage_limit *hugepage_limits;
	size_t n_hugepage_limits;
	struct spec_network *network;
	struct strmap unified;
	struct spec_rdma_entry {
		char *device;
		struct spec_rdma limits;
	} *rdma;
	size_t n_rdma;
};

/* config-linux.md "Seccomp" */
enum spec_seccomp_action {
	SPEC_ACT_KILL, /* SCMP_ACT_KILL, same as KILL_THREAD */
	SPEC_ACT_KILL_PROCESS,
	SPEC_ACT_KILL_THREAD,
	SPEC_ACT_TRAP,
	SPEC_ACT_ERRNO,
	SPEC_ACT_TRACE,
	SPEC_ACT_ALLOW,
	SPEC_ACT_LOG,
	SPEC_ACT_NOTIFY,
};
enum spec_seccomp_op {
	SPEC_CMP_NE,
	SPEC_CMP_LT,
	SPEC_CMP_LE,
	SPEC_CMP_EQ,
	SPEC_CMP_GE,
	SPEC_CMP_GT,
	SPEC_CMP_MASKED_EQ,
};
struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	int op; /* enum spec_seccomp_op */
};
struct spec_seccomp_rule {
	struct strv names;
	int action; /* enum spec_seccomp_action */
	uint32_t errno_ret;
	bool has_errno_ret;
	struct spec_seccomp_arg *args;
	size_t n_args;
};
struct spec_seccomp {
	int default_action;
	uint32_t default_errno_ret;
	bool has_default_errno_ret;
	struct strv architectures; /* "SCMP_ARCH_X86_64" ... */
	struct strv flags;	   /* "SECCOMP_FILTER_FLAG_..." */
	char *listener_path, *listener_metadata;
	struct spec_seccomp_rule *syscalls;
	size_t n_syscalls;
};

struct spec_intel_rdt {
	char *clos_id, *l3_cache_schema, *mem_bw_schema;
	struct strv schemata;
	bool enable_monitoring;
};

struct spec_personality {
	char *domain; /* "LINUX" or "LINUX32" */
	struct strv flags;
};

struct spec_time_offset {
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_memory_policy {
	char *mode;  /* "MPOL_..." */
	char *nodes; /* node list */
	struct strv flags;
};

struct spec_net_device {
	char *host_name; /* the key */
	char *name;	 /* inside; NULL: unchanged */
};

struct spec_linux {
	struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
	struct strmap sysctl;
	struct spec_resources *resources;
	char *cgroups_path;
	struct spec_namespace *namespaces;
	size_t n_namespaces;
	struct spec_device *devices;
	size_t n_devices;
	struct spec_net_device *net_devices;
	size_t n_net_devices;
	struct spec_seccomp *seccomp;
	char *rootfs_propagation; /* "shared", "slave", "private", "unbindable" or "" */
	struct strv masked_paths, readonly_paths;
	char *mount_label;
	struct spec_intel_rdt *intel_rdt;
	struct spec_personality *personality;
	struct spec_memory_policy *memory_policy;
	struct spec_time_offset *monotonic, *boottime; /* "timeOffsets" */
};

/* config-vm.md: selects the VM tier */
struct spec_vm {
	struct {
		char *path;
		struct strv parameters;
	} hypervisor;
	struct {
		char *path, *initrd;
		struct strv parameters;
	} kernel;
	struct {
		char *path, *format;
	} image;
	struct {
		uint32_t vcpus;
		uint64_t memory;
		bool has_vcpus, has_memory;
	} hw;
};

struct spec {
	char *oci_version;
	struct {
		char *path;
		bool readonly;
	} root;
	struct spec_mount *mounts;
	size_t n_mounts;
	struct spec_process *process; /* NULL is allowed until start (config.md) */
	struct spec_hooks hooks;
	char *hostname, *domainname;
	struct strmap annotations;
	struct spec_linux linux;
	bool has_linux;
	struct spec_vm *vm;
};

extern const char *const spec_hook_names[];	  /* by enum spec_hook_kind */
extern const char *const spec_ns_names[];	  /* by enum spec_ns_kind */
extern const char *const spec_rlimit_names[];	  /* by RLIMIT_ number */
extern const char *const spec_sched_names[];	  /* by SCHED_ number; gaps are "" */
extern const char *const spec_sched_flag_names[]; /* by bit of SCHED_FLAG_ */
extern const char *const spec_ioprio_names[];	  /* by IOPRIO_CLASS_ number */
extern const char *const spec_capability_names[]; /* by capability number, "CAP_CHOWN" first */
extern const char *const spec_action_names[];	  /* by enum spec_seccomp_action */
extern const char *const spec_op_names[];	  /* by enum spec_seccomp_op */

/* The tables, for rooms that embed parts of the spec in their own formats. */
extern const struct json_table spec_table, spec_process_table, spec_resources_table,
	spec_seccomp_table;

/*
 * Reads a config.json / process.json / resources.json.  *ret must be zeroed.  Errors: -EINVAL
 * with the JSON path and what was expected; -EFBIG.  Pure: nothing of the host is looked at.
 */
int spec_load(const char *text, size_t n, struct spec *ret, struct err *e) __attribute__((nonnull));
int spec_process_load(const char *text, size_t n, struct spec_process *ret, struct err *e)
	__attribute__((nonnull));
int spec_resources_load(const char *text, size_t n, struct spec_resources *ret, struct err *e)
	__attribute__((nonnull));
/* Prints as JSON text (the runtime-spec's form); owned. */
char *spec_print(const struct spec *spec, enum json_style style) __attribute__((nonnull));

/*
 * Checks what the types cannot: version 1.x, a namespace twice, mappings without a user
 * namespace, capability sets that the kernel would refuse, sysctls that belong to no new
 * namespace, device types, destinations, cgroupsPath and annotation components with "..",
 * masked and read-only paths absolute, hooks absolute, seccomp argument indices 0..5, rlimits
 * soft <= hard and not twice, time offsets without a time namespace.  Pure.
 */
int spec_check(const struct spec *spec, struct err *e) __attribute__((nonnull));
int spec_process_check(const struct spec_process *p, struct err *e) __attribute__((nonnull));
int spec_resources_check(const struct spec_resources *r, struct err *e) __attribute__((nonnull));

void spec_release(struct spec *spec) __attribute__((nonnull));
void spec_process_release(struct spec_process *p) __attribute__((nonnull));
void spec_resources_release(struct spec_resources *r) __attribute__((nonnull));
/* Deep copies; *dst must be zeroed. */
void spec_copy(struct spec *dst, const struct spec *src) __attribute__((nonnull));
void spec_process_copy(struct spec_process *dst, const struct spec_process *src) __attribute__((nonnull));

/* The namespace entry of that kind, or NULL. */
const struct spec_namespace *spec_ns(const struct spec *spec, enum spec_ns_kind kind)
	__attribute__((nonnull));
/* Builders, for composing a spec in memory; strings are copied. */
struct spec_mount *spec_add_mount(struct spec *spec, const char *destination, const char *type,
	const char *source, const char *const *options) __attribute__((nonnull(1, 2)));
void spec_add_ns(struct spec *spec, enum spec_ns_kind kind, const char *path) __attribute__((nonnull(1)));
void spec_add_rlimit(struct spec_process *p, int type, uint64_t soft, uint64_t hard) __attribute__((nonnull));

#endif
