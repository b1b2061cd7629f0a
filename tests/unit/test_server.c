/*
 * Unit tests of server: the loop, channels, the shared arena.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/poll.h"
#include "os/shm.h"
#include "os/unix.h"
#include "server/budget.h"
#include "server/channel.h"
#include "server/shared_arena.h"
#include "takhin/loop.h"
#include "unit.h"

/* ---- the loop ---- */

static struct tk_loop *loop;
static int order[16];
static int order_count;

static void
note(int what)
{
	if (order_count < 16)
		order[order_count++] = what;
}

static struct tk_post post_a, post_b;
static struct tk_timer timer_soon, timer_never;
static struct tk_turn_hook hook;

static void
post_a_run(struct tk_post *post)
{
	note(1);
	if (order_count < 6)
		tk_post(loop, post); /* again: in the next turn, or the turn would not end */
	else
		tk_loop_stop(loop);
}

static void
post_b_run(struct tk_post *post)
{
	(void)post;
	note(2);
}

static void
hook_run(struct tk_turn_hook *h)
{
	(void)h;
	note(9);
}

static void
test_loop_posts(void)
{
	static const int want[] = { 9, 1, 2, 9, 1, 9, 1, 9 };

	CU_ASSERT_FATAL(tk_loop_new(&loop) == 0);
	order_count = 0;
	post_a.run = post_a_run;
	post_b.run = post_b_run;
	hook.run = hook_run;
	tk_turn_hook_add(loop, &hook);
	tk_post(loop, &post_a);
	tk_post(loop, &post_b);
	tk_post(loop, &post_a);
	tk_loop_run(loop);
	CU_ASSERT(order_count == 8 && memcmp(order, want, sizeof(want)) == 0);
	tk_turn_hook_remove(loop, &hook);
	tk_loop_free(&loop);
}

static void
timer_stop_loop(struct tk_timer *timer)
{
	(void)timer;
	note(3);
	tk_loop_stop(loop);
}

static void
test_loop_timers(void)
{
	CU_ASSERT_FATAL(tk_loop_new(&loop) == 0);
	order_count = 0;
	timer_soon.expire = timer_never.expire = timer_stop_loop;
	CU_ASSERT(tk_timer_start(loop, &timer_never, 1) == 0);
	CU_ASSERT(tk_timer_start(loop, &timer_soon, 5) == 0);
	tk_timer_stop(loop, &timer_never);
	CU_ASSERT(!tk_timer_running(&timer_never) && tk_timer_running(&timer_soon));
	tk_loop_run(loop);
	CU_ASSERT(order_count == 1 && !tk_timer_running(&timer_soon));
	tk_loop_free(&loop);
}

static struct tk_event pair_events[2];

/* Whichever is called first takes the other one's event away: it must not be called. */
static void
pair_ready(struct tk_event *event, unsigned what)
{
	struct tk_event *other = event == &pair_events[0] ? &pair_events[1] : &pair_events[0];

	CU_ASSERT((what & TK_POLL_READ) != 0);
	note(4);
	tk_event_remove(loop, other);
	tk_event_remove(loop, event);
	tk_loop_stop(loop);
}

static void
test_loop_removed_event(void)
{
	int fds[2];

	CU_ASSERT_FATAL(tk_loop_new(&loop) == 0);
	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CU_ASSERT(write(fds[0], "x", 1) == 1 && write(fds[1], "x", 1) == 1);
	order_count = 0;
	for (int i = 0; i < 2; i++) {
		pair_events[i] = (struct tk_event){ .fd = fds[i], .ready = pair_ready };
		CU_ASSERT_FATAL(tk_event_add(loop, &pair_events[i], TK_POLL_READ) == 0);
	}
	tk_loop_run(loop);
	CU_ASSERT(order_count == 1);
	tk_loop_free(&loop);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* ---- channels ---- */

struct end {
	struct tk_channel *chan;
	unsigned frames, stop_at, wrong, closed;
	uint64_t bytes;
	bool refuse;
};

static bool
end_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct end *end = tk_channel_owner(chan);
	const uint8_t *bytes = payload;

	for (uint32_t i = 0; i < frame->len; i++)
		end->wrong += bytes[i] != (uint8_t)(frame->id + i);
	end->bytes += frame->len;
	if (++end->frames == end->stop_at)
		tk_loop_stop(loop);
	return !end->refuse;
}

static void
end_closed(struct tk_channel *chan)
{
	struct end *end = tk_channel_owner(chan);

	end->closed++;
	tk_channel_free(&end->chan);
	tk_loop_stop(loop);
}

static const struct tk_channel_ops end_ops = { .frame = end_frame, .closed = end_closed };

static int
end_make(int fd, struct end *end)
{
	*end = (struct end){ .frames = 0 };
	return tk_channel_new(loop, fd, &end_ops, end, &end->chan);
}

static void
channel_pair(struct end *a, struct end *b)
{
	int fds[2];

	CU_ASSERT_FATAL(tk_loop_new(&loop) == 0);
	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	CU_ASSERT_FATAL(end_make(fds[0], a) == 0 && end_make(fds[1], b) == 0);
}

