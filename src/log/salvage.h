/*
 * Reading a segment of which nothing is believed: a walk that goes on behind damage.
 *
 * Each step tells a stretch of the file: a good batch, a batch whose header is sound and whose
 * checksum is not, bytes that are no batch and that a good one follows, or the rest in which none
 * is.  A batch counts as good only if its checksum is right and its offsets follow the ones before;
 * the base offset is outside Kafka's checksum, so the header that follows is asked as well.
 *
 * Any process, one thread a walk.  Memory: one piece of 1 MiB.  Time: a search reads each byte
 * once, and computes checksums over no more than TK_SALVAGE_EFFORT times the file.
 */
#ifndef TK_LOG_SALVAGE_H
#define TK_LOG_SALVAGE_H

#include "log/batch.h"

#define TK_SALVAGE_EFFORT 8

enum tk_salvage_kind {
	TK_SALVAGE_END,
	TK_SALVAGE_GOOD,
	TK_SALVAGE_BAD_CHECKSUM, /* sound header, and a sound one or the end behind it */
	TK_SALVAGE_BAD_OFFSET,   /* good but for its offsets, which the batch behind it denies */
	TK_SALVAGE_NO_BATCH,     /* a good batch is behind it */
	TK_SALVAGE_TORN          /* to the end of the file */
};

struct tk_salvage_step {
	enum tk_salvage_kind kind;
	int64_t position, bytes;
	struct tk_batch_header header; /* of all kinds but the last two */
	uint32_t crc;                  /* as computed, of the first three */
};

struct tk_salvage {
	int fd;
	int64_t size_bytes;
	int64_t base_offset; /* the segment's: offsets are within 31 bits of it; -1: not known */
	int64_t next_offset; /* in: the least allowed; then: the one behind the last step */
	int64_t position;    /* in: where to begin; then: of the next step */
	int64_t effort;      /* checksum bytes that searches took */
	uint8_t *piece;
	int64_t piece_at;
	size_t piece_len;
};

/* A walk from the file's begin; 0 or -ENOMEM. */
int tk_salvage_begin(struct tk_salvage *walk, int fd, int64_t size_bytes, int64_t base_offset,
    int64_t least_offset) TK_MUST_CHECK;
void tk_salvage_end(struct tk_salvage *walk);

/* 0 or -errno of reading; what it finds is never an error. */
int tk_salvage_next(struct tk_salvage *walk, struct tk_salvage_step *ret_step) TK_MUST_CHECK;

#endif
