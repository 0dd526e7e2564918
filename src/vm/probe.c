#include "vm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"

/* The guest's memory: 64 KiB from 0. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000, /* one entry: a page of 1 GiB, by way of a directory of 2 MiB pages */
	DIRECTORY = 0x3000,
	IDT = 0x4000,
	CODE = 0x5000,
	DATA = 0x8000,
	GDT = 0x9000,
	STACK = 0xf000,
	BYTES = 0x10000,
	PORT = 0xe9,
	TIMEOUT_MS = 5000,
	SLOWER_MAX = 50, /* times as slow as here, and a kernel would take minutes */
};

/*
 * Every step says its letter at PORT when it has been done, so that the one that failed is
 * known.  Registers: rdi = DATA.
 */
__asm__(".pushsection .rodata\n"
	".globl probe_code, probe_int3, probe_code_end\n"
	".hidden probe_code, probe_int3, probe_code_end\n"
	"probe_code:\n"
	"	mov $'a', %al; out %al, $0xe9\n"
	"	xor %eax, %eax; xor %edx, %edx; mov $1, %ebx; xor %ecx, %ecx\n"
	"	lock cmpxchg16b (%rdi)\n"
	"	jnz 9f\n"
	"	mov $'b', %al; out %al, $0xe9\n"
	"	mov $0xff, %ecx; popcnt %rcx, %rax\n"
	"	cmp $8, %eax; jne 9f\n"
	"	mov $'c', %al; out %al, $0xe9\n"
	"	fninit; fld1; fwait; fstp %st(0)\n"
	"	fxsave64 512(%rdi); fxrstor64 512(%rdi)\n"
	"	mov $'d', %al; out %al, $0xe9\n"
	"	int3\n"
	"	mov $'f', %al; out %al, $0xe9\n"
	"	mov $1000000, %ecx\n"
	"1:	dec %ecx; jnz 1b\n"
	"	mov $'g', %al; out %al, $0xe9\n"
	"9:	mov $'!', %al; out %al, $0xe9\n"
	"	jmp 9b\n"
	"probe_int3:\n"
	"	mov $'e', %al; out %al, $0xe9\n"
	"	iretq\n"
	"probe_code_end:\n"
	".popsection\n");
extern const uint8_t probe_code[], probe_int3[], probe_code_end[];

static const struct {
	char letter;
	const char *step; /* that follows it */
} steps[] = {
	{0, "its first instruction"},
	{'a', "a locked 16-byte exchange"},
	{'b', "counting bits"},
	{'c', "saving the FPU's state"},
	{'d', "a breakpoint"},
	{'e', "the return from a trap"},
	{'f', "a loop"},
	{'g', ""},
};

struct probe {
	int kvm_fd, vm_fd, cpu_fd; /* the child's end closes them */
	uint8_t *mem;
	struct kvm_run *run;
};

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* An identity map, an interrupt gate for the breakpoint, the code. */
static void fill_memory(uint8_t *mem)
{
	uint64_t handler = CODE + (uint64_t)(probe_int3 - probe_code);

	put64(mem + PML4, PDPT | 3);
	put64(mem + PDPT, DIRECTORY | 3);
	put64(mem + DIRECTORY, 0x83); /* a 2 MiB page, present, writable */
	put64(mem + IDT + 3 * 16,
		(handler & 0xffff) | 0x10ull << 16 | 0x8e00ull << 32 | (handler >> 16) << 48);
	memcpy(mem + CODE, probe_code, (size_t)(probe_code_end - probe_code));
	/* What the gate and the return from it load: 64-bit code, and data. */
	put64(mem + GDT + 0x10, 0x00209b0000000000ull);
	put64(mem + GDT + 0x18, 0x00cf930000000000ull);
}

static int make_guest(struct probe *p, struct err *e)
{
	struct kvm_userspace_memory_region region = {.memory_size = BYTES};
	int bytes;

	p->vm_fd = ioctl(p->kvm_fd, KVM_CREATE_VM, 0);
	if (p->vm_fd < 0)
		return err_sys(e, "KVM makes no virtual machine");
	p->mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->mem == MAP_FAILED)
		return err_sys(e, "cannot make a guest's memory");
	fill_memory(p->mem);
	region.userspace_addr = (uintptr_t)p->mem;
	if (ioctl(p->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0 ||
		ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_sys(e, "KVM takes no memory");
	p->cpu_fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, 0);
	bytes = ioctl(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->cpu_fd < 0 || bytes < (int)sizeof(*p->run))
		return err_sys(e, "KVM makes no processor");
	p->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->cpu_fd, 0);
	return p->run == MAP_FAILED ? err_sys(e, "cannot map a processor") : 0;
}

