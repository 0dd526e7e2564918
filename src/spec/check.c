/*
 * What one value alone cannot show: the demands that the specification and the kernel make
 * across values.  One function per part, run from one table; none looks at the host.
 */
#include "spec/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* The kernel's 12 and 20 bits of a device number, and UID_GID_MAP_MAX_EXTENTS. */
enum { MAX_MAJOR = (1 << 12) - 1, MAX_MINOR = (1 << 20) - 1, MAX_MAPPINGS = 340 };

static bool has_dotdot(const char *path)
{
	for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return true;
	return false;
}

/* Text from outside inside a sentence: bounded and visible. */
static int bad_value(struct err *e, const char *where, const char *expected, const char *found)
{
	AUTO_FREE char *shown = str_visible(found);

	return err_set(e, EINVAL, "%s: expected %s, found '%.64s'", where, expected, shown);
}

static int bad_item(struct err *e, const char *list, size_t i, const char *member,
	const char *expected, const char *found)
{
	char where[96];

	snprintf(where, sizeof(where), "%s[%zu]%s", list, i, member);
	return bad_value(e, where, expected, found);
}

static int check_version(const struct spec *spec, struct err *e)
{
	const char *v = spec->oci_version ? spec->oci_version : "";
	unsigned int minor, patch;
	int n = 0;

	if (sscanf(v, "1.%4u.%4u%n", &minor, &patch, &n) != 2 ||
		(v[n] && v[n] != '-' && v[n] != '+'))
		return bad_value(e, "ociVersion", "1.x.y", v);
	return 0;
}

static bool has_ns(const struct spec *spec, enum spec_ns_kind kind)
{
	return spec_ns(spec, kind) != NULL;
}

static int check_namespaces(const struct spec *spec, struct err *e)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < spec->linux.n_namespaces; i++) {
		const struct spec_namespace *ns = &spec->linux.namespaces[i];

		if (ns->path && *ns->path && *ns->path != '/')
			return bad_item(
				e, "linux.namespaces", i, ".path", "an absolute path", ns->path);
		if (seen >> ns->type & 1)
			return err_set(e, EINVAL, "linux.namespaces[%zu].type: '%s' is given twice",
				i, spec_ns_names[ns->type]);
		seen |= 1u << ns->type;
	}
	return 0;
}

/* user_namespaces(7): sizes above 0, no id twice on either side, at most 340 lines. */
static int check_mapping_list(
	const char *where, const struct spec_id_mapping *m, size_t n, struct err *e)
{
	if (n > MAX_MAPPINGS)
		return err_set(e, EINVAL, "%s: the kernel takes at most %d mappings, found %zu",
			where, MAX_MAPPINGS, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t inside = m[i].container_id, outside = m[i].host_id, size = m[i].size;

		if (!size || inside + size > UINT32_MAX || outside + size > UINT32_MAX)
			return err_set(e, EINVAL,
				"%s[%zu]: %" PRIu64 " ids from %" PRIu64 " and %" PRIu64
				" are no range of ids",
				where, i, size, inside, outside);
		for (size_t j = 0; j < i; j++)
			if ((inside < (uint64_t)m[j].container_id + m[j].size &&
				    m[j].container_id < inside + size) ||
				(outside < (uint64_t)m[j].host_id + m[j].size &&
					m[j].host_id < outside + size))
				return err_set(e, EINVAL, "%s[%zu]: overlaps with %s[%zu]", where,
					i, where, j);
	}
	return 0;
}

static int check_mappings(const struct spec *spec, struct err *e)
{
	const struct spec_linux *l = &spec->linux;

	if ((l->n_uid_mappings || l->n_gid_mappings) && !has_ns(spec, SPEC_NS_USER))
		return err_set(e, EINVAL,
			"linux.%s: needs a namespace of type 'user' in linux.namespaces",
			l->n_uid_mappings ? "uidMappings" : "gidMappings");
	if (check_mapping_list("linux.uidMappings", l->uid_mappings, l->n_uid_mappings, e) < 0)
		return -e->code;
	return check_mapping_list("linux.gidMappings", l->gid_mappings, l->n_gid_mappings, e);
}

static int check_names(const struct spec *spec, struct err *e)
{
	enum { NAME_BYTES = 64 }; /* __NEW_UTS_LEN */
	const struct {
		const char *key, *value;
	} names[] = {{"hostname", spec->hostname}, {"domainname", spec->domainname}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!names[i].value || !*names[i].value)
			continue;
		if (strlen(names[i].value) > NAME_BYTES)
			return bad_value(e, names[i].key, "at most 64 bytes", names[i].value);
		if (!has_ns(spec, SPEC_NS_UTS))
			return err_set(e, EINVAL,
				"%s: needs a namespace of type 'uts' in linux.namespaces",
				names[i].key);
	}
	return 0;
}

