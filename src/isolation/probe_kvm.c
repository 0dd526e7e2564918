/*
 * KVM that runs real guest code.
 *
 * A device node that opens, the right API version and all the capabilities prove little:
 * paravirtual and nested KVMs exist that offer them and then stop at the first popcnt of an
 * ordinary kernel.  So a VM of two megabytes is made whose program goes, in 64-bit mode, through
 * what a kernel does early: its own descriptor tables, faults and their return, page tables
 * changed under its feet, privileged registers, the vector units, ring 3 and back.  Before each
 * step it writes the step's number to a port; where it stops, the number says at what.
 */
#include "isolation/probe_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

static void no_kvm(struct iso_probe_result *ret, int code)
{
	if (code == ENOENT || code == ENXIO || code == ENODEV)
		probe_remedy(ret,
			"enable virtualisation in the firmware and load kvm_intel or kvm_amd; in a "
			"virtual machine, ask its owner for nested virtualisation");
	else if (code == EACCES || code == EPERM)
		probe_remedy(ret, "add the user to the group of '/dev/kvm'");
	probe_say(ret, ISO_PROBE_MISSING, "cannot open '/dev/kvm': %s", strerrordesc_np(code));
}

#if defined(__x86_64__)

/* Where things are in the guest's memory; the program below knows the same numbers. */
enum {
	GUEST_BYTES = 2 << 20,
	AT_PML4 = 0x1000,
	AT_PDPT = 0x2000,
	AT_PD = 0x3000,
	AT_GDT = 0x4000,
	AT_IDT = 0x5000,
	AT_TSS = 0x6000,
	AT_STACK = 0x7f00,
	AT_CODE = 0x8000,
	AT_POINTERS = 0x9000, /* operands of lgdt and lidt */
	PORT_STEP = 0x99,
	STEP_LAST = 20,
	STEP_WRONG = 0xfd, /* an instruction gave a wrong result */
	STEP_FAULT = 0xfe, /* a fault that nothing should have caused */
	CODE_KERNEL = 0x08,
	DATA_KERNEL = 0x10,
	TSS_SELECTOR = 0x28,
	LOOPS = 1000000,
	SLOWER_TOLERATED = 50,
};

static const char *const step_names[STEP_LAST + 1] = {
	"entry in 64-bit mode",
	"lgdt, lidt, ltr",
	"cpuid",
	"popcnt",
	"cmpxchg16b",
	"int3 and iretq",
	"ud2 and its handler",
	"a page fault and its handler",
	"a new mapping, invlpg",
	"writes to cr3 and cr4",
	"wrmsr, rdmsr, swapgs",
	"fninit, fwait, fxsave, fxrstor",
	"xsetbv, xsave, xrstor",
	"stac, clac",
	"rep movsb and locked instructions",
	"clflush and fences",
	"ring 3 and int",
	"sysretq and syscall",
	"sti and cli",
	"a loop",
	"the end",
};

/*
 * r12 counts handled faults, r13 is where a page fault goes on.  Data of its own is at 0x9100;
 * 0x40000000 is never mapped.  The host puts the handlers into the descriptor table.
 */
