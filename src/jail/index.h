/*
 * The index: what runs, in one mapped file, run_dir/index.
 *
 *	header | event ring | hash buckets | records
 *
 * It answers "which jails are there, and how are they" without a system call per jail.  It is
 * also the intent log: a record is written before the first kernel object of a jail, and every
 * such object's name is derived from the record, so that a command which finds a record whose
 * owner has died knows all that may be left (repair.c).  The definitions on disk are the truth
 * about which jails are kept, and the supervisors about which run; a lost, damaged or
 * old index is rebuilt from these two.
 *
 * Writing.  Who changes the set of records holds the table lock (idx_lock).  The content of one
 * record belongs to whoever holds its slot lock (idx_slot_lock), or, while a supervisor lives,
 * to that supervisor; a sequence number, odd while it is being written, lets everybody else
 * read without a lock.  Both locks are open-file-description byte locks on the index itself, so
 * they vanish with their holder and leave no files.
 *
 * Liveness.  record.owner is a robust futex word (set_robust_list(2)): the kernel itself sets
 * FUTEX_OWNER_DIED in it when the owner ends, by SIGKILL too.
 */
#ifndef JAIL_JAIL_INDEX_H
#define JAIL_JAIL_INDEX_H

#include "jail/jail.h"

enum {
	IDX_VERSION = 1,
	IDX_CAPACITY = 16384, /* jails in one environment */
	IDX_BUCKETS = 2 * IDX_CAPACITY, /* open addressing, at most half full */
	IDX_EVENTS = 1024,
	IDX_ID_RANGE = 65536,
};
#define IDX_MAGIC   0x786469006c69616aull /* "jail\0idx" */
#define IDX_ID_POOL 0x70000000u
#define IDX_NONE    UINT32_MAX

enum idx_flag {
	IDX_EPHEMERAL = 1 << 0, /* of jail_run: no definition on disk */
	IDX_PERSIST = 1 << 1,
	IDX_TERMINAL = 1 << 2,
	IDX_OOM = 1 << 3,
	IDX_SOFT = 1 << 4, /* some limits are not held */
	IDX_MAKING = 1 << 5, /* jail_create is at work */
	IDX_RANGE = 1 << 6, /* id_base was given by the slot */
};

struct idx_record {
	uint32_t seq; /* odd while being written */
	uint32_t owner; /* futex: the owner's tid, FUTEX_OWNER_DIED; 0: nobody */
	uint32_t jid; /* 0: the slot is free */
	uint32_t state; /* enum jail_state */
	int32_t init_pid, exit_code;
	uint64_t owner_start, init_start; /* proc_start_time of both */
	uint32_t id_base, id_count;
	uint32_t flags, tier, restarts;
	uint32_t next_free; /* free slots: the next one + 1 */
	int32_t locker; /* pid that holds the slot lock, for messages only */
	uint32_t reserved;
	uint64_t created_ms, started_ms, stopped_ms;
	char name[68];
	char root[48];
	char command[72];
	char pad[36];
};
_Static_assert(sizeof(struct idx_record) == 320, "record layout");

struct idx_event {
	uint64_t seq; /* its number + 1 once complete */
	uint64_t time_ms;
	uint32_t kind, jid;
	int32_t value;
	char name[68];
	char detail[64];
};
_Static_assert(sizeof(struct idx_event) == 160, "event layout");

struct idx_header {
	uint64_t magic;
	uint32_t version, record_bytes;
	uint32_t capacity, high; /* records in use lie below high */
	uint32_t seq; /* of the set of records; odd while it changes */
	uint32_t count;
	uint32_t next_jid, free_head; /* free_head: slot + 1 */
	uint32_t foreign; /* records whose ids are not their slot's */
	uint32_t id_pool; /* first host id of slot 0; 0: this caller gives no ranges */
	uint32_t event_wake; /* futex: low half of event_next */
	uint64_t event_next;
	uint32_t reserved;
	int64_t dir_mtime_ns; /* of state_dir/jails when last in step */
	char boot_id[40];
};

