#include "base/blake2.h"

#include "test.h"

static void hash(const char *p, size_t n, size_t step, char hex[static BLAKE2_HEX_BYTES])
{
	uint8_t digest[BLAKE2_BYTES];
	struct blake2 s;

	blake2_init(&s);
	for (size_t i = 0; i < n; i += step)
		blake2_add(&s, p + i, n - i < step ? n - i : step);
	blake2_end(&s, digest);
	blake2_hex(digest, hex);
}

/* Digests of n times one byte, made by another implementation (Python's hashlib). */
TEST(known_answers_in_any_pieces)
{
	static const struct {
		char c;
		size_t n;
		const char *hex;
	} rows[] = {
		{'a', 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
		{'a', 1, "8928aae63c84d87ea098564d1e03ad813f107add474e56aedd286349c0c03ea4"},
		{'a', 127, "59e2f1aba240f20aa591016f5ef429990bc9c2131dcd0d30f0ffd75ed18f317d"},
		{'a', 128, "ae2aa48507885c4c950fb809b2076f959cde9f8ea6da260d9a3587df33dac450"},
		{'a', 129, "2f64744a6de0d2c0b56e64cf6e29a5aaa255010d415d51c75ccc82f73dccd865"},
		{'a', 255, "177ec7b22a982dd81ec80e0f8fd488bb347952a0876fed488191b6dede62df81"},
		{'a', 256, "eae4d3a7627549b383179dc18049964f91a6fed14c9f3fb26705eda3eeda5558"},
		{'a', 1000000, "0741850f36cba4259628355d1073e24ddb9ca0e1bfac36fd39ae5dc2101e23a4"},
		{0, 128, "378d0caaaa3855f1b38693c1d6ef004fd118691c95c959d4efa950d6d6fcf7c1"},
	};
	static const size_t steps[] = {1000000, 128, 127, 129, 1001};
	static char text[1000000];
	char hex[BLAKE2_HEX_BYTES];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(text, rows[i].c, sizeof(text));
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			hash(text, rows[i].n, steps[k], hex);
			CHECK_STR(hex, rows[i].hex);
		}
	}
}

TEST(abc)
{
	char hex[BLAKE2_HEX_BYTES];

	hash("abc", 3, 1, hex);
	CHECK_STR(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST_MAIN
