/*
 * libFuzzer: transactions of the metadata journal into the view.
 *
 * The input is a list of batches.  Their records are put together from keys and values of the
 * journal's own kinds with numbers of the input's, or from its bytes as they are; some batches are
 * damaged on top.  After each batch what the view says must hold together: a batch that was refused
 * has changed nothing that can be seen, and a transaction that is begun on the view is taken by it.
 * A batch lies in an exact-size copy, so that ASan sees a read past its end.
 *
 * Inputs are short (INPUT_MAX): a single record may make a topic of as many partitions as there can
 * be, which takes tens of megabytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/batch.h"
#include "meta/meta_private.h"
#include "meta/txn.h"
#include "wire/codec.h"

#define INPUT_MAX   600u
#define BATCH_BYTES ((size_t)64 << 10)
#define BATCHES_MAX 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

struct input {
	const uint8_t *at, *end;
};

static uint8_t
take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static struct tk_bytes
take_bytes(struct input *in, size_t most)
{
	size_t asked = (size_t)take(in) % (most + 1);
	size_t len = TK_MIN(asked, (size_t)(in->end - in->at));
	struct tk_bytes bytes = { in->at, (uint32_t)len };

	in->at += len;
	return bytes;
}

/* Small numbers mostly, and now and then all 64 bits. */
static int64_t
take_number(struct input *in)
{
	uint8_t how = take(in);
	uint64_t number = 0;

	if (how < 240)
		return how % 16;
	for (int i = 0; i < 8; i++)
		number = number << 8 | take(in);
	return (int64_t)number;
}

static struct tk_uuid
take_uuid(struct input *in)
{
	struct tk_uuid id = { .b = { 0 } };

	id.b[0] = take(in) % 8;
	return id;
}

/* ---- records ---- */

struct out {
	uint8_t *at, *end;
};

static void
out_put(struct out *out, const void *data, size_t len)
{
	len = TK_MIN(len, (size_t)(out->end - out->at));
	if (len > 0)
		memcpy(out->at, data, len);
	out->at += len;
}

static void
out_varint(struct out *out, int64_t value)
{
	uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

	for (;; n >>= 7) {
		uint8_t byte = (uint8_t)((n & 0x7f) | (n >= 0x80 ? 0x80 : 0));

		out_put(out, &byte, 1);
		if (n < 0x80)
			return;
	}
}

static struct tk_bytes
chain_bytes(const struct tk_chain *chain)
{
	uint8_t *bytes = tk_arena_alloc(chain->arena, chain->len + 1), *at = bytes;

	tk_assert(bytes != NULL && !tk_chain_failed(chain));
	for (const struct tk_piece *piece = chain->first; piece != NULL; piece = piece->next) {
		memcpy(at, piece->data, piece->len);
		at += piece->len;
	}
	return (struct tk_bytes){ bytes, (uint32_t)chain->len };
}

static struct tk_bytes
make_key(struct input *in, struct tk_arena *arena, unsigned kind)
{
	static const char *const names[] = { "a", "b", "a.b", "a_b", "__consumer_offsets", "..",
		"A", "" };
	const char *name = names[take(in) % TK_COUNT_OF(names)];
	char text[64];
	uint8_t *key;
	int len;

	switch (kind) {
	case 0:
		len = snprintf(text, sizeof(text), TK_META_KEY_TOPIC "%s", name);
		break;
	case 1:
		len = snprintf(text, sizeof(text), TK_META_KEY_PARTITION "%s/%lld", name,
		    (long long)take_number(in));
		break;
	case 2:
		len = snprintf(text, sizeof(text), "%s",
		    (take(in) & 1) != 0 ? TK_META_KEY_PRODUCER_IDS : TK_META_KEY_REVISION);
		break;
	default:
		return take_bytes(in, 60);
	}
	key = tk_arena_alloc(arena, sizeof(text));
	tk_assert(key != NULL);
	memcpy(key, text, sizeof(text));
	return (struct tk_bytes){ key, (uint32_t)len };
}

static void
encode_topic(struct input *in, struct tk_chain *chain)
{
	struct tk_meta_topic_value_config configs[3];
	struct tk_meta_topic_value value = { .topic_id = take_uuid(in),
		.partition_count = (int32_t)take_number(in),
		.configs = configs,
		.configs_count = take(in) % 4 };

	for (int32_t i = 0; i < value.configs_count; i++)
		configs[i] =
		    (struct tk_meta_topic_value_config){ take_bytes(in, 30), take_bytes(in, 20) };
	tk_meta_topic_value_encode(chain, 0, &value);
}

static void
encode_partition(struct input *in, struct tk_chain *chain)
{
	int32_t replicas[3] = { 0, 1, 2 };
	const struct tk_meta_partition_value value = { .directory = take_uuid(in),
		.slot = (uint32_t)take_number(in),
		.leader = (int32_t)take_number(in),
		.leader_epoch = (int32_t)take_number(in),
		.replicas = replicas,
		.replicas_count = take(in) % 4 };

	tk_meta_partition_value_encode(chain, 0, &value);
}

