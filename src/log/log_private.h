/*
 * What the files of the writer side share about a partition.  Writer process.
 */
#ifndef TK_LOG_LOG_PRIVATE_H
#define TK_LOG_LOG_PRIVATE_H

#include "log/log.h"
#include "log/logdir_private.h"
#include "log/producers.h"
#include "log/segment.h"

/* "<topic>-<partition>" and a NUL. */
#define TK_LOG_NAME_ROOM (TK_TOPIC_NAME_MAX + 1 + 10 + 1)

/*
 * What recovery thinks of the page cache.  After a sync of unknown outcome pages are dropped and
 * read from the disk; after one that failed files are copied as well, since the kernel drops no
 * page that is on its way to somebody and calls a second sync of the old file a success.
 */
enum tk_log_doubt { TK_LOG_SURE, TK_LOG_DOUBT_PAGES, TK_LOG_DOUBT_FILES };

struct tk_log {
	TAILQ_ENTRY(tk_log) link, files_link;
	struct tk_logdir *dir;
	char name[TK_LOG_NAME_ROOM];
	struct tk_uuid topic_id;
	uint32_t slot;
	struct tk_log_config config;
	struct tk_part_state state; /* what is published, or about to be */

	bool segments_loaded;
	struct tk_segment_list segments; /* the last one is active */

	bool has_files;  /* descriptors of the active segment are open */
	bool cut_needed; /* the files may reach past the published end */
	bool made_now;   /* by this process: names are not synced */
	int64_t named;   /* the active segment whose name is on the disk, -1 none */
	int log_fd;
	struct tk_index index;
	int64_t allocated;       /* position up to which blocks are reserved */
	int64_t pushed;          /* position up to which writing out was begun */
	int64_t first_timestamp; /* of the segment's first batch; -1 none or unknown */
	int64_t created_ms;      /* wall clock when the segment began for us */
	bool no_allocate;        /* the file system cannot */
	bool stop_prepared;
	bool stop_writes; /* its clean stop changed files */

	bool producers_loaded;
	struct tk_producers producers;
	int64_t unsaved_bytes;  /* appended since producers were saved to the run directory */
	int64_t saved_bytes;    /* what saving them took last */
	int64_t loose_snapshot; /* one that is at no segment's base, -1 none */

	/* While it is recovered: what its record in the zone said, where that is believed. */
	enum tk_log_doubt doubt;
	int64_t known_start, known_durable;
	int64_t known_watermark; /* what lies below it was told to somebody */
	int64_t clean_point;     /* as in the cleaner's checkpoint; -1 none */

	void *user;
};

/* log.c */
void tk_log_publish(struct tk_log *log);
void tk_log_set_end(struct tk_log *log, struct tk_position end);
/* The same, where all of it is on the disk or nothing waits for that. */
void tk_log_set_all(struct tk_log *log, struct tk_position end);
void tk_log_set_watermark(struct tk_log *log, const struct tk_position *durable);
void tk_log_free(struct tk_log **log);

/* log_open.c: the three steps of opening; the middle one may run in a thread of its own. */
int tk_log_prepare(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log, enum tk_log_opening_step *ret_step,
    struct tk_log_problem *ret_problem) TK_MUST_CHECK;
int tk_log_new(struct tk_logdir *dir, const struct tk_log_identity *identity,
    const struct tk_log_config *config, struct tk_log **ret_log) TK_MUST_CHECK;
int tk_log_finish(struct tk_log *log) TK_MUST_CHECK;
void tk_log_publish_failed(struct tk_logdir *dir, const struct tk_log_identity *identity);

/* recovery.c */
int tk_recovery_run(struct tk_log *log) TK_MUST_CHECK;

/* recovery_leftovers.c: .deleted, .cleaned and .swap, as Kafka's LogLoader treats them. */
int tk_recovery_leftovers(struct tk_log *log) TK_MUST_CHECK;

/* log_files.c */
int tk_log_load_segments(struct tk_log *log) TK_MUST_CHECK;
int tk_log_open_files(struct tk_log *log, int64_t now_ms) TK_MUST_CHECK;
void tk_log_close_files(struct tk_log *log);
/* Cuts the files to the published end. */
int tk_log_cut(struct tk_log *log) TK_MUST_CHECK;
/* Feeds all headers from position to the end to the index. */
int tk_log_feed_index(int fd, struct tk_index *index, int64_t interval_bytes, int64_t from,
    int64_t to, int64_t *ret_next_offset) TK_MUST_CHECK;

/* log_roll.c */
bool tk_log_roll_due(const struct tk_log *log, const struct tk_batch_header *header,
    int64_t run_bytes, int64_t now_ms);
int tk_log_roll_now(struct tk_log *log, int64_t now_ms) TK_MUST_CHECK;

/* log_producers.c */
int tk_log_load_producers(struct tk_log *log) TK_MUST_CHECK;
/* The same in two steps: the first may run in a thread of recovery's. */
int tk_log_read_producers(struct tk_log *log) TK_MUST_CHECK;
void tk_log_join_producers(struct tk_log *log);
/* Reading them means walking far: nothing for the thread that serves. */
bool tk_log_producers_far(const struct tk_log *log);
int tk_log_snapshot(struct tk_log *log, int64_t offset) TK_MUST_CHECK;
/* Ours, if it is due or forced. */
void tk_log_save_producers(struct tk_log *log, bool force);
void tk_log_forget_saved_producers(struct tk_log *log);

/* Segments that are not known to be on the disk, and all names. */
int tk_log_sync_everything(struct tk_log *log) TK_MUST_CHECK;
/*
 * log_sync.c: a clean stop, in two steps: the files are made complete, then brought to the disk, or
 * taken to be there if the whole file system was synced in between.
 */
bool tk_log_stop_needed(const struct tk_log *log);
int tk_log_stop_prepare(struct tk_log *log) TK_MUST_CHECK;
int tk_log_stop(struct tk_log *log, bool synced) TK_MUST_CHECK;

#endif
