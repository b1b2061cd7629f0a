/*
 * From a topic's partition to its place and its published state.  Runs in workers.
 */
#include "server/worker.h"
#include "wire/error_codes.h"

int16_t
tk_worker_part(struct tk_worker *worker, const struct tk_meta_topic *topic, int32_t partition,
    struct tk_part *ret_part)
{
	const struct tk_meta_partition *meta;

	if (topic == NULL)
		return TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	meta = tk_meta_partition_find(topic, partition);
	if (meta == NULL)
		return TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	if (meta->directory >= worker->directory_count)
		return TK_ERR_KAFKA_STORAGE_ERROR;
	*ret_part = (struct tk_part){ .topic = topic,
		.meta = meta,
		.key = { .directory = (uint16_t)meta->directory,
		    .slot = meta->slot,
		    .incarnation = meta->incarnation,
		    .topic = topic->name,
		    .topic_len = topic->name_len,
		    .partition = partition } };
	if (!tk_zone_read(
		worker->zones[meta->directory], meta->slot, &ret_part->state, &ret_part->seq) ||
	    ret_part->state.incarnation != meta->incarnation)
		return TK_ERR_NOT_LEADER_OR_FOLLOWER; /* its writer has yet to open it */
	switch (ret_part->state.status) {
	case TK_PART_ONLINE:
	case TK_PART_READ_ONLY:
		return TK_ERR_NONE;
	case TK_PART_OFFLINE:
		return TK_ERR_KAFKA_STORAGE_ERROR;
	case TK_PART_DELETED:
		return TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	default:
		return TK_ERR_NOT_LEADER_OR_FOLLOWER;
	}
}
