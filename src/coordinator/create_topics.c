/*
 * CreateTopics.  Each topic is decided by itself; those that are good go into one transaction (or
 * as many as it takes), and are answered when the writers have published their partitions.  Topics
 * whose writer could not make a partition are taken back by another transaction.
 */
#include <string.h>

#include "base/errlog.h"
#include "base/topic_config.h"
#include "base/uuid.h"
#include "coordinator/coordinator_private.h"
#include "meta/topic_name.h"

#define CONFIGS_TOPICS_MAX 500 /* topics of one answer whose configs are told */

enum item_state {
	ITEM_OPEN,
	ITEM_SKIPPED, /* a further one of a name that is refused */
	ITEM_WRITTEN, /* in the transaction under way */
	ITEM_MADE,    /* in the journal */
	ITEM_BAD,     /* made, and to be taken back */
	ITEM_DECIDED
};

struct item {
	enum item_state state;
	const struct tk_create_topics_request_topic *request;
	struct tk_create_topics_response_topic response;
	struct tk_bytes collides; /* with an earlier name of the request */
	int32_t partitions;
	struct tk_topic_config config;
	struct tk_meta_topic_value_config *configs;
	int32_t configs_count;
};

struct create_state {
	struct tk_create_topics_request request;
	struct item *items;
	size_t count, next;
	size_t told; /* topics whose configs are in the answer */
	bool begun;
};

static void
item_refuse(struct item *item, enum tk_error code, struct tk_bytes message)
{
	item->state = ITEM_DECIDED;
	item->response.error_code = (int16_t)code;
	item->response.error_message = message;
	item->response.topic_id = (struct tk_uuid){ .b = { 0 } };
	item->response.num_partitions = -1;
	item->response.replication_factor = -1;
	item->response.configs = NULL;
	item->response.configs_count = 0;
}

static struct tk_bytes
no_message(void)
{
	return (struct tk_bytes){ NULL, 0 };
}

/* ---- reading ---- */

/* Marks names that come twice, and names that differ in '.' and '_' only. */
static bool
items_compare(struct tk_job *job)
{
	struct create_state *create = job->state;
	struct tk_name_set names = { .arena = &job->arena }, twice = { .arena = &job->arena };
	struct tk_name_set folded = { .arena = &job->arena };
	bool good = true;

	for (size_t i = 0; i < create->count; i++) {
		struct item *item = &create->items[i];
		const struct tk_bytes name = item->request->name;
		uint8_t *fold;

		if (!tk_name_set_put(&names, name)) {
			(void)tk_name_set_put(&twice, name);
			item->state = ITEM_SKIPPED;
			continue;
		}
		fold = tk_arena_alloc(&job->arena, (size_t)name.len + 1);
		if (fold == NULL) {
			good = false;
			break;
		}
		tk_topic_name_fold(name, fold);
		if (!tk_name_set_put(&folded, (struct tk_bytes){ fold, name.len }))
			item->collides = name;
	}
	for (size_t i = 0; i < create->count && good; i++) {
		struct item *item = &create->items[i];

		if (item->state == ITEM_OPEN && tk_name_set_has(&twice, item->request->name))
			item_refuse(item, TK_ERR_INVALID_REQUEST,
			    tk_job_text(job, "Duplicate topic name."));
	}
	tk_map_free(&names.map);
	tk_map_free(&twice.map);
	tk_map_free(&folded.map);
	return good;
}

static bool
create_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct create_state *create = job->state;
	struct tk_decoder dec;

	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	if (!tk_create_topics_request_decode(&dec, job->version, &create->request))
		return false;
	create->count = (size_t)TK_MAX(create->request.topics_count, 0);
	create->items = tk_arena_calloc(&job->arena, create->count + 1, sizeof(*create->items));
	if (create->items == NULL)
		return false;
	for (size_t i = 0; i < create->count; i++) {
		struct item *item = &create->items[i];

		item->request = &create->request.topics[i];
		tk_create_topics_response_topic_init(&item->response);
		item->response.name = item->request->name;
		item->response.configs_count = 0;
	}
	*ret_timeout_ms = create->request.timeout_ms;
	return items_compare(job);
}

