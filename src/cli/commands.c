/*
 * The one table of commands.  Parsing, --help, the manual's SYNOPSIS check and the completions
 * come from it and from the option tables it points to.
 */
#include "cli/commands.h"

const char *const command_group_titles[GROUP_COUNT] = {
	[GROUP_RUN] = "Run something",
	[GROUP_LIFE] = "Keep jails",
	[GROUP_LOOK] = "Look",
	[GROUP_CHANGE] = "Change",
	[GROUP_HOST] = "This host",
	[GROUP_HIDDEN] = "FreeBSD's names",
};

#define ROW(name_, function, group_, mode_, operands_, summary_)                                   \
	{                                                                                          \
		.name = (name_), .operands = (operands_), .summary = (summary_),                   \
		.group = (group_), .mode = (mode_), .options = function##_options,                 \
		.run = function##_run                                                              \
	}

/* clang-format off: one row per command reads best as a table */
const struct command commands[] = {
	ROW("run", cmd_run, GROUP_RUN, OPT_STOP_AT_WORD, "[--] [CMD [ARG...]]",
		"create, start, attach and destroy in one"),
	ROW("exec", cmd_exec, GROUP_RUN, OPT_STOP_AT_WORD, "JAIL [CMD [ARG...]]",
		"run one more program in a running jail"),
	ROW("console", cmd_console, GROUP_RUN, OPT_PERMUTE, "JAIL", "attach to a jail's terminal"),
	ROW("cp", cmd_cp, GROUP_RUN, OPT_PERMUTE, "SOURCE TARGET",
		"copy files into or out of a jail"),
	ROW("create", cmd_create, GROUP_LIFE, OPT_STOP_AT_WORD, "NAME [CMD [ARG...]]",
		"define a jail under a name"),
	ROW("start", cmd_start, GROUP_LIFE, OPT_PERMUTE, "JAIL...", "start jails"),
	ROW("stop", cmd_stop, GROUP_LIFE, OPT_PERMUTE, "JAIL...",
		"stop jails: ask, wait, then kill"),
	ROW("kill", cmd_kill, GROUP_LIFE, OPT_PERMUTE, "JAIL...", "send a signal to jails"),
	ROW("restart", cmd_restart, GROUP_LIFE, OPT_PERMUTE, "JAIL...",
		"stop jails and start them again"),
	ROW("pause", cmd_pause, GROUP_LIFE, OPT_PERMUTE, "JAIL...", "freeze everything in jails"),
	ROW("resume", cmd_resume, GROUP_LIFE, OPT_PERMUTE, "JAIL...", "let paused jails go on"),
	ROW("destroy", cmd_destroy, GROUP_LIFE, OPT_PERMUTE, "JAIL...",
		"remove jails and their writable layers"),
	ROW("wait", cmd_wait, GROUP_LIFE, OPT_PERMUTE, "JAIL",
		"wait until a jail has ended; its exit status becomes one's own"),
	ROW("ls", cmd_ls, GROUP_LOOK, OPT_PERMUTE, "[JAIL...]", "list jails"),
	ROW("ps", cmd_ps, GROUP_LOOK, OPT_PERMUTE, "[JAIL...]", "list the processes in jails"),
	ROW("stats", cmd_stats, GROUP_LOOK, OPT_PERMUTE, "[JAIL...]",
		"show what jails use, and their limits"),
	ROW("logs", cmd_logs, GROUP_LOOK, OPT_PERMUTE, "JAIL", "show what a jail's program wrote"),
	ROW("inspect", cmd_inspect, GROUP_LOOK, OPT_PERMUTE, "JAIL",
		"show all about a jail: what it may, its limits, its state"),
	ROW("events", cmd_events, GROUP_LOOK, OPT_PERMUTE, "[JAIL...]",
		"show what happened to jails"),
	ROW("set", cmd_set, GROUP_CHANGE, OPT_PERMUTE, "JAIL",
		"change the limits of a jail, also while it runs"),
	ROW("rename", cmd_rename, GROUP_CHANGE, OPT_PERMUTE, "JAIL NAME",
		"give a stopped jail another name"),
	ROW("image", cmd_image, GROUP_HOST, OPT_STOP_AT_WORD, "COMMAND [ARG...]",
		"pull, push, import, make and look after images"),
	ROW("doctor", cmd_doctor, GROUP_HOST, OPT_PERMUTE, "",
		"tell what this host offers, by trying, and what to do"),
	ROW("version", cmd_version, GROUP_HOST, OPT_PERMUTE, "", "tell the version"),
	ROW("oci", cmd_oci, GROUP_HOST, OPT_STOP_AT_WORD, "COMMAND [ARG...]",
		"be the OCI runtime of podman, containerd or docker (as jail-oci)"),
	ROW("jls", cmd_jls, GROUP_HIDDEN, OPT_PERMUTE, "", "list running jails as FreeBSD does"),
	ROW("jexec", cmd_jexec, GROUP_HIDDEN, OPT_STOP_AT_WORD, "JAIL [CMD [ARG...]]",
		"run a program in a running jail, with FreeBSD's options"),
	ROW("jail-oci", cmd_oci, GROUP_HIDDEN, OPT_STOP_AT_WORD, "COMMAND [ARG...]",
		"the OCI runtime by its own name"),
	{.name = NULL},
};
/* clang-format on */
