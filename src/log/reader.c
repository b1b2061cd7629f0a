/*
 * Reading a range: what a Fetch sends.  Worker, one thread.
 *
 * A range begins where a batch begins and stays in one segment.  Where it ends is chosen so that
 * the next read of a sequential consumer needs no index: at the limit, at the segment's end, behind
 * a batch larger than asked for, or at the last place the index knows in reach; that place is
 * remembered.  If the index knows none in the second half of what was asked for (it may lag behind
 * the log's end), a few headers are walked; if they do not do, the range is cut anywhere, as Kafka
 * does.
 */
#include "log/reader.h"

#include <stdlib.h>

#include "log/reader_private.h"

#include <limits.h>

#define WALK_PREADS_MAX 16

int
tk_reader_new(unsigned max_open_segments, struct tk_reader **ret_reader)
{
	struct tk_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return -ENOMEM;
	reader->max_open_segments = TK_MAX(max_open_segments, 1u);
	reader->max_held = UINT_MAX;
	TAILQ_INIT(&reader->lru);
	*ret_reader = reader;
	return 0;
}

void
tk_reader_hold_at_most(struct tk_reader *reader, unsigned most)
{
	reader->max_held = most;
}

void
tk_reader_free(struct tk_reader **reader)
{
	struct tk_map_node *node;

	if (*reader == NULL)
		return;
	while ((node = tk_map_next(&(*reader)->parts, NULL)) != NULL)
		part_free(*reader, TK_CONTAINER_OF(node, struct part, node));
	tk_map_free(&(*reader)->parts);
	free((*reader)->directories);
	free(*reader);
	*reader = NULL;
}

