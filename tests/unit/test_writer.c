/*
 * Unit tests of the writer: appends, watches, lists, roles, credits.
 */
#include "test_writer.h"

#define SLOT 5u
#define INC  77u

/* ---- appends ---- */

static void
test_append(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	int64_t offset;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 100, put_batch(worker, 100, 3, 20, -1, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, &offset) == 0 && offset == 0);
	send_append(worker, 2, &frame);
	CU_ASSERT(appended(worker, 2, &offset) == 0 && offset == 3);
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset == 6);
	CU_ASSERT(counter(TK_COUNT_append_batches) == 2);
	CU_ASSERT(counter(TK_COUNT_append_bytes) == 2 * (uint64_t)frame.len);
	caller_free(worker);
	env_free();
}

/* All that comes in a turn is one append, answered in order. */
static void
test_append_joined(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	int64_t offset;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	(void)part_make("u", SLOT + 1, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
	for (uint64_t id = 1; id <= 100; id++) {
		frame.slot = SLOT + id % 2;
		send_append(worker, id, &frame);
	}
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t id;

		CU_ASSERT_FATAL(receive(worker));
		id = worker->frame.id;
		offset = ((const struct tk_frame_appended *)(void *)worker->payload)->base_offset;
		CU_ASSERT(offset == (int64_t)(id - 1) / 2);
	}
	CU_ASSERT(counter(TK_COUNT_appends) == 2);
	CU_ASSERT(counter(TK_COUNT_append_batches) == 100);
	caller_free(worker);
	env_free();
}

static void
test_append_duplicate(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	int64_t offset;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 2, 20, 900, 0));
	send_append(worker, 1, &frame);
	send_append(worker, 2, &frame); /* of the same turn */
	CU_ASSERT(appended(worker, 1, &offset) == 0 && offset == 0);
	CU_ASSERT(appended(worker, 2, &offset) == 0 && offset == 0);
	send_append(worker, 3, &frame);
	CU_ASSERT(appended(worker, 3, &offset) == 0 && offset == 0);
	frame.len = put_batch(worker, 0, 2, 20, 900, 7);
	send_append(worker, 4, &frame);
	CU_ASSERT(appended(worker, 4, NULL) == TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	frame.len = put_batch(worker, 0, 2, 20, 900, 2);
	send_append(worker, 5, &frame);
	CU_ASSERT(appended(worker, 5, &offset) == 0 && offset == 2);
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset == 4);
	caller_free(worker);
	env_free();
}

static void
test_append_refused(void)
{
	struct tk_log_config config = tk_log_config_default();
	struct caller *worker;
	struct tk_frame_append good, frame;

	env_new();
	config.revision = 40;
	(void)part_make("t", SLOT, INC, &config);
	worker = caller_new(TK_ROLE_WORKER);
	frame = good = append_frame(SLOT, INC, 0, put_batch(worker, 0, 2, 20, -1, 0));
	frame.incarnation = INC + 1;
	send_append(worker, 1, &frame);
	CU_ASSERT(appended(worker, 1, NULL) == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	frame = good;
	frame.slot = 4000;
	send_append(worker, 2, &frame);
	CU_ASSERT(appended(worker, 2, NULL) == TK_ERR_NOT_LEADER_OR_FOLLOWER);
	frame = good;
	frame.config_revision = 39;
	send_append(worker, 3, &frame);
	CU_ASSERT(appended(worker, 3, NULL) == TK_APPENDED_STALE);
	frame = good;
	frame.leader_epoch = 3;
	send_append(worker, 4, &frame);
	CU_ASSERT(appended(worker, 4, NULL) == TK_ERR_UNKNOWN_LEADER_EPOCH);
	frame = good;
	frame.deadline_ms = tk_clock_mono_ms() - 1;
	send_append(worker, 5, &frame);
	CU_ASSERT(appended(worker, 5, NULL) == TK_ERR_REQUEST_TIMED_OUT);
	frame = good;
	frame.config_revision = 40;
	frame.leader_epoch = 0;
	frame.deadline_ms = tk_clock_mono_ms() + 10000;
	send_append(worker, 6, &frame);
	CU_ASSERT(appended(worker, 6, NULL) == 0);
	worker->arena[70] ^= 1; /* after the client sealed it */
	send_append(worker, 7, &good);
	CU_ASSERT(appended(worker, 7, NULL) == TK_ERR_CORRUPT_MESSAGE);
	CU_ASSERT(counter(TK_COUNT_append_errors) == 6);
	caller_free(worker);
	env_free();
}

/* Frames that no honest worker sends; each ends the channel and touches nothing else. */
static void
test_append_hostile(void)
{
	struct tk_frame_append good, bad[11];
	struct caller *honest;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	honest = caller_new(TK_ROLE_WORKER);
	good = append_frame(SLOT, INC, 0, put_batch(honest, 0, 1, 20, -1, 0));
	for (size_t i = 0; i < TK_COUNT_OF(bad); i++)
		bad[i] = good;
	bad[0].arena_offset = ARENA_BYTES;
	bad[1].arena_offset = ARENA_BYTES - good.len + 1;
	bad[2].arena_offset = UINT64_MAX - 10;
	bad[3].len = UINT32_MAX;
	bad[4].len = TK_BATCH_HEADER_BYTES - 1;
	bad[5].slot = TK_ZONE_SLOTS_MAX;
	bad[6].flags = 4;
	bad[7].flags = TK_APPEND_SYNC; /* the coordinator's */
	bad[8].incarnation = 0;
	bad[9].slot = TK_META_SLOT;
	bad[9].incarnation = TK_META_INCARNATION;
	bad[10].flags = TK_APPEND_MAX_TIMESTAMP; /* no record's: -1 is the least */
	bad[10].max_timestamp = -2;
	for (size_t i = 0; i < TK_COUNT_OF(bad); i++) {
		struct caller *worker = caller_new(TK_ROLE_WORKER);

		memcpy(worker->arena, honest->arena, good.len);
		send_append(worker, 1, &bad[i]);
		send_append(worker, 2, &good); /* too late */
		CU_ASSERT(ended(worker));
		caller_free(worker);
	}
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset == 0);
	send_append(honest, 3, &good);
	CU_ASSERT(appended(honest, 3, NULL) == 0);
	good.arena_offset = ARENA_BYTES - good.len; /* the last place there is */
	memcpy(honest->arena + good.arena_offset, honest->arena, good.len);
	send_append(honest, 4, &good);
	CU_ASSERT(appended(honest, 4, NULL) == 0);
	caller_free(honest);
	env_free();
}

