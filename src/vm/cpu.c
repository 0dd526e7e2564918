/* A processor's state before its first instruction: CPUID, MSRs, and the PVH registers. */
#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/mem.h"
#include "vm/kvm.h"

enum { CPUID_ENTRIES_MAX = 256 };
enum { MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_DEF_TYPE = 0x2ff };

/*
 * What of the host's CPUID a guest is not to see, or must see.  ANY stands for every subleaf.
 * Leaf numbers and bits: Intel SDM vol. 2 CPUID, AMD APM vol. 3 appendix E, and Linux
 * Documentation/virt/kvm/x86/cpuid.rst for 0x4000xxxx.
 */
enum { ANY = -1 };
enum reg { EAX, EBX, ECX, EDX };
#define BIT(n) (1u << (n))

static const struct {
	uint32_t leaf;
	int subleaf;
	enum reg reg;
	uint32_t clear, set;
	const char *why;
} cpuid_rules[] = {
	{1, ANY, ECX, BIT(3) | BIT(5) | BIT(15), BIT(31) | BIT(24),
		"no MONITOR, VMX, PDCM; it is a guest and has the TSC deadline timer"},
	{7, 0, ECX, BIT(5), 0, "WAITPKG would let it stall a host processor"},
	{0xa, ANY, EAX, ~0u, 0, "no performance counters"},
	{0xa, ANY, EBX, ~0u, 0, ""},
	{0xa, ANY, EDX, ~0u, 0, ""},
	{0x80000001, ANY, ECX, BIT(2), 0, "no SVM: no guests of its own"},
	{KVM_CPUID_FEATURES, ANY, EAX,
		BIT(KVM_FEATURE_ASYNC_PF) | BIT(KVM_FEATURE_ASYNC_PF_VMEXIT) |
			BIT(KVM_FEATURE_ASYNC_PF_INT),
		0, "lost wake-ups hung guests of others after a restore"},
};

static void apply_rules(struct kvm_cpuid_entry2 *en)
{
	uint32_t *const regs[] = {&en->eax, &en->ebx, &en->ecx, &en->edx};

	for (size_t i = 0; i < ARRAY_SIZE(cpuid_rules); i++)
		if (en->function == cpuid_rules[i].leaf &&
			(cpuid_rules[i].subleaf == ANY ||
				en->index == (uint32_t)cpuid_rules[i].subleaf))
			*regs[cpuid_rules[i].reg] =
				(*regs[cpuid_rules[i].reg] & ~cpuid_rules[i].clear) |
				cpuid_rules[i].set;
}

/* One package with n_cpus cores and no hyperthreads, whatever the host has. */
static void apply_topology(struct kvm_cpuid_entry2 *en, unsigned int id, unsigned int n_cpus)
{
	unsigned int bits = 0;

	while ((1u << bits) < n_cpus)
		bits++;
	switch (en->function) {
	case 1:
		en->ebx = (en->ebx & 0xffff) | id << 24 | n_cpus << 16;
		en->edx = n_cpus > 1 ? en->edx | BIT(28) : en->edx & ~BIT(28);
		break;
	case 4: /* caches: not shared by threads; cores per package */
		if (en->eax & 0x1f)
			en->eax = (en->eax & 0x3fff) | (n_cpus - 1) << 26;
		break;
	case 0xb:
	case 0x1f:
		en->edx = id;
		en->eax = en->index == 0 ? 0 : en->index == 1 ? bits : 0;
		en->ebx = en->index == 0 ? 1 : en->index == 1 ? n_cpus : 0;
		en->ecx = en->index | (en->index == 0 ? 1u << 8 : en->index == 1 ? 2u << 8 : 0);
		break;
	case 0x80000008: /* AMD: cores - 1, and the width of a core's id */
		en->ecx = (en->ecx & ~0xf0ffu) | bits << 12 | (n_cpus - 1);
		break;
	case 0x8000001d: /* AMD caches */
		en->eax &= 0x3fff;
		break;
	case 0x8000001e:
		en->eax = id;
		en->ebx = id;
		en->ecx = 0;
		break;
	}
}

