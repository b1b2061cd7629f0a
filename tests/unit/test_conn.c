/*
 * Connections of a worker: order, room, fairness, ends.
 */
#include "test_conn_env.h"

#define ARENA (16 * MIB)
#define FEW   24

/* ---- order ---- */

static void
test_order(void)
{
	int fd = -1;

	env_new(ARENA);
	fd = client_new();
	for (int i = 1; i <= 3; i++)
		CU_ASSERT(client_ask(fd, PIPELINED, i, WAIT, 100));
	CU_ASSERT(client_ask(fd, ALONE, 4, REPLY, 100));
	turns(5);
	CU_ASSERT(env.held_count == 3);
	let_go(3);
	let_go(2);
	CU_ASSERT(client_answer(fd) == -1);
	let_go(1);
	for (int i = 1; i <= 4; i++)
		CU_ASSERT(client_answer(fd) == i);
	(void)close(fd);
	env_free();
}

/* Who is alone has nobody beside it, before or after. */
static void
test_alone(void)
{
	int fd = -1;

	env_new(ARENA);
	fd = client_new();
	CU_ASSERT(client_ask(fd, ALONE, 1, WAIT, 100));
	CU_ASSERT(client_ask(fd, PIPELINED, 2, WAIT, 100));
	CU_ASSERT(client_ask(fd, ALONE, 3, WAIT, 100));
	turns(5);
	CU_ASSERT(env.held_count == 1);
	let_go(1);
	CU_ASSERT(client_answer(fd) == 1 && env.held_count == 2);
	let_go(2);
	CU_ASSERT(client_answer(fd) == 2 && env.held_count == 3);
	let_go(3);
	CU_ASSERT(client_answer(fd) == 3);
	(void)close(fd);
	env_free();
}

/* No more than max_produce_in_flight are under way together. */
static void
test_in_flight(void)
{
	int fd = -1;

	env_new(ARENA);
	env.settings->max_produce_in_flight = 4;
	fd = client_new();
	for (int i = 1; i <= 40; i++)
		CU_ASSERT(client_ask(fd, PIPELINED, i, WAIT, 100));
	turns(5);
	for (int i = 1; i <= 40; i++) {
		CU_ASSERT(env.held_count == (unsigned)TK_MIN(i + 3, 40));
		let_go(i);
		CU_ASSERT(client_answer(fd) == i);
	}
	(void)close(fd);
	env_free();
}

/* ---- what a client should not send ---- */

static void
test_malformed(void)
{
	static const struct {
		int32_t size;
		int api;
	} bad[] = { { -1, ALONE }, { 0, ALONE }, { 7, ALONE }, { INT32_MAX, ALONE },
		{ INT32_MIN, ALONE }, { 20, 77 }, { 20, -3 }, { 20, 999 } };

	env_new(ARENA);
	for (size_t i = 0; i < TK_COUNT_OF(bad); i++) {
		uint8_t frame[24] = { 0 };
		int fd = client_new();

		frame_head(frame, bad[i].api, 1, REPLY, 24);
		tk_be32_put(frame, (uint32_t)bad[i].size);
		CU_ASSERT(client_send(fd, frame, sizeof(frame)));
		CU_ASSERT(client_is_closed(fd));
		(void)close(fd);
	}
	CU_ASSERT(tk_count_of(tk_page, TK_COUNT_connections_malformed) == TK_COUNT_OF(bad));
	env_free();
}

/* Whoever goes while requests of his wait takes nobody's memory with him. */
static void
test_gone(void)
{
	int fd = -1;

	env_new(ARENA);
	fd = client_new();
	CU_ASSERT(client_ask(fd, PIPELINED, 1, WAIT, 100));
	CU_ASSERT(client_ask(fd, PIPELINED, 2, WAIT, 3 * MIB));
	CU_ASSERT(client_begin(fd, PIPELINED, 3, WAIT, MIB, MIB / 2));
	turns(5);
	CU_ASSERT(env.held_count == 2);
	tk_request_wake(env.held[1].req);
	(void)close(fd);
	turns(5);
	CU_ASSERT(env.cancelled == 2 && env.worker.conn_count == 0);
	env_free();
}

