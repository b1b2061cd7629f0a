/*
 * Unit tests of the writer: what waits for the disk, syncs that fail, disks that are full.
 */
#include <pthread.h>
#include <sys/mount.h>

#include "test_writer.h"

#define SLOT 5u
#define INC  77u

/* ---- a disk that takes its time, or fails ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_shut;
static unsigned syncs, inside, inside_most;
static int sync_error, write_error;

static int
slow_disk(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	int rc;

	(void)path;
	(void)fd;
	rc = __atomic_load_n(&write_error, __ATOMIC_RELAXED);
	if (op == TK_FILE_WRITE && rc != 0) {
		*bytes = 0;
		return rc;
	}
	if (op != TK_FILE_SYNC)
		return 0;
	(void)pthread_mutex_lock(&gate);
	syncs++;
	inside++;
	inside_most = TK_MAX(inside, inside_most);
	while (gate_shut)
		(void)pthread_cond_wait(&gate_moved, &gate);
	inside--;
	rc = sync_error;
	(void)pthread_mutex_unlock(&gate);
	return rc;
}

static void
gate_set(bool shut, int error)
{
	(void)pthread_mutex_lock(&gate);
	gate_shut = shut;
	sync_error = error;
	(void)pthread_cond_broadcast(&gate_moved);
	(void)pthread_mutex_unlock(&gate);
}

/* A helper thread gets its turn even where threads share one processor unfairly (valgrind). */
static void
turn_and_yield(void)
{
	turns(1);
	(void)usleep(500);
}

static bool
wait_inside(unsigned count)
{
	int64_t until_ms = tk_clock_mono_ms() + 20000;
	unsigned now = 0;

	while (now < count && tk_clock_mono_ms() < until_ms) {
		turn_and_yield();
		(void)pthread_mutex_lock(&gate);
		now = inside;
		(void)pthread_mutex_unlock(&gate);
	}
	return now >= count;
}

static bool
wait_status(const struct tk_writer_part *part, enum tk_part_status status)
{
	int64_t until_ms = tk_clock_mono_ms() + 20000;

	while (part->state.status != (uint32_t)status && tk_clock_mono_ms() < until_ms)
		turn_and_yield();
	return part->state.status == (uint32_t)status;
}

static struct tk_writer_part *
commit_part(const char *topic, uint32_t slot, int64_t segment_bytes)
{
	struct tk_log_config config = tk_log_config_default();

	config.flush_commit = true;
	config.segment_bytes = segment_bytes;
	return part_make(topic, slot, INC, &config);
}

static void
slow_env(void)
{
	env_new();
	syncs = inside = inside_most = 0;
	__atomic_store_n(&write_error, 0, __ATOMIC_RELAXED);
	gate_set(false, 0);
	tk_file_fault = slow_disk;
}

static void
slow_end(void)
{
	gate_set(false, 0);
	__atomic_store_n(&write_error, 0, __ATOMIC_RELAXED);
	env_free();
	tk_file_fault = NULL;
}

static void
watch_next(struct caller *worker, uint64_t id, const struct tk_writer_part *part)
{
	const struct tk_frame_watch frame = { .incarnation = INC,
		.slot = part->slot,
		.seq = part->seq,
		.segment = part->state.high_watermark.segment,
		.position = part->state.high_watermark.position + 1 };

	send_frame(worker, TK_FRAME_WATCH, id, &frame, sizeof(frame));
}

/* ---- commit ---- */

/* Nobody hears or sees of a batch before the sync is done; one sync serves all that came. */
static void
test_commit(void)
{
	struct caller *worker, *reader;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	unsigned before;
	int64_t offset;

	slow_env();
	part = commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	reader = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(true, 0);
	send_append(worker, 1, &frame);
	CU_ASSERT(wait_inside(1));
	watch_next(reader, 50, part);
	for (uint64_t id = 2; id <= 20; id++)
		send_append(worker, id, &frame);
	CU_ASSERT(silent(worker) && silent(reader));
	CU_ASSERT(part->state.log_end.offset == 20 && part->state.high_watermark.offset == 0);
	CU_ASSERT(part->state.last_stable.offset == 0 && part->state.durable_end == 0);
	CU_ASSERT(part->state.sync_underway == 1);
	before = syncs;
	gate_set(false, 0);
	(void)expect(reader, TK_FRAME_NOTIFY, 50);
	CU_ASSERT(part->state.high_watermark.offset >= 1);
	for (uint64_t id = 1; id <= 20; id++)
		CU_ASSERT(appended(worker, id, &offset) == 0 && offset == (int64_t)id - 1);
	CU_ASSERT(part->state.high_watermark.offset == 20 && part->state.durable_end == 20);
	CU_ASSERT(part->state.last_stable.position == part->state.log_end.position);
	CU_ASSERT(part->state.sync_underway == -1);
	CU_ASSERT(syncs - before <= 4); /* the names of the first, one file for the rest */
	caller_free(worker);
	caller_free(reader);
	slow_end();
}

