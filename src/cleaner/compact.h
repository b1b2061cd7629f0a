/*
 * Compaction of one partition: of each key the last record stays, of what lies below a bound.
 *
 * A job reads the partition's closed segments and writes new files beside them, whose names end in
 * ".<job>.cleaned"; what becomes of these is the writer's affair.  Two passes, as in Kafka's
 * Cleaner: the last offset of each key of the dirty part goes into a map of bounded size, then the
 * segments from the first on are written again, several small ones into one.
 *
 *	batch wholly kept		moved as it is, neighbours in one copy_file_range
 *	some records go			written anew: same codec, offsets and deltas; new checksum
 *	no record stays			dropped; the last one of a producer that is
 *					not forgotten stays as an empty batch
 *	marks of deletion (null)	stay for delete.retention.ms from the pass that first sees
 *them (the batch's delete horizon), then go records without key		go records of
 *aborted transactions	go control batches			stay
 *
 * A job is made of steps of a few MiB each, so that the process can do other things in between.
 * Memory: the map, one batch and its inflated form (one that is larger than batch_bytes_max is kept
 * whole and its keys are not in the map), eight bytes a record of that batch.  What is damaged is
 * -EBADMSG; every failure leaves nothing but files to be removed, which tk_compact_free() does.
 * Cleaner process, one thread.
 */
#ifndef TK_CLEANER_COMPACT_H
#define TK_CLEANER_COMPACT_H

#include "log/log.h"

struct tk_compact_rules {
	int64_t first_dirty; /* records from here on have not been looked at */
	int64_t end;         /* base offset of the first segment that is left alone */
	int64_t now_ms;
	int64_t delete_retention_ms;
	int64_t producer_expiration_ms; /* whose last batch is older keeps none */
	int64_t segment_bytes;
	int64_t index_interval_bytes;
	size_t map_bytes;
	size_t batch_bytes_max;
};

struct tk_compact;

enum tk_compact_step {
	TK_COMPACT_MORE,  /* there is more to do */
	TK_COMPACT_GROUP, /* a cleaned segment is ready: tk_compact_group(), then go on */
	TK_COMPACT_DONE
};

/* infos is the partition's whole list, copied.  0 or -errno. */
int tk_compact_new(int dir_fd, const char *log_name, uint64_t job,
    const struct tk_segment_info *infos, size_t count, const struct tk_compact_rules *rules,
    struct tk_compact **ret_compact) TK_MUST_CHECK;

/*
 * A step; 0, or -EBADMSG: the log is damaged, -ENOSPC: the keys of one segment do not fit the map,
 * -EDQUOT: no room on the disk, -ESTALE: a segment is not what the list says, other -errno.
 */
int tk_compact_step(struct tk_compact *compact, enum tk_compact_step *ret_step) TK_MUST_CHECK;

/* After TK_COMPACT_GROUP: what the cleaned segment stands for. */
size_t tk_compact_group(
    const struct tk_compact *compact, struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX]);

/* After TK_COMPACT_DONE: the first offset that is dirty now. */
int64_t tk_compact_point(const struct tk_compact *compact);

/* Removes what is unfinished. */
void tk_compact_free(struct tk_compact **compact);

/* Removes every ".cleaned" file of a partition: a former cleaner's. */
void tk_compact_sweep(int dir_fd, const char *log_name);

#endif