/*
 * Sysctls that belong to a namespace, by their first components; everything else is the
 * host's.  kernel.hostname and kernel.domainname are set by the properties of that name.
 */
static const struct {
	const char *name; /* with a final '.': a prefix */
	enum spec_ns_kind ns;
} sysctls[] = {
	{"net.", SPEC_NS_NETWORK},
	{"fs.mqueue.", SPEC_NS_IPC},
	{"kernel.msgmax", SPEC_NS_IPC},
	{"kernel.msgmnb", SPEC_NS_IPC},
	{"kernel.msgmni", SPEC_NS_IPC},
	{"kernel.msg_next_id", SPEC_NS_IPC},
	{"kernel.sem", SPEC_NS_IPC},
	{"kernel.sem_next_id", SPEC_NS_IPC},
	{"kernel.shmall", SPEC_NS_IPC},
	{"kernel.shmmax", SPEC_NS_IPC},
	{"kernel.shmmni", SPEC_NS_IPC},
	{"kernel.shm_next_id", SPEC_NS_IPC},
	{"kernel.shm_rmid_forced", SPEC_NS_IPC},
	{"kernel.auto_msgmni", SPEC_NS_IPC},
	{"kernel.domainname", SPEC_NS_UTS},
	{"kernel.hostname", SPEC_NS_UTS},
	{"user.", SPEC_NS_USER},
};

/* The dotted form of "net/ipv4/..." and "net.ipv4...", as sysctl(8) tells them apart. */
static bool sysctl_is(const char *key, const char *name)
{
	bool slashes = key[strcspn(key, "./")] == '/';
	size_t i;

	for (i = 0; name[i]; i++)
		if (name[i] != (slashes && key[i] == '/' ? '.' : key[i]))
			return false;
	return name[i - 1] == '.' || !key[i];
}

static int check_sysctls(const struct spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->linux.sysctl.n; i++) {
		const char *key = spec->linux.sysctl.v[i].key;
		size_t j = 0;

		while (j < ARRAY_SIZE(sysctls) && !sysctl_is(key, sysctls[j].name))
			j++;
		if (j == ARRAY_SIZE(sysctls) || strstr(key, ".."))
			return bad_value(e, "linux.sysctl",
				"a name that belongs to a namespace (net.*, fs.mqueue.*, "
				"kernel.shm*, ...)",
				key);
		if (!has_ns(spec, sysctls[j].ns)) {
			AUTO_FREE char *shown = str_visible(key);

			return err_set(e, EINVAL,
				"linux.sysctl['%.64s']: needs a namespace of type '%s' in "
				"linux.namespaces",
				shown, spec_ns_names[sysctls[j].ns]);
		}
	}
	return 0;
}

static int check_mounts(const struct spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *m = &spec->mounts[i];
		char where[64];

		if (!m->destination || !*m->destination)
			return err_set(
				e, EINVAL, "mounts[%zu].destination: required, but missing", i);
		if (has_dotdot(m->destination))
			return bad_item(e, "mounts", i, ".destination", "a path without '..'",
				m->destination);
		if (!m->n_uid_mappings != !m->n_gid_mappings)
			return err_set(e, EINVAL,
				"mounts[%zu].%s: required with the other kind of mappings, but "
				"missing",
				i, m->n_uid_mappings ? "gidMappings" : "uidMappings");
		snprintf(where, sizeof(where), "mounts[%zu].uidMappings", i);
		if (check_mapping_list(where, m->uid_mappings, m->n_uid_mappings, e) < 0)
			return -e->code;
		snprintf(where, sizeof(where), "mounts[%zu].gidMappings", i);
		if (check_mapping_list(where, m->gid_mappings, m->n_gid_mappings, e) < 0)
			return -e->code;
	}
	return 0;
}

static bool is_one_of(const char *s, const char *letters)
{
	return s[0] && !s[1] && strchr(letters, s[0]);
}

static int check_devices(const struct spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->linux.n_devices; i++) {
		const struct spec_device *d = &spec->linux.devices[i];

		if (!is_one_of(d->type, "cbup"))
			return bad_item(e, "linux.devices", i, ".type", "one of 'c', 'b', 'u', 'p'",
				d->type);
		if (has_dotdot(d->path))
			return bad_item(
				e, "linux.devices", i, ".path", "a path without '..'", d->path);
		if (*d->type != 'p' && (d->major < 0 || d->major > MAX_MAJOR || d->minor < 0 ||
					       d->minor > MAX_MINOR))
			return err_set(e, EINVAL,
				"linux.devices[%zu]: %" PRId64 ":%" PRId64 " is no device number",
				i, d->major, d->minor);
		/* Docker leaves the file type in. */
		if (d->has_file_mode && d->file_mode & ~0177777u)
			return err_set(e, EINVAL,
				"linux.devices[%zu].fileMode: %" PRIu32
				" has bits that are no permissions",
				i, d->file_mode);
	}
	return 0;
}

