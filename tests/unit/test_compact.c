/*
 * Compaction against a model, in the middle of every step killed, and with everything that may be
 * wrong with a log.
 *
 * A record is a function of its offset (and a test's number of keys), so what a log should hold is
 * known without remembering it: of each key below the clean point the last record, of the rest all.
 */
#include <signal.h>
#include <sys/mman.h>

#include "base/hash128.h"
#include "base/killpoint.h"
#include "cleaner/cleaner_private.h"
#include "cleaner/offset_map.h"
#include "log/batch_records.h"
#include "log/codec.h"
#include "os/file.h"
#include "test_batch_make.h"
#include "test_log_env.h"

#define NOW  ((int64_t)1700000000000)
#define HOUR ((int64_t)3600000)

/* What the log of a test is like. */
static struct shape {
	int64_t keys;
	bool codecs, tombstones, producers;
} shape;

static uint64_t jobs = 100;

/* ---- the model ---- */

static uint64_t
mixed(int64_t n)
{
	uint64_t state = (uint64_t)n * 2654435761u + 12345;

	(void)make_random(&state);
	(void)make_random(&state);
	return make_random(&state);
}

static int64_t
key_of(int64_t offset)
{
	return (int64_t)(mixed(offset) % (uint64_t)shape.keys);
}

static bool
is_tombstone(int64_t offset)
{
	return shape.tombstones && mixed(offset + 1000003) % 5 == 0;
}

static void
make_model_record(struct make *records, int64_t offset, int64_t delta)
{
	struct make body = { 0 };
	char key[24], value[64];

	(void)snprintf(key, sizeof(key), "key-%lld", (long long)key_of(offset));
	(void)snprintf(value, sizeof(value), "value-%lld-%030d", (long long)offset, 0);
	make_byte(&body, 0);
	make_varint(&body, delta);
	make_varint(&body, delta);
	make_bytes(&body, key, (int64_t)strlen(key));
	make_bytes(&body, value, is_tombstone(offset) ? -1 : (int64_t)strlen(value));
	make_varint(&body, 0);
	make_varint(records, (int64_t)body.len);
	make_put(records, body.bytes, body.len);
	make_free(&body);
}

static int64_t
time_of(int64_t offset)
{
	return NOW - HOUR + offset;
}

/* The batch that begins at offset, as a client sends it. */
static struct env_bytes
model_batch(int64_t offset)
{
	int64_t count = 1 + (int64_t)(mixed(offset + 77) % 6);
	enum tk_codec codec = shape.codecs ? (enum tk_codec)(mixed(offset + 5) % 5) : TK_CODEC_NONE;
	struct tk_batch_header header = { .magic = 2,
		.attributes = (int16_t)codec,
		.last_offset_delta = (int32_t)count - 1,
		.base_timestamp = time_of(offset),
		.max_timestamp = time_of(offset + count - 1),
		.producer_id = -1,
		.producer_epoch = -1,
		.base_sequence = -1,
		.records_count = (int32_t)count };
	struct make plain = { 0 }, packed = { 0 };
	struct env_bytes bytes;

	if (shape.producers) {
		header.producer_id = 900 + offset; /* each its own: all end with their first */
		header.producer_epoch = 0;
		header.base_sequence = 0;
	}
	for (int64_t i = 0; i < count; i++)
		make_model_record(&plain, offset + i, i);
	make_compress(&packed, codec, plain.bytes, plain.len);
	bytes.data = make_batch(&header, &packed);
	bytes.len = TK_BATCH_HEADER_BYTES + packed.len;
	make_seal(bytes.data, bytes.len);
	make_free(&plain);
	make_free(&packed);
	return bytes;
}

static bool
append_until(struct env *env, int64_t end)
{
	while (tk_log_state(env->log)->log_end.offset < end) {
		int64_t offset = tk_log_state(env->log)->log_end.offset;
		struct env_bytes bytes = model_batch(offset);
		struct tk_append append = env_append_bytes(env, &bytes, NOW);

		free(bytes.data);
		if (append.error != 0 || append.duplicate || append.base_offset != offset)
			return false;
	}
	return true;
}

