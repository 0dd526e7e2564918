/*
 * The device filter of a v2 group: a BPF program of type CGROUP_DEVICE, assembled by hand from
 * the rules.  About ten instructions for each rule; no library, no compiler, no map.
 *
 * The kernel runs it with R1 at { u32 access_type; u32 major; u32 minor }, where access_type is
 * access << 16 | type, and 1 in R0 allows (linux/bpf.h, struct bpf_cgroup_dev_ctx).
 *
 * Rules are read from the last to the first.  R6 holds the access bits that nobody has decided
 * yet: a rule that allows takes its bits out, and none left allows; a rule that denies one of
 * those left denies.  So for each bit the last rule that speaks about it decides, which is what
 * writing the rules to a v1 group in order does.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "isolation/cgroup_int.h"

enum { RULES_MAX = 400, ATTACHED_MAX = 64 };

static const char program_name[] = "jail_devices"; /* at most BPF_OBJ_NAME_LEN - 1 */

struct program {
	struct bpf_insn *v;
	size_t n, cap;
};

static void emit(struct program *p, uint8_t code, int dst, int src, int off, int32_t imm)
{
	p->v = mem_grow(p->v, &p->cap, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm};
}

#define MOV_IMM(p, dst, imm)	     emit(p, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define MOV_REG(p, dst, src)	     emit(p, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define LOAD_U32(p, dst, src, off)   emit(p, BPF_LDX | BPF_MEM | BPF_W, dst, src, off, 0)
#define AND_IMM(p, dst, imm)	     emit(p, BPF_ALU | BPF_AND | BPF_K, dst, 0, 0, imm)
#define SHR_IMM(p, dst, imm)	     emit(p, BPF_ALU | BPF_RSH | BPF_K, dst, 0, 0, imm)
#define JUMP_IMM(p, op, dst, imm, n) emit(p, BPF_JMP32 | (op) | BPF_K, dst, 0, n, imm)
#define EXIT(p)			     emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static void emit_verdict(struct program *p, int verdict)
{
	MOV_IMM(p, BPF_REG_0, verdict);
	EXIT(p);
}

/* R2: type, R3: access, R4: major, R5: minor, R6: access bits still undecided */
static void emit_head(struct program *p)
{
	LOAD_U32(p, BPF_REG_2, BPF_REG_1, 0);
	MOV_REG(p, BPF_REG_6, BPF_REG_2);
	AND_IMM(p, BPF_REG_2, 0xffff);
	SHR_IMM(p, BPF_REG_6, 16);
	LOAD_U32(p, BPF_REG_4, BPF_REG_1, 4);
	LOAD_U32(p, BPF_REG_5, BPF_REG_1, 8);
}

/* Each test that fails jumps over the rest of its rule; the distances are filled in at the end. */
static void emit_rule(struct program *p, const struct cgroup_device *d)
{
	size_t jumps[3], n = 0;

	if (d->type != 'a') {
		jumps[n++] = p->n;
		JUMP_IMM(p, BPF_JNE, BPF_REG_2, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0);
	}
	if (d->major >= 0) {
		jumps[n++] = p->n;
		JUMP_IMM(p, BPF_JNE, BPF_REG_4, (int32_t)d->major, 0);
	}
	if (d->minor >= 0) {
		jumps[n++] = p->n;
		JUMP_IMM(p, BPF_JNE, BPF_REG_5, (int32_t)d->minor, 0);
	}
	if (d->allow) {
		AND_IMM(p, BPF_REG_6, (int32_t)(~d->access & CGROUP_DEV_ALL));
		JUMP_IMM(p, BPF_JNE, BPF_REG_6, 0, 2);
		emit_verdict(p, 1);
	} else {
		MOV_REG(p, BPF_REG_3, BPF_REG_6);
		AND_IMM(p, BPF_REG_3, (int32_t)d->access);
		JUMP_IMM(p, BPF_JEQ, BPF_REG_3, 0, 2);
		emit_verdict(p, 0);
	}
	for (size_t i = 0; i < n; i++)
		p->v[jumps[i]].off = (int16_t)(p->n - jumps[i] - 1);
}

static int assemble(const struct spec_device_rule *rules, size_t n, struct program *p, struct err *e)
{
	if (n > RULES_MAX)
		return err_set(e, E2BIG, "%zu device rules are more than the %d that a filter may have", n, RULES_MAX);
	emit_head(p);
	while (n--) {
		struct cgroup_device d;
		int r = cgroup_device_check(&rules[n], &d, e);

		if (r < 0)
			return r;
		emit_rule(p, &d);
	}
	emit_verdict(p, 1);
	return 0;
}

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* The kernel refuses a union with a bit set beyond the command's own part: clear all of it. */
static void attr_clear(union bpf_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
}

/* An owned descriptor of the loaded program. */
static int load(const struct program *p, struct err *e)
{
	static const char license[] = "BSD";
	union bpf_attr attr;
	int fd;

	attr_clear(&attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)p->v;
	attr.insn_cnt = (uint32_t)p->n;
	attr.license = (uintptr_t)license;
	memcpy(attr.prog_name, program_name, sizeof(program_name));
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		return fd;
	err_sys(e, "cannot load the device filter into the kernel");
	if (e->code == EPERM)
		return err_hint(e, "that needs CAP_BPF and CAP_NET_ADMIN, which plain users do not have");
	if (e->code == EINVAL || e->code == ENOSYS)
		return err_hint(e, "the kernel needs CONFIG_CGROUP_BPF");
	return -e->code;
}

static bool is_ours(int prog_fd)
{
	struct bpf_prog_info info = {0};
	union bpf_attr attr;

	attr_clear(&attr);
	attr.info.bpf_fd = (uint32_t)prog_fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	return !bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) && !strncmp(info.name, program_name, sizeof(info.name));
}

/* The filter that an earlier call attached to this group: owned, or -ENOENT. */
static int attached(int dir_fd, struct err *e)
{
	uint32_t ids[ATTACHED_MAX];
	union bpf_attr query, get;

	attr_clear(&query);
	query.query.target_fd = (uint32_t)dir_fd;
	query.query.attach_type = BPF_CGROUP_DEVICE;
	query.query.prog_ids = (uintptr_t)ids;
	query.query.prog_cnt = ATTACHED_MAX;
	if (bpf(BPF_PROG_QUERY, &query) < 0)
		return err_sys(e, "cannot ask for the group's device filters");
	for (uint32_t i = 0; i < query.query.prog_cnt; i++) {
		attr_clear(&get);
		get.prog_id = ids[i];
		AUTO_FD int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);
		if (fd >= 0 && is_ours(fd))
			return fd_take(&fd);
	}
	return -ENOENT;
}

/*
 * With BPF_F_ALLOW_MULTI other filters (a service manager's) stay, and all must allow.  Ours is
 * replaced in one step (BPF_F_REPLACE, Linux 5.6): at no moment is there none, or are there two.
 */
int cgroup_bpf_set_devices(int dir_fd, const struct spec_device_rule *rules, size_t n, struct err *e)
{
	struct program p = {0};
	union bpf_attr attr;
	AUTO_FD int old = -EBADF;
	AUTO_FD int fd = -EBADF;
	int r = assemble(rules, n, &p, e);

	if (r >= 0)
		r = fd = load(&p, e);
	free(p.v);
	if (r < 0)
		return r;
	old = attached(dir_fd, e);
	if (old < 0 && old != -ENOENT)
		return old;
	attr_clear(&attr);
	attr.target_fd = (uint32_t)dir_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (old >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)old;
	}
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return err_sys(e, "cannot attach the device filter to the group");
	return 0;
}
