/*
 * Idempotent producers: sequences, duplicates, what of it survives what.
 */
#include "log/producers.h"
#include "test_log_env.h"

static struct tk_append
produce(struct env *env, int64_t id, int16_t epoch, int32_t sequence, int32_t records)
{
	return env_append(env, &(struct env_batch){ .producer_id = id,
				   .epoch = epoch,
				   .sequence = sequence,
				   .records = records,
				   .value_bytes = 20 });
}

#define EXPECT(append, code, offset, dup)                                                          \
	do {                                                                                       \
		struct tk_append settled = (append);                                               \
		CU_ASSERT_EQUAL(settled.error, (code));                                            \
		CU_ASSERT_EQUAL(settled.base_offset, (offset));                                    \
		CU_ASSERT_EQUAL(settled.duplicate, (dup));                                         \
	} while (0)

static void
test_sequences(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	EXPECT(produce(&env, 9, 0, 17, 3), 0, 0, false); /* an unknown producer: any sequence */
	EXPECT(produce(&env, 9, 0, 20, 2), 0, 3, false);
	EXPECT(produce(&env, 9, 0, 20, 2), 0, 3, true);
	EXPECT(produce(&env, 9, 0, 17, 3), 0, 0, true);
	EXPECT(produce(&env, 9, 0, 17, 2), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 9, 0, 23, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 9, 1, 5, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 9, 1, 0, 1), 0, 5, false);
	EXPECT(produce(&env, 9, 0, 22, 1), TK_ERR_INVALID_PRODUCER_EPOCH, -1, false);
	EXPECT(produce(&env, 10, 0, 0, 1), 0, 6, false);
	EXPECT(produce(&env, 9, 1, 1, 1), 0, 7, false);
	CU_ASSERT(env_state(&env).log_end.offset == 8);
	env_free(&env);
}

static void
test_wrap(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	EXPECT(produce(&env, 9, 0, INT32_MAX - 1, 2), 0, 0, false);
	EXPECT(produce(&env, 9, 0, 0, 1), 0, 2, false);
	EXPECT(produce(&env, 9, 0, INT32_MAX - 1, 2), 0, 0, true);
	EXPECT(produce(&env, 9, 0, 1, 1), 0, 3, false);
	EXPECT(produce(&env, 11, 0, INT32_MAX - 1, 4), 0, 4, false); /* round within a batch */
	EXPECT(produce(&env, 11, 0, INT32_MAX - 1, 4), 0, 4, true);
	EXPECT(produce(&env, 11, 0, 2, 1), 0, 8, false);
	env_free(&env);
}

static void
test_five(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 7; i++)
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, false);
	EXPECT(produce(&env, 9, 0, 1, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	for (int32_t i = 2; i < 7; i++)
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, true);
	env_free(&env);
}

/* The same batch twice in one turn: the second gets the first one's offsets. */
static void
test_same_turn(void)
{
	struct tk_append appends[6], *pointers[6];
	struct env_bytes bytes[6];
	struct env env;
	static const int32_t sequences[6] = { 0, 1, 0, 2, 1, 4 };
	static const int64_t offsets[6] = { 0, 1, 0, 2, 1, -1 };

	env_init(&env);
	env_open(&env);
	for (size_t i = 0; i < 6; i++) {
		bytes[i] =
		    env_batch(&(struct env_batch){ .producer_id = 3, .sequence = sequences[i] });
		appends[i] = env_append_of(&bytes[i]);
		pointers[i] = &appends[i];
	}
	CU_ASSERT(tk_log_append(env.log, pointers, 6, 1) == 3);
	for (size_t i = 0; i < 6; i++) {
		CU_ASSERT(appends[i].base_offset == offsets[i]);
		CU_ASSERT(appends[i].duplicate == (i == 2 || i == 4));
		CU_ASSERT(appends[i].error == (i == 5 ? TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER : 0));
		free(bytes[i].data);
	}
	env_free(&env);
}

static void
append_bulk(struct env *env, int count)
{
	for (int i = 0; i < count; i++)
		CU_ASSERT(env_append(env, &(struct env_batch){ .value_bytes = 500000 }).error == 0);
}

/* The death of a writer: all five batches are known after, by headers or by our file. */
static void
test_restart(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 7; i++)
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, false);
	env_close(&env);
	env_open(&env);
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_ZONE);
	EXPECT(produce(&env, 9, 0, 2, 1), 0, 2, true);
	EXPECT(produce(&env, 9, 0, 8, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 9, 0, 7, 1), 0, 7, false);
	append_bulk(&env, 10); /* past the next saving */
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	append_bulk(&env, 10);
	EXPECT(produce(&env, 10, 0, 0, 1), 0, 28, false);
	env_close(&env);
	env_run("test -e %s/producers/zone.0.5%s", env.run, "");
	env_open(&env);
	EXPECT(produce(&env, 9, 0, 3, 1), 0, 3, true);
	EXPECT(produce(&env, 9, 0, 8, 1), 0, 29, false);
	EXPECT(produce(&env, 10, 0, 0, 1), 0, 28, true);
	env_free(&env);
}

