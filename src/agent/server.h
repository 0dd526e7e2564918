/*
 * The guest's side of the wire: sessions, and the programs that they ask for.
 *
 *	struct agent_server *s;
 *	agent_server_new(&(struct agent_hooks){.root = mount_root, ...}, &s, e);
 *	agent_server_listen(s, listening_fd, e);
 *	agent_server_session(s, fd, true, e);	the owner's: its end is the guest's end
 *	agent_server_run(s, e);			until POWEROFF, or the owner has gone
 *
 * It runs in one thread as PID 1 and reaps whatever is orphaned.  What a spec asks for is done
 * by src/isolation, the same as on a host; one jail per guest, and any number of programs
 * executed in it (AGENT_JOBS_MAX at a time).
 */
#ifndef JAIL_AGENT_SERVER_H
#define JAIL_AGENT_SERVER_H

#include <stdbool.h>

#include "agent/wire.h"
#include "base/json.h"

enum { AGENT_JOBS_MAX = 256, AGENT_CONNECTIONS_MAX = 1024 };

/* ROOT: where the jail's root is. */
struct agent_root {
	char *device; /* "/dev/vda", or NULL: path is a directory of the guest's */
	char *type; /* file system: "ext4", "erofs" */
	bool readonly; /* the device is */
	char *layer_device; /* a writable layer above it, "/dev/vdb"; NULL: as layer says */
	bool layer; /* without a device: a tmpfs layer */
	char *hostname;
	char *path;
};
extern const struct json_table agent_root_table;

/* What the server needs of the machine it runs on. */
struct agent_hooks {
	/* Mounts what ROOT describes; returns the owned path of the jail's root. */
	int (*root)(const struct agent_root *root, char **ret_path, struct err *e);
};

struct agent_server;
int agent_server_new(const struct agent_hooks *hooks, struct agent_server **ret, struct err *e)
	__attribute__((nonnull));
/* Accepts sessions and streams from fd, which stays the caller's. */
int agent_server_listen(struct agent_server *s, int fd, struct err *e) __attribute__((nonnull));
/* Takes fd as a session and greets; when it ends and owner is set, the server ends. */
int agent_server_session(struct agent_server *s, int fd, bool owner, struct err *e)
	__attribute__((nonnull));
int agent_server_run(struct agent_server *s, struct err *e) __attribute__((nonnull));
void agent_server_free(struct agent_server *s);

#endif