/* ---- what a log holds ---- */

#define OFFSETS_MAX 4096

struct found {
	bool there[OFFSETS_MAX];
	int64_t records, batches, empty, with_horizon;
};

static void
look_at_records(
    const struct tk_batch_header *header, const uint8_t *data, size_t len, struct found *found)
{
	const uint8_t *at = data, *end = data + len;
	struct tk_record record;

	for (int32_t i = 0; i < header->records_count; i++) {
		int64_t offset;
		char text[64];

		at = tk_record_parse(at, end, &record);
		CU_ASSERT_FATAL(at != NULL);
		offset = header->base_offset + record.head.offset_delta;
		CU_ASSERT_FATAL(offset >= 0 && offset < OFFSETS_MAX && !found->there[offset]);
		found->there[offset] = true;
		found->records++;
		(void)snprintf(text, sizeof(text), "key-%lld", (long long)key_of(offset));
		CU_ASSERT(record.key.len == strlen(text) &&
			  memcmp(record.key.data, text, strlen(text)) == 0);
		CU_ASSERT((record.value.data == NULL) == is_tombstone(offset));
		(void)snprintf(text, sizeof(text), "value-%lld-", (long long)offset);
		CU_ASSERT(record.value.data == NULL ||
			  memcmp(record.value.data, text, strlen(text)) == 0);
		CU_ASSERT_EQUAL(
		    header->base_timestamp + record.head.timestamp_delta, time_of(offset));
	}
	CU_ASSERT(at == end);
}

static void
look_at_batch(const struct tk_batch_header *header, const uint8_t *bytes, struct found *found)
{
	size_t size = (size_t)tk_batch_size(header);
	struct tk_inflate *stream;
	static uint8_t plain[1 << 20];
	size_t len = 0;
	ssize_t got;

	CU_ASSERT_EQUAL(header->crc, tk_crc32c(0, bytes + 21, size - 21));
	found->batches++;
	found->empty += header->records_count == 0;
	found->with_horizon += (header->attributes & TK_BATCH_DELETE_HORIZON) != 0;
	if (header->records_count == 0) {
		CU_ASSERT_EQUAL(size, TK_BATCH_HEADER_BYTES);
		return;
	}
	CU_ASSERT_FATAL(tk_inflate_new_memory(header->attributes & TK_BATCH_CODEC_MASK, bytes + 61,
			    size - 61, sizeof(plain), &stream) == 0);
	while ((got = tk_codec_read(stream, plain + len, sizeof(plain) - len)) > 0)
		len += (size_t)got;
	CU_ASSERT_FATAL(got == 0);
	tk_inflate_free(&stream);
	look_at_records(header, plain, len, found);
}

