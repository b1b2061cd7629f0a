/*
 * DeleteTopics, by name and by id.  Answered when the writers have applied it.
 */
#include <string.h>

#include "base/errlog.h"
#include "base/uuid.h"
#include "coordinator/coordinator_private.h"
#include "meta/topic_name.h"

struct item {
	enum { ITEM_OPEN, ITEM_WRITTEN, ITEM_DECIDED } state;
	struct tk_bytes name; /* null: by id */
	struct tk_uuid id;
	struct tk_delete_topics_response_topic response;
};

struct delete_state {
	struct tk_delete_topics_request request;
	struct item *items;
	size_t count, next;
	struct tk_name_set written; /* ids of the topics in the transaction that is written */
};

static void
item_decide(struct item *item, enum tk_error code, struct tk_bytes message)
{
	item->state = ITEM_DECIDED;
	item->response.error_code = (int16_t)code;
	item->response.error_message = message;
}

static bool
delete_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct delete_state *state = job->state;
	struct tk_decoder dec;
	bool by_id = job->version >= 6;

	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	if (!tk_delete_topics_request_decode(&dec, job->version, &state->request))
		return false;
	state->count = (size_t)TK_MAX(
	    by_id ? state->request.topics_count : state->request.topic_names_count, 0);
	state->items = tk_arena_calloc(&job->arena, state->count + 1, sizeof(*state->items));
	if (state->items == NULL)
		return false;
	for (size_t i = 0; i < state->count; i++) {
		struct item *item = &state->items[i];

		if (by_id) {
			item->name = state->request.topics[i].name;
			item->id = state->request.topics[i].topic_id;
		} else {
			item->name = state->request.topic_names[i];
		}
		tk_delete_topics_response_topic_init(&item->response);
		item->response.name = item->name;
		item->response.topic_id = item->id;
	}
	*ret_timeout_ms = state->request.timeout_ms;
	return true;
}

static bool
item_check(struct tk_job *job, struct item *item, struct tk_refusal *refusal)
{
	bool has_id = !tk_uuid_is_zero(&item->id);

	if (!job->coord->settings->delete_topic_enable)
		return tk_refuse(job, refusal,
		    job->version < 3 ? TK_ERR_INVALID_REQUEST : TK_ERR_TOPIC_DELETION_DISABLED,
		    "Topic deletion is disabled.");
	if (item->name.data != NULL && has_id)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "You may not specify both topic name and topic id.");
	if (item->name.data == NULL && !has_id)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "Neither topic name nor id were specified.");
	return true;
}

/* The topic an item means; also what the answer says of it. */
static const struct tk_meta_topic *
item_find(struct tk_job *job, struct item *item, struct tk_refusal *refusal)
{
	const struct tk_meta *meta = job->coord->meta;
	const struct tk_meta_topic *topic;
	bool by_id = item->name.data == NULL;

	topic = by_id ? tk_meta_topic_find_id(meta, &item->id)
		      : tk_meta_topic_find(meta, item->name.data, item->name.len);
	if (topic == NULL && by_id)
		(void)tk_refuse(job, refusal, TK_ERR_UNKNOWN_TOPIC_ID,
		    "This server does not host this topic ID.");
	else if (topic == NULL)
		(void)tk_refuse(job, refusal, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "This server does not host this topic-partition.");
	if (topic != NULL && topic->is_internal) {
		(void)tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "Deletion of internal topic %s is prohibited.", topic->name);
		topic = NULL;
	}
	return topic;
}

