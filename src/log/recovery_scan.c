/*
 * Reading a segment batch by batch with checksums.  Recovery's threads, each on its own file.
 *
 * A batch whose header is sound but whose checksum is not may be the torn last write or damage.  It
 * is damage if a batch with a good checksum follows where its length says; until that is known the
 * walk goes on over further such batches.  Memory: one piece of 1 MiB.
 */
#include "log/recovery_scan.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "os/file.h"

#define PIECE_BYTES ((size_t)1024 * 1024)

struct piece {
	uint8_t *bytes;
	int64_t at;
	size_t len;
};

/* Makes bytes of the file at position available: as many as the piece holds, at least one. */
static int
piece_at(const struct tk_recovery_scan *scan, struct piece *piece, int64_t position, size_t want,
    const uint8_t **ret_bytes, size_t *ret_len)
{
	int rc;

	if (position < piece->at || position + (int64_t)want > piece->at + (int64_t)piece->len) {
		size_t len = (size_t)TK_MIN((int64_t)PIECE_BYTES, scan->size_bytes - position);

		piece->len = 0;
		rc = tk_file_pread_full(scan->fd, piece->bytes, len, position);
		if (rc < 0)
			return rc;
		piece->at = position;
		piece->len = len;
		scan->have_read(scan->arg, (int64_t)len);
	}
	*ret_bytes = piece->bytes + (position - piece->at);
	*ret_len = piece->len - (size_t)(position - piece->at);
	return 0;
}

static int
batch_crc(const struct tk_recovery_scan *scan, struct piece *piece, int64_t from, int64_t to,
    uint32_t *ret_crc)
{
	uint32_t crc = 0;

	while (from < to) {
		const uint8_t *bytes;
		size_t len;
		int rc = piece_at(scan, piece, from, 1, &bytes, &len);

		if (rc < 0)
			return rc;
		len = (size_t)TK_MIN((int64_t)len, to - from);
		crc = tk_crc32c(crc, bytes, len);
		from += (int64_t)len;
	}
	*ret_crc = crc;
	return 0;
}

/* True with the header of a batch that could be one, going by its header alone. */
static int
sound_header(const struct tk_recovery_scan *scan, struct piece *piece, int64_t position,
    int64_t least_offset, struct tk_batch_header *ret_header, bool *ret_sound)
{
	const uint8_t *bytes;
	size_t len;
	int rc;

	*ret_sound = false;
	if (scan->size_bytes - position < (int64_t)TK_BATCH_HEADER_BYTES)
		return 0;
	rc = piece_at(scan, piece, position, TK_BATCH_HEADER_BYTES, &bytes, &len);
	if (rc < 0)
		return rc;
	tk_batch_header_read(bytes, ret_header);
	*ret_sound = tk_batch_header_check(ret_header) == 0 &&
		     tk_batch_size(ret_header) <= scan->size_bytes - position &&
		     ret_header->base_offset >= least_offset &&
		     tk_batch_last_offset(ret_header) - scan->index->base_offset <= INT32_MAX;
	return 0;
}

/* A batch with a good checksum: all before it counts, damaged or not. */
static int
accept(struct tk_recovery_scan *scan, struct tk_index_run *run,
    const struct tk_recovery_damage *damage, const struct tk_batch_header *header, int64_t position)
{
	if (damage->bytes > 0) {
		scan->damaged(scan->arg, damage);
		scan->index->bytes_since += damage->bytes;
	}
	tk_index_add(scan->index, run, scan->interval_bytes, header, position);
	scan->leader_epoch = TK_MAX(scan->leader_epoch, header->leader_epoch);
	scan->next_offset = tk_batch_last_offset(header) + 1;
	scan->end_position = position + tk_batch_size(header);
	return run->offset_count == TK_INDEX_RUN_MAX ? tk_index_flush(scan->index, run) : 0;
}

static int
scan_batches(struct tk_recovery_scan *scan, struct piece *piece, struct tk_index_run *run)
{
	struct tk_recovery_damage damage = { 0 };
	int64_t position = 0, least_offset = scan->next_offset;

	for (;;) {
		struct tk_batch_header header;
		uint32_t crc;
		bool sound;
		int rc;

		rc = sound_header(scan, piece, position, least_offset, &header, &sound);
		if (rc < 0 || !sound)
			return rc;
		rc = batch_crc(scan, piece, position + TK_BATCH_CRC_FROM,
		    position + tk_batch_size(&header), &crc);
		if (rc < 0)
			return rc;
		if (crc == header.crc) {
			rc = accept(scan, run, &damage, &header, position);
			if (rc < 0)
				return rc;
			damage.bytes = 0;
		} else if (header.base_offset >= scan->strict_from) {
			return 0;
		} else {
			if (damage.bytes == 0) {
				damage.position = position;
				damage.first_offset = header.base_offset;
			}
			damage.bytes += tk_batch_size(&header);
			damage.last_offset = tk_batch_last_offset(&header);
		}
		least_offset = tk_batch_last_offset(&header) + 1;
		position += tk_batch_size(&header);
	}
}

int
tk_recovery_scan(struct tk_recovery_scan *scan)
{
	struct piece piece = { .bytes = malloc(PIECE_BYTES) };
	struct tk_index_run *run = calloc(1, sizeof(*run));
	int rc = -ENOMEM;

	scan->end_position = 0;
	scan->leader_epoch = -1;
	if (piece.bytes != NULL && run != NULL)
		rc = scan_batches(scan, &piece, run);
	if (rc == 0)
		rc = tk_index_flush(scan->index, run);
	free(piece.bytes);
	free(run);
	return rc;
}