static void
look_at(struct env *env, struct found *found)
{
	struct tk_segment_info *infos;
	int64_t next = 0;
	size_t count;

	memset(found, 0, sizeof(*found));
	CU_ASSERT_FATAL(tk_log_segments(env->log, &infos, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		struct tk_batch_header header;
		struct env_bytes file;
		char name[64];

		(void)snprintf(
		    name, sizeof(name), "orders-3/%020lld.log", (long long)infos[i].base_offset);
		file = env_read(env, name);
		CU_ASSERT(infos[i].index_inode != 0 && infos[i].time_inode != 0);
		CU_ASSERT_FATAL((int64_t)file.len >= infos[i].size_bytes);
		CU_ASSERT(infos[i].base_offset >= next);
		for (int64_t at = 0; at < infos[i].size_bytes; at += tk_batch_size(&header)) {
			tk_batch_header_read(file.data + at, &header);
			CU_ASSERT_FATAL(tk_batch_header_check(&header) == 0);
			CU_ASSERT(header.base_offset >= next);
			next = tk_batch_last_offset(&header) + 1;
			look_at_batch(&header, file.data + at, found);
		}
		free(file.data);
	}
	free(infos);
}

static int64_t
last_of_key(int64_t key, int64_t below)
{
	while (--below >= 0 && key_of(below) != key)
		;
	return below;
}

/* Below point of each key the last one alone; tombstones there as told; the rest is whole. */
static void
expect_compacted(struct env *env, int64_t point, bool with_tombstones)
{
	int64_t end = tk_log_state(env->log)->log_end.offset;
	struct found *found = malloc(sizeof(*found));
	int64_t wrong = 0;

	CU_ASSERT_FATAL(found != NULL);
	look_at(env, found);
	for (int64_t offset = 0; offset < end; offset++) {
		bool wanted = offset >= point || last_of_key(key_of(offset), point) == offset;

		if (offset < point && is_tombstone(offset) && !with_tombstones)
			wanted = false;
		wrong += found->there[offset] != wanted;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	free(found);
}

/* Whatever was or was not done: nothing a reader needs is missing. */
static void
expect_complete(struct env *env)
{
	int64_t end = tk_log_state(env->log)->log_end.offset;
	struct found *found = malloc(sizeof(*found));

	CU_ASSERT_FATAL(found != NULL);
	look_at(env, found);
	for (int64_t key = 0; key < shape.keys; key++) {
		int64_t last = last_of_key(key, end);

		CU_ASSERT(last < 0 || found->there[last] || is_tombstone(last));
	}
	free(found);
}

/* ---- compacting ---- */

static struct tk_compact_rules
rules_at(struct env *env, int64_t now_ms)
{
	return (struct tk_compact_rules){ .first_dirty = TK_MAX(tk_log_clean_point(env->log), 0),
		.end = tk_log_state(env->log)->log_end.segment,
		.now_ms = now_ms,
		.delete_retention_ms = HOUR,
		.producer_expiration_ms = 24 * HOUR,
		.segment_bytes = env->config.segment_bytes,
		.index_interval_bytes = env->config.index_interval_bytes,
		.map_bytes = 1 << 20,
		.batch_bytes_max = 1 << 20 };
}

static int
swap_group(struct env *env, const struct tk_compact *compact)
{
	struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX];
	size_t count = tk_compact_group(compact, sources);

	return tk_log_swap(env->log, jobs, sources, count);
}

static int
compact_with(struct env *env, const struct tk_compact_rules *rules)
{
	enum tk_compact_step step = TK_COMPACT_MORE;
	struct tk_compact *compact;
	struct tk_segment_info *infos;
	size_t count;
	int dir_fd = open(env->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	CU_ASSERT_FATAL(dir_fd >= 0);
	rc = tk_log_segments(env->log, &infos, &count);
	CU_ASSERT_FATAL(rc == 0);
	rc = tk_compact_new(dir_fd, "orders-3", ++jobs, infos, count, rules, &compact);
	free(infos);
	CU_ASSERT_FATAL(rc == 0);
	while (rc == 0 && step != TK_COMPACT_DONE) {
		rc = tk_compact_step(compact, &step);
		if (rc == 0 && step == TK_COMPACT_GROUP)
			rc = swap_group(env, compact);
	}
	if (rc == 0)
		rc = tk_log_set_clean_point(env->log, tk_compact_point(compact));
	tk_compact_free(&compact);
	(void)close(dir_fd);
	return rc;
}

static int
compact_at(struct env *env, int64_t now_ms)
{
	const struct tk_compact_rules rules = rules_at(env, now_ms);

	return compact_with(env, &rules);
}

static int
count_names(const struct env *env, const char *suffix)
{
	DIR *dir = opendir(env_path(env, "orders-3"));
	const struct dirent *entry;
	int count = 0;

	CU_ASSERT_FATAL(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name), n = strlen(suffix);

		count += len > n && strcmp(entry->d_name + len - n, suffix) == 0;
	}
	(void)closedir(dir);
	return count;
}

static void
begin(struct env *env, struct shape wanted)
{
	shape = wanted;
	env_init(env);
	env->config.segment_bytes = 3000;
	env->config.index_interval_bytes = 400;
	env->config.file_delete_delay_ms = 0;
	env_open(env);
}

/* ---- tests ---- */

static void
test_hash(void)
{
	const struct tk_hash128 key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	const uint8_t one[1] = { 0 };
	struct tk_hash128 hash = tk_hash128(&key, "", 0);

	CU_ASSERT(hash.low == 0xe6a825ba047f81a3u && hash.high == 0x930255c71472f66du);
	hash = tk_hash128(&key, one, 1);
	CU_ASSERT(hash.low == 0x44af996bd8c187dau && hash.high == 0x45fc229b11597634u);
}

static void
test_map(void)
{
	struct tk_offset_map map;
	int64_t stored = 0;

	CU_ASSERT_FATAL(tk_offset_map_init(&map, 24000, 1000000) == 0);
	for (int64_t i = 0; i < 2000; i++) {
		int rc = tk_offset_map_put(&map, tk_offset_map_key(&map, &i, sizeof(i)), i * 3);

		CU_ASSERT(rc == 0 || rc == -ENOSPC);
		stored += rc == 0;
	}
	CU_ASSERT(stored > 850 && stored < 950);
	for (int64_t i = 0; i < 2000; i++)
		CU_ASSERT_EQUAL(tk_offset_map_get(&map, tk_offset_map_key(&map, &i, sizeof(i))),
		    i < stored ? i * 3 : -1);
	for (int64_t i = 0; i < stored;
	     i++) /* what is in it fits, and an earlier offset changes nothing */
		CU_ASSERT(tk_offset_map_put(&map, tk_offset_map_key(&map, &i, sizeof(i)), 0) == 0);
	for (int64_t i = 1; i < stored; i++)
		CU_ASSERT_EQUAL(
		    tk_offset_map_get(&map, tk_offset_map_key(&map, &i, sizeof(i))), i * 3);
	CU_ASSERT(tk_offset_map_get(&map, tk_offset_map_producer(&map, 5)) == -1);
	tk_offset_map_free(&map);
}

static void
rounds(struct shape wanted, int64_t step)
{
	struct env env;
	int64_t now = NOW;

	begin(&env, wanted);
	for (int64_t end = step; end <= 6 * step; end += step) {
		CU_ASSERT_FATAL(append_until(&env, end));
		CU_ASSERT_EQUAL(compact_at(&env, now), 0);
		CU_ASSERT_EQUAL(
		    tk_log_clean_point(env.log), tk_log_state(env.log)->log_end.segment);
		expect_compacted(&env, tk_log_clean_point(env.log), true);
		if (end == 3 * step) { /* the next writer finds all this */
			env_close(&env);
			env_open(&env);
			CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_ZONE);
			expect_compacted(&env, tk_log_clean_point(env.log), true);
		}
		CU_ASSERT_EQUAL(count_names(&env, ".cleaned"), 0);
		CU_ASSERT_EQUAL(count_names(&env, ".swap"), 0);
	}
	env_stop(&env);
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	expect_compacted(&env, tk_log_clean_point(env.log), true);
	CU_ASSERT(tk_log_clean_point(env.log) > 0);
	env_free(&env);
}

