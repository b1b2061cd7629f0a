/*
 * Metadata, DescribeCluster and DescribeTopicPartitions: this broker, and what its view of the
 * journal says of topics.  Runs in workers.
 *
 * A Metadata that names unknown topics and allows it has them made: the worker forwards a
 * CreateTopics of its own, waits, and answers with what the journal says then.
 */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "handlers.h"
#include "meta/topic_name.h"
#include "wire/api.h"

/* Bits of the operations that a client without an authorizer may do (KIP-430). */
#define TOPIC_OPERATIONS   0x0df8
#define CLUSTER_OPERATIONS 0x1fa0
#define CREATE_TOPICS_KEY  19
#define CREATE_VERSION     7
#define CREATE_TIMEOUT_MS  10000
#define PARTITIONS_A_REPLY 2000

/* ---- Metadata ---- */

struct metadata {
	struct tk_metadata_request msg;
	bool all;
	struct tk_forward_call *creating;
	bool created; /* asked for once already */
	struct tk_create_topics_response answer;
	bool answered;
};

/*
 * The leader epoch is the one in force: files that were written elsewhere may have a later one than
 * the metadata, and clients that are told another than Fetch compares with are fenced for ever.
 */
static int16_t
partition_error(struct tk_worker *worker, const struct tk_meta_topic *topic, int32_t index,
    int32_t *ret_leader_epoch)
{
	struct tk_part part;
	int16_t error = tk_worker_part(worker, topic, index, &part);

	*ret_leader_epoch = topic->partitions[index].leader_epoch;
	if (error == TK_ERR_NONE)
		*ret_leader_epoch = part.state.leader_epoch;
	if (error == TK_ERR_NOT_LEADER_OR_FOLLOWER)
		return TK_ERR_LEADER_NOT_AVAILABLE;
	return error == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION ? TK_ERR_LEADER_NOT_AVAILABLE : error;
}

static bool
metadata_fill_topic(struct tk_request *req, const struct tk_meta_topic *topic,
    const struct tk_metadata_request *ask, struct tk_metadata_response_topic *ret)
{
	int32_t *node = tk_arena_alloc(&req->arena, sizeof(*node));

	tk_metadata_response_topic_init(ret);
	ret->name = (struct tk_bytes){ (const uint8_t *)topic->name, (uint32_t)topic->name_len };
	ret->topic_id = topic->id;
	ret->is_internal = topic->is_internal;
	if (ask->include_topic_authorized_operations)
		ret->topic_authorized_operations = TOPIC_OPERATIONS;
	ret->partitions = tk_arena_calloc(
	    &req->arena, (size_t)topic->partition_count + 1, sizeof(*ret->partitions));
	if (ret->partitions == NULL || node == NULL)
		return false;
	*node = req->worker->settings->node_id;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		struct tk_metadata_response_partition *part = &ret->partitions[i];

		tk_metadata_response_partition_init(part);
		part->error_code = partition_error(req->worker, topic, i, &part->leader_epoch);
		part->partition_index = i;
		part->leader_id = *node;
		part->replica_nodes = part->isr_nodes = node;
		part->replica_nodes_count = part->isr_nodes_count = 1;
	}
	ret->partitions_count = topic->partition_count;
	return true;
}

static const struct tk_create_topics_response_topic *
created_topic(const struct metadata *metadata, const struct tk_bytes *name)
{
	for (int32_t i = 0; metadata->answered && i < metadata->answer.topics_count; i++) {
		const struct tk_create_topics_response_topic *topic = &metadata->answer.topics[i];

		if (topic->name.len == name->len &&
		    memcmp(topic->name.data, name->data, name->len) == 0)
			return topic;
	}
	return NULL;
}

