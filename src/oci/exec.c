/*
 * exec: one more program in a running container.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/proc.h"
#include "oci/internal.h"

/* "uid" or "uid:gid". */
static int set_user(const char *text, struct spec_user *u, struct err *e)
{
	const char *colon = strchr(text, ':');
	AUTO_FREE char *uid = colon ? str_dup_n(text, (size_t)(colon - text)) : str_dup(text);

	if (parse_id(uid, &u->uid, e) < 0 || (colon && parse_id(colon + 1, &u->gid, e) < 0))
		return err_prefix(e, "--user");
	return 0;
}

static int add_gids(const struct strv *gids, struct spec_user *u, struct err *e)
{
	u->additional_gids = realloc(u->additional_gids,
		(u->n_additional_gids + gids->n + 1) * sizeof(*u->additional_gids));
	if (!u->additional_gids)
		return err_set(e, ENOMEM, "out of memory");
	for (size_t i = 0; i < gids->n; i++)
		if (parse_id(gids->v[i], &u->additional_gids[u->n_additional_gids++], e) < 0)
			return err_prefix(e, "--additional-gids");
	return 0;
}

static int add_cap(const char *name, struct spec_process *p, struct err *e)
{
	for (int i = 0; spec_capability_names[i]; i++)
		if (!strcmp(spec_capability_names[i], name)) {
			uint64_t bit = UINT64_C(1) << i;

			p->capabilities->bounding |= bit;
			p->capabilities->effective |= bit;
			p->capabilities->permitted |= bit;
			return 0;
		}
	return err_set(e, EINVAL, "--cap: '%.40s' is not a capability, such as CAP_NET_RAW", name);
}

static int add_caps(const struct strv *caps, struct spec_process *p, struct err *e)
{
	if (!p->capabilities)
		p->capabilities = mem_new(sizeof(*p->capabilities));
	for (size_t i = 0; i < caps->n; i++)
		if (add_cap(caps->v[i], p, e) < 0)
			return -e->code;
	return 0;
}

/* "NAME" or "NAME=VALUE", which takes the place of what was there. */
static int add_env(const struct strv *env, struct spec_process *p, struct err *e)
{
	for (size_t i = 0; i < env->n; i++) {
		const char *eq = strchr(env->v[i], '=');
		AUTO_FREE char *name = eq ? str_dup_n(env->v[i], (size_t)(eq - env->v[i])) : NULL;

		if (!eq || eq == env->v[i])
			return err_set(
				e, EINVAL, "--env: expected NAME=VALUE, found '%.64s'", env->v[i]);
		strv_setenv(&p->env, name, eq + 1);
	}
	return 0;
}

/* The container's own process, changed by single options. */
static int compose(const struct container *c, const struct oci_exec_opts *x, struct spec_process *p,
	struct err *e)
{
	if (!x->args || !x->args->n)
		return err_set(e, EINVAL, "exec needs a program or --process");
	if (c->spec.process)
		spec_process_copy(p, c->spec.process);
	strv_release(&p->args);
	strv_copy(&p->args, x->args);
	p->terminal = x->tty;
	p->no_new_privileges |= x->no_new_privs;
	if (x->cwd)
		str_set(&p->cwd, x->cwd);
	if (x->apparmor)
		str_set(&p->apparmor_profile, x->apparmor);
	if (x->process_label)
		str_set(&p->selinux_label, x->process_label);
	if ((x->user && set_user(x->user, &p->user, e) < 0) ||
		(x->additional_gids && x->additional_gids->n &&
			add_gids(x->additional_gids, &p->user, e) < 0) ||
		(x->caps && x->caps->n && add_caps(x->caps, p, e) < 0) ||
		(x->env && add_env(x->env, p, e) < 0))
		return -e->code;
	return 0;
}

static int load_process(const char *path, bool tty, struct spec_process *p, struct err *e)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", path);
	/* Engines hand it over as a pipe, too. */
	if (file_read_fd(fd, path, CONFIG_MAX_BYTES, &text, e) < 0)
		return -e->code;
	if (spec_process_load(text.p, text.n, p, e) < 0)
		return err_prefix(e, "'%s'", path);
	p->terminal |= tty;
	if (!p->args.n)
		return err_set(e, EINVAL, "'%s': args: required, but missing", path);
	return 0;
}

static int check_status(const struct container *c, const struct oci_exec_opts *x, struct err *e)
{
	enum oci_status status = container_status(c);

	if (status == OCI_STOPPED)
		return err_set(
			e, ESRCH, "cannot exec in a stopped container: container not running");
	if (status == OCI_PAUSED && !x->ignore_paused)
		return err_set(e, EBUSY, "cannot exec in a paused container (use --ignore-paused)");
	if (status == OCI_CREATING)
		return err_set(e, EBUSY, "cannot exec in container '%s' in the 'creating' state",
			c->rec.id);
	return 0;
}

