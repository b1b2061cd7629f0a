/*
 * Appends: a queue a partition, and the turn that writes them.
 *
 * Frames only queue.  At the end of the loop's turn each partition with something waiting gets one
 * tk_log_append() for as much as its share of the turn holds: all that came in the turn leaves in
 * one write, and the answers, queued here, leave in the same turn (the hook stands before those of
 * the channels).  Partitions take turns; within one, the callers do, batch by batch, so nobody's
 * backlog stands before another's first.  What one caller sent to one partition stays in order.
 * What a turn leaves over makes the next one come at once.
 *
 * A batch lies in the caller's arena, mapped read-only for as long as it is known here: the caller
 * holds a reference to the peer.  A caller that ends takes what it has waiting with it; nothing of
 * it can be half under way, since a turn writes and settles in one go.
 *
 * Bounds: TK_WRITER_CREDITS a caller; nothing is allocated by what a frame declares.
 */
#include "writer/writer_private.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "log/batch.h"
#include "wire/error_codes.h"

#define APPEND_FLAGS (TK_APPEND_SYNC | TK_APPEND_MAX_TIMESTAMP)

/* ---- queues ---- */

static bool
caller_pool(struct tk_caller *caller)
{
	if (caller->pool != NULL)
		return true;
	caller->pool = calloc(TK_WRITER_CREDITS, sizeof(*caller->pool));
	if (caller->pool == NULL)
		return false;
	for (size_t i = 0; i < TK_WRITER_CREDITS; i++)
		STAILQ_INSERT_TAIL(&caller->unused, &caller->pool[i], link);
	return true;
}

static struct tk_lane *
lane_find(struct tk_caller *caller, struct tk_writer_part *part)
{
	struct tk_lane *lane;

	TAILQ_FOREACH (lane, &part->lanes, part_link) {
		if (lane->caller == caller)
			return lane;
	}
	return NULL;
}

static struct tk_lane *
lane_get(struct tk_caller *caller, struct tk_writer_part *part)
{
	struct tk_lane *lane = lane_find(caller, part);

	if (lane != NULL)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->caller = caller;
	lane->part = part;
	STAILQ_INIT(&lane->queue);
	if (TAILQ_EMPTY(&part->lanes))
		TAILQ_INSERT_TAIL(&caller->writer->turns, part, turn_link);
	TAILQ_INSERT_TAIL(&part->lanes, lane, part_link);
	LIST_INSERT_HEAD(&caller->lanes, lane, caller_link);
	return lane;
}

/* An empty lane goes, and with its last one the partition's place in the order of turns. */
static void
lane_free(struct tk_lane *lane)
{
	struct tk_writer_part *part = lane->part;
	struct tk_writer *writer = lane->caller->writer;

	tk_assert(STAILQ_EMPTY(&lane->queue));
	TAILQ_REMOVE(&part->lanes, lane, part_link);
	LIST_REMOVE(lane, caller_link);
	if (TAILQ_EMPTY(&part->lanes))
		TAILQ_REMOVE(&writer->turns, part, turn_link);
	free(lane);
}

static void
pending_free(struct tk_pending *pending)
{
	struct tk_caller *caller = pending->caller;

	tk_assert(caller->outstanding > 0);
	caller->outstanding--;
	STAILQ_INSERT_TAIL(&caller->unused, pending, link);
}

static struct tk_pending *
lane_shift(struct tk_lane *lane)
{
	struct tk_pending *pending = STAILQ_FIRST(&lane->queue);

	STAILQ_REMOVE_HEAD(&lane->queue, link);
	return pending;
}

/* ---- answers ---- */

static void
append_answer(struct tk_caller *caller, uint64_t id, const struct tk_append *append)
{
	const struct tk_frame_appended answer = {
		.base_offset = append->base_offset,
		.log_append_time_ms = append->log_append_time_ms,
		.log_start = append->log_start,
		.error = append->stale ? TK_APPENDED_STALE : append->error,
	};

	if (answer.error != TK_ERR_NONE)
		tk_count(TK_COUNT_append_errors, 1);
	tk_caller_send(caller, TK_FRAME_APPENDED, id, &answer, sizeof(answer));
}

static void
append_refuse(struct tk_caller *caller, uint64_t id, int16_t error)
{
	const struct tk_append refused = {
		.error = error, .base_offset = -1, .log_append_time_ms = -1, .log_start = -1
	};

	append_answer(caller, id, &refused);
}

