/*
 * Which part of a partition compaction would look at, and whether it is worth it: the rules of
 * Kafka's LogCleanerManager, as arithmetic.  Pure.
 *
 * Dirty is what lies behind the clean point, up to the first segment that must be left alone: the
 * active one, one that reaches past what readers may see, one with a record younger than
 * min.compaction.lag.ms.  It is worth it if the dirty share of the bytes is above
 * min.cleanable.dirty.ratio, or if a dirty record is older than max.compaction.lag.ms.
 */
#include "cleaner/cleaner_private.h"

static bool
is_younger(int64_t timestamp, int64_t now_ms, int64_t age_ms)
{
	int64_t age;

	if (__builtin_sub_overflow(now_ms, timestamp, &age))
		return timestamp > 0;
	return age < age_ms;
}

static bool
left_alone(const struct tk_compaction_rules *rules, const struct tk_segment_info *info, int64_t end,
    int64_t first_dirty)
{
	if (end > rules->bound)
		return true;
	return end > first_dirty && rules->min_lag_ms > 0 &&
	       is_younger(info->max_timestamp, rules->now_ms, rules->min_lag_ms);
}

struct tk_compaction_part
tk_compaction_weigh(
    const struct tk_compaction_rules *rules, const struct tk_segment_info *infos, size_t count)
{
	int64_t log_start = TK_MAX(rules->log_start, infos[0].base_offset);
	struct tk_compaction_part part = { .first_dirty = TK_MAX(rules->clean_point, log_start),
		.end = infos[0].base_offset };

	for (size_t i = 0; i + 1 < count; i++) {
		int64_t end = infos[i + 1].base_offset;

		if (left_alone(rules, &infos[i], end, part.first_dirty))
			break;
		if (end > part.first_dirty)
			part.dirty_bytes += infos[i].size_bytes;
		else
			part.clean_bytes += infos[i].size_bytes;
		part.end = end;
	}
	if (part.dirty_bytes > 0)
		part.ratio = (double)part.dirty_bytes /
			     ((double)part.dirty_bytes + (double)part.clean_bytes);
	part.overdue = part.dirty_bytes > 0 && rules->oldest_dirty >= 0 &&
		       !is_younger(rules->oldest_dirty, rules->now_ms, rules->max_lag_ms);
	part.worth_it = part.overdue || (part.dirty_bytes > 0 && part.ratio * TK_CONFIG_MILLIONTHS >
								     (double)rules->min_ratio);
	return part;
}

bool
tk_compaction_before(const struct tk_compaction_part *a, const struct tk_compaction_part *b)
{
	if (a->overdue != b->overdue)
		return a->overdue;
	return a->ratio > b->ratio;
}
