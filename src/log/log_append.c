/*
 * Appending: check, join, write, publish, index, settle.
 *
 * Writer process, the hot path.  A run is what one pwritev() takes: up to 512 batches or 1 MiB (one
 * larger batch is a run of its own) for one segment.  The frame's memory is a worker's and may
 * change at any moment: the header is copied once, lengths and offsets come from the copy alone.
 * The checksum is computed over the copy and the shared bytes; a worker that changes them between
 * that and the write damages its own batch, never what surrounds it, since recovery goes on behind
 * a bad checksum under a sound header.
 *
 * On failure whole batches that the file took are published, the rest fails with
 * KAFKA_STORAGE_ERROR, the partition is READ_ONLY and the next append cuts the file and tries.
 */
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/killpoint.h"
#include "log/log_private.h"
#include "wire/error_codes.h"

#define PUSH_BYTES       ((int64_t)8 * 1024 * 1024)
#define ALLOCATE_FROM    ((int64_t)1024 * 1024)
#define ALLOCATE_MOST    ((int64_t)16 * 1024 * 1024)
#define CRC_HEADER_BYTES (TK_BATCH_HEADER_BYTES - TK_BATCH_CRC_FROM)

_Static_assert(2 * TK_TURN_BATCHES_MAX <= IOV_MAX, "a run is one call");

/* What the check of an append came to. */
enum verdict { APPEND, DUPLICATE, REFUSE };

static void
answer(struct tk_append *append, const struct tk_log *log, int16_t error, int64_t base_offset)
{
	append->error = error;
	append->base_offset = base_offset;
	append->log_start = log->state.log_start;
}

static uint32_t
item_crc(const struct tk_turn_item *item)
{
	uint32_t crc = tk_crc32c(0, item->bytes + TK_BATCH_CRC_FROM, CRC_HEADER_BYTES);

	return tk_crc32c(crc, item->append->batch + TK_BATCH_HEADER_BYTES,
	    item->append->batch_bytes - TK_BATCH_HEADER_BYTES);
}

/* What must hold of the frame before its batch is looked at. */
static int16_t
check_frame(const struct tk_log *log, struct tk_append *append)
{
	if (append->incarnation != 0 && append->incarnation != log->state.incarnation)
		return TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	if (append->leader_epoch >= 0 && append->leader_epoch < log->state.leader_epoch)
		return TK_ERR_FENCED_LEADER_EPOCH;
	if (append->leader_epoch > log->state.leader_epoch)
		return TK_ERR_UNKNOWN_LEADER_EPOCH;
	if (append->config_revision != 0 && append->config_revision != log->config.revision) {
		append->stale = true;
		return TK_ERR_NOT_LEADER_OR_FOLLOWER;
	}
	if (append->batch_bytes < TK_BATCH_HEADER_BYTES || append->batch_bytes > INT32_MAX)
		return TK_ERR_CORRUPT_MESSAGE;
	return TK_ERR_NONE;
}

/* What a header must be for the file to stay readable, whoever sent it. */
static int16_t
check_header(
    const struct tk_log *log, const struct tk_append *append, const struct tk_batch_header *header)
{
	bool control = (header->attributes & TK_BATCH_CONTROL) != 0;

	if (tk_batch_size(header) != (int64_t)append->batch_bytes)
		return TK_ERR_CORRUPT_MESSAGE;
	if ((int64_t)append->batch_bytes > log->config.max_message_bytes)
		return TK_ERR_MESSAGE_TOO_LARGE;
	if ((int64_t)append->batch_bytes > log->config.segment_bytes)
		return TK_ERR_RECORD_LIST_TOO_LARGE;
	if (tk_batch_header_check(header) < 0 ||
	    header->records_count != (int64_t)header->last_offset_delta + 1)
		return TK_ERR_INVALID_RECORD;
	if (append->origin == TK_APPEND_CLIENT &&
	    (header->attributes & (TK_BATCH_CONTROL | TK_BATCH_DELETE_HORIZON)) != 0)
		return TK_ERR_INVALID_RECORD;
	/* Transactions come with the coordinator's part of them; until then nothing would end one.
	 */
	if ((header->attributes & TK_BATCH_TRANSACTIONAL) != 0)
		return TK_ERR_INVALID_TXN_STATE;
	if (header->producer_id >= 0 && !control &&
	    (header->producer_epoch < 0 || header->base_sequence < 0))
		return TK_ERR_INVALID_RECORD;
	return TK_ERR_NONE;
}