/* Who may say what: the role is the master's word, never the frame's. */
static void
test_roles(void)
{
	static const struct {
		enum tk_role role;
		enum tk_frame_type type;
		size_t len;
		bool good;
	} rows[] = {
		{ TK_ROLE_CLEANER, TK_FRAME_APPEND, sizeof(struct tk_frame_append), false },
		{ TK_ROLE_WRITER, TK_FRAME_APPEND, sizeof(struct tk_frame_append), false },
		{ TK_ROLE_WORKER, TK_FRAME_APPLY, sizeof(struct tk_frame_apply), false },
		{ TK_ROLE_CLEANER, TK_FRAME_APPLY, sizeof(struct tk_frame_apply), false },
		{ TK_ROLE_WORKER, TK_FRAME_RETAIN, sizeof(struct tk_frame_retain), true },
		{ TK_ROLE_WRITER, TK_FRAME_RETAIN, sizeof(struct tk_frame_retain), false },
		{ TK_ROLE_WORKER, TK_FRAME_CLEANED, sizeof(struct tk_frame_cleaned), false },
		{ TK_ROLE_CLEANER, TK_FRAME_CLEANED, sizeof(struct tk_frame_cleaned), false },
		{ TK_ROLE_WORKER, TK_FRAME_CLEAN_POINT, sizeof(struct tk_frame_clean_point),
		    false },
		{ TK_ROLE_CLEANER, TK_FRAME_CLEAN_POINT, sizeof(struct tk_frame_clean_point),
		    true },
		{ TK_ROLE_COORDINATOR, TK_FRAME_RETAIN, sizeof(struct tk_frame_retain), false },
		{ TK_ROLE_MASTER, TK_FRAME_WATCH, sizeof(struct tk_frame_watch), false },
		{ TK_ROLE_WORKER, TK_FRAME_HELLO, sizeof(struct tk_frame_hello), false },
		{ TK_ROLE_WORKER, TK_FRAME_APPENDED, sizeof(struct tk_frame_appended), false },
		{ TK_ROLE_WORKER, TK_FRAME_NOTIFY, sizeof(struct tk_frame_notify), false },
		{ TK_ROLE_WORKER, TK_FRAME_FORWARD, sizeof(struct tk_frame_forward), false },
		{ TK_ROLE_WORKER, 200, 8, false },
		{ TK_ROLE_WORKER, TK_FRAME_WATCH, sizeof(struct tk_frame_watch) - 1, false },
		{ TK_ROLE_WORKER, TK_FRAME_WATCH, sizeof(struct tk_frame_watch) + 1, false },
		{ TK_ROLE_WORKER, TK_FRAME_WATCH, 0, false },
		{ TK_ROLE_WORKER, TK_FRAME_WATCH, sizeof(struct tk_frame_watch), true },
		{ TK_ROLE_WRITER, TK_FRAME_WATCH, sizeof(struct tk_frame_watch), true },
		{ TK_ROLE_CLEANER, TK_FRAME_SEGMENTS, sizeof(struct tk_frame_segments), true },
		{ TK_ROLE_CLEANER, TK_FRAME_RETAIN, sizeof(struct tk_frame_retain), true },
	};
	static const uint8_t zeros[2048];

	env_new();
	for (size_t i = 0; i < TK_COUNT_OF(rows); i++) {
		struct caller *caller = caller_new(rows[i].role);

		send_frame(caller, rows[i].type, 9, zeros, rows[i].len);
		CU_ASSERT(ended(caller) != rows[i].good);
		caller_free(caller);
	}
	env_free();
}

static void
test_hello(void)
{
	const struct tk_frame_segments segments = { .incarnation = TK_META_INCARNATION };
	struct caller *caller;

	env_new();
	caller = caller_new(TK_ROLE_WORKER); /* says hello */
	turns(2);
	CU_ASSERT(silent(caller));
	(void)close(caller->fd);
	caller_connect(caller);
	send_frame(caller, TK_FRAME_SEGMENTS, 1, &segments, sizeof(segments)); /* no hello */
	CU_ASSERT(ended(caller));
	(void)close(caller->fd);
	caller_connect(caller);
	hello(caller, TK_FRAMES_VERSION + 1);
	CU_ASSERT(ended(caller));
	caller_free(caller);
	env_free();
}

