/* What the types of a definition cannot say; nothing of the host is looked at. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/parse.h"
#include "base/path.h"
#include "isolation/seccomp.h"
#include "jail/internal.h"
#include "spec/spec.h"

bool jail_allow_word(size_t i, struct jail_allow_word *ret)
{
	if (i >= iso_seccomp_word_count)
		return false;
	*ret = (struct jail_allow_word){
		iso_seccomp_words[i].word, iso_seccomp_words[i].allows, iso_seccomp_words[i].risk};
	return true;
}

int cap_number(const char *name)
{
	for (int i = 0; spec_capability_names[i]; i++)
		if (!strcasecmp(name, spec_capability_names[i]) ||
			!strcasecmp(name, spec_capability_names[i] + 4))
			return i;
	return -1;
}

static int check_path(const char *what, const char *path, struct err *e)
{
	AUTO_FREE char *clean = NULL;

	if (!path || *path != '/')
		return err_set(
			e, EINVAL, "%s '%s' is not an absolute path", what, path ? path : "");
	clean = path_clean(path);
	if (strstr(path, "/../") || str_ends(path, "/.."))
		return err_set(e, EINVAL, "%s '%s' has a '..' in it", what, path);
	if (strlen(path) >= 4096)
		return err_set(
			e, ENAMETOOLONG, "%s '%.40s...' is longer than 4095 bytes", what, path);
	return 0;
}

/* Where a mount of the user's may go: not over what keeps the jail together. */
static int check_destination(const char *what, const char *path, struct err *e)
{
	static const char *const own[] = {"/proc", "/sys", "/dev"};
	AUTO_FREE char *clean = NULL;

	if (check_path(what, path, e) < 0)
		return -e->code;
	clean = path_clean(path);
	if (!strcmp(clean, "/"))
		return err_set(e, EINVAL, "%s '%s' is the jail's root; use --root", what, path);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!strcmp(clean, own[i]) || (i < 2 && path_is_below(clean, own[i])))
			return err_set(e, EINVAL,
				"%s '%s' would cover '%s', which every jail has of its own", what,
				path, own[i]);
	return 0;
}

static int check_root(const struct jail_def *d, struct err *e)
{
	static const char *const kept[] = {"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32",
		"/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var", "/tmp", "/home",
		"/root", "/opt", "/srv", "/mnt", "/media", "/var/lib", "/var/tmp"};

	switch (d->root.kind) {
	case JAIL_ROOT_IMAGE:
		return err_set(e, EOPNOTSUPP,
			"cannot use image '%s': this build has no images yet; use --root DIR or "
			"--host",
			d->root.path ? d->root.path : "");
	case JAIL_ROOT_DIR:
		if (d->root.work)
			return err_set(e, EINVAL,
				"a working folder goes with --host; use a volume with --root");
		if (check_path("root directory", d->root.path, e) < 0)
			return -e->code;
		if (!strcmp(d->root.path, "/"))
			return err_set(e, EINVAL,
				"root directory '/' is the host itself; use --host, which hides "
				"what is private");
		return 0;
	}
	if (d->root.path || d->root.rw)
		return err_set(e, EINVAL, "--host takes no directory and is never written");
	if (!d->root.work)
		return 0;
	if (check_path("working folder", d->root.work, e) < 0)
		return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (!strcmp(d->root.work, kept[i]) || !strcmp(d->root.work, "/"))
			return err_set(e, EINVAL,
				"cannot show the folder '%s' writable: it is a folder of the "
				"system; change to a folder of your own, or give --root",
				d->root.work);
	return 0;
}

static int check_mounts(const struct jail_def *d, struct err *e)
{
	for (size_t i = 0; i < d->n_volumes; i++) {
		if (check_path("source of the volume", d->volumes[i].source, e) < 0 ||
			check_destination(
				"destination of the volume", d->volumes[i].destination, e) < 0)
			return -e->code;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(d->volumes[k].destination, d->volumes[i].destination))
				return err_set(e, EINVAL, "two volumes have the destination '%s'",
					d->volumes[i].destination);
	}
	for (size_t i = 0; i < d->n_tmpfs; i++)
		if (check_destination("destination of the tmpfs", d->tmpfs[i].destination, e) < 0)
			return -e->code;
	for (size_t i = 0; i < d->masks.n; i++)
		if (check_path("masked path", d->masks.v[i], e) < 0)
			return -e->code;
	for (size_t i = 0; i < d->readonly.n; i++)
		if (check_path("read-only path", d->readonly.v[i], e) < 0)
			return -e->code;
	for (size_t i = 0; i < d->n_devices; i++) {
		const char *a = d->devices[i].access;

		if (check_path("device", d->devices[i].source, e) < 0 ||
			(d->devices[i].destination &&
				check_path("device in the jail", d->devices[i].destination, e) < 0))
			return -e->code;
		if (a && (!*a || strspn(a, "rwm") != strlen(a)))
			return err_set(e, EINVAL,
				"access '%s' to device '%s' is not made of r, w and m", a,
				d->devices[i].source);
	}
	return 0;
}

