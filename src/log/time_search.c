/*
 * ListOffsets by timestamp: the first record at or after a time, the record of the largest one.
 * Worker, one thread.
 *
 * Segments by what their list says, a place in one by its time index, then batch headers, then the
 * records of the one batch that matters, inflated as a stream.  A time index may lag or lack
 * entries: it tells only where a search may begin.  What bounds a search is the log below limit;
 * what bounds inflating is SEARCH_INFLATE_MAX, past which a batch counts as damaged.
 */
#include <string.h>
#include <unistd.h>

#include "log/batch_records.h"
#include "log/reader_private.h"

#define SEARCH_INFLATE_MAX ((uint64_t)256 << 20)

static const struct tk_time_offset found_none = { -1, -1, -1 };

/* What a search works on. */
struct search {
	struct tk_reader *reader;
	struct part *part;
	const struct tk_part_state *state;
	const struct tk_position *limit;
};

/* Which record of a batch is wanted: the first of at least timestamp, or the first of the largest.
 */
struct wanted {
	int64_t min_offset;
	int64_t timestamp;
	bool largest;
};

/* The bytes of a batch's records, from the file. */
struct file_source {
	struct tk_reader *reader;
	int fd;
	int64_t position;
};

static ssize_t
file_source_pull(void *context, void *buf, size_t room)
{
	struct file_source *source = context;
	ssize_t got = reader_pread(source->reader, source->fd, buf, room, source->position);

	if (got > 0)
		source->position += got;
	return got;
}

/* Looks at one record: 1 if the search is over, 0 if it goes on, -EBADMSG. */
static int
record_consider(const struct tk_batch_header *header, const struct tk_record_head *head,
    const struct wanted *wanted, struct tk_time_offset *best)
{
	int64_t offset = header->base_offset + head->offset_delta;
	int64_t timestamp =
	    (int64_t)((uint64_t)header->base_timestamp + (uint64_t)head->timestamp_delta);

	if (head->offset_delta < 0 || head->offset_delta > header->last_offset_delta)
		return -EBADMSG;
	if ((header->attributes & TK_BATCH_LOG_APPEND) != 0)
		timestamp = header->max_timestamp;
	if (offset < wanted->min_offset)
		return 0;
	if (wanted->largest ? timestamp <= best->timestamp : timestamp < wanted->timestamp)
		return 0;
	*best = (struct tk_time_offset){ offset, timestamp, header->leader_epoch };
	return !wanted->largest;
}

/* Looks through the records of a stream: 1 if one was found, 0 if none is as wanted, or -errno. */
static int
stream_search(struct tk_inflate *stream, const struct tk_batch_header *header,
    const struct wanted *wanted, struct tk_time_offset *ret_found)
{
	struct tk_time_offset best = found_none;
	struct tk_record_walk walk;

	tk_record_walk_init(&walk, stream);
	for (int32_t i = 0; i < header->records_count; i++) {
		struct tk_record_head head;
		int rc = tk_record_walk_next(&walk, &head);

		if (rc == 1)
			rc = record_consider(header, &head, wanted, &best);
		else if (rc == 0)
			rc = -EBADMSG;
		if (rc < 0)
			return rc;
		if (rc > 0)
			break;
	}
	if (best.offset >= 0)
		*ret_found = best;
	return best.offset >= 0;
}

static int
batch_search(const struct search *search, const struct open_segment *seg,
    const struct tk_batch_header *header, int64_t position, const struct wanted *wanted,
    struct tk_time_offset *ret_found)
{
	struct file_source file = { search->reader, seg->log_fd, position + TK_BATCH_HEADER_BYTES };
	struct tk_codec_source source = { file_source_pull, &file,
		(uint64_t)tk_batch_size(header) - TK_BATCH_HEADER_BYTES };
	struct tk_inflate *stream;
	int rc;

