/*
 * Notices to systemd by sd_notify(3).  Master only: the notices name it as the main process.
 */
#include "os/notify.h"

#ifdef HAVE_SYSTEMD

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"

void
tk_notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nMAINPID=%ld\nSTATUS=%s", (long)getpid(), status);
}

void
tk_notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading",
	    tk_clock_mono_ns() / 1000);
}

void
tk_notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

int64_t
tk_notify_watchdog_ms(void)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	return (int64_t)TK_MAX(usec / 2000, 1);
}

void
tk_notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

#else

void
tk_notify_ready(const char *status)
{
	(void)status;
}

void
tk_notify_reloading(void)
{
}

void
tk_notify_stopping(void)
{
}

int64_t
tk_notify_watchdog_ms(void)
{
	return 0;
}

void
tk_notify_alive(void)
{
}

#endif