/* The first cut of each frame and every prefix of it leave nothing behind. */
static void
test_torn_frames(void)
{
	struct tk_frame head = { .len = sizeof(struct tk_frame_append), .type = TK_FRAME_APPEND };
	uint8_t bytes[sizeof(head) + sizeof(struct tk_frame_append)];
	struct tk_frame_append frame;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	for (size_t cut = 0; cut < sizeof(bytes); cut += 7) {
		struct caller *worker = caller_new(TK_ROLE_WORKER);

		frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 20, -1, 0));
		memcpy(bytes, &head, sizeof(head));
		memcpy(bytes + sizeof(head), &frame, sizeof(frame));
		CU_ASSERT(send(worker->fd, bytes, cut, 0) == (ssize_t)cut);
		turns(2);
		caller_free(worker);
	}
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset == 0);
	env_free();
}

/* Past its credits a worker is not read; all of it is answered in the end, in order. */
static void
test_credits(void)
{
	struct caller *flood, *other;
	struct tk_frame_append frame;
	unsigned most = 0;
	bool paused = false;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	flood = caller_new(TK_ROLE_WORKER);
	other = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(flood, 0, 1, 5000, -1, 0));
	memcpy(other->arena, flood->arena, frame.len);
	send_appends(flood, 1700, &frame);
	send_append(other, 1, &frame);
	for (int i = 0; i < 3; i++) {
		struct tk_caller *inside;

		turns(1);
		LIST_FOREACH (inside, &writer.callers, link) {
			most = TK_MAX(most, inside->outstanding);
			paused |= inside->paused;
		}
		if (i == 0) /* not behind the flood */
			CU_ASSERT(fill(other) && take_frame(other));
	}
	CU_ASSERT(most <= TK_WRITER_CREDITS && paused);
	for (uint64_t id = 1; id <= 1700; id++)
		CU_ASSERT_FATAL(appended(flood, id, NULL) == 0);
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset == 1701);
	caller_free(flood);
	caller_free(other);
	env_free();
}

/* What a dead worker has waiting is not written; what was, stays. */
static void
test_dead_caller(void)
{
	struct caller *dead, *alive;
	struct tk_frame_append frame;
	int64_t end;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	dead = caller_new(TK_ROLE_WORKER);
	alive = caller_new(TK_ROLE_WORKER);
	turns(2);
	frame = append_frame(SLOT, INC, 0, put_batch(dead, 0, 1, 5000, -1, 0));
	memcpy(alive->arena, dead->arena, frame.len);
	send_appends(dead, 900, &frame);
	(void)close(dead->fd);
	dead->fd = -1;
	turns(1); /* one turn's worth is written, the rest waits */
	end = tk_part_find(&writer, SLOT)->state.log_end.offset;
	CU_ASSERT(end > 0 && end < 900);
	turns(6);
	CU_ASSERT(tk_part_find(&writer, SLOT)->state.log_end.offset < 900);
	memset(dead->arena, 0xff, ARENA_BYTES);
	send_append(alive, 1, &frame);
	CU_ASSERT(appended(alive, 1, NULL) == 0);
	CU_ASSERT(!tk_appends_waiting(&writer));
	caller_free(dead);
	caller_free(alive);
	env_free();
}

/* A large batch goes alone; a turn's share of a partition is bounded. */
static void
test_turn_bounds(void)
{
	struct tk_log_config config = tk_log_config_default();
	struct caller *worker;
	struct tk_frame_append frame;

	env_new();
	config.max_message_bytes = 4 << 20;
	(void)part_make("t", SLOT, INC, &config);
	worker = caller_new(TK_ROLE_WORKER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 200000, -1, 0));
	for (uint64_t id = 1; id <= 12; id++)
		send_append(worker, id, &frame);
	for (uint64_t id = 1; id <= 12; id++)
		CU_ASSERT(appended(worker, id, NULL) == 0);
	CU_ASSERT(counter(TK_COUNT_appends) == 3); /* five of 200,000 bytes to the MiB */
	caller_free(worker);
	env_free();
}

/* ---- the coordinator ---- */

static struct tk_frame_append
journal_frame(struct caller *coord, uint32_t flags)
{
	struct tk_frame_append frame =
	    append_frame(TK_META_SLOT, TK_META_INCARNATION, 0, put_batch(coord, 0, 1, 30, -1, 0));

	frame.flags = flags;
	return frame;
}

static void
test_sync(void)
{
	struct caller *coord;
	struct tk_frame_append frame;
	int64_t offset;

	env_new();
	coord = caller_new(TK_ROLE_COORDINATOR);
	frame = journal_frame(coord, TK_APPEND_SYNC);
	for (uint64_t id = 1; id <= 20; id++)
		send_append(coord, id, &frame);
	for (uint64_t id = 1; id <= 20; id++)
		CU_ASSERT(appended(coord, id, &offset) == 0 && offset == (int64_t)id - 1);
	CU_ASSERT(!tk_durable_waiting(&writer));
	send_append(coord, 21, &frame); /* and one that dies while it waits */
	turns(1);
	caller_free(coord);
	CU_ASSERT(tk_part_find(&writer, TK_META_SLOT)->state.log_end.offset == 21);
	env_free();
}

static int
fail_journal_sync(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)path;
	(void)fd;
	(void)bytes;
	return op == TK_FILE_SYNC ? -EIO : 0;
}

