#include "isolation/seccomp_fold.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>

enum {
	ARCH_AT = offsetof(struct seccomp_data, arch),
	NR_AT = offsetof(struct seccomp_data, nr),
	POINTS_MAX = 4096,
	JUMP_MAX = 255, /* of a conditional jump */
	VISITS_MAX = 4096, /* of instructions, while one call's arguments are explored */
};

/* What the program answers for one architecture and one call number. */
struct answer {
	bool by_arguments;
	uint32_t value; /* the action, or the instruction at which the first argument is loaded */
};

/*
 * A call whose answer depends on one 32-bit word of its arguments, compared as a whole or by its
 * upper bits: then the answers are ranges of that word, as they are of call numbers.
 */
struct word {
	size_t pc;    /* where the arguments are looked at first */
	uint32_t nr, arch;
	bool known;   /* `at` is */
	uint32_t at;  /* offset in struct seccomp_data */
	uint32_t *points;
	size_t n_points;
	unsigned int visits;
};

struct fold {
	const struct sock_filter *in;
	size_t n_in;
	struct buf back; /* the new program, its last instruction first */
	uint32_t *arches, *points; /* sorted, unique */
	size_t n_arches, n_points;
	size_t *entry; /* the place of an instruction of `in` that was kept */
};

enum loaded { NOTHING, ARCH, NR };

static bool compares(const struct sock_filter *i)
{
	return BPF_CLASS(i->code) == BPF_JMP && BPF_SRC(i->code) == BPF_K && BPF_OP(i->code) != BPF_JA &&
	       BPF_OP(i->code) != BPF_JSET;
}

static bool holds(const struct sock_filter *i, uint32_t a)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a == i->k;
	case BPF_JGT:
		return a > i->k;
	default:
		return a >= i->k;
	}
}

/*
 * Runs the program as far as it depends on the two values alone.  -ENOTSUP: it computes with
 * them instead of comparing.
 */
static int run(const struct fold *f, uint32_t arch, uint32_t nr, struct answer *ret)
{
	enum loaded have = NOTHING;

	for (size_t pc = 0; pc < f->n_in;) {
		const struct sock_filter *i = &f->in[pc];

		if (i->code == (BPF_RET | BPF_K)) {
			*ret = (struct answer){.value = i->k};
			return 0;
		}
		if (i->code == (BPF_LD | BPF_W | BPF_ABS)) {
			have = i->k == ARCH_AT ? ARCH : i->k == NR_AT ? NR : NOTHING;
			if (have == NOTHING) {
				*ret = (struct answer){.by_arguments = true, .value = (uint32_t)pc};
				return 0;
			}
			pc++;
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			pc += 1 + i->k;
		} else if (compares(i) && have != NOTHING) {
			pc += 1u + (holds(i, have == ARCH ? arch : nr) ? i->jt : i->jf);
		} else {
			return -ENOTSUP;
		}
	}
	return -EINVAL;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static size_t sort_unique(uint32_t *v, size_t n)
{
	size_t k = 0;

	qsort(v, n, sizeof(*v), by_value);
	for (size_t i = 0; i < n; i++)
		if (!k || v[k - 1] != v[i])
			v[k++] = v[i];
	return k;
}

/* Every value at which any comparison can change its mind, and every architecture named. */
static int gather(struct fold *f)
{
	enum loaded have = NOTHING;

	f->arches = mem_new_array(f->n_in + 1, sizeof(uint32_t));
	f->points = mem_new_array(2 * f->n_in + 1, sizeof(uint32_t));
	f->n_points = 1; /* 0 */
	for (size_t pc = 0; pc < f->n_in; pc++) {
		const struct sock_filter *i = &f->in[pc];

		/*
		 * What is loaded here may differ from path to path; a value too many is a search
		 * step too many, so both lists take all constants of comparisons.
		 */
		if (i->code == (BPF_LD | BPF_W | BPF_ABS))
			have = i->k == ARCH_AT ? ARCH : NR;
		if (!compares(i))
			continue;
		if (have == ARCH && BPF_OP(i->code) == BPF_JEQ)
			f->arches[f->n_arches++] = i->k;
		f->points[f->n_points++] = i->k;
		if (i->k != UINT32_MAX)
			f->points[f->n_points++] = i->k + 1;
	}
	f->n_arches = sort_unique(f->arches, f->n_arches);
	f->n_points = sort_unique(f->points, f->n_points);
	return f->n_points > POINTS_MAX ? -ENOTSUP : 0;
}

/*
 * The new program is written from its end to its beginning, so that what a jump leads to is
 * there already: `back` holds it in reverse, and a place is its distance from the end.
 */
static size_t emit(struct fold *f, struct sock_filter i)
{
	buf_add(&f->back, &i, sizeof(i));
	return f->back.n / sizeof(i) - 1;
}

static size_t places(const struct fold *f)
{
	return f->back.n / sizeof(struct sock_filter);
}

static const struct sock_filter *at_place(const struct fold *f, size_t place)
{
	return (const struct sock_filter *)(const void *)f->back.p + place;
}

/* A jump to a place from the instruction that is emitted next. */
static size_t distance(const struct fold *f, size_t place)
{
	return places(f) - place - 1;
}

static size_t emit_jump(struct fold *f, size_t place)
{
	return emit(f, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)distance(f, place)));
}