static int16_t
check_batch(const struct tk_log *log, struct tk_turn_item *item)
{
	const struct tk_append *append = item->append;
	int16_t error;

	memcpy(item->bytes, append->batch, sizeof(item->bytes));
	tk_batch_header_read(item->bytes, &item->header);
	item->header.base_offset = 0; /* the sender's says nothing */
	error = check_header(log, append, &item->header);
	if (error != TK_ERR_NONE)
		return error;
	return item_crc(item) == item->header.crc ? TK_ERR_NONE : TK_ERR_CORRUPT_MESSAGE;
}

/* Where the batch stands among its producer's. */
static enum verdict
check_sequence(const struct tk_log *log, struct tk_turn_item *item, int16_t *ret_error)
{
	struct tk_producer_batch original;

	if (item->header.producer_id < 0)
		return APPEND;
	switch (tk_producers_check(&log->producers, &item->header, &original)) {
	case TK_SEQUENCE_NEXT:
		return APPEND;
	case TK_SEQUENCE_DUPLICATE:
		item->is_duplicate = true;
		item->last_offset = original.last_offset;
		item->header.base_offset = original.last_offset - original.offset_delta;
		item->header.max_timestamp = original.timestamp;
		return DUPLICATE;
	case TK_SEQUENCE_OUT_OF_ORDER:
		*ret_error = TK_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
		return REFUSE;
	case TK_SEQUENCE_OLD_EPOCH:
		break;
	}
	*ret_error = TK_ERR_INVALID_PRODUCER_EPOCH;
	return REFUSE;
}

static enum verdict
check_append(const struct tk_log *log, struct tk_append *append, struct tk_turn_item *item)
{
	int16_t error;

	item->append = append;
	item->is_duplicate = false;
	error = check_frame(log, append);
	if (error == TK_ERR_NONE)
		error = check_batch(log, item);
	if (error == TK_ERR_NONE && check_sequence(log, item, &error) != REFUSE)
		return item->is_duplicate ? DUPLICATE : APPEND;
	answer(append, log, error, -1);
	return REFUSE;
}

/* The offset that the next batch of the run gets. */
static int64_t
next_offset(const struct tk_log *log)
{
	const struct tk_turn *turn = log->dir->turn;

	for (size_t i = turn->count; i > 0; i--)
		if (!turn->items[i - 1].is_duplicate)
			return turn->items[i - 1].last_offset + 1;
	return log->state.log_end.offset;
}

/*
 * The time that the topic stamps, or of the records where the sender's header tells another:
 * searches by time go by it.  True if that changed what the checksum covers.
 */
static bool
mend_timestamps(const struct tk_log *log, struct tk_turn_item *item, int64_t now_ms)
{
	struct tk_batch_header *header = &item->header;
	const struct tk_append *append = item->append;

	if (log->config.log_append_time) {
		header->attributes |= TK_BATCH_LOG_APPEND;
		header->max_timestamp = now_ms;
		return true;
	}
	if (!append->walked || append->max_timestamp == header->max_timestamp)
		return false;
	header->max_timestamp = append->max_timestamp;
	return true;
}

/* Gives the batch its place and the header that goes to the file. */
static void
stamp(const struct tk_log *log, struct tk_turn_item *item, int64_t now_ms)
{
	struct tk_batch_header *header = &item->header;
	bool resum = mend_timestamps(log, item, now_ms);

	header->base_offset = next_offset(log);
	header->leader_epoch = log->state.leader_epoch;
	item->last_offset = tk_batch_last_offset(header);
	tk_batch_header_write(header, item->bytes);
	if (resum) {
		header->crc = item_crc(item);
		tk_batch_header_write(header, item->bytes);
	}
}