	rc = tk_inflate_new((enum tk_codec)(header->attributes & TK_BATCH_CODEC_MASK), &source,
	    SEARCH_INFLATE_MAX, &stream);
	if (rc < 0)
		return rc;
	rc = stream_search(stream, header, wanted, ret_found);
	tk_inflate_free(&stream);
	return rc == -E2BIG ? -EBADMSG : rc;
}

/*
 * The last entry of the time index with a timestamp of at most value; 1, 0 without one.  It stands
 * for: nothing before its offset's batch is later than it.
 */
static int
time_floor(const struct search *search, size_t index, int64_t value, struct index_entry *ret_entry)
{
	const struct part *part = search->part;
	struct index_block block = { .number = -1 };
	struct index_view view = { .reader = search->reader,
		.by_time = true,
		.base_offset = part->segments[index].info.base_offset,
		.live_offset = search->limit->offset,
		.block = &block };
	int rc;

	if (part->segments[index].info.time_inode == 0)
		return 0;
	rc = segment_time_open(search->reader, search->part, index, &view.fd);
	if (rc < 0)
		return rc;
	rc = index_floor(&view, INDEX_TIMESTAMP, value, ret_entry);
	(void)close(view.fd);
	return rc;
}

/*
 * Sets up a walk over the batches of a segment that are below the limit, from the one that holds
 * offset: 1, 0 if there are none, or -errno.
 */
static int
scan_from(const struct search *search, size_t index, int64_t offset, struct open_segment **ret_seg,
    struct batch_scan *ret_scan)
{
	struct located located;
	int rc;

	offset = TK_MAX(offset, search->part->segments[index].info.base_offset);
	rc = reader_locate(
	    search->reader, search->part, search->state, offset, search->limit, &located);
	if (rc <= 0)
		return rc;
	if (located.index != index)
		return 0;
	batch_scan_init(ret_scan, search->reader, located.seg, located.position, located.end);
	*ret_seg = located.seg;
	return 1;
}

/* One segment's part of tk_reader_offset_by_time(): 1, 0 if it has none, or -errno. */
static int
segment_by_time(
    const struct search *search, size_t index, int64_t timestamp, struct tk_time_offset *ret_found)
{
	struct wanted wanted = { search->state->log_start, timestamp, false };
	struct index_entry entry = { 0 };
	struct open_segment *seg;
	struct batch_scan scan;
	int rc = 0;

	if (timestamp > INT64_MIN)
		rc = time_floor(search, index, timestamp - 1, &entry);
	if (rc < 0)
		return rc;
	rc = scan_from(search, index, TK_MAX(wanted.min_offset, entry.offset), &seg, &scan);
	if (rc <= 0)
		return rc;
	for (;;) {
		struct tk_batch_header header;
		int64_t position;

		rc = batch_scan_next(&scan, &header, &position);
		if (rc <= 0)
			return rc;
		if (header.max_timestamp < timestamp ||
		    tk_batch_last_offset(&header) < wanted.min_offset)
			continue;
		rc = batch_search(search, seg, &header, position, &wanted, ret_found);
		if (rc != 0)
			return rc;
	}
}

static int
search_begin(struct search *search, struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, const struct tk_position *limit)
{
	*search = (struct search){ .reader = reader, .state = state, .limit = limit };
	return part_find(reader, key, state, &search->part);
}

/* The largest timestamp of a closed segment that lies below the limit whole; -1 if not known. */
static int64_t
known_max(const struct search *search, size_t index)
{
	const struct tk_segment_info *info = &search->part->segments[index].info;

	return info->base_offset < search->limit->segment ? TK_MAX(info->max_timestamp, -1) : -1;
}

static bool
below_limit(const struct search *search, size_t index)
{
	const struct tk_position *limit = search->limit;

	if (index >= search->part->count || search->state->log_start >= limit->offset)
		return false;
	if (search->part->segments[index].info.base_offset == limit->segment)
		return limit->position > 0;
	return search->part->segments[index].info.base_offset < limit->segment;
}

int
tk_reader_offset_by_time(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, int64_t timestamp, const struct tk_position *limit,
    struct tk_time_offset *ret_found)
{
	struct search search;
	int rc = search_begin(&search, reader, key, state, limit);