/* A comparison; a target too far for its eight bits gets one instruction that can go anywhere. */
static size_t emit_compare(struct fold *f, uint16_t op, uint32_t k, size_t yes, size_t no)
{
	if (distance(f, no) > JUMP_MAX - 1)
		no = emit_jump(f, no);
	if (distance(f, yes) > JUMP_MAX)
		yes = emit_jump(f, yes);
	return emit(f, (struct sock_filter)BPF_JUMP(BPF_JMP | op | BPF_K, k, (uint8_t)distance(f, yes), (uint8_t)distance(f, no)));
}

/* A range of numbers, up to where the next begins. */
struct range {
	uint32_t from;
	struct answer a;
};

/* Where an answer is given: near by already, or by one more instruction. */
static size_t emit_leaf(struct fold *f, const struct answer *a)
{
	size_t n = places(f);

	if (a->by_arguments)
		return f->entry[a->value];
	for (size_t back = 0; back < MIN(n, (size_t)JUMP_MAX - 1); back++) {
		const struct sock_filter *i = at_place(f, n - 1 - back);

		if (i->code == (BPF_RET | BPF_K) && i->k == a->value)
			return n - 1 - back;
	}
	return emit(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, a->value));
}

static size_t emit_search(struct fold *f, const struct range *r, size_t n)
{
	size_t half = n / 2, low, high;

	if (n == 1)
		return emit_leaf(f, &r->a);
	high = emit_search(f, r + half, n - half);
	low = emit_search(f, r, half);
	return emit_compare(f, BPF_JGE, r[half].from, high, low);
}

/* Bits that are set from the top down, so that what they leave out is a range. */
static bool is_upper_mask(uint32_t m)
{
	return !(~m & (~m + 1));
}

static void add_point(struct word *w, uint64_t value)
{
	if (value <= UINT32_MAX && w->n_points < POINTS_MAX)
		w->points[w->n_points++] = (uint32_t)value;
}

/* What A holds on a path: some word of the data, and the bits of it that are left. */
struct held {
	uint32_t at, mask;
};

/* True when this comparison is of the word that decides; its edges are then points. */
static bool explore_compare(struct word *w, const struct sock_filter *i, struct held a)
{
	if (!a.mask)
		return true; /* no bit is left: it decides nothing */
	if (!w->known) {
		w->known = true;
		w->at = a.at;
	}
	if (w->at != a.at || !is_upper_mask(a.mask))
		return false;
	add_point(w, i->k);
	add_point(w, (uint64_t)(i->k | ~a.mask) + 1);
	return true;
}

static bool explore(const struct fold *f, struct word *w, size_t pc, struct held a)
{
	for (;;) {
		const struct sock_filter *i = &f->in[pc];
		bool fixed = a.at == ARCH_AT || a.at == NR_AT;

		if (w->visits++ > VISITS_MAX)
			return false;
		if (i->code == (BPF_RET | BPF_K))
			return true;
		if (i->code == (BPF_LD | BPF_W | BPF_ABS)) {
			a = (struct held){i->k, UINT32_MAX};
		} else if (i->code == (BPF_ALU | BPF_AND | BPF_K) && !fixed) {
			a.mask &= i->k;
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			pc += i->k;
		} else if (compares(i) && fixed) {
			pc += holds(i, a.at == ARCH_AT ? w->arch : w->nr) ? i->jt : i->jf;
		} else if (compares(i)) {
			if (!explore_compare(w, i, a) || !explore(f, w, pc + 1 + i->jt, a))
				return false;
			pc += i->jf;
		} else {
			return false;
		}
		pc++;
	}
}

