/*
 * Putting a cleaned segment in the place of those it was made from, as Kafka's
 * LocalLog.replaceSegments does.  Writer process.
 *
 *	published: segments_generation + 1	no reader trusts an older list; none is told before
 *the end
 *	.<job>.cleaned -> .swap			the .log first
 *	the sources -> .deleted
 *	.swap -> ""
 *	the directory is synced
 *
 * The sources' bytes are not touched: who has them open reads on.  Killed before the last .cleaned
 * is renamed, the sources stand and recovery_leftovers.c removes the rest; killed later, the .swap
 * stands for what it covers and takes its place, before anybody is told a list.  The .cleaned files
 * are on the disk before this begins, so the same is true of a power failure.
 *
 * Cleaned files of other jobs are removed first: one of them below a .swap would make it look
 * unfinished.  The cleaner of the present is the only one that could make more, and it waits.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/killpoint.h"
#include "log/log_private.h"

static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex" };

struct swap {
	struct tk_log *log;
	int64_t base_offset;
	char tail[40];    /* ".<job>.cleaned" */
	size_t at, count; /* of the sources in the list */
	struct tk_segment_info info;
};

/* ---- may it be done ---- */

static bool
segment_is(const struct tk_segment *segment, const struct tk_cleaned_source *source)
{
	return segment->info.base_offset == source->base_offset &&
	       segment->info.log_inode == source->log_inode;
}

/* The sources stand in the list as they are named, all closed and settled. */
static bool
find_sources(struct swap *swap, const struct tk_cleaned_source *sources)
{
	const struct tk_segment_list *list = &swap->log->segments;
	const struct tk_part_state *state = &swap->log->state;
	int64_t end;

	while (swap->at < list->count && !segment_is(&list->items[swap->at], &sources[0]))
		swap->at++;
	if (swap->count >= list->count || swap->at >= list->count - swap->count)
		return false;
	for (size_t i = 0; i < swap->count; i++)
		if (!segment_is(&list->items[swap->at + i], &sources[i]))
			return false;
	end = list->items[swap->at + swap->count].info.base_offset;
	return state->high_watermark.segment >= end && state->last_stable.segment >= end;
}

static int
stat_cleaned(const struct swap *swap, const char *suffix, struct tk_file_info *ret_info)
{
	char name[64], path[TK_SEGMENT_PATH_MAX];

	(void)snprintf(name, sizeof(name), "%s%s", suffix, swap->tail);
	tk_segment_path(path, swap->log->name, swap->base_offset, name);
	return tk_file_stat(swap->log->dir->fd, path, ret_info);
}

static int
find_cleaned(struct swap *swap)
{
	struct tk_file_info log, index, times;
	int rc = stat_cleaned(swap, ".log", &log);

	if (rc == 0)
		rc = stat_cleaned(swap, ".index", &index);
	if (rc == 0)
		rc = stat_cleaned(swap, ".timeindex", &times);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	if (log.size_bytes > INT32_MAX)
		return -EFBIG;
	swap->info = (struct tk_segment_info){ .base_offset = swap->base_offset,
		.size_bytes = log.size_bytes,
		.max_timestamp = TK_TIMESTAMP_UNREAD,
		.log_inode = log.inode,
		.index_inode = index.inode,
		.time_inode = times.inode };
	return 0;
}

static bool
ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

static int
sweep_others(const struct swap *swap)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc;

	rc = tk_file_open(swap->log->dir->fd, swap->log->name, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (!ends_in(entry->d_name, ".cleaned") || ends_in(entry->d_name, swap->tail))
			continue;
		rc = tk_file_unlink(fd, entry->d_name);
	}
	(void)closedir(dir);
	return rc;
}

/* ---- the files ---- */

static int
rename_all(const struct swap *swap, const char *from_tail, const char *to_tail, const char *point)
{
	for (size_t i = 0; i < TK_COUNT_OF(suffixes); i++) {
		char name[64], from[TK_SEGMENT_PATH_MAX], to[TK_SEGMENT_PATH_MAX];
		int rc;

		(void)snprintf(name, sizeof(name), "%s%s", suffixes[i], from_tail);
		tk_segment_path(from, swap->log->name, swap->base_offset, name);
		(void)snprintf(name, sizeof(name), "%s%s", suffixes[i], to_tail);
		tk_segment_path(to, swap->log->name, swap->base_offset, name);
		rc = tk_file_rename(swap->log->dir->fd, from, to);
		if (rc < 0 && (rc != -ENOENT || i < 3))
			return rc;
		tk_killpoint(point);
	}
	return 0;
}

