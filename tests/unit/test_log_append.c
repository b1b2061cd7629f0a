/*
 * Appending: bytes, offsets, positions, what is refused, what is stamped.
 */
#include "test_log_env.h"

#define LOG_0 "orders-3/00000000000000000000.log"

static void
test_bytes(void)
{
	struct env env;
	struct env_bytes one, file;
	struct tk_part_state state;
	struct tk_append append;

	env_init(&env);
	env_open(&env);
	one = env_batch(&(struct env_batch){ .records = 3, .value_bytes = 100, .timestamp = 1234 });
	append = env_append_bytes(&env, &one, 5000);
	CU_ASSERT(append.error == 0 && append.base_offset == 0 && append.log_append_time_ms == -1);
	append = env_append_bytes(&env, &one, 5000);
	CU_ASSERT(append.error == 0 && append.base_offset == 3 && append.log_start == 0);
	state = env_state(&env);
	CU_ASSERT(state.log_end.offset == 6);
	CU_ASSERT(state.log_end.position == (int64_t)(2 * one.len));
	CU_ASSERT(state.high_watermark.offset == 6 && state.last_stable.offset == 6);
	CU_ASSERT(state.status == TK_PART_ONLINE && state.incarnation == 41);
	CU_ASSERT(state.config_revision == 7);
	file = env_read(&env, LOG_0);
	CU_ASSERT_FATAL(file.len == 2 * one.len);
	tk_be64_put(one.data, 0);
	CU_ASSERT(memcmp(file.data, one.data, one.len) == 0);
	tk_be64_put(one.data, 3);
	CU_ASSERT(memcmp(file.data + one.len, one.data, one.len) == 0);
	free(file.data);
	free(one.data);
	env_free(&env);
}

static void
test_joined(void)
{
	struct tk_append appends[1500], *pointers[1500];
	struct env_bytes one, file;
	struct env env;

	env_init(&env);
	env_open(&env);
	one = env_batch(&(struct env_batch){ .records = 2, .value_bytes = 10, .timestamp = 1 });
	for (size_t i = 0; i < 1500; i++) {
		appends[i] = env_append_of(&one);
		pointers[i] = &appends[i];
	}
	CU_ASSERT(tk_log_append(env.log, pointers, 1500, 1) == 1500);
	file = env_read(&env, LOG_0);
	CU_ASSERT_FATAL(file.len == 1500 * one.len);
	for (size_t i = 0; i < 1500; i++) {
		CU_ASSERT(appends[i].error == 0 && appends[i].base_offset == (int64_t)i * 2);
		CU_ASSERT((int64_t)tk_be64_get(file.data + i * one.len) == (int64_t)i * 2);
	}
	free(file.data);
	free(one.data);
	env_free(&env);
}

static void
expect_refused(struct env *env, const struct env_bytes *bytes, int16_t error)
{
	struct tk_part_state before = *tk_log_state(env->log);
	struct tk_append append = env_append_bytes(env, bytes, 1);

	CU_ASSERT_EQUAL(append.error, error);
	CU_ASSERT(append.base_offset == -1);
	CU_ASSERT(tk_log_state(env->log)->log_end.offset == before.log_end.offset);
	CU_ASSERT(env_size(env, LOG_0) == before.log_end.position);
}

