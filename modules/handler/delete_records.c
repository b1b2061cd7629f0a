/*
 * DeleteRecords: where logs begin moves up.  Runs in workers.
 *
 * Only the writer moves a log's start.  It is asked, a question a partition, and answers once the
 * new start is published and its checkpoint is on the disk; asked twice it does nothing more.  When
 * the time is up what is not answered is REQUEST_TIMED_OUT, and may still be done.
 */
#include <string.h>

#include "base/topic_config.h"
#include "handlers.h"
#include "server/frames.h"

#define HIGH_WATERMARK (-1)

struct delete_part {
	const struct tk_delete_records_request_partition *ask;
	struct tk_ask *asked; /* while its writer has it */
	int64_t low_watermark;
	int16_t error;
};

struct delete_records {
	struct tk_request *req;
	struct tk_delete_records_request msg;
	struct delete_part *parts;
	unsigned count, pending;
};

static void
part_retained(void *owner, unsigned index, const void *payload, size_t len)
{
	struct delete_records *delete = owner;
	struct delete_part *part = &delete->parts[index];
	struct tk_frame_retained answer;

	(void)len;
	memcpy(&answer, payload, sizeof(answer));
	part->asked = NULL;
	if (answer.error == 0) {
		part->error = TK_ERR_NONE;
		part->low_watermark = answer.log_start;
	} else if (answer.error == -EINVAL) {
		part->error = TK_ERR_OFFSET_OUT_OF_RANGE;
	} else if (answer.error == -ENOENT) {
		part->error = TK_ERR_NOT_LEADER_OR_FOLLOWER;
	} else {
		part->error = TK_ERR_KAFKA_STORAGE_ERROR;
	}
	if (--delete->pending == 0)
		tk_request_wake(delete->req);
}

/* Asks the writer, or says why not. */
static int16_t
part_begin(
    struct delete_records *delete, const struct tk_meta_topic *topic, struct delete_part *part)
{
	struct tk_worker *worker = delete->req->worker;
	struct tk_frame_retain frame = { .log_start = part->ask->offset };
	struct tk_part where;
	int16_t error;

	if (topic != NULL && topic->is_internal)
		return TK_ERR_INVALID_TOPIC_EXCEPTION;
	error = tk_worker_part(worker, topic, part->ask->partition_index, &where);
	if (error != TK_ERR_NONE)
		return error;
	if ((topic->config->cleanup_policy & TK_CLEANUP_DELETE) == 0)
		return TK_ERR_POLICY_VIOLATION;
	if (frame.log_start == HIGH_WATERMARK)
		frame.log_start = where.state.high_watermark.offset;
	if (frame.log_start < 0 || frame.log_start > where.state.high_watermark.offset)
		return TK_ERR_OFFSET_OUT_OF_RANGE;
	frame.incarnation = where.key.incarnation;
	frame.slot = where.key.slot;
	if (tk_worker_ask(worker, where.key.directory, TK_FRAME_RETAIN, &frame, sizeof(frame),
		part_retained, delete, (unsigned)(part - delete->parts), &part->asked) < 0)
		return TK_ERR_KAFKA_STORAGE_ERROR;
	delete->pending++;
	return TK_ERR_REQUEST_TIMED_OUT; /* until it is answered */
}

static enum tk_io
delete_begin(struct tk_request *req)
{
	struct delete_records *delete = tk_arena_calloc(&req->arena, 1, sizeof(*delete));
	unsigned index = 0;

	if (delete == NULL || !tk_request_decode(req, &delete->msg))
		return TK_IO_ERROR;
	req->ctx = delete;
	delete->req = req;
	for (int32_t i = 0; i < delete->msg.topics_count; i++)
		delete->count += (unsigned)delete->msg.topics[i].partitions_count;
	delete->parts = tk_arena_calloc(&req->arena, delete->count + 1, sizeof(*delete->parts));
	if (delete->parts == NULL)
		return TK_IO_ERROR;
	(void)!tk_meta_catch_up(req->worker->meta);
	for (int32_t i = 0; i < delete->msg.topics_count; i++) {
		const struct tk_delete_records_request_topic *ask = &delete->msg.topics[i];
		const struct tk_meta_topic *topic =
		    tk_meta_topic_find(req->worker->meta, ask->name.data, ask->name.len);

		for (int32_t k = 0; k < ask->partitions_count; k++) {
			struct delete_part *part = &delete->parts[index++];

			part->ask = &ask->partitions[k];
			part->low_watermark = -1;
			part->error = part_begin(delete, topic, part);
		}
	}
	if (delete->pending > 0)
		tk_request_wake_after(req, tk_timeout_ms(delete->msg.timeout_ms, 1));
	return TK_IO_OK;
}

static void
delete_give_up(struct delete_records *delete)
{
	for (unsigned i = 0; i < delete->count; i++) {
		if (delete->parts[i].asked == NULL)
			continue;
		tk_ask_forget(delete->parts[i].asked);
		delete->parts[i].asked = NULL;
	}
	delete->pending = 0;
}

static enum tk_io
delete_reply(struct delete_records *delete)
{
	struct tk_request *req = delete->req;
	struct tk_delete_records_response msg;
	const struct delete_part *part = delete->parts;
	int32_t topics = delete->msg.topics_count;

	tk_delete_records_response_init(&msg);
	msg.topics = tk_arena_calloc(&req->arena, (size_t)topics + 1, sizeof(*msg.topics));
	if (msg.topics == NULL)
		return TK_IO_ERROR;
	msg.topics_count = topics;
	for (int32_t i = 0; i < topics; i++) {
		const struct tk_delete_records_request_topic *from = &delete->msg.topics[i];
		struct tk_delete_records_response_topic *to = &msg.topics[i];

		tk_delete_records_response_topic_init(to);
		to->name = from->name;
		to->partitions = tk_arena_calloc(
		    &req->arena, (size_t)from->partitions_count + 1, sizeof(*to->partitions));
		if (to->partitions == NULL)
			return TK_IO_ERROR;
		to->partitions_count = from->partitions_count;
		for (int32_t k = 0; k < from->partitions_count; k++, part++) {
			tk_delete_records_response_partition_init(&to->partitions[k]);
			to->partitions[k].partition_index = part->ask->partition_index;
			to->partitions[k].low_watermark = part->low_watermark;
			to->partitions[k].error_code = part->error;
		}
	}
	return tk_request_reply(req, &msg);
}

static enum tk_io
delete_records_handle(struct tk_request *req)
{
	struct delete_records *delete = req->ctx;

	if (delete == NULL) {
		if (delete_begin(req) != TK_IO_OK)
			return TK_IO_ERROR;
		delete = req->ctx;
	} else if (req->timer_fired) {
		delete_give_up(delete);
	}
	return delete->pending > 0 ? TK_IO_AGAIN : delete_reply(delete);
}

static void
delete_records_cancel(struct tk_request *req)
{
	if (req->ctx != NULL)
		delete_give_up(req->ctx);
}

static const struct tk_api apis[] = {
	{ 21, 0, 2, 0, 0, delete_records_handle, delete_records_cancel },
};

static const struct tk_handler delete_records_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_delete_records = { .abi = TK_MODULE_ABI,
	.name = "delete_records",
	.kind = TK_MODULE_HANDLER,
	.handler = &delete_records_handler };
