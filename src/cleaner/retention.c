/*
 * Kafka's retention, as arithmetic.  Pure.
 *
 * By time: a segment goes if its largest timestamp is more than retention.ms ago, and the first
 * that does not ends it.  By size: a segment goes while what is left without it is still
 * retention.bytes or more.  Segments go from the oldest on, whole; the active one too, if it is its
 * turn (its writer then begins a new one).  An empty active segment never goes.
 *
 * The clock is the wall's, as record timestamps are, but see date.c.
 */
#include "cleaner/cleaner_private.h"

/* Past what 64 bits hold everything is younger. */
static bool
is_older(int64_t now_ms, int64_t timestamp, int64_t retention_ms)
{
	int64_t age_ms;

	if (__builtin_sub_overflow(now_ms, timestamp, &age_ms))
		return timestamp < 0;
	return age_ms > retention_ms;
}

static size_t
count_by_time(
    const struct tk_retention *retention, const struct tk_retention_segment *segments, size_t count)
{
	size_t gone = 0;

	if (retention->retention_ms < 0)
		return 0;
	while (gone < count &&
	       is_older(retention->now_ms, segments[gone].max_timestamp, retention->retention_ms))
		gone++;
	return gone;
}

static size_t
count_by_size(const struct tk_retention *retention, const struct tk_retention_segment *segments,
    size_t count, size_t gone)
{
	int64_t over;

	if (retention->retention_bytes < 0)
		return gone;
	over = -retention->retention_bytes;
	for (size_t i = gone; i < count; i++)
		over += segments[i].size_bytes;
	while (gone < count && over - segments[gone].size_bytes >= 0)
		over -= segments[gone++].size_bytes;
	return gone;
}

size_t
tk_retention_count(
    const struct tk_retention *retention, const struct tk_retention_segment *segments, size_t count)
{
	size_t gone;

	if (count > 0 && segments[count - 1].size_bytes == 0)
		count--;
	gone = count_by_time(retention, segments, count);
	return count_by_size(retention, segments, count, gone);
}

int64_t
tk_retention_start(const struct tk_retention *retention,
    const struct tk_retention_segment *segments, size_t count, size_t gone)
{
	return gone < count ? segments[gone].base_offset : retention->log_end;
}