static void
test_rounds(void)
{
	rounds((struct shape){ .keys = 40 }, 120);
	rounds((struct shape){ .keys = 1 }, 100);
	rounds((struct shape){ .keys = 100000 }, 100);
	rounds((struct shape){ .keys = 40, .codecs = true }, 150);
	rounds((struct shape){ .keys = 60, .codecs = true, .tombstones = true }, 150);
}

/* Tombstones stay for delete.retention.ms from the pass that saw them first. */
static void
test_tombstones(void)
{
	struct found *found = malloc(sizeof(*found));
	int64_t point;
	struct env env;

	CU_ASSERT_FATAL(found != NULL);
	begin(&env, (struct shape){ .keys = 30, .codecs = true, .tombstones = true });
	CU_ASSERT_FATAL(append_until(&env, 400));
	CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
	point = tk_log_clean_point(env.log);
	expect_compacted(&env, point, true);
	look_at(&env, found);
	CU_ASSERT(found->with_horizon > 0);
	CU_ASSERT_EQUAL(compact_at(&env, NOW + HOUR - 1), 0);
	expect_compacted(&env, point, true);
	CU_ASSERT_EQUAL(compact_at(&env, NOW + HOUR), 0);
	expect_compacted(&env, point, false);
	free(found);
	env_free(&env);
}

