/*
 * Whether a segment and its indexes are right: each batch in turn, its records, and the entries of
 * both indexes that are about it.  takhin-dump --verify.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "log/segment.h"
#include "os/file.h"
#include "tools/takhin_dump.h"

/* An index that is gone through side by side with the batches. */
struct side {
	struct dump_entries entries;
	char path[DUMP_PATH_MAX];
	bool open, have; /* an entry is waiting for its batch */
	int64_t offset, position, timestamp;
	int64_t last_offset, last_position, last_timestamp;
};

struct verify {
	struct dump *dump;
	char path[DUMP_PATH_MAX];
	int fd;
	int64_t base_offset;
	bool last;
	int64_t max_timestamp;
	struct side index, times;
};

static int
side_open(struct verify *verify, struct side *side, int dir_fd, const char *directory,
    const char *suffix, size_t entry_bytes)
{
	char name[64];
	int rc;

	side->last_offset = side->last_position = side->last_timestamp = -1;
	(void)snprintf(name, sizeof(name), "%020" PRId64 "%s", verify->base_offset, suffix);
	(void)snprintf(side->path, sizeof(side->path), "%s/%s", directory, name);
	rc = dump_entries_open(dir_fd, name, entry_bytes, &side->entries);
	if (rc == -ENOENT && verify->last)
		return 0; /* not written yet */
	if (rc < 0) {
		dump_find(verify->dump, side->path, "it cannot be read: %s", dump_error(rc));
		return 0;
	}
	side->open = true;
	if (side->entries.odd_bytes != 0)
		dump_find(verify->dump, side->path,
		    "%" PRId64 " bytes are behind the last whole entry", side->entries.odd_bytes);
	return 0;
}

static int
index_next(struct verify *verify)
{
	struct side *side = &verify->index;
	const uint8_t *at;
	int rc = side->open ? dump_entries_next(&side->entries, &at) : 0;

	side->have = rc > 0;
	if (rc <= 0)
		return rc;
	/* Kafka makes the index of an active segment long, of zeros. */
	if (tk_be64_get(at) == 0) {
		side->have = false;
		side->entries.next = side->entries.count;
		return 0;
	}
	side->offset = verify->base_offset + (int32_t)tk_be32_get(at);
	side->position = (int32_t)tk_be32_get(at + 4);
	if (side->offset <= side->last_offset || side->position <= side->last_position)
		dump_find(verify->dump, side->path,
		    "entry %" PRId64 " (offset %" PRId64 ", position %" PRId64 ") does not rise",
		    side->entries.next - 1, side->offset, side->position);
	side->last_offset = side->offset;
	side->last_position = side->position;
	return 0;
}

static int
times_next(struct verify *verify)
{
	struct side *side = &verify->times;
	const uint8_t *at;
	int rc = side->open ? dump_entries_next(&side->entries, &at) : 0;

	side->have = rc > 0;
	if (rc <= 0)
		return rc;
	side->timestamp = (int64_t)tk_be64_get(at);
	if (side->timestamp == 0 && tk_be32_get(at + 8) == 0 && side->entries.next > 1) {
		side->have = false;
		side->entries.next = side->entries.count;
		return 0;
	}
	side->offset = verify->base_offset + (int32_t)tk_be32_get(at + 8);
	if (side->timestamp <= side->last_timestamp || side->offset < side->last_offset)
		dump_find(verify->dump, side->path,
		    "entry %" PRId64 " (timestamp %" PRId64 ", offset %" PRId64 ") does not rise",
		    side->entries.next - 1, side->timestamp, side->offset);
	side->last_offset = side->offset;
	side->last_timestamp = side->timestamp;
	return 0;
}

/* Entries that are about this batch or, wrongly, about what is before it. */
static int
index_at(struct verify *verify, const struct tk_salvage_step *step)
{
	struct side *side = &verify->index;
	int rc = 0;

	while (rc == 0 && side->have && side->position < step->position + step->bytes) {
		if (side->position != step->position)
			dump_find(verify->dump, side->path,
			    "entry %" PRId64 " (offset %" PRId64
			    "): no batch begins at position %" PRId64,
			    side->entries.next - 1, side->offset, side->position);
		else if (side->offset < step->header.base_offset ||
			 side->offset > tk_batch_last_offset(&step->header))
			dump_find(verify->dump, side->path,
			    "entry %" PRId64 ": the batch at position %" PRId64
			    " does not hold offset %" PRId64,
			    side->entries.next - 1, side->position, side->offset);
		rc = index_next(verify);
	}
	return rc;
}

static int
times_at(struct verify *verify, const struct tk_batch_header *header)
{
	struct side *side = &verify->times;
	int64_t before = verify->max_timestamp;
	int rc = 0;

	verify->max_timestamp = TK_MAX(before, header->max_timestamp);
	while (rc == 0 && side->have && side->offset <= tk_batch_last_offset(header)) {
		if (side->offset < header->base_offset)
			dump_find(verify->dump, side->path,
			    "entry %" PRId64 ": there is no offset %" PRId64,
			    side->entries.next - 1, side->offset);
		else if (side->timestamp != header->max_timestamp || before > side->timestamp)
			dump_find(verify->dump, side->path,
			    "entry %" PRId64 ": offset %" PRId64 " has timestamp %" PRId64
			    ", not %" PRId64,
			    side->entries.next - 1, side->offset, verify->max_timestamp,
			    side->timestamp);
		rc = times_next(verify);
	}
	return rc;
}

