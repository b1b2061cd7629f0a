/*
 * Messages of others: frames real clients and a real Kafka sent (data/wire/NAME.hex: a comment,
 * "key version side", the frame without its size in hex) and what the Java client's own classes
 * write for every version they know (data/wire/kafka_clients_*.txt: one body a line).  All are
 * decoded to their end and encoded again to the same bytes; of some the values are looked at.
 */
#include "test_wire.h"
#include "unit.h"
#include "wire/api.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_MAX 4096
#define IS(slice, text)                                                                            \
	((slice).len == sizeof(text) - 1 && memcmp((slice).data, text, sizeof(text) - 1) == 0)

/* A frame, decoded: the decoder stands behind the header, then behind the body. */
struct golden {
	const struct tk_api_schema *schema;
	int version;
	bool is_request;
	uint8_t *bytes; /* exactly len */
	size_t len;
	struct tk_arena arena;
	struct tk_request_header request_header;
	struct tk_response_header response_header;
	void *msg;
};

static FILE *
data_open(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[1024];

	(void)snprintf(
	    path, sizeof(path), "%s/tests/unit/data/wire/%s", srcdir != NULL ? srcdir : ".", name);
	return fopen(path, "r");
}

static size_t
hex_read(const char *text, uint8_t *bytes, size_t size)
{
	size_t len = 0;
	unsigned byte;

	for (; sscanf(text, " %2x", &byte) == 1; text += 2) {
		text += strspn(text, " ");
		tk_assert(len < size);
		bytes[len++] = (uint8_t)byte;
	}
	return len;
}

/* "key version request|response" and what stands behind it. */
static const char *
golden_head(struct golden *golden, const char *line)
{
	char side[16];
	int key, behind = 0;

	if (sscanf(line, "%d %d %15s%n", &key, &golden->version, side, &behind) != 3)
		return NULL;
	golden->schema = tk_api_schema_find(key);
	golden->is_request = strcmp(side, "request") == 0;
	tk_assert(golden->schema != NULL);
	return line + behind;
}

static void
golden_free(struct golden *golden)
{
	tk_arena_reset(&golden->arena);
	free(golden->bytes);
	free(golden->msg);
}

static bool
golden_decode_body(struct golden *golden, struct tk_decoder *dec)
{
	const struct tk_api_schema *schema = golden->schema;

	golden->msg = malloc(golden->is_request ? schema->request_size : schema->response_size);
	tk_assert(golden->msg != NULL);
	if (golden->is_request)
		return schema->decode_request(dec, golden->version, golden->msg);
	return schema->decode_response(dec, golden->version, golden->msg);
}

static bool
golden_decode(struct golden *golden, bool with_header)
{
	struct tk_decoder dec;
	int version;

	tk_arena_init(&golden->arena, 1 << 20);
	tk_decoder_init(&dec, golden->bytes, golden->len, &golden->arena);
	if (with_header && golden->is_request) {
		version = tk_api_request_header_version(golden->schema, golden->version);
		(void)tk_request_header_decode(&dec, version, &golden->request_header);
	} else if (with_header) {
		version = tk_api_response_header_version(golden->schema, golden->version);
		(void)tk_response_header_decode(&dec, version, &golden->response_header);
	}
	return golden_decode_body(golden, &dec) && tk_decoder_finished(&dec);
}

static bool
golden_same_again(const struct golden *golden, bool with_header)
{
	const struct tk_api_schema *schema = golden->schema;
	struct tk_arena arena;
	struct tk_chain chain;
	uint8_t *bytes;
	size_t len = 0;
	bool same;

	tk_arena_init(&arena, 1 << 20);
	tk_chain_init(&chain, &arena);
	if (golden->is_request) {
		if (with_header)
			tk_request_header_encode(&chain,
			    tk_api_request_header_version(schema, golden->version),
			    &golden->request_header);
		schema->encode_request(&chain, golden->version, golden->msg);
	} else {
		if (with_header)
			tk_response_header_encode(&chain,
			    tk_api_response_header_version(schema, golden->version),
			    &golden->response_header);
		schema->encode_response(&chain, golden->version, golden->msg);
	}
	bytes = wire_linear(&chain, &len);
	same = bytes != NULL && len == golden->len && memcmp(bytes, golden->bytes, len) == 0;
	free(bytes);
	tk_chain_reset(&chain);
	tk_arena_reset(&arena);
	return same;
}

