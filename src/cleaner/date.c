/*
 * The date that retention goes by.  Cleaner process; pure.
 *
 * A clock set wrongly for a minute must not delete what was kept for a year.  So the date is the
 * wall clock's, unless that has run ahead of the time that has really passed (CLOCK_BOOTTIME) by
 * more than JUMP_MS since the last look: then the date goes on as if nothing had happened for
 * DOUBT_MS, which is time for somebody to notice and set it right, and only then is believed.  A
 * clock that steps back is followed at once, since nothing is deleted by that.
 *
 * What the clock was before this process began it cannot know.
 */
#include "cleaner/cleaner_private.h"

#define JUMP_MS  ((int64_t)10 * 60 * 1000)
#define DOUBT_MS ((int64_t)60 * 60 * 1000)

static int64_t
date_follow(struct tk_cleaner_date *date, int64_t wall_ms, int64_t boot_ms)
{
	date->known = true;
	date->doubted = false;
	date->ahead_ms = wall_ms - boot_ms;
	return wall_ms;
}

int64_t
tk_cleaner_date(struct tk_cleaner_date *date, int64_t wall_ms, int64_t boot_ms)
{
	int64_t expected_ms = boot_ms + date->ahead_ms;

	if (!date->known || wall_ms - expected_ms <= JUMP_MS)
		return date_follow(date, wall_ms, boot_ms);
	if (!date->doubted) {
		date->doubted = true;
		date->doubted_since_ms = boot_ms;
	}
	if (boot_ms - date->doubted_since_ms >= DOUBT_MS)
		return date_follow(date, wall_ms, boot_ms);
	return expected_ms;
}
