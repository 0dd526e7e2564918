/*
 * The compiled filter and its cache.
 *
 * Compiling takes libseccomp milliseconds; a start takes the program from a file that is named
 * by everything the program depends on.  The directory is ours (0700), so what the entry is
 * checked for is damage and mistakes, not forgery by ourselves: a regular file of ours that
 * nobody else may write, of the right length, with the right checksum, holding its own name.
 * Anything else is compiled again and replaced.  A cache that cannot be written costs time and
 * nothing else, so that is no error.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/blake2.h"
#include "base/fd.h"
#include "base/file.h"
#include "isolation/confine.h"
#include "isolation/isolation.h"
#include "isolation/seccomp_compile.h"

/* Not in the headers of every kernel that we build with. */
enum {
	FLAG_TSYNC = 1 << 0,
	FLAG_NEW_LISTENER = 1 << 3,
	FLAG_TSYNC_ESRCH = 1 << 4,
	FLAG_WAIT_KILLABLE_RECV = 1 << 5,
};

struct entry {
	char magic[8];
	uint32_t version;
	uint32_t n_insns;
	uint32_t flags;
	uint32_t notify;
	uint8_t key[BLAKE2_BYTES];
	uint64_t checksum; /* of all before and after it */
};
static const char entry_magic[8] = "jailbpf";
enum { ENTRY_VERSION = 1, ENTRY_NAME_BYTES = BLAKE2_HEX_BYTES + 4 };

static void key_number(struct blake2 *s, uint64_t v)
{
	blake2_add(s, &v, sizeof(v));
}

/* Counted, and each with its final 0, so that no two profiles give the same bytes. */
static void key_strings(struct blake2 *s, const struct strv *sv)
{
	key_number(s, sv->n);
	for (size_t i = 0; i < sv->n; i++)
		blake2_add(s, sv->v[i], strlen(sv->v[i]) + 1);
}

static void key_rule(struct blake2 *s, const struct spec_seccomp_rule *r)
{
	key_strings(s, &r->names);
	key_number(s, (uint64_t)r->action);
	key_number(s, r->has_errno_ret);
	key_number(s, r->errno_ret);
	key_number(s, r->n_args);
	for (size_t i = 0; i < r->n_args; i++) {
		const struct spec_seccomp_arg *a = &r->args[i];

		key_number(s, (uint64_t)a->index << 32 | (uint32_t)a->op);
		key_number(s, a->value);
		key_number(s, a->value_two);
	}
}

/* All that the program depends on: the profile, this compiler, the library, the machine. */
static void profile_key(const struct spec_seccomp *p, uint8_t key[static BLAKE2_BYTES])
{
	const struct scmp_version *v = seccomp_version();
	struct blake2 s;

	blake2_init(&s);
	key_number(&s, ISO_COMPILE_VERSION);
	key_number(&s, ENTRY_VERSION);
	key_number(&s, (uint64_t)v->major << 32 | v->minor << 16 | v->micro);
	key_number(&s, seccomp_arch_native());
	key_number(&s, (uint64_t)p->default_action);
	key_number(&s, p->has_default_errno_ret);
	key_number(&s, p->default_errno_ret);
	key_strings(&s, &p->architectures);
	key_strings(&s, &p->flags);
	key_number(&s, p->n_syscalls);
	for (size_t i = 0; i < p->n_syscalls; i++)
		key_rule(&s, &p->syscalls[i]);
	blake2_end(&s, key);
}

/* Against damage only: each step is a bijection of the state, so any one changed word shows. */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t w;

		memcpy(&w, (const char *)p + i, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

static uint64_t entry_checksum(const struct entry *h, const void *insns)
{
	uint64_t sum = mix(0, h, offsetof(struct entry, checksum));

	return mix(sum, insns, h->n_insns * sizeof(struct sock_filter));
}

static bool entry_is_sound(const struct entry *h, size_t n, const uint8_t key[static BLAKE2_BYTES])
{
	return n >= sizeof(*h) && !memcmp(h->magic, entry_magic, sizeof(entry_magic)) &&
	       h->version == ENTRY_VERSION && h->n_insns > 0 && h->n_insns <= BPF_MAXINSNS &&
	       n == sizeof(*h) + h->n_insns * sizeof(struct sock_filter) &&
	       !memcmp(h->key, key, BLAKE2_BYTES) && h->checksum == entry_checksum(h, h + 1);
}

static bool file_is_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && !(st->st_mode & 022) &&
	       st->st_size >= (off_t)sizeof(struct entry) &&
	       st->st_size <=
		       (off_t)(sizeof(struct entry) + BPF_MAXINSNS * sizeof(struct sock_filter));
}

