/*
 * The primitives of the encoding, byte by byte: what they read, write and refuse.
 */
#include "test_wire.h"
#include "unit.h"
#include "wire/api.h"
#include "wire/error_codes.h"

#include <stdlib.h>
#include <string.h>

#define BYTES(...)  (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define SLICE(text) ((struct tk_bytes){ (const uint8_t *)(text), sizeof(text) - 1 })

static struct tk_arena arena;
static uint8_t *buffer; /* of the decoder in use, exactly as long as its bytes */

static struct tk_decoder
reading(const uint8_t *bytes, size_t len)
{
	struct tk_decoder dec;

	free(buffer);
	buffer = wire_copy(bytes, len);
	tk_arena_reset(&arena);
	tk_arena_init(&arena, 1 << 20);
	tk_decoder_init(&dec, buffer, len, &arena);
	return dec;
}

static struct tk_chain
writing(void)
{
	struct tk_chain chain;

	tk_arena_reset(&arena);
	tk_arena_init(&arena, 1 << 20);
	tk_chain_init(&chain, &arena);
	return chain;
}

static bool
wrote(struct tk_chain *chain, const uint8_t *bytes, size_t len)
{
	size_t got_len = 0;
	uint8_t *got = wire_linear(chain, &got_len);
	bool same = got != NULL && got_len == len && memcmp(got, bytes, len) == 0;

	free(got);
	tk_chain_reset(chain);
	return same;
}

static void
release(void)
{
	tk_arena_reset(&arena);
	free(buffer);
	buffer = NULL;
}

static void
test_integers(void)
{
	struct tk_decoder dec = reading(BYTES(0xff, 0x80, 0x01, 0xff, 0xff, 0xff, 0xfe, 0x80, 0, 0,
	    0, 0, 0, 0, 5, 0xff, 0xfe, 0x80, 0, 0, 0, 2));

	CU_ASSERT(tk_decode_int8(&dec) == -1);
	CU_ASSERT(tk_decode_int16(&dec) == -32767);
	CU_ASSERT(tk_decode_int32(&dec) == -2);
	CU_ASSERT(tk_decode_int64(&dec) == INT64_MIN + 5);
	CU_ASSERT(tk_decode_uint16(&dec) == 65534);
	CU_ASSERT(tk_decode_uint32(&dec) == UINT32_C(0x80000000));
	CU_ASSERT(tk_decode_bool(&dec));
	CU_ASSERT(tk_decoder_finished(&dec));
	release();
}

static void
test_sticky_error(void)
{
	struct tk_decoder dec = reading(BYTES(1, 2, 3, 4, 5));

	CU_ASSERT(tk_decode_int64(&dec) == 0);
	CU_ASSERT(dec.failed);
	CU_ASSERT(tk_decode_int8(&dec) == 0);
	CU_ASSERT(tk_decode_uvarint(&dec) == 0);
	CU_ASSERT(tk_decode_string(&dec, false, true).data == NULL);
	CU_ASSERT(tk_decode_alloc(&dec, 1) == NULL);
	CU_ASSERT(tk_decoder_left(&dec) == 0);
	CU_ASSERT(!tk_decoder_finished(&dec));
	release();
}

static void
test_nothing_to_read(void)
{
	struct tk_decoder dec;

	tk_decoder_init(&dec, NULL, 0, NULL);
	CU_ASSERT(tk_decoder_finished(&dec));
	CU_ASSERT(tk_decode_int8(&dec) == 0);
	CU_ASSERT(dec.failed);
}

static void
check_uvarint(const uint8_t *bytes, size_t len, bool ok, uint32_t v)
{
	struct tk_decoder dec = reading(bytes, len);
	struct tk_chain chain;

	CU_ASSERT(tk_decode_uvarint(&dec) == v);
	CU_ASSERT(tk_decoder_finished(&dec) == ok);
	if (!ok)
		return;
	chain = writing();
	tk_encode_uvarint(&chain, v);
	CU_ASSERT(wrote(&chain, bytes, len));
}