static int set_long_mode(struct probe *p, struct err *e)
{
	struct kvm_segment code = {.selector = 0x10,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
		.limit = 0xffffffff};
	struct kvm_segment data = {.selector = 0x18,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
		.limit = 0xffffffff};
	struct kvm_regs regs = {.rip = CODE, .rsp = STACK, .rdi = DATA, .rflags = 2};
	struct kvm_sregs s;

	if (ioctl(p->cpu_fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(e, "KVM shows no registers");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr3 = PML4;
	s.cr4 = 1 << 5 | 1 << 9; /* physical addresses, FPU state of today */
	s.cr0 = 0x80000011u | 1 << 1; /* paging, protection, FPU */
	s.efer = 1 << 8 | 1 << 10; /* long mode */
	s.idt.base = IDT;
	s.idt.limit = 0xfff;
	s.gdt.base = GDT;
	s.gdt.limit = 0x1f;
	if (ioctl(p->cpu_fd, KVM_SET_SREGS, &s) < 0 || ioctl(p->cpu_fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(e, "KVM takes no registers");
	return 0;
}

/* The guest sees the processor that KVM offers: without, some instructions do not exist. */
static int set_cpuid(struct probe *p, struct err *e)
{
	enum { ENTRIES = 256 };
	AUTO_FREE struct kvm_cpuid2 *id = mem_new(sizeof(*id) + ENTRIES * sizeof(id->entries[0]));

	id->nent = ENTRIES;
	if (ioctl(p->kvm_fd, KVM_GET_SUPPORTED_CPUID, id) < 0 ||
		ioctl(p->cpu_fd, KVM_SET_CPUID2, id) < 0)
		return err_sys(e, "KVM describes no processor");
	return 0;
}

static uint64_t loop_here_ns(void)
{
	uint64_t start = time_mono_ns();
	uint32_t n = 1000000;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
	return time_mono_ns() - start;
}

static const char *next_step(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].letter == letter)
			return steps[i].step;
	return "something";
}

/* Runs the guest from letter to letter; the loop lies between the last two. */
static int run_steps(struct probe *p, uint64_t *ret_loop_ns, struct err *e)
{
	char last = 0;
	uint64_t since = 0;

	while (last != 'g') {
		char letter;

		if (ioctl(p->cpu_fd, KVM_RUN, 0) < 0)
			return err_sys(e, "KVM cannot run a guest");
		if (p->run->exit_reason != KVM_EXIT_IO || p->run->io.port != PORT)
			return err_set(e, ENOTSUP,
				"KVM cannot run an ordinary kernel: %s ends with exit %u",
				next_step(last), p->run->exit_reason);
		letter = *((char *)p->run + p->run->io.data_offset);
		if (letter == '!')
			return err_set(e, ENOTSUP,
				"KVM cannot run an ordinary kernel: %s gives a wrong result",
				next_step(last));
		if (letter == 'g')
			*ret_loop_ns = time_mono_ns() - since;
		since = time_mono_ns();
		last = letter;
	}
	return 0;
}

static int probe(struct err *e)
{
	struct probe p = {
		.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), .vm_fd = -1, .cpu_fd = -1};
	uint64_t guest_ns = 0, here_ns;

	if (p.kvm_fd < 0)
		return err_sys(e, "cannot open '/dev/kvm'");
	if (make_guest(&p, e) < 0 || set_cpuid(&p, e) < 0 || set_long_mode(&p, e) < 0 ||
		run_steps(&p, &guest_ns, e) < 0)
		return -e->code;
	here_ns = loop_here_ns();
	if (guest_ns > SLOWER_MAX * here_ns + 1000000)
		return err_set(e, ENOTSUP, "KVM is %" PRIu64 " times as slow as this host",
			guest_ns / MAX(here_ns, 1));
	return 0;
}

/* The child answers with its record and ends; everything it made ends with it. */
static void __attribute__((noreturn)) probe_child(int sock)
{
	struct err e = {0};

	probe(&e);
	_exit(fd_send(sock, &e, sizeof(e), NULL, 0) < 0);
}

int vm_kvm_probe(struct err *e)
{
	int pair[2], pidfd, status, r;
	struct pollfd p;
	struct err answer = {0};
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket");
	pid = proc_clone(0, -1, &pidfd);
	if (pid == 0)
		probe_child(pair[1]);
	fd_close(&pair[1]);
	p = (struct pollfd){.fd = pair[0], .events = POLLIN};
	r = pid < 0 ? -1 : poll(&p, 1, TIMEOUT_MS);
	if (r == 1 && fd_recv(pair[0], &answer, sizeof(answer), NULL, NULL) == sizeof(answer))
		answer.text[sizeof(answer.text) - 1] = '\0';
	else
		err_set(&answer, r == 0 ? ETIMEDOUT : EIO,
			"KVM cannot run an ordinary kernel: a few instructions take more than %d s",
			TIMEOUT_MS / 1000);
	fd_close(&pair[0]);
	if (pid > 0) {
		proc_signal(pidfd, SIGKILL);
		proc_wait(pidfd, &status);
		fd_close(&pidfd);
	}
	if (!answer.code)
		return 0;
	*e = answer;
	return -e->code;
}
