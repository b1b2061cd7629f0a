/*
 * Where a partition's producer states come from and go to.
 *
 * Writer process; recovery's threads, each for its partition.  Loaded at the first append: ours in
 * the run directory if it is about this log, else the newest snapshot, then the batch headers from
 * there to the end.  Ours is written every few MiB appended and at rolls, so that after the death
 * of a writer little is walked and all five batches of a producer are known; also where there is
 * no producer at all, which is worth knowing as well.  Where much is to be walked all the same
 * (without the run directory's file, or behind a snapshot that is damaged) that is done at the
 * start by recovery's threads, before anything is served, and never in an append.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "log/log_private.h"

#define SAVE_EVERY_BYTES   ((int64_t)4 * 1024 * 1024)
#define LONG_WALK_BYTES    ((int64_t)32 * 1024 * 1024)
#define SNAPSHOT_MAX_BYTES ((size_t)512 * 1024 * 1024)
#define SAVED_NAME_ROOM    384

static void
saved_name(const struct tk_log *log, char name[SAVED_NAME_ROOM])
{
	(void)snprintf(
	    name, SAVED_NAME_ROOM, "producers/%.300s.%u", log->dir->zone_name, log->slot);
}

void
tk_log_forget_saved_producers(struct tk_log *log)
{
	char name[SAVED_NAME_ROOM];
	int rc;

	saved_name(log, name);
	rc = tk_file_unlink(log->dir->run_dir_fd, name);
	(void)rc; /* its incarnation says that it is nobody's */
}

/* Not worth an error: without it more headers are walked. */
static void
save(struct tk_log *log)
{
	const struct tk_producers_place place = { .incarnation = log->state.incarnation,
		.log_inode = log->state.active_inode,
		.offset = log->state.log_end.offset,
		.segment = log->state.log_end.segment,
		.position = log->state.log_end.position };
	struct tk_file_replace what = { .dir_fd = log->dir->run_dir_fd };
	char name[SAVED_NAME_ROOM];
	uint8_t *data;
	int rc;

	if (tk_producers_encode(&log->producers, &place, &data, &what.len) < 0)
		return;
	saved_name(log, name);
	what.path = name;
	what.data = data;
	rc = tk_file_replace(&what);
	(void)rc;
	free(data);
	log->saved_bytes = (int64_t)what.len;
	log->unsaved_bytes = 0;
}

/*
 * The first producer of a partition is saved at once: ours, however old, has all five batches with
 * the headers behind it, a snapshot that a roll made has one.  Without any producer there is to be
 * no file while there is little to walk, nor where the snapshot made now says the same.
 */
static bool
save_is_due(const struct tk_log *log, bool force)
{
	bool first = log->saved_bytes == 0;

	if (log->producers.map.count > 0 && first)
		return true;
	if (force)
		return !first;
	if (log->producers.map.count == 0)
		return log->unsaved_bytes >= LONG_WALK_BYTES;
	/* Many producers: what saving costs stays a fraction of what is appended. */
	return log->unsaved_bytes >= TK_MAX(SAVE_EVERY_BYTES, 8 * log->saved_bytes);
}

void
tk_log_save_producers(struct tk_log *log, bool force)
{
	if (log->producers_loaded && save_is_due(log, force))
		save(log);
}

/* Ours, if its place is in a segment of this log. */
static int
load_saved(struct tk_log *log, struct tk_producers_place *ret_place)
{
	struct tk_producers_place place;
	char name[SAVED_NAME_ROOM];
	size_t len;
	char *data;
	int rc;

	saved_name(log, name);
	rc = tk_file_read_all(log->dir->run_dir_fd, name, SNAPSHOT_MAX_BYTES, &data, &len);
	if (rc < 0)
		return rc;
	rc = tk_producers_decode(&log->producers, (const uint8_t *)data, len, &place);
	free(data);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < log->segments.count; i++) {
		const struct tk_segment_info *info = &log->segments.items[i].info;

		if (info->base_offset == place.segment && info->log_inode == place.log_inode &&
		    place.incarnation == log->state.incarnation &&
		    place.offset <= log->state.log_end.offset) {
			log->saved_bytes = (int64_t)len;
			*ret_place = place;
			return 0;
		}
	}
	tk_producers_free(&log->producers);
	return -ENOENT;
}

static bool
is_base(const struct tk_log *log, int64_t offset)
{
	for (size_t i = 0; i < log->segments.count; i++)
		if (log->segments.items[i].info.base_offset == offset)
			return true;
	return false;
}

typedef void snapshot_visit(struct tk_log *log, int dir_fd, int64_t offset, int64_t *found);

/* Shows each all snapshots of log, in no order. */
static void
each_snapshot(struct tk_log *log, snapshot_visit *each, int64_t *found)
{
	const struct dirent *entry;
	DIR *dir;
	int fd;

	if (tk_file_open(log->dir->fd, log->name, O_RDONLY | O_DIRECTORY, 0, &fd) < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		int64_t offset = tk_segment_parse(entry->d_name, ".snapshot");

		if (offset >= 0)
			each(log, fd, offset, found);
	}
	(void)closedir(dir);
}