/* ---- room ---- */

/* Frames larger than was usual, from more clients than there is room for, begun all at once. */
static void
test_room_for_all(void)
{
	const size_t usual = MIB, larger = 3 * MIB / 2, begun = 900000;
	int fds[FEW] = { -1 };

	env_new(ARENA);
	for (int i = 0; i < FEW; i++) {
		fds[i] = client_new();
		CU_ASSERT(client_ask(fds[i], PIPELINED, i, REPLY, usual));
		CU_ASSERT(client_answer(fds[i]) == i);
	}
	for (int i = 0; i < FEW; i++)
		(void)client_begin(fds[i], PIPELINED, 100 + i, REPLY, larger, begun);
	turns(5);
	for (int i = 0; i < FEW; i++) {
		CU_ASSERT(client_go_on(fds[i], larger, begun));
		CU_ASSERT(client_answer(fds[i]) == 100 + i);
		(void)close(fds[i]);
	}
	env_free();
}

/* A connection that has sent a frame of this size, so that it is taken at its word. */
static int
client_known(size_t frame_bytes)
{
	int fd = client_new();

	CU_ASSERT(client_ask(fd, PIPELINED, 900, REPLY, frame_bytes));
	CU_ASSERT(client_answer(fd) == 900);
	return fd;
}

/* Who only says how much will come does not get room for it, and keeps nobody out. */
static void
test_room_declared(void)
{
	int fds[FEW] = { -1 }, fd = -1;

	env_new(ARENA);
	for (int i = 0; i < FEW; i++) {
		fds[i] = client_new();
		(void)client_begin(
		    fds[i], PIPELINED, i, REPLY, ARENA / 2 - (size_t)i * 100000, 5000);
	}
	turns(5);
	CU_ASSERT(tk_shared_arena_used(env.worker.arena) <= 4 * MIB);
	CU_ASSERT(tk_count_of(tk_page, TK_COUNT_memory_waits) == 0);
	fd = client_new();
	CU_ASSERT(client_ask(fd, PIPELINED, 77, REPLY, ARENA / 2));
	CU_ASSERT(client_answer(fd) == 77);
	/* Each comes to its end when its bytes do come. */
	for (int i = 0; i < FEW; i++) {
		CU_ASSERT(client_go_on(fds[i], ARENA / 2 - (size_t)i * 100000, 5000));
		CU_ASSERT(client_answer(fds[i]) == i);
		(void)close(fds[i]);
	}
	(void)close(fd);
	env_free();
}

/* The largest frame there may be gets its room, though others hold a little. */
static void
test_room_for_the_largest(void)
{
	const size_t largest = ARENA / 2;
	int fd, other;

	env_new(ARENA);
	other = client_new();
	fd = client_new();
	CU_ASSERT(client_ask(other, ALONE, 1, WAIT, 100));
	CU_ASSERT(client_ask(fd, PIPELINED, 2, REPLY, largest));
	CU_ASSERT(client_answer(fd) == 2);
	CU_ASSERT(client_begin(fd, PIPELINED, 2, REPLY, largest + 1, 100));
	CU_ASSERT(client_is_closed(fd));
	(void)close(fd);
	(void)close(other);
	env_free();
}

