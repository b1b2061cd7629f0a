/*
 * Disks that are full, short, broken: what is settled how, and that it goes on after.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "os/file.h"
#include "test_log_env.h"

#define LOG_0 "orders-3/00000000000000000000.log"
#define COUNT 6

static size_t room;         /* what the next write of record bytes may take */
static int fail_after = -1; /* operations until one fails */
static int fail_errno;
static bool failed_once;

static int
short_write(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)path;
	(void)fd;
	if (op != TK_FILE_WRITE || *bytes <= room)
		return 0;
	*bytes = room;
	return -ENOSPC;
}

static int
fail_nth(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)op;
	(void)path;
	(void)fd;
	if (fail_after < 0 || fail_after-- > 0)
		return 0;
	*bytes /= 2;
	failed_once = true;
	return -fail_errno;
}

struct turn {
	struct env_bytes bytes[COUNT];
	struct tk_append appends[COUNT], *pointers[COUNT];
};

/* Batches of one producer from a sequence on; the last one repeats the one before it. */
static void
turn_make(struct turn *turn, int32_t sequence)
{
	for (int i = 0; i < COUNT; i++) {
		turn->bytes[i] = env_batch(&(struct env_batch){ .producer_id = 4,
		    .sequence = sequence + TK_MIN(i, COUNT - 2),
		    .value_bytes = 300 });
		turn->appends[i] = env_append_of(&turn->bytes[i]);
		turn->pointers[i] = &turn->appends[i];
	}
}

static void
turn_free(struct turn *turn)
{
	for (int i = 0; i < COUNT; i++)
		free(turn->bytes[i].data);
}

/* Whatever the length written: the whole batches count, nothing else does. */
static void
test_short_writes(void)
{
	size_t size = 0;

	for (size_t written = 0; written < 5 * 380; written += 37) {
		struct turn turn;
		struct env env;
		int64_t whole;

		env_init(&env);
		env_open(&env);
		turn_make(&turn, 0);
		size = turn.bytes[0].len;
		room = written;
		whole = (int64_t)TK_MIN(written / size, COUNT - 1);
		tk_file_fault = short_write;
		CU_ASSERT(tk_log_append(env.log, turn.pointers, COUNT, 1) == (size_t)whole);
		tk_file_fault = NULL;
		for (int i = 0; i < COUNT; i++) {
			bool in = TK_MIN(i, COUNT - 2) < whole;

			CU_ASSERT(turn.appends[i].error == (in ? 0 : TK_ERR_KAFKA_STORAGE_ERROR));
			CU_ASSERT(turn.appends[i].base_offset == (in ? TK_MIN(i, COUNT - 2) : -1));
		}
		CU_ASSERT(env_state(&env).log_end.offset == whole);
		CU_ASSERT(env_state(&env).status ==
			  (whole == COUNT - 1 ? TK_PART_ONLINE : TK_PART_READ_ONLY));
		/* The producer sends the rest again, in vain: nothing takes a byte now. */
		room = 0;
		tk_file_fault = short_write;
		CU_ASSERT(
		    tk_log_append(env.log, turn.pointers + whole, (size_t)(COUNT - whole), 1) == 0);
		tk_file_fault = NULL;
		/* The producer sends all of it again. */
		CU_ASSERT(
		    tk_log_append(env.log, turn.pointers, COUNT, 1) == (size_t)(COUNT - 1 - whole));
		for (int i = 0; i < COUNT; i++)
			CU_ASSERT(turn.appends[i].error == 0 &&
				  turn.appends[i].base_offset == TK_MIN(i, COUNT - 2));
		CU_ASSERT(env_state(&env).status == TK_PART_ONLINE);
		CU_ASSERT(env_size(&env, LOG_0) == (int64_t)size * (COUNT - 1));
		turn_free(&turn);
		env_free(&env);
	}
	CU_ASSERT(size * (COUNT - 1) < 5 * 380);
}

