/*
 * Connections: bytes in, requests cut and run in order, replies out in order.  Runs in workers.
 *
 * Everything is received into the shared arena, one frame a read once the frame's size is known, so
 * that a batch is never moved again.  A frame is cut only when it may run, so what a client sends
 * ahead stays in its socket.  No room in the arena, or too much memory held by requests: the
 * connection stops reading and waits its turn.  Replies leave in the order of the requests; a
 * handler that waits keeps its connection, nobody else's.
 *
 * A turn takes at most TURN_REQUESTS requests and TURN_BYTES bytes each way of one connection.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errlog.h"
#include "os/poll.h"
#include "server/worker.h"

#define TURN_REQUESTS 16
#define TURN_BYTES    ((size_t)1 << 20)
#define READ_BYTES    ((size_t)4096)
#define REQUEST_ARENA ((size_t)128 << 20)
#define STALLED_MS    30000 /* a frame begun and not gone on with */
#define SWEEP_MAX_MS  5000
#define SWEEP_MIN_MS  50

struct tk_conn {
	TAILQ_ENTRY(tk_conn) link;
	TAILQ_ENTRY(tk_conn) wait_link;
	struct tk_worker *worker;
	struct tk_event event;
	struct tk_post work, gone;
	struct sockaddr_storage peer;
	unsigned listener;
	struct tk_shared_buf *buf; /* unparsed bytes are data[at .. end) */
	size_t at, end;
	size_t frame_bytes; /* of the frame at `at`, 0 while unknown */
	int frame_api;
	size_t usual_bytes; /* of the last frame: how much to read at first */
	TAILQ_HEAD(, tk_request) requests;
	unsigned running;       /* of the requests, started and not done */
	unsigned running_alone; /* of those, not pipelined */
	int64_t active_ms;
	bool waits_for_memory, send_blocked, closed;
};

const struct sockaddr *
tk_conn_peer(const struct tk_conn *conn)
{
	return (const struct sockaddr *)&conn->peer;
}

unsigned
tk_conn_listener(const struct tk_conn *conn)
{
	return conn->listener;
}

static struct tk_loop *
conn_loop(const struct tk_conn *conn)
{
	return conn->worker->proc->loop;
}

static void
conn_active(struct tk_conn *conn)
{
	conn->active_ms = tk_loop_now_ms(conn_loop(conn));
	TAILQ_REMOVE(&conn->worker->conns, conn, link);
	TAILQ_INSERT_TAIL(&conn->worker->conns, conn, link);
}

static void
conn_memory_wait(struct tk_conn *conn, bool waits)
{
	struct tk_worker *worker = conn->worker;

	if (conn->waits_for_memory == waits)
		return;
	conn->waits_for_memory = waits;
	if (waits) {
		tk_count(TK_COUNT_memory_waits, 1);
		TAILQ_INSERT_TAIL(&worker->memory_waits, conn, wait_link);
	} else {
		TAILQ_REMOVE(&worker->memory_waits, conn, wait_link);
	}
}

/* ---- requests ---- */

static void
request_account(struct tk_request *req)
{
	struct tk_worker *worker = req->worker;

	worker->memory_bytes += req->arena.held_bytes - req->accounted_bytes;
	req->accounted_bytes = req->arena.held_bytes;
	tk_page->memory_bytes = worker->memory_bytes + tk_shared_arena_used(worker->arena);
}

static void
request_free(struct tk_request *req)
{
	struct tk_worker *worker = req->worker;
	struct tk_loop *loop = worker->proc->loop;

	tk_request_unwait(req);
	tk_post_cancel(loop, &req->wake);
	tk_timer_stop(loop, &req->timer);
	tk_chain_reset(&req->reply);
	tk_shared_buf_unref(&req->buf);
	tk_arena_reset(&req->arena);
	request_account(req);
	if (!TAILQ_EMPTY(&worker->memory_waits))
		tk_post(loop, &worker->memory_freed);
	free(req);
}

