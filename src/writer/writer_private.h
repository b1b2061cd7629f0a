/*
 * What the files of the writer process share.  One thread has all of it.
 *
 *	writer.c	start, stop, settings
 *	serve.c		channels: who may say what, credits
 *	appends.c	queues of batches, and the turn that writes them
 *	durable.c	who waits for the disk, and the helpers that do (syncer.c)
 *	trouble.c	partitions that are read-only or offline
 *	room.c		min_free_bytes
 *	watches.c	who waits for what
 *	partitions.c	the table of open partitions, what becomes of them
 *	lists.c		SEGMENTS and RETAIN
 *	cleaned.c	CLEANED and CLEAN_POINT
 *	apply.c		what the metadata says, made true
 *	strays.c	partition directories that nobody claims
 *	journal_wait.c	a writer of another directory waits for the journal's
 *	upkeep.c	what is due by the clock
 *	idle_producers.c	which idempotent producers are forgotten
 */
#ifndef TK_WRITER_WRITER_PRIVATE_H
#define TK_WRITER_WRITER_PRIVATE_H

#include <sys/queue.h>

#include "log/log.h"
#include "log/logdir.h"
#include "log/zone.h"
#include "server/process.h"

#define TK_WRITER_CREDITS         1024u              /* appends a caller may have waiting */
#define TK_WRITER_PART_TURN_BYTES ((size_t)1 << 20)  /* written for a partition in a turn */
#define TK_WRITER_TURN_BYTES      ((size_t)16 << 20) /* and for all of them */
#define TK_WRITER_PART_TURN_COUNT 512u               /* batches for a partition in a turn */
#define TK_WRITER_QUEUED_MAX      ((size_t)8 << 20) /* bytes of answers a caller may leave unread */
#define TK_WRITER_SEGMENTS_MAX    ((size_t)64 << 10) /* of a list that goes through a channel */

struct tk_writer;
struct tk_caller;
struct tk_writer_part;

/* An APPEND that waits for its turn. */
struct tk_pending {
	STAILQ_ENTRY(tk_pending) link;
	uint64_t id; /* of its frame */
	int64_t deadline_ms;
	uint32_t flags;
	struct tk_caller *caller;
	struct tk_append append;
};
STAILQ_HEAD(tk_pending_list, tk_pending);

/* What one caller has waiting for one partition: these stay in order. */
struct tk_lane {
	TAILQ_ENTRY(tk_lane) part_link; /* the lane whose turn is next stands first */
	LIST_ENTRY(tk_lane) caller_link;
	struct tk_writer_part *part;
	struct tk_caller *caller;
	struct tk_pending_list queue;
};

struct tk_watch {
	LIST_ENTRY(tk_watch) part_link, caller_link;
	struct tk_writer_part *part;
	struct tk_caller *caller;
	uint64_t id; /* of its frame */
	uint64_t seq;
	int64_t segment, position;
};

/* A process that is connected to this one. */
struct tk_caller {
	LIST_ENTRY(tk_caller) link;
	LIST_ENTRY(tk_caller) paused_link;
	struct tk_writer *writer;
	struct tk_channel *chan;
	struct tk_peer *peer;
	bool greeted;
	bool dead;   /* its channel is to be freed; nothing of it counts any more */
	bool paused; /* in the list of those that are not read */
	struct tk_post resume, bury;
	struct tk_pending *pool; /* TK_WRITER_CREDITS of them, once it has appended */
	struct tk_pending_list unused;
	unsigned outstanding; /* taken from the pool */
	LIST_HEAD(, tk_lane) lanes;
	LIST_HEAD(, tk_watch) watches;
};

