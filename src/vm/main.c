/*
 * jail-vmm: one virtual machine, from its options to its end.
 *
 *	jail-vmm --kernel vmlinux --initrd agent.cpio --memory 256M --cpus 2 --serial 1
 *	jail-vmm kernel linux-image.deb DIR	DIR/vmlinux, DIR/modules.cpio, DIR/release
 *	jail-vmm archive jail-agent agent.cpio
 *	jail-vmm probe				exit 0: KVM here runs ordinary kernels
 *
 * Exit status: as exit.h says; 125 when the machine could not be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/opt.h"
#include "base/parse.h"
#include "vm/confine.h"
#include "vm/exit.h"
#include "vm/initramfs.h"
#include "vm/kernel.h"
#include "vm/machine.h"
#include "vm/probe.h"
#include "vm/qemu.h"

struct options {
	char *kernel, *append, *tap;
	struct strv initrds, disks;
	uint64_t memory_bytes, n_cpus;
	int64_t serial_fd, listen_fd, owner_fd;
	bool stats;
	int engine;
};

enum { ENGINE_AUTO, ENGINE_KVM, ENGINE_QEMU };
static const char *const engines[] = {"auto", "kvm", "qemu", NULL};

static const struct opt options_table[] = {
	OPT(struct options, kernel, 'k', "kernel", OPT_STRING, "FILE", "flat ELF kernel to boot"),
	OPT(struct options, initrds, 'i', "initrd", OPT_LIST, "FILE",
		"cpio archive for the initramfs"),
	OPT(struct options, disks, 'd', "disk", OPT_LIST, "FILE[,ro]",
		"raw disk image or block device"),
	OPT(struct options, append, 'a', "append", OPT_STRING, "TEXT",
		"add to the kernel's command line"),
	OPT(struct options, memory_bytes, 'm', "memory", OPT_SIZE, "SIZE", "memory of the guest"),
	OPT(struct options, n_cpus, 'c', "cpus", OPT_UINT, "N", "processors of the guest, 1 to 32"),
	OPT(struct options, serial_fd, 's', "serial", OPT_INT, "FD",
		"write the serial port to this descriptor"),
	OPT(struct options, tap, 't', "tap", OPT_STRING, "FD,MAC",
		"open tap device (with IFF_VNET_HDR) and the guest's address, 02:00:00:00:00:01"),
	OPT(struct options, listen_fd, 0, "vsock-listen", OPT_INT, "FD",
		"listening unix socket: streams to the guest's ports"),
	OPT(struct options, owner_fd, 0, "vsock-owner", OPT_INT, "FD",
		"seqpacket socket that receives the guest's streams"),
	OPT(struct options, engine, 'e', "engine", OPT_CHOICE, "ENGINE",
		"auto, kvm, or qemu (by emulation); auto takes kvm where it can run a kernel",
		.choices = engines),
	OPT(struct options, stats, 0, "stats", OPT_FLAG, NULL,
		"print the number of exits at the end"),
	OPT_END,
};

static const int exit_codes[] = {
	[VM_END_POWEROFF] = VM_EXIT_POWEROFF,
	[VM_END_RESET] = VM_EXIT_RESET,
	[VM_END_FAULT] = VM_EXIT_FAULT,
	[VM_END_KVM] = VM_EXIT_KVM,
	[VM_END_STOPPED] = VM_EXIT_STOPPED,
};

static int fail(const struct err *e)
{
	fprintf(stderr, "jail-vmm: %s\n", e->text);
	return ERR_EXIT_TOOL;
}

/* "FILE,ro" to a disk; cuts the text. */
static struct vm_config_disk parse_disk(char *s)
{
	bool read_only = str_ends(s, ",ro");

	if (read_only)
		s[strlen(s) - 3] = '\0';
	return (struct vm_config_disk){.path = s, .read_only = read_only};
}

/* "FD,02:00:00:00:00:01" */
static int parse_tap(const char *s, struct vm_net_link *ret, struct err *e)
{
	AUTO_FREE char *text = str_dup(s);
	char *comma = strchr(text, ',');
	uint64_t fd;

	if (!comma || strlen(comma + 1) != 17)
		return err_set(e, EINVAL,
			"tap '%s' is not a descriptor and an address, such as 5,02:00:00:00:00:01",
			s);
	*comma = '\0';
	if (parse_u64(text, 0, 65535, &fd, e) < 0)
		return err_prefix(e, "tap");
	ret->fd = (int)fd;
	ret->offload = true;
	if (sscanf(comma + 1, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &ret->mac[0], &ret->mac[1],
		    &ret->mac[2], &ret->mac[3], &ret->mac[4], &ret->mac[5]) != 6 ||
		(ret->mac[0] & 1))
		return err_set(e, EINVAL, "'%s' is not the address of one interface", comma + 1);
	return 0;
}

/* Said on standard error, which is where the choice is looked for when a machine is slow. */
static int choose_engine(int asked)
{
	struct err why = {0};

	if (asked != ENGINE_AUTO)
		return asked;
	if (vm_kvm_probe(&why) >= 0)
		return ENGINE_KVM;
	fprintf(stderr, "jail-vmm: engine qemu, by emulation: %s\n", why.text);
	return ENGINE_QEMU;
}

static int report(int end, struct err *e)
{
	if (end < 0)
		return end;
	if (e->code)
		fprintf(stderr, "jail-vmm: %s\n", e->text);
	else if (end > VM_END_POWEROFF)
		fprintf(stderr, "jail-vmm: the guest ended by %s\n", vm_end_names[end]);
	return end;
}

