/* exec: one more program under the policy that this process holds. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "jail/super_int.h"

struct request {
	struct strv args, env; /* v owned, the strings not */
	const char *user, *cwd;
};

/* The request's strings, each ended by NUL, all within n bytes. */
static int parse(const struct msg *m, char *text, size_t n, struct request *ret, struct err *e)
{
	size_t total = (size_t)m->n_args + m->n_env + 2, at = 0;
	char **all;

	if (!m->n_args || total > MSG_STRINGS_MAX || !n || text[n - 1])
		return err_set(e, EPROTO, "the exec request is malformed");
	all = mem_new_array(total + 2, sizeof(*all));
	for (size_t i = 0; i < total; i++) {
		if (at >= n) {
			free(all);
			return err_set(e, EPROTO, "the exec request is malformed");
		}
		all[i] = text + at;
		at += strlen(text + at) + 1;
	}
	ret->user = all[total - 2];
	ret->cwd = all[total - 1];
	ret->args.v = mem_new_array((size_t)m->n_args + 1, sizeof(char *));
	ret->env.v = mem_new_array((size_t)m->n_env + 1, sizeof(char *));
	memcpy(ret->args.v, all, m->n_args * sizeof(char *));
	memcpy(ret->env.v, all + m->n_args, m->n_env * sizeof(char *));
	ret->args.n = m->n_args;
	ret->env.n = m->n_env;
	free(all);
	return 0;
}

/* In a child: enters the jail and hands its root out.  Nothing else happens there. */
static void __attribute__((noreturn)) fetch_root(const int *ns_fds, int sock)
{
	int fd = -1;

	if (setns(ns_fds[SPEC_NS_USER], CLONE_NEWUSER) == 0 &&
		setns(ns_fds[SPEC_NS_MOUNT], CLONE_NEWNS) == 0)
		fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_exit(fd < 0 || fd_send(sock, "", 1, &fd, 1) < 0);
}

/* Where the init's /proc entry is closed to us (plain users), by the namespaces of its birth. */
static int root_by_namespace(struct super *s, struct err *e)
{
	AUTO_FD int pidfd = -1;
	int pair[2], fd = -1, status;
	size_t n_fds = 1;
	pid_t pid;
	char c;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot open the jail's root");
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0)
		fetch_root(s->up.jail.ns_fds, pair[1]);
	close(pair[1]);
	if (pid > 0 && fd_recv(pair[0], &c, 1, &fd, &n_fds) != 1)
		fd = -1;
	close(pair[0]);
	if (pid > 0)
		proc_wait(pidfd, &status);
	return fd < 0 ? err_set(e, EACCES, "cannot open the jail's root") : fd;
}

/* The jail's root as its init sees it: that process is our child, so the pid cannot be another's.
 */
static int open_root(struct super *s, struct err *e)
{
	char path[48];
	int fd;

	if (s->up.jail.ns_fds[SPEC_NS_USER] >= 0 && s->up.jail.ns_fds[SPEC_NS_MOUNT] >= 0)
		return root_by_namespace(s, e);
	snprintf(path, sizeof(path), "/proc/%d/root", (int)s->up.jail.pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "cannot open the jail's root") : fd;
}

static int choose_user(
	struct super *s, const char *text, struct spec_process *p, char **ret_home, struct err *e)
{
	const struct spec_process *own = s->up.c->spec.process;
	AUTO_FD int root = -1;

	if (!*text) {
		p->user = own->user;
		p->user.additional_gids =
			own->user.n_additional_gids
				? mem_dup(own->user.additional_gids,
					  own->user.n_additional_gids * sizeof(gid_t))
				: NULL;
		return 0;
	}
	root = open_root(s, e);
	if (root < 0)
		return root;
	if (iso_user_lookup(root, text, &p->user, ret_home, e) < 0)
		return err_prefix(e, "cannot run as user '%s'", text);
	return 0;
}

static void make_env(struct super *s, const struct request *rq, const char *home,
	const struct msg *m, struct spec_process *p)
{
	strv_copy(&p->env, &s->up.c->spec.process->env);
	if (*rq->user)
		strv_setenv(&p->env, "HOME", home ? home : p->user.uid == 0 ? "/root" : "/");
	if (m->terminal && !strv_getenv(&p->env, "TERM"))
		strv_setenv(&p->env, "TERM", "xterm");
	for (size_t i = 0; i < rq->env.n; i++) {
		const char *eq = strchr(rq->env.v[i], '=');
		AUTO_FREE char *name =
			eq && eq > rq->env.v[i]
				? str_dup_n(rq->env.v[i], (size_t)(eq - rq->env.v[i]))
				: NULL;

		if (name)
			strv_setenv(&p->env, name, eq + 1);
	}
}

