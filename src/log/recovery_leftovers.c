/*
 * Files with suffixes that an interrupted compaction or deletion leaves, as Kafka's LogLoader
 * treats them.
 *
 * Recovery's threads.  .deleted and .cleaned go.  A .swap at or above the least .cleaned was not
 * complete and goes as well; any other stands for the segments it covers: they are removed, it
 * takes their place.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "log/log_private.h"

struct leftovers {
	struct tk_log *log;
	int fd;
	int64_t least_cleaned;
	int64_t swap_from, swap_to; /* offsets that complete swaps cover */
};

typedef int visit_name(struct leftovers *left, const char *name);

static bool
has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

/* The offset a name begins with; -1 if it does not begin with one. */
static int64_t
name_offset(const char *name)
{
	char digits[21];

	if (strlen(name) < 21 || name[20] != '.')
		return -1;
	memcpy(digits, name, 20);
	digits[20] = '\0';
	return tk_segment_parse(digits, "");
}

/* Calls each for every name; names are gathered first, since visits change the directory. */
static int
for_each_name(struct leftovers *left, visit_name *each)
{
	const struct dirent *entry;
	char **names = NULL;
	size_t count = 0;
	DIR *dir;
	int fd, rc;

	rc = tk_file_open(left->fd, ".", O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		char **grown = realloc(names, (count + 1) * sizeof(char *));

		names = grown == NULL ? names : grown;
		if (grown == NULL || (names[count] = strdup(entry->d_name)) == NULL)
			rc = -ENOMEM;
		else
			count++;
	}
	(void)closedir(dir);
	for (size_t i = 0; i < count; i++) {
		if (rc == 0)
			rc = each(left, names[i]);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int
remove_unfinished(struct leftovers *left, const char *name)
{
	int64_t offset = name_offset(name);

	if (has_suffix(name, ".cleaned") && offset >= 0)
		left->least_cleaned = TK_MIN(left->least_cleaned, offset);
	else if (!has_suffix(name, ".deleted") && !has_suffix(name, ".tmp"))
		return 0;
	return tk_file_unlink(left->fd, name);
}

static int
last_of(void *arg, const struct tk_batch_header *header, int64_t position)
{
	int64_t *next_offset = arg;

	(void)position;
	*next_offset = tk_batch_last_offset(header) + 1;
	return 0;
}

/* Which offsets a .log.swap covers. */
static int
measure_swap(struct leftovers *left, const char *name)
{
	int64_t offset = name_offset(name), next_offset = offset;
	struct tk_file_info info;
	int fd, rc;

	if (!has_suffix(name, ".swap") || offset < 0)
		return 0;
	if (offset >= left->least_cleaned)
		return tk_file_unlink(left->fd, name);
	if (!has_suffix(name, ".log.swap"))
		return 0;
	rc = tk_file_open(left->fd, name, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_stat_fd(fd, &info);
	if (rc == 0)
		rc = tk_segment_walk(fd, 0, info.size_bytes, last_of, &next_offset);
	tk_file_close(&fd);
	left->swap_from = TK_MIN(left->swap_from, offset);
	left->swap_to = TK_MAX(left->swap_to, next_offset);
	return rc == -EBADMSG ? 0 : rc;
}

static int
remove_covered(struct leftovers *left, const char *name)
{
	int64_t offset = name_offset(name);

	if (offset < left->swap_from || offset >= left->swap_to || has_suffix(name, ".swap") ||
	    has_suffix(name, ".snapshot"))
		return 0;
	return tk_file_unlink(left->fd, name);
}

static int
complete_swap(struct leftovers *left, const char *name)
{
	char final[256];
	size_t len = strlen(name) - strlen(".swap");

	if (!has_suffix(name, ".swap") || name_offset(name) < 0 || len >= sizeof(final))
		return 0;
	memcpy(final, name, len);
	final[len] = '\0';
	return tk_file_rename(left->fd, name, final);
}

int
tk_recovery_leftovers(struct tk_log *log)
{
	struct leftovers left = {
		.log = log, .fd = -1, .least_cleaned = INT64_MAX, .swap_from = INT64_MAX
	};
	int rc;

	rc = tk_file_open(log->dir->fd, log->name, O_RDONLY | O_DIRECTORY, 0, &left.fd);
	if (rc == 0)
		rc = for_each_name(&left, remove_unfinished);
	if (rc == 0)
		rc = for_each_name(&left, measure_swap);
	if (rc == 0)
		rc = for_each_name(&left, remove_covered);
	if (rc == 0)
		rc = for_each_name(&left, complete_swap);
	tk_file_close(&left.fd);
	return rc;
}
