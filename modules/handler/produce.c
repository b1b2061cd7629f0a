/*
 * Produce: batches checked here, appended by the writers of their partitions.  Runs in workers.
 *
 * Each partition is validated and handed over in the order of the request, at once; the reply is
 * joined when all are settled, each with its own error.  A batch stays where it was received until
 * its writer has answered, also when the client is gone or was told that its time is up: what was
 * handed over may still be appended, so such a partition is REQUEST_TIMED_OUT, never "not leader".
 * acks = 0 has no reply; an error then closes the connection, as Kafka does.
 */
#include <string.h>

#include "base/clock.h"
#include "base/topic_config.h"
#include "handlers.h"
#include "log/validate.h"

#define RESENDS_MAX 3u

struct produce_part {
	const struct tk_produce_request_topic *topic;
	const struct tk_produce_request_partition *part;
	struct tk_append_call *call; /* while its writer has it */
	unsigned resends;
	struct tk_frame_appended result;
	int32_t bad_record; /* index of a record that was refused, or -1 */
	const char *message;
};

struct produce {
	struct tk_request *req;
	struct tk_produce_request msg;
	struct produce_part *parts;
	unsigned count, pending;
	int64_t deadline_ms;
};

static void
part_fail(struct produce_part *part, int16_t error)
{
	part->result = (struct tk_frame_appended){
		.base_offset = -1, .log_append_time_ms = -1, .log_start = -1, .error = error
	};
}

static void produce_part_send(struct produce *produce, unsigned index);

static void
produce_appended(void *owner, unsigned index, const struct tk_frame_appended *result)
{
	struct produce *produce = owner;
	struct produce_part *part = &produce->parts[index];

	part->call = NULL;
	produce->pending--;
	if (result == NULL)
		part_fail(part, TK_ERR_REQUEST_TIMED_OUT);
	else
		part->result = *result;
	if (part->result.error == TK_APPENDED_STALE) {
		if (part->resends++ < RESENDS_MAX &&
		    tk_meta_catch_up(produce->req->worker->meta) == 0)
			produce_part_send(produce, index);
		else
			part_fail(part, TK_ERR_NOT_LEADER_OR_FOLLOWER);
	} else if (part->result.error == TK_ERR_NONE) {
		tk_count(TK_COUNT_produce_batches, 1);
		tk_count(TK_COUNT_produce_bytes, part->part->records.len);
	}
	if (produce->pending == 0)
		tk_request_wake(produce->req);
}

/* 0 with both filled in, or the partition's error. */
static int16_t
produce_part_check(struct produce *produce, struct produce_part *part, struct tk_part *ret_where,
    struct tk_batch_verdict *ret_verdict)
{
	const struct tk_request *req = produce->req;
	const struct tk_meta_topic *topic =
	    tk_topic_of(req->worker, &part->topic->name, &part->topic->topic_id);
	struct tk_batch_rules rules;
	int16_t error;

	if (topic == NULL)
		return req->version >= 13 ? TK_ERR_UNKNOWN_TOPIC_ID
					  : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	if (topic->is_internal)
		return TK_ERR_INVALID_TOPIC_EXCEPTION;
	error = tk_worker_part(req->worker, topic, part->part->index, ret_where);
	if (error != TK_ERR_NONE)
		return error;
	rules = (struct tk_batch_rules){ .produce_version = req->version,
		.compacted = (topic->config->cleanup_policy & TK_CLEANUP_COMPACT) != 0,
		.log_append_time = topic->config->timestamp_type == TK_TIMESTAMP_LOG_APPEND_TIME,
		.max_message_bytes = (int32_t)topic->config->max_message_bytes,
		.now_ms = tk_clock_wall_ms(),
		.timestamp_before_max_ms = topic->config->timestamp_before_max_ms,
		.timestamp_after_max_ms = topic->config->timestamp_after_max_ms };
	error = tk_batch_validate(
	    part->part->records.data, part->part->records.len, &rules, ret_verdict);
	if (error != TK_ERR_NONE) {
		part->bad_record = ret_verdict->record_index;
		part->message = ret_verdict->message;
	} else if ((ret_verdict->header.attributes & TK_BATCH_TRANSACTIONAL) != 0) {
		error = TK_ERR_INVALID_TXN_STATE;
		part->message = "transactions are not supported by this version";
	}
	return error;
}

