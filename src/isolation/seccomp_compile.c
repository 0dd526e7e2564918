#include "isolation/seccomp_compile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "isolation/seccomp_fold.h"

enum {
	ERRNO_MAX = 4095, /* the kernel's: larger ones are cut to it silently */
	NUMBERS_SCANNED = 1024, /* above any call number that an architecture uses */
	OPTIMIZE_BINARY_TREE = 2,
	API_LEVEL_NEWEST = 15,
	PROGRAM_BYTES_MAX = 1 << 20, /* of libseccomp; the kernel takes far less */
};

/*
 * Calls that appeared after the oldest libseccomp that we build with.  From 424 on the number
 * is the same on every architecture (plus its base).  With this table a profile may name
 * calls that the library does not know yet; rules for them without conditions are honoured.
 */
static const struct newer_call {
	const char *name;
	uint32_t number;
} newer_calls[] = {
	{"cachestat", 451},
	{"fchmodat2", 452},
	{"map_shadow_stack", 453},
	{"futex_wake", 454},
	{"futex_wait", 455},
	{"futex_requeue", 456},
	{"statmount", 457},
	{"listmount", 458},
	{"lsm_get_self_attr", 459},
	{"lsm_set_self_attr", 460},
	{"lsm_list_modules", 461},
	{"mseal", 462},
	{"setxattrat", 463},
	{"getxattrat", 464},
	{"listxattrat", 465},
	{"removexattrat", 466},
	{"open_tree_attr", 467},
	{"file_getattr", 468},
	{"file_setattr", 469},
};

