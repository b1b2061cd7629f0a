/*
 * The small files of a data directory in lines of text, each kind by its name.  takhin-dump.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/uuid.h"
#include "log/checkpoint.h"
#include "log/metaprops.h"
#include "log/producers.h"
#include "log/segment.h"
#include "tools/takhin_dump.h"

#define TXN_ENTRY_BYTES 34

int
dump_entries_open(int dir_fd, const char *path, size_t entry_bytes, struct dump_entries *ret)
{
	struct tk_file_info info;
	int rc;

	*ret = (struct dump_entries){ .fd = -1, .entry_bytes = entry_bytes };
	rc = tk_file_open(dir_fd, path, O_RDONLY, 0, &ret->fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(ret->fd, &info);
	if (rc < 0) {
		tk_file_close(&ret->fd);
		return rc;
	}
	ret->count = info.size_bytes / (int64_t)entry_bytes;
	ret->odd_bytes = info.size_bytes % (int64_t)entry_bytes;
	return 0;
}

void
dump_entries_close(struct dump_entries *entries)
{
	tk_file_close(&entries->fd);
}

int
dump_entries_next(struct dump_entries *entries, const uint8_t **ret_entry)
{
	size_t whole = sizeof(entries->block) / entries->entry_bytes;

	if (entries->next == entries->count)
		return 0;
	if (entries->used == entries->have) {
		size_t n = (size_t)TK_MIN((int64_t)whole, entries->count - entries->next);
		int rc = tk_file_pread_full(entries->fd, entries->block, n * entries->entry_bytes,
		    entries->next * (int64_t)entries->entry_bytes);

		if (rc < 0)
			return rc;
		entries->have = n * entries->entry_bytes;
		entries->used = 0;
	}
	*ret_entry = entries->block + entries->used;
	entries->used += entries->entry_bytes;
	entries->next++;
	return 1;
}

static void
print_offset_entry(FILE *out, int64_t base, const uint8_t *at)
{
	(void)fprintf(out, "offset %" PRId64 " at position %" PRId32 "\n",
	    base + (int32_t)tk_be32_get(at), (int32_t)tk_be32_get(at + 4));
}

static void
print_time_entry(FILE *out, int64_t base, const uint8_t *at)
{
	(void)fprintf(out, "timestamp %" PRId64 " by offset %" PRId64 "\n",
	    (int64_t)tk_be64_get(at), base + (int32_t)tk_be32_get(at + 8));
}

static void
print_txn_entry(FILE *out, int64_t base, const uint8_t *at)
{
	(void)base;
	(void)fprintf(out,
	    "version %d, producer %" PRId64 " aborted offsets %" PRId64 " to %" PRId64
	    ", last stable offset %" PRId64 "\n",
	    (int16_t)tk_be16_get(at), (int64_t)tk_be64_get(at + 2), (int64_t)tk_be64_get(at + 10),
	    (int64_t)tk_be64_get(at + 18), (int64_t)tk_be64_get(at + 26));
}

typedef void print_entry(FILE *out, int64_t base, const uint8_t *at);

static int
print_entries(struct dump *dump, const char *path, size_t entry_bytes, print_entry *print)
{
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
	struct dump_entries entries;
	const uint8_t *at;
	char digits[21];
	int64_t base;
	int rc;

	(void)snprintf(digits, sizeof(digits), "%.20s", name);
	base = strlen(digits) == 20 ? tk_segment_parse(digits, "") : -1;
	base = base < 0 || base > INT64_MAX - INT32_MAX - 1 ? 0 : base;
	rc = dump_entries_open(AT_FDCWD, path, entry_bytes, &entries);
	if (rc < 0)
		return rc;
	while ((rc = dump_entries_next(&entries, &at)) > 0)
		print(dump->out, base, at);
	if (rc == 0 && entries.odd_bytes != 0)
		dump_find(dump, path, "%" PRId64 " bytes are behind the last whole entry",
		    entries.odd_bytes);
	dump_entries_close(&entries);
	return rc;
}

static int
print_index(struct dump *dump, const char *path)
{
	return print_entries(dump, path, 8, print_offset_entry);
}

static int
print_time_index(struct dump *dump, const char *path)
{
	return print_entries(dump, path, 12, print_time_entry);
}

static int
print_txn_index(struct dump *dump, const char *path)
{
	return print_entries(dump, path, TXN_ENTRY_BYTES, print_txn_entry);
}

static void
print_producer(FILE *out, const struct tk_producer *producer)
{
	(void)fprintf(out, "producer %" PRId64 " epoch %d", producer->id, producer->epoch);
	if (producer->count > 0) {
		const struct tk_producer_batch *last = &producer->batches[producer->count - 1];

		(void)fprintf(out,
		    ": last sequence %" PRId32 ", last offset %" PRId64 ", offset delta %" PRId32
		    ", timestamp %" PRId64,
		    last->last_sequence, last->last_offset, last->offset_delta, last->timestamp);
	}
	(void)fprintf(out, ", coordinator epoch %" PRId32 ", transaction from %" PRId64 "\n",
	    producer->coordinator_epoch, producer->txn_first_offset);
}

static int
print_snapshot(struct dump *dump, const char *path)
{
	struct tk_producers producers = { .undo = NULL };
	struct tk_map_node *node = NULL;
	char *data;
	size_t len;
	int rc;

	rc = tk_file_read_all(AT_FDCWD, path, DUMP_SMALL_FILE, &data, &len);
	if (rc < 0)
		return rc;
	rc = tk_producers_decode_snapshot(&producers, (const uint8_t *)data, len);
	free(data);
	if (rc < 0)
		return rc;
	(void)fprintf(dump->out, "%zu producers\n", producers.map.count);
	while ((node = tk_map_next(&producers.map, node)) != NULL)
		print_producer(dump->out, TK_CONTAINER_OF(node, struct tk_producer, node));
	tk_producers_free(&producers);
	return 0;
}

/* The directory of a file, for readers that want it. */
static int
open_parent(const char *path, const char **ret_name, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	char parent[DUMP_PATH_MAX];

	*ret_name = slash == NULL ? path : slash + 1;
	if (slash == NULL)
		return tk_file_open(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0, ret_fd);
	if ((size_t)(slash - path) + 2 > sizeof(parent))
		return -ENAMETOOLONG;
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
	return tk_file_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0, ret_fd);
}

