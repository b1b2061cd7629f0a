/*
 * Searching by time: against a plain look at every record, with starts, limits, compression,
 * indexes and lists of every kind.
 */
#include "log/reader_private.h"
#include "test_log_make.h"
#include "unit.h"

/* As Kafka says: the first record from start on and below limit that is not before timestamp. */
static struct model_record
model_by_time(const struct model *model, int64_t start, int64_t limit, int64_t timestamp)
{
	for (size_t i = 0; i < model->records_count; i++) {
		const struct model_record *record = &model->records[i];

		if (record->offset >= start && record->offset < limit &&
		    record->timestamp >= timestamp)
			return *record;
	}
	return (struct model_record){ -1, -1 };
}

static struct model_record
model_largest(const struct model *model, int64_t start, int64_t limit)
{
	struct model_record best = { -1, -1 };

	for (size_t i = 0; i < model->records_count; i++) {
		const struct model_record *record = &model->records[i];

		if (record->offset >= start && record->offset < limit &&
		    record->timestamp > best.timestamp)
			best = *record;
	}
	return best;
}

static void
search_check(struct tk_reader *reader, const struct model *model, int64_t start,
    const struct tk_position *limit, int64_t timestamp)
{
	struct model_record wanted = model_by_time(model, start, limit->offset, timestamp);
	struct tk_part_state state = model_state(model);
	struct tk_part_key key = model_key();
	struct tk_time_offset found;

	state.log_start = start;
	CU_ASSERT_EQUAL(
	    tk_reader_offset_by_time(reader, &key, &state, timestamp, limit, &found), 0);
	CU_ASSERT_EQUAL(found.offset, wanted.offset);
	CU_ASSERT_EQUAL(found.timestamp, wanted.timestamp);
	CU_ASSERT_EQUAL(found.leader_epoch, wanted.offset < 0 ? -1 : 5);
}

static void
largest_check(struct tk_reader *reader, const struct model *model, int64_t start,
    const struct tk_position *limit)
{
	struct model_record wanted = model_largest(model, start, limit->offset);
	struct tk_part_state state = model_state(model);
	struct tk_part_key key = model_key();
	struct tk_time_offset found;

	state.log_start = start;
	CU_ASSERT_EQUAL(tk_reader_max_timestamp(reader, &key, &state, limit, &found), 0);
	CU_ASSERT_EQUAL(found.offset, wanted.offset);
	CU_ASSERT_EQUAL(found.timestamp, wanted.timestamp);
}

static void
model_range(const struct model *model, int64_t *ret_least, int64_t *ret_most)
{
	*ret_least = INT64_MAX;
	*ret_most = INT64_MIN;
	for (size_t i = 0; i < model->records_count; i++) {
		*ret_least = TK_MIN(*ret_least, model->records[i].timestamp);
		*ret_most = TK_MAX(*ret_most, model->records[i].timestamp);
	}
}

