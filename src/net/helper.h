/*
 * The process jail-net: names for jails, addresses for allow lists, refusals for `jail why`, and
 * the table put back when somebody flushes it.  One for all networks of the host.
 *
 *	r = net_helper_run(&(struct net_helper_opts){.dir_fd = fd, .stop_fd = signalfd}, e);
 *
 * The manager keeps in a directory what it knows; the helper follows it (inotify):
 *
 *	networks/NAME.json	struct net_network
 *	links/JAIL.json		struct net_link, of jails that are attached
 *	refused.jsonl		written by the helper: one line for each refusal, see refusals.h
 *	lock			held while a helper runs
 *
 * The resolver answers on each network's gateway, port 53, UDP and TCP.  A jail gets the jails of
 *its own network by NAME or NAME.jail, the host those of all networks.  All else is forwarded to
 *the host's servers, unless the network is internal, or the jail has an egress policy that does not
 *allow the name.  Addresses that an allowed name has are open to the jail for as long as the answer
 *says; private ones among them are not (a name's owner must not open the LAN).
 */
#ifndef JAIL_NET_HELPER_H
#define JAIL_NET_HELPER_H

#include "base/err.h"

struct net_helper_opts {
	int dir_fd; /* the directory above */
	int stop_fd; /* readable: end */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
};
/* Runs until stop_fd; 0 at once when another helper already runs on the directory. */
int net_helper_run(const struct net_helper_opts *o, struct err *e) __attribute__((nonnull));

#endif