static int set_cpuid(struct vm_kvm *k, struct vm_cpu *c, unsigned int n_cpus, struct err *e)
{
	AUTO_FREE struct kvm_cpuid2 *id =
		mem_new(sizeof(*id) + CPUID_ENTRIES_MAX * sizeof(id->entries[0]));

	id->nent = CPUID_ENTRIES_MAX;
	if (ioctl(k->kvm_fd, KVM_GET_SUPPORTED_CPUID, id) < 0)
		return err_sys(e, "cannot ask KVM what processors it offers");
	for (uint32_t i = 0; i < id->nent; i++) {
		apply_rules(&id->entries[i]);
		apply_topology(&id->entries[i], c->id, n_cpus);
	}
	if (ioctl(c->fd, KVM_SET_CPUID2, id) < 0)
		return err_sys(e, "cannot describe processor %u", c->id);
	return 0;
}

static const struct kvm_msr_entry boot_msrs[] = {
	{.index = MSR_MTRR_DEF_TYPE,
		.data = 0x806}, /* on, write-back: without it Linux has no PAT */
	{.index = MSR_MISC_ENABLE, .data = 1}, /* fast strings */
};

/* After SET_CPUID2: from 6.13 on, Linux checks MSRs against it. */
static int set_msrs(struct vm_cpu *c, struct err *e)
{
	AUTO_FREE struct kvm_msrs *m = mem_new(sizeof(*m) + sizeof(boot_msrs));

	m->nmsrs = ARRAY_SIZE(boot_msrs);
	memcpy(m->entries, boot_msrs, sizeof(boot_msrs));
	/* KVM stops at the first that it does not know: fewer than all is not our concern. */
	if (ioctl(c->fd, KVM_SET_MSRS, m) < 0)
		return err_sys(e, "cannot set registers of processor %u", c->id);
	return 0;
}

int vm_kvm_add_cpu(
	struct vm_kvm *k, unsigned int id, unsigned int n_cpus, struct vm_cpu *ret, struct err *e)
{
	void *run;

	*ret = (struct vm_cpu){.id = id, .run_bytes = k->run_bytes};
	ret->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (ret->fd < 0)
		return err_sys(e, "cannot make processor %u", id);
	run = mmap(NULL, k->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ret->fd, 0);
	if (run == MAP_FAILED) {
		err_sys(e, "cannot map processor %u", id);
		vm_cpu_release(ret);
		return -e->code;
	}
	ret->run = run;
	if (set_cpuid(k, ret, n_cpus, e) < 0 || set_msrs(ret, e) < 0) {
		vm_cpu_release(ret);
		return -e->code;
	}
	return 0;
}

static struct kvm_segment flat_segment(uint8_t type)
{
	return (struct kvm_segment){.base = 0,
		.limit = 0xffffffff,
		.selector = type & 8 ? 0x10 : 0x18,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1};
}

int vm_cpu_set_pvh(struct vm_cpu *c, uint32_t entry, uint32_t start_info, struct err *e)
{
	struct kvm_regs regs = {.rip = entry, .rbx = start_info, .rflags = 2};
	struct kvm_sregs s;

	if (ioctl(c->fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(e, "cannot read registers of processor %u", c->id);
	s.cs = flat_segment(11); /* code, readable, accessed */
	s.ds = s.es = s.fs = s.gs = s.ss = flat_segment(3);
	s.tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
	s.cr0 = 0x11; /* protected mode, 387 */
	s.cr4 = 0;
	s.efer = 0;
	if (ioctl(c->fd, KVM_SET_SREGS, &s) < 0 || ioctl(c->fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(e, "cannot set registers of processor %u", c->id);
	return 0;
}
