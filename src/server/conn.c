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
#include "server/conn_private.h"

#define TURN_REQUESTS 16
#define TURN_BYTES    ((size_t)1 << 20)
#define REQUEST_ARENA ((size_t)128 << 20)
#define PEEK_BYTES    ((size_t)16) /* of a frame, to learn its size */

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

void
tk_conn_close(struct tk_conn *conn)
{
	struct tk_worker *worker = conn->worker;
	struct tk_request *req;

	if (conn->closed)
		return;
	conn->closed = true;
	tk_event_remove(conn_loop(conn), &conn->event);
	(void)close(conn->event.fd);
	tk_post_cancel(conn_loop(conn), &conn->work);
	tk_conn_wait_no_more(conn);
	while ((req = TAILQ_FIRST(&conn->requests)) != NULL) {
		TAILQ_REMOVE(&conn->requests, req, link);
		tk_request_unwait(req);
		if (!req->done && req->api->cancel != NULL)
			req->api->cancel(req);
		request_free(req);
	}
	tk_shared_buf_unref(&conn->buf);
	free(conn->aside);
	TAILQ_REMOVE(&worker->conns, conn, link);
	worker->conn_count--;
	tk_page->connections = worker->conn_count;
	tk_count(TK_COUNT_connections_closed, 1);
	tk_listener_conn_closed(worker, conn->listener, tk_conn_peer(conn));
	tk_post(conn_loop(conn), &conn->gone);
}

/* What came before is answered first, as if what is wrong had come later. */
static void
conn_end(struct tk_conn *conn)
{
	conn->ending = true;
	tk_conn_wait_no_more(conn);
	if (TAILQ_EMPTY(&conn->requests))
		tk_conn_close(conn);
}

static void
conn_malformed(struct tk_conn *conn)
{
	static struct tk_errlog_limit limit;

	tk_count(TK_COUNT_connections_malformed, 1);
	if (tk_errlog_allowed(&limit, 5))
		tk_info(
		    "a connection was closed: it sent what is not a request that is served here");
	conn_end(conn);
}

static void
request_run(struct tk_request *req)
{
	struct tk_conn *conn = req->conn;
	enum tk_io rc;

	tk_request_unwait(req);
	rc = req->api->handle(req);
	request_account(req);
	if (rc == TK_IO_AGAIN)
		return;
	req->done = true;
	conn->running--;
	if ((req->api->flags & TK_API_PIPELINED) == 0)
		conn->running_alone--;
	if (rc == TK_IO_ERROR) {
		req->failed = true;
		conn_end(conn);
	} else {
		tk_count(TK_COUNT_requests, 1);
	}
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
		tk_conn_close(conn);
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
	conn->largest_bytes = TK_MAX(conn->largest_bytes, conn->frame_bytes);
	conn->frame_bytes = 0;
	conn->frame_ms = req->received_ms;
	TAILQ_INSERT_TAIL(&conn->requests, req, link);
	conn->running++;
	if ((req->api->flags & TK_API_PIPELINED) == 0)
		conn->running_alone++;
	request_run(req);
	return !conn->closed;
}

/* ---- input ---- */

const struct tk_api *
tk_conn_frame_api(const struct tk_conn *conn)
{
	if (conn->frame_bytes == 0 || conn->frame_api < 0 || conn->frame_api >= TK_API_KEYS_MAX)
		return NULL;
	return conn->worker->apis[conn->frame_api];
}

/* May the frame at the front run now, beside what runs already? */
static bool
conn_may_start(const struct tk_conn *conn)
{
	const struct tk_api *api = tk_conn_frame_api(conn);

	if (conn->running == 0)
		return true;
	return api != NULL && (api->flags & TK_API_PIPELINED) != 0 && conn->running_alone == 0 &&
	       conn->running < (unsigned)conn->worker->settings->max_produce_in_flight;
}

