/*
 * What of a batch goes into the offset map, and what of it stays.  Cleaner process, one thread.
 *
 * The rules are those of Kafka's Cleaner and MemoryRecords.filterTo.  A batch is judged whole
 * before a byte of it is written.  One whose inflated records are larger than the bound is left as
 * it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "cleaner/compact_private.h"
#include "log/batch_records.h"

#define RECORD_HEAD_ROOM (TK_RECORD_HEAD_MAX + 1)

/* The records of a batch as plain bytes. */
struct records {
	const uint8_t *at, *end;
};

/* ---- buffers ---- */

static int
buffer_room(struct compact_buffer *buffer, size_t more)
{
	size_t room = TK_MAX(buffer->room, (size_t)64 << 10);
	uint8_t *grown;

	if (buffer->room - buffer->len >= more)
		return 0;
	while (room - buffer->len < more)
		room *= 2;
	grown = realloc(buffer->data, room);
	if (grown == NULL)
		return -ENOMEM;
	buffer->data = grown;
	buffer->room = room;
	return 0;
}

static int
buffer_put(struct compact_buffer *buffer, const void *data, size_t len)
{
	int rc = buffer_room(buffer, len);

	if (rc < 0)
		return rc;
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	return 0;
}

static size_t
varint_put(uint8_t *at, int64_t value)
{
	uint64_t n = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	size_t len = 0;

	for (; n >= 0x80; n >>= 7)
		at[len++] = (uint8_t)(n | 0x80);
	at[len++] = (uint8_t)n;
	return len;
}

/* ---- records ---- */

static int
inflate_all(struct tk_compact *compact, struct tk_inflate *stream)
{
	struct compact_buffer *buffer = &compact->inflated;
	ssize_t got;

	buffer->len = 0;
	do {
		int rc = buffer_room(buffer, (size_t)16 << 10);

		if (rc < 0)
			return rc;
		got = tk_codec_read(stream, buffer->data + buffer->len, buffer->room - buffer->len);
		if (got > 0)
			buffer->len += (size_t)got;
	} while (got > 0);
	return (int)got;
}

/* -E2BIG: too large to be looked at. */
static int
records_open(
    struct tk_compact *compact, const struct compact_batch *batch, struct records *ret_records)
{
	enum tk_codec codec = batch->header.attributes & TK_BATCH_CODEC_MASK;
	const uint8_t *data = batch->bytes + TK_BATCH_HEADER_BYTES;
	size_t len = (size_t)batch->size - TK_BATCH_HEADER_BYTES;
	struct tk_inflate *stream;
	int rc;

	if (codec == TK_CODEC_NONE || batch->header.records_count == 0) {
		*ret_records = (struct records){ data, data + len };
		return 0;
	}
	rc = tk_inflate_new_memory(codec, data, len, compact->rules.batch_bytes_max, &stream);
	if (rc < 0)
		return rc;
	rc = inflate_all(compact, stream);
	tk_inflate_free(&stream);
	*ret_records = (struct records){ compact->inflated.data,
		compact->inflated.data + compact->inflated.len };
	return rc;
}

/* Whole and sound? */
static int
batch_check(const struct compact_batch *batch)
{
	if (tk_crc32c(0, batch->bytes + TK_BATCH_CRC_FROM,
		(size_t)batch->size - TK_BATCH_CRC_FROM) != batch->header.crc)
		return -EBADMSG;
	return 0;
}

static int
records_next(
    struct records *records, const struct tk_batch_header *header, struct tk_record *ret_record)
{
	const uint8_t *at = tk_record_parse(records->at, records->end, ret_record);

	if (at == NULL || ret_record->head.offset_delta < 0 ||
	    ret_record->head.offset_delta > header->last_offset_delta)
		return -EBADMSG;
	records->at = at;
	return 0;
}

static bool
is_control(const struct tk_batch_header *header)
{
	return (header->attributes & TK_BATCH_CONTROL) != 0;
}

/* A batch of a transaction that was aborted. */
static bool
is_aborted(const struct tk_compact *compact, const struct tk_batch_header *header)
{
	size_t low = 0, high = compact->aborted_count;

	if ((header->attributes & TK_BATCH_TRANSACTIONAL) == 0)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct compact_aborted *txn = &compact->aborted[middle];

		if (txn->producer_id > header->producer_id ||
		    (txn->producer_id == header->producer_id &&
			txn->first_offset > header->base_offset))
			high = middle;
		else
			low = middle + 1;
	}
	if (low == 0)
		return false;
	return compact->aborted[low - 1].producer_id == header->producer_id &&
	       compact->aborted[low - 1].last_offset >= header->base_offset;
}

/* ---- the first pass ---- */

void
compact_map_producer(struct tk_compact *compact, const struct tk_batch_header *header)
{
	size_t used = compact->map.used;
	struct tk_hash128 hash;

	if (header->producer_id < 0 || is_control(header) || compact->producers_full)
		return;
	hash = tk_offset_map_producer(&compact->map, header->producer_id);
	if (compact->producer_count >= compact->map.used_max / 2 ||
	    tk_offset_map_put(&compact->map, hash, tk_batch_last_offset(header)) < 0)
		compact->producers_full = true;
	compact->producer_count += compact->map.used - used;
}

