/*
 * ListOffsets: the ends of a log, and the offset of a time.  Runs in workers.
 *
 * A search by time may need the segment list, which its writer is asked for; the request is then
 * taken up again from the start.
 */
#include <stdio.h>

#include "handlers.h"
#include "log/checkpoint.h"

#define LATEST           (-1)
#define EARLIEST         (-2)
#define MAX_TIMESTAMP    (-3)
#define EARLIEST_LOCAL   (-4)
#define LATEST_TIERED    (-5)
#define EARLIEST_PENDING (-6)

#define SEGMENTS_WAIT_MS 5000

struct list_offsets {
	struct tk_list_offsets_request msg;
	bool wants_segments;
};

static int16_t
search_error(const struct tk_part_key *key, int rc)
{
	if (rc == -ESTALE)
		return TK_ERR_NOT_LEADER_OR_FOLLOWER;
	if (rc != -EAGAIN) /* else its writer has not told of its segments in time */
		tk_read_failed(key, rc);
	return TK_ERR_KAFKA_STORAGE_ERROR;
}

/* By time or the largest timestamp; both read the log. */
static int16_t
part_search(struct tk_request *req, struct list_offsets *list, const struct tk_part *part,
    int64_t timestamp, const struct tk_position *limit,
    struct tk_list_offsets_response_partition *ret)
{
	struct tk_time_offset found;
	int rc;

	if (timestamp == MAX_TIMESTAMP)
		rc = tk_reader_max_timestamp(
		    req->worker->reader, &part->key, &part->state, limit, &found);
	else
		rc = tk_reader_offset_by_time(
		    req->worker->reader, &part->key, &part->state, timestamp, limit, &found);
	if (rc == -EAGAIN && !req->timer_fired) {
		list->wants_segments = true;
		return tk_worker_segments(req->worker, &part->key, req) < 0
			   ? TK_ERR_KAFKA_STORAGE_ERROR
			   : TK_ERR_NONE;
	}
	if (rc < 0)
		return search_error(&part->key, rc);
	ret->offset = found.offset;
	ret->timestamp = found.timestamp;
	ret->leader_epoch = found.leader_epoch;
	return TK_ERR_NONE;
}

/* The epoch of the first record, which is no later than the one in force; -1: nobody knows. */
static int32_t
first_epoch(const struct tk_request *req, const struct tk_part *part)
{
	char name[300];
	int32_t epoch;

	if (part->state.leader_epoch == 0)
		return 0;
	(void)snprintf(name, sizeof(name), "%.*s-%d", (int)part->key.topic_len, part->key.topic,
	    (int)part->key.partition);
	if (tk_epochs_at(req->worker->directory_fds[part->key.directory], name,
		part->state.log_start, &epoch) < 0)
		return -1;
	return TK_MIN(epoch, part->state.leader_epoch);
}

static int16_t
part_answer(struct tk_request *req, struct list_offsets *list,
    const struct tk_list_offsets_request_topic *topic,
    const struct tk_list_offsets_request_partition *ask,
    struct tk_list_offsets_response_partition *ret)
{
	const struct tk_meta_topic *found =
	    tk_meta_topic_find(req->worker->meta, topic->name.data, topic->name.len);
	const struct tk_position *limit;
	struct tk_part part;
	int16_t error = tk_worker_part(req->worker, found, ask->partition_index, &part);

	if (error == TK_ERR_NONE)
		error = tk_epoch_error(ask->current_leader_epoch, part.state.leader_epoch);
	if (error != TK_ERR_NONE)
		return error;
	limit =
	    list->msg.isolation_level == 1 ? &part.state.last_stable : &part.state.high_watermark;
	switch (ask->timestamp) {
	case LATEST:
		ret->offset = limit->offset;
		ret->leader_epoch = part.state.leader_epoch;
		return TK_ERR_NONE;
	case EARLIEST:
	case EARLIEST_LOCAL:
		ret->offset = part.state.log_start;
		ret->leader_epoch = first_epoch(req, &part);
		return TK_ERR_NONE;
	case LATEST_TIERED:
	case EARLIEST_PENDING:
		return TK_ERR_NONE; /* nothing is tiered: -1 */
	default:
		if (ask->timestamp < EARLIEST_PENDING)
			return TK_ERR_UNSUPPORTED_VERSION;
		return part_search(req, list, &part, ask->timestamp, limit, ret);
	}
}

/* The least version that may ask for a special timestamp. */
static bool
timestamp_is_known(int version, int64_t timestamp)
{
	static const int least[] = { 0, 0, 0, 7, 8, 9, 11 };

	return timestamp >= 0 || (timestamp >= EARLIEST_PENDING && version >= least[-timestamp]);
}

static bool
topic_answer(struct tk_request *req, struct list_offsets *list,
    const struct tk_list_offsets_request_topic *ask, struct tk_list_offsets_response_topic *ret)
{
	tk_list_offsets_response_topic_init(ret);
	ret->name = ask->name;
	ret->partitions = tk_arena_calloc(
	    &req->arena, (size_t)ask->partitions_count + 1, sizeof(*ret->partitions));
	if (ret->partitions == NULL)
		return false;
	ret->partitions_count = ask->partitions_count;
	for (int32_t i = 0; i < ask->partitions_count; i++) {
		struct tk_list_offsets_response_partition *part = &ret->partitions[i];

		tk_list_offsets_response_partition_init(part);
		part->partition_index = ask->partitions[i].partition_index;
		if (!timestamp_is_known(req->version, ask->partitions[i].timestamp))
			part->error_code = TK_ERR_UNSUPPORTED_VERSION;
		else
			part->error_code = part_answer(req, list, ask, &ask->partitions[i], part);
	}
	return true;
}

static enum tk_io
list_offsets_handle(struct tk_request *req)
{
	struct list_offsets *list = req->ctx;
	struct tk_list_offsets_response msg;

	if (list == NULL) {
		list = tk_arena_calloc(&req->arena, 1, sizeof(*list));
		if (list == NULL || !tk_request_decode(req, &list->msg))
			return TK_IO_ERROR;
		req->ctx = list;
	}
	(void)!tk_meta_catch_up(req->worker->meta);
	list->wants_segments = false;
	tk_list_offsets_response_init(&msg);
	msg.topics =
	    tk_arena_calloc(&req->arena, (size_t)list->msg.topics_count + 1, sizeof(*msg.topics));
	if (msg.topics == NULL)
		return TK_IO_ERROR;
	msg.topics_count = list->msg.topics_count;
	for (int32_t i = 0; i < list->msg.topics_count; i++)
		if (!topic_answer(req, list, &list->msg.topics[i], &msg.topics[i]))
			return TK_IO_ERROR;
	if (!list->wants_segments)
		return tk_request_reply(req, &msg);
	tk_request_wake_after(req, SEGMENTS_WAIT_MS);
	return TK_IO_AGAIN;
}

static const struct tk_api apis[] = {
	{ 2, 1, 11, 1, 0, list_offsets_handle, NULL },
};

static const struct tk_handler list_offsets_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_list_offsets = { .abi = TK_MODULE_ABI,
	.name = "list_offsets",
	.kind = TK_MODULE_HANDLER,
	.handler = &list_offsets_handler };
