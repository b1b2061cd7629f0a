/*
 * When a segment is full, and beginning the next one.
 *
 * Writer process.  The new files are made first; the publication that names them is what makes them
 * count.  A writer killed before it leaves litter that the next one unlinks; a failure before it
 * leaves the old segment active.
 */
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "log/log_private.h"

/* Kafka's rule: time between batches of producers if they say it, else since we began it. */
static bool
time_due(const struct tk_log *log, int64_t max_timestamp, int64_t now_ms)
{
	int64_t limit_ms = log->config.segment_ms - log->config.segment_jitter_ms;

	if (log->first_timestamp >= 0)
		return max_timestamp > log->first_timestamp &&
		       (uint64_t)max_timestamp - (uint64_t)log->first_timestamp >
			   (uint64_t)TK_MAX(limit_ms, 0);
	return now_ms - log->created_ms > limit_ms;
}

bool
tk_log_roll_due(const struct tk_log *log, const struct tk_batch_header *header, int64_t run_bytes,
    int64_t now_ms)
{
	int64_t size_bytes = log->state.log_end.position + run_bytes;
	int64_t batch_bytes = tk_batch_size(header);

	if (size_bytes == 0)
		return false;
	return size_bytes > log->config.segment_bytes - batch_bytes ||
	       size_bytes > INT32_MAX - batch_bytes ||
	       tk_batch_last_offset(header) - log->state.log_end.segment > INT32_MAX ||
	       tk_index_full(&log->index, log->config.segment_index_bytes) ||
	       time_due(log, header->max_timestamp, now_ms);
}

static int
make_segment(struct tk_log *log, int64_t base_offset, int *ret_log_fd, struct tk_index *ret_index,
    struct tk_segment_info *ret_info)
{
	char path[TK_SEGMENT_PATH_MAX];
	int64_t position;
	int fd, rc;

	rc = tk_segment_remove(log->dir->fd, log->name, base_offset, false);
	if (rc < 0)
		return rc;
	tk_segment_path(path, log->name, base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDWR | O_CREAT | O_EXCL, 0640, &fd);
	if (rc < 0)
		return rc;
	tk_killpoint("roll_log_made");
	rc = tk_index_open(
	    log->dir->fd, log->name, base_offset, base_offset, 0, ret_index, &position);
	if (rc == 0) {
		rc = tk_segment_stat(log->dir->fd, log->name, base_offset, ret_info);
		if (rc < 0)
			tk_index_close(ret_index);
	}
	if (rc < 0) {
		tk_file_close(&fd);
		return rc;
	}
	*ret_log_fd = fd;
	return 0;
}

/* The old segment gets what belongs to its end: the last time entry, no spare blocks. */
static int
seal_segment(struct tk_log *log)
{
	int rc = tk_index_seal(&log->index);

	if (rc == 0 && log->allocated > log->state.log_end.position) {
		rc = tk_file_truncate(log->log_fd, log->state.log_end.position);
		log->allocated = log->state.log_end.position;
	}
	tk_killpoint("roll_sealed");
	return rc;
}

static int
drop_half_made(struct tk_log *log, int64_t base_offset, int rc)
{
	int cleanup = tk_segment_remove(log->dir->fd, log->name, base_offset, false);

	(void)cleanup; /* the next roll tries again */
	return rc;
}

static void
switch_segment(struct tk_log *log, int log_fd, const struct tk_index *index, int64_t now_ms)
{
	struct tk_segment *old = &log->segments.items[log->segments.count - 2];
	const struct tk_segment *active = old + 1;

	old->info.size_bytes = log->state.log_end.position;
	old->info.max_timestamp = log->index.max_timestamp;
	old->unsynced = true;
	tk_file_close(&log->log_fd);
	tk_index_close(&log->index);
	log->log_fd = log_fd;
	log->index = *index;
	log->allocated = log->pushed = 0;
	log->first_timestamp = -1;
	log->created_ms = now_ms;
	log->loose_snapshot = -1;
	log->state.active_inode = active->info.log_inode;
	log->state.segments_generation++;
	tk_log_set_end(
	    log, (struct tk_position){ log->state.log_end.offset, active->info.base_offset, 0 });
}

int
tk_log_roll_now(struct tk_log *log, int64_t now_ms)
{
	int64_t base_offset = log->state.log_end.offset;
	struct tk_index index = TK_INDEX_CLOSED;
	struct tk_segment_info info;
	int log_fd = -1, rc;

	tk_assert(
	    log->has_files && log->producers_loaded && base_offset > log->state.log_end.segment);
	rc = seal_segment(log);
	if (rc < 0)
		return rc;
	rc = make_segment(log, base_offset, &log_fd, &index, &info);
	if (rc == 0)
		rc = tk_log_snapshot(log, base_offset);
	if (rc == 0)
		rc = tk_segment_list_add(&log->segments, &info);
	if (rc < 0) {
		tk_file_close(&log_fd);
		tk_index_close(&index);
		return drop_half_made(log, base_offset, rc);
	}
	tk_killpoint("roll_made");
	switch_segment(log, log_fd, &index, now_ms);
	tk_log_publish(log);
	tk_killpoint("roll_published");
	tk_log_save_producers(log, true);
	return 0;
}

int
tk_log_roll(struct tk_log *log, int64_t now_ms)
{
	int rc;

	if (log->state.status == TK_PART_OFFLINE || log->state.status == TK_PART_DELETED)
		return -EIO;
	if (log->state.log_end.position == 0)
		return 0;
	rc = tk_log_open_files(log, now_ms);
	if (rc == 0)
		rc = tk_log_load_producers(log);
	return rc < 0 ? rc : tk_log_roll_now(log, now_ms);
}
