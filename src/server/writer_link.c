/*
 * A worker's tie to the writer of one data directory: appends, watches, segment lists, and
 * questions (writer_ask.c).
 *
 * Appends are sent in the order they come, at most APPENDS_OUTSTANDING unanswered; the rest waits
 * here.  A batch's buffer is held until the writer has answered or is dead, whatever became of the
 * client.  When the writer dies, what was sent has an unknown outcome, what was not is sent to the
 * next one: its socket is the master's and is there all the time.
 *
 * There is one watch a slot, for all requests that wait on it: the writer is told the least
 * position any of them wants, and every wake-up makes all of them look again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "base/map.h"
#include "server/worker.h"
#include "wire/error_codes.h"

#define APPENDS_OUTSTANDING 512u
#define DEADLINE_CHECK_MS   100
#define RECONNECT_MS        20

struct tk_append_call {
	TAILQ_ENTRY(tk_append_call) link;
	uint64_t id;
	struct tk_writer_link *writer;
	struct tk_frame_append frame;
	struct tk_shared_buf *buf;
	tk_append_done *done; /* NULL once forgotten */
	void *owner;
	unsigned index;
	bool sent;
};
TAILQ_HEAD(call_list, tk_append_call);

/* Requests that wait for a slot's record to move on, and what the writer was asked. */
struct slot_watch {
	struct tk_map_node node;
	uint32_t slot;
	uint64_t incarnation;
	bool armed;
	int64_t segment, position;
	struct tk_wait_list waits;
};

/* Requests that wait for a slot's segment list. */
struct slot_segments {
	struct tk_map_node node;
	uint32_t slot;
	struct tk_part_key key;
	char topic[256];
	bool asked;
	struct tk_wait_list waits;
};

struct tk_writer_link {
	struct tk_worker *worker;
	unsigned directory;
	struct tk_channel *chan; /* NULL while there is none */
	uint64_t next_id;
	struct call_list queued, outstanding;
	unsigned outstanding_count;
	struct tk_map watches, segments;
	struct tk_asks asks;
	struct tk_timer deadlines, reconnect;
};

static bool
watch_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	(void)len;
	return TK_CONTAINER_OF(node, struct slot_watch, node)->slot == *(const uint32_t *)key;
}

static bool
segments_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	(void)len;
	return TK_CONTAINER_OF(node, struct slot_segments, node)->slot == *(const uint32_t *)key;
}

/* ---- appends ---- */

static void
call_free(struct tk_append_call *call)
{
	tk_shared_buf_unref(&call->buf);
	free(call);
}

static void
call_settle(struct tk_append_call *call, const struct tk_frame_appended *result)
{
	if (call->done != NULL)
		call->done(call->owner, call->index, result);
	call_free(call);
}

static void
link_send_queued(struct tk_writer_link *link)
{
	struct tk_append_call *call;

	while (link->chan != NULL && link->outstanding_count < APPENDS_OUTSTANDING &&
	       (call = TAILQ_FIRST(&link->queued)) != NULL) {
		if (tk_channel_send1(link->chan, TK_FRAME_APPEND, call->id, &call->frame,
			sizeof(call->frame)) < 0)
			return;
		call->sent = true;
		TAILQ_REMOVE(&link->queued, call, link);
		TAILQ_INSERT_TAIL(&link->outstanding, call, link);
		link->outstanding_count++;
	}
}

static bool
link_appended(struct tk_writer_link *link, uint64_t id, const struct tk_frame_appended *result)
{
	struct tk_append_call *call;

	/* Answers come about in order: the one meant is at the front or near it. */
	TAILQ_FOREACH (call, &link->outstanding, link)
		if (call->id == id)
			break;
	if (call == NULL)
		return false;
	TAILQ_REMOVE(&link->outstanding, call, link);
	link->outstanding_count--;
	call_settle(call, result);
	link_send_queued(link);
	return true;
}

