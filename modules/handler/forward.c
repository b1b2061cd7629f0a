/*
 * The APIs that the coordinator decides: CreateTopics, DeleteTopics, CreatePartitions,
 * AlterConfigs, IncrementalAlterConfigs and InitProducerId.  The worker checks that the body can be
 * read, sends it on as it is, and waits.
 *
 * What is answered when there is no coordinator to send it to, when it died or did not answer in
 * time is in the table at the end: codes that clients try again on.  What was sent and not answered
 * may have happened.
 */
#include <string.h>

#include "handlers.h"
#include "wire/api.h"

#define ALTER_CONFIGS_MS 30000 /* the requests name no time */

struct forward_row {
	int16_t api_key;
	int16_t not_sent; /* nothing happened */
	int16_t unknown;  /* it may have happened */
	int64_t (*timeout_ms)(const void *msg);
	enum tk_io (*fail)(struct tk_request *req, const void *msg, int16_t error);
};

struct forward {
	const struct forward_row *row;
	void *msg;
	struct tk_forward_call *call;
	bool answered;
	int status;
	struct tk_bytes body;
};

static const struct forward_row *forward_row_of(int16_t api_key);

static void
forward_done(void *owner, int status, const void *body, size_t len)
{
	struct tk_request *req = owner;
	struct forward *forward = req->ctx;

	forward->call = NULL;
	forward->answered = true;
	forward->status = status;
	if (status == 0) {
		uint8_t *copy = tk_arena_alloc(&req->arena, len);

		if (copy == NULL) {
			forward->status = -ENOMEM;
		} else {
			memcpy(copy, body, len);
			forward->body = (struct tk_bytes){ copy, (uint32_t)len };
		}
	}
	tk_request_wake(req);
}

static enum tk_io
forward_begin(struct tk_request *req)
{
	const struct tk_api_schema *schema = tk_api_schema_find(req->api_key);
	struct forward *forward = tk_arena_calloc(&req->arena, 1, sizeof(*forward));
	struct iovec body = { (void *)(uintptr_t)req->body.data, req->body.len };
	int rc;

	if (forward == NULL)
		return TK_IO_ERROR;
	forward->row = forward_row_of(req->api_key);
	forward->msg = tk_arena_calloc(&req->arena, 1, schema->request_size);
	if (forward->msg == NULL || !tk_request_decode(req, forward->msg))
		return TK_IO_ERROR;
	req->ctx = forward;
	rc = tk_worker_forward(req->worker, req, req->api_key, req->version, &body, 1,
	    tk_timeout_ms(forward->row->timeout_ms(forward->msg), 1000), forward_done, req,
	    &forward->call);
	if (rc < 0)
		return forward->row->fail(req, forward->msg,
		    rc == -EMSGSIZE ? TK_ERR_INVALID_REQUEST : forward->row->not_sent);
	return TK_IO_AGAIN;
}

static enum tk_io
forward_handle(struct tk_request *req)
{
	struct forward *forward = req->ctx;

	if (forward == NULL)
		return forward_begin(req);
	if (!forward->answered)
		return TK_IO_AGAIN;
	if (forward->status == 0)
		return tk_request_reply_bytes(req, forward->body.data, forward->body.len);
	if (forward->status == -EPIPE || forward->status == -ETIMEDOUT)
		return forward->row->fail(req, forward->msg, forward->row->unknown);
	return TK_IO_ERROR;
}

static void
forward_cancel(struct tk_request *req)
{
	struct forward *forward = req->ctx;

	if (forward != NULL && forward->call != NULL)
		tk_forward_forget(forward->call);
}

/* ---- per API ---- */

static int64_t
create_topics_timeout(const void *msg)
{
	return ((const struct tk_create_topics_request *)msg)->timeout_ms;
}

static enum tk_io
create_topics_fail(struct tk_request *req, const void *ask, int16_t error)
{
	const struct tk_create_topics_request *request = ask;
	struct tk_create_topics_response msg;

	tk_create_topics_response_init(&msg);
	msg.topics =
	    tk_arena_calloc(&req->arena, (size_t)request->topics_count + 1, sizeof(*msg.topics));
	if (msg.topics == NULL)
		return TK_IO_ERROR;
	msg.topics_count = request->topics_count;
	for (int32_t i = 0; i < request->topics_count; i++) {
		tk_create_topics_response_topic_init(&msg.topics[i]);
		msg.topics[i].name = request->topics[i].name;
		msg.topics[i].error_code = error;
	}
	return tk_request_reply(req, &msg);
}

static int64_t
delete_topics_timeout(const void *msg)
{
	return ((const struct tk_delete_topics_request *)msg)->timeout_ms;
}

static enum tk_io
delete_topics_fail(struct tk_request *req, const void *ask, int16_t error)
{
	const struct tk_delete_topics_request *request = ask;
	int32_t count = req->version >= 6 ? request->topics_count : request->topic_names_count;
	struct tk_delete_topics_response msg;

	tk_delete_topics_response_init(&msg);
	msg.responses = tk_arena_calloc(&req->arena, (size_t)count + 1, sizeof(*msg.responses));
	if (msg.responses == NULL)
		return TK_IO_ERROR;
	msg.responses_count = count;
	for (int32_t i = 0; i < count; i++) {
		tk_delete_topics_response_topic_init(&msg.responses[i]);
		if (req->version >= 6) {
			msg.responses[i].name = request->topics[i].name;
			msg.responses[i].topic_id = request->topics[i].topic_id;
		} else {
			msg.responses[i].name = request->topic_names[i];
		}
		msg.responses[i].error_code = error;
	}
	return tk_request_reply(req, &msg);
}