/* Reads a .hex file; the message is decoded and checked to encode the same again. */
static bool
golden_load(struct golden *golden, const char *name)
{
	FILE *file = data_open(name);
	char line[512];
	uint8_t bytes[GOLDEN_MAX];
	bool ok;

	*golden = (struct golden){ 0 };
	CU_ASSERT_FATAL(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '#')
			continue;
		if (golden->schema == NULL)
			tk_assert(golden_head(golden, line) != NULL);
		else
			golden->len +=
			    hex_read(line, bytes + golden->len, sizeof(bytes) - golden->len);
	}
	(void)fclose(file);
	tk_assert(golden->len > 0);
	golden->bytes = wire_copy(bytes, golden->len);
	ok = golden_decode(golden, true) && golden_same_again(golden, true);
	CU_ASSERT(ok);
	if (!ok)
		fprintf(stderr, "\n%s: not decoded, or not encoded to the same bytes\n", name);
	return ok;
}

static void
test_every_capture(void)
{
	const char *srcdir = getenv("srcdir");
	char path[1024];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	(void)snprintf(
	    path, sizeof(path), "%s/tests/unit/data/wire", srcdir != NULL ? srcdir : ".");
	dir = opendir(path);
	CU_ASSERT_FATAL(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		struct golden golden;

		if (strstr(entry->d_name, ".hex") == NULL)
			continue;
		(void)golden_load(&golden, entry->d_name);
		golden_free(&golden);
		count++;
	}
	(void)closedir(dir);
	CU_ASSERT(count >= 70);
}

static void
check_line(const char *line)
{
	struct golden golden = { 0 };
	const char *hex = golden_head(&golden, line);
	uint8_t bytes[GOLDEN_MAX];
	bool ok;

	tk_assert(hex != NULL);
	golden.len = hex_read(hex, bytes, sizeof(bytes));
	golden.bytes = wire_copy(bytes, golden.len);
	ok = golden_decode(&golden, false) && golden_same_again(&golden, false);
	CU_ASSERT(ok);
	if (!ok)
		fprintf(stderr, "\n%s v%d: %s", golden.schema->name, golden.version, line);
	golden_free(&golden);
}

