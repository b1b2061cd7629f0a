/*
 * Reading ranges: every offset against a plain walk over what was written; limits; lists that are
 * old; descriptors; what is read of the files.
 */
#include "log/reader.h"

#include "log/reader_private.h"
#include "test_log_make.h"
#include "unit.h"

/* The first batch that ends at or past offset and begins below limit; NULL if there is none. */
static const struct model_batch *
model_find(const struct model *model, int64_t offset, const struct tk_position *limit)
{
	for (size_t i = 0; i < model->batches_count; i++)
		if (model->batches[i].last >= offset)
			return model->batches[i].base < limit->offset ? &model->batches[i] : NULL;
	return NULL;
}

/* Where reading batch's segment must end. */
static int64_t
model_end(
    const struct model *model, const struct model_batch *batch, const struct tk_position *limit)
{
	const struct tk_segment_info *info = &model->segments[batch->segment];

	return info->base_offset == limit->segment ? limit->position : info->size_bytes;
}

static void
range_check(const struct model *model, const struct model_batch *batch,
    const struct tk_read_result *result, uint32_t max_bytes, const struct tk_position *limit)
{
	int64_t end = model_end(model, batch, limit);
	int64_t most = TK_MIN(end, batch->position + (int64_t)TK_MAX(max_bytes, batch->size));
	int64_t stop = result->range.offset + result->range.len;
	struct stat st;

	CU_ASSERT_EQUAL(fstat(result->range.fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_ino, model->segments[batch->segment].log_inode);
	CU_ASSERT_EQUAL(result->range.offset, batch->position);
	CU_ASSERT(stop <= most && stop >= batch->position + batch->size);
	CU_ASSERT_EQUAL(result->more,
	    stop < end || model->segments[batch->segment].base_offset < limit->segment);
	if (result->range.len < (most - batch->position) / 2) {
		const struct model_batch *next = batch;

		while (next->position < stop)
			next++;
		CU_ASSERT(next->position == stop && stop + next->size > most);
	}
	if (result->next_offset >= 0) {
		const struct model_batch *next = model_find(model, result->next_offset, limit);

		CU_ASSERT(
		    next == NULL || next->position == (next->segment == batch->segment ? stop : 0));
		CU_ASSERT(next != NULL || stop == end);
	}
}

static void
read_check(struct tk_reader *reader, const struct model *model, int64_t offset, uint32_t max_bytes,
    bool at_least_one, const struct tk_position *limit)
{
	const struct model_batch *batch = model_find(model, offset, limit);
	struct tk_part_state state = model_state(model);
	struct tk_part_key key = model_key();
	struct tk_read_result result;
	int rc;

	rc = tk_reader_read(reader, &key, &state, offset, max_bytes, at_least_one, limit, &result);
	CU_ASSERT_EQUAL(rc, 0);
	if (rc != 0)
		return;
	if (offset >= limit->offset || batch == NULL) {
		CU_ASSERT_EQUAL(result.range.len, 0);
		CU_ASSERT_EQUAL(result.first_bytes, 0);
		CU_ASSERT(!result.does_not_fit && !result.more);
		return;
	}
	CU_ASSERT_EQUAL(result.first_bytes, batch->size);
	CU_ASSERT_EQUAL(result.first.base_offset, batch->base);
	CU_ASSERT_EQUAL(result.does_not_fit, batch->size > max_bytes && !at_least_one);
	if (result.does_not_fit) {
		CU_ASSERT_EQUAL(result.range.len, 0);
		CU_ASSERT(result.more);
		return;
	}
	range_check(model, batch, &result, max_bytes, limit);
	result.range.unref(result.range.owner);
}

static void
test_every_offset(void)
{
	static const uint32_t sizes[] = { 0, 1, 100, 1000, 5000, 20000, 1 << 20, UINT32_MAX };

	for (uint64_t seed = 0; seed < 6; seed++) {
		struct model model;
		struct tk_reader *reader;
		struct tk_position end;

		model_init(&model);
		model.no_index = seed == 5;
		model_fill(&model, seed, 300, 3000);
		reader = model_reader(&model, 2);
		end = model_position(&model, model.batches_count);
		for (int64_t offset = 0; offset <= model.next_offset; offset++)
			for (size_t i = 0; i < TK_COUNT_OF(sizes); i++)
				read_check(reader, &model, offset, sizes[i], i % 2 == 0, &end);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* In any order, and with limits anywhere: nothing at or past one is ever in a range. */
static void
test_limits(void)
{
	uint64_t random = 7;

	for (uint64_t seed = 0; seed < 4; seed++) {
		struct model model;
		struct tk_reader *reader;

		model_init(&model);
		model_fill(&model, seed, 300, 3000);
		reader = model_reader(&model, 3);
		for (int i = 0; i < 20000; i++) {
			size_t n = make_random(&random) % (model.batches_count + 1);
			struct tk_position limit = model_position(&model, n);
			int64_t offset = make_random(&random) % (model.next_offset + 1);

			if (limit.position == 0 && n > 0 && i % 2 == 0) {
				/* the same offset, told as the end of the segment before */
				size_t before = model.batches[n - 1].segment;

				limit.segment = model.segments[before].base_offset;
				limit.position = model.segments[before].size_bytes;
			}
			if (i % 3 == 0)
				offset = TK_MAX(0, limit.offset - (int64_t)(i % 5));
			read_check(reader, &model, offset, 1u << make_random(&random) % 20,
			    i % 2 == 0, &limit);
		}
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/*
 * Reads the log as a consumer does: whole batches of each range, then on from the offset behind the
 * last.  Returns how many reads it took.
 */
static int
consume(struct tk_reader *reader, const struct model *model, uint32_t max_bytes)
{
	struct tk_part_state state = model_state(model);
	struct tk_part_key key = model_key();
	uint8_t *buf = malloc((size_t)max_bytes + (1 << 20));
	int64_t offset = 0;
	size_t seen = 0;
	int reads = 0;

	for (; seen < model->batches_count; reads++) {
		struct tk_read_result result;
		size_t at = 0, before = seen;

		CU_ASSERT_EQUAL_FATAL(tk_reader_read(reader, &key, &state, offset, max_bytes, true,
					  &state.log_end, &result),
		    0);
		CU_ASSERT_FATAL(result.range.len <= max_bytes + (1 << 20));
		CU_ASSERT_EQUAL(pread(result.range.fd, buf, result.range.len, result.range.offset),
		    result.range.len);
		while (result.range.len - at >= TK_BATCH_HEADER_BYTES) {
			struct tk_batch_header header;

			tk_batch_header_read(buf + at, &header);
			if (tk_batch_size(&header) > result.range.len - (int64_t)at)
				break;
			CU_ASSERT_EQUAL(header.base_offset, model->batches[seen].base);
			CU_ASSERT_EQUAL(tk_batch_size(&header), model->batches[seen].size);
			offset = tk_batch_last_offset(&header) + 1;
			at += (size_t)tk_batch_size(&header);
			seen++;
		}
		result.range.unref(result.range.owner);
		CU_ASSERT_FATAL(seen > before);
	}
	free(buf);
	return reads;
}

/* A sequential consumer sees every batch once, and needs no index. */
static void
test_sequential(void)
{
	static const uint32_t sizes[] = { 1, 9000, 50000, 1 << 20 };

	for (size_t i = 0; i < TK_COUNT_OF(sizes); i++) {
		struct model model;
		struct tk_reader *reader;
		const struct tk_reader_stats *stats;

		model_init(&model);
		model_fill(&model, 3, 2000, 2000); /* no offsets missing */
		reader = model_reader(&model, 8);
		stats = tk_reader_stats(reader);
		(void)consume(reader, &model, sizes[i]);
		CU_ASSERT_EQUAL(stats->cut, 0);
		CU_ASSERT_EQUAL(stats->index_searches, 0);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* What is read of the files, as seen by the hook: every pread is judged when it happens. */
static const struct model *observed;
static uint64_t observed_preads, observed_bad;

static void
observe_large(int fd, int64_t offset, size_t len)
{
	struct stat st;

	observed_preads++;
	tk_assert(fstat(fd, &st) == 0);
	for (size_t i = 0; i < observed->segments_count; i++)
		if (observed->segments[i].index_inode == st.st_ino)
			return;
	for (size_t i = 0; i < observed->batches_count; i++) {
		const struct model_batch *batch = &observed->batches[i];

		if (observed->segments[batch->segment].log_inode == st.st_ino &&
		    batch->position == offset && len == TK_BATCH_HEADER_BYTES)
			return;
	}
	observed_bad++;
}

/* Of large batches only headers are read; a sequential read costs one, and one of the index. */
static void
test_no_record_bytes(void)
{
	struct model_shape shape = { .records = 2, .value_len = 9000, .timestamp = 1 };
	struct model model;
	struct tk_reader *reader;
	struct tk_position end;
	int reads;

	model_init(&model);
	for (int i = 0; i < 400; i++)
		model_append(&model, &shape);
	model_flush(&model);
	reader = model_reader(&model, 8);
	reader->observe = observe_large;
	observed = &model;
	end = model_position(&model, model.batches_count);
	for (int64_t offset = 0; offset < model.next_offset; offset += 13)
		read_check(reader, &model, offset, 100000, true, &end);
	CU_ASSERT_EQUAL(observed_bad, 0);
	observed_preads = 0;
	reads = consume(reader, &model, 100000);
	CU_ASSERT_EQUAL(observed_bad, 0);
	CU_ASSERT(reads > 60);
	CU_ASSERT(observed_preads <= (uint64_t)reads + 10); /* index blocks are kept */
	tk_reader_free(&reader);
	model_free(&model);
}

static uint64_t observed_bytes;

static void
observe_bytes(int fd, int64_t offset, size_t len)
{
	(void)fd;
	(void)offset;
	tk_assert(len <= READER_CHUNK_BYTES);
	observed_bytes += len;
	observed_preads++;
}

/* Appends bytes to the offset index of the active segment. */
static void
index_append(const struct model *model, const void *bytes, size_t len)
{
	char path[160];
	int fd;

	model_path(model, model->segments[model->segments_count - 1].base_offset, ".index", path);
	fd = open(path, O_WRONLY | O_APPEND);
	tk_assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	(void)close(fd);
}

/*
 * A random read of small batches reads a few blocks, not the segment: also where offsets are dense
 * first and thin later, and where the index is as long as Kafka makes that of an active segment.
 */
static void
test_random_read_cost(void)
{
	for (int kind = 0; kind < 3; kind++) {
		struct model_shape shape = { .records = 1, .value_len = 100, .timestamp = 1 };
		struct model model;
		struct tk_reader *reader;
		struct tk_position end;
		uint64_t random = 5;

		model_init(&model);
		for (int i = 0; i < 60000; i++) {
			shape.records = kind == 1 && i < 20000 ? 20 : 1;
			shape.value_len = kind == 1 && i < 20000 ? 0 : 100;
			model_append(&model, &shape);
		}
		model_flush(&model);
		if (kind == 2) {
			uint8_t *zeros = calloc(1, 10 << 20);

			index_append(&model, zeros, 10 << 20);
			free(zeros);
		}
		reader = model_reader(&model, 8);
		reader->observe = observe_bytes;
		observed_preads = observed_bytes = 0;
		end = model_position(&model, model.batches_count);
		for (int i = 0; i < 1000; i++)
			read_check(reader, &model, make_random(&random) % model.next_offset,
			    1 << 20, true, &end);
		CU_ASSERT(observed_preads < 1000 * 12);
		CU_ASSERT(observed_bytes < 1000 * 40960);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

static void
test_out_of_range(void)
{
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_read_result result = { .next_offset = 77 };
	struct tk_reader *reader;
	struct tk_position limit;
	struct model model;

	model_init(&model);
	model_fill(&model, 3, 100, 1000);
	reader = model_reader(&model, 2);
	state = model_state(&model);
	state.log_start = 20;
	limit = model_position(&model, 50);
	CU_ASSERT_EQUAL(
	    tk_reader_read(reader, &key, &state, 19, 100, true, &limit, &result), -ERANGE);
	CU_ASSERT_EQUAL(
	    tk_reader_read(reader, &key, &state, model.next_offset + 1, 100, true, &limit, &result),
	    -ERANGE);
	CU_ASSERT_EQUAL(
	    tk_reader_read(reader, &key, &state, -1, 100, true, &limit, &result), -ERANGE);
	CU_ASSERT_EQUAL(result.next_offset, 77); /* written on success only */
	for (int64_t offset = limit.offset; offset <= model.next_offset; offset++) {
		CU_ASSERT_EQUAL(
		    tk_reader_read(reader, &key, &state, offset, 100, true, &limit, &result), 0);
		CU_ASSERT_EQUAL(result.range.len, 0);
	}
	CU_ASSERT_EQUAL(tk_reader_read(reader, &key, &state, 20, 100, true, &limit, &result), 0);
	CU_ASSERT(result.first.base_offset <= 20 && result.range.len > 0);
	result.range.unref(result.range.owner);
	tk_reader_free(&reader);
	model_free(&model);
}

static int
read_at(struct tk_reader *reader, const struct tk_part_key *key, const struct tk_part_state *state,
    int64_t offset)
{
	struct tk_read_result result;
	int rc = tk_reader_read(reader, key, state, offset, 100000, true, &state->log_end, &result);

	if (rc == 0 && result.range.len > 0)
		result.range.unref(result.range.owner);
	return rc;
}

/* A list is asked for if there is none, an older one, or another incarnation's. */
static void
test_lists(void)
{
	struct tk_part_key key = model_key(), other = model_key(), bad = model_key();
	struct tk_part_state state;
	struct tk_reader *reader;
	struct model model;

	model_init(&model);
	model_fill(&model, 3, 100, 1000);
	CU_ASSERT_EQUAL_FATAL(tk_reader_new(4, &reader), 0);
	state = model_state(&model);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EINVAL); /* no such directory */
	CU_ASSERT_EQUAL(tk_reader_directory(reader, 1, model.dirfd), 0);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
	CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION - 1), 0);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, state.log_end.offset), 0); /* needs none */
	CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION), 0);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
	state.segments_generation++;
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
	state.segments_generation--;
	other.incarnation++;
	CU_ASSERT_EQUAL(read_at(reader, &other, &state, 0), -ESTALE);
	state.incarnation++;
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -ESTALE);
	CU_ASSERT_EQUAL(read_at(reader, &other, &state, 0), -EAGAIN);
	tk_reader_forget(reader, &other); /* not the one that is kept */
	state.incarnation--;
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
	tk_reader_forget(reader, &key);
	CU_ASSERT_EQUAL(tk_reader_stats(reader)->open_segments, 0);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);

	CU_ASSERT_EQUAL(tk_reader_set_segments(reader, &key, 1, model.segments, 0), -EINVAL);
	bad.topic = "../../etc";
	bad.topic_len = 9;
	CU_ASSERT_EQUAL(tk_reader_set_segments(reader, &bad, 1, model.segments, 1), -EINVAL);
	bad.topic = "..";
	bad.topic_len = 2;
	CU_ASSERT_EQUAL(tk_reader_set_segments(reader, &bad, 1, model.segments, 1), -EINVAL);
	bad.topic_len = 0;
	CU_ASSERT_EQUAL(tk_reader_set_segments(reader, &bad, 1, model.segments, 1), -EINVAL);
	tk_reader_free(&reader);
	tk_reader_free(&reader);
	model_free(&model);
}

