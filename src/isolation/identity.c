/*
 * C becomes root of its own namespaces, and they get their names and settings.
 */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "isolation/stages.h"

/* Whether a map gives the jail that id. */
static bool maps(const struct spec_id_mapping *m, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= m[i].container_id && id - m[i].container_id < m[i].size)
			return true;
	return false;
}

int identity_root(struct start *s, struct err *e)
{
	const struct spec_linux *l = &s->spec->linux;
	bool joined = s->ns_join[SPEC_NS_USER] >= 0;
	int r = proc_set_title(s->proc_fd, "jail-init");

	if (r < 0)
		return err_set(e, -r, "cannot hide the command line: %s", strerrordesc_np(-r));

	/*
	 * Where the only id is the caller's own, C stays who it is: its capabilities in the new
	 * user namespace do not depend on being uid 0.
	 */
	if ((s->new_user && maps(l->gid_mappings, l->n_gid_mappings, 0)) || joined)
		if (syscall(SYS_setresgid, 0, 0, 0) < 0)
			return err_sys(e, "cannot become group 0 of the jail");
	if ((s->new_user && maps(l->uid_mappings, l->n_uid_mappings, 0)) || joined)
		if (syscall(SYS_setresuid, 0, 0, 0) < 0)
			return err_sys(e, "cannot become user 0 of the jail");
	/*
	 * What is inside must not trace or read this process while it holds more than it will;
	 * the change of ids has just made it so, and this does where there was none.
	 */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, "cannot become unreadable");
	if (s->o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "cannot ask to die with the parent");
	return 0;
}

static int loopback_up(struct err *e)
{
	AUTO_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (sock < 0 && errno == EAFNOSUPPORT)
		return 0; /* a kernel without IPv4 has no loopback to raise this way */
	if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		return err_sys(e, "cannot bring the loopback interface up");
	return 0;
}

int identity_names(struct start *s, struct err *e)
{
	const struct spec *spec = s->spec;

	if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_sys(e, "cannot set the host name '%s'", spec->hostname);
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_sys(e, "cannot set the domain name '%s'", spec->domainname);
	return s->ns_new & CLONE_NEWNET ? loopback_up(e) : 0;
}

/* "net.ipv4.ip_forward" is sys/net/ipv4/ip_forward; a '/' in a name stands for a '.' of the file. */
static char *sysctl_path(const char *name)
{
	char *path = str_fmt("sys/%s", name);

	for (char *p = path + 4; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

int identity_sysctl(struct start *s, struct err *e)
{
	const struct strmap *m = &s->spec->linux.sysctl;

	for (size_t i = 0; i < m->n; i++) {
		AUTO_FREE char *path = sysctl_path(m->v[i].key);

		if (file_write_kernel(s->proc_fd, path, FILE_PROC, m->v[i].value, e) < 0)
			return err_prefix(e, "sysctl '%s'", m->v[i].key);
	}
	return 0;
}
