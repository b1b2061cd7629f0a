/*
 * Recovery: what is cut, what is kept, what is read.
 */
#include "os/file.h"
#include "test_log_env.h"

#define LOG_0 "orders-3/00000000000000000000.log"

static const struct env_batch small = { .value_bytes = 200, .timestamp = 5 };

static void
append_small(struct env *env, int count)
{
	for (int i = 0; i < count; i++)
		CU_ASSERT(env_append(env, &small).error == 0);
}

static size_t
small_bytes(void)
{
	struct env_bytes one = env_batch(&small);

	free(one.data);
	return one.len;
}

/* Ten batches, dead; with two segments of five if `rolled`. */
static void
env_lived(struct env *env, bool rolled)
{
	env_init(env);
	if (rolled)
		env->config.segment_bytes = (int64_t)small_bytes() * 5;
	env_open(env);
	append_small(env, 10);
	env_close(env);
}

static void
expect_recovered(struct env *env, int64_t end)
{
	env->notes[0] = '\0';
	env_write_boot(env, ENV_BOOT_2);
	env_open(env);
	CU_ASSERT(tk_logdir_trust(env->dir) == TK_TRUST_NONE);
	CU_ASSERT_EQUAL(tk_log_state(env->log)->log_end.offset, end);
	CU_ASSERT_EQUAL(env_append(env, &small).base_offset, end);
}

static void
flip(const struct env *env, const char *name, int64_t at)
{
	struct env_bytes file = env_read(env, name);
	uint8_t byte;

	CU_ASSERT_FATAL(file.data != NULL && at < (int64_t)file.len);
	byte = file.data[at] ^ 0x20;
	env_write(env, name, &byte, 1, at);
	free(file.data);
}

/* Every length a last write can have been torn to. */
static void
test_torn_tail(void)
{
	struct env_bytes one = env_batch(&small);
	size_t size = one.len;
	struct env env;

	for (size_t torn = 1; torn < size; torn += 13) {
		env_lived(&env, false);
		tk_be64_put(one.data, 10);
		env_write(&env, LOG_0, one.data, torn, 10 * (int64_t)size);
		expect_recovered(&env, 10);
		CU_ASSERT(strstr(env.notes, "torn bytes") != NULL);
		CU_ASSERT(env_size(&env, LOG_0) == 11 * (int64_t)size);
		env_free(&env);
	}
	/* Whole in length, not in bytes. */
	env_lived(&env, false);
	one.data[size - 2] ^= 1;
	env_write(&env, LOG_0, one.data, size, 10 * (int64_t)size);
	expect_recovered(&env, 10);
	CU_ASSERT(strstr(env.notes, "torn bytes") != NULL);
	env_free(&env);
	/* Blocks that were never written. */
	env_lived(&env, false);
	env_run("truncate -s +10000 %s/" LOG_0 "%s", env.data, "");
	expect_recovered(&env, 10);
	env_free(&env);
	free(one.data);
}

static uint64_t
inode_of(const struct env *env, const char *name)
{
	struct stat st;

	CU_ASSERT_FATAL(stat(env_path(env, name), &st) == 0);
	return st.st_ino;
}

/* Pages may be on their way after the death of this boot's broker: the file is not shortened. */
static void
test_cut_keeps_inode(void)
{
	struct env_bytes old, now;
	struct env env;
	uint64_t inode;
	int fd;

	env_lived(&env, false);
	env_run("printf torn >> %s/" LOG_0 "; rm %s/zone.0", env.data, env.run);
	inode = inode_of(&env, LOG_0);
	fd = open(env_path(&env, LOG_0), O_RDONLY | O_CLOEXEC);
	old = env_read(&env, LOG_0);
	env_open(&env);
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_NONE);
	CU_ASSERT(inode_of(&env, LOG_0) != inode);
	CU_ASSERT(tk_log_state(env.log)->active_inode == inode_of(&env, LOG_0));
	append_small(&env, 3);
	now = env_read(&env, LOG_0);
	CU_ASSERT(now.len == (old.len - 4) / 10 * 13);
	CU_ASSERT(memcmp(old.data, now.data, old.len - 4) == 0);
	free(now.data);
	now.data = malloc(old.len + 1);
	CU_ASSERT(read(fd, now.data, old.len + 1) == (ssize_t)old.len);
	CU_ASSERT(memcmp(old.data, now.data, old.len) == 0);
	free(now.data);
	free(old.data);
	(void)close(fd);
	env_free(&env);
	/* Another boot: nobody can have any. */
	env_lived(&env, false);
	env_run("printf torn >> %s/" LOG_0 "%s", env.data, "");
	inode = inode_of(&env, LOG_0);
	expect_recovered(&env, 10);
	CU_ASSERT(inode_of(&env, LOG_0) == inode);
	env_free(&env);
}

