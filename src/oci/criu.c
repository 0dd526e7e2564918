/*
 * Checkpoint and restore by criu(8), run as a program: it has to be the same version as the
 * kernel anyway, and it is not installed where nobody needs it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "oci/internal.h"

enum { CRIU_TIMEOUT_MS = 10 * 60 * 1000 };

static int find_criu(const struct oci_criu_opts *x, const char **ret, struct err *e)
{
	static const char *const places[] = {
		"/usr/sbin/criu", "/usr/bin/criu", "/usr/local/sbin/criu"};

	if (x->criu && *x->criu == '/') {
		*ret = x->criu;
		return access(x->criu, X_OK) < 0 ? err_sys(e, "cannot execute '%s'", x->criu) : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0) {
			*ret = places[i];
			return 0;
		}
	return err_set(e, ENOENT,
		"checkpoint and restore need the program 'criu', which is not installed; install "
		"the package 'criu'");
}

static void common_args(struct strv *argv, const char *criu, const char *verb,
	const struct oci_criu_opts *x, const char *images)
{
	const struct {
		bool given;
		const char *option;
	} flags[] = {{x->tcp_established, "--tcp-established"}, {x->ext_unix_sk, "--ext-unix-sk"},
		{x->shell_job, "--shell-job"}, {x->file_locks, "--file-locks"},
		{x->auto_dedup, "--auto-dedup"}};

	strv_add(argv, criu);
	strv_add(argv, verb);
	strv_add(argv, "--images-dir");
	strv_add(argv, images);
	if (x->work_path) {
		strv_add(argv, "--work-dir");
		strv_add(argv, x->work_path);
	}
	strv_addf(argv, "--manage-cgroups=%s", x->cgroups_mode ? x->cgroups_mode : "soft");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].given)
			strv_add(argv, flags[i].option);
}

/* What is mounted from outside is named, so that restore can put its own there. */
static void external_mounts(struct strv *argv, const struct spec *spec, bool restore)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *m = &spec->mounts[i];

		if (!strv_has(&m->options, "bind") && !strv_has(&m->options, "rbind"))
			continue;
		strv_add(argv, "--external");
		if (restore)
			strv_addf(argv, "mnt[%s]:%s", m->destination, m->source);
		else
			strv_addf(argv, "mnt[%s]:%s", m->destination, m->destination);
	}
}

static int run_criu(
	const struct strv *argv, const struct oci_criu_opts *x, const char *what, struct err *e)
{
	AUTO_BUF struct buf output = {0};
	const struct proc_cmd cmd = {.path = argv->v[0],
		.argv = argv->v,
		.output = &output,
		.timeout_ms = CRIU_TIMEOUT_MS};
	int status;

	if (proc_run(&cmd, &status, e) < 0)
		return err_prefix(e, "cannot %s", what);
	if (status) {
		AUTO_FREE char *said = str_visible(output.n > 300 ? output.p + output.n - 300
						   : output.n     ? output.p
								  : "");

		return err_set(e, EIO, "cannot %s: criu ended with %d: %s; its log is in '%s'",
			what, proc_exit_code(status), said,
			x->work_path ? x->work_path : x->image_path);
	}
	return 0;
}

static int image_dir(const char *path, bool make, char **ret, struct err *e)
{
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make the image directory '%s'", path);
	*ret = realpath(path, NULL);
	return *ret ? 0 : err_sys(e, "cannot open the image directory '%s'", path);
}

static int dump(struct container *c, const struct oci_criu_opts *x, struct err *e)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_FREE char *images = NULL;
	const char *criu;

	if (find_criu(x, &criu, e) < 0 || container_load_spec(c, e) < 0 ||
		image_dir(x->image_path ? x->image_path : "checkpoint", true, &images, e) < 0)
		return -e->code;
	common_args(&argv, criu, x->pre_dump ? "pre-dump" : "dump", x, images);
	strv_add(&argv, "--tree");
	strv_addf(&argv, "%d", (int)c->rec.pid);
	strv_add(&argv, "--root");
	strv_add(&argv, c->rec.rootfs);
	strv_add(&argv, "--log-file");
	strv_add(&argv, "dump.log");
	if (x->parent_path) {
		strv_add(&argv, "--prev-images-dir");
		strv_add(&argv, x->parent_path);
	}
	if (x->pre_dump)
		strv_add(&argv, "--track-mem");
	if (x->leave_running && !x->pre_dump)
		strv_add(&argv, "--leave-running");
	external_mounts(&argv, &c->spec, false);
	return run_criu(&argv, x, "checkpoint", e);
}

int oci_checkpoint(struct oci *o, const char *id, const struct oci_criu_opts *x, struct err *e)
{
	AUTO_CONTAINER struct container c = CONTAINER_INIT;
	enum oci_status status;

	if (container_open(o, id, CONTAINER_LOCK, &c, e) < 0)
		return -e->code;
	status = container_status(&c);
	if (status != OCI_RUNNING && status != OCI_PAUSED)
		return err_set(e, EBUSY, "cannot checkpoint container '%s' in the '%s' state", id,
			oci_status_names[status]);
	return dump(&c, x, e);
}

static int read_restored_pid(const struct container *c, pid_t *ret, struct err *e)
{
	AUTO_BUF struct buf text = {0};

	if (file_read(c->dir_fd, "restored.pid", 32, &text, e) < 0)
		return err_prefix(e, "criu told no pid");
	*ret = (pid_t)strtol(text.p, NULL, 10);
	return *ret > 0 ? 0 : err_set(e, EPROTO, "criu told no pid");
}

int criu_restore(struct container *c, const struct oci_criu_opts *x, pid_t *ret, struct err *e)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_FREE char *images = NULL;
	const char *criu;

	if (find_criu(x, &criu, e) < 0 ||
		image_dir(x->image_path ? x->image_path : "checkpoint", false, &images, e) < 0)
		return -e->code;
	common_args(&argv, criu, "restore", x, images);
	strv_add(&argv, "--root");
	strv_add(&argv, c->rec.rootfs);
	strv_add(&argv, "--log-file");
	strv_add(&argv, "restore.log");
	/* Its child is ours after that, by way of the subreaper. */
	strv_add(&argv, "--restore-detached");
	strv_add(&argv, "--pidfile");
	strv_addf(&argv, "%s/%s/restored.pid", c->o->root, c->rec.id);
	external_mounts(&argv, &c->spec, true);
	if (run_criu(&argv, x, "restore", e) < 0)
		return -e->code;
	return read_restored_pid(c, ret, e);
}
