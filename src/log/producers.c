/*
 * Sequences of idempotent producers.  Writer process; see producers.h.
 */
#include "log/producers_private.h"

#include <stdlib.h>

#define NO_EPOCH    (-1)
#define NO_SEQUENCE (-1)

struct tk_producer_undo {
	struct tk_producer_undo *next;
	struct tk_producer *producer;
	struct tk_producer former;
	bool is_new; /* the run made it */
};

static bool
same_producer(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct tk_producer *producer = TK_CONTAINER_OF(node, const struct tk_producer, node);

	return len == sizeof(producer->id) &&
	       __builtin_memcmp(key, &producer->id, sizeof(producer->id)) == 0;
}

/* A batch is checked and then applied: the second time its producer is at hand. */
static struct tk_producer *
find_last(const struct tk_producers *producers, int64_t id)
{
	struct tk_producer *last = producers->joined ? producers->pool->last : NULL;

	return last != NULL && last->owner == producers && last->id == id ? last : NULL;
}

struct tk_producer *
tk_producer_find(const struct tk_producers *producers, int64_t id)
{
	struct tk_producer *producer = find_last(producers, id);
	struct tk_map_node *node;

	if (producer != NULL)
		return producer;
	node = tk_map_find(&producers->map, &id, sizeof(id), same_producer);
	if (node == NULL)
		return NULL;
	producer = TK_CONTAINER_OF(node, struct tk_producer, node);
	if (producers->joined)
		producers->pool->last = producer;
	return producer;
}

/* Sequences run from 0 to 2^31 - 1 and round. */
static int32_t
sequence_add(int32_t sequence, int32_t n)
{
	return (int32_t)(((int64_t)sequence + n) & INT32_MAX);
}

static int32_t
sequence_sub(int32_t sequence, int32_t n)
{
	return (int32_t)(((int64_t)sequence - n) & INT32_MAX);
}

static bool
find_duplicate(const struct tk_producer *producer, const struct tk_batch_header *header,
    struct tk_producer_batch *ret_duplicate)
{
	int32_t last = sequence_add(header->base_sequence, header->last_offset_delta);

	for (uint32_t i = 0; i < producer->count; i++) {
		const struct tk_producer_batch *batch = &producer->batches[i];

		if (batch->last_sequence == last &&
		    sequence_sub(batch->last_sequence, batch->offset_delta) ==
			header->base_sequence) {
			*ret_duplicate = *batch;
			return true;
		}
	}
	return false;
}

enum tk_sequence
tk_producers_check(const struct tk_producers *producers, const struct tk_batch_header *header,
    struct tk_producer_batch *ret_duplicate)
{
	const struct tk_producer *producer = tk_producer_find(producers, header->producer_id);
	bool control = (header->attributes & TK_BATCH_CONTROL) != 0;
	int32_t last;

	if (producer == NULL || producer->epoch == NO_EPOCH)
		return TK_SEQUENCE_NEXT;
	if (!control && header->producer_epoch == producer->epoch &&
	    find_duplicate(producer, header, ret_duplicate))
		return TK_SEQUENCE_DUPLICATE;
	if (header->producer_epoch < producer->epoch)
		return TK_SEQUENCE_OLD_EPOCH;
	if (control)
		return TK_SEQUENCE_NEXT;
	if (header->producer_epoch != producer->epoch)
		return header->base_sequence == 0 ? TK_SEQUENCE_NEXT : TK_SEQUENCE_OUT_OF_ORDER;
	last = producer->count == 0 ? NO_SEQUENCE
				    : producer->batches[producer->count - 1].last_sequence;
	if (header->base_sequence == last + (int64_t)1 ||
	    (header->base_sequence == 0 && last == INT32_MAX))
		return TK_SEQUENCE_NEXT;
	return TK_SEQUENCE_OUT_OF_ORDER;
}

static struct tk_producer *
producer_add(struct tk_producers *producers, int64_t id)
{
	struct tk_producer *producer = calloc(1, sizeof(*producer));

	if (producer == NULL)
		return NULL;
	producer->id = id;
	producer->epoch = NO_EPOCH;
	producer->coordinator_epoch = -1;
	producer->txn_first_offset = -1;
	tk_producer_enter(producers, producer);
	return producer;
}

/* The producer of this id, its state before the run saved. */
static struct tk_producer *
producer_touch(struct tk_producers *producers, int64_t id)
{
	struct tk_producer *producer = tk_producer_find(producers, id);
	struct tk_producer_undo *undo;
	bool is_new = producer == NULL;

	if (!is_new && producer->saved)
		return producer;
	undo = malloc(sizeof(*undo));
	if (undo == NULL)
		return NULL;
	if (is_new)
		producer = producer_add(producers, id);
	if (producer == NULL) {
		free(undo);
		return NULL;
	}
	*undo = (struct tk_producer_undo){ producers->undo, producer, *producer, is_new };
	producers->undo = undo;
	producer->saved = true;
	return producer;
}

static void
add_batch(struct tk_producer *producer, const struct tk_batch_header *header)
{
	struct tk_producer_batch *batches = producer->batches;

	if (producer->count == TK_PRODUCER_BATCHES) {
		__builtin_memmove(
		    batches, batches + 1, sizeof(*batches) * (TK_PRODUCER_BATCHES - 1));
		producer->count--;
	}
	batches[producer->count++] =
	    (struct tk_producer_batch){ .last_offset = tk_batch_last_offset(header),
		    .timestamp = header->max_timestamp,
		    .last_sequence = sequence_add(header->base_sequence, header->last_offset_delta),
		    .offset_delta = header->last_offset_delta };
}

int
tk_producers_apply(struct tk_producers *producers, const struct tk_batch_header *header)
{
	struct tk_producer *producer;

	if (header->producer_id < 0)
		return 0;
	producer = producer_touch(producers, header->producer_id);
	if (producer == NULL)
		return -ENOMEM;
	tk_producer_heard(producer);
	producer->last_timestamp = header->max_timestamp;
	if (producer->epoch != header->producer_epoch) {
		producer->epoch = header->producer_epoch;
		producer->count = 0;
	}
	if ((header->attributes & TK_BATCH_CONTROL) == 0)
		add_batch(producer, header);
	return 0;
}

void
tk_producers_commit(struct tk_producers *producers)
{
	while (producers->undo != NULL) {
		struct tk_producer_undo *undo = producers->undo;

		producers->undo = undo->next;
		undo->producer->saved = false;
		free(undo);
	}
	if (producers->joined)
		tk_producer_pool_trim(producers->pool);
}

void
tk_producers_rollback(struct tk_producers *producers)
{
	while (producers->undo != NULL) {
		struct tk_producer_undo *undo = producers->undo;
		struct tk_producer *producer = undo->producer;

		producers->undo = undo->next;
		if (undo->is_new) {
			tk_producer_forget(producer);
		} else {
			undo->former.node = producer->node;
			undo->former.order_link = producer->order_link;
			*producer = undo->former;
		}
		free(undo);
	}
}

void
tk_producers_free(struct tk_producers *producers)
{
	struct tk_map_node *node;

	tk_producers_rollback(producers);
	while ((node = tk_map_next(&producers->map, NULL)) != NULL)
		tk_producer_forget(TK_CONTAINER_OF(node, struct tk_producer, node));
	tk_map_free(&producers->map);
	*producers = (struct tk_producers){ .pool = producers->pool };
}
