/*
 * Segment files.  Writer process; no state of its own, errors are returned.  A walk reads in pieces
 * of 32 KiB, a list is bounded by the directory.
 */
#include "log/segment.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"

#define DIGITS     20
#define WALK_BYTES ((size_t)32 * 1024)

void
tk_segment_path(
    char path[TK_SEGMENT_PATH_MAX], const char *log_name, int64_t base_offset, const char *suffix)
{
	int n = snprintf(
	    path, TK_SEGMENT_PATH_MAX, "%s/%020lld%s", log_name, (long long)base_offset, suffix);

	tk_assert(n > 0 && n < TK_SEGMENT_PATH_MAX);
}

int64_t
tk_segment_parse(const char *file_name, const char *suffix)
{
	int64_t offset = 0;

	for (size_t i = 0; i < DIGITS; i++) {
		int digit = file_name[i] - '0';

		if (digit < 0 || digit > 9 || offset > (INT64_MAX - digit) / 10)
			return -1;
		offset = offset * 10 + digit;
	}
	return strcmp(file_name + DIGITS, suffix) == 0 ? offset : -1;
}

int
tk_segment_list_add(struct tk_segment_list *list, const struct tk_segment_info *info)
{
	if (list->count == list->room) {
		size_t room = list->room == 0 ? 4 : list->room * 2;
		struct tk_segment *items = realloc(list->items, room * sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] = (struct tk_segment){ .info = *info };
	return 0;
}

void
tk_segment_list_drop_first(struct tk_segment_list *list, size_t count)
{
	tk_assert(count <= list->count);
	list->count -= count;
	memmove(list->items, list->items + count, list->count * sizeof(*list->items));
}

void
tk_segment_list_free(struct tk_segment_list *list)
{
	free(list->items);
	*list = (struct tk_segment_list){ 0 };
}

int
tk_segment_stat(
    int dir_fd, const char *log_name, int64_t base_offset, struct tk_segment_info *ret_info)
{
	char path[TK_SEGMENT_PATH_MAX];
	struct tk_file_info log, other;
	int rc;

	tk_segment_path(path, log_name, base_offset, ".log");
	rc = tk_file_stat(dir_fd, path, &log);
	if (rc < 0)
		return rc;
	*ret_info = (struct tk_segment_info){ .base_offset = base_offset,
		.size_bytes = log.size_bytes,
		.max_timestamp = TK_TIMESTAMP_UNREAD,
		.log_inode = log.inode };
	tk_segment_path(path, log_name, base_offset, ".index");
	if (tk_file_stat(dir_fd, path, &other) == 0)
		ret_info->index_inode = other.inode;
	tk_segment_path(path, log_name, base_offset, ".timeindex");
	if (tk_file_stat(dir_fd, path, &other) == 0)
		ret_info->time_inode = other.inode;
	return 0;
}

static int
compare_segments(const void *a, const void *b)
{
	const struct tk_segment *x = a, *y = b;

	return (x->info.base_offset > y->info.base_offset) -
	       (x->info.base_offset < y->info.base_offset);
}

static int
list_fill(int dir_fd, const char *log_name, DIR *dir, struct tk_segment_list *list)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) {
		int64_t base_offset = tk_segment_parse(entry->d_name, ".log");
		struct tk_segment_info info;
		int rc;

		if (base_offset < 0)
			continue;
		rc = tk_segment_stat(dir_fd, log_name, base_offset, &info);
		if (rc == 0)
			rc = tk_segment_list_add(list, &info);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
tk_segment_list_read(int dir_fd, const char *log_name, struct tk_segment_list *ret_list)
{
	struct tk_segment_list list = { 0 };
	DIR *dir;
	int fd, rc;

	rc = tk_file_open(dir_fd, log_name, O_RDONLY | O_DIRECTORY, 0, &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		tk_file_close(&fd);
		return -ENOMEM;
	}
	rc = list_fill(dir_fd, log_name, dir, &list);
	(void)closedir(dir);
	if (rc < 0) {
		tk_segment_list_free(&list);
		return rc;
	}
	if (list.count > 1)
		qsort(list.items, list.count, sizeof(*list.items), compare_segments);
	*ret_list = list;
	return 0;
}

int
tk_segment_remove(int dir_fd, const char *log_name, int64_t base_offset, bool rename_only)
{
	static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex",
		".snapshot" };
	int failed = 0;

	for (size_t i = 0; i < TK_COUNT_OF(suffixes); i++) {
		char path[TK_SEGMENT_PATH_MAX], away[TK_SEGMENT_PATH_MAX];
		char suffix[32];
		int rc;

		tk_segment_path(path, log_name, base_offset, suffixes[i]);
		(void)snprintf(suffix, sizeof(suffix), "%s.deleted", suffixes[i]);
		tk_segment_path(away, log_name, base_offset, suffix);
		rc =
		    rename_only ? tk_file_rename(dir_fd, path, away) : tk_file_unlink(dir_fd, path);
		if (rc < 0 && rc != -ENOENT && failed == 0)
			failed = rc;
	}
	return failed;
}

int
tk_segment_walk(int fd, int64_t from, int64_t to, tk_segment_visit *each, void *arg)
{
	uint8_t *piece;
	int64_t piece_at = 0, at = from;
	size_t piece_len = 0;
	int rc = 0;

	piece = malloc(WALK_BYTES);
	if (piece == NULL)
		return -ENOMEM;
	while (rc == 0 && at < to) {
		struct tk_batch_header header;

		if (to - at < (int64_t)TK_BATCH_HEADER_BYTES) {
			rc = -EBADMSG;
			break;
		}
		if (at + (int64_t)TK_BATCH_HEADER_BYTES > piece_at + (int64_t)piece_len) {
			piece_at = at;
			piece_len = (size_t)TK_MIN((int64_t)WALK_BYTES, to - at);
			rc = tk_file_pread_full(fd, piece, piece_len, at);
			if (rc < 0)
				break;
		}
		tk_batch_header_read(piece + (at - piece_at), &header);
		if (tk_batch_header_check(&header) < 0 || tk_batch_size(&header) > to - at) {
			rc = -EBADMSG;
			break;
		}
		rc = each(arg, &header, at);
		at += tk_batch_size(&header);
	}
	free(piece);
	return rc;
}