extern const char probe_guest_start[], probe_guest_end[], probe_guest_bp[], probe_guest_ud[],
	probe_guest_pf[], probe_guest_gate[], probe_guest_bad[];
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	".irp label, start, end, bp, ud, pf, gate, bad\n" /* global for link-time optimisation */
	".globl probe_guest_\\label\n"
	".hidden probe_guest_\\label\n"
	".endr\n"
	".macro step n\n"
	"	movb $\\n, %al\n"
	"	outb %al, $0x99\n"
	".endm\n"
	"probe_guest_start:\n"
	"	step 1\n"
	"	lgdt 0x9000\n"
	"	lidt 0x9010\n"
	"	movw $0x28, %ax\n"
	"	ltr %ax\n"
	"	xorl %r12d, %r12d\n"
	"	step 2\n"
	"	xorl %eax, %eax\n"
	"	cpuid\n"
	"	testl %eax, %eax\n"
	"	jz 9f\n"
	"	step 3\n"
	"	movl $0xff, %ecx\n"
	"	popcnt %rcx, %rdx\n"
	"	cmpq $8, %rdx\n"
	"	jne 9f\n"
	"	step 4\n"
	"	xorl %eax, %eax\n"
	"	xorl %edx, %edx\n"
	"	movl $1, %ebx\n"
	"	movl $2, %ecx\n"
	"	lock cmpxchg16b 0x9100\n"
	"	jnz 9f\n"
	"	cmpq $2, 0x9108\n"
	"	jne 9f\n"
	"	step 5\n"
	"	int3\n"
	"	cmpq $1, %r12\n"
	"	jne 9f\n"
	"	step 6\n"
	"	ud2\n"
	"	cmpq $2, %r12\n"
	"	jne 9f\n"
	"	step 7\n"
	"	leaq 1f(%rip), %r13\n"
	"	movl $0x40000000, %ebx\n"
	"	movq (%rbx), %rax\n"
	"	jmp 9f\n"
	"1:	cmpq $3, %r12\n"
	"	jne 9f\n"
	"	step 8\n"
	"	movq $0x87, 0x3008\n" /* the second 2 MiB show the first */
	"	movl $0x209100, %ebx\n"
	"	invlpg (%rbx)\n"
	"	cmpq $1, (%rbx)\n"
	"	jne 9f\n"
	"	movq $0, 0x3008\n"
	"	invlpg (%rbx)\n"
	"	leaq 1f(%rip), %r13\n"
	"	movq (%rbx), %rax\n"
	"	jmp 9f\n"
	"1:	cmpq $4, %r12\n"
	"	jne 9f\n"
	"	step 9\n"
	"	movq %cr3, %rax\n"
	"	movq %rax, %cr3\n"
	"	movq %cr4, %rbx\n"
	"	movq %rbx, %rax\n"
	"	xorb $0x80, %al\n"
	"	movq %rax, %cr4\n"
	"	movq %rbx, %cr4\n"
	"	step 10\n"
	"	movl $0xc0000100, %ecx\n" /* FS_BASE */
	"	movl $0x9100, %eax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	movq %fs:0, %rax\n"
	"	cmpq $1, %rax\n"
	"	jne 9f\n"
	"	movl $0xc0000102, %ecx\n" /* KERNEL_GS_BASE */
	"	movl $0x9100, %eax\n"
	"	wrmsr\n"
	"	swapgs\n"
	"	movq %gs:8, %rbx\n"
	"	cmpq $2, %rbx\n"
	"	jne 9f\n"
	"	swapgs\n"
	"	rdmsr\n"
	"	cmpl $0x9100, %eax\n"
	"	jne 9f\n"
	"	step 11\n"
	"	clts\n"
	"	fninit\n"
	"	fwait\n"
	"	fxsave 0x9200\n"
	"	movaps 0x9100, %xmm0\n"
	"	fxrstor 0x9200\n"
	"	step 12\n"
	"	movl $1, %eax\n"
	"	cpuid\n"
	"	btl $26, %ecx\n" /* XSAVE */
	"	jnc 1f\n"
	"	movq %cr4, %rax\n"
	"	orl $0x40000, %eax\n"
	"	movq %rax, %cr4\n"
	"	xorl %ecx, %ecx\n"
	"	xgetbv\n"
	"	orl $3, %eax\n"
	"	andl $7, %eax\n"
	"	xorl %edx, %edx\n"
	"	xsetbv\n"
	"	movl $3, %eax\n"
	"	xsave 0xa000\n"
	"	movl $3, %eax\n"
	"	xorl %edx, %edx\n"
	"	xrstor 0xa000\n"
	"1:	step 13\n"
	"	xorl %eax, %eax\n"
	"	cpuid\n"
	"	cmpl $7, %eax\n"
	"	jb 1f\n"
	"	movl $7, %eax\n"
	"	xorl %ecx, %ecx\n"
	"	cpuid\n"
	"	btl $20, %ebx\n" /* SMAP */
	"	jnc 1f\n"
	"	stac\n"
	"	movq %cr4, %rbx\n"
	"	movq %rbx, %rax\n"
	"	orl $0x200000, %eax\n"
	"	movq %rax, %cr4\n"
	"	movq 0x9100, %rcx\n"
	"	movq %rbx, %cr4\n"
	"	clac\n"
	"1:	step 14\n"
	"	cld\n"
	"	movl $0x9100, %esi\n"
	"	movl $0x9180, %edi\n"
	"	movl $16, %ecx\n"
	"	rep movsb\n"
	"	cmpq $2, 0x9188\n"
	"	jne 9f\n"
	"	movl $5, %eax\n"
	"	lock xaddq %rax, 0x9180\n"
	"	cmpq $6, 0x9180\n"
	"	jne 9f\n"
	"	lock btsq $4, 0x9180\n"
	"	xchgq %rbx, 0x9180\n"
	"	cmpq $22, %rbx\n"
	"	jne 9f\n"
	"	step 15\n"
	"	clflush 0x9100\n"
	"	mfence\n"
	"	lfence\n"
	"	rdtsc\n"
	"	pause\n"
	"	step 16\n"
	"	pushq $0x1b\n"
	"	pushq $0x7700\n"
	"	pushq $2\n"
	"	pushq $0x23\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	leaq 2f(%rip), %r13\n"
	"	iretq\n"
	"1:	int $0x80\n"
	"	hlt\n" /* not reached; in ring 3 it would fault */
	"2:	movl $0x7f00, %esp\n"
	"	step 17\n"
	"	movl $0xc0000081, %ecx\n" /* STAR */
	"	xorl %eax, %eax\n"
	"	movl $0x00100008, %edx\n"
	"	wrmsr\n"
	"	movl $0xc0000082, %ecx\n" /* LSTAR */
	"	leaq 2f(%rip), %rax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	movl $0xc0000084, %ecx\n" /* SFMASK */
	"	movl $0x200, %eax\n"
	"	wrmsr\n"
	"	leaq 1f(%rip), %rcx\n"
	"	movl $2, %r11d\n"
	"	sysretq\n"
	"1:	syscall\n"
	"	hlt\n"
	"2:	movl $0x7f00, %esp\n"
	"	step 18\n"
	"	sti\n"
	"	nop\n"
	"	cli\n"
	"	step 19\n"
	"	movl $1000000, %ecx\n"
	"1:	decl %ecx\n"
	"	jnz 1b\n"
	"	step 20\n"
	"	hlt\n"
	"9:	step 0xfd\n"
	"	hlt\n"
	"probe_guest_bp:\n"
	"	incq %r12\n"
	"	iretq\n"
	"probe_guest_ud:\n"
	"	incq %r12\n"
	"	addq $2, (%rsp)\n"
	"	iretq\n"
	"probe_guest_pf:\n"
	"	incq %r12\n"
	"	addq $8, %rsp\n" /* the error code */
	"	movq %r13, (%rsp)\n"
	"	iretq\n"
	"probe_guest_gate:\n"
	"	jmp *%r13\n"
	"probe_guest_bad:\n"
	"	step 0xfe\n"
	"	hlt\n"
	"probe_guest_end:\n"
	".popsection\n");

