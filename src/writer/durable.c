/*
 * Who waits for the disk, and when it is asked.  Writer process; the loop's thread decides, helper
 * threads wait.
 *
 * A partition has one sync under way at most.  It covers all that was published when it began;
 * whatever comes meanwhile waits for the next (group commit).  One is begun
 *	- for appends that are answered when they are on the disk: those of a partition whose
 *	  commits wait (flush = "commit"), and TK_APPEND_SYNC;
 *	- where the high watermark stands behind the log's end, which only a sync moves;
 *	- when flush.ms or flush.messages say so;
 *	- for closed segments, soon after they were closed.
 * Answers keep the order of arrival, and leave after the record that says the same was published.
 *
 * The journal has a helper of its own and closed segments that nobody waits for another, so that
 * neither stands behind a gigabyte of somebody else's; for the rest there are a few, so that the
 * syncs of several partitions overlap.
 *
 * A failed sync is never tried again: tk_log_sync_end() takes the partition offline, nobody who
 * waits is told success, and trouble.c brings it back.  Whether what waited survives that is not
 * known, and clients are told so (REQUEST_TIMED_OUT).
 */
#include "writer/writer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/error_codes.h"
#include "writer/syncer.h"

#define COMMIT_THREADS 4u
#define FLUSH_MAX_MS   ((int64_t)24 * 3600 * 1000) /* of a flush.ms; longer is as good */

struct tk_durable {
	struct tk_writer *writer;
	struct tk_syncer *journal, *closed, *commits;
	TAILQ_HEAD(, tk_writer_part) dirty; /* that have a flush.ms to keep */
	struct tk_timer timer;
	int64_t timer_due_ms;
	LIST_HEAD(, tk_part_sync) orphans; /* whose partition is gone, a helper still at it */
};

/* Outlives its partition while a helper is at it. */
struct tk_part_sync {
	struct tk_sync_job job;
	LIST_ENTRY(tk_part_sync) link;
	struct tk_log_sync what;
	struct tk_writer *writer;
	struct tk_writer_part *part; /* NULL: gone */
};

/* ---- who waits ---- */

/* Whoever is to hear of a failure: all; else those whose batches are on the disk. */
static void
waiting_answer(struct tk_writer_part *part, bool failed)
{
	struct tk_pending *pending;

	while ((pending = STAILQ_FIRST(&part->sync_waiting)) != NULL) {
		if (!failed && pending->append.end_offset > part->state.durable_end)
			return;
		STAILQ_REMOVE_HEAD(&part->sync_waiting, link);
		if (failed)
			pending->append.error =
			    part->internal ? TK_ERR_KAFKA_STORAGE_ERROR : TK_ERR_REQUEST_TIMED_OUT;
		tk_appends_answer(pending);
	}
}

bool
tk_durable_must_wait(const struct tk_writer_part *part, const struct tk_pending *pending)
{
	return ((pending->flags & TK_APPEND_SYNC) != 0 || tk_log_config(part->log)->flush_commit) &&
	       pending->append.end_offset > part->state.durable_end;
}

void
tk_durable_wait(struct tk_writer_part *part, struct tk_pending *pending)
{
	STAILQ_INSERT_TAIL(&part->sync_waiting, pending, link);
}

bool
tk_durable_waiting(const struct tk_writer *writer)
{
	for (size_t slot = 0; slot < writer->parts_room; slot++)
		if (writer->parts[slot] != NULL && writer->parts[slot]->syncing)
			return true;
	return false;
}