/* A bit flipped in the middle: reported, kept, and what follows as well. */
static void
test_damage(void)
{
	int64_t size = (int64_t)small_bytes();
	struct env_bytes before, after;
	struct env env;

	for (int64_t batch = 0; batch < 9; batch += 4) {
		env_lived(&env, false);
		flip(&env, LOG_0, batch * size + 100);
		flip(&env, LOG_0, (batch / 2) * size + 200); /* another one, perhaps the same */
		before = env_read(&env, LOG_0);
		expect_recovered(&env, 10);
		after = env_read(&env, LOG_0);
		CU_ASSERT(strstr(env.notes, "is damaged: offsets") != NULL);
		CU_ASSERT(after.len == before.len + (size_t)size);
		CU_ASSERT(memcmp(before.data, after.data, before.len) == 0);
		free(before.data);
		free(after.data);
		env_free(&env);
	}
	/* Two in a row are one stretch. */
	env_lived(&env, false);
	flip(&env, LOG_0, 3 * size + 100);
	flip(&env, LOG_0, 4 * size + 100);
	expect_recovered(&env, 10);
	CU_ASSERT(strstr(env.notes, "offsets 3 to 4") != NULL);
	env_free(&env);
	/* The last one: nothing says that it was ever whole. */
	env_lived(&env, false);
	flip(&env, LOG_0, 9 * size + 100);
	expect_recovered(&env, 9);
	env_free(&env);
}

/*
 * Each byte of a header in the middle: the batch is kept, or left out, and what follows is there.
 * Base offset and leader epoch are outside the checksum.
 */
static void
test_damaged_header(void)
{
	int64_t size = (int64_t)small_bytes();

	for (int64_t at = 0; at < (int64_t)TK_BATCH_HEADER_BYTES; at++) {
		struct env_bytes before, after, kept;
		struct env env;
		bool epoch = at >= 12 && at < 16;

		env_lived(&env, false);
		flip(&env, LOG_0, 4 * size + at);
		before = env_read(&env, LOG_0);
		expect_recovered(&env, 10);
		CU_ASSERT((strstr(env.notes, "is damaged: offsets 4 to 4") != NULL) == !epoch);
		after = env_read(&env, LOG_0);
		kept = env_read(&env, LOG_0 ".damaged");
		if (kept.data != NULL) {
			CU_ASSERT(after.len == before.len); /* one out, one appended */
			CU_ASSERT(kept.len == before.len);
			CU_ASSERT(memcmp(kept.data, before.data, before.len) == 0);
			CU_ASSERT(memcmp(after.data, before.data, (size_t)size * 4) == 0);
			CU_ASSERT(memcmp(after.data + 4 * size, before.data + 5 * size,
				      (size_t)size * 5) == 0);
		} else {
			CU_ASSERT(after.len == before.len + (size_t)size);
			CU_ASSERT(memcmp(before.data, after.data, before.len) == 0);
		}
		if (at < 12 || at == 16) /* offset, length, magic */
			CU_ASSERT(kept.data != NULL);
		free(before.data);
		free(after.data);
		free(kept.data);
		env_free(&env);
	}
}