/* A sync that failed once is never asked for again: nothing is promised while syncs fail. */
static void
test_sync_failed(void)
{
	struct caller *coord;
	struct tk_frame_append frame;

	env_new();
	coord = caller_new(TK_ROLE_COORDINATOR);
	frame = journal_frame(coord, TK_APPEND_SYNC);
	tk_file_fault = fail_journal_sync;
	send_append(coord, 1, &frame);
	CU_ASSERT(appended(coord, 1, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	send_append(coord, 2, &frame);
	CU_ASSERT(appended(coord, 2, NULL) == TK_ERR_KAFKA_STORAGE_ERROR);
	tk_durable_free(&writer); /* the helper is done with it */
	tk_file_fault = NULL;
	caller_free(coord);
	env_free();
}

static void
test_fencing(void)
{
	struct caller *old, *new;
	struct tk_frame_append frame;

	env_new();
	old = caller_new(TK_ROLE_COORDINATOR);
	turns(2);
	new = caller_new(TK_ROLE_COORDINATOR);
	CU_ASSERT(ended(old));
	frame = journal_frame(old, 0);
	send_append(old, 1, &frame);
	turns(3);
	CU_ASSERT(tk_part_find(&writer, TK_META_SLOT)->state.log_end.offset == 0);
	frame = journal_frame(new, 0);
	send_append(new, 2, &frame);
	CU_ASSERT(appended(new, 2, NULL) == 0);
	(void)part_make("t", SLOT, INC, NULL);
	frame = append_frame(SLOT, INC, 0, frame.len); /* not the coordinator's to write */
	send_append(new, 3, &frame);
	CU_ASSERT(ended(new));
	caller_free(old);
	caller_free(new);
	env_free();
}

/* ---- watches ---- */

static struct caller *watcher, *producer;
static struct tk_frame_append one;

static void
watch_env(void)
{
	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	watcher = caller_new(TK_ROLE_WORKER);
	producer = caller_new(TK_ROLE_WORKER);
	turns(2);
	one = append_frame(SLOT, INC, 0, put_batch(producer, 0, 1, 20, -1, 0));
}

static void
watch_env_free(void)
{
	caller_free(watcher);
	caller_free(producer);
	env_free();
}

static void
produce_one(void)
{
	static uint64_t id;

	send_append(producer, ++id, &one);
	CU_ASSERT(appended(producer, id, NULL) == 0);
}

/* A watch as a worker makes it: on the record as it is now, for so many bytes more. */
static struct tk_frame_watch
watch_now(int64_t bytes)
{
	struct tk_part_state state;
	uint64_t seq;

	CU_ASSERT_FATAL(tk_zone_read(writer.zone, SLOT, &state, &seq));
	return (struct tk_frame_watch){ .incarnation = state.incarnation,
		.seq = seq,
		.segment = state.high_watermark.segment,
		.position = state.high_watermark.position + bytes,
		.slot = SLOT };
}

static void
send_watch(uint64_t id, const struct tk_frame_watch *watch)
{
	send_frame(watcher, TK_FRAME_WATCH, id, watch, sizeof(*watch));
}

static bool
notified(uint64_t id)
{
	const struct tk_frame_notify *notify = expect(watcher, TK_FRAME_NOTIFY, id);

	return notify->slot == SLOT && notify->incarnation == INC;
}

static void
test_watch_then_append(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now(1);
	send_watch(1, &watch);
	CU_ASSERT(silent(watcher));
	produce_one();
	CU_ASSERT(notified(1));
	produce_one();
	CU_ASSERT(silent(watcher)); /* once */
	watch_env_free();
}

static void
test_append_then_watch(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now(1);
	produce_one(); /* between the worker's look and its watch */
	send_watch(1, &watch);
	CU_ASSERT(notified(1));
	watch_env_free();
}

/* Both in one turn, the watch first or last. */
static void
test_watch_and_append(void)
{
	struct tk_frame_watch watch;

	watch_env();
	for (uint64_t id = 1; id <= 20; id++) {
		watch = watch_now(1);
		if (id % 2 == 0)
			send_watch(id, &watch);
		send_append(producer, 1000 + id, &one);
		if (id % 2 == 1)
			send_watch(id, &watch);
		CU_ASSERT(notified(id));
		CU_ASSERT(appended(producer, 1000 + id, NULL) == 0);
	}
	watch_env_free();
}

static void
test_watch_position(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now((int64_t)one.len * 3);
	send_watch(1, &watch);
	produce_one();
	produce_one();
	CU_ASSERT(silent(watcher));
	produce_one();
	CU_ASSERT(notified(1));
	watch = watch_now((int64_t)one.len * 3); /* the same, arriving after two of the three */
	produce_one();
	produce_one();
	send_watch(2, &watch);
	CU_ASSERT(silent(watcher));
	produce_one();
	CU_ASSERT(notified(2));
	watch_env_free();
}

/* Reached already but the record is the one that was read: waits for another one. */
static void
test_watch_same_record(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now(0);
	send_watch(1, &watch);
	CU_ASSERT(silent(watcher));
	produce_one();
	CU_ASSERT(notified(1));
	watch_env_free();
}

static void
test_watch_replaced(void)
{
	struct tk_frame_watch near, far;

	watch_env();
	near = watch_now(1);
	far = watch_now((int64_t)one.len * 2);
	send_watch(1, &near);
	send_watch(2, &far);
	produce_one();
	CU_ASSERT(silent(watcher)); /* the near one was replaced */
	produce_one();
	CU_ASSERT(notified(2));
	CU_ASSERT(silent(watcher));
	far = watch_now((int64_t)one.len * 9);
	send_watch(3, &far);
	CU_ASSERT(silent(watcher));
	near = watch_now(1);
	produce_one();
	send_watch(4, &near); /* replaces by being answered */
	CU_ASSERT(notified(4));
	for (int i = 0; i < 10; i++)
		produce_one();
	CU_ASSERT(silent(watcher));
	watch_env_free();
}

static void
test_watch_two_callers(void)
{
	struct tk_frame_watch watch;
	struct caller *second;

	watch_env();
	second = caller_new(TK_ROLE_WORKER);
	watch = watch_now(1);
	send_watch(1, &watch);
	send_frame(second, TK_FRAME_WATCH, 2, &watch, sizeof(watch));
	turns(2);
	(void)close(watcher->fd); /* dies; the other is told */
	watcher->fd = -1;
	turns(2);
	produce_one();
	(void)expect(second, TK_FRAME_NOTIFY, 2);
	caller_free(second);
	watch_env_free();
}

static void
test_watch_ghosts(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now(1);
	watch.incarnation = INC - 1; /* an older topic of the slot */
	send_watch(1, &watch);
	CU_ASSERT(
	    ((const struct tk_frame_notify *)expect(watcher, TK_FRAME_NOTIFY, 1))->incarnation ==
	    INC - 1);
	watch = watch_now(1);
	watch.slot = 900000;
	send_watch(2, &watch);
	(void)expect(watcher, TK_FRAME_NOTIFY, 2);
	watch.slot = UINT32_MAX;
	send_watch(3, &watch);
	(void)expect(watcher, TK_FRAME_NOTIFY, 3);
	watch = watch_now(1);
	watch.seq += 5; /* a record that never was */
	send_watch(4, &watch);
	CU_ASSERT(notified(4));
	watch_env_free();
}

/* A change of the record's shape is told at once, whatever the position. */
static void
test_watch_shape(void)
{
	struct tk_frame_watch before, watch;
	struct tk_writer_part *part;

	watch_env();
	part = tk_part_find(&writer, SLOT);
	produce_one();
	before = watch = watch_now(1 << 20);
	send_watch(1, &watch);
	CU_ASSERT(silent(watcher));
	CU_ASSERT(tk_log_set_leader_epoch(part->log, 4) == 0);
	tk_part_published(&writer, part);
	CU_ASSERT(notified(1));
	send_watch(2, &before); /* read before the change, arrived after it */
	CU_ASSERT(notified(2));
	watch = watch_now(1 << 20);
	produce_one();
	send_watch(3, &watch); /* read after it: waits */
	CU_ASSERT(silent(watcher));
	CU_ASSERT(tk_log_advance_start(part->log, 1) == 0);
	tk_part_published(&writer, part);
	CU_ASSERT(notified(3));
	watch_env_free();
}

static void
test_watch_deleted(void)
{
	struct tk_frame_watch watch;

	watch_env();
	watch = watch_now(1 << 20);
	send_watch(1, &watch);
	turns(2);
	CU_ASSERT(tk_part_delete(&writer, tk_part_find(&writer, SLOT)) == 0);
	CU_ASSERT(notified(1));
	send_watch(2, &watch); /* too late, and told so */
	CU_ASSERT(notified(2));
	(void)part_make("t", SLOT, INC + 1, NULL); /* made again in the same slot */
	send_watch(3, &watch);
	CU_ASSERT(notified(3));
	send_append(producer, 50, &one);
	CU_ASSERT(appended(producer, 50, NULL) == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION);
	watch_env_free();
}

/* A roll leaves the segment that was waited in. */
static void
test_watch_roll(void)
{
	struct tk_frame_watch watch;
	struct tk_writer_part *part;

	watch_env();
	part = tk_part_find(&writer, SLOT);
	produce_one();
	watch = watch_now(1 << 20);
	send_watch(1, &watch);
	turns(2);
	CU_ASSERT(tk_log_roll(part->log, tk_clock_wall_ms()) == 0);
	tk_part_published(&writer, part);
	CU_ASSERT(notified(1));
	CU_ASSERT(counter(TK_COUNT_segments_rolled) == 1);
	watch_env_free();
}

/* ---- deletion under load ---- */

static void
test_delete_waiting(void)
{
	struct caller *worker;
	struct tk_frame_append frame;
	unsigned good = 0, gone = 0;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	turns(1);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 5, -1, 0));
	send_appends(worker, 800, &frame);
	turns(1);
	CU_ASSERT(tk_appends_waiting(&writer));
	CU_ASSERT(tk_part_delete(&writer, tk_part_find(&writer, SLOT)) == 0);
	for (uint64_t id = 1; id <= 800; id++) {
		int error = appended(worker, id, NULL);

		good += error == 0;
		gone += error == TK_ERR_UNKNOWN_TOPIC_OR_PARTITION ||
			error == TK_ERR_NOT_LEADER_OR_FOLLOWER;
	}
	CU_ASSERT(good > 0 && gone > 0 && good + gone == 800);
	caller_free(worker);
	env_free();
}

