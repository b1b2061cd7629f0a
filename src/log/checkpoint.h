/*
 * The small text files of a data directory, as Kafka writes them.
 *
 * A checkpoint is "0\n<count>\n" and a line "topic partition offset\n" each;
 * leader-epoch-checkpoint has "epoch startOffset\n" lines; partition.metadata is two lines. Written
 * as a whole under a temporary name and renamed.  Writer process; workers read leader epochs.
 */
#ifndef TK_LOG_CHECKPOINT_H
#define TK_LOG_CHECKPOINT_H

#include "os/file.h"
#include "takhin/base.h"

/* One line; name is "topic-partition", as the directory is called. */
struct tk_checkpoint_entry {
	char *name;
	int64_t offset;
	bool taken; /* an open log speaks for this line now */
};

/* Sorted by name. */
struct tk_checkpoint {
	struct tk_checkpoint_entry *entries;
	size_t count, room;
};

/* -ENOENT if there is no file, -EBADMSG for one that is not a checkpoint; a 0-byte one is empty. */
int tk_checkpoint_read(
    int dir_fd, const char *file_name, struct tk_checkpoint *ret_checkpoint) TK_MUST_CHECK;
void tk_checkpoint_free(struct tk_checkpoint *checkpoint);

/* The entry of this name, or NULL. */
struct tk_checkpoint_entry *tk_checkpoint_find(
    const struct tk_checkpoint *checkpoint, const char *name);

/* Text of a checkpoint, grown line by line; an error sticks. */
struct tk_checkpoint_text {
	char *data;
	size_t len, room;
	size_t count;
	bool failed;
};

void tk_checkpoint_text_add(struct tk_checkpoint_text *text, const char *name, int64_t offset);

/* Puts the file in place, synced; replace may carry a before_rename.  Frees the text. */
int tk_checkpoint_text_write(struct tk_checkpoint_text *text, int dir_fd, const char *file_name,
    void (*before_rename)(void *arg, const struct tk_file_info *info), void *arg) TK_MUST_CHECK;

/* leader-epoch-checkpoint of a log: the last epoch; -ENOENT if there is none. */
int tk_epochs_read_last(int dir_fd, const char *log_name, int32_t *ret_epoch) TK_MUST_CHECK;

/*
 * Where the records of epoch end: *ret_epoch is the largest epoch at or below it, *ret_end the
 * first offset of the one after; for an epoch before all of them it is itself, with their first
 * offset. -ENOENT if no later epoch is known, -EBADMSG for lines that say nothing.  Any process.
 */
int tk_epochs_end(int dir_fd, const char *log_name, int32_t epoch, int32_t *ret_epoch,
    int64_t *ret_end) TK_MUST_CHECK;

/* The epoch in which offset was appended; -ENOENT if no line says so, -EBADMSG.  Any process. */
int tk_epochs_at(
    int dir_fd, const char *log_name, int64_t offset, int32_t *ret_epoch) TK_MUST_CHECK;

/* Adds a line (the file is made if need be). */
int tk_epochs_add(
    int dir_fd, const char *log_name, int32_t epoch, int64_t start_offset) TK_MUST_CHECK;

/* partition.metadata; -ENOENT if there is none, -EBADMSG if it says nothing. */
int tk_partition_metadata_read(
    int dir_fd, const char *log_name, struct tk_uuid *ret_topic_id) TK_MUST_CHECK;
int tk_partition_metadata_write(
    int dir_fd, const char *log_name, const struct tk_uuid *topic_id) TK_MUST_CHECK;

#endif