/* The kernel's own short write: a limit on the size of files. */
static void
test_file_size_limit(void)
{
	struct rlimit old, limit;
	struct turn turn;
	struct env env;

	(void)signal(SIGXFSZ, SIG_IGN);
	env_init(&env);
	env_open(&env);
	turn_make(&turn, 0);
	CU_ASSERT(getrlimit(RLIMIT_FSIZE, &old) == 0);
	limit = old;
	limit.rlim_cur = turn.bytes[0].len * 2 + 50;
	CU_ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CU_ASSERT(tk_log_append(env.log, turn.pointers, COUNT, 1) == 2);
	CU_ASSERT(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CU_ASSERT(turn.appends[1].error == 0);
	CU_ASSERT(turn.appends[2].error == TK_ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT(tk_log_append(env.log, turn.pointers, COUNT, 1) == COUNT - 3);
	CU_ASSERT(env_state(&env).log_end.offset == COUNT - 1);
	turn_free(&turn);
	env_free(&env);
}

/* A file system that is really full, where this test may mount one. */
static void
test_full_disk(void)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 60000 });
	int64_t appended = 0, end;
	struct env env;

	env_init(&env);
	CU_ASSERT_FATAL(mkdir(env.data, 0700) == 0);
	if (mount("none", env.data, "tmpfs", 0, "size=1m") < 0) {
		free(one.data);
		env_free(&env);
		return; /* not root: the other tests say the same by other means */
	}
	env_open(&env);
	while (env_append_bytes(&env, &one, 1).error == 0)
		appended++;
	CU_ASSERT(appended > 5 && appended < 20);
	CU_ASSERT(env_state(&env).status == TK_PART_READ_ONLY);
	CU_ASSERT(env_append_bytes(&env, &one, 1).error == TK_ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT(mount("none", env.data, "tmpfs", MS_REMOUNT, "size=2m") == 0);
	CU_ASSERT(env_append_bytes(&env, &one, 1).base_offset == appended);
	CU_ASSERT(env_state(&env).status == TK_PART_ONLINE);
	end = env_state(&env).log_end.position;
	CU_ASSERT(end == (int64_t)one.len * (appended + 1) && env_size(&env, LOG_0) == end);
	env_close(&env);
	CU_ASSERT(umount(env.data) == 0);
	free(one.data);
	env_free(&env);
}

static int
fail_sync(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)path;
	(void)fd;
	(void)bytes;
	return op == TK_FILE_SYNC ? -EIO : 0;
}

/* A failed sync is never tried again: offline, no clean marker, recovered at the next start. */
static void
test_failed_sync(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	tk_file_fault = fail_sync;
	CU_ASSERT(tk_log_sync_closed(env.log) == -EIO);
	tk_file_fault = NULL;
	CU_ASSERT(env_state(&env).status == TK_PART_OFFLINE);
	CU_ASSERT(tk_log_sync_closed(env.log) == -EIO);
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 300 }).error ==
		  TK_ERR_KAFKA_STORAGE_ERROR);
	CU_ASSERT(tk_logdir_clean_stop(env.dir, &env.problem) == -EIO);
	CU_ASSERT(strstr(env.problem.text, "orders-3") != NULL);
	env_close(&env);
	env_open(&env);
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 300 }).base_offset == 1);
	env_free(&env);
}

static char synced_files[8][64];
static size_t synced_count;
static char synced_dir[PATH_MAX]; /* is to be synced */
static bool dir_synced;

static int
note_sync(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	char name[64], target[PATH_MAX];
	const char *base;
	ssize_t len;

	(void)path;
	(void)bytes;
	if (op != TK_FILE_SYNC)
		return 0;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = '\0';
	dir_synced = dir_synced || strcmp(target, synced_dir) == 0;
	base = strrchr(target, '/');
	if (base != NULL && strstr(base, ".log") != NULL &&
	    synced_count < TK_COUNT_OF(synced_files))
		(void)snprintf(
		    synced_files[synced_count++], sizeof(synced_files[0]), "%.63s", base + 1);
	return 0;
}

/* A clean stop brings the active segment to the disk, also one that was begun by a roll. */
static void
test_stop_after_roll(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(tk_log_roll(env.log, 1) == 0);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(tk_log_sync_closed(env.log) == 0);
	synced_count = 0;
	tk_file_fault = note_sync;
	env_stop(&env);
	tk_file_fault = NULL;
	CU_ASSERT_EQUAL(synced_count, 1);
	CU_ASSERT_STRING_EQUAL(synced_files[0], "00000000000000000001.log");
	env_free(&env);
}

/* A new data directory's own name is on the disk before it is used. */
static void
test_own_name(void)
{
	struct env env;

	env_init(&env);
	(void)snprintf(synced_dir, sizeof(synced_dir), "%s", env.root);
	tk_file_fault = note_sync;
	CU_ASSERT(env_open_dir(&env) == 0);
	CU_ASSERT(dir_synced);
	env_close(&env);
	dir_synced = false;
	CU_ASSERT(env_open_dir(&env) == 0);
	CU_ASSERT(!dir_synced);
	tk_file_fault = NULL;
	env_free(&env);
}