static void
test_uvarints(void)
{
	check_uvarint(BYTES(0), true, 0);
	check_uvarint(BYTES(0x7f), true, 127);
	check_uvarint(BYTES(0x80, 1), true, 128);
	check_uvarint(BYTES(0xff, 0x7f), true, 16383);
	check_uvarint(BYTES(0xff, 0xff, 0xff, 0xff, 0x0f), true, UINT32_MAX);
	check_uvarint(BYTES(0xff, 0xff, 0xff, 0xff, 0x1f), false, 0);
	check_uvarint(BYTES(0x80, 0x80, 0x80, 0x80, 0x80, 0), false, 0);
	check_uvarint(BYTES(0x80), false, 0);
	release();
}

static void
check_varlong(const uint8_t *bytes, size_t len, int64_t v)
{
	struct tk_decoder dec = reading(bytes, len);
	struct tk_chain chain;

	CU_ASSERT(tk_decode_varlong(&dec) == v);
	CU_ASSERT(tk_decoder_finished(&dec));
	chain = writing();
	tk_encode_varlong(&chain, v);
	CU_ASSERT(wrote(&chain, bytes, len));
	if (v < INT32_MIN || v > INT32_MAX)
		return;
	dec = reading(bytes, len);
	CU_ASSERT(tk_decode_varint(&dec) == v);
	chain = writing();
	tk_encode_varint(&chain, (int32_t)v);
	CU_ASSERT(wrote(&chain, bytes, len));
}

static void
test_varints(void)
{
	struct tk_decoder dec;

	check_varlong(BYTES(0), 0);
	check_varlong(BYTES(1), -1);
	check_varlong(BYTES(2), 1);
	check_varlong(BYTES(0x7f), -64);
	check_varlong(BYTES(0x80, 1), 64);
	check_varlong(BYTES(0xfe, 0xff, 0xff, 0xff, 0x0f), INT32_MAX);
	check_varlong(BYTES(0xff, 0xff, 0xff, 0xff, 0x0f), INT32_MIN);
	check_varlong(BYTES(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), INT64_MAX);
	check_varlong(BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), INT64_MIN);
	dec = reading(BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3));
	CU_ASSERT(tk_decode_varlong(&dec) == 0 && dec.failed);
	release();
}

static void
check_string(const uint8_t *bytes, size_t len, bool flex, bool nullable, const char *expected)
{
	struct tk_decoder dec = reading(bytes, len);
	struct tk_bytes got = tk_decode_string(&dec, flex, nullable);
	struct tk_chain chain;

	CU_ASSERT(tk_decoder_finished(&dec));
	CU_ASSERT((got.data == NULL) == (expected == NULL));
	CU_ASSERT(got.len == (expected != NULL ? strlen(expected) : 0));
	CU_ASSERT(got.len == 0 || memcmp(got.data, expected, got.len) == 0);
	chain = writing();
	tk_encode_string(&chain, flex, nullable, got);
	CU_ASSERT(wrote(&chain, bytes, len));
}

static void
refuse_string(const uint8_t *bytes, size_t len, bool flex, bool nullable)
{
	struct tk_decoder dec = reading(bytes, len);

	CU_ASSERT(tk_decode_string(&dec, flex, nullable).data == NULL);
	CU_ASSERT(dec.failed);
}

static void
test_strings(void)
{
	check_string(BYTES(0, 3, 'a', 'b', 'c'), false, false, "abc");
	check_string(BYTES(0, 0), false, true, "");
	check_string(BYTES(0xff, 0xff), false, true, NULL);
	check_string(BYTES(4, 'a', 'b', 'c'), true, false, "abc");
	check_string(BYTES(1), true, true, "");
	check_string(BYTES(0), true, true, NULL);
	refuse_string(BYTES(0xff, 0xff), false, false);
	refuse_string(BYTES(0xff, 0xfe), false, true);
	refuse_string(BYTES(0, 4, 'a', 'b', 'c'), false, false);
	refuse_string(BYTES(0), true, false);
	refuse_string(BYTES(5, 'a', 'b', 'c'), true, false);
	refuse_string(BYTES(0xff, 0xff, 0xff, 0xff, 0x0f), true, true);
	release();
}

