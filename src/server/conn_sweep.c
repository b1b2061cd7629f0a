/*
 * All connections of a worker: who is idle, who is stalled, and how they end.  Runs in workers.
 *
 * A connection is closed when nothing was asked for connections_max_idle_ms, and when a frame was
 * begun and does not move for STALLED_MS.  Where others wait for memory, moving is not enough: the
 * frame has to be there in that time, an answer that holds memory has to be read in it, and
 * requests that wait are woken, since they hold what the others wait for.
 */
#include "base/errlog.h"
#include "server/conn_private.h"

#define STALLED_MS   30000
#define HOLDS_BYTES  ((size_t)16 << 10) /* below it an answer under way is in nobody's way */
#define SWEEP_MAX_MS 5000
#define SWEEP_MIN_MS 50

static int64_t
sweep_ms(const struct tk_worker *worker)
{
	int64_t idle_ms = worker->settings->connections_max_idle_ms;

	return idle_ms < 0 ? SWEEP_MAX_MS : TK_MIN(TK_MAX(idle_ms / 4, SWEEP_MIN_MS), SWEEP_MAX_MS);
}

static bool
conn_is_idle(const struct tk_conn *conn, int64_t now_ms)
{
	int64_t max_idle_ms = conn->worker->settings->connections_max_idle_ms;

	return max_idle_ms >= 0 && now_ms - conn->active_ms >= max_idle_ms && conn->running == 0;
}

/* Memory that is free again once what was asked for is answered. */
static size_t
conn_holds(const struct tk_conn *conn)
{
	const struct tk_request *req;
	size_t bytes = 0;

	TAILQ_FOREACH (req, &conn->requests, link)
		bytes += req->accounted_bytes + (req->buf == NULL ? 0 : req->buf->room);
	return bytes;
}

static bool
answer_is_stalled(const struct tk_conn *conn, int64_t now_ms)
{
	return now_ms - conn->active_ms >= STALLED_MS ||
	       (now_ms - conn->answer_ms >= STALLED_MS && conn_holds(conn) >= HOLDS_BYTES);
}

static bool
conn_is_stalled(const struct tk_conn *conn, int64_t now_ms, bool pressed)
{
	size_t have = conn->end - conn->at;
	int64_t since_ms = pressed ? conn->frame_ms : conn->active_ms;

	if (conn->waits_for_memory)
		return false;
	if (conn->send_blocked)
		return pressed && answer_is_stalled(conn, now_ms);
	if ((have == 0 && conn->buf == NULL) ||
	    (conn->frame_bytes != 0 && have >= conn->frame_bytes))
		return false;
	return now_ms - since_ms >= STALLED_MS;
}

static void
conn_wake_requests(struct tk_conn *conn)
{
	struct tk_request *req;

	TAILQ_FOREACH (req, &conn->requests, link)
		tk_request_wake(req);
}

static void
sweep_expire(struct tk_timer *timer)
{
	struct tk_worker *worker = TK_CONTAINER_OF(timer, struct tk_worker, sweep);
	int64_t now_ms = tk_loop_now_ms(worker->proc->loop);
	bool pressed = !TAILQ_EMPTY(&worker->memory_waits);
	struct tk_conn *conn, *next;

	for (conn = TAILQ_FIRST(&worker->conns); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (now_ms - conn->active_ms < SWEEP_MIN_MS && !pressed)
			break;
		if (conn_is_idle(conn, now_ms) || conn_is_stalled(conn, now_ms, pressed)) {
			tk_count(TK_COUNT_connections_idle_closed, 1);
			tk_conn_close(conn);
		} else if (tk_worker_is_pressed(worker)) {
			conn_wake_requests(conn);
		}
	}
	if (pressed)
		tk_post(worker->proc->loop, &worker->memory_freed);
	tk_shared_arena_trim(worker->arena);
	(void)tk_timer_start(worker->proc->loop, &worker->sweep, sweep_ms(worker));
}

static void
arena_on_free(void *arg)
{
	struct tk_worker *worker = arg;

	if (!TAILQ_EMPTY(&worker->memory_waits))
		tk_post(worker->proc->loop, &worker->memory_freed);
}

int
tk_conns_init(struct tk_worker *worker)
{
	if (tk_worker_frame_max(worker) < (size_t)worker->settings->socket_request_max_bytes &&
	    worker->proc->index == 0)
		tk_warn("requests of more than %zu bytes are refused: of arena_size half may go to "
			"one",
		    tk_worker_frame_max(worker));
	TAILQ_INIT(&worker->conns);
	TAILQ_INIT(&worker->memory_waits);
	worker->memory_freed.run = tk_conn_memory_freed;
	worker->memory_retry.expire = tk_conn_memory_retry;
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
		conn_wake_requests(conn);
		tk_conn_work(conn);
	}
}

void
tk_conns_close_all(struct tk_worker *worker)
{
	struct tk_conn *conn;

	while ((conn = TAILQ_FIRST(&worker->conns)) != NULL)
		tk_conn_close(conn);
	tk_timer_stop(worker->proc->loop, &worker->memory_retry);
}