/* Who waits for much does not stand before one who waits for little, nor before who is not big. */
static void
test_room_for_little(void)
{
	int fds[4] = { -1 };

	env_new(ARENA);
	for (int i = 0; i < 4; i++)
		fds[i] = client_known(8 * MIB);
	CU_ASSERT(client_ask(fds[0], PIPELINED, 1, WAIT, 6 * MIB));
	CU_ASSERT(client_ask(fds[1], PIPELINED, 2, WAIT, 6 * MIB));
	turns(20);
	CU_ASSERT(env.held_count == 2);
	(void)client_begin(fds[2], PIPELINED, 3, WAIT, 8 * MIB, 4 * MIB);
	(void)client_begin(fds[3], PIPELINED, 4, WAIT, 3 * MIB, MIB);
	turns(3);
	CU_ASSERT(tk_count_of(tk_page, TK_COUNT_memory_waits) == 2);
	/* All that is bulk stands still; what is small goes on. */
	(void)close(client_new());
	for (int i = 0; i < 20; i++) {
		int fd = client_new();

		CU_ASSERT(client_ask(fd, ALONE, 50 + i, REPLY, 60000));
		CU_ASSERT(client_answer(fd) == 50 + i);
		(void)close(fd);
	}
	let_go(1);
	CU_ASSERT(client_answer(fds[0]) == 1);
	CU_ASSERT(client_go_on(fds[3], 3 * MIB, MIB) || env.held_count == 3);
	turns(20);
	CU_ASSERT(env.held_count == 3);
	for (int i = 0; i < 4; i++)
		(void)close(fds[i]);
	turns(3);
	env_free();
}

/* A writer that stands still pins what Produce brought: others still get in. */
static void
test_room_beside_produce(void)
{
	int fds[FEW] = { -1 }, fd = -1;

	env_new(ARENA);
	for (int i = 0; i < FEW; i++)
		fds[i] = client_known(MIB);
	for (int i = 0; i < FEW; i++)
		(void)client_ask(fds[i], PIPELINED, i, WAIT, MIB);
	turns(5);
	CU_ASSERT(env.held_count >= 12 && env.held_count < 16);
	fd = client_new();
	CU_ASSERT(client_ask(fd, ALONE, 77, REPLY, 40000));
	CU_ASSERT(client_answer(fd) == 77);
	for (int i = 0; i < FEW; i++)
		(void)close(fds[i]);
	(void)close(fd);
	env_free();
}

/* ---- memory that requests hold ---- */

static void
test_memory_bound(void)
{
	int fds[8] = { -1 }, fd = -1;

	env_new(ARENA);
	env.settings->worker_memory = (int64_t)(16 * MIB);
	env.hold_bytes = 6 * MIB;
	for (int i = 0; i < 8; i++) {
		fds[i] = client_new();
		CU_ASSERT(client_ask(fds[i], ALONE, i, HOLD, 100));
	}
	turns(3);
	CU_ASSERT(env.held_count == 3);
	fd = client_new();
	CU_ASSERT(client_ask(fd, ALONE, 99, REPLY, 100));
	CU_ASSERT(client_answer(fd) == -1);
	let_go(0);
	CU_ASSERT(client_answer(fds[0]) == 0);
	turns(3);
	CU_ASSERT(env.held_count == 4);
	/* Whoever waits in line and goes away is not missed. */
	(void)close(fds[4]);
	turns(3);
	for (int i = 1; i < 8; i++) {
		if (i == 4)
			continue;
		let_go(i);
		CU_ASSERT(client_answer(fds[i]) == i);
	}
	CU_ASSERT(client_answer(fd) == 99);
	(void)close(fd);
	env_free();
}

/* Requests that wait are asked to come to an end where memory is short. */
static void
test_memory_short(void)
{
	int fds[4] = { -1 };

	env_new(ARENA);
	env.settings->worker_memory = (int64_t)(16 * MIB);
	env.hold_bytes = 9 * MIB;
	for (int i = 0; i < 4; i++)
		fds[i] = client_new();
	CU_ASSERT(client_ask(fds[0], ALONE, 1, HOLD, 100));
	CU_ASSERT(client_ask(fds[1], ALONE, 2, HOLD, 100));
	CU_ASSERT(client_ask(fds[2], ALONE, 3, REPLY, 100));
	turns(3);
	CU_ASSERT(env.held_count == 2 && env.held[0].runs == 1);
	CU_ASSERT(tk_worker_is_pressed(&env.worker));
	clock_ahead_ms += 6000;
	turns(3);
	CU_ASSERT(env.held[0].runs > 1 && env.held[1].runs > 1);
	for (int i = 0; i < 4; i++)
		(void)close(fds[i]);
	env_free();
}

