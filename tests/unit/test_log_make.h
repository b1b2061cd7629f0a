/*
 * Makes a partition's files for tests as Kafka would write them, and keeps a plain list of what is
 * in them, to which readers are compared.  Independent of the writer's code.
 */
#ifndef TK_TESTS_LOG_MAKE_H
#define TK_TESTS_LOG_MAKE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/reader.h"
#include "test_batch_make.h"

#define MODEL_TOPIC          "orders.eu"
#define MODEL_GENERATION     ((uint64_t)40)
#define MODEL_INDEX_INTERVAL 4096

struct model_record {
	int64_t offset, timestamp;
};

struct model_batch {
	int64_t base, last;
	size_t segment; /* index */
	int64_t position;
	uint32_t size;
	int64_t max_timestamp;
};

struct model {
	char root[64];
	int dirfd;
	struct model_record *records;
	struct model_batch *batches;
	struct tk_segment_info *segments;
	size_t records_count, batches_count, segments_count;
	int64_t next_offset;
	/* of the segment being written */
	struct make log, index, timeindex;
	int64_t since_entry, time_so_far, time_offset, last_time_entry;
	bool no_index;
};

/* What the next batch is like. */
struct model_shape {
	int records;
	int64_t value_len;
	int64_t timestamp;      /* of the first record */
	int64_t timestamp_step; /* of those that follow */
	int64_t skip_before;    /* offsets missing, as after compaction */
	int64_t skip_inside;    /* after each record but the last */
	enum tk_codec codec;
	bool log_append;
};

/* Room for one more: at each power of two, the double. */
#define MODEL_GROW(array, count)                                                                   \
	do {                                                                                       \
		if (((count) & ((count)-1)) == 0) {                                                \
			(array) = realloc((array), ((count)*2 + 1) * sizeof(*(array)));            \
			tk_assert((array) != NULL);                                                \
		}                                                                                  \
	} while (0)

static inline void
model_path(const struct model *model, int64_t base, const char *suffix, char path[160])
{
	(void)snprintf(
	    path, 160, "%s/" MODEL_TOPIC "-3/%020lld%s", model->root, (long long)base, suffix);
}