/* An open partition. */
struct tk_writer_part {
	struct tk_log *log;
	uint32_t slot;
	uint64_t incarnation;
	bool internal;                         /* no appends of clients */
	TAILQ_ENTRY(tk_writer_part) turn_link; /* while it has lanes */
	TAILQ_HEAD(, tk_lane) lanes;
	LIST_HEAD(, tk_watch) watches;
	/* The record as published last, and the number of the last one that changed its shape. */
	struct tk_part_state state;
	uint64_t seq, shape_seq;
	uint64_t applied; /* the pass of apply.c that has seen it last */
	/* durable.c */
	struct tk_pending_list sync_waiting;
	struct tk_part_sync *sync; /* made for the first one, kept for the next */
	bool syncing;
	bool is_dirty; /* has its flush.ms to keep */
	int64_t dirty_ms;
	TAILQ_ENTRY(tk_writer_part) dirty_link;
	/* trouble.c */
	struct tk_part_rescue *rescue; /* a helper reads it again */
	bool is_troubled, delete_wanted;
	int64_t try_ms, rescue_pause_ms;
	TAILQ_ENTRY(tk_writer_part) trouble_link;
};
TAILQ_HEAD(tk_part_turns, tk_writer_part);

/* A RETAIN of a worker that was done, to be answered when its checkpoint is written. */
struct tk_retained {
	STAILQ_ENTRY(tk_retained) link;
	struct tk_caller *caller; /* NULL: gone */
	uint64_t id;
	struct tk_frame_retained answer;
};

struct tk_apply;
struct tk_durable;
struct tk_journal_wait;

struct tk_writer {
	struct tk_process *proc;
	struct tk_loop *loop;
	struct tk_logdir *dir;
	struct tk_zone *zone;
	int dir_fd;                    /* of the data directory, for names in it; or -1 */
	struct tk_writer_part **parts; /* by slot */
	size_t parts_room;
	size_t part_count;
	struct tk_part_turns turns; /* partitions with something to append, in turn */
	struct tk_turn_hook hook;
	struct tk_post again; /* makes the next turn come at once */
	LIST_HEAD(, tk_caller) callers;
	LIST_HEAD(, tk_caller) paused;
	struct tk_caller *coordinator;
	STAILQ_HEAD(, tk_retained) retained;
	pid_t cleaner_pid; /* of the cleaner that said hello last; 0: none has */
	struct tk_channel_server server;
	struct tk_apply *apply;
	struct tk_durable *durable;
	TAILQ_HEAD(, tk_writer_part) troubled;
	struct tk_timer trouble;
	struct {
		int64_t look_ms;
		size_t bytes; /* appended since it was looked at */
		bool low;
	} room;
	struct tk_journal_wait *journal_wait;
	struct tk_zone *journal_zone; /* of directory 0, if that is another */
	struct tk_timer upkeep;
	struct tk_timer idle_producers;
	int64_t producers_check_ms;
	uint64_t producers_evicted, producers_expired; /* counted so far */
	struct tk_post finish;
	bool ready;    /* every partition was opened, or has failed to */
	bool stopping; /* no more is taken */
};

/* ---- writer.c ---- */

/* Everything but the directory: an empty writer on proc's loop. */
void tk_writer_init(struct tk_writer *writer, struct tk_process *proc);

/* Opens the data directory, and slot 0 if the journal is there; 0 or -errno, told in the log. */
int tk_writer_open(struct tk_writer *writer) TK_MUST_CHECK;

/* Frees everything, as a crash would leave the directory. */
void tk_writer_free(struct tk_writer *writer);

/* ---- serve.c ---- */

/* Serves a listening socket; 0 or -errno. */
int tk_callers_serve(struct tk_writer *writer, int listening_fd) TK_MUST_CHECK;

/* Takes over a connected socket whose other end is peer. */
void tk_caller_new(struct tk_writer *writer, int fd, struct tk_peer *peer);

/* Drops all it has waiting at once, and frees it from a posted call. */
void tk_caller_end(struct tk_caller *caller);
void tk_callers_end(struct tk_writer *writer); /* all of them, now */

/* Answers; a channel that has ended swallows it. */
void tk_caller_send(struct tk_caller *caller, enum tk_frame_type type, uint64_t id,
    const void *payload, size_t len);

