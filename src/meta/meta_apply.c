/*
 * One transaction of the journal into the view.
 *
 * First the whole batch is read into changes, so that one that is not sound changes nothing; then
 * the changes are made, which only lack of memory can stop (making them again is harmless).  The
 * memory that takes is the batch's length times a constant and goes at the end.
 *
 * A record's value is the version of the envelope (int16) and a MetaEnvelope; its payload is a
 * version (int16) and the message of its key, as meta.h lists them.  A null value is a deletion.
 */
#include <stdlib.h>
#include <string.h>

#include "log/batch.h"
#include "log/batch_records.h"
#include "meta/meta_private.h"
#include "meta/topic_name.h"
#include "wire/codec.h"
#include "wire/wire_gen.h"

#define CHANGES_BYTES_MAX (TK_META_BATCH_MAX * 16)

struct change {
	struct tk_bytes key_bytes;
	struct tk_key key;
	bool deletion;
	struct tk_meta_envelope envelope;
	struct tk_meta_topic_value topic;
	struct tk_meta_partition_value partition;
	struct tk_meta_producer_ids_value producer_ids;
};

/* The changes of one batch. */
struct changes {
	struct tk_arena arena;
	struct change *items;
	size_t count;
	uint64_t revision; /* 0: the batch has deletions only */
};

static bool
bytes_begin(struct tk_bytes bytes, const char *prefix)
{
	return bytes.len >= strlen(prefix) && memcmp(bytes.data, prefix, strlen(prefix)) == 0;
}

