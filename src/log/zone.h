/*
 * The zone: what a data directory publishes of its partitions, in shared memory.
 *
 * A zone is a sparse file in the run directory (tmpfs): a header page, then one record a slot.  The
 * writer process of the directory maps it read-write and is the only one that ever stores to it;
 * everybody else maps it read-only.  There are no locks.
 *
 * A record has two buffers and a sequence number.  The writer fills buffer (seq + 1) & 1, then
 * stores seq + 1 with release, then fences before its next fill.  A reader loads seq, copies
 * buffer seq & 1, fences, loads seq again and takes the copy only if it is the same.  A writer
 * killed half-way has published nothing.  What each field means: src/log/README.md.
 */
#ifndef TK_LOG_ZONE_H
#define TK_LOG_ZONE_H

#include "takhin/base.h"

#define TK_ZONE_SLOTS_MAX ((uint32_t)1 << 20)

/* A place in a partition's log: an offset, and where its first byte is or will be. */
struct tk_position {
	int64_t offset;
	int64_t segment;  /* base offset of the segment */
	int64_t position; /* bytes from the start of that segment's .log */
};

enum tk_part_status {
	TK_PART_NONE,      /* the slot is free, or its writer has not opened it yet */
	TK_PART_ONLINE,    /* appends and reads */
	TK_PART_READ_ONLY, /* appends fail for now (disk full, a failed write); reads go on */
	TK_PART_OFFLINE,   /* neither, until recovered */
	TK_PART_DELETED    /* gone; the slot waits to be used again */
};

/* What is published of a partition.  Read as a whole, never field by field. */
struct tk_part_state {
	uint64_t incarnation; /* revision of the transaction that made the partition; 0 none */
	uint32_t status;      /* enum tk_part_status */
	int32_t leader_epoch;
	int64_t log_start;
	struct tk_position log_end;
	struct tk_position high_watermark;
	struct tk_position last_stable;
	int64_t durable_end;          /* first offset not known to be on the disk */
	int64_t sync_underway;        /* end of the sync under way, -1 if none */
	uint64_t segments_generation; /* changes with the list of segments or their files */
	uint64_t config_revision;     /* stamp of the settings in force (tk_meta_stamp) */
	uint64_t active_inode;        /* of the active segment's .log */
	uint64_t followers[8];        /* replication: kept free */
};

struct tk_part_record {
	uint64_t seq;
	struct tk_part_state buffer[2];
	uint8_t unused[512 - 8 - 2 * sizeof(struct tk_part_state)];
};

_Static_assert(sizeof(struct tk_part_state) == 200, "layout shared between versions");
_Static_assert(sizeof(struct tk_part_record) == 512, "records do not share cache lines");

/* A file as it was when we wrote it last. */
struct tk_zone_file {
	uint64_t inode;
	int64_t mtime_ns;
};

/*
 * Why a zone may be believed after a restart; logdir_trust.c compares.  What changes has two
 * places, the present and the next, so that a writer killed between changing the directory and
 * changing the zone is still believed: either may match.
 */
struct tk_zone_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t slot_mark; /* slots below it may be read; release-stored, grows only */
	struct tk_uuid boot_id;
	struct tk_uuid directory_id;
	struct tk_uuid start_nonce[2]; /* every start has one, in a file of the directory as well */
	uint64_t st_dev;
	struct tk_zone_file checkpoint[2]; /* recovery-point-offset-checkpoint */
	uint64_t stopped_clean;            /* 1: the last writer's last act was a clean stop */
};

#define TK_ZONE_VERSION 1u

struct tk_zone;

/*
 * Writer (and master): opens or makes the zone file; read-write.  One of another layout is replaced
 * by a new one.  0 or -errno.
 */
int tk_zone_open(int run_dir_fd, const char *name, struct tk_zone **ret_zone) TK_MUST_CHECK;

/* Everybody else: opens what a writer made, read-only.  0 or -errno (-ENOENT: not there yet). */
int tk_zone_open_readonly(
    int run_dir_fd, const char *name, struct tk_zone **ret_zone) TK_MUST_CHECK;

void tk_zone_close(struct tk_zone **zone);

/* The header, writable only for the writer. */
struct tk_zone_header *tk_zone_header(struct tk_zone *zone);

/* Slots below this one may be read. */
uint32_t tk_zone_slot_mark(const struct tk_zone *zone);

/* Writer, when nothing in the zone is believed: publishes every slot as NONE. */
void tk_zone_forget(struct tk_zone *zone);

/*
 * Writer: makes the memory of a slot real (fallocate), so that a full tmpfs refuses it here rather
 * than killing a reader, and moves the slot mark.  0 or -errno.
 */
int tk_zone_reserve(struct tk_zone *zone, uint32_t slot) TK_MUST_CHECK;

/* Writer: publishes state in slot, which was reserved.  Cannot fail. */
void tk_zone_publish(struct tk_zone *zone, uint32_t slot, const struct tk_part_state *state);

/*
 * Anybody: a consistent copy of a slot's state and the record's sequence number; false for a slot
 * at or above the mark.  Spins only while the writer stores, never on a dead writer.
 */
bool tk_zone_read(
    const struct tk_zone *zone, uint32_t slot, struct tk_part_state *ret_state, uint64_t *ret_seq);

#endif
