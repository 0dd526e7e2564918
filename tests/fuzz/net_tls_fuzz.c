/* The first bytes of a stream: any of them, whole and in two pieces, which must agree. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tls_hello whole = {0}, part = {0};
	int r = tls_hello_read(p, n, &whole), early = tls_hello_read(p, n / 2, &part);

	if (strnlen(whole.name, TLS_NAME_BYTES) == TLS_NAME_BYTES)
		abort();
	/* What was decided early stays decided. */
	if (early == 0 && (r != 0 || strcmp(whole.name, part.name)))
		abort();
	if (early == -EPROTO && r != -EPROTO)
		abort();
	return 0;
}