/* ---- lists ---- */

/* Ten records each; how many failed. */
static int
many_appends(struct caller *worker, int batches)
{
	struct tk_frame_append frame =
	    append_frame(SLOT, INC, 0, put_batch(worker, 0, 10, 80, -1, 0));
	int failed = 0;

	for (int i = 0; i < batches; i++) {
		send_append(worker, 1000, &frame);
		failed += appended(worker, 1000, NULL) != 0;
	}
	return failed;
}

static struct tk_writer_part *
many_segments(struct caller *worker, int batches)
{
	struct tk_log_config config = tk_log_config_default();

	config.segment_bytes = 1000;
	(void)part_make("t", SLOT, INC, &config);
	CU_ASSERT(many_appends(worker, batches) == 0);
	return tk_part_find(&writer, SLOT);
}

static void
test_segments(void)
{
	struct tk_frame_segments ask = { .incarnation = INC, .slot = SLOT };
	struct tk_frame_segments_are are;
	struct tk_segment_info last;
	struct caller *worker;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	(void)many_segments(worker, 6);
	send_frame(worker, TK_FRAME_SEGMENTS, 7, &ask, sizeof(ask));
	memcpy(&are, expect(worker, TK_FRAME_SEGMENTS_ARE, 7), sizeof(are));
	CU_ASSERT(are.error == 0 && are.count == 6 && are.slot == SLOT && are.incarnation == INC);
	CU_ASSERT(worker->frame.len == sizeof(are) + are.count * sizeof(last));
	memcpy(&last, worker->payload + sizeof(are) + 5 * sizeof(last), sizeof(last));
	CU_ASSERT(last.base_offset == 50 && last.log_inode != 0);
	CU_ASSERT(are.generation == tk_part_find(&writer, SLOT)->state.segments_generation);
	ask.incarnation++;
	send_frame(worker, TK_FRAME_SEGMENTS, 8, &ask, sizeof(ask));
	memcpy(&are, expect(worker, TK_FRAME_SEGMENTS_ARE, 8), sizeof(are));
	CU_ASSERT(are.error == -ENOENT && are.count == 0);
	CU_ASSERT(worker->frame.len == sizeof(are));
	caller_free(worker);
	env_free();
}