/* Puts a copy of a segment's file in its place: the same bytes, another inode. */
static uint64_t
replace_file(const struct model *model, int64_t base, const char *suffix)
{
	char path[160], command[800];
	struct stat st;

	model_path(model, base, suffix, path);
	(void)snprintf(
	    command, sizeof(command), "cp %s %s.new && mv %s.new %s", path, path, path, path);
	tk_assert(system(command) == 0);
	tk_assert(stat(path, &st) == 0);
	return st.st_ino;
}

/* A file that is not the one told: the list is asked for once more, then it is an error. */
static void
test_stale_inodes(void)
{
	static const char *const suffixes[] = { ".log", ".index" };

	for (size_t i = 0; i < TK_COUNT_OF(suffixes); i++) {
		struct tk_part_key key = model_key();
		struct tk_part_state state;
		struct tk_reader *reader;
		struct model model;
		uint64_t inode;
		char path[160];

		model_init(&model);
		model_fill(&model, 3, 100, 1000);
		reader = model_reader(&model, 4);
		state = model_state(&model);
		inode = replace_file(&model, 0, suffixes[i]);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
		CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION), 0);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EIO);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EIO);
		if (i == 0)
			model.segments[0].log_inode = inode;
		else
			model.segments[0].index_inode = inode;
		CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION + 1), 0);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);

		/* open ones are not looked up again; those of other inodes are let go */
		inode = replace_file(&model, 0, suffixes[i]);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
		if (i == 0)
			model.segments[0].log_inode = inode;
		else
			model.segments[0].index_inode = inode;
		CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION + 2), 0);
		CU_ASSERT_EQUAL(tk_reader_stats(reader)->open_segments, 0);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
		tk_reader_forget(reader, &key);
		CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION), 0);
		model_path(&model, 0, suffixes[i], path);
		CU_ASSERT_EQUAL(unlink(path), 0);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -EAGAIN);
		tk_reader_free(&reader);
		model_free(&model);
	}
}

