/*
 * Writing a cleaned segment: log, indexes, transaction index.  Cleaner process, one thread.
 *
 * Whole batches that follow each other in a source are copied together and late, when something
 * else comes or their file is about to be closed.  All files are on the disk before they are told
 * to the writer: what they replace may be gone a minute later.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/killpoint.h"
#include "cleaner/compact_private.h"
#include "os/file.h"

#define COPY_MAX ((int64_t)8 << 20)

static void
output_path(const struct tk_compact *compact, const char *suffix, char path[TK_SEGMENT_PATH_MAX])
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s%s", suffix, compact->tail);
	tk_segment_path(path, compact->name, compact->output.base_offset, name);
}

static int
output_create(const struct tk_compact *compact, const char *suffix, int *ret_fd)
{
	char path[TK_SEGMENT_PATH_MAX];

	output_path(compact, suffix, path);
	return tk_file_open(compact->dir_fd, path, O_RDWR | O_CREAT | O_EXCL, 0640, ret_fd);
}

int
compact_output_open(struct tk_compact *compact, int64_t base_offset)
{
	struct compact_output *output = &compact->output;
	int rc;

	tk_assert(!output->open);
	*output = (struct compact_output){ .open = true,
		.base_offset = base_offset,
		.log_fd = -1,
		.txn_fd = -1,
		.index = TK_INDEX_CLOSED,
		.run = calloc(1, sizeof(*output->run)),
		.copy_fd = -1 };
	if (output->run == NULL)
		return -ENOMEM;
	rc = output_create(compact, ".log", &output->log_fd);
	if (rc == 0)
		rc = tk_index_create(
		    compact->dir_fd, compact->name, base_offset, compact->tail, &output->index);
	tk_killpoint("compact_opened");
	return rc;
}

int
compact_output_copy(struct tk_compact *compact)
{
	struct compact_output *output = &compact->output;
	int rc;

	if (output->copy_bytes == 0)
		return 0;
	rc = tk_file_copy(output->copy_fd, output->copy_from, output->log_fd,
	    output->position - output->copy_bytes, output->copy_bytes);
	output->copy_bytes = 0;
	output->copy_fd = -1;
	tk_killpoint("compact_copied");
	return rc;
}

static int
output_index(struct tk_compact *compact, const struct tk_batch_header *header, int64_t size)
{
	struct compact_output *output = &compact->output;

	if (output->position > INT32_MAX - size)
		return -EFBIG;
	tk_index_add(&output->index, output->run, compact->rules.index_interval_bytes, header,
	    output->position);
	output->position += size;
	if (output->run->offset_count == TK_INDEX_RUN_MAX)
		return tk_index_flush(&output->index, output->run);
	return 0;
}

int
compact_output_keep(struct tk_compact *compact, const struct compact_batch *batch)
{
	struct compact_output *output = &compact->output;
	int rc = 0;

	if (output->copy_fd != compact->input.fd || output->copy_bytes >= COPY_MAX ||
	    output->copy_from + output->copy_bytes != batch->position)
		rc = compact_output_copy(compact);
	if (rc < 0)
		return rc;
	if (output->copy_bytes == 0) {
		output->copy_fd = compact->input.fd;
		output->copy_from = batch->position;
	}
	rc = output_index(compact, &batch->header, batch->size);
	if (rc == 0)
		output->copy_bytes += batch->size;
	return rc;
}

int
compact_output_built(struct tk_compact *compact)
{
	struct compact_output *output = &compact->output;
	struct tk_batch_header header;
	int rc = compact_output_copy(compact);

	if (rc == 0)
		rc = tk_file_pwrite(
		    output->log_fd, compact->built, compact->built_len, output->position);
	if (rc < 0)
		return rc;
	tk_batch_header_read(compact->built, &header);
	return output_index(compact, &header, (int64_t)compact->built_len);
}

int
compact_output_txnindex(struct tk_compact *compact, const struct tk_segment_info *info)
{
	struct compact_output *output = &compact->output;
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info found = { 0 };
	int fd, rc;

	tk_segment_path(path, compact->name, info->base_offset, ".txnindex");
	rc = tk_file_open(compact->dir_fd, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = tk_file_stat_fd(fd, &found);
	if (rc == 0 && found.size_bytes > 0 && output->txn_fd < 0)
		rc = output_create(compact, ".txnindex", &output->txn_fd);
	if (rc == 0 && found.size_bytes > 0)
		rc = tk_file_copy(fd, 0, output->txn_fd, output->txn_position, found.size_bytes);
	output->txn_position += found.size_bytes;
	tk_file_close(&fd);
	return rc;
}

int
compact_output_finish(struct tk_compact *compact)
{
	struct compact_output *output = &compact->output;
	int rc = compact_output_copy(compact);

	if (rc == 0)
		rc = tk_index_flush(&output->index, output->run);
	if (rc == 0)
		rc = tk_index_seal(&output->index);
	if (rc == 0)
		rc = tk_file_set_mtime(output->log_fd, output->mtime_ns);
	if (rc == 0)
		rc = tk_file_sync(output->log_fd);
	if (rc == 0)
		rc = tk_file_sync(output->index.offset_fd);
	if (rc == 0)
		rc = tk_file_sync(output->index.time_fd);
	if (rc == 0 && output->txn_fd >= 0)
		rc = tk_file_sync(output->txn_fd);
	tk_killpoint("compact_synced");
	return rc;
}

void
compact_output_close(struct tk_compact *compact, bool remove)
{
	static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex" };
	struct compact_output *output = &compact->output;
	char path[TK_SEGMENT_PATH_MAX];
	int rc;

	if (!output->open)
		return;
	tk_file_close(&output->log_fd);
	tk_file_close(&output->txn_fd);
	tk_index_close(&output->index);
	free(output->run);
	output->run = NULL;
	output->open = false;
	for (size_t i = 0; i < TK_COUNT_OF(suffixes) && remove; i++) {
		output_path(compact, suffixes[i], path);
		rc = tk_file_unlink(compact->dir_fd, path);
		(void)rc; /* the next job, or the next writer, finds it */
	}
}
