/*
 * A data directory, opened by its writer process: lock, identity, zone, checkpoints.
 *
 * One writer process has a directory and one thread uses it; only tk_logdir_recover() runs threads
 * of its own, and they are gone when it returns.  Nothing is logged here: what an operator should
 * read goes to `note`, errors to `ret_problem`.
 *
 * What is believed at a start, best first: the zone (it survived us: nothing is read, published
 * ends are exact), the clean marker (sizes are ends), nothing (recovery from the checkpoint on).
 * The conditions are in README.md.
 */
#ifndef TK_LOG_LOGDIR_H
#define TK_LOG_LOGDIR_H

#include "base/errlog.h"
#include "log/log.h"
#include "log/zone.h"

#define TK_LOGDIR_CLUSTER_ID_MAX 63

struct tk_logdir;

/* What an operator should read; also called from recovery's threads. */
typedef void tk_logdir_note(void *arg, enum tk_level level, const char *text);

struct tk_logdir_options {
	const char *path;             /* made if it is not there (not its parents) */
	int run_dir_fd;               /* where zone and producer states live */
	const char *zone_name;        /* file name in it */
	int32_t node_id;              /* compared with meta.properties */
	const char *cluster_id;       /* the same; NULL or "": the file's, else a new one */
	unsigned recovery_threads;    /* 0: one */
	unsigned open_partitions_max; /* that keep descriptors between appends (3 each); 0: 1000 */
	int lock_wait_ms;             /* for a dying predecessor; 0: 3000, -1: none */
	const char *boot_id_path;     /* NULL: the kernel's; tests have others */
	int progress_ms;              /* between lines while it recovers; 0: 5000 */
	tk_logdir_note *note;         /* may be NULL */
	void *note_arg;
};

enum tk_trust {
	TK_TRUST_NONE, /* recovery */
	TK_TRUST_SIZE, /* clean marker */
	TK_TRUST_ZONE
};

/*
 * Locks and opens; -EBUSY if another process holds the lock (named in the problem), -EINVAL for an
 * identity that is not ours.  The clean marker is gone after.
 */
int tk_logdir_open(const struct tk_logdir_options *options, struct tk_logdir **ret_dir,
    struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* Closes without syncing, as a crash would leave it.  Every log is closed before. */
void tk_logdir_close(struct tk_logdir **dir);

enum tk_trust tk_logdir_trust(const struct tk_logdir *dir);
struct tk_zone *tk_logdir_zone(struct tk_logdir *dir);
const char *tk_logdir_path(const struct tk_logdir *dir);
const char *tk_logdir_cluster_id(const struct tk_logdir *dir);
struct tk_uuid tk_logdir_directory_id(const struct tk_logdir *dir);

/*
 * Opens many partitions at once, recovering in parallel what needs it: each item gets its log or
 * its error.  What tk_log_open() does for one.
 */
enum tk_log_opening_step { TK_LOG_READY, TK_LOG_TO_RECOVER, TK_LOG_TO_READ_PRODUCERS };
struct tk_log_opening {
	struct tk_log_identity identity;
	struct tk_log_config config;
	struct tk_log *log;
	int rc;
	enum tk_log_opening_step step; /* what was to be done in a thread */
	struct tk_log_problem problem;
};
void tk_logdir_open_logs(struct tk_logdir *dir, struct tk_log_opening *items, size_t count);

/* Everything is open: notes the sum of what was recovered, if anything was. */
void tk_logdir_recovery_done(struct tk_logdir *dir);

/*
 * What is due by the clock: removal of deleted files, checkpoints.  Returns how many milliseconds
 * from now it wants to be called again, -1 if there is nothing to wait for.
 */
int64_t tk_logdir_tick(struct tk_logdir *dir, int64_t mono_ms);

/*
 * Bounds what is remembered of idempotent producers, of all partitions together; Kafka's
 * producer.id.expiration.ms.  Without it there is no bound.
 */
void tk_logdir_limit_producers(struct tk_logdir *dir, int64_t max_bytes, int64_t expiration_ms);

/* Forgets those that have been idle for too long; true: call again, there may be more. */
bool tk_logdir_expire_producers(struct tk_logdir *dir, int64_t mono_ms);

struct tk_producer_totals {
	uint64_t count;   /* remembered now */
	uint64_t evicted; /* forgotten for want of room */
	uint64_t expired; /* forgotten for being idle */
};
struct tk_producer_totals tk_logdir_producer_totals(const struct tk_logdir *dir);

/* Writes the three checkpoints; what it could not write stays as it was.  0 or -errno. */
int tk_logdir_checkpoint(struct tk_logdir *dir) TK_MUST_CHECK;

/* Of these the log starts alone. */
int tk_logdir_checkpoint_starts(struct tk_logdir *dir) TK_MUST_CHECK;

/*
 * Syncs every partition that is open, seals indexes, writes snapshots and checkpoints.  After 0 and
 * the end of this process tk_logdir_mark_clean() may be called; nothing may be appended any more.
 */
int tk_logdir_clean_stop(struct tk_logdir *dir, struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/*
 * The same where the master is dead, and so nobody will write the marker: the zone does not say
 * that there is one.
 */
int tk_logdir_orphaned_stop(
    struct tk_logdir *dir, struct tk_log_problem *ret_problem) TK_MUST_CHECK;

/* Master, after every process is gone: writes the marker of a clean stop.  0 or -errno. */
int tk_logdir_mark_clean(const char *path) TK_MUST_CHECK;

#endif