/* A range outlives its segment, its list, and the reader. */
static void
test_range_outlives(void)
{
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_read_result result;
	struct tk_reader *reader;
	struct model model;
	char path[160];
	uint8_t first[TK_BATCH_HEADER_BYTES], again[TK_BATCH_HEADER_BYTES];

	model_init(&model);
	model_fill(&model, 3, 100, 1000);
	reader = model_reader(&model, 4);
	state = model_state(&model);
	CU_ASSERT_EQUAL_FATAL(
	    tk_reader_read(reader, &key, &state, 0, 5000, true, &state.log_end, &result), 0);
	CU_ASSERT_EQUAL(pread(result.range.fd, first, sizeof(first), 0), sizeof(first));
	model_path(&model, 0, ".log", path);
	CU_ASSERT_EQUAL(unlink(path), 0);
	state.log_start = model.segments[1].base_offset;
	model.segments_count--;
	memmove(model.segments, model.segments + 1, model.segments_count * sizeof(*model.segments));
	CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION + 1), 0);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), -ERANGE);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, state.log_start), 0);
	tk_reader_free(&reader);
	CU_ASSERT_EQUAL(pread(result.range.fd, again, sizeof(again), 0), sizeof(again));
	CU_ASSERT_EQUAL(memcmp(first, again, sizeof(first)), 0);
	result.range.unref(result.range.owner);
	CU_ASSERT_EQUAL(pread(result.range.fd, again, sizeof(again), 0), -1); /* closed */
	model_free(&model);
}

