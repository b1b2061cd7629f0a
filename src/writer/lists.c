/*
 * SEGMENTS and RETAIN: what a partition's list of segments is, and making it shorter.  Writer
 * process, one thread.  A list is bounded by what one frame carries.
 */
#include "writer/writer_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"

_Static_assert(sizeof(struct tk_frame_segments_are) +
		       TK_WRITER_SEGMENTS_MAX * sizeof(struct tk_segment_info) <=
		   TK_FRAME_MAX,
    "the longest list fits a frame");

static void
segments_answer(struct tk_caller *caller, uint64_t id, struct tk_frame_segments_are *answer,
    const struct tk_segment_info *infos)
{
	const struct iovec pieces[] = {
		{ .iov_base = answer, .iov_len = sizeof(*answer) },
		{ .iov_base = (void *)(uintptr_t)infos, .iov_len = answer->count * sizeof(*infos) },
	};

	if (!caller->dead)
		(void)tk_channel_send(caller->chan, TK_FRAME_SEGMENTS_ARE, id, pieces, 2);
}

void
tk_segments_tell(struct tk_caller *caller, uint64_t id, const struct tk_frame_segments *frame)
{
	struct tk_writer_part *part =
	    tk_part_find_exact(caller->writer, frame->slot, frame->incarnation);
	struct tk_frame_segments_are answer = {
		.incarnation = frame->incarnation, .slot = frame->slot, .error = -ENOENT
	};
	struct tk_segment_info *infos = NULL;
	size_t count = 0;

	if (part != NULL && tk_trouble_busy(part))
		answer.error = -EIO;
	else if (part != NULL)
		answer.error = tk_log_segments(part->log, &infos, &count);
	if (answer.error == 0 && count > TK_WRITER_SEGMENTS_MAX)
		answer.error = -E2BIG;
	if (answer.error == 0) {
		answer.generation = tk_log_state(part->log)->segments_generation;
		answer.count = (uint32_t)count;
	}
	segments_answer(caller, id, &answer, infos);
	free(infos);
}

/* Segments that end at or below log_start; what advancing the start will drop. */
static uint64_t
segments_below(struct tk_log *log, int64_t log_start)
{
	struct tk_segment_info *infos;
	size_t count;
	uint64_t below = 0;

	if (tk_log_segments(log, &infos, &count) < 0)
		return 0;
	while (below + 1 < count && infos[below + 1].base_offset <= log_start)
		below++;
	free(infos);
	return below;
}

/* Where everything goes, the active segment can go only if it is not the active one any more. */
static int
part_retain(struct tk_writer *writer, struct tk_writer_part *part, int64_t log_start)
{
	const struct tk_part_state *state = tk_log_state(part->log);
	uint64_t dropped;
	int rc = 0;

	if (log_start <= state->log_start)
		return 0;
	if (state->status == TK_PART_OFFLINE)
		return -EIO;
	if (log_start == state->log_end.offset && state->log_end.segment < log_start)
		rc = tk_log_roll(part->log, tk_clock_wall_ms());
	dropped = segments_below(part->log, log_start);
	if (rc == 0)
		rc = tk_log_advance_start(part->log, log_start);
	if (rc == 0)
		tk_count(TK_COUNT_segments_deleted, dropped);
	if (dropped > 0)
		tk_upkeep_soon(writer);
	tk_part_published(writer, part);
	return rc;
}

/* A worker's answer waits for the checkpoint; false without memory. */
static bool
retained_wait(struct tk_caller *caller, uint64_t id, const struct tk_frame_retained *answer)
{
	struct tk_retained *retained = calloc(1, sizeof(*retained));

	if (retained == NULL)
		return false;
	retained->caller = caller;
	retained->id = id;
	retained->answer = *answer;
	STAILQ_INSERT_TAIL(&caller->writer->retained, retained, link);
	return true;
}

bool
tk_retain(struct tk_caller *caller, uint64_t id, const struct tk_frame_retain *frame)
{
	struct tk_writer_part *part =
	    tk_part_find_exact(caller->writer, frame->slot, frame->incarnation);
	struct tk_frame_retained answer = { .log_start = -1, .error = -ENOENT };

	if (part != NULL && !part->internal) {
		answer.error = part_retain(caller->writer, part, frame->log_start);
		answer.log_start = tk_log_state(part->log)->log_start;
	}
	if (answer.error == 0 && caller->peer->role == TK_ROLE_WORKER)
		return retained_wait(caller, id, &answer);
	tk_caller_send(caller, TK_FRAME_RETAINED, id, &answer, sizeof(answer));
	return true;
}

/*
 * One checkpoint for all of a turn.  It is written here, in the loop: a small file and its sync,
 * and nobody asks for it but an administrator.  If it fails the start has moved, and may be back
 * where it was after a power failure: that is what KAFKA_STORAGE_ERROR says.
 */
void
tk_retained_turn(struct tk_writer *writer)
{
	struct tk_retained *retained;
	int rc = 0;

	if (STAILQ_EMPTY(&writer->retained))
		return;
	if (writer->dir != NULL)
		rc = tk_logdir_checkpoint_starts(writer->dir);
	if (rc < 0)
		tk_err("could not write the checkpoint of log starts: %s", strerror(-rc));
	while ((retained = STAILQ_FIRST(&writer->retained)) != NULL) {
		STAILQ_REMOVE_HEAD(&writer->retained, link);
		if (rc < 0)
			retained->answer.error = rc == -EINVAL ? -EIO : rc;
		if (retained->caller != NULL)
			tk_caller_send(retained->caller, TK_FRAME_RETAINED, retained->id,
			    &retained->answer, sizeof(retained->answer));
		free(retained);
	}
}

void
tk_retained_drop_caller(struct tk_caller *caller)
{
	struct tk_retained *retained;

	STAILQ_FOREACH (retained, &caller->writer->retained, link)
		if (retained->caller == caller)
			retained->caller = NULL;
}
