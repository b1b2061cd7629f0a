/*
 * OffsetForLeaderEpoch: where the records of a leader epoch end.  Runs in workers.
 *
 * The epoch in force ends where the log does, which is published.  An older one ends where the next
 * began: that is read from the partition's leader-epoch-checkpoint, which its writer puts in place
 * as a whole before it publishes an epoch.  So the file knows at least what is published.
 */
#include <stdio.h>

#include "handlers.h"
#include "log/checkpoint.h"

static int16_t
past_epoch(const struct tk_request *req, const struct tk_part *part, int32_t epoch,
    struct tk_offset_for_leader_epoch_response_partition *ret)
{
	char name[300];
	int64_t end;
	int32_t found;
	int rc;

	(void)snprintf(name, sizeof(name), "%.*s-%d", (int)part->key.topic_len, part->key.topic,
	    (int)part->key.partition);
	rc = tk_epochs_end(
	    req->worker->directory_fds[part->key.directory], name, epoch, &found, &end);
	if (rc == -ENOENT)
		return TK_ERR_NONE; /* no such epoch: -1 */
	if (rc < 0)
		return TK_ERR_KAFKA_STORAGE_ERROR;
	ret->leader_epoch = found;
	ret->end_offset = TK_MIN(end, part->state.log_end.offset);
	return TK_ERR_NONE;
}

static int16_t
part_answer(struct tk_request *req, const struct tk_meta_topic *topic,
    const struct tk_offset_for_leader_epoch_request_partition *ask,
    struct tk_offset_for_leader_epoch_response_partition *ret)
{
	struct tk_part part;
	int16_t error = tk_worker_part(req->worker, topic, ask->partition, &part);

	if (error == TK_ERR_NONE)
		error = tk_epoch_error(ask->current_leader_epoch, part.state.leader_epoch);
	if (error != TK_ERR_NONE)
		return error;
	if (ask->leader_epoch < 0 || ask->leader_epoch > part.state.leader_epoch)
		return TK_ERR_NONE; /* an epoch nobody has had yet: -1 */
	if (ask->leader_epoch < part.state.leader_epoch)
		return past_epoch(req, &part, ask->leader_epoch, ret);
	ret->leader_epoch = ask->leader_epoch;
	ret->end_offset = part.state.log_end.offset;
	return TK_ERR_NONE;
}

static bool
topic_answer(struct tk_request *req, const struct tk_offset_for_leader_epoch_request_topic *ask,
    struct tk_offset_for_leader_epoch_response_topic *ret)
{
	const struct tk_meta_topic *topic =
	    tk_meta_topic_find(req->worker->meta, ask->topic.data, ask->topic.len);

	tk_offset_for_leader_epoch_response_topic_init(ret);
	ret->topic = ask->topic;
	ret->partitions = tk_arena_calloc(
	    &req->arena, (size_t)ask->partitions_count + 1, sizeof(*ret->partitions));
	if (ret->partitions == NULL)
		return false;
	ret->partitions_count = ask->partitions_count;
	for (int32_t i = 0; i < ask->partitions_count; i++) {
		struct tk_offset_for_leader_epoch_response_partition *part = &ret->partitions[i];

		tk_offset_for_leader_epoch_response_partition_init(part);
		part->partition = ask->partitions[i].partition;
		part->error_code = part_answer(req, topic, &ask->partitions[i], part);
	}
	return true;
}

static enum tk_io
offset_for_leader_epoch_handle(struct tk_request *req)
{
	struct tk_offset_for_leader_epoch_request ask;
	struct tk_offset_for_leader_epoch_response msg;

	if (!tk_request_decode(req, &ask))
		return TK_IO_ERROR;
	(void)!tk_meta_catch_up(req->worker->meta);
	tk_offset_for_leader_epoch_response_init(&msg);
	msg.topics =
	    tk_arena_calloc(&req->arena, (size_t)ask.topics_count + 1, sizeof(*msg.topics));
	if (msg.topics == NULL)
		return TK_IO_ERROR;
	msg.topics_count = ask.topics_count;
	for (int32_t i = 0; i < ask.topics_count; i++)
		if (!topic_answer(req, &ask.topics[i], &msg.topics[i]))
			return TK_IO_ERROR;
	return tk_request_reply(req, &msg);
}

static const struct tk_api apis[] = {
	{ 23, 2, 4, 0, 0, offset_for_leader_epoch_handle, NULL },
};

static const struct tk_handler offset_for_leader_epoch_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_offset_for_leader_epoch = { .abi = TK_MODULE_ABI,
	.name = "offset_for_leader_epoch",
	.kind = TK_MODULE_HANDLER,
	.handler = &offset_for_leader_epoch_handler };
