/*
 * The reading side of the log: what a worker needs to answer Fetch and ListOffsets.
 *
 * A reader is one a process and one thread.  It keeps the segment lists that writers told, a
 * bounded number of open segments, and the places where sequential consumers left off.  It opens
 * files read-only below the data directories it was given, never lists a directory, never maps a
 * file, and never looks past what is published.
 *
 * Whatever a reader needs from the writer it says by -EAGAIN: the caller asks the writer for the
 * partition's segment list, hands it in and tries again with a state read anew.
 */
#ifndef TK_LOG_READER_H
#define TK_LOG_READER_H

#include "log/batch.h"
#include "log/segments.h"
#include "log/zone.h"
#include "takhin/chain.h"

struct tk_reader;

/* Which partition; slot and incarnation as in the zone of the directory. */
struct tk_part_key {
	uint16_t directory; /* index given to tk_reader_directory() */
	uint32_t slot;
	uint64_t incarnation;
	const char *topic; /* not terminated; needed only while a call lasts */
	size_t topic_len;
	int32_t partition;
};

/* What tk_reader_read() found. */
struct tk_read_result {
	struct tk_file_range range;   /* to send; len 0: nothing, and no reference is held */
	bool does_not_fit;            /* there is a batch, but larger than max_bytes */
	bool more;                    /* max_bytes or the segment ended the range, not limit */
	uint32_t first_bytes;         /* size of the first batch, 0 if nothing is there to read */
	struct tk_batch_header first; /* the batch that holds the offset; of interest if there is */
	int64_t next_offset;          /* the offset behind the range where that is known, else -1 */
};

/* What a search by time found; all -1: no such record. */
struct tk_time_offset {
	int64_t offset;
	int64_t timestamp;
	int32_t leader_epoch;
};

/*
 * A reader that keeps at most max_open_segments open (log and offset index; the time index while
 * it is searched), plus those that file ranges still hold.  0 or -ENOMEM.
 */
int tk_reader_new(unsigned max_open_segments, struct tk_reader **ret_reader) TK_MUST_CHECK;

/*
 * At most so many segments beyond those may be kept open by ranges that were handed out; then
 * opening one more fails with -EMFILE until some come back.  Not bounded unless it is said.
 */
void tk_reader_hold_at_most(struct tk_reader *reader, unsigned most);

/* Ranges handed out stay good: the last reference closes a segment. */
void tk_reader_free(struct tk_reader **reader);

/* Tells where data directory number index is: dirfd stays the caller's and open.  0 or -ENOMEM. */
int tk_reader_directory(struct tk_reader *reader, unsigned index, int dirfd) TK_MUST_CHECK;

/*
 * Hands in a segment list, ascending and not empty, as the writer told it.  Open segments whose
 * inodes are in it stay open.  0, -ENOMEM, or -EINVAL for a list or a name that cannot be.
 */
int tk_reader_set_segments(struct tk_reader *reader, const struct tk_part_key *key,
    uint64_t generation, const struct tk_segment_info *segments, size_t count) TK_MUST_CHECK;

/* Drops all that is known of a partition: it was deleted, or its directory is gone. */
void tk_reader_forget(struct tk_reader *reader, const struct tk_part_key *key);

/*
 * The bytes to send for a Fetch from offset: a range of one segment that begins with the batch that
 * holds offset and ends at limit (high watermark or last stable offset of state), at the end of the
 * segment, or within max_bytes: at a batch's end if one is found cheaply, else anywhere, at most
 * max_bytes.  So a range may be shorter than max_bytes while there is more.
 * A first batch larger than max_bytes comes whole if at_least_one, else does_not_fit is set.
 *
 *	0		*ret_result written; range.len 0: at or past limit, or does_not_fit
 *	-EAGAIN		the segment list is missing or old: see above
 *	-ESTALE		state is not of key's incarnation
 *	-ERANGE		offset is below the log's start or above its end
 *	-EBADMSG, -EIO	damage, or files missing that the writer insists on
 *	others		of open and pread (-EMFILE, -ENOMEM, ...)
 *
 * An offset between limit and the log's end is not out of range, there is just nothing to read.
 */
int tk_reader_read(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, int64_t offset, uint32_t max_bytes, bool at_least_one,
    const struct tk_position *limit, struct tk_read_result *ret_result) TK_MUST_CHECK;

/*
 * The first record at or after the log's start and below limit whose timestamp is timestamp or
 * later.  Compressed batches are inflated as a stream, bounded.  Results as tk_reader_read().
 */
int tk_reader_offset_by_time(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, int64_t timestamp, const struct tk_position *limit,
    struct tk_time_offset *ret_found) TK_MUST_CHECK;

/* The record below limit with the largest timestamp, the first of several; same results. */
int tk_reader_max_timestamp(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, const struct tk_position *limit,
    struct tk_time_offset *ret_found) TK_MUST_CHECK;

/* What a reader holds and did, for counters. */
struct tk_reader_stats {
	unsigned open_segments;  /* cached; ranges may hold more */
	uint64_t opens;          /* segments opened */
	uint64_t preads;         /* of headers and index blocks */
	uint64_t pread_bytes;    /* read by them */
	uint64_t remembered;     /* reads that began where an earlier one ended, without an index */
	uint64_t index_searches; /* reads that had to search */
	uint64_t cut;            /* ranges that end within a batch */
};

const struct tk_reader_stats *tk_reader_stats(const struct tk_reader *reader);

#endif
