/*
 * Opening a partition: what is known of its end, and from where.
 *
 * Writer process.  In order: its record in the zone (two stats, nothing is read), the sizes of a
 * directory that was stopped cleanly (names and checkpoints are read, no records), recovery.  A
 * record in the zone is always worth belief here: tk_logdir_begin() has emptied all that were not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "base/uuid.h"
#include "log/log_private.h"

/* What Kafka makes the index of an active segment, unless told otherwise. */
#define KAFKA_INDEX_BYTES 10485760

int
tk_log_new(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log)
{
	struct tk_log *log;
	int len;

	tk_assert(identity->incarnation != 0 && identity->partition >= 0);
	log = calloc(1, sizeof(*log));
	if (log == NULL)
		return -ENOMEM;
	len = snprintf(
	    log->name, sizeof(log->name), "%s-%d", identity->topic, (int)identity->partition);
	if (len < 0 || (size_t)len >= sizeof(log->name)) {
		free(log);
		return -ENAMETOOLONG;
	}
	log->dir = dir;
	log->topic_id = identity->topic_id;
	log->slot = identity->slot;
	log->config = *config;
	log->log_fd = -1;
	log->index = (struct tk_index)TK_INDEX_CLOSED;
	log->cut_needed = true;
	log->loose_snapshot = -1;
	log->producers.pool = &dir->producers;
	log->named = -1;
	log->clean_point = -1;
	log->state = (struct tk_part_state){ .incarnation = identity->incarnation,
		.status = TK_PART_ONLINE,
		.leader_epoch = identity->leader_epoch,
		.sync_underway = -1,
		/* One that no reader can have seen of a former life. */
		.segments_generation = (uint64_t)tk_clock_wall_ms() << 16,
		.config_revision = config->revision };
	*ret_log = log;
	return 0;
}

static int
create_files(struct tk_log *log)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;
	int fd, rc;

	rc = tk_partition_metadata_write(log->dir->fd, log->name, &log->topic_id);
	if (rc == 0)
		rc = tk_epochs_add(log->dir->fd, log->name, log->state.leader_epoch, 0);
	if (rc < 0)
		return rc;
	tk_segment_path(path, log->name, 0, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDWR | O_CREAT | O_EXCL, 0640, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(fd, &info);
	tk_file_close(&fd);
	log->state.active_inode = info.inode;
	return rc;
}

static int
create_log(struct tk_log *log)
{
	int rc;

	if (mkdirat(log->dir->fd, log->name, 0750) < 0)
		return -errno;
	tk_killpoint("create_dir");
	log->made_now = true;
	rc = create_files(log);
	if (rc < 0) {
		int cleanup = tk_file_remove_dir(log->dir->fd, log->name);

		(void)cleanup;
	}
	tk_killpoint("create_done");
	return rc;
}

/*
 * The index of our active segment ends with its entries.  A longer one was made ready by Kafka,
 * which wrote here since.
 */
static bool
index_is_ours(const struct tk_log *log, const struct tk_part_state *published)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;
	int64_t batches = published->log_end.position / TK_BATCH_HEADER_BYTES;

	tk_segment_path(path, log->name, published->log_end.segment, ".index");
	if (tk_file_stat(log->dir->fd, path, &info) < 0)
		return true; /* none yet */
	return info.size_bytes != KAFKA_INDEX_BYTES &&
	       info.size_bytes / TK_INDEX_ENTRY_BYTES <= batches;
}

/* Whether the files are those the zone's record is about; why not, else NULL. */
static const char *
distrust_record(const struct tk_log *log, const struct tk_part_state *published)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;

	if (published->status == TK_PART_OFFLINE && published->sync_underway != -1)
		return "a sync has failed";
	if (published->status != TK_PART_ONLINE && published->status != TK_PART_READ_ONLY)
		return "it is offline";
	if (published->sync_underway != -1)
		return "a sync was under way";
	tk_segment_path(path, log->name, published->log_end.segment, ".log");
	if (tk_file_stat(log->dir->fd, path, &info) < 0)
		return "its active segment is missing";
	if (info.inode != published->active_inode)
		return "its active segment is another file";
	if (info.size_bytes < published->log_end.position)
		return "its active segment is shorter than published";
	if (!index_is_ours(log, published))
		return "something else wrote its index";
	return NULL;
}

