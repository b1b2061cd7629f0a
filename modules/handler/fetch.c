/*
 * Fetch: from published state to file ranges, or to a wait.  Runs in workers.
 *
 * The handler looks at every partition afresh each time it is called: place, state, range.  If what
 * is there is not enough it gives the ranges back, leaves a watch with the writer of each partition
 * and is called again when something moved, or when the time is up; then it answers with what there
 * is.  Records never pass through here: a partition's records are a range of its segment, and the
 * reply alternates between memory and ranges.
 *
 * A reply holds at most RANGES_MAX ranges; further partitions are answered empty, which is legal,
 * and come first in the next Fetch of a session.
 */
#include <string.h>

#include "fetch_session.h"

#define RANGES_MAX       64u
#define SEGMENTS_WAIT_MS 2000 /* for a segment list, where the client does not wait itself */

struct fetch_part {
	const struct tk_fetch_request_topic *topic; /* NULL with a session */
	struct tk_session_part *session_part;       /* NULL without */
	struct tk_uuid topic_id;
	struct tk_bytes name;
	int32_t partition;
	int64_t offset;
	int32_t max_bytes;
	int32_t leader_epoch;
	/* what was found */
	int16_t error;
	bool found, wants_segments;
	struct tk_part part;
	struct tk_read_result read;
};

struct fetch {
	struct tk_fetch_request msg;
	struct tk_fetch_session *session;
	struct fetch_part *parts;
	unsigned count;
	unsigned ranges;
	uint64_t bytes;
	bool any_error, wants_segments, waited;
	bool more; /* some partition has more than its range holds */
	int64_t started_ms;
};

/* ---- what is asked ---- */

static void
part_from_request(struct fetch_part *part, const struct tk_fetch_request_topic *topic,
    const struct tk_fetch_request_partition *from)
{
	*part = (struct fetch_part){ .topic = topic,
		.topic_id = topic->topic_id,
		.name = topic->topic,
		.partition = from->partition,
		.offset = from->fetch_offset,
		.max_bytes = from->partition_max_bytes,
		.leader_epoch = from->current_leader_epoch };
}

static void
part_from_session(struct fetch_part *part, struct tk_session_part *from)
{
	*part = (struct fetch_part){ .session_part = from,
		.topic_id = from->topic_id,
		.name = from->topic,
		.partition = from->partition,
		.offset = from->fetch_offset,
		.max_bytes = from->max_bytes,
		.leader_epoch = from->leader_epoch };
}

static bool
fetch_parts_of_request(struct tk_request *req, struct fetch *fetch)
{
	unsigned index = 0;

	for (int32_t i = 0; i < fetch->msg.topics_count; i++)
		fetch->count += (unsigned)fetch->msg.topics[i].partitions_count;
	fetch->parts = tk_arena_calloc(&req->arena, fetch->count + 1, sizeof(*fetch->parts));
	if (fetch->parts == NULL)
		return false;
	for (int32_t i = 0; i < fetch->msg.topics_count; i++) {
		const struct tk_fetch_request_topic *topic = &fetch->msg.topics[i];

		for (int32_t k = 0; k < topic->partitions_count; k++)
			part_from_request(&fetch->parts[index++], topic, &topic->partitions[k]);
	}
	return true;
}

static bool
fetch_parts_of_session(struct tk_request *req, struct fetch *fetch)
{
	struct tk_session_part *part;
	unsigned index = 0;

	fetch->count = (unsigned)tk_fetch_session_count(fetch->session);
	fetch->parts = tk_arena_calloc(&req->arena, fetch->count + 1, sizeof(*fetch->parts));
	if (fetch->parts == NULL)
		return false;
	TAILQ_FOREACH (part, tk_fetch_session_parts(fetch->session), link)
		part_from_session(&fetch->parts[index++], part);
	return true;
}

/* ---- what is there ---- */

static int16_t
read_error(const struct tk_part_key *key, int rc)
{
	switch (rc) {
	case -ERANGE:
		return TK_ERR_OFFSET_OUT_OF_RANGE;
	case -ESTALE:
		return TK_ERR_NOT_LEADER_OR_FOLLOWER;
	default:
		tk_read_failed(key, rc);
		return TK_ERR_KAFKA_STORAGE_ERROR;
	}
}

