#include "jail/index.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "jail/internal.h"

enum { LOCK_TABLE = 1, LOCK_SLOT = 4096, READ_TRIES = 1000, TABLE_WAIT_MS = 10000 };

uint64_t time_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct idx_record *rec(const struct jail_index *ix, uint32_t slot)
{
	return &ix->map->records[slot];
}

/* ---- locks ---- */

/* OFD locks have no owner to be confused by forks, closes and threads; fcntl_locking(2). */
static int byte_lock(int fd, off_t at, short type, uint64_t wait_ms)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	uint64_t deadline = time_mono_ms() + wait_ms;
	long pause_ns = 50000;

	while (fcntl(fd, F_OFD_SETLK, &fl) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (time_mono_ms() >= deadline)
			return -EBUSY;
		nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
		pause_ns = MIN(pause_ns * 2, 10000000);
	}
	return 0;
}

int idx_lock(struct jail_index *ix, struct err *e)
{
	int r = byte_lock(ix->fd, LOCK_TABLE, F_WRLCK, TABLE_WAIT_MS);

	if (r == -EBUSY)
		return err_set(e, EBUSY,
			"cannot lock the index of jails: another command has held it for %d s",
			TABLE_WAIT_MS / 1000);
	return r < 0 ? err_set(e, -r, "cannot lock the index of jails: %s", strerrordesc_np(-r))
		     : 0;
}

void idx_unlock(struct jail_index *ix)
{
	int saved = errno;

	byte_lock(ix->fd, LOCK_TABLE, F_UNLCK, 0);
	errno = saved;
}

int idx_slot_lock(struct jail_index *ix, uint32_t slot, uint64_t wait_ms, struct err *e)
{
	struct idx_record *r = rec(ix, slot);
	int n = byte_lock(ix->fd, LOCK_SLOT + (off_t)slot, F_WRLCK, wait_ms);

	if (n == -EBUSY)
		return err_set(e, EBUSY,
			"jail '%.*s' is being changed by process %d; try again when it is done",
			JAIL_NAME_MAX, r->name, __atomic_load_n(&r->locker, __ATOMIC_RELAXED));
	if (n < 0)
		return err_set(e, -n, "cannot lock jail '%.*s': %s", JAIL_NAME_MAX, r->name,
			strerrordesc_np(-n));
	__atomic_store_n(&r->locker, (int32_t)getpid(), __ATOMIC_RELAXED);
	return 0;
}

void idx_slot_unlock(struct jail_index *ix, uint32_t slot)
{
	int saved = errno;

	byte_lock(ix->fd, LOCK_SLOT + (off_t)slot, F_UNLCK, 0);
	errno = saved;
}

/* ---- reading ---- */

static uint32_t hash_name(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

/* The bucket that holds name, or the empty one where it would go. */
static uint32_t bucket_of(const struct jail_index *ix, const char *name)
{
	uint32_t b = hash_name(name) % IDX_BUCKETS;

	for (uint32_t i = 0; i < IDX_BUCKETS; i++, b = (b + 1) % IDX_BUCKETS) {
		uint32_t v = __atomic_load_n(&ix->map->buckets[b], __ATOMIC_ACQUIRE);

		if (!v || v > IDX_CAPACITY ||
			!strncmp(rec(ix, v - 1)->name, name, sizeof(rec(ix, 0)->name)))
			return b;
	}
	return b;
}

uint32_t idx_find(const struct jail_index *ix, const char *name)
{
	const struct idx_header *h = &ix->map->h;

	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t seq = __atomic_load_n(&h->seq, __ATOMIC_ACQUIRE);
		uint32_t v = ix->map->buckets[bucket_of(ix, name)];

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && seq == __atomic_load_n(&h->seq, __ATOMIC_RELAXED))
			return v && v <= IDX_CAPACITY ? v - 1 : IDX_NONE;
		if (i > 10)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return IDX_NONE;
}

uint32_t idx_find_jid(const struct jail_index *ix, uint32_t jid)
{
	uint32_t high = MIN(ix->map->h.high, (uint32_t)IDX_CAPACITY);

	for (uint32_t s = 0; jid && s < high; s++)
		if (__atomic_load_n(&rec(ix, s)->jid, __ATOMIC_ACQUIRE) == jid)
			return s;
	return IDX_NONE;
}

