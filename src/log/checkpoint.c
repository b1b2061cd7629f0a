/*
 * Checkpoints of offsets.  Writer process, at start, every minute and at stop; errors are returned.
 */
#include "log/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A million partitions with long names. */
#define FILE_LIMIT ((size_t)512 * 1024 * 1024)

static int
compare_entries(const void *a, const void *b)
{
	const struct tk_checkpoint_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void
tk_checkpoint_free(struct tk_checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->count; i++)
		free(checkpoint->entries[i].name);
	free(checkpoint->entries);
	*checkpoint = (struct tk_checkpoint){ 0 };
}

static int
checkpoint_add(struct tk_checkpoint *checkpoint, char *name, int64_t offset)
{
	if (name == NULL)
		return -ENOMEM;
	if (checkpoint->count == checkpoint->room) {
		size_t room = checkpoint->room == 0 ? 16 : checkpoint->room * 2;
		void *entries = realloc(checkpoint->entries, room * sizeof(*checkpoint->entries));

		if (entries == NULL) {
			free(name);
			return -ENOMEM;
		}
		checkpoint->entries = entries;
		checkpoint->room = room;
	}
	checkpoint->entries[checkpoint->count++] =
	    (struct tk_checkpoint_entry){ name, offset, false };
	return 0;
}

/* A line "topic partition offset". */
static int
parse_line(struct tk_checkpoint *checkpoint, char *line)
{
	char *partition = strchr(line, ' ');
	char *offset = partition == NULL ? NULL : strchr(partition + 1, ' ');
	char *end;
	long long value;

	if (offset == NULL)
		return -EBADMSG;
	*offset++ = '\0';
	*partition = '-';
	errno = 0;
	value = strtoll(offset, &end, 10);
	if (errno != 0 || end == offset || *end != '\0')
		return -EBADMSG;
	return checkpoint_add(checkpoint, strdup(line), value);
}

/* Cuts the next line off text; NULL at the end. */
static char *
next_line(char **text)
{
	char *line = *text, *end;

	if (*line == '\0')
		return NULL;
	end = strchr(line, '\n');
	if (end == NULL) {
		*text = line + strlen(line);
	} else {
		*end = '\0';
		*text = end + 1;
	}
	return line;
}

static int
parse_checkpoint(struct tk_checkpoint *checkpoint, char *text)
{
	char *line = next_line(&text);
	char *count;
	int rc = 0;

	if (line == NULL)
		return 0;
	count = next_line(&text);
	if (strcmp(line, "0") != 0 || count == NULL)
		return -EBADMSG;
	while (rc == 0 && (line = next_line(&text)) != NULL)
		rc = parse_line(checkpoint, line);
	if (rc == 0 && strtoull(count, NULL, 10) != checkpoint->count)
		rc = -EBADMSG;
	return rc;
}

int
tk_checkpoint_read(int dir_fd, const char *file_name, struct tk_checkpoint *ret_checkpoint)
{
	struct tk_checkpoint checkpoint = { 0 };
	char *text;
	size_t len;
	int rc;

	rc = tk_file_read_all(dir_fd, file_name, FILE_LIMIT, &text, &len);
	if (rc < 0)
		return rc;
	rc = parse_checkpoint(&checkpoint, text);
	free(text);
	if (rc < 0) {
		tk_checkpoint_free(&checkpoint);
		return rc;
	}
	if (checkpoint.count > 1)
		qsort(checkpoint.entries, checkpoint.count, sizeof(*checkpoint.entries),
		    compare_entries);
	*ret_checkpoint = checkpoint;
	return 0;
}

struct tk_checkpoint_entry *
tk_checkpoint_find(const struct tk_checkpoint *checkpoint, const char *name)
{
	const struct tk_checkpoint_entry key = { (char *)(uintptr_t)name, 0, false };

	if (checkpoint->count == 0)
		return NULL;
	return bsearch(&key, checkpoint->entries, checkpoint->count, sizeof(key), compare_entries);
}

void
tk_checkpoint_text_add(struct tk_checkpoint_text *text, const char *name, int64_t offset)
{
	const char *dash = strrchr(name, '-');
	size_t need = strlen(name) + 32;

	tk_assert(dash != NULL);
	if (!text->failed && text->room - text->len < need) {
		size_t room = TK_MAX(text->room * 2, need + 4096);
		char *data = realloc(text->data, room);

		text->failed = data == NULL;
		text->data = data == NULL ? text->data : data;
		text->room = data == NULL ? text->room : room;
	}
	if (text->failed)
		return;
	text->len += (size_t)snprintf(text->data + text->len, need, "%.*s %s %" PRId64 "\n",
	    (int)(dash - name), name, dash + 1, offset);
	text->count++;
}

int
tk_checkpoint_text_write(struct tk_checkpoint_text *text, int dir_fd, const char *file_name,
    void (*before_rename)(void *arg, const struct tk_file_info *info), void *arg)
{
	struct tk_file_replace what = { .dir_fd = dir_fd,
		.path = file_name,
		.sync = true,
		.before_rename = before_rename,
		.arg = arg };
	int head, rc = -ENOMEM;
	char *whole = text->failed ? NULL : malloc(text->len + 32);

	if (whole != NULL) {
		head = snprintf(whole, 32, "0\n%zu\n", text->count);
		if (text->len > 0)
			memcpy(whole + head, text->data, text->len);
		what.data = whole;
		what.len = (size_t)head + text->len;
		rc = tk_file_replace(&what);
	}
	free(whole);
	free(text->data);
	*text = (struct tk_checkpoint_text){ 0 };
	return rc;
}