static int make_process(struct super *s, const struct request *rq, const struct msg *m,
	struct spec_process *p, struct err *e)
{
	const struct spec_process *own = s->up.c->spec.process;
	AUTO_FREE char *home = NULL;

	if (choose_user(s, rq->user, p, &home, e) < 0)
		return -e->code;
	make_env(s, rq, home, m, p);
	strv_copy(&p->args, &rq->args);
	p->terminal = m->terminal;
	p->console_size.height = m->rows ? m->rows : 24;
	p->console_size.width = m->cols ? m->cols : 80;
	p->cwd = str_dup(*rq->cwd ? rq->cwd : own->cwd);
	p->capabilities = mem_new(sizeof(*p->capabilities));
	p->capabilities->bounding = s->caps;
	if (p->user.uid == 0)
		p->capabilities->effective = p->capabilities->permitted = s->caps;
	p->no_new_privileges = true;
	p->has_oom_score_adj = true;
	p->oom_score_adj = JAIL_OOM_SCORE;
	for (size_t i = 0; i < own->n_rlimits; i++)
		spec_add_rlimit(
			p, own->rlimits[i].type, own->rlimits[i].soft, own->rlimits[i].hard);
	return spec_process_check(p, e);
}

static void on_exec_end(struct super *s, struct source *src, uint32_t events)
{
	struct running *r = (struct running *)src;
	int status = 0;

	(void)events;
	if (proc_wait(src->fd, &status) < 0)
		status = 0;
	if (r->conn) {
		r->conn->exec = NULL;
		send_msg(s, r->conn, MSG_EXIT, proc_exit_code(status), -1);
	}
	for (struct running **p = &s->execs; *p; p = &(*p)->next)
		if (*p == r) {
			*p = r->next;
			break;
		}
	source_close(s, &r->src);
	free(r);
}

static int run(struct super *s, const struct spec_process *p, const int *fds, struct iso_jail *ret,
	struct err *e)
{
	const struct iso_exec_opts o = {.spec = &s->up.c->spec,
		.process = p,
		.jail_pidfd = s->up.jail.pidfd,
		.ns_fds = s->up.jail.ns_fds,
		.cgroup = &s->up.cg,
		.filter = s->up.c->has_filter ? &s->up.c->filter : NULL,
		.stdio = {fds ? fds[0] : -1, fds ? fds[1] : -1, fds ? fds[2] : -1},
		.landlock = s->up.c->opts.landlock,
		.clamp_rlimits = true};

	if (iso_cgroup_ready(&s->up.cg, e) < 0)
		return -e->code;
	return iso_exec(&o, ret, e);
}

int super_exec(struct super *s, struct conn *c, const struct msg *m, char *text, size_t n, int *fds,
	size_t n_fds, int *ret_terminal, struct err *e)
{
	struct iso_jail j = ISO_JAIL_INIT;
	struct spec_process p = {0};
	struct request rq = {0};
	struct running *r;
	int ret;

	if (c->exec || c->main)
		return err_set(e, EBUSY, "this connection holds a program already");
	if (s->phase != PHASE_UP || s->up.jail.pidfd < 0)
		return err_set(e, ESRCH, "jail '%s' is not running", s->name);
	if (!m->terminal && n_fds != 3)
		return err_set(e, EPROTO, "the exec request lacks its descriptors");
	ret = parse(m, text, n, &rq, e);
	if (!ret)
		ret = make_process(s, &rq, m, &p, e);
	if (!ret)
		ret = run(s, &p, m->terminal ? NULL : fds, &j, e);
	free(rq.args.v);
	free(rq.env.v);
	spec_process_release(&p);
	if (ret < 0)
		return ret;
	r = mem_new(sizeof(*r));
	r->src = (struct source){.on = on_exec_end, .fd = fd_take(&j.pidfd)};
	r->conn = c;
	r->next = s->execs;
	s->execs = r;
	c->exec = r;
	source_add(s, &r->src, EPOLLIN);
	*ret_terminal = fd_take(&j.console_fd);
	iso_jail_release(&j);
	super_event(s, JAIL_EV_EXEC, 0, text);
	return 0;
}
