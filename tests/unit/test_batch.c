/*
 * Batch headers, the parser of records, and the validation of produced batches.
 */
#include "log/batch.h"

#include <limits.h>

#include "log/batch_records.h"
#include "log/validate.h"
#include "test_batch_make.h"
#include "unit.h"
#include "wire/error_codes.h"

#define NOW ((int64_t)1700000000000)

static const struct tk_batch_rules rules_plain = {
	.produce_version = 9,
	.now_ms = NOW,
	.timestamp_before_max_ms = INT64_MAX,
	.timestamp_after_max_ms = 3600000,
};

static struct tk_batch_header
header_plain(int32_t count)
{
	return (struct tk_batch_header){
		.magic = 2,
		.leader_epoch = -1,
		.last_offset_delta = count - 1,
		.base_timestamp = NOW,
		.max_timestamp = NOW + count - 1,
		.producer_id = -1,
		.producer_epoch = -1,
		.base_sequence = -1,
		.records_count = count,
	};
}

/* What a good batch is made of; cases spoil one thing each. */
struct sample {
	struct tk_batch_header header;
	struct tk_batch_rules rules;
	struct make records;
	int32_t length_off; /* added to the length after all */
	size_t cut, extra;  /* bytes to leave off, to add */
	bool unsealed;
};

static void
sample_good(struct sample *sample)
{
	*sample = (struct sample){ .header = header_plain(3), .rules = rules_plain };
	make_record(&sample->records, 0, 0, 3, 10, 0);
	make_record(&sample->records, 1, 1, -1, 200, 2);
	make_record(&sample->records, 2, 2, 0, -1, 1);
}

static int16_t
sample_run(struct sample *sample, struct tk_batch_verdict *verdict)
{
	uint8_t *batch = make_batch(&sample->header, &sample->records);
	size_t len = TK_BATCH_HEADER_BYTES + sample->records.len;
	uint8_t *exact = malloc(len + sample->extra);
	int16_t error;

	tk_assert(exact != NULL && sample->cut <= len);
	tk_be32_put(batch + 8, (uint32_t)(sample->header.length + sample->length_off));
	if (!sample->unsealed)
		make_seal(batch, len);
	memcpy(exact, batch, len);
	memset(exact + len, 0, sample->extra);
	len = len + sample->extra - sample->cut;
	free(batch);
	batch = malloc(len > 0 ? len : 1);
	tk_assert(batch != NULL);
	memcpy(batch, exact, len);
	free(exact);
	error = tk_batch_validate(batch, (uint32_t)len, &sample->rules, verdict);
	free(batch);
	make_free(&sample->records);
	return error;
}

/* Replaces the records by one whose body is these bytes, with the length given. */
static void
one_body(struct sample *sample, int64_t length, const char *body, size_t len)
{
	make_free(&sample->records);
	sample->header.records_count = 1;
	sample->header.last_offset_delta = 0;
	make_varint(&sample->records, length);
	make_put(&sample->records, body, len);
}

#define BODY(bytes) one_body(s, sizeof(bytes) - 1, bytes, sizeof(bytes) - 1)

