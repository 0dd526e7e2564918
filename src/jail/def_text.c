/* The small languages of options: text to members of a definition. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/path.h"
#include "jail/internal.h"
#include "spec/spec.h"

/* Splits text at sep, at most max parts; the last takes the rest.  Owned strings. */
static void split(const char *text, char sep, size_t max, struct strv *ret)
{
	for (;;) {
		const char *end = ret->n + 1 < max ? strchr(text, sep) : NULL;

		strv_take(ret, end ? str_dup_n(text, (size_t)(end - text)) : str_dup(text));
		if (!end)
			return;
		text = end + 1;
	}
}

static int absolute(const char *what, const char *path, char **ret, struct err *e)
{
	char *cwd;

	if (!*path)
		return err_set(e, EINVAL, "%s is empty", what);
	if (*path == '/') {
		*ret = path_clean(path);
		return 0;
	}
	if (path[0] != '.' && !strchr(path, '/'))
		return err_set(e, EINVAL,
			"%s '%s' is neither an absolute path nor one that starts with './'", what,
			path);
	cwd = get_current_dir_name();
	if (!cwd)
		return err_sys(e, "cannot tell the current folder");
	AUTO_FREE char *joined = str_fmt("%s/%s", cwd, path);
	free(cwd);
	*ret = path_clean(joined);
	return 0;
}

static int inside(const char *what, const char *path, char **ret, struct err *e)
{
	if (*path != '/')
		return err_set(
			e, EINVAL, "%s '%s' is not an absolute path in the jail", what, path);
	if (strstr(path, "/../") || str_ends(path, "/.."))
		return err_set(e, EINVAL, "%s '%s' has a '..' in it", what, path);
	*ret = path_clean(path);
	return 0;
}

struct word {
	const char *name;
	size_t offset; /* of a bool */
	bool value;
};

static int set_words(
	const struct word *words, size_t n, void *obj, char *list, const char *text, struct err *e)
{
	char *save = NULL;

	for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < n && strcmp(words[i].name, w))
			i++;
		if (i == n)
			return err_set(e, EINVAL,
				"volume '%s': '%s' is not one of ro, rw, noexec, dev, suid, nomap",
				text, w);
		if (words[i].offset != SIZE_MAX)
			*(bool *)((char *)obj + words[i].offset) = words[i].value;
	}
	return 0;
}

int jail_def_add_volume(struct jail_def *def, const char *text, struct err *e)
{
	static const struct word words[] = {
		{"ro", offsetof(struct jail_volume, ro), true},
		{"rw", offsetof(struct jail_volume, ro), false},
		{"noexec", offsetof(struct jail_volume, noexec), true},
		{"dev", offsetof(struct jail_volume, dev), true},
		{"suid", offsetof(struct jail_volume, suid), true},
		{"nomap", offsetof(struct jail_volume, no_map), true},
	};
	struct strv part AUTO_STRV = {0};
	struct jail_volume v = {0};
	size_t cap = def->n_volumes;
	int r;

	split(text, ':', 3, &part);
	if (part.n < 2)
		return err_set(e, EINVAL,
			"volume '%s' is not of the form SOURCE:DESTINATION[:ro,...]", text);
	r = absolute("source of the volume", part.v[0], &v.source, e);
	if (!r)
		r = inside("destination of the volume", part.v[1], &v.destination, e);
	if (!r && part.n == 3)
		r = set_words(words, ARRAY_SIZE(words), &v, part.v[2], text, e);
	if (r < 0) {
		free(v.source);
		free(v.destination);
		return r;
	}
	def->volumes = mem_grow(def->volumes, &cap, def->n_volumes + 1, sizeof(v));
	def->volumes[def->n_volumes++] = v;
	return 0;
}

static int tmpfs_option(struct jail_tmpfs *t, const char *o, const char *text, struct err *e)
{
	mode_t mode;

	if (str_starts(o, "size="))
		return parse_size(o + 5, &t->size_bytes, e);
	if (str_starts(o, "mode=")) {
		if (parse_mode(o + 5, &mode, e) < 0)
			return -e->code;
		t->mode = mode;
		return 0;
	}
	if (!strcmp(o, "exec"))
		t->exec = true;
	else
		return err_set(e, EINVAL,
			"tmpfs '%s': '%s' is not one of size=SIZE, mode=MODE, exec", text, o);
	return 0;
}

int jail_def_add_tmpfs(struct jail_def *def, const char *text, struct err *e)
{
	struct strv part AUTO_STRV = {0}, options AUTO_STRV = {0};
	struct jail_tmpfs t = {0};
	size_t cap = def->n_tmpfs;
	int r;

	split(text, ':', 2, &part);
	if (part.n == 2)
		split(part.v[1], ',', SIZE_MAX, &options);
	for (size_t i = 0; i < options.n; i++)
		if (tmpfs_option(&t, options.v[i], text, e) < 0)
			return -e->code;
	r = inside("destination of the tmpfs", part.v[0], &t.destination, e);
	if (r < 0)
		return r;
	def->tmpfs = mem_grow(def->tmpfs, &cap, def->n_tmpfs + 1, sizeof(t));
	def->tmpfs[def->n_tmpfs++] = t;
	return 0;
}

int jail_def_add_device(struct jail_def *def, const char *text, struct err *e)
{
	struct strv part AUTO_STRV = {0};
	struct jail_device d = {0};
	size_t cap = def->n_devices;
	int r;

	split(text, ':', 3, &part);
	r = absolute("device", part.v[0], &d.source, e);
	if (!r && part.n > 1 && *part.v[1])
		r = inside("device in the jail", part.v[1], &d.destination, e);
	if (r < 0) {
		free(d.source);
		return r;
	}
	if (part.n > 2)
		d.access = str_dup(part.v[2]);
	def->devices = mem_grow(def->devices, &cap, def->n_devices + 1, sizeof(d));
	def->devices[def->n_devices++] = d;
	return 0;
}

