/*
 * The journal's file, read from where the view is to the published end.  Any process, one thread,
 * O_RDONLY.  pread, synchronously: what is read was written a moment ago, or at start is read once.
 *
 * The published state alone says how far the active segment counts.  A segment that is not the
 * active one any more ends with its file, or where zeros of its preallocation begin; the next one's
 * name is the next offset.  Whatever else stands there is -EBADMSG.
 *
 * When the list of segments changed (a roll, but also a file cut or cleaned and swapped in), the
 * last batch taken is compared with the file of that name; if it is another one, the view begins
 * again.  So does it when the end went back or the incarnation is another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "log/batch.h"
#include "meta/meta_private.h"
#include "os/file.h"

#define READ_BYTES ((size_t)64 << 10)

int
tk_journal_open(struct tk_journal *journal, const char *directory)
{
	*journal = (struct tk_journal){ .dir_fd = -1, .fd = -1, .offset = -1, .last_position = -1 };
	return tk_file_open(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0, &journal->dir_fd);
}

void
tk_journal_close(struct tk_journal *journal)
{
	tk_file_close(&journal->fd);
	tk_file_close(&journal->dir_fd);
	free(journal->buffer);
	journal->buffer = NULL;
}

static int
segment_open(struct tk_journal *journal, int64_t segment, int *ret_fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), TK_META_TOPIC "-0/%020lld.log", (long long)segment);
	return tk_file_open(journal->dir_fd, path, O_RDONLY, 0, ret_fd);
}

static int
segment_enter(struct tk_journal *journal, int64_t segment)
{
	int fd, rc = segment_open(journal, segment, &fd);

	if (rc < 0)
		return rc;
	tk_file_close(&journal->fd);
	journal->fd = fd;
	if (segment != journal->segment)
		journal->position = 0;
	journal->segment = segment;
	journal->len = 0;
	return 0;
}

static void
journal_restart(struct tk_journal *journal, const struct tk_part_state *state)
{
	tk_file_close(&journal->fd);
	journal->incarnation = state->incarnation;
	journal->offset = journal->segment = state->log_start;
	journal->position = 0;
	journal->last_position = -1;
	journal->len = 0;
}

/* Whether the file still has the batch that was taken last; the file is opened anew for it. */
static bool
last_is_there(struct tk_journal *journal)
{
	uint8_t bytes[TK_BATCH_HEADER_BYTES];
	struct tk_batch_header header;

	tk_file_close(&journal->fd);
	if (journal->last_position < 0)
		return true;
	if (segment_enter(journal, journal->segment) < 0)
		return false;
	if (tk_file_pread_full(journal->fd, bytes, sizeof(bytes), journal->last_position) < 0)
		return false;
	tk_batch_header_read(bytes, &header);
	return header.crc == journal->last_crc &&
	       tk_batch_last_offset(&header) == journal->offset - 1;
}

int
tk_journal_begin(struct tk_journal *journal, const struct tk_part_state *state, bool *ret_restart)
{
	bool same = journal->offset >= 0 && journal->incarnation == state->incarnation &&
		    state->log_end.offset >= journal->offset && state->log_start <= journal->offset;

	if (state->log_start < 0 || state->log_end.offset < state->log_start ||
	    state->log_end.segment < 0 || state->log_end.position < 0)
		return -EBADMSG;
	if (same && journal->generation != state->segments_generation)
		same = last_is_there(journal);
	journal->generation = state->segments_generation;
	journal->len = 0; /* what was read beyond the end then may be other bytes now */
	*ret_restart = !same;
	if (!same)
		journal_restart(journal, state);
	return 0;
}

