/*
 * Record batch headers, to and from bytes.  Any process; no state.
 */
#include "log/batch.h"

#include "base/endian.h"

void
tk_batch_header_read(const uint8_t bytes[TK_BATCH_HEADER_BYTES], struct tk_batch_header *ret_header)
{
	*ret_header = (struct tk_batch_header){
		.base_offset = (int64_t)tk_be64_get(bytes),
		.length = (int32_t)tk_be32_get(bytes + 8),
		.leader_epoch = (int32_t)tk_be32_get(bytes + 12),
		.magic = (int8_t)bytes[16],
		.crc = tk_be32_get(bytes + 17),
		.attributes = (int16_t)tk_be16_get(bytes + 21),
		.last_offset_delta = (int32_t)tk_be32_get(bytes + 23),
		.base_timestamp = (int64_t)tk_be64_get(bytes + 27),
		.max_timestamp = (int64_t)tk_be64_get(bytes + 35),
		.producer_id = (int64_t)tk_be64_get(bytes + 43),
		.producer_epoch = (int16_t)tk_be16_get(bytes + 51),
		.base_sequence = (int32_t)tk_be32_get(bytes + 53),
		.records_count = (int32_t)tk_be32_get(bytes + 57),
	};
}

void
tk_batch_header_write(const struct tk_batch_header *header, uint8_t bytes[TK_BATCH_HEADER_BYTES])
{
	tk_be64_put(bytes, (uint64_t)header->base_offset);
	tk_be32_put(bytes + 8, (uint32_t)header->length);
	tk_be32_put(bytes + 12, (uint32_t)header->leader_epoch);
	bytes[16] = (uint8_t)header->magic;
	tk_be32_put(bytes + 17, header->crc);
	tk_be16_put(bytes + 21, (uint16_t)header->attributes);
	tk_be32_put(bytes + 23, (uint32_t)header->last_offset_delta);
	tk_be64_put(bytes + 27, (uint64_t)header->base_timestamp);
	tk_be64_put(bytes + 35, (uint64_t)header->max_timestamp);
	tk_be64_put(bytes + 43, (uint64_t)header->producer_id);
	tk_be16_put(bytes + 51, (uint16_t)header->producer_epoch);
	tk_be32_put(bytes + 53, (uint32_t)header->base_sequence);
	tk_be32_put(bytes + 57, (uint32_t)header->records_count);
}

/*
 * Compaction leaves batches with fewer records than offsets, down to none; more records than
 * offsets there cannot be.
 */
int
tk_batch_header_check(const struct tk_batch_header *header)
{
	if (header->magic != 2)
		return -EBADMSG;
	if (header->length < (int32_t)(TK_BATCH_HEADER_BYTES - TK_BATCH_LENGTH_PREFIX))
		return -EBADMSG;
	if (header->base_offset < 0 || header->last_offset_delta < 0 ||
	    header->base_offset > INT64_MAX - 1 - header->last_offset_delta)
		return -EBADMSG;
	if (header->records_count < 0 ||
	    (int64_t)header->records_count > (int64_t)header->last_offset_delta + 1)
		return -EBADMSG;
	if ((header->attributes & TK_BATCH_CODEC_MASK) > TK_CODEC_ZSTD)
		return -EBADMSG;
	return 0;
}