static void
spoil_nothing(struct sample *s)
{
	(void)s;
}
static void
good_sarama(struct sample *s)
{
	s->header.base_sequence = 0; /* without a producer id */
}
static void
good_kafkajs(struct sample *s)
{
	s->header.base_sequence = 0;
	s->header.producer_epoch = 0;
}
static void
good_idempotent(struct sample *s)
{
	s->header.producer_id = 4711;
	s->header.producer_epoch = 0;
	s->header.base_sequence = INT32_MAX;
}
static void
good_transactional(struct sample *s)
{
	good_idempotent(s);
	s->header.attributes = TK_BATCH_TRANSACTIONAL;
}
static void
good_no_timestamps(struct sample *s)
{
	s->rules.timestamp_before_max_ms = 10;
	s->header.base_timestamp = -1;
	make_free(&s->records);
	s->header = header_plain(1);
	s->header.base_timestamp = s->header.max_timestamp = -1;
	make_record(&s->records, 0, 0, 1, 1, 0);
}
static void
good_old_stamped(struct sample *s)
{
	s->rules.timestamp_before_max_ms = 10;
	s->rules.log_append_time = true;
	s->header.base_timestamp = 5;
}
static void
good_smallest(struct sample *s)
{
	BODY("\0\0\0\1\1\0");
}
static void
good_unused_attributes(struct sample *s)
{
	s->header.attributes = 0x0100;
}
static void
good_zstd(struct sample *s)
{
	s->header.attributes = TK_CODEC_ZSTD;
	s->rules.produce_version = 7;
}
static void
good_compressed_garbage(struct sample *s)
{
	s->header.attributes = TK_CODEC_GZIP; /* not inflated here */
}
static void
good_long_varints(struct sample *s)
{
	BODY("\0\x80\x80\x80\0\x80\0\x81\0\1\0"); /* numbers written longer than they need be */
}
static void
bad_empty(struct sample *s)
{
	s->cut = TK_BATCH_HEADER_BYTES + s->records.len;
}
static void
bad_short(struct sample *s)
{
	s->cut = 1;
}
static void
bad_extra(struct sample *s)
{
	s->extra = 1;
}
static void
bad_length_tiny(struct sample *s)
{
	s->length_off = 13 - 49 - (int32_t)s->records.len;
}
static void
bad_length_negative(struct sample *s)
{
	s->length_off = INT32_MIN;
}
static void
bad_length_below_header(struct sample *s)
{
	s->length_off = 48 - 49 - (int32_t)s->records.len;
	s->cut = s->records.len + 1;
}
static void
bad_length_huge(struct sample *s)
{
	s->length_off = INT32_MAX - 49 - (int32_t)s->records.len;
}
static void
bad_magic_1(struct sample *s)
{
	s->header.magic = 1;
}
static void
bad_magic_0(struct sample *s)
{
	s->header.magic = 0;
}
static void
bad_magic_3(struct sample *s)
{
	s->header.magic = 3;
}
static void
bad_magic_negative(struct sample *s)
{
	s->header.magic = -1;
}
static void
bad_codec(struct sample *s)
{
	s->header.attributes = 5;
}
static void
bad_zstd_version(struct sample *s)
{
	s->header.attributes = TK_CODEC_ZSTD;
	s->rules.produce_version = 6;
}
static void
bad_size(struct sample *s)
{
	s->rules.max_message_bytes = (int32_t)(TK_BATCH_HEADER_BYTES + s->records.len) - 1;
}
static void
good_size(struct sample *s)
{
	s->rules.max_message_bytes = (int32_t)(TK_BATCH_HEADER_BYTES + s->records.len);
}
static void
bad_control(struct sample *s)
{
	s->header.attributes = TK_BATCH_CONTROL;
}
static void
bad_horizon(struct sample *s)
{
	s->header.attributes = TK_BATCH_DELETE_HORIZON;
}
static void
bad_log_append(struct sample *s)
{
	s->header.attributes = TK_BATCH_LOG_APPEND;
}
static void
bad_base_offset(struct sample *s)
{
	s->header.base_offset = 1;
}
static void
bad_count_zero(struct sample *s)
{
	s->header.records_count = 0;
	s->header.last_offset_delta = -1;
	s->records.len = 0;
}
static void
bad_count_negative(struct sample *s)
{
	s->header.records_count = INT32_MIN;
	s->header.last_offset_delta = INT32_MAX;
}
static void
bad_last_delta(struct sample *s)
{
	s->header.last_offset_delta++;
}
static void
bad_producer(struct sample *s)
{
	s->header.producer_id = -2;
}
static void
bad_producer_epoch(struct sample *s)
{
	good_idempotent(s);
	s->header.producer_epoch = -1;
}
static void
bad_producer_sequence(struct sample *s)
{
	good_idempotent(s);
	s->header.base_sequence = -1;
}
static void
bad_transactional(struct sample *s)
{
	s->header.attributes = TK_BATCH_TRANSACTIONAL;
}
static void
bad_count_more(struct sample *s)
{
	s->header.records_count = 4;
	s->header.last_offset_delta = 3;
}
static void
bad_count_fewer(struct sample *s)
{
	s->header.records_count = 2;
	s->header.last_offset_delta = 1;
}
static void
bad_delta_skips(struct sample *s)
{
	s->header = header_plain(2);
	make_free(&s->records);
	make_record(&s->records, 0, 0, 1, 1, 0);
	make_record(&s->records, 0, 2, 1, 1, 0);
}
static void
bad_delta_first(struct sample *s)
{
	BODY("\0\0\2\1\1\0");
}
static void
bad_key_missing(struct sample *s)
{
	s->rules.compacted = true; /* the second has none */
}
static void
compress_sample(struct sample *s, enum tk_codec codec)
{
	struct make packed = { 0 };

	make_compress(&packed, codec, s->records.bytes, s->records.len);
	make_free(&s->records);
	s->records = packed;
	s->header.attributes = (int16_t)codec;
	s->rules.compacted = true;
	s->rules.produce_version = 9;
}
static void
bad_key_missing_zstd(struct sample *s)
{
	compress_sample(s, TK_CODEC_ZSTD);
}
static void
bad_key_missing_snappy(struct sample *s)
{
	compress_sample(s, TK_CODEC_SNAPPY);
}
static void
bad_compressed_count(struct sample *s)
{
	s->header = header_plain(2);
	make_free(&s->records);
	make_record(&s->records, 0, 0, 3, 1, 0);
	compress_sample(s, TK_CODEC_GZIP);
}
static void
bad_compressed_not(struct sample *s)
{
	s->header.attributes = TK_CODEC_GZIP;
	s->rules.compacted = true;
}
static void
good_compressed_keys(struct sample *s)
{
	s->header = header_plain(2);
	make_free(&s->records);
	make_record(&s->records, 0, 0, 3, 9000, 0);
	make_record(&s->records, 0, 1, 3, -1, 2);
	compress_sample(s, TK_CODEC_LZ4);
}
static void
bad_timestamp_old(struct sample *s)
{
	s->rules.timestamp_before_max_ms = 0;
	s->rules.now_ms = NOW + 2; /* allows only the third */
}
static void
bad_timestamp_new(struct sample *s)
{
	s->rules.timestamp_after_max_ms = 1;
}
static void
bad_timestamp_new_compressed(struct sample *s)
{
	s->header.attributes = TK_CODEC_LZ4;
	s->rules.timestamp_after_max_ms = 1;
}
static void
bad_record_length_negative(struct sample *s)
{
	one_body(s, -1, "\0\0\0\1\1\0", 6);
}
static void
bad_record_length_long(struct sample *s)
{
	one_body(s, 7, "\0\0\0\1\1\0", 6);
}
static void
bad_record_length_short(struct sample *s)
{
	one_body(s, 5, "\0\0\0\1\1\0", 6);
}
static void
bad_record_length_zero(struct sample *s)
{
	one_body(s, 0, "\0\0\0\1\1\0", 6);
}
static void
bad_record_length_5_bytes(struct sample *s)
{
	make_free(&s->records);
	s->header = header_plain(1);
	make_put(&s->records, "\x8c\x80\x80\x80\x10\0\0\0\1\1\0", 11); /* 2^32 over */
}
static void
bad_record_length_6_bytes(struct sample *s)
{
	make_free(&s->records);
	s->header = header_plain(1);
	make_put(&s->records, "\x8c\x80\x80\x80\x80\0\0\0\0\1\1\0", 12);
}
static void
bad_timestamp_11_bytes(struct sample *s)
{
	BODY("\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\0\1\1\0");
}
static void
bad_timestamp_overflows(struct sample *s)
{
	BODY("\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\2\0\1\1\0");
}
static void
bad_key_length(struct sample *s)
{
	BODY("\0\0\0\3\1\0"); /* -2 */
}
static void
bad_key_long(struct sample *s)
{
	BODY("\0\0\0\x14\1\0");
}
static void
bad_value_length(struct sample *s)
{
	BODY("\0\0\0\1\3\0");
}
static void
bad_value_long(struct sample *s)
{
	BODY("\0\0\0\1\4\0"); /* takes the number of headers for its own */
}
static void
bad_headers_negative(struct sample *s)
{
	BODY("\0\0\0\1\1\1");
}
static void
bad_headers_many(struct sample *s)
{
	BODY("\0\0\0\1\1\xfe\xff\xff\xff\x0f");
}
static void
bad_header_key_null(struct sample *s)
{
	BODY("\0\0\0\1\1\2\1\1");
}
static void
bad_header_value_length(struct sample *s)
{
	BODY("\0\0\0\1\1\2\0\3");
}
static void
bad_header_missing(struct sample *s)
{
	BODY("\0\0\0\1\1\4\0\1");
}
static void
bad_record_rest(struct sample *s)
{
	BODY("\0\0\0\1\1\0\0");
}
static void
bad_checksum(struct sample *s)
{
	s->unsealed = true;
	s->header.records_count = 9; /* what is wrong may be the damage */
}