/* A producer's last batch stays, empty, until the producer is forgotten. */
static void
test_producers(void)
{
	struct found *found = malloc(sizeof(*found));
	struct env_bytes bytes;
	struct tk_append append;
	struct env env;

	CU_ASSERT_FATAL(found != NULL);
	begin(&env, (struct shape){ .keys = 3, .producers = true, .codecs = true });
	CU_ASSERT_FATAL(append_until(&env, 300));
	CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
	look_at(&env, found);
	CU_ASSERT(found->empty > 50);
	env_close(&env);
	env_write_boot(&env, ENV_BOOT_2); /* recovered: from snapshots and batches alone */
	env_run("rm -f '%s'/orders-3/*.snapshot%s", env.data, "");
	env_run("rm -f '%s'/recovery-point-offset-checkpoint%s", env.data, "");
	env_open(&env);
	bytes = model_batch(0);
	append = env_append_bytes(&env, &bytes, NOW);
	CU_ASSERT(append.error == 0 && append.duplicate && append.base_offset == 0);
	free(bytes.data);
	CU_ASSERT_EQUAL(tk_log_set_clean_point(env.log, 0), 0);
	CU_ASSERT_EQUAL(compact_at(&env, NOW + 25 * HOUR), 0);
	look_at(&env, found);
	CU_ASSERT_EQUAL(found->empty, 0);
	free(found);
	env_free(&env);
}

/* Makes the batch at position of a segment one of a transaction. */
static struct tk_batch_header
make_transactional(struct env *env, const char *name, int64_t position)
{
	struct env_bytes file = env_read(env, name);
	struct tk_batch_header header;
	uint8_t *batch = file.data + position;

	CU_ASSERT_FATAL(file.data != NULL && (int64_t)file.len > position);
	tk_be16_put(batch + 21, (uint16_t)(tk_be16_get(batch + 21) | TK_BATCH_TRANSACTIONAL));
	tk_batch_header_read(batch, &header);
	make_seal(batch, (size_t)tk_batch_size(&header));
	tk_batch_header_read(batch, &header);
	env_write(env, name, batch, (size_t)tk_batch_size(&header), position);
	free(file.data);
	return header;
}

/* What was aborted goes, and shadows nothing; what was committed stays; the index stays. */
static void
test_aborted(void)
{
	struct found *found = malloc(sizeof(*found));
	struct tk_batch_header aborted, committed;
	uint8_t entry[34] = { 0 };
	struct env env;

	CU_ASSERT_FATAL(found != NULL);
	begin(&env, (struct shape){ .keys = 100000, .producers = true });
	CU_ASSERT_FATAL(append_until(&env, 200));
	aborted = make_transactional(&env, "orders-3/00000000000000000000.log", 0);
	committed =
	    make_transactional(&env, "orders-3/00000000000000000000.log", tk_batch_size(&aborted));
	tk_be64_put(entry + 2, (uint64_t)aborted.producer_id);
	tk_be64_put(entry + 18, 150); /* the marker's offset */
	env_write(&env, "orders-3/00000000000000000000.txnindex", entry, sizeof(entry), 0);
	CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
	look_at(&env, found);
	for (int64_t offset = 0; offset < tk_log_state(env.log)->log_end.offset; offset++)
		CU_ASSERT(found->there[offset] == (offset >= committed.base_offset ||
						      offset > tk_batch_last_offset(&aborted)));
	CU_ASSERT_EQUAL(found->empty, 1); /* its producer's last */
	CU_ASSERT_EQUAL(env_size(&env, "orders-3/00000000000000000000.txnindex"), 34);
	env_free(&env);
	free(found);
	env_free(&env);
}

