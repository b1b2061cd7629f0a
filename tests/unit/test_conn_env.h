/*
 * A worker in this process with handlers of the test's own, and clients that reach it by TCP.
 *
 * Everything is one thread: a test sends, lets the worker's loop turn, and reads what came back.
 * Frames are of two APIs: ALONE, and PIPELINED as Produce is.  The first byte of a body says what
 * its handler does.  The clock can be put ahead (link with --wrap=tk_clock_mono_ms).
 */
#ifndef TK_TESTS_CONN_ENV_H
#define TK_TESTS_CONN_ENV_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/endian.h"
#include "os/shm.h"
#include "server/worker.h"
#include "unit.h"

#define ALONE     3 /* Metadata */
#define PIPELINED 0 /* Produce */

#define REPLY 'r' /* answers at once */
#define WAIT  'w' /* waits until it is let go, or env.timer_ms is over */
#define BIG   'b' /* answers with env.big_bytes at once */
#define HOLD  'h' /* takes env.hold_bytes of memory, then as WAIT */

#define HELD_MAX 256
#define MIB      ((size_t)1 << 20)
#define HEAD_LEN 14u /* of a frame: prefix and header */

struct held {
	struct tk_request *req; /* NULL once it is answered or cancelled */
	int32_t correlation_id;
	unsigned runs, timers;
	bool let_go;
};

struct conn_env {
	struct tk_arena settings_arena;
	struct tk_settings *settings;
	struct tk_listener_settings listener;
	struct tk_cycle_listener cycle_listener;
	struct tk_cycle cycle;
	struct tk_process proc;
	struct tk_worker worker;
	struct tk_post turn_end;
	struct tk_turn_hook turn_hook;
	uint64_t turns;
	int arena_fd;
	void *arena_base;
	size_t arena_bytes;
	in_port_t port;
	/* what handlers do and did */
	struct held held[HELD_MAX];
	unsigned held_count, cancelled;
	int64_t timer_ms;
	size_t big_bytes, hold_bytes;
};

static struct conn_env env;
static int64_t clock_ahead_ms;

int64_t __real_tk_clock_mono_ms(void);
int64_t __wrap_tk_clock_mono_ms(void);

int64_t
__wrap_tk_clock_mono_ms(void)
{
	return __real_tk_clock_mono_ms() + clock_ahead_ms;
}

/* ---- handlers ---- */

static inline enum tk_io
held_reply(struct tk_request *req, size_t bytes)
{
	uint8_t *at;

	tk_chain_reset(&req->reply);
	at = tk_chain_reserve(&req->reply, 8 + bytes);
	if (at == NULL)
		return TK_IO_ERROR;
	tk_be32_put(at, (uint32_t)(4 + bytes));
	tk_be32_put(at + 4, (uint32_t)req->correlation_id);
	memset(at + 8, 'x', bytes);
	return TK_IO_DONE;
}

static inline struct held *
held_new(struct tk_request *req)
{
	struct held *held = &env.held[env.held_count++];

	tk_assert(env.held_count < HELD_MAX);
	*held = (struct held){ .req = req, .correlation_id = req->correlation_id };
	return held;
}

static inline enum tk_io
env_handle(struct tk_request *req)
{
	struct held *held = req->ctx;
	int what = req->body.len > 0 ? req->body.data[0] : REPLY;

	if (what == REPLY || what == BIG)
		return held_reply(req, what == BIG ? env.big_bytes : 0);
	if (held == NULL) {
		req->ctx = held = held_new(req);
		if (what == HOLD && tk_arena_alloc(&req->arena, env.hold_bytes) == NULL)
			return TK_IO_ERROR;
		if (env.timer_ms > 0)
			tk_request_wake_after(req, env.timer_ms);
	}
	held->runs++;
	held->timers += req->timer_fired;
	if (!held->let_go && !req->timer_fired)
		return TK_IO_AGAIN;
	held->req = NULL;
	return held_reply(req, 0);
}

static inline void
env_cancel(struct tk_request *req)
{
	struct held *held = req->ctx;

	env.cancelled++;
	if (held != NULL)
		held->req = NULL;
}

static const struct tk_api alone_api = {
	ALONE,
	0,
	8,
	0,
	0,
	env_handle,
	env_cancel,
};
static const struct tk_api pipelined_api = {
	PIPELINED,
	0,
	8,
	0,
	TK_API_PIPELINED,
	env_handle,
	env_cancel,
};