static void
test_refused(void)
{
	struct env_bytes one;
	struct env env;
	size_t len;

	env_init(&env);
	env.config.max_message_bytes = 1000;
	env.config.segment_bytes = 900;
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 10 });
	one = env_batch(&(struct env_batch){ .value_bytes = 100 });
	len = one.len;
	for (one.len = 0; one.len < len; one.len++)
		expect_refused(&env, &one, TK_ERR_CORRUPT_MESSAGE);
	for (size_t i = 21; i < len; i += 7) {
		struct tk_append append;

		one.data[i] ^= 0x10;
		append = env_append_bytes(&env, &one, 1);
		CU_ASSERT(append.error != 0 && append.base_offset == -1);
		one.data[i] ^= 0x10;
	}
	one.data[len - 3] ^= 1;
	expect_refused(&env, &one, TK_ERR_CORRUPT_MESSAGE);
	one.data[len - 3] ^= 1;
	one.data[16] = 1;
	expect_refused(&env, &one, TK_ERR_INVALID_RECORD);
	one.data[16] = 2;
	tk_be32_put(one.data + 57, 2);
	env_crc(&one);
	expect_refused(&env, &one, TK_ERR_INVALID_RECORD);
	free(one.data);
	one = env_batch(&(struct env_batch){ .attributes = TK_BATCH_CONTROL });
	expect_refused(&env, &one, TK_ERR_INVALID_RECORD);
	free(one.data);
	one = env_batch(&(struct env_batch){ .attributes = TK_BATCH_TRANSACTIONAL });
	expect_refused(&env, &one, TK_ERR_INVALID_TXN_STATE);
	free(one.data);
	one = env_batch(&(struct env_batch){ .producer_id = 5, .sequence = -1 });
	expect_refused(&env, &one, TK_ERR_INVALID_RECORD);
	free(one.data);
	one = env_batch(&(struct env_batch){ .value_bytes = 1000 });
	expect_refused(&env, &one, TK_ERR_MESSAGE_TOO_LARGE);
	free(one.data);
	one = env_batch(&(struct env_batch){ .value_bytes = 870 });
	CU_ASSERT(one.len > 900 && one.len < 1000);
	expect_refused(&env, &one, TK_ERR_RECORD_LIST_TOO_LARGE);
	free(one.data);
	env_free(&env);
}

/* What the frame says must be about this log as it is. */
static void
test_frame(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 10 });
	struct tk_append append, *pointer = &append;
	struct env env;

	env_init(&env);
	env.identity.leader_epoch = 4;
	env_open(&env);
	append = env_append_of(&one);
	append.incarnation = 40;
	(void)tk_log_append(env.log, &pointer, 1, 1);
	CU_ASSERT(append.error == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	append.incarnation = 41;
	append.leader_epoch = 3;
	(void)tk_log_append(env.log, &pointer, 1, 1);
	CU_ASSERT(append.error == TK_ERR_FENCED_LEADER_EPOCH);
	append.leader_epoch = 5;
	(void)tk_log_append(env.log, &pointer, 1, 1);
	CU_ASSERT(append.error == TK_ERR_UNKNOWN_LEADER_EPOCH && !append.stale);
	append.leader_epoch = 4;
	append.config_revision = 6;
	(void)tk_log_append(env.log, &pointer, 1, 1);
	CU_ASSERT(append.error != 0 && append.stale);
	append.config_revision = 7;
	CU_ASSERT(tk_log_append(env.log, &pointer, 1, 1) == 1);
	CU_ASSERT(append.error == 0 && !append.stale);
	free(one.data);
	one = env_read(&env, LOG_0);
	CU_ASSERT(tk_be32_get(one.data + 12) == 4);
	free(one.data);
	env_free(&env);
}

static void
test_log_append_time(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 300, .timestamp = 5 });
	struct env_bytes file;
	struct tk_append append;
	struct env env;

	env_init(&env);
	env.config.log_append_time = true;
	env_open(&env);
	append = env_append_bytes(&env, &one, 1700000000123);
	CU_ASSERT(append.error == 0 && append.log_append_time_ms == 1700000000123);
	file = env_read(&env, LOG_0);
	CU_ASSERT_FATAL(file.len == one.len);
	CU_ASSERT(tk_be16_get(file.data + 21) == TK_BATCH_LOG_APPEND);
	CU_ASSERT(tk_be64_get(file.data + 27) == 5);
	CU_ASSERT(tk_be64_get(file.data + 35) == 1700000000123);
	CU_ASSERT(tk_be32_get(file.data + 17) == tk_crc32c(0, file.data + 21, file.len - 21));
	CU_ASSERT(memcmp(file.data + 61, one.data + 61, one.len - 61) == 0);
	free(file.data);
	free(one.data);
	env_free(&env);
}