static const struct tk_position *
fetch_limit(const struct fetch *fetch, const struct fetch_part *part)
{
	return fetch->msg.isolation_level == 1 ? &part->part.state.last_stable
					       : &part->part.state.high_watermark;
}

static uint32_t
part_room(const struct tk_request *req, const struct fetch *fetch, const struct fetch_part *part)
{
	int64_t total =
	    TK_MIN((int64_t)fetch->msg.max_bytes, req->worker->settings->fetch_max_bytes);
	int64_t room = TK_MIN((int64_t)part->max_bytes, total - (int64_t)fetch->bytes);

	return (uint32_t)TK_MAX(room, 0);
}

static void
part_read(struct tk_request *req, struct fetch *fetch, struct fetch_part *part)
{
	int rc = tk_reader_read(req->worker->reader, &part->part.key, &part->part.state,
	    part->offset, part_room(req, fetch, part), fetch->bytes == 0, fetch_limit(fetch, part),
	    &part->read);

	if (rc == -EAGAIN) {
		part->wants_segments = fetch->wants_segments = true;
		return;
	}
	if (rc == -EMFILE || rc == -ENFILE)
		return; /* nothing now: others' replies hold the descriptors */
	if (rc < 0) {
		part->error = read_error(&part->part.key, rc);
		return;
	}
	fetch->more |= part->read.more;
	if (part->read.range.len == 0)
		return;
	fetch->bytes += part->read.range.len;
	fetch->ranges++;
}

static void
part_look(struct tk_request *req, struct fetch *fetch, struct fetch_part *part)
{
	const struct tk_meta_topic *topic = tk_topic_of(req->worker, &part->name, &part->topic_id);

	part->found = part->wants_segments = false;
	part->error = TK_ERR_NONE;
	part->read = (struct tk_read_result){ .next_offset = -1 };
	if (topic == NULL)
		part->error = req->version >= 13 ? TK_ERR_UNKNOWN_TOPIC_ID
						 : TK_ERR_UNKNOWN_TOPIC_OR_PARTITION;
	else
		part->error = tk_worker_part(req->worker, topic, part->partition, &part->part);
	if (part->error == TK_ERR_NONE)
		part->error = tk_epoch_error(part->leader_epoch, part->part.state.leader_epoch);
	if (part->error == TK_ERR_NONE) {
		part->found = true;
		if (fetch->ranges < RANGES_MAX)
			part_read(req, fetch, part);
	}
	if (part->error != TK_ERR_NONE)
		fetch->any_error = true;
}

static void
fetch_look(struct tk_request *req, struct fetch *fetch)
{
	fetch->bytes = 0;
	fetch->ranges = 0;
	fetch->any_error = fetch->wants_segments = fetch->more = false;
	if (tk_meta_catch_up(req->worker->meta) < 0)
		fetch->any_error = true;
	for (unsigned i = 0; i < fetch->count; i++)
		part_look(req, fetch, &fetch->parts[i]);
}

static void
fetch_give_back(struct fetch *fetch)
{
	for (unsigned i = 0; fetch->parts != NULL && i < fetch->count; i++) {
		struct tk_file_range *range = &fetch->parts[i].read.range;

		if (range->len > 0 && range->unref != NULL)
			range->unref(range->owner);
		range->len = 0;
	}
}

/* ---- waiting ---- */

static int
part_wait(struct tk_request *req, const struct fetch *fetch, struct fetch_part *part)
{
	const struct tk_part_state *state = &part->part.state;
	int64_t want = state->high_watermark.position + 1;

	if (part->wants_segments)
		return tk_worker_segments(req->worker, &part->part.key, req);
	if (!part->found || fetch->wants_segments)
		return 0;
	if (fetch->count == 1)
		want = state->high_watermark.position +
		       TK_MAX((int64_t)fetch->msg.min_bytes - (int64_t)fetch->bytes, 1);
	return tk_worker_watch(req->worker, part->part.key.directory, part->part.key.slot, state,
	    part->part.seq, want, req);
}