static inline struct held *
held_of(int32_t correlation_id)
{
	for (unsigned i = env.held_count; i-- > 0;)
		if (env.held[i].correlation_id == correlation_id)
			return &env.held[i];
	return NULL;
}

static inline void
let_go(int32_t correlation_id)
{
	struct held *held = held_of(correlation_id);

	CU_ASSERT_FATAL(held != NULL && held->req != NULL);
	held->let_go = true;
	tk_request_wake(held->req);
}

/* ---- the worker ---- */

static void
turn_stop(struct tk_post *post)
{
	(void)post;
	tk_loop_stop(env.proc.loop);
}

static void
turn_count(struct tk_turn_hook *hook)
{
	(void)hook;
	env.turns++;
}

/* Lets the loop turn; it never waits. */
static inline void
turns(unsigned count)
{
	while (count-- > 0) {
		tk_post(env.proc.loop, &env.turn_end);
		tk_loop_run(env.proc.loop);
	}
}

static void
expire_stop(struct tk_timer *timer)
{
	(void)timer;
	tk_loop_stop(env.proc.loop);
}

/* Lets the loop run for ms as it would by itself; how often it turned. */
static inline uint64_t
run_ms(int64_t ms)
{
	struct tk_timer timer = { .expire = expire_stop };
	uint64_t before;

	turns(1);
	before = env.turns;
	CU_ASSERT_FATAL(tk_timer_start(env.proc.loop, &timer, ms) == 0);
	tk_loop_run(env.proc.loop);
	return env.turns - before;
}

static inline int
env_listen(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CU_ASSERT_FATAL(listen(fd, 512) == 0);
	CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	env.port = ntohs(at.sin_port);
	return fd;
}

static inline void
env_settings(void)
{
	struct tk_settings_errors errors = { .arena = &env.settings_arena };
	const struct tk_settings_source source = {
		.text = "", .text_only = true, .prefix = "/tmp"
	};

	tk_arena_init(&env.settings_arena, (size_t)16 << 20);
	CU_ASSERT_FATAL(
	    tk_settings_load(&env.settings_arena, &source, &env.settings, &errors) == 0);
	env.listener = env.settings->listeners.items[0];
}

/* Memory of its own for what clients send, of arena_bytes. */
static inline void
env_arena(size_t arena_bytes)
{
	env.arena_bytes = arena_bytes;
	env.arena_fd = tk_shm_new("test", arena_bytes);
	CU_ASSERT_FATAL(env.arena_fd >= 0);
	CU_ASSERT_FATAL(tk_shm_map(env.arena_fd, 0, arena_bytes, true, &env.arena_base) == 0);
	CU_ASSERT_FATAL(
	    tk_shared_arena_new(env.arena_base, arena_bytes, env.arena_fd, &env.worker.arena) == 0);
}

extern const struct tk_module tk_module_kafka, tk_module_sendfile;

static inline void
env_new(size_t arena_bytes)
{
	memset(&env, 0, sizeof(env));
	memset(tk_page, 0, sizeof(*tk_page));
	clock_ahead_ms = 0;
	env_settings();
	env.settings->socket_request_max_bytes = (int64_t)arena_bytes / 2 - 4;
	env.cycle_listener = (struct tk_cycle_listener){ env_listen(), &env.listener };
	env.cycle = (struct tk_cycle){ .settings = env.settings,
		.listeners = &env.cycle_listener,
		.listener_count = 1,
		.run_dir_fd = -1 };
	env.proc = (struct tk_process){ .role = TK_ROLE_WORKER,
		.cycle = &env.cycle,
		.settings = env.settings,
		.worker_pages = { tk_page },
		.worker_count = 1 };
	CU_ASSERT_FATAL(tk_loop_new(&env.proc.loop) == 0);
	env.turn_end.run = turn_stop;
	env.turn_hook.run = turn_count;
	tk_turn_hook_add(env.proc.loop, &env.turn_hook);
	env_arena(arena_bytes);
	env.worker.proc = &env.proc;
	env.worker.settings = env.settings;
	env.worker.decode = tk_module_kafka.decode;
	env.worker.transmit = tk_module_sendfile.transmit;
	env.worker.apis[ALONE] = &alone_api;
	env.worker.apis[PIPELINED] = &pipelined_api;
	CU_ASSERT_FATAL(tk_conns_init(&env.worker) == 0);
	CU_ASSERT_FATAL(tk_listeners_start(&env.worker) == 0);
}