static void filter_of_map(struct iso_filter *f, void *map, size_t n)
{
	const struct entry *h = map;

	*f = (struct iso_filter){
		.insns = h + 1,
		.n_insns = (uint16_t)h->n_insns,
		.flags = h->flags,
		.notify = h->notify,
		.map = map,
		.map_bytes = n,
	};
}

/*
 * The entry of that name, or false.  It is read into memory of our own and not mapped: a file
 * can change between check and use.
 */
static bool cache_load(
	int dir, const char *name, const uint8_t key[static BLAKE2_BYTES], struct iso_filter *ret)
{
	AUTO_FD int fd =
		openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	size_t n;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0 || !file_is_ours(&st))
		return false;
	n = (size_t)st.st_size;
	map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return false;
	if (fd_read_full(fd, map, n) != (ssize_t)n || !entry_is_sound(map, n, key)) {
		munmap(map, n);
		return false;
	}
	filter_of_map(ret, map, n);
	return true;
}

static int compile(const struct spec_seccomp *profile, const uint8_t key[static BLAKE2_BYTES],
	struct iso_filter *ret, struct err *e)
{
	struct entry h = {.version = ENTRY_VERSION};
	AUTO_BUF struct buf insns = {0};
	bool notify = false;
	size_t n;
	void *map;
	int r = iso_filter_flags(profile, &h.flags, e);

	if (!r)
		r = iso_filter_compile(profile, &insns, &notify, e);
	if (r < 0)
		return r;
	memcpy(h.magic, entry_magic, sizeof(h.magic));
	memcpy(h.key, key, sizeof(h.key));
	h.notify = notify;
	h.n_insns = (uint32_t)(insns.n / sizeof(struct sock_filter));
	h.checksum = entry_checksum(&h, insns.p);
	n = sizeof(h) + insns.n;
	map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return err_sys(e, "cannot hold the seccomp program");
	memcpy(map, &h, sizeof(h));
	memcpy((char *)map + sizeof(h), insns.p, insns.n);
	filter_of_map(ret, map, n);
	return 0;
}

int iso_filter_get(
	const struct spec_seccomp *profile, int cache_fd, struct iso_filter *ret, struct err *e)
{
	uint8_t key[BLAKE2_BYTES];
	char name[ENTRY_NAME_BYTES];
	struct err ignored;
	int r;

	profile_key(profile, key);
	blake2_hex(key, name);
	memcpy(name + BLAKE2_HEX_BYTES - 1, ".bpf", 5);
	if (cache_fd >= 0 && cache_load(cache_fd, name, key, ret))
		return 0;
	r = compile(profile, key, ret, e);
	if (!r && cache_fd >= 0)
		file_replace(cache_fd, name, ret->map, ret->map_bytes, 0600, 0, &ignored);
	return r;
}

void iso_filter_release(struct iso_filter *f)
{
	if (f->map)
		munmap(f->map, f->map_bytes);
	*f = (struct iso_filter){0};
}

int iso_filter_apply(
	const struct iso_filter *f, bool need_listener, int *ret_listener, struct err *e)
{
	struct sock_fprog prog = {
		.len = f->n_insns,
		/* The kernel copies the program; its struct has no const. */
		.filter = (struct sock_filter *)(uintptr_t)f->insns,
	};
	unsigned int flags = f->flags;
	long r;

	if (need_listener)
		flags |= FLAG_NEW_LISTENER | (flags & FLAG_TSYNC ? FLAG_TSYNC_ESRCH : 0);
	else
		flags &= ~(unsigned int)FLAG_WAIT_KILLABLE_RECV; /* means nothing without one */
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	/* With TSYNC and without a listener, a positive result is a thread that would not follow.
	 */
	if (r > 0 && !need_listener)
		return err_set(e, EBUSY,
			"cannot install the seccomp filter: thread %ld has another one", r);
	if (r < 0) {
		err_sys(e, "cannot install the seccomp filter");
		if (e->code == EACCES)
			err_hint(
				e, "set process.noNewPrivileges, or keep CAP_SYS_ADMIN until then");
		else if (e->code == EINVAL)
			err_hint(e, "the kernel lacks CONFIG_SECCOMP_FILTER or one of the flags");
		else if (e->code == EBUSY)
			err_hint(e, "the caller is already under a filter with a listener");
		return -e->code;
	}
	if (need_listener)
		*ret_listener = (int)r;
	return 0;
}
