/*
 * For tests of the metadata: a directory with a journal that the test itself writes and publishes.
 */
#ifndef TK_TESTS_META_ENV_H
#define TK_TESTS_META_ENV_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/settings.h"
#include "log/batch.h"
#include "log/zone.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "os/file.h"

struct meta_env {
	char path[64]; /* data directory 0 and run directory at once */
	int dir_fd;
	struct tk_zone *zone; /* as its writer has it */
	struct tk_part_state state;
	struct tk_arena arena;
	struct tk_settings *settings;
};

static inline void
env_must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "cannot go on: %s\n", what);
	abort();
}

static inline struct tk_settings *
env_settings(struct tk_arena *arena, const char *text)
{
	struct tk_settings_errors errors = { .arena = NULL };
	struct tk_settings *settings = NULL;
	const struct tk_settings_source source = { .prefix = "/tmp", .text = text };

	env_must(tk_settings_load(arena, &source, &settings, &errors) == 0, "settings");
	return settings;
}

static inline void
env_publish(struct meta_env *env)
{
	env->state.high_watermark = env->state.last_stable = env->state.log_end;
	tk_zone_publish(env->zone, TK_META_SLOT, &env->state);
}

static inline void
env_segment_path(const struct meta_env *env, int64_t segment, char path[128])
{
	(void)snprintf(
	    path, 128, "%s/" TK_META_TOPIC "-0/%020lld.log", env->path, (long long)segment);
}

static inline void
env_init(struct meta_env *env)
{
	char path[128];

	*env = (struct meta_env){ .path = "/tmp/takhin-meta-XXXXXX" };
	env_must(mkdtemp(env->path) != NULL, "mkdtemp");
	(void)snprintf(path, sizeof(path), "%s/" TK_META_TOPIC "-0", env->path);
	env_must(mkdir(path, 0700) == 0, "mkdir");
	env_must(tk_file_open(AT_FDCWD, env->path, O_RDONLY | O_DIRECTORY, 0, &env->dir_fd) == 0,
	    "open");
	env_must(tk_zone_open(env->dir_fd, "zone.0", &env->zone) == 0, "zone");
	env_must(tk_zone_reserve(env->zone, TK_META_SLOT) == 0, "reserve");
	tk_arena_init(&env->arena, (size_t)16 << 20);
	env->settings = env_settings(&env->arena, "");
	env->state = (struct tk_part_state){ .incarnation = TK_META_INCARNATION,
		.status = TK_PART_ONLINE,
		.sync_underway = -1,
		.segments_generation = 1 };
	env_publish(env);
}

static inline void
env_free(struct meta_env *env)
{
	char command[128];

	tk_zone_close(&env->zone);
	tk_file_close(&env->dir_fd);
	tk_arena_reset(&env->arena);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", env->path);
	env_must(system(command) == 0, "rm");
}

/* Writes a batch to the end, without publishing it. */
static inline void
env_write(struct meta_env *env, uint8_t *batch, size_t len)
{
	struct tk_batch_header header;
	char path[128];
	int fd;

	tk_be64_put(batch, (uint64_t)env->state.log_end.offset);
	tk_batch_header_read(batch, &header);
	env_segment_path(env, env->state.log_end.segment, path);
	env_must(tk_file_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &fd) == 0, "segment");
	env_must(tk_file_pwrite(fd, batch, len, env->state.log_end.position) == 0, "pwrite");
	tk_file_close(&fd);
	env->state.log_end.offset = tk_batch_last_offset(&header) + 1;
	env->state.log_end.position += (int64_t)len;
}

static inline void
env_append(struct meta_env *env, uint8_t *batch, size_t len)
{
	env_write(env, batch, len);
	env_publish(env);
}

/* The next append begins a segment; zeros bytes are left behind the old one's end. */
static inline void
env_roll(struct meta_env *env, int64_t zeros)
{
	char path[128];

	env_segment_path(env, env->state.log_end.segment, path);
	env_must(truncate(path, env->state.log_end.position + zeros) == 0, "truncate");
	env->state.log_end.segment = env->state.log_end.offset;
	env->state.log_end.position = 0;
	env->state.segments_generation++;
	env_publish(env);
}

static inline struct tk_meta *
env_open(struct meta_env *env)
{
	struct tk_meta *meta = NULL;

	env_must(tk_meta_open(env->zone, env->path, env->settings, &meta) == 0, "tk_meta_open");
	return meta;
}

static inline struct tk_bytes
bytes_of(const char *text)
{
	return (struct tk_bytes){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

#endif
