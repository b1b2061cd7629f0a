/*
 * CreatePartitions: a topic's count of partitions grows.  Partitions are numbered on; what a writer
 * cannot make of them stays in the metadata and is made at its next start, since a count that was
 * seen must not shrink.
 */
#include <string.h>

#include "base/errlog.h"
#include "coordinator/coordinator_private.h"

struct item {
	enum { ITEM_OPEN, ITEM_WRITTEN, ITEM_MADE, ITEM_DECIDED, ITEM_SKIPPED } state;
	const struct tk_create_partitions_request_topic *request;
	struct tk_create_partitions_response_topic response;
	int32_t from, count; /* of partitions that are new */
};

struct grow_state {
	struct tk_create_partitions_request request;
	struct item *items;
	size_t count, next;
};

static void
item_decide(struct item *item, enum tk_error code, struct tk_bytes message)
{
	item->state = ITEM_DECIDED;
	item->response.error_code = (int16_t)code;
	item->response.error_message = message;
}

static void
items_compare(struct tk_job *job)
{
	struct grow_state *grow = job->state;
	struct tk_name_set names = { .arena = &job->arena }, twice = { .arena = &job->arena };

	for (size_t i = 0; i < grow->count; i++)
		if (!tk_name_set_put(&names, grow->items[i].request->name)) {
			(void)tk_name_set_put(&twice, grow->items[i].request->name);
			grow->items[i].state = ITEM_SKIPPED;
		}
	for (size_t i = 0; i < grow->count; i++)
		if (grow->items[i].state == ITEM_OPEN &&
		    tk_name_set_has(&twice, grow->items[i].request->name))
			item_decide(&grow->items[i], TK_ERR_INVALID_REQUEST,
			    tk_job_text(job, "Duplicate topic name."));
	tk_map_free(&names.map);
	tk_map_free(&twice.map);
}

static bool
grow_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct grow_state *grow = job->state;
	struct tk_decoder dec;

	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	if (!tk_create_partitions_request_decode(&dec, job->version, &grow->request))
		return false;
	grow->count = (size_t)TK_MAX(grow->request.topics_count, 0);
	grow->items = tk_arena_calloc(&job->arena, grow->count + 1, sizeof(*grow->items));
	if (grow->items == NULL)
		return false;
	for (size_t i = 0; i < grow->count; i++) {
		struct item *item = &grow->items[i];

		item->request = &grow->request.topics[i];
		tk_create_partitions_response_topic_init(&item->response);
		item->response.name = item->request->name;
	}
	*ret_timeout_ms = grow->request.timeout_ms;
	items_compare(job);
	return true;
}

static bool
assignments_check(struct tk_job *job, const struct item *item, struct tk_refusal *refusal)
{
	const struct tk_create_partitions_request_topic *topic = item->request;

	if (topic->assignments_count < 0)
		return true; /* null: choose for me */
	if (topic->assignments_count != item->count)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
		    "Attempted to add %d additional partition(s), but only %d assignment(s) were "
		    "specified.",
		    item->count, topic->assignments_count);
	for (int32_t i = 0; i < topic->assignments_count; i++)
		if (!tk_assignment_check(job, topic->assignments[i].broker_ids,
			topic->assignments[i].broker_ids_count, refusal))
			return false;
	return true;
}

static bool
item_check(struct tk_job *job, struct item *item, int64_t written, struct tk_refusal *refusal)
{
	const struct tk_bytes name = item->request->name;
	const struct tk_meta_topic *topic =
	    tk_meta_topic_find(job->coord->meta, name.data, name.len);
	int32_t count = item->request->count;

	if (topic == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "This server does not host this topic-partition.");
	if (topic->is_internal)
		return tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "The partitions of internal topic %s cannot be changed.", topic->name);
	if (count == topic->partition_count)
		return tk_refuse(job, refusal, TK_ERR_INVALID_PARTITIONS,
		    "Topic already has %d partition(s).", topic->partition_count);
	if (count < topic->partition_count)
		return tk_refuse(job, refusal, TK_ERR_INVALID_PARTITIONS,
		    "The topic %s currently has %d partition(s); %d would not be an increase.",
		    topic->name, topic->partition_count, count);
	item->from = topic->partition_count;
	item->count = count - topic->partition_count;
	if (written + item->count > TK_PARTITIONS_A_REQUEST)
		return tk_refuse(job, refusal, TK_ERR_POLICY_VIOLATION,
		    "Excessively large number of partitions per request.");
	if (tk_meta_txn_deletion_max(name.len, count) > TK_META_BATCH_MAX)
		return tk_refuse(job, refusal, TK_ERR_INVALID_PARTITIONS,
		    "A topic of this name can have fewer partitions only.");
	return assignments_check(job, item, refusal) &&
	       tk_partitions_check(job, written, item->count, refusal);
}

/* The topic's own record again, with another count. */
static void
topic_write(struct tk_job *job, struct tk_meta_txn *txn, const struct item *item)
{
	const struct tk_bytes name = item->request->name;
	const struct tk_meta_topic *topic =
	    tk_meta_topic_find(job->coord->meta, name.data, name.len);
	struct tk_meta_topic_value value = { .topic_id = topic->id,
		.partition_count = item->request->count };

	value.configs =
	    tk_arena_calloc(&job->arena, topic->config_count + 1, sizeof(*value.configs));
	if (value.configs == NULL) {
		txn->rc = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < topic->config_count; i++) {
		const struct tk_meta_config *config = &topic->configs[i];

		value.configs[i].name = (struct tk_bytes){ (const uint8_t *)config->name,
			(uint32_t)strlen(config->name) };
		value.configs[i].value = (struct tk_bytes){ (const uint8_t *)config->value,
			(uint32_t)strlen(config->value) };
	}
	value.configs_count = (int32_t)topic->config_count;
	tk_meta_txn_put_topic(txn, name, &value);
	job->directories |= tk_topic_directories(topic);
}

