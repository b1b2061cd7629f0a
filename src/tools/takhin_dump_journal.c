/*
 * A record of the metadata journal as what it says: key, revisions, and the message of its key.
 * takhin-dump.  What does not decode is shown as bytes.
 */
#include <inttypes.h>

#include "base/uuid.h"
#include "meta/meta_private.h"
#include "takhin/arena.h"
#include "tools/takhin_dump.h"
#include "wire/codec.h"
#include "wire/wire_gen.h"

#define ARENA_BYTES ((size_t)256 << 20)

static void
print_uuid(FILE *out, const struct tk_uuid *uuid)
{
	char text[TK_UUID_TEXT_LEN + 1];

	tk_uuid_format(uuid, text);
	(void)fputs(text, out);
}

static bool
print_topic(FILE *out, struct tk_decoder *dec)
{
	struct tk_meta_topic_value topic;

	(void)tk_meta_topic_value_decode(dec, 0, &topic);
	if (!tk_decoder_finished(dec))
		return false;
	(void)fputs("id ", out);
	print_uuid(out, &topic.topic_id);
	(void)fprintf(out, ", %" PRId32 " partitions", topic.partition_count);
	for (int32_t i = 0; i < topic.configs_count; i++) {
		(void)fputs(", ", out);
		dump_text(out, topic.configs[i].name.data, topic.configs[i].name.len);
		(void)fputs(" = ", out);
		dump_text(out, topic.configs[i].value.data, topic.configs[i].value.len);
	}
	return true;
}

static bool
print_partition(FILE *out, struct tk_decoder *dec)
{
	struct tk_meta_partition_value part;

	(void)tk_meta_partition_value_decode(dec, 0, &part);
	if (!tk_decoder_finished(dec))
		return false;
	(void)fputs("directory ", out);
	print_uuid(out, &part.directory);
	(void)fprintf(out, ", slot %" PRIu32 ", leader %" PRId32 ", epoch %" PRId32, part.slot,
	    part.leader, part.leader_epoch);
	return true;
}

static bool
print_payload(
    FILE *out, const struct tk_record *record, struct tk_bytes payload, struct tk_arena *arena)
{
	struct tk_meta_producer_ids_value ids;
	struct tk_decoder dec;
	struct tk_key key;

	if (payload.data == NULL || tk_key_parse(record->key.data, record->key.len, &key) < 0)
		return false;
	tk_decoder_init(&dec, payload.data, payload.len, arena);
	if (tk_decode_int16(&dec) != 0)
		return false;
	if (key.kind == TK_KEY_TOPIC)
		return print_topic(out, &dec);
	if (key.kind == TK_KEY_PARTITION)
		return print_partition(out, &dec);
	if (record->key.len != sizeof(TK_META_KEY_PRODUCER_IDS) - 1)
		return false;
	(void)tk_meta_producer_ids_value_decode(&dec, 0, &ids);
	if (!tk_decoder_finished(&dec))
		return false;
	(void)fprintf(out, "next producer id %" PRId64, ids.next_producer_id);
	return true;
}

static bool
print_envelope(FILE *out, const struct tk_record *record, struct tk_arena *arena)
{
	struct tk_meta_envelope envelope;
	struct tk_decoder dec;

	tk_decoder_init(&dec, record->value.data, record->value.len, arena);
	if (tk_decode_int16(&dec) != 0)
		return false;
	(void)tk_meta_envelope_decode(&dec, 0, &envelope);
	if (!tk_decoder_finished(&dec))
		return false;
	(void)fprintf(out, " revision %" PRId64 ", created %" PRId64 ", version %" PRId64 ": ",
	    envelope.revision, envelope.create_revision, envelope.version);
	if (!print_payload(out, record, envelope.payload, arena))
		dump_text(out, envelope.payload.data, envelope.payload.len);
	return true;
}

void
dump_journal_record(struct dump *dump, const struct tk_record *record)
{
	struct tk_arena arena;

	dump_text(dump->out, record->key.data, record->key.len);
	if (record->value.data == NULL) {
		(void)fputs(" deleted", dump->out);
		return;
	}
	tk_arena_init(&arena, ARENA_BYTES);
	if (!print_envelope(dump->out, record, &arena)) {
		(void)fputs(" = ", dump->out);
		dump_text(dump->out, record->value.data, record->value.len);
	}
	tk_arena_reset(&arena);
}
