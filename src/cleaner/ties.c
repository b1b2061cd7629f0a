/*
 * The cleaner's ties to the writers, one a data directory.  A tie lasts as long as the process; its
 * channel ends with the writer and is made anew when there is something to ask.  One question of
 * retention's is under way a tie, which is asked again if the channel ends, and one of compaction's
 * over all of them, which is not.
 */
#include <stdio.h>
#include <string.h>

#include "base/errlog.h"
#include "cleaner/cleaner_private.h"
#include "os/file.h"

#define RETRY_MS 100

static bool
tie_segments(struct tk_cleaner_tie *tie, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_segments_are head;

	if (frame->len < sizeof(head))
		return false;
	memcpy(&head, payload, sizeof(head));
	return tk_cleaner_segments_are(
	    tie, &head, payload + sizeof(head), frame->len - sizeof(head));
}

static bool
tie_retained(struct tk_cleaner_tie *tie, const struct tk_frame *frame, const uint8_t *payload)
{
	struct tk_frame_retained answer;

	if (frame->len != sizeof(answer))
		return false;
	memcpy(&answer, payload, sizeof(answer));
	tk_cleaner_retained(tie, &answer);
	return true;
}

static bool
tie_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_cleaner_tie *tie = tk_channel_owner(chan);

	if ((frame->id & TK_COMPACTION_ID) != 0)
		return tk_compaction_frame(tie, frame, payload);
	if (tie->frame_id == 0 || frame->id != tie->frame_id)
		return false;
	tie->frame_id = 0;
	if (frame->type == TK_FRAME_SEGMENTS_ARE)
		return tie_segments(tie, frame, payload);
	return frame->type == TK_FRAME_RETAINED && tie_retained(tie, frame, payload);
}

static void
tie_closed(struct tk_channel *chan)
{
	struct tk_cleaner_tie *tie = tk_channel_owner(chan);

	tk_channel_free(&tie->chan);
	tie->frame_id = 0;
	if (tie->walking)
		(void)tk_timer_start(tie->cleaner->loop, &tie->retry, RETRY_MS);
	tk_compaction_lost(tie);
}

static const struct tk_channel_ops tie_ops = { .frame = tie_frame, .closed = tie_closed };

static void
tie_retry(struct tk_timer *timer)
{
	tk_cleaner_round_again(TK_CONTAINER_OF(timer, struct tk_cleaner_tie, retry));
}

static int
tie_connect(struct tk_cleaner_tie *tie)
{
	struct tk_cleaner *cleaner = tie->cleaner;
	char name[32];

	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, tie->index);
	return tk_channel_connect(
	    cleaner->loop, cleaner->proc->cycle->run_dir_fd, name, &tie_ops, tie, &tie->chan);
}

void
tk_cleaner_tie_ask(
    struct tk_cleaner_tie *tie, enum tk_frame_type type, const void *payload, size_t len)
{
	static struct tk_errlog_limit limit;
	int rc = tie->chan == NULL ? tie_connect(tie) : 0;

	if (rc == 0) {
		tie->frame_id = ++tie->last_id;
		(void)tk_channel_send1(tie->chan, type, tie->frame_id, payload, len);
		return;
	}
	if (tk_errlog_allowed(&limit, 5))
		tk_warn("could not reach writer %u: %s", tie->index, strerror(-rc));
	(void)tk_timer_start(tie->cleaner->loop, &tie->retry, RETRY_MS);
}

int
tk_cleaner_tie_send(struct tk_cleaner_tie *tie, enum tk_frame_type type, uint64_t id,
    const void *payload, size_t len)
{
	int rc = tie->chan == NULL ? tie_connect(tie) : 0;

	return rc < 0 ? rc : tk_channel_send1(tie->chan, type, id, payload, len);
}

const struct tk_zone *
tk_cleaner_tie_zone(struct tk_cleaner_tie *tie)
{
	char name[32];

	if (tie->zone != NULL)
		return tie->zone;
	(void)snprintf(name, sizeof(name), TK_ZONE_FMT, tie->index);
	if (tk_zone_open_readonly(tie->cleaner->proc->cycle->run_dir_fd, name, &tie->zone) < 0)
		return NULL;
	return tie->zone;
}

void
tk_cleaner_tie_init(struct tk_cleaner *cleaner, unsigned index)
{
	struct tk_cleaner_tie *tie = &cleaner->ties[index];

	*tie = (struct tk_cleaner_tie){ .cleaner = cleaner,
		.index = index,
		.dir_fd = -1,
		.retry.expire = tie_retry,
		.step.run = tk_cleaner_round_step };
}

void
tk_cleaner_tie_free(struct tk_cleaner_tie *tie)
{
	tk_timer_stop(tie->cleaner->loop, &tie->retry);
	tk_post_cancel(tie->cleaner->loop, &tie->step);
	tk_channel_free(&tie->chan);
	tk_zone_close(&tie->zone);
	tk_file_close(&tie->dir_fd);
}
