/*
 * One partition, as its writer process has it: append, roll, delete, publish.
 *
 * Only the writer's thread calls this.  Bytes are on the file first, then published in the zone,
 * then indexed; a writer killed anywhere has published whole appends or nothing.  An append costs
 * no memory that its sender declares.  Descriptors are opened at the first append and closed when
 * too many partitions have theirs.  The whole argument is in README.md.
 */
#ifndef TK_LOG_LOG_H
#define TK_LOG_LOG_H

#include "log/segments.h"
#include "log/zone.h"
#include "takhin/base.h"

#define TK_TOPIC_NAME_MAX 249

struct tk_logdir;
struct tk_log;

/* Why something failed, in a line for the operator. */
struct tk_log_problem {
	char text[512];
};

struct tk_log_identity {
	const char *topic; /* a name Kafka accepts; copied */
	int32_t partition;
	struct tk_uuid topic_id;
	uint32_t slot;
	uint64_t incarnation; /* never 0 */
	int32_t leader_epoch; /* at least; the log's own may be higher */
};

/* Settings of a topic that the log acts on; Kafka's names and meanings. */
struct tk_log_config {
	uint64_t revision; /* metadata revision these come from; published */
	int64_t segment_bytes;
	int64_t segment_ms;
	int64_t segment_jitter_ms;
	int64_t segment_index_bytes;
	int64_t index_interval_bytes;
	int64_t max_message_bytes;
	int64_t file_delete_delay_ms;
	bool log_append_time;
	bool preallocate;
	bool flush_commit;      /* what is not on the disk is held back from readers */
	int64_t flush_ms;       /* for the caller: when to sync, INT64_MAX never */
	int64_t flush_messages; /* the same, in records */
};

/* Kafka's defaults. */
struct tk_log_config tk_log_config_default(void);

/* Who an append comes from. */
enum tk_append_origin {
	TK_APPEND_CLIENT,     /* a client's Produce, by way of a worker */
	TK_APPEND_COORDINATOR /* ours: control batches are allowed */
};

/*
 * One batch to append and what became of it.  The batch lies in memory that may change while it is
 * read: its header is copied once and the copy alone counts.
 */
struct tk_append {
	const uint8_t *batch;
	size_t batch_bytes;
	uint64_t incarnation;     /* the frame's; 0: not compared */
	uint64_t config_revision; /* settings it was validated under; 0: not compared */
	int32_t leader_epoch;     /* the frame's; -1: not compared */
	enum tk_append_origin origin;
	bool walked;           /* somebody has looked at every record, and found: */
	int64_t max_timestamp; /* replaces the header's where it differs; at least -1 */

	int16_t error;       /* enum tk_error; 0 for duplicates as well */
	bool stale;          /* not appended: validate under the present settings, send again */
	bool duplicate;      /* not appended again: the offsets are the first one's */
	int64_t base_offset; /* -1 on error */
	int64_t end_offset;  /* behind its last record: on the disk once durable_end is there */
	int64_t log_append_time_ms; /* -1 unless the topic stamps */
	int64_t log_start;
};

/*
 * Opens a partition, makes it if it is not there.  Recovers it if nothing about it is trusted.  The
 * state is published on return.
 */
