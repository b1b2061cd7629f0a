/*
 * States of idempotent producers without a log: Kafka's rules of epochs and sequences, and which
 * producers are forgotten.
 */
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/producers.h"
#include "unit.h"

#define DAY_MS ((int64_t)86400000)

static struct tk_batch_header
batch(int64_t id, int16_t epoch, int32_t sequence, int32_t records)
{
	return (struct tk_batch_header){ .producer_id = id,
		.producer_epoch = epoch,
		.base_sequence = sequence,
		.last_offset_delta = records - 1,
		.records_count = records };
}

/* Judged, and taken if it is next, at this offset. */
static enum tk_sequence
put(struct tk_producers *producers, struct tk_batch_header header, int64_t offset)
{
	struct tk_producer_batch duplicate;
	enum tk_sequence verdict = tk_producers_check(producers, &header, &duplicate);

	header.base_offset = offset;
	if (verdict == TK_SEQUENCE_NEXT) {
		CU_ASSERT(tk_producers_apply(producers, &header) == 0);
		tk_producers_commit(producers);
	}
	return verdict;
}

static bool
knows(const struct tk_producers *producers, int64_t id)
{
	struct tk_batch_header header = batch(id, 0, 77777, 1);
	struct tk_producer_batch duplicate;

	return tk_producers_check(producers, &header, &duplicate) != TK_SEQUENCE_NEXT;
}

static void
test_epochs(void)
{
	struct tk_producers p = { 0 };

	CU_ASSERT(put(&p, batch(1, 3, 500, 2), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(1, 2, 502, 1), 2) == TK_SEQUENCE_OLD_EPOCH);
	CU_ASSERT(put(&p, batch(1, 2, 500, 2), 2) == TK_SEQUENCE_OLD_EPOCH);
	CU_ASSERT(put(&p, batch(1, 4, 502, 1), 2) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(1, 3, 502, 1), 2) == TK_SEQUENCE_NEXT); /* that changed nothing */
	CU_ASSERT(put(&p, batch(1, 7, 0, 1), 3) == TK_SEQUENCE_NEXT);
	/* What is left of the epoch before is refused, though it was appended. */
	CU_ASSERT(put(&p, batch(1, 3, 500, 2), 4) == TK_SEQUENCE_OLD_EPOCH);
	CU_ASSERT(put(&p, batch(1, 7, 0, 1), 4) == TK_SEQUENCE_DUPLICATE);
	CU_ASSERT(put(&p, batch(1, 7, 0, 2), 4) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(1, 7, 1, 1), 4) == TK_SEQUENCE_NEXT);
	tk_producers_free(&p);
}

/* A control batch moves the epoch and has no sequence. */
static void
test_control(void)
{
	struct tk_batch_header control = batch(1, 1, -1, 1);
	struct tk_producers p = { 0 };

	control.attributes = TK_BATCH_CONTROL;
	CU_ASSERT(put(&p, batch(1, 0, 9, 1), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, control, 1) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(1, 0, 10, 1), 2) == TK_SEQUENCE_OLD_EPOCH);
	CU_ASSERT(put(&p, batch(1, 1, 10, 1), 2) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(1, 1, 0, 1), 2) == TK_SEQUENCE_NEXT);
	control.producer_epoch = 0;
	CU_ASSERT(put(&p, control, 3) == TK_SEQUENCE_OLD_EPOCH);
	tk_producers_free(&p);
}

/* After 2^31 - 1 comes 0: between batches, within one, and for all that is remembered. */
static void
test_round(void)
{
	struct tk_producers p = { 0 };
	int32_t first = INT32_MAX - 4;

	for (int i = 0; i < 7; i++) /* two records each: the third goes round */
		CU_ASSERT(put(&p, batch(1, 0, (int32_t)(((int64_t)first + 2 * i) & INT32_MAX), 2),
			      2 * i) == TK_SEQUENCE_NEXT);
	for (int i = 0; i < 7; i++) {
		int32_t at = (int32_t)(((int64_t)first + 2 * i) & INT32_MAX);

		CU_ASSERT(put(&p, batch(1, 0, at, 2), 99) ==
			  (i < 2 ? TK_SEQUENCE_OUT_OF_ORDER : TK_SEQUENCE_DUPLICATE));
	}
	CU_ASSERT(put(&p, batch(1, 0, INT32_MAX, 1), 14) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(2, 0, INT32_MAX - 1, 1), 14) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(2, 0, 0, 1), 15) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(2, 0, INT32_MAX, 1), 15) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(2, 0, 1, 1), 16) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(2, 0, 0, 1), 16) == TK_SEQUENCE_NEXT);
	tk_producers_free(&p);
}

