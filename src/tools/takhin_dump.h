/*
 * What the files of takhin-dump share.  A process of its own, one thread, which reads; only
 * --rebuild and --export write, and never into a file that was there.
 */
#ifndef TK_TOOLS_TAKHIN_DUMP_H
#define TK_TOOLS_TAKHIN_DUMP_H

#include <stdio.h>

#include "log/batch_records.h"
#include "log/salvage.h"

#define DUMP_PATH_MAX    4096
#define DUMP_RECORD_MAX  ((size_t)256 << 20) /* no record is looked at that is larger */
#define DUMP_INFLATE_MAX ((uint64_t)1 << 40) /* of one batch; streamed, so only time */
#define DUMP_SMALL_FILE  ((size_t)512 << 20)

struct dump {
	FILE *out;
	bool records;      /* print those as well */
	bool running;      /* somebody has the data directory open: tails may be half written */
	uint64_t findings; /* one line each was printed */
};

/* A line "path: what", and one finding more. */
void dump_find(struct dump *dump, const char *path, const char *format, ...) TK_PRINTF(3, 4);

/* What errors of src/log mean to a reader of files. */
const char *dump_error(int rc);

/* takhin_dump_records.c: the records of a batch, streamed from its file, one after the other. */
struct dump_records {
	struct tk_inflate *inflate;
	int fd;
	int64_t at, end; /* of the file: compressed bytes still to come */
	uint8_t *buffer;
	size_t room, from, to;
	bool ended;
};
int dump_records_begin(struct dump_records *records, int fd, const struct tk_salvage_step *step);
/* 1 with a record, which is good until the next call; 0 at the end; -EBADMSG, or another -errno. */
int dump_records_next(struct dump_records *records, struct tk_record *ret_record);
void dump_records_end(struct dump_records *records);

void dump_text(FILE *out, const uint8_t *data, size_t len);

/* takhin_dump_journal.c: a record of the metadata journal, as what it says. */
void dump_journal_record(struct dump *dump, const struct tk_record *record);

/* takhin_dump_print.c, takhin_dump_files.c: a file in lines of text; 0, or -errno of reading. */
int dump_print_segment(struct dump *dump, const char *path);
int dump_print_file(struct dump *dump, const char *path);

/* Entries of an index file, read in blocks; entry_bytes at most 34. */
struct dump_entries {
	int fd;
	size_t entry_bytes;
	int64_t count, next; /* whole entries in the file; the one read next */
	int64_t odd_bytes;   /* behind the last whole one */
	size_t have, used;   /* of block */
	uint8_t block[34 * 120];
};
int dump_entries_open(int dir_fd, const char *path, size_t entry_bytes, struct dump_entries *ret);
/* 1 with where the entry is, 0 at the end, or -errno. */
int dump_entries_next(struct dump_entries *entries, const uint8_t **ret_entry);
void dump_entries_close(struct dump_entries *entries);

/* takhin_dump_verify.c: a partition's or data directory, or a single segment. */
int dump_verify(struct dump *dump, const char *path);

/* takhin_dump_segment.c: a segment with its indexes; *next_offset in and out. */
int dump_verify_segment(struct dump *dump, int dir_fd, const char *directory, int64_t base_offset,
    bool last, int64_t *next_offset);

/* takhin_dump_repair.c */
int dump_rebuild(struct dump *dump, const char *path);
int dump_export(struct dump *dump, const char *path, const char *to);

/* Whether somebody has the lock of the data directory at dir_fd. */
bool dump_is_locked(int dir_fd);

#endif
