/*
 * Recovery of a partition about which nothing is believed.
 *
 * Writer process at start, in a thread of its own while nobody else touches the partition.  From
 * the segment of the recovery point on, every batch is read with its checksum; indexes are made
 * anew, a torn tail is cut, damage in the middle is reported and, where readers find their way
 * past it, kept; where they do not, the segment goes on in a new file without it.
 *
 * The cut: pages of a file may still be on their way to somebody (sendfile gives references), so
 * their bytes must not change.  If this boot's broker had the directory before, the part that stays
 * is copied to a new file that takes the name; after another boot, or where we never ran, nobody
 * can have pages and the file is cut where it is.
 *
 * Killed at any instruction, it is begun again: it only ever removes what it would remove again.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/killpoint.h"
#include "log/log_private.h"
#include "log/recovery_scan.h"

#define COPY_BYTES ((size_t)1024 * 1024)
#define JOURNAL    "__metadata-0" /* what src/meta reads */

struct recovering {
	struct tk_log *log;
	int64_t base_offset; /* of the segment under way */
};

static void
report_read(void *arg, int64_t bytes)
{
	const struct recovering *recovering = arg;

	tk_recovery_tell_read(recovering->log->dir, bytes);
}

static void
report_damage(void *arg, const struct tk_recovery_damage *damage)
{
	const struct recovering *recovering = arg;
	struct tk_log *log = recovering->log;

	tk_recovery_tell_damaged(log->dir);
	tk_logdir_say(log->dir, TK_LEVEL_ERROR,
	    "\"%s/%s/%020lld.log\" is damaged: offsets %lld to %lld, %lld bytes at position %lld, "
	    "%s; what follows is kept",
	    log->dir->path, log->name, (long long)recovering->base_offset,
	    (long long)damage->first_offset, (long long)damage->last_offset,
	    (long long)damage->bytes, (long long)damage->position,
	    damage->hole ? "are not whole batches" : "have a wrong checksum");
}

static int
copy_range(int from, int64_t at, int64_t end, int to, int64_t *to_at)
{
	char *piece = malloc(COPY_BYTES);
	int rc = piece == NULL ? -ENOMEM : 0;

	while (at < end && rc == 0) {
		size_t n = (size_t)TK_MIN((int64_t)COPY_BYTES, end - at);

		rc = tk_file_pread_full(from, piece, n, at);
		if (rc == 0)
			rc = tk_file_pwrite(to, piece, n, *to_at);
		at += (int64_t)n;
		*to_at += (int64_t)n;
	}
	free(piece);
	return rc;
}

/* What the scan found worth keeping, one behind the other. */
static int
copy_kept(const struct tk_recovery_scan *scan, int to)
{
	int64_t at = 0, to_at = 0;
	int rc = 0;

	for (size_t i = 0; i < scan->hole_count && rc == 0; i++) {
		rc = copy_range(scan->fd, at, scan->holes[i].position, to, &to_at);
		at = scan->holes[i].position + scan->holes[i].bytes;
	}
	return rc < 0 ? rc : copy_range(scan->fd, at, scan->end_position, to, &to_at);
}

/* .cleaned is what a start removes if it finds it. */
static int
cut_by_copy(struct tk_log *log, int64_t base_offset, const struct tk_recovery_scan *scan)
{
	char path[TK_SEGMENT_PATH_MAX], copy[TK_SEGMENT_PATH_MAX];
	int copy_fd, rc;

	tk_segment_path(path, log->name, base_offset, ".log");
	tk_segment_path(copy, log->name, base_offset, ".log.cleaned");
	rc = tk_file_open(log->dir->fd, copy, O_WRONLY | O_CREAT | O_TRUNC, 0640, &copy_fd);
	if (rc < 0)
		return rc;
	rc = copy_kept(scan, copy_fd);
	if (rc == 0)
		rc = tk_file_sync(copy_fd);
	tk_file_close(&copy_fd);
	tk_killpoint("recovery_copied");
	if (rc == 0)
		rc = tk_file_rename(log->dir->fd, copy, path);
	return rc;
}

/*
 * The file as it is gets a second name, which nobody reads: takhin-dump --export may find more in
 * it.  One that is there already is older, and nearer to the truth.
 */
