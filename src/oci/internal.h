/*
 * What the files of this room share.
 */
#ifndef JAIL_OCI_INTERNAL_H
#define JAIL_OCI_INTERNAL_H

#include "isolation/cgroup.h"
#include "isolation/isolation.h"
#include "oci/oci.h"
#include "spec/spec.h"

enum {
	ID_MAX = 200,
	CONFIG_MAX_BYTES = 4 << 20,
	STATE_MAX_BYTES = 1 << 20,
	LOCK_TIMEOUT_MS = 10000,
	KILL_TIMEOUT_MS = 10000,
};

#define STATE_FILE   "state.json"
#define CONFIG_FILE  "config.json"
#define START_SOCKET "start"
#define LOCK_FILE    "lock"

enum oci_phase { PHASE_CREATING, PHASE_CREATED };

/* state.json: what a container is, for the next command.  Version 1. */
struct record {
	uint32_t version;
	char *id, *bundle, *rootfs, *created;
	uint32_t owner;
	int phase; /* enum oci_phase */
	int32_t pid; /* of the first process, 0 until it is born */
	uint64_t start_ticks; /* with boot_id: which process of that number */
	char *boot_id;
	char *cgroup; /* as iso_cgroup_ takes it, or NULL: none */
	char *scope; /* the systemd unit that holds it, or NULL */
	bool paused;
	struct strmap annotations;
};

/* A container that a command works on. */
struct container {
	struct oci *o;
	int dir_fd; /* ROOT/ID */
	int lock_fd; /* while it is ours to change; else -1 */
	struct record rec;
	struct spec spec; /* after container_load_spec */
	bool has_spec;
};
#define CONTAINER_INIT                                                                             \
	{                                                                                          \
		.o = NULL, .dir_fd = -1, .lock_fd = -1                                             \
	}
#define AUTO_CONTAINER __attribute__((cleanup(container_release)))

/* state.c */
/* False for root of a user namespace. */
bool caller_is_host_root(void);
int id_check(const char *id, struct err *e);
/* CONTAINER_LOCK waits for other commands that change the same container. */
enum container_open { CONTAINER_READ, CONTAINER_LOCK };
int container_open(struct oci *o, const char *id, enum container_open how, struct container *ret,
	struct err *e);
/* Makes ROOT/ID with its files and holds its lock; config is kept as it was read. */
int container_claim(
	struct container *c, const struct buf *config, int *ret_start_fd, struct err *e);
int container_save(struct container *c, struct err *e);
int container_load_spec(struct container *c, struct err *e);
int container_remove(struct container *c, struct err *e);
void container_release(struct container *c);
enum oci_status container_status(const struct container *c);
/* A pidfd that is the recorded process and no later one; -ESRCH when it has gone. */
int container_pidfd(const struct container *c);
void container_set_process(struct container *c, pid_t pid);
/* Whether a creation was cut off: nobody works on it and it never became "created". */
bool container_is_abandoned(const struct container *c);
void state_fill(const struct container *c, enum oci_status status, struct oci_state *ret);
/* The state that hooks read; pid as the reader sees it; owned. */
char *state_for_hooks(const struct container *c, enum oci_status status, pid_t pid);

/* create.c */
/* The compiled seccomp profile of the container; untouched when it has none. */
int filter_of(const struct container *c, struct iso_filter *ret, struct err *e);

/* Takes from caps what the caller cannot give, with a warning for each. */
void drop_capabilities_not_held(struct container *c, struct spec_capabilities *caps);

/* criu.c: *ret is the pid of the restored first process, nobody's child */
int criu_restore(struct container *c, const struct oci_criu_opts *x, pid_t *ret, struct err *e);

/* netdev.c */
int net_devices_move(const struct spec *spec, pid_t pid, struct err *e);

/* hooks.c */
int run_hooks(
	const struct container *c, enum spec_hook_kind kind, enum oci_status status, struct err *e);
/* Failures become warnings, as runtime.md wants after the end. */
void run_poststop_hooks(struct container *c);

/* sockets.c */
/* Connects to a unix socket by path, however long. */
int socket_connect(const char *path, int type, struct err *e);
/* Binds a listening one in a directory. */
int socket_listen(int dir_fd, const char *name, struct err *e);
/* Sends text and one descriptor over a stream socket at path. */
int socket_send_fd(const char *path, const char *text, int fd, const char *what, struct err *e);
int write_pid_file(const char *path, pid_t pid, struct err *e);
/* config-linux.md "containerProcessState" and the descriptor, to linux.seccomp.listenerPath. */
int send_seccomp_listener(
	const struct container *c, int fd, pid_t pid, enum oci_status status, struct err *e);
/* console, pid file and pidfd socket of a new process, as the options ask. */
int announce_process(const char *console_socket, const char *pid_file, const char *pidfd_socket,
	const struct iso_jail *j, struct err *e);
/* The descriptors to hand on: $LISTEN_FDS and preserve_fds of them from 3 on; owned. */
int handed_fds(uint64_t preserve, struct strv *env, int **ret, size_t *ret_n, struct err *e);

/* cgroup.c */
/* Where the spec's cgroupsPath leads; NULL: no cgroup.  Owned. */
int cgroup_path(const struct oci *o, const char *id, const struct spec *spec, char **ret_path,
	char **ret_scope, struct err *e);
int cgroup_open_of(const struct container *c, struct iso_cgroup *ret, struct err *e);

#endif