static int
sides_end(struct verify *verify)
{
	int rc = 0;

	/* The indexes of a broker that runs may have come further than the log did when we looked.
	 */
	while (rc == 0 && verify->index.have && !(verify->last && verify->dump->running)) {
		dump_find(verify->dump, verify->index.path,
		    "entry %" PRId64 " (offset %" PRId64 ", position %" PRId64
		    ") is behind the segment's end",
		    verify->index.entries.next - 1, verify->index.offset, verify->index.position);
		rc = index_next(verify);
	}
	while (rc == 0 && verify->times.have && !(verify->last && verify->dump->running)) {
		dump_find(verify->dump, verify->times.path,
		    "entry %" PRId64 " (offset %" PRId64 ") is behind the segment's end",
		    verify->times.entries.next - 1, verify->times.offset);
		rc = times_next(verify);
	}
	return rc;
}

/* The records of a batch with a good checksum: as many as it says, with rising offsets. */
static int
records_at(struct verify *verify, const struct tk_salvage_step *step)
{
	struct dump_records records;
	struct tk_record record;
	int64_t count = 0, last = -1;
	int rc = dump_records_begin(&records, verify->fd, step);

	while (rc >= 0 && (rc = dump_records_next(&records, &record)) > 0) {
		if (record.head.offset_delta <= last ||
		    record.head.offset_delta > step->header.last_offset_delta)
			rc = -EBADMSG;
		last = record.head.offset_delta;
		count++;
	}
	dump_records_end(&records);
	if (rc == 0 && count != step->header.records_count)
		rc = -EBADMSG;
	if (rc == -EBADMSG || rc == -EINVAL || rc == -E2BIG) {
		dump_find(verify->dump, verify->path,
		    "the records of the batch at position %" PRId64 " are not sound",
		    step->position);
		rc = 0;
	}
	return rc;
}

static void
find_step(struct verify *verify, const struct tk_salvage_step *step)
{
	const char *what = "a batch with a wrong checksum";

	if (step->kind == TK_SALVAGE_BAD_OFFSET)
		what = "a batch whose offsets are not before those of the next";
	else if (step->kind == TK_SALVAGE_NO_BATCH)
		what = "no batch; a good one follows";
	else if (step->kind == TK_SALVAGE_TORN)
		what = "no batch, and none follows";
	/* A broker that runs may be writing just that. */
	if (step->kind == TK_SALVAGE_TORN && verify->last && verify->dump->running)
		return;
	dump_find(verify->dump, verify->path, "%" PRId64 " bytes at position %" PRId64 " are %s",
	    step->bytes, step->position, what);
}

static int
verify_batches(struct verify *verify, struct tk_salvage *walk)
{
	for (;;) {
		struct tk_salvage_step step;
		int rc = tk_salvage_next(walk, &step);

		if (rc < 0 || step.kind == TK_SALVAGE_END)
			return rc;
		if (step.kind != TK_SALVAGE_GOOD)
			find_step(verify, &step);
		else
			rc = records_at(verify, &step);
		if (step.kind == TK_SALVAGE_TORN || step.kind == TK_SALVAGE_NO_BATCH)
			continue;
		if (rc == 0)
			rc = index_at(verify, &step);
		if (rc == 0 && step.kind == TK_SALVAGE_GOOD)
			rc = times_at(verify, &step.header);
		if (rc < 0)
			return rc;
	}
}

static int
verify_open(struct verify *verify, int dir_fd, const char *directory, struct tk_salvage *walk,
    int64_t least_offset)
{
	struct tk_file_info info;
	char name[64];
	int rc;

	(void)snprintf(name, sizeof(name), "%020" PRId64 ".log", verify->base_offset);
	(void)snprintf(verify->path, sizeof(verify->path), "%s/%s", directory, name);
	rc = tk_file_open(dir_fd, name, O_RDONLY, 0, &verify->fd);
	if (rc == 0)
		rc = tk_file_stat_fd(verify->fd, &info);
	if (rc == 0)
		rc = tk_salvage_begin(
		    walk, verify->fd, info.size_bytes, verify->base_offset, least_offset);
	return rc;
}

int
dump_verify_segment(struct dump *dump, int dir_fd, const char *directory, int64_t base_offset,
    bool last, int64_t *next_offset)
{
	struct verify verify = { .dump = dump,
		.fd = -1,
		.base_offset = base_offset,
		.last = last,
		.max_timestamp = -1 };
	struct tk_salvage walk = { .piece = NULL };
	int rc;

	if (base_offset > INT64_MAX - INT32_MAX - 1) {
		dump_find(
		    dump, directory, "segment %020" PRId64 " begins at no offset", base_offset);
		return 0;
	}
	rc = verify_open(&verify, dir_fd, directory, &walk, TK_MAX(base_offset, *next_offset));
	if (rc == 0)
		rc = side_open(&verify, &verify.index, dir_fd, directory, ".index", 8);
	if (rc == 0)
		rc = side_open(&verify, &verify.times, dir_fd, directory, ".timeindex", 12);
	if (rc == 0)
		rc = index_next(&verify);
	if (rc == 0)
		rc = times_next(&verify);
	if (rc == 0)
		rc = verify_batches(&verify, &walk);
	if (rc == 0)
		rc = sides_end(&verify);
	if (verify.index.open)
		dump_entries_close(&verify.index.entries);
	if (verify.times.open)
		dump_entries_close(&verify.times.entries);
	if (rc == 0)
		*next_offset = TK_MAX(*next_offset, walk.next_offset);
	tk_salvage_end(&walk);
	tk_file_close(&verify.fd);
	return rc;
}
