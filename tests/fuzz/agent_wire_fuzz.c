/* Frames from a guest, or from whoever reaches the agent's socket. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct wire_frame f;
	struct err e;
	int r;

	for (; (r = wire_parse(p, n, &f)) > 0; p += r, n -= (size_t)r) {
		if ((size_t)r > n || f.body + f.body_bytes > (const char *)p + r)
			abort();
		if (f.type == WIRE_ERROR)
			wire_get_error(&f, &e);
	}
	return 0;
}