/* One life with a failure at its nth operation; the next life finds all that was acknowledged. */
static bool
live_with_failure(int nth, int error)
{
	int64_t acknowledged = 0, end;
	struct env env;
	int rc;

	env_init(&env);
	env.config.segment_bytes = 2000;
	env.config.index_interval_bytes = 500;
	fail_errno = error;
	fail_after = nth;
	failed_once = false;
	tk_file_fault = fail_nth;
	rc = env_open_dir(&env);
	if (rc == 0)
		rc = tk_log_open(env.dir, &env.identity, &env.config, &env.log, &env.problem);
	CU_ASSERT(rc == 0 || failed_once);
	for (int i = 0; rc == 0 && i < 12; i++) {
		struct tk_append append = env_append(&env,
		    &(struct env_batch){
			.producer_id = 4, .sequence = (int32_t)acknowledged, .value_bytes = 300 });

		CU_ASSERT(append.error == 0 || append.error == TK_ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT(append.error != 0 || append.base_offset == acknowledged);
		acknowledged += append.error == 0;
	}
	if (rc == 0 && acknowledged >= 8) {
		rc = tk_log_advance_start(env.log, 7);
		CU_ASSERT(rc == 0 || failed_once);
		rc = tk_log_sync_closed(env.log);
		CU_ASSERT(rc == 0 || failed_once);
		rc = tk_logdir_clean_stop(env.dir, &env.problem);
		CU_ASSERT(rc == 0 || failed_once);
	}
	tk_file_fault = NULL;
	env_close(&env);
	if (rc == 0 && acknowledged >= 8)
		CU_ASSERT(tk_logdir_mark_clean(env.data) == 0);
	env_open(&env);
	end = tk_log_state(env.log)->log_end.offset;
	CU_ASSERT(end == acknowledged);
	CU_ASSERT(env_append(&env,
		      &(struct env_batch){
			  .producer_id = 4, .sequence = (int32_t)end, .value_bytes = 300 })
		      .base_offset == end);
	env_free(&env);
	return failed_once;
}

static void
test_every_operation(void)
{
	static const int errors[] = { EIO, ENOSPC };

	for (size_t i = 0; i < TK_COUNT_OF(errors); i++) {
		int nth = 0;

		while (live_with_failure(nth, errors[i]))
			nth++;
		CU_ASSERT(nth > 100);
	}
}

/* ---- commits ---- */

static int fail_again = -1; /* operations after the first failure until the next; -1 none */

static int
fail_twice(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	int rc = fail_nth(op, path, fd, bytes);

	if (rc < 0) {
		fail_after = fail_again;
		fail_again = -1;
	}
	return rc;
}

/* What the writer's helper does. */
static int
disk_sync(struct env *env, const struct tk_log_sync *sync)
{
	char path[192];
	int fd, rc = 0;

	for (size_t i = 0; i < sync->segment_count && rc == 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/orders-3/%020lld.log", env->data,
		    (long long)sync->segments[i]);
		rc = tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &fd);
		if (rc < 0)
			return rc == -ENOENT ? 0 : rc;
		rc = tk_file_sync_data(fd);
		tk_file_close(&fd);
	}
	return rc < 0 ? rc : tk_file_sync_dir(AT_FDCWD, env->data);
}

/* One that fails is given up for good, one that needs it is read again until that works. */
static void
commit_sync(struct env *env)
{
	struct tk_log_sync sync;
	struct tk_log *rescued;

	while (tk_log_sync_begin(env->log, false, &sync))
		tk_log_sync_end(env->log, &sync, disk_sync(env, &sync));
	for (int tries = 0; tk_log_needs_rescue(env->log); tries++) {
		CU_ASSERT_FATAL(tries < 4);
		CU_ASSERT(!tk_log_sync_begin(env->log, false, &sync));
		CU_ASSERT_FATAL(tk_log_rescue_begin(env->log, &rescued) == 0);
		if (tk_log_rescue_run(rescued) == 0)
			tk_log_rescue_end(&env->log, &rescued);
		else
			tk_log_rescue_drop(&rescued);
	}
}

