#include "cli/when.h"

#include <stdio.h>
#include <time.h>

uint64_t when_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void when_add(struct buf *b, uint64_t epoch_ms)
{
	time_t s = (time_t)(epoch_ms / 1000);
	struct tm tm;
	char text[32];

	if (!localtime_r(&s, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		buf_addf(b, "%llu", (unsigned long long)epoch_ms);
	else
		buf_addf(b, "%s.%03u", text, (unsigned int)(epoch_ms % 1000));
}
