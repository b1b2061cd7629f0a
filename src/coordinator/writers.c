/*
 * Ties to the writers, one a data directory.  A tie is there for ever; its channel ends with the
 * writer and is made anew.  The first thing said on a channel is APPLY, so the first answer says
 * that a living writer serves it: its zone and, for directory 0, the journal are then published.
 *
 * One APPLY is under way a tie; what is wanted meanwhile goes with the next one.  Nothing queues.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "coordinator/coordinator_private.h"
#include "log/zone.h"

#define RETRY_MS      50   /* after a channel that ended early, or an answer that says too little */
#define SHORT_LIFE_MS 1000 /* of a channel: what ends sooner is not made anew at once */

static void
tie_ask(struct tk_tie *tie)
{
	const struct tk_frame_apply apply = { .revision = tie->wanted };

	if (tie->chan == NULL || tie->asked)
		return;
	tie->asked = true;
	tie->asked_for = tie->wanted;
	(void)tk_channel_send1(
	    tie->chan, TK_FRAME_APPLY, ++tie->coord->next_frame_id, &apply, sizeof(apply));
}

static void
tie_learn_zone(struct tk_tie *tie)
{
	char name[32];
	int rc;

	if (tie->zone == NULL) {
		(void)snprintf(name, sizeof(name), TK_ZONE_FMT, tie->index);
		rc = tk_zone_open_readonly(tie->coord->proc->cycle->run_dir_fd, name, &tie->zone);
		if (rc < 0) {
			tk_err("could not open zone \"%s\": %s", name, strerror(-rc));
			return;
		}
	}
	tie->directory_id = tk_zone_header(tie->zone)->directory_id;
}

static void
tie_applied(struct tk_tie *tie, const struct tk_frame_applied *applied)
{
	static struct tk_errlog_limit limit;
	struct tk_coordinator *coord = tie->coord;

	tie->asked = false;
	tie->applied = applied->revision;
	if (applied->error < 0 && tk_errlog_allowed(&limit, 10))
		tk_warn("writer %u could not make all partitions of revision %llu: %s", tie->index,
		    (unsigned long long)applied->revision, strerror(-applied->error));
	if (!tie->up) {
		tie->up = true;
		tie_learn_zone(tie);
		tk_coordinator_directory_up(coord, tie);
		if (tie->index == TK_META_DIRECTORY)
			tk_commit_writer_up(coord);
	}
	if (tie->wanted > tie->applied) {
		if (tie->applied >= tie->asked_for)
			tie_ask(tie);
		else
			(void)tk_timer_start(coord->loop, &tie->retry, RETRY_MS);
	}
	tk_jobs_applied(coord);
	tk_coordinator_check_ready(coord);
}

static bool
tie_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_tie *tie = tk_channel_owner(chan);
	struct tk_frame_appended appended;
	struct tk_frame_applied applied;

	if (frame->type == TK_FRAME_APPLIED && frame->len == sizeof(applied)) {
		memcpy(&applied, payload, sizeof(applied));
		tie_applied(tie, &applied);
		return true;
	}
	if (frame->type == TK_FRAME_APPENDED && frame->len == sizeof(appended) &&
	    tie->index == TK_META_DIRECTORY) {
		memcpy(&appended, payload, sizeof(appended));
		tk_commit_appended(tie->coord, frame->id, appended.error);
		return true;
	}
	return false;
}

static void
tie_closed(struct tk_channel *chan)
{
	struct tk_tie *tie = tk_channel_owner(chan);
	struct tk_loop *loop = tie->coord->loop;
	int64_t lived_ms = tk_loop_now_ms(loop) - tie->connected_ms;

	tk_channel_free(&tie->chan);
	tie->up = tie->asked = false;
	tie->applied = 0;
	if (tie->index == TK_META_DIRECTORY)
		tk_commit_writer_down(tie->coord);
	(void)tk_timer_start(loop, &tie->retry, lived_ms >= SHORT_LIFE_MS ? 0 : RETRY_MS);
}

static const struct tk_channel_ops tie_ops = { .frame = tie_frame, .closed = tie_closed };

static void
tie_connect(struct tk_tie *tie)
{
	static struct tk_errlog_limit limit;
	struct tk_coordinator *coord = tie->coord;
	char name[32];
	int rc;

	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, tie->index);
	tie->connected_ms = tk_loop_now_ms(coord->loop);
	rc = tk_channel_connect(
	    coord->loop, coord->proc->cycle->run_dir_fd, name, &tie_ops, tie, &tie->chan);
	if (rc == 0) {
		tie_ask(tie);
		return;
	}
	if (tk_errlog_allowed(&limit, 5))
		tk_warn("could not connect to \"%s\": %s", name, strerror(-rc));
	(void)tk_timer_start(coord->loop, &tie->retry, RETRY_MS);
}

static void
tie_retry(struct tk_timer *timer)
{
	struct tk_tie *tie = TK_CONTAINER_OF(timer, struct tk_tie, retry);

	if (tie->chan == NULL)
		tie_connect(tie);
	else if (tie->wanted > tie->applied)
		tie_ask(tie);
}

int
tk_ties_start(struct tk_coordinator *coord)
{
	for (size_t i = 0; i < coord->directory_count; i++) {
		struct tk_tie *tie = &coord->ties[i];

		tie->coord = coord;
		tie->index = (unsigned)i;
		tie->retry.expire = tie_retry;
		if (tk_timer_start(coord->loop, &tie->retry, 0) < 0)
			return -ENOMEM;
	}
	return 0;
}

void
tk_ties_free(struct tk_coordinator *coord)
{
	for (size_t i = 0; i < coord->directory_count; i++) {
		struct tk_tie *tie = &coord->ties[i];

		tk_timer_stop(coord->loop, &tie->retry);
		tk_channel_free(&tie->chan);
		tk_zone_close(&tie->zone);
	}
}

void
tk_ties_apply(struct tk_coordinator *coord, uint64_t directories, uint64_t revision)
{
	for (size_t i = 0; i < coord->directory_count; i++) {
		struct tk_tie *tie = &coord->ties[i];

		if ((directories >> i & 1) == 0 || tie->wanted >= revision)
			continue;
		tie->wanted = revision;
		tie_ask(tie);
	}
}

bool
tk_ties_have_applied(const struct tk_coordinator *coord, uint64_t directories, uint64_t revision)
{
	for (size_t i = 0; i < coord->directory_count; i++)
		if ((directories >> i & 1) != 0 &&
		    (!coord->ties[i].up || coord->ties[i].applied < revision))
			return false;
	return true;
}

int
tk_tie_append(struct tk_coordinator *coord, const struct tk_frame_append *append, uint64_t id)
{
	struct tk_tie *tie = &coord->ties[TK_META_DIRECTORY];

	if (tie->chan == NULL || !tie->up)
		return -EAGAIN;
	return tk_channel_send1(tie->chan, TK_FRAME_APPEND, id, append, sizeof(*append));
}