int tk_log_open(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log,
    struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* Forgets it; what is published stays.  Does not sync: see tk_logdir_clean_stop(). */
void tk_log_close(struct tk_log **log);

/*
 * Appends in order, joining what fits into one write, and settles every one.  now_ms is the wall
 * clock.  Returns how many were appended (not: duplicates).  After it, the published state has
 * moved by exactly these.
 */
size_t tk_log_append(
    struct tk_log *log, struct tk_append *const appends[], size_t count, int64_t now_ms);

/* Closes the active segment and begins the next, if it has anything; 0 or -errno. */
int tk_log_roll(struct tk_log *log, int64_t now_ms) TK_MUST_CHECK;

/* Other settings from the next append on; publishes their revision. */
void tk_log_configure(struct tk_log *log, const struct tk_log_config *config);

/* A higher leader epoch, from its first offset on; 0 or -errno, then nothing changed. */
int tk_log_set_leader_epoch(struct tk_log *log, int32_t leader_epoch) TK_MUST_CHECK;

/*
 * Moves the log's start up to offset (no further than the high watermark) and drops the segments
 * that lie below whole; the active one stays.  0, or -EINVAL past the high watermark.
 */
int tk_log_advance_start(struct tk_log *log, int64_t offset) TK_MUST_CHECK;

/*
 * Publishes DELETED, renames the directory away and frees the log; the files go after
 * file.delete.delay.ms, by tk_logdir_tick().  On failure *log stays, offline.
 */
int tk_log_delete(struct tk_log **log) TK_MUST_CHECK;

/*
 * A sync whose waiting is somebody else's: begin() announces it and says which files, end() takes
 * its result.  One at a time.  Where it failed the partition is offline until it is rescued.
 */
#define TK_LOG_SYNC_SEGMENTS 16

struct tk_log_sync {
	struct tk_position end; /* what is on the disk once it is done */
	int64_t segments[TK_LOG_SYNC_SEGMENTS];
	size_t segment_count;
	bool with_active; /* the last one is the active segment, of which the .log is enough */
	bool with_names;
};

/* False if there is nothing to sync, or it cannot be found out; closed_only: not the active one. */
bool tk_log_sync_begin(struct tk_log *log, bool closed_only, struct tk_log_sync *ret_sync);
void tk_log_sync_end(struct tk_log *log, const struct tk_log_sync *sync, int rc);

/* Syncs what rolls have closed and moves the durable end there.  May block for long. */
int tk_log_sync_closed(struct tk_log *log) TK_MUST_CHECK;
bool tk_log_has_unsynced(const struct tk_log *log);

/*
 * After a failed sync: another log of the same partition, to be read again from the durable end by
 * tk_log_rescue_run() in any thread while nobody touches the files; then tk_log_rescue_end() puts
 * it in the place of *log and publishes it.  On failure everything stays, to be begun again.
 */
bool tk_log_needs_rescue(const struct tk_log *log);
int tk_log_rescue_begin(struct tk_log *log, struct tk_log **ret_rescued) TK_MUST_CHECK;
int tk_log_rescue_run(struct tk_log *rescued) TK_MUST_CHECK;
void tk_log_rescue_end(struct tk_log **log, struct tk_log **rescued);
void tk_log_rescue_drop(struct tk_log **rescued);

/*
 * Whether appends would succeed that have failed before (READ_ONLY): tries, and publishes ONLINE if
 * so.  What it writes lies behind the published end and is cut off again.
 */
void tk_log_try_again(struct tk_log *log, int64_t now_ms);

#define TK_CLEANED_SOURCES_MAX 64u

/* A segment that a cleaned one stands for. */
struct tk_cleaned_source {
	int64_t base_offset;
	uint64_t log_inode;
};

/*
 * Puts the cleaned segment of job (files "<base>.log.<job>.cleaned" and so on, synced) in the place
 * of sources, which are the partition's own, closed, and follow each other.  0; -ESTALE: they are
 * not any more, or -EAGAIN: not now (offline), nothing changed; other -errno: as before, or
 * offline.
 */
int tk_log_swap(struct tk_log *log, uint64_t job, const struct tk_cleaned_source *sources,
    size_t count) TK_MUST_CHECK;

/* The first offset that compaction has not passed; -1 if it never has. */
int64_t tk_log_clean_point(const struct tk_log *log);

/* Sets it and writes the checkpoint; 0 or -errno. */
int tk_log_set_clean_point(struct tk_log *log, int64_t offset) TK_MUST_CHECK;

/* All segments in order, to be freed by the caller. */
int tk_log_segments(
    struct tk_log *log, struct tk_segment_info **ret_infos, size_t *ret_count) TK_MUST_CHECK;

/* What is published now. */
const struct tk_part_state *tk_log_state(const struct tk_log *log);
const struct tk_log_config *tk_log_config(const struct tk_log *log);
const char *tk_log_name(const struct tk_log *log); /* "<topic>-<partition>" */
uint32_t tk_log_slot(const struct tk_log *log);
struct tk_uuid tk_log_topic_id(const struct tk_log *log);

/* For the caller's own bookkeeping (a queue, watches). */
void tk_log_set_user(struct tk_log *log, void *user);
void *tk_log_user(const struct tk_log *log);

#endif
