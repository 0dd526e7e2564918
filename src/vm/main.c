/*
 * jail-vmm: one virtual machine, from its options to its end.
 *
 *	jail-vmm --kernel vmlinux --initrd agent.cpio --memory 256M --cpus 2 --serial 1
 *	jail-vmm flatten <vmlinuz >vmlinux
 *
 * Exit status: 0 power-off, 3 reset, 4 triple fault, 5 KVM failure, 6 stopped by a signal, 125
 * the machine could not be made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/opt.h"
#include "vm/kernel.h"
#include "vm/machine.h"

struct options {
	char *kernel, *append;
	struct strv initrds, disks;
	uint64_t memory_bytes, n_cpus;
	int64_t serial_fd, listen_fd, owner_fd;
	bool stats;
};

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
	OPT(struct options, listen_fd, 0, "vsock-listen", OPT_INT, "FD",
		"listening unix socket: streams to the guest's ports"),
	OPT(struct options, owner_fd, 0, "vsock-owner", OPT_INT, "FD",
		"seqpacket socket that receives the guest's streams"),
	OPT(struct options, stats, 0, "stats", OPT_FLAG, NULL,
		"print the number of exits at the end"),
	OPT_END,
};

static const int exit_codes[] = {
	[VM_END_POWEROFF] = 0,
	[VM_END_RESET] = 3,
	[VM_END_FAULT] = 4,
	[VM_END_KVM] = 5,
	[VM_END_STOPPED] = 6,
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
		.vsock_listen_fd = (int)o->listen_fd,
		.vsock_owner_fd = (int)o->owner_fd,
		.serial_fd = (int)o->serial_fd};
	struct vm_machine *m;
	int end;

	for (size_t i = 0; i < o->disks.n; i++)
		disks[i] = parse_disk(o->disks.v[i]);
	if (!c.kernel)
		return err_set(e, EINVAL, "no kernel given; use --kernel FILE");
	if (vm_machine_new(&c, &m, e) < 0)
		return -e->code;
	end = vm_machine_run(m, e);
	if (o->stats)
		fprintf(stderr, "jail-vmm: %llu exits\n", (unsigned long long)vm_machine_exits(m));
	if (e->code)
		fprintf(stderr, "jail-vmm: %s\n", e->text);
	else if (end > VM_END_POWEROFF)
		fprintf(stderr, "jail-vmm: the guest ended by %s\n", vm_end_names[end]);
	vm_machine_free(m);
	return end;
}

static int flatten(struct err *e)
{
	AUTO_BUF struct buf in = {0}, out = {0};

	if (file_read_fd(0, "standard input", VM_KERNEL_BYTES_MAX, &in, e) < 0 ||
		vm_kernel_flatten(in.p, in.n, &out, e) < 0)
		return -e->code;
	if (fd_write_full(1, out.p, out.n) < 0)
		return err_sys(e, "cannot write the kernel");
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.memory_bytes = 256ull << 20,
		.n_cpus = 1,
		.serial_fd = -1,
		.listen_fd = -1,
		.owner_fd = -1};
	struct err e = {0};
	int r;

	if (argc == 2 && !strcmp(argv[1], "flatten"))
		return flatten(&e) < 0 ? fail(&e) : 0;
	r = opt_parse(options_table, &o, argc, argv, OPT_PERMUTE, &e);
	if (r == OPT_HELP) {
		AUTO_BUF struct buf help = {0};

		opt_help(options_table, &help);
		printf("usage: jail-vmm [options]\n       jail-vmm flatten <VMLINUZ >VMLINUX\n%s",
			help.p);
		return 0;
	}
	if (r >= 0)
		r = run(&o, &e);
	opt_release(options_table, &o);
	return r < 0 ? fail(&e) : exit_codes[r];
}