static void
test_channel_frames(void)
{
	static uint8_t bytes[300000];
	struct end a, b;
	uint64_t sent = 0;

	channel_pair(&a, &b);
	for (unsigned id = 0; id < 64; id++) {
		size_t len = id * 4001 % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(id + i);
		CU_ASSERT(tk_channel_send1(a.chan, TK_FRAME_HELLO, id, bytes, len) == 0);
		sent += len;
	}
	timer_soon.expire = timer_stop_loop;
	CU_ASSERT(tk_timer_start(loop, &timer_soon, 60000) == 0); /* in case they do not come */
	b.stop_at = 64;
	tk_loop_run(loop);
	CU_ASSERT(b.frames == 64 && b.wrong == 0 && b.bytes == sent);
	CU_ASSERT(tk_channel_queued(a.chan) == 0);
	/* What had arrived is delivered before the end is told. */
	CU_ASSERT(tk_channel_send1(b.chan, TK_FRAME_HELLO, 0, bytes, 0) == 0);
	timer_soon.expire = timer_stop_loop;
	CU_ASSERT(tk_timer_start(loop, &timer_soon, 20) == 0);
	tk_loop_run(loop);
	tk_channel_free(&b.chan);
	tk_loop_run(loop);
	CU_ASSERT(a.frames == 1 && a.closed == 1 && a.chan == NULL);
	tk_loop_free(&loop);
}

static void
test_channel_refuses(void)
{
	struct end a, b;
	const struct tk_frame bad = { .len = TK_FRAME_MAX + 1, .type = TK_FRAME_HELLO };
	int fds[2];

	channel_pair(&a, &b);
	b.refuse = true;
	CU_ASSERT(tk_channel_send1(a.chan, TK_FRAME_HELLO, 0, "", 0) == 0);
	tk_loop_run(loop);
	CU_ASSERT(b.frames == 1 && b.closed == 1);
	tk_channel_free(&a.chan);
	tk_loop_free(&loop);

	CU_ASSERT_FATAL(tk_loop_new(&loop) == 0);
	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	CU_ASSERT_FATAL(end_make(fds[0], &a) == 0);
	CU_ASSERT(write(fds[1], &bad, sizeof(bad)) == (ssize_t)sizeof(bad));
	tk_loop_run(loop);
	CU_ASSERT(a.closed == 1 && a.frames == 0);
	(void)close(fds[1]);
	tk_loop_free(&loop);
}

static void
test_channel_pause(void)
{
	struct end a, b;

	channel_pair(&a, &b);
	tk_channel_pause(b.chan, true);
	CU_ASSERT(tk_channel_send1(a.chan, TK_FRAME_HELLO, 0, "", 0) == 0);
	timer_soon.expire = timer_stop_loop;
	CU_ASSERT(tk_timer_start(loop, &timer_soon, 20) == 0);
	tk_loop_run(loop);
	CU_ASSERT(b.frames == 0);
	tk_channel_pause(b.chan, false);
	CU_ASSERT(tk_timer_start(loop, &timer_soon, 20) == 0);
	tk_loop_run(loop);
	CU_ASSERT(b.frames == 1);
	/* A peer that never reads is not fed for ever. */
	tk_channel_pause(b.chan, true);
	for (int i = 0; i < 100; i++) {
		static uint8_t big[1 << 20];

		if (tk_channel_send1(a.chan, TK_FRAME_HELLO, 0, big, sizeof(big)) == -ENOBUFS)
			break;
		CU_ASSERT(i < 70);
	}
	tk_loop_run(loop);
	CU_ASSERT(a.closed == 1);
	tk_channel_free(&b.chan);
	tk_loop_free(&loop);
}

/* ---- the shared arena ---- */

#define ARENA_BYTES ((size_t)8 << 20)

static int freed;

static void
on_free(void *arg)
{
	(void)arg;
	freed++;
}

static struct tk_shared_arena *
arena_make(uint8_t **ret_base, int *ret_fd)
{
	struct tk_shared_arena *arena;
	void *base;

	*ret_fd = tk_shm_new("test", ARENA_BYTES);
	CU_ASSERT_FATAL(*ret_fd >= 0);
	CU_ASSERT_FATAL(tk_shm_map(*ret_fd, 0, ARENA_BYTES, true, &base) == 0);
	CU_ASSERT_FATAL(tk_shared_arena_new(base, ARENA_BYTES, *ret_fd, &arena) == 0);
	tk_shared_arena_on_free(arena, on_free, NULL);
	*ret_base = base;
	return arena;
}

