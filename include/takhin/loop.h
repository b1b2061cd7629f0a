/*
 * The event loop of a process: descriptors, timers and work put off to the end of the turn.
 *
 * A turn is: wait; call what is ready; call timers that are due; call what was posted; call the
 * end-of-turn hooks.  Nothing in it blocks.  Objects that own an event are freed from a posted
 * call, never from inside another object's event, so no event of the same turn finds freed memory.
 * One thread.
 */
#ifndef TAKHIN_LOOP_H
#define TAKHIN_LOOP_H

#include <sys/queue.h>

#include "takhin/base.h"

struct tk_loop;

/* A descriptor's interest.  The owner's struct holds it; ready() is called with TK_POLL_ bits. */
struct tk_event {
	int fd;
	unsigned interest;
	void (*ready)(struct tk_event *event, unsigned what);
};

/* A timer: expire() is called once, when it is due. */
struct tk_timer {
	struct {
		int64_t key;
		size_t place;
	} entry; /* struct tk_heap_entry, not to be touched */
	void (*expire)(struct tk_timer *timer);
};

/* A call put off: run() once, after the events and timers of this turn (or the next). */
struct tk_post {
	TAILQ_ENTRY(tk_post) link;
	bool posted;
	void (*run)(struct tk_post *post);
};

/* Called at the end of every turn, in the order added. */
struct tk_turn_hook {
	TAILQ_ENTRY(tk_turn_hook) link;
	void (*run)(struct tk_turn_hook *hook);
};

int tk_loop_new(struct tk_loop **ret_loop) TK_MUST_CHECK;
void tk_loop_free(struct tk_loop **loop);

/* Runs turns until tk_loop_stop(). */
void tk_loop_run(struct tk_loop *loop);
void tk_loop_stop(struct tk_loop *loop);

/* CLOCK_MONOTONIC in ms, read once a turn. */
int64_t tk_loop_now_ms(const struct tk_loop *loop);

/* Begins to watch event->fd for interest (TK_POLL_ bits); 0 or -errno. */
int tk_event_add(struct tk_loop *loop, struct tk_event *event, unsigned interest) TK_MUST_CHECK;

/* Changes the interest; a system call only where it differs. */
void tk_event_want(struct tk_loop *loop, struct tk_event *event, unsigned interest);

/* Stops watching; the descriptor is the caller's to close.  Nothing happens if it is not watched.
 */
void tk_event_remove(struct tk_loop *loop, struct tk_event *event);

/* (Re)starts timer to expire delay_ms from now; 0 or -ENOMEM. */
int tk_timer_start(struct tk_loop *loop, struct tk_timer *timer, int64_t delay_ms);
void tk_timer_stop(struct tk_loop *loop, struct tk_timer *timer);
static inline bool
tk_timer_running(const struct tk_timer *timer)
{
	return timer->entry.place != 0;
}

void tk_post(struct tk_loop *loop, struct tk_post *post);
void tk_post_cancel(struct tk_loop *loop, struct tk_post *post);

void tk_turn_hook_add(struct tk_loop *loop, struct tk_turn_hook *hook);
void tk_turn_hook_remove(struct tk_loop *loop, struct tk_turn_hook *hook);

#endif
