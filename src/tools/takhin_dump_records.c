/*
 * The records of a batch as they come out of its file, decompressed as a stream.  takhin-dump.
 *
 * Memory grows with what has really come, up to DUMP_RECORD_MAX for one record.
 */
#include <stdlib.h>
#include <string.h>

#include "os/file.h"
#include "tools/takhin_dump.h"

#define READ_BYTES ((size_t)64 << 10)

static ssize_t
pull(void *context, void *buf, size_t room)
{
	struct dump_records *records = context;
	size_t len = (size_t)TK_MIN((int64_t)room, records->end - records->at);
	int rc = tk_file_pread_full(records->fd, buf, len, records->at);

	if (rc < 0)
		return rc;
	records->at += (int64_t)len;
	return (ssize_t)len;
}

int
dump_records_begin(struct dump_records *records, int fd, const struct tk_salvage_step *step)
{
	struct tk_codec_source source = { .pull = pull,
		.context = records,
		.left = (uint64_t)(step->bytes - TK_BATCH_HEADER_BYTES) };
	int codec = step->header.attributes & TK_BATCH_CODEC_MASK;

	*records = (struct dump_records){ .fd = fd,
		.at = step->position + TK_BATCH_HEADER_BYTES,
		.end = step->position + step->bytes };
	return tk_inflate_new((enum tk_codec)codec, &source, DUMP_INFLATE_MAX, &records->inflate);
}

void
dump_records_end(struct dump_records *records)
{
	tk_inflate_free(&records->inflate);
	free(records->buffer);
	records->buffer = NULL;
}

static int
make_room(struct dump_records *records)
{
	size_t room = TK_MAX(records->room * 2, READ_BYTES);
	uint8_t *buffer;

	if (records->from > 0) {
		memmove(
		    records->buffer, records->buffer + records->from, records->to - records->from);
		records->to -= records->from;
		records->from = 0;
	}
	if (records->room - records->to >= READ_BYTES / 2)
		return 0;
	buffer = realloc(records->buffer, room);
	if (buffer == NULL)
		return -ENOMEM;
	records->buffer = buffer;
	records->room = room;
	return 0;
}

/* Has want bytes in the buffer, or all there still are. */
static int
fill(struct dump_records *records, size_t want)
{
	while (!records->ended && records->to - records->from < want) {
		ssize_t n;
		int rc = make_room(records);

		if (rc < 0)
			return rc;
		n = tk_codec_read(
		    records->inflate, records->buffer + records->to, records->room - records->to);
		if (n < 0)
			return (int)n;
		records->ended = n == 0;
		records->to += (size_t)n;
	}
	return 0;
}

int
dump_records_next(struct dump_records *records, struct tk_record *ret_record)
{
	const uint8_t *at, *behind;
	int32_t body = 0;
	size_t size;
	int rc = fill(records, TK_RECORD_HEAD_MAX);

	if (rc < 0)
		return rc;
	if (records->from == records->to)
		return 0;
	at = records->buffer + records->from;
	behind = tk_varint_get(at, records->buffer + records->to, &body);
	if (behind == NULL || body < 0 || (size_t)body > DUMP_RECORD_MAX)
		return -EBADMSG;
	size = (size_t)(behind - at) + (size_t)body;
	rc = fill(records, size);
	if (rc < 0)
		return rc;
	if (records->to - records->from < size)
		return -EBADMSG;
	at = records->buffer + records->from;
	if (tk_record_parse(at, at + size, ret_record) == NULL)
		return -EBADMSG;
	records->from += size;
	return 1;
}

void
dump_text(FILE *out, const uint8_t *data, size_t len)
{
	if (data == NULL) {
		(void)fputs("null", out);
		return;
	}
	(void)fputc('"', out);
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '"' || data[i] == '\\')
			(void)fprintf(out, "\\%c", data[i]);
		else if (data[i] >= ' ' && data[i] < 0x7f)
			(void)fputc(data[i], out);
		else
			(void)fprintf(out, "\\x%02x", data[i]);
	}
	(void)fputc('"', out);
}
