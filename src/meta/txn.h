/*
 * A transaction of the metadata, as the coordinator makes it: the bytes of one record batch.
 *
 *	tk_meta_txn_begin(&txn, meta, room, bytes);
 *	tk_meta_txn_compare(&txn, "topic/a", 7, 0);	   // only if there is no such key
 *	tk_meta_txn_put_topic(&txn, ...);
 *	rc = tk_meta_txn_end(&txn, now_ms, &len);
 *
 * Its error sticks: write everything, look once.  The view it was begun on must be that of the
 * journal's end and must not move before the end; a key is written once at most.  One thread.
 */
#ifndef TK_META_TXN_H
#define TK_META_TXN_H

#include "meta/meta.h"
#include "wire/wire_gen.h"

struct tk_meta_txn {
	const struct tk_meta *meta;
	uint8_t *begin, *at, *end;
	uint64_t revision; /* it will have */
	struct tk_uuid id; /* its name: tk_meta_transaction() once it is taken */
	int32_t records;
	int rc;
	struct tk_arena scratch;
};

/* Begins one in room bytes of memory (no more than TK_META_BATCH_MAX are used). */
void tk_meta_txn_begin(
    struct tk_meta_txn *txn, const struct tk_meta *meta, void *memory, size_t room);

/* Unless the key's revision is this one (0: not there), the transaction fails: -ESTALE. */
void tk_meta_txn_compare(
    struct tk_meta_txn *txn, const void *key, size_t key_len, uint64_t revision);

void tk_meta_txn_put(
    struct tk_meta_txn *txn, const void *key, size_t key_len, struct tk_bytes payload);
void tk_meta_txn_delete(struct tk_meta_txn *txn, const void *key, size_t key_len);

/* What the keys of our own are. */
void tk_meta_txn_put_topic(
    struct tk_meta_txn *txn, struct tk_bytes name, const struct tk_meta_topic_value *value);
void tk_meta_txn_put_partition(struct tk_meta_txn *txn, struct tk_bytes name, int32_t index,
    const struct tk_meta_partition_value *value);
void tk_meta_txn_put_producer_ids(struct tk_meta_txn *txn, int64_t next_producer_id);

/* A topic and all its partitions. */
void tk_meta_txn_delete_topic(struct tk_meta_txn *txn, const struct tk_meta_topic *topic);

/* Most bytes that the deletion of such a topic takes: what may be made must be deletable. */
size_t tk_meta_txn_deletion_max(size_t name_len, int64_t partition_count);

/* Where it is, and back there (also out of -EMSGSIZE): what was written since is not in it. */
struct tk_meta_txn_mark {
	uint8_t *at;
	int32_t records;
};
struct tk_meta_txn_mark tk_meta_txn_mark(const struct tk_meta_txn *txn);
void tk_meta_txn_back(struct tk_meta_txn *txn, struct tk_meta_txn_mark mark);

/* Whether something is written, beside its own revision. */
bool tk_meta_txn_has_changes(const struct tk_meta_txn *txn);

/*
 * Ends it: the batch's header.  0, -EMSGSIZE (it does not fit), -ESTALE (a compare failed) or
 * -ENOMEM.  The memory of the batch is the caller's; everything else is given back in any case.
 */
int tk_meta_txn_end(struct tk_meta_txn *txn, int64_t now_ms, size_t *ret_len) TK_MUST_CHECK;

#endif
