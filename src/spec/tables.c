/*
 * The runtime-spec's properties as tables: config.md, config-linux.md and config-vm.md of
 * version 1.3, in the order of their sections.  What is not here (other platforms, later
 * versions) is ignored, as config.md "Extensibility" demands.
 */
#include "spec/spec.h"

#define REQUIRED .flags = JSON_REQUIRED
#define NONEMPTY .flags = JSON_REQUIRED | JSON_NONEMPTY
/* As JSON_FIELD_HAS for a member of an embedded struct. */
#define FIELD_HAS_IN(type, outer, member, key, kind_)                                              \
	{                                                                                          \
		.name = (key), .kind = (kind_), .offset = offsetof(type, outer.member),            \
		.has_offset = offsetof(type, outer.has_##member)                                   \
	}
#define ABSOLUTE .flags = JSON_REQUIRED | JSON_ABSOLUTE

/* A table of the fields in name_fields. */
#define TABLE(name, type)                                                                          \
	static const struct json_table name##_table = JSON_TABLE(type, name##_fields)

/* config.md "Process" */
static const struct json_field user_fields[] = {
	JSON_FIELD(struct spec_user, uid, "uid", JSON_U32, REQUIRED),
	JSON_FIELD(struct spec_user, gid, "gid", JSON_U32, REQUIRED),
	JSON_FIELD_HAS(struct spec_user, umask, "umask", JSON_U32, .min = 0, .max = 0777),
	JSON_FIELD_ARRAY(struct spec_user, additional_gids, "additionalGids", JSON_U32_ARRAY),
	JSON_FIELD(struct spec_user, username, "username", JSON_STR),
};
TABLE(user, struct spec_user);

#define CAPABILITY_SET(member)                                                                     \
	JSON_FIELD(struct spec_capabilities, member, #member, JSON_SET,                            \
		.names = spec_capability_names, .flags = JSON_LENIENT)
static const struct json_field capabilities_fields[] = {
	CAPABILITY_SET(bounding),
	CAPABILITY_SET(effective),
	CAPABILITY_SET(inheritable),
	CAPABILITY_SET(permitted),
	CAPABILITY_SET(ambient),
};
TABLE(capabilities, struct spec_capabilities);

static const struct json_field rlimit_fields[] = {
	JSON_FIELD(
		struct spec_rlimit, type, "type", JSON_ENUM, REQUIRED, .names = spec_rlimit_names),
	JSON_FIELD(struct spec_rlimit, soft, "soft", JSON_U64, REQUIRED),
	JSON_FIELD(struct spec_rlimit, hard, "hard", JSON_U64, REQUIRED),
};
TABLE(rlimit, struct spec_rlimit);

static const struct json_field scheduler_fields[] = {
	JSON_FIELD(struct spec_scheduler, policy, "policy", JSON_ENUM, REQUIRED,
		.names = spec_sched_names),
	JSON_FIELD(struct spec_scheduler, nice, "nice", JSON_I32, .min = -20, .max = 19),
	JSON_FIELD(struct spec_scheduler, priority, "priority", JSON_I32),
	JSON_FIELD(struct spec_scheduler, flags, "flags", JSON_SET, .names = spec_sched_flag_names),
	JSON_FIELD(struct spec_scheduler, runtime, "runtime", JSON_U64),
	JSON_FIELD(struct spec_scheduler, deadline, "deadline", JSON_U64),
	JSON_FIELD(struct spec_scheduler, period, "period", JSON_U64),
};
TABLE(scheduler, struct spec_scheduler);

static const struct json_field io_priority_fields[] = {
	JSON_FIELD(struct spec_io_priority, io_class, "class", JSON_ENUM, REQUIRED,
		.names = spec_ioprio_names),
	JSON_FIELD(struct spec_io_priority, priority, "priority", JSON_I32, .min = 0, .max = 7),
};
TABLE(io_priority, struct spec_io_priority);

static const struct json_field cpu_affinity_fields[] = {
	JSON_FIELD(struct spec_cpu_affinity, initial, "initial", JSON_STR),
	JSON_FIELD(struct spec_cpu_affinity, final, "final", JSON_STR),
};
TABLE(cpu_affinity, struct spec_cpu_affinity);

static const struct json_field console_size_fields[] = {
	JSON_FIELD(struct spec_process, console_size.height, "height", JSON_U32, REQUIRED, .min = 0,
		.max = 65535),
	JSON_FIELD(struct spec_process, console_size.width, "width", JSON_U32, REQUIRED, .min = 0,
		.max = 65535),
};
TABLE(console_size, struct spec_process);

static const struct json_field process_fields[] = {
	JSON_FIELD(struct spec_process, terminal, "terminal", JSON_BOOL),
	{.name = "consoleSize",
		.kind = JSON_OBJECT,
		.table = &console_size_table,
		.has_offset = offsetof(struct spec_process, has_console_size)},
	JSON_FIELD(struct spec_process, user, "user", JSON_OBJECT, .table = &user_table),
	JSON_FIELD(struct spec_process, args, "args", JSON_STRV),
	JSON_FIELD(struct spec_process, env, "env", JSON_STRV),
	JSON_FIELD(struct spec_process, cwd, "cwd", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_process, capabilities, "capabilities", JSON_OPTIONAL,
		.table = &capabilities_table),
	JSON_FIELD_ARRAY(
		struct spec_process, rlimits, "rlimits", JSON_ARRAY, .table = &rlimit_table),
	JSON_FIELD(struct spec_process, no_new_privileges, "noNewPrivileges", JSON_BOOL),
	JSON_FIELD(struct spec_process, apparmor_profile, "apparmorProfile", JSON_STR),
	JSON_FIELD(struct spec_process, selinux_label, "selinuxLabel", JSON_STR),
	JSON_FIELD_HAS(struct spec_process, oom_score_adj, "oomScoreAdj", JSON_I32, .min = -1000,
		.max = 1000),
	JSON_FIELD(struct spec_process, scheduler, "scheduler", JSON_OPTIONAL,
		.table = &scheduler_table),
	JSON_FIELD(struct spec_process, io_priority, "ioPriority", JSON_OPTIONAL,
		.table = &io_priority_table),
	JSON_FIELD(struct spec_process, exec_cpu_affinity, "execCPUAffinity", JSON_OPTIONAL,
		.table = &cpu_affinity_table),
};
const struct json_table spec_process_table = JSON_TABLE(struct spec_process, process_fields);

/* config.md "Mounts", "POSIX-platform Hooks", "Root" */
static const struct json_field id_mapping_fields[] = {
	JSON_FIELD(struct spec_id_mapping, container_id, "containerID", JSON_U32, REQUIRED),
	JSON_FIELD(struct spec_id_mapping, host_id, "hostID", JSON_U32, REQUIRED),
	JSON_FIELD(struct spec_id_mapping, size, "size", JSON_U32, REQUIRED),
};
TABLE(id_mapping, struct spec_id_mapping);

static const struct json_field mount_fields[] = {
	JSON_FIELD(struct spec_mount, destination, "destination", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_mount, type, "type", JSON_STR),
	JSON_FIELD(struct spec_mount, source, "source", JSON_STR),
	JSON_FIELD(struct spec_mount, options, "options", JSON_STRV),
	JSON_FIELD_ARRAY(struct spec_mount, uid_mappings, "uidMappings", JSON_ARRAY,
		.table = &id_mapping_table),
	JSON_FIELD_ARRAY(struct spec_mount, gid_mappings, "gidMappings", JSON_ARRAY,
		.table = &id_mapping_table),
};
TABLE(mount, struct spec_mount);

static const struct json_field hook_fields[] = {
	JSON_FIELD(struct spec_hook, path, "path", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_hook, args, "args", JSON_STRV),
	JSON_FIELD(struct spec_hook, env, "env", JSON_STRV),
	JSON_FIELD_HAS(struct spec_hook, timeout, "timeout", JSON_I32, .min = 1, .max = INT32_MAX),
};
TABLE(hook, struct spec_hook);

#define HOOK_LIST(hook_kind, key)                                                                  \
	{                                                                                          \
		.name = (key), .kind = JSON_ARRAY, .has_offset = JSON_NO_OFFSET,                   \
		.offset = offsetof(struct spec_hooks, list[hook_kind].items),                      \
		.count_offset = offsetof(struct spec_hooks, list[hook_kind].n_items),              \
		.table = &hook_table                                                               \
	}
static const struct json_field hooks_fields[] = {
	HOOK_LIST(SPEC_HOOK_PRESTART, "prestart"),
	HOOK_LIST(SPEC_HOOK_CREATE_RUNTIME, "createRuntime"),
	HOOK_LIST(SPEC_HOOK_CREATE_CONTAINER, "createContainer"),
	HOOK_LIST(SPEC_HOOK_START_CONTAINER, "startContainer"),
	HOOK_LIST(SPEC_HOOK_POSTSTART, "poststart"),
	HOOK_LIST(SPEC_HOOK_POSTSTOP, "poststop"),
};
TABLE(hooks, struct spec_hooks);

static const struct json_field root_fields[] = {
	JSON_FIELD(struct spec, root.path, "path", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec, root.readonly, "readonly", JSON_BOOL),
};
TABLE(root, struct spec);

/* config-linux.md "Namespaces", "Network Devices", "Devices" */
static const struct json_field namespace_fields[] = {
	JSON_FIELD(
		struct spec_namespace, type, "type", JSON_ENUM, REQUIRED, .names = spec_ns_names),
	JSON_FIELD(struct spec_namespace, path, "path", JSON_STR),
};
TABLE(namespace, struct spec_namespace);

static const struct json_field net_device_fields[] = {
	JSON_FIELD(struct spec_net_device, name, "name", JSON_STR),
};
TABLE(net_device, struct spec_net_device);

static const struct json_field device_fields[] = {
	JSON_FIELD(struct spec_device, type, "type", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_device, path, "path", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_device, major, "major", JSON_I64),
	JSON_FIELD(struct spec_device, minor, "minor", JSON_I64),
	JSON_FIELD_HAS(struct spec_device, file_mode, "fileMode", JSON_U32),
	JSON_FIELD_HAS(struct spec_device, uid, "uid", JSON_U32),
	JSON_FIELD_HAS(struct spec_device, gid, "gid", JSON_U32),
};
TABLE(device, struct spec_device);

/* config-linux.md "Control groups" and its parts */
static const struct json_field device_rule_fields[] = {
	JSON_FIELD(struct spec_device_rule, allow, "allow", JSON_BOOL, REQUIRED),
	JSON_FIELD(struct spec_device_rule, type, "type", JSON_STR),
	JSON_FIELD_HAS(struct spec_device_rule, major, "major", JSON_I64),
	JSON_FIELD_HAS(struct spec_device_rule, minor, "minor", JSON_I64),
	JSON_FIELD(struct spec_device_rule, access, "access", JSON_STR),
};
TABLE(device_rule, struct spec_device_rule);

static const struct json_field memory_fields[] = {
	JSON_FIELD_HAS(struct spec_memory, limit, "limit", JSON_I64),
	JSON_FIELD_HAS(struct spec_memory, reservation, "reservation", JSON_I64),
	JSON_FIELD_HAS(struct spec_memory, swap, "swap", JSON_I64),
	JSON_FIELD_HAS(struct spec_memory, kernel, "kernel", JSON_I64),
	JSON_FIELD_HAS(struct spec_memory, kernel_tcp, "kernelTCP", JSON_I64),
	/* Docker writes 2^64-1 for "not set". */
	JSON_FIELD_HAS(struct spec_memory, swappiness, "swappiness", JSON_U64),
	JSON_FIELD(struct spec_memory, disable_oom_killer, "disableOOMKiller", JSON_BOOL),
	JSON_FIELD(struct spec_memory, use_hierarchy, "useHierarchy", JSON_BOOL),
	JSON_FIELD(struct spec_memory, check_before_update, "checkBeforeUpdate", JSON_BOOL),
};
TABLE(memory, struct spec_memory);

static const struct json_field cpu_fields[] = {
	JSON_FIELD_HAS(struct spec_cpu, shares, "shares", JSON_U64),
	JSON_FIELD_HAS(struct spec_cpu, quota, "quota", JSON_I64),
	JSON_FIELD_HAS(struct spec_cpu, burst, "burst", JSON_U64),
	JSON_FIELD_HAS(struct spec_cpu, period, "period", JSON_U64),
	JSON_FIELD_HAS(struct spec_cpu, realtime_runtime, "realtimeRuntime", JSON_I64),
	JSON_FIELD_HAS(struct spec_cpu, realtime_period, "realtimePeriod", JSON_U64),
	JSON_FIELD(struct spec_cpu, cpus, "cpus", JSON_STR),
	JSON_FIELD(struct spec_cpu, mems, "mems", JSON_STR),
	JSON_FIELD_HAS(struct spec_cpu, idle, "idle", JSON_I64),
};
TABLE(cpu, struct spec_cpu);

static const struct json_field pids_fields[] = {
	JSON_FIELD(struct spec_resources, pids_limit, "limit", JSON_I64, REQUIRED),
};
TABLE(pids, struct spec_resources);

static const struct json_field weight_device_fields[] = {
	JSON_FIELD(struct spec_weight_device, major, "major", JSON_I64, REQUIRED),
	JSON_FIELD(struct spec_weight_device, minor, "minor", JSON_I64, REQUIRED),
	JSON_FIELD_HAS(
		struct spec_weight_device, weight, "weight", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD_HAS(struct spec_weight_device, leaf_weight, "leafWeight", JSON_U32, .min = 0,
		.max = 65535),
};
TABLE(weight_device, struct spec_weight_device);

static const struct json_field throttle_device_fields[] = {
	JSON_FIELD(struct spec_throttle_device, major, "major", JSON_I64, REQUIRED),
	JSON_FIELD(struct spec_throttle_device, minor, "minor", JSON_I64, REQUIRED),
	JSON_FIELD(struct spec_throttle_device, rate, "rate", JSON_U64, REQUIRED),
};
TABLE(throttle_device, struct spec_throttle_device);

static const struct json_field block_io_fields[] = {
	JSON_FIELD_HAS(struct spec_block_io, weight, "weight", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD_HAS(
		struct spec_block_io, leaf_weight, "leafWeight", JSON_U32, .min = 0, .max = 65535),
	JSON_FIELD_ARRAY(struct spec_block_io, weight_device, "weightDevice", JSON_ARRAY,
		.table = &weight_device_table),
	JSON_FIELD_ARRAY(struct spec_block_io, read_bps, "throttleReadBpsDevice", JSON_ARRAY,
		.table = &throttle_device_table),
	JSON_FIELD_ARRAY(struct spec_block_io, write_bps, "throttleWriteBpsDevice", JSON_ARRAY,
		.table = &throttle_device_table),
	JSON_FIELD_ARRAY(struct spec_block_io, read_iops, "throttleReadIOPSDevice", JSON_ARRAY,
		.table = &throttle_device_table),
	JSON_FIELD_ARRAY(struct spec_block_io, write_iops, "throttleWriteIOPSDevice", JSON_ARRAY,
		.table = &throttle_device_table),
};
TABLE(block_io, struct spec_block_io);

static const struct json_field hugepage_limit_fields[] = {
	JSON_FIELD(struct spec_hugepage_limit, page_size, "pageSize", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_hugepage_limit, limit, "limit", JSON_U64, REQUIRED),
};
TABLE(hugepage_limit, struct spec_hugepage_limit);

static const struct json_field if_priority_fields[] = {
	JSON_FIELD(struct spec_if_priority, name, "name", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_if_priority, priority, "priority", JSON_U32, REQUIRED),
};
TABLE(if_priority, struct spec_if_priority);

static const struct json_field network_fields[] = {
	JSON_FIELD_HAS(struct spec_network, class_id, "classID", JSON_U32),
	JSON_FIELD_ARRAY(struct spec_network, priorities, "priorities", JSON_ARRAY,
		.table = &if_priority_table),
};
TABLE(network, struct spec_network);

static const struct json_field rdma_fields[] = {
	FIELD_HAS_IN(struct spec_rdma_entry, limits, hca_handles, "hcaHandles", JSON_U32),
	FIELD_HAS_IN(struct spec_rdma_entry, limits, hca_objects, "hcaObjects", JSON_U32),
};
TABLE(rdma, struct spec_rdma_entry);

static const struct json_field resources_fields[] = {
	JSON_FIELD_ARRAY(
		struct spec_resources, devices, "devices", JSON_ARRAY, .table = &device_rule_table),
	JSON_FIELD(struct spec_resources, memory, "memory", JSON_OPTIONAL, .table = &memory_table),
	JSON_FIELD(struct spec_resources, cpu, "cpu", JSON_OPTIONAL, .table = &cpu_table),
	{.name = "pids",
		.kind = JSON_OBJECT,
		.table = &pids_table,
		.has_offset = offsetof(struct spec_resources, has_pids)},
	JSON_FIELD(struct spec_resources, block_io, "blockIO", JSON_OPTIONAL,
		.table = &block_io_table),
	JSON_FIELD_ARRAY(struct spec_resources, hugepage_limits, "hugepageLimits", JSON_ARRAY,
		.table = &hugepage_limit_table),
	JSON_FIELD(
		struct spec_resources, network, "network", JSON_OPTIONAL, .table = &network_table),
	JSON_FIELD(struct spec_resources, unified, "unified", JSON_MAP),
	JSON_FIELD_ARRAY(struct spec_resources, rdma, "rdma", JSON_KEYED, .table = &rdma_table),
};
const struct json_table spec_resources_table = JSON_TABLE(struct spec_resources, resources_fields);

/* config-linux.md "Seccomp" */
static const struct json_field seccomp_arg_fields[] = {
	JSON_FIELD(struct spec_seccomp_arg, index, "index", JSON_U32, REQUIRED, .min = 0, .max = 5),
	JSON_FIELD(struct spec_seccomp_arg, value, "value", JSON_U64, REQUIRED),
	JSON_FIELD(struct spec_seccomp_arg, value_two, "valueTwo", JSON_U64),
	JSON_FIELD(struct spec_seccomp_arg, op, "op", JSON_ENUM, REQUIRED, .names = spec_op_names),
};
TABLE(seccomp_arg, struct spec_seccomp_arg);

static const struct json_field seccomp_rule_fields[] = {
	JSON_FIELD(struct spec_seccomp_rule, names, "names", JSON_STRV, NONEMPTY),
	JSON_FIELD(struct spec_seccomp_rule, action, "action", JSON_ENUM, REQUIRED,
		.names = spec_action_names),
	JSON_FIELD_HAS(struct spec_seccomp_rule, errno_ret, "errnoRet", JSON_U32),
	JSON_FIELD_ARRAY(
		struct spec_seccomp_rule, args, "args", JSON_ARRAY, .table = &seccomp_arg_table),
};
TABLE(seccomp_rule, struct spec_seccomp_rule);

static const struct json_field seccomp_fields[] = {
	JSON_FIELD(struct spec_seccomp, default_action, "defaultAction", JSON_ENUM, REQUIRED,
		.names = spec_action_names),
	JSON_FIELD_HAS(struct spec_seccomp, default_errno_ret, "defaultErrnoRet", JSON_U32),
	JSON_FIELD(struct spec_seccomp, architectures, "architectures", JSON_STRV),
	JSON_FIELD(struct spec_seccomp, flags, "flags", JSON_STRV),
	JSON_FIELD(struct spec_seccomp, listener_path, "listenerPath", JSON_STR),
	JSON_FIELD(struct spec_seccomp, listener_metadata, "listenerMetadata", JSON_STR),
	JSON_FIELD_ARRAY(struct spec_seccomp, syscalls, "syscalls", JSON_ARRAY,
		.table = &seccomp_rule_table),
};
const struct json_table spec_seccomp_table = JSON_TABLE(struct spec_seccomp, seccomp_fields);

/* config-linux.md: the rest */
static const struct json_field intel_rdt_fields[] = {
	JSON_FIELD(struct spec_intel_rdt, clos_id, "closID", JSON_STR),
	JSON_FIELD(struct spec_intel_rdt, l3_cache_schema, "l3CacheSchema", JSON_STR),
	JSON_FIELD(struct spec_intel_rdt, mem_bw_schema, "memBwSchema", JSON_STR),
	JSON_FIELD(struct spec_intel_rdt, schemata, "schemata", JSON_STRV),
	JSON_FIELD(struct spec_intel_rdt, enable_monitoring, "enableMonitoring", JSON_BOOL),
};
TABLE(intel_rdt, struct spec_intel_rdt);

static const struct json_field personality_fields[] = {
	JSON_FIELD(struct spec_personality, domain, "domain", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_personality, flags, "flags", JSON_STRV),
};
TABLE(personality, struct spec_personality);

static const struct json_field memory_policy_fields[] = {
	JSON_FIELD(struct spec_memory_policy, mode, "mode", JSON_STR, NONEMPTY),
	JSON_FIELD(struct spec_memory_policy, nodes, "nodes", JSON_STR),
	JSON_FIELD(struct spec_memory_policy, flags, "flags", JSON_STRV),
};
TABLE(memory_policy, struct spec_memory_policy);

static const struct json_field time_offset_fields[] = {
	JSON_FIELD(struct spec_time_offset, secs, "secs", JSON_I64),
	JSON_FIELD(struct spec_time_offset, nanosecs, "nanosecs", JSON_U32, .min = 0,
		.max = 999999999),
};
TABLE(time_offset, struct spec_time_offset);

static const struct json_field time_offsets_fields[] = {
	JSON_FIELD(struct spec_linux, monotonic, "monotonic", JSON_OPTIONAL,
		.table = &time_offset_table),
	JSON_FIELD(struct spec_linux, boottime, "boottime", JSON_OPTIONAL,
		.table = &time_offset_table),
};
TABLE(time_offsets, struct spec_linux);

static const struct json_field linux_fields[] = {
	JSON_FIELD_ARRAY(struct spec_linux, uid_mappings, "uidMappings", JSON_ARRAY,
		.table = &id_mapping_table),
	JSON_FIELD_ARRAY(struct spec_linux, gid_mappings, "gidMappings", JSON_ARRAY,
		.table = &id_mapping_table),
	JSON_FIELD(struct spec_linux, sysctl, "sysctl", JSON_MAP),
	JSON_FIELD(struct spec_linux, resources, "resources", JSON_OPTIONAL,
		.table = &spec_resources_table),
	JSON_FIELD(struct spec_linux, cgroups_path, "cgroupsPath", JSON_STR),
	JSON_FIELD_ARRAY(
		struct spec_linux, namespaces, "namespaces", JSON_ARRAY, .table = &namespace_table),
	JSON_FIELD_ARRAY(struct spec_linux, devices, "devices", JSON_ARRAY, .table = &device_table),
	JSON_FIELD_ARRAY(struct spec_linux, net_devices, "netDevices", JSON_KEYED,
		.table = &net_device_table),
	JSON_FIELD(
		struct spec_linux, seccomp, "seccomp", JSON_OPTIONAL, .table = &spec_seccomp_table),
	JSON_FIELD(struct spec_linux, rootfs_propagation, "rootfsPropagation", JSON_STR),
	JSON_FIELD(struct spec_linux, masked_paths, "maskedPaths", JSON_STRV),
	JSON_FIELD(struct spec_linux, readonly_paths, "readonlyPaths", JSON_STRV),
	JSON_FIELD(struct spec_linux, mount_label, "mountLabel", JSON_STR),
	JSON_FIELD(
		struct spec_linux, intel_rdt, "intelRdt", JSON_OPTIONAL, .table = &intel_rdt_table),
	JSON_FIELD(struct spec_linux, personality, "personality", JSON_OPTIONAL,
		.table = &personality_table),
	JSON_FIELD(struct spec_linux, memory_policy, "memoryPolicy", JSON_OPTIONAL,
		.table = &memory_policy_table),
	{.name = "timeOffsets",
		.kind = JSON_OBJECT,
		.table = &time_offsets_table,
		.has_offset = JSON_NO_OFFSET},
};
TABLE(linux, struct spec_linux);

/* config-vm.md */
static const struct json_field hypervisor_fields[] = {
	JSON_FIELD(struct spec_vm, hypervisor.path, "path", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_vm, hypervisor.parameters, "parameters", JSON_STRV),
};
TABLE(hypervisor, struct spec_vm);

static const struct json_field kernel_fields[] = {
	JSON_FIELD(struct spec_vm, kernel.path, "path", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_vm, kernel.parameters, "parameters", JSON_STRV),
	JSON_FIELD(struct spec_vm, kernel.initrd, "initrd", JSON_STR, .flags = JSON_ABSOLUTE),
};
TABLE(kernel, struct spec_vm);

static const struct json_field image_fields[] = {
	JSON_FIELD(struct spec_vm, image.path, "path", JSON_STR, ABSOLUTE),
	JSON_FIELD(struct spec_vm, image.format, "format", JSON_STR, NONEMPTY),
};
TABLE(image, struct spec_vm);

static const struct json_field hw_fields[] = {
	FIELD_HAS_IN(struct spec_vm, hw, vcpus, "vcpus", JSON_U32),
	FIELD_HAS_IN(struct spec_vm, hw, memory, "memory", JSON_U64),
};
TABLE(hw, struct spec_vm);

#define VM_PART(key, part_table, ...)                                                              \
	{                                                                                          \
		.name = (key), .kind = JSON_OBJECT, .has_offset = JSON_NO_OFFSET,                  \
		.table = &part_table, ##__VA_ARGS__                                                \
	}
static const struct json_field vm_fields[] = {
	VM_PART("hypervisor", hypervisor_table),
	VM_PART("kernel", kernel_table, REQUIRED),
	VM_PART("image", image_table),
	VM_PART("hwConfig", hw_table),
};
TABLE(vm, struct spec_vm);

static const struct json_field spec_fields[] = {
	JSON_FIELD(struct spec, oci_version, "ociVersion", JSON_STR, NONEMPTY),
	{.name = "root",
		.kind = JSON_OBJECT,
		.has_offset = JSON_NO_OFFSET,
		.table = &root_table,
		REQUIRED},
	JSON_FIELD_ARRAY(struct spec, mounts, "mounts", JSON_ARRAY, .table = &mount_table),
	JSON_FIELD(struct spec, process, "process", JSON_OPTIONAL, .table = &spec_process_table),
	JSON_FIELD(struct spec, hooks, "hooks", JSON_OBJECT, .table = &hooks_table),
	JSON_FIELD(struct spec, hostname, "hostname", JSON_STR),
	JSON_FIELD(struct spec, domainname, "domainname", JSON_STR),
	JSON_FIELD(struct spec, annotations, "annotations", JSON_MAP),
	JSON_FIELD_HAS(struct spec, linux, "linux", JSON_OBJECT, .table = &linux_table),
	JSON_FIELD(struct spec, vm, "vm", JSON_OPTIONAL, .table = &vm_table),
};
const struct json_table spec_table = JSON_TABLE(struct spec, spec_fields);
