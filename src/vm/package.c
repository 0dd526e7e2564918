#include "vm/package.h"

#include <errno.h>
#include <string.h>

#include "vm/kernel.h"

enum { AR_HEADER = 60, AR_SIZE_AT = 48, AR_SIZE_DIGITS = 10, BLOCK = 512 };

static const char ar_magic[] = "!<arch>\n";

/* Decimal digits, then blanks. */
static int ar_size(const char *p, size_t *ret)
{
	size_t v = 0, i = 0;

	for (; i < AR_SIZE_DIGITS && p[i] >= '0' && p[i] <= '9'; i++)
		v = v * 10 + (size_t)(p[i] - '0');
	for (size_t k = i; k < AR_SIZE_DIGITS; k++)
		if (p[k] != ' ')
			return -EBADMSG;
	*ret = v;
	return i ? 0 : -EBADMSG;
}

int vm_deb_data(const void *p, size_t n, struct buf *ret, struct err *e)
{
	const char *b = p;
	size_t at = sizeof(ar_magic) - 1, bytes;

	if (n < at || memcmp(b, ar_magic, at) != 0)
		return err_set(e, ENOEXEC, "the file is no Debian package");
	while (n - at >= AR_HEADER) {
		const char *h = b + at;

		at += AR_HEADER;
		if (h[58] != '`' || h[59] != '\n' || ar_size(h + AR_SIZE_AT, &bytes) < 0 ||
			bytes > n - at)
			return err_set(e, EBADMSG, "the Debian package is damaged or cut short");
		if (!memcmp(h, "data.tar", 8))
			return vm_unpack(vm_packing_of(b + at, bytes), b + at, bytes,
				VM_KERNEL_BYTES_MAX, ret, e);
		at += bytes;
		at += MIN(bytes & 1, n - at);
	}
	return err_set(e, EBADMSG, "the Debian package has no data archive");
}

/* Octal with blanks or NUL at the end, or, with the top bit set, base 256. */
static int tar_number(const char *p, size_t digits, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	if ((unsigned char)p[0] & 0x80) {
		for (i = 1; i < digits; i++) {
			if (v >> 56)
				return -EBADMSG;
			v = v << 8 | (unsigned char)p[i];
		}
		*ret = v;
		return 0;
	}
	while (i < digits && p[i] == ' ')
		i++;
	for (; i < digits && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(p[i] - '0');
	if (i < digits && p[i] != ' ' && p[i] != '\0')
		return -EBADMSG;
	*ret = v;
	return 0;
}

static bool checksum_ok(const char *h)
{
	uint64_t want, sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)h[i];
	return tar_number(h + 148, 8, &want) == 0 && want == sum;
}

/* "17 path=some/where\n": the value of path, when there is one. */
static void pax_path(const char *p, size_t n, char *ret)
{
	while (n) {
		size_t len = 0, digits = 0;
		const char *key;

		while (digits < n && p[digits] >= '0' && p[digits] <= '9' && len <= n)
			len = len * 10 + (size_t)(p[digits++] - '0');
		if (!digits || len > n || len < digits + 3 || p[digits] != ' ' ||
			p[len - 1] != '\n')
			return;
		key = p + digits + 1;
		if (len - digits - 2 > 5 && !memcmp(key, "path=", 5)) {
			size_t bytes = MIN(len - digits - 2 - 5, (size_t)VM_TAR_NAME_MAX - 1);

			memcpy(ret, key + 5, bytes);
			ret[bytes] = '\0';
		}
		p += len;
		n -= len;
	}
}

static void take_name(struct vm_tar *t, const char *h, char *ret)
{
	char joined[VM_TAR_NAME_MAX] = "";
	const char *s = joined;
	size_t n = 0;

	if (t->long_name[0]) {
		memcpy(joined, t->long_name, sizeof(joined));
		t->long_name[0] = '\0';
	} else {
		if (!memcmp(h + 257, "ustar\0", 6) && h[345]) {
			n = strnlen(h + 345, 155);
			memcpy(joined, h + 345, n);
			joined[n++] = '/';
		}
		memcpy(joined + n, h, strnlen(h, 100));
	}
	while (s[0] == '/' || (s[0] == '.' && s[1] == '/'))
		s++;
	n = strlen(s);
	memcpy(ret, s, n + 1);
}

int vm_tar_next(struct vm_tar *t, struct vm_tar_entry *ret, struct err *e)
{
	while (t->n - t->at >= BLOCK) {
		const char *h = t->p + t->at, *data = h + BLOCK;
		uint64_t bytes, left = t->n - t->at - BLOCK;

		if (!h[0])
			return 0; /* two blocks of zeros end it */
		if (!checksum_ok(h) || tar_number(h + 124, 12, &bytes) < 0 || bytes > left)
			return err_set(e, EBADMSG, "the archive is damaged or cut short");
		t->at += BLOCK + (size_t)MIN((bytes + BLOCK - 1) & ~(uint64_t)(BLOCK - 1), left);
		if (h[156] == 'L') {
			size_t n = MIN((size_t)bytes, sizeof(t->long_name) - 1);

			memcpy(t->long_name, data, n);
			t->long_name[n] = '\0';
		} else if (h[156] == 'x') {
			pax_path(data, (size_t)bytes, t->long_name);
		} else if (h[156] != 'g' && h[156] != 'K') {
			*ret = (struct vm_tar_entry){
				.type = h[156] ? h[156] : '0', .p = data, .n = (size_t)bytes};
			take_name(t, h, ret->name);
			return 1;
		}
	}
	return 0;
}
