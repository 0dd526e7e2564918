#include "base/sha256.h"

#include <sys/types.h>

#include "test.h"

static void hash(const char *p, size_t n, size_t step, char hex[static SHA256_HEX_BYTES])
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 s;

	sha256_init(&s);
	for (size_t i = 0; i < n; i += step)
		sha256_add(&s, p + i, n - i < step ? n - i : step);
	sha256_end(&s, digest);
	sha256_hex(digest, hex);
}

/* The examples of FIPS 180-2, appendix B, and the empty message. */
TEST(known_answers)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	char hex[SHA256_HEX_BYTES];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		hash(rows[i].text, strlen(rows[i].text), 64, hex);
		CHECK_STR(hex, rows[i].hex);
	}
}

TEST(million_a_in_any_pieces)
{
	static char a[1000000];
	static const size_t steps[] = {1000000, 64, 63, 1001};
	char hex[SHA256_HEX_BYTES];

	memset(a, 'a', sizeof(a));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		hash(a, sizeof(a), steps[i], hex);
		CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
}

/* Every length around the block size: the padding's cases, against each other's prefix. */
TEST(padding_lengths_differ)
{
	static char hexes[130][SHA256_HEX_BYTES];
	static char a[130];

	memset(a, 'x', sizeof(a));
	for (size_t n = 0; n < 130; n++) {
		char again[SHA256_HEX_BYTES];

		hash(a, n, 7, hexes[n]);
		hash(a, n, 1, again);
		CHECK_STR(again, hexes[n]);
		for (size_t m = 0; m < n; m++)
			CHECK(strcmp(hexes[m], hexes[n]) != 0);
	}
}

TEST_MAIN
