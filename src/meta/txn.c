/*
 * The builder of transactions.  Runs in the coordinator.  Records are written straight into the
 * batch's memory; an envelope is encoded in scratch memory first, one at a time.
 */
#include "meta/txn.h"

#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/uuid.h"
#include "log/batch.h"
#include "meta/meta_private.h"
#include "meta/topic_name.h"
#include "wire/codec.h"

#define SCRATCH_MAX (TK_META_BATCH_MAX * 2)
/* Of a record beside key and value: lengths, attributes, deltas, count of headers. */
#define RECORD_EXTRA_MAX 24u

static void
txn_fail(struct tk_meta_txn *txn, int rc)
{
	if (txn->rc == 0)
		txn->rc = rc;
}

static uint8_t *
varint_put(uint8_t *at, int64_t value)
{
	uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

	for (; n >= 0x80; n >>= 7)
		*at++ = (uint8_t)(n | 0x80);
	*at++ = (uint8_t)n;
	return at;
}

static size_t
varint_size(int64_t value)
{
	uint8_t bytes[10];

	return (size_t)(varint_put(bytes, value) - bytes);
}

static uint8_t *
chain_copy(uint8_t *at, const struct tk_chain *chain)
{
	for (const struct tk_piece *piece = chain->first; piece != NULL; piece = piece->next) {
		tk_assert(piece->kind == TK_PIECE_MEMORY);
		memcpy(at, piece->data, piece->len);
		at += piece->len;
	}
	return at;
}

/* value NULL: a deletion. */
static void
record_put(struct tk_meta_txn *txn, const void *key, size_t key_len, const struct tk_chain *value)
{
	int64_t value_len = value == NULL ? -1 : (int64_t)value->len;
	size_t body = 2 + varint_size(txn->records) + varint_size((int64_t)key_len) + key_len +
		      varint_size(value_len) + (value == NULL ? 0 : (size_t)value->len) + 1;
	uint8_t *at = txn->at;

	if (txn->rc < 0)
		return;
	if (body + 5 > (size_t)(txn->end - txn->at)) {
		txn_fail(txn, -EMSGSIZE);
		return;
	}
	at = varint_put(at, (int64_t)body);
	*at++ = 0; /* attributes */
	*at++ = 0; /* timestamp delta */
	at = varint_put(at, txn->records);
	at = varint_put(at, (int64_t)key_len);
	memcpy(at, key, key_len);
	at = varint_put(at + key_len, value_len);
	if (value != NULL)
		at = chain_copy(at, value);
	*at++ = 0; /* headers */
	txn->at = at;
	txn->records++;
}

static void
put(struct tk_meta_txn *txn, const void *key, size_t key_len, uint64_t create_revision,
    uint64_t version, struct tk_bytes payload)
{
	const struct tk_meta_envelope envelope = {
		.revision = (int64_t)txn->revision,
		.create_revision = (int64_t)create_revision,
		.version = (int64_t)version,
		.payload = payload,
	};
	struct tk_chain chain;

	if (txn->rc < 0)
		return;
	tk_chain_init(&chain, &txn->scratch);
	tk_encode_int16(&chain, 0);
	tk_meta_envelope_encode(&chain, 0, &envelope);
	if (tk_chain_failed(&chain))
		txn_fail(txn, -ENOMEM);
	else
		record_put(txn, key, key_len, &chain);
	tk_chain_reset(&chain);
	tk_arena_reset(&txn->scratch);
}

void
tk_meta_txn_begin(struct tk_meta_txn *txn, const struct tk_meta *meta, void *memory, size_t room)
{
	*txn = (struct tk_meta_txn){ .meta = meta, .begin = memory };
	tk_arena_init(&txn->scratch, SCRATCH_MAX);
	txn->end = txn->begin + TK_MIN(room, TK_META_BATCH_MAX);
	txn->at = txn->begin + TK_MIN(room, TK_BATCH_HEADER_BYTES);
	txn->revision = TK_MAX(tk_meta_revision(meta), TK_META_INCARNATION) + 1;
	txn->id = tk_uuid_random();
	put(txn, TK_META_KEY_REVISION, strlen(TK_META_KEY_REVISION), 1, txn->revision,
	    (struct tk_bytes){ txn->id.b, sizeof(txn->id.b) });
}

void
tk_meta_txn_compare(struct tk_meta_txn *txn, const void *key, size_t key_len, uint64_t revision)
{
	uint64_t present = 0, create_revision, version;

	(void)tk_meta_key_find(txn->meta, key, key_len, &present, &create_revision, &version);
	if (present != revision)
		txn_fail(txn, -ESTALE);
}

void
tk_meta_txn_put(struct tk_meta_txn *txn, const void *key, size_t key_len, struct tk_bytes payload)
{
	uint64_t revision, create_revision = txn->revision, version = 0;

	if (!tk_meta_key_find(txn->meta, key, key_len, &revision, &create_revision, &version))
		create_revision = txn->revision;
	put(txn, key, key_len, create_revision, version + 1, payload);
}

void
tk_meta_txn_delete(struct tk_meta_txn *txn, const void *key, size_t key_len)
{
	record_put(txn, key, key_len, NULL);
}

