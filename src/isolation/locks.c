/*
 * Locks beside the namespaces: keyring, security label, Landlock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "isolation/confine.h"

int iso_keyring_new(bool *ret_made, struct err *e)
{
	long r = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);

	if (r < 0 && errno != ENOSYS && errno != EPERM && errno != EACCES) {
		err_sys(e, "cannot make a session keyring");
		if (e->code == EDQUOT)
			return err_hint(
				e, "raise sysctl kernel.keys.maxkeys and kernel.keys.maxbytes");
		return -e->code;
	}
	*ret_made = r >= 0;
	return 0;
}

static const struct label_kind {
	const char *module;
	const char *paths[2]; /* the module's own file, then the one all modules share */
	const char *format;
} apparmor_kind = {"AppArmor", {"self/attr/apparmor/exec", "self/attr/exec"}, "exec %s"},
  selinux_kind = {"SELinux", {"self/attr/exec", NULL}, "%s"};

enum { LABEL_BYTES_MAX = 1024 };

static int open_label(int proc_fd, const struct label_kind *k, struct err *e)
{
	AUTO_FD int fd = -1;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(k->paths) && k->paths[i] && fd < 0; i++)
		fd = openat(proc_fd, k->paths[i], O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, "cannot set the %s label: cannot open '%s' of procfs", k->module,
			k->paths[0]);
	r = file_check_fs(fd, FILE_PROC, k->paths[0], e);
	return r < 0 ? r : fd_take(&fd);
}

static int write_label(int proc_fd, const struct label_kind *k, const char *label, struct err *e)
{
	char text[LABEL_BYTES_MAX];
	AUTO_FD int fd = -1;
	int n;

	if (!label || !*label)
		return 0;
	n = snprintf(text, sizeof(text), k->format, label);
	if (n < 0 || (size_t)n >= sizeof(text))
		return err_set(e, ENAMETOOLONG, "the %s label is too long", k->module);
	fd = open_label(proc_fd, k, e);
	if (fd < 0)
		return fd;
	if (write(fd, text, (size_t)n) == n)
		return 0;
	if (errno == EINVAL || errno == EOPNOTSUPP)
		return err_set(e, EOPNOTSUPP,
			"cannot set the %s label '%.200s': %s is not active on this host, or does "
			"not "
			"know the label; leave it out or see jail doctor",
			k->module, label, k->module);
	return err_sys(e, "cannot set the %s label '%.200s'", k->module, label);
}

int iso_exec_label_apply(int proc_fd, const char *apparmor, const char *selinux, struct err *e)
{
	int r = write_label(proc_fd, &apparmor_kind, apparmor, e);

	return r < 0 ? r : write_label(proc_fd, &selinux_kind, selinux, e);
}

/* struct landlock_ruleset_attr of ABI 6; older kernels take it when the tail is zero. */
struct ruleset {
	uint64_t handled_fs, handled_net, scoped;
};
enum {
	CREATE_VERSION = 1 << 0,
	NET_BIND_TCP = 1 << 0,
	NET_CONNECT_TCP = 1 << 1,
	ABI_NET = 4,
	ABI_SCOPE = 6,
};

int iso_landlock_abi(void)
{
	long r = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return r < 0 ? 0 : (int)r;
}

int iso_landlock_apply(const struct iso_landlock *ask, struct iso_landlock *ret_got, struct err *e)
{
	int abi = iso_landlock_abi();
	struct iso_landlock got = {
		.scope = abi >= ABI_SCOPE ? ask->scope & (ISO_LANDLOCK_SCOPE_ABSTRACT |
								 ISO_LANDLOCK_SCOPE_SIGNAL)
					  : 0,
		.deny_bind = ask->deny_bind && abi >= ABI_NET,
		.deny_connect = ask->deny_connect && abi >= ABI_NET,
	};
	struct ruleset rules = {
		.handled_net = (got.deny_bind ? NET_BIND_TCP : 0) |
			       (got.deny_connect ? NET_CONNECT_TCP : 0),
		.scoped = got.scope,
	};
	AUTO_FD int fd = -1;

	if (rules.handled_net || rules.scoped) {
		/* What is handled and has no rule is denied. */
		fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
		if (fd < 0)
			return err_sys(e, "cannot make a landlock ruleset");
		if (syscall(SYS_landlock_restrict_self, fd, 0) < 0) {
			err_sys(e, "cannot lock with landlock");
			return err_hint(e, "it needs no_new_privs or CAP_SYS_ADMIN");
		}
	}
	*ret_got = got;
	return 0;
}
