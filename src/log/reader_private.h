/*
 * What the files of the reader share: partitions, open segments, places remembered.
 *
 * Worker, one thread.  A partition is kept by directory and slot; another incarnation in the same
 * slot replaces it.  An open segment belongs to the partition that lists it and to the cache's LRU
 * list, which together hold one reference; every file range handed out holds one more.  What is
 * pushed out of the cache gives up its index at once and its .log with the last reference.
 */
#ifndef TK_LOG_READER_PRIVATE_H
#define TK_LOG_READER_PRIVATE_H

#include <sys/queue.h>
#include <sys/types.h>

#include "base/map.h"
#include "log/index_read.h"
#include "log/reader.h"

#define READER_REMEMBERED  8u
#define READER_CHUNK_BYTES 4096u
#define READER_SMALL_BYTES 512 /* batches below it are read several at a time */
#define READER_PATH_BYTES  320u
#define READER_TOPIC_MAX   249u
#define READER_DIRECTORIES UINT16_MAX

struct part;

struct open_segment {
	TAILQ_ENTRY(open_segment) link;
	unsigned refs;
	bool is_held;      /* by ranges alone */
	struct part *part; /* NULL once pushed out of the cache */
	int64_t base_offset;
	uint64_t log_inode, index_inode;
	int log_fd, index_fd;            /* index_fd -1: there is no index */
	struct index_block *index_block; /* the one read last, or NULL */
};

struct part_segment {
	struct tk_segment_info info;
	struct open_segment *open; /* or NULL */
};

/*
 * A batch begins at position whose base offset is in (after, upto]; what is before it ends at
 * after.  exact: every offset in there is in that batch or later ones.
 */
struct remembered {
	int64_t after, upto;
	int64_t segment, position;
	uint64_t inode;
	bool exact;
};

struct part {
	struct tk_map_node node; /* keyed by place */
	struct part_place {
		uint32_t directory, slot;
	} place;
	uint64_t incarnation;
	uint64_t generation; /* of the list */
	bool stale;          /* files were not what the list says: it must be told anew */
	bool failed;         /* those of failed_base were not, by a list of that generation */
	uint64_t failed_generation;
	int64_t failed_base;
	struct part_segment *segments; /* NULL: no list yet */
	size_t count;
	struct remembered remembered[READER_REMEMBERED];
	unsigned remembered_next;
	char name[READER_TOPIC_MAX + 13]; /* "<topic>-<partition>" */
};

struct tk_reader {
	struct tk_map parts;
	int *directories; /* -1: not told */
	unsigned directories_count;
	TAILQ_HEAD(open_segment_lru, open_segment) lru; /* the one used last is first */
	unsigned max_open_segments;
	unsigned max_held;
	struct tk_reader_stats stats;
	void (*observe)(int fd, int64_t offset, size_t len); /* tests: every pread */
};

/* A batch that was looked for and found. */
struct located {
	size_t index; /* of the segment in the list */
	struct open_segment *seg;
	int64_t position;
	int64_t end; /* of the segment, as far as the limit lets it be read */
	struct tk_batch_header header;
};

/* A walk over batch headers, from position to end. */
struct batch_scan {
	struct tk_reader *reader;
	int fd;
	int64_t position, end;
	int64_t last_offset; /* of the batch before, -1 none */
	bool small;          /* the batch before was */
	int64_t chunk_position;
	size_t chunk_len;
	uint8_t chunk[READER_CHUNK_BYTES];
};

/*
 * Every read of a file that may block goes through here.  How many bytes, fewer than len only at
 * the file's end, or -errno.
 */
ssize_t reader_pread(struct tk_reader *reader, int fd, void *buf, size_t len, int64_t offset);

/* read_cache.c */
int segment_open(struct tk_reader *reader, struct part *part, size_t index,
    struct open_segment **ret_seg) TK_MUST_CHECK;
int segment_time_open(
    struct tk_reader *reader, struct part *part, size_t index, int *ret_fd) TK_MUST_CHECK;
void segment_push_out(struct tk_reader *reader, struct open_segment *seg);
void segment_unref(void *seg);

/* reader_list.c */
int part_find(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, struct part **ret_part) TK_MUST_CHECK;
int part_list_stale(struct part *part, int64_t base_offset);
size_t part_floor(const struct part *part, int64_t offset);
int part_segment_end(struct part *part, size_t index, const struct tk_position *limit,
    int64_t *ret_end) TK_MUST_CHECK;
void part_free(struct tk_reader *reader, struct part *part);

/* reader_locate.c */
void batch_scan_init(struct batch_scan *scan, struct tk_reader *reader,
    const struct open_segment *seg, int64_t position, int64_t end);
int batch_scan_next(struct batch_scan *scan, struct tk_batch_header *ret_header,
    int64_t *ret_position) TK_MUST_CHECK;
struct index_view segment_index_view(struct tk_reader *reader, struct part *part, size_t index,
    struct open_segment *seg, const struct tk_part_state *state);
int reader_locate(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    int64_t offset, const struct tk_position *limit, struct located *ret_located) TK_MUST_CHECK;
void reader_remember(struct part *part, const struct remembered *place);

#endif