/* 32767 bytes are a string, 32768 are none, in either form and direction. */
static void
test_longest_string(void)
{
	struct tk_chain chain = writing();
	uint8_t *bytes = calloc(1, 3 + 32768);
	struct tk_decoder dec;

	tk_assert(bytes != NULL);
	tk_encode_string(&chain, false, false, (struct tk_bytes){ bytes, 32767 });
	CU_ASSERT(!tk_chain_failed(&chain) && chain.len == 32769);
	tk_encode_string(&chain, true, false, (struct tk_bytes){ bytes, 32768 });
	CU_ASSERT(tk_chain_failed(&chain));
	tk_chain_reset(&chain);

	memcpy(bytes, "\x80\x80\x02", 3);
	dec = reading(bytes, 3 + 32768);
	CU_ASSERT(tk_decode_string(&dec, true, false).len == 32767 && !dec.failed);
	bytes[0] = 0x81;
	dec = reading(bytes, 3 + 32768);
	CU_ASSERT(tk_decode_string(&dec, true, false).data == NULL && dec.failed);
	free(bytes);
	release();
}

static void
test_bytes(void)
{
	struct tk_decoder dec = reading(BYTES(0, 0, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 2, 'y', 0));
	struct tk_bytes got = tk_decode_bytes(&dec, false, false);

	CU_ASSERT(got.len == 1 && got.data[0] == 'x');
	CU_ASSERT(tk_decode_bytes(&dec, false, true).data == NULL && !dec.failed);
	got = tk_decode_bytes(&dec, true, false);
	CU_ASSERT(got.len == 1 && got.data[0] == 'y');
	CU_ASSERT(tk_decode_bytes(&dec, true, true).data == NULL && tk_decoder_finished(&dec));
	dec = reading(BYTES(0x7f, 0xff, 0xff, 0xff, 1));
	CU_ASSERT(tk_decode_bytes(&dec, false, false).data == NULL && dec.failed);
	release();
}

static void
test_array_counts(void)
{
	struct tk_decoder dec = reading(BYTES(0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8));
	int32_t count = 7;

	CU_ASSERT(tk_decode_array(&dec, false, false, 4, sizeof(int32_t), &count) != NULL);
	CU_ASSERT(count == 2 && !dec.failed);
	dec = reading(BYTES(0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8));
	CU_ASSERT(tk_decode_array(&dec, false, false, 4, sizeof(int32_t), &count) == NULL);
	CU_ASSERT(count == 0 && dec.failed && arena.held_bytes == 0);
	dec = reading(BYTES(0xff, 0xff, 0xff, 0xff));
	CU_ASSERT(tk_decode_array(&dec, false, true, 4, sizeof(int32_t), &count) == NULL);
	CU_ASSERT(count == -1 && !dec.failed);
	dec = reading(BYTES(0));
	CU_ASSERT(tk_decode_array(&dec, true, true, 4, sizeof(int32_t), &count) == NULL);
	CU_ASSERT(count == -1 && !dec.failed);
	dec = reading(BYTES(1));
	CU_ASSERT(tk_decode_array(&dec, true, true, 4, sizeof(int32_t), &count) == NULL);
	CU_ASSERT(count == 0 && tk_decoder_finished(&dec));
	release();
}

/* Kafka takes any negative marker for null. */
static void
test_nullable_structs(void)
{
	struct tk_decoder dec = reading(BYTES(1, 0xff, 0x80));

	CU_ASSERT(tk_decode_present(&dec));
	CU_ASSERT(!tk_decode_present(&dec));
	CU_ASSERT(!tk_decode_present(&dec) && !dec.failed);
	CU_ASSERT(!tk_decode_present(&dec) && dec.failed);
	release();
}

/* A known field that is shorter or longer than its size says is malformed. */
static void
check_tag_size(const uint8_t *bytes, size_t len, bool ok)
{
	struct tk_decoder dec = reading(bytes, len);
	struct tk_tags tags;
	int16_t v = 0;

	for (tk_tags_begin(&dec, &tags); tk_tags_next(&dec, &tags);)
		if (tags.tag == 3)
			v = tk_decode_int16(&dec);
		else
			tk_tags_skip(&dec);
	CU_ASSERT(tk_decoder_finished(&dec) == ok);
	CU_ASSERT(!ok || v == 258);
}

