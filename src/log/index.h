/*
 * Writing a segment's offset and time index.
 *
 * When an entry is due is Kafka's rule to the byte: before a batch that follows more than
 * index.interval.bytes since the last entry.  Entries go out in runs by pwrite(), the time index
 * first, so that whatever the offset index reaches the time index has.  An index is never mapped
 * and never longer than its entries.
 *
 * A failed write loses entries, nothing else: any subset is a right index.  Writer process.
 */
#ifndef TK_LOG_INDEX_H
#define TK_LOG_INDEX_H

#include "log/batch.h"
#include "takhin/base.h"

#define TK_INDEX_ENTRY_BYTES      8
#define TK_TIME_INDEX_ENTRY_BYTES 12
#define TK_INDEX_RUN_MAX          512

/* Entries that are due but not written. */
struct tk_index_run {
	unsigned offset_count, time_count;
	uint8_t offset_bytes[TK_INDEX_RUN_MAX * TK_INDEX_ENTRY_BYTES];
	uint8_t time_bytes[TK_INDEX_RUN_MAX * TK_TIME_INDEX_ENTRY_BYTES];
};

struct tk_index {
	int offset_fd, time_fd;
	int64_t base_offset;
	int64_t offset_count, time_count; /* entries on the files */
	int64_t bytes_since;              /* appended since the last entry */
	int64_t last_time;                /* timestamp of the last time entry, run included */
	int64_t written_time;             /* the same, run excluded */
	int64_t max_timestamp;            /* so far in the segment, -1 none */
	int64_t max_timestamp_offset;     /* last offset of the batch that has it */
};

#define TK_INDEX_CLOSED                                                                            \
	{                                                                                          \
		.offset_fd = -1, .time_fd = -1                                                     \
	}

/*
 * Opens or makes both files and cuts what lies at or past the end (offset, position in the .log).
 * *ret_position is where in the .log the batches begin that the index has not seen: feed the
 * headers from there to the end to tk_index_add() to have it as if it had never been closed.
 */
int tk_index_open(int dir_fd, const char *log_name, int64_t base_offset, int64_t end_offset,
    int64_t end_position, struct tk_index *ret_index, int64_t *ret_position) TK_MUST_CHECK;

/*
 * Makes both files anew, empty, with tail behind their names (a .cleaned one, say); what was there
 * is an error.
 */
int tk_index_create(int dir_fd, const char *log_name, int64_t base_offset, const char *tail,
    struct tk_index *ret_index) TK_MUST_CHECK;

/* Throws all entries away, to be fed anew from position 0. */
int tk_index_clear(struct tk_index *index) TK_MUST_CHECK;

/* A batch that was appended at position. */
void tk_index_add(struct tk_index *index, struct tk_index_run *run, int64_t interval_bytes,
    const struct tk_batch_header *header, int64_t position);

/* Writes the run and empties it; 0 or -errno, then its entries are lost. */
int tk_index_flush(struct tk_index *index, struct tk_index_run *run) TK_MUST_CHECK;

/* The last time entry, which says how far the segment's timestamps reach; at roll and close. */
int tk_index_seal(struct tk_index *index) TK_MUST_CHECK;

/* Makes both files exactly as long as their entries. */
int tk_index_trim(struct tk_index *index) TK_MUST_CHECK;

bool tk_index_full(const struct tk_index *index, int64_t limit_bytes);
void tk_index_close(struct tk_index *index);

/* Position of the last entry at or below offset, 0 without one. */
int tk_index_floor(const struct tk_index *index, int64_t offset, int64_t *ret_position);

/* The greatest timestamp of a closed segment's time index; -1 if it has none. */
int64_t tk_index_last_time(int dir_fd, const char *log_name, int64_t base_offset);

#endif
