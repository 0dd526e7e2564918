#include "isolation/mount_opts.h"

#include <errno.h>
#include <sys/mount.h>

enum word_kind {
	WORD_IGNORE,
	WORD_SET,
	WORD_CLEAR,
	WORD_ATIME,
	WORD_REC_SET,
	WORD_REC_CLEAR,
	WORD_REC_ATIME,
	WORD_PROPAGATION,
	WORD_REC_PROPAGATION,
	WORD_BIND,
	WORD_RBIND,
	WORD_REMOUNT,
	WORD_IDMAP,
	WORD_RIDMAP,
	WORD_COPY_UP,
	WORD_SUPERBLOCK,
};

static const struct word {
	const char *name;
	enum word_kind kind;
	uint64_t value;
} words[] = {
	{"defaults", WORD_IGNORE, 0},
	{"loud", WORD_IGNORE, 0},
	{"silent", WORD_IGNORE, 0},
	{"iversion", WORD_IGNORE, 0},
	{"noiversion", WORD_IGNORE, 0},
	{"mand", WORD_IGNORE, 0}, /* gone from the kernel since 5.15 */
	{"nomand", WORD_IGNORE, 0},
	{"async", WORD_IGNORE, 0},
	{"nolazytime", WORD_IGNORE, 0},
	{"ro", WORD_SET, MOUNT_ATTR_RDONLY},
	{"rw", WORD_CLEAR, MOUNT_ATTR_RDONLY},
	{"nosuid", WORD_SET, MOUNT_ATTR_NOSUID},
	{"suid", WORD_CLEAR, MOUNT_ATTR_NOSUID},
	{"nodev", WORD_SET, MOUNT_ATTR_NODEV},
	{"dev", WORD_CLEAR, MOUNT_ATTR_NODEV},
	{"noexec", WORD_SET, MOUNT_ATTR_NOEXEC},
	{"exec", WORD_CLEAR, MOUNT_ATTR_NOEXEC},
	{"nodiratime", WORD_SET, MOUNT_ATTR_NODIRATIME},
	{"diratime", WORD_CLEAR, MOUNT_ATTR_NODIRATIME},
	{"nosymfollow", WORD_SET, MOUNT_ATTR_NOSYMFOLLOW},
	{"symfollow", WORD_CLEAR, MOUNT_ATTR_NOSYMFOLLOW},
	{"relatime", WORD_ATIME, MOUNT_ATTR_RELATIME},
	{"norelatime", WORD_ATIME, MOUNT_ATTR_RELATIME},
	{"atime", WORD_ATIME, MOUNT_ATTR_RELATIME},
	{"noatime", WORD_ATIME, MOUNT_ATTR_NOATIME},
	{"strictatime", WORD_ATIME, MOUNT_ATTR_STRICTATIME},
	{"nostrictatime", WORD_ATIME, MOUNT_ATTR_RELATIME},
	{"rro", WORD_REC_SET, MOUNT_ATTR_RDONLY},
	{"rrw", WORD_REC_CLEAR, MOUNT_ATTR_RDONLY},
	{"rnosuid", WORD_REC_SET, MOUNT_ATTR_NOSUID},
	{"rsuid", WORD_REC_CLEAR, MOUNT_ATTR_NOSUID},
	{"rnodev", WORD_REC_SET, MOUNT_ATTR_NODEV},
	{"rdev", WORD_REC_CLEAR, MOUNT_ATTR_NODEV},
	{"rnoexec", WORD_REC_SET, MOUNT_ATTR_NOEXEC},
	{"rexec", WORD_REC_CLEAR, MOUNT_ATTR_NOEXEC},
	{"rnodiratime", WORD_REC_SET, MOUNT_ATTR_NODIRATIME},
	{"rdiratime", WORD_REC_CLEAR, MOUNT_ATTR_NODIRATIME},
	{"rnosymfollow", WORD_REC_SET, MOUNT_ATTR_NOSYMFOLLOW},
	{"rsymfollow", WORD_REC_CLEAR, MOUNT_ATTR_NOSYMFOLLOW},
	{"rrelatime", WORD_REC_ATIME, MOUNT_ATTR_RELATIME},
	{"rnorelatime", WORD_REC_ATIME, MOUNT_ATTR_RELATIME},
	{"ratime", WORD_REC_ATIME, MOUNT_ATTR_RELATIME},
	{"rnoatime", WORD_REC_ATIME, MOUNT_ATTR_NOATIME},
	{"rstrictatime", WORD_REC_ATIME, MOUNT_ATTR_STRICTATIME},
	{"rnostrictatime", WORD_REC_ATIME, MOUNT_ATTR_RELATIME},
	{"private", WORD_PROPAGATION, MS_PRIVATE},
	{"shared", WORD_PROPAGATION, MS_SHARED},
	{"slave", WORD_PROPAGATION, MS_SLAVE},
	{"unbindable", WORD_PROPAGATION, MS_UNBINDABLE},
	{"rprivate", WORD_REC_PROPAGATION, MS_PRIVATE},
	{"rshared", WORD_REC_PROPAGATION, MS_SHARED},
	{"rslave", WORD_REC_PROPAGATION, MS_SLAVE},
	{"runbindable", WORD_REC_PROPAGATION, MS_UNBINDABLE},
	{"bind", WORD_BIND, 0},
	{"rbind", WORD_RBIND, 0},
	{"remount", WORD_REMOUNT, 0},
	{"idmap", WORD_IDMAP, 0},
	{"ridmap", WORD_RIDMAP, 0},
	{"tmpcopyup", WORD_COPY_UP, 0},
	{"sync", WORD_SUPERBLOCK, 0},
	{"dirsync", WORD_SUPERBLOCK, 0},
	{"lazytime", WORD_SUPERBLOCK, 0},
};

