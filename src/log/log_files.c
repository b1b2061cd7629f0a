/*
 * The files of a partition as its writer holds them: list of segments, descriptors of the active
 * one, the cut to the published end.
 *
 * Writer process.  Everything here waits until it is needed, so that a start with thousands of
 * partitions costs two stats each.  The number of partitions with descriptors is bounded; the one
 * unused for longest gives its up.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "log/log_private.h"

struct feed {
	struct tk_index *index;
	struct tk_index_run *run;
	int64_t interval_bytes;
	int64_t next_offset;
};

static int
feed_header(void *arg, const struct tk_batch_header *header, int64_t position)
{
	struct feed *feed = arg;

	if (header->base_offset < feed->next_offset)
		return -EBADMSG;
	feed->next_offset = tk_batch_last_offset(header) + 1;
	if (feed->next_offset - 1 - feed->index->base_offset > INT32_MAX)
		return -EBADMSG;
	tk_index_add(feed->index, feed->run, feed->interval_bytes, header, position);
	if (feed->run->offset_count == TK_INDEX_RUN_MAX)
		return tk_index_flush(feed->index, feed->run);
	return 0;
}

int
tk_log_feed_index(int fd, struct tk_index *index, int64_t interval_bytes, int64_t from, int64_t to,
    int64_t *ret_next_offset)
{
	struct feed feed = { .index = index,
		.run = calloc(1, sizeof(*feed.run)),
		.interval_bytes = interval_bytes,
		.next_offset = index->base_offset };
	int rc;

	if (feed.run == NULL)
		return -ENOMEM;
	rc = tk_segment_walk(fd, from, to, feed_header, &feed);
	if (rc == 0)
		rc = tk_index_flush(index, feed.run);
	free(feed.run);
	if (rc == 0)
		*ret_next_offset = feed.next_offset;
	return rc;
}

/*
 * Removes what deletions of a former life left behind.  True: it was in the middle of a swap, or
 * compaction was under way.
 */
static bool
sweep(struct tk_log *log)
{
	const struct dirent *entry;
	bool swapping = false;
	DIR *dir;
	int fd, rc;

	if (tk_file_open(log->dir->fd, log->name, O_RDONLY | O_DIRECTORY, 0, &fd) < 0)
		return false;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return false;
	}
	while ((entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot == NULL)
			continue;
		swapping |= strcmp(dot, ".swap") == 0 || strcmp(dot, ".cleaned") == 0;
		if (strcmp(dot, ".deleted") != 0 && strcmp(dot, ".tmp") != 0)
			continue;
		rc = tk_file_unlink(fd, entry->d_name);
		(void)rc; /* it is litter still, and found again */
	}
	(void)closedir(dir);
	return swapping;
}

/* Segments after the published end were made by a roll that never counted. */
static int
drop_later(struct tk_log *log, struct tk_segment_list *list)
{
	int rc;

	while (list->count > 0) {
		int64_t base_offset = list->items[list->count - 1].info.base_offset;

		if (base_offset <= log->state.log_end.segment)
			break;
		rc = tk_segment_remove(log->dir->fd, log->name, base_offset, false);
		if (rc < 0)
			return rc;
		list->count--;
	}
	if (list->count == 0 ||
	    list->items[list->count - 1].info.base_offset != log->state.log_end.segment)
		return -ESTALE;
	return 0;
}

/* Segments wholly below the log's start were being deleted. */
static int
drop_earlier(struct tk_log *log, struct tk_segment_list *list)
{
	size_t count = 0;
	int rc = 0;

	while (count + 1 < list->count &&
	       list->items[count + 1].info.base_offset <= log->state.log_start) {
		rc = tk_segment_remove(
		    log->dir->fd, log->name, list->items[count].info.base_offset, false);
		if (rc < 0)
			break;
		count++;
	}
	tk_segment_list_drop_first(list, count);
	return rc;
}

/* A closed segment whose index is missing (somebody removed it) gets one. */
static int
rebuild_index(struct tk_log *log, struct tk_segment *segment)
{
	struct tk_index index = TK_INDEX_CLOSED;
	struct tk_segment_info *info = &segment->info;
	char path[TK_SEGMENT_PATH_MAX];
	int64_t position, next_offset;
	int fd, rc;

	tk_segment_path(path, log->name, info->base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_index_open(log->dir->fd, log->name, info->base_offset, INT64_MAX, info->size_bytes,
	    &index, &position);
	if (rc == 0)
		rc = tk_index_clear(&index);
	if (rc == 0)
		rc = tk_log_feed_index(fd, &index, log->config.index_interval_bytes, 0,
		    info->size_bytes, &next_offset);
	if (rc == -EBADMSG) /* its entries up to the damage are right */
		rc = 0;
	if (rc == 0)
		rc = tk_index_seal(&index);
	tk_index_close(&index);
	tk_file_close(&fd);
	return rc < 0 ? rc : tk_segment_stat(log->dir->fd, log->name, info->base_offset, info);
}

/* The active segment's indexes are made if they are not there; readers insist on them. */
static int
complete_indexes(struct tk_log *log, struct tk_segment_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct tk_segment *segment = &list->items[i];
		int64_t size_bytes = segment->info.size_bytes;
		int rc;

		segment->unsynced = i + 1 == list->count ||
				    list->items[i + 1].info.base_offset > log->state.durable_end;
		if (segment->info.index_inode != 0 && segment->info.time_inode != 0)
			continue;
		if (i + 1 == list->count)
			segment->info.size_bytes = log->state.log_end.position;
		rc = rebuild_index(log, segment);
		if (rc < 0)
			return rc;
		segment->info.size_bytes = size_bytes;
	}
	return 0;
}