static void
produce_part_send(struct produce *produce, unsigned index)
{
	struct tk_request *req = produce->req;
	struct produce_part *part = &produce->parts[index];
	const struct tk_bytes *records = &part->part->records;
	struct tk_frame_append frame;
	struct tk_batch_verdict verdict;
	struct tk_part where;
	int16_t error = produce_part_check(produce, part, &where, &verdict);

	if (error != TK_ERR_NONE) {
		part_fail(part, error);
		return;
	}
	frame = (struct tk_frame_append){ .incarnation = where.key.incarnation,
		.config_revision = tk_meta_stamp(req->worker->meta, where.topic),
		.arena_offset = tk_shared_offset(req->worker->arena, records->data),
		.len = records->len,
		.slot = where.key.slot,
		.leader_epoch = -1,
		.flags = verdict.walked ? TK_APPEND_MAX_TIMESTAMP : 0,
		.deadline_ms = produce->deadline_ms,
		.max_timestamp = verdict.max_timestamp };
	produce->pending++;
	if (tk_worker_append(req->worker, where.key.directory, &frame, req->buf, produce_appended,
		produce, index, &part->call) < 0) {
		produce->pending--;
		part_fail(part, TK_ERR_NOT_LEADER_OR_FOLLOWER);
	}
}

static enum tk_io
produce_begin(struct tk_request *req)
{
	struct produce *produce = tk_arena_calloc(&req->arena, 1, sizeof(*produce));
	unsigned index = 0;

	if (produce == NULL || !tk_request_decode(req, &produce->msg))
		return TK_IO_ERROR;
	req->ctx = produce;
	produce->req = req;
	tk_count(TK_COUNT_produce_requests, 1);
	for (int32_t i = 0; i < produce->msg.topic_data_count; i++)
		produce->count += (unsigned)produce->msg.topic_data[i].partition_data_count;
	produce->parts = tk_arena_calloc(&req->arena, produce->count + 1, sizeof(*produce->parts));
	if (produce->parts == NULL)
		return TK_IO_ERROR;
	for (int32_t i = 0; i < produce->msg.topic_data_count; i++) {
		const struct tk_produce_request_topic *topic = &produce->msg.topic_data[i];

		for (int32_t k = 0; k < topic->partition_data_count; k++)
			produce->parts[index++] = (struct produce_part){
				.topic = topic, .part = &topic->partition_data[k], .bad_record = -1
			};
	}
	return TK_IO_OK;
}

static void
produce_start(struct produce *produce)
{
	struct tk_request *req = produce->req;
	int64_t timeout_ms = tk_timeout_ms(produce->msg.timeout_ms, 1000);
	int16_t acks = produce->msg.acks;
	int16_t error = TK_ERR_NONE;

	if (acks < -1 || acks > 1)
		error = TK_ERR_INVALID_REQUIRED_ACKS;
	else if (produce->msg.transactional_id.data != NULL)
		error = TK_ERR_INVALID_TXN_STATE;
	else if (tk_meta_catch_up(req->worker->meta) < 0)
		error = TK_ERR_NOT_LEADER_OR_FOLLOWER;
	produce->deadline_ms = tk_clock_mono_ms() + timeout_ms;
	for (unsigned i = 0; i < produce->count; i++) {
		if (error != TK_ERR_NONE)
			part_fail(&produce->parts[i], error);
		else
			produce_part_send(produce, i);
	}
	if (produce->pending > 0)
		tk_request_wake_after(req, timeout_ms);
}

/* Time is up: what its writer does not have yet is taken back, the rest is anyone's guess. */
static void
produce_give_up(struct produce *produce)
{
	for (unsigned i = 0; i < produce->count; i++) {
		struct produce_part *part = &produce->parts[i];

		if (part->call == NULL)
			continue;
		if (tk_append_take_back(part->call)) {
			part_fail(part, TK_ERR_NOT_LEADER_OR_FOLLOWER);
		} else {
			tk_append_forget(part->call);
			part_fail(part, TK_ERR_REQUEST_TIMED_OUT);
		}
		part->call = NULL;
		produce->pending--;
	}
}