/* False: it does not fit into this transaction. */
static bool
item_write(struct tk_job *job, struct tk_meta_txn *txn, struct item *item)
{
	struct delete_state *state = job->state;
	struct tk_meta_txn_mark mark = tk_meta_txn_mark(txn);
	const struct tk_meta_topic *topic;
	struct tk_refusal refusal;
	char *name;

	topic = item_find(job, item, &refusal);
	if (topic == NULL) {
		item_decide(item, refusal.code, refusal.message);
		return true;
	}
	if (tk_name_set_has(
		&state->written, (struct tk_bytes){ topic->id.b, sizeof(topic->id.b) })) {
		item_decide(item, TK_ERR_INVALID_REQUEST,
		    tk_job_text(job,
			item->name.data == NULL ? "Duplicate topic id." : "Duplicate topic name."));
		return true;
	}
	tk_meta_txn_delete_topic(txn, topic);
	if (txn->rc == -EMSGSIZE) {
		tk_meta_txn_back(txn, mark);
		if (tk_meta_txn_has_changes(txn))
			return false;
		item_decide(item, TK_ERR_UNKNOWN_SERVER_ERROR,
		    tk_job_text(job, "The topic has too many partitions."));
		return true;
	}
	name = tk_arena_strndup(&job->arena, topic->name, topic->name_len);
	if (name != NULL)
		item->response.name =
		    (struct tk_bytes){ (const uint8_t *)name, (uint32_t)topic->name_len };
	item->response.topic_id = topic->id;
	item->state = ITEM_WRITTEN;
	(void)tk_name_set_put(&state->written,
	    (struct tk_bytes){ item->response.topic_id.b, sizeof(item->response.topic_id.b) });
	job->directories |= tk_topic_directories(topic);
	return true;
}

static enum tk_step
delete_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct delete_state *state = job->state;

	state->written = (struct tk_name_set){ .arena = &job->arena };
	for (; state->next < state->count; state->next++) {
		struct item *item = &state->items[state->next];
		struct tk_refusal refusal;

		if (!item_check(job, item, &refusal))
			item_decide(item, refusal.code, refusal.message);
		else if (!item_write(job, txn, item))
			break;
	}
	tk_map_free(&state->written.map);
	return tk_meta_txn_has_changes(txn) ? TK_STEP_COMMIT : TK_STEP_ANSWER;
}

static void
delete_committed(struct tk_job *job, enum tk_error error)
{
	struct delete_state *state = job->state;

	for (size_t i = 0; i < state->next; i++) {
		struct item *item = &state->items[i];

		if (item->state != ITEM_WRITTEN)
			continue;
		item_decide(item, error, (struct tk_bytes){ NULL, 0 });
		if (error == TK_ERR_NONE)
			tk_info("topic \"%s\" deleted for \"%s\" at %s",
			    tk_name_shown(job, item->response.name), job->client_id, job->host);
	}
}

static enum tk_step
delete_applied(struct tk_job *job)
{
	struct delete_state *state = job->state;

	return state->next < state->count ? TK_STEP_AGAIN : TK_STEP_ANSWER;
}

static void
delete_expired(struct tk_job *job)
{
	struct delete_state *state = job->state;

	/* What is committed happens; but the writers were not heard, and so it is told. */
	for (size_t i = 0; i < state->count; i++)
		if (state->items[i].state != ITEM_DECIDED ||
		    state->items[i].response.error_code == TK_ERR_NONE)
			item_decide(&state->items[i], TK_ERR_REQUEST_TIMED_OUT,
			    (struct tk_bytes){ NULL, 0 });
}

static void
delete_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	struct delete_state *state = job->state;
	struct tk_delete_topics_response response;

	tk_delete_topics_response_init(&response);
	response.responses =
	    tk_arena_calloc(&job->arena, state->count + 1, sizeof(*response.responses));
	if (response.responses == NULL) {
		chain->failed = true;
		return;
	}
	response.responses_count = (int32_t)state->count;
	for (size_t i = 0; i < state->count; i++) {
		response.responses[i] = state->items[i].response;
		if (shrunk)
			response.responses[i].error_message = (struct tk_bytes){ NULL, 0 };
	}
	tk_delete_topics_response_encode(chain, job->version, &response);
}

const struct tk_job_kind tk_delete_topics_job = {
	.api_key = 20,
	.min_version = TK_DELETE_TOPICS_MIN_VERSION,
	.max_version = TK_DELETE_TOPICS_MAX_VERSION,
	.name = "DeleteTopics",
	.state_size = sizeof(struct delete_state),
	.decode = delete_decode,
	.run = delete_run,
	.committed = delete_committed,
	.applied = delete_applied,
	.expired = delete_expired,
	.encode = delete_encode,
};
