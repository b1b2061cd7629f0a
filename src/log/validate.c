/*
 * Validation of produced batches, as Kafka's ProduceRequest and LogValidator do it.  Worker; no
 * state; what bounds it is the batch: the walk touches each record once and copies nothing.  A
 * compressed batch is inflated only for compacted topics, and where the topic says how old records
 * may be: in pieces of a few KiB, up to INFLATE_MAX.
 *
 * Where we ask for more than Kafka does: no bytes behind the batch (Kafka drops them), offset
 * deltas that count 0, 1, 2... (Kafka renumbers), lengths below -1, a transactional batch without a
 * producer, timestamp type and delete horizon, which are the broker's to set.  A batch without a
 * producer may have any epoch and sequence: clients are known to send 0.
 */
#include "log/validate.h"

#include "base/crc32c.h"
#include "log/batch_records.h"
#include "wire/error_codes.h"

#define PRODUCE_VERSION_ZSTD 7
#define INFLATE_MAX          ((uint64_t)1 << 30) /* of one batch; it passes through 4 KiB */
#define LENGTH_LEAST         14 /* of the oldest format: below it Kafka's framing gives up */
#define RECORDS_AHEAD        (uintptr_t)8
#define MAGIC_AT             16u /* the magic byte is at the same place in all formats */

static int16_t
refuse(struct tk_batch_verdict *verdict, enum tk_error error, const char *message)
{
	verdict->message = message;
	return (int16_t)error;
}

static int16_t
refuse_record(
    struct tk_batch_verdict *verdict, int32_t index, enum tk_error error, const char *message)
{
	verdict->record_index = index;
	return refuse(verdict, error, message);
}

/* Exactly one batch of the format we keep: what needs no more than length and magic. */
static int16_t
check_frame(const uint8_t *data, uint32_t len, struct tk_batch_verdict *verdict)
{
	struct tk_batch_header *header = &verdict->header;

	if (len < TK_BATCH_LENGTH_PREFIX)
		return refuse(verdict, TK_ERR_INVALID_RECORD, "there is no record batch");
	if (len >= TK_BATCH_HEADER_BYTES) {
		tk_batch_header_read(data, header);
	} else {
		uint8_t bytes[TK_BATCH_HEADER_BYTES] = { 0 };

		__builtin_memcpy(bytes, data, len);
		tk_batch_header_read(bytes, header);
	}
	if (header->length < LENGTH_LEAST)
		return refuse(verdict, TK_ERR_CORRUPT_MESSAGE, "the batch's length is too small");
	if (len <= MAGIC_AT)
		return refuse(verdict, TK_ERR_INVALID_RECORD, "the record batch is not whole");
	if (header->magic < 0 || header->magic > 2)
		return refuse(verdict, TK_ERR_CORRUPT_MESSAGE, "the batch's magic is unknown");
	if (tk_batch_size(header) > len)
		return refuse(verdict, TK_ERR_INVALID_RECORD, "the record batch is not whole");
	if (header->magic != 2)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "only record batches of magic 2 can be produced");
	if (tk_batch_size(header) < len)
		return refuse(
		    verdict, TK_ERR_INVALID_RECORD, "there is more than exactly one record batch");
	if (len < TK_BATCH_HEADER_BYTES)
		return refuse(
		    verdict, TK_ERR_CORRUPT_MESSAGE, "the record batch is smaller than its header");
	return TK_ERR_NONE;
}

/* Attributes, codec and size. */
static int16_t
check_kind(const struct tk_batch_rules *rules, struct tk_batch_verdict *verdict)
{
	const struct tk_batch_header *header = &verdict->header;
	int codec = header->attributes & TK_BATCH_CODEC_MASK;

	if (codec > TK_CODEC_ZSTD)
		return refuse(verdict, TK_ERR_UNSUPPORTED_COMPRESSION_TYPE,
		    "the compression type is unknown");
	if (codec == TK_CODEC_ZSTD && rules->produce_version < PRODUCE_VERSION_ZSTD)
		return refuse(verdict, TK_ERR_UNSUPPORTED_COMPRESSION_TYPE,
		    "zstd needs Produce version 7 or later");
	if (rules->max_message_bytes > 0 && tk_batch_size(header) > rules->max_message_bytes)
		return refuse(verdict, TK_ERR_MESSAGE_TOO_LARGE,
		    "the record batch is larger than max.message.bytes");
	if ((header->attributes & TK_BATCH_CONTROL) != 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "clients are not allowed to write control records");
	if ((header->attributes & TK_BATCH_DELETE_HORIZON) != 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "clients are not allowed to set a delete horizon");
	if ((header->attributes & TK_BATCH_LOG_APPEND) != 0)
		return refuse(verdict, TK_ERR_INVALID_TIMESTAMP,
		    "producers must not set the timestamp type to LogAppendTime");
	return TK_ERR_NONE;
}