static int check_terminal(
	const struct spec_process *p, const struct oci_exec_opts *x, struct err *e)
{
	if (x->console_socket && !p->terminal)
		return err_set(e, EINVAL, "terminal: must be true with --console-socket");
	if (p->terminal && x->detach && !x->console_socket)
		return err_set(e, EINVAL, "a terminal needs --console-socket with --detach");
	return spec_process_check(p, e);
}

/* What one exec holds. */
struct execution {
	struct container c;
	struct spec_process process;
	struct iso_cgroup cgroup;
	struct iso_filter filter;
	struct iso_jail jail;
	int pidfd;
	int *fds;
	size_t n_fds;
};

static int join(struct execution *ex, const struct oci_exec_opts *x, struct err *e)
{
	struct iso_exec_opts o = {
		.spec = &ex->c.spec,
		.process = &ex->process,
		.jail_pidfd = ex->pidfd,
		.cgroup = ex->c.rec.cgroup ? &ex->cgroup : NULL,
		.filter = ex->c.spec.linux.seccomp ? &ex->filter : NULL,
		.stdio = {-1, -1, -1},
		.extra_fds = ex->fds,
		.n_extra_fds = ex->n_fds,
	};

	if (iso_exec(&o, &ex->jail, e) < 0)
		return -e->code;
	if (send_seccomp_listener(&ex->c, ex->jail.notify_fd, ex->jail.pid, OCI_RUNNING, e) < 0 ||
		announce_process(x->console_socket, x->pid_file, x->pidfd_socket, &ex->jail, e) <
			0) {
		proc_signal(ex->jail.pidfd, SIGKILL);
		return -e->code;
	}
	return 0;
}

static int prepare(struct execution *ex, const struct oci_exec_opts *x, struct err *e)
{
	struct container *c = &ex->c;
	AUTO_FREE char *group = NULL;

	if (check_status(c, x, e) < 0 || container_load_spec(c, e) < 0)
		return -e->code;
	ex->pidfd = container_pidfd(c);
	if (ex->pidfd < 0)
		return err_set(
			e, ESRCH, "cannot exec in a stopped container: container not running");
	if ((x->process ? load_process(x->process, x->tty, &ex->process, e)
			: compose(c, x, &ex->process, e)) < 0 ||
		check_terminal(&ex->process, x, e) < 0 || filter_of(c, &ex->filter, e) < 0 ||
		handed_fds(x->preserve_fds, &ex->process.env, &ex->fds, &ex->n_fds, e) < 0)
		return -e->code;
	/* NULL means the container's own set, which its configuration still names in full. */
	if (!ex->process.capabilities && c->spec.process)
		drop_capabilities_not_held(c, c->spec.process->capabilities);
	drop_capabilities_not_held(c, ex->process.capabilities);
	if (!c->rec.cgroup)
		return 0;
	if (x->cgroup && (strstr(x->cgroup, "..") || *x->cgroup == '\0'))
		return err_set(e, EINVAL,
			"--cgroup: '%s' is not a path below the container's cgroup", x->cgroup);
	group = x->cgroup ? str_fmt("%s/%s", c->rec.cgroup, x->cgroup) : str_dup(c->rec.cgroup);
	return iso_cgroup_open(group, &ex->cgroup, e);
}

int oci_exec(struct oci *o, const char *id, const struct oci_exec_opts *x, struct oci_running *ret,
	struct err *e)
{
	struct execution ex = {
		.c = CONTAINER_INIT, .cgroup = ISO_CGROUP_INIT, .jail = ISO_JAIL_INIT, .pidfd = -1};
	int r = container_open(o, id, CONTAINER_READ, &ex.c, e);

	if (r >= 0)
		r = prepare(&ex, x, e);
	if (r >= 0)
		r = join(&ex, x, e);
	if (r >= 0) {
		ret->pid = ex.jail.pid;
		ret->pidfd = fd_take(&ex.jail.pidfd);
		ret->console_fd = x->console_socket ? -1 : fd_take(&ex.jail.console_fd);
	}
	container_release(&ex.c);
	spec_process_release(&ex.process);
	iso_cgroup_release(&ex.cgroup);
	iso_filter_release(&ex.filter);
	iso_jail_release(&ex.jail);
	fd_close(&ex.pidfd);
	free(ex.fds);
	return r;
}
