/*
 * The coordinator process: start, stop, settings.
 *
 * Start: ties to all writers; once the journal's writer has answered, the journal is read, every
 * writer is asked to apply what it says (so what a predecessor left half-done is finished), a block
 * of producer ids is taken, and READY is told.  A writer that does not answer does not hold that up
 * for longer than READY_WAIT_MS.  Requests that come meanwhile wait, up to their deadlines.
 *
 * All that lasts is in the journal: this process may be killed anywhere.
 */
#include "coordinator/coordinator.h"

#include <string.h>

#include "base/errlog.h"
#include "coordinator/coordinator_private.h"

#define READY_WAIT_MS 5000
#define STOP_WAIT_MS  1000
#define EVERYWHERE    UINT64_MAX

_Static_assert(TK_DIRECTORIES_MAX <= 64, "a set of directories is 64 bits");
_Static_assert(TK_DIRECTORIES_MAX <= TK_META_DIRECTORIES_MAX, "the view resolves all");

bool
tk_coordinator_catch_up(struct tk_coordinator *coord)
{
	int rc = tk_meta_catch_up(coord->meta);

	if (rc == -EAGAIN)
		return true; /* its writer is between two lives */
	if (rc == 0)
		rc = tk_slots_update(coord);
	if (rc == 0)
		return true;
	tk_err("could not read the metadata journal in \"%s\": %s",
	    coord->proc->cycle->directories[TK_META_DIRECTORY].path, strerror(-rc));
	tk_process_exit(coord->proc, 1);
	return false;
}

static int
coordinator_load(struct tk_coordinator *coord)
{
	const char *path = coord->proc->cycle->directories[TK_META_DIRECTORY].path;
	int rc = -EAGAIN;

	if (coord->ties[TK_META_DIRECTORY].zone != NULL)
		rc = tk_meta_open(
		    coord->ties[TK_META_DIRECTORY].zone, path, coord->settings, &coord->meta);
	if (rc == 0)
		rc = tk_meta_catch_up(coord->meta);
	if (rc < 0)
		tk_err("could not read the metadata journal in \"%s\": %s", path, strerror(-rc));
	return rc;
}

void
tk_coordinator_directory_up(struct tk_coordinator *coord, struct tk_tie *tie)
{
	struct tk_uuid ids[TK_DIRECTORIES_MAX] = { 0 };
	bool first = coord->meta == NULL;
	int rc = 0;

	if (first && tie->index != TK_META_DIRECTORY)
		return;
	if (first)
		rc = coordinator_load(coord);
	if (rc == 0) {
		for (size_t i = 0; i < coord->directory_count; i++)
			ids[i] = coord->ties[i].directory_id;
		tk_meta_set_directories(coord->meta, ids, coord->directory_count);
		rc = tk_slots_rebuild(coord);
	}
	if (rc == 0 && first) {
		coord->start_revision = tk_meta_revision(coord->meta);
		tk_ties_apply(coord, EVERYWHERE, coord->start_revision);
		tk_producer_ids_refill(coord);
		tk_jobs_wake(coord);
		rc = tk_timer_start(coord->loop, &coord->ready_timer, READY_WAIT_MS);
	}
	if (rc < 0)
		tk_process_exit(coord->proc, 1);
}

static void
coordinator_ready(struct tk_coordinator *coord)
{
	const struct tk_producer_ids *ids = &coord->producer_ids;

	if (coord->ready || (ids->next >= ids->end && !ids->exhausted))
		return;
	coord->ready = true;
	tk_timer_stop(coord->loop, &coord->ready_timer);
	tk_process_ready(coord->proc);
}

void
tk_coordinator_check_ready(struct tk_coordinator *coord)
{
	if (coord->meta != NULL && tk_ties_have_applied(coord, EVERYWHERE, coord->start_revision))
		coordinator_ready(coord);
}

static void
ready_waited(struct tk_timer *timer)
{
	struct tk_coordinator *coord = TK_CONTAINER_OF(timer, struct tk_coordinator, ready_timer);

	for (size_t i = 0; i < coord->directory_count; i++)
		if (!coord->ties[i].up)
			tk_warn("the writer of \"%s\" does not answer: starting without it",
			    coord->proc->cycle->directories[i].path);
	coordinator_ready(coord);
	tk_producer_ids_refill(coord);
	if (!coord->ready)
		(void)tk_timer_start(coord->loop, &coord->ready_timer, READY_WAIT_MS);
}

static void
stop_waited(struct tk_timer *timer)
{
	struct tk_coordinator *coord = TK_CONTAINER_OF(timer, struct tk_coordinator, stop_timer);

	tk_process_exit(coord->proc, 0);
}

int
tk_coordinator_start(struct tk_coordinator *coord, struct tk_process *proc)
{
	int rc;

	*coord = (struct tk_coordinator){ .proc = proc,
		.loop = proc->loop,
		.settings = proc->settings,
		.directory_count = proc->cycle->directory_count };
	coord->ready_timer.expire = ready_waited;
	coord->stop_timer.expire = stop_waited;
	if (proc->arena == NULL || proc->arena_size < TK_META_BATCH_MAX / 16)
		return -EINVAL;
	rc = tk_jobs_start(coord);
	return rc < 0 ? rc : tk_ties_start(coord);
}

void
tk_coordinator_free(struct tk_coordinator *coord)
{
	tk_jobs_free(coord);
	tk_ties_free(coord);
	tk_slots_free(coord);
	tk_meta_close(&coord->meta);
	tk_timer_stop(coord->loop, &coord->ready_timer);
	tk_timer_stop(coord->loop, &coord->stop_timer);
}

/* ---- the process ---- */

struct coordinator_process {
	struct tk_process proc;
	struct tk_coordinator coord;
};

static struct tk_coordinator *
coordinator_of(struct tk_process *proc)
{
	return &TK_CONTAINER_OF(proc, struct coordinator_process, proc)->coord;
}

static void
process_stop(struct tk_process *proc, bool fast)
{
	struct tk_coordinator *coord = coordinator_of(proc);

	tk_jobs_stop(coord);
	if (fast || tk_jobs_idle(coord) ||
	    tk_timer_start(coord->loop, &coord->stop_timer, STOP_WAIT_MS) < 0)
		tk_process_exit(proc, 0);
	coord->stopping = true;
}

static void
process_commit(struct tk_process *proc, const struct tk_settings *settings)
{
	struct tk_coordinator *coord = coordinator_of(proc);

	coord->settings = settings;
	if (coord->meta != NULL)
		tk_meta_set_settings(coord->meta, settings);
}

int
tk_coordinator_main(struct tk_cycle *cycle, const struct tk_birth *birth)
{
	static const struct tk_process_ops ops = { .stop = process_stop, .commit = process_commit };
	static struct coordinator_process process;
	int rc, exit_code = 1;

	rc = tk_process_init(&process.proc, cycle, birth, &ops);
	if (rc == 0)
		rc = tk_coordinator_start(&process.coord, &process.proc);
	if (rc < 0) {
		tk_err("could not start: %s", strerror(-rc));
		return 1;
	}
	exit_code = tk_process_run(&process.proc);
	tk_coordinator_free(&process.coord);
	return exit_code;
}
