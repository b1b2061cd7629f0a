/*
 * What the files of the cleaner process share.  One thread.
 *
 *	cleaner.c	start, stop, settings, when a round is due
 *	ties.c		channels to the writers
 *	round.c		one directory's partitions, one after the other
 *	retention.c	what of a partition is too old or too much
 *	date.c		by which date
 *	compaction.c	which partition is compacted, and talking to its writer
 *	compaction_choice.c	how dirty a partition is
 *	compact*.c	compaction of one partition
 *	offset_map.c	the last offset of each key
 *	quarantine.c	partitions that are not compacted any more
 */
#ifndef TK_CLEANER_CLEANER_PRIVATE_H
#define TK_CLEANER_CLEANER_PRIVATE_H

#include "base/topic_config.h"
#include "cleaner/compact.h"
#include "log/reader.h"
#include "log/segments.h"
#include "log/zone.h"
#include "meta/meta.h"
#include "server/counters.h"
#include "server/process.h"

struct tk_cleaner;

/* The partition that a tie is at. */
struct tk_cleaner_part {
	char topic[256]; /* terminated; empty: before the first */
	size_t topic_len;
	int32_t partition;
	uint32_t slot;
	uint64_t incarnation;
	int64_t retention_ms;    /* -1: for ever */
	int64_t retention_bytes; /* negative: no limit */
	struct tk_part_state state;
};

/* The tie to the writer of a data directory, and the round through its partitions. */
struct tk_cleaner_tie {
	struct tk_cleaner *cleaner;
	unsigned index;
	int dir_fd;
	struct tk_zone *zone; /* NULL while it is not known */
	struct tk_channel *chan;
	struct tk_timer retry;
	struct tk_post step;
	uint64_t frame_id; /* of the question under way; 0: none */
	uint64_t last_id;
	bool walking; /* a round is under way */
	struct tk_cleaner_part part;
};

/* What is known of the wall clock; all zero at first. */
struct tk_cleaner_date {
	bool known, doubted;
	int64_t ahead_ms;         /* of CLOCK_BOOTTIME, when it was believed last */
	int64_t doubted_since_ms; /* of CLOCK_BOOTTIME */
};

/* How much of a partition there is to compact. */
struct tk_compaction_part {
	int64_t first_dirty, end; /* what is looked at; everything before first_dirty was */
	int64_t clean_bytes, dirty_bytes;
	double ratio;
	bool overdue, worth_it;
};

/* What that depends on, beside the list of segments. */
struct tk_compaction_rules {
	int64_t clean_point; /* -1: none */
	int64_t log_start;
	int64_t bound; /* segments that end past it are left alone */
	int64_t now_ms;
	int64_t min_lag_ms, max_lag_ms;
	int64_t min_ratio;    /* in millionths */
	int64_t oldest_dirty; /* timestamp, -1: not known */
};

struct tk_compaction_candidate {
	struct tk_page_partition part;
	struct tk_topic_config config;
	struct tk_part_state state;
	int64_t clean_point;
	struct tk_compaction_part weight;
	struct tk_segment_info *infos; /* of the best one alone */
	size_t count;
};

enum tk_compaction_state { TK_COMPACTION_IDLE, TK_COMPACTION_LOOKING, TK_COMPACTION_AT_WORK };

struct tk_compaction {
	struct tk_cleaner *cleaner;
	enum tk_compaction_state state;
	struct tk_timer due;
	struct tk_post step;
	uint64_t frame_id, last_id; /* of the question under way; 0: none */
	unsigned asked;             /* the directory whose writer it went to */
	char topic[256];            /* where the look is */
	int32_t partition;
	struct tk_compaction_candidate found, best;
	struct tk_compact *job;
	uint64_t last_job;
};

/* In the ids of compaction's questions, which share the channels. */
#define TK_COMPACTION_ID (UINT64_C(1) << 63)

struct tk_cleaner {
	struct tk_process *proc;
	struct tk_loop *loop;
	struct tk_meta *meta; /* NULL until the journal is there */
	struct tk_reader *reader;
	struct tk_timer due;
	struct tk_cleaner_date date;
	struct tk_compaction compaction;
	size_t tie_count;
	struct tk_cleaner_tie ties[TK_DIRECTORIES_MAX];
};