static void
test_every_time(void)
{
	for (uint64_t seed = 0; seed < 6; seed++) {
		struct model model;
		struct tk_reader *reader;
		struct tk_position end;
		int64_t least, most;

		model_init(&model);
		model.no_index = seed == 5;
		model_fill(&model, seed, 300, 3000);
		reader = model_reader(&model, 1 + (unsigned)seed);
		end = model_position(&model, model.batches_count);
		model_range(&model, &least, &most);
		for (int64_t timestamp = least - 2; timestamp <= most + 2; timestamp++)
			search_check(reader, &model, 0, &end, timestamp);
		search_check(reader, &model, 0, &end, INT64_MIN);
		search_check(reader, &model, 0, &end, INT64_MAX);
		largest_check(reader, &model, 0, &end);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* With the log's start inside a batch and limits anywhere. */
static void
test_starts_and_limits(void)
{
	uint64_t random = 11;

	for (uint64_t seed = 0; seed < 6; seed++) {
		struct model model;
		struct tk_reader *reader;
		int64_t least, most;

		model_init(&model);
		model_fill(&model, seed, 300, 2000);
		reader = model_reader(&model, 3);
		model_range(&model, &least, &most);
		for (int i = 0; i < 2000; i++) {
			size_t n = make_random(&random) % (model.batches_count + 1);
			struct tk_position limit = model_position(&model, n);
			int64_t start = make_random(&random) % model.next_offset;
			int64_t timestamp = least + make_random(&random) % (most - least + 1);

			if (limit.position == 0 && n > 0 && i % 2 == 0) {
				size_t before = model.batches[n - 1].segment;

				limit.segment = model.segments[before].base_offset;
				limit.position = model.segments[before].size_bytes;
			}
			search_check(reader, &model, start, &limit, timestamp);
			largest_check(reader, &model, start, &limit);
		}
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* Time indexes with entries missing, without any, padded with zeros, or ahead of the limit. */
static void
test_sparse_indexes(void)
{
	for (int kind = 0; kind < 3; kind++) {
		struct model model;
		struct tk_reader *reader;
		struct tk_position end;
		int64_t least, most;

		model_init(&model);
		model_fill(&model, 3, 400, 2000);
		for (size_t i = 0; i < model.segments_count; i++) {
			char path[160];
			int fd;

			model_path(&model, model.segments[i].base_offset, ".timeindex", path);
			fd = open(path, O_RDWR);
			tk_assert(fd >= 0);
			tk_assert(ftruncate(fd, kind == 0 ? 0 : kind == 1 ? 24 : 100 * 12) == 0);
			(void)close(fd);
		}
		reader = model_reader(&model, 4);
		end = model_position(&model, model.batches_count);
		model_range(&model, &least, &most);
		for (int64_t timestamp = least - 1; timestamp <= most + 1; timestamp++)
			search_check(reader, &model, 0, &end, timestamp);
		largest_check(reader, &model, 0, &end);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

static void
test_no_records(void)
{
	struct model_shape shape = { .records = 3, .timestamp = -1 };
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_time_offset found;
	struct tk_reader *reader;
	struct tk_position end;
	struct model model;

	model_init(&model);
	model_flush(&model);
	reader = model_reader(&model, 4);
	end = model_position(&model, 0);
	search_check(reader, &model, 0, &end, 0);
	largest_check(reader, &model, 0, &end);
	model_append(&model, &shape); /* timestamps of -1 are none */
	model_flush(&model);
	end = model_position(&model, 1);
	search_check(reader, &model, 0, &end, 0);
	search_check(reader, &model, 0, &end, -1);
	largest_check(reader, &model, 0, &end);

	state = model_state(&model);
	state.segments_generation++;
	CU_ASSERT_EQUAL(tk_reader_offset_by_time(reader, &key, &state, 0, &end, &found), -EAGAIN);
	CU_ASSERT_EQUAL(tk_reader_max_timestamp(reader, &key, &state, &end, &found), -EAGAIN);
	state.incarnation++;
	CU_ASSERT_EQUAL(tk_reader_offset_by_time(reader, &key, &state, 0, &end, &found), -ESTALE);
	tk_reader_free(&reader);
	model_free(&model);
}

static uint64_t bytes_read;

static void
observe(int fd, int64_t offset, size_t len)
{
	(void)fd;
	(void)offset;
	bytes_read += len;
}

/* A search reads little of a large log, and segments that are too old not at all. */
static void
test_cost(void)
{
	struct model_shape shape = { .records = 3, .value_len = 3000 };
	struct model model;
	struct tk_reader *reader;
	struct tk_position end;

	model_init(&model);
	for (int i = 0; i < 4000; i++) {
		shape.timestamp = i;
		shape.codec = (enum tk_codec)(i % 5);
		model_append(&model, &shape);
		if (i % 500 == 499)
			model_roll(&model);
	}
	model_flush(&model);
	reader = model_reader(&model, 4);
	reader->observe = observe;
	end = model_position(&model, model.batches_count);
	for (int i = 0; i < 4000; i += 123) {
		bytes_read = 0;
		search_check(reader, &model, 0, &end, i);
		CU_ASSERT(bytes_read < 60000);
	}
	CU_ASSERT(tk_reader_stats(reader)->opens <= 10);
	bytes_read = 0;
	search_check(reader, &model, 0, &end, 4000);
	largest_check(reader, &model, 0, &end);
	CU_ASSERT(bytes_read < 100000);
	tk_reader_free(&reader);
	model_free(&model);
}

/* Batches that do not inflate or do not hold their records are told as damage. */
static void
test_damage(void)
{
	for (int codec = 0; codec < 5; codec++) {
		struct model_shape shape = { .records = 50, .value_len = 100, .timestamp_step = 1 };
		struct tk_part_key key = model_key();
		struct tk_part_state state;
		struct tk_time_offset found = { 7, 7, 7 };
		struct tk_reader *reader;
		struct model model;

		model_init(&model);
		shape.codec = (enum tk_codec)codec;
		model_append(&model, &shape);
		memset(model.log.bytes + TK_BATCH_HEADER_BYTES + 1, 0xff, 60);
		model_flush(&model);
		reader = model_reader(&model, 4);
		state = model_state(&model);
		CU_ASSERT_EQUAL(
		    tk_reader_offset_by_time(reader, &key, &state, 30, &state.log_end, &found),
		    -EBADMSG);
		CU_ASSERT_EQUAL(
		    tk_reader_max_timestamp(reader, &key, &state, &state.log_end, &found),
		    -EBADMSG);
		CU_ASSERT_EQUAL(found.offset, 7);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* A header whose largest timestamp is a lie: the records count. */
static void
test_lying_header(void)
{
	struct model_shape shape = { .records = 3, .value_len = 10, .timestamp_step = 1 };
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_time_offset found;
	struct tk_reader *reader;
	struct model model;

	model_init(&model);
	shape.timestamp = 100;
	model_append(&model, &shape);
	tk_be64_put(model.log.bytes + 35, 500);
	shape.timestamp = 200;
	model_append(&model, &shape);
	model_flush(&model);
	reader = model_reader(&model, 4);
	state = model_state(&model);
	CU_ASSERT_EQUAL(
	    tk_reader_offset_by_time(reader, &key, &state, 150, &state.log_end, &found), 0);
	CU_ASSERT_EQUAL(found.offset, 3);
	CU_ASSERT_EQUAL(tk_reader_max_timestamp(reader, &key, &state, &state.log_end, &found), 0);
	CU_ASSERT_EQUAL(found.timestamp, 102); /* of the batch that claims the most */
	tk_reader_free(&reader);
	model_free(&model);
}

TK_UNIT_MAIN("time search", { "every time", test_every_time },
    { "starts and limits", test_starts_and_limits }, { "sparse indexes", test_sparse_indexes },
    { "no records", test_no_records }, { "cost", test_cost }, { "damage", test_damage },
    { "lying header", test_lying_header })
