/*
 * The master process: what its files share.
 *
 * It owns the listening sockets, the shared memory and the children; it never reads from a client
 * and never writes a log.  All its state is one struct tk_master, in one thread, behind one loop.
 * Every child has a slot, which outlives it: the next life of the process takes it over together
 * with its page, so counters go on.
 *
 *	main.c      the command line          start.c    the order of a start
 *	master.c    one run from start to end stop.c     the order of a stop
 *	cycle.c     settings in force         reload.c   settings replaced
 *	listen.c    sockets for clients       signals.c  what the operator's signals do
 *	rundir.c    lock, pid file, folders   control.c  takhin.sock
 *	slot.c      places of processes       commands.c what is asked for there
 *	spawn.c     births                    status.c   what is told there
 *	reap.c      deaths                    orders.c   messages to children
 *	watch.c     who stands still
 */
#ifndef TK_MASTER_MASTER_H
#define TK_MASTER_MASTER_H

#include <sys/queue.h>
#include <sys/types.h>

#include "base/settings.h"
#include "server/counters.h"
#include "server/cycle.h"
#include "server/process.h"
#include "takhin/loop.h"

#define TK_MASTER_SOCKET          "takhin.sock"
#define TK_MASTER_SETTINGS_BYTES  ((size_t)16 << 20) /* one reading of the settings */
#define TK_MASTER_HELD_MS         3000               /* a start waits so long for predecessors */
#define TK_MASTER_GRACE_MS        2000 /* for one that itself ends its waiting at a bound */
#define TK_MASTER_DEATHS          16u  /* remembered for status */
#define TK_MASTER_DEATH_TEXT      640u
#define TK_COORDINATOR_ARENA_SIZE ((size_t)64 << 20)

/* A cycle and who was forked from it. */
struct tk_master_cycle {
	struct tk_cycle cycle;
	unsigned references;  /* master->cycle, and every worker slot of its generation */
	bool *listener_owned; /* by listener: it closes the descriptor, no other cycle does */
};

enum tk_slot_state {
	TK_SLOT_EMPTY,    /* no process */
	TK_SLOT_STARTING, /* forked, not READY yet */
	TK_SLOT_READY,
	TK_SLOT_STOPPING /* told to */
};

/* An order that did not fit into a child's socket yet. */
struct tk_order {
	STAILQ_ENTRY(tk_order) link;
	struct tk_control msg;
	int fd; /* of ours, or -1 */
};
STAILQ_HEAD(tk_order_list, tk_order);

/* What the watchdog thinks of a process (watch.c). */
enum tk_watch_stage {
	TK_WATCH_MOVING, /* or never looked at */
	TK_WATCH_ASKED,
	TK_WATCH_ABORTED,
	TK_WATCH_KILLED
};

/* A place for a process: who it is, its page, and the life that is in it now. */
struct tk_slot {
	TAILQ_ENTRY(tk_slot) link;
	struct tk_master *master;
	enum tk_role role;
	unsigned index;
	struct tk_master_cycle *cycle; /* a worker's own; others are forked from the present one */
	int page_fd, page_readonly_fd;
	const struct tk_process_page *page;
	unsigned restarts;
	int64_t backoff_ms; /* before the next life, 0 for at once */
	struct tk_timer respawn;
	bool retiring; /* replaced by a reload: not respawned, freed when reaped */
	struct tk_timer retire;
	uint64_t progress; /* as of the last look */
	int64_t progress_ms;

	/* the present life */
	enum tk_slot_state state;
	pid_t pid;
	struct tk_event control;
	struct tk_order_list orders;
	unsigned order_count;
	int arena_readonly_fd;
	size_t arena_size;
	int64_t started_ms, ready_ms; /* ready_ms 0: not yet */
	enum { TK_PREPARE_NOT_ASKED, TK_PREPARE_ASKED, TK_PREPARE_DONE } prepare;
	struct {
		enum tk_watch_stage stage;
		uint64_t progress; /* as of the last look */
		unsigned looks;    /* since it was asked */
		int64_t asked_ms;
		struct tk_timer timer; /* after an abort */
	} watch;
	bool clean; /* the last life was a writer that synced everything and said so */
};
TAILQ_HEAD(tk_slot_list, tk_slot);

struct tk_death {
	int64_t wall_ms;
	char text[TK_MASTER_DEATH_TEXT];
};

