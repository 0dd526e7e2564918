/*
 * A relay moves bytes from one descriptor to another until the end, inside a loop.
 *
 *	relay_start(loop, fd_take(&pipe_fd), fd_take(&socket_fd));
 *
 * It owns both descriptors and itself: at the end of the input it tells the output (shutdown of
 * its sending side, when it is a socket) and closes both.  It holds RELAY_BYTES and stops
 * reading while they cannot be written.
 */
#ifndef JAIL_AGENT_RELAY_H
#define JAIL_AGENT_RELAY_H

#include "base/loop.h"

enum { RELAY_BYTES = 16 << 10 };

/* Takes in_fd and out_fd, also on failure. */
int relay_start(struct loop *loop, int in_fd, int out_fd, struct err *e) __attribute__((nonnull));

#endif