/* The segment's blocks are reserved, where the file system can; its size is what was written. */
static void
test_preallocate(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 300 });
	struct stat st;
	struct env env;
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool fallocate_fails = fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096) < 0;

	(void)close(fd);
	env_init(&env);
	env.config.preallocate = true;
	env.config.segment_bytes = 1 << 20;
	env_open(&env);
	CU_ASSERT(env_append_bytes(&env, &one, 0).error == 0);
	CU_ASSERT_FATAL(stat(env_path(&env, LOG_0), &st) == 0);
	CU_ASSERT(st.st_size == (off_t)one.len);
	CU_ASSERT(fallocate_fails || st.st_blocks * 512 >= 1 << 20);
	free(one.data);
	env_free(&env);
}

/* Appends one batch whose records were found to have found at most; the file is expected's. */
static void
expect_max_timestamp(
    const struct env_bytes *one, bool stamps, bool walked, int64_t found, int64_t expected)
{
	struct tk_append append = env_append_of(one), *pointer = &append;
	struct env_bytes file;
	struct env env;

	env_init(&env);
	env.config.log_append_time = stamps;
	env_open(&env);
	append.walked = walked;
	append.max_timestamp = found;
	CU_ASSERT(tk_log_append(env.log, &pointer, 1, 777) == 1 && append.error == 0);
	file = env_read(&env, LOG_0);
	CU_ASSERT_FATAL(file.len == one->len);
	CU_ASSERT_EQUAL((int64_t)tk_be64_get(file.data + 35), expected);
	CU_ASSERT(tk_be64_get(file.data + 27) == 5);
	CU_ASSERT(tk_be32_get(file.data + 17) == tk_crc32c(0, file.data + 21, file.len - 21));
	CU_ASSERT(memcmp(file.data + 61, one->data + 61, one->len - 61) == 0);
	free(file.data);
	env_free(&env);
}

/* A header that disagrees with its records is mended, one that was damaged is not made good. */
static void
test_max_timestamp(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .records = 3, .timestamp = 5 });
	struct tk_append append = env_append_of(&one), *pointer = &append;
	struct env env;

	expect_max_timestamp(&one, false, true, 1234, 1234);
	expect_max_timestamp(&one, false, true, 5, 5);
	expect_max_timestamp(&one, false, true, 3, 3);
	expect_max_timestamp(&one, false, true, -1, -1);
	expect_max_timestamp(&one, false, true, INT64_MAX, INT64_MAX);
	expect_max_timestamp(&one, false, false, 1234, 5);
	expect_max_timestamp(&one, true, true, 1234, 777);
	one.data[61] ^= 1;
	env_init(&env);
	env_open(&env);
	append.walked = true;
	append.max_timestamp = 1234;
	CU_ASSERT(tk_log_append(env.log, &pointer, 1, 777) == 0);
	CU_ASSERT(append.error == TK_ERR_CORRUPT_MESSAGE && env_size(&env, LOG_0) <= 0);
	env_free(&env);
	free(one.data);
}

static void
test_configure(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	env.config.revision = 8;
	env.config.max_message_bytes = 100;
	tk_log_configure(env.log, &env.config);
	CU_ASSERT(env_state(&env).config_revision == 8);
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 100 }).error ==
		  TK_ERR_MESSAGE_TOO_LARGE);
	CU_ASSERT(tk_log_set_leader_epoch(env.log, 3) == 0);
	CU_ASSERT(tk_log_set_leader_epoch(env.log, 2) == -EINVAL);
	CU_ASSERT(env_state(&env).leader_epoch == 3);
	env_free(&env);
}