static int
fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

/* No more segments are open than allowed, and those that ranges hold. */
static void
test_descriptors(void)
{
	struct tk_read_result results[30];
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_reader *reader;
	struct model model;
	int before;

	model_init(&model);
	for (int i = 0; i < 30; i++) {
		struct model_shape shape = { .records = 4, .value_len = 100, .timestamp = i };

		if (i > 0)
			model_roll(&model);
		model_append(&model, &shape);
	}
	model_flush(&model);
	before = fds_open();
	reader = model_reader(&model, 4);
	state = model_state(&model);
	for (int64_t offset = 0; offset < model.next_offset; offset++) {
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, offset), 0);
		CU_ASSERT(fds_open() <= before + 2 * 4);
		CU_ASSERT(tk_reader_stats(reader)->open_segments <= 4);
	}
	CU_ASSERT_EQUAL(tk_reader_stats(reader)->opens, 30);
	for (int i = 0; i < 30; i++) {
		CU_ASSERT_EQUAL_FATAL(tk_reader_read(reader, &key, &state, i * 4, 1000, true,
					  &state.log_end, &results[i]),
		    0);
		CU_ASSERT(fds_open() <= before + 2 * 4 + TK_MAX(0, i - 3));
	}
	for (int i = 0; i < 30; i++) {
		struct tk_batch_header header;
		uint8_t bytes[TK_BATCH_HEADER_BYTES];

		CU_ASSERT_EQUAL(pread(results[i].range.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		tk_batch_header_read(bytes, &header);
		CU_ASSERT_EQUAL(header.base_offset, i * 4);
		results[i].range.unref(results[i].range.owner);
	}
	CU_ASSERT(fds_open() <= before + 2 * 4);
	tk_reader_free(&reader);
	CU_ASSERT_EQUAL(fds_open(), before);
	model_free(&model);
}

/* One that is held stays when there is another to push out: that frees a descriptor. */
static void
test_held_segments_stay(void)
{
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_read_result held;
	struct tk_reader *reader;
	struct model model;

	model_init(&model);
	for (int i = 0; i < 6; i++) {
		struct model_shape shape = { .records = 1, .timestamp = i };

		if (i > 0)
			model_roll(&model);
		model_append(&model, &shape);
	}
	model_flush(&model);
	reader = model_reader(&model, 2);
	state = model_state(&model);
	CU_ASSERT_EQUAL_FATAL(
	    tk_reader_read(reader, &key, &state, 0, 1000, true, &state.log_end, &held), 0);
	for (int64_t offset = 1; offset < 6; offset++)
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, offset), 0);
	CU_ASSERT_EQUAL(tk_reader_stats(reader)->opens, 6);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
	CU_ASSERT_EQUAL(tk_reader_stats(reader)->opens, 6);
	held.range.unref(held.range.owner);
	tk_reader_free(&reader);
	model_free(&model);
}