static bool
produce_fill_part(struct tk_request *req, const struct produce_part *part,
    struct tk_produce_response_partition *ret)
{
	tk_produce_response_partition_init(ret);
	ret->index = part->part->index;
	ret->error_code = (int16_t)part->result.error;
	ret->base_offset = part->result.base_offset;
	ret->log_append_time_ms = part->result.log_append_time_ms;
	ret->log_start_offset = part->result.log_start;
	ret->error_message = tk_text_or_null(part->message);
	if (part->bad_record < 0)
		return true;
	ret->record_errors = tk_arena_calloc(&req->arena, 1, sizeof(*ret->record_errors));
	if (ret->record_errors == NULL)
		return false;
	tk_produce_response_record_error_init(ret->record_errors);
	ret->record_errors[0].batch_index = part->bad_record;
	ret->record_errors[0].batch_index_error_message = ret->error_message;
	ret->record_errors_count = 1;
	return true;
}

static enum tk_io
produce_reply(struct produce *produce)
{
	struct tk_request *req = produce->req;
	struct tk_produce_response msg;
	const struct produce_part *part = produce->parts;
	int32_t topics = produce->msg.topic_data_count;

	tk_produce_response_init(&msg);
	msg.responses = tk_arena_calloc(&req->arena, (size_t)topics + 1, sizeof(*msg.responses));
	if (msg.responses == NULL)
		return TK_IO_ERROR;
	msg.responses_count = topics;
	for (int32_t i = 0; i < topics; i++) {
		const struct tk_produce_request_topic *from = &produce->msg.topic_data[i];
		struct tk_produce_response_topic *to = &msg.responses[i];

		tk_produce_response_topic_init(to);
		to->name = from->name;
		to->topic_id = from->topic_id;
		to->partition_responses = tk_arena_calloc(&req->arena,
		    (size_t)from->partition_data_count + 1, sizeof(*to->partition_responses));
		if (to->partition_responses == NULL)
			return TK_IO_ERROR;
		to->partition_responses_count = from->partition_data_count;
		for (int32_t k = 0; k < from->partition_data_count; k++)
			if (!produce_fill_part(req, part++, &to->partition_responses[k]))
				return TK_IO_ERROR;
	}
	return tk_request_reply(req, &msg);
}

static enum tk_io
produce_finish(struct produce *produce)
{
	if (produce->msg.acks != 0)
		return produce_reply(produce);
	produce->req->no_reply = true;
	for (unsigned i = 0; i < produce->count; i++)
		if (produce->parts[i].result.error != TK_ERR_NONE)
			return TK_IO_ERROR;
	return TK_IO_DONE;
}

static enum tk_io
produce_handle(struct tk_request *req)
{
	struct produce *produce = req->ctx;

	if (produce == NULL) {
		if (produce_begin(req) != TK_IO_OK)
			return TK_IO_ERROR;
		produce = req->ctx;
		produce_start(produce);
	} else if (req->timer_fired) {
		produce_give_up(produce);
	}
	return produce->pending > 0 ? TK_IO_AGAIN : produce_finish(produce);
}

static void
produce_cancel(struct tk_request *req)
{
	struct produce *produce = req->ctx;

	for (unsigned i = 0; produce != NULL && i < produce->count; i++)
		if (produce->parts[i].call != NULL)
			tk_append_forget(produce->parts[i].call);
}

/* Versions 0 to 2 are told of but refused, as Kafka 4 does: librdkafka wants to see them. */
static const struct tk_api apis[] = {
	{ 0, 3, 13, 0, TK_API_PIPELINED, produce_handle, produce_cancel },
};

static const struct tk_handler produce_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_produce = { .abi = TK_MODULE_ABI,
	.name = "produce",
	.kind = TK_MODULE_HANDLER,
	.handler = &produce_handler };