static void
drop_snapshot(int dir_fd, int64_t offset)
{
	char name[TK_SEGMENT_PATH_MAX];
	int rc;

	tk_segment_path(name, ".", offset, ".snapshot");
	rc = tk_file_unlink(dir_fd, name);
	(void)rc; /* found again next time */
}

/* Kafka's rule: beside one for each segment, the newest from the active one's base on stays. */
static void
sweep_snapshot(struct tk_log *log, int dir_fd, int64_t offset, int64_t *stray)
{
	const struct tk_position *end = &log->state.log_end;

	if (offset > end->offset || (offset < end->segment && !is_base(log, offset))) {
		drop_snapshot(dir_fd, offset);
	} else if (!is_base(log, offset)) {
		if (*stray >= 0)
			drop_snapshot(dir_fd, TK_MIN(*stray, offset));
		*stray = TK_MAX(*stray, offset);
	}
}

static void
match_snapshot(struct tk_log *log, int dir_fd, int64_t offset, int64_t *arg)
{
	(void)log;
	(void)dir_fd;
	if (offset <= arg[0] && offset > arg[1])
		arg[1] = offset;
}

/* The newest at or below limit, -1 without one. */
static int64_t
find_snapshot(struct tk_log *log, int64_t limit)
{
	int64_t limit_and_found[2] = { limit, -1 };

	each_snapshot(log, match_snapshot, limit_and_found);
	return limit_and_found[1];
}

static int
read_snapshot(struct tk_log *log, int64_t offset)
{
	char path[TK_SEGMENT_PATH_MAX];
	size_t len;
	char *data;
	int rc;

	tk_segment_path(path, log->name, offset, ".snapshot");
	rc = tk_file_read_all(log->dir->fd, path, SNAPSHOT_MAX_BYTES, &data, &len);
	if (rc < 0)
		return rc;
	rc = tk_producers_decode_snapshot(&log->producers, (const uint8_t *)data, len);
	free(data);
	if (rc == -EBADMSG) {
		tk_logdir_say(log->dir, TK_LEVEL_WARN, "\"%s/%s\" is damaged and not used",
		    log->dir->path, path);
		rc = tk_file_unlink(log->dir->fd, path);
		return rc < 0 ? rc : -EBADMSG;
	}
	return rc;
}

/* Where in the log a snapshot of offset belongs: a place at or before it. */
static struct tk_producers_place
place_of(const struct tk_log *log, int64_t offset)
{
	const struct tk_position *end = &log->state.log_end;
	struct tk_producers_place place = { .offset = offset };
	int64_t position;

	if (offset == end->offset) {
		place.segment = end->segment;
		place.position = end->position;
		return place;
	}
	place.segment = log->segments.items[0].info.base_offset;
	for (size_t i = 1; i < log->segments.count; i++)
		if (log->segments.items[i].info.base_offset <= offset)
			place.segment = log->segments.items[i].info.base_offset;
	if (place.segment == end->segment && log->has_files &&
	    tk_index_floor(&log->index, offset, &position) == 0)
		place.position = position;
	return place;
}

static int
load_snapshot(struct tk_log *log, struct tk_producers_place *ret_place)
{
	int64_t limit = log->state.log_end.offset;
	int64_t offset;
	int rc;

	while ((offset = find_snapshot(log, limit)) >= 0) {
		rc = read_snapshot(log, offset);
		if (rc == 0) {
			*ret_place = place_of(log, offset);
			return 0;
		}
		if (rc != -EBADMSG)
			return rc;
		limit = offset - 1;
	}
	*ret_place = place_of(log, log->segments.items[0].info.base_offset);
	return 0;
}

/* Whether ours, of which only the head is read, is about a place not far from the end. */
static bool
saved_is_near(const struct tk_log *log)
{
	const struct tk_position *end = &log->state.log_end;
	struct tk_producers_place place;
	uint8_t head[TK_PRODUCERS_HEAD_BYTES];
	char name[SAVED_NAME_ROOM];
	int fd, rc;

	saved_name(log, name);
	if (tk_file_open(log->dir->run_dir_fd, name, O_RDONLY, 0, &fd) < 0)
		return false;
	rc = tk_file_pread_full(fd, head, sizeof(head), 0);
	tk_file_close(&fd);
	return rc == 0 && tk_producers_decode_place(head, &place) == 0 &&
	       place.incarnation == log->state.incarnation &&
	       place.log_inode == log->state.active_inode && place.segment == end->segment &&
	       end->position - place.position < LONG_WALK_BYTES;
}

bool
tk_log_producers_far(const struct tk_log *log)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;

	if (log->state.log_end.position < LONG_WALK_BYTES || log->producers_loaded)
		return false;
	tk_segment_path(path, log->name, log->state.log_end.offset, ".snapshot");
	return tk_file_stat(log->dir->fd, path, &info) < 0 && !saved_is_near(log);
}

