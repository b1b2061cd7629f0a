/*
 * A round: the partitions of one directory in the order of their names, one after the other.
 * Cleaner process, one thread; directories go round independently, so a writer that stands still
 * holds up its own alone.
 *
 * For each partition with a bound the writer is asked for its segments, then told where the log
 * starts from now on; the writer drops what lies below and is the only one that does.  Where a
 * round is, is a name, not a pointer: the view may move on between two answers.  A partition that
 * is gone meanwhile is passed over.  Nothing here fails but by saying so and going on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "base/topic_config.h"
#include "cleaner/cleaner_private.h"
#include "os/file.h"

#define SEGMENTS_MAX ((size_t)64 << 10)

/* ---- which partition is next ---- */

static bool
part_take(struct tk_cleaner_tie *tie, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_partition *partition = &topic->partitions[index];
	struct tk_cleaner_part *part = &tie->part;

	if (partition->incarnation == 0 || partition->directory != tie->index)
		return false;
	if ((topic->config->cleanup_policy & TK_CLEANUP_DELETE) == 0)
		return false;
	part->slot = partition->slot;
	part->incarnation = partition->incarnation;
	part->retention_ms = topic->config->retention_ms;
	part->retention_bytes = topic->config->retention_bytes;
	if (part->retention_ms < 0 && part->retention_bytes < 0)
		return false;
	if (!tk_zone_read(tk_cleaner_tie_zone(tie), part->slot, &part->state, NULL) ||
	    part->state.incarnation != part->incarnation)
		return false;
	return (part->state.status == TK_PART_ONLINE || part->state.status == TK_PART_READ_ONLY) &&
	       part->state.log_end.offset > part->state.log_start;
}

/* Moves to the first partition at or behind the place the tie is at; false at the end. */
static bool
part_next(struct tk_cleaner_tie *tie)
{
	struct tk_cleaner_part *part = &tie->part;
	const struct tk_meta_topic *topic =
	    tk_meta_topic_from(tie->cleaner->meta, part->topic, part->topic_len);

	for (; topic != NULL; topic = tk_meta_topic_next(topic)) {
		if (strcmp(topic->name, part->topic) != 0) {
			(void)snprintf(part->topic, sizeof(part->topic), "%s", topic->name);
			part->topic_len = strlen(part->topic);
			part->partition = 0;
		}
		for (; !topic->is_internal && part->partition < topic->partition_count;
		     part->partition++)
			if (part_take(tie, topic, part->partition))
				return true;
		part->partition = INT32_MAX; /* on to the next topic */
	}
	return false;
}

void
tk_cleaner_round_again(struct tk_cleaner_tie *tie)
{
	tk_post(tie->cleaner->loop, &tie->step);
}

static void
round_go_on(struct tk_cleaner_tie *tie)
{
	tie->part.partition++;
	tk_cleaner_round_again(tie);
}

void
tk_cleaner_round_step(struct tk_post *post)
{
	struct tk_cleaner_tie *tie = TK_CONTAINER_OF(post, struct tk_cleaner_tie, step);
	struct tk_frame_segments ask = { 0 };

	if (!part_next(tie)) {
		tie->walking = false;
		return;
	}
	ask.incarnation = tie->part.incarnation;
	ask.slot = tie->part.slot;
	tk_cleaner_tie_ask(tie, TK_FRAME_SEGMENTS, &ask, sizeof(ask));
}

void
tk_cleaner_round_begin(struct tk_cleaner_tie *tie)
{
	if (tie->walking || tk_cleaner_tie_zone(tie) == NULL)
		return;
	tie->walking = true;
	tie->part.topic[0] = '\0';
	tie->part.topic_len = 0;
	tie->part.partition = 0;
	tk_cleaner_round_again(tie);
}

/* ---- what the writer answered ---- */

/* A segment without timestamps is as old as its file, as in Kafka. */
static int64_t
file_time_ms(const struct tk_cleaner_tie *tie, int64_t base_offset)
{
	struct tk_file_info info;
	char path[320];

	(void)snprintf(path, sizeof(path), "%s-%d/%020lld.log", tie->part.topic,
	    (int)tie->part.partition, (long long)base_offset);
	if (tk_file_stat(tie->dir_fd, path, &info) < 0)
		return INT64_MAX; /* who knows: it stays */
	return info.mtime_ns / 1000000;
}

static struct tk_part_key
part_key(const struct tk_cleaner_tie *tie)
{
	return (struct tk_part_key){ .directory = (uint16_t)tie->index,
		.slot = tie->part.slot,
		.incarnation = tie->part.incarnation,
		.topic = tie->part.topic,
		.topic_len = tie->part.topic_len,
		.partition = tie->part.partition };
}