/* ---- checks ---- */

static bool
name_check(struct tk_job *job, const struct item *item, struct tk_refusal *refusal)
{
	const struct tk_bytes name = item->request->name;
	const struct tk_meta_topic *other;
	char text[512];

	if (tk_topic_name_check(name, text, sizeof(text)) < 0)
		return tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION, "%s", text);
	if (tk_topic_name_is_reserved(name) || tk_topic_name_is_internal(name))
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "Creation of internal topic %s is prohibited.", tk_name_shown(job, name));
	if (tk_meta_topic_find(job->coord->meta, name.data, name.len) != NULL)
		return tk_refuse(job, refusal, TK_ERR_TOPIC_ALREADY_EXISTS,
		    "Topic '%s' already exists.", tk_name_shown(job, name));
	other = tk_meta_topic_collision(job->coord->meta, name.data, name.len);
	if (other != NULL)
		return tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "Topic '%s' collides with existing topic: %s", tk_name_shown(job, name),
		    other->name);
	if (item->collides.data != NULL)
		return tk_refuse(job, refusal, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "Topic '%s' collides with another topic of this request",
		    tk_name_shown(job, name));
	return true;
}

static bool
config_set(struct tk_job *job, struct item *item,
    const struct tk_create_topics_request_config *given, struct tk_refusal *refusal)
{
	struct tk_meta_topic_value_config *stored = NULL;
	char *name, *value, text[512] = "";

	if (given->value.data == NULL)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "Null value not supported for topic configs: %s",
		    tk_name_shown(job, given->name));
	name = tk_arena_strndup(&job->arena, given->name.data, given->name.len);
	value = tk_arena_strndup(&job->arena, given->value.data, given->value.len);
	if (name == NULL || value == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	if (strlen(name) != given->name.len || strlen(value) != given->value.len)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG,
		    "A topic config must not contain a NUL byte: %s",
		    tk_name_shown(job, given->name));
	if (tk_topic_config_set(&item->config, name, value, text, sizeof(text)) < 0)
		return tk_refuse(job, refusal, TK_ERR_INVALID_CONFIG, "%s", text);
	/* Names that get here are of the table, so this list is short; the last value counts. */
	for (int32_t i = 0; i < item->configs_count; i++)
		if (item->configs[i].name.len == given->name.len &&
		    memcmp(item->configs[i].name.data, name, given->name.len) == 0)
			stored = &item->configs[i];
	if (stored == NULL)
		stored = &item->configs[item->configs_count++];
	stored->name = given->name;
	stored->value = given->value;
	return true;
}

static bool
configs_check(struct tk_job *job, struct item *item, struct tk_refusal *refusal)
{
	const struct tk_create_topics_request_topic *topic = item->request;
	size_t count, given = (size_t)TK_MAX(topic->configs_count, 0);

	(void)tk_topic_config_rows(&count);
	item->configs_count = 0;
	item->configs =
	    tk_arena_calloc(&job->arena, TK_MIN(count, given) + 1, sizeof(*item->configs));
	if (item->configs == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	tk_topic_config_defaults(job->coord->settings, &item->config);
	for (size_t i = 0; i < given; i++)
		if (!config_set(job, item, &topic->configs[i], refusal))
			return false;
	return true;
}

static bool
assignments_check(struct tk_job *job, struct item *item, struct tk_refusal *refusal)
{
	const struct tk_create_topics_request_topic *topic = item->request;
	int32_t count = topic->assignments_count;
	bool *seen;

	if (topic->replication_factor != -1)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "A manual partition assignment was specified, but replication factor was not "
		    "set to -1.");
	if (topic->num_partitions != -1)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REQUEST,
		    "A manual partition assignment was specified, but numPartitions was not set to "
		    "-1.");
	seen = tk_arena_calloc(&job->arena, (size_t)count, sizeof(*seen));
	if (seen == NULL)
		return tk_refuse(job, refusal, TK_ERR_UNKNOWN_SERVER_ERROR, "out of memory");
	for (int32_t i = 0; i < count; i++) {
		const struct tk_create_topics_request_assignment *one = &topic->assignments[i];

		if (one->partition_index < 0 || one->partition_index >= count)
			return tk_refuse(job, refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
			    "partitions should be a consecutive 0-based integer sequence");
		if (seen[one->partition_index])
			return tk_refuse(job, refusal, TK_ERR_INVALID_REPLICA_ASSIGNMENT,
			    "Found multiple manual partition assignments for partition %d",
			    one->partition_index);
		seen[one->partition_index] = true;
		if (!tk_assignment_check(job, one->broker_ids, one->broker_ids_count, refusal))
			return false;
	}
	item->partitions = count;
	return true;
}

