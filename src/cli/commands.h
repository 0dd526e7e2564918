/*
 * Each command's options and function: cmd_NAME_options in cmd_NAME's file, for the table in
 * commands.c and for nobody else.
 */
#ifndef JAIL_CLI_COMMANDS_H
#define JAIL_CLI_COMMANDS_H

#include "cli/cli.h"

#define COMMAND(name)                                                                              \
	extern const struct opt name##_options[];                                                  \
	int name##_run(const struct command *cmd, int argc, char **argv, struct err *e)

COMMAND(cmd_console);
COMMAND(cmd_cp);
COMMAND(cmd_create);
COMMAND(cmd_destroy);
COMMAND(cmd_doctor);
COMMAND(cmd_events);
COMMAND(cmd_exec);
COMMAND(cmd_image);
COMMAND(cmd_inspect);
COMMAND(cmd_jexec);
COMMAND(cmd_jls);
COMMAND(cmd_kill);
COMMAND(cmd_logs);
COMMAND(cmd_ls);
COMMAND(cmd_oci);
COMMAND(cmd_pause);
COMMAND(cmd_ps);
COMMAND(cmd_rename);
COMMAND(cmd_restart);
COMMAND(cmd_resume);
COMMAND(cmd_run);
COMMAND(cmd_set);
COMMAND(cmd_start);
COMMAND(cmd_stats);
COMMAND(cmd_stop);
COMMAND(cmd_version);
COMMAND(cmd_wait);

#endif
