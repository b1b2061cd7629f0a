/*
 * Compaction as the cleaner process does it: a look at every compacted partition, then the one with
 * the largest dirty share, then another look.  One partition at a time, over all directories.
 *
 * A look asks the writers for each partition's clean point and segments.  A job (compact.h) works
 * in steps, one a turn of the loop, so retention and orders are served in between; each cleaned
 * segment is told to the writer, which puts it in place, and the job goes on when that is answered.
 * At its end the writer is told the new clean point.
 *
 * A channel that ends ends the job: the next writer removes its files.  What stands in the way of
 * one partition alone (damage, keys that do not fit the memory, a cleaner that died on it twice)
 * quarantines it (quarantine.c); everything else is tried again after log.cleaner.backoff.ms.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "cleaner/cleaner_private.h"
#include "log/batch.h"
#include "log/segment.h"
#include "os/file.h"

static const struct tk_settings *
settings(const struct tk_compaction *compaction)
{
	return compaction->cleaner->proc->settings;
}

static struct tk_cleaner_tie *
tie_of(const struct tk_compaction *compaction, const struct tk_page_partition *part)
{
	return &compaction->cleaner->ties[part->directory];
}

/* ---- waiting, asking ---- */

static void
look_later(struct tk_compaction *compaction, int64_t delay_ms)
{
	compaction->state = TK_COMPACTION_IDLE;
	(void)tk_timer_start(compaction->cleaner->loop, &compaction->due, TK_MAX(delay_ms, 1));
}

static void
step_soon(struct tk_compaction *compaction)
{
	tk_post(compaction->cleaner->loop, &compaction->step);
}

static void
job_give_up(struct tk_compaction *compaction)
{
	const struct tk_page_partition *part = &compaction->best.part;

	tk_compact_free(&compaction->job);
	tk_compact_sweep(tie_of(compaction, part)->dir_fd, part->name);
	tk_quarantine_end(true);
	look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
}

static void
interrupted(struct tk_compaction *compaction)
{
	compaction->frame_id = 0;
	if (compaction->job != NULL)
		job_give_up(compaction);
	else
		look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
}

static void
ask(struct tk_compaction *compaction, const struct tk_page_partition *part, enum tk_frame_type type,
    const void *payload, size_t len)
{
	uint64_t id = ++compaction->last_id | TK_COMPACTION_ID;

	compaction->frame_id = id;
	compaction->asked = part->directory;
	if (tk_cleaner_tie_send(tie_of(compaction, part), type, id, payload, len) < 0)
		interrupted(compaction);
}

static void
ask_clean_point(
    struct tk_compaction *compaction, const struct tk_page_partition *part, int64_t offset)
{
	const struct tk_frame_clean_point frame = {
		.incarnation = part->incarnation, .offset = offset, .slot = part->slot
	};

	ask(compaction, part, TK_FRAME_CLEAN_POINT, &frame, sizeof(frame));
}

/* ---- looking ---- */

static bool
candidate_take(struct tk_compaction *compaction, const struct tk_meta_topic *topic, int32_t index)
{
	const struct tk_meta_partition *partition = &topic->partitions[index];
	struct tk_compaction_candidate *found = &compaction->found;
	struct tk_cleaner_tie *tie;

	if (partition->incarnation == 0 || partition->directory >= compaction->cleaner->tie_count)
		return false;
	*found = (struct tk_compaction_candidate){ .config = *topic->config };
	found->part.incarnation = partition->incarnation;
	found->part.slot = partition->slot;
	found->part.directory = partition->directory;
	(void)snprintf(
	    found->part.name, sizeof(found->part.name), "%s-%d", topic->name, (int)index);
	tie = &compaction->cleaner->ties[partition->directory];
	if (tk_quarantine_has(&found->part) || tk_cleaner_tie_zone(tie) == NULL)
		return false;
	if (!tk_zone_read(tie->zone, found->part.slot, &found->state, NULL) ||
	    found->state.incarnation != found->part.incarnation)
		return false;
	return (found->state.status == TK_PART_ONLINE ||
		   found->state.status == TK_PART_READ_ONLY) &&
	       found->state.log_end.segment > found->state.log_start;
}

