/*
 * Options that several commands share: what a jail is (create, run), its limits (create, run,
 * set), how long a stop takes (stop, restart).
 *
 *	struct create_opts { struct jail_def def; ... };
 *	static const struct opt create_options[] = {DEFINE_OPTIONS(struct create_opts), OPT_END};
 */
#ifndef JAIL_CLI_OPTIONS_H
#define JAIL_CLI_OPTIONS_H

#include "cli/cli.h"
#include "jail/jail.h"

/* The callbacks below find what they change at opt->offset: a struct jail_def or jail_limits. */
int options_set_host(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_root(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_work(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_volume(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_tmpfs(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_device(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_log(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_restart(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_label(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_rlimit(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_io(const struct opt *opt, void *opts, const char *value, struct err *e);
/* At opt->offset: a struct strv of NAME=VALUE; plain NAME takes the caller's value. */
int options_set_env(const struct opt *opt, void *opts, const char *value, struct err *e);
/* At opt->offset: an int32_t signal number. */
int options_set_signal(const struct opt *opt, void *opts, const char *value, struct err *e);
/* At opt->offset: a uint64_t; "max" is UINT64_MAX. */
int options_set_count(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_milli(const struct opt *opt, void *opts, const char *value, struct err *e);
int options_set_duration(const struct opt *opt, void *opts, const char *value, struct err *e);

extern const char *const options_net_names[], *const options_tier_names[],
						      *const options_sys_names[];

/* OPT_HAS for a member of a struct inside the options: sets in.has_member. */
#define OPT_IN(type, in, member, letter_, name_, kind_, arg_, help_, ...)                          \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = (kind_),                             \
		.offset = offsetof(type, in.member),                                               \
		.seen_offset = offsetof(type, in.has_##member), .arg = (arg_), .help = (help_),    \
		##__VA_ARGS__                                                                      \
	}

#define LIMIT_OPTIONS(type, limits)                                                                \
	OPT_HEADING("Limits (each has a default; 'max' lifts it)"),                                \
		OPT_IN(type, limits, memory_bytes, 'm', "memory", OPT_SIZE, "SIZE",                \
			"memory of all processes together, as 512M"),                              \
		OPT_IN(type, limits, swap_bytes, 0, "swap", OPT_SIZE, "SIZE",                      \
			"swap beyond memory"),                                                     \
		OPT_IN(type, limits, pids, 'p', "pids", OPT_CALL, "N", "processes and threads",    \
			.set = options_set_count),                                                 \
		OPT_IN(type, limits, cpu_milli, 'c', "cpu", OPT_CALL, "N",                         \
			"processors' worth of time, as 1.5", .set = options_set_milli),            \
		OPT_IN(type, limits, cpu_weight, 0, "cpu-weight", OPT_UINT, "N",                   \
			"share when the processors are busy, 1 to 10000 (100)"),                   \
		OPT(type, limits.cpus, 0, "cpuset", OPT_STRING, "LIST",                            \
			"processors it may use, as 0-3,7"),                                        \
		OPT(type, limits.mems, 0, "mems", OPT_STRING, "LIST", "memory nodes it may use"),  \
		OPT_IN(type, limits, io_weight, 0, "io-weight", OPT_UINT, "N",                     \
			"share when disks are busy, 1 to 10000 (100)"),                            \
		OPT(type, limits, 0, "read-bps", OPT_CALL, "DEVICE:RATE",                          \
			"bytes read in a second, as /dev/sda:10M", .set = options_set_io),         \
		OPT(type, limits, 0, "write-bps", OPT_CALL, "DEVICE:RATE",                         \
			"bytes written in a second", .set = options_set_io),                       \
		OPT(type, limits, 0, "read-iops", OPT_CALL, "DEVICE:RATE", "reads in a second",    \
			.set = options_set_io),                                                    \
		OPT(type, limits, 0, "write-iops", OPT_CALL, "DEVICE:RATE", "writes in a second",  \
			.set = options_set_io),                                                    \
		OPT(type, limits, 0, "rlimit", OPT_CALL, "NAME=SOFT[:HARD]",                       \
			"a limit of each process, as nofile=1024:4096",                            \
			.set = options_set_rlimit),                                                \
		OPT_IN(type, limits, wall_ms, 0, "time", OPT_CALL, "DURATION",                     \
			"running time, then it is stopped", .set = options_set_duration)

#define DEFINE_OPTIONS(type, host_help, work_help)                                                 \
	OPT_HEADING("Files"),                                                                      \
		OPT(type, def, 0, "host", OPT_CALL, NULL, host_help, .set = options_set_host),     \
		OPT(type, def, 0, "work", OPT_CALL, "DIR", work_help, .set = options_set_work),    \
		OPT(type, def, 'r', "root", OPT_CALL, "DIR[:rw]",                                  \
			"a directory as the root; without :rw changes go to a private layer",      \
			.set = options_set_root),                                                  \
		OPT(type, def, 'v', "volume", OPT_CALL, "SRC:DST[:OPTIONS]",                       \
			"show SRC at DST; options ro,noexec,dev,suid,nomap",                       \
			.set = options_set_volume),                                                \
		OPT(type, def, 0, "tmpfs", OPT_CALL, "DST[:OPTIONS]",                              \
			"an empty file system in memory; options size=SIZE,mode=MODE,exec",        \
			.set = options_set_tmpfs),                                                 \
		OPT(type, def.masks, 0, "mask", OPT_LIST, "PATH", "make PATH inside empty"),       \
		OPT(type, def.readonly, 0, "readonly", OPT_LIST, "PATH",                           \
			"make PATH inside read-only"),                                             \
		OPT(type, def, 0, "device", OPT_CALL, "DEVICE[:DST[:rwm]]",                        \
			"give a device of the host", .set = options_set_device),                   \
		OPT(type, def.sys, 0, "sys", OPT_CHOICE, "WHAT", "what /sys shows: none or ro",    \
			.choices = options_sys_names),                                             \
		OPT_HEADING("The program"),                                                        \
		OPT(type, def.env, 'e', "env", OPT_CALL, "NAME[=VALUE]",                           \
			"set a variable; NAME alone takes the caller's value",                     \
			.set = options_set_env),                                                   \
		OPT(type, def.cwd, 0, "cwd", OPT_STRING, "DIR", "folder to start in"),             \
		OPT(type, def.user, 'u', "user", OPT_STRING, "USER[:GROUP]",                       \
			"user of the jail, by name or number (root)"),                             \
		OPT(type, def.hostname, 0, "hostname", OPT_STRING, "NAME",                         \
			"host name (the jail's name)"),                                            \
		OPT_IN(type, def, init, 0, "init", OPT_FLAG, NULL,                                 \
			"process 1 is a small reaper (yes); --no-init: the program itself"),       \
		OPT(type, def.persist, 0, "persist", OPT_FLAG, NULL, "live on without a program"), \
		OPT(type, def, 0, "restart", OPT_CALL, "POLICY", "no, on-failure[:N] or always",   \
			.set = options_set_restart),                                               \
		OPT(type, def, 0, "log", OPT_CALL, "SIZE[:FILES]|none",                            \
			"what is kept of its output (10M:2)", .set = options_set_log),             \
		OPT(type, def.stop_signal, 0, "stop-signal", OPT_CALL, "SIGNAL",                   \
			"signal that asks it to end (TERM)", .set = options_set_signal),           \
		OPT_IN(type, def, stop_timeout_ms, 0, "stop-timeout", OPT_DURATION, "DURATION",    \
			"time it has for that, then it is killed (10s)"),                          \
		OPT(type, def, 0, "label", OPT_CALL, "KEY=VALUE", "a note of yours",               \
			.set = options_set_label),                                                 \
		LIMIT_OPTIONS(type, def.limits),                                                   \
		OPT_HEADING("What it may do (the least is the default)"),                          \
		OPT(type, def.net, 0, "net", OPT_CHOICE, "MODE",                                   \
			"none: loopback only; host: the host's own",                               \
			.choices = options_net_names),                                             \
		OPT(type, def.cap_add, 0, "cap-add", OPT_LIST, "CAP", "give a capability"),        \
		OPT(type, def.cap_drop, 0, "cap-drop", OPT_LIST, "CAP",                            \
			"take a capability, or all"),                                              \
		OPT(type, def.seccomp, 0, "seccomp", OPT_STRING, "PROFILE",                        \
			"default, unconfined, or a profile's file"),                               \
		OPT(type, def.allow, 0, "allow", OPT_LIST, "WORD",                                 \
			"widen by name; jail-security(7) lists the words"),                        \
		OPT(type, def.tier, 0, "isolation", OPT_CHOICE, "TIER",                            \
			"jail: the host's kernel; vm: its own; auto",                              \
			.choices = options_tier_names)

/*
 * What only the command line knows: seccomp profiles and folders given relative to the caller's
 * folder become absolute, and a terminal gets the caller's TERM.
 */
int options_finish(struct jail_def *def, struct err *e) __attribute__((nonnull));
/*
 * The folder that `run` shows by default, into def->root.work: the caller's, unless that is "/",
 * the home directory or above it, which would show everything: then none, with a warning.
 */
int options_default_work(struct jail_def *def, struct err *e) __attribute__((nonnull));

#endif
