/*
 * Rolls and indexes: when, and the files to the byte against another implementation of the rules.
 */
#include "test_log_env.h"

#define LOG_0 "orders-3/00000000000000000000.log"

/* The rules once more, over the batches of one finished .log file. */
struct other_index {
	uint8_t offsets[1 << 16], times[1 << 16];
	size_t offsets_len, times_len;
};

static void
put_time(struct other_index *other, int64_t timestamp, int64_t offset, int64_t base)
{
	if (other->times_len > 0 &&
	    timestamp <= (int64_t)tk_be64_get(other->times + other->times_len - 12))
		return;
	tk_be64_put(other->times + other->times_len, (uint64_t)timestamp);
	tk_be32_put(other->times + other->times_len + 8, (uint32_t)(offset - base));
	other->times_len += 12;
}

static void
index_again(struct other_index *other, const struct env_bytes *file, int64_t base, size_t interval)
{
	int64_t max_timestamp = -1, max_offset = -1;
	size_t since = 0;

	memset(other, 0, sizeof(*other));
	for (size_t at = 0; at < file->len;) {
		size_t size = 12 + tk_be32_get(file->data + at + 8);
		int64_t last = (int64_t)tk_be64_get(file->data + at) +
			       (int32_t)tk_be32_get(file->data + at + 23);
		int64_t timestamp = (int64_t)tk_be64_get(file->data + at + 35);

		if (timestamp > max_timestamp) {
			max_timestamp = timestamp;
			max_offset = last;
		}
		if (since > interval) {
			tk_be32_put(other->offsets + other->offsets_len, (uint32_t)(last - base));
			tk_be32_put(other->offsets + other->offsets_len + 4, (uint32_t)at);
			other->offsets_len += 8;
			put_time(other, max_timestamp, max_offset, base);
			since = 0;
		}
		since += size;
		at += size;
	}
	put_time(other, max_timestamp, max_offset, base);
}

static void
compare_indexes(const struct env *env, int64_t base, size_t interval)
{
	static struct other_index other;
	struct env_bytes log, index, times;
	char name[64];

	(void)snprintf(name, sizeof(name), "orders-3/%020lld.log", (long long)base);
	log = env_read(env, name);
	(void)snprintf(name, sizeof(name), "orders-3/%020lld.index", (long long)base);
	index = env_read(env, name);
	(void)snprintf(name, sizeof(name), "orders-3/%020lld.timeindex", (long long)base);
	times = env_read(env, name);
	CU_ASSERT_FATAL(log.data != NULL && index.data != NULL && times.data != NULL);
	index_again(&other, &log, base, interval);
	CU_ASSERT(other.offsets_len > 0);
	CU_ASSERT_EQUAL(index.len, other.offsets_len);
	CU_ASSERT_EQUAL(times.len, other.times_len);
	CU_ASSERT(
	    index.len == other.offsets_len && memcmp(index.data, other.offsets, index.len) == 0);
	CU_ASSERT(times.len == other.times_len && memcmp(times.data, other.times, times.len) == 0);
	free(log.data);
	free(index.data);
	free(times.data);
}

/* Sizes and timestamps without any order; some batches in runs, some alone. */
static void
append_mixture(struct env *env, unsigned count, unsigned seed)
{
	for (unsigned i = 0; i < count;) {
		struct tk_append appends[9], *pointers[9];
		struct env_bytes bytes[9];
		size_t n = 1 + (seed + i * 7) % 9;

		for (size_t j = 0; j < n; j++) {
			unsigned x = (seed + i + (unsigned)j) * 2654435761u >> 16;

			bytes[j] = env_batch(&(struct env_batch){ .records = 1 + (int32_t)(x % 4),
			    .value_bytes = (int32_t)(x % 900),
			    .timestamp = 1000000 + (int64_t)i * 10 + (int64_t)(x % 50) });
			appends[j] = env_append_of(&bytes[j]);
			pointers[j] = &appends[j];
		}
		CU_ASSERT(tk_log_append(env->log, pointers, n, 1) == n);
		for (size_t j = 0; j < n; j++)
			free(bytes[j].data);
		i += (unsigned)n;
	}
}

static void
test_index(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	append_mixture(&env, 300, 1);
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	compare_indexes(&env, 0, 4096);
	env_free(&env);
}

/* Closed and opened again in between, cleanly or not, the files come out the same. */
static void
test_index_reopened(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	for (unsigned i = 0; i < 12; i++) {
		append_mixture(&env, 30, i);
		env_close(&env);
		if (i % 3 == 2) /* as if killed between time index and offset index */
			env_run("truncate -s -%s %s/orders-3/*.index", i % 2 ? "8" : "5", env.data);
		env_open(&env);
		CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_ZONE);
	}
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	compare_indexes(&env, 0, 4096);
	env_free(&env);
}