/* Files of a new partition, to the byte. */
static void
test_small_files(void)
{
	struct env_bytes file;
	struct env env;

	env_init(&env);
	env_open(&env);
	file = env_read(&env, "orders-3/partition.metadata");
	CU_ASSERT(strcmp((char *)file.data, "version: 0\ntopic_id: WlpaWlpaWlpaWlpaWlpaWg") == 0);
	free(file.data);
	file = env_read(&env, "orders-3/leader-epoch-checkpoint");
	CU_ASSERT(strcmp((char *)file.data, "0\n1\n0 0\n") == 0);
	free(file.data);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 10 });
	CU_ASSERT(tk_logdir_checkpoint(env.dir) == 0);
	file = env_read(&env, "recovery-point-offset-checkpoint");
	CU_ASSERT(strcmp((char *)file.data, "0\n1\norders 3 0\n") == 0);
	free(file.data);
	file = env_read(&env, "replication-offset-checkpoint");
	CU_ASSERT(strcmp((char *)file.data, "0\n1\norders 3 1\n") == 0);
	free(file.data);
	file = env_read(&env, "log-start-offset-checkpoint");
	CU_ASSERT(strcmp((char *)file.data, "0\n0\n") == 0);
	free(file.data);
	file = env_read(&env, "meta.properties");
	CU_ASSERT(strstr((char *)file.data, "version=1\n") != NULL);
	CU_ASSERT(strstr((char *)file.data, "node.id=1\n") != NULL);
	CU_ASSERT(strstr((char *)file.data, "directory.id=") != NULL);
	free(file.data);
	env_free(&env);
}

static void
test_lock(void)
{
	struct env env, other;
	char holder[32];
	int rc;

	env_init(&env);
	env_open(&env);
	other = env;
	rc = env_open_dir(&other);
	CU_ASSERT(rc == -EBUSY);
	CU_ASSERT(strstr(other.problem.text, env.data) != NULL);
	(void)snprintf(holder, sizeof(holder), "process %d ", (int)getpid());
	CU_ASSERT(strstr(other.problem.text, holder) != NULL);
	env_free(&env);
}

static void
test_identity(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	env_close(&env);
	env_run("sed -i 's/node.id=1/node.id=2/' %s/meta.properties%s", env.data, "");
	CU_ASSERT(env_open_dir(&env) == -EINVAL);
	CU_ASSERT(strstr(env.problem.text, "node.id 2") != NULL);
	env_run("rm %s/meta.properties; touch %s/meta.properties", env.data, env.data);
	CU_ASSERT(env_open_dir(&env) == -EBADMSG);
	CU_ASSERT(strstr(env.problem.text, "meta.properties") != NULL);
	env_free(&env);
}

/* Descriptors are bounded, appends go on whichever partition lost its own. */
static void
test_many_partitions(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 10 });
	struct tk_log_opening items[40] = { 0 };
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 40; i++) {
		items[i].identity = (struct tk_log_identity){ .topic = "many",
			.partition = i,
			.slot = 100 + (uint32_t)i,
			.incarnation = 100 };
		items[i].config = env.config;
	}
	tk_logdir_open_logs(env.dir, items, 40);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 40; i++) {
			struct tk_append append = env_append_of(&one), *pointer = &append;

			CU_ASSERT_FATAL(items[i].rc == 0);
			CU_ASSERT(tk_log_append(items[i].log, &pointer, 1, 1) == 1);
			CU_ASSERT(append.base_offset == round);
		}
	for (int i = 0; i < 40; i++)
		tk_log_close(&items[i].log);
	free(one.data);
	env_free(&env);
}

TK_UNIT_MAIN("log append", { "bytes, offsets, positions", test_bytes },
    { "appends are joined", test_joined }, { "refusals", test_refused }, { "frames", test_frame },
    { "log append time", test_log_append_time }, { "segments preallocated", test_preallocate },
    { "largest timestamp", test_max_timestamp }, { "settings and epochs", test_configure },
    { "small files", test_small_files }, { "lock", test_lock }, { "identity", test_identity },
    { "many partitions", test_many_partitions })