enum tk_master_phase {
	TK_MASTER_STARTING,
	TK_MASTER_RUNNING,
	TK_MASTER_STOPPING_WORKERS, /* and the cleaner */
	TK_MASTER_STOPPING_COORDINATOR,
	TK_MASTER_STOPPING_WRITERS,
	TK_MASTER_STOPPED
};

enum tk_reload_state {
	TK_RELOAD_NONE,
	TK_RELOAD_PREPARING, /* writers, coordinator, cleaner look at the settings */
	TK_RELOAD_STARTING   /* committed; the new workers are not all READY */
};

struct tk_reload {
	enum tk_reload_state state;
	struct tk_master_cycle *next; /* while PREPARING */
	struct tk_timer timer;        /* bounds each state */
	bool again;                   /* another HUP came in between */
};

struct tk_client;
LIST_HEAD(tk_client_list, tk_client);

struct tk_master {
	struct tk_loop *loop;
	const struct tk_settings_source *source;
	struct tk_master_cycle *cycle; /* in force */
	struct tk_slot_list slots;
	enum tk_master_phase phase;
	int exit_code;
	int run_dir_fd, lock_fd;
	bool pid_written;
	int ready_pipe; /* to the parent of a daemon; -1 otherwise */
	int64_t started_ms;
	struct tk_reload reload;
	bool graceful; /* of a stop */
	struct tk_timer stop_timer;
	struct tk_timer watch_timer;
	struct tk_timer look_timer; /* at progress, for status and systemd's watchdog */
	struct tk_event signals;

	/* control socket */
	struct tk_event control;
	struct tk_client_list clients;
	unsigned client_count;

	uint64_t retired_counters[TK_COUNTER_TOTAL]; /* of slots that are no more */
	struct tk_death deaths[TK_MASTER_DEATHS];
	uint64_t death_count;
};

/* master.c: starts the broker and runs it until it is stopped; the exit code. */
int tk_master_run(const struct tk_settings_source *source, struct tk_arena *arena,
    const struct tk_settings *settings);

/* cycle.c */
/* A cycle of these settings (arena is taken over), without sockets; 0 or -ENOMEM. */
int tk_master_cycle_new(struct tk_arena *arena, const struct tk_settings *settings,
    uint64_t generation, struct tk_master_cycle **ret_cycle) TK_MUST_CHECK;
struct tk_master_cycle *tk_master_cycle_ref(struct tk_master_cycle *cycle);
void tk_master_cycle_unref(struct tk_master_cycle **cycle);
/* Opens the listening ends of the channels; 0 or -errno after logging. */
int tk_master_cycle_channels(struct tk_master *master, struct tk_cycle *cycle) TK_MUST_CHECK;
/* The next cycle goes on with the channels of the present one. */
void tk_master_cycle_inherit(const struct tk_cycle *from, struct tk_cycle *to);

/* listen.c */
/*
 * Binds what no listener of old (may be NULL) is bound to and takes over the rest, waiting wait_ms
 * for ports that are held; 0, or -errno with a line in text.  Nothing listens yet.
 */
int tk_master_listeners_bind(struct tk_master_cycle *old, struct tk_master_cycle *cycle,
    int64_t wait_ms, char *text, size_t room) TK_MUST_CHECK;
/* Lets clients connect to what was bound; 0, or -errno with a line in text. */
int tk_master_listeners_listen(struct tk_cycle *cycle, char *text, size_t room) TK_MUST_CHECK;
/* From now on `to` owns what both have. */
void tk_master_listeners_hand_on(struct tk_master_cycle *from, struct tk_master_cycle *to);
/* Closes those that it owns. */
void tk_master_listeners_close(struct tk_master_cycle *cycle);

/* rundir.c: each 0 or -errno after logging. */
int tk_master_rundir_open(struct tk_master *master) TK_MUST_CHECK;
int tk_master_data_make(const struct tk_settings *settings) TK_MUST_CHECK;
int tk_master_pid_write(struct tk_master *master) TK_MUST_CHECK;
/* The master that holds the run directory, 0 if there is none (or it cannot be seen). */
pid_t tk_master_rundir_holder(const char *path);
/* Removes pid file and sockets and lets go of the lock. */
void tk_master_rundir_close(struct tk_master *master);

/* privilege.c: becomes `user` if started as root; 0 or -errno after logging. */
int tk_master_drop_privileges(struct tk_master *master) TK_MUST_CHECK;