static void
list_drop_caller(struct tk_pending_list *list, const struct tk_caller *caller)
{
	struct tk_pending_list kept = STAILQ_HEAD_INITIALIZER(kept);
	struct tk_pending *pending;

	while ((pending = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		if (pending->caller == caller)
			tk_appends_forget(pending);
		else
			STAILQ_INSERT_TAIL(&kept, pending, link);
	}
	STAILQ_CONCAT(list, &kept);
}

void
tk_durable_drop_caller(struct tk_caller *caller)
{
	struct tk_writer *writer = caller->writer;

	for (size_t slot = 0; slot < writer->parts_room && caller->outstanding > 0; slot++)
		if (writer->parts[slot] != NULL)
			list_drop_caller(&writer->parts[slot]->sync_waiting, caller);
}

/* ---- a sync ---- */

static void
part_sync_done(struct tk_sync_job *job)
{
	struct tk_part_sync *sync = TK_CONTAINER_OF(job, struct tk_part_sync, job);
	struct tk_writer_part *part = sync->part;
	struct tk_writer *writer = sync->writer;
	int rc = job->rc; /* the next sync may have the job before this returns */

	if (part == NULL) {
		LIST_REMOVE(sync, link);
		free(sync);
		return;
	}
	part->syncing = false;
	tk_log_sync_end(part->log, &sync->what, rc);
	tk_part_published(writer, part);
	waiting_answer(part, rc < 0);
	tk_durable_look(writer, part);
}

static struct tk_syncer *
part_syncer(const struct tk_durable *durable, const struct tk_writer_part *part,
    const struct tk_log_sync *what)
{
	if (part->internal)
		return durable->journal;
	return what->with_active ? durable->commits : durable->closed;
}

static bool
part_sync_room(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_part_sync *sync = part->sync;

	if (sync == NULL && (sync = calloc(1, sizeof(*sync))) == NULL)
		return false;
	sync->writer = writer;
	sync->part = part;
	part->sync = sync;
	return true;
}

/* False: there was nothing to begin. */
static bool
part_sync_start(struct tk_writer *writer, struct tk_writer_part *part, bool closed_only)
{
	struct tk_part_sync *sync;

	if (part->syncing || !part_sync_room(writer, part))
		return false;
	sync = part->sync;
	if (!tk_log_sync_begin(part->log, closed_only, &sync->what))
		return false;
	part->syncing = true;
	sync->job = (struct tk_sync_job){ .done = part_sync_done,
		.segment_count = sync->what.segment_count,
		.with_active = sync->what.with_active,
		.with_names = sync->what.with_names };
	(void)snprintf(
	    sync->job.directory, sizeof(sync->job.directory), "%s", tk_log_name(part->log));
	memcpy(sync->job.segments, sync->what.segments, sizeof(sync->what.segments));
	tk_syncer_add(part_syncer(writer->durable, part, &sync->what), &sync->job);
	tk_part_noticed(writer, part); /* it was announced */
	return true;
}

/* ---- when ---- */

static int64_t
flush_ms_of(const struct tk_writer_part *part)
{
	return TK_MIN(tk_log_config(part->log)->flush_ms, FLUSH_MAX_MS);
}

static void
timer_set(struct tk_durable *durable, int64_t wait_ms)
{
	durable->timer_due_ms = tk_loop_now_ms(durable->writer->loop) + wait_ms;
	(void)tk_timer_start(durable->writer->loop, &durable->timer, wait_ms);
}

static void
dirty_add(struct tk_durable *durable, struct tk_writer_part *part)
{
	int64_t now_ms = tk_loop_now_ms(durable->writer->loop), due_ms;

	if (tk_log_config(part->log)->flush_ms == INT64_MAX)
		return;
	if (!part->is_dirty) {
		part->is_dirty = true;
		part->dirty_ms = now_ms;
		TAILQ_INSERT_TAIL(&durable->dirty, part, dirty_link);
	}
	due_ms = part->dirty_ms + flush_ms_of(part); /* flush.ms may have been lowered */
	if (!tk_timer_running(&durable->timer) || durable->timer_due_ms > due_ms)
		timer_set(durable, TK_MAX(due_ms - now_ms, 0));
}

static void
dirty_remove(struct tk_durable *durable, struct tk_writer_part *part)
{
	if (part->is_dirty)
		TAILQ_REMOVE(&durable->dirty, part, dirty_link);
	part->is_dirty = false;
}

/* Begins what is due, and sleeps until the next is. */
static void
dirty_look(struct tk_timer *timer)
{
	struct tk_durable *durable = TK_CONTAINER_OF(timer, struct tk_durable, timer);
	int64_t now_ms = tk_loop_now_ms(durable->writer->loop), wait_ms = INT64_MAX;
	struct tk_writer_part *part, *next;

	for (part = TAILQ_FIRST(&durable->dirty); part != NULL; part = next) {
		int64_t left_ms = flush_ms_of(part) - (now_ms - part->dirty_ms);

		next = TAILQ_NEXT(part, dirty_link);
		if (left_ms > 0) {
			wait_ms = TK_MIN(wait_ms, left_ms);
			continue;
		}
		dirty_remove(durable, part);
		(void)part_sync_start(durable->writer, part, false);
	}
	if (wait_ms < INT64_MAX)
		timer_set(durable, wait_ms);
}

static bool
sync_is_due(const struct tk_writer_part *part)
{
	const struct tk_part_state *state = &part->state;
	const struct tk_log_config *config = tk_log_config(part->log);

	return !STAILQ_EMPTY(&part->sync_waiting) ||
	       state->high_watermark.offset < state->log_end.offset ||
	       state->log_end.offset - state->durable_end >= config->flush_messages;
}

/* With everything on the disk nobody waits: a batch of before a deletion, say, is there. */
void
tk_durable_look(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_durable *durable = writer->durable;

	if (durable == NULL || part->syncing)
		return;
	if (part->state.status == TK_PART_OFFLINE) {
		dirty_remove(durable, part);
		waiting_answer(part, true);
	} else if (part->state.durable_end == part->state.log_end.offset) {
		dirty_remove(durable, part);
		waiting_answer(part, false);
	} else if (sync_is_due(part)) {
		if (part_sync_start(writer, part, false))
			dirty_remove(durable, part);
		else
			waiting_answer(part, true);
	} else {
		dirty_add(durable, part);
		if (tk_log_has_unsynced(part->log))
			(void)part_sync_start(writer, part, true);
	}
}

void
tk_durable_forget_part(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_durable *durable = writer->durable;

	waiting_answer(part, true);
	if (durable != NULL)
		dirty_remove(durable, part);
	if (durable != NULL && part->syncing) {
		part->sync->part = NULL;
		LIST_INSERT_HEAD(&durable->orphans, part->sync, link);
	} else {
		free(part->sync);
	}
	part->sync = NULL;
	part->syncing = false;
}

void
tk_durable_run(struct tk_writer *writer, struct tk_sync_job *job)
{
	tk_syncer_add(writer->durable->closed, job);
}

/* ---- all of it ---- */

int
tk_durable_new(struct tk_writer *writer)
{
	struct tk_durable *durable = calloc(1, sizeof(*durable));
	int rc;

	if (durable == NULL)
		return -ENOMEM;
	durable->writer = writer;
	TAILQ_INIT(&durable->dirty);
	durable->timer.expire = dirty_look;
	writer->durable = durable;
	rc = tk_syncer_new(writer->loop, writer->dir_fd, 1, &durable->journal);
	if (rc == 0)
		rc = tk_syncer_new(writer->loop, writer->dir_fd, 1, &durable->closed);
	if (rc == 0)
		rc = tk_syncer_new(writer->loop, writer->dir_fd, COMMIT_THREADS, &durable->commits);
	if (rc < 0)
		tk_durable_free(writer);
	return rc;
}

void
tk_durable_free(struct tk_writer *writer)
{
	struct tk_durable *durable = writer->durable;
	struct tk_part_sync *sync;

	if (durable == NULL)
		return;
	tk_timer_stop(writer->loop, &durable->timer);
	tk_syncer_free(&durable->journal);
	tk_syncer_free(&durable->closed);
	tk_syncer_free(&durable->commits);
	while ((sync = LIST_FIRST(&durable->orphans)) != NULL) {
		LIST_REMOVE(sync, link);
		free(sync);
	}
	free(durable);
	writer->durable = NULL;
}