static void
test_tag_sizes(void)
{
	check_tag_size(BYTES(2, 3, 2, 1, 2, 9, 1, 0xff), true);
	check_tag_size(BYTES(2, 0, 1, 0xff, 3, 2, 1, 2), true);
	check_tag_size(BYTES(1, 3, 1, 1), false);
	check_tag_size(BYTES(1, 3, 3, 1, 2, 3), false);
	/* The rest of the field would do as the next one. */
	check_tag_size(BYTES(2, 3, 4, 1, 2, 9, 0), false);
	check_tag_size(BYTES(2, 3, 1, 1, 9, 1, 0xff), false);
	check_tag_size(BYTES(1, 3, 2, 1), false);
	check_tag_size(BYTES(2, 3, 2, 1, 2), false);
	check_tag_size(BYTES(2, 3, 2, 1, 2, 3, 2, 1, 2), false);
	check_tag_size(BYTES(2, 9, 1, 1, 3, 2, 1, 2), false);
	release();
}

/* The encoder's rule for null where the version has none. */
static void
test_null_becomes_empty(void)
{
	struct tk_bytes null = { NULL, 0 };
	struct tk_records records = { .mem = { NULL, 0 } };
	struct tk_chain chain = writing();

	tk_encode_string(&chain, false, false, null);
	tk_encode_string(&chain, true, false, null);
	tk_encode_bytes(&chain, true, false, null);
	tk_encode_count(&chain, false, false, -1);
	tk_encode_records(&chain, true, false, &records);
	CU_ASSERT(wrote(&chain, BYTES(0, 0, 1, 1, 0, 0, 0, 0, 1)));
	release();
}

static int unrefs;

static void
count_unref(void *owner)
{
	CU_ASSERT(owner == &unrefs);
	unrefs++;
}

static void
test_file_records(void)
{
	struct tk_records records = { .is_file = true,
		.file = {
		    .fd = 99, .offset = 5, .len = 300, .owner = &unrefs, .unref = count_unref } };
	struct tk_chain chain = writing();

	unrefs = 0;
	tk_encode_records(&chain, true, false, &records);
	CU_ASSERT(!tk_chain_failed(&chain) && chain.len == 302 && unrefs == 0);
	CU_ASSERT(chain.first->len == 2 && memcmp(chain.first->data, "\xad\x02", 2) == 0);
	CU_ASSERT(chain.last->kind == TK_PIECE_FILE && chain.last->file.fd == 99 &&
		  chain.last->file.offset == 5 && chain.last->len == 300);
	tk_chain_reset(&chain);
	CU_ASSERT(unrefs == 1);

	/* Nothing of it to send. */
	records.file.len = 0;
	tk_encode_records(&chain, false, false, &records);
	CU_ASSERT(chain.len == 4 && unrefs == 2);
	tk_chain_reset(&chain);
	CU_ASSERT(unrefs == 2);
	release();
}

static void
test_borrowed_records(void)
{
	static const uint8_t memory[513];
	struct tk_chain chain = writing();

	tk_encode_records_bytes(&chain, false, true, (struct tk_bytes){ memory, 513 });
	CU_ASSERT(chain.last->data == memory && chain.len == 517);
	tk_chain_reset(&chain);
	tk_encode_records_bytes(&chain, false, true, (struct tk_bytes){ memory, 512 });
	CU_ASSERT(chain.last->data != memory && chain.len == 516);
	tk_chain_reset(&chain);
	release();
}

/* What a struct declares by default is what a decoder leaves where a version lacks the field. */
static void
test_defaults(void)
{
	struct tk_fetch_request fetch;
	struct tk_metadata_request metadata;
	struct tk_describe_topic_partitions_response topics;

	tk_fetch_request_init(&fetch);
	CU_ASSERT(fetch.replica_id == -1 && fetch.max_bytes == INT32_MAX);
	CU_ASSERT(fetch.replica_state.replica_epoch == -1);
	CU_ASSERT(fetch.cluster_id.data == NULL && fetch.rack_id.data != NULL);
	tk_describe_topic_partitions_response_init(&topics);
	CU_ASSERT(topics.next_cursor == NULL && topics.topics_count == 0);

	struct tk_decoder dec = reading(BYTES(0, 0, 0, 0));
	CU_ASSERT(tk_metadata_request_decode(&dec, 0, &metadata));
	CU_ASSERT(metadata.allow_auto_topic_creation && metadata.topics_count == 0);
	dec = reading(BYTES(0xff, 0xff, 0xff, 0xff));
	CU_ASSERT(!tk_metadata_request_decode(&dec, 0, &metadata));
	dec = reading(BYTES(0xff, 0xff, 0xff, 0xff));
	CU_ASSERT(tk_metadata_request_decode(&dec, 1, &metadata));
	CU_ASSERT(metadata.topics_count == -1 && metadata.topics == NULL);
	release();
}