void
tk_appends_answer(struct tk_pending *pending)
{
	append_answer(pending->caller, pending->id, &pending->append);
	pending_free(pending);
}

void
tk_appends_forget(struct tk_pending *pending)
{
	pending_free(pending);
}

/* ---- taking a frame ---- */

/* True if the frame is one that an honest caller may send. */
static bool
append_frame_sound(const struct tk_caller *caller, const struct tk_frame_append *frame)
{
	const struct tk_peer *peer = caller->peer;

	if (frame->slot >= TK_ZONE_SLOTS_MAX || (frame->flags & ~APPEND_FLAGS) != 0)
		return false;
	if (frame->incarnation == 0 || frame->len < TK_BATCH_HEADER_BYTES)
		return false;
	if ((frame->flags & TK_APPEND_SYNC) != 0 && peer->role != TK_ROLE_COORDINATOR)
		return false;
	if ((frame->flags & TK_APPEND_MAX_TIMESTAMP) != 0 && frame->max_timestamp < -1)
		return false;
	return peer->arena != NULL && frame->arena_offset <= peer->arena_size &&
	       frame->len <= peer->arena_size - frame->arena_offset;
}

/* Workers append to clients' partitions, the coordinator to ours. */
static bool
append_permitted(const struct tk_caller *caller, const struct tk_writer_part *part)
{
	return part->internal == (caller->peer->role == TK_ROLE_COORDINATOR);
}

static bool
append_queue(struct tk_caller *caller, struct tk_writer_part *part, uint64_t id,
    const struct tk_frame_append *frame)
{
	struct tk_pending *pending;
	struct tk_lane *lane;

	if (!caller_pool(caller) || (lane = lane_get(caller, part)) == NULL)
		return false;
	pending = STAILQ_FIRST(&caller->unused);
	tk_assert(pending != NULL && caller->outstanding < TK_WRITER_CREDITS);
	STAILQ_REMOVE_HEAD(&caller->unused, link);
	caller->outstanding++;
	*pending = (struct tk_pending){
		.id = id,
		.deadline_ms = frame->deadline_ms,
		.flags = frame->flags,
		.caller = caller,
		.append = { .batch = caller->peer->arena + frame->arena_offset,
		    .batch_bytes = frame->len,
		    .incarnation = frame->incarnation,
		    .config_revision = frame->config_revision,
		    .leader_epoch = frame->leader_epoch,
		    .walked = (frame->flags & TK_APPEND_MAX_TIMESTAMP) != 0,
		    .max_timestamp = frame->max_timestamp,
		    .origin = caller->peer->role == TK_ROLE_COORDINATOR ? TK_APPEND_COORDINATOR
									: TK_APPEND_CLIENT },
	};
	STAILQ_INSERT_TAIL(&lane->queue, pending, link);
	return true;
}