int
tk_reader_directory(struct tk_reader *reader, unsigned index, int dirfd)
{
	if (index >= READER_DIRECTORIES)
		return -EINVAL;
	if (index >= reader->directories_count) {
		int *grown = realloc(reader->directories, (index + 1) * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		for (unsigned i = reader->directories_count; i <= index; i++)
			grown[i] = -1;
		reader->directories = grown;
		reader->directories_count = index + 1;
	}
	reader->directories[index] = dirfd;
	return 0;
}

const struct tk_reader_stats *
tk_reader_stats(const struct tk_reader *reader)
{
	return &reader->stats;
}

/* Where a range ends, and what is known of what follows it. */
struct range_end {
	int64_t position;
	int64_t next_offset; /* -1: not known, or in the middle of a batch */
	bool cut;
	struct remembered place; /* inode 0: nothing to remember */
};

static struct remembered
place_at(const struct located *located, int64_t position, int64_t after, int64_t upto)
{
	return (struct remembered){ .after = after,
		.upto = upto,
		.segment = located->seg->base_offset,
		.position = position,
		.inode = located->seg->log_inode,
		.exact = upto - after == 1 };
}

/* Behind the first batch. */
static struct range_end
end_first(const struct located *located)
{
	int64_t position = located->position + tk_batch_size(&located->header);
	int64_t last = tk_batch_last_offset(&located->header);

	return (struct range_end){ .position = position,
		.next_offset = last + 1,
		.place = place_at(located, position, last, last + 1) };
}

/* At the limit, or at the end of the segment. */
static struct range_end
end_whole(const struct part *part, const struct located *located, const struct tk_position *limit)
{
	struct range_end end = { .position = located->end };

	if (located->seg->base_offset >= limit->segment) {
		end.next_offset = limit->offset;
		end.place = place_at(located, located->end, limit->offset - 1, limit->offset);
	} else {
		end.next_offset = part->segments[located->index + 1].info.base_offset;
	}
	return end;
}

/*
 * The last place the index knows between the first batch and bound: 1, 0 if there is none, or
 * -errno.
 */
static int
index_between(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    const struct located *located, int64_t bound, struct index_entry *ret_entry)
{
	struct index_view view =
	    segment_index_view(reader, part, located->index, located->seg, state);
	int64_t first_end = located->position + tk_batch_size(&located->header);
	int rc;

	if (view.fd < 0)
		return 0;
	rc = index_floor(&view, INDEX_POSITION, bound, ret_entry);
	if (rc <= 0)
		return rc;
	return ret_entry->position > first_end &&
	       ret_entry->offset > tk_batch_last_offset(&located->header);
}

/*
 * Walks from position, a batch's beginning, to the last one's end that is not past bound, within
 * WALK_PREADS_MAX reads: 1 and *end; 0 if that is not enough or what is there is not sound.
 */
static int
walk_between(struct tk_reader *reader, const struct located *located, int64_t position,
    int64_t bound, struct range_end *end)
{
	uint64_t preads = reader->stats.preads;
	struct batch_scan scan;

	batch_scan_init(&scan, reader, located->seg, position, located->end);
	while (reader->stats.preads - preads <= WALK_PREADS_MAX) {
		struct tk_batch_header header;

		if (batch_scan_next(&scan, &header, &position) <= 0)
			return 0;
		if (scan.position > bound)
			return 1;
		*end = (struct range_end){ .position = scan.position,
			.next_offset = scan.last_offset + 1,
			.place = place_at(
			    located, scan.position, scan.last_offset, scan.last_offset + 1) };
	}
	return 0;
}

/* Between the first batch and bound, which is in the middle of the segment. */
static int
end_between(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    const struct located *located, int64_t bound, struct range_end *ret_end)
{
	struct range_end end = end_first(located);
	struct index_entry entry;
	int rc = index_between(reader, part, state, located, bound, &entry);

	if (rc < 0)
		return rc;
	if (rc > 0) {
		end.position = entry.position;
		end.next_offset = -1;
		end.place = place_at(
		    located, entry.position, tk_batch_last_offset(&located->header), entry.offset);
		end.place.exact = false;
	}
	if (end.position < bound - (bound - located->position) / 2 &&
	    walk_between(reader, located, end.position, bound, &end) == 0) {
		end.position = bound; /* the place known before it stays remembered */
		end.next_offset = -1;
		end.cut = true;
	}
	*ret_end = end;
	return 0;
}

static int
range_end(struct tk_reader *reader, struct part *part, const struct tk_part_state *state,
    const struct located *located, uint32_t max_bytes, const struct tk_position *limit,
    struct range_end *ret_end)
{
	int64_t bound = TK_MIN(located->end, located->position + (int64_t)max_bytes);

	if (bound == located->end) {
		*ret_end = end_whole(part, located, limit);
		return 0;
	}
	if (tk_batch_size(&located->header) >= max_bytes) {
		*ret_end = end_first(located);
		return 0;
	}
	return end_between(reader, part, state, located, bound, ret_end);
}

/* The range from the batch found to end; holds a reference. */
static void
range_take(struct tk_reader *reader, struct part *part, const struct located *located,
    const struct range_end *end, const struct tk_position *limit, struct tk_read_result *result)
{
	located->seg->refs++;
	result->range = (struct tk_file_range){ .fd = located->seg->log_fd,
		.offset = located->position,
		.len = (uint32_t)(end->position - located->position),
		.owner = located->seg,
		.unref = segment_unref };
	result->next_offset = end->next_offset;
	result->more = located->seg->base_offset < limit->segment || end->position < located->end;
	reader->stats.cut += end->cut;
	if (end->place.inode != 0)
		reader_remember(part, &end->place);
}

int
tk_reader_read(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, int64_t offset, uint32_t max_bytes, bool at_least_one,
    const struct tk_position *limit, struct tk_read_result *ret_result)
{
	struct tk_read_result result = { .range = { .fd = -1 }, .next_offset = -1 };
	struct located located;
	struct range_end end;
	struct part *part;
	int rc;

	if (state->incarnation != key->incarnation)
		return -ESTALE;
	if (offset < state->log_start || offset > state->log_end.offset)
		return -ERANGE;
	if (offset >= limit->offset) {
		*ret_result = result; /* who waits at the end needs no list */
		return 0;
	}
	rc = part_find(reader, key, state, &part);
	if (rc < 0)
		return rc;
	rc = reader_locate(reader, part, state, offset, limit, &located);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		*ret_result = result;
		return 0;
	}
	result.first = located.header;
	result.first_bytes = (uint32_t)tk_batch_size(&located.header);
	if (result.first_bytes > max_bytes && !at_least_one) {
		result.does_not_fit = result.more = true;
		*ret_result = result;
		return 0;
	}
	rc = range_end(reader, part, state, &located, max_bytes, limit, &end);
	if (rc < 0)
		return rc;
	range_take(reader, part, &located, &end, limit, &result);
	*ret_result = result;
	return 0;
}