/* ClientId keeps its int16 length where the header is flexible. */
static void
test_headers(void)
{
	static const uint8_t bytes[] = { 0, 18, 0, 3, 0, 0, 0, 7, 0, 2, 'm', 'e', 0 };
	struct tk_decoder dec = reading(bytes, sizeof(bytes));
	struct tk_request_header header;
	struct tk_response_header answer = { .correlation_id = 9 };
	struct tk_chain chain;

	CU_ASSERT(tk_request_header_decode(&dec, 2, &header));
	CU_ASSERT(tk_decoder_finished(&dec));
	CU_ASSERT(header.request_api_key == 18 && header.request_api_version == 3);
	CU_ASSERT(header.correlation_id == 7 && header.client_id.len == 2);
	dec = reading(bytes, sizeof(bytes) - 1);
	CU_ASSERT(!tk_request_header_decode(&dec, 2, &header));
	CU_ASSERT(header.request_api_key == 0 && header.client_id.len == 0);
	dec = reading(bytes, sizeof(bytes) - 1);
	CU_ASSERT(tk_request_header_decode(&dec, 1, &header) && tk_decoder_finished(&dec));
	chain = writing();
	tk_response_header_encode(&chain, 0, &answer);
	CU_ASSERT(wrote(&chain, BYTES(0, 0, 0, 9)));
	tk_response_header_encode(&chain, 1, &answer);
	CU_ASSERT(wrote(&chain, BYTES(0, 0, 0, 9, 0)));
	release();
}

static void
test_table(void)
{
	const struct tk_api_schema *schema = tk_api_schema_find(TK_API_FETCH);

	for (size_t i = 1; i < TK_API_SCHEMAS_COUNT; i++)
		CU_ASSERT(tk_api_schemas[i - 1].key < tk_api_schemas[i].key);
	for (size_t i = 0; i < TK_API_SCHEMAS_COUNT; i++)
		CU_ASSERT(tk_api_schema_find(tk_api_schemas[i].key) == &tk_api_schemas[i]);
	CU_ASSERT(tk_api_schema_find(4) == NULL && tk_api_schema_find(-1) == NULL);
	CU_ASSERT(strcmp(schema->name, "Fetch") == 0);
	CU_ASSERT(schema->min_version == 4 && schema->max_version == TK_FETCH_MAX_VERSION);
	CU_ASSERT(tk_api_request_header_version(schema, 11) == 1);
	CU_ASSERT(tk_api_request_header_version(schema, 12) == 2);
	CU_ASSERT(tk_api_response_header_version(schema, 11) == 0);
	CU_ASSERT(tk_api_response_header_version(schema, 12) == 1);
	schema = tk_api_schema_find(TK_API_API_VERSIONS);
	CU_ASSERT(tk_api_request_header_version(schema, 3) == 2);
	CU_ASSERT(tk_api_response_header_version(schema, 3) == 0);
}

static void
test_error_names(void)
{
	CU_ASSERT(TK_ERR_NONE == 0 && TK_ERR_UNKNOWN_SERVER_ERROR == -1);
	CU_ASSERT(TK_ERR_UNSUPPORTED_VERSION == 35 && TK_ERR_UNKNOWN_TOPIC_ID == 100);
	CU_ASSERT(strcmp(tk_error_name(3), "UNKNOWN_TOPIC_OR_PARTITION") == 0);
	CU_ASSERT(strcmp(tk_error_name(-1), "UNKNOWN_SERVER_ERROR") == 0);
	CU_ASSERT(strcmp(tk_error_name(4711), "UNKNOWN") == 0);
}

TK_UNIT_MAIN("wire codec", { "integers", test_integers }, { "sticky error", test_sticky_error },
    { "nothing to read", test_nothing_to_read }, { "uvarints", test_uvarints },
    { "varints", test_varints }, { "strings", test_strings },
    { "longest string", test_longest_string }, { "bytes", test_bytes },
    { "array counts", test_array_counts }, { "nullable structs", test_nullable_structs },
    { "tag sizes", test_tag_sizes }, { "null becomes empty", test_null_becomes_empty },
    { "file records", test_file_records }, { "borrowed records", test_borrowed_records },
    { "defaults", test_defaults }, { "headers", test_headers }, { "table", test_table },
    { "error names", test_error_names })