static int
print_checkpoint(struct dump *dump, const char *path)
{
	struct tk_checkpoint checkpoint;
	const char *name;
	int dir_fd, rc;

	rc = open_parent(path, &name, &dir_fd);
	if (rc < 0)
		return rc;
	rc = tk_checkpoint_read(dir_fd, name, &checkpoint);
	tk_file_close(&dir_fd);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < checkpoint.count; i++) {
		dump_text(dump->out, (const uint8_t *)checkpoint.entries[i].name,
		    strlen(checkpoint.entries[i].name));
		(void)fprintf(dump->out, ": offset %" PRId64 "\n", checkpoint.entries[i].offset);
	}
	tk_checkpoint_free(&checkpoint);
	return 0;
}

static int
print_metaprops(struct dump *dump, const char *path)
{
	char id[TK_UUID_TEXT_LEN + 1];
	struct tk_metaprops props;
	const char *name;
	int dir_fd, rc;

	rc = open_parent(path, &name, &dir_fd);
	if (rc < 0)
		return rc;
	rc = tk_metaprops_read(dir_fd, &props);
	tk_file_close(&dir_fd);
	if (rc < 0)
		return rc;
	tk_uuid_format(&props.directory_id, id);
	(void)fprintf(dump->out, "cluster id %s, node id %" PRId32 ", directory id %s\n",
	    props.cluster_id, props.node_id, id);
	return 0;
}

static int
print_partition_metadata(struct dump *dump, const char *path)
{
	char id[TK_UUID_TEXT_LEN + 1];
	struct tk_uuid topic_id;
	const char *name;
	int dir_fd, rc;

	rc = open_parent(path, &name, &dir_fd);
	if (rc < 0)
		return rc;
	rc = tk_partition_metadata_read(dir_fd, ".", &topic_id);
	tk_file_close(&dir_fd);
	if (rc < 0)
		return rc;
	tk_uuid_format(&topic_id, id);
	(void)fprintf(dump->out, "topic id %s\n", id);
	return 0;
}

static int
print_epochs(struct dump *dump, const char *path)
{
	int32_t last = -1;
	const char *name;
	char *text;
	size_t len;
	int dir_fd, rc;

	rc = open_parent(path, &name, &dir_fd);
	if (rc < 0)
		return rc;
	rc = tk_epochs_read_last(dir_fd, ".", &last);
	tk_file_close(&dir_fd);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = tk_file_read_all(AT_FDCWD, path, DUMP_SMALL_FILE, &text, &len);
	if (rc < 0)
		return rc;
	for (const char *at = text, *end; at < text + len; at = end + 1) {
		end = memchr(at, '\n', len - (size_t)(at - text));
		if (end == NULL)
			end = text + len;
		dump_text(dump->out, (const uint8_t *)at, (size_t)(end - at));
		(void)fputc('\n', dump->out);
	}
	free(text);
	(void)fprintf(dump->out, "last epoch %" PRId32 "\n", last);
	return 0;
}

static const struct {
	const char *suffix;
	int (*print)(struct dump *dump, const char *path);
} kinds[] = {
	{ ".log", dump_print_segment },
	{ ".index", print_index },
	{ ".timeindex", print_time_index },
	{ ".txnindex", print_txn_index },
	{ ".snapshot", print_snapshot },
	{ "leader-epoch-checkpoint", print_epochs },
	{ "-checkpoint", print_checkpoint },
	{ "partition.metadata", print_partition_metadata },
	{ "meta.properties", print_metaprops },
};

/* Without what renames and repairs append. */
static size_t
plain_len(const char *path)
{
	static const char *const extras[] = { ".deleted", ".cleaned", ".swap", ".damaged", ".tmp" };
	size_t len = strlen(path);

	for (size_t i = 0; i < TK_COUNT_OF(extras); i++) {
		size_t n = strlen(extras[i]);

		if (len > n && strcmp(path + len - n, extras[i]) == 0)
			return len - n;
	}
	return len;
}

int
dump_print_file(struct dump *dump, const char *path)
{
	size_t len = plain_len(path);

	for (size_t i = 0; i < TK_COUNT_OF(kinds); i++) {
		size_t n = strlen(kinds[i].suffix);

		if (len < n || memcmp(path + len - n, kinds[i].suffix, n) != 0)
			continue;
		(void)fprintf(dump->out, "%s:\n", path);
		return kinds[i].print(dump, path);
	}
	dump_find(dump, path, "no file of a data directory has such a name");
	return 0;
}