static bool
bytes_are(struct tk_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static struct tk_bytes
bytes_behind(struct tk_bytes bytes, size_t skip)
{
	return (struct tk_bytes){ bytes.data + skip, bytes.len - (uint32_t)skip };
}

static int
index_parse(struct tk_bytes text, int32_t *ret_index)
{
	int64_t index = 0;

	if (text.len == 0 || text.len > 10 || (text.len > 1 && text.data[0] == '0'))
		return -EBADMSG;
	for (uint32_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -EBADMSG;
		index = index * 10 + (text.data[i] - '0');
	}
	if (index >= TK_META_PARTITIONS_MAX)
		return -EBADMSG;
	*ret_index = (int32_t)index;
	return 0;
}

int
tk_key_parse(const void *key, size_t len, struct tk_key *ret_key)
{
	const struct tk_bytes bytes = { key, (uint32_t)len };
	struct tk_key parsed = { .kind = TK_KEY_OTHER };
	const uint8_t *slash;

	if (key == NULL || len == 0 || len > TK_META_KEY_MAX)
		return -EBADMSG;
	if (bytes_begin(bytes, TK_META_KEY_TOPIC)) {
		parsed.kind = TK_KEY_TOPIC;
		parsed.name = bytes_behind(bytes, strlen(TK_META_KEY_TOPIC));
	} else if (bytes_begin(bytes, TK_META_KEY_PARTITION)) {
		parsed.kind = TK_KEY_PARTITION;
		parsed.name = bytes_behind(bytes, strlen(TK_META_KEY_PARTITION));
		slash = memrchr(parsed.name.data, '/', parsed.name.len);
		if (slash == NULL)
			return -EBADMSG;
		if (index_parse(bytes_behind(parsed.name, (size_t)(slash + 1 - parsed.name.data)),
			&parsed.index) < 0)
			return -EBADMSG;
		parsed.name.len = (uint32_t)(slash - parsed.name.data);
	}
	if (parsed.kind != TK_KEY_OTHER && tk_topic_name_check(parsed.name, NULL, 0) < 0)
		return -EBADMSG;
	*ret_key = parsed;
	return 0;
}

static int
payload_decode(struct changes *changes, struct change *change)
{
	const struct tk_bytes payload = change->envelope.payload;
	struct tk_decoder dec;

	if (change->key.kind == TK_KEY_OTHER &&
	    !bytes_are(change->key_bytes, TK_META_KEY_PRODUCER_IDS))
		return 0;
	if (payload.data == NULL)
		return -EBADMSG;
	tk_decoder_init(&dec, payload.data, payload.len, &changes->arena);
	if (tk_decode_int16(&dec) != 0)
		return dec.failed ? -EBADMSG : -EPROTONOSUPPORT;
	if (change->key.kind == TK_KEY_TOPIC)
		(void)tk_meta_topic_value_decode(&dec, 0, &change->topic);
	else if (change->key.kind == TK_KEY_PARTITION)
		(void)tk_meta_partition_value_decode(&dec, 0, &change->partition);
	else
		(void)tk_meta_producer_ids_value_decode(&dec, 0, &change->producer_ids);
	return tk_decoder_finished(&dec) ? 0 : -EBADMSG;
}

static bool
change_is_sound(const struct change *change)
{
	if (change->key.kind == TK_KEY_TOPIC)
		return change->topic.partition_count >= 0 &&
		       change->topic.partition_count <= TK_META_PARTITIONS_MAX;
	return change->producer_ids.next_producer_id >= 0;
}

static int
change_decode(struct tk_meta *meta, struct changes *changes, const struct tk_record *record)
{
	struct change *change = &changes->items[changes->count];
	struct tk_meta_envelope *envelope = &change->envelope;
	struct tk_decoder dec;
	int rc;

	change->key_bytes = record->key;
	change->deletion = record->value.data == NULL;
	rc = tk_key_parse(record->key.data, record->key.len, &change->key);
	changes->count++;
	if (rc < 0 || change->deletion)
		return rc;
	tk_decoder_init(&dec, record->value.data, record->value.len, &changes->arena);
	if (tk_decode_int16(&dec) != 0)
		return dec.failed ? -EBADMSG : -EPROTONOSUPPORT;
	(void)tk_meta_envelope_decode(&dec, 0, envelope);
	if (!tk_decoder_finished(&dec) || envelope->revision <= 0 || envelope->version <= 0 ||
	    envelope->create_revision <= 0 || envelope->create_revision > envelope->revision)
		return -EBADMSG;
	if ((uint64_t)envelope->revision <= meta->revision ||
	    (changes->revision != 0 && (uint64_t)envelope->revision != changes->revision))
		return -EBADMSG;
	changes->revision = (uint64_t)envelope->revision;
	rc = payload_decode(changes, change);
	return rc == 0 && !change_is_sound(change) ? -EBADMSG : rc;
}

static int
changes_decode(struct tk_meta *meta, struct changes *changes, const uint8_t *batch, size_t len)
{
	const uint8_t *at = batch + TK_BATCH_HEADER_BYTES, *end = batch + len;
	struct tk_batch_header header;
	struct tk_record record;
	int rc = 0;

	tk_batch_header_read(batch, &header);
	if ((header.attributes & (TK_BATCH_CODEC_MASK | TK_BATCH_CONTROL)) != 0)
		return -EBADMSG;
	/* The smallest record takes 7 bytes. */
	if ((int64_t)header.records_count * 7 > (int64_t)len)
		return -EBADMSG;
	changes->items = tk_arena_calloc(
	    &changes->arena, (size_t)header.records_count + 1, sizeof(struct change));
	if (changes->items == NULL)
		return -ENOMEM;
	for (int32_t i = 0; rc == 0 && i < header.records_count; i++) {
		at = tk_record_parse(at, end, &record);
		if (at == NULL)
			return -EBADMSG;
		rc = change_decode(meta, changes, &record);
	}
	return rc == 0 && at != end ? -EBADMSG : rc;
}

static void
topic_touch(struct tk_meta *meta, struct tk_topic *topic)
{
	if (topic->is_touched || !topic->present)
		return;
	topic->is_touched = true;
	TAILQ_INSERT_TAIL(&meta->changed, topic, touched);
}

void
tk_meta_topic_drop(struct tk_meta *meta, struct tk_topic *topic)
{
	tk_map_remove(&meta->by_name, &topic->by_name);
	if (topic->is_touched)
		TAILQ_REMOVE(&meta->changed, topic, touched);
	topic->is_touched = false;
	if (!topic->present) {
		tk_meta_topic_free(topic);
		return;
	}
	tk_map_remove(&meta->by_id, &topic->by_id);
	tk_map_remove(&meta->by_folded, &topic->by_folded);
	tk_order_remove(&meta->topics, &topic->order);
	meta->topic_count--;
	meta->partition_count -= (size_t)topic->parts_count;
	TAILQ_INSERT_TAIL(&meta->deleted, topic, touched);
}

/* The topic of this name, made without being present if there is none. */
static struct tk_topic *
topic_get(struct tk_meta *meta, struct tk_bytes name)
{
	struct tk_topic *topic = tk_meta_topic_any(meta, name.data, name.len);

	if (topic != NULL)
		return topic;
	topic = calloc(1, sizeof(*topic) + name.len + 1);
	if (topic == NULL)
		return NULL;
	memcpy(topic->name, name.data, name.len);
	topic->pub.name = topic->name;
	topic->pub.name_len = name.len;
	topic->pub.is_internal = tk_topic_name_is_internal(name);
	tk_map_put(&meta->by_name, &topic->by_name, topic->name, name.len);
	return topic;
}

static void
topic_appear(struct tk_meta *meta, struct tk_topic *topic)
{
	uint8_t folded[TK_TOPIC_NAME_MAX];
	const struct tk_bytes name = { (const uint8_t *)topic->name,
		(uint32_t)topic->pub.name_len };

	topic->present = true;
	tk_topic_name_fold(name, folded);
	tk_map_put(&meta->by_id, &topic->by_id, &topic->pub.id, sizeof(topic->pub.id));
	tk_map_put(&meta->by_folded, &topic->by_folded, folded, name.len);
	tk_order_put(&meta->topics, &topic->order, topic->name, name.len);
	meta->topic_count++;
	meta->partition_count += (size_t)topic->parts_count;
}

static int
topic_make_room(struct tk_topic *topic, int32_t count)
{
	struct tk_meta_partition *parts;

	if (count <= topic->parts_room)
		return 0;
	parts = realloc(topic->parts, (size_t)count * sizeof(*parts));
	if (parts == NULL)
		return -ENOMEM;
	memset(parts + topic->parts_room, 0, (size_t)(count - topic->parts_room) * sizeof(*parts));
	for (int32_t i = topic->parts_room; i < count; i++)
		parts[i].directory = TK_META_NO_DIRECTORY;
	topic->parts = parts;
	topic->parts_room = count;
	topic->pub.partitions = parts;
	return 0;
}

/* The pairs in one piece of memory: the array, then the texts. */
static int
topic_set_configs(struct tk_topic *topic, const struct tk_meta_topic_value *value)
{
	size_t count = (size_t)TK_MAX(value->configs_count, 0), bytes = 0;
	struct tk_meta_config *configs = NULL;
	char *text;

	for (size_t i = 0; i < count; i++)
		bytes += value->configs[i].name.len + value->configs[i].value.len + 2;
	if (count > 0) {
		configs = malloc(count * sizeof(*configs) + bytes);
		if (configs == NULL)
			return -ENOMEM;
		if (topic->own_config == NULL)
			topic->own_config = calloc(1, sizeof(*topic->own_config));
		if (topic->own_config == NULL) {
			free(configs);
			return -ENOMEM;
		}
	}
	text = configs == NULL ? NULL : (char *)(configs + count);
	for (size_t i = 0; i < count; i++) {
		const struct tk_bytes pair[2] = { value->configs[i].name, value->configs[i].value };
		char *texts[2];

		for (int n = 0; n < 2; n++) {
			texts[n] = text;
			if (pair[n].len > 0)
				memcpy(text, pair[n].data, pair[n].len);
			text[pair[n].len] = '\0';
			text += pair[n].len + 1;
		}
		configs[i] = (struct tk_meta_config){ texts[0], texts[1] };
	}
	free((void *)(uintptr_t)topic->pub.configs);
	topic->pub.configs = configs;
	topic->pub.config_count = count;
	if (count == 0) {
		free(topic->own_config);
		topic->own_config = NULL;
	}
	return 0;
}

static int
apply_topic(struct tk_meta *meta, const struct change *change)
{
	const struct tk_meta_topic_value *value = &change->topic;
	struct tk_topic *topic = topic_get(meta, change->key.name);
	int rc;

	if (topic != NULL && topic->present &&
	    memcmp(&topic->pub.id, &value->topic_id, sizeof(value->topic_id)) != 0) {
		tk_meta_topic_drop(meta, topic);
		topic = topic_get(meta, change->key.name);
	}
	if (topic == NULL)
		return -ENOMEM;
	rc = topic_make_room(topic, value->partition_count);
	if (rc == 0)
		rc = topic_set_configs(topic, value);
	if (rc < 0)
		return rc;
	tk_meta_topic_resolve(meta, topic);
	topic->pub.partition_count = value->partition_count;
	topic->pub.create_revision = (uint64_t)change->envelope.create_revision;
	topic->pub.config_revision = (uint64_t)change->envelope.revision;
	topic->version = (uint64_t)change->envelope.version;
	if (!topic->present) {
		topic->pub.id = value->topic_id;
		topic_appear(meta, topic);
	}
	topic_touch(meta, topic);
	return 0;
}

static int
apply_partition(struct tk_meta *meta, const struct change *change)
{
	const struct tk_meta_partition_value *value = &change->partition;
	struct tk_topic *topic = topic_get(meta, change->key.name);
	struct tk_meta_partition *part;
	int rc;

	if (topic == NULL)
		return -ENOMEM;
	rc = topic_make_room(topic, change->key.index + 1);
	if (rc < 0)
		return rc;
	part = &topic->parts[change->key.index];
	if (part->incarnation == 0) {
		topic->parts_count++;
		meta->partition_count += topic->present ? 1 : 0;
	}
	*part = (struct tk_meta_partition){
		.incarnation = (uint64_t)change->envelope.create_revision,
		.revision = (uint64_t)change->envelope.revision,
		.version = (uint64_t)change->envelope.version,
		.directory = tk_meta_directory_index(meta, &value->directory),
		.directory_id = value->directory,
		.slot = value->slot,
		.leader = value->leader,
		.leader_epoch = value->leader_epoch,
	};
	topic_touch(meta, topic);
	return 0;
}

static void
apply_partition_deletion(struct tk_meta *meta, const struct change *change)
{
	struct tk_topic *topic =
	    tk_meta_topic_any(meta, change->key.name.data, change->key.name.len);
	int32_t index = change->key.index;

	if (topic == NULL || index >= topic->parts_room || topic->parts[index].incarnation == 0)
		return;
	topic->parts[index] = (struct tk_meta_partition){ .directory = TK_META_NO_DIRECTORY };
	topic->parts_count--;
	meta->partition_count -= topic->present ? 1 : 0;
	topic_touch(meta, topic);
	if (!topic->present && topic->parts_count == 0)
		tk_meta_topic_drop(meta, topic);
}

static void
entry_remove(struct tk_meta *meta, struct tk_bytes key)
{
	struct tk_entry *entry = tk_meta_entry_find(meta, key.data, key.len);

	if (entry == NULL)
		return;
	tk_order_remove(&meta->entries, &entry->order);
	free(entry);
}

static int
apply_entry(struct tk_meta *meta, const struct change *change)
{
	const struct tk_bytes key = change->key_bytes, payload = change->envelope.payload;
	struct tk_entry *entry;

	if (bytes_are(key, TK_META_KEY_REVISION)) {
		if (payload.len == sizeof(meta->transaction))
			memcpy(&meta->transaction, payload.data, payload.len);
		return 0;
	}
	entry = calloc(1, sizeof(*entry) + key.len + 1 + payload.len);
	if (entry == NULL)
		return -ENOMEM;
	memcpy(entry->bytes, key.data, key.len);
	if (payload.len > 0)
		memcpy(entry->bytes + key.len + 1, payload.data, payload.len);
	entry->pub = (struct tk_meta_entry){
		.key = entry->bytes,
		.key_len = key.len,
		.revision = (uint64_t)change->envelope.revision,
		.create_revision = (uint64_t)change->envelope.create_revision,
		.version = (uint64_t)change->envelope.version,
		.payload = { payload.data == NULL ? NULL
						  : (const uint8_t *)entry->bytes + key.len + 1,
		    payload.len },
	};
	entry_remove(meta, key);
	tk_order_put(&meta->entries, &entry->order, entry->bytes, key.len);
	if (bytes_are(key, TK_META_KEY_PRODUCER_IDS))
		meta->next_producer_id = change->producer_ids.next_producer_id;
	return 0;
}

static int
change_apply(struct tk_meta *meta, const struct change *change)
{
	struct tk_topic *topic;

	switch (change->key.kind) {
	case TK_KEY_TOPIC:
		if (!change->deletion)
			return apply_topic(meta, change);
		/* With all its partitions, whose own records say so behind this one. */
		topic = tk_meta_topic_any(meta, change->key.name.data, change->key.name.len);
		if (topic != NULL && topic->present)
			tk_meta_topic_drop(meta, topic);
		return 0;
	case TK_KEY_PARTITION:
		if (!change->deletion)
			return apply_partition(meta, change);
		apply_partition_deletion(meta, change);
		return 0;
	case TK_KEY_OTHER:
		break;
	}
	if (!change->deletion)
		return apply_entry(meta, change);
	entry_remove(meta, change->key_bytes);
	return 0;
}

int
tk_meta_apply(struct tk_meta *meta, const uint8_t *batch, size_t len)
{
	struct changes changes = { .count = 0 };
	int rc;

	tk_arena_init(&changes.arena, CHANGES_BYTES_MAX);
	rc = changes_decode(meta, &changes, batch, len);
	for (size_t i = 0; rc == 0 && i < changes.count; i++)
		rc = change_apply(meta, &changes.items[i]);
	if (rc == 0 && changes.revision != 0)
		meta->revision = changes.revision;
	tk_arena_reset(&changes.arena);
	return rc;
}