static void
turn_empty(struct tk_turn *turn)
{
	turn->count = 0;
	turn->iov_count = 0;
	turn->bytes = 0;
}

static void
turn_add(struct tk_turn *turn, struct tk_turn_item *item)
{
	const struct tk_append *append = item->append;

	turn->count++;
	if (item->is_duplicate)
		return;
	turn->iov[turn->iov_count++] = (struct iovec){ item->bytes, sizeof(item->bytes) };
	turn->iov[turn->iov_count++] =
	    (struct iovec){ (void *)(uintptr_t)(append->batch + TK_BATCH_HEADER_BYTES),
		    append->batch_bytes - TK_BATCH_HEADER_BYTES };
	turn->bytes += append->batch_bytes;
}

/* Blocks ahead of the end: extending a file at each write costs several times overwriting. */
static void
reserve_blocks(struct tk_log *log, int64_t upto)
{
	int64_t position = log->state.log_end.position;
	int64_t from = TK_MAX(log->allocated, position);
	int64_t to = log->config.preallocate
			 ? log->config.segment_bytes
			 : upto + TK_MIN(TK_MAX(position, ALLOCATE_FROM), ALLOCATE_MOST);
	int rc;

	if (upto <= log->allocated || log->no_allocate ||
	    (position < ALLOCATE_FROM && !log->config.preallocate))
		return;
	to = TK_MAX(upto, TK_MIN(to, log->config.segment_bytes));
	rc = tk_file_allocate(log->log_fd, from, to - from);
	if (rc == 0)
		log->allocated = to;
	else if (rc == -EOPNOTSUPP)
		log->no_allocate = true;
	else
		log->allocated = upto; /* full: the write itself will say so */
}

static void
push(struct tk_log *log)
{
	int64_t position = log->state.log_end.position;

	if (position - log->pushed < PUSH_BYTES)
		return;
	tk_file_push(log->log_fd, log->pushed, position - log->pushed);
	log->pushed = position;
}

/* Moves the end over the whole batches within the bytes written. */
static size_t
advance_end(struct tk_log *log, size_t written)
{
	struct tk_turn *turn = log->dir->turn;
	struct tk_position end = log->state.log_end;
	size_t appended = 0;

	for (size_t i = 0; i < turn->count; i++) {
		const struct tk_turn_item *item = &turn->items[i];

		if (item->is_duplicate)
			continue;
		if (item->append->batch_bytes > written)
			break;
		written -= item->append->batch_bytes;
		end.position += (int64_t)item->append->batch_bytes;
		end.offset = item->last_offset + 1;
		appended++;
	}
	tk_log_set_end(log, end);
	return appended;
}

/* The producers' states after a failed write: those of the batches that are in, no others. */
static void
repair_producers(struct tk_log *log)
{
	struct tk_turn *turn = log->dir->turn;
	int rc = 0;

	tk_producers_rollback(&log->producers);
	for (size_t i = 0; i < turn->count && rc == 0; i++) {
		const struct tk_turn_item *item = &turn->items[i];

		if (!item->is_duplicate && item->last_offset < log->state.log_end.offset)
			rc = tk_producers_apply(&log->producers, &item->header);
	}
	tk_producers_commit(&log->producers); /* what is in stays, whatever fails next */
	if (rc < 0) {                         /* out of memory: read them back from the log */
		tk_producers_free(&log->producers);
		log->producers_loaded = false;
	}
}