/* With as many held as may be, one more is refused; it is had as soon as one comes back. */
static void
test_held_at_most(void)
{
	struct tk_read_result held[6], more;
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_reader *reader;
	struct model model;
	int before;

	model_init(&model);
	for (int i = 0; i < 8; i++) {
		struct model_shape shape = { .records = 1, .timestamp = i };

		if (i > 0)
			model_roll(&model);
		model_append(&model, &shape);
	}
	model_flush(&model);
	before = fds_open();
	reader = model_reader(&model, 2);
	tk_reader_hold_at_most(reader, 3);
	state = model_state(&model);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL_FATAL(
		    tk_reader_read(reader, &key, &state, i, 1000, true, &state.log_end, &held[i]),
		    0);
	CU_ASSERT_EQUAL(
	    tk_reader_read(reader, &key, &state, 5, 1000, true, &state.log_end, &more), -EMFILE);
	CU_ASSERT(fds_open() <= before + 2 * 2 + 3);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 4), 0); /* what is open is read */
	held[0].range.unref(held[0].range.owner);
	CU_ASSERT_EQUAL_FATAL(
	    tk_reader_read(reader, &key, &state, 5, 1000, true, &state.log_end, &more), 0);
	CU_ASSERT_EQUAL(
	    tk_reader_read(reader, &key, &state, 6, 1000, true, &state.log_end, &held[0]), -EMFILE);
	more.range.unref(more.range.owner);
	for (int i = 1; i < 5; i++)
		held[i].range.unref(held[i].range.owner);
	for (int i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, i), 0);
	tk_reader_free(&reader);
	CU_ASSERT_EQUAL(fds_open(), before);
	model_free(&model);
}