/* limits.c */
/* Descriptors that the hungriest process may need. */
uint64_t tk_master_descriptors_wanted(const struct tk_settings *settings);
/* Raises the limit as far as it goes, warns where that is not enough. */
void tk_master_limits_raise(const struct tk_settings *settings);
/* What -T says of it. */
void tk_master_limits_print(const struct tk_settings *settings);

/* slot.c */
int tk_slot_new(struct tk_master *master, enum tk_role role, unsigned index,
    struct tk_slot **ret_slot) TK_MUST_CHECK;
/* Its process must be gone.  What it counted is kept. */
void tk_slot_free(struct tk_slot **slot);
/* "worker process 0" */
const char *tk_slot_name(const struct tk_slot *slot);
struct tk_slot *tk_slot_by_pid(struct tk_master *master, pid_t pid);
static inline bool
tk_slot_alive(const struct tk_slot *slot)
{
	return slot->state != TK_SLOT_EMPTY;
}
/* Notes which processes have moved. */
void tk_master_look_at_progress(struct tk_master *master);

/* spawn.c */
/* Forks a process into the empty slot; failure is retried after a while. */
void tk_slot_spawn(struct tk_slot *slot);
/* Spawns after delay_ms. */
void tk_slot_spawn_later(struct tk_slot *slot, int64_t delay_ms);

/* orders.c */
/* Sends msg, beside it fd unless that is -1 (it stays the caller's). */
void tk_slot_tell(struct tk_slot *slot, const struct tk_control *msg, int fd);
void tk_slot_tell_type(struct tk_slot *slot, enum tk_control_type type);
/* Tells to stop, and remembers that it was. */
void tk_slot_stop(struct tk_slot *slot, bool graceful);
void tk_slot_kill(struct tk_slot *slot);
/* Forgets what was not sent. */
void tk_slot_orders_drop(struct tk_slot *slot);
/* The control socket of the slot's process has something to say, or room. */
void tk_slot_control_ready(struct tk_event *event, unsigned what);

/* watch.c */
/* Begins to watch, or goes on by the settings in force now. */
void tk_master_watch(struct tk_master *master);
void tk_slot_watch_due(struct tk_timer *timer);
/* The slot's process is gone. */
void tk_slot_watch_end(struct tk_slot *slot);

/* reap.c */
void tk_master_reap(struct tk_master *master);

/* start.c */
/* Makes the slots of writers, coordinator, cleaner and workers; 0 or -errno. */
int tk_master_slots_make(struct tk_master *master) TK_MUST_CHECK;
/* Makes the worker slots of a cycle; 0 or -errno. */
int tk_master_workers_make(struct tk_master *master, struct tk_master_cycle *cycle) TK_MUST_CHECK;
/* Spawns whoever may run by now; called again at each READY. */
void tk_master_start_go_on(struct tk_master *master);

/* stop.c */
void tk_master_stop(struct tk_master *master, bool graceful);
/* Goes to the next stage if nobody of the present one is left. */
void tk_master_stop_go_on(struct tk_master *master);

/* reload.c */
/* Begins a reload.  0: it is under way; -errno: refused, with the reasons in text. */
int tk_master_reload(struct tk_master *master, char *text, size_t room);
/* A child answered PREPARE. */
void tk_master_reload_prepared(struct tk_slot *slot, const struct tk_control *msg);
/* A worker of former settings is told of what topics have by default now. */
void tk_master_worker_adopts(struct tk_slot *slot);
/* slot's process is READY or has died: a reload may be waiting for it. */
void tk_master_reload_slot_ready(struct tk_slot *slot);
void tk_master_reload_slot_died(struct tk_slot *slot);
/* The broker stops: the reload under way comes to nothing. */
void tk_master_reload_cancel(struct tk_master *master);
/* Loads the settings; -errno with every error in text (and in the log). */
int tk_master_settings_load(const struct tk_settings_source *source, struct tk_arena *arena,
    struct tk_settings **ret_settings, char *text, size_t room) TK_MUST_CHECK;
/* The same settings as a descriptor that children read; or -errno. */
int tk_master_settings_fd(const struct tk_settings *settings);

/* signals.c */
int tk_master_signals_open(struct tk_master *master) TK_MUST_CHECK;
/* Reopens the error log, here and in the children; 0 or -errno. */
int tk_master_reopen(struct tk_master *master);

/* control.c */
int tk_master_control_open(struct tk_master *master) TK_MUST_CHECK;
void tk_master_control_close(struct tk_master *master);
/* Answers all who wait for the outcome of a reload. */
void tk_master_control_reloaded(struct tk_master *master, bool ok, const char *text);

#endif
