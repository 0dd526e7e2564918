#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "jail/compose.h"
#include "jail/internal.h"

enum { SUBID_BYTES_MAX = 1 << 20 };

/* "jail:BASE:COUNT" in text, when it can hold a fair number of ranges; 0 when there is none. */
static uint32_t pool_in(const char *text)
{
	for (const char *line = text; line && *line;
		line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		unsigned long long base, count;
		char *end;

		if (strncmp(line, "jail:", 5))
			continue;
		base = strtoull(line + 5, &end, 10);
		if (*end != ':')
			continue;
		count = strtoull(end + 1, &end, 10);
		if (base >= IDX_ID_RANGE && count >= IDX_ID_RANGE && base + count <= UINT32_MAX &&
			base + (unsigned long long)IDX_CAPACITY * IDX_ID_RANGE <= UINT32_MAX)
			return (uint32_t)base;
	}
	return 0;
}

/*
 * An entry "jail" in /etc/subuid says where this host's administrator wants the ranges.  Our own
 * pool starts far above what useradd gives to people (100000 upwards) and below the 31st bit.
 */
uint32_t ids_pool(void)
{
	AUTO_FD int fd = open("/etc/subuid", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_BUF struct buf b = {0};
	struct err e = {0};
	uint32_t base = 0;

	if (fd >= 0 && file_read_fd(fd, "/etc/subuid", SUBID_BYTES_MAX, &b, &e) == 0)
		base = pool_in(b.p);
	return base ? base : IDX_ID_POOL;
}

/* ---- plain users ---- */

/* "name" of uid in /etc/passwd's text; false when there is none. */
static bool name_of_uid(const char *text, uint32_t uid, char ret[static 64])
{
	for (const char *line = text; line && *line;
		line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *end = strchr(line, ':'), *id = end ? strchr(end + 1, ':') : NULL;

		if (!id || (size_t)(end - line) >= 64 || strtoull(id + 1, NULL, 10) != uid)
			continue;
		memcpy(ret, line, (size_t)(end - line));
		ret[end - line] = '\0';
		return true;
	}
	return false;
}

/* The first range in /etc/subuid's text of that user, by name or number. */
static bool range_of(
	const char *text, const char *name, uint32_t uid, uint32_t *ret_base, uint32_t *ret_count)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	for (const char *line = text; line && *line;
		line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *end = strchr(line, ':');
		size_t n = end ? (size_t)(end - line) : 0;
		unsigned long long base, count;
		char *rest;

		if (!n || !((n == strlen(name) && !memcmp(line, name, n)) ||
				  (n == strlen(number) && !memcmp(line, number, n))))
			continue;
		base = strtoull(end + 1, &rest, 10);
		count = *rest == ':' ? strtoull(rest + 1, NULL, 10) : 0;
		if (base && count >= 2 && base + count <= UINT32_MAX) {
			*ret_base = (uint32_t)base;
			*ret_count = (uint32_t)MIN(count, IDX_ID_RANGE - 1);
			return true;
		}
	}
	return false;
}

static void read_text(const char *path, struct buf *ret)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct err e = {0};

	if (fd < 0 || file_read_fd(fd, path, SUBID_BYTES_MAX, ret, &e) < 0)
		buf_adds(ret, "");
}

static void add_maps(struct spec_id_mapping **list, size_t *n, struct spec_id_mapping first,
	struct spec_id_mapping second)
{
	*n = second.size ? 2 : 1;
	*list = mem_new_array(*n, sizeof(**list));
	(*list)[0] = first;
	if (second.size)
		(*list)[1] = second;
}

void ids_user_map(struct spec *spec, uint32_t uid, uint32_t gid, bool *ret_root)
{
	AUTO_BUF struct buf passwd = {0}, subuid = {0}, subgid = {0};
	struct spec_id_mapping uids = {.container_id = 1}, gids = {.container_id = 1};
	struct spec_linux *l = &spec->linux;
	char name[64] = "";
	bool ranges;

	read_text("/etc/passwd", &passwd);
	read_text("/etc/subuid", &subuid);
	read_text("/etc/subgid", &subgid);
	name_of_uid(passwd.p, uid, name);
	ranges = range_of(subuid.p, name, uid, &uids.host_id, &uids.size) &&
		 range_of(subgid.p, name, uid, &gids.host_id, &gids.size) &&
		 access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0;
	*ret_root = ranges;
	if (!ranges) {
		/* One id, the same inside and outside: what it makes in a volume is the caller's.
		 */
		add_maps(&l->uid_mappings, &l->n_uid_mappings,
			(struct spec_id_mapping){uid, uid, 1}, (struct spec_id_mapping){0});
		add_maps(&l->gid_mappings, &l->n_gid_mappings,
			(struct spec_id_mapping){gid, gid, 1}, (struct spec_id_mapping){0});
		return;
	}
	add_maps(&l->uid_mappings, &l->n_uid_mappings, (struct spec_id_mapping){0, uid, 1}, uids);
	add_maps(&l->gid_mappings, &l->n_gid_mappings, (struct spec_id_mapping){0, gid, 1}, gids);
}

static int run_map_tool(
	const char *tool, pid_t pid, const struct spec_id_mapping *m, size_t n, struct err *e)
{
	struct strv argv AUTO_STRV = {0};
	int status, r;

	strv_add(&argv, tool);
	strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; i < n; i++) {
		strv_addf(&argv, "%u", m[i].container_id);
		strv_addf(&argv, "%u", m[i].host_id);
		strv_addf(&argv, "%u", m[i].size);
	}
	r = proc_run(
		&(struct proc_cmd){.path = tool, .argv = argv.v, .timeout_ms = 10000}, &status, e);
	if (r < 0)
		return r;
	return status ? err_set(e, EPERM,
				"'%s' refused the id map; check /etc/subuid and /etc/subgid", tool)
		      : 0;
}

int ids_write_maps(pid_t pid, const struct spec_linux *l, struct err *e)
{
	if (run_map_tool("/usr/bin/newgidmap", pid, l->gid_mappings, l->n_gid_mappings, e) < 0)
		return -e->code;
	return run_map_tool("/usr/bin/newuidmap", pid, l->uid_mappings, l->n_uid_mappings, e);
}
