/*
 * Credentials: the ids, the five capability sets, and the switches around them.
 *
 * What each step needs decides the order: the bounding set can only be lowered with
 * CAP_SETPCAP, the ids only be changed with CAP_SETUID and CAP_SETGID, and changing the uid
 * away from 0 takes every capability unless PR_SET_KEEPCAPS was said before.  So: bounding
 * set, then ids, then the other sets, the ambient one last, because it may hold only what is
 * both permitted and inheritable.
 *
 * System calls are made directly: glibc's wrappers for ids signal every thread that it believes
 * to exist, and after clone3 that belief is the parent's.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolation/confine.h"

enum { CAPS_MAX = 64, UMASK_DEFAULT = 0022, CAP_NAME_BYTES = 40 };

struct cap_sets {
	uint64_t effective, permitted, inheritable;
};

static const char *cap_name(unsigned int cap, char buf[static CAP_NAME_BYTES])
{
	for (unsigned int i = 0; spec_capability_names[i]; i++)
		if (i == cap)
			return spec_capability_names[i];
	snprintf(buf, CAP_NAME_BYTES, "capability number %u", cap);
	return buf;
}

static int caps_get(struct cap_sets *ret, struct err *e)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};

	if (syscall(SYS_capget, &h, d) < 0)
		return err_sys(e, "cannot read the capabilities");
	ret->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	ret->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	ret->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return 0;
}

static int caps_set(const struct cap_sets *s, struct err *e)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	for (int i = 0; i < 2; i++)
		d[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(s->effective >> 32 * i),
			.permitted = (uint32_t)(s->permitted >> 32 * i),
			.inheritable = (uint32_t)(s->inheritable >> 32 * i),
		};
	if (syscall(SYS_capset, &h, d) < 0)
		return err_sys(e, "cannot set the capabilities");
	return 0;
}

/* The bounding set, and how many capabilities the kernel knows. */
static uint64_t bounding_get(unsigned int *ret_known)
{
	uint64_t set = 0;
	unsigned int cap = 0;

	for (; cap < CAPS_MAX; cap++) {
		int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r < 0)
			break;
		set |= (uint64_t)r << cap;
	}
	*ret_known = cap;
	return set;
}

/* Names the first capability that is asked for and not had. */
static int check_set(const char *set, uint64_t asked, uint64_t had, const char *why, struct err *e)
{
	char buf[CAP_NAME_BYTES];
	uint64_t lacking = asked & ~had;

	if (!lacking)
		return 0;
	return err_set(e, EPERM,
		"cannot give '%s' (%s set): %s; leave it out of process.capabilities",
		cap_name((unsigned int)__builtin_ctzll(lacking), buf), set, why);
}

int iso_caps_check(const struct spec_capabilities *caps, struct err *e)
{
	struct cap_sets held;
	unsigned int n_known;
	uint64_t bounding = bounding_get(&n_known);
	uint64_t known = n_known < 64 ? ((uint64_t)1 << n_known) - 1 : UINT64_MAX;
	int r = caps_get(&held, e);

	if (r < 0 || !caps)
		return r;
	const struct {
		const char *set;
		uint64_t asked, had;
		const char *why;
	} rows[] = {
		{"bounding", caps->bounding, known, "this kernel does not know it"},
		{"permitted", caps->permitted, known, "this kernel does not know it"},
		{"inheritable", caps->inheritable, known, "this kernel does not know it"},
		{"bounding", caps->bounding, bounding, "the caller's own bounding set lacks it"},
		{"permitted", caps->permitted, held.permitted, "the caller does not hold it"},
		{"effective", caps->effective, caps->permitted, "it is not in the permitted set"},
		{"inheritable", caps->inheritable, held.permitted | held.inheritable,
			"the caller does not hold it"},
		{"ambient", caps->ambient, caps->permitted & caps->inheritable,
			"it is not both in the permitted and the inheritable set"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) && !r; i++)
		r = check_set(rows[i].set, rows[i].asked, rows[i].had, rows[i].why, e);
	return r;
}

