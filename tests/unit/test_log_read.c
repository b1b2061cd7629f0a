/*
 * The reader over what the writer writes and publishes: append, roll, drop, open anew.
 */
#include "log/log.h"
#include "log/reader.h"
#include "test_log_env.h"

static struct tk_part_key
key_of(const struct env *env)
{
	return (struct tk_part_key){ .slot = env->identity.slot,
		.incarnation = env->identity.incarnation,
		.topic = env->identity.topic,
		.topic_len = strlen(env->identity.topic),
		.partition = env->identity.partition };
}

/* What a worker does on -EAGAIN: asks the writer, which tells list and generation. */
static void
tell(const struct env *env, struct tk_reader *reader)
{
	struct tk_part_key key = key_of(env);
	struct tk_part_state state = env_state(env);
	struct tk_segment_info *infos;
	size_t count;

	CU_ASSERT_FATAL(tk_log_segments(env->log, &infos, &count) == 0);
	CU_ASSERT(
	    tk_reader_set_segments(reader, &key, state.segments_generation, infos, count) == 0);
	free(infos);
}

/* Reads as a worker does; the list is asked for at most once. */
static int
read_at(const struct env *env, struct tk_reader *reader, int64_t offset, uint32_t max_bytes,
    struct tk_read_result *ret_result)
{
	struct tk_part_key key = key_of(env);

	for (int asked = 0;; asked++) {
		struct tk_part_state state = env_state(env);
		int rc = tk_reader_read(reader, &key, &state, offset, max_bytes, true,
		    &state.high_watermark, ret_result);

		if (rc != -EAGAIN || asked == 1)
			return rc;
		tell(env, reader);
	}
}

/* Follows the log from an offset to its end; how many batches there are. */
static int
consume(const struct env *env, struct tk_reader *reader, int64_t offset, uint32_t max_bytes)
{
	static uint8_t buf[1 << 20];
	int batches = 0;

	for (;;) {
		struct tk_read_result result;
		uint32_t at = 0;

		CU_ASSERT_FATAL(read_at(env, reader, offset, max_bytes, &result) == 0);
		if (result.range.len == 0)
			break;
		CU_ASSERT_FATAL(result.range.len <= sizeof(buf));
		CU_ASSERT(pread(result.range.fd, buf, result.range.len, result.range.offset) ==
			  result.range.len);
		while (result.range.len - at >= TK_BATCH_HEADER_BYTES) {
			struct tk_batch_header header;

			tk_batch_header_read(buf + at, &header);
			if (tk_batch_size(&header) > result.range.len - at)
				break;
			CU_ASSERT(header.base_offset == offset);
			CU_ASSERT(
			    tk_crc32c(0, buf + at + TK_BATCH_CRC_FROM,
				(size_t)tk_batch_size(&header) - TK_BATCH_CRC_FROM) == header.crc);
			offset = tk_batch_last_offset(&header) + 1;
			at += (uint32_t)tk_batch_size(&header);
			batches++;
		}
		CU_ASSERT_FATAL(at > 0);
		result.range.unref(result.range.owner);
	}
	CU_ASSERT(offset == env_state(env).high_watermark.offset);
	return batches;
}

