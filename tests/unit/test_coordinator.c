/*
 * The coordinator with writers and a worker that the test plays: what requests are answered, what
 * is in the journal then, and what becomes of both when somebody dies in between.
 */

#include "test_coordinator_env.h"
#include "unit.h"

static struct world world;

/* ---- requests ---- */

struct want {
	const char *name;
	int32_t partitions;
	int16_t factor;
	const char *config, *value;
	int32_t assigned; /* this many partitions are assigned to broker 1 */
};

static uint64_t
send_create(const struct want *wants, int32_t count, int16_t version, bool validate_only,
    int32_t timeout_ms, int64_t frame_ms)
{
	struct tk_create_topics_request request;
	struct tk_chain chain;
	static int32_t node = 0;

	node = world.proc.settings->node_id;
	tk_create_topics_request_init(&request);
	request.topics = tk_arena_calloc(&world.arena, (size_t)count + 1, sizeof(*request.topics));
	env_must(request.topics != NULL, "arena");
	request.topics_count = count;
	request.timeout_ms = timeout_ms;
	request.validate_only = validate_only;
	for (int32_t i = 0; i < count; i++) {
		struct tk_create_topics_request_topic *topic = &request.topics[i];

		topic->name = bytes_of(wants[i].name);
		topic->num_partitions = wants[i].partitions;
		topic->replication_factor = wants[i].factor;
		topic->assignments = tk_arena_calloc(
		    &world.arena, (size_t)wants[i].assigned + 1, sizeof(*topic->assignments));
		env_must(topic->assignments != NULL, "arena");
		topic->assignments_count = wants[i].assigned;
		for (int32_t p = 0; p < wants[i].assigned; p++) {
			topic->assignments[p].partition_index = p;
			topic->assignments[p].broker_ids = &node;
			topic->assignments[p].broker_ids_count = 1;
		}
		if (wants[i].config == NULL)
			continue;
		topic->configs = tk_arena_calloc(&world.arena, 1, sizeof(*topic->configs));
		env_must(topic->configs != NULL, "arena");
		topic->configs_count = 1;
		topic->configs->name = bytes_of(wants[i].config);
		if (wants[i].value != NULL)
			topic->configs->value = bytes_of(wants[i].value);
	}
	tk_chain_init(&chain, &world.arena);
	tk_create_topics_request_encode(&chain, version, &request);
	return forward(&world, 19, version, &chain, frame_ms);
}

static struct tk_create_topics_response
create_answer(uint64_t id, int16_t version)
{
	const struct fake_answer *answer = answer_wait(&world, id);
	struct tk_create_topics_response response;
	struct tk_decoder dec;

	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(
	    tk_create_topics_response_decode(&dec, version, &response) && tk_decoder_finished(&dec),
	    "decode");
	return response;
}

/* One topic; its error. */
static int16_t
create_one(const char *name, int32_t partitions)
{
	const struct want want = { .name = name, .partitions = partitions, .factor = 1 };

	return create_answer(send_create(&want, 1, 7, false, 10000, 10000), 7).topics[0].error_code;
}

static struct tk_delete_topics_response
delete_topics(const char *const *names, int32_t count, const struct tk_uuid *id, int16_t version)
{
	struct tk_delete_topics_request request;
	struct tk_delete_topics_response response;
	const struct fake_answer *answer;
	struct tk_decoder dec;
	struct tk_chain chain;

	tk_delete_topics_request_init(&request);
	request.timeout_ms = 10000;
	request.topics = tk_arena_calloc(&world.arena, (size_t)count + 2, sizeof(*request.topics));
	request.topic_names =
	    tk_arena_calloc(&world.arena, (size_t)count + 1, sizeof(*request.topic_names));
	env_must(request.topics != NULL && request.topic_names != NULL, "arena");
	for (int32_t i = 0; i < count; i++)
		request.topics[i].name = request.topic_names[i] = bytes_of(names[i]);
	request.topic_names_count = request.topics_count = count;
	if (id != NULL)
		request.topics[request.topics_count++].topic_id = *id;
	tk_chain_init(&chain, &world.arena);
	tk_delete_topics_request_encode(&chain, version, &request);
	answer = answer_wait(&world, forward(&world, 20, version, &chain, 10000));
	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(
	    tk_delete_topics_response_decode(&dec, version, &response) && tk_decoder_finished(&dec),
	    "decode");
	return response;
}

static struct tk_create_partitions_response_topic
grow(const char *name, int32_t to, int32_t assignments, bool validate_only)
{
	struct tk_create_partitions_request request;
	struct tk_create_partitions_request_topic topic;
	struct tk_create_partitions_response response;
	struct tk_create_partitions_request_assignment assignment[8];
	int32_t node = world.proc.settings->node_id;
	const struct fake_answer *answer;
	struct tk_decoder dec;
	struct tk_chain chain;

	tk_create_partitions_request_init(&request);
	tk_create_partitions_request_topic_init(&topic);
	topic.name = bytes_of(name);
	topic.count = to;
	for (int i = 0; i < 8; i++) {
		assignment[i].broker_ids = &node;
		assignment[i].broker_ids_count = 1;
	}
	topic.assignments = assignments < 0 ? NULL : assignment;
	topic.assignments_count = assignments;
	request.topics = &topic;
	request.topics_count = 1;
	request.timeout_ms = 10000;
	request.validate_only = validate_only;
	tk_chain_init(&chain, &world.arena);
	tk_create_partitions_request_encode(&chain, 3, &request);
	answer = answer_wait(&world, forward(&world, 37, 3, &chain, 10000));
	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(tk_create_partitions_response_decode(&dec, 3, &response) &&
		     tk_decoder_finished(&dec) && response.results_count == 1,
	    "decode");
	return response.results[0];
}

