/*
 * min_free_bytes: whether clients' appends are taken.  Writer process; the loop's thread.
 *
 * A file system that is full stops everything in it, also what makes room: offset commits, the
 * journal of the metadata, checkpoints.  So clients are stopped a little before.  It is asked at
 * most once a second or every few MiB appended, so the bound is kept within those.
 */
#include "writer/writer_private.h"

#include <sys/statvfs.h>

#include "base/errlog.h"

#define LOOK_MS    1000
#define LOOK_BYTES ((size_t)16 << 20)

static int64_t
free_bytes(const struct tk_writer *writer)
{
	struct statvfs fs;

	if (fstatvfs(writer->dir_fd, &fs) < 0)
		return INT64_MAX; /* the append itself will say what is wrong */
	return fs.f_bavail > (uint64_t)INT64_MAX / fs.f_frsize
		   ? INT64_MAX
		   : (int64_t)(fs.f_bavail * fs.f_frsize);
}

static void
room_look(struct tk_writer *writer, int64_t min_free_bytes)
{
	bool was_low = writer->room.low;
	int64_t free = free_bytes(writer);

	writer->room.low = free < min_free_bytes;
	if (writer->room.low && !was_low)
		tk_err("\"%s\" has %lld bytes free, less than min_free_bytes: clients' appends are "
		       "refused",
		    tk_logdir_path(writer->dir), (long long)free);
	else if (!writer->room.low && was_low)
		tk_info("\"%s\" has %lld bytes free: clients' appends go on",
		    tk_logdir_path(writer->dir), (long long)free);
}

bool
tk_room_is_low(struct tk_writer *writer)
{
	int64_t min_free_bytes = writer->proc->settings->min_free_bytes;
	int64_t now_ms = tk_loop_now_ms(writer->loop);

	if (min_free_bytes == 0) {
		writer->room.low = false;
		return false;
	}
	if (now_ms >= writer->room.look_ms || writer->room.bytes >= LOOK_BYTES) {
		writer->room.look_ms = now_ms + LOOK_MS;
		writer->room.bytes = 0;
		room_look(writer, min_free_bytes);
	}
	return writer->room.low;
}

void
tk_room_taken(struct tk_writer *writer, size_t bytes)
{
	writer->room.bytes += bytes;
}
