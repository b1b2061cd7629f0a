/*
 * What a partition knows of its idempotent producers: epoch and the last five batches of each.
 *
 * Answers, for a batch about to be appended, whether it is next, a duplicate, or out of order; as
 * Kafka's ProducerAppendInfo does.  Batches of a run are applied before they are written; if the
 * write fails, rollback undoes the run.
 *
 * Writer process, one thread (recovery: one a partition).  All producers of all partitions stand in
 * one pool, which bounds them: when there are too many, the one that has been idle longest is
 * forgotten, whichever partition it is of, and one that has been idle for longer than
 * producer.id.expiration.ms is forgotten as well.  A producer that was forgotten is unknown: its
 * next batch is accepted with any sequence, as in Kafka.
 */
#ifndef TK_LOG_PRODUCERS_H
#define TK_LOG_PRODUCERS_H

#include <sys/queue.h>

#include "base/map.h"
#include "log/batch.h"
#include "takhin/base.h"

#define TK_PRODUCER_BATCHES 5

struct tk_producer_batch {
	int64_t last_offset;
	int64_t timestamp; /* the batch's max timestamp */
	int32_t last_sequence;
	int32_t offset_delta; /* last offset - first offset, and of sequences as well */
};

struct tk_producers;

struct tk_producer {
	struct tk_map_node node;
	TAILQ_ENTRY(tk_producer) order_link;
	struct tk_producers *owner;
	int64_t id;
	int64_t last_timestamp; /* of the last batch, control batches as well; Kafka's */
	int64_t heard_ms;       /* monotonic: when the last batch came; TK_HEARD_UNKNOWN */
	int16_t epoch;
	bool saved;     /* this run has its former state in the undo list */
	uint32_t count; /* of batches, oldest first */
	int32_t coordinator_epoch;
	int64_t txn_first_offset; /* -1 none */
	struct tk_producer_batch batches[TK_PRODUCER_BATCHES];
};

TAILQ_HEAD(tk_producer_order, tk_producer); /* longest idle first */

#define TK_HEARD_UNKNOWN INT64_MIN

/* What one producer takes: its struct, the allocator's share, its bucket. */
#define TK_PRODUCER_COST_BYTES (sizeof(struct tk_producer) + 32)

struct tk_producer_pool {
	struct tk_producer_order order; /* of the partitions that have joined */
	size_t count; /* in memory, of all partitions; recovery's threads add to it */
	size_t count_max;
	int64_t expiration_ms;
	int64_t now_ms;           /* monotonic; set before a run */
	struct tk_producer *last; /* found last, of one that has joined: it is looked for again */
	uint64_t evicted, expired;
};

struct tk_producer_undo;

/* Zeroed it is empty and belongs to no pool. */
struct tk_producers {
	struct tk_map map;
	struct tk_producer_undo *undo; /* of the run under way, newest first */
	struct tk_producer_pool *pool;
	bool joined;                    /* its producers are in the pool's order, else in its own */
	struct tk_producer_order order; /* before it has joined */
};

enum tk_sequence {
	TK_SEQUENCE_NEXT,
	TK_SEQUENCE_DUPLICATE,
	TK_SEQUENCE_OUT_OF_ORDER,
	TK_SEQUENCE_OLD_EPOCH
};

/* Of a batch with a producer id; ret_duplicate is set for DUPLICATE only. */
enum tk_sequence tk_producers_check(const struct tk_producers *producers,
    const struct tk_batch_header *header, struct tk_producer_batch *ret_duplicate);

/*
 * Takes a batch with its final base offset in, without judging it; nothing for one without producer
 * id.  0 or -ENOMEM, then nothing changed.
 */
int tk_producers_apply(
    struct tk_producers *producers, const struct tk_batch_header *header) TK_MUST_CHECK;

/* The run has been written: there is no way back. */
void tk_producers_commit(struct tk_producers *producers);

/* The run has not been written: everything as at the last commit. */
void tk_producers_rollback(struct tk_producers *producers);

/* Forgets all of them; it may be filled again, for the same pool. */
void tk_producers_free(struct tk_producers *producers);

/* ---- the pool ---- */

void tk_producer_pool_init(struct tk_producer_pool *pool);
void tk_producer_pool_limit(
    struct tk_producer_pool *pool, int64_t max_bytes, int64_t expiration_ms);

/*
 * What was read from files gets its place in the pool's order, before all that have been heard of
 * since.  The pool's thread; now_ms is the monotonic clock.
 */
void tk_producers_join(struct tk_producers *producers, int64_t now_ms, int64_t wall_ms);

/* Forgets what has been idle for too long, a few at a time; true if there may be more. */
bool tk_producer_pool_expire(struct tk_producer_pool *pool, int64_t now_ms);

/* Forgets the longest idle until the bound holds.  No run is under way. */
void tk_producer_pool_trim(struct tk_producer_pool *pool);

/* ---- files ---- */

/* Kafka's %020d.snapshot (one batch a producer), to be freed. */
int tk_producers_encode_snapshot(
    const struct tk_producers *producers, uint8_t **ret_data, size_t *ret_len) TK_MUST_CHECK;

/* Replaces what is there; -EBADMSG for what is not a snapshot, then nothing is there. */
int tk_producers_decode_snapshot(
    struct tk_producers *producers, const uint8_t *data, size_t len) TK_MUST_CHECK;

/* Where in a log a state of producers belongs. */
struct tk_producers_place {
	uint64_t incarnation;
	uint64_t log_inode;
	int64_t offset;
	int64_t segment;
	int64_t position;
};

/* Ours, with all five batches and its place; read back by the same version only. */
int tk_producers_encode(const struct tk_producers *producers,
    const struct tk_producers_place *place, uint8_t **ret_data, size_t *ret_len) TK_MUST_CHECK;
/* The place alone, from the first bytes of ours; 0 or -EBADMSG. */
#define TK_PRODUCERS_HEAD_BYTES 56u
int tk_producers_decode_place(const uint8_t head[TK_PRODUCERS_HEAD_BYTES],
    struct tk_producers_place *ret_place) TK_MUST_CHECK;
int tk_producers_decode(struct tk_producers *producers, const uint8_t *data, size_t len,
    struct tk_producers_place *ret_place) TK_MUST_CHECK;

#endif
