/*
 * Channels of the writer: who may say what, and how much of it.
 *
 * What a caller is the master told of its pid (struct tk_peer); what it claims counts for nothing.
 * The first frame is HELLO.  A frame of a wrong size, of a type its sender's role has no business
 * with, or with a number that no honest process would send, ends the channel with one line in the
 * log.  Each caller holds at most TK_WRITER_CREDITS appends and TK_WRITER_QUEUED_MAX bytes of
 * unread answers; past either it is not read, and the socket's buffer bounds the rest.  Who wakes a
 * paused caller: every turn's end looks again, and answering an append or draining the socket both
 * happen in a turn.
 *
 * Before the writer is ready only other writers are read: they wait for the journal.
 */
#include "writer/writer_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errlog.h"

#define ROLE(name) (1u << TK_ROLE_##name)

/* One row a frame type: the size of its struct, who may send it, what to do; false ends. */
struct frame_row {
	size_t len;
	unsigned roles;
	bool (*take)(struct tk_caller *caller, uint64_t id, const void *payload);
};

static bool caller_hello(struct tk_caller *caller, uint64_t id, const void *payload);

static bool
caller_append(struct tk_caller *caller, uint64_t id, const void *payload)
{
	return tk_appends_take(caller, id, payload);
}

static bool
caller_watch(struct tk_caller *caller, uint64_t id, const void *payload)
{
	tk_watch_set(caller, id, payload);
	return true;
}

static bool
caller_segments(struct tk_caller *caller, uint64_t id, const void *payload)
{
	tk_segments_tell(caller, id, payload);
	return true;
}

static bool
caller_apply(struct tk_caller *caller, uint64_t id, const void *payload)
{
	return tk_apply_take(caller, id, payload);
}

static bool
caller_retain(struct tk_caller *caller, uint64_t id, const void *payload)
{
	return tk_retain(caller, id, payload);
}

static bool
caller_clean_point(struct tk_caller *caller, uint64_t id, const void *payload)
{
	tk_clean_point_take(caller, id, payload);
	return true;
}

static bool
caller_cleaned(struct tk_caller *caller, uint64_t id, const void *payload)
{
	return tk_cleaned_take(caller, id, payload);
}

#define ANYBODY (ROLE(WORKER) | ROLE(COORDINATOR) | ROLE(CLEANER) | ROLE(WRITER))

static const struct frame_row frame_rows[] = {
	[TK_FRAME_HELLO] = { sizeof(struct tk_frame_hello), ANYBODY, caller_hello },
	[TK_FRAME_APPEND] = { sizeof(struct tk_frame_append), ROLE(WORKER) | ROLE(COORDINATOR),
	    caller_append },
	[TK_FRAME_WATCH] = { sizeof(struct tk_frame_watch), ANYBODY, caller_watch },
	[TK_FRAME_SEGMENTS] = { sizeof(struct tk_frame_segments), ANYBODY, caller_segments },
	[TK_FRAME_APPLY] = { sizeof(struct tk_frame_apply), ROLE(COORDINATOR), caller_apply },
	[TK_FRAME_RETAIN] = { sizeof(struct tk_frame_retain), ROLE(CLEANER) | ROLE(WORKER),
	    caller_retain },
	[TK_FRAME_CLEAN_POINT] = { sizeof(struct tk_frame_clean_point), ROLE(CLEANER),
	    caller_clean_point },
	[TK_FRAME_CLEANED] = { sizeof(struct tk_frame_cleaned), ROLE(CLEANER), caller_cleaned },
};

/* A coordinator that says hello is the coordinator: the one before it has no say any more. */
static void
caller_fence(struct tk_caller *caller)
{
	struct tk_writer *writer = caller->writer;

	if (caller->peer->role != TK_ROLE_COORDINATOR)
		return;
	if (writer->coordinator != NULL) {
		tk_info("coordinator process %d is fenced by %d",
		    (int)writer->coordinator->peer->pid, (int)caller->peer->pid);
		tk_caller_end(writer->coordinator);
	}
	writer->coordinator = caller;
}

static bool
caller_hello(struct tk_caller *caller, uint64_t id, const void *payload)
{
	const struct tk_frame_hello *hello = payload;

	(void)id;
	if (caller->greeted || hello->version != TK_FRAMES_VERSION)
		return false;
	caller->greeted = true;
	caller_fence(caller);
	tk_cleaner_fence(caller);
	return true;
}

static bool
caller_must_wait(const struct tk_caller *caller)
{
	if (!caller->writer->ready && caller->peer->role != TK_ROLE_WRITER)
		return true;
	return caller->outstanding >= TK_WRITER_CREDITS ||
	       tk_channel_queued(caller->chan) >= TK_WRITER_QUEUED_MAX;
}

static void
caller_pause(struct tk_caller *caller)
{
	if (caller->paused || !caller_must_wait(caller))
		return;
	caller->paused = true;
	LIST_INSERT_HEAD(&caller->writer->paused, caller, paused_link);
	tk_channel_pause(caller->chan, true);
}

