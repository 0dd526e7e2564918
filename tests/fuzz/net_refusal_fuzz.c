/* Log messages: netlink attributes around the head of a packet that a jail made. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/refusals.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	AUTO_FREE uint8_t *aligned = mem_dup(p, n);
	struct nlmsghdr *h = (struct nlmsghdr *)aligned;
	struct refusal r;

	if (n < sizeof(*h))
		return 0;
	h->nlmsg_len = (uint32_t)n;
	h->nlmsg_type = 4 << 8; /* NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET */
	if (refusal_read(h, &r) >= 0 && !r.to.family)
		abort();
	return 0;
}
