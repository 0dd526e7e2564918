#include "vm/initramfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/kernel.h"
#include "vm/package.h"

enum { MODULE_BYTES_MAX = 16 << 20 };

/*
 * In the order of insertion: what depends after what it needs.  A module that is built in is
 * left out; an optional one may be missing.
 */
static const struct {
	const char *name;
	bool optional;
	bool later; /* inserted when the agent has called: nothing before needs it */
} modules[] = {
	{"virtio_ring"},
	{"virtio"},
	{"virtio_mmio"},
	{"virtio_pci_legacy_dev",
		.optional = true}, /* for QEMU only: the agent leaves them out elsewhere */
	{"virtio_pci_modern_dev", .optional = true},
	{"virtio_pci", .optional = true},
	{"vsock"},
	{"vmw_vsock_virtio_transport_common"},
	{"vmw_vsock_virtio_transport"},
	{"virtio_blk"},
	{"crc16", .optional = true},
	{"crc32c_generic", .optional = true},
	{"libcrc32c", .optional = true},
	{"mbcache", .optional = true},
	{"jbd2", .optional = true},
	{"ext4"},
	{"erofs"},
	{"overlay"},
	{"failover", .later = true},
	{"net_failover", .later = true},
	{"virtio_net", .later = true},
	{"rng-core", .optional = true, .later = true},
	{"virtio-rng", .optional = true, .later = true},
	{"virtio_balloon", .optional = true, .later = true},
};

struct found {
	struct buf module[ARRAY_SIZE(modules)];
	char *builtin; /* modules.builtin, owned */
};

void vm_cpio_add(struct buf *b, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
	const void *p, size_t n)
{
	/* The inode number tells hard links apart only; a file each. */
	buf_addf(b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		(unsigned int)b->n, mode, 0u, 0u, 1u, 0u, (unsigned int)n, 0u, 0u, major, minor,
		(unsigned int)strlen(name) + 1, 0u);
	buf_add(b, name, strlen(name) + 1);
	buf_add(b, "\0\0\0", (4 - b->n % 4) % 4);
	if (n)
		buf_add(b, p, n);
	buf_add(b, "\0\0\0", (4 - b->n % 4) % 4);
}

void vm_cpio_end(struct buf *b)
{
	vm_cpio_add(b, "TRAILER!!!", 0, 0, 0, NULL, 0);
}

void vm_agent_archive(const void *program, size_t n, struct buf *ret)
{
	vm_cpio_add(ret, "dev", S_IFDIR | 0755, 0, 0, NULL, 0);
	vm_cpio_add(ret, "dev/console", S_IFCHR | 0600, 5, 1, NULL, 0);
	vm_cpio_add(ret, "dev/null", S_IFCHR | 0666, 1, 3, NULL, 0);
	vm_cpio_add(ret, "init", S_IFREG | 0755, 0, 0, program, n);
	vm_cpio_end(ret);
}

/* "…/virtio_blk.ko.xz" -> the index in modules, or -1. */
static int module_index(const char *path)
{
	const char *base = strrchr(path, '/'), *dot;

	base = base ? base + 1 : path;
	dot = strstr(base, ".ko");
	for (size_t i = 0; dot && i < ARRAY_SIZE(modules); i++)
		if (strlen(modules[i].name) == (size_t)(dot - base) &&
			!strncmp(modules[i].name, base, (size_t)(dot - base)))
			return (int)i;
	return -1;
}

/* A line of modules.builtin ends with "/virtio_pci.ko". */
static bool is_builtin(const struct found *f, const char *name)
{
	AUTO_FREE char *line = str_fmt("/%s.ko\n", name);

	return f->builtin && strstr(f->builtin, line);
}

static int take_entry(
	struct vm_kernel_files *k, struct found *f, const struct vm_tar_entry *t, struct err *e)
{
	const char *name = str_starts(t->name, "usr/") ? t->name + 4 : t->name;
	int i;

	if (t->type != '0')
		return 0;
	if (str_starts(name, "boot/vmlinuz-") && !k->flat.n) {
		str_set(&k->release, name + strlen("boot/vmlinuz-"));
		return vm_kernel_flatten(t->p, t->n, &k->flat, e);
	}
	if (!str_starts(name, "lib/modules/"))
		return 0;
	if (str_ends(name, "/modules.builtin") && !f->builtin)
		f->builtin = str_dup_n(t->p, t->n);
	i = module_index(name);
	if (i < 0 || f->module[i].n)
		return 0;
	if (vm_unpack(vm_packing_of(t->p, t->n), t->p, t->n, MODULE_BYTES_MAX, &f->module[i], e) <
		0)
		return err_prefix(e, "module '%s'", name);
	return 0;
}

static int add_modules(struct vm_kernel_files *k, const struct found *f, struct err *e)
{
	AUTO_BUF struct buf now = {0}, later = {0};

	vm_cpio_add(&k->modules, "lib", S_IFDIR | 0755, 0, 0, NULL, 0);
	vm_cpio_add(&k->modules, "lib/modules", S_IFDIR | 0755, 0, 0, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		AUTO_FREE char *path = str_fmt("lib/modules/%s.ko", modules[i].name);

		if (!f->module[i].n && (modules[i].optional || is_builtin(f, modules[i].name)))
			continue;
		if (!f->module[i].n)
			return err_set(e, ENOENT,
				"kernel %s has no module '%s', which a guest needs; take Debian's "
				"linux-image-cloud-amd64",
				k->release, modules[i].name);
		vm_cpio_add(
			&k->modules, path, S_IFREG | 0644, 0, 0, f->module[i].p, f->module[i].n);
		buf_addf(modules[i].later ? &later : &now, "%s.ko\n", modules[i].name);
	}
	vm_cpio_add(&k->modules, "modules", S_IFREG | 0644, 0, 0, now.p ? now.p : "", now.n);
	vm_cpio_add(&k->modules, "modules.later", S_IFREG | 0644, 0, 0, later.p ? later.p : "",
		later.n);
	vm_cpio_end(&k->modules);
	return 0;
}

static int read_package(const void *p, size_t n, struct vm_kernel_files *k, struct err *e)
{
	AUTO_BUF struct buf data = {0};
	struct vm_tar tar = {0};
	struct vm_tar_entry entry;
	struct found found = {0};
	int r = vm_deb_data(p, n, &data, e);

	tar.p = data.p;
	tar.n = data.n;
	while (r >= 0 && (r = vm_tar_next(&tar, &entry, e)) > 0)
		r = take_entry(k, &found, &entry, e);
	if (r >= 0 && !k->flat.n)
		r = err_set(
			e, ENOENT, "the package holds no kernel; take one named linux-image-...");
	if (r >= 0)
		r = add_modules(k, &found, e);
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		buf_release(&found.module[i]);
	free(found.builtin);
	return r;
}

int vm_kernel_files_read(const void *p, size_t n, struct vm_kernel_files *ret, struct err *e)
{
	struct vm_kernel_files k = {0};
	int r;

	if (n >= 8 && !memcmp(p, "!<arch>\n", 8)) {
		r = read_package(p, n, &k, e);
	} else {
		k.release = str_dup("unknown");
		r = vm_kernel_flatten(p, n, &k.flat, e);
	}
	if (r < 0) {
		vm_kernel_files_release(&k);
		return r;
	}
	*ret = k;
	return 0;
}

void vm_kernel_files_release(struct vm_kernel_files *k)
{
	free(k->release);
	k->release = NULL;
	buf_release(&k->flat);
	buf_release(&k->modules);
}