/* Waits for more, or for a segment list; false if it cannot. */
static bool
fetch_wait(struct tk_request *req, struct fetch *fetch, int64_t until_ms)
{
	int64_t now_ms = tk_loop_now_ms(req->worker->proc->loop);

	fetch_give_back(fetch);
	for (unsigned i = 0; i < fetch->count; i++)
		if (part_wait(req, fetch, &fetch->parts[i]) < 0)
			return false;
	if (!fetch->waited) {
		fetch->waited = true;
		tk_count(TK_COUNT_fetch_waits, 1);
	}
	tk_request_wake_after(req, TK_MAX(until_ms - now_ms, 0));
	return true;
}

/* ---- the reply ---- */

static void
part_fill(
    const struct fetch *fetch, struct fetch_part *part, struct tk_fetch_response_partition *ret)
{
	tk_fetch_response_partition_init(ret);
	ret->partition_index = part->partition;
	ret->error_code = part->error;
	ret->records.mem = (struct tk_bytes){ (const uint8_t *)"", 0 };
	ret->high_watermark = -1;
	ret->aborted_transactions_count = -1;
	if (part->error != TK_ERR_NONE)
		return;
	ret->high_watermark = part->part.state.high_watermark.offset;
	ret->last_stable_offset = part->part.state.last_stable.offset;
	ret->log_start_offset = part->part.state.log_start;
	if (fetch->msg.isolation_level == 1)
		ret->aborted_transactions_count = 0;
	if (part->read.range.len > 0) {
		ret->records.is_file = true;
		ret->records.file = part->read.range;
		part->read.range.len = 0; /* the reference is the reply's now */
	}
}

/* Is there anything to tell of a partition that an incremental reply has to tell? */
static bool
part_is_news(const struct fetch *fetch, const struct fetch_part *part)
{
	const struct tk_session_part *told = part->session_part;

	return told == NULL || tk_fetch_session_is_new(fetch->session) ||
	       part->read.range.len > 0 || part->error != TK_ERR_NONE || told->error ||
	       told->high_watermark != part->part.state.high_watermark.offset ||
	       told->log_start != part->part.state.log_start;
}

static void
part_told(struct fetch *fetch, struct fetch_part *part, bool has_records)
{
	struct tk_session_part *told = part->session_part;

	if (told == NULL)
		return;
	told->error = part->error != TK_ERR_NONE;
	told->high_watermark = told->error ? -1 : part->part.state.high_watermark.offset;
	told->log_start = told->error ? -1 : part->part.state.log_start;
	if (has_records)
		tk_fetch_session_served(fetch->session, told);
}

static bool
same_topic(const struct tk_fetch_response_topic *topic, const struct fetch_part *part)
{
	return topic->topic.len == part->name.len &&
	       memcmp(topic->topic_id.b, part->topic_id.b, sizeof(part->topic_id.b)) == 0 &&
	       (part->name.len == 0 ||
		   memcmp(topic->topic.data, part->name.data, part->name.len) == 0);
}

/* Partitions in order; neighbours of one topic share its entry. */
static bool
fetch_fill(struct tk_request *req, struct fetch *fetch, struct tk_fetch_response *msg)
{
	struct tk_fetch_response_partition *parts =
	    tk_arena_calloc(&req->arena, fetch->count + 1, sizeof(*parts));
	struct tk_fetch_response_topic *topic = NULL;

	msg->responses = tk_arena_calloc(&req->arena, fetch->count + 1, sizeof(*msg->responses));
	if (parts == NULL || msg->responses == NULL)
		return false;
	for (unsigned i = 0; i < fetch->count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		bool has_records = part->read.range.len > 0;

		if (!part_is_news(fetch, part))
			continue;
		if (topic == NULL || !same_topic(topic, part)) {
			topic = &msg->responses[msg->responses_count++];
			tk_fetch_response_topic_init(topic);
			topic->topic = part->name;
			topic->topic_id = part->topic_id;
			topic->partitions = parts;
		}
		part_fill(fetch, part, parts++);
		topic->partitions_count++;
		part_told(fetch, part, has_records);
	}
	return true;
}

static void
fetch_end(struct fetch *fetch)
{
	fetch_give_back(fetch);
	if (fetch->session != NULL)
		tk_fetch_session_end(fetch->session);
	fetch->session = NULL;
}