int
compact_map_batch(struct tk_compact *compact, const struct compact_batch *batch)
{
	const struct tk_batch_header *header = &batch->header;
	struct tk_record record;
	struct records records;
	int rc;

	compact_map_producer(compact, header);
	if (batch->bytes == NULL || is_control(header) || is_aborted(compact, header))
		return 0;
	rc = batch_check(batch);
	if (rc == 0)
		rc = records_open(compact, batch, &records);
	if (rc < 0)
		return rc == -E2BIG ? 0 : rc;
	for (int32_t i = 0; i < header->records_count && rc == 0; i++) {
		rc = records_next(&records, header, &record);
		if (rc == 0 && record.key.data != NULL)
			rc = tk_offset_map_put(&compact->map,
			    tk_offset_map_key(&compact->map, record.key.data, record.key.len),
			    header->base_offset + record.head.offset_delta);
	}
	return rc;
}

/* ---- the second pass ---- */

/* What was found out about a batch's records. */
struct judgement {
	int32_t kept, tombstones; /* the second are among the first */
	int64_t max_timestamp;    /* of those kept */
};

static bool
keeps_tombstones(const struct tk_compact *compact, const struct tk_batch_header *header)
{
	return (header->attributes & TK_BATCH_DELETE_HORIZON) == 0 ||
	       compact->rules.now_ms < header->base_timestamp;
}

static bool
keeps_record(const struct tk_compact *compact, const struct tk_batch_header *header,
    const struct tk_record *record)
{
	int64_t offset = header->base_offset + record->head.offset_delta;

	if (record->key.data == NULL)
		return false;
	if (record->value.data == NULL && !keeps_tombstones(compact, header))
		return false;
	return offset >= tk_offset_map_get(&compact->map,
			     tk_offset_map_key(&compact->map, record->key.data, record->key.len));
}