struct replay {
	struct tk_producers *producers;
	int64_t from_offset;
};

static int
replay_header(void *arg, const struct tk_batch_header *header, int64_t position)
{
	struct replay *replay = arg;
	int rc = 0;

	(void)position;
	if (header->base_offset >= replay->from_offset) {
		rc = tk_producers_apply(replay->producers, header);
		tk_producers_commit(replay->producers);
	}
	return rc;
}

static int
replay_segment(struct tk_log *log, const struct tk_segment_info *info, int64_t from, int64_t to,
    struct replay *replay)
{
	char path[TK_SEGMENT_PATH_MAX];
	int fd, rc;

	if (from >= to)
		return 0;
	tk_segment_path(path, log->name, info->base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_segment_walk(fd, from, to, replay_header, replay);
	tk_file_close(&fd);
	if (rc == -EBADMSG) {
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "\"%s/%s\" is damaged: its producers' later sequences are not known",
		    log->dir->path, path);
		rc = 0;
	}
	return rc;
}

static int
replay_from(struct tk_log *log, const struct tk_producers_place *place)
{
	struct replay replay = { &log->producers, place->offset };
	int rc = 0;

	for (size_t i = 0; i < log->segments.count && rc == 0; i++) {
		const struct tk_segment_info *info = &log->segments.items[i].info;
		bool active = i + 1 == log->segments.count;

		if (info->base_offset < place->segment)
			continue;
		rc = replay_segment(log, info,
		    info->base_offset == place->segment ? place->position : 0,
		    active ? log->state.log_end.position : info->size_bytes, &replay);
	}
	return rc;
}

/* What was walked need not be again: saved soon if it was much, or if there are producers. */
static int64_t
worth_saving(const struct tk_log *log, const struct tk_producers_place *place)
{
	const struct tk_position *end = &log->state.log_end;

	if (log->producers.map.count > 0)
		return SAVE_EVERY_BYTES;
	return place->segment == end->segment ? end->position - place->position : end->position;
}

int
tk_log_read_producers(struct tk_log *log)
{
	struct tk_producers_place place;
	int rc;

	if (log->producers_loaded)
		return 0;
	rc = tk_log_load_segments(log);
	if (rc < 0)
		return rc;
	log->loose_snapshot = -1;
	each_snapshot(log, sweep_snapshot, &log->loose_snapshot);
	rc = load_saved(log, &place);
	if (rc < 0)
		rc = load_snapshot(log, &place);
	if (rc == 0)
		rc = replay_from(log, &place);
	if (rc < 0) {
		tk_producers_free(&log->producers);
		return rc;
	}
	log->producers_loaded = true;
	log->unsaved_bytes = worth_saving(log, &place);
	return 0;
}

void
tk_log_join_producers(struct tk_log *log)
{
	if (log->producers_loaded)
		tk_producers_join(&log->producers, tk_clock_mono_ms(), tk_clock_wall_ms());
}

int
tk_log_load_producers(struct tk_log *log)
{
	int rc;

	if (log->producers_loaded)
		return 0;
	rc = tk_log_read_producers(log);
	if (rc == 0)
		tk_log_join_producers(log);
	return rc;
}

void
tk_logdir_limit_producers(struct tk_logdir *dir, int64_t max_bytes, int64_t expiration_ms)
{
	tk_producer_pool_limit(&dir->producers, max_bytes, expiration_ms);
}

bool
tk_logdir_expire_producers(struct tk_logdir *dir, int64_t mono_ms)
{
	return tk_producer_pool_expire(&dir->producers, mono_ms);
}

struct tk_producer_totals
tk_logdir_producer_totals(const struct tk_logdir *dir)
{
	const struct tk_producer_pool *pool = &dir->producers;

	return (struct tk_producer_totals){ __atomic_load_n(&pool->count, __ATOMIC_RELAXED),
		__atomic_load_n(&pool->evicted, __ATOMIC_RELAXED), pool->expired };
}

int
tk_log_snapshot(struct tk_log *log, int64_t offset)
{
	struct tk_file_replace what = { .dir_fd = log->dir->fd };
	char path[TK_SEGMENT_PATH_MAX];
	uint8_t *data;
	int rc;

	rc = tk_producers_encode_snapshot(&log->producers, &data, &what.len);
	if (rc < 0)
		return rc;
	tk_segment_path(path, log->name, offset, ".snapshot");
	what.path = path;
	what.data = data;
	rc = tk_file_replace(&what);
	free(data);
	if (rc < 0)
		return rc;
	if (log->loose_snapshot >= 0 && log->loose_snapshot != offset) {
		tk_segment_path(path, log->name, log->loose_snapshot, ".snapshot");
		rc = tk_file_unlink(log->dir->fd, path);
		(void)rc; /* an older snapshot does no harm */
	}
	log->loose_snapshot = is_base(log, offset) ? -1 : offset;
	return 0;
}
