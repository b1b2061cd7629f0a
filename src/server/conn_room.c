/*
 * Room for what connections receive, and the line of those that wait for it.  Runs in workers.
 *
 * A frame is given room for all of it at once where it is small, or its connection has sent one
 * about as large before: who has room will come to an end.  Any other only declares its size, and
 * is given ROOM_AHEAD times what has come of it, again and again.  All of these together leave room
 * for one frame of the largest size; where that begins to be used, who fits gets room for his whole
 * frame, so that one after the other comes to an end all the same.
 *
 * Who has to wait gives back what he holds of the arena (it is set aside) if that is no more than
 * TK_CONN_READ_BYTES, so that those who begin never wait for each other.  The line is served in
 * order, but who fits goes before who does not, and a stranger does not overtake.  It moves when
 * something is given back, and every RETRY_MS: where malloc failed, nobody here would.
 *
 * Produce and whatever is larger than SMALL_BYTES leave an eighth of the arena free: when a disk
 * stands still, with it every batch that was meant for it, there is still room for other questions.
 */
#include <stdlib.h>
#include <string.h>

#include "server/conn_private.h"

#define SMALL_BYTES ((size_t)64 << 10)
#define ROOM_AHEAD  8u
#define RETRY_MS    100

size_t
tk_worker_frame_max(const struct tk_worker *worker)
{
	/* Half of the arena, so that a run of free blocks is found beside what others hold. */
	return TK_MIN((size_t)worker->settings->socket_request_max_bytes + sizeof(uint32_t),
	    tk_shared_arena_largest(worker->arena) / 2);
}

bool
tk_worker_is_pressed(const struct tk_worker *worker)
{
	return worker->memory_bytes > (size_t)worker->settings->worker_memory;
}

/* Bytes from `at` on that a new buffer should have. */
static size_t
conn_want(const struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;

	if (conn->frame_bytes == 0)
		return have + 16;
	if (conn->frame_bytes / 2 <= conn->largest_bytes)
		return conn->frame_bytes;
	return TK_MIN(conn->frame_bytes, TK_MAX(have * ROOM_AHEAD, SMALL_BYTES));
}

/* Bytes from `at` on that the buffer has to have: while room is to grow, that for one more. */
static size_t
conn_need(const struct tk_conn *conn)
{
	size_t want = conn_want(conn);

	return want < conn->frame_bytes ? conn->end - conn->at + 1 : want;
}

static bool
conn_has_room(const struct tk_conn *conn)
{
	return conn->buf != NULL && conn->at + conn_need(conn) <= conn->buf->room;
}

static bool
conn_is_bulk(const struct tk_conn *conn)
{
	const struct tk_api *api = tk_conn_frame_api(conn);

	return conn->frame_bytes > SMALL_BYTES ||
	       (conn->frame_bytes > TK_CONN_READ_BYTES && api != NULL &&
		   (api->flags & TK_API_PIPELINED) != 0);
}

static struct tk_shared_buf *
room_take(const struct tk_conn *conn)
{
	const struct tk_worker *worker = conn->worker;
	size_t used = tk_shared_arena_used(worker->arena);
	size_t most = tk_shared_arena_largest(worker->arena);
	size_t want = conn_want(conn);

	if (conn_is_bulk(conn)) {
		if (!conn->waits_for_memory && !TAILQ_EMPTY(&worker->memory_waits))
			return NULL;
		most -= most / 8;
		if (want < conn->frame_bytes && used + want + tk_worker_frame_max(worker) > most)
			want = conn->frame_bytes;
		if (used + want > most)
			return NULL;
	}
	return tk_shared_buf_new(worker->arena, TK_MAX(want, TK_CONN_READ_BYTES));
}

bool
tk_conn_make_room(struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;
	struct tk_shared_buf *buf;

	if (conn_has_room(conn))
		return true;
	if (conn->buf != NULL && conn->buf->references == 1 && conn_need(conn) <= conn->buf->room) {
		memmove(conn->buf->data, conn->buf->data + conn->at, have);
	} else {
		buf = room_take(conn);
		if (buf == NULL)
			return false;
		if (have > 0)
			memcpy(buf->data,
			    conn->buf != NULL ? conn->buf->data + conn->at : conn->aside, have);
		tk_shared_buf_unref(&conn->buf);
		free(conn->aside);
		conn->aside = NULL;
		conn->buf = buf;
		conn->frame_ms = tk_loop_now_ms(conn->worker->proc->loop);
	}
	conn->at = 0;
	conn->end = have;
	return true;
}

/* Gives the buffer back; without the memory for that, or with too much in it, it is kept. */
static void
conn_set_aside(struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;
	uint8_t *aside = have > TK_CONN_READ_BYTES ? NULL : malloc(TK_MAX(have, (size_t)1));

	if (aside == NULL)
		return;
	memcpy(aside, conn->buf->data + conn->at, have);
	tk_shared_buf_unref(&conn->buf);
	conn->aside = aside;
	conn->at = 0;
	conn->end = have;
}

/* Without the memory for that the sweep does it, which has its timer. */
static void
retry_later(struct tk_worker *worker)
{
	if (!TAILQ_EMPTY(&worker->memory_waits) && !tk_timer_running(&worker->memory_retry))
		(void)tk_timer_start(worker->proc->loop, &worker->memory_retry, RETRY_MS);
}

void
tk_conn_wait_for_memory(struct tk_conn *conn)
{
	if (conn->waits_for_memory)
		return;
	conn->waits_for_memory = true;
	tk_count(TK_COUNT_memory_waits, 1);
	TAILQ_INSERT_TAIL(&conn->worker->memory_waits, conn, wait_link);
	retry_later(conn->worker);
	if (conn->buf != NULL && !conn_has_room(conn))
		conn_set_aside(conn);
}

void
tk_conn_wait_no_more(struct tk_conn *conn)
{
	if (!conn->waits_for_memory)
		return;
	conn->waits_for_memory = false;
	TAILQ_REMOVE(&conn->worker->memory_waits, conn, wait_link);
}

void
tk_conn_memory_freed(struct tk_post *post)
{
	struct tk_worker *worker = TK_CONTAINER_OF(post, struct tk_worker, memory_freed);
	struct tk_conn *conn, *next;
	size_t too_much = SIZE_MAX; /* the least that was not to be had */

	for (conn = TAILQ_FIRST(&worker->memory_waits); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, wait_link);
		if (tk_worker_is_pressed(worker))
			return;
		if (!conn_has_room(conn) && conn_want(conn) >= too_much)
			continue;
		if (!tk_conn_make_room(conn)) {
			too_much = conn_want(conn);
			continue;
		}
		tk_conn_wait_no_more(conn);
		tk_conn_work(conn);
	}
}

void
tk_conn_memory_retry(struct tk_timer *timer)
{
	struct tk_worker *worker = TK_CONTAINER_OF(timer, struct tk_worker, memory_retry);

	tk_post(worker->proc->loop, &worker->memory_freed);
	retry_later(worker);
}