struct vm {
	int kvm, vm, vcpu;
	char *mem;
	struct kvm_run *run;
};

static uint64_t guest_address(const char *label)
{
	return AT_CODE + (uint64_t)(label - probe_guest_start);
}

static void put64(struct vm *v, size_t at, uint64_t value)
{
	memcpy(v->mem + at, &value, sizeof(value));
}

static void put_gate(struct vm *v, unsigned int vector, const char *handler, unsigned int dpl)
{
	uint64_t a = guest_address(handler);

	put64(v, AT_IDT + 16 * vector,
		(a & 0xffff) | (uint64_t)CODE_KERNEL << 16 | (uint64_t)(0x8e | dpl << 5) << 40 |
			(a >> 16 & 0xffff) << 48);
	put64(v, AT_IDT + 16 * vector + 8, a >> 32);
}

/* Descriptor tables, page tables (one user-accessible 2 MiB page), the program. */
static void load_guest(struct vm *v)
{
	static const uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff,
		0x00cff3000000ffff, 0x00affb000000ffff, 0x0000890000000067 | (uint64_t)AT_TSS << 16,
		0};
	uint16_t limit = sizeof(gdt) - 1;

	memcpy(v->mem + AT_CODE, probe_guest_start, (size_t)(probe_guest_end - probe_guest_start));
	memcpy(v->mem + AT_GDT, gdt, sizeof(gdt));
	for (unsigned int i = 0; i < 256; i++)
		put_gate(v, i, probe_guest_bad, 0);
	put_gate(v, 3, probe_guest_bp, 0);
	put_gate(v, 6, probe_guest_ud, 0);
	put_gate(v, 14, probe_guest_pf, 0);
	put_gate(v, 0x80, probe_guest_gate, 3);
	put64(v, AT_TSS + 4, AT_STACK);
	put64(v, AT_PML4, AT_PDPT | 7);
	put64(v, AT_PDPT, AT_PD | 7);
	put64(v, AT_PD, 0x87);
	memcpy(v->mem + AT_POINTERS, &limit, 2);
	put64(v, AT_POINTERS + 2, AT_GDT);
	limit = 256 * 16 - 1;
	memcpy(v->mem + AT_POINTERS + 16, &limit, 2);
	put64(v, AT_POINTERS + 18, AT_IDT);
}

