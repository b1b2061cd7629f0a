/*
 * The checkpoints of a data directory: recovery points, log starts, high watermarks, and how far
 * compaction has come.
 *
 * Writer process: every minute, at a clean stop.  Lines read at the start whose partitions have not
 * been opened yet are written again, so that a short life loses nothing.
 */
#include "base/killpoint.h"
#include "log/log_private.h"

static int
read_one(struct tk_logdir *dir, const char *file_name, struct tk_checkpoint *ret_checkpoint)
{
	int rc = tk_checkpoint_read(dir->fd, file_name, ret_checkpoint);

	if (rc == -EBADMSG)
		tk_logdir_say(dir, TK_LEVEL_WARN,
		    "\"%s/%s\" is damaged and taken as empty: logs are recovered from their start",
		    dir->path, file_name);
	return rc == -EBADMSG || rc == -ENOENT ? 0 : rc;
}

int
tk_logdir_read_checkpoints(struct tk_logdir *dir)
{
	int rc = read_one(dir, TK_RECOVERY_POINTS, &dir->recovery_points);

	if (rc < 0)
		return rc;
	rc = read_one(dir, TK_LOG_STARTS, &dir->log_starts);
	return rc < 0 ? rc : read_one(dir, TK_CLEAN_POINTS, &dir->clean_points);
}

/* The identity is in the zone before the name changes: killed in between, either matches. */
static void
announce_checkpoint(void *arg, const struct tk_file_info *info)
{
	struct tk_zone_header *header = tk_zone_header(arg);

	header->checkpoint[1] = (struct tk_zone_file){ info->inode, info->mtime_ns };
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	tk_killpoint("checkpoint_announced");
}

static void
add_untaken(struct tk_checkpoint_text *text, const struct tk_checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->count; i++)
		if (!checkpoint->entries[i].taken)
			tk_checkpoint_text_add(
			    text, checkpoint->entries[i].name, checkpoint->entries[i].offset);
}

static int
write_recovery_points(struct tk_logdir *dir)
{
	struct tk_zone_header *header = tk_zone_header(dir->zone);
	struct tk_checkpoint_text text = { 0 };
	const struct tk_log *log;
	int rc;

	TAILQ_FOREACH (log, &dir->logs, link)
		tk_checkpoint_text_add(
		    &text, log->name, TK_MAX(log->state.durable_end, log->state.log_start));
	add_untaken(&text, &dir->recovery_points);
	rc = tk_checkpoint_text_write(
	    &text, dir->fd, TK_RECOVERY_POINTS, announce_checkpoint, dir->zone);
	if (rc < 0)
		return rc;
	tk_killpoint("checkpoint_renamed");
	header->checkpoint[0] = header->checkpoint[1];
	return 0;
}

/* As Kafka, only for logs that start within their first segment. */
int
tk_logdir_checkpoint_starts(struct tk_logdir *dir)
{
	struct tk_checkpoint_text text = { 0 };
	const struct tk_log *log;
	int rc;

	if (!dir->starts_moved)
		return 0;
	TAILQ_FOREACH (log, &dir->logs, link) {
		int64_t first = log->segments_loaded ? log->segments.items[0].info.base_offset : 0;

		if (log->state.log_start > first)
			tk_checkpoint_text_add(&text, log->name, log->state.log_start);
	}
	add_untaken(&text, &dir->log_starts);
	rc = tk_checkpoint_text_write(&text, dir->fd, TK_LOG_STARTS, NULL, NULL);
	if (rc == 0)
		dir->starts_moved = false;
	return rc;
}

static int
write_high_watermarks(struct tk_logdir *dir)
{
	struct tk_checkpoint_text text = { 0 };
	const struct tk_log *log;

	TAILQ_FOREACH (log, &dir->logs, link)
		tk_checkpoint_text_add(&text, log->name, log->state.high_watermark.offset);
	return tk_checkpoint_text_write(&text, dir->fd, TK_HIGH_WATERMARKS, NULL, NULL);
}

/* Written when a compaction ends; what is lost of it costs looking at records once more. */
int
tk_logdir_write_clean_points(struct tk_logdir *dir)
{
	struct tk_checkpoint_text text = { 0 };
	const struct tk_log *log;

	TAILQ_FOREACH (log, &dir->logs, link)
		if (log->clean_point >= 0)
			tk_checkpoint_text_add(&text, log->name, log->clean_point);
	add_untaken(&text, &dir->clean_points);
	return tk_checkpoint_text_write(&text, dir->fd, TK_CLEAN_POINTS, NULL, NULL);
}

int
tk_logdir_checkpoint(struct tk_logdir *dir)
{
	int rc = write_recovery_points(dir);

	if (rc == 0)
		rc = tk_logdir_checkpoint_starts(dir);
	if (rc == 0)
		rc = write_high_watermarks(dir);
	return rc;
}