/* Older than the five: out of order, since Kafka does not answer DUPLICATE_SEQUENCE_NUMBER. */
static void
test_old_duplicate(void)
{
	struct tk_producers p = { 0 };
	struct tk_producer_batch duplicate;
	struct tk_batch_header header;

	for (int i = 0; i < 6; i++)
		CU_ASSERT(put(&p, batch(1, 0, 3 * i, 3), 100 + 3 * i) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(1, 0, 0, 3), 0) == TK_SEQUENCE_OUT_OF_ORDER);
	CU_ASSERT(put(&p, batch(1, 0, 3, 6), 0) == TK_SEQUENCE_OUT_OF_ORDER); /* two as one */
	CU_ASSERT(put(&p, batch(1, 0, 4, 1), 0) == TK_SEQUENCE_OUT_OF_ORDER); /* part of one */
	header = batch(1, 0, 6, 3);
	CU_ASSERT(tk_producers_check(&p, &header, &duplicate) == TK_SEQUENCE_DUPLICATE);
	CU_ASSERT(duplicate.last_offset - duplicate.offset_delta == 106);
	tk_producers_free(&p);
}

/* Several of one producer in a run that fails: as if none had come, new producers gone. */
static void
test_failed_run(void)
{
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };
	struct tk_batch_header header;

	tk_producer_pool_init(&pool);
	tk_producers_join(&p, 0, 0);
	CU_ASSERT(put(&p, batch(1, 0, 0, 1), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, batch(2, 0, 0, 1), 1) == TK_SEQUENCE_NEXT);
	for (int i = 1; i < 8; i++) {
		header = batch(1 + 2 * (i % 2), 0, i, 1);
		header.base_offset = i + 1;
		CU_ASSERT(tk_producers_apply(&p, &header) == 0);
	}
	CU_ASSERT(pool.count == 3);
	tk_producers_rollback(&p);
	CU_ASSERT(pool.count == 2 && p.map.count == 2 && !knows(&p, 3));
	CU_ASSERT(put(&p, batch(1, 0, 0, 1), 9) == TK_SEQUENCE_DUPLICATE);
	CU_ASSERT(put(&p, batch(1, 0, 1, 1), 2) == TK_SEQUENCE_NEXT);
	tk_producers_free(&p);
	CU_ASSERT(pool.count == 0 && TAILQ_EMPTY(&pool.order));
}

/* ---- who is forgotten ---- */

static void
pool_of(struct tk_producer_pool *pool, size_t most)
{
	tk_producer_pool_init(pool);
	tk_producer_pool_limit(pool, (int64_t)(most * TK_PRODUCER_COST_BYTES), DAY_MS);
}

/* The longest idle of all partitions, not of the one that needs room. */
static void
test_evict(void)
{
	struct tk_producer_pool pool;
	struct tk_producers a = { .pool = &pool }, b = { .pool = &pool };

	pool_of(&pool, 4);
	tk_producers_join(&a, 0, 0);
	tk_producers_join(&b, 0, 0);
	CU_ASSERT(put(&a, batch(1, 0, 0, 1), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&b, batch(1, 0, 0, 1), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&a, batch(2, 0, 0, 1), 1) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&b, batch(2, 0, 0, 1), 1) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&a, batch(1, 0, 1, 1), 2) == TK_SEQUENCE_NEXT); /* heard of again */
	CU_ASSERT(put(&a, batch(3, 0, 0, 1), 3) == TK_SEQUENCE_NEXT);
	CU_ASSERT(pool.count == 4 && pool.evicted == 1);
	CU_ASSERT(!knows(&b, 1) && knows(&b, 2) && knows(&a, 1) && knows(&a, 2) && knows(&a, 3));
	CU_ASSERT(put(&a, batch(4, 0, 0, 1), 4) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&a, batch(5, 0, 0, 1), 5) == TK_SEQUENCE_NEXT);
	CU_ASSERT(!knows(&a, 2) && !knows(&b, 2) && knows(&a, 1));
	CU_ASSERT(b.map.count == 0 && b.map.buckets == NULL); /* costs nothing any more */
	/* It may go on with any sequence, as in Kafka. */
	CU_ASSERT(put(&b, batch(1, 0, 17, 1), 2) == TK_SEQUENCE_NEXT);
	/* A smaller bound holds at once. */
	tk_producer_pool_limit(&pool, 2 * (int64_t)TK_PRODUCER_COST_BYTES, DAY_MS);
	CU_ASSERT(pool.count == 2 && knows(&a, 5) && knows(&b, 1));
	tk_producers_free(&a);
	tk_producers_free(&b);
}

