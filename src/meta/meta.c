/*
 * The view: what is known, and the questions about it.  Any process, one thread.  Transactions come
 * in by meta_apply.c, from the batches that meta_journal.c reads.
 *
 * Topics are found by name, by id and by folded name in hash maps and walked in a skip list;
 * partitions stand in their topic's array.  Keys of other kinds are entries of a second skip list.
 */
#include "meta/meta.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "meta/meta_private.h"
#include "meta/topic_name.h"

static bool
topic_has_name(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct tk_topic *topic = TK_CONTAINER_OF(node, struct tk_topic, by_name);

	return topic->pub.name_len == len && memcmp(topic->name, key, len) == 0;
}

static bool
topic_has_id(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct tk_topic *topic = TK_CONTAINER_OF(node, struct tk_topic, by_id);

	return len == sizeof(topic->pub.id) && memcmp(&topic->pub.id, key, len) == 0;
}

static bool
topic_has_folded(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct tk_topic *topic = TK_CONTAINER_OF(node, struct tk_topic, by_folded);
	const uint8_t *folded = key;

	if (topic->pub.name_len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((topic->name[i] == '.' ? '_' : topic->name[i]) != (char)folded[i])
			return false;
	return true;
}

static struct tk_topic *
topic_of(const struct tk_meta_topic *topic)
{
	return (struct tk_topic *)(uintptr_t)topic;
}

static const struct tk_meta_topic *
topic_ordered(const struct tk_order_node *node)
{
	return node == NULL ? NULL : &TK_CONTAINER_OF(node, struct tk_topic, order)->pub;
}

static const struct tk_meta_topic *
topic_public(const struct tk_topic *topic)
{
	return topic == NULL ? NULL : &topic->pub;
}

int
tk_meta_open(const struct tk_zone *zone, const char *directory, const struct tk_settings *settings,
    struct tk_meta **ret_meta)
{
	struct tk_meta *meta = calloc(1, sizeof(*meta));
	int rc;

	if (meta == NULL)
		return -ENOMEM;
	meta->zone = zone;
	meta->settings = settings;
	TAILQ_INIT(&meta->changed);
	TAILQ_INIT(&meta->deleted);
	tk_topic_config_defaults(settings, &meta->defaults);
	rc = tk_journal_open(&meta->journal, directory);
	if (rc < 0) {
		free(meta);
		return rc;
	}
	*ret_meta = meta;
	return 0;
}

void
tk_meta_close(struct tk_meta **meta)
{
	struct tk_meta *gone = *meta;

	if (gone == NULL)
		return;
	*meta = NULL;
	tk_meta_forget(gone);
	tk_meta_lists_empty(gone);
	tk_map_free(&gone->by_name);
	tk_map_free(&gone->by_id);
	tk_map_free(&gone->by_folded);
	tk_journal_close(&gone->journal);
	free(gone);
}

void
tk_meta_topic_free(struct tk_topic *topic)
{
	free(topic->parts);
	free(topic->own_config);
	free((void *)(uintptr_t)topic->pub.configs);
	free(topic);
}

void
tk_meta_lists_empty(struct tk_meta *meta)
{
	struct tk_topic *topic;

	while ((topic = TAILQ_FIRST(&meta->changed)) != NULL) {
		TAILQ_REMOVE(&meta->changed, topic, touched);
		topic->is_touched = false;
	}
	while ((topic = TAILQ_FIRST(&meta->deleted)) != NULL) {
		TAILQ_REMOVE(&meta->deleted, topic, touched);
		tk_meta_topic_free(topic);
	}
}

void
tk_meta_forget(struct tk_meta *meta)
{
	struct tk_order_node *topic, *entry;
	struct tk_map_node *node;

	while ((topic = tk_order_first(&meta->topics)) != NULL)
		tk_meta_topic_drop(meta, TK_CONTAINER_OF(topic, struct tk_topic, order));
	while ((node = tk_map_next(&meta->by_name, NULL)) != NULL)
		tk_meta_topic_drop(meta, TK_CONTAINER_OF(node, struct tk_topic, by_name));
	while ((entry = tk_order_first(&meta->entries)) != NULL) {
		tk_order_remove(&meta->entries, entry);
		free(TK_CONTAINER_OF(entry, struct tk_entry, order));
	}
	meta->revision = 0;
	meta->transaction = (struct tk_uuid){ .b = { 0 } };
	meta->next_producer_id = 0;
}

static int
meta_read(struct tk_meta *meta, const struct tk_part_state *state)
{
	const uint8_t *batch;
	bool restart = false;
	size_t len;
	int rc;

	rc = tk_journal_begin(&meta->journal, state, &restart);
	if (restart)
		tk_meta_forget(meta);
	while (rc == 0) {
		rc = tk_journal_next(&meta->journal, state, &batch, &len);
		if (rc == 0)
			rc = tk_meta_apply(meta, batch, len);
		if (rc == 0)
			tk_journal_taken(&meta->journal, batch, len);
	}
	return rc == -ENOENT ? 0 : rc;
}

int
tk_meta_catch_up(struct tk_meta *meta)
{
	struct tk_part_state state;
	int rc;

	if (meta->lists_told)
		tk_meta_lists_empty(meta);
	meta->lists_told = false;
	if (!tk_zone_read(meta->zone, TK_META_SLOT, &state, NULL) || state.incarnation == 0 ||
	    state.status == TK_PART_NONE || state.status == TK_PART_DELETED)
		return -EAGAIN;
	if (state.status == TK_PART_OFFLINE) {
		/* Its end may be about to be cut; what was read before stands. */
		rc = meta->journal.offset >= 0 ? 0 : -EAGAIN;
	} else {
		rc = meta_read(meta, &state);
	}
	meta->lists_told = rc == 0;
	return rc;
}

uint64_t
tk_meta_revision(const struct tk_meta *meta)
{
	return meta->revision;
}

struct tk_uuid
tk_meta_transaction(const struct tk_meta *meta)
{
	return meta->transaction;
}

uint32_t
tk_meta_directory_index(const struct tk_meta *meta, const struct tk_uuid *id)
{
	for (size_t i = 0; i < meta->directory_count; i++)
		if (tk_uuid_equal(&meta->directories[i], id) && !tk_uuid_is_zero(id))
			return (uint32_t)i;
	return TK_META_NO_DIRECTORY;
}

void
tk_meta_set_directories(struct tk_meta *meta, const struct tk_uuid *ids, size_t count)
{
	struct tk_map_node *node = NULL;

	tk_assert(count <= TK_META_DIRECTORIES_MAX);
	if (count > 0)
		memcpy(meta->directories, ids, count * sizeof(*ids));
	meta->directory_count = count;
	while ((node = tk_map_next(&meta->by_name, node)) != NULL) {
		struct tk_topic *topic = TK_CONTAINER_OF(node, struct tk_topic, by_name);

		for (int32_t i = 0; i < topic->parts_room; i++)
			topic->parts[i].directory =
			    tk_meta_directory_index(meta, &topic->parts[i].directory_id);
	}
}

/* A value that was good when it was set and is not any more is as if not set. */
void
tk_meta_topic_resolve(struct tk_meta *meta, struct tk_topic *topic)
{
	char err[8];

	topic->pub.config = topic->own_config != NULL ? topic->own_config : &meta->defaults;
	if (topic->own_config == NULL)
		return;
	*topic->own_config = meta->defaults;
	for (size_t i = 0; i < topic->pub.config_count; i++) {
		const struct tk_meta_config *config = &topic->pub.configs[i];

		(void)!tk_topic_config_set(
		    topic->own_config, config->name, config->value, err, sizeof(err));
	}
}

void
tk_meta_set_settings(struct tk_meta *meta, const struct tk_settings *settings)
{
	struct tk_map_node *node = NULL;

	meta->settings = settings;
	tk_topic_config_defaults(settings, &meta->defaults);
	while ((node = tk_map_next(&meta->by_name, node)) != NULL)
		tk_meta_topic_resolve(meta, TK_CONTAINER_OF(node, struct tk_topic, by_name));
}

#define STAMP_REVISION_BITS 40 /* a million million transactions, and 2^24 reloads */

void
tk_meta_set_generation(struct tk_meta *meta, uint32_t generation)
{
	meta->generation = generation;
}

uint64_t
tk_meta_stamp(const struct tk_meta *meta, const struct tk_meta_topic *topic)
{
	return (uint64_t)meta->generation << STAMP_REVISION_BITS |
	       tk_meta_stamp_revision(topic->config_revision);
}

uint64_t
tk_meta_stamp_revision(uint64_t stamp)
{
	return stamp & (((uint64_t)1 << STAMP_REVISION_BITS) - 1);
}

struct tk_topic *
tk_meta_topic_any(const struct tk_meta *meta, const void *name, size_t len)
{
	struct tk_map_node *node = tk_map_find(&meta->by_name, name, len, topic_has_name);

	return node == NULL ? NULL : TK_CONTAINER_OF(node, struct tk_topic, by_name);
}

const struct tk_meta_topic *
tk_meta_topic_find(const struct tk_meta *meta, const void *name, size_t name_len)
{
	struct tk_topic *topic;

	if (name == NULL)
		return NULL;
	topic = tk_meta_topic_any(meta, name, name_len);
	return topic == NULL || !topic->present ? NULL : &topic->pub;
}

const struct tk_meta_topic *
tk_meta_topic_find_id(const struct tk_meta *meta, const struct tk_uuid *id)
{
	struct tk_map_node *node = tk_map_find(&meta->by_id, id, sizeof(*id), topic_has_id);

	return node == NULL ? NULL : &TK_CONTAINER_OF(node, struct tk_topic, by_id)->pub;
}

const struct tk_meta_partition *
tk_meta_partition_find(const struct tk_meta_topic *topic, int32_t index)
{
	if (index < 0 || index >= topic->partition_count)
		return NULL;
	return topic->partitions[index].incarnation == 0 ? NULL : &topic->partitions[index];
}

const struct tk_meta_topic *
tk_meta_topic_collision(const struct tk_meta *meta, const void *name, size_t name_len)
{
	uint8_t folded[TK_TOPIC_NAME_MAX];
	struct tk_map_node *node;

	if (name_len > sizeof(folded))
		return NULL;
	tk_topic_name_fold((struct tk_bytes){ name, (uint32_t)name_len }, folded);
	node = tk_map_find(&meta->by_folded, folded, name_len, topic_has_folded);
	return node == NULL ? NULL : &TK_CONTAINER_OF(node, struct tk_topic, by_folded)->pub;
}

const struct tk_meta_topic *
tk_meta_topic_first(const struct tk_meta *meta)
{
	return topic_ordered(tk_order_first(&meta->topics));
}

const struct tk_meta_topic *
tk_meta_topic_next(const struct tk_meta_topic *topic)
{
	return topic_ordered(tk_order_next(&topic_of(topic)->order));
}

const struct tk_meta_topic *
tk_meta_topic_from(const struct tk_meta *meta, const void *name, size_t name_len)
{
	return topic_ordered(tk_order_from(&meta->topics, name, name_len));
}

size_t
tk_meta_topic_count(const struct tk_meta *meta)
{
	return meta->topic_count;
}

size_t
tk_meta_partition_count(const struct tk_meta *meta)
{
	return meta->partition_count;
}

const struct tk_meta_topic *
tk_meta_deleted(const struct tk_meta *meta)
{
	return topic_public(TAILQ_FIRST(&meta->deleted));
}

const struct tk_meta_topic *
tk_meta_deleted_next(const struct tk_meta_topic *topic)
{
	return topic_public(TAILQ_NEXT(topic_of(topic), touched));
}

const struct tk_meta_topic *
tk_meta_changed(const struct tk_meta *meta)
{
	return topic_public(TAILQ_FIRST(&meta->changed));
}

const struct tk_meta_topic *
tk_meta_changed_next(const struct tk_meta_topic *topic)
{
	return topic_public(TAILQ_NEXT(topic_of(topic), touched));
}

int64_t
tk_meta_next_producer_id(const struct tk_meta *meta)
{
	return meta->next_producer_id;
}

struct tk_entry *
tk_meta_entry_find(const struct tk_meta *meta, const void *key, size_t len)
{
	struct tk_order_node *node = tk_order_from(&meta->entries, key, len);

	if (node == NULL || node->len != len || memcmp(node->key, key, len) != 0)
		return NULL;
	return TK_CONTAINER_OF(node, struct tk_entry, order);
}

bool
tk_meta_key_find(const struct tk_meta *meta, const void *key, size_t key_len,
    uint64_t *ret_revision, uint64_t *ret_create_revision, uint64_t *ret_version)
{
	uint64_t revision = 0, create_revision = 0, version = 0;
	const struct tk_topic *topic = NULL;
	struct tk_key parsed;

	if (tk_key_parse(key, key_len, &parsed) < 0)
		return false;
	if (parsed.kind != TK_KEY_OTHER)
		topic = tk_meta_topic_any(meta, parsed.name.data, parsed.name.len);
	if (parsed.kind == TK_KEY_OTHER) {
		const struct tk_entry *entry = tk_meta_entry_find(meta, key, key_len);

		if (entry != NULL) {
			revision = entry->pub.revision;
			create_revision = entry->pub.create_revision;
			version = entry->pub.version;
		}
	} else if (parsed.kind == TK_KEY_TOPIC && topic != NULL && topic->present) {
		revision = topic->pub.config_revision;
		create_revision = topic->pub.create_revision;
		version = topic->version;
	} else if (parsed.kind == TK_KEY_PARTITION && topic != NULL &&
		   parsed.index < topic->parts_room) {
		revision = topic->parts[parsed.index].revision;
		create_revision = topic->parts[parsed.index].incarnation;
		version = topic->parts[parsed.index].version;
	}
	if (create_revision == 0)
		return false;
	*ret_revision = revision;
	*ret_create_revision = create_revision;
	*ret_version = version;
	return true;
}

static const struct tk_meta_entry *
entry_if_prefixed(const struct tk_order_node *node, const void *prefix, size_t len)
{
	if (node == NULL || node->len < len || (len > 0 && memcmp(node->key, prefix, len) != 0))
		return NULL;
	return &TK_CONTAINER_OF(node, struct tk_entry, order)->pub;
}

const struct tk_meta_entry *
tk_meta_range(const struct tk_meta *meta, const void *prefix, size_t prefix_len)
{
	const struct tk_order_node *node = prefix_len == 0
					       ? tk_order_first(&meta->entries)
					       : tk_order_from(&meta->entries, prefix, prefix_len);

	return entry_if_prefixed(node, prefix, prefix_len);
}

const struct tk_meta_entry *
tk_meta_range_next(const struct tk_meta_entry *entry, const void *prefix, size_t prefix_len)
{
	const struct tk_entry *of = (const struct tk_entry *)(const void *)entry;

	return entry_if_prefixed(tk_order_next(&of->order), prefix, prefix_len);
}