/* The metadata journal: what was not synced may have a hole after another boot, and ends there. */
static void
test_journal_hole(void)
{
	int64_t size = (int64_t)small_bytes();

	for (int i = 0; i < 3; i++) {
		struct env env;

		env_init(&env);
		env.identity.topic = "__metadata";
		env.identity.partition = 0;
		env_open(&env);
		append_small(&env, 10);
		env_close(&env);
		flip(&env, "__metadata-0/00000000000000000000.log", 4 * size + 16);
		env_run("printf '0\n1\n__metadata 0 %s\n' > %s/recovery-point-offset-checkpoint",
		    i == 1 ? "5" : "4", env.data);
		if (i == 2) { /* the same boot: nothing is missing, it is damage */
			env_run("rm %s/zone.0%s", env.run, "");
			env_open(&env);
			CU_ASSERT(tk_log_state(env.log)->log_end.offset == 10);
		} else {
			expect_recovered(&env, i == 1 ? 10 : 4);
		}
		env_free(&env);
	}
}

/* What is not such a file is written anew, with the epoch in force. */
static void
test_damaged_epochs(void)
{
	static const char *const texts[] = { "0\n1J0 0\n", "1\n1\n0 0\n", "0\n1\np 0\n",
		"0\n3\n0 0\n", "0\n1\n0 0", "0\n1\n0\n", "0\n", "x" };

	for (size_t i = 0; i < TK_COUNT_OF(texts); i++) {
		struct env_bytes now;
		struct env env;

		env_lived(&env, false);
		env_run("printf '%s' > %s/orders-3/leader-epoch-checkpoint", texts[i], env.data);
		expect_recovered(&env, 10);
		now = env_read(&env, "orders-3/leader-epoch-checkpoint");
		CU_ASSERT_FATAL(now.data != NULL);
		CU_ASSERT(strncmp((const char *)now.data, "0\n1\n", 4) == 0);
		free(now.data);
		env_free(&env);
	}
}

/* More holes than are kept in mind: what is behind them is cut, and is in the file kept aside. */
static void
test_many_holes(void)
{
	int64_t size = (int64_t)small_bytes();
	struct env env;

	env_init(&env);
	env_open(&env);
	append_small(&env, 150);
	env_close(&env);
	for (int64_t i = 1; i < 140; i += 2)
		flip(&env, LOG_0, i * size + 16);
	expect_recovered(&env, 129);
	CU_ASSERT(env_size(&env, LOG_0) == 66 * size);
	CU_ASSERT(env_size(&env, LOG_0 ".damaged") == 150 * size);
	env_free(&env);
}

/* A torn segment that another follows: the later one is kept. */
static void
test_torn_in_the_middle(void)
{
	int64_t size = (int64_t)small_bytes();
	struct tk_segment_info *infos;
	struct env env;
	size_t count;

	env_lived(&env, true);
	env_run("truncate -s -5 %s/" LOG_0 "%s", env.data, "");
	expect_recovered(&env, 10);
	CU_ASSERT(env_size(&env, LOG_0) == 4 * size);
	env_free(&env);
	env_lived(&env, true);
	env_run("truncate -s 5 %s/" LOG_0 "%s", env.data, "");
	expect_recovered(&env, 10);
	CU_ASSERT(env_size(&env, LOG_0) == -1);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT(infos[0].base_offset == 5 && tk_log_state(env.log)->log_start == 5);
	free(infos);
	env_free(&env);
}

/* A torn segment behind which one was begun and nothing is in it: the log ends with its records. */
static void
test_torn_before_empty(void)
{
	int64_t size = (int64_t)small_bytes();
	struct env env;

	env_lived(&env, true);
	env_run("truncate -s -5 %s/" LOG_0 "%s", env.data, "");
	env_run("truncate -s 0 %s/orders-3/00000000000000000005.log%s", env.data, "");
	expect_recovered(&env, 4);
	CU_ASSERT(env_size(&env, LOG_0) == 5 * size);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000005.log") == -1);
	env_close(&env);
	env_open(&env);
	CU_ASSERT(tk_log_state(env.log)->log_end.offset == 5);
	env_free(&env);
	env_lived(&env, true); /* nothing at all was left */
	env_run("truncate -s 0 %s/" LOG_0 "%s", env.data, "");
	env_run("truncate -s 0 %s/orders-3/00000000000000000005.log%s", env.data, "");
	expect_recovered(&env, 0);
	CU_ASSERT(tk_log_state(env.log)->log_start == 0 && env_size(&env, LOG_0) == size);
	env_free(&env);
	env_lived(&env, true); /* and one that was not torn keeps it */
	env_run("truncate -s 0 %s/orders-3/00000000000000000005.log%s", env.data, "");
	expect_recovered(&env, 5);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000005.log") == size);
	env_free(&env);
}

