/*
 * Reading a segment batch by batch.  Cleaner process, one thread.
 *
 * The segment must be the file that the writer's list names.  A batch's length counts only within
 * the file; memory is a piece of the file, or one batch if that is larger and not too large.
 */
#include <stdlib.h>

#include "cleaner/compact_private.h"
#include "os/file.h"

#define PIECE_BYTES ((size_t)256 << 10)

int
compact_input_open(struct compact_input *input, const struct tk_compact *compact,
    const struct tk_segment_info *info)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info found;
	int rc;

	tk_assert(input->fd < 0);
	tk_segment_path(path, compact->name, info->base_offset, ".log");
	rc = tk_file_open(compact->dir_fd, path, O_RDONLY, 0, &input->fd);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	rc = tk_file_stat_fd(input->fd, &found);
	if (rc == 0 && (found.inode != info->log_inode || found.size_bytes < info->size_bytes))
		rc = -ESTALE;
	if (rc < 0) {
		tk_file_close(&input->fd);
		return rc;
	}
	input->at = 0;
	input->end = info->size_bytes;
	input->piece_len = 0;
	input->mtime_ns = found.mtime_ns;
	return 0;
}

void
compact_input_close(struct compact_input *input)
{
	tk_file_close(&input->fd);
}

void
compact_input_free(struct compact_input *input)
{
	compact_input_close(input);
	free(input->piece);
	input->piece = NULL;
}

/* Sees to it that len bytes from where the input is are in the piece. */
static int
input_have(struct compact_input *input, size_t len)
{
	int64_t offset = input->at - input->piece_at;
	size_t wanted = TK_MAX(len, PIECE_BYTES);
	uint8_t *grown;
	int rc;

	if (input->piece_len > 0 && offset >= 0 &&
	    (uint64_t)offset + len <= (uint64_t)input->piece_len)
		return 0;
	if (wanted > input->piece_room) {
		grown = realloc(input->piece, wanted);
		if (grown == NULL)
			return -ENOMEM;
		input->piece = grown;
		input->piece_room = wanted;
	}
	input->piece_len = 0;
	input->piece_at = input->at;
	wanted = (size_t)TK_MIN((int64_t)wanted, input->end - input->at);
	rc = tk_file_pread_full(input->fd, input->piece, wanted, input->at);
	if (rc < 0)
		return rc == -ENODATA ? -ESTALE : rc;
	input->piece_len = wanted;
	return 0;
}

int
compact_input_next(struct compact_input *input, size_t batch_max, struct compact_batch *ret_batch)
{
	struct compact_batch batch = { .position = input->at };
	int rc;

	if (input->at == input->end)
		return 0;
	if (input->end - input->at < (int64_t)TK_BATCH_HEADER_BYTES)
		return -EBADMSG;
	rc = input_have(input, TK_BATCH_HEADER_BYTES);
	if (rc < 0)
		return rc;
	tk_batch_header_read(input->piece + (input->at - input->piece_at), &batch.header);
	batch.size = tk_batch_size(&batch.header);
	if (tk_batch_header_check(&batch.header) < 0 || batch.size > input->end - input->at)
		return -EBADMSG;
	if ((uint64_t)batch.size <= batch_max) {
		rc = input_have(input, (size_t)batch.size);
		if (rc < 0)
			return rc;
		batch.bytes = input->piece + (input->at - input->piece_at);
	}
	input->at += batch.size;
	*ret_batch = batch;
	return 1;
}