/* A clean stop and another boot: Kafka's snapshot, the last batch of each. */
static void
test_clean_restart(void)
{
	struct env_bytes snapshot;
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 3; i++)
		EXPECT(produce(&env, 9, 4, i * 2, 2), 0, i * 2, false);
	EXPECT(produce(&env, 2, 0, 0, 1), 0, 6, false);
	env_stop(&env);
	snapshot = env_read(&env, "orders-3/00000000000000000007.snapshot");
	CU_ASSERT_FATAL(snapshot.len == 10 + 2 * 46);
	CU_ASSERT(tk_be16_get(snapshot.data) == 1);
	CU_ASSERT(
	    tk_be32_get(snapshot.data + 2) == tk_crc32c(0, snapshot.data + 6, snapshot.len - 6));
	CU_ASSERT(tk_be32_get(snapshot.data + 6) == 2);
	CU_ASSERT(tk_be64_get(snapshot.data + 10) == 2);
	CU_ASSERT(tk_be64_get(snapshot.data + 56) == 9);
	CU_ASSERT(tk_be16_get(snapshot.data + 64) == 4);          /* epoch */
	CU_ASSERT(tk_be32_get(snapshot.data + 66) == 5);          /* last sequence */
	CU_ASSERT(tk_be64_get(snapshot.data + 70) == 5);          /* last offset */
	CU_ASSERT(tk_be32_get(snapshot.data + 78) == 1);          /* offset delta */
	CU_ASSERT(tk_be64_get(snapshot.data + 82) == 0);          /* timestamp */
	CU_ASSERT(tk_be32_get(snapshot.data + 90) == UINT32_MAX); /* coordinator epoch */
	CU_ASSERT(tk_be64_get(snapshot.data + 94) == UINT64_MAX); /* no transaction */
	free(snapshot.data);
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_SIZE);
	EXPECT(produce(&env, 9, 4, 4, 2), 0, 4, true);
	EXPECT(produce(&env, 9, 4, 7, 2), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 9, 4, 5, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	EXPECT(produce(&env, 2, 0, 1, 1), 0, 7, false);
	env_free(&env);
}

/* Every proper prefix and every changed byte of either file is refused. */
static void
test_damaged_files(void)
{
	struct tk_batch_header header = {
		.producer_id = 7, .base_sequence = 3, .records_count = 1
	};
	const struct tk_producers_place place = { .incarnation = 1, .offset = 2 };
	struct tk_producers producers = { 0 }, other = { 0 };
	struct tk_producers_place found;
	uint8_t *data[2];
	size_t len[2];

	CU_ASSERT(tk_producers_apply(&producers, &header) == 0);
	tk_producers_commit(&producers);
	CU_ASSERT(tk_producers_encode_snapshot(&producers, &data[0], &len[0]) == 0);
	CU_ASSERT(tk_producers_encode(&producers, &place, &data[1], &len[1]) == 0);
	for (size_t i = 0; i < len[0]; i++) {
		uint8_t *copy = malloc(i + 1);

		memcpy(copy, data[0], i);
		CU_ASSERT(tk_producers_decode_snapshot(&other, copy, i) == -EBADMSG);
		data[0][i] ^= 4;
		CU_ASSERT(tk_producers_decode_snapshot(&other, data[0], len[0]) == -EBADMSG);
		data[0][i] ^= 4;
		free(copy);
	}
	for (size_t i = 0; i < len[1]; i++) {
		uint8_t *copy = malloc(i + 1);

		memcpy(copy, data[1], i);
		CU_ASSERT(tk_producers_decode(&other, copy, i, &found) == -EBADMSG);
		data[1][i] ^= 4;
		CU_ASSERT(tk_producers_decode(&other, data[1], len[1], &found) == -EBADMSG);
		data[1][i] ^= 4;
		free(copy);
	}
	CU_ASSERT(tk_producers_decode(&other, data[1], len[1], &found) == 0);
	CU_ASSERT(found.offset == 2 && other.map.count == 1);
	free(data[0]);
	free(data[1]);
	tk_producers_free(&producers);
	tk_producers_free(&other);
}

static void
test_rollback(void)
{
	struct tk_batch_header header = {
		.producer_id = 7, .base_sequence = 0, .records_count = 1
	};
	struct tk_producers producers = { 0 };
	struct tk_producer_batch duplicate;

	CU_ASSERT(tk_producers_apply(&producers, &header) == 0);
	tk_producers_commit(&producers);
	for (int32_t i = 1; i < 9; i++) {
		header.base_sequence = i;
		header.base_offset = i;
		CU_ASSERT(tk_producers_check(&producers, &header, &duplicate) == TK_SEQUENCE_NEXT);
		CU_ASSERT(tk_producers_apply(&producers, &header) == 0);
	}
	header.producer_id = 8;
	CU_ASSERT(tk_producers_apply(&producers, &header) == 0);
	tk_producers_rollback(&producers);
	CU_ASSERT(producers.map.count == 1);
	header.producer_id = 7;
	header.base_sequence = 0;
	CU_ASSERT(tk_producers_check(&producers, &header, &duplicate) == TK_SEQUENCE_DUPLICATE);
	header.base_sequence = 1;
	CU_ASSERT(tk_producers_check(&producers, &header, &duplicate) == TK_SEQUENCE_NEXT);
	tk_producers_free(&producers);
}

