/* The copy's stream: whatever comes, nothing is made outside the target, and it ends. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "jail/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int top = -1;
	struct err e = {0};
	uint64_t bytes;
	uint32_t skipped;
	int pair[2];

	if (top < 0)
		top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	if (fd_write_full(pair[0], data, n) == 0) {
		close(pair[0]);
		stream_receive(pair[1], top, "jail-stream-fuzz", &(struct stream_opts){0}, &bytes,
			&skipped, &e);
	} else {
		close(pair[0]);
	}
	close(pair[1]);
	path_rmtree(top, "jail-stream-fuzz", &e);
	return 0;
}