/* A duplicate of a batch that is not on the disk shares its fate; of one that is, is answered. */
static void
test_commit_duplicate(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	int64_t offset;

	slow_env();
	(void)commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 2, 20, 900, 0));
	gate_set(true, 0);
	send_append(worker, 1, &frame);
	CU_ASSERT(wait_inside(1));
	send_append(worker, 2, &frame);
	CU_ASSERT(silent(worker));
	gate_set(false, 0);
	CU_ASSERT(appended(worker, 1, &offset) == 0 && offset == 0);
	CU_ASSERT(appended(worker, 2, &offset) == 0 && offset == 0);
	gate_set(true, 0);
	send_append(worker, 3, &frame);
	CU_ASSERT(appended(worker, 3, &offset) == 0 && offset == 0);
	caller_free(worker);
	slow_end();
}

/* Syncs of several partitions overlap, and one without commits stands behind none of them. */
static void
test_commit_overlaps(void)
{
	struct caller *worker;
	struct tk_frame_append frame;

	slow_env();
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(true, 0);
	for (uint32_t i = 0; i < 3; i++) {
		char topic[] = { (char)('a' + i), '\0' };

		(void)commit_part(topic, SLOT + i, 1 << 20);
		frame.slot = SLOT + i;
		send_append(worker, 1 + i, &frame);
	}
	(void)part_make("none", SLOT + 3, INC, NULL);
	frame.slot = SLOT + 3;
	CU_ASSERT(wait_inside(3));
	send_append(worker, 9, &frame);
	CU_ASSERT(appended(worker, 9, NULL) == 0);
	gate_set(false, 0);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT(receive(worker));
	CU_ASSERT(inside_most >= 3);
	caller_free(worker);
	slow_end();
}

/* Over many rolls the watermark reaches the end, and never says more than is on the disk. */
static void
test_commit_rolls(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;

	slow_env();
	part = commit_part("t", SLOT, 400);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(true, 0);
	for (uint64_t id = 1; id <= 200; id++)
		send_append(worker, id, &frame);
	CU_ASSERT(wait_inside(1));
	CU_ASSERT(part->state.log_end.offset > 40 && part->state.high_watermark.offset == 0);
	gate_set(false, 0);
	for (uint64_t id = 1; id <= 200; id++) {
		CU_ASSERT(appended(worker, id, NULL) == 0);
		CU_ASSERT(part->state.high_watermark.offset >= (int64_t)id);
	}
	CU_ASSERT(part->state.durable_end == 200);
	CU_ASSERT(part->state.high_watermark.segment == part->state.log_end.segment);
	caller_free(worker);
	slow_end();
}

/* Killed with batches that nobody was told of: the next life brings them to the disk by itself. */
static void
test_commit_crash(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	int64_t until_ms = tk_clock_mono_ms() + 20000;

	slow_env();
	(void)commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(true, 0);
	send_append(worker, 1, &frame);
	CU_ASSERT(wait_inside(1));
	gate_set(false, 0);
	caller_free(worker);
	env_crash();
	env_open();
	part = commit_part("t", SLOT, 1 << 20);
	while (part->state.high_watermark.offset == 0 && tk_clock_mono_ms() < until_ms)
		turn_and_yield();
	CU_ASSERT(part->state.high_watermark.offset == 1 && part->state.durable_end == 1);
	slow_end();
}

/* ---- failures ---- */