/* first..end is where the ordinary calls of an architecture lie; beyond are private ones. */
static const struct arch {
	const char *name;
	uint32_t token; /* libseccomp's */
	uint32_t audit; /* the kernel's: x86_64 and x32 share one */
	uint32_t first, end;
} arches[] = {
	{"SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, 0, UINT32_MAX},
	{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0, 0x40000000},
	{"SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000, UINT32_MAX},
	{"SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0, 0x0f0000},
	{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0, UINT32_MAX},
	{"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS, AUDIT_ARCH_MIPS, 4000, UINT32_MAX},
	{"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64, AUDIT_ARCH_MIPS64, 5000, UINT32_MAX},
	{"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32, AUDIT_ARCH_MIPS64N32, 6000, UINT32_MAX},
	{"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL, AUDIT_ARCH_MIPSEL, 4000, UINT32_MAX},
	{"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64, AUDIT_ARCH_MIPSEL64, 5000, UINT32_MAX},
	{"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, AUDIT_ARCH_MIPSEL64N32, 6000, UINT32_MAX},
	{"SCMP_ARCH_PPC", SCMP_ARCH_PPC, AUDIT_ARCH_PPC, 0, UINT32_MAX},
	{"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64, AUDIT_ARCH_PPC64, 0, UINT32_MAX},
	{"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE, 0, UINT32_MAX},
	{"SCMP_ARCH_S390", SCMP_ARCH_S390, AUDIT_ARCH_S390, 0, UINT32_MAX},
	{"SCMP_ARCH_S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X, 0, UINT32_MAX},
	{"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC, AUDIT_ARCH_PARISC, 0, UINT32_MAX},
	{"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64, AUDIT_ARCH_PARISC64, 0, UINT32_MAX},
	{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, 0, UINT32_MAX},
#ifdef SCMP_ARCH_LOONGARCH64
	{"SCMP_ARCH_LOONGARCH64", SCMP_ARCH_LOONGARCH64, AUDIT_ARCH_LOONGARCH64, 0, UINT32_MAX},
#endif
#ifdef SCMP_ARCH_M68K
	{"SCMP_ARCH_M68K", SCMP_ARCH_M68K, AUDIT_ARCH_M68K, 0, UINT32_MAX},
#endif
#ifdef SCMP_ARCH_SH
	{"SCMP_ARCH_SH", SCMP_ARCH_SH, AUDIT_ARCH_SHEL, 0, UINT32_MAX},
	{"SCMP_ARCH_SHEB", SCMP_ARCH_SHEB, AUDIT_ARCH_SH, 0, UINT32_MAX},
#endif
};

static const struct {
	const char *name;
	uint32_t bit;
} filter_flags[] = {
	{"SECCOMP_FILTER_FLAG_TSYNC", 1 << 0},
	{"SECCOMP_FILTER_FLAG_LOG", 1 << 1},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", 1 << 2},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5},
};

int iso_filter_flags(const struct spec_seccomp *profile, uint32_t *ret, struct err *e)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < profile->flags.n; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(filter_flags) &&
			strcmp(filter_flags[k].name, profile->flags.v[i]))
			k++;
		if (k == ARRAY_SIZE(filter_flags))
			return err_set(
				e, EINVAL, "unknown seccomp flag '%.100s'", profile->flags.v[i]);
		bits |= filter_flags[k].bit;
	}
	*ret = bits;
	return 0;
}

/* A libseccomp action, which is also the kernel's return value. */
static int action_value(
	int action, bool has_errno, uint32_t errno_ret, uint32_t *ret, struct err *e)
{
	static const uint32_t values[] = {
		[SPEC_ACT_KILL] = SCMP_ACT_KILL_THREAD,
		[SPEC_ACT_KILL_PROCESS] = SCMP_ACT_KILL_PROCESS,
		[SPEC_ACT_KILL_THREAD] = SCMP_ACT_KILL_THREAD,
		[SPEC_ACT_TRAP] = SCMP_ACT_TRAP,
		[SPEC_ACT_ERRNO] = SCMP_ACT_ERRNO(0),
		[SPEC_ACT_TRACE] = SCMP_ACT_TRACE(0),
		[SPEC_ACT_ALLOW] = SCMP_ACT_ALLOW,
		[SPEC_ACT_LOG] = SCMP_ACT_LOG,
		[SPEC_ACT_NOTIFY] = SCMP_ACT_NOTIFY,
	};
	uint32_t data = has_errno ? errno_ret : EPERM;

	if (action < 0 || (size_t)action >= ARRAY_SIZE(values))
		return err_set(e, EINVAL, "unknown seccomp action number %d", action);
	*ret = values[action];
	if (action != SPEC_ACT_ERRNO && action != SPEC_ACT_TRACE)
		return 0;
	if (data > (action == SPEC_ACT_ERRNO ? ERRNO_MAX : UINT16_MAX))
		return err_set(e, EINVAL, "seccomp errnoRet %u is out of range", data);
	*ret |= data;
	return 0;
}

/* Actions that let an unknown call through, or leave it to somebody who can judge it. */
static bool is_permissive(uint32_t action)
{
	uint32_t kind = action & SECCOMP_RET_ACTION_FULL;

	return kind == SCMP_ACT_ALLOW || kind == SCMP_ACT_LOG || kind == SCMP_ACT_NOTIFY ||
	       kind == SCMP_ACT_TRACE(0);
}

static const struct newer_call *newer_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(newer_calls); i++)
		if (!strcmp(newer_calls[i].name, name))
			return &newer_calls[i];
	return NULL;
}

static int comparison(const struct spec_seccomp_arg *a, struct scmp_arg_cmp *ret, struct err *e)
{
	static const enum scmp_compare ops[] = {
		[SPEC_CMP_NE] = SCMP_CMP_NE,
		[SPEC_CMP_LT] = SCMP_CMP_LT,
		[SPEC_CMP_LE] = SCMP_CMP_LE,
		[SPEC_CMP_EQ] = SCMP_CMP_EQ,
		[SPEC_CMP_GE] = SCMP_CMP_GE,
		[SPEC_CMP_GT] = SCMP_CMP_GT,
		[SPEC_CMP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
	};

	if (a->index > 5)
		return err_set(e, EINVAL, "seccomp argument index %u is not 0..5", a->index);
	if (a->op < 0 || (size_t)a->op >= ARRAY_SIZE(ops))
		return err_set(e, EINVAL, "unknown seccomp operator number %d", a->op);
	*ret = (struct scmp_arg_cmp){.arg = a->index, .op = ops[a->op], .datum_a = a->value};
	/* SCMP_CMP_MASKED_EQ: value is the mask, value_two what must remain. */
	if (a->op == SPEC_CMP_MASKED_EQ)
		ret->datum_b = a->value_two;
	return 0;
}

struct compiler {
	scmp_filter_ctx ctx;
	const struct spec_seccomp *profile;
	uint32_t fallback; /* the default action */
	const struct arch *arches[ARRAY_SIZE(arches)];
	size_t n_arches;
	struct {
		uint32_t number, action;
	} newer[ARRAY_SIZE(newer_calls)]; /* rules that libseccomp cannot take */
	size_t n_newer;
	bool notify;
};

static void compiler_release(struct compiler *c)
{
	if (c->ctx)
		seccomp_release(c->ctx);
}

static int add_one(struct compiler *c, uint32_t action, const char *name,
	const struct scmp_arg_cmp *cmp, unsigned int n, struct err *e)
{
	int nr = seccomp_syscall_resolve_name(name);
	int r = seccomp_rule_add_array(c->ctx, action, nr, n, cmp);

	/* -EEXIST: the same rule twice is one rule. */
	if (r < 0 && r != -EEXIST)
		return err_set(e, -r, "cannot add the seccomp rule for '%.100s': %s", name,
			strerrordesc_np(-r));
	return 0;
}

/* The first rule of a name wins, as there is nothing to merge without conditions. */
static void add_newer(struct compiler *c, uint32_t action, const struct newer_call *call)
{
	for (size_t i = 0; i < c->n_newer; i++)
		if (c->newer[i].number == call->number)
			return;
	c->newer[c->n_newer].number = call->number;
	c->newer[c->n_newer++].action = action;
}

static int add_name(struct compiler *c, uint32_t action, const char *name,
	const struct scmp_arg_cmp *cmp, size_t n, bool alternatives, struct err *e)
{
	int r = 0;

	if (seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR) {
		const struct newer_call *call = newer_call(name);

		if (call && !n)
			add_newer(c, action, call);
		return 0;
	}
	if (!alternatives)
		return add_one(c, action, name, cmp, (unsigned int)n, e);
	for (size_t i = 0; i < n && !r; i++)
		r = add_one(c, action, name, cmp + i, 1, e);
	return r;
}

/*
 * libseccomp takes one condition for each argument.  When a rule has two for the same, other
 * runtimes have always read each condition as a rule of its own, and profiles rely on it.
 */
static bool has_alternatives(const struct spec_seccomp_rule *rule)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		if (seen & 1u << rule->args[i].index)
			return true;
		seen |= 1u << rule->args[i].index;
	}
	return false;
}

static int add_rule(struct compiler *c, const struct spec_seccomp_rule *rule, struct err *e)
{
	AUTO_FREE struct scmp_arg_cmp *cmp = mem_new_array(rule->n_args + 1, sizeof(*cmp));
	uint32_t action;
	int r = action_value(rule->action, rule->has_errno_ret, rule->errno_ret, &action, e);

	for (size_t i = 0; i < rule->n_args && !r; i++)
		r = comparison(&rule->args[i], &cmp[i], e);
	if (r < 0)
		return r;
	/* Saying the default again is no rule; libseccomp refuses it. */
	if (action == c->fallback)
		return 0;
	c->notify |= action == SCMP_ACT_NOTIFY;
	for (size_t i = 0; i < rule->names.n && !r; i++)
		r = add_name(
			c, action, rule->names.v[i], cmp, rule->n_args, has_alternatives(rule), e);
	return r;
}

static int add_arch(struct compiler *c, const struct arch *a, struct err *e)
{
	int r;

	for (size_t i = 0; i < c->n_arches; i++)
		if (c->arches[i] == a)
			return 0;
	if (seccomp_arch_exist(c->ctx, a->token) < 0) {
		r = seccomp_arch_add(c->ctx, a->token);
		if (r < 0)
			return err_set(e, -r, "cannot add seccomp architecture '%s': %s%s", a->name,
				strerrordesc_np(-r),
				r == -EDOM ? "; its byte order is not this machine's" : "");
	}
	c->arches[c->n_arches++] = a;
	return 0;
}

/* The native architecture is always in: the program that is to run needs it. */
static int add_arches(struct compiler *c, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		if (arches[i].token == seccomp_arch_native())
			r = add_arch(c, &arches[i], e);
	for (size_t i = 0; i < c->profile->architectures.n && !r; i++) {
		const char *name = c->profile->architectures.v[i];
		size_t k = 0;

		while (k < ARRAY_SIZE(arches) && strcmp(arches[k].name, name))
			k++;
		if (k == ARRAY_SIZE(arches))
			return err_set(e, EINVAL, "unknown seccomp architecture '%.100s'", name);
		r = add_arch(c, &arches[k], e);
	}
	return r;
}

static int open_context(struct compiler *c, struct err *e)
{
	int r = action_value(c->profile->default_action, c->profile->has_default_errno_ret,
		c->profile->default_errno_ret, &c->fallback, e);

	if (r < 0)
		return r;
	/* What the program may use depends on the library alone, not on the kernel compiled on. */
	for (unsigned int level = API_LEVEL_NEWEST; level && seccomp_api_set(level) < 0; level--)
		;
	c->notify = c->fallback == SCMP_ACT_NOTIFY;
	c->ctx = seccomp_init(c->fallback);
	if (!c->ctx)
		return err_set(e, EINVAL, "libseccomp refuses the default action");
	r = seccomp_attr_set(c->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = seccomp_attr_set(c->ctx, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_BINARY_TREE);
	if (r < 0)
		return err_set(e, -r, "cannot set up the seccomp filter: %s", strerrordesc_np(-r));
	return add_arches(c, e);
}

static uint32_t newest_known(const struct arch *a)
{
	for (uint32_t n = NUMBERS_SCANNED; n > 0; n--) {
		char *name = seccomp_syscall_resolve_num_arch(a->token, (int)(a->first + n - 1));

		free(name);
		if (name)
			return a->first + n - 1;
	}
	return a->end - 1;
}

static void emit(struct buf *b, struct sock_filter insn)
{
	buf_add(b, &insn, sizeof(insn));
}

/* Jumps that a condition takes to the end of its block; patched when the end is known. */
static void emit_unless(struct buf *b, uint16_t op, uint32_t k)
{
	emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | op | BPF_K, k, 1, 0));
	emit(b, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
}

static void patch_exits(struct buf *b, size_t from)
{
	struct sock_filter *insns = (struct sock_filter *)(void *)b->p;
	size_t n = b->n / sizeof(*insns);

	for (size_t i = from; i < n; i++)
		if (insns[i].code == (BPF_JMP | BPF_JA) && !insns[i].k)
			insns[i].k = (uint32_t)(n - i - 1);
}

/*
 * One block before libseccomp's program.  A call that the library does not know cannot be
 * named in its rules, so the default would refuse it with EPERM, and a libc that probes for a
 * new call would take that for an answer.  ENOSYS makes it fall back.
 */
static void emit_newer(struct buf *b, const struct compiler *c, const struct arch *a)
{
	bool unknown = !is_permissive(c->fallback) && c->fallback != SCMP_ACT_ERRNO(ENOSYS);
	size_t start = b->n / sizeof(struct sock_filter);

	if (!unknown && !c->n_newer)
		return;
	emit(b, (struct sock_filter)BPF_STMT(
			BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
	emit_unless(b, BPF_JEQ, a->audit);
	emit(b, (struct sock_filter)BPF_STMT(
			BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	emit_unless(b, BPF_JGT, newest_known(a));
	if (a->end != UINT32_MAX) {
		emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, a->end, 0, 1));
		emit(b, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
	}
	for (size_t i = 0; i < c->n_newer; i++) {
		emit(b, (struct sock_filter)BPF_JUMP(
				BPF_JMP | BPF_JEQ | BPF_K, a->first + c->newer[i].number, 0, 1));
		emit(b, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, c->newer[i].action));
	}
	if (unknown)
		emit(b, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)));
	patch_exits(b, start);
}

static int export(const struct compiler *c, struct buf *b, struct err *e)
{
	AUTO_BUF struct buf program = {0};
	AUTO_FD int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, "cannot make a memory file for the seccomp program");
	r = seccomp_export_bpf(c->ctx, fd);
	if (r < 0)
		return err_set(
			e, -r, "libseccomp cannot generate the program: %s", strerrordesc_np(-r));
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "cannot read the seccomp program");
	r = file_read_fd(fd, "seccomp program", PROGRAM_BYTES_MAX, &program, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n_arches; i++)
		emit_newer(b, c, c->arches[i]);
	buf_add(b, program.p, program.n);
	if (b->n > BPF_MAXINSNS * sizeof(struct sock_filter))
		return err_set(e, E2BIG,
			"the seccomp profile needs %zu instructions, and the kernel takes %d; use "
			"fewer "
			"conditions or architectures",
			b->n / sizeof(struct sock_filter), BPF_MAXINSNS);
	return 0;
}

int iso_filter_compile(
	const struct spec_seccomp *profile, struct buf *ret, bool *ret_notify, struct err *e)
{
	__attribute__((cleanup(compiler_release))) struct compiler c = {.profile = profile};
	AUTO_BUF struct buf b = {0};
	int r = open_context(&c, e);

	for (size_t i = 0; i < profile->n_syscalls && !r; i++)
		r = add_rule(&c, &profile->syscalls[i], e);
	if (!r)
		r = export(&c, &b, e);
	if (!r)
		r = iso_filter_fold(&b, e);
	if (r < 0)
		return r;
	buf_release(ret);
	*ret = b;
	b = (struct buf){0};
	*ret_notify = c.notify;
	return 0;
}