/* Sends a producer's batches until each is on the disk; how many are. */
static int64_t
commit_batches(struct env *env, int64_t from, int64_t to)
{
	int64_t committed = from;

	for (int tries = 0; committed < to && tries < 30; tries++) {
		const struct tk_part_state *state;
		struct tk_append append = env_append(env,
		    &(struct env_batch){
			.producer_id = 4, .sequence = (int32_t)committed, .value_bytes = 300 });

		CU_ASSERT(append.error == 0 || append.error == TK_ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT(append.error != 0 || append.base_offset == committed);
		state = tk_log_state(env->log);
		CU_ASSERT(state->high_watermark.offset <= state->log_end.offset);
		CU_ASSERT(state->high_watermark.offset == committed);
		commit_sync(env);
		state = tk_log_state(env->log);
		CU_ASSERT(state->high_watermark.offset >= committed);
		committed = state->high_watermark.offset;
	}
	return committed;
}

/* A life of commits with failures in it; the next one has all that was committed. */
static bool
commit_with_failure(int nth, int again, int error)
{
	int64_t committed = 0;
	struct env env;
	int rc;

	env_init(&env);
	env.config.segment_bytes = 800;
	env.config.flush_commit = true;
	fail_errno = error;
	fail_after = nth;
	fail_again = again;
	failed_once = false;
	tk_file_fault = fail_twice;
	rc = env_open_dir(&env);
	if (rc == 0)
		rc = tk_log_open(env.dir, &env.identity, &env.config, &env.log, &env.problem);
	CU_ASSERT(rc == 0 || failed_once);
	if (rc == 0) {
		committed = commit_batches(&env, 0, 6);
		CU_ASSERT(committed == 6);
		rc = tk_log_advance_start(env.log, 3);
		CU_ASSERT(rc == 0 || failed_once);
		rc = tk_logdir_clean_stop(env.dir, &env.problem);
		CU_ASSERT(rc == 0 || failed_once);
	}
	tk_file_fault = NULL;
	env_close(&env);
	env_open(&env);
	CU_ASSERT(tk_log_state(env.log)->log_end.offset == committed);
	CU_ASSERT(committed == 0 || env_append(&env, &(struct env_batch){ .producer_id = 4,
							 .sequence = (int32_t)committed - 1,
							 .value_bytes = 300 })
					.duplicate);
	CU_ASSERT(commit_batches(&env, committed, committed + 1) == committed + 1);
	env_free(&env);
	return failed_once;
}

static void
test_commit_every_operation(void)
{
	static const int errors[] = { EIO, ENOSPC, EINTR };
	static const int again[] = { -1, 0, 9 };

	for (size_t i = 0; i < TK_COUNT_OF(errors); i++) {
		int nth = 0;

		while (commit_with_failure(nth, again[i], errors[i]))
			nth += i == 0 ? 1 : 5;
		CU_ASSERT(nth > 100);
	}
}

/* The record that the writer left when it died in a sync, or when one had failed. */
static void
test_reopened_in_doubt(void)
{
	for (int failed = 0; failed < 2; failed++) {
		struct tk_log_sync sync;
		struct env env;
		uint64_t inode;

		env_init(&env);
		env.config.flush_commit = true;
		env_open(&env);
		CU_ASSERT(commit_batches(&env, 0, 2) == 2);
		for (int32_t i = 2; i < 4; i++)
			(void)env_append(
			    &env, &(struct env_batch){
				      .producer_id = 4, .sequence = i, .value_bytes = 300 });
		inode = env_state(&env).active_inode;
		CU_ASSERT(tk_log_sync_begin(env.log, false, &sync) && sync.end.offset == 4);
		CU_ASSERT(env_state(&env).sync_underway == 4);
		if (failed)
			tk_log_sync_end(env.log, &sync, -EIO);
		env_close(&env);
		env_write(&env, LOG_0, "x", 1, sync.end.position - 10); /* what became of it */
		env_open(&env);
		CU_ASSERT(env_state(&env).log_end.offset == 3);
		CU_ASSERT(env_state(&env).durable_end == 3);
		CU_ASSERT(env_state(&env).high_watermark.offset == 3);
		CU_ASSERT(env_state(&env).active_inode != inode);
		CU_ASSERT(env_state(&env).sync_underway == -1);
		CU_ASSERT(commit_batches(&env, 3, 5) == 5);
		env_free(&env);
	}
}

/* Another mode: the watermark never goes back, and goes to the end when nothing waits. */
static void
test_mode_changes(void)
{
	struct env env;

	env_init(&env);
	env_open(&env);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(env_state(&env).high_watermark.offset == 1);
	env.config.flush_commit = true;
	tk_log_configure(env.log, &env.config);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(env_state(&env).high_watermark.offset == 1);
	CU_ASSERT(env_state(&env).log_end.offset == 2);
	CU_ASSERT(tk_log_advance_start(env.log, 2) == -EINVAL);
	env_close(&env);
	env_open(&env); /* trusted: as it was */
	CU_ASSERT(env_state(&env).high_watermark.offset == 1);
	commit_sync(&env);
	CU_ASSERT(env_state(&env).high_watermark.offset == 2);
	(void)env_append(&env, &(struct env_batch){ .value_bytes = 300 });
	CU_ASSERT(env_state(&env).high_watermark.offset == 2);
	env.config.flush_commit = false;
	tk_log_configure(env.log, &env.config);
	CU_ASSERT(env_state(&env).high_watermark.offset == 3);
	CU_ASSERT(env_state(&env).last_stable.position == env_state(&env).log_end.position);
	env_free(&env);
}

#define MANY 200

static int syncs, syncs_to_fail;

static int
count_syncs(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)path;
	(void)fd;
	(void)bytes;
	if (op != TK_FILE_SYNC)
		return 0;
	syncs++;
	return syncs <= syncs_to_fail ? -EIO : 0;
}

