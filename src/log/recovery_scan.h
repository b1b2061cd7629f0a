/*
 * Reading a segment batch by batch with checksums, to know how far it is whole.
 */
#ifndef TK_LOG_RECOVERY_SCAN_H
#define TK_LOG_RECOVERY_SCAN_H

#include "log/index.h"

/* A stretch of batches whose headers are sound and whose checksums are not, good ones behind. */
struct tk_recovery_damage {
	int64_t position, bytes;
	int64_t first_offset, last_offset;
};

struct tk_recovery_scan {
	int fd;
	int64_t size_bytes;
	struct tk_index *index; /* empty; is fed */
	int64_t interval_bytes;
	void (*damaged)(void *arg, const struct tk_recovery_damage *damage);
	void (*have_read)(void *arg, int64_t bytes);
	void *arg;

	int64_t strict_from; /* a wrong checksum from this offset on is the end */

	int64_t end_position; /* result: what lies behind is torn */
	int64_t next_offset;  /* in: the least offset allowed; result: the one behind the last */
	int32_t leader_epoch; /* result: the highest, -1 of none */
};

/* 0 or -errno of reading or memory; what it finds is never an error. */
int tk_recovery_scan(struct tk_recovery_scan *scan) TK_MUST_CHECK;

#endif