/*
 * A sync that failed, or that nobody heard the end of: what the record says of the files below the
 * durable end is right, and the rest is read from the disk.
 */
static void
doubt_pages(struct tk_log *log, const struct tk_part_state *published)
{
	if (published->sync_underway == -1)
		return;
	log->doubt = published->status == TK_PART_OFFLINE ? TK_LOG_DOUBT_FILES : TK_LOG_DOUBT_PAGES;
	log->known_start = published->log_start;
	log->known_durable = published->durable_end;
	log->known_watermark = published->high_watermark.offset;
}

/* False if there is none, or one that is not to be believed: then ret_why says why. */
static bool
take_record(struct tk_log *log, const char **ret_why)
{
	struct tk_part_state published;
	uint64_t incarnation = log->state.incarnation;
	const char *why;

	if (!tk_zone_read(log->dir->zone, log->slot, &published, NULL) ||
	    published.incarnation != incarnation)
		return false;
	why = distrust_record(log, &published);
	if (why != NULL) {
		doubt_pages(log, &published);
		*ret_why = why;
		return false;
	}
	published.config_revision = log->state.config_revision;
	published.status = TK_PART_ONLINE;
	log->state = published;
	if (!log->config.flush_commit)
		tk_log_set_all(log, published.log_end);
	return true;
}

static bool
record_exists(const struct tk_log *log)
{
	struct tk_part_state published;

	return tk_zone_read(log->dir->zone, log->slot, &published, NULL) &&
	       published.incarnation == log->state.incarnation;
}

