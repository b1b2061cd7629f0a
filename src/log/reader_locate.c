/*
 * Finding the batch that holds an offset: the segment by the list, a place to begin by what is
 * remembered or by the index, the batch by a walk over headers.  Worker, one thread.
 *
 * A place to begin is believed only if a sound header stands there that fits; else the index block
 * is read anew once, and then the segment is walked from its beginning.  A walk reads the 61 bytes
 * of each header, or a chunk of headers and records together where batches are small.  Headers that
 * do not chain up are damage, -EBADMSG.
 */
#include "log/reader_private.h"

void
batch_scan_init(struct batch_scan *scan, struct tk_reader *reader, const struct open_segment *seg,
    int64_t position, int64_t end)
{
	scan->reader = reader;
	scan->fd = seg->log_fd;
	scan->position = position;
	scan->end = end;
	scan->last_offset = -1;
	scan->small = false;
	scan->chunk_position = 0;
	scan->chunk_len = 0;
}

/* Brings the header at scan->position into the chunk: 0 or -errno. */
static int
scan_fill(struct batch_scan *scan)
{
	int64_t left = scan->end - scan->position;
	size_t want = scan->small ? sizeof(scan->chunk) : TK_BATCH_HEADER_BYTES;
	ssize_t got;

	if (scan->position >= scan->chunk_position &&
	    scan->position + TK_BATCH_HEADER_BYTES <=
		scan->chunk_position + (int64_t)scan->chunk_len)
		return 0;
	if (left < (int64_t)TK_BATCH_HEADER_BYTES)
		return -EBADMSG;
	want = (size_t)TK_MIN((int64_t)want, left);
	got = reader_pread(scan->reader, scan->fd, scan->chunk, want, scan->position);
	if (got < 0)
		return (int)got;
	scan->chunk_position = scan->position;
	scan->chunk_len = (size_t)got;
	return got < (ssize_t)TK_BATCH_HEADER_BYTES ? -EBADMSG : 0;
}

/* The next header and where its batch begins: 1, 0 at the end, or -errno. */
int
batch_scan_next(struct batch_scan *scan, struct tk_batch_header *ret_header, int64_t *ret_position)
{
	struct tk_batch_header header;
	int rc;

	if (scan->position >= scan->end)
		return 0;
	rc = scan_fill(scan);
	if (rc < 0)
		return rc;
	tk_batch_header_read(scan->chunk + (scan->position - scan->chunk_position), &header);
	if (tk_batch_header_check(&header) < 0 ||
	    tk_batch_size(&header) > scan->end - scan->position ||
	    header.base_offset <= scan->last_offset)
		return -EBADMSG;
	*ret_header = header;
	*ret_position = scan->position;
	scan->position += tk_batch_size(&header);
	scan->last_offset = tk_batch_last_offset(&header);
	scan->small = tk_batch_size(&header) < READER_SMALL_BYTES;
	return 1;
}

struct index_view
segment_index_view(struct tk_reader *reader, struct part *part, size_t index,
    struct open_segment *seg, const struct tk_part_state *state)
{
	struct index_view view = { .reader = reader,
		.fd = seg->index_fd,
		.base_offset = seg->base_offset,
		.live_offset = state->log_end.offset,
		.live_position = part->segments[index].info.size_bytes,
		.block = seg->index_block };

	if (index + 1 < part->count)
		view.live_offset = part->segments[index + 1].info.base_offset;
	if (seg->base_offset >= state->log_end.segment)
		view.live_position = state->log_end.position;
	return view;
}

/* Keeps a place; one of the same place is replaced, else the oldest. */
void
reader_remember(struct part *part, const struct remembered *place)
{
	struct remembered *to = NULL;

	for (unsigned i = 0; i < READER_REMEMBERED && to == NULL; i++)
		if (part->remembered[i].inode == place->inode &&
		    part->remembered[i].segment == place->segment &&
		    part->remembered[i].position == place->position)
			to = &part->remembered[i];
	if (to == NULL) {
		to = &part->remembered[part->remembered_next];
		part->remembered_next = (part->remembered_next + 1) % READER_REMEMBERED;
	}
	*to = *place;
}

static const struct remembered *
remembered_find(
    const struct part *part, const struct open_segment *seg, int64_t offset, int64_t end)
{
	for (unsigned i = 0; i < READER_REMEMBERED; i++) {
		const struct remembered *place = &part->remembered[i];

		if (place->inode == seg->log_inode && place->segment == seg->base_offset &&
		    place->after < offset && offset <= place->upto && place->position < end)
			return place;
	}
	return NULL;
}

/*
 * Walks from a place until the batch that holds offset or follows it: 1, 0 at the end.  from_index
 * says that nothing proves the place yet, so its first batch must not begin past offset.
 */
static int
walk_to(struct tk_reader *reader, struct located *located, int64_t from, bool from_index,
    int64_t offset)
{
	struct batch_scan scan;
	bool first = from_index;

	batch_scan_init(&scan, reader, located->seg, from, located->end);
	for (;;) {
		int rc = batch_scan_next(&scan, &located->header, &located->position);

		if (rc <= 0)
			return rc;
		if (first && (located->header.base_offset > offset ||
				 located->header.base_offset < located->seg->base_offset))
			return -EBADMSG;
		if (tk_batch_last_offset(&located->header) >= offset)
			return 1;
		first = false;
	}
}

/* By the index: as walk_to(), from wherever the index says, or from the beginning without it. */
static int
walk_by_index(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    struct located *located, int64_t offset)
{
	struct index_view view =
	    segment_index_view(reader, part, located->index, located->seg, state);
	struct index_entry entry;
	int rc;

	if (view.fd < 0)
		return walk_to(reader, located, 0, false, offset);
	reader->stats.index_searches++;
	for (int again = 0; again < 2; again++) {
		rc = index_floor(&view, INDEX_OFFSET, offset, &entry);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		if (entry.position < located->end) {
			rc = walk_to(reader, located, entry.position, true, offset);
			if (rc != -EBADMSG)
				return rc;
		}
		index_forget(&view);
	}
	return walk_to(reader, located, 0, false, offset);
}

static int
walk_segment(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    struct located *located, int64_t offset)
{
	const struct remembered *place;
	int rc;

	if (offset <= located->seg->base_offset)
		return walk_to(reader, located, 0, false, offset);
	place = remembered_find(part, located->seg, offset, located->end);
	if (place != NULL) {
		rc = walk_to(reader, located, place->position, !place->exact, offset);
		if (rc > 0)
			reader->stats.remembered++;
		if (rc != -EBADMSG)
			return rc;
	}
	return walk_by_index(reader, part, state, located, offset);
}

/*
 * The first batch below limit whose last offset is at least offset: 1, 0 if there is none, or
 * -errno.
 */
int
reader_locate(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    int64_t offset, const struct tk_position *limit, struct located *ret_located)
{
	for (size_t i = part_floor(part, offset); i < part->count; i++) {
		struct located located = { .index = i };
		int rc = part_segment_end(part, i, limit, &located.end);

		if (rc < 0)
			return rc;
		if (located.end == 0 && part->segments[i].info.base_offset >= limit->segment)
			return 0;
		if (located.end == 0)
			continue;
		rc = segment_open(reader, part, i, &located.seg);
		if (rc == 0)
			rc = walk_segment(reader, part, state, &located, offset);
		if (rc > 0)
			*ret_located = located;
		if (rc != 0 || part->segments[i].info.base_offset >= limit->segment)
			return rc;
	}
	return 0;
}
