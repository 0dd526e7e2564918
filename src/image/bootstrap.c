/*
 * A distribution made from its packages by mmdebstrap: apt verifies signatures and digests, and the
 * tar it writes is imported like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "image/ops.h"

enum { TIMEOUT_MS = 3600 * 1000 };

static const struct {
	const char *name, *suite; /* suite: when none is said */
} distributions[] = {
	{"debian", "stable"},
	{"ubuntu", "noble"},
};

/* "debian" or "debian:bookworm"; nothing that mmdebstrap could take for an option or a file. */
static int take_suite(const char *text, char **ret, struct err *e)
{
	size_t n = strcspn(text, ":");

	for (size_t i = 0; i < ARRAY_SIZE(distributions); i++) {
		const char *suite = text[n] ? text + n + 1 : distributions[i].suite;

		if (strlen(distributions[i].name) != n || strncmp(text, distributions[i].name, n))
			continue;
		if (!*suite || *suite == '-' ||
			strspn(suite, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(suite))
			return err_set(
				e, EINVAL, "'%.60s' is not a suite such as debian:bookworm", text);
		*ret = str_dup(suite);
		return 0;
	}
	return err_set(e, EINVAL,
		"'%.60s' is not a distribution that can be made here; known are debian and ubuntu",
		text);
}

static int check_words(const char *what, const struct strv *words, struct err *e)
{
	for (size_t i = 0; i < words->n; i++)
		if (words->v[i][0] == '-' || strpbrk(words->v[i], "\n\r"))
			return err_set(e, EINVAL,
				"%s '%.100s' begins with '-' or holds a line break", what,
				words->v[i]);
	return 0;
}

static void pass_proxies(struct strv *env)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "no_proxy"};

	strv_add(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(env, "LC_ALL=C");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (getenv(names[i]))
			strv_addf(env, "%s=%s", names[i], getenv(names[i]));
}

static int run_mmdebstrap(
	const struct img_bootstrap *b, const char *suite, const char *tar, struct err *e)
{
	static const char path[] = "/usr/bin/mmdebstrap";
	AUTO_STRV struct strv argv = {0}, env = {0};
	AUTO_BUF struct buf out = {0};
	int status;

	if (access(path, X_OK) < 0)
		return err_set(e, ENOENT,
			"making a distribution needs '%s'; install the package mmdebstrap", path);
	strv_add(&argv, path);
	strv_add(&argv, "--quiet");
	strv_add(&argv, "--format=tar");
	strv_addf(&argv, "--variant=%s", b->variant ? b->variant : "minbase");
	for (size_t i = 0; i < b->include.n; i++)
		strv_addf(&argv, "--include=%s", b->include.v[i]);
	strv_add(&argv, suite);
	strv_add(&argv, tar);
	for (size_t i = 0; i < b->mirrors.n; i++)
		strv_add(&argv, b->mirrors.v[i]);
	pass_proxies(&env);
	if (proc_run(&(struct proc_cmd){.path = path,
			     .argv = argv.v,
			     .envp = env.v,
			     .output = &out,
			     .timeout_ms = TIMEOUT_MS},
		    &status, e) < 0)
		return err_prefix(e, "cannot make '%s'", suite);
	if (proc_exit_code(status)) {
		AUTO_FREE char *seen = str_visible(out.n > 600 ? out.p + out.n - 600
						   : out.n     ? out.p
							       : "");

		return err_set(
			e, EIO, "mmdebstrap failed (exit %d): %s", proc_exit_code(status), seen);
	}
	return 0;
}

int img_bootstrap(const struct img_job *job, const struct img_bootstrap *b, const char *name,
	struct img_config *config, struct img_names *ret, struct err *e)
{
	AUTO_FREE char *suite = NULL, *tar = NULL;
	char tmp[IMG_TMP_NAME];
	AUTO_FD int dir = -EBADF;
	int r;

	if (take_suite(b->what, &suite, e) < 0 || check_words("package", &b->include, e) < 0 ||
		check_words("mirror", &b->mirrors, e) < 0)
		return -e->code;
	if (b->variant && strspn(b->variant, "abcdefghijklmnopqrstuvwxyz") != strlen(b->variant))
		return err_set(e, EINVAL, "'%.60s' is not a variant of mmdebstrap", b->variant);
	dir = img_tmp_new(job->store, tmp, e);
	if (dir < 0)
		return dir;
	tar = str_fmt("%s/tmp/%s/root.tar", job->store->path, tmp);
	img_report(job, &(struct img_event){.stage = "bootstrap", .text = suite});
	r = run_mmdebstrap(b, suite, tar, e);
	if (r >= 0) {
		AUTO_FD int fd = openat(dir, "root.tar", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		r = fd < 0 ? err_sys(e, "mmdebstrap wrote no archive")
			   : img_import(job, fd, IMG_IMPORT_ROOT, NULL, name ? name : b->what,
				     config, ret, e);
	}
	img_tmp_drop(job->store, tmp);
	return r;
}