int
tk_log_load_segments(struct tk_log *log)
{
	struct tk_segment_list list;
	int rc = 0;

	if (log->segments_loaded)
		return 0;
	if (sweep(log))
		rc = tk_recovery_leftovers(log);
	if (rc == 0)
		rc = tk_segment_list_read(log->dir->fd, log->name, &list);
	if (rc < 0)
		return rc;
	rc = drop_later(log, &list);
	if (rc == 0)
		rc = drop_earlier(log, &list);
	if (rc == 0)
		rc = complete_indexes(log, &list);
	if (rc < 0) {
		tk_segment_list_free(&list);
		return rc;
	}
	log->segments = list;
	log->segments_loaded = true;
	return 0;
}

int
tk_log_cut(struct tk_log *log)
{
	int rc = tk_file_truncate(log->log_fd, log->state.log_end.position);

	tk_killpoint("cut_log");
	if (rc == 0)
		rc = tk_index_trim(&log->index);
	if (rc < 0)
		return rc;
	log->cut_needed = false;
	log->allocated = log->state.log_end.position;
	return 0;
}

/* The file is the one that is published and holds what is published. */
static int
check_active(const struct tk_log *log)
{
	struct tk_file_info info;
	int rc;

	rc = tk_file_stat_fd(log->log_fd, &info);
	if (rc < 0)
		return rc;
	if (info.inode != log->state.active_inode || info.size_bytes < log->state.log_end.position)
		return -ESTALE;
	return 0;
}

static int
read_first_timestamp(struct tk_log *log)
{
	uint8_t bytes[TK_BATCH_HEADER_BYTES];
	struct tk_batch_header header;
	int rc;

	log->first_timestamp = -1;
	if (log->state.log_end.position < (int64_t)sizeof(bytes))
		return 0;
	rc = tk_file_pread_full(log->log_fd, bytes, sizeof(bytes), 0);
	if (rc < 0)
		return rc;
	tk_batch_header_read(bytes, &header);
	log->first_timestamp = header.max_timestamp;
	return 0;
}

/*
 * Opens the index and makes it what it would be had it never been closed.  Where headers do not
 * chain, something damaged the segment since: the published end stands, appends go on behind it.
 */
static int
open_index(struct tk_log *log)
{
	const struct tk_position *end = &log->state.log_end;
	int64_t from, next_offset;
	int rc;

	rc = tk_index_open(
	    log->dir->fd, log->name, end->segment, end->offset, end->position, &log->index, &from);
	if (rc < 0)
		return rc;
	rc = tk_log_feed_index(log->log_fd, &log->index, log->config.index_interval_bytes, from,
	    end->position, &next_offset);
	if (rc == -EBADMSG && from > 0) {
		rc = tk_index_clear(&log->index);
		if (rc == 0)
			rc = tk_log_feed_index(log->log_fd, &log->index,
			    log->config.index_interval_bytes, 0, end->position, &next_offset);
	}
	if (rc == -EBADMSG) {
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "segment \"%s/%020lld.log\" is damaged before position %lld", log->name,
		    (long long)end->segment, (long long)end->position);
		rc = 0;
	}
	return rc;
}

static int
open_active(struct tk_log *log, int64_t now_ms)
{
	char path[TK_SEGMENT_PATH_MAX];
	int rc;

	rc = tk_log_load_segments(log);
	if (rc < 0)
		return rc;
	tk_segment_path(path, log->name, log->state.log_end.segment, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDWR, 0, &log->log_fd);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	rc = check_active(log);
	if (rc == 0)
		rc = open_index(log);
	if (rc == 0 && log->cut_needed)
		rc = tk_log_cut(log);
	if (rc == 0)
		rc = read_first_timestamp(log);
	log->allocated = log->pushed = log->state.log_end.position;
	if (log->created_ms == 0)
		log->created_ms = now_ms;
	return rc;
}

int
tk_log_open_files(struct tk_log *log, int64_t now_ms)
{
	struct tk_logdir *dir = log->dir;
	int rc;

	if (log->has_files) {
		TAILQ_REMOVE(&dir->with_files, log, files_link);
		TAILQ_INSERT_TAIL(&dir->with_files, log, files_link);
		return log->cut_needed ? tk_log_cut(log) : 0;
	}
	while (dir->with_files_count >= dir->with_files_max)
		tk_log_close_files(TAILQ_FIRST(&dir->with_files));
	rc = open_active(log, now_ms);
	if (rc < 0) {
		tk_file_close(&log->log_fd);
		tk_index_close(&log->index);
		return rc;
	}
	log->has_files = true;
	dir->with_files_count++;
	TAILQ_INSERT_TAIL(&dir->with_files, log, files_link);
	return 0;
}

void
tk_log_close_files(struct tk_log *log)
{
	if (!log->has_files)
		return;
	TAILQ_REMOVE(&log->dir->with_files, log, files_link);
	log->dir->with_files_count--;
	log->has_files = false;
	tk_file_close(&log->log_fd);
	tk_index_close(&log->index);
}