static void
test_roll_size(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 400 });
	struct tk_segment_info *infos;
	struct env env;
	size_t count;

	env_init(&env);
	env.config.segment_bytes = (int64_t)one.len * 3 + 10;
	env_open(&env);
	for (int i = 0; i < 8; i++)
		CU_ASSERT(env_append_bytes(&env, &one, 1).base_offset == i);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT_FATAL(count == 3);
	for (size_t i = 0; i < count; i++) {
		CU_ASSERT(infos[i].base_offset == (int64_t)i * 3);
		CU_ASSERT(infos[i].size_bytes == (int64_t)one.len * (i == 2 ? 2 : 3));
		CU_ASSERT(infos[i].index_inode != 0 && infos[i].time_inode != 0);
		CU_ASSERT(infos[i].max_timestamp == (i == 2 ? -1 : 0));
	}
	CU_ASSERT(env_state(&env).log_end.segment == 6);
	CU_ASSERT(env_state(&env).active_inode == infos[2].log_inode);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000003.snapshot") == 10);
	free(infos);
	free(one.data);
	env_free(&env);
}

/* One run that needs several segments. */
static void
test_roll_within_run(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 400 });
	struct tk_append appends[100], *pointers[100];
	struct env env;

	env_init(&env);
	env.config.segment_bytes = (int64_t)one.len * 7;
	env_open(&env);
	for (size_t i = 0; i < 100; i++) {
		appends[i] = env_append_of(&one);
		pointers[i] = &appends[i];
	}
	CU_ASSERT(tk_log_append(env.log, pointers, 100, 1) == 100);
	for (int64_t i = 0; i < 100; i++)
		CU_ASSERT(appends[i].error == 0 && appends[i].base_offset == i);
	CU_ASSERT(env_state(&env).log_end.segment == 98);
	CU_ASSERT(env_state(&env).log_end.position == 2 * (int64_t)one.len);
	CU_ASSERT(env_size(&env, LOG_0) == 7 * (int64_t)one.len);
	free(one.data);
	env_free(&env);
}

static int64_t
active_base(const struct env *env)
{
	return tk_log_state(env->log)->log_end.segment;
}

static void
test_roll_time(void)
{
	struct env env;

	env_init(&env);
	env.config.segment_ms = 1000;
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .timestamp = 5000 });
	(void)env_append(&env, &(struct env_batch){ .timestamp = 6000 });
	CU_ASSERT(active_base(&env) == 0);
	(void)env_append(&env, &(struct env_batch){ .timestamp = 100 });
	CU_ASSERT(active_base(&env) == 0);
	(void)env_append(&env, &(struct env_batch){ .timestamp = 6001 });
	CU_ASSERT(active_base(&env) == 3);
	env_close(&env); /* the first timestamp is read back */
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .timestamp = 7001 });
	CU_ASSERT(active_base(&env) == 3);
	(void)env_append(&env, &(struct env_batch){ .timestamp = 7002 });
	CU_ASSERT(active_base(&env) == 5);
	env_free(&env);
}

static void
test_roll_index_full(void)
{
	struct env env;

	env_init(&env);
	env.config.segment_index_bytes = 24; /* 3 entries, and 1 time entry beside the last */
	env.config.index_interval_bytes = 1;
	env_open(&env);
	for (int i = 0; i < 3; i++)
		(void)env_append(&env, &(struct env_batch){ .timestamp = 50 });
	CU_ASSERT(active_base(&env) == 2);
	env_free(&env);
}

/* Offsets more than 2^31 behind the base do not fit an index. */
static void
test_roll_relative_offset(void)
{
	struct env_bytes header = env_batch(&(struct env_batch){ .value_bytes = 1 });
	struct tk_append append;
	struct env env;

	env_init(&env);
	env_open(&env);
	tk_be32_put(header.data + 23, INT32_MAX - 1);
	tk_be32_put(header.data + 57, INT32_MAX);
	env_crc(&header);
	append = env_append_bytes(&env, &header, 1);
	CU_ASSERT(append.error == 0 && active_base(&env) == 0);
	append = env_append(&env, &(struct env_batch){ .records = 1 });
	CU_ASSERT(append.base_offset == INT32_MAX && active_base(&env) == 0);
	append = env_append(&env, &(struct env_batch){ .records = 1 });
	CU_ASSERT(append.base_offset == (int64_t)INT32_MAX + 1);
	CU_ASSERT(active_base(&env) == (int64_t)INT32_MAX + 1);
	free(header.data);
	env_free(&env);
}