static void
index_run(struct tk_log *log, int64_t position)
{
	struct tk_turn *turn = log->dir->turn;
	int rc;

	for (size_t i = 0; i < turn->count; i++) {
		const struct tk_turn_item *item = &turn->items[i];

		if (item->is_duplicate || item->last_offset >= log->state.log_end.offset)
			continue;
		tk_index_add(&log->index, &turn->index, log->config.index_interval_bytes,
		    &item->header, position);
		position += (int64_t)item->append->batch_bytes;
	}
	tk_killpoint("before_index");
	rc = tk_index_flush(&log->index, &turn->index);
	(void)rc; /* entries are missing, which is legal */
	tk_killpoint("after_index");
}

/* Duplicates as well: theirs may be of this very run. */
static void
settle_run(struct tk_log *log)
{
	struct tk_turn *turn = log->dir->turn;

	for (size_t i = 0; i < turn->count; i++) {
		struct tk_turn_item *item = &turn->items[i];
		struct tk_append *append = item->append;

		if (item->last_offset >= log->state.log_end.offset) {
			answer(append, log, TK_ERR_KAFKA_STORAGE_ERROR, -1);
			continue;
		}
		answer(append, log, TK_ERR_NONE, item->header.base_offset);
		append->end_offset = item->last_offset + 1;
		append->duplicate = item->is_duplicate;
		if (log->config.log_append_time)
			append->log_append_time_ms = item->header.max_timestamp;
	}
}

/* Appends fail for now; each tries again. */
static void
not_now(struct tk_log *log, const char *verb, int rc)
{
	if (log->state.status != TK_PART_ONLINE)
		return;
	tk_logdir_say(log->dir, TK_LEVEL_ERROR, "could not %s \"%s/%s\": %s", verb, log->dir->path,
	    log->name, strerror(-rc));
	log->state.status = TK_PART_READ_ONLY;
	tk_log_publish(log);
}

static void
writable_again(struct tk_log *log)
{
	if (log->state.status == TK_PART_READ_ONLY)
		tk_logdir_say(log->dir, TK_LEVEL_INFO, "appends to \"%s/%s\" go on", log->dir->path,
		    log->name);
	log->state.status = TK_PART_ONLINE;
}

/* Writes, publishes, indexes and settles the run; 0 or the write's -errno. */
static int
flush_run(struct tk_log *log, size_t *appended)
{
	struct tk_turn *turn = log->dir->turn;
	int64_t position = log->state.log_end.position;
	size_t written = 0, count = 0;
	int rc = 0;

	if (turn->bytes > 0) {
		reserve_blocks(log, position + (int64_t)turn->bytes);
		tk_killpoint("before_pwritev");
		rc = tk_file_pwritev(log->log_fd, turn->iov, turn->iov_count, position, &written);
		tk_killpoint("after_pwritev");
		count = advance_end(log, written);
		if (rc == 0) {
			writable_again(log);
			tk_producers_commit(&log->producers);
		} else {
			log->cut_needed = true;
			repair_producers(log);
			not_now(log, "append to", rc);
		}
		if (rc == 0 || count > 0)
			tk_log_publish(log);
	}
	if (count > 0) {
		index_run(log, position);
		log->unsaved_bytes += log->state.log_end.position - position;
		tk_log_save_producers(log, false);
		push(log);
	}
	settle_run(log);
	turn_empty(turn);
	*appended += count;
	return rc;
}

static bool
run_is_full(const struct tk_turn *turn, size_t batch_bytes)
{
	return turn->count == TK_TURN_BATCHES_MAX ||
	       (turn->bytes > 0 && turn->bytes + batch_bytes > TK_TURN_BYTES_MAX);
}

/* Makes room for the item at the turn's end: the run flushed and the segment rolled if need be. */
static int
make_room(struct tk_log *log, struct tk_turn_item **item, int64_t now_ms, size_t *appended)
{
	struct tk_turn *turn = log->dir->turn;
	bool roll = tk_log_roll_due(log, &(*item)->header, (int64_t)turn->bytes, now_ms);
	int rc = 0;

	if (roll || run_is_full(turn, (*item)->append->batch_bytes)) {
		struct tk_turn_item *first = &turn->items[0];

		if (turn->count > 0)
			rc = flush_run(log, appended);
		if (*item != first)
			memcpy(first, *item, sizeof(*first));
		*item = first;
	}
	if (rc == 0 && roll && log->state.log_end.position > 0) {
		rc = tk_log_roll_now(log, now_ms);
		if (rc < 0)
			not_now(log, "begin a segment of", rc);
	}
	if (rc == 0 && turn->bytes == 0 && log->state.log_end.position == 0)
		log->first_timestamp = (*item)->header.max_timestamp;
	return rc;
}

