/*
 * The cleaner process: retention, at intervals, and compaction.  It writes nothing but new files
 * beside the segments; writers delete what it names and put in place what it has cleaned.
 *
 * Every log.retention.check.interval.ms a round begins in each data directory, unless the last one
 * is still under way.  The first comes soon after the start.  Nothing it holds matters: it stops at
 * once, and a new one begins anew.
 */
#include "cleaner/cleaner.h"

#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "cleaner/cleaner_private.h"
#include "os/file.h"

#define FIRST_ROUND_MS    30000
#define OPEN_SEGMENTS_MAX 8u

/* ---- what must be there for a round ---- */

static int
cleaner_open_directories(struct tk_cleaner *cleaner)
{
	for (size_t i = 0; i < cleaner->tie_count; i++) {
		struct tk_cleaner_tie *tie = &cleaner->ties[i];
		int rc;

		if (tie->dir_fd >= 0)
			continue;
		rc = tk_file_open(AT_FDCWD, cleaner->proc->cycle->directories[i].path,
		    O_RDONLY | O_DIRECTORY, 0, &tie->dir_fd);
		if (rc == 0)
			rc = tk_reader_directory(cleaner->reader, (unsigned)i, tie->dir_fd);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Zones come with their writers; a directory without one has no partitions yet. */
static void
cleaner_tell_directories(struct tk_cleaner *cleaner)
{
	struct tk_uuid ids[TK_DIRECTORIES_MAX] = { 0 };

	for (size_t i = 0; i < cleaner->tie_count; i++)
		if (tk_cleaner_tie_zone(&cleaner->ties[i]) != NULL)
			ids[i] = tk_zone_header(cleaner->ties[i].zone)->directory_id;
	tk_meta_set_directories(cleaner->meta, ids, cleaner->tie_count);
}

int
tk_cleaner_catch_up(struct tk_cleaner *cleaner)
{
	const struct tk_zone *zone = tk_cleaner_tie_zone(&cleaner->ties[TK_META_DIRECTORY]);
	int rc = zone == NULL ? -EAGAIN : cleaner_open_directories(cleaner);

	if (rc == 0 && cleaner->meta == NULL)
		rc = tk_meta_open(zone, cleaner->proc->cycle->directories[TK_META_DIRECTORY].path,
		    cleaner->proc->settings, &cleaner->meta);
	if (rc < 0)
		return rc;
	cleaner_tell_directories(cleaner);
	return tk_meta_catch_up(cleaner->meta);
}

/* ---- rounds ---- */

static void
cleaner_due(struct tk_timer *timer)
{
	struct tk_cleaner *cleaner = TK_CONTAINER_OF(timer, struct tk_cleaner, due);
	int rc = tk_cleaner_catch_up(cleaner);

	if (rc < 0 && rc != -EAGAIN)
		tk_err("could not look at the partitions: %s", strerror(-rc));
	for (size_t i = 0; i < cleaner->tie_count && rc == 0; i++)
		tk_cleaner_round_begin(&cleaner->ties[i]);
	(void)tk_timer_start(cleaner->loop, &cleaner->due,
	    TK_MAX(cleaner->proc->settings->log_retention_check_interval_ms, 1));
}

static void
cleaner_schedule(struct tk_cleaner *cleaner, const struct tk_settings *settings)
{
	int64_t interval_ms = settings->log_retention_check_interval_ms;

	(void)tk_timer_start(
	    cleaner->loop, &cleaner->due, TK_MAX(TK_MIN(interval_ms, FIRST_ROUND_MS), 1));
}

/* ---- the process ---- */

struct cleaner_process {
	struct tk_process proc;
	struct tk_cleaner cleaner;
};

static void
cleaner_stop(struct tk_process *proc, bool fast)
{
	(void)fast;
	if (proc->loop == NULL)
		_exit(0); /* was never told to go */
	tk_quarantine_end(true);
	tk_process_exit(proc, 0);
}

static void
cleaner_commit(struct tk_process *proc, const struct tk_settings *settings)
{
	struct tk_cleaner *cleaner = &TK_CONTAINER_OF(proc, struct cleaner_process, proc)->cleaner;

	if (cleaner->meta != NULL)
		tk_meta_set_settings(cleaner->meta, settings);
	cleaner_schedule(cleaner, settings);
	tk_compaction_commit(&cleaner->compaction);
}

static const struct tk_process_ops cleaner_ops = { .stop = cleaner_stop, .commit = cleaner_commit };

static void
cleaner_free(struct tk_cleaner *cleaner)
{
	tk_timer_stop(cleaner->loop, &cleaner->due);
	tk_compaction_free(&cleaner->compaction);
	tk_meta_close(&cleaner->meta);
	tk_reader_free(&cleaner->reader);
	for (size_t i = 0; i < cleaner->tie_count; i++)
		tk_cleaner_tie_free(&cleaner->ties[i]);
}

int
tk_cleaner_main(struct tk_cycle *cycle, const struct tk_birth *birth)
{
	static struct cleaner_process self;
	struct tk_cleaner *cleaner = &self.cleaner;
	int rc = tk_process_init(&self.proc, cycle, birth, &cleaner_ops);

	if (rc == 0)
		rc = tk_reader_new(OPEN_SEGMENTS_MAX, &cleaner->reader);
	if (rc < 0) {
		tk_err("could not start: %s", strerror(-rc));
		return 1;
	}
	cleaner->proc = &self.proc;
	cleaner->loop = self.proc.loop;
	cleaner->due.expire = cleaner_due;
	cleaner->tie_count = cycle->directory_count;
	for (unsigned i = 0; i < cleaner->tie_count; i++)
		tk_cleaner_tie_init(cleaner, i);
	cleaner_schedule(cleaner, self.proc.settings);
	tk_compaction_init(cleaner);
	tk_process_ready(&self.proc);
	rc = tk_process_run(&self.proc);
	cleaner_free(cleaner);
	return rc;
}
