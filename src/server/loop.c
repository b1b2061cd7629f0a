/*
 * The event loop.  Every process that serves has one, in its only thread that touches it.  What is
 * ready is called in the order the kernel tells; posted work of this turn runs in this turn, what
 * that posts in the next, so a turn always ends.
 */
#include "takhin/loop.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "os/poll.h"

#define EVENTS_A_TURN 256

TAILQ_HEAD(post_list, tk_post);
TAILQ_HEAD(hook_list, tk_turn_hook);

struct tk_loop {
	int poll_fd;
	bool stopping;
	int64_t now_ms;
	struct tk_heap timers;
	struct post_list posts;
	struct hook_list hooks;
	struct tk_poll_event *ready; /* of this turn, so that a removed event is not called */
	int ready_count;
};

_Static_assert(sizeof(((struct tk_timer *)0)->entry) == sizeof(struct tk_heap_entry),
    "a timer's entry is a heap entry");

int
tk_loop_new(struct tk_loop **ret_loop)
{
	struct tk_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return -ENOMEM;
	TAILQ_INIT(&loop->posts);
	TAILQ_INIT(&loop->hooks);
	loop->now_ms = tk_clock_mono_ms();
	loop->poll_fd = tk_poll_new();
	if (loop->poll_fd < 0) {
		int rc = loop->poll_fd;

		free(loop);
		return rc;
	}
	*ret_loop = loop;
	return 0;
}

void
tk_loop_free(struct tk_loop **loop)
{
	if (*loop == NULL)
		return;
	(void)close((*loop)->poll_fd);
	tk_heap_free(&(*loop)->timers);
	free(*loop);
	*loop = NULL;
}

int64_t
tk_loop_now_ms(const struct tk_loop *loop)
{
	return loop->now_ms;
}

void
tk_loop_stop(struct tk_loop *loop)
{
	loop->stopping = true;
}

static struct tk_heap_entry *
timer_entry(struct tk_timer *timer)
{
	return (struct tk_heap_entry *)(void *)&timer->entry;
}

static int
loop_timeout_ms(const struct tk_loop *loop)
{
	const struct tk_heap_entry *first = tk_heap_first(&loop->timers);

	if (!TAILQ_EMPTY(&loop->posts))
		return 0;
	if (first == NULL)
		return -1;
	return (int)TK_MIN(TK_MAX(first->key - tk_clock_mono_ms(), 0), 3600 * 1000);
}

static void
loop_call_timers(struct tk_loop *loop)
{
	struct tk_heap_entry *first;

	while ((first = tk_heap_first(&loop->timers)) != NULL && first->key <= loop->now_ms) {
		struct tk_timer *timer = TK_CONTAINER_OF(first, struct tk_timer, entry);

		tk_heap_remove(&loop->timers, first);
		timer->expire(timer);
	}
}

static void
loop_call_posts(struct tk_loop *loop)
{
	struct tk_post marker = { .posted = true };
	struct tk_post *post;

	/* The marker divides this turn's from what they post; a cancel works on the one list. */
	TAILQ_INSERT_TAIL(&loop->posts, &marker, link);
	while ((post = TAILQ_FIRST(&loop->posts)) != &marker) {
		TAILQ_REMOVE(&loop->posts, post, link);
		post->posted = false;
		post->run(post);
	}
	TAILQ_REMOVE(&loop->posts, &marker, link);
}

static void
loop_call_hooks(struct tk_loop *loop)
{
	struct tk_turn_hook *hook, *next;

	for (hook = TAILQ_FIRST(&loop->hooks); hook != NULL; hook = next) {
		next = TAILQ_NEXT(hook, link);
		hook->run(hook);
	}
}

void
tk_loop_run(struct tk_loop *loop)
{
	struct tk_poll_event ready[EVENTS_A_TURN];

	loop->stopping = false;
	loop_call_hooks(loop); /* for what was done before the first turn */
	while (!loop->stopping) {
		loop->ready = ready;
		loop->ready_count =
		    tk_poll_wait(loop->poll_fd, ready, EVENTS_A_TURN, loop_timeout_ms(loop));
		loop->now_ms = tk_clock_mono_ms();
		for (int i = 0; i < loop->ready_count; i++) {
			struct tk_event *event = ready[i].data;

			if (event != NULL)
				event->ready(event, ready[i].what);
		}
		loop->ready_count = 0;
		loop_call_timers(loop);
		loop_call_posts(loop);
		loop_call_hooks(loop);
	}
}

int
tk_event_add(struct tk_loop *loop, struct tk_event *event, unsigned interest)
{
	int rc = tk_poll_add(loop->poll_fd, event->fd, interest, event);

	if (rc == 0)
		event->interest = interest | TK_POLL_HANGUP;
	return rc;
}

void
tk_event_want(struct tk_loop *loop, struct tk_event *event, unsigned interest)
{
	interest |= TK_POLL_HANGUP;
	if (event->interest == 0 || event->interest == interest)
		return;
	if (tk_poll_change(loop->poll_fd, event->fd, interest & ~TK_POLL_HANGUP, event) == 0)
		event->interest = interest;
}

void
tk_event_remove(struct tk_loop *loop, struct tk_event *event)
{
	if (event->interest == 0)
		return;
	tk_poll_remove(loop->poll_fd, event->fd);
	event->interest = 0;
	for (int i = 0; i < loop->ready_count; i++)
		if (loop->ready[i].data == event)
			loop->ready[i].data = NULL;
}

int
tk_timer_start(struct tk_loop *loop, struct tk_timer *timer, int64_t delay_ms)
{
	return tk_heap_set(&loop->timers, timer_entry(timer), loop->now_ms + delay_ms);
}

void
tk_timer_stop(struct tk_loop *loop, struct tk_timer *timer)
{
	tk_heap_remove(&loop->timers, timer_entry(timer));
}

void
tk_post(struct tk_loop *loop, struct tk_post *post)
{
	if (post->posted)
		return;
	post->posted = true;
	TAILQ_INSERT_TAIL(&loop->posts, post, link);
}

void
tk_post_cancel(struct tk_loop *loop, struct tk_post *post)
{
	if (!post->posted)
		return;
	post->posted = false;
	TAILQ_REMOVE(&loop->posts, post, link);
}

void
tk_turn_hook_add(struct tk_loop *loop, struct tk_turn_hook *hook)
{
	TAILQ_INSERT_TAIL(&loop->hooks, hook, link);
}

void
tk_turn_hook_remove(struct tk_loop *loop, struct tk_turn_hook *hook)
{
	TAILQ_REMOVE(&loop->hooks, hook, link);
}