static void
conn_gone_run(struct tk_post *post)
{
	free(TK_CONTAINER_OF(post, struct tk_conn, gone));
}

static void
conn_close(struct tk_conn *conn)
{
	struct tk_worker *worker = conn->worker;
	struct tk_request *req;

	if (conn->closed)
		return;
	conn->closed = true;
	tk_event_remove(conn_loop(conn), &conn->event);
	(void)close(conn->event.fd);
	tk_post_cancel(conn_loop(conn), &conn->work);
	conn_memory_wait(conn, false);
	while ((req = TAILQ_FIRST(&conn->requests)) != NULL) {
		TAILQ_REMOVE(&conn->requests, req, link);
		tk_request_unwait(req);
		if (req->started && !req->done && req->api->cancel != NULL)
			req->api->cancel(req);
		request_free(req);
	}
	tk_shared_buf_unref(&conn->buf);
	TAILQ_REMOVE(&worker->conns, conn, link);
	worker->conn_count--;
	tk_page->connections = worker->conn_count;
	tk_count(TK_COUNT_connections_closed, 1);
	tk_listener_conn_closed(worker, conn->listener, tk_conn_peer(conn));
	tk_post(conn_loop(conn), &conn->gone);
}

static void
conn_malformed(struct tk_conn *conn)
{
	static struct tk_errlog_limit limit;

	tk_count(TK_COUNT_connections_malformed, 1);
	if (tk_errlog_allowed(&limit, 5))
		tk_info(
		    "a connection was closed: it sent what is not a request that is served here");
	conn_close(conn);
}

static void
request_run(struct tk_request *req)
{
	struct tk_conn *conn = req->conn;
	enum tk_io rc;

	tk_request_unwait(req);
	tk_timer_stop(conn_loop(conn), &req->timer);
	rc = req->api->handle(req);
	request_account(req);
	if (rc == TK_IO_AGAIN)
		return;
	req->done = true;
	conn->running--;
	if ((req->api->flags & TK_API_PIPELINED) == 0)
		conn->running_alone--;
	if (rc == TK_IO_ERROR) {
		conn_close(conn);
		return;
	}
	tk_count(TK_COUNT_requests, 1);
	tk_request_unwait(req);
	tk_timer_stop(conn_loop(conn), &req->timer);
	tk_post(conn_loop(conn), &conn->work);
}

static void
request_wake_run(struct tk_post *post)
{
	struct tk_request *req = TK_CONTAINER_OF(post, struct tk_request, wake);

	if (!req->done)
		request_run(req);
}

static void
request_timer_expire(struct tk_timer *timer)
{
	struct tk_request *req = TK_CONTAINER_OF(timer, struct tk_request, timer);

	req->timer_fired = true;
	tk_request_wake(req);
}

void
tk_request_wake(struct tk_request *req)
{
	if (!req->done)
		tk_post(req->worker->proc->loop, &req->wake);
}

void
tk_request_wake_after(struct tk_request *req, int64_t delay_ms)
{
	if (tk_timer_start(req->worker->proc->loop, &req->timer, delay_ms) < 0)
		tk_request_wake(req);
}

/* Takes the frame of frame_bytes at the front as a request and runs it; false if that closed. */
static bool
conn_start_request(struct tk_conn *conn)
{
	struct tk_worker *worker = conn->worker;
	struct tk_request *req = calloc(1, sizeof(*req));

	if (req == NULL) {
		conn_close(conn);
		return false;
	}
	req->worker = worker;
	req->conn = conn;
	tk_arena_init(&req->arena, REQUEST_ARENA);
	tk_chain_init(&req->reply, &req->arena);
	req->buf = tk_shared_buf_ref(conn->buf);
	req->received_ms = tk_loop_now_ms(conn_loop(conn));
	req->wake.run = request_wake_run;
	req->timer.expire = request_timer_expire;
	LIST_INIT(&req->waits);
	if (worker->decode->parse(req, conn->buf->data + conn->at, conn->frame_bytes) != TK_IO_OK) {
		request_free(req);
		conn_malformed(conn);
		return false;
	}
	conn->at += conn->frame_bytes;
	conn->usual_bytes = conn->frame_bytes;
	conn->frame_bytes = 0;
	TAILQ_INSERT_TAIL(&conn->requests, req, link);
	req->started = true;
	conn->running++;
	if ((req->api->flags & TK_API_PIPELINED) == 0)
		conn->running_alone++;
	request_run(req);
	return !conn->closed;
}