/* Of a key whose last record was aborted the one before it stays. */
static void
test_aborted_last(void)
{
	struct found *found = malloc(sizeof(*found));
	struct tk_batch_header header, last;
	uint8_t entry[34] = { 0 };
	int64_t position = 0, at = 0;
	struct env_bytes file;
	struct env env;

	CU_ASSERT_FATAL(found != NULL);
	begin(&env, (struct shape){ .keys = 1 });
	env.config.segment_bytes = 100000;
	tk_log_configure(env.log, &env.config);
	CU_ASSERT_FATAL(append_until(&env, 60));
	CU_ASSERT_EQUAL(tk_log_roll(env.log, NOW), 0);
	file = env_read(&env, "orders-3/00000000000000000000.log");
	for (; at < (int64_t)file.len; at += tk_batch_size(&header)) {
		tk_batch_header_read(file.data + at, &header);
		position = at;
	}
	free(file.data);
	last = make_transactional(&env, "orders-3/00000000000000000000.log", position);
	tk_be64_put(entry + 2, (uint64_t)last.producer_id);
	tk_be64_put(entry + 10, (uint64_t)last.base_offset);
	tk_be64_put(entry + 18, (uint64_t)tk_batch_last_offset(&last) + 1);
	env_write(&env, "orders-3/00000000000000000000.txnindex", entry, sizeof(entry), 0);
	CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
	look_at(&env, found);
	CU_ASSERT_EQUAL(found->records, 1);
	CU_ASSERT(found->there[last.base_offset - 1]);
	free(found);
	env_free(&env);
}

/* A map that takes some of the segments: the rest stays dirty, and is cleaned next time. */
static void
test_map_overflow(void)
{
	struct tk_compact_rules rules;
	int64_t point = 0;
	struct env env;

	begin(&env, (struct shape){ .keys = 100000 });
	CU_ASSERT_FATAL(append_until(&env, 400));
	rules = rules_at(&env, NOW);
	rules.map_bytes = 24 * 100;
	for (int i = 0; i < 20 && point < rules.end; i++) {
		rules.first_dirty = point;
		CU_ASSERT_EQUAL_FATAL(compact_with(&env, &rules), 0);
		CU_ASSERT_FATAL(tk_log_clean_point(env.log) > point);
		CU_ASSERT(tk_log_clean_point(env.log) <= point + 90);
		point = tk_log_clean_point(env.log);
		expect_compacted(&env, point, true);
	}
	CU_ASSERT_EQUAL(point, rules.end);
	env_free(&env);
}

static void
test_map_too_small(void)
{
	struct tk_compact_rules rules;
	struct env env;

	begin(&env, (struct shape){ .keys = 100000 });
	CU_ASSERT_FATAL(append_until(&env, 200));
	rules = rules_at(&env, NOW);
	rules.map_bytes = 24 * 16;
	CU_ASSERT_EQUAL(compact_with(&env, &rules), -ENOSPC);
	CU_ASSERT_EQUAL(count_names(&env, ".cleaned"), 0);
	expect_compacted(&env, 0, true);
	env_free(&env);
}

static void
test_damage(void)
{
	struct env env;
	uint8_t byte;
	struct env_bytes file;

	begin(&env, (struct shape){ .keys = 10 });
	CU_ASSERT_FATAL(append_until(&env, 200));
	file = env_read(&env, "orders-3/00000000000000000000.log");
	byte = file.data[100] ^ 0xff;
	free(file.data);
	env_write(&env, "orders-3/00000000000000000000.log", &byte, 1, 100);
	CU_ASSERT_EQUAL(compact_at(&env, NOW), -EBADMSG);
	CU_ASSERT_EQUAL(count_names(&env, ".cleaned"), 0);
	CU_ASSERT_EQUAL(tk_log_clean_point(env.log), -1);
	env_free(&env);
}

/* What is too large to be looked at stays whole, and so do the keys it shadows. */
static void
test_large_batch(void)
{
	struct tk_compact_rules rules;
	struct found *found = malloc(sizeof(*found));
	struct env env;

	CU_ASSERT_FATAL(found != NULL);
	begin(&env, (struct shape){ .keys = 5, .codecs = true });
	CU_ASSERT_FATAL(append_until(&env, 300));
	rules = rules_at(&env, NOW);
	rules.batch_bytes_max = 250;
	CU_ASSERT_EQUAL(compact_with(&env, &rules), 0);
	look_at(&env, found);
	CU_ASSERT(found->records > 20 && found->records < 290);
	expect_complete(&env);
	free(found);
	env_free(&env);
}