struct validate_case {
	const char *name;
	void (*spoil)(struct sample *sample);
	enum tk_error error;
	int32_t index;
};

static const struct validate_case validate_cases[] = {
	{ "nothing", spoil_nothing, TK_ERR_NONE, -1 },
	{ "no producer id, sequence 0", good_sarama, TK_ERR_NONE, -1 },
	{ "no producer id, epoch 0", good_kafkajs, TK_ERR_NONE, -1 },
	{ "idempotent", good_idempotent, TK_ERR_NONE, -1 },
	{ "transactional", good_transactional, TK_ERR_NONE, -1 },
	{ "no timestamps", good_no_timestamps, TK_ERR_NONE, -1 },
	{ "old, but the topic stamps", good_old_stamped, TK_ERR_NONE, -1 },
	{ "smallest record", good_smallest, TK_ERR_NONE, -1 },
	{ "unused attributes", good_unused_attributes, TK_ERR_NONE, -1 },
	{ "zstd from version 7", good_zstd, TK_ERR_NONE, -1 },
	{ "compressed, not looked into", good_compressed_garbage, TK_ERR_NONE, -1 },
	{ "long varints", good_long_varints, TK_ERR_NONE, -1 },
	{ "as large as allowed", good_size, TK_ERR_NONE, -1 },
	{ "no bytes", bad_empty, TK_ERR_INVALID_RECORD, -1 },
	{ "one byte short", bad_short, TK_ERR_INVALID_RECORD, -1 },
	{ "one byte more", bad_extra, TK_ERR_INVALID_RECORD, -1 },
	{ "length tiny", bad_length_tiny, TK_ERR_CORRUPT_MESSAGE, -1 },
	{ "length negative", bad_length_negative, TK_ERR_CORRUPT_MESSAGE, -1 },
	{ "length below header", bad_length_below_header, TK_ERR_CORRUPT_MESSAGE, -1 },
	{ "length huge", bad_length_huge, TK_ERR_INVALID_RECORD, -1 },
	{ "magic 0", bad_magic_0, TK_ERR_INVALID_RECORD, -1 },
	{ "magic 1", bad_magic_1, TK_ERR_INVALID_RECORD, -1 },
	{ "magic 3", bad_magic_3, TK_ERR_CORRUPT_MESSAGE, -1 },
	{ "magic -1", bad_magic_negative, TK_ERR_CORRUPT_MESSAGE, -1 },
	{ "codec 5", bad_codec, TK_ERR_UNSUPPORTED_COMPRESSION_TYPE, -1 },
	{ "zstd before version 7", bad_zstd_version, TK_ERR_UNSUPPORTED_COMPRESSION_TYPE, -1 },
	{ "too large", bad_size, TK_ERR_MESSAGE_TOO_LARGE, -1 },
	{ "control", bad_control, TK_ERR_INVALID_RECORD, -1 },
	{ "delete horizon", bad_horizon, TK_ERR_INVALID_RECORD, -1 },
	{ "LogAppendTime", bad_log_append, TK_ERR_INVALID_TIMESTAMP, -1 },
	{ "base offset", bad_base_offset, TK_ERR_INVALID_RECORD, -1 },
	{ "no records", bad_count_zero, TK_ERR_INVALID_RECORD, -1 },
	{ "negative count", bad_count_negative, TK_ERR_INVALID_RECORD, -1 },
	{ "last offset delta", bad_last_delta, TK_ERR_INVALID_RECORD, -1 },
	{ "producer id -2", bad_producer, TK_ERR_INVALID_RECORD, -1 },
	{ "no producer epoch", bad_producer_epoch, TK_ERR_INVALID_RECORD, -1 },
	{ "no sequence", bad_producer_sequence, TK_ERR_INVALID_RECORD, -1 },
	{ "transactional without producer", bad_transactional, TK_ERR_INVALID_RECORD, -1 },
	{ "fewer records than counted", bad_count_more, TK_ERR_INVALID_RECORD, 3 },
	{ "more records than counted", bad_count_fewer, TK_ERR_INVALID_RECORD, -1 },
	{ "offset delta skips", bad_delta_skips, TK_ERR_INVALID_RECORD, 1 },
	{ "first offset delta", bad_delta_first, TK_ERR_INVALID_RECORD, 0 },
	{ "key missing", bad_key_missing, TK_ERR_INVALID_RECORD, 1 },
	{ "compressed key missing", bad_key_missing_zstd, TK_ERR_INVALID_RECORD, 1 },
	{ "the same in snappy", bad_key_missing_snappy, TK_ERR_INVALID_RECORD, 1 },
	{ "compressed count", bad_compressed_count, TK_ERR_INVALID_RECORD, -1 },
	{ "not compressed at all", bad_compressed_not, TK_ERR_INVALID_RECORD, 0 },
	{ "compressed with keys", good_compressed_keys, TK_ERR_NONE, -1 },
	{ "timestamp too old", bad_timestamp_old, TK_ERR_INVALID_TIMESTAMP, 0 },
	{ "timestamp too new", bad_timestamp_new, TK_ERR_INVALID_TIMESTAMP, 2 },
	{ "compressed too new", bad_timestamp_new_compressed, TK_ERR_INVALID_TIMESTAMP, -1 },
	{ "record length -1", bad_record_length_negative, TK_ERR_INVALID_RECORD, 0 },
	{ "record length long", bad_record_length_long, TK_ERR_INVALID_RECORD, 0 },
	{ "record length short", bad_record_length_short, TK_ERR_INVALID_RECORD, 0 },
	{ "record length 0", bad_record_length_zero, TK_ERR_INVALID_RECORD, 0 },
	{ "record length past 32 bits", bad_record_length_5_bytes, TK_ERR_INVALID_RECORD, 0 },
	{ "record length of 6 bytes", bad_record_length_6_bytes, TK_ERR_INVALID_RECORD, 0 },
	{ "timestamp of 11 bytes", bad_timestamp_11_bytes, TK_ERR_INVALID_RECORD, 0 },
	{ "timestamp past 64 bits", bad_timestamp_overflows, TK_ERR_INVALID_RECORD, 0 },
	{ "key length -2", bad_key_length, TK_ERR_INVALID_RECORD, 0 },
	{ "key too long", bad_key_long, TK_ERR_INVALID_RECORD, 0 },
	{ "value length -2", bad_value_length, TK_ERR_INVALID_RECORD, 0 },
	{ "value too long", bad_value_long, TK_ERR_INVALID_RECORD, 0 },
	{ "headers -1", bad_headers_negative, TK_ERR_INVALID_RECORD, 0 },
	{ "headers 2^31-1", bad_headers_many, TK_ERR_INVALID_RECORD, 0 },
	{ "header key null", bad_header_key_null, TK_ERR_INVALID_RECORD, 0 },
	{ "header value -2", bad_header_value_length, TK_ERR_INVALID_RECORD, 0 },
	{ "header missing", bad_header_missing, TK_ERR_INVALID_RECORD, 0 },
	{ "bytes in record left", bad_record_rest, TK_ERR_INVALID_RECORD, 0 },
	{ "damaged", bad_checksum, TK_ERR_CORRUPT_MESSAGE, -1 },
};