/* One append: checked, and put into the run if it is to be. 0, or -errno: nothing more now. */
static int
take(struct tk_log *log, struct tk_append *append, int64_t now_ms, size_t *appended)
{
	struct tk_turn *turn = log->dir->turn;
	struct tk_turn_item *item;
	int rc = 0;

	if (turn->count == TK_TURN_BATCHES_MAX)
		rc = flush_run(log, appended);
	if (rc < 0)
		return rc;
	item = &turn->items[turn->count];
	switch (check_append(log, append, item)) {
	case REFUSE:
		return 0;
	case DUPLICATE:
		break;
	case APPEND:
		stamp(log, item, now_ms);
		rc = make_room(log, &item, now_ms, appended);
		if (rc == 0)
			rc = tk_producers_apply(&log->producers, &item->header);
		if (rc < 0)
			return rc;
		break;
	}
	turn_add(turn, item);
	return 0;
}

static void
begin(const struct tk_log *log, struct tk_append *append)
{
	append->stale = false;
	append->duplicate = false;
	append->log_append_time_ms = -1;
	append->end_offset = -1;
	answer(append, log, TK_ERR_KAFKA_STORAGE_ERROR, -1);
}

/* Everything an append needs: files open and cut, producers known.  Failing here, none is taken. */
static int
get_ready(struct tk_log *log, int64_t now_ms)
{
	int rc;

	if (log->state.status != TK_PART_ONLINE && log->state.status != TK_PART_READ_ONLY)
		return -EIO;
	rc = tk_log_open_files(log, now_ms);
	if (rc == 0)
		rc = tk_log_load_producers(log);
	if (rc == 0)
		return 0;
	if (rc == -ESTALE || log->state.status == TK_PART_ONLINE) {
		log->state.status = rc == -ESTALE ? TK_PART_OFFLINE : TK_PART_READ_ONLY;
		tk_logdir_say(log->dir, TK_LEVEL_ERROR,
		    "could not prepare \"%s/%s\" for appends: %s", log->dir->path, log->name,
		    rc == -ESTALE ? "its files were changed" : strerror(-rc));
		tk_log_publish(log);
	}
	return rc;
}

/*
 * As many bytes as a full disk would not take: more than the tail of a block that is there already.
 */
static int
probe(struct tk_log *log)
{
	static uint8_t zeros[8192];
	struct iovec iov = { zeros, sizeof(zeros) };
	size_t written;
	int rc, cut;

	rc = tk_file_pwritev(log->log_fd, &iov, 1, log->state.log_end.position, &written);
	log->cut_needed = true;
	cut = tk_log_cut(log);
	return rc < 0 ? rc : cut;
}

void
tk_log_try_again(struct tk_log *log, int64_t now_ms)
{
	if (log->state.status != TK_PART_READ_ONLY)
		return;
	if (get_ready(log, now_ms) < 0 || probe(log) < 0)
		return;
	writable_again(log);
	tk_log_publish(log);
}

size_t
tk_log_append(struct tk_log *log, struct tk_append *const appends[], size_t count, int64_t now_ms)
{
	size_t appended = 0;
	int rc;

	for (size_t i = 0; i < count; i++)
		begin(log, appends[i]);
	turn_empty(log->dir->turn);
	log->dir->producers.now_ms = tk_clock_mono_ms();
	rc = get_ready(log, now_ms);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = take(log, appends[i], now_ms, &appended);
	if (log->dir->turn->count > 0)
		(void)flush_run(log, &appended);
	return appended;
}