/* A run may exceed the bound; what it has touched is forgotten at its end, not before. */
static void
test_evict_after_run(void)
{
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };
	struct tk_batch_header header;

	pool_of(&pool, 2);
	tk_producers_join(&p, 0, 0);
	for (int i = 0; i < 5; i++) {
		header = batch(i, 0, 0, 1);
		header.base_offset = i;
		CU_ASSERT(tk_producers_apply(&p, &header) == 0);
	}
	CU_ASSERT(pool.count == 5 && pool.evicted == 0);
	tk_producers_commit(&p);
	CU_ASSERT(pool.count == 2 && pool.evicted == 3 && knows(&p, 3) && knows(&p, 4));
	tk_producers_free(&p);
}

static void
test_expire(void)
{
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };
	struct tk_batch_header old = batch(1, 0, 0, 1), ahead = batch(2, 0, 0, 1);

	pool_of(&pool, 100);
	tk_producers_join(&p, 0, 0);
	/* Timestamps are the client's and may be anything: it is heard of now. */
	old.max_timestamp = 5;
	ahead.max_timestamp = INT64_MAX;
	pool.now_ms = 1000;
	CU_ASSERT(put(&p, old, 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&p, ahead, 1) == TK_SEQUENCE_NEXT);
	pool.now_ms = 2000;
	old.base_sequence = 1;
	CU_ASSERT(put(&p, old, 2) == TK_SEQUENCE_NEXT);
	CU_ASSERT(!tk_producer_pool_expire(&pool, 1000 + DAY_MS - 1) && pool.count == 2);
	CU_ASSERT(!tk_producer_pool_expire(&pool, 1000 + DAY_MS) && pool.count == 1);
	CU_ASSERT(pool.expired == 1 && !knows(&p, 2) && knows(&p, 1));
	CU_ASSERT(!tk_producer_pool_expire(&pool, 2000 + DAY_MS) && pool.count == 0);
	tk_producers_free(&p);
}

/* One check forgets a bounded number. */
static void
test_expire_many(void)
{
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };

	pool_of(&pool, 100000);
	tk_producers_join(&p, 0, 0);
	for (int i = 0; i < 5000; i++)
		CU_ASSERT(put(&p, batch(i, 0, 0, 1), i) == TK_SEQUENCE_NEXT);
	CU_ASSERT(tk_producer_pool_expire(&pool, DAY_MS) && pool.count > 0 && pool.count < 5000);
	CU_ASSERT(!tk_producer_pool_expire(&pool, DAY_MS) && pool.count == 0);
	tk_producers_free(&p);
}

/* ---- what comes from files ---- */

/* A state with these timestamps, one producer each, ids from 1 in the order of offsets. */
static void
make_snapshot(const int64_t timestamps[], int count, uint8_t **ret_data, size_t *ret_len)
{
	struct tk_producers p = { 0 };

	for (int i = 0; i < count; i++) {
		struct tk_batch_header header = batch(1000 - i, 0, 0, 1);

		header.max_timestamp = timestamps[i];
		CU_ASSERT(put(&p, header, i) == TK_SEQUENCE_NEXT);
	}
	CU_ASSERT(tk_producers_encode_snapshot(&p, ret_data, ret_len) == 0);
	tk_producers_free(&p);
}

/* Idle by the log's own time: a clock that is years ahead forgets nobody. */
static void
test_join_dates(void)
{
	const int64_t timestamps[] = { 10 * DAY_MS, 11 * DAY_MS, 3 * DAY_MS, 12 * DAY_MS,
		90 * DAY_MS };
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };
	uint8_t *data;
	size_t len;

	make_snapshot(timestamps, 4, &data, &len);
	pool_of(&pool, 100);
	CU_ASSERT(tk_producers_decode_snapshot(&p, data, len) == 0);
	tk_producers_join(&p, 500, 4000 * DAY_MS);
	tk_producer_pool_limit(&pool, INT64_MAX, DAY_MS + 1);
	CU_ASSERT(put(&p, batch(999, 0, 1, 1), 4) == TK_SEQUENCE_NEXT);
	CU_ASSERT(!tk_producer_pool_expire(&pool, 500));
	/* 999 and 998 came with or after the one of day 11, whatever 998 says. */
	CU_ASSERT(!knows(&p, 1000) && knows(&p, 999) && knows(&p, 998) && knows(&p, 997));
	tk_producers_free(&p);
	free(data);
	/* A client's timestamp ahead of the clock counts as the clock's: here day 12. */
	make_snapshot(timestamps, 5, &data, &len);
	CU_ASSERT(tk_producers_decode_snapshot(&p, data, len) == 0);
	tk_producers_join(&p, 500, 12 * DAY_MS);
	CU_ASSERT(!tk_producer_pool_expire(&pool, 500));
	CU_ASSERT(pool.count == 4 && !knows(&p, 1000));
	tk_producers_free(&p);
	free(data);
}

