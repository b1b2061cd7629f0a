/*
 * Appends that are answered when they are on the disk (TK_APPEND_SYNC), and closed segments that
 * are brought there soon.  Writer process; the loop's thread decides, helper threads wait.
 *
 * A batch that asked for it is written and published like any other, then waits here; one sync
 * serves all that wait when it begins, what comes later waits for the next.  Answers keep the order
 * of arrival.  The journal has a helper of its own, so that it does not stand behind a gigabyte of
 * somebody's closed segment.
 *
 * A failed sync is never tried again: the kernel may have dropped the pages and would say yes.  All
 * that waits and all that comes later is refused until the partition was read again (a restart).
 *
 * Closed segments: the helper syncs the files first, then tk_log_sync_closed(), which notes the
 * durable end, finds nothing left to wait for.
 */
#include "writer/writer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errlog.h"
#include "wire/error_codes.h"
#include "writer/syncer.h"

#define PASSES_MAX 8u /* of the helper over one partition before its durable end moves */

struct tk_durable {
	struct tk_writer *writer;
	struct tk_syncer *journal, *closed;
	TAILQ_HEAD(, tk_writer_part) unsynced; /* partitions with closed segments to sync */
	struct tk_sync_job closed_job;
	struct tk_writer_part *closed_part; /* whose closed_job is under way; NULL if it is gone */
	bool closed_busy;
};

struct tk_part_sync {
	struct tk_sync_job job;
	struct tk_writer *writer;
	uint32_t slot;
};

/* ---- appends ---- */