static int
keep_damaged(struct tk_log *log, int64_t base_offset, const char *why)
{
	char path[TK_SEGMENT_PATH_MAX], kept[TK_SEGMENT_PATH_MAX];

	tk_segment_path(path, log->name, base_offset, ".log");
	tk_segment_path(kept, log->name, base_offset, ".log.damaged");
	if (linkat(log->dir->fd, path, log->dir->fd, kept, 0) < 0 && errno != EEXIST)
		return -errno;
	tk_logdir_say(log->dir, TK_LEVEL_ERROR, "\"%s/%s\" %s; as it was it is kept as \"%s/%s\"",
	    log->dir->path, path, why, log->dir->path, kept);
	return 0;
}

/* After a failed sync a file that is whole is copied too: the old one cannot be trusted again. */
static int
cut_segment(struct tk_log *log, int64_t base_offset, int64_t size_bytes,
    const struct tk_recovery_scan *scan)
{
	bool copy = log->dir->same_boot || log->doubt == TK_LOG_DOUBT_FILES || scan->hole_count > 0;
	int64_t end = scan->end_position;
	int rc = 0;

	if (end == size_bytes && scan->hole_count == 0)
		return log->doubt == TK_LOG_DOUBT_FILES ? cut_by_copy(log, base_offset, scan) : 0;
	if (end < size_bytes) {
		tk_recovery_tell_cut(log->dir, size_bytes - end);
		tk_logdir_say(log->dir, TK_LEVEL_WARN,
		    "\"%s/%s/%020lld.log\": %lld torn bytes at position %lld are cut off",
		    log->dir->path, log->name, (long long)base_offset,
		    (long long)(size_bytes - end), (long long)end);
	}
	if (scan->hole_count > 0)
		rc = keep_damaged(log, base_offset, "goes on without its damaged parts");
	if (rc == 0)
		rc = copy ? cut_by_copy(log, base_offset, scan) : tk_file_truncate(scan->fd, end);
	tk_killpoint("recovery_cut");
	return rc;
}