static void
reader_begin(const struct env *env, int *ret_dirfd, struct tk_reader **ret_reader)
{
	*ret_dirfd = open(env->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(*ret_dirfd >= 0);
	CU_ASSERT_FATAL(tk_reader_new(4, ret_reader) == 0);
	CU_ASSERT_FATAL(tk_reader_directory(*ret_reader, 0, *ret_dirfd) == 0);
}

/* A consumer that keeps up with appends and rolls sees every batch, and searches no index. */
static void
test_follow(void)
{
	struct tk_reader *reader;
	struct env env;
	int64_t offset = 0;
	int dirfd;

	env_init(&env);
	env.config.segment_bytes = 200000;
	env_open(&env);
	reader_begin(&env, &dirfd, &reader);
	CU_ASSERT(consume(&env, reader, 0, 1000) == 0);
	for (int i = 0; i < 400; i++) {
		struct env_batch batch = {
			.records = 1 + i % 4, .value_bytes = i * 37 % 2000, .timestamp = 1000 + i
		};

		CU_ASSERT(env_append(&env, &batch).error == 0);
		if (i % 3 != 0)
			continue;
		CU_ASSERT(consume(&env, reader, offset, 20000) == (i == 0 ? 1 : 3));
		offset = env_state(&env).high_watermark.offset;
	}
	CU_ASSERT(env_state(&env).log_end.segment > 0);
	CU_ASSERT(tk_reader_stats(reader)->index_searches == 0);
	CU_ASSERT(consume(&env, reader, 0, 1) == 400);
	CU_ASSERT(consume(&env, reader, 0, 100000) == 400);
	tk_reader_free(&reader);
	(void)close(dirfd);
	env_free(&env);
}

/* Every offset, from the indexes as the writer left them and as a later start finds them. */
static void
test_indexes(void)
{
	for (int how = 0; how < 3; how++) {
		struct tk_reader *reader;
		struct env env;
		int dirfd;

		env_init(&env);
		env.config.segment_bytes = 100000;
		env_open(&env);
		for (int i = 0; i < 300; i++) {
			struct env_batch batch = { .records = 1 + i % 4,
				.value_bytes = i * 37 % 1500,
				.timestamp = 1000 + i };

			CU_ASSERT(env_append(&env, &batch).error == 0);
		}
		if (how == 1)
			env_close(&env);
		else if (how == 2)
			env_stop(&env);
		if (how > 0)
			env_open(&env);
		reader_begin(&env, &dirfd, &reader);
		for (int64_t offset = env_state(&env).log_end.offset - 1; offset >= 0; offset--) {
			struct tk_read_result result;

			CU_ASSERT_FATAL(read_at(&env, reader, offset, 5000, &result) == 0);
			CU_ASSERT(result.first.base_offset <= offset);
			CU_ASSERT(tk_batch_last_offset(&result.first) >= offset);
			result.range.unref(result.range.owner);
		}
		CU_ASSERT(tk_reader_stats(reader)->preads <
			  10 * (uint64_t)env_state(&env).log_end.offset);
		tk_reader_free(&reader);
		(void)close(dirfd);
		env_free(&env);
	}
}

static void
test_times(void)
{
	struct tk_reader *reader;
	struct tk_part_key key;
	struct env env;
	int dirfd;

	env_init(&env);
	env.config.segment_bytes = 50000;
	env_open(&env);
	for (int i = 0; i < 300; i++) {
		struct env_batch batch = {
			.records = 2, .value_bytes = 300, .timestamp = 1000 + i
		};

		CU_ASSERT(env_append(&env, &batch).error == 0);
	}
	reader_begin(&env, &dirfd, &reader);
	tell(&env, reader);
	key = key_of(&env);
	for (int i = -1; i < 301; i++) {
		struct tk_part_state state = env_state(&env);
		struct tk_time_offset found;

		CU_ASSERT(tk_reader_offset_by_time(
			      reader, &key, &state, 1000 + i, &state.high_watermark, &found) == 0);
		CU_ASSERT(found.offset == (i < 0 ? 0 : i < 300 ? 2 * i : -1));
		CU_ASSERT(found.timestamp == (i < 0 ? 1000 : i < 300 ? 1000 + i : -1));
		CU_ASSERT(tk_reader_max_timestamp(
			      reader, &key, &state, &state.high_watermark, &found) == 0);
		CU_ASSERT(found.offset == 598 && found.timestamp == 1299);
	}
	tk_reader_free(&reader);
	(void)close(dirfd);
	env_free(&env);
}

/* Segments that are dropped are out of range; what is left is read by a new list. */
static void
test_dropped(void)
{
	struct tk_read_result result;
	struct tk_reader *reader;
	struct env env;
	int dirfd;

	env_init(&env);
	env.config.segment_bytes = 50000;
	env_open(&env);
	for (int i = 0; i < 300; i++) {
		struct env_batch batch = { .value_bytes = 500 };

		CU_ASSERT(env_append(&env, &batch).error == 0);
	}
	reader_begin(&env, &dirfd, &reader);
	CU_ASSERT(consume(&env, reader, 0, 10000) == 300);
	CU_ASSERT(tk_log_advance_start(env.log, 250) == 0);
	CU_ASSERT(read_at(&env, reader, 249, 1000, &result) == -ERANGE);
	CU_ASSERT(consume(&env, reader, 250, 10000) == 50);
	CU_ASSERT(read_at(&env, reader, 301, 1000, &result) == -ERANGE);
	tk_reader_free(&reader);
	(void)close(dirfd);
	env_free(&env);
}

TK_UNIT_MAIN("log read", { "follow", test_follow }, { "indexes", test_indexes },
    { "times", test_times }, { "dropped", test_dropped })
