/*
 * Bringing a partition to the disk: closed segments while it runs, everything at a clean stop.
 *
 * Writer process; blocks.  A sync under way is announced in the published state, so that a writer
 * that dies in one leaves it known as failed.  A failed sync is never retried (the kernel may have
 * dropped the pages): the partition goes offline until it is recovered.
 */
#include <stdio.h>
#include <string.h>

#include "base/killpoint.h"
#include "log/log_private.h"

static int
sync_file(struct tk_log *log, int64_t base_offset, const char *suffix)
{
	char path[TK_SEGMENT_PATH_MAX];
	int fd, rc;

	tk_segment_path(path, log->name, base_offset, suffix);
	rc = tk_file_open(log->dir->fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = tk_file_sync_data(fd);
	tk_file_close(&fd);
	return rc;
}

static int
sync_segment(struct tk_log *log, const struct tk_segment_info *info)
{
	static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".snapshot" };
	int rc = 0;

	for (size_t i = 0; i < TK_COUNT_OF(suffixes) && rc == 0; i++)
		rc = sync_file(log, info->base_offset, suffixes[i]);
	return rc;
}

/* The first ones of the list; the active segment is always one that was written since. */
static int
sync_segments(struct tk_log *log, size_t upto)
{
	int rc = 0;

	for (size_t i = 0; i < upto && rc == 0; i++)
		if (log->segments.items[i].unsynced || i + 1 == log->segments.count)
			rc = sync_segment(log, &log->segments.items[i].info);
	if (rc == 0)
		rc = tk_file_sync_dir(log->dir->fd, log->name);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < upto; i++)
		log->segments.items[i].unsynced = false;
	return 0;
}

static void
announce(struct tk_log *log, int64_t end)
{
	log->state.sync_underway = end;
	tk_log_publish(log);
	tk_killpoint("sync_announced");
}

/* Ends what announce() began. */
static int
conclude(struct tk_log *log, int64_t end, int rc)
{
	log->state.sync_underway = -1;
	if (rc == 0) {
		log->state.durable_end = TK_MAX(log->state.durable_end, end);
	} else {
		log->state.status = TK_PART_OFFLINE;
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "could not sync partition \"%s\", which is offline now: %s", log->name,
		    strerror(-rc));
	}
	tk_log_publish(log);
	return rc;
}

bool
tk_log_has_unsynced(const struct tk_log *log)
{
	for (size_t i = 0; i + 1 < log->segments.count; i++)
		if (log->segments.items[i].unsynced)
			return true;
	return false;
}

int
tk_log_sync_closed(struct tk_log *log)
{
	int64_t end = log->state.log_end.segment;

	if (log->state.status == TK_PART_OFFLINE)
		return -EIO;
	if (!tk_log_has_unsynced(log))
		return 0;
	announce(log, end);
	return conclude(log, end, sync_segments(log, log->segments.count - 1));
}

/* Names and small files of a partition that this process made. */
static int
sync_small(struct tk_log *log)
{
	static const char *const names[] = { "leader-epoch-checkpoint", "partition.metadata" };
	char path[TK_SEGMENT_PATH_MAX];
	int fd, rc = 0;

	for (size_t i = 0; i < TK_COUNT_OF(names) && rc == 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", log->name, names[i]);
		rc = tk_file_open(log->dir->fd, path, O_RDONLY, 0, &fd);
		if (rc < 0)
			return rc;
		rc = tk_file_sync_data(fd);
		tk_file_close(&fd);
	}
	return rc == 0 ? tk_file_sync_dir(log->dir->fd, log->name) : rc;
}

/* What a reader of the directory needs, without the writer's memory: seal, trim, snapshot. */
static int
complete(struct tk_log *log)
{
	int64_t position = log->state.log_end.position;
	int rc;

	rc = tk_log_open_files(log, 0);
	if (rc == 0)
		rc = tk_log_load_producers(log);
	if (rc == 0)
		rc = tk_index_seal(&log->index);
	if (rc == 0)
		rc = tk_file_truncate(log->log_fd, position);
	if (rc == 0)
		rc = tk_log_snapshot(log, log->state.log_end.offset);
	if (rc == 0)
		rc = sync_file(log, log->state.log_end.offset, ".snapshot");
	if (rc == 0)
		tk_log_save_producers(log, true);
	log->allocated = position;
	return rc;
}

int
tk_log_stop(struct tk_log *log)
{
	int64_t end = log->state.log_end.offset;
	int rc;

	if (log->state.status == TK_PART_OFFLINE)
		return -EIO;
	if (log->state.durable_end < end) {
		rc = complete(log);
		if (rc < 0)
			return rc;
		announce(log, end);
		rc = conclude(log, end, sync_segments(log, log->segments.count));
		if (rc < 0)
			return rc;
	}
	if (log->made_now) {
		rc = sync_small(log);
		if (rc < 0)
			return rc;
		log->made_now = false;
	}
	return 0;
}