/* A file of a source goes; the snapshot at the cleaned segment's base is still about its base. */
static int
doom_file(const struct swap *swap, int64_t base_offset, const char *suffix)
{
	char away_suffix[32], path[TK_SEGMENT_PATH_MAX], away[TK_SEGMENT_PATH_MAX];
	int rc;

	(void)snprintf(away_suffix, sizeof(away_suffix), "%s.deleted", suffix);
	tk_segment_path(path, swap->log->name, base_offset, suffix);
	tk_segment_path(away, swap->log->name, base_offset, away_suffix);
	rc = tk_file_rename(swap->log->dir->fd, path, away);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		tk_doom(swap->log->dir, away, false, swap->log->config.file_delete_delay_ms);
	return rc;
}

static int
doom_sources(const struct swap *swap)
{
	int rc = 0;

	for (size_t i = 0; i < swap->count && rc == 0; i++) {
		int64_t base_offset = swap->log->segments.items[swap->at + i].info.base_offset;

		for (size_t k = 0; k < TK_COUNT_OF(suffixes) && rc == 0; k++)
			rc = doom_file(swap, base_offset, suffixes[k]);
		if (rc == 0 && base_offset != swap->base_offset)
			rc = doom_file(swap, base_offset, ".snapshot");
		tk_killpoint("swap_source_deleted");
	}
	return rc;
}

static int
swap_files(const struct swap *swap)
{
	int rc = rename_all(swap, swap->tail, ".swap", "swap_named");

	if (rc == 0)
		rc = doom_sources(swap);
	if (rc == 0)
		rc = rename_all(swap, ".swap", "", "swap_renamed");
	if (rc == 0)
		rc = tk_file_sync_dir(swap->log->dir->fd, swap->log->name);
	tk_killpoint("swap_synced");
	return rc;
}

/* ---- the list ---- */

static void
replace_in_list(const struct swap *swap)
{
	struct tk_segment_list *list = &swap->log->segments;
	struct tk_segment *first = &list->items[swap->at];
	size_t behind = swap->at + swap->count;
	bool unsynced = false; /* it is synced, but the list has to be so from its front on */

	for (size_t i = swap->at; i < behind; i++)
		unsynced |= list->items[i].unsynced;
	*first = (struct tk_segment){ .info = swap->info, .unsynced = unsynced };
	memmove(first + 1, &list->items[behind], (list->count - behind) * sizeof(*first));
	list->count -= swap->count - 1;
}

/* Half-way: what the files are now is found out as after a crash; if not even that, it is offline.
 */
static int
swap_failed(struct tk_log *log, int why)
{
	int rc;

	tk_logdir_say(log->dir, TK_LEVEL_ERROR,
	    "could not put a cleaned segment of partition \"%s\" in place: %s", log->name,
	    strerror(-why));
	tk_segment_list_free(&log->segments);
	log->segments_loaded = false;
	log->state.segments_generation++;
	rc = tk_log_load_segments(log);
	if (rc < 0)
		log->state.status = TK_PART_OFFLINE;
	tk_log_publish(log);
	return why;
}

int
tk_log_swap(struct tk_log *log, uint64_t job, const struct tk_cleaned_source *sources, size_t count)
{
	struct swap swap = { .log = log, .count = count };
	int rc;

	if (count == 0 || count > TK_CLEANED_SOURCES_MAX)
		return -EINVAL;
	if (log->state.status != TK_PART_ONLINE && log->state.status != TK_PART_READ_ONLY)
		return -EAGAIN;
	swap.base_offset = sources[0].base_offset;
	(void)snprintf(swap.tail, sizeof(swap.tail), ".%" PRIu64 ".cleaned", job);
	rc = tk_log_load_segments(log);
	if (rc == 0 && !find_sources(&swap, sources))
		rc = -ESTALE;
	if (rc == 0)
		rc = find_cleaned(&swap);
	if (rc == 0)
		rc = sweep_others(&swap);
	if (rc < 0)
		return rc;
	log->state.segments_generation++;
	tk_log_publish(log);
	tk_killpoint("swap_published");
	rc = swap_files(&swap);
	if (rc < 0)
		return swap_failed(log, rc);
	replace_in_list(&swap);
	tk_killpoint("swap_done");
	return 0;
}