/* Below the recovery point nothing is read, so what is wrong there is not found here. */
static void
test_recovery_point(void)
{
	struct env env;

	env_init(&env);
	env.config.segment_bytes = (int64_t)small_bytes() * 5;
	env_open(&env);
	append_small(&env, 8);
	CU_ASSERT(tk_log_has_unsynced(env.log));
	CU_ASSERT(tk_log_sync_closed(env.log) == 0);
	CU_ASSERT(!tk_log_has_unsynced(env.log));
	CU_ASSERT(env_state(&env).durable_end == 5 && env_state(&env).sync_underway == -1);
	CU_ASSERT(tk_logdir_checkpoint(env.dir) == 0);
	env_close(&env);
	flip(&env, LOG_0, 100);
	expect_recovered(&env, 8);
	CU_ASSERT(strstr(env.notes, "damaged") == NULL);
	CU_ASSERT(env_state(&env).durable_end == 5);
	env_free(&env);
}

static void
test_indexes_rebuilt(void)
{
	struct env_bytes offsets, times, other;
	struct env env;

	env_init(&env);
	env_open(&env);
	append_small(&env, 100);
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	append_small(&env, 1);
	env_close(&env);
	offsets = env_read(&env, "orders-3/00000000000000000000.index");
	times = env_read(&env, "orders-3/00000000000000000000.timeindex");
	CU_ASSERT(offsets.len > 16 && times.len == 12);
	env_run("cd %s/orders-3 && printf xyz > 00000000000000000000.index && rm *0.timeindex%s",
	    env.data, "");
	expect_recovered(&env, 101);
	other = env_read(&env, "orders-3/00000000000000000000.index");
	CU_ASSERT(other.len == offsets.len && memcmp(other.data, offsets.data, other.len) == 0);
	free(other.data);
	other = env_read(&env, "orders-3/00000000000000000000.timeindex");
	CU_ASSERT(other.len == times.len && memcmp(other.data, times.data, other.len) == 0);
	free(other.data);
	free(offsets.data);
	free(times.data);
	env_free(&env);
}

/* Indexes of closed segments that somebody removed, after a clean stop. */
static void
test_missing_closed_index(void)
{
	struct tk_segment_info *infos;
	struct env env;
	size_t count;

	env_lived(&env, true);
	env_open(&env);
	env_stop(&env);
	env_run("rm %s/orders-3/*.index %s/orders-3/*.timeindex", env.data, env.data);
	env_open(&env);
	CU_ASSERT_FATAL(tk_log_segments(env.log, &infos, &count) == 0);
	CU_ASSERT(count == 2);
	for (size_t i = 0; i < count; i++)
		CU_ASSERT(infos[i].index_inode != 0 && infos[i].time_inode != 0);
	CU_ASSERT(infos[0].max_timestamp == 5);
	free(infos);
	env_free(&env);
}