bool idx_read(const struct jail_index *ix, uint32_t slot, struct idx_record *ret)
{
	const struct idx_record *r = rec(ix, slot);

	for (int i = 0;; i++) {
		uint32_t seq = __atomic_load_n(&r->seq, __ATOMIC_ACQUIRE);

		if (!__atomic_load_n(&r->jid, __ATOMIC_RELAXED) && !(seq & 1))
			return false;
		memcpy(ret, r, sizeof(*ret));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && seq == __atomic_load_n(&r->seq, __ATOMIC_RELAXED))
			break;
		/* A writer that died in the middle leaves the number odd for ever. */
		if ((ret->owner & FUTEX_OWNER_DIED) || i == READ_TRIES) {
			ret->state = JAIL_DIED;
			break;
		}
		if (i > 10)
			nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
	}
	ret->name[JAIL_NAME_MAX] = ret->root[sizeof(ret->root) - 1] =
		ret->command[sizeof(ret->command) - 1] = '\0';
	if (ret->state >= JAIL_STATES)
		ret->state = JAIL_BROKEN;
	return ret->jid != 0;
}

bool idx_orphan(const struct idx_record *r)
{
	bool live = r->state == JAIL_STARTING || r->state == JAIL_RUNNING ||
		    r->state == JAIL_PAUSED || r->state == JAIL_RESTARTING ||
		    r->state == JAIL_STOPPING || r->state == JAIL_DIED ||
		    (r->flags & (IDX_EPHEMERAL | IDX_MAKING));

	return live && (!(r->owner & FUTEX_TID_MASK) || (r->owner & FUTEX_OWNER_DIED));
}

/* ---- writing ---- */

struct idx_record *idx_edit(struct jail_index *ix, uint32_t slot)
{
	struct idx_record *r = rec(ix, slot);

