/*
 * Dropping segments below the log's start, and whole partitions.
 *
 * Writer process.  Published first, renamed then, unlinked after file.delete.delay.ms: readers that
 * hold descriptors read on, nobody opens them any more.
 */
#include <stdio.h>
#include <string.h>

#include "base/killpoint.h"
#include "base/uuid.h"
#include "log/log_private.h"

static void
doom_segment(struct tk_log *log, int64_t base_offset)
{
	static const char *const suffixes[] = { ".log.deleted", ".index.deleted",
		".timeindex.deleted", ".txnindex.deleted", ".snapshot.deleted" };
	char path[TK_SEGMENT_PATH_MAX];
	int rc;

	rc = tk_segment_remove(log->dir->fd, log->name, base_offset, true);
	if (rc < 0)
		tk_logdir_say(log->dir, TK_LEVEL_WARN,
		    "could not rename files of segment \"%s/%020lld\", removed at the next start: "
		    "%s",
		    log->name, (long long)base_offset, strerror(-rc));
	for (size_t i = 0; i < TK_COUNT_OF(suffixes); i++) {
		tk_segment_path(path, log->name, base_offset, suffixes[i]);
		tk_doom(log->dir, path, false, log->config.file_delete_delay_ms);
	}
}

int
tk_log_advance_start(struct tk_log *log, int64_t offset)
{
	size_t count = 0;
	int rc;

	if (offset <= log->state.log_start)
		return 0;
	if (offset > log->state.high_watermark.offset)
		return -EINVAL;
	rc = tk_log_load_segments(log);
	if (rc < 0)
		return rc;
	while (count + 1 < log->segments.count &&
	       log->segments.items[count + 1].info.base_offset <= offset)
		count++;
	log->state.log_start = offset;
	log->dir->starts_moved = true;
	log->state.segments_generation += count > 0;
	tk_log_publish(log);
	tk_killpoint("start_published");
	for (size_t i = 0; i < count; i++)
		doom_segment(log, log->segments.items[i].info.base_offset);
	tk_segment_list_drop_first(&log->segments, count);
	return 0;
}

int
tk_log_delete(struct tk_log **plog)
{
	struct tk_log *log = *plog;
	struct tk_uuid random = tk_uuid_random();
	char away[TK_LOG_NAME_ROOM + 64];
	int at, rc;

	log->state.status = TK_PART_DELETED;
	log->dir->starts_moved = true; /* it is in the checkpoint no more */
	log->state.segments_generation++;
	tk_log_publish(log);
	tk_killpoint("delete_published");
	/* Kafka cuts the topic so that the name stays within 255 bytes. */
	at = snprintf(away, sizeof(away), "%.*s.", 255 - 1 - 32 - 7, log->name);
	for (size_t i = 0; i < sizeof(random.b); i++)
		at += snprintf(away + at, sizeof(away) - (size_t)at, "%02x", random.b[i]);
	(void)snprintf(away + at, sizeof(away) - (size_t)at, "-delete");
	rc = tk_file_rename(log->dir->fd, log->name, away);
	if (rc < 0 && rc != -ENOENT) {
		log->state.status = TK_PART_OFFLINE;
		tk_log_publish(log);
		return rc;
	}
	tk_killpoint("delete_renamed");
	if (rc == 0)
		tk_doom(log->dir, away, true, log->config.file_delete_delay_ms);
	tk_log_forget_saved_producers(log);
	tk_log_close(plog);
	return 0;
}