static void
test_shared_arena(void)
{
	enum { COUNT = 64 };
	struct tk_shared_buf *bufs[COUNT] = { NULL };
	struct tk_shared_arena *arena;
	unsigned seed = 99;
	uint8_t *base;
	int fd;

	arena = arena_make(&base, &fd);
	for (int round = 0; round < 20000; round++) {
		unsigned at = (unsigned)rand_r(&seed) % COUNT;
		size_t size = (size_t)1 << (rand_r(&seed) % 21);

		if (bufs[at] != NULL) {
			for (size_t i = 0; i < 64 && i < bufs[at]->room; i++)
				CU_ASSERT_FATAL(bufs[at]->data[i] == (uint8_t)at);
			tk_shared_buf_unref(&bufs[at]);
			continue;
		}
		size += (size_t)rand_r(&seed) % 5000;
		bufs[at] = tk_shared_buf_new(arena, size);
		if (bufs[at] == NULL)
			continue;
		CU_ASSERT_FATAL(bufs[at]->room >= size && bufs[at]->data >= base &&
				bufs[at]->data + bufs[at]->room <= base + ARENA_BYTES);
		memset(bufs[at]->data, (int)at, TK_MIN(bufs[at]->room, (size_t)64));
		if (round % 512 == 0)
			tk_shared_arena_trim(arena);
	}
	for (int i = 0; i < COUNT; i++)
		tk_shared_buf_unref(&bufs[i]);
	CU_ASSERT(tk_shared_arena_used(arena) == 0);
	bufs[0] = tk_shared_buf_new(arena, ARENA_BYTES);
	CU_ASSERT(bufs[0] != NULL && tk_shared_buf_new(arena, 1) == NULL);
	CU_ASSERT(tk_shared_buf_new(arena, ARENA_BYTES + 1) == NULL);
	tk_shared_buf_unref(&bufs[0]);
	tk_shared_arena_free(&arena);
	tk_shm_unmap(base, ARENA_BYTES);
	(void)close(fd);
}

static void
test_shared_arena_references(void)
{
	struct tk_shared_arena *arena;
	struct tk_shared_buf *buf, *other;
	uint8_t *base;
	int fd;

	arena = arena_make(&base, &fd);
	freed = 0;
	buf = tk_shared_buf_new(arena, 100);
	other = tk_shared_buf_ref(buf);
	tk_shared_buf_unref(&buf);
	CU_ASSERT(buf == NULL && freed == 0);
	CU_ASSERT(tk_shared_offset(arena, other->data) == (uint64_t)(other->data - base));
	tk_shared_buf_unref(&other);
	CU_ASSERT(freed == 1);
	/* Pages go back at the second trim, and read as zeros. */
	base[0] = 1;
	tk_shared_arena_trim(arena);
	CU_ASSERT(base[0] == 1);
	tk_shared_arena_trim(arena);
	CU_ASSERT(base[0] == 0);
	tk_shared_arena_free(&arena);
	tk_shm_unmap(base, ARENA_BYTES);
	(void)close(fd);
}

/* A read-only descriptor of shared memory cannot be mapped for writing. */
static void
test_shm_readonly(void)
{
	int fd = tk_shm_new("test", 4096);
	int copy = tk_shm_readonly(fd);
	void *at;

	CU_ASSERT_FATAL(fd >= 0 && copy >= 0);
	CU_ASSERT(tk_shm_map(copy, 0, 4096, true, &at) == -EACCES);
	CU_ASSERT(tk_shm_map(copy, 0, 4096, false, &at) == 0);
	CU_ASSERT(ftruncate(fd, 8192) < 0);
	(void)close(fd);
	(void)close(copy);
	tk_shm_unmap(at, 4096);
}

/* ---- the budget of descriptors ---- */

/* Whatever the limit, nobody is given more than it, and what there is is given out. */
static void
test_budget(void)
{
	struct tk_settings settings = { .worker_connections = 16384 };
	uint64_t wants = tk_budget_worker_wants(&settings);
	struct tk_worker_budget all = tk_budget_worker(wants, &settings);

	CU_ASSERT(all.connections == 16384 && all.segments == 512 && all.held == 1024);
	for (uint64_t limit = 128; limit < 40000; limit += 61) {
		struct tk_worker_budget worker = tk_budget_worker(limit, &settings);
		struct tk_writer_budget writer = tk_budget_writer(limit);
		uint64_t sum = worker.own + worker.connections + 2 * worker.segments + worker.held;

		CU_ASSERT(sum <= limit);
		CU_ASSERT(limit >= wants || sum >= limit - 4);
		CU_ASSERT(worker.segments >= 4 && worker.held >= 8 && worker.connections >= 1);
		CU_ASSERT(writer.own + 3 * writer.partitions <= limit);
		CU_ASSERT(writer.partitions >= 16 && writer.partitions <= 1000);
	}
	CU_ASSERT(tk_budget_worker(0, &settings).connections == 1);
	settings.worker_connections = 16;
	CU_ASSERT(tk_budget_worker(1024, &settings).connections == 16);
	CU_ASSERT(tk_budget_limit() > 0);
}

TK_UNIT_MAIN("server", { "loop: posts run once, in this turn or the next", test_loop_posts },
    { "loop: timers", test_loop_timers },
    { "loop: an event removed in its turn is not called", test_loop_removed_event },
    { "channel: frames of all sizes arrive whole and in order", test_channel_frames },
    { "channel: bad frames end it", test_channel_refuses },
    { "channel: paused, and bounded", test_channel_pause },
    { "shared arena: random use", test_shared_arena },
    { "shared arena: references and pages given back", test_shared_arena_references },
    { "budget of descriptors", test_budget }, { "shm: read-only is read-only", test_shm_readonly })
