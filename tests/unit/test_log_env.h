/*
 * A data directory and a run directory below /tmp for the tests of the log's writer side, batches
 * made byte by byte without the code under test, and what to look at files with.
 */
#ifndef TK_TESTS_LOG_ENV_H
#define TK_TESTS_LOG_ENV_H

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "log/batch.h"
#include "log/logdir.h"
#include "unit.h"
#include "wire/error_codes.h"

struct env {
	char root[64], data[96], run[96], boot[96];
	int run_fd;
	struct tk_logdir *dir;
	struct tk_log *log;
	struct tk_log_config config;
	struct tk_log_identity identity;
	struct tk_log_problem problem;
	int progress_ms; /* of recovery; 0: the default */
	char notes[8192];
};

/* A batch as a client sends it. */
struct env_batch {
	int64_t producer_id; /* 0: none is -1, set below */
	int16_t epoch;
	int32_t sequence;
	int32_t records;
	int32_t value_bytes;
	int64_t timestamp;
	int16_t attributes;
};

struct env_bytes {
	uint8_t *data;
	size_t len;
};

static inline void
env_note(void *arg, enum tk_level level, const char *text)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct env *env = arg;
	size_t len;

	(void)level;
	(void)pthread_mutex_lock(&lock);
	len = strlen(env->notes);
	(void)snprintf(env->notes + len, sizeof(env->notes) - len, "%s\n", text);
	(void)pthread_mutex_unlock(&lock);
}

static inline void
env_run(const char *fmt, const char *a, const char *b)
{
	char command[512];

	(void)snprintf(command, sizeof(command), fmt, a, b);
	if (system(command) != 0)
		CU_FAIL("a shell command failed");
}

static inline void
env_write_boot(struct env *env, const char *text)
{
	FILE *file = fopen(env->boot, "w");

	if (file == NULL)
		abort();
	(void)fputs(text, file);
	(void)fclose(file);
}

#define ENV_BOOT_1 "11111111-2222-3333-4444-555555555555\n"
#define ENV_BOOT_2 "99999999-2222-3333-4444-555555555555\n"

