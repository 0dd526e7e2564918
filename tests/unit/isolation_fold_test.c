/*
 * Folding must change no decision: the folded program and libseccomp's own are run side by side
 * over every architecture and number that matters, with arguments on every edge.
 */
#include "test.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "isolation/isolation.h"
#include "isolation/seccomp_compile.h"
#include "isolation/seccomp_fold.h"

/* A plain interpreter of classic BPF as seccomp uses it. */
static uint32_t interpret(const struct buf *b, const struct seccomp_data *d)
{
	const struct sock_filter *p = (const struct sock_filter *)(const void *)b->p;
	uint32_t a = 0, x = 0, m[BPF_MEMWORDS] = {0};

	for (size_t pc = 0; pc < b->n / sizeof(*p); pc++) {
		const struct sock_filter *i = &p[pc];
		bool t;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)d + i->k, 4);
			continue;
		case BPF_ST:
			m[i->k] = a;
			continue;
		case BPF_LD | BPF_MEM:
			a = m[i->k];
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_MISC | BPF_TAX:
			x = a;
			continue;
		case BPF_MISC | BPF_TXA:
			a = x;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			t = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			t = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			t = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			t = a & i->k;
			break;
		default:
			printf("# unknown instruction %#x\n", i->code);
			return 0xdead;
		}
		pc += t ? i->jt : i->jf;
	}
	return 0xdead;
}

static size_t differ(const struct buf *a, const struct buf *b)
{
	static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0, 1};
	static const uint64_t args[] = {0, 1, 2, 3, 10, 16, 0x5412, 0x541c, 0x100005412, 0x7e020000, 0x10000000, 0xffffffff,
		0xffffffffffffffff, 0x20000, 0x80};
	static const uint32_t bases[] = {0, 0x40000000, 0x0f0000};
	size_t n = 0;

	for (size_t k = 0; k < ARRAY_SIZE(arches); k++)
		for (size_t j = 0; j < ARRAY_SIZE(bases); j++)
			for (uint32_t nr = 0; nr < 1100; nr++)
				for (size_t v = 0; v < ARRAY_SIZE(args) * 2; v++) {
					struct seccomp_data d = {.arch = arches[k], .nr = (int)(bases[j] + nr - 30)};

					for (size_t q = 0; q < 6; q++)
						d.args[q] = v < ARRAY_SIZE(args) ? args[v] : args[(v + q * 7) % ARRAY_SIZE(args)];
					n += interpret(a, &d) != interpret(b, &d);
				}
	return n;
}

static int fold_copy(const struct buf *in, struct buf *out, struct err *e)
{
	buf_add(out, in->p, in->n);
	return iso_filter_fold(out, e);
}

TEST(folding_twice_changes_nothing_and_decides_the_same)
{
	struct spec_seccomp p = {0};
	AUTO_BUF struct buf once = {0};
	AUTO_BUF struct buf twice = {0};
	struct err e = {0};
	bool notify;

	iso_seccomp_default(&p);
	CHECK_INT(iso_filter_compile(&p, &once, &notify, &e), 0);
	printf("# %zu instructions\n", once.n / sizeof(struct sock_filter));
	CHECK(once.n / sizeof(struct sock_filter) < 450);
	CHECK(fold_copy(&once, &twice, &e) >= 0);
	CHECK_INT(differ(&once, &twice), 0);
	json_release(&spec_seccomp_table, &p);
}

static void add(struct buf *b, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	const struct sock_filter i = {code, jt, jf, k};

	buf_add(b, &i, sizeof(i));
}

/* A chain as a naive compiler writes it, with every second number allowed and one by argument. */
TEST(a_long_chain_becomes_a_search)
{
	AUTO_BUF struct buf chain = {0};
	AUTO_BUF struct buf folded = {0};
	struct err e = {0};

	add(&chain, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	add(&chain, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
	add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
	add(&chain, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	for (uint32_t nr = 0; nr < 600; nr++) {
		add(&chain, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr);
		add(&chain, BPF_RET | BPF_K, 0, 0, nr % 200 < 100 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | 1);
	}
	add(&chain, BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 700);
	add(&chain, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[1]));
	add(&chain, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff);
	add(&chain, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 3);
	add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 2);
	add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 38);
	CHECK_INT(fold_copy(&chain, &folded, &e), 1);
	printf("# %zu to %zu instructions\n", chain.n / 8, folded.n / 8);
	CHECK(folded.n / 8 < 40);
	CHECK_INT(differ(&chain, &folded), 0);
}

TEST(distances_beyond_a_conditional_jump_are_bridged)
{
	AUTO_BUF struct buf chain = {0};
	AUTO_BUF struct buf folded = {0};
	struct err e = {0};

	add(&chain, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	for (uint32_t nr = 0; nr < 1000; nr += 2) {
		add(&chain, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, nr);
		add(&chain, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
		add(&chain, BPF_JMP | BPF_JA, 0, 0, 0);
		add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (nr % 7));
	}
	add(&chain, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	CHECK(fold_copy(&chain, &folded, &e) >= 0);
	CHECK_INT(differ(&chain, &folded), 0);
}

TEST(what_cannot_be_folded_is_left_alone)
{
	AUTO_BUF struct buf p = {0};
	struct err e = {0};

	add(&p, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	add(&p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff);
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 3);
	add(&p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	add(&p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 1);
	CHECK_INT(iso_filter_fold(&p, &e), 0);
	CHECK_INT(p.n, 5 * sizeof(struct sock_filter));
}

TEST(malformed_programs_are_refused)
{
	AUTO_BUF struct buf p = {0};
	struct err e = {0};

	CHECK_INT(iso_filter_fold(&p, &e), -EINVAL);
	add(&p, BPF_JMP | BPF_JA, 0, 0, 0xffffffff);
	add(&p, BPF_RET | BPF_K, 0, 0, 0);
	CHECK_INT(iso_filter_fold(&p, &e), -EINVAL);
	buf_release(&p);
	add(&p, BPF_LD | BPF_W | BPF_ABS, 0, 0, 0);
	CHECK_INT(iso_filter_fold(&p, &e), -EINVAL);
}

TEST_MAIN