static const struct word *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].name, name))
			return &words[i];
	return NULL;
}

/* A later word undoes an earlier one: "ro,rw" is rw. */
static void set_bits(uint64_t *set, uint64_t *clear, uint64_t bits)
{
	*set |= bits;
	*clear &= ~bits;
}

/* The access-time mode is one field: it is cleared whole before a value is set. */
static void set_atime(uint64_t *set, uint64_t *clear, uint64_t mode)
{
	*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | mode;
	*clear |= MOUNT_ATTR__ATIME;
}

static void apply(const struct word *w, struct mount_opts *o)
{
	switch (w->kind) {
	case WORD_IGNORE:
		break;
	case WORD_SET:
		set_bits(&o->set, &o->clear, w->value);
		break;
	case WORD_CLEAR:
		set_bits(&o->clear, &o->set, w->value);
		break;
	case WORD_ATIME:
		set_atime(&o->set, &o->clear, w->value);
		break;
	case WORD_REC_SET:
		set_bits(&o->rec_set, &o->rec_clear, w->value);
		break;
	case WORD_REC_CLEAR:
		set_bits(&o->rec_clear, &o->rec_set, w->value);
		break;
	case WORD_REC_ATIME:
		set_atime(&o->rec_set, &o->rec_clear, w->value);
		break;
	case WORD_PROPAGATION:
		o->propagation = w->value;
		o->rec_propagation = false;
		break;
	case WORD_REC_PROPAGATION:
		o->propagation = w->value;
		o->rec_propagation = true;
		break;
	case WORD_BIND:
		o->bind = true;
		break;
	case WORD_RBIND:
		o->bind = o->recursive = true;
		break;
	case WORD_REMOUNT:
		o->remount = true;
		break;
	case WORD_IDMAP:
		o->idmap = true;
		break;
	case WORD_RIDMAP:
		o->idmap = o->rec_idmap = true;
		break;
	case WORD_COPY_UP:
		o->copy_up = true;
		break;
	case WORD_SUPERBLOCK:
		strv_add(&o->data, w->name);
		break;
	}
}

int mount_opts_parse(const struct spec_mount *m, struct mount_opts *ret, struct err *e)
{
	struct mount_opts o = {0};

	o.bind = str_eq(m->type, "bind") || str_eq(m->type, "rbind");
	o.recursive = str_eq(m->type, "rbind");
	for (size_t i = 0; i < m->options.n; i++) {
		const struct word *w = find(m->options.v[i]);

		if (w)
			apply(w, &o);
		else
			strv_add(&o.data, m->options.v[i]);
	}
	if (o.bind && o.data.n) {
		err_set(e, EINVAL, "mount on '%s': '%.64s' is not an option of a bind mount", m->destination, o.data.v[0]);
		mount_opts_release(&o);
		return -EINVAL;
	}
	if (m->n_uid_mappings || m->n_gid_mappings)
		o.idmap = true;
	if (o.idmap && !o.bind) {
		mount_opts_release(&o);
		return err_set(e, EINVAL, "mount on '%s': id mappings need a bind mount", m->destination);
	}
	*ret = o;
	return 0;
}

void mount_opts_release(struct mount_opts *o)
{
	strv_release(&o->data);
}