static void
test_retention(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 400 });
	struct tk_part_state before;
	struct tk_segment_info *infos;
	struct env env;
	size_t count;

	env_init(&env);
	env.config.segment_bytes = (int64_t)one.len * 2;
	env.config.file_delete_delay_ms = 0;
	env_open(&env);
	for (int i = 0; i < 9; i++)
		(void)env_append_bytes(&env, &one, 1);
	before = env_state(&env);
	CU_ASSERT(tk_log_advance_start(env.log, 10) == -EINVAL);
	CU_ASSERT(tk_log_advance_start(env.log, 5) == 0);
	CU_ASSERT(env_state(&env).log_start == 5);
	CU_ASSERT(env_state(&env).segments_generation != before.segments_generation);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT(count == 3 && infos[0].base_offset == 4);
	free(infos);
	CU_ASSERT(env_size(&env, LOG_0) == -1);
	CU_ASSERT(env_size(&env, LOG_0 ".deleted") > 0);
	while (tk_logdir_tick(env.dir, INT32_MAX) == 0)
		;
	CU_ASSERT(env_size(&env, LOG_0 ".deleted") == -1);
	env_close(&env);
	env_open(&env);
	CU_ASSERT(env_state(&env).log_start == 5);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT(count == 3);
	free(infos);
	free(one.data);
	env_free(&env);
}

/* Retention killed between what it published and what it renamed. */
static void
test_retention_leftovers(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 400 });
	struct tk_segment_info *infos;
	struct env env;
	size_t count;

	env_init(&env);
	env.config.segment_bytes = (int64_t)one.len * 2;
	env_open(&env);
	for (int i = 0; i < 9; i++)
		(void)env_append_bytes(&env, &one, 1);
	env_run("cp -a %s/orders-3 %s/kept", env.data, env.root);
	CU_ASSERT(tk_log_advance_start(env.log, 4) == 0);
	env_close(&env);
	env_run("cp -a %s/kept/*0.log %s/data/orders-3/", env.root, env.root);
	env_open(&env);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT(count == 3 && infos[0].base_offset == 4);
	free(infos);
	CU_ASSERT(env_size(&env, LOG_0) == -1);
	CU_ASSERT(env_size(&env, LOG_0 ".deleted") == -1);
	free(one.data);
	env_free(&env);
}

static int
count_names(const struct env *env, const char *part)
{
	const struct dirent *entry;
	DIR *dir = opendir(env->data);
	int count = 0;

	CU_ASSERT_FATAL(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		count += strstr(entry->d_name, part) != NULL;
	(void)closedir(dir);
	return count;
}

/* Deleted and made again: the ghost's data are not the new one's. */
static void
test_delete(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 10 });
	CU_ASSERT(tk_log_delete(&env.log) == 0 && env.log == NULL);
	CU_ASSERT(env_state(&env).status == TK_PART_DELETED);
	CU_ASSERT(count_names(&env, "-delete") == 1);
	env.identity.incarnation = 42;
	memset(env.identity.topic_id.b, 0x31, sizeof(env.identity.topic_id.b));
	CU_ASSERT_FATAL(
	    tk_log_open(env.dir, &env.identity, &env.config, &env.log, &env.problem) == 0);
	CU_ASSERT(env_state(&env).incarnation == 42 && env_state(&env).log_end.offset == 0);
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 10 }).base_offset == 0);
	env_close(&env);
	env_open(&env);
	(void)tk_logdir_tick(env.dir, INT64_MAX / 2);
	CU_ASSERT(count_names(&env, "-delete") == 0);
	CU_ASSERT(env_state(&env).log_end.offset == 1);
	env_free(&env);
}

/* The journal knows another topic of that name: the directory is set aside, not adopted. */
static void
test_stray(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 10 });
	env_close(&env);
	env.identity.incarnation = 43;
	memset(env.identity.topic_id.b, 0x32, sizeof(env.identity.topic_id.b));
	env_open(&env);
	CU_ASSERT(env_state(&env).log_end.offset == 0);
	CU_ASSERT(count_names(&env, "-stray") == 1);
	env_free(&env);
}

TK_UNIT_MAIN("log index", { "indexes to the byte", test_index },
    { "indexes over restarts", test_index_reopened }, { "roll by size", test_roll_size },
    { "rolls within a run", test_roll_within_run }, { "roll by time", test_roll_time },
    { "roll by full index", test_roll_index_full },
    { "roll by relative offset", test_roll_relative_offset }, { "retention", test_retention },
    { "retention killed half-way", test_retention_leftovers }, { "delete", test_delete },
    { "stray directory", test_stray })
