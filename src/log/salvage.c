/*
 * A walk over a segment that goes on behind damage; see salvage.h.
 */
#include "log/salvage.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "os/file.h"

#define PIECE_BYTES ((size_t)1024 * 1024)
#define MAGIC_AT    16

int
tk_salvage_begin(
    struct tk_salvage *walk, int fd, int64_t size_bytes, int64_t base_offset, int64_t least_offset)
{
	*walk = (struct tk_salvage){ .fd = fd,
		.size_bytes = size_bytes,
		.base_offset = base_offset,
		.next_offset = least_offset };
	walk->piece = malloc(PIECE_BYTES);
	return walk->piece == NULL ? -ENOMEM : 0;
}

void
tk_salvage_end(struct tk_salvage *walk)
{
	free(walk->piece);
	walk->piece = NULL;
}

/* Bytes of the file from position on: as many as the piece holds, at least want (<= its size). */
static int
piece_read(struct tk_salvage *walk, int64_t position, size_t want, const uint8_t **ret_bytes,
    size_t *ret_len)
{
	int64_t end = walk->piece_at + (int64_t)walk->piece_len;

	if (position < walk->piece_at || position + (int64_t)want > end) {
		size_t len = (size_t)TK_MIN((int64_t)PIECE_BYTES, walk->size_bytes - position);
		int rc;

		walk->piece_len = 0;
		rc = tk_file_pread_full(walk->fd, walk->piece, len, position);
		if (rc < 0)
			return rc;
		walk->piece_at = position;
		walk->piece_len = len;
	}
	*ret_bytes = walk->piece + (position - walk->piece_at);
	*ret_len = walk->piece_len - (size_t)(position - walk->piece_at);
	return 0;
}

static int
crc_of(struct tk_salvage *walk, int64_t from, int64_t to, uint32_t *ret_crc)
{
	uint32_t crc = 0;

	while (from < to) {
		const uint8_t *bytes;
		size_t len;
		int rc = piece_read(walk, from, 1, &bytes, &len);

		if (rc < 0)
			return rc;
		len = (size_t)TK_MIN((int64_t)len, to - from);
		crc = tk_crc32c(crc, bytes, len);
		from += (int64_t)len;
	}
	*ret_crc = crc;
	return 0;
}

/* Whether a header at position could be a batch's, going by itself. */
static int
header_at(struct tk_salvage *walk, int64_t position, int64_t least_offset,
    struct tk_batch_header *ret_header, bool *ret_sound)
{
	const uint8_t *bytes;
	size_t len;
	int rc;

	*ret_sound = false;
	if (walk->size_bytes - position < (int64_t)TK_BATCH_HEADER_BYTES)
		return 0;
	rc = piece_read(walk, position, TK_BATCH_HEADER_BYTES, &bytes, &len);
	if (rc < 0)
		return rc;
	tk_batch_header_read(bytes, ret_header);
	*ret_sound = tk_batch_header_check(ret_header) == 0 &&
		     tk_batch_size(ret_header) <= walk->size_bytes - position &&
		     ret_header->base_offset >= least_offset &&
		     ret_header->base_offset <= INT64_MAX - INT32_MAX - 1 &&
		     (walk->base_offset < 0 ||
			 tk_batch_last_offset(ret_header) - walk->base_offset <= INT32_MAX);
	return 0;
}

/* The same with its checksum. */
static int
batch_at(struct tk_salvage *walk, int64_t position, int64_t least_offset,
    struct tk_salvage_step *step, bool *ret_sound, bool *ret_good)
{
	int rc;

	*ret_good = false;
	rc = header_at(walk, position, least_offset, &step->header, ret_sound);
	if (rc < 0 || !*ret_sound)
		return rc;
	step->position = position;
	step->bytes = tk_batch_size(&step->header);
	rc = crc_of(walk, position + TK_BATCH_CRC_FROM, position + step->bytes, &step->crc);
	*ret_good = rc == 0 && step->crc == step->header.crc;
	return rc;
}