/* Loading keeps to the bound: the newest of what is read, and those heard of stay. */
static void
test_load_bound(void)
{
	const int64_t timestamps[6] = { 0 };
	struct tk_producer_pool pool;
	struct tk_producers a = { .pool = &pool }, b = { .pool = &pool };
	uint8_t *data;
	size_t len;

	make_snapshot(timestamps, 6, &data, &len);
	pool_of(&pool, 4);
	tk_producers_join(&a, 0, 0);
	CU_ASSERT(put(&a, batch(1, 0, 0, 1), 0) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&a, batch(2, 0, 0, 1), 1) == TK_SEQUENCE_NEXT);
	CU_ASSERT(tk_producers_decode_snapshot(&b, data, len) == 0);
	CU_ASSERT(pool.count == 4 && b.map.count == 2);
	tk_producers_join(&b, 0, 0);
	CU_ASSERT(knows(&b, 995) && knows(&b, 996) && !knows(&b, 997));
	CU_ASSERT(pool.evicted == 4);
	CU_ASSERT(put(&a, batch(3, 0, 0, 1), 2) == TK_SEQUENCE_NEXT);
	CU_ASSERT(put(&a, batch(4, 0, 0, 1), 3) == TK_SEQUENCE_NEXT);
	CU_ASSERT(b.map.count == 0 && knows(&a, 1) && knows(&a, 2));
	tk_producers_free(&a);
	tk_producers_free(&b);
	free(data);
}

/* Our file knows when each was heard of; a replayed batch comes after. */
static void
test_ours_keeps_dates(void)
{
	const struct tk_producers_place place = { .offset = 9 };
	struct tk_producers_place found;
	struct tk_producer_pool pool;
	struct tk_producers p = { .pool = &pool };
	uint8_t *data;
	size_t len;

	pool_of(&pool, 100);
	tk_producers_join(&p, 0, 0);
	pool.now_ms = 1000;
	CU_ASSERT(put(&p, batch(1, 0, 0, 1), 0) == TK_SEQUENCE_NEXT);
	pool.now_ms = 9000;
	CU_ASSERT(put(&p, batch(2, 0, 0, 1), 1) == TK_SEQUENCE_NEXT);
	CU_ASSERT(tk_producers_encode(&p, &place, &data, &len) == 0);
	tk_producers_free(&p);
	CU_ASSERT(tk_producers_decode(&p, data, len, &found) == 0);
	CU_ASSERT(put(&p, batch(1, 0, 1, 1), 2) == TK_SEQUENCE_NEXT); /* replayed */
	tk_producers_join(&p, 20000, 0);
	CU_ASSERT(!tk_producer_pool_expire(&pool, 9000 + DAY_MS));
	CU_ASSERT(knows(&p, 1) && !knows(&p, 2));
	tk_producers_free(&p);
	free(data);
}

/* A snapshot that names a producer twice is damaged. */
static void
test_twice(void)
{
	const int64_t timestamps[2] = { 0 };
	struct tk_producers p = { 0 };
	uint8_t *data;
	size_t len;

	make_snapshot(timestamps, 2, &data, &len);
	__builtin_memcpy(data + 10, data + 10 + 46, 46);
	tk_be32_put(data + 2, tk_crc32c(0, data + 6, len - 6));
	CU_ASSERT(tk_producers_decode_snapshot(&p, data, len) == -EBADMSG);
	CU_ASSERT(p.map.count == 0);
	free(data);
	tk_producers_free(&p);
}

TK_UNIT_MAIN("producers", { "epochs", test_epochs }, { "control batches", test_control },
    { "sequences go round", test_round }, { "older than five", test_old_duplicate },
    { "a failed run", test_failed_run }, { "no room", test_evict },
    { "no room in a run", test_evict_after_run }, { "idle", test_expire },
    { "many idle", test_expire_many }, { "dates of what is read", test_join_dates },
    { "loading within the bound", test_load_bound }, { "ours keeps dates", test_ours_keeps_dates },
    { "twice in a snapshot", test_twice })
