/*
 * The order of a stop: workers and cleaner; the coordinator, which appends through the writers; the
 * writers, which sync all they have.  Then the master writes the marker of a clean stop into each
 * directory whose writer said that everything is on the disk.  Master only.
 *
 * Each stage is bounded; whoever takes longer is killed.  That costs clients their connections, or
 * a directory its marker (the next start then trusts the zone, or recovers), never data.
 */
#include <string.h>

#include "base/errlog.h"
#include "log/logdir.h"
#include "master/master.h"
#include "os/notify.h"

#define FAST_MOST_MS   5000
#define COORDINATOR_MS 5000
#define WRITER_MS      60000 /* syncing what is in the page cache */
#define UNREADY_MS     2000  /* a writer that recovers: what it has done it will do again */
#define AFTER_KILL_MS  2000  /* between one round of kills and the next */

static bool
slot_in_phase(const struct tk_slot *slot, enum tk_master_phase phase)
{
	switch (slot->role) {
	case TK_ROLE_WRITER:
		return phase == TK_MASTER_STOPPING_WRITERS;
	case TK_ROLE_COORDINATOR:
		return phase == TK_MASTER_STOPPING_COORDINATOR;
	default:
		return phase == TK_MASTER_STOPPING_WORKERS;
	}
}

/* Writers that have acknowledged something get the time to sync it. */
static int64_t
writers_bound_ms(const struct tk_master *master)
{
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->role == TK_ROLE_WRITER && tk_slot_alive(slot) && slot->ready_ms != 0)
			return WRITER_MS;
	return UNREADY_MS;
}

static int64_t
phase_bound_ms(const struct tk_master *master)
{
	int64_t bound_ms = master->cycle->cycle.settings->shutdown_timeout_ms;

	if (master->phase == TK_MASTER_STOPPING_WRITERS)
		return writers_bound_ms(master);
	if (master->phase == TK_MASTER_STOPPING_COORDINATOR)
		return COORDINATOR_MS;
	if (!master->graceful)
		bound_ms = TK_MIN(bound_ms, (int64_t)FAST_MOST_MS);
	return bound_ms + TK_MASTER_GRACE_MS;
}

static void
stop_overdue(struct tk_timer *timer)
{
	struct tk_master *master = TK_CONTAINER_OF(timer, struct tk_master, stop_timer);
	struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link) {
		if (!slot_in_phase(slot, master->phase) || !tk_slot_alive(slot))
			continue;
		tk_warn("%s (pid %ld) takes too long to stop: killing it", tk_slot_name(slot),
		    (long)slot->pid);
		tk_slot_kill(slot);
	}
	(void)tk_timer_start(master->loop, timer, AFTER_KILL_MS);
}

/* Begins a phase: tells those concerned and sets the bound. */
static void
phase_begin(struct tk_master *master)
{
	struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link) {
		if (!slot_in_phase(slot, master->phase))
			continue;
		tk_timer_stop(master->loop, &slot->respawn);
		tk_slot_stop(slot, master->graceful);
	}
	master->stop_timer.expire = stop_overdue;
	(void)tk_timer_start(master->loop, &master->stop_timer, phase_bound_ms(master));
}

static bool
phase_over(const struct tk_master *master)
{
	const struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot_in_phase(slot, master->phase) && tk_slot_alive(slot))
			return false;
	return true;
}

static void
directory_marked(struct tk_master *master, const struct tk_slot *slot)
{
	const char *path = master->cycle->cycle.directories[slot->index].path;
	int rc;

	if (!slot->clean) {
		tk_warn("data directory \"%s\" was not closed cleanly", path);
		master->exit_code = 1;
		return;
	}
	rc = tk_logdir_mark_clean(path);
	if (rc < 0) {
		tk_err("could not mark \"%s\" as closed cleanly: %s", path, strerror(-rc));
		master->exit_code = 1;
	}
}

static void
stopped(struct tk_master *master)
{
	const struct tk_slot *slot;

	tk_timer_stop(master->loop, &master->stop_timer);
	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->role == TK_ROLE_WRITER)
			directory_marked(master, slot);
	tk_loop_stop(master->loop);
}

void
tk_master_stop_go_on(struct tk_master *master)
{
	while (master->phase > TK_MASTER_RUNNING && master->phase < TK_MASTER_STOPPED &&
	       phase_over(master)) {
		master->phase++;
		if (master->phase == TK_MASTER_STOPPED)
			stopped(master);
		else
			phase_begin(master);
	}
}

void
tk_master_stop(struct tk_master *master, bool graceful)
{
	bool stopping = master->phase > TK_MASTER_RUNNING;

	if (stopping && (graceful || !master->graceful))
		return;
	master->graceful = graceful;
	tk_info(graceful ? "stopping gracefully" : "stopping");
	if (!stopping) {
		tk_notify_stopping();
		tk_master_reload_cancel(master);
		master->phase = TK_MASTER_STOPPING_WORKERS;
	}
	phase_begin(master);
	tk_master_stop_go_on(master);
}