/* Moves to the first compacted partition at or behind the place it is at; false at the end. */
static bool
candidate_next(struct tk_compaction *compaction)
{
	const struct tk_meta_topic *topic = tk_meta_topic_from(
	    compaction->cleaner->meta, compaction->topic, strlen(compaction->topic));

	for (; topic != NULL; topic = tk_meta_topic_next(topic)) {
		if (strcmp(topic->name, compaction->topic) != 0) {
			(void)snprintf(
			    compaction->topic, sizeof(compaction->topic), "%s", topic->name);
			compaction->partition = 0;
		}
		if (topic->is_internal || (topic->config->cleanup_policy & TK_CLEANUP_COMPACT) == 0)
			continue;
		for (; compaction->partition < topic->partition_count; compaction->partition++)
			if (candidate_take(compaction, topic, compaction->partition))
				return true;
	}
	return false;
}

/* The largest timestamp of the first batch that is dirty; -1: not known, or of no interest. */
static int64_t
oldest_dirty(
    const struct tk_compaction *compaction, const struct tk_segment_info *infos, size_t count)
{
	const struct tk_compaction_candidate *found = &compaction->found;
	uint8_t bytes[TK_BATCH_HEADER_BYTES];
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_batch_header header = { .max_timestamp = -1 };
	size_t i = 0;
	int fd;

	if (found->config.max_compaction_lag_ms == INT64_MAX)
		return -1;
	while (i + 1 < count && infos[i + 1].base_offset <= found->clean_point)
		i++;
	tk_segment_path(path, found->part.name, infos[i].base_offset, ".log");
	if (tk_file_open(tie_of(compaction, &found->part)->dir_fd, path, O_RDONLY, 0, &fd) < 0)
		return -1;
	if (tk_file_pread_full(fd, bytes, sizeof(bytes), 0) == 0)
		tk_batch_header_read(bytes, &header);
	tk_file_close(&fd);
	return header.max_timestamp;
}

/* A segment without timestamps is as old as its file. */
static void
complete_times(const struct tk_compaction *compaction, struct tk_segment_info *infos, size_t count)
{
	const struct tk_page_partition *part = &compaction->found.part;
	struct tk_file_info file;
	char path[TK_SEGMENT_PATH_MAX];

	for (size_t i = 0; i + 1 < count; i++) {
		if (infos[i].max_timestamp >= 0)
			continue;
		tk_segment_path(path, part->name, infos[i].base_offset, ".log");
		infos[i].max_timestamp = INT64_MAX;
		if (tk_file_stat(tie_of(compaction, part)->dir_fd, path, &file) == 0)
			infos[i].max_timestamp = file.mtime_ns / 1000000;
	}
}

/* Takes infos over if this is the best so far. */
static void
candidate_weigh(struct tk_compaction *compaction, struct tk_segment_info *infos, size_t count)
{
	struct tk_compaction_candidate *found = &compaction->found;
	struct tk_compaction_rules rules = { .clean_point = found->clean_point,
		.log_start = found->state.log_start,
		/* What makes older records go must itself be on the disk. */
		.bound = TK_MIN(
		    TK_MIN(found->state.high_watermark.segment, found->state.last_stable.segment),
		    found->state.durable_end),
		.now_ms = tk_cleaner_now_ms(compaction->cleaner),
		.min_lag_ms = found->config.min_compaction_lag_ms,
		.max_lag_ms = found->config.max_compaction_lag_ms,
		.min_ratio = found->config.min_cleanable_dirty_ratio };

	complete_times(compaction, infos, count);
	rules.oldest_dirty = oldest_dirty(compaction, infos, count);
	found->weight = tk_compaction_weigh(&rules, infos, count);
	if (!found->weight.worth_it ||
	    (compaction->best.infos != NULL &&
		!tk_compaction_before(&found->weight, &compaction->best.weight))) {
		free(infos);
		return;
	}
	free(compaction->best.infos);
	compaction->best = *found;
	compaction->best.infos = infos;
	compaction->best.count = count;
}

static void
look_on(struct tk_compaction *compaction)
{
	compaction->partition++;
	step_soon(compaction);
}

static bool
look_segments(
    struct tk_compaction *compaction, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_segments_are head;
	struct tk_segment_info *infos;
	size_t len;

	if (frame->len < sizeof(head))
		return false;
	memcpy(&head, payload, sizeof(head));
	len = frame->len - sizeof(head);
	if (len != (size_t)head.count * sizeof(*infos))
		return false;
	infos = head.error == 0 && head.count > 1 ? malloc(len) : NULL;
	if (infos != NULL) {
		memcpy(infos, payload + sizeof(head), len);
		candidate_weigh(compaction, infos, head.count);
	}
	look_on(compaction);
	return true;
}