static void
test_validate(void)
{
	for (size_t i = 0; i < TK_COUNT_OF(validate_cases); i++) {
		const struct validate_case *c = &validate_cases[i];
		struct tk_batch_verdict verdict;
		struct sample sample;
		int16_t error;
		bool as_said;

		sample_good(&sample);
		c->spoil(&sample);
		error = sample_run(&sample, &verdict);
		as_said = error == c->error && verdict.record_index == c->index &&
			  (verdict.message == NULL) == (error == TK_ERR_NONE);
		if (!as_said)
			printf("\n    %s: %d at %d: %s", c->name, error, verdict.record_index,
			    verdict.message == NULL ? "" : verdict.message);
		CU_ASSERT(as_said);
	}
}

/* The largest timestamp is that of the records, whatever the header says. */
static void
test_validate_max_timestamp(void)
{
	struct tk_batch_verdict verdict;
	struct sample sample;

	sample_good(&sample);
	sample.header.max_timestamp = 5;
	CU_ASSERT_EQUAL(sample_run(&sample, &verdict), TK_ERR_NONE);
	CU_ASSERT(verdict.walked);
	CU_ASSERT_EQUAL(verdict.max_timestamp, NOW + 2);
	CU_ASSERT_EQUAL(verdict.header.max_timestamp, 5);

	sample_good(&sample);
	sample.header.attributes = TK_CODEC_SNAPPY;
	CU_ASSERT_EQUAL(sample_run(&sample, &verdict), TK_ERR_NONE);
	CU_ASSERT(!verdict.walked);
	CU_ASSERT_EQUAL(verdict.max_timestamp, NOW + 2);
}

