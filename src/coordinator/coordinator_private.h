/*
 * What the files of the coordinator process share.  One thread has all of it.
 *
 *	coordinator.c		start, stop, settings, damage
 *	jobs.c			requests that workers forward: taken, queued, answered
 *	commit.c		one transaction at a time into the journal
 *	writers.c		ties to the writers: APPEND, APPLY
 *	slots.c			which slots are taken, which directory comes next
 *	create_topics.c, create_partitions.c, delete_topics.c, alter_configs.c, producer_ids.c: one
 *				request each
 *	refusals.c		what several of them check and say
 *
 * A request is a job.  Jobs are run in the order they came, one a turn of the loop; a job's run
 * either decides all of its answer or writes one transaction, which is committed before the next
 * job runs.  Then the writers apply it while other jobs run; then the job looks what came of it.
 */
#ifndef TK_COORDINATOR_PRIVATE_H
#define TK_COORDINATOR_PRIVATE_H

#include <sys/queue.h>

#include "base/map.h"
#include "meta/meta.h"
#include "meta/txn.h"
#include "server/process.h"
#include "wire/codec.h"
#include "wire/error_codes.h"
#include "wire/wire_gen.h"

struct tk_coordinator;
struct tk_job;

/* ---- jobs ---- */

/* What a job wants next. */
enum tk_step {
	TK_STEP_ANSWER, /* all is decided */
	TK_STEP_COMMIT, /* the transaction was written: commit it, then have it applied */
	TK_STEP_AGAIN   /* run me again, before others */
};

/* A forwarded API: one row. */
struct tk_job_kind {
	int16_t api_key;
	int16_t min_version, max_version;
	const char *name;
	size_t state_size; /* zeroed memory for job->state */
	/* Reads job->body; the request's own timeout, 0 where it has none.  False: malformed. */
	bool (*decode)(struct tk_job *job, int32_t *ret_timeout_ms);
	/* May answer at once, out of turn; may be NULL. */
	bool (*now)(struct tk_job *job);
	enum tk_step (*run)(struct tk_job *job, struct tk_meta_txn *txn);
	/* The transaction that run wrote is in the journal (NONE), or certainly or maybe not. */
	void (*committed)(struct tk_job *job, enum tk_error error);
	/* The writers have done what they could; may be NULL: ANSWER. */
	enum tk_step (*applied)(struct tk_job *job);
	/* Time is up: what is not decided gets the API's own error. */
	void (*expired)(struct tk_job *job);
	/* shrunk: leave out what can be left out, the answer was too large. */
	void (*encode)(struct tk_job *job, struct tk_chain *chain, bool shrunk);
};

enum tk_job_place {
	TK_JOB_NEW,
	TK_JOB_QUEUED,     /* in coord->queue */
	TK_JOB_COMMITTING, /* coord->commit.job */
	TK_JOB_APPLYING    /* in coord->applying */
};

struct tk_job {
	TAILQ_ENTRY(tk_job) link;
	LIST_ENTRY(tk_job) client_link;
	struct tk_coordinator *coord;
	struct tk_client *client; /* NULL: our own, or its worker is gone */
	const struct tk_job_kind *kind;
	enum tk_job_place place;
	bool answered; /* time was up: it goes on for what it has begun */
	uint64_t id;   /* of the frame */
	int16_t version;
	int64_t deadline_ms;
	struct tk_timer timer;
	struct tk_arena arena;
	struct tk_bytes body;
	const char *client_id, *host; /* printable */
	void *state;                  /* the kind's */
	uint64_t revision;            /* committed; to be applied */
	uint64_t directories;         /* bit i: by writer i */
	size_t body_bytes;
};
TAILQ_HEAD(tk_job_list, tk_job);

/* A worker that is connected. */
struct tk_client {
	LIST_ENTRY(tk_client) link;
	struct tk_coordinator *coord;
	struct tk_channel *chan;
	struct tk_peer *peer;
	bool greeted, paused;
	struct tk_post resume;
	LIST_HEAD(, tk_job) jobs;
	unsigned outstanding;
	size_t outstanding_bytes;
};

int tk_jobs_start(struct tk_coordinator *coord) TK_MUST_CHECK;
void tk_jobs_stop(struct tk_coordinator *coord); /* takes no more */
void tk_jobs_free(struct tk_coordinator *coord);

