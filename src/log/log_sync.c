/*
 * Bringing a partition to the disk: what commits and closed segments ask for while it runs (the
 * waiting is a helper's, see writer/durable.c), everything at a clean stop (blocks).
 *
 * Writer process.  A sync under way is announced in the published state, so that a writer that dies
 * in one leaves it known.  A failed sync is never retried (the kernel may have dropped the pages):
 * the partition goes offline and log_rescue.c reads it again.  What a sync covers is settled when
 * it begins; batches that come meanwhile wait for the next.
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

int
tk_log_sync_everything(struct tk_log *log)
{
	int rc = sync_segments(log, log->segments.count);

	return rc < 0 ? rc : tk_file_sync_dir(log->dir->fd, ".");
}

static void
announce(struct tk_log *log, int64_t end)
{
	log->state.sync_underway = end;
	tk_log_publish(log);
	tk_killpoint("sync_announced");
}

/* Ends what announce() began.  After a failure it stays on record: nobody may believe the files. */
static int
conclude(struct tk_log *log, const struct tk_position *end, int rc)
{
	if (rc == 0) {
		log->state.sync_underway = -1;
		log->state.durable_end = TK_MAX(log->state.durable_end, end->offset);
		tk_log_set_watermark(log, end);
	} else {
		log->state.status = TK_PART_OFFLINE;
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "could not sync partition \"%s\", which is offline now: %s", log->name,
		    strerror(-rc));
	}
	tk_log_publish(log);
	return rc;
}

/* Segments are synced in order: if any is not, the last closed one is not. */
bool
tk_log_has_unsynced(const struct tk_log *log)
{
	size_t count = log->segments.count;

	return count > 1 && log->segments.items[count - 2].unsynced;
}

/* The closed segments to sync; the end is where those that find no room begin. */
static void
pick_closed(const struct tk_log *log, struct tk_log_sync *sync)
{
	int64_t end = log->state.log_end.segment;

	for (size_t i = 0; i + 1 < log->segments.count; i++) {
		const struct tk_segment *segment = &log->segments.items[i];

		if (!segment->unsynced)
			continue;
		if (sync->segment_count + 1 == TK_COUNT_OF(sync->segments)) {
			end = segment->info.base_offset;
			break;
		}
		sync->segments[sync->segment_count++] = segment->info.base_offset;
	}
	sync->end = (struct tk_position){ end, end, 0 };
}

static bool
sync_possible(const struct tk_log *log)
{
	return (log->state.status == TK_PART_ONLINE || log->state.status == TK_PART_READ_ONLY) &&
	       log->state.sync_underway == -1;
}

bool
tk_log_sync_begin(struct tk_log *log, bool closed_only, struct tk_log_sync *ret_sync)
{
	const struct tk_position *end = &log->state.log_end;
	struct tk_log_sync sync = { .segment_count = 0, .with_names = true };

	if (!sync_possible(log) || tk_log_load_segments(log) < 0)
		return false;
	pick_closed(log, &sync);
	if (!closed_only && sync.end.segment == end->segment && end->position > 0 &&
	    end->offset > log->state.durable_end) {
		sync.with_names = sync.segment_count > 0 || log->named != end->segment;
		sync.with_active = true;
		sync.segments[sync.segment_count++] = end->segment;
		sync.end = *end;
	}
	if (sync.segment_count == 0)
		return false;
	announce(log, sync.end.offset);
	*ret_sync = sync;
	return true;
}

static void
note_synced(struct tk_log *log, const struct tk_log_sync *sync)
{
	for (size_t i = 0; i + 1 < log->segments.count; i++)
		if (log->segments.items[i].info.base_offset < sync->end.segment)
			log->segments.items[i].unsynced = false;
	if (sync->with_active && sync->with_names)
		log->named = sync->end.segment;
}

void
tk_log_sync_end(struct tk_log *log, const struct tk_log_sync *sync, int rc)
{
	if (rc == 0)
		note_synced(log, sync);
	(void)conclude(log, &sync->end, rc);
}

static int
sync_here(struct tk_log *log, const struct tk_log_sync *sync)
{
	struct tk_segment_info info = { 0 };
	int rc = 0;

	for (size_t i = 0; i < sync->segment_count && rc == 0; i++) {
		info.base_offset = sync->segments[i];
		rc = sync_segment(log, &info);
	}
	return rc < 0 ? rc : tk_file_sync_dir(log->dir->fd, log->name);
}

int
tk_log_sync_closed(struct tk_log *log)
{
	struct tk_log_sync sync;
	int rc = 0;

	if (log->state.status == TK_PART_OFFLINE)
		return -EIO;
	while (rc == 0 && tk_log_has_unsynced(log) && tk_log_sync_begin(log, true, &sync)) {
		rc = sync_here(log, &sync);
		tk_log_sync_end(log, &sync, rc);
	}
	return rc;
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
		tk_log_save_producers(log, true);
	log->allocated = position;
	return rc;
}

bool
tk_log_stop_needed(const struct tk_log *log)
{
	return log->made_now || log->state.durable_end < log->state.log_end.offset;
}

/*
 * What a failed write, or a writer that was killed, has left behind the end: with the marker of a
 * clean stop the size would be believed.
 */
static bool
has_tail(const struct tk_log *log)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;

	if (!log->cut_needed)
		return false;
	tk_segment_path(path, log->name, log->state.log_end.segment, ".log");
	return tk_file_stat(log->dir->fd, path, &info) == 0 &&
	       info.size_bytes > log->state.log_end.position;
}

int
tk_log_stop_prepare(struct tk_log *log)
{
	int rc = 0;

	if (log->state.status == TK_PART_OFFLINE)
		return -EIO;
	log->stop_writes = log->state.durable_end < log->state.log_end.offset || has_tail(log);
	if (log->stop_writes)
		rc = complete(log);
	log->stop_prepared = rc == 0;
	return rc;
}

/* Everything of it is on the disk with the rest of the file system. */
static void
stop_synced(struct tk_log *log)
{
	const struct tk_position end = log->state.log_end;

	for (size_t i = 0; i < log->segments.count; i++)
		log->segments.items[i].unsynced = false;
	log->made_now = false;
	(void)conclude(log, &end, 0);
}

int
tk_log_stop(struct tk_log *log, bool synced)
{
	const struct tk_position end = log->state.log_end;
	int rc;

	tk_assert(log->stop_prepared);
	if (synced) {
		stop_synced(log);
		return 0;
	}
	if (log->stop_writes) {
		rc = sync_file(log, end.offset, ".snapshot");
		if (rc < 0)
			return rc;
		announce(log, end.offset);
		rc = conclude(log, &end, sync_segments(log, log->segments.count));
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
