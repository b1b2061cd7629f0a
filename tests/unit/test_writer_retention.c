/*
 * Unit tests of the cleaner's arithmetic: which segments retention lets go.
 */
#include "cleaner/cleaner_private.h"
#include "unit.h"

#define DAY ((int64_t)86400000)
#define NOW (100 * DAY)

/* Segments of 100 bytes and ten records, a day each; the last one is active and of today. */
static void
days(struct tk_retention_segment *segments, size_t count)
{
	for (size_t i = 0; i < count; i++)
		segments[i] = (struct tk_retention_segment){ .base_offset = (int64_t)i * 10,
			.size_bytes = 100,
			.max_timestamp = NOW - DAY * (int64_t)(count - 1 - i) };
}

static size_t
gone(int64_t retention_ms, int64_t retention_bytes, const struct tk_retention_segment *segments,
    size_t count)
{
	const struct tk_retention retention = { .retention_ms = retention_ms,
		.retention_bytes = retention_bytes,
		.now_ms = NOW,
		.log_end = (int64_t)count * 10 };
	size_t found = tk_retention_count(&retention, segments, count);

	CU_ASSERT(tk_retention_start(&retention, segments, count, found) == (int64_t)found * 10);
	return found;
}

static void
test_time(void)
{
	struct tk_retention_segment segments[10];

	days(segments, 10);
	CU_ASSERT(gone(-1, -1, segments, 10) == 0);
	CU_ASSERT(gone(9 * DAY, -1, segments, 10) == 0); /* as old, not older */
	CU_ASSERT(gone(9 * DAY - 1, -1, segments, 10) == 1);
	CU_ASSERT(gone(3 * DAY, -1, segments, 10) == 6);
	CU_ASSERT(gone(0, -1, segments, 10) == 9);
	segments[9].max_timestamp = NOW - 1;
	CU_ASSERT(gone(0, -1, segments, 10) == 10); /* the active one as well */
	segments[9].size_bytes = 0;
	CU_ASSERT(gone(0, -1, segments, 10) == 9); /* unless it is empty */
	segments[4].max_timestamp = INT64_MAX;     /* a young one holds what lies behind it */
	CU_ASSERT(gone(0, -1, segments, 10) == 4);
	CU_ASSERT(gone(INT64_MAX, -1, segments, 10) == 0);
	segments[0].max_timestamp = INT64_MIN;
	CU_ASSERT(gone(DAY, -1, segments, 10) == 4);
}

static void
test_size(void)
{
	struct tk_retention_segment segments[10];

	days(segments, 10);
	CU_ASSERT(gone(-1, 1000, segments, 10) == 0);
	CU_ASSERT(gone(-1, 901, segments, 10) == 0); /* what is left would be less */
	CU_ASSERT(gone(-1, 900, segments, 10) == 1);
	CU_ASSERT(gone(-1, 250, segments, 10) == 7);
	CU_ASSERT(gone(-1, 1, segments, 10) == 9);
	CU_ASSERT(gone(-1, 0, segments, 10) == 10);
	CU_ASSERT(gone(-1, INT64_MAX, segments, 10) == 0);
	CU_ASSERT(gone(-1, INT64_MIN, segments, 10) == 0);
	segments[0].size_bytes = 1000; /* a large one goes only if enough is left without it */
	CU_ASSERT(gone(-1, 901, segments, 10) == 0);
	CU_ASSERT(gone(-1, 900, segments, 10) == 1);
}

static void
test_both(void)
{
	struct tk_retention_segment segments[10];

	days(segments, 10);
	CU_ASSERT(gone(7 * DAY, 300, segments, 10) == 7);
	CU_ASSERT(gone(2 * DAY, 900, segments, 10) == 7);
	CU_ASSERT(gone(0, 0, segments, 0) == 0);
	CU_ASSERT(gone(0, 0, segments, 1) == 1);
	segments[0].size_bytes = 0;
	CU_ASSERT(gone(0, 0, segments, 1) == 0);
}

/* A clock that jumps deletes nothing for an hour, and nothing at all if it is set right by then. */
static void
test_date(void)
{
	const int64_t minute = 60000, hour = 60 * minute;
	struct tk_cleaner_date date = { .known = false };
	int64_t boot = 5000;

	CU_ASSERT(tk_cleaner_date(&date, NOW, boot) == NOW);
	CU_ASSERT(tk_cleaner_date(&date, NOW + DAY, boot + DAY) == NOW + DAY);
	boot += DAY;
	CU_ASSERT(tk_cleaner_date(&date, NOW + DAY + 9 * minute, boot) == NOW + DAY + 9 * minute);
	CU_ASSERT(tk_cleaner_date(&date, NOW, boot) == NOW); /* back, at once */
	CU_ASSERT(!date.doubted);

	/* A year ahead; set right after half an hour. */
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY, boot) == NOW && date.doubted);
	boot += hour / 2;
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY + hour / 2, boot) == NOW + hour / 2);
	CU_ASSERT(tk_cleaner_date(&date, NOW + hour / 2, boot) == NOW + hour / 2);
	CU_ASSERT(!date.doubted);

	/* A year ahead, and it stays. */
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY, boot) == NOW + hour / 2);
	boot += hour - 1;
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY, boot) == NOW + hour / 2 + hour - 1);
	boot++;
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY, boot) == NOW + 365 * DAY);
	CU_ASSERT(tk_cleaner_date(&date, NOW + 365 * DAY + 1, boot + 1) == NOW + 365 * DAY + 1);
}

TK_UNIT_MAIN("retention", { "time", test_time }, { "size", test_size }, { "both", test_both },
    { "a clock that jumps", test_date })