/* Ends it; nothing of what connections held may be left. */
static inline void
env_free(void)
{
	tk_conns_close_all(&env.worker);
	tk_listeners_stop(&env.worker);
	turns(2);
	CU_ASSERT(env.worker.conn_count == 0 && env.worker.memory_bytes == 0);
	CU_ASSERT(tk_shared_arena_used(env.worker.arena) == 0);
	CU_ASSERT(TAILQ_EMPTY(&env.worker.memory_waits));
	tk_shared_arena_free(&env.worker.arena);
	tk_shm_unmap(env.arena_base, env.arena_bytes);
	(void)close(env.arena_fd);
	free(env.worker.listeners);
	tk_loop_free(&env.proc.loop);
	tk_arena_reset(&env.settings_arena);
}

/* ---- clients ---- */

static inline int
client_new(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(env.port) };
	uint64_t before = tk_count_of(tk_page, TK_COUNT_connections_accepted);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CU_ASSERT_FATAL(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CU_ASSERT_FATAL(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	/* The clock is ours: what is sent leaves at once, not when the kernel's time has come. */
	CU_ASSERT_FATAL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	for (int i = 0; i < 100 && tk_count_of(tk_page, TK_COUNT_connections_accepted) == before;
	     i++)
		turns(1);
	CU_ASSERT_FATAL(tk_count_of(tk_page, TK_COUNT_connections_accepted) == before + 1);
	return fd;
}

/* The first HEAD_LEN + 1 bytes of a frame of frame_bytes in all. */
static inline void
frame_head(uint8_t *to, int api, int32_t correlation_id, char what, size_t frame_bytes)
{
	tk_be32_put(to, (uint32_t)(frame_bytes - 4));
	tk_be16_put(to + 4, (uint16_t)api);
	tk_be16_put(to + 6, 3);
	tk_be32_put(to + 8, (uint32_t)correlation_id);
	tk_be16_put(to + 12, UINT16_MAX); /* no client id */
	to[HEAD_LEN] = (uint8_t)what;
}

/* Sends all of it, letting the worker turn where the socket is full; false if it stays full. */
static inline bool
client_send(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (int idle = 0; len > 0 && idle < 50;) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		idle = n > 0 ? 0 : idle + 1;
		turns(1);
	}
	return len == 0;
}

/* Sends sent bytes of a frame of frame_bytes. */
static inline bool
client_begin(int fd, int api, int32_t correlation_id, char what, size_t frame_bytes, size_t sent)
{
	uint8_t *frame = calloc(1, frame_bytes);
	bool good;

	CU_ASSERT_FATAL(frame != NULL && sent <= frame_bytes && frame_bytes > HEAD_LEN);
	frame_head(frame, api, correlation_id, what, frame_bytes);
	good = client_send(fd, frame, sent);
	free(frame);
	return good;
}

/* Sends what client_begin() left out. */
static inline bool
client_go_on(int fd, size_t frame_bytes, size_t sent)
{
	uint8_t *rest = calloc(1, frame_bytes - sent);
	bool good;

	CU_ASSERT_FATAL(rest != NULL);
	good = client_send(fd, rest, frame_bytes - sent);
	free(rest);
	return good;
}

static inline bool
client_ask(int fd, int api, int32_t correlation_id, char what, size_t frame_bytes)
{
	return client_begin(fd, api, correlation_id, what, frame_bytes, frame_bytes);
}

/* The correlation id of the next answer, read to its end; -1: there is none, -2: closed. */
static inline int32_t
client_answer(int fd)
{
	uint8_t head[8];
	uint32_t left;
	ssize_t n;

	for (int i = 0; i < 60; i++) {
		turns(1);
		n = recv(fd, head, sizeof(head), MSG_PEEK);
		if (n == sizeof(head) || n == 0)
			break;
	}
	n = recv(fd, head, sizeof(head), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -1 : -2;
	CU_ASSERT_FATAL(n == sizeof(head));
	for (left = tk_be32_get(head) - 4; left > 0;) {
		uint8_t bytes[65536];

		n = recv(fd, bytes, TK_MIN(left, sizeof(bytes)), 0);
		if (n > 0)
			left -= (uint32_t)n;
		else if (n == 0 || errno != EAGAIN)
			return -2;
		turns(1);
	}
	return (int32_t)tk_be32_get(head + 4);
}

static inline bool
client_is_closed(int fd)
{
	char byte;
	ssize_t n;

	turns(10);
	n = recv(fd, &byte, 1, MSG_PEEK);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

#endif