/* What is remembered of a segment is not believed of the one that replaced it. */
static void
test_compacted_in_place(void)
{
	struct model_shape shape = { .records = 1, .value_len = 100, .timestamp = 1 };
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_read_result result;
	struct tk_reader *reader;
	struct model model;
	uint32_t size;

	model_init(&model);
	for (int i = 0; i < 10; i++)
		model_append(&model, &shape);
	size = model.batches[0].size;
	model_roll(&model);
	model_append(&model, &shape);
	model_flush(&model);
	reader = model_reader(&model, 4);
	state = model_state(&model);
	CU_ASSERT_EQUAL_FATAL(
	    tk_reader_read(reader, &key, &state, 2, 1, true, &state.log_end, &result), 0);
	CU_ASSERT_EQUAL(result.next_offset, 3);
	result.range.unref(result.range.owner);
	(void)replace_file(&model, 0, ".log");
	{
		struct make kept = { 0 };
		char path[160];
		uint8_t bytes[2000];
		int fd;

		model_path(&model, 0, ".log", path);
		fd = open(path, O_RDONLY);
		tk_assert(pread(fd, bytes, 9 * size, size) == (ssize_t)(9 * size));
		(void)close(fd);
		make_put(&kept, bytes, 9 * size);
		model.segments[0].log_inode = model_write(&model, 0, ".log", &kept);
		model.segments[0].size_bytes = 9 * size;
		make_free(&kept);
	}
	CU_ASSERT_EQUAL(model_tell(&model, reader, MODEL_GENERATION + 1), 0);
	CU_ASSERT_EQUAL_FATAL(
	    tk_reader_read(reader, &key, &state, 3, 1, true, &state.log_end, &result), 0);
	CU_ASSERT_EQUAL(result.first.base_offset, 3);
	CU_ASSERT_EQUAL(result.range.offset, 2 * size);
	result.range.unref(result.range.owner);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, 0), 0);
	tk_reader_free(&reader);
	model_free(&model);
}