bool
tk_appends_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_append *frame)
{
	struct tk_writer *writer = caller->writer;
	struct tk_writer_part *part;

	if (!append_frame_sound(caller, frame))
		return false;
	part = tk_part_find(writer, frame->slot);
	if (part == NULL || writer->stopping)
		append_refuse(caller, id, TK_ERR_NOT_LEADER_OR_FOLLOWER);
	else if (part->incarnation != frame->incarnation)
		append_refuse(caller, id, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	else if (!append_permitted(caller, part))
		return false;
	else if (!append_queue(caller, part, id, frame))
		append_refuse(caller, id, TK_ERR_KAFKA_STORAGE_ERROR);
	if (part != NULL && frame->config_revision > part->state.config_revision)
		tk_apply_look(writer, part, frame->config_revision);
	return true;
}

/* ---- dropping ---- */

void
tk_appends_drop_caller(struct tk_caller *caller)
{
	struct tk_lane *lane;

	while ((lane = LIST_FIRST(&caller->lanes)) != NULL) {
		while (!STAILQ_EMPTY(&lane->queue))
			pending_free(lane_shift(lane));
		lane_free(lane);
	}
	tk_durable_drop_caller(caller);
	tk_assert(caller->outstanding == 0);
}

void
tk_appends_refuse_part(struct tk_writer_part *part, int16_t error)
{
	struct tk_lane *lane;

	while ((lane = TAILQ_FIRST(&part->lanes)) != NULL) {
		while (!STAILQ_EMPTY(&lane->queue)) {
			struct tk_pending *pending = lane_shift(lane);

			append_refuse(pending->caller, pending->id, error);
			pending_free(pending);
		}
		lane_free(lane);
	}
}

/* ---- the turn ---- */

struct turn_batch {
	struct tk_pending *pending[TK_WRITER_PART_TURN_COUNT];
	struct tk_append *appends[TK_WRITER_PART_TURN_COUNT];
	size_t count, bytes;
};

/* One that came too late is answered instead of taken. */
static bool
pending_too_late(struct tk_pending *pending, int64_t now_ms)
{
	if (pending->deadline_ms == 0 || pending->deadline_ms > now_ms)
		return false;
	append_refuse(pending->caller, pending->id, TK_ERR_REQUEST_TIMED_OUT);
	pending_free(pending);
	return true;
}

/* Takes what the turn holds, one batch of each lane in rotation. */
static void
turn_gather(struct tk_writer_part *part, int64_t now_ms, struct turn_batch *turn)
{
	struct tk_lane *lane;

	turn->count = turn->bytes = 0;
	while (
	    (lane = TAILQ_FIRST(&part->lanes)) != NULL && turn->count < TK_WRITER_PART_TURN_COUNT) {
		struct tk_pending *pending = STAILQ_FIRST(&lane->queue);

		if (turn->count > 0 &&
		    turn->bytes + pending->append.batch_bytes > TK_WRITER_PART_TURN_BYTES)
			return;
		(void)lane_shift(lane);
		if (!pending_too_late(pending, now_ms)) {
			turn->bytes += pending->append.batch_bytes;
			turn->appends[turn->count] = &pending->append;
			turn->pending[turn->count++] = pending;
		}
		TAILQ_REMOVE(&part->lanes, lane, part_link);
		TAILQ_INSERT_TAIL(&part->lanes, lane, part_link);
		if (STAILQ_EMPTY(&lane->queue))
			lane_free(lane);
	}
}

/* One that is to be on the disk waits on, in order behind those that do already. */
static void
turn_answer(struct tk_writer *writer, struct tk_writer_part *part, struct turn_batch *turn)
{
	bool wait = false;

	for (size_t i = 0; i < turn->count; i++) {
		struct tk_pending *pending = turn->pending[i];
		bool good = pending->append.error == TK_ERR_NONE && !pending->append.stale;

		if (good) {
			tk_count(TK_COUNT_append_batches, 1);
			tk_count(TK_COUNT_append_bytes, pending->append.batch_bytes);
			tk_room_taken(writer, pending->append.batch_bytes);
		}
		if (good && tk_durable_must_wait(part, pending)) {
			tk_durable_wait(part, pending);
			wait = true;
		} else {
			tk_appends_answer(pending);
		}
	}
	if (wait)
		tk_durable_look(writer, part);
}

static void
turn_run(struct tk_writer *writer, struct tk_writer_part *part, struct turn_batch *turn)
{
	tk_killpoint("before_append");
	tk_count(TK_COUNT_appends, 1);
	(void)tk_log_append(part->log, turn->appends, turn->count, tk_clock_wall_ms());
	tk_part_noticed(writer, part);
	turn_answer(writer, part, turn);
	tk_killpoint("after_answer_queued");
	tk_watches_check(part);
}

/* The disk is nearly full: what is left of it is not for clients. */
static void
turn_refuse(struct turn_batch *turn)
{
	for (size_t i = 0; i < turn->count; i++) {
		struct tk_pending *pending = turn->pending[i];

		append_refuse(pending->caller, pending->id, TK_ERR_KAFKA_STORAGE_ERROR);
		pending_free(pending);
	}
}

void
tk_appends_turn(struct tk_writer *writer)
{
	struct tk_writer_part *last = TAILQ_LAST(&writer->turns, tk_part_turns), *part = NULL;
	int64_t now_ms = tk_loop_now_ms(writer->loop);
	struct turn_batch turn;
	size_t bytes = 0;

	while (part != last && bytes < TK_WRITER_TURN_BYTES) {
		part = TAILQ_FIRST(&writer->turns);
		TAILQ_REMOVE(&writer->turns, part, turn_link);
		TAILQ_INSERT_TAIL(&writer->turns, part, turn_link);
		turn_gather(part, now_ms, &turn);
		if (turn.count > 0 && !part->internal && tk_room_is_low(writer))
			turn_refuse(&turn);
		else if (turn.count > 0)
			turn_run(writer, part, &turn);
		bytes += turn.bytes;
	}
	if (!TAILQ_EMPTY(&writer->turns))
		tk_post(writer->loop, &writer->again);
}

bool
tk_appends_waiting(const struct tk_writer *writer)
{
	return !TAILQ_EMPTY(&writer->turns);
}