struct idx_layout {
	union {
		struct idx_header h;
		char page[4096];
	};
	struct idx_event events[IDX_EVENTS];
	uint32_t buckets[IDX_BUCKETS]; /* slot + 1 */
	struct idx_record records[IDX_CAPACITY];
};

struct jail_index {
	struct idx_layout *map; /* shared, MADV_DONTFORK in supervisors */
	int fd; /* -1 in a supervisor: opened again when it needs a lock */
};

/*
 * Maps run_fd/index, making or rebuilding it when it is missing, damaged, of another boot, or
 * out of step with the definitions.  A file of the wrong type is replaced.
 */
int idx_open(struct jail_env *env, struct err *e) __attribute__((nonnull));
void idx_close(struct jail_index *ix);
/* A supervisor, which keeps no descriptor of it, needs a lock once more. */
int idx_reopen(struct jail_env *env, struct err *e) __attribute__((nonnull));
/* A supervisor whose index was replaced: the new one, not inherited by children; NULL on error. */
struct jail_index *idx_map_again(struct jail_env *env, struct err *e) __attribute__((nonnull));

/* The table lock; waits up to 10 s.  idx_unlock keeps errno. */
int idx_lock(struct jail_index *ix, struct err *e) __attribute__((nonnull));
void idx_unlock(struct jail_index *ix) __attribute__((nonnull));
/* One record's lock; waits up to wait_ms, then -EBUSY names the holder. */
int idx_slot_lock(struct jail_index *ix, uint32_t slot, uint64_t wait_ms, struct err *e)
	__attribute__((nonnull));
void idx_slot_unlock(struct jail_index *ix, uint32_t slot) __attribute__((nonnull));

/* Lock-free: the slot of a name or jid, or IDX_NONE. */
uint32_t idx_find(const struct jail_index *ix, const char *name) __attribute__((nonnull));
uint32_t idx_find_jid(const struct jail_index *ix, uint32_t jid) __attribute__((nonnull));
/*
 * Lock-free consistent copy; false when the slot is free.  A record whose writer died in the
 * middle is given as it is with state JAIL_DIED.
 */
bool idx_read(const struct jail_index *ix, uint32_t slot, struct idx_record *ret)
	__attribute__((nonnull));
/* True for a record that says something lives while its owner has died or never was. */
bool idx_orphan(const struct idx_record *r) __attribute__((nonnull));

/*
 * Under the table lock: claims name, with a fresh jid unless want->jid is set.  The slot's id
 * range is given when want->id_count is set and id_base is not.  -EEXIST, -ENOSPC (table or
 * filesystem full).
 */
int idx_claim(struct jail_index *ix, const struct idx_record *want, uint32_t *ret_slot,
	struct err *e) __attribute__((nonnull));
void idx_free(struct jail_index *ix, uint32_t slot) __attribute__((nonnull));
int idx_rename(struct jail_index *ix, uint32_t slot, const char *name, struct err *e)
	__attribute__((nonnull));
/* Notes that the definitions and the index agree now. */
void idx_in_step(struct jail_env *env) __attribute__((nonnull));

/* Writing one record: edit what idx_edit returns, then idx_done. */
struct idx_record *idx_edit(struct jail_index *ix, uint32_t slot) __attribute__((nonnull));
void idx_done(struct jail_index *ix, uint32_t slot) __attribute__((nonnull));

/*
 * Makes the calling thread the owner of the record until it ends or gives it up; replaces this
 * thread's robust list, which nothing else in jail uses.
 */
int idx_own(struct jail_index *ix, uint32_t slot, struct err *e) __attribute__((nonnull));
void idx_disown(struct jail_index *ix, uint32_t slot) __attribute__((nonnull));

void idx_event(struct jail_index *ix, enum jail_event_kind kind, const char *name, uint32_t jid,
	int value, const char *detail) __attribute__((nonnull(1, 3)));

uint64_t time_wall_ms(void);

#endif