/* ---- input ---- */

/* May the frame at the front run now, beside what runs already? */
static bool
conn_may_start(const struct tk_conn *conn)
{
	const struct tk_worker *worker = conn->worker;
	const struct tk_api *api = NULL;

	if (conn->running == 0)
		return true;
	if (conn->frame_api >= 0 && conn->frame_api < TK_API_KEYS_MAX)
		api = worker->apis[conn->frame_api];
	return api != NULL && (api->flags & TK_API_PIPELINED) != 0 && conn->running_alone == 0 &&
	       conn->running < (unsigned)worker->settings->max_produce_in_flight;
}

/* Looks at what is at the front; true if a whole frame is there. */
static bool
conn_has_frame(struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;
	enum tk_io rc;

	if (conn->closed || conn->buf == NULL)
		return false;
	if (conn->frame_bytes == 0 || conn->frame_api < 0) {
		rc = conn->worker->decode->peek(conn->worker, conn->buf->data + conn->at, have,
		    &conn->frame_bytes, &conn->frame_api);
		if (rc == TK_IO_ERROR)
			conn_malformed(conn);
		if (rc != TK_IO_OK)
			return false;
	}
	return have >= conn->frame_bytes;
}

/* Runs what is whole and may run; true if there is more to do in another turn. */
static bool
conn_run_frames(struct tk_conn *conn)
{
	for (int i = 0; conn_has_frame(conn); i++) {
		if (!conn_may_start(conn) || conn->send_blocked || conn->worker->proc->stopping)
			return false;
		if (conn->worker->memory_bytes > (size_t)conn->worker->settings->worker_memory &&
		    conn->worker->memory_bytes > 0) {
			conn_memory_wait(conn, true);
			return false;
		}
		if (i == TURN_REQUESTS)
			return true;
		if (!conn_start_request(conn))
			return false;
	}
	return false;
}

/* Makes sure the buffer can take the rest of the frame, or the start of one; false: no room. */
static bool
conn_make_room(struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;
	size_t need = conn->frame_bytes != 0 ? conn->frame_bytes : have + 16;
	size_t want = TK_MAX(need, TK_MIN(TK_MAX(conn->usual_bytes, READ_BYTES), TURN_BYTES));
	struct tk_shared_buf *buf;

	if (conn->buf != NULL && conn->at + need <= conn->buf->room)
		return true;
	if (conn->buf != NULL && need <= conn->buf->room && conn->buf->references == 1 &&
	    have <= READ_BYTES) {
		memmove(conn->buf->data, conn->buf->data + conn->at, have);
	} else {
		buf = tk_shared_buf_new(conn->worker->arena, want);
		if (buf == NULL)
			return false;
		if (have > 0)
			memcpy(buf->data, conn->buf->data + conn->at, have);
		tk_shared_buf_unref(&conn->buf);
		conn->buf = buf;
	}
	conn->at = 0;
	conn->end = have;
	return true;
}

/* How much to read: no further than the frame's end, or about a usual frame. */
static size_t
conn_read_limit(const struct tk_conn *conn)
{
	size_t room = conn->buf->room - conn->end;

	if (conn->frame_bytes != 0)
		return TK_MIN(room, conn->frame_bytes - (conn->end - conn->at));
	return TK_MIN(room, TK_MAX(conn->usual_bytes, READ_BYTES));
}

