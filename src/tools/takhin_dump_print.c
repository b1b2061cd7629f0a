/*
 * A segment in lines of text: a line a stretch, and one a record if asked.  takhin-dump.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log/segment.h"
#include "os/file.h"
#include "tools/takhin_dump.h"

static const char *const codec_names[8] = { "none", "gzip", "snappy", "lz4", "zstd", "codec 5",
	"codec 6", "codec 7" };

static void
print_batch(struct dump *dump, const struct tk_salvage_step *step)
{
	const struct tk_batch_header *header = &step->header;
	int attributes = header->attributes;

	(void)fprintf(dump->out,
	    "position %" PRId64 ": offsets %" PRId64 " to %" PRId64 ", %" PRId32
	    " records, %" PRId64 " bytes, %s, %s %" PRId64 " to %" PRId64 ", epoch %" PRId32,
	    step->position, header->base_offset, tk_batch_last_offset(header),
	    header->records_count, step->bytes, codec_names[attributes & TK_BATCH_CODEC_MASK],
	    (attributes & TK_BATCH_LOG_APPEND) != 0 ? "LogAppendTime" : "CreateTime",
	    header->base_timestamp, header->max_timestamp, header->leader_epoch);
	if (header->producer_id >= 0)
		(void)fprintf(dump->out, ", producer %" PRId64 " epoch %d sequence %" PRId32,
		    header->producer_id, header->producer_epoch, header->base_sequence);
	if ((attributes & TK_BATCH_TRANSACTIONAL) != 0)
		(void)fputs(", transactional", dump->out);
	if ((attributes & TK_BATCH_CONTROL) != 0)
		(void)fputs(", control", dump->out);
	(void)fprintf(dump->out, ", crc %08" PRIx32 "\n", header->crc);
}

static void
print_headers(struct dump *dump, const struct tk_record *record)
{
	const uint8_t *at = record->headers.data;
	const uint8_t *end = at + record->headers.len;

	for (int32_t i = 0; i < record->headers_count && at != NULL; i++) {
		struct tk_bytes key, value;

		at = tk_record_bytes_get(at, end, false, &key);
		if (at != NULL)
			at = tk_record_bytes_get(at, end, true, &value);
		if (at == NULL)
			break;
		(void)fputs(", header ", dump->out);
		dump_text(dump->out, key.data, key.len);
		(void)fputs(" = ", dump->out);
		dump_text(dump->out, value.data, value.len);
	}
}

static void
print_record(struct dump *dump, const struct tk_batch_header *header, bool journal,
    const struct tk_record *record)
{
	/* Sums of what the file says: unsigned, since it may say anything. */
	int64_t offset = header->base_offset + record->head.offset_delta;
	uint64_t time = (uint64_t)header->base_timestamp + (uint64_t)record->head.timestamp_delta;

	if ((header->attributes & TK_BATCH_LOG_APPEND) != 0)
		time = (uint64_t)header->max_timestamp;
	(void)fprintf(dump->out, "  offset %" PRId64 ", time %" PRId64 ": ", offset, (int64_t)time);
	if (journal) {
		dump_journal_record(dump, record);
	} else {
		(void)fputs("key ", dump->out);
		dump_text(dump->out, record->key.data, record->key.len);
		(void)fputs(", value ", dump->out);
		dump_text(dump->out, record->value.data, record->value.len);
		print_headers(dump, record);
	}
	(void)fputc('\n', dump->out);
}

static int
print_records(struct dump *dump, const char *path, int fd, const struct tk_salvage_step *step)
{
	bool journal = strstr(path, "__metadata-0/") != NULL &&
		       (step->header.attributes & TK_BATCH_CONTROL) == 0;
	struct dump_records records;
	struct tk_record record;
	int rc = dump_records_begin(&records, fd, step);

	if (rc == 0)
		while ((rc = dump_records_next(&records, &record)) > 0)
			print_record(dump, &step->header, journal, &record);
	dump_records_end(&records);
	if (rc == -EBADMSG || rc == -EINVAL || rc == -E2BIG) {
		dump_find(dump, path,
		    "the records of the batch at position %" PRId64 " are not sound",
		    step->position);
		rc = 0;
	}
	return rc;
}

static int
print_step(struct dump *dump, const char *path, int fd, const struct tk_salvage_step *step)
{
	switch (step->kind) {
	case TK_SALVAGE_GOOD:
		print_batch(dump, step);
		return dump->records ? print_records(dump, path, fd, step) : 0;
	case TK_SALVAGE_BAD_CHECKSUM:
		print_batch(dump, step);
		dump_find(dump, path,
		    "the batch at position %" PRId64 " has checksum %08" PRIx32 ", not %08" PRIx32,
		    step->position, step->crc, step->header.crc);
		return 0;
	case TK_SALVAGE_BAD_OFFSET:
		print_batch(dump, step);
		dump_find(dump, path,
		    "the batch at position %" PRId64 " ends at or behind the next one's offset",
		    step->position);
		return 0;
	default:
		dump_find(dump, path, "%" PRId64 " bytes at position %" PRId64 " are no batch%s",
		    step->bytes, step->position,
		    step->kind == TK_SALVAGE_TORN ? ", and none follows" : "");
		return 0;
	}
}

int
dump_print_segment(struct dump *dump, const char *path)
{
	struct tk_salvage walk;
	struct tk_file_info info;
	int fd, rc;

	rc = tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(fd, &info);
	if (rc == 0)
		rc = tk_salvage_begin(&walk, fd, info.size_bytes, -1, 0);
	while (rc == 0) {
		struct tk_salvage_step step;

		rc = tk_salvage_next(&walk, &step);
		if (rc < 0 || step.kind == TK_SALVAGE_END) {
			tk_salvage_end(&walk);
			break;
		}
		rc = print_step(dump, path, fd, &step);
		if (rc < 0)
			tk_salvage_end(&walk);
	}
	tk_file_close(&fd);
	return rc;
}