/* The end of a segment that is whole, by walking from its last index entry on. */
static int
measure_segment(struct tk_log *log, const struct tk_segment_info *info, int64_t *ret_offset)
{
	struct tk_index index = TK_INDEX_CLOSED;
	char path[TK_SEGMENT_PATH_MAX];
	int64_t position, next_offset = info->base_offset;
	int fd = -1, rc;

	tk_segment_path(path, log->name, info->base_offset, ".log");
	rc = tk_file_open(log->dir->fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_index_open(log->dir->fd, log->name, info->base_offset, INT64_MAX, info->size_bytes,
	    &index, &position);
	if (rc == 0)
		rc = tk_log_feed_index(
		    fd, &index, INT64_MAX, position, info->size_bytes, &next_offset);
	tk_index_close(&index);
	tk_file_close(&fd);
	if (rc == 0)
		*ret_offset = next_offset;
	return rc;
}

/* The log's end after a clean stop; Kafka and we leave a snapshot there. */
static int
clean_end(struct tk_log *log, const struct tk_segment_info *active, int64_t *ret_offset)
{
	const struct tk_checkpoint_entry *entry =
	    tk_checkpoint_find(&log->dir->recovery_points, log->name);
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;

	if (active->size_bytes == 0) {
		*ret_offset = active->base_offset;
		return 0;
	}
	if (entry != NULL && entry->offset > active->base_offset) {
		tk_segment_path(path, log->name, entry->offset, ".snapshot");
		if (tk_file_stat(log->dir->fd, path, &info) == 0) {
			*ret_offset = entry->offset;
			return 0;
		}
	}
	return measure_segment(log, active, ret_offset);
}

/* After a clean stop: the files are as long as the log. */
static int
take_sizes(struct tk_log *log)
{
	const struct tk_checkpoint_entry *start =
	    tk_checkpoint_find(&log->dir->log_starts, log->name);
	const struct tk_segment_info *active;
	int64_t first, end;
	int rc;

	rc = tk_recovery_leftovers(log);
	if (rc == 0)
		rc = tk_segment_list_read(log->dir->fd, log->name, &log->segments);
	if (rc == 0 && log->segments.count == 0)
		rc = -ENOENT;
	if (rc < 0)
		return rc;
	active = &log->segments.items[log->segments.count - 1].info;
	first = log->segments.items[0].info.base_offset;
	rc = clean_end(log, active, &end);
	if (rc == 0) {
		log->state.active_inode = active->log_inode;
		log->state.log_start = start == NULL ? first : TK_MAX(first, start->offset);
		log->state.durable_end = end;
		tk_log_set_all(
		    log, (struct tk_position){ end, active->base_offset, active->size_bytes });
		if (log->state.log_start > end)
			rc = -EBADMSG;
	}
	tk_segment_list_free(&log->segments);
	return rc;
}

/*
 * Ids are random, so two of them differ in some 60 bits; in a few, and one of them is damaged.  A
 * character of the text that is another changes six bits at most.
 */
static bool
nearly_equal(const struct tk_uuid *a, const struct tk_uuid *b)
{
	int bits = 0;

	for (size_t i = 0; i < sizeof(a->b); i++)
		bits += __builtin_popcount((unsigned)(a->b[i] ^ b->b[i]));
	return bits <= 6;
}

/*
 * The directory is this topic's: 0; it was another's of the same name, which the metadata does not
 * know any more: set aside as Kafka does, -ENOENT.
 */
static int
check_topic_id(struct tk_log *log)
{
	char aside[TK_LOG_NAME_ROOM + 64];
	struct tk_uuid topic_id, random = tk_uuid_random();
	int rc;

	rc = tk_partition_metadata_read(log->dir->fd, log->name, &topic_id);
	if (rc == -ENOENT || rc == -EBADMSG)
		return tk_partition_metadata_write(log->dir->fd, log->name, &log->topic_id);
	if (rc < 0 || tk_uuid_equal(&topic_id, &log->topic_id))
		return rc;
	if (nearly_equal(&topic_id, &log->topic_id)) {
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "\"%s/%s/partition.metadata\" is damaged; it is written anew", log->dir->path,
		    log->name);
		return tk_partition_metadata_write(log->dir->fd, log->name, &log->topic_id);
	}
	/* Kafka cuts the topic so that the name stays within 255 bytes. */
	rc = snprintf(aside, sizeof(aside), "%.*s.", 255 - 1 - 32 - 6, log->name);
	for (size_t i = 0; i < sizeof(random.b); i++)
		rc += snprintf(aside + rc, sizeof(aside) - (size_t)rc, "%02x", random.b[i]);
	(void)snprintf(aside + rc, sizeof(aside) - (size_t)rc, "-stray");
	rc = tk_file_rename(log->dir->fd, log->name, aside);
	tk_logdir_say(log->dir, TK_LEVEL_WARN,
	    "\"%s/%s\" belongs to a topic that is gone; set aside as \"%s\"", log->dir->path,
	    log->name, aside);
	return rc < 0 ? rc : -ENOENT;
}

/* The higher of the two epochs is in force, and in the file. */
static int
settle_epoch(struct tk_log *log)
{
	int32_t own = -1;
	int rc;

	rc = tk_epochs_read_last(log->dir->fd, log->name, &own);
	if (rc < 0 && rc != -ENOENT && rc != -EBADMSG)
		return rc;
	if (rc == 0 && own >= log->state.leader_epoch) {
		log->state.leader_epoch = own;
		return 0;
	}
	return tk_epochs_add(log->dir->fd, log->name, log->state.leader_epoch,
	    rc == 0 ? log->state.log_end.offset : log->state.log_start);
}

/* Of a trusted record, whose epoch is in the file. */
static int
raise_epoch(struct tk_log *log, int32_t wanted)
{
	int rc = 0;

	if (wanted > log->state.leader_epoch) {
		rc = tk_epochs_add(log->dir->fd, log->name, wanted, log->state.log_end.offset);
		if (rc == 0)
			log->state.leader_epoch = wanted;
	}
	return rc;
}

