/*
 * The OCI runtime's command line: `jail oci ...`, and the program by its other name, jail-oci.
 *
 *	if (called as "jail-oci")
 *		return oci_front(argc, argv);
 *
 * Unlike the commands of jail it reports its own errors, since engines say where and how
 * (--log, --log-format), and exits with 1 as they expect.
 */
#ifndef JAIL_CLI_OCI_H
#define JAIL_CLI_OCI_H

/* argv[0] is ignored.  Returns the exit status. */
int oci_front(int argc, char **argv);

#endif