static bool
look_clean_point(
    struct tk_compaction *compaction, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_clean_point_is answer;
	struct tk_frame_segments question = { .incarnation = compaction->found.part.incarnation,
		.slot = compaction->found.part.slot };

	if (frame->len != sizeof(answer))
		return false;
	memcpy(&answer, payload, sizeof(answer));
	if (answer.error != 0) {
		look_on(compaction);
		return true;
	}
	compaction->found.clean_point = answer.offset;
	ask(compaction, &compaction->found.part, TK_FRAME_SEGMENTS, &question, sizeof(question));
	return true;
}

/* ---- a job ---- */

static void
job_failed(struct tk_compaction *compaction, int rc)
{
	const struct tk_page_partition *part = &compaction->best.part;

	switch (rc) {
	case -EBADMSG:
		tk_quarantine_put(part, "a batch of it is damaged");
		break;
	case -ENOSPC:
		tk_quarantine_put(part, "its keys do not fit in log_cleaner_dedupe_buffer_size");
		break;
	case -ESTALE:
		tk_info("partition \"%s\" has changed while it was compacted", part->name);
		break;
	case -EAGAIN:
	case -EDQUOT:
	case -ENOMEM:
		tk_warn("could not compact partition \"%s\" for now: %s", part->name,
		    strerror(rc == -EDQUOT ? ENOSPC : -rc));
		break;
	default:
		tk_quarantine_put(part, strerror(-rc));
		break;
	}
	job_give_up(compaction);
}

static void
job_begin(struct tk_compaction *compaction)
{
	const struct tk_compaction_candidate *best = &compaction->best;
	const struct tk_settings *now = settings(compaction);
	const struct tk_compact_rules rules = { .first_dirty = best->weight.first_dirty,
		.end = best->weight.end,
		.now_ms = tk_cleaner_now_ms(compaction->cleaner),
		.delete_retention_ms = best->config.delete_retention_ms,
		.producer_expiration_ms = now->producer_id_expiration_ms,
		.segment_bytes = best->config.segment_bytes,
		.index_interval_bytes = best->config.index_interval_bytes,
		.map_bytes = (size_t)now->log_cleaner_dedupe_buffer_size,
		.batch_bytes_max = (size_t)now->log_cleaner_dedupe_buffer_size };
	int dir_fd = tie_of(compaction, &best->part)->dir_fd;
	int rc;

	compaction->state = TK_COMPACTION_AT_WORK;
	tk_quarantine_begin(&best->part);
	tk_compact_sweep(dir_fd, best->part.name);
	rc = tk_compact_new(dir_fd, best->part.name, ++compaction->last_job, best->infos,
	    best->count, &rules, &compaction->job);
	if (rc < 0)
		job_failed(compaction, rc);
	else
		step_soon(compaction);
}

static void
job_tell_group(struct tk_compaction *compaction)
{
	struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX];
	const struct tk_page_partition *part = &compaction->best.part;
	struct tk_frame_cleaned frame = {
		.incarnation = part->incarnation, .job = compaction->last_job, .slot = part->slot
	};

	frame.count = (uint32_t)tk_compact_group(compaction->job, sources);
	for (uint32_t i = 0; i < frame.count; i++) {
		frame.sources[i].base_offset = sources[i].base_offset;
		frame.sources[i].log_inode = sources[i].log_inode;
	}
	ask(compaction, part, TK_FRAME_CLEANED, &frame, sizeof(frame));
}

static void
job_step(struct tk_compaction *compaction)
{
	enum tk_compact_step step;
	int rc = tk_compact_step(compaction->job, &step);

	if (rc < 0)
		job_failed(compaction, rc);
	else if (step == TK_COMPACT_GROUP)
		job_tell_group(compaction);
	else if (step == TK_COMPACT_DONE)
		ask_clean_point(
		    compaction, &compaction->best.part, tk_compact_point(compaction->job));
	else
		step_soon(compaction);
}

