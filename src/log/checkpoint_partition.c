/*
 * leader-epoch-checkpoint and partition.metadata of a partition's directory.  Writer process;
 * workers read the first.
 *
 * They are put in place by rename without a sync, since a partition's first records are not synced
 * either: what a power failure leaves empty is written again from the metadata at the next start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "log/checkpoint.h"

#define PATH_ROOM  384
#define FILE_LIMIT ((size_t)1024 * 1024)

static void
path_in_log(char path[PATH_ROOM], const char *log_name, const char *file_name)
{
	int n = snprintf(path, PATH_ROOM, "%s/%s", log_name, file_name);

	tk_assert(n > 0 && n < PATH_ROOM);
}

static int
replace_text(int dir_fd, const char *path, const char *text, size_t len)
{
	const struct tk_file_replace what = {
		.dir_fd = dir_fd, .path = path, .data = text, .len = len
	};

	return tk_file_replace(&what);
}

/* As many lines "epoch offset" as the file says, and nothing else. */
static bool
lines_are_epochs(const char *lines, unsigned long count)
{
	unsigned long seen = 0;

	for (const char *at = lines; *at != '\0'; seen++) {
		char *end, *behind;

		(void)strtol(at, &end, 10);
		if (end == at || *end != ' ')
			return false;
		(void)strtoll(end + 1, &behind, 10);
		if (behind == end + 1 || *behind != '\n')
			return false;
		at = behind + 1;
	}
	return seen == count;
}

/* The lines of an epochs file behind its two first; "" for an empty one. */
static int
epochs_read(int dir_fd, const char *log_name, char **ret_text, const char **ret_lines,
    unsigned long *ret_count)
{
	const char *lines = "";
	unsigned long count = 0;
	char path[PATH_ROOM];
	char *text, *end;
	size_t len;
	int rc;

	path_in_log(path, log_name, "leader-epoch-checkpoint");
	rc = tk_file_read_all(dir_fd, path, FILE_LIMIT, &text, &len);
	if (rc < 0)
		return rc;
	if (len > 0) {
		bool begins = strncmp(text, "0\n", 2) == 0;

		count = begins ? strtoul(text + 2, &end, 10) : 0;
		if (!begins || end == text + 2 || *end != '\n' || strlen(text) != len ||
		    !lines_are_epochs(end + 1, count)) {
			free(text);
			return -EBADMSG;
		}
		lines = end + 1;
	}
	*ret_text = text;
	*ret_count = count;
	*ret_lines = lines;
	return 0;
}

int
tk_epochs_read_last(int dir_fd, const char *log_name, int32_t *ret_epoch)
{
	unsigned long count;
	const char *lines, *line;
	char *text;
	int rc;

	rc = epochs_read(dir_fd, log_name, &text, &lines, &count);
	if (rc < 0)
		return rc;
	line = NULL;
	for (const char *at = lines; at != NULL && *at != '\0';) {
		line = at;
		at = strchr(at, '\n');
		at = at == NULL ? NULL : at + 1;
	}
	rc = line == NULL ? -ENOENT : 0;
	if (line != NULL)
		*ret_epoch = (int32_t)strtol(line, NULL, 10);
	free(text);
	return rc;
}

/* One line, "epoch offset"; the place behind it, or NULL for one that is neither. */
static const char *
epoch_line(const char *at, int32_t *ret_epoch, int64_t *ret_start)
{
	char *end;
	long epoch;

	errno = 0;
	epoch = strtol(at, &end, 10);
	if (end == at || *end != ' ' || epoch < 0 || epoch > INT32_MAX)
		return NULL;
	at = end + 1;
	*ret_start = strtoll(at, &end, 10);
	if (end == at || *end != '\n' || *ret_start < 0 || errno == ERANGE)
		return NULL;
	*ret_epoch = (int32_t)epoch;
	return end + 1;
}

int
tk_epochs_end(int dir_fd, const char *log_name, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end)
{
	int32_t floor = epoch, higher = -1, line_epoch;
	int64_t end = -1, start;
	bool has_floor = false;
	const char *at;
	unsigned long count;
	char *text;
	int rc;

	rc = epochs_read(dir_fd, log_name, &text, &at, &count);
	if (rc < 0)
		return rc;
	while (*at != '\0' && (at = epoch_line(at, &line_epoch, &start)) != NULL) {
		if (line_epoch <= epoch && (!has_floor || line_epoch > floor)) {
			floor = line_epoch;
			has_floor = true;
		} else if (line_epoch > epoch && (higher < 0 || line_epoch < higher)) {
			higher = line_epoch;
			end = start;
		}
	}
	free(text);
	if (at == NULL)
		return -EBADMSG;
	if (higher < 0)
		return -ENOENT;
	*ret_epoch = floor;
	*ret_end = end;
	return 0;
}

int
tk_epochs_at(int dir_fd, const char *log_name, int64_t offset, int32_t *ret_epoch)
{
	int32_t epoch, found = -1;
	int64_t start;
	const char *at;
	unsigned long count;
	char *text;
	int rc;

	rc = epochs_read(dir_fd, log_name, &text, &at, &count);
	if (rc < 0)
		return rc;
	while (*at != '\0' && (at = epoch_line(at, &epoch, &start)) != NULL)
		if (start <= offset)
			found = TK_MAX(found, epoch);
	free(text);
	if (at == NULL)
		return -EBADMSG;
	if (found < 0)
		return -ENOENT;
	*ret_epoch = found;
	return 0;
}

int
tk_epochs_add(int dir_fd, const char *log_name, int32_t epoch, int64_t start_offset)
{
	const char *lines = "";
	unsigned long count = 0;
	char *text = NULL, *whole = NULL;
	char path[PATH_ROOM];
	int len, rc;

	rc = epochs_read(dir_fd, log_name, &text, &lines, &count);
	if (rc < 0 && rc != -ENOENT && rc != -EBADMSG)
		return rc;
	len = asprintf(
	    &whole, "0\n%lu\n%s%" PRId32 " %" PRId64 "\n", count + 1, lines, epoch, start_offset);
	free(text);
	if (len < 0)
		return -ENOMEM;
	path_in_log(path, log_name, "leader-epoch-checkpoint");
	rc = replace_text(dir_fd, path, whole, (size_t)len);
	free(whole);
	return rc;
}

int
tk_partition_metadata_read(int dir_fd, const char *log_name, struct tk_uuid *ret_topic_id)
{
	static const char key[] = "topic_id: ";
	char path[PATH_ROOM];
	const char *at;
	char *text;
	size_t len;
	int rc;

	path_in_log(path, log_name, "partition.metadata");
	rc = tk_file_read_all(dir_fd, path, FILE_LIMIT, &text, &len);
	if (rc < 0)
		return rc;
	at = strstr(text, key);
	rc = -EBADMSG;
	if (at != NULL) {
		at += sizeof(key) - 1;
		rc = tk_uuid_parse(at, strcspn(at, "\r\n"), ret_topic_id);
		rc = rc < 0 ? -EBADMSG : 0;
	}
	free(text);
	return rc;
}

int
tk_partition_metadata_write(int dir_fd, const char *log_name, const struct tk_uuid *topic_id)
{
	char id[TK_UUID_TEXT_LEN + 1], path[PATH_ROOM], text[64];
	int len;

	tk_uuid_format(topic_id, id);
	len = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s", id);
	path_in_log(path, log_name, "partition.metadata");
	return replace_text(dir_fd, path, text, (size_t)len);
}