/* A job of our own of that kind, behind all others; 0 or -ENOMEM. */
int tk_job_submit(struct tk_coordinator *coord, const struct tk_job_kind *kind) TK_MUST_CHECK;

/* The queue may go on. */
void tk_jobs_wake(struct tk_coordinator *coord);
bool tk_jobs_idle(const struct tk_coordinator *coord);

/* Called by commit.c, once a transaction, and by writers.c when a writer has applied more. */
void tk_job_committed(struct tk_job *job, enum tk_error error, uint64_t revision);
void tk_jobs_applied(struct tk_coordinator *coord);

/* A sentence in the job's memory; null where there is none left. */
struct tk_bytes tk_job_text(struct tk_job *job, const char *fmt, ...) TK_PRINTF(2, 3);

/* ---- commit ---- */

struct tk_commit {
	enum {
		TK_COMMIT_IDLE,
		TK_COMMIT_WAITING, /* for the writer, to send or to learn what came of it */
		TK_COMMIT_SENT
	} state;
	struct tk_job *job;
	uint64_t frame_id;
	uint64_t revision;
	struct tk_uuid id;
	size_t arena_offset, len;
	int64_t deadline_ms;
	bool landed; /* it is in the journal; what is under way is a barrier behind it */
	unsigned region;
};

/* Where the next transaction may be written. */
void *tk_commit_memory(struct tk_coordinator *coord, size_t *ret_room);

/* Commits what was written there for job. */
void tk_commit_start(
    struct tk_coordinator *coord, struct tk_job *job, const struct tk_meta_txn *txn, size_t len);

/* From writers.c: the journal's writer is there (again), has answered, is gone. */
void tk_commit_writer_up(struct tk_coordinator *coord);
void tk_commit_appended(struct tk_coordinator *coord, uint64_t id, int32_t error);
void tk_commit_writer_down(struct tk_coordinator *coord);

/* ---- writers ---- */

struct tk_tie {
	struct tk_coordinator *coord;
	unsigned index; /* of the data directory */
	struct tk_channel *chan;
	bool up;            /* it has answered since this connection began */
	bool asked;         /* an APPLY is under way */
	uint64_t asked_for; /* its revision */
	uint64_t wanted, applied;
	int64_t connected_ms;
	struct tk_timer retry;
	struct tk_zone *zone;
	struct tk_uuid directory_id;
};

int tk_ties_start(struct tk_coordinator *coord) TK_MUST_CHECK;
void tk_ties_free(struct tk_coordinator *coord);

/* Has the writers of these directories apply revision. */
void tk_ties_apply(struct tk_coordinator *coord, uint64_t directories, uint64_t revision);
bool tk_ties_have_applied(
    const struct tk_coordinator *coord, uint64_t directories, uint64_t revision);
/* APPEND to the journal; 0 or -errno. */
int tk_tie_append(
    struct tk_coordinator *coord, const struct tk_frame_append *append, uint64_t id) TK_MUST_CHECK;

/* ---- slots ---- */

struct tk_slots {
	uint64_t *bits;
	size_t words;
	size_t hint;  /* no free bit in words below */
	size_t count; /* partitions; the journal's own counts */
};

/* From the view, from scratch; 0 or -ENOMEM. */
int tk_slots_rebuild(struct tk_coordinator *coord) TK_MUST_CHECK;
/* From the lists of the last catch-up; 0 or -ENOMEM. */
int tk_slots_update(struct tk_coordinator *coord) TK_MUST_CHECK;
/* A place for a partition: the directory with the fewest; 0, -ENOSPC or -ENOMEM. */
int tk_slots_take(struct tk_coordinator *coord, struct tk_meta_partition_value *ret_value,
    unsigned *ret_directory) TK_MUST_CHECK;
/* Gives back what was just taken. */
void tk_slots_release(struct tk_coordinator *coord, unsigned directory, uint32_t slot);
void tk_slots_free(struct tk_coordinator *coord);

/* ---- producer ids ---- */

struct tk_producer_ids {
	int64_t next, end; /* ours to give out */
	bool refilling;
	bool exhausted; /* there is no further block */
};

/* Asks for the next block if few ids are left and it is not asked for yet. */
void tk_producer_ids_refill(struct tk_coordinator *coord);