static size_t
saved_size(const struct env *env)
{
	char path[160];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/producers/zone.0.5", env->run);
	return stat(path, &st) < 0 ? 0 : (size_t)st.st_size;
}

static void
fill(struct env *env, int mib)
{
	for (int i = 0; i < mib; i++)
		CU_ASSERT(env_append(
			      env, &(struct env_batch){ .producer_id = -1, .value_bytes = 1000000 })
			      .error == 0);
}

/* Without any producer as well: or the first append after a death would walk all of a segment. */
static void
test_none_is_saved(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	fill(&env, 1);
	CU_ASSERT(saved_size(&env) == 0); /* little to walk: no file */
	env_close(&env);
	env_open(&env);
	fill(&env, 1);
	CU_ASSERT(saved_size(&env) == 0);
	fill(&env, 8);
	CU_ASSERT(saved_size(&env) == 0);
	fill(&env, 30);
	CU_ASSERT(saved_size(&env) == TK_PRODUCERS_HEAD_BYTES);
	env_free(&env);
}

/* Much to walk and nothing saved: at the start, not in the first append. */
static void
test_long_walk(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 6; i++)
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, false);
	fill(&env, 40);
	env_close(&env);
	env_open(&env);
	CU_ASSERT(strstr(env.notes, "read the producers of") == NULL); /* saved near the end */
	env_close(&env);
	env_run("rm %s/producers/zone.0.5%s", env.run, "");
	env_open(&env);
	CU_ASSERT(strstr(env.notes, "read the producers of \"orders-3\" from its batches") != NULL);
	CU_ASSERT(tk_logdir_producer_totals(env.dir).count == 1); /* before any append */
	EXPECT(produce(&env, 9, 0, 0, 1), TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1, false);
	for (int32_t i = 1; i < 6; i++)
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, true);
	EXPECT(produce(&env, 9, 0, 6, 1), 0, 46, false);
	/* Stopped cleanly: a snapshot is at the end, and nothing is walked. */
	env_stop(&env);
	env.notes[0] = '\0';
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	CU_ASSERT(strstr(env.notes, "read the producers of") == NULL);
	EXPECT(produce(&env, 9, 0, 6, 1), 0, 46, true);
	env_free(&env);
}

static bool
has_snapshot(const struct env *env, int64_t offset)
{
	char path[192];

	(void)snprintf(
	    path, sizeof(path), "%s/orders-3/%020lld.snapshot", env->data, (long long)offset);
	return access(path, F_OK) == 0;
}

static void
make_stray(const struct env *env, int64_t offset)
{
	char path[192];
	FILE *file;

	(void)snprintf(
	    path, sizeof(path), "%s/orders-3/%020lld.snapshot", env->data, (long long)offset);
	file = fopen(path, "w");
	CU_ASSERT_FATAL(file != NULL);
	(void)fclose(file);
}

/* One for each segment and the newest behind the active one's base; what is damaged goes too. */
static void
test_strays(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	for (int32_t i = 0; i < 8; i++) {
		EXPECT(produce(&env, 9, 0, i, 1), 0, i, false);
		if (i == 3)
			CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	}
	env_stop(&env);
	CU_ASSERT(has_snapshot(&env, 4) && has_snapshot(&env, 8));
	make_stray(&env, 2);
	make_stray(&env, 6);
	make_stray(&env, 9);
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	EXPECT(produce(&env, 9, 0, 7, 1), 0, 7, true);
	CU_ASSERT(!has_snapshot(&env, 2) && !has_snapshot(&env, 6) && !has_snapshot(&env, 9));
	CU_ASSERT(has_snapshot(&env, 4) && has_snapshot(&env, 8));
	/* Each stop leaves one, not one more; also where ours was read instead. */
	EXPECT(produce(&env, 9, 0, 8, 1), 0, 8, false);
	env_stop(&env);
	CU_ASSERT(!has_snapshot(&env, 8) && has_snapshot(&env, 9));
	env_open(&env);
	EXPECT(produce(&env, 9, 0, 9, 1), 0, 9, false);
	env_stop(&env);
	CU_ASSERT(!has_snapshot(&env, 9) && has_snapshot(&env, 10) && has_snapshot(&env, 4));
	env_free(&env);
}

TK_UNIT_MAIN("log producers", { "sequences", test_sequences }, { "sequences round", test_wrap },
    { "five batches", test_five }, { "within a turn", test_same_turn },
    { "after a death", test_restart }, { "after a clean stop", test_clean_restart },
    { "damaged files", test_damaged_files }, { "rollback", test_rollback },
    { "none is saved", test_none_is_saved }, { "a long walk", test_long_walk },
    { "stray snapshots", test_strays })