/* New index files, so that one that somebody has open does not change under him. */
static int
new_index(struct tk_log *log, int64_t base_offset, struct tk_index *ret_index)
{
	static const char *const suffixes[] = { ".index", ".timeindex" };
	char path[TK_SEGMENT_PATH_MAX];
	int64_t position;
	int rc;

	for (size_t i = 0; i < TK_COUNT_OF(suffixes); i++) {
		tk_segment_path(path, log->name, base_offset, suffixes[i]);
		rc = tk_file_unlink(log->dir->fd, path);
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	return tk_index_open(
	    log->dir->fd, log->name, base_offset, base_offset, 0, ret_index, &position);
}

/*
 * A power failure may have taken pages in the middle of what was not synced.  Of data, what is
 * behind them is worth keeping; the metadata journal is of use without a gap only, and nothing that
 * was not synced was answered.
 */
static int64_t
holes_below(const struct tk_log *log)
{
	const struct tk_checkpoint_entry *point =
	    tk_checkpoint_find(&log->dir->recovery_points, log->name);

	if (log->dir->same_boot || strcmp(log->name, JOURNAL) != 0)
		return INT64_MAX;
	return point == NULL ? 0 : point->offset;
}

/* Above the durable end nothing was promised: there damage is an end, not something to keep. */
static bool
is_strict(const struct tk_log *log)
{
	return log->doubt != TK_LOG_SURE && log->config.flush_commit;
}

static int64_t
strict_from(const struct tk_log *log)
{
	return is_strict(log) ? TK_MAX(log->known_durable, log->known_watermark) : INT64_MAX;
}

static int
scan_segment(struct tk_log *log, struct tk_segment *segment, int64_t *next_offset, bool *ret_torn)
{
	struct recovering recovering = { log, segment->info.base_offset };
	struct tk_index index = TK_INDEX_CLOSED;
	struct tk_recovery_scan scan = { .fd = -1,
		.size_bytes = segment->info.size_bytes,
		.index = &index,
		.interval_bytes = log->config.index_interval_bytes,
		.holes_below = holes_below(log),
		.damaged = report_damage,
		.have_read = report_read,
		.arg = &recovering,
		.strict_from = strict_from(log),
		.next_offset = segment->info.base_offset };
	char path[TK_SEGMENT_PATH_MAX];
	int rc;

	tk_segment_path(path, log->name, segment->info.base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDWR, 0, &scan.fd);
	if (rc < 0)
		return rc;
	if (log->doubt != TK_LOG_SURE)
		tk_file_drop_pages(scan.fd);
	rc = new_index(log, segment->info.base_offset, &index);
	if (rc == 0)
		rc = tk_recovery_scan(&scan);
	if (rc == 0)
		rc = tk_index_seal(&index);
	if (rc == 0)
		rc = cut_segment(log, segment->info.base_offset, segment->info.size_bytes, &scan);
	tk_index_close(&index);
	tk_file_close(&scan.fd);
	if (rc < 0)
		return rc;
	*next_offset = scan.next_offset;
	*ret_torn = scan.end_position < segment->info.size_bytes;
	log->state.leader_epoch = TK_MAX(log->state.leader_epoch, scan.leader_epoch);
	segment->unsynced = true;
	return tk_segment_stat(log->dir->fd, log->name, segment->info.base_offset, &segment->info);
}

static int
add_segment(struct tk_log *log, int64_t base_offset)
{
	struct tk_segment_info info;
	char path[TK_SEGMENT_PATH_MAX];
	int fd, rc;

	tk_segment_path(path, log->name, base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDWR | O_CREAT, 0640, &fd);
	if (rc < 0)
		return rc;
	tk_file_close(&fd);
	rc = tk_segment_stat(log->dir->fd, log->name, base_offset, &info);
	return rc < 0 ? rc : tk_segment_list_add(&log->segments, &info);
}

/* A segment in the middle of which nothing was left goes. */
static int
drop_empty(struct tk_log *log, size_t *i)
{
	struct tk_segment_list *list = &log->segments;
	int rc;

	if (list->items[*i].info.size_bytes > 0 || *i + 1 == list->count) {
		(*i)++;
		return 0;
	}
	rc = tk_segment_remove(log->dir->fd, log->name, list->items[*i].info.base_offset, false);
	list->count--;
	memmove(&list->items[*i], &list->items[*i + 1], (list->count - *i) * sizeof(*list->items));
	return rc;
}

static int
drop_after(struct tk_log *log, size_t i)
{
	struct tk_segment_list *list = &log->segments;
	int rc = 0;

	while (list->count > i + 1 && rc == 0) {
		list->count--;
		rc = tk_segment_remove(
		    log->dir->fd, log->name, list->items[list->count].info.base_offset, false);
	}
	return rc;
}

/*
 * An active segment that nothing was left in, behind one that lost its tail or all it had, goes
 * too: the log ends where its records do, not behind a hole.
 */
static int
drop_empty_end(struct tk_log *log, int64_t end, int64_t *next_offset)
{
	struct tk_segment_list *list = &log->segments;
	const struct tk_segment *last = &list->items[list->count - 1];
	int rc;

	if (last->info.size_bytes > 0 || end < 0 || end >= last->info.base_offset)
		return 0;
	rc = tk_segment_remove(log->dir->fd, log->name, last->info.base_offset, false);
	list->count--;
	*next_offset = end;
	return rc < 0 || list->count > 0 ? rc : add_segment(log, end);
}

static int
scan_from(struct tk_log *log, int64_t recovery_point, int64_t *next_offset)
{
	struct tk_segment_list *list = &log->segments;
	int64_t end = -1; /* of the records that were read, or where the first would be */
	bool torn = false;
	int rc = 0;

	for (size_t i = 0; i < list->count && rc == 0;) {
		if (i + 1 < list->count && list->items[i + 1].info.base_offset <= recovery_point) {
			i++;
			continue;
		}
		if (list->items[i].info.base_offset < *next_offset) {
			tk_logdir_say(log->dir, TK_LEVEL_ERROR,
			    "segment \"%s/%s/%020lld.log\" begins before the one before it ends",
			    log->dir->path, log->name, (long long)list->items[i].info.base_offset);
			return -EBADMSG;
		}
		if (end < 0)
			end = list->items[i].info.base_offset;
		rc = scan_segment(log, &list->items[i], next_offset, &torn);
		if (rc == 0 && torn && *next_offset >= strict_from(log))
			rc = drop_after(log, i);
		if (rc == 0 && list->items[i].info.size_bytes > 0)
			end = *next_offset;
		if (rc == 0)
			rc = drop_empty(log, &i);
	}
	return rc < 0 ? rc : drop_empty_end(log, end, next_offset);
}

/*
 * Records below the log's start that was told are all there is: begin anew at the start.  It may be
 * the checkpoint that is wrong, so the records stay under another name.
 */
static int
begin_anew(struct tk_log *log, int64_t log_start)
{
	int rc = 0;

	for (size_t i = 0; i < log->segments.count && rc == 0; i++) {
		const struct tk_segment_info *info = &log->segments.items[i].info;

		if (info->size_bytes > 0)
			rc = keep_damaged(log, info->base_offset,
			    "is below the log's start that the checkpoint tells");
		if (rc == 0)
			rc = tk_segment_remove(log->dir->fd, log->name, info->base_offset, false);
	}
	log->segments.count = 0;
	return rc < 0 ? rc : add_segment(log, log_start);
}

/* An entry of a checkpoint as read at the start, or what is known better. */
static int64_t
known_offset(const struct tk_log *log, const struct tk_checkpoint *checkpoint, int64_t known)
{
	const struct tk_checkpoint_entry *entry = tk_checkpoint_find(checkpoint, log->name);

	return TK_MAX(entry == NULL ? 0 : entry->offset, known);
}

/* Where commits wait for the disk, and after doubt, what was read is brought there first. */
static int
settle_durable(struct tk_log *log, int64_t recovery_point, int64_t next_offset)
{
	int rc = 0;

	if (log->doubt != TK_LOG_SURE || log->config.flush_commit) {
		rc = tk_log_sync_everything(log);
		recovery_point = next_offset;
	}
	log->state.durable_end = TK_MAX(log->state.log_start, TK_MIN(recovery_point, next_offset));
	return rc;
}

static int
recover_segments(struct tk_log *log)
{
	int64_t point = known_offset(log, &log->dir->recovery_points, log->known_durable);
	int64_t log_start = known_offset(log, &log->dir->log_starts, log->known_start);
	const struct tk_segment_info *active;
	int64_t next_offset = 0;
	int rc;

	rc = tk_segment_list_read(log->dir->fd, log->name, &log->segments);
	if (rc == 0 && log->segments.count == 0)
		rc = add_segment(log, log_start);
	if (rc == 0)
		rc = scan_from(log, point, &next_offset);
	if (rc == 0 && next_offset < log_start) {
		rc = begin_anew(log, log_start);
		next_offset = log_start;
	}
	if (rc < 0)
		return rc;
	active = &log->segments.items[log->segments.count - 1].info;
	log->state.log_start = TK_MAX(log_start, log->segments.items[0].info.base_offset);
	log->state.active_inode = active->log_inode;
	tk_log_set_all(
	    log, (struct tk_position){ next_offset, active->base_offset, active->size_bytes });
	rc = settle_durable(log, point, next_offset);
	tk_segment_list_free(&log->segments);
	return rc;
}

/*
 * The producers are read while the headers are warm; Kafka leaves a snapshot here as well.  Ours of
 * the run directory, which knows more of each, holds where no file was replaced and the zone is
 * believed: what it is about was read with checksums, or lies below the durable end.
 */
static int
recover_producers(struct tk_log *log)
{
	int rc;

	if (log->doubt != TK_LOG_DOUBT_PAGES)
		tk_log_forget_saved_producers(log);
	rc = tk_log_read_producers(log);
	return rc < 0 ? rc : tk_log_snapshot(log, log->state.log_end.offset);
}

int
tk_recovery_run(struct tk_log *log)
{
	int32_t epoch = log->state.leader_epoch;
	int rc;

	rc = tk_recovery_leftovers(log);
	if (rc == 0)
		rc = recover_segments(log);
	if (rc == 0)
		rc = recover_producers(log);
	if (rc == 0 && log->state.leader_epoch > epoch)
		rc = tk_epochs_add(
		    log->dir->fd, log->name, log->state.leader_epoch, log->state.log_end.offset);
	tk_killpoint("recovery_done");
	return rc;
}