/* The program from w->pc on, with the word that decides known; the others decide nothing. */
static uint32_t run_word(const struct fold *f, const struct word *w, uint32_t value)
{
	uint32_t a = 0;

	for (size_t pc = w->pc;; pc++) {
		const struct sock_filter *i = &f->in[pc];

		if (i->code == (BPF_RET | BPF_K))
			return i->k;
		if (i->code == (BPF_LD | BPF_W | BPF_ABS))
			a = i->k == w->at ? value : i->k == NR_AT ? w->nr : i->k == ARCH_AT ? w->arch : 0;
		else if (i->code == (BPF_ALU | BPF_AND | BPF_K))
			a &= i->k;
		else if (i->code == (BPF_JMP | BPF_JA))
			pc += i->k;
		else
			pc += holds(i, a) ? i->jt : i->jf;
	}
}

static bool same(const struct answer *a, const struct answer *b)
{
	return a->by_arguments == b->by_arguments && a->value == b->value;
}

/* The ranges of one architecture; r has room for n_points. */
static int find_ranges(const struct fold *f, uint32_t arch, struct range *r, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_points; i++) {
		struct answer a;
		int e = run(f, arch, f->points[i], &a);

		if (e < 0)
			return e;
		if (!n || !same(&r[n - 1].a, &a))
			r[n++] = (struct range){f->points[i], a};
	}
	*ret_n = n;
	return 0;
}

static void mark(const struct fold *f, bool *reached, size_t pc)
{
	while (pc < f->n_in && !reached[pc]) {
		const struct sock_filter *i = &f->in[pc];

		reached[pc] = true;
		if (BPF_CLASS(i->code) == BPF_RET)
			return;
		if (i->code == (BPF_JMP | BPF_JA)) {
			pc += 1 + i->k;
		} else if (BPF_CLASS(i->code) == BPF_JMP) {
			mark(f, reached, pc + 1 + i->jt);
			pc += 1u + i->jf;
		} else {
			pc++;
		}
	}
}

/*
 * The instructions that look at arguments stay as they are, in their order.  Only what lay
 * between them is gone, so no jump among them has grown.
 */
static void emit_arguments(struct fold *f, const bool *reached)
{
	for (size_t pc = f->n_in; pc-- > 0;) {
		struct sock_filter i = f->in[pc];

		if (!reached[pc])
			continue;
		if (i.code == (BPF_JMP | BPF_JA)) {
			i.k = (uint32_t)distance(f, f->entry[pc + 1 + i.k]);
		} else if (BPF_CLASS(i.code) == BPF_JMP) {
			i.jt = (uint8_t)distance(f, f->entry[pc + 1 + i.jt]);
			i.jf = (uint8_t)distance(f, f->entry[pc + 1 + i.jf]);
		}
		f->entry[pc] = emit(f, i);
	}
}

struct arch_ranges {
	struct range *r;
	size_t n;
	uint32_t arch;
};

/*
 * Makes a search of a call's arguments in place of the instructions that look at them; false
 * when they are of another kind, and stay.  Only for one number: many may come by the same way.
 */
static bool emit_word(struct fold *f, const struct range *r, uint32_t arch)
{
	AUTO_FREE uint32_t *points = mem_new_array(POINTS_MAX, sizeof(*points));
	struct word w = {.pc = r->a.value, .nr = r->from, .arch = arch, .points = points, .n_points = 1};
	AUTO_FREE struct range *ranges = NULL;
	size_t n = 0, root;

	if (!explore(f, &w, w.pc, (struct held){ARCH_AT, UINT32_MAX}) || !w.known || w.n_points == POINTS_MAX)
		return false;
	w.n_points = sort_unique(points, w.n_points);
	ranges = mem_new_array(w.n_points, sizeof(*ranges));
	for (size_t i = 0; i < w.n_points; i++) {
		const struct answer a = {.value = run_word(f, &w, points[i])};

		if (!n || !same(&ranges[n - 1].a, &a))
			ranges[n++] = (struct range){points[i], a};
	}
	root = emit_search(f, ranges, n);
	if (root != places(f) - 1)
		emit_jump(f, root);
	f->entry[w.pc] = emit(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, w.at));
	return true;
}