static bool
counts_check(struct tk_job *job, struct item *item, struct tk_refusal *refusal)
{
	const struct tk_create_topics_request_topic *topic = item->request;
	const struct tk_settings *settings = job->coord->settings;
	/* -1 is "the default" in every version, as Kafka 4 takes it. */
	int32_t factor = topic->replication_factor;

	if (topic->assignments_count > 0)
		return assignments_check(job, item, refusal);
	if (factor == 0 || factor < -1)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REPLICATION_FACTOR,
		    "Replication factor must be larger than 0, or -1 to use the default value.");
	if (topic->num_partitions == 0 || topic->num_partitions < -1)
		return tk_refuse(job, refusal, TK_ERR_INVALID_PARTITIONS,
		    "Number of partitions was set to an invalid non-positive value.");
	if (factor == -1)
		factor = settings->default_replication_factor;
	if (factor > 1)
		return tk_refuse(job, refusal, TK_ERR_INVALID_REPLICATION_FACTOR,
		    "Unable to replicate the partition %d time(s): The target replication "
		    "factor of %d cannot be reached because only 1 broker(s) are registered.",
		    factor, factor);
	item->partitions =
	    topic->num_partitions == -1 ? settings->num_partitions : topic->num_partitions;
	return true;
}

/* ---- making ---- */

static void
configs_tell(struct tk_job *job, struct item *item)
{
	struct tk_create_topics_response_topic *response = &item->response;
	struct create_state *create = job->state;
	struct tk_config_entry entry;
	size_t count;

	(void)tk_topic_config_rows(&count);
	response->configs = NULL;
	if (job->version < 5)
		return;
	if (create->told++ < CONFIGS_TOPICS_MAX)
		response->configs = tk_arena_calloc(&job->arena, count, sizeof(*response->configs));
	if (response->configs == NULL) {
		response->topic_config_error_code = TK_ERR_UNKNOWN_SERVER_ERROR;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct tk_create_topics_response_config *to = &response->configs[i];

		if (tk_topic_config_get(
			job->coord->settings, &item->config, i, &job->arena, &entry) < 0)
			break;
		to->name =
		    (struct tk_bytes){ (const uint8_t *)entry.name, (uint32_t)strlen(entry.name) };
		if (entry.value != NULL)
			to->value = (struct tk_bytes){ (const uint8_t *)entry.value,
				(uint32_t)strlen(entry.value) };
		to->read_only = entry.read_only;
		to->is_sensitive = entry.sensitive;
		to->config_source = (int8_t)entry.source;
		response->configs_count++;
	}
}

static void
item_good(struct tk_job *job, struct item *item)
{
	item->state = ITEM_DECIDED;
	item->response.error_code = TK_ERR_NONE;
	item->response.error_message = no_message();
	item->response.num_partitions = item->partitions;
	item->response.replication_factor = 1;
	configs_tell(job, item);
}

/* Partitions that this transaction makes so far. */
static int64_t
written_partitions(const struct create_state *create)
{
	int64_t sum = 0;

	for (size_t i = 0; i < create->next; i++)
		if (create->items[i].state == ITEM_WRITTEN)
			sum += create->items[i].partitions;
	return sum;
}