static int check_words(const struct jail_def *d, struct err *e)
{
	const struct strv *lists[] = {&d->cap_add, &d->cap_drop};
	struct jail_allow_word w;

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l]->n; i++)
			if (strcasecmp(lists[l]->v[i], "all") && cap_number(lists[l]->v[i]) < 0)
				return err_set(e, EINVAL,
					"'%s' is not a capability; capabilities(7) lists them",
					lists[l]->v[i]);
	for (size_t i = 0; i < d->allow.n; i++) {
		size_t k = 0;
		bool known = false;

		while (!known && jail_allow_word(k++, &w))
			known = !strcmp(w.word, d->allow.v[i]);
		if (!known)
			return err_set(
				e, EINVAL, "'%s' is not a word that --allow knows", d->allow.v[i]);
	}
	if (d->seccomp && strcmp(d->seccomp, "default") && strcmp(d->seccomp, "unconfined") &&
		d->seccomp[0] != '/')
		return err_set(e, EINVAL,
			"seccomp profile '%s' is not default, unconfined or an absolute path",
			d->seccomp);
	if (d->seccomp && !strcmp(d->seccomp, "unconfined") && d->allow.n)
		return err_set(e, EINVAL, "--allow %s has no meaning without a seccomp profile",
			d->allow.v[0]);
	return 0;
}

static int in_range(
	const char *what, bool has, uint64_t v, uint64_t min, uint64_t max, struct err *e)
{
	if (!has || (v >= min && (v <= max || v == UINT64_MAX)))
		return 0;
	return err_set(e, ERANGE, "%s is out of range; expected %llu to %llu", what,
		(unsigned long long)min, (unsigned long long)max);
}

static int check_list(const char *what, const char *list, struct err *e)
{
	if (list && (!*list || strspn(list, "0123456789,-") != strlen(list)))
		return err_set(e, EINVAL, "%s '%s' is not a list such as 0-3,7", what, list);
	return 0;
}