static uint64_t
send_init_as(
    const char *transactional_id, int16_t version, int64_t frame_ms, int64_t id, int16_t epoch)
{
	struct tk_init_producer_id_request request;
	struct tk_chain chain;

	tk_init_producer_id_request_init(&request);
	request.transactional_id =
	    transactional_id != NULL ? bytes_of(transactional_id) : (struct tk_bytes){ NULL, 0 };
	request.producer_id = id;
	request.producer_epoch = epoch;
	tk_chain_init(&chain, &world.arena);
	tk_init_producer_id_request_encode(&chain, version, &request);
	return forward(&world, 22, version, &chain, frame_ms);
}

static uint64_t
send_init(const char *transactional_id, int16_t version, int64_t frame_ms)
{
	return send_init_as(transactional_id, version, frame_ms, -1, -1);
}

static struct tk_init_producer_id_response
init_answer(uint64_t id, int16_t version)
{
	const struct fake_answer *answer = answer_wait(&world, id);
	struct tk_init_producer_id_response response;
	struct tk_decoder dec;

	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(tk_init_producer_id_response_decode(&dec, version, &response) &&
		     tk_decoder_finished(&dec),
	    "decode");
	return response;
}

/* The topic as the journal has it, read by the first writer's view. */
static const struct tk_meta_topic *
topic_in_journal(const char *name)
{
	CU_ASSERT_EQUAL(tk_meta_catch_up(world.writers[0].view), 0);
	return tk_meta_topic_find(world.writers[0].view, name, strlen(name));
}

/* ---- start ---- */

static void
test_start(void)
{
	struct tk_control msg;
	size_t fds;
	int list[4];

	world_init(&world, 2, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	CU_ASSERT_EQUAL(
	    tk_unix_receive(world.control_other, &msg, sizeof(msg), list, &fds), sizeof(msg));
	CU_ASSERT_EQUAL(msg.type, TK_CONTROL_READY);
	CU_ASSERT_EQUAL(tk_meta_catch_up(world.writers[0].view), 0);
	CU_ASSERT_EQUAL(tk_meta_next_producer_id(world.writers[0].view), 1000);
	CU_ASSERT_EQUAL(tk_meta_revision(world.writers[0].view), TK_META_INCARNATION + 1);
	world_free(&world);
}

/* A writer that does not answer does not hold up the start for ever, nor topics elsewhere. */
static void
test_start_without(void)
{
	world_init(&world, 2, "");
	world.writers[1].frozen = true;
	CU_ASSERT_FALSE(world_run(&world, is_ready, 1000));
	CU_ASSERT_EQUAL(create_one("a", 3), TK_ERR_NONE);
	CU_ASSERT_EQUAL(topic_in_journal("a")->partitions[2].directory, 0);
	CU_ASSERT_TRUE(world_run(&world, is_ready, 6000));
	/* It comes late, and learns what is there. */
	writer_restart(&world.writers[1]);
	(void)world_run(&world, never, 300);
	CU_ASSERT_TRUE(world.writers[1].applies > 0);
	CU_ASSERT_EQUAL(create_one("b", 3), TK_ERR_NONE);
	CU_ASSERT_EQUAL(topic_in_journal("b")->partitions[0].directory, 1);
	world_free(&world);
}

/* ---- topics ---- */

static void
test_create(void)
{
	const struct tk_meta_topic *topic;
	struct tk_create_topics_response response;
	const struct want wants[] = { { "defaults", -1, -1, NULL, NULL, 0 },
		{ "given", 5, 1, "retention.ms", "777", 0 },
		{ "assigned", -1, -1, NULL, NULL, 3 } };

	world_init(&world, 2, "num_partitions = 2;");
	response = create_answer(send_create(wants, 3, 7, false, 10000, 10000), 7);
	CU_ASSERT_EQUAL_FATAL(response.topics_count, 3);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(response.topics[i].error_code, 0);
		CU_ASSERT_PTR_NULL(response.topics[i].error_message.data);
		CU_ASSERT_FALSE(tk_uuid_is_zero(&response.topics[i].topic_id));
		CU_ASSERT_EQUAL(response.topics[i].replication_factor, 1);
		CU_ASSERT_TRUE(response.topics[i].configs_count > 20);
	}
	CU_ASSERT_EQUAL(response.topics[0].num_partitions, 2);
	CU_ASSERT_EQUAL(response.topics[1].num_partitions, 5);
	CU_ASSERT_EQUAL(response.topics[2].num_partitions, 3);
	for (int32_t i = 0; i < response.topics[1].configs_count; i++) {
		const struct tk_create_topics_response_config *config =
		    &response.topics[1].configs[i];

		if (config->name.len != 12 || memcmp(config->name.data, "retention.ms", 12) != 0)
			continue;
		CU_ASSERT_EQUAL(memcmp(config->value.data, "777", 3), 0);
		CU_ASSERT_EQUAL(config->config_source, TK_CONFIG_SOURCE_DYNAMIC_TOPIC);
	}
	topic = topic_in_journal("given");
	CU_ASSERT_PTR_NOT_NULL_FATAL(topic);
	CU_ASSERT_TRUE(tk_uuid_equal(&topic->id, &response.topics[1].topic_id));
	CU_ASSERT_EQUAL(topic->config_count, 1);
	/* Ten partitions in one transaction: five a directory, each with a slot of its own. */
	CU_ASSERT_EQUAL(world.coord->slots[0].count, 1 + 5);
	CU_ASSERT_EQUAL(world.coord->slots[1].count, 5);
	CU_ASSERT_EQUAL(topic->partitions[0].incarnation, topic->create_revision);
	CU_ASSERT_EQUAL(topic->partitions[0].leader, world.proc.settings->node_id);

	/* Every version answers something that can be read. */
	for (int16_t version = 0; version <= 7; version++) {
		const struct want one = { .name = "again", .partitions = 1, .factor = 1 };

		response =
		    create_answer(send_create(&one, 1, version, false, 10000, 10000), version);
		CU_ASSERT_EQUAL(response.topics[0].error_code,
		    version == 0 ? TK_ERR_NONE : TK_ERR_TOPIC_ALREADY_EXISTS);
	}
	/* -1 is the default in every version: kafkajs sends it with version 3. */
	for (int16_t version = 0; version <= 3; version++) {
		char name[16];
		const struct want one = { name, -1, -1, NULL, NULL, 0 };

		(void)snprintf(name, sizeof(name), "minus%d", version);
		response =
		    create_answer(send_create(&one, 1, version, false, 10000, 10000), version);
		CU_ASSERT_EQUAL(response.topics[0].error_code, TK_ERR_NONE);
		CU_ASSERT_EQUAL(topic_in_journal(name)->partition_count, 2);
	}
	world_free(&world);
}

