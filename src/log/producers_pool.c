/*
 * Which producers are forgotten: the pool of a writer's.  See producers.h.
 *
 * A list in the order in which they were heard of.  One batch moves its producer to the end, so
 * that the longest idle is at hand without a search.  What is read from files joins at the front:
 * whatever is in the list already was heard of by this process, or read before.
 *
 * Idle time is measured by the monotonic clock, so that setting the date forgets nobody.  Across a
 * boot there are only the batches' timestamps.  A batch was appended no earlier than those before
 * it in the log: the highest timestamp up to it stands for its time, and is compared with the
 * highest of all, not with a clock that may be wrong; the wall clock only cuts timestamps that are
 * ahead of it.  An error is on the side of keeping a producer for longer; the bound on memory holds
 * either way.
 *
 * The writer's thread has the pool.  Recovery's threads touch the count alone (atomic), and beyond
 * the bound forget the oldest of the partition they read.
 */
#include <stdlib.h>

#include "log/producers_private.h"

#define EXPIRE_MOST 4096u /* at a time */
#define LOOKED_MOST 64u   /* with open transactions, to find one that may go */

static struct tk_producer_order *
order_of(struct tk_producers *producers)
{
	if (producers->joined)
		return &producers->pool->order;
	if (producers->order.tqh_last == NULL)
		TAILQ_INIT(&producers->order);
	return &producers->order;
}

static bool
pool_is_full(const struct tk_producer_pool *pool)
{
	return __atomic_load_n(&pool->count, __ATOMIC_RELAXED) >= pool->count_max;
}

static void
pool_count(struct tk_producer_pool *pool, size_t by)
{
	if (pool != NULL)
		(void)__atomic_fetch_add(&pool->count, by, __ATOMIC_RELAXED);
}

void
tk_producer_enter(struct tk_producers *producers, struct tk_producer *producer)
{
	struct tk_producer_order *order = order_of(producers);
	struct tk_producer_pool *pool = producers->pool;

	/* One that has joined is trimmed at the end of the run. */
	if (pool != NULL && !producers->joined && pool_is_full(pool) && !TAILQ_EMPTY(order)) {
		tk_producer_forget(TAILQ_FIRST(order));
		(void)__atomic_fetch_add(&pool->evicted, 1, __ATOMIC_RELAXED);
	}
	producer->owner = producers;
	producer->heard_ms = TK_HEARD_UNKNOWN;
	TAILQ_INSERT_TAIL(order, producer, order_link);
	tk_map_put(&producers->map, &producer->node, &producer->id, sizeof(producer->id));
	pool_count(pool, 1);
}

void
tk_producer_heard(struct tk_producer *producer)
{
	struct tk_producer_order *order = order_of(producer->owner);

	producer->heard_ms =
	    producer->owner->joined ? producer->owner->pool->now_ms : TK_HEARD_UNKNOWN;
	TAILQ_REMOVE(order, producer, order_link);
	TAILQ_INSERT_TAIL(order, producer, order_link);
}

void
tk_producer_forget(struct tk_producer *producer)
{
	struct tk_producers *producers = producer->owner;

	if (producers->joined && producers->pool->last == producer)
		producers->pool->last = NULL;
	TAILQ_REMOVE(order_of(producers), producer, order_link);
	tk_map_remove(&producers->map, &producer->node);
	if (producers->map.count == 0)
		tk_map_free(&producers->map); /* a partition without producers costs nothing */
	pool_count(producers->pool, (size_t)-1);
	free(producer);
}

void
tk_producer_pool_init(struct tk_producer_pool *pool)
{
	*pool = (struct tk_producer_pool){ .count_max = SIZE_MAX, .expiration_ms = INT64_MAX };
	TAILQ_INIT(&pool->order);
}

void
tk_producer_pool_limit(struct tk_producer_pool *pool, int64_t max_bytes, int64_t expiration_ms)
{
	tk_assert(max_bytes > 0 && expiration_ms > 0);
	pool->count_max = TK_MAX((size_t)max_bytes / TK_PRODUCER_COST_BYTES, (size_t)1);
	pool->expiration_ms = expiration_ms;
	tk_producer_pool_trim(pool);
}

/* When each was heard of that does not know it; see the head. */
static void
date_producers(struct tk_producer_order *order, int64_t now_ms, int64_t wall_ms)
{
	struct tk_producer *producer;
	int64_t newest = -1, seen = -1;

	TAILQ_FOREACH (producer, order, order_link)
		if (producer->heard_ms == TK_HEARD_UNKNOWN)
			newest = TK_MAX(newest, TK_MIN(producer->last_timestamp, wall_ms));
	TAILQ_FOREACH (producer, order, order_link) {
		if (producer->heard_ms != TK_HEARD_UNKNOWN)
			continue;
		seen = TK_MAX(seen, TK_MIN(producer->last_timestamp, wall_ms));
		producer->heard_ms = seen < 0 ? now_ms : now_ms - (newest - seen);
	}
}

void
tk_producers_join(struct tk_producers *producers, int64_t now_ms, int64_t wall_ms)
{
	struct tk_producer_order *order = order_of(producers);
	struct tk_producer_pool *pool = producers->pool;

	if (pool == NULL || producers->joined)
		return;
	date_producers(order, now_ms, wall_ms);
	producers->joined = true;
	TAILQ_CONCAT(order, &pool->order, order_link);
	TAILQ_CONCAT(&pool->order, order, order_link);
	tk_producer_pool_trim(pool);
}

void
tk_producer_pool_trim(struct tk_producer_pool *pool)
{
	struct tk_producer *producer;

	for (unsigned kept = 0; __atomic_load_n(&pool->count, __ATOMIC_RELAXED) > pool->count_max &&
				kept < LOOKED_MOST;) {
		producer = TAILQ_FIRST(&pool->order);
		if (producer == NULL)
			break; /* the rest has not joined */
		if (producer->txn_first_offset >= 0) {
			kept++;
			TAILQ_REMOVE(&pool->order, producer, order_link);
			TAILQ_INSERT_TAIL(&pool->order, producer, order_link);
			continue;
		}
		tk_producer_forget(producer);
		pool->evicted++;
	}
}

bool
tk_producer_pool_expire(struct tk_producer_pool *pool, int64_t now_ms)
{
	struct tk_producer *producer, *next;
	unsigned looked = 0;

	for (producer = TAILQ_FIRST(&pool->order); producer != NULL; producer = next) {
		next = TAILQ_NEXT(producer, order_link);
		if (now_ms - producer->heard_ms < pool->expiration_ms)
			return false;
		if (looked++ == EXPIRE_MOST)
			return true;
		if (producer->txn_first_offset >= 0)
			continue; /* Kafka keeps those as well */
		tk_producer_forget(producer);
		pool->expired++;
	}
	return false;
}