int
tk_worker_append(struct tk_worker *worker, unsigned directory, const struct tk_frame_append *append,
    struct tk_shared_buf *buf, tk_append_done *done, void *owner, unsigned index,
    struct tk_append_call **ret_call)
{
	struct tk_writer_link *link = worker->writers[directory];
	struct tk_append_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return -ENOMEM;
	call->id = ++link->next_id;
	call->writer = link;
	call->frame = *append;
	call->buf = tk_shared_buf_ref(buf);
	call->done = done;
	call->owner = owner;
	call->index = index;
	TAILQ_INSERT_TAIL(&link->queued, call, link);
	*ret_call = call;
	link_send_queued(link);
	if (!call->sent && !tk_timer_running(&link->deadlines))
		(void)tk_timer_start(worker->proc->loop, &link->deadlines, DEADLINE_CHECK_MS);
	return 0;
}

void
tk_append_forget(struct tk_append_call *call)
{
	call->done = NULL;
}

bool
tk_append_take_back(struct tk_append_call *call)
{
	if (call->sent)
		return false;
	TAILQ_REMOVE(&call->writer->queued, call, link);
	call_free(call);
	return true;
}

/* What waits here past its deadline was certainly not appended. */
static void
deadlines_expire(struct tk_timer *timer)
{
	struct tk_writer_link *link = TK_CONTAINER_OF(timer, struct tk_writer_link, deadlines);
	const struct tk_frame_appended refused = { .base_offset = -1,
		.log_append_time_ms = -1,
		.log_start = -1,
		.error = TK_ERR_NOT_LEADER_OR_FOLLOWER };
	int64_t now_ms = tk_clock_mono_ms();
	struct tk_append_call *call, *next;

	for (call = TAILQ_FIRST(&link->queued); call != NULL; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->frame.deadline_ms == 0 || call->frame.deadline_ms > now_ms)
			continue;
		TAILQ_REMOVE(&link->queued, call, link);
		call_settle(call, &refused);
	}
	if (!TAILQ_EMPTY(&link->queued))
		(void)tk_timer_start(link->worker->proc->loop, &link->deadlines, DEADLINE_CHECK_MS);
}

/* ---- watches ---- */

static void
watch_send(struct tk_writer_link *link, struct slot_watch *watch, uint64_t seq)
{
	const struct tk_frame_watch frame = { .incarnation = watch->incarnation,
		.seq = seq,
		.segment = watch->segment,
		.position = watch->position,
		.slot = watch->slot };

	if (link->chan == NULL)
		return; /* the new channel wakes everybody */
	watch->armed = true;
	(void)tk_channel_send1(link->chan, TK_FRAME_WATCH, ++link->next_id, &frame, sizeof(frame));
}

static void
watch_wake(struct slot_watch *watch)
{
	watch->armed = false;
	tk_wait_list_wake(&watch->waits);
}

static void
watches_wake_all(struct tk_writer_link *link)
{
	struct tk_map_node *node = NULL;

	while ((node = tk_map_next(&link->watches, node)) != NULL)
		watch_wake(TK_CONTAINER_OF(node, struct slot_watch, node));
}

static struct slot_watch *
watch_get(struct tk_writer_link *link, uint32_t slot)
{
	struct tk_map_node *node = tk_map_find(&link->watches, &slot, sizeof(slot), watch_equal);
	struct slot_watch *watch;

	if (node != NULL)
		return TK_CONTAINER_OF(node, struct slot_watch, node);
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return NULL;
	watch->slot = slot;
	tk_wait_list_init(&watch->waits);
	tk_map_put(&link->watches, &watch->node, &slot, sizeof(slot));
	return watch;
}

int
tk_worker_watch(struct tk_worker *worker, unsigned directory, uint32_t slot,
    const struct tk_part_state *state, uint64_t seq, int64_t want_position, struct tk_request *req)
{
	struct tk_writer_link *link = worker->writers[directory];
	struct slot_watch *watch = watch_get(link, slot);
	bool covered;

	if (watch == NULL || tk_wait_add(&watch->waits, req) < 0)
		return -ENOMEM;
	covered = watch->armed && watch->incarnation == state->incarnation &&
		  watch->segment == state->high_watermark.segment &&
		  watch->position <= want_position;
	if (covered)
		return 0;
	watch->incarnation = state->incarnation;
	watch->segment = state->high_watermark.segment;
	watch->position = want_position;
	watch_send(link, watch, seq);
	return 0;
}

