/* The other end of proto.h: finding a jail, holding it, and asking its supervisor. */
#ifndef JAIL_JAIL_CLIENT_H
#define JAIL_JAIL_CLIENT_H

#include "jail/internal.h"
#include "jail/proto.h"

enum { HOLD_WAIT_MS = 3000, REQUEST_MS = 15000 };

/* The slot of a name or jid; -ENOENT says so.  Lock-free. */
int find_slot(struct jail_env *env, const char *which, uint32_t *ret_slot, struct idx_record *ret,
	struct err *e) __attribute__((nonnull));
/*
 * Processor time of the jail's processes and of those they have reaped; what programs of exec used
 * goes with them.
 */
int ps_cpu(struct jail_env *env, const char *which, uint64_t *ret_user_usec,
	uint64_t *ret_system_usec, struct err *e) __attribute__((nonnull));

/* The same with the slot locked and repaired; idx_slot_unlock when done. */
int hold_slot(struct jail_env *env, const char *which, uint32_t *ret_slot, struct idx_record *ret,
	struct err *e) __attribute__((nonnull));
bool is_up(const struct idx_record *r) __attribute__((nonnull));

/* An owned connection to the supervisor; -ESRCH when there is none. */
int client_connect(struct jail_env *env, const char *name, uint64_t timeout_ms, struct err *e)
	__attribute__((nonnull));
/* Finds, repairs if it must, and connects: for everything that needs a running jail. */
int client_open(struct jail_env *env, const char *which, struct idx_record *ret, struct err *e)
	__attribute__((nonnull));
/*
 * One request, one answer.  *ret_fd (may be NULL) is the descriptor that came along, owned, or
 * -1.  An ERROR answer is the result.
 */
int client_request(int sock, const struct msg *m, const void *extra, size_t n_extra, const int *fds,
	size_t n_fds, struct msg *ret, int *ret_fd, struct err *e)
	__attribute__((nonnull(2, 7, 9)));
int client_answer(int sock, struct msg *ret, int *ret_fd, struct err *e)
	__attribute__((nonnull(2, 4)));
/* What one enters a running jail by; owned, entry_release. */
int client_entry(int sock, struct entry_fds *ret, struct err *e) __attribute__((nonnull));
void entry_release(struct entry_fds *f) __attribute__((nonnull));
int client_hello(int sock, struct msg_record *ret, struct err *e) __attribute__((nonnull));

#endif
