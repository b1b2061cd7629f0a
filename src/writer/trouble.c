/*
 * Partitions that are not online, and what is done about it.  Writer process; the loop's thread.
 *
 * READ_ONLY (a write has failed: the disk is full, say): each append tries again by itself; so that
 * the status clears without one, this does every few seconds.  OFFLINE after a failed sync: the log
 * is read again (log_rescue.c) in a helper thread, at once, and if that fails again and again at a
 * slower pace.  Other causes of OFFLINE need somebody who looks.
 *
 * While a helper reads a partition nobody else may touch its files: appends are refused by its
 * status; deletion, lists and retention ask tk_trouble_busy().  A deletion asked for meanwhile is
 * done at the end.  Bounds: the list holds each open partition once at most.
 */
#include "writer/writer_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "writer/syncer.h"

#define TICK_MS       1000
#define TRY_MS        5000
#define RESCUE_MS     5000
#define RESCUE_MAX_MS 60000

/* Outlives its partition only at the end of the process, where tk_parts_close() frees it. */
struct tk_part_rescue {
	struct tk_sync_job job;
	struct tk_writer *writer;
	struct tk_writer_part *part;
	struct tk_log *rescued;
};

bool
tk_trouble_busy(const struct tk_writer_part *part)
{
	return part->rescue != NULL;
}

bool
tk_trouble_busy_name(const struct tk_writer *writer, const char *topic, int32_t partition)
{
	const struct tk_writer_part *part;
	char name[TK_TOPIC_NAME_MAX + 16];

	(void)snprintf(name, sizeof(name), "%s-%d", topic, (int)partition);
	TAILQ_FOREACH (part, &writer->troubled, trouble_link)
		if (part->rescue != NULL && strcmp(tk_log_name(part->log), name) == 0)
			return true;
	return false;
}

void
tk_trouble_forget(struct tk_writer *writer, struct tk_writer_part *part)
{
	if (part->is_troubled)
		TAILQ_REMOVE(&writer->troubled, part, trouble_link);
	part->is_troubled = false;
	if (part->rescue == NULL)
		return;
	tk_assert(writer->durable == NULL); /* the helpers are gone */
	tk_log_rescue_drop(&part->rescue->rescued);
	free(part->rescue);
	part->rescue = NULL;
}

static bool
is_in_trouble(const struct tk_writer_part *part)
{
	return part->state.status == TK_PART_READ_ONLY || tk_log_needs_rescue(part->log);
}

static void
rescue_failed(struct tk_writer *writer, struct tk_writer_part *part, int rc)
{
	part->rescue_pause_ms = TK_MIN(TK_MAX(part->rescue_pause_ms * 2, RESCUE_MS), RESCUE_MAX_MS);
	part->try_ms = tk_loop_now_ms(writer->loop) + part->rescue_pause_ms;
	tk_err("could not read partition \"%s\" again: %s: next try in %d s",
	    tk_log_name(part->log), strerror(-rc), (int)(part->rescue_pause_ms / 1000));
}

static void
rescue_done(struct tk_sync_job *job)
{
	struct tk_part_rescue *rescue = TK_CONTAINER_OF(job, struct tk_part_rescue, job);
	struct tk_writer_part *part = rescue->part;
	struct tk_writer *writer = rescue->writer;

	part->rescue = NULL;
	if (job->rc == 0) {
		tk_log_rescue_end(&part->log, &rescue->rescued);
		part->rescue_pause_ms = 0;
	} else {
		tk_log_rescue_drop(&rescue->rescued);
		rescue_failed(writer, part, job->rc);
	}
	free(rescue);
	tk_part_published(writer, part);
	if (part->delete_wanted && tk_part_delete(writer, part) < 0)
		tk_err("could not delete partition \"%s\"", tk_log_name(part->log));
	tk_apply_again(writer);
}

static int
rescue_run(struct tk_sync_job *job)
{
	return tk_log_rescue_run(TK_CONTAINER_OF(job, struct tk_part_rescue, job)->rescued);
}

static void
rescue_start(struct tk_writer *writer, struct tk_writer_part *part)
{
	struct tk_part_rescue *rescue = calloc(1, sizeof(*rescue));
	int rc = rescue == NULL ? -ENOMEM : tk_log_rescue_begin(part->log, &rescue->rescued);

	if (rc < 0) {
		free(rescue);
		rescue_failed(writer, part, rc);
		return;
	}
	rescue->writer = writer;
	rescue->part = part;
	rescue->job.run = rescue_run;
	rescue->job.done = rescue_done;
	part->rescue = rescue;
	tk_durable_run(writer, &rescue->job);
}

static void
part_try(struct tk_writer *writer, struct tk_writer_part *part)
{
	if (part->rescue != NULL || part->syncing || tk_loop_now_ms(writer->loop) < part->try_ms)
		return;
	if (tk_log_needs_rescue(part->log)) {
		rescue_start(writer, part);
		return;
	}
	part->try_ms = tk_loop_now_ms(writer->loop) + TRY_MS;
	tk_log_try_again(part->log, tk_clock_wall_ms());
	tk_part_published(writer, part);
}

/* Those that are well again leave the list here, so that nothing else has to. */
void
tk_trouble_run(struct tk_timer *timer)
{
	struct tk_writer *writer = TK_CONTAINER_OF(timer, struct tk_writer, trouble);
	struct tk_writer_part *part, *next;

	for (part = TAILQ_FIRST(&writer->troubled); part != NULL; part = next) {
		next = TAILQ_NEXT(part, trouble_link);
		if (!is_in_trouble(part)) {
			TAILQ_REMOVE(&writer->troubled, part, trouble_link);
			part->is_troubled = false;
		} else if (!writer->stopping && writer->durable != NULL) {
			part_try(writer, part);
		}
	}
	if (!TAILQ_EMPTY(&writer->troubled))
		(void)tk_timer_start(writer->loop, timer, TICK_MS);
}

void
tk_trouble_look(struct tk_writer *writer, struct tk_writer_part *part)
{
	if (part->is_troubled || writer->durable == NULL || !is_in_trouble(part))
		return;
	part->is_troubled = true;
	part->try_ms = tk_loop_now_ms(writer->loop);
	if (part->state.status == TK_PART_READ_ONLY)
		part->try_ms += TRY_MS;
	TAILQ_INSERT_TAIL(&writer->troubled, part, trouble_link);
	(void)tk_timer_start(writer->loop, &writer->trouble, 1);
}