static bool
link_notified(struct tk_writer_link *link, const struct tk_frame_notify *notify)
{
	struct tk_map_node *node =
	    tk_map_find(&link->watches, &notify->slot, sizeof(notify->slot), watch_equal);

	if (node != NULL)
		watch_wake(TK_CONTAINER_OF(node, struct slot_watch, node));
	return true;
}

/* ---- segment lists ---- */

static void
segments_ask(struct tk_writer_link *link, struct slot_segments *wanted)
{
	const struct tk_frame_segments frame = { .incarnation = wanted->key.incarnation,
		.slot = wanted->slot };

	if (link->chan == NULL)
		return;
	wanted->asked = true;
	(void)tk_channel_send1(
	    link->chan, TK_FRAME_SEGMENTS, ++link->next_id, &frame, sizeof(frame));
}

int
tk_worker_segments(struct tk_worker *worker, const struct tk_part_key *key, struct tk_request *req)
{
	struct tk_writer_link *link = worker->writers[key->directory];
	struct tk_map_node *node =
	    tk_map_find(&link->segments, &key->slot, sizeof(key->slot), segments_equal);
	struct slot_segments *wanted;

	if (node == NULL) {
		wanted = calloc(1, sizeof(*wanted));
		if (wanted == NULL || key->topic_len >= sizeof(wanted->topic)) {
			free(wanted);
			return -ENOMEM;
		}
		wanted->slot = key->slot;
		tk_wait_list_init(&wanted->waits);
		tk_map_put(&link->segments, &wanted->node, &key->slot, sizeof(key->slot));
	} else {
		wanted = TK_CONTAINER_OF(node, struct slot_segments, node);
	}
	if (tk_wait_add(&wanted->waits, req) < 0)
		return -ENOMEM;
	if (wanted->asked && wanted->key.incarnation == key->incarnation)
		return 0;
	wanted->key = *key;
	memcpy(wanted->topic, key->topic, key->topic_len);
	wanted->key.topic = wanted->topic;
	segments_ask(link, wanted);
	return 0;
}

static void
segments_done(struct tk_writer_link *link, struct slot_segments *wanted)
{
	tk_map_remove(&link->segments, &wanted->node);
	tk_wait_list_wake(&wanted->waits);
	free(wanted);
}

static bool
link_segments_are(
    struct tk_writer_link *link, const struct tk_frame_segments_are *are, size_t payload_len)
{
	struct tk_map_node *node =
	    tk_map_find(&link->segments, &are->slot, sizeof(are->slot), segments_equal);
	struct slot_segments *wanted;

	if (payload_len != sizeof(*are) + are->count * sizeof(struct tk_segment_info))
		return false;
	if (node == NULL)
		return true;
	wanted = TK_CONTAINER_OF(node, struct slot_segments, node);
	if (are->incarnation != wanted->key.incarnation)
		return true; /* of the one before; ours is on its way */
	if (are->error == 0) {
		struct tk_segment_info *list = malloc(are->count * sizeof(*list) + 1);

		if (list != NULL) {
			memcpy(list, are + 1, are->count * sizeof(*list));
			(void)!tk_reader_set_segments(
			    link->worker->reader, &wanted->key, are->generation, list, are->count);
			free(list);
		}
	} else {
		tk_reader_forget(link->worker->reader, &wanted->key);
	}
	segments_done(link, wanted);
	return true;
}

static void
segments_wake_all(struct tk_writer_link *link)
{
	struct tk_map_node *node;

	while ((node = tk_map_next(&link->segments, NULL)) != NULL)
		segments_done(link, TK_CONTAINER_OF(node, struct slot_segments, node));
}

/* ---- the channel ---- */

