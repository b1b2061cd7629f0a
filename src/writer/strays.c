/*
 * Partition directories that the metadata does not know.  Writer process, at its start.
 *
 * One of a topic that the journal says was deleted (the writer died before it could) is renamed as
 * any deleted one is and goes at the next start.  Whatever else lies there is reported, at most a
 * few by name, and left alone: it may be somebody's only copy.
 */
#include "writer/writer_private.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errlog.h"
#include "base/uuid.h"
#include "log/checkpoint.h"
#include "os/file.h"

#define NAMED_MAX 10u

void
tk_stray_remove(
    struct tk_writer *writer, const char *topic, int32_t partition, const struct tk_uuid *topic_id)
{
	char name[TK_TOPIC_NAME_MAX + 16], gone[TK_TOPIC_NAME_MAX + 64];
	struct tk_uuid found, unique = tk_uuid_random();
	int rc;

	(void)snprintf(name, sizeof(name), "%s-%" PRId32, topic, partition);
	if (tk_partition_metadata_read(writer->dir_fd, name, &found) < 0 ||
	    !tk_uuid_equal(&found, topic_id))
		return;
	(void)snprintf(gone, sizeof(gone), "%.200s-%" PRId32 ".", topic, partition);
	for (size_t i = 0; i < sizeof(unique.b); i++)
		(void)snprintf(gone + strlen(gone), 3, "%02x", unique.b[i]);
	(void)strcat(gone, "-delete");
	rc = tk_file_rename(writer->dir_fd, name, gone);
	if (rc < 0)
		tk_warn("could not rename deleted partition \"%s\": %s", name, strerror(-rc));
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of all open partitions in order, to be freed; NULL if there is no memory for it. */
static const char **
open_names(const struct tk_writer *writer, size_t *ret_count)
{
	const char **names = calloc(writer->part_count + 1, sizeof(*names));
	size_t count = 0;

	for (size_t slot = 0; names != NULL && slot < writer->parts_room; slot++)
		if (writer->parts[slot] != NULL)
			names[count++] = tk_log_name(writer->parts[slot]->log);
	if (names != NULL)
		qsort(names, count, sizeof(*names), name_compare);
	*ret_count = count;
	return names;
}

static bool
ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* "<topic>-<number>" is a partition's directory, as Kafka reads names. */
static bool
is_partition_name(const char *name)
{
	const char *dash = strrchr(name, '-');

	if (dash == NULL || dash == name || name[0] == '.')
		return false;
	if (ends_with(name, "-delete"))
		return false;
	return dash[1] != '\0' && dash[1 + strspn(dash + 1, "0123456789")] == '\0';
}

void
tk_strays_report(struct tk_writer *writer)
{
	DIR *dir = opendir(tk_logdir_path(writer->dir));
	const struct dirent *entry;
	const char **names = NULL;
	size_t count = 0;
	unsigned strays = 0;

	if (dir != NULL)
		names = open_names(writer, &count);
	while (names != NULL && (entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;

		if (!is_partition_name(name) ||
		    bsearch(&name, names, count, sizeof(*names), name_compare) != NULL)
			continue;
		if (strays++ < NAMED_MAX)
			tk_warn("\"%s/%s\" is a partition that the metadata does not know: "
				"left alone",
			    tk_logdir_path(writer->dir), name);
	}
	if (strays > NAMED_MAX)
		tk_warn("and %u more in \"%s\"", strays - NAMED_MAX, tk_logdir_path(writer->dir));
	free(names);
	if (dir != NULL)
		(void)closedir(dir);
}
