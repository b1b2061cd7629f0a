/*
 * Slots: the places of processes.  Master only.
 *
 * A slot has the page of its process: a memfd that every life of it maps writable, and that the
 * master maps readable, without its children inheriting the mapping.  What a page holds comes from
 * a process that may be under an attacker's hand: numbers are only shown, text is cleaned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "master/master.h"
#include "os/shm.h"

static int
slot_page_make(struct tk_slot *slot)
{
	void *at;
	int rc;

	slot->page_fd = tk_shm_new("takhin-page", sizeof(struct tk_process_page));
	if (slot->page_fd < 0)
		return slot->page_fd;
	slot->page_readonly_fd = tk_shm_readonly(slot->page_fd);
	if (slot->page_readonly_fd < 0)
		return slot->page_readonly_fd;
	rc = tk_shm_map(slot->page_readonly_fd, 0, sizeof(struct tk_process_page), false, &at);
	if (rc < 0)
		return rc;
	(void)madvise(at, sizeof(struct tk_process_page), MADV_DONTFORK);
	slot->page = at;
	return 0;
}

static void
slot_respawn_due(struct tk_timer *timer)
{
	tk_slot_spawn(TK_CONTAINER_OF(timer, struct tk_slot, respawn));
}

static void
slot_retire_due(struct tk_timer *timer)
{
	tk_slot_kill(TK_CONTAINER_OF(timer, struct tk_slot, retire));
}

int
tk_slot_new(struct tk_master *master, enum tk_role role, unsigned index, struct tk_slot **ret_slot)
{
	struct tk_slot *slot = calloc(1, sizeof(*slot));
	int rc;

	if (slot == NULL)
		return -ENOMEM;
	slot->master = master;
	slot->role = role;
	slot->index = index;
	slot->page_fd = slot->page_readonly_fd = -1;
	slot->control = (struct tk_event){ .fd = -1, .ready = tk_slot_control_ready };
	slot->arena_readonly_fd = -1;
	slot->respawn.expire = slot_respawn_due;
	slot->retire.expire = slot_retire_due;
	slot->watch.timer.expire = tk_slot_watch_due;
	STAILQ_INIT(&slot->orders);
	TAILQ_INSERT_TAIL(&master->slots, slot, link);
	rc = slot_page_make(slot);
	if (rc < 0) {
		tk_slot_free(&slot);
		return rc;
	}
	*ret_slot = slot;
	return 0;
}

static void
close_if_open(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
tk_slot_free(struct tk_slot **slot)
{
	struct tk_slot *gone = *slot;

	*slot = NULL;
	if (gone == NULL)
		return;
	tk_assert(!tk_slot_alive(gone));
	for (size_t i = 0; gone->page != NULL && i < TK_COUNTER_TOTAL; i++)
		gone->master->retired_counters[i] +=
		    __atomic_load_n(&gone->page->counters[i], __ATOMIC_RELAXED);
	tk_timer_stop(gone->master->loop, &gone->respawn);
	tk_timer_stop(gone->master->loop, &gone->retire);
	tk_slot_watch_end(gone);
	TAILQ_REMOVE(&gone->master->slots, gone, link);
	tk_shm_unmap((void *)(uintptr_t)gone->page, sizeof(*gone->page));
	close_if_open(gone->page_fd);
	close_if_open(gone->page_readonly_fd);
	tk_master_cycle_unref(&gone->cycle);
	free(gone);
}

const char *
tk_slot_name(const struct tk_slot *slot)
{
	static char name[48];

	if (slot->role == TK_ROLE_WORKER || slot->role == TK_ROLE_WRITER)
		(void)snprintf(
		    name, sizeof(name), "%s process %u", tk_role_name(slot->role), slot->index);
	else
		(void)snprintf(name, sizeof(name), "%s process", tk_role_name(slot->role));
	return name;
}

struct tk_slot *
tk_slot_by_pid(struct tk_master *master, pid_t pid)
{
	struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link)
		if (tk_slot_alive(slot) && slot->pid == pid)
			return slot;
	return NULL;
}

void
tk_master_look_at_progress(struct tk_master *master)
{
	int64_t now_ms = tk_loop_now_ms(master->loop);
	struct tk_slot *slot;

	TAILQ_FOREACH (slot, &master->slots, link) {
		uint64_t progress = __atomic_load_n(&slot->page->progress, __ATOMIC_RELAXED);

		if (progress == slot->progress && slot->progress_ms != 0)
			continue;
		slot->progress = progress;
		slot->progress_ms = now_ms;
	}
}