/* Entries behind the published end, and Kafka's zeros, are not there. */
static void
test_index_beyond_the_end(void)
{
	for (int kind = 0; kind < 3; kind++) {
		struct make garbage = { 0 };
		struct tk_reader *reader;
		struct tk_position end;
		struct model model;

		model_init(&model);
		model_fill(&model, 3, 200, 3000);
		end = model_position(&model, model.batches_count);
		for (uint32_t i = 0; kind != 0 && i < 600; i++) {
			uint8_t entry[8];

			tk_be32_put(
			    entry, (uint32_t)(end.offset - end.segment) + (kind == 1 ? i : i / 2));
			tk_be32_put(entry + 4, (uint32_t)end.position + i * 100);
			make_put(&garbage, entry, 8);
		}
		while (kind != 1 && garbage.len < 100000)
			make_byte(&garbage, 0);
		index_append(&model, garbage.bytes, garbage.len);
		reader = model_reader(&model, 4);
		for (int64_t offset = 0; offset <= model.next_offset; offset++)
			read_check(reader, &model, offset, 10000, true, &end);
		tk_reader_free(&reader);
		make_free(&garbage);
		model_free(&model);
	}
}

/* An index of anything at all costs time, never a wrong answer. */
static void
test_index_damaged(void)
{
	for (uint64_t seed = 0; seed < 8; seed++) {
		struct make garbage = { 0 };
		struct tk_reader *reader;
		struct tk_position end;
		struct model model;
		uint64_t random = seed;
		char path[160];

		model_init(&model);
		model_fill(&model, 3, 200, 3000);
		end = model_position(&model, model.batches_count);
		for (size_t i = 1; i < 400; i++) {
			uint8_t entry[8];

			tk_be32_put(entry, make_random(&random) % (seed < 4 ? 400u : ~0u));
			tk_be32_put(entry + 4, make_random(&random) % (seed < 4 ? 20000u : ~0u));
			if (seed >= 6 && i < 40) { /* real places, of later batches */
				tk_be32_put(entry, (uint32_t)i);
				tk_be32_put(entry + 4, (uint32_t)model.batches[i + 5].position);
			}
			make_put(&garbage, entry, 8);
		}
		for (size_t i = 0; i < model.segments_count; i++) {
			int fd;

			model_path(&model, model.segments[i].base_offset, ".index", path);
			fd = open(path, O_WRONLY | O_TRUNC);
			tk_assert(write(fd, garbage.bytes, garbage.len) == (ssize_t)garbage.len);
			(void)close(fd);
		}
		reader = model_reader(&model, 4);
		for (int64_t offset = 0; offset < model.next_offset; offset++) {
			struct tk_part_key key = model_key();
			struct tk_part_state state = model_state(&model);
			struct tk_read_result result;
			const struct model_batch *batch = model_find(&model, offset, &end);

			CU_ASSERT_EQUAL_FATAL(tk_reader_read(reader, &key, &state, offset, 10000,
						  true, &end, &result),
			    0);
			CU_ASSERT_EQUAL(result.first.base_offset, batch->base);
			CU_ASSERT_EQUAL(result.range.offset, batch->position);
			CU_ASSERT(result.range.len >= batch->size);
			CU_ASSERT(result.range.offset + result.range.len <=
				  model_end(&model, batch, &end));
			result.range.unref(result.range.owner);
		}
		tk_reader_free(&reader);
		make_free(&garbage);
		model_free(&model);
	}
}

