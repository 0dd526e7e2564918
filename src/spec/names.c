/*
 * The specification's words, by the number that they have in the kernel or in spec.h.
 */
#include "spec/spec.h"

const char *const spec_hook_names[] = {
	[SPEC_HOOK_PRESTART] = "prestart",
	[SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
	[SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart",
	[SPEC_HOOK_POSTSTOP] = "poststop",
	[SPEC_HOOK_KINDS] = NULL,
};

const char *const spec_ns_names[] = {
	[SPEC_NS_PID] = "pid",
	[SPEC_NS_NETWORK] = "network",
	[SPEC_NS_MOUNT] = "mount",
	[SPEC_NS_IPC] = "ipc",
	[SPEC_NS_UTS] = "uts",
	[SPEC_NS_USER] = "user",
	[SPEC_NS_CGROUP] = "cgroup",
	[SPEC_NS_TIME] = "time",
	[SPEC_NS_KINDS] = NULL,
};

const char *const spec_rlimit_names[] = {
	"RLIMIT_CPU",
	"RLIMIT_FSIZE",
	"RLIMIT_DATA",
	"RLIMIT_STACK",
	"RLIMIT_CORE",
	"RLIMIT_RSS",
	"RLIMIT_NPROC",
	"RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK",
	"RLIMIT_AS",
	"RLIMIT_LOCKS",
	"RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE",
	"RLIMIT_NICE",
	"RLIMIT_RTPRIO",
	"RLIMIT_RTTIME",
	NULL,
};

const char *const spec_sched_names[] = {
	"SCHED_OTHER",
	"SCHED_FIFO",
	"SCHED_RR",
	"SCHED_BATCH",
	"SCHED_ISO",
	"SCHED_IDLE",
	"SCHED_DEADLINE",
	NULL,
};

const char *const spec_sched_flag_names[] = {
	"SCHED_FLAG_RESET_ON_FORK",
	"SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN",
	"SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",
	"SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX",
	NULL,
};

const char *const spec_ioprio_names[] = {
	"",
	"IOPRIO_CLASS_RT",
	"IOPRIO_CLASS_BE",
	"IOPRIO_CLASS_IDLE",
	NULL,
};

const char *const spec_capability_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
	NULL,
};

const char *const spec_action_names[] = {
	[SPEC_ACT_KILL] = "SCMP_ACT_KILL",
	[SPEC_ACT_KILL_PROCESS] = "SCMP_ACT_KILL_PROCESS",
	[SPEC_ACT_KILL_THREAD] = "SCMP_ACT_KILL_THREAD",
	[SPEC_ACT_TRAP] = "SCMP_ACT_TRAP",
	[SPEC_ACT_ERRNO] = "SCMP_ACT_ERRNO",
	[SPEC_ACT_TRACE] = "SCMP_ACT_TRACE",
	[SPEC_ACT_ALLOW] = "SCMP_ACT_ALLOW",
	[SPEC_ACT_LOG] = "SCMP_ACT_LOG",
	[SPEC_ACT_NOTIFY] = "SCMP_ACT_NOTIFY",
	NULL,
};

const char *const spec_op_names[] = {
	[SPEC_CMP_NE] = "SCMP_CMP_NE",
	[SPEC_CMP_LT] = "SCMP_CMP_LT",
	[SPEC_CMP_LE] = "SCMP_CMP_LE",
	[SPEC_CMP_EQ] = "SCMP_CMP_EQ",
	[SPEC_CMP_GE] = "SCMP_CMP_GE",
	[SPEC_CMP_GT] = "SCMP_CMP_GT",
	[SPEC_CMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
	NULL,
};