static int64_t
create_partitions_timeout(const void *msg)
{
	return ((const struct tk_create_partitions_request *)msg)->timeout_ms;
}

static enum tk_io
create_partitions_fail(struct tk_request *req, const void *ask, int16_t error)
{
	const struct tk_create_partitions_request *request = ask;
	struct tk_create_partitions_response msg;

	tk_create_partitions_response_init(&msg);
	msg.results =
	    tk_arena_calloc(&req->arena, (size_t)request->topics_count + 1, sizeof(*msg.results));
	if (msg.results == NULL)
		return TK_IO_ERROR;
	msg.results_count = request->topics_count;
	for (int32_t i = 0; i < request->topics_count; i++) {
		tk_create_partitions_response_topic_init(&msg.results[i]);
		msg.results[i].name = request->topics[i].name;
		msg.results[i].error_code = error;
	}
	return tk_request_reply(req, &msg);
}

static int64_t
alter_configs_timeout(const void *msg)
{
	(void)msg;
	return ALTER_CONFIGS_MS;
}

static enum tk_io
alter_configs_fail(struct tk_request *req, const void *ask, int16_t error)
{
	const struct tk_alter_configs_request *request = ask;
	struct tk_alter_configs_response msg;

	tk_alter_configs_response_init(&msg);
	msg.responses = tk_arena_calloc(
	    &req->arena, (size_t)request->resources_count + 1, sizeof(*msg.responses));
	if (msg.responses == NULL)
		return TK_IO_ERROR;
	msg.responses_count = request->resources_count;
	for (int32_t i = 0; i < request->resources_count; i++) {
		tk_alter_configs_response_resource_init(&msg.responses[i]);
		msg.responses[i].resource_type = request->resources[i].resource_type;
		msg.responses[i].resource_name = request->resources[i].resource_name;
		msg.responses[i].error_code = error;
	}
	return tk_request_reply(req, &msg);
}

static enum tk_io
incremental_alter_configs_fail(struct tk_request *req, const void *ask, int16_t error)
{
	const struct tk_incremental_alter_configs_request *request = ask;
	struct tk_incremental_alter_configs_response msg;

	tk_incremental_alter_configs_response_init(&msg);
	msg.responses = tk_arena_calloc(
	    &req->arena, (size_t)request->resources_count + 1, sizeof(*msg.responses));
	if (msg.responses == NULL)
		return TK_IO_ERROR;
	msg.responses_count = request->resources_count;
	for (int32_t i = 0; i < request->resources_count; i++) {
		tk_incremental_alter_configs_response_resource_init(&msg.responses[i]);
		msg.responses[i].resource_type = request->resources[i].resource_type;
		msg.responses[i].resource_name = request->resources[i].resource_name;
		msg.responses[i].error_code = error;
	}
	return tk_request_reply(req, &msg);
}

static int64_t
init_producer_id_timeout(const void *msg)
{
	(void)msg;
	return 10000;
}

static enum tk_io
init_producer_id_fail(struct tk_request *req, const void *ask, int16_t error)
{
	struct tk_init_producer_id_response msg;

	(void)ask;
	tk_init_producer_id_response_init(&msg);
	msg.error_code = error;
	return tk_request_reply(req, &msg);
}

static const struct forward_row rows[] = {
	{ 19, TK_ERR_NOT_CONTROLLER, TK_ERR_REQUEST_TIMED_OUT, create_topics_timeout,
	    create_topics_fail },
	{ 20, TK_ERR_NOT_CONTROLLER, TK_ERR_REQUEST_TIMED_OUT, delete_topics_timeout,
	    delete_topics_fail },
	{ 37, TK_ERR_NOT_CONTROLLER, TK_ERR_REQUEST_TIMED_OUT, create_partitions_timeout,
	    create_partitions_fail },
	{ 33, TK_ERR_NOT_CONTROLLER, TK_ERR_REQUEST_TIMED_OUT, alter_configs_timeout,
	    alter_configs_fail },
	{ 44, TK_ERR_NOT_CONTROLLER, TK_ERR_REQUEST_TIMED_OUT, alter_configs_timeout,
	    incremental_alter_configs_fail },
	{ 22, TK_ERR_COORDINATOR_NOT_AVAILABLE, TK_ERR_COORDINATOR_NOT_AVAILABLE,
	    init_producer_id_timeout, init_producer_id_fail },
};

static const struct forward_row *
forward_row_of(int16_t api_key)
{
	size_t i = 0;

	while (i < TK_COUNT_OF(rows) && rows[i].api_key != api_key)
		i++;
	tk_assert(i < TK_COUNT_OF(rows));
	return &rows[i];
}

static const struct tk_api apis[] = {
	{ 19, 0, 7, 0, 0, forward_handle, forward_cancel },
	{ 20, 0, 6, 0, 0, forward_handle, forward_cancel },
	{ 22, 0, 5, 0, 0, forward_handle, forward_cancel },
	{ 33, 0, 2, 0, 0, forward_handle, forward_cancel },
	{ 37, 0, 3, 0, 0, forward_handle, forward_cancel },
	{ 44, 0, 1, 0, 0, forward_handle, forward_cancel },
};

static const struct tk_handler forward_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_forward = { .abi = TK_MODULE_ABI,
	.name = "forward",
	.kind = TK_MODULE_HANDLER,
	.handler = &forward_handler };
