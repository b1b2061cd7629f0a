/*
 * AlterConfigs and IncrementalAlterConfigs at the coordinator, with writers and a worker that the
 * test plays: what is refused with which words, what is in the journal then, and that the answer
 * waits for the writers.
 */
#include "base/topic_config.h"
#include "test_coordinator_env.h"
#include "unit.h"

#define SET      0
#define DELETE   1
#define APPEND   2
#define SUBTRACT 3

#define TOPIC  2
#define BROKER 4

static struct world world;

/* One change of one resource. */
struct step {
	int8_t type;
	const char *name;
	int8_t op;
	const char *key, *value;
};

/* The journal's topic, read by the first writer's view. */
static const struct tk_meta_topic *
topic_in_journal(const char *name)
{
	CU_ASSERT_EQUAL(tk_meta_catch_up(world.writers[0].view), 0);
	return tk_meta_topic_find(world.writers[0].view, name, strlen(name));
}

static const char *
stored(const char *name, const char *key)
{
	const struct tk_meta_topic *topic = topic_in_journal(name);

	for (size_t i = 0; topic != NULL && i < topic->config_count; i++)
		if (strcmp(topic->configs[i].name, key) == 0)
			return topic->configs[i].value;
	return NULL;
}

static void
create(const char *name, const char *key, const char *value)
{
	struct tk_create_topics_request_config config;
	struct tk_create_topics_request_topic topic;
	struct tk_create_topics_request request;
	struct tk_chain chain;

	tk_create_topics_request_init(&request);
	tk_create_topics_request_topic_init(&topic);
	tk_create_topics_request_config_init(&config);
	topic.name = bytes_of(name);
	topic.num_partitions = 2;
	topic.replication_factor = 1;
	if (key != NULL) {
		config.name = bytes_of(key);
		config.value = bytes_of(value);
		topic.configs = &config;
		topic.configs_count = 1;
	}
	request.topics = &topic;
	request.topics_count = 1;
	request.timeout_ms = 10000;
	tk_chain_init(&chain, &world.arena);
	tk_create_topics_request_encode(&chain, 7, &request);
	CU_ASSERT_EQUAL(answer_wait(&world, forward(&world, 19, 7, &chain, 10000))->status, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(topic_in_journal(name));
}

/* Neighbours of one type and name are one resource. */
static uint64_t
send_increment(const struct step *steps, size_t count, int16_t version, bool validate_only)
{
	struct tk_incremental_alter_configs_request request;
	struct tk_incremental_alter_configs_request_resource *resource = NULL;
	struct tk_chain chain;

	tk_incremental_alter_configs_request_init(&request);
	request.validate_only = validate_only;
	request.resources = tk_arena_calloc(&world.arena, count + 1, sizeof(*request.resources));
	env_must(request.resources != NULL, "arena");
	for (size_t i = 0; i < count; i++) {
		struct tk_incremental_alter_configs_request_config *config;

		if (i == 0 || steps[i].type != steps[i - 1].type ||
		    strcmp(steps[i].name, steps[i - 1].name) != 0) {
			resource = &request.resources[request.resources_count++];
			resource->resource_type = steps[i].type;
			resource->resource_name = bytes_of(steps[i].name);
			resource->configs =
			    tk_arena_calloc(&world.arena, count + 1, sizeof(*resource->configs));
			env_must(resource->configs != NULL, "arena");
		}
		if (steps[i].key == NULL)
			continue;
		config = &resource->configs[resource->configs_count++];
		config->name = bytes_of(steps[i].key);
		config->config_operation = steps[i].op;
		if (steps[i].value != NULL)
			config->value = bytes_of(steps[i].value);
	}
	tk_chain_init(&chain, &world.arena);
	tk_incremental_alter_configs_request_encode(&chain, version, &request);
	return forward(&world, 44, version, &chain, 10000);
}

static struct tk_incremental_alter_configs_response
increment_answer(uint64_t id, int16_t version)
{
	const struct fake_answer *answer = answer_wait(&world, id);
	struct tk_incremental_alter_configs_response response;
	struct tk_decoder dec;

	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(tk_incremental_alter_configs_response_decode(&dec, version, &response) &&
		     tk_decoder_finished(&dec),
	    "decode");
	return response;
}

static struct tk_incremental_alter_configs_response
increment(const struct step *steps, size_t count, bool validate_only)
{
	return increment_answer(send_increment(steps, count, 1, validate_only), 1);
}

/* One change of a topic; the error. */
static int16_t
change(const char *name, int8_t op, const char *key, const char *value)
{
	const struct step step = { TOPIC, name, op, key, value };

	return increment(&step, 1, false).responses[0].error_code;
}

/* AlterConfigs of one topic: pairs of key and value, ended by NULL. */
static struct tk_alter_configs_response_resource
replace(const char *name, const char *const *pairs, int16_t version, bool validate_only)
{
	struct tk_alter_configs_request_config configs[8];
	struct tk_alter_configs_request_resource resource;
	struct tk_alter_configs_request request;
	struct tk_alter_configs_response response;
	const struct fake_answer *answer;
	struct tk_decoder dec;
	struct tk_chain chain;

	tk_alter_configs_request_init(&request);
	tk_alter_configs_request_resource_init(&resource);
	resource.resource_type = TOPIC;
	resource.resource_name = bytes_of(name);
	resource.configs = configs;
	for (; pairs[0] != NULL; pairs += 2) {
		struct tk_alter_configs_request_config *config = &configs[resource.configs_count++];

		tk_alter_configs_request_config_init(config);
		config->name = bytes_of(pairs[0]);
		config->value = bytes_of(pairs[1]);
	}
	request.resources = &resource;
	request.resources_count = 1;
	request.validate_only = validate_only;
	tk_chain_init(&chain, &world.arena);
	tk_alter_configs_request_encode(&chain, version, &request);
	answer = answer_wait(&world, forward(&world, 33, version, &chain, 10000));
	env_must(answer->status == 0, "status");
	tk_decoder_init(&dec, answer->body, answer->len, &world.arena);
	env_must(tk_alter_configs_response_decode(&dec, version, &response) &&
		     tk_decoder_finished(&dec) && response.responses_count == 1,
	    "decode");
	return response.responses[0];
}

static void
test_set_and_delete(void)
{
	struct tk_uuid id;
	uint64_t revision;

	world_init(&world, 2, "");
	create("a", "retention.ms", "777");
	id = topic_in_journal("a")->id;
	revision = topic_in_journal("a")->config_revision;
	CU_ASSERT_EQUAL(change("a", SET, "segment.bytes", "5000"), TK_ERR_NONE);
	CU_ASSERT_STRING_EQUAL(stored("a", "segment.bytes"), "5000");
	CU_ASSERT_STRING_EQUAL(stored("a", "retention.ms"), "777");
	CU_ASSERT_TRUE(topic_in_journal("a")->config_revision > revision);
	CU_ASSERT_EQUAL(topic_in_journal("a")->config->segment_bytes, 5000);
	/* What a topic is beside its configuration stays. */
	CU_ASSERT_TRUE(tk_uuid_equal(&topic_in_journal("a")->id, &id));
	CU_ASSERT_EQUAL(topic_in_journal("a")->partition_count, 2);
	CU_ASSERT_NOT_EQUAL(topic_in_journal("a")->partitions[1].incarnation, 0);
	CU_ASSERT_TRUE(topic_in_journal("a")->create_revision < revision + 1);

	/* The same again, and the deletion of what is not there, write nothing. */
	revision = tk_meta_revision(world.writers[0].view);
	CU_ASSERT_EQUAL(change("a", SET, "segment.bytes", "5000"), TK_ERR_NONE);
	CU_ASSERT_EQUAL(change("a", DELETE, "flush.ms", NULL), TK_ERR_NONE);
	CU_ASSERT_EQUAL(change("a", DELETE, "no.such.key", NULL), TK_ERR_NONE);
	CU_ASSERT_PTR_NOT_NULL(topic_in_journal("a"));
	CU_ASSERT_EQUAL(tk_meta_revision(world.writers[0].view), revision);

	CU_ASSERT_EQUAL(change("a", DELETE, "retention.ms", NULL), TK_ERR_NONE);
	CU_ASSERT_PTR_NULL(stored("a", "retention.ms"));
	CU_ASSERT_STRING_EQUAL(stored("a", "segment.bytes"), "5000");
	world_free(&world);
}

static void
test_lists(void)
{
	world_init(&world, 1, "");
	create("a", NULL, NULL);
	/* To the default, what is there already once more; then all of it away. */
	CU_ASSERT_EQUAL(change("a", APPEND, "cleanup.policy", "delete"), TK_ERR_NONE);
	CU_ASSERT_STRING_EQUAL(stored("a", "cleanup.policy"), "delete");
	CU_ASSERT_EQUAL(change("a", SUBTRACT, "cleanup.policy", "burn"), TK_ERR_NONE);
	CU_ASSERT_STRING_EQUAL(stored("a", "cleanup.policy"), "delete");
	CU_ASSERT_EQUAL(change("a", SUBTRACT, "cleanup.policy", "delete"), TK_ERR_INVALID_CONFIG);
	CU_ASSERT_EQUAL(change("a", APPEND, "cleanup.policy", "burn"), TK_ERR_INVALID_CONFIG);
	CU_ASSERT_STRING_EQUAL(stored("a", "cleanup.policy"), "delete");
	CU_ASSERT_EQUAL(
	    change("a", SUBTRACT, "leader.replication.throttled.replicas", "0:1,0:2"), TK_ERR_NONE);
	CU_ASSERT_EQUAL(change("a", APPEND, "retention.ms", "1"), TK_ERR_INVALID_CONFIG);
	CU_ASSERT_EQUAL(change("a", SUBTRACT, "retention.ms", "1"), TK_ERR_INVALID_CONFIG);
	world_free(&world);
}

static void
test_replace(void)
{
	const char *const first[] = { "retention.ms", "1000", "segment.bytes", "2000", NULL };
	const char *const second[] = { "segment.bytes", "3000", NULL };
	const char *const bad[] = { "segment.bytes", "4000", "retention.ms", "soon", NULL };
	const char *const none[] = { NULL };

	world_init(&world, 1, "");
	create("a", "max.message.bytes", "9999");
	for (int16_t version = 0; version <= 2; version++) {
		CU_ASSERT_EQUAL(replace("a", first, version, false).error_code, TK_ERR_NONE);
		CU_ASSERT_STRING_EQUAL(stored("a", "retention.ms"), "1000");
		CU_ASSERT_PTR_NULL(stored("a", "max.message.bytes"));
		CU_ASSERT_EQUAL(replace("a", second, version, false).error_code, TK_ERR_NONE);
		CU_ASSERT_PTR_NULL(stored("a", "retention.ms"));
		CU_ASSERT_STRING_EQUAL(stored("a", "segment.bytes"), "3000");
		CU_ASSERT_EQUAL(
		    replace("a", bad, version, false).error_code, TK_ERR_INVALID_CONFIG);
		CU_ASSERT_EQUAL(replace("a", none, version, true).error_code, TK_ERR_NONE);
		CU_ASSERT_STRING_EQUAL(stored("a", "segment.bytes"), "3000");
	}
	CU_ASSERT_EQUAL(replace("a", none, 2, false).error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(topic_in_journal("a")->config_count, 0);
	CU_ASSERT_EQUAL(replace("b", none, 2, false).error_code, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	world_free(&world);
}

struct refusal {
	struct step step;
	int16_t error;
	const char *text;
};

static void
expect_refusal(const struct refusal *row)
{
	struct tk_incremental_alter_configs_response response = increment(&row->step, 1, false);
	const struct tk_incremental_alter_configs_response_resource *got = &response.responses[0];

	CU_ASSERT_EQUAL_FATAL(response.responses_count, 1);
	CU_ASSERT_EQUAL(got->error_code, row->error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got->error_message.data);
	CU_ASSERT_PTR_NOT_NULL(
	    memmem(got->error_message.data, got->error_message.len, row->text, strlen(row->text)));
	CU_ASSERT_EQUAL(got->resource_type, row->step.type);
	CU_ASSERT_EQUAL(got->resource_name.len, strlen(row->step.name));
}

static void
test_refused(void)
{
	static char long_name[300];
	static const struct refusal rows[] = {
		{ { TOPIC, "none", SET, "retention.ms", "1" }, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION,
		    "The topic 'none' does not exist." },
		{ { TOPIC, "none", SET, "no.such.key", "1" }, TK_ERR_INVALID_CONFIG,
		    "Unknown topic config name: no.such.key" },
		{ { TOPIC, "", SET, "retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Default topic resources are not allowed." },
		{ { TOPIC, "a b", SET, "retention.ms", "1" }, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "other than" },
		{ { TOPIC, long_name, SET, "retention.ms", "1" }, TK_ERR_INVALID_TOPIC_EXCEPTION,
		    "length" },
		{ { TOPIC, "__metadata", SET, "retention.ms", "1" },
		    TK_ERR_UNKNOWN_TOPIC_OR_PARTITION, "does not exist" },
		{ { TOPIC, "a", SET, "retention.ms", "soon" }, TK_ERR_INVALID_CONFIG,
		    "retention.ms" },
		{ { TOPIC, "a", SET, "retention.ms", "" }, TK_ERR_INVALID_CONFIG, "retention.ms" },
		{ { TOPIC, "a", SET, "retention.ms", NULL }, TK_ERR_INVALID_REQUEST,
		    "Null value not supported for : retention.ms" },
		{ { TOPIC, "a", SET, "segment.index.bytes", "5000" }, TK_ERR_INVALID_CONFIG,
		    "has no effect" },
		{ { TOPIC, "a", SET, "", "1" }, TK_ERR_INVALID_CONFIG, "Unknown topic config" },
		{ { TOPIC, "a", APPEND, "retention.ms", "1" }, TK_ERR_INVALID_CONFIG,
		    "Can't APPEND to key retention.ms because its type is not LIST." },
		{ { TOPIC, "a", SUBTRACT, "segment.ms", "1" }, TK_ERR_INVALID_CONFIG,
		    "Can't SUBTRACT to key segment.ms because its type is not LIST." },
		{ { TOPIC, "a", 4, "retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Unknown operations type 4" },
		{ { TOPIC, "a", -1, "retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Unknown operations type -1" },
		{ { BROKER, "1", SET, "log.retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "takhin.conf" },
		{ { BROKER, "", SET, "log.retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "takhin.conf" },
		{ { BROKER, "7", SET, "log.retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Unexpected broker id, expected 1, but received 7" },
		{ { BROKER, "one", SET, "log.retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Node id must be an integer, but it is: one" },
		{ { 8, "1", SET, "kafka", "DEBUG" }, TK_ERR_INVALID_REQUEST, "takhin.conf" },
		{ { 16, "m", SET, "interval.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Unknown resource type 16" },
		{ { 0, "a", SET, "retention.ms", "1" }, TK_ERR_INVALID_REQUEST,
		    "Unknown resource type 0" },
	};
	uint64_t revision;

	memset(long_name, 'x', 250);
	world_init(&world, 1, "node_id = 1;");
	create("a", NULL, NULL);
	revision = tk_meta_revision(world.writers[0].view);
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
		expect_refusal(&rows[i]);
	CU_ASSERT_EQUAL(topic_in_journal("a")->config_count, 0);
	CU_ASSERT_EQUAL(tk_meta_revision(world.writers[0].view), revision);
	world_free(&world);
}

/* Each resource by itself; one that comes twice not at all, nor one with a key twice. */
static void
test_several(void)
{
	const struct step steps[] = { { TOPIC, "a", SET, "retention.ms", "1000" },
		{ TOPIC, "b", SET, "retention.ms", "soon" },
		{ TOPIC, "c", SET, "retention.ms", "1000" },
		{ TOPIC, "c", DELETE, "retention.ms", NULL },
		{ TOPIC, "d", SET, "retention.ms", "1000" },
		{ BROKER, "d", SET, "retention.ms", "1000" },
		{ TOPIC, "d", SET, "segment.bytes", "1000" },
		{ TOPIC, "e", SET, "retention.ms", "1000" },
		{ TOPIC, "e", SET, "segment.bytes", "1000" } };
	struct tk_incremental_alter_configs_response response;

	world_init(&world, 2, "");
	for (const char *name = "a\0b\0c\0d\0e\0"; *name != '\0'; name += 2)
		create(name, NULL, NULL);
	for (int16_t version = 0; version <= 1; version++) {
		response = increment_answer(
		    send_increment(steps, TK_COUNT_OF(steps), version, false), version);
		CU_ASSERT_EQUAL_FATAL(response.responses_count, 7);
		CU_ASSERT_EQUAL(response.responses[0].error_code, TK_ERR_NONE);
		CU_ASSERT_PTR_NULL(response.responses[0].error_message.data);
		CU_ASSERT_EQUAL(response.responses[1].error_code, TK_ERR_INVALID_CONFIG);
		CU_ASSERT_EQUAL(response.responses[2].error_code, TK_ERR_INVALID_REQUEST);
		CU_ASSERT_EQUAL(response.responses[3].error_code, TK_ERR_INVALID_REQUEST);
		CU_ASSERT_EQUAL(response.responses[4].error_code, TK_ERR_INVALID_REQUEST);
		CU_ASSERT_EQUAL(response.responses[5].error_code, TK_ERR_INVALID_REQUEST);
		CU_ASSERT_EQUAL(response.responses[6].error_code, TK_ERR_NONE);
	}
	CU_ASSERT_STRING_EQUAL(stored("a", "retention.ms"), "1000");
	CU_ASSERT_STRING_EQUAL(stored("e", "segment.bytes"), "1000");
	CU_ASSERT_EQUAL(topic_in_journal("b")->config_count, 0);
	CU_ASSERT_EQUAL(topic_in_journal("c")->config_count, 0);
	CU_ASSERT_EQUAL(topic_in_journal("d")->config_count, 0);
	world_free(&world);
}

static void
test_validate_only(void)
{
	const struct step steps[] = { { TOPIC, "a", SET, "retention.ms", "1000" },
		{ TOPIC, "b", SET, "retention.ms", "1000" } };
	struct tk_incremental_alter_configs_response response;

	world_init(&world, 1, "");
	create("a", NULL, NULL);
	response = increment(steps, 2, true);
	CU_ASSERT_EQUAL(response.responses[0].error_code, TK_ERR_NONE);
	CU_ASSERT_EQUAL(response.responses[1].error_code, TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	CU_ASSERT_EQUAL(topic_in_journal("a")->config_count, 0);
	world_free(&world);
}

static bool
is_stored(struct world *w)
{
	(void)w;
	return stored("a", "retention.ms") != NULL;
}

/* In the journal, but a writer has not applied it: no answer until it has. */
static void
test_waits_for_writers(void)
{
	const struct step step = { TOPIC, "a", SET, "retention.ms", "1000" };
	uint64_t id;

	world_init(&world, 2, "");
	create("a", NULL, NULL);
	world.writers[1].apply_silent = true;
	id = send_increment(&step, 1, 1, false);
	CU_ASSERT_TRUE(world_run(&world, is_stored, 5000));
	(void)world_run(&world, never, 200);
	for (size_t i = 0; i < world.answer_count; i++)
		CU_ASSERT_NOT_EQUAL(world.answers[i].id, id);
	world.writers[1].apply_silent = false;
	writer_restart(&world.writers[1]);
	CU_ASSERT_EQUAL(increment_answer(id, 1).responses[0].error_code, TK_ERR_NONE);
	world_free(&world);
}

/* The journal does not take it: told so, and nothing has changed. */
static void
test_not_committed(void)
{
	world_init(&world, 1, "");
	create("a", NULL, NULL);
	world.writers[0].script = "e";
	CU_ASSERT_EQUAL(change("a", SET, "retention.ms", "1000"), TK_ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT_EQUAL(topic_in_journal("a")->config_count, 0);
	CU_ASSERT_EQUAL(change("a", SET, "retention.ms", "1000"), TK_ERR_NONE);
	CU_ASSERT_STRING_EQUAL(stored("a", "retention.ms"), "1000");
	world_free(&world);
}

TK_UNIT_MAIN("coordinator_configs", { "set and delete", test_set_and_delete },
    { "lists", test_lists }, { "replace", test_replace }, { "refused", test_refused },
    { "several", test_several }, { "validate only", test_validate_only },
    { "waits for writers", test_waits_for_writers }, { "not committed", test_not_committed })