/* Reads until a frame is whole, the socket is empty or the turn's share is used up. */
static void
conn_read(struct tk_conn *conn)
{
	size_t budget = TURN_BYTES;

	while (!conn_has_frame(conn) && !conn->closed && budget > 0) {
		size_t limit;
		ssize_t n;

		if (!conn_make_room(conn)) {
			conn_memory_wait(conn, true);
			return;
		}
		limit = TK_MIN(conn_read_limit(conn), budget);
		n = recv(conn->event.fd, conn->buf->data + conn->end, limit, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_close(conn);
			return;
		}
		tk_count(TK_COUNT_bytes_in, (uint64_t)n);
		conn->end += (size_t)n;
		budget -= (size_t)n;
		conn_active(conn);
		if ((size_t)n < limit && !conn_has_frame(conn))
			return;
	}
}

/* ---- output ---- */

/* Sends what is done, in order; true if there is more to send in another turn. */
static bool
conn_send(struct tk_conn *conn)
{
	size_t budget = TURN_BYTES;
	struct tk_request *req;

	while ((req = TAILQ_FIRST(&conn->requests)) != NULL && req->done && !conn->send_blocked) {
		enum tk_io rc = TK_IO_DONE;
		uint64_t before = req->reply.len;

		if (!req->no_reply)
			rc = conn->worker->transmit->send(
			    conn->worker, conn->event.fd, &req->reply, budget);
		if (rc == TK_IO_ERROR) {
			conn_close(conn);
			return false;
		}
		if (before != req->reply.len)
			conn_active(conn);
		budget -= TK_MIN(budget, (size_t)(before - req->reply.len));
		conn->send_blocked = rc == TK_IO_AGAIN;
		if (rc == TK_IO_DONE) {
			TAILQ_REMOVE(&conn->requests, req, link);
			request_free(req);
		} else if (rc == TK_IO_OK) {
			return true;
		}
	}
	return false;
}

static void
conn_interest(struct tk_conn *conn)
{
	unsigned interest = 0;

	if (conn->send_blocked)
		interest |= TK_POLL_WRITE;
	if (!conn->waits_for_memory && !conn->worker->proc->stopping && !conn_has_frame(conn))
		interest |= TK_POLL_READ;
	if (!conn->closed)
		tk_event_want(conn_loop(conn), &conn->event, interest);
}

/* An idle connection holds no buffer. */
static void
conn_settle(struct tk_conn *conn)
{
	if (conn->at == conn->end && conn->buf != NULL) {
		tk_shared_buf_unref(&conn->buf);
		conn->at = conn->end = 0;
		conn->frame_bytes = 0;
	}
	if (conn->worker->proc->stopping && TAILQ_EMPTY(&conn->requests))
		conn_close(conn);
}

/* All there is to do for a connection, within a turn's bounds. */
static void
conn_work(struct tk_conn *conn)
{
	bool more = conn_run_frames(conn);

	if (!conn->closed)
		more |= conn_send(conn);
	/* What was sent may have made way for a frame that waits. */
	if (!conn->closed && !more && conn_has_frame(conn) && conn_may_start(conn) &&
	    !conn->send_blocked && !conn->waits_for_memory)
		more = true;
	if (!conn->closed)
		conn_settle(conn);
	if (conn->closed)
		return;
	if (more)
		tk_post(conn_loop(conn), &conn->work);
	conn_interest(conn);
}

static void
conn_work_run(struct tk_post *post)
{
	conn_work(TK_CONTAINER_OF(post, struct tk_conn, work));
}

static void
conn_ready(struct tk_event *event, unsigned what)
{
	struct tk_conn *conn = TK_CONTAINER_OF(event, struct tk_conn, event);

	if ((what & TK_POLL_WRITE) != 0)
		conn->send_blocked = false;
	if ((what & TK_POLL_HANGUP) != 0) {
		conn_close(conn);
		return;
	}
	if ((what & TK_POLL_READ) != 0)
		conn_read(conn);
	if (!conn->closed)
		conn_work(conn);
}