static void
test_validate_bounds_at_the_edge(void)
{
	static const int64_t extremes[] = { INT64_MIN, INT64_MIN + 1, -2, 0, INT64_MAX };

	for (size_t i = 0; i < TK_COUNT_OF(extremes); i++) {
		struct tk_batch_verdict verdict;
		struct sample sample;

		sample_good(&sample);
		sample.header.base_timestamp = extremes[i];
		CU_ASSERT_EQUAL(sample_run(&sample, &verdict),
		    extremes[i] > NOW ? TK_ERR_INVALID_TIMESTAMP : TK_ERR_NONE);
		sample_good(&sample);
		sample.header.base_timestamp = extremes[i];
		sample.rules.now_ms = INT64_MAX - 5;
		sample.rules.timestamp_before_max_ms = INT64_MAX;
		sample.rules.timestamp_after_max_ms = 10;
		CU_ASSERT_EQUAL(sample_run(&sample, &verdict), TK_ERR_NONE);
	}
}

/* Every proper prefix fails, with the length as sent and with the length of the prefix. */
static void
test_validate_prefixes(void)
{
	struct sample sample;
	size_t len;

	sample_good(&sample);
	len = TK_BATCH_HEADER_BYTES + sample.records.len;
	make_free(&sample.records);
	for (size_t cut = 1; cut <= len; cut++) {
		struct tk_batch_verdict verdict;

		sample_good(&sample);
		sample.cut = cut;
		CU_ASSERT_NOT_EQUAL(sample_run(&sample, &verdict), TK_ERR_NONE);
		sample_good(&sample);
		sample.cut = cut;
		sample.length_off = -(int32_t)cut;
		CU_ASSERT_NOT_EQUAL(sample_run(&sample, &verdict), TK_ERR_NONE);
	}
	for (size_t cut = 1; cut < len - TK_BATCH_HEADER_BYTES; cut++) {
		struct tk_batch_verdict verdict;

		sample_good(&sample);
		sample.records.len -= cut; /* a sound frame around records that end early */
		CU_ASSERT_EQUAL(sample_run(&sample, &verdict), TK_ERR_INVALID_RECORD);
	}
}