	if (rc < 0)
		return rc;
	for (size_t i = part_floor(search.part, state->log_start); below_limit(&search, i); i++) {
		int64_t max = known_max(&search, i);

		if (max >= 0 && max < timestamp)
			continue;
		rc = segment_by_time(&search, i, timestamp, ret_found);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	*ret_found = found_none;
	return 0;
}

/* Where the largest timestamp was seen. */
struct largest {
	int64_t timestamp;
	size_t index;
	int64_t position;
	struct tk_batch_header header;
};

/*
 * Takes a batch into account.  Only the one that reaches below the log's start has to be looked
 * into: its largest may be of a record that is gone.
 */
static int
batch_largest(const struct search *search, const struct open_segment *seg, size_t index,
    const struct tk_batch_header *header, int64_t position, struct largest *largest)
{
	struct wanted wanted = { search->state->log_start, 0, true };
	int64_t timestamp = header->max_timestamp;

	if (header->records_count == 0 || timestamp <= largest->timestamp ||
	    tk_batch_last_offset(header) < wanted.min_offset)
		return 0;
	if (header->base_offset < wanted.min_offset) {
		struct tk_time_offset found;
		int rc = batch_search(search, seg, header, position, &wanted, &found);

		if (rc <= 0)
			return rc;
		if (found.timestamp <= largest->timestamp)
			return 0;
		timestamp = found.timestamp;
	}
	*largest = (struct largest){ timestamp, index, position, *header };
	return 0;
}

/* One segment's largest, if it is larger; known is what it must come to, or -1. */
static int
segment_largest(const struct search *search, size_t index, int64_t known, struct largest *largest)
{
	struct index_entry entry = { 0 };
	struct open_segment *seg;
	struct batch_scan scan;
	int rc;

	rc = time_floor(search, index, INT64_MAX, &entry);
	if (rc < 0)
		return rc;
	rc = scan_from(search, index, TK_MAX(search->state->log_start, entry.offset), &seg, &scan);
	if (rc <= 0)
		return rc;
	while (known < 0 || largest->timestamp < known) {
		struct tk_batch_header header;
		int64_t position;

		rc = batch_scan_next(&scan, &header, &position);
		if (rc <= 0)
			return rc;
		rc = batch_largest(search, seg, index, &header, position, largest);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What is told of a segment that reaches below the log's start may be gone: not known. */
static int64_t
known_largest(const struct search *search, size_t index)
{
	if (search->part->segments[index].info.base_offset < search->state->log_start)
		return -1;
	return known_max(search, index);
}

static int
log_largest(const struct search *search, struct largest *largest)
{
	size_t first = part_floor(search->part, search->state->log_start);
	int64_t most = -1;

	for (size_t i = first; below_limit(search, i); i++)
		most = TK_MAX(most, known_largest(search, i));
	for (size_t i = first; below_limit(search, i); i++) {
		int64_t known = known_largest(search, i);
		int rc;

		if (known >= 0 && (known < most || known <= largest->timestamp))
			continue;
		rc = segment_largest(search, i, known, largest);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
tk_reader_max_timestamp(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, const struct tk_position *limit,
    struct tk_time_offset *ret_found)
{
	struct wanted wanted = { state->log_start, 0, true };
	struct largest largest = { .timestamp = -1 };
	struct tk_time_offset found = found_none;
	struct open_segment *seg;
	struct search search;
	int rc;

	rc = search_begin(&search, reader, key, state, limit);
	if (rc < 0)
		return rc;
	rc = log_largest(&search, &largest);
	if (rc < 0)
		return rc;
	if (largest.timestamp >= 0) {
		rc = segment_open(reader, search.part, largest.index, &seg);
		if (rc < 0)
			return rc;
		rc = batch_search(&search, seg, &largest.header, largest.position, &wanted, &found);
		if (rc < 0)
			return rc;
	}
	*ret_found = found;
	return 0;
}