int iso_bounding_apply(const struct spec_capabilities *caps, struct err *e)
{
	unsigned int n_known;
	uint64_t drop = bounding_get(&n_known) & ~(caps ? caps->bounding : 0);
	char buf[CAP_NAME_BYTES];

	for (unsigned int cap = 0; cap < n_known; cap++) {
		if (!(drop >> cap & 1) || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		err_sys(e, "cannot drop '%s' from the bounding set", cap_name(cap, buf));
		return err_hint(e, "it needs CAP_SETPCAP, which a user namespace gives");
	}
	return 0;
}

int iso_caps_apply(const struct spec_capabilities *caps, struct err *e)
{
	static const struct spec_capabilities none;
	const struct spec_capabilities *c = caps ? caps : &none;
	struct cap_sets s = {c->effective, c->permitted, c->inheritable};
	char buf[CAP_NAME_BYTES];
	int r;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, "cannot clear the ambient capabilities");
	r = caps_set(&s, e);
	if (r < 0) {
		struct err why;

		/* The kernel says EPERM for the set as a whole; say which. */
		return iso_caps_check(c, &why) < 0 ? err_set(e, why.code, "%s", why.text) : r;
	}
	for (unsigned int cap = 0; cap < CAPS_MAX; cap++)
		if (c->ambient >> cap & 1 &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return err_sys(e, "cannot make '%s' ambient", cap_name(cap, buf));
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_sys(e, "cannot stop keeping capabilities");
	return 0;
}

int iso_securebits_apply(unsigned int bits, struct err *e)
{
	int now = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (now < 0)
		return err_sys(e, "cannot read the securebits");
	if ((unsigned int)now == bits)
		return 0;
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0) {
		err_sys(e, "cannot set the securebits to %#x", bits);
		return err_hint(e, "it needs CAP_SETPCAP, and locked bits stay");
	}
	return 0;
}

int iso_no_new_privs(struct err *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "cannot set no_new_privs");
	return 0;
}

static bool asks_only_for(const struct spec_user *u, uint32_t gid)
{
	for (size_t i = 0; i < u->n_additional_gids; i++)
		if (u->additional_gids[i] != gid)
			return false;
	return true;
}

/*
 * Kernels deny setgroups in a user namespace with a single id that was made without privilege,
 * because dropping a group can grant what the group was denied.  There an empty list, or the
 * primary group alone, means "none but the caller's", which nobody can change; any other list
 * would be a lie.
 */
static int set_groups(const struct spec_user *u, struct err *e)
{
	if (syscall(SYS_setgroups, u->n_additional_gids, u->additional_gids) == 0)
		return 0;
	if (errno == EPERM && asks_only_for(u, u->gid))
		return 0;
	err_sys(e, "cannot set %zu additional groups (the first is %u)", u->n_additional_gids,
		u->n_additional_gids ? u->additional_gids[0] : 0);
	if (e->code == EPERM)
		return err_hint(e,
			"a user namespace of a single id, or without CAP_SETGID, cannot; "
			"leave process.user.additionalGids empty or configure /etc/subgid");
	if (e->code == EINVAL)
		return err_hint(e, "each must have a mapping in the user namespace");
	return -e->code;
}

static int set_id(long call, const char *what, uint32_t id, struct err *e)
{
	if (syscall(call, id, id, id) == 0)
		return 0;
	err_sys(e, "cannot set the %s id to %u", what, id);
	if (e->code == EINVAL)
		return err_hint(e, "it has no mapping in the user namespace");
	if (e->code == EAGAIN)
		return err_hint(e, "RLIMIT_NPROC of that user is reached");
	return -e->code;
}

int iso_ids_apply(const struct spec_user *u, struct err *e)
{
	struct cap_sets s;
	int r = set_groups(u, e);

	if (!r)
		r = set_id(SYS_setresgid, "group", u->gid, e);
	if (!r && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		r = err_sys(e, "cannot keep capabilities across the change of user");
	if (!r)
		r = set_id(SYS_setresuid, "user", u->uid, e);
	if (!r)
		r = caps_get(&s, e);
	if (r < 0)
		return r;
	/* The change cleared the effective set; what still follows needs it. */
	s.effective = s.permitted;
	return caps_set(&s, e);
}

void iso_umask_apply(const struct spec_user *u)
{
	umask(u->has_umask ? u->umask & 0777 : UMASK_DEFAULT);
}
