/*
 * Bringing a partition back whose sync has failed: the log is read again from the durable end.
 *
 * The kernel may have dropped the pages and calls a second sync a success, so nothing above the
 * durable end is believed: pages are dropped, what is valid on the disk is copied into new files
 * that are synced and take the names (recovery.c).  It is done on a second handle in any thread;
 * the first one is offline meanwhile, its owner does nothing to the files with it.  The writer's
 * thread puts the second in its place.  Failure leaves the first one as it was, to try again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "log/log_private.h"

bool
tk_log_needs_rescue(const struct tk_log *log)
{
	return log->state.status == TK_PART_OFFLINE && log->state.sync_underway != -1;
}

/* What the log was opened as; topic is room for its name. */
static struct tk_log_identity
identity_of(const struct tk_log *log, char topic[TK_LOG_NAME_ROOM])
{
	char *dash;

	memcpy(topic, log->name, TK_LOG_NAME_ROOM);
	dash = strrchr(topic, '-');
	tk_assert(dash != NULL);
	*dash = '\0';
	return (struct tk_log_identity){ .topic = topic,
		.partition = (int32_t)strtol(dash + 1, NULL, 10),
		.topic_id = log->topic_id,
		.slot = log->slot,
		.incarnation = log->state.incarnation,
		.leader_epoch = log->state.leader_epoch };
}

int
tk_log_rescue_begin(struct tk_log *log, struct tk_log **ret_rescued)
{
	char topic[TK_LOG_NAME_ROOM];
	struct tk_log_identity identity = identity_of(log, topic);
	struct tk_log *rescued;
	int rc;

	tk_assert(tk_log_needs_rescue(log));
	rc = tk_log_new(log->dir, &identity, &log->config, &rescued);
	if (rc < 0)
		return rc;
	(void)tk_hash("", 0); /* makes the key of this process's maps before there are threads */
	tk_log_close_files(log);
	tk_producers_free(&log->producers); /* else they count twice while they are read */
	log->producers_loaded = false;
	rescued->doubt = TK_LOG_DOUBT_FILES;
	rescued->known_start = log->state.log_start;
	rescued->known_durable = log->state.durable_end;
	rescued->known_watermark = log->state.high_watermark.offset;
	rescued->made_now = log->made_now;
	*ret_rescued = rescued;
	return 0;
}

int
tk_log_rescue_run(struct tk_log *rescued)
{
	return tk_recovery_run(rescued);
}

void
tk_log_rescue_end(struct tk_log **plog, struct tk_log **prescued)
{
	struct tk_log *log = *plog, *rescued = *prescued;
	int64_t clean_point;
	int rc;

	rescued->config = log->config;
	rescued->state.config_revision = log->state.config_revision;
	rescued->state.segments_generation =
	    TK_MAX(rescued->state.segments_generation, log->state.segments_generation + 1);
	rescued->user = log->user;
	clean_point = TK_MIN(log->clean_point, rescued->state.log_end.offset);
	tk_logdir_say(log->dir, TK_LEVEL_WARN,
	    "partition \"%s\" was read again from offset %lld on: it ends at %lld, before at %lld",
	    log->name, (long long)log->state.durable_end, (long long)rescued->state.log_end.offset,
	    (long long)log->state.log_end.offset);
	tk_log_close(plog);
	rc = tk_log_finish(rescued);
	tk_assert(rc == 0);
	rescued->clean_point = clean_point;
	*plog = rescued;
	*prescued = NULL;
}

void
tk_log_rescue_drop(struct tk_log **rescued)
{
	tk_log_free(rescued);
}