	/* |1: an editor that died may have left it odd. */
	__atomic_store_n(&r->seq, r->seq | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return r;
}

void idx_done(struct jail_index *ix, uint32_t slot)
{
	struct idx_record *r = rec(ix, slot);

	__atomic_store_n(&r->seq, (r->seq | 1) + 1, __ATOMIC_RELEASE);
}

static void table_edit(struct jail_index *ix)
{
	__atomic_store_n(&ix->map->h.seq, ix->map->h.seq | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void table_done(struct jail_index *ix)
{
	__atomic_store_n(&ix->map->h.seq, (ix->map->h.seq | 1) + 1, __ATOMIC_RELEASE);
}

static bool range_taken(const struct jail_index *ix, uint32_t base)
{
	for (uint32_t s = 0; s < ix->map->h.high; s++) {
		const struct idx_record *r = rec(ix, s);

		if (r->jid && r->id_count && r->id_base < base + IDX_ID_RANGE &&
			base < r->id_base + r->id_count)
			return true;
	}
	return false;
}

static uint32_t slot_base(const struct jail_index *ix, uint32_t slot)
{
	return ix->map->h.id_pool + slot * IDX_ID_RANGE;
}

/* The slot whose id range base is, or IDX_NONE. */
static uint32_t base_slot(const struct jail_index *ix, uint32_t base)
{
	uint32_t slot = (base - ix->map->h.id_pool) / IDX_ID_RANGE;

	return ix->map->h.id_pool && base >= ix->map->h.id_pool && slot < IDX_CAPACITY &&
			       slot_base(ix, slot) == base
		       ? slot
		       : IDX_NONE;
}

/* Takes slot out of the free list, or extends the table up to it. */
static void take_slot(struct jail_index *ix, uint32_t slot)
{
	struct idx_header *h = &ix->map->h;
	uint32_t *link = &h->free_head;

	while (h->high <= slot) {
		struct idx_record *r = rec(ix, h->high);

		memset(r, 0, sizeof(*r));
		r->next_free = h->free_head;
		h->free_head = ++h->high;
	}
	for (uint32_t n = 0; *link && n < IDX_CAPACITY; n++) {
		if (*link - 1 == slot) {
			*link = rec(ix, slot)->next_free;
			return;
		}
		link = &rec(ix, *link - 1)->next_free;
	}
}

static uint32_t choose_slot(struct jail_index *ix, const struct idx_record *want)
{
	struct idx_header *h = &ix->map->h;
	uint32_t slot = want->id_base ? base_slot(ix, want->id_base) : IDX_NONE;

	if (slot != IDX_NONE && !(slot < h->high && rec(ix, slot)->jid))
		return slot;
	if (!want->id_count || want->id_base || !h->foreign)
		return h->free_head             ? h->free_head - 1
		       : h->high < IDX_CAPACITY ? h->high
						: IDX_NONE;
	/* Some jail holds a range that is not its slot's: look before giving one away. */
	for (slot = 0; slot < IDX_CAPACITY; slot++)
		if (!(slot < h->high && rec(ix, slot)->jid) &&
			!range_taken(ix, slot_base(ix, slot)))
			return slot;
	return IDX_NONE;
}

/* A page of a sparse file that cannot be had would be a SIGBUS at the first write. */
static int have_slot(struct jail_index *ix, uint32_t slot, struct err *e)
{
	struct idx_header *h = &ix->map->h;
	off_t from = (off_t)offsetof(struct idx_layout, records) +
		     (off_t)h->high * (off_t)sizeof(struct idx_record);
	off_t to = (off_t)offsetof(struct idx_layout, records) +
		   (off_t)(slot + 1) * (off_t)sizeof(struct idx_record);

	if (slot < h->high)
		return 0;
	if (fallocate(ix->fd, 0, from, to - from) < 0 && errno != EOPNOTSUPP)
		return err_sys(e, "cannot enlarge the index of jails");
	return 0;
}

int idx_claim(
	struct jail_index *ix, const struct idx_record *want, uint32_t *ret_slot, struct err *e)
{
	struct idx_header *h = &ix->map->h;
	uint32_t bucket = bucket_of(ix, want->name), slot;
	struct idx_record *r;

	if (ix->map->buckets[bucket])
		return err_set(e, EEXIST,
			"jail '%s' exists already; choose another name or destroy it", want->name);
	slot = choose_slot(ix, want);
	if (slot == IDX_NONE)
		return err_set(e, ENOSPC, "cannot make jail '%s': there are %u jails already",
			want->name, h->count);
	if (have_slot(ix, slot, e) < 0)
		return -e->code;
	table_edit(ix);
	take_slot(ix, slot);
	r = idx_edit(ix, slot);
	uint32_t seq = r->seq;
	*r = *want;
	r->seq = seq;
	r->owner = 0;
	if (!r->jid)
		r->jid = h->next_jid++;
	h->next_jid = MAX(h->next_jid, r->jid + 1);
	if (r->id_count && !r->id_base)
		r->id_base = slot_base(ix, slot);
	if (r->id_count && r->id_base != slot_base(ix, slot))
		h->foreign++;
	idx_done(ix, slot);
	__atomic_store_n(&ix->map->buckets[bucket], slot + 1, __ATOMIC_RELEASE);
	h->count++;
	table_done(ix);
	*ret_slot = slot;
	return 0;
}

/* Removes a bucket and moves later entries of its run back (Knuth 6.4, algorithm R). */
static void bucket_remove(struct jail_index *ix, uint32_t hole)
{
	uint32_t *b = ix->map->buckets;

	for (uint32_t i = (hole + 1) % IDX_BUCKETS; b[i]; i = (i + 1) % IDX_BUCKETS) {
		uint32_t home = hash_name(rec(ix, b[i] - 1)->name) % IDX_BUCKETS;

		if ((i > hole && (home <= hole || home > i)) ||
			(i < hole && home <= hole && home > i)) {
			b[hole] = b[i];
			hole = i;
		}
	}
	b[hole] = 0;
}

void idx_free(struct jail_index *ix, uint32_t slot)
{
	struct idx_header *h = &ix->map->h;
	struct idx_record *r = rec(ix, slot);
	uint32_t bucket = bucket_of(ix, r->name);

	if (!r->jid)
		return;
	table_edit(ix);
	if (ix->map->buckets[bucket] == slot + 1)
		bucket_remove(ix, bucket);
	if (r->id_count && r->id_base != slot_base(ix, slot))
		h->foreign--;
	r = idx_edit(ix, slot);
	uint32_t seq = r->seq;
	memset(r, 0, sizeof(*r));
	r->seq = seq;
	r->next_free = h->free_head;
	h->free_head = slot + 1;
	h->count--;
	idx_done(ix, slot);
	table_done(ix);
}

int idx_rename(struct jail_index *ix, uint32_t slot, const char *name, struct err *e)
{
	uint32_t to = bucket_of(ix, name);
	struct idx_record *r = rec(ix, slot);

	if (ix->map->buckets[to])
		return err_set(e, EEXIST,
			"jail '%s' exists already; choose another name or destroy it", name);
	table_edit(ix);
	bucket_remove(ix, bucket_of(ix, r->name));
	r = idx_edit(ix, slot);
	memset(r->name, 0, sizeof(r->name));
	memcpy(r->name, name, MIN(strlen(name), (size_t)JAIL_NAME_MAX));
	idx_done(ix, slot);
	ix->map->buckets[bucket_of(ix, name)] = slot + 1;
	table_done(ix);
	return 0;
}

/* ---- ownership ---- */

/*
 * One entry whose futex word lies in the record: the kernel walks the list when this thread
 * ends and marks every word that holds its tid (robust-futex-ABI).  The list itself must be in
 * this process's own memory and outlive every return, hence static.
 */
static struct robust_list_head robust_head;
static struct robust_list robust_entry;

int idx_own(struct jail_index *ix, uint32_t slot, struct err *e)
{
	struct idx_record *r = rec(ix, slot);

	robust_entry.next = &robust_head.list;
	robust_head.list.next = &robust_entry;
	robust_head.futex_offset = (long)((char *)&r->owner - (char *)&robust_entry);
	robust_head.list_op_pending = NULL;
	if (syscall(SYS_set_robust_list, &robust_head, sizeof(robust_head)) < 0)
		return err_sys(e, "cannot register a robust futex");
	__atomic_store_n(&r->owner, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	return 0;
}

void idx_disown(struct jail_index *ix, uint32_t slot)
{
	struct idx_record *r = rec(ix, slot);
	uint32_t me = (uint32_t)syscall(SYS_gettid);

	__atomic_compare_exchange_n(&r->owner, &me, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	robust_head.list.next = &robust_head.list;
}

/* ---- events ---- */

void idx_event(struct jail_index *ix, enum jail_event_kind kind, const char *name, uint32_t jid,
	int value, const char *detail)
{
	struct idx_header *h = &ix->map->h;
	uint64_t n = __atomic_fetch_add(&h->event_next, 1, __ATOMIC_ACQ_REL);
	struct idx_event *ev = &ix->map->events[n % IDX_EVENTS];

	__atomic_store_n(&ev->seq, 0, __ATOMIC_RELEASE);
	ev->time_ms = time_wall_ms();
	ev->kind = kind;
	ev->jid = jid;
	ev->value = value;
	snprintf(ev->name, sizeof(ev->name), "%s", name);
	snprintf(ev->detail, sizeof(ev->detail), "%s", detail ? detail : "");
	__atomic_store_n(&ev->seq, n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&h->event_wake, (uint32_t)n + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &h->event_wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* 1: copied; 0: not there yet; -1: overwritten or never finished. */
static int event_copy(const struct jail_index *ix, uint64_t n, struct jail_event *ret)
{
	const struct idx_header *h = &ix->map->h;
	const struct idx_event *ev = &ix->map->events[n % IDX_EVENTS];
	uint64_t next = __atomic_load_n(&h->event_next, __ATOMIC_ACQUIRE);
	struct idx_event copy;

	if (n >= next)
		return 0;
	memcpy(&copy, ev, sizeof(copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (copy.seq != n + 1 || __atomic_load_n(&ev->seq, __ATOMIC_RELAXED) != n + 1)
		return next - n > 1 || copy.seq > n + 1 ? -1 : 0;
	*ret = (struct jail_event){.time_ms = copy.time_ms,
		.kind = (int)MIN(copy.kind, JAIL_EV_KINDS - 1u),
		.jid = copy.jid,
		.value = copy.value};
	memcpy(ret->name, copy.name, JAIL_NAME_MAX);
	memcpy(ret->detail, copy.detail, sizeof(copy.detail) - 1);
	return 1;
}

int jail_event_next(struct jail_env *env, uint64_t *cursor, uint64_t timeout_ms,
	struct jail_event *ret, struct err *e)
{
	struct jail_index *ix = env->index;
	struct idx_header *h = &ix->map->h;
	uint64_t start = time_mono_ms();

	if (*cursor == JAIL_EVENTS_NOW)
		*cursor = h->event_next;
	for (;;) {
		uint32_t wake = __atomic_load_n(&h->event_wake, __ATOMIC_ACQUIRE);
		uint64_t next = __atomic_load_n(&h->event_next, __ATOMIC_ACQUIRE), now;
		struct timespec ts = {.tv_sec = 1};
		int r;

		if (*cursor > next)
			*cursor = 0; /* the index was made anew */
		if (next > IDX_EVENTS && *cursor < next - IDX_EVENTS)
			*cursor = next - IDX_EVENTS;
		r = event_copy(ix, *cursor, ret);
		if (r)
			(*cursor)++;
		if (r > 0)
			return 1;
		if (r < 0)
			continue;
		now = time_mono_ms() - start;
		if (now >= timeout_ms)
			return 0;
		if (timeout_ms - now < 1000)
			ts = (struct timespec){.tv_nsec = (long)(timeout_ms - now) * 1000000};
		if (syscall(SYS_futex, &h->event_wake, FUTEX_WAIT, wake, &ts, NULL, 0) < 0 &&
			errno == EINTR)
			return err_set(e, EINTR, "interrupted");
	}
}

/* ---- opening ---- */

static int read_boot_id(char ret[static 40], struct err *e)
{
	AUTO_BUF struct buf b = {0};
	AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? err_sys(e, "cannot open '/proc/sys/kernel/random/boot_id'")
		       : file_read_fd(fd, "boot_id", 64, &b, e);

	if (r < 0)
		return r;
	memset(ret, 0, 40);
	memcpy(ret, b.p, MIN(b.n, (size_t)36));
	return 0;
}

/* Whether the fixed part and every link of the table can be followed. */
static bool sane(const struct jail_index *ix, const char *boot_id)
{
	const struct idx_header *h = &ix->map->h;

	return h->magic == IDX_MAGIC && h->version == IDX_VERSION &&
	       h->record_bytes == sizeof(struct idx_record) && h->capacity == IDX_CAPACITY &&
	       h->high <= IDX_CAPACITY && h->count <= h->high && h->free_head <= h->high &&
	       !(h->seq & 1) && !memcmp(h->boot_id, boot_id, sizeof(h->boot_id));
}

static int64_t dir_mtime(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1
				  : (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

void idx_in_step(struct jail_env *env)
{
	env->index->map->h.dir_mtime_ns = dir_mtime(env->jails_fd);
}

/* Empties the table in place: supervisors keep this very file mapped. */
static int wipe(struct jail_env *env, const char *boot_id, struct err *e)
{
	const off_t fixed = (off_t)offsetof(struct idx_layout, records);
	struct jail_index *ix = env->index;
	struct idx_header *h = &ix->map->h;
	uint32_t seq = h->seq | 1, jid = h->magic == IDX_MAGIC ? h->next_jid : 1;
	uint64_t events = h->magic == IDX_MAGIC ? h->event_next : 0;
	uint32_t high = h->high <= IDX_CAPACITY ? h->high : 0;

	/* A page of a sparse file that cannot be had would be a SIGBUS at the first write. */
	if (fallocate(ix->fd, 0, 0, fixed) < 0 && errno != EOPNOTSUPP)
		return err_sys(e, "cannot make '%s/index'", env->run_dir);
	h->seq = seq;
	memset(ix->map->buckets, 0, sizeof(ix->map->buckets));
	if (h->magic != IDX_MAGIC || h->high > IDX_CAPACITY) {
		/* Nothing of it is to be believed: holes read as zeroes and take no space. */
		if (fallocate(ix->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, fixed,
			    (off_t)sizeof(*ix->map) - fixed) < 0)
			memset(ix->map->records, 0, sizeof(ix->map->records));
	} else {
		memset(ix->map->records, 0, high * sizeof(struct idx_record));
	}
	*h = (struct idx_header){.magic = IDX_MAGIC,
		.version = IDX_VERSION,
		.record_bytes = sizeof(struct idx_record),
		.capacity = IDX_CAPACITY,
		.seq = seq,
		.next_jid = jid ? jid : 1,
		.id_pool = env->root ? ids_pool() : 0,
		.event_next = events,
		.event_wake = (uint32_t)events};
	memcpy(h->boot_id, boot_id, sizeof(h->boot_id));
	table_done(ix);
	return 0;
}

static int open_file(struct jail_env *env, struct err *e)
{
	const off_t size = (off_t)sizeof(struct idx_layout);
	AUTO_FD int fd = openat(
		env->run_fd, "index", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO)) {
		/* Something else stands in its place, and the folder is ours alone. */
		if (path_rmtree(env->run_fd, "index", e) < 0)
			return -e->code;
		fd = openat(env->run_fd, "index",
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd < 0)
		return err_sys(e, "cannot open '%s/index'", env->run_dir);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "cannot examine '%s/index'", env->run_dir);
	if (!S_ISREG(st.st_mode)) {
		if (unlinkat(env->run_fd, "index", 0) < 0)
			return err_sys(
				e, "cannot replace '%s/index', which is not a file", env->run_dir);
		return open_file(env, e);
	}
	if (st.st_size != size && ftruncate(fd, size) < 0)
		return err_sys(e, "cannot make '%s/index'", env->run_dir);
	return fd_take(&fd);
}

/*
 * A mapping holds the file description that it was made from, and a lock lives as long as its
 * description: a supervisor, which keeps the mapping, would keep its dead starter's locks.  So
 * the mapping has a description of its own.
 */
static int map_file(struct jail_index *ix, struct err *e)
{
	char path[32];
	AUTO_FD int own = open(path_of_fd(ix->fd, path), O_RDWR | O_CLOEXEC);
	void *p = own < 0 ? MAP_FAILED
			  : mmap(NULL, sizeof(struct idx_layout), PROT_READ | PROT_WRITE,
				    MAP_SHARED, own, 0);

	if (p == MAP_FAILED)
		return err_sys(e, "cannot map the index of jails");
	ix->map = p;
	return 0;
}

void idx_close(struct jail_index *ix)
{
	if (!ix)
		return;
	if (ix->map)
		munmap(ix->map, sizeof(*ix->map));
	fd_close(&ix->fd);
	free(ix);
}

int idx_reopen(struct jail_env *env, struct err *e)
{
	if (env->index->fd >= 0)
		return 0;
	env->index->fd = open_file(env, e);
	return env->index->fd < 0 ? -e->code : 0;
}

struct jail_index *idx_map_again(struct jail_env *env, struct err *e)
{
	struct jail_index *ix = mem_new(sizeof(*ix));

	ix->fd = open_file(env, e);
	if (ix->fd < 0 || map_file(ix, e) < 0) {
		idx_close(ix);
		return NULL;
	}
	madvise(ix->map, sizeof(*ix->map), MADV_DONTFORK);
	fd_close(&ix->fd);
	return ix;
}

static int check_and_rebuild(struct jail_env *env, struct err *e)
{
	struct jail_index *ix = env->index;
	char boot_id[40];
	int r;

	if (read_boot_id(boot_id, e) < 0)
		return -e->code;
	if (sane(ix, boot_id) && ix->map->h.dir_mtime_ns == dir_mtime(env->jails_fd))
		return 0;
	r = idx_lock(ix, e);
	if (r < 0)
		return r;
	/* Another command may have done it while this one waited for the lock. */
	if (!sane(ix, boot_id)) {
		r = wipe(env, boot_id, e);
		if (!r)
			r = idx_rebuild(env, e);
	} else if (ix->map->h.dir_mtime_ns != dir_mtime(env->jails_fd)) {
		r = idx_rebuild(env, e);
	}
	idx_unlock(ix);
	return r;
}

int idx_open(struct jail_env *env, struct err *e)
{
	struct jail_index *ix = mem_new(sizeof(*ix));

	ix->fd = open_file(env, e);
	if (ix->fd < 0 || map_file(ix, e) < 0) {
		idx_close(ix);
		return -e->code;
	}
	env->index = ix;
	return check_and_rebuild(env, e);
}