/* Nobody is told success; offline; comes back by itself, with what is on the disk. */
static void
test_failed(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	uint64_t generation, inode;

	slow_env();
	part = commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == 0);
	generation = part->state.segments_generation;
	inode = part->state.active_inode;
	gate_set(true, 0);
	send_append(worker, 2, &frame);
	CU_ASSERT(wait_inside(1));
	send_append(worker, 3, &frame);
	turns(3);
	gate_set(false, -EIO);
	CU_ASSERT(appended(worker, 2, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	CU_ASSERT(appended(worker, 3, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	CU_ASSERT(part->state.status == TK_PART_OFFLINE);
	CU_ASSERT(part->state.high_watermark.offset == 1);
	send_append(worker, 4, &frame);
	CU_ASSERT(appended(worker, 4, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	gate_set(false, 0);
	CU_ASSERT(wait_status(part, TK_PART_ONLINE));
	CU_ASSERT(part->state.segments_generation > generation);
	CU_ASSERT(part->state.active_inode != inode);
	CU_ASSERT(part->state.log_end.offset == 3); /* this disk had taken them */
	CU_ASSERT(part->state.high_watermark.offset == 3 && part->state.durable_end == 3);
	send_append(worker, 5, &frame);
	CU_ASSERT(appended(worker, 5, NULL) == 0);
	caller_free(worker);
	slow_end();
}

/* What the disk has not taken is cut, in a new file, and its offsets are given anew. */
static void
test_failed_and_lost(void)
{
	static const char junk[] = "what the disk made of it";
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	char path[160];
	int64_t offset;
	int fd;

	slow_env();
	part = commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, 4, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == 0);
	(void)snprintf(path, sizeof(path), "%s/t-0/00000000000000000000.log", data_path);
	gate_set(true, 0);
	for (int32_t i = 1; i < 4; i++) {
		frame.arena_offset = (uint64_t)i * 1000;
		frame.len = put_batch(worker, frame.arena_offset, 1, 20, 4, i);
		send_append(worker, 1 + (uint64_t)i, &frame);
	}
	CU_ASSERT(wait_inside(1));
	turns(3);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT(pwrite(fd, junk, sizeof(junk), frame.len * 2 + 64) == (ssize_t)sizeof(junk));
	gate_set(false, -EIO);
	for (uint64_t id = 2; id < 5; id++)
		CU_ASSERT(appended(worker, id, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	gate_set(false, 0);
	CU_ASSERT(wait_status(part, TK_PART_ONLINE));
	CU_ASSERT(part->state.log_end.offset == 2);
	for (int32_t i = 1; i < 4; i++) {
		frame.arena_offset = (uint64_t)i * 1000;
		send_append(worker, 10 + (uint64_t)i, &frame);
		CU_ASSERT(appended(worker, 10 + (uint64_t)i, &offset) == 0 && offset == i);
	}
	(void)close(fd);
	caller_free(worker);
	slow_end();
}

/* A partition is deleted while a helper has it. */
static void
test_failed_and_deleted(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	int64_t until_ms = tk_clock_mono_ms() + 20000;

	slow_env();
	part = commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(false, -EIO);
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	gate_set(true, 0);
	CU_ASSERT(wait_inside(1));
	CU_ASSERT(tk_trouble_busy(part) && tk_trouble_busy_name(&writer, "t", 0));
	CU_ASSERT(!tk_trouble_busy_name(&writer, "t", 1));
	CU_ASSERT(tk_part_delete(&writer, part) == -EBUSY);
	gate_set(false, 0);
	while (tk_part_find(&writer, SLOT) != NULL && tk_clock_mono_ms() < until_ms)
		turn_and_yield();
	CU_ASSERT(tk_part_find(&writer, SLOT) == NULL);
	caller_free(worker);
	slow_end();
}

/* The process ends while a helper waits for the disk, or reads a partition. */
static void
test_end_within(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;

	slow_env();
	part = commit_part("t", SLOT, 1 << 20);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	gate_set(true, 0);
	send_append(worker, 1, &frame);
	CU_ASSERT(wait_inside(1));
	CU_ASSERT(tk_part_delete(&writer, part) == 0); /* and its sync is an orphan */
	part = commit_part("u", SLOT, 1 << 20);
	gate_set(false, -EIO);
	CU_ASSERT(appended(worker, 1, NULL) == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION ||
		  worker->frame.id == 1);
	send_append(worker, 2, &frame);
	CU_ASSERT(appended(worker, 2, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	CU_ASSERT(part->state.status == TK_PART_OFFLINE);
	caller_free(worker);
	slow_end();
}

/* READ_ONLY clears without anybody's append. */
static void
test_read_only_clears(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	struct tk_writer_part *part;
	static const int errors[] = { -ENOSPC, -EDQUOT, -EIO, -EROFS };

	slow_env();
	part = part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	for (size_t i = 0; i < TK_COUNT_OF(errors); i++) {
		__atomic_store_n(&write_error, errors[i], __ATOMIC_RELAXED);
		send_append(worker, 1, &frame);
		CU_ASSERT(appended(worker, 1, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
		CU_ASSERT(part->state.status == TK_PART_READ_ONLY);
		part->try_ms = 0;
		tk_trouble_run(&writer.trouble);
		CU_ASSERT(part->state.status == TK_PART_READ_ONLY);
		__atomic_store_n(&write_error, 0, __ATOMIC_RELAXED);
		part->try_ms = 0;
		tk_trouble_run(&writer.trouble);
		CU_ASSERT(part->state.status == TK_PART_ONLINE);
		send_append(worker, 2, &frame);
		CU_ASSERT(appended(worker, 2, NULL) == 0);
	}
	CU_ASSERT(part->state.log_end.offset == (int64_t)TK_COUNT_OF(errors));
	tk_trouble_run(&writer.trouble);
	CU_ASSERT(TAILQ_EMPTY(&writer.troubled));
	caller_free(worker);
	slow_end();
}

/* ---- intervals and room ---- */

static void
test_intervals(void)
{
	struct tk_log_config config = tk_log_config_default();
	int64_t until_ms = tk_clock_mono_ms() + 20000;
	struct tk_writer_part *by_time, *by_count;
	struct caller *worker;
	struct tk_frame_append frame;

	slow_env();
	config.flush_ms = 30;
	by_time = part_make("t", SLOT, INC, &config);
	config.flush_ms = INT64_MAX;
	config.flush_messages = 3;
	by_count = part_make("u", SLOT + 1, INC, &config);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == 0);
	CU_ASSERT(by_time->state.high_watermark.offset == 1);
	while (by_time->state.durable_end < 1 && tk_clock_mono_ms() < until_ms)
		turn_and_yield();
	CU_ASSERT(by_time->state.durable_end == 1);
	frame.slot = SLOT + 1;
	for (uint64_t id = 2; id < 4; id++) {
		send_append(worker, id, &frame);
		CU_ASSERT(appended(worker, id, NULL) == 0);
	}
	CU_ASSERT(!by_count->syncing && by_count->state.durable_end == 0);
	send_append(worker, 4, &frame);
	CU_ASSERT(appended(worker, 4, NULL) == 0);
	while (by_count->state.durable_end < 3 && tk_clock_mono_ms() < until_ms)
		turn_and_yield();
	CU_ASSERT(by_count->state.durable_end == 3);
	caller_free(worker);
	slow_end();
}

/* Clients are refused before the disk is full; what is ours goes on. */
static void
test_min_free(void)
{
	struct caller *worker, *coord;
	struct tk_frame_append frame, ours;

	slow_env();
	(void)part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	coord = caller_new(TK_ROLE_COORDINATOR);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	ours =
	    append_frame(TK_META_SLOT, TK_META_INCARNATION, 0, put_batch(coord, 0, 1, 30, -1, 0));
	settings->min_free_bytes = INT64_MAX;
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	send_append(coord, 1, &ours);
	CU_ASSERT(appended(coord, 1, NULL) == 0);
	settings->min_free_bytes = 1;
	send_append(worker, 2, &frame); /* it is not asked for a second */
	CU_ASSERT(appended(worker, 2, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	writer.room.look_ms = 0;
	send_append(worker, 3, &frame);
	CU_ASSERT(appended(worker, 3, NULL) == 0);
	settings->min_free_bytes = INT64_MAX;
	tk_room_taken(&writer, (size_t)16 << 20);
	send_append(worker, 4, &frame);
	CU_ASSERT(appended(worker, 4, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	settings->min_free_bytes = 0;
	send_append(worker, 5, &frame);
	CU_ASSERT(appended(worker, 5, NULL) == 0);
	caller_free(worker);
	caller_free(coord);
	slow_end();
}

TK_UNIT_MAIN("writer, durability", { "commit", test_commit },
    { "a duplicate waits", test_commit_duplicate }, { "syncs overlap", test_commit_overlaps },
    { "commit over rolls", test_commit_rolls }, { "commit, killed", test_commit_crash },
    { "failed sync", test_failed }, { "failed sync, lost batches", test_failed_and_lost },
    { "failed sync, deleted", test_failed_and_deleted }, { "the end within", test_end_within },
    { "read-only clears", test_read_only_clears }, { "intervals", test_intervals },
    { "min_free_bytes", test_min_free })