static void
test_header(void)
{
	struct tk_batch_header header = { INT64_MAX - 7, 1234567, -5, 2, 0xdeadbeef, 0x1234, 99, -1,
		INT64_MIN, 77, -3, 1 << 30, 100 };
	struct tk_batch_header back;
	uint8_t bytes[TK_BATCH_HEADER_BYTES], again[TK_BATCH_HEADER_BYTES];

	tk_batch_header_write(&header, bytes);
	tk_batch_header_read(bytes, &back);
	CU_ASSERT_EQUAL(back.base_offset, header.base_offset);
	CU_ASSERT_EQUAL(back.crc, header.crc);
	CU_ASSERT_EQUAL(back.max_timestamp, header.max_timestamp);
	CU_ASSERT_EQUAL(back.records_count, header.records_count);
	tk_batch_header_write(&back, again);
	CU_ASSERT_EQUAL(memcmp(bytes, again, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(bytes[16], 2);
	CU_ASSERT_EQUAL(tk_be32_get(bytes + 57), 100);
}

static void
test_header_check(void)
{
	static const struct {
		int64_t base_offset;
		int32_t length, delta, count;
		int16_t attributes;
		int8_t magic;
		int result;
	} cases[] = {
		{ 0, 49, 0, 1, 0, 2, 0 },
		{ 0, 49, 5, 0, 0, 2, 0 }, /* compaction left nothing */
		{ 7, 49, 5, 3, 0x24, 2, 0 },
		{ 0, 48, 0, 1, 0, 2, -EBADMSG },
		{ 0, -1, 0, 1, 0, 2, -EBADMSG },
		{ 0, 49, 0, 1, 0, 1, -EBADMSG },
		{ 0, 49, -1, 0, 0, 2, -EBADMSG },
		{ 0, 49, 0, 2, 0, 2, -EBADMSG },
		{ 0, 49, 0, -1, 0, 2, -EBADMSG },
		{ -1, 49, 0, 1, 0, 2, -EBADMSG },
		{ INT64_MAX, 49, 1, 1, 0, 2, -EBADMSG },
		{ INT64_MAX, 49, 0, 1, 0, 2, -EBADMSG },
		{ 0, 49, 0, 1, 5, 2, -EBADMSG },
		{ 0, 49, INT32_MAX, INT32_MAX, 0, 2, 0 },
	};

	for (size_t i = 0; i < TK_COUNT_OF(cases); i++) {
		struct tk_batch_header header = header_plain(1);

		header.base_offset = cases[i].base_offset;
		header.length = cases[i].length;
		header.last_offset_delta = cases[i].delta;
		header.records_count = cases[i].count;
		header.attributes = cases[i].attributes;
		header.magic = cases[i].magic;
		CU_ASSERT_EQUAL(tk_batch_header_check(&header), cases[i].result);
	}
}

static void
test_varints(void)
{
	static const int64_t values[] = { 0, -1, 1, 63, -64, 64, -65, 8191, 8192, -8193, INT32_MAX,
		INT32_MIN, (int64_t)INT32_MAX + 1, (int64_t)INT32_MIN - 1, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < TK_COUNT_OF(values); i++) {
		struct make make = { 0 };
		const uint8_t *end;
		int64_t number = 0;
		int32_t small = 0;

		make_varint(&make, values[i]);
		end = make.bytes + make.len;
		CU_ASSERT_PTR_EQUAL(tk_varlong_get(make.bytes, end, &number), end);
		CU_ASSERT_EQUAL(number, values[i]);
		if (values[i] >= INT32_MIN && values[i] <= INT32_MAX) {
			CU_ASSERT_PTR_EQUAL(tk_varint_get(make.bytes, end, &small), end);
			CU_ASSERT_EQUAL(small, values[i]);
		} else {
			CU_ASSERT_PTR_NULL(tk_varint_get(make.bytes, end, &small));
		}
		for (size_t len = 0; len < make.len; len++) {
			uint8_t *exact = malloc(len > 0 ? len : 1);

			memcpy(exact, make.bytes, len);
			CU_ASSERT_PTR_NULL(tk_varlong_get(exact, exact + len, &number));
			CU_ASSERT_PTR_NULL(tk_varint_get(exact, exact + len, &small));
			free(exact);
		}
		make_free(&make);
	}
}

static void
test_record_fields(void)
{
	struct make make = { 0 };
	struct tk_record record;

	make_record(&make, -5, 7, 3, 4, 2);
	make_record(&make, 0, 8, -1, -1, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(tk_record_parse(make.bytes, make.bytes + make.len, &record));
	CU_ASSERT_EQUAL(record.head.timestamp_delta, -5);
	CU_ASSERT_EQUAL(record.head.offset_delta, 7);
	CU_ASSERT_EQUAL(record.key.len, 3);
	CU_ASSERT_EQUAL(memcmp(record.value.data, "vvvv", 4), 0);
	CU_ASSERT_EQUAL(record.headers_count, 2);
	CU_ASSERT_EQUAL(record.headers.data[0], 8);
	CU_ASSERT_PTR_EQUAL(tk_record_parse(make.bytes + 1 + record.head.body_bytes,
				make.bytes + make.len, &record),
	    make.bytes + make.len);
	CU_ASSERT_PTR_NULL(record.key.data);
	CU_ASSERT_PTR_NULL(record.value.data);
	make_free(&make);
}

/* Heads as a stream are those in memory, for records longer and shorter than the buffer. */
static void
test_record_walk(void)
{
	static const int64_t sizes[] = { 0, 1, 70, 4000, 4096, 5000, 100000, 3 };
	struct make make = { 0 };
	struct tk_inflate *stream;
	struct tk_record_walk walk;
	struct tk_record_head head;

	for (size_t i = 0; i < TK_COUNT_OF(sizes); i++)
		make_record(&make, 100 - (int64_t)i, (int64_t)i, -1, sizes[i], (int)(i % 3));
	for (size_t cut = 0; cut < 3; cut++) {
		CU_ASSERT_EQUAL_FATAL(tk_inflate_new_memory(TK_CODEC_NONE, make.bytes,
					  make.len - cut, UINT64_MAX, &stream),
		    0);
		tk_record_walk_init(&walk, stream);
		for (size_t i = 0; i < TK_COUNT_OF(sizes); i++) {
			CU_ASSERT_EQUAL(tk_record_walk_next(&walk, &head), 1);
			CU_ASSERT_EQUAL(head.offset_delta, (int32_t)i);
			CU_ASSERT_EQUAL(head.timestamp_delta, 100 - (int64_t)i);
		}
		CU_ASSERT_EQUAL(tk_record_walk_next(&walk, &head), cut == 0 ? 0 : -EBADMSG);
		tk_inflate_free(&stream);
	}
	make_free(&make);
}

/* A length that is shorter than the head is found with the head, not after it. */
static void
test_record_walk_short_length(void)
{
	struct tk_inflate *stream;
	struct tk_record_walk walk;
	struct tk_record_head head;

	CU_ASSERT_EQUAL_FATAL(
	    tk_inflate_new_memory(TK_CODEC_NONE, "\2\0\0\0\1\1\0", 7, 100, &stream), 0);
	tk_record_walk_init(&walk, stream);
	CU_ASSERT_EQUAL(tk_record_walk_next(&walk, &head), -EBADMSG);
	tk_inflate_free(&stream);
}

/* Any byte changed: no crash, and the checksum says so where nothing else does. */
static void
test_validate_flips(void)
{
	struct sample sample;
	uint8_t *batch;
	size_t len;

	sample_good(&sample);
	len = TK_BATCH_HEADER_BYTES + sample.records.len;
	batch = make_batch(&sample.header, &sample.records);
	make_seal(batch, len);
	for (size_t i = 0; i < len * 8; i++) {
		struct tk_batch_verdict verdict;
		int16_t error;

		batch[i / 8] ^= (uint8_t)(1u << i % 8);
		error = tk_batch_validate(batch, (uint32_t)len, &rules_plain, &verdict);
		if (i / 8 >= TK_BATCH_CRC_FROM)
			CU_ASSERT(error == TK_ERR_NONE || error == TK_ERR_CORRUPT_MESSAGE);
		batch[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(batch);
	make_free(&sample.records);
}

TK_UNIT_MAIN("batch", { "header", test_header }, { "header check", test_header_check },
    { "varints", test_varints }, { "record fields", test_record_fields },
    { "record walk", test_record_walk },
    { "record walk: short length", test_record_walk_short_length }, { "validate", test_validate },
    { "validate: largest timestamp", test_validate_max_timestamp },
    { "validate: timestamps at the edge", test_validate_bounds_at_the_edge },
    { "validate: every prefix", test_validate_prefixes },
    { "validate: every bit", test_validate_flips })
