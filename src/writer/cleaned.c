/*
 * CLEANED and CLEAN_POINT: what the cleaner has compacted takes its place.  Writer process, one
 * thread.
 *
 * The cleaner that said hello last is the one that counts: what a former one sent before it died,
 * and what is read only now, ends its channel.  So no swap happens beside files that a new cleaner
 * is writing.  A swap renames a few files and syncs their directory; it is bounded by the sources a
 * frame can name.
 */
#include <string.h>

#include "base/errlog.h"
#include "writer/writer_private.h"

void
tk_cleaner_fence(struct tk_caller *caller)
{
	struct tk_writer *writer = caller->writer;
	struct tk_caller *other;

	if (caller->peer->role != TK_ROLE_CLEANER)
		return;
	LIST_FOREACH (other, &writer->callers, link) {
		if (other->dead || other->peer->role != TK_ROLE_CLEANER ||
		    other->peer->pid == caller->peer->pid)
			continue;
		tk_info("cleaner process %d is fenced by %d", (int)other->peer->pid,
		    (int)caller->peer->pid);
		tk_caller_end(other);
	}
	writer->cleaner_pid = caller->peer->pid;
}

static int
part_swap(struct tk_writer *writer, const struct tk_frame_cleaned *frame)
{
	struct tk_writer_part *part = tk_part_find_exact(writer, frame->slot, frame->incarnation);
	struct tk_cleaned_source sources[TK_CLEANED_SOURCES_MAX];
	int rc;

	if (part == NULL || part->internal)
		return -ESTALE;
	for (uint32_t i = 0; i < frame->count; i++)
		sources[i] =
		    (struct tk_cleaned_source){ .base_offset = frame->sources[i].base_offset,
			    .log_inode = frame->sources[i].log_inode };
	rc = tk_log_swap(part->log, frame->job, sources, frame->count);
	if (rc == 0)
		tk_count(TK_COUNT_segments_cleaned, frame->count);
	tk_upkeep_soon(writer);
	tk_part_published(writer, part);
	return rc;
}

bool
tk_cleaned_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_cleaned *frame)
{
	struct tk_frame_swapped answer = { .error = 0 };

	if (frame->count == 0 || frame->count > TK_CLEANED_SOURCES_MAX ||
	    frame->sources[0].base_offset < 0)
		return false;
	answer.error = part_swap(caller->writer, frame);
	tk_caller_send(caller, TK_FRAME_SWAPPED, id, &answer, sizeof(answer));
	return true;
}

void
tk_clean_point_take(struct tk_caller *caller, uint64_t id, const struct tk_frame_clean_point *frame)
{
	struct tk_writer_part *part =
	    tk_part_find_exact(caller->writer, frame->slot, frame->incarnation);
	struct tk_frame_clean_point_is answer = { .offset = -1, .error = -ENOENT };

	if (part != NULL && !part->internal) {
		answer.error =
		    frame->offset < 0 ? 0 : tk_log_set_clean_point(part->log, frame->offset);
		answer.offset = tk_log_clean_point(part->log);
	}
	tk_caller_send(caller, TK_FRAME_CLEAN_POINT_IS, id, &answer, sizeof(answer));
}