int jail_def_set_restart(struct jail_def *def, const char *text, struct err *e)
{
	uint64_t max = 0;

	if (!strcmp(text, "no"))
		def->restart.policy = JAIL_RESTART_NO;
	else if (!strcmp(text, "always"))
		def->restart.policy = JAIL_RESTART_ALWAYS;
	else if (!strcmp(text, "on-failure") || str_starts(text, "on-failure:")) {
		if (text[10] && parse_u64(text + 11, 1, 1000000, &max, e) < 0)
			return err_prefix(e, "restart policy '%s'", text);
		def->restart.policy = JAIL_RESTART_ON_FAILURE;
	} else {
		return err_set(e, EINVAL,
			"restart policy '%s' is not one of no, on-failure[:N], always", text);
	}
	def->restart.max_retries = max;
	return 0;
}

int jail_def_set_root(struct jail_def *def, const char *text, struct err *e)
{
	bool rw = str_ends(text, ":rw"), ro = str_ends(text, ":ro");
	AUTO_FREE char *path = str_dup_n(text, strlen(text) - (rw || ro ? 3 : 0));
	AUTO_FREE char *joined = NULL;
	char *clean, *cwd;

	if (!*path)
		return err_set(e, EINVAL, "the root directory is empty");
	if (*path != '/') {
		cwd = get_current_dir_name();
		if (!cwd)
			return err_sys(e, "cannot tell the current folder");
		joined = str_fmt("%s/%s", cwd, path);
		free(cwd);
	}
	clean = path_clean(joined ? joined : path);
	free(def->root.path);
	def->root.path = clean;
	def->root.kind = JAIL_ROOT_DIR;
	def->root.rw = rw;
	return 0;
}

int jail_def_set_log(struct jail_def *def, const char *text, struct err *e)
{
	struct strv part AUTO_STRV = {0};
	uint64_t bytes, files = 0;

	if (!strcmp(text, "none")) {
		def->log.none = true;
		return 0;
	}
	split(text, ':', 2, &part);
	if (parse_size(part.v[0], &bytes, e) < 0 ||
		(part.n > 1 && parse_u64(part.v[1], 1, 100, &files, e) < 0))
		return err_prefix(e, "log '%s' is not of the form none or SIZE[:FILES]", text);
	def->log.none = false;
	def->log.max_bytes = bytes;
	def->log.files = (uint32_t)files;
	return 0;
}

static int limit_value(const char *s, uint64_t *ret, struct err *e)
{
	if (!strcmp(s, "max") || !strcmp(s, "unlimited") || !strcmp(s, "-1")) {
		*ret = UINT64_MAX;
		return 0;
	}
	return parse_size(s, ret, e);
}

int jail_limits_add_rlimit(struct jail_limits *l, const char *text, struct err *e)
{
	struct strv part AUTO_STRV = {0}, values AUTO_STRV = {0};
	struct jail_rlimit v = {.type = -1};
	size_t cap = l->n_rlimits;

	split(text, '=', 2, &part);
	for (int i = 0; spec_rlimit_names[i]; i++) /* "RLIMIT_NOFILE" or "nofile" */
		if (!strcasecmp(part.v[0], spec_rlimit_names[i]) ||
			!strcasecmp(part.v[0], spec_rlimit_names[i] + 7))
			v.type = i;
	if (v.type < 0 || part.n < 2)
		return err_set(e, EINVAL,
			"limit '%s' is not of the form NAME=SOFT[:HARD], such as nofile=1024:4096",
			text);
	split(part.v[1], ':', 2, &values);
	if (limit_value(values.v[0], &v.soft, e) < 0 ||
		limit_value(values.v[values.n - 1], &v.hard, e) < 0)
		return err_prefix(e, "limit '%s'", text);
	for (size_t i = 0; i < l->n_rlimits; i++)
		if (l->rlimits[i].type == v.type) {
			l->rlimits[i] = v;
			return 0;
		}
	l->rlimits = mem_grow(l->rlimits, &cap, l->n_rlimits + 1, sizeof(v));
	l->rlimits[l->n_rlimits++] = v;
	return 0;
}

int jail_limits_add_io(struct jail_limits *l, const char *which, const char *text, struct err *e)
{
	const struct {
		const char *name;
		struct jail_io_rate **list;
		size_t *n;
	} lists[] = {
		{"read-bps", &l->read_bps, &l->n_read_bps},
		{"write-bps", &l->write_bps, &l->n_write_bps},
		{"read-iops", &l->read_iops, &l->n_read_iops},
		{"write-iops", &l->write_iops, &l->n_write_iops},
	};
	struct strv part AUTO_STRV = {0};
	struct jail_io_rate rate = {0};

	split(text, ':', 2, &part);
	if (part.n < 2 || part.v[0][0] != '/')
		return err_set(e, EINVAL,
			"%s '%s' is not of the form DEVICE:RATE, such as /dev/vda:10M", which,
			text);
	if (parse_size(part.v[1], &rate.rate, e) < 0)
		return err_prefix(e, "%s '%s'", which, text);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		size_t cap = *lists[i].n;

		if (strcmp(lists[i].name, which))
			continue;
		rate.device = path_clean(part.v[0]);
		*lists[i].list = mem_grow(*lists[i].list, &cap, *lists[i].n + 1, sizeof(rate));
		(*lists[i].list)[(*lists[i].n)++] = rate;
		return 0;
	}
	return err_set(
		e, EINVAL, "'%s' is not one of read-bps, write-bps, read-iops, write-iops", which);
}
