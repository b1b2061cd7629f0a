/*
 * Reading a segment batch by batch with checksums, to know how far it is whole and what is not.
 */
#ifndef TK_LOG_RECOVERY_SCAN_H
#define TK_LOG_RECOVERY_SCAN_H

#include "log/index.h"

/* Stretches that have to be left out of the segment; where there are more, the rest is cut. */
#define TK_RECOVERY_HOLES_MAX 64

/*
 * A stretch that good batches follow.  Batches with sound headers stay, since clients see by their
 * checksum what they are; through what is no batch nobody finds the way, so it has to go.
 */
struct tk_recovery_damage {
	int64_t position, bytes;
	int64_t first_offset, last_offset;
	bool hole; /* it goes */
};

struct tk_recovery_hole {
	int64_t position, bytes;
};

struct tk_recovery_scan {
	int fd;
	int64_t size_bytes;
	struct tk_index *index; /* empty; is fed, with positions as they are without the holes */
	int64_t interval_bytes;
	int64_t holes_below; /* from this offset on, what is no batch is torn, whatever follows */
	void (*damaged)(void *arg, const struct tk_recovery_damage *damage);
	void (*have_read)(void *arg, int64_t bytes);
	void *arg;

	int64_t strict_from; /* a wrong checksum from this offset on is the end */

	int64_t end_position; /* result: what lies behind is torn */
	int64_t next_offset;  /* in: the least offset allowed; result: the one behind the last */
	int32_t leader_epoch; /* result: the highest, -1 of none */
	struct tk_recovery_hole holes[TK_RECOVERY_HOLES_MAX]; /* result, ascending */
	size_t hole_count;
};

/* 0 or -errno of reading or memory; what it finds is never an error. */
int tk_recovery_scan(struct tk_recovery_scan *scan) TK_MUST_CHECK;

#endif
