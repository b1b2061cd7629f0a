/*
 * What several requests about topics check, say and write alike.  The sentences are Kafka's where
 * Kafka has one.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/coordinator_private.h"
#include "log/zone.h"
#include "meta/topic_name.h"

bool
tk_refuse(
    struct tk_job *job, struct tk_refusal *ret_refusal, enum tk_error code, const char *fmt, ...)
{
	char text[768];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ret_refusal->code = code;
	ret_refusal->message = tk_job_text(job, "%s", text);
	return false;
}

struct set_name {
	struct tk_map_node node;
	struct tk_bytes name;
};

static bool
set_name_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct set_name *name = TK_CONTAINER_OF(node, struct set_name, node);

	return name->name.len == len && memcmp(name->name.data, key, len) == 0;
}

bool
tk_name_set_has(const struct tk_name_set *set, struct tk_bytes name)
{
	return tk_map_find(&set->map, name.data, name.len, set_name_equal) != NULL;
}

bool
tk_name_set_put(struct tk_name_set *set, struct tk_bytes name)
{
	struct set_name *node;

	if (tk_name_set_has(set, name))
		return false;
	node = tk_arena_alloc(set->arena, sizeof(*node));
	if (node == NULL)
		return false;
	node->name = name;
	tk_map_put(&set->map, &node->node, name.data, name.len);
	return true;
}

const char *
tk_name_shown(struct tk_job *job, struct tk_bytes name)
{
	char *text =
	    tk_arena_strndup(&job->arena, name.data == NULL ? (const uint8_t *)"" : name.data,
		TK_MIN(name.len, TK_TOPIC_NAME_MAX));

	for (char *at = text; at != NULL && *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	return text == NULL ? "" : text;
}

bool
tk_assignment_check(
    struct tk_job *job, const int32_t *broker_ids, int32_t count, struct tk_refusal *ret_refusal)
{
	int32_t node_id = job->coord->settings->node_id;

	if (count <= 0)
		return tk_refuse(job, ret_refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
		    "The manual partition assignment includes an empty replica list.");
	for (int32_t i = 0; i < count; i++)
		if (broker_ids[i] != node_id)
			return tk_refuse(job, ret_refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
			    "The manual partition assignment includes broker %d, but no such "
			    "broker is "
			    "registered.",
			    broker_ids[i]);
	if (count > 1)
		return tk_refuse(job, ret_refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
		    "The manual partition assignment includes the broker %d more than once.",
		    node_id);
	return true;
}

bool
tk_partitions_check(
    struct tk_job *job, int64_t taken, int64_t count, struct tk_refusal *ret_refusal)
{
	int64_t present = (int64_t)tk_meta_partition_count(job->coord->meta) + taken;
	int64_t max = job->coord->settings->max_partitions;

	if (present + count <= max)
		return true;
	return tk_refuse(job, ret_refusal, TK_ERR_INVALID_PARTITIONS,
	    "Cannot add %lld partition(s) to the %lld of this broker: its setting max_partitions "
	    "is "
	    "%lld.",
	    (long long)count, (long long)present, (long long)max);
}

void
tk_partitions_unwrite(struct tk_job *job, const struct tk_written *written)
{
	for (int32_t i = 0; i < written->count; i++)
		tk_slots_release(job->coord, written->places[i].directory, written->places[i].slot);
}

int
tk_partitions_write(struct tk_job *job, struct tk_meta_txn *txn, struct tk_bytes name, int32_t from,
    int32_t count, struct tk_written *ret_written)
{
	int32_t node_id = job->coord->settings->node_id;
	struct tk_meta_partition_value value = { .leader = node_id,
		.leader_epoch = 0,
		.replicas = &node_id,
		.replicas_count = 1,
		.isr = &node_id,
		.isr_count = 1 };
	struct tk_written written = { .count = 0 };
	uint64_t directories = job->directories;

	written.places = tk_arena_calloc(&job->arena, (size_t)count + 1, sizeof(*written.places));
	if (written.places == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		struct tk_place *place = &written.places[i];
		int rc = tk_slots_take(job->coord, &value, &place->directory);

		if (rc < 0) {
			tk_partitions_unwrite(job, &written);
			return rc;
		}
		place->slot = value.slot;
		written.count++;
		directories |= (uint64_t)1 << place->directory;
		tk_meta_txn_put_partition(txn, name, from + i, &value);
	}
	job->directories = directories;
	*ret_written = written;
	return 0;
}

uint64_t
tk_topic_directories(const struct tk_meta_topic *topic)
{
	uint64_t directories = 0;

	for (int32_t i = 0; i < topic->partition_count; i++) {
		const struct tk_meta_partition *part = &topic->partitions[i];

		if (part->incarnation != 0 && part->directory < TK_DIRECTORIES_MAX)
			directories |= (uint64_t)1 << part->directory;
	}
	return directories;
}

bool
tk_partitions_are_up(
    struct tk_coordinator *coord, const struct tk_meta_topic *topic, int32_t from, int32_t to)
{
	for (int32_t i = from; i < to; i++) {
		const struct tk_meta_partition *part = tk_meta_partition_find(topic, i);
		const struct tk_zone *zone;
		struct tk_part_state state;

		if (part == NULL || part->directory >= coord->directory_count)
			continue;
		zone = coord->ties[part->directory].zone;
		if (zone == NULL)
			continue;
		if (!tk_zone_read(zone, part->slot, &state, NULL) ||
		    state.incarnation != part->incarnation ||
		    (state.status != TK_PART_ONLINE && state.status != TK_PART_READ_ONLY))
			return false;
	}
	return true;
}