/* Why a topic that was asked for is not there. */
static int16_t
missing_error(const struct tk_request *req, const struct metadata *metadata,
    const struct tk_metadata_request_topic *ask)
{
	const struct tk_create_topics_response_topic *created;

	if (!tk_uuid_is_zero(&ask->topic_id))
		return req->version >= 12 ? TK_ERR_UNKNOWN_TOPIC_ID : TK_ERR_INVALID_REQUEST;
	if (ask->name.data == NULL || tk_topic_name_check(ask->name, NULL, 0) < 0)
		return TK_ERR_INVALID_TOPIC_EXCEPTION;
	created = created_topic(metadata, &ask->name);
	if (created != NULL && created->error_code != TK_ERR_NONE &&
	    created->error_code != TK_ERR_TOPIC_ALREADY_EXISTS)
		return created->error_code;
	return metadata->created ? TK_ERR_LEADER_NOT_AVAILABLE : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool
metadata_fill_asked(struct tk_request *req, const struct metadata *metadata,
    const struct tk_metadata_request_topic *ask, struct tk_metadata_response_topic *ret)
{
	const struct tk_meta_topic *topic = tk_topic_of(req->worker, &ask->name, &ask->topic_id);

	if (topic != NULL)
		return metadata_fill_topic(req, topic, &metadata->msg, ret);
	tk_metadata_response_topic_init(ret);
	ret->error_code = missing_error(req, metadata, ask);
	ret->name = ask->name;
	ret->topic_id = ask->topic_id;
	return true;
}

static bool
metadata_fill_topics(
    struct tk_request *req, const struct metadata *metadata, struct tk_metadata_response *msg)
{
	const struct tk_meta_topic *topic;
	size_t count = metadata->all ? tk_meta_topic_count(req->worker->meta)
				     : (size_t)metadata->msg.topics_count;

	msg->topics = tk_arena_calloc(&req->arena, count + 1, sizeof(*msg->topics));
	if (msg->topics == NULL)
		return false;
	for (int32_t i = 0; !metadata->all && i < metadata->msg.topics_count; i++)
		if (!metadata_fill_asked(
			req, metadata, &metadata->msg.topics[i], &msg->topics[msg->topics_count++]))
			return false;
	if (!metadata->all)
		return true;
	for (topic = tk_meta_topic_first(req->worker->meta); topic != NULL;
	     topic = tk_meta_topic_next(topic))
		if (!metadata_fill_topic(
			req, topic, &metadata->msg, &msg->topics[msg->topics_count++]))
			return false;
	return true;
}

static enum tk_io
metadata_reply(struct tk_request *req, const struct metadata *metadata)
{
	const struct tk_listener_settings *at = tk_advertised(req);
	struct tk_metadata_response_broker broker;
	struct tk_metadata_response msg;

	tk_metadata_response_broker_init(&broker);
	broker.node_id = req->worker->settings->node_id;
	broker.host = tk_text(at->advertised_host);
	broker.port = at->advertised_port;
	broker.rack = tk_rack(req->worker);
	tk_metadata_response_init(&msg);
	msg.brokers = &broker;
	msg.brokers_count = 1;
	msg.cluster_id = tk_text(req->worker->cluster_id);
	msg.controller_id = broker.node_id;
	if (metadata->msg.include_cluster_authorized_operations)
		msg.cluster_authorized_operations = CLUSTER_OPERATIONS;
	if (!metadata_fill_topics(req, metadata, &msg))
		return TK_IO_ERROR;
	return tk_request_reply(req, &msg);
}

/* ---- auto creation ---- */

static void
metadata_created(void *owner, int status, const void *body, size_t len)
{
	struct tk_request *req = owner;
	struct metadata *metadata = req->ctx;
	uint8_t *copy = status == 0 ? tk_arena_alloc(&req->arena, len) : NULL;
	struct tk_decoder dec;

	metadata->creating = NULL;
	if (copy != NULL) {
		memcpy(copy, body, len);
		tk_decoder_init(&dec, copy, len, &req->arena);
		metadata->answered =
		    tk_create_topics_response_decode(&dec, CREATE_VERSION, &metadata->answer);
	}
	tk_request_wake(req);
}

/* The topics to make: named, good, and not there. */
static int32_t
metadata_missing(struct tk_request *req, const struct metadata *metadata,
    struct tk_create_topics_request_topic *topics)
{
	int32_t count = 0;

	for (int32_t i = 0; i < metadata->msg.topics_count; i++) {
		const struct tk_metadata_request_topic *ask = &metadata->msg.topics[i];

		if (ask->name.data == NULL || !tk_uuid_is_zero(&ask->topic_id) ||
		    tk_topic_name_check(ask->name, NULL, 0) < 0 ||
		    tk_topic_of(req->worker, &ask->name, &ask->topic_id) != NULL)
			continue;
		tk_create_topics_request_topic_init(&topics[count]);
		topics[count].name = ask->name;
		topics[count].num_partitions = -1;
		topics[count].replication_factor = -1;
		count++;
	}
	return count;
}

/* Sends the CreateTopics; false if nothing is to be made or it could not be sent. */
static bool
metadata_create(struct tk_request *req, struct metadata *metadata)
{
	struct tk_create_topics_request msg;
	struct tk_chain chain;
	struct iovec body;
	size_t at = 0;

	tk_create_topics_request_init(&msg);
	msg.topics = tk_arena_calloc(
	    &req->arena, (size_t)metadata->msg.topics_count + 1, sizeof(*msg.topics));
	if (msg.topics == NULL)
		return false;
	msg.topics_count = metadata_missing(req, metadata, msg.topics);
	if (msg.topics_count == 0)
		return false;
	msg.timeout_ms = CREATE_TIMEOUT_MS;
	tk_chain_init(&chain, &req->arena);
	tk_create_topics_request_encode(&chain, CREATE_VERSION, &msg);
	body = (struct iovec){ tk_arena_alloc(&req->arena, chain.len), chain.len };
	if (tk_chain_failed(&chain) || body.iov_base == NULL)
		return false;
	for (struct tk_piece *piece = chain.first; piece != NULL; piece = piece->next) {
		memcpy((uint8_t *)body.iov_base + at, piece->data, piece->len);
		at += piece->len;
	}
	metadata->created = true;
	return tk_worker_forward(req->worker, req, CREATE_TOPICS_KEY, CREATE_VERSION, &body, 1,
		   CREATE_TIMEOUT_MS, metadata_created, req, &metadata->creating) == 0;
}

static enum tk_io
metadata_handle(struct tk_request *req)
{
	struct metadata *metadata = req->ctx;

	if (metadata == NULL) {
		metadata = tk_arena_calloc(&req->arena, 1, sizeof(*metadata));
		if (metadata == NULL || !tk_request_decode(req, &metadata->msg))
			return TK_IO_ERROR;
		req->ctx = metadata;
		metadata->all = metadata->msg.topics_count < 0 ||
				(req->version == 0 && metadata->msg.topics_count == 0);
	}
	if (metadata->creating != NULL)
		return TK_IO_AGAIN;
	(void)!tk_meta_catch_up(req->worker->meta);
	if (!metadata->all && !metadata->created &&
	    req->worker->settings->auto_create_topics_enable &&
	    metadata->msg.allow_auto_topic_creation && metadata_create(req, metadata))
		return TK_IO_AGAIN;
	return metadata_reply(req, metadata);
}

static void
metadata_cancel(struct tk_request *req)
{
	struct metadata *metadata = req->ctx;

	if (metadata != NULL && metadata->creating != NULL)
		tk_forward_forget(metadata->creating);
}

/* ---- DescribeCluster ---- */

static enum tk_io
describe_cluster_handle(struct tk_request *req)
{
	const struct tk_listener_settings *at = tk_advertised(req);
	struct tk_describe_cluster_response_broker broker;
	struct tk_describe_cluster_response msg;
	struct tk_describe_cluster_request ask;

	if (!tk_request_decode(req, &ask))
		return TK_IO_ERROR;
	tk_describe_cluster_response_init(&msg);
	msg.cluster_id = tk_text(req->worker->cluster_id);
	msg.endpoint_type = ask.endpoint_type;
	if (ask.endpoint_type != 1) {
		msg.error_code = ask.endpoint_type == 2 ? TK_ERR_MISMATCHED_ENDPOINT_TYPE
							: TK_ERR_UNSUPPORTED_ENDPOINT_TYPE;
		msg.error_message = tk_text("this is a broker's endpoint");
		return tk_request_reply(req, &msg);
	}
	tk_describe_cluster_response_broker_init(&broker);
	broker.broker_id = req->worker->settings->node_id;
	broker.host = tk_text(at->advertised_host);
	broker.port = at->advertised_port;
	broker.rack = tk_rack(req->worker);
	msg.controller_id = broker.broker_id;
	msg.brokers = &broker;
	msg.brokers_count = 1;
	if (ask.include_cluster_authorized_operations)
		msg.cluster_authorized_operations = CLUSTER_OPERATIONS;
	return tk_request_reply(req, &msg);
}

/* ---- DescribeTopicPartitions (KIP-966) ---- */

struct describe {
	struct tk_request *req;
	struct tk_describe_topic_partitions_request ask;
	struct tk_describe_topic_partitions_response msg;
	int32_t left; /* partitions that still fit the reply */
	int32_t *node;
};

static void
describe_fill_partition(struct describe *describe, const struct tk_meta_topic *topic, int32_t index,
    struct tk_describe_topic_partitions_response_partition *ret)
{
	tk_describe_topic_partitions_response_partition_init(ret);
	ret->error_code = partition_error(describe->req->worker, topic, index, &ret->leader_epoch);
	ret->partition_index = index;
	ret->leader_id = *describe->node;
	ret->replica_nodes = ret->isr_nodes = describe->node;
	ret->replica_nodes_count = ret->isr_nodes_count = 1;
	ret->eligible_leader_replicas_count = ret->last_known_elr_count = 0;
}

static bool
describe_stop_at(struct describe *describe, const struct tk_bytes *topic, int32_t partition)
{
	struct tk_describe_topic_partitions_response_cursor *cursor =
	    tk_arena_calloc(&describe->req->arena, 1, sizeof(*cursor));

	if (cursor == NULL)
		return false;
	cursor->topic_name = *topic;
	cursor->partition_index = partition;
	describe->msg.next_cursor = cursor;
	return true;
}

/* One topic from partition first on; false when out of memory. */
static bool
describe_topic(struct describe *describe, const struct tk_bytes *name, int32_t first)
{
	struct tk_request *req = describe->req;
	struct tk_describe_topic_partitions_response_topic *ret;
	const struct tk_meta_topic *topic =
	    tk_meta_topic_find(req->worker->meta, name->data, name->len);
	int32_t count = 0;

	if (describe->left == 0)
		return describe->msg.next_cursor != NULL || describe_stop_at(describe, name, 0);
	ret = &describe->msg.topics[describe->msg.topics_count++];
	tk_describe_topic_partitions_response_topic_init(ret);
	ret->name = *name;
	if (topic == NULL) {
		ret->error_code = tk_topic_name_check(*name, NULL, 0) < 0
				      ? TK_ERR_INVALID_TOPIC_EXCEPTION
				      : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
		return true;
	}
	ret->topic_id = topic->id;
	ret->is_internal = topic->is_internal;
	ret->topic_authorized_operations = TOPIC_OPERATIONS;
	count = TK_MAX(TK_MIN(topic->partition_count - first, describe->left), 0);
	ret->partitions = tk_arena_calloc(&req->arena, (size_t)count + 1, sizeof(*ret->partitions));
	if (ret->partitions == NULL)
		return false;
	for (int32_t i = 0; i < count; i++)
		describe_fill_partition(describe, topic, first + i, &ret->partitions[i]);
	ret->partitions_count = count;
	describe->left -= count;
	if (first + count < topic->partition_count)
		return describe_stop_at(describe, name, first + count);
	return true;
}

static int
bytes_compare(const struct tk_bytes *a, const struct tk_bytes *b)
{
	int order = memcmp(a->data, b->data, TK_MIN(a->len, b->len));

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int
asked_compare(const void *a, const void *b)
{
	const struct tk_describe_topic_partitions_request_topic *left = a, *right = b;

	return bytes_compare(&left->name, &right->name);
}

static bool
describe_asked(struct describe *describe)
{
	struct tk_describe_topic_partitions_request *ask = &describe->ask;
	bool good = true;

	qsort(ask->topics, (size_t)ask->topics_count, sizeof(*ask->topics), asked_compare);
	for (int32_t i = 0; good && i < ask->topics_count; i++) {
		const struct tk_bytes *name = &ask->topics[i].name;
		int order = ask->cursor == NULL ? 1 : bytes_compare(name, &ask->cursor->topic_name);

		if (order >= 0 && (i == 0 || bytes_compare(name, &ask->topics[i - 1].name) != 0))
			good = describe_topic(
			    describe, name, order == 0 ? ask->cursor->partition_index : 0);
	}
	return good;
}

static bool
describe_all(struct describe *describe)
{
	const struct tk_meta *meta = describe->req->worker->meta;
	const struct tk_describe_topic_partitions_request_cursor *cursor = describe->ask.cursor;
	const struct tk_meta_topic *topic =
	    cursor == NULL
		? tk_meta_topic_first(meta)
		: tk_meta_topic_from(meta, cursor->topic_name.data, cursor->topic_name.len);
	bool good = true;

	for (; good && topic != NULL && describe->msg.next_cursor == NULL;
	     topic = tk_meta_topic_next(topic)) {
		struct tk_bytes name = { (const uint8_t *)topic->name, (uint32_t)topic->name_len };
		bool first = cursor != NULL && bytes_compare(&name, &cursor->topic_name) == 0;

		good = describe_topic(describe, &name, first ? cursor->partition_index : 0);
	}
	return good;
}

static enum tk_io
describe_topic_partitions_handle(struct tk_request *req)
{
	struct describe describe = { .req = req };
	size_t room;
	bool good;

	if (!tk_request_decode(req, &describe.ask))
		return TK_IO_ERROR;
	if (describe.ask.cursor != NULL && describe.ask.cursor->partition_index < 0)
		return TK_IO_ERROR;
	(void)!tk_meta_catch_up(req->worker->meta);
	tk_describe_topic_partitions_response_init(&describe.msg);
	describe.left =
	    TK_MIN(TK_MAX(describe.ask.response_partition_limit, 1), PARTITIONS_A_REPLY);
	room = describe.ask.topics_count > 0 ? (size_t)describe.ask.topics_count
					     : tk_meta_topic_count(req->worker->meta);
	describe.msg.topics = tk_arena_calloc(&req->arena, room + 1, sizeof(*describe.msg.topics));
	describe.node = tk_arena_alloc(&req->arena, sizeof(*describe.node));
	if (describe.msg.topics == NULL || describe.node == NULL)
		return TK_IO_ERROR;
	*describe.node = req->worker->settings->node_id;
	good = describe.ask.topics_count > 0 ? describe_asked(&describe) : describe_all(&describe);
	return good ? tk_request_reply(req, &describe.msg) : TK_IO_ERROR;
}

static const struct tk_api apis[] = {
	{ 3, 0, 13, 0, 0, metadata_handle, metadata_cancel },
	{ 60, 0, 2, 0, 0, describe_cluster_handle, NULL },
	{ 75, 0, 0, 0, 0, describe_topic_partitions_handle, NULL },
};

static const struct tk_handler metadata_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_metadata = { .abi = TK_MODULE_ABI,
	.name = "metadata",
	.kind = TK_MODULE_HANDLER,
	.handler = &metadata_handler };