/* The largest timestamp of the active segment: its records are read, as there is no index of it. */
static int64_t
active_time_ms(struct tk_cleaner_tie *tie, const struct tk_frame_segments_are *head,
    const struct tk_segment_info *infos)
{
	const struct tk_part_key key = part_key(tie);
	struct tk_reader *reader = tie->cleaner->reader;
	struct tk_part_state state = tie->part.state;
	struct tk_time_offset found;
	int rc;

	if (state.segments_generation != head->generation)
		return INT64_MAX; /* it has moved on: next round */
	state.log_start = TK_MAX(state.log_start, infos[head->count - 1].base_offset);
	rc = tk_reader_set_segments(reader, &key, head->generation, infos, head->count);
	if (rc == 0)
		rc = tk_reader_max_timestamp(reader, &key, &state, &state.log_end, &found);
	tk_reader_forget(reader, &key);
	if (rc < 0 || found.offset < 0)
		return INT64_MAX;
	return found.timestamp < 0 ? file_time_ms(tie, infos[head->count - 1].base_offset)
				   : found.timestamp;
}

/* The active segment is looked into only if everything before it goes. */
static size_t
decide(struct tk_cleaner_tie *tie, const struct tk_frame_segments_are *head,
    const struct tk_segment_info *infos, struct tk_retention_segment *segments,
    const struct tk_retention *retention)
{
	size_t last = head->count - 1, gone;

	for (size_t i = 0; i < head->count; i++) {
		segments[i] = (struct tk_retention_segment){ .base_offset = infos[i].base_offset,
			.size_bytes = infos[i].size_bytes,
			.max_timestamp = infos[i].max_timestamp };
		if (i < last && segments[i].max_timestamp < 0)
			segments[i].max_timestamp = file_time_ms(tie, infos[i].base_offset);
	}
	segments[last].max_timestamp = INT64_MAX;
	gone = tk_retention_count(retention, segments, head->count);
	if (gone != last || retention->retention_ms < 0 || segments[last].size_bytes == 0)
		return gone;
	segments[last].max_timestamp = active_time_ms(tie, head, infos);
	return tk_retention_count(retention, segments, head->count);
}

int64_t
tk_cleaner_now_ms(struct tk_cleaner *cleaner)
{
	bool doubted = cleaner->date.doubted;
	int64_t wall_ms = tk_clock_wall_ms();
	int64_t now_ms = tk_cleaner_date(&cleaner->date, wall_ms, tk_clock_boot_ms());

	if (cleaner->date.doubted && !doubted)
		tk_warn("the clock jumped ahead by %lld s: nothing is deleted for it within the "
			"next hour",
		    (long long)((wall_ms - now_ms) / 1000));
	return now_ms;
}

static void
part_retain(struct tk_cleaner_tie *tie, const struct tk_frame_segments_are *head,
    const struct tk_segment_info *infos, struct tk_retention_segment *segments)
{
	const struct tk_retention retention = { .retention_ms = tie->part.retention_ms,
		.retention_bytes = tie->part.retention_bytes,
		.now_ms = tk_cleaner_now_ms(tie->cleaner),
		.log_end = tie->part.state.log_end.offset };
	struct tk_frame_retain frame = { .incarnation = tie->part.incarnation,
		.slot = tie->part.slot };
	size_t gone = decide(tie, head, infos, segments, &retention);

	frame.log_start = tk_retention_start(&retention, segments, head->count, gone);
	if (gone == 0 || frame.log_start <= tie->part.state.log_start) {
		round_go_on(tie);
		return;
	}
	tk_info("deletes %zu of %u segments of partition \"%s-%d\": it starts at offset %lld now",
	    gone, head->count, tie->part.topic, (int)tie->part.partition,
	    (long long)frame.log_start);
	tk_cleaner_tie_ask(tie, TK_FRAME_RETAIN, &frame, sizeof(frame));
}

bool
tk_cleaner_segments_are(struct tk_cleaner_tie *tie, const struct tk_frame_segments_are *head,
    const uint8_t *list, size_t list_len)
{
	struct tk_segment_info *infos = NULL;
	struct tk_retention_segment *segments = NULL;

	if (head->count > SEGMENTS_MAX || list_len != head->count * sizeof(*infos))
		return false;
	if (head->error == 0 && head->count > 0) {
		infos = malloc(list_len);
		segments = calloc(head->count, sizeof(*segments));
	}
	if (infos == NULL || segments == NULL) {
		round_go_on(tie); /* gone, or no memory: the next round may do better */
	} else {
		memcpy(infos, list, list_len);
		part_retain(tie, head, infos, segments);
	}
	free(infos);
	free(segments);
	return true;
}

void
tk_cleaner_retained(struct tk_cleaner_tie *tie, const struct tk_frame_retained *answer)
{
	if (answer->error < 0 && answer->error != -ENOENT)
		tk_warn("could not delete segments of partition \"%s-%d\": %s", tie->part.topic,
		    (int)tie->part.partition, strerror(-answer->error));
	round_go_on(tie);
}