static void
test_create_refused(void)
{
	static char long_name[300];
	static const struct {
		struct want want;
		int16_t error;
		const char *text;
	} rows[] = {
		{ { "", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_TOPIC_EXCEPTION, "empty string" },
		{ { "..", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_TOPIC_EXCEPTION, "'..'" },
		{ { "a b", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_TOPIC_EXCEPTION, "other than" },
		{ { long_name, 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_TOPIC_EXCEPTION, "length" },
		{ { "there", 1, 1, NULL, NULL, 0 }, TK_ERR_TOPIC_ALREADY_EXISTS,
		    "Topic 'there' already exists." },
		{ { "with_dot", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "Topic 'with_dot' collides with existing topic: with.dot" },
		{ { "__metadata", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_REQUEST, "prohibited" },
		{ { "__consumer_offsets", 1, 1, NULL, NULL, 0 }, TK_ERR_INVALID_REQUEST,
		    "prohibited" },
		{ { "a", 0, 1, NULL, NULL, 0 }, TK_ERR_INVALID_PARTITIONS, "non-positive" },
		{ { "a", -2, 1, NULL, NULL, 0 }, TK_ERR_INVALID_PARTITIONS, "non-positive" },
		{ { "a", 1, 0, NULL, NULL, 0 }, TK_ERR_INVALID_REPLICATION_FACTOR,
		    "larger than 0" },
		{ { "a", 1, 3, NULL, NULL, 0 }, TK_ERR_INVALID_REPLICATION_FACTOR,
		    "only 1 broker(s)" },
		{ { "a", 1, -1, NULL, NULL, 2 }, TK_ERR_INVALID_REQUEST, "numPartitions" },
		{ { "a", -1, 1, NULL, NULL, 2 }, TK_ERR_INVALID_REQUEST, "replication factor" },
		{ { "a", 1, 1, "no.such.key", "1", 0 }, TK_ERR_INVALID_CONFIG, "no.such.key" },
		{ { "a", 1, 1, "retention.ms", "soon", 0 }, TK_ERR_INVALID_CONFIG, "whole number" },
		{ { "a", 1, 1, "retention.ms", NULL, 0 }, TK_ERR_INVALID_CONFIG, "Null value" },
		{ { "a", 2147483647, 1, NULL, NULL, 0 }, TK_ERR_POLICY_VIOLATION, "Excessively" },
		{ { "a", 60, 1, NULL, NULL, 0 }, TK_ERR_INVALID_PARTITIONS, "max_partitions" },
	};
	struct tk_create_topics_response response;
	uint64_t revision;

	memset(long_name, 'x', 250);
	world_init(&world, 1, "max_partitions = 50;");
	CU_ASSERT_EQUAL(create_one("there", 1), TK_ERR_NONE);
	CU_ASSERT_EQUAL(create_one("with.dot", 1), TK_ERR_NONE);
	CU_ASSERT_EQUAL(tk_meta_catch_up(world.writers[0].view), 0);
	revision = tk_meta_revision(world.writers[0].view);
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		response = create_answer(send_create(&rows[i].want, 1, 7, false, 10000, 10000), 7);
		CU_ASSERT_EQUAL_FATAL(response.topics_count, 1);
		CU_ASSERT_EQUAL(response.topics[0].error_code, rows[i].error);
		CU_ASSERT_PTR_NOT_NULL_FATAL(response.topics[0].error_message.data);
		CU_ASSERT_PTR_NOT_NULL(memmem(response.topics[0].error_message.data,
		    response.topics[0].error_message.len, rows[i].text, strlen(rows[i].text)));
		CU_ASSERT_EQUAL(response.topics[0].num_partitions, -1);
		CU_ASSERT_TRUE(tk_uuid_is_zero(&response.topics[0].topic_id));
	}
	CU_ASSERT_EQUAL(tk_meta_catch_up(world.writers[0].view), 0);
	CU_ASSERT_EQUAL(tk_meta_revision(world.writers[0].view), revision);
	CU_ASSERT_EQUAL(world.coord->slots[0].count, 3);
	world_free(&world);
}

/* Names of one request: twice is once refused; what differs in dots comes in once. */
static void
test_create_twins(void)
{
	const struct want wants[] = { { "twice", 1, 1, NULL, NULL, 0 },
		{ "x.y", 1, 1, NULL, NULL, 0 }, { "twice", 2, 1, NULL, NULL, 0 },
		{ "x_y", 1, 1, NULL, NULL, 0 }, { "twice", 3, 1, NULL, NULL, 0 } };
	struct tk_create_topics_response response;

	world_init(&world, 1, "");
	response = create_answer(send_create(wants, 5, 7, false, 10000, 10000), 7);
	CU_ASSERT_EQUAL_FATAL(response.topics_count, 3);
	CU_ASSERT_EQUAL(response.topics[0].error_code, TK_ERR_INVALID_REQUEST);
	CU_ASSERT_EQUAL(response.topics[1].error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(response.topics[2].error_code, TK_ERR_INVALID_TOPIC_EXCEPTION);
	CU_ASSERT_PTR_NULL(topic_in_journal("twice"));
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("x.y"));
	world_free(&world);
}

static void
test_validate_only(void)
{
	const struct want want = { .name = "a", .partitions = 4, .factor = 1 };
	struct tk_create_topics_response response;

	world_init(&world, 1, "");
	response = create_answer(send_create(&want, 1, 7, true, 10000, 10000), 7);
	CU_ASSERT_EQUAL(response.topics[0].error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(response.topics[0].num_partitions, 4);
	CU_ASSERT_TRUE(response.topics[0].configs_count > 20);
	CU_ASSERT_PTR_NULL(topic_in_journal("a"));
	CU_ASSERT_EQUAL(create_one("a", 2), TK_ERR_NONE);
	world_free(&world);
}

static void
test_delete(void)
{
	const char *const names[] = { "a", "none", "a" };
	struct tk_delete_topics_response response;
	uint64_t incarnation;
	struct tk_uuid id;

	world_init(&world, 1, "");
	CU_ASSERT_EQUAL(create_one("a", 2), TK_ERR_NONE);
	CU_ASSERT_EQUAL(create_one("b", 2), TK_ERR_NONE);
	incarnation = topic_in_journal("a")->partitions[0].incarnation;
	CU_ASSERT_EQUAL(topic_in_journal("a")->partitions[0].slot, 1);
	id = topic_in_journal("b")->id;
	response = delete_topics(names, 3, &id, 6);
	CU_ASSERT_EQUAL_FATAL(response.responses_count, 4);
	CU_ASSERT_EQUAL(response.responses[0].error_code, TK_ERR_NONE);
	CU_ASSERT_FALSE(tk_uuid_is_zero(&response.responses[0].topic_id));
	CU_ASSERT_EQUAL(response.responses[1].error_code, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(response.responses[2].error_code, TK_ERR_INVALID_REQUEST);
	CU_ASSERT_EQUAL(response.responses[3].error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(memcmp(response.responses[3].name.data, "b", 1), 0);
	CU_ASSERT_PTR_NULL(topic_in_journal("a"));
	CU_ASSERT_PTR_NULL(topic_in_journal("b"));
	CU_ASSERT_EQUAL(world.coord->slots[0].count, 1);
	response = delete_topics(names, 0, &id, 6);
	CU_ASSERT_EQUAL(response.responses[0].error_code, TK_ERR_UNKNOWN_TOPIC_ID);
	id = (struct tk_uuid){ .b = { 0 } };
	response = delete_topics(names, 0, &id, 6);
	CU_ASSERT_EQUAL(response.responses[0].error_code, TK_ERR_INVALID_REQUEST);
	/* Made again: the slot comes again, the incarnation does not. */
	CU_ASSERT_EQUAL(create_one("a", 2), TK_ERR_NONE);
	CU_ASSERT_EQUAL(topic_in_journal("a")->partitions[0].slot, 1);
	CU_ASSERT_TRUE(topic_in_journal("a")->partitions[0].incarnation > incarnation);
	for (int16_t version = 0; version <= 5; version++) {
		response = delete_topics(names, 1, NULL, version);
		CU_ASSERT_EQUAL(response.responses[0].error_code,
		    version == 0 ? TK_ERR_NONE : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	}
	world_free(&world);
}

static void
test_delete_disabled(void)
{
	const char *const names[] = { "a" };

	world_init(&world, 1, "delete_topic_enable = false;");
	CU_ASSERT_EQUAL(create_one("a", 1), TK_ERR_NONE);
	CU_ASSERT_EQUAL(delete_topics(names, 1, NULL, 6).responses[0].error_code,
	    TK_ERR_TOPIC_DELETION_DISABLED);
	CU_ASSERT_EQUAL(
	    delete_topics(names, 1, NULL, 2).responses[0].error_code, TK_ERR_INVALID_REQUEST);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("a"));
	world_free(&world);
}

static bool
message_has(struct tk_bytes message, const char *text)
{
	return message.data != NULL &&
	       memmem(message.data, message.len, text, strlen(text)) != NULL;
}

static void
test_grow(void)
{
	struct tk_create_partitions_response_topic result;
	const struct tk_meta_topic *topic;
	const struct want want = { "a", 2, 1, "retention.ms", "55", 0 };

	world_init(&world, 1, "max_partitions = 20;");
	CU_ASSERT_EQUAL(
	    create_answer(send_create(&want, 1, 7, false, 9999, 9999), 7).topics[0].error_code, 0);
	result = grow("a", 2, -1, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_INVALID_PARTITIONS);
	CU_ASSERT_TRUE(message_has(result.error_message, "Topic already has 2 partition(s)."));
	result = grow("a", 1, -1, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_INVALID_PARTITIONS);
	CU_ASSERT_TRUE(message_has(result.error_message,
	    "The topic a currently has 2 partition(s); 1 would not be an increase."));
	result = grow("none", 5, -1, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	result = grow("a", 5, 2, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_INVALID_REPLICA_ASSIGNMENT);
	result = grow("a", 50, -1, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_INVALID_PARTITIONS);
	result = grow("a", 50000, -1, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_POLICY_VIOLATION);
	result = grow("a", 5, -1, true);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(topic_in_journal("a")->partition_count, 2);
	result = grow("a", 5, 3, false);
	CU_ASSERT_EQUAL(result.error_code, TK_ERR_NONE);
	topic = topic_in_journal("a");
	CU_ASSERT_EQUAL(topic->partition_count, 5);
	CU_ASSERT_TRUE(topic->partitions[4].incarnation > topic->partitions[0].incarnation);
	CU_ASSERT_EQUAL(topic->partitions[4].slot, 5);
	CU_ASSERT_EQUAL(topic->config_count, 1);
	CU_ASSERT_STRING_EQUAL(topic->configs[0].value, "55");
	world_free(&world);
}

/* ---- what goes wrong ---- */

/*
 * Whatever the writer does with the transaction: what is answered and what is in the journal go
 * together, and the next request is served.
 */
static void
test_unknown_outcome(void)
{
	static const struct {
		const char *script;
		int16_t error;
		bool there;
	} rows[] = { { "o", TK_ERR_NONE, true }, { "b", TK_ERR_NONE, true },
		{ "a", TK_ERR_NONE, true }, { "bbb", TK_ERR_NONE, true },
		{ "aa", TK_ERR_NONE, true }, { "ba", TK_ERR_NONE, true },
		{ "aba", TK_ERR_NONE, true }, { "e", TK_ERR_KAFKA_STORAGE_ERROR, false },
		{ "E", TK_ERR_NONE, true }, { "be", TK_ERR_KAFKA_STORAGE_ERROR, false },
		{ "Ee", TK_ERR_REQUEST_TIMED_OUT, true } };
	char name[16];

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		world_init(&world, 1, "");
		CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
		world.writers[0].script = rows[i].script;
		(void)snprintf(name, sizeof(name), "t%zu", i);
		CU_ASSERT_EQUAL(create_one(name, 3), rows[i].error);
		CU_ASSERT_EQUAL(topic_in_journal(name) != NULL, rows[i].there);
		CU_ASSERT_STRING_EQUAL(world.writers[0].script, "");
		CU_ASSERT_EQUAL(create_one("next", 2), TK_ERR_NONE);
		CU_ASSERT_EQUAL(
		    topic_in_journal("next")->partitions[1].slot, rows[i].there ? 5 : 2);
		CU_ASSERT_EQUAL(
		    create_one(name, 3), rows[i].there ? TK_ERR_TOPIC_ALREADY_EXISTS : TK_ERR_NONE);
		world_free(&world);
	}
}

/* The writer stands still: requests are answered in time, and nothing is lost or done twice. */
static void
test_deadline(void)
{
	static const char *const scripts[] = { "s", "S" };
	const struct want want = { .name = "a", .partitions = 2, .factor = 1 };
	const struct want queued = { .name = "queued", .partitions = 2, .factor = 1 };

	for (int i = 0; i < 2; i++) {
		struct tk_create_topics_response response;
		int64_t begin_ms;
		uint64_t first, second;

		world_init(&world, 1, "");
		CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
		world.writers[0].script = scripts[i];
		begin_ms = tk_clock_mono_ms();
		first = send_create(&want, 1, 7, false, 150, 10000);
		second = send_create(&queued, 1, 7, false, 10000, 200);
		response = create_answer(first, 7);
		CU_ASSERT_EQUAL(response.topics[0].error_code, TK_ERR_REQUEST_TIMED_OUT);
		response = create_answer(second, 7);
		CU_ASSERT_EQUAL(response.topics[0].error_code, TK_ERR_REQUEST_TIMED_OUT);
		CU_ASSERT_TRUE(tk_clock_mono_ms() - begin_ms < 2000);
		/* Nothing more goes to a writer whose last transaction is open. */
		CU_ASSERT_EQUAL(world.writers[0].appends, 2);
		writer_restart(&world.writers[0]);
		CU_ASSERT_EQUAL(create_one("next", 1), TK_ERR_NONE);
		/* Its time had passed: only what had been written is there. */
		CU_ASSERT_EQUAL(topic_in_journal("a") != NULL, i == 1);
		CU_ASSERT_PTR_NULL(topic_in_journal("queued"));
		world_free(&world);
	}
}

/* A writer that committed but does not apply: answered in time, and the topic is there. */
static void
test_not_applied(void)
{
	const struct want want = { .name = "a", .partitions = 2, .factor = 1 };

	world_init(&world, 1, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	world.writers[0].apply_silent = true;
	CU_ASSERT_EQUAL(
	    create_answer(send_create(&want, 1, 7, false, 100, 9999), 7).topics[0].error_code,
	    TK_ERR_REQUEST_TIMED_OUT);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("a"));
	world.writers[0].apply_silent = false;
	writer_restart(&world.writers[0]);
	CU_ASSERT_EQUAL(create_one("b", 1), TK_ERR_NONE);
	world_free(&world);
}

/* Partitions that a writer cannot make: the topic is taken back. */
static void
test_taken_back(void)
{
	world_init(&world, 1, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	world.writers[0].apply_fails = true;
	CU_ASSERT_EQUAL(create_one("a", 2), TK_ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_PTR_NULL(topic_in_journal("a"));
	CU_ASSERT_EQUAL(world.coord->slots[0].count, 1);
	world.writers[0].apply_fails = false;
	CU_ASSERT_EQUAL(create_one("a", 2), TK_ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("a"));
	world_free(&world);
}

static bool
is_frozen(struct world *of)
{
	return of->writers[0].frozen;
}

/* The coordinator dies with a transaction open: the next one goes on from the journal. */
static void
test_killed(void)
{
	static const char *const scripts[] = { "s", "S" };
	const struct want want = { .name = "a", .partitions = 2, .factor = 1 };

	for (int i = 0; i < 2; i++) {
		world_init(&world, 1, "");
		CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
		world.writers[0].script = scripts[i];
		(void)send_create(&want, 1, 7, false, 5000, 5000);
		CU_ASSERT_TRUE(world_run(&world, is_frozen, 5000));
		world_kill(&world);
		writer_restart(&world.writers[0]);
		world_start(&world);
		CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
		worker_connect(&world);
		CU_ASSERT_EQUAL(
		    create_one("a", 2), i == 0 ? TK_ERR_NONE : TK_ERR_TOPIC_ALREADY_EXISTS);
		/* Half-made partitions were made at the start. */
		{
			struct tk_part_state state;
			const struct tk_meta_partition *part =
			    &topic_in_journal("a")->partitions[1];

			CU_ASSERT_TRUE(tk_zone_read(world.env.zone, part->slot, &state, NULL));
			CU_ASSERT_EQUAL(state.incarnation, part->incarnation);
		}
		world_free(&world);
	}
}

/* A worker that dies takes its waiting requests with it, and nothing else. */
static void
test_worker_dies(void)
{
	const struct want want = { .name = "a", .partitions = 2, .factor = 1 };
	const struct want queued = { .name = "queued", .partitions = 2, .factor = 1 };

	world_init(&world, 1, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	world.writers[0].script = "S";
	(void)send_create(&want, 1, 7, false, 5000, 5000);
	(void)send_create(&queued, 1, 7, false, 5000, 5000);
	CU_ASSERT_TRUE(world_run(&world, is_frozen, 5000));
	(void)world_run(&world, never, 50);
	worker_connect(&world);
	(void)world_run(&world, never, 50);
	writer_restart(&world.writers[0]);
	CU_ASSERT_EQUAL(create_one("next", 1), TK_ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("a"));
	CU_ASSERT_PTR_NULL(topic_in_journal("queued"));
	world_free(&world);
}

static bool
is_worker_closed(struct world *of)
{
	return of->worker_closed;
}

static void
test_hostile(void)
{
	static const uint8_t rubbish[] = { 0xff, 0xff, 0xff, 0x7f, 1, 2, 3 };
	struct tk_frame_forward forward_frame = { .body_len = 100 };
	const struct fake_answer *answer;

	world_init(&world, 1, "");
	/* Bodies that cannot be read, APIs that are not forwarded: a status, no body. */
	answer = answer_wait(&world, forward_bytes(&world, 19, 7, rubbish, sizeof(rubbish), 1000));
	CU_ASSERT_EQUAL(answer->status, -EBADMSG);
	CU_ASSERT_EQUAL(answer->len, 0);
	for (int16_t key = 0; key < 50; key++) {
		answer = answer_wait(&world, forward_bytes(&world, key, 99, rubbish, 0, 1000));
		CU_ASSERT_EQUAL(answer->status, -EOPNOTSUPP);
	}
	answer = answer_wait(&world, forward_bytes(&world, 0, 9, rubbish, 0, 1000));
	CU_ASSERT_EQUAL(answer->status, -EOPNOTSUPP);
	for (size_t i = 0; i < 4; i++) {
		static const int16_t keys[] = { 19, 20, 37, 22 };

		for (size_t len = 0; len < sizeof(rubbish); len++)
			(void)answer_wait(
			    &world, forward_bytes(&world, keys[i], 1, rubbish, len, 1000));
	}
	/* Frames that break the rules end the channel, and only that. */
	env_must(tk_channel_send1(
		     world.worker, TK_FRAME_FORWARD, 1, &forward_frame, sizeof(forward_frame)) == 0,
	    "send");
	CU_ASSERT_TRUE(world_run(&world, is_worker_closed, 5000));
	worker_connect(&world);
	env_must(tk_channel_send1(world.worker, TK_FRAME_APPEND, 1, rubbish, 3) == 0, "send");
	CU_ASSERT_TRUE(world_run(&world, is_worker_closed, 5000));
	worker_connect(&world);
	CU_ASSERT_EQUAL(create_one("a", 1), TK_ERR_NONE);
	/* Who is not a worker is not listened to. */
	world.peer.role = TK_ROLE_CLEANER;
	worker_connect(&world);
	CU_ASSERT_TRUE(world_run(&world, is_worker_closed, 5000));
	world_free(&world);
}

/* More at once than a worker may have outstanding: all are answered, in the end. */
static void
test_credits(void)
{
	static char names[300][16];
	uint64_t last = 0;

	world_init(&world, 1, "");
	for (int i = 0; i < 300; i++) {
		struct want want = { .name = names[i], .partitions = 1, .factor = 1 };

		(void)snprintf(names[i], sizeof(names[i]), "c%d", i);
		last = send_create(&want, 1, 7, false, 20000, 20000);
	}
	(void)answer_wait(&world, last);
	CU_ASSERT_EQUAL(world.answer_count, 300);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("c299"));
	CU_ASSERT_EQUAL(tk_meta_topic_count(world.writers[0].view), 300);
	world_free(&world);
}

/* Large answers: what can be left out is left out. */
static void
test_large(void)
{
	enum { TOPICS = 4000 };
	static char names[TOPICS][200];
	static struct want wants[TOPICS];
	struct tk_create_topics_response response;
	int good = 0;

	world_init(&world, 2, "");
	for (int i = 0; i < TOPICS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%0150d", i);
		wants[i] = (struct want){ .name = names[i], .partitions = 1, .factor = 1 };
	}
	response = create_answer(send_create(wants, TOPICS, 7, false, 60000, 60000), 7);
	CU_ASSERT_EQUAL(response.topics_count, TOPICS);
	for (int32_t i = 0; i < response.topics_count; i++)
		good += response.topics[i].error_code == TK_ERR_NONE;
	CU_ASSERT_EQUAL(good, TOPICS);
	CU_ASSERT_EQUAL(world.coord->slots[0].count + world.coord->slots[1].count, TOPICS + 1);
	world_free(&world);
}

/* ---- producer ids ---- */

static void
test_init_producer_id(void)
{
	struct tk_init_producer_id_response response;

	world_init(&world, 1, "");
	for (int16_t version = 0; version <= 5; version++) {
		response = init_answer(send_init(NULL, version, 5000), version);
		CU_ASSERT_EQUAL(response.error_code, TK_ERR_NONE);
		CU_ASSERT_EQUAL(response.producer_id, version);
		CU_ASSERT_EQUAL(response.producer_epoch, 0);
		response = init_answer(send_init("tx", version, 5000), version);
		CU_ASSERT_EQUAL(response.error_code, TK_ERR_INVALID_REQUEST);
		CU_ASSERT_EQUAL(response.producer_id, -1);
	}
	/* Over the end of a block. */
	for (int64_t i = 6; i < 2100; i++) {
		response = init_answer(send_init(NULL, 4, 5000), 4);
		CU_ASSERT_EQUAL(response.producer_id, i);
		answers_forget(&world);
	}
	world_free(&world);
}

/* No block to be had: the error that is retried, in time; and then an id. */
static void
test_init_producer_id_late(void)
{
	struct tk_init_producer_id_response response;

	world_init(&world, 1, "");
	world.writers[0].script = "s";
	response = init_answer(send_init(NULL, 4, 100), 4);
	CU_ASSERT_EQUAL(response.error_code, TK_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	writer_restart(&world.writers[0]);
	response = init_answer(send_init(NULL, 4, 5000), 4);
	CU_ASSERT_EQUAL(response.error_code, TK_ERR_NONE);
	world_free(&world);
}

/* The journal says that ids below next were given out. */
static void
ids_given_out(int64_t next)
{
	static uint8_t memory[TK_META_BATCH_MAX];
	struct tk_meta_txn txn;
	size_t len;

	env_must(tk_meta_catch_up(world.writers[0].view) == 0, "catch up");
	tk_meta_txn_begin(&txn, world.writers[0].view, memory, sizeof(memory));
	tk_meta_txn_put_producer_ids(&txn, next);
	env_must(tk_meta_txn_end(&txn, 1000, &len) == 0, "transaction");
	env_append(&world.env, memory, len);
}

/* The last block there is, then none: an error that says so, and all else goes on. */
static void
test_ids_exhausted(void)
{
	struct tk_init_producer_id_response response;

	world_init(&world, 1, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	world_kill(&world);
	ids_given_out(INT64_MAX - 1500);
	world_start(&world);
	worker_connect(&world);
	for (int64_t i = 0; i < 1000; i++) {
		response = init_answer(send_init(NULL, 4, 5000), 4);
		CU_ASSERT_EQUAL(response.producer_id, INT64_MAX - 1500 + i);
		answers_forget(&world);
	}
	for (int i = 0; i < 2; i++) {
		response = init_answer(send_init(NULL, 4, 5000), 4);
		CU_ASSERT_EQUAL(response.error_code, TK_ERR_UNKNOWN_SERVER_ERROR);
		CU_ASSERT_EQUAL(response.producer_id, -1);
		answers_forget(&world);
		/* It starts all the same. */
		world_kill(&world);
		world_start(&world);
		CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
		worker_connect(&world);
	}
	world_free(&world);
}

/* A producer that names itself without a transactional id: another id; half a name: refused. */
static void
test_init_producer_id_again(void)
{
	static const struct {
		int64_t id;
		int16_t epoch, error;
	} rows[] = { { 0, 0, TK_ERR_NONE }, { 77, 5, TK_ERR_NONE }, { 0, INT16_MAX, TK_ERR_NONE },
		{ 0, -1, TK_ERR_INVALID_REQUEST }, { -1, 0, TK_ERR_INVALID_REQUEST } };
	int64_t next = 0;

	world_init(&world, 1, "");
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		struct tk_init_producer_id_response response;

		response = init_answer(send_init_as(NULL, 4, 5000, rows[i].id, rows[i].epoch), 4);
		CU_ASSERT_EQUAL(response.error_code, rows[i].error);
		CU_ASSERT_EQUAL(response.producer_id, rows[i].error == 0 ? next++ : -1);
		CU_ASSERT_EQUAL(response.producer_epoch, rows[i].error == 0 ? 0 : -1);
	}
	world_free(&world);
}

/* Killed anywhere around every transaction, an id is never given out twice. */
static void
test_ids_unique(void)
{
	static const char *const scripts[] = { "o", "s", "S", "b", "a", "e", "E", "bs", "aS",
		"Es" };
	static bool seen[100000];
	size_t given = 0;

	memset(seen, 0, sizeof(seen));
	world_init(&world, 1, "");
	for (size_t i = 0; i < 3 * TK_COUNT_OF(scripts); i++) {
		unsigned asks = i % 3 == 0 ? 1 : i % 3 == 1 ? 20 : 950;
		struct tk_init_producer_id_response response;

		world.writers[0].script = scripts[i / 3];
		for (unsigned n = 0; n < asks; n++) {
			response = init_answer(send_init(NULL, 4, 60), 4);
			answers_forget(&world);
			if (response.error_code != TK_ERR_NONE)
				break;
			CU_ASSERT_TRUE_FATAL(response.producer_id >= 0 &&
					     response.producer_id < (int64_t)TK_COUNT_OF(seen));
			CU_ASSERT_FALSE(seen[response.producer_id]);
			seen[response.producer_id] = true;
			given++;
		}
		world_kill(&world);
		world.writers[0].script = "";
		writer_restart(&world.writers[0]);
		world_start(&world);
		worker_connect(&world);
	}
	CU_ASSERT_TRUE(given > 3000);
	world_free(&world);
}

/* ---- settings ---- */

static void
test_journal_damaged(void)
{
	uint8_t rubbish[100] = { 0 };
	char path[128];
	int fd;

	world_init(&world, 1, "");
	CU_ASSERT_TRUE(world_run(&world, is_ready, 5000));
	world_kill(&world);
	env_segment_path(&world.env, 0, path);
	env_must(tk_file_open(AT_FDCWD, path, O_RDWR, 0, &fd) == 0, "open");
	env_must(tk_file_pwrite(fd, rubbish, 40, 61) == 0, "pwrite");
	tk_file_close(&fd);
	/* The new one says so and ends; it does not serve what it cannot read. */
	world.writers[0].apply_silent = false;
	tk_meta_close(&world.writers[0].view);
	env_must(tk_file_open(AT_FDCWD, path, O_RDWR, 0, &fd) == 0, "open");
	tk_file_close(&fd);
	world.writers[0].view = env_open(&world.env);
	{
		struct tk_meta *view = env_open(&world.env);

		CU_ASSERT_EQUAL(tk_meta_catch_up(view), -EBADMSG);
		tk_meta_close(&view);
	}
	world.proc.exit_code = 0;
	world.writers[0].frozen = true;
	world_start(&world);
	(void)world_run(&world, never, 100);
	{
		const struct tk_frame_applied applied = { .revision = 2 };

		env_must(tk_channel_send1(world.writers[0].chan, TK_FRAME_APPLIED, 1, &applied,
			     sizeof(applied)) == 0,
		    "send");
	}
	world.timed_out = false;
	(void)world_run(&world, never, 500);
	CU_ASSERT_FALSE(world.timed_out); /* tk_process_exit() ended the loop */
	CU_ASSERT_EQUAL(world.proc.exit_code, 1);
	world_free(&world);
}

TK_UNIT_MAIN("coordinator", { "start", test_start },
    { "start without a writer", test_start_without }, { "create", test_create },
    { "create refused", test_create_refused }, { "twins", test_create_twins },
    { "validate only", test_validate_only }, { "delete", test_delete },
    { "delete disabled", test_delete_disabled }, { "grow", test_grow },
    { "unknown outcome", test_unknown_outcome }, { "deadline", test_deadline },
    { "not applied", test_not_applied }, { "taken back", test_taken_back },
    { "killed", test_killed }, { "worker dies", test_worker_dies }, { "hostile", test_hostile },
    { "credits", test_credits }, { "large", test_large }, { "producer ids", test_init_producer_id },
    { "producer ids late", test_init_producer_id_late }, { "producer ids unique", test_ids_unique },
    { "producer ids exhausted", test_ids_exhausted },
    { "producer ids again", test_init_producer_id_again },
    { "journal damaged", test_journal_damaged })
