/*
 * A writer killed at each named point: nothing acknowledged is lost, nothing unacknowledged comes
 * back, no offset ever gets other bytes.
 *
 * Every batch has one record and a sequence equal to its offset, so a file shows by itself whether
 * its offsets are the ones that were given.
 */
#include <signal.h>
#include <sys/mman.h>

#include "base/killpoint.h"
#include "test_log_env.h"

#define PRODUCER 77
#define RUNS     40
#define RUN      3

/* What the child tells before it dies. */
struct told {
	int64_t acknowledged; /* offsets below it */
	int64_t start;
};

static struct told *told;

/* One run of batches from offset on; false if it was not taken. */
static bool
append_run(struct env *env, int64_t offset)
{
	struct tk_append appends[RUN], *pointers[RUN];
	struct env_bytes bytes[RUN];
	bool good = true;

	for (int i = 0; i < RUN; i++) {
		bytes[i] = env_batch(&(struct env_batch){ .producer_id = PRODUCER,
		    .sequence = (int32_t)offset + i,
		    .value_bytes = 300,
		    .timestamp = 1000 + offset });
		appends[i] = env_append_of(&bytes[i]);
		pointers[i] = &appends[i];
	}
	(void)tk_log_append(env->log, pointers, RUN, 1000);
	for (int i = 0; i < RUN; i++) {
		good &= appends[i].error == 0 && appends[i].base_offset == offset + i;
		free(bytes[i].data);
	}
	return good;
}

/* A writer's life; never returns. */
static void
live(struct env *env, const char *killpoint)
{
	tk_killpoint_arm(killpoint);
	if (env_open_dir(env) < 0 ||
	    tk_log_open(env->dir, &env->identity, &env->config, &env->log, NULL) < 0)
		_exit(2);
	for (int i = 0; i < RUNS; i++) {
		int64_t offset = tk_log_state(env->log)->log_end.offset;

		if (!append_run(env, offset))
			_exit(3);
		told->acknowledged = offset + RUN;
		if (i == 10 && tk_logdir_checkpoint(env->dir) < 0)
			_exit(4);
		if (i == 15 && tk_log_sync_closed(env->log) < 0)
			_exit(5);
		if (i == 20) {
			told->start = offset / 2;
			if (tk_log_advance_start(env->log, told->start) < 0)
				_exit(6);
		}
	}
	if (tk_logdir_clean_stop(env->dir, NULL) < 0)
		_exit(7);
	_exit(0);
}

/* Runs a life; true if it was killed where it was to be. */
static bool
live_and_die(struct env *env, const char *killpoint)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		live(env, killpoint);
	CU_ASSERT_FATAL(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	CU_ASSERT_EQUAL(status, 0);
	return false;
}

/* All batches of the log in order: whole, with offsets that follow each other and are theirs. */
static void
check_bytes(struct env *env, int64_t end)
{
	struct tk_segment_info *infos;
	int64_t next = -1;
	size_t count;

	CU_ASSERT_FATAL(tk_log_segments(env->log, &infos, &count) == 0);
	for (size_t i = 0; i < count; i++) {
		struct env_bytes file;
		char name[64];

		(void)snprintf(
		    name, sizeof(name), "orders-3/%020lld.log", (long long)infos[i].base_offset);
		file = env_read(env, name);
		CU_ASSERT((int64_t)file.len == infos[i].size_bytes);
		CU_ASSERT(next == -1 || next == infos[i].base_offset);
		next = infos[i].base_offset;
		for (size_t at = 0; at < file.len;) {
			size_t size = 12 + tk_be32_get(file.data + at + 8);

			CU_ASSERT_FATAL(size <= file.len - at);
			CU_ASSERT((int64_t)tk_be64_get(file.data + at) == next);
			CU_ASSERT((int64_t)tk_be32_get(file.data + at + 53) == next);
			CU_ASSERT(tk_be32_get(file.data + at + 17) ==
				  tk_crc32c(0, file.data + at + 21, size - 21));
			next++;
			at += size;
		}
		free(file.data);
	}
	CU_ASSERT_EQUAL(next, end);
	free(infos);
}

static void
expect_duplicate(struct env *env, int64_t offset)
{
	struct tk_append append = env_append(env, &(struct env_batch){ .producer_id = PRODUCER,
						      .sequence = (int32_t)offset,
						      .value_bytes = 300,
						      .timestamp = 1000 + offset / RUN * RUN });

	CU_ASSERT(append.error == 0 && append.duplicate && append.base_offset == offset);
}

/* The start after a death. */
static void
check_life_after(struct env *env, bool trusted)
{
	struct tk_part_state published = { 0 };
	int64_t end;

	if (trusted)
		published = env_state(env);
	env_open(env);
	CU_ASSERT(!trusted || tk_logdir_trust(env->dir) == TK_TRUST_ZONE);
	end = tk_log_state(env->log)->log_end.offset;
	CU_ASSERT(end >= told->acknowledged);
	if (trusted && published.incarnation != 0) {
		CU_ASSERT(end == published.log_end.offset);
		CU_ASSERT(tk_log_state(env->log)->log_start == published.log_start);
	}
	if (told->acknowledged > 0)
		expect_duplicate(env, told->acknowledged - 1);
	CU_ASSERT(append_run(env, end));
	check_bytes(env, end + RUN);
	env_stop(env);
	env_write_boot(env, ENV_BOOT_2);
	env_open(env);
	CU_ASSERT(tk_logdir_trust(env->dir) == TK_TRUST_SIZE);
	CU_ASSERT(tk_log_state(env->log)->log_end.offset == end + RUN);
	check_bytes(env, end + RUN);
}