/* Offsets, count and producer. */
static int16_t
check_numbers(struct tk_batch_verdict *verdict)
{
	const struct tk_batch_header *header = &verdict->header;

	if (header->base_offset != 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "the base offset of a produced batch must be 0");
	if (header->records_count <= 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD, "the batch has no records");
	if (header->last_offset_delta != header->records_count - 1)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "the last offset delta does not agree with the number of records");
	if (header->producer_id < -1)
		return refuse(verdict, TK_ERR_INVALID_RECORD, "the producer id is negative");
	if (header->producer_id >= 0 && header->producer_epoch < 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "the batch has a producer id and no producer epoch");
	if (header->producer_id >= 0 && header->base_sequence < 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "the batch has a producer id and no sequence number");
	if (header->producer_id < 0 && (header->attributes & TK_BATCH_TRANSACTIONAL) != 0)
		return refuse(verdict, TK_ERR_INVALID_RECORD,
		    "the batch is transactional and has no producer id");
	return TK_ERR_NONE;
}

/*
 * The timestamps that are allowed, as bounds that comparing needs no care with: differences past 64
 * bits mean there is no bound on that side.
 */
struct timestamp_bounds {
	int64_t least, most;
};

static struct timestamp_bounds
timestamp_bounds(const struct tk_batch_rules *rules)
{
	struct timestamp_bounds bounds = { INT64_MIN, INT64_MAX };

	if (rules->log_append_time)
		return bounds;
	if (rules->timestamp_before_max_ms != INT64_MAX &&
	    __builtin_sub_overflow(rules->now_ms, rules->timestamp_before_max_ms, &bounds.least))
		bounds.least = INT64_MIN;
	if (rules->timestamp_after_max_ms != INT64_MAX &&
	    __builtin_add_overflow(rules->now_ms, rules->timestamp_after_max_ms, &bounds.most))
		bounds.most = INT64_MAX;
	return bounds;
}

static inline bool
timestamp_allowed(const struct timestamp_bounds *bounds, int64_t timestamp)
{
	return timestamp == -1 || (timestamp >= bounds->least && timestamp <= bounds->most);
}

/*
 * Records are mostly of a size, and the walk touches little of each: without a hint it waits for
 * memory at every one.  The address may be anywhere; it is not read.
 */
static inline void
prefetch_ahead(const uint8_t *at, int32_t body_bytes)
{
	__builtin_prefetch((const void *)((uintptr_t)at + RECORDS_AHEAD * (uint32_t)body_bytes));
}

/* Every record of an uncompressed batch. */
static int16_t
check_records(const uint8_t *data, uint32_t len, const struct tk_batch_rules *rules,
    struct tk_batch_verdict *verdict)
{
	const struct timestamp_bounds bounds = timestamp_bounds(rules);
	const uint64_t base_timestamp = (uint64_t)verdict->header.base_timestamp;
	const int32_t count = verdict->header.records_count;
	const uint8_t *at = data + TK_BATCH_HEADER_BYTES, *end = data + len;
	int64_t max_timestamp = -1;

	for (int32_t i = 0; i < count; i++) {
		struct tk_record record;
		int64_t timestamp;

		at = tk_record_parse(at, end, &record);
		if (at == NULL)
			return refuse_record(
			    verdict, i, TK_ERR_INVALID_RECORD, "the record does not hold together");
		prefetch_ahead(at, record.head.body_bytes);
		if (record.head.offset_delta != i)
			return refuse_record(verdict, i, TK_ERR_INVALID_RECORD,
			    "the record's offset delta is not its place in the batch");
		timestamp = (int64_t)(base_timestamp + (uint64_t)record.head.timestamp_delta);
		if (!timestamp_allowed(&bounds, timestamp))
			return refuse_record(verdict, i, TK_ERR_INVALID_TIMESTAMP,
			    "the record's timestamp is out of the range that is allowed");
		if (rules->compacted && record.key.data == NULL)
			return refuse_record(verdict, i, TK_ERR_INVALID_RECORD,
			    "a compacted topic takes no record without a key");
		max_timestamp = TK_MAX(max_timestamp, timestamp);
	}
	if (at != end)
		return refuse(
		    verdict, TK_ERR_INVALID_RECORD, "there are bytes behind the last record");
	verdict->max_timestamp = max_timestamp;
	verdict->walked = true;
	return TK_ERR_NONE;
}