/* Compaction or deletion that died half-way, as Kafka's LogLoader takes it. */
static void
test_leftovers(void)
{
	struct env env;
	int64_t size = (int64_t)small_bytes();

	env_lived(&env, true);
	env_run("cd %s/orders-3 && touch 00000000000000000000.log.deleted "
		"00000000000000000005.index.cleaned && cp 00000000000000000005.log "
		"00000000000000000005.log.swap%s",
	    env.data, "");
	expect_recovered(&env, 10); /* the swap was not complete: it goes */
	CU_ASSERT(env_size(&env, LOG_0 ".deleted") == -1);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000005.index.cleaned") == -1);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000005.log.swap") == -1);
	env_free(&env);
	/* A complete swap stands for both segments that it covers. */
	env_lived(&env, true);
	env_run("cd %s/orders-3 && cat 00000000000000000000.log 00000000000000000005.log > "
		"00000000000000000000.log.swap && touch 00000000000000000000.index.swap%s",
	    env.data, "");
	expect_recovered(&env, 10);
	CU_ASSERT(env_size(&env, LOG_0) == 10 * size);
	CU_ASSERT(env_size(&env, "orders-3/00000000000000000005.log") == -1);
	env_free(&env);
}

static void
test_log_start(void)
{
	struct env env;

	env_lived(&env, true);
	env_open(&env);
	CU_ASSERT(tk_log_advance_start(env.log, 7) == 0);
	CU_ASSERT(tk_logdir_checkpoint(env.dir) == 0);
	env_close(&env);
	expect_recovered(&env, 10);
	CU_ASSERT(tk_log_state(env.log)->log_start == 7);
	env_close(&env);
	/* All records lie below the start: the log begins anew there. */
	env_run("printf '0\\n1\\norders 3 50\\n' > %s/log-start-offset-checkpoint; rm %s/zone.0",
	    env.data, env.run);
	env_open(&env);
	CU_ASSERT(tk_log_state(env.log)->log_start == 50);
	CU_ASSERT(env_size(&env, LOG_0 ".damaged") > 0 ||
		  env_size(&env, "orders-3/00000000000000000005.log.damaged") > 0);
	CU_ASSERT(env_append(&env, &small).base_offset == 50);
	env_free(&env);
}

/* Damaged checkpoints are as none at all. */
static void
test_damaged_checkpoints(void)
{
	static const char *const texts[] = { "", "1\n", "0\n7\norders 3 5\n",
		"0\n1\norders three\n", "0\n1\norders 3 5x\n", "garbage" };

	for (size_t i = 0; i < TK_COUNT_OF(texts); i++) {
		struct env env;

		env_lived(&env, true);
		env_run("printf '%s' > %s/recovery-point-offset-checkpoint", texts[i], env.data);
		env_run("printf '%s' > %s/log-start-offset-checkpoint", texts[i], env.data);
		expect_recovered(&env, 10);
		env_free(&env);
	}
}

/* Many partitions at once, by several threads. */
static void
test_parallel(void)
{
	struct tk_log_opening items[24];
	struct env_bytes one = env_batch(&small);
	struct env env;

	env_init(&env);
	for (int round = 0; round < 2; round++) {
		memset(items, 0, sizeof(items));
		CU_ASSERT_FATAL(env_open_dir(&env) == 0);
		for (int32_t i = 0; i < 24; i++) {
			items[i].identity = (struct tk_log_identity){ .topic = "many",
				.partition = i,
				.slot = (uint32_t)i,
				.incarnation = 100 };
			items[i].config = env.config;
		}
		tk_logdir_open_logs(env.dir, items, 24);
		for (int i = 0; i < 24; i++) {
			struct tk_append append = env_append_of(&one), *pointer = &append;

			CU_ASSERT_FATAL(items[i].rc == 0);
			CU_ASSERT(tk_log_state(items[i].log)->log_end.offset == round * (i + 1));
			for (int n = 0; n <= i; n++)
				CU_ASSERT(tk_log_append(items[i].log, &pointer, 1, 1) == 1);
			tk_log_close(&items[i].log);
		}
		tk_logdir_recovery_done(env.dir);
		tk_logdir_close(&env.dir);
		env_write_boot(&env, ENV_BOOT_2);
	}
	CU_ASSERT(strstr(env.notes, ": 24 partitions, ") != NULL);
	free(one.data);
	env_free(&env);
}

