/*
 * Seccomp profiles, as JSON, to programs.  What compiles must be a program that the kernel
 * would take: only forward jumps, all inside, no way off the end.
 */
#include <linux/filter.h>
#include <stdint.h>
#include <stdlib.h>

#include "isolation/seccomp_compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct sock_filter *f, size_t n)
{
	if (!n || n > BPF_MAXINSNS || BPF_CLASS(f[n - 1].code) != BPF_RET)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (BPF_CLASS(f[i].code) != BPF_JMP)
			continue;
		if (BPF_OP(f[i].code) == BPF_JA ? f[i].k >= n - i - 1
						: f[i].jt >= n - i - 1 || f[i].jf >= n - i - 1)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_limits limits = {.max_items = 64};
	struct spec_seccomp p = {0};
	struct buf program = {0};
	struct err e = {0};
	bool notify;
	uint32_t flags;

	if (json_read_text(&spec_seccomp_table, (const char *)data, n, &limits, &p, &e) < 0)
		return 0;
	iso_filter_flags(&p, &flags, &e);
	if (iso_filter_compile(&p, &program, &notify, &e) >= 0)
		check((const struct sock_filter *)(const void *)program.p,
			program.n / sizeof(struct sock_filter));
	buf_release(&program);
	json_release(&spec_seccomp_table, &p);
	return 0;
}