static int
choose(struct tk_log *log, enum tk_log_opening_step *ret_step)
{
	int32_t wanted_epoch = log->state.leader_epoch;
	struct tk_file_info info;
	const char *why = NULL;
	int rc;

	*ret_step = TK_LOG_READY;
	if (take_record(log, &why))
		return raise_epoch(log, wanted_epoch);
	rc = tk_file_stat(log->dir->fd, log->name, &info);
	if (rc == 0 && !info.is_directory)
		return -ENOTDIR;
	if (rc == 0 && why != NULL)
		tk_logdir_say(log->dir, TK_LEVEL_WARN, "partition \"%s\" will be recovered: %s",
		    log->name, why);
	if (rc == 0)
		rc = check_topic_id(log);
	if (rc == -ENOENT)
		return create_log(log);
	if (rc < 0)
		return rc;
	if (log->dir->trust == TK_TRUST_SIZE && !record_exists(log)) {
		rc = take_sizes(log);
		if (rc == 0)
			return settle_epoch(log);
		tk_logdir_say(log->dir, TK_LEVEL_WARN,
		    "partition \"%s\" will be recovered though it was stopped cleanly: %s",
		    log->name, strerror(-rc));
	}
	*ret_step = TK_LOG_TO_RECOVER;
	return settle_epoch(log);
}

int
tk_log_prepare(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log, enum tk_log_opening_step *ret_step,
    struct tk_log_problem *ret_problem)
{
	struct tk_log *log;
	int rc;

	rc = tk_zone_reserve(dir->zone, identity->slot);
	if (rc < 0) {
		tk_log_problem_set(ret_problem,
		    "could not reserve slot %u of zone \"%s\" for partition \"%s-%d\": %s",
		    identity->slot, dir->zone_name, identity->topic, (int)identity->partition,
		    strerror(-rc));
		return rc;
	}
	rc = tk_log_new(dir, identity, config, &log);
	if (rc < 0)
		return rc;
	rc = choose(log, ret_step);
	if (rc == 0 && *ret_step == TK_LOG_READY && tk_log_producers_far(log) &&
	    tk_log_load_segments(log) == 0)
		*ret_step = TK_LOG_TO_READ_PRODUCERS; /* failing that, the first append tries */
	if (rc < 0) {
		tk_log_free(&log);
		return rc;
	}
	*ret_log = log;
	return 0;
}

static void
take_entry(const struct tk_checkpoint *checkpoint, const char *name)
{
	struct tk_checkpoint_entry *entry = tk_checkpoint_find(checkpoint, name);

	if (entry != NULL)
		entry->taken = true;
}

/* A point past the end, or in a log that was just made, is another log's. */
static void
take_clean_point(struct tk_log *log)
{
	struct tk_checkpoint_entry *entry = tk_checkpoint_find(&log->dir->clean_points, log->name);

	if (entry == NULL)
		return;
	entry->taken = true;
	if (!log->made_now && entry->offset <= log->state.log_end.offset)
		log->clean_point = entry->offset;
}

int
tk_log_finish(struct tk_log *log)
{
	take_entry(&log->dir->recovery_points, log->name);
	take_entry(&log->dir->log_starts, log->name);
	take_clean_point(log);
	TAILQ_INSERT_TAIL(&log->dir->logs, log, link);
	tk_log_join_producers(log);
	tk_log_publish(log);
	return 0;
}

/* What a failed sync has left on record is kept for the next try. */
void
tk_log_publish_failed(struct tk_logdir *dir, const struct tk_log_identity *identity)
{
	struct tk_part_state state;

	if (!tk_zone_read(dir->zone, identity->slot, &state, NULL))
		return;
	if (state.incarnation != identity->incarnation || state.sync_underway == -1)
		state = (struct tk_part_state){ .incarnation = identity->incarnation,
			.sync_underway = -1 };
	state.status = TK_PART_OFFLINE;
	tk_zone_publish(dir->zone, identity->slot, &state);
}