static void
test_java_classes(void)
{
	FILE *file = data_open("kafka_clients_4.4.0.txt");
	char line[2 * GOLDEN_MAX + 64];
	unsigned count = 0;

	CU_ASSERT_FATAL(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		if (line[0] != '#') {
			check_line(line);
			count++;
		}
	(void)fclose(file);
	CU_ASSERT(count >= 170);
}

/* ---- values ---- */

static void
test_headers(void)
{
	struct golden golden;

	golden_load(&golden, "api_versions_request_v3_librdkafka.hex");
	CU_ASSERT(golden.request_header.request_api_key == TK_API_API_VERSIONS);
	CU_ASSERT(golden.request_header.request_api_version == 3);
	CU_ASSERT(golden.request_header.correlation_id == 1);
	CU_ASSERT(IS(golden.request_header.client_id, "rdkafka"));
	const struct tk_api_versions_request *request = golden.msg;
	CU_ASSERT(IS(request->client_software_name, "librdkafka"));
	CU_ASSERT(IS(request->client_software_version, "2.0.2"));
	golden_free(&golden);

	golden_load(&golden, "api_versions_response_v3_librdkafka.hex");
	CU_ASSERT(golden.response_header.correlation_id == 1);
	const struct tk_api_versions_response *response = golden.msg;
	CU_ASSERT(response->error_code == 0 && response->api_keys_count > 50);
	CU_ASSERT(response->api_keys[1].api_key == 1 && response->api_keys[1].min_version == 4 &&
		  response->api_keys[1].max_version == 18);
	CU_ASSERT(response->supported_features_count > 0);
	CU_ASSERT(response->finalized_features_epoch >= 0);
	golden_free(&golden);
}

static void
test_produce(void)
{
	struct golden golden;

	golden_load(&golden, "produce_request_v7_librdkafka.hex");
	const struct tk_produce_request *request = golden.msg;
	CU_ASSERT(request->transactional_id.data == NULL && request->acks == -1);
	CU_ASSERT(request->timeout_ms == 30000 && request->topic_data_count == 1);
	CU_ASSERT(IS(request->topic_data[0].name, "orders"));
	CU_ASSERT(request->topic_data[0].partition_data_count == 1);
	CU_ASSERT(request->topic_data[0].partition_data[0].index == 0);
	CU_ASSERT(request->topic_data[0].partition_data[0].records.len == 85);
	CU_ASSERT(request->topic_data[0].partition_data[0].records.data[16] == 2);
	golden_free(&golden);

	golden_load(&golden, "produce_request_v13_java.hex");
	request = golden.msg;
	CU_ASSERT(request->topic_data_count == 1 && request->topic_data[0].topic_id.b[0] == 0x74);
	CU_ASSERT(request->topic_data[0].partition_data[0].records.len == 76);
	golden_free(&golden);

	golden_load(&golden, "produce_response_v7_librdkafka.hex");
	const struct tk_produce_response *response = golden.msg;
	CU_ASSERT(IS(response->responses[0].name, "orders"));
	CU_ASSERT(response->responses[0].partition_responses[0].error_code == 0);
	CU_ASSERT(response->responses[0].partition_responses[0].log_append_time_ms == -1);
	golden_free(&golden);
}

static void
test_fetch(void)
{
	struct golden golden;

	golden_load(&golden, "fetch_request_v18_java.hex");
	const struct tk_fetch_request *request = golden.msg;
	CU_ASSERT(request->max_wait_ms == 500 && request->min_bytes == 1);
	CU_ASSERT(request->max_bytes == 52428800 && request->session_epoch == 0);
	CU_ASSERT(request->replica_id == -1 && request->replica_state.replica_id == -1);
	CU_ASSERT(request->topics_count == 1 && request->topics[0].partitions_count == 2);
	CU_ASSERT(request->topics[0].partitions[0].partition == 1);
	CU_ASSERT(request->topics[0].partitions[0].partition_max_bytes == 1048576);
	CU_ASSERT(request->topics[0].partitions[0].last_fetched_epoch == -1);
	CU_ASSERT(request->topics[0].partitions[0].high_watermark == INT64_MAX);
	CU_ASSERT(request->rack_id.len == 0 && request->rack_id.data != NULL);
	golden_free(&golden);

	golden_load(&golden, "fetch_response_v18_java.hex");
	const struct tk_fetch_response *response = golden.msg;
	const struct tk_fetch_response_topic *topic = &response->responses[0];
	CU_ASSERT(response->session_id == 0x0ce429e6 && response->responses_count == 1);
	CU_ASSERT(topic->partitions_count == 2 && topic->partitions[0].partition_index == 1);
	CU_ASSERT(topic->partitions[0].high_watermark == 1);
	CU_ASSERT(topic->partitions[0].last_stable_offset == 1);
	CU_ASSERT(topic->partitions[0].aborted_transactions_count == -1);
	CU_ASSERT(topic->partitions[0].preferred_read_replica == -1);
	CU_ASSERT(topic->partitions[0].records.mem.len == 74);
	CU_ASSERT(!topic->partitions[0].records.is_file);
	CU_ASSERT(topic->partitions[1].records.mem.len == 76);
	golden_free(&golden);

	golden_load(&golden, "fetch_request_v4_kafka_python.hex");
	request = golden.msg;
	CU_ASSERT(IS(request->topics[0].topic, "py") && request->isolation_level == 0);
	CU_ASSERT(request->session_epoch == -1);
	golden_free(&golden);
}

static void
test_metadata(void)
{
	struct golden golden;

	golden_load(&golden, "metadata_response_v13_java.hex");
	const struct tk_metadata_response *response = golden.msg;
	CU_ASSERT(response->brokers_count == 1 && IS(response->brokers[0].host, "127.0.0.1"));
	CU_ASSERT(response->brokers[0].port == 39192 && response->brokers[0].rack.data == NULL);
	CU_ASSERT(IS(response->cluster_id, "4L6g3nShT-eMCtK--X86sw"));
	CU_ASSERT(response->controller_id == 1 && response->topics_count == 4);
	CU_ASSERT(IS(response->topics[1].name, "orders"));
	CU_ASSERT(response->topics[1].partitions_count == 4);
	CU_ASSERT(response->topics[1].partitions[3].partition_index == 3);
	CU_ASSERT(response->topics[1].partitions[3].isr_nodes_count == 1);
	CU_ASSERT(response->topics[1].partitions[3].isr_nodes[0] == 1);
	CU_ASSERT(response->topics[1].topic_authorized_operations == INT32_MIN);
	CU_ASSERT(response->topics[3].is_internal);
	golden_free(&golden);

	golden_load(&golden, "metadata_request_v0_kafka_python.hex");
	const struct tk_metadata_request *request = golden.msg;
	CU_ASSERT(request->topics_count == 0 && request->allow_auto_topic_creation);
	golden_free(&golden);
}

static void
test_topics(void)
{
	struct golden golden;

	golden_load(&golden, "create_topics_request_v7_java.hex");
	const struct tk_create_topics_request *create = golden.msg;
	CU_ASSERT(create->topics_count == 2 && create->timeout_ms == 29988);
	CU_ASSERT(IS(create->topics[0].name, "jt") && create->topics[0].num_partitions == 2);
	CU_ASSERT(IS(create->topics[0].configs[0].name, "retention.ms"));
	CU_ASSERT(IS(create->topics[0].configs[0].value, "86400000"));
	CU_ASSERT(create->topics[1].num_partitions == -1);
	CU_ASSERT(create->topics[1].assignments[0].broker_ids[0] == 1);
	golden_free(&golden);

	golden_load(&golden, "delete_topics_request_v6_java.hex");
	const struct tk_delete_topics_request *delete = golden.msg;
	CU_ASSERT(delete->topics_count == 2 && delete->topic_names_count == 0);
	CU_ASSERT(IS(delete->topics[1].name, "ja"));
	golden_free(&golden);

	golden_load(&golden, "delete_topics_request_v3_kafka_python.hex");
	delete = golden.msg;
	CU_ASSERT(delete->topic_names_count == 1 && IS(delete->topic_names[0], "py"));
	golden_free(&golden);
}

static void
test_cluster(void)
{
	struct golden golden;

	golden_load(&golden, "describe_cluster_response_v2_java.hex");
	const struct tk_describe_cluster_response *cluster = golden.msg;
	CU_ASSERT(cluster->endpoint_type == 1 && cluster->brokers_count == 1);
	CU_ASSERT(!cluster->brokers[0].is_fenced);
	CU_ASSERT(cluster->cluster_authorized_operations == 0x1fa0);
	golden_free(&golden);

	golden_load(&golden, "describe_topic_partitions_response_v0_java.hex");
	const struct tk_describe_topic_partitions_response *topics = golden.msg;
	CU_ASSERT(topics->topics_count == 2 && topics->next_cursor == NULL);
	CU_ASSERT(topics->topics[1].partitions_count == 3);
	CU_ASSERT(topics->topics[1].partitions[2].eligible_leader_replicas_count == 0);
	golden_free(&golden);

	golden_load(&golden, "list_offsets_response_v11_java.hex");
	const struct tk_list_offsets_response *offsets = golden.msg;
	CU_ASSERT(offsets->topics[0].partitions[1].offset == 1);
	CU_ASSERT(offsets->topics[0].partitions[1].timestamp == -1);
	golden_free(&golden);

	golden_load(&golden, "init_producer_id_request_v4_librdkafka.hex");
	const struct tk_init_producer_id_request *init = golden.msg;
	CU_ASSERT(init->producer_id == -1 && init->producer_epoch == -1);
	golden_free(&golden);
}

TK_UNIT_MAIN("wire golden", { "every capture", test_every_capture },
    { "java classes", test_java_classes }, { "headers", test_headers }, { "produce", test_produce },
    { "fetch", test_fetch }, { "metadata", test_metadata }, { "topics", test_topics },
    { "cluster", test_cluster })
