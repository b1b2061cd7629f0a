/*
 * What a partition knows of its idempotent producers: epoch and the last five batches of each.
 *
 * Answers, for a batch about to be appended, whether it is next, a duplicate, or out of order; as
 * Kafka's ProducerAppendInfo does.  Batches of a run are applied before they are written; if the
 * write fails, rollback undoes the run.  Writer process, one thread (recovery: one a partition).
 * Memory: some 250 bytes a producer id until expiry, which comes with a later version.
 */
#ifndef TK_LOG_PRODUCERS_H
#define TK_LOG_PRODUCERS_H

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

struct tk_producer {
	struct tk_map_node node;
	int64_t id;
	int16_t epoch;
	bool saved;     /* this run has its former state in the undo list */
	uint32_t count; /* of batches, oldest first */
	int32_t coordinator_epoch;
	int64_t txn_first_offset; /* -1 none */
	struct tk_producer_batch batches[TK_PRODUCER_BATCHES];
};

struct tk_producer_undo;

struct tk_producers {
	struct tk_map map;
	struct tk_producer_undo *undo; /* of the run under way, newest first */
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

void tk_producers_free(struct tk_producers *producers);

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
int tk_producers_decode(struct tk_producers *producers, const uint8_t *data, size_t len,
    struct tk_producers_place *ret_place) TK_MUST_CHECK;

#endif