bool
tk_conn_has_frame(struct tk_conn *conn)
{
	size_t have = conn->end - conn->at;
	enum tk_io rc;

	if (conn->closed || conn->ending || conn->buf == NULL)
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

/* A whole frame is there, and nothing keeps it from being run. */
static bool
conn_can_run(struct tk_conn *conn)
{
	return tk_conn_has_frame(conn) && conn_may_start(conn) && !conn->send_blocked &&
	       !conn->waits_for_memory && !conn->worker->proc->stopping;
}

/* Runs what is whole and may run; true if there is more to do in another turn. */
static bool
conn_run_frames(struct tk_conn *conn)
{
	for (int i = 0; conn_can_run(conn); i++) {
		if (tk_worker_is_pressed(conn->worker)) {
			tk_conn_wait_for_memory(conn);
			return false;
		}
		if (i == TURN_REQUESTS)
			return true;
		if (!conn_start_request(conn))
			return false;
	}
	return false;
}

/*
 * Where large frames are usual, the size of the next one is learned before it is read, so that it
 * goes into a buffer of its own at once.  What is wrong with it the real read finds out.
 */
static void
conn_look_ahead(struct tk_conn *conn)
{
	uint8_t head[PEEK_BYTES];
	ssize_t n;

	if (conn->frame_bytes != 0 || conn->end > conn->at ||
	    conn->usual_bytes <= TK_CONN_READ_BYTES)
		return;
	n = recv(conn->event.fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (n > 0)
		(void)conn->worker->decode->peek(
		    conn->worker, head, (size_t)n, &conn->frame_bytes, &conn->frame_api);
}

/* How much to read: no further than the frame's end. */
static size_t
conn_read_limit(const struct tk_conn *conn)
{
	size_t room = conn->buf->room - conn->end;

	if (conn->frame_bytes != 0)
		return TK_MIN(room, conn->frame_bytes - (conn->end - conn->at));
	return TK_MIN(room, TK_CONN_READ_BYTES);
}

/* Reads until a frame is whole, the socket is empty or the turn's share is used up. */
static void
conn_read(struct tk_conn *conn)
{
	size_t budget = TURN_BYTES;

	while (!tk_conn_has_frame(conn) && !conn->closed && !conn->ending && budget > 0) {
		size_t limit;
		ssize_t n;

		conn_look_ahead(conn);
		if (!tk_conn_make_room(conn)) {
			tk_conn_wait_for_memory(conn);
			return;
		}
		limit = TK_MIN(conn_read_limit(conn), budget);
		n = recv(conn->event.fd, conn->buf->data + conn->end, limit, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			tk_conn_close(conn);
			return;
		}
		tk_count(TK_COUNT_bytes_in, (uint64_t)n);
		conn->end += (size_t)n;
		budget -= (size_t)n;
		conn_active(conn);
		if ((size_t)n < limit && !tk_conn_has_frame(conn))
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

		if (req->failed)
			rc = TK_IO_ERROR;
		else if (!req->no_reply)
			rc = conn->worker->transmit->send(
			    conn->worker, conn->event.fd, &req->reply, budget);
		if (rc == TK_IO_ERROR) {
			tk_conn_close(conn);
			return false;
		}
		request_account(req);
		if (before != req->reply.len)
			conn_active(conn);
		budget -= TK_MIN(budget, (size_t)(before - req->reply.len));
		if (!conn->answering)
			conn->answer_ms = tk_loop_now_ms(conn_loop(conn));
		conn->answering = rc != TK_IO_DONE;
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
	bool takes_no_more = tk_conn_has_frame(conn) || conn->ending || conn->waits_for_memory ||
			     conn->worker->proc->stopping;
	unsigned interest = 0;

	if (conn->send_blocked)
		interest |= TK_POLL_WRITE;
	if (!takes_no_more)
		interest |= TK_POLL_READ;
	if (!conn->closed)
		tk_event_want(conn_loop(conn), &conn->event, interest);
}

/* An idle connection holds no buffer. */
static void
conn_settle(struct tk_conn *conn)
{
	if (conn->at == conn->end && conn->frame_bytes == 0) {
		tk_shared_buf_unref(&conn->buf);
		conn->at = conn->end = 0;
	}
	if ((conn->worker->proc->stopping || conn->ending) && TAILQ_EMPTY(&conn->requests))
		tk_conn_close(conn);
}

void
tk_conn_work(struct tk_conn *conn)
{
	bool more = conn_run_frames(conn);

	if (!conn->closed)
		more |= conn_send(conn);
	/* What was sent may have made way for a frame that waits. */
	more |= conn_can_run(conn);
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
	tk_conn_work(TK_CONTAINER_OF(post, struct tk_conn, work));
}

static void
conn_ready(struct tk_event *event, unsigned what)
{
	struct tk_conn *conn = TK_CONTAINER_OF(event, struct tk_conn, event);

	if ((what & TK_POLL_WRITE) != 0)
		conn->send_blocked = false;
	if ((what & TK_POLL_HANGUP) != 0) {
		tk_conn_close(conn);
		return;
	}
	if ((what & TK_POLL_READ) != 0)
		conn_read(conn);
	if (!conn->closed)
		tk_conn_work(conn);
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