/* A number of its own, which no other range shares its instructions with. */
static bool is_single(const struct arch_ranges *a, size_t n_arches, size_t k, size_t i)
{
	size_t users = 0;

	for (size_t x = 0; x < n_arches; x++)
		for (size_t y = 0; y < a[x].n; y++)
			users += a[x].r[y].a.by_arguments && a[x].r[y].a.value == a[k].r[i].a.value;
	return users == 1 && i + 1 < a[k].n && a[k].r[i + 1].from == a[k].r[i].from + 1;
}

static size_t emit_arch(struct fold *f, const struct arch_ranges *a)
{
	size_t root = emit_search(f, a->r, a->n);

	/* The search must follow its load directly. */
	if (a->n > 1 && root != places(f) - 1)
		emit_jump(f, root);
	return a->n > 1 ? emit(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR_AT)) : root;
}

static void emit_all(struct fold *f, const struct arch_ranges *a)
{
	AUTO_FREE bool *reached = mem_new_array(f->n_in, sizeof(*reached));
	size_t next;

	f->entry = mem_new_array(f->n_in, sizeof(*f->entry));
	for (size_t k = 0; k <= f->n_arches; k++)
		for (size_t i = 0; i < a[k].n; i++)
			if (a[k].r[i].a.by_arguments &&
				!(is_single(a, f->n_arches + 1, k, i) && emit_word(f, &a[k].r[i], a[k].arch)))
				mark(f, reached, a[k].r[i].a.value);
	emit_arguments(f, reached);
	next = emit_arch(f, &a[f->n_arches]);
	for (size_t k = f->n_arches; k-- > 0;) {
		size_t own = emit_arch(f, &a[k]);

		next = emit_compare(f, BPF_JEQ, f->arches[k], own, next);
	}
	if (next != places(f) - 1)
		emit_jump(f, next);
	emit(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH_AT));
}

/* Some architecture that the program does not name. */
static uint32_t other_arch(const struct fold *f)
{
	uint32_t other = 0;

	while (bsearch(&other, f->arches, f->n_arches, sizeof(other), by_value))
		other++;
	return other;
}

static int rewrite(struct fold *f)
{
	AUTO_FREE struct arch_ranges *a = mem_new_array(f->n_arches + 1, sizeof(*a));
	AUTO_FREE struct range *all = mem_new_array((f->n_arches + 1) * f->n_points, sizeof(*all));
	int r = 0;

	for (size_t k = 0; k <= f->n_arches && !r; k++) {
		a[k].r = all + k * f->n_points;
		a[k].arch = k < f->n_arches ? f->arches[k] : other_arch(f);
		r = find_ranges(f, a[k].arch, a[k].r, &a[k].n);
	}
	if (!r)
		emit_all(f, a);
	return r;
}

static void fold_release(struct fold *f)
{
	buf_release(&f->back);
	free(f->arches);
	free(f->points);
	free(f->entry);
}

/* Every jump lands inside: what follows may then run it without looking. */
static bool well_formed(const struct sock_filter *in, size_t n)
{
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &in[pc];

		if (BPF_CLASS(i->code) == BPF_RET)
			continue;
		if (pc + 1 >= n)
			return false;
		if (i->code == (BPF_JMP | BPF_JA) ? i->k >= n - pc - 1
						  : BPF_CLASS(i->code) == BPF_JMP &&
							    (i->jt >= n - pc - 1 || i->jf >= n - pc - 1))
			return false;
	}
	return n > 0 && n <= BPF_MAXINSNS;
}

int iso_filter_fold(struct buf *program, struct err *e)
{
	__attribute__((cleanup(fold_release))) struct fold f = {
		.in = (const struct sock_filter *)(const void *)program->p,
		.n_in = program->n / sizeof(struct sock_filter)};
	int r;

	if (program->n % sizeof(struct sock_filter) || !well_formed(f.in, f.n_in))
		return err_set(e, EINVAL, "the seccomp program is malformed");
	r = gather(&f);
	if (!r)
		r = rewrite(&f);
	if (r == -ENOTSUP)
		return 0;
	if (r < 0)
		return err_set(e, -r, "the seccomp program runs off its end");
	if (places(&f) >= f.n_in)
		return 0;
	buf_release(program);
	for (size_t i = places(&f); i-- > 0;)
		buf_add(program, at_place(&f, i), sizeof(struct sock_filter));
	return 1;
}