/* The log grows and rolls under a reader that has blocks and places of before. */
static void
test_growing(void)
{
	struct tk_reader *reader;
	struct model model;
	uint64_t generation = MODEL_GENERATION, random = 3;

	model_init(&model);
	model_flush(&model);
	reader = model_reader(&model, 3);
	for (int i = 0; i < 3000; i++) {
		struct model_shape shape = { .records = 1 + i % 3,
			.value_len = make_random(&random) % 700,
			.timestamp = i };
		struct tk_position end;

		if (i % 700 == 699) {
			model_roll(&model);
			model_flush(&model);
			CU_ASSERT_EQUAL(model_tell(&model, reader, ++generation), 0);
		}
		model_append(&model, &shape);
		if (i % 10 == 0)
			model_flush(&model); /* the same inode: O_TRUNC and the same bytes again */
		else
			continue;
		end = model_position(&model, model.batches_count);
		for (int j = 0; j < 5; j++)
			read_check(reader, &model,
			    j == 0 ? model.batches[model.batches_count - 1].base
				   : make_random(&random) % model.next_offset,
			    5000, true, &end);
		read_check(reader, &model, model.next_offset, 5000, true, &end);
	}
	tk_reader_free(&reader);
	model_free(&model);
}

/* Damage in the log is told, and does not spread to what is before it. */
static void
test_log_damaged(void)
{
	struct tk_part_key key = model_key();
	struct tk_part_state state;
	struct tk_reader *reader;
	struct model model;
	const struct model_batch *batch;
	char path[160];
	int fd;

	model_init(&model);
	model_fill(&model, 3, 100, 300);
	state = model_state(&model);
	batch = &model.batches[20];
	model_path(&model, model.segments[batch->segment].base_offset, ".log", path);
	fd = open(path, O_RDWR);
	for (int field = 0; field < 6; field++) {
		static const int at[] = { 8, 16, 23, 57, 8, 4 };
		static const char with[] = "\xff\xff\xff\xff\0\xff\xff\xff\0\0\0\0";
		uint8_t was[4];

		reader = model_reader(&model, 4);
		tk_assert(pread(fd, was, 4, batch->position + at[field]) == 4);
		tk_assert(pwrite(fd, with + (field < 4 ? 0 : field * 4 - 12), 4,
			      batch->position + at[field]) == 4);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, batch->base), -EBADMSG);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, batch->base - 1), 0);
		tk_assert(pwrite(fd, was, 4, batch->position + at[field]) == 4);
		CU_ASSERT_EQUAL(read_at(reader, &key, &state, batch->base), 0);
		tk_reader_free(&reader);
	}
	tk_assert(ftruncate(fd, batch->position + 30) == 0); /* shorter than published */
	(void)close(fd);
	reader = model_reader(&model, 4);
	CU_ASSERT_EQUAL(read_at(reader, &key, &state, batch->base), -EBADMSG);
	tk_reader_free(&reader);
	model_free(&model);
}

TK_UNIT_MAIN("reader", { "every offset", test_every_offset }, { "limits", test_limits },
    { "sequential", test_sequential }, { "no record bytes", test_no_record_bytes },
    { "random reads", test_random_read_cost }, { "out of range", test_out_of_range },
    { "lists", test_lists }, { "stale inodes", test_stale_inodes },
    { "a range outlives", test_range_outlives }, { "descriptors", test_descriptors },
    { "held segments stay", test_held_segments_stay }, { "held at most", test_held_at_most },
    { "compacted in place", test_compacted_in_place },
    { "index beyond the end", test_index_beyond_the_end }, { "index damaged", test_index_damaged },
    { "growing", test_growing }, { "log damaged", test_log_damaged })
