/*
 * A unit test program is a list of cases; it prints TAP and exits 1 when one failed.
 *
 *	TEST(parse_size_units) { CHECK_INT(parse_size("1K", &v, &e), 0); }
 *	TEST_MAIN
 */
#ifndef JAIL_TESTS_UNIT_TEST_H
#define JAIL_TESTS_UNIT_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};
static struct test_case *test_first, **test_last = &test_first;
static int test_failures;

#define TEST(name_)                                                              \
	static void test_##name_(void);                                          \
	static void __attribute__((constructor)) test_register_##name_(void)     \
	{                                                                        \
		static struct test_case c = {#name_, test_##name_, NULL};        \
		*test_last = &c;                                                 \
		test_last = &c.next;                                             \
	}                                                                        \
	static void test_##name_(void)

#define CHECK(cond)                                                              \
	do {                                                                     \
		if (!(cond)) {                                                   \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);      \
			test_failures++;                                         \
		}                                                                \
	} while (0)
#define CHECK_INT(a, b)                                                          \
	do {                                                                     \
		long long a_ = (long long)(a), b_ = (long long)(b);              \
		if (a_ != b_) {                                                  \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, a_, b_); \
			test_failures++;                                         \
		}                                                                \
	} while (0)
#define CHECK_STR(a, b)                                                          \
	do {                                                                     \
		const char *a_ = (a), *b_ = (b);                                 \
		if (!a_ || !b_ ? a_ != b_ : strcmp(a_, b_) != 0) {               \
			printf("# %s:%d: %s is '%s', not '%s'\n", __FILE__, __LINE__, #a, a_ ? a_ : "(null)", \
				b_ ? b_ : "(null)");                             \
			test_failures++;                                         \
		}                                                                \
	} while (0)

#define TEST_MAIN                                                                \
	int main(void)                                                           \
	{                                                                        \
		int n = 0, bad = 0;                                              \
		for (struct test_case *c = test_first; c; c = c->next) {         \
			int before = test_failures;                              \
			c->run();                                                \
			n++;                                                     \
			bad += test_failures != before;                          \
			printf("%s %d - %s\n", test_failures == before ? "ok" : "not ok", n, c->name); \
			fflush(stdout);                                          \
		}                                                                \
		printf("1..%d\n", n);                                            \
		return bad != 0;                                                 \
	}

#endif
