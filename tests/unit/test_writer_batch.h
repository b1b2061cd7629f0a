/*
 * Batches and frames for tests of the writer.
 */
#ifndef TK_TESTS_WRITER_BATCH_H
#define TK_TESTS_WRITER_BATCH_H

#include "server/frames.h"
#include "test_batch_make.h"

/* Writes a batch of count records; its length.  producer -1: not idempotent. */
static inline uint32_t
writer_batch(
    uint8_t *to, size_t room, int count, int64_t value_len, int64_t producer, int32_t sequence)
{
	struct tk_batch_header header = { .leader_epoch = -1,
		.magic = 2,
		.last_offset_delta = count - 1,
		.base_timestamp = 1700000000000,
		.max_timestamp = 1700000000000,
		.producer_id = producer,
		.producer_epoch = producer < 0 ? -1 : 0,
		.base_sequence = producer < 0 ? -1 : sequence,
		.records_count = count };
	struct make records = { 0 };
	uint8_t *batch;
	size_t len;

	for (int i = 0; i < count; i++)
		make_record(&records, 0, i, -1, value_len, 0);
	batch = make_batch(&header, &records);
	len = TK_BATCH_HEADER_BYTES + records.len;
	make_seal(batch, len);
	tk_assert(len <= room);
	memcpy(to, batch, len);
	free(batch);
	make_free(&records);
	return (uint32_t)len;
}

static inline struct tk_frame_append
append_frame(uint32_t slot, uint64_t incarnation, size_t at, uint32_t len)
{
	return (struct tk_frame_append){ .incarnation = incarnation,
		.arena_offset = at,
		.len = len,
		.slot = slot,
		.leader_epoch = -1 };
}

#endif