static int set_cpuid(struct vm *v)
{
	enum { ENTRIES = 256 };
	AUTO_FREE struct kvm_cpuid2 *c =
		mem_new(sizeof(*c) + ENTRIES * sizeof(struct kvm_cpuid_entry2));

	c->nent = ENTRIES;
	if (ioctl(v->kvm, KVM_GET_SUPPORTED_CPUID, c) < 0 || ioctl(v->vcpu, KVM_SET_CPUID2, c) < 0)
		return -errno;
	return 0;
}

static int set_registers(struct vm *v)
{
	struct kvm_segment code = {.limit = 0xffffffff,
		.selector = CODE_KERNEL,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1};
	struct kvm_segment data = {.limit = 0xffffffff,
		.selector = DATA_KERNEL,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1};
	struct kvm_regs regs = {.rip = AT_CODE, .rsp = AT_STACK, .rflags = 2};
	struct kvm_sregs s;

	if (ioctl(v->vcpu, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = (struct kvm_segment){
		.base = AT_TSS, .limit = 0x67, .selector = TSS_SELECTOR, .type = 11, .present = 1};
	s.gdt.base = AT_GDT, s.gdt.limit = 7 * 8 - 1;
	s.cr3 = AT_PML4;
	s.cr4 = 0x20 | 0x200 | 0x400; /* PAE, OSFXSR, OSXMMEXCPT */
	s.cr0 = 0x80000000 | 0x10000 | 0x33; /* PG, WP, NE, ET, MP, PE */
	s.efer = 0x500 | 1; /* LMA, LME, SCE */
	if (ioctl(v->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(v->vcpu, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

/* The child ends soon: it leaves the closing to the kernel. */
static int vm_make(struct vm *v, struct probe_note *note)
{
	struct kvm_userspace_memory_region region = {.memory_size = GUEST_BYTES};
	int bytes;

	v->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (v->kvm < 0)
		return -errno;
	snprintf(note->text, sizeof(note->text), "the VM cannot be made");
	if (ioctl(v->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return -EPROTO;
	v->vm = ioctl(v->kvm, KVM_CREATE_VM, 0);
	bytes = ioctl(v->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (v->vm < 0 || bytes < 0)
		return -errno;
	v->mem =
		mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v->mem == MAP_FAILED)
		return -errno;
	region.userspace_addr = (uint64_t)(uintptr_t)v->mem;
	/* Intel's needs three pages for itself; others take no notice. */
	if (ioctl(v->vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 && errno != EINVAL && errno != ENOTTY)
		return -errno;
	if (ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	v->vcpu = ioctl(v->vm, KVM_CREATE_VCPU, 0);
	if (v->vcpu < 0)
		return -errno;
	v->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	if (v->run == MAP_FAILED)
		return -errno;
	load_guest(v);
	bytes = set_cpuid(v);
	return bytes < 0 ? bytes : set_registers(v);
}

/* Of this thread, the guest's included: on a busy host the wall clock would condemn any KVM. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t native_loop_ns(void)
{
	uint32_t n = LOOPS;
	uint64_t start = cpu_ns();

	__asm__ volatile("1: decl %0; jnz 1b" : "+r"(n) : : "cc");
	return cpu_ns() - start;
}

/* One exit of the guest; 1 to go on, 0 when it has ended. */
static int one_exit(struct vm *v, struct probe_note *note)
{
	struct kvm_run *run = v->run;

	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
		run->io.port == PORT_STEP) {
		uint8_t step = *((uint8_t *)run + run->io.data_offset);

		if (step >= STEP_WRONG) {
			note->detail[0] = step;
			return 0;
		}
		if (step == STEP_LAST - 1)
			note->nanoseconds[0] = cpu_ns();
		else if (step == STEP_LAST)
			note->nanoseconds[0] = cpu_ns() - note->nanoseconds[0];
		note->step = step;
		return 1;
	}
	note->detail[0] = (int)run->exit_reason;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		note->detail[1] = (int)run->internal.suberror;
	return 0;
}

static int run_guest(struct probe_note *note)
{
	struct vm v = {-1, -1, -1, NULL, NULL};
	int r = vm_make(&v, note);

	if (r < 0)
		return r;
	note->text[0] = '\0';
	note->nanoseconds[1] = native_loop_ns();
	do {
		r = ioctl(v.vcpu, KVM_RUN, 0) < 0 ? -errno : one_exit(&v, note);
	} while (r > 0 || r == -EINTR || r == -EAGAIN);
	return r;
}

static const char *why_stopped(const struct probe_note *n, char buf[static 64])
{
	switch (n->detail[0]) {
	case STEP_WRONG:
		return "wrong result";
	case STEP_FAULT:
		return "unexpected fault";
	case KVM_EXIT_SHUTDOWN:
		return "triple fault";
	case KVM_EXIT_FAIL_ENTRY:
		return "the processor refused the entry";
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(buf, 64, "KVM internal error, suberror %d", n->detail[1]);
		return buf;
	default:
		snprintf(buf, 64, "exit reason %d", n->detail[0]);
		return buf;
	}
}

static const char kvm_remedy[] = "this KVM cannot run an ordinary kernel (software or nested KVM); "
				 "the QEMU engine is used instead";

static void judge(const struct probe_note *n, struct iso_probe_result *ret)
{
	bool ended = n->step == STEP_LAST && n->detail[0] == KVM_EXIT_HLT;
	uint64_t slower = n->nanoseconds[0] / MAX(n->nanoseconds[1], 1u);
	char buf[64];

	if (!ended) {
		probe_say(ret, ISO_PROBE_LIMITED, "guest code stops at '%s' (step %d of %d): %s",
			step_names[n->step], n->step, STEP_LAST, why_stopped(n, buf));
		probe_remedy(ret, "%s", kvm_remedy);
	} else if (slower > SLOWER_TOLERATED) {
		probe_say(ret, ISO_PROBE_LIMITED,
			"guest code runs, %llu times slower than the host's",
			(unsigned long long)slower);
		probe_remedy(ret, "%s", kvm_remedy);
	} else {
		probe_say(ret, ISO_PROBE_OK,
			"guest code ran through all %d steps; 1 M loops in %llu us", STEP_LAST,
			(unsigned long long)n->nanoseconds[0] / 1000);
	}
}

void iso_probe_kvm(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};
	int r = probe_child(run_guest, &n);

	(void)self;
	*ret = (struct iso_probe_result){0};
	if (r == -ETIMEDOUT || r == -ECHILD) {
		probe_say(ret, ISO_PROBE_LIMITED, "guest code %s at '%s' (step %d of %d)",
			r == -ETIMEDOUT ? "hangs" : "ended the monitor", step_names[n.step], n.step,
			STEP_LAST);
		probe_remedy(ret, "%s", kvm_remedy);
	} else if (r < 0 && !n.text[0] && !n.nanoseconds[1]) {
		no_kvm(ret, -r);
	} else if (r < 0) {
		probe_say(ret, ISO_PROBE_MISSING, "'/dev/kvm' opens, but %s: %s",
			n.text[0] ? n.text : "the guest cannot be run", strerrordesc_np(-r));
		probe_remedy(ret, "%s", kvm_remedy);
	} else {
		judge(&n, ret);
	}
}

#else

/* Elsewhere there is no monitor of ours yet to probe for. */
static int make_vm(struct probe_note *note)
{
	AUTO_FD int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	AUTO_FD int vm = -1;

	(void)note;
	if (kvm < 0)
		return -errno;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	return vm < 0 ? -errno : 0;
}

void iso_probe_kvm(const struct iso_probe *self, struct iso_probe_result *ret)
{
	struct probe_note n = {0};
	int r = probe_child(make_vm, &n);

	(void)self;
	*ret = (struct iso_probe_result){0};
	if (r < 0) {
		no_kvm(ret, -r);
		return;
	}
	probe_say(ret, ISO_PROBE_LIMITED, "a VM can be made; guest code is tried on x86-64 only");
	probe_remedy(ret, "the QEMU engine is used");
}

#endif
