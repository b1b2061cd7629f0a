/*
 * Open segments of a reader: opened by the list, compared with its inodes, bounded in number.
 * Worker, one thread.
 *
 * .log and .index are opened as a set.  As long as they are open their inodes cannot be anybody
 * else's, so a segment stays open over new lists that name the same.  A file that is missing or is
 * another one means that the list is old: the writer is asked for it anew, and only if it insists
 * is that an error.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/reader_private.h"

ssize_t
reader_pread(struct tk_reader *reader, int fd, void *buf, size_t len, int64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got =
		    pread(fd, (char *)buf + done, len - done, (off_t)(offset + (int64_t)done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		reader->stats.preads++;
		reader->stats.pread_bytes += (uint64_t)got;
		if (reader->observe != NULL)
			reader->observe(fd, offset + (int64_t)done, len - done);
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Ranges outlive readers, so this is counted for the process. */
static unsigned held;

void
segment_unref(void *owner)
{
	struct open_segment *seg = owner;

	tk_assert(seg->refs > 0);
	if (--seg->refs > 0)
		return;
	if (seg->is_held)
		held--;
	fd_close(&seg->log_fd);
	fd_close(&seg->index_fd);
	free(seg->index_block);
	free(seg);
}

void
segment_push_out(struct tk_reader *reader, struct open_segment *seg)
{
	struct part *part = seg->part;
	size_t index = part_floor(part, seg->base_offset);

	tk_assert(part->segments[index].open == seg);
	part->segments[index].open = NULL;
	seg->part = NULL;
	TAILQ_REMOVE(&reader->lru, seg, link);
	reader->stats.open_segments--;
	fd_close(&seg->index_fd);
	if (seg->refs > 1) {
		seg->is_held = true;
		held++;
	}
	segment_unref(seg);
}

/*
 * Makes room for one: rather the oldest that nobody holds, since that frees its descriptor.  False
 * if all are held, and as many as may be besides.
 */
static bool
cache_make_room(struct tk_reader *reader)
{
	struct open_segment *seg;

	while (reader->stats.open_segments >= reader->max_open_segments) {
		TAILQ_FOREACH_REVERSE(seg, &reader->lru, open_segment_lru, link)
		if (seg->refs == 1)
			break;
		if (seg == NULL && held >= reader->max_held)
			return false;
		if (seg == NULL)
			seg = TAILQ_LAST(&reader->lru, open_segment_lru);
		segment_push_out(reader, seg);
	}
	return true;
}

/*
 * Closes the oldest files of another partition that nobody holds, where descriptors have run out;
 * false if there are none.  Of this partition the caller may be using any.
 */
static bool
cache_spare(struct tk_reader *reader, const struct part *part)
{
	struct open_segment *seg;

	TAILQ_FOREACH_REVERSE(seg, &reader->lru, open_segment_lru, link)
	if (seg->refs == 1 && seg->part != part)
		break;
	if (seg == NULL)
		return false;
	segment_push_out(reader, seg);
	return true;
}

/* Opens a file of a segment: 0; -ESTALE if it is missing or not the inode; or -errno. */
static int
file_open(const struct tk_reader *reader, const struct part *part, int64_t base_offset,
    const char *suffix, uint64_t inode, int *ret_fd)
{
	char path[READER_PATH_BYTES];
	struct stat st;
	int fd, rc;

	rc = snprintf(path, sizeof(path), "%s/%020" PRId64 "%s", part->name, base_offset, suffix);
	tk_assert(rc > 0 && (size_t)rc < sizeof(path));
	fd = openat(reader->directories[part->place.directory], path,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && (st.st_ino != inode || !S_ISREG(st.st_mode)))
		rc = -ESTALE;
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* The files of one segment as a set; -ESTALE if one of them is not what the list says. */
static int
segment_new(struct tk_reader *reader, struct part *part, const struct tk_segment_info *info,
    struct open_segment **ret_seg)
{
	struct open_segment *seg = malloc(sizeof(*seg));
	int rc;

	if (seg == NULL)
		return -ENOMEM;
	*seg = (struct open_segment){ .refs = 1,
		.part = part,
		.base_offset = info->base_offset,
		.log_inode = info->log_inode,
		.index_inode = info->index_inode,
		.log_fd = -1,
		.index_fd = -1 };
	rc = file_open(reader, part, info->base_offset, ".log", info->log_inode, &seg->log_fd);
	if (rc == 0 && info->index_inode != 0)
		rc = file_open(
		    reader, part, info->base_offset, ".index", info->index_inode, &seg->index_fd);
	if (rc == 0 && seg->index_fd >= 0) {
		seg->index_block = malloc(sizeof(*seg->index_block));
		if (seg->index_block == NULL)
			rc = -ENOMEM;
		else
			*seg->index_block = (struct index_block){ .number = -1 };
	}
	if (rc < 0) {
		segment_unref(seg);
		return rc;
	}
	*ret_seg = seg;
	return 0;
}

int
segment_open(
    struct tk_reader *reader, struct part *part, size_t index, struct open_segment **ret_seg)
{
	struct open_segment *seg = part->segments[index].open;
	int rc;

	if (seg != NULL) {
		TAILQ_REMOVE(&reader->lru, seg, link);
		TAILQ_INSERT_HEAD(&reader->lru, seg, link);
		*ret_seg = seg;
		return 0;
	}
	if (!cache_make_room(reader))
		return -EMFILE;
	do {
		rc = segment_new(reader, part, &part->segments[index].info, &seg);
	} while (rc == -EMFILE && cache_spare(reader, part));
	if (rc < 0)
		return rc == -ESTALE ? part_list_stale(part, part->segments[index].info.base_offset)
				     : rc;
	if (part->failed_base == seg->base_offset)
		part->failed = false;
	part->segments[index].open = seg;
	TAILQ_INSERT_HEAD(&reader->lru, seg, link);
	reader->stats.open_segments++;
	reader->stats.opens++;
	*ret_seg = seg;
	return 0;
}

int
segment_time_open(struct tk_reader *reader, struct part *part, size_t index, int *ret_fd)
{
	const struct tk_segment_info *info = &part->segments[index].info;
	int rc;

	do {
		rc = file_open(
		    reader, part, info->base_offset, ".timeindex", info->time_inode, ret_fd);
	} while (rc == -EMFILE && cache_spare(reader, part));
	return rc == -ESTALE ? part_list_stale(part, part->segments[index].info.base_offset) : rc;
}
