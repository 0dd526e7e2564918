/*
 * Who "user:group" is, by the jail's own /etc/passwd and /etc/group.
 *
 * Both files were written by whoever made the image.  They are opened below the root by
 * openat2, must be regular files, and are read up to a limit; a line that does not parse is
 * no line; and nothing of their content ever reaches an error.  Numbers are numbers: a name
 * that consists of digits is never looked up, or an image could make "1000" mean 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/path.h"
#include "isolation/isolation.h"
#include "isolation/user.h"

enum {
	FILE_BYTES_MAX = 8 << 20,
	NAME_BYTES_MAX = 256,
	HOME_BYTES_MAX = 4096,
	GROUPS_MAX = 65536, /* NGROUPS_MAX of the kernel */
	FIELDS_MAX = 7,
};

/* A piece of a file: not a string, as it may hold anything. */
struct piece {
	const char *p;
	size_t n;
};

struct passwd_line {
	struct piece name, home;
	uint32_t uid, gid;
};
struct group_line {
	struct piece name, members;
	uint32_t gid;
};

static bool piece_is(struct piece a, struct piece b)
{
	return a.n == b.n && a.n && !memcmp(a.p, b.p, a.n);
}

static bool piece_is_number(struct piece a)
{
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
	return a.n > 0;
}

/* Takes what is before the separator off the front of rest. */
static struct piece piece_cut(struct piece *rest, char separator)
{
	const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
	struct piece first = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
	size_t used = first.n + (end != NULL);

	*rest = (struct piece){rest->p + used, rest->n - used};
	return first;
}

static int piece_id(struct piece a, uint32_t *ret, struct err *e)
{
	char text[16];

	if (!piece_is_number(a) || a.n >= sizeof(text))
		return err_set(e, ERANGE, "an id is 0..4294967294");
	memcpy(text, a.p, a.n);
	text[a.n] = '\0';
	return parse_id(text, ret, e);
}

static size_t split(struct piece line, struct piece fields[static FIELDS_MAX])
{
	size_t n = 0;

	for (; n < FIELDS_MAX && line.n; n++)
		fields[n] = piece_cut(&line, ':');
	return n;
}

static bool parse_passwd(struct piece line, struct passwd_line *ret)
{
	struct piece f[FIELDS_MAX] = {0};
	struct err ignored;

	if (split(line, f) < 4 || piece_id(f[2], &ret->uid, &ignored) < 0 ||
		piece_id(f[3], &ret->gid, &ignored) < 0)
		return false;
	ret->name = f[0];
	ret->home = f[5];
	return true;
}

static bool parse_group(struct piece line, struct group_line *ret)
{
	struct piece f[FIELDS_MAX] = {0};
	struct err ignored;

	if (split(line, f) < 3 || piece_id(f[2], &ret->gid, &ignored) < 0)
		return false;
	ret->name = f[0];
	ret->members = f[3];
	return true;
}

static bool has_member(struct piece members, struct piece name)
{
	while (members.n)
		if (piece_is(piece_cut(&members, ','), name))
			return true;
	return false;
}

/* The file's text; none where there is no file. */
static int read_table(int root_fd, const char *path, struct buf *ret, struct err *e)
{
	AUTO_FD int look = path_try(root_fd, path, O_PATH, PATH_IN_ROOT);
	AUTO_FD int fd = -1;
	struct stat st;

	if (look == -ENOENT || look == -ENOTDIR)
		return 0;
	if (look < 0)
		return err_set(
			e, -look, "cannot open '%s' of the jail: %s", path, strerrordesc_np(-look));
	/* First looked at, then opened: opening a device can do something already. */
	if (fstat(look, &st) < 0)
		return err_sys(e, "cannot examine '%s' of the jail", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "'%s' of the jail is not a regular file", path);
	if (st.st_size > FILE_BYTES_MAX)
		return err_set(
			e, EFBIG, "'%s' of the jail is larger than %d bytes", path, FILE_BYTES_MAX);
	fd = path_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, PATH_IN_ROOT, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "'%s' of the jail is not a regular file", path);
	return file_read_fd(fd, path, FILE_BYTES_MAX, ret, e);
}

struct lookup {
	const struct buf *passwd, *group;
	struct piece user, group_name; /* as asked for */
	bool has_group;
	bool found; /* a line of passwd */
	struct passwd_line line;
	uint32_t uid, gid;
	uint32_t *gids;
	size_t n_gids, cap_gids;
};

static void lookup_release(struct lookup *l)
{
	free(l->gids);
}

static int ask(struct lookup *l, const char *text, struct err *e)
{
	struct piece rest = {text, strlen(text)};

	l->user = piece_cut(&rest, ':');
	l->has_group = l->user.n < strlen(text);
	l->group_name = piece_cut(&rest, ':');
	if (!l->user.n || (l->has_group && !l->group_name.n) || rest.n ||
		(l->has_group && text[strlen(text) - 1] == ':') || l->user.n > NAME_BYTES_MAX ||
		l->group_name.n > NAME_BYTES_MAX)
		return err_set(e, EINVAL, "expected user, user:group, uid or uid:gid");
	return 0;
}