static inline void
env_init(struct env *env)
{
	memset(env, 0, sizeof(*env));
	strcpy(env->root, "/tmp/tk-log-XXXXXX");
	if (mkdtemp(env->root) == NULL)
		abort();
	(void)snprintf(env->data, sizeof(env->data), "%s/data", env->root);
	(void)snprintf(env->run, sizeof(env->run), "%s/run", env->root);
	(void)snprintf(env->boot, sizeof(env->boot), "%s/boot", env->root);
	if (mkdir(env->run, 0700) < 0)
		abort();
	env->run_fd = open(env->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	env_write_boot(env, ENV_BOOT_1);
	env->config = tk_log_config_default();
	env->config.revision = 7;
	env->identity = (struct tk_log_identity){
		.topic = "orders", .partition = 3, .slot = 5, .incarnation = 41
	};
	memset(env->identity.topic_id.b, 0x5a, sizeof(env->identity.topic_id.b));
}

static inline int
env_open_dir(struct env *env)
{
	const struct tk_logdir_options options = { .path = env->data,
		.run_dir_fd = env->run_fd,
		.zone_name = "zone.0",
		.node_id = 1,
		.recovery_threads = 2,
		.open_partitions_max = 16,
		.lock_wait_ms = -1,
		.boot_id_path = env->boot,
		.progress_ms = env->progress_ms,
		.note = env_note,
		.note_arg = env };

	env->problem.text[0] = '\0';
	return tk_logdir_open(&options, &env->dir, &env->problem);
}

/* Directory and partition; what the tests expect to work. */
static inline void
env_open(struct env *env)
{
	int rc = env_open_dir(env);

	if (rc == 0)
		rc = tk_log_open(env->dir, &env->identity, &env->config, &env->log, &env->problem);
	if (rc < 0)
		fprintf(stderr, "could not open: %s (%s)\n", strerror(-rc), env->problem.text);
	CU_ASSERT_FATAL(rc == 0);
}

/* As a death would: nothing is synced or sealed. */
static inline void
env_close(struct env *env)
{
	tk_log_close(&env->log);
	tk_logdir_close(&env->dir);
}

static inline void
env_stop(struct env *env)
{
	CU_ASSERT(tk_logdir_clean_stop(env->dir, &env->problem) == 0);
	env_close(env);
	CU_ASSERT(tk_logdir_mark_clean(env->data) == 0);
}

static inline void
env_free(struct env *env)
{
	env_close(env);
	(void)close(env->run_fd);
	env_run("rm -rf '%s%s'", env->root, "");
}

static inline size_t
env_varint(uint8_t *at, int64_t value)
{
	uint64_t n = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	size_t len = 0;

	for (; n >= 0x80; n >>= 7)
		at[len++] = (uint8_t)(n | 0x80);
	at[len++] = (uint8_t)n;
	return len;
}

static inline void
env_crc(struct env_bytes *bytes)
{
	tk_be32_put(bytes->data + 17, tk_crc32c(0, bytes->data + 21, bytes->len - 21));
}

static inline struct env_bytes
env_batch(const struct env_batch *batch)
{
	int32_t records = batch->records == 0 ? 1 : batch->records;
	size_t value_bytes = (size_t)batch->value_bytes;
	struct env_bytes bytes = { .data = calloc(1, 61 + (size_t)records * (value_bytes + 32)) };
	uint8_t *at = bytes.data + 61;

	if (bytes.data == NULL)
		abort();
	for (int32_t i = 0; i < records; i++) {
		uint8_t head[32];
		size_t len = 0;

		head[len++] = 0; /* attributes */
		len += env_varint(head + len, 0);
		len += env_varint(head + len, i);
		len += env_varint(head + len, -1); /* no key */
		len += env_varint(head + len, (int64_t)value_bytes);
		at += env_varint(at, (int64_t)(len + value_bytes + 1));
		memcpy(at, head, len);
		memset(at + len, 'a' + i % 26, value_bytes);
		at += len + value_bytes;
		*at++ = 0; /* no headers */
	}
	bytes.len = (size_t)(at - bytes.data);
	tk_be64_put(bytes.data, 0x7777); /* a base offset that means nothing */
	tk_be32_put(bytes.data + 8, (uint32_t)(bytes.len - 12));
	bytes.data[16] = 2;
	tk_be16_put(bytes.data + 21, (uint16_t)batch->attributes);
	tk_be32_put(bytes.data + 23, (uint32_t)(records - 1));
	tk_be64_put(bytes.data + 27, (uint64_t)batch->timestamp);
	tk_be64_put(bytes.data + 35, (uint64_t)batch->timestamp);
	tk_be64_put(bytes.data + 43, (uint64_t)(batch->producer_id == 0 ? -1 : batch->producer_id));
	tk_be16_put(bytes.data + 51, (uint16_t)(batch->producer_id == 0 ? -1 : batch->epoch));
	tk_be32_put(bytes.data + 53, (uint32_t)(batch->producer_id == 0 ? -1 : batch->sequence));
	tk_be32_put(bytes.data + 57, (uint32_t)records);
	env_crc(&bytes);
	return bytes;
}

static inline struct tk_append
env_append_of(const struct env_bytes *bytes)
{
	return (struct tk_append){
		.batch = bytes->data, .batch_bytes = bytes->len, .leader_epoch = -1
	};
}

/* Appends one batch and returns how it was settled. */
static inline struct tk_append
env_append_bytes(struct env *env, const struct env_bytes *bytes, int64_t now_ms)
{
	struct tk_append append = env_append_of(bytes);
	struct tk_append *appends[1] = { &append };

	(void)tk_log_append(env->log, appends, 1, now_ms);
	return append;
}

static inline struct tk_append
env_append(struct env *env, const struct env_batch *batch)
{
	struct env_bytes bytes = env_batch(batch);
	struct tk_append append = env_append_bytes(env, &bytes, 1700000000000);

	free(bytes.data);
	return append;
}

static inline char *
env_path(const struct env *env, const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", env->data, name);
	return path;
}

static inline struct env_bytes
env_read(const struct env *env, const char *name)
{
	struct env_bytes bytes = { NULL, 0 };
	FILE *file = fopen(env_path(env, name), "r");
	struct stat st;

	if (file == NULL)
		return bytes;
	if (fstat(fileno(file), &st) == 0) {
		bytes.data = malloc((size_t)st.st_size + 1);
		if (bytes.data == NULL)
			abort();
		bytes.len = fread(bytes.data, 1, (size_t)st.st_size, file);
		bytes.data[bytes.len] = '\0';
	}
	(void)fclose(file);
	return bytes;
}

static inline int64_t
env_size(const struct env *env, const char *name)
{
	struct stat st;

	return stat(env_path(env, name), &st) < 0 ? -1 : (int64_t)st.st_size;
}

static inline void
env_write(const struct env *env, const char *name, const void *data, size_t len, int64_t at)
{
	int fd = open(env_path(env, name), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT(pwrite(fd, data, len, (off_t)at) == (ssize_t)len);
	(void)close(fd);
}

/* The published state, as a reader gets it. */
static inline struct tk_part_state
env_state(const struct env *env)
{
	struct tk_part_state state = { 0 };
	struct tk_zone *zone = NULL;

	CU_ASSERT_FATAL(tk_zone_open_readonly(env->run_fd, "zone.0", &zone) == 0);
	CU_ASSERT(tk_zone_read(zone, env->identity.slot, &state, NULL));
	tk_zone_close(&zone);
	return state;
}

#endif