static int
retain(struct caller *cleaner, int64_t log_start, int64_t *ret_start)
{
	const struct tk_frame_retain frame = {
		.incarnation = INC, .log_start = log_start, .slot = SLOT
	};
	struct tk_frame_retained answer;

	send_frame(cleaner, TK_FRAME_RETAIN, 3, &frame, sizeof(frame));
	memcpy(&answer, expect(cleaner, TK_FRAME_RETAINED, 3), sizeof(answer));
	*ret_start = answer.log_start;
	return answer.error;
}

static void
test_retain(void)
{
	struct caller *worker, *cleaner;
	struct tk_writer_part *part;
	struct tk_segment_info *infos;
	size_t count;
	int64_t start;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	cleaner = caller_new(TK_ROLE_CLEANER);
	part = many_segments(worker, 6);
	CU_ASSERT(retain(cleaner, 20, &start) == 0 && start == 20);
	CU_ASSERT(counter(TK_COUNT_segments_deleted) == 2);
	CU_ASSERT(tk_log_segments(part->log, &infos, &count) == 0 && count == 4);
	CU_ASSERT(infos[0].base_offset == 20);
	free(infos);
	CU_ASSERT(retain(cleaner, 5, &start) == 0 && start == 20); /* never back */
	CU_ASSERT(retain(cleaner, 61, &start) == -EINVAL && start == 20);
	CU_ASSERT(retain(cleaner, 60, &start) == 0 && start == 60); /* all: the active one too */
	CU_ASSERT(tk_log_segments(part->log, &infos, &count) == 0 && count == 1);
	CU_ASSERT(infos[0].base_offset == 60);
	free(infos);
	CU_ASSERT(counter(TK_COUNT_segments_deleted) == 6);
	send_append(worker, 9,
	    &(struct tk_frame_append){ .incarnation = INC,
		.len = put_batch(worker, 0, 1, 9, -1, 0),
		.slot = SLOT,
		.leader_epoch = -1 });
	CU_ASSERT(appended(worker, 9, &start) == 0 && start == 60);
	caller_free(worker);
	caller_free(cleaner);
	env_free();
}

static int
fail_starts(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	(void)fd;
	(void)bytes;
	return op == TK_FILE_OPEN && path != NULL && strstr(path, "log-start-offset") != NULL
		   ? -ENOSPC
		   : 0;
}

static bool
starts_say(const char *line)
{
	char *text;
	size_t len;
	bool found;

	if (tk_file_read_all(writer.dir_fd, "log-start-offset-checkpoint", 4096, &text, &len) < 0)
		return false;
	found = strstr(text, line) != NULL;
	free(text);
	return found;
}

/* A worker's: answered when the start is in the checkpoint, an error if it could not be. */
static void
test_retain_worker(void)
{
	struct caller *worker, *other;
	int64_t start;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	other = caller_new(TK_ROLE_WORKER);
	(void)many_segments(worker, 6);
	CU_ASSERT(retain(other, 25, &start) == 0 && start == 25);
	CU_ASSERT(starts_say("t 0 25\n"));
	CU_ASSERT(counter(TK_COUNT_segments_deleted) == 2);
	CU_ASSERT(retain(worker, 61, &start) == -EINVAL && start == 25);
	tk_file_fault = fail_starts;
	CU_ASSERT(retain(worker, 33, &start) == -ENOSPC && start == 33);
	tk_file_fault = NULL;
	CU_ASSERT(retain(worker, 33, &start) == 0 && start == 33); /* asked again */
	CU_ASSERT(starts_say("t 0 33\n"));
	/* Who asked is gone before the answer. */
	send_frame(other, TK_FRAME_RETAIN, 4,
	    &(struct tk_frame_retain){ .incarnation = INC, .log_start = 45, .slot = SLOT },
	    sizeof(struct tk_frame_retain));
	caller_free(other);
	turns(3);
	CU_ASSERT(retain(worker, 1, &start) == 0 && start == 45);
	caller_free(worker);
	env_free();
}