static int check_device_rules(const struct spec_resources *r, struct err *e)
{
	static const char list[] = "linux.resources.devices";

	for (size_t i = 0; i < r->n_devices; i++) {
		const struct spec_device_rule *d = &r->devices[i];

		if (d->type && *d->type && !is_one_of(d->type, "abcup"))
			return bad_item(e, list, i, ".type", "one of 'a', 'b', 'c'", d->type);
		if (d->access && (d->access[strspn(d->access, "rwm")] || strlen(d->access) > 3))
			return bad_item(e, list, i, ".access", "letters of 'rwm'", d->access);
		if ((d->has_major && (d->major < -1 || d->major > MAX_MAJOR)) ||
			(d->has_minor && (d->minor < -1 || d->minor > MAX_MINOR)))
			return err_set(e, EINVAL,
				"%s[%zu]: %" PRId64 ":%" PRId64 " is no device number", list, i,
				d->major, d->minor);
	}
	return 0;
}

static int check_resources(const struct spec *spec, struct err *e)
{
	return spec->linux.resources ? spec_resources_check(spec->linux.resources, e) : 0;
}

static int check_paths(const struct spec *spec, struct err *e)
{
	const struct {
		const char *key;
		const struct strv *paths;
	} lists[] = {
		{"linux.maskedPaths", &spec->linux.masked_paths},
		{"linux.readonlyPaths", &spec->linux.readonly_paths},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t j = 0; j < lists[i].paths->n; j++)
			if (*lists[i].paths->v[j] != '/' || has_dotdot(lists[i].paths->v[j]))
				return bad_item(e, lists[i].key, j, "",
					"an absolute path without '..'", lists[i].paths->v[j]);
	if (spec->linux.cgroups_path && has_dotdot(spec->linux.cgroups_path))
		return bad_value(
			e, "linux.cgroupsPath", "a path without '..'", spec->linux.cgroups_path);
	return 0;
}

static int check_propagation(const struct spec *spec, struct err *e)
{
	static const char *const words[] = {"shared", "slave", "private", "unbindable"};
	const char *s = spec->linux.rootfs_propagation;

	if (!s || !*s)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(s + (*s == 'r'), words[i])) /* "rslave" is what Docker writes */
			return 0;
	return bad_value(e, "linux.rootfsPropagation",
		"one of 'shared', 'slave', 'private', 'unbindable'", s);
}

static int check_time(const struct spec *spec, struct err *e)
{
	const struct spec_namespace *ns = spec_ns(spec, SPEC_NS_TIME);

	if ((spec->linux.monotonic || spec->linux.boottime) && (!ns || ns->path))
		return err_set(e, EINVAL,
			"linux.timeOffsets: needs a new namespace of type 'time' in "
			"linux.namespaces");
	return 0;
}

static int check_personality(const struct spec *spec, struct err *e)
{
	const struct spec_personality *p = spec->linux.personality;

	if (!p || str_eq(p->domain, "LINUX") || str_eq(p->domain, "LINUX32"))
		return 0;
	return bad_value(e, "linux.personality.domain", "one of 'LINUX', 'LINUX32'", p->domain);
}

static int check_net_devices(const struct spec *spec, struct err *e)
{
	enum { NAME_BYTES = 15 }; /* IFNAMSIZ - 1 */

	for (size_t i = 0; i < spec->linux.n_net_devices; i++) {
		const struct spec_net_device *d = &spec->linux.net_devices[i];
		const char *both[] = {d->host_name, d->name};

		if (!has_ns(spec, SPEC_NS_NETWORK))
			return err_set(e, EINVAL,
				"linux.netDevices: needs a namespace of type 'network' in "
				"linux.namespaces");
		for (size_t j = 0; j < 2; j++)
			if (both[j] && (!*both[j] || strlen(both[j]) > NAME_BYTES ||
					       strpbrk(both[j], "/ \t\n:") ||
					       !strcmp(both[j], ".") || !strcmp(both[j], "..")))
				return bad_value(e, "linux.netDevices",
					"the name of a network interface", both[j]);
	}
	return 0;
}