/* Where a byte of 2 stands that could be a magic: the next place at or behind position. */
static int
next_candidate(struct tk_salvage *walk, int64_t position, int64_t *ret_position)
{
	while (walk->size_bytes - position >= (int64_t)TK_BATCH_HEADER_BYTES) {
		const uint8_t *bytes;
		size_t len;
		int rc = piece_read(walk, position, TK_BATCH_HEADER_BYTES, &bytes, &len);

		if (rc < 0)
			return rc;
		for (size_t i = 0; i + TK_BATCH_HEADER_BYTES <= len; i++, position++)
			if (bytes[i + MAGIC_AT] == 2) {
				*ret_position = position;
				return 0;
			}
	}
	*ret_position = walk->size_bytes;
	return 0;
}

/* The first good batch behind the walk's position; the file's end if there is none. */
static int
search(struct tk_salvage *walk, int64_t *ret_position)
{
	int64_t position = walk->position;

	for (;;) {
		struct tk_salvage_step step;
		bool sound, good;
		int rc = next_candidate(walk, position + 1, &position);

		if (rc < 0)
			return rc;
		if (position >= walk->size_bytes ||
		    walk->effort / TK_SALVAGE_EFFORT > walk->size_bytes)
			break;
		rc = batch_at(walk, position, walk->next_offset, &step, &sound, &good);
		if (rc < 0)
			return rc;
		if (good) {
			*ret_position = position;
			return 0;
		}
		walk->effort += sound ? step.bytes : 0;
	}
	*ret_position = walk->size_bytes;
	return 0;
}

/* Whether a good batch follows that begins before this one ends. */
static int
denied(struct tk_salvage *walk, const struct tk_salvage_step *step, bool *ret_denied)
{
	int64_t behind = step->position + step->bytes;
	struct tk_salvage_step next;
	bool sound, good = false;
	int rc;

	*ret_denied = false;
	rc = header_at(walk, behind, walk->next_offset, &next.header, &sound);
	if (rc < 0 || !sound || next.header.base_offset > tk_batch_last_offset(&step->header))
		return rc;
	rc = batch_at(walk, behind, walk->next_offset, &next, &sound, &good);
	*ret_denied = good;
	return rc;
}

/* Whether the walk can go on behind a batch with a bad checksum: its length is believed then. */
static int
goes_on(struct tk_salvage *walk, const struct tk_salvage_step *step, bool *ret_goes_on)
{
	int64_t behind = step->position + step->bytes;
	struct tk_batch_header header;

	*ret_goes_on = true;
	if (behind == walk->size_bytes)
		return 0;
	return header_at(
	    walk, behind, tk_batch_last_offset(&step->header) + 1, &header, ret_goes_on);
}

static int
classify(struct tk_salvage *walk, struct tk_salvage_step *step, bool *ret_batch)
{
	bool good, yes;
	int rc;

	rc = batch_at(walk, walk->position, walk->next_offset, step, ret_batch, &good);
	if (rc < 0 || !*ret_batch)
		return rc;
	if (good) {
		rc = denied(walk, step, &yes);
		step->kind = yes ? TK_SALVAGE_BAD_OFFSET : TK_SALVAGE_GOOD;
	} else {
		rc = goes_on(walk, step, ret_batch);
		step->kind = TK_SALVAGE_BAD_CHECKSUM;
	}
	return rc;
}

int
tk_salvage_next(struct tk_salvage *walk, struct tk_salvage_step *ret_step)
{
	struct tk_salvage_step step = { .kind = TK_SALVAGE_END, .position = walk->position };
	int64_t next;
	bool batch;
	int rc;

	if (walk->position >= walk->size_bytes) {
		*ret_step = step;
		return 0;
	}
	rc = classify(walk, &step, &batch);
	if (rc < 0)
		return rc;
	if (!batch) {
		rc = search(walk, &next);
		if (rc < 0)
			return rc;
		step = (struct tk_salvage_step){ .position = walk->position };
		step.kind = next < walk->size_bytes ? TK_SALVAGE_NO_BATCH : TK_SALVAGE_TORN;
		step.bytes = next - walk->position;
	} else if (step.kind != TK_SALVAGE_BAD_OFFSET) {
		walk->next_offset = tk_batch_last_offset(&step.header) + 1;
	}
	walk->position += step.bytes;
	*ret_step = step;
	return 0;
}
