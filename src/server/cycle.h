/*
 * A cycle: what the master holds of one reading of the settings, and what its children inherit.
 *
 * The master makes it; fork copies it.  A child reads the settings and the descriptors it needs and
 * closes the rest (tk_process_init).  Children that outlive a reload get later settings as text by
 * their control socket.
 */
#ifndef TK_SERVER_CYCLE_H
#define TK_SERVER_CYCLE_H

#include "base/settings.h"
#include "takhin/arena.h"

#define TK_DIRECTORIES_MAX 64u
#define TK_WORKERS_MAX     256u

enum tk_role {
	TK_ROLE_MASTER,
	TK_ROLE_WORKER,
	TK_ROLE_WRITER,
	TK_ROLE_COORDINATOR,
	TK_ROLE_CLEANER,
	TK_ROLE_COUNT
};

/* "worker", "writer", ... as process titles and logs say it. */
const char *tk_role_name(enum tk_role role);

struct tk_cycle_listener {
	int fd; /* bound and listening, non-blocking */
	const struct tk_listener_settings *settings;
};

struct tk_cycle_directory {
	const char *path;
	int channel_fd; /* listening socket of its writer's channel */
};

struct tk_cycle {
	struct tk_arena arena;
	const struct tk_settings *settings;
	uint64_t generation; /* of the settings: 1, then one more a reload */
	/* Counts the reloads that changed what topics have by default: tk_meta_set_generation(). */
	uint32_t topics_generation;
	int run_dir_fd;
	struct tk_cycle_listener *listeners;
	size_t listener_count;
	struct tk_cycle_directory directories[TK_DIRECTORIES_MAX];
	size_t directory_count;
	int coordinator_fd; /* listening socket of the coordinator's channel */
};

#endif