static struct tk_bytes
make_payload(struct input *in, struct tk_arena *arena, unsigned kind, bool raw)
{
	const struct tk_meta_producer_ids_value producer_ids = { take_number(in) };
	struct tk_chain chain;

	if (raw)
		return take_bytes(in, 100);
	tk_chain_init(&chain, arena);
	tk_encode_int16(&chain, take(in) < 250 ? 0 : 1);
	if (kind == 0)
		encode_topic(in, &chain);
	else if (kind == 1)
		encode_partition(in, &chain);
	else
		tk_meta_producer_ids_value_encode(&chain, 0, &producer_ids);
	return chain_bytes(&chain);
}

static struct tk_bytes
make_value(struct input *in, struct tk_arena *arena, unsigned kind, int64_t revision, uint8_t how)
{
	struct tk_meta_envelope envelope = {
		.revision = revision, .create_revision = 1, .version = 1
	};
	struct tk_chain chain;

	if (how < 40)
		return (struct tk_bytes){ NULL, 0 };
	if (how < 60)
		return take_bytes(in, 100);
	if (how < 80) {
		envelope.revision = take_number(in);
		envelope.create_revision = take_number(in);
		envelope.version = take_number(in);
	}
	envelope.payload = make_payload(in, arena, kind, how < 100);
	tk_chain_init(&chain, arena);
	tk_encode_int16(&chain, how == 100 ? 1 : 0);
	tk_meta_envelope_encode(&chain, 0, &envelope);
	return chain_bytes(&chain);
}

static void
put_record(struct input *in, struct out *out, int32_t index, int64_t revision)
{
	unsigned kind = take(in) % 4;
	struct tk_bytes key, value;
	struct tk_arena arena;
	struct out body;
	uint8_t *bytes = malloc(BATCH_BYTES);

	tk_assert(bytes != NULL);
	body = (struct out){ bytes, bytes + BATCH_BYTES };
	tk_arena_init(&arena, (size_t)1 << 20);
	key = make_key(in, &arena, kind);
	value = make_value(in, &arena, kind, revision, take(in));
	out_put(&body, "\0\0", 2); /* attributes, timestamp delta */
	out_varint(&body, index);
	out_varint(&body, key.len);
	out_put(&body, key.data, key.len);
	out_varint(&body, value.data == NULL ? -1 : (int64_t)value.len);
	out_put(&body, value.data, value.len);
	out_put(&body, "\0", 1); /* headers */
	out_varint(out, body.at - bytes);
	out_put(out, bytes, (size_t)(body.at - bytes));
	tk_arena_reset(&arena);
	free(bytes);
}

/* A batch in memory of its own size. */
static uint8_t *
make_one(struct input *in, int64_t revision, uint8_t how, size_t *ret_len)
{
	uint8_t *bytes = malloc(BATCH_BYTES), *exact;
	struct out out = { bytes + TK_BATCH_HEADER_BYTES, bytes + BATCH_BYTES };
	struct tk_batch_header header = { .magic = 2, .producer_id = -1 };
	size_t len;

	tk_assert(bytes != NULL);
	if (how >= 240) {
		struct tk_bytes raw = take_bytes(in, 255);

		header.records_count = take(in);
		out_put(&out, raw.data, raw.len);
	} else {
		header.records_count = how % 8;
		for (int32_t i = 0; i < header.records_count; i++)
			put_record(in, &out, i, revision);
	}
	len = (size_t)(out.at - bytes);
	header.length = (int32_t)(len - TK_BATCH_LENGTH_PREFIX);
	header.last_offset_delta = TK_MAX(header.records_count - 1, 0);
	header.attributes = how % 32 == 31 ? take(in) : 0;
	tk_batch_header_write(&header, bytes);
	if (how % 16 == 15) {
		size_t at = TK_BATCH_CRC_FROM +
			    (take(in) | (size_t)take(in) << 8) % (len - TK_BATCH_CRC_FROM);

		bytes[at] ^= take(in);
	}
	exact = malloc(len);
	tk_assert(exact != NULL);
	memcpy(exact, bytes, len);
	free(bytes);
	*ret_len = len;
	return exact;
}

/* ---- the view ---- */

static void
check_topic(struct tk_meta *meta, const struct tk_meta_topic *topic, size_t *parts)
{
	uint64_t revision, create_revision, version;
	char key[TK_META_KEY_MAX];
	int len = snprintf(key, sizeof(key), TK_META_KEY_TOPIC "%s", topic->name);

	tk_assert(tk_meta_topic_find(meta, topic->name, topic->name_len) == topic);
	tk_assert(tk_meta_topic_find_id(meta, &topic->id) != NULL);
	tk_assert(tk_meta_topic_collision(meta, topic->name, topic->name_len) != NULL);
	tk_assert(topic->config != NULL && strlen(topic->name) == topic->name_len);
	tk_assert(tk_meta_key_find(meta, key, (size_t)len, &revision, &create_revision, &version));
	tk_assert(revision <= tk_meta_revision(meta) && create_revision <= revision);
	for (size_t i = 0; i < topic->config_count; i++)
		tk_assert(topic->configs[i].name != NULL && topic->configs[i].value != NULL);
	*parts += (size_t)((const struct tk_topic *)(const void *)topic)->parts_count;
}

