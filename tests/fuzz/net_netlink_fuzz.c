/* Answers of the kernel, or of whoever manages to stand in for it: lengths, nests, strings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/netlink.h"
#include "net/rt.h"

static int failed(void *self, size_t index, int code, const char *text)
{
	(void)self;
	if (index > 3 || code < 0)
		abort();
	return text && strlen(text) > NL_RECEIVE_BYTES ? -1 : 0;
}

static int data(const struct nlmsghdr *h, void *arg)
{
	struct rt_info info;

	(void)arg;
	if (rt_info_read(h, &info) >= 0 && strlen(info.name) >= sizeof(info.name))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct nl_answer a = {
		.expect = {.port = 1, .first_seq = 0, .last_seq = 3}, .fn = data, .failed = failed};
	AUTO_FREE void *aligned = mem_dup(p, n);

	nl_read(aligned, n, &a);
	return 0;
}