/* A partition that cannot be opened: it is offline, the others are not. */
static void
test_one_fails(void)
{
	struct tk_log_opening items[2] = { 0 };
	struct tk_part_state state;
	struct env env;

	env_lived(&env, false);
	env_write_boot(&env, ENV_BOOT_2);
	CU_ASSERT_FATAL(env_open_dir(&env) == 0);
	env_run("touch %s/bad-0%s", env.data, "");
	items[0].identity = env.identity;
	items[0].config = env.config;
	items[1].identity =
	    (struct tk_log_identity){ .topic = "bad", .slot = 9, .incarnation = 12 };
	items[1].config = env.config;
	tk_logdir_open_logs(env.dir, items, 2);
	CU_ASSERT(items[0].rc == 0 && items[1].rc == -ENOTDIR && items[1].log == NULL);
	CU_ASSERT(strstr(items[1].problem.text, "bad-0") != NULL);
	CU_ASSERT(tk_zone_read(tk_logdir_zone(env.dir), 9, &state, NULL));
	CU_ASSERT(state.status == TK_PART_OFFLINE && state.incarnation == 12);
	tk_log_close(&items[0].log);
	env_free(&env);
}

/* One sum for all, none where nothing was recovered; progress only if it takes long. */
static void
test_lines(void)
{
	struct env_bytes one = env_batch(&small);
	char sum[256];
	struct env env;

	env_lived(&env, false);
	env_write(&env, LOG_0, one.data, 13, 10 * (int64_t)one.len);
	expect_recovered(&env, 10);
	CU_ASSERT(strstr(env.notes, "recovered ") == NULL);
	CU_ASSERT(strstr(env.notes, "recovering ") == NULL);
	tk_logdir_recovery_done(env.dir);
	(void)snprintf(sum, sizeof(sum),
	    "recovered \"%s\": 1 partitions, %zu bytes read, 13 bytes cut off, 0 damaged", env.data,
	    10 * one.len + 13);
	CU_ASSERT(strstr(env.notes, sum) != NULL);
	env.notes[0] = '\0';
	tk_logdir_recovery_done(env.dir); /* it was told */
	CU_ASSERT(env.notes[0] == '\0');
	env_close(&env);
	env_open(&env); /* the zone is believed */
	tk_logdir_recovery_done(env.dir);
	CU_ASSERT(strstr(env.notes, "recovered ") == NULL);
	env_close(&env);
	flip(&env, LOG_0, 3 * (int64_t)one.len - 1);
	env_write_boot(&env, ENV_BOOT_1);
	env_open(&env);
	CU_ASSERT(strstr(env.notes, "is damaged") != NULL);
	tk_logdir_recovery_done(env.dir);
	CU_ASSERT(strstr(env.notes, "0 bytes cut off, 1 damaged stretches") != NULL);
	env_free(&env);
	free(one.data);
}

/* Also while one partition is read that takes long. */
static void
test_progress_lines(void)
{
	const struct env_batch large = { .records = 1, .value_bytes = 700000 };
	struct env env;

	env_init(&env);
	env.progress_ms = 1;
	env_open(&env);
	for (int i = 0; i < 40; i++)
		CU_ASSERT(env_append(&env, &large).error == 0);
	env_close(&env);
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	CU_ASSERT(strstr(env.notes, "recovering ") != NULL);
	CU_ASSERT(strstr(env.notes, ": 0 partitions, ") != NULL);
	env_free(&env);
}

TK_UNIT_MAIN("log recovery", { "torn tails", test_torn_tail },
    { "a cut leaves the old file", test_cut_keeps_inode }, { "damage", test_damage },
    { "damaged header", test_damaged_header }, { "many holes", test_many_holes },
    { "damaged epochs", test_damaged_epochs }, { "journal hole", test_journal_hole },
    { "torn in the middle", test_torn_in_the_middle },
    { "torn before an empty one", test_torn_before_empty },
    { "recovery point", test_recovery_point }, { "indexes rebuilt", test_indexes_rebuilt },
    { "closed index missing", test_missing_closed_index }, { "leftovers", test_leftovers },
    { "log start", test_log_start }, { "damaged checkpoints", test_damaged_checkpoints },
    { "in parallel", test_parallel }, { "one fails", test_one_fails }, { "lines", test_lines },
    { "progress", test_progress_lines })