/* The line of the user, by number when it is one. */
static int find_user(struct lookup *l, struct err *e)
{
	struct piece rest = {l->passwd->p, l->passwd->n};
	bool number = piece_is_number(l->user);
	struct passwd_line line;
	int r = number ? piece_id(l->user, &l->uid, e) : 0;

	if (r < 0)
		return r;
	while (rest.n && !l->found) {
		struct piece text = piece_cut(&rest, '\n');

		if (!parse_passwd(text, &line) ||
			!(number ? line.uid == l->uid : piece_is(line.name, l->user)))
			continue;
		l->line = line;
		l->found = true;
	}
	if (!l->found && !number)
		return err_set(e, ENOENT, "no such user in the jail's '/etc/passwd'");
	if (l->found) {
		l->uid = l->line.uid;
		l->gid = l->line.gid;
	}
	return 0;
}

static int find_group(struct lookup *l, struct err *e)
{
	struct piece rest = {l->group->p, l->group->n};
	struct group_line line;

	if (piece_is_number(l->group_name))
		return piece_id(l->group_name, &l->gid, e);
	while (rest.n)
		if (parse_group(piece_cut(&rest, '\n'), &line) &&
			piece_is(line.name, l->group_name)) {
			l->gid = line.gid;
			return 0;
		}
	return err_set(e, ENOENT, "no such group in the jail's '/etc/group'");
}

static int add_gid(struct lookup *l, uint32_t gid, struct err *e)
{
	if (l->n_gids == GROUPS_MAX)
		return err_set(
			e, E2BIG, "the user is in more than %d groups of '/etc/group'", GROUPS_MAX);
	l->gids = mem_grow(l->gids, &l->cap_gids, l->n_gids + 1, sizeof(*l->gids));
	l->gids[l->n_gids++] = gid;
	return 0;
}

static int compare_gids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Each once, the first in its place. */
static void unique_gids(struct lookup *l)
{
	size_t kept = 1;

	qsort(l->gids + 1, l->n_gids - 1, sizeof(*l->gids), compare_gids);
	for (size_t i = 1; i < l->n_gids; i++)
		if (l->gids[i] != l->gids[0] && l->gids[i] != l->gids[kept - 1])
			l->gids[kept++] = l->gids[i];
	l->n_gids = kept;
}

/*
 * The primary group is among the additional ones too: a program that changes its gid must
 * not shed what the primary group denies.  A group that was asked for by name stands alone.
 */
static int find_groups(struct lookup *l, struct err *e)
{
	struct piece rest = {l->group->p, l->group->n};
	struct group_line line;
	int r = add_gid(l, l->gid, e);

	while (!r && rest.n && l->found && !l->has_group)
		if (parse_group(piece_cut(&rest, '\n'), &line) &&
			has_member(line.members, l->line.name))
			r = add_gid(l, line.gid, e);
	if (!r)
		unique_gids(l);
	return r;
}

static char *home_of(const struct lookup *l)
{
	struct piece h = l->line.home;

	if (!l->found || !h.n || h.n > HOME_BYTES_MAX || h.p[0] != '/' || memchr(h.p, '\0', h.n))
		return NULL;
	return str_dup_n(h.p, h.n);
}

static int look_up(struct lookup *l, const char *text, struct err *e)
{
	int r = ask(l, text, e);

	if (!r)
		r = find_user(l, e);
	if (!r && l->has_group)
		r = find_group(l, e);
	return r < 0 ? r : find_groups(l, e);
}

static int name_user(const char *text, struct err *e)
{
	AUTO_FREE char *shown = str_visible(text);

	return err_prefix(e, "user '%.80s'", shown);
}

int iso_user_find(const struct buf *passwd, const struct buf *group, const char *text,
	struct spec_user *ret, char **ret_home, struct err *e)
{
	__attribute__((cleanup(lookup_release))) struct lookup l = {
		.passwd = passwd, .group = group};

	if (look_up(&l, text, e) < 0)
		return name_user(text, e);
	ret->uid = l.uid;
	ret->gid = l.gid;
	free(ret->additional_gids);
	ret->additional_gids = mem_take(&l.gids);
	ret->n_additional_gids = l.n_gids;
	if (ret_home)
		*ret_home = home_of(&l);
	return 0;
}

/*
 * Who is asked for by number is that number also where the file cannot be used: what it would
 * add is a home and groups.
 */
static int read_for(
	int root_fd, const char *path, const char *asked, struct buf *ret, struct err *e)
{
	int r = read_table(root_fd, path, ret, e);

	return r < 0 && piece_is_number((struct piece){asked, strcspn(asked, ":")}) ? 0 : r;
}

int iso_user_lookup(
	int root_fd, const char *text, struct spec_user *ret, char **ret_home, struct err *e)
{
	const char *colon = strchr(text, ':');
	AUTO_BUF struct buf passwd = {0}, group = {0};
	int r = read_for(root_fd, "/etc/passwd", text, &passwd, e);

	if (!r)
		r = read_for(root_fd, "/etc/group", colon ? colon + 1 : text, &group, e);
	return r < 0 ? name_user(text, e) : iso_user_find(&passwd, &group, text, ret, ret_home, e);
}