static void
check_view(struct tk_meta *meta)
{
	const struct tk_meta_topic *topic = tk_meta_topic_first(meta), *before = NULL;
	size_t topics = 0, parts = 0;

	for (; topic != NULL; before = topic, topic = tk_meta_topic_next(topic), topics++) {
		tk_assert(before == NULL || strcmp(before->name, topic->name) < 0);
		check_topic(meta, topic, &parts);
	}
	tk_assert(topics == tk_meta_topic_count(meta) && parts == tk_meta_partition_count(meta));
	for (topic = tk_meta_changed(meta); topic != NULL; topic = tk_meta_changed_next(topic))
		tk_assert(tk_meta_topic_find(meta, topic->name, topic->name_len) == topic);
	for (topic = tk_meta_deleted(meta); topic != NULL; topic = tk_meta_deleted_next(topic))
		tk_assert(tk_meta_topic_find(meta, topic->name, topic->name_len) != topic);
	for (const struct tk_meta_entry *entry = tk_meta_range(meta, "", 0); entry != NULL;
	     entry = tk_meta_range_next(entry, "", 0))
		tk_assert(entry->revision <= tk_meta_revision(meta) &&
			  strlen(entry->key) <= entry->key_len);
	tk_assert(tk_meta_next_producer_id(meta) >= 0);
}

/* What the coordinator would do next is taken. */
static void
check_txn(struct tk_meta *meta)
{
	static uint8_t memory[(size_t)1 << 20];
	const struct tk_meta_topic *topic = tk_meta_topic_first(meta);
	struct tk_meta_txn txn;
	size_t len = 0;

	if (tk_meta_revision(meta) >= INT64_MAX - 1)
		return;
	tk_meta_txn_begin(&txn, meta, memory, sizeof(memory));
	tk_meta_txn_put_producer_ids(&txn, 7);
	if (topic != NULL && topic->partition_count < 100)
		tk_meta_txn_delete_topic(&txn, topic);
	if (tk_meta_txn_end(&txn, 1000, &len) < 0)
		return;
	tk_assert(tk_meta_apply(meta, memory, len) == 0);
	tk_assert(tk_meta_next_producer_id(meta) == 7);
	tk_assert(tk_meta_revision(meta) == txn.revision);
}

static void
apply_one(struct tk_meta *meta, struct input *in)
{
	uint8_t how = take(in);
	uint64_t revision = tk_meta_revision(meta);
	size_t topics = tk_meta_topic_count(meta), parts = tk_meta_partition_count(meta);
	size_t len;
	uint8_t *batch = make_one(in, (int64_t)(revision + 1), how, &len);
	struct tk_batch_header header;
	int rc = -EBADMSG;

	tk_batch_header_read(batch, &header);
	if (tk_batch_header_check(&header) == 0)
		rc = tk_meta_apply(meta, batch, len);
	free(batch);
	tk_assert(rc == 0 || tk_meta_revision(meta) == revision);
	tk_assert(rc == 0 || rc == -ENOMEM ||
		  (topics == tk_meta_topic_count(meta) && parts == tk_meta_partition_count(meta)));
	check_view(meta);
}

static void
do_other(struct tk_meta *meta, struct input *in, const struct tk_settings *settings)
{
	struct tk_uuid ids[3] = { take_uuid(in), take_uuid(in), take_uuid(in) };

	switch (take(in) % 8) {
	case 0:
		tk_meta_lists_empty(meta);
		break;
	case 1:
		tk_meta_set_directories(meta, ids, take(in) % 4);
		break;
	case 2:
		tk_meta_set_settings(meta, settings);
		break;
	case 3:
		tk_meta_forget(meta);
		break;
	case 4:
		check_txn(meta);
		break;
	default:
		break;
	}
	check_view(meta);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tk_arena arena;
	static struct tk_settings *settings;
	const struct tk_settings_source source = { .prefix = "/tmp", .text = "" };
	struct tk_settings_errors errors = { .arena = NULL };
	struct input in = { data, data + TK_MIN(size, INPUT_MAX) };
	struct tk_meta *meta = NULL;

	if (settings == NULL) {
		tk_arena_init(&arena, (size_t)16 << 20);
		if (tk_settings_load(&arena, &source, &settings, &errors) < 0)
			abort();
	}
	if (tk_meta_open(NULL, "/", settings, &meta) < 0)
		abort();
	for (unsigned i = 0; i < BATCHES_MAX && in.at < in.end; i++) {
		apply_one(meta, &in);
		do_other(meta, &in, settings);
	}
	tk_meta_close(&meta);
	return 0;
}