static void
die_at(const char *point, int visits, bool trusted)
{
	char killpoint[64];
	struct env env;

	memset(told, 0, sizeof(*told));
	(void)snprintf(killpoint, sizeof(killpoint), "%s:%d", point, visits);
	env_init(&env);
	env.config.segment_bytes = 4000;
	env.config.index_interval_bytes = 700;
	if (live_and_die(&env, killpoint))
		check_life_after(&env, trusted);
	else
		CU_ASSERT(visits > 1); /* each point is passed at least once */
	env_free(&env);
}

static void
test_append_points(void)
{
	static const char *const points[] = { "before_pwritev", "after_pwritev", "before_publish",
		"after_publish", "before_index", "after_index" };

	for (size_t i = 0; i < TK_COUNT_OF(points); i++)
		for (int visits = 1; visits <= 36; visits += 7)
			die_at(points[i], visits, true);
}

static void
test_roll_points(void)
{
	static const char *const points[] = { "roll_sealed", "roll_log_made", "roll_made",
		"roll_published" };

	for (size_t i = 0; i < TK_COUNT_OF(points); i++)
		for (int visits = 1; visits <= 3; visits++)
			die_at(points[i], visits, true);
}

static void
test_other_points(void)
{
	die_at("create_dir", 1, true);
	die_at("create_done", 1, true);
	die_at("cut_log", 1, true);
	die_at("checkpoint_announced", 1, false); /* in the first start of all */
	die_at("checkpoint_announced", 2, true);
	die_at("checkpoint_renamed", 2, true);
	die_at("start_published", 1, true);
	die_at("sync_announced", 1, false); /* a sync that nobody saw the end of has failed */
	die_at("sync_announced", 2, false);
}

/* Killed while it starts: the start after that finds what was there before. */
static void
test_start_points(void)
{
	static const char *const points[] = { "trust_before_marker", "trust_marker_taken",
		"trust_next_nonce", "trust_nonce_written" };

	for (size_t i = 0; i < TK_COUNT_OF(points); i++) {
		struct env env;

		memset(told, 0, sizeof(*told));
		env_init(&env);
		env.config.segment_bytes = 4000;
		CU_ASSERT(live_and_die(&env, "after_publish:30"));
		CU_ASSERT(live_and_die(&env, points[i]));
		check_life_after(&env, true);
		env_free(&env);
	}
}

/* Killed while it recovers after another boot: recovered again, with the same end. */
static void
test_recovery_points(void)
{
	static const char *const points[] = { "trust_cleared", "trust_marker_taken",
		"trust_next_nonce", "trust_nonce_written", "recovery_cut", "recovery_done" };

	for (size_t i = 0; i < TK_COUNT_OF(points); i++) {
		struct env env;
		int64_t end;

		memset(told, 0, sizeof(*told));
		env_init(&env);
		env.config.segment_bytes = 4000;
		CU_ASSERT(live_and_die(&env, "after_pwritev:30"));
		env_run("for f in %s/orders-3/*.log; do last=$f; done; printf %s >> $last",
		    env.data, "torn");
		env_write_boot(&env, ENV_BOOT_2);
		CU_ASSERT(live_and_die(&env, points[i]));
		env_open(&env);
		end = tk_log_state(env.log)->log_end.offset;
		CU_ASSERT(end >= told->acknowledged && end <= told->acknowledged + RUN);
		expect_duplicate(&env, end - 1); /* as Kafka: of a producer at least the last */
		CU_ASSERT(append_run(&env, end));
		check_bytes(&env, end + RUN);
		env_free(&env);
	}
}

/* Beyond the published end there is nothing: what was written and not published is cut. */
static void
test_nothing_comes_back(void)
{
	struct env env;
	int64_t end;

	memset(told, 0, sizeof(*told));
	env_init(&env);
	CU_ASSERT(live_and_die(&env, "after_pwritev:5"));
	CU_ASSERT(told->acknowledged == 4 * RUN);
	env_open(&env);
	end = tk_log_state(env.log)->log_end.offset;
	CU_ASSERT(end == 4 * RUN);
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 5 }).base_offset == end);
	env_close(&env);
	env_write_boot(&env, ENV_BOOT_2);
	env_open(&env);
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_NONE);
	CU_ASSERT(tk_log_state(env.log)->log_end.offset == end + 1);
	env_free(&env);
}

/* A deletion killed after it was published, before it was renamed. */
static void
test_delete_points(void)
{
	static const char *const points[] = { "delete_published", "delete_renamed" };

	for (size_t i = 0; i < TK_COUNT_OF(points); i++) {
		struct env env;
		int status = 0;
		pid_t pid;

		env_init(&env);
		pid = fork();
		if (pid == 0) {
			tk_killpoint_arm(points[i]);
			env_open(&env);
			(void)env_append(&env, &(struct env_batch){ .value_bytes = 5 });
			_exit(tk_log_delete(&env.log) == 0 ? 1 : 2);
		}
		CU_ASSERT_FATAL(pid > 0 && waitpid(pid, &status, 0) == pid);
		CU_ASSERT(WIFSIGNALED(status));
		/* Made again meanwhile, with another incarnation and id. */
		env.identity.incarnation = 99;
		memset(env.identity.topic_id.b, 0x33, sizeof(env.identity.topic_id.b));
		env_open(&env);
		CU_ASSERT(tk_log_state(env.log)->log_end.offset == 0);
		CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 5 }).error == 0);
		env_free(&env);
	}
}

static void
test_setup(void)
{
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(told != MAP_FAILED);
}

TK_UNIT_MAIN("log crash", { "set up", test_setup }, { "appends", test_append_points },
    { "rolls", test_roll_points }, { "other points", test_other_points },
    { "starts", test_start_points }, { "recoveries", test_recovery_points },
    { "nothing comes back", test_nothing_comes_back }, { "deletions", test_delete_points })
