/*
 * What the files of the writer side share about a data directory.  Writer process.
 */
#ifndef TK_LOG_LOGDIR_PRIVATE_H
#define TK_LOG_LOGDIR_PRIVATE_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "log/checkpoint.h"
#include "log/index.h"
#include "log/logdir.h"
#include "log/metaprops.h"
#include "log/producers.h"

#define TK_RECOVERY_POINTS "recovery-point-offset-checkpoint"
#define TK_LOG_STARTS      "log-start-offset-checkpoint"
#define TK_HIGH_WATERMARKS "replication-offset-checkpoint"
#define TK_CLEAN_POINTS    "cleaner-offset-checkpoint"
#define TK_CLEAN_MARKER    ".kafka_cleanshutdown"

#define TK_TURN_BATCHES_MAX TK_INDEX_RUN_MAX
#define TK_TURN_BYTES_MAX   ((size_t)1024 * 1024)

/* One batch of a run, or a duplicate of one. */
struct tk_turn_item {
	struct tk_append *append;
	struct tk_batch_header header; /* as it will be on the file */
	int64_t last_offset;
	uint8_t bytes[TK_BATCH_HEADER_BYTES];
	bool is_duplicate;
};

/* The run of batches that one write will take; one a directory, since one thread appends. */
struct tk_turn {
	struct tk_turn_item items[TK_TURN_BATCHES_MAX];
	struct iovec iov[2 * TK_TURN_BATCHES_MAX];
	size_t count; /* items, duplicates included */
	int iov_count;
	size_t bytes;
	struct tk_index_run index;
};

/* A file or directory that waits to be removed. */
struct tk_doomed {
	TAILQ_ENTRY(tk_doomed) link;
	int64_t due_ms; /* monotonic */
	bool is_dir;
	char path[];
};
TAILQ_HEAD(tk_doomed_list, tk_doomed);
TAILQ_HEAD(tk_log_list, tk_log);

/* Of the recovery under way; began_ms is 0 if there is none. */
struct tk_recovery_tally {
	int64_t partitions, bytes_read, bytes_cut, damaged; /* atomic */
	int64_t began_ms;
	int64_t said_ms;     /* atomic */
	int64_t progress_ms; /* between lines */
};

struct tk_logdir {
	char *path;
	int fd, lock_fd, run_dir_fd;
	char *zone_name;
	char *boot_id_path;
	struct tk_zone *zone;
	struct tk_metaprops props;
	struct tk_uuid boot_id;
	enum tk_trust trust;
	bool same_boot; /* pages of these files may still be on their way to somebody */
	unsigned recovery_threads;
	struct tk_checkpoint recovery_points, log_starts, clean_points; /* as read at the start */
	bool starts_moved;             /* since the checkpoint of log starts was written */
	struct tk_log_list logs;       /* all that are open */
	struct tk_log_list with_files; /* that hold descriptors, longest unused first */
	unsigned with_files_count, with_files_max;
	struct tk_doomed_list doomed; /* soonest first */
	int64_t checkpoint_due_ms;
	struct tk_recovery_tally recovery;
	struct tk_turn *turn;
	struct tk_producer_pool producers; /* of all logs */
	tk_logdir_note *note;
	void *note_arg;
};

/* Any thread. */
void tk_logdir_say(struct tk_logdir *dir, enum tk_level level, const char *fmt, ...)
    TK_PRINTF(3, 4);
void tk_log_problem_set(struct tk_log_problem *problem, const char *fmt, ...) TK_PRINTF(2, 3);

/* recovery_tell.c */
void tk_recovery_tell_begin(struct tk_logdir *dir);
void tk_recovery_tell_read(struct tk_logdir *dir, int64_t bytes);
void tk_recovery_tell_cut(struct tk_logdir *dir, int64_t bytes);
void tk_recovery_tell_damaged(struct tk_logdir *dir);
void tk_recovery_tell_partition(struct tk_logdir *dir);

/* logdir_lock.c */
int tk_logdir_lock(int dir_fd, const char *path, int wait_ms, int *ret_lock_fd,
    struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* logdir_trust.c: reads the boot id, decides, takes the clean marker away, begins a new start. */
int tk_logdir_begin(struct tk_logdir *dir, struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* logdir_checkpoint.c */
int tk_logdir_read_checkpoints(struct tk_logdir *dir) TK_MUST_CHECK;
int tk_logdir_write_clean_points(struct tk_logdir *dir) TK_MUST_CHECK;

/* logdir_doomed.c: removal later; running out of memory leaves it to the next start. */
void tk_doom(struct tk_logdir *dir, const char *path, bool is_dir, int64_t delay_ms);
void tk_doom_leftovers(struct tk_logdir *dir);
/* Removes what is due, a few at a time; milliseconds to the next, -1 if nothing waits. */
int64_t tk_doomed_tick(struct tk_logdir *dir, int64_t mono_ms);
void tk_doomed_free(struct tk_logdir *dir);

#endif
