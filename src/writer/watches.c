/*
 * Watches: who is to be told when a partition's record has moved on.  Writer process, one thread.
 *
 * A watch says: "I have read record number seq; wake me once the record is another one and the high
 * watermark has reached this position or left this segment; wake me at once if status, epoch, log
 * start or incarnation are not as in the record I read."  One a caller and slot; a new one
 * replaces the old, whose frame gets no answer of its own.
 *
 * Why no wake-up is lost.  Records are published and watches are set by this one thread, so every
 * watch is set wholly before or wholly after each publication.  Set before: tk_part_noticed() and
 * tk_watches_check() follow every publication in the same turn and find it in the list.  Set
 * after: tk_watch_set() looks at the record as it is then, with the same test, before it is put in
 * the list, so what was published between the caller's reading and the frame's arrival counts.
 * What the record was at seq need not be remembered for that: shape_seq is the number of the last
 * record whose status, epoch, log start or incarnation differed from the one before, so a caller
 * that has read an older one is told at once.  A slot that is not open is told at once.  A watch
 * that cannot be stored is told at once, which is early, never late.  And if this process dies the
 * channel ends, which wakes everybody.
 *
 * Bounds: one a caller and open partition.
 */
#include "writer/writer_private.h"

#include <stdlib.h>

static void
watch_answer(struct tk_caller *caller, uint64_t id, uint32_t slot, uint64_t incarnation)
{
	const struct tk_frame_notify answer = { .incarnation = incarnation, .slot = slot };

	tk_count(TK_COUNT_notifies, 1);
	tk_caller_send(caller, TK_FRAME_NOTIFY, id, &answer, sizeof(answer));
}

static void
watch_free(struct tk_watch *watch)
{
	LIST_REMOVE(watch, part_link);
	LIST_REMOVE(watch, caller_link);
	free(watch);
}

static void
watch_fire(struct tk_watch *watch)
{
	watch_answer(watch->caller, watch->id, watch->part->slot, watch->part->incarnation);
	watch_free(watch);
}

/* The condition, against what is published now. */
static bool
watch_is_met(const struct tk_writer_part *part, uint64_t seq, int64_t segment, int64_t position)
{
	const struct tk_position *reached = &part->state.high_watermark;

	if (seq < part->shape_seq || seq > part->seq)
		return true;
	if (seq == part->seq)
		return false;
	return reached->segment != segment || reached->position >= position;
}

static struct tk_watch *
watch_find(const struct tk_caller *caller, const struct tk_writer_part *part)
{
	struct tk_watch *watch;

	LIST_FOREACH (watch, &part->watches, part_link) {
		if (watch->caller == caller)
			return watch;
	}
	return NULL;
}

static struct tk_watch *
watch_get(struct tk_caller *caller, struct tk_writer_part *part)
{
	struct tk_watch *watch = watch_find(caller, part);

	if (watch != NULL || (watch = calloc(1, sizeof(*watch))) == NULL)
		return watch;
	watch->caller = caller;
	watch->part = part;
	LIST_INSERT_HEAD(&part->watches, watch, part_link);
	LIST_INSERT_HEAD(&caller->watches, watch, caller_link);
	return watch;
}

void
tk_watch_set(struct tk_caller *caller, uint64_t id, const struct tk_frame_watch *frame)
{
	struct tk_writer_part *part =
	    tk_part_find_exact(caller->writer, frame->slot, frame->incarnation);
	struct tk_watch *watch = NULL;

	tk_count(TK_COUNT_watches, 1);
	if (part != NULL && !watch_is_met(part, frame->seq, frame->segment, frame->position))
		watch = watch_get(caller, part);
	if (watch == NULL) {
		if (part != NULL && (watch = watch_find(caller, part)) != NULL)
			watch_free(watch);
		watch_answer(caller, id, frame->slot, frame->incarnation);
		return;
	}
	watch->id = id;
	watch->seq = frame->seq;
	watch->segment = frame->segment;
	watch->position = frame->position;
}

void
tk_watches_check(struct tk_writer_part *part)
{
	struct tk_watch *watch, *next;

	for (watch = LIST_FIRST(&part->watches); watch != NULL; watch = next) {
		next = LIST_NEXT(watch, part_link);
		if (watch_is_met(part, watch->seq, watch->segment, watch->position))
			watch_fire(watch);
	}
}

void
tk_watches_fire(struct tk_writer_part *part)
{
	while (!LIST_EMPTY(&part->watches))
		watch_fire(LIST_FIRST(&part->watches));
}

void
tk_watches_drop_caller(struct tk_caller *caller)
{
	while (!LIST_EMPTY(&caller->watches))
		watch_free(LIST_FIRST(&caller->watches));
}
