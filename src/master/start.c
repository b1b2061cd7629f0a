/*
 * The order of a start: the first writer, which has the metadata; the other writers; the
 * coordinator; everybody else.  Each stage waits for READY of the one before.  Master only.
 *
 * Nothing bounds it in time: recovery takes what it takes.
 */
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/master.h"
#include "os/notify.h"

/* In which stage of a start a process begins. */
static unsigned
slot_stage(const struct tk_slot *slot)
{
	switch (slot->role) {
	case TK_ROLE_WRITER:
		return slot->index == 0 ? 0 : 1;
	case TK_ROLE_COORDINATOR:
		return 2;
	default:
		return 3;
	}
}

int
tk_master_workers_make(struct tk_master *master, struct tk_master_cycle *cycle)
{
	unsigned count = (unsigned)tk_settings_workers(cycle->cycle.settings);

	count = TK_MIN(count, TK_WORKERS_MAX);
	for (unsigned i = 0; i < count; i++) {
		struct tk_slot *slot;
		int rc = tk_slot_new(master, TK_ROLE_WORKER, i, &slot);

		if (rc < 0)
			return rc;
		slot->cycle = tk_master_cycle_ref(cycle);
	}
	return 0;
}

int
tk_master_slots_make(struct tk_master *master)
{
	struct tk_slot *slot;
	int rc = 0;

	for (unsigned i = 0; i < master->cycle->cycle.directory_count && rc == 0; i++)
		rc = tk_slot_new(master, TK_ROLE_WRITER, i, &slot);
	if (rc == 0)
		rc = tk_slot_new(master, TK_ROLE_COORDINATOR, 0, &slot);
	if (rc == 0)
		rc = tk_slot_new(master, TK_ROLE_CLEANER, 0, &slot);
	if (rc == 0)
		rc = tk_master_workers_make(master, master->cycle);
	if (rc < 0)
		tk_err("could not make shared memory: %s", strerror(-rc));
	return rc;
}

static void
started(struct tk_master *master)
{
	const struct tk_cycle *cycle = &master->cycle->cycle;

	master->phase = TK_MASTER_RUNNING;
	if (tk_master_pid_write(master) < 0) {
		master->exit_code = 1;
		tk_master_stop(master, false);
		return;
	}
	for (size_t i = 0; i < cycle->listener_count; i++)
		tk_info("listener \"%s\" is at %s port %d", cycle->listeners[i].settings->name,
		    cycle->listeners[i].settings->bind, (int)cycle->listeners[i].settings->port);
	tk_info("ready");
	tk_notify_ready("ready");
	if (master->ready_pipe >= 0) {
		(void)!write(master->ready_pipe, "+", 1);
		(void)close(master->ready_pipe);
		master->ready_pipe = -1;
	}
}

void
tk_master_start_go_on(struct tk_master *master)
{
	unsigned stage = 4;
	struct tk_slot *slot;

	if (master->phase != TK_MASTER_STARTING)
		return;
	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot->state != TK_SLOT_READY)
			stage = TK_MIN(stage, slot_stage(slot));
	if (stage == 4) {
		started(master);
		return;
	}
	TAILQ_FOREACH (slot, &master->slots, link)
		if (slot_stage(slot) == stage && !tk_slot_alive(slot) &&
		    !tk_timer_running(&slot->respawn))
			tk_slot_spawn(slot);
}
