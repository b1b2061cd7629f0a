/*
 * Segment files: their names, their list, a walk over their batch headers.
 *
 * Writer process (recovery: its threads, each on a partition of its own).  The list is a plain
 * array in ascending order; the last one is the active segment.
 */
#ifndef TK_LOG_SEGMENT_H
#define TK_LOG_SEGMENT_H

#include "log/batch.h"
#include "log/segments.h"
#include "takhin/base.h"

#define TK_SEGMENT_PATH_MAX 512

/* Max timestamp of a closed segment that has not been looked up yet. */
#define TK_TIMESTAMP_UNREAD INT64_MIN

struct tk_segment {
	struct tk_segment_info info;
	bool unsynced; /* written by us since it was last synced */
};

struct tk_segment_list {
	struct tk_segment *items;
	size_t count, room;
};

/* "<log>/<20 digits><suffix>"; suffix with its dot. */
void tk_segment_path(
    char path[TK_SEGMENT_PATH_MAX], const char *log_name, int64_t base_offset, const char *suffix);

/* The offset in a name of 20 digits followed by suffix exactly; -1 for any other name. */
int64_t tk_segment_parse(const char *file_name, const char *suffix);

/* Lists the .log files of a partition with sizes and inodes; 0 or -errno. */
int tk_segment_list_read(
    int dir_fd, const char *log_name, struct tk_segment_list *ret_list) TK_MUST_CHECK;

int tk_segment_list_add(
    struct tk_segment_list *list, const struct tk_segment_info *info) TK_MUST_CHECK;
void tk_segment_list_drop_first(struct tk_segment_list *list, size_t count);
void tk_segment_list_free(struct tk_segment_list *list);

/* Fills in size and inodes of the three files; an index that is missing has inode 0. */
int tk_segment_stat(
    int dir_fd, const char *log_name, int64_t base_offset, struct tk_segment_info *ret_info);

/*
 * Unlinks all files of a segment, or renames them to .deleted; the snapshot at its base goes along.
 * The .log goes first: without it, the rest is litter.  0 or the first -errno.
 */
int tk_segment_remove(
    int dir_fd, const char *log_name, int64_t base_offset, bool rename_only) TK_MUST_CHECK;

/*
 * Calls each for every batch header in [from, to) of a .log file, which holds whole batches there;
 * reads no more than a few KiB beside the headers.  -EBADMSG where the headers do not chain up to
 * exactly `to`; what each returns below 0 ends the walk.
 */
typedef int tk_segment_visit(void *arg, const struct tk_batch_header *header, int64_t position);
int tk_segment_walk(
    int fd, int64_t from, int64_t to, tk_segment_visit *each, void *arg) TK_MUST_CHECK;

#endif
