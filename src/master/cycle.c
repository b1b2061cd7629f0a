/*
 * Cycles: one reading of the settings and the sockets that go with it.  Master only.
 *
 * A cycle lives while it is in force or while workers of its generation have slots, since those are
 * forked from it.  Channels belong to the broker, not to a cycle: the next one takes the same
 * descriptors.  Listeners pass to the next cycle where their address stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"
#include "master/master.h"
#include "os/unix.h"
#include "server/frames.h"

#define CHANNEL_MODE    0600u
#define CHANNEL_BACKLOG 1024

static int
cycle_listeners_new(struct tk_master_cycle *cycle)
{
	const struct tk_listeners *listeners = &cycle->cycle.settings->listeners;
	struct tk_arena *arena = &cycle->cycle.arena;

	cycle->cycle.listeners =
	    tk_arena_calloc(arena, listeners->count, sizeof(*cycle->cycle.listeners));
	cycle->listener_owned =
	    tk_arena_calloc(arena, listeners->count, sizeof(*cycle->listener_owned));
	if (cycle->cycle.listeners == NULL || cycle->listener_owned == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < listeners->count; i++)
		cycle->cycle.listeners[i] =
		    (struct tk_cycle_listener){ .fd = -1, .settings = &listeners->items[i] };
	cycle->cycle.listener_count = listeners->count;
	return 0;
}

int
tk_master_cycle_new(struct tk_arena *arena, const struct tk_settings *settings, uint64_t generation,
    struct tk_master_cycle **ret_cycle)
{
	struct tk_master_cycle *cycle = calloc(1, sizeof(*cycle));
	const struct tk_strings *paths = &settings->data_directories;

	if (cycle == NULL) {
		tk_arena_reset(arena);
		return -ENOMEM;
	}
	cycle->references = 1;
	cycle->cycle.arena = *arena;
	cycle->cycle.settings = settings;
	cycle->cycle.generation = generation;
	cycle->cycle.run_dir_fd = -1;
	cycle->cycle.coordinator_fd = -1;
	cycle->cycle.directory_count = TK_MIN(paths->count, (size_t)TK_DIRECTORIES_MAX);
	for (size_t i = 0; i < cycle->cycle.directory_count; i++)
		cycle->cycle.directories[i] =
		    (struct tk_cycle_directory){ .path = paths->items[i], .channel_fd = -1 };
	tk_arena_init(arena, arena->limit_bytes);
	if (cycle_listeners_new(cycle) < 0) {
		tk_master_cycle_unref(&cycle);
		return -ENOMEM;
	}
	*ret_cycle = cycle;
	return 0;
}

struct tk_master_cycle *
tk_master_cycle_ref(struct tk_master_cycle *cycle)
{
	cycle->references++;
	return cycle;
}

void
tk_master_cycle_unref(struct tk_master_cycle **cycle)
{
	struct tk_master_cycle *gone = *cycle;

	*cycle = NULL;
	if (gone == NULL || --gone->references > 0)
		return;
	tk_master_listeners_close(gone);
	tk_arena_reset(&gone->cycle.arena);
	free(gone);
}

void
tk_master_cycle_inherit(const struct tk_cycle *from, struct tk_cycle *to)
{
	tk_assert(from->directory_count == to->directory_count);
	to->topics_generation = from->topics_generation;
	to->run_dir_fd = from->run_dir_fd;
	to->coordinator_fd = from->coordinator_fd;
	for (size_t i = 0; i < to->directory_count; i++)
		to->directories[i].channel_fd = from->directories[i].channel_fd;
}

static int
channel_open(struct tk_cycle *cycle, const char *name, int *ret_fd)
{
	int fd = tk_unix_listen(cycle->run_dir_fd, name, CHANNEL_MODE, CHANNEL_BACKLOG);

	if (fd < 0) {
		tk_err("could not make socket \"%s/%s\": %s", cycle->settings->run_directory, name,
		    strerror(-fd));
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

int
tk_master_cycle_channels(struct tk_master *master, struct tk_cycle *cycle)
{
	int rc;

	cycle->run_dir_fd = master->run_dir_fd;
	rc = channel_open(cycle, TK_CHANNEL_COORDINATOR, &cycle->coordinator_fd);
	for (unsigned i = 0; i < cycle->directory_count && rc == 0; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, i);
		rc = channel_open(cycle, name, &cycle->directories[i].channel_fd);
	}
	return rc;
}
