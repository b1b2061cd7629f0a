/*
 * Looking things up in a segment's offset index (8-byte entries) and time index (12-byte entries).
 *
 * Files are read by pread in blocks; the block read last may be kept.  Entries at or past the
 * bound, which is what the writer has published, are not there, whatever their bytes are; nor are
 * the zeros that Kafka leaves behind the last entry of an active segment.  Any subset of entries is
 * a right index, so a result is a place to begin a scan, never a promise that nothing is nearer.
 *
 * Worker, one thread.
 */
#ifndef TK_LOG_INDEX_READ_H
#define TK_LOG_INDEX_READ_H

#include "takhin/base.h"

#define INDEX_BLOCK_ENTRIES 512u
#define INDEX_BLOCK_BYTES   (INDEX_BLOCK_ENTRIES * 8)

struct tk_reader;

struct index_block {
	int64_t number; /* which block of the file, -1: none */
	unsigned live;  /* entries in it that were below the bound when it was read */
	uint8_t bytes[INDEX_BLOCK_BYTES];
};

/* An index and what bounds it. */
struct index_view {
	struct tk_reader *reader;
	int fd;
	bool by_time;
	int64_t base_offset;
	int64_t live_offset;   /* entries at or past are not there */
	int64_t live_position; /* likewise; of an offset index */
	struct index_block *block;
};

/* Of a time index, position is not set; of an offset index, timestamp. */
struct index_entry {
	int64_t offset;
	int64_t position;
	int64_t timestamp;
};

enum index_key { INDEX_OFFSET, INDEX_POSITION, INDEX_TIMESTAMP };

/* The last entry whose key is at most value: 1, 0 if there is none, or -errno. */
int index_floor(struct index_view *view, enum index_key key, int64_t value,
    struct index_entry *ret_entry) TK_MUST_CHECK;

/* Forgets the block kept: what it said turned out wrong. */
static inline void
index_forget(struct index_view *view)
{
	view->block->number = -1;
	view->block->live = 0;
}

#endif