int limits_check(const struct jail_limits *l, struct err *e)
{
	if (in_range("the memory limit", l->has_memory_bytes, l->memory_bytes, 4 << 20,
		    INT64_MAX / 2, e) < 0 ||
		in_range("the swap limit", l->has_swap_bytes, l->swap_bytes, 0, INT64_MAX / 2, e) <
			0 ||
		in_range("the limit on processes", l->has_pids, l->pids, 1, 4194304, e) < 0 ||
		in_range("the cpu weight", l->has_cpu_weight && l->cpu_weight != UINT64_MAX,
			l->cpu_weight, 1, 10000, e) < 0 ||
		in_range("the share of cpu time", l->has_cpu_milli, l->cpu_milli, 10, 1000000, e) <
			0 ||
		in_range("the io weight", l->has_io_weight, l->io_weight, 1, 10000, e) < 0 ||
		in_range("the running time", l->has_wall_ms, l->wall_ms, 1, UINT32_MAX * 1000ull,
			e) < 0 ||
		check_list("list of cpus", l->cpus, e) < 0 ||
		check_list("list of memory nodes", l->mems, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l->n_rlimits; i++)
		if (l->rlimits[i].soft > l->rlimits[i].hard)
			return err_set(e, EINVAL, "the soft limit of %s is above the hard one",
				spec_rlimit_names[l->rlimits[i].type]);
	return 0;
}

static int check_process(const struct jail_def *d, struct err *e)
{
	size_t bytes = 0;

	if (!d->args.n && !d->persist)
		return err_set(e, EINVAL,
			"there is no program to run; give one, or --persist for a jail that lives "
			"without");
	if (d->args.n && !*d->args.v[0])
		return err_set(e, EINVAL, "the program's name is empty");
	if (d->persist && d->has_init && !d->init)
		return err_set(e, EINVAL,
			"--persist needs our init as its first process; leave --no-init away");
	for (size_t i = 0; i < d->env.n; i++) {
		if (!strchr(d->env.v[i], '=') || d->env.v[i][0] == '=')
			return err_set(e, EINVAL,
				"environment entry '%.64s' is not of the form NAME=VALUE",
				d->env.v[i]);
		bytes += strlen(d->env.v[i]);
	}
	if (bytes > 128 * 1024)
		return err_set(
			e, E2BIG, "the environment has %zu bytes; at most 131072 fit", bytes);
	if (d->user && !*d->user)
		return err_set(e, EINVAL, "the user to run as is empty");
	if (d->cwd && check_path("working directory", d->cwd, e) < 0)
		return -e->code;
	if (d->hostname) {
		size_t n = strlen(d->hostname);

		if (!n || n > 64 || d->hostname[0] == '-' ||
			strspn(d->hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01"
					    "23456789.-") != n)
			return err_set(e, EINVAL,
				"host name '%.70s' is not made of 1 to 64 letters, digits, '.' and "
				"'-'",
				d->hostname);
	}
	return 0;
}

int jail_def_check(const struct jail_def *d, struct err *e)
{
	if (d->tier == JAIL_TIER_VM)
		return err_set(e, EOPNOTSUPP,
			"cannot give the jail its own kernel: this build has no micro-VM yet; use "
			"isolation jail or auto");
	if (check_root(d, e) < 0 || check_process(d, e) < 0 || check_mounts(d, e) < 0 ||
		check_words(d, e) < 0 || limits_check(&d->limits, e) < 0)
		return -e->code;
	if (d->log.max_bytes && d->log.max_bytes < 4096)
		return err_set(e, ERANGE, "a log of %llu bytes is too small; 4096 is the least",
			(unsigned long long)d->log.max_bytes);
	if (d->log.files > 100)
		return err_set(
			e, ERANGE, "a log of %u files is too many; 100 is the most", d->log.files);
	return 0;
}

/* ---- in which ways a definition is wider than the default ---- */

static void widen_caps(const struct jail_def *d, struct strv *ret)
{
	for (size_t i = 0; i < d->cap_add.n; i++) {
		int n = cap_number(d->cap_add.v[i]);

		if (n < 0)
			strv_add(ret, "every capability");
		else if (!((DEFAULT_CAPS >> n) & 1))
			strv_addf(ret, "capability %s", spec_capability_names[n]);
	}
}

static void widen_limits(const struct jail_limits *l, struct strv *ret)
{
	if (l->has_memory_bytes && l->memory_bytes == UINT64_MAX)
		strv_add(ret, "memory unlimited");
	if (l->has_swap_bytes && l->swap_bytes)
		strv_add(ret, "swap allowed");
	if (l->has_pids && (l->pids == UINT64_MAX || l->pids > DEFAULT_PIDS))
		strv_add(ret, "more than 512 processes");
}

void jail_def_widenings(const struct jail_def *d, struct strv *ret)
{
	widen_caps(d, ret);
	if (d->seccomp && !strcmp(d->seccomp, "unconfined"))
		strv_add(ret, "no seccomp filter");
	else if (d->seccomp && *d->seccomp == '/')
		strv_addf(ret, "seccomp profile %s", d->seccomp);
	for (size_t i = 0; i < d->allow.n; i++)
		strv_addf(ret, "allow %s", d->allow.v[i]);
	if (d->net == JAIL_NET_HOST)
		strv_add(ret, "net host");
	if (d->sys == JAIL_SYS_RO)
		strv_add(ret, "sys ro");
	for (size_t i = 0; i < d->n_devices; i++)
		strv_addf(ret, "device %s", d->devices[i].source);
	for (size_t i = 0; i < d->n_volumes; i++) {
		const struct jail_volume *v = &d->volumes[i];

		if (v->dev || v->suid || v->no_map)
			strv_addf(ret, "volume %s:%s%s%s", v->destination, v->dev ? " dev" : "",
				v->suid ? " suid" : "", v->no_map ? " nomap" : "");
	}
	widen_limits(&d->limits, ret);
}