/* False: it does not fit into this transaction. */
static bool
item_write(struct tk_job *job, struct tk_meta_txn *txn, struct item *item)
{
	struct tk_meta_txn_mark mark = tk_meta_txn_mark(txn);
	struct tk_written written = { .count = 0 };
	int rc;

	topic_write(job, txn, item);
	rc = tk_partitions_write(job, txn, item->request->name, item->from, item->count, &written);
	if (rc == 0 && txn->rc == 0) {
		item->state = ITEM_WRITTEN;
		return true;
	}
	tk_partitions_unwrite(job, &written);
	tk_meta_txn_back(txn, mark);
	if (rc == 0 && tk_meta_txn_has_changes(txn))
		return false;
	item_decide(item, TK_ERR_KAFKA_STORAGE_ERROR,
	    tk_job_text(job, "No data directory can take the partitions."));
	return true;
}

static enum tk_step
grow_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct grow_state *grow = job->state;
	int64_t written = 0;

	for (; grow->next < grow->count; grow->next++) {
		struct item *item = &grow->items[grow->next];
		struct tk_refusal refusal;

		if (item->state != ITEM_OPEN)
			continue;
		if (!item_check(job, item, written, &refusal))
			item_decide(item, refusal.code, refusal.message);
		else if (grow->request.validate_only)
			item_decide(item, TK_ERR_NONE, (struct tk_bytes){ NULL, 0 });
		else if (!item_write(job, txn, item))
			break;
		if (item->state == ITEM_WRITTEN)
			written += item->count;
	}
	return tk_meta_txn_has_changes(txn) ? TK_STEP_COMMIT : TK_STEP_ANSWER;
}

static void
grow_committed(struct tk_job *job, enum tk_error error)
{
	struct grow_state *grow = job->state;

	for (size_t i = 0; i < grow->next; i++) {
		struct item *item = &grow->items[i];

		if (item->state != ITEM_WRITTEN)
			continue;
		if (error != TK_ERR_NONE) {
			item_decide(item, error, (struct tk_bytes){ NULL, 0 });
			continue;
		}
		item->state = ITEM_MADE;
		tk_info("topic \"%s\" grown to %d partitions for \"%s\" at %s",
		    tk_name_shown(job, item->request->name), item->from + item->count,
		    job->client_id, job->host);
	}
}

static enum tk_step
grow_applied(struct tk_job *job)
{
	struct grow_state *grow = job->state;

	for (size_t i = 0; i < grow->next; i++) {
		struct item *item = &grow->items[i];
		const struct tk_bytes name = item->request->name;
		const struct tk_meta_topic *topic;

		if (item->state != ITEM_MADE)
			continue;
		topic = tk_meta_topic_find(job->coord->meta, name.data, name.len);
		if (topic == NULL ||
		    tk_partitions_are_up(job->coord, topic, item->from, item->from + item->count))
			item_decide(item, TK_ERR_NONE, (struct tk_bytes){ NULL, 0 });
		else
			item_decide(item, TK_ERR_KAFKA_STORAGE_ERROR,
			    tk_job_text(job,
				"Some partitions could not be made yet; see the broker's log."));
	}
	return grow->next < grow->count ? TK_STEP_AGAIN : TK_STEP_ANSWER;
}

static void
grow_expired(struct tk_job *job)
{
	struct grow_state *grow = job->state;

	for (size_t i = 0; i < grow->count; i++)
		if (grow->items[i].state != ITEM_DECIDED && grow->items[i].state != ITEM_SKIPPED)
			item_decide(&grow->items[i], TK_ERR_REQUEST_TIMED_OUT,
			    (struct tk_bytes){ NULL, 0 });
}

static void
grow_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	struct grow_state *grow = job->state;
	struct tk_create_partitions_response response;

	tk_create_partitions_response_init(&response);
	response.results = tk_arena_calloc(&job->arena, grow->count + 1, sizeof(*response.results));
	if (response.results == NULL) {
		chain->failed = true;
		return;
	}
	response.results_count = 0;
	for (size_t i = 0; i < grow->count; i++) {
		struct tk_create_partitions_response_topic *result =
		    &response.results[response.results_count];

		if (grow->items[i].state == ITEM_SKIPPED)
			continue;
		*result = grow->items[i].response;
		if (shrunk)
			result->error_message = (struct tk_bytes){ NULL, 0 };
		response.results_count++;
	}
	tk_create_partitions_response_encode(chain, job->version, &response);
}

const struct tk_job_kind tk_create_partitions_job = {
	.api_key = 37,
	.min_version = TK_CREATE_PARTITIONS_MIN_VERSION,
	.max_version = TK_CREATE_PARTITIONS_MAX_VERSION,
	.name = "CreatePartitions",
	.state_size = sizeof(struct grow_state),
	.decode = grow_decode,
	.run = grow_run,
	.committed = grow_committed,
	.applied = grow_applied,
	.expired = grow_expired,
	.encode = grow_encode,
};