/* Closed segments reach the disk without being asked for. */
static void
test_closed_synced(void)
{
	struct caller *worker;
	struct tk_writer_part *part;
	int64_t until_ms;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	part = many_segments(worker, 40);
	until_ms = tk_clock_mono_ms() + 5000;
	while (tk_log_has_unsynced(part->log) && tk_clock_mono_ms() < until_ms)
		turns(1);
	CU_ASSERT(part->state.durable_end == part->state.log_end.segment);
	CU_ASSERT(part->state.durable_end == 390);
	caller_free(worker);
	env_free();
}

/* A closed segment that could not be synced: nothing says that it was, a clean stop least of all.
 */
static void
test_closed_failed(void)
{
	struct caller *worker;
	struct tk_writer_part *part;
	int64_t until_ms = tk_clock_mono_ms() + 5000;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	part = many_segments(worker, 1);
	tk_file_fault = fail_journal_sync;
	(void)many_appends(worker, 3);
	while (part->state.status != TK_PART_OFFLINE && tk_clock_mono_ms() < until_ms)
		turns(1);
	CU_ASSERT(part->state.status == TK_PART_OFFLINE && part->state.durable_end == 0);
	CU_ASSERT(many_appends(worker, 6) == 6); /* offline */
	turns(20);
	CU_ASSERT(part->state.durable_end == 0);
	tk_durable_free(&writer); /* nobody brings it back */
	tk_file_fault = NULL;
	writer.stopping = true;
	proc.exit_code = 99;
	for (int i = 0; i < 50 && proc.exit_code == 99; i++)
		turns(1);
	CU_ASSERT(proc.exit_code == 1);
	caller_free(worker);
	env_free();
}

/* A caller that asks and does not read is not read either. */
static void
test_unread_answers(void)
{
	struct tk_frame_segments ask = { .incarnation = INC, .slot = SLOT };
	struct caller *worker, *deaf;
	struct tk_caller *inside;
	size_t answers = 0, asked = 0;
	bool paused = false;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	(void)many_segments(worker, 200);
	deaf = caller_new(TK_ROLE_WORKER);
	for (int i = 0; i < 2000; i++) {
		struct tk_frame frame = { .len = sizeof(ask), .type = TK_FRAME_SEGMENTS, .id = 1 };
		uint8_t bytes[sizeof(frame) + sizeof(ask)];

		memcpy(bytes, &frame, sizeof(frame));
		memcpy(bytes + sizeof(frame), &ask, sizeof(ask));
		if (send(deaf->fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
			asked++;
		turns(1);
	}
	LIST_FOREACH (inside, &writer.callers, link) {
		paused |= inside->paused;
		CU_ASSERT(tk_channel_queued(inside->chan) < TK_WRITER_QUEUED_MAX + (1 << 20));
	}
	CU_ASSERT(paused);
	while (answers < asked && receive(deaf))
		answers++;
	CU_ASSERT(answers == asked);
	caller_free(deaf);
	caller_free(worker);
	env_free();
}

/* ---- stop ---- */

static void
test_stop(void)
{
	struct caller *worker;
	struct tk_frame_append frame;

	env_new();
	(void)part_make("t", SLOT, INC, NULL);
	worker = caller_new(TK_ROLE_WORKER);
	turns(1);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 5, -1, 0));
	send_appends(worker, 700, &frame);
	turns(1);
	writer.stopping = true;
	send_append(worker, 701, &frame);
	proc.exit_code = 99;
	for (int i = 0; i < 50 && proc.exit_code == 99; i++)
		turns(1);
	CU_ASSERT(proc.exit_code == 0);
	for (uint64_t id = 1; id <= 700; id++)
		CU_ASSERT(appended(worker, id, NULL) == 0);
	CU_ASSERT(appended(worker, 701, NULL) == TK_ERR_NOT_LEADER_OR_FOLLOWER);
	caller_free(worker);
	env_free();
}

/* Before the writer is ready a worker is not read; it loses nothing. */
static void
test_not_ready(void)
{
	struct caller *worker, *peer;
	struct tk_frame_append frame;
	const struct tk_frame_watch watch = { .incarnation = 1, .seq = UINT64_MAX };

	env_new();
	writer.ready = false;
	worker = caller_new(TK_ROLE_WORKER);
	peer = caller_new(TK_ROLE_WRITER);
	frame = append_frame(SLOT, INC, 0, put_batch(worker, 0, 1, 5, -1, 0));
	send_append(worker, 1, &frame);
	CU_ASSERT(silent(worker));
	send_frame(peer, TK_FRAME_WATCH, 4, &watch, sizeof(watch));
	(void)expect(peer, TK_FRAME_NOTIFY, 4);
	(void)part_make("t", SLOT, INC, NULL);
	writer.ready = true;
	CU_ASSERT(appended(worker, 1, NULL) == 0);
	caller_free(worker);
	caller_free(peer);
	env_free();
}