static bool
job_swapped(struct tk_compaction *compaction, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_swapped answer;

	if (frame->len != sizeof(answer))
		return false;
	memcpy(&answer, payload, sizeof(answer));
	if (answer.error == 0)
		step_soon(compaction);
	else
		job_failed(compaction, answer.error == -ENOSPC ? -EDQUOT : answer.error);
	return true;
}

static bool
job_done(struct tk_compaction *compaction, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_clean_point_is answer;

	if (frame->len != sizeof(answer))
		return false;
	memcpy(&answer, payload, sizeof(answer));
	if (answer.error < 0 && answer.error != -ENOENT)
		tk_warn("could not note how far partition \"%s\" was compacted: %s",
		    compaction->best.part.name, strerror(-answer.error));
	tk_info("partition \"%s\" is compacted up to offset %" PRId64, compaction->best.part.name,
	    answer.offset);
	tk_compact_free(&compaction->job);
	tk_quarantine_end(true);
	look_later(compaction, answer.error < 0 ? settings(compaction)->log_cleaner_backoff_ms : 1);
	return true;
}

/* ---- what moves it on ---- */

static void
compaction_step(struct tk_post *post)
{
	struct tk_compaction *compaction = TK_CONTAINER_OF(post, struct tk_compaction, step);

	if (compaction->state == TK_COMPACTION_AT_WORK)
		job_step(compaction);
	else if (candidate_next(compaction))
		ask_clean_point(compaction, &compaction->found.part, -1);
	else if (compaction->best.infos != NULL)
		job_begin(compaction);
	else
		look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
}

bool
tk_compaction_frame(
    struct tk_cleaner_tie *tie, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_compaction *compaction = &tie->cleaner->compaction;
	bool at_work = compaction->state == TK_COMPACTION_AT_WORK;

	if (frame->id != compaction->frame_id)
		return false;
	compaction->frame_id = 0;
	switch (frame->type) {
	case TK_FRAME_CLEAN_POINT_IS:
		return at_work ? job_done(compaction, frame, payload)
			       : look_clean_point(compaction, frame, payload);
	case TK_FRAME_SEGMENTS_ARE:
		return !at_work && look_segments(compaction, frame, payload);
	case TK_FRAME_SWAPPED:
		return at_work && job_swapped(compaction, frame, payload);
	default:
		return false;
	}
}

void
tk_compaction_lost(struct tk_cleaner_tie *tie)
{
	struct tk_compaction *compaction = &tie->cleaner->compaction;
	bool asked = compaction->frame_id != 0 && compaction->asked == tie->index;
	bool at_work = compaction->state == TK_COMPACTION_AT_WORK &&
		       compaction->best.part.directory == tie->index;

	if (asked || at_work) {
		tk_post_cancel(compaction->cleaner->loop, &compaction->step);
		interrupted(compaction);
	}
}

static void
compaction_due(struct tk_timer *timer)
{
	struct tk_compaction *compaction = TK_CONTAINER_OF(timer, struct tk_compaction, due);
	int rc = -EAGAIN;

	free(compaction->best.infos);
	compaction->best = (struct tk_compaction_candidate){ .count = 0 };
	if (settings(compaction)->log_cleaner_enable)
		rc = tk_cleaner_catch_up(compaction->cleaner);
	if (rc < 0) {
		look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
		return;
	}
	compaction->state = TK_COMPACTION_LOOKING;
	compaction->topic[0] = '\0';
	compaction->partition = 0;
	step_soon(compaction);
}

void
tk_compaction_init(struct tk_cleaner *cleaner)
{
	struct tk_compaction *compaction = &cleaner->compaction;

	compaction->cleaner = cleaner;
	compaction->due.expire = compaction_due;
	compaction->step.run = compaction_step;
	compaction->last_job = (uint64_t)tk_clock_wall_ms() * 1000;
	tk_quarantine_start();
	look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
}

void
tk_compaction_commit(struct tk_compaction *compaction)
{
	if (compaction->state == TK_COMPACTION_IDLE)
		look_later(compaction, settings(compaction)->log_cleaner_backoff_ms);
}

void
tk_compaction_free(struct tk_compaction *compaction)
{
	tk_timer_stop(compaction->cleaner->loop, &compaction->due);
	tk_post_cancel(compaction->cleaner->loop, &compaction->step);
	tk_compact_free(&compaction->job);
	free(compaction->best.infos);
	compaction->best.infos = NULL;
	tk_quarantine_end(true);
}