static int
keep_room(struct tk_compact *compact, size_t count)
{
	bool *grown;

	if (count <= compact->keep_room)
		return 0;
	grown = realloc(compact->keep, count * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	compact->keep = grown;
	compact->keep_room = count;
	return 0;
}

static int
judge_records(struct tk_compact *compact, const struct tk_batch_header *header,
    struct records records, struct judgement *ret_judgement)
{
	struct judgement found = { .max_timestamp = -1 };
	bool aborted = is_aborted(compact, header);
	struct tk_record record;
	int rc = 0;

	/* A record takes seven bytes at least: the count is not the batch's word alone. */
	if (header->records_count > (records.end - records.at) / 7)
		return -EBADMSG;
	rc = keep_room(compact, (size_t)header->records_count);
	for (int32_t i = 0; i < header->records_count && rc == 0; i++) {
		rc = records_next(&records, header, &record);
		if (rc < 0)
			break;
		compact->keep[i] = !aborted && keeps_record(compact, header, &record);
		if (!compact->keep[i])
			continue;
		found.kept++;
		found.tombstones += record.value.data == NULL;
		found.max_timestamp =
		    TK_MAX(found.max_timestamp, (int64_t)((uint64_t)header->base_timestamp +
							  (uint64_t)record.head.timestamp_delta));
	}
	if (rc == 0 && records.at != records.end)
		rc = -EBADMSG;
	if (rc == 0)
		*ret_judgement = found;
	return rc;
}

/* A record as it is, or with its time counted from another base. */
static int
put_record(struct compact_buffer *kept, const struct tk_record *record, const uint8_t *from,
    const uint8_t *to, int64_t base_change)
{
	const struct tk_record_head *head = &record->head;
	const uint8_t *body = to - head->body_bytes;
	uint8_t new_head[RECORD_HEAD_ROOM], len_bytes[5];
	size_t head_len = 0, rest = (size_t)(head->body_bytes - head->head_bytes);
	int rc;

	if (base_change == 0)
		return buffer_put(kept, from, (size_t)(to - from));
	new_head[head_len++] = body[0];
	head_len += varint_put(new_head + head_len,
	    (int64_t)((uint64_t)head->timestamp_delta - (uint64_t)base_change));
	head_len += varint_put(new_head + head_len, head->offset_delta);
	if (rest > INT32_MAX - head_len)
		return -E2BIG;
	rc = buffer_put(kept, len_bytes, varint_put(len_bytes, (int64_t)(head_len + rest)));
	if (rc == 0)
		rc = buffer_put(kept, new_head, head_len);
	return rc < 0 ? rc : buffer_put(kept, body + head->head_bytes, rest);
}

static int
gather(struct tk_compact *compact, const struct tk_batch_header *header, struct records records,
    int64_t base_change)
{
	struct tk_record record;
	int rc = 0;

	compact->kept.len = 0;
	for (int32_t i = 0; i < header->records_count && rc == 0; i++) {
		const uint8_t *from = records.at;

		rc = records_next(&records, header, &record);
		if (rc == 0 && compact->keep[i])
			rc = put_record(&compact->kept, &record, from, records.at, base_change);
	}
	return rc;
}

/* The batch's header in front of what is built, and its checksum. */
static void
built_seal(struct tk_compact *compact, struct tk_batch_header *header)
{
	header->length = (int32_t)(compact->built_len - TK_BATCH_LENGTH_PREFIX);
	tk_batch_header_write(header, compact->built);
	header->crc = tk_crc32c(
	    0, compact->built + TK_BATCH_CRC_FROM, compact->built_len - TK_BATCH_CRC_FROM);
	tk_batch_header_write(header, compact->built);
}

static bool
producer_expired(const struct tk_compact *compact, const struct tk_batch_header *header)
{
	int64_t age_ms;

	return !__builtin_sub_overflow(compact->rules.now_ms, header->max_timestamp, &age_ms) &&
	       age_ms > compact->rules.producer_expiration_ms;
}

/* Nothing stays: a producer's last batch does, for its sequence and epoch. */
static int
build_empty(
    struct tk_compact *compact, const struct compact_batch *batch, enum compact_fate *ret_fate)
{
	struct tk_batch_header header = batch->header;
	struct tk_hash128 hash;

	*ret_fate = COMPACT_DROP;
	if (header.producer_id < 0 || producer_expired(compact, &header))
		return 0;
	hash = tk_offset_map_producer(&compact->map, header.producer_id);
	if (!compact->producers_full &&
	    tk_offset_map_get(&compact->map, hash) != tk_batch_last_offset(&header))
		return 0;
	*ret_fate = COMPACT_KEEP;
	if (header.records_count == 0)
		return 0;
	free(compact->built);
	compact->built_len = TK_BATCH_HEADER_BYTES;
	compact->built = malloc(compact->built_len);
	if (compact->built == NULL)
		return -ENOMEM;
	header.attributes &= ~(TK_BATCH_CODEC_MASK | TK_BATCH_DELETE_HORIZON);
	header.base_timestamp = header.max_timestamp;
	header.records_count = 0;
	built_seal(compact, &header);
	*ret_fate = COMPACT_BUILT;
	return 0;
}

/*
 * A batch that would grow stays as it is: compressed anew its fewer records may take more room. One
 * that gets a horizon may grow (its times are counted from there), as far as a segment takes it.
 */
static bool
may_replace(struct tk_compact *compact, const struct compact_batch *batch, bool has_new_horizon)
{
	int64_t growth = (int64_t)compact->built_len - batch->size;

	if (growth <= 0)
		return true;
	if (!has_new_horizon || growth > compact->slack_bytes)
		return false;
	compact->slack_bytes -= growth;
	return true;
}

static int
build(struct tk_compact *compact, const struct compact_batch *batch, struct records records,
    const struct judgement *found, enum compact_fate *ret_fate)
{
	struct tk_batch_header header = batch->header;
	bool new_horizon =
	    found->tombstones > 0 && (header.attributes & TK_BATCH_DELETE_HORIZON) == 0;
	int rc;

	if (new_horizon) {
		header.attributes |= TK_BATCH_DELETE_HORIZON;
		if (__builtin_add_overflow(compact->rules.now_ms,
			compact->rules.delete_retention_ms, &header.base_timestamp))
			header.base_timestamp = INT64_MAX;
	}
	rc = gather(compact, &batch->header, records,
	    (int64_t)((uint64_t)header.base_timestamp - (uint64_t)batch->header.base_timestamp));
	if (rc < 0)
		return rc;
	free(compact->built);
	compact->built = NULL;
	rc = tk_deflate(header.attributes & TK_BATCH_CODEC_MASK, compact->kept.data,
	    compact->kept.len, TK_BATCH_HEADER_BYTES, &compact->built, &compact->built_len);
	if (rc < 0)
		return rc;
	*ret_fate = COMPACT_KEEP;
	if (!may_replace(compact, batch, new_horizon))
		return 0;
	header.records_count = found->kept;
	if ((header.attributes & TK_BATCH_LOG_APPEND) == 0)
		header.max_timestamp = found->max_timestamp;
	built_seal(compact, &header);
	*ret_fate = COMPACT_BUILT;
	return 0;
}

int
compact_judge_batch(
    struct tk_compact *compact, const struct compact_batch *batch, enum compact_fate *ret_fate)
{
	const struct tk_batch_header *header = &batch->header;
	struct judgement found = { .kept = 0 };
	struct records records;
	int rc;

	*ret_fate = COMPACT_KEEP;
	if (batch->bytes == NULL)
		return 0;
	rc = batch_check(batch);
	if (rc < 0 || is_control(header))
		return rc;
	rc = records_open(compact, batch, &records);
	if (rc < 0)
		return rc == -E2BIG ? 0 : rc;
	rc = judge_records(compact, header, records, &found);
	if (rc < 0)
		return rc;
	if (found.kept == 0)
		return build_empty(compact, batch, ret_fate);
	if (found.kept == header->records_count &&
	    (found.tombstones == 0 || (header->attributes & TK_BATCH_DELETE_HORIZON) != 0))
		return 0;
	return build(compact, batch, records, &found, ret_fate);
}
