/*
 * Offset and time index, as they are written.  Writer process; see index.h.
 */
#include "log/index.h"

#include <stdio.h>

#include "base/endian.h"
#include "log/segment.h"
#include "os/file.h"

static int
index_file_open(int dir_fd, const char *log_name, int64_t base_offset, const char *suffix,
    int64_t entry_bytes, int *ret_fd, int64_t *ret_count)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;
	int fd, rc;

	tk_segment_path(path, log_name, base_offset, suffix);
	rc = tk_file_open(dir_fd, path, O_RDWR | O_CREAT, 0640, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(fd, &info);
	if (rc < 0) {
		tk_file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	*ret_count = info.size_bytes / entry_bytes;
	return 0;
}

/* Drops offset entries at or past the end; says where the last one that stays points. */
static int
cut_offsets(struct tk_index *index, int64_t end_offset, int64_t end_position, int64_t *ret_position)
{
	uint8_t entry[TK_INDEX_ENTRY_BYTES];

	*ret_position = 0;
	for (; index->offset_count > 0; index->offset_count--) {
		int64_t offset, position;
		int rc = tk_file_pread_full(index->offset_fd, entry, sizeof(entry),
		    (index->offset_count - 1) * TK_INDEX_ENTRY_BYTES);

		if (rc < 0)
			return rc;
		offset = index->base_offset + (int32_t)tk_be32_get(entry);
		position = (int32_t)tk_be32_get(entry + 4);
		if (offset >= index->base_offset && offset < end_offset && position > 0 &&
		    position < end_position) {
			*ret_position = position;
			return 0;
		}
	}
	return 0;
}

static int
cut_times(struct tk_index *index, int64_t end_offset)
{
	uint8_t entry[TK_TIME_INDEX_ENTRY_BYTES];

	for (; index->time_count > 0; index->time_count--) {
		int64_t offset, timestamp;
		int rc = tk_file_pread_full(index->time_fd, entry, sizeof(entry),
		    (index->time_count - 1) * TK_TIME_INDEX_ENTRY_BYTES);

		if (rc < 0)
			return rc;
		timestamp = (int64_t)tk_be64_get(entry);
		offset = index->base_offset + (int32_t)tk_be32_get(entry + 8);
		if (timestamp >= 0 && offset >= index->base_offset && offset < end_offset) {
			index->max_timestamp = timestamp;
			index->max_timestamp_offset = offset;
			break;
		}
	}
	index->last_time = index->written_time = index->max_timestamp;
	return 0;
}

int
tk_index_trim(struct tk_index *index)
{
	int rc = tk_file_truncate(index->offset_fd, index->offset_count * TK_INDEX_ENTRY_BYTES);

	if (rc < 0)
		return rc;
	return tk_file_truncate(index->time_fd, index->time_count * TK_TIME_INDEX_ENTRY_BYTES);
}

int
tk_index_open(int dir_fd, const char *log_name, int64_t base_offset, int64_t end_offset,
    int64_t end_position, struct tk_index *ret_index, int64_t *ret_position)
{
	struct tk_index index = TK_INDEX_CLOSED;
	int64_t position = 0;
	int rc;

	index.base_offset = base_offset;
	index.max_timestamp = index.last_time = index.written_time = -1;
	index.max_timestamp_offset = base_offset;
	rc = index_file_open(dir_fd, log_name, base_offset, ".index", TK_INDEX_ENTRY_BYTES,
	    &index.offset_fd, &index.offset_count);
	if (rc == 0)
		rc = index_file_open(dir_fd, log_name, base_offset, ".timeindex",
		    TK_TIME_INDEX_ENTRY_BYTES, &index.time_fd, &index.time_count);
	if (rc == 0)
		rc = cut_offsets(&index, end_offset, end_position, &position);
	if (rc == 0)
		rc = cut_times(&index, end_offset);
	if (rc == 0)
		rc = tk_index_trim(&index);
	if (rc < 0) {
		tk_index_close(&index);
		return rc;
	}
	*ret_index = index;
	*ret_position = position;
	return 0;
}

static int
index_file_create(
    int dir_fd, const char *log_name, int64_t base_offset, const char *tail, int *ret_fd)
{
	char path[TK_SEGMENT_PATH_MAX];

	tk_segment_path(path, log_name, base_offset, tail);
	return tk_file_open(dir_fd, path, O_RDWR | O_CREAT | O_EXCL, 0640, ret_fd);
}

int
tk_index_create(int dir_fd, const char *log_name, int64_t base_offset, const char *tail,
    struct tk_index *ret_index)
{
	struct tk_index index = TK_INDEX_CLOSED;
	char name[64];
	int rc;

	index.base_offset = index.max_timestamp_offset = base_offset;
	index.max_timestamp = index.last_time = index.written_time = -1;
	(void)snprintf(name, sizeof(name), ".index%s", tail);
	rc = index_file_create(dir_fd, log_name, base_offset, name, &index.offset_fd);
	(void)snprintf(name, sizeof(name), ".timeindex%s", tail);
	if (rc == 0)
		rc = index_file_create(dir_fd, log_name, base_offset, name, &index.time_fd);
	if (rc < 0) {
		tk_index_close(&index);
		return rc;
	}
	*ret_index = index;
	return 0;
}

int
tk_index_clear(struct tk_index *index)
{
	index->offset_count = index->time_count = 0;
	index->bytes_since = 0;
	index->max_timestamp = index->last_time = index->written_time = -1;
	index->max_timestamp_offset = index->base_offset;
	return tk_index_trim(index);
}

static void
encode_time(const struct tk_index *index, uint8_t *entry)
{
	tk_be64_put(entry, (uint64_t)index->max_timestamp);
	tk_be32_put(entry + 8, (uint32_t)(index->max_timestamp_offset - index->base_offset));
}

void
tk_index_add(struct tk_index *index, struct tk_index_run *run, int64_t interval_bytes,
    const struct tk_batch_header *header, int64_t position)
{
	int64_t last_offset = tk_batch_last_offset(header);

	if (header->max_timestamp > index->max_timestamp) {
		index->max_timestamp = header->max_timestamp;
		index->max_timestamp_offset = last_offset;
	}
	if (index->bytes_since > interval_bytes) {
		uint8_t *entry = run->offset_bytes + run->offset_count * TK_INDEX_ENTRY_BYTES;

		tk_assert(run->offset_count < TK_INDEX_RUN_MAX);
		tk_be32_put(entry, (uint32_t)(last_offset - index->base_offset));
		tk_be32_put(entry + 4, (uint32_t)position);
		run->offset_count++;
		if (index->max_timestamp > index->last_time) {
			encode_time(
			    index, run->time_bytes + run->time_count * TK_TIME_INDEX_ENTRY_BYTES);
			run->time_count++;
			index->last_time = index->max_timestamp;
		}
		index->bytes_since = 0;
	}
	index->bytes_since += tk_batch_size(header);
}

int
tk_index_flush(struct tk_index *index, struct tk_index_run *run)
{
	unsigned offsets = run->offset_count, times = run->time_count;
	int rc = 0;

	run->offset_count = run->time_count = 0;
	if (times > 0)
		rc = tk_file_pwrite(index->time_fd, run->time_bytes,
		    times * TK_TIME_INDEX_ENTRY_BYTES,
		    index->time_count * TK_TIME_INDEX_ENTRY_BYTES);
	if (rc < 0) {
		index->last_time = index->written_time;
		return rc;
	}
	index->time_count += times;
	index->written_time = index->last_time;
	if (offsets > 0)
		rc = tk_file_pwrite(index->offset_fd, run->offset_bytes,
		    offsets * TK_INDEX_ENTRY_BYTES, index->offset_count * TK_INDEX_ENTRY_BYTES);
	if (rc < 0)
		return rc;
	index->offset_count += offsets;
	return 0;
}

int
tk_index_seal(struct tk_index *index)
{
	uint8_t entry[TK_TIME_INDEX_ENTRY_BYTES];
	int rc;

	if (index->max_timestamp > index->written_time) {
		encode_time(index, entry);
		rc = tk_file_pwrite(index->time_fd, entry, sizeof(entry),
		    index->time_count * TK_TIME_INDEX_ENTRY_BYTES);
		if (rc < 0)
			return rc;
		index->time_count++;
		index->last_time = index->written_time = index->max_timestamp;
	}
	return tk_index_trim(index);
}

bool
tk_index_full(const struct tk_index *index, int64_t limit_bytes)
{
	return index->offset_count >= limit_bytes / TK_INDEX_ENTRY_BYTES ||
	       index->time_count >= limit_bytes / TK_TIME_INDEX_ENTRY_BYTES - 1;
}

void
tk_index_close(struct tk_index *index)
{
	tk_file_close(&index->offset_fd);
	tk_file_close(&index->time_fd);
}

int
tk_index_floor(const struct tk_index *index, int64_t offset, int64_t *ret_position)
{
	int64_t low = 0, high = index->offset_count, position = 0;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		uint8_t entry[TK_INDEX_ENTRY_BYTES];
		int rc = tk_file_pread_full(
		    index->offset_fd, entry, sizeof(entry), middle * TK_INDEX_ENTRY_BYTES);

		if (rc < 0)
			return rc;
		if (index->base_offset + (int32_t)tk_be32_get(entry) <= offset) {
			position = (int32_t)tk_be32_get(entry + 4);
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	*ret_position = position;
	return 0;
}

int64_t
tk_index_last_time(int dir_fd, const char *log_name, int64_t base_offset)
{
	uint8_t entry[TK_TIME_INDEX_ENTRY_BYTES];
	int64_t count = 0, timestamp = -1;
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info info;
	int fd;

	tk_segment_path(path, log_name, base_offset, ".timeindex");
	if (tk_file_open(dir_fd, path, O_RDONLY, 0, &fd) < 0)
		return -1;
	if (tk_file_stat_fd(fd, &info) == 0)
		count = info.size_bytes / TK_TIME_INDEX_ENTRY_BYTES;
	if (count > 0 && tk_file_pread_full(fd, entry, sizeof(entry),
			     (count - 1) * TK_TIME_INDEX_ENTRY_BYTES) == 0)
		timestamp = (int64_t)tk_be64_get(entry);
	tk_file_close(&fd);
	return timestamp;
}