static bool
item_check(struct tk_job *job, struct item *item, int64_t written, struct tk_refusal *refusal)
{
	const struct tk_bytes name = item->request->name;

	if (!name_check(job, item, refusal) || !configs_check(job, item, refusal) ||
	    !counts_check(job, item, refusal) ||
	    !tk_partitions_check(job, written, item->partitions, refusal))
		return false;
	if (tk_meta_txn_deletion_max(name.len, item->partitions) > TK_META_BATCH_MAX)
		return tk_refuse(job, refusal, TK_ERR_INVALID_PARTITIONS,
		    "A topic of this name can have fewer partitions only.");
	return true;
}

/* Into the transaction; false: it does not fit, and nothing of it is in. */
static bool
item_write(struct tk_job *job, struct tk_meta_txn *txn, struct item *item)
{
	const struct tk_bytes name = item->request->name;
	const struct tk_meta_topic_value value = {
		.topic_id = tk_uuid_random(),
		.partition_count = item->partitions,
		.configs = item->configs,
		.configs_count = item->configs_count,
	};
	struct tk_meta_txn_mark mark = tk_meta_txn_mark(txn);
	struct tk_written written = { .count = 0 };
	int rc;

	tk_meta_txn_put_topic(txn, name, &value);
	rc = tk_partitions_write(job, txn, name, 0, item->partitions, &written);
	if (rc == 0 && txn->rc == 0) {
		item->response.topic_id = value.topic_id;
		item->state = ITEM_WRITTEN;
		return true;
	}
	tk_partitions_unwrite(job, &written);
	tk_meta_txn_back(txn, mark);
	if (rc == 0 && tk_meta_txn_has_changes(txn))
		return false;
	item_refuse(item, TK_ERR_KAFKA_STORAGE_ERROR,
	    tk_job_text(job, "No data directory can take the partitions."));
	return true;
}

/* Taking back what a writer could not make. */
static bool
items_take_back(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct create_state *create = job->state;

	for (size_t i = 0; i < create->next; i++) {
		struct item *item = &create->items[i];
		struct tk_meta_txn_mark mark = tk_meta_txn_mark(txn);
		const struct tk_meta_topic *topic;

		if (item->state != ITEM_BAD)
			continue;
		topic = tk_meta_topic_find_id(job->coord->meta, &item->response.topic_id);
		if (topic != NULL) {
			tk_meta_txn_delete_topic(txn, topic);
			job->directories |= tk_topic_directories(topic);
		}
		if (txn->rc == -EMSGSIZE && tk_meta_txn_has_changes(txn)) {
			tk_meta_txn_back(txn, mark);
			break; /* the rest in another one */
		}
		tk_warn("topic \"%s\" is taken back: a writer could not make its partitions",
		    tk_name_shown(job, item->request->name));
		item_refuse(item, TK_ERR_KAFKA_STORAGE_ERROR,
		    tk_job_text(job, "The partitions could not be made; see the broker's log."));
	}
	return tk_meta_txn_has_changes(txn);
}

static bool
too_many_partitions(struct tk_job *job)
{
	struct create_state *create = job->state;
	int64_t sum = 0;

	for (size_t i = 0; i < create->count; i++) {
		const struct tk_create_topics_request_topic *topic = create->items[i].request;

		if (create->items[i].state != ITEM_OPEN)
			continue;
		if (topic->assignments_count > 0)
			sum += topic->assignments_count;
		else if (topic->num_partitions == -1)
			sum += job->coord->settings->num_partitions;
		else
			sum += TK_MAX(topic->num_partitions, 0);
	}
	return sum > TK_PARTITIONS_A_REQUEST;
}

static void
create_begin(struct tk_job *job)
{
	struct create_state *create = job->state;
	struct tk_bytes message;

	create->begun = true;
	if (!too_many_partitions(job))
		return;
	message = tk_job_text(job, "Excessively large number of partitions per request.");
	for (size_t i = 0; i < create->count; i++)
		if (create->items[i].state == ITEM_OPEN)
			item_refuse(&create->items[i], TK_ERR_POLICY_VIOLATION, message);
}