/* A swap that does not fit the log any more changes nothing. */
static void
test_refused(void)
{
	struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX + 1];
	struct tk_segment_info *infos;
	uint64_t generation;
	struct env env;
	size_t count;

	begin(&env, (struct shape){ .keys = 10 });
	CU_ASSERT_FATAL(append_until(&env, 300));
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0 && count > 4);
	generation = tk_log_state(env.log)->segments_generation;
	memset(sources, 0, sizeof(sources));
	for (size_t i = 0; i < count; i++)
		sources[i] = (struct tk_cleaned_source){ infos[i].base_offset, infos[i].log_inode };
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 0), -EINVAL);
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, TK_CLEANED_SOURCES_MAX + 1), -EINVAL);
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 2), -ESTALE); /* no such files */
	env_write(&env, "orders-3/00000000000000000000.log.7.cleaned", "", 0, 0);
	env_write(&env, "orders-3/00000000000000000000.index.7.cleaned", "", 0, 0);
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 2), -ESTALE); /* not all of them */
	env_write(&env, "orders-3/00000000000000000000.timeindex.7.cleaned", "", 0, 0);
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, count), -ESTALE); /* the active one */
	sources[1].log_inode++;
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 2), -ESTALE);
	sources[1] = sources[2];
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 2), -ESTALE); /* with a gap */
	CU_ASSERT_EQUAL(tk_log_state(env.log)->segments_generation, generation);
	expect_compacted(&env, 0, true);
	CU_ASSERT_FATAL(tk_log_advance_start(env.log, infos[1].base_offset) == 0);
	CU_ASSERT_EQUAL(tk_log_swap(env.log, 7, sources, 1), -ESTALE); /* gone meanwhile */
	CU_ASSERT_EQUAL(tk_log_set_clean_point(env.log, 100000), -EINVAL);
	free(infos);
	env_free(&env);
}

/* ---- failing renames ---- */

static int fail_at;

static int
fail_rename(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)path;
	(void)fd;
	(void)bytes;
	return op == TK_FILE_RENAME && --fail_at == 0 ? -EIO : 0;
}

static void
test_failing_renames(void)
{
	for (int at = 1; at < 30; at += 2) {
		struct env env;
		int rc;

		begin(&env, (struct shape){ .keys = 10 });
		CU_ASSERT_FATAL(append_until(&env, 120));
		fail_at = at;
		tk_file_fault = fail_rename;
		rc = compact_at(&env, NOW);
		tk_file_fault = NULL;
		CU_ASSERT(rc == 0 || rc == -EIO);
		CU_ASSERT(rc == 0 || at < 29);
		CU_ASSERT_EQUAL(tk_log_state(env.log)->status, TK_PART_ONLINE);
		expect_complete(&env);
		CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
		expect_compacted(&env, tk_log_clean_point(env.log), true);
		CU_ASSERT_FATAL(append_until(&env, 200));
		env_free(&env);
	}
}

/* ---- deaths ---- */

static void
live(struct env *env, const char *killpoint)
{
	tk_killpoint_arm(killpoint);
	env_open(env);
	for (int64_t end = 100; end <= 300; end += 100)
		if (!append_until(env, end) || compact_at(env, NOW) < 0)
			_exit(2);
	_exit(0);
}