extern const struct tk_job_kind tk_create_topics_job;
extern const struct tk_job_kind tk_delete_topics_job;
extern const struct tk_job_kind tk_create_partitions_job;
extern const struct tk_job_kind tk_alter_configs_job;
extern const struct tk_job_kind tk_incremental_alter_configs_job;
extern const struct tk_job_kind tk_init_producer_id_job;
extern const struct tk_job_kind tk_producer_ids_refill_job;

/* ---- refusals.c: an error and its sentence ---- */

struct tk_refusal {
	enum tk_error code;
	struct tk_bytes message;
};

#define TK_PARTITIONS_A_REQUEST 10000 /* Kafka's bound */

/* The replicas of one partition as a client assigned them. */
bool tk_assignment_check(
    struct tk_job *job, const int32_t *broker_ids, int32_t count, struct tk_refusal *ret_refusal);

/* Whether this broker may take count partitions more (taken: in this transaction so far). */
bool tk_partitions_check(
    struct tk_job *job, int64_t taken, int64_t count, struct tk_refusal *ret_refusal);

/* Refuses; always false. */
bool tk_refuse(struct tk_job *job, struct tk_refusal *ret_refusal, enum tk_error code,
    const char *fmt, ...) TK_PRINTF(4, 5);

/* Names of a request that must not come twice. */
struct tk_name_set {
	struct tk_map map;
	struct tk_arena *arena;
};
/* True if it was put in; false if it is in already, or no memory is left for it. */
bool tk_name_set_put(struct tk_name_set *set, struct tk_bytes name);
bool tk_name_set_has(const struct tk_name_set *set, struct tk_bytes name);

/* The name as an answer or a log may show it. */
const char *tk_name_shown(struct tk_job *job, struct tk_bytes name);

/*
 * Writes partitions [from, from + count) of a topic; 0, -ENOSPC or -ENOMEM (then their slots are
 * free again).  What does not fit sticks in txn: tk_partitions_unwrite() then.
 */
struct tk_written {
	struct tk_place {
		unsigned directory;
		uint32_t slot;
	} * places;
	int32_t count;
};
int tk_partitions_write(struct tk_job *job, struct tk_meta_txn *txn, struct tk_bytes name,
    int32_t from, int32_t count, struct tk_written *ret_written) TK_MUST_CHECK;
void tk_partitions_unwrite(struct tk_job *job, const struct tk_written *written);

/* The directories that a topic's partitions are in, as bits. */
uint64_t tk_topic_directories(const struct tk_meta_topic *topic);

/* True if every partition of [from, to) that the topic has is published by its writer. */
bool tk_partitions_are_up(
    struct tk_coordinator *coord, const struct tk_meta_topic *topic, int32_t from, int32_t to);

/* ---- the whole ---- */

struct tk_coordinator {
	struct tk_process *proc;
	struct tk_loop *loop;
	const struct tk_settings *settings;
	struct tk_meta *meta; /* NULL until the journal's writer is there */
	struct tk_tie ties[TK_DIRECTORIES_MAX];
	struct tk_slots slots[TK_DIRECTORIES_MAX];
	size_t directory_count;
	struct tk_channel_server server;
	bool serving;
	LIST_HEAD(, tk_client) clients;
	struct tk_job_list queue, applying;
	struct tk_post run;
	struct tk_commit commit;
	struct tk_producer_ids producer_ids;
	struct tk_timer ready_timer, stop_timer;
	uint64_t start_revision;
	bool ready, stopping;
	uint64_t next_frame_id;
};

/* Everything on proc's loop; what is left is done from the loop.  0 or -errno. */
int tk_coordinator_start(struct tk_coordinator *coord, struct tk_process *proc) TK_MUST_CHECK;
void tk_coordinator_free(struct tk_coordinator *coord);

/* A writer is up for the first time since the connection: learns its directory. */
void tk_coordinator_directory_up(struct tk_coordinator *coord, struct tk_tie *tie);

/* Reads the journal; false: it cannot be read, and the process ends. */
bool tk_coordinator_catch_up(struct tk_coordinator *coord);

/* Tells READY once all is there. */
void tk_coordinator_check_ready(struct tk_coordinator *coord);

#endif