static const struct frame_row *
frame_row(const struct tk_caller *caller, const struct tk_frame *frame)
{
	const struct frame_row *row;

	if (frame->type >= TK_COUNT_OF(frame_rows))
		return NULL;
	row = &frame_rows[frame->type];
	if (row->take == NULL || row->len != frame->len)
		return NULL;
	if ((row->roles & (1u << caller->peer->role)) == 0)
		return NULL;
	return caller->greeted || frame->type == TK_FRAME_HELLO ? row : NULL;
}

static bool
caller_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_caller *caller = tk_channel_owner(chan);
	const struct frame_row *row = frame_row(caller, frame);
	union {
		struct tk_frame_hello hello;
		struct tk_frame_append append;
		struct tk_frame_watch watch;
		struct tk_frame_segments segments;
		struct tk_frame_apply apply;
		struct tk_frame_retain retain;
		struct tk_frame_clean_point clean_point;
		struct tk_frame_cleaned cleaned;
	} aligned;

	if (caller->dead)
		return false;
	if (row != NULL)
		memcpy(&aligned, payload, row->len); /* frames follow each other unaligned */
	if (row == NULL || !row->take(caller, frame->id, &aligned)) {
		tk_warn("%s process %d sent a frame of type %u that it must not send: closed",
		    tk_role_name(caller->peer->role), (int)caller->peer->pid, frame->type);
		return false;
	}
	caller_pause(caller);
	return true;
}

static void
caller_closed(struct tk_channel *chan)
{
	tk_caller_end(tk_channel_owner(chan));
}

static const struct tk_channel_ops caller_ops = { .frame = caller_frame, .closed = caller_closed };

static void
caller_bury(struct tk_post *post)
{
	struct tk_caller *caller = TK_CONTAINER_OF(post, struct tk_caller, bury);

	tk_post_cancel(caller->writer->loop, &caller->resume);
	tk_channel_free(&caller->chan);
	tk_peer_unref(&caller->peer);
	LIST_REMOVE(caller, link);
	free(caller->pool);
	free(caller);
}

void
tk_caller_end(struct tk_caller *caller)
{
	struct tk_writer *writer = caller->writer;

	if (caller->dead)
		return;
	caller->dead = true;
	if (writer->coordinator == caller)
		writer->coordinator = NULL;
	if (caller->paused)
		LIST_REMOVE(caller, paused_link);
	caller->paused = false;
	tk_appends_drop_caller(caller);
	tk_watches_drop_caller(caller);
	tk_apply_drop_caller(caller);
	tk_retained_drop_caller(caller);
	tk_post(writer->loop, &caller->bury);
}

void
tk_callers_end(struct tk_writer *writer)
{
	struct tk_caller *caller, *next;

	for (caller = LIST_FIRST(&writer->callers); caller != NULL; caller = next) {
		next = LIST_NEXT(caller, link);
		tk_caller_end(caller);
		tk_post_cancel(writer->loop, &caller->bury);
		caller_bury(&caller->bury);
	}
}

/* From a posted call, since the channel delivers at once what it holds. */
static void
caller_resume(struct tk_post *post)
{
	struct tk_caller *caller = TK_CONTAINER_OF(post, struct tk_caller, resume);

	if (caller->dead || !caller->paused || caller_must_wait(caller))
		return;
	caller->paused = false;
	LIST_REMOVE(caller, paused_link);
	tk_channel_pause(caller->chan, false);
}

void
tk_callers_resume(struct tk_writer *writer)
{
	struct tk_caller *caller;

	LIST_FOREACH (caller, &writer->paused, paused_link) {
		if (!caller_must_wait(caller))
			tk_post(writer->loop, &caller->resume);
	}
}

void
tk_caller_new(struct tk_writer *writer, int fd, struct tk_peer *peer)
{
	struct tk_caller *caller = calloc(1, sizeof(*caller));
	int rc = -ENOMEM;

	if (caller == NULL)
		(void)close(fd);
	else
		rc = tk_channel_new(writer->loop, fd, &caller_ops, caller, &caller->chan);
	if (rc < 0) {
		tk_warn("could not serve %s process %d: %s", tk_role_name(peer->role),
		    (int)peer->pid, strerror(-rc));
		free(caller);
		return;
	}
	caller->writer = writer;
	caller->peer = tk_peer_ref(peer);
	caller->resume.run = caller_resume;
	caller->bury.run = caller_bury;
	STAILQ_INIT(&caller->unused);
	LIST_INIT(&caller->lanes);
	LIST_INIT(&caller->watches);
	LIST_INSERT_HEAD(&writer->callers, caller, link);
	caller_pause(caller);
}

void
tk_caller_send(
    struct tk_caller *caller, enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	if (!caller->dead)
		(void)tk_channel_send1(caller->chan, type, id, payload, len);
}

static void
server_accepted(struct tk_channel_server *server, int fd, struct tk_peer *peer)
{
	tk_caller_new(TK_CONTAINER_OF(server, struct tk_writer, server), fd, peer);
}

int
tk_callers_serve(struct tk_writer *writer, int listening_fd)
{
	writer->server.accepted = server_accepted;
	return tk_channel_server_start(&writer->server, writer->proc, listening_fd);
}