/* Reads on from those that have room again; at the end of each turn. */
void tk_callers_resume(struct tk_writer *writer);

/* ---- appends.c ---- */

/* A worker's or the coordinator's APPEND; false: it breaks the rules. */
bool tk_appends_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_append *frame);

/* What a caller or a partition has waiting goes; a partition's callers are answered with error. */
void tk_appends_drop_caller(struct tk_caller *caller);
void tk_appends_refuse_part(struct tk_writer_part *part, int16_t error);

/* Answers one that was appended or has failed, and frees it; or frees it alone. */
void tk_appends_answer(struct tk_pending *pending);
void tk_appends_forget(struct tk_pending *pending);

/* The end of a turn: writes what waits, within the bounds of a turn. */
void tk_appends_turn(struct tk_writer *writer);
bool tk_appends_waiting(const struct tk_writer *writer);

/* ---- durable.c ---- */

int tk_durable_new(struct tk_writer *writer) TK_MUST_CHECK;

/* Waits for what the helpers are at; what waits for them is forgotten. */
void tk_durable_free(struct tk_writer *writer);

/*
 * An append that is answered when it is on the disk, if it must wait for that; tk_durable_look()
 * after the last of a turn.
 */
bool tk_durable_must_wait(const struct tk_writer_part *part, const struct tk_pending *pending);
void tk_durable_wait(struct tk_writer_part *part, struct tk_pending *pending);

/* After all that may have changed what part has to sync: begins what is due. */
void tk_durable_look(struct tk_writer *writer, struct tk_writer_part *part);

bool tk_durable_waiting(const struct tk_writer *writer);
void tk_durable_drop_caller(struct tk_caller *caller);

/* part is about to go: who waits is refused. */
void tk_durable_forget_part(struct tk_writer *writer, struct tk_writer_part *part);

/* Has a helper thread do a job that takes long. */
struct tk_sync_job;
void tk_durable_run(struct tk_writer *writer, struct tk_sync_job *job);

/* ---- trouble.c ---- */

/* part may have come into trouble: it is helped from now on. */
void tk_trouble_look(struct tk_writer *writer, struct tk_writer_part *part);
void tk_trouble_forget(struct tk_writer *writer, struct tk_writer_part *part);
void tk_trouble_run(struct tk_timer *timer);

/* A helper thread has the partition's files: nothing but its state may be touched. */
bool tk_trouble_busy(const struct tk_writer_part *part);
bool tk_trouble_busy_name(const struct tk_writer *writer, const char *topic, int32_t partition);

/* ---- room.c ---- */

/* Clients' appends are to be refused; how much was appended since. */
bool tk_room_is_low(struct tk_writer *writer);
void tk_room_taken(struct tk_writer *writer, size_t bytes);

/* ---- watches.c ---- */

/* Sets, replaces or answers at once. */
void tk_watch_set(struct tk_caller *caller, uint64_t id, const struct tk_frame_watch *frame);

/* Answers those whose condition part's record meets now. */
void tk_watches_check(struct tk_writer_part *part);

/* Answers all of a partition's. */
void tk_watches_fire(struct tk_writer_part *part);
void tk_watches_drop_caller(struct tk_caller *caller);

/* ---- partitions.c ---- */

/* The partition in slot, or NULL. */
struct tk_writer_part *tk_part_find(const struct tk_writer *writer, uint32_t slot);

/* The same, if it is of this incarnation. */
struct tk_writer_part *tk_part_find_exact(
    const struct tk_writer *writer, uint32_t slot, uint64_t incarnation);