/* ---- time ---- */

/* A wake-up that is not the timer's leaves the timer running. */
static void
test_wake_keeps_timer(void)
{
	int fd = -1;

	env_new(ARENA);
	env.timer_ms = 1000;
	fd = client_new();
	CU_ASSERT(client_ask(fd, PIPELINED, 1, WAIT, 100));
	turns(3);
	CU_ASSERT_FATAL(env.held_count == 1);
	tk_request_wake(env.held[0].req);
	CU_ASSERT(client_answer(fd) == -1 && env.held[0].runs == 2);
	clock_ahead_ms += 1100;
	CU_ASSERT(client_answer(fd) == 1);
	(void)close(fd);
	env_free();
}

/* A frame begun and not gone on with costs its connection; one that waits for its turn does not. */
static void
test_stalled(void)
{
	int begun, slow, size = 256 << 10;

	env_new(ARENA);
	begun = client_new();
	slow = client_new();
	(void)setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	env.big_bytes = 16 * MIB;
	CU_ASSERT(client_begin(begun, ALONE, 1, REPLY, 200, 100));
	CU_ASSERT(client_ask(slow, ALONE, 2, BIG, 100));
	CU_ASSERT(client_ask(slow, ALONE, 3, REPLY, 100));
	turns(20);
	clock_ahead_ms += 29000;
	turns(3);
	CU_ASSERT(!client_is_closed(begun));
	clock_ahead_ms += 6000;
	turns(3);
	CU_ASSERT(client_is_closed(begun));
	CU_ASSERT(client_answer(slow) == 2);
	CU_ASSERT(client_answer(slow) == 3);
	(void)close(begun);
	(void)close(slow);
	env_free();
}

/* Where others wait for room a frame must be there in time, not just move. */
static void
test_dripping(void)
{
	uint8_t byte = 0;
	int fds[3] = { -1 };

	env_new(ARENA);
	for (int i = 0; i < 3; i++)
		fds[i] = client_known(8 * MIB);
	CU_ASSERT(client_begin(fds[0], PIPELINED, 1, REPLY, 8 * MIB, 5000));
	CU_ASSERT(client_begin(fds[1], PIPELINED, 2, REPLY, 5 * MIB, 5000));
	for (int i = 0; i < 20; i++) {
		clock_ahead_ms += 5000;
		CU_ASSERT(client_send(fds[0], &byte, 1) && client_send(fds[1], &byte, 1));
	}
	CU_ASSERT(!client_is_closed(fds[0]) && !client_is_closed(fds[1]));
	(void)client_begin(fds[2], PIPELINED, 3, REPLY, 4 * MIB, 3 * MIB);
	for (int i = 0; i < 3; i++) {
		clock_ahead_ms += 5000;
		(void)client_send(fds[0], &byte, 1);
		(void)client_send(fds[1], &byte, 1);
	}
	CU_ASSERT(client_is_closed(fds[0]));
	CU_ASSERT(client_go_on(fds[2], 4 * MIB, 3 * MIB));
	CU_ASSERT(client_answer(fds[2]) == 3);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
	env_free();
}

/* The client reads a little, as far as it is there, and 5 s pass. */
static void
drip(int fd)
{
	static uint8_t bytes[256 << 10];

	(void)!recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	turns(3);
	clock_ahead_ms += 5000;
	turns(3);
}

/* Where others wait for memory an answer must be read in time, not just move. */
static void
test_dripping_reader(void)
{
	int slow, other, size = 256 << 10;

	env_new(ARENA);
	env.settings->worker_memory = (int64_t)(16 * MIB);
	env.big_bytes = 24 * MIB;
	slow = client_new();
	other = client_new();
	(void)setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	CU_ASSERT(client_ask(slow, ALONE, 1, BIG, 100));
	turns(20);
	for (int i = 0; i < 8; i++)
		drip(slow);
	CU_ASSERT(env.worker.conn_count == 2);
	CU_ASSERT(tk_worker_is_pressed(&env.worker));
	CU_ASSERT(client_ask(other, ALONE, 2, REPLY, 100));
	for (int i = 0; i < 2; i++)
		drip(slow);
	CU_ASSERT(env.worker.conn_count == 1);
	CU_ASSERT(client_answer(other) == 2);
	(void)close(slow);
	(void)close(other);
	env_free();
}

