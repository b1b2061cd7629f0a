/*
 * Helper threads that wait for the disk, so that the loop's thread does not.
 *
 * A job is handed in, done by a thread, and its done() is called in the loop's thread.  The threads
 * know nothing but the job: they open the files themselves and touch nothing of the writer.
 */
#ifndef TK_WRITER_SYNCER_H
#define TK_WRITER_SYNCER_H

#include <sys/queue.h>

#include "takhin/loop.h"

struct tk_syncer;

struct tk_sync_job {
	STAILQ_ENTRY(tk_sync_job) link;
	char directory[280];  /* of the partition, below the syncer's dir_fd */
	int64_t segments[16]; /* base offsets of the segments to sync */
	size_t segment_count;
	bool with_active; /* the last one is active: only its .log; of others all files */
	bool with_names;  /* the directories as well */
	int (*run)(struct tk_sync_job *job); /* NULL: syncs; else this is called in its place */
	int rc;                              /* 0, or -errno; a file that is gone is no error */
	void (*done)(struct tk_sync_job *job);
};

#define TK_SYNCER_THREADS_MAX 8u

/* dir_fd stays the caller's.  0 or -errno. */
int tk_syncer_new(struct tk_loop *loop, int dir_fd, unsigned threads,
    struct tk_syncer **ret_syncer) TK_MUST_CHECK;

/* Waits for what the threads are at; jobs that are left are not done, nor is done() called. */
void tk_syncer_free(struct tk_syncer **syncer);

/* job is the caller's, and not to be touched until done() is called. */
void tk_syncer_add(struct tk_syncer *syncer, struct tk_sync_job *job);

#endif