static int run(const struct options *o, struct err *e)
{
	AUTO_FREE struct vm_config_disk *disks = mem_new_array(o->disks.n + 1, sizeof(*disks));
	struct vm_config c = {.kernel = o->kernel,
		.initrds = (const char *const *)o->initrds.v,
		.n_initrds = o->initrds.n,
		.command_line = o->append ? o->append : "",
		.memory_bytes = o->memory_bytes,
		.n_cpus = (unsigned int)MIN(o->n_cpus, 1000),
		.disks = disks,
		.n_disks = o->disks.n,
		.network = {.fd = -1},
		.vsock_listen_fd = (int)o->listen_fd,
		.vsock_owner_fd = (int)o->owner_fd,
		.serial_fd = (int)o->serial_fd};
	struct vm_machine *m;
	int end;

	for (size_t i = 0; i < o->disks.n; i++)
		disks[i] = parse_disk(o->disks.v[i]);
	if (!c.kernel)
		return err_set(e, EINVAL, "no kernel given; use --kernel FILE");
	if (o->tap && parse_tap(o->tap, &c.network, e) < 0)
		return -e->code;
	if (choose_engine(o->engine) == ENGINE_QEMU)
		return report(vm_qemu_run(&c, e), e);
	if (vm_machine_new(&c, &m, e) < 0)
		return -e->code;
	end = vm_machine_run(m, e);
	if (o->stats)
		fprintf(stderr, "jail-vmm: %llu exits\n", (unsigned long long)vm_machine_exits(m));
	end = report(end, e);
	vm_machine_free(m);
	return end;
}

static int create(int dir_fd, const char *name, struct err *e)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 ? err_sys(e, "cannot create '%s'", name) : fd;
}

static int put(int fd, const char *name, const void *p, size_t n, struct err *e)
{
	int r = fd_write_full(fd, p, n);

	return r < 0 ? err_set(e, -r, "cannot write '%s': %s", name, strerror(-r)) : 0;
}

static int read_input(const char *path, struct buf *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "cannot open '%s'", path);
	return file_read_fd(fd, path, VM_KERNEL_BYTES_MAX, ret, e);
}

/* A stranger's file is read by a process that can do nothing but read it. */
static int confine_unpacking(struct err *e)
{
	struct vm_filter filter = {0};
	int r = vm_filter_build(VM_THREAD_UNPACK, &filter, e);

	if (r >= 0)
		r = vm_confine(e);
	if (r >= 0)
		r = vm_filter_apply(&filter, e);
	vm_filter_release(&filter);
	return r;
}

static int make_kernel(char **argv, struct err *e)
{
	static const char *const names[] = {"vmlinux", "modules.cpio", "release"};
	struct vm_kernel_files k = {0};
	AUTO_BUF struct buf in = {0};
	AUTO_FD int dir_fd = open(argv[3], O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fds[ARRAY_SIZE(names)], r;

	if (dir_fd < 0)
		return err_sys(e, "cannot open directory '%s'", argv[3]);
	if (read_input(argv[2], &in, e) < 0)
		return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		fds[i] = create(dir_fd, names[i], e);
		if (fds[i] < 0)
			return fds[i];
	}
	if (confine_unpacking(e) < 0 || vm_kernel_files_read(in.p, in.n, &k, e) < 0)
		return -e->code;
	r = put(fds[0], names[0], k.flat.p, k.flat.n, e);
	if (r >= 0)
		r = put(fds[1], names[1], k.modules.p ? k.modules.p : "", k.modules.n, e);
	if (r >= 0)
		r = put(fds[2], names[2], k.release, strlen(k.release), e);
	vm_kernel_files_release(&k);
	return r;
}

static int make_archive(char **argv, struct err *e)
{
	AUTO_BUF struct buf in = {0}, out = {0};
	AUTO_FD int fd = -EBADF;

	if (read_input(argv[2], &in, e) < 0)
		return -e->code;
	fd = create(AT_FDCWD, argv[3], e);
	if (fd < 0)
		return fd;
	vm_agent_archive(in.p, in.n, &out);
	return put(fd, argv[3], out.p, out.n, e);
}

static int probe(char **argv, struct err *e)
{
	(void)argv;
	return vm_kvm_probe(e);
}

static const struct {
	const char *name;
	int argc;
	int (*run)(char **argv, struct err *e);
} modes[] = {{"kernel", 4, make_kernel}, {"archive", 4, make_archive}, {"probe", 2, probe}};

int main(int argc, char **argv)
{
	struct options o = {.memory_bytes = 256ull << 20,
		.n_cpus = 1,
		.serial_fd = -1,
		.listen_fd = -1,
		.owner_fd = -1};
	struct err e = {0};
	int r;

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(modes); i++)
		if (argc == modes[i].argc && !strcmp(argv[1], modes[i].name))
			return modes[i].run(argv, &e) < 0 ? fail(&e) : 0;
	r = opt_parse(options_table, &o, argc, argv, OPT_PERMUTE, &e);
	if (r == OPT_HELP) {
		AUTO_BUF struct buf help = {0};

		opt_help(options_table, &help);
		printf("usage: jail-vmm [options]\n       jail-vmm kernel PACKAGE|FILE DIR\n"
		       "       jail-vmm archive AGENT FILE\n       jail-vmm probe\n%s",
			help.p);
		return 0;
	}
	if (r >= 0)
		r = run(&o, &e);
	opt_release(options_table, &o);
	return r < 0 ? fail(&e) : exit_codes[r];
}