/* Writes a file of a segment; its inode. */
static inline uint64_t
model_write(const struct model *model, int64_t base, const char *suffix, const struct make *make)
{
	char path[160];
	struct stat st;
	int fd;

	model_path(model, base, suffix, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	tk_assert(fd >= 0);
	tk_assert(make->len == 0 || write(fd, make->bytes, make->len) == (ssize_t)make->len);
	tk_assert(fstat(fd, &st) == 0);
	(void)close(fd);
	return st.st_ino;
}

static inline void
model_init(struct model *model)
{
	*model = (struct model){ .time_so_far = -1, .last_time_entry = -1 };
	(void)snprintf(model->root, sizeof(model->root), "/tmp/takhin-test-XXXXXX");
	tk_assert(mkdtemp(model->root) != NULL);
	model->dirfd = open(model->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tk_assert(model->dirfd >= 0);
	tk_assert(mkdirat(model->dirfd, MODEL_TOPIC "-3", 0700) == 0);
	MODEL_GROW(model->segments, 0);
	model->segments[0] = (struct tk_segment_info){ .max_timestamp = -1 };
	model->segments_count = 1;
}

static inline void
model_time_entry(struct model *model, struct tk_segment_info *info)
{
	uint8_t entry[12];

	if (model->time_so_far <= model->last_time_entry)
		return;
	tk_be64_put(entry, (uint64_t)model->time_so_far);
	tk_be32_put(entry + 8, (uint32_t)(model->time_offset - info->base_offset));
	make_put(&model->timeindex, entry, 12);
	model->last_time_entry = model->time_so_far;
}

/* Appends a batch of the shape to the files in memory. */
static inline void
model_append(struct model *model, const struct model_shape *shape)
{
	struct tk_segment_info *info = &model->segments[model->segments_count - 1];
	struct tk_batch_header header = { .magic = 2, .producer_id = -1, .leader_epoch = 5 };
	struct make plain = { 0 }, packed = { 0 };
	int64_t delta = 0, timestamp = shape->timestamp, most = INT64_MIN;
	struct model_batch batch = { .base = model->next_offset + shape->skip_before,
		.segment = model->segments_count - 1,
		.position = (int64_t)model->log.len };
	uint8_t *bytes;

	for (int i = 0; i < shape->records; i++) {
		delta += i > 0 ? 1 + shape->skip_inside : 0;
		make_record(&plain, timestamp - shape->timestamp, delta, i % 3 - 1,
		    shape->value_len, i % 5 == 0);
		MODEL_GROW(model->records, model->records_count);
		model->records[model->records_count++] =
		    (struct model_record){ batch.base + delta, timestamp };
		most = TK_MAX(most, timestamp);
		timestamp += shape->timestamp_step;
	}
	for (int i = 0; shape->log_append && i < shape->records; i++)
		model->records[model->records_count - 1 - (size_t)i].timestamp = most;
	make_compress(&packed, shape->codec, plain.bytes, plain.len);
	header.base_offset = batch.base;
	header.attributes =
	    (int16_t)((int)shape->codec | (shape->log_append ? TK_BATCH_LOG_APPEND : 0));
	header.last_offset_delta = (int32_t)delta;
	header.base_timestamp = shape->timestamp;
	header.max_timestamp = most;
	header.records_count = shape->records;
	bytes = make_batch(&header, &packed);
	batch.size = (uint32_t)tk_batch_size(&header);
	batch.last = batch.base + delta;
	batch.max_timestamp = most;
	make_seal(bytes, batch.size);
	if (most > model->time_so_far) {
		model->time_so_far = most;
		model->time_offset = batch.last;
	}
	if (model->since_entry > MODEL_INDEX_INTERVAL) {
		uint8_t entry[8];

		tk_be32_put(entry, (uint32_t)(batch.last - info->base_offset));
		tk_be32_put(entry + 4, (uint32_t)batch.position);
		make_put(&model->index, entry, 8);
		model_time_entry(model, info);
		model->since_entry = 0;
	}
	model->since_entry += batch.size;
	make_put(&model->log, bytes, batch.size);
	info->max_timestamp = TK_MAX(info->max_timestamp, most);
	MODEL_GROW(model->batches, model->batches_count);
	model->batches[model->batches_count++] = batch;
	model->next_offset = batch.last + 1;
	free(bytes);
	make_free(&plain);
	make_free(&packed);
}

/* Writes the segment's files out. */
static inline void
model_flush(struct model *model)
{
	struct tk_segment_info *info = &model->segments[model->segments_count - 1];

	info->size_bytes = (int64_t)model->log.len;
	info->log_inode = model_write(model, info->base_offset, ".log", &model->log);
	if (model->no_index)
		return;
	info->index_inode = model_write(model, info->base_offset, ".index", &model->index);
	info->time_inode = model_write(model, info->base_offset, ".timeindex", &model->timeindex);
}

static inline void
model_roll(struct model *model)
{
	struct tk_segment_info *info = &model->segments[model->segments_count - 1];

	model_time_entry(model, info);
	model_flush(model);
	make_free(&model->log);
	make_free(&model->index);
	make_free(&model->timeindex);
	model->since_entry = 0;
	model->time_so_far = model->last_time_entry = -1;
	MODEL_GROW(model->segments, model->segments_count);
	model->segments[model->segments_count++] =
	    (struct tk_segment_info){ .base_offset = model->next_offset, .max_timestamp = -1 };
}

static inline void
model_free(struct model *model)
{
	char command[128];

	make_free(&model->log);
	make_free(&model->index);
	make_free(&model->timeindex);
	free(model->records);
	free(model->batches);
	free(model->segments);
	(void)close(model->dirfd);
	(void)snprintf(command, sizeof(command), "rm -r %s", model->root);
	tk_assert(system(command) == 0);
}

/* Before batch number n, as a writer publishes it: n == batches_count is the log's end. */
static inline struct tk_position
model_position(const struct model *model, size_t n)
{
	const struct model_batch *batch;

	if (n == model->batches_count)
		return (struct tk_position){ model->next_offset,
			model->segments[model->segments_count - 1].base_offset,
			(int64_t)model->log.len };
	batch = &model->batches[n];
	return (struct tk_position){ batch->base, model->segments[batch->segment].base_offset,
		batch->position };
}

static inline struct tk_part_state
model_state(const struct model *model)
{
	struct tk_part_state state = {
		.incarnation = 17, .status = TK_PART_ONLINE, .segments_generation = MODEL_GENERATION
	};

	state.log_end = model_position(model, model->batches_count);
	state.high_watermark = state.last_stable = state.log_end;
	return state;
}

static inline struct tk_part_key
model_key(void)
{
	return (struct tk_part_key){ .directory = 1,
		.slot = 9,
		.incarnation = 17,
		.topic = MODEL_TOPIC "#not part of it",
		.topic_len = sizeof(MODEL_TOPIC) - 1,
		.partition = 3 };
}

/* Tells the reader the list as a writer would: the active segment's size and time are not in it. */
static inline int
model_tell(const struct model *model, struct tk_reader *reader, uint64_t generation)
{
	struct tk_part_key key = model_key();
	struct tk_segment_info *active = &model->segments[model->segments_count - 1];
	int64_t size = active->size_bytes, time = active->max_timestamp;
	int rc;

	active->size_bytes = 0;
	active->max_timestamp = -1;
	rc = tk_reader_set_segments(
	    reader, &key, generation, model->segments, model->segments_count);
	active->size_bytes = size;
	active->max_timestamp = time;
	return rc;
}

static inline struct tk_reader *
model_reader(const struct model *model, unsigned max_open_segments)
{
	struct tk_reader *reader;

	tk_assert(tk_reader_new(max_open_segments, &reader) == 0);
	tk_assert(tk_reader_directory(reader, 1, model->dirfd) == 0);
	tk_assert(model_tell(model, reader, MODEL_GENERATION) == 0);
	return reader;
}

/* Batches of all sizes and kinds, in several segments. */
static inline void
model_fill(struct model *model, uint64_t seed, int batches, int64_t largest_value)
{
	uint64_t random = seed;
	int64_t now = 1000000;

	for (int i = 0; i < batches; i++) {
		uint32_t kind = make_random(&random) % 8;
		struct model_shape shape = { .records = 1 + (int)(make_random(&random) % 6),
			.value_len = kind == 0 ? (int64_t)make_random(&random) % largest_value
					       : (int64_t)make_random(&random) % 120,
			.timestamp = now,
			.timestamp_step = (int64_t)(make_random(&random) % 5) - 1,
			.codec = (enum tk_codec)(kind > 2 ? 0 : make_random(&random) % 5) };

		now += (int64_t)(make_random(&random) % 7) - 2;
		if (seed % 3 == 1) {
			shape.skip_before = kind == 3 ? 1 + make_random(&random) % 20 : 0;
			shape.skip_inside = kind == 4 ? 2 : 0;
		}
		shape.log_append = seed % 4 == 2 && kind == 5;
		if (make_random(&random) % 64 == 0)
			shape.timestamp += 1000; /* somebody's clock is wrong */
		model_append(model, &shape);
		if (i > 0 && i % (batches / 4) == 0)
			model_roll(model);
	}
	model_flush(model);
}

#endif
