/*
 * Births.  Master only (and the new child, up to its own main).
 *
 * The control pair, the page and a new arena are made before fork; the child closes what is not its
 * own (tk_process_init).  Then everybody who serves channels is told of the new process and the new
 * process of everybody, and only then it may begin: a server never meets a stranger.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "cleaner/cleaner.h"
#include "coordinator/coordinator.h"
#include "master/master.h"
#include "os/poll.h"
#include "os/shm.h"
#include "os/unix.h"
#include "worker/worker.h"
#include "writer/writer.h"

#define FORK_AGAIN_MS 500

typedef int process_main(struct tk_cycle *cycle, const struct tk_birth *birth);

static process_main *const mains[TK_ROLE_COUNT] = { [TK_ROLE_WORKER] = tk_worker_main,
	[TK_ROLE_WRITER] = tk_writer_main,
	[TK_ROLE_COORDINATOR] = tk_coordinator_main,
	[TK_ROLE_CLEANER] = tk_cleaner_main };

/* What is made for a birth; -1 where there is none. */
struct birth_things {
	int pair[2]; /* the master's end, the child's */
	int arena_fd, arena_readonly_fd;
	size_t arena_size;
	int worker_pages[TK_WORKERS_MAX];
	size_t worker_count;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static struct tk_master_cycle *
slot_cycle(const struct tk_slot *slot)
{
	return slot->cycle != NULL ? slot->cycle : slot->master->cycle;
}

static size_t
arena_size_of(const struct tk_slot *slot)
{
	if (slot->role == TK_ROLE_WORKER)
		return (size_t)slot->cycle->cycle.settings->arena_size;
	return slot->role == TK_ROLE_COORDINATOR ? TK_COORDINATOR_ARENA_SIZE : 0;
}

static int
things_arena(struct birth_things *things, size_t size)
{
	if (size == 0)
		return 0;
	things->arena_fd = tk_shm_new("takhin-arena", size);
	if (things->arena_fd < 0)
		return things->arena_fd;
	things->arena_readonly_fd = tk_shm_readonly(things->arena_fd);
	if (things->arena_readonly_fd < 0)
		return things->arena_readonly_fd;
	things->arena_size = size;
	return 0;
}

/* The pages of a worker's generation, by index. */
static void
things_worker_pages(struct birth_things *things, const struct tk_slot *slot)
{
	struct tk_slot *other;

	if (slot->role != TK_ROLE_WORKER)
		return;
	TAILQ_FOREACH (other, &slot->master->slots, link) {
		if (other->role != TK_ROLE_WORKER || other->cycle != slot->cycle)
			continue;
		tk_assert(other->index < TK_WORKERS_MAX);
		things->worker_pages[other->index] = other->page_readonly_fd;
		things->worker_count = TK_MAX(things->worker_count, (size_t)other->index + 1);
	}
}

static void
things_close(struct birth_things *things)
{
	close_fd(&things->pair[0]);
	close_fd(&things->pair[1]);
	close_fd(&things->arena_fd);
	close_fd(&things->arena_readonly_fd);
}

static int
things_make(struct birth_things *things, const struct tk_slot *slot)
{
	int rc;

	*things =
	    (struct birth_things){ .pair = { -1, -1 }, .arena_fd = -1, .arena_readonly_fd = -1 };
	rc = tk_unix_pair(things->pair);
	if (rc == 0)
		rc = things_arena(things, arena_size_of(slot));
	if (rc < 0)
		things_close(things);
	things_worker_pages(things, slot);
	return rc;
}

static void TK_NORETURN
child_run(const struct tk_slot *slot, const struct birth_things *things)
{
	struct tk_birth birth = { .role = slot->role,
		.index = slot->index,
		.control_fd = things->pair[1],
		.page_fd = slot->page_fd,
		.arena_fd = things->arena_fd,
		.arena_size = things->arena_size,
		.worker_page_fds = things->worker_pages,
		.worker_count = things->worker_count };

	exit(mains[slot->role](&slot_cycle(slot)->cycle, &birth));
}

/* True for those who serve channels and so must know who connects. */
static bool
serves(const struct tk_slot *slot)
{
	return slot->role == TK_ROLE_WRITER || slot->role == TK_ROLE_COORDINATOR;
}

/* Tells server of client; writers alone get to see arenas. */
static void
announce(struct tk_slot *server, const struct tk_slot *client)
{
	struct tk_control msg = { .type = TK_CONTROL_ANNOUNCE,
		.pid = client->pid,
		.role = client->role,
		.index = client->index };
	int fd = server->role == TK_ROLE_WRITER ? client->arena_readonly_fd : -1;

	if (fd >= 0)
		msg.arena_size = client->arena_size;
	tk_slot_tell(server, &msg, fd);
}

static void
introduce(struct tk_slot *slot)
{
	struct tk_slot *other;

	TAILQ_FOREACH (other, &slot->master->slots, link) {
		if (other == slot || !tk_slot_alive(other))
			continue;
		if (serves(other))
			announce(other, slot);
		if (serves(slot))
			announce(slot, other);
	}
	if (slot->role == TK_ROLE_WORKER)
		tk_master_worker_adopts(slot);
	tk_slot_tell_type(slot, TK_CONTROL_GO);
}

static void
slot_born(struct tk_slot *slot, struct birth_things *things, pid_t pid)
{
	slot->pid = pid;
	slot->state = TK_SLOT_STARTING;
	slot->started_ms = tk_loop_now_ms(slot->master->loop);
	slot->ready_ms = 0;
	slot->prepare = TK_PREPARE_NOT_ASKED;
	slot->clean = false;
	slot->arena_readonly_fd = things->arena_readonly_fd;
	slot->arena_size = things->arena_size;
	slot->control.fd = things->pair[0];
	things->pair[0] = things->arena_readonly_fd = -1;
	things_close(things);
	tk_debug("%s is pid %ld", tk_slot_name(slot), (long)pid);
}

void
tk_slot_spawn(struct tk_slot *slot)
{
	struct birth_things things;
	pid_t pid;
	int rc;

	tk_assert(!tk_slot_alive(slot));
	rc = things_make(&things, slot);
	if (rc < 0) {
		tk_err("could not start %s: %s", tk_slot_name(slot), strerror(-rc));
		tk_slot_spawn_later(slot, FORK_AGAIN_MS);
		return;
	}
	pid = fork();
	if (pid == 0)
		child_run(slot, &things);
	if (pid < 0) {
		tk_err("could not start %s: %s", tk_slot_name(slot), strerror(errno));
		things_close(&things);
		tk_slot_spawn_later(slot, FORK_AGAIN_MS);
		return;
	}
	slot_born(slot, &things, pid);
	rc = tk_event_add(slot->master->loop, &slot->control, TK_POLL_READ);
	if (rc < 0) {
		tk_err("could not watch %s: %s", tk_slot_name(slot), strerror(-rc));
		tk_slot_kill(slot);
		return;
	}
	introduce(slot);
}

void
tk_slot_spawn_later(struct tk_slot *slot, int64_t delay_ms)
{
	if (tk_timer_start(slot->master->loop, &slot->respawn, delay_ms) < 0)
		tk_err("could not start %s: out of memory", tk_slot_name(slot));
}