static int64_t
clean_point(struct caller *cleaner, uint64_t incarnation, int64_t offset, int *ret_error)
{
	const struct tk_frame_clean_point frame = {
		.incarnation = incarnation, .offset = offset, .slot = SLOT
	};
	struct tk_frame_clean_point_is answer;

	send_frame(cleaner, TK_FRAME_CLEAN_POINT, 5, &frame, sizeof(frame));
	memcpy(&answer, expect(cleaner, TK_FRAME_CLEAN_POINT_IS, 5), sizeof(answer));
	*ret_error = answer.error;
	return answer.offset;
}

static int
swap(struct caller *cleaner, uint64_t incarnation, const struct tk_segment_info *infos)
{
	struct tk_frame_cleaned frame = {
		.incarnation = incarnation, .job = 31, .slot = SLOT, .count = 2
	};
	struct tk_frame_swapped answer;

	for (size_t i = 0; i < 2; i++) {
		frame.sources[i].base_offset = infos[i].base_offset;
		frame.sources[i].log_inode = infos[i].log_inode;
	}
	send_frame(cleaner, TK_FRAME_CLEANED, 6, &frame, sizeof(frame));
	memcpy(&answer, expect(cleaner, TK_FRAME_SWAPPED, 6), sizeof(answer));
	return answer.error;
}

static void
cleaned_file(const char *suffix)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/t-0/%020d.%s.31.cleaned", data_path, 0, suffix);
	file = fopen(path, "w");
	CU_ASSERT_FATAL(file != NULL);
	(void)fclose(file);
}

/* Two segments of six become one that is empty; a former cleaner has no say. */
static void
test_cleaned(void)
{
	struct caller *worker, *cleaner, *next;
	struct tk_writer_part *part;
	struct tk_segment_info *infos;
	uint64_t generation;
	size_t count;
	int error;

	env_new();
	worker = caller_new(TK_ROLE_WORKER);
	cleaner = caller_new(TK_ROLE_CLEANER);
	part = many_segments(worker, 6);
	CU_ASSERT_FATAL(tk_log_segments(part->log, &infos, &count) == 0 && count == 6);
	generation = tk_log_state(part->log)->segments_generation;
	CU_ASSERT(clean_point(cleaner, INC, -1, &error) == -1 && error == 0);
	CU_ASSERT(swap(cleaner, INC, infos) == -ESTALE); /* no files */
	cleaned_file("log");
	cleaned_file("index");
	cleaned_file("timeindex");
	CU_ASSERT(swap(cleaner, INC + 1, infos) == -ESTALE);
	CU_ASSERT(swap(cleaner, INC, infos + 4) == -ESTALE); /* the active one is among them */
	CU_ASSERT(tk_log_state(part->log)->segments_generation == generation);
	CU_ASSERT(swap(cleaner, INC, infos) == 0);
	CU_ASSERT(tk_log_state(part->log)->segments_generation == generation + 1);
	CU_ASSERT(counter(TK_COUNT_segments_cleaned) == 2);
	free(infos);
	CU_ASSERT_FATAL(tk_log_segments(part->log, &infos, &count) == 0 && count == 5);
	CU_ASSERT(infos[0].base_offset == 0 && infos[0].size_bytes == 0);
	CU_ASSERT(infos[1].base_offset == 20);
	CU_ASSERT(clean_point(cleaner, INC, 20, &error) == 20 && error == 0);
	CU_ASSERT(clean_point(cleaner, INC, 2000, &error) == 20 && error == -EINVAL);
	(void)clean_point(cleaner, INC + 1, 5, &error);
	CU_ASSERT(error == -ENOENT);
	next = caller_new(TK_ROLE_CLEANER);
	turns(3);
	CU_ASSERT(ended(cleaner));
	CU_ASSERT(clean_point(next, INC, -1, &error) == 20);
	free(infos);
	caller_free(worker);
	caller_free(cleaner);
	caller_free(next);
	env_free();
}

TK_UNIT_MAIN("writer", { "append", test_append }, { "joined", test_append_joined },
    { "duplicates", test_append_duplicate }, { "refused", test_append_refused },
    { "hostile frames", test_append_hostile }, { "roles", test_roles }, { "hello", test_hello },
    { "torn frames", test_torn_frames }, { "credits", test_credits },
    { "a dead caller", test_dead_caller }, { "bounds of a turn", test_turn_bounds },
    { "sync", test_sync }, { "failed sync", test_sync_failed }, { "fencing", test_fencing },
    { "watch, append", test_watch_then_append }, { "append, watch", test_append_then_watch },
    { "watch and append at once", test_watch_and_append },
    { "watch a position", test_watch_position },
    { "watch the same record", test_watch_same_record },
    { "a watch replaced", test_watch_replaced }, { "two watch", test_watch_two_callers },
    { "watch ghosts", test_watch_ghosts }, { "watch the shape", test_watch_shape },
    { "watch a deletion", test_watch_deleted }, { "watch a roll", test_watch_roll },
    { "delete what waits", test_delete_waiting }, { "segments", test_segments },
    { "retain", test_retain }, { "retain for a worker", test_retain_worker },
    { "cleaned", test_cleaned }, { "closed segments are synced", test_closed_synced },
    { "or not", test_closed_failed }, { "unread answers", test_unread_answers },
    { "stop", test_stop }, { "not ready", test_not_ready })