static bool
die_at(const char *point, int visits, bool trusted)
{
	char killpoint[64];
	int status = 0;
	struct env env;
	pid_t pid;

	(void)snprintf(killpoint, sizeof(killpoint), "%s:%d", point, visits);
	env_init(&env);
	env.config.segment_bytes = 3000;
	env.config.index_interval_bytes = 400;
	pid = fork();
	if (pid == 0)
		live(&env, killpoint);
	CU_ASSERT_FATAL(pid > 0 && waitpid(pid, &status, 0) == pid);
	CU_ASSERT(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	if (!trusted)
		env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	expect_complete(&env);
	CU_ASSERT_EQUAL(count_names(&env, ".swap"), 0);
	CU_ASSERT_EQUAL(count_names(&env, ".cleaned"), 0);
	CU_ASSERT_FATAL(append_until(&env, 320));
	CU_ASSERT_EQUAL(compact_at(&env, NOW), 0);
	expect_compacted(&env, tk_log_clean_point(env.log), true);
	env_free(&env);
	return status != 0;
}

static void
test_deaths(void)
{
	static const char *const points[] = { "compact_opened", "compact_copied", "compact_synced",
		"swap_published", "swap_named", "swap_source_deleted", "swap_renamed",
		"swap_synced", "swap_done" };

	shape = (struct shape){ .keys = 25, .codecs = true };
	for (size_t i = 0; i < TK_COUNT_OF(points); i++)
		for (int visits = 1; visits <= 7; visits++) {
			bool died = die_at(points[i], visits, visits % 2 == 0);

			CU_ASSERT(died || visits > 1);
		}
}

/* ---- which partition ---- */

static void
test_choice(void)
{
	const struct tk_segment_info infos[] = {
		{ .base_offset = 10, .size_bytes = 300, .max_timestamp = NOW - 5 * HOUR },
		{ .base_offset = 20, .size_bytes = 100, .max_timestamp = NOW - 3 * HOUR },
		{ .base_offset = 30, .size_bytes = 100, .max_timestamp = NOW - HOUR },
		{ .base_offset = 40, .size_bytes = 900, .max_timestamp = -1 },
	};
	struct tk_compaction_rules rules = { .clean_point = 20,
		.log_start = 10,
		.bound = 40,
		.now_ms = NOW,
		.max_lag_ms = INT64_MAX,
		.min_ratio = 500000,
		.oldest_dirty = -1 };
	struct tk_compaction_part part = tk_compaction_weigh(&rules, infos, 4), other;

	CU_ASSERT(part.clean_bytes == 300 && part.dirty_bytes == 200 && part.end == 40);
	CU_ASSERT(part.first_dirty == 20 && !part.worth_it);
	rules.min_ratio = 390000;
	CU_ASSERT(tk_compaction_weigh(&rules, infos, 4).worth_it);
	rules.clean_point = -1;
	other = tk_compaction_weigh(&rules, infos, 4);
	CU_ASSERT(other.worth_it && other.first_dirty == 10 && other.dirty_bytes == 500);
	CU_ASSERT(tk_compaction_before(&other, &part) && !tk_compaction_before(&part, &other));
	rules.min_lag_ms = 2 * HOUR; /* the third is too young */
	CU_ASSERT(tk_compaction_weigh(&rules, infos, 4).end == 30);
	rules.min_lag_ms = 6 * HOUR;
	CU_ASSERT(!tk_compaction_weigh(&rules, infos, 4).worth_it);
	rules.min_lag_ms = 0;
	rules.bound = 29; /* readers see less */
	CU_ASSERT(tk_compaction_weigh(&rules, infos, 4).end == 20);
	rules.bound = 40;
	rules.clean_point = 40; /* nothing is dirty */
	rules.min_ratio = 0;
	CU_ASSERT(!tk_compaction_weigh(&rules, infos, 4).worth_it);
	rules.clean_point = 30;
	rules.min_ratio = TK_CONFIG_MILLIONTHS;
	rules.max_lag_ms = HOUR;
	rules.oldest_dirty = NOW - HOUR + 1;
	CU_ASSERT(!tk_compaction_weigh(&rules, infos, 4).worth_it);
	rules.oldest_dirty = NOW - HOUR;
	part = tk_compaction_weigh(&rules, infos, 4);
	CU_ASSERT(part.worth_it && part.overdue && tk_compaction_before(&part, &other));
	CU_ASSERT(!tk_compaction_weigh(&rules, infos, 1).worth_it);
}

TK_UNIT_MAIN("compact", { "hash", test_hash }, { "map", test_map }, { "choice", test_choice },
    { "rounds", test_rounds }, { "tombstones", test_tombstones }, { "producers", test_producers },
    { "aborted", test_aborted }, { "aborted last", test_aborted_last },
    { "map overflow", test_map_overflow }, { "map too small", test_map_too_small },
    { "damage", test_damage }, { "large batch", test_large_batch }, { "refused", test_refused },
    { "failing renames", test_failing_renames }, { "deaths", test_deaths })