static enum tk_step
create_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct create_state *create = job->state;
	int64_t written;

	if (!create->begun)
		create_begin(job);
	if (items_take_back(job, txn))
		return TK_STEP_COMMIT;
	written = written_partitions(create);
	for (; create->next < create->count; create->next++) {
		struct item *item = &create->items[create->next];
		struct tk_refusal refusal;

		if (item->state != ITEM_OPEN)
			continue;
		if (!item_check(job, item, written, &refusal))
			item_refuse(item, refusal.code, refusal.message);
		else if (create->request.validate_only)
			item_good(job, item);
		else if (!item_write(job, txn, item))
			break; /* into the next transaction */
		if (item->state == ITEM_WRITTEN)
			written += item->partitions;
	}
	return tk_meta_txn_has_changes(txn) ? TK_STEP_COMMIT : TK_STEP_ANSWER;
}

static void
create_committed(struct tk_job *job, enum tk_error error)
{
	struct create_state *create = job->state;

	for (size_t i = 0; i < create->next; i++) {
		struct item *item = &create->items[i];

		if (item->state != ITEM_WRITTEN)
			continue;
		if (error != TK_ERR_NONE) {
			item_refuse(item, error, no_message());
			continue;
		}
		item->state = ITEM_MADE;
		tk_info("topic \"%s\" created with %d partition(s) for \"%s\" at %s",
		    tk_name_shown(job, item->request->name), item->partitions, job->client_id,
		    job->host);
	}
}

static enum tk_step
create_applied(struct tk_job *job)
{
	struct create_state *create = job->state;
	bool bad = false;

	for (size_t i = 0; i < create->next; i++) {
		struct item *item = &create->items[i];
		const struct tk_meta_topic *topic;

		if (item->state != ITEM_MADE)
			continue;
		topic = tk_meta_topic_find_id(job->coord->meta, &item->response.topic_id);
		if (topic == NULL || tk_partitions_are_up(job->coord, topic, 0, item->partitions))
			item_good(job, item);
		else
			item->state = ITEM_BAD;
		bad = bad || item->state == ITEM_BAD;
	}
	return bad || create->next < create->count ? TK_STEP_AGAIN : TK_STEP_ANSWER;
}

static void
create_expired(struct tk_job *job)
{
	struct create_state *create = job->state;

	for (size_t i = 0; i < create->count; i++)
		if (create->items[i].state != ITEM_DECIDED &&
		    create->items[i].state != ITEM_SKIPPED)
			item_refuse(&create->items[i], TK_ERR_REQUEST_TIMED_OUT, no_message());
}

static void
create_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	struct create_state *create = job->state;
	struct tk_create_topics_response response;
	int32_t count = 0;

	tk_create_topics_response_init(&response);
	response.topics = tk_arena_calloc(&job->arena, create->count + 1, sizeof(*response.topics));
	if (response.topics == NULL) {
		chain->failed = true;
		return;
	}
	for (size_t i = 0; i < create->count; i++) {
		struct tk_create_topics_response_topic *topic = &response.topics[count];

		if (create->items[i].state == ITEM_SKIPPED)
			continue;
		*topic = create->items[i].response;
		if (shrunk) {
			topic->error_message = no_message();
			if (topic->configs_count > 0)
				topic->topic_config_error_code = TK_ERR_UNKNOWN_SERVER_ERROR;
			topic->configs_count = 0;
		}
		count++;
	}
	response.topics_count = count;
	tk_create_topics_response_encode(chain, job->version, &response);
}

const struct tk_job_kind tk_create_topics_job = {
	.api_key = 19,
	.min_version = TK_CREATE_TOPICS_MIN_VERSION,
	.max_version = TK_CREATE_TOPICS_MAX_VERSION,
	.name = "CreateTopics",
	.state_size = sizeof(struct create_state),
	.decode = create_decode,
	.run = create_run,
	.committed = create_committed,
	.applied = create_applied,
	.expired = create_expired,
	.encode = create_encode,
};