static void
waiting_answer(struct tk_pending_list *list, int rc)
{
	struct tk_pending *pending;

	while ((pending = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		if (rc < 0)
			pending->append.error = TK_ERR_KAFKA_STORAGE_ERROR;
		tk_appends_answer(pending);
	}
}

static void part_sync_start(struct tk_writer *writer, struct tk_writer_part *part);

static void
part_sync_done(struct tk_sync_job *job)
{
	struct tk_part_sync *sync = TK_CONTAINER_OF(job, struct tk_part_sync, job);
	struct tk_writer *writer = sync->writer;
	struct tk_writer_part *part = tk_part_find(writer, sync->slot);
	int rc = job->rc;

	if (part != NULL && part->sync == sync) {
		part->sync = NULL;
		if (rc < 0 && !part->sync_failed)
			tk_err("could not sync partition \"%s\": %s: no more appends to it",
			    tk_log_name(part->log), strerror(-rc));
		if (rc < 0)
			part->sync_failed = writer->sync_failed = true;
		if (rc == 0)
			part->names_synced = job->segments[0];
		waiting_answer(&part->sync_underway, part->sync_failed ? -EIO : 0);
		part_sync_start(writer, part);
	}
	free(sync);
}

/* Begins a sync for all that waits, unless one is under way. */
static void
part_sync_start(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_part_sync *sync;

	if (part->sync != NULL || STAILQ_EMPTY(&part->sync_waiting))
		return;
	if (tk_log_has_unsynced(part->log) && tk_log_sync_closed(part->log) < 0)
		part->sync_failed = writer->sync_failed = true;
	sync = part->sync_failed ? NULL : calloc(1, sizeof(*sync));
	if (sync == NULL) {
		waiting_answer(&part->sync_waiting, -EIO);
		return;
	}
	STAILQ_CONCAT(&part->sync_underway, &part->sync_waiting);
	sync->writer = writer;
	sync->slot = part->slot;
	sync->job.done = part_sync_done;
	(void)snprintf(
	    sync->job.directory, sizeof(sync->job.directory), "%s", tk_log_name(part->log));
	sync->job.segments[sync->job.segment_count++] = part->state.log_end.segment;
	sync->job.with_names = part->names_synced != part->state.log_end.segment;
	part->sync = sync;
	tk_syncer_add(writer->durable->journal, &sync->job);
}

void
tk_durable_wait(struct tk_writer_part *part, struct tk_pending *pending)
{
	STAILQ_INSERT_TAIL(&part->sync_waiting, pending, link);
}

void
tk_durable_start(struct tk_writer *writer, struct tk_writer_part *part)
{
	part_sync_start(writer, part);
}

bool
tk_durable_waiting(const struct tk_writer *writer)
{
	for (size_t slot = 0; slot < writer->parts_room; slot++)
		if (writer->parts[slot] != NULL && writer->parts[slot]->sync != NULL)
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

/* Internal partitions are few and stand in the first slots that were made; only they wait here. */
void
tk_durable_drop_caller(struct tk_caller *caller)
{
	struct tk_writer *writer = caller->writer;

	for (size_t slot = 0; slot < writer->parts_room && caller->outstanding > 0; slot++) {
		struct tk_writer_part *part = writer->parts[slot];

		if (part == NULL || !part->internal)
			continue;
		list_drop_caller(&part->sync_waiting, caller);
		list_drop_caller(&part->sync_underway, caller);
	}
}

/* ---- closed segments ---- */

static void closed_next(struct tk_durable *durable);

/* Asking again would be believed, so it is not: the durable end stays where it is. */
static void
closed_failed(struct tk_writer *writer, struct tk_writer_part *part, int rc)
{
	tk_err("could not sync closed segments of partition \"%s\": %s", tk_log_name(part->log),
	    strerror(-rc));
	part->sync_failed = writer->sync_failed = true;
}

/* Segments that were closed meanwhile get their turn first, unless that goes on for ever. */
static bool
closed_again(struct tk_writer_part *part)
{
	if (part->state.log_end.segment <= part->closed_synced || part->closed_passes == PASSES_MAX)
		return false;
	part->closed_passes++;
	return true;
}

static void
closed_done(struct tk_sync_job *job)
{
	struct tk_durable *durable = job->owner;
	struct tk_writer_part *part = durable->closed_part;
	int rc = job->rc;

	durable->closed_busy = false;
	durable->closed_part = NULL;
	if (part != NULL && rc == 0 && closed_again(part)) {
		tk_durable_closed(durable->writer, part);
	} else if (part != NULL) {
		part->closed_passes = 0;
		if (rc == 0)
			rc = tk_log_sync_closed(part->log);
		if (rc < 0)
			closed_failed(durable->writer, part, rc);
		tk_part_published(durable->writer, part);
	}
	closed_next(durable);
}

/* The files of closed segments that are not known to be on the disk, into the job. */
static void
closed_list(struct tk_writer_part *part, struct tk_sync_job *job)
{
	int64_t from = TK_MAX(part->state.durable_end, part->closed_synced);
	struct tk_segment_info *infos;
	size_t count;

	job->segment_count = 0;
	if (tk_log_segments(part->log, &infos, &count) < 0)
		return;
	for (size_t i = 0; i + 1 < count && job->segment_count < TK_COUNT_OF(job->segments); i++) {
		if (infos[i + 1].base_offset <= from)
			continue;
		job->segments[job->segment_count++] = infos[i].base_offset;
		part->closed_synced = infos[i + 1].base_offset;
	}
	free(infos);
}

static void
closed_next(struct tk_durable *durable)
{
	struct tk_writer_part *part = TAILQ_FIRST(&durable->unsynced);
	struct tk_sync_job *job = &durable->closed_job;

	if (durable->closed_busy || part == NULL)
		return;
	TAILQ_REMOVE(&durable->unsynced, part, unsynced_link);
	part->is_unsynced = false;
	job->done = closed_done;
	job->with_indexes = job->with_names = true;
	job->owner = durable;
	(void)snprintf(job->directory, sizeof(job->directory), "%s", tk_log_name(part->log));
	closed_list(part, job);
	durable->closed_part = part;
	durable->closed_busy = true;
	tk_syncer_add(durable->closed, job);
}

void
tk_durable_closed(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_durable *durable = writer->durable;

	if (durable == NULL || part->is_unsynced || part->sync_failed ||
	    !tk_log_has_unsynced(part->log))
		return;
	part->is_unsynced = true;
	TAILQ_INSERT_TAIL(&durable->unsynced, part, unsynced_link);
	closed_next(durable);
}

void
tk_durable_forget_part(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_durable *durable = writer->durable;

	waiting_answer(&part->sync_underway, -EIO);
	waiting_answer(&part->sync_waiting, -EIO);
	if (durable == NULL) {
		free(part->sync); /* no helper is at it any more */
		return;
	}
	if (part->is_unsynced)
		TAILQ_REMOVE(&durable->unsynced, part, unsynced_link);
	part->is_unsynced = false;
	if (durable->closed_part == part)
		durable->closed_part = NULL;
}

/* ---- both ---- */

int
tk_durable_new(struct tk_writer *writer)
{
	struct tk_durable *durable = calloc(1, sizeof(*durable));
	int rc;

	if (durable == NULL)
		return -ENOMEM;
	durable->writer = writer;
	TAILQ_INIT(&durable->unsynced);
	writer->durable = durable;
	rc = tk_syncer_new(writer->loop, writer->dir_fd, &durable->journal);
	if (rc == 0)
		rc = tk_syncer_new(writer->loop, writer->dir_fd, &durable->closed);
	if (rc < 0)
		tk_durable_free(writer);
	return rc;
}

void
tk_durable_free(struct tk_writer *writer)
{
	if (writer->durable == NULL)
		return;
	tk_syncer_free(&writer->durable->journal);
	tk_syncer_free(&writer->durable->closed);
	free(writer->durable);
	writer->durable = NULL;
}