/* ---- cleaner.c ---- */

/* The view of the metadata as of now, directories opened; 0 or -errno, -EAGAIN: not yet there. */
int tk_cleaner_catch_up(struct tk_cleaner *cleaner) TK_MUST_CHECK;

/* ---- ties.c ---- */

void tk_cleaner_tie_init(struct tk_cleaner *cleaner, unsigned index);
void tk_cleaner_tie_free(struct tk_cleaner_tie *tie);

/* The directory's zone; NULL if its writer has not made it yet. */
const struct tk_zone *tk_cleaner_tie_zone(struct tk_cleaner_tie *tie);

/* Asks the writer; the answer, or the end of the channel, continues the round. */
void tk_cleaner_tie_ask(
    struct tk_cleaner_tie *tie, enum tk_frame_type type, const void *payload, size_t len);

/* Sends a question of compaction's; 0 or -errno. */
int tk_cleaner_tie_send(struct tk_cleaner_tie *tie, enum tk_frame_type type, uint64_t id,
    const void *payload, size_t len) TK_MUST_CHECK;

/* ---- round.c ---- */

/* Begins a round unless one is under way. */
void tk_cleaner_round_begin(struct tk_cleaner_tie *tie);

/* The same partition again, after the channel was made anew. */
void tk_cleaner_round_again(struct tk_cleaner_tie *tie);
void tk_cleaner_round_step(struct tk_post *post);

/* What the writer answered. */
bool tk_cleaner_segments_are(struct tk_cleaner_tie *tie, const struct tk_frame_segments_are *head,
    const uint8_t *list, size_t list_len);
void tk_cleaner_retained(struct tk_cleaner_tie *tie, const struct tk_frame_retained *answer);

/* Ms since 1970 by which retention goes.  A line in the log where that is not the wall clock. */
int64_t tk_cleaner_now_ms(struct tk_cleaner *cleaner);

/* ---- date.c ---- */

/* The date, given the wall clock and CLOCK_BOOTTIME in ms. */
int64_t tk_cleaner_date(struct tk_cleaner_date *date, int64_t wall_ms, int64_t boot_ms);

/* ---- compaction.c ---- */

void tk_compaction_init(struct tk_cleaner *cleaner);
void tk_compaction_free(struct tk_compaction *compaction);

/* Other settings are in force. */
void tk_compaction_commit(struct tk_compaction *compaction);

/* An answer whose id has TK_COMPACTION_ID; false ends the channel. */
bool tk_compaction_frame(
    struct tk_cleaner_tie *tie, const struct tk_frame *frame, const uint8_t *payload);

/* The tie's channel has ended. */
void tk_compaction_lost(struct tk_cleaner_tie *tie);

/* ---- compaction_choice.c ---- */

struct tk_compaction_part tk_compaction_weigh(
    const struct tk_compaction_rules *rules, const struct tk_segment_info *infos, size_t count);

/* a goes before b. */
bool tk_compaction_before(const struct tk_compaction_part *a, const struct tk_compaction_part *b);

/* ---- quarantine.c ---- */

/* At the start of the process: what became of the one before it. */
void tk_quarantine_start(void);
bool tk_quarantine_has(const struct tk_page_partition *part);
void tk_quarantine_put(const struct tk_page_partition *part, const char *why);

/* A job begins, ends. */
void tk_quarantine_begin(const struct tk_page_partition *part);
void tk_quarantine_end(bool survived);

/* ---- retention.c ---- */

/* What is known of one segment; the last one of a list is the active one. */
struct tk_retention_segment {
	int64_t base_offset;
	int64_t size_bytes;
	int64_t max_timestamp; /* never unknown */
};

struct tk_retention {
	int64_t retention_ms;
	int64_t retention_bytes;
	int64_t now_ms;
	int64_t log_end;
};

/* How many segments, from the first on, are to go: Kafka's rules, by time and then by size. */
size_t tk_retention_count(const struct tk_retention *retention,
    const struct tk_retention_segment *segments, size_t count);

/* The log's start once so many are gone. */
int64_t tk_retention_start(const struct tk_retention *retention,
    const struct tk_retention_segment *segments, size_t count, size_t gone);

#endif