static enum tk_io
fetch_reply(struct tk_request *req, struct fetch *fetch)
{
	struct tk_fetch_response msg;
	enum tk_io rc = TK_IO_ERROR;

	tk_fetch_response_init(&msg);
	msg.session_id = tk_fetch_session_id(fetch->session);
	if (fetch_fill(req, fetch, &msg))
		rc = tk_request_reply(req, &msg);
	fetch_end(fetch);
	return rc;
}

static enum tk_io
fetch_refuse(struct tk_request *req, int16_t error)
{
	struct tk_fetch_response msg;

	tk_fetch_response_init(&msg);
	msg.error_code = error;
	return tk_request_reply(req, &msg);
}

/* ---- the handler ---- */

static enum tk_io
fetch_begin(struct tk_request *req, int16_t *ret_error)
{
	struct tk_worker *worker = req->worker;
	struct fetch *fetch = tk_arena_calloc(&req->arena, 1, sizeof(*fetch));

	if (fetch == NULL || !tk_request_decode(req, &fetch->msg))
		return TK_IO_ERROR;
	tk_count(TK_COUNT_fetch_requests, 1);
	fetch->started_ms = req->received_ms;
	*ret_error = tk_fetch_session_begin(worker->sessions, &fetch->msg, req->version >= 13,
	    tk_loop_now_ms(worker->proc->loop), &fetch->session);
	req->ctx = fetch;
	if (*ret_error != TK_ERR_NONE)
		return TK_IO_OK;
	if (fetch->session != NULL ? fetch_parts_of_session(req, fetch)
				   : fetch_parts_of_request(req, fetch))
		return TK_IO_OK;
	fetch_end(fetch);
	return TK_IO_ERROR;
}

static enum tk_io
fetch_handle(struct tk_request *req)
{
	struct fetch *fetch = req->ctx;
	int16_t error = TK_ERR_NONE;
	int64_t now_ms = tk_loop_now_ms(req->worker->proc->loop);
	int64_t until_ms, segments_until_ms;

	if (fetch == NULL) {
		if (fetch_begin(req, &error) != TK_IO_OK)
			return TK_IO_ERROR;
		if (error != TK_ERR_NONE)
			return fetch_refuse(req, error);
		fetch = req->ctx;
	}
	until_ms = fetch->started_ms + tk_timeout_ms(fetch->msg.max_wait_ms, 0);
	segments_until_ms = TK_MAX(until_ms, fetch->started_ms + SEGMENTS_WAIT_MS);
	fetch_look(req, fetch);
	if (fetch->wants_segments && now_ms < segments_until_ms) {
		if (fetch_wait(req, fetch, segments_until_ms))
			return TK_IO_AGAIN;
	} else if (!fetch->any_error && !fetch->more && fetch->count > 0 && now_ms < until_ms &&
		   fetch->bytes < (uint64_t)TK_MAX(fetch->msg.min_bytes, 0) &&
		   !req->worker->proc->stopping && !tk_worker_is_pressed(req->worker)) {
		if (fetch_wait(req, fetch, until_ms))
			return TK_IO_AGAIN;
	}
	return fetch_reply(req, fetch);
}

static void
fetch_cancel(struct tk_request *req)
{
	if (req->ctx != NULL)
		fetch_end(req->ctx);
}

static int
fetch_init_worker(struct tk_worker *worker)
{
	int32_t slots = worker->settings->max_incremental_fetch_session_cache_slots;

	return tk_fetch_sessions_new((unsigned)TK_MAX(slots, 0), &worker->sessions);
}

static void
fetch_exit_worker(struct tk_worker *worker)
{
	tk_fetch_sessions_free(&worker->sessions);
}

static const struct tk_api apis[] = {
	{ 1, 4, 18, 4, 0, fetch_handle, fetch_cancel },
};

static const struct tk_handler fetch_handler = { apis, TK_COUNT_OF(apis) };

const struct tk_module tk_module_fetch = { .abi = TK_MODULE_ABI,
	.name = "fetch",
	.kind = TK_MODULE_HANDLER,
	.init_worker = fetch_init_worker,
	.exit_worker = fetch_exit_worker,
	.handler = &fetch_handler };