static void
test_idle(void)
{
	int idle, waiting;

	env_new(ARENA);
	env.settings->connections_max_idle_ms = 20000;
	idle = client_new();
	waiting = client_new();
	CU_ASSERT(client_ask(waiting, ALONE, 1, WAIT, 100));
	for (int i = 0; i < 5; i++) {
		clock_ahead_ms += 5001;
		turns(2);
	}
	CU_ASSERT(client_is_closed(idle) && !client_is_closed(waiting));
	(void)close(idle);
	(void)close(waiting);
	env_free();
}

/* ---- the end ---- */

/* At a quit what waits is woken, what is idle closed, and nothing spins. */
static void
test_quit(void)
{
	int idle, waits, busy;

	env_new(ARENA);
	env.settings->max_produce_in_flight = 2;
	idle = client_new();
	waits = client_new();
	busy = client_new();
	CU_ASSERT(client_ask(waits, ALONE, 1, WAIT, 100));
	for (int i = 2; i <= 4; i++)
		CU_ASSERT(client_ask(busy, PIPELINED, i, WAIT, 100));
	turns(3);
	CU_ASSERT(env.held_count == 3);
	env.proc.stopping = true;
	tk_conns_quit(&env.worker);
	turns(2);
	CU_ASSERT(client_is_closed(idle) && env.worker.conn_count == 2);
	CU_ASSERT(env.held[0].runs == 2);
	let_go(2);
	CU_ASSERT(client_answer(busy) == 2);
	CU_ASSERT(env.held_count == 3); /* the fourth has not begun and never will */
	CU_ASSERT(run_ms(30) < 10);
	let_go(3);
	let_go(1);
	CU_ASSERT(client_answer(busy) == 3 && client_is_closed(busy));
	CU_ASSERT(client_answer(waits) == 1 && client_is_closed(waits));
	(void)close(idle);
	(void)close(waits);
	(void)close(busy);
	env_free();
}

/* Nothing to do is nothing done. */
static void
test_at_rest(void)
{
	int fds[4] = { -1 };

	env_new(ARENA);
	for (int i = 0; i < 4; i++)
		fds[i] = client_new();
	CU_ASSERT(client_ask(fds[0], ALONE, 1, WAIT, 100));
	CU_ASSERT(client_ask(fds[0], ALONE, 2, WAIT, 100));
	CU_ASSERT(client_begin(fds[1], ALONE, 3, WAIT, 100, 50));
	CU_ASSERT(client_ask(fds[2], PIPELINED, 4, WAIT, 100));
	CU_ASSERT(shutdown(fds[3], SHUT_WR) == 0);
	CU_ASSERT(run_ms(50) < 5);
	for (int i = 0; i < 4; i++)
		(void)close(fds[i]);
	env_free();
}

/* ---- listeners ---- */

static bool
is_admitted(int *ret_fd)
{
	*ret_fd = client_new();
	return !client_is_closed(*ret_fd);
}

/* A listener's limit holds over all workers, as the broker's does. */
static void
test_limits(void)
{
	static struct tk_process_page other;
	int fds[3] = { -1 };

	env_new(ARENA);
	memset(&other, 0, sizeof(other));
	env.proc.worker_pages[1] = &other;
	env.proc.worker_count = 2;
	other.connections = other.listener_connections[0] = 5;
	env.listener.max_connections = 6;
	CU_ASSERT(is_admitted(&fds[0]) && !is_admitted(&fds[1]));
	other.listener_connections[0] = 4;
	CU_ASSERT(is_admitted(&fds[2]));
	CU_ASSERT(tk_count_of(tk_page, TK_COUNT_connections_refused) == 1);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
	env_free();
}