/* Puts what was encoded; the payload is made contiguous first. */
static void
put_chain(struct tk_meta_txn *txn, const char *key, int key_len, struct tk_chain *chain)
{
	uint8_t *payload;

	tk_assert(key_len > 0 && (unsigned)key_len < TK_META_KEY_MAX);
	payload = tk_chain_failed(chain) ? NULL : tk_arena_alloc(&txn->scratch, chain->len);
	if (payload == NULL) {
		txn_fail(txn, -ENOMEM);
		return;
	}
	(void)chain_copy(payload, chain);
	tk_meta_txn_put(
	    txn, key, (size_t)key_len, (struct tk_bytes){ payload, (uint32_t)chain->len });
}

static int
topic_key(char key[TK_META_KEY_MAX], struct tk_bytes name)
{
	return snprintf(
	    key, TK_META_KEY_MAX, TK_META_KEY_TOPIC "%.*s", (int)name.len, (const char *)name.data);
}

static int
partition_key(char key[TK_META_KEY_MAX], struct tk_bytes name, int32_t index)
{
	return snprintf(key, TK_META_KEY_MAX, TK_META_KEY_PARTITION "%.*s/%d", (int)name.len,
	    (const char *)name.data, index);
}

void
tk_meta_txn_put_topic(
    struct tk_meta_txn *txn, struct tk_bytes name, const struct tk_meta_topic_value *value)
{
	char key[TK_META_KEY_MAX];
	struct tk_chain chain;

	tk_assert(tk_topic_name_check(name, NULL, 0) == 0);
	if (txn->rc < 0)
		return;
	tk_chain_init(&chain, &txn->scratch);
	tk_encode_int16(&chain, 0);
	tk_meta_topic_value_encode(&chain, 0, value);
	put_chain(txn, key, topic_key(key, name), &chain);
}

void
tk_meta_txn_put_partition(struct tk_meta_txn *txn, struct tk_bytes name, int32_t index,
    const struct tk_meta_partition_value *value)
{
	char key[TK_META_KEY_MAX];
	struct tk_chain chain;

	tk_assert(tk_topic_name_check(name, NULL, 0) == 0 && index >= 0);
	if (txn->rc < 0)
		return;
	tk_chain_init(&chain, &txn->scratch);
	tk_encode_int16(&chain, 0);
	tk_meta_partition_value_encode(&chain, 0, value);
	put_chain(txn, key, partition_key(key, name, index), &chain);
}

void
tk_meta_txn_put_producer_ids(struct tk_meta_txn *txn, int64_t next_producer_id)
{
	const struct tk_meta_producer_ids_value value = { .next_producer_id = next_producer_id };
	struct tk_chain chain;

	if (txn->rc < 0)
		return;
	tk_chain_init(&chain, &txn->scratch);
	tk_encode_int16(&chain, 0);
	tk_meta_producer_ids_value_encode(&chain, 0, &value);
	put_chain(txn, TK_META_KEY_PRODUCER_IDS, (int)strlen(TK_META_KEY_PRODUCER_IDS), &chain);
}

void
tk_meta_txn_delete_topic(struct tk_meta_txn *txn, const struct tk_meta_topic *topic)
{
	const struct tk_bytes name = { (const uint8_t *)topic->name, (uint32_t)topic->name_len };
	char key[TK_META_KEY_MAX];
	int len = topic_key(key, name);

	/* The topic first: the view then has its partitions in one piece when it goes. */
	tk_meta_txn_delete(txn, key, (size_t)len);
	for (int32_t i = 0; i < topic->partition_count; i++) {
		if (topic->partitions[i].incarnation == 0)
			continue;
		len = partition_key(key, name, i);
		tk_meta_txn_delete(txn, key, (size_t)len);
	}
}

size_t
tk_meta_txn_deletion_max(size_t name_len, int64_t partition_count)
{
	size_t record = RECORD_EXTRA_MAX + strlen(TK_META_KEY_PARTITION) + name_len + 8;

	return TK_BATCH_HEADER_BYTES + 64 + record * ((size_t)partition_count + 1);
}

struct tk_meta_txn_mark
tk_meta_txn_mark(const struct tk_meta_txn *txn)
{
	return (struct tk_meta_txn_mark){ txn->at, txn->records };
}

void
tk_meta_txn_back(struct tk_meta_txn *txn, struct tk_meta_txn_mark mark)
{
	tk_assert(mark.at <= txn->at && mark.records <= txn->records);
	txn->at = mark.at;
	txn->records = mark.records;
	if (txn->rc == -EMSGSIZE && mark.records > 0)
		txn->rc = 0;
}

bool
tk_meta_txn_has_changes(const struct tk_meta_txn *txn)
{
	return txn->records > 1;
}

int
tk_meta_txn_end(struct tk_meta_txn *txn, int64_t now_ms, size_t *ret_len)
{
	size_t len = (size_t)(txn->at - txn->begin);
	struct tk_batch_header header;

	tk_arena_reset(&txn->scratch);
	if (txn->rc < 0)
		return txn->rc;
	header = (struct tk_batch_header){
		.length = (int32_t)(len - TK_BATCH_LENGTH_PREFIX),
		.leader_epoch = -1,
		.magic = 2,
		.last_offset_delta = txn->records - 1,
		.base_timestamp = now_ms,
		.max_timestamp = now_ms,
		.producer_id = -1,
		.producer_epoch = -1,
		.base_sequence = -1,
		.records_count = txn->records,
	};
	tk_batch_header_write(&header, txn->begin);
	header.crc = tk_crc32c(0, txn->begin + TK_BATCH_CRC_FROM, len - TK_BATCH_CRC_FROM);
	tk_batch_header_write(&header, txn->begin);
	*ret_len = len;
	return 0;
}