/* Has `need` bytes of the segment from position on in the buffer, or as many as there are. */
static int
journal_fill(struct tk_journal *journal, size_t need, int64_t limit, size_t *ret_there)
{
	int64_t end = journal->buffer_at + (int64_t)journal->len;
	size_t want = TK_MAX(need, READ_BYTES);
	int rc;

	if (journal->len > 0 && journal->position >= journal->buffer_at &&
	    journal->position + (int64_t)need <= end) {
		*ret_there = (size_t)(end - journal->position);
		return 0;
	}
	want = (size_t)TK_MIN((int64_t)want, TK_MAX(limit - journal->position, 0));
	if (want > journal->room || journal->room > TK_MAX(want, READ_BYTES)) {
		uint8_t *buffer = realloc(journal->buffer, TK_MAX(want, READ_BYTES));

		if (buffer == NULL)
			return -ENOMEM;
		journal->buffer = buffer;
		journal->room = TK_MAX(want, READ_BYTES);
	}
	journal->len = 0;
	rc = tk_file_pread(journal->fd, journal->buffer, want, journal->position, &journal->len);
	if (rc < 0)
		return rc;
	journal->buffer_at = journal->position;
	*ret_there = journal->len;
	return 0;
}

static const uint8_t *
journal_at(const struct tk_journal *journal)
{
	return journal->buffer + (journal->position - journal->buffer_at);
}

static bool
batch_is_sound(const uint8_t *batch, size_t len)
{
	struct tk_batch_header header;

	tk_batch_header_read(batch, &header);
	return tk_crc32c(0, batch + TK_BATCH_CRC_FROM, len - TK_BATCH_CRC_FROM) == header.crc;
}

/* The batch at position: its length, 0 if none begins there, or -errno. */
static int
journal_batch(struct tk_journal *journal, int64_t limit, size_t *ret_len)
{
	struct tk_batch_header header;
	size_t there = 0;
	int rc = journal_fill(journal, TK_BATCH_HEADER_BYTES, limit, &there);

	*ret_len = 0;
	if (rc < 0 || there < TK_BATCH_HEADER_BYTES)
		return rc;
	tk_batch_header_read(journal_at(journal), &header);
	if (tk_batch_header_check(&header) < 0 || header.base_offset != journal->offset ||
	    tk_batch_size(&header) > (int64_t)TK_META_BATCH_MAX)
		return 0;
	rc = journal_fill(journal, (size_t)tk_batch_size(&header), limit, &there);
	if (rc < 0 || there < (size_t)tk_batch_size(&header))
		return rc;
	if (!batch_is_sound(journal_at(journal), (size_t)tk_batch_size(&header)))
		return -EBADMSG;
	*ret_len = (size_t)tk_batch_size(&header);
	return 0;
}

int
tk_journal_next(struct tk_journal *journal, const struct tk_part_state *state,
    const uint8_t **ret_batch, size_t *ret_len)
{
	while (journal->offset < state->log_end.offset) {
		bool active = journal->segment == state->log_end.segment;
		int64_t limit = active ? state->log_end.position : INT64_MAX;
		size_t len = 0;
		int rc = 0;

		if (journal->fd < 0)
			rc = segment_enter(journal, journal->segment);
		if (rc == 0)
			rc = journal_batch(journal, limit, &len);
		if (rc < 0)
			return rc == -ENOENT ? -EBADMSG : rc;
		if (len > 0) {
			*ret_batch = journal_at(journal);
			*ret_len = len;
			return 0;
		}
		if (active || journal->offset <= journal->segment)
			return -EBADMSG;
		rc = segment_enter(journal, journal->offset);
		if (rc < 0)
			return rc == -ENOENT ? -EBADMSG : rc;
	}
	return journal->offset == state->log_end.offset ? -ENOENT : -EBADMSG;
}

void
tk_journal_taken(struct tk_journal *journal, const uint8_t *batch, size_t len)
{
	struct tk_batch_header header;

	tk_batch_header_read(batch, &header);
	journal->last_position = journal->position;
	journal->last_crc = header.crc;
	journal->offset = tk_batch_last_offset(&header) + 1;
	journal->position += (int64_t)len;
}
