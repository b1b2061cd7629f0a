/*
 * The list of a partition's segments, as its writer tells it to readers: workers never list a
 * directory.  A list belongs to one incarnation and one segments_generation.
 */
#ifndef TK_LOG_SEGMENTS_H
#define TK_LOG_SEGMENTS_H

#include "takhin/base.h"

/* One segment; an array of these in ascending order is the payload of a SEGMENTS frame. */
struct tk_segment_info {
	int64_t base_offset;
	int64_t size_bytes;    /* of a closed segment; of the active one the published end counts */
	int64_t max_timestamp; /* -1 while unknown (active) */
	uint64_t log_inode;
	uint64_t index_inode;
	uint64_t time_inode;
};

_Static_assert(sizeof(struct tk_segment_info) == 48, "goes through a channel");

#endif
