/*
 * Whether a partition or a whole data directory is sound.  takhin-dump --verify.
 *
 * On a running broker's files, the size each has when it is opened bounds what is read; what is
 * being written at the end of the last segment is not a finding.
 */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "log/checkpoint.h"
#include "log/metaprops.h"
#include "log/producers.h"
#include "log/segment.h"
#include "tools/takhin_dump.h"

static void
find_unreadable(struct dump *dump, const char *directory, const char *name, int rc)
{
	char path[DUMP_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	dump_find(dump, path, "it cannot be read: %s", dump_error(rc));
}

static int
check_snapshot(int dir_fd, const char *name)
{
	struct tk_producers producers = { .undo = NULL };
	char *data;
	size_t len;
	int rc;

	rc = tk_file_read_all(dir_fd, name, DUMP_SMALL_FILE, &data, &len);
	if (rc < 0)
		return rc;
	rc = tk_producers_decode_snapshot(&producers, (const uint8_t *)data, len);
	tk_producers_free(&producers);
	free(data);
	return rc;
}

static int
check_txn_index(int dir_fd, const char *name)
{
	struct dump_entries entries;
	const uint8_t *at;
	int rc = dump_entries_open(dir_fd, name, 34, &entries);

	if (rc < 0)
		return rc;
	while ((rc = dump_entries_next(&entries, &at)) > 0)
		if (tk_be16_get(at) != 0 || tk_be64_get(at + 10) > tk_be64_get(at + 18)) {
			rc = -EBADMSG;
			break;
		}
	if (rc == 0 && entries.odd_bytes != 0)
		rc = -EBADMSG;
	dump_entries_close(&entries);
	return rc;
}

/* Files of a partition that are not a segment's log or index. */
static int
check_others(struct dump *dump, int dir_fd, const char *directory)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc;

	rc = tk_file_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		rc = 0;
		if (dot != NULL && strcmp(dot, ".snapshot") == 0)
			rc = check_snapshot(dir_fd, entry->d_name);
		else if (dot != NULL && strcmp(dot, ".txnindex") == 0)
			rc = check_txn_index(dir_fd, entry->d_name);
		if (rc < 0 && !(rc == -ENOENT && dump->running))
			find_unreadable(dump, directory, entry->d_name, rc);
	}
	(void)closedir(dir);
	return 0;
}

static void
check_texts(struct dump *dump, int dir_fd, const char *directory)
{
	struct tk_uuid topic_id;
	int32_t epoch;
	int rc = tk_partition_metadata_read(dir_fd, ".", &topic_id);

	if (rc < 0)
		find_unreadable(dump, directory, "partition.metadata", rc);
	rc = tk_epochs_read_last(dir_fd, ".", &epoch);
	if (rc < 0 && rc != -ENOENT)
		find_unreadable(dump, directory, "leader-epoch-checkpoint", rc);
}

static int
verify_partition(struct dump *dump, int dir_fd, const char *directory)
{
	struct tk_segment_list list;
	int64_t next_offset = 0;
	int rc;

	rc = tk_segment_list_read(dir_fd, ".", &list);
	if (rc < 0)
		return rc;
	check_texts(dump, dir_fd, directory);
	for (size_t i = 0; i < list.count && rc == 0; i++) {
		int64_t base_offset = list.items[i].info.base_offset;

		if (base_offset < next_offset)
			dump_find(dump, directory,
			    "segment %020" PRId64 " begins before offset %" PRId64
			    ", where the one before it ends",
			    base_offset, next_offset);
		rc = dump_verify_segment(
		    dump, dir_fd, directory, base_offset, i + 1 == list.count, &next_offset);
		if (rc == -ENOENT && dump->running)
			rc = 0; /* deleted since */
	}
	tk_segment_list_free(&list);
	return rc < 0 ? rc : check_others(dump, dir_fd, directory);
}

/* "<topic>-<digits>". */
static bool
is_partition(const char *name)
{
	const char *dash = strrchr(name, '-');

	if (dash == NULL || dash == name || dash[1] == '\0')
		return false;
	for (dash++; *dash != '\0'; dash++)
		if (!isdigit((unsigned char)*dash))
			return false;
	return true;
}

static void
check_checkpoints(struct dump *dump, int dir_fd, const char *directory)
{
	static const char *const names[] = { "recovery-point-offset-checkpoint",
		"log-start-offset-checkpoint", "replication-offset-checkpoint",
		"cleaner-offset-checkpoint" };
	struct tk_metaprops props;
	int rc = tk_metaprops_read(dir_fd, &props);

	if (rc < 0)
		find_unreadable(dump, directory, "meta.properties", rc);
	for (size_t i = 0; i < TK_COUNT_OF(names); i++) {
		struct tk_checkpoint checkpoint;

		rc = tk_checkpoint_read(dir_fd, names[i], &checkpoint);
		if (rc == 0)
			tk_checkpoint_free(&checkpoint);
		else if (rc != -ENOENT)
			find_unreadable(dump, directory, names[i], rc);
	}
}

static int
verify_child(struct dump *dump, int dir_fd, const char *directory, const char *name)
{
	char path[DUMP_PATH_MAX];
	int fd, rc;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	rc = tk_file_open(dir_fd, name, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc == 0)
		rc = verify_partition(dump, fd, path);
	if (rc < 0 && !(rc == -ENOENT && dump->running))
		dump_find(dump, path, "it cannot be read: %s", dump_error(rc));
	tk_file_close(&fd);
	return 0;
}

static int
verify_data_directory(struct dump *dump, int dir_fd, const char *directory)
{
	const struct dirent *entry;
	DIR *dir;
	int fd, rc;

	check_checkpoints(dump, dir_fd, directory);
	rc = tk_file_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		if (is_partition(entry->d_name))
			rc = verify_child(dump, dir_fd, directory, entry->d_name);
	(void)closedir(dir);
	return rc;
}

static int
verify_file(struct dump *dump, const char *path)
{
	char copy[DUMP_PATH_MAX];
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
	int64_t base_offset, next_offset = 0;
	int dir_fd, rc;

	base_offset = strlen(name) == 24 ? tk_segment_parse(name, ".log") : -1;
	if (base_offset < 0 || strlen(path) >= sizeof(copy))
		return -EINVAL;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	rc = tk_file_open(AT_FDCWD, dirname(copy), O_RDONLY | O_DIRECTORY, 0, &dir_fd);
	if (rc < 0)
		return rc;
	rc = dump_verify_segment(dump, dir_fd, copy, base_offset, false, &next_offset);
	tk_file_close(&dir_fd);
	return rc;
}

int
dump_verify(struct dump *dump, const char *path)
{
	struct tk_file_info info;
	int fd, parent = -1, rc;

	rc = tk_file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc == -ENOTDIR)
		return verify_file(dump, path);
	if (rc < 0)
		return rc;
	if (tk_file_stat(fd, "meta.properties", &info) == 0) {
		dump->running = dump_is_locked(fd);
		rc = verify_data_directory(dump, fd, path);
	} else {
		rc = tk_file_open(fd, "..", O_RDONLY | O_DIRECTORY, 0, &parent);
		dump->running = rc == 0 && dump_is_locked(parent);
		if (rc == 0)
			rc = verify_partition(dump, fd, path);
	}
	tk_file_close(&parent);
	tk_file_close(&fd);
	return rc;
}
