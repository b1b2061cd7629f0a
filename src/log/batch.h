/*
 * Record batches of magic 2, the unit of everything: on the wire, in the page cache, on the disk.
 *
 * tk_batch_header_read() copies the 61 header bytes into a struct; nothing here trusts a length
 * before it was compared with the bytes that are there.
 */
#ifndef TK_LOG_BATCH_H
#define TK_LOG_BATCH_H

#include "takhin/base.h"

#define TK_BATCH_HEADER_BYTES   61u
#define TK_BATCH_LENGTH_PREFIX  12u /* base offset and length: what length does not count */
#define TK_BATCH_CRC_FROM       21u /* the checksum covers from here to the end */
#define TK_BATCH_CODEC_MASK     0x07
#define TK_BATCH_LOG_APPEND     0x08
#define TK_BATCH_TRANSACTIONAL  0x10
#define TK_BATCH_CONTROL        0x20
#define TK_BATCH_DELETE_HORIZON 0x40

enum tk_codec { TK_CODEC_NONE, TK_CODEC_GZIP, TK_CODEC_SNAPPY, TK_CODEC_LZ4, TK_CODEC_ZSTD };

struct tk_batch_header {
	int64_t base_offset;
	int32_t length;
	int32_t leader_epoch;
	int8_t magic;
	uint32_t crc;
	int16_t attributes;
	int32_t last_offset_delta;
	int64_t base_timestamp;
	int64_t max_timestamp;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int32_t records_count;
};

/* Decodes the first 61 bytes; no judgement. */
void tk_batch_header_read(
    const uint8_t bytes[TK_BATCH_HEADER_BYTES], struct tk_batch_header *ret_header);

/* Encodes a header into 61 bytes. */
void tk_batch_header_write(
    const struct tk_batch_header *header, uint8_t bytes[TK_BATCH_HEADER_BYTES]);

/* Whole size in bytes of the batch; 64 bits, since length is a peer's. */
static inline int64_t
tk_batch_size(const struct tk_batch_header *header)
{
	return (int64_t)header->length + TK_BATCH_LENGTH_PREFIX;
}

static inline int64_t
tk_batch_last_offset(const struct tk_batch_header *header)
{
	return header->base_offset + header->last_offset_delta;
}

/*
 * The checks of a header that need nothing but itself (magic, length, counts, attributes), for
 * batches found in a file: 0, or -EBADMSG.
 */
int tk_batch_header_check(const struct tk_batch_header *header) TK_MUST_CHECK;

#endif
