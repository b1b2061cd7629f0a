/*
 * The watchdog: who stands still is aborted.  Master only.
 *
 * Every turn of a child's loop moves the progress counter of its page (server/process.c).  The
 * master looks at it LOOKS times in watchdog_timeout_ms.  An idle child does not turn, so one that
 * has not moved since the last look is asked (PING), once: hearing it is a turn.  One that has been
 * asked and has not moved for LOOKS looks is aborted (SIGABRT, so that there is a core to look at),
 * a little later killed, and born again once it is reaped.
 *
 * Looks are counted, not time: while the machine is suspended, or the master itself stopped, none
 * is taken, and after it the child has the time between the others to answer.  A child that is not
 * READY yet is not watched (recovery takes what it takes), nor one that stops (stop.c, reload.c
 * bound that).  One that not even SIGKILL ends waits for a device; nobody takes its place
 * meanwhile, so a data directory never has two writers.  What a compromised child writes into its
 * page spares or ends itself alone.
 */
#include <inttypes.h>
#include <signal.h>

#include "base/errlog.h"
#include "master/master.h"

#define LOOKS          4
#define LOOK_LEAST_MS  10
#define ABORT_MOST_MS  2000 /* for writing a core */
#define KILLED_LONG_MS 5000 /* then it is told that SIGKILL does not end it */

static int64_t
timeout_ms(const struct tk_master *master)
{
	return master->cycle->cycle.settings->watchdog_timeout_ms;
}

static void
slot_abort(struct tk_slot *slot)
{
	tk_err("%s (pid %ld) stands still: it was asked %" PRId64 " ms ago; aborting it",
	    tk_slot_name(slot), (long)slot->pid,
	    tk_loop_now_ms(slot->master->loop) - slot->watch.asked_ms);
	slot->watch.stage = TK_WATCH_ABORTED;
	(void)kill(slot->pid, SIGABRT);
	(void)tk_timer_start(slot->master->loop, &slot->watch.timer,
	    TK_MIN(timeout_ms(slot->master), (int64_t)ABORT_MOST_MS));
}

void
tk_slot_watch_due(struct tk_timer *timer)
{
	struct tk_slot *slot = TK_CONTAINER_OF(timer, struct tk_slot, watch.timer);

	if (slot->watch.stage == TK_WATCH_ABORTED) {
		slot->watch.stage = TK_WATCH_KILLED;
		tk_slot_kill(slot);
		(void)tk_timer_start(slot->master->loop, timer, KILLED_LONG_MS);
		return;
	}
	tk_err("%s (pid %ld) could not be killed: it waits for a device; it is started again when "
	       "it has ended",
	    tk_slot_name(slot), (long)slot->pid);
}

static void
slot_look(struct tk_slot *slot)
{
	uint64_t progress = __atomic_load_n(&slot->page->progress, __ATOMIC_RELAXED);

	if (slot->state != TK_SLOT_READY || slot->watch.stage > TK_WATCH_ASKED)
		return;
	if (progress != slot->watch.progress) {
		slot->watch.progress = progress;
		slot->watch.stage = TK_WATCH_MOVING;
	} else if (slot->watch.stage == TK_WATCH_MOVING) {
		slot->watch.stage = TK_WATCH_ASKED;
		slot->watch.asked_ms = tk_loop_now_ms(slot->master->loop);
		slot->watch.looks = 0;
		tk_slot_tell_type(slot, TK_CONTROL_PING);
	} else if (++slot->watch.looks >= LOOKS) {
		slot_abort(slot);
	}
}

static void
watch_look(struct tk_timer *timer)
{
	struct tk_master *master = TK_CONTAINER_OF(timer, struct tk_master, watch_timer);
	struct tk_slot *slot;

	if (master->phase > TK_MASTER_RUNNING)
		return;
	TAILQ_FOREACH (slot, &master->slots, link)
		slot_look(slot);
	tk_master_watch(master);
}

void
tk_master_watch(struct tk_master *master)
{
	int64_t every_ms = timeout_ms(master) / LOOKS;

	master->watch_timer.expire = watch_look;
	if (timeout_ms(master) == 0)
		tk_timer_stop(master->loop, &master->watch_timer);
	else
		(void)tk_timer_start(
		    master->loop, &master->watch_timer, TK_MAX(every_ms, (int64_t)LOOK_LEAST_MS));
}

void
tk_slot_watch_end(struct tk_slot *slot)
{
	tk_timer_stop(slot->master->loop, &slot->watch.timer);
	slot->watch.stage = TK_WATCH_MOVING;
}