static int check_seccomp(const struct spec *spec, struct err *e)
{
	const struct spec_seccomp *s = spec->linux.seccomp;

	if (!s)
		return 0;
	/* The specification's reason: the listener's own system calls would wait for themselves. */
	if (s->default_action == SPEC_ACT_NOTIFY)
		return err_set(
			e, EINVAL, "linux.seccomp.defaultAction: cannot be 'SCMP_ACT_NOTIFY'");
	for (size_t i = 0; i < s->n_syscalls; i++)
		for (size_t j = 0; j < s->syscalls[i].n_args; j++)
			if (s->syscalls[i].args[j].index > 5)
				return err_set(e, EINVAL,
					"linux.seccomp.syscalls[%zu].args[%zu].index: expected an "
					"integer from 0 to 5, found %" PRIu32,
					i, j, s->syscalls[i].args[j].index);
	if (s->listener_metadata && *s->listener_metadata &&
		!(s->listener_path && *s->listener_path))
		return err_set(e, EINVAL,
			"linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath");
	return 0;
}

static int check_hooks(const struct spec *spec, struct err *e)
{
	for (int k = 0; k < SPEC_HOOK_KINDS; k++)
		for (size_t i = 0; i < spec->hooks.list[k].n_items; i++) {
			const struct spec_hook *h = &spec->hooks.list[k].items[i];
			char where[48];

			snprintf(where, sizeof(where), "hooks.%s", spec_hook_names[k]);
			if (!h->path || *h->path != '/')
				return bad_item(e, where, i, ".path", "an absolute path",
					h->path ? h->path : "");
		}
	return 0;
}

static int check_annotations(const struct spec *spec, struct err *e)
{
	for (size_t i = 0; i < spec->annotations.n; i++)
		if (!*spec->annotations.v[i].key)
			return err_set(e, EINVAL, "annotations: a key may not be empty");
	return 0;
}

static int check_process(const struct spec *spec, struct err *e)
{
	return spec->process ? spec_process_check(spec->process, e) : 0;
}

int spec_check(const struct spec *spec, struct err *e)
{
	static int (*const parts[])(const struct spec *, struct err *) = {
		check_version,
		check_namespaces,
		check_mappings,
		check_names,
		check_mounts,
		check_process,
		check_hooks,
		check_annotations,
		check_sysctls,
		check_devices,
		check_resources,
		check_paths,
		check_propagation,
		check_time,
		check_personality,
		check_net_devices,
		check_seccomp,
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i](spec, e) < 0)
			return -e->code;
	return 0;
}

int spec_resources_check(const struct spec_resources *r, struct err *e)
{
	if (check_device_rules(r, e) < 0)
		return -e->code;
	/* Nothing of a cgroup's files may be reached by a name of somebody else's choice. */
	for (size_t i = 0; i < r->unified.n; i++)
		if (strchr(r->unified.v[i].key, '/') || !strchr(r->unified.v[i].key, '.'))
			return bad_value(e, "linux.resources.unified", "the name of a cgroup file",
				r->unified.v[i].key);
	return 0;
}

/* capabilities(7), "Programmatically adjusting capability sets": else capset or prctl say EPERM. */
static int check_capabilities(const struct spec_capabilities *c, struct err *e)
{
	if (c->effective & ~c->permitted)
		return err_set(e, EINVAL,
			"process.capabilities.effective: has '%s', which is not in 'permitted'",
			spec_capability_names[__builtin_ctzll(c->effective & ~c->permitted)]);
	if (c->ambient & ~(c->permitted & c->inheritable))
		return err_set(e, EINVAL,
			"process.capabilities.ambient: has '%s', which is not in both 'permitted' "
			"and 'inheritable'",
			spec_capability_names[__builtin_ctzll(
				c->ambient & ~(c->permitted & c->inheritable))]);
	return 0;
}

static int check_rlimits(const struct spec_process *p, struct err *e)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct spec_rlimit *r = &p->rlimits[i];

		if (seen >> r->type & 1)
			return err_set(e, EINVAL, "process.rlimits[%zu].type: '%s' is given twice",
				i, spec_rlimit_names[r->type]);
		if (r->soft > r->hard)
			return err_set(e, EINVAL,
				"process.rlimits[%zu].soft: %" PRIu64
				" is more than the hard limit %" PRIu64,
				i, r->soft, r->hard);
		seen |= 1u << r->type;
	}
	return 0;
}

int spec_process_check(const struct spec_process *p, struct err *e)
{
	if (!p->cwd || *p->cwd != '/')
		return bad_value(e, "process.cwd", "an absolute path", p->cwd ? p->cwd : "");
	if (p->args.n && !*p->args.v[0])
		return err_set(e, EINVAL, "process.args[0]: expected a string that is not empty");
	if (p->capabilities && check_capabilities(p->capabilities, e) < 0)
		return -e->code;
	return check_rlimits(p, e);
}