static void
many_open(struct env *env, struct tk_log **logs, int64_t expected_end)
{
	CU_ASSERT_FATAL(env_open_dir(env) == 0);
	for (uint32_t i = 0; i < MANY; i++) {
		struct tk_log_identity identity = { .topic = "many",
			.partition = (int32_t)i,
			.slot = i + 1,
			.incarnation = i + 100 };

		CU_ASSERT_FATAL(
		    tk_log_open(env->dir, &identity, &env->config, &logs[i], &env->problem) == 0);
		CU_ASSERT(tk_log_state(logs[i])->log_end.offset == expected_end);
	}
}

static void
many_append(struct tk_log **logs)
{
	struct env_bytes one = env_batch(&(struct env_batch){ .value_bytes = 300 });

	for (int i = 0; i < MANY; i++) {
		struct tk_append append = env_append_of(&one), *pointer = &append;

		CU_ASSERT(tk_log_append(logs[i], &pointer, 1, 1) == 1);
	}
	free(one.data);
}

/* Syncs fail the first so many times; the result of the stop, and how many syncs it took. */
static int
many_stop(struct env *env, struct tk_log **logs, int fail)
{
	int rc;

	syncs = 0;
	syncs_to_fail = fail;
	tk_file_fault = count_syncs;
	rc = tk_logdir_clean_stop(env->dir, &env->problem);
	tk_file_fault = NULL;
	for (int i = 0; i < MANY; i++) {
		CU_ASSERT(rc < 0 || tk_log_state(logs[i])->durable_end ==
					tk_log_state(logs[i])->log_end.offset);
		tk_log_close(&logs[i]);
	}
	tk_logdir_close(&env->dir);
	return rc;
}

/* Thousands of partitions are brought to the disk together; what fails together is tried alone. */
static void
test_stop_many(void)
{
	struct tk_log *logs[MANY];
	struct env env;
	bool together;

	env_init(&env);
	many_open(&env, logs, 0);
	many_append(logs);
	CU_ASSERT(many_stop(&env, logs, 0) == 0);
	together = syncs < MANY;
	if (!together)
		printf("(this file system is synced file by file) ");
	CU_ASSERT(tk_logdir_mark_clean(env.data) == 0);
	many_open(&env, logs, 1);
	many_append(logs);
	CU_ASSERT(many_stop(&env, logs, together ? 1 : 0) == 0);
	CU_ASSERT(syncs > 3 * MANY); /* each its own */
	many_open(&env, logs, 2);
	many_append(logs);
	CU_ASSERT(many_stop(&env, logs, 2) == -EIO);
	CU_ASSERT(strstr(env.problem.text, "many-") != NULL);
	many_open(&env, logs, 3);
	CU_ASSERT(many_stop(&env, logs, 0) == 0);
	env.dir = NULL;
	env_free(&env);
}

TK_UNIT_MAIN("log faults", { "short writes", test_short_writes },
    { "file size limit", test_file_size_limit }, { "full disk", test_full_disk },
    { "failed sync", test_failed_sync }, { "stop after a roll", test_stop_after_roll },
    { "own name", test_own_name }, { "every operation fails once", test_every_operation },
    { "commits, every operation fails", test_commit_every_operation },
    { "reopened in doubt", test_reopened_in_doubt }, { "mode changes", test_mode_changes },
    { "many stop together", test_stop_many })
