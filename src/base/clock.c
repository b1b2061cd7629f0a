/*
 * Clocks.  Any process, any thread; cannot fail.
 */
#include "base/clock.h"

#include <time.h>

#include "takhin/base.h"

static int64_t
clock_ns(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	tk_assert(rc == 0);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
tk_clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t
tk_clock_mono_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t
tk_clock_boot_ms(void)
{
	return clock_ns(CLOCK_BOOTTIME) / 1000000;
}

int64_t
tk_clock_wall_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}