static bool
link_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_writer_link *link = tk_channel_owner(chan);

	if (tk_asks_answered(&link->asks, chan, frame, payload))
		return true;
	if (frame->type == TK_FRAME_APPENDED && frame->len == sizeof(struct tk_frame_appended))
		return link_appended(link, frame->id, payload);
	if (frame->type == TK_FRAME_NOTIFY && frame->len == sizeof(struct tk_frame_notify))
		return link_notified(link, payload);
	if (frame->type == TK_FRAME_SEGMENTS_ARE &&
	    frame->len >= sizeof(struct tk_frame_segments_are))
		return link_segments_are(link, payload, frame->len);
	return false;
}

static void link_connect(struct tk_writer_link *link);

/* The writer is gone: what it had not answered has an unknown outcome, all who wait look again. */
static void
link_closed(struct tk_channel *chan)
{
	struct tk_writer_link *link = tk_channel_owner(chan);
	struct tk_append_call *call;

	tk_channel_free(&link->chan);
	while ((call = TAILQ_FIRST(&link->outstanding)) != NULL) {
		TAILQ_REMOVE(&link->outstanding, call, link);
		link->outstanding_count--;
		call_settle(call, NULL);
	}
	link_connect(link);
	watches_wake_all(link);
	segments_wake_all(link);
}

static const struct tk_channel_ops link_ops = { .frame = link_frame, .closed = link_closed };

static void
link_connect(struct tk_writer_link *link)
{
	struct tk_process *proc = link->worker->proc;
	char name[32];

	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, link->directory);
	if (tk_channel_connect(
		proc->loop, proc->cycle->run_dir_fd, name, &link_ops, link, &link->chan) < 0) {
		(void)tk_timer_start(proc->loop, &link->reconnect, RECONNECT_MS);
		return;
	}
	link_send_queued(link);
	tk_asks_connected(&link->asks, link->chan);
}

static void
reconnect_expire(struct tk_timer *timer)
{
	struct tk_writer_link *link = TK_CONTAINER_OF(timer, struct tk_writer_link, reconnect);

	link_connect(link);
	if (link->chan == NULL)
		return;
	watches_wake_all(link);
	segments_wake_all(link);
}

int
tk_worker_ask(struct tk_worker *worker, unsigned directory, enum tk_frame_type type,
    const void *payload, size_t len, tk_ask_done *done, void *owner, unsigned index,
    struct tk_ask **ret_ask)
{
	struct tk_writer_link *link = worker->writers[directory];

	return tk_asks_add(
	    &link->asks, link->chan, type, payload, len, done, owner, index, ret_ask);
}

int
tk_writer_link_new(struct tk_worker *worker, unsigned directory)
{
	struct tk_writer_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return -ENOMEM;
	link->worker = worker;
	link->directory = directory;
	TAILQ_INIT(&link->queued);
	TAILQ_INIT(&link->outstanding);
	tk_asks_init(&link->asks);
	link->deadlines.expire = deadlines_expire;
	link->reconnect.expire = reconnect_expire;
	worker->writers[directory] = link;
	link_connect(link);
	return 0;
}

void
tk_writer_link_free(struct tk_writer_link **link)
{
	struct tk_writer_link *gone = *link;
	struct tk_append_call *call;
	struct tk_map_node *node;

	*link = NULL;
	if (gone == NULL)
		return;
	tk_channel_free(&gone->chan);
	while ((call = TAILQ_FIRST(&gone->queued)) != NULL) {
		TAILQ_REMOVE(&gone->queued, call, link);
		call_free(call);
	}
	while ((call = TAILQ_FIRST(&gone->outstanding)) != NULL) {
		TAILQ_REMOVE(&gone->outstanding, call, link);
		call_free(call);
	}
	tk_asks_free(&gone->asks);
	segments_wake_all(gone);
	while ((node = tk_map_next(&gone->watches, NULL)) != NULL) {
		tk_map_remove(&gone->watches, node);
		tk_wait_list_wake(&TK_CONTAINER_OF(node, struct slot_watch, node)->waits);
		free(TK_CONTAINER_OF(node, struct slot_watch, node));
	}
	tk_map_free(&gone->watches);
	tk_map_free(&gone->segments);
	tk_timer_stop(gone->worker->proc->loop, &gone->deadlines);
	tk_timer_stop(gone->worker->proc->loop, &gone->reconnect);
	free(gone);
}