static void
test_limits_of_addresses(void)
{
	int fds[5] = { -1 };

	env_new(ARENA);
	env.listener.max_connections_per_ip = 2;
	CU_ASSERT(is_admitted(&fds[0]) && is_admitted(&fds[1]) && !is_admitted(&fds[2]));
	(void)close(fds[0]);
	turns(5);
	CU_ASSERT(is_admitted(&fds[3]) && !is_admitted(&fds[4]));
	for (int i = 1; i < 5; i++)
		(void)close(fds[i]);
	env_free();
}

/* A connection that found the table of addresses full is not taken from another one's count. */
static void
test_addresses_full(void)
{
	struct tk_page_address *addresses = tk_page->addresses;
	int fds[3] = { -1 };

	env_new(ARENA);
	for (size_t i = 0; i < TK_PAGE_ADDRESS_COUNT; i++)
		addresses[i] = (struct tk_page_address){ .hash = 1000 + i, .count = 1 };
	fds[0] = client_new();
	addresses[7].count = 0;
	fds[1] = client_new();
	CU_ASSERT(addresses[7].hash != 1007 && addresses[7].count == 1);
	(void)close(fds[0]);
	(void)close(fds[1]);
	turns(5);
	CU_ASSERT(addresses[7].count == 0 && env.worker.conn_count == 0);
	env.settings->max_connections_per_ip = 2;
	CU_ASSERT(is_admitted(&fds[2]));
	(void)close(fds[2]);
	env_free();
}

/* Told to stop once more, a worker closes nothing that has its listener's number by now. */
static void
test_listeners_stopped_twice(void)
{
	int listening, fd;

	env_new(ARENA);
	listening = env.cycle_listener.fd;
	tk_listeners_stop(&env.worker);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd == listening);
	tk_listeners_stop(&env.worker);
	CU_ASSERT(fcntl(fd, F_GETFD) >= 0);
	(void)close(fd);
	env_free();
}

/* The page is inherited from a worker that died, its connections are not. */
static void
test_inherited_page(void)
{
	int fd = -1;

	env_new(ARENA);
	tk_listeners_stop(&env.worker);
	free(env.worker.listeners);
	memset(tk_page->addresses, 1, sizeof(tk_page->addresses));
	tk_page->connections = tk_page->listener_connections[0] = 1000;
	env.cycle_listener.fd = env_listen();
	env.listener.max_connections = env.listener.max_connections_per_ip = 1;
	CU_ASSERT_FATAL(tk_listeners_start(&env.worker) == 0);
	CU_ASSERT(tk_page->connections == 0 && is_admitted(&fd));
	(void)close(fd);
	env_free();
}

TK_UNIT_MAIN("conn", { "answers leave in the order of requests", test_order },
    { "one that is alone is alone", test_alone },
    { "a bound on what is under way together", test_in_flight },
    { "what cannot be a request closes", test_malformed },
    { "gone while requests wait", test_gone },
    { "room: frames that are larger than usual", test_room_for_all },
    { "room: what is only declared", test_room_declared },
    { "room: the largest frame", test_room_for_the_largest },
    { "room: little is not behind much", test_room_for_little },
    { "room: not all of it for Produce", test_room_beside_produce },
    { "memory: a bound, and in order", test_memory_bound }, { "memory: short", test_memory_short },
    { "time: a wake-up keeps the timer", test_wake_keeps_timer },
    { "time: stalled frames", test_stalled }, { "time: dripping frames", test_dripping },
    { "time: dripping readers", test_dripping_reader }, { "time: idle connections", test_idle },
    { "quit", test_quit }, { "at rest nothing turns", test_at_rest },
    { "listeners: limits over all workers", test_limits },
    { "listeners: limits of addresses", test_limits_of_addresses },
    { "listeners: more addresses than are counted", test_addresses_full },
    { "listeners: stopped twice", test_listeners_stopped_twice },
    { "listeners: a page of one who died", test_inherited_page })