/* Opens, or makes, one partition; 0 or -errno with a line that says why. */
int tk_part_open(struct tk_writer *writer, const struct tk_log_identity *identity,
    const struct tk_log_config *config, bool internal,
    struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* The same of a log that is open already; 0 or -ENOMEM, then the log is closed. */
int tk_part_adopt(struct tk_writer *writer, struct tk_log **log, uint64_t incarnation,
    bool internal, struct tk_writer_part **ret_part) TK_MUST_CHECK;

/* Notices what part has published. */
void tk_part_noticed(struct tk_writer *writer, struct tk_writer_part *part);

/* The same, and wakes who waits for it: after all that may have published. */
void tk_part_published(struct tk_writer *writer, struct tk_writer_part *part);

/*
 * Refuses what waits, deletes the log; 0 or -errno, then it stays, offline.  -EBUSY: a helper has
 * its files, it is deleted when that is done.
 */
int tk_part_delete(struct tk_writer *writer, struct tk_writer_part *part) TK_MUST_CHECK;

/* Forgets every partition; what is published stays. */
void tk_parts_close(struct tk_writer *writer);

/* After a start: slots that nobody has claimed hold nothing, and say so. */
void tk_parts_clear_strays(struct tk_writer *writer);

/* ---- lists.c ---- */

void tk_segments_tell(struct tk_caller *caller, uint64_t id, const struct tk_frame_segments *frame);

/* False: no memory, the channel ends and the caller asks again. */
bool tk_retain(struct tk_caller *caller, uint64_t id, const struct tk_frame_retain *frame);

/* At the end of a turn: what was retained for workers is checkpointed, then answered. */
void tk_retained_turn(struct tk_writer *writer);
void tk_retained_drop_caller(struct tk_caller *caller);

/* ---- cleaned.c ---- */

/* A cleaner said hello: another one before it has no say any more. */
void tk_cleaner_fence(struct tk_caller *caller);
bool tk_cleaned_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_cleaned *frame);
void tk_clean_point_take(
    struct tk_caller *caller, uint64_t id, const struct tk_frame_clean_point *frame);

/* ---- apply.c ---- */

/*
 * Makes the view and begins the first pass, which opens everything; started() is called at its end.
 * The journal's zone and directory are those of data directory 0.  0 or -errno.
 */
int tk_apply_start(struct tk_writer *writer, const struct tk_zone *journal_zone,
    const char *journal_directory, void (*started)(struct tk_writer *writer)) TK_MUST_CHECK;
void tk_apply_free(struct tk_writer *writer);

/* The coordinator's APPLY; false: it breaks the rules. */
bool tk_apply_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_apply *frame);
void tk_apply_drop_caller(struct tk_caller *caller);

/* A caller has validated for part under a later stamp: begins a pass if the view is behind it. */
void tk_apply_look(struct tk_writer *writer, struct tk_writer_part *part, uint64_t stamp);

/* Other settings are in force: every topic's defaults may have changed. */
void tk_apply_settings(struct tk_writer *writer, const struct tk_settings *settings);

/* What failed before may work now: begins a pass if one is wanted. */
void tk_apply_again(struct tk_writer *writer);

/* A pass is under way. */
bool tk_apply_busy(const struct tk_writer *writer);

/* ---- strays.c ---- */

/* The directory of a partition of a deleted topic, if there is one, is to go. */
void tk_stray_remove(
    struct tk_writer *writer, const char *topic, int32_t partition, const struct tk_uuid *topic_id);

/* Names partition directories that are not open. */
void tk_strays_report(struct tk_writer *writer);

/* ---- journal_wait.c ---- */

/* Calls served() once the writer of directory 0 serves; 0 or -errno. */
int tk_journal_wait_start(
    struct tk_writer *writer, void (*served)(struct tk_writer *writer)) TK_MUST_CHECK;
void tk_journal_wait_free(struct tk_writer *writer);

/* ---- upkeep.c ---- */

void tk_upkeep_run(struct tk_timer *timer);

/* Something was deleted, whose files are to go in a while. */
void tk_upkeep_soon(struct tk_writer *writer);

/* ---- idle_producers.c ---- */

/* The bounds that the settings say, from now on. */
void tk_idle_producers_settings(struct tk_writer *writer, const struct tk_settings *settings);
void tk_idle_producers_run(struct tk_timer *timer);

/* Counts those that were forgotten; at the end of each turn. */
void tk_idle_producers_count(struct tk_writer *writer);

#endif
