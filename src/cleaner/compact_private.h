/*
 * What the files of a compaction job share.  Cleaner process, one thread.
 *
 *	compact.c		passes, groups, steps
 *	compact_input.c		batches out of a segment
 *	compact_batch.c		what of a batch goes into the map, and what of it stays
 *	compact_output.c	the cleaned files
 */
#ifndef TK_CLEANER_COMPACT_PRIVATE_H
#define TK_CLEANER_COMPACT_PRIVATE_H

#include "cleaner/compact.h"
#include "cleaner/offset_map.h"
#include "log/batch.h"
#include "log/index.h"
#include "log/segment.h"

/* A segment that is read from its first batch on. */
struct compact_input {
	int fd;
	int64_t at, end;  /* of the file */
	int64_t piece_at; /* what of the file is in piece */
	size_t piece_len, piece_room;
	uint8_t *piece;
	int64_t mtime_ns;
};

struct compact_batch {
	struct tk_batch_header header;
	const uint8_t *bytes; /* NULL: only the header was read */
	int64_t position, size;
};

/* The cleaned segment that is being written. */
struct compact_output {
	bool open;
	int64_t base_offset;
	int log_fd, txn_fd;
	struct tk_index index;
	struct tk_index_run *run;
	int64_t position, txn_position;
	int64_t mtime_ns;
	/* whole batches of one source that wait to be copied, in front of position */
	int copy_fd;
	int64_t copy_from, copy_bytes;
};

struct compact_buffer {
	uint8_t *data;
	size_t len, room;
};

struct compact_aborted {
	int64_t producer_id, first_offset, last_offset;
};

struct tk_compact {
	int dir_fd;
	char name[TK_TOPIC_NAME_MAX + 16];
	char tail[40]; /* ".<job>.cleaned" */
	struct tk_compact_rules rules;
	struct tk_segment_info *infos;
	size_t count;   /* of those that may be cleaned */
	int64_t behind; /* base offset behind them */

	struct tk_offset_map map;
	size_t producer_count; /* in the map */
	bool producers_full;
	struct compact_aborted *aborted; /* by producer and offset */
	size_t aborted_count;

	bool mapped;
	size_t segment, first, last; /* at work; the group's range */
	bool group_open, changed;
	int64_t slack_bytes; /* by which the group may still grow */
	struct compact_input input;
	struct compact_output output;
	struct compact_buffer inflated, kept;
	uint8_t *built; /* a batch written anew */
	size_t built_len;
	bool *keep; /* one a record */
	size_t keep_room;
};

/* compact_input.c */
int compact_input_open(struct compact_input *input, const struct tk_compact *compact,
    const struct tk_segment_info *info) TK_MUST_CHECK;
void compact_input_close(struct compact_input *input);
void compact_input_free(struct compact_input *input);
/* The next batch, whole unless it is larger than batch_max: 1, 0 at the end, -errno. */
int compact_input_next(
    struct compact_input *input, size_t batch_max, struct compact_batch *ret_batch) TK_MUST_CHECK;

/* compact_batch.c */
enum compact_fate { COMPACT_KEEP, COMPACT_DROP, COMPACT_BUILT };
int compact_map_batch(struct tk_compact *compact, const struct compact_batch *batch) TK_MUST_CHECK;
void compact_map_producer(struct tk_compact *compact, const struct tk_batch_header *header);
int compact_judge_batch(struct tk_compact *compact, const struct compact_batch *batch,
    enum compact_fate *ret_fate) TK_MUST_CHECK;

/* compact_output.c */
int compact_output_open(struct tk_compact *compact, int64_t base_offset) TK_MUST_CHECK;
int compact_output_keep(
    struct tk_compact *compact, const struct compact_batch *batch) TK_MUST_CHECK;
int compact_output_built(struct tk_compact *compact) TK_MUST_CHECK;
/* What waits to be copied from the input, which is about to be closed. */
int compact_output_copy(struct tk_compact *compact) TK_MUST_CHECK;
int compact_output_txnindex(
    struct tk_compact *compact, const struct tk_segment_info *info) TK_MUST_CHECK;
int compact_output_finish(struct tk_compact *compact) TK_MUST_CHECK;
void compact_output_close(struct tk_compact *compact, bool remove);

#endif