/* One record of a compressed batch. */
static int16_t
check_inflated_record(struct tk_record_walk *walk, const struct tk_record_head *head, int32_t index,
    const struct tk_batch_rules *rules, const struct timestamp_bounds *bounds,
    struct tk_batch_verdict *verdict)
{
	int64_t timestamp =
	    (int64_t)((uint64_t)verdict->header.base_timestamp + (uint64_t)head->timestamp_delta);
	int32_t key_len = 0;

	if (head->offset_delta != index)
		return refuse_record(verdict, index, TK_ERR_INVALID_RECORD,
		    "the record's offset delta is not its place in the batch");
	if (!timestamp_allowed(bounds, timestamp))
		return refuse_record(verdict, index, TK_ERR_INVALID_TIMESTAMP,
		    "the record's timestamp is out of the range that is allowed");
	if (rules->compacted && tk_record_walk_key(walk, &key_len) < 0)
		return refuse_record(verdict, index, TK_ERR_INVALID_RECORD,
		    "the compressed records do not hold together");
	if (rules->compacted && key_len < 0)
		return refuse_record(verdict, index, TK_ERR_INVALID_RECORD,
		    "a compacted topic takes no record without a key");
	return TK_ERR_NONE;
}

/*
 * The records of a compressed batch, where the topic asks for more than its header says: a key in
 * each, or timestamps that are not too old.
 */
static int16_t
check_inflated(const uint8_t *data, uint32_t len, const struct tk_batch_rules *rules,
    const struct timestamp_bounds *bounds, struct tk_batch_verdict *verdict)
{
	enum tk_codec codec = verdict->header.attributes & TK_BATCH_CODEC_MASK;
	struct tk_inflate *stream;
	struct tk_record_walk walk;
	struct tk_record_head head;
	int16_t error = TK_ERR_NONE;
	int32_t count = 0;
	int rc = 1;

	if (tk_inflate_new_memory(codec, data + TK_BATCH_HEADER_BYTES, len - TK_BATCH_HEADER_BYTES,
		INFLATE_MAX, &stream) < 0)
		return refuse(verdict, TK_ERR_KAFKA_STORAGE_ERROR,
		    "there is no memory to look into the batch");
	tk_record_walk_init(&walk, stream);
	while (error == TK_ERR_NONE && count <= verdict->header.records_count &&
	       (rc = tk_record_walk_next(&walk, &head)) > 0)
		error = check_inflated_record(&walk, &head, count++, rules, bounds, verdict);
	tk_inflate_free(&stream);
	if (error == TK_ERR_NONE && (rc != 0 || count != verdict->header.records_count))
		error = refuse_record(verdict, rc < 0 ? count : -1, TK_ERR_INVALID_RECORD,
		    "the compressed records do not hold together");
	return error;
}

/* All of it behind the frame. */
static int16_t
check_content(const uint8_t *data, uint32_t len, const struct tk_batch_rules *rules,
    struct tk_batch_verdict *verdict)
{
	const struct timestamp_bounds bounds = timestamp_bounds(rules);
	int16_t error;

	error = check_kind(rules, verdict);
	if (error != TK_ERR_NONE)
		return error;
	error = check_numbers(verdict);
	if (error != TK_ERR_NONE)
		return error;
	if ((verdict->header.attributes & TK_BATCH_CODEC_MASK) == TK_CODEC_NONE)
		return check_records(data, len, rules, verdict);
	verdict->max_timestamp = verdict->header.max_timestamp;
	if (!timestamp_allowed(&bounds, verdict->header.max_timestamp))
		return refuse(verdict, TK_ERR_INVALID_TIMESTAMP,
		    "the batch's largest timestamp is out of the range that is allowed");
	if (rules->compacted || bounds.least != INT64_MIN)
		return check_inflated(data, len, rules, &bounds, verdict);
	return TK_ERR_NONE;
}

int16_t
tk_batch_validate(const uint8_t *data, uint32_t len, const struct tk_batch_rules *rules,
    struct tk_batch_verdict *ret_verdict)
{
	int16_t error;

	*ret_verdict = (struct tk_batch_verdict){ .max_timestamp = -1, .record_index = -1 };
	error = check_frame(data, len, ret_verdict);
	if (error != TK_ERR_NONE)
		return error;
	error = check_content(data, len, rules, ret_verdict);
	if (error == TK_ERR_NONE || error == TK_ERR_MESSAGE_TOO_LARGE)
		return error;
	if (tk_crc32c(0, data + TK_BATCH_CRC_FROM, len - TK_BATCH_CRC_FROM) ==
	    ret_verdict->header.crc)
		return error;
	ret_verdict->record_index = -1;
	return refuse(ret_verdict, TK_ERR_CORRUPT_MESSAGE, "the checksum does not match");
}