void
tk_conn_new(
    struct tk_worker *worker, unsigned listener, int fd, const struct sockaddr_storage *peer)
{
	struct tk_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		(void)close(fd);
		tk_listener_conn_closed(worker, listener, (const struct sockaddr *)peer);
		return;
	}
	conn->worker = worker;
	conn->listener = listener;
	conn->peer = *peer;
	conn->event = (struct tk_event){ .fd = fd, .ready = conn_ready };
	conn->work.run = conn_work_run;
	conn->gone.run = conn_gone_run;
	conn->active_ms = tk_loop_now_ms(worker->proc->loop);
	TAILQ_INIT(&conn->requests);
	if (tk_event_add(worker->proc->loop, &conn->event, TK_POLL_READ) < 0) {
		(void)close(fd);
		free(conn);
		tk_listener_conn_closed(worker, listener, (const struct sockaddr *)peer);
		return;
	}
	TAILQ_INSERT_TAIL(&worker->conns, conn, link);
	worker->conn_count++;
	tk_page->connections = worker->conn_count;
}

/* ---- all connections ---- */

static void
memory_freed_run(struct tk_post *post)
{
	struct tk_worker *worker = TK_CONTAINER_OF(post, struct tk_worker, memory_freed);
	struct tk_conn *conn;

	while ((conn = TAILQ_FIRST(&worker->memory_waits)) != NULL) {
		if (worker->memory_bytes > (size_t)worker->settings->worker_memory ||
		    (!conn_has_frame(conn) && !conn->closed && !conn_make_room(conn)))
			return;
		if (conn->closed)
			continue;
		conn_memory_wait(conn, false);
		conn_work(conn);
	}
}

static void
arena_on_free(void *arg)
{
	struct tk_worker *worker = arg;

	if (!TAILQ_EMPTY(&worker->memory_waits))
		tk_post(worker->proc->loop, &worker->memory_freed);
}

static int64_t
sweep_ms(const struct tk_worker *worker)
{
	int64_t idle_ms = worker->settings->connections_max_idle_ms;

	return idle_ms < 0 ? SWEEP_MAX_MS : TK_MIN(TK_MAX(idle_ms / 4, SWEEP_MIN_MS), SWEEP_MAX_MS);
}

static void
sweep_expire(struct tk_timer *timer)
{
	struct tk_worker *worker = TK_CONTAINER_OF(timer, struct tk_worker, sweep);
	int64_t now_ms = tk_loop_now_ms(worker->proc->loop);
	int64_t max_idle_ms = worker->settings->connections_max_idle_ms;
	struct tk_conn *conn, *next;

	for (conn = TAILQ_FIRST(&worker->conns); conn != NULL; conn = next) {
		int64_t idle_ms = now_ms - conn->active_ms;
		bool partial = conn->end > conn->at && conn->running == 0;

		next = TAILQ_NEXT(conn, link);
		if (idle_ms < SWEEP_MIN_MS)
			break;
		if ((max_idle_ms >= 0 && idle_ms >= max_idle_ms && conn->running == 0) ||
		    (partial && !conn->waits_for_memory && idle_ms >= STALLED_MS)) {
			tk_count(TK_COUNT_connections_idle_closed, 1);
			conn_close(conn);
		}
	}
	tk_shared_arena_trim(worker->arena);
	(void)tk_timer_start(worker->proc->loop, &worker->sweep, sweep_ms(worker));
}

int
tk_conns_init(struct tk_worker *worker)
{
	TAILQ_INIT(&worker->conns);
	TAILQ_INIT(&worker->memory_waits);
	worker->memory_freed.run = memory_freed_run;
	worker->sweep.expire = sweep_expire;
	tk_shared_arena_on_free(worker->arena, arena_on_free, worker);
	return tk_timer_start(worker->proc->loop, &worker->sweep, sweep_ms(worker));
}

void
tk_conns_quit(struct tk_worker *worker)
{
	struct tk_conn *conn, *next;

	for (conn = TAILQ_FIRST(&worker->conns); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		conn_work(conn);
	}
}

void
tk_conns_close_all(struct tk_worker *worker)
{
	struct tk_conn *conn;

	while ((conn = TAILQ_FIRST(&worker->conns)) != NULL)
		conn_close(conn);
}
